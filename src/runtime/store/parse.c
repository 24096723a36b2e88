/* SPDX-License-Identifier: MIT */
/*
 * DOC: documents that are read.
 *
 * A table says which member goes where in the struct, and of what type it has
 * to be. Members that are unknown are ignored, missing ones are zero; only an
 * id and a state must be there. The size of the text was limited before; the
 * depth is limited here.
 */
#include "runtime/store/priv.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/def.h"
#include "base/fmt.h"
#include "base/num.h"
#include "runtime/store/names.h"

enum {
	DEPTH_MAX = 8,
	WORDS_MAX = 1 << 16, /* of one list */
	NS_DIGITS = 9,
};

enum kind {
	TEXT,  /* into an array */
	WORD,  /* one of @names, into an int */
	ALLOC, /* into a char * */
	I32,
	U32,
	U64,
	BOOL,
	TIME, /* null: 0 */
	SIGNAL,
	ENDED,
	HIT,    /* an array of texts: is "pids" one? */
	OBJECT, /* its members, by @fields */
	WORDS,  /* an array of texts */
	LABELS,
};

struct field {
	const char *key;
	enum kind kind;
	size_t at, size;
	const char *const *names;
	const struct field *fields;
	size_t n;
};

/* ---- what is in it --------------------------------------------------------
 */

#define AT(member)   offsetof(struct dv_sandbox_info, member)
#define SIZE(member) sizeof(((struct dv_sandbox_info *)0)->member)

/* clang-format off */
#define F(key, kind, member) \
	{ key, kind, AT(member), SIZE(member), NULL, NULL, 0 }
#define W(key, member, n, names) \
	{ key, WORD, AT(member), n, names, NULL, 0 }
#define O(key, fields) \
	{ key, OBJECT, 0, 0, NULL, fields, DV_ARRAY_LEN(fields) }

static const struct field usage_fields[] = {
	F("user_us", U64, exit.user_us),
	F("system_us", U64, exit.system_us),
	F("max_rss_kib", U64, exit.max_rss_kib),
	F("minor_faults", U64, exit.minor_faults),
	F("major_faults", U64, exit.major_faults),
	F("voluntary_cs", U64, exit.voluntary_cs),
	F("involuntary_cs", U64, exit.involuntary_cs),
};

static const struct field exit_fields[] = {
	F("code", I32, exit.code),
	F("signal", SIGNAL, exit.signal),
	F("core", BOOL, exit.core),
	F("oom", BOOL, exit.oom),
	F("timed_out", BOOL, exit.timed_out),
	F("ended_by", ENDED, exit.ended_by),
	F("limits_hit", HIT, exit.pids_limited),
	F("pids_refused", U64, exit.pids_refused),
	F("started", TIME, exit.started_unix_ns),
	F("exited", TIME, exit.exited_unix_ns),
	F("wall_ns", U64, exit.wall_ns),
	O("rusage", usage_fields),
};

static const struct field limit_fields[] = {
	F("memory", U64, limits.memory),
	F("milli_cpus", U32, limits.milli_cpus),
	F("pids", U32, limits.pids),
	F("io_weight", U32, limits.io_weight),
};

static const struct field restart_fields[] = {
	W("policy", restart, DV_RESTART_N, dv_restart_names),
	F("max", U32, restart_max),
	F("count", U32, restarts),
};

static const struct field fields[] = {
	F("id", TEXT, id),
	F("name", TEXT, name),
	W("state", state, DV_STATE_N, dv_state_names),
	W("boundary", boundary, DV_IN_BOUNDARY_N, dv_boundary_names),
	F("keeper", I32, keeper_pid),
	F("init", I32, init_pid),
	F("pid", I32, pid),
	F("created", TIME, created_unix_ns),
	F("started", TIME, started_unix_ns),
	F("ended", TIME, ended_unix_ns),
	F("argv", WORDS, argv),
	F("labels", LABELS, labels),
	F("describe", ALLOC, describe),
	F("missing", ALLOC, missing),
	F("cgroup", ALLOC, cgroup),
	F("log", ALLOC, log),
	F("version", TEXT, version),
	F("detached", BOOL, detached),
	F("remove", BOOL, remove),
	F("terminal", BOOL, terminal),
	F("input", BOOL, input),
	O("limits", limit_fields),
	O("restart", restart_fields),
	W("health", health, DV_HEALTH_N, dv_health_names),
	F("stop_timeout_ms", I32, stop_timeout_ms),
	O("exit", exit_fields),
};
/* clang-format on */

static_assert(sizeof(enum dv_state) == sizeof(int) &&
		      sizeof(enum dv_health) == sizeof(int),
	      "words are stored as int");

/* ---- numbers and times ----------------------------------------------------
 */

static bool digits(const char **pp, size_t n, uint64_t *outp)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++, (*pp)++) {
		if (**pp < '0' || **pp > '9')
			return false;
		v = v * 10 + (uint64_t)(**pp - '0');
	}
	*outp = v;
	return true;
}

static bool skip(const char **pp, char c)
{
	return *(*pp)++ == c;
}

int dv_time_parse(const char *text, uint64_t *unix_nsp)
{
	uint64_t year, mon, day, hour, min, sec, ns;
	const char *p = text;
	struct tm tm;
	time_t t;

	if (!digits(&p, 4, &year) || !skip(&p, '-') || !digits(&p, 2, &mon) ||
	    !skip(&p, '-') || !digits(&p, 2, &day) || !skip(&p, 'T') ||
	    !digits(&p, 2, &hour) || !skip(&p, ':') || !digits(&p, 2, &min) ||
	    !skip(&p, ':') || !digits(&p, 2, &sec) || !skip(&p, '.') ||
	    !digits(&p, NS_DIGITS, &ns) || !skip(&p, 'Z') || *p)
		return -EINVAL;
	if (year < 1970 || year > 2500 || mon < 1 || mon > 12 || day < 1 ||
	    day > 31 || hour > 23 || min > 59 || sec > 60)
		return -EINVAL;
	tm = (struct tm){ .tm_year = (int)year - 1900,
			  .tm_mon = (int)mon - 1,
			  .tm_mday = (int)day,
			  .tm_hour = (int)hour,
			  .tm_min = (int)min,
			  .tm_sec = (int)sec };
	t = timegm(&tm);
	*unix_nsp = (uint64_t)t * 1000000000 + ns;
	return 0;
}

/* A number, or (beyond 2^53) a text of digits. */
static int get_u64(struct json_object *o, uint64_t max, uint64_t *outp)
{
	int64_t v;

	if (json_object_is_type(o, json_type_string))
		return dv_parse_u64(json_object_get_string(o), 0, max, outp);
	if (!json_object_is_type(o, json_type_int))
		return -EINVAL;
	v = json_object_get_int64(o);
	if (v < 0 || (uint64_t)v > max)
		return -ERANGE;
	*outp = (uint64_t)v;
	return 0;
}

static int get_i32(struct json_object *o, void *to)
{
	int64_t v;

	if (!json_object_is_type(o, json_type_int))
		return -EINVAL;
	v = json_object_get_int64(o);
	if (v < INT32_MIN || v > INT32_MAX)
		return -ERANGE;
	*(int32_t *)to = (int32_t)v;
	return 0;
}

/* ---- texts ----------------------------------------------------------------
 */

/* Borrowed from @o; NULL for what is no text, or has a NUL in it. */
static const char *get_text(struct json_object *o)
{
	const char *s;

	if (!json_object_is_type(o, json_type_string))
		return NULL;
	s = json_object_get_string(o);
	return strlen(s) == (size_t)json_object_get_string_len(o) ? s : NULL;
}

static int get_array(struct json_object *o, void *to, size_t size)
{
	const char *s = get_text(o);

	if (!s)
		return -EINVAL;
	if (strlen(s) >= size)
		return -ERANGE;
	memcpy(to, s, strlen(s) + 1);
	return 0;
}

static int get_alloc(struct json_object *o, void *to)
{
	const char *s = get_text(o);
	char **textp = to;

	if (!s)
		return -EINVAL;
	free(*textp); /* a member that is there twice */
	*textp = strdup(s);
	return *textp ? 0 : -ENOMEM;
}

static int get_word(struct json_object *o, const struct field *f, void *to)
{
	const char *s = get_text(o);

	if (!s)
		return -EINVAL;
	for (size_t i = 0; i < f->size; i++)
		if (!strcmp(s, f->names[i])) {
			*(int *)to = (int)i;
			return 0;
		}
	return -ERANGE;
}

static int get_time(struct json_object *o, void *to)
{
	const char *s = get_text(o);

	if (!o) {
		*(uint64_t *)to = 0;
		return 0;
	}
	return s ? dv_time_parse(s, to) : -EINVAL;
}

static int get_signal(struct json_object *o, void *to)
{
	const char *s = get_text(o);
	int r = 0;

	if (o && !s)
		return -EINVAL;
	if (s && strcmp(s, "SIG?") != 0)
		r = dv_parse_signal(s);
	if (r >= 0)
		*(int32_t *)to = r;
	return r < 0 ? r : 0;
}

static int get_ended(struct json_object *o, void *to)
{
	const char *s = get_text(o);

	if (!s)
		return -EINVAL;
	for (uint32_t i = 0; i < DV_ENDED_N; i++)
		if (!strcmp(s, dv_ended_by_name(i))) {
			*(uint32_t *)to = i;
			return 0;
		}
	return -ERANGE;
}

/* ---- lists ----------------------------------------------------------------
 */

static int new_words(void *to, size_t n, char ***wordsp)
{
	char ***place = to;

	if (n > WORDS_MAX || *place)
		return -ERANGE;
	*place = *wordsp = calloc(n + 1, sizeof(**wordsp));
	return *place ? 0 : -ENOMEM;
}

static int get_words(struct json_object *o, void *to)
{
	size_t n;
	char **words;
	int r;

	if (!json_object_is_type(o, json_type_array))
		return -EINVAL;
	n = json_object_array_length(o);
	r = new_words(to, n, &words);
	for (size_t i = 0; i < n && r == 0; i++)
		r = get_alloc(json_object_array_get_idx(o, i), &words[i]);
	return r;
}

static int get_hit(struct json_object *o, void *to)
{
	if (!json_object_is_type(o, json_type_array))
		return -EINVAL;
	for (size_t i = 0; i < json_object_array_length(o); i++) {
		const char *s = get_text(json_object_array_get_idx(o, i));

		if (!s)
			return -EINVAL;
		if (!strcmp(s, "pids"))
			*(bool *)to = true;
	}
	return 0;
}

static int get_label(const char *key, struct json_object *o, char **wordp)
{
	const char *s = get_text(o);
	size_t size;

	if (!s)
		return -EINVAL;
	size = strlen(key) + strlen(s) + 2;
	*wordp = malloc(size);
	if (!*wordp)
		return -ENOMEM;
	dv_fmt(*wordp, size, "%s=%s", key, s);
	return 0;
}

static int get_labels(struct json_object *o, void *to)
{
	char **words;
	size_t n = 0;
	int r;

	if (!json_object_is_type(o, json_type_object))
		return -EINVAL;
	r = new_words(to, (size_t)json_object_object_length(o), &words);
	if (r < 0)
		return r;
	json_object_object_foreach(o, key, value)
	{
		r = get_label(key, value, &words[n++]);
		if (r < 0)
			break;
	}
	return r;
}

/* ---- all of it ------------------------------------------------------------
 */

static int get_fields(struct json_object *o, const struct field *f, size_t n,
		      struct dv_sandbox_info *info, struct dv_err *err);

static int get_object(struct json_object *o, const struct field *f,
		      struct dv_sandbox_info *info, struct dv_err *err)
{
	/* That there is an exit is all that its place says. */
	const bool is_exit = f->fields == exit_fields;

	if (!o && is_exit)
		return 0;
	if (!json_object_is_type(o, json_type_object))
		return -EINVAL;
	if (is_exit) {
		info->has_exit = true;
		info->exit.size = sizeof(info->exit);
	}
	return get_fields(o, f->fields, f->n, info, err);
}

static int get_one(struct json_object *o, const struct field *f,
		   struct dv_sandbox_info *info, struct dv_err *err)
{
	void *to = (char *)info + f->at;
	uint64_t v = 0;
	int r;

	switch (f->kind) {
	case TEXT:
		return get_array(o, to, f->size);
	case WORD:
		return get_word(o, f, to);
	case ALLOC:
		return get_alloc(o, to);
	case I32:
		return get_i32(o, to);
	case U32:
		r = get_u64(o, UINT32_MAX, &v);
		*(uint32_t *)to = (uint32_t)v;
		return r;
	case U64:
		return get_u64(o, UINT64_MAX, to);
	case BOOL:
		if (!json_object_is_type(o, json_type_boolean))
			return -EINVAL;
		*(bool *)to = json_object_get_boolean(o);
		return 0;
	case TIME:
		return get_time(o, to);
	case SIGNAL:
		return get_signal(o, to);
	case ENDED:
		return get_ended(o, to);
	case HIT:
		return get_hit(o, to);
	case OBJECT:
		return get_object(o, f, info, err);
	case WORDS:
		return get_words(o, to);
	case LABELS:
		return get_labels(o, to);
	}
	return -EINVAL;
}

static int bad(struct dv_err *err, const char *what, const char *key)
{
	return dv_err_set(err, EBADMSG, DV_DATA_LOSS, "%s%s", what, key);
}

static int get_fields(struct json_object *o, const struct field *f, size_t n,
		      struct dv_sandbox_info *info, struct dv_err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct json_object *v;
		int r;

		if (!json_object_object_get_ex(o, f[i].key, &v))
			continue;
		r = get_one(v, &f[i], info, err);
		if (r == -EINVAL || r == -ERANGE)
			return bad(err, "it has a bad ", f[i].key);
		if (r < 0)
			return r;
	}
	return 0;
}

static int get_info(struct json_object *o, struct dv_sandbox_info *info,
		    struct dv_err *err)
{
	int r;

	if (!json_object_is_type(o, json_type_object))
		return bad(err, "it is no JSON object", "");
	if (!json_object_object_get_ex(o, "state", NULL))
		return bad(err, "it has no ", "state");
	r = get_fields(o, fields, DV_ARRAY_LEN(fields), info, err);
	if (r == 0 && !dv_store_is_id(info->id))
		r = bad(err, "it has no ", "id");
	if (r == 0 && info->name[0] && dv_store_check_name(info->name, NULL))
		r = bad(err, "it has a bad ", "name");
	return r;
}

static int parse(const char *text, size_t len, struct json_object **op,
		 struct dv_err *err)
{
	struct json_tokener *tok = json_tokener_new_ex(DEPTH_MAX);
	int r = 0;

	if (!tok)
		return -ENOMEM;
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT |
					    JSON_TOKENER_VALIDATE_UTF8);
	*op = json_tokener_parse_ex(tok, text, (int)len);
	if (json_tokener_get_error(tok) != json_tokener_success ||
	    json_tokener_get_parse_end(tok) != len)
		r = bad(err, "it is no JSON", "");
	json_tokener_free(tok);
	return r;
}

int dv_info_parse(struct dv_sandbox_info *info, const char *text, size_t len,
		  struct dv_err *err)
{
	struct json_object *o = NULL;
	int r;

	*info = (struct dv_sandbox_info){ .size = sizeof(*info),
					  .stop_timeout_ms = -1 };
	if (len == 0 || len > DV_STORE_DOC_MAX)
		return bad(err, len ? "it is too large" : "it is empty", "");
	r = parse(text, len, &o, err);
	if (r == 0)
		r = get_info(o, info, err);
	json_object_put(o);
	if (r < 0)
		dv_sandbox_info_free(info);
	if (r == -ENOMEM)
		dv_err_sys(err, ENOMEM, "read it");
	return r;
}
