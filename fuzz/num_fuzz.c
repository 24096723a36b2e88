/* SPDX-License-Identifier: MIT */
/*
 * Numbers that people write: every parser on the same text. Beside memory
 * errors it looks for a broken promise: a refusal that sets its output, a
 * result outside of the limits, a signal whose name does not lead back to it.
 */
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/num.h"

#define UNTOUCHED 0x5a5a5a5a
#define TEXT_MAX  256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void integers(const char *s)
{
	uint64_t u = UNTOUCHED;
	int64_t i = UNTOUCHED;

	if (dv_parse_u64(s, 10, 1000000, &u) < 0)
		dv_assert(u == UNTOUCHED);
	else
		dv_assert(u >= 10 && u <= 1000000);
	if (dv_parse_i64(s, -1000, 1000, &i) < 0)
		dv_assert(i == UNTOUCHED);
	else
		dv_assert(i >= -1000 && i <= 1000);
	/* What fits without limits is read alike by both. */
	u = 0;
	i = 0;
	if (dv_parse_u64(s, 0, INT64_MAX, &u) == 0)
		dv_assert(dv_parse_i64(s, 0, INT64_MAX, &i) == 0 &&
			  (uint64_t)i == u);
}

static void quantities(const char *s)
{
	uint64_t bytes = UNTOUCHED;
	uint32_t milli = UNTOUCHED;
	int ms = UNTOUCHED;

	if (dv_parse_size(s, &bytes) < 0)
		dv_assert(bytes == UNTOUCHED);
	if (dv_parse_duration(s, &ms) < 0)
		dv_assert(ms == UNTOUCHED);
	else
		dv_assert(ms >= 0);
	if (dv_parse_milli(s, &milli) < 0)
		dv_assert(milli == UNTOUCHED);
	else
		dv_assert(milli <= 999999999);
}

static void signals(const char *s)
{
	int signo = dv_parse_signal(s);

	if (signo < 0)
		return;
	dv_assert(signo >= 1 && signo <= 64);
	dv_assert(dv_parse_signal(dv_signal_name(signo)) == signo);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s;

	if (size > TEXT_MAX)
		return 0;
	s = malloc(size + 1); /* exactly sized, for the sanitizer */
	if (!s)
		return 0;
	memcpy(s, data, size);
	s[size] = '\0';
	integers(s);
	quantities(s);
	signals(s);
	free(s);
	return 0;
}
