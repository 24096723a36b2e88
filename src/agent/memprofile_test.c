/* SPDX-License-Identifier: MIT */
#include "agent/memprofile.h"

#include <errno.h>
#include <json.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

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
