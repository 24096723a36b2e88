/* SPDX-License-Identifier: MIT */
/*
 * How a host ended: the record, in numbers and in words.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "base/def.h"
#include "base/num.h"
#include "mesh/host_priv.h"

static enum dv_host_ended_by ended_by(const struct dv_host_run *run)
{
	if (run->fail.code != DV_OK && !run->end.up)
		return DV_HOST_BY_LAUNCH;
	if (run->push >= DV_PUSH_KILL)
		return DV_HOST_BY_KILL;
	if (run->push == DV_PUSH_TERM)
		return DV_HOST_BY_TERM;
	return run->stopping ? DV_HOST_BY_STOP : DV_HOST_BY_ITSELF;
}

/* Linux 6.15 keeps the status for who has a pidfd; not in the headers of Debian
 * 12. The kernel fills as much as this is long. */
struct pidfd_info {
	uint64_t mask, cgroup;
	uint32_t ids[11];
	int32_t status; /* as of waitpid() */
};
#define PIDFD_GET_INFO  _IOWR(0xff, 11, struct pidfd_info)
#define PIDFD_INFO_EXIT UINT64_C(8)

void dv_host_run_lost(const struct dv_host_run *run, siginfo_t *info)
{
	struct pidfd_info known = { .mask = PIDFD_INFO_EXIT };

	*info = (siginfo_t){ .si_code = CLD_EXITED };
	info->si_status = -1;
	if (ioctl(run->proc.pidfd, PIDFD_GET_INFO, &known) < 0 ||
	    !(known.mask & PIDFD_INFO_EXIT))
		return;
	if (WIFSIGNALED(known.status)) {
		info->si_code =
			WCOREDUMP(known.status) ? CLD_DUMPED : CLD_KILLED;
		info->si_status = WTERMSIG(known.status);
	} else {
		info->si_status = WEXITSTATUS(known.status);
	}
}

void dv_host_run_record(struct dv_host_run *run, const siginfo_t *info,
			const struct rusage *usage)
{
	struct dv_host_exit *end = &run->end;
	bool exited = info->si_code == CLD_EXITED;

	end->ended_ns = dv_now_ns();
	end->status = exited ? info->si_status : -1;
	end->signo = exited ? 0 : info->si_status;
	end->core = info->si_code == CLD_DUMPED;
	end->usage = *usage;
	end->by = ended_by(run);
}

static int describe(const struct dv_host_run *run, struct dv_err *err)
{
	const struct dv_host_exit *end = &run->end;
	const char *when = end->up       ? ""
			   : run->joined ? " before it was up"
					 : " before it joined";
	const char *sep = end->line[0] ? ": " : "";

	if (end->signo == SIGSYS)
		dv_err_hint(err, "a system call that its sandbox forbids");
	if (end->signo)
		return dv_err_set(err, ECHILD, DV_ABORTED,
				  "killed by %s%s%s%s%s",
				  dv_signal_name(end->signo),
				  end->core ? " (core dumped)" : "", when, sep,
				  end->line);
	if (end->status < 0)
		return dv_err_set(err, ECHILD, DV_ABORTED,
				  "ended%s, and something else in this program "
				  "took its status%s%s",
				  when, sep, end->line);
	return dv_err_set(err, ECHILD, DV_ABORTED, "exited with %d%s%s%s",
			  end->status, when, sep, end->line);
}

void dv_host_run_explain(struct dv_host_run *run, struct dv_err *why)
{
	struct dv_host_exit *end = &run->end;

	*why = (struct dv_err)DV_ERR_INIT;
	if (!end->ended_ns) { /* it was never executed */
		end->ended_ns = dv_now_ns();
		end->status = -1;
		end->by = DV_HOST_BY_LAUNCH;
	}
	if (run->fail.code != DV_OK)
		*why = run->fail;
	else
		describe(run, why);
	if (end->up && (end->status == 0 || end->by == DV_HOST_BY_STOP))
		return;
	end->err = *why;
	dv_err_wrap(&end->err, -1, "host %s", run->name);
}
