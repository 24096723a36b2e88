/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Numbers that people write. All refuse empty text, signs where none belong,
 * trailing characters and overflow with -EINVAL or -ERANGE and set nothing.
 */
#include <stdint.h>

int dv_parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *outp);
int dv_parse_i64(const char *s, int64_t min, int64_t max, int64_t *outp);
/*
 * "64m", "1g", "1.5g", "4096", "1GiB": b k m g t in any case, powers of 1024.
 * Bytes, rounded down; a fraction needs a unit.
 */
int dv_parse_size(const char *s, uint64_t *bytesp);
/*
 * "10", "1.5s", "200ms", "2m", "1h30m", "7d": d h m s ms, the longer unit
 * first, seconds when there is none. ms, rounded down.
 */
int dv_parse_span(const char *s, uint64_t *msp);
/* The same, up to what an int of ms can hold. */
int dv_parse_duration(const char *s, int *msp);
#define DV_DURATION_MAX_TEXT "24d20h"
/* "1.5" -> 1500, rounded down, at most 999999 before the point. */
int dv_parse_milli(const char *s, uint32_t *millip);
/*
 * "TERM", "SIGTERM", "15", "SIG15", "RTMIN+1", "RTMAX-2", in any case. Returns
 * the number, 1 to 64, or -EINVAL.
 */
int dv_parse_signal(const char *s);
/* "SIGTERM"; "SIG42" for unnamed ones; "SIG?" beyond 64. Static. */
const char *dv_signal_name(int signo);
