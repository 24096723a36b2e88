/* SPDX-License-Identifier: MIT */
#include "mesh/chan_pb.h"

#include <fcntl.h>

#include "mesh/chan_try.h"

/* As the compiler of schemas would write it:
 *	message Parts { repeated Ref files = 1; Ref way = 2; oneof one {
 *	Ref u = 3; Ref v = 4; } repeated Parts more = 5; } */
struct parts {
	pb_size_t files_count;
	dv_mesh_Ref *files;
	bool has_way;
	dv_mesh_Ref way;
	pb_size_t which_one;
	union {
		dv_mesh_Ref u, v;
	} one;
	pb_size_t more_count;
	struct parts *more;
};
typedef struct parts parts;

#define parts_FIELDLIST(X, a)                            \
	X(a, POINTER, REPEATED, MESSAGE, files, 1)       \
	X(a, STATIC, OPTIONAL, MESSAGE, way, 2)          \
	X(a, STATIC, ONEOF, MESSAGE, (one, u, one.u), 3) \
	X(a, STATIC, ONEOF, MESSAGE, (one, v, one.v), 4) \
	X(a, POINTER, REPEATED, MESSAGE, more, 5)
#define parts_CALLBACK      NULL
#define parts_DEFAULT       NULL
#define parts_files_MSGTYPE dv_mesh_Ref
#define parts_way_MSGTYPE   dv_mesh_Ref
#define parts_one_u_MSGTYPE dv_mesh_Ref
#define parts_one_v_MSGTYPE dv_mesh_Ref
#define parts_more_MSGTYPE  parts
extern const pb_msgdesc_t parts_msg;
PB_BIND(parts, parts, AUTO)
#define parts_fields &parts_msg

struct got {
	struct chan_try *t;
	int n;
	struct dv_err err;
	int r;
};

static struct dv_pb_att fd_att(void)
{
	return (struct dv_pb_att){ NULL,
				   open("/dev/null", O_RDONLY | O_CLOEXEC) };
}

static void on_message(struct dv_chan_receiver *rx, struct dv_msg *msg)
{
	struct got *got = dv_chan_user(rx);
	struct parts p = { .files_count = 0 };
	int fd;

	got->n++;
	got->err = (struct dv_err)DV_ERR_INIT;
	got->r = dv_pb_open(msg, parts_fields, &p, &got->err);
	if (got->r < 0)
		return;
	CHECK_EQ(p.files_count, 2);
	fd = dv_ref_fd(msg, &p.files[1], "files", &got->err);
	CHECK(fd >= 0);
	CHECK_EQ(dv_ref_fd(msg, &p.files[1], "files", &got->err), -ENOENT);
	dv_close(fd);
	CHECK(!dv_ref_port(msg, &p.files[0], "files", &got->err));
	CHECK_EQ(got->err.code, DV_INVALID);
	CHECK_STR(got->err.msg, "files: attachment 0 is no port");
	CHECK_EQ(dv_ref_fd(msg, NULL, "log", &got->err), -EBADMSG);
	CHECK_STR(got->err.msg, "log: missing");
	CHECK(p.has_way);
	CHECK_EQ(dv_ref_fd(msg, &p.way, "way", &got->err), -EBADMSG);
	dv_port_close(dv_ref_port(msg, &p.way, "way", NULL), NULL);
	dv_pb_release(parts_fields, &p);
	/* The first file is closed with the message. */
}

static const struct dv_chan_ops ops = { .message = on_message };

struct pbs {
	struct chan_try t;
	struct got got;
	struct dv_chan_sender *tx;
	struct dv_chan_receiver *rx;
};

static void pbs_up(struct pbs *b)
{
	memset(b, 0, sizeof(*b));
	chan_up(&b->t);
	CHECK_EQ(dv_chan_new(b->t.mesh, &b->tx, &b->rx, NULL), 0);
	dv_chan_start(b->rx, &ops, &b->got);
}

static void pbs_down(struct pbs *b)
{
	dv_chan_sender_close(b->tx, NULL);
	dv_chan_receiver_close(b->rx, NULL);
	chan_down(&b->t);
}

TEST(pb_refs_name_attachments)
{
	dv_mesh_Ref files[2] = { { 0 }, { 2 } };
	struct parts p = {
		.files_count = 2, .files = files, .has_way = true, .way = { 1 }
	};
	struct dv_pb_att atts[3];
	struct dv_port *pair[2];
	struct pbs b;

	pbs_up(&b);
	CHECK_EQ(dv_port_pair(b.t.mesh, pair), 0);
	atts[0] = fd_att();
	atts[1] = (struct dv_pb_att){ pair[0], -1 };
	atts[2] = fd_att();
	CHECK(dv_chan_send_pb(b.tx, parts_fields, &p, atts, 3, NULL) >= 0);
	chan_until(&b.t, b.got.n);
	CHECK_EQ(b.got.r, 0);
	chan_quiet(&b.t);
	CHECK_EQ(dv_port_send_bytes(pair[1], "x", 1, NULL), -EPIPE);
	dv_port_close(pair[1], NULL);
	pbs_down(&b);
}

/* Each names what it must not, somewhere. */
TEST(pb_refs_that_lie_are_refused)
{
	dv_mesh_Ref ok[1] = { { 0 } }, twice[2] = { { 1 }, { 1 } };
	struct parts deep = { .has_way = true, .way = { 7 } };
	struct parts again = { .has_way = true, .way = { 0 } };
	const struct parts bad[] = {
		{ .has_way = true, .way = { 2 } },
		{ .has_way = true, .way = { UINT32_MAX } },
		{ .files_count = 2, .files = twice },
		{ .files_count = 1,
		  .files = ok,
		  .which_one = 4,
		  .one = { .v = { 0 } } },
		{ .which_one = 3, .one = { .u = { 250 } } },
		{ .more_count = 1, .more = &deep },
		{ .files_count = 1,
		  .files = ok,
		  .more_count = 1,
		  .more = &again },
	};
	struct pbs b;

	pbs_up(&b);
	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		struct dv_pb_att atts[2] = { fd_att(), fd_att() };

		CHECK(dv_chan_send_pb(b.tx, parts_fields, &bad[i], atts, 2,
				      NULL) >= 0);
		chan_until(&b.t, b.got.n == (int)i + 1);
		CHECK_EQ(b.got.r, -EBADMSG);
		CHECK_EQ(b.got.err.code, DV_INVALID);
	}
	pbs_down(&b);
}

/* One field of a oneof replaces the other; what that named is closed. */
TEST(pb_field_that_was_replaced_loses_its_attachment)
{
	static const uint8_t both[] = { 0x1a, 0x02, 0x08, 0x01,
					0x22, 0x02, 0x08, 0x00 };
	struct parts p = { .files_count = 0 };
	struct dv_err err = DV_ERR_INIT;
	struct dv_msg *msg = dv_msg_new(sizeof(both));
	struct dv_port *pair[2];
	struct chan_try t;
	int fd;

	chan_up(&t);
	CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	memcpy(dv_msg_data(msg), both, sizeof(both));
	CHECK_EQ(dv_msg_add_fd(msg, fd_att().fd), 0);
	CHECK_EQ(dv_msg_add_port(msg, pair[1]), 1);
	CHECK_EQ(dv_pb_open(msg, parts_fields, &p, &err), 0);
	CHECK_EQ(p.which_one, 4);
	fd = dv_ref_fd(msg, &p.one.v, "v", &err);
	CHECK(fd >= 0);
	dv_close(fd);
	dv_pb_release(parts_fields, &p);
	dv_msg_free(msg);
	chan_quiet(&t);
	CHECK_EQ(dv_port_send_bytes(pair[0], "x", 1, NULL), -EPIPE);
	dv_port_close(pair[0], NULL);
	chan_down(&t);
}

/* So deep in itself; each length has three bytes. */
static size_t nest(uint8_t *to, size_t n)
{
	size_t len = 4 * n;

	for (size_t i = 0; i < n; i++) {
		size_t left = len - 4 * (i + 1);

		*to++ = 0x2a;
		*to++ = (uint8_t)(left | 0x80);
		*to++ = (uint8_t)(left >> 7 | 0x80);
		*to++ = (uint8_t)(left >> 14);
	}
	return len;
}

/* What a peer can say to make us use time or memory, each with a port that has
 * to be closed. */
TEST(pb_giants_are_refused_and_their_ports_closed)
{
	/* A length of 2^31, and of 2^63; a number of 11 bytes. */
	static const char huge[] = "\x0a\x80\x80\x80\x80\x08";
	static const char more[] = "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f";
	static const char over[] = "\x12\x0c\x08\x80\x80\x80\x80\x80"
				   "\x80\x80\x80\x80\x80\x01";
	uint8_t deep[4 * 20000];
	const struct {
		const void *data;
		size_t len;
	} rows[] = {
		{ huge, sizeof(huge) - 1 },
		{ more, sizeof(more) - 1 },
		{ over, sizeof(over) - 1 },
		{ deep, nest(deep, 20000) },
	};
	struct pbs b;

	pbs_up(&b);
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_msg *msg = dv_msg_new(rows[i].len);
		struct dv_port *pair[2];

		memcpy(dv_msg_data(msg), rows[i].data, rows[i].len);
		CHECK_EQ(dv_port_pair(b.t.mesh, pair), 0);
		CHECK_EQ(dv_msg_add_port(msg, pair[1]), 0);
		CHECK(dv_chan_send(b.tx, msg, NULL) >= 0);
		chan_until(&b.t, b.got.n == (int)i + 1);
		CHECK_EQ(b.got.r, -EBADMSG);
		CHECK_EQ(b.got.err.code, DV_INVALID);
		chan_quiet(&b.t);
		CHECK_EQ(dv_port_send_bytes(pair[0], "x", 1, NULL), -EPIPE);
		dv_port_close(pair[0], NULL);
	}
	pbs_down(&b);
}

static void on_asked(struct dv_chan_receiver *rx DV_UNUSED,
		     struct dv_asked *asked)
{
	struct parts p = { .has_way = true, .way = { 0 } };
	struct dv_pb_att att = fd_att();

	CHECK_EQ(dv_asked_answer_pb(asked, parts_fields, &p, &att, 1, NULL), 0);
}

static void on_answer(struct dv_ask *ask DV_UNUSED, const struct dv_answer *a,
		      void *user)
{
	struct got *got = user;
	struct parts p = { .files_count = 0 };
	int fd;

	CHECK_EQ(a->r, 0);
	CHECK_EQ(dv_pb_open(a->msg, parts_fields, &p, &got->err), 0);
	fd = dv_ref_fd(a->msg, &p.way, "way", &got->err);
	CHECK(fd >= 0);
	dv_close(fd);
	dv_pb_release(parts_fields, &p);
	got->n++;
}

TEST(pb_questions_and_answers)
{
	static const struct dv_chan_ops asked_ops = { .asked = on_asked };
	struct parts p = { .files_count = 0 };
	struct pbs b;

	pbs_up(&b);
	dv_chan_start(b.rx, &asked_ops, NULL);
	CHECK(dv_ask_pb(b.tx, parts_fields, &p, NULL, on_answer, &b.got, NULL,
			NULL) >= 0);
	chan_until(&b.t, b.got.n);
	pbs_down(&b);
}
