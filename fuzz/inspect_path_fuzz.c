/* SPDX-License-Identifier: MIT */
/*
 * A request for a live tree. The input is
 *
 *   depth limit flags PATH NUL UPDATE
 *
 * with flags 1: it is an update, 2: answer what is deferred, 4: before it ends.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/inspect.h"
#include "inspect/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_LIMIT = 4096, UPDATE = 1, ANSWER = 2, EARLY = 4 };

struct object {
	uint8_t u8;
	int i32;
	double f64;
	bool on;
	char text[16];
	unsigned int flags, n_done;
	struct dv_deferred *h;
};

static int set_text(void *obj, struct dv_inspect_new *v, struct dv_err *err)
{
	struct object *o = obj;

	if (v->len >= sizeof(o->text))
		return dv_err_set(err, ERANGE, DV_RANGE, "too long");
	memcpy(o->text, v->str, v->len + 1);
	return 0;
}

static const struct dv_inspect_field fields[] = {
	DV_FIELD("u8", struct object, u8, DV_FIELD_U8, DV_INSPECT_WRITABLE),
	DV_FIELD("i32", struct object, i32, DV_FIELD_I32, DV_INSPECT_WRITABLE),
	DV_FIELD("f64", struct object, f64, DV_FIELD_F64,
		 DV_INSPECT_WRITABLE | DV_INSPECT_SAFE),
	DV_FIELD("on", struct object, on, DV_FIELD_BOOL, DV_INSPECT_WRITABLE),
	DV_FIELD_SET("t/e/xt", struct object, text, DV_FIELD_CHARS,
		     DV_INSPECT_SENSITIVE, set_text),
};

static void inner(struct dv_inspect *in, void *obj)
{
	dv_inspect_fields(in, fields, DV_ARRAY_LEN(fields), obj);
	dv_inspect_fail(in, "bad", DV_NODE_CHANNEL, "gone", 0);
}

static void answer(struct object *o)
{
	struct dv_deferred *h = dv_take_ptr(&o->h);

	if (h && *dv_deferred_path(h))
		dv_deferred_node(h, dv_node_string(dv_deferred_path(h), 1));
	else if (h)
		dv_deferred_dir(h, inner, o);
}

static void outer(struct dv_inspect *in, void *obj)
{
	struct object *o = obj;

	dv_inspect_dir(in, "a", inner, o, 0);
	dv_inspect_dir(in, "a/b", inner, o, DV_INSPECT_SAFE);
	dv_inspect_dir(in, "", inner, o, 0);
	dv_inspect_dir(in, "self", outer, o, DV_INSPECT_SENSITIVE);
	dv_inspect_u64(in, "t/e", 1, 0);
	if (!o->h)
		o->h = dv_inspect_defer(in, "late", 0);
	if (o->flags & EARLY)
		answer(o);
}

static void done(void *arg, struct dv_node *node, const struct dv_node *old)
{
	struct object *o = arg;
	uint8_t *wire;
	size_t len;

	o->n_done++;
	dv_assert(node);
	dv_assert(!old || dv_node_kind(node) == dv_node_kind(old));
	dv_assert(dv_node_encode_response(node, &wire, &len) == 0);
	free(wire);
	dv_node_free(node);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dv_inspect_opts opts = { NULL, NULL, 0, 0, 0 };
	struct object o = { .text = "text" };
	struct dv_inspect_req *req;
	dv_autofree char *text = NULL;
	struct dv_loop *loop;
	size_t path_len;

	if (size < 3 || size > SIZE_LIMIT)
		return 0;
	text = calloc(1, size); /* two more than the text */
	dv_assert(text);
	memcpy(text, data + 3, size - 3);
	path_len = strlen(text);
	opts.path = text;
	/* Each level of "self" shows all the others. */
	opts.depth = data[0] % 16;
	opts.limit = data[1];
	o.flags = data[2];
	if (o.flags & UPDATE)
		opts.update = text + path_len + 1;
	dv_assert(dv_loop_new(&loop) == 0);
	if (dv_inspect_start(&req, loop, &opts, outer, &o, done, &o) == 0) {
		if (req && o.flags & ANSWER && o.h) {
			answer(&o);
			req = NULL;
		}
		dv_assert(!req == (o.n_done == 1));
		dv_inspect_cancel(req);
	} else {
		dv_assert(opts.limit < DV_SENS_SAFE ||
			  opts.limit > DV_SENS_SENSITIVE);
	}
	dv_deferred_drop(o.h);
	dv_loop_free(loop);
	return 0;
}
