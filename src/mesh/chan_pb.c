/* SPDX-License-Identifier: MIT */
#include "mesh/chan_pb.h"

#include <errno.h>
#include <pb_common.h>
#include <pb_encode.h>

#include "base/def.h"
#include "base/fd.h"

/* ---- sending ------------------------------------------------------- */

static int attach(struct dv_msg *msg, const struct dv_pb_att *att)
{
	return att->port ? dv_msg_add_port(msg, att->port)
			 : dv_msg_add_fd(msg, att->fd);
}

static void drop(const struct dv_pb_att *atts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (atts[i].port)
			dv_port_close(atts[i].port, NULL);
		else
			dv_close(atts[i].fd);
	}
}

static int encode(struct dv_msg **msgp, const pb_msgdesc_t *fields,
		  const void *st, struct dv_err *err)
{
	pb_ostream_t out;
	struct dv_msg *msg;
	size_t len;
	int r = dv_pb_size(fields, st, &len, err);

	if (r < 0)
		return r;
	if (len > DV_MSG_MAX)
		return dv_err_sys(err, EMSGSIZE, "a message of %zu bytes", len);
	msg = dv_msg_new(len);
	if (!msg)
		return dv_err_sys(err, ENOMEM, "encode a message");
	out = pb_ostream_from_buffer(dv_msg_data(msg), len);
	if (!pb_encode(&out, fields, st) || out.bytes_written != len) {
		dv_msg_free(msg);
		return dv_err_set(err, EINVAL, DV_INTERNAL, "encode: %s",
				  PB_GET_ERROR(&out));
	}
	*msgp = msg;
	return 0;
}

int dv_pb_msg(struct dv_msg **msgp, const pb_msgdesc_t *fields, const void *st,
	      const struct dv_pb_att *atts, size_t n_atts, struct dv_err *err)
{
	struct dv_msg *msg = NULL;
	int r = encode(&msg, fields, st, err), failed = 0;

	if (r < 0) {
		drop(atts, n_atts);
		return r;
	}
	for (size_t i = 0; i < n_atts; i++) {
		r = attach(msg, &atts[i]);
		failed = r < 0 ? r : failed;
	}
	if (failed < 0) {
		dv_msg_free(msg);
		return dv_err_sys(err, -failed, "attach %zu things", n_atts);
	}
	*msgp = msg;
	return 0;
}

int dv_chan_send_pb(struct dv_chan_sender *tx, const pb_msgdesc_t *fields,
		    const void *st, const struct dv_pb_att *atts, size_t n_atts,
		    struct dv_err *err)
{
	struct dv_msg *msg;
	int r = dv_pb_msg(&msg, fields, st, atts, n_atts, err);

	return r < 0 ? r : dv_chan_send(tx, msg, err);
}

int dv_ask_pb(struct dv_chan_sender *tx, const pb_msgdesc_t *fields,
	      const void *st, const struct dv_ask_opts *opts, dv_ask_fn *fn,
	      void *user, struct dv_ask **askp, struct dv_err *err)
{
	struct dv_msg *msg;
	int r = dv_pb_msg(&msg, fields, st, NULL, 0, err);

	return r < 0 ? r : dv_ask(tx, msg, opts, fn, user, askp, err);
}

int dv_asked_answer_pb(struct dv_asked *asked, const pb_msgdesc_t *fields,
		       const void *st, const struct dv_pb_att *atts,
		       size_t n_atts, struct dv_err *err)
{
	struct dv_err why = DV_ERR_INIT;
	struct dv_msg *msg;
	int r = dv_pb_msg(&msg, fields, st, atts, n_atts, &why);

	if (r == 0)
		return dv_asked_answer(asked, msg, err);
	if (err)
		*err = why;
	dv_asked_fail(asked, &why);
	return r;
}

/* ---- receiving ----------------------------------------------------- */

struct refs {
	size_t n_atts;
	uint32_t seen[(DV_MSG_ATT_MAX + 31) / 32];
	struct dv_err *err;
};

static int check_ref(struct refs *refs, const dv_mesh_Ref *ref)
{
	uint32_t *word, bit;

	if (ref->index >= refs->n_atts || ref->index >= DV_MSG_ATT_MAX)
		return dv_err_set(refs->err, EBADMSG, DV_INVALID,
				  "names attachment %u of %zu", ref->index,
				  refs->n_atts);
	word = &refs->seen[ref->index / 32];
	bit = DV_BIT(ref->index % 32);
	if (*word & bit)
		return dv_err_set(refs->err, EBADMSG, DV_INVALID,
				  "names attachment %u twice", ref->index);
	*word |= bit;
	return 0;
}

static int check(struct refs *refs, const pb_msgdesc_t *fields, const void *st);

/* How many structs the submessage @field has; *p is the first. */
static size_t count(const pb_field_iter_t *field, const uint8_t **p)
{
	bool pointer = PB_ATYPE(field->type) == PB_ATYPE_POINTER;

	/* The iterator has followed the pointer of a single one already. */
	*p = field->pData;
	if (PB_ATYPE(field->type) == PB_ATYPE_CALLBACK)
		return 0;
	switch (PB_HTYPE(field->type)) {
	case PB_HTYPE_REPEATED:
		return *p ? *(const pb_size_t *)field->pSize : 0;
	case PB_HTYPE_ONEOF:
		return *p && *(const pb_size_t *)field->pSize == field->tag;
	case PB_HTYPE_OPTIONAL:
		return *p && (pointer || !field->pSize ||
			      *(const bool *)field->pSize);
	default:
		return *p != NULL;
	}
}

static int check_field(struct refs *refs, const pb_field_iter_t *field)
{
	const uint8_t *p;
	size_t n = count(field, &p);
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++, p += field->data_size)
		r = field->submsg_desc == dv_mesh_Ref_fields
			    ? check_ref(refs, (const void *)p)
			    : check(refs, field->submsg_desc, p);
	return r;
}

/* As deep as the message was when the scan let it pass. */
static int check(struct refs *refs, const pb_msgdesc_t *fields, const void *st)
{
	pb_field_iter_t field;
	int r = 0;

	if (!pb_field_iter_begin_const(&field, fields, st))
		return 0; /* no fields */
	do {
		if (PB_LTYPE_IS_SUBMSG(field.type))
			r = check_field(refs, &field);
	} while (r == 0 && pb_field_iter_next(&field));
	return r;
}

int dv_pb_open(const struct dv_msg *msg, const pb_msgdesc_t *fields, void *st,
	       struct dv_err *err)
{
	struct refs refs = { .n_atts = dv_msg_n_atts(msg), .err = err };
	int r = dv_pb_decode(fields, dv_msg_data(msg), dv_msg_len(msg), st,
			     err);

	if (r < 0)
		return r;
	r = check(&refs, fields, st);
	if (r < 0)
		dv_pb_release(fields, st);
	return r;
}

static int missing(const dv_mesh_Ref *ref, const char *what, struct dv_err *err)
{
	if (ref)
		return 0;
	return dv_err_set(err, EBADMSG, DV_INVALID, "%s: missing", what);
}

static int wrong(const struct dv_msg *msg, const dv_mesh_Ref *ref,
		 const char *what, const char *kind, struct dv_err *err)
{
	if (ref->index < dv_msg_n_atts(msg) &&
	    dv_msg_att(msg, ref->index) == DV_ATT_NONE)
		return dv_err_set(err, ENOENT, DV_INVALID,
				  "%s: attachment %u was taken before", what,
				  ref->index);
	return dv_err_set(err, EBADMSG, DV_INVALID,
			  "%s: attachment %u is no %s", what, ref->index, kind);
}

int dv_ref_fd(struct dv_msg *msg, const dv_mesh_Ref *ref, const char *what,
	      struct dv_err *err)
{
	int r = missing(ref, what, err);

	if (r < 0)
		return r;
	r = dv_msg_take_fd(msg, ref->index);
	if (r == -EMFILE)
		return dv_err_sys(err, EMFILE, "%s: lost on the way", what);
	return r < 0 ? wrong(msg, ref, what, "descriptor", err) : r;
}

struct dv_port *dv_ref_port(struct dv_msg *msg, const dv_mesh_Ref *ref,
			    const char *what, struct dv_err *err)
{
	struct dv_port *port;

	if (missing(ref, what, err) < 0)
		return NULL;
	port = dv_msg_take_port(msg, ref->index);
	if (!port)
		wrong(msg, ref, what, "port", err);
	return port;
}
