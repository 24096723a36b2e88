/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Diagnostics of a guest: run commands there, follow its log, read its files,
 * capture its packets, dump its processes, and look into its agent.
 *
 *   struct dv_diag *diag;		a client of one guest
 *   struct dv_diag_proc *proc;		a process there
 *   struct dv_diag_stream *stream;	bytes that come from there
 *
 * It speaks davit.v1 to servers that have it, and the diag services to others;
 * what only davit.v1 can do is -ENOTSUP there, code DV_UNIMPLEMENTED. Nothing
 * is dialled before the first operation.
 *
 * Operations are done as davit/how.h says, or block.
 *
 * A client belongs to one loop and one thread. Processes, streams and captures
 * are freed before their client.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <davit/err.h>
#include <davit/how.h>
#include <davit/kmsg.h>
#include <davit/loop.h>
#include <davit/rpc.h>
#include <davit/run.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	DV_DIAG_CONTROL_PORT = 1,
	DV_DIAG_DATA_PORT = 2,
};

struct dv_diag;
struct dv_diag_proc;
struct dv_diag_stream;
struct dv_diag_capture;

struct dv_diag_opts {
	size_t size;          /* of this struct */
	struct dv_loop *loop; /* borrowed; NULL: one of its own */
	/* One of these three. A target is written as davit/vsock.h says. A
	 * descriptor is a connection to the control port (consumed, also on
	 * failure; it works once); dial makes such connections. With the last
	 * two, operations that need data connections fail. */
	const char *target;
	int fd; /* -1: none */
	dv_rpc_dial_fn *dial;
	void *dial_arg;
	int dial_timeout_ms; /* 0: 2000 */
};

/* clang-format off */
#define DV_DIAG_OPTS_INIT { sizeof(struct dv_diag_opts), NULL, NULL, -1, \
			    NULL, NULL, 0 }
/* clang-format on */

/* Returns 0, -EINVAL (also for a bad target), -ENAMETOOLONG, -ENOMEM. */
DV_API int dv_diag_new(struct dv_diag **diagp, const struct dv_diag_opts *opts,
		       struct dv_err *err);
/* The usual way: a target and a loop of its own. */
DV_API int dv_diag_open(struct dv_diag **diagp, const char *target,
			struct dv_err *err);
/* What is in progress is forgotten. NULL is allowed. Returns NULL. */
DV_API struct dv_diag *dv_diag_free(struct dv_diag *diag);
DV_API struct dv_loop *dv_diag_loop(struct dv_diag *diag);

/* ---- operations -------------------------------------------------------- */

/*
 * Every operation may return, or end with, besides what it says itself:
 * -ETIMEDOUT (DV_DEADLINE), -ENOTSUP (DV_UNIMPLEMENTED), -ENOMEM, -EDEADLK,
 * -EMSGSIZE, -EBADMSG (an answer that is none), and what connecting says
 * (DV_UNAVAILABLE). @how may be NULL: block, without a limit. @err may be NULL.
 */

/* ---- the server ------------------------------------------------------- */

/* Is it there? Servers that do not know Ping answer, too: 0. */
DV_API int dv_diag_ping(struct dv_diag *diag, const struct dv_how *how,
			struct dv_err *err);
/* The same, but connects as often as it takes. */
DV_API int dv_diag_wait_ready(struct dv_diag *diag, const struct dv_how *how,
			      struct dv_err *err);

struct dv_diag_hello {
	uint32_t version;    /* of davit.v1; 0: a foreign server */
	int32_t pid;         /* of the server, as it sees itself */
	char server[64];     /* "davit 0.1.0"; cut */
	char boundary[16];   /* "guest", "process", ... */
	char features[1024]; /* separated by spaces; cut */
};

/* Who is there; asked once, then remembered until the client is freed. */
DV_API int dv_diag_hello(struct dv_diag *diag, struct dv_diag_hello *hello,
			 const struct dv_how *how, struct dv_err *err);
/* 1: it has no davit.v1, 0: it has, -EAGAIN: nobody asked yet. */
DV_API int dv_diag_foreign(const struct dv_diag *diag);

/* ---- processes --------------------------------------------------------- */

enum {
	DV_DIAG_STDIN = 1,
	DV_DIAG_STDOUT = 2,
	DV_DIAG_STDERR = 4,
};

struct dv_diag_rlimit {
	int resource;        /* RLIMIT_* */
	uint64_t soft, hard; /* UINT64_MAX: unlimited */
};

struct dv_diag_exec {
	size_t size;
	const char *const *argv; /* NULL-terminated, at least one */
	/* "KEY=VALUE" sets, "KEY" removes; NULL-terminated; NULL: nothing. */
	const char *const *env;
	bool clear_env;      /* first */
	bool tty;            /* stdin and stdout are a terminal's */
	uint16_t rows, cols; /* of it; davit.v1 only, else ignored */
	uint32_t stdio;      /* DV_DIAG_STD*; others are /dev/null */
	bool combine_stderr; /* stderr goes where stdout goes */
	bool raw;            /* the sockets themselves are its descriptors */
	/* davit.v1 only */
	const char *cwd; /* NULL: the server's */
	bool has_ids;
	uint32_t uid, gid;
	int timeout_ms; /* the server ends it then; 0: never */
	bool keep;      /* output is kept for dv_diag_attach() */
	bool relayed;   /* data connections, also where pipes can be given */
	/* The caller's own descriptors (borrowed) for the streams of `own`, of
	 * DV_DIAG_STD*: nothing is relayed. Unix sockets to a davit only. */
	uint32_t own;
	int fd[3];
	/* With tty: its master is stream 0 of the process, and nobody else's.
	 */
	bool take_terminal;
	/* With has_ids: the supplementary groups (borrowed). */
	const uint32_t *groups;
	size_t n_groups;
	/* dv_sandbox_exec() only, and instead of has_ids: "USER[:GROUP]" by
	 * name or number, looked up in the sandbox's own files. */
	const char *user;
	/* Its resource limits (borrowed), each of them at most once. */
	const struct dv_diag_rlimit *rlimits;
	size_t n_rlimits;
};

/* clang-format off */
#define DV_DIAG_EXEC_INIT { .size = sizeof(struct dv_diag_exec) }
/* clang-format on */

/*
 * Start a command. On success the streams that were asked for are there:
 * dv_diag_proc_take_stdio(). Whatever happens to the connection, the process
 * goes on. err->step is DV_STEP_LOOKUP when it was not found, DV_STEP_EXEC when
 * it cannot be executed.
 */
DV_API int dv_diag_exec(struct dv_diag *diag, const struct dv_diag_exec *exec,
			struct dv_diag_proc **procp, const struct dv_how *how,
			struct dv_err *err);
/* A process that is there already. @pid as the guest counts. 0 or -ENOMEM. */
DV_API int dv_diag_proc_of_pid(struct dv_diag *diag, int32_t pid,
			       struct dv_diag_proc **procp);
/* Closes the streams that are left; the process goes on. Returns NULL. */
DV_API struct dv_diag_proc *dv_diag_proc_free(struct dv_diag_proc *proc);
DV_API int32_t dv_diag_proc_pid(const struct dv_diag_proc *proc);
/*
 * A stream, non-blocking and owned by the caller; -ENOENT when there is none.
 * 0 is a socket: shut it down or close it for end of file. 1 and 2 are sockets,
 * which are never shut down (the server takes that for a reader who is gone),
 * or, from a davit on this machine, pipes that the command itself writes to.
 */
DV_API int dv_diag_proc_take_stdio(struct dv_diag_proc *proc, int which);

/*
 * Wait for its exit. @exit: set exit->size first. A foreign server tells less:
 * code alone, where a code above 128 may be a signal's or its own, and the
 * original one says 255 for every signal; exit->signal stays 0 then.
 * -ESRCH: it does not know the process (any more).
 */
DV_API int dv_diag_wait(struct dv_diag_proc *proc, struct dv_exit *exit,
			const struct dv_how *how, struct dv_err *err);

enum dv_diag_scope {
	DV_DIAG_PROCESS = 0,
	DV_DIAG_GROUP, /* its process group */
	DV_DIAG_ALL,   /* everything that the server started */
	DV_DIAG_SCOPE_N
};

/* davit.v1 only. */
DV_API int dv_diag_signal(struct dv_diag_proc *proc, int signo,
			  enum dv_diag_scope scope, const struct dv_how *how,
			  struct dv_err *err);
/* davit.v1 only. */
DV_API int dv_diag_resize(struct dv_diag_proc *proc, uint16_t rows,
			  uint16_t cols, const struct dv_how *how,
			  struct dv_err *err);
/*
 * Output of it (@which: 1 or 2) from byte @offset on. *offsetp is where it
 * begins: later than asked when some was lost. *fdp as above. davit.v1 only.
 */
DV_API int dv_diag_attach(struct dv_diag_proc *proc, int which, uint64_t offset,
			  int *fdp, uint64_t *offsetp, const struct dv_how *how,
			  struct dv_err *err);

struct dv_diag_process {
	uint64_t id; /* 0: not known */
	int32_t pid;
	bool terminal, exited;
	uint64_t start_unix_ns; /* 0: not known */
	struct dv_exit exit;    /* when exited */
	char **argv;            /* NULL-terminated; or its name alone */
};

struct dv_diag_list {
	struct dv_diag_process *at;
	size_t n;
};

/*
 * What the server started, and what of that has ended. A foreign server: its
 * parts, by mesh/hosts. Free with dv_diag_list_free().
 */
DV_API int dv_diag_list(struct dv_diag *diag, struct dv_diag_list *list,
			const struct dv_how *how, struct dv_err *err);
/* Idempotent. */
DV_API void dv_diag_list_free(struct dv_diag_list *list);
/* The pid of what calls itself @name in mesh/hosts; -ENOENT names them all. */
DV_API int dv_diag_get_pid(struct dv_diag *diag, const char *name,
			   int32_t *pidp, const struct dv_how *how,
			   struct dv_err *err);

/*
 * Run a command to its end: feed @input, drain both outputs side by side up to
 * @cap bytes each (the rest is read and dropped), and wait. exec->stdio is
 * chosen by what is not NULL. Blocking. Returns 0, or -errno with nothing to
 * free; after -ETIMEDOUT the command may go on.
 */
DV_API int dv_diag_collect(struct dv_diag *diag,
			   const struct dv_diag_exec *exec, const void *input,
			   size_t input_len, size_t cap, struct dv_output *out,
			   struct dv_output *errout, struct dv_exit *exit,
			   int timeout_ms, struct dv_err *err);

/* ---- streams ----------------------------------------------------------- */

/*
 * With davit.v1 an operation that opens a stream succeeds when it was asked
 * for; that a file is not there, for example, is what dv_diag_stream_end()
 * says, after the stream has ended without a byte.
 */

struct dv_diag_file_opts {
	size_t size;
	bool follow;
	uint64_t offset, length; /* length 0: to the end; davit.v1 only */
};

DV_API int dv_diag_read_file(struct dv_diag *diag, const char *path,
			     const struct dv_diag_file_opts *opts,
			     struct dv_diag_stream **streamp,
			     const struct dv_how *how, struct dv_err *err);
/* An ELF core of a process, which goes on. */
DV_API int dv_diag_core(struct dv_diag *diag, int32_t pid,
			struct dv_diag_stream **streamp,
			const struct dv_how *how, struct dv_err *err);

struct dv_diag_kmsg_opts {
	size_t size;
	bool follow;
	bool has_after; /* leave out what is not newer than this record */
	uint64_t after; /* its sequence number */
};

DV_API int dv_diag_kmsg(struct dv_diag *diag,
			const struct dv_diag_kmsg_opts *opts,
			struct dv_diag_stream **streamp,
			const struct dv_how *how, struct dv_err *err);
/*
 * The next record, valid until the next call, waiting at most @timeout_ms (0:
 * not at all, -1: forever). Returns 0, DV_MORE (none yet: wait for the stream's
 * descriptor), DV_EOF, or -errno when the connection broke.
 */
DV_API int dv_diag_kmsg_next(struct dv_diag_stream *stream, int timeout_ms,
			     const struct dv_kmsg **recordp,
			     struct dv_err *err);
/* Sequence number of the last record that was returned; -ENOENT: none. */
DV_API int dv_diag_kmsg_last(const struct dv_diag_stream *stream,
			     uint64_t *seqp);

/* Readable when there is something; borrowed, non-blocking. */
DV_API int dv_diag_stream_fd(const struct dv_diag_stream *stream);
/* The same, owned by the caller from then on. -ENOENT when it was taken. */
DV_API int dv_diag_stream_take_fd(struct dv_diag_stream *stream);
/*
 * Bytes, waiting at most @timeout_ms. Returns how many; 0 at the end;
 * -ETIMEDOUT; -errno.
 */
DV_API int64_t dv_diag_stream_read(struct dv_diag_stream *stream, void *buf,
				   size_t len, int timeout_ms,
				   struct dv_err *err);
/*
 * How it ended; once its end has been read. 0: in order, as far as the server
 * tells (a foreign one tells nothing). Whoever closes a stream early gets what
 * the server says of that.
 */
DV_API int dv_diag_stream_end(struct dv_diag_stream *stream,
			      const struct dv_how *how, struct dv_err *err);
/* Closes it. NULL is allowed. Returns NULL. */
DV_API struct dv_diag_stream *
dv_diag_stream_free(struct dv_diag_stream *stream);

/* ---- packets ----------------------------------------------------------- */

struct dv_diag_capture_info {
	uint32_t n_streams; /* one for each interface */
	bool running;       /* davit.v1 only */
	char names[1024];   /* of the interfaces, separated by spaces; cut;
			     * davit.v1 only */
};

DV_API int dv_diag_capture_query(struct dv_diag *diag,
				 struct dv_diag_capture_info *info,
				 const struct dv_how *how, struct dv_err *err);
/*
 * Start to capture on every interface; done when it runs. The packets go to
 * @out (a stream socket, consumed, also on failure) as one pcapng file,
 * at most @snaplen bytes of each. @out is closed when the capture has ended;
 * a reader that is slow holds it up, and one that is gone ends it.
 */
DV_API int dv_diag_capture_start(struct dv_diag *diag, uint32_t snaplen,
				 int out, struct dv_diag_capture **capturep,
				 const struct dv_how *how, struct dv_err *err);
/* Stop all captures of the server; what is on its way still arrives. */
DV_API int dv_diag_capture_stop(struct dv_diag *diag, const struct dv_how *how,
				struct dv_err *err);
/* Wait until everything has arrived and was written. */
DV_API int dv_diag_capture_end(struct dv_diag_capture *capture,
			       const struct dv_how *how, struct dv_err *err);
/* Bytes of the file so far. */
DV_API uint64_t dv_diag_capture_bytes(const struct dv_diag_capture *capture);
/* Gives up what has not arrived. NULL is allowed. Returns NULL. */
DV_API struct dv_diag_capture *
dv_diag_capture_free(struct dv_diag_capture *capture);

/* ---- the guest's workload and the agent -------------------------------- */

/* Let go of a workload that waits for it; @env as of exec; both may be NULL. */
DV_API int dv_diag_start(struct dv_diag *diag, const char *const *env,
			 const char *const *args, const struct dv_how *how,
			 struct dv_err *err);
/* Ask a process to crash. That it cannot be reached afterwards is success. */
DV_API int dv_diag_crash(struct dv_diag *diag, int32_t pid,
			 const struct dv_how *how, struct dv_err *err);
DV_API int dv_diag_restart(struct dv_diag *diag, const struct dv_how *how,
			   struct dv_err *err);
DV_API int dv_diag_pause(struct dv_diag *diag, const struct dv_how *how,
			 struct dv_err *err);
DV_API int dv_diag_resume(struct dv_diag *diag, const struct dv_how *how,
			  struct dv_err *err);
/* Malloc'd (owned by the caller), NUL-terminated, *lenp bytes. */
DV_API int dv_diag_saved_state(struct dv_diag *diag, void **datap, size_t *lenp,
			       const struct dv_how *how, struct dv_err *err);
/* JSON, as above. */
DV_API int dv_diag_mem_profile(struct dv_diag *diag, int32_t pid, void **datap,
			       size_t *lenp, const struct dv_how *how,
			       struct dv_err *err);

/* ---- the inspect tree --------------------------------------------------- */

#define DV_DIAG_DEPTH_ALL UINT32_MAX

/*
 * The tree below @path, @depth levels of it, as an encoded
 * inspect.InspectResponse for davit/inspect.h (malloc'd, owned by the caller).
 * The server gets how->timeout_ms for it and then answers with what it has;
 * the call itself has half a second more.
 */
DV_API int dv_diag_inspect(struct dv_diag *diag, const char *path,
			   uint32_t depth, void **datap, size_t *lenp,
			   const struct dv_how *how, struct dv_err *err);
/* Set a value; the answer is an encoded inspect.UpdateResponse. */
DV_API int dv_diag_update(struct dv_diag *diag, const char *path,
			  const char *value, void **datap, size_t *lenp,
			  const struct dv_how *how, struct dv_err *err);

/* ---- everything else ---------------------------------------------------- */

/* A data connection: its id, and a non-blocking socket (owned). */
DV_API int dv_diag_connect_data(struct dv_diag *diag, uint64_t *idp, int *fdp,
				const struct dv_how *how, struct dv_err *err);
/* A connection to any port of the guest: a non-blocking socket (owned). */
DV_API int dv_diag_connect(struct dv_diag *diag, uint32_t port, int *fdp,
			   const struct dv_how *how, struct dv_err *err);
/*
 * Connect @fd (consumed, also on failure) to a port of the guest, both ways
 * with half-close; done when both directions have ended.
 */
DV_API int dv_diag_relay(struct dv_diag *diag, int fd, uint32_t port,
			 const struct dv_how *how, struct dv_err *err);
/*
 * Any method. @payload is an encoded message, *outp the encoded answer
 * (malloc'd, owned by the caller); both may be NULL.
 */
DV_API int dv_diag_call(struct dv_diag *diag, const char *service,
			const char *method, const void *payload, size_t len,
			bool wait_ready, void **outp, size_t *out_lenp,
			const struct dv_how *how, struct dv_err *err);

#ifdef __cplusplus
}
#endif
