/* SPDX-License-Identifier: MIT */
#include "agent/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/flow_try.h"

static char dir[] = "/tmp/davit-file-XXXXXX", path[64];

static void make_dir(void)
{
	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/f", dir);
}

static void remove_dir(void)
{
	unlink(path);
	CHECK_EQ(rmdir(dir), 0);
}

static void put(const char *text, int flags)
{
	dv_autofd int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0600);

	CHECK(fd >= 0);
	CHECK_EQ(dv_write_full(fd, text, strlen(text)), 0);
}

static struct dv_file *start(struct try *t, const struct dv_file_opts *o)
{
	struct dv_file_opts copy = *o;
	struct dv_file *f = NULL;

	try_open(t, NULL);
	copy.started = try_started;
	CHECK_EQ(dv_file_start(&f, t->loop, dv_take_fd(&t->out), &copy,
			       try_done, t, &t->err),
		 0);
	return f;
}

static void finish(struct try *t, struct dv_file *f)
{
	CHECK(dv_file_free(f) == NULL);
	try_close(t, NULL);
}

/* The whole flow of a file that ends, or fails, by itself. */
static void whole(struct try *t, const struct dv_file_opts *o)
{
	struct dv_file *f = start(t, o);

	try_read(t);
	TRY_UNTIL(t, t->eof && t->done);
	dv_file_free(f);
}

static bool got(const struct try *t, const char *text)
{
	return t->got.len == strlen(text) &&
	       (t->got.len == 0 || !memcmp(t->got.data, text, t->got.len));
}

TEST(regular_file_is_copied)
{
	struct dv_file_opts o = { .path = path };
	struct try t;

	make_dir();
	put("hello, file\n", O_CREAT);
	whole(&t, &o);
	CHECK(got(&t, "hello, file\n"));
	CHECK_EQ(t.started, 1);
	CHECK_EQ(t.bytes, 12);
	CHECK_EQ(t.err.code, DV_OK);
	try_close(&t, NULL);
	remove_dir();
}

TEST(empty_file_is_copied)
{
	struct dv_file_opts o = { .path = path };
	struct try t;

	make_dir();
	put("", O_CREAT);
	whole(&t, &o);
	CHECK(got(&t, ""));
	CHECK_EQ(t.started, 1);
	CHECK_EQ(t.err.code, DV_OK);
	try_close(&t, NULL);
	remove_dir();
}

TEST(part_of_a_file_is_copied)
{
	static const struct {
		uint64_t offset, length;
		const char *want;
	} rows[] = {
		{ 2, 3, "234" },         { 0, 1, "0" }, { 7, 0, "789" },
		{ 9, 100, "9" },         { 10, 0, "" }, { 1000, 5, "" },
		{ 0, 10, "0123456789" },
	};

	make_dir();
	put("0123456789", O_CREAT);
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_file_opts o = { .path = path,
					  .offset = rows[i].offset,
					  .length = rows[i].length };
		struct try t;

		whole(&t, &o);
		CHECK(got(&t, rows[i].want));
		CHECK_EQ(t.err.code, DV_OK);
		try_close(&t, NULL);
	}
	remove_dir();
}

TEST(file_of_proc_is_copied_and_cannot_be_followed)
{
	struct dv_file_opts o = { .path = "/proc/self/status", .follow = true };
	struct try t;

	whole(&t, &o);
	/* It is the worker's own. */
	CHECK(strstr(t.got.data, "Name:\tdavit-file\n") != NULL);
	CHECK_EQ(t.err.code, DV_OK);
	try_close(&t, NULL);
}

TEST(what_cannot_be_read_is_refused_before_it_started)
{
	static const struct {
		const char *path, *text;
		uint64_t offset;
	} rows[] = {
		{ "/tmp", "cannot read directory", 0 },
		{ "/no/such/file",
		  "failed to open file: /no/such/file: No such file or "
		  "directory",
		  0 },
		{ "/dev/null", "seek in /dev/null: Illegal seek", 1 },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_file_opts o = { .path = rows[i].path,
					  .offset = rows[i].offset };
		struct try t;

		whole(&t, &o);
		CHECK_STR(t.err.msg, rows[i].text);
		CHECK_EQ(t.started, 0);
		CHECK_EQ(t.got.len, 0);
		try_close(&t, NULL);
	}
}

TEST(followed_file_brings_what_is_appended)
{
	struct dv_file_opts o = { .path = path, .follow = true };
	struct dv_file *f;
	struct try t;

	make_dir();
	put("one", O_CREAT);
	f = start(&t, &o);
	try_read(&t);
	TRY_UNTIL(&t, t.got.len == 3);
	put(" two", O_APPEND);
	TRY_UNTIL(&t, t.got.len == 7);
	CHECK(got(&t, "one two"));
	put(" three", O_APPEND);
	TRY_UNTIL(&t, t.got.len == 13);
	CHECK_EQ(t.done, 0);
	try_hang_up(&t);
	TRY_UNTIL(&t, t.done);
	CHECK_EQ(t.err.code, DV_CANCELLED);
	CHECK(t.bytes <= 13);
	finish(&t, f);
	remove_dir();
}

TEST(followed_file_that_is_truncated_starts_anew)
{
	struct dv_file_opts o = { .path = path, .follow = true };
	struct dv_file *f;
	struct try t;

	make_dir();
	put("a long first text", O_CREAT);
	f = start(&t, &o);
	try_read(&t);
	TRY_UNTIL(&t, t.got.len == 17);
	put("short", O_TRUNC);
	TRY_UNTIL(&t, t.got.len == 22);
	CHECK(got(&t, "a long first textshort"));
	put("er", O_APPEND);
	TRY_UNTIL(&t, t.got.len == 24);
	finish(&t, f);
	remove_dir();
}

TEST(followed_file_that_is_removed_ends_in_order)
{
	struct dv_file_opts o = { .path = path, .follow = true };
	struct dv_file *f;
	struct try t;

	make_dir();
	put("one", O_CREAT);
	f = start(&t, &o);
	try_read(&t);
	TRY_UNTIL(&t, t.got.len == 3);
	CHECK_EQ(unlink(path), 0);
	TRY_UNTIL(&t, t.eof && t.done);
	CHECK_EQ(t.err.code, DV_OK);
	finish(&t, f);
	remove_dir();
}

TEST(followed_file_ends_at_its_length)
{
	struct dv_file_opts o = {
		.path = path, .follow = true, .offset = 2, .length = 5
	};
	struct dv_file *f;
	struct try t;

	make_dir();
	put("012", O_CREAT);
	f = start(&t, &o);
	try_read(&t);
	TRY_UNTIL(&t, t.got.len == 1);
	put("3456789", O_APPEND);
	TRY_UNTIL(&t, t.eof && t.done);
	CHECK(got(&t, "23456"));
	CHECK_EQ(t.err.code, DV_OK);
	finish(&t, f);
	remove_dir();
}

TEST(followed_file_shorter_than_the_offset_is_waited_for)
{
	struct dv_file_opts o = { .path = path, .follow = true, .offset = 4 };
	struct dv_file *f;
	struct try t;

	make_dir();
	put("01", O_CREAT);
	f = start(&t, &o);
	try_read(&t);
	TRY_UNTIL(&t, t.started);
	put("23", O_APPEND);
	put("45", O_APPEND);
	TRY_UNTIL(&t, t.got.len == 2);
	CHECK(got(&t, "45"));
	finish(&t, f);
	remove_dir();
}

TEST(fifo_without_a_writer_stalls_nobody)
{
	struct dv_file_opts o = { .path = path };
	struct dv_file *f;
	struct try t;

	make_dir();
	CHECK_EQ(mkfifo(path, 0600), 0);
	f = start(&t, &o);
	TRY_UNTIL(&t, t.started);
	try_hang_up(&t);
	TRY_UNTIL(&t, t.done);
	CHECK_EQ(t.err.code, DV_CANCELLED);
	finish(&t, f);
	remove_dir();
}

TEST(fifo_ends_with_its_last_writer)
{
	struct dv_file_opts o = { .path = path };
	struct dv_file *f;
	struct try t;

	make_dir();
	CHECK_EQ(mkfifo(path, 0600), 0);
	f = start(&t, &o);
	try_read(&t);
	TRY_UNTIL(&t, t.started);
	put("through", 0);
	TRY_UNTIL(&t, t.eof && t.done);
	CHECK(got(&t, "through"));
	CHECK_EQ(t.err.code, DV_OK);
	finish(&t, f);
	remove_dir();
}

TEST(followed_fifo_goes_on_beyond_its_last_writer)
{
	struct dv_file_opts o = { .path = path, .follow = true };
	struct dv_file *f;
	struct try t;

	make_dir();
	CHECK_EQ(mkfifo(path, 0600), 0);
	f = start(&t, &o);
	try_read(&t);
	TRY_UNTIL(&t, t.started);
	put("one", 0);
	TRY_UNTIL(&t, t.got.len == 3);
	put("two", 0);
	TRY_UNTIL(&t, t.got.len == 6);
	CHECK(got(&t, "onetwo"));
	CHECK_EQ(t.done, 0);
	finish(&t, f);
	remove_dir();
}

TEST(device_is_streamed_without_nuls)
{
	struct dv_file_opts o = { .path = "/dev/urandom", .length = 1000000 };
	struct try t;

	whole(&t, &o);
	CHECK_EQ(t.got.len, 1000000);
	CHECK_EQ(t.err.code, DV_OK);
	try_close(&t, NULL);
	o.path = "/dev/null";
	whole(&t, &o);
	CHECK_EQ(t.got.len, 0);
	CHECK_EQ(t.err.code, DV_OK);
	try_close(&t, NULL);
}

TEST(endless_device_ends_when_the_client_hangs_up)
{
	struct dv_file_opts o = { .path = "/dev/zero" };
	struct dv_file *f;
	struct try t;

	f = start(&t, &o);
	try_read(&t);
	TRY_UNTIL(&t, t.got.len > 1000000);
	try_hang_up(&t);
	TRY_UNTIL(&t, t.done);
	CHECK_EQ(t.err.code, DV_CANCELLED);
	finish(&t, f);
}

TEST(kernel_log_keeps_its_records_and_nuls)
{
	struct dv_file_opts o = { .path = "/dev/kmsg" };
	struct try t;

	dv_autofd int fd = open("/dev/kmsg", O_RDONLY | O_CLOEXEC);

	if (fd < 0) /* which its mode alone does not say */
		SKIP("/dev/kmsg cannot be read here");
	whole(&t, &o);
	CHECK_EQ(t.err.code, DV_OK);
	if (t.got.len > 0)
		CHECK_EQ(t.got.data[t.got.len - 1], '\0');
	try_close(&t, NULL);
}

TEST(slow_client_holds_up_only_itself)
{
	struct dv_file_opts o = { .path = "/dev/zero", .started = try_started };
	struct dv_file *slow, *fast = NULL;
	struct try t, u;

	slow = start(&t, &o);
	TRY_UNTIL(&t, t.started);
	try_open(&u, t.loop);
	o.length = 10 * 1024 * 1024;
	CHECK_EQ(dv_file_start(&fast, u.loop, dv_take_fd(&u.out), &o, try_done,
			       &u, &u.err),
		 0);
	try_read(&u);
	TRY_UNTIL(&u, u.eof && u.done);
	CHECK_EQ(u.got.len, o.length);
	CHECK_EQ(t.done, 0);
	dv_file_free(fast);
	try_close(&u, t.loop);
	finish(&t, slow);
}
