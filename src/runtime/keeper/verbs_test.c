/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/test.h"
#include "runtime/keeper/keeper.h"

/* The table of docs/keeper.md, written out. */
static const struct {
	enum dv_verb_id verb;
	enum dv_state state;
	int r;
	const char *text, *hint; /* a part of each */
} cases[] = {
/* clang-format off */
#define YES(verb, state) { DV_VERB_##verb, DV_STATE_##state, 0, "", "" }
#define NO(verb, state, r, text, hint) \
	{ DV_VERB_##verb, DV_STATE_##state, r, text, hint }
#define BEGINS(verb) NO(verb, CREATING, -EBUSY, "has not begun", "try again")
#define STOPS(verb) NO(verb, STOPPING, -EBUSY, "is stopping", "davit wait web")
#define ENDED(verb) \
	NO(verb, EXITED, -ESRCH, "has ended", "davit restart web"), \
	NO(verb, DEAD, -ESRCH, "is dead", "davit restart web")
	YES(ATTACH, CREATING), YES(ATTACH, RUNNING), YES(ATTACH, PAUSED),
	YES(ATTACH, STOPPING), YES(ATTACH, EXITED), YES(ATTACH, DEAD),

	BEGINS(EXEC), YES(EXEC, RUNNING),
	NO(EXEC, PAUSED, -EBUSY, "is paused", "davit resume web"),
	STOPS(EXEC), ENDED(EXEC),

	BEGINS(TOP), YES(TOP, RUNNING), YES(TOP, PAUSED),
	YES(TOP, STOPPING), ENDED(TOP),

	BEGINS(INPUT), YES(INPUT, RUNNING), YES(INPUT, PAUSED),
	STOPS(INPUT), ENDED(INPUT),

	BEGINS(KILL), YES(KILL, RUNNING), YES(KILL, PAUSED),
	YES(KILL, STOPPING), ENDED(KILL),

	BEGINS(PAUSE), YES(PAUSE, RUNNING),
	NO(PAUSE, PAUSED, -EBUSY, "is paused already", "davit resume web"),
	STOPS(PAUSE), ENDED(PAUSE),

	BEGINS(RESUME),
	NO(RESUME, RUNNING, -EBUSY, "is not paused", "davit pause web"),
	YES(RESUME, PAUSED), STOPS(RESUME), ENDED(RESUME),

	YES(RENAME, CREATING), YES(RENAME, RUNNING), YES(RENAME, PAUSED),
	YES(RENAME, STOPPING), YES(RENAME, EXITED), YES(RENAME, DEAD),

	YES(RESTART, CREATING), YES(RESTART, RUNNING), YES(RESTART, PAUSED),
	STOPS(RESTART), YES(RESTART, EXITED), YES(RESTART, DEAD),

	NO(REMOVE, CREATING, -EBUSY, "lives", "davit rm -f web"),
	NO(REMOVE, RUNNING, -EBUSY, "lives", "davit rm -f web"),
	NO(REMOVE, PAUSED, -EBUSY, "is paused", "davit rm -f web"),
	NO(REMOVE, STOPPING, -EBUSY, "is stopping", "davit rm -f web"),
	YES(REMOVE, EXITED), YES(REMOVE, DEAD),

	YES(STOP, CREATING), YES(STOP, RUNNING), YES(STOP, PAUSED),
	YES(STOP, STOPPING), YES(STOP, EXITED), YES(STOP, DEAD),

	BEGINS(UPDATE), YES(UPDATE, RUNNING), YES(UPDATE, PAUSED),
	STOPS(UPDATE), ENDED(UPDATE),

	BEGINS(UPGRADE), YES(UPGRADE, RUNNING), YES(UPGRADE, PAUSED),
	STOPS(UPGRADE), ENDED(UPGRADE),

	YES(WAIT, CREATING), YES(WAIT, RUNNING), YES(WAIT, PAUSED),
	YES(WAIT, STOPPING), YES(WAIT, EXITED), YES(WAIT, DEAD),
	/* clang-format on */
};

TEST(every_verb_in_every_state_is_as_documented)
{
	bool seen[DV_VERB_N][DV_STATE_N] = { { false } };

	static_assert(DV_ARRAY_LEN(cases) == DV_VERB_N * DV_STATE_N, "all");
	for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++) {
		struct dv_err err = DV_ERR_INIT;
		int r = dv_verb_allowed(cases[i].verb, cases[i].state, "web",
					&err);

		if (r != cases[i].r)
			print_error("case %zu: %s\n", i, err.msg);
		CHECK_EQ(r, cases[i].r);
		CHECK(strstr(err.msg, cases[i].text) != NULL);
		CHECK(strstr(err.hint, cases[i].hint) != NULL);
		CHECK_EQ(err.code, r ? DV_PRECONDITION : DV_OK);
		CHECK(!seen[cases[i].verb][cases[i].state]);
		seen[cases[i].verb][cases[i].state] = true;
	}
}

/* The same table again, as people read it. */
TEST(the_documented_table_says_the_same)
{
	static const struct {
		const char *verb;
		enum dv_verb_id id;
	} rows[] = {
		{ "attach, logs", DV_VERB_ATTACH },
		{ "exec", DV_VERB_EXEC },
		{ "input", DV_VERB_INPUT },
		{ "kill", DV_VERB_KILL },
		{ "pause", DV_VERB_PAUSE },
		{ "resume", DV_VERB_RESUME },
		{ "rename", DV_VERB_RENAME },
		{ "restart", DV_VERB_RESTART },
		{ "rm", DV_VERB_REMOVE },
		{ "stop", DV_VERB_STOP },
		{ "top", DV_VERB_TOP },
		{ "update", DV_VERB_UPDATE },
		{ "upgrade", DV_VERB_UPGRADE },
		{ "wait", DV_VERB_WAIT },
	};
	const char *src = getenv("SRC");
	dv_autofree char *text = NULL;
	char path[400];
	size_t len;

	if (!src)
		SKIP("SRC is not set");
	snprintf(path, sizeof(path), "%s/docs/keeper.md", src);
	CHECK_EQ(dv_read_file(AT_FDCWD, path, 1 << 20, &text, &len), 0);
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		char row[64];
		char *p;

		snprintf(row, sizeof(row), "\n| %s |", rows[i].verb);
		p = strstr(text, row);
		CHECK(p != NULL);
		p += strlen(row);
		for (int state = 0; state < DV_STATE_N; state++) {
			const bool no = !strncmp(p, " no", 3) ||
					!strncmp(p, " it ", 4) ||
					!strncmp(p, " `-f`", 5);

			CHECK_EQ(dv_verb_allowed(rows[i].id,
						 (enum dv_state)state, "web",
						 NULL) == 0,
				 !no);
			p = strchr(p, '|') + 1;
		}
	}
}
