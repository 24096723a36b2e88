/* SPDX-License-Identifier: MIT */
/*
 * DOC: what may be done in which state.
 *
 * The table of docs/keeper.md: a row for each verb, a letter for each state.
 *
 *	y	yes
 *	-	nothing to do it to: it has ended
 *	c	not yet: it has not begun
 *	p	not while it is paused
 *	P	it is paused already
 *	R	it is not paused
 *	s	not while it is stopping
 *	f	only with force, that is after it was killed
 *	a	at once: it has ended, and the records tell
 *
 * y and a are allowed.
 */
#include "runtime/keeper/keeper.h"

#include <errno.h>

#include "base/def.h"

static const struct {
	const char *name;
	const char *in; /* creating running paused stopping exited dead */
} table[] = {
	[DV_VERB_ATTACH] = { "attach to", "yyyyaa" },
	[DV_VERB_EXEC] = { "exec in", "cyps--" },
	[DV_VERB_INPUT] = { "write to", "cyys--" },
	[DV_VERB_KILL] = { "kill", "cyyy--" },
	[DV_VERB_PAUSE] = { "pause", "cyPs--" },
	[DV_VERB_REMOVE] = { "remove", "ffffyy" },
	[DV_VERB_RENAME] = { "rename", "yyyyyy" },
	[DV_VERB_RESTART] = { "restart", "yyysyy" },
	[DV_VERB_RESUME] = { "resume", "cRys--" },
	[DV_VERB_STOP] = { "stop", "yyyyaa" },
	[DV_VERB_TOP] = { "look at the processes of", "cyyy--" },
	[DV_VERB_UPDATE] = { "update", "cyys--" },
	[DV_VERB_UPGRADE] = { "upgrade", "cyys--" },
	[DV_VERB_WAIT] = { "wait for", "yyyyaa" },
};
static_assert(DV_ARRAY_LEN(table) == DV_VERB_N, "a row for each verb");

static int refuse(enum dv_verb_id verb, int sys, const char *who,
		  const char *why, struct dv_err *err)
{
	return dv_err_set(err, sys, DV_PRECONDITION, "cannot %s %.80s: it %s",
			  table[verb].name, who, why);
}

int dv_verb_allowed(enum dv_verb_id verb, enum dv_state state, const char *who,
		    struct dv_err *err)
{
	dv_assert(verb < DV_VERB_N && state < DV_STATE_N);
	switch (table[verb].in[state]) {
	case 'y':
	case 'a':
		return 0;
	case 'c':
		dv_err_hint(err, "its command is about to be executed: try "
				 "again");
		return refuse(verb, EBUSY, who, "has not begun", err);
	case 'p':
		dv_err_hint(err, "davit resume %.60s", who);
		return refuse(verb, EBUSY, who, "is paused", err);
	case 'P':
		dv_err_hint(err, "davit resume %.60s lets it go on", who);
		return refuse(verb, EBUSY, who, "is paused already", err);
	case 'R':
		dv_err_hint(err, "davit pause %.60s holds it", who);
		return refuse(verb, EBUSY, who, "is not paused", err);
	case 's':
		dv_err_hint(err, "davit wait %.60s tells when it has ended",
			    who);
		return refuse(verb, EBUSY, who, "is stopping", err);
	case 'f':
		dv_err_hint(err, "davit stop %.40s, or davit rm -f %.40s", who,
			    who);
		return refuse(verb, EBUSY, who,
			      state == DV_STATE_STOPPING ? "is stopping"
			      : state == DV_STATE_PAUSED ? "is paused"
							 : "lives",
			      err);
	default:
		dv_err_hint(err, "davit restart %.50s starts it anew", who);
		return refuse(verb, ESRCH, who,
			      state == DV_STATE_DEAD ? "is dead" : "has ended",
			      err);
	}
}
