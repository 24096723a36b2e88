/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/test.h"
#include "runtime/keeper/keeper.h"

/* A socket that listens at a name that the kernel chooses. */
static int listening(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	CHECK_EQ(bind(fd, (struct sockaddr *)&sa, sizeof(sa.sun_family)), 0);
	CHECK_EQ(listen(fd, 1), 0);
	return fd;
}

struct door_env {
	struct dv_loop *loop;
	struct dv_keeper *k;
	int fd;
};

static void env_open(struct door_env *t)
{
	t->fd = listening();
	CHECK_EQ(dv_loop_new(&t->loop), 0);
	t->k = dv_keeper_alloc(t->loop);
	CHECK(t->k);
}

static void env_close(struct door_env *t)
{
	dv_keeper_free(t->k);
	dv_loop_free(t->loop);
	dv_close(t->fd);
}

TEST(doors_are_duplicated_and_closed_with_a_keeper_that_never_began)
{
	struct door_env t;

	env_open(&t);
	CHECK_EQ(dv_keeper_doors_take(t.k, &t.fd, 1, NULL), 0);
	CHECK_EQ(t.k->n_more, 1);
	CHECK(t.k->more[0].fd != t.fd);
	CHECK_EQ(dv_fd_is_cloexec(t.k->more[0].fd), 1);
	dv_keeper_doors_close(t.k);
	dv_keeper_doors_close(t.k);
	CHECK_EQ(t.k->n_more, 0);
	CHECK_EQ(dv_keeper_doors_take(t.k, &t.fd, 1, NULL), 0);
	env_close(&t);
}

TEST(door_that_does_not_listen_is_refused)
{
	struct door_env t;
	struct dv_err err = DV_ERR_INIT;
	dv_autofd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fds[2];

	env_open(&t);
	fds[0] = t.fd;
	fds[1] = null;
	CHECK_EQ(dv_keeper_doors_take(t.k, fds, 2, &err), -EINVAL);
	CHECK_EQ(err.code, DV_INVALID);
	fds[1] = -1;
	CHECK_EQ(dv_keeper_doors_take(t.k, fds + 1, 1, &err), -EINVAL);
	env_close(&t);
}

TEST(more_doors_than_the_maximum_are_refused)
{
	struct door_env t;
	int fds[DV_SANDBOX_DOORS_MAX + 1];

	env_open(&t);
	for (size_t i = 0; i < DV_ARRAY_LEN(fds); i++)
		fds[i] = t.fd;
	CHECK_EQ(dv_keeper_doors_take(t.k, fds, DV_ARRAY_LEN(fds), NULL),
		 -E2BIG);
	CHECK_EQ(t.k->n_more, 0);
	CHECK_EQ(dv_keeper_doors_take(t.k, fds, DV_SANDBOX_DOORS_MAX, NULL), 0);
	CHECK_EQ(t.k->n_more, DV_SANDBOX_DOORS_MAX);
	env_close(&t);
}
