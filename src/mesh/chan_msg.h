/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What channels add to a message, behind the program's own bytes: see
 * wire/mesh.proto. A program's message costs nothing but a look at its last
 * bytes, and is never copied unless it ends in the mark by chance.
 *
 * And what all of them do with ports.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "davit/channel.h"
#include "wire/mesh.pb.h"

enum {
	/* The encoded trailer; its length is one byte. */
	DV_CHAN_TRAILER_MAX = 64,
	/* That byte and the mark. */
	DV_CHAN_MARK = 8,
};

/* Would @data be taken for a message with a trailer? Then it needs one. */
bool dv_chan_marked(const void *data, size_t len);

/*
 * Append @trailer (NULL: an empty one). *msgp may be another message after
 * that; its attachments keep their numbers. On failure it is freed and NULL.
 * Returns 0, -ENOMEM, -EMSGSIZE.
 */
int dv_chan_append(struct dv_msg **msgp, const dv_mesh_Trailer *trailer,
		   struct dv_err *err);

/* @data with @trailer, as a new message. NULL: no memory, or too long. */
struct dv_msg *dv_chan_msg(const void *data, size_t len,
			   const dv_mesh_Trailer *trailer);

/*
 * Take the trailer off a message that has come; it is all zero when it had
 * none, or an empty one. Ports that it names are there. Returns 0, or -EBADMSG
 * with DV_INVALID: it is no trailer, or one of an unknown kind.
 */
int dv_chan_strip(struct dv_msg *msg, dv_mesh_Trailer *trailer,
		  struct dv_err *err);

/* The port that @ref names; -EBADMSG. When it is the last attachment, the
 * program does not see that it was there. */
int dv_chan_take_ref(struct dv_msg *msg, bool has, const dv_mesh_Ref *ref,
		     struct dv_port **portp, struct dv_err *err);

/* For X_take(). NULL with @err filled. */
struct dv_port *dv_chan_take_port(struct dv_msg *msg, size_t n,
				  struct dv_err *err);

/*
 * Put @n ports (consumed) into one, *portp: its other end has sent them as
 * "ports", and is closed. However many they are, no message has more than
 * DV_MSG_ATT_MAX, because the last port of one may bring the next. @head
 * (borrowed; NULL: none): an update, which comes with the first of them.
 * Returns 0, -ENOMEM, -ENFILE and so on.
 */
struct dv_chan_head {
	const void *data;
	size_t len;
	uint64_t version;
};
int dv_chan_pack(struct dv_mesh *mesh, struct dv_port **ports, size_t n,
		 const struct dv_chan_head *head, struct dv_port **portp,
		 struct dv_err *err);
/*
 * One port, *portp, on which comes @head (borrowed; version 0: plain bytes),
 * and then: what @rest (consumed) would receive; or, when it is NULL, the end,
 * for
 * @reason (borrowed; NULL: none).
 */
int dv_chan_follow(struct dv_mesh *mesh, const struct dv_chan_head *head,
		   struct dv_port *rest, const struct dv_err *reason,
		   struct dv_port **portp);
/* "Here is @port" (consumed), to @to. As dv_port_send(). */
int dv_chan_give(struct dv_port *to, struct dv_port *port, struct dv_err *err);

/* A pair that fails with a message. */
int dv_chan_pair(struct dv_mesh *mesh, struct dv_port *pair[2],
		 struct dv_err *err);

/* A port whose end a new holder should hear: *portp (owned). Used where what
 * was attached has ended before. */
int dv_chan_ended_port(struct dv_mesh *mesh, const struct dv_err *why,
		       struct dv_port **portp, struct dv_err *err);

/*
 * How a stream says that it is complete: the reason of its close. Anything else
 * that ends a port, its being dropped unread included, is no such end.
 */
void dv_chan_fin(struct dv_err *err);
bool dv_chan_is_fin(const struct dv_port_end *end);
/* A program's reason that reads the same is changed. @why may be NULL: then it
 * is DV_ABORTED with @text. */
void dv_chan_reason(struct dv_err *out, const struct dv_err *why,
		    const char *text);

/* The number that goes with @err, which may have come from a peer. < 0. */
int dv_chan_errno(const struct dv_err *err);
/* An end without a reason, for what broke the rules. */
void dv_chan_broke(struct dv_port_end *end, const struct dv_err *err);

/* Deadlines: ns from now to a time, and back; UINT64_MAX: never. 0: over. */
uint64_t dv_chan_left(uint64_t at_ns);
uint64_t dv_chan_at(uint64_t left_ns);
