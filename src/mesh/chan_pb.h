/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Messages with a schema. In it a field of type davit.mesh.Ref names an
 * attachment by its number; of what kind it has to be the field's meaning says,
 * and dv_ref_fd() or dv_ref_port() checks.
 *
 * This is not a part of the library's interface: nanopb's structs differ from
 * version to version.
 */
#include <stddef.h>

#include "mesh/chan_msg.h"
#include "wire/pb.h"

/* For dv_pb_msg(), in the order of their numbers: one of the two. */
struct dv_pb_att {
	struct dv_port *port; /* NULL: fd */
	int fd;
};

/*
 * Encode @st into a new message with @atts, which are consumed in any case.
 * Returns 0, -ENOMEM, -EMSGSIZE, -E2BIG, -EINVAL.
 */
int dv_pb_msg(struct dv_msg **msgp, const pb_msgdesc_t *fields, const void *st,
	      const struct dv_pb_att *atts, size_t n_atts, struct dv_err *err);

/*
 * Decode into @st, a zeroed struct, bounded as dv_pb_decode(); each Ref in it
 * names an attachment that exists, and no two name the same. Those that are not
 * named, or not taken, are closed with the message. Returns 0 or -errno;
 * dv_pb_release() frees what @st points to.
 */
int dv_pb_open(const struct dv_msg *msg, const pb_msgdesc_t *fields, void *st,
	       struct dv_err *err);

/*
 * What @ref names (NULL: the field is missing), owned by the caller. @what is
 * the field's name. -EBADMSG: missing, or of the other kind; -EMFILE: the
 * descriptor was lost on the way; -ENOENT: taken before.
 */
int dv_ref_fd(struct dv_msg *msg, const dv_mesh_Ref *ref, const char *what,
	      struct dv_err *err);
struct dv_port *dv_ref_port(struct dv_msg *msg, const dv_mesh_Ref *ref,
			    const char *what, struct dv_err *err);

/* dv_pb_msg() and then what the name says. */
int dv_chan_send_pb(struct dv_chan_sender *tx, const pb_msgdesc_t *fields,
		    const void *st, const struct dv_pb_att *atts, size_t n_atts,
		    struct dv_err *err);
int dv_ask_pb(struct dv_chan_sender *tx, const pb_msgdesc_t *fields,
	      const void *st, const struct dv_ask_opts *opts, dv_ask_fn *fn,
	      void *user, struct dv_ask **askp, struct dv_err *err);
/* @asked is consumed: without memory for the answer it fails with that. */
int dv_asked_answer_pb(struct dv_asked *asked, const pb_msgdesc_t *fields,
		       const void *st, const struct dv_pb_att *atts,
		       size_t n_atts, struct dv_err *err);
