/* SPDX-License-Identifier: MIT */
/*
 * DOC: a command in a guest
 *
 * Exec returns three sockets and a number. The call that waits for the exit is
 * made at once; the relays drain both outputs meanwhile. It ends when the exit
 * is known and both outputs have ended; a process that was left behind and
 * holds an output is waited for as long as something comes.
 *
 * When the connection is lost, the process goes on: we connect again and ask
 * once more, since a davit-agent keeps the answer until it is fetched.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/num.h"
#include "cli/diag.h"
#include "cli/report.h"
#include "cli/signals.h"
#include "cli/term.h"

enum {
	DRAIN_MS = 2000,  /* without a byte, after the exit */
	DEAF_MS = 2000,   /* for the exit of what could not be signalled */
	GRACE_MS = 15000, /* the server's own TERM and KILL take 10 s */
};

struct session {
	struct diag_cmd *cmd;
	struct dv_diag_exec exec;
	struct dv_diag_proc *proc; /* owned */
	struct dv_signals signals;
	struct dv_relay relay[3];
	struct dv_op *wait;
	struct dv_timer drain, limit, deaf;
	uint64_t seen; /* bytes of output, at the last look */
	struct dv_exit exit;
	bool exited, timed_out, gave_up, asked_again;
	int last_signal;  /* that was sent */
	int given_up_for; /* a signal */
	int r;
};

/* ---- its end ----------------------------------------------------------- */

static void on_wait(void *arg, int r, const struct dv_err *err);

static int wait_for_exit(struct session *s)
{
	struct dv_how how = DV_HOW_INIT;

	how.fn = on_wait;
	how.arg = s;
	how.opp = &s->wait;
	return dv_diag_wait(s->proc, &s->exit, &how, &s->cmd->err);
}

static void on_drain(struct dv_timer *timer);

static void arm_drain(struct session *s)
{
	s->seen = s->relay[1].total + s->relay[2].total;
	dv_timer_set(s->cmd->loop, &s->drain,
		     dv_now_ns() + (uint64_t)DRAIN_MS * 1000000, on_drain);
}

static void on_drain(struct dv_timer *timer)
{
	struct session *s = dv_container_of(timer, struct session, drain);

	/* A reader that is slow is waited for. */
	if (s->relay[1].state == DV_RELAY_WRITING ||
	    s->relay[2].state == DV_RELAY_WRITING ||
	    s->relay[1].total + s->relay[2].total != s->seen) {
		arm_drain(s);
		return;
	}
	dv_relay_finish(&s->relay[1]);
	dv_relay_finish(&s->relay[2]);
}

static void on_wait(void *arg, int r, const struct dv_err *err)
{
	struct session *s = arg;

	s->wait = NULL;
	if (r < 0 && err->code == DV_UNAVAILABLE && !s->asked_again &&
	    dv_diag_foreign(s->cmd->diag) == 0) {
		s->asked_again = true;
		r = wait_for_exit(s);
		if (r == 0)
			return;
		err = &s->cmd->err;
	}
	if (r < 0) {
		s->r = r;
		s->cmd->err = *err;
		dv_err_wrap(&s->cmd->err, r,
			    "lost the command while it was running");
	}
	s->exited = true;
	dv_relay_close(&s->relay[0]);
	arm_drain(s);
}

/* The server should have ended it long ago, or cannot. */
static void on_limit(struct dv_timer *timer)
{
	struct session *s = dv_container_of(timer, struct session, limit);

	s->timed_out = s->gave_up = true;
}

/* ---- signals ------------------------------------------------------------- */

static void on_sent(void *arg DV_UNUSED, int r DV_UNUSED,
		    const struct dv_err *err DV_UNUSED)
{
}

static void on_deaf(struct dv_timer *timer)
{
	struct session *s = dv_container_of(timer, struct session, deaf);

	s->given_up_for = s->last_signal;
	s->gave_up = true;
}

/* It has just ended, or the guest does not know it any more: then nobody will
 * tell how it ended, and whoever sent us the signal wants us to end. */
static void on_signalled(void *arg, int r, const struct dv_err *err DV_UNUSED)
{
	struct session *s = arg;

	if (r < 0 && !s->exited && s->last_signal != SIGUSR1 &&
	    s->last_signal != SIGUSR2)
		dv_timer_set(s->cmd->loop, &s->deaf,
			     dv_now_ns() + (uint64_t)DEAF_MS * 1000000,
			     on_deaf);
}

static void send_signal(struct session *s, int signo, bool terminal)
{
	struct dv_how how = DV_HOW_INIT;

	how.fn = on_signalled;
	how.arg = s;
	s->last_signal = signo;
	how.timeout_ms = DIAG_TIMEOUT_MS;
	if (dv_diag_foreign(s->cmd->diag) == 0) {
		dv_diag_signal(s->proc, signo,
			       terminal ? DV_DIAG_GROUP : DV_DIAG_PROCESS, &how,
			       NULL);
		return;
	}
	/* Nothing there can be signalled: this is all that we can do. */
	dv_note("this server cannot signal; process %d goes on",
		dv_diag_proc_pid(s->proc));
	s->given_up_for = signo;
	s->gave_up = true;
}

static void resize(struct session *s)
{
	struct dv_how how = DV_HOW_INIT;
	struct winsize ws;

	if (!s->exec.tty || dv_diag_foreign(s->cmd->diag) != 0 ||
	    !(dv_term_size(0, &ws) || dv_term_size(1, &ws)))
		return;
	how.fn = on_sent;
	how.timeout_ms = DIAG_TIMEOUT_MS;
	dv_diag_resize(s->proc, ws.ws_row, ws.ws_col, &how, NULL);
}

/* Reading a terminal from the background would stop us. */
static void foreground(struct session *s)
{
	if (!isatty(STDIN_FILENO))
		return;
	if (dv_term_foreground(STDIN_FILENO))
		dv_relay_resume(&s->relay[0]);
	else
		dv_relay_pause(&s->relay[0]);
}

static void on_signal(struct dv_signals *signals, int signo, bool terminal)
{
	struct session *s = dv_container_of(signals, struct session, signals);

	if (signo == SIGWINCH) {
		resize(s);
	} else if (signo == SIGTSTP) {
		dv_term_restore();
		kill(getpid(), SIGSTOP);
		/* Here again after CONT, which waits in the descriptor. */
	} else if (signo == SIGCONT) {
		dv_term_raw();
		foreground(s);
		resize(s);
	} else if (s->exited) {
		s->gave_up = true; /* somebody is tired of waiting */
	} else {
		send_signal(s, signo, terminal);
	}
}

/* ---- streams ----------------------------------------------------------------
 */

static int start_relay(struct session *s, int which)
{
	struct dv_relay *relay = &s->relay[which];
	struct dv_end *far = which ? &relay->from : &relay->to;
	struct dv_end *near = which ? &relay->to : &relay->from;
	int fd = dv_diag_proc_take_stdio(s->proc, which);
	int r;

	if (fd == -ENOENT)
		return 0;
	r = dv_end_of_sandbox(far, fd);
	if (r == 0)
		r = dv_end_of_caller(near, which, which != 0);
	return r < 0 ? r : dv_relay_start(relay, s->cmd->loop);
}

static int start_streams(struct session *s)
{
	int r = 0;

	for (int i = 0; i < 3 && r == 0; i++)
		r = start_relay(s, i);
	if (r < 0)
		return diag_fail(s->cmd, -r, "relay the standard streams");
	foreground(s);
	if (s->exec.tty && isatty(STDIN_FILENO) &&
	    dv_term_open(STDIN_FILENO) == 0)
		dv_term_raw();
	return 0;
}

static bool over(const struct session *s)
{
	return s->gave_up || (s->exited && !dv_relay_active(&s->relay[1]) &&
			      !dv_relay_active(&s->relay[2]));
}

static void session_close(struct session *s)
{
	if (s->wait)
		dv_op_cancel(s->wait);
	dv_timer_stop(&s->drain);
	dv_timer_stop(&s->limit);
	dv_timer_stop(&s->deaf);
	for (int i = 0; i < 3; i++)
		dv_relay_close(&s->relay[i]);
	dv_term_close();
	dv_signals_close(&s->signals);
	s->proc = dv_diag_proc_free(s->proc);
}

/* ---- from the options to the status -----------------------------------------
 */

static int parse_user(struct diag_cmd *cmd, struct dv_diag_exec *e)
{
	const char *colon = strchr(cmd->user, ':');
	uint64_t uid = 0, gid = 0;
	char text[16];
	size_t len = colon ? (size_t)(colon - cmd->user) : strlen(cmd->user);
	int r = -EINVAL;

	if (len < sizeof(text)) {
		memcpy(text, cmd->user, len);
		text[len] = '\0';
		r = dv_parse_u64(text, 0, UINT32_MAX - 1, &uid);
	}
	if (r == 0) {
		gid = uid;
		if (colon)
			r = dv_parse_u64(colon + 1, 0, UINT32_MAX - 1, &gid);
	}
	if (r < 0)
		return diag_usage(cmd, "--user: \"%.60s\" is not UID[:GID]",
				  cmd->user);
	e->has_ids = true;
	e->uid = (uint32_t)uid;
	e->gid = (uint32_t)gid;
	return 0;
}

static bool env_has(const struct diag_cmd *cmd, const char *key)
{
	size_t len = strlen(key);

	for (size_t i = 0; i < cmd->n_env; i++)
		if (!strncmp(cmd->env[i], key, len) &&
		    (!cmd->env[i][len] || cmd->env[i][len] == '='))
			return true;
	return false;
}

/* A terminal has a size, and programs on it ask what it is. */
static void on_terminal(struct session *s, char *term, size_t size)
{
	const char *name = getenv("TERM");
	struct winsize ws;

	if (dv_term_size(0, &ws) || dv_term_size(1, &ws)) {
		s->exec.rows = ws.ws_row;
		s->exec.cols = ws.ws_col;
	}
	if (env_has(s->cmd, "TERM") || s->cmd->n_env == DIAG_ENV_MAX)
		return;
	dv_fmt(term, size, "TERM=%s", name && *name ? name : "xterm-256color");
	s->cmd->env[s->cmd->n_env++] = term;
}

/* Until it is over; returns 0 or -errno. */
static int run_loop(struct session *s)
{
	int r = 0;

	while (r >= 0 && !over(s))
		r = dv_loop_dispatch(s->cmd->loop, -1);
	return r < 0 ? diag_fail(s->cmd, -r, "wait for the command") : s->r;
}

static int start(struct session *s)
{
	struct diag_cmd *cmd = s->cmd;
	struct dv_how how = DV_HOW_INIT;
	int r;

	dv_signals_hold(&s->signals);
	r = dv_signals_open(&s->signals, cmd->loop, on_signal);
	if (r < 0)
		return diag_fail(cmd, -r, "watch signals");
	how.timeout_ms = DIAG_TIMEOUT_MS;
	r = dv_diag_exec(cmd->diag, &s->exec, &s->proc, &how, &cmd->err);
	if (r == 0)
		r = start_streams(s);
	if (r == 0)
		r = wait_for_exit(s);
	if (r == 0)
		dv_signals_release(&s->signals);
	if (r == 0 && cmd->timeout_ms >= 0) {
		int more = dv_diag_foreign(cmd->diag) == 1 ? 0 : GRACE_MS;

		r = dv_timer_set(cmd->loop, &s->limit,
				 dv_now_ns() + ((uint64_t)cmd->timeout_ms +
						(uint64_t)more) *
						       1000000,
				 on_limit);
		if (r < 0)
			diag_fail(cmd, -r, "--timeout");
	}
	return r;
}

static bool lost_output(const struct session *s)
{
	bool out = dv_report_lost("stdout", s->relay[1].sys);

	return dv_report_lost("stderr", s->relay[2].sys) || out;
}

static int status_of(struct session *s, bool lost)
{
	char id[16];

	if (s->given_up_for)
		return 128 + s->given_up_for;
	if (s->timed_out && !s->exited)
		dv_note("process %d was not stopped",
			dv_diag_proc_pid(s->proc));
	if (s->timed_out || s->exit.timed_out)
		s->exit.code = 124;
	else if (dv_diag_foreign(s->cmd->diag) == 1 && s->exit.code > 128 &&
		 !s->exit.signal)
		dv_note_dim("this server does not tell a signal from an exit "
			    "with %d",
			    s->exit.code);
	if (s->cmd->json) {
		dv_fmt(id, sizeof(id), "%d", dv_diag_proc_pid(s->proc));
		dv_report_exit(STDERR_FILENO, &s->exit, id);
	}
	return !s->exit.code && lost ? 125 : s->exit.code;
}

static int run(struct session *s)
{
	struct diag_cmd *cmd = s->cmd;
	char term[256];
	int r = 0, status;

	s->exit.size = sizeof(s->exit);
	s->exec.size = sizeof(s->exec);
	s->exec.clear_env = cmd->clear_env;
	s->exec.relayed = cmd->relayed;
	s->exec.cwd = cmd->workdir;
	if (cmd->timeout_ms >= 0)
		s->exec.timeout_ms = dv_max(cmd->timeout_ms, 1);
	if (cmd->user)
		r = parse_user(cmd, &s->exec);
	if (r < 0)
		return r;
	s->exec.stdio = DV_DIAG_STDIN | DV_DIAG_STDOUT | DV_DIAG_STDERR;
	if (s->exec.tty)
		on_terminal(s, term, sizeof(term));
	s->exec.env = cmd->env;
	r = start(s);
	if (r == 0)
		r = run_loop(s);
	status = r < 0 ? r : 0;
	/* The terminal is whole again before anything is printed. */
	dv_term_close();
	if (r == 0)
		status = status_of(s, lost_output(s));
	session_close(s);
	return status;
}

static const struct dv_relay relay_init = DV_RELAY_INIT;

static void session_init(struct session *s, struct diag_cmd *cmd)
{
	*s = (struct session){ .cmd = cmd,
			       .signals = DV_SIGNALS_INIT,
			       .drain = DV_TIMER_INIT,
			       .limit = DV_TIMER_INIT,
			       .deaf = DV_TIMER_INIT };
	for (int i = 0; i < 3; i++)
		s->relay[i] = relay_init;
}

int diag_exec(struct diag_cmd *cmd)
{
	struct session s;

	session_init(&s, cmd);
	if (cmd->tty && cmd->no_tty)
		return diag_usage(cmd, "either --tty or --no-tty");
	s.exec.argv = (const char *const *)cmd->argv;
	s.exec.tty = cmd->tty || (!cmd->no_tty && isatty(STDIN_FILENO) &&
				  isatty(STDOUT_FILENO));
	return run(&s);
}

int diag_shell(struct diag_cmd *cmd)
{
	static const char *const shell[] = { "/bin/sh", NULL };
	struct session s;

	session_init(&s, cmd);
	s.exec.argv = cmd->argc ? (const char *const *)cmd->argv : shell;
	s.exec.tty = true;
	return run(&s);
}

/* ---- gdb -------------------------------------------------------------------
 */

/* A word as the shell takes it literally. */
static void quote(struct dv_buf *out, const char *word)
{
	dv_buf_putc(out, '\'');
	for (; *word; word++) {
		if (*word == '\'')
			dv_buf_puts(out, "'\\''");
		else
			dv_buf_putc(out, *word);
	}
	dv_buf_putc(out, '\'');
}

int diag_gdb(struct diag_cmd *cmd)
{
	dv_autobuf remote = DV_BUF_INIT(16384);
	dv_autofree char **argv = NULL;
	char self[4096], first[] = "-ex", gdb[] = "gdb";
	/* gdb's own 2 s are for a cable, not for a program to start. */
	char early[] = "-iex", wait[] = "set remotetimeout 30";
	uint64_t pid;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (dv_parse_u64(cmd->argv[0], 1, INT32_MAX, &pid) < 0)
		return diag_usage(cmd, "\"%.60s\" is no process id",
				  cmd->argv[0]);
	if (n < 0)
		return diag_fail(cmd, errno, "read /proc/self/exe");
	self[n] = '\0';
	dv_buf_puts(&remote, "target remote | exec ");
	quote(&remote, self);
	dv_buf_puts(&remote, " diag ");
	quote(&remote, cmd->target);
	dv_buf_putf(&remote,
		    " exec --no-tty -- gdbserver --once --attach - %llu",
		    (unsigned long long)pid);
	argv = calloc((size_t)cmd->argc + 5, sizeof(*argv));
	if (!argv || dv_buf_status(&remote) < 0)
		return diag_fail(cmd, ENOMEM, "gdb");
	argv[0] = gdb;
	argv[1] = early;
	argv[2] = wait;
	argv[3] = first;
	argv[4] = remote.data;
	for (int i = 1; i < cmd->argc; i++)
		argv[i + 4] = cmd->argv[i];
	execvp("gdb", argv);
	diag_fail(cmd, errno, "gdb");
	dv_err_hint(&cmd->err, "install gdb here and gdbserver in the guest");
	return -ENOENT;
}
