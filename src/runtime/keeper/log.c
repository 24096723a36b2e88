/* SPDX-License-Identifier: MIT */
/* What a keeper could not do goes to its directory; see store/keeper_log.c. */
#include "base/def.h"
#include "runtime/keeper/keeper.h"

static void on_line(struct dv_log_sink *sink, enum dv_level level,
		    const char *line)
{
	struct dv_keeper *k = dv_container_of(sink, struct dv_keeper, sink);

	if (k->dirs.statefd >= 0)
		dv_store_log(k->dirs.statefd, level, line);
}

void dv_keeper_log_init(struct dv_keeper *k)
{
	k->sink = (struct dv_log_sink){ DV_LOG_WARN, on_line };
	k->log = &k->sink;
}
