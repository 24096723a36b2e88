/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The three standard streams of one run: which are handed over, which are
 * relayed, and when all that was written has arrived. See man davit-run,
 * STREAMS. One thread; the struct does not move while it is started.
 */
#include <stdbool.h>

#include <davit/run.h>
#include <davit/sandbox.h>

#include "cli/relay.h"
#include "cli/run_args.h"

struct dv_streams {
	bool tty[3]; /* of the caller */
	bool relayed[3];
	bool pty;
	int master; /* a duplicate, for the window size; owned, -1 */
	int drain_ms;
	bool ended;               /* the command has */
	bool lost;                /* output, and not to a reader that went */
	struct dv_relay relay[3]; /* with a pty, only 0 and 1 */
	struct dv_timer drain;
	struct dv_outlog *log; /* owned, NULL = no log */
	const char *log_path;  /* borrowed, NULL = no log */
};

/* Decide without a log: relayed[], and whether there is a pty. */
void dv_streams_init(struct dv_streams *s, enum dv_auto tty, int drain_ms);
/*
 * Relay between the caller and @fd (consumed, also on failure), for those that
 * are relayed; with a pty fd[0] is its master, and fd[1] is not used.
 */
int dv_streams_begin(struct dv_streams *s, struct dv_loop *loop, int fd[3],
		     struct dv_err *err);
/* Decide, open the log, and tell the spec. On failure nothing is open. */
int dv_streams_plan(struct dv_streams *s, const struct run_args *args,
		    struct dv_err *err);
/* The run was started: take its ends and begin. */
int dv_streams_start(struct dv_streams *s, struct dv_run *run,
		     struct dv_err *err);
/* The command has ended: only what is left is read, as --drain says. */
void dv_streams_ended(struct dv_streams *s, struct dv_loop *loop);
/* Take what is there, wait no longer. */
void dv_streams_hurry(struct dv_streams *s);
/* The same, and what a reader that does not read has not taken is dropped. */
void dv_streams_give_up(struct dv_streams *s);
/* True when nothing more will arrive. */
bool dv_streams_done(const struct dv_streams *s);
/* The window of the caller has another size. */
void dv_streams_resize(struct dv_streams *s);
/* Reading a terminal from the background would stop us. */
void dv_streams_foreground(struct dv_streams *s);
/* Close everything; says what was lost. Idempotent. */
void dv_streams_close(struct dv_streams *s);
