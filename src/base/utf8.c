/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

/* Second bytes are 0x80 to 0xbf, but after these a part of them is not used. */
static bool second_ok(uint8_t first, uint8_t second)
{
	switch (first) {
	case 0xe0:
		return second >= 0xa0; /* shorter forms exist below */
	case 0xed:
		return second <= 0x9f; /* surrogates above */
	case 0xf0:
		return second >= 0x90;
	case 0xf4:
		return second <= 0x8f; /* beyond U+10FFFF above */
	default:
		return true;
	}
}

size_t dv_utf8_next(const void *p, size_t left, uint32_t *cpp)
{
	const uint8_t *b = p;
	uint32_t cp = b[0];
	size_t len = 1;

	if (b[0] >= 0x80) {
		if (b[0] < 0xc2 || b[0] > 0xf4)
			return 0;
		len = b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
		if (left < len || !second_ok(b[0], b[1]))
			return 0;
		cp = b[0] & (0xffU >> (len + 1));
	}
	for (size_t i = 1; i < len; i++) {
		if ((b[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (b[i] & 0x3fU);
	}
	if (cpp)
		*cpp = cp;
	return len;
}

bool dv_utf8_ok(const void *text, size_t len)
{
	const uint8_t *p = text;
	size_t n;

	for (; len > 0; p += n, len -= n) {
		n = *p < 0x80 ? 1 : dv_utf8_next(p, len, NULL);
		if (n == 0)
			return false;
	}
	return true;
}
