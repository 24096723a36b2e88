/* SPDX-License-Identifier: MIT */
#include "base/test.h"

#include <json.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "davit/run.h"

TEST(json_of_a_full_record_is_just_this)
{
	struct dv_exit e = {
		.size = sizeof(e),
		.code = 137,
		.signal = SIGKILL,
		.ended_by = DV_ENDED_OOM,
		.core = true,
		.oom = true,
		.timed_out = true,
		.pids_limited = true,
		.pids_refused = 12,
		.started_unix_ns = UINT64_C(1700000000000000001),
		.exited_unix_ns = UINT64_C(1700000001500000000),
		.wall_ns = 1499999999,
		.user_us = 1,
		.system_us = 2,
		.max_rss_kib = 3,
		.minor_faults = 4,
		.major_faults = 5,
		.voluntary_cs = 6,
		.involuntary_cs = 7,
	};
	char *text = dv_exit_json(&e, "0123456789abcdef");

	CHECK_STR(text,
		  "{\"schema_version\":1,\"id\":\"0123456789abcdef\","
		  "\"code\":137,\"signal\":\"SIGKILL\",\"core\":true,"
		  "\"oom\":true,\"timed_out\":true,\"ended_by\":\"oom\","
		  "\"limits_hit\":[\"memory\",\"pids\"],\"pids_refused\":12,"
		  "\"started\":\"2023-11-14T22:13:20.000000001Z\","
		  "\"exited\":\"2023-11-14T22:13:21.500000000Z\","
		  "\"wall_ns\":1499999999,\"rusage\":{\"user_us\":1,"
		  "\"system_us\":2,\"max_rss_kib\":3,\"minor_faults\":4,"
		  "\"major_faults\":5,\"voluntary_cs\":6,"
		  "\"involuntary_cs\":7}}");
	free(text);
}

TEST(json_is_read_by_others_whatever_the_record)
{
	for (int i = 0; i < 64; i++) {
		struct dv_exit e = { .size = sizeof(e) };
		struct json_object *doc;

		memset(&e.code, i * 5, sizeof(e) - sizeof(e.size));
		e.core = e.oom = e.timed_out = e.pids_limited = i & 1;
		char *text = dv_exit_json(&e, i & 2 ? "a\"\\\n\xff" : NULL);

		CHECK(text != NULL);
		CHECK(strchr(text, '\n') == NULL);
		doc = json_tokener_parse(text);
		CHECK(doc != NULL);
		json_object_put(doc);
		free(text);
	}
}

TEST(ended_by_has_a_name_for_every_number)
{
	static const char *const names[] = { "exit", "signal", "timeout",
					     "oom",  "stop",   "keeper" };

	for (uint32_t i = 0; i < DV_ENDED_N; i++)
		CHECK_STR(dv_ended_by_name(i), names[i]);
	CHECK_STR(dv_ended_by_name(DV_ENDED_N), "unknown");
	CHECK_STR(dv_ended_by_name(UINT32_MAX), "unknown");
}
