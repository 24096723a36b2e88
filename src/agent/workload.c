/* SPDX-License-Identifier: MIT */
/*
 * The workload: the command of our own command line. With --wait-for-start it
 * waits for the Start call, which may add to its environment and arguments.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/def.h"
#include "wire/sandbox.pb.h"

enum { ARGS_MAX = 4096 };

/* Its output is kept for Attach; nobody is there yet to give it a stream. */
static const dv_Stdio keep = { .mode = dv_StdioMode_STDIO_KEEP };

static void on_started(void *arg, struct dv_exec *exec,
		       const struct dv_err *err)
{
	struct dv_agent *a = arg;

	if (err)
		dv_log(&a->log, DV_LOG_ERROR, "start the workload: %s",
		       err->msg);
	else
		dv_log(&a->log, DV_LOG_INFO, "workload started pid=%d",
		       (int)dv_exec_pid(exec));
}

static size_t count(char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

static int start(struct dv_agent *a, const dv_diag_StartRequest *rq,
		 struct dv_err *err)
{
	size_t n = count(a->opts->workload), extra = rq ? rq->args_count : 0;
	size_t n_env = rq ? rq->env_count : 0;
	dv_autofree char **argv = calloc(n + extra + 1, sizeof(*argv));
	dv_autofree dv_EnvPair *env = calloc(n_env + 1, sizeof(*env));
	dv_ExecRequest ex = dv_ExecRequest_init_zero;
	struct dv_exec *exec;

	if (!argv || !env)
		return dv_err_sys(err, ENOMEM, "start the workload");
	if (n + extra > ARGS_MAX)
		return dv_err_set(err, E2BIG, DV_INVALID,
				  "more than %d arguments", ARGS_MAX);
	memcpy(argv, a->opts->workload, n * sizeof(*argv));
	for (size_t i = 0; i < extra; i++)
		argv[n + i] = rq->args[i];
	for (size_t i = 0; i < n_env; i++) {
		env[i].name = rq->env[i].name;
		env[i].value = rq->env[i].value;
	}
	ex.argv = argv;
	ex.argv_count = (pb_size_t)(n + extra);
	ex.env = env;
	ex.env_count = (pb_size_t)n_env;
	ex.has_stdout = ex.has_stderr = true;
	ex.stdout = ex.stderr = keep;
	return dv_procs_start(a->procs, &ex, NULL, 0, on_started, a, &exec,
			      err);
}

int dv_workload_start(struct dv_agent *a, const dv_diag_StartRequest *rq,
		      struct dv_err *err)
{
	int r;

	if (!a->opts->workload) {
		dv_err_hint(err, "give davit-agent a command: "
				 "--wait-for-start -- CMD");
		return dv_err_set(err, ENOENT, DV_PRECONDITION,
				  "there is no workload");
	}
	if (a->begun)
		return dv_err_set(err, EALREADY, DV_PRECONDITION,
				  "workers have already been started");
	r = start(a, rq, err);
	a->begun = r == 0;
	return r;
}
