/* SPDX-License-Identifier: MIT */
#include "agent/core_try.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/ptrace.h>

#include "agent/core_maps.h"
#include "agent/core_out.h"
#include "agent/core_proc.h"
#include "base/fmt.h"
#include "wire/elfcore.h"

/* ---- a process that dumps ---------------------------------------------- */

struct dumper {
	pid_t pid;
	int out; /* where the core comes out */
	int report;
};

/* What its end says. */
struct report {
	int r;
	uint64_t written;
	struct dv_err err;
};

static struct dumper dump_start(pid_t pid, const int out[2],
				const struct dv_core_opts *opts)
{
	struct dumper d = { .out = out[0] };
	struct dv_core_opts o = { .size = sizeof(o) };
	struct report rep = { 0 };
	int pair[2];

	CHECK_EQ(dv_pipe(pair), 0);
	d.pid = fork();
	if (d.pid == 0) {
		close(out[0]);
		if (opts)
			o = *opts;
		o.written = &rep.written;
		rep.r = dv_core_write(pid, out[1], &o, &rep.err);
		dv_write_full(pair[1], &rep, sizeof(rep));
		dv_child_end(0);
	}
	CHECK(d.pid > 0);
	close(pair[1]);
	close(out[1]);
	d.report = pair[0];
	return d;
}

static struct dumper dump_to_socket(pid_t pid, const struct dv_core_opts *opts)
{
	int out[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out), 0);
	return dump_start(pid, out, opts);
}

static struct report dump_end(struct dumper *d)
{
	struct report rep = { .r = 1 };

	close(d->out);
	CHECK_EQ(dv_read_full(d->report, &rep, sizeof(rep)), sizeof(rep));
	close(d->report);
	CHECK_EQ(waitpid(d->pid, NULL, 0), d->pid);
	return rep;
}

/* A whole dump of the target, which answers afterwards. */
static struct core dump_whole(struct target *t, pid_t pid,
			      const struct dv_core_opts *opts)
{
	struct dumper d = dump_to_socket(pid, opts);
	struct core c;

	core_slurp(&c, d.out);
	struct report rep = dump_end(&d);

	if (rep.r < 0)
		print_error("%s\n", rep.err.msg);
	CHECK_EQ(rep.r, 0);
	CHECK_EQ(rep.written, c.bytes.len);
	core_parse(&c);
	target_answers(t);
	return c;
}

/* ---- content -------------------------------------------------------------
 */

static char marker[] = "marker in data";
static char *sparse, *shared, *secret, *reserved;

enum { SPARSE = 64 << 20 };
#define RESERVED ((size_t)1 << 40)

static char *map(size_t len, int prot, int flags)
{
	void *p = mmap(NULL, len, prot, flags | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

/* Mapped by the test itself, so that both know where; used by the target. */
static void make_memory(void)
{
	sparse = map(SPARSE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	shared = map(65536, PROT_READ | PROT_WRITE, MAP_SHARED);
	secret = map(65536, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	reserved = map(RESERVED, PROT_NONE, MAP_PRIVATE);
}

static void drop_memory(void)
{
	munmap(sparse, SPARSE);
	munmap(shared, 65536);
	munmap(secret, 65536);
	munmap(reserved, RESERVED);
}

static void fill_memory(void)
{
	memcpy(marker, "MARKER", 6);
	memcpy(sparse + SPARSE / 2, "middle", 6);
	memcpy(sparse + SPARSE / 2 + 8192, "near", 4);
	memcpy(shared, "shared", 6);
	memcpy(secret, "secret", 6);
	madvise(secret, 65536, MADV_DONTDUMP);
}

TEST(core_has_the_memory_of_the_process_and_its_holes_cost_nothing)
{
	make_memory();
	struct target t = target_start(fill_memory);
	struct core c = dump_whole(&t, t.pid, NULL);

	CHECK_STR(core_at(&c, marker), "MARKER in data");
	CHECK_STR(core_at(&c, sparse + SPARSE / 2), "middle");
	CHECK_STR(core_at(&c, sparse + SPARSE / 2 + 8192), "near");
	/* A small hole is zeros in the file, a large one is left out. */
	CHECK_STR(core_at(&c, sparse + SPARSE / 2 + 4096), "");
	CHECK(!core_at(&c, sparse));
	CHECK(core_has(&c, sparse));
	CHECK(!core_at(&c, sparse + SPARSE - 1));
	CHECK(core_has(&c, sparse + SPARSE - 1));
	CHECK_STR(core_at(&c, shared), "shared");
	CHECK(!core_at(&c, secret));
	CHECK(core_has(&c, secret));
	CHECK(!core_has(&c, reserved));
	core_free(&c);
	target_end(&t);
	drop_memory();
}

TEST(core_with_another_filter_has_other_memory)
{
	make_memory();
	struct target t = target_start(fill_memory);
	struct dv_core_opts o = { .size = sizeof(o),
				  .filter = DV_CORE_ANON_SHARED };
	struct core c = dump_whole(&t, t.pid, &o);

	CHECK_STR(core_at(&c, shared), "shared");
	CHECK(!core_at(&c, marker));
	core_free(&c);
	target_end(&t);
	drop_memory();
}

TEST(core_notes_name_the_process_its_files_and_registers)
{
	struct target t = target_start(NULL);
	struct core c = dump_whole(&t, t.pid, NULL);
	struct elf_prpsinfo info;
	char exe[4096];
	uint32_t len = 0;

	CHECK_EQ(core_tid(&c, 0), t.pid);
	CHECK_EQ(core_count(&c, NT_PRSTATUS), 1);
	CHECK_EQ(core_count(&c, NT_PRFPREG), 1);
	CHECK_EQ(core_count(&c, NT_AUXV), 1);
	CHECK_EQ(core_count(&c, NT_SIGINFO), 0);
	CHECK_EQ(core_count(&c, DV_ELFCORE_NT_CUSTOM), 0);
#ifdef __x86_64__
	CHECK_EQ(core_count(&c, NT_X86_XSTATE), 1);
#endif
	memcpy(&info, core_note(&c, NT_PRPSINFO, 0, &len), sizeof(info));
	CHECK_EQ(len, sizeof(info));
	CHECK_EQ(info.pr_pid, t.pid);
	CHECK_EQ(info.pr_ppid, getpid());
	CHECK_EQ(info.pr_uid, getuid());
	const char *files = core_note(&c, NT_FILE, 0, &len);

	CHECK(files);
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	CHECK(n > 0);
	CHECK(memmem(files, len, exe, (size_t)n));
	core_free(&c);
	target_end(&t);
}

/* Where the program begins: its ELF header, and so its build id. */
extern const char __executable_start[];

TEST(core_has_the_first_page_of_an_elf_file)
{
	struct target t = target_start(NULL);
	struct core c = dump_whole(&t, t.pid, NULL);
	const char *first = core_at(&c, __executable_start);

	CHECK(first);
	CHECK_EQ(memcmp(first, __executable_start, 4096), 0);
	core_free(&c);
	target_end(&t);
}

TEST(core_has_the_kernel_log_when_asked)
{
	struct dv_core_opts o = { .size = sizeof(o), .kmsg = true };
	uint32_t len = 0;
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char byte[8192];

	if (fd < 0 || read(fd, byte, sizeof(byte)) <= 0) {
		dv_close(fd);
		SKIP("/dev/kmsg cannot be read");
	}
	close(fd);
	struct target t = target_start(NULL);
	struct core c = dump_whole(&t, t.pid, &o);
	const char *log = core_note(&c, DV_ELFCORE_NT_CUSTOM, 0, &len);

	CHECK(log);
	CHECK(len > 0 && len <= 256 * 1024);
	CHECK_STR(log - 8, "KMSG");
	CHECK_EQ(log[len - 1], '\n');
	CHECK(log[0] >= '0' && log[0] <= '9'); /* a record begins */
	core_free(&c);
	target_end(&t);
}

/* ---- threads -------------------------------------------------------------
 */

static _Atomic pid_t *tids; /* shared with the target */

static void *wait_forever(void *arg)
{
	tids[(intptr_t)arg] = gettid();
	for (;;)
		pause();
	return NULL;
}

static void four_threads(void)
{
	pthread_t thread;

	for (intptr_t i = 0; i < 4; i++) {
		if (pthread_create(&thread, NULL, wait_forever, (void *)i))
			dv_child_end(1);
		while (!tids[i])
			sched_yield();
	}
}

TEST(every_thread_is_in_the_core_and_the_named_one_is_first)
{
	tids = (_Atomic pid_t *)map(4096, PROT_READ | PROT_WRITE, MAP_SHARED);
	struct target t = target_start(four_threads);
	struct core c = dump_whole(&t, t.pid, NULL);

	CHECK_EQ(core_count(&c, NT_PRSTATUS), 5);
	CHECK_EQ(core_count(&c, NT_PRFPREG), 5);
	CHECK_EQ(core_tid(&c, 0), t.pid);
	core_free(&c);
	c = dump_whole(&t, tids[2], NULL);
	CHECK_EQ(core_count(&c, NT_PRSTATUS), 5);
	CHECK_EQ(core_tid(&c, 0), tids[2]);
	core_free(&c);
	target_end(&t);
	munmap(tids, 4096);
}

struct heir {
	pthread_t leader;
	int sock;
};

static void *inherit(void *arg)
{
	struct heir *h = arg;
	uint32_t zero = 0;

	pthread_join(h->leader, NULL);
	dv_write_full(h->sock, &zero, sizeof(zero));
	target_serve(h->sock);
}

/* A process that goes on in its second thread when its first one has ended. */
static _Noreturn void leave_to_heir(int sock)
{
	static struct heir h;
	pthread_t thread;

	h.leader = pthread_self();
	h.sock = sock;
	if (pthread_create(&thread, NULL, inherit, &h))
		dv_child_end(1);
	pthread_exit(NULL);
}

TEST(process_whose_leader_has_ended_is_dumped_by_its_other_threads)
{
	struct target t = { 0 };
	uint32_t zero = 1;
	struct core c;
	int sock[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), 0);
	t.pid = fork();
	if (t.pid == 0) {
		close(sock[0]);
		leave_to_heir(sock[1]);
	}
	close(sock[1]);
	t.sock = sock[0];
	CHECK_EQ(dv_read_full(t.sock, &zero, sizeof(zero)), sizeof(zero));
	/* It still takes a moment to become a zombie. */
	while (!dv_core_proc_ended(t.pid))
		sched_yield();
	c = dump_whole(&t, t.pid, NULL);
	CHECK_EQ(core_count(&c, NT_PRSTATUS), 1);
	CHECK(core_tid(&c, 0) != t.pid);
	core_free(&c);
	target_end(&t);
}

static void *breed(void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 65536);
	pthread_create(&thread, &attr, breed, arg);
	pthread_attr_destroy(&attr);
	return NULL;
}

static void four_breeders(void)
{
	for (int i = 0; i < 4; i++)
		breed(NULL);
}

/* How many threads of @pid are neither stopped by a tracer nor over. */
static int count_running(pid_t pid)
{
	char path[64];
	DIR *dir;
	int n = 0;

	dv_fmt(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	CHECK(dir);
	for (struct dirent *e; (e = readdir(dir));) {
		dv_autofree char *text = NULL;
		const char *end;

		dv_fmt(path, sizeof(path), "%s/stat", e->d_name);
		if (e->d_name[0] == '.' ||
		    dv_read_file(dirfd(dir), path, 4096, &text, NULL) < 0)
			continue;
		end = strrchr(text, ')');
		CHECK(end && end[1]);
		n += !strchr("tZXx", end[2]);
	}
	closedir(dir);
	return n;
}

TEST(threads_that_come_and_go_do_not_escape)
{
#ifdef __SANITIZE_ADDRESS__
	SKIP("the sanitizer cannot follow so many threads");
#endif
	struct target t = target_start(four_breeders);

	for (int i = 0; i < 20; i++) {
		struct dumper d;
		struct core c;
		int out[2];
		char byte;

		core_pair(out);
		d = dump_start(t.pid, out, NULL);
		/* All stand still before the first byte, and until the last. */
		CHECK_EQ(recv(d.out, &byte, 1, MSG_PEEK), 1);
		CHECK_EQ(count_running(t.pid), 0);
		core_slurp(&c, d.out);
		CHECK_EQ(dump_end(&d).r, 0);
		core_parse(&c);
		CHECK_EQ(core_tid(&c, 0), t.pid);
		core_free(&c);
		target_answers(&t);
	}
	target_end(&t);
}

/* It stands in the kernel until its child is gone, and no tracer stops it. */
static void *wait_in_vfork(void *arg)
{
	pid_t pid = vfork();

	if (pid == 0) {
		tids[0] = getpid();
		for (;;)
			pause();
	}
	waitpid(pid, NULL, 0);
	tids[1] = 1;
	return arg;
}

static void one_in_vfork(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, wait_in_vfork, NULL))
		dv_child_end(1);
	while (!tids[0])
		sched_yield();
}

TEST(thread_that_does_not_stop_is_left_out_after_the_deadline)
{
	/* The other one has to stop in it, however busy the machine is. */
	struct dv_core_opts o = { .size = sizeof(o), .stop_ms = 2000 };

	tids = (_Atomic pid_t *)map(4096, PROT_READ | PROT_WRITE, MAP_SHARED);
	struct target t = target_start(one_in_vfork);
	struct core c = dump_whole(&t, t.pid, &o);

	CHECK_EQ(core_count(&c, NT_PRSTATUS), 1);
	CHECK_EQ(core_tid(&c, 0), t.pid);
	core_free(&c);
	/* It goes on as well, as soon as it can. */
	CHECK_EQ(kill(tids[0], SIGKILL), 0);
	while (!tids[1])
		sched_yield();
	target_answers(&t);
	target_end(&t);
	munmap(tids, 4096);
}

/* ---- the process goes on -------------------------------------------------
 */

static char *megabytes;

enum { MEGABYTES = 32 << 20 };

static void touch_megabytes(void)
{
	memset(megabytes, 'x', MEGABYTES);
}

/* The state letter of a process. */
static char state_of(pid_t pid)
{
	struct dv_core_proc p;

	CHECK_EQ(dv_core_proc_read(pid, &p, NULL), 0);
	return p.state;
}

static void await_state(pid_t pid, char state)
{
	uint64_t until = dv_now_ns() + TRY_WAIT_MS * UINT64_C(1000000);

	while (state_of(pid) != state && dv_now_ns() < until)
		sched_yield();
	CHECK_EQ(state_of(pid), state);
}

TEST(dumper_that_is_killed_half_way_leaves_a_running_process)
{
	megabytes = map(MEGABYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	struct target t = target_start(touch_megabytes);
	char some[4096];

	/* After so many bytes; it has stopped the process by then. */
	for (size_t at = 1; at < MEGABYTES; at *= 8) {
		struct dumper d = dump_to_socket(t.pid, NULL);

		for (size_t got = 0; got < at;) {
			ssize_t n = dv_read(d.out, some,
					    dv_min(at - got, sizeof(some)));

			CHECK(n > 0);
			got += (size_t)n;
		}
		CHECK_EQ(state_of(t.pid), 't');
		CHECK_EQ(kill(d.pid, SIGKILL), 0);
		CHECK_EQ(waitpid(d.pid, NULL, 0), d.pid);
		close(d.out);
		close(d.report);
		target_answers(&t);
	}
	target_end(&t);
	munmap(megabytes, MEGABYTES);
}

TEST(dumper_that_is_killed_at_any_moment_leaves_a_running_process)
{
	struct target t = target_start(NULL);

	for (int i = 0; i < 100; i++) {
		struct dumper d = dump_to_socket(t.pid, NULL);
		uint64_t until = dv_now_ns() + (uint64_t)i * 30000;

		while (dv_now_ns() < until)
			;
		CHECK_EQ(kill(d.pid, SIGKILL), 0);
		CHECK_EQ(waitpid(d.pid, NULL, 0), d.pid);
		close(d.out);
		close(d.report);
		target_answers(&t);
	}
	target_end(&t);
}

TEST(reader_that_goes_away_is_an_error_and_the_process_goes_on)
{
	megabytes = map(MEGABYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	struct target t = target_start(touch_megabytes);

	for (int i = 0; i < 3; i++) {
		int out[2];
		char some[10];

		if (i == 0)
			CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, out), 0);
		else
			CHECK_EQ(dv_pipe(out), 0);
		struct dumper d = dump_start(t.pid, out, NULL);

		if (i < 2)
			CHECK_EQ(dv_read_full(d.out, some, 10), 10);
		struct report rep = dump_end(&d);

		CHECK_EQ(rep.r, -EPIPE);
		CHECK_EQ(rep.err.code, DV_CANCELLED);
		CHECK_STR(rep.err.msg, "the reader of the core went away");
		target_answers(&t);
	}
	target_end(&t);
	munmap(megabytes, MEGABYTES);
}

TEST(reader_that_takes_nothing_is_given_up_after_the_deadline)
{
	megabytes = map(MEGABYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	struct target t = target_start(touch_megabytes);
	struct dv_core_opts o = { .size = sizeof(o), .stall_ms = 20 };

	for (int i = 0; i < 2; i++) {
		struct report rep;
		int out[2];

		if (i == 0)
			CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, out), 0);
		else
			CHECK_EQ(dv_pipe(out), 0);
		struct dumper d = dump_start(t.pid, out, &o);

		CHECK_EQ(dv_read_full(d.report, &rep, sizeof(rep)),
			 sizeof(rep));
		CHECK_EQ(rep.r, -ETIMEDOUT);
		CHECK_EQ(rep.err.code, DV_DEADLINE);
		CHECK(rep.written > 0);
		close(d.out);
		close(d.report);
		CHECK_EQ(waitpid(d.pid, NULL, 0), d.pid);
		target_answers(&t);
	}
	target_end(&t);
	munmap(megabytes, MEGABYTES);
}

TEST(stopped_process_is_dumped_and_stays_stopped)
{
	struct target t = target_start(NULL);
	int status;

	CHECK_EQ(kill(t.pid, SIGSTOP), 0);
	CHECK_EQ(waitpid(t.pid, &status, WUNTRACED), t.pid);
	CHECK(WIFSTOPPED(status));
	struct dumper d = dump_to_socket(t.pid, NULL);
	struct core c;

	core_slurp(&c, d.out);
	CHECK_EQ(dump_end(&d).r, 0);
	core_parse(&c);
	core_free(&c);
	await_state(t.pid, 'T');
	/* Nor does the death of a dumper wake it. */
	d = dump_to_socket(t.pid, NULL);
	CHECK_EQ(dv_read(d.out, &status, 1), 1);
	CHECK_EQ(kill(d.pid, SIGKILL), 0);
	CHECK_EQ(waitpid(d.pid, NULL, 0), d.pid);
	close(d.out);
	close(d.report);
	await_state(t.pid, 'T');
	CHECK_EQ(kill(t.pid, SIGCONT), 0);
	target_answers(&t);
	target_end(&t);
}

static _Atomic int *n_signals; /* shared with the target */

static void count_signal(int signo)
{
	(void)signo;
	(*n_signals)++;
}

static void count_signals(void)
{
	struct sigaction act = { .sa_handler = count_signal,
				 .sa_flags = SA_RESTART };

	sigaction(SIGRTMIN, &act, NULL);
}

TEST(no_signal_is_lost_by_a_dump)
{
	enum { ROUNDS = 30, EACH = 50 };
	union sigval none = { 0 };

	n_signals =
		(_Atomic int *)map(4096, PROT_READ | PROT_WRITE, MAP_SHARED);
	struct target t = target_start(count_signals);

	for (int i = 0; i < ROUNDS; i++) {
		struct dumper d = dump_to_socket(t.pid, NULL);
		struct core c;

		for (int k = 0; k < EACH; k++)
			CHECK_EQ(sigqueue(t.pid, SIGRTMIN, none), 0);
		if (i % 3 == 0) {
			kill(d.pid, SIGKILL);
			CHECK_EQ(waitpid(d.pid, NULL, 0), d.pid);
			close(d.out);
			close(d.report);
			continue;
		}
		core_slurp(&c, d.out);
		CHECK_EQ(dump_end(&d).r, 0);
		core_free(&c);
	}
	target_answers(&t);
	/* Another thread may be about to handle the last of them. */
	uint64_t until = dv_now_ns() + TRY_WAIT_MS * UINT64_C(1000000);

	while (*n_signals < ROUNDS * EACH && dv_now_ns() < until)
		sched_yield();
	CHECK_EQ(*n_signals, ROUNDS * EACH);
	target_end(&t);
	munmap(n_signals, 4096);
}

TEST(process_that_dies_meanwhile_is_an_error)
{
	megabytes = map(MEGABYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	struct target t = target_start(touch_megabytes);
	struct dumper d = dump_to_socket(t.pid, NULL);
	struct core c;
	char byte;

	CHECK_EQ(dv_read(d.out, &byte, 1), 1);
	CHECK_EQ(kill(t.pid, SIGKILL), 0);
	core_slurp(&c, d.out);
	core_free(&c);
	struct report rep = dump_end(&d);

	CHECK_EQ(rep.r, -ESRCH);
	CHECK(strstr(rep.err.msg, "ended while it was dumped"));
	close(t.sock);
	CHECK_EQ(waitpid(t.pid, NULL, 0), t.pid);
	munmap(megabytes, MEGABYTES);
}

/* ---- refusals -------------------------------------------------------------
 */

static struct report refused(pid_t pid, const struct dv_core_opts *opts)
{
	struct dumper d = dump_to_socket(pid, opts);
	struct core c;

	core_slurp(&c, d.out);
	struct report rep = dump_end(&d);

	CHECK_EQ(c.bytes.len, 0);
	CHECK_EQ(rep.written, 0);
	core_free(&c);
	return rep;
}

TEST(processes_that_cannot_be_dumped_are_refused)
{
	CHECK_EQ(refused(INT32_MAX, NULL).r, -ESRCH);
	CHECK_EQ(refused(0, NULL).r, -ESRCH);
	CHECK_EQ(refused(-1, NULL).r, -ESRCH);
	struct dv_err err = DV_ERR_INIT;

	CHECK_EQ(dv_core_write(getpid(), -1, NULL, &err), -EINVAL);
	CHECK(strstr(err.msg, "cannot dump itself"));
}

TEST(kernel_thread_is_refused)
{
	char *text = NULL;

	if (dv_read_file(AT_FDCWD, "/proc/2/comm", 64, &text, NULL) < 0 ||
	    strcmp(text, "kthreadd\n") != 0) {
		free(text);
		SKIP("no kernel thread is seen here");
	}
	free(text);
	struct report rep = refused(2, NULL);

	CHECK_EQ(rep.r, -EINVAL);
	CHECK_STR(rep.err.msg, "process 2 (kthreadd) is a kernel thread");
}

TEST(zombie_is_refused)
{
	siginfo_t si;
	pid_t pid = fork();

	if (pid == 0)
		dv_child_end(0);
	CHECK_EQ(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
	struct report rep = refused(pid, NULL);

	CHECK_EQ(rep.r, -ESRCH);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

TEST(traced_process_is_refused_and_the_tracer_is_named)
{
	struct target t = target_start(NULL);
	char want[128];

	CHECK_EQ(ptrace(PTRACE_SEIZE, t.pid, NULL, NULL), 0);
	struct report rep = refused(t.pid, NULL);

	dv_fmt(want, sizeof(want), "process %d is already traced by process %d",
	       t.pid, getpid());
	CHECK_EQ(rep.r, -EPERM);
	CHECK_EQ(rep.err.code, DV_PRECONDITION);
	CHECK_STR(rep.err.msg, want);
	CHECK_STR(rep.err.hint, "end the debugger or tracer first");
	target_end(&t);
}

TEST(process_of_another_user_is_refused_with_a_hint)
{
	if (geteuid() != 0)
		SKIP("needs root to have another user's process");
	struct target t = target_start(NULL);
	pid_t pid = fork();

	if (pid == 0) {
		struct dv_err err = DV_ERR_INIT;

		if (setresuid(65534, 65534, 65534) < 0)
			dv_child_end(77);
		dv_child_end(dv_core_write(t.pid, 1, NULL, &err) != -EPERM ||
			     err.code != DV_DENIED ||
			     !strstr(err.hint, "it belongs to user 0"));
	}
	int status;

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	target_answers(&t);
	target_end(&t);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("root may not become another user here");
	CHECK_EQ(status, 0);
}

TEST(bad_options_are_refused)
{
	struct {
		struct dv_core_opts o;
		uint64_t newer;
	} x = { .o = { .size = sizeof(x) } };
	struct dv_err err = DV_ERR_INIT;

	CHECK_EQ(dv_core_write(INT32_MAX, -1, &x.o, &err), -ESRCH);
	x.newer = 1;
	CHECK_EQ(dv_core_write(INT32_MAX, -1, &x.o, &err), -EINVAL);
	struct dv_core_opts o = { .size = sizeof(o), .stop_ms = -1 };

	CHECK_EQ(dv_core_write(INT32_MAX, -1, &o, &err), -EINVAL);
}

/* ---- ways to write ---------------------------------------------------------
 */

/* Every way carries a megabyte through a slow reader. */
TEST(output_by_every_way_is_complete)
{
	enum { LEN = 1 << 20 };
	static const enum dv_core_way ways[] = { DV_CORE_WAY_UNKNOWN,
						 DV_CORE_WAY_PAGES,
						 DV_CORE_WAY_PLAIN };

	for (size_t i = 0; i < 2 * DV_ARRAY_LEN(ways); i++) {
		struct dv_core_out o = { .stall_ms = TRY_WAIT_MS,
					 .way = ways[i / 2] };
		dv_autofree char *data = malloc(LEN);
		struct core c;
		int pair[2], status;

		CHECK(data);
		for (int k = 0; k < LEN; k++)
			data[k] = (char)(k * 31 >> 3);
		CHECK_EQ(dv_pipe(pair), 0);
		if (i % 2)
			CHECK_EQ(dv_fd_nonblock(pair[1], true), 0);
		pid_t pid = fork();

		if (pid == 0) {
			o.fd = pair[1];
			int r = dv_core_out(&o, data, LEN, NULL);

			if (r == 0)
				r = dv_core_out_zeros(&o, 100000, NULL);
			dv_child_end(r < 0 || o.written != LEN + 100000);
		}
		close(pair[1]);
		core_slurp(&c, pair[0]);
		close(pair[0]);
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK_EQ(status, 0);
		CHECK_EQ(c.bytes.len, LEN + 100000);
		CHECK_EQ(memcmp(c.bytes.data, data, LEN), 0);
		CHECK_EQ(c.bytes.data[LEN + 99999], 0);
		core_free(&c);
	}
}
