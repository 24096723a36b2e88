/* SPDX-License-Identifier: MIT */
#include "mesh/host_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/def.h"

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#else
#error "no filter of hosts for this architecture"
#endif

enum {
	X32_BIT = 0x40000000, /* x86-64: the same numbers once more */
	SET_VMA = 0x53564d41, /* PR_SET_VMA: malloc names its memory */
	NEW_NS = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
		 CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET,
};

// clang-format off
/* Whatever their arguments. The kernel decides these without running the
 * filter, so their number costs nothing. */
static const int allowed[] = {
	/* descriptors it has */
	SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64,
	SYS_preadv, SYS_pwritev, SYS_preadv2, SYS_pwritev2, SYS_lseek,
	SYS_close, SYS_close_range, SYS_dup, SYS_dup3, SYS_fcntl, SYS_fstat,
	SYS_ftruncate, SYS_fallocate, SYS_fsync, SYS_fdatasync,
	SYS_sync_file_range, SYS_fadvise64, SYS_readahead, SYS_flock,
	SYS_sendfile, SYS_splice, SYS_tee, SYS_vmsplice, SYS_copy_file_range,
	SYS_recvmsg, SYS_sendmsg, SYS_recvfrom, SYS_sendto, SYS_recvmmsg,
	SYS_sendmmsg, SYS_accept, SYS_accept4, SYS_shutdown, SYS_getsockopt,
	SYS_setsockopt, SYS_getsockname, SYS_getpeername,
	/* new ones that lead nowhere */
	SYS_pipe2, SYS_eventfd2, SYS_timerfd_create, SYS_timerfd_settime,
	SYS_timerfd_gettime, SYS_signalfd4, SYS_memfd_create,
	SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_ppoll,
	SYS_pselect6,
#ifdef SYS_epoll_pwait2
	SYS_epoll_pwait2,
#endif
	/* memory and threads */
	SYS_brk, SYS_munmap, SYS_mremap, SYS_madvise, SYS_msync, SYS_mincore,
	SYS_mlock, SYS_munlock, SYS_membarrier, SYS_futex,
	SYS_set_robust_list, SYS_get_robust_list, SYS_set_tid_address,
	SYS_sched_yield, SYS_sched_getaffinity, SYS_getcpu,
#ifdef SYS_rseq
	SYS_rseq,
#endif
	/* time */
	SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep,
	SYS_nanosleep, SYS_gettimeofday, SYS_times, SYS_getitimer,
	SYS_setitimer, SYS_timer_create, SYS_timer_settime, SYS_timer_gettime,
	SYS_timer_getoverrun, SYS_timer_delete,
	/* what it is */
	SYS_getpid, SYS_gettid, SYS_getppid, SYS_getuid, SYS_geteuid,
	SYS_getgid, SYS_getegid, SYS_getresuid, SYS_getresgid, SYS_getgroups,
	SYS_getrusage, SYS_getrlimit, SYS_getrandom, SYS_uname, SYS_sysinfo,
	SYS_capget,
	/* signals to itself, and the end */
	SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn,
	SYS_rt_sigpending, SYS_rt_sigsuspend, SYS_rt_sigtimedwait,
	SYS_sigaltstack, SYS_restart_syscall, SYS_exit, SYS_exit_group,
#if defined(__x86_64__)
	SYS_dup2, SYS_pipe, SYS_poll, SYS_select, SYS_epoll_wait,
	SYS_epoll_create, SYS_eventfd, SYS_time, SYS_pause, SYS_alarm,
#endif
};

/* No library falls back from these, and no honest worker calls them. */
static const int deadly[] = {
	SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv,
	SYS_process_vm_writev, SYS_bpf, SYS_add_key, SYS_keyctl,
	SYS_request_key, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot,
	SYS_setns, SYS_unshare, SYS_open_by_handle_at, SYS_init_module,
	SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_reboot,
	SYS_swapon, SYS_swapoff, SYS_perf_event_open, SYS_userfaultfd,
	SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime, SYS_acct,
	SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
#ifdef SYS_pidfd_getfd
	SYS_pidfd_getfd,
#endif
#if defined(__x86_64__)
	SYS_iopl, SYS_ioperm, SYS_modify_ldt,
#endif
};
// clang-format on

/* Allowed when an argument's low word, with @mask, is one of @is. */
static const struct rule {
	int nr, arg;
	uint32_t mask;
	uint32_t is[4];
	int n;
} rules[] = {
	{ SYS_socketpair, 0, ~0U, { AF_UNIX }, 1 },
	/* No memory that can be written and executed, nor made so. */
	{ SYS_mmap, 2, PROT_EXEC, { 0 }, 1 },
	{ SYS_mprotect, 2, PROT_EXEC, { 0 }, 1 },
	{ SYS_clone, 0, NEW_NS | CLONE_THREAD, { CLONE_THREAD }, 1 },
	{ SYS_ioctl, 1, ~0U, { FIONREAD, FIONBIO, FIOCLEX }, 3 },
	{ SYS_prctl,
	  0,
	  ~0U,
	  { PR_SET_NAME, PR_GET_NAME, SET_VMA, PR_GET_DUMPABLE },
	  4 },
};

struct out {
	struct sock_filter *insns;
	size_t n;
};

static void put(struct out *o, uint16_t code, uint32_t k, uint8_t yes,
		uint8_t no)
{
	dv_assert(o->n < DV_HOST_FILTER_MAX); /* the tables are ours */
	o->insns[o->n++] = (struct sock_filter){ code, yes, no, k };
}

static void load(struct out *o, size_t offset)
{
	put(o, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static size_t arg_low(int n)
{
	return offsetof(struct seccomp_data, args) + (size_t)n * 8;
}

static void answer(struct out *o, uint32_t what)
{
	put(o, BPF_RET | BPF_K, what, 0, 0);
}

/* The number is in the accumulator, and stays there unless it is this one. */
static void on_nr(struct out *o, int nr, uint32_t what)
{
	put(o, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 1);
	answer(o, what);
}

static void on_rule(struct out *o, const struct rule *r, uint32_t otherwise)
{
	/* load, and, a jump each, two answers */
	put(o, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)r->nr, 0,
	    (uint8_t)(4 + r->n));
	load(o, arg_low(r->arg));
	put(o, BPF_ALU | BPF_AND | BPF_K, r->mask, 0, 0);
	for (int i = 0; i < r->n; i++)
		put(o, BPF_JMP | BPF_JEQ | BPF_K, r->is[i], (uint8_t)(r->n - i),
		    0);
	answer(o, otherwise);
	answer(o, SECCOMP_RET_ALLOW);
}

static void check_arch(struct out *o)
{
	load(o, offsetof(struct seccomp_data, arch));
	put(o, BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCH, 1, 0);
	answer(o, SECCOMP_RET_KILL_PROCESS);
	load(o, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
	put(o, BPF_JMP | BPF_JSET | BPF_K, X32_BIT, 0, 1);
	answer(o, SECCOMP_RET_KILL_PROCESS);
#endif
}

/* Its own limits may be read: prlimit64(0, which, NULL, ...). */
static void on_prlimit(struct out *o, uint32_t otherwise)
{
	put(o, BPF_JMP | BPF_JEQ | BPF_K, SYS_prlimit64, 0, 8);
	load(o, arg_low(0));
	put(o, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 5);
	load(o, arg_low(2));
	put(o, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3);
	load(o, arg_low(2) + 4);
	put(o, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1);
	answer(o, SECCOMP_RET_ALLOW);
	answer(o, otherwise);
}

size_t dv_host_filter(struct sock_filter insns[DV_HOST_FILTER_MAX], pid_t pid,
		      const uint32_t *allow, size_t n_allow)
{
	const uint32_t no = SECCOMP_RET_ERRNO | EPERM;
	const struct rule self[] = {
		{ SYS_kill, 0, ~0U, { (uint32_t)pid }, 1 },
		{ SYS_tgkill, 0, ~0U, { (uint32_t)pid }, 1 },
	};
	struct out o = { insns, 0 };

	check_arch(&o);
	for (size_t i = 0; i < n_allow; i++)
		on_nr(&o, (int)allow[i], SECCOMP_RET_ALLOW);
	for (size_t i = 0; i < DV_ARRAY_LEN(allowed); i++)
		on_nr(&o, allowed[i], SECCOMP_RET_ALLOW);
	for (size_t i = 0; i < DV_ARRAY_LEN(deadly); i++)
		on_nr(&o, deadly[i], SECCOMP_RET_KILL_PROCESS);
	for (size_t i = 0; i < DV_ARRAY_LEN(rules); i++)
		on_rule(&o, &rules[i], no);
	for (size_t i = 0; i < DV_ARRAY_LEN(self); i++)
		on_rule(&o, &self[i], no);
	on_prlimit(&o, no);
	/* Its flags cannot be looked at; the C library falls back. */
	on_nr(&o, SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS);
	answer(&o, no);
	return o.n;
}
