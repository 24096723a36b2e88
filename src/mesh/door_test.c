/* SPDX-License-Identifier: MIT */
/*
 * Unrelated processes that come into a mesh.
 */
#include "mesh/mesh_try.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/path.h"
#include "engine/proc_try.h"
#include "transport/unix.h"

enum { GUESTS = 8 };

/* A door in a directory of its own, and who came. */
struct house {
	struct lt t;
	struct dv_mesh_door *door;
	char dir[64], path[80];
	struct lt_port port[GUESTS];
	struct dv_mesh_guest who[GUESTS];
	unsigned int n;
};

static void on_guest(struct dv_mesh_door *door, void *arg, struct dv_port *port,
		     const struct dv_mesh_guest *guest)
{
	struct house *h = arg;

	(void)door;
	dv_assert(h->n < GUESTS);
	h->who[h->n] = *guest;
	lt_start(&h->port[h->n++], port);
}

static void house_new(struct house *h, const struct dv_mesh_opts *opts)
{
	*h = (struct house){ .n = 0 };
	snprintf(h->dir, sizeof(h->dir), "/tmp/davit-door.XXXXXX");
	CHECK(mkdtemp(h->dir));
	snprintf(h->path, sizeof(h->path), "%s/sock", h->dir);
	lt_new(&h->t, opts);
}

static int house_open(struct house *h, const struct dv_mesh_door_opts *opts,
		      struct dv_err *err)
{
	return dv_mesh_listen(&h->door, h->t.mesh, h->path, opts, on_guest, h,
			      err);
}

static void house_free(struct house *h)
{
	h->door = dv_mesh_door_free(h->door);
	CHECK_EQ(access(h->path, F_OK), -1);
	for (unsigned int i = 0; i < h->n; i++)
		lt_close(&h->port[i]);
	lt_free(&h->t);
	CHECK_EQ(dv_remove_tree(AT_FDCWD, h->dir), 0);
}

/* ---- what a guest does, in a process of its own ---- */

static void on_left(struct dv_mesh *mesh, void *arg,
		    const struct dv_mesh_left *left)
{
	(void)mesh;
	dv_assert(left->n_ports == 0 && left->n_links == 0);
	*(bool *)arg = true;
}

/* Come in, say @n numbers, and leave in order. @tell: a pipe that hears when
 * all of it is at the door; -1 for none. */
static int visit(const char *path, uint64_t n, int tell)
{
	struct lt_port port = { .port = NULL };
	struct dv_port *first;
	bool left = false;
	struct lt t;
	int r;

	lt_new(&t, NULL);
	/* The kernel may let fewer wait than we ask for. */
	while ((r = dv_mesh_connect(t.mesh, path, &first, NULL)) == -EAGAIN)
		try_pause();
	dv_assert(r == 0);
	lt_start(&port, first);
	for (uint64_t i = 0; i < n; i++)
		dv_assert(dv_port_send_bytes(first, &i, sizeof(i), NULL) >= 0);
	if (tell >= 0) {
		LT_UNTIL(t.loop, mt_all_written(&t));
		mt_tell(tell);
	}
	lt_close(&port);
	dv_assert(dv_mesh_leave(t.mesh, 10000, on_left, &left) == 0);
	LT_UNTIL(t.loop, left);
	lt_free(&t);
	return 0;
}

static pid_t guest(const struct house *h, uint64_t n)
{
	pid_t pid = fork();

	dv_assert(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close_range(3, ~0U, 0);
		_exit(visit(h->path, n, -1));
	}
	return pid;
}

/* One that has said who it is before anybody opens: it is never too slow. */
static pid_t guest_at_the_door(const struct house *h, uint64_t n)
{
	int fds[2];
	pid_t pid;

	CHECK_EQ(dv_pipe(fds), 0);
	pid = fork();
	dv_assert(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dv_assert(dup3(fds[1], 3, O_CLOEXEC) == 3 || fds[1] == 3);
		close_range(4, ~0U, 0);
		_exit(visit(h->path, n, 3));
	}
	dv_close(fds[1]);
	mt_hear(fds[0]);
	dv_close(fds[0]);
	return pid;
}

static void check_ended(pid_t pid)
{
	int status = -1;

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

/* ---- tests ---- */

TEST(guests_are_who_they_are_and_lose_nothing)
{
	struct house h;
	pid_t pid[2];

	house_new(&h, NULL);
	CHECK_EQ(house_open(&h, NULL, NULL), 0);
	pid[0] = guest(&h, 1000);
	LT_UNTIL(h.t.loop, h.n == 1);
	pid[1] = guest(&h, 1000);
	LT_UNTIL(h.t.loop, h.n == 2);
	LT_UNTIL(h.t.loop, h.port[0].n_ended && h.port[1].n_ended);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(h.who[i].pid, pid[i]);
		CHECK_EQ(h.who[i].uid, getuid());
		CHECK_EQ(h.port[i].n, 1000);
		CHECK(h.port[i].end.closed);
	}
	LT_UNTIL(h.t.loop, lt_n_links(&h.t) == 0);
	check_ended(pid[0]);
	check_ended(pid[1]);
	house_free(&h);
}

TEST(a_closed_door_keeps_its_guests)
{
	struct house h;
	struct dv_err err = DV_ERR_INIT;
	struct dv_port *port;
	pid_t pid;

	house_new(&h, NULL);
	CHECK_EQ(house_open(&h, NULL, NULL), 0);
	pid = guest(&h, 10);
	LT_UNTIL(h.t.loop, h.n == 1);
	h.door = dv_mesh_door_free(h.door);
	CHECK_EQ(dv_mesh_connect(h.t.mesh, h.path, &port, &err), -ENOENT);
	LT_UNTIL(h.t.loop, h.port[0].n_ended);
	CHECK_EQ(h.port[0].n, 10);
	LT_UNTIL(h.t.loop, lt_n_links(&h.t) == 0);
	check_ended(pid);
	house_free(&h);
}

/* They connect and say nothing, or half a word. */
TEST(silent_guests_wait_outside_and_go)
{
	struct dv_mesh_opts opts = { .size = sizeof(opts), .hello_ms = 50 };
	struct dv_mesh_door_opts door = { .size = sizeof(door),
					  .max_pending = 4 };
	struct house h;
	int fd[40];
	pid_t pid;

	house_new(&h, &opts);
	CHECK_EQ(house_open(&h, &door, NULL), 0);
	for (size_t i = 0; i < DV_ARRAY_LEN(fd); i++) {
		fd[i] = dv_unix_connect(h.path, NULL);
		CHECK(fd[i] >= 0);
		if (i % 2)
			CHECK_EQ(dv_write_full(fd[i], "\x50\0\0", 3), 0);
	}
	pid = guest_at_the_door(&h, 5);
	while (h.n == 0) {
		CHECK(dv_loop_dispatch(h.t.loop, -1) >= 0);
		CHECK(lt_n_links(&h.t) <= 4);
	}
	LT_UNTIL(h.t.loop, h.port[0].n_ended);
	CHECK_EQ(h.port[0].n, 5);
	for (size_t i = 0; i < DV_ARRAY_LEN(fd); i++)
		dv_close(fd[i]);
	LT_UNTIL(h.t.loop, lt_n_links(&h.t) == 0);
	check_ended(pid);
	house_free(&h);
}

enum { CONNECTS = 10000, OPEN = 256 };

/* Far more of them than may be pending, most of which hang up again. */
TEST(guests_by_the_thousand_cost_no_more_than_those_that_may_be_pending)
{
	struct dv_mesh_opts opts = { .size = sizeof(opts), .hello_ms = 50 };
	int fd[OPEN], n_in = 0;
	struct house h;
	pid_t pid;

	house_new(&h, &opts);
	CHECK_EQ(house_open(&h, NULL, NULL), 0);
	for (int i = 0; i < OPEN; i++)
		fd[i] = -1;
	for (int i = 0; i < CONNECTS; i++) {
		dv_close(fd[i % OPEN]);
		fd[i % OPEN] = dv_unix_connect(h.path, NULL);
		n_in += fd[i % OPEN] >= 0;
		if (i % 16)
			continue;
		CHECK(dv_loop_dispatch(h.t.loop, 0) >= 0);
		CHECK(lt_n_links(&h.t) <= 64);
	}
	CHECK(n_in > CONNECTS / 2);
	pid = guest_at_the_door(&h, 5);
	while (h.n == 0) {
		CHECK(dv_loop_dispatch(h.t.loop, -1) >= 0);
		CHECK(lt_n_links(&h.t) <= 64);
	}
	for (int i = 0; i < OPEN; i++)
		dv_close(fd[i]);
	LT_UNTIL(h.t.loop, h.port[0].n_ended && lt_n_links(&h.t) == 0);
	CHECK_EQ(h.port[0].n, 5);
	CHECK_EQ(h.n, 1);
	check_ended(pid);
	house_free(&h);
}

/* It cannot accept for a while; then it does. */
TEST(a_door_without_descriptors_opens_again)
{
	struct rlimit lim, few;
	struct house h;
	pid_t pid;
	int fd;

	house_new(&h, NULL);
	CHECK_EQ(house_open(&h, NULL, NULL), 0);
	fd = dv_unix_connect(h.path, NULL);
	CHECK(fd >= 0);
	pid = guest(&h, 5);
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &lim), 0);
	few = (struct rlimit){ (rlim_t)fd + 1, lim.rlim_max };
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (int i = 0; i < 3; i++)
		CHECK(dv_loop_dispatch(h.t.loop, 100) >= 0);
	CHECK_EQ(lt_n_links(&h.t), 0);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &lim), 0);
	LT_UNTIL(h.t.loop, h.n == 1 && h.port[0].n_ended);
	CHECK_EQ(h.port[0].n, 5);
	dv_close(fd);
	LT_UNTIL(h.t.loop, lt_n_links(&h.t) == 0);
	check_ended(pid);
	house_free(&h);
}

/* As another user: 0 is in, 1 is out. */
static int try_as_nobody(const char *path)
{
	struct lt_port port = { .port = NULL };
	struct dv_port *first;
	struct lt t;

	dv_assert(setresuid(65534, 65534, 65534) == 0);
	lt_new(&t, NULL);
	dv_assert(dv_mesh_connect(t.mesh, path, &first, NULL) == 0);
	lt_start(&port, first);
	LT_UNTIL(t.loop, port.n_ended || port.n);
	return port.n ? 0 : 1;
}

/* The mode of the socket keeps them out already, so it is changed here. */
TEST(a_guest_of_another_user_is_turned_away_and_counted)
{
	struct house h;

	need_other_user();
	for (int any = 0; any < 2; any++) {
		struct dv_mesh_door_opts opts = { .size = sizeof(opts),
						  .any_user = any };
		int status = -1;
		pid_t pid;

		house_new(&h, NULL);
		CHECK_EQ(house_open(&h, &opts, NULL), 0);
		CHECK_EQ(chmod(h.dir, 0755), 0);
		CHECK_EQ(chmod(h.path, 0666), 0);
		pid = fork();
		if (pid == 0) {
			close_range(3, ~0U, 0);
			_exit(try_as_nobody(h.path));
		}
		while (waitpid(pid, &status, WNOHANG) == 0) {
			CHECK(dv_loop_dispatch(h.t.loop, 10) >= 0);
			if (h.n && h.port[0].port && !h.port[0].n_writable++)
				dv_port_send_bytes(h.port[0].port, "in", 2,
						   NULL);
		}
		CHECK(WIFEXITED(status));
		CHECK_EQ(WEXITSTATUS(status), !any);
		CHECK_EQ(h.n, any);
		CHECK_EQ(h.t.mesh->n_turned_away, !any);
		if (any)
			CHECK_EQ(h.who[0].uid, 65534);
		house_free(&h);
	}
}

TEST(a_guest_with_the_id_of_another_is_cut)
{
	struct dv_mw_hello hello = { .version_min = DV_MW_VERSION_MIN,
				     .version_max = DV_MW_VERSION_MAX,
				     .node = { 7, 7 },
				     .max_message = 1 << 20,
				     .window = 1 << 20 };
	struct dv_mw_event ev;
	struct dv_err reason;
	struct lt_raw raw[2];
	struct house h;

	house_new(&h, NULL);
	CHECK_EQ(house_open(&h, NULL, NULL), 0);
	for (int i = 0; i < 2; i++) {
		lt_raw_init(&raw[i], &h.t, dv_unix_connect(h.path, NULL));
		CHECK_EQ(dv_mw_hello_put(&raw[i].out, &hello, NULL), 0);
		lt_raw_flush(&raw[i]);
		LT_UNTIL(h.t.loop, h.n == 1);
	}
	CHECK(lt_raw_wait(&raw[1], DV_MW_ERROR, &ev, &reason));
	CHECK(strstr(reason.msg, "it says it is a process of this mesh"));
	LT_UNTIL(h.t.loop, lt_n_links(&h.t) == 1);
	CHECK_EQ(h.n, 1);
	CHECK_EQ(h.who[0].node.hi, 7);
	CHECK_EQ(h.port[0].n_ended, 0);
	lt_raw_close(&raw[0]);
	lt_raw_close(&raw[1]);
	LT_UNTIL(h.t.loop, h.port[0].n_ended);
	house_free(&h);
}

TEST(a_directory_that_others_may_write_to_is_refused)
{
	struct dv_err err = DV_ERR_INIT;
	struct house h;

	house_new(&h, NULL);
	CHECK_EQ(chmod(h.dir, 0777), 0);
	CHECK_EQ(house_open(&h, NULL, &err), -EPERM);
	CHECK_EQ(err.code, DV_DENIED);
	CHECK(err.hint[0]);
	CHECK_EQ(chmod(h.dir, 0700), 0);
	house_free(&h);
}

/* Neither the socket nor its directory may be what somebody else points to. */
TEST(a_path_that_is_a_link_of_somebody_else_is_refused)
{
	struct dv_err err = DV_ERR_INIT;
	char link[72], other[80];
	struct stat st;
	struct house h;

	house_new(&h, NULL);
	snprintf(other, sizeof(other), "%s/other", h.dir);
	CHECK_EQ(symlink(other, h.path), 0);
	CHECK_EQ(house_open(&h, NULL, &err), -EEXIST);
	CHECK_EQ(lstat(h.path, &st), 0);
	CHECK(S_ISLNK(st.st_mode));
	CHECK_EQ(access(other, F_OK), -1);
	CHECK_EQ(unlink(h.path), 0);

	snprintf(link, sizeof(link), "%s.link", h.dir);
	CHECK_EQ(symlink(h.dir, link), 0);
	snprintf(h.path, sizeof(h.path), "%s/sock", link);
	CHECK_EQ(house_open(&h, NULL, NULL), 0); /* our own */
	h.door = dv_mesh_door_free(h.door);
	if (geteuid() == 0 && lchown(link, 65534, 65534) == 0) {
		CHECK_EQ(house_open(&h, NULL, &err), -EPERM);
		CHECK_EQ(err.code, DV_DENIED);
	}
	CHECK_EQ(unlink(link), 0);
	house_free(&h);
}

TEST(a_door_that_is_open_is_not_taken_over)
{
	struct dv_mesh_door *door = NULL;
	struct house h;
	int fd;

	house_new(&h, NULL);
	CHECK_EQ(house_open(&h, NULL, NULL), 0);
	CHECK_EQ(dv_mesh_listen(&door, h.t.mesh, h.path, NULL, on_guest, &h,
				NULL),
		 -EADDRINUSE);
	h.door = dv_mesh_door_free(h.door);

	/* Nobody listens on this one any more. */
	fd = dv_unix_bind(h.path, 0, NULL);
	CHECK(fd >= 0);
	dv_close(fd);
	CHECK_EQ(house_open(&h, NULL, NULL), 0);
	house_free(&h);
}
