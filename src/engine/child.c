/* SPDX-License-Identifier: MIT */
/*
 * DOC: the order of steps
 *
 * Every step needs what the earlier ones still allow, and takes something away:
 *
 *   session		    before anything can block or be signalled
 *   terminal, descriptors  the pty is opened with the init's rights and given
 *			    to the user; before a limit on descriptors holds
 *   landlock rules	    their paths are opened before rights are given up
 *   limits, nice, umask    raising a limit needs privilege
 *   bounding set	    needs CAP_SETPCAP
 *   groups, gid, uid	    need CAP_SETGID and CAP_SETUID; KEEPCAPS keeps the
 *			    permitted set over the change of uid
 *   capabilities	    inheritable before ambient, which needs it
 *   working directory	    as the user: it must be able to enter it
 *   no_new_privs, then	    last: neither rules nor filters need to allow any
 *   landlock, seccomp	    of the above
 *   lookup and exec	    as the user, in the new root
 *
 * PR_SET_PDEATHSIG is cleared by every change of ids, so it follows them.
 */
#include "engine/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "engine/foreign.h"
#include "engine/landlock.h"
#include "engine/plan.h"
#include "engine/pty.h"
#include "engine/sys.h"

#define DEFAULT_PATH \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#ifdef DV_COVERAGE
extern void __gcov_dump(void);
#endif

_Noreturn void dv_child_end(int status)
{
#ifdef DV_COVERAGE
	__gcov_dump();
#endif
	_exit(status);
}

_Noreturn void dv_child_fail(int err_fd, const struct dv_err *err)
{
	dv_write_full(err_fd, err, sizeof(*err));
	dv_child_end(125);
}

void dv_child_reset_signals(void)
{
	/* The kernel's own struct: glibc's sigaction() refuses 32 and 33. */
	struct {
		void (*handler)(int);
		unsigned long flags;
		void (*restorer)(void);
		uint64_t mask;
	} dfl = { SIG_DFL, 0, NULL, 0 };

	for (int sig = 1; sig < _NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			syscall(SYS_rt_sigaction, sig, &dfl, NULL, _NSIG / 8);
}

/* ---- limits --------------------------------------------------------- */

static int set_rlimits(const dv_Process *p, struct dv_err *err)
{
	for (pb_size_t i = 0; i < p->rlimits_count; i++) {
		const dv_Rlimit *l = &p->rlimits[i];
		struct rlimit lim = { l->soft, l->hard };

		if (setrlimit((int)l->resource, &lim) == 0)
			continue;
		int e = errno;
		dv_err_hint(err, "a hard limit can only be raised with "
				 "CAP_SYS_RESOURCE on the host");
		return dv_err_sys(err, e, "set resource limit %u to %llu:%llu",
				  l->resource, (unsigned long long)l->soft,
				  (unsigned long long)l->hard);
	}
	return 0;
}

/*
 * The /proc files of one that is not dumpable are root's: an ordinary user
 * could not even raise the score. So this is for where no workload can see us:
 * it might trace who is dumpable.
 */
int dv_child_oom_score(int32_t adj, struct dv_err *err)
{
	char text[16];
	int len = dv_fmt(text, sizeof(text), "%d", adj);
	int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
	int r;

	if (dumpable != 1)
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	r = dv_write_file(AT_FDCWD, "/proc/self/oom_score_adj", text,
			  (size_t)len);
	if (dumpable != 1)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return r < 0 ? dv_err_sys(err, -r, "set oom score to %d", adj) : 0;
}

static int set_limits(const struct dv_launch *l, struct dv_err *err)
{
	const dv_Process *p = l->process;
	int r = set_rlimits(p, err);

	if (r == 0 && p->has_nice && setpriority(PRIO_PROCESS, 0, p->nice) < 0)
		r = dv_err_sys(err, errno, "set nice to %d", p->nice);
	if (r == 0 && p->has_oom_score_adj && !l->scored)
		r = dv_child_oom_score(p->oom_score_adj, err);
	if (p->has_umask)
		umask((mode_t)p->umask);
	return r;
}

/* ---- session and descriptors ---------------------------------------- */

static int start_session(const dv_Process *p, struct dv_err *err)
{
	if (p->new_session || p->terminal) {
		if (setsid() < 0)
			return dv_err_sys(err, errno, "start a session");
	} else if (p->new_group && setpgid(0, 0) < 0) {
		return dv_err_sys(err, errno, "start a process group");
	}
	return 0;
}

static bool is_target(const dv_Process *p, int fd)
{
	for (pb_size_t i = 0; i < p->fds_count; i++)
		if ((int)p->fds[i].target == fd)
			return true;
	return p->terminal && fd <= 2;
}

/*
 * Put every source on its target. Sources are first moved above all targets,
 * so that no dup2() can overwrite one that is still needed; a source that is
 * its own target stays where it is.
 */
static int place_fds(const struct dv_launch *l, int floor, struct dv_err *err)
{
	const dv_Process *p = l->process;
	int moved[DV_PLAN_FDS_MAX]; /* dv_plan_check() limits the count */

	for (pb_size_t i = 0; i < p->fds_count; i++) {
		int src = l->fds[p->fds[i].source];

		moved[i] = src;
		if (src != (int)p->fds[i].target && src < floor)
			moved[i] = dv_fd_dup(src, floor);
		if (moved[i] < 0)
			return dv_err_sys(err, -moved[i],
					  "duplicate descriptor %d", src);
	}
	for (pb_size_t i = 0; i < p->fds_count; i++) {
		int target = (int)p->fds[i].target, r = 0;

		if (moved[i] == target)
			r = dv_fd_cloexec(target, false);
		else if (dup2(moved[i], target) < 0)
			r = -errno;
		if (r < 0)
			return dv_err_sys(err, -r, "descriptor %d", target);
	}
	return 0;
}

/*
 * Close what is not a target; 0 to 2 get /dev/null instead. That the exec would
 * close the rest is not enough: whoever could trace us before it would have the
 * keeper's directories.
 */
static int close_rest(const struct dv_launch *l, int floor, struct dv_err *err)
{
	const dv_Process *p = l->process;
	unsigned int keep = (unsigned int)l->err_fd; /* not below the floor */

	for (int fd = 0; fd < floor; fd++) {
		if (is_target(p, fd))
			continue;
		close(fd);
		if (fd <= 2 && open("/dev/null", O_RDWR) < 0)
			return dv_err_sys(err, errno, "open /dev/null");
	}
	if ((keep > (unsigned int)floor &&
	     close_range((unsigned int)floor, keep - 1, 0) < 0) ||
	    close_range(keep + 1, ~0U, 0) < 0)
		return dv_err_sys(err, errno, "close_range");
	return 0;
}

/* Our own descriptors out of the way; the low one is closed by what follows. */
static int move_up(int *fd, int floor, struct dv_err *err)
{
	if (*fd >= floor)
		return 0;
	int up = dv_fd_dup(*fd, floor);

	if (up < 0)
		return dv_err_sys(err, -up, "move descriptor %d", *fd);
	*fd = up;
	return 0;
}

/*
 * Sources are moved above the highest target, which may be more than the
 * keeper's limit has room for. Returns the limit that is to be put back.
 */
static struct rlimit make_room(int floor)
{
	struct rlimit old, wide;

	getrlimit(RLIMIT_NOFILE, &old); /* cannot fail */
	if (old.rlim_cur < (rlim_t)floor + DV_PLAN_FDS_MAX + 2) {
		wide = (struct rlimit){ old.rlim_max, old.rlim_max };
		setrlimit(RLIMIT_NOFILE, &wide);
	}
	return old;
}

static int move_fds(struct dv_launch *l, int floor, struct dv_err *err)
{
	const dv_Process *p = l->process;
	int r = move_up(&l->err_fd, floor, err);

	if (r == 0 && p->terminal)
		r = move_up(&l->sock, floor, err);
	if (r == 0)
		r = place_fds(l, floor, err);
	if (r == 0 && p->terminal)
		r = dv_pty_become_terminal(p, l->sock, err);
	return r < 0 ? r : close_rest(l, floor, err);
}

static int set_fds(struct dv_launch *l, struct dv_err *err)
{
	const dv_Process *p = l->process;
	struct rlimit old;
	int floor = 3, r;

	for (pb_size_t i = 0; i < p->fds_count; i++)
		floor = dv_max(floor, (int)p->fds[i].target + 1);
	old = make_room(floor);
	r = move_fds(l, floor, err);
	setrlimit(RLIMIT_NOFILE, &old);
	return r;
}

/* ---- credentials ---------------------------------------------------- */

static int drop_bounding(uint64_t keep, struct dv_err *err)
{
	for (int cap = 0; cap < 64; cap++) {
		if (keep & (UINT64_C(1) << cap) ||
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL)
			return 0; /* past the kernel's last capability */
		return dv_err_sys(err, errno,
				  "drop capability %d from the bounding set",
				  cap);
	}
	return 0;
}

static int no_such_id(int e, struct dv_err *err)
{
	if (e == EINVAL)
		dv_err_hint(err, "only ids that were mapped into the sandbox "
				 "at its start can be had in it");
	return e;
}

static int set_ids(const dv_Process *p, struct dv_err *err)
{
	const dv_Ids *ids = &p->ids;

	if (!ids->keep_groups &&
	    syscall(SYS_setgroups, ids->groups_count, ids->groups) < 0)
		return dv_err_sys(err, errno, "set supplementary groups");
	if (syscall(SYS_setresgid, ids->gid, ids->gid, ids->gid) < 0)
		return dv_err_sys(err, no_such_id(errno, err),
				  "change to gid %u", ids->gid);
	if (p->has_caps && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return dv_err_sys(err, errno, "keep capabilities");
	if (syscall(SYS_setresuid, ids->uid, ids->uid, ids->uid) < 0)
		return dv_err_sys(err, no_such_id(errno, err),
				  "change to uid %u", ids->uid);
	return 0;
}

static int set_caps(const dv_Caps *caps, struct dv_err *err)
{
	struct __user_cap_header_struct hdr = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	for (int i = 0; i < 2; i++) {
		data[i].permitted = (uint32_t)(caps->permitted >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = (uint32_t)(caps->inheritable >> (32 * i));
	}
	if (syscall(SYS_capset, &hdr, data) < 0)
		return dv_err_sys(err, errno, "set capabilities");
	for (int cap = 0; cap < 64; cap++)
		if ((caps->ambient & (UINT64_C(1) << cap)) &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return dv_err_sys(err, errno,
					  "raise ambient capability %d", cap);
	return 0;
}

static int set_creds(const dv_Process *p, struct dv_err *err)
{
	int r = 0;

	if (p->has_caps)
		r = drop_bounding(p->caps.bounding, err);
	if (r == 0 && p->has_ids)
		r = set_ids(p, err);
	if (r == 0 && p->has_caps)
		r = set_caps(&p->caps, err);
	return r;
}

/* ---- the rest ------------------------------------------------------- */

static int enter_cwd(const dv_Process *p, struct dv_err *err)
{
	if (!p->cwd || !p->cwd[0] || chdir(p->cwd) == 0)
		return 0;
	int e = errno;
	dv_err_hint(err, "the directory must exist inside the sandbox; see "
			 "--workdir and --volume");
	return dv_err_sys(err, e, "enter working directory %s", p->cwd);
}

static int load_filter(pb_bytes_array_t *bpf, struct dv_err *err)
{
	if (!bpf)
		return 0;
	struct sock_fprog prog = {
		.len = (unsigned short)(bpf->size / sizeof(struct sock_filter)),
		.filter = (void *)bpf->bytes,
	};
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		return dv_err_sys(err, errno, "load seccomp filter");
	return 0;
}

/* The small filter first: the other one may forbid to load more. */
static int set_seccomp(const dv_Process *p, int landlock, struct dv_err *err)
{
	int r = 0;

	if (p->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return dv_err_sys(err, errno, "set no_new_privs");
	if (landlock >= 0)
		r = dv_landlock_enforce(landlock, err);
	if (r == 0)
		r = load_filter(p->seccomp_more, err);
	if (r == 0)
		r = load_filter(p->seccomp, err);
	return r;
}

/* A parent that is gone already sends nothing any more. */
static int set_death_signal(const struct dv_launch *l, struct dv_err *err)
{
	const dv_Process *p = l->process;

	if (!p->death_signal)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, p->death_signal, 0, 0, 0) < 0)
		return dv_err_sys(err, errno, "set parent-death signal");
	if (l->parent && getppid() != l->parent)
		dv_child_end(125);
	return 0;
}

/* Not an errno: what was found is not for this filter. */
enum { FOREIGN = 1 << 16 };

/* Returns why nothing was executed. */
static int try_exec(const struct dv_launch *l, const char *file)
{
	if (l->native_only && dv_is_foreign(file))
		return FOREIGN;
	execve(file, l->argv, l->envp);
	return errno;
}

/* True when errno of an execve means: look in the next directory. */
static bool look_further(int e)
{
	return e == ENOENT || e == ENOTDIR || e == EACCES || e == ELOOP ||
	       e == ENAMETOOLONG;
}

/* Try each directory of PATH. Returns what stopped it. */
static int exec_in_path(const struct dv_launch *l, const char *name)
{
	char file[4096];
	const char *dir = l->path ? l->path : DEFAULT_PATH;
	int seen = ENOENT;

	while (dir) {
		const char *end = strchrnul(dir, ':');
		int len = (int)(end - dir);
		int n = dv_fmt(file, sizeof(file), "%.*s%s%s", len, dir,
			       len ? "/" : "", name);

		if (n > 0 && (size_t)n < sizeof(file)) {
			int e = try_exec(l, file);

			if (!look_further(e))
				return e;
			if (e == EACCES && access(file, F_OK) == 0)
				seen = EACCES;
		}
		dir = *end ? end + 1 : NULL;
	}
	return seen;
}

static int refuse_foreign(const char *file, struct dv_err *err)
{
	dv_err_hint(err, "--seccomp unconfined, or --seccomp FILE with a "
			 "profile that names SCMP_ARCH_X86");
	return dv_err_step(err,
			   dv_err_set(err, ENOEXEC, DV_DENIED,
				      "exec %s: a 32-bit program, and the "
				      "default seccomp filter allows none",
				      file),
			   DV_STEP_EXEC);
}

/* Nothing was executed: say whether it was there. Returns -errno. */
static int exec_failed(const char *file, bool in_path, int e,
		       struct dv_err *err)
{
	enum dv_step step = DV_STEP_EXEC;
	struct stat st;

	if (in_path ? e == ENOENT : stat(file, &st) < 0 && errno == ENOENT)
		step = DV_STEP_LOOKUP;
	if (step == DV_STEP_LOOKUP && in_path)
		dv_err_hint(err, "it is in no directory of the sandbox's PATH");
	else if (step == DV_STEP_LOOKUP)
		dv_err_hint(err, "the path is looked up inside the sandbox");
	else if (e == ENOENT)
		dv_err_hint(err, "the file is there, its interpreter (#! line "
				 "or dynamic loader) is not");
	else if (e == ENOEXEC)
		dv_err_hint(err, "neither a program of this machine nor a "
				 "script with a #! line");
	else if (e == EACCES)
		dv_err_hint(err, "is it a file with execute permission, on a "
				 "file system that allows it?");
	int r = dv_err_sys(err, e, "exec %s", file);
	return dv_err_step(err, r, step);
}

static int exec_command(const struct dv_launch *l, struct dv_err *err)
{
	const char *file = l->process->exe;
	int e;

	if (!file || !file[0])
		file = l->argv[0];
	bool in_path = !strchr(file, '/');
	if (l->ctl)
		atomic_store(&l->ctl->executing, 1);
	e = in_path && file[0] ? exec_in_path(l, file) : try_exec(l, file);
	if (l->ctl)
		atomic_store(&l->ctl->executing, 0);
	return e == FOREIGN ? refuse_foreign(file, err)
			    : exec_failed(file, in_path, e, err);
}

/* Named steps in order: the name is what an error and --timing show. */
static int follow_plan(struct dv_launch *l, struct dv_err *err)
{
	const dv_Process *p = l->process;
	int landlock = -1, r;

	r = start_session(p, err);
	if (r == 0)
		r = set_fds(l, err);
	if (r == 0 && p->has_landlock) {
		landlock = r = dv_landlock_prepare(&p->landlock, err);
		dv_err_step(err, r, DV_STEP_ROOT);
		r = dv_min(r, 0);
	}
	if (r == 0)
		r = set_limits(l, err);
	dv_err_step(err, r, DV_STEP_PROCESS);
	dv_ctl_mark(l->ctl, "main: descriptors");
	if (r == 0)
		r = dv_err_step(err, set_creds(p, err), DV_STEP_CREDS);
	dv_ctl_mark(l->ctl, "main: credentials");
	if (r == 0)
		r = dv_err_step(err, enter_cwd(p, err), DV_STEP_CWD);
	if (r == 0)
		r = dv_err_step(err, set_death_signal(l, err), DV_STEP_PROCESS);
	if (r == 0)
		r = dv_err_step(err, set_seccomp(p, landlock, err),
				DV_STEP_SECCOMP);
	dv_ctl_mark(l->ctl, "main: seccomp");
	return r;
}

_Noreturn void dv_child_exec(struct dv_launch *l)
{
	struct dv_err err = DV_ERR_INIT;
	sigset_t none;

	if (follow_plan(l, &err) == 0) {
		sigemptyset(&none);
		dv_sys_set_signals(&none);
		exec_command(l, &err);
	}
	dv_child_fail(l->err_fd, &err);
}
