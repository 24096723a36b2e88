/* SPDX-License-Identifier: MIT */
#include "engine/proc_try.h"

#include <sys/inotify.h>
#include <sys/wait.h>
#include <time.h>

#include "base/def.h"
#include "runtime/store/dirs.h"

static struct try_dir top;

static void open_top(void)
{
	try_dir_make(&top);
	CHECK_EQ(setenv("DAVIT_RUNDIR", try_path(&top, "run"), 1), 0);
}

static void close_top(void)
{
	try_dir_remove(&top);
	unsetenv("DAVIT_RUNDIR");
}

static bool there(const char *name)
{
	struct stat st;

	return lstat(try_path(&top, name), &st) == 0;
}

static bool in_run(const char *name)
{
	char path[128];

	dv_fmt(path, sizeof(path), "run/%s", name);
	return there(path);
}

/* ---- where
 * -------------------------------------------------------------------- */

TEST(directories_follow_the_environment)
{
	char out[200];

	setenv("DAVIT_RUNDIR", "/a/b", 1);
	setenv("DAVIT_STATEDIR", "/c", 1);
	CHECK_EQ(dv_rundir(out, sizeof(out), NULL), 0);
	CHECK_STR(out, "/a/b");
	CHECK_EQ(dv_statedir(out, sizeof(out), NULL), 0);
	CHECK_STR(out, "/c");
	/* What is empty does not count. */
	setenv("DAVIT_RUNDIR", "", 1);
	setenv("DAVIT_STATEDIR", "", 1);
	if (geteuid() == 0) {
		CHECK_EQ(dv_rundir(out, sizeof(out), NULL), 0);
		CHECK_STR(out, "/run/davit");
		CHECK_EQ(dv_statedir(out, sizeof(out), NULL), 0);
		CHECK_STR(out, "/var/lib/davit");
	}
	unsetenv("DAVIT_RUNDIR");
	unsetenv("DAVIT_STATEDIR");
}

TEST(directory_that_is_not_absolute_is_refused)
{
	struct dv_err err = DV_ERR_INIT;
	char out[200];

	setenv("DAVIT_RUNDIR", "a", 1);
	setenv("DAVIT_STATEDIR", "./b", 1);
	CHECK_EQ(dv_rundir(out, sizeof(out), &err), -EINVAL);
	CHECK_STR(err.msg, "DAVIT_RUNDIR is not absolute: \"a\"");
	CHECK(err.hint[0]);
	CHECK_EQ(dv_statedir(out, sizeof(out), &err), -EINVAL);
	CHECK_STR(err.msg, "DAVIT_STATEDIR is not absolute: \"./b\"");
	unsetenv("DAVIT_RUNDIR");
	unsetenv("DAVIT_STATEDIR");
}

static int rundir_of_user(void)
{
	char out[200];

	if (setresuid(65534, 65534, 65534) < 0)
		return 1;
	setenv("HOME", "/h", 1);
	setenv("XDG_RUNTIME_DIR", "/x", 1);
	unsetenv("XDG_STATE_HOME");
	if (dv_rundir(out, sizeof(out), NULL) < 0 || strcmp(out, "/x/davit"))
		return 2;
	unsetenv("XDG_RUNTIME_DIR");
	if (dv_rundir(out, sizeof(out), NULL) < 0 ||
	    strcmp(out, "/h/.local/state/davit/run"))
		return 3;
	setenv("XDG_STATE_HOME", "/s", 1);
	if (dv_statedir(out, sizeof(out), NULL) < 0 || strcmp(out, "/s/davit"))
		return 4;
	unsetenv("XDG_STATE_HOME");
	unsetenv("HOME");
	return dv_rundir(out, sizeof(out), NULL) == -ENOENT ? 0 : 5;
}

TEST(directories_of_an_ordinary_user)
{
	int status;

	need_other_user();
	pid_t pid = fork();

	if (pid == 0)
		_exit(rundir_of_user());
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

TEST(rundir_that_others_can_write_is_refused)
{
	static const mode_t bad[] = { 0777, 0770, 0702, 01777 };
	struct dv_err err = DV_ERR_INIT;
	struct dv_home home;

	open_top();
	CHECK_EQ(mkdir(try_path(&top, "run"), 0700), 0);
	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		CHECK_EQ(chmod(try_path(&top, "run"), bad[i]), 0);
		CHECK_EQ(dv_home_open(&home, &err), -EACCES);
		CHECK(strstr(err.msg, "not private"));
		CHECK_EQ(err.step, DV_STEP_STATE);
		dv_home_release(&home);
	}
	CHECK_EQ(chmod(try_path(&top, "run"), 0700), 0);
	if (geteuid() == 0 && chown(try_path(&top, "run"), 65534, 65534) == 0) {
		CHECK_EQ(dv_home_open(&home, NULL), -EACCES);
		dv_home_release(&home);
	}
	CHECK_EQ(rmdir(try_path(&top, "run")), 0);
	try_file(&top, "run", "", 0600);
	CHECK_EQ(dv_home_open(&home, &err), -ENOTDIR);
	dv_home_release(&home);
	close_top();
}

TEST(rundir_that_is_too_long_is_refused)
{
	char path[400];
	struct dv_home home;

	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	setenv("DAVIT_RUNDIR", path, 1);
	CHECK_EQ(dv_home_open(&home, NULL), -ENAMETOOLONG);
	dv_home_release(&home);
	unsetenv("DAVIT_RUNDIR");
}

/* ---- a life
 * ---------------------------------------------------------------------- */

static void home_make(struct dv_home *home)
{
	CHECK_EQ(dv_home_open(home, NULL), 0);
	CHECK_EQ(dv_home_create(home, NULL), 0);
}

TEST(home_is_private_locked_and_goes)
{
	struct dv_home home;
	struct stat st;
	char name[64];

	open_top();
	home_make(&home);
	CHECK(in_run(home.id));
	CHECK_EQ(stat(home.path, &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0700);
	CHECK_EQ(stat(try_path(&top, "run"), &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0700);
	dv_fmt(name, sizeof(name), "%s/lock", home.id);
	CHECK(in_run(name));
	int other = openat(home.dirfd, "lock", O_RDWR | O_CLOEXEC);

	CHECK_EQ(dv_fd_locked(other), 1);
	dv_close(other);
	CHECK_EQ(dv_home_write(&home, "state.json", "{}", 2), 0);
	CHECK_EQ(dv_home_write(&home, "something", "x", 1), 0);
	dv_fmt(name, sizeof(name), "%s", home.id);
	dv_home_remove(&home);
	dv_home_remove(&home);
	CHECK(!in_run(name));
	close_top();
}

/* ---- what killed keepers left
 * ----------------------------------------------------- */

/* Whoever looks finds all of it, or that there is nothing. */
TEST(home_goes_before_anything_in_it_does)
{
	struct inotify_event e;
	char events[4096] __attribute__((aligned(8)));
	struct dv_home home;
	int ino = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	open_top();
	home_make(&home);
	CHECK_EQ(dv_home_write(&home, "state.json", "{}", 2), 0);
	CHECK(inotify_add_watch(ino, home.path, IN_MOVE_SELF | IN_DELETE) >= 0);
	dv_home_remove(&home);
	CHECK(dv_read(ino, events, sizeof(events)) >= (ssize_t)sizeof(e));
	memcpy(&e, events, sizeof(e));
	CHECK_EQ(e.mask, IN_MOVE_SELF);
	dv_close(ino);
	close_top();
}

static void sweep(void)
{
	dv_home_sweep(try_path(&top, "run"));
}

TEST(sweep_takes_the_dead_and_leaves_the_living)
{
	struct dv_home dead, alive;
	char name[64];

	open_top();
	home_make(&dead);
	home_make(&alive);
	dv_fmt(name, sizeof(name), "%s", dead.id);
	CHECK_EQ(dv_home_write(&dead, "state.json", "{}", 2), 0);
	dv_home_release(&dead); /* as a killed keeper does */
	sweep();
	CHECK(!in_run(name));
	CHECK(in_run(alive.id));
	dv_home_remove(&alive);
	close_top();
}

TEST(sweep_leaves_what_is_not_ours)
{
	static const char *const foreign[] = {
		"run/names",
		"run/short",
		"run/0123456789abcdeg",
		"run/0123456789abcdef0",
		"run/..0123456789abcdef",
	};

	open_top();
	CHECK_EQ(mkdir(try_path(&top, "run"), 0700), 0);
	for (size_t i = 0; i < DV_ARRAY_LEN(foreign); i++)
		CHECK_EQ(mkdir(try_path(&top, foreign[i]), 0700), 0);
	try_file(&top, "run/1111111111111111", "a file", 0600);
	CHECK_EQ(mkdir(try_path(&top, "elsewhere"), 0700), 0);
	CHECK_EQ(
		symlink("../elsewhere", try_path(&top, "run/2222222222222222")),
		0);
	sweep();
	for (size_t i = 0; i < DV_ARRAY_LEN(foreign); i++)
		CHECK(there(foreign[i]));
	CHECK(there("run/1111111111111111"));
	CHECK(there("run/2222222222222222"));
	CHECK(there("elsewhere"));
	dv_home_sweep("/no/such/dir");
	close_top();
}

static void age(const char *path, time_t seconds)
{
	struct timespec t[2] = { { time(NULL) - seconds, 0 },
				 { time(NULL) - seconds, 0 } };

	CHECK_EQ(utimensat(AT_FDCWD, path, t, 0), 0);
}

TEST(sweep_gives_the_unborn_time)
{
	const char *young = "run/.00000000000000aa";
	const char *old = "run/.00000000000000bb";

	open_top();
	CHECK_EQ(mkdir(try_path(&top, "run"), 0700), 0);
	CHECK_EQ(mkdir(try_path(&top, young), 0700), 0);
	CHECK_EQ(mkdir(try_path(&top, old), 0700), 0);
	age(try_path(&top, old), 60);
	sweep();
	CHECK(there(young));
	CHECK(!there(old));
	close_top();
}

/* Lines of the notes may be anything: only groups of sandboxes are touched. */
TEST(sweep_with_strange_notes_removes_the_home_alone)
{
	static const char *const notes[] = {
		"/\n",
		"/etc\n",
		"relative\n",
		"\n\n\n",
		"/tmp/davit-x\n",
		"/sys/fs/cgroup/no-such/davit-0123456789abcdef",
		"/tmp/../tmp/davit-0123456789abcdef\n",
	};

	open_top();
	for (size_t i = 0; i < DV_ARRAY_LEN(notes); i++) {
		struct dv_home home;
		char name[64];

		home_make(&home);
		dv_fmt(name, sizeof(name), "%s", home.id);
		CHECK_EQ(dv_home_note(&home, notes[i]), 0);
		dv_home_release(&home);
		sweep();
		CHECK(!in_run(name));
	}
	CHECK_EQ(access("/etc/passwd", F_OK), 0);
	close_top();
}
