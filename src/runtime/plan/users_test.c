/* SPDX-License-Identifier: MIT */
#include "engine/proc_try.h"

#include "base/def.h"
#include "runtime/plan/users.h"

static struct try_dir top;
static int root;

static void open_root(const char *passwd, const char *group)
{
	try_dir_make(&top);
	CHECK_EQ(mkdir(try_path(&top, "etc"), 0755), 0);
	if (passwd)
		try_file(&top, "etc/passwd", passwd, 0644);
	if (group)
		try_file(&top, "etc/group", group, 0644);
	root = open(top.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(root >= 0);
}

static void close_root(void)
{
	dv_close(root);
	try_dir_remove(&top);
}

static const char passwd[] = "# comment\n"
			     "\n"
			     "root:x:0:0:root:/root:/bin/sh\n"
			     "short\n"
			     "noid:x:::\n"
			     "badid:x:12x:1\n"
			     "minus:x:4294967295:4294967295:::\n"
			     "big:x:4294967296:1\n"
			     "www:x:33:33:www:/var/www:/bin/sh\n"
			     "1000:x:7:8:number as a name:/n:/bin/sh\n"
			     "few:x:50:60\n"
			     "last:x:70:80:no newline:/home/last";
static const char group[] = "root:x:0:\n"
			    "www:x:33:\n"
			    "a:x:100:other,www\n"
			    "b:x:101:www\n"
			    "c:x:102:wwwx,xwww\n"
			    "d:x:103:www,\n"
			    "bad:x:z:www\n"
			    "own:x:33:www\n"
			    "200:x:201:\n";

TEST(user_lookup_finds_names_and_numbers)
{
	static const struct {
		const char *text;
		uid_t uid;
		gid_t gid;
		const char *home;
		size_t n_groups;
	} rows[] = {
		{ "root", 0, 0, "/root", 0 },
		{ "0", 0, 0, "/root", 0 },
		{ "www", 33, 33, "/var/www", 3 },
		{ "33", 33, 33, "/var/www", 3 },
		{ "www:b", 33, 101, "/var/www", 0 },
		{ "www:555", 33, 555, "/var/www", 0 },
		{ "4711", 4711, 0, "", 0 },
		{ "4711:4712", 4711, 4712, "", 0 },
		{ "4711:www", 4711, 33, "", 0 },
		{ "4294967294", 4294967294, 0, "", 0 },
		{ "1000", 7, 8, "/n", 0 }, /* the name goes first */
		{ "few", 50, 60, "", 0 },
		{ "last", 70, 80, "/home/last", 0 },
		{ "root:200", 0, 200, "/root", 0 },
	};

	open_root(passwd, group);
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_err err = DV_ERR_INIT;
		struct dv_user u;

		CHECK_EQ(dv_user_lookup(root, rows[i].text, &u, &err), 0);
		CHECK_EQ(u.uid, rows[i].uid);
		CHECK_EQ(u.gid, rows[i].gid);
		CHECK_STR(u.home, rows[i].home);
		CHECK_EQ(u.n_groups, rows[i].n_groups);
	}
	close_root();
}

TEST(user_lookup_supplementary_groups_are_those_that_name_it)
{
	struct dv_user u;

	open_root(passwd, group);
	CHECK_EQ(dv_user_lookup(root, "www", &u, NULL), 0);
	CHECK_EQ(u.n_groups, 3);
	CHECK_EQ(u.groups[0], 100);
	CHECK_EQ(u.groups[1], 101);
	CHECK_EQ(u.groups[2], 103);
	close_root();
}

TEST(user_lookup_unknown_is_said)
{
	static const char *const bad[] = {
		"nobody",
		"short",
		"noid",
		"badid",
		"minus",
		"big",
		"",
		":",
		":www",
		"www:",
		"www:none",
		"4294967295",
		"-1",
		"+1",
		" 0",
		"0x10",
		"4294967296",
		"www:4294967295",
		"www:www:www",
	};
	char name[400];
	struct dv_user u;

	open_root(passwd, group);
	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		struct dv_err err = DV_ERR_INIT;

		if (dv_user_lookup(root, bad[i], &u, &err) != -ENOENT)
			CHECK_STR(bad[i], "refused");
		CHECK_EQ(err.code, DV_NOT_FOUND);
		CHECK_EQ(err.step, DV_STEP_CONFIG);
	}
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	CHECK_EQ(dv_user_lookup(root, name, &u, NULL), -ENOENT);
	close_root();
}

TEST(user_lookup_without_files_takes_numbers_only)
{
	struct dv_user u;

	open_root(NULL, NULL);
	CHECK_EQ(dv_user_lookup(root, "5:6", &u, NULL), 0);
	CHECK_EQ(u.uid, 5);
	CHECK_EQ(u.gid, 6);
	CHECK_EQ(dv_user_lookup(root, "root", &u, NULL), -ENOENT);
	close_root();
}

/* An image must not make us wait, read the host's files, or eat memory. */
TEST(user_lookup_of_a_hostile_root_fails)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_user u;
	char *big;

	open_root(NULL, NULL);
	CHECK_EQ(mkfifo(try_path(&top, "etc/passwd"), 0644), 0);
	CHECK_EQ(dv_user_lookup(root, "root", &u, &err), -EINVAL);
	CHECK_EQ(unlink(try_path(&top, "etc/passwd")), 0);

	CHECK_EQ(symlink("/../../../../etc/passwd",
			 try_path(&top, "etc/passwd")),
		 0);
	CHECK_EQ(dv_user_lookup(root, "root", &u, NULL), -ELOOP);
	CHECK_EQ(unlink(try_path(&top, "etc/passwd")), 0);
	/* A link that leaves the root ends inside of it. */
	try_file(&top, "etc/real", "inside:x:9:9::/in:\n", 0644);
	CHECK_EQ(symlink("../../../etc/real", try_path(&top, "etc/passwd")), 0);
	CHECK_EQ(dv_user_lookup(root, "inside", &u, NULL), 0);
	CHECK_STR(u.home, "/in");
	CHECK_EQ(unlink(try_path(&top, "etc/passwd")), 0);

	CHECK_EQ(mkdir(try_path(&top, "etc/passwd"), 0755), 0);
	CHECK_EQ(dv_user_lookup(root, "root", &u, NULL), -EINVAL);
	CHECK_EQ(rmdir(try_path(&top, "etc/passwd")), 0);

	big = malloc((4 << 20) + 2);
	memset(big, 'x', (4 << 20) + 1);
	big[(4 << 20) + 1] = '\0';
	try_file(&top, "etc/passwd", big, 0644);
	free(big);
	CHECK_EQ(dv_user_lookup(root, "root", &u, NULL), -EFBIG);
	close_root();
}

TEST(user_lookup_more_groups_than_fit_keeps_the_first)
{
	char text[8192] = "";
	size_t len = 0;
	struct dv_user u;

	for (int i = 0; i < 100; i++)
		len += (size_t)dv_fmt(text + len, sizeof(text) - len,
				      "g%d:x:%d:u\n", i, 500 + i);
	open_root("u:x:1:1::/:\n", text);
	CHECK_EQ(dv_user_lookup(root, "u", &u, NULL), 0);
	CHECK_EQ(u.n_groups, DV_USER_GROUPS_MAX);
	CHECK_EQ(u.groups[63], 563);
	close_root();
}

TEST(user_lookup_home_too_long_is_cut_not_overrun)
{
	char text[1024];
	struct dv_user u;

	memset(text, 'h', sizeof(text));
	memcpy(text, "u:x:1:1::/", 10);
	text[sizeof(text) - 1] = '\0';
	open_root(text, NULL);
	CHECK_EQ(dv_user_lookup(root, "u", &u, NULL), 0);
	CHECK(strlen(u.home) < sizeof(u.home));
	close_root();
}
