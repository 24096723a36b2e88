/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The inside of the store: directories that are not trusted, names, documents.
 *
 *	store.c			the keeper's side: claim, write, release
 *	kept_dirs.c		opening directories and reading files
 *	lock.c		RUNDIR/names/.lock
 *	name.c		RUNDIR/names
 *	look.c		what is known of one, and of all
 *	find.c		names, ids, and beginnings of them
 *	remove.c		taking one away
 *	doc.c		a dv_sandbox_info as JSON
 *	parse.c		and back
 *	identity.c	who is behind a socket
 *	events.c		RUNDIR/events
 */
#include <errno.h>
#include <sys/types.h>

#include "base/json.h"
#include "runtime/store/store.h"

/* ---- kept_dirs.c ---------------------------------------------------------
 */

/* Both directories, as they are found. */
struct dv_store {
	int run, state; /* -1: there is none */
	char run_path[200], state_path[200];
};

#define DV_STORE_INIT                  \
	{                              \
		.run = -1, .state = -1 \
	}

/* Open what is there; nothing is made. 0 or -errno. */
int dv_store_open(struct dv_store *s, struct dv_err *err);
/* Idempotent. */
void dv_store_close(struct dv_store *s);
static inline void dv_autostore_p(struct dv_store *s)
{
	dv_store_close(s);
}
#define dv_autostore __attribute__((cleanup(dv_autostore_p))) struct dv_store

/* 16 lower-case hex digits? */
bool dv_store_is_id(const char *name);
/* A directory that is on its way out. One on its way in has a dot. */
enum { DV_STORE_GONE = '~' };
bool dv_store_is_gone(const char *name);
/* Is there anything of @id? */
bool dv_store_has(const struct dv_store *s, const char *id);
/*
 * Open a directory of @base (whose path is for messages), which must belong to
 * whom @base belongs to and be closed to others; symlinks are not followed.
 * The descriptor (owned), -ENOENT without a message, or -errno.
 */
int dv_store_sub(int base, const char *base_path, const char *name,
		 struct dv_err *err);
/*
 * Read a regular file of at most @max bytes; symlinks are not followed, and
 * nothing that could block is opened. *datap is owned by the caller and
 * NUL-terminated. -ENOENT without a message; -EFBIG, -EBADMSG (no file) ...
 * @path is the directory's, for messages.
 */
int dv_store_read(int dirfd, const char *path, const char *name, size_t max,
		  char **datap, size_t *lenp, struct dv_err *err);
/*
 * Append @line to the file @name of the directory @dirfd, made if it is not
 * there; what cannot be written is lost. Returns the file (owned) when it has
 * @max bytes or more now: it is to be turned over. Else -1.
 */
int dv_store_append(int dirfd, const char *name, const char *line, size_t len,
		    off_t max);
/*
 * Call @fn with the name of all that is in the directory @path of @dirfd, but
 * not what begins with a dot, until it returns not 0, which is returned. 0, or
 * -errno when there is no such directory.
 */
int dv_store_entries(int dirfd, const char *path,
		     int (*fn)(void *arg, const char *name), void *arg);

/*
 * Remove the directory of @id in @base: at once for whoever looks. 0, -ENOENT,
 * or what kept a part of it, which has a name of its own then.
 */
int dv_store_take_away(int base, const char *id);
/* The first half of that: it has the name @away, and the sweeper does the rest.
 * 0 or -errno. */
int dv_store_hide(int base, const char *id, char away[DV_ID_LEN + 2]);

/* ---- lock.c ---------------------------------------------------------
 */

/*
 * Hold off whoever else takes names or cleans up. @path is that of @basefd, for
 * messages. Returns the lock (owned, close it), -EAGAIN when not @wait, or
 * -errno: -ETIMEDOUT (with who it is) when somebody holds it for 5 s.
 */
int dv_store_lock(int basefd, const char *path, bool wait, struct dv_err *err);

/*
 * Does @r, of a lock, mean that this file system has none (NFS without its lock
 * daemon, some of FUSE)? In STATEDIR the lock of RUNDIR has to do then.
 */
static inline bool dv_store_lockless(int r)
{
	return r == -ENOLCK || r == -ENOSYS || r == -EOPNOTSUPP;
}

/* ---- name.c ---------------------------------------------------------
 */

/* Whose name it is: 0 with @id (17 bytes), -ENOENT (nobody's). */
int dv_names_read(int run, const char *name, char *id);
/*
 * Take @name for @id, which holds its lock already. 0 (also when it has it),
 * -EEXIST with who has it, -errno. @base: RUNDIR, @base_path its path.
 */
int dv_names_claim(int base, const char *base_path, const char *name,
		   const char *id, struct dv_err *err);
/* Give @name up, if it is @id's; NULL: every name that is @id's. */
void dv_names_drop(int base, const char *name, const char *id);
/* Those whose owner left nothing: his remover was killed half-way. */
void dv_names_sweep(const struct dv_store *s);
/* False before the names of a new RUNDIR were made from the documents. */
bool dv_names_complete(int run);

/* ---- look.c ---------------------------------------------------------
 */

/* As dv_store_look(), with directories that are open. */
int dv_store_look_in(const struct dv_store *s, const char *id,
		     struct dv_sandbox_info *info, struct dv_err *err);
/* 1: its keeper lives, 0: not, or there is no directory of it, -errno. */
int dv_store_lives(const struct dv_store *s, const char *id,
		   struct dv_err *err);

/* ---- sweep.c ---------------------------------------------------------------
 */

/*
 * Clean up what is left of @id in RUNDIR: groups, then the directory, which
 * was noted in the events and whose document was moved to STATEDIR. The lock of
 * dv_store_lock() is held. 0 when nothing is left, -EBUSY: its keeper lives,
 * -EAGAIN: its processes are still leaving.
 */
int dv_sweep_locked(int base, const char *id);

/* ---- doc.c, parse.c --------------------------------------------
 */

/*
 * Fill @info (zeroed, but size) from a document. -EBADMSG with a reason when
 * something in it is of a wrong type or out of range, -ENOMEM; then nothing is
 * left in @info. What is unknown is ignored.
 */
int dv_info_parse(struct dv_sandbox_info *info, const char *text, size_t len,
		  struct dv_err *err);
/* "2024-01-31T23:59:59.123456789Z" as dv_json_time() writes it. 0, -EINVAL. */
int dv_time_parse(const char *text, uint64_t *unix_nsp);

/* exit_json.c: the members of an exit record, in an object that is open. */
void dv_exit_members(struct dv_json *j, const struct dv_exit *e);

/* ---- events.c --------------------------------------------------------
 */

/* A line of RUNDIR/events. Never fails. */
void dv_event_write(int base, const char *id, const char *name,
		    const char *event, const char *more);
