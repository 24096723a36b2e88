/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include <string.h>

#include "base/def.h"
#include "base/test.h"

TEST(utf8_is_told_from_what_only_looks_like_it)
{
	static const struct {
		const char *text;
		bool ok;
	} t[] = {
		{ "", true },
		{ "plain", true },
		{ "\xc3\xa4", true },
		{ "\xe2\x82\xac", true },
		{ "\xf0\x9f\x98\x80", true },
		{ "\xf4\x8f\xbf\xbf", true },
		{ "\xee\x80\x80", true },
		{ "\xc3", false },
		{ "\xe2\x82", false },
		{ "\x80", false },
		{ "\xc0\xaf", false },
		{ "\xc1\xbf", false },
		{ "\xe0\x9f\xbf", false },
		{ "\xed\xa0\x80", false },
		{ "\xf0\x8f\xbf\xbf", false },
		{ "\xf4\x90\x80\x80", false },
		{ "\xf5\x80\x80\x80", false },
		{ "\xff", false },
		{ "a\xc3z", false },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(t); i++)
		CHECK_EQ(dv_utf8_ok(t[i].text, strlen(t[i].text)), t[i].ok);
}
