/* SPDX-License-Identifier: MIT */
/*
 * Links, against a peer that is nothing but a socket.
 */
#include "mesh/link.h"

#include <fcntl.h>
#include <sys/resource.h>

#include "base/loop_alone.h"
#include "mesh/link_try.h"

static void has_text(const char *text, const char *want)
{
	if (!strstr(text, want))
		print_error("\"%s\" does not say \"%s\"\n", text, want);
	CHECK(strstr(text, want) != NULL);
}

static void end_text(const struct lt_port *p, const char *want)
{
	CHECK_EQ(p->n_ended, 1);
	has_text(p->end.err.msg, want);
}

/* ---- waiting ---- */

static void no_waiting(int fd, int how)
{
	const struct timeval ms = { 0, 1000 };

	if (how == 0)
		CHECK_EQ(dv_fd_nonblock(fd, true), 0);
	else
		CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &ms,
				    sizeof(ms)),
			 0);
}

/* It sleeps in its read when there is nothing else in its loop. It finds out
 * once that its socket does not wait, and that costs one round of the loop. */
TEST(link_whose_socket_does_not_wait_leaves_that_to_the_loop)
{
	for (int how = 0; how < 2; how++) {
		struct lt_port p = { .port = NULL };
		struct dv_link *link;
		struct lt_raw raw;
		struct lt t;

		if (!dv_only_thread())
			SKIP("this process had other threads");
		lt_new(&t, NULL);
		lt_raw_invite(&raw, &t, &p);
		lt_raw_join(&raw);
		link = dv_list_of(dv_list_first(&t.mesh->links), struct dv_link,
				  in_mesh);
		LT_UNTIL(t.loop, link->state == DV_LINK_UP);
		while (dv_loop_dispatch(t.loop, 0) > 0)
			;
		no_waiting(link->fd, how);
		CHECK(!link->sleepless);
		CHECK_EQ(dv_loop_dispatch(t.loop, -1), 1);
		CHECK(link->sleepless);
		CHECK_EQ(dv_loop_dispatch(t.loop, 0), 0);
		lt_raw_message(&raw, raw.port, DV_MW_MESSAGE, "x", 1);
		lt_raw_flush(&raw);
		CHECK_EQ(dv_loop_dispatch(t.loop, -1), 1);
		CHECK_EQ(p.n, 1);
		lt_close(&p);
		lt_raw_close(&raw);
		lt_free(&t);
	}
}

/* ---- the handshake ---- */

TEST(invitation_that_is_closed_unused_ends_its_port)
{
	struct lt t;
	struct lt_raw raw;
	struct lt_port p = { .port = NULL };

	lt_new(&t, NULL);
	lt_raw_invite(&raw, &t, &p);
	lt_raw_close(&raw);
	LT_UNTIL(t.loop, p.n_ended);
	end_text(&p, "without a handshake");
	CHECK_EQ(p.end.scope, DV_SCOPE_LINK);
	lt_close(&p);
	CHECK_EQ(lt_n_links(&t), 0);
	lt_free(&t);
}

TEST(handshake_cut_at_every_byte_ends_the_port)
{
	dv_autobuf hello = DV_BUF_INIT(4096);
	struct lt t;
	struct lt_raw raw;
	struct dv_mw_hello h;

	lt_new(&t, NULL);
	lt_raw_init(&raw, &t, -1);
	h = lt_raw_some_hello(&raw);
	CHECK_EQ(dv_mw_hello_put(&hello, &h, NULL), 0);
	for (size_t cut = 1; cut < hello.len; cut++) {
		struct lt_port p = { .port = NULL };

		lt_raw_invite(&raw, &t, &p);
		dv_buf_put(&raw.out, hello.data, cut);
		lt_raw_flush(&raw);
		lt_raw_close(&raw);
		LT_UNTIL(t.loop, p.n_ended);
		end_text(&p, "in the middle of its handshake");
		lt_close(&p);
	}
	lt_free(&t);
}

TEST(peer_that_is_no_node_is_told_so_and_cut)
{
	struct lt t;
	struct lt_raw raw;
	struct lt_port p = { .port = NULL };
	struct dv_mw_event ev;
	struct dv_err reason;

	lt_new(&t, NULL);
	lt_raw_invite(&raw, &t, &p);
	dv_buf_put(&raw.out, "GET / HTTP/1.1\r\n\r\n", 18);
	lt_raw_flush(&raw);
	CHECK(lt_raw_wait(&raw, DV_MW_ERROR, &ev, &reason));
	has_text(reason.msg, "broke the rules: there is no frame of kind");
	LT_UNTIL(t.loop, p.n_ended);
	lt_close(&p);
	lt_raw_close(&raw);
	lt_free(&t);
}

TEST(peer_of_another_version_is_told_so_and_cut)
{
	struct lt t;
	struct lt_raw raw;
	struct lt_port p = { .port = NULL };
	struct dv_mw_hello h;
	struct dv_mw_event ev;
	struct dv_err reason;

	lt_new(&t, NULL);
	lt_raw_invite(&raw, &t, &p);
	h = lt_raw_some_hello(&raw);
	h.version_min = 2;
	h.version_max = 9;
	CHECK_EQ(dv_mw_hello_put(&raw.out, &h, NULL), 0);
	lt_raw_flush(&raw);
	CHECK(lt_raw_wait(&raw, DV_MW_ERROR, &ev, &reason));
	has_text(reason.msg, "speaks version 2 to 9");
	LT_UNTIL(t.loop, p.n_ended);
	end_text(&p, "speaks version 2 to 9");
	lt_close(&p);
	lt_raw_close(&raw);
	lt_free(&t);
}

TEST(handshake_that_takes_too_long_ends_the_port)
{
	struct dv_mesh_opts opts = { .size = sizeof(opts), .hello_ms = 20 };
	struct lt t;
	struct lt_raw raw;
	struct lt_port p = { .port = NULL };
	struct dv_port *port;
	int fds[2];

	lt_new(&t, &opts);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	CHECK_EQ(dv_mesh_join(t.mesh, fds[0], &port, NULL), 0);
	lt_start(&p, port);
	lt_raw_init(&raw, &t, fds[1]);
	LT_UNTIL(t.loop, p.n_ended);
	end_text(&p, "did not finish its handshake within 20 ms");
	lt_close(&p);
	lt_raw_close(&raw);
	lt_free(&t);
}

/* Otherwise a read that sleeps would not see what is there. */
TEST(socket_that_was_to_wait_for_many_bytes_waits_for_one)
{
	int fds[2], many = 1 << 16, has = 0;
	socklen_t len = sizeof(has);
	struct dv_port *port;
	struct lt t;

	lt_new(&t, NULL);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	CHECK_EQ(setsockopt(fds[0], SOL_SOCKET, SO_RCVLOWAT, &many, len), 0);
	CHECK_EQ(dv_mesh_join(t.mesh, fds[0], &port, NULL), 0);
	CHECK_EQ(getsockopt(fds[0], SOL_SOCKET, SO_RCVLOWAT, &has, &len), 0);
	CHECK_EQ(has, 1);
	dv_port_close(port, NULL);
	dv_close(fds[1]);
	lt_free(&t);
}

static void invite_as(struct lt_raw *raw, struct lt *t, struct lt_port *p,
		      struct dv_mesh_id id)
{
	struct dv_port *port;
	int fd;

	CHECK_EQ(dv_mesh_invite_as(t->mesh, id, &fd, &port, NULL), 0);
	lt_start(p, port);
	lt_raw_init(raw, t, fd);
}

/* The invitation says who has to come. */
TEST(node_that_is_another_than_was_invited_is_cut)
{
	const struct dv_mesh_id id = { 5, 6 };
	struct lt_port p = { .port = NULL };
	struct dv_mw_event ev;
	struct dv_err reason;
	struct lt_raw raw;
	struct lt t;

	lt_new(&t, NULL);
	invite_as(&raw, &t, &p, id);
	lt_raw_say_hello(&raw);
	CHECK(lt_raw_wait(&raw, DV_MW_ERROR, &ev, &reason));
	has_text(reason.msg, "it is another node than was invited");
	LT_UNTIL(t.loop, p.n_ended);
	lt_close(&p);
	lt_raw_close(&raw);

	invite_as(&raw, &t, &p, id);
	raw.node = id;
	lt_raw_join(&raw);
	CHECK_EQ(p.n_ended, 1);
	lt_close(&p);
	lt_raw_close(&raw);
	lt_free(&t);
}

/* Whoever may use the others, it may be none of whom we know. */
TEST(node_with_the_id_of_another_is_cut)
{
	struct lt_port p[3] = { { .port = NULL } };
	struct dv_mw_event ev;
	struct dv_err reason;
	struct lt_raw raw[3];
	struct lt t;

	lt_new(&t, NULL);
	invite_as(&raw[0], &t, &p[0], (struct dv_mesh_id){ 5, 6 });
	lt_raw_invite(&raw[1], &t, &p[1]);
	lt_raw_join(&raw[1]);
	for (int i = 0; i < 3; i++) {
		/* One that is expected, one that is there, and ourselves. */
		lt_raw_invite(&raw[2], &t, &p[2]);
		raw[2].node = i == 0   ? (struct dv_mesh_id){ 5, 6 }
			      : i == 1 ? raw[1].node
				       : dv_mesh_id(t.mesh);
		lt_raw_say_hello(&raw[2]);
		CHECK(lt_raw_wait(&raw[2], DV_MW_ERROR, &ev, &reason));
		has_text(reason.msg, i == 2 ? "leads back to this node"
					    : "it says it is a process of this "
					      "mesh");
		LT_UNTIL(t.loop, p[2].n_ended == (unsigned int)i + 1);
		lt_close(&p[2]);
		lt_raw_close(&raw[2]);
	}
	lt_raw_message(&raw[1], raw[1].port, DV_MW_MESSAGE, "x", 1);
	lt_raw_flush(&raw[1]);
	LT_UNTIL(t.loop, p[1].n == 1);
	CHECK_EQ(p[0].n_ended + p[1].n_ended, 0);
	for (int i = 0; i < 2; i++) {
		lt_close(&p[i]);
		lt_raw_close(&raw[i]);
	}
	lt_free(&t);
}

TEST(frame_before_the_hello_is_a_violation)
{
	struct lt t;
	struct lt_raw raw;
	struct lt_port p = { .port = NULL };

	lt_new(&t, NULL);
	lt_raw_invite(&raw, &t, &p);
	lt_raw_event(&raw, (struct dv_mw_event){ .kind = DV_MW_GOODBYE }, NULL);
	lt_raw_flush(&raw);
	LT_UNTIL(t.loop, p.n_ended);
	end_text(&p, "frame GOODBYE before a HELLO");
	lt_close(&p);
	lt_raw_close(&raw);
	lt_free(&t);
}

TEST(socket_of_another_kind_cannot_be_joined)
{
	static const int bad[][2] = { { AF_UNIX, SOCK_SEQPACKET },
				      { AF_UNIX, SOCK_DGRAM },
				      { AF_INET, SOCK_STREAM } };
	struct lt t;
	struct dv_port *port;
	int fds[2];

	lt_new(&t, NULL);
	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		int fd = socket(bad[i][0], bad[i][1] | SOCK_CLOEXEC, 0);

		CHECK(fd >= 0);
		CHECK_EQ(dv_mesh_join(t.mesh, fd, &port, NULL), -ENOTSOCK);
	}
	CHECK_EQ(dv_pipe(fds), 0);
	CHECK_EQ(dv_mesh_join(t.mesh, fds[0], &port, NULL), -ENOTSOCK);
	dv_close(fds[1]);
	lt_free(&t);
}

/* A listener's other side may take a while to say hello. */
TEST(port_of_a_join_works_before_the_other_side_said_hello)
{
	struct lt a, b;
	struct lt_port pa = { .port = NULL }, pb = { .port = NULL };
	struct dv_port *port;
	int fds[2];

	lt_new(&a, NULL);
	b.loop = a.loop;
	CHECK_EQ(dv_mesh_new(&b.mesh, b.loop, NULL, NULL), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	CHECK_EQ(dv_mesh_join(a.mesh, fds[0], &port, NULL), 0);
	lt_start(&pa, port);
	CHECK_EQ(dv_port_send_bytes(port, "early", 5, NULL), 0);
	while (dv_loop_dispatch(a.loop, 0) > 0)
		;
	CHECK_EQ(dv_mesh_offer(b.mesh, fds[1], NULL, &port, NULL), 0);
	lt_start(&pb, port);
	CHECK_EQ(dv_port_send_bytes(port, "answer", 6, NULL), 0);
	LT_UNTIL(a.loop, pa.n == 1 && pb.n == 1);
	CHECK_EQ(pb.bytes, 5);
	CHECK_EQ(pa.bytes, 6);
	lt_close(&pa);
	LT_UNTIL(a.loop, pb.n_ended);
	CHECK(pb.end.closed);
	lt_close(&pb);
	dv_mesh_free(b.mesh);
	lt_free(&a);
}

/* ---- messages ---- */

TEST(messages_that_come_byte_by_byte_are_delivered)
{
	struct lt t;
	struct lt_raw raw;
	struct lt_port p = { .port = NULL, .keeps = true };
	dv_autobuf all = DV_BUF_INIT(1 << 20);
	char big[6000];

	lt_new(&t, NULL);
	lt_raw_invite(&raw, &t, &p);
	lt_raw_join(&raw);
	memset(big, 'b', sizeof(big));
	lt_raw_message(&raw, raw.port, DV_MW_MESSAGE, "hello", 5);
	lt_raw_message(&raw, raw.port, DV_MW_MESSAGE, "", 0);
	lt_raw_message(&raw, raw.port, DV_MW_MESSAGE, big, sizeof(big));
	lt_raw_message(&raw, raw.port, DV_MW_MESSAGE, "bye", 3);
	dv_buf_put(&all, raw.out.data, raw.out.len);
	dv_buf_reset(&raw.out);
	for (size_t i = 0; i < all.len; i++) {
		dv_buf_put(&raw.out, all.data + i, 1);
		lt_raw_flush(&raw);
		CHECK(dv_loop_dispatch(t.loop, 0) >= 0);
	}
	LT_UNTIL(t.loop, p.n == 4);
	CHECK_EQ(dv_msg_len(p.kept[0]), 5);
	assert_memory_equal(dv_msg_data(p.kept[0]), "hello", 5);
	CHECK_EQ(dv_msg_len(p.kept[1]), 0);
	CHECK_EQ(dv_msg_len(p.kept[2]), sizeof(big));
	assert_memory_equal(dv_msg_data(p.kept[2]), big, sizeof(big));
	assert_memory_equal(dv_msg_data(p.kept[3]), "bye", 3);
	lt_close(&p);
	lt_raw_close(&raw);
	lt_free(&t);
}

/* On a stream it is nothing at all: neither a frame nor the end. */
TEST(empty_write_changes_nothing)
{
	struct lt t;
	struct lt_raw raw;
	struct lt_port p = { .port = NULL };

	lt_new(&t, NULL);
	lt_raw_invite(&raw, &t, &p);
	lt_raw_join(&raw);
	CHECK_EQ(send(raw.fd, "", 0, MSG_NOSIGNAL), 0);
	CHECK(dv_loop_dispatch(t.loop, 0) >= 0);
	lt_raw_message(&raw, raw.port, DV_MW_MESSAGE, "x", 1);
	lt_raw_flush(&raw);
	LT_UNTIL(t.loop, p.n == 1);
	lt_close(&p);
	lt_raw_close(&raw);
	lt_free(&t);
}

static uint32_t len_of_piece(uint32_t total, uint32_t at)
{
	return dv_min(total - at, (uint32_t)DV_MW_FRAGMENT);
}

static void put_long(struct lt_raw *raw, uint32_t total)
{
	size_t start = dv_mw_begin(&raw->out, DV_MW_LONG, raw->port);

	CHECK_EQ(dv_mw_end(&raw->out, start, 0, 0, total), 0);
}

/* Small ones between the pieces of a long one come first. */
TEST(long_message_lets_others_pass)
{
	const uint32_t total = 200001;
	struct lt t;
	struct lt_raw raw;
	struct lt_port p = { .port = NULL, .keeps = true };
	dv_autofree char *data = malloc(total);

	lt_new(&t, NULL);
	lt_raw_invite(&raw, &t, &p);
	lt_raw_join(&raw);
	for (uint32_t i = 0; i < total; i++)
		data[i] = (char)(i % 251);
	put_long(&raw, total);
	for (uint32_t at = 0; at < total; at += DV_MW_FRAGMENT) {
		lt_raw_message(&raw, raw.port, DV_MW_PIECE, data + at,
			       len_of_piece(total, at));
		if (at == DV_MW_FRAGMENT)
			lt_raw_message(&raw, raw.port, DV_MW_MESSAGE, "x", 1);
	}
	lt_raw_flush(&raw);
	LT_UNTIL(t.loop, p.n == 2);
	CHECK_EQ(dv_msg_len(p.kept[0]), 1);
	CHECK_EQ(dv_msg_len(p.kept[1]), total);
	assert_memory_equal(dv_msg_data(p.kept[1]), data, total);
	lt_close(&p);
	lt_raw_close(&raw);
	lt_free(&t);
}

TEST(pieces_that_cannot_be_are_violations)
{
	static const char *const why[] = {
		"it is a piece of nothing",
		"it has the wrong length",
		"it has the wrong length",
		"another one is not complete",
		"its message is longer than this node takes",
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(why); i++) {
		struct lt t;
		struct lt_raw raw;
		struct lt_port p = { .port = NULL };
		dv_autofree char *data = calloc(1, DV_MW_FRAGMENT);

		lt_new(&t, NULL);
		lt_raw_invite(&raw, &t, &p);
		lt_raw_join(&raw);
		if (i == 1 || i == 3)
			put_long(&raw, 100000);
		if (i == 2)
			put_long(&raw, 20000);
		if (i < 3)
			lt_raw_message(&raw, raw.port, DV_MW_PIECE, data,
				       i == 2 ? 20001 : 1000);
		if (i == 3)
			put_long(&raw, 100000);
		if (i == 4)
			put_long(&raw, (16 << 20) + 1);
		lt_raw_flush(&raw);
		LT_UNTIL(t.loop, p.n_ended);
		end_text(&p, why[i]);
		CHECK_EQ(t.mesh->n_violations, 1);
		lt_close(&p);
		lt_raw_close(&raw);
		lt_free(&t);
	}
}

/* ---- windows ---- */

TEST(peer_that_sends_more_than_it_was_granted_is_cut)
{
	struct dv_mesh_opts opts = { .size = sizeof(opts),
				     .peer_window = 64 << 10 };
	struct lt t;
	struct lt_raw raw;
	struct lt_port p = { .port = NULL };
	char data[1024] = { 0 };

	lt_new(&t, &opts);
	lt_raw_invite(&raw, &t, &p);
	lt_raw_join(&raw);
	CHECK_EQ(raw.hello.window, 64 << 10);
	dv_port_pause(p.port, true);
	for (int i = 0; i < 100; i++)
		lt_raw_message(&raw, raw.port, DV_MW_MESSAGE, data,
			       sizeof(data));
	lt_raw_flush(&raw);
	LT_UNTIL(t.loop, lt_n_links(&t) == 0);
	dv_port_pause(p.port, false);
	LT_UNTIL(t.loop, p.n_ended);
	end_text(&p, "it sends more than it was granted");
	/* What it was allowed to send is delivered all the same. */
	CHECK_EQ(p.n, ((64 << 10) + 1087) / 1088);
	lt_close(&p);
	lt_raw_close(&raw);
	lt_free(&t);
}

TEST(window_opens_again_when_messages_were_used_up)
{
	struct dv_mesh_opts opts = { .size = sizeof(opts),
				     .peer_window = 64 << 10 };
	struct lt t;
	struct lt_raw raw;
	struct lt_port p = { .port = NULL };
	struct dv_mw_event ev;
	struct dv_err reason;
	char data[1024] = { 0 };

	lt_new(&t, &opts);
	lt_raw_invite(&raw, &t, &p);
	lt_raw_join(&raw);
	for (int i = 0; i < 40; i++)
		lt_raw_message(&raw, raw.port, DV_MW_MESSAGE, data,
			       sizeof(data));
	lt_raw_flush(&raw);
	CHECK(lt_raw_wait(&raw, DV_MW_LINK_CREDIT, &ev, &reason));
	CHECK(ev.granted >= (64 << 10) + (16 << 10));
	CHECK(ev.granted <= (64 << 10) + 40 * 1088);
	lt_close(&p);
	lt_raw_close(&raw);
	lt_free(&t);
}

/* What it makes us answer waits for it, but not for ever. */
TEST(peer_that_makes_us_answer_and_never_reads_is_cut)
{
	struct lt t;
	struct lt_raw raw;
	struct lt_port p = { .port = NULL };
	size_t n = 0;

	lt_new(&t, NULL);
	lt_raw_invite(&raw, &t, &p);
	lt_raw_join(&raw);
	while (!p.n_ended && n < (256 << 20)) {
		for (uint64_t i = 1; i < 1000; i++)
			lt_raw_event(&raw,
				     (struct dv_mw_event){ .kind = DV_MW_ACCEPT,
							   .dst = { 77, i },
							   .id = { 78, i },
							   .node = { 7, 8 } },
				     NULL);
		n += raw.out.len;
		lt_raw_flush(&raw);
		CHECK(dv_loop_dispatch(t.loop, 0) >= 0);
	}
	end_text(&p, "does not read");
	lt_close(&p);
	lt_raw_close(&raw);
	lt_free(&t);
}

/* ---- descriptors ---- */

static void put_fds(struct lt_raw *raw, uint16_t n)
{
	struct dv_mw_att att = { .kind = DV_ATT_FD };
	size_t start = dv_mw_begin(&raw->out, DV_MW_MESSAGE, raw->port);

	for (uint16_t i = 0; i < n; i++)
		dv_mw_att_put(&raw->out, &att, NULL);
	CHECK_EQ(dv_mw_end(&raw->out, start, n, n, 0), 0);
}

TEST(descriptors_that_are_not_what_was_announced_are_violations)
{
	static const char *const why[] = {
		"descriptors came that belong to nothing",
		"descriptors were announced and did not come",
		"other descriptors came than were announced",
		"other descriptors came than were announced",
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(why); i++) {
		struct lt t;
		struct lt_raw raw;
		struct lt_port p = { .port = NULL };
		int fds[3] = { 0, 1, 2 };

		lt_new(&t, NULL);
		lt_raw_invite(&raw, &t, &p);
		lt_raw_join(&raw);
		if (i == 0)
			lt_raw_message(&raw, raw.port, DV_MW_MESSAGE, "x", 1);
		else
			put_fds(&raw, 2);
		lt_raw_flush_fds(&raw, fds, i == 1 ? 0 : i == 2 ? 3 : 1);
		LT_UNTIL(t.loop, p.n_ended);
		end_text(&p, why[i]);
		lt_close(&p);
		lt_raw_close(&raw);
		lt_free(&t);
	}
}

TEST(descriptors_that_were_lost_cost_no_link)
{
	struct lt t;
	struct lt_raw raw;
	struct lt_port p = { .port = NULL, .keeps = true };
	int fds[2] = { 0, 1 };

	lt_new(&t, NULL);
	lt_raw_invite(&raw, &t, &p);
	lt_raw_join(&raw);
	put_fds(&raw, 2);
	dv_mw_mark_lost((uint8_t *)raw.out.data);
	lt_raw_flush(&raw);
	put_fds(&raw, 2);
	lt_raw_flush_fds(&raw, fds, 2);
	LT_UNTIL(t.loop, p.n == 2);
	CHECK_EQ(dv_msg_n_atts(p.kept[0]), 2);
	CHECK_EQ(dv_msg_att(p.kept[0], 0), DV_ATT_LOST);
	CHECK_EQ(dv_msg_take_fd(p.kept[0], 1), -EMFILE);
	CHECK_EQ(dv_msg_att(p.kept[1], 0), DV_ATT_FD);
	CHECK_EQ(dv_msg_att(p.kept[1], 1), DV_ATT_FD);
	lt_close(&p);
	lt_raw_close(&raw);
	lt_free(&t);
}

/* ---- the end ---- */

TEST(goodbye_and_error_are_told_to_the_port)
{
	for (int i = 0; i < 3; i++) {
		struct lt t;
		struct lt_raw raw;
		struct lt_port p = { .port = NULL };
		struct dv_err reason = DV_ERR_INIT;
		struct dv_mw_event ev = { .kind = i == 0 ? DV_MW_GOODBYE
							 : DV_MW_ERROR };

		dv_err_set(&reason, EIO, DV_INTERNAL, "the disk is full");
		ev.has_err = i == 1;
		lt_new(&t, NULL);
		lt_raw_invite(&raw, &t, &p);
		lt_raw_join(&raw);
		lt_raw_message(&raw, raw.port, DV_MW_MESSAGE, "last", 4);
		if (i < 2)
			lt_raw_event(&raw, ev, i == 1 ? &reason : NULL);
		lt_raw_flush(&raw);
		if (i == 2)
			lt_raw_close(&raw);
		LT_UNTIL(t.loop, p.n_ended);
		CHECK_EQ(p.n, 1); /* What came before it is delivered. */
		CHECK(!p.end.closed);
		end_text(&p, i == 0   ? "left the mesh"
			     : i == 1 ? "cut the connection: the disk is full"
				      : "is gone, or closed the connection");
		CHECK_EQ(p.end.culprit.hi, raw.node.hi);
		CHECK_EQ(p.end.pid, getpid());
		lt_close(&p);
		lt_raw_close(&raw);
		lt_free(&t);
	}
}
