/* SPDX-License-Identifier: MIT */
#include "engine/seccomp_json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <json-c/json.h>

#include "base/def.h"
#include "base/fmt.h"

/*
 * DOC: two passes.
 *
 * The first pass is ours. It knows strings, brackets and numbers and nothing
 * else, and holds the text to the limits: json-c would allocate for all of it,
 * and takes a number that is too large as the largest one it has. What is
 * malformed in any other way passes it and is refused by json-c.
 */
struct scan {
	const char *text;
	size_t len, pos;
	size_t values;
	int depth;
};

/* "name:line:column: text", both counted from 1. */
static int bad_at(struct dv_sjson *doc, const char *text, size_t pos,
		  const char *what)
{
	unsigned int line = 1, column = 1;

	for (size_t i = 0; i < pos; i++) {
		column++;
		if (text[i] == '\n') {
			line++;
			column = 1;
		}
	}
	return dv_err_set(doc->err, EINVAL, DV_INVALID, "%s:%u:%u: %s",
			  doc->name, line, column, what);
}

/* From the opening quote to behind the closing one. */
static void skip_string(struct scan *s)
{
	for (s->pos++; s->pos < s->len && s->text[s->pos] != '"'; s->pos++) {
		if (s->text[s->pos] == '\\')
			s->pos++;
	}
	s->pos++;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Returns what is wrong with the number, or NULL. Signs are looked at later. */
static const char *skip_number(struct scan *s)
{
	uint64_t v = 0;
	bool fits = true;

	for (; s->pos < s->len && is_digit(s->text[s->pos]); s->pos++) {
		unsigned int digit = (unsigned int)(s->text[s->pos] - '0');

		fits = fits && !__builtin_mul_overflow(v, 10, &v) &&
		       !__builtin_add_overflow(v, digit, &v);
	}
	return fits ? NULL : "number out of range";
}

static const char *scan_one(struct scan *s)
{
	char c = s->text[s->pos];

	if (c == '"') {
		skip_string(s);
		return NULL;
	}
	if (is_digit(c))
		return skip_number(s);
	s->pos++;
	if (c == '{' || c == '[')
		s->depth++;
	if (c == '}' || c == ']')
		s->depth--;
	if (c == '{' || c == '[' || c == ',')
		s->values++;
	if (s->depth > DV_SJSON_DEPTH_MAX)
		return "nested too deeply";
	return s->values > DV_SJSON_VALUES_MAX ? "too many values" : NULL;
}

static int check_limits(struct dv_sjson *doc, const char *text, size_t len)
{
	struct scan s = { text, len, 0, 0, 0 };

	if (len > DV_SJSON_LEN_MAX)
		return dv_err_set(doc->err, EFBIG, DV_INVALID,
				  "%s: larger than %d bytes", doc->name,
				  DV_SJSON_LEN_MAX);
	while (s.pos < s.len) {
		size_t pos = s.pos;
		const char *what = scan_one(&s);

		if (what)
			return bad_at(doc, text, pos, what);
	}
	return 0;
}

static void free_tokener(struct json_tokener **tok)
{
	if (*tok)
		json_tokener_free(*tok);
}

/* Where json-c stopped and why; NULL: it has read a value to the end. */
static const char *parse_problem(struct json_tokener *tok, size_t len,
				 struct json_object *root)
{
	enum json_tokener_error e = json_tokener_get_error(tok);

	if (e == json_tokener_continue)
		return "unexpected end";
	if (e != json_tokener_success)
		return json_tokener_error_desc(e);
	if (json_tokener_get_parse_end(tok) != len)
		return "unexpected character";
	return json_object_is_type(root, json_type_object)
		       ? NULL
		       : "the profile must be an object";
}

int dv_sjson_parse(struct dv_sjson *doc, const char *text, size_t len,
		   struct json_object **rootp)
{
	struct json_tokener *tok __attribute__((cleanup(free_tokener))) = NULL;
	struct json_object *root;
	const char *what;
	int r = check_limits(doc, text, len);

	if (r < 0)
		return r;
	tok = json_tokener_new_ex(DV_SJSON_DEPTH_MAX + 1);
	if (!tok)
		return dv_err_sys(doc->err, ENOMEM, "%s", doc->name);
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT |
					    JSON_TOKENER_VALIDATE_UTF8);
	root = json_tokener_parse_ex(tok, text, (int)len);
	what = parse_problem(tok, len, root);
	if (what) {
		json_object_put(root);
		return bad_at(doc, text, json_tokener_get_parse_end(tok), what);
	}
	*rootp = root;
	return 0;
}

int dv_sjson_bad(struct dv_sjson *doc, const char *key, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	dv_vfmt(text, sizeof(text), fmt, ap);
	va_end(ap);
	return dv_err_set(doc->err, EINVAL, DV_INVALID, "%s: %s%s%s%s%s",
			  doc->name, doc->at, doc->at[0] && key ? "." : "",
			  key ? key : "", doc->at[0] || key ? ": " : "", text);
}

static int member(struct dv_sjson *doc, struct json_object *obj,
		  const char *key, enum json_type type, const char *what,
		  struct json_object **valp)
{
	struct json_object *val;

	if (!json_object_object_get_ex(obj, key, &val) || !val)
		return 0;
	if (!json_object_is_type(val, type))
		return dv_sjson_bad(doc, key, "must be %s", what);
	*valp = val;
	return 1;
}

int dv_sjson_object(struct dv_sjson *doc, struct json_object *obj,
		    const char *key, struct json_object **valp)
{
	return member(doc, obj, key, json_type_object, "an object", valp);
}

int dv_sjson_array(struct dv_sjson *doc, struct json_object *obj,
		   const char *key, struct json_object **valp)
{
	return member(doc, obj, key, json_type_array, "an array", valp);
}

/* NULL when there is a NUL inside. */
static const char *whole_string(struct json_object *val)
{
	const char *s = json_object_get_string(val);
	size_t len = (size_t)json_object_get_string_len(val);

	return s && strlen(s) == len ? s : NULL;
}

int dv_sjson_str(struct dv_sjson *doc, struct json_object *obj, const char *key,
		 const char **valp)
{
	struct json_object *val = NULL;
	int r = member(doc, obj, key, json_type_string, "a string", &val);

	if (r <= 0)
		return r;
	*valp = whole_string(val);
	return *valp ? 1 : dv_sjson_bad(doc, key, "contains a NUL");
}

int dv_sjson_u64(struct dv_sjson *doc, struct json_object *obj, const char *key,
		 uint64_t max, uint64_t *valp)
{
	struct json_object *val = NULL;
	int r = member(doc, obj, key, json_type_int, "an integer", &val);
	uint64_t v;

	if (r <= 0)
		return r;
	v = json_object_get_uint64(val);
	if (json_object_get_int64(val) < 0 || v > max)
		return dv_sjson_bad(doc, key, "must be 0 to %llu",
				    (unsigned long long)max);
	*valp = v;
	return 1;
}

int dv_sjson_item_object(struct dv_sjson *doc, struct json_object *array,
			 const char *key, size_t i, struct json_object **valp)
{
	struct json_object *val = json_object_array_get_idx(array, i);
	char where[64];

	if (json_object_is_type(val, json_type_object)) {
		*valp = val;
		return 0;
	}
	dv_fmt(where, sizeof(where), "%s[%zu]", key, i);
	return dv_sjson_bad(doc, where, "must be an object");
}

int dv_sjson_item_str(struct dv_sjson *doc, struct json_object *array,
		      const char *key, size_t i, const char **valp)
{
	struct json_object *val = json_object_array_get_idx(array, i);
	char where[64];

	*valp = NULL;
	if (json_object_is_type(val, json_type_string))
		*valp = whole_string(val);
	if (*valp)
		return 0;
	dv_fmt(where, sizeof(where), "%s[%zu]", key, i);
	return dv_sjson_bad(doc, where, "must be a string without NUL");
}

const char *dv_sjson_show(const char *s, char out[48])
{
	size_t n = 0;

	for (; s[n] && n < 47; n++)
		out[n] = (char)(s[n] > ' ' && s[n] <= '~' ? s[n] : '?');
	out[n] = '\0';
	return out;
}
