/* SPDX-License-Identifier: MIT */
/*
 * DOC: davit attach
 *
 * What the sandbox writes is read from its log, which is a file: any number of
 * viewers, and none of them in anybody's way. What is typed goes to the keeper
 * over a socket that only one of them has. A third thing is waited for, its
 * end; attach is over when that is known and the log has been read to its end,
 * or when the detach keys were typed.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <davit/sandbox.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/num.h"
#include "cli/attach_input.h"
#include "cli/diag.h"
#include "cli/help.h"
#include "cli/relay.h"
#include "cli/report.h"
#include "cli/signals.h"
#include "cli/target.h"
#include "cli/term.h"
#include "cli/verbs.h"

enum {
	BUDGET = 64, /* pieces in one go: keys are waiting, too */
	/* When the end is known, its log's end is a moment away. */
	LOG_END_MS = 3000,
};

struct attach {
	/* Options. */
	bool latest, no_stdin, steal, json;
	const char *offset, *tail, *keys_text;
	/* Of the sandbox. */
	struct dv_sandbox *sb; /* owned */
	struct dv_loop *loop;
	bool takes_input, over;
	char name[DV_SANDBOX_NAME_MAX + 1];
	struct dv_op *wait;
	struct dv_exit exit;
	bool exited;
	struct dv_timer log_end;
	/* Its output. */
	struct dv_sandbox_log *log; /* owned */
	struct dv_src log_src;
	struct dv_defer more;
	struct dv_sandbox_piece piece; /* what is left of it */
	struct dv_end out[2];          /* our stdout and stderr */
	bool log_ended;
	struct attach_input in;
	/* Ourselves. */
	struct dv_signals signals;
	int signal; /* that ended us */
	int r;
	struct dv_err err;
};

static void fail(struct attach *a, int r)
{
	if (a->r == 0)
		a->r = r;
}

/* ---- its output ------------------------------------------------------------
 */

static void pump(struct attach *a);

static void on_more(struct dv_defer *defer)
{
	pump(dv_container_of(defer, struct attach, more));
}

static void on_log(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct attach *a = dv_container_of(src, struct attach, log_src);

	dv_src_del(src);
	pump(a);
}

static void on_out0(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct attach *a = dv_container_of(src, struct attach, out[0].src);

	dv_src_del(src);
	if (a->piece.len > 0)
		pump(a);
	else /* nobody is there who could read what comes next */
		fail(a, dv_stdout_failed(EPIPE, &a->err));
}

static void on_out1(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct attach *a = dv_container_of(src, struct attach, out[1].src);

	dv_src_del(src);
	pump(a);
}

/* Write what is left of the piece. 0, DV_MORE: wait, -errno. */
static int put(struct attach *a)
{
	const int which = a->piece.stream == 2;
	struct dv_end *out = &a->out[which];

	while (a->piece.len > 0) {
		ssize_t n = dv_end_write(out, a->piece.data, a->piece.len);

		if (n == -EAGAIN) {
			int r;

			dv_src_del(&out->src);
			r = dv_src_add(a->loop, &out->src, out->fd, EPOLLOUT,
				       which ? on_out1 : on_out0);
			return r < 0 ? r : DV_MORE;
		}
		if (n < 0)
			return (int)n;
		a->piece.data = (const char *)a->piece.data + n;
		a->piece.len -= (size_t)n;
	}
	return 0;
}

/* 0, DV_MORE, DV_EOF, or -errno with a->err. */
static int next_piece(struct attach *a)
{
	int r = dv_sandbox_log_next(a->log, &a->piece, &a->err);

	if (r == 0 && a->piece.lost)
		dv_note_dim("%llu bytes of output are missing here",
			    (unsigned long long)a->piece.lost);
	return r;
}

/* Also for the end of our reader, when it can have no other. */
static void wait_for_log(struct attach *a)
{
	struct dv_end *out = &a->out[0];
	int r = dv_src_add(a->loop, &a->log_src, dv_sandbox_log_fd(a->log),
			   EPOLLIN, on_log);

	if (r == 0 && out->unique && !out->src.loop)
		r = dv_src_add(a->loop, &out->src, out->fd, 0, on_out0);
	if (r < 0)
		fail(a, dv_err_sys(&a->err, -r, "watch the log"));
}

static void pump(struct attach *a)
{
	int r = 0;

	/* The reader's end may call us while one of these still would. */
	dv_defer_del(&a->more);
	dv_src_del(&a->log_src);
	for (int i = 0; i < BUDGET && r == 0; i++) {
		r = put(a);
		if (r < 0) {
			fail(a, dv_stdout_failed(-r, &a->err));
			return;
		}
		if (r == DV_MORE)
			return;
		r = next_piece(a);
	}
	if (r == DV_MORE)
		wait_for_log(a);
	else if (r == DV_EOF)
		a->log_ended = true;
	else if (r < 0)
		fail(a, r);
	else
		dv_defer_add(a->loop, &a->more, on_more);
}

/* Numbers of options; -1: not given. */
static int number(struct attach *a, const char *name, const char *text,
		  int64_t *outp)
{
	uint64_t n;

	*outp = -1;
	if (!text)
		return 0;
	if (dv_parse_u64(text, 0, INT64_MAX, &n) < 0)
		return dv_err_set(&a->err, EINVAL, DV_INVALID,
				  "--%s: \"%.60s\" is no number", name, text);
	*outp = (int64_t)n;
	return 0;
}

/* What a screen holds, where there is one: a viewer sees where it stands. */
static int64_t lines_shown(const struct attach *a)
{
	struct winsize ws;

	if (a->over)
		return -1;
	return a->in.terminal && dv_term_size(1, &ws) ? ws.ws_row : 0;
}

static int open_log(struct attach *a, int64_t offset, int64_t tail)
{
	struct dv_sandbox_log_opts o = DV_SANDBOX_LOG_INIT;
	int r;

	o.follow = !a->over;
	o.tail = tail;
	if (offset >= 0)
		o.offset = (uint64_t)offset;
	else if (tail < 0)
		o.tail = lines_shown(a);
	r = dv_sandbox_log_open(a->sb, &a->log, &o, &a->err);
	for (int i = 0; i < 2 && r == 0; i++) {
		r = dv_end_of_caller(&a->out[i], i + 1, true);
		if (r < 0)
			dv_err_sys(&a->err, -r, "standard output");
	}
	if (r == 0)
		dv_defer_add(a->loop, &a->more, on_more);
	return r;
}

/* ---- its end ----------------------------------------------------------------
 */

static void on_log_end(struct dv_timer *timer)
{
	dv_container_of(timer, struct attach, log_end)->log_ended = true;
}

static void on_wait(void *arg, int r, const struct dv_err *err)
{
	struct attach *a = arg;

	a->wait = NULL;
	a->exited = true;
	if (r < 0) {
		a->err = *err;
		fail(a, r);
	}
	attach_input_close(&a->in);
	dv_timer_set(a->loop, &a->log_end,
		     dv_now_ns() + LOG_END_MS * UINT64_C(1000000), on_log_end);
}

static int wait_for_end(struct attach *a)
{
	struct dv_how how = DV_HOW_INIT;

	how.fn = on_wait;
	how.arg = a;
	how.opp = &a->wait;
	return dv_sandbox_wait(a->sb, &a->exit, &how, &a->err);
}

static void on_signal(struct dv_signals *signals, int signo,
		      bool terminal DV_UNUSED)
{
	struct attach *a = dv_container_of(signals, struct attach, signals);

	if (signo == SIGWINCH) {
		attach_input_resize(&a->in);
	} else if (signo == SIGTSTP) {
		dv_term_restore();
		kill(getpid(), SIGSTOP);
		/* Here again after CONT, which waits in the descriptor. */
	} else if (signo == SIGCONT) {
		dv_term_raw();
		attach_input_foreground(&a->in);
		attach_input_resize(&a->in);
	} else {
		a->signal = signo;
	}
}

/* ---- from the options to the status -----------------------------------------
 */

static int look(struct attach *a)
{
	const struct dv_sandbox_info *info;
	int r = dv_sandbox_look(a->sb, &info, &a->err);

	if (r < 0)
		return r;
	a->in.terminal = info->terminal;
	a->takes_input = info->input;
	a->over =
		info->state == DV_STATE_EXITED || info->state == DV_STATE_DEAD;
	dv_fmt(a->name, sizeof(a->name), "%s",
	       info->name[0] ? info->name : info->id);
	return 0;
}

static int take_input(struct attach *a)
{
	if (a->no_stdin || !a->takes_input || a->over)
		return 0;
	return attach_input_start(&a->in, a->steal, &a->err);
}

static int run(struct attach *a, int64_t offset, int64_t tail)
{
	int r = look(a);

	if (r == 0) {
		r = dv_signals_open(&a->signals, a->loop, on_signal);
		if (r < 0)
			dv_err_sys(&a->err, -r, "watch signals");
	}
	if (r == 0)
		r = open_log(a, offset, tail);
	if (r == 0)
		r = take_input(a);
	if (r == 0)
		r = wait_for_end(a);
	while (r >= 0 && a->r == 0 && !a->signal && !a->in.keys.found &&
	       !(a->exited && a->log_ended && a->piece.len == 0)) {
		r = dv_loop_dispatch(a->loop, -1);
		if (r < 0)
			dv_err_sys(&a->err, -r, "wait");
	}
	return r < 0 ? r : a->r;
}

static void attach_close(struct attach *a)
{
	/* The terminal is whole again before anything is printed. */
	dv_term_close();
	if (a->wait)
		dv_op_cancel(a->wait);
	attach_input_close(&a->in);
	dv_timer_stop(&a->log_end);
	dv_src_del(&a->log_src);
	dv_defer_del(&a->more);
	for (int i = 0; i < 2; i++)
		dv_end_close(&a->out[i]);
	a->log = dv_sandbox_log_free(a->log);
	dv_signals_close(&a->signals);
	a->sb = dv_sandbox_free(a->sb);
}

/* clang-format off */
#define AT(member) ((int)offsetof(struct attach, member))
static const struct dv_opt opts[] = {
	DV_OPT_LATEST('l', AT(latest)),
	{ "offset", 0, "N", "Output",
	  "Begin with byte N of its log. 0 is all that is kept.",
	  diag_set_text, AT(offset), 0, NULL },
	{ "tail", 0, "N", "Output",
	  "Begin with its last N lines. The default is a screen's worth for a "
	  "sandbox with a terminal, else what it writes from now on.",
	  diag_set_text, AT(tail), 0, NULL },
	{ "no-stdin", 0, NULL, "Input",
	  "Only look on.",
	  diag_set_flag, AT(no_stdin), 0, NULL },
	{ "steal", 0, NULL, "Input",
	  "Take the input from who has it.",
	  diag_set_flag, AT(steal), 0, NULL },
	{ "detach-keys", 0, "KEYS", "Input",
	  "What leaves it running and goes: keys, or ctrl-KEY, separated by "
	  "commas; \"\" is none. The default is ctrl-p,ctrl-q.",
	  diag_set_text, AT(keys_text), 0, NULL },
	DV_OPT_JSON_RECORD(AT(json)),
};
/* clang-format on */

static int parse(struct attach *a, const struct dv_verb *verb, int argc,
		 char **argv, int64_t *offsetp, int64_t *tailp)
{
	int rest = 1, taken = 0;
	bool usage;
	int r = dv_opts_parse(verb, argc, argv, a, &rest, &a->err);

	if (r != 0)
		return r;
	r = attach_keys_parse(&a->in.keys,
			      a->keys_text ? a->keys_text : "ctrl-p,ctrl-q",
			      &a->err);
	if (r == 0)
		r = number(a, "offset", a->offset, offsetp);
	if (r == 0)
		r = number(a, "tail", a->tail, tailp);
	if (r == 0 && a->offset && a->tail)
		r = dv_err_set(&a->err, EINVAL, DV_INVALID,
			       "either --offset or --tail");
	if (r == 0)
		r = dv_target_sandbox(&a->sb, argc - rest, argv + rest,
				      a->latest, NULL, &taken, &usage, &a->err);
	if (r == 0 && rest + taken < argc)
		r = dv_opts_too_much(verb, argv[rest + taken], &a->err);
	if (r == 0) {
		a->loop = dv_sandbox_loop(a->sb);
		a->in.sb = a->sb;
	}
	return r;
}

static int status_of(struct attach *a)
{
	if (a->signal)
		return 128 + a->signal;
	if (a->in.keys.found)
		return 0;
	if (a->exit.ended_by == DV_ENDED_KEEPER)
		dv_note("the keeper of %s died, and with it all that ran there",
			a->name);
	if (a->json)
		dv_report_exit(STDERR_FILENO, &a->exit, a->name);
	return a->exit.timed_out ? 124 : a->exit.code;
}

static int attach_main(const struct dv_verb *verb, int argc, char **argv)
{
	struct attach a = { .exit = { .size = sizeof(struct dv_exit) },
			    .out = { DV_END_INIT, DV_END_INIT },
			    .in = ATTACH_INPUT_INIT,
			    .log_src = DV_SRC_INIT,
			    .signals = DV_SIGNALS_INIT,
			    .err = DV_ERR_INIT };
	int64_t offset = -1, tail = -1;
	int r = parse(&a, verb, argc, argv, &offset, &tail);

	if (r == DV_OPTS_HELP) {
		attach_close(&a);
		return dv_help_verb(verb) ? 125 : 0;
	}
	if (r == 0)
		r = run(&a, offset, tail);
	attach_close(&a);
	return r < 0 ? dv_report(&a.err, a.json, 125) : status_of(&a);
}

const struct dv_verb dv_verb_attach = {
	.name = "attach",
	.args = "[OPTIONS] NAME",
	.summary = "see what a sandbox writes, and write to it",
	.opts = opts,
	.n_opts = DV_ARRAY_LEN(opts),
	.usage_status = 125,
	.complete = DV_COMPLETE_SANDBOX,
	.main = attach_main,
	.prose = "Connect to the first command of the sandbox NAME: what it "
		 "writes is shown, and what is typed is its input, when it was "
		 "started with -i or -t. Any number may look on; one has the "
		 "input.\n\n"
		 "The detach keys (ctrl-p, ctrl-q) end davit attach and leave "
		 "the sandbox as it is, and so does a signal. They are looked "
		 "for where both sides have a terminal; of a sandbox that was "
		 "started with -i alone, and for who only looks on, the "
		 "caller's terminal stays as it is, and ^C detaches. An end of "
		 "stdin is passed on: --no-stdin prevents it.\n\n"
		 "When the sandbox is started again meanwhile, its output goes "
		 "on and its input is taken again; what is typed until then is "
		 "dropped, but for the detach keys.\n\n"
		 "# EXIT STATUS\n\n"
		 "That of the sandbox, when it ends meanwhile or has ended "
		 "before: as of davit run, and 137 when its keeper was killed; "
		 "0 when detached; 128 and the signal's number when a signal "
		 "ended davit attach; 125 when davit failed or was used "
		 "wrongly.",
};
