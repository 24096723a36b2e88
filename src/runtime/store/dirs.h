/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * RUNDIR and STATEDIR: one directory per sandbox in each.
 *
 * RUNDIR/<id> (0700) holds `lock` (locked by the keeper: held means alive; its
 * text is the control groups that were made, a line each, for whoever cleans up
 * after a killed keeper) and `state.json`. Who ends sooner than anybody could
 * look has no directory: its groups are noted in a slot. Nothing here is
 * fsynced.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/random.h"
#include "davit/err.h"
#include "runtime/store/slots.h"

/* $DAVIT_RUNDIR, /run/davit, $XDG_RUNTIME_DIR/davit, or below the state. */
int dv_rundir(char *out, size_t size, struct dv_err *err);
/* $DAVIT_STATEDIR, /var/lib/davit, $XDG_STATE_HOME/davit, ~/.local/state. */
int dv_statedir(char *out, size_t size, struct dv_err *err);

/*
 * Open one of the two, whose @kind is "run" or "state". It must be ours and
 * closed to others, or somebody could put things in our way; root may look into
 * anybody's, but makes nothing there. @create: make it when it is missing.
 * Returns the descriptor (owned), -ENOENT, -EACCES, ...
 */
int dv_dir_open(const char *path, const char *kind, bool create,
		struct dv_err *err);

struct dv_home {
	char id[DV_ID_LEN + 1];
	char base[200]; /* RUNDIR */
	char root[210]; /* RUNDIR/mnt/root: what roots are built on */
	char path[220]; /* RUNDIR/<id> */
	int basefd;     /* of base */
	int dirfd;      /* of path; -1 = there is none yet */
	int lock;
	struct dv_slot slot;
	bool groups_left; /* noted ones could not be removed */
};

#define DV_HOME_INIT                                                        \
	{                                                                   \
		.basefd = -1, .dirfd = -1, .lock = -1, .slot = DV_SLOT_INIT \
	}

/*
 * Choose an id, and open RUNDIR, which must be ours and closed to others (it is
 * made when it is missing, with the empty directories that roots are built on:
 * each sandbox covers them in a mount namespace of its own). The directory of
 * the id is not made yet.
 */
int dv_home_open(struct dv_home *home, struct dv_err *err);
/* Have a place for notes: a slot, or the directory when all are taken. */
int dv_home_claim(struct dv_home *home, struct dv_err *err);
/*
 * Make the directory that was named, locked, unless it is there. It appears
 * under its name only when the lock is held.
 */
int dv_home_create(struct dv_home *home, struct dv_err *err);
/*
 * Note a control group for the sweeper, in the directory when there is one or
 * the slot is full. 0 or -errno: it must not be made then.
 */
int dv_home_note(struct dv_home *home, const char *group);
/* Replace a file in the directory, which is there; 0 or -errno. */
int dv_home_write(const struct dv_home *home, const char *name,
		  const void *data, size_t len);
/* Remove it and all that is in it; release the locks. With groups_left only
 * that: the notes are for the sweeper. Idempotent. */
void dv_home_remove(struct dv_home *home);

/* Release the locks, leave the rest to the sweeper. Idempotent. */
void dv_home_release(struct dv_home *home);

/*
 * Clean up after keepers that were killed: every directory in @rundir whose
 * lock is free. What is still leaving (busy groups) stays for the next time.
 * Errors are not reported: this is somebody else's dirt.
 */
void dv_home_sweep(const char *rundir);
