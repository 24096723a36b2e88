/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The first process's streams, held by its keeper: output goes to the log,
 * input comes from one writer at a time. Private to the keeper's files.
 */
#include "runtime/keeper/keeper.h"

enum {
	/* A pipe of the sandbox holds so much, where its user may have that. */
	DV_KEEPER_PIPE = 256 << 10,
	DV_KEEPER_INPUT = 16 << 10, /* held of a writer: typed or pasted */
	DV_KEEPER_DRAIN_MS = 2000,  /* for output that is still held open */
};

/* One that is read; with a terminal there is only the first. */
struct dv_keeper_out {
	struct dv_keeper_io *io;
	struct dv_src src;
	int fd; /* owned; -1: it has ended */
	uint8_t stream;
};

/* input.c */
struct dv_keeper_in {
	struct dv_keeper *k;
	struct dv_loop *loop;
	int to;   /* owned; -1: it takes none, or no more */
	int from; /* owned; -1: nobody writes */
	struct dv_src src, dst;
	bool tty;
	bool midline;    /* the terminal got no newline last */
	bool ending;     /* the writer has said that it is the end */
	size_t off, len; /* what is held of @buf */
	char buf[DV_KEEPER_INPUT];
};

struct dv_keeper_io {
	struct dv_keeper *k;
	struct dv_outlog log;
	struct dv_keeper_out out[2];
	struct dv_keeper_in in;
	int master; /* owned; a terminal's, for its size; -1 */
	struct dv_timer drain;
	void (*done)(struct dv_keeper *k); /* NULL: it has not ended */
};

/* @to (consumed) is where it goes to. 0 or -errno. */
int dv_keeper_in_start(struct dv_keeper_in *in, struct dv_loop *loop, int to,
		       bool tty);
/* Go on as it was saved; its descriptors are consumed. 0 or -errno. */
int dv_keeper_in_resume(struct dv_keeper_in *in, struct dv_loop *loop,
			const dv_StreamsState *st, bool tty);
/* Both ends go. Idempotent. */
void dv_keeper_in_stop(struct dv_keeper_in *in);
