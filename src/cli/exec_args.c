/* SPDX-License-Identifier: MIT */
#include "cli/exec_args.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/num.h"
#include "cli/diag.h"
#include "cli/envfile.h"
#include "cli/run_split.h"
#include "cli/target.h"
#include "cli/verbs.h"

enum { ENV_MAX = 65535 }; /* as many as a request may have */

#define AT(member) ((int)offsetof(struct exec_args, member))

void exec_args_init(struct exec_args *a)
{
	*a = (struct exec_args){ .timeout_ms = -1, .record_fd = -1 };
}

void exec_args_free(struct exec_args *a)
{
	for (size_t i = 0; i < a->n_env; i++)
		free(a->env[i]);
	free(a->env);
	a->env = NULL;
	a->n_env = 0;
}

/* @text is consumed; NULL: no memory. */
static int append(struct exec_args *a, char *text, struct dv_err *err)
{
	size_t n = a->n_env;
	char **env = a->env;

	if (n == ENV_MAX) {
		free(text);
		return dv_err_set(err, E2BIG, DV_INVALID,
				  "more than %d variables", ENV_MAX);
	}
	if (n % 64 == 0 && text)
		env = reallocarray(a->env, n + 65, sizeof(*env));
	if (!env || !text) {
		free(text);
		return dv_err_sys(err, ENOMEM, "set a variable");
	}
	a->env = env;
	env[n] = text;
	env[++a->n_env] = NULL;
	return 0;
}

int exec_args_env(struct exec_args *a, const char *entry, struct dv_err *err)
{
	size_t len = strcspn(entry, "=");
	const char *value;
	char *text;

	if (!len)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "\"%.60s\" has no name", entry);
	if (entry[len])
		return append(a, strdup(entry), err);
	value = getenv(entry);
	if (!value)
		return 0;
	len += strlen(value) + 2;
	text = malloc(len);
	if (text)
		dv_fmt(text, len, "%s=%s", entry, value);
	return append(a, text, err);
}

static int add_env(void *arg, const char *entry, struct dv_err *err)
{
	return exec_args_env(arg, entry, err);
}

static int set_env(void *target, const struct dv_opt *opt DV_UNUSED,
		   const char *value, struct dv_err *err)
{
	return exec_args_env(target, value, err);
}

static int set_env_file(void *target, const struct dv_opt *opt DV_UNUSED,
			const char *value, struct dv_err *err)
{
	return dv_envfile_read(value, add_env, target, err);
}

static int set_tty(void *target, const struct dv_opt *opt,
		   const char *value DV_UNUSED, struct dv_err *err DV_UNUSED)
{
	((struct exec_args *)target)->tty = (enum dv_auto)opt->which;
	return 0;
}

static int set_user(void *target, const struct dv_opt *opt DV_UNUSED,
		    const char *value, struct dv_err *err)
{
	((struct exec_args *)target)->user = value;
	return *value ? 0 : dv_err_set(err, EINVAL, DV_INVALID, "it is empty");
}

/* The last one of a resource counts. */
static int set_ulimit(void *target, const struct dv_opt *opt DV_UNUSED,
		      const char *value, struct dv_err *err)
{
	struct exec_args *a = target;
	struct dv_ulimit_words u;
	size_t i = 0;
	int r = dv_split_ulimit(value, &u, err);

	if (r < 0)
		return r;
	while (i < a->n_rlimits && a->rlimits[i].resource != u.resource)
		i++;
	dv_assert(i < DV_ARRAY_LEN(a->rlimits));
	a->rlimits[i] = (struct dv_diag_rlimit){ u.resource, u.soft, u.hard };
	a->n_rlimits = dv_max(a->n_rlimits, i + 1);
	return 0;
}

static int set_record(void *target, const struct dv_opt *opt DV_UNUSED,
		      const char *value, struct dv_err *err)
{
	struct exec_args *a = target;
	uint64_t n;

	a->record = value;
	a->record_fd = -1;
	if (!*value)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "\"\" is not a file");
	if (strncmp(value, "fd:", 3) != 0)
		return 0;
	if (dv_parse_u64(value + 3, 0, INT_MAX, &n) < 0)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "\"%.60s\" is no descriptor", value);
	if (dv_fd_mode((int)n) < 0)
		return dv_err_sys(err, EBADF, "descriptor %d", (int)n);
	a->record_fd = (int)n;
	return 0;
}

static int set_nothing(void *target DV_UNUSED,
		       const struct dv_opt *opt DV_UNUSED,
		       const char *value DV_UNUSED,
		       struct dv_err *err DV_UNUSED)
{
	return 0;
}

// clang-format off
static const struct dv_opt opts[] = {
	DV_OPT_LATEST('l', AT(latest)),
	{ "env", 'e', "KEY[=VALUE]", "Command",
	  "Set a variable; without = the caller's value is passed on, if there "
	  "is one.",
	  set_env, 0, 0, NULL },
	{ "env-file", 0, "FILE", "Command",
	  "Read variables from FILE: one KEY=VALUE or KEY a line, # starts a "
	  "comment, nothing is quoted.",
	  set_env_file, 0, DV_COMPLETE_FILE, NULL },
	{ "clear-env", 0, NULL, "Command",
	  "Start from an empty environment; -e and --env-file fill it. Without "
	  "it, that of the sandbox's first command counts.",
	  diag_set_flag, AT(clear_env), 0, NULL },
	{ "workdir", 'w', "DIR", "Command",
	  "Working directory inside.",
	  diag_set_text, AT(workdir), 0, NULL },
	{ "user", 'u', "USER[:GROUP]", "Command",
	  "Run as this user, by name or number, looked up in the sandbox's own "
	  "files.",
	  set_user, 0, 0, NULL },
	{ "ulimit", 0, "NAME=SOFT[:HARD]", "Command",
	  "A resource limit of the process, for example nofile=1024:4096; not "
	  "more than the sandbox has.",
	  set_ulimit, 0, 0, NULL },
	{ "tty", 't', NULL, "Streams",
	  "Give the command a terminal of its own. This is the default exactly "
	  "when stdin and stdout are terminals.",
	  set_tty, DV_YES, 0, NULL },
	{ "no-tty", 'T', NULL, "Streams",
	  "Never give it a terminal; what is one here becomes a pipe there.",
	  set_tty, DV_NO, 0, NULL },
	{ "interactive", 'i', NULL, "Streams",
	  "Connect stdin. It always is.",
	  set_nothing, 0, 0, NULL },
	{ "detach", 'd', NULL, "Streams",
	  "Do not wait: print its process id, as seen from here, and leave it "
	  "running. Its streams are /dev/null.",
	  diag_set_flag, AT(detach), 0, NULL },
	{ "timeout", 0, "DUR", "Ending",
	  "Stop the command after this time (10, 1.5s, 200ms, 2m); the exit "
	  "status is 124 then.",
	  diag_set_duration, AT(timeout_ms), 0, NULL },
	DV_OPT_JSON_RECORD(AT(json)),
	{ "record", 0, "PATH|fd:N", "Records",
	  "Write the exit record to a file or to descriptor N instead.",
	  set_record, 0, DV_COMPLETE_FILE, NULL },
	{ "quiet", 'q', NULL, "Records",
	  "With -d: do not print the process id.",
	  diag_set_flag, AT(quiet), 0, NULL },
};
// clang-format on

const struct dv_verb dv_verb_exec = {
	.name = "exec",
	.args = "[OPTIONS] NAME [--] CMD [ARG...]",
	.summary = "run another command in a sandbox",
	.opts = opts,
	.n_opts = DV_ARRAY_LEN(opts),
	.usage_status = 125,
	.command = true,
	.complete = DV_COMPLETE_SANDBOX,
	.main = dv_exec_main,
	.prose =
		"Run CMD in the sandbox NAME, beside what runs there, wait for "
		"it, and exit with its status. It has the environment, the "
		"user, the directory and the limits of the sandbox, where "
		"options do not say otherwise.\n\n"
		"When davit exec is killed, the command goes on. When the "
		"sandbox ends, the command is killed, too.\n\n"
		"# STREAMS\n\n"
		"A stdin, stdout or stderr that is no terminal is handed to "
		"the command as it is: nobody copies in between. When stdin "
		"and stdout are terminals (or with -t) the command gets a "
		"terminal of its own, between which and this one davit "
		"relays.\n\n"
		"# SIGNALS\n\n"
		"INT, TERM, HUP, QUIT, USR1, USR2 and CONT are passed on, as "
		"by davit run. TSTP stops the command and then davit.\n\n"
		"# EXIT STATUS\n\n"
		"The command's own status; 128 and the signal's number when a "
		"signal ended it; 124 when --timeout did; 125 when davit "
		"failed or was used wrongly, and when the sandbox's keeper was "
		"lost; 126 when the command cannot be executed; 127 when it "
		"was not found.\n\n"
		"# EXAMPLES\n\n"
		"  davit exec web -- cat /etc/hostname\n"
		"  davit exec -t -e PS1='$ ' web sh\n"
		"  tar -c . | davit exec web -- tar -x -C /tmp",
};
