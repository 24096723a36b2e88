/* SPDX-License-Identifier: MIT */
/*
 * davit-agent: serves what davit wants to know of a guest and do in it, on a
 * hybrid-vsock socket of this machine or, as PID 1, in a guest.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/capture.h"
#include "agent/core.h"
#include "agent/worker.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/num.h"
#include "services/diag.h"
#include "services/inspect_svc.h"
#include "services/sandbox.h"

enum {
	EXIT_USAGE = 2,
	NOFILE_WANTED = 65536, /* DV_EXECS_MAX of them, and all else */
	CALM_MS = 500,         /* without an event: whatever it was is over */
};

static const char usage[] =
	"Usage: davit-agent --listen PATH [OPTION...] [-- CMD [ARG...]]\n"
	"Serves diagnostics on a hybrid-vsock unix socket (ports 1 and 2).\n"
	"\n"
	"  -l, --listen PATH      the socket\n"
	"      --restricted       serve only Ping and what of the tree is "
	"safe\n"
	"      --wait-for-start   begin CMD when Start is called\n"
	"      --unclaimed MS     for how long a data connection waits for its "
	"call\n"
	"                         (60000)\n"
	"      --log-level LEVEL  error, warn (default), info, debug, trace\n"
	"  -h, --help\n"
	"  -V, --version\n"
	"\n"
	"CMD is the workload: pause, resume and start are about it and what\n"
	"clients executed. Try: davit diag PATH ping\n";

enum opt {
	OPT_RESTRICTED = 256,
	OPT_WAIT,
	OPT_LEVEL,
	OPT_UNCLAIMED,
	OPT_RESUME, /* from here on only between agents */
	OPT_CHECK,
};

static const struct option options[] = {
	{ "listen", required_argument, NULL, 'l' },
	{ "restricted", no_argument, NULL, OPT_RESTRICTED },
	{ "wait-for-start", no_argument, NULL, OPT_WAIT },
	{ "log-level", required_argument, NULL, OPT_LEVEL },
	{ "unclaimed", required_argument, NULL, OPT_UNCLAIMED },
	{ "resume", required_argument, NULL, OPT_RESUME },
	{ "check", required_argument, NULL, OPT_CHECK },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

/* ---- the command line ----------------------------------------------- */

static int bad_usage(const char *what, const char *value)
{
	fprintf(stderr, "davit-agent: %s%s\n", what, value);
	fprintf(stderr, "davit-agent: hint: see davit-agent --help\n");
	return EXIT_USAGE;
}

static int parse_fd(const char *text)
{
	uint64_t fd;

	return dv_parse_u64(text, 3, INT_MAX, &fd) < 0 ? -1 : (int)fd;
}

static int take_ms(int *msp, const char *text)
{
	uint64_t ms;

	if (dv_parse_u64(text, 1, INT_MAX, &ms) < 0)
		return bad_usage("no number of milliseconds: ", text);
	*msp = (int)ms;
	return -1;
}

static int check_state(const char *text)
{
	struct dv_err err = DV_ERR_INIT;

	if (dv_restart_check(parse_fd(text), &err) == 0)
		return DV_REEXEC_GOOD;
	fprintf(stderr, "davit-agent: %s\n", err.msg);
	return 1;
}

/* Returns -1 to go on, or the exit status. */
static int apply(struct dv_agent_opts *o, int opt, const char *value)
{
	int level;

	switch (opt) {
	case 'l':
		o->listen = value;
		return -1;
	case OPT_RESTRICTED:
		o->restricted = true;
		return -1;
	case OPT_WAIT:
		o->hold = true;
		return -1;
	case OPT_LEVEL:
		level = dv_log_parse_level(value);
		o->level = (enum dv_level)level;
		return level < 0 ? bad_usage("no log level ", value) : -1;
	case OPT_UNCLAIMED:
		return take_ms(&o->unclaimed_ms, value);
	case OPT_RESUME:
		o->resume = parse_fd(value);
		return -1;
	case OPT_CHECK:
		return check_state(value);
	case 'h':
		return fputs(usage, stdout) < 0;
	case 'V':
		return puts("davit-agent " DV_VERSION) < 0;
	default:
		return bad_usage("bad option", "");
	}
}

static int parse(struct dv_agent_opts *o, int argc, char **argv)
{
	int opt, r;

	while ((opt = getopt_long(argc, argv, "+l:hV", options, NULL)) >= 0) {
		r = apply(o, opt, optarg);
		if (r >= 0)
			return r;
	}
	if (!o->listen)
		return bad_usage("--listen PATH is missing", "");
	if (optind < argc)
		o->workload = argv + optind;
	return -1;
}

/* ---- life ----------------------------------------------------------- */

static void log_line(struct dv_log_sink *sink, enum dv_level level,
		     const char *line)
{
	(void)sink;
	(void)level;
	fprintf(stderr, "davit-agent: %s\n", line);
}

int dv_agent_open_door(struct dv_agent *a, int fd, struct dv_err *err)
{
	struct dv_door_opts o = {
		.size = sizeof(o),
		.server = a->server,
		.diag = a->server,
		.data = a->data,
		.log = &a->log,
	};

	return dv_door_new(&a->door, a->loop, fd < 0 ? a->opts->listen : NULL,
			   fd, &o, err);
}

static int open_server(struct dv_agent *a, struct dv_err *err)
{
	struct dv_server_opts o = {
		.size = sizeof(o),
		.restricted = a->opts->restricted,
		.log = &a->log,
	};
	int r = dv_server_new(&a->server, a->loop, &o, err);

	if (r == 0)
		r = dv_sandbox_svc_new(&a->sandbox, a->procs, &a->guest, err);
	if (r == 0)
		r = dv_diag_add(a->server, a->sandbox);
	if (r == 0)
		r = dv_inspect_svc_new(&a->inspect, a->loop, dv_agent_inspect,
				       a, a->opts->restricted);
	if (r == 0)
		r = dv_inspect_svc_add(a->server, a->inspect);
	return r;
}

static int open_procs(struct dv_agent *a, struct dv_err *err)
{
	static const struct dv_self_as self[] = {
		{ "/bin/underhill-dump", "/proc/self/exe" },
		{ NULL, NULL },
	};
	struct dv_procs_opts o = {
		.size = sizeof(o),
		.cgroup = &a->cg,
		.data = a->data,
		.env = (const char *const *)environ,
		.log = &a->log,
		.self_as = self,
		.name = "davit-agent",
		.nofile = &a->nofile,
	};

	return dv_procs_new(&a->procs, a->loop, &o, err);
}

static int agent_open(struct dv_agent *a, struct dv_err *err)
{
	struct dv_data_opts data = { .size = sizeof(data),
				     .expire_ms = a->opts->unclaimed_ms };
	int r = dv_loop_new(&a->loop);

	if (r < 0)
		return dv_err_sys(err, -r, "create the event loop");
	r = dv_data_new(&a->data, a->loop, &data);
	if (r == 0)
		r = open_procs(a, err);
	if (r == 0)
		r = dv_reaper_open(a, err);
	if (r == 0)
		r = open_server(a, err);
	if (r < 0)
		return r;
	if (a->opts->resume >= 0)
		return dv_restart_restore(a, a->opts->resume, err);
	r = dv_agent_open_door(a, -1, err);
	if (r < 0)
		return r;
	dv_freezer_open(a);
	return a->opts->workload && !a->opts->hold
		       ? dv_workload_start(a, NULL, err)
		       : 0;
}

static void agent_close(struct dv_agent *a)
{
	struct dv_err why = DV_ERR_INIT;
	bool open = a->door != NULL;

	dv_err_set(&why, ECANCELED, DV_UNAVAILABLE, "the agent ends");
	a->door = dv_door_free(a->door);
	if (open)
		unlink(a->opts->listen);
	dv_flow_end_all(a, &why);
	a->capture = dv_capture_free(a->capture);
	a->server = dv_server_free(a->server);
	dv_restart_stop(a);
	a->inspect = dv_inspect_svc_free(a->inspect);
	a->sandbox = dv_sandbox_svc_free(a->sandbox);
	a->procs = dv_procs_free(a->procs);
	if (open)
		dv_freezer_close(a);
	a->data = dv_data_free(a->data);
	dv_reaper_close(a);
	while (dv_worker_count() > 0)
		dv_loop_dispatch(a->loop, 1000);
	a->loop = dv_loop_free(a->loop);
}

/*
 * When nothing happened for a while, what the last rush has left goes back to
 * the system: between blocks that live on, the heap would keep it.
 */
static int turn(struct dv_agent *a)
{
	int r = dv_loop_dispatch(a->loop, a->calm ? -1 : CALM_MS);

	if (r == 0)
		malloc_trim(0);
	a->calm = r == 0;
	return r;
}

static int run(struct dv_agent *a)
{
	struct dv_err err = DV_ERR_INIT;
	int r = agent_open(a, &err);

	while (r >= 0 && !a->over)
		r = turn(a);
	if (r < 0 && err.code == DV_OK)
		dv_err_sys(&err, -r, "wait for events");
	agent_close(a);
	if (r >= 0)
		return 0;
	fprintf(stderr, "davit-agent: %s\n", err.msg);
	if (err.hint[0])
		fprintf(stderr, "davit-agent: hint: %s\n", err.hint);
	return 1;
}

/*
 * What a restart executes: the file that we were started from, which may have
 * been replaced since; and our arguments, without those of a restart before.
 */
static int remember(struct dv_agent *a, int argc, char **argv, char *exe,
		    size_t size)
{
	int skip = a->opts->resume >= 0 ? 3 : 1;
	int r = dv_reexec_self(exe, size);

	if (r < 0)
		return r;
	a->exe = exe;
	a->argv = argv;
	a->options = argv + skip;
	a->n_options = (size_t)(argc - skip);
	return 0;
}

/*
 * Long messages come and go: what they took goes back to the system at once.
 * Otherwise the heap learns from them to keep up to 32 MiB.
 */
static void tune_heap(void)
{
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	mallopt(M_TRIM_THRESHOLD, 1 << 20);
}

/*
 * A process with three streams needs seven descriptors of ours, and what is
 * usual is 1,024. Processes get what was usual: some count up to their limit.
 */
void dv_agent_raise_nofile(struct dv_agent *a)
{
	struct rlimit more = a->nofile;

	more.rlim_cur = dv_min(more.rlim_max, (rlim_t)NOFILE_WANTED);
	if (more.rlim_cur > a->nofile.rlim_cur)
		setrlimit(RLIMIT_NOFILE, &more);
}

int main(int argc, char **argv)
{
	struct dv_agent_opts opts = { .level = DV_LOG_WARN, .resume = -1 };
	struct dv_agent a = {
		.opts = &opts,
		.log = { DV_LOG_WARN, log_line },
		.guest = { &dv_agent_guest_ops, &a },
		.cg = DV_CGROUP_INIT,
		.restart_trial = DV_TRIAL_INIT,
		.started_ns = dv_now_ns(),
	};
	const char *slash = strrchr(argv[0], '/');
	char exe[PATH_MAX];
	int r;

	if (strcmp(slash ? slash + 1 : argv[0], "underhill-dump") == 0)
		return dv_core_main(argc, argv);
	r = parse(&opts, argc, argv);
	if (r >= 0)
		return r;
	a.log.level = opts.level;
	tune_heap();
	getrlimit(RLIMIT_NOFILE, &a.nofile);
	dv_agent_raise_nofile(&a);
	if (remember(&a, argc, argv, exe, sizeof(exe)) < 0)
		return bad_usage("cannot find our own program file", "");
	return run(&a);
}
