/* SPDX-License-Identifier: MIT */
/*
 * DOC: davit run
 *
 * Options fill a spec, the streams are planned, the library starts it, and one
 * loop then waits for everything at once: the command, the relays, signals. It
 * ends when the command has ended and all that it wrote has arrived.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include <davit/doctor.h>
#include <davit/sandbox.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/run_args.h"
#include "cli/service.h"
#include "cli/signals.h"
#include "cli/streams.h"
#include "cli/term.h"
#include "cli/verbs.h"

struct session {
	struct run_args args;
	struct dv_loop *loop;     /* owned */
	struct dv_keeper *keeper; /* owned */
	struct dv_run *run;       /* borrowed from it */
	struct dv_streams streams;
	struct dv_signals signals;
	struct dv_service service;
	struct dv_waiter waiter;
	struct dv_exit exit;
	struct dv_log_sink *sink;
	char log[PATH_MAX]; /* of --log, absolute */
	bool streams_planned, exited, pidfile_made;
};

/* ---- signals ------------------------------------------------------- */

/* Stop the command, then ourselves, and undo both in the other order. */
static void stop_everything(struct session *s)
{
	/* Its group has no parent in its session, so the kernel would ignore
	 * TSTP there: only STOP stops it. */
	dv_run_signal_group(s->run, SIGSTOP, NULL);
	dv_term_restore();
	kill(getpid(), SIGSTOP);
	/* Here again after CONT, which is waiting in the signal descriptor. */
}

static void resume_everything(struct session *s)
{
	dv_term_raw();
	dv_streams_foreground(&s->streams);
	dv_streams_resize(&s->streams);
	dv_run_signal_group(s->run, SIGCONT, NULL);
}

static void on_signal(struct dv_signals *signals, int signo, bool terminal)
{
	struct session *s = dv_container_of(signals, struct session, signals);

	dv_log(s->sink, DV_LOG_DEBUG, "signal %d terminal=%d", signo, terminal);
	if (s->exited) {
		/* Somebody is tired of waiting for a stream to end. */
		if (signo != SIGWINCH && signo != SIGCONT)
			dv_streams_give_up(&s->streams);
	} else if (signo == SIGTSTP) {
		stop_everything(s);
	} else if (signo == SIGCONT) {
		resume_everything(s);
	} else if (signo == SIGWINCH && s->streams.pty) {
		dv_streams_resize(&s->streams);
	} else if (terminal) {
		dv_run_signal_group(s->run, signo, NULL);
	} else {
		dv_run_signal(s->run, signo, NULL);
	}
}

/* ---- telling who runs ---------------------------------------------- */

static int write_info(const struct session *s)
{
	dv_autobuf out = DV_BUF_INIT(1024);
	struct dv_json j = DV_JSON_INIT(&out);
	int r;

	dv_json_open(&j, NULL, '{');
	dv_json_str(&j, "id", dv_run_id(s->run));
	dv_json_i64(&j, "pid", dv_run_pid(s->run));
	dv_json_i64(&j, "init_pid", dv_run_init_pid(s->run));
	dv_json_close(&j, '}');
	dv_buf_putc(&out, '\n');
	r = dv_buf_status(&out);
	if (r == 0)
		r = dv_write_full(s->args.info_fd, out.data, out.len);
	return r;
}

static int write_pidfile(struct session *s)
{
	dv_autobuf out = DV_BUF_INIT(64);
	int r;

	dv_buf_putf(&out, "%d\n", (int)dv_run_pid(s->run));
	r = dv_buf_status(&out);
	if (r == 0)
		r = dv_replace_file(AT_FDCWD, s->args.pidfile, out.data,
				    out.len, 0644);
	s->pidfile_made = r == 0;
	return r;
}

static int tell(struct session *s, struct dv_err *err)
{
	int r = 0;

	if (s->args.info_fd >= 0) {
		r = write_info(s);
		s->args.info_fd = dv_close(s->args.info_fd);
	}
	if (r < 0)
		return dv_err_sys(err, -r, "write to the info descriptor");
	if (s->args.pidfile)
		r = write_pidfile(s);
	if (r < 0)
		return dv_err_sys(err, -r, "write %s", s->args.pidfile);
	return 0;
}

static void describe(const struct session *s)
{
	if (!s->args.quiet)
		dv_note_dim("%s", dv_run_describe(s->run));
	dv_note_missing(dv_run_missing(s->run));
}

/* ---- the life of one run ------------------------------------------- */

static void on_exit_of_run(struct dv_waiter *waiter, const struct dv_exit *exit)
{
	struct session *s = dv_container_of(waiter, struct session, waiter);

	s->exit = *exit;
	s->exited = true;
	dv_log(s->sink, DV_LOG_DEBUG, "ended code=%d signal=%d", exit->code,
	       exit->signal);
	dv_streams_ended(&s->streams, s->loop);
}

/* Others may read it from anywhere. What cannot be named is only not found. */
static void name_log(struct session *s)
{
	const char *path = s->args.log;
	char cwd[PATH_MAX];
	int r = 0;

	if (path && path[0] == '/')
		r = dv_path_join(s->log, sizeof(s->log), path, "");
	else if (path && getcwd(cwd, sizeof(cwd)))
		r = dv_path_join(s->log, sizeof(s->log), cwd, path);
	if (r == 0 && s->log[0])
		s->args.keep.log = s->log;
}

static int parse(struct session *s, const struct dv_verb *verb, int argc,
		 char **argv, struct dv_err *err)
{
	int rest = 1, r;

	r = dv_opts_parse(verb, argc, argv, &s->args, &rest, err);
	if (r == 0)
		r = dv_run_args_check(&s->args, err);
	if (r == 0)
		r = dv_service_find_doors(&s->service, s->args.named_fds, err);
	name_log(s);
	s->args.keep.doors = s->service.doors;
	s->args.keep.n_doors = s->service.n_doors;
	if (r != 0)
		return r;
	if (rest >= argc) {
		dv_err_set(err, EINVAL, DV_INVALID, "no command given");
		dv_err_hint(err, "davit run [OPTIONS] [--] CMD [ARG...]");
		return -EINVAL;
	}
	return dv_spec_argv(s->args.spec, (const char *const *)argv + rest,
			    err);
}

static int start(struct session *s, struct dv_err *err)
{
	int r = dv_loop_new(&s->loop);

	if (r == 0)
		r = dv_signals_open(&s->signals, s->loop, on_signal);
	if (r < 0)
		return dv_err_sys(err, -r, "set up the event loop");
	r = dv_streams_plan(&s->streams, &s->args, err);
	if (r < 0)
		return r;
	s->streams_planned = true;
	r = dv_keeper_start(&s->keeper, s->loop, s->args.spec, &s->args.keep,
			    err);
	if (r < 0) {
		dv_doctor_explain(err);
		return r;
	}
	s->run = dv_keeper_run(s->keeper);
	describe(s);
	r = tell(s, err);
	if (r == 0)
		r = dv_streams_start(&s->streams, s->run, err);
	if (r == 0)
		dv_service_ready(&s->service, s->loop, s->run);
	return r;
}

static int wait_for_all(struct session *s, struct dv_err *err)
{
	s->waiter.fn = on_exit_of_run;
	dv_run_on_exit(s->run, &s->waiter);
	while (!s->exited || !dv_streams_done(&s->streams)) {
		int r = dv_loop_dispatch(s->loop, -1);

		if (r < 0)
			return dv_err_sys(err, -r, "wait for the command");
	}
	return 0;
}

static void session_close(struct session *s)
{
	if (s->streams_planned)
		dv_streams_close(&s->streams);
	if (s->waiter.prevp)
		dv_waiter_del(&s->waiter);
	s->keeper = dv_keeper_free(s->keeper);
	dv_signals_close(&s->signals);
	dv_service_close(&s->service);
	s->loop = dv_loop_free(s->loop);
	if (s->pidfile_made)
		unlink(s->args.pidfile);
	dv_run_args_free(&s->args);
}

/* Known even when the options could not be read to their end. */
static bool asks_for_json(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (!strcmp(argv[i], "--json"))
			return true;
	return false;
}

static int exit_status(const struct session *s)
{
	int status = s->exit.timed_out ? 124 : s->exit.code;

	if (!status && s->streams.lost)
		status = 125; /* the command's success was not all */
	return status;
}

static int run_to_the_end(struct session *s, struct dv_err *err)
{
	int r = dv_report_record_check(s->args.record, s->args.record_fd, err);

	if (r == 0)
		r = dv_report_pidfile_check(s->args.pidfile, err);
	if (r == 0)
		r = start(s, err);
	if (r < 0)
		return r;
	r = wait_for_all(s, err);
	/* The terminal is whole again before anything is printed. */
	dv_streams_close(&s->streams);
	if (r < 0)
		return r;
	dv_service_ended(&s->service, &s->exit, exit_status(s));
	if (s->args.timing)
		dv_report_timing(s->run);
	return dv_report_record(s->args.record, s->args.record_fd, s->args.json,
				&s->exit, dv_run_id(s->run), err);
}

int dv_run_main(const struct dv_verb *verb, int argc, char **argv)
{
	struct session s = { .signals = DV_SIGNALS_INIT,
			     .service = DV_SERVICE_INIT,
			     .sink = dv_report_sink(),
			     .exit = { .size = sizeof(struct dv_exit) } };
	struct dv_err err = DV_ERR_INIT;
	int r = dv_service_take(&s.service, &err), status;

	if (r == 0 && (r = dv_run_args_init(&s.args)) < 0)
		dv_err_sys(&err, -r, "set up");
	if (r == 0)
		r = dv_err_step(&err, parse(&s, verb, argc, argv, &err),
				DV_STEP_CONFIG);
	if (r == DV_OPTS_HELP) {
		session_close(&s);
		return dv_help_verb(verb) ? 125 : 0;
	}
	if (r == 0)
		r = s.args.detach ? dv_run_detached(&s.args, &err)
				  : run_to_the_end(&s, &err);
	status = exit_status(&s);
	if (r < 0)
		dv_service_failed(&s.service, &err);
	session_close(&s);
	if (r < 0)
		return dv_report(&err, s.args.json || asks_for_json(argc, argv),
				 dv_report_start_status(&err));
	return status;
}
