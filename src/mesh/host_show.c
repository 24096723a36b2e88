/* SPDX-License-Identifier: MIT */
/*
 * hosts/PID in the tree of the process that launched them. What the kernel or
 * our own table knows answers always; the host's own part is asked for.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/num.h"
#include "base/rlimit_name.h"
#include "engine/sys.h"
#include "mesh/host_inspect.h"
#include "mesh/host_priv.h"

enum { OWN_MS = 5000 }; /* what a host may take to show itself */

static const char *const state_names[] = {
	[DV_RUN_EXEC] = "starting", [DV_RUN_JOIN] = "joining",
	[DV_RUN_UP] = "up",         [DV_RUN_CLOSING] = "ending",
	[DV_RUN_GONE] = "gone",
};
static_assert(DV_ARRAY_LEN(state_names) == DV_RUN_N, "one name per state");

/* ---- limits
 * ------------------------------------------------------------------ */

/* One number of one limit; on the stack of the function that shows it. */
struct one {
	pid_t pid;
	int pidfd;    /* of it; -1: ourselves */
	int resource; /* RLIMIT_* */
	bool hard;
	char text[24];
};

static const char *limit_text(struct one *o, rlim_t v)
{
	if (v == RLIM_INFINITY)
		return "unlimited";
	dv_fmt(o->text, sizeof(o->text), "%llu", (unsigned long long)v);
	return o->text;
}

/*
 * Only what is not reaped has its number still. We reap by ourselves, but in a
 * program that ignores SIGCHLD the kernel does.
 */
static int prlimit_of(const struct one *o, const struct rlimit *new,
		      struct rlimit *old)
{
	int r = o->pidfd < 0 ? 0 : dv_sys_pidfd_signal(o->pidfd, 0);

	if (r < 0)
		return r;
	r = prlimit(o->pid, (__rlimit_resource_t)o->resource, new, old);
	return r < 0 ? -errno : 0;
}

static int set_limit(void *obj, struct dv_inspect_new *v, struct dv_err *err)
{
	struct one *o = obj;
	struct rlimit lim;
	uint64_t n = RLIM_INFINITY;
	int r;

	if (strcmp(v->str, "unlimited") != 0 &&
	    dv_parse_u64(v->str, 0, UINT64_MAX, &n) < 0)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "a number, or unlimited");
	r = prlimit_of(o, NULL, &lim);
	if (r < 0)
		return dv_err_sys(err, -r, "read the limit");
	*(o->hard ? &lim.rlim_max : &lim.rlim_cur) = n;
	r = prlimit_of(o, &lim, NULL);
	if (r < 0)
		return dv_err_sys(err, -r, "set the limit");
	v->str = limit_text(o, n);
	v->len = strlen(v->str);
	return 0;
}

struct shown {
	struct dv_mesh *mesh;
	struct dv_host_run *run; /* NULL: this process */
	pid_t pid;
	int resource;
};

static void show_limit(struct dv_inspect *in, void *obj)
{
	const struct shown *s = obj;
	struct rlimit lim;
	int pidfd = s->run ? s->run->proc.pidfd : -1;
	struct one soft = { s->pid, pidfd, s->resource, false, "" };
	struct one hard = { s->pid, pidfd, s->resource, true, "" };
	int r = prlimit_of(&soft, NULL, &lim);

	if (r < 0) {
		dv_inspect_fail(in, "current", DV_NODE_CHANNEL,
				dv_errno_text(-r), DV_INSPECT_SAFE);
		return;
	}
	dv_inspect_set_str(in, "current", limit_text(&soft, lim.rlim_cur),
			   DV_INSPECT_SAFE, set_limit, &soft);
	dv_inspect_set_str(in, "max", limit_text(&hard, lim.rlim_max),
			   DV_INSPECT_SAFE, set_limit, &hard);
}

static void show_limits(struct dv_inspect *in, void *obj)
{
	struct shown s = *(const struct shown *)obj;

	for (s.resource = 0; s.resource < DV_RLIMITS; s.resource++)
		dv_inspect_dir(in, dv_rlimit_name(s.resource), show_limit, &s,
			       DV_INSPECT_SAFE);
}

/* ---- threads
 * -------------------------------------------------------------------- */

static void show_task(struct dv_inspect *in, int dir, const char *tid)
{
	char path[64], name[80];
	dv_autofree char *comm = NULL;
	size_t len;

	dv_fmt(path, sizeof(path), "%s/comm", tid);
	dv_fmt(name, sizeof(name), "%s/name", tid);
	if (dv_read_file(dir, path, 64, &comm, &len) == 0)
		dv_inspect_strn(in, name, comm, len ? len - 1 : 0,
				DV_INSPECT_SAFE);
}

static void show_tasks(struct dv_inspect *in, void *obj)
{
	const struct shown *s = obj;
	char path[64];
	DIR *dir;

	if (s->run && dv_sys_pidfd_signal(s->run->proc.pidfd, 0) < 0)
		return;
	dv_fmt(path, sizeof(path), "/proc/%d/task", s->pid);
	dir = opendir(path);
	if (!dir)
		return;
	for (struct dirent *e; (e = readdir(dir));)
		if (e->d_name[0] != '.')
			show_task(in, dirfd(dir), e->d_name);
	closedir(dir);
}

/* ---- one host
 * --------------------------------------------------------------------- */

static void show_node(struct dv_inspect *in, struct dv_mesh_id id)
{
	char text[DV_MESH_ID_TEXT];

	if (id.hi || id.lo)
		dv_inspect_str(in, "node_id", dv_mesh_id_text(id, text),
			       DV_INSPECT_SAFE);
}

static void show_exit(struct dv_inspect *in, void *obj)
{
	const struct dv_host_exit *end = obj;

	dv_inspect_u64(in, "pid", (uint64_t)end->pid, DV_INSPECT_SAFE);
	dv_inspect_u64(in, "generation", end->generation, DV_INSPECT_SAFE);
	if (end->signo)
		dv_inspect_str(in, "signal", dv_signal_name(end->signo),
			       DV_INSPECT_SAFE);
	else
		dv_inspect_i64(in, "status", end->status, DV_INSPECT_SAFE);
	dv_inspect_bool(in, "core", end->core, DV_INSPECT_SAFE);
	dv_inspect_str(in, "error", end->err.msg, 0);
}

/* What we know better than the host, or will know: it is not asked for these,
 * and cannot say anything else. */
static const char *const ours[] = { "name",       "node_id",   "state",
				    "generation", "uptime_ms", "rlimit",
				    "tasks",      "exit" };

/* The first of @path is one of them. */
static bool is_ours(const char *path)
{
	size_t len;

	path += strspn(path, "/");
	len = strcspn(path, "/");
	for (size_t i = 0; i < DV_ARRAY_LEN(ours); i++)
		if (len && strlen(ours[i]) == len &&
		    strncmp(path, ours[i], len) == 0)
			return true;
	return false;
}

/* @node (consumed) with none of our names in it. NULL: no memory. */
static struct dv_node *drop_ours(struct dv_node *node)
{
	struct dv_node *rest, *at;
	bool any = false;
	int r = 0;

	for (size_t i = 0; (at = dv_node_child(node, i)); i++)
		any |= is_ours(dv_node_name(at, NULL));
	if (!any)
		return node;
	rest = dv_node_dir();
	for (size_t i = 0; (at = dv_node_child(node, i)) && rest && !r; i++) {
		const char *name = dv_node_name(at, NULL);

		if (!is_ours(name))
			r = dv_node_add(rest, name, dv_node_sensitivity(at),
					dv_node_copy(at));
	}
	dv_node_free(node);
	return r < 0 ? dv_node_free(rest) : rest;
}

static void on_child_node(void *arg, struct dv_node *node)
{
	const char *path = dv_deferred_path(arg);

	if (!path[strspn(path, "/")])
		node = drop_ours(node);
	dv_deferred_node(arg, node);
}

/* What it shows itself, by a deadline of ours: a request may have a later one,
 * or none, and one host must not use that up. */
static void show_own(struct dv_inspect *in, struct dv_host *host)
{
	struct dv_deferred *h = dv_inspect_defer(in, "", DV_INSPECT_SAFE);
	uint64_t until, now = dv_now_ns(), ms = OWN_MS;

	if (!h)
		return;
	if (is_ours(dv_deferred_path(h))) {
		/* It was found, or it does not exist: nobody is waited for. */
		dv_deferred_fail(h, DV_NODE_NOT_FOUND, NULL);
		return;
	}
	until = dv_deferred_deadline(h);
	if (until)
		ms = until > now ? dv_min((until - now) / 1000000, ms) : 0;
	if (dv_host_inspect(host, dv_deferred_path(h), dv_deferred_depth(h),
			    dv_deferred_update(h), dv_deferred_limit(h),
			    (int)ms, on_child_node, h) < 0)
		dv_deferred_drop(h);
}

static void show_run(struct dv_inspect *in, void *obj)
{
	struct shown *s = obj;
	struct dv_host_run *run = s->run;
	struct dv_host *host = run->host;

	dv_inspect_str(in, "name", run->name, DV_INSPECT_SAFE);
	show_node(in, run->end.node);
	dv_inspect_str(in, "state", state_names[run->state], DV_INSPECT_SAFE);
	dv_inspect_u64(in, "generation", run->end.generation, DV_INSPECT_SAFE);
	dv_inspect_u64(in, "uptime_ms",
		       (dv_now_ns() - run->end.started_ns) / 1000000,
		       DV_INSPECT_SAFE);
	if (run->proc.pid) {
		dv_inspect_dir(in, "rlimit", show_limits, s, DV_INSPECT_SAFE);
		dv_inspect_dir(in, "tasks", show_tasks, s, 0);
	}
	if (host && host->has_last)
		dv_inspect_dir(in, "exit", show_exit, &host->last,
			       DV_INSPECT_SAFE);
	if (host && host->up)
		show_own(in, host);
}

static void show_gone(struct dv_inspect *in, void *obj)
{
	struct dv_host *host = obj;

	dv_inspect_str(in, "name", host->name, DV_INSPECT_SAFE);
	show_node(in, host->last.node);
	dv_inspect_str(in, "state", state_names[DV_RUN_GONE], DV_INSPECT_SAFE);
	dv_inspect_dir(in, "exit", show_exit, &host->last, DV_INSPECT_SAFE);
}

static void show_self(struct dv_inspect *in, void *obj)
{
	struct shown *s = obj;

	dv_inspect_str(in, "name", program_invocation_short_name,
		       DV_INSPECT_SAFE);
	show_node(in, dv_mesh_id(s->mesh));
	dv_inspect_dir(in, "rlimit", show_limits, s, DV_INSPECT_SAFE);
	dv_inspect_dir(in, "tasks", show_tasks, s, 0);
}

void dv_hosts_inspect_self(struct dv_inspect *in, void *obj)
{
	struct shown s = { .mesh = obj, .pid = getpid() };

	dv_inspect_dir_u64(in, (uint64_t)s.pid, show_self, &s, DV_INSPECT_SAFE);
}

void dv_hosts_inspect(struct dv_inspect *in, void *obj)
{
	struct dv_hosts *hosts = obj;
	struct shown s = { .mesh = hosts->mesh };
	struct dv_list *l, *n;

	dv_hosts_inspect_self(in, hosts->mesh);
	dv_list_each(l, n, &hosts->runs)
	{
		s.run = dv_list_of(l, struct dv_host_run, at);
		s.pid = s.run->end.pid;
		if (s.pid)
			dv_inspect_dir_u64(in, (uint64_t)s.pid, show_run, &s,
					   DV_INSPECT_SAFE);
	}
	dv_list_each(l, n, &hosts->all)
	{
		struct dv_host *host = dv_list_of(l, struct dv_host, at);

		if (!host->run && host->has_last && host->last.pid)
			dv_inspect_dir_u64(in, (uint64_t)host->last.pid,
					   show_gone, host, DV_INSPECT_SAFE);
	}
}
