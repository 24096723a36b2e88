/* SPDX-License-Identifier: MIT */
#include "base/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/keeper/look.h"

TEST(look_at_ourselves_agrees_with_what_we_know)
{
	static char held[8 << 20];
	struct dv_look l;

	/* The kernel counts pages by CPUs and shows no few of them. */
	memset(held, 1, sizeof(held));
	CHECK_EQ(prctl(PR_SET_NAME, "a ) (b", 0, 0, 0), 0);
	CHECK_EQ(dv_look_at(&l, getpid()), 0);
	CHECK_EQ(l.pid, getpid());
	CHECK_EQ(l.inside, getpid());
	CHECK_EQ(l.parent, getppid());
	CHECK_EQ(l.uid, getuid());
	CHECK_EQ(l.threads, 1);
	CHECK_EQ(l.state, 'R');
	CHECK_STR(l.comm, "a ) (b");
	CHECK(l.rss > 0 && l.age_ns > 0);
}

TEST(look_at_who_is_gone_says_so)
{
	struct dv_look l;
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	CHECK_EQ(dv_look_at(&l, pid), -ESRCH);
}

static char *copy(const char *text, size_t len)
{
	char *p = malloc(len + 1);

	CHECK(p != NULL);
	memcpy(p, text, len);
	p[len] = '\0';
	return p;
}

TEST(stat_truncated_at_every_byte_is_refused_or_read)
{
	static const char text[] =
		"12 (na) me) S 1 12 12 0 -1 4194304 105 0 0 0 "
		"25 50 0 0 20 0 3 0 100 4096 7 0\n";
	const char *end = strrchr(text, ')');

	for (size_t n = 0; n < sizeof(text); n++) {
		char *part = copy(text, n);
		struct dv_look l = { 0 };
		int r = dv_look_parse_stat(&l, part);

		if (n < 8)
			CHECK_EQ(r, -ESRCH);
		if (n > (size_t)(end - text) + 4) {
			CHECK_EQ(r, 0);
			CHECK_STR(l.comm, "na) me");
			CHECK_EQ(l.state, 'S');
		}
		if (n == sizeof(text) - 1) {
			CHECK_EQ(l.parent, 1);
			CHECK_EQ(l.threads, 3);
			CHECK_EQ(l.user_us,
				 25 * 1000000 / sysconf(_SC_CLK_TCK));
			CHECK_EQ(l.rss, 7 * sysconf(_SC_PAGESIZE));
		}
		free(part);
	}
}

TEST(mount_is_read_with_its_optional_fields_and_escapes)
{
	char with[] = "36 35 98:0 /mnt1 /a\\040b\\011\\134 rw,noatime "
		      "shared:1 master:2 - ext3 /dev/ro\\040ot rw,errors=x";
	char without[] = "36 35 98:0 / / ro - tmpfs tmpfs rw";
	struct dv_look_mount m;

	dv_look_parse_mount(&m, with);
	CHECK_STR(m.root, "/mnt1");
	CHECK_STR(m.target, "/a b\t\\");
	CHECK_STR(m.options, "rw,noatime");
	CHECK_STR(m.type, "ext3");
	CHECK_STR(m.source, "/dev/ro ot");
	CHECK_STR(m.super, "rw,errors=x");
	dv_look_parse_mount(&m, without);
	CHECK_STR(m.target, "/");
	CHECK_STR(m.type, "tmpfs");
}

TEST(mount_truncated_at_every_byte_has_fields_all_the_same)
{
	static const char text[] =
		"36 35 98:0 /r /t\\0 rw shared:1 - ext3 /dev/r\\04 rw";

	for (size_t n = 0; n < sizeof(text); n++) {
		char *part = copy(text, n);
		struct dv_look_mount m;

		dv_look_parse_mount(&m, part);
		CHECK(m.root && m.target && m.options && m.type && m.source &&
		      m.super);
		CHECK(strlen(m.target) < sizeof(text));
		free(part);
	}
}
