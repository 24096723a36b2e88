/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The server's side of the hybrid vsock handshake.
 *
 * Whoever owns the connection reads into its own buffer and gives what is there
 * to dv_hvsock_parse_connect() (wire/hvsock.h) until that stops saying DV_MORE;
 * it needs no state, so there is none. The owner also keeps the time: from the
 * first byte to the whole line DV_HVSOCK_DEADLINE_MS. Then one of these:
 */
#include <stdint.h>

#include "wire/hvsock.h"

enum {
	/* The guest's answer is included where a guest has to be asked. */
	DV_HVSOCK_DEADLINE_MS = 2000,
};

/* Numbers for OK lines: 0x40000000 and up, so never a well-known port. */
struct dv_hvsock_numbers {
	uint32_t n_given;
};

uint32_t dv_hvsock_number(struct dv_hvsock_numbers *numbers);

/*
 * Answer OK with @number on @fd (borrowed), in the form that was asked with.
 * From then on the connection is a stream, which begins with what was received
 * behind the request line. Nothing may have been sent on @fd before: then there
 * is room for this line, and a peer that made it otherwise gets -EAGAIN.
 * Returns 0 or -errno.
 */
int dv_hvsock_answer(int fd, const struct dv_hvsock_addr *asked,
		     uint32_t number);

/*
 * Refuse and close @fd (consumed). @text (may be NULL) goes out in an ERR line
 * first, as far as the socket takes it; who waits for OK sees it is not one.
 */
void dv_hvsock_refuse(int fd, const char *text);
