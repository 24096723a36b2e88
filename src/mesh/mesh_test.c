/* SPDX-License-Identifier: MIT */
/*
 * Meshes of several processes.
 */
#include "mesh/mesh_try.h"

#include <limits.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/random.h"

static void send_text(struct dv_port *port, const char *text)
{
	int r = dv_port_send_bytes(port, text, strlen(text), NULL);

	dv_assert(r == 0 || r == DV_FULL);
}

static void send_number(struct dv_port *port, uint64_t n)
{
	int r = dv_port_send_bytes(port, &n, sizeof(n), NULL);

	dv_assert(r == 0 || r == DV_FULL);
}

static bool is_text(const struct dv_msg *msg, const char *text)
{
	return dv_msg_len(msg) == strlen(text) &&
	       !memcmp(dv_msg_data(msg), text, strlen(text));
}

struct left {
	unsigned int n;
	struct dv_mesh_left left;
};

static void on_left(struct dv_mesh *mesh, void *arg,
		    const struct dv_mesh_left *left)
{
	struct left *l = arg;

	(void)mesh;
	l->n++;
	l->left = *left;
}

/* In order: what was closed is closed for the others, too. 0: nothing is left.
 */
static int leave(struct lt *t)
{
	struct left left = { 0 };

	dv_assert(dv_mesh_leave(t->mesh, 10000, on_left, &left) == 0);
	LT_UNTIL(t->loop, left.n);
	return left.left.n_links || left.left.n_ports;
}

/* ---- two processes ---- */

static void on_echo(struct lt_port *p, struct dv_msg *msg)
{
	struct dv_msg *kept = dv_msg_keep(msg);
	int r;

	dv_assert(kept);
	r = dv_port_send(p->port, kept, NULL);
	dv_assert(r == 0 || r == DV_FULL || r == -EPIPE);
}

static int echo(struct lt *t, struct lt_port *main)
{
	main->on = on_echo;
	LT_UNTIL(t->loop, main->n_ended);
	return 0;
}

static void on_count(struct lt_port *p, struct dv_msg *msg)
{
	uint64_t n;

	dv_assert(dv_msg_len(msg) == sizeof(n));
	memcpy(&n, dv_msg_data(msg), sizeof(n));
	dv_assert(n == p->n - 1);
}

TEST(messages_come_back_in_order)
{
	struct lt t;
	struct mt_proc child;

	lt_new(&t, NULL);
	mt_spawn(&t, &child, NULL, echo);
	child.main.on = on_count;
	for (uint64_t i = 0; i < 1000; i++)
		send_number(child.main.port, i);
	LT_UNTIL(t.loop, child.main.n == 1000);
	mt_end(&child, &t);
	lt_free(&t);
}

static struct dv_msg *pattern(size_t len)
{
	struct dv_msg *msg = dv_msg_new(len);
	uint8_t *p;

	dv_assert(msg);
	p = dv_msg_data(msg);
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 7 + i / 251 + i / 65521);
	return msg;
}

static bool is_pattern(const struct dv_msg *msg)
{
	struct dv_msg *want = pattern(dv_msg_len(msg));
	bool same =
		!memcmp(dv_msg_data(want), dv_msg_data(msg), dv_msg_len(msg));

	dv_msg_free(want);
	return same;
}

TEST(messages_of_every_size_come_back_whole)
{
	static const size_t sizes[] = { 0,       1,       7,     8,      4095,
					4096,    4097,    16383, 16384,  16385,
					65535,   65536,   65537, 131072, 200000,
					1 << 20, 16 << 20 };
	struct lt t;
	struct mt_proc child;

	lt_new(&t, NULL);
	mt_spawn(&t, &child, NULL, echo);
	child.main.keeps = true;
	for (size_t i = 0; i < DV_ARRAY_LEN(sizes); i++) {
		int r = dv_port_send(child.main.port, pattern(sizes[i]), NULL);

		CHECK(r == 0 || r == DV_FULL);
		LT_UNTIL(t.loop, child.main.n == i + 1);
		CHECK_EQ(dv_msg_len(child.main.kept[0]), sizes[i]);
		CHECK(is_pattern(child.main.kept[0]));
		lt_drop_kept(&child.main);
	}
	CHECK_EQ(
		dv_port_send(child.main.port, dv_msg_new((16 << 20) + 1), NULL),
		-EMSGSIZE);
	mt_end(&child, &t);
	lt_free(&t);
}

/* It takes shorter messages than we may send: that ends the port, not more. */
TEST(message_longer_than_the_peer_takes_ends_its_port)
{
	struct dv_mesh_opts opts = { .size = sizeof(opts),
				     .max_message = 4096 };
	struct lt t;
	struct mt_proc child;
	struct dv_port *pair[2];
	struct dv_msg *msg = dv_msg_new(4097);
	struct lt_port other = { .port = NULL };

	lt_new(&t, NULL);
	mt_spawn(&t, &child, &opts, echo);
	CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	lt_start(&other, pair[0]);
	CHECK(dv_msg_add_port(msg, pair[1]) >= 0);
	CHECK_EQ(dv_port_send(child.main.port, msg, NULL), 0);
	/* The port in it does not hang, either. */
	LT_UNTIL(t.loop, other.n_ended && child.main.n_ended);
	lt_close(&other);
	mt_end(&child, &t);
	lt_free(&t);
}

/* ---- descriptors ---- */

static void on_write_to_fd(struct lt_port *p, struct dv_msg *msg)
{
	int fd = dv_msg_take_fd(msg, 0);

	dv_assert(fd >= 0 && dv_write_full(fd, "hi", 2) == 0);
	dv_close(fd);
	send_text(p->port, "written");
}

static int write_to_fds(struct lt *t, struct lt_port *main)
{
	main->on = on_write_to_fd;
	LT_UNTIL(t->loop, main->n_ended);
	return 0;
}

TEST(descriptors_arrive_with_their_messages)
{
	struct lt t;
	struct mt_proc child;
	int fds[3][2];

	lt_new(&t, NULL);
	mt_spawn(&t, &child, NULL, write_to_fds);
	for (int i = 0; i < 3; i++) {
		/* Long ones, too. */
		struct dv_msg *msg = dv_msg_new(i == 1 ? 300000 : 5);

		CHECK_EQ(dv_pipe(fds[i]), 0);
		CHECK_EQ(dv_msg_add_fd(msg, fds[i][1]), 0);
		CHECK(dv_port_send(child.main.port, msg, NULL) >= 0);
	}
	for (int i = 0; i < 3; i++) {
		char buf[8];

		LT_UNTIL(t.loop, child.main.n > (unsigned int)i);
		CHECK_EQ(dv_read_full(fds[i][0], buf, sizeof(buf)), 2);
		dv_close(fds[i][0]);
	}
	mt_end(&child, &t);
	lt_free(&t);
}

/* "LOST GOOD", of each message. */
static void on_count_fds(struct lt_port *p, struct dv_msg *msg)
{
	unsigned int n[DV_ATT_N] = { 0 };
	char text[64];

	for (size_t i = 0; i < dv_msg_n_atts(msg); i++)
		n[dv_msg_att(msg, i)]++;
	snprintf(text, sizeof(text), "%u %u", n[DV_ATT_LOST], n[DV_ATT_FD]);
	send_text(p->port, text);
}

static int count_fds(struct lt *t, struct lt_port *main)
{
	main->on = on_count_fds;
	LT_UNTIL(t->loop, main->n_ended);
	return 0;
}

/* Room for four more descriptors. */
static int count_fds_few(struct lt *t, struct lt_port *main)
{
	int fd = dv_fd_dup(0, 3);
	struct rlimit lim = { (rlim_t)fd + 4, (rlim_t)fd + 4 };

	dv_close(fd);
	dv_assert(fd >= 0 && setrlimit(RLIMIT_NOFILE, &lim) == 0);
	send_text(main->port, "ready");
	return count_fds(t, main);
}

static struct dv_msg *with_fds(size_t n)
{
	struct dv_msg *msg = dv_msg_new(3);

	for (size_t i = 0; i < n; i++)
		CHECK_EQ(dv_msg_add_fd(msg, dv_fd_dup(0, 3)), i);
	return msg;
}

TEST(receiver_that_may_open_no_more_loses_descriptors_but_no_link)
{
	struct lt t;
	struct mt_proc child;

	lt_new(&t, NULL);
	mt_spawn(&t, &child, NULL, count_fds_few);
	child.main.keeps = true;
	LT_UNTIL(t.loop, child.main.n == 1);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(dv_port_send(child.main.port, with_fds(10), NULL), 0);
	CHECK_EQ(dv_port_send(child.main.port, with_fds(1), NULL), 0);
	LT_UNTIL(t.loop, child.main.n == 4);
	CHECK(is_text(child.main.kept[1], "6 4"));
	CHECK(is_text(child.main.kept[2], "6 4"));
	CHECK(is_text(child.main.kept[3], "0 1"));
	mt_end(&child, &t);
	lt_free(&t);
}

TEST(more_descriptors_than_the_kernel_passes_are_refused_at_once)
{
	/* 253 is where the kernel ends; the limit is below that. */
	static const size_t sizes[] = { 1, 64, 65, DV_MSG_ATT_MAX };
	struct lt t;
	struct mt_proc child;
	struct dv_msg *msg;

	lt_new(&t, NULL);
	mt_spawn(&t, &child, NULL, count_fds);
	child.main.keeps = true;
	for (size_t i = 0; i < DV_ARRAY_LEN(sizes); i++) {
		char want[16];

		msg = with_fds(sizes[i]);
		for (int k = 0; sizes[i] == DV_MSG_ATT_MAX && k < 750; k++)
			CHECK_EQ(dv_msg_add_fd(msg, dv_fd_dup(0, 3)), -E2BIG);
		CHECK_EQ(dv_port_send(child.main.port, msg, NULL), 0);
		LT_UNTIL(t.loop, child.main.n == i + 1);
		snprintf(want, sizeof(want), "0 %zu", sizes[i]);
		CHECK(is_text(child.main.kept[i], want));
	}
	mt_end(&child, &t);
	lt_free(&t);
}

/* What is no descriptor, and what the kernel passes to nobody (since Linux 6.7;
 * before that it arrives). */
TEST(descriptors_that_cannot_be_passed_are_lost_but_no_message)
{
	char params[120] = { 0 };
	int bad[] = { 999, (int)syscall(SYS_io_uring_setup, 1, params) };
	struct lt t;
	struct mt_proc child;
	struct dv_msg *msg;
	unsigned int n = 0;

	lt_new(&t, NULL);
	mt_spawn(&t, &child, NULL, count_fds);
	child.main.keeps = true;
	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		if (bad[i] < 0) /* io_uring may be switched off */
			continue;
		msg = with_fds(1);
		CHECK_EQ(dv_msg_add_fd(msg, bad[i]), 1);
		CHECK_EQ(dv_port_send(child.main.port, msg, NULL), 0);
		CHECK_EQ(dv_port_send(child.main.port, with_fds(1), NULL), 0);
		LT_UNTIL(t.loop, child.main.n == n + 2);
		CHECK(is_text(child.main.kept[n], "2 0") ||
		      (i == 1 && is_text(child.main.kept[n], "0 2")));
		CHECK(is_text(child.main.kept[n + 1], "0 1"));
		n += 2;
	}
	mt_end(&child, &t);
	lt_free(&t);
}

TEST(descriptor_that_is_none_is_refused_when_it_is_attached)
{
	struct dv_msg *msg = dv_msg_new(0);

	CHECK_EQ(dv_msg_add_fd(msg, -1), -EBADF);
	CHECK_EQ(dv_msg_n_atts(msg), 0);
	dv_msg_free(msg);
}

TEST(port_that_is_attached_cannot_be_attached_again)
{
	struct dv_msg *msgs[2] = { dv_msg_new(0), dv_msg_new(0) };
	struct dv_port *pair[2];
	struct lt_port p = { .port = NULL };
	struct lt t;

	lt_new(&t, NULL);
	CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	lt_start(&p, pair[0]);
	CHECK_EQ(dv_msg_add_port(msgs[0], pair[1]), 0);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(dv_msg_add_port(msgs[i], pair[1]), -EINVAL);
		CHECK_EQ(dv_msg_n_atts(msgs[i]), (size_t)!i);
	}
	dv_msg_free(msgs[1]);
	CHECK_EQ(dv_loop_dispatch(t.loop, 0), 0);
	CHECK_EQ(p.n_ended, 0);
	dv_msg_free(msgs[0]);
	LT_UNTIL(t.loop, p.n_ended);
	lt_close(&p);
	lt_free(&t);
}

enum { FEW_FDS = 64, IN_FLIGHT = 40, FDS_EACH = 5 };

/* The kernel counts what is on its way by users, and another test may be one,
 * too. Who may not become somebody else has no right to exceed it, either. */
static void be_somebody(void)
{
	uint32_t any;
	uid_t uid;

	dv_random(&any, sizeof(any));
	uid = 1000000 + any % 1000000000;
	if (geteuid() == 0 && setresuid(uid, uid, uid) < 0 &&
	    setresuid(65534, 65534, 65534) < 0)
		dv_assert(errno == EPERM);
}

/* As an ordinary user, to somebody who does not read: first they go, then they
 * are lost, and all the messages arrive. */
static int send_many_fds(struct lt *t, struct lt_port *main)
{
	struct rlimit lim = { FEW_FDS, FEW_FDS };

	LT_UNTIL(t->loop, main->n == 1); /* with the pipe */
	be_somebody();
	dv_assert(setrlimit(RLIMIT_NOFILE, &lim) == 0);
	for (int i = 0; i < IN_FLIGHT; i++) {
		struct dv_msg *msg = dv_msg_new(3);

		for (int k = 0; k < FDS_EACH; k++)
			dv_assert(dv_msg_add_fd(msg, dv_fd_dup(0, 3)) == k);
		dv_assert(dv_port_send(main->port, msg, NULL) >= 0);
		LT_UNTIL(t->loop, mt_all_written(t));
	}
	mt_tell(dv_msg_take_fd(main->kept[0], 0));
	LT_UNTIL(t->loop, main->n_ended);
	return 0;
}

static int send_many(struct lt *t, struct lt_port *main)
{
	main->keeps = true;
	return send_many_fds(t, main);
}

TEST(too_many_descriptors_on_their_way_are_lost_but_no_message)
{
	struct lt t;
	struct mt_proc child;
	struct dv_msg *msg = dv_msg_new(1);
	unsigned int n[DV_ATT_N] = { 0 };
	int fds[2];

	lt_new(&t, NULL);
	CHECK_EQ(dv_pipe(fds), 0);
	mt_spawn(&t, &child, NULL, send_many);
	child.main.keeps = true;
	CHECK_EQ(dv_msg_add_fd(msg, fds[1]), 0);
	CHECK_EQ(dv_port_send(child.main.port, msg, NULL), 0);
	LT_UNTIL(t.loop, mt_all_written(&t) && lt_n_links(&t) == 1 &&
				 mt_link(&t)->state == DV_LINK_UP &&
				 dv_node_unfinished(dv_mesh_node(t.mesh)) == 0);
	mt_hear(fds[0]); /* Here nothing is read by the loop. */
	dv_close(fds[0]);
	LT_UNTIL(t.loop, child.main.n == IN_FLIGHT);
	for (int i = 0; i < IN_FLIGHT; i++)
		for (size_t k = 0; k < FDS_EACH; k++)
			n[dv_msg_att(child.main.kept[i], k)]++;
	CHECK(n[DV_ATT_FD] >= FDS_EACH);
	CHECK(n[DV_ATT_LOST] >= FDS_EACH);
	CHECK_EQ(n[DV_ATT_FD] + n[DV_ATT_LOST], IN_FLIGHT * FDS_EACH);
	CHECK_EQ(dv_msg_att(child.main.kept[0], 0), DV_ATT_FD);
	mt_end(&child, &t);
	lt_free(&t);
}

/* ---- three processes ---- */

enum { MOVED_N = 1000 };

/* The first message brings a port: talk through it. */
static struct dv_port *take_port(struct lt *t, struct lt_port *main)
{
	struct dv_port *port;

	main->keeps = true;
	LT_UNTIL(t->loop, main->n_kept || main->n_ended);
	dv_assert(main->n_kept);
	port = dv_msg_take_port(main->kept[0], 0);
	dv_assert(port);
	return port;
}

static int talker(struct lt *t, struct lt_port *main)
{
	struct lt_port p = { .on = on_count };

	lt_start(&p, take_port(t, main));
	for (uint64_t i = 0; i < MOVED_N; i++)
		send_number(p.port, i);
	LT_UNTIL(t->loop, p.n == MOVED_N);
	send_text(main->port, "done");
	LT_UNTIL(t->loop, main->n_ended || p.n_ended);
	dv_assert(!p.n_ended || p.end.closed);
	lt_close(&p);
	LT_UNTIL(t->loop, main->n_ended);
	return leave(t);
}

static void give_port(struct dv_port *to, struct dv_port *port)
{
	struct dv_msg *msg = dv_msg_new(4);

	CHECK(dv_msg_add_port(msg, port) == 0);
	CHECK(dv_port_send(to, msg, NULL) >= 0);
}

TEST(both_ends_of_a_pair_move_and_then_talk_directly)
{
	struct lt t;
	struct mt_proc a, b;
	struct dv_port *pair[2];
	const struct dv_node_counts *c;

	lt_new(&t, NULL);
	mt_spawn(&t, &a, NULL, talker);
	mt_spawn(&t, &b, NULL, talker);
	CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	give_port(a.main.port, pair[0]);
	give_port(b.main.port, pair[1]);
	LT_UNTIL(t.loop, a.main.n == 1 && b.main.n == 1);
	c = dv_node_counts(dv_mesh_node(t.mesh));
	LT_UNTIL(t.loop, c->n_proxies == 0);
	CHECK(c->introduced >= 1);
	CHECK_EQ(c->n_ports, 2);
	a.main.port = dv_port_close(a.main.port, NULL);
	b.main.port = dv_port_close(b.main.port, NULL);
	LT_UNTIL(t.loop, lt_n_links(&t) == 0);
	CHECK_EQ(mt_wait(&a), 0);
	CHECK_EQ(mt_wait(&b), 0);
	lt_free(&t);
}

/* ---- fairness ---- */

static void on_order(struct lt_port *p, struct dv_msg *msg)
{
	struct lt_port *main = p->arg;

	(void)msg;
	send_text(main->port, dv_msg_len(msg) > 100 ? "long" : "small");
}

static int tell_order(struct lt *t, struct lt_port *main)
{
	struct lt_port p = { .on = on_order, .arg = main };
	struct dv_port *port = take_port(t, main);

	lt_drop_kept(main);
	main->keeps = false;
	main->on = on_order;
	main->arg = main;
	lt_start(&p, port);
	send_text(main->port, "ready");
	LT_UNTIL(t->loop, main->n_ended);
	lt_close(&p);
	return 0;
}

TEST(small_message_passes_a_long_one)
{
	struct lt t;
	struct mt_proc child;
	struct dv_port *pair[2];

	lt_new(&t, NULL);
	mt_spawn(&t, &child, NULL, tell_order);
	child.main.keeps = true;
	CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	give_port(child.main.port, pair[1]);
	LT_UNTIL(t.loop, child.main.n == 1 &&
				 dv_node_unfinished(dv_mesh_node(t.mesh)) == 0);
	/* It is under way when the small one is sent, however fast they read.
	 */
	CHECK_EQ(kill(child.pid, SIGSTOP), 0);
	CHECK(dv_port_send(child.main.port, pattern(16 << 20), NULL) >= 0);
	LT_UNTIL(t.loop, mt_link(&t)->out.blocked);
	send_text(pair[0], "small");
	CHECK_EQ(kill(child.pid, SIGCONT), 0);
	LT_UNTIL(t.loop, child.main.n == 3);
	CHECK(is_text(child.main.kept[1], "small"));
	CHECK(is_text(child.main.kept[2], "long"));
	dv_port_close(pair[0], NULL);
	mt_end(&child, &t);
	lt_free(&t);
}

/* ---- a reader that stopped ---- */

TEST(stopped_reader_costs_bounded_memory_and_nothing_is_lost)
{
	struct dv_mesh_opts opts = { .size = sizeof(opts),
				     .port_window = 4 << 20 };
	struct lt t;
	struct mt_proc child;
	uint64_t n = 0;

	lt_new(&t, &opts);
	mt_spawn(&t, &child, &opts, echo);
	child.main.on = on_count;
	send_number(child.main.port, n++);
	LT_UNTIL(t.loop, child.main.n == n);
	kill(child.pid, SIGSTOP);
	while (dv_port_send_bytes(child.main.port, &n, sizeof(n), NULL) >= 0) {
		n++;
		if (n % 1000 == 0)
			CHECK(dv_loop_dispatch(t.loop, 0) >= 0);
		CHECK(dv_out_waiting(&mt_link(&t)->out) <=
		      DV_LINK_OUT_HIGH + 64);
		CHECK(n < 1000000);
	}
	CHECK_EQ(dv_port_send_bytes(child.main.port, &n, 8, NULL), -EAGAIN);
	/* However much more is tried: a GiB. */
	for (int i = 0; i < 1024; i++)
		CHECK_EQ(dv_port_send(child.main.port, dv_msg_new(1 << 20),
				      NULL),
			 -EAGAIN);
	CHECK(n * (64 + sizeof(n)) <= 3 * (uint64_t)opts.port_window);
	kill(child.pid, SIGCONT);
	LT_UNTIL(t.loop, child.main.n == n);
	CHECK(child.main.n_writable >= 1);
	mt_end(&child, &t);
	lt_free(&t);
}

/* ---- death ---- */

/* A process that does not read any more, and dies with much unsent. */
static int send_and_hang(struct lt *t, struct lt_port *main)
{
	int fd;

	main->keeps = true;
	LT_UNTIL(t->loop, main->n == 1);
	fd = dv_msg_take_fd(main->kept[0], 0);
	for (uint64_t i = 0; i < 100; i++)
		send_number(main->port, i);
	LT_UNTIL(t->loop, mt_all_written(t));
	mt_tell(fd);
	pause();
	return 1;
}

static int send_long_and_hang(struct lt *t, struct lt_port *main)
{
	struct dv_msg *msg = pattern(16 << 20);
	int fd;

	main->keeps = true;
	LT_UNTIL(t->loop, main->n == 1);
	fd = dv_msg_take_fd(main->kept[0], 0);
	dv_assert(dv_msg_add_fd(msg, dv_fd_dup(fd, 3)) == 0);
	dv_assert(dv_port_send(main->port, msg, NULL) >= 0);
	LT_UNTIL(t->loop, mt_link(t)->out.blocked);
	mt_tell(fd);
	pause();
	return 1;
}

/* That to the process which was spawned last. */
static struct dv_link *newest_link(const struct lt *t)
{
	CHECK(t->mesh->links.prev != &t->mesh->links);
	return dv_list_of(t->mesh->links.prev, struct dv_link, in_mesh);
}

/* Until the child has told, and this process has read nothing of it. Returns
 * the end of a pipe whose other end the child has. */
static int start_hanging(struct lt *t, struct mt_proc *child, mt_fn *fn)
{
	struct dv_msg *msg = dv_msg_new(1);
	int fds[2];

	CHECK_EQ(dv_pipe(fds), 0);
	mt_spawn(t, child, NULL, fn);
	CHECK_EQ(dv_msg_add_fd(msg, fds[1]), 0);
	CHECK_EQ(dv_port_send(child->main.port, msg, NULL), 0);
	LT_UNTIL(t->loop, newest_link(t)->state == DV_LINK_UP &&
				  dv_out_empty(&newest_link(t)->out));
	mt_hear(fds[0]);
	return fds[0];
}

TEST(all_that_a_killed_process_sent_is_delivered)
{
	struct lt t;
	struct mt_proc child;
	pid_t pid;

	lt_new(&t, NULL);
	dv_close(start_hanging(&t, &child, send_and_hang));
	pid = child.pid;
	/* It has not read this, and never will. */
	for (int i = 0; i < 100; i++)
		send_text(child.main.port, "unread");
	CHECK(dv_out_write(mt_link(&t)));
	mt_kill(&child);
	child.main.on = on_count;
	LT_UNTIL(t.loop, child.main.n_ended);
	CHECK_EQ(child.main.n, 100);
	CHECK(!child.main.end.closed);
	CHECK_EQ(child.main.end.scope, DV_SCOPE_LINK);
	CHECK_EQ(child.main.end.pid, pid);
	CHECK(child.main.end.culprit.hi | child.main.end.culprit.lo);
	CHECK(strstr(child.main.end.err.msg, "is gone"));
	lt_close(&child.main);
	lt_free(&t);
}

TEST(process_killed_in_the_middle_of_a_message_ends_its_ports_only)
{
	struct lt t;
	struct mt_proc child, other;
	char c;
	int fd;

	lt_new(&t, NULL);
	mt_spawn(&t, &other, NULL, echo);
	fd = start_hanging(&t, &child, send_long_and_hang);
	CHECK_EQ(dv_fd_nonblock(fd, true), 0);
	mt_kill(&child);
	/* What came with the first part is all that is left of the pipe. */
	CHECK_EQ(dv_read(fd, &c, 1), -EAGAIN);
	LT_UNTIL(t.loop, child.main.n_ended);
	CHECK_EQ(dv_read(fd, &c, 1), 0);
	dv_close(fd);
	CHECK_EQ(child.main.n, 0);
	CHECK(strstr(child.main.end.err.msg, "in the middle of a message"));
	send_text(other.main.port, "are you there");
	LT_UNTIL(t.loop, other.main.n == 1);
	lt_close(&child.main);
	mt_end(&other, &t);
	lt_free(&t);
}

/* ---- leaving ---- */

/* 16 MiB are accepted, then the process leaves at once. */
static int send_and_leave(struct lt *t, struct lt_port *main)
{
	send_text(main->port, "more");
	dv_assert(dv_port_send(main->port, pattern(16 << 20), NULL) >= 0);
	return leave(t);
}

TEST(who_leaves_delivers_what_was_accepted)
{
	struct lt t;
	struct mt_proc child;

	lt_new(&t, NULL);
	mt_spawn(&t, &child, NULL, send_and_leave);
	LT_UNTIL(t.loop, child.main.n_ended);
	CHECK_EQ(child.main.n, 2);
	CHECK_EQ(child.main.bytes, (16 << 20) + 4);
	CHECK(strstr(child.main.end.err.msg, "left the mesh"));
	CHECK_EQ(mt_wait(&child), 0);
	lt_close(&child.main);
	lt_free(&t);
}

TEST(leaving_with_a_stopped_peer_ends_at_its_deadline)
{
	struct lt t;
	struct mt_proc child;
	struct dv_port *pair[2];
	struct left left = { 0 };

	lt_new(&t, NULL);
	mt_spawn(&t, &child, NULL, echo);
	send_text(child.main.port, "one");
	LT_UNTIL(t.loop, child.main.n == 1);
	kill(child.pid, SIGSTOP);
	/* A port that moves there is in front of what fills the socket. */
	CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	give_port(child.main.port, pair[1]);
	CHECK(dv_port_send(child.main.port, pattern(4 << 20), NULL) >= 0);
	CHECK_EQ(dv_mesh_leave(t.mesh, 50, on_left, &left), 0);
	LT_UNTIL(t.loop, left.n);
	CHECK_EQ(left.left.n_links, 1);
	/* The one that the messages are for, and the one that moves. */
	CHECK_EQ(left.left.n_ports, 2);
	dv_port_close(pair[0], NULL);
	mt_kill(&child);
	lt_close(&child.main);
	lt_free(&t);
}

static void on_left_free(struct dv_mesh *mesh, void *arg,
			 const struct dv_mesh_left *left)
{
	struct lt *t = arg;

	CHECK_EQ(left->n_links, 0);
	CHECK_EQ(left->n_ports, 0);
	t->mesh = dv_mesh_free(mesh);
}

TEST(mesh_may_be_freed_when_it_was_left)
{
	struct lt t;
	struct mt_proc child;

	lt_new(&t, NULL);
	mt_spawn(&t, &child, NULL, echo);
	send_text(child.main.port, "one");
	LT_UNTIL(t.loop, child.main.n == 1);
	CHECK_EQ(dv_mesh_leave(t.mesh, -1, on_left_free, &t), 0);
	LT_UNTIL(t.loop, !t.mesh);
	CHECK_EQ(mt_wait(&child), 0);
	lt_free(&t);
}

TEST(mesh_is_freed_with_everything_under_way)
{
	struct lt t;
	struct mt_proc child;
	int fds[2];

	lt_new(&t, NULL);
	mt_spawn(&t, &child, NULL, echo);
	send_text(child.main.port, "one");
	LT_UNTIL(t.loop, child.main.n == 1);
	CHECK_EQ(dv_pipe(fds), 0);
	for (int i = 0; i < 10; i++) {
		struct dv_msg *msg = pattern(1 << 20);

		CHECK_EQ(dv_msg_add_fd(msg, dv_fd_dup(fds[0], 3)), 0);
		if (dv_port_send(child.main.port, msg, NULL) < 0)
			break;
	}
	dv_close(fds[0]);
	dv_close(fds[1]);
	CHECK(dv_loop_dispatch(t.loop, 0) >= 0);
	lt_free(&t);
	CHECK_EQ(mt_wait(&child), 0);
}

/* ---- several meshes ---- */

TEST(port_of_one_mesh_does_not_go_over_another)
{
	struct lt a, b;
	struct dv_port *pa[2], *pb[2];
	struct dv_msg *msg = dv_msg_new(1);

	lt_new(&a, NULL);
	b.loop = a.loop;
	CHECK_EQ(dv_mesh_new(&b.mesh, b.loop, NULL, NULL), 0);
	CHECK_EQ(dv_port_pair(a.mesh, pa), 0);
	CHECK_EQ(dv_port_pair(b.mesh, pb), 0);
	CHECK_EQ(dv_msg_add_port(msg, pb[1]), 0);
	CHECK_EQ(dv_port_send(pa[0], msg, NULL), -EXDEV);
	dv_port_close(pa[0], NULL);
	dv_port_close(pa[1], NULL);
	dv_port_close(pb[0], NULL);
	dv_mesh_free(b.mesh);
	lt_free(&a);
}

TEST(options_that_are_not_known_are_refused)
{
	struct {
		struct dv_mesh_opts opts;
		uint64_t more;
	} o = { .opts = { .size = sizeof(o) } };
	struct dv_loop *loop;
	struct dv_mesh *mesh;

	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_mesh_new(&mesh, loop, &o.opts, NULL), 0);
	dv_mesh_free(mesh);
	o.more = 1;
	CHECK_EQ(dv_mesh_new(&mesh, loop, &o.opts, NULL), -EINVAL);
	o.opts.size = 0;
	CHECK_EQ(dv_mesh_new(&mesh, loop, &o.opts, NULL), -EINVAL);
	dv_loop_free(loop);
}

TEST(id_is_shown_as_32_digits)
{
	char text[DV_MESH_ID_TEXT];

	CHECK_STR(dv_mesh_id_text((struct dv_mesh_id){ 0x0123456789abcdef,
						       0xfedcba9876543210 },
				  text),
		  "0123456789abcdeffedcba9876543210");
}
