/* SPDX-License-Identifier: MIT */
#include "runtime/keeper/keeper.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fmt.h"
#include "base/path.h"
#include "services/diag.h"
#include "services/served.h"
#include "transport/listener.h"

static int may_exec(void *arg, struct dv_err *err)
{
	struct dv_keeper *k = arg;
	const char *who = k->info.name[0] ? k->info.name : k->info.id;

	dv_keeper_touch(k);
	return dv_verb_allowed(DV_VERB_EXEC, k->info.state, who, err);
}

static int open_procs(struct dv_keeper *k, struct dv_err *err)
{
	struct dv_procs_opts o = {
		.size = sizeof(o),
		.data = k->data,
		.log = k->log,
		.nofile = k->nofile.rlim_cur ? &k->nofile : NULL,
	};

	int r = dv_procs_new(&k->procs, k->loop, &o, err);

	if (r == 0 && k->resumed)
		r = dv_procs_restore(k->procs, &k->resumed->procs, err);
	return r;
}

static int open_services(struct dv_keeper *k, struct dv_err *err)
{
	int r = dv_sandbox_svc_new(&k->sandbox_svc, k->procs, NULL, err);

	if (r < 0)
		return r;
	dv_sandbox_svc_boundary(
		k->sandbox_svc,
		k->info.boundary == DV_IN_CONTAINER ? "container" : "process");
	dv_sandbox_svc_gate(k->sandbox_svc, may_exec, k);
	return dv_inspect_svc_new(&k->inspect_svc, k->loop, dv_keeper_inspect,
				  k, false);
}

/* Behind the socket itself there is everything; behind port 1 diagnostics. */
static int open_servers(struct dv_keeper *k, struct dv_err *err)
{
	struct dv_server_opts o = { .size = sizeof(o), .log = k->log };
	int r = dv_server_new(&k->server, k->loop, &o, err);

	if (r == 0)
		r = dv_server_new(&k->diag, k->loop, &o, err);
	if (r == 0)
		r = dv_diag_add(k->server, k->sandbox_svc);
	if (r == 0)
		r = dv_diag_add(k->diag, k->sandbox_svc);
	if (r == 0)
		r = dv_inspect_svc_add(k->server, k->inspect_svc);
	if (r == 0)
		r = dv_inspect_svc_add(k->diag, k->inspect_svc);
	return r < 0 ? r : dv_keeper_svc_new(&k->svc, k, k->server, err);
}

/* Which user namespace a process of ours is in; 0: it is not told. */
static ino_t user_ns(const char *pid)
{
	char path[64];
	struct stat st;

	dv_fmt(path, sizeof(path), "/proc/%s/ns/user", pid);
	return stat(path, &st) == 0 ? st.st_ino : 0;
}

/*
 * Ourselves or root, but nobody out of a sandbox that was shown our socket: who
 * is root in one, or has our id there, is a stranger. A process that hides what
 * it is counts as one; and whoever has no number here is no child of ours.
 */
static bool may_enter(void *arg, const struct dv_peer *peer)
{
	char pid[16];
	ino_t own;

	dv_keeper_save_now(arg);
	if (peer->uid != geteuid())
		return peer->uid == 0;
	if (peer->pid == 0)
		return true;
	dv_fmt(pid, sizeof(pid), "%d", (int)peer->pid);
	own = user_ns("self");
	return own && user_ns(pid) == own;
}

/* A path that does not fit into a socket's address, by our descriptor. */
static int sock_path(const struct dv_keeper *k, char *out, size_t size)
{
	const struct dv_home *home = &k->dirs.home;
	int r = dv_path_join(out, size, home->path, "sock");

	if (r == 0 && strlen(out) < sizeof(((struct sockaddr_un *)0)->sun_path))
		return 0;
	dv_fmt(out, size, "/proc/self/fd/%d/sock", home->dirfd);
	return 0;
}

static int open_door(struct dv_keeper *k, struct dv_err *err)
{
	struct dv_door_opts o = {
		.size = sizeof(o),
		.server = k->server,
		.diag = k->diag,
		.data = k->data,
		.connect = dv_keeper_connect,
		.admit = may_enter,
		.arg = k,
		.log = k->log,
	};
	char path[sizeof(k->dirs.home.path) + 8];
	int r = sock_path(k, path, sizeof(path));

	if (r == 0 && k->resumed)
		r = dv_door_new(&k->door, k->loop, NULL,
				dv_served_door(k->resumed), &o, err);
	else if (r == 0)
		r = dv_door_new(&k->door, k->loop, path, -1, &o, err);
	if (r == 0)
		r = dv_keeper_doors_open(k, &o, err);
	/* After an upgrade what is written is still true. */
	if (r == 0 && !k->resumed)
		r = dv_store_identity_write(&k->dirs, err);
	return r;
}

int dv_keeper_serve(struct dv_keeper *k, struct dv_err *err)
{
	int r = dv_data_new(&k->data, k->loop, NULL);

	if (r < 0)
		dv_err_sys(err, -r, "serve data connections");
	if (r == 0)
		r = open_procs(k, err);
	if (r == 0)
		r = open_services(k, err);
	if (r == 0)
		r = open_servers(k, err);
	if (r == 0)
		r = open_door(k, err);
	return dv_err_step(err, r, DV_STEP_STATE);
}

void dv_keeper_serve_run(struct dv_keeper *k)
{
	struct dv_run *run = k->run;

	if (!k->procs)
		return;
	if (run)
		dv_procs_point(k->procs, run->plain ? NULL : &run->sb, &run->cg,
			       dv_run_process(run));
	else
		dv_procs_point(k->procs, NULL, NULL, NULL);
}

void dv_keeper_shut(struct dv_keeper *k)
{
	k->door = dv_door_free(k->door);
	dv_keeper_doors_close(k);
}

void dv_keeper_serve_stop(struct dv_keeper *k)
{
	dv_keeper_shut(k);
	dv_keeper_net_stop(k);
	k->server = dv_server_free(k->server);
	k->diag = dv_server_free(k->diag);
	k->svc = dv_keeper_svc_free(k->svc);
	k->inspect_svc = dv_inspect_svc_free(k->inspect_svc);
	k->sandbox_svc = dv_sandbox_svc_free(k->sandbox_svc);
	k->procs = dv_procs_free(k->procs);
	k->data = dv_data_free(k->data);
}
