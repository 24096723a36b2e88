/* SPDX-License-Identifier: MIT */
/*
 * The main() of every unit test program.
 *
 * TEST() puts a struct dv_testcase into the section "dv_tests"; the linker
 * names its two ends. Each test runs between a setup that notes what is open
 * and a teardown that fails it for what it left: a descriptor, a child, a
 * thread, or an empty control group of its own. Descriptors and children that
 * are found are cleaned up too, so that only the test that left them is blamed.
 */
#include "base/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Ends what hangs; a machine with much else to do is not meant. */
#if defined(__SANITIZE_ADDRESS__)
#define TEST_SECONDS 300
#else
#define TEST_SECONDS 100
#endif

enum { FDS_MAX = 1024, TESTS_MAX = 1024, GROUPS_MAX = 256, GROUP_NAME = 64 };
enum { NOFILE = 4096 };

/* Weak: a program without any test still links, and then says so. */
extern const struct dv_testcase __start_dv_tests[] __attribute__((weak));
extern const struct dv_testcase __stop_dv_tests[] __attribute__((weak));

static struct {
	const char *name;
	bool open[FDS_MAX];
	int n_threads;
} before;

/* Directories named davit-* that the test and its children made. */
struct made {
	atomic_int n; /* may be more than there is room for */
	char names[GROUPS_MAX][GROUP_NAME];
};

static struct made *made; /* shared with the children */

static struct CMUnitTest tests[TESTS_MAX];
static const char *names[TESTS_MAX]; /* what the setup gets of each */

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void pause_ms(long ms)
{
	struct timespec ts = { 0, ms * 1000000 };

	nanosleep(&ts, NULL);
}

/* ---- descriptors ----------------------------------------------------- */

static void fds_note(bool open[FDS_MAX])
{
	for (int fd = 0; fd < FDS_MAX; fd++)
		open[fd] = fcntl(fd, F_GETFD) >= 0;
}

static int fds_check(void)
{
	char link[32], target[PATH_MAX];
	bool open[FDS_MAX];
	int n_bad = 0;

	fds_note(open);
	for (int fd = 0; fd < FDS_MAX; fd++) {
		ssize_t len;

		if (open[fd] == before.open[fd])
			continue;
		n_bad++;
		if (!open[fd]) {
			print_error("%s: closed fd %d, not its own\n",
				    before.name, fd);
			continue;
		}
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		len = readlink(link, target, sizeof(target) - 1);
		target[len < 0 ? 0 : len] = '\0';
		print_error("%s: left fd %d open: %s\n", before.name, fd,
			    target);
		close(fd);
	}
	return n_bad;
}

/* ---- threads and children -------------------------------------------- */

static int threads_count(void)
{
	DIR *dir = opendir("/proc/self/task");
	int n = 0;

	if (!dir)
		return 0;
	for (struct dirent *e; (e = readdir(dir));)
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

/* A joined thread leaves /proc a moment after pthread_join() returned. */
static int threads_check(void)
{
	uint64_t end = now_ms() + 10000;
	int n;

	while ((n = threads_count()) > before.n_threads && now_ms() < end)
		pause_ms(1);
	if (n <= before.n_threads)
		return 0;
	print_error("%s: left %d threads running\n", before.name,
		    n - before.n_threads);
	return n - before.n_threads;
}

/* Our main thread's children; a test that forks from others joins them. */
static void children_kill(void)
{
	char text[4096], *p = text, *end;
	FILE *f;

	snprintf(text, sizeof(text), "/proc/self/task/%d/children", getpid());
	f = fopen(text, "re");
	if (!f)
		return;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	for (long pid; (pid = strtol(p, &end, 10)) > 0; p = end) {
		print_error("%s: left child %ld running\n", before.name, pid);
		kill((pid_t)pid, SIGKILL);
	}
}

static int children_check(void)
{
	uint64_t end = now_ms() + 10000;
	int n_bad = 0;
	bool killed = false;

	while (now_ms() < end) {
		siginfo_t si = { 0 };

		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | __WALL) < 0)
			return n_bad;
		if (si.si_pid > 0) {
			if (!killed)
				print_error("%s: left zombie %d\n", before.name,
					    si.si_pid);
			n_bad++;
			continue;
		}
		if (!killed)
			children_kill();
		killed = true;
		pause_ms(1);
	}
	print_error("%s: left children that do not die\n", before.name);
	return n_bad + 1;
}

/* ---- control groups --------------------------------------------------- */

static bool group_empty(const char *dir)
{
	char path[PATH_MAX + 64];
	bool empty;
	FILE *f;

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	f = fopen(path, "re");
	if (!f)
		return false;
	empty = fgetc(f) == EOF;
	fclose(f);
	return empty;
}

/*
 * A group does not say whose it is, and test programs run side by side. So this
 * stands before the function of the C library and notes who made one.
 */
int mkdir(const char *path, mode_t mode)
{
	const char *name = strrchr(path, '/');

	if (made && name && strncmp(name + 1, "davit-", 6) == 0) {
		int i = atomic_fetch_add(&made->n, 1);

		if (i < GROUPS_MAX)
			snprintf(made->names[i], GROUP_NAME, "%s", name + 1);
	}
	return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

static bool group_ours(const char *name)
{
	for (int i = 0; i < made->n && i < GROUPS_MAX; i++)
		if (!strcmp(made->names[i], name))
			return true;
	return false;
}

static int n_left;
static bool groups_print;

static void groups_left_one(const char *dir, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (!group_ours(name) || !group_empty(path))
		return;
	n_left++;
	if (groups_print)
		print_error("%s: left group %s\n", before.name, path);
}

static void groups_left_in(const char *dir)
{
	DIR *d = opendir(dir);

	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));)
		if (!strncmp(e->d_name, "davit-", 6))
			groups_left_one(dir, e->d_name);
	closedir(d);
}

/* Counts those right below one of our own groups. */
static void groups_left(void)
{
	char line[PATH_MAX], dir[PATH_MAX + 64];
	FILE *f = fopen("/proc/self/cgroup", "re");
	/* Version 2 has no name here; it is alone, or beside version 1. */
	bool hybrid = access("/sys/fs/cgroup/unified", F_OK) == 0;
	const char *v2 = hybrid ? "unified" : ".";

	n_left = 0;
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		char *ctrl = strchr(line, ':');
		char *at = ctrl ? strchr(ctrl + 1, ':') : NULL;

		line[strcspn(line, "\n")] = '\0';
		if (!at)
			continue;
		*at++ = '\0';
		snprintf(dir, sizeof(dir), "/sys/fs/cgroup/%s%s",
			 ctrl[1] ? ctrl + 1 : v2, at);
		groups_left_in(dir);
	}
	fclose(f);
}

/* Only an empty one counts, and it has ten seconds to be gone or filled. */
static int groups_check(void)
{
	uint64_t end = now_ms() + 10000;

	if (made->n == 0)
		return 0;
	groups_print = false;
	do {
		groups_left();
		if (!n_left)
			return 0;
		pause_ms(20);
	} while (now_ms() < end);
	groups_print = true;
	groups_left();
	return n_left;
}

/* ---- the run ---------------------------------------------------------- */

/* "Bail out!" is how a TAP producer says that it cannot go on. */
static void on_alarm(int signo)
{
	static const char text[] = "\nBail out! took too long: ";

	if (write(1, text, sizeof(text) - 1) < 0 ||
	    write(1, before.name, strlen(before.name)) < 0 ||
	    write(1, "\n", 1) < 0)
		_exit(128 + signo);
	_exit(128 + signo);
}

static int setup(void **state)
{
	before.name = *(const char **)*state;
	*state = NULL;
	fds_note(before.open);
	before.n_threads = threads_count();
	made->n = 0;
	signal(SIGALRM, on_alarm);
	alarm(TEST_SECONDS);
	return 0;
}

static int teardown(void **state)
{
	int n_bad;

	(void)state;
	n_bad = children_check();
	n_bad += fds_check();
	n_bad += threads_check();
	n_bad += groups_check();
	alarm(0);
	return n_bad ? -1 : 0;
}

/* gcc emits the section last first, so this turns it into source order. */
static size_t tests_gather(void)
{
	size_t n = 0;

	if (!__start_dv_tests)
		return 0;
	for (const struct dv_testcase *t = __stop_dv_tests;
	     t-- > __start_dv_tests && n < TESTS_MAX; n++) {
		names[n] = t->name;
		tests[n] = (struct CMUnitTest){
			.name = t->name,
			.test_func = t->fn,
			.setup_func = setup,
			.teardown_func = teardown,
			.initial_state = &names[n],
		};
	}
	return n;
}

/* Without them a test would get their numbers for its own files. */
static void stdio_open(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			exit(1);
}

/* What is usual for a session is too few for some tests. */
static void limits_raise(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_cur >= NOFILE)
		return;
	lim.rlim_cur = lim.rlim_max < NOFILE ? lim.rlim_max : NOFILE;
	setrlimit(RLIMIT_NOFILE, &lim);
}

/* The one argument is a pattern with * and ?: which tests to run. */
int main(int argc, char **argv)
{
	size_t n = tests_gather();

	stdio_open();
	limits_raise();
	made = mmap(NULL, sizeof(*made), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (made == MAP_FAILED)
		return 1;

	if (n == 0 || n == TESTS_MAX) {
		fprintf(stderr, "%s: %zu tests: none, or too many\n", argv[0],
			n);
		return 1;
	}
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return _cmocka_run_group_tests(argv[0], tests, n, NULL, NULL) ? 1 : 0;
}
