/* SPDX-License-Identifier: MIT */
#include "engine/proc_try.h"

#include "base/def.h"
#include "engine/mount_target.h"

struct root {
	struct try_dir dir;
	int fd;
};

static void root_make(struct root *r)
{
	try_dir_make(&r->dir);
	r->fd = open(r->dir.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(r->fd >= 0);
}

static void root_remove(struct root *r)
{
	dv_close(r->fd);
	try_dir_remove(&r->dir);
}

static bool is_dir(const struct root *r, const char *path)
{
	struct stat st;

	return stat(try_path(&r->dir, path), &st) == 0 && S_ISDIR(st.st_mode);
}

TEST(target_missing_is_made_with_its_parents)
{
	static const struct {
		const char *path, *made;
		bool dir;
	} rows[] = {
		{ "/a", "a", true },
		{ "/b/c/d", "b/c/d", true },
		{ "/b/c/e/f", "b/c/e/f", true },
		{ "/f1", "f1", false },
		{ "/b/f2", "b/f2", false },
		{ "/new/deep/f3", "new/deep/f3", false },
		{ "/a", "a", true }, /* again: it is there */
		{ "/f1", "f1", false },
	};
	struct dv_err err = DV_ERR_INIT;
	struct stat made, st;
	struct root r;

	root_make(&r);
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		int fd = dv_target_open(r.fd, NULL, rows[i].path, rows[i].dir,
					&err);

		CHECK(fd >= 0);
		CHECK_EQ(fstat(fd, &st), 0);
		CHECK_EQ(stat(try_path(&r.dir, rows[i].made), &made), 0);
		CHECK_EQ(st.st_ino, made.st_ino);
		CHECK_EQ(S_ISDIR(st.st_mode), rows[i].dir);
		dv_close(fd);
	}
	root_remove(&r);
}

TEST(target_of_the_other_kind_is_refused)
{
	struct dv_err err = DV_ERR_INIT;
	struct root r;

	root_make(&r);
	try_file(&r.dir, "file", "", 0644);
	CHECK_EQ(mkdir(try_path(&r.dir, "dir"), 0755), 0);
	CHECK_EQ(dv_target_open(r.fd, NULL, "/file", true, &err), -ENOTDIR);
	CHECK(strstr(err.msg, "/file"));
	CHECK_EQ(dv_target_open(r.fd, NULL, "/file/x", true, NULL), -ENOTDIR);
	CHECK_EQ(dv_target_open(r.fd, NULL, "/file/x/y", false, NULL),
		 -ENOTDIR);
	CHECK_EQ(dv_target_open(r.fd, NULL, "/dir", false, &err), -EISDIR);
	root_remove(&r);
}

/* Everything an image may contain to get a mount or a file out of its root. */
TEST(target_never_leaves_the_root)
{
	static const struct {
		const char *link, *text, *target,
			*made; /* made: NULL = refused */
	} rows[] = {
		{ "abs", "/outside", "/abs/x", NULL }, /* dangling inside */
		{ "up", "../../../outside", "/up/x", NULL },
		{ "self", "/", "/self/s", "s" },
		{ "in", "/real", "/in/x", "real/x" },
		{ "rel", "real/../real", "/rel/y", "real/y" },
		{ "loop", "loop", "/loop/x", NULL },
		{ "dangling", "/nowhere", "/dangling", NULL },
		{ "proc", "/proc/self/root", "/proc/x", NULL },
		{ "last", "/etc/hostname", "/last", NULL },
	};
	struct root r;

	root_make(&r);
	CHECK_EQ(mkdir(try_path(&r.dir, "real"), 0755), 0);
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		CHECK_EQ(symlink(rows[i].text, try_path(&r.dir, rows[i].link)),
			 0);
		int fd = dv_target_open(r.fd, NULL, rows[i].target, true, NULL);

		if (rows[i].made)
			CHECK(is_dir(&r, rows[i].made));
		CHECK_EQ(fd >= 0, rows[i].made != NULL);
		if (fd >= 0)
			dv_close(fd);
		CHECK_EQ(access("/outside", F_OK), -1);
	}
	int fd = dv_target_open(r.fd, NULL, "/../../up2", true, NULL);

	CHECK(fd >= 0);
	dv_close(fd);
	CHECK(is_dir(&r, "up2"));
	root_remove(&r);
}

TEST(target_symlink_is_made_once_and_left_alone)
{
	char text[32];
	struct root r;

	root_make(&r);
	CHECK_EQ(dv_target_symlink(r.fd, NULL, "/x/y/link", "first", NULL), 0);
	CHECK_EQ(dv_target_symlink(r.fd, NULL, "/x/y/link", "second", NULL), 0);
	CHECK_EQ(dv_target_symlink(r.fd, NULL, "/top", "t", NULL), 0);
	CHECK_EQ(readlink(try_path(&r.dir, "x/y/link"), text, sizeof(text)), 5);
	CHECK(memcmp(text, "first", 5) == 0);
	try_file(&r.dir, "file", "", 0644);
	CHECK_EQ(dv_target_symlink(r.fd, NULL, "/file/link", "t", NULL),
		 -ENOTDIR);
	root_remove(&r);
}

TEST(target_too_long_is_refused)
{
	char path[PATH_MAX + 10];
	struct root r;

	root_make(&r);
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	CHECK_EQ(dv_target_open(r.fd, NULL, path, true, NULL), -ENAMETOOLONG);
	path[300] = '\0'; /* one name of 299 bytes */
	CHECK_EQ(dv_target_open(r.fd, NULL, path, true, NULL), -ENAMETOOLONG);
	CHECK_EQ(dv_target_symlink(r.fd, NULL, path, "x", NULL), -ENAMETOOLONG);
	root_remove(&r);
}

TEST(target_chmod_changes_the_mode_of_a_path_descriptor)
{
	struct stat st;
	struct root r;

	root_make(&r);
	int fd = dv_target_open(r.fd, NULL, "/d", true, NULL);

	CHECK_EQ(dv_target_chmod(fd, 01777), 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_mode & 07777, 01777);
	dv_close(fd);
	root_remove(&r);
}

TEST(target_near_is_made_in_the_same_directory)
{
	struct dv_near near = DV_NEAR_INIT;
	struct root r;
	struct stat st;
	int fd;

	root_make(&r);
	fd = dv_target_open(r.fd, &near, "/d/a", false, NULL);
	CHECK(fd >= 0 && near.fd >= 0);
	dv_close(fd);
	/* Another one, one that is there, one of the other kind. */
	fd = dv_target_open(r.fd, &near, "/d/b", true, NULL);
	CHECK(fd >= 0);
	dv_close(fd);
	fd = dv_target_open(r.fd, &near, "/d/a", false, NULL);
	CHECK(fd >= 0);
	dv_close(fd);
	CHECK_EQ(dv_target_open(r.fd, &near, "/d/a", true, NULL), -ENOTDIR);
	CHECK_EQ(dv_target_symlink(r.fd, &near, "/d/c", "text", NULL), 0);
	CHECK_EQ(lstat(try_path(&r.dir, "d/c"), &st), 0);
	CHECK(S_ISLNK(st.st_mode));
	/* A neighbour with the same beginning is another directory. */
	fd = dv_target_open(r.fd, &near, "/da/x", false, NULL);
	CHECK(fd >= 0);
	dv_close(fd);
	CHECK_EQ(lstat(try_path(&r.dir, "da/x"), &st), 0);
	dv_near_close(&near);
	root_remove(&r);
}

/* A symlink in the way is followed as ever: inside the root. */
TEST(target_near_never_leaves_the_root)
{
	struct dv_near near = DV_NEAR_INIT;
	struct root r;
	int fd;

	root_make(&r);
	fd = dv_target_open(r.fd, &near, "/d/a", false, NULL);
	CHECK(fd >= 0);
	dv_close(fd);
	CHECK_EQ(symlink("/outside", try_path(&r.dir, "d/out")), 0);
	CHECK(dv_target_open(r.fd, &near, "/d/out", true, NULL) < 0);
	CHECK_EQ(access("/outside", F_OK), -1);
	dv_near_close(&near);
	root_remove(&r);
}
