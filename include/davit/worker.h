/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Workers: named components that run in hosts, and can be replaced by a newer
 * one, in another process if that is wanted, without losing state or calls.
 *
 *   struct dv_mesh_worker	the owner's handle, in the process that launched
 * hosts struct dv_mesh_work	one instance, in its host
 *
 * A restart has two phases. The old instance finishes what was called, pauses,
 * and gives a copy of its state; the new one starts with it. When the new one
 * says that it runs, the old one hands over what exists only once (its ports)
 * and ends. Until then the old one has kept everything: if the new one fails,
 * dies or takes too long, the old one goes on, and so do the calls, which
 * waited meanwhile.
 *
 * Threads and callbacks as with hosts.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <davit/err.h>
#include <davit/host.h>
#include <davit/inspect.h>
#include <davit/mesh.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dv_mesh_worker;
struct dv_mesh_work;

enum {
	DV_WORKER_NAME_MAX = 63,
	DV_WORKER_CALLS_MAX = 1024, /* open at once, for one worker */
	DV_WORKERS_MAX = 256,       /* in one host */
};

/* ---- in the host: what a worker is --------------------------------- */

/* A row of dv_host_main.workers. All but name and start may be NULL. Messages
 * are owned by the callee, and may be NULL where that is said. */
struct dv_mesh_worker_type {
	const char *name;
	/*
	 * @params: what the owner gave, or NULL. @state: what the one before
	 * gave, or NULL for the first. 0: it runs. DV_MORE:
	 * dv_mesh_work_started() will say. -errno with @err: it does not. The
	 * host must be up.
	 */
	int (*start)(struct dv_mesh_work *work, struct dv_msg *params,
		     struct dv_msg *state, struct dv_err *err);
	/* One call; dv_mesh_work_reply() answers it, now or later, in any
	 * order. */
	void (*call)(struct dv_mesh_work *work, uint32_t id,
		     struct dv_msg *request);
	/* Nobody waits for that answer any more; the call still has to be
	 * answered. */
	void (*cancelled)(struct dv_mesh_work *work, uint32_t id);
	/* All calls are answered, no more come. Stop what else goes on, and say
	 * dv_mesh_work_paused(). */
	void (*pause)(struct dv_mesh_work *work);
	/* Go on as before. @state: what was given, if it is at hand, or NULL.
	 */
	void (*resume)(struct dv_mesh_work *work, struct dv_msg *state);
	/* End. @replaced: dv_mesh_work_hand() is still possible, to the next
	 * one. Say dv_mesh_work_ended(); NULL: it has. */
	void (*stop)(struct dv_mesh_work *work, bool replaced);
	/* A message that the one before handed over. */
	void (*handed)(struct dv_mesh_work *work, struct dv_msg *msg);
	/* It is gone: free what belongs to it. The last call, in any case. */
	void (*gone)(struct dv_mesh_work *work);
	/* Add entries to @dir, what it shows. */
	void (*inspect)(struct dv_mesh_work *work, struct dv_node *dir);
};

DV_API void *dv_mesh_work_user(const struct dv_mesh_work *work);
DV_API void dv_mesh_work_set_user(struct dv_mesh_work *work, void *user);
DV_API struct dv_host_self *dv_mesh_work_host(const struct dv_mesh_work *work);

/* @r < 0: it does not run; @err may be NULL. */
DV_API void dv_mesh_work_started(struct dv_mesh_work *work, int r,
				 const struct dv_err *err);
/* @reply is consumed; NULL: @err says why there is none. */
DV_API void dv_mesh_work_reply(struct dv_mesh_work *work, uint32_t id,
			       struct dv_msg *reply, const struct dv_err *err);
/*
 * @state: a copy, consumed; NULL: none is needed. Descriptors in it are
 * duplicates already. Ports are refused, as they could not come back: hand them
 * over in stop(). @r < 0: it cannot, and goes on.
 */
DV_API void dv_mesh_work_paused(struct dv_mesh_work *work, struct dv_msg *state,
				int r, const struct dv_err *err);
/* Inside stop(replaced), or until dv_mesh_work_ended(): @msg (consumed) goes to
 * the next one. */
DV_API int dv_mesh_work_hand(struct dv_mesh_work *work, struct dv_msg *msg);
/* @work is gone when this returns; without a reason (@err NULL): in order. It
 * may be called at any time. */
DV_API void dv_mesh_work_ended(struct dv_mesh_work *work,
			       const struct dv_err *err);

/* ---- the owner's side ---------------------------------------------- */

struct dv_mesh_worker_ops {
	/* It runs; once, not after restarts. */
	void (*started)(struct dv_mesh_worker *worker);
	/* It ended, or never started. @err NULL: it was stopped, or ended in
	 * order. Once; every call has been answered before. */
	void (*ended)(struct dv_mesh_worker *worker, const struct dv_err *err);
};

/*
 * Start one of the type @type in @host, which must be up: -ENOTCONN. @params
 * (may be NULL) is consumed, also by a failure. The handle is owned by the
 * caller.
 */
DV_API int dv_mesh_worker_start(struct dv_host *host, const char *type,
				struct dv_msg *params,
				const struct dv_mesh_worker_ops *ops,
				void *user, struct dv_mesh_worker **workerp,
				struct dv_err *err);
/* It is stopped, if it still runs; nothing is called any more but what waits
 * for answers, with a failure. NULL is allowed. Returns NULL. */
DV_API struct dv_mesh_worker *
dv_mesh_worker_free(struct dv_mesh_worker *worker);

DV_API void *dv_mesh_worker_user(const struct dv_mesh_worker *worker);
/* Where it runs; NULL: nowhere, or the handle of that was freed. */
DV_API struct dv_host *dv_mesh_worker_host(const struct dv_mesh_worker *worker);
DV_API uint32_t dv_mesh_worker_generation(const struct dv_mesh_worker *worker);

/*
 * Call it. @request is consumed. @fn is called once: with @reply (owned by the
 * callee), or NULL and @err: what the worker said, DV_DEADLINE after
 * @timeout_ms (-1: none), DV_UNAVAILABLE when it has gone. -EAGAIN: too many
 * calls are open; -EPIPE: it has ended; @fn is not called then.
 */
DV_API int dv_mesh_worker_call(struct dv_mesh_worker *worker,
			       struct dv_msg *request, int timeout_ms,
			       void (*fn)(void *arg, struct dv_msg *reply,
					  const struct dv_err *err),
			       void *arg);

/*
 * Replace it by a new one in @to (which may be the same host). @fn is called
 * once: NULL, or why the old one goes on; if it cannot, the worker's ended()
 * says so, too. -EBUSY: one is under way. -EPIPE: it has ended.
 */
DV_API int dv_mesh_worker_restart(struct dv_mesh_worker *worker,
				  struct dv_host *to, int timeout_ms,
				  void (*fn)(struct dv_mesh_worker *worker,
					     void *arg,
					     const struct dv_err *err),
				  void *arg);

/* Let it end; one that has not after @timeout_ms is cut off. ended() says. */
DV_API void dv_mesh_worker_stop(struct dv_mesh_worker *worker, int timeout_ms);

#ifdef __cplusplus
}
#endif
