/* SPDX-License-Identifier: MIT */
/*
 * From the options of a host to a process: the plan, the profile, what apply()
 * adds, and the engine.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "engine/plan.h"
#include "mesh/host_priv.h"

extern char **environ;

static const char own_exe[] = "/proc/self/exe";

/* Its path, for a root in which /proc is not; others run what we run, even
 * when its file was replaced meanwhile. */
static int own_path(char out[PATH_MAX], struct dv_err *err)
{
	ssize_t len = readlink(own_exe, out, PATH_MAX - 1);

	if (len < 0)
		return dv_err_sys(err, errno, "read %s", own_exe);
	out[len] = '\0';
	return 0;
}

static void plan_args(struct dv_plan *plan, const struct dv_host *host,
		      const char *exe)
{
	const char *arg0 = host->arg0;

	if (!arg0)
		arg0 = host->exe ? exe : program_invocation_name;
	plan->msg.process.exe = dv_plan_strdup(plan, exe);
	dv_plan_arg(plan, arg0);
	for (char **a = host->args; a && *a; a++)
		dv_plan_arg(plan, *a);
	if (!host->opts.no_name_arg)
		dv_plan_arg(plan, host->name);
}

static void plan_env(struct dv_plan *plan, struct dv_mesh_id node)
{
	char entry[sizeof(DV_HOST_ENV) + 16 + DV_MESH_ID_TEXT];
	char id[DV_MESH_ID_TEXT];

	for (char **e = environ; e && *e; e++)
		dv_plan_env(plan, *e);
	dv_fmt(entry, sizeof(entry), "%s=%d,%s", DV_HOST_ENV, DV_HOST_INVITE_FD,
	       dv_mesh_id_text(node, id));
	dv_plan_env(plan, entry);
}

static void plan_fd(struct dv_host_setup *setup, int fd, uint32_t target)
{
	setup->fds[setup->n_fds] = fd;
	dv_plan_fd(setup->plan, (uint32_t)setup->n_fds++, target);
}

/*
 * What to give it as stderr: a descriptor of ours, borrowed, or *@opened. A
 * number 2 that is close-on-exec is no stderr but something that took its place
 * when there was none.
 */
static int open_stderr(struct dv_host_run *run, int null, int *opened,
		       struct dv_err *err)
{
	const struct dv_host *host = run->host;
	int r;

	switch (host->opts.stderr_to) {
	case DV_HOST_STDERR_FD:
		return host->stderr_fd;
	case DV_HOST_STDERR_FILE:
		*opened = open(host->stderr_file,
			       O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC |
				       O_NOCTTY,
			       0600);
		if (*opened < 0)
			return dv_err_sys(err, errno, "open %s",
					  host->stderr_file);
		return *opened;
	case DV_HOST_STDERR_TAIL:
		r = dv_host_tail_start(&run->tail, run->hosts->loop, opened);
		return r < 0 ? dv_err_sys(err, -r, "pipe for stderr") : *opened;
	case DV_HOST_STDERR_INHERIT:
		return dv_fd_is_cloexec(STDERR_FILENO) == 0 ? STDERR_FILENO
							    : null;
	case DV_HOST_STDERR_NULL:
	default:
		return null;
	}
}

/* The profile may have left a place in the list for what comes last. */
static int finish_setup(struct dv_host *host, struct dv_host_setup *setup,
			struct dv_err *err)
{
	int r = 0;

	if (host->opts.apply)
		r = host->opts.apply(host, setup, err);
	if (r < 0)
		return dv_err_step(err, r, DV_STEP_CONFIG);
	if (setup->status < 0) {
		if (err)
			*err = setup->err;
		return setup->status;
	}
	if (setup->filter.len % sizeof(struct sock_filter) ||
	    setup->filter.len / sizeof(struct sock_filter) > DV_PLAN_INSNS_MAX)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "size of the last seccomp filter");
	r = dv_plan_status(setup->plan);
	if (r < 0)
		return dv_err_sys(err, -r, "prepare the plan");
	return dv_plan_check(&setup->plan->msg, setup->n_fds, err);
}

static int begin(struct dv_host_run *run, struct dv_host_setup *setup,
		 struct dv_err *err)
{
	const dv_Plan *plan = &setup->plan->msg;
	int r = dv_host_group_make(run, setup, err);

	if (r == 0 && plan->has_isolation)
		r = dv_ns_start(&run->sandbox, &plan->isolation, false, err);
	if (r == 0)
		r = dv_proc_begin(&run->proc,
				  plan->has_isolation ? &run->sandbox : NULL,
				  &plan->process, setup->fds, setup->n_fds,
				  setup->grouped ? &run->group : NULL, err);
	return r;
}

int dv_host_run_begin(struct dv_host_run *run, int invite,
		      struct dv_host_setup *setup, struct dv_err *err)
{
	dv_autofd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dv_autofd int opened = -1;
	struct dv_host *host = run->host;
	char exe[PATH_MAX];
	int fd, r = 0;

	if (null < 0)
		return dv_err_sys(err, errno, "open /dev/null");
	if (!host->exe && (setup->profile & DV_HOST_ISOLATED))
		r = own_path(exe, err);
	else
		r = dv_fmt(exe, sizeof(exe), "%s",
			   host->exe ? host->exe : own_exe) < PATH_MAX
			    ? 0
			    : dv_err_sys(err, ENAMETOOLONG, "program");
	if (r < 0)
		return r;
	fd = open_stderr(run, null, &opened, err);
	if (fd < 0)
		return fd;
	setup->plan->msg.has_process = true;
	plan_args(setup->plan, host, exe);
	plan_env(setup->plan, run->node);
	plan_fd(setup, null, 0);
	plan_fd(setup, null, 1);
	plan_fd(setup, fd, 2);
	plan_fd(setup, invite, DV_HOST_INVITE_FD);
	r = dv_host_setup_profile(setup, exe, !host->exe, err);
	if (r == 0)
		r = finish_setup(host, setup, err);
	return r < 0 ? r : begin(run, setup, err);
}
