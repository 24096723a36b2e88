/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Inside of davit/sandbox.h: the handle, and how its operations are done.
 *
 *	sandbox.c	finding, looking, freeing
 *	sandbox_dial.c	connections, each of them proved
 *	sandbox_op.c	what operations have in common
 *	sandbox_life.c	wait, stop, kill, pause, resume, update, upgrade
 *	sandbox_ended.c	what is done without a keeper: restart, rename, remove
 *	sandbox_input.c	input, size
 *	sandbox_create.c	a new one
 *	sandbox_user.c	its users, by name
 *
 * One client (runtime/client/diag.h) is behind it all, and its operations. They
 *begin with a look at the documents and the table of verbs; the keeper is asked
 * then, and may be gone by that time: see sandbox_op.c.
 */
#include <davit/sandbox.h>

#include "runtime/client/diag.h"
#include "runtime/keeper/keeper.h"
#include "runtime/plan/users.h"

#define DV_KEEPER_V1 "davit.v1.Keeper"

/* What a keeper may take to kill all of its sandbox before it is killed itself,
 * where that is allowed. */
enum { DV_FORCED_MS = 5000 };

struct dv_sandbox {
	struct dv_loop *loop;
	bool own_loop;
	char id[DV_SANDBOX_ID_LEN + 1];
	struct dv_sandbox_info info;       /* of the last look */
	bool looked;                       /* it is filled */
	char who[DV_SANDBOX_NAME_MAX + 1]; /* in messages: name, or id */
	struct dv_diag *diag;              /* owned; NULL: not needed yet */
	/* The connection of calls, while it is made. */
	struct dv_rpc *rpc; /* borrowed; NULL: nobody waits for one */
	struct dv_dial *dial;
	struct dv_target target;
	int dirfd;     /* RUNDIR where the path of its socket is too long; -1 */
	int watch;     /* inotify, while the socket is not there yet; -1 */
	int watch_pid; /* pidfd of the keeper meanwhile; -1 */
	struct dv_src watch_src, watch_pid_src;
	struct dv_timer watch_end;
	bool elsewhere; /* it lives, with another RUNDIR: as of the last dial */
};

/* As dv_sandbox_look(). @bare: though its documents make no sense. */
int dv_sandbox_see(struct dv_sandbox *sb, bool bare, struct dv_err *err);
/* Its keeper does not live: as of the last look. */
bool dv_sandbox_ended(const struct dv_sandbox *sb);
/* The client, made when it is needed; whether a keeper lives or not. */
int dv_sandbox_client(struct dv_sandbox *sb, struct dv_err *err);

/*
 * sandbox_user.c: what e->user is, as ids; e->groups borrows from @user. As of
 * the last look, and looks again. 0, -ENOENT: unknown there, or -errno.
 */
int dv_sandbox_put_user(struct dv_sandbox *sb, struct dv_diag_exec *e,
			struct dv_user *user, struct dv_err *err);

/* ---- sandbox_dial.c ---- */
/* struct dv_diag_socket.dial; @arg is the sandbox. */
void dv_sandbox_dial(struct dv_rpc *rpc, void *arg);
/* The same of its `check`. */
int dv_sandbox_prove(void *arg, int fd, struct dv_err *err);
/* The path to connect to. */
int dv_sandbox_path(struct dv_sandbox *sb, struct dv_err *err);
void dv_sandbox_dial_stop(struct dv_sandbox *sb);

/* ---- sandbox_op.c ---- */

struct dv_life;

/* A row for each operation. */
struct dv_life_kind {
	struct dv_diag_kind op;
	enum dv_verb_id verb;
	/* The keeper's answer; NULL: it has no content. 0, DV_MORE: it goes
	 * on, -errno. */
	int (*answer)(struct dv_life *life, const struct dv_rpc_reply *reply,
		      struct dv_err *err);
	/*
	 * It has ended, or has no keeper (any more): do it without. 0, DV_MORE,
	 * -errno. NULL: the table of verbs says why not.
	 */
	int (*ended)(struct dv_life *life, struct dv_err *err);
	/* What to do where its keeper cannot do it at all (DV_UNIMPLEMENTED):
	 * a keeper's hints do not come over its socket. NULL: nobody knows. */
	const char *unable;
	bool gone_is_done; /* nothing being left of it is success */
	bool bare;         /* also when its documents make no sense */
	bool again; /* a keeper that was lost, and lives, is asked again */
	bool kills; /* a keeper that does not end by itself is killed */
};

/* One operation, beside its struct dv_op; op->own. */
struct dv_life {
	struct dv_op *op;
	struct dv_sandbox *sb;
	const struct dv_life_kind *kind;
	char what[24 + DV_SANDBOX_NAME_MAX];
	/* Waiting for the end of a keeper, or for the birth of one. */
	struct dv_src src;
	struct dv_timer timer;
	int fd;             /* owned; -1 */
	struct dv_err lost; /* why it fails when the keeper lives on */
	/* How long the keeper may take to answer, beside what it may take to
	 * start; then -ETIMEDOUT, or it is killed. 0: as long as it likes. */
	int64_t patience_ms;
	struct dv_timer patience;
	bool unknown; /* it was not known once whom to kill */
	bool killed;  /* its keeper, once */
	/* Of the kinds. */
	void *out;
	char text[DV_SANDBOX_NAME_MAX + 1];
	int input;   /* owned; -1 */
	bool waited; /* for the end of a keeper, once */
};

/*
 * A new operation of @sb, if the table of verbs allows it in the state it is
 * in. Fill it, and dv_life_go() consumes it. Returns 0 or -errno.
 */
int dv_life_new(struct dv_sandbox *sb, const struct dv_life_kind *kind,
		const struct dv_how *how, struct dv_life **lifep,
		struct dv_err *err);
/* The request of the keeper. @fields NULL: it has none. @r as dv_op_go(). */
int dv_life_go(struct dv_life *life, int r, const pb_msgdesc_t *fields,
	       const void *msg, struct dv_err *err);
/*
 * Wait until the keeper has ended, and then (or now, when it has ended) do as
 * kind->ended says. @ms: at most; then @life fails with life->lost, which is
 * set before, unless its kind says otherwise. Returns DV_MORE or how it ended.
 */
int dv_life_await_end(struct dv_life *life, int ms, struct dv_err *err);
/* The same for a keeper that is there for certain. DV_MORE or -errno. */
int dv_life_watch(struct dv_life *life, int ms, struct dv_err *err);
/*
 * Kill the keeper that its identity document means, once, wait until it has
 * ended, and then do as kind->ended says. Without that document it is waited
 * for a moment, and then @life fails with life->lost, which is set before.
 * DV_MORE or how it ended.
 */
int dv_life_kill_keeper(struct dv_life *life, struct dv_err *err);
/* Ends @life unless @r is DV_MORE. From the loop. */
void dv_life_over(struct dv_life *life, int r, const struct dv_err *err);

/* The request that stop and restart have. 0 or -EINVAL. */
int dv_sandbox_stop_request(const struct dv_sandbox_stop *stop,
			    dv_StopRequest *m, struct dv_err *err);
/* How long a keeper may take for that, and until it has answered. 0: that is
 * not known. */
int64_t dv_sandbox_stop_patience(const struct dv_sandbox_info *info,
				 const dv_StopRequest *m);

/* For `op` of every kind. */
int dv_life_begin(struct dv_op *op, struct dv_err *err);
int dv_life_reply(struct dv_op *op, const struct dv_rpc_reply *reply,
		  struct dv_err *err);
void dv_life_deinit(struct dv_op *op);

/* clang-format off */
#define DV_LIFE_OP(name, method) {					\
	.what = name, .v1 = method, .v1_service = DV_KEEPER_V1,		\
	.call = dv_life_begin, .reply = dv_life_reply,			\
	.wants_errors = true, .deinit = dv_life_deinit }
/* clang-format on */
