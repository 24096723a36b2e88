/* SPDX-License-Identifier: MIT */
/*
 * The second stage, in the host: from here on it only has what it needs to run.
 *
 * A root directory, capabilities and Landlock belong to a thread, so there may
 * be one only. The order is that of what each step needs: changing the root
 * needs a capability, emptying the bounding set another; filters come last, as
 * they forbid all of this.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/landlock.h"
#include "mesh/host_filter.h"
#include "mesh/host_priv.h"

/* Leaving the thread group is possible only for one who is alone in it; then it
 * does nothing. */
static int check_alone(struct dv_err *err)
{
	if (unshare(CLONE_THREAD) == 0 || errno != EINVAL)
		return 0;
	dv_err_hint(err, "start threads in up(), not in setup()");
	return dv_err_set(err, EBUSY, DV_PRECONDITION,
			  "the set-up started threads, which a sandbox would "
			  "not hold");
}

static int empty_root(struct dv_err *err)
{
	if (chroot(DV_HOST_EMPTY) < 0 || chdir("/") < 0)
		return dv_err_sys(err, errno, "enter the empty root");
	return 0;
}

/* EPERM: nobody in here may do it, and with no_new_privs the set is of no use.
 */
static int empty_bounding(struct dv_err *err)
{
	int has;

	for (int cap = 0; (has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0)) >= 0;
	     cap++) {
		if (!has || prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (errno == EPERM)
			return 0;
		return dv_err_sys(err, errno, "empty the bounding set");
	}
	return 0;
}

/* Root is nobody special any more: what it executes gets no capability. One
 * call says so, for ever; emptying the bounding set is one for each capability,
 * and takes longer than all else that is done here. */
static int demote_root(struct dv_err *err)
{
	if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0,
		  0) < 0 &&
	    errno != EPERM)
		return dv_err_sys(err, errno, "set the secure bits");
	return 0;
}

/* @execs: it may execute something later. Then files could say more than who it
 * is; else nobody asks. */
static int drop_caps(bool execs, struct dv_err *err)
{
	struct __user_cap_header_struct hdr = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct none[2];
	int r = execs ? empty_bounding(err) : demote_root(err);

	memset(none, 0, sizeof(none));
	if (r == 0 &&
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		r = dv_err_sys(err, errno, "clear ambient capabilities");
	if (r == 0 && syscall(SYS_capset, &hdr, none) < 0)
		r = dv_err_sys(err, errno, "drop capabilities");
	return r;
}

static int deny_files(bool best_effort, struct dv_err *err)
{
	dv_Landlock ll = dv_Landlock_init_zero;
	int abi = dv_landlock_abi(), fd;

	if (abi < 0)
		return best_effort ? 0 : dv_err_sys(err, -abi, "landlock");
	dv_landlock_handle_all(&ll, abi);
	fd = dv_landlock_prepare(&ll, err);
	return fd < 0 ? fd : dv_landlock_enforce(fd, err);
}

static int load(const void *insns, size_t n, const char *what,
		struct dv_err *err)
{
	struct sock_fprog prog = {
		.len = (unsigned short)n,
		/* The kernel only reads it. */
		.filter = (struct sock_filter *)(uintptr_t)insns,
	};

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		    SECCOMP_FILTER_FLAG_TSYNC, &prog) != 0)
		return dv_err_sys(err, errno, "load %s", what);
	return 0;
}

/* The caller's comes first: ours lets no more be loaded. */
static int load_last(struct dv_str last, struct dv_err *err)
{
	/* It lies in a message, where nothing is aligned. */
	dv_autofree void *copy = malloc(last.len ? last.len : 1);

	if (!copy)
		return dv_err_sys(err, ENOMEM, "load a filter");
	if (!last.len)
		return 0;
	memcpy(copy, last.ptr, last.len);
	return load(copy, last.len / sizeof(struct sock_filter),
		    "the last seccomp filter", err);
}

static int load_filters(const struct dv_host_lock *l, struct dv_err *err)
{
	struct sock_filter insns[DV_HOST_FILTER_MAX];
	int r = load_last(l->last, err);
	size_t n;

	if (r < 0 || !(l->lock & DV_LOCK_FILTER))
		return r;
	n = dv_host_filter(insns, getpid(), l->allow, l->n_allow);
	return load(insns, n, "the seccomp filter of locked hosts", err);
}

int dv_host_lock(const struct dv_host_lock *l, struct dv_err *err)
{
	int r = 0;

	if (l->lock & (DV_LOCK_ROOT | DV_LOCK_CAPS | DV_LOCK_LANDLOCK))
		r = check_alone(err);
	if (r == 0 && (l->lock & DV_LOCK_ROOT))
		r = dv_err_step(err, empty_root(err), DV_STEP_ROOT);
	if (r == 0 && (l->lock & DV_LOCK_CAPS))
		r = dv_err_step(err,
				drop_caps(!(l->lock & DV_LOCK_FILTER), err),
				DV_STEP_CREDS);
	if (r == 0 && (l->lock & DV_LOCK_NNP) &&
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = dv_err_sys(err, errno, "set no_new_privs");
	if (r == 0 && (l->lock & DV_LOCK_LANDLOCK))
		r = deny_files(l->lock & DV_LOCK_BEST_EFFORT, err);
	if (r == 0)
		r = load_filters(l, err);
	return dv_err_step(err, r, DV_STEP_SECCOMP);
}
