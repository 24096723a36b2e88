/* SPDX-License-Identifier: MIT */
#include "cli/diag.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/num.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/verbs.h"

#define AT(member) DIAG_AT(member)

// clang-format off
#define O_TIMEOUT { "timeout", 't', "DUR", "Ending", \
	"Give up after this time (10, 1.5s, 200ms, 2m; 0 is never). The " \
	"default is 10s.", \
	diag_set_duration, AT(timeout_ms), 0, NULL }
#define O_JSON(text) { "json", 0, NULL, "Output", text, \
	diag_set_flag, AT(json), 0, NULL }
#define O_NAME { "name", 'n', "NAME", "Process", \
	"The process of this name, as mesh/hosts tells names, instead of a " \
	"number.", diag_set_text, AT(name), 0, NULL }
#define O_ENV { "env", 'e', "KEY[=VALUE]", "Command", \
	"Set a variable there; without = it is removed.", \
	diag_add_env, 0, 0, NULL }

static const struct dv_opt order_opts[] = { O_TIMEOUT };
static const struct dv_opt wait_opts[] = {
	{ "timeout", 't', "DUR", "Ending",
	  "Give up after this time. The default is to wait for ever.",
	  diag_set_duration, AT(timeout_ms), 0, NULL },
};
static const struct dv_opt exec_opts[] = {
	{ "tty", 't', NULL, "Streams",
	  "Give the command a terminal. This is the default exactly when stdin "
	  "and stdout are terminals.",
	  diag_set_flag, AT(tty), 0, NULL },
	{ "no-tty", 0, NULL, "Streams",
	  "Never give it a terminal.",
	  diag_set_flag, AT(no_tty), 0, NULL },
	{ "interactive", 'i', NULL, "Streams",
	  "Connect stdin. It always is.",
	  diag_set_flag, AT(nothing), 0, NULL },
	{ "relayed", 0, NULL, "Streams",
	  "Let the agent copy the output, as that of a VM must, where it could "
	  "be given a pipe.",
	  diag_set_flag, AT(relayed), 0, NULL },
	O_ENV,
	{ "clear-env", 0, NULL, "Command",
	  "Start from an empty environment; -e fills it.",
	  diag_set_flag, AT(clear_env), 0, NULL },
	{ "workdir", 'w', "DIR", "Command",
	  "Working directory there. Needs davit-agent.",
	  diag_set_text, AT(workdir), 0, NULL },
	{ "user", 'u', "UID[:GID]", "Command",
	  "Run as this user, by number. Needs davit-agent.",
	  diag_set_text, AT(user), 0, NULL },
	{ "timeout", 0, "DUR", "Ending",
	  "Stop the command after this time; the exit status is 124 then. "
	  "Servers other than davit-agent cannot stop it: davit stops waiting.",
	  diag_set_duration, AT(timeout_ms), 0, NULL },
	O_JSON("Write the exit record, or the error, as the last line on "
	       "stderr, in JSON."),
};
static const struct dv_opt shell_opts[] = { O_ENV };
static const struct dv_opt inspect_opts[] = { DIAG_INSPECT_OPTS };
static const struct dv_opt start_opts[] = { O_ENV, O_TIMEOUT };
static const struct dv_opt kmsg_opts[] = {
	{ "follow", 'f', NULL, "What",
	  "Wait for more records.",
	  diag_set_flag, AT(follow), 0, NULL },
	{ "reconnect", 'r', NULL, "What",
	  "When the connection is lost, wait for the guest and go on after the "
	  "last record that was shown. Implies -f.",
	  diag_set_flag, AT(reconnect), 0, NULL },
	O_JSON("One JSON object a record."),
};
static const struct dv_opt cat_opts[] = {
	{ "follow", 'f', NULL, "What",
	  "Wait for what is appended.",
	  diag_set_flag, AT(follow), 0, NULL },
};
static const struct dv_opt name_opts[] = { O_NAME, O_TIMEOUT };
static const struct dv_opt core_opts[] = { O_NAME };
static const struct dv_opt pcap_opts[] = {
	{ "seconds", 's', "SECONDS", "What",
	  "Stop after this time. Without it, ^C stops.",
	  diag_set_text, AT(seconds), 0, NULL },
	{ "snaplen", 0, "N", "What",
	  "Keep at most N bytes of each packet. The default is 65535.",
	  diag_set_number, AT(snaplen), 0, NULL },
	{ "query", 0, NULL, "What",
	  "Only say what can be captured.",
	  diag_set_flag, AT(query), 0, NULL },
	{ "stop", 0, NULL, "What",
	  "Stop the captures that run, whoever started them.",
	  diag_set_flag, AT(stop), 0, NULL },
	O_JSON("With --query: one JSON document."),
};
static const struct dv_opt json_opts[] = {
	O_TIMEOUT, O_JSON("One JSON document."),
};
static const struct dv_opt kill_opts[] = {
	{ "signal", 's', "SIGNAL", "What",
	  "The signal, by name or number. The default is TERM.",
	  diag_set_text, AT(signal), DV_COMPLETE_WORDS,
	  "TERM INT QUIT HUP KILL USR1 USR2 STOP CONT" },
	{ "group", 'g', NULL, "What",
	  "To the whole process group.",
	  diag_set_flag, AT(group), 0, NULL },
	{ "all", 'a', NULL, "What",
	  "To every process that was started by exec; without PID.",
	  diag_set_flag, AT(all), 0, NULL },
	O_TIMEOUT,
};
static const struct dv_opt relay_opts[] = {
	{ "reconnect", 'r', NULL, "What",
	  "Go on when a connection has ended: serve any number of them, or "
	  "connect stdin and stdout anew.",
	  diag_set_flag, AT(reconnect), 0, NULL },
};

struct sub {
	struct dv_verb verb;
	diag_fn *fn;
	int min, max; /* words; -1: any number */
};

/* At the end stands the prose, and after it what only this verb has. */
#define SUB(verb_name, function, words, lo, hi, table, status, text, ...) \
	{ { .name = verb_name, .args = words, .summary = text, \
	    .opts = table, .n_opts = DV_ARRAY_LEN(table), \
	    .usage_status = status, .before = "diag TARGET ", \
	    .command = (status) == 125 || (hi) < 0, \
	    .prose = __VA_ARGS__ }, function, lo, hi }

static const struct sub subs[] = {
	SUB("ping", diag_ping, "[-t DUR]", 0, 0, order_opts, 2,
	    "ask whether the guest answers",
	    "Ask whether somebody answers, and say how long it took."),
	SUB("wait-ready", diag_wait_ready, "[-t DUR]", 0, 0, wait_opts, 2,
	    "wait until the guest answers",
	    "Connect again and again until somebody answers."),
	SUB("exec", diag_exec, "[OPTIONS] [--] CMD [ARG...]", 1, -1, exec_opts, 125,
	    "run a command there",
	    "Run CMD in the guest and exit with its status; 128 and the "
	    "signal's number when a signal ended it; 124 when --timeout did; "
	    "125 when davit failed or the connection was lost; 126 when the "
	    "command cannot be executed; 127 when it was not found."),
	SUB("shell", diag_shell, "[SHELL [ARG...]]", 0, -1, shell_opts, 125,
	    "a shell there, on this terminal",
	    "Run SHELL (/bin/sh) on a terminal of the guest. It is told TERM "
	    "and the size of this one, also when that changes. Exits with the "
	    "shell's status."),
	SUB("inspect", diag_inspect, "[OPTIONS] [PATH]", 0, 1, inspect_opts, 2,
	    "show the tree of live state",
	    "Show the state of the agent and its guest, as a tree, from PATH "
	    "on. Paths are completed by the shell: they are asked for, live.",
	    .complete = DV_COMPLETE_TREE),
	SUB("start", diag_start, "[-e KEY=VALUE] [ARG...]", 0, -1, start_opts, 2,
	    "let go of a workload that waits",
	    "Start the workload of a guest that was told to wait for it."),
	SUB("kmsg", diag_kmsg, "[-f] [--reconnect] [--json]", 0, 0, kmsg_opts, 2,
	    "the kernel's log",
	    "Print the guest's kernel log, one record a line."),
	SUB("cat", diag_cat, "[-f] PATH", 1, 1, cat_opts, 2,
	    "a file of the guest",
	    "Copy a file of the guest to stdout."),
	SUB("crash", diag_crash, "PID|-n NAME", 0, 1, name_opts, 2,
	    "make a process crash",
	    "Ask a process of the guest to crash, to see what it leaves."),
	SUB("core", diag_core, "PID|-n NAME >FILE", 0, 1, core_opts, 2,
	    "an ELF core of a process, which goes on",
	    "Write an ELF core of a live process to stdout."),
	SUB("pcap", diag_pcap, "[-s SECONDS] [--snaplen N] [FILE] | --query | --stop", 0,
	    1, pcap_opts, 2,
	    "capture packets of all interfaces, as pcapng",
	    "Capture what goes over the guest's interfaces, into FILE or "
	    "stdout, until ^C or the end of SECONDS. What is on its way then "
	    "is still written.",
	    .complete = DV_COMPLETE_FILE),
	SUB("restart", diag_restart, "[-t DUR]", 0, 0, order_opts, 2,
	    "start the agent anew; what runs goes on",
	    "The agent executes itself anew, and keeps every process, stream "
	    "and exit status."),
	SUB("pause", diag_pause, "[-t DUR]", 0, 0, order_opts, 2,
	    "freeze the workload",
	    "Freeze every process of the workload."),
	SUB("resume", diag_resume, "[-t DUR]", 0, 0, order_opts, 2,
	    "let a frozen workload go on",
	    "Undo pause."),
	SUB("saved-state", diag_saved_state, "[-t DUR] >FILE", 0, 0, order_opts, 2,
	    "the document that a restart uses",
	    "Write the agent's state to stdout, as the document that a restart "
	    "hands over."),
	SUB("pid", diag_pid, "NAME", 1, 1, order_opts, 2,
	    "the number of a process by its name",
	    "Print the number of the process that mesh/hosts knows by NAME."),
	SUB("ps", diag_ps, "[--json]", 0, 0, json_opts, 2,
	    "list what was started there",
	    "List the processes that were started by exec, and those that have "
	    "ended and whose status is still kept."),
	SUB("kill", diag_kill, "[-s SIGNAL] [-g] PID | -a", 0, 1, kill_opts, 2,
	    "signal a process that was started there",
	    "Send a signal to a process that ps lists. Needs davit-agent."),
	SUB("gdb", diag_gdb, "PID [GDB-ARG...]", 1, -1, order_opts, 2,
	    "debug a process there with the gdb of here",
	    "Start gdb, connected to a gdbserver that attaches to PID in the "
	    "guest. Both have to be there."),
	SUB("mem-profile", diag_mem_profile, "PID|-n NAME", 0, 1, name_opts, 2,
	    "where the memory of a process is, as JSON",
	    "Print what a process of the guest uses memory for, as JSON."),
	SUB("relay", diag_relay, "[--reconnect] PORT [tcp:[ADDR:]PORT]", 1, 2, relay_opts,
	    2,
	    "connect to a vsock port of the guest",
	    "Connect stdin and stdout to a port of the guest; or listen on a "
	    "TCP port here (of 127.0.0.1, unless ADDR says otherwise) and "
	    "connect whoever comes. Each direction ends by itself."),
};
// clang-format on

const struct dv_verb *dv_diag_verb_at(size_t n)
{
	return n < DV_ARRAY_LEN(subs) ? &subs[n].verb : NULL;
}

/* ---- options ----------------------------------------------------------- */

static void *member(void *target, const struct dv_opt *opt)
{
	return (char *)target + opt->which;
}

int diag_set_flag(void *target, const struct dv_opt *opt,
		  const char *value DV_UNUSED, struct dv_err *err DV_UNUSED)
{
	*(bool *)member(target, opt) = true;
	return 0;
}

int diag_set_text(void *target, const struct dv_opt *opt, const char *value,
		  struct dv_err *err DV_UNUSED)
{
	*(const char **)member(target, opt) = value;
	return 0;
}

int diag_set_duration(void *target, const struct dv_opt *opt, const char *value,
		      struct dv_err *err)
{
	if (dv_parse_duration(value, member(target, opt)) == 0)
		return 0;
	dv_err_set(err, EINVAL, DV_INVALID, "\"%.60s\" is no duration", value);
	dv_err_hint(err, "like 10 (seconds), 1.5s, 200ms, 1h30m or "
			 "7d; " DV_DURATION_MAX_TEXT " at most");
	return -EINVAL;
}

int diag_set_number(void *target, const struct dv_opt *opt, const char *value,
		    struct dv_err *err)
{
	uint64_t v;
	int r = dv_parse_u64(value, 0, UINT32_MAX - 1, &v);

	if (r < 0)
		return dv_err_set(err, -r, DV_INVALID, "\"%.60s\" is no number",
				  value);
	*(uint32_t *)member(target, opt) = (uint32_t)v;
	return 0;
}

int diag_set_watch(void *target, const struct dv_opt *opt, const char *value,
		   struct dv_err *err)
{
	struct diag_cmd *cmd = target;

	cmd->watch = true;
	if (!value)
		return 0;
	if (diag_set_duration(target, opt, value, err) < 0)
		return -EINVAL;
	/* More often is a load, not a watch. */
	return cmd->watch_ms < 50 ? dv_err_set(err, EINVAL, DV_INVALID,
					       "50ms is the shortest interval")
				  : 0;
}

int diag_add_env(void *target, const struct dv_opt *opt DV_UNUSED,
		 const char *value, struct dv_err *err)
{
	struct diag_cmd *cmd = target;

	if (!*value || *value == '=')
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "\"%.60s\" has no name", value);
	if (cmd->n_env == DIAG_ENV_MAX)
		return dv_err_set(err, E2BIG, DV_INVALID,
				  "more than %d variables", DIAG_ENV_MAX);
	cmd->env[cmd->n_env++] = value;
	return 0;
}

/* ---- what the verbs share ---------------------------------------------- */

struct dv_how diag_how(const struct diag_cmd *cmd)
{
	struct dv_how how = DV_HOW_INIT;

	how.timeout_ms =
		cmd->timeout_ms >= 0 ? cmd->timeout_ms : DIAG_TIMEOUT_MS;
	if (cmd->timeout_ms == 0)
		how.timeout_ms = -1;
	return how;
}

int diag_fail(struct diag_cmd *cmd, int sys, const char *what)
{
	return dv_err_sys(&cmd->err, sys, "%s", what);
}

int diag_usage(struct diag_cmd *cmd, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	dv_vfmt(text, sizeof(text), fmt, ap);
	va_end(ap);
	cmd->usage = true;
	return dv_err_set(&cmd->err, EINVAL, DV_INVALID, "%s", text);
}

int diag_find_pid(struct diag_cmd *cmd, int32_t *pidp)
{
	struct dv_how how = diag_how(cmd);
	uint64_t pid;

	if (!cmd->argc == !cmd->name)
		return diag_usage(cmd, "either PID or -n NAME is needed");
	if (cmd->name)
		return dv_diag_get_pid(cmd->diag, cmd->name, pidp, &how,
				       &cmd->err);
	if (dv_parse_u64(cmd->argv[0], 1, INT32_MAX, &pid) < 0)
		return diag_usage(cmd, "\"%.60s\" is no process id",
				  cmd->argv[0]);
	*pidp = (int32_t)pid;
	return 0;
}

int diag_print(struct diag_cmd *cmd, const char *data, size_t len)
{
	return dv_stdout(data, len, &cmd->err);
}

static void on_no_reader(struct dv_src *src, uint32_t events DV_UNUSED)
{
	dv_src_del(src); /* when it does not end us, the next line fails */
	dv_stdout_failed(EPIPE, NULL);
}

void diag_end_with_reader(struct diag_cmd *cmd)
{
	/* Not for files, and without it nothing is wrong: no error. */
	if (!cmd->stdout_src.loop)
		dv_src_add(cmd->loop, &cmd->stdout_src, STDOUT_FILENO, 0,
			   on_no_reader);
}

int diag_not_to_terminal(struct diag_cmd *cmd)
{
	if (!isatty(STDOUT_FILENO))
		return 0;
	diag_usage(cmd, "binary data is not written to a terminal");
	dv_err_hint(&cmd->err, "davit diag %.40s %s ... >FILE", cmd->target,
		    cmd->verb->name);
	return -EINVAL;
}

static void on_copied(struct dv_relay *relay DV_UNUSED)
{
}

int diag_copy(struct diag_cmd *cmd, int fd)
{
	struct dv_relay relay = DV_RELAY_INIT;
	int r = dv_end_of_sandbox(&relay.from, fd);

	if (r == 0)
		r = dv_end_of_caller(&relay.to, STDOUT_FILENO, true);
	relay.done = on_copied;
	if (r == 0)
		r = dv_relay_start(&relay, cmd->loop);
	while (r >= 0 && dv_relay_active(&relay))
		r = dv_loop_dispatch(cmd->loop, -1);
	dv_relay_close(&relay);
	if (dv_inherited.no_stdout)
		relay.sys = EBADF; /* where it went is not stdout */
	if (r < 0)
		return diag_fail(cmd, -r, "copy");
	return relay.sys ? dv_stdout_failed(relay.sys, &cmd->err) : 0;
}

/* ---- the command line -------------------------------------------------- */

static const char *name_at(const void *table DV_UNUSED, size_t n)
{
	const struct dv_verb *verb = dv_diag_verb_at(n);

	return verb ? verb->name : NULL;
}

static const struct sub *find(const char *name)
{
	for (size_t i = 0; i < DV_ARRAY_LEN(subs); i++)
		if (!strcmp(subs[i].verb.name, name))
			return &subs[i];
	return NULL;
}

static int wrong(struct dv_err *err, const char *what, const char *word,
		 const char *hint)
{
	dv_err_set(err, EINVAL, DV_INVALID, "%s%.100s", what, word);
	dv_err_hint(err, "%s", hint);
	return -EINVAL;
}

static int no_such_verb(const char *name)
{
	struct dv_err err = DV_ERR_INIT;
	const char *near = dv_did_you_mean(name, name_at, NULL);

	dv_err_set(&err, EINVAL, DV_INVALID, "diag has no verb \"%.100s\"",
		   name);
	if (near)
		dv_err_hint(&err, "did you mean %s?", near);
	else
		dv_err_hint(&err, "davit diag --help lists them");
	return dv_report(&err, false, 2);
}

static int check_words(const struct sub *sub, struct diag_cmd *cmd)
{
	if (cmd->argc < sub->min) {
		dv_opts_synopsis(&sub->verb, &cmd->err);
		return dv_err_set(&cmd->err, EINVAL, DV_INVALID,
				  "too few words for %s", sub->verb.name);
	}
	if (sub->max >= 0 && cmd->argc > sub->max)
		return dv_opts_too_much(&sub->verb, cmd->argv[sub->max],
					&cmd->err);
	return 0;
}

/* No word of the other forms: see davit/vsock.h. */
static bool is_name(const char *target)
{
	return target[0] != '.' && !strpbrk(target, "/:");
}

int diag_open(struct diag_cmd *cmd)
{
	int r;

	if (!is_name(cmd->target)) {
		r = dv_diag_open(&cmd->diag, cmd->target, &cmd->err);
		cmd->usage = r == -EINVAL || r == -ENAMETOOLONG;
	} else {
		r = dv_sandbox_open(&cmd->sandbox, cmd->target, NULL,
				    &cmd->err);
		if (r == 0)
			r = dv_sandbox_diag(cmd->sandbox, &cmd->diag,
					    &cmd->err);
	}
	if (r == 0)
		cmd->loop = dv_diag_loop(cmd->diag);
	return r;
}

void diag_close(struct diag_cmd *cmd)
{
	dv_src_del(&cmd->stdout_src);
	if (!cmd->sandbox)
		dv_diag_free(cmd->diag);
	cmd->diag = NULL;
	cmd->sandbox = dv_sandbox_free(cmd->sandbox);
}

static int open_and_run(const struct sub *sub, struct diag_cmd *cmd)
{
	int r = diag_open(cmd);

	if (r == 0)
		r = sub->fn(cmd);
	diag_close(cmd);
	return r;
}

/* 125 to 127 for what runs a command, else 2 for usage and 1. */
static int failed(const struct sub *sub, const struct diag_cmd *cmd, bool usage)
{
	if (sub->verb.usage_status == 125)
		return dv_report(&cmd->err, cmd->json,
				 usage ? 125
				       : dv_report_start_status(&cmd->err));
	return dv_report(&cmd->err, cmd->json, usage ? 2 : 1);
}

static int run_sub(const struct sub *sub, const char *target, int argc,
		   char **argv)
{
	struct diag_cmd cmd = { .target = target,
				.verb = &sub->verb,
				.timeout_ms = -1,
				.watch_ms = 1000,
				.levels = DV_DIAG_DEPTH_ALL,
				.snaplen = 65535,
				.stdout_src = DV_SRC_INIT,
				.err = DV_ERR_INIT };
	int rest = 1;
	int r = dv_opts_parse(&sub->verb, argc, argv, &cmd, &rest, &cmd.err);

	if (r == DV_OPTS_HELP)
		return dv_help_verb(&sub->verb);
	if (r == 0) {
		cmd.argc = argc - rest;
		cmd.argv = argv + rest;
		r = check_words(sub, &cmd);
	}
	if (r < 0)
		return failed(sub, &cmd, true);
	r = open_and_run(sub, &cmd);
	return r < 0 ? failed(sub, &cmd, cmd.usage) : r;
}

int dv_diag_main(const struct dv_verb *verb, int argc, char **argv)
{
	struct dv_err err = DV_ERR_INIT;
	const struct sub *sub;
	int rest = 1, r = dv_opts_parse(verb, argc, argv, NULL, &rest, &err);

	if (r == DV_OPTS_HELP)
		return dv_help_verb(verb);
	if (r == 0 && rest >= argc)
		r = wrong(&err, "no target given", "",
			  "davit diag NAME|unix:PATH|vsock:CID VERB ...");
	/* "davit diag exec --help": nobody needs a target for that. */
	if (r == 0 && rest + 2 == argc && !strcmp(argv[rest + 1], "--help") &&
	    (sub = find(argv[rest])))
		return dv_help_verb(&sub->verb);
	if (r == 0 && rest + 1 >= argc)
		r = wrong(&err, "no verb given", "",
			  "davit diag --help lists them");
	if (r < 0)
		return dv_report(&err, false, 2);
	sub = find(argv[rest + 1]);
	if (!sub)
		return no_such_verb(argv[rest + 1]);
	return run_sub(sub, argv[rest], argc - rest - 1, argv + rest + 1);
}
