/* SPDX-License-Identifier: MIT */
/*
 * DOC: streams
 *
 * davit.v1 answers a call for a stream when the stream has ended, and says how:
 * the stream keeps that call. Others answer at the start and then say nothing;
 * for a core they run a program, whose status and messages tell.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/opts.h"
#include "runtime/client/diag.h"
#include "wire/pb.h"

#define DUMP_PROGRAM "/bin/underhill-dump"

/* ---- the handle ---------------------------------------------------------- */

struct dv_diag_stream *dv_diag_stream_free(struct dv_diag_stream *s)
{
	if (!s)
		return NULL;
	if (s->call)
		dv_rpc_cancel(s->call);
	if (s->waits)
		dv_op_drop(s->waits);
	dv_kmsg_iter_free(s->it);
	dv_close(s->fd);
	dv_close(s->errfd);
	free(s);
	return NULL;
}

int dv_diag_stream_fd(const struct dv_diag_stream *s)
{
	return s->fd;
}

int dv_diag_stream_take_fd(struct dv_diag_stream *s)
{
	return s->fd < 0 ? -ENOENT : dv_take_fd(&s->fd);
}

int64_t dv_diag_stream_read(struct dv_diag_stream *s, void *buf, size_t len,
			    int timeout_ms, struct dv_err *err)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };
	ssize_t n;
	int r;

	for (;;) {
		n = dv_read(s->fd, buf, len);
		if (n != -EAGAIN)
			break;
		r = poll(&p, 1, timeout_ms);
		if (r == 0)
			return dv_err_set(err, ETIMEDOUT, DV_DEADLINE,
					  "nothing within %d ms", timeout_ms);
		if (r < 0 && errno != EINTR)
			return dv_err_sys(err, errno, "wait for the stream");
	}
	return n < 0 ? dv_err_sys(err, (int)-n, "read the stream") : n;
}

/* ---- how it ended -------------------------------------------------------- */

static void tell(struct dv_diag_stream *s, int r, const struct dv_err *err)
{
	struct dv_op *op = s->waits;

	s->told = true;
	s->r = r;
	if (r < 0 && err)
		s->err = *err;
	s->waits = NULL;
	if (op) {
		op->own = NULL;
		dv_op_end(op, r, &s->err);
	}
}

static void on_told(struct dv_rpc_call *call DV_UNUSED,
		    const struct dv_rpc_reply *reply, void *arg)
{
	struct dv_diag_stream *s = arg;

	s->call = NULL;
	tell(s, reply->r, reply->err);
}

static int begin_end(struct dv_op *op, struct dv_err *err)
{
	struct dv_diag_stream *s = op->own;

	if (!s->told) {
		s->waits = op;
		return 0;
	}
	op->own = NULL;
	if (s->r < 0)
		*err = s->err;
	return s->r < 0 ? s->r : DV_EOF;
}

static void deinit_end(struct dv_op *op)
{
	struct dv_diag_stream *s = op->own;

	if (s && s->waits == op)
		s->waits = NULL;
}

/* Whoever asks knows what the stream was. */
static const struct dv_diag_kind kind_end = { .what = "",
					      .begin = begin_end,
					      .deinit = deinit_end };

int dv_diag_stream_end(struct dv_diag_stream *s, const struct dv_how *how,
		       struct dv_err *err)
{
	struct dv_op *op;
	int r;

	if (s->waits)
		return dv_err_sys(err, EBUSY, "the end of a stream");
	r = dv_op_new(s->diag, &kind_end, how, &op, err);
	if (r < 0)
		return r;
	op->own = s;
	return dv_op_go(op, 0, err);
}

/* ---- opening ------------------------------------------------------------- */

int dv_diag_stream_op(struct dv_diag *diag, const struct dv_diag_kind *kind,
		      const struct dv_how *how, struct dv_diag_stream **streamp,
		      struct dv_op **opp, struct dv_err *err)
{
	struct dv_diag_stream *s;
	int r = dv_op_new(diag, kind, how, opp, err);

	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s) {
		dv_op_drop(*opp);
		return dv_err_sys(err, ENOMEM, "%s", kind->what);
	}
	s->diag = diag;
	s->fd = s->errfd = -1;
	(*opp)->own = s;
	(*opp)->out[0] = streamp;
	return 0;
}

static void deinit_stream(struct dv_op *op)
{
	dv_diag_stream_free(op->own);
}

/* It is the caller's now. */
static void hand_over(struct dv_op *op)
{
	struct dv_diag_stream **streamp = op->out[0];

	*streamp = op->own;
	op->own = NULL;
}

static int reply_begun(struct dv_op *op,
		       const struct dv_rpc_reply *reply DV_UNUSED,
		       struct dv_err *err DV_UNUSED)
{
	struct dv_diag_stream *s = op->own;

	s->told = true;
	hand_over(op);
	return 0;
}

/* davit.v1 answers at the end; the others' answer is the beginning. */
static int call_stream(struct dv_op *op, struct dv_err *err)
{
	const struct dv_buf *rq = &op->request[1];
	struct dv_diag_stream *s = op->own;
	int r;

	s->fd = dv_diag_conn_take(op, 0);
	if (!op->v1)
		return dv_op_call(op, NULL, err);
	r = dv_rpc_call(op->diag->rpc, &s->call, DV_DIAG_V1, op->kind->v1,
			rq->data, rq->len, NULL, on_told, s, err);
	if (r == 0)
		hand_over(op);
	return r;
}

/* ---- files -----------------------------------------------------------------
 */

static int check_file(struct dv_op *op, struct dv_err *err)
{
	if (op->v1 || !op->arg)
		return 0;
	return dv_err_set(err, ENOTSUP, DV_UNIMPLEMENTED,
			  "this server reads files from their beginning to "
			  "their end (it has no davit.v1)");
}

static const struct dv_diag_kind kind_file = {
	.what = "read file",
	.v1 = "ReadFile",
	.service = DV_DIAG_OLD,
	.method = "ReadFile",
	.conn_field = { dv_diag_FileRequest_conn_tag,
			dv_ReadFileRequest_conn_tag },
	.conns = check_file,
	.call = call_stream,
	.reply = reply_begun,
	.deinit = deinit_stream,
};

int dv_diag_read_file(struct dv_diag *diag, const char *path,
		      const struct dv_diag_file_opts *opts,
		      struct dv_diag_stream **streamp, const struct dv_how *how,
		      struct dv_err *err)
{
	struct dv_diag_file_opts o = { .size = sizeof(o) };
	dv_diag_FileRequest old = dv_diag_FileRequest_init_zero;
	dv_ReadFileRequest m = dv_ReadFileRequest_init_zero;
	struct dv_op *op;
	int r = opts ? dv_opts_copy(&o, sizeof(o), opts, err) : 0;

	if (r < 0)
		return r;
	r = dv_diag_stream_op(diag, &kind_file, how, streamp, &op, err);
	if (r < 0)
		return r;
	m.path = old.file_path = dv_diag_borrow(path);
	m.follow = old.follow = o.follow;
	m.offset = o.offset;
	m.length = o.length;
	op->arg = o.offset || o.length;
	r = dv_op_put(op, true, dv_ReadFileRequest_fields, &m, err);
	if (r == 0)
		r = dv_op_put(op, false, dv_diag_FileRequest_fields, &old, err);
	return dv_op_go(op, r, err);
}

/* ---- cores ------------------------------------------------------------------
 */

/* The program's last words, of what has arrived. */
static void last_words(struct dv_diag_stream *s, struct dv_err *err)
{
	char text[256];
	ssize_t n = dv_read(s->errfd, text, sizeof(text) - 1);

	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
		n--;
	text[dv_max(n, 0)] = '\0';
	dv_err_set(err, EIO, DV_UNKNOWN, "%s: %s", DUMP_PROGRAM,
		   n > 0 ? text : "failed");
}

static void on_dump_exit(struct dv_rpc_call *call DV_UNUSED,
			 const struct dv_rpc_reply *reply, void *arg)
{
	dv_diag_WaitResponse m = dv_diag_WaitResponse_init_zero;
	struct dv_diag_stream *s = arg;
	struct dv_err err = DV_ERR_INIT;
	int r = dv_diag_said(&s->call, reply, &err);

	if (r >= 0)
		r = dv_pb_decode(dv_diag_WaitResponse_fields, reply->payload,
				 reply->len, &m, &err);
	if (r >= 0 && m.exit_code) {
		last_words(s, &err);
		r = -EIO;
	}
	tell(s, r, &err);
}

/* The program says on stderr what goes wrong. */
static int conns_core(struct dv_op *op, struct dv_err *err)
{
	dv_diag_ExecRequest old = dv_diag_ExecRequest_init_zero;
	struct dv_diag_stream *s = op->own;

	if (op->v1)
		return 0;
	old.stderr = op->conns[1].id;
	s->errfd = dv_diag_conn_take(op, 1);
	return dv_op_put(op, false, dv_diag_ExecRequest_fields, &old, err);
}

/* It runs: wait for it from now on. */
static int reply_core(struct dv_op *op, const struct dv_rpc_reply *reply,
		      struct dv_err *err)
{
	struct dv_diag_stream *s = op->own;
	dv_diag_ExecResponse m = dv_diag_ExecResponse_init_zero;
	dv_diag_WaitRequest wait = dv_diag_WaitRequest_init_zero;
	dv_autobuf out = DV_BUF_INIT(64);
	int r = dv_pb_decode(dv_diag_ExecResponse_fields, reply->payload,
			     reply->len, &m, err);

	wait.pid = m.pid;
	if (r >= 0)
		r = dv_pb_encode(dv_diag_WaitRequest_fields, &wait, &out, err);
	if (r >= 0)
		r = dv_rpc_call(op->diag->rpc, &s->call, DV_DIAG_OLD, "Wait",
				out.data, out.len, NULL, on_dump_exit, s, err);
	if (r >= 0)
		hand_over(op);
	return r;
}

static const struct dv_diag_kind kind_core = {
	.what = "core",
	.v1 = "Core",
	.service = DV_DIAG_OLD,
	.method = "Exec",
	.conn_field = { dv_diag_ExecRequest_stdout_tag,
			dv_CoreRequest_conn_tag },
	.conns = conns_core,
	.call = call_stream,
	.reply = reply_core,
	.deinit = deinit_stream,
};

int dv_diag_core(struct dv_diag *diag, int32_t pid,
		 struct dv_diag_stream **streamp, const struct dv_how *how,
		 struct dv_err *err)
{
	dv_diag_ExecRequest old = dv_diag_ExecRequest_init_zero;
	dv_CoreRequest m = dv_CoreRequest_init_zero;
	char number[16], *args[] = { number };
	struct dv_op *op;
	int r = dv_diag_stream_op(diag, &kind_core, how, streamp, &op, err);

	if (r < 0)
		return r;
	op->n_conns_old = 2;
	m.pid = pid;
	dv_fmt(number, sizeof(number), "%d", pid);
	old.command = dv_diag_borrow(DUMP_PROGRAM);
	old.args = args;
	old.args_count = 1;
	old.raw_socket_io = true;
	r = dv_op_put(op, true, dv_CoreRequest_fields, &m, err);
	if (r == 0)
		r = dv_op_put(op, false, dv_diag_ExecRequest_fields, &old, err);
	return dv_op_go(op, r, err);
}

/* ---- kernel log: its records are in diag_kmsg.c -------------------------- */

static const struct dv_diag_kind kind_kmsg = {
	.what = "kmsg",
	.v1 = "Kmsg",
	.service = DV_DIAG_OLD,
	.method = "Kmsg",
	.conn_field = { dv_diag_KmsgRequest_conn_tag, dv_KmsgRequest_conn_tag },
	.call = call_stream,
	.reply = reply_begun,
	.deinit = deinit_stream,
};

static int fill_kmsg(struct dv_op *op, const struct dv_diag_kmsg_opts *o,
		     struct dv_err *err)
{
	dv_diag_KmsgRequest old = dv_diag_KmsgRequest_init_zero;
	dv_KmsgRequest m = dv_KmsgRequest_init_zero;
	struct dv_diag_stream *s = op->own;
	int r = dv_kmsg_iter_new(&s->it);

	if (r < 0)
		return dv_err_sys(err, -r, "kmsg");
	s->has_after = o->has_after;
	s->after = o->after;
	m.follow = old.follow = o->follow;
	m.has_after = o->has_after;
	m.after = o->after;
	r = dv_op_put(op, true, dv_KmsgRequest_fields, &m, err);
	return r < 0 ? r
		     : dv_op_put(op, false, dv_diag_KmsgRequest_fields, &old,
				 err);
}

int dv_diag_kmsg(struct dv_diag *diag, const struct dv_diag_kmsg_opts *opts,
		 struct dv_diag_stream **streamp, const struct dv_how *how,
		 struct dv_err *err)
{
	struct dv_diag_kmsg_opts o = { .size = sizeof(o) };
	struct dv_op *op;
	int r = opts ? dv_opts_copy(&o, sizeof(o), opts, err) : 0;

	if (r < 0)
		return r;
	r = dv_diag_stream_op(diag, &kind_kmsg, how, streamp, &op, err);
	return r < 0 ? r : dv_op_go(op, fill_kmsg(op, &o, err), err);
}
