/* SPDX-License-Identifier: MIT */
/*
 * Every allocation fails once. A message that was accepted arrives all the
 * same, or its port ends and says why; and nothing leaks.
 */
#include <errno.h>
#include <string.h>

#include "base/test.h"

#include "base/fault.h"
#include "mesh/node.h"

struct side {
	struct dv_port *port, *got;
	uint32_t sent, received;
	bool ended, closed;
};

static bool wants;

static int env_pair(struct dv_mesh_node *node, int fds[2])
{
	(void)node;
	(void)fds;
	return -EMFILE;
}

static void env_close(struct dv_mesh_node *node, int fd)
{
	(void)node;
	(void)fd;
}

static int env_adopt(struct dv_mesh_node *node, int fd, struct dv_mesh_id peer,
		     struct dv_mesh_link *via)
{
	(void)node;
	(void)fd;
	(void)peer;
	(void)via;
	return -EMFILE;
}

static void env_cut(struct dv_mesh_link *link, const struct dv_err *why)
{
	(void)link;
	(void)why;
}

static void env_wake(struct dv_mesh_node *node)
{
	(void)node;
	wants = true;
}

static struct dv_mesh_id env_id(struct dv_mesh_node *node)
{
	static uint64_t n;

	(void)node;
	return (struct dv_mesh_id){ 1, n += 2 };
}

static const struct dv_node_env env = {
	.pair = env_pair,
	.close_fd = env_close,
	.adopt = env_adopt,
	.cut = env_cut,
	.wake = env_wake,
	.id = env_id,
};
static const struct dv_node_limits limits = { 1 << 20, 400, 1 << 10, 16 };

static void on_message(struct dv_port *port, struct dv_msg *msg)
{
	struct side *s = dv_port_user(port);

	s->received++;
	if (dv_msg_n_atts(msg) > 0 && !s->got)
		s->got = dv_msg_take_port(msg, 0);
	dv_msg_free(dv_msg_keep(msg));
}

static void on_ended(struct dv_port *port, const struct dv_port_end *end)
{
	struct side *s = dv_port_user(port);

	s->ended = true;
	s->closed = end->closed;
}

static const struct dv_port_ops ops = { on_message, on_ended, NULL };

static void start(struct side *s, struct dv_port *port)
{
	*s = (struct side){ .port = port };
	dv_port_start(port, &ops, s);
}

static void run(struct dv_mesh_node *node)
{
	while (wants)
		wants = dv_node_run(node, 4);
}

static void say(struct side *s, const char *text)
{
	int r = dv_port_send_bytes(s->port, text, strlen(text), NULL);

	CHECK(r >= 0 || r == -ENOMEM || r == -EPIPE || r == -EAGAIN);
	s->sent += r >= 0;
}

static void give(struct side *s, struct dv_port *port)
{
	struct dv_msg *msg = dv_msg_new(3);
	int r = -ENOMEM;

	if (!msg) {
		dv_port_close(port, NULL);
		return;
	}
	memcpy(dv_msg_data(msg), "abc", 3);
	if (dv_msg_add_port(msg, port) < 0)
		dv_msg_free(msg);
	else
		r = dv_port_send(s->port, msg, NULL);
	s->sent += r >= 0;
}

/* All of what @from said has arrived, or @to knows that it has not. */
static void check(const struct side *from, const struct side *to)
{
	if (to->received != from->sent)
		CHECK(to->ended && !to->closed);
}

static void finish(struct side *s)
{
	dv_port_close(s->port, NULL);
	dv_port_close(s->got, NULL);
}

static void scenario(void)
{
	struct dv_port *ab[2], *cd[2];
	struct side a, b, c, d;
	struct dv_mesh_node *node;

	wants = false;
	if (dv_node_new(&node, &env, &limits, NULL) < 0)
		return;
	if (dv_node_pair(node, ab) < 0) {
		dv_node_destroy(node);
		return;
	}
	start(&a, ab[0]);
	start(&b, ab[1]);
	for (int i = 0; i < 12; i++)
		say(&a, "some text");
	if (dv_node_pair(node, cd) == 0) {
		give(&a, cd[1]);
		run(node);
		check(&a, &b);
		start(&c, cd[0]);
		say(&c, "more");
		run(node);
		finish(&c);
	}
	if (b.got && !b.ended && dv_node_pair(node, cd) == 0) {
		start(&c, b.got);
		b.got = NULL;
		start(&d, cd[0]);
		say(&d, "through");
		say(&a, "here");
		CHECK_EQ(dv_port_bridge(b.port, cd[1], NULL), 0);
		b.port = NULL;
		run(node);
		say(&a, "there");
		run(node);
		check(&d, &a);
		finish(&c);
		finish(&d);
	}
	finish(&a);
	finish(&b);
	run(node);
	CHECK_EQ(dv_node_counts(node)->n_ports, 0);
	dv_node_destroy(node);
}

TEST(node_fault_every_allocation_that_fails_is_told_or_does_no_harm)
{
	uint32_t nth = 0;

	do {
		fault_arm(FAULT_PARENT, ++nth, false);
		scenario();
	} while (fault_disarm());
	CHECK(nth > 20);
}
