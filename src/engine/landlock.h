/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Landlock: what a process takes away from itself and from all that it starts,
 * without any privilege. It is for helpers, and for hosts without namespaces;
 * docs/landlock.md says what it can do there and what not.
 */
#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#include "davit/err.h"
#include "engine/plan.h"

/* All rights by the version of the ABI that brought them; <linux/landlock.h>
 * of the machine that davit is built on may be older than its kernel. */
enum dv_landlock_fs {
	DV_LL_EXECUTE = 1 << 0,
	DV_LL_WRITE_FILE = 1 << 1,
	DV_LL_READ_FILE = 1 << 2,
	DV_LL_READ_DIR = 1 << 3,
	DV_LL_REMOVE_DIR = 1 << 4,
	DV_LL_REMOVE_FILE = 1 << 5,
	DV_LL_MAKE_CHAR = 1 << 6,
	DV_LL_MAKE_DIR = 1 << 7,
	DV_LL_MAKE_REG = 1 << 8,
	DV_LL_MAKE_SOCK = 1 << 9,
	DV_LL_MAKE_FIFO = 1 << 10,
	DV_LL_MAKE_BLOCK = 1 << 11,
	DV_LL_MAKE_SYM = 1 << 12,
	DV_LL_REFER = 1 << 13,     /* ABI 2: rename and link across */
	DV_LL_TRUNCATE = 1 << 14,  /* ABI 3 */
	DV_LL_IOCTL_DEV = 1 << 15, /* ABI 5 */
};

enum dv_landlock_net {
	DV_LL_BIND_TCP = 1 << 0,    /* ABI 4 */
	DV_LL_CONNECT_TCP = 1 << 1, /* ABI 4 */
};

enum dv_landlock_scope {
	DV_LL_ABSTRACT_SOCKET = 1 << 0, /* ABI 6 */
	DV_LL_SIGNAL = 1 << 1,          /* ABI 6 */
};

/* What a plan may give, as sets. DV_LL_WRITE has what writing needs. */
enum {
	DV_LL_READ = DV_LL_READ_FILE | DV_LL_READ_DIR,
	DV_LL_WRITE = DV_LL_WRITE_FILE | DV_LL_REMOVE_DIR | DV_LL_REMOVE_FILE |
		      DV_LL_MAKE_DIR | DV_LL_MAKE_REG | DV_LL_MAKE_SOCK |
		      DV_LL_MAKE_FIFO | DV_LL_MAKE_SYM | DV_LL_REFER |
		      DV_LL_TRUNCATE | DV_LL_IOCTL_DEV,
};

/* The version of the ABI of this kernel, 1 and up, or -errno: -ENOSYS and
 * -EOPNOTSUPP say that there is none. */
int dv_landlock_abi(void);

/*
 * Let @ll handle everything that version @abi knows: rights of files, TCP and
 * scopes. Rules that are added later go through dv_landlock_path().
 */
void dv_landlock_handle_all(dv_Landlock *ll, int abi);

/*
 * Append a rule for @path to the plan's process: @access without what is not
 * handled; without anything left there is no rule. Sticky: dv_plan_status().
 */
void dv_landlock_path(struct dv_plan *plan, const char *path, uint64_t access,
		      bool optional);
/* The same for a TCP port. */
void dv_landlock_port(struct dv_plan *plan, uint16_t port, uint64_t access);

/*
 * In the child: make the rule set, opening its paths with the rights of the
 * moment. Returns its descriptor (owned, close-on-exec) or -errno; @err names
 * the path. Async-signal-safe.
 */
int dv_landlock_prepare(const dv_Landlock *ll, struct dv_err *err);
/* In the child, with no_new_privs set: from here on it holds. Closes @fd. */
int dv_landlock_enforce(int fd, struct dv_err *err);

/*
 * A filter for seccomp_more that lets no socket be made, by whatever call:
 * EAFNOSUPPORT, as a kernel without that family. socketpair() stays. Static.
 */
const struct sock_filter *dv_landlock_no_sockets(size_t *n_insns);
