/* SPDX-License-Identifier: MIT */
/*
 * Entries that can be updated. The texts of refusals are those that clients of
 * the original know.
 */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "inspect/inspect.h"
#include "inspect/inspect_priv.h"

enum { MEANING = DV_NODE_HEX | DV_NODE_COUNT | DV_NODE_BINARY };

/* ---- parsing; NULL is success, else what is wrong ---- */

static const char *integer_problem(int r, const char *text)
{
	if (r == -EINVAL)
		return *text ? "invalid digit found in string"
			     : "cannot parse integer from empty string";
	return *text == '-' ? "number too small to fit in target type"
			    : "number too large to fit in target type";
}

/* Without a plus sign, which has to stand before a digit. */
static const char *unsigned_part(const char *text)
{
	return text[0] == '+' && text[1] >= '0' && text[1] <= '9' ? text + 1
								  : text;
}

static const char *parse_unsigned(const char *text, const struct dv_target *t,
				  struct dv_inspect_new *v)
{
	int r = dv_parse_u64(unsigned_part(text), 0, t->max, &v->u64);

	return r < 0 ? integer_problem(r, text) : NULL;
}

static const char *parse_signed(const char *text, const struct dv_target *t,
				struct dv_inspect_new *v)
{
	int r = dv_parse_i64(unsigned_part(text), t->low, t->high, &v->i64);

	return r < 0 ? integer_problem(r, text) : NULL;
}

static const char *parse_bool(const char *text, struct dv_inspect_new *v)
{
	v->b = strcmp(text, "true") == 0;
	if (!v->b && strcmp(text, "false") != 0)
		return "provided string was not `true` or `false`";
	return NULL;
}

static size_t count_digits(const char *s)
{
	return strspn(s, "0123456789");
}

/* Digits with a point somewhere, and an exponent; strtod() takes more. */
static bool is_decimal(const char *s)
{
	size_t n, fraction = 0;

	n = count_digits(s);
	s += n;
	if (*s == '.') {
		fraction = count_digits(s + 1);
		s += 1 + fraction;
	}
	if (n + fraction == 0)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '+' || *s == '-';
		n = count_digits(s);
		s += n;
		if (n == 0)
			return false;
	}
	return *s == '\0';
}

static bool is_number_word(const char *s)
{
	return strcasecmp(s, "inf") == 0 || strcasecmp(s, "infinity") == 0 ||
	       strcasecmp(s, "nan") == 0;
}

static const char *parse_double(const char *text, struct dv_inspect_new *v)
{
	const char *digits = text + (*text == '+' || *text == '-');
	char *end;

	if (!*text)
		return "cannot parse float from empty string";
	if (!is_decimal(digits) && !is_number_word(digits))
		return "invalid float literal";
	v->f64 = strtod(text, &end);
	return *end ? "invalid float literal" : NULL;
}

static const char *parse(const char *text, const struct dv_target *t,
			 struct dv_inspect_new *v)
{
	switch (t->kind) {
	case DV_NODE_UNSIGNED:
		return parse_unsigned(text, t, v);
	case DV_NODE_SIGNED:
		return parse_signed(text, t, v);
	case DV_NODE_DOUBLE:
	case DV_NODE_FLOAT:
		return parse_double(text, v);
	case DV_NODE_BOOL:
		return parse_bool(text, v);
	case DV_NODE_STRING:
		v->str = text;
		v->len = strlen(text);
		return NULL;
	case DV_NODE_UNEVALUATED:
	case DV_NODE_FAILED:
	case DV_NODE_BYTES:
	case DV_NODE_DIR:
	case DV_NODE_KIND_N:
		break;
	}
	return "not supported";
}

/* ---- the entry ---- */

static struct dv_node *make(const struct dv_target *t,
			    const struct dv_inspect_new *v)
{
	uint64_t meaning = t->flags & MEANING;

	switch (t->kind) {
	case DV_NODE_UNSIGNED:
		return dv_node_unsigned(v->u64, meaning);
	case DV_NODE_SIGNED:
		return dv_node_signed(v->i64, meaning);
	case DV_NODE_DOUBLE:
		return dv_node_double(v->f64, meaning & DV_NODE_COUNT);
	case DV_NODE_FLOAT:
		return dv_node_float((float)v->f64);
	case DV_NODE_BOOL:
		return dv_node_boolean(v->b);
	case DV_NODE_STRING:
		return dv_node_string(v->str, v->len);
	case DV_NODE_UNEVALUATED:
	case DV_NODE_FAILED:
	case DV_NODE_BYTES:
	case DV_NODE_DIR:
	case DV_NODE_KIND_N:
		break;
	}
	return NULL;
}

/* The new value, or the failure, as a node. */
static struct dv_node *apply(struct dv_inspect_req *req,
			     const struct dv_target *t,
			     const struct dv_inspect_new *was)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_inspect_new v = *was;
	const char *problem = parse(req->update, t, &v);
	dv_autonode struct dv_node *old = NULL;
	int r;

	if (problem)
		return dv_node_failed(DV_NODE_UPDATE, problem);
	old = make(t, was);
	if (!old)
		return NULL;
	r = t->set(t->obj, &v, &err);
	if (r < 0)
		return dv_node_failed(DV_NODE_UPDATE,
				      err.msg[0] ? err.msg : dv_errno_text(-r));
	dv_node_free(req->old);
	req->old = dv_take_ptr(&old);
	return make(t, &v);
}

void dv_inspect_set(struct dv_inspect *in, const char *name,
		    const struct dv_target *t, const struct dv_inspect_new *v)
{
	struct dv_inspect_req *req = in->req;
	struct dv_spot sp;

	if (!dv_inspect_place_value(in, name, t->flags, t->set, &sp))
		return;
	if (!req->update) {
		dv_inspect_put(req, &sp, make(t, v));
	} else if (!req->updated) {
		/* Of two entries with one name only the first is set. */
		req->updated = true;
		dv_inspect_put(req, &sp, apply(req, t, v));
	}
}

void dv_inspect_set_u64(struct dv_inspect *in, const char *name, uint64_t v,
			uint32_t flags, dv_inspect_set_fn *set, void *obj)
{
	const struct dv_target t = { .kind = DV_NODE_UNSIGNED,
				     .flags = flags,
				     .max = UINT64_MAX,
				     .set = set,
				     .obj = obj };

	dv_inspect_set(in, name, &t, &(struct dv_inspect_new){ .u64 = v });
}

void dv_inspect_set_i64(struct dv_inspect *in, const char *name, int64_t v,
			uint32_t flags, dv_inspect_set_fn *set, void *obj)
{
	const struct dv_target t = { .kind = DV_NODE_SIGNED,
				     .flags = flags,
				     .low = INT64_MIN,
				     .high = INT64_MAX,
				     .set = set,
				     .obj = obj };

	dv_inspect_set(in, name, &t, &(struct dv_inspect_new){ .i64 = v });
}

void dv_inspect_set_f64(struct dv_inspect *in, const char *name, double v,
			uint32_t flags, dv_inspect_set_fn *set, void *obj)
{
	const struct dv_target t = {
		.kind = DV_NODE_DOUBLE, .flags = flags, .set = set, .obj = obj
	};

	dv_inspect_set(in, name, &t, &(struct dv_inspect_new){ .f64 = v });
}

void dv_inspect_set_bool(struct dv_inspect *in, const char *name, bool v,
			 uint32_t flags, dv_inspect_set_fn *set, void *obj)
{
	const struct dv_target t = {
		.kind = DV_NODE_BOOL, .flags = flags, .set = set, .obj = obj
	};

	dv_inspect_set(in, name, &t, &(struct dv_inspect_new){ .b = v });
}

void dv_inspect_set_str(struct dv_inspect *in, const char *name, const char *s,
			uint32_t flags, dv_inspect_set_fn *set, void *obj)
{
	const struct dv_target t = {
		.kind = DV_NODE_STRING, .flags = flags, .set = set, .obj = obj
	};

	if (s)
		dv_inspect_set(
			in, name, &t,
			&(struct dv_inspect_new){ .str = s, .len = strlen(s) });
}
