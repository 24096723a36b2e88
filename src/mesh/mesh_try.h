/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests only: processes that join a mesh. A child asserts: it dies of what
 * is wrong, and its parent sees that.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "mesh/link_try.h"

struct mt_proc {
	pid_t pid;
	struct lt_port main; /* to it; the parent's end */
};

/* What a process does: 0 is success. @main is started. */
typedef int mt_fn(struct lt *t, struct lt_port *main);

static inline _Noreturn void mt_child(int fd, const struct dv_mesh_opts *opts,
				      mt_fn *fn)
{
	struct lt_port main = { .port = NULL };
	struct dv_port *port;
	struct lt t;
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* The parent's links must not live on in here. */
	dv_assert(dup3(fd, 3, O_CLOEXEC) == 3 || fd == 3);
	close_range(4, ~0U, 0);
	lt_new(&t, opts);
	dv_assert(dv_mesh_join(t.mesh, 3, &port, NULL) == 0);
	lt_start(&main, port);
	r = fn(&t, &main);
	lt_close(&main);
	lt_free(&t);
	_exit(r);
}

static inline void mt_spawn(struct lt *t, struct mt_proc *p,
			    const struct dv_mesh_opts *opts, mt_fn *fn)
{
	struct dv_port *port;
	int fd;

	*p = (struct mt_proc){ .pid = -1 };
	dv_assert(dv_mesh_invite(t->mesh, &fd, &port, NULL) == 0);
	lt_start(&p->main, port);
	p->pid = fork();
	dv_assert(p->pid >= 0);
	if (p->pid == 0)
		mt_child(fd, opts, fn);
	dv_close(fd);
}

/* Its status, as of waitpid(). */
static inline int mt_wait(struct mt_proc *p)
{
	int status = -1;

	dv_assert(waitpid(p->pid, &status, 0) == p->pid);
	return status;
}

/* Close its port; it has to end by itself with 0. */
static inline void mt_end(struct mt_proc *p, struct lt *t)
{
	lt_drop_kept(&p->main);
	p->main.port = dv_port_close(p->main.port, NULL);
	while (lt_n_links(t) > 0) {
		int status = 0;

		dv_assert(dv_loop_dispatch(t->loop, 50) >= 0);
		if (waitpid(p->pid, &status, WNOHANG) == p->pid) {
			CHECK_EQ(status, 0);
			p->pid = -1;
			break;
		}
	}
	if (p->pid > 0)
		CHECK_EQ(mt_wait(p), 0);
}

static inline void mt_kill(struct mt_proc *p)
{
	kill(p->pid, SIGKILL);
	CHECK(WIFSIGNALED(mt_wait(p)));
}

/* Its only link, in a process that has but one. */
static inline struct dv_link *mt_link(const struct lt *t)
{
	struct dv_list *l = dv_list_first(&t->mesh->links);

	return l ? dv_list_of(l, struct dv_link, in_mesh) : NULL;
}

/* Everything that was sent is in the socket. */
static inline bool mt_all_written(const struct lt *t)
{
	struct dv_list *at, *next;

	dv_list_each(at, next, &t->mesh->links)
	{
		const struct dv_link *l =
			dv_list_of(at, struct dv_link, in_mesh);

		if (dv_link_alive(l) && !dv_out_empty(&l->out))
			return false;
	}
	return true;
}

/* A byte over a pipe, which no loop is needed for. */
static inline void mt_tell(int fd)
{
	dv_assert(dv_write_full(fd, "x", 1) == 0);
}

static inline void mt_hear(int fd)
{
	char c;

	dv_assert(dv_read_full(fd, &c, 1) == 1);
}
