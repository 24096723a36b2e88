/* SPDX-License-Identifier: MIT */
#include "runtime/plan/spec.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/path.h"
#include "runtime/plan/caps.h"

static int invalid(struct dv_err *err, const char *what, const char *value)
{
	return dv_err_step(
		err, dv_err_set(err, EINVAL, DV_INVALID, "%s: %s", what, value),
		DV_STEP_CONFIG);
}

int dv_spec_too_many(int max, const char *what, struct dv_err *err)
{
	if (max == DV_PLAN_ARGS_MAX)
		dv_err_hint(err, "a list of that length goes into a file, or "
				 "to stdin");
	return dv_err_step(err,
			   dv_err_set(err, E2BIG, DV_INVALID, "more than %d %s",
				      max, what),
			   DV_STEP_CONFIG);
}

/* What was added is in the plan, which has room for @max; or why it is not. */
static int added(const struct dv_spec *spec, int max, const char *what,
		 struct dv_err *err)
{
	int r = dv_plan_status(&spec->mem);

	if (r == -E2BIG)
		return dv_spec_too_many(max, what, err);
	return r < 0 ? dv_err_sys(err, -r, "%s", what) : 0;
}

int dv_spec_new(struct dv_spec **specp)
{
	struct dv_spec *spec = calloc(1, sizeof(*spec));

	if (!spec)
		return -ENOMEM;
	spec->mem = (struct dv_plan)DV_PLAN_INIT;
	for (int i = 0; i < 3; i++)
		spec->stdio[i].fd = -1;
	spec->stop_signal = SIGTERM;
	spec->stop_timeout_ms = 10000;
	spec->timeout_ms = -1;
	*specp = spec;
	return 0;
}

struct dv_spec *dv_spec_free(struct dv_spec *spec)
{
	if (spec) {
		dv_plan_free(&spec->mem);
		free(spec);
	}
	return NULL;
}

static int set_string(struct dv_spec *spec, char **field, const char *value)
{
	*field = dv_plan_strdup(&spec->mem, value);
	return *field ? 0 : -ENOMEM;
}

/* An absolute, clean copy of @path in *@field. */
static int set_path(struct dv_spec *spec, char **field, const char *path,
		    struct dv_err *err)
{
	char abs[PATH_MAX];
	int r = path[0] ? dv_path_absolute(abs, sizeof(abs), path) : -EINVAL;

	if (r < 0) {
		dv_err_sys(err, -r, "path \"%s\"", path);
		dv_err_step(err, r, DV_STEP_CONFIG);
		return r;
	}
	return set_string(spec, field, abs);
}

int dv_spec_argv(struct dv_spec *spec, const char *const argv[],
		 struct dv_err *err)
{
	if (!argv || !argv[0])
		return invalid(err, "command", "none given");
	spec->mem.msg.process.argv_count = 0;
	spec->mem.msg.process.argv = NULL;
	for (size_t i = 0; argv[i] && !dv_plan_status(&spec->mem); i++)
		dv_plan_arg(&spec->mem, argv[i]);
	return added(spec, DV_PLAN_ARGS_MAX, "arguments", err);
}

int dv_spec_exe(struct dv_spec *spec, const char *path, struct dv_err *err)
{
	if (!path[0])
		return invalid(err, "executable", "empty path");
	return set_string(spec, &spec->mem.msg.process.exe, path);
}

/* ---- environment ----------------------------------------------------- */

int dv_spec_env_clear(struct dv_spec *spec)
{
	spec->env_clear = true;
	return 0;
}

int dv_spec_env(struct dv_spec *spec, const char *entry, struct dv_err *err)
{
	const char *eq = strchr(entry, '=');
	dv_autofree char *own = NULL;

	if (!entry[0] || eq == entry)
		return invalid(err, "environment", "a name is missing");
	if (!eq) {
		const char *value = getenv(entry);
		size_t klen = strlen(entry), vlen = value ? strlen(value) : 0;

		if (!value)
			return 0;
		own = malloc(klen + vlen + 2);
		if (!own)
			return -ENOMEM;
		memcpy(own, entry, klen);
		own[klen] = '=';
		memcpy(own + klen + 1, value, vlen + 1);
		entry = own;
	}
	dv_plan_env(&spec->mem, entry);
	return added(spec, DV_PLAN_ARGS_MAX, "variables", err);
}

int dv_spec_env_remove(struct dv_spec *spec, const char *key,
		       struct dv_err *err)
{
	if (!key[0] || strchr(key, '='))
		return invalid(err, "environment name", key);
	dv_plan_unset_env(&spec->mem, key);
	dv_plan_list_add(&spec->mem, &spec->env_unset, &spec->env_unset_count,
			 key);
	return added(spec, DV_PLAN_ARGS_MAX, "variables", err);
}

/* ---- root and mounts -------------------------------------------------- */

int dv_spec_boundary(struct dv_spec *spec, enum dv_boundary boundary)
{
	if ((unsigned int)boundary >= DV_IN_BOUNDARY_N)
		return -EINVAL;
	spec->boundary = boundary;
	return 0;
}

int dv_spec_rootfs(struct dv_spec *spec, const char *dir,
		   enum dv_rootfs_mode mode, struct dv_err *err)
{
	if ((unsigned int)mode >= DV_ROOTFS_N)
		return -EINVAL;
	spec->boundary = DV_IN_CONTAINER;
	spec->rootfs_mode = mode;
	return set_path(spec, &spec->rootfs, dir, err);
}

int dv_spec_volume(struct dv_spec *spec, const char *src, const char *dst,
		   uint32_t flags, struct dv_err *err)
{
	uint32_t mf = dv_MF_RECURSIVE | dv_MF_NOSUID | dv_MF_NODEV;
	char *s, *d;
	int r;

	if (flags & ~(uint32_t)DV_VOLUME_RO)
		return -EINVAL;
	if (dst[0] != '/')
		return invalid(err, "volume target is not absolute", dst);
	r = set_path(spec, &s, src, err);
	if (r == 0)
		r = set_path(spec, &d, dst, err);
	if (r < 0)
		return r;
	if (!d[1])
		return invalid(err, "volume target", "/ cannot be replaced");
	if (flags & DV_VOLUME_RO)
		mf |= dv_MF_RO;
	dv_plan_mount(&spec->mem, dv_MOUNT_BIND, s, d, mf);
	return added(spec, DV_PLAN_MOUNTS_MAX, "mounts", err);
}

int dv_spec_tmpfs(struct dv_spec *spec, const char *dst, uint64_t size,
		  struct dv_err *err)
{
	char options[32];
	dv_Mount *m;
	char *d;
	int r;

	if (dst[0] != '/')
		return invalid(err, "tmpfs target is not absolute", dst);
	r = set_path(spec, &d, dst, err);
	if (r < 0)
		return r;
	if (!d[1])
		return invalid(err, "tmpfs target", "/ cannot be replaced");
	m = dv_plan_mount(&spec->mem, dv_MOUNT_TMPFS, NULL, d,
			  dv_MF_NOSUID | dv_MF_NODEV);
	if (!m)
		return added(spec, DV_PLAN_MOUNTS_MAX, "mounts", err);
	m->mode = 01777;
	if (size) {
		snprintf(options, sizeof(options), "size=%llu",
			 (unsigned long long)size);
		m->options = dv_plan_strdup(&spec->mem, options);
	}
	return added(spec, DV_PLAN_MOUNTS_MAX, "mounts", err);
}

int dv_spec_read_only(struct dv_spec *spec, bool on)
{
	spec->read_only = on;
	return 0;
}

int dv_spec_workdir(struct dv_spec *spec, const char *dir, struct dv_err *err)
{
	if (dir[0] != '/')
		return invalid(err, "working directory is not absolute", dir);
	return set_path(spec, &spec->workdir, dir, err);
}

int dv_spec_user(struct dv_spec *spec, const char *user, struct dv_err *err)
{
	if (!user[0] || user[0] == ':')
		return invalid(err, "user", "empty name");
	return set_string(spec, &spec->user, user);
}

int dv_spec_hostname(struct dv_spec *spec, const char *name, struct dv_err *err)
{
	if (!name[0] || strlen(name) > 64)
		return invalid(err, "hostname must have 1 to 64 bytes", name);
	return set_string(spec, &spec->hostname, name);
}

int dv_spec_net(struct dv_spec *spec, enum dv_net net)
{
	if ((unsigned int)net >= DV_NET_N)
		return -EINVAL;
	spec->net = net;
	return 0;
}

/* ---- limits ----------------------------------------------------------- */

int dv_spec_memory(struct dv_spec *spec, uint64_t bytes)
{
	spec->limits.memory = bytes;
	return 0;
}

int dv_spec_cpus(struct dv_spec *spec, uint32_t milli_cpus)
{
	spec->limits.milli_cpus = milli_cpus;
	return 0;
}

int dv_spec_pids(struct dv_spec *spec, uint32_t max)
{
	spec->limits.pids = max;
	return 0;
}

int dv_spec_io_weight(struct dv_spec *spec, uint32_t weight)
{
	if (weight > 10000)
		return -EINVAL;
	spec->limits.io_weight = weight;
	return 0;
}

int dv_spec_rlimit(struct dv_spec *spec, int resource, uint64_t soft,
		   uint64_t hard, struct dv_err *err)
{
	if (resource < 0 || resource >= RLIM_NLIMITS)
		return invalid(err, "resource limit", "unknown resource");
	if (soft > hard)
		return invalid(err, "resource limit", "soft is above hard");
	dv_plan_rlimit(&spec->mem, (uint32_t)resource, soft, hard);
	return added(spec, DV_PLAN_RLIMITS_MAX, "resource limits", err);
}

int dv_spec_nice(struct dv_spec *spec, int nice)
{
	spec->mem.msg.process.has_nice = true;
	spec->mem.msg.process.nice = nice;
	return 0;
}

int dv_spec_oom_score_adj(struct dv_spec *spec, int adj)
{
	if (adj < -1000 || adj > 1000)
		return -EINVAL;
	spec->mem.msg.process.has_oom_score_adj = true;
	spec->mem.msg.process.oom_score_adj = adj;
	return 0;
}

int dv_spec_umask(struct dv_spec *spec, uint32_t mask)
{
	if (mask > 0777)
		return -EINVAL;
	spec->mem.msg.process.has_umask = true;
	spec->mem.msg.process.umask = mask;
	return 0;
}

/* ---- privileges -------------------------------------------------------- */

int dv_spec_cap_add(struct dv_spec *spec, const char *name, struct dv_err *err)
{
	uint64_t bits;

	if (dv_caps_parse(name, &bits) < 0)
		return invalid(err, "unknown capability", name);
	spec->cap_add |= bits;
	return 0;
}

int dv_spec_cap_drop(struct dv_spec *spec, const char *name, struct dv_err *err)
{
	uint64_t bits;

	if (dv_caps_parse(name, &bits) < 0)
		return invalid(err, "unknown capability", name);
	spec->cap_drop |= bits;
	return 0;
}

int dv_spec_seccomp(struct dv_spec *spec, const char *path, struct dv_err *err)
{
	if (!path[0])
		return invalid(err, "seccomp profile", "empty path");
	return set_string(spec, &spec->seccomp, path);
}

/* ---- streams ------------------------------------------------------------ */

int dv_spec_stdio(struct dv_spec *spec, int which, enum dv_stdio mode, int fd,
		  struct dv_err *err)
{
	if (which < 0 || which > 2 || (unsigned int)mode >= DV_STDIO_N)
		return invalid(err, "stdio", "no such stream or mode");
	if (mode == DV_STDIO_FD && dv_fd_mode(fd) < 0)
		return invalid(err, "stdio", "descriptor is not open");
	for (int i = 0; i < 3; i++)
		if (i == which || mode == DV_STDIO_PTY)
			spec->stdio[i] = (struct dv_stdio_spec){ mode, fd };
	return 0;
}

int dv_spec_winsize(struct dv_spec *spec, uint16_t rows, uint16_t cols)
{
	spec->rows = rows;
	spec->cols = cols;
	return 0;
}

int dv_spec_fd(struct dv_spec *spec, int fd, int target, struct dv_err *err)
{
	if (dv_fd_mode(fd) < 0)
		return invalid(err, "descriptor to hand in", "it is not open");
	if (target < 3 || target > DV_PLAN_FD_TARGET_MAX)
		return invalid(err, "descriptor to hand in",
			       "its number must be 3 to 1023");
	for (size_t i = 0; i < spec->n_extra; i++)
		if (spec->extra_target[i] == target)
			return invalid(err, "descriptor to hand in",
				       "number used twice");
	/* three entries of a plan are stdio */
	if (spec->n_extra >= DV_PLAN_FDS_MAX - 3)
		return invalid(err, "descriptor to hand in", "too many");
	spec->extra_fd[spec->n_extra] = fd;
	spec->extra_target[spec->n_extra++] = target;
	return 0;
}

/* ---- life --------------------------------------------------------------- */

int dv_spec_stop_signal(struct dv_spec *spec, int signo, struct dv_err *err)
{
	if (signo < 1 || signo >= _NSIG)
		return invalid(err, "stop signal", "no such signal");
	spec->stop_signal = signo;
	return 0;
}

int dv_spec_stop_timeout(struct dv_spec *spec, int timeout_ms)
{
	if (timeout_ms < 0)
		return -EINVAL;
	spec->stop_timeout_ms = timeout_ms;
	return 0;
}

int dv_spec_timeout(struct dv_spec *spec, int timeout_ms)
{
	spec->timeout_ms = timeout_ms;
	return 0;
}

int dv_spec_best_effort(struct dv_spec *spec, bool on)
{
	spec->best_effort = on;
	return 0;
}

int dv_spec_record_timing(struct dv_spec *spec, bool on)
{
	spec->timing = on;
	return 0;
}
