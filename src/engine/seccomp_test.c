/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/socket.h>

#include <seccomp.h>

#include "base/def.h"
#include "base/test.h"
#include "engine/seccomp.h"
#include "engine/seccomp_policy.h"
#include "engine/seccomp_try.h"

/* Bits that the kernel throws away and a careless filter compares. */
#define HIGH (UINT64_C(1) << 32)

#define RET_ERRNO(e) (SECCOMP_RET_ERRNO | (e))

static const struct sock_filter allow_all = { BPF_RET | BPF_K, 0, 0,
					      SECCOMP_RET_ALLOW };

struct row {
	const char *name;
	struct try_call call;
	int want; /* errno, 0 = works */
};

static void check_row(const struct row *row, int want)
{
	size_t n;
	const struct sock_filter *f = dv_seccomp_default(&n);
	int got = try_errno(f, n, &row->call);

	if (got != want)
		print_error("%s: errno %d, expected %d\n", row->name, got,
			    want);
	CHECK_EQ(got, want);
}

static void check_rows(const struct row *rows, size_t n_rows)
{
	for (size_t i = 0; i < n_rows; i++)
		check_row(&rows[i], rows[i].want);
}

/* ---- calls that are really made -------------------------------------- */

/*
 * The arguments are harmless: without a filter each call would fail for another
 * reason (no such descriptor, bad address), or do nothing.
 */
// clang-format off
static const struct row refused[] = {
	{ "ioctl TIOCSTI", { SYS_ioctl, { -1UL, TIOCSTI, 0 } }, EPERM },
	{ "ioctl TIOCSTI, high bits",
	  { SYS_ioctl, { -1UL, TIOCSTI | HIGH, 0 } }, EPERM },
	{ "ioctl TIOCSTI, all high bits",
	  { SYS_ioctl, { -1UL, TIOCSTI | ~(HIGH - 1), 0 } }, EPERM },
	{ "ioctl TIOCLINUX", { SYS_ioctl, { -1UL, TIOCLINUX, 0 } }, EPERM },
	{ "ioctl TIOCLINUX, high bits",
	  { SYS_ioctl, { -1UL, TIOCLINUX | HIGH, 0 } }, EPERM },
	{ "ioctl TIOCSETD", { SYS_ioctl, { -1UL, TIOCSETD, 0 } }, EPERM },
	{ "unshare user", { SYS_unshare, { CLONE_NEWUSER } }, EPERM },
	{ "unshare user, high bits",
	  { SYS_unshare, { CLONE_NEWUSER | HIGH } }, EPERM },
	{ "unshare time", { SYS_unshare, { POLICY_NEWTIME } }, EPERM },
	{ "unshare files and mount",
	  { SYS_unshare, { CLONE_FILES | CLONE_NEWNS } }, EPERM },
	{ "clone user", { SYS_clone, { CLONE_NEWUSER | SIGCHLD } }, EPERM },
	{ "clone net, high bits",
	  { SYS_clone, { CLONE_NEWNET | SIGCHLD | HIGH } }, EPERM },
	{ "clone3", { SYS_clone3, { 0, 0 } }, ENOSYS },
	{ "setns", { SYS_setns, { -1UL, 0 } }, EPERM },
	{ "mount", { SYS_mount, { 0, 0, 0, 0, 0 } }, EPERM },
	{ "umount2", { SYS_umount2, { 0, 0 } }, EPERM },
	{ "pivot_root", { SYS_pivot_root, { 0, 0 } }, EPERM },
	{ "fsopen", { SYS_fsopen, { 0, 0 } }, EPERM },
	{ "open_tree", { SYS_open_tree, { -1UL, 0, 0 } }, EPERM },
	{ "mount_setattr", { SYS_mount_setattr, { -1UL, 0, 0, 0, 0 } }, EPERM },
	{ "open_by_handle_at", { SYS_open_by_handle_at, { -1UL, 0, 0 } }, EPERM },
	{ "keyctl", { SYS_keyctl, { -1UL } }, EPERM },
	{ "add_key", { SYS_add_key, { 0, 0, 0, 0, 0 } }, EPERM },
	{ "request_key", { SYS_request_key, { 0, 0, 0, 0 } }, EPERM },
	{ "bpf", { SYS_bpf, { -1UL, 0, 0 } }, EPERM },
	{ "perf_event_open", { SYS_perf_event_open, { 0, 0, 0, -1UL, 0 } }, EPERM },
	{ "userfaultfd", { SYS_userfaultfd, { -1UL } }, EPERM },
	{ "io_uring_setup", { SYS_io_uring_setup, { 0, 0 } }, EPERM },
	{ "io_uring_enter", { SYS_io_uring_enter, { -1UL, 0, 0, 0, 0 } }, EPERM },
	{ "kexec_load", { SYS_kexec_load, { 0, 0, 0, -1UL } }, EPERM },
	{ "init_module", { SYS_init_module, { 0, 0, 0 } }, EPERM },
	{ "finit_module", { SYS_finit_module, { -1UL, 0, 0 } }, EPERM },
	{ "syslog", { SYS_syslog, { -1UL, 0, 0 } }, EPERM },
	{ "swapon", { SYS_swapon, { 0, 0 } }, EPERM },
	{ "reboot", { SYS_reboot, { 0, 0, 0 } }, EPERM },
	{ "quotactl", { SYS_quotactl, { -1UL, 0, 0, 0 } }, EPERM },
	{ "acct", { SYS_acct, { 1 } }, EPERM },
	{ "settimeofday", { SYS_settimeofday, { 0, 0 } }, EPERM },
	{ "clock_settime", { SYS_clock_settime, { 0, 0 } }, EPERM },
	{ "fanotify_init", { SYS_fanotify_init, { -1UL, 0 } }, EPERM },
	{ "personality, executable data",
	  { SYS_personality, { READ_IMPLIES_EXEC } }, EPERM },
	{ "socket vsock", { SYS_socket, { AF_VSOCK, SOCK_STREAM, 0 } }, EAFNOSUPPORT },
	{ "socket vsock, high bits",
	  { SYS_socket, { AF_VSOCK | HIGH, SOCK_STREAM, 0 } }, EAFNOSUPPORT },
	{ "socket packet", { SYS_socket, { AF_PACKET, SOCK_RAW, 0 } }, EAFNOSUPPORT },
	{ "socket alg", { SYS_socket, { AF_ALG, SOCK_SEQPACKET, 0 } }, EAFNOSUPPORT },
	{ "socket netfilter",
	  { SYS_socket, { AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER } }, EPROTONOSUPPORT },
	{ "socketpair vsock",
	  { SYS_socketpair, { AF_VSOCK, SOCK_STREAM, 0, 0 } }, EAFNOSUPPORT },
	{ "unknown number", { 1000, { 0 } }, ENOSYS },
};

static const struct row allowed[] = {
	{ "getpid", { SYS_getpid, { 0 } }, 0 },
	{ "unshare files", { SYS_unshare, { CLONE_FILES } }, 0 },
	{ "personality, asked", { SYS_personality, { POLICY_PERSONA_ASK } }, 0 },
	{ "personality, no randomisation",
	  { SYS_personality, { ADDR_NO_RANDOMIZE } }, 0 },
	{ "socket unix", { SYS_socket, { AF_UNIX, SOCK_STREAM, 0 } }, 0 },
	{ "socket unix, high bits",
	  { SYS_socket, { AF_UNIX | HIGH, SOCK_STREAM, 0 } }, 0 },
	{ "socket inet", { SYS_socket, { AF_INET, SOCK_STREAM, 0 } }, 0 },
	{ "socket netlink route",
	  { SYS_socket, { AF_NETLINK, SOCK_RAW, NETLINK_ROUTE } }, 0 },
	/* The kernel's answer, not ours. */
	{ "ioctl of no descriptor", { SYS_ioctl, { -1UL, TIOCGWINSZ, 0 } }, EBADF },
	{ "ptrace", { SYS_ptrace, { 16 /* attach */, 0x7ffffffe } }, ESRCH },
	{ "process_vm_readv", { SYS_process_vm_readv, { 0x7ffffffe, 0, 0, 0, 0, 1 } }, EINVAL },
};
// clang-format on

TEST(default_dangerous_calls_are_refused)
{
	check_rows(refused, DV_ARRAY_LEN(refused));
}

TEST(default_ordinary_calls_reach_the_kernel)
{
	for (size_t i = 0; i < DV_ARRAY_LEN(allowed); i++) {
		const struct row *row = &allowed[i];
		int bare = try_errno(&allow_all, 1, &row->call);

		/* The filter of a container around us may refuse it. */
		if (bare != row->want)
			print_message("# %s: errno %d without our filter\n",
				      row->name, bare);
		check_row(row, bare);
	}
}

static void *thread_main(void *arg)
{
	return arg;
}

/* A thread (glibc tries clone3 first) and a program with a child of its own. */
static int thread_and_exec(const void *arg DV_UNUSED)
{
	char sh[] = "sh", c[] = "-c", text[] = "ls / | cat >/dev/null";
	char *argv[] = { sh, c, text, NULL }, *env[] = { NULL };
	pthread_t thread;
	int status = 0;
	pid_t pid;

	if (pthread_create(&thread, NULL, thread_main, NULL) != 0 ||
	    pthread_join(thread, NULL) != 0)
		return 1;
	if (posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, env) != 0)
		return 2;
	if (waitpid(pid, &status, 0) != pid || status != 0)
		return 3;
	return 0;
}

TEST(default_threads_and_programs_work)
{
	size_t n;
	const struct sock_filter *f = dv_seccomp_default(&n);

	CHECK_EQ(try_child(f, n, thread_and_exec, NULL), 0);
}

#ifdef __x86_64__
/* getpid through the 32-bit gate: its number is 20 there. */
static int call_32bit(const void *arg DV_UNUSED)
{
	int r = 20;

	__asm__ volatile("int $0x80" : "+a"(r) : : "memory", "cc");
	return r > 0 ? 0 : 1;
}

/* A call that failed would leave the program to do whatever it does then. */
TEST(default_32bit_calls_kill_and_x32_calls_are_refused)
{
	const struct row x32 = { "x32 getpid",
				 { 0x40000000 | SYS_getpid, { 0 } },
				 ENOSYS };
	size_t n;
	const struct sock_filter *f = dv_seccomp_default(&n);

	check_rows(&x32, 1);
	if (try_child(&allow_all, 1, call_32bit, NULL) != 0)
		SKIP("this kernel has no 32-bit calls");
	CHECK_EQ(try_child(f, n, call_32bit, NULL), TRY_KILLED);
}
#endif

/* A filter on top of the filter: nested sandboxes restrict themselves. */
static int load_again(const void *arg DV_UNUSED)
{
	size_t n;
	const struct sock_filter *f = dv_seccomp_default(&n);

	return try_load(f, n) == 0 ? 0 : 1;
}

TEST(default_filter_loads_in_its_own_sandbox)
{
	size_t n;
	const struct sock_filter *f = dv_seccomp_default(&n);

	CHECK_EQ(try_child(f, n, load_again, NULL), 0);
}

/* ---- every number, interpreted -------------------------------------- */

static uint32_t ask(uint32_t arch, int nr, uint64_t arg0, uint64_t arg1,
		    uint64_t arg2)
{
	struct seccomp_data d = { .nr = nr, .arch = arch };
	size_t n;
	const struct sock_filter *f = dv_seccomp_default(&n);

	d.args[0] = arg0;
	d.args[1] = arg1;
	d.args[2] = arg2;
	return try_interpret(f, n, &d);
}

/* The number of a call here, or -1. */
static int number_of(const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);

	if (nr != __NR_SCMP_ERROR)
		return nr >= 0 ? nr : -1;
	for (size_t i = 0; i < DV_ARRAY_LEN(policy_new); i++) {
		if (strcmp(policy_new[i].name, name) == 0)
			return policy_new[i].nr;
	}
	print_error("%s has no number\n", name);
	_fail(__FILE__, __LINE__);
	return -1;
}

static void expect(uint32_t want[1024], const char *name, uint32_t ret)
{
	int nr = number_of(name);

	if (nr >= 0)
		want[nr] = ret;
}

TEST(default_every_number_gets_what_the_policy_says)
{
	uint32_t arch = seccomp_arch_native();
	uint32_t want[1024];

	for (size_t i = 0; i < 1024; i++)
		want[i] = RET_ERRNO(ENOSYS);
	for (size_t i = 0; i < DV_ARRAY_LEN(policy_allow); i++)
		expect(want, policy_allow[i], SECCOMP_RET_ALLOW);
	for (size_t i = 0; i < DV_ARRAY_LEN(policy_eperm); i++)
		expect(want, policy_eperm[i], RET_ERRNO(EPERM));
	for (size_t i = 0; i < DV_ARRAY_LEN(policy_rules); i++)
		expect(want, policy_rules[i].name, UINT32_MAX);
	for (int nr = 0; nr < 1024; nr++) {
		if (want[nr] == UINT32_MAX)
			continue; /* depends on arguments: see below */
		CHECK_EQ(ask(arch, nr, 0, 0, 0), want[nr]);
		CHECK_EQ(ask(arch, nr, -1ULL, -1ULL, -1ULL), want[nr]);
	}
}

TEST(default_numbers_beyond_the_table_are_unknown)
{
	uint32_t arch = seccomp_arch_native();

	for (int nr = 0; nr < 1024; nr++) {
		CHECK_EQ(ask(arch, nr | 0x40000000, 0, 0, 0),
			 RET_ERRNO(ENOSYS));
		CHECK_EQ(ask(arch ^ 1, nr, 0, 0, 0), SECCOMP_RET_KILL_PROCESS);
	}
	CHECK_EQ(ask(arch, -1, 0, 0, 0), RET_ERRNO(ENOSYS));
	CHECK_EQ(ask(arch, INT32_MAX, 0, 0, 0), RET_ERRNO(ENOSYS));
}

TEST(default_every_single_flag_of_clone)
{
	uint32_t arch = seccomp_arch_native();

	for (unsigned int bit = 0; bit < 64; bit++) {
		uint64_t flag = UINT64_C(1) << bit;
		uint32_t want = flag & POLICY_CLONE_NEW ? RET_ERRNO(EPERM)
							: SECCOMP_RET_ALLOW;

		CHECK_EQ(ask(arch, SYS_clone, flag, 0, 0), want);
		if (flag != POLICY_NEWTIME)
			CHECK_EQ(ask(arch, SYS_unshare, flag, 0, 0), want);
	}
}

TEST(default_every_socket_family)
{
	uint32_t arch = seccomp_arch_native();

	for (unsigned int f = 0; f < 64; f++) {
		bool ok = f == AF_UNIX || f == AF_INET || f == AF_INET6 ||
			  f == AF_NETLINK;
		uint32_t want =
			ok ? SECCOMP_RET_ALLOW : RET_ERRNO(EAFNOSUPPORT);

		CHECK_EQ(ask(arch, SYS_socket, f, 0, 0), want);
		CHECK_EQ(ask(arch, SYS_socket, f | HIGH, 0, 0), want);
	}
}

TEST(default_filter_is_short)
{
	size_t n;

	/* What a start pays for loading it grows with this. */
	dv_seccomp_default(&n);
	CHECK(n < 160);
}
