/* SPDX-License-Identifier: MIT */
#include "cli/run_apply.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/num.h"
#include "base/path.h"
#include "base/systemd.h"
#include "cli/envfile.h"
#include "cli/report.h"
#include "cli/run_args.h"
#include "cli/run_split.h"

static int bad_value(struct dv_err *err, const char *value, const char *what,
		     const char *hint)
{
	dv_err_set(err, EINVAL, DV_INVALID, "\"%.100s\" is not %s", value,
		   what);
	if (hint)
		dv_err_hint(err, "%s", hint);
	return -EINVAL;
}

static int oom(int r, struct dv_err *err)
{
	return r < 0 ? dv_err_sys(err, -r, "keep it") : r;
}

int dv_apply_in(void *target, const struct dv_opt *opt DV_UNUSED,
		const char *value, struct dv_err *err)
{
	struct run_args *a = target;

	if (!strcmp(value, "vm"))
		return dv_apply_later(target,
				      &(struct dv_opt){ .which = DV_LATER_VM },
				      NULL, err);
	a->process = !strcmp(value, "process");
	if (a->process)
		a->container = false;
	else if (!strcmp(value, "container"))
		a->container = true;
	else
		return bad_value(err, value, "a boundary",
				 "process or container");
	return oom(dv_spec_boundary(a->spec, a->container ? DV_IN_CONTAINER
							  : DV_IN_PROCESS),
		   err);
}

int dv_apply_rootfs(void *target, const struct dv_opt *opt DV_UNUSED,
		    const char *value, struct dv_err *err)
{
	char dir[PATH_MAX];
	struct run_args *a = target;
	enum dv_rootfs_mode mode;
	int r = dv_split_rootfs(value, dir, sizeof(dir), &mode, err);

	if (r < 0)
		return r;
	a->has_rootfs = true;
	return dv_spec_rootfs(a->spec, dir, mode, err);
}

int dv_apply_net(void *target, const struct dv_opt *opt DV_UNUSED,
		 const char *value, struct dv_err *err)
{
	struct run_args *a = target;

	if (!strcmp(value, "none"))
		return oom(dv_spec_net(a->spec, DV_NET_NONE), err);
	if (!strcmp(value, "host"))
		return oom(dv_spec_net(a->spec, DV_NET_HOST), err);
	if (strcmp(value, "user") != 0)
		return bad_value(err, value, "a network", "none or host");
	dv_err_set(err, EOPNOTSUPP, DV_UNIMPLEMENTED,
		   "user-mode networking is not in this version");
	dv_err_hint(err, "--net host shares the network of the host");
	return -EOPNOTSUPP;
}

int dv_apply_text(void *target, const struct dv_opt *opt, const char *value,
		  struct dv_err *err)
{
	struct dv_spec *spec = ((struct run_args *)target)->spec;

	switch (opt->which) {
	case DV_SET_HOSTNAME:
		return dv_spec_hostname(spec, value, err);
	case DV_SET_ENV:
		return dv_spec_env(spec, value, err);
	case DV_SET_WORKDIR:
		return dv_spec_workdir(spec, value, err);
	case DV_SET_USER:
		return dv_spec_user(spec, value, err);
	case DV_SET_CAP_ADD:
		return dv_spec_cap_add(spec, value, err);
	case DV_SET_CAP_DROP:
		return dv_spec_cap_drop(spec, value, err);
	default:
		dv_assert(opt->which == DV_SET_SECCOMP);
		return dv_spec_seccomp(spec, value, err);
	}
}

int dv_apply_flag(void *target, const struct dv_opt *opt,
		  const char *value DV_UNUSED, struct dv_err *err)
{
	struct run_args *a = target;

	switch (opt->which) {
	case DV_SET_BEST_EFFORT:
		a->best_effort = true;
		return oom(dv_spec_best_effort(a->spec, true), err);
	case DV_SET_CLEAR_ENV:
		return oom(dv_spec_env_clear(a->spec), err);
	case DV_SET_READ_ONLY:
		return oom(dv_spec_read_only(a->spec, true), err);
	case DV_SET_JSON:
		a->json = true;
		return 0;
	case DV_SET_TIMING:
		a->timing = true;
		return oom(dv_spec_record_timing(a->spec, true), err);
	default:
		dv_assert(opt->which == DV_SET_QUIET);
		a->quiet = true;
		return 0;
	}
}

static int add_env(void *arg, const char *entry, struct dv_err *err)
{
	return dv_spec_env(arg, entry, err);
}

int dv_apply_env_file(void *target, const struct dv_opt *opt DV_UNUSED,
		      const char *value, struct dv_err *err)
{
	struct run_args *a = target;

	return dv_envfile_read(value, add_env, a->spec, err);
}

static int number(const char *value, int64_t min, int64_t max, int64_t *outp,
		  struct dv_err *err)
{
	if (dv_parse_i64(value, min, max, outp) == 0)
		return 0;
	return dv_err_set(err, EINVAL, DV_INVALID,
			  "\"%.100s\" is not a number from %lld to %lld", value,
			  (long long)min, (long long)max);
}

int dv_apply_number(void *target, const struct dv_opt *opt, const char *value,
		    struct dv_err *err)
{
	static const struct {
		int which;
		int64_t min, max;
	} ranges[] = {
		{ DV_SET_NICE, -20, 19 },
		{ DV_SET_OOM_SCORE, -1000, 1000 },
		{ DV_SET_PIDS, 1, 4194304 }, /* PID_MAX_LIMIT */
		{ DV_SET_IO_WEIGHT, 1, 10000 },
	};
	struct dv_spec *spec = ((struct run_args *)target)->spec;
	int64_t v = 0;
	int r = 0;

	for (size_t i = 0; i < DV_ARRAY_LEN(ranges); i++)
		if (ranges[i].which == opt->which)
			r = number(value, ranges[i].min, ranges[i].max, &v,
				   err);
	if (r < 0)
		return r;
	switch (opt->which) {
	case DV_SET_NICE:
		return oom(dv_spec_nice(spec, (int)v), err);
	case DV_SET_OOM_SCORE:
		return oom(dv_spec_oom_score_adj(spec, (int)v), err);
	case DV_SET_PIDS:
		return oom(dv_spec_pids(spec, (uint32_t)v), err);
	default:
		dv_assert(opt->which == DV_SET_IO_WEIGHT);
		return oom(dv_spec_io_weight(spec, (uint32_t)v), err);
	}
}

int dv_apply_umask(void *target, const struct dv_opt *opt DV_UNUSED,
		   const char *value, struct dv_err *err)
{
	struct run_args *a = target;
	uint32_t mask = 0;
	const char *p = value;

	for (; *p >= '0' && *p <= '7' && mask <= 0777; p++)
		mask = mask * 8 + (uint32_t)(*p - '0');
	if (p == value || *p || mask > 0777)
		return bad_value(err, value, "an octal file mode mask",
				 "like 022 or 077");
	return oom(dv_spec_umask(a->spec, mask), err);
}

int dv_apply_volume(void *target, const struct dv_opt *opt DV_UNUSED,
		    const char *value, struct dv_err *err)
{
	struct run_args *a = target;
	struct dv_volume_words v;
	int r = dv_split_volume(value, &v, err);

	if (r < 0)
		return r;
	return dv_spec_volume(a->spec, v.src, v.dst, v.flags, err);
}

int dv_apply_writable(void *target, const struct dv_opt *opt DV_UNUSED,
		      const char *value, struct dv_err *err)
{
	char at[PATH_MAX];
	struct run_args *a = target;
	int r = *value ? dv_path_absolute(at, sizeof(at), value) : -ENOENT;

	if (r < 0)
		return dv_err_sys(err, -r, "\"%.200s\"", value);
	return dv_spec_volume(a->spec, at, at, 0, err);
}

int dv_apply_tmpfs(void *target, const struct dv_opt *opt DV_UNUSED,
		   const char *value, struct dv_err *err)
{
	char dir[PATH_MAX];
	struct run_args *a = target;
	uint64_t size = 0;
	int r = dv_split_tmpfs(value, dir, sizeof(dir), &size, err);

	if (r < 0)
		return r;
	return dv_spec_tmpfs(a->spec, dir, size, err);
}

/* One of a service manager's has a use then: service.h. */
static void name_fd(struct run_args *a, int fd)
{
	const int n = fd - DV_SYSTEMD_FD_FIRST;

	if (n >= 0 && n < DV_SYSTEMD_FDS_MAX)
		a->named_fds |= UINT64_C(1) << n;
}

int dv_apply_fd(void *target, const struct dv_opt *opt DV_UNUSED,
		const char *value, struct dv_err *err)
{
	struct run_args *a = target;
	int fd, to;
	int r = dv_split_fd(value, &fd, &to, err);

	if (r < 0)
		return r;
	if (dv_fd_mode(fd) < 0)
		return dv_err_sys(err, EBADF, "descriptor %d", fd);
	name_fd(a, fd);
	return dv_spec_fd(a->spec, fd, to, err);
}

int dv_apply_memory(void *target, const struct dv_opt *opt DV_UNUSED,
		    const char *value, struct dv_err *err)
{
	struct run_args *a = target;
	uint64_t bytes;

	if (dv_parse_size(value, &bytes) < 0 || bytes == 0)
		return bad_value(err, value, "a size",
				 "like 64m, 1.5g, or a number of bytes");
	return oom(dv_spec_memory(a->spec, bytes), err);
}

int dv_apply_cpus(void *target, const struct dv_opt *opt DV_UNUSED,
		  const char *value, struct dv_err *err)
{
	struct run_args *a = target;
	uint32_t milli;

	if (dv_parse_milli(value, &milli) < 0 || milli < 10)
		return bad_value(err, value, "a number of processors",
				 "like 2 or 0.5; at least 0.01");
	return oom(dv_spec_cpus(a->spec, milli), err);
}

int dv_apply_ulimit(void *target, const struct dv_opt *opt DV_UNUSED,
		    const char *value, struct dv_err *err)
{
	struct run_args *a = target;
	struct dv_ulimit_words u;
	int r = dv_split_ulimit(value, &u, err);

	if (r < 0)
		return r;
	return dv_spec_rlimit(a->spec, u.resource, u.soft, u.hard, err);
}

int dv_apply_tty(void *target, const struct dv_opt *opt,
		 const char *value DV_UNUSED, struct dv_err *err DV_UNUSED)
{
	((struct run_args *)target)->tty = (enum dv_auto)opt->which;
	return 0;
}

int dv_apply_nothing(void *target DV_UNUSED, const struct dv_opt *opt DV_UNUSED,
		     const char *value DV_UNUSED, struct dv_err *err DV_UNUSED)
{
	return 0;
}

int dv_apply_keep(void *target, const struct dv_opt *opt, const char *value,
		  struct dv_err *err)
{
	struct run_args *a = target;

	if (!*value)
		return bad_value(err, value, "a file", NULL);
	if (opt->which == DV_SET_LOG)
		a->log = value;
	else
		a->pidfile = value;
	return 0;
}

int dv_apply_drain(void *target, const struct dv_opt *opt DV_UNUSED,
		   const char *value, struct dv_err *err)
{
	struct run_args *a = target;

	if (!strcmp(value, "exit"))
		a->drain_ms = DV_DRAIN_EXIT;
	else if (!strcmp(value, "eof"))
		a->drain_ms = DV_DRAIN_EOF;
	else if (dv_parse_duration(value, &a->drain_ms) < 0)
		return bad_value(err, value, "exit, eof or a time",
				 "a time is like 10, 1.5s or "
				 "200ms; " DV_DURATION_MAX_TEXT " at most");
	return 0;
}

int dv_apply_duration(void *target, const struct dv_opt *opt, const char *value,
		      struct dv_err *err)
{
	struct dv_spec *spec = ((struct run_args *)target)->spec;
	int ms;

	if (dv_parse_duration(value, &ms) < 0)
		return bad_value(
			err, value, "a time",
			"like 10, 1.5s, 200ms, 2m or 7d; " DV_DURATION_MAX_TEXT
			" at most");
	if (opt->which == DV_SET_TIMEOUT)
		return oom(dv_spec_timeout(spec, ms), err);
	return oom(dv_spec_stop_timeout(spec, ms), err);
}

int dv_apply_stop_signal(void *target, const struct dv_opt *opt DV_UNUSED,
			 const char *value, struct dv_err *err)
{
	struct run_args *a = target;
	int signo = dv_parse_signal(value);

	if (signo <= 0)
		return bad_value(err, value, "a signal",
				 "like TERM, SIGINT or 15");
	return dv_spec_stop_signal(a->spec, signo, err);
}

static int own_fd(struct run_args *a, const char *value, int *fdp,
		  struct dv_err *err)
{
	uint64_t n;

	if (dv_parse_u64(value, 0, INT_MAX, &n) < 0)
		return bad_value(err, value, "a descriptor", NULL);
	if (dv_fd_mode((int)n) < 0)
		return dv_err_sys(err, EBADF, "descriptor %d", (int)n);
	*fdp = (int)n;
	name_fd(a, *fdp);
	return 0;
}

int dv_apply_record(void *target, const struct dv_opt *opt DV_UNUSED,
		    const char *value, struct dv_err *err)
{
	struct run_args *a = target;

	a->record = value;
	a->record_fd = -1;
	if (!strncmp(value, "fd:", 3))
		return own_fd(a, value + 3, &a->record_fd, err);
	return *value ? 0 : bad_value(err, value, "a file", NULL);
}

int dv_apply_info_fd(void *target, const struct dv_opt *opt DV_UNUSED,
		     const char *value, struct dv_err *err)
{
	struct run_args *a = target;
	int r = own_fd(a, value, &a->info_fd, err);

	if (r == 0 && a->info_fd < 3) {
		a->info_fd = -1;
		return bad_value(err, value, "a descriptor of 3 or more", NULL);
	}
	return r;
}

int dv_apply_later(void *target DV_UNUSED, const struct dv_opt *opt DV_UNUSED,
		   const char *value DV_UNUSED, struct dv_err *err)
{
	dv_err_set(err, EOPNOTSUPP, DV_UNIMPLEMENTED,
		   "microVMs are not in this version");
	dv_err_hint(err, "--in process or --rootfs DIR");
	return -EOPNOTSUPP;
}

int dv_run_args_init(struct run_args *args)
{
	*args = (struct run_args){ .record_fd = -1,
				   .info_fd = -1,
				   .keep = DV_SANDBOX_KEEP_INIT,
				   .drain_ms = DV_DRAIN_DEFAULT_MS };
	int r = dv_spec_new(&args->spec);

	/* Ours is another one: see main(). */
	if (r == 0 && (dv_inherited.umask & 0700))
		r = dv_spec_umask(args->spec, dv_inherited.umask);
	return r;
}

void dv_run_args_free(struct run_args *args)
{
	args->spec = dv_spec_free(args->spec);
}

/* It is replaced, and removed in the end: /dev/null must not be. */
static int check_pidfile(const char *path, struct dv_err *err)
{
	struct stat st;

	if (!path || lstat(path, &st) < 0 || S_ISREG(st.st_mode))
		return 0;
	return dv_err_set(err, EINVAL, DV_INVALID,
			  "--pidfile: %.200s is not a regular file", path);
}

int dv_run_args_check(const struct run_args *args, struct dv_err *err)
{
	int r = check_pidfile(args->pidfile, err);

	if (r == 0)
		r = dv_keep_args_check(args, err);
	if (r < 0)
		return r;
	if (args->process && args->has_rootfs) {
		dv_err_set(err, EINVAL, DV_INVALID,
			   "--in process has no rootfs of its own");
		dv_err_hint(err, "leave out --in process or --rootfs");
		return -EINVAL;
	}
	if (!args->container || args->has_rootfs)
		return 0;
	dv_err_set(err, EINVAL, DV_INVALID, "--in container needs --rootfs");
	dv_err_hint(err, "--rootfs DIR, with the system the command needs");
	return -EINVAL;
}
