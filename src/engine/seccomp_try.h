/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For the seccomp tests: system calls made by a child under a filter, and the
 * same filter run by a small interpreter, for calls that must not be made and
 * for architectures that are not this one.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Load @n instructions into this process. Returns 0 or -errno. */
static inline int try_load(const struct sock_filter *insns, size_t n)
{
	struct sock_fprog prog = { (unsigned short)n, NULL };

	/* The struct has no const, the kernel only reads. */
	memcpy(&prog.filter, &insns, sizeof(insns));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		return -errno;
	return 0;
}

enum { TRY_BROKEN = 255, TRY_KILLED = 254 };

/*
 * Fork, load the filter, call @fn, and end with what it returns (0 to 253).
 * TRY_BROKEN: the filter could not be loaded; TRY_KILLED: a signal ended it.
 */
static inline int try_child(const struct sock_filter *insns, size_t n,
			    int (*fn)(const void *), const void *arg)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		/* The test runner's handlers would go on with its tests. */
		signal(SIGSYS, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		status = try_load(insns, n) < 0 ? TRY_BROKEN : fn(arg);
		/* Not _exit(): a sanitizer does more there than we allow. */
		syscall(SYS_exit_group, status);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return TRY_BROKEN;
	return WIFEXITED(status) ? WEXITSTATUS(status) : TRY_KILLED;
}

struct try_call {
	long nr;
	unsigned long args[6];
};

static inline int try_one_call(const void *arg)
{
	const struct try_call *c = arg;
	long r = syscall(c->nr, c->args[0], c->args[1], c->args[2], c->args[3],
			 c->args[4], c->args[5]);

	return r < 0 ? errno : 0;
}

/* The errno of one call under the filter, 0 when it worked. */
static inline int try_errno(const struct sock_filter *insns, size_t n,
			    const struct try_call *call)
{
	return try_child(insns, n, try_one_call, call);
}

/* What the filter returns for @data, from the instructions filters may use. */
static inline uint32_t try_interpret(const struct sock_filter *insns, size_t n,
				     const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < n; pc++) {
		const struct sock_filter *in = &insns[pc];
		bool yes = false;

		switch (in->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&a, (const char *)data + in->k, sizeof(a));
			continue;
		case BPF_RET | BPF_K:
			return in->k;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= in->k;
			continue;
		case BPF_JMP | BPF_JA:
			pc += in->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			yes = a == in->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			yes = a > in->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			yes = a >= in->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			yes = (a & in->k) != 0;
			break;
		default:
			return UINT32_MAX; /* no filter returns this */
		}
		pc += yes ? in->jt : in->jf;
	}
	return UINT32_MAX; /* fell off the end */
}
