/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/capture.h"
#include "base/def.h"

static int guest_kmsg(void *guest, const dv_KmsgRequest *rq, int out,
		      const struct dv_flow_cb *cb, struct dv_err *err)
{
	return dv_flow_kmsg(guest, rq, out, cb, err);
}

static int guest_read_file(void *guest, const dv_ReadFileRequest *rq, int out,
			   const struct dv_flow_cb *cb, struct dv_err *err)
{
	return dv_flow_file(guest, rq, out, cb, err);
}

static int guest_core(void *guest, const dv_CoreRequest *rq, int out,
		      const struct dv_flow_cb *cb, struct dv_err *err)
{
	return dv_flow_core(guest, rq, out, cb, err);
}

static int guest_mem_profile(void *guest, const dv_MemProfileRequest *rq,
			     int out, const struct dv_flow_cb *cb,
			     struct dv_err *err)
{
	return dv_flow_memory(guest, rq, out, cb, err);
}

/* ---- packet capture ------------------------------------------------- */

static int guest_capture_query(void *guest, struct dv_buf *names,
			       bool *runningp, struct dv_err *err)
{
	struct dv_capture_if ifs[DV_CAPTURE_IFS_MAX];
	struct dv_agent *a = guest;
	int n = dv_capture_query(ifs, err);

	for (int i = 0; i < n; i++)
		dv_buf_put(names, ifs[i].name, strlen(ifs[i].name) + 1);
	*runningp = a->capture != NULL;
	return n < 0 ? n : dv_buf_status(names);
}

static void capture_done(void *arg, uint64_t bytes, const struct dv_err *err)
{
	struct dv_agent *a = arg;

	dv_log(&a->log, DV_LOG_INFO, "capture ended bytes=%llu%s%s",
	       (unsigned long long)bytes, err ? ": " : "", err ? err->msg : "");
	a->capture = dv_capture_free(a->capture);
}

/* A start while one runs takes its place; one that is refused does not. */
static int guest_capture_start(void *guest, uint32_t snaplen, int *outs,
			       size_t n_outs, char *const *names,
			       size_t n_names, struct dv_err *err)
{
	struct dv_agent *a = guest;
	struct dv_capture_opts opts = {
		.snaplen = snaplen,
		.names = (const char *const *)names,
		.n_names = n_names,
	};
	struct dv_capture *next;
	int r;

	r = dv_capture_start(&next, a->loop, outs, n_outs, &opts, capture_done,
			     a, err);
	if (r < 0)
		return r;
	dv_capture_free(a->capture);
	a->capture = next;
	return 0;
}

static int guest_capture_stop(void *guest, struct dv_err *err)
{
	struct dv_agent *a = guest;

	(void)err;
	if (a->capture)
		dv_capture_stop(a->capture);
	return 0;
}

/* ---- the workload and ourselves ------------------------------------- */

static int guest_start(void *guest, const dv_diag_StartRequest *rq,
		       struct dv_err *err)
{
	return dv_workload_start(guest, rq, err);
}

static void guest_crash(void *guest, int32_t pid)
{
	struct dv_agent *a = guest;

	if (pid == getpid()) {
		dv_log(&a->log, DV_LOG_ERROR, "crashing, as asked");
		signal(SIGABRT, SIG_DFL);
		raise(SIGABRT);
	}
	if (dv_procs_signal_pid(a->procs, pid, SIGABRT) < 0)
		dv_log(&a->log, DV_LOG_WARN,
		       "failed to crash process, pid %d not found", (int)pid);
}

static int guest_pause(void *guest, struct dv_err *err)
{
	return dv_freezer_pause(guest, err);
}

static int guest_resume(void *guest, struct dv_err *err)
{
	return dv_freezer_resume(guest, err);
}

static int guest_saved_state(void *guest, struct dv_buf *out,
			     struct dv_err *err)
{
	return dv_restart_document(guest, out, err);
}

static void guest_restart(void *guest, struct dv_call *call)
{
	dv_restart_begin(guest, call);
}

const struct dv_guest_ops dv_agent_guest_ops = {
	.kmsg = guest_kmsg,
	.read_file = guest_read_file,
	.core = guest_core,
	.saved_state = guest_saved_state,
	.mem_profile = guest_mem_profile,
	.capture_query = guest_capture_query,
	.capture_start = guest_capture_start,
	.capture_stop = guest_capture_stop,
	.start = guest_start,
	.crash = guest_crash,
	.pause = guest_pause,
	.resume = guest_resume,
	.restart = guest_restart,
};
