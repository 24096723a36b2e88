/* SPDX-License-Identifier: MIT */
/*
 * The verbs that are an operation on any number of sandboxes, and no more:
 * stop, kill, pause, resume, restart, rename, update, upgrade.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/num.h"
#include "cli/diag.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/target.h"
#include "cli/verbs.h"

struct life {
	bool latest, all, ignore, json;
	int signal;     /* 0: not given */
	int timeout_ms; /* -1: not given */
	struct dv_limits limits;
	const char *exe;
	const char *name; /* the new one */
};

#define AT(member) ((int)offsetof(struct life, member))
#define COMMON     DV_OPT_LATEST('l', AT(latest)), DV_OPT_JSON_ERRORS(AT(json))
#define SIGNALS    "TERM INT QUIT HUP KILL USR1 USR2 STOP CONT"

/* ---- options ------------------------------------------------------------- */

static int set_signal(void *target, const struct dv_opt *opt DV_UNUSED,
		      const char *value, struct dv_err *err)
{
	struct life *l = target;

	l->signal = dv_parse_signal(value);
	if (l->signal > 0)
		return 0;
	dv_err_set(err, EINVAL, DV_INVALID, "\"%.60s\" is no signal", value);
	dv_err_hint(err, "like TERM, SIGINT or 15");
	return -EINVAL;
}

static int bad(struct dv_err *err, const char *value, const char *what)
{
	return dv_err_set(err, EINVAL, DV_INVALID, "\"%.60s\" is not %s", value,
			  what);
}

/* "none" takes a limit away. */
static int set_memory(void *target, const struct dv_opt *opt DV_UNUSED,
		      const char *value, struct dv_err *err)
{
	struct life *l = target;

	l->limits.memory = 0;
	if (!strcmp(value, "none"))
		return 0;
	if (dv_parse_size(value, &l->limits.memory) < 0 || !l->limits.memory)
		return bad(err, value, "a size: 64m, 1.5g, bytes, or none");
	return 0;
}

static int set_cpus(void *target, const struct dv_opt *opt DV_UNUSED,
		    const char *value, struct dv_err *err)
{
	struct life *l = target;

	l->limits.milli_cpus = 0;
	if (!strcmp(value, "none"))
		return 0;
	if (dv_parse_milli(value, &l->limits.milli_cpus) < 0 ||
	    l->limits.milli_cpus < 10)
		return bad(err, value,
			   "a number of processors, at least 0.01, or none");
	return 0;
}

/* opt->which: offset of a uint32_t; @max of it. */
static int set_count(void *target, const struct dv_opt *opt, const char *value,
		     uint64_t max, struct dv_err *err)
{
	uint64_t n = 0;

	if (strcmp(value, "none") != 0 && dv_parse_u64(value, 1, max, &n) < 0)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "\"%.60s\" is not a number from 1 to %llu, "
				  "or none",
				  value, (unsigned long long)max);
	*(uint32_t *)(void *)((char *)target + opt->which) = (uint32_t)n;
	return 0;
}

static int set_pids(void *target, const struct dv_opt *opt, const char *value,
		    struct dv_err *err)
{
	return set_count(target, opt, value, 4194304, err);
}

static int set_weight(void *target, const struct dv_opt *opt, const char *value,
		      struct dv_err *err)
{
	return set_count(target, opt, value, 10000, err);
}

// clang-format off
#define STOP_OPTS							\
	{ "signal", 's', "SIGNAL", "What",				\
	  "What is sent first, by name or number. The default is what the " \
	  "sandbox was started with (--stop-signal).",			\
	  set_signal, 0, DV_COMPLETE_WORDS, SIGNALS },			\
	{ "timeout", 't', "DUR", "What",				\
	  "How long it may take (10, 1.5s, 200ms, 2m) until everything left " \
	  "in it is killed. The default is what it was started with "	\
	  "(--stop-timeout).",						\
	  diag_set_duration, AT(timeout_ms), 0, NULL }
static const struct dv_opt stop_opts[] = {
	STOP_OPTS,
	{ "ignore", 'i', NULL, "What",
	  "That there is none of a name is no error; the beginning of a name "
	  "counts as none.",
	  diag_set_flag, AT(ignore), 0, NULL },
	COMMON,
};
static const struct dv_opt restart_opts[] = { STOP_OPTS, COMMON };
static const struct dv_opt kill_opts[] = {
	{ "signal", 's', "SIGNAL", "What",
	  "The signal, by name or number. The default is KILL.",
	  set_signal, 0, DV_COMPLETE_WORDS, SIGNALS },
	{ "all", 'a', NULL, "What",
	  "To every process in it, not only the first one.",
	  diag_set_flag, AT(all), 0, NULL },
	COMMON,
};
static const struct dv_opt plain_opts[] = { COMMON };
static const struct dv_opt update_opts[] = {
	{ "memory", 'm', "SIZE", "Limits",
	  "Memory, swap included: 64m, 1.5g, bytes, or none.",
	  set_memory, 0, 0, NULL },
	{ "cpus", 'c', "N", "Limits",
	  "Processors' worth of time: 1.5 is one and a half; or none.",
	  set_cpus, 0, 0, NULL },
	{ "pids-limit", 0, "N", "Limits",
	  "Processes and threads at the same time, or none.",
	  set_pids, AT(limits.pids), 0, NULL },
	{ "io-weight", 0, "N", "Limits",
	  "Share of the disk, from 1 to 10000, or none.",
	  set_weight, AT(limits.io_weight), 0, NULL },
	COMMON,
};
static const struct dv_opt upgrade_opts[] = {
	{ "exe", 0, "FILE", "What",
	  "The davit that its keeper becomes. The default is this one.",
	  diag_set_text, AT(exe), DV_COMPLETE_FILE, NULL },
	COMMON,
};
// clang-format on

/* ---- the operations -------------------------------------------------------
 */

static struct dv_sandbox_stop stop_of(const struct life *l)
{
	struct dv_sandbox_stop stop = DV_SANDBOX_STOP_INIT;

	stop.signal = l->signal;
	stop.grace_ms = l->timeout_ms;
	return stop;
}

static int do_stop(void *arg, struct dv_sandbox *sb, const struct dv_how *how,
		   struct dv_err *err)
{
	struct dv_sandbox_stop stop = stop_of(arg);

	return dv_sandbox_stop(sb, &stop, NULL, how, err);
}

static int do_kill(void *arg, struct dv_sandbox *sb, const struct dv_how *how,
		   struct dv_err *err)
{
	const struct life *l = arg;

	return dv_sandbox_kill(sb, l->signal ? l->signal : SIGKILL, l->all, how,
			       err);
}

static int do_pause(void *arg DV_UNUSED, struct dv_sandbox *sb,
		    const struct dv_how *how, struct dv_err *err)
{
	return dv_sandbox_pause(sb, how, err);
}

static int do_resume(void *arg DV_UNUSED, struct dv_sandbox *sb,
		     const struct dv_how *how, struct dv_err *err)
{
	return dv_sandbox_resume(sb, how, err);
}

static int do_restart(void *arg, struct dv_sandbox *sb,
		      const struct dv_how *how, struct dv_err *err)
{
	struct dv_sandbox_stop stop = stop_of(arg);

	return dv_sandbox_restart(sb, &stop, how, err);
}

static int do_rename(void *arg, struct dv_sandbox *sb, const struct dv_how *how,
		     struct dv_err *err)
{
	return dv_sandbox_rename(sb, ((const struct life *)arg)->name, how,
				 err);
}

static int do_update(void *arg, struct dv_sandbox *sb, const struct dv_how *how,
		     struct dv_err *err)
{
	return dv_sandbox_update(sb, &((const struct life *)arg)->limits, how,
				 err);
}

static int do_upgrade(void *arg, struct dv_sandbox *sb,
		      const struct dv_how *how, struct dv_err *err)
{
	return dv_sandbox_upgrade(sb, ((const struct life *)arg)->exe, how,
				  err);
}

/* ---- the verbs ------------------------------------------------------------
 */

/* Parse; > 0: the exit status + 1, as there is nothing more to do. */
static int parse(const struct dv_verb *verb, int argc, char **argv,
		 struct life *l, struct dv_targets *t)
{
	struct dv_err err = DV_ERR_INIT;
	int rest = 1, r;

	*l = (struct life){ .timeout_ms = -1,
			    .limits = { UINT64_MAX, UINT32_MAX, UINT32_MAX,
					UINT32_MAX } };
	r = dv_opts_parse(verb, argc, argv, l, &rest, &err);
	if (r == DV_OPTS_HELP)
		return 1 + dv_help_verb(verb);
	if (r < 0)
		return 1 + dv_report(&err, l->json, 2);
	*t = (struct dv_targets){ .argc = argc - rest,
				  .argv = argv + rest,
				  .latest = l->latest,
				  .json = l->json,
				  .ignore = l->ignore,
				  .timeout_ms = DV_TARGET_MS,
				  .arg = l };
	return 0;
}

static int usage(const struct life *l, const char *what,
		 const struct dv_verb *verb)
{
	struct dv_err err = DV_ERR_INIT;

	dv_err_set(&err, EINVAL, DV_INVALID, "%s", what);
	dv_opts_synopsis(verb, &err);
	return dv_report(&err, l->json, 2);
}

/* It takes as long as it takes: its keeper has the deadline. */
static int patient_main(const struct dv_verb *verb, int argc, char **argv,
			dv_target_fn *fn)
{
	struct dv_targets t;
	struct life l;
	int r = parse(verb, argc, argv, &l, &t);

	t.timeout_ms = -1;
	t.begin = fn;
	return r ? r - 1 : dv_targets_run(&t);
}

static int prompt_main(const struct dv_verb *verb, int argc, char **argv,
		       dv_target_fn *fn)
{
	struct dv_targets t;
	struct life l;
	int r = parse(verb, argc, argv, &l, &t);

	t.begin = fn;
	return r ? r - 1 : dv_targets_run(&t);
}

static int stop_main(const struct dv_verb *verb, int argc, char **argv)
{
	return patient_main(verb, argc, argv, do_stop);
}

static int restart_main(const struct dv_verb *verb, int argc, char **argv)
{
	return patient_main(verb, argc, argv, do_restart);
}

static int kill_main(const struct dv_verb *verb, int argc, char **argv)
{
	return prompt_main(verb, argc, argv, do_kill);
}

static int pause_main(const struct dv_verb *verb, int argc, char **argv)
{
	return prompt_main(verb, argc, argv, do_pause);
}

static int resume_main(const struct dv_verb *verb, int argc, char **argv)
{
	return prompt_main(verb, argc, argv, do_resume);
}

static int rename_main(const struct dv_verb *verb, int argc, char **argv)
{
	struct dv_targets t;
	struct life l;
	int r = parse(verb, argc, argv, &l, &t);

	if (r)
		return r - 1;
	if (t.argc != 2 - l.latest)
		return usage(&l, "a sandbox and its new name are needed", verb);
	l.name = t.argv[--t.argc];
	t.begin = do_rename;
	return dv_targets_run(&t);
}

static int update_main(const struct dv_verb *verb, int argc, char **argv)
{
	struct dv_targets t;
	struct life l;
	int r = parse(verb, argc, argv, &l, &t);

	if (r)
		return r - 1;
	if (l.limits.memory == UINT64_MAX &&
	    l.limits.milli_cpus == UINT32_MAX && l.limits.pids == UINT32_MAX &&
	    l.limits.io_weight == UINT32_MAX)
		return usage(&l, "no limit is named", verb);
	t.begin = do_update;
	return dv_targets_run(&t);
}

static int upgrade_main(const struct dv_verb *verb, int argc, char **argv)
{
	struct dv_err err = DV_ERR_INIT;
	char self[PATH_MAX];
	struct dv_targets t;
	struct life l;
	ssize_t n;
	int r = parse(verb, argc, argv, &l, &t);

	if (r)
		return r - 1;
	if (l.exe) {
		if (!realpath(l.exe, self)) {
			dv_err_sys(&err, errno, "find %s", l.exe);
			return dv_report(&err, l.json, 1);
		}
		l.exe = self;
	} else if ((n = readlink("/proc/self/exe", self, sizeof(self) - 1)) >
		   0) {
		self[n] = '\0';
		l.exe = self;
	}
	t.begin = do_upgrade;
	return dv_targets_run(&t);
}

/* clang-format off */
#define LIFE(verb_name, words, table, text, ...)			\
	const struct dv_verb dv_verb_##verb_name = {			\
		.name = #verb_name, .args = words, .summary = text,	\
		.opts = table, .n_opts = DV_ARRAY_LEN(table),		\
		.usage_status = 2, .complete = DV_COMPLETE_SANDBOX,	\
		.more = DV_COMPLETE_SANDBOX,				\
		.main = verb_name##_main, .prose = __VA_ARGS__ }

#define STATUS "\n\n# EXIT STATUS\n\n"					\
	"0; 1 when it failed for one of them; 2 for wrong usage."

LIFE(stop, "[-s SIGNAL] [-t DUR] [-i] NAME...", stop_opts,
     "end sandboxes, in order",
     "Send the stop signal to the first process of each NAME, and kill "
     "everything that is left when the time is over. Returns as soon as the "
     "last process is gone. One that has ended is left as it is; a paused one "
     "is resumed for it; none is started again by --restart. When its keeper "
     "has not said 10 s after that time that it has ended, stop fails: davit "
     "rm -f ends it then." STATUS);
LIFE(kill, "[-s SIGNAL] [-a] NAME...", kill_opts,
     "send a signal into sandboxes",
     "Send a signal to the first process of each NAME, or to all of its "
     "processes. It does not wait for what comes of that." STATUS);
LIFE(pause, "NAME...", plain_opts,
     "freeze every process of sandboxes",
     "Freeze every process of each NAME; done when all of them stand still. "
     "Their memory stays; clocks go on. Needs a control group (v2)." STATUS);
LIFE(resume, "NAME...", plain_opts,
     "let frozen sandboxes go on",
     "Undo pause." STATUS);
LIFE(restart, "[-s SIGNAL] [-t DUR] NAME...", restart_opts,
     "start sandboxes anew",
     "Stop each NAME, if it runs, and start it again as it was started: with "
     "the same name, id, labels and log. What it wrote outside of volumes is "
     "gone. One that has ended gets a new keeper. Done when its command was "
     "executed, which may take 90 s; to end it may take as long as with stop."
     STATUS);
LIFE(rename, "NAME NEW", plain_opts,
     "give a sandbox another name",
     "Give NAME the name NEW: a-z, 0-9, and _ . - behind the first letter. "
     "Its id stays." STATUS);
LIFE(update, "[-m SIZE] [-c N] [--pids-limit N] [--io-weight N] NAME...",
     update_opts, "change the limits of running sandboxes",
     "Change limits of each NAME, all of them or none. What is not named stays "
     "as it is; none takes a limit away. A memory limit below what is in use "
     "is refused." STATUS);
LIFE(upgrade, "[--exe FILE] NAME...", upgrade_opts,
     "give sandboxes a keeper of another version",
     "Let the keeper of each NAME execute another davit in place. It stays the "
     "same process; what runs in the sandbox, streams, exit records and those "
     "who wait notice nothing. The new program has to accept the state first: "
     "when it does not, nothing has changed." STATUS);
/* clang-format on */
