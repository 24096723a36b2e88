/* SPDX-License-Identifier: MIT */
/*
 * DOC: many starts, several at a time
 *
 * storm [-n STARTS] [-j AT_A_TIME] CMD [ARG...] starts CMD ARG... sh -c SCRIPT
 * over and over. SCRIPT prints a line that no other start prints, and ends
 * with the next status of 0..255, or now and then by a signal. Of each start
 * storm checks that
 *	- the exit status is the command's own (128+n for a signal),
 *	- the line arrived, whole and alone,
 *	- its standard output is at its end: nobody holds it any more,
 *	- it ended at all, within a minute.
 * At the end storm itself must have the descriptors and children it began with.
 * What fails is said on stderr (the first 20), the sum on stdout. Exit status:
 * 0, 1 something failed, 2 usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <davit/err.h>

#include "base/fd.h"
#include "base/fmt.h"
#include "base/num.h"
#include "stats.h"

#define STARTS_MAX    1000000
#define AT_A_TIME_MAX 64
#define ARGS_MAX      60
#define FAILURES_TOLD 20
#define DEADLINE_NS   UINT64_C(60000000000)

struct slot {
	pid_t pid; /* 0 = free */
	uint64_t id, deadline;
	int want; /* exit status */
	int out;  /* our end of its standard output; owned */
};

struct storm {
	uint64_t starts, at_a_time;
	uint64_t begun, ended, failed;
	char *argv[ARGS_MAX + 4];
	size_t argc;
	struct slot slot[AT_A_TIME_MAX];
};

extern char **environ;

static void complain(struct storm *s, uint64_t id, const char *fmt, ...)
	DV_PRINTF(3, 4);
static void complain(struct storm *s, uint64_t id, const char *fmt, ...)
{
	char text[160];
	va_list ap;

	va_start(ap, fmt);
	dv_vfmt(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (++s->failed <= FAILURES_TOLD)
		fprintf(stderr, "storm: start %llu: %s\n",
			(unsigned long long)id, text);
}

/* Fills @script for start @id. Returns the status that it has to end with. */
static int make_script(char *script, size_t size, uint64_t id)
{
	static const int signals[] = { SIGKILL, SIGTERM, SIGHUP, SIGUSR1 };
	int end = (int)(id % 256);

	if (id % 16 == 7) {
		end = signals[id / 16 % DV_ARRAY_LEN(signals)];
		snprintf(script, size, "echo line %llu; kill -%d $$",
			 (unsigned long long)id, end);
		return 128 + end;
	}
	snprintf(script, size, "echo line %llu; exit %d",
		 (unsigned long long)id, end);
	return end;
}

static int spawn(struct storm *s, int out, pid_t *pidp)
{
	posix_spawn_file_actions_t fa;
	int r = posix_spawn_file_actions_init(&fa);

	if (r)
		return -r;
	r = posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&fa, out, 1);
	if (r == 0)
		r = posix_spawnp(pidp, s->argv[0], &fa, NULL, s->argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	return -r;
}

static int begin(struct storm *s, struct slot *slot)
{
	char script[80];
	int fds[2], r = dv_pipe(fds);

	if (r < 0)
		return r;
	slot->id = s->begun++;
	slot->want = make_script(script, sizeof(script), slot->id);
	slot->deadline = bench_now_ns() + DEADLINE_NS;
	slot->out = fds[0];
	s->argv[s->argc + 2] = script;
	r = spawn(s, fds[1], &slot->pid);
	s->argv[s->argc + 2] = NULL;
	dv_close(fds[1]);
	if (r < 0) {
		slot->pid = 0;
		slot->out = dv_close(slot->out);
	}
	return r;
}

/* Not blocking: a leftover that holds the pipe must not hold us as well. */
static void check_output(struct storm *s, struct slot *slot)
{
	char want[40], got[80];
	ssize_t n, more;
	size_t len = (size_t)snprintf(want, sizeof(want), "line %llu\n",
				      (unsigned long long)slot->id);

	dv_fd_nonblock(slot->out, true);
	n = dv_read(slot->out, got, sizeof(got));
	if (n != (ssize_t)len || memcmp(got, want, len) != 0) {
		complain(s, slot->id, "%zd bytes of output instead of %zu", n,
			 len);
		return;
	}
	more = dv_read(slot->out, got, sizeof(got));
	if (more != 0)
		complain(s, slot->id, "%s",
			 more == -EAGAIN ? "something still holds its output"
					 : "more output than it wrote");
}

static void end(struct storm *s, struct slot *slot, int status)
{
	int got = WIFEXITED(status) ? WEXITSTATUS(status)
				    : 1000 + WTERMSIG(status);

	if (got != slot->want)
		complain(s, slot->id, "ended with %d instead of %d%s", got,
			 slot->want, got >= 1000 ? " (1000 + signal)" : "");
	else
		check_output(s, slot);
	slot->out = dv_close(slot->out);
	slot->pid = 0;
	s->ended++;
}

static void kill_late(struct storm *s)
{
	uint64_t now = bench_now_ns();

	for (size_t i = 0; i < s->at_a_time; i++) {
		struct slot *slot = &s->slot[i];

		if (slot->pid && now > slot->deadline) {
			complain(s, slot->id, "hangs (pid %d), killed",
				 (int)slot->pid);
			kill(slot->pid, SIGKILL);
			slot->deadline = UINT64_MAX;
		}
	}
}

/* Waits for one start to end. 0 or -errno. */
static int wait_one(struct storm *s)
{
	int status;
	pid_t pid = waitpid(-1, &status, 0);

	if (pid < 0 && errno != EINTR)
		return -errno;
	kill_late(s);
	for (size_t i = 0; pid > 0 && i < s->at_a_time; i++)
		if (s->slot[i].pid == pid)
			end(s, &s->slot[i], status);
	return 0;
}

static int rage(struct storm *s)
{
	int r = 0;

	while (r == 0 && s->ended < s->starts) {
		for (size_t i = 0; r == 0 && i < s->at_a_time; i++)
			if (!s->slot[i].pid && s->begun < s->starts)
				r = begin(s, &s->slot[i]);
		if (r == 0)
			r = wait_one(s);
	}
	return r;
}

static size_t count_fds(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += dv_fd_mode(fd) >= 0;
	return n;
}

static void on_alarm(int signo DV_UNUSED)
{
}

/* A tick interrupts waitpid(), so that late starts are looked at. */
static void start_ticking(void)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval tick = { { 5, 0 }, { 5, 0 } };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &tick, NULL);
}

static int parse(struct storm *s, int argc, char **argv)
{
	static char sh[] = "/bin/sh", dash_c[] = "-c";
	int c, r = 0;

	while (r == 0 && (c = getopt(argc, argv, "+n:j:")) != -1) {
		if (c == 'n')
			r = dv_parse_u64(optarg, 1, STARTS_MAX, &s->starts);
		else if (c == 'j')
			r = dv_parse_u64(optarg, 1, AT_A_TIME_MAX,
					 &s->at_a_time);
		else
			r = -EINVAL;
	}
	s->argc = (size_t)(argc - optind);
	if (r < 0 || s->argc < 1 || s->argc > ARGS_MAX)
		return -EINVAL;
	memcpy(s->argv, argv + optind, s->argc * sizeof(*argv));
	s->argv[s->argc] = sh;
	s->argv[s->argc + 1] = dash_c;
	return 0;
}

int main(int argc, char **argv)
{
	static struct storm s = { .starts = 1000, .at_a_time = 8 };
	size_t fds = count_fds();
	uint64_t t0 = bench_now_ns();
	double seconds;
	int r;

	if (parse(&s, argc, argv) < 0) {
		fputs("usage: storm [-n STARTS] [-j AT_A_TIME] CMD [ARG...]\n",
		      stderr);
		return 2;
	}
	start_ticking();
	r = rage(&s);
	if (r < 0)
		complain(&s, s.begun, "%s", strerrordesc_np(-r));
	if (count_fds() != fds)
		complain(&s, s.ended, "%zu descriptors instead of %zu",
			 count_fds(), fds);
	if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
		complain(&s, s.ended, "children are left");
	seconds = (double)(bench_now_ns() - t0) / 1e9;
	printf("%llu starts, %llu failures, %llu at a time, %.0f a second\n",
	       (unsigned long long)s.ended, (unsigned long long)s.failed,
	       (unsigned long long)s.at_a_time, (double)s.ended / seconds);
	return s.failed != 0;
}
