/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/def.h"
#include "base/test.h"
#include "runtime/plan/subid.h"

TEST(subid_find_takes_the_first_line_of_the_user)
{
	static const struct {
		const char *text, *name;
		bool found;
		uint32_t start, count;
	} rows[] = {
		{ "", "ann", false, 0, 0 },
		{ "ann:100000:65536\n", "ann", true, 100000, 65536 },
		{ "1000:7:9", "ann", true, 7, 9 },
		{ "bob:1:2\nann:3:4\nann:5:6\n", "ann", true, 3, 4 },
		{ "ann:3:4\n", "", false, 0, 0 },
		{ ":3:4\n", "", false, 0, 0 },
		{ "ann:3\n", "ann", false, 0, 0 },
		{ "ann:0:4\n", "ann", false, 0, 0 },
		{ "ann:3:0\n", "ann", false, 0, 0 },
		{ "ann:x:4\nann:3:4\n", "ann", true, 3, 4 },
		{ "ann:4294967295:1\n", "ann", false, 0, 0 },
		{ "ann:4294967290:100\n", "ann", false, 0, 0 },
		{ "ann:3:4:5\n", "ann", false, 0, 0 },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		uint32_t start = 0, count = 0;

		CHECK_EQ(dv_subid_find(rows[i].text, rows[i].name, 1000, &start,
				       &count),
			 rows[i].found);
		CHECK_EQ(start, rows[i].start);
		CHECK_EQ(count, rows[i].count);
	}
}

TEST(subid_find_any_truncation_gives_no_other_line)
{
	static const char text[] = "bob:1:2\nann:100:200\n";
	char cut[sizeof(text)];
	uint32_t start, count;

	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		memcpy(cut, text, n);
		cut[n] = '\0';
		if (dv_subid_find(cut, "ann", 1000, &start, &count))
			CHECK_EQ(start, 100);
	}
}
