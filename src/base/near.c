/* SPDX-License-Identifier: MIT */
#include "base/near.h"

#include <stdint.h>
#include <string.h>

#include "base/def.h"

enum { NAME_MAX_LEN = 64 }; /* longer words are no typing errors */

/*
 * How many letters have to be changed, added, removed or swapped with their
 * neighbour. @rows: the line being filled and the two above it.
 */
static size_t distance(const char *a, const char *b)
{
	unsigned char rows[3][NAME_MAX_LEN + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > NAME_MAX_LEN || lb > NAME_MAX_LEN)
		return SIZE_MAX;
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = (unsigned char)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned char *row = rows[i % 3];
		const unsigned char *up = rows[(i + 2) % 3];
		const unsigned char *up2 = rows[(i + 1) % 3];

		row[0] = (unsigned char)i;
		for (size_t j = 1; j <= lb; j++) {
			int best = up[j - 1] + (a[i - 1] != b[j - 1]);

			best = dv_min(best, up[j] + 1);
			best = dv_min(best, row[j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				best = dv_min(best, up2[j - 2] + 1);
			row[j] = (unsigned char)best;
		}
	}
	return rows[la % 3][lb];
}

const char *dv_did_you_mean(const char *word,
			    const char *(*name_at)(const void *table, size_t n),
			    const void *table)
{
	size_t len = strlen(word);
	size_t best = len <= 4 ? 2 : 3; /* what is further away is a guess */
	const char *found = NULL, *name;

	for (size_t n = 0; (name = name_at(table, n)); n++) {
		size_t d = distance(word, name);

		/* "env-f" is far from "env-file", but a start of it. */
		if (len >= 2 && !strncmp(word, name, len))
			d = 1;
		if (d < best) {
			best = d;
			found = name;
		}
	}
	return found;
}
