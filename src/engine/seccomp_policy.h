/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What the default filter says about each system call. Only the generator
 * includes this file, when davit is built. docs/seccomp.md gives the reasons.
 *
 * A call that is in no list gets ENOSYS: to the program it looks like an older
 * kernel, and C libraries fall back to what they did there. A name that the
 * architecture does not have is skipped.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/socket.h>

// clang-format off
/* Always allowed. */
static const char *const policy_allow[] = {
	/* files and directories */
	"access", "cachestat", "chdir", "chmod", "chown", "chroot", "close",
	"close_range", "copy_file_range", "creat", "dup", "dup2", "dup3",
	"faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod",
	"fchmodat", "fchmodat2", "fchown", "fchownat", "fcntl", "fdatasync",
	"fgetxattr", "file_getattr", "file_setattr", "flistxattr", "flock",
	"fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync", "ftruncate",
	"futimesat", "getcwd", "getdents", "getdents64", "getxattr",
	"getxattrat", "inotify_add_watch", "inotify_init", "inotify_init1",
	"inotify_rm_watch", "lchown", "lgetxattr", "link", "linkat",
	"listmount", "listxattr", "listxattrat", "llistxattr", "lremovexattr",
	"lseek", "lsetxattr", "lstat", "memfd_create", "memfd_secret", "mkdir",
	"mkdirat", "mknod", "mknodat", "name_to_handle_at", "newfstatat",
	"open", "openat", "openat2", "pipe", "pipe2", "pread64", "preadv",
	"preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead",
	"readlink", "readlinkat", "readv", "removexattr", "removexattrat",
	"rename", "renameat", "renameat2", "rmdir", "sendfile", "setxattr",
	"setxattrat", "splice", "stat", "statfs", "statmount", "statx",
	"symlink", "symlinkat", "sync", "sync_file_range", "syncfs", "tee",
	"truncate", "umask", "unlink", "unlinkat", "utime", "utimensat",
	"utimes", "vmsplice", "write", "writev",
	/* waiting for events; asynchronous reads and writes */
	"epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait",
	"epoll_pwait2", "epoll_wait", "eventfd", "eventfd2", "io_cancel",
	"io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit",
	"poll", "ppoll", "pselect6", "select", "signalfd", "signalfd4",
	/* sockets; which families: see policy_rules */
	"accept", "accept4", "bind", "connect", "getpeername", "getsockname",
	"getsockopt", "listen", "recvfrom", "recvmmsg", "recvmsg", "sendmmsg",
	"sendmsg", "sendto", "setsockopt", "shutdown",
	/* memory */
	"brk", "get_mempolicy", "madvise", "map_shadow_stack", "mbind",
	"membarrier", "mincore", "mlock", "mlock2", "mlockall", "mmap",
	"mprotect", "mremap", "mseal", "msync", "munlock", "munlockall",
	"munmap", "pkey_alloc", "pkey_free", "pkey_mprotect",
	"process_madvise", "process_mrelease", "remap_file_pages",
	"set_mempolicy", "set_mempolicy_home_node",
	/* processes and threads */
	"arch_prctl", "capget", "capset", "execve", "execveat", "exit",
	"exit_group", "fork", "futex", "futex_requeue", "futex_wait",
	"futex_waitv", "futex_wake", "get_robust_list", "getcpu", "getegid",
	"geteuid", "getgid", "getgroups", "getpgid", "getpgrp", "getpid",
	"getppid", "getpriority", "getresgid", "getresuid", "getrlimit",
	"getrusage", "getsid", "gettid", "getuid", "ioprio_get", "ioprio_set",
	"kcmp", "pidfd_getfd", "pidfd_open", "pidfd_send_signal", "prctl",
	"prlimit64", "process_vm_readv", "process_vm_writev", "ptrace", "rseq",
	"sched_get_priority_max", "sched_get_priority_min",
	"sched_getaffinity", "sched_getattr", "sched_getparam",
	"sched_getscheduler", "sched_rr_get_interval", "sched_setaffinity",
	"sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield",
	"set_robust_list", "set_tid_address", "setfsgid", "setfsuid", "setgid",
	"setgroups", "setpgid", "setpriority", "setregid", "setresgid",
	"setresuid", "setreuid", "setrlimit", "setsid", "setuid", "vfork",
	"wait4", "waitid",
	/* signals */
	"alarm", "kill", "pause", "restart_syscall", "rt_sigaction",
	"rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn",
	"rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "sigaltstack",
	"tgkill", "tkill",
	/* time */
	"clock_getres", "clock_gettime", "clock_nanosleep", "getitimer",
	"gettimeofday", "nanosleep", "setitimer", "time", "timer_create",
	"timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime",
	"timerfd_create", "timerfd_gettime", "timerfd_settime", "times",
	/* System V and POSIX queues, semaphores, shared memory */
	"mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive",
	"mq_timedsend", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd",
	"semctl", "semget", "semop", "semtimedop", "shmat", "shmctl", "shmdt",
	"shmget",
	/* restricting oneself further, and questions about the machine */
	"getrandom", "landlock_add_rule", "landlock_create_ruleset",
	"landlock_restrict_self", "lsm_get_self_attr", "lsm_list_modules",
	"seccomp", "setdomainname", "sethostname", "sysinfo", "uname",
};

/* Refused with EPERM: present in the kernel, and none of a sandbox's business. */
static const char *const policy_eperm[] = {
	/* mounts */
	"fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr",
	"move_mount", "open_tree", "open_tree_attr", "pivot_root", "umount2",
	/* leaving the namespaces; reaching files without a path */
	"open_by_handle_at", "setns",
	/* large parts of the kernel that are not bound to a namespace */
	"add_key", "bpf", "fanotify_init", "fanotify_mark", "io_uring_enter",
	"io_uring_register", "io_uring_setup", "keyctl", "lookup_dcookie",
	"migrate_pages", "modify_ldt", "move_pages", "perf_event_open",
	"request_key", "userfaultfd",
	/* the machine itself */
	"acct", "adjtimex", "clock_adjtime", "clock_settime", "delete_module",
	"finit_module", "init_module", "ioperm", "iopl", "kexec_file_load",
	"kexec_load", "nfsservctl", "quotactl", "quotactl_fd", "reboot",
	"settimeofday", "swapoff", "swapon", "syslog", "vhangup",
};
// clang-format on

/* What a call gets. The order is that of the leaves in the filter. */
enum policy_verdict {
	POLICY_NEXT, /* only in rules: look at the next step */
	POLICY_ALLOW,
	POLICY_ENOSYS,
	POLICY_EPERM,
	POLICY_EAFNOSUPPORT,
	POLICY_EPROTONOSUPPORT,
	POLICY_KILL, /* no list names it: calls of another architecture */
	POLICY_N
};

/*
 * One step of a rule compares the low 32 bits of an argument. The kernel takes
 * all of these arguments as int: bits above are ignored there, so they must be
 * ignored here, or a caller sets one of them and walks past the comparison.
 */
struct policy_step {
	uint32_t arg;
	enum { POLICY_EQ, POLICY_ANY_BIT } op;
	uint32_t value;
	enum policy_verdict yes, no;
};

enum { POLICY_STEPS_MAX = 8 };

/* A call that is allowed for some arguments. The last step has no NEXT. */
struct policy_rule {
	const char *name;
	struct policy_step step[POLICY_STEPS_MAX];
};

/* Not CLONE_NEWTIME: in clone() its bit belongs to the exit signal. */
#define POLICY_CLONE_NEW                                               \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | \
	 CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)
#define POLICY_NEWTIME UINT32_C(0x80)
/* A 32-bit uname; the uname of 2.6; no address randomisation (debuggers). */
#define POLICY_PERSONA     (PER_LINUX32 | UNAME26 | ADDR_NO_RANDOMIZE)
#define POLICY_PERSONA_ASK UINT32_C(0xffffffff)

// clang-format off
static const struct policy_rule policy_rules[] = {
	{ "clone", {
		{ 0, POLICY_ANY_BIT, POLICY_CLONE_NEW, POLICY_EPERM, POLICY_ALLOW },
	} },
	{ "unshare", {
		{ 0, POLICY_ANY_BIT, POLICY_CLONE_NEW | POLICY_NEWTIME,
		  POLICY_EPERM, POLICY_ALLOW },
	} },
	{ "ioctl", { /* typing into, and replacing the driver of, a terminal */
		{ 1, POLICY_EQ, TIOCSTI,   POLICY_EPERM, POLICY_NEXT },
		{ 1, POLICY_EQ, TIOCLINUX, POLICY_EPERM, POLICY_NEXT },
		{ 1, POLICY_EQ, TIOCSETD,  POLICY_EPERM, POLICY_ALLOW },
	} },
	{ "personality", {
		{ 0, POLICY_EQ, POLICY_PERSONA_ASK, POLICY_ALLOW, POLICY_NEXT },
		{ 0, POLICY_ANY_BIT, ~(uint32_t)POLICY_PERSONA,
		  POLICY_EPERM, POLICY_ALLOW },
	} },
	{ "socket", {
		{ 0, POLICY_EQ, AF_UNIX,    POLICY_ALLOW, POLICY_NEXT },
		{ 0, POLICY_EQ, AF_INET,    POLICY_ALLOW, POLICY_NEXT },
		{ 0, POLICY_EQ, AF_INET6,   POLICY_ALLOW, POLICY_NEXT },
		{ 0, POLICY_EQ, AF_NETLINK, POLICY_NEXT, POLICY_EAFNOSUPPORT },
		{ 2, POLICY_EQ, NETLINK_ROUTE,          POLICY_ALLOW, POLICY_NEXT },
		{ 2, POLICY_EQ, NETLINK_SOCK_DIAG,      POLICY_ALLOW, POLICY_NEXT },
		{ 2, POLICY_EQ, NETLINK_KOBJECT_UEVENT, POLICY_ALLOW, POLICY_NEXT },
		{ 2, POLICY_EQ, NETLINK_GENERIC,
		  POLICY_ALLOW, POLICY_EPROTONOSUPPORT },
	} },
	{ "socketpair", {
		{ 0, POLICY_EQ, AF_UNIX, POLICY_ALLOW, POLICY_EAFNOSUPPORT },
	} },
};

/*
 * Numbers that libseccomp may be too old to know. Calls of this age have one
 * number on every architecture.
 */
static const struct {
	const char *name;
	int nr;
} policy_new[] = {
	{ "cachestat", 451 }, { "fchmodat2", 452 }, { "map_shadow_stack", 453 },
	{ "futex_wake", 454 }, { "futex_wait", 455 }, { "futex_requeue", 456 },
	{ "statmount", 457 }, { "listmount", 458 }, { "lsm_get_self_attr", 459 },
	{ "lsm_list_modules", 461 }, { "mseal", 462 }, { "setxattrat", 463 },
	{ "getxattrat", 464 }, { "listxattrat", 465 }, { "removexattrat", 466 },
	{ "open_tree_attr", 467 }, { "file_getattr", 468 },
	{ "file_setattr", 469 },
};
// clang-format on
