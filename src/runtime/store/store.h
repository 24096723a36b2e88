/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The documents of kept sandboxes. A keeper writes them, everybody reads them;
 * nobody needs the other to be there.
 *
 *	RUNDIR/<id>/lock	held: its keeper lives
 *	RUNDIR/<id>/state.json	how it is now; replaced at each change
 *	RUNDIR/<id>/identity	who the keeper is, see dv_store_identity_write()
 *	RUNDIR/<id>/sock	the keeper listens
 *	RUNDIR/names/<name>	a symlink to the id
 *	RUNDIR/events		what happened to all of them, JSON Lines
 *	STATEDIR/<id>/lock	held, too: RUNDIR may be gone, or another one
 *				(where this file system has locks)
 *	STATEDIR/<id>/kept	dv_KeptSandbox, encoded: to start it again
 *	STATEDIR/<id>/state.json	as it was when it began to run
 *	STATEDIR/<id>/exit.json	as it was when it had ended
 *	STATEDIR/<id>/log, log.idx
 *
 * All three JSON files are one document, dv_sandbox_info_json(). Which one
 * counts: state.json of RUNDIR while the lock is held; else exit.json; else
 * what is left of either state.json, and then the sandbox is dead, unless the
 * lock of STATEDIR is held: then it lives where we cannot reach it. Files are
 * replaced by renaming and never fsynced. What is read is not trusted: it may
 * be cut, huge or nonsense, which is an error with the path in its message.
 */
#include <davit/sandbox.h>

#include "base/log.h"
#include "runtime/store/dirs.h"
#include "wire/keeper.pb.h"

enum {
	DV_STORE_DOC_MAX = 1 << 20,    /* argv of a page each and more */
	DV_STORE_KEPT_MAX = 8 << 20,   /* argv and environment: 6 MiB at most */
	DV_STORE_EVENTS_MAX = 1 << 20, /* then it becomes events.1 */
};

/* ---- the keeper's side --------------------------------------------------- */

/* One sandbox's places. */
struct dv_kept_dirs {
	struct dv_home home; /* RUNDIR/<id>, locked */
	int statefd;         /* STATEDIR/<id>; -1: it has none */
	int statelock;       /* its lock; -1: no locks there */
	char state[220];     /* its path */
	char name[DV_SANDBOX_NAME_MAX + 1];
};

#define DV_KEPT_DIRS_INIT                                             \
	{                                                             \
		.home = DV_HOME_INIT, .statefd = -1, .statelock = -1, \
	}

/* Is @name one that a sandbox may have? 0 or -EINVAL with a hint. */
int dv_store_check_name(const char *name, struct dv_err *err);

/*
 * Make both directories, locked, and take @name ("": none). With @id (else
 * NULL: a new one) that of a sandbox which has ended, and is started again:
 * what is there stays. @state: whether it needs a place in STATEDIR. Returns 0,
 * or -errno with nothing left: -EEXIST the name is taken (by whom, and what to
 * do, is in @err), -EBUSY @id is kept by somebody else.
 */
int dv_store_claim(struct dv_kept_dirs *dirs, const char *id, const char *name,
		   bool state, struct dv_err *err);
/*
 * The keeper executed itself anew: take over its descriptors (consumed).
 * Without its lock in STATEDIR (@statelock -1) it takes one now, if it can.
 */
int dv_store_reclaim(struct dv_kept_dirs *dirs, const char *id,
		     const char *name, int lock, int statelock,
		     struct dv_err *err);
/* Write state.json; the first time (@begins) in STATEDIR, too. Advice for
 * others: a full disk is logged by the caller and does not stop anything. */
int dv_store_write_state(struct dv_kept_dirs *dirs,
			 const struct dv_sandbox_info *info, bool begins,
			 struct dv_err *err);
/* exit.json: as long as it is not written, the sandbox counts as dead. */
int dv_store_write_exit(struct dv_kept_dirs *dirs,
			const struct dv_sandbox_info *info, struct dv_err *err);
int dv_store_write_kept(struct dv_kept_dirs *dirs, const dv_KeptSandbox *kept,
			struct dv_err *err);
/* Take another name. -EEXIST: as dv_store_claim(); nothing has changed then. */
int dv_store_rename(struct dv_kept_dirs *dirs, const char *name,
		    struct dv_err *err);
/* Its keeper ends: RUNDIR/<id> goes; the name stays unless @all goes. */
void dv_store_release(struct dv_kept_dirs *dirs, bool all);

/*
 * Who the keeper is, for clients that have connected: its pid, when that
 * process was started (/proc/PID/stat), the uid, the id, and a nonce. Called
 * after the socket is there; an upgrade changes none of it.
 */
int dv_store_identity_write(struct dv_kept_dirs *dirs, struct dv_err *err);
/* One line of RUNDIR/events: {"time", "id", "name", "event", ...@more}. @more
 * is "" or members of JSON: "\"code\":1". Never fails. */
void dv_store_event(const struct dv_kept_dirs *dirs, const char *event,
		    const char *more);

/* ---- everybody's side ------------------------------------------------------
 */

/* Its id (17 bytes) by name, id or beginning; rules of dv_sandbox_open(). */
int dv_store_find(const char *name, char *id, struct dv_err *err);
/* What is known of it, with its state as it really is: RUNNING only when the
 * lock is held. Free with dv_sandbox_info_free(). */
int dv_store_look(const char *id, struct dv_sandbox_info *info,
		  struct dv_err *err);
/* Whether it lives, and no more: for one whose documents make no sense. Its
 * state becomes RUNNING or DEAD. */
int dv_store_look_bare(const char *id, struct dv_sandbox_info *info,
		       struct dv_err *err);
/* How it was started, decoded; for pb_release(). -ENOENT. */
int dv_store_read_kept(const char *id, dv_KeptSandbox *kept,
		       struct dv_err *err);
/* Path of its socket (220 bytes). */
int dv_store_sock(const char *id, char *out, size_t size, struct dv_err *err);
/*
 * Is the process behind @fd (borrowed, connected) the keeper of @id? By
 * SO_PEERPIDFD and its identity document, with no message. 0, or -EPERM.
 */
int dv_store_prove(const char *id, int fd, struct dv_err *err);
/*
 * A pidfd (owned) of the keeper of @id, and its pid: of the process that its
 * identity document means. -ESRCH: it has ended, or has not written one yet.
 */
int dv_store_keeper(const char *id, int32_t *pidp, struct dv_err *err);

/* A line of its keeper.log, in the directory @statefd; one that cannot be
 * written is lost. */
void dv_store_log(int statefd, enum dv_level level, const char *line);
/* What the keeper of @id had to say: *@textp (owned). -ENOENT: nothing. */
int dv_store_read_log(const char *id, char **textp, struct dv_err *err);

/* Another name for one that has ended or is dead: as dv_store_rename(), and
 * -EBUSY: its keeper lives. -ENOENT. */
int dv_store_rename_ended(const char *id, const char *name, struct dv_err *err);
/*
 * Remove what is left of one that has ended or is dead: documents, log, name,
 * groups. -EBUSY: its keeper lives. -ENOENT: there is nothing.
 */
int dv_store_remove(const char *id, struct dv_err *err);
