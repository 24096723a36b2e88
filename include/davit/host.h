/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Hosts: processes that are nodes of a mesh, each in a sandbox of its own.
 *
 *   struct dv_hosts;	what this process has launched in one mesh
 *   struct dv_host;	one of them, in the process that launched it
 *   struct dv_host_self;	in a host: itself
 *
 * A program that may be launched as a host calls dv_mesh_host_main() first in
 * its main(). A launch starts it, waits until it has joined the mesh and said
 * that its set-up is complete, lets it give up what it needed for that only,
 * and hears that this was done; then the host is up. Whatever stops it on the
 * way is the launch's failure, and one that a sandbox could not be made is,
 * too: nothing runs with less protection than was asked for.
 *
 * A host never outlives the process that launched it, however that ends. Hosts
 * are held by descriptors of processes, so a number that is used again is never
 * mistaken for one.
 *
 * Threads as with the mesh: everything of one mesh belongs to the thread of its
 * loop. Hosts are launched by that thread and die with it. Callbacks come from
 * the loop, never from inside a call. Inside one, every call is allowed that is
 * not said to block; dv_hosts_free() only in the callback of
 * dv_hosts_shutdown().
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <davit/err.h>
#include <davit/inspect.h>
#include <davit/mesh.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dv_hosts;
struct dv_host;
struct dv_host_setup;
struct dv_host_self;
struct dv_mesh_worker_type;

enum {
	DV_HOST_NAME_MAX = 63,
	/* Text of one log record, and of the last line of stderr; longer ones
	 * are cut. */
	DV_HOST_LOG_MAX = 1023,
	DV_HOST_LINE_MAX = 255,
};

/* The exit status of a host that its parent left, or that could not begin. */
enum {
	DV_HOST_EXIT_LOST = 121,
	DV_HOST_EXIT_FAILED = 122,
};

/* ---- sandboxes ----------------------------------------------------- */

/*
 * What a host may do once it is up; they can be combined. In any case it has a
 * session of its own, null as stdin and stdout, and of our descriptors only
 * what was named. Not one of them: the rights of its parent.
 */
enum dv_host_profile {
	DV_HOST_PLAIN = 0,
	/*
	 * It computes, and uses the descriptors it has: no file, no socket and
	 * no process can be made or named (EPERM; what only an attack would
	 * call, execve() among it, is SIGSYS). It may make threads and memory.
	 * Seccomp, Landlock, no_new_privs, no capability.
	 */
	DV_HOST_LOCKED = 1,
	/*
	 * Namespaces of its own, without network, and an empty root directory.
	 * It may make processes; they end with it. Until it is up it sees the
	 * directories of libraries and its program, read-only.
	 */
	DV_HOST_ISOLATED = 2,
	/* Where the kernel has no Landlock, go on without. */
	DV_HOST_BEST_EFFORT = 0x100,
};

/*
 * What a host is started with, for dv_host_opts.apply(), which is called after
 * the profile was put in and may add to it. Strings and data are copied,
 * descriptors borrowed until the launch call (or the next callback, when it is
 * launched again) returns. What cannot be had fails the launch.
 */
/*
 * A control group of its own: what it leaves behind is killed with it, where
 * there is a v2 group. Limits of 0: none. A limit in a group that was delegated
 * to us puts this process into a group below, as controllers demand.
 */
DV_API void dv_host_setup_limits(struct dv_host_setup *setup, uint64_t memory,
				 uint32_t milli_cpus, uint32_t processes);
/* "KEY=VALUE"; replaces. NULL: start from nothing instead of our own. */
DV_API void dv_host_setup_env(struct dv_host_setup *setup, const char *entry);
DV_API void dv_host_setup_unset_env(struct dv_host_setup *setup,
				    const char *key);
DV_API void dv_host_setup_arg(struct dv_host_setup *setup, const char *arg);
/* As seen inside. */
DV_API void dv_host_setup_cwd(struct dv_host_setup *setup, const char *dir);
/* It has @fd as number @target, 4 to 1023; 0, 1 and 2 are allowed, too. */
DV_API void dv_host_setup_fd(struct dv_host_setup *setup, int fd, int target);
/* RLIMIT_*; RLIM_INFINITY is UINT64_MAX. */
DV_API void dv_host_setup_rlimit(struct dv_host_setup *setup, int resource,
				 uint64_t soft, uint64_t hard);
DV_API void dv_host_setup_nice(struct dv_host_setup *setup, int nice);
DV_API void dv_host_setup_oom_score(struct dv_host_setup *setup, int adj);
DV_API void dv_host_setup_umask(struct dv_host_setup *setup, mode_t mask);
DV_API void dv_host_setup_user(struct dv_host_setup *setup, uid_t uid,
			       gid_t gid, const gid_t *groups, size_t n);
/* Bit n: capability n is kept until it is up (with DV_HOST_PLAIN: for good). */
DV_API void dv_host_setup_caps(struct dv_host_setup *setup, uint64_t keep);
DV_API void dv_host_setup_no_new_privs(struct dv_host_setup *setup);
/* struct sock_filter[], loaded before the program starts; at most two. */
DV_API void dv_host_setup_seccomp(struct dv_host_setup *setup,
				  const void *insns, size_t len);
/* The same, loaded when it is up, beside what the profile loads then. */
DV_API void dv_host_setup_seccomp_last(struct dv_host_setup *setup,
				       const void *insns, size_t len);
/* With DV_HOST_LOCKED: that system call, too (SYS_*), whatever its arguments.
 */
DV_API void dv_host_setup_allow(struct dv_host_setup *setup, int nr);
/* Landlock from the start: everything it knows is denied, to execute its own
 * program included, but for @access (LANDLOCK_ACCESS_FS_*) to @path and what is
 * below. */
DV_API void dv_host_setup_landlock(struct dv_host_setup *setup,
				   const char *path, uint64_t access,
				   bool optional);
/* Further namespaces, CLONE_NEW*; any makes those for users, processes and
 * mounts, too. */
DV_API void dv_host_setup_namespaces(struct dv_host_setup *setup, int flags);
/* With DV_HOST_ISOLATED: @source of ours at @target until it is up. */
DV_API void dv_host_setup_bind(struct dv_host_setup *setup, const char *source,
			       const char *target, bool writable);
/* With DV_HOST_ISOLATED: keep the root directory when it is up. */
DV_API void dv_host_setup_keep_root(struct dv_host_setup *setup);

/* ---- launching ----------------------------------------------------- */

/* Who ended it. */
enum dv_host_ended_by {
	DV_HOST_BY_ITSELF = 0,
	DV_HOST_BY_STOP,   /* it was asked to, and did */
	DV_HOST_BY_TERM,   /* SIGTERM, after it did not */
	DV_HOST_BY_KILL,   /* SIGKILL, after that or by dv_host_free() */
	DV_HOST_BY_LAUNCH, /* the launch failed: it was killed */
	DV_HOST_BY_N
};

struct dv_host_exit {
	int32_t pid;
	uint32_t generation;    /* launches of this host before this one */
	struct dv_mesh_id node; /* zero: it never joined */
	bool up;                /* it was */
	bool core;              /* it dumped core */
	/* Of exit(). -1: a signal; or, without one, not known, as something
	 * else in this program reaped it. */
	int32_t status;
	int32_t signo; /* 0: none */
	enum dv_host_ended_by by;
	uint64_t started_ns, ended_ns; /* CLOCK_MONOTONIC */
	struct rusage usage;
	/* "host web: killed by SIGSYS"; DV_OK: status 0, or after a stop. */
	struct dv_err err;
	/* What it wrote to stderr last, with DV_HOST_STDERR_TAIL; or "". */
	char line[DV_HOST_LINE_MAX + 1];
};

struct dv_host_ops {
	/* It is up. */
	void (*up)(struct dv_host *host);
	/* It will not be; @err says why. One of up() and failed() is called for
	 * each launch. */
	void (*failed)(struct dv_host *host, const struct dv_err *err);
	/* Its process is gone, up or not. */
	void (*ended)(struct dv_host *host, const struct dv_host_exit *end);
	/* The initial message of each launch (handed over), or NULL: none. The
	 * member itself may be NULL. */
	struct dv_msg *(*message)(struct dv_host *host);
	/*
	 * It ended without being asked, or its launch failed, for the @n-th
	 * time: milliseconds until it is launched again, -1: never. The member
	 * may be NULL: opts.again decides.
	 */
	int (*again)(struct dv_host *host, const struct dv_host_exit *end,
		     uint32_t n);
};

/* What happens when it ends without being asked. All 0: never again. */
struct dv_host_again {
	uint32_t limit;      /* launches after the first; UINT32_MAX: any */
	bool always;         /* after a status of 0, too */
	uint32_t delay_ms;   /* before the first; doubled each time; 100 */
	uint32_t max_ms;     /* at most; 30,000 */
	uint32_t healthy_ms; /* up that long, it starts anew; 10,000 */
};

enum dv_host_stderr {
	DV_HOST_STDERR_INHERIT = 0,
	DV_HOST_STDERR_NULL,
	DV_HOST_STDERR_FD,   /* stderr_fd */
	DV_HOST_STDERR_FILE, /* stderr_file, appended to */
	/* A pipe to us: its last line is part of what is said about its end. */
	DV_HOST_STDERR_TAIL,
};

/* 0 or NULL in any field but name: the default. All borrowed for the call. */
struct dv_host_opts {
	size_t size; /* sizeof(struct dv_host_opts) */
	/* A to Z, a to z, 0 to 9, ".", "_", "-"; DV_HOST_NAME_MAX of them. */
	const char *name;
	const char *exe;         /* NULL: this program */
	const char *arg0;        /* NULL: exe, or our own */
	const char *const *args; /* behind it; NULL-terminated */
	bool no_name_arg;        /* the name is not appended to these */
	uint32_t profile;        /* enum dv_host_profile */
	enum dv_host_stderr stderr_to;
	int stderr_fd;
	const char *stderr_file;
	/* May be NULL. Returns 0 or -errno with @err filled. */
	int (*apply)(struct dv_host *host, struct dv_host_setup *setup,
		     struct dv_err *err);
	struct dv_host_again again;
	uint32_t launch_ms;            /* deadline of a launch; 10,000 */
	const struct dv_host_ops *ops; /* as long as the host; NULL: none */
	void *user;
	struct dv_msg *message; /* initial; consumed by a failure, too. Only
				 * without again and ops->message. */
};

/* A log record of a host, or of a host of that. */
struct dv_host_log {
	const char *name; /* "web", "web/worker" */
	int32_t pid;      /* as its parent sees it */
	int32_t level;    /* 0 error, 1 warning, 2 info, 3 debug, 4 trace */
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	uint64_t dropped; /* records of that host, since the last one */
	const char *text; /* UTF-8 as the host says; not trusted */
};

/*
 * For the hosts of @mesh; NULL: of a mesh and a loop of their own, which
 * dv_hosts_free() frees, too. @log (may be NULL: dropped, or in a host: passed
 * on to its parent) is called with borrowed records. Returns 0, -ENOMEM,
 * -EMFILE.
 */
DV_API int dv_hosts_new(struct dv_hosts **hostsp, struct dv_mesh *mesh,
			void (*log)(void *user, const struct dv_host_log *rec),
			void *user, struct dv_err *err);

DV_API struct dv_mesh *dv_hosts_mesh(const struct dv_hosts *hosts);
DV_API struct dv_loop *dv_hosts_loop(const struct dv_hosts *hosts);

/* Kill and reap what is left, which may block for a moment; free every handle.
 * Before dv_mesh_free(). NULL is allowed. Returns NULL. */
DV_API struct dv_hosts *dv_hosts_free(struct dv_hosts *hosts);

/*
 * Launch a host. Returns 0: ops->up() or failed() follows, after opts.launch_ms
 * at the latest; the handle is owned by the caller. Else -errno with @err, and
 * nothing was started: -EINVAL, -ENOMEM, -EMFILE, what apply() said, or why the
 * first process could not be made. What fails in the child before it executes
 * the program comes by failed(), with err.step set.
 */
DV_API int dv_mesh_launch(struct dv_hosts *hosts,
			  const struct dv_host_opts *opts,
			  struct dv_host **hostp, struct dv_err *err);

/*
 * Wait until it is up, by running the loop: 0, or -errno with what failed()
 * said. -EDEADLK inside a callback.
 */
DV_API int dv_host_wait_up(struct dv_host *host, struct dv_err *err);

/* Forget it; one that still runs is killed, and reaped from the loop. No
 * callback of it comes any more. NULL is allowed. Returns NULL. */
DV_API struct dv_host *dv_host_free(struct dv_host *host);

DV_API void *dv_host_user(const struct dv_host *host);
DV_API const char *dv_host_name(const struct dv_host *host);
/* Of the process that runs; 0: none does. */
DV_API pid_t dv_host_pid(const struct dv_host *host);
DV_API struct dv_mesh_id dv_host_node(const struct dv_host *host);
DV_API bool dv_host_is_up(const struct dv_host *host);

/*
 * Our end of the pair whose other end is the host's first port. It may be used
 * before the host is up: what is sent waits. Owned by the caller; NULL: it was
 * taken. Every launch makes a new one.
 */
DV_API struct dv_port *dv_host_take_port(struct dv_host *host);

/* The host with that process, or node: for what ended a port says. */
DV_API struct dv_host *dv_hosts_by_pid(const struct dv_hosts *hosts, pid_t pid);
DV_API struct dv_host *dv_hosts_by_node(const struct dv_hosts *hosts,
					struct dv_mesh_id node);

/* ---- its end ------------------------------------------------------- */

/* The last process of it that ended; NULL: none has. Borrowed. */
DV_API const struct dv_host_exit *dv_host_last_exit(const struct dv_host *host);

/* Somebody who wants to know; embedded in the waiter's own struct. */
struct dv_host_waiter {
	void (*fn)(struct dv_host_waiter *waiter,
		   const struct dv_host_exit *end);
	struct dv_host *host; /* NULL: waits for nothing */
	struct dv_host_waiter *next, **prevp;
};
/*
 * fn() is called once, when the process that runs now, or is being launched,
 * ends; from the loop. When none does: with its last exit. With dv_host_free()
 * it is called from there, with what is known. -ENOENT: it never ran.
 */
DV_API int dv_host_wait(struct dv_host *host, struct dv_host_waiter *waiter,
			void (*fn)(struct dv_host_waiter *waiter,
				   const struct dv_host_exit *end));
DV_API void dv_host_unwait(struct dv_host_waiter *waiter); /* idempotent */

/*
 * The same for another process, a host or anybody else in the mesh: give the
 * other end of the pair of @port (consumed) to it, in a message. What comes
 * there is one message, for dv_host_exit_parse(), and then the end. -ENOENT,
 * -ENOMEM: the other end hears that.
 */
DV_API int dv_host_tell(struct dv_host *host, struct dv_port *port);
/* *@end has all of the record; -EBADMSG: @msg (borrowed) is none. */
DV_API int dv_host_exit_parse(const struct dv_msg *msg,
			      struct dv_host_exit *end);

/* How long each means of ending a host may take, ms; 0: it is left out. */
struct dv_host_patience {
	uint32_t ask_ms;  /* tell it to stop */
	uint32_t term_ms; /* SIGTERM */
	uint32_t kill_ms; /* SIGKILL; then it is reported as left over */
};

/* End it, for good: it is not launched again. NULL: 5,000 of each. Calling it
 * again can only make it sooner. */
DV_API void dv_host_stop(struct dv_host *host,
			 const struct dv_host_patience *patience);

/* A signal to its process, now. -ESRCH: there is none. */
DV_API int dv_host_signal(struct dv_host *host, int signo);

/* Let it end itself by @signo (SIGABRT...), core and all; with a handler or
 * mask of its own undone. One that does not within a second gets SIGKILL. */
DV_API int dv_host_crash(struct dv_host *host, int signo);
/* The same by a pid: -ESRCH is none of ours, -EINVAL our own. */
DV_API int dv_hosts_crash(struct dv_hosts *hosts, pid_t pid, int signo,
			  struct dv_err *err);

/* What dv_hosts_shutdown() had to do. */
struct dv_hosts_left {
	uint32_t n_asked, n_term, n_killed; /* ended by these */
	uint32_t n_left;                    /* that do not end, or have left
					     * something that does not */
	int32_t pids[8];                    /* the first of those */
};
/*
 * Stop every host and launch none any more. @fn is called once, from the loop:
 * when all are gone, or the patience is over.
 */
DV_API int dv_hosts_shutdown(struct dv_hosts *hosts,
			     const struct dv_host_patience *patience,
			     void (*fn)(struct dv_hosts *hosts, void *arg,
					const struct dv_hosts_left *left),
			     void *arg);

/*
 * Ask for its tree: @path and @depth as in an InspectRequest; @update (NULL: it
 * is only read) is a new value for what is there. @fn is called once, with a
 * node (owned by the callee) that is a failure when there is no answer within
 * @timeout_ms (-1: 5,000), or the host has gone; from dv_host_free(), then.
 * Entries above @limit are left out. -ESRCH: it is not up.
 */
DV_API int dv_host_inspect(struct dv_host *host, const char *path,
			   uint32_t depth, const char *update,
			   enum dv_sensitivity limit, int timeout_ms,
			   void (*fn)(void *arg, struct dv_node *node),
			   void *arg);

/* ---- in the host --------------------------------------------------- */

enum dv_host_why {
	DV_HOST_ASKED = 0, /* the parent wants it to end */
	DV_HOST_LOST,      /* the parent has gone */
};

struct dv_host_main {
	size_t size; /* sizeof(struct dv_host_main) */
	/* The process is called "name-host"; NULL: the program's name. */
	const char *name;
	/*
	 * It has joined. @message (owned by the callee; NULL: none) is the
	 * initial one. 0: the set-up is complete. DV_MORE: it will be
	 * when dv_host_ready() is called. -errno with @err: the launch fails.
	 */
	int (*setup)(struct dv_host_self *self, struct dv_msg *message,
		     struct dv_err *err);
	/* The last moment before the profile's second part holds. May be NULL.
	 */
	int (*finalize)(struct dv_host_self *self, struct dv_err *err);
	/* It is up: the parent knows, or will in a moment. May be NULL. */
	void (*up)(struct dv_host_self *self);
	/*
	 * End in order, by dv_host_exit(); NULL: at once, with status 0. When
	 * the parent was lost there are two seconds for it, and the status is
	 * DV_HOST_EXIT_LOST whatever was said.
	 */
	void (*stop)(struct dv_host_self *self, enum dv_host_why why);
	/* Add entries to @dir, the root of what the host shows. May be NULL. */
	void (*inspect)(struct dv_host_self *self, struct dv_node *dir);
	/* Workers it can run, see davit/worker.h; ends with a name of NULL. */
	const struct dv_mesh_worker_type *workers;
	const struct dv_mesh_opts *mesh; /* NULL: defaults */
	void *user;
};

/*
 * First in main(). Returns 0 when this process was not launched as a host, and
 * -errno with @err when it was, but by an invitation that makes no sense. Else
 * it does not return: the process ends when dv_host_exit() was called.
 */
DV_API int dv_mesh_host_main(int argc, char **argv,
			     const struct dv_host_main *host,
			     struct dv_err *err);

DV_API void *dv_host_self_user(const struct dv_host_self *self);
DV_API const char *dv_host_self_name(const struct dv_host_self *self);
DV_API struct dv_mesh *dv_host_self_mesh(const struct dv_host_self *self);
DV_API struct dv_loop *dv_host_self_loop(const struct dv_host_self *self);
/* Our end of the pair whose other end is dv_host_take_port()'s. Owned by the
 * caller; NULL: it was taken. */
DV_API struct dv_port *dv_host_self_take_port(struct dv_host_self *self);

/* After setup() returned DV_MORE: it is complete, or failed (@r < 0, with @err,
 * which may be NULL). */
DV_API void dv_host_ready(struct dv_host_self *self, int r,
			  const struct dv_err *err);

/* End: what was sent is delivered, for at most a second; then the process exits
 * with @status. It returns first. */
DV_API void dv_host_exit(struct dv_host_self *self, int status);

/*
 * A record for the root's log. Never waits: when the way there is full, it is
 * dropped and counted; what is said next, as soon as there is room, says
 * how many were. Returns 0 or -EAGAIN
 * (dropped).
 */
DV_API int dv_host_log(struct dv_host_self *self, int level, const char *fmt,
		       ...) DV_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
