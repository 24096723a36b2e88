/* SPDX-License-Identifier: MIT */
#include "mesh/host_wire.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/def.h"
#include "base/test.h"
#include "mesh/host_priv.h"
#include "mesh/link_try.h"
#include "mesh/node_priv.h"

static struct dv_host_msg sample(void)
{
	struct dv_host_msg m = {
		.kind = DV_HM_LOG,
		.id = 7,
		.flags = 0x80000001,
		.number = -3,
		.time = UINT64_C(0x1122334455667788),
		.count = UINT64_MAX,
		.text = dv_host_str("web", 3),
		.data = dv_host_str("some\0data", 9),
		.extra = dv_host_str("", 0),
	};

	dv_err_set(&m.err, EPERM, DV_DENIED, "no %s", "way");
	dv_err_hint(&m.err, "ask nicely");
	return m;
}

TEST(host_msg_written_and_parsed_is_the_same)
{
	struct dv_host_msg m = sample(), back;
	struct dv_msg *msg = dv_host_msg_new(&m);

	CHECK(msg != NULL);
	CHECK_EQ(dv_host_msg_parse(dv_msg_data(msg), dv_msg_len(msg), &back),
		 0);
	CHECK_EQ(back.kind, DV_HM_LOG);
	CHECK_EQ(back.follows, false);
	CHECK_EQ(back.id, 7);
	CHECK(back.flags == 0x80000001);
	CHECK_EQ(back.number, -3);
	CHECK(back.time == m.time && back.count == m.count);
	CHECK_EQ(back.text.len, 3);
	CHECK_EQ(memcmp(back.data.ptr, "some\0data", 9), 0);
	CHECK_EQ(back.extra.len, 0);
	CHECK_EQ(back.err.sys, EPERM);
	CHECK_EQ(back.err.code, DV_DENIED);
	CHECK_STR(back.err.msg, "no way");
	CHECK_STR(back.err.hint, "ask nicely");
	dv_msg_free(msg);
}

TEST(host_msg_truncated_at_every_byte_is_refused)
{
	struct dv_host_msg m = sample(), back;
	struct dv_msg *msg = dv_host_msg_new(&m);
	uint8_t *copy;

	for (size_t n = 0; n < dv_msg_len(msg); n++) {
		/* Its own memory: a read past the end is seen. */
		copy = malloc(n ? n : 1);
		CHECK(copy != NULL);
		memcpy(copy, dv_msg_data(msg), n);
		CHECK_EQ(dv_host_msg_parse(copy, n, &back), -EBADMSG);
		free(copy);
	}
	dv_msg_free(msg);
}

TEST(host_msg_that_is_odd_is_refused)
{
	/* Where a byte makes it odd, and which. */
	static const struct {
		size_t at;
		uint8_t is;
	} odd[] = {
		{ 0, 0 },           /* no kind */
		{ 0, DV_HM_N },     /* unknown */
		{ 1, 2 },           /* no boolean */
		{ 30 + 3, 0x7f },   /* length of the text */
		{ 33 + 4 + 3, 80 }, /* length of the data */
	};
	struct dv_host_msg m = sample(), back;

	for (size_t i = 0; i < DV_ARRAY_LEN(odd); i++) {
		struct dv_msg *msg = dv_host_msg_new(&m);
		uint8_t *data = dv_msg_data(msg);

		data[odd[i].at] = odd[i].is;
		CHECK_EQ(dv_host_msg_parse(data, dv_msg_len(msg), &back),
			 -EBADMSG);
		dv_msg_free(msg);
	}
}

static struct dv_host_exit some_exit(void)
{
	struct dv_host_exit end = {
		.pid = 4711,
		.generation = 3,
		.node = { 5, UINT64_MAX },
		.up = true,
		.core = true,
		.status = -1,
		.signo = SIGSEGV,
		.by = DV_HOST_BY_STOP,
		.started_ns = 1,
		.ended_ns = UINT64_MAX,
		.line = "last words",
	};

	end.usage.ru_utime.tv_usec = 12345;
	end.usage.ru_nivcsw = 99;
	dv_err_set(&end.err, ECHILD, DV_ABORTED, "host web: killed");
	return end;
}

TEST(host_exit_written_and_parsed_is_the_same)
{
	struct dv_host_exit end = some_exit(), back;
	struct dv_msg *msg = dv_host_exit_new(&end);

	CHECK_EQ(dv_host_exit_parse(msg, &back), 0);
	CHECK_EQ(back.pid, 4711);
	CHECK_EQ(back.generation, 3);
	CHECK(back.node.hi == 5 && back.node.lo == UINT64_MAX);
	CHECK(back.up && back.core);
	CHECK_EQ(back.status, -1);
	CHECK_EQ(back.signo, SIGSEGV);
	CHECK_EQ(back.by, DV_HOST_BY_STOP);
	CHECK(back.started_ns == 1 && back.ended_ns == UINT64_MAX);
	CHECK_EQ(memcmp(&back.usage, &end.usage, sizeof(end.usage)), 0);
	CHECK_STR(back.line, "last words");
	CHECK_STR(back.err.msg, "host web: killed");
	dv_msg_free(msg);
}

TEST(host_exit_that_is_odd_is_refused)
{
	struct dv_host_exit end = some_exit(), back;
	struct dv_host_msg m;
	struct dv_msg *good = dv_host_exit_new(&end), *msg;

	for (int i = 0; i < 6; i++) {
		CHECK_EQ(dv_host_msg_parse(dv_msg_data(good), dv_msg_len(good),
					   &m),
			 0);
		if (i == 0)
			m.kind = DV_HM_LOG;
		else if (i == 1)
			m.data.len--;
		else if (i == 2)
			m.extra.len = 0;
		else if (i == 3)
			m.text = dv_host_str("a\0b", 3);
		else if (i == 4)
			m.flags |= 0x1000000;
		else
			m.flags |= DV_HOST_BY_N << 8 | 0xf << 8;
		msg = dv_host_msg_new(&m);
		CHECK_EQ(dv_host_exit_parse(msg, &back), -EBADMSG);
		dv_msg_free(msg);
	}
	for (size_t n = dv_msg_len(good); n-- > 0;) {
		dv_msg_trim(good, n);
		CHECK_EQ(dv_host_exit_parse(good, &back), -EBADMSG);
	}
	dv_msg_free(good);
}

TEST(host_msg_longer_than_its_limits_is_not_made)
{
	struct dv_host_msg m = sample();

	m.text.len = DV_HM_TEXT_MAX + 1;
	CHECK(dv_host_msg_new(&m) == NULL);
	m = sample();
	m.data.len = (size_t)DV_HM_DATA_MAX + 1;
	CHECK(dv_host_msg_new(&m) == NULL);
	m = sample();
	m.extra.len = DV_HM_EXTRA_MAX + 1;
	CHECK(dv_host_msg_new(&m) == NULL);
}

/* As the other side would get it. */
static struct dv_msg *framed(const char *content, bool follows)
{
	struct dv_host_msg m = sample();
	size_t len = strlen(content), tail_len;
	struct dv_msg *tail, *msg;
	uint8_t *p;

	m.follows = follows;
	tail = dv_host_msg_new(&m);
	tail_len = dv_msg_len(tail);
	msg = dv_msg_new(len + tail_len + 4);
	p = dv_msg_data(msg);
	memcpy(p, content, len);
	memcpy(p + len, dv_msg_data(tail), tail_len);
	dv_put_le32(p + len + tail_len, (uint32_t)tail_len);
	dv_msg_free(tail);
	return msg;
}

TEST(host_frame_opened_is_the_content)
{
	struct dv_msg *msg = framed("hello", true);
	struct dv_host_msg m;

	CHECK_EQ(dv_host_frame_open(msg, &m), 0);
	CHECK_EQ(m.id, 7);
	CHECK_EQ(dv_msg_len(msg), 5);
	CHECK_EQ(memcmp(dv_msg_data(msg), "hello", 5), 0);
	dv_msg_free(msg);
}

/* That of its content is freed; the port may end before it is taken out. */
TEST(host_frame_with_a_port_is_the_message_that_the_port_knows)
{
	struct dv_host_msg m = sample();
	struct dv_msg *content = dv_msg_new(1);
	uintptr_t freed = (uintptr_t)content;
	struct dv_port *way[2], *sent[2];
	struct lt t;

	lt_new(&t, NULL);
	CHECK_EQ(dv_port_pair(t.mesh, way), 0);
	CHECK_EQ(dv_port_pair(t.mesh, sent), 0);
	CHECK_EQ(dv_msg_add_port(content, sent[1]), 0);
	CHECK_EQ(dv_host_frame_send(way[0], &m, content, NULL), 0);
	CHECK(sent[1]->msg);
	CHECK((uintptr_t)sent[1]->msg != freed);
	lt_free(&t);
}

TEST(host_frame_with_content_that_it_denies_is_refused)
{
	struct dv_msg *msg = framed("hello", false);
	struct dv_host_msg m;

	CHECK_EQ(dv_host_frame_open(msg, &m), -EBADMSG);
	dv_msg_free(msg);
}

TEST(host_frame_shortened_by_every_byte_is_refused)
{
	struct dv_host_msg m;

	for (size_t n = 0;; n++) {
		struct dv_msg *msg = framed("hello", true);
		size_t len = dv_msg_len(msg);

		if (n < len) {
			dv_msg_trim(msg, n);
			CHECK_EQ(dv_host_frame_open(msg, &m), -EBADMSG);
		}
		dv_msg_free(msg);
		if (n == len)
			break;
	}
}
