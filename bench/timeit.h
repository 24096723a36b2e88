/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One row of a measurement: a command, where it is started, and how long its
 * starts took. One thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct peer {
	const char *name; /* borrowed from argv, like all strings here */
	char **argv;      /* NULL-terminated; NULL in a row that is skipped */
	const char *skip; /* why there is nothing to measure, or NULL */
	bool must;        /* that it cannot run is a failure, not a skip */
	pid_t mntns;      /* start it in this process's mount namespace, or 0 */
	int mntns_fd;     /* owned; -1 = ours */
	uint64_t *ns;     /* owned; n results */
	size_t n;
	char why[200]; /* what @skip points to when the command failed */
};

#define PEER_INIT                                        \
	{                                                \
		NULL, NULL, NULL, false, 0, -1, NULL, 0, \
		{                                        \
			0                                \
		}                                        \
	}

/* Where every start finds its descriptors, and where we come from. */
struct stage {
	int null;  /* standard input; owned */
	int out;   /* memory file for what it prints; owned */
	int mntns; /* our own mount namespace; owned */
	int cwd;   /* our own directory: joining a namespace moves us; owned */
};

#define STAGE_INIT             \
	{                      \
		-1, -1, -1, -1 \
	}

/* Returns 0 or -errno; stage_close() is due either way. Idempotent. */
int stage_open(struct stage *st);
void stage_close(struct stage *st);

/* Make room for @cap results and open what @peer names. 0 or -errno. */
int peer_open(struct peer *peer, size_t cap);
void peer_close(struct peer *peer);

/*
 * Start it once, from posix_spawn() to the end of the process; stores the time
 * when @record. Returns its exit status (128+n for a signal) or -errno.
 */
int peer_run(struct peer *peer, struct stage *st, bool record);

/* Turn @peer into a row that says how its last run failed. */
void peer_failed(struct peer *peer, const struct stage *st, int status);
