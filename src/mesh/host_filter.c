/* SPDX-License-Identifier: MIT */
/*
 * The filter is a tree over the numbers of the calls. When it is loaded the
 * kernel runs it once for each call that there is, to know which need not be
 * asked about any more: with a list instead, that would be half of the time
 * that a host takes to get up.
 */
#include "mesh/host_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
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
 * filter, so their number costs nothing later. */
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

/* What a call gets; from RULE on it is that rule. */
enum verdict { NO = 0, ALLOW, KILL, NOSYS, PRLIMIT, RULE };

enum {
	N_CALLS = 512, /* no number is as high; the last is for all above */
	N_RULES = DV_ARRAY_LEN(rules) + 2,
};

struct calls {
	struct rule rules[N_RULES];
	uint8_t verdict[N_CALLS];
	/* Numbers in a row that get the same begin here. */
	uint16_t first[N_CALLS];
};

static void decide(struct calls *c, const int *nrs, size_t n, unsigned int v)
{
	for (size_t i = 0; i < n; i++) {
		dv_assert(nrs[i] >= 0 && nrs[i] < N_CALLS - 1); /* ours */
		c->verdict[nrs[i]] = (uint8_t)v;
	}
}

static void decide_all(struct calls *c, pid_t pid, const uint32_t *allow,
		       size_t n_allow)
{
	static const int nosys[] = { SYS_clone3 };
	static const int prlimit[] = { SYS_prlimit64 };
	const struct rule self[] = {
		{ SYS_kill, 0, ~0U, { (uint32_t)pid }, 1 },
		{ SYS_tgkill, 0, ~0U, { (uint32_t)pid }, 1 },
	};

	memset(c, 0, sizeof(*c));
	memcpy(c->rules, rules, sizeof(rules));
	memcpy(c->rules + DV_ARRAY_LEN(rules), self, sizeof(self));
	/* Its flags cannot be looked at; the C library falls back. */
	decide(c, nosys, 1, NOSYS);
	decide(c, prlimit, 1, PRLIMIT);
	for (unsigned int i = 0; i < N_RULES; i++)
		decide(c, &c->rules[i].nr, 1, RULE + i);
	decide(c, deadly, DV_ARRAY_LEN(deadly), KILL);
	decide(c, allowed, DV_ARRAY_LEN(allowed), ALLOW);
	for (size_t i = 0; i < n_allow; i++)
		if (allow[i] < N_CALLS - 1)
			c->verdict[allow[i]] = ALLOW;
}

/* ---- instructions ---- */

/* Written from the last to the first, as jumps only lead forward: then what
 * they lead to is there already. */
struct out {
	struct sock_filter *insns;
	size_t at;        /* the first that was written */
	size_t ret[RULE]; /* where the answers are */
};

static size_t put(struct out *o, uint16_t code, uint32_t k, size_t yes,
		  size_t no)
{
	dv_assert(o->at > 0); /* the tables are ours */
	o->insns[--o->at] =
		(struct sock_filter){ code, (uint8_t)yes, (uint8_t)no, k };
	return o->at;
}

static size_t put_load(struct out *o, size_t offset)
{
	return put(o, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* A place that a jump can reach and that leads to @to. */
static size_t reach(struct out *o, size_t to)
{
	enum { FAR = UINT8_MAX - 2 }; /* two may be put in between */

	if (to - o->at <= FAR)
		return to;
	return put(o, BPF_JMP | BPF_JA, (uint32_t)(to - o->at), 0, 0);
}

static size_t put_jump(struct out *o, uint16_t test, uint32_t k, size_t yes,
		       size_t no)
{
	yes = reach(o, yes);
	no = reach(o, no);
	return put(o, BPF_JMP | BPF_K | test, k, yes - o->at, no - o->at);
}

static size_t arg_low(int n)
{
	return offsetof(struct seccomp_data, args) + (size_t)n * 8;
}

static void put_answers(struct out *o)
{
	static const uint32_t answers[RULE] = {
		[NO] = SECCOMP_RET_ERRNO | EPERM,
		[ALLOW] = SECCOMP_RET_ALLOW,
		[KILL] = SECCOMP_RET_KILL_PROCESS,
		[NOSYS] = SECCOMP_RET_ERRNO | ENOSYS,
	};

	for (int v = NO; v <= NOSYS; v++)
		o->ret[v] = put(o, BPF_RET | BPF_K, answers[v], 0, 0);
}

/* Its own limits may be read: prlimit64(0, which, NULL, ...). */
static void put_prlimit(struct out *o)
{
	const size_t zero[] = { arg_low(2) + 4, arg_low(2), arg_low(0) };
	size_t next = o->ret[ALLOW];

	for (size_t i = 0; i < DV_ARRAY_LEN(zero); i++) {
		put_jump(o, BPF_JEQ, 0, next, o->ret[NO]);
		next = put_load(o, zero[i]);
	}
	o->ret[PRLIMIT] = next;
}

static size_t put_rule(struct out *o, const struct rule *r)
{
	size_t next = o->ret[NO];

	for (int i = r->n; i-- > 0;)
		next = put_jump(o, BPF_JEQ, r->is[i], o->ret[ALLOW], next);
	put(o, BPF_ALU | BPF_AND | BPF_K, r->mask, 0, 0);
	return put_load(o, arg_low(r->arg));
}

/* The number is in the accumulator, and in one of the spans [lo, hi). */
static size_t put_tree(struct out *o, const struct calls *c, size_t lo,
		       size_t hi)
{
	size_t mid = (lo + hi) / 2, above, below;
	uint8_t verdict = c->verdict[c->first[lo]];

	if (hi - lo == 1)
		return verdict < RULE ? o->ret[verdict]
				      : put_rule(o, &c->rules[verdict - RULE]);
	above = put_tree(o, c, mid, hi);
	below = put_tree(o, c, lo, mid);
	return put_jump(o, BPF_JGE, c->first[mid], above, below);
}

static void put_begin(struct out *o, size_t tree)
{
#if defined(__x86_64__)
	tree = put_jump(o, BPF_JSET, X32_BIT, o->ret[KILL], tree);
#else
	tree = reach(o, tree);
#endif
	dv_assert(tree == o->at); /* it follows */
	tree = put_load(o, offsetof(struct seccomp_data, nr));
	put_jump(o, BPF_JEQ, OWN_ARCH, tree, o->ret[KILL]);
	put_load(o, offsetof(struct seccomp_data, arch));
}

size_t dv_host_filter(struct sock_filter insns[DV_HOST_FILTER_MAX], pid_t pid,
		      const uint32_t *allow, size_t n_allow)
{
	struct out o = { insns, DV_HOST_FILTER_MAX, { 0 } };
	struct calls c;
	size_t n = 1;

	decide_all(&c, pid, allow, n_allow);
	for (uint16_t nr = 1; nr < N_CALLS; nr++)
		if (c.verdict[nr] != c.verdict[nr - 1])
			c.first[n++] = nr;
	put_answers(&o);
	put_prlimit(&o);
	put_begin(&o, put_tree(&o, &c, 0, n));
	n = DV_HOST_FILTER_MAX - o.at;
	memmove(insns, insns + o.at, n * sizeof(*insns));
	return n;
}
