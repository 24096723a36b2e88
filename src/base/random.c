/* SPDX-License-Identifier: MIT */
#include "base/random.h"

#include <errno.h>
#include <sys/random.h>

#include "base/def.h"

void dv_random(void *out, size_t len)
{
	uint8_t *p = out;

	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0) {
			dv_assert(errno == EINTR);
			continue;
		}
		p += n;
		len -= (size_t)n;
	}
}

void dv_random_id(char out[DV_ID_LEN + 1])
{
	uint8_t raw[DV_ID_LEN / 2];

	dv_random(raw, sizeof(raw));
	for (size_t i = 0; i < sizeof(raw); i++) {
		out[2 * i] = "0123456789abcdef"[raw[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[raw[i] & 15];
	}
	out[DV_ID_LEN] = '\0';
}
