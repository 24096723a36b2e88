/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The keys that detach: a sequence of bytes in what is typed.
 */
#include <stdbool.h>
#include <stddef.h>

#include <davit/err.h>

enum { ATTACH_KEYS_MAX = 16 };

struct attach_keys {
	unsigned char key[ATTACH_KEYS_MAX];
	size_t n;   /* 0: none */
	size_t got; /* of them, that were typed and are held back */
	bool found;
};

/* "ctrl-p,ctrl-q", "a,b", "". Returns 0 or -EINVAL. */
int attach_keys_parse(struct attach_keys *keys, const char *text,
		      struct dv_err *err);
/*
 * What of the *@lenp bytes at @at is to be sent: all but what may be the begin
 * of the sequence, which comes later when it is none. Up to ATTACH_KEYS_MAX
 * bytes in front of @at are written. When it was found, what follows it is
 * dropped, now and from then on.
 */
char *attach_keys_find(struct attach_keys *keys, char *at, size_t *lenp);
