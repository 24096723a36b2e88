/* SPDX-License-Identifier: MIT */
/*
 * DOC: davit exec
 *
 * A stream of ours that is no terminal becomes the command's own; one that is
 * becomes a pipe of ours, or the command gets a terminal whose master the
 * keeper gives away. Either way the keeper carries no byte. It ends when the
 * command's exit is known and what we relay has ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <davit/sandbox.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/num.h"
#include "cli/exec_args.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/signals.h"
#include "cli/streams.h"
#include "cli/target.h"
#include "cli/term.h"
#include "cli/verbs.h"

enum {
	START_MS = 30000, /* a machine that is very busy */
	/* For a keeper that went to leave its word. */
	ASK_MS = 3000,
};

struct session {
	struct exec_args args;
	struct dv_diag_exec exec;
	struct dv_sandbox *sb;     /* owned */
	struct dv_loop *loop;      /* of sb */
	struct dv_diag_proc *proc; /* owned */
	struct dv_streams streams;
	struct dv_signals signals;
	struct dv_op *wait;
	struct dv_exit exit;
	bool exited, asked_again;
	int r;
	struct dv_err err;
};

/* ---- its end --------------------------------------------------------------
 */

static void on_wait(void *arg, int r, const struct dv_err *err);

static int wait_for_exit(struct session *s, struct dv_err *err)
{
	struct dv_how how = DV_HOW_INIT;

	how.fn = on_wait;
	how.arg = s;
	how.opp = &s->wait;
	return dv_diag_wait(s->proc, &s->exit, &how, err);
}

static void ended(struct session *s)
{
	s->exited = true;
	dv_streams_ended(&s->streams, s->loop);
}

static void on_wait(void *arg, int r, const struct dv_err *err)
{
	struct session *s = arg;

	s->wait = NULL;
	/* The keeper has the answer until it is fetched: ask once more. */
	if (r < 0 && err->code == DV_UNAVAILABLE && !s->asked_again) {
		s->asked_again = true;
		r = wait_for_exit(s, &s->err);
		if (r == 0)
			return;
		err = &s->err;
	}
	s->r = r;
	if (r < 0)
		s->err = *err;
	ended(s);
}

/* As davit run says it; no hint comes from a keeper. */
static void hint_command(const struct session *s, struct dv_err *err)
{
	if (err->step == DV_STEP_LOOKUP && !strchr(s->exec.argv[0], '/'))
		dv_err_hint(err, "it is in no directory of the sandbox's PATH");
	else if (err->step == DV_STEP_EXEC)
		dv_err_hint(err, "is it a file with execute permission, on a "
				 "file system that allows it?");
}

/*
 * The keeper could not be asked (any more): what became of it? An exec that was
 * lost has no status, whatever the sandbox had.
 */
static int explain(struct session *s, int r, struct dv_err *err)
{
	const struct dv_sandbox_info *info;
	struct dv_how how = DV_HOW_INIT;
	struct dv_exit exit = { .size = sizeof(exit) };
	char name[DV_SANDBOX_NAME_MAX + 1];

	hint_command(s, err);
	if (err->code != DV_UNAVAILABLE || !s->sb)
		return r;
	how.timeout_ms = ASK_MS;
	if (dv_sandbox_wait(s->sb, &exit, &how, NULL) < 0 ||
	    dv_sandbox_look(s->sb, &info, NULL) < 0)
		return r;
	dv_fmt(name, sizeof(name), "%s", info->name[0] ? info->name : info->id);
	if (info->state == DV_STATE_DEAD)
		dv_err_set(err, -r, DV_UNAVAILABLE,
			   "the keeper of %s died, and with it all that ran "
			   "there",
			   name);
	else
		dv_err_set(err, -r, DV_UNAVAILABLE,
			   "%s ended meanwhile, with status %d", name,
			   exit.code);
	dv_err_hint(err, "davit why %s", name);
	return r;
}

/* ---- signals --------------------------------------------------------------
 */

static void on_sent(void *arg DV_UNUSED, int r DV_UNUSED,
		    const struct dv_err *err DV_UNUSED)
{
}

static void send_signal(struct session *s, int signo, enum dv_diag_scope scope)
{
	struct dv_how how = DV_HOW_INIT;

	how.fn = on_sent;
	how.timeout_ms = DV_TARGET_MS;
	dv_diag_signal(s->proc, signo, scope, &how, NULL);
}

/* The command stands still: now we do. */
static void on_stopped(void *arg DV_UNUSED, int r DV_UNUSED,
		       const struct dv_err *err DV_UNUSED)
{
	dv_term_restore();
	kill(getpid(), SIGSTOP);
	/* Here again after CONT, which is waiting in the signal descriptor. */
}

/* Its group has no parent in its session, so the kernel would ignore TSTP
 * there: only STOP stops it. */
static void stop_everything(struct session *s)
{
	struct dv_how how = DV_HOW_INIT;

	how.fn = on_stopped;
	how.timeout_ms = DV_TARGET_MS;
	dv_diag_signal(s->proc, SIGSTOP, DV_DIAG_GROUP, &how, NULL);
}

static void resume_everything(struct session *s)
{
	dv_term_raw();
	dv_streams_foreground(&s->streams);
	dv_streams_resize(&s->streams);
	send_signal(s, SIGCONT, DV_DIAG_GROUP);
}

static void on_signal(struct dv_signals *signals, int signo, bool terminal)
{
	struct session *s = dv_container_of(signals, struct session, signals);

	if (s->exited) {
		/* Somebody is tired of waiting for a stream to end. */
		if (signo != SIGWINCH && signo != SIGCONT)
			dv_streams_give_up(&s->streams);
	} else if (signo == SIGTSTP) {
		stop_everything(s);
	} else if (signo == SIGCONT) {
		resume_everything(s);
	} else if (signo == SIGWINCH) {
		dv_streams_resize(&s->streams);
	} else {
		send_signal(s, signo,
			    terminal ? DV_DIAG_GROUP : DV_DIAG_PROCESS);
	}
}

/* ---- streams --------------------------------------------------------------
 */

/* Our ends of what is relayed, and the command's, which the keeper gets. */
struct ends {
	int ours[3], theirs[3];
};

static int make_pipe(struct ends *e, int i)
{
	int fds[2], r = dv_pipe(fds);

	if (r < 0)
		return r;
	e->ours[i] = fds[i == 0];
	e->theirs[i] = fds[i != 0];
	return 0;
}

/* Our descriptors for what is handed over, pipes for what is relayed. */
static int plan_streams(struct session *s, struct ends *e)
{
	struct dv_diag_exec *x = &s->exec;
	struct winsize ws;
	int r = 0;

	x->tty = x->take_terminal = s->streams.pty;
	if (x->tty && (dv_term_size(0, &ws) || dv_term_size(1, &ws))) {
		x->rows = ws.ws_row;
		x->cols = ws.ws_col;
	}
	for (int i = 0; i < 3 && r == 0; i++) {
		/* A stderr that goes elsewhere stays apart. */
		if (s->streams.pty && (i < 2 || s->streams.tty[2]))
			continue;
		if (s->streams.relayed[i])
			r = make_pipe(e, i);
		x->own |= DV_BIT(i);
		x->fd[i] = s->streams.relayed[i] ? e->theirs[i] : i;
	}
	return r;
}

static int start_streams(struct session *s, struct ends *e)
{
	if (s->streams.pty)
		e->ours[0] = dv_diag_proc_take_stdio(s->proc, 0);
	return dv_streams_begin(&s->streams, s->loop, e->ours, &s->err);
}

/* ---- start ----------------------------------------------------------------
 */

/* TERM is of who looks at it. */
static int set_term(struct session *s)
{
	const char *name = getenv("TERM");
	char text[256];

	for (size_t i = 0; i < s->args.n_env; i++)
		if (!strncmp(s->args.env[i], "TERM=", 5))
			return 0;
	dv_fmt(text, sizeof(text), "TERM=%s",
	       name && *name ? name : "xterm-256color");
	return exec_args_env(&s->args, text, &s->err);
}

static int start_command(struct session *s)
{
	struct dv_how how = DV_HOW_INIT;
	struct dv_diag_exec *x = &s->exec;

	x->env = (const char *const *)s->args.env;
	x->clear_env = s->args.clear_env;
	x->cwd = s->args.workdir;
	x->user = s->args.user;
	x->rlimits = s->args.rlimits;
	x->n_rlimits = s->args.n_rlimits;
	if (s->args.timeout_ms >= 0)
		x->timeout_ms = dv_max(s->args.timeout_ms, 1);
	how.timeout_ms = START_MS;
	return dv_sandbox_exec(s->sb, x, &s->proc, &how, &s->err);
}

static int start(struct session *s)
{
	struct ends e = { { -1, -1, -1 }, { -1, -1, -1 } };
	int r;

	dv_streams_init(&s->streams, s->args.tty, DV_DRAIN_DEFAULT_MS);
	dv_signals_hold(&s->signals);
	r = dv_signals_open(&s->signals, s->loop, on_signal);
	if (r == 0)
		r = plan_streams(s, &e);
	if (r < 0)
		dv_err_sys(&s->err, -r, "set up");
	if (r == 0 && s->streams.pty)
		r = set_term(s);
	if (r == 0)
		r = start_command(s);
	for (int i = 0; i < 3; i++)
		dv_close(e.theirs[i]);
	if (r == 0)
		return start_streams(s, &e);
	for (int i = 0; i < 3; i++)
		dv_close(e.ours[i]);
	return r;
}

/* ---- from the options to the status -----------------------------------------
 */

static int parse(struct session *s, const struct dv_verb *verb, int argc,
		 char **argv)
{
	struct dv_err *err = &s->err;
	int rest = 1, taken = 0;
	bool usage;
	int r = dv_opts_parse(verb, argc, argv, &s->args, &rest, err);

	if (r != 0)
		return r;
	/* "exec -l -- CMD" */
	if (s->args.latest && rest > 1 && !strcmp(argv[rest - 1], "--"))
		rest--;
	r = dv_target_sandbox(&s->sb, argc - rest, argv + rest, s->args.latest,
			      NULL, &taken, &usage, err);
	if (r < 0)
		return r;
	rest += taken;
	if (rest < argc && !strcmp(argv[rest], "--"))
		rest++;
	if (rest >= argc) {
		dv_err_set(err, EINVAL, DV_INVALID, "no command given");
		dv_err_hint(err, "davit exec %s", verb->args);
		return -EINVAL;
	}
	if (s->args.detach && s->args.tty == DV_YES)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "either --detach or --tty");
	s->loop = dv_sandbox_loop(s->sb);
	s->exec.argv = (const char *const *)argv + rest;
	return 0;
}

static int detached(struct session *s)
{
	dv_autobuf out = DV_BUF_INIT(32);
	int r = s->args.quiet ? 0 : dv_stdout_check(&s->err);

	if (r == 0)
		r = start_command(s);
	if (r < 0 || s->args.quiet)
		return r;
	dv_buf_putf(&out, "%d\n", dv_diag_proc_pid(s->proc));
	return dv_stdout(out.data, out.len, &s->err);
}

static int attached(struct session *s)
{
	char id[16];
	int r = dv_report_record_check(s->args.record, s->args.record_fd,
				       &s->err);

	if (r == 0)
		r = start(s);
	if (r == 0)
		r = wait_for_exit(s, &s->err);
	if (r == 0)
		dv_signals_release(&s->signals);
	while (r >= 0 && (!s->exited || !dv_streams_done(&s->streams)))
		r = dv_loop_dispatch(s->loop, -1);
	/* The terminal is whole again before anything is printed. */
	dv_streams_close(&s->streams);
	if (r < 0 && !s->err.code)
		dv_err_sys(&s->err, -r, "wait for the command");
	if (r >= 0)
		r = s->r;
	if (r < 0)
		return r;
	dv_fmt(id, sizeof(id), "%d", dv_diag_proc_pid(s->proc));
	return dv_report_record(s->args.record, s->args.record_fd, s->args.json,
				&s->exit, id, &s->err);
}

static void session_close(struct session *s)
{
	if (s->wait)
		dv_op_cancel(s->wait);
	dv_signals_close(&s->signals);
	s->proc = dv_diag_proc_free(s->proc);
	s->sb = dv_sandbox_free(s->sb);
	exec_args_free(&s->args);
}

int dv_exec_main(const struct dv_verb *verb, int argc, char **argv)
{
	struct session s = { .exec = DV_DIAG_EXEC_INIT,
			     .signals = DV_SIGNALS_INIT,
			     .exit = { .size = sizeof(struct dv_exit) },
			     .err = DV_ERR_INIT };
	int r, status;
	bool lost;

	exec_args_init(&s.args);
	r = parse(&s, verb, argc, argv);
	if (r == DV_OPTS_HELP) {
		session_close(&s);
		return dv_help_verb(verb) ? 125 : 0;
	}
	if (r == 0)
		r = s.args.detach ? detached(&s) : attached(&s);
	if (r < 0)
		r = explain(&s, r, &s.err);
	status = s.exit.timed_out ? 124 : s.exit.code;
	lost = s.streams.lost;
	if (r < 0)
		status = dv_report(&s.err, s.args.json,
				   dv_report_start_status(&s.err));
	session_close(&s);
	return !status && lost ? 125 : status;
}
