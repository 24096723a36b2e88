/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <json-c/json.h>
#include <signal.h>
#include <string.h>

#include "base/def.h"
#include "base/test.h"
#include "runtime/store/priv.h"

static char *argv[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c",
			(char *)(uintptr_t) "echo \"\t\x01\xc3\xa4\"",
			(char *)(uintptr_t) "", NULL };
static char *labels[] = { (char *)(uintptr_t) "app=web=1",
			  (char *)(uintptr_t) "empty=", NULL };

/* Every member has a value of its own. */
static struct dv_sandbox_info full(void)
{
	struct dv_sandbox_info info = {
		.size = sizeof(info),
		.id = "0123456789abcdef",
		.name = "web-1",
		.state = DV_STATE_PAUSED,
		.boundary = DV_IN_CONTAINER,
		.keeper_pid = 11,
		.init_pid = 12,
		.pid = 13,
		.created_unix_ns = 1700000000123456789,
		.started_unix_ns = 1700000001000000000,
		.ended_unix_ns = 1700000002000000001,
		.argv = argv,
		.labels = labels,
		.describe = (char *)(uintptr_t) "user, mount",
		.missing = (char *)(uintptr_t) "a\nb\n",
		.cgroup = (char *)(uintptr_t) "/sys/fs/cgroup/x",
		.log = (char *)(uintptr_t) "/var/log",
		.version = "0.1.0",
		.detached = true,
		.remove = true,
		.terminal = true,
		.input = true,
		.limits = { UINT64_MAX - 1, 1500, 100, 10000 },
		.restart = DV_RESTART_ON_FAILURE,
		.restart_max = 5,
		.restarts = 2,
		.health = DV_HEALTH_BAD,
		.stop_timeout_ms = 4000,
		.has_exit = true,
	};

	info.exit = (struct dv_exit){
		.size = sizeof(info.exit),
		.code = 137,
		.signal = SIGKILL,
		.ended_by = DV_ENDED_OOM,
		.core = true,
		.oom = true,
		.timed_out = true,
		.pids_limited = true,
		.pids_refused = 7,
		.started_unix_ns = 1700000001000000002,
		.exited_unix_ns = 1700000002000000003,
		.wall_ns = UINT64_C(1) << 60,
		.user_us = 21,
		.system_us = 22,
		.max_rss_kib = 23,
		.minor_faults = 24,
		.major_faults = 25,
		.voluntary_cs = 26,
		.involuntary_cs = 27,
	};
	return info;
}

static void same_words(char **a, char **b)
{
	size_t i;

	for (i = 0; a[i]; i++)
		CHECK_STR(a[i], b[i]);
	CHECK(b[i] == NULL);
}

/* All but pointers are compared as they are. */
static void same(const struct dv_sandbox_info *a,
		 const struct dv_sandbox_info *b)
{
	CHECK_STR(a->id, b->id);
	CHECK_STR(a->name, b->name);
	CHECK_STR(a->version, b->version);
	CHECK_EQ(a->state, b->state);
	CHECK_EQ(a->boundary, b->boundary);
	CHECK_EQ(a->keeper_pid, b->keeper_pid);
	CHECK_EQ(a->init_pid, b->init_pid);
	CHECK_EQ(a->pid, b->pid);
	CHECK_EQ(a->created_unix_ns, b->created_unix_ns);
	CHECK_EQ(a->started_unix_ns, b->started_unix_ns);
	CHECK_EQ(a->ended_unix_ns, b->ended_unix_ns);
	same_words(a->argv, b->argv);
	same_words(a->labels, b->labels);
	CHECK_STR(a->describe, b->describe);
	CHECK_STR(a->missing, b->missing);
	CHECK_STR(a->cgroup, b->cgroup);
	CHECK_STR(a->log, b->log);
	CHECK_EQ(a->detached, b->detached);
	CHECK_EQ(a->remove, b->remove);
	CHECK_EQ(a->terminal, b->terminal);
	CHECK_EQ(a->input, b->input);
	CHECK_EQ(a->limits.memory, b->limits.memory);
	CHECK_EQ(a->limits.milli_cpus, b->limits.milli_cpus);
	CHECK_EQ(a->limits.pids, b->limits.pids);
	CHECK_EQ(a->limits.io_weight, b->limits.io_weight);
	CHECK_EQ(a->restart, b->restart);
	CHECK_EQ(a->restart_max, b->restart_max);
	CHECK_EQ(a->restarts, b->restarts);
	CHECK_EQ(a->health, b->health);
	CHECK_EQ(a->stop_timeout_ms, b->stop_timeout_ms);
	CHECK_EQ(a->has_exit, b->has_exit);
}

static void same_exit(const struct dv_exit *a, const struct dv_exit *b)
{
	CHECK_EQ(a->size, b->size);
	CHECK_EQ(a->code, b->code);
	CHECK_EQ(a->signal, b->signal);
	CHECK_EQ(a->ended_by, b->ended_by);
	CHECK_EQ(a->core, b->core);
	CHECK_EQ(a->oom, b->oom);
	CHECK_EQ(a->timed_out, b->timed_out);
	CHECK_EQ(a->pids_limited, b->pids_limited);
	CHECK_EQ(a->pids_refused, b->pids_refused);
	CHECK_EQ(a->started_unix_ns, b->started_unix_ns);
	CHECK_EQ(a->exited_unix_ns, b->exited_unix_ns);
	CHECK_EQ(a->wall_ns, b->wall_ns);
	CHECK_EQ(a->user_us, b->user_us);
	CHECK_EQ(a->system_us, b->system_us);
	CHECK_EQ(a->max_rss_kib, b->max_rss_kib);
	CHECK_EQ(a->minor_faults, b->minor_faults);
	CHECK_EQ(a->major_faults, b->major_faults);
	CHECK_EQ(a->voluntary_cs, b->voluntary_cs);
	CHECK_EQ(a->involuntary_cs, b->involuntary_cs);
}

TEST(document_read_back_is_the_same)
{
	struct dv_sandbox_info in = full(), out;
	char *text = dv_sandbox_info_json(&in);

	CHECK(text != NULL);
	CHECK(strchr(text, '\n') == NULL);
	CHECK_EQ(dv_info_parse(&out, text, strlen(text), NULL), 0);
	same(&in, &out);
	same_exit(&in.exit, &out.exit);
	dv_sandbox_info_free(&out);
	dv_sandbox_info_free(&out);
	free(text);
}

TEST(document_of_nothing_is_read_back)
{
	struct dv_sandbox_info in = { .size = sizeof(in),
				      .id = "0123456789abcdef" };
	struct dv_sandbox_info out;
	char *text = dv_sandbox_info_json(&in);

	CHECK_EQ(dv_info_parse(&out, text, strlen(text), NULL), 0);
	CHECK_STR(out.name, "");
	CHECK_EQ(out.created_unix_ns, 0);
	CHECK(!out.has_exit);
	CHECK(out.argv && !out.argv[0]);
	CHECK(out.labels && !out.labels[0]);
	CHECK_STR(out.log, "");
	dv_sandbox_info_free(&out);
	free(text);
}

TEST(document_of_a_long_command_fits)
{
	struct dv_sandbox_info in = { .size = sizeof(in),
				      .id = "0123456789abcdef" };
	struct dv_sandbox_info out;
	char *words[4] = { NULL };
	char *text;

	for (int i = 0; i < 3; i++) {
		words[i] = malloc(100001);
		CHECK(words[i] != NULL);
		memset(words[i], i == 0 ? 'a' : 1, 100000);
		words[i][100000] = '\0';
		if (i == 0)
			words[i][1000] = '\0';
	}
	in.argv = in.labels = words;
	text = dv_sandbox_info_json(&in);
	CHECK(text && strlen(text) < DV_STORE_DOC_MAX);
	CHECK(strstr(text, "\"argv_cut\":true") != NULL);
	CHECK_EQ(dv_info_parse(&out, text, strlen(text), NULL), 0);
	CHECK_EQ(strlen(out.argv[0]), 1000);
	CHECK_EQ(strlen(out.argv[1]), (64 << 10) - 1000);
	CHECK(out.argv[2] == NULL);
	dv_sandbox_info_free(&out);
	free(text);
	for (int i = 0; i < 3; i++)
		free(words[i]);
}

TEST(document_cut_anywhere_is_refused)
{
	struct dv_sandbox_info in = full(), out;
	char *text = dv_sandbox_info_json(&in);
	const size_t len = strlen(text);

	for (size_t n = 0; n < len; n++) {
		struct dv_err err = DV_ERR_INIT;
		char *copy = malloc(n + 1);

		CHECK(copy != NULL);
		memcpy(copy, text, n);
		copy[n] = '\0';
		CHECK_EQ(dv_info_parse(&out, copy, n, &err), -EBADMSG);
		CHECK(err.msg[0] != '\0');
		CHECK_EQ(err.code, DV_DATA_LOSS);
		CHECK(!out.argv && !out.labels && !out.log);
		free(copy);
	}
	free(text);
}

static int parse_text(const char *text, char *why, size_t size)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_sandbox_info out;
	int r = dv_info_parse(&out, text, strlen(text), &err);

	snprintf(why, size, "%s", err.msg);
	dv_sandbox_info_free(&out);
	return r;
}

#define HEAD "{\"id\":\"0123456789abcdef\",\"state\":\"running\""

TEST(document_of_wrong_types_says_which)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "empty" },
		{ "null", "no JSON" },
		{ "[]", "no JSON object" },
		{ "{}", "no state" },
		{ "{\"state\":\"running\"}", "no id" },
		{ "{\"id\":\"0123456789abcdef\"}", "no state" },
		{ "{\"id\":1,\"state\":\"running\"}", "bad id" },
		{ "{\"id\":\"0123456789ABCDEF\",\"state\":\"dead\"}", "no id" },
		{ "{\"id\":\"0123456789abcdef0\",\"state\":\"dead\"}",
		  "bad id" },
		{ "{\"id\":\"0123456789abcde\\u0000\",\"state\":\"dead\"}",
		  "bad id" },
		{ "{\"id\":\"0123456789abcdef\",\"state\":\"asleep\"}",
		  "bad state" },
		{ "{\"id\":\"0123456789abcdef\",\"state\":null}", "bad state" },
		{ HEAD ",\"name\":\"../x\"}", "bad name" },
		{ HEAD ",\"name\":7}", "bad name" },
		{ HEAD ",\"boundary\":\"moon\"}", "bad boundary" },
		{ HEAD ",\"pid\":\"7\"}", "bad pid" },
		{ HEAD ",\"pid\":2147483648}", "bad pid" },
		{ HEAD ",\"pid\":1.5}", "bad pid" },
		{ HEAD ",\"created\":7}", "bad created" },
		{ HEAD ",\"created\":\"yesterday\"}", "bad created" },
		{ HEAD ",\"argv\":{}}", "bad argv" },
		{ HEAD ",\"argv\":[1]}", "bad argv" },
		{ HEAD ",\"argv\":[\"a\",null]}", "bad argv" },
		{ HEAD ",\"labels\":[\"a=b\"]}", "bad labels" },
		{ HEAD ",\"labels\":{\"a\":1}}", "bad labels" },
		{ HEAD ",\"log\":[]}", "bad log" },
		{ HEAD ",\"log\":null}", "bad log" },
		{ HEAD ",\"detached\":1}", "bad detached" },
		{ HEAD ",\"limits\":[]}", "bad limits" },
		{ HEAD ",\"limits\":{\"memory\":-1}}", "bad memory" },
		{ HEAD ",\"limits\":{\"memory\":\"18446744073709551616\"}}",
		  "bad memory" },
		{ HEAD ",\"limits\":{\"pids\":4294967296}}", "bad pids" },
		{ HEAD ",\"restart\":{\"policy\":\"maybe\"}}", "bad policy" },
		{ HEAD ",\"restart\":{\"count\":true}}", "bad count" },
		{ HEAD ",\"health\":\"fine\"}", "bad health" },
		{ HEAD ",\"stop_timeout_ms\":null}", "bad stop_timeout_ms" },
		{ HEAD ",\"exit\":7}", "bad exit" },
		{ HEAD ",\"exit\":{\"signal\":\"SIGNOT\"}}", "bad signal" },
		{ HEAD ",\"exit\":{\"signal\":9}}", "bad signal" },
		{ HEAD ",\"exit\":{\"ended_by\":\"me\"}}", "bad ended_by" },
		{ HEAD ",\"exit\":{\"limits_hit\":[0]}}", "bad limits_hit" },
		{ HEAD ",\"exit\":{\"rusage\":[]}}", "bad rusage" },
		{ HEAD ",\"exit\":{\"rusage\":{\"user_us\":\"x\"}}}",
		  "bad user_us" },
		{ HEAD "} x", "no JSON" },
		{ HEAD ",}", "no JSON" },
		{ HEAD ",\"x\":[[[[[[[[[[1]]]]]]]]]]}", "no JSON" },
		{ HEAD ",\"x\":\"\xff\"}", "no JSON" },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		char why[400];
		int r = parse_text(bad[i].text, why, sizeof(why));

		if (r != -EBADMSG || !strstr(why, bad[i].why))
			print_error("%s: %s\n", bad[i].text, why);
		CHECK_EQ(r, -EBADMSG);
		CHECK(strstr(why, bad[i].why) != NULL);
	}
}

TEST(document_of_an_older_keeper_does_not_know_the_grace)
{
	struct dv_sandbox_info in = { .size = sizeof(in),
				      .id = "0123456789abcdef",
				      .stop_timeout_ms = -1 };
	struct dv_sandbox_info out;
	char *text = dv_sandbox_info_json(&in);

	CHECK(strstr(text, "stop_timeout_ms") == NULL);
	CHECK_EQ(dv_info_parse(&out, text, strlen(text), NULL), 0);
	CHECK_EQ(out.stop_timeout_ms, -1);
	dv_sandbox_info_free(&out);
	free(text);
}

TEST(document_with_what_is_not_known_is_read)
{
	char why[400];

	CHECK_EQ(parse_text(HEAD "}", why, sizeof(why)), 0);
	CHECK_EQ(parse_text(HEAD ",\"new\":[{\"a\":null}],\"exit\":null}", why,
			    sizeof(why)),
		 0);
	CHECK_EQ(parse_text(HEAD "}\n", why, sizeof(why)), 0);
	/* The last of two counts. */
	CHECK_EQ(parse_text(HEAD ",\"log\":\"a\",\"log\":\"b\"}", why,
			    sizeof(why)),
		 0);
}

TEST(document_with_a_nul_or_too_large_is_refused)
{
	static char text[DV_STORE_DOC_MAX + 2];
	struct dv_sandbox_info out;

	memset(text, ' ', sizeof(text));
	CHECK_EQ(dv_info_parse(&out, text, DV_STORE_DOC_MAX + 1, NULL),
		 -EBADMSG);
	memcpy(text, HEAD "}", strlen(HEAD "}"));
	text[strlen(HEAD "}")] = '\0';
	CHECK_EQ(dv_info_parse(&out, text, strlen(HEAD "}") + 1, NULL),
		 -EBADMSG);
}

TEST(time_read_back_is_the_same)
{
	static const uint64_t times[] = { 1, 999999999, 1000000000,
					  1700000000123456789,
					  4102444800000000000 };
	static const char *const bad[] = {
		"",
		"2024",
		"2024-01-01",
		"2024-13-01T00:00:00.000000000Z",
		"2024-01-01T24:00:00.000000000Z",
		"2024-01-01T00:00:00Z",
		"2024-01-01T00:00:00.00000000Z",
		"2024-01-01T00:00:00.000000000",
		"2024-01-01T00:00:00.000000000Zx",
		"1969-12-31T23:59:59.000000000Z",
		"9999-12-31T23:59:59.000000000Z",
	};
	uint64_t ns;

	for (size_t i = 0; i < DV_ARRAY_LEN(times); i++) {
		dv_autobuf b = DV_BUF_INIT(100);
		struct dv_json j = DV_JSON_INIT(&b);

		dv_json_time(&j, NULL, times[i]);
		b.data[b.len - 1] = '\0';
		CHECK_EQ(dv_time_parse(b.data + 1, &ns), 0);
		CHECK_EQ(ns, times[i]);
	}
	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++)
		CHECK_EQ(dv_time_parse(bad[i], &ns), -EINVAL);
}

TEST(state_names_are_as_documented)
{
	CHECK_STR(dv_state_name(DV_STATE_CREATING), "creating");
	CHECK_STR(dv_state_name(DV_STATE_RUNNING), "running");
	CHECK_STR(dv_state_name(DV_STATE_PAUSED), "paused");
	CHECK_STR(dv_state_name(DV_STATE_STOPPING), "stopping");
	CHECK_STR(dv_state_name(DV_STATE_EXITED), "exited");
	CHECK_STR(dv_state_name(DV_STATE_DEAD), "dead");
	CHECK_STR(dv_state_name((enum dv_state)77), "unknown");
}
