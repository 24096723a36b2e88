/* SPDX-License-Identifier: MIT */
#include "base/near.h"

#include <stddef.h>

#include "base/def.h"
#include "base/test.h"

static const char *const names[] = { "top",  "logs",    "exec",
				     "stop", "inspect", "env-file" };

static const char *name_at(const void *table, size_t n)
{
	(void)table;
	return n < DV_ARRAY_LEN(names) ? names[n] : NULL;
}

TEST(near_a_typing_error_is_told_from_another_word)
{
	static const struct {
		const char *word, *meant; /* NULL: nothing of these */
	} t[] = {
		{ "tpo", "top" },       { "lgos", "logs" },
		{ "exe", "exec" },      { "exce", "exec" },
		{ "stpo", "stop" },     { "inspct", "inspect" },
		{ "ispct", "inspect" }, { "env-f", "env-file" },
		{ "nope", NULL },       { "help", NULL },
		{ "lost", NULL },       { "x", NULL },
		{ "", NULL },           { "nothing", NULL },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(t); i++) {
		const char *got = dv_did_you_mean(t[i].word, name_at, NULL);

		if (t[i].meant)
			assert_string_equal(got ? got : "nothing", t[i].meant);
		else if (got)
			fail_msg("%s: %s", t[i].word, got);
	}
}
