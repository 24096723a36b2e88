/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Run a command behind an isolation boundary and keep hold of it.
 *
 *   struct dv_spec *spec;		what to run, and where
 *   struct dv_run *run;		the sandbox, while it lives
 *
 * A spec is filled by setters and may be used for any number of runs. Every
 * setter copies what it is given, except file descriptors, which are borrowed
 * until dv_run_start() returns. Setters return 0, -ENOMEM, or -EINVAL with @err
 * filled; bad values are reported by the setter, wrong combinations by start.
 *
 * A run belongs to one loop and one thread. The process that calls
 * dv_run_start() is the direct parent of the command: it dies, and everything
 * in the sandbox dies with it. Blocking calls run the loop until they are done;
 * inside a callback of that loop they return -EDEADLK.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <davit/err.h>
#include <davit/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dv_spec;
struct dv_run;

/* ---- what to run --------------------------------------------------- */

enum dv_boundary {
	DV_IN_PROCESS = 0, /* the host's /usr, /etc, ... read-only */
	DV_IN_CONTAINER,   /* a root directory of its own */
	DV_IN_BOUNDARY_N
};

enum dv_rootfs_mode {
	DV_ROOTFS_OVERLAY = 0, /* changes are thrown away */
	DV_ROOTFS_RO,
	DV_ROOTFS_RW,
	DV_ROOTFS_N
};

enum dv_net {
	DV_NET_NONE = 0, /* a network namespace with loopback only */
	DV_NET_HOST,
	DV_NET_N
};

enum dv_stdio {
	DV_STDIO_INHERIT = 0, /* the caller's descriptor of that number */
	DV_STDIO_NULL,
	DV_STDIO_PIPE, /* the library's end: dv_run_take_stdio() */
	DV_STDIO_FD,   /* a descriptor of the caller, borrowed */
	DV_STDIO_PTY,  /* one pty of the sandbox: all three, until set again */
	DV_STDIO_N
};

enum { DV_VOLUME_RO = 1 }; /* recursive */

/* Returns 0 or -ENOMEM. The defaults are those of `davit run`. */
DV_API int dv_spec_new(struct dv_spec **specp);
/* NULL is allowed. Returns NULL. */
DV_API struct dv_spec *dv_spec_free(struct dv_spec *spec);

/* @argv: NULL-terminated, at least one. argv[0] is looked up in PATH. */
DV_API int dv_spec_argv(struct dv_spec *spec, const char *const argv[],
			struct dv_err *err);
/* The file to execute, where it shall differ from argv[0]. */
DV_API int dv_spec_exe(struct dv_spec *spec, const char *path,
		       struct dv_err *err);

/* A process sandbox starts with the caller's environment, a container with
 * PATH, HOME and (with a pty) TERM. clear: start from nothing. */
DV_API int dv_spec_env_clear(struct dv_spec *spec);
/* "KEY=VALUE", or "KEY": the caller's value, nothing when it has none. */
DV_API int dv_spec_env(struct dv_spec *spec, const char *entry,
		       struct dv_err *err);
DV_API int dv_spec_env_remove(struct dv_spec *spec, const char *key,
			      struct dv_err *err);

DV_API int dv_spec_boundary(struct dv_spec *spec, enum dv_boundary boundary);
/* Implies DV_IN_CONTAINER. */
DV_API int dv_spec_rootfs(struct dv_spec *spec, const char *dir,
			  enum dv_rootfs_mode mode, struct dv_err *err);
/* Bind @src (must exist) at @dst; flags: DV_VOLUME_*. */
DV_API int dv_spec_volume(struct dv_spec *spec, const char *src,
			  const char *dst, uint32_t flags, struct dv_err *err);
/* An empty tmpfs at @dst; @size in bytes, 0 = the kernel's default. */
DV_API int dv_spec_tmpfs(struct dv_spec *spec, const char *dst, uint64_t size,
			 struct dv_err *err);
/* The root itself becomes read-only, volumes and tmpfs keep their mode. */
DV_API int dv_spec_read_only(struct dv_spec *spec, bool on);
DV_API int dv_spec_workdir(struct dv_spec *spec, const char *dir,
			   struct dv_err *err);
/* "uid", "name", "uid:gid", "name:group": looked up in the sandbox's files. */
DV_API int dv_spec_user(struct dv_spec *spec, const char *user,
			struct dv_err *err);
/* At most 64 bytes. */
DV_API int dv_spec_hostname(struct dv_spec *spec, const char *name,
			    struct dv_err *err);
DV_API int dv_spec_net(struct dv_spec *spec, enum dv_net net);

/* Limits; 0 = none. Memory in bytes, cpus in thousandths of a CPU. */
DV_API int dv_spec_memory(struct dv_spec *spec, uint64_t bytes);
DV_API int dv_spec_cpus(struct dv_spec *spec, uint32_t milli_cpus);
DV_API int dv_spec_pids(struct dv_spec *spec, uint32_t max);
/* cgroup v2 scale, 1 to 10000; refused where the disk scheduler ignores it. */
DV_API int dv_spec_io_weight(struct dv_spec *spec, uint32_t weight);
/* @resource: RLIMIT_*. RLIM_INFINITY is UINT64_MAX. */
DV_API int dv_spec_rlimit(struct dv_spec *spec, int resource, uint64_t soft,
			  uint64_t hard, struct dv_err *err);
DV_API int dv_spec_nice(struct dv_spec *spec, int nice);
DV_API int dv_spec_oom_score_adj(struct dv_spec *spec, int adj);
DV_API int dv_spec_umask(struct dv_spec *spec, uint32_t mask);

/* "CAP_NET_RAW", "net_raw" or "ALL". drop is applied before add. */
DV_API int dv_spec_cap_add(struct dv_spec *spec, const char *name,
			   struct dv_err *err);
DV_API int dv_spec_cap_drop(struct dv_spec *spec, const char *name,
			    struct dv_err *err);
/* An OCI-format JSON profile, or "unconfined"; default: davit's own filter. */
DV_API int dv_spec_seccomp(struct dv_spec *spec, const char *path,
			   struct dv_err *err);

/* @which: 0 to 2; @fd only with DV_STDIO_FD. DV_STDIO_PTY sets all three. */
DV_API int dv_spec_stdio(struct dv_spec *spec, int which, enum dv_stdio mode,
			 int fd, struct dv_err *err);
/* The pty's first size; it is there before the command runs. */
DV_API int dv_spec_winsize(struct dv_spec *spec, uint16_t rows, uint16_t cols);
/* @fd (borrowed) becomes @target (3 and up) in the command. */
DV_API int dv_spec_fd(struct dv_spec *spec, int fd, int target,
		      struct dv_err *err);

/* What stop and time-out send first; default SIGTERM. */
DV_API int dv_spec_stop_signal(struct dv_spec *spec, int signo,
			       struct dv_err *err);
/* Grace before SIGKILL, ms; default 10,000. */
DV_API int dv_spec_stop_timeout(struct dv_spec *spec, int timeout_ms);
/* Stop it after this long, ms; -1 = never. */
DV_API int dv_spec_timeout(struct dv_spec *spec, int timeout_ms);
/* Go on without a protection that this machine cannot give: dv_run_missing().
 */
DV_API int dv_spec_best_effort(struct dv_spec *spec, bool on);
/* Take time stamps of every step: dv_run_timing(). */
DV_API int dv_spec_record_timing(struct dv_spec *spec, bool on);

/* ---- its life ------------------------------------------------------ */

enum dv_state {
	DV_STATE_CREATING = 0,
	DV_STATE_RUNNING,
	DV_STATE_PAUSED,
	DV_STATE_STOPPING,
	DV_STATE_EXITED,
	DV_STATE_DEAD, /* its keeper is gone; observed, never entered */
	DV_STATE_N
};

enum dv_ended_by {
	DV_ENDED_EXIT = 0,
	DV_ENDED_SIGNAL,
	DV_ENDED_TIMEOUT,
	DV_ENDED_OOM,
	DV_ENDED_STOP,
	DV_ENDED_KEEPER,
	DV_ENDED_N
};

/* How it ended. Filled by the library; @size guards later additions. */
struct dv_exit {
	size_t size;
	int32_t code;      /* exit code; 128 + signal when it died by one */
	int32_t signal;    /* 0 = none */
	uint32_t ended_by; /* enum dv_ended_by */
	bool core;
	bool oom; /* the kernel killed something for the limit */
	bool timed_out;
	bool pids_limited;     /* a fork was refused for the limit */
	uint64_t pids_refused; /* how often */
	uint64_t started_unix_ns, exited_unix_ns, wall_ns;
	uint64_t user_us, system_us; /* of the command and what it waited for */
	uint64_t max_rss_kib;
	uint64_t minor_faults, major_faults, voluntary_cs, involuntary_cs;
};

/*
 * Start @spec. Returns 0 when the command was executed: whatever failed before
 * is an error here, and nothing is left. @loop is borrowed; NULL: the run has a
 * loop of its own. err->step says what failed; DV_STEP_LOOKUP is "not found"
 * (127), DV_STEP_EXEC "cannot be executed" (126), all else is 125.
 */
DV_API int dv_run_start(struct dv_run **runp, struct dv_loop *loop,
			const struct dv_spec *spec, struct dv_err *err);

/* Kills what still lives and forgets it. NULL is allowed. Returns NULL. */
DV_API struct dv_run *dv_run_free(struct dv_run *run);

DV_API const char *dv_run_id(const struct dv_run *run);
DV_API enum dv_state dv_run_state(const struct dv_run *run);
/* The command's pid in the caller's pid namespace, and its pidfd (borrowed). */
DV_API pid_t dv_run_pid(const struct dv_run *run);
DV_API int dv_run_pidfd(const struct dv_run *run);
/* The init of the sandbox; 0 where best effort goes without namespaces. */
DV_API pid_t dv_run_init_pid(const struct dv_run *run);
/* The library's end of a pipe (0: write it; 1, 2: read), or for 0 of a pty its
 * master. Owned by the caller from then on; -ENOENT when there is none. */
DV_API int dv_run_take_stdio(struct dv_run *run, int which);
DV_API struct dv_loop *dv_run_loop(struct dv_run *run);

/* What is missing with best effort, line by line; "" = nothing. Borrowed. */
DV_API const char *dv_run_missing(const struct dv_run *run);
/* What isolates it, one line: "user, mount, pid, ... namespaces; seccomp". */
DV_API const char *dv_run_describe(const struct dv_run *run);
/* Time stamps: name of the n-th step and its end in ns after start was called.
 * Returns -ERANGE past the last. */
DV_API int dv_run_timing(const struct dv_run *run, size_t n, const char **namep,
			 uint64_t *nsp);

/* ---- waiting ------------------------------------------------------- */

/* Embedded by whoever waits; any number per run. Called once, from the loop. */
struct dv_waiter {
	void (*fn)(struct dv_waiter *waiter, const struct dv_exit *exit);
	struct dv_waiter *next, **prevp;
};

/* Also when it has exited already (then from the next dispatch). */
DV_API void dv_run_on_exit(struct dv_run *run, struct dv_waiter *waiter);
DV_API void dv_waiter_del(struct dv_waiter *waiter);

/*
 * Blocks until the last process is gone. Returns 0 with @exit filled (set
 * exit->size first), -ETIMEDOUT after @timeout_ms (-1 = never), -EDEADLK.
 */
DV_API int dv_run_wait(struct dv_run *run, int timeout_ms,
		       struct dv_exit *exit);

/* ---- signals ------------------------------------------------------- */

/* To the command; 0 only tests. -ESRCH when it has exited. */
DV_API int dv_run_signal(struct dv_run *run, int signo, struct dv_err *err);
/* To the command's process group. */
DV_API int dv_run_signal_group(struct dv_run *run, int signo,
			       struct dv_err *err);
/* SIGKILL to everything in the sandbox, at once. */
DV_API int dv_run_kill_all(struct dv_run *run, struct dv_err *err);
/* Stop signal, grace, kill; returns at once, the exit comes by waiting. */
DV_API int dv_run_stop(struct dv_run *run, struct dv_err *err);

/* ---- run to the end ------------------------------------------------ */

/* Output of one stream; @data is owned by the caller (free()). */
struct dv_output {
	char *data;
	size_t len;     /* at most the cap */
	uint64_t total; /* what it wrote; the rest was read and dropped */
	bool truncated;
};

/*
 * Start @spec with pipes, feed @input, drain both outputs side by side up to
 * @cap bytes each, and wait. Returns 0 with @exit and the outputs filled, or
 * -errno with nothing to free.
 */
DV_API int dv_run_collect(const struct dv_spec *spec, const void *input,
			  size_t input_len, size_t cap, struct dv_output *out,
			  struct dv_output *errout, struct dv_exit *exit,
			  struct dv_err *err);

/* The exit record as one line of JSON without newline; free() it. */
DV_API char *dv_exit_json(const struct dv_exit *exit, const char *id);
/* "exit", "signal", "timeout", "oom", "stop", "keeper". Static. */
DV_API const char *dv_ended_by_name(uint32_t ended_by);

#ifdef __cplusplus
}
#endif
