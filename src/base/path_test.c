/* SPDX-License-Identifier: MIT */
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/test.h"

TEST(join_puts_one_slash)
{
	static const struct {
		const char *a, *b, *out;
	} rows[] = {
		{ "a", "b", "a/b" },  { "a/", "b", "a/b" },
		{ "a", "/b", "a/b" }, { "a//", "//b", "a/b" },
		{ "/", "b", "/b" },   { "/", "/", "/" },
		{ "", "b", "b" },     { "", "/b", "/b" },
		{ "a", "", "a" },     { "/r", "x/y/", "/r/x/y/" },
	};
	char out[32];

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		CHECK_EQ(dv_path_join(out, sizeof(out), rows[i].a, rows[i].b),
			 0);
		CHECK_STR(out, rows[i].out);
	}
}

TEST(join_that_does_not_fit_is_an_error)
{
	char out[6];

	CHECK_EQ(dv_path_join(out, 6, "ab", "cd"), 0);
	CHECK_EQ(dv_path_join(out, 5, "ab", "cd"), -ENAMETOOLONG);
	CHECK_EQ(dv_path_join(out, 0, "ab", "cd"), -ENAMETOOLONG);
}

TEST(absolute_cleans_as_text)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "/", "/" },
		{ "//", "/" },
		{ "/..", "/" },
		{ "/../../a", "/a" },
		{ "/a/./b/../c//", "/a/c" },
		{ "/a/..", "/" },
		{ "/a/...", "/a/..." },
		{ "/a/..b/.c", "/a/..b/.c" },
	};
	char out[PATH_MAX];

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		CHECK_EQ(dv_path_absolute(out, sizeof(out), rows[i].in), 0);
		CHECK_STR(out, rows[i].out);
	}
}

TEST(absolute_of_relative_starts_at_the_current_directory)
{
	char cwd[PATH_MAX], out[PATH_MAX], want[PATH_MAX];

	assert_non_null(getcwd(cwd, sizeof(cwd)));
	CHECK_EQ(dv_path_absolute(out, sizeof(out), ""), 0);
	CHECK_STR(out, cwd);
	CHECK_EQ(dv_path_absolute(out, sizeof(out), "./x/../y"), 0);
	CHECK_EQ(dv_path_join(want, sizeof(want), cwd, "y"), 0);
	CHECK_STR(out, want);
}

TEST(absolute_for_every_size_fits_or_says_so)
{
	for (size_t size = 0; size <= 8; size++) {
		char *out = malloc(size ? size : 1);

		assert_non_null(out);
		CHECK_EQ(dv_path_absolute(out, size, "/ab/cd"),
			 size > 6 ? 0 : -ENAMETOOLONG);
		free(out);
	}
}

TEST(below_compares_whole_components)
{
	CHECK(dv_path_below("/a/b", "/a"));
	CHECK(dv_path_below("/a", "/a"));
	CHECK(dv_path_below("/a", "/"));
	CHECK(dv_path_below("/", "/"));
	CHECK(!dv_path_below("/ab", "/a"));
	CHECK(!dv_path_below("/", "/a"));
	CHECK(!dv_path_below("/b/a", "/a"));
}

/* A directory in /tmp to work in, and its fd. */
struct tmp {
	char path[32];
	int fd;
};

static struct tmp make_tmp(void)
{
	struct tmp t = { "/tmp/davit-path.XXXXXX", -1 };

	assert_non_null(mkdtemp(t.path));
	t.fd = open(t.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(t.fd >= 0);
	return t;
}

static void drop_tmp(struct tmp *t)
{
	CHECK_EQ(dv_remove_tree(AT_FDCWD, t->path), 0);
	CHECK_EQ(access(t->path, F_OK), -1);
	t->fd = dv_close(t->fd);
}

static void make_file(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	dv_close(fd);
}

TEST(mkdir_p_makes_all_and_accepts_what_is_there)
{
	struct tmp t = make_tmp();
	char path[PATH_MAX];
	struct stat st;

	dv_path_join(path, sizeof(path), t.path, "a//b/c/");
	CHECK_EQ(dv_mkdir_p(path, 0700), 0);
	CHECK_EQ(dv_mkdir_p(path, 0700), 0);
	CHECK_EQ(fstatat(t.fd, "a/b/c", &st, 0), 0);
	CHECK_EQ(st.st_mode & 07777, 0700);
	make_file(t.fd, "f");
	dv_path_join(path, sizeof(path), t.path, "f");
	CHECK_EQ(dv_mkdir_p(path, 0700), -ENOTDIR);
	dv_path_join(path, sizeof(path), t.path, "f/g/h");
	CHECK_EQ(dv_mkdir_p(path, 0700), -ENOTDIR);
	CHECK_EQ(dv_mkdir_p("", 0700), -ENOENT);
	drop_tmp(&t);
}

TEST(open_in_root_does_not_leave_the_root)
{
	struct tmp t = make_tmp();
	dv_autofd int fd = -1;
	struct stat want, got;

	CHECK_EQ(mkdirat(t.fd, "etc", 0700), 0);
	make_file(t.fd, "etc/passwd");
	CHECK_EQ(symlinkat("/etc/passwd", t.fd, "abs"), 0);
	CHECK_EQ(symlinkat("../../../etc/passwd", t.fd, "rel"), 0);
	CHECK_EQ(fstatat(t.fd, "etc/passwd", &want, 0), 0);
	const char *const names[] = { "abs", "rel", "/../etc/passwd" };
	for (size_t i = 0; i < DV_ARRAY_LEN(names); i++) {
		fd = dv_open_in_root(t.fd, names[i], O_RDONLY, 0777);
		if (fd == -ENOSYS)
			SKIP("no openat2 on this kernel");
		CHECK(fd >= 0);
		CHECK_EQ(fstat(fd, &got), 0);
		CHECK_EQ(got.st_ino, want.st_ino);
		CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
		dv_close(dv_take_fd(&fd));
	}
	CHECK_EQ(dv_open_in_root(t.fd, "none", O_RDONLY, 0), -ENOENT);
	fd = dv_open_in_root(t.fd, "/etc/new", O_CREAT | O_WRONLY, 0600);
	CHECK(fd >= 0);
	CHECK_EQ(faccessat(t.fd, "etc/new", F_OK, 0), 0);
	drop_tmp(&t);
}

TEST(remove_tree_never_follows_links)
{
	struct tmp t = make_tmp();

	CHECK_EQ(mkdirat(t.fd, "keep", 0700), 0);
	make_file(t.fd, "keep/file");
	CHECK_EQ(mkdirat(t.fd, "gone", 0700), 0);
	CHECK_EQ(symlinkat("../keep", t.fd, "gone/link"), 0);
	CHECK_EQ(symlinkat("keep", t.fd, "toplink"), 0);
	CHECK_EQ(mkfifoat(t.fd, "gone/fifo", 0600), 0);
	CHECK_EQ(dv_remove_tree(t.fd, "gone"), 0);
	CHECK_EQ(dv_remove_tree(t.fd, "toplink"), 0);
	CHECK_EQ(faccessat(t.fd, "keep/file", F_OK, 0), 0);
	CHECK_EQ(dv_remove_tree(t.fd, "gone"), -ENOENT);
	drop_tmp(&t);
}

TEST(remove_tree_of_many_entries)
{
	struct tmp t = make_tmp();
	char name[32];

	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "d%d", i % 50);
		if (i < 50)
			CHECK_EQ(mkdirat(t.fd, name, 0700), 0);
		snprintf(name, sizeof(name), "d%d/f%d", i % 50, i);
		make_file(t.fd, name);
	}
	drop_tmp(&t);
}

/* Nested directories, each with a file beside the next one. */
static void make_deep(int top, int levels, mode_t mode)
{
	int at = dv_fd_dup(top, 0);

	for (int i = 0; i < levels; i++) {
		int next;

		make_file(at, "file");
		CHECK_EQ(mkdirat(at, "d", 0700), 0);
		next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		CHECK(next >= 0);
		if (i > 0) /* the top belongs to the test */
			CHECK_EQ(fchmod(at, mode), 0);
		dv_close(at);
		at = next;
	}
	dv_close(at);
}

TEST(remove_tree_deeper_than_any_path)
{
	struct tmp t = make_tmp();

	make_deep(t.fd, 3000, 0700); /* PATH_MAX is at 2,048 levels */
	drop_tmp(&t);
}

TEST(remove_tree_of_locked_directories_as_an_ordinary_user)
{
	struct tmp t = make_tmp();
	int status;
	pid_t pid;

	CHECK_EQ(fchmod(t.fd, 0777), 0);
	pid = fork();
	if (pid == 0) { /* reports by its status: a CHECK would run twice */
		int r = 0;

		if (geteuid() == 0 && setuid(65534) < 0)
			_exit(77);
		if (mkdirat(t.fd, "x", 0700) < 0 ||
		    mkdirat(t.fd, "x/none", 0700) < 0 ||
		    mkdirat(t.fd, "x/none/sub", 0700) < 0 ||
		    mkdirat(t.fd, "x/none/sub/deep", 0500) < 0 ||
		    mkdirat(t.fd, "x/ro", 0700) < 0 ||
		    symlinkat("/", t.fd, "x/ro/link") < 0 ||
		    fchmodat(t.fd, "x/ro", 0555, 0) < 0 ||
		    fchmodat(t.fd, "x/none", 0, 0) < 0)
			_exit(2);
		r = dv_remove_tree(t.fd, "x");
		_exit(r == 0 ? 0 : 1);
	}
	CHECK(pid > 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	drop_tmp(&t);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("root may not become another user here");
	CHECK_EQ(status, 0);
}

/* Mount namespace, and for ordinary users a user namespace with root in it. */
static int enter_namespaces(void)
{
	char uid[32], gid[32];
	int r;

	if (geteuid() == 0)
		return unshare(CLONE_NEWNS);
	dv_fmt(uid, sizeof(uid), "0 %u 1", geteuid());
	dv_fmt(gid, sizeof(gid), "0 %u 1", getegid());
	if (unshare(CLONE_NEWNS | CLONE_NEWUSER) < 0)
		return -errno;
	r = dv_write_file(AT_FDCWD, "/proc/self/setgroups", "deny", 4);
	if (r == 0)
		r = dv_write_file(AT_FDCWD, "/proc/self/uid_map", uid,
				  strlen(uid));
	if (r == 0)
		r = dv_write_file(AT_FDCWD, "/proc/self/gid_map", gid,
				  strlen(gid));
	return r;
}

/* The status says how it went; 77: it cannot be tried here. */
static int try_mount_point(const char *top)
{
	int fd;

	if (chdir(top) < 0 || enter_namespaces() < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "x/mnt", "tmpfs", 0, NULL) < 0)
		return 77;
	fd = open("x/mnt/precious", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return 2;
	dv_close(fd);
	if (dv_remove_tree(AT_FDCWD, "x") != -EBUSY ||
	    dv_remove_tree(AT_FDCWD, "x/mnt") != -EBUSY)
		return 3;
	return access("x/mnt/precious", F_OK) == 0 ? 0 : 4;
}

TEST(remove_tree_refuses_mount_points)
{
	struct tmp t = make_tmp();
	int status;
	pid_t pid;

	CHECK_EQ(mkdirat(t.fd, "x", 0700), 0);
	CHECK_EQ(mkdirat(t.fd, "x/mnt", 0700), 0);
	pid = fork();
	if (pid == 0)
		_exit(try_mount_point(t.path));
	CHECK(pid > 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	drop_tmp(&t);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("no mount namespace here");
	CHECK_EQ(status, 0);
}
