/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What is typed into davit attach, on its way to the keeper. One of all who are
 * attached has the place to write; it is lost when somebody takes it, and for a
 * while when the sandbox is started again. One thread.
 */
#include <stdbool.h>

#include <davit/loop.h>
#include <davit/sandbox.h>

#include "cli/attach_keys.h"
#include "cli/relay.h"

struct attach_input {
	/* Set before the start. */
	struct dv_sandbox *sb; /* borrowed */
	bool terminal;         /* the sandbox has one */
	struct attach_keys keys;
	/* Its own. */
	struct dv_loop *loop; /* borrowed */
	struct dv_relay relay;
	bool opened; /* our terminal, by dv_term_open() */
	int held;    /* a duplicate of our socket, for its end; owned, -1 */
	struct dv_src held_src;
	/* While the sandbox is started again. */
	struct dv_sandbox_events *events; /* owned */
	struct dv_src events_src;
	struct dv_op *op;
	int fd; /* what @op gets; owned, -1 */
};

#define ATTACH_INPUT_INIT                                                    \
	{                                                                    \
		.relay = DV_RELAY_INIT, .held = -1, .held_src = DV_SRC_INIT, \
		.events_src = DV_SRC_INIT, .fd = -1                          \
	}

/*
 * Take the place, from somebody else if @steal. That it is taken or that there
 * is no input any more is said on stderr and is no error. Afterwards
 * keys.found says that the detach keys were typed. Returns 0 or -errno.
 */
int attach_input_start(struct attach_input *in, bool steal, struct dv_err *err);
/* The size of our terminal is to be that of the sandbox's. */
void attach_input_resize(struct attach_input *in);
/* Read from our terminal only while we are in its foreground. */
void attach_input_foreground(struct attach_input *in);
/* Nobody reads it any more, or will. Idempotent. */
void attach_input_close(struct attach_input *in);
