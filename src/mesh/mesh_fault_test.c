/* SPDX-License-Identifier: MIT */
/*
 * Two nodes of which every call that can fail does so once. Nothing leaks, and
 * nothing hangs: what was accepted arrives in order, or the ports end.
 */
#include "mesh/link_try.h"

#include "base/fault.h"

enum { N_SMALL = 20, N_ALL = N_SMALL + 2, LONG_LEN = 100000, TRIES = 3000 };

struct both {
	struct lt a, b;
	struct lt_port pa, pb;
	unsigned int n_sent, n_refused;
};

/* The long one may be overtaken by nothing: it is the same port. */
static void on_message(struct lt_port *p, struct dv_msg *msg)
{
	unsigned int *next = p->arg;
	unsigned int n;

	CHECK(dv_msg_len(msg) >= sizeof(n));
	memcpy(&n, dv_msg_data(msg), sizeof(n));
	CHECK(n >= *next);
	*next = n + 1;
}

static void send_one(struct both *t, unsigned int n)
{
	struct dv_msg *msg = dv_msg_new(n == N_SMALL ? LONG_LEN : 64);
	int r = -ENOMEM;

	if (msg && n == N_SMALL + 1)
		dv_msg_add_fd(msg, dv_fd_dup(0, 3));
	if (msg) {
		memcpy(dv_msg_data(msg), &n, sizeof(n));
		r = dv_port_send(t->pa.port, msg, NULL);
	}
	t->n_sent += r >= 0;
	t->n_refused += r < 0;
}

static int begin(struct both *t)
{
	struct dv_port *port;
	int fd, r;

	if (dv_loop_new(&t->a.loop) < 0)
		return -ENOMEM;
	t->b.loop = t->a.loop;
	r = dv_mesh_new(&t->a.mesh, t->a.loop, NULL, NULL);
	if (r == 0)
		r = dv_mesh_new(&t->b.mesh, t->b.loop, NULL, NULL);
	if (r == 0)
		r = dv_mesh_invite(t->a.mesh, &fd, &port, NULL);
	if (r < 0)
		return r;
	lt_start(&t->pa, port);
	r = dv_mesh_join(t->b.mesh, fd, &port, NULL);
	if (r == 0)
		lt_start(&t->pb, port);
	return r;
}

static bool over(const struct both *t)
{
	return t->pa.n_ended || t->pb.n_ended || t->pb.n == t->n_sent;
}

static void run(struct both *t)
{
	for (unsigned int i = 0; i < N_ALL; i++)
		send_one(t, i);
	for (int i = 0; i < TRIES && !over(t); i++)
		if (dv_loop_dispatch(t->a.loop, 10) < 0)
			break;
	CHECK(over(t));
}

static void end(struct both *t)
{
	dv_mesh_free(t->a.mesh);
	dv_mesh_free(t->b.mesh);
	dv_loop_free(t->a.loop);
}

TEST(whatever_fails_nothing_hangs_and_nothing_leaks)
{
	for (uint32_t nth = 1;; nth++) {
		unsigned int next = 0;
		struct both t = { .pb = { .on = on_message, .arg = &next } };
		bool failed;
		int r;

		fault_arm(FAULT_PARENT, nth, false);
		r = begin(&t);
		if (r == 0)
			run(&t);
		failed = fault_disarm();
		end(&t);
		if (!failed) {
			CHECK_EQ(r, 0);
			CHECK_EQ(t.pb.n, N_ALL);
			break;
		}
	}
}
