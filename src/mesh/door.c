/* SPDX-License-Identifier: MIT */
/*
 * DOC: the door
 *
 * A listening socket at which unrelated processes come into a mesh. Each
 * connection becomes a link: a guest is checked by the kernel's word on who it
 * is, before a byte of it is read, and is told to the owner when it has said
 * hello. Until then it is pending; those have a deadline (the mesh's) and are
 * limited in number. While there are too many, nobody is let in: the others
 * wait in the kernel's queue, where they cost us nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/opts.h"
#include "mesh/link.h"
#include "transport/unix.h"

enum {
	PENDING = 64,
	GUESTS = 1024,
	DIR_MAX = 4096,
};

struct dv_mesh_door {
	struct dv_mesh *mesh;
	struct dv_listener listener;
	struct dv_mesh_door_opts opts;
	void (*fn)(struct dv_mesh_door *door, void *arg, struct dv_port *port,
		   const struct dv_mesh_guest *guest);
	void *arg;
	struct dv_list guests;
	uint32_t n_pending, n_guests;
};

struct guest {
	struct dv_link_watch watch;
	struct dv_mesh_door *door; /* NULL: it was closed */
	struct dv_list at;
	struct dv_port *port; /* until it is told */
	struct dv_mesh_guest who;
	bool pending;
};

/* ---- guests ---- */

static void let_in(struct dv_mesh_door *door)
{
	if (door->n_pending < door->opts.max_pending &&
	    door->n_pending + door->n_guests < door->opts.max_guests)
		dv_listener_resume(&door->listener);
	else
		dv_listener_pause(&door->listener);
}

static void count(struct guest *g, int n)
{
	if (!g->door)
		return;
	if (g->pending)
		g->door->n_pending += (uint32_t)n;
	else
		g->door->n_guests += (uint32_t)n;
}

static void guest_up(struct dv_link_watch *watch, struct dv_mesh_id node)
{
	struct guest *g = dv_container_of(watch, struct guest, watch);
	struct dv_mesh_door *door = g->door;

	if (!door)
		return;
	g->who.node = node;
	count(g, -1);
	g->pending = false;
	count(g, 1);
	let_in(door);
	door->fn(door, door->arg, dv_take_ptr(&g->port), &g->who);
}

static void guest_down(struct dv_link_watch *watch)
{
	struct guest *g = dv_container_of(watch, struct guest, watch);

	count(g, -1);
	if (g->door)
		let_in(g->door);
	dv_list_del(&g->at);
	dv_port_close(g->port, NULL);
	free(g);
}

static bool may_come(const struct dv_mesh_door *door,
		     const struct dv_peer *peer)
{
	return door->opts.any_user || peer->uid == geteuid() || peer->uid == 0;
}

static void on_accept(struct dv_listener *l, int fd, struct dv_peer *peer)
{
	struct dv_mesh_door *door =
		dv_container_of(l, struct dv_mesh_door, listener);
	struct guest *g;

	g = may_come(door, peer) ? calloc(1, sizeof(*g)) : NULL;
	if (!g) {
		door->mesh->n_turned_away++;
		dv_close(fd);
		return;
	}
	g->watch = (struct dv_link_watch){ guest_up, guest_down };
	g->door = door;
	g->who.uid = peer->uid;
	g->who.gid = peer->gid;
	g->who.pid = peer->pid;
	g->pending = true;
	dv_list_init(&g->at);
	if (dv_mesh_offer(door->mesh, fd, &g->watch, &g->port, NULL) < 0) {
		door->mesh->n_turned_away++;
		free(g);
		return;
	}
	dv_list_add(&door->guests, &g->at);
	count(g, 1);
	let_in(door);
}

/* ---- the socket ---- */

static bool is_ours(const struct stat *st)
{
	return st->st_uid == geteuid() || st->st_uid == 0;
}

static int unsafe(const char *dir, const char *why, struct dv_err *err)
{
	dv_err_set(err, EPERM, DV_DENIED, "directory %s: %s", dir, why);
	dv_err_hint(err, "use a directory that only you may write to: mkdir "
			 "-m 700");
	return -EPERM;
}

/* Whoever may write to the directory could put a socket of his own there, and
 * so could whoever may lead its name elsewhere. */
static int check_dir(const char *path, struct dv_err *err)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	char dir[DIR_MAX];
	struct stat st;

	if (len >= sizeof(dir))
		return dv_err_sys(err, ENAMETOOLONG, "socket %s", path);
	memcpy(dir, path, len);
	dir[len] = '\0';
	if (!slash || len == 0) {
		dir[0] = slash ? '/' : '.';
		dir[1] = '\0';
	}
	if (lstat(dir, &st) == 0 && S_ISLNK(st.st_mode) && !is_ours(&st))
		return unsafe(dir, "it is a link of somebody else", err);
	if (stat(dir, &st) < 0)
		return dv_err_sys(err, errno, "directory %s", dir);
	if (!is_ours(&st) || st.st_mode & (S_IWGRP | S_IWOTH))
		return unsafe(dir, "others may write to it", err);
	return 0;
}

static int set_opts(struct dv_mesh_door *door,
		    const struct dv_mesh_door_opts *opts, struct dv_err *err)
{
	int r = opts ? dv_opts_copy(&door->opts, sizeof(door->opts), opts, err)
		     : 0;

	if (r < 0)
		return r;
	if (door->opts.max_pending == 0)
		door->opts.max_pending = PENDING;
	if (door->opts.max_guests == 0)
		door->opts.max_guests = GUESTS;
	return 0;
}

int dv_mesh_listen(struct dv_mesh_door **doorp, struct dv_mesh *mesh,
		   const char *path, const struct dv_mesh_door_opts *opts,
		   void (*fn)(struct dv_mesh_door *door, void *arg,
			      struct dv_port *port,
			      const struct dv_mesh_guest *guest),
		   void *arg, struct dv_err *err)
{
	struct dv_mesh_door *door;
	int r = check_dir(path, err);

	if (r < 0)
		return r;
	door = calloc(1, sizeof(*door));
	if (!door)
		return dv_err_sys(err, ENOMEM, "listen at %s", path);
	door->mesh = mesh;
	door->fn = fn;
	door->arg = arg;
	door->listener = (struct dv_listener)DV_LISTENER_INIT;
	dv_list_init(&door->guests);
	r = set_opts(door, opts, err);
	if (r == 0)
		r = dv_unix_listen(&door->listener, mesh->loop, path,
				   door->opts.any_user ? DV_LISTEN_ALL : 0,
				   on_accept, err);
	if (r < 0) {
		free(door);
		return r;
	}
	*doorp = door;
	return 0;
}

struct dv_mesh_door *dv_mesh_door_free(struct dv_mesh_door *door)
{
	struct dv_list *l;

	if (!door)
		return NULL;
	dv_listener_close(&door->listener);
	while ((l = dv_list_pop(&door->guests))) {
		struct guest *g = dv_list_of(l, struct guest, at);

		/* One who has not said hello finds nobody any more. */
		g->door = NULL;
		g->port = dv_port_close(g->port, NULL);
	}
	free(door);
	return NULL;
}

int dv_mesh_connect(struct dv_mesh *mesh, const char *path,
		    struct dv_port **portp, struct dv_err *err)
{
	int fd = dv_unix_connect(path, err);

	if (fd < 0)
		return fd;
	return dv_mesh_join(mesh, fd, portp, err);
}
