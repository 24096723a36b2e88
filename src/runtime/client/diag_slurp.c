/* SPDX-License-Identifier: MIT */
/*
 * Answers that are larger than a message may be: davit.v1 sends them over a
 * data connection, and answers when that has ended; others send one message.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include <pb_decode.h>

#include "base/def.h"
#include "base/fd.h"
#include "runtime/client/diag.h"
#include "wire/pb.h"

enum {
	SLURP_MAX = 256 << 20, /* of an agent with the most processes */
	CHUNK = 64 << 10,
};

struct slurp {
	struct dv_op *op;
	struct dv_src src;
	int fd; /* owned */
	struct dv_buf buf;
	bool ended, told;
};

static void deinit_slurp(struct dv_op *op)
{
	struct slurp *s = op->own;

	if (!s)
		return;
	dv_src_del(&s->src);
	dv_close(s->fd);
	dv_buf_free(&s->buf);
	free(s);
}

static int give(struct dv_op *op, struct dv_buf *buf, struct dv_err *err)
{
	void **datap = op->out[0];
	size_t *lenp = op->out[1], len = buf->len;
	char *data = dv_buf_take(buf);

	if (!data)
		return dv_err_sys(err, ENOMEM, "keep the answer");
	*datap = data;
	if (lenp)
		*lenp = len;
	return 0;
}

/* ---- davit.v1 ------------------------------------------------------------ */

static void both(struct slurp *s)
{
	struct dv_err err = DV_ERR_INIT;

	if (s->ended && s->told)
		dv_op_end(s->op, give(s->op, &s->buf, &err), &err);
}

static void on_told(struct dv_rpc_call *call DV_UNUSED,
		    const struct dv_rpc_reply *reply, void *arg)
{
	struct dv_op *op = arg;
	struct slurp *s = op->own;

	op->call = NULL;
	s->told = true;
	if (reply->r < 0)
		dv_op_end(op, reply->r, reply->err);
	else
		both(s);
}

static void on_data(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct slurp *s = dv_container_of(src, struct slurp, src);
	struct dv_err err = DV_ERR_INIT;
	void *at = dv_buf_room(&s->buf, CHUNK);
	ssize_t n = at ? dv_read(s->fd, at, CHUNK) : dv_buf_status(&s->buf);

	if (n == -EAGAIN)
		return;
	if (n < 0) {
		dv_err_sys(&err, (int)-n, "read the answer");
		dv_op_end(s->op, (int)n, &err);
		return;
	}
	dv_buf_add(&s->buf, (size_t)n);
	if (n > 0)
		return;
	dv_src_del(&s->src);
	s->ended = true;
	both(s);
}

static int call_slurp(struct dv_op *op, struct dv_err *err)
{
	struct slurp *s = op->own;
	int r;

	if (!op->v1)
		return dv_op_call(op, NULL, err);
	s->fd = dv_diag_conn_take(op, 0);
	r = dv_src_add(op->diag->loop, &s->src, s->fd, EPOLLIN, on_data);
	if (r < 0)
		return dv_err_sys(err, -r, "watch the answer");
	return dv_op_call(op, on_told, err);
}

/* ---- others ---------------------------------------------------------------
 */

static bool take_bytes(pb_istream_t *in, const pb_field_t *field DV_UNUSED,
		       void **arg)
{
	struct dv_buf *buf = *arg;
	size_t len = in->bytes_left;
	void *at = dv_buf_room(buf, len);

	if (!at || !pb_read(in, at, len))
		return false;
	dv_buf_add(buf, len);
	return true;
}

static int reply_slurp(struct dv_op *op, const struct dv_rpc_reply *reply,
		       struct dv_err *err)
{
	dv_diag_DumpSavedStateResponse m =
		dv_diag_DumpSavedStateResponse_init_zero;
	struct slurp *s = op->own;
	int r;

	/* A profile has the same one field. */
	m.data.funcs.decode = take_bytes;
	m.data.arg = &s->buf;
	r = dv_pb_decode(dv_diag_DumpSavedStateResponse_fields, reply->payload,
			 reply->len, &m, err);
	return r < 0 ? r : give(op, &s->buf, err);
}

static int new_slurp(struct dv_diag *diag, const struct dv_diag_kind *kind,
		     void **datap, size_t *lenp, const struct dv_how *how,
		     struct dv_op **opp, struct dv_err *err)
{
	struct slurp *s;
	int r = dv_op_new(diag, kind, how, opp, err);

	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s) {
		dv_op_drop(*opp);
		return dv_err_sys(err, ENOMEM, "%s", kind->what);
	}
	*s = (struct slurp){ .op = *opp,
			     .src = DV_SRC_INIT,
			     .fd = -1,
			     .buf = DV_BUF_INIT(SLURP_MAX) };
	(*opp)->own = s;
	(*opp)->out[0] = datap;
	(*opp)->out[1] = lenp;
	return 0;
}

/* ---- saved state ------------------------------------------------------------
 */

static const struct dv_diag_kind kind_saved_state = {
	.what = "saved state",
	.v1 = "SavedState",
	.service = DV_DIAG_OLD,
	.method = "DumpSavedState",
	.conn_field = { 0, dv_SavedStateRequest_conn_tag },
	.call = call_slurp,
	.reply = reply_slurp,
	.deinit = deinit_slurp,
};

int dv_diag_saved_state(struct dv_diag *diag, void **datap, size_t *lenp,
			const struct dv_how *how, struct dv_err *err)
{
	struct dv_op *op;
	int r = new_slurp(diag, &kind_saved_state, datap, lenp, how, &op, err);

	return r < 0 ? r : dv_op_go(op, 0, err);
}

/* ---- memory profile ---------------------------------------------------------
 */

static const struct dv_diag_kind kind_mem_profile = {
	.what = "memory profile",
	.v1 = "MemProfile",
	.service = DV_DIAG_NEW,
	.method = "MemoryProfileTrace",
	.conn_field = { 0, dv_MemProfileRequest_conn_tag },
	.call = call_slurp,
	.reply = reply_slurp,
	.deinit = deinit_slurp,
};

int dv_diag_mem_profile(struct dv_diag *diag, int32_t pid, void **datap,
			size_t *lenp, const struct dv_how *how,
			struct dv_err *err)
{
	dv_diag_MemoryProfileTraceRequest old =
		dv_diag_MemoryProfileTraceRequest_init_zero;
	dv_MemProfileRequest m = dv_MemProfileRequest_init_zero;
	struct dv_op *op;
	int r = new_slurp(diag, &kind_mem_profile, datap, lenp, how, &op, err);

	if (r < 0)
		return r;
	old.pid = m.pid = pid;
	r = dv_op_put(op, true, dv_MemProfileRequest_fields, &m, err);
	if (r == 0)
		r = dv_op_put(op, false,
			      dv_diag_MemoryProfileTraceRequest_fields, &old,
			      err);
	return dv_op_go(op, r, err);
}
