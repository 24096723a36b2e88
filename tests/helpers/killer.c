/* SPDX-License-Identifier: MIT */
/*
 * killer MODE ROUNDS DAVIT ARG...: start DAVIT ARG... and kill at bad moments.
 *
 *	step	DAVIT, 50 us later in each round
 *	random	DAVIT, somewhere in the first 20 ms
 *	stop	DAVIT is stopped at random, then goes on or is killed
 *	child	one of DAVIT's children at random: init, helper, command
 *	frozen	DAVIT, while its v2 group is frozen
 *
 * Orphans become ours (a child subreaper stands in for the machine's PID 1), so
 * that it is seen whether any is left, and so that they stay zombies while the
 * next davit command, with which every round ends, has to cope with that. Then
 * they are reaped: all must be dead within a minute. After one more command
 *nothing may be left in RUNDIR or noted in its slots, and no group that was.
 *Exit status: 0, 1 something failed, 77 it cannot be tried here, 2 usage.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/num.h"
#include "base/path.h"
#include "davit/loop.h"

enum { STEP_NS = 50000, RANDOM_NS = 20000000, GROUPS_MAX = 16, GONE_S = 60 };

static const char *rundir;
static char **davit;      /* DAVIT ARG... */
static uint64_t round_ns; /* the moment of this round, for messages */
static int n_failed;

static void complain(const char *what)
{
	fprintf(stderr, "killer: after %llu us: %s\n",
		(unsigned long long)round_ns / 1000, what);
	n_failed++;
}

/* ---- davit ------------------------------------------------------------------
 */

/* Standard output of davit and of what it runs, or -1 with none. */
static pid_t start(char **argv, int *outp)
{
	int pair[2] = { -1, -1 };
	pid_t pid;

	if (outp && dv_pipe(pair) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(outp ? pair[1] : null, 1);
		/* What it says of its own death is not for the reader. */
		dup2(null, 2);
		close_range(3, ~0U, 0);
		execv(argv[0], argv);
		_exit(99);
	}
	dv_close(pair[1]);
	if (outp)
		*outp = pair[0];
	return pid;
}

/* Wait for @pid until the deadline; its status, or -1. */
static int wait_for(pid_t pid, int seconds)
{
	uint64_t until = dv_now_ns() + (uint64_t)seconds * 1000000000;
	struct timespec pause = { 0, 200000 };
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (dv_now_ns() > until)
			return -1;
		nanosleep(&pause, NULL);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* A harmless command, which sweeps; it has to work whatever is left. */
static void next_command(void)
{
	char run[] = "run", quiet[] = "-q", dashes[] = "--", name[] = "true";
	char best[] = "--best-effort"; /* also where namespaces are missing */
	char *argv[] = { davit[0], run, quiet, best, dashes, name, NULL };
	pid_t pid = start(argv, NULL);
	int status = wait_for(pid, GONE_S);

	if (status == 0)
		return;
	complain(status < 0 ? "the next command does not end"
			    : "the next command fails");
	if (status < 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

/* ---- what is left
 * ------------------------------------------------------------- */

static size_t n_groups;
static char groups[GROUPS_MAX][256];

/* The groups that are noted in a file of RUNDIR; how many. */
static size_t read_groups(const char *file)
{
	char path[512], *text = NULL, *save = NULL;
	size_t len, before = n_groups;

	snprintf(path, sizeof(path), "%s/%s", rundir, file);
	if (dv_read_file(AT_FDCWD, path, 65536, &text, &len) < 0)
		return 0;
	/* Slots are filled up with zeros. */
	for (size_t i = 0; i < len; i++)
		text[i] = text[i] ? text[i] : '\n';
	for (char *line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		if (n_groups < GROUPS_MAX)
			snprintf(groups[n_groups++], sizeof(groups[0]), "%s",
				 line);
	free(text);
	return n_groups - before;
}

static bool is_home(const char *name)
{
	return strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	       strcmp(name, "mnt") != 0 && strcmp(name, "names") != 0 &&
	       strcmp(name, "slots") != 0 && strcmp(name, "events") != 0;
}

/* A directory that is being made looks like one that its maker left: the
 * sweeper waits for 10 s before it takes it, and so make it older. */
static void age_unborn(const char *name)
{
	struct timespec t[2] = { { time(NULL) - 60, 0 },
				 { time(NULL) - 60, 0 } };
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", rundir, name);
	utimensat(AT_FDCWD, path, t, 0);
}

/* How many sandboxes are in RUNDIR; @fn for each. */
static int each_home(void (*fn)(const char *))
{
	DIR *dir = opendir(rundir);
	int n = 0;

	if (!dir)
		return 0;
	for (struct dirent *e; (e = readdir(dir));) {
		if (!is_home(e->d_name))
			continue;
		n++;
		if (fn)
			fn(e->d_name);
	}
	closedir(dir);
	return n;
}

static void look_at_home(const char *id)
{
	char lock[300];

	if (id[0] == '.') {
		age_unborn(id);
		return;
	}
	snprintf(lock, sizeof(lock), "%s/lock", id);
	read_groups(lock);
}

/* All groups that are noted anywhere. */
static void look(void)
{
	n_groups = 0;
	read_groups("slots");
	each_home(look_at_home);
}

static void tell_home(const char *id)
{
	fprintf(stderr, "killer: left in RUNDIR: %s\n", id);
}

/* Reap until there is nobody: everything must be dead by itself. */
static void reap_all(void)
{
	uint64_t until = dv_now_ns() + GONE_S * UINT64_C(1000000000);
	struct timespec pause = { 0, 500000 };
	char text[4096] = "", path[64];
	FILE *f;
	int r;

	while ((r = waitpid(-1, NULL, WNOHANG | __WALL)) >= 0) {
		if (r > 0)
			continue;
		if (dv_now_ns() > until)
			break;
		nanosleep(&pause, NULL);
	}
	if (r < 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	f = fopen(path, "re");
	if (f && fgets(text, sizeof(text), f))
		fprintf(stderr, "killer: still there: %s\n", text);
	complain("processes are left");
	for (char *p = text, *end; strtol(p, &end, 10) > 0; p = end)
		kill((pid_t)strtol(p, NULL, 10), SIGKILL);
	if (f)
		fclose(f);
	while (waitpid(-1, NULL, __WALL) > 0)
		;
}

static void check_round(void)
{
	size_t noted;

	look();
	noted = n_groups;
	next_command(); /* the dead are still zombies */
	reap_all();
	next_command();
	if (each_home(NULL) > 0) {
		complain("something is left in RUNDIR");
		each_home(tell_home);
	}
	if (read_groups("slots") > 0)
		complain("something is left in the slots");
	n_groups = noted;
	for (size_t i = 0; i < n_groups; i++) {
		if (access(groups[i], F_OK) < 0)
			continue;
		fprintf(stderr, "killer: left: %s\n", groups[i]);
		complain("a control group is left");
	}
}

/* ---- modes
 * ---------------------------------------------------------------------- */

static void pass(uint64_t ns)
{
	uint64_t until = dv_now_ns() + ns;

	round_ns = ns;
	while (dv_now_ns() < until)
		;
}

static uint64_t some_ns(void)
{
	return (uint64_t)random() % RANDOM_NS;
}

static void kill_after(uint64_t ns)
{
	pid_t pid = start(davit, NULL);

	pass(ns);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void round_step(int n)
{
	kill_after((uint64_t)n * STEP_NS);
}

static void round_random(int n)
{
	(void)n;
	kill_after(some_ns());
}

static void round_stop(int n)
{
	struct timespec pause = { 0, 3000000 };
	pid_t pid = start(davit, NULL);

	pass(some_ns());
	kill(pid, SIGSTOP);
	nanosleep(&pause, NULL);
	kill(pid, n % 2 ? SIGKILL : SIGCONT);
	if (n % 2 == 0)
		pass(some_ns());
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* One of the children that @pid has at this moment, or 0. */
static pid_t some_child(pid_t pid)
{
	char path[64], text[256], *p = text;
	long found[16], n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	for (char *end; n < 16 && (found[n] = strtol(p, &end, 10)) > 0; n++)
		p = end;
	return n ? (pid_t)found[random() % n] : 0;
}

/* The state of process @pid in ps's letters, or 0. */
static char state_of(pid_t pid)
{
	char path[64], text[512], *end;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	end = strrchr(text, ')');
	return end && end[1] ? end[2] : 0;
}

/* Two children that sleep, and the victim is not one of them. */
static bool goes_on(pid_t pid, pid_t victim)
{
	pid_t a = some_child(pid), b = 0;

	for (int i = 0; i < 100 && (b = some_child(pid)) == a; i++)
		;
	return state_of(victim) == 0 && a && b && b != a &&
	       state_of(a) == 'S' && state_of(b) == 'S';
}

/*
 * davit has to notice and to end. The one exception: the helper was done when
 * the signal came, and all goes on; it is seen by what is alive a second or
 * more later, when all had the time to begin.
 */
static void expect_end(pid_t pid, pid_t victim)
{
	bool fine = false;

	for (int i = 0; i < GONE_S && !fine; i++) {
		if (wait_for(pid, 1) >= 0)
			return;
		fine = goes_on(pid, victim);
	}
	if (!fine) {
		fprintf(stderr, "killer: victim %d, state %d\n", victim,
			state_of(victim));
		complain("davit does not notice that its child was killed");
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void round_child(int n)
{
	pid_t pid = start(davit, NULL), victim;

	(void)n;
	pass(some_ns());
	victim = some_child(pid);
	kill(victim ? victim : pid, SIGKILL);
	expect_end(pid, victim);
}

/* Put "1" into cgroup.freeze of the noted v2 groups, and wait until it holds.
 */
static bool freeze(void)
{
	uint64_t until = dv_now_ns() + GONE_S * UINT64_C(1000000000);
	bool frozen = false;
	char path[512], *text;
	size_t len;

	for (size_t i = 0; i < n_groups; i++) {
		snprintf(path, sizeof(path), "%s/cgroup.freeze", groups[i]);
		if (dv_write_file(AT_FDCWD, path, "1", 1) < 0)
			continue;
		snprintf(path, sizeof(path), "%s/cgroup.events", groups[i]);
		for (; !frozen && dv_now_ns() < until; free(text)) {
			text = NULL;
			dv_read_file(AT_FDCWD, path, 4096, &text, &len);
			frozen = text && strstr(text, "frozen 1");
		}
	}
	return frozen;
}

/* The command says a line when it runs. */
static void round_frozen(int n)
{
	char byte;
	int out;
	pid_t pid = start(davit, &out);

	(void)n;
	round_ns = 0;
	if (dv_read(out, &byte, 1) != 1)
		complain("the command does not start");
	look();
	if (!freeze()) {
		fprintf(stderr, "killer: no v2 group that can be frozen\n");
		n_failed = 77;
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	dv_close(out);
}

static const struct {
	const char *name;
	void (*round)(int n);
} modes[] = {
	{ "step", round_step },     { "random", round_random },
	{ "stop", round_stop },     { "child", round_child },
	{ "frozen", round_frozen },
};

int main(int argc, char **argv)
{
	uint64_t rounds = 0;
	size_t mode = 0;

	rundir = getenv("DAVIT_RUNDIR");
	while (argc > 1 && mode < DV_ARRAY_LEN(modes) &&
	       strcmp(argv[1], modes[mode].name) != 0)
		mode++;
	if (argc < 4 || mode == DV_ARRAY_LEN(modes) || !rundir ||
	    dv_parse_u64(argv[2], 1, 100000, &rounds) < 0) {
		fprintf(stderr, "usage: killer MODE ROUNDS DAVIT ARG...\n");
		return 2;
	}
	davit = argv + 3;
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	srandom((unsigned int)getpid());
	for (uint64_t n = 0; n < rounds && n_failed == 0; n++) {
		modes[mode].round((int)n);
		if (n_failed != 77)
			check_round();
	}
	reap_all();
	return n_failed == 77 ? 77 : n_failed != 0;
}
