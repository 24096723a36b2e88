/* SPDX-License-Identifier: MIT */
/*
 * Processes: exec. What is done with them afterwards: diag_proc.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/opts.h"
#include "base/rlimit_name.h"
#include "runtime/client/diag.h"
#include "runtime/plan/spec.h"
#include "runtime/plan/users.h"
#include "wire/pb.h"

/* ---- the handle --------------------------------------------------------- */

int dv_diag_proc_of_pid(struct dv_diag *diag, int32_t pid,
			struct dv_diag_proc **procp)
{
	struct dv_diag_proc *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = (struct dv_diag_proc){ .diag = diag,
				    .pid = pid,
				    .fd = { -1, -1, -1 } };
	*procp = p;
	return 0;
}

struct dv_diag_proc *dv_diag_proc_free(struct dv_diag_proc *p)
{
	if (!p)
		return NULL;
	for (int i = 0; i < 3; i++)
		dv_close(p->fd[i]);
	free(p);
	return NULL;
}

int32_t dv_diag_proc_pid(const struct dv_diag_proc *p)
{
	return p->pid;
}

int dv_diag_proc_take_stdio(struct dv_diag_proc *p, int which)
{
	if (which < 0 || which > 2 || p->fd[which] < 0)
		return -ENOENT;
	return dv_take_fd(&p->fd[which]);
}

/* ---- exec ---------------------------------------------------------------- */

static size_t count(const char *const *words)
{
	size_t n = 0;

	while (words && words[n])
		n++;
	return n;
}

/* "KEY=VALUE" lends its value; keys are copied, one after the other. */
int dv_diag_env(const char *const *env, dv_EnvPair **pairsp, char **namesp,
		size_t *np)
{
	size_t n = count(env), total = 0;
	char *at;

	*np = n;
	for (size_t i = 0; i < n; i++)
		total += strcspn(env[i], "=") + 1;
	*pairsp = calloc(n + 1, sizeof(**pairsp));
	*namesp = at = malloc(total + 1);
	if (!*pairsp || !at)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		size_t len = strcspn(env[i], "=");

		memcpy(at, env[i], len);
		at[len] = '\0';
		(*pairsp)[i].name = at;
		if (env[i][len])
			(*pairsp)[i].value = dv_diag_borrow(env[i] + len + 1);
		at += len + 1;
	}
	return 0;
}

struct request {
	dv_EnvPair *env; /* owned */
	char *names;     /* owned */
	size_t n_env, n_argv;
};

static int put_v1(struct dv_op *op, const struct dv_diag_exec *e,
		  const struct request *q, struct dv_err *err)
{
	dv_ExecRequest m = dv_ExecRequest_init_zero;
	dv_Rlimit limits[DV_RLIMITS];

	for (size_t i = 0; i < e->n_rlimits; i++)
		limits[i] = (dv_Rlimit){
			.resource = (uint32_t)e->rlimits[i].resource,
			.soft = e->rlimits[i].soft,
			.hard = e->rlimits[i].hard,
		};
	m.rlimits = limits;
	m.rlimits_count = (pb_size_t)e->n_rlimits;
	m.argv = (char **)(uintptr_t)e->argv;
	m.argv_count = (pb_size_t)q->n_argv;
	m.env = q->env;
	m.env_count = (pb_size_t)q->n_env;
	m.clear_env = e->clear_env;
	m.cwd = e->cwd ? dv_diag_borrow(e->cwd) : NULL;
	m.has_ids = e->has_ids;
	m.ids.uid = e->uid;
	m.ids.gid = e->gid;
	m.ids.groups = (uint32_t *)(uintptr_t)e->groups;
	m.ids.groups_count = (pb_size_t)e->n_groups;
	m.combine_stderr = e->combine_stderr;
	m.terminal = e->tty;
	m.rows = e->rows;
	m.cols = e->cols;
	m.timeout_ms = e->timeout_ms > 0 ? (uint64_t)e->timeout_ms : 0;
	m.take_terminal = e->take_terminal;
	return dv_op_put(op, true, dv_ExecRequest_fields, &m, err);
}

static int put_old(struct dv_op *op, const struct dv_diag_exec *e,
		   const struct request *q, struct dv_err *err)
{
	dv_diag_ExecRequest m = dv_diag_ExecRequest_init_zero;

	static_assert(sizeof(dv_EnvPair) == sizeof(dv_diag_EnvPair),
		      "one schema, twice");
	m.command = dv_diag_borrow(e->argv[0]);
	m.args = (char **)(uintptr_t)(e->argv + 1);
	m.args_count = (pb_size_t)(q->n_argv - 1);
	m.tty = e->tty;
	m.env = (dv_diag_EnvPair *)(void *)q->env;
	m.env_count = (pb_size_t)q->n_env;
	m.clear_env = e->clear_env;
	m.combine_stderr = e->combine_stderr;
	m.raw_socket_io = e->raw;
	return dv_op_put(op, false, dv_diag_ExecRequest_fields, &m, err);
}

/* Beside DV_DIAG_STD*; F_OWN << n: stream n is the caller's descriptor. */
enum {
	F_RAW = 8,
	F_KEEP = 16,
	F_NEEDS_V1 = 32,
	F_TERMINAL = 64, /* its master comes with the answer */
	F_OWN = 128,
};

/* Measured: with 64 KiB the two ends wait for each other, and much more does
 * not stay in the processor's caches. */
enum { PIPE_BYTES = 1 << 17 };

/*
 * Output by a pipe of ours, whose other end goes to the server along with the
 * request: the command writes to us, and nobody copies in between.
 */
static int give_pipe(struct dv_op *op, int which, dv_Stdio *io,
		     struct dv_err *err)
{
	struct dv_diag_proc *p = op->own;
	int fds[2], r = dv_pipe(fds);

	if (r == 0) {
		dv_pipe_widen(fds[1], PIPE_BYTES);
		p->fd[which] = fds[0];
		op->give[op->n_give++] = fds[1];
		r = dv_fd_nonblock(fds[0], true);
	}
	io->mode = dv_StdioMode_STDIO_FD;
	io->fd = (uint32_t)op->n_give; /* counted from 1 */
	return r < 0 ? dv_err_sys(err, -r, "create a pipe") : 0;
}

/* The caller's own descriptors are the first that come along. */
static uint32_t own_number(const struct dv_op *op, int which)
{
	uint32_t n = 0;

	for (int i = 0; i <= which; i++)
		n += (op->arg & (F_OWN << i)) != 0;
	return n;
}

static int conns_v1(struct dv_op *op, const uint64_t id[3], struct dv_err *err)
{
	dv_ExecRequest m = dv_ExecRequest_init_zero;
	dv_Stdio *io[3] = { &m.stdin, &m.stdout, &m.stderr };

	m.has_stdin = m.has_stdout = m.has_stderr = true;
	for (int i = 0; i < 3; i++) {
		if (op->arg & (F_OWN << i)) {
			io[i]->mode = dv_StdioMode_STDIO_FD;
			io[i]->fd = own_number(op, i);
			continue;
		}
		if (i && op->gives && (op->arg & DV_BIT(i))) {
			int r = give_pipe(op, i, io[i], err);
			if (r < 0)
				return r;
			continue;
		}
		io[i]->mode = !id[i]            ? dv_StdioMode_STDIO_NULL
			      : op->arg & F_RAW ? dv_StdioMode_STDIO_RAW
						: dv_StdioMode_STDIO_CONN;
		io[i]->conn = id[i];
		io[i]->keep = id[i] && i && (op->arg & F_KEEP);
	}
	return dv_op_put(op, true, dv_ExecRequest_fields, &m, err);
}

/* What this server cannot do, which the caller asked for. */
static int check_server(const struct dv_op *op, struct dv_err *err)
{
	if (!op->v1 && (op->arg & F_NEEDS_V1))
		return dv_err_set(
			err, ENOTSUP, DV_UNIMPLEMENTED,
			"this server cannot set a directory, a user, "
			"limits, or keep output (it has no davit.v1)");
	if ((op->arg & (F_TERMINAL | 7 * F_OWN)) && !op->gives)
		return dv_err_set(err, ENOTSUP, DV_UNIMPLEMENTED,
				  "descriptors can only be given to a davit on "
				  "this machine");
	return 0;
}

static int conns_exec(struct dv_op *op, struct dv_err *err)
{
	dv_diag_ExecRequest m = dv_diag_ExecRequest_init_zero;
	struct dv_diag_proc *p = op->own;
	uint64_t id[3] = { 0 };
	size_t n = 0;
	int r = check_server(op, err);

	if (r < 0)
		return r;
	for (int i = 0; i < 3; i++) {
		if (!(op->arg & DV_BIT(i)) || (i && op->gives))
			continue;
		id[i] = op->conns[n].id;
		p->fd[i] = dv_diag_conn_take(op, n++);
	}
	if (op->v1)
		return conns_v1(op, id, err);
	m.stdin = id[0];
	m.stdout = id[1];
	m.stderr = id[2];
	return dv_op_put(op, false, dv_diag_ExecRequest_fields, &m, err);
}

/* Others' servers have one code for everything, and a text; davit.v1 says "exec
 * NAME: ..." of the command, and something else of its directory or user. */
static void name_step(const struct dv_op *op, struct dv_err *err)
{
	if (err->step || (op->v1 && strncmp(err->msg, "exec ", 5) != 0))
		return;
	if (err->code == DV_NOT_FOUND || strstr(err->msg, "(os error 2)"))
		err->step = DV_STEP_LOOKUP;
	else if (err->code == DV_DENIED || strstr(err->msg, "(os error 13)") ||
		 strstr(err->msg, "(os error 8)"))
		err->step = DV_STEP_EXEC;
}

static int take_reply(struct dv_op *op, const struct dv_rpc_reply *reply,
		      struct dv_diag_proc *p, struct dv_err *err)
{
	dv_diag_ExecResponse old = dv_diag_ExecResponse_init_zero;
	dv_ExecReply m = dv_ExecReply_init_zero;
	int r;

	if (!op->v1) {
		r = dv_pb_decode(dv_diag_ExecResponse_fields, reply->payload,
				 reply->len, &old, err);
		p->pid = old.pid;
		return r;
	}
	r = dv_pb_decode(dv_ExecReply_fields, reply->payload, reply->len, &m,
			 err);
	p->pid = m.pid;
	p->id = m.id;
	return r;
}

static int take_terminal(struct dv_diag_proc *p,
			 const struct dv_rpc_reply *reply, struct dv_err *err)
{
	if (reply->n_fds != 1)
		return dv_err_set(err, EBADMSG, DV_INTERNAL,
				  "the terminal did not come along");
	p->fd[0] = dv_take_fd(&reply->fds[0]);
	return dv_fd_nonblock(p->fd[0], true);
}

static int reply_exec(struct dv_op *op, const struct dv_rpc_reply *reply,
		      struct dv_err *err)
{
	struct dv_diag_proc *p = op->own, **procp = op->out[0];
	int r = reply->r;

	if (r < 0) {
		name_step(op, err);
		/* "exec NAME: ..." says what it was about. */
		if (!strncmp(err->msg, "exec ", 5))
			op->what = "";
		return r;
	}
	r = take_reply(op, reply, p, err);
	if (r == 0 && (op->arg & F_TERMINAL))
		r = take_terminal(p, reply, err);
	if (r < 0)
		return r;
	p->ours = true;
	*procp = p;
	op->own = NULL;
	return 0;
}

static void deinit_exec(struct dv_op *op)
{
	dv_diag_proc_free(op->own);
}

static const struct dv_diag_kind kind_exec = {
	.what = "exec",
	.v1 = "Exec",
	.service = DV_DIAG_OLD,
	.method = "Exec",
	.conns = conns_exec,
	.reply = reply_exec,
	.wants_errors = true,
	.deinit = deinit_exec,
};

static int fill_exec(struct dv_op *op, const struct dv_diag_exec *e,
		     struct dv_err *err)
{
	struct request q = { .n_argv = count(e->argv) };
	struct dv_diag_proc *p = NULL;
	int r = dv_diag_proc_of_pid(op->diag, 0, &p);

	op->own = p;
	if (r == 0)
		r = dv_diag_env(e->env, &q.env, &q.names, &q.n_env);
	if (r < 0)
		dv_err_sys(err, -r, "exec %s", e->argv[0]);
	else if (q.n_argv > DV_PLAN_ARGS_MAX || q.n_env > DV_PLAN_ARGS_MAX)
		r = dv_spec_too_many(DV_PLAN_ARGS_MAX,
				     q.n_argv > DV_PLAN_ARGS_MAX ? "arguments"
								 : "variables",
				     err);
	if (r == 0)
		r = put_v1(op, e, &q, err);
	if (r == 0)
		r = put_old(op, e, &q, err);
	free(q.env);
	free(q.names);
	return r;
}

/* Who blocks until it is done may lend them; others' may be gone by then. */
static int give_own(struct dv_op *op, const struct dv_diag_exec *e,
		    struct dv_err *err)
{
	for (int i = 0; i < 3; i++) {
		int fd = e->fd[i];

		if (!(e->own & DV_BIT(i)))
			continue;
		if (op->how.fn)
			fd = dv_fd_dup(fd, 3);
		if (fd < 0)
			return dv_err_sys(err, fd == -1 ? EBADF : -fd,
					  "descriptor of stream %d", i);
		op->give[op->n_give++] = fd;
		op->n_lent += !op->how.fn;
		op->arg |= F_OWN << i;
	}
	return 0;
}

/* Which streams there are, and how they come here. */
static int plan_streams(struct dv_op *op, const struct dv_diag_exec *e,
			struct dv_err *err)
{
	op->arg = e->stdio & ~e->own & 7;
	if (e->tty) /* there is one way out of a terminal */
		op->arg &= ~(uint32_t)DV_DIAG_STDERR;
	if (e->take_terminal)
		op->arg = F_TERMINAL;
	for (uint32_t bits = op->arg & 7; bits; bits &= bits - 1)
		op->n_conns_v1++;
	op->n_conns_old = op->n_conns_v1;
	op->n_conns_fds = op->arg & DV_DIAG_STDIN;
	op->may_give = e->take_terminal || e->own ||
		       (!e->tty && !e->raw && !e->keep && !e->relayed);
	op->arg |= (e->raw ? F_RAW : 0U) | (e->keep ? F_KEEP : 0U);
	if (e->cwd || e->has_ids || e->n_rlimits || e->keep || e->own ||
	    e->take_terminal)
		op->arg |= F_NEEDS_V1;
	return give_own(op, e, err);
}

static int check_exec(const struct dv_diag_exec *e, struct dv_err *err)
{
	uint32_t others = DV_DIAG_STDERR;

	if (!e->argv || !e->argv[0])
		return dv_err_set(err, EINVAL, DV_INVALID, "exec: no command");
	if (e->user)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "exec: users have no names there");
	if (e->n_groups > DV_USER_GROUPS_MAX)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "exec: more than %d groups",
				  DV_USER_GROUPS_MAX);
	if (e->n_rlimits > DV_RLIMITS)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "exec: more than %d resource limits",
				  DV_RLIMITS);
	if (e->take_terminal && (!e->tty || (e->own & ~others)))
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "exec: a terminal to take has no other "
				  "streams");
	if (e->own && (e->raw || e->keep || e->relayed))
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "exec: nobody relays or keeps the streams "
				  "of own descriptors");
	return 0;
}

int dv_diag_exec(struct dv_diag *diag, const struct dv_diag_exec *exec,
		 struct dv_diag_proc **procp, const struct dv_how *how,
		 struct dv_err *err)
{
	struct dv_diag_exec e = DV_DIAG_EXEC_INIT;
	struct dv_op *op;
	int r = dv_opts_copy(&e, sizeof(e), exec, err);

	if (r == 0)
		r = check_exec(&e, err);
	if (r < 0)
		return r;
	r = dv_op_new(diag, &kind_exec, how, &op, err);
	if (r < 0)
		return r;
	op->out[0] = procp;
	r = plan_streams(op, &e, err);
	if (r == 0)
		r = fill_exec(op, &e, err);
	return dv_op_go(op, r, err);
}
