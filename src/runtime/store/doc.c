/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "runtime/store/names.h"
#include "runtime/store/priv.h"

enum {
	/* What a document has of a long command line or many labels; the
	 * escapes of JSON make it six times as long at most. */
	WORDS_MAX = 64 << 10,
};

static_assert(DV_STORE_DOC_MAX > 2 * 6 * WORDS_MAX, "words always fit");

const char *const dv_state_names[] = {
	[DV_STATE_CREATING] = "creating", [DV_STATE_RUNNING] = "running",
	[DV_STATE_PAUSED] = "paused",     [DV_STATE_STOPPING] = "stopping",
	[DV_STATE_EXITED] = "exited",     [DV_STATE_DEAD] = "dead",
};
static_assert(DV_ARRAY_LEN(dv_state_names) == DV_STATE_N, "a name each");

const char *const dv_boundary_names[] = {
	[DV_IN_PROCESS] = "process",
	[DV_IN_CONTAINER] = "container",
};
static_assert(DV_ARRAY_LEN(dv_boundary_names) == DV_IN_BOUNDARY_N,
	      "a name each");

const char *const dv_restart_names[] = {
	[DV_RESTART_NO] = "no",
	[DV_RESTART_ON_FAILURE] = "on-failure",
	[DV_RESTART_ALWAYS] = "always",
};
static_assert(DV_ARRAY_LEN(dv_restart_names) == DV_RESTART_N, "a name each");

const char *const dv_health_names[] = {
	[DV_HEALTH_NONE] = "none",
	[DV_HEALTH_STARTING] = "starting",
	[DV_HEALTH_GOOD] = "good",
	[DV_HEALTH_BAD] = "bad",
};
static_assert(DV_ARRAY_LEN(dv_health_names) == DV_HEALTH_N, "a name each");

/* From a peer or a file these could be anything. */
static const char *name_of(const char *const *names, size_t n, uint32_t at)
{
	return at < n ? names[at] : "unknown";
}
#define NAME_OF(names, at) name_of(names, DV_ARRAY_LEN(names), (uint32_t)(at))

const char *dv_state_name(enum dv_state state)
{
	return NAME_OF(dv_state_names, state);
}

static void free_words(char ***wordsp)
{
	for (char **w = *wordsp; w && *w; w++)
		free(*w);
	free(*wordsp);
	*wordsp = NULL;
}

void dv_sandbox_info_free(struct dv_sandbox_info *info)
{
	char **const texts[] = { &info->describe, &info->missing, &info->cgroup,
				 &info->log };

	free_words(&info->argv);
	free_words(&info->labels);
	for (size_t i = 0; i < DV_ARRAY_LEN(texts); i++) {
		free(*texts[i]);
		*texts[i] = NULL;
	}
}

/* How much of @word still fits; what does not is cut, between characters. */
static size_t take(size_t *leftp, const char *word)
{
	size_t n = strnlen(word, *leftp);
	const bool cut = word[n] != '\0';

	while (cut && n > 0 && ((unsigned char)word[n] & 0xc0) == 0x80)
		n--;
	*leftp = cut ? 0 : *leftp - n;
	return n;
}

static void put_argv(struct dv_json *j, char *const *argv)
{
	size_t left = WORDS_MAX, n = 0;
	bool cut = false;

	dv_json_open(j, "argv", '[');
	while (argv && argv[n] && !cut) {
		const char *word = argv[n++];
		const size_t len = take(&left, word);

		dv_json_strn(j, NULL, word, len);
		cut = word[len] != '\0' || (left == 0 && argv[n]);
	}
	dv_json_close(j, ']');
	if (cut)
		dv_json_bool(j, "argv_cut", true);
}

/* An object: whoever looks for one asks for it by its key. */
static void put_labels(struct dv_json *j, char *const *labels)
{
	size_t left = WORDS_MAX;

	dv_json_open(j, "labels", '{');
	for (size_t n = 0; labels && labels[n] && left > 0; n++) {
		const char *eq = strchrnul(labels[n], '=');
		const size_t len = (size_t)(eq - labels[n]);
		char *key;

		if (len > left)
			break;
		key = strndup(labels[n], len);
		if (!key) {
			j->out->status = -ENOMEM;
			return;
		}
		left -= len;
		if (*eq)
			eq++;
		dv_json_strn(j, key, eq, take(&left, eq));
		free(key);
	}
	dv_json_close(j, '}');
}

static void put_time(struct dv_json *j, const char *key, uint64_t ns)
{
	if (ns)
		dv_json_time(j, key, ns);
	else
		dv_json_null(j, key);
}

static void put_what(struct dv_json *j, const struct dv_sandbox_info *info)
{
	dv_json_str(j, "id", info->id);
	dv_json_str(j, "name", info->name);
	dv_json_str(j, "state", NAME_OF(dv_state_names, info->state));
	dv_json_str(j, "boundary", NAME_OF(dv_boundary_names, info->boundary));
	dv_json_i64(j, "keeper", info->keeper_pid);
	dv_json_i64(j, "init", info->init_pid);
	dv_json_i64(j, "pid", info->pid);
	put_time(j, "created", info->created_unix_ns);
	put_time(j, "started", info->started_unix_ns);
	put_time(j, "ended", info->ended_unix_ns);
	put_argv(j, info->argv);
	put_labels(j, info->labels);
}

static void put_text(struct dv_json *j, const char *key, const char *text)
{
	size_t left = WORDS_MAX / 4;

	text = text ? text : "";
	dv_json_strn(j, key, text, take(&left, text));
}

static void put_how(struct dv_json *j, const struct dv_sandbox_info *info)
{
	put_text(j, "describe", info->describe);
	put_text(j, "missing", info->missing);
	put_text(j, "cgroup", info->cgroup);
	put_text(j, "log", info->log);
	dv_json_str(j, "version", info->version);
	dv_json_bool(j, "detached", info->detached);
	dv_json_bool(j, "remove", info->remove);
	dv_json_bool(j, "terminal", info->terminal);
	dv_json_bool(j, "input", info->input);
	dv_json_open(j, "limits", '{');
	dv_json_u64(j, "memory", info->limits.memory);
	dv_json_u64(j, "milli_cpus", info->limits.milli_cpus);
	dv_json_u64(j, "pids", info->limits.pids);
	dv_json_u64(j, "io_weight", info->limits.io_weight);
	dv_json_close(j, '}');
	dv_json_open(j, "restart", '{');
	dv_json_str(j, "policy", NAME_OF(dv_restart_names, info->restart));
	dv_json_u64(j, "max", info->restart_max);
	dv_json_u64(j, "count", info->restarts);
	dv_json_close(j, '}');
	dv_json_str(j, "health", NAME_OF(dv_health_names, info->health));
	if (info->stop_timeout_ms >= 0)
		dv_json_i64(j, "stop_timeout_ms", info->stop_timeout_ms);
}

char *dv_sandbox_info_json(const struct dv_sandbox_info *info)
{
	dv_autobuf text = DV_BUF_INIT(DV_STORE_DOC_MAX);
	struct dv_json j = DV_JSON_INIT(&text);

	dv_json_open(&j, NULL, '{');
	dv_json_u64(&j, "schema_version", 1);
	put_what(&j, info);
	put_how(&j, info);
	if (info->has_exit) {
		dv_json_open(&j, "exit", '{');
		dv_exit_members(&j, &info->exit);
		dv_json_close(&j, '}');
	} else {
		dv_json_null(&j, "exit");
	}
	dv_json_close(&j, '}');
	return dv_buf_take(&text);
}
