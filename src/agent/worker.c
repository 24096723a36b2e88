/* SPDX-License-Identifier: MIT */
/*
 * DOC: what the two processes share
 *
 * A page of memory holds the count of bytes and, once `finished` is set, the
 * error. So the agent knows how far a worker came even when it was killed, and
 * the end of the process, told by its pidfd, is the only end there is. An
 * eventfd tells that the work has started.
 */
#include "agent/worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "engine/child.h"

/* One for the socket and one for the eventfd, beside those of the caller. */
#define KEEP_MAX (DV_WORKER_KEEP_MAX + 2)

struct shared {
	_Atomic uint64_t bytes;
	atomic_bool started;
	atomic_bool finished; /* err is complete */
	struct dv_err err;    /* DV_OK: ended in order */
};

/* The worker's side. */
struct dv_work {
	struct shared *sh;
	int out;
	int note; /* the eventfd */
};

struct dv_worker {
	struct dv_loop *loop;
	struct dv_src exit_src; /* the pidfd */
	struct dv_src note_src;
	struct dv_src out_src;
	struct dv_defer end;
	struct shared *sh;
	int pidfd, note, out;
	pid_t pid;
	bool told;   /* started was called */
	bool killed; /* nobody waits for it: it is freed when it is reaped */
	bool hung_up;
	siginfo_t how; /* it ended; all zero: nobody knows */
	void (*started)(void *arg);
	dv_outflow_done *done;
	void *arg;
};

static size_t n_workers;
/* Their pids, in no order; 0 is a free place. */
static pid_t pids[DV_WORKER_MAX];

static void replace_pid(pid_t from, pid_t to)
{
	for (size_t i = 0; i < DV_WORKER_MAX; i++) {
		if (pids[i] != from)
			continue;
		pids[i] = to;
		return;
	}
}

bool dv_worker_owns(pid_t pid)
{
	for (size_t i = 0; i < DV_WORKER_MAX; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

size_t dv_worker_count(void)
{
	return n_workers;
}

pid_t dv_worker_pid(const struct dv_worker *w)
{
	return w->pid;
}

/* ---- the worker's side ------------------------------------------------ */

int dv_work_out(const struct dv_work *w)
{
	return w->out;
}

void dv_work_started(struct dv_work *w)
{
	uint64_t one = 1;

	atomic_store(&w->sh->started, true);
	/* The counter cannot overflow, and the agent cannot be gone. */
	(void)!write(w->note, &one, sizeof(one));
}

/* Not every descriptor of a client can block: wait for it then. */
static int wait_writable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	while (poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int dv_work_write(struct dv_work *w, const void *data, size_t len,
		  struct dv_err *err)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = dv_write(w->out, p, len);

		if (n == -EAGAIN)
			n = wait_writable(w->out);
		if (n == -EPIPE || n == -ECONNRESET)
			return dv_outflow_hung_up(err);
		if (n < 0)
			return dv_err_sys(err, (int)-n, "send to the client");
		p += n;
		len -= (size_t)n;
		atomic_fetch_add(&w->sh->bytes, (uint64_t)n);
	}
	return 0;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Close everything above 2 but these. */
static void close_others(int *keep, size_t n)
{
	unsigned int from = 3;

	qsort(keep, n, sizeof(*keep), by_number);
	for (size_t i = 0; i < n; i++) {
		unsigned int fd = (unsigned int)keep[i];

		if (keep[i] < (int)from)
			continue;
		if (fd > from)
			close_range(from, fd - 1, 0);
		from = fd + 1;
	}
	close_range(from, ~0U, 0);
}

static void prepare(const struct dv_worker_opts *o, const struct dv_work *w,
		    pid_t parent)
{
	int keep[KEEP_MAX] = { w->out, w->note };
	sigset_t none;

	dv_child_reset_signals();
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		dv_child_end(1);
	prctl(PR_SET_NAME, o->name);
	for (size_t i = 0; i < o->n_keep; i++)
		keep[i + 2] = o->keep[i];
	close_others(keep, o->n_keep + 2);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void run(const struct dv_worker_opts *o,
			  const struct dv_worker *parent_side, pid_t parent)
{
	struct dv_work w = { parent_side->sh, parent_side->out,
			     parent_side->note };
	struct dv_err err = DV_ERR_INIT;
	int r;

	prepare(o, &w, parent);
	r = o->fn(&w, o->fn_arg, &err);
	if (r < 0 && err.code == DV_OK)
		dv_err_sys(&err, -r, "%s", o->name);
	if (r < 0)
		w.sh->err = err;
	atomic_store(&w.sh->finished, true);
	dv_child_end(0);
}

/* ---- the agent's side ------------------------------------------------- */

static struct dv_worker *destroy(struct dv_worker *w)
{
	dv_src_del(&w->exit_src);
	dv_src_del(&w->note_src);
	dv_src_del(&w->out_src);
	dv_defer_del(&w->end);
	dv_close(w->pidfd);
	dv_close(w->note);
	dv_close(w->out);
	if (w->sh)
		munmap(w->sh, sizeof(*w->sh));
	free(w);
	return NULL;
}

/* Somebody else may have reaped it: then there is less to say. */
static void set_ended(const struct dv_worker *w, struct dv_err *err)
{
	if (w->how.si_code == CLD_EXITED)
		dv_err_sys(err, EIO, "worker %d ended with status %d",
			   (int)w->how.si_pid, w->how.si_status);
	else if (w->how.si_pid)
		dv_err_sys(err, EIO, "worker %d ended by signal %d",
			   (int)w->how.si_pid, w->how.si_status);
	else
		dv_err_sys(err, EIO, "a worker ended before its work did");
}

static void tell_done(struct dv_worker *w)
{
	struct dv_err err = DV_ERR_INIT;
	uint64_t bytes = atomic_load(&w->sh->bytes);
	const struct dv_err *what = &err;

	w->out = dv_close(w->out);
	if (w->hung_up)
		dv_outflow_hung_up(&err);
	else if (!atomic_load(&w->sh->finished))
		set_ended(w, &err);
	else if (w->sh->err.code != DV_OK)
		err = w->sh->err;
	else
		what = NULL;
	w->done(w->arg, bytes, what);
}

/* 0 when it is reaped, -EAGAIN while it runs. */
static int reap(struct dv_worker *w)
{
	w->how = (siginfo_t){ 0 };
	if (waitid(P_PIDFD, (id_t)w->pidfd, &w->how,
		   WEXITED | WNOHANG | __WALL) == 0 &&
	    w->how.si_pid == 0)
		return -EAGAIN;
	n_workers--;
	replace_pid(w->pid, 0);
	w->pid = 0;
	return 0;
}

static void tell_started(struct dv_worker *w)
{
	if (w->told || !atomic_load(&w->sh->started))
		return;
	w->told = true;
	dv_src_del(&w->note_src);
	if (w->started)
		w->started(w->arg);
}

static void on_note(struct dv_src *src, uint32_t events)
{
	(void)events;
	tell_started(dv_container_of(src, struct dv_worker, note_src));
}

static void on_done(struct dv_defer *defer)
{
	struct dv_worker *w = dv_container_of(defer, struct dv_worker, end);

	tell_done(w);
}

static void on_exit_event(struct dv_src *src, uint32_t events)
{
	struct dv_worker *w = dv_container_of(src, struct dv_worker, exit_src);

	(void)events;
	if (reap(w) < 0)
		return;
	if (w->killed) {
		destroy(w);
		return;
	}
	dv_src_del(&w->exit_src);
	dv_src_del(&w->out_src);
	if (w->hung_up)
		return; /* told already */
	if (!w->told && atomic_load(&w->sh->started)) {
		/* The callback may free us: done comes with the next turn. */
		dv_defer_add(w->loop, &w->end, on_done);
		tell_started(w);
		return;
	}
	tell_done(w);
}

static void kill_worker(struct dv_worker *w)
{
	if (w->pid > 0)
		syscall(SYS_pidfd_send_signal, w->pidfd, SIGKILL, NULL, 0);
}

/* The client is gone. That is told at once, however long the process takes. */
static void on_hang_up(struct dv_src *src, uint32_t events)
{
	struct dv_worker *w = dv_container_of(src, struct dv_worker, out_src);

	(void)events;
	dv_src_del(&w->out_src);
	dv_src_del(&w->note_src);
	if (atomic_load(&w->sh->finished))
		return; /* it hung up because it has everything */
	w->hung_up = true;
	kill_worker(w);
	tell_done(w);
}

struct dv_worker *dv_worker_free(struct dv_worker *w)
{
	if (!w)
		return NULL;
	/* The worker has the socket too: the client shall not wait for it. */
	if (w->out >= 0 && w->pid > 0)
		shutdown(w->out, SHUT_RDWR);
	kill_worker(w);
	if (w->pid <= 0 || reap(w) == 0)
		return destroy(w);
	dv_src_del(&w->note_src);
	dv_src_del(&w->out_src);
	dv_defer_del(&w->end);
	w->out = dv_close(w->out);
	w->killed = true;
	return NULL;
}

static int make(struct dv_worker *w, struct dv_err *err)
{
	void *p = mmap(NULL, sizeof(*w->sh), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return dv_err_sys(err, errno, "memory of a worker");
	w->sh = p;
	w->note = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->note < 0)
		return dv_err_sys(err, errno, "eventfd of a worker");
	return 0;
}

/* Watched before the fork: afterwards only the pidfd is left to fail. */
static int watch(struct dv_worker *w, struct dv_err *err)
{
	int r = dv_src_add(w->loop, &w->note_src, w->note, EPOLLIN, on_note);

	if (r == 0)
		r = dv_src_add(w->loop, &w->out_src, w->out, EPOLLRDHUP,
			       on_hang_up);
	/* A client may have given us a regular file: it does not hang up. */
	if (r == -EPERM)
		r = 0;
	return r < 0 ? dv_err_sys(err, -r, "watch a worker") : 0;
}

static int fork_worker(struct dv_worker *w, const struct dv_worker_opts *o,
		       struct dv_err *err)
{
	pid_t self = getpid();
	sigset_t all, old;
	int e;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	w->pid = fork();
	e = errno;
	if (w->pid == 0)
		run(o, w, self);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (w->pid < 0)
		return dv_err_sys(err, e, "fork a worker");
	n_workers++;
	replace_pid(0, w->pid);
	return 0;
}

static int watch_exit(struct dv_worker *w, struct dv_err *err)
{
	int r;

	w->pidfd = (int)syscall(SYS_pidfd_open, w->pid, 0);
	r = w->pidfd < 0 ? -errno
			 : dv_src_add(w->loop, &w->exit_src, w->pidfd, EPOLLIN,
				      on_exit_event);
	if (r == 0)
		return 0;
	/* No descriptors: it has hardly begun, so this wait is short. */
	kill(w->pid, SIGKILL);
	while (waitpid(w->pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	n_workers--;
	replace_pid(w->pid, 0);
	return dv_err_sys(err, -r, "watch a worker");
}

int dv_worker_start(struct dv_worker **wp, struct dv_loop *loop, int out,
		    const struct dv_worker_opts *opts, dv_outflow_done *done,
		    void *arg, struct dv_err *err)
{
	dv_autofd int fd = out;
	struct dv_worker *w;
	int r;

	dv_assert(opts->n_keep <= DV_WORKER_KEEP_MAX);
	if (n_workers >= DV_WORKER_MAX)
		return dv_err_set(err, EAGAIN, DV_EXHAUSTED,
				  "%d workers are running already",
				  DV_WORKER_MAX);
	w = calloc(1, sizeof(*w));
	if (!w)
		return dv_err_sys(err, ENOMEM, "worker");
	*w = (struct dv_worker){
		.loop = loop,
		.exit_src = DV_SRC_INIT,
		.note_src = DV_SRC_INIT,
		.out_src = DV_SRC_INIT,
		.end = DV_DEFER_INIT,
		.pidfd = -1,
		.note = -1,
		.out = dv_take_fd(&fd),
		.started = opts->started,
		.done = done,
		.arg = arg,
	};
	r = make(w, err);
	if (r == 0)
		r = watch(w, err);
	if (r == 0)
		r = fork_worker(w, opts, err);
	if (r == 0)
		r = watch_exit(w, err);
	if (r < 0) {
		destroy(w);
		return r;
	}
	*wp = w;
	return 0;
}
