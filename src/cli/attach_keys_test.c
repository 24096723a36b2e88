/* SPDX-License-Identifier: MIT */
#include "cli/attach_keys.h"

#include <string.h>

#include "base/test.h"

TEST(keys_are_parsed_or_refused)
{
	static const char *const bad[] = { "ctrl-", "ctrl-P",  "ctrl-pp",
					   "pq",    "ctrl-p,", "ctrl-1" };
	struct attach_keys k;

	CHECK_EQ(attach_keys_parse(&k, "ctrl-p,ctrl-q", NULL), 0);
	CHECK_EQ(k.n, 2);
	CHECK_EQ(k.key[0], 16);
	CHECK_EQ(k.key[1], 17);
	CHECK_EQ(attach_keys_parse(&k, "ctrl-@,ctrl-[,~,.", NULL), 0);
	CHECK_EQ(k.n, 4);
	CHECK_EQ(k.key[0], 0);
	CHECK_EQ(k.key[1], 27);
	CHECK_EQ(attach_keys_parse(&k, "", NULL), 0);
	CHECK_EQ(k.n, 0);
	CHECK_EQ(attach_keys_parse(&k, "1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6", NULL),
		 0);
	CHECK_EQ(k.n, ATTACH_KEYS_MAX);
	CHECK_EQ(attach_keys_parse(&k, "1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7",
				   NULL),
		 -22);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_EQ(attach_keys_parse(&k, bad[i], NULL), -22);
}

/* Feed @typed in pieces of @step bytes; what arrives is in @out. */
static bool feed(const char *keys, const char *typed, size_t step, char *out)
{
	struct attach_keys k;
	size_t n = strlen(typed), have = 0;
	char buf[128];

	CHECK_EQ(attach_keys_parse(&k, keys, NULL), 0);
	for (size_t i = 0; i < n; i += step) {
		size_t len = n - i < step ? n - i : step;
		char *at = buf + ATTACH_KEYS_MAX;

		memcpy(at, typed + i, len);
		at = attach_keys_find(&k, at, &len);
		memcpy(out + have, at, len);
		have += len;
	}
	out[have] = '\0';
	return k.found;
}

TEST(keys_are_found_in_pieces_of_any_size)
{
	static const struct {
		const char *keys, *typed, *out;
		bool found;
	} rows[] = {
		{ "a,b", "xxabyy", "xx", true },
		{ "a,b", "xxaxby", "xxaxby", false },
		{ "a,b", "aab", "a", true },
		{ "a,a,b", "aaaab", "aa", true },
		{ "a,b,a,c", "ababac", "ab", true },
		{ "a,b", "", "", false },
		{ "a,b", "ab", "", true },
		{ "", "abc", "abc", false },
		{ "a", "bab", "b", true },
		/* Held back: nobody knows what comes. */
		{ "a,b", "xa", "x", false },
	};
	char out[128];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t step = 1; step < 8; step++) {
			CHECK_EQ(feed(rows[i].keys, rows[i].typed, step, out),
				 rows[i].found);
			CHECK_EQ(strcmp(out, rows[i].out), 0);
		}
}
