/* SPDX-License-Identifier: MIT */
#include "agent/outflow.h"

#include <string.h>

#include "agent/flow_try.h"

#define QUEUE 65536

static int n_room;

static void on_room(struct dv_outflow *f)
{
	(void)f;
	n_room++;
}

static void begin(struct try *t, struct dv_outflow *f)
{
	struct dv_err err = DV_ERR_INIT;

	n_room = 0;
	try_open(t, NULL);
	CHECK_EQ(dv_outflow_init(f, t->loop, dv_take_fd(&t->out), QUEUE,
				 on_room, try_done, t, &err),
		 0);
}

static void finish(struct try *t, struct dv_outflow *f)
{
	dv_outflow_deinit(f);
	dv_outflow_deinit(f);
	try_close(t, NULL);
}

static void put(struct dv_outflow *f, size_t len)
{
	static const char bytes[QUEUE];

	CHECK_EQ(dv_buf_put(&f->buf, bytes, len), 0);
	dv_outflow_flush(f);
}

TEST(outflow_sends_all_and_ends_in_order)
{
	struct dv_outflow f;
	struct try t;

	begin(&t, &f);
	put(&f, 1000);
	dv_outflow_end(&f, NULL);
	CHECK_EQ(t.done, 0); /* never inside of a call */
	CHECK_EQ(dv_outflow_room(&f), 0);
	try_read(&t);
	TRY_UNTIL(&t, t.eof);
	CHECK_EQ(t.done, 1);
	CHECK_EQ(t.bytes, 1000);
	CHECK_EQ(t.got.len, 1000);
	CHECK_EQ(t.err.code, DV_OK);
	finish(&t, &f);
}

TEST(outflow_to_a_slow_client_is_bounded_and_goes_on)
{
	struct dv_outflow f;
	size_t n = 0, put_in_all;
	struct try t;

	begin(&t, &f);
	for (; dv_outflow_room(&f) >= 1024; n++)
		put(&f, 1024);
	CHECK(f.buf.len <= QUEUE);
	put_in_all = n * 1024;
	CHECK(f.bytes < put_in_all);
	CHECK_EQ(n_room, 0);
	try_read(&t);
	TRY_UNTIL(&t, n_room > 0);
	dv_outflow_end(&f, NULL);
	TRY_UNTIL(&t, t.eof);
	CHECK_EQ(t.got.len, put_in_all);
	CHECK_EQ(t.bytes, put_in_all);
	finish(&t, &f);
}

TEST(outflow_ends_when_the_client_hangs_up)
{
	struct dv_outflow f;
	struct try t;

	begin(&t, &f);
	try_hang_up(&t);
	TRY_UNTIL(&t, t.done);
	CHECK_EQ(t.err.code, DV_CANCELLED);
	CHECK_EQ(t.err.sys, EPIPE);
	finish(&t, &f);
}

TEST(outflow_ends_when_the_client_shuts_down_its_half)
{
	struct dv_outflow f;
	struct try t;

	begin(&t, &f);
	CHECK_EQ(shutdown(t.client, SHUT_WR), 0);
	TRY_UNTIL(&t, t.done);
	CHECK_EQ(t.err.code, DV_CANCELLED);
	finish(&t, &f);
}

TEST(outflow_ends_with_the_error_behind_its_bytes)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_outflow f;
	struct try t;

	begin(&t, &f);
	put(&f, 10);
	dv_err_sys(&err, EIO, "disk");
	dv_outflow_end(&f, &err);
	dv_outflow_end(&f, NULL);
	try_read(&t);
	TRY_UNTIL(&t, t.eof);
	CHECK_EQ(t.got.len, 10);
	CHECK_EQ(t.err.sys, EIO);
	CHECK_EQ(t.done, 1);
	finish(&t, &f);
}

TEST(outflow_freed_before_its_end_calls_nothing)
{
	struct dv_outflow f;
	struct try t;

	begin(&t, &f);
	dv_outflow_end(&f, NULL);
	finish(&t, &f);
	CHECK_EQ(t.done, 0);
}

TEST(outflow_to_what_is_no_stream_socket_is_refused)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_outflow f;
	struct try t;
	int fds[2];

	try_open(&t, NULL);
	CHECK_EQ(dv_pipe(fds), 0);
	CHECK_EQ(dv_outflow_init(&f, t.loop, fds[1], QUEUE, on_room, try_done,
				 &t, &err),
		 -ENOTSOCK);
	dv_close(fds[0]);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
	CHECK_EQ(dv_outflow_init(&f, t.loop, fds[1], QUEUE, on_room, try_done,
				 &t, &err),
		 -EPROTOTYPE);
	dv_close(fds[0]);
	finish(&t, &f);
}
