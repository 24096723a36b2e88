/* SPDX-License-Identifier: MIT */
#include "runtime/log/log_try.h"

static struct dv_sandbox_log *follow(struct dv_sandbox *sb)
{
	struct dv_sandbox_log_opts o = DV_SANDBOX_LOG_INIT;
	struct dv_sandbox_log *log;
	struct dv_err err = DV_ERR_INIT;

	o.follow = true;
	if (dv_sandbox_log_open(sb, &log, &o, &err) < 0)
		fail_msg("%s", err.msg);
	return log;
}

/* All that is there now. How it went on: DV_MORE, DV_EOF or -errno. */
static int take(struct dv_sandbox_log *log, char *text, size_t size)
{
	struct dv_sandbox_piece p;
	size_t len = 0;
	int r;

	while ((r = dv_sandbox_log_next(log, &p, NULL)) == 0) {
		if (p.lost)
			len += (size_t)dv_fmt(text + len, size - len, "(%llu)",
					      (unsigned long long)p.lost);
		CHECK(len + p.len < size);
		memcpy(text + len, p.data, p.len);
		len += p.len;
	}
	text[len] = '\0';
	return r;
}

/* Wait for the descriptor; the deadline is one of the test. */
static void await(struct dv_sandbox_log *log)
{
	struct pollfd p = { .fd = dv_sandbox_log_fd(log), .events = POLLIN };

	CHECK_EQ(poll(&p, 1, TRY_MS), 1);
}

/* Take until @want is complete. */
static void want_text(struct dv_sandbox_log *log, const char *want)
{
	char text[256] = "";
	size_t len = 0;

	for (;;) {
		CHECK_EQ(take(log, text + len, sizeof(text) - len), DV_MORE);
		len = strlen(text);
		if (len >= strlen(want))
			break;
		await(log);
	}
	CHECK_STR(text, want);
}

static void want_end(struct dv_sandbox_log *log, const char *want)
{
	char text[256] = "";
	size_t len = 0;
	int r;

	while ((r = take(log, text + len, sizeof(text) - len)) == DV_MORE) {
		len = strlen(text);
		await(log);
	}
	CHECK_EQ(r, DV_EOF);
	CHECK_STR(text, want);
}

TEST(follower_is_woken_by_output_and_ends_with_the_sandbox)
{
	struct try_keeper k;
	struct dv_sandbox *sb;
	struct dv_sandbox_log *log;
	struct pollfd p;

	try_open_dirs();
	CHECK_EQ(try_keep(&k, "web", UINT64_MAX), 0);
	sb = try_sandbox("web");
	log = follow(sb);
	want_text(log, "");
	p = (struct pollfd){ .fd = dv_sandbox_log_fd(log), .events = POLLIN };
	CHECK_EQ(poll(&p, 1, 0), 0);
	try_says(&k, 1, "hello ");
	await(log);
	want_text(log, "hello ");
	try_says(&k, 2, "there ");
	await(log);
	want_text(log, "there ");
	/* A run that ends is not the end. */
	dv_outlog_end(&k.log);
	want_text(log, "");
	try_says(&k, 1, "again");
	try_end(&k, 3);
	want_end(log, "again");
	dv_sandbox_log_free(log);
	/* And now it is read as it is. */
	log = follow(sb);
	want_end(log, "hello there again");
	dv_sandbox_log_free(log);
	dv_sandbox_free(sb);
	try_close_dirs();
}

static void says_hello(struct try_keeper *k)
{
	try_says(k, 1, "hello");
	/* It is killed before it could index these. */
	CHECK_EQ(pwrite(k->log.fd, "lost", 4, 5), 4);
}

TEST(follower_ends_when_the_keeper_is_killed)
{
	struct dv_sandbox *sb;
	struct dv_sandbox_log *log;
	pid_t pid;

	try_open_dirs();
	pid = try_keeper_child("web", UINT64_MAX, says_hello);
	sb = try_sandbox("web");
	log = follow(sb);
	want_text(log, "hello");
	try_kill(pid);
	want_end(log, "(4)");
	dv_sandbox_log_free(log);
	log = follow(sb);
	want_end(log, "hello(4)");
	dv_sandbox_log_free(log);
	dv_sandbox_free(sb);
	try_close_dirs();
}

static void stays_in_creation(struct try_keeper *k)
{
	try_says(k, 1, "hello");
	/* As it is before the first document is written. */
	CHECK_EQ(unlinkat(k->dirs.home.dirfd, "state.json", 0), 0);
}

TEST(follower_ends_when_a_keeper_without_document_is_killed)
{
	struct dv_sandbox *sb;
	struct dv_sandbox_log *log;
	pid_t pid;

	try_open_dirs();
	pid = try_keeper_child("web", UINT64_MAX, stays_in_creation);
	sb = try_sandbox("web");
	log = follow(sb);
	want_text(log, "hello");
	try_kill(pid);
	want_end(log, "");
	dv_sandbox_log_free(log);
	dv_sandbox_free(sb);
	try_close_dirs();
}

TEST(follower_ends_at_the_time_that_was_given)
{
	struct dv_sandbox_log_opts o = DV_SANDBOX_LOG_INIT;
	struct try_keeper k;
	struct dv_sandbox *sb;
	struct dv_sandbox_log *log;
	struct timespec ts;

	try_open_dirs();
	CHECK_EQ(try_keep(&k, "web", UINT64_MAX), 0);
	try_says(&k, 1, "hello");
	sb = try_sandbox("web");
	clock_gettime(CLOCK_REALTIME, &ts);
	o.until_unix_ns = (uint64_t)ts.tv_sec * 1000000000 +
			  (uint64_t)ts.tv_nsec + 50000000;
	o.follow = true;
	CHECK_EQ(dv_sandbox_log_open(sb, &log, &o, NULL), 0);
	want_end(log, "hello");
	dv_sandbox_log_free(log);
	dv_sandbox_free(sb);
	try_end(&k, 0);
	try_close_dirs();
}

TEST(sandbox_without_a_log_says_so)
{
	struct try_keeper k;
	struct dv_sandbox_log *log;
	struct dv_sandbox *sb;
	struct dv_err err = DV_ERR_INIT;

	try_open_dirs();
	CHECK_EQ(try_keep(&k, "web", 0), 0);
	sb = try_sandbox("web");
	CHECK_EQ(dv_sandbox_log_open(sb, &log, NULL, &err), -ENOENT);
	CHECK_EQ(err.code, DV_NOT_FOUND);
	CHECK(strstr(err.msg, "has no log") != NULL);
	CHECK(log == NULL);
	try_end(&k, 0);
	dv_sandbox_free(sb);
	try_close_dirs();
}

TEST(log_elsewhere_is_found_by_the_document)
{
	struct dv_sandbox_log_opts o = DV_SANDBOX_LOG_INIT;
	struct dv_sandbox_log *log;
	struct dv_outlog *own;
	struct dv_sandbox *sb;
	struct try_keeper k;
	char path[128], text[64];

	try_open_dirs();
	CHECK_EQ(try_keep(&k, "web", 0), 0);
	dv_fmt(path, sizeof(path), "%s", try_path(&try_top, "out"));
	k.info.log = path;
	CHECK_EQ(dv_store_write_state(&k.dirs, &k.info, false, NULL), 0);
	CHECK_EQ(dv_outlog_new(&own, path, UINT64_MAX, NULL), 0);
	dv_outlog_put(own, 1, "elsewhere", 9);
	sb = try_sandbox("web");
	CHECK_EQ(dv_sandbox_log_open(sb, &log, &o, NULL), 0);
	CHECK_EQ(take(log, text, sizeof(text)), DV_EOF);
	CHECK_STR(text, "elsewhere");
	CHECK_EQ(dv_sandbox_log_fd(log), -1);
	dv_sandbox_log_free(log);
	dv_outlog_free(own);
	try_end(&k, 0);
	dv_sandbox_free(sb);
	try_close_dirs();
}

/* The first version of the options. What a caller has in their padding is no
 * member of ours. */
TEST(options_of_an_older_caller_say_nothing_of_the_run)
{
	struct {
		size_t size;
		uint32_t streams;
		uint64_t offset;
		int64_t tail;
		uint64_t since_unix_ns, until_unix_ns;
		bool follow;
	} old;
	struct dv_sandbox_log *log;
	struct try_keeper k;
	struct dv_sandbox *sb;
	char text[64];

	try_open_dirs();
	CHECK_EQ(try_keep(&k, "web", UINT64_MAX), 0);
	try_says(&k, 1, "first ");
	dv_outlog_end(&k.log);
	try_says(&k, 1, "second");
	try_end(&k, 0);
	sb = try_sandbox("web");
	memset(&old, 0xff, sizeof(old));
	old.size = sizeof(old);
	old.streams = 0;
	old.offset = old.since_unix_ns = old.until_unix_ns = 0;
	old.tail = -1;
	old.follow = false;
	CHECK_EQ(dv_sandbox_log_open(sb, &log, (void *)&old, NULL), 0);
	CHECK_EQ(take(log, text, sizeof(text)), DV_EOF);
	CHECK_STR(text, "first second");
	dv_sandbox_log_free(log);
	dv_sandbox_free(sb);
	try_close_dirs();
}
