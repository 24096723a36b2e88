/* SPDX-License-Identifier: MIT */
/*
 * How a host ended: the record, in numbers and in words.
 */
#include <errno.h>
#include <string.h>

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
