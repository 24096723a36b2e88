/* SPDX-License-Identifier: MIT */
/*
 * The handle of a host: its options, its waiters, and whether it is launched
 * again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "engine/sys.h"
#include "mesh/host_priv.h"

enum {
	LAUNCH_MS = 10000,
	PATIENCE_MS = 5000,
	CRASH_MS = 1000,
	DELAY_MS = 100,
	DELAY_MAX_MS = 30000,
	HEALTHY_MS = 10000,
	ARGS_MAX = 4096,
};

/* ---- options ------------------------------------------------------------- */

static int bad_opts(struct dv_err *err, const char *what)
{
	return dv_err_step(err,
			   dv_err_set(err, EINVAL, DV_INVALID,
				      "options of a host: %s", what),
			   DV_STEP_CONFIG);
}

static bool name_ok(const char *name)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t len = name ? strspn(name, chars) : 0;

	return len && !name[len] && len <= DV_HOST_NAME_MAX;
}

static int check_opts(const struct dv_host_opts *o, struct dv_err *err)
{
	const uint32_t known =
		DV_HOST_LOCKED | DV_HOST_ISOLATED | DV_HOST_BEST_EFFORT;
	bool many = o->again.limit || (o->ops && o->ops->again);

	if (o->size != sizeof(*o))
		return bad_opts(err, "their size");
	if (!name_ok(o->name))
		return bad_opts(err, "a name is 1 to 63 of A-Z a-z 0-9 . _ -");
	if (o->profile & ~known)
		return bad_opts(err, "unknown profile");
	if (o->stderr_to > DV_HOST_STDERR_TAIL)
		return bad_opts(err, "unknown way of stderr");
	if (o->stderr_to == DV_HOST_STDERR_FD && dv_fd_mode(o->stderr_fd) < 0)
		return bad_opts(err, "stderr_fd is not open");
	if (o->stderr_to == DV_HOST_STDERR_FILE && !o->stderr_file)
		return bad_opts(err, "no stderr_file");
	if (o->message && many)
		return bad_opts(err, "one message for many launches");
	if (o->message && o->ops && o->ops->message)
		return bad_opts(err, "two initial messages");
	return 0;
}

static char *copy_text(const char *s, bool *ok)
{
	char *copy = s ? strdup(s) : NULL;

	*ok = *ok && (!s || copy);
	return copy;
}

static bool copy_args(struct dv_host *host, const char *const *args)
{
	size_t n = 0;
	bool ok = true;

	while (args && args[n] && n < ARGS_MAX)
		n++;
	host->args = calloc(n + 1, sizeof(*host->args));
	for (size_t i = 0; host->args && i < n; i++)
		host->args[i] = copy_text(args[i], &ok);
	return host->args && ok;
}

static uint32_t or_default(uint32_t v, uint32_t dflt)
{
	return v ? v : dflt;
}

static int copy_opts(struct dv_host *host, const struct dv_host_opts *o,
		     struct dv_err *err)
{
	bool ok = true;

	host->opts = *o;
	host->opts.launch_ms = or_default(o->launch_ms, LAUNCH_MS);
	host->opts.again.delay_ms = or_default(o->again.delay_ms, DELAY_MS);
	host->opts.again.max_ms = or_default(o->again.max_ms, DELAY_MAX_MS);
	host->opts.again.healthy_ms =
		or_default(o->again.healthy_ms, HEALTHY_MS);
	host->opts.message = NULL;
	dv_fmt(host->name, sizeof(host->name), "%s", o->name);
	host->exe = copy_text(o->exe, &ok);
	host->arg0 = copy_text(o->arg0, &ok);
	host->stderr_file = copy_text(o->stderr_file, &ok);
	ok = copy_args(host, o->args) && ok;
	if (!ok)
		return dv_err_sys(err, ENOMEM, "options of a host");
	if (o->stderr_to != DV_HOST_STDERR_FD)
		return 0;
	host->stderr_fd = dv_fd_dup(o->stderr_fd, 3);
	return host->stderr_fd < 0 ? dv_err_sys(err, -host->stderr_fd,
						"duplicate stderr_fd")
				   : 0;
}

/* ---- life -----------------------------------------------------------------
 */

static void destroy(struct dv_host *host)
{
	dv_mesh_worker_forget_host(host);
	dv_list_del(&host->at);
	dv_timer_stop(&host->again_timer);
	dv_defer_del(&host->late_defer);
	dv_port_close(host->port, NULL);
	dv_msg_free(host->message);
	dv_close(host->stderr_fd);
	for (char **a = host->args; a && *a; a++)
		free(*a);
	free(host->args);
	free(host->exe);
	free(host->arg0);
	free(host->stderr_file);
	free(host);
}

int dv_mesh_launch(struct dv_hosts *hosts, const struct dv_host_opts *opts,
		   struct dv_host **hostp, struct dv_err *err)
{
	struct dv_host *host = NULL;
	int r = check_opts(opts, err);

	if (r == 0 && hosts->closing)
		r = dv_err_set(err, ESHUTDOWN, DV_PRECONDITION,
			       "no host is launched in a shutdown");
	if (r == 0)
		host = calloc(1, sizeof(*host));
	if (r == 0 && !host)
		r = dv_err_sys(err, ENOMEM, "allocate a host");
	if (r < 0) {
		dv_msg_free(opts->message);
		return r;
	}
	host->hosts = hosts;
	host->stderr_fd = -1;
	host->message = opts->message;
	dv_list_init(&host->workers);
	dv_list_init(&host->workers_to);
	dv_list_add(&hosts->all, &host->at);
	r = copy_opts(host, opts, err);
	if (r == 0)
		r = dv_host_run_new(host, &host->run, err);
	if (r < 0) {
		destroy(host);
		return dv_err_wrap(err, r, "launch host %s", opts->name);
	}
	*hostp = host;
	return 0;
}

/* A callback may free the handle: it stays for who goes on afterwards. */
static void hold(struct dv_host *host)
{
	host->n_holds++;
}

/* True: it was freed, and is gone now. */
static bool let_go(struct dv_host *host)
{
	bool dead = host->dead;

	if (--host->n_holds == 0 && dead)
		destroy(host);
	return dead;
}

/* Each once: whoever waits again inside is told from the loop, and of this end
 * again if there is no other process by then. */
static void tell_waiters(struct dv_host *host)
{
	struct dv_host_waiter *list = dv_take_ptr(&host->waiters);
	struct dv_host_exit end = host->last;

	if (list)
		list->prevp = &list;
	while (list) {
		struct dv_host_waiter *w = list;

		dv_host_unwait(w);
		w->fn(w, &end);
	}
}

struct dv_host *dv_host_free(struct dv_host *host)
{
	struct dv_host_run *run = host ? host->run : NULL;

	if (!host)
		return NULL;
	host->over = host->dead = true;
	host->run = NULL;
	hold(host);
	if (run) {
		run->host = NULL;
		run->told = true;
		dv_host_asks_end(run);
		dv_host_run_kill(run);
		host->last = run->end;
		host->last.by = DV_HOST_BY_KILL;
	}
	tell_waiters(host);
	dv_timer_stop(&host->again_timer);
	let_go(host);
	return NULL;
}

/* ---- what a run tells ------------------------------------------------------
 */

void dv_host_heard_up(struct dv_host *host)
{
	host->outcome = 1;
	host->up = true;
	if (host->opts.ops && host->opts.ops->up)
		host->opts.ops->up(host);
}

void dv_host_heard_fail(struct dv_host *host, const struct dv_err *err)
{
	host->outcome = err->sys > 0 ? -err->sys : -EIO;
	host->outcome_err = *err;
	if (host->opts.ops && host->opts.ops->failed)
		host->opts.ops->failed(host, err);
}

static int delay_of(struct dv_host *host, const struct dv_host_exit *end)
{
	const struct dv_host_again *a = &host->opts.again;
	uint64_t up_ms = (end->ended_ns - end->started_ns) / 1000000;
	uint64_t ms = a->delay_ms;

	if (end->up && up_ms >= a->healthy_ms)
		host->n_again = 0;
	host->n_again++;
	if (host->opts.ops && host->opts.ops->again)
		return host->opts.ops->again(host, end, host->n_again);
	if (host->n_again > a->limit ||
	    (end->up && end->status == 0 && !a->always))
		return -1;
	for (uint32_t n = 1; n < host->n_again && ms < a->max_ms; n++)
		ms *= 2;
	return (int)dv_min(ms, a->max_ms);
}

static void on_again(struct dv_timer *timer)
{
	struct dv_host *host =
		dv_container_of(timer, struct dv_host, again_timer);
	struct dv_host_exit end = { .status = -1, .by = DV_HOST_BY_LAUNCH };
	struct dv_err err = DV_ERR_INIT;

	host->outcome = 0;
	if (dv_host_run_new(host, &host->run, &err) == 0)
		return;
	host->run = NULL;
	dv_err_wrap(&err, -1, "launch host %s", host->name);
	end.generation = host->generation - 1;
	end.started_ns = end.ended_ns = dv_now_ns();
	end.err = err;
	hold(host);
	dv_host_heard_fail(host, &err);
	if (!let_go(host))
		dv_host_heard_end(host, &end);
}

/* Is it to be launched again? -1: no. */
static int decide(struct dv_host *host)
{
	if (host->over || host->hosts->closing)
		return -1;
	return delay_of(host, &host->last);
}

void dv_host_heard_end(struct dv_host *host, const struct dv_host_exit *end)
{
	int ms = -1;

	host->last = *end;
	host->has_last = true;
	host->up = false;
	hold(host);
	if (host->opts.ops && host->opts.ops->ended)
		host->opts.ops->ended(host, end);
	if (!host->dead)
		tell_waiters(host);
	if (!host->dead)
		ms = decide(host);
	if (let_go(host))
		return;
	if (ms < 0 || dv_timer_set(host->hosts->loop, &host->again_timer,
				   dv_host_at_ms((uint32_t)ms), on_again) < 0)
		host->over = true;
}

/* ---- waiting ----------------------------------------------------------------
 */

int dv_host_wait_up(struct dv_host *host, struct dv_err *err)
{
	struct dv_loop *loop = host->hosts->loop;
	int r = 0;

	if (dv_loop_busy(loop))
		return dv_err_sys(err, EDEADLK, "wait for host %s", host->name);
	hold(host);
	while (!host->dead && !host->outcome && r >= 0)
		r = dv_loop_dispatch(loop, -1);
	if (let_go(host))
		return dv_err_sys(err, ECANCELED, "host was freed");
	if (r < 0)
		return dv_err_sys(err, -r, "wait for host %s", host->name);
	if (host->outcome > 0)
		return 0;
	if (err)
		*err = host->outcome_err;
	return host->outcome;
}

static void on_late(struct dv_defer *defer)
{
	struct dv_host *host =
		dv_container_of(defer, struct dv_host, late_defer);

	hold(host);
	tell_waiters(host);
	let_go(host);
}

int dv_host_wait(struct dv_host *host, struct dv_host_waiter *w,
		 void (*fn)(struct dv_host_waiter *w,
			    const struct dv_host_exit *end))
{
	bool pending = host->run || host->again_timer.loop;

	if (!pending && !host->has_last)
		return -ENOENT;
	w->fn = fn;
	w->host = host;
	w->next = host->waiters;
	if (w->next)
		w->next->prevp = &w->next;
	w->prevp = &host->waiters;
	host->waiters = w;
	if (!host->run && host->has_last)
		dv_defer_add(host->hosts->loop, &host->late_defer, on_late);
	return 0;
}

void dv_host_unwait(struct dv_host_waiter *w)
{
	if (!w->host)
		return;
	*w->prevp = w->next;
	if (w->next)
		w->next->prevp = w->prevp;
	w->host = NULL;
}

/* ---- ending it
 * ---------------------------------------------------------------- */

void dv_host_stop(struct dv_host *host, const struct dv_host_patience *p)
{
	static const struct dv_host_patience dflt = { PATIENCE_MS, PATIENCE_MS,
						      PATIENCE_MS };

	host->over = true;
	dv_timer_stop(&host->again_timer);
	if (host->run)
		dv_host_run_stop(host->run, p ? p : &dflt);
}

int dv_host_signal(struct dv_host *host, int signo)
{
	if (!host->run || !host->run->proc.pid)
		return -ESRCH;
	return dv_sys_pidfd_signal(host->run->proc.pidfd, signo);
}

int dv_host_crash(struct dv_host *host, int signo)
{
	static const struct dv_host_patience soon = { CRASH_MS, 0,
						      PATIENCE_MS };
	struct dv_host_msg m = { .kind = DV_HM_CRASH, .number = signo };
	struct dv_host_run *run = host->run;

	if (signo < 1 || signo >= _NSIG)
		return -EINVAL;
	if (!run || !run->ctl || !run->proc.pid)
		return -ESRCH;
	dv_host_run_push(run, DV_PUSH_ASK, &soon);
	return dv_host_msg_send(run->ctl, &m, NULL);
}

/* ---- looking
 * -------------------------------------------------------------------- */

void *dv_host_user(const struct dv_host *host)
{
	return host->opts.user;
}

const char *dv_host_name(const struct dv_host *host)
{
	return host->name;
}

pid_t dv_host_pid(const struct dv_host *host)
{
	return host->run ? host->run->proc.pid : 0;
}

struct dv_mesh_id dv_host_node(const struct dv_host *host)
{
	return host->run ? host->run->end.node : host->last.node;
}

bool dv_host_is_up(const struct dv_host *host)
{
	return host->up;
}

struct dv_port *dv_host_take_port(struct dv_host *host)
{
	return dv_take_ptr(&host->port);
}

const struct dv_host_exit *dv_host_last_exit(const struct dv_host *host)
{
	return host->has_last ? &host->last : NULL;
}
