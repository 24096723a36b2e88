/* SPDX-License-Identifier: MIT */
#include "services/procs_try.h"

#include <sys/mman.h>

#include "engine/cgroup_try.h"
#include "services/exec.h"
#include "wire/pb.h"

static char *arg(const char *s)
{
	return (char *)(uintptr_t)s; /* only ever read */
}

/* ---- status ----------------------------------------------------------- */

TEST(exit_status_every_code_is_exact)
{
	struct dv_exec *e[256];
	struct try_procs t;
	char script[32];

	try_open(&t);
	for (int i = 0; i < 256; i++) {
		snprintf(script, sizeof(script), "exit %d", i);
		e[i] = try_run(&t, NULL, script);
	}
	for (int i = 0; i < 256; i++) {
		CHECK_EQ(try_wait(&t, e[i]), i);
		CHECK_EQ(dv_exec_record(e[i])->signal, 0);
		CHECK_STR(dv_exec_record(e[i])->ended_by, "exit");
	}
	try_close(&t);
}

TEST(signal_death_is_128_plus_n)
{
	static const int signals[] = { SIGKILL, SIGTERM, SIGSEGV, SIGPIPE };
	struct try_procs t;

	try_open(&t);
	for (size_t i = 0; i < DV_ARRAY_LEN(signals); i++) {
		char script[32];
		struct dv_exec *e;

		snprintf(script, sizeof(script), "kill -%d $$; sleep 60",
			 signals[i]);
		e = try_run(&t, NULL, script);
		CHECK_EQ(try_wait(&t, e), 128 + signals[i]);
		CHECK_EQ(dv_exec_record(e)->signal, signals[i]);
		CHECK_STR(dv_exec_record(e)->ended_by, "signal");
	}
	try_close(&t);
}

/* Where memory is short that is before anybody hears that it was started. */
TEST(process_that_is_killed_for_memory_at_once_is_told_so)
{
	static const struct dv_cgroup_limits limits = { .memory = 16 << 20 };
	char *argv[] = { arg("/usr/bin/tail"), arg("/dev/zero") };
	dv_ExecRequest rq = { .argv = argv, .argv_count = 2 };
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_exec *e;
	struct pollfd ended;
	struct try_procs t;

	need(DV_CG_MEMORY);
	try_open(&t);
	CHECK_EQ(make(&cg, &limits, &t.err), 0);
	t.procs->opts.cgroup = &cg;
	CHECK_EQ(dv_procs_start(t.procs, &rq, NULL, 0, try_on_started, &t, &e,
				&t.err),
		 0);
	ended = (struct pollfd){ .fd = e->proc.pidfd, .events = POLLIN };
	CHECK_EQ(poll(&ended, 1, -1), 1);
	CHECK_EQ(try_wait(&t, e), 128 + SIGKILL);
	CHECK_STR(dv_exec_record(e)->ended_by, "oom");
	try_close(&t);
	CHECK_EQ(remove_soon(&cg), 0);
}

TEST(two_hundred_at_once_each_status_is_its_own)
{
	enum { N = 200 };
	dv_ExecRequest rq = { 0 };
	struct dv_exec *e[N];
	struct try_procs t;
	int out[N];

	try_open(&t);
	for (int i = 0; i < N; i++) {
		char script[64];

		out[i] = try_stdio(&t, &rq.stdout, &rq.has_stdout);
		snprintf(script, sizeof(script), "read x; echo %d; exit %d", i,
			 i);
		/* Nothing to read: /dev/null. */
		e[i] = try_run(&t, &rq, script);
	}
	CHECK_EQ(dv_procs_count(t.procs).running +
			 dv_procs_count(t.procs).exited,
		 N);
	for (int i = 0; i < N; i++) {
		char want[16];

		snprintf(want, sizeof(want), "%d\n", i);
		CHECK_STR(try_text(&t, out[i]), want);
		CHECK_EQ(try_wait(&t, e[i]), i);
	}
	try_close(&t);
}

/* ---- starting --------------------------------------------------------- */

TEST(missing_command_fails_with_its_step)
{
	char *argv[] = { arg("/no/such/file") };
	dv_ExecRequest rq = { .argv = argv, .argv_count = 1 };
	struct try_procs t;

	try_open(&t);
	CHECK(try_start(&t, &rq) == NULL);
	CHECK_EQ(t.err.sys, ENOENT);
	CHECK_EQ(t.err.step, DV_STEP_LOOKUP);
	CHECK_EQ(dv_procs_count(t.procs).running, 0);
	try_close(&t);
}

TEST(unknown_connection_fails_as_documented)
{
	dv_ExecRequest rq = { .has_stdout = true };
	char *argv[] = { arg("true") };
	struct try_procs t;

	try_open(&t);
	rq.argv = argv;
	rq.argv_count = 1;
	rq.stdout = (dv_Stdio){ .mode = dv_STDIO_CONN, .conn = 77 };
	CHECK(try_start(&t, &rq) == NULL);
	CHECK_STR(t.err.msg,
		  "failed to get stdout conn: invalid connection id");
	CHECK_EQ(t.err.code, DV_UNKNOWN);
	try_close(&t);
}

TEST(environment_is_merged_in_order)
{
	dv_EnvPair env[] = {
		{ arg("A"), arg("1") }, { arg("A"), arg("2") },
		{ arg("B"), arg("x") }, { arg("B"), NULL },
		{ arg("E"), arg("") },  { arg("BASE"), NULL },
	};
	dv_ExecRequest rq = { .env = env, .env_count = 6 };
	struct try_procs t;
	int out;

	try_open(&t);
	out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	try_run(&t, &rq, "echo $A,${B-no},${E-no},${BASE-no},$PATH");
	CHECK_STR(try_text(&t, out), "2,no,,no,/usr/bin:/bin\n");
	rq.clear_env = true;
	out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	try_run(&t, &rq, "/usr/bin/env | /usr/bin/sort | /usr/bin/head -2");
	CHECK_STR(try_text(&t, out), "A=2\nE=\n");
	try_close(&t);
}

TEST(path_of_the_request_finds_the_command)
{
	dv_EnvPair env[] = { { arg("PATH"), arg("/no/such") } };
	char *argv[] = { arg("true") };
	dv_ExecRequest rq = { .env = env, .argv = argv, .argv_count = 1 };
	struct try_procs t;

	try_open(&t);
	CHECK_EQ(try_wait(&t, try_start(&t, &rq)), 0);
	rq.env_count = 1;
	CHECK(try_start(&t, &rq) == NULL);
	try_close(&t);
}

TEST(signals_are_default_and_the_group_is_its_own)
{
	dv_ExecRequest rq = { 0 };
	struct try_procs t;
	struct dv_exec *e;
	char want[64];
	int out;

	try_open(&t); /* which ignores SIGPIPE */
	out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	e = try_run(&t, &rq,
		    "exec awk '/^Sig(Ign|Blk)/ { print $2 } "
		    "END { getline < \"/proc/self/stat\"; print $5, $6 }' "
		    "/proc/self/status");
	snprintf(want, sizeof(want), "%016d\n%016d\n%d %d\n", 0, 0,
		 dv_exec_pid(e), dv_exec_pid(e));
	CHECK_STR(try_text(&t, out), want);
	try_close(&t);
}

/* ---- streams ---------------------------------------------------------- */

TEST(stdin_end_arrives)
{
	dv_ExecRequest rq = { 0 };
	struct try_procs t;
	struct dv_exec *e;
	int in, out;

	try_open(&t);
	in = try_stdio(&t, &rq.stdin, &rq.has_stdin);
	out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	e = try_run(&t, &rq, "cat; echo end");
	try_send(&t, in, "hello\n", 6);
	CHECK_EQ(shutdown(in, SHUT_WR), 0);
	CHECK_STR(try_text(&t, out), "hello\nend\n");
	CHECK_EQ(try_wait(&t, e), 0);
	dv_close(in);
	try_close(&t);
}

TEST(stdin_that_the_child_closes_is_closed)
{
	dv_ExecRequest rq = { 0 };
	struct try_procs t;
	struct dv_exec *e;
	char byte;
	int in;

	try_open(&t);
	in = try_stdio(&t, &rq.stdin, &rq.has_stdin);
	e = try_run(&t, &rq, "exec <&-; exec sleep 60");
	CHECK_EQ(try_read(&t, in, &byte, 1), 0);
	CHECK(dv_exec_record(e) == NULL);
	dv_close(in);
	try_close(&t);
}

TEST(stdout_that_the_client_closes_is_epipe)
{
	dv_ExecRequest rq = { 0 };
	struct try_procs t;
	struct dv_exec *e;
	int out;

	try_open(&t);
	out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	e = try_run(&t, &rq, "while echo y; do :; done");
	dv_close(out);
	CHECK_EQ(try_wait(&t, e), 128 + SIGPIPE);
	try_close(&t);
}

TEST(half_close_of_stdout_by_the_client_is_no_hang_up)
{
	dv_ExecRequest rq = { 0 };
	struct try_procs t;
	int in, out;

	try_open(&t);
	in = try_stdio(&t, &rq.stdin, &rq.has_stdin);
	out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	try_run(&t, &rq, "read x; echo got $x");
	CHECK_EQ(shutdown(out, SHUT_WR), 0);
	try_settle(&t);
	try_send(&t, in, "it\n", 3);
	CHECK_STR(try_text(&t, out), "got it\n");
	dv_close(in);
	try_close(&t);
}

TEST(stderr_is_apart_or_combined)
{
	dv_ExecRequest rq = { 0 };
	struct try_procs t;
	int out, err;

	try_open(&t);
	out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	err = try_stdio(&t, &rq.stderr, &rq.has_stderr);
	try_run(&t, &rq, "echo o; echo e >&2");
	CHECK_STR(try_text(&t, out), "o\n");
	CHECK_STR(try_text(&t, err), "e\n");
	rq.has_stderr = false;
	rq.combine_stderr = true;
	out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	try_run(&t, &rq, "echo o; echo e >&2");
	CHECK_STR(try_text(&t, out), "o\ne\n");
	try_close(&t);
}

TEST(raw_connection_is_the_childs_own_and_blocking)
{
	dv_ExecRequest rq = { 0 };
	struct try_procs t;
	struct dv_exec *e;
	int out;

	try_open(&t);
	out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	rq.stdout.mode = dv_STDIO_RAW;
	e = try_run(&t, &rq,
		    "grep -c '^flags:.*4...$' /proc/self/fdinfo/1; "
		    "(sleep 0.1; echo later) & exit 3");
	CHECK_EQ(try_wait(&t, e), 3);
	/* A background process holds it still: nothing is cut off. */
	char text[64];
	ssize_t n = dv_read_full(out, text, sizeof(text) - 1);
	CHECK(n >= 0);
	text[n] = '\0';
	CHECK_STR(text, "0\nlater\n");
	dv_close(out);
	try_close(&t);
}

TEST(background_child_delays_the_end_but_not_the_exit)
{
	dv_ExecRequest rq = { 0 };
	struct try_procs t;
	struct dv_exec *e;
	int in, out;

	try_open(&t);
	in = try_stdio(&t, &rq.stdin, &rq.has_stdin);
	out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	e = try_run(&t, &rq, "exec 3<&0; (read x <&3; echo $x) & exit 4");
	CHECK_EQ(try_wait(&t, e), 4);
	CHECK_EQ(dv_exec_release(e, NULL), 0);
	try_send(&t, in, "late\n", 5);
	CHECK_STR(try_text(&t, out), "late\n");
	dv_close(in);
	try_close(&t);
}

/* ---- terminals -------------------------------------------------------- */

TEST(terminal_has_its_size_and_ends_by_veof)
{
	dv_ExecRequest rq = { .terminal = true, .rows = 33, .cols = 99 };
	struct try_procs t;
	struct dv_exec *e;
	int in, out;

	try_open(&t);
	in = try_stdio(&t, &rq.stdin, &rq.has_stdin);
	out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	e = try_run(&t, &rq,
		    "stty size; stty -echo -onlcr; echo ready; cat; echo end");
	char text[32];
	CHECK_EQ(try_read(&t, out, text, 13), 13);
	CHECK_EQ(memcmp(text, "33 99\r\nready\n", 13), 0);
	try_send(&t, in, "no newline", 10);
	CHECK_EQ(shutdown(in, SHUT_WR), 0);
	CHECK(strstr(try_text(&t, out), "no newlineend\n") != NULL);
	CHECK_EQ(try_wait(&t, e), 0);
	dv_close(in);
	try_close(&t);
}

TEST(terminal_is_resized_while_it_runs)
{
	dv_ExecRequest rq = { .terminal = true, .rows = 1, .cols = 1 };
	struct try_procs t;
	struct dv_exec *e;
	int in, out;

	try_open(&t);
	in = try_stdio(&t, &rq.stdin, &rq.has_stdin);
	out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	e = try_run(&t, &rq, "stty -echo; read x; stty size");
	CHECK_EQ(dv_exec_resize(e, 44, 55, &t.err), 0);
	try_send(&t, in, "go\n", 3);
	CHECK(strstr(try_text(&t, out), "44 55") != NULL);
	CHECK_EQ(try_wait(&t, e), 0);
	try_settle(&t);
	CHECK_EQ(dv_exec_resize(e, 44, 55, &t.err), -ENOTTY);
	dv_close(in);
	try_close(&t);
}

TEST(terminal_whose_client_goes_hangs_up)
{
	dv_ExecRequest rq = { .terminal = true };
	struct try_procs t;
	struct dv_exec *e;
	int in, out;

	try_open(&t);
	in = try_stdio(&t, &rq.stdin, &rq.has_stdin);
	out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	e = try_run(&t, &rq, "exec sleep 60");
	dv_close(in);
	dv_close(out);
	CHECK_EQ(try_wait(&t, e), 128 + SIGHUP);
	try_close(&t);
}

/* Root in a container may lack it, and the right to give a file away. */
static void need_other_user(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		int fd = memfd_create("mine", MFD_CLOEXEC);

		_exit(fd < 0 || fchown(fd, 65534, 65534) < 0 ||
		      setresgid(65534, 65534, 65534) < 0 ||
		      setresuid(65534, 65534, 65534) < 0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	if (geteuid() != 0 || status != 0)
		SKIP("only root can be somebody else");
}

TEST(terminal_works_for_an_ordinary_user)
{
	dv_Ids ids = { .uid = 65534, .gid = 65534 };
	dv_ExecRequest rq = { .terminal = true, .has_ids = true };
	struct try_procs t;
	int out;

	need_other_user();
	rq.ids = ids;
	try_open(&t);
	out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	try_run(&t, &rq, "test -r $(tty) && id -u");
	CHECK_STR(try_text(&t, out), "65534\r\n");
	try_close(&t);
}

/* ---- bytes ------------------------------------------------------------ */

/* What awk would take ages for: a generator by ourselves, through a pipe. */
static unsigned char pattern(uint64_t i)
{
	return (unsigned char)((i * 2654435761U) >> 13);
}

TEST(many_bytes_come_back_exactly)
{
	enum { TOTAL = 128 << 20, CHUNK = 256 << 10 };
	static unsigned char sent[CHUNK], got[CHUNK];
	uint64_t n_sent = 0, n_got = 0;
	dv_ExecRequest rq = { 0 };
	struct try_procs t;
	struct dv_exec *e;
	int in, out;
	size_t off = 0;

	try_open(&t);
	in = try_stdio(&t, &rq.stdin, &rq.has_stdin);
	out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	e = try_run(&t, &rq, "exec cat");
	for (size_t i = 0; i < CHUNK; i++)
		sent[i] = pattern(i);
	while (n_got < TOTAL) {
		ssize_t n = n_sent < TOTAL ? send(in, sent + off, CHUNK - off,
						  MSG_DONTWAIT)
					   : 0;

		if (n > 0) {
			n_sent += (uint64_t)n;
			off = (off + (size_t)n) % CHUNK;
			if (n_sent == TOTAL)
				shutdown(in, SHUT_WR);
		}
		n = recv(out, got, CHUNK, MSG_DONTWAIT);
		if (n < 0) {
			CHECK_EQ(errno, EAGAIN);
			try_turn(&t);
			continue;
		}
		CHECK(n > 0);
		for (ssize_t i = 0; i < n; i++)
			if (got[i] != pattern((n_got + (uint64_t)i) % CHUNK))
				fail_msg("byte %llu differs",
					 (unsigned long long)n_got +
						 (unsigned long long)i);
		n_got += (uint64_t)n;
	}
	CHECK_STR(try_text(&t, out), "");
	CHECK_EQ(try_wait(&t, e), 0);
	dv_close(in);
	try_close(&t);
}

TEST(slow_reader_holds_up_only_its_own)
{
	dv_ExecRequest rq = { 0 };
	struct try_procs t;
	struct dv_exec *slow;
	char buf[4096];
	int stuck, out;

	try_open(&t);
	stuck = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	slow = try_run(&t, &rq, "head -c 8000000 /dev/zero");
	for (int i = 0; i < 20; i++) {
		out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
		CHECK_EQ(try_wait(&t, try_run(&t, &rq, "echo quick")), 0);
		CHECK_STR(try_text(&t, out), "quick\n");
	}
	CHECK(dv_exec_record(slow) == NULL);
	size_t n, total = 0;
	while ((n = try_read(&t, stuck, buf, sizeof(buf))) > 0)
		total += n;
	CHECK_EQ(total, 8000000);
	CHECK_EQ(try_wait(&t, slow), 0);
	dv_close(stuck);
	try_close(&t);
}

/* ---- records ---------------------------------------------------------- */

static unsigned int n_told;
static int told_code;

static void on_told(struct dv_exec_waiter *w, const dv_ExitRecord *record)
{
	(void)w;
	n_told++;
	told_code = record->code;
}

TEST(every_waiter_is_told_and_the_record_stays)
{
	struct dv_exec_waiter w[10] = { 0 };
	struct try_procs t;
	struct dv_exec *e;
	dv_ExecRequest rq = { 0 };
	int in;

	try_open(&t);
	n_told = 0;
	in = try_stdio(&t, &rq.stdin, &rq.has_stdin);
	e = try_run(&t, &rq, "read x; exit 7");
	CHECK_EQ(dv_exec_release(e, NULL), -EBUSY);
	for (int i = 0; i < 10; i++) {
		w[i].fn = on_told;
		CHECK(dv_exec_wait(e, &w[i]));
	}
	dv_exec_unwait(&w[4]);
	dv_exec_unwait(&w[4]);
	dv_close(in);
	CHECK_EQ(try_wait(&t, e), 7);
	CHECK_EQ(n_told, 9);
	CHECK_EQ(told_code, 7);
	CHECK(!dv_exec_wait(e, &w[0]));
	CHECK(dv_procs_find(t.procs, 0, dv_exec_pid(e)) == e);
	CHECK(dv_procs_find(t.procs, dv_exec_id(e), 0) == e);
	CHECK_EQ(dv_exec_release(e, NULL), 0);
	CHECK(dv_procs_find(t.procs, dv_exec_id(e), 0) == NULL);
	CHECK_EQ(dv_procs_count(t.procs).exited, 0);
	try_close(&t);
}

TEST(oldest_record_goes_when_there_are_too_many)
{
	char *argv[] = { arg("/bin/true") };
	dv_ExecRequest rq = { .argv = argv, .argv_count = 1 };
	struct try_procs t;

	try_open(&t);
	for (int i = 0; i < DV_RECORDS_MAX + 3; i++)
		CHECK_EQ(try_wait(&t, try_start(&t, &rq)), 0);
	try_settle(&t);
	CHECK_EQ(dv_procs_count(t.procs).exited, DV_RECORDS_MAX);
	CHECK(dv_procs_find(t.procs, 3, 0) == NULL);
	CHECK(dv_procs_find(t.procs, 4, 0) != NULL);
	try_close(&t);
}

/* What is kept of a command, for a thousand records, is not what it had. */
TEST(long_command_is_run_whole_and_shown_in_part)
{
	char *argv[300] = { arg("/bin/sh"), arg("-c"),
			    arg("test $# = 296 && test ${#2} = 50000") };
	dv_ExecRequest rq = { .argv = argv, .argv_count = 300 };
	size_t bytes = 0;
	dv_ProcessInfo info;
	struct try_procs t;
	struct dv_exec *e;
	char *word = malloc(50001);

	assert_non_null(word);
	memset(word, 'x', 50000);
	word[50000] = '\0';
	for (size_t i = 3; i < 300; i++)
		argv[i] = i == 5 ? word : arg("y");
	argv[3] = arg("sh");
	try_open(&t);
	e = try_start(&t, &rq);
	CHECK_EQ(try_wait(&t, e), 0);
	dv_exec_info(e, &info);
	CHECK_EQ(info.argv_count, 6);
	CHECK_STR(info.argv[0], "/bin/sh");
	for (pb_size_t i = 0; i < info.argv_count; i++)
		bytes += strlen(info.argv[i]);
	CHECK(bytes < DV_ARGV_KEEP && bytes > DV_ARGV_KEEP / 2);
	/* Many short words cost, too. */
	argv[5] = arg("z");
	e = try_start(&t, &rq);
	CHECK_EQ(try_wait(&t, e), 1);
	dv_exec_info(e, &info);
	CHECK(info.argv_count > 100 && info.argv_count < 128);
	try_close(&t);
	free(word);
}

/* Who asks for no limit gets what the owner says. */
TEST(limit_of_descriptors_is_the_owners_or_the_requests)
{
	dv_Rlimit own = { RLIMIT_NOFILE, 77, 99 };
	struct rlimit usual = { 88, 99 };
	struct dv_procs_opts o = { .size = sizeof(o), .nofile = &usual };
	dv_ExecRequest rq = { .rlimits = &own, .rlimits_count = 1 };
	struct try_procs t;

	try_open(&t);
	dv_procs_free(t.procs);
	CHECK_EQ(dv_procs_new(&t.procs, t.loop, &o, &t.err), 0);
	CHECK_EQ(try_wait(&t, try_run(&t, NULL, "exit $(ulimit -n)")), 88);
	CHECK_EQ(try_wait(&t, try_run(&t, &rq, "exit $(ulimit -n)")), 77);
	try_close(&t);
}

TEST(signal_scopes_reach_what_they_say)
{
	struct dv_exec *a, *b;
	struct try_procs t;
	dv_ExecRequest rq = { 0 };
	int out;

	try_open(&t);
	/* Only the shell: its child goes on and holds the stream. */
	out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	a = try_run(&t, &rq, "sleep 60 & echo on; wait");
	char text[3];
	CHECK_EQ(try_read(&t, out, text, 3), 3);
	CHECK_EQ(dv_exec_signal(a, 0, dv_SIGNAL_PROCESS, &t.err), 0);
	CHECK_EQ(dv_exec_signal(a, 99, dv_SIGNAL_PROCESS, &t.err), -EINVAL);
	/* The group: both, so the stream ends. */
	CHECK_EQ(dv_exec_signal(a, SIGKILL, dv_SIGNAL_GROUP, &t.err), 0);
	CHECK_STR(try_text(&t, out), "");
	CHECK_EQ(try_wait(&t, a), 128 + SIGKILL);
	CHECK_EQ(dv_exec_signal(a, SIGTERM, dv_SIGNAL_PROCESS, &t.err), -ESRCH);
	a = try_run(&t, NULL, "exec sleep 60");
	b = try_run(&t, NULL, "exec sleep 60");
	CHECK_EQ(dv_procs_signal_all(t.procs, SIGTERM, &t.err), 2);
	CHECK_EQ(try_wait(&t, a), 128 + SIGTERM);
	CHECK_EQ(try_wait(&t, b), 128 + SIGTERM);
	try_close(&t);
}

TEST(time_out_ends_the_group)
{
	dv_ExecRequest rq = { .timeout_ms = 50 };
	struct try_procs t;
	struct dv_exec *e;

	try_open(&t);
	e = try_run(&t, &rq, "exec sleep 60");
	CHECK_EQ(try_wait(&t, e), 128 + SIGTERM);
	CHECK(dv_exec_record(e)->timed_out);
	CHECK_STR(dv_exec_record(e)->ended_by, "timeout");
	try_close(&t);
}

/* ---- kept output ------------------------------------------------------ */

static int attach(struct try_procs *t, struct dv_exec *e, uint64_t offset,
		  uint64_t *atp)
{
	int sv[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	CHECK_EQ(dv_exec_attach(e, 1, offset, sv[0], atp, &t->err), 0);
	return sv[1];
}

TEST(attach_gets_kept_output_from_an_offset)
{
	dv_ExecRequest rq = { .has_stdout = true };
	struct try_procs t;
	struct dv_exec *e;
	uint64_t at;
	int fd, sv[2];

	try_open(&t);
	rq.stdout.mode = dv_STDIO_KEEP;
	e = try_run(&t, &rq, "echo 0123456789");
	CHECK_EQ(try_wait(&t, e), 0);
	fd = attach(&t, e, 0, &at);
	CHECK_EQ(at, 0);
	CHECK_STR(try_text(&t, fd), "0123456789\n");
	fd = attach(&t, e, 5, &at);
	CHECK_EQ(at, 5);
	CHECK_STR(try_text(&t, fd), "56789\n");
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	CHECK_EQ(dv_exec_attach(e, 1, 12, dv_take_fd(&sv[0]), &at, &t.err),
		 -ERANGE);
	dv_close(sv[1]);
	CHECK_EQ(dv_exec_attach(e, 2, 0, -1, &at, &t.err), -ENOENT);
	try_close(&t);
}

TEST(attach_says_what_was_lost)
{
	enum { TOTAL = DV_KEEP_BYTES + 1000 };
	static char buf[TOTAL];
	dv_ExecRequest rq = { .has_stdout = true };
	struct try_procs t;
	struct dv_exec *e;
	uint64_t at;
	int fd;

	try_open(&t);
	rq.stdout.mode = dv_STDIO_KEEP;
	e = try_run(&t, &rq,
		    "head -c 263144 /dev/zero | tr '\\0' x; "
		    "echo end >/dev/null");
	CHECK_EQ(try_wait(&t, e), 0);
	try_settle(&t);
	fd = attach(&t, e, 10, &at);
	CHECK_EQ(at, 1000);
	CHECK_EQ(try_read(&t, fd, buf, TOTAL), DV_KEEP_BYTES);
	CHECK_EQ(buf[0], 'x');
	dv_close(fd);
	try_close(&t);
}

TEST(kept_output_of_the_oldest_goes_when_there_is_too_much)
{
	enum { MOST = DV_KEPT_MAX / DV_KEEP_BYTES, MORE = 3 };
	dv_ExecRequest rq = { .has_stdout = true };
	uint64_t ids[MOST + MORE], at;
	struct try_procs t;

	rq.stdout.mode = dv_STDIO_KEEP;
	try_open(&t);
	for (int i = 0; i < MOST + MORE; i++) {
		struct dv_exec *e =
			try_run(&t, &rq, "exec head -c 300000 /dev/zero");

		ids[i] = dv_exec_id(e);
		CHECK_EQ(try_wait(&t, e), 0);
		while (dv_procs_flowing(t.procs))
			try_turn(&t);
		try_settle(&t);
	}
	for (int i = 0; i < MOST + MORE; i++) {
		struct dv_exec *e = dv_procs_find(t.procs, ids[i], 0);
		int fds[2];

		CHECK(dv_exec_record(e));
		CHECK_EQ(dv_pipe(fds), 0);
		CHECK_EQ(dv_exec_attach(e, 1, 0, fds[1], &at, &t.err),
			 i < MORE ? -ENOENT : 0);
		if (i < MORE)
			CHECK(strstr(t.err.msg, "is kept no more"));
		else
			CHECK_EQ(at, 300000 - DV_KEEP_BYTES);
		dv_close(fds[0]);
		try_settle(&t);
	}
	try_close(&t);
}

struct try_kept {
	struct dv_kept kept;
	struct try_kept *other;
	size_t seen; /* of the other, when this one was told idle */
	bool told;
};

static void on_try_idle(struct dv_kept *kept)
{
	struct try_kept *k = dv_container_of(kept, struct try_kept, kept);

	k->told = true;
	k->seen = dv_kept_bytes(&k->other->kept);
	CHECK_EQ(k->seen > 0, k->other->told);
}

/* One that is forgotten before would never be told, and never end. */
TEST(kept_output_counts_when_its_end_was_told)
{
	struct try_kept k[2];
	struct try_procs t;

	try_open(&t);
	for (int i = 0; i < 2; i++) {
		int fds[2];

		k[i] = (struct try_kept){ .kept = DV_KEPT_INIT,
					  .other = &k[1 - i] };
		k[i].kept.idle = on_try_idle;
		CHECK_EQ(dv_pipe(fds), 0);
		CHECK_EQ(dv_kept_start(&k[i].kept, t.loop, fds[0], -1), 0);
		CHECK_EQ(dv_write_full(fds[1], "text", 4), 0);
		dv_close(fds[1]);
	}
	while (!k[0].told || !k[1].told)
		try_turn(&t);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(dv_kept_bytes(&k[i].kept), 4);
		dv_kept_drop(&k[i].kept);
		CHECK_EQ(dv_kept_bytes(&k[i].kept), 0);
	}
	try_close(&t);
}

TEST(primary_reader_of_kept_output_loses_nothing)
{
	enum { TOTAL = 4 << 20 };
	static char buf[65536];
	dv_ExecRequest rq = { 0 };
	struct try_procs t;
	struct dv_exec *e;
	size_t total = 0, n;
	uint64_t at;
	int out, fd;

	try_open(&t);
	out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	rq.stdout.keep = true;
	e = try_run(&t, &rq, "head -c 4194304 /dev/zero");
	/* One that never reads is overrun, and ends. */
	fd = attach(&t, e, 0, &at);
	while ((n = try_read(&t, out, buf, sizeof(buf))) > 0)
		total += n;
	CHECK_EQ(total, TOTAL);
	CHECK_EQ(try_wait(&t, e), 0);
	for (total = 0; (n = try_read(&t, fd, buf, sizeof(buf))) > 0;)
		total += n;
	CHECK(total < TOTAL);
	dv_close(fd);
	dv_close(out);
	try_close(&t);
}

/* ---- restart ---------------------------------------------------------- */

static void count_fd(void *arg, int fd)
{
	CHECK(fd >= 0);
	++*(int *)arg;
}

/* What an exec in place does to the table: a document, and a new table. */
static void restart(struct try_procs *t)
{
	dv_ProcsState st;
	struct dv_procs_opts o = { .size = sizeof(o), .data = t->data };
	int n_fds = 0;

	CHECK_EQ(dv_procs_save(t->procs, &st, count_fd, &n_fds, &t->err), 0);
	CHECK(n_fds > 0);
	t->procs = dv_procs_abandon(t->procs);
	CHECK_EQ(dv_procs_new(&t->procs, t->loop, &o, &t->err), 0);
	CHECK_EQ(dv_procs_restore(t->procs, &st, &t->err), 0);
	dv_pb_release(dv_ProcsState_fields, &st);
}

TEST(restart_loses_no_status)
{
	struct dv_exec *e;
	struct try_procs t;
	dv_ExecRequest rq = { .timeout_ms = 60000 };
	uint64_t exited, running;
	int in;

	try_open(&t);
	e = try_run(&t, NULL, "exit 5");
	CHECK_EQ(try_wait(&t, e), 5);
	exited = dv_exec_id(e);
	in = try_stdio(&t, &rq.stdin, &rq.has_stdin);
	running = dv_exec_id(try_run(&t, &rq, "read x; exit $x"));
	restart(&t);
	e = dv_procs_find(t.procs, exited, 0);
	CHECK(e != NULL);
	CHECK_EQ(dv_exec_record(e)->code, 5);
	CHECK_STR(dv_exec_record(e)->ended_by, "exit");
	e = dv_procs_find(t.procs, running, 0);
	CHECK(e != NULL);
	try_send(&t, in, "9\n", 2);
	CHECK_EQ(try_wait(&t, e), 9);
	CHECK_EQ(dv_exec_id(try_run(&t, NULL, ":")), running + 1);
	dv_close(in);
	try_close(&t);
}

TEST(restart_in_the_middle_of_traffic_loses_no_byte)
{
	enum { TOTAL = 8 << 20, CHUNK = 8192, EVERY = 64 };
	static unsigned char buf[CHUNK];
	dv_ExecRequest rq = { 0 };
	uint64_t n_sent = 0, n_got = 0, id[2], turns = 0, restarts = 0;
	struct try_procs t;
	int in, out, kept;

	try_open(&t);
	in = try_stdio(&t, &rq.stdin, &rq.has_stdin);
	out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	id[0] = dv_exec_id(try_run(&t, &rq, "exec cat"));
	rq.has_stdin = false;
	kept = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	rq.stdout.keep = true;
	id[1] = dv_exec_id(try_run(&t, &rq, "exec head -c 3000000 /dev/zero"));
	while (n_got < TOTAL) {
		ssize_t n = 0;

		for (size_t i = 0; i < CHUNK; i++)
			buf[i] = pattern(n_sent + i);
		if (n_sent < TOTAL)
			n = send(in, buf, CHUNK, MSG_DONTWAIT);
		n_sent += n > 0 ? (uint64_t)n : 0;
		if (n > 0 && n_sent >= TOTAL)
			shutdown(in, SHUT_WR);
		if (++turns % EVERY == 0) {
			restart(&t);
			restarts++;
		}
		n = recv(out, buf, CHUNK, MSG_DONTWAIT);
		for (ssize_t i = 0; i < n; i++)
			if (buf[i] != pattern(n_got + (uint64_t)i))
				fail_msg("byte %llu differs",
					 (unsigned long long)n_got);
		n_got += n > 0 ? (uint64_t)n : 0;
		if (n < 0)
			try_turn(&t);
	}
	CHECK(restarts > 10);
	CHECK_EQ(n_got, n_sent);
	CHECK_STR(try_text(&t, out), "");
	for (n_got = 0;;) {
		size_t n = try_read(&t, kept, buf, 5000);

		n_got += n;
		if (!n)
			break;
		restart(&t);
	}
	CHECK_EQ(n_got, 3000000);
	CHECK_EQ(try_wait(&t, dv_procs_find(t.procs, id[0], 0)), 0);
	CHECK_EQ(try_wait(&t, dv_procs_find(t.procs, id[1], 0)), 0);
	dv_close(in);
	dv_close(kept);
	try_close(&t);
}

TEST(restart_keeps_terminals_and_kept_output)
{
	dv_ExecRequest rq = { .terminal = true };
	struct try_procs t;
	uint64_t id, kept, at;
	struct dv_exec *e;
	int in, out, fd;

	try_open(&t);
	in = try_stdio(&t, &rq.stdin, &rq.has_stdin);
	out = try_stdio(&t, &rq.stdout, &rq.has_stdout);
	id = dv_exec_id(try_run(&t, &rq, "stty -echo; read x; stty size"));
	rq = (dv_ExecRequest){ .has_stdout = true };
	rq.stdout.mode = dv_STDIO_KEEP;
	e = try_run(&t, &rq, "echo remembered");
	kept = dv_exec_id(e);
	CHECK_EQ(try_wait(&t, e), 0);
	try_settle(&t);
	restart(&t);
	e = dv_procs_find(t.procs, id, 0);
	CHECK_EQ(dv_exec_resize(e, 7, 8, &t.err), 0);
	try_send(&t, in, "\n", 1);
	CHECK(strstr(try_text(&t, out), "7 8") != NULL);
	CHECK_EQ(try_wait(&t, e), 0);
	fd = attach(&t, dv_procs_find(t.procs, kept, 0), 2, &at);
	CHECK_STR(try_text(&t, fd), "membered\n");
	dv_close(in);
	try_close(&t);
}

TEST(restart_knows_which_output_was_dropped)
{
	dv_ExecRequest rq = { .has_stdout = true, .has_stderr = true };
	struct try_procs t;
	struct dv_exec *e;
	int fds[2], in;
	uint64_t id, at;

	rq.stdout.mode = dv_STDIO_KEEP;
	try_open(&t);
	e = try_run(&t, &rq, "echo forgotten");
	id = dv_exec_id(e);
	CHECK_EQ(try_wait(&t, e), 0);
	try_settle(&t);
	dv_kept_drop(&e->stream[1].kept);
	rq = (dv_ExecRequest){ .timeout_ms = 60000 };
	in = try_stdio(&t, &rq.stdin, &rq.has_stdin);
	e = try_run(&t, &rq, "read x");
	restart(&t);
	for (int i = 1; i < 3; i++) {
		CHECK_EQ(dv_pipe(fds), 0);
		CHECK_EQ(dv_exec_attach(dv_procs_find(t.procs, id, 0),
					(uint32_t)i, 0, fds[1], &at, &t.err),
			 -ENOENT);
		CHECK(strstr(t.err.msg,
			     i == 1 ? "is kept no more" : "is not kept"));
		dv_close(fds[0]);
	}
	dv_close(in);
	try_settle(&t);
	try_close(&t);
}

TEST(restart_refuses_documents_that_make_no_sense)
{
	dv_ExecState execs[] = {
		{ .id = 1, .pid = 0 },
		{ .id = 2, .pid = 1, .pidfd = 0 },
	};
	struct try_procs t;

	for (size_t i = 0; i < DV_ARRAY_LEN(execs); i++) {
		char *argv[] = { arg("x") };
		dv_ProcsState st = { .execs_count = 1, .execs = &execs[i] };

		execs[i].argv = argv;
		execs[i].argv_count = 1;
		try_open(&t);
		CHECK_EQ(dv_procs_restore(t.procs, &st, &t.err), -EINVAL);
		try_close(&t);
	}
}
