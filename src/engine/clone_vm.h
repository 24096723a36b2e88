/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A child that borrows our memory until it executes something: what vfork()
 * does, with the flags of clone3() and a stack of its own. No page table is
 * copied, no page twice afterwards, and exec has none to throw away, which is a
 * third of the time that a start takes. The C library has no call for that.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/sys.h"

/* The sanitizers follow one stack per memory. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && \
	!defined(__SANITIZE_THREAD__)
#define DV_CLONE_VM 1
#else
#define DV_CLONE_VM 0
#endif

enum { DV_CLONE_VM_STACK = 65536 };

/*
 * Run fn(arg), which does not return, in the child; @args as for clone3(), its
 * stack is set here. @stack: DV_CLONE_VM_STACK bytes, aligned to 16. Returns
 * the pid or -errno; -ENOSYS where this is not possible: fork then. Block
 * signals before.
 *
 * With CLONE_VFORK it returns when the child has executed something or ended.
 * Without, child and caller go on side by side in one memory, errno included:
 * until the child is done the caller does nothing but wait, by system calls
 * that do not fail.
 */
static inline pid_t dv_clone_vm(struct clone_args *args, void (*fn)(void *),
				void *arg, void *stack)
{
#if DV_CLONE_VM
	register void (*to)(void *) __asm__("r8") = fn;
	register void *with __asm__("r9") = arg;
	long r = SYS_clone3;

	args->flags |= CLONE_VM;
	args->stack = (uintptr_t)stack;
	args->stack_size = DV_CLONE_VM_STACK;
	__asm__ volatile("syscall\n\t"
			 "testq %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "movq %%r9, %%rdi\n\t"
			 "call *%%r8\n\t"
			 "ud2\n"
			 "1:"
			 : "+a"(r)
			 : "D"(args), "S"(sizeof(*args)), "r"(to), "r"(with)
			 : "rcx", "r11", "cc", "memory");
	return (pid_t)r;
#else
	(void)args;
	(void)fn;
	(void)arg;
	(void)stack;
	return -ENOSYS;
#endif
}
