/* SPDX-License-Identifier: MIT */
/*
 * All the hosts of one process in one mesh: their log, and their shutdown.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fmt.h"
#include "mesh/host_child.h"
#include "mesh/host_priv.h"

static int own_mesh(struct dv_hosts *hosts, struct dv_err *err)
{
	static const struct dv_mesh_opts opts = { .size = sizeof(opts) };
	int r = dv_loop_new(&hosts->own_loop);

	if (r < 0)
		return dv_err_sys(err, -r, "loop of hosts");
	r = dv_mesh_new(&hosts->own_mesh, hosts->own_loop, &opts, err);
	hosts->mesh = hosts->own_mesh;
	return r;
}

int dv_hosts_new(struct dv_hosts **hostsp, struct dv_mesh *mesh,
		 void (*log)(void *user, const struct dv_host_log *rec),
		 void *user, struct dv_err *err)
{
	struct dv_hosts *hosts = calloc(1, sizeof(*hosts));
	int r = 0;

	if (!hosts)
		return dv_err_sys(err, ENOMEM, "allocate hosts");
	dv_list_init(&hosts->all);
	dv_list_init(&hosts->runs);
	hosts->mesh = mesh;
	hosts->log = log;
	hosts->user = user;
	if (!mesh)
		r = own_mesh(hosts, err);
	if (r < 0) {
		dv_hosts_free(hosts);
		return r;
	}
	hosts->loop = dv_mesh_loop(hosts->mesh);
	*hostsp = hosts;
	return 0;
}

struct dv_mesh *dv_hosts_mesh(const struct dv_hosts *hosts)
{
	return hosts->mesh;
}

struct dv_loop *dv_hosts_loop(const struct dv_hosts *hosts)
{
	return hosts->loop;
}

struct dv_hosts *dv_hosts_free(struct dv_hosts *hosts)
{
	struct dv_list *l, *n;

	if (!hosts)
		return NULL;
	hosts->closing = true;
	dv_list_each(l, n, &hosts->all)
		dv_host_free(dv_list_of(l, struct dv_host, at));
	/* All are killed by now; this is the reaping. */
	dv_list_each(l, n, &hosts->runs)
		dv_host_run_free(dv_list_of(l, struct dv_host_run, at));
	dv_defer_del(&hosts->done_defer);
	dv_mesh_free(hosts->own_mesh);
	dv_loop_free(hosts->own_loop);
	free(hosts);
	return NULL;
}

struct dv_host *dv_hosts_by_pid(const struct dv_hosts *hosts, pid_t pid)
{
	struct dv_list *l, *n;

	dv_list_each(l, n, &hosts->all)
	{
		struct dv_host *host = dv_list_of(l, struct dv_host, at);

		if (pid > 0 && (dv_host_pid(host) == pid ||
				(!host->run && host->last.pid == pid)))
			return host;
	}
	return NULL;
}

struct dv_host *dv_hosts_by_node(const struct dv_hosts *hosts,
				 struct dv_mesh_id node)
{
	struct dv_list *l, *n;

	dv_list_each(l, n, &hosts->all)
	{
		struct dv_host *host = dv_list_of(l, struct dv_host, at);
		struct dv_mesh_id is = dv_host_node(host);

		if ((is.hi || is.lo) && is.hi == node.hi && is.lo == node.lo)
			return host;
	}
	return NULL;
}

int dv_hosts_crash(struct dv_hosts *hosts, pid_t pid, int signo,
		   struct dv_err *err)
{
	struct dv_host *host;
	int r;

	if (pid == getpid())
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "crash %d: that is this process", pid);
	host = dv_hosts_by_pid(hosts, pid);
	r = host ? dv_host_crash(host, signo) : -ESRCH;
	return r < 0 ? dv_err_sys(err, -r, "crash host %d", pid) : 0;
}

/* ---- the log ----------------------------------------------------------------
 */

/* Text of a process that is not trusted, cut and terminated. */
static void take_text(char *out, size_t size, struct dv_str s)
{
	size_t len = dv_min(s.len, size - 1);

	if (len)
		memcpy(out, s.ptr, len);
	out[len] = '\0';
}

void dv_hosts_log(struct dv_host_run *run, const struct dv_host_msg *m)
{
	char who[DV_HOST_NAME_MAX * 4 + 1], name[DV_HOST_NAME_MAX * 5 + 3];
	char text[DV_HOST_LOG_MAX + 1];
	struct dv_host_log rec = {
		.name = name,
		.pid = m->text.len ? (int32_t)m->flags : run->end.pid,
		.level = m->number,
		.time_ns = m->time,
		.dropped = m->count,
		.text = text,
	};

	take_text(who, sizeof(who), m->text);
	take_text(text, sizeof(text), m->data);
	dv_fmt(name, sizeof(name), "%s%s%s", run->name, who[0] ? "/" : "", who);
	if (run->hosts->log)
		run->hosts->log(run->hosts->user, &rec);
	else
		dv_host_self_pass(run->hosts->mesh, &rec);
}

/* ---- shutdown
 * ----------------------------------------------------------------- */

static void count_left(struct dv_hosts_left *left,
		       const struct dv_host_run *run)
{
	if (left->n_left < DV_ARRAY_LEN(left->pids))
		left->pids[left->n_left] = run->end.pid;
	left->n_left++;
}

void dv_hosts_count(struct dv_hosts *hosts, const struct dv_host_run *gone)
{
	struct dv_hosts_left *left = &hosts->left;

	if (!hosts->done)
		return;
	if (dv_host_run_lingers(gone)) {
		count_left(left, gone);
		return;
	}
	left->n_asked += gone->end.by == DV_HOST_BY_STOP;
	left->n_term += gone->end.by == DV_HOST_BY_TERM;
	left->n_killed += gone->end.by == DV_HOST_BY_KILL ||
			  gone->end.by == DV_HOST_BY_LAUNCH;
}

static void on_done(struct dv_defer *defer)
{
	struct dv_hosts *hosts =
		dv_container_of(defer, struct dv_hosts, done_defer);
	struct dv_hosts_left *left = &hosts->left;
	struct dv_list *l, *n;

	dv_list_each(l, n, &hosts->runs)
		count_left(left, dv_list_of(l, struct dv_host_run, at));
	hosts->done(hosts, hosts->done_arg, left);
}

void dv_hosts_check(struct dv_hosts *hosts)
{
	struct dv_list *l, *n;

	if (!hosts->done || hosts->reported)
		return;
	dv_list_each(
		l, n,
		&hosts->runs) if (dv_list_of(l, struct dv_host_run, at)->push !=
				  DV_PUSH_LEFT) return;
	hosts->reported = true;
	dv_defer_add(hosts->loop, &hosts->done_defer, on_done);
}

int dv_hosts_shutdown(struct dv_hosts *hosts,
		      const struct dv_host_patience *patience,
		      void (*fn)(struct dv_hosts *hosts, void *arg,
				 const struct dv_hosts_left *left),
		      void *arg)
{
	struct dv_list *l, *n;

	if (hosts->done)
		return -EALREADY;
	hosts->done = fn;
	hosts->done_arg = arg;
	hosts->closing = true;
	dv_list_each(l, n, &hosts->all)
		dv_host_stop(dv_list_of(l, struct dv_host, at), patience);
	dv_hosts_check(hosts);
	return 0;
}
