/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Channels: what programs say to each other over the ports of davit/mesh.h.
 *
 *   dv_chan_*	many senders, one receiver; plain messages and questions
 *   dv_once_*	one message, or the news that there will be none
 *   dv_ask*	a question with a deadline, and its answer or answers
 *   dv_cell_*	the latest value, for any number of subscribers
 *   dv_cancel_*	"stop", for everything that hangs below
 *   dv_bytes_*	a stream of bytes
 *
 * Every half can be given to another process: X_attach() puts it (consumed)
 * into a message, X_take() makes it again from what arrived, X_from_port() from
 * a port that came in another way, such as dv_mesh_invite()'s. What it had not
 * delivered yet goes with it, in order.
 *
 * As for ports: one loop, one thread, nothing blocks. Callbacks come from the
 * loop, never from inside a call, and inside one every call is allowed, on the
 * object concerned too. An object must be closed before dv_mesh_free().
 *
 * A message is consumed by every call that sends it. How much may be on the way
 * is a matter of the ports' windows, so everything that sends answers as
 * dv_port_send() does: 0; DV_FULL: accepted, wait for writable(); -EAGAIN:
 * refused, too much is waiting; -EPIPE: nobody will receive it. What a peer
 * sends that makes no sense ends that one port, with DV_INVALID.
 *
 * X_attach() returns the attachment's index or -errno, as dv_msg_add_port().
 * X_take() returns NULL with @err filled: -EBADMSG when attachment @n is no
 * port, -ENOMEM. X_from_port() returns NULL for no memory; the port is closed.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <davit/err.h>
#include <davit/mesh.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- channel: many senders, one receiver --------------------------- */

/*
 * What one sender sends arrives in order, wherever both are moved; there is no
 * order between senders.
 *
 *	static void on_message(struct dv_chan_receiver *rx, struct dv_msg *msg)
 *	{
 *		use(dv_chan_user(rx), dv_msg_data(msg), dv_msg_len(msg));
 *	}
 *	static const struct dv_chan_ops ops = { .message = on_message };
 *
 *	dv_chan_new(mesh, &tx, &rx, &err);
 *	dv_chan_start(rx, &ops, self);
 *	dv_chan_send_bytes(tx, "hello", 5, &err);
 */
struct dv_chan_sender;
struct dv_chan_receiver;
struct dv_asked;

struct dv_chan_ops {
	/* Borrowed for the call: dv_msg_keep(). NULL: dropped. */
	void (*message)(struct dv_chan_receiver *rx, struct dv_msg *msg);
	/* A question (owned by the callee): see dv_asked_answer(). NULL: it is
	 * refused with DV_UNIMPLEMENTED. */
	void (*asked)(struct dv_chan_receiver *rx, struct dv_asked *asked);
	/* One sender is lost: its process died, it broke the rules, or it gave
	 * a reason; what it had sent has been delivered. Others may live. */
	void (*lost)(struct dv_chan_receiver *rx,
		     const struct dv_port_end *end);
	/* The last sender is gone. @end: of the first that was lost, or NULL:
	 * all of them were closed in order. */
	void (*closed)(struct dv_chan_receiver *rx,
		       const struct dv_port_end *end);
};

enum {
	/* Senders of one receiver at a time, unless dv_chan_limit() says more:
	 * one more is ended with DV_EXHAUSTED. */
	DV_CHAN_SENDERS = 1024,
};

/* A receiver and its first sender. Returns 0, -ENOMEM, -ENFILE. */
DV_API int dv_chan_new(struct dv_mesh *mesh, struct dv_chan_sender **txp,
		       struct dv_chan_receiver **rxp, struct dv_err *err);

/* @writable: after DV_FULL or -EAGAIN; @ended: the receiver is gone. Either may
 * be NULL. Without this, sending says what there is to know. */
struct dv_chan_sender_ops {
	void (*writable)(struct dv_chan_sender *tx);
	void (*ended)(struct dv_chan_sender *tx, const struct dv_port_end *end);
};
DV_API void dv_chan_watch(struct dv_chan_sender *tx,
			  const struct dv_chan_sender_ops *ops, void *user);
DV_API void *dv_chan_sender_user(const struct dv_chan_sender *tx);

/* As dv_port_send() and dv_port_send_bytes(). */
DV_API int dv_chan_send(struct dv_chan_sender *tx, struct dv_msg *msg,
			struct dv_err *err);
DV_API int dv_chan_send_bytes(struct dv_chan_sender *tx, const void *data,
			      size_t len, struct dv_err *err);

/* One more sender to the same receiver, with an order of its own. Fails as
 * sending does: the receiver is told by way of @tx. */
DV_API int dv_chan_clone(struct dv_chan_sender *tx, struct dv_chan_sender **txp,
			 struct dv_err *err);
/* What was accepted is delivered. @reason (borrowed): NULL = none, in order.
 * NULL is allowed. Returns NULL. */
DV_API struct dv_chan_sender *dv_chan_sender_close(struct dv_chan_sender *tx,
						   const struct dv_err *reason);
DV_API int dv_chan_sender_attach(struct dv_msg *msg, struct dv_chan_sender *tx);
DV_API struct dv_chan_sender *dv_chan_sender_take(struct dv_msg *msg, size_t n,
						  struct dv_err *err);
DV_API struct dv_chan_sender *dv_chan_sender_from_port(struct dv_port *port);

/* Receive with @ops (borrowed, as long as @rx lives). Before this, and while
 * paused, everything waits. */
DV_API void dv_chan_start(struct dv_chan_receiver *rx,
			  const struct dv_chan_ops *ops, void *user);
DV_API void dv_chan_pause(struct dv_chan_receiver *rx, bool paused);
DV_API void *dv_chan_user(const struct dv_chan_receiver *rx);
DV_API void dv_chan_limit(struct dv_chan_receiver *rx, size_t max_senders);
/* A new sender, also after closed(). */
DV_API int dv_chan_add_sender(struct dv_chan_receiver *rx,
			      struct dv_chan_sender **txp, struct dv_err *err);
/* As dv_chan_sender_close(); messages that were not received are dropped. */
DV_API struct dv_chan_receiver *
dv_chan_receiver_close(struct dv_chan_receiver *rx,
		       const struct dv_err *reason);
/* It takes one attachment, however many senders there are. */
DV_API int dv_chan_receiver_attach(struct dv_msg *msg,
				   struct dv_chan_receiver *rx);
DV_API struct dv_chan_receiver *
dv_chan_receiver_take(struct dv_msg *msg, size_t n, struct dv_err *err);
DV_API struct dv_chan_receiver *
dv_chan_receiver_from_port(struct dv_port *port);

/* ---- oneshot ------------------------------------------------------- */

/*
 *	dv_once_new(mesh, &tx, &rx, &err);
 *	dv_once_receive(rx, on_value, self);	once, value or end
 *	n = dv_once_sender_attach(msg, tx);	to another process, which says:
 *	dv_once_send(dv_once_sender_take(msg, n, &err), value, &err);
 */
struct dv_once_sender;
struct dv_once_receiver;

/*
 * The one call: @msg (borrowed) is the value, or NULL, and @end says why there
 * is none. The handle is gone when it is called. A value that has arrived is
 * delivered, whatever happens to its sender after that.
 */
typedef void dv_once_fn(void *user, struct dv_msg *msg,
			const struct dv_port_end *end);

DV_API int dv_once_new(struct dv_mesh *mesh, struct dv_once_sender **txp,
		       struct dv_once_receiver **rxp, struct dv_err *err);
/* @tx and @msg are consumed. Never DV_FULL. */
DV_API int dv_once_send(struct dv_once_sender *tx, struct dv_msg *msg,
			struct dv_err *err);
/* There will be none. */
DV_API struct dv_once_sender *dv_once_sender_close(struct dv_once_sender *tx,
						   const struct dv_err *reason);
DV_API int dv_once_sender_attach(struct dv_msg *msg, struct dv_once_sender *tx);
DV_API struct dv_once_sender *dv_once_sender_take(struct dv_msg *msg, size_t n,
						  struct dv_err *err);
DV_API struct dv_once_sender *dv_once_sender_from_port(struct dv_port *port);

DV_API void dv_once_receive(struct dv_once_receiver *rx, dv_once_fn *fn,
			    void *user);
/* Nobody wants it any more; no call comes. */
DV_API struct dv_once_receiver *
dv_once_receiver_close(struct dv_once_receiver *rx);
DV_API int dv_once_receiver_attach(struct dv_msg *msg,
				   struct dv_once_receiver *rx);
DV_API struct dv_once_receiver *
dv_once_receiver_take(struct dv_msg *msg, size_t n, struct dv_err *err);
DV_API struct dv_once_receiver *
dv_once_receiver_from_port(struct dv_port *port);

/* ---- cancel context ------------------------------------------------ */

/*
 * A tree. A context is cancelled by itself, by its deadline, or with its
 * parent, which may be in another process; when that process dies, too: what
 * nobody can stop any more must not go on. It stays so, with the first reason.
 *
 *	dv_cancel_new(&job, mesh, NULL, 30000, NULL, NULL, &err);
 *	dv_cancel_attach(msg, job);		over there: dv_cancel_take()
 *	dv_cancel_now(job, NULL);		over there: the callback
 */
struct dv_cancel;

/* Once, when it is cancelled: DV_CANCELLED or DV_DEADLINE, or what was given.
 */
typedef void dv_cancel_fn(struct dv_cancel *c, const struct dv_err *why,
			  void *user);

/*
 * @parent:     in the same mesh; NULL = none
 * @timeout_ms: from now; -1 = only the parent's
 * @fn:         may be NULL
 */
DV_API int dv_cancel_new(struct dv_cancel **cp, struct dv_mesh *mesh,
			 struct dv_cancel *parent, int timeout_ms,
			 dv_cancel_fn *fn, void *user, struct dv_err *err);
/* @why (borrowed; NULL: DV_CANCELLED). It, and all below, are cancelled when
 * this returns; their callbacks follow. */
DV_API void dv_cancel_now(struct dv_cancel *c, const struct dv_err *why);
/* NULL: not cancelled. Borrowed, as long as @c. */
DV_API const struct dv_err *dv_cancel_why(const struct dv_cancel *c);
/* Until the nearest deadline of @c and all above; UINT64_MAX: none. */
DV_API uint64_t dv_cancel_left_ns(const struct dv_cancel *c);
/* What hangs below it is cancelled. NULL is allowed. Returns NULL. */
DV_API struct dv_cancel *dv_cancel_free(struct dv_cancel *c);

/* Attach a child of @c, which is borrowed. */
DV_API int dv_cancel_attach(struct dv_msg *msg, struct dv_cancel *c);
/* Pass on what @c hangs on: what is attached is a child of the parent of @c,
 * so @c may be freed. A context without a parent: -EINVAL. */
DV_API int dv_cancel_pass(struct dv_msg *msg, struct dv_cancel *c);
/* Its deadline is known as soon as its port has moved. */
DV_API struct dv_cancel *dv_cancel_take(struct dv_msg *msg, size_t n,
					dv_cancel_fn *fn, void *user,
					struct dv_err *err);

/* ---- ask and answer ------------------------------------------------ */

/*
 * A question goes to the receiver of a channel and carries the way back, so
 * answers come in any order, and whoever got it may pass it on to another
 * process, which answers directly.
 *
 *	static void on_asked(struct dv_chan_receiver *rx,
 *			     struct dv_asked *asked)
 *	{
 *		dv_asked_answer(asked, work(dv_asked_msg(asked)), NULL);
 *	}
 *	static void on_answer(struct dv_ask *ask, const struct dv_answer *a,
 *			      void *user) { ... a->r, a->msg, a->err ... }
 *
 *	dv_ask(tx, msg, NULL, on_answer, self, &ask, &err);
 */
struct dv_ask;

struct dv_answer {
	int r;              /* 0, or -errno with err filled */
	bool more;          /* of a stream: further calls follow */
	struct dv_msg *msg; /* borrowed; NULL: an error, or a stream's end */
	/* NULL: r is 0. As the other side said it; or what has become of it:
	 * DV_DEADLINE, DV_CANCELLED (opts.cancel), DV_UNAVAILABLE (it will
	 * never answer). */
	const struct dv_err *err;
	/* Of the port when it ended unanswered: whose fault it is. Or NULL. */
	const struct dv_port_end *end;
};
/* Called once, or for a stream until more is false; then @ask is gone. */
typedef void dv_ask_fn(struct dv_ask *ask, const struct dv_answer *answer,
		       void *user);

enum { DV_ASK_TIMEOUT_MS = 30000 };

/* 0 in any field: the default. */
struct dv_ask_opts {
	size_t size;              /* sizeof(struct dv_ask_opts) */
	int timeout_ms;           /* 0: DV_ASK_TIMEOUT_MS; -1: none */
	bool stream;              /* any number of answers */
	struct dv_cancel *cancel; /* ends with it, and with its deadline */
};

/*
 * Ask. Returns as sending does (DV_FULL: it was sent), -EINVAL for @opts,
 * -E2BIG for a message with DV_MSG_ATT_MAX attachments; after a failure @fn is
 * not called. @askp (may be NULL) names it for dv_ask_cancel(). @err may be
 * NULL.
 */
DV_API int dv_ask(struct dv_chan_sender *tx, struct dv_msg *msg,
		  const struct dv_ask_opts *opts, dv_ask_fn *fn, void *user,
		  struct dv_ask **askp, struct dv_err *err);
/* Forget it: no callback comes, and the other side is told. */
DV_API void dv_ask_cancel(struct dv_ask *ask);

/*
 * A question that has come. It ends with exactly one of answer, end, fail,
 * forward and drop, now or at any time later, also after its receiver was
 * closed. Its message counts against the window of who asked until then, or
 * until it is taken.
 */
/* Borrowed: ask again after its callback, when a small one lies elsewhere.
 * NULL: taken, or there was no memory to keep it. */
DV_API struct dv_msg *dv_asked_msg(const struct dv_asked *asked);
/* Owned by the caller. NULL as above. */
DV_API struct dv_msg *dv_asked_take_msg(struct dv_asked *asked);
/* Until nobody waits for it; UINT64_MAX: no deadline. 0: too late. */
DV_API uint64_t dv_asked_left_ns(const struct dv_asked *asked);
DV_API bool dv_asked_is_stream(const struct dv_asked *asked);

struct dv_asked_ops {
	/* Once: nobody waits any more, for @end->err says why: DV_CANCELLED,
	 * DV_DEADLINE, or the process is gone. It still has to be ended. */
	void (*cancelled)(struct dv_asked *asked,
			  const struct dv_port_end *end);
	void (*writable)(struct dv_asked *asked); /* a stream; may be NULL */
};
/* @ops: borrowed. What has happened before is called, too. */
DV_API void dv_asked_watch(struct dv_asked *asked,
			   const struct dv_asked_ops *ops, void *user);
DV_API void *dv_asked_user(const struct dv_asked *asked);

/* The answer, or the last of a stream. Return 0, or -errno as sending does; a
 * question whose deadline is over or that was cancelled: -EPIPE. */
DV_API int dv_asked_answer(struct dv_asked *asked, struct dv_msg *msg,
			   struct dv_err *err);
/* One of several; @asked lives on. -EINVAL: one answer was asked for. */
DV_API int dv_asked_more(struct dv_asked *asked, struct dv_msg *msg,
			 struct dv_err *err);
/* The end of a stream, after the last dv_asked_more(). */
DV_API void dv_asked_end(struct dv_asked *asked);
/* @why (borrowed) arrives as it is. */
DV_API void dv_asked_fail(struct dv_asked *asked, const struct dv_err *why);
/* No answer: DV_ABORTED for who asked. NULL is allowed. Returns NULL. */
DV_API struct dv_asked *dv_asked_drop(struct dv_asked *asked);
/* Pass it on, with the time that is left; the answer will not come by here.
 * Fails as sending does, and then who asked hears DV_UNAVAILABLE. */
DV_API int dv_asked_forward(struct dv_asked *asked, struct dv_chan_sender *tx,
			    struct dv_err *err);

/* ---- cell: the latest value ---------------------------------------- */

/*
 * Values are bytes. A subscriber gets the latest; when it is slow, those in
 * between are skipped. Versions start at 1 and grow by one with each set.
 *
 *	dv_cell_new(&cell, mesh, "a", 1, &err);
 *	dv_cell_subscribe(cell, &view, &err);
 *	dv_cell_view_attach(msg, view);		over there: dv_cell_view_take(),
 *	dv_cell_view_watch(view, &ops, self);	changed(), dv_cell_view_get()
 *	dv_cell_set(cell, "b", 1, 5000, on_seen, self, &err);
 */
struct dv_cell;
struct dv_cell_view;

enum {
	/* Subscribers of one cell: one more is ended with DV_EXHAUSTED. */
	DV_CELL_VIEWS = 4096,
};

/* @r: 0: every subscriber that lives has seen that value or a later one.
 * -ETIMEDOUT: @n_left have not. */
typedef void dv_cell_seen_fn(struct dv_cell *cell, int r, uint32_t n_left,
			     void *user);

/* @data is copied. Returns 0, -ENOMEM, -EMSGSIZE. */
DV_API int dv_cell_new(struct dv_cell **cellp, struct dv_mesh *mesh,
		       const void *data, size_t len, struct dv_err *err);
/*
 * A new value for all. @fn (NULL: nobody waits) is called once, from the loop,
 * at the latest after @timeout_ms (-1: never). Returns 0, -ENOMEM, -EMSGSIZE.
 */
DV_API int dv_cell_set(struct dv_cell *cell, const void *data, size_t len,
		       int timeout_ms, dv_cell_seen_fn *fn, void *user,
		       struct dv_err *err);
DV_API uint64_t dv_cell_version(const struct dv_cell *cell);
DV_API uint32_t dv_cell_n_views(const struct dv_cell *cell);
DV_API int dv_cell_subscribe(struct dv_cell *cell, struct dv_cell_view **viewp,
			     struct dv_err *err);
/* Subscribers keep the last value and hear @reason. No dv_cell_seen_fn is
 * called any more. */
DV_API struct dv_cell *dv_cell_close(struct dv_cell *cell,
				     const struct dv_err *reason);
/* Its subscribers go with it; waits are dropped. Setting is then up to there.
 */
DV_API int dv_cell_attach(struct dv_msg *msg, struct dv_cell *cell);
/* @ready (may be NULL): it arrives in two steps; until then set() is -EAGAIN.
 */
DV_API struct dv_cell *dv_cell_take(struct dv_msg *msg, size_t n,
				    void (*ready)(struct dv_cell *cell, int r,
						  void *user),
				    void *user, struct dv_err *err);

struct dv_cell_view_ops {
	/* There is a newer value. It is acknowledged when this returns. */
	void (*changed)(struct dv_cell_view *view);
	/* There will be none: the cell was closed (end->closed), or its process
	 * died. The last value can still be read. */
	void (*ended)(struct dv_cell_view *view, const struct dv_port_end *end);
};
/* @ops: borrowed; its functions may be NULL. changed() comes for the first
 * value too. Values are received and acknowledged from now on. */
DV_API void dv_cell_view_watch(struct dv_cell_view *view,
			       const struct dv_cell_view_ops *ops, void *user);
DV_API void *dv_cell_view_user(const struct dv_cell_view *view);
/* @datap: borrowed until the next callback, attach or close. Returns the
 * version, or 0: none has come yet. */
DV_API uint64_t dv_cell_view_get(const struct dv_cell_view *view,
				 const void **datap, size_t *lenp);
/* NULL: it lives. Borrowed, as long as @view. */
DV_API const struct dv_port_end *
dv_cell_view_end(const struct dv_cell_view *view);
/* Another subscriber of the same cell, with the value of this one. */
DV_API int dv_cell_view_clone(struct dv_cell_view *view,
			      struct dv_cell_view **viewp, struct dv_err *err);
DV_API struct dv_cell_view *dv_cell_view_close(struct dv_cell_view *view);
DV_API int dv_cell_view_attach(struct dv_msg *msg, struct dv_cell_view *view);
DV_API struct dv_cell_view *dv_cell_view_take(struct dv_msg *msg, size_t n,
					      struct dv_err *err);
DV_API struct dv_cell_view *dv_cell_view_from_port(struct dv_port *port);

/* ---- bytes --------------------------------------------------------- */

/*
 * A stream with an end that cannot be mistaken: dv_bytes_finish() says "that
 *was all"; whatever else happens to the writer is an error for the reader.
 *Between two processes of one machine a pipe(2) in a message (dv_msg_add_fd) is
 *faster and knows no such difference.
 *
 *	dv_bytes_new(mesh, &w, &r, &err);
 *	n = dv_bytes_write(w, data, len, &err);	-EAGAIN: after writable()
 *	n = dv_bytes_read(r, buf, sizeof(buf), &err);
 *	dv_bytes_finish(w);
 */
struct dv_bytes_writer;
struct dv_bytes_reader;

DV_API int dv_bytes_new(struct dv_mesh *mesh, struct dv_bytes_writer **wp,
			struct dv_bytes_reader **rp, struct dv_err *err);

struct dv_bytes_writer_ops {
	void (*writable)(
		struct dv_bytes_writer *w); /* after -EAGAIN, or less */
	void (*ended)(struct dv_bytes_writer *w, const struct dv_port_end *end);
};
DV_API void dv_bytes_watch_write(struct dv_bytes_writer *w,
				 const struct dv_bytes_writer_ops *ops,
				 void *user);
DV_API void *dv_bytes_writer_user(const struct dv_bytes_writer *w);
/* Returns how many were accepted, -EAGAIN: none now, -EPIPE: the reader is
 * gone, -ENOMEM. */
DV_API ptrdiff_t dv_bytes_write(struct dv_bytes_writer *w, const void *data,
				size_t len, struct dv_err *err);
/* That was all: the reader gets 0 after the last byte. Consumed. */
DV_API void dv_bytes_finish(struct dv_bytes_writer *w);
/* The reader gets @reason (NULL: DV_ABORTED) after the last byte. Consumed;
 * NULL is allowed. Returns NULL. */
DV_API struct dv_bytes_writer *dv_bytes_abort(struct dv_bytes_writer *w,
					      const struct dv_err *reason);
DV_API int dv_bytes_writer_attach(struct dv_msg *msg,
				  struct dv_bytes_writer *w);
DV_API struct dv_bytes_writer *
dv_bytes_writer_take(struct dv_msg *msg, size_t n, struct dv_err *err);
DV_API struct dv_bytes_writer *dv_bytes_writer_from_port(struct dv_port *port);

struct dv_bytes_reader_ops {
	/* There is something to read, the end and an error included. */
	void (*readable)(struct dv_bytes_reader *r);
};
DV_API void dv_bytes_watch_read(struct dv_bytes_reader *r,
				const struct dv_bytes_reader_ops *ops,
				void *user);
DV_API void *dv_bytes_reader_user(const struct dv_bytes_reader *r);
/* Returns bytes; 0: the writer finished; -EAGAIN: none now (they come when the
 * loop runs); -ECONNRESET: it did not finish, @err is what it or its end said.
 */
DV_API ptrdiff_t dv_bytes_read(struct dv_bytes_reader *r, void *buf, size_t len,
			       struct dv_err *err);
/* The writer hears @reason. */
DV_API struct dv_bytes_reader *
dv_bytes_reader_close(struct dv_bytes_reader *r, const struct dv_err *reason);
DV_API int dv_bytes_reader_attach(struct dv_msg *msg,
				  struct dv_bytes_reader *r);
DV_API struct dv_bytes_reader *
dv_bytes_reader_take(struct dv_msg *msg, size_t n, struct dv_err *err);
DV_API struct dv_bytes_reader *dv_bytes_reader_from_port(struct dv_port *port);

#ifdef __cplusplus
}
#endif
