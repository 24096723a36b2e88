/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * RUNDIR/slots: where a sandbox that has no directory notes its control groups
 * for whoever cleans up after a killed keeper. Making and removing a directory
 * costs more than all else that a short run does on a disk; a slot is a part of
 * one file that stays. Locked: its keeper is alive. Empty (zeros): free. Both
 * locks and notes are those of the open file: several sandboxes in one process
 * do not disturb each other.
 */
#include <stddef.h>

enum {
	DV_SLOTS = 16,      /* more at a time get a directory each */
	DV_SLOT_SIZE = 512, /* of notes: a v2 group and a v1 group or two */
};

struct dv_slot {
	int fd; /* -1 = none */
	size_t at, used;
};

#define DV_SLOT_INIT     \
	{                \
		-1, 0, 0 \
	}

/* Take a free slot below the directory @basefd. -EBUSY: there is none. */
int dv_slot_claim(struct dv_slot *s, int basefd);
/* Add a line. -ENOSPC: it does not fit; otherwise 0 or -errno. */
int dv_slot_note(struct dv_slot *s, const char *line);
/* Empty it and let it go. Idempotent. */
void dv_slot_clear(struct dv_slot *s);
/* Let it go, and leave what is noted to the sweeper. Idempotent. */
void dv_slot_release(struct dv_slot *s);
/*
 * Call @clean with the lines of every slot whose keeper is gone; 0 from it
 * empties the slot, anything else leaves it for the next time.
 */
void dv_slots_sweep(int basefd, int (*clean)(char *lines));
