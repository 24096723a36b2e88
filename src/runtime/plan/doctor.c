/* SPDX-License-Identifier: MIT */
/*
 * DOC: doctor
 *
 * One row per check: its name, the step of a start that it explains, and the
 * function. A check fills in what it found; nothing here changes the machine.
 */
#include <davit/doctor.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "engine/cgroup.h"
#include "engine/landlock.h"
#include "runtime/plan/doctor.h"
#include "runtime/plan/doctor_sys.h"
#include "runtime/store/dirs.h"

enum { SMALL_FILE = 256 * 1024 };

/* What several checks look at; filled once. */
struct facts {
	bool root;
	struct dv_probe probe;
	int probe_result;
};

static void result(struct dv_check *c, enum dv_check_result r, const char *fmt,
		   ...) DV_PRINTF(3, 4);
static void result(struct dv_check *c, enum dv_check_result r, const char *fmt,
		   ...)
{
	va_list ap;

	c->result = r;
	va_start(ap, fmt);
	dv_vfmt(c->text, sizeof(c->text), fmt, ap);
	va_end(ap);
}

static void fix(struct dv_check *c, const char *text)
{
	dv_fmt(c->fix, sizeof(c->fix), "%s", text);
}

static void check_kernel(const struct facts *f DV_UNUSED, struct dv_check *c)
{
	struct utsname u;
	char missing[96];

	if (uname(&u) < 0)
		u.release[0] = '\0';
	if (dv_doctor_missing_calls(missing, sizeof(missing)) == 0) {
		result(c, DV_CHECK_PASS, "%.64s has every system call needed",
		       u.release);
		return;
	}
	result(c, DV_CHECK_FAIL, "%.40s lacks%s", u.release, missing);
	fix(c, "use Linux 5.12 or newer; in a container, a seccomp profile "
	       "that lets them through");
}

/* The first setting that forbids user namespaces, with its fix. */
static void why_no_user(struct dv_check *c)
{
	static const struct {
		const char *path, *bad, *fix;
	} knobs[] = {
		{ "/proc/sys/user/max_user_namespaces", "0",
		  "sysctl -w user.max_user_namespaces=15000" },
		{ "/proc/sys/kernel/unprivileged_userns_clone", "0",
		  "sysctl -w kernel.unprivileged_userns_clone=1" },
		{ "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
		  "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, "
		  "or an AppArmor profile for davit" },
	};

	fix(c, "a container or its seccomp profile may forbid them; run davit "
	       "outside or as root");
	for (size_t i = 0; i < DV_ARRAY_LEN(knobs); i++) {
		dv_autofree char *text = NULL;
		size_t len;

		if (dv_read_file(AT_FDCWD, knobs[i].path, SMALL_FILE, &text,
				 &len) < 0)
			continue;
		if (!strncmp(text, knobs[i].bad, strlen(knobs[i].bad)) &&
		    (text[1] == '\n' || !text[1])) {
			fix(c, knobs[i].fix);
			return;
		}
	}
}

/* ENOSPC is how the kernel says that a limit of namespaces is reached. */
static const char *reason(int sys)
{
	return sys == ENOSPC ? "the limit is reached" : dv_errno_text(sys);
}

static void check_user(const struct facts *f, struct dv_check *c)
{
	if (f->probe_result == 0 && f->probe.user == 0) {
		result(c, DV_CHECK_PASS, "can be made");
		return;
	}
	result(c, DV_CHECK_FAIL, "cannot be made: %s",
	       reason(f->probe_result < 0 ? -f->probe_result : f->probe.user));
	why_no_user(c);
}

/* A probe's number: 0 passes, else @bad with the reason; -1: not reached. */
static void probed(struct dv_check *c, int what, const char *good,
		   enum dv_check_result bad, const char *how)
{
	if (what == 0) {
		result(c, DV_CHECK_PASS, "%s", good);
	} else if (what < 0) {
		result(c, bad, "not tried: something above has to work first");
	} else {
		result(c, bad, "%s", reason(what));
		fix(c, how);
	}
}

static void check_spaces(const struct facts *f, struct dv_check *c)
{
	probed(c, f->probe.spaces, "mount, pid, ipc, uts, net and cgroup",
	       DV_CHECK_FAIL,
	       "the limits are /proc/sys/user/max_*_namespaces; a container "
	       "must allow CLONE_NEW*");
}

static void check_mounts(const struct facts *f, struct dv_check *c)
{
	int worst = f->probe.tmpfs ? f->probe.tmpfs : f->probe.setattr;

	probed(c, worst, "tmpfs and read-only binds work", DV_CHECK_FAIL,
	       "an AppArmor or seccomp profile forbids mount(2) here");
}

static void check_overlay(const struct facts *f, struct dv_check *c)
{
	probed(c, f->probe.overlay, "works in a sandbox", DV_CHECK_WARN,
	       "modprobe overlay, Linux 5.11 or newer; or --rootfs DIR:ro or "
	       "DIR:rw");
}

static void check_proc(const struct facts *f, struct dv_check *c)
{
	probed(c, f->probe.proc, "can be mounted in a sandbox", DV_CHECK_FAIL,
	       "/proc is masked here, as in most containers: start that "
	       "container with an unmasked /proc");
}

static void limits(struct dv_check *c, const char *name, bool can,
		   const char *why)
{
	size_t len = strlen(c->text);

	if (can) {
		dv_fmt(c->text + len, sizeof(c->text) - len, " %s", name);
		return;
	}
	c->result = DV_CHECK_WARN;
	if (c->fix[0])
		return;
	dv_fmt(c->fix, sizeof(c->fix), "%s: %s", name,
	       *why ? why : "not available");
}

static void check_cgroups(const struct facts *f DV_UNUSED, struct dv_check *c)
{
	struct dv_cgroup_can can = { 0 };

	dv_cgroup_probe(&can);
	result(c, DV_CHECK_PASS, "%s%s; limits:",
	       can.hybrid       ? "v1 and v2"
	       : can.v1         ? "v1"
	       : can.v2_mounted ? "v2"
				: "none",
	       can.v2_writable ? ", own groups"
			       : ", none for keepers of their own");
	limits(c, "memory", can.memory, can.why_memory);
	limits(c, "cpu", can.cpu, can.why_cpu);
	limits(c, "pids", can.pids, can.why_pids);
	limits(c, "io", can.io, can.why_io);
	if (!can.memory && !can.cpu && !can.pids && !can.io)
		dv_fmt(c->text + strlen(c->text),
		       sizeof(c->text) - strlen(c->text), " none");
}

static void check_seccomp(const struct facts *f DV_UNUSED, struct dv_check *c)
{
	if (dv_doctor_seccomp() == 0) {
		result(c, DV_CHECK_PASS, "filters work");
		return;
	}
	result(c, DV_CHECK_FAIL, "no filters: %s",
	       dv_errno_text(dv_doctor_seccomp()));
	fix(c, "a kernel with CONFIG_SECCOMP_FILTER");
}

static void check_landlock(const struct facts *f DV_UNUSED, struct dv_check *c)
{
	static const struct {
		int abi;
		const char *brings;
	} versions[] = {
		{ 3, "truncation" },
		{ 4, "TCP" },
		{ 5, "device controls" },
		{ 6, "signals" },
	};
	int abi = dv_landlock_abi();
	size_t len;

	if (abi < 0) {
		result(c, DV_CHECK_WARN, "not available: %s",
		       dv_errno_text(-abi));
		fix(c, "not needed where namespaces work; else boot with "
		       "lsm=landlock,...");
		return;
	}
	result(c, DV_CHECK_PASS, "ABI %d, for --best-effort without namespaces",
	       abi);
	for (size_t i = 0; i < DV_ARRAY_LEN(versions); i++) {
		if (abi >= versions[i].abi)
			continue;
		len = strlen(c->text);
		dv_fmt(c->text + len, sizeof(c->text) - len, "; no %s",
		       versions[i].brings);
	}
}

/* The longest existing part of @path decides whether the rest can be made. */
static int can_make(const char *path)
{
	char at[256];

	if (dv_fmt(at, sizeof(at), "%s", path) >= (int)sizeof(at))
		return ENAMETOOLONG;
	while (access(at, F_OK) < 0 && errno == ENOENT) {
		char *slash = strrchr(at, '/');

		if (!slash || slash == at)
			return access("/", W_OK) < 0 ? errno : 0;
		*slash = '\0';
	}
	return access(at, W_OK | X_OK) < 0 ? errno : 0;
}

static void check_directory(struct dv_check *c, const char *path, int found,
			    const char *error, const char *how)
{
	int r = found < 0 ? -found : can_make(path);

	if (r == 0) {
		result(c, DV_CHECK_PASS, "%.120s", path);
		return;
	}
	result(c, DV_CHECK_FAIL, "%.120s",
	       found < 0 ? error : dv_errno_text(r));
	if (found >= 0)
		result(c, DV_CHECK_FAIL, "%.100s: %s", path, dv_errno_text(r));
	fix(c, how);
}

static void check_rundir(const struct facts *f DV_UNUSED, struct dv_check *c)
{
	struct dv_err err = DV_ERR_INIT;
	struct sockaddr_un un;
	char dir[256] = "";
	int r = dv_rundir(dir, sizeof(dir), &err);

	check_directory(c, dir, r, err.msg,
			"set DAVIT_RUNDIR to a directory of yours");
	/* "/" + an id of 16 + "/sock_4294967295" and the end. */
	if (c->result != DV_CHECK_PASS ||
	    strlen(dir) + 1 + 16 + 16 < sizeof(un.sun_path))
		return;
	result(c, DV_CHECK_WARN, "%.100s is too long for socket paths", dir);
	fix(c, "set DAVIT_RUNDIR to a path shorter than 75 bytes");
}

static void check_statedir(const struct facts *f DV_UNUSED, struct dv_check *c)
{
	struct dv_err err = DV_ERR_INIT;
	char dir[256] = "";
	int r = dv_statedir(dir, sizeof(dir), &err);

	check_directory(c, dir, r, err.msg,
			"set DAVIT_STATEDIR to a directory of yours");
}

static void check_ids(const struct facts *f, struct dv_check *c)
{
	const char *lacks = "";

	if (f->root) {
		result(c, DV_CHECK_PASS, "root can map every id");
		return;
	}
	if (!dv_doctor_in_path("newuidmap") || !dv_doctor_in_path("newgidmap"))
		lacks = "newuidmap and newgidmap are not installed";
	else if (!dv_doctor_has_subids("/etc/subuid") ||
		 !dv_doctor_has_subids("/etc/subgid"))
		lacks = "no range in /etc/subuid and /etc/subgid";
	if (!*lacks) {
		result(c, DV_CHECK_PASS, "a range of ids can be mapped");
		return;
	}
	result(c, DV_CHECK_WARN, "only your own id: %s", lacks);
	fix(c, "for -u: apt-get install uidmap; usermod --add-subuids "
	       "100000-165535 --add-subgids 100000-165535 USER");
}

static void check_rlimits(const struct facts *f DV_UNUSED, struct dv_check *c)
{
	struct rlimit files = { 0, 0 }, procs = { 0, 0 };

	getrlimit(RLIMIT_NOFILE, &files);
	getrlimit(RLIMIT_NPROC, &procs);
	result(c, DV_CHECK_PASS, "%llu open files, %s processes",
	       (unsigned long long)files.rlim_cur,
	       procs.rlim_cur < 64 ? "few" : "enough");
	if (files.rlim_cur >= 64 && procs.rlim_cur >= 64)
		return;
	c->result = DV_CHECK_WARN;
	fix(c, "ulimit -n 1024; ulimit -u 1024");
}

static void check_kvm(const struct facts *f DV_UNUSED, struct dv_check *c)
{
	if (access("/dev/kvm", R_OK | W_OK) == 0) {
		result(c, DV_CHECK_PASS,
		       "/dev/kvm is there; whether it runs "
		       "code is tried when it is used");
		return;
	}
	result(c, DV_CHECK_WARN, "/dev/kvm: %s", dv_errno_text(errno));
	fix(c, "only for microVMs, which run slower without: modprobe kvm, "
	       "join the group kvm");
}

static void check_qemu(const struct facts *f DV_UNUSED, struct dv_check *c)
{
	if (dv_doctor_in_path("qemu-system-x86_64")) {
		result(c, DV_CHECK_PASS, "qemu-system-x86_64 is installed");
		return;
	}
	result(c, DV_CHECK_WARN, "qemu-system-x86_64 is not installed");
	fix(c, "only for microVMs: apt-get install qemu-system-x86");
}

static const struct {
	const char *name;
	enum dv_step explains; /* DV_STEP_NONE: no step of a start */
	void (*fn)(const struct facts *facts, struct dv_check *check);
} checks[] = {
	{ "kernel", DV_STEP_SPAWN, check_kernel },
	{ "user-namespaces", DV_STEP_SPAWN, check_user },
	{ "namespaces", DV_STEP_SPAWN, check_spaces },
	{ "id-maps", DV_STEP_IDMAP, check_ids },
	{ "mounts", DV_STEP_MOUNT, check_mounts },
	{ "proc", DV_STEP_MOUNT, check_proc },
	{ "overlay", DV_STEP_ROOT, check_overlay },
	{ "cgroups", DV_STEP_CGROUP, check_cgroups },
	{ "seccomp", DV_STEP_SECCOMP, check_seccomp },
	{ "landlock", DV_STEP_NONE, check_landlock },
	{ "run-directory", DV_STEP_STATE, check_rundir },
	{ "state-directory", DV_STEP_STATE, check_statedir },
	{ "limits", DV_STEP_PROCESS, check_rlimits },
	{ "kvm", DV_STEP_NONE, check_kvm },
	{ "qemu", DV_STEP_NONE, check_qemu },
};

static void gather(struct facts *f)
{
	*f = (struct facts){ .root = geteuid() == 0, .probe = DV_PROBE_INIT };
	f->probe_result = dv_doctor_probe(&f->probe);
}

static void one(const struct facts *f, size_t i, struct dv_check *c)
{
	*c = (struct dv_check){ .name = checks[i].name };
	checks[i].fn(f, c);
}

int dv_doctor(void (*fn)(void *arg, const struct dv_check *check), void *arg)
{
	struct facts f;
	struct dv_check c;
	int failed = 0;

	gather(&f);
	for (size_t i = 0; i < DV_ARRAY_LEN(checks); i++) {
		one(&f, i, &c);
		failed += c.result == DV_CHECK_FAIL;
		fn(arg, &c);
	}
	return failed;
}

/* Where namespaces are what failed, there is another way. */
static void hint_landlock(struct dv_err *err)
{
	size_t len = strlen(err->hint);
	bool spaces = err->step == DV_STEP_SPAWN ||
		      err->step == DV_STEP_IDMAP || err->step == DV_STEP_NET ||
		      err->step == DV_STEP_ROOT || err->step == DV_STEP_MOUNT;

	if (spaces && len && dv_landlock_abi() > 0)
		dv_fmt(err->hint + len, sizeof(err->hint) - len,
		       "; or --best-effort (Landlock)");
}

void dv_doctor_explain(struct dv_err *err)
{
	struct facts f;
	struct dv_check c;
	bool any = false;

	for (size_t i = 0; i < DV_ARRAY_LEN(checks); i++)
		any |= err->step == (int)checks[i].explains;
	/* What the kernel said about namespaces tells less than a look. */
	if (!any || err->step == DV_STEP_NONE ||
	    (err->hint[0] && err->step != DV_STEP_SPAWN))
		return;
	gather(&f);
	for (size_t i = 0; i < DV_ARRAY_LEN(checks); i++) {
		if (err->step != (int)checks[i].explains)
			continue;
		one(&f, i, &c);
		if (c.result != DV_CHECK_PASS) {
			err->hint[0] = '\0';
			dv_err_hint(err, "%s", c.fix);
			hint_landlock(err);
			return;
		}
	}
}

const char *dv_check_name(int r)
{
	static const char *const names[] = { "PASS", "WARN", "FAIL" };

	static_assert(DV_ARRAY_LEN(names) == DV_CHECK_N, "one name each");
	return r >= 0 && r < DV_CHECK_N ? names[r] : "FAIL";
}
