/* SPDX-License-Identifier: MIT */
/*
 * Landlock knows TCP and abstract sockets only. Where a command shall have no
 * network and there is no namespace for it, it may make no socket at all, which
 * also keeps it from the unix sockets of the host. io_uring can make sockets
 * past every filter, so it goes, too: other profiles may allow it.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "base/def.h"
#include "engine/landlock.h"

#define LOAD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
/* Go on below after @yes or @no instructions. */
#define IF_EQ(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, yes, no)
#define ANSWER(e)         BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (e))
#define ALLOW             BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define AND(k)            BPF_STMT(BPF_ALU | BPF_AND | BPF_K, k)

enum {
	X32_BIT = 0x40000000,
	IO_URING_SETUP = 425, /* on every architecture */
	I386_SOCKETCALL = 102,
	I386_SOCKET = 359,
	I386_CALL_SOCKET = 1, /* the first argument of socketcall */
};

// clang-format off
#if defined(__x86_64__)
static const struct sock_filter insns[] = {
	LOAD(arch),
	IF_EQ(AUDIT_ARCH_X86_64, 0, 5),
	/* x32 has the same numbers here, with a bit. */
	LOAD(nr),
	AND(~(uint32_t)X32_BIT),
	IF_EQ(SYS_socket, 9, 0),
	IF_EQ(IO_URING_SETUP, 9, 0),
	ALLOW,
	IF_EQ(AUDIT_ARCH_I386, 0, 7),
	LOAD(nr),
	IF_EQ(I386_SOCKET, 4, 0),
	IF_EQ(IO_URING_SETUP, 4, 0),
	IF_EQ(I386_SOCKETCALL, 0, 4),
	LOAD(args[0]),
	IF_EQ(I386_CALL_SOCKET, 0, 2),
	ANSWER(EAFNOSUPPORT),
	ANSWER(ENOSYS),
	ALLOW,
};
#elif defined(__aarch64__)
/* Programs of the 32-bit sibling get ENOSYS for everything. */
static const struct sock_filter insns[] = {
	LOAD(arch),
	IF_EQ(AUDIT_ARCH_AARCH64, 0, 4),
	LOAD(nr),
	IF_EQ(SYS_socket, 3, 0),
	IF_EQ(IO_URING_SETUP, 1, 0),
	ALLOW,
	ANSWER(ENOSYS),
	ANSWER(EAFNOSUPPORT),
};
#else
#error "no filter against sockets for this architecture"
#endif
// clang-format on

const struct sock_filter *dv_landlock_no_sockets(size_t *n_insns)
{
	*n_insns = DV_ARRAY_LEN(insns);
	return insns;
}
