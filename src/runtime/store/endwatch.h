/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Noticing that a sandbox has ended for good, by files and without its keeper's
 * help: its directory in RUNDIR is watched, and its keeper's process. Nothing
 * is polled. One thread.
 *
 * The keeper's process is the one that the document names: who holds the lock
 * wrote it, so it is that process if the lock is held and the document is the
 * same after the process was opened.
 */
#include <stdbool.h>
#include <stdint.h>

#include <davit/sandbox.h>

struct dv_endwatch {
	int ep;     /* readable when there is something to look at; owned */
	int ino;    /* owned, -1: none */
	int pidfd;  /* the keeper; owned, -1: not known yet */
	int again;  /* a timer: look again, see endwatch.c; owned */
	int until;  /* a timer; owned, -1: none */
	int dir_wd; /* of RUNDIR/<id> */
	char id[DV_SANDBOX_ID_LEN + 1];
	bool over;   /* it has ended, or is dead, or is not there any more */
	bool passed; /* the time of dv_endwatch_until() */
};

/* clang-format off */
#define DV_ENDWATCH_INIT { .ep = -1, .ino = -1, .pidfd = -1, .again = -1, \
			   .until = -1, .dir_wd = -1 }
/* clang-format on */

/* Watch @id. Returns 0, also when it has ended; -EMFILE and others. */
int dv_endwatch_open(struct dv_endwatch *w, const char *id, struct dv_err *err);
/* Become readable when a file (absolute path) is written to, too. */
int dv_endwatch_file(struct dv_endwatch *w, const char *path,
		     struct dv_err *err);
/* And at this time. */
int dv_endwatch_until(struct dv_endwatch *w, uint64_t unix_ns,
		      struct dv_err *err);
/* Forget what made it readable and look: w->over and w->passed. What is
 * written from now on makes it readable again. Never waits. */
void dv_endwatch_check(struct dv_endwatch *w);
/* Idempotent. */
void dv_endwatch_close(struct dv_endwatch *w);
