/* SPDX-License-Identifier: MIT */
#include "agent/kmsg.h"

#include <davit/kmsg.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/flow_try.h"
#include "base/random.h"

/* The mode of the file alone does not say it. */
static void need_log(void)
{
	int fd = open("/dev/kmsg", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		SKIP("/dev/kmsg is not for us here");
	dv_close(fd);
}

static struct dv_kmsg_flow *start(struct try *t,
				  const struct dv_kmsg_flow_opts *o)
{
	struct dv_kmsg_flow *k = NULL;

	try_open(t, NULL);
	CHECK_EQ(dv_kmsg_flow_start(&k, t->loop, dv_take_fd(&t->out), o,
				    try_done, t, &t->err),
		 0);
	CHECK_EQ(t->done, 0);
	return k;
}

static void finish(struct try *t, struct dv_kmsg_flow *k)
{
	CHECK(dv_kmsg_flow_free(k) == NULL);
	try_close(t, NULL);
}

/* What came so far: the records, the first and the last sequence number. */
struct summary {
	size_t n, bad;
	uint64_t first, last;
	bool found;
};

static struct summary sum_up(struct try *t, const char *needle)
{
	struct summary s = { 0 };
	struct dv_kmsg_iter *it;

	CHECK_EQ(dv_kmsg_iter_new(&it), 0);
	for (size_t at = 0; at < t->got.len;) {
		size_t n = dv_min(t->got.len - at, (size_t)65536);
		const struct dv_kmsg *rec;

		CHECK_EQ(dv_kmsg_iter_feed(it, t->got.data + at, n), 0);
		at += n;
		while ((rec = dv_kmsg_iter_next(it))) {
			if (s.n++ == 0)
				s.first = rec->seq;
			else
				CHECK(rec->seq > s.last);
			s.last = rec->seq;
			s.found = s.found ||
				  (needle && strstr(rec->text, needle));
		}
	}
	s.bad = dv_kmsg_iter_bad(it);
	dv_kmsg_iter_free(it);
	return s;
}

/* A line that nobody else writes. */
static void log_line(char needle[DV_ID_LEN + 1])
{
	dv_autofd int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	char line[64];
	int n;

	dv_random_id(needle);
	n = snprintf(line, sizeof(line), "<7>davit-test: %s\n", needle);
	CHECK_EQ(dv_write(fd, line, (size_t)n), n);
}

TEST(kernel_log_is_read_to_its_end)
{
	struct dv_kmsg_flow_opts o = { 0 };
	char needle[DV_ID_LEN + 1];
	struct dv_kmsg_flow *k;
	struct summary s;
	struct try t;

	need_log();
	log_line(needle);
	k = start(&t, &o);
	try_read(&t);
	TRY_UNTIL(&t, t.eof && t.done);
	CHECK_EQ(t.err.code, DV_OK);
	CHECK_EQ(t.bytes, t.got.len);
	s = sum_up(&t, needle);
	CHECK(s.n > 0 && s.found);
	CHECK_EQ(s.bad, 0);
	finish(&t, k);
}

TEST(kernel_log_is_followed_until_the_client_hangs_up)
{
	struct dv_kmsg_flow_opts o = { .follow = true };
	char needle[DV_ID_LEN + 1];
	struct dv_kmsg_flow *k;
	struct try t;

	need_log();
	k = start(&t, &o);
	try_read(&t);
	for (int i = 0; i < 3; i++) {
		log_line(needle);
		TRY_UNTIL(&t, sum_up(&t, needle).found);
	}
	CHECK_EQ(t.done, 0);
	try_hang_up(&t);
	TRY_UNTIL(&t, t.done);
	CHECK_EQ(t.err.code, DV_CANCELLED);
	finish(&t, k);
}

TEST(kernel_log_resumes_behind_a_sequence_number)
{
	struct dv_kmsg_flow_opts o = { 0 };
	char needle[DV_ID_LEN + 1];
	struct dv_kmsg_flow *k;
	struct summary all, rest;
	struct try t;

	need_log();
	log_line(needle);
	k = start(&t, &o);
	try_read(&t);
	TRY_UNTIL(&t, t.eof && t.done);
	all = sum_up(&t, needle);
	finish(&t, k);

	log_line(needle);
	o.has_after = true;
	o.after = all.last;
	k = start(&t, &o);
	try_read(&t);
	TRY_UNTIL(&t, t.eof && t.done);
	rest = sum_up(&t, needle);
	CHECK(rest.found);
	CHECK(rest.first > all.last);
	finish(&t, k);
}

TEST(kernel_log_of_another_boot_comes_whole)
{
	struct dv_kmsg_flow_opts o = { .has_after = true, .after = UINT64_MAX };
	char needle[DV_ID_LEN + 1];
	struct dv_kmsg_flow *k;
	struct try t;

	need_log();
	log_line(needle);
	k = start(&t, &o);
	try_read(&t);
	TRY_UNTIL(&t, t.eof && t.done);
	CHECK(sum_up(&t, needle).found);
	finish(&t, k);
}

/* ---- with a FIFO for the device: each write is one record, as it is read */

static char dir[] = "/tmp/davit-kmsg-XXXXXX", path[64];

static int make_fifo(void)
{
	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/f", dir);
	CHECK_EQ(mkfifo(path, 0600), 0);
	/* The first writer, so that the flow does not find an end. */
	return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

static void remove_fifo(void)
{
	unlink(path);
	CHECK_EQ(rmdir(dir), 0);
}

static const char record[] = "6,1,2,-;a record\n";

TEST(slow_client_of_the_log_stops_the_reading_and_loses_nothing)
{
	struct dv_kmsg_flow_opts o = { .path = path, .follow = true };
	dv_autofd int fd = make_fifo();
	static char line[4000];
	struct dv_kmsg_flow *k;
	size_t n = 0;
	struct try t;

	memset(line, 'x', sizeof(line));
	memcpy(line, "6,1,2,-;", 8);
	k = start(&t, &o);
	/* Until socket, queue and FIFO are full: nothing moves any more. */
	do {
		while (dv_write(fd, line, sizeof(line)) > 0)
			n++;
	} while (dv_loop_dispatch(t.loop, 0) > 0);
	CHECK(n * sizeof(line) > 65536);
	CHECK(n * sizeof(line) < 8 * 1024 * 1024);
	try_read(&t);
	/* A read may take several writes here; only the bytes count. */
	for (size_t have = 0; have < n * sizeof(line);) {
		have = 0;
		for (size_t i = 0; i < t.got.len; i++)
			have += t.got.data[i] != '\0';
		if (have < n * sizeof(line))
			try_turn(&t);
	}
	CHECK_EQ(t.done, 0);
	finish(&t, k);
	remove_fifo();
}

TEST(log_that_ends_ends_the_flow)
{
	struct dv_kmsg_flow_opts o = { .path = path, .follow = true };
	dv_autofd int fd = make_fifo();
	struct dv_kmsg_flow *k;
	struct try t;

	CHECK(dv_write(fd, record, strlen(record)) > 0);
	k = start(&t, &o);
	try_read(&t);
	TRY_UNTIL(&t, t.got.len == sizeof(record));
	CHECK(!memcmp(t.got.data, record, sizeof(record)));
	fd = dv_close(fd);
	TRY_UNTIL(&t, t.eof && t.done);
	CHECK_EQ(t.err.code, DV_OK);
	finish(&t, k);
	remove_fifo();
}

TEST(log_that_cannot_be_opened_is_refused)
{
	struct dv_kmsg_flow_opts o = { .path = "/no/such/log" };
	struct dv_kmsg_flow *k;
	struct try t;

	try_open(&t, NULL);
	CHECK_EQ(dv_kmsg_flow_start(&k, t.loop, dv_take_fd(&t.out), &o,
				    try_done, &t, &t.err),
		 -ENOENT);
	CHECK_STR(t.err.msg, "failed to open file: /no/such/log: No such file "
			     "or directory");
	CHECK_EQ(t.done, 0);
	try_close(&t, NULL);
}

TEST(log_freed_while_it_is_followed_calls_nothing)
{
	struct dv_kmsg_flow_opts o = { .path = path, .follow = true };
	dv_autofd int fd = make_fifo();
	struct dv_kmsg_flow *k;
	struct try t;

	k = start(&t, &o);
	CHECK(dv_loop_dispatch(t.loop, 0) > 0);
	finish(&t, k);
	CHECK_EQ(t.done, 0);
	remove_fifo();
}
