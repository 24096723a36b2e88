/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/json.h"
#include "base/num.h"
#include "davit/run.h"
#include "runtime/store/priv.h"

static const char *const ended_names[] = {
	[DV_ENDED_EXIT] = "exit",       [DV_ENDED_SIGNAL] = "signal",
	[DV_ENDED_TIMEOUT] = "timeout", [DV_ENDED_OOM] = "oom",
	[DV_ENDED_STOP] = "stop",       [DV_ENDED_KEEPER] = "keeper",
};
static_assert(DV_ARRAY_LEN(ended_names) == DV_ENDED_N, "one name each");

const char *dv_ended_by_name(uint32_t ended_by)
{
	return ended_by < DV_ENDED_N ? ended_names[ended_by] : "unknown";
}

static void put_usage(struct dv_json *j, const struct dv_exit *e)
{
	dv_json_open(j, "rusage", '{');
	dv_json_u64(j, "user_us", e->user_us);
	dv_json_u64(j, "system_us", e->system_us);
	dv_json_u64(j, "max_rss_kib", e->max_rss_kib);
	dv_json_u64(j, "minor_faults", e->minor_faults);
	dv_json_u64(j, "major_faults", e->major_faults);
	dv_json_u64(j, "voluntary_cs", e->voluntary_cs);
	dv_json_u64(j, "involuntary_cs", e->involuntary_cs);
	dv_json_close(j, '}');
}

void dv_exit_members(struct dv_json *j, const struct dv_exit *e)
{
	dv_json_i64(j, "code", e->code);
	if (e->signal)
		dv_json_str(j, "signal", dv_signal_name(e->signal));
	else
		dv_json_null(j, "signal");
	dv_json_bool(j, "core", e->core);
	dv_json_bool(j, "oom", e->oom);
	dv_json_bool(j, "timed_out", e->timed_out);
	dv_json_str(j, "ended_by", dv_ended_by_name(e->ended_by));
	dv_json_open(j, "limits_hit", '[');
	if (e->oom)
		dv_json_str(j, NULL, "memory");
	if (e->pids_limited)
		dv_json_str(j, NULL, "pids");
	dv_json_close(j, ']');
	dv_json_u64(j, "pids_refused", e->pids_refused);
	dv_json_time(j, "started", e->started_unix_ns);
	dv_json_time(j, "exited", e->exited_unix_ns);
	dv_json_u64(j, "wall_ns", e->wall_ns);
	put_usage(j, e);
}

char *dv_exit_json(const struct dv_exit *e, const char *id)
{
	dv_autobuf text = DV_BUF_INIT(4096);
	struct dv_json j = DV_JSON_INIT(&text);

	dv_json_open(&j, NULL, '{');
	dv_json_u64(&j, "schema_version", 1);
	if (id)
		dv_json_str(&j, "id", id);
	dv_exit_members(&j, e);
	dv_json_close(&j, '}');
	return dv_buf_take(&text);
}
