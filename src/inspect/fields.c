/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "base/fmt.h"
#include "inspect/inspect.h"
#include "inspect/inspect_priv.h"

#define NS_PER_S UINT64_C(1000000000)

/* ---- values ---- */

/* No setter: read-only. */
void dv_inspect_u64(struct dv_inspect *in, const char *name, uint64_t v,
		    uint32_t flags)
{
	dv_inspect_set_u64(in, name, v, flags, NULL, NULL);
}

void dv_inspect_i64(struct dv_inspect *in, const char *name, int64_t v,
		    uint32_t flags)
{
	dv_inspect_set_i64(in, name, v, flags, NULL, NULL);
}

void dv_inspect_hex(struct dv_inspect *in, const char *name, uint64_t v,
		    uint32_t flags)
{
	dv_inspect_u64(in, name, v, flags | DV_NODE_HEX);
}

void dv_inspect_f64(struct dv_inspect *in, const char *name, double v,
		    uint32_t flags)
{
	dv_inspect_set_f64(in, name, v, flags, NULL, NULL);
}

void dv_inspect_bool(struct dv_inspect *in, const char *name, bool v,
		     uint32_t flags)
{
	dv_inspect_set_bool(in, name, v, flags, NULL, NULL);
}

void dv_inspect_str(struct dv_inspect *in, const char *name, const char *s,
		    uint32_t flags)
{
	dv_inspect_set_str(in, name, s, flags, NULL, NULL);
}

void dv_inspect_strn(struct dv_inspect *in, const char *name, const char *s,
		     size_t len, uint32_t flags)
{
	struct dv_spot sp;

	if (dv_inspect_place_value(in, name, flags, false, &sp))
		dv_inspect_put(in->req, &sp, dv_node_string(s, len));
}

void dv_inspect_bytes(struct dv_inspect *in, const char *name, const void *data,
		      size_t len, uint32_t flags)
{
	struct dv_spot sp;

	if (dv_inspect_place_value(in, name, flags, false, &sp))
		dv_inspect_put(in->req, &sp, dv_node_bytes(data, len));
}

void dv_inspect_duration(struct dv_inspect *in, const char *name, uint64_t ns,
			 uint32_t flags)
{
	char text[40];

	dv_fmt(text, sizeof(text), "%llu.%09llus",
	       (unsigned long long)(ns / NS_PER_S),
	       (unsigned long long)(ns % NS_PER_S));
	dv_inspect_str(in, name, text, flags);
}

void dv_inspect_fail(struct dv_inspect *in, const char *name,
		     enum dv_node_error error, const char *text, uint32_t flags)
{
	struct dv_spot sp;

	if (dv_inspect_place_value(in, name, flags, false, &sp))
		dv_inspect_put(in->req, &sp, dv_node_failed(error, text));
}

/* ---- the table ---- */

/* What a setter of a plain member needs to know. */
struct member {
	void *at;
	size_t size;
};

static int store_integer(void *obj, struct dv_inspect_new *v,
			 struct dv_err *err)
{
	const struct member *m = obj;
	/* Of a signed member u64 is not set, and the other way round. */
	uint64_t bits = v->u64 | (uint64_t)v->i64;
	uint8_t u8 = (uint8_t)bits;
	uint16_t u16 = (uint16_t)bits;
	uint32_t u32 = (uint32_t)bits;

	(void)err;
	if (m->size == sizeof(u8))
		memcpy(m->at, &u8, sizeof(u8));
	else if (m->size == sizeof(u16))
		memcpy(m->at, &u16, sizeof(u16));
	else if (m->size == sizeof(u32))
		memcpy(m->at, &u32, sizeof(u32));
	else
		memcpy(m->at, &bits, sizeof(bits));
	return 0;
}

static int store_float(void *obj, struct dv_inspect_new *v, struct dv_err *err)
{
	const struct member *m = obj;
	float f = (float)v->f64;

	(void)err;
	if (m->size == sizeof(f))
		memcpy(m->at, &f, sizeof(f));
	else
		memcpy(m->at, &v->f64, sizeof(v->f64));
	return 0;
}

static int store_bool(void *obj, struct dv_inspect_new *v, struct dv_err *err)
{
	const struct member *m = obj;

	(void)err;
	memcpy(m->at, &v->b, sizeof(v->b));
	return 0;
}

/* Sizes of the numbers; 0: not a number. The setter of a plain member. */
static const struct {
	size_t size;
	bool is_signed;
	dv_inspect_set_fn *store;
} kinds[] = {
	[DV_FIELD_U8] = { 1, false, store_integer },
	[DV_FIELD_U16] = { 2, false, store_integer },
	[DV_FIELD_U32] = { 4, false, store_integer },
	[DV_FIELD_U64] = { 8, false, store_integer },
	[DV_FIELD_SIZE] = { sizeof(size_t), false, store_integer },
	[DV_FIELD_I32] = { 4, true, store_integer },
	[DV_FIELD_I64] = { 8, true, store_integer },
	[DV_FIELD_F32] = { 4, false, store_float },
	[DV_FIELD_F64] = { 8, false, store_float },
	[DV_FIELD_BOOL] = { 0, false, store_bool },
	[DV_FIELD_STR] = { 0, false, NULL },
	[DV_FIELD_CHARS] = { 0, false, NULL },
	[DV_FIELD_DURATION] = { 8, false, NULL },
};
static_assert(DV_ARRAY_LEN(kinds) == DV_FIELD_N, "a row each");

static uint64_t load(const void *at, size_t size)
{
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;

	switch (size) {
	case sizeof(u8):
		memcpy(&u8, at, sizeof(u8));
		return u8;
	case sizeof(u16):
		memcpy(&u16, at, sizeof(u16));
		return u16;
	case sizeof(u32):
		memcpy(&u32, at, sizeof(u32));
		return u32;
	default:
		memcpy(&u64, at, sizeof(u64));
		return u64;
	}
}

static void integer_field(struct dv_inspect *in,
			  const struct dv_inspect_field *f, const void *at,
			  dv_inspect_set_fn *set, void *obj)
{
	size_t size = kinds[f->kind].size;
	uint64_t v = load(at, size);
	uint64_t max = UINT64_MAX >> (64 - 8 * size);

	struct dv_target t = { .kind = DV_NODE_UNSIGNED,
			       .flags = f->flags,
			       .max = max,
			       .low = -(int64_t)(max / 2) - 1,
			       .high = (int64_t)(max / 2),
			       .set = set,
			       .obj = obj };
	struct dv_inspect_new now = { .u64 = v };

	if (kinds[f->kind].is_signed) {
		t.kind = DV_NODE_SIGNED;
		/* The sign is in the highest bit of the member. */
		now = (struct dv_inspect_new){
			.i64 = (int64_t)(v > max / 2 ? v | ~max : v)
		};
	}
	dv_inspect_set(in, f->name, &t, &now);
}

static void float_field(struct dv_inspect *in, const struct dv_inspect_field *f,
			const void *at, dv_inspect_set_fn *set, void *obj)
{
	struct dv_target t = { .kind = DV_NODE_DOUBLE,
			       .flags = f->flags,
			       .set = set,
			       .obj = obj };
	struct dv_inspect_new now = { 0 };
	float s;

	if (f->kind == DV_FIELD_F32) {
		t.kind = DV_NODE_FLOAT;
		memcpy(&s, at, sizeof(s));
		now.f64 = (double)s;
	} else {
		memcpy(&now.f64, at, sizeof(now.f64));
	}
	dv_inspect_set(in, f->name, &t, &now);
}

static void field(struct dv_inspect *in, const struct dv_inspect_field *f,
		  char *at, dv_inspect_set_fn *set, void *obj)
{
	bool yes;
	const char *s;

	switch (f->kind) {
	case DV_FIELD_F32:
	case DV_FIELD_F64:
		float_field(in, f, at, set, obj);
		break;
	case DV_FIELD_BOOL:
		memcpy(&yes, at, sizeof(yes));
		dv_inspect_set_bool(in, f->name, yes, f->flags, set, obj);
		break;
	case DV_FIELD_STR:
		memcpy(&s, at, sizeof(s));
		dv_inspect_set_str(in, f->name, s, f->flags, set, obj);
		break;
	case DV_FIELD_CHARS:
		dv_inspect_set_str(in, f->name, at, f->flags, set, obj);
		break;
	case DV_FIELD_DURATION:
		dv_inspect_duration(in, f->name, load(at, 8), f->flags);
		break;
	case DV_FIELD_U8:
	case DV_FIELD_U16:
	case DV_FIELD_U32:
	case DV_FIELD_U64:
	case DV_FIELD_SIZE:
	case DV_FIELD_I32:
	case DV_FIELD_I64:
		integer_field(in, f, at, set, obj);
		break;
	case DV_FIELD_N:
		break;
	}
}

void dv_inspect_fields(struct dv_inspect *in,
		       const struct dv_inspect_field *table, size_t n,
		       void *obj)
{
	for (size_t i = 0; i < n; i++) {
		const struct dv_inspect_field *f = &table[i];
		struct member m = { (char *)obj + f->offset,
				    kinds[f->kind].size };

		if (f->set || !(f->flags & DV_INSPECT_WRITABLE))
			field(in, f, m.at, f->set, obj);
		else
			field(in, f, m.at, kinds[f->kind].store, &m);
	}
}
