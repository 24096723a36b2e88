/* SPDX-License-Identifier: MIT */
#include "agent/core_regs.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "base/def.h"

#if defined(__x86_64__)
enum { MACHINE = EM_X86_64 };
static const struct dv_core_regset sets[] = {
	{ "CORE", NT_PRSTATUS, sizeof(struct user_regs_struct) },
	{ "CORE", NT_PRFPREG, sizeof(struct user_fpregs_struct) },
	{ "LINUX", NT_X86_XSTATE, 16384 }, /* 11 KiB with AMX */
};
#elif defined(__aarch64__)
enum { MACHINE = EM_AARCH64 };
static const struct dv_core_regset sets[] = {
	{ "CORE", NT_PRSTATUS, sizeof(struct user_regs_struct) },
	{ "CORE", NT_PRFPREG, sizeof(struct user_fpsimd_struct) },
	{ "LINUX", NT_ARM_TLS, 16 },
	{ "LINUX", NT_ARM_PAC_MASK, 16 },
};
#else
#error "core dumps: name the register sets of this machine"
#endif
static_assert(DV_ARRAY_LEN(sets) <= DV_CORE_REGSETS_MAX, "room for every set");

uint16_t dv_core_machine(void)
{
	return MACHINE;
}

/* Returns the size, or -errno. */
static ssize_t get(pid_t tid, uint32_t type, void *buf, size_t len)
{
	struct iovec iov = { buf, len };
	void *addr = (void *)(uintptr_t)type;

	if (ptrace(PTRACE_GETREGSET, tid, addr, &iov) < 0)
		return -errno;
	return (ssize_t)iov.iov_len;
}

int dv_core_regs_probe(pid_t tid, struct dv_core_regs *regs, struct dv_err *err)
{
	uint8_t buf[16384];

	*regs = (struct dv_core_regs){ sets, DV_ARRAY_LEN(sets), { 0 } };
	for (size_t i = 0; i < regs->n; i++) {
		size_t max = dv_min(sets[i].max, sizeof(buf));
		ssize_t n = get(tid, sets[i].type, buf, max);

		if (n == -ESRCH || (n < 0 && i == 0))
			return dv_err_sys(err, (int)-n,
					  "read the registers of thread %d",
					  tid);
		regs->len[i] = n > 0 ? (size_t)n : 0;
	}
	if (regs->len[0] == sets[0].max)
		return 0;
	return dv_err_set(err, ENOTSUP, DV_UNIMPLEMENTED,
			  "process %d is a 32-bit process", tid);
}

void dv_core_regs_get(pid_t tid, const struct dv_core_regs *regs, size_t i,
		      void *buf)
{
	memset(buf, 0, regs->len[i]);
	get(tid, regs->sets[i].type, buf, regs->len[i]);
}

size_t dv_core_regs_max(const struct dv_core_regs *regs)
{
	size_t max = 0;

	for (size_t i = 0; i < regs->n; i++)
		max = dv_max(max, regs->len[i]);
	return max;
}
