/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Sandboxes that live on: each has a name, a keeper, one socket, a log and an
 * exit record.
 *
 *   struct dv_sandbox *sb;	a sandbox, wherever its keeper is
 *
 * A keeper is the process that holds the sandbox: `davit run` in the
 * foreground, or one that dv_sandbox_create() leaves behind. When it dies,
 * everything in the sandbox dies with it. What it was and how it ended stays in
 * STATEDIR until it is removed.
 *
 * A handle looks at documents and at a lock, which needs no keeper; it connects
 * when an operation needs the keeper, and proves first that the process behind
 * the socket is the one that holds the lock. Operations are done as davit/how.h
 * says, or block. Which of them is allowed in which state: docs/keeper.md; else
 * it fails with DV_PRECONDITION and a hint.
 *
 * A handle belongs to one loop and one thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <davit/diag.h>
#include <davit/err.h>
#include <davit/how.h>
#include <davit/loop.h>
#include <davit/run.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dv_sandbox;

enum {
	DV_SANDBOX_ID_LEN = 16,
	DV_SANDBOX_NAME_MAX = 63, /* [a-z0-9][a-z0-9_.-]* */
	DV_SANDBOX_LABELS_MAX = 64,
	DV_SANDBOX_DOORS_MAX = 8,
};

/* ---- what is known of one ---------------------------------------------- */

enum dv_restart {
	DV_RESTART_NO = 0,
	DV_RESTART_ON_FAILURE, /* a status that is not 0 */
	DV_RESTART_ALWAYS,     /* but not after a stop */
	DV_RESTART_N
};

enum dv_health {
	DV_HEALTH_NONE = 0, /* nobody asks */
	DV_HEALTH_STARTING,
	DV_HEALTH_GOOD,
	DV_HEALTH_BAD,
	DV_HEALTH_N
};

/* 0: none. In an update UINT64_MAX (UINT32_MAX): unchanged. */
struct dv_limits {
	uint64_t memory; /* bytes */
	uint32_t milli_cpus, pids, io_weight;
};

struct dv_sandbox_info {
	size_t size;
	char id[DV_SANDBOX_ID_LEN + 1];
	char name[DV_SANDBOX_NAME_MAX + 1]; /* "": none */
	enum dv_state state;
	enum dv_boundary boundary;
	/* 0 where there is no such process (any more). */
	int32_t keeper_pid, init_pid, pid;
	uint64_t created_unix_ns;
	uint64_t started_unix_ns; /* of the present or last run of it */
	uint64_t ended_unix_ns;   /* 0: it has not */
	char **argv;              /* NULL-terminated */
	char **labels;            /* "KEY=VALUE", NULL-terminated */
	char *describe;           /* what isolates it */
	char *missing;            /* with best effort; "" or lines */
	char *cgroup;             /* "" or its v2 group */
	char *log;                /* path of its log; "": none */
	char version[32];         /* of its keeper */
	bool detached;            /* `run -d` */
	bool remove;              /* goes when it has ended */
	bool terminal, input;     /* has a pty; takes input */
	struct dv_limits limits;
	enum dv_restart restart;
	uint32_t restart_max, restarts;
	enum dv_health health;
	bool has_exit;
	struct dv_exit exit; /* of the present or last end */
	/* From a stop to SIGKILL, if the stop does not say; -1: not known,
	 * as its keeper is of an older version. */
	int32_t stop_timeout_ms;
};

/* Frees what @info points to; idempotent. */
DV_API void dv_sandbox_info_free(struct dv_sandbox_info *info);
/* One line of JSON without newline, the document that is stored; free() it. */
DV_API char *dv_sandbox_info_json(const struct dv_sandbox_info *info);
/* "creating", "running", "paused", "stopping", "exited", "dead". Static. */
DV_API const char *dv_state_name(enum dv_state state);

/* ---- finding ------------------------------------------------------------- */

struct dv_sandbox_list {
	struct dv_sandbox_info *at; /* the latest first */
	size_t n;
	size_t unreadable; /* directories whose documents make no sense */
	char unreadable_id[DV_SANDBOX_ID_LEN + 1]; /* the first of them */
};

enum {
	DV_SANDBOX_ALL = 1, /* with those that have ended */
};

/* Returns 0 or -errno. Free with dv_sandbox_list_free(). */
DV_API int dv_sandbox_list(struct dv_sandbox_list *list, uint32_t flags,
			   struct dv_err *err);
DV_API void dv_sandbox_list_free(struct dv_sandbox_list *list);

struct dv_sandbox_opts {
	size_t size;
	struct dv_loop *loop; /* borrowed; NULL: one of its own */
};

/* clang-format off */
#define DV_SANDBOX_OPTS_INIT { sizeof(struct dv_sandbox_opts), NULL }
/* clang-format on */

/*
 * @name: a name, an id, or the beginning of either if it is the only one of
 * that beginning; NULL: the one that was created last. @opts may be NULL.
 * Returns 0, or -ENOENT (with a hint when the name was probably mistyped),
 * -ENOTUNIQ (several begin so), -EINVAL.
 */
DV_API int dv_sandbox_open(struct dv_sandbox **sbp, const char *name,
			   const struct dv_sandbox_opts *opts,
			   struct dv_err *err);
/* What is in progress is forgotten. NULL is allowed. Returns NULL. */
DV_API struct dv_sandbox *dv_sandbox_free(struct dv_sandbox *sb);
DV_API struct dv_loop *dv_sandbox_loop(struct dv_sandbox *sb);
DV_API const char *dv_sandbox_id(const struct dv_sandbox *sb);
/* Look again, and borrow what was found until the next look. */
DV_API int dv_sandbox_look(struct dv_sandbox *sb,
			   const struct dv_sandbox_info **infop,
			   struct dv_err *err);
/*
 * Its client (borrowed), for processes, streams and the inspect tree:
 * davit/diag.h. -ESRCH when no keeper lives; -EPERM when the process behind its
 * socket is not its keeper.
 */
DV_API int dv_sandbox_diag(struct dv_sandbox *sb, struct dv_diag **diagp,
			   struct dv_err *err);

/*
 * Run a command in it: dv_diag_exec() in a state that allows it. When its
 * keeper goes, so does the command, and what asks for it says DV_UNAVAILABLE.
 */
DV_API int dv_sandbox_exec(struct dv_sandbox *sb,
			   const struct dv_diag_exec *exec,
			   struct dv_diag_proc **procp,
			   const struct dv_how *how, struct dv_err *err);

/* ---- creating -------------------------------------------------------------
 */

struct dv_sandbox_keep {
	size_t size;
	const char *name;          /* NULL: it has its id only */
	const char *const *labels; /* "KEY=VALUE", NULL-terminated; NULL */
	enum dv_restart restart;
	uint32_t restart_max; /* 0: no limit */
	bool remove;          /* leave nothing behind when it has ended */
	bool input;           /* stdin is for who attaches; else /dev/null */
	bool terminal;        /* a pty; implies input */
	uint64_t log_max;     /* bytes kept; 0: the default, 64 MiB;
			       * UINT64_MAX: all */
	int ttl_ms;           /* 0: none */
	int idle_ms;          /* 0: none */
	const char *const *health; /* a command, NULL-terminated; NULL: none */
	int health_interval_ms;    /* 0: 30,000 */
	uint32_t health_retries;   /* 0: 3 */
	/* The davit that becomes the keeper; NULL: $DAVIT_KEEPER, else the one
	 * that was installed with this library, else of PATH. */
	const char *davit;
	/* Listening unix stream sockets that are served like the sandbox's own
	 * (borrowed, duplicated); DV_SANDBOX_DOORS_MAX at most. Only for
	 * dv_keeper_start(). */
	const int *doors;
	size_t n_doors;
	/* Only for dv_keeper_start(): the absolute path of a log that its
	 * caller writes (dv_outlog_new()), for whoever asks; NULL: none. */
	const char *log;
};

/* clang-format off */
#define DV_SANDBOX_KEEP_INIT { .size = sizeof(struct dv_sandbox_keep) }
/* clang-format on */

/*
 * Start @spec with a keeper of its own, which leaves the caller's session and,
 * where it can, control group. The spec's streams are not used: output goes to
 * the log, input as @keep says. Descriptors of the spec (DV_STDIO_FD,
 * dv_spec_fd()) are -EINVAL. Returns when its command was executed; err->step
 * as dv_run_start(). -EEXIST: the name is taken.
 */
DV_API int dv_sandbox_create(struct dv_sandbox **sbp,
			     const struct dv_spec *spec,
			     const struct dv_sandbox_keep *keep,
			     const struct dv_sandbox_opts *opts,
			     struct dv_err *err);

/*
 * Keep a sandbox in this process: serve its socket on @loop (borrowed) while it
 * lives. The spec is started as dv_run_start() would, its streams too; of @keep
 * (may be NULL) the name and the labels count. One keeper for each loop.
 */
struct dv_keeper;
DV_API int dv_keeper_start(struct dv_keeper **keeperp, struct dv_loop *loop,
			   const struct dv_spec *spec,
			   const struct dv_sandbox_keep *keep,
			   struct dv_err *err);
/* What it keeps (borrowed): waiting, signals, streams. */
DV_API struct dv_run *dv_keeper_run(struct dv_keeper *keeper);
/* Ends the sandbox if it lives. NULL is allowed. Returns NULL. */
DV_API struct dv_keeper *dv_keeper_free(struct dv_keeper *keeper);

/*
 * What the davit command does for dv_sandbox_create(), as its verb __keeper:
 * becomes a keeper in the background. Returns an exit status.
 */
DV_API int dv_keeper_main(int argc, char **argv);

/* ---- its life -------------------------------------------------------------
 */

/*
 * Until it has ended for good (restarts are not its end). One that has ended:
 * at once. A dead one: code 137, ended by its keeper. @exit: set exit->size.
 */
DV_API int dv_sandbox_wait(struct dv_sandbox *sb, struct dv_exit *exit,
			   const struct dv_how *how, struct dv_err *err);

struct dv_sandbox_stop {
	size_t size;
	int signal;   /* 0: as its spec says */
	int grace_ms; /* then SIGKILL; -1: as its spec says */
};

/* clang-format off */
#define DV_SANDBOX_STOP_INIT { sizeof(struct dv_sandbox_stop), 0, -1 }
/* clang-format on */

/*
 * Stop it; done as soon as its last process is gone. One that has ended
 * already: 0. A paused one is resumed for it. @stop and @exit may be NULL.
 * -ETIMEDOUT: its keeper has not answered 10 s after the last process should
 * have been killed.
 */
DV_API int dv_sandbox_stop(struct dv_sandbox *sb,
			   const struct dv_sandbox_stop *stop,
			   struct dv_exit *exit, const struct dv_how *how,
			   struct dv_err *err);
/* Signal its first process, or (@all) everything in it. */
DV_API int dv_sandbox_kill(struct dv_sandbox *sb, int signo, bool all,
			   const struct dv_how *how, struct dv_err *err);
/* Freeze every process; done when they are. -EOPNOTSUPP without a v2 group. */
DV_API int dv_sandbox_pause(struct dv_sandbox *sb, const struct dv_how *how,
			    struct dv_err *err);
DV_API int dv_sandbox_resume(struct dv_sandbox *sb, const struct dv_how *how,
			     struct dv_err *err);
/* Stop it if it runs, and start it anew: same id, name and log. -ETIMEDOUT: as
 * dv_sandbox_stop(), and 90 s for the start. */
DV_API int dv_sandbox_restart(struct dv_sandbox *sb,
			      const struct dv_sandbox_stop *stop,
			      const struct dv_how *how, struct dv_err *err);
DV_API int dv_sandbox_rename(struct dv_sandbox *sb, const char *name,
			     const struct dv_how *how, struct dv_err *err);
/* All of them or none. -EBUSY: more is in use already. */
DV_API int dv_sandbox_update(struct dv_sandbox *sb,
			     const struct dv_limits *limits,
			     const struct dv_how *how, struct dv_err *err);
/* Execute the keeper anew in place: @exe, or (NULL) its own program file. */
DV_API int dv_sandbox_upgrade(struct dv_sandbox *sb, const char *exe,
			      const struct dv_how *how, struct dv_err *err);
/*
 * Its documents, log and name. One that lives: -EBUSY, or (@force) killed: by
 * its keeper, or with it when that does not answer within 5 s. -ETIMEDOUT: nor
 * has it started so far, 5 s later, that it is known which process it is.
 */
DV_API int dv_sandbox_remove(struct dv_sandbox *sb, bool force,
			     const struct dv_how *how, struct dv_err *err);

/* ---- its first process -----------------------------------------------------
 */

/*
 * Be the one who writes its input: *fdp (owned, a socket) takes it; closing it
 * gives the place up, shutdown() for writing is end of file to a pipe, and the
 * terminal's VEOF. -EBUSY: somebody else is, unless @steal; -ENOTTY: it takes
 * no input.
 */
DV_API int dv_sandbox_input(struct dv_sandbox *sb, bool steal, int *fdp,
			    const struct dv_how *how, struct dv_err *err);
DV_API int dv_sandbox_resize(struct dv_sandbox *sb, uint16_t rows,
			     uint16_t cols, const struct dv_how *how,
			     struct dv_err *err);

/* ---- its log ----------------------------------------------------------------
 */

struct dv_sandbox_log; /* a reader; any number of them */

struct dv_sandbox_log_opts {
	size_t size;
	uint32_t streams; /* DV_DIAG_STDOUT | DV_DIAG_STDERR; 0: both */
	uint64_t offset;  /* absolute, of the whole log */
	int64_t tail;     /* the last lines only; -1: all */
	uint64_t since_unix_ns, until_unix_ns; /* 0: no limit */
	bool follow; /* wait for more until it has ended for good */
	/* Only what the present run wrote, or the last one. since_unix_ns is
	 * then when it was started (UINT64_MAX: it has not begun), and matters
	 * only where the log does not say that a run has begun. 0 or 1; so
	 * wide that it neither lies in padding that callers had before it was
	 * added nor leaves any behind it. */
	uint64_t this_run;
};

/* clang-format off */
#define DV_SANDBOX_LOG_INIT { sizeof(struct dv_sandbox_log_opts), 0, 0, -1, \
			      0, 0, false, 0 }
/* clang-format on */

struct dv_sandbox_piece {
	uint64_t offset;  /* of its first byte */
	uint64_t unix_ns; /* when it was read */
	int stream;       /* 1 stdout (or the terminal), 2 stderr */
	uint64_t lost;    /* bytes missing right before it */
	const void *data; /* borrowed until the next call; len may be 0 when
			   * only a gap is told */
	size_t len;
};

/* Nobody is asked: the log is a file. -ENOENT: it has none. */
DV_API int dv_sandbox_log_open(struct dv_sandbox *sb,
			       struct dv_sandbox_log **logp,
			       const struct dv_sandbox_log_opts *opts,
			       struct dv_err *err);
DV_API struct dv_sandbox_log *dv_sandbox_log_free(struct dv_sandbox_log *log);
/*
 * The next piece. Returns 0, DV_MORE (none yet: wait for the descriptor),
 * DV_EOF, or -errno. The reader never holds up the sandbox: what was dropped
 * before it was read is told as lost.
 */
DV_API int dv_sandbox_log_next(struct dv_sandbox_log *log,
			       struct dv_sandbox_piece *piece,
			       struct dv_err *err);
/* Readable when there may be more; borrowed. Only when following. */
DV_API int dv_sandbox_log_fd(const struct dv_sandbox_log *log);
/*
 * What its keeper could not do: lines of "TIME error: TEXT" or "TIME warning:
 * TEXT". The latest of them: up to 34 KiB, and at least one. *textp is owned by
 * the caller. -ENOENT: there are none.
 */
DV_API int dv_sandbox_keeper_log(struct dv_sandbox *sb, char **textp,
				 struct dv_err *err);

/* ---- what happened -------------------------------------------------------
 */

/*
 * The events of all sandboxes: "created", "started", "paused", "exited", ...
 * The latest 1 MiB of them, and up to 1 MiB before that, are kept in files of
 * RUNDIR; nobody is asked, and no reader holds anybody up.
 */
struct dv_sandbox_events; /* a reader; any number of them */

struct dv_sandbox_events_opts {
	size_t size;
	uint64_t since_unix_ns; /* 0: all that are kept */
	bool follow;            /* wait for more, for ever */
};

/* clang-format off */
#define DV_SANDBOX_EVENTS_INIT { sizeof(struct dv_sandbox_events_opts), 0, \
				 false }
/* clang-format on */

struct dv_sandbox_event {
	uint64_t unix_ns;
	char id[DV_SANDBOX_ID_LEN + 1];
	char name[DV_SANDBOX_NAME_MAX + 1]; /* "": none */
	char event[32];
	/* Borrowed until the next call: what more it says, as people read it
	 * ("code=1 ended_by=exit"), and all of it, a line without its end. */
	const char *detail, *json;
};

/* @opts may be NULL. Returns 0 or -errno. */
DV_API int dv_sandbox_events_open(struct dv_sandbox_events **eventsp,
				  const struct dv_sandbox_events_opts *opts,
				  struct dv_err *err);
/* NULL is allowed. Returns NULL. */
DV_API struct dv_sandbox_events *
dv_sandbox_events_free(struct dv_sandbox_events *events);
/*
 * The next event. Returns 0, DV_MORE (none yet: wait for the descriptor),
 * DV_EOF, or -errno. Lines that make no sense are left out.
 */
DV_API int dv_sandbox_events_next(struct dv_sandbox_events *events,
				  struct dv_sandbox_event *event,
				  struct dv_err *err);
/* Readable when there may be more; borrowed. -1 when not following. */
DV_API int dv_sandbox_events_fd(const struct dv_sandbox_events *events);

/* ---- a log of one's own --------------------------------------------------
 */

/*
 * A log that the caller fills, in the same format, as `davit run --log` does:
 * raw bytes in @path, and where each piece of them begins in @path.idx.
 */
struct dv_outlog;

/*
 * Go on at the end of @path, or make it. @max: bytes kept, UINT64_MAX: all; the
 * oldest are dropped without moving the others. -EINVAL: no regular file.
 */
DV_API int dv_outlog_new(struct dv_outlog **logp, const char *path,
			 uint64_t max, struct dv_err *err);
/* NULL is allowed. Returns NULL. */
DV_API struct dv_outlog *dv_outlog_free(struct dv_outlog *log);
/* Append @len bytes of @stream, 1 or 2. Never fails: dv_outlog_lost(). */
DV_API void dv_outlog_put(struct dv_outlog *log, uint8_t stream,
			  const void *data, size_t len);
/* The same for the next @len bytes of a pipe; all of them are consumed. */
DV_API void dv_outlog_splice(struct dv_outlog *log, uint8_t stream, int pipe_fd,
			     size_t len);
/* The streams have ended; what is appended later is of another run. */
DV_API void dv_outlog_end(struct dv_outlog *log);
/* Bytes that could not be kept since it was opened, and *sysp: the first errno
 * that said so (0: none). Those dropped for @max do not count. */
DV_API uint64_t dv_outlog_lost(const struct dv_outlog *log, int *sysp);

#ifdef __cplusplus
}
#endif
