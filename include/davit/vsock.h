/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Connections into a guest, and listeners for connections out of it.
 *
 * A target is written as
 *
 *   unix:PATH, vsock:PATH   a unix socket that speaks hybrid vsock
 *   PATH                    the same; contains a '/' or begins with '.'
 *   vsock:CID[:PORT]        AF_VSOCK; CID 3 and above
 *
 * On a unix socket a connection to port N begins with "CONNECT N\n" and is a
 * plain stream after the answer. Descriptors handed out are owned by the
 * receiver, close-on-exec, and positioned exactly behind the answer.
 */
#include <stddef.h>
#include <stdint.h>

#include <davit/err.h>
#include <davit/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	DV_VSOCK_PATH_MAX = 108, /* with its NUL, as in struct sockaddr_un */
	DV_VSOCK_CID_MIN = 3,    /* 0 to 2 are not guests */
};

enum dv_target_kind {
	DV_TARGET_PATH = 0, /* hybrid vsock on a unix socket */
	DV_TARGET_CID,      /* AF_VSOCK */
	DV_TARGET_N
};

struct dv_target {
	enum dv_target_kind kind;
	uint32_t cid;                 /* DV_TARGET_CID */
	uint32_t port;                /* DV_TARGET_CID; 0 = none was given */
	char path[DV_VSOCK_PATH_MAX]; /* DV_TARGET_PATH */
};

/* Why a connection was not made, as far as that decides about a new attempt. */
enum dv_dial_class {
	DV_DIAL_OK = 0,
	DV_DIAL_NOT_STARTED, /* the guest is not there yet: in 1 s */
	DV_DIAL_TIMED_OUT,   /* waited long enough already: at once */
	DV_DIAL_CLOSED,      /* by the other side, before it answered: soon */
	DV_DIAL_OTHER,       /* never; a refusal is one of these */
	DV_DIAL_CLASS_N
};

struct dv_dial_result {
	enum dv_dial_class cls;
	int retry_ms; /* when to try again; -1 = do not */
};

/* "ok", "not-started", "timed-out", "closed", "other". Static. */
DV_API const char *dv_dial_class_name(enum dv_dial_class cls);

/*
 * Parse a target. Returns 0; -EINVAL for what is none of the forms (a bare word
 * too), for a CID below 3 or a port that is no number; -ENAMETOOLONG.
 */
DV_API int dv_target_parse(const char *text, struct dv_target *targetp,
			   struct dv_err *err);

/*
 * Connect to @port of @target, blocking.
 *
 * @port:       0 = a path is connected without any handshake, a CID at the port
 *              that the target names (-EINVAL when it names none); otherwise it
 *              counts, whatever the target names
 * @timeout_ms: for everything, the answer included; -1 = no limit
 * @resp:       the class, also of a success; may be NULL
 *
 * Returns a blocking fd, or -errno with @err filled: -ETIMEDOUT, -ECONNRESET
 * (closed before it answered), -ECONNREFUSED (also an ERR line), -EBADMSG (not
 * an answer), -ENOENT, and what connect() says.
 */
DV_API int dv_vsock_connect(const char *target, uint32_t port, int timeout_ms,
			    struct dv_dial_result *resp, struct dv_err *err);

/* ---- on a loop ------------------------------------------------------- */

struct dv_dial;

/*
 * Called once, from the loop, never from inside dv_dial_start(). @fd is a
 * non-blocking fd (owned by the receiver) or -errno, with @err filled; @err and
 * @res are borrowed for the call. The dial is already gone.
 */
typedef void dv_dial_fn(void *arg, int fd, const struct dv_dial_result *res,
			const struct dv_err *err);

/*
 * Begin to connect; arguments as for dv_vsock_connect(). @target is duplicated,
 * @arg is handed to @fn. What goes wrong with the connection itself is reported
 * to @fn. Returns 0, -ENOMEM, or -EINVAL.
 */
DV_API int dv_dial_start(struct dv_dial **dialp, struct dv_loop *loop,
			 const struct dv_target *target, uint32_t port,
			 int timeout_ms, dv_dial_fn *fn, void *arg,
			 struct dv_err *err);

/* Give up; @fn is not called. Not after it was called. NULL is allowed. */
DV_API struct dv_dial *dv_dial_cancel(struct dv_dial *dial);

/* ---- connections that a guest makes ----------------------------------- */

/*
 * Listen for the guest's connections to @port of its host: a unix socket at
 * "<path>_<port>", for this user only. A socket that a dead process left there
 * is replaced. There is no handshake in this direction.
 *
 * Returns a blocking listening fd (owned; the name is the caller's to remove),
 * or -errno: -EADDRINUSE somebody listens there, -ENAMETOOLONG, and so on.
 */
DV_API int dv_vsock_listen(const char *path, uint32_t port, struct dv_err *err);

#ifdef __cplusplus
}
#endif
