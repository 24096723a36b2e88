/* SPDX-License-Identifier: MIT */
#include "agent/memprofile.h"

#include <errno.h>
#include <json.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/flow_try.h"
#include "base/def.h"
#include "base/test.h"

#define BYTES (16 * 1024 * 1024)

static int64_t number(struct json_object *o, const char *a, const char *b)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, a, &v))
		return -1;
	if (b && !json_object_object_get_ex(v, b, &v))
		return -1;
	return json_object_get_int64(v);
}

static struct json_object *profile(pid_t pid)
{
	dv_autobuf out = DV_BUF_INIT(1024 * 1024);
	struct dv_err err = DV_ERR_INIT;
	struct json_object *o;

	CHECK_EQ(dv_memprofile(&out, pid, &err), 0);
	o = json_tokener_parse(out.data);
	CHECK(o != NULL);
	return o;
}

TEST(profile_of_ourselves_counts_what_we_allocated)
{
	struct json_object *before = profile(getpid()), *after, *v;
	char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	memset(p, 1, BYTES);
	after = profile(getpid());
	CHECK_EQ(number(after, "pid", NULL), getpid());
	CHECK(number(after, "total", "rss") - number(before, "total", "rss") >
	      BYTES / 1024 - 4096);
	CHECK(number(after, "total", "size") > BYTES / 1024);
	CHECK(number(after, "heap", "arena") >= 0);
	CHECK_EQ(number(after, "mappings_left_out", NULL), 0);
	CHECK(json_object_object_get_ex(after, "mappings", &v));
	CHECK(json_object_array_length(v) > 3);
	munmap(p, BYTES);
	json_object_put(before);
	json_object_put(after);
}

TEST(profile_of_another_has_no_heap_and_of_nobody_is_refused)
{
	dv_autobuf out = DV_BUF_INIT(1024 * 1024);
	struct dv_err err = DV_ERR_INIT;
	struct json_object *o;
	pid_t child;

	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	CHECK(child > 0);
	o = profile(child);
	CHECK_EQ(number(o, "heap", NULL), -1);
	CHECK(number(o, "total", "rss") > 0);
	json_object_put(o);
	kill(child, SIGKILL);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	CHECK_EQ(dv_memprofile(&out, 0, &err), -ESRCH);
	CHECK_EQ(dv_memprofile(&out, -1, &err), -ESRCH);
	CHECK_EQ(dv_memprofile(&out, 0x7fffffff, &err), -ESRCH);
	CHECK_STR(err.msg, "Process with PID 2147483647 not found");
	CHECK_EQ(err.code, DV_NOT_FOUND);
}

TEST(profile_with_many_names_is_bounded)
{
	dv_autobuf out = DV_BUF_INIT(1024 * 1024);
	struct dv_err err = DV_ERR_INIT;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	enum { MANY = DV_MEMPROFILE_ROWS + 50 };
	static char *maps[MANY];
	struct json_object *o;

	for (int i = 0; i < MANY; i++) {
		char name[32];
		int fd;

		snprintf(name, sizeof(name), "davit-many-%d", i);
		fd = memfd_create(name, MFD_CLOEXEC);
		CHECK(fd >= 0 && ftruncate(fd, (off_t)page) == 0);
		maps[i] = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
		close(fd);
		CHECK(maps[i] != MAP_FAILED);
	}
	CHECK_EQ(dv_memprofile(&out, getpid(), &err), 0);
	o = json_tokener_parse(out.data);
	CHECK(o != NULL);
	CHECK(number(o, "mappings_left_out", NULL) >= 50);
	CHECK(strstr(out.data, "(others)") != NULL);
	json_object_put(o);
	for (int i = 0; i < MANY; i++)
		munmap(maps[i], page);
}

TEST(profile_into_a_full_buffer_is_an_error)
{
	dv_autobuf out = DV_BUF_INIT(10);
	struct dv_err err = DV_ERR_INIT;

	CHECK_EQ(dv_memprofile(&out, getpid(), &err), -EMSGSIZE);
}

/* ---- to a client ------------------------------------------------------ */

static struct json_object *flow_of(pid_t pid)
{
	struct dv_memprofile_flow *m = NULL;
	struct json_object *o;
	struct try t;

	try_open(&t, NULL);
	CHECK_EQ(dv_memprofile_start(&m, t.loop, dv_take_fd(&t.out), pid,
				     try_done, &t, &t.err),
		 0);
	CHECK_EQ(t.done, 0);
	try_read(&t);
	TRY_UNTIL(&t, t.eof && t.done);
	CHECK_EQ(t.err.code, DV_OK);
	CHECK_EQ(t.bytes, t.got.len);
	o = json_tokener_parse(t.got.data);
	CHECK(o != NULL);
	CHECK_EQ(number(o, "pid", NULL), pid);
	CHECK(dv_memprofile_flow_free(m) == NULL);
	try_close(&t, NULL);
	return o;
}

/* A stopped process does nothing for us, and need not. */
TEST(flow_of_another_process_is_read_by_a_worker)
{
	struct json_object *o;
	siginfo_t info;
	pid_t child = fork();

	if (child == 0) {
		raise(SIGSTOP);
		_exit(0);
	}
	CHECK_EQ(waitid(P_PID, (id_t)child, &info, WSTOPPED), 0);
	o = flow_of(child);
	CHECK(number(o, "total", "rss") > 0);
	CHECK_EQ(number(o, "heap", "arena"), -1);
	json_object_put(o);
	kill(child, SIGKILL);
	CHECK_EQ(waitpid(child, NULL, 0), child);
}

/* The worker is a copy of us: what it shares with us is ours all the same. */
TEST(flow_of_ourselves_is_not_changed_by_the_worker)
{
	char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct json_object *o;

	CHECK(p != MAP_FAILED);
	memset(p, 1, BYTES);
	o = flow_of(getpid());
	CHECK(number(o, "total", "private_dirty") >= BYTES / 1024);
	CHECK(number(o, "total", "pss") >= BYTES / 1024);
	CHECK(number(o, "heap", "arena") >= 0);
	json_object_put(o);
	munmap(p, BYTES);
}

TEST(flow_of_nobody_tells_so_at_its_end)
{
	struct dv_memprofile_flow *m = NULL;
	struct try t;

	try_open(&t, NULL);
	CHECK_EQ(dv_memprofile_start(&m, t.loop, dv_take_fd(&t.out), 0x7fffffff,
				     try_done, &t, &t.err),
		 0);
	TRY_UNTIL(&t, t.done);
	CHECK_EQ(t.err.code, DV_NOT_FOUND);
	CHECK_STR(t.err.msg, "Process with PID 2147483647 not found");
	dv_memprofile_flow_free(m);
	try_close(&t, NULL);
}

TEST(flow_that_is_freed_or_hung_up_ends_its_worker)
{
	struct dv_memprofile_flow *m = NULL;
	struct try t;

	try_open(&t, NULL);
	CHECK_EQ(dv_memprofile_start(&m, t.loop, dv_take_fd(&t.out), getppid(),
				     try_done, &t, &t.err),
		 0);
	dv_memprofile_flow_free(m);
	try_close(&t, NULL);
	CHECK_EQ(t.done, 0);
	try_open(&t, NULL);
	CHECK_EQ(dv_memprofile_start(&m, t.loop, dv_take_fd(&t.out), getpid(),
				     try_done, &t, &t.err),
		 0);
	try_hang_up(&t);
	TRY_UNTIL(&t, t.done);
	dv_memprofile_flow_free(m);
	try_close(&t, NULL);
}
