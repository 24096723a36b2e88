/* SPDX-License-Identifier: MIT */
/*
 * DOC: a restart
 *
 * The agent executes its own program file, which may be a newer one. The pid
 * stays, so children stay children; descriptors stay, because they lose their
 * close-on-exec flag for that moment. All else is in one document, in a memfd:
 *
 *	check	  when no process is being started: the new program reads the
 *		  document in a child; if it cannot, nothing has happened
 *	part	  streams that only we could go on with (kernel log, files,
 *		  captures) end, and their clients are told
 *	save	  the document anew, with what they were told
 *	execute	  no way back is needed: a failed execve() changes nothing
 *	restore	  what cannot be taken over is logged and closed
 *
 * The call that asked for it is in the document like every other; when it is
 * dispatched again, the new program answers it instead of obeying.
 */
#include <errno.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/capture.h"
#include "agent/state.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "engine/sys.h"

#define NS_PER_MS UINT64_C(1000000)

enum { CHECK_MS = 5000, RETRY_MS = 5, STARTS_MS = 2000 };

/* The descriptors that outlive the exec. */
struct keep {
	int *fds; /* owned */
	size_t n;
	bool failed;
};

static void keep_fd(void *arg, int fd)
{
	struct keep *k = arg;
	int *grown = reallocarray(k->fds, k->n + 1, sizeof(*grown));

	if (!grown) {
		k->failed = true;
		return;
	}
	k->fds = grown;
	k->fds[k->n++] = fd;
}

/* A memfd with the document (owned), or -errno. */
static int write_document(const dv_AgentState *st, struct dv_err *err)
{
	dv_autobuf doc = DV_BUF_INIT(DV_STATE_MAX);
	int r = dv_state_encode(st, &doc, err);
	dv_autofd int fd = -1;

	if (r < 0)
		return r;
	fd = memfd_create("davit-agent-state", MFD_CLOEXEC);
	if (fd < 0)
		return dv_err_sys(err, errno, "create the saved state");
	r = dv_write_full(fd, doc.data, doc.len);
	if (r < 0)
		return dv_err_sys(err, -r, "write the saved state");
	return dv_take_fd(&fd);
}

int dv_restart_document(struct dv_agent *a, struct dv_buf *out,
			struct dv_err *err)
{
	dv_AgentState st = dv_AgentState_init_zero;
	struct keep keep = { NULL, 0, false };
	int r = dv_state_save(a, &st, keep_fd, &keep, err);

	if (r == 0)
		r = dv_state_encode(&st, out, err);
	dv_state_free(&st);
	free(keep.fds);
	return r;
}

/* 1 when it has ended, 0 when it takes too long, or -errno: we cannot tell. */
static int wait_for(pid_t pid)
{
	dv_autofd int pidfd = dv_sys_pidfd_open(pid);
	struct pollfd p = { pidfd, POLLIN, 0 };
	int r;

	if (pidfd < 0)
		return pidfd;
	while ((r = poll(&p, 1, CHECK_MS)) < 0 && errno == EINTR)
		;
	return r < 0 ? -errno : r;
}

/* Wait for the checking child: 0 when it says yes. */
static int judge(pid_t pid, struct dv_err *err)
{
	siginfo_t info = { 0 };
	int r = wait_for(pid);

	if (r <= 0)
		kill(pid, SIGKILL);
	while (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0 && errno == EINTR)
		;
	if (r < 0)
		return dv_err_sys(err, -r,
				  "watch the process that checks our state");
	if (r > 0 && info.si_code == CLD_EXITED && info.si_status == 0)
		return 0;
	dv_err_hint(err, "the agent goes on as it is; %s",
		    r ? "is its program file a newer or older davit?"
		      : "its program file did not answer in 5 s");
	return dv_err_set(err, EPROTO, DV_PRECONDITION,
			  "the program file does not accept our state");
}

/* Does the program that we shall become understand the document? */
static int check(const char *exe, int fd, struct dv_err *err)
{
	char name[] = "davit-agent", option[] = "--check", number[16];
	char *argv[] = { name, option, number, NULL };
	posix_spawn_file_actions_t acts;
	pid_t pid;
	int r;

	dv_fmt(number, sizeof(number), "%d", fd);
	posix_spawn_file_actions_init(&acts);
	/* The same number on both sides: it loses close-on-exec there. */
	posix_spawn_file_actions_adddup2(&acts, fd, fd);
	r = posix_spawn(&pid, exe, &acts, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&acts);
	if (r != 0)
		return dv_err_sys(err, r, "execute %s", exe);
	return judge(pid, err);
}

/* Returns only when it failed; then everything is as before. */
static int execute(struct dv_agent *a, const struct keep *keep, int fd,
		   struct dv_err *err)
{
	dv_autofree char **argv = calloc(a->n_options + 4, sizeof(*argv));
	char number[16];
	int r = -ENOMEM;

	if (!argv)
		return dv_err_sys(err, ENOMEM, "execute %s", a->exe);
	dv_fmt(number, sizeof(number), "%d", fd);
	argv[0] = a->argv[0];
	argv[1] = (char[]){ "--resume" };
	argv[2] = number;
	memcpy(argv + 3, a->options, a->n_options * sizeof(*argv));
	for (size_t i = 0; i < keep->n; i++)
		dv_fd_cloexec(keep->fds[i], false);
	dv_fd_cloexec(fd, false);
	setrlimit(RLIMIT_NOFILE, &a->nofile); /* as it was found */
	execve(a->exe, argv, environ);
	r = -errno;
	dv_agent_raise_nofile(a);
	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	return dv_err_sys(err, -r, "execute %s", a->exe);
}

/* Streams that the new program could not go on with. */
static void end_flows(struct dv_agent *a)
{
	struct dv_err ends = DV_ERR_INIT;

	dv_err_set(&ends, ECANCELED, DV_UNAVAILABLE, "the agent restarts");
	dv_flow_end_all(a, &ends);
	a->capture = dv_capture_free(a->capture);
}

/* The document as it is now, and the descriptors in it. An fd (owned). */
static int document(struct dv_agent *a, struct keep *keep, struct dv_err *err)
{
	dv_AgentState st = dv_AgentState_init_zero;
	int r = dv_state_save(a, &st, keep_fd, keep, err);

	if (r == 0 && keep->failed)
		r = dv_err_sys(err, ENOMEM, "save the state");
	if (r == 0)
		r = write_document(&st, err);
	dv_state_free(&st);
	return r;
}

static int restart(struct dv_agent *a, struct dv_err *err)
{
	struct keep keep = { NULL, 0, false };
	dv_autofd int trial = -1, fd = -1;
	int r;

	if (dv_procs_starting(a->procs) > 0)
		return -EBUSY;
	r = trial = document(a, &keep, err);
	if (r >= 0)
		r = check(a->exe, trial, err);
	free(dv_take_ptr(&keep.fds));
	keep.n = 0;
	if (r < 0)
		return r; /* nobody was told anything */
	end_flows(a);
	dv_server_part(a->server);
	r = fd = document(a, &keep, err);
	if (r >= 0)
		r = execute(a, &keep, fd, err);
	free(keep.fds);
	return r;
}

static void on_restart(struct dv_timer *timer)
{
	struct dv_agent *a =
		dv_container_of(timer, struct dv_agent, restart_timer);
	struct dv_err err = DV_ERR_INIT;
	struct dv_call *call = a->restart;
	uint64_t now = dv_now_ns();
	int r = restart(a, &err);

	/* A process that is being started is in no document; its end, one way
	 * or the other, takes milliseconds. */
	if (r == -EBUSY && now < a->restart_until_ns) {
		dv_timer_set(a->loop, timer, now + RETRY_MS * NS_PER_MS,
			     on_restart);
		return;
	}
	if (r == -EBUSY)
		dv_err_set(&err, EBUSY, DV_UNAVAILABLE,
			   "processes are being started");
	dv_err_wrap(&err, r, "restart");
	dv_log(&a->log, DV_LOG_ERROR, "%s", err.msg);
	a->restart = NULL;
	dv_call_fail_err(call, &err);
}

static void restart_cancelled(struct dv_call *call)
{
	struct dv_agent *a = call->data;

	dv_timer_stop(&a->restart_timer);
	a->restart = NULL;
}

void dv_restart_begin(struct dv_agent *a, struct dv_call *call)
{
	if (a->restart_calls > 0) {
		a->restart_calls--;
		dv_call_reply(call, NULL);
		return;
	}
	if (a->restart) {
		dv_call_fail(call, DV_ABORTED,
			     "previous restart still in progress");
		return;
	}
	dv_call_hold(call, a, restart_cancelled);
	a->restart = call;
	a->restart_until_ns = dv_now_ns() + STARTS_MS * NS_PER_MS;
	/* Not now: we are inside a call of the server that is to be saved. */
	if (dv_timer_set(a->loop, &a->restart_timer, 0, on_restart) == 0)
		return;
	a->restart = NULL;
	dv_call_fail(call, DV_EXHAUSTED, "restart: no memory");
}

/* ---- in the new program --------------------------------------------- */

static int load(int fd, dv_AgentState *st, struct dv_err *err)
{
	off_t size = lseek(fd, 0, SEEK_END);
	void *doc;
	int r;

	if (size <= 0 || (uint64_t)size > DV_STATE_MAX)
		return dv_err_set(err, EPROTO, DV_DATA_LOSS,
				  "the saved state is empty or too large");
	doc = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (doc == MAP_FAILED)
		return dv_err_sys(err, errno, "read the saved state");
	r = dv_state_decode(doc, (size_t)size, st, err);
	munmap(doc, (size_t)size);
	return r;
}

int dv_restart_check(int fd, struct dv_err *err)
{
	dv_AgentState st = dv_AgentState_init_zero;
	int r = load(fd, &st, err);

	dv_state_free(&st);
	return r;
}

int dv_restart_restore(struct dv_agent *a, int fd, struct dv_err *err)
{
	dv_AgentState st = dv_AgentState_init_zero;
	int r = load(fd, &st, err);

	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	if (r == 0)
		r = dv_state_restore(a, &st, err);
	dv_state_free(&st);
	dv_close(fd);
	return r;
}
