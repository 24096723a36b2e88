/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Executing a program anew in place: the pid stays, so children stay children;
 * descriptors stay, because they lose their close-on-exec flag for that moment;
 * all else is a document in a memfd.
 *
 *	trial	the new program reads the document in a child; if it cannot,
 *		nothing has happened
 *	save	the document anew, as it is by then
 *	execute	a failed execve() changes nothing
 *	load	in the new program
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <pb.h>

#include "base/buf.h"
#include "davit/err.h"
#include "davit/loop.h"

enum {
	/* All rings of all processes full, and far from a machine's memory. */
	DV_REEXEC_MAX = 1 << 30,
	/* To say that it understands the document, and for each MiB of it: ten
	 * times what that takes. */
	DV_REEXEC_TRIAL_MS = 5000,
	DV_REEXEC_TRIAL_MIB_MS = 200,
	/* The status of a program that understands the document: one that knows
	 * nothing of this would hardly end so. */
	DV_REEXEC_GOOD = 86,
};

/* The descriptors that outlive the exec; all-zero is empty. */
struct dv_reexec_fds {
	int *fds; /* owned */
	size_t n;
	bool failed; /* no memory: it is not complete */
};

/* The each_fd of what is saved; @fds is a struct dv_reexec_fds. */
void dv_reexec_keep(void *fds, int fd);
void dv_reexec_forget(struct dv_reexec_fds *fds); /* frees; idempotent */

/* A struct of a nanopb schema as a document, and back. @fd is borrowed. */
int dv_reexec_encode(const pb_msgdesc_t *fields, const void *msg,
		     struct dv_buf *out, struct dv_err *err);
/* A memfd with it (owned), close-on-exec, or -errno. */
int dv_reexec_write(const pb_msgdesc_t *fields, const void *msg,
		    struct dv_err *err);
/* For pb_release(), also on failure: -EPROTO for what is no such document. */
int dv_reexec_load(int fd, const pb_msgdesc_t *fields, void *msg,
		   struct dv_err *err);

/* A trial under way; embedded in its owner. */
struct dv_trial {
	struct dv_src src;
	struct dv_timer timer;
	pid_t pid; /* 0: none */
	int pidfd; /* owned; -1 */
	/* Called once, never from inside dv_trial_start(). */
	void (*done)(struct dv_trial *trial, int r, const struct dv_err *err);
};

/* clang-format off */
#define DV_TRIAL_INIT { .src = DV_SRC_INIT, .timer = DV_TIMER_INIT, .pidfd = -1 }
/* clang-format on */

/*
 * Execute @exe with @argv, in which @fd (borrowed) is the document's number: it
 * says by its status DV_REEXEC_GOOD that it understands it. Returns 0 or
 * -errno.
 */
int dv_trial_start(struct dv_trial *trial, struct dv_loop *loop,
		   const char *exe, char *const argv[], int fd,
		   void (*done)(struct dv_trial *trial, int r,
				const struct dv_err *err),
		   struct dv_err *err);
/* Kills and reaps it; nothing is called. Idempotent. */
void dv_trial_stop(struct dv_trial *trial);

/*
 * Execute @exe with @argv and our environment; @fds and @fd stay open there.
 * Returns only when it failed; then all are close-on-exec again.
 */
int dv_reexec(const char *exe, char *const argv[],
	      const struct dv_reexec_fds *fds, int fd, struct dv_err *err);
/* First in the new program: every descriptor above 2 is close-on-exec again. */
void dv_reexec_arrived(void);
/*
 * The file that this process was started from, which may have been replaced
 * since: a path for execve(). Returns 0 or -errno.
 */
int dv_reexec_self(char *out, size_t size);

/*
 * Whoever is executed by us can open our program file, by /proc/PID/exe of a
 * process that is still us, or is us again ("#!/proc/self/exe"), and may own
 * it. So execute @argv from @path, which is our file, on a mount of our own
 * that is read-only. Returns only when that is so already, 0, or cannot be:
 * -EPERM for an ordinary user, -ESTALE when it is another file by now, ...
 */
int dv_reexec_read_only(const char *path, char *const argv[]);
/* In that program: @path is what dv_reexec_self() says. 0 or -ENAMETOOLONG. */
int dv_reexec_came_from(const char *path);
