/* SPDX-License-Identifier: MIT */
/*
 * Every allocation of a request, and of what a client does with the answer,
 * fails once: each time there is an answer or an error, and nothing leaks.
 */
#include <errno.h>
#include <string.h>

#include "base/test.h"

#include "base/fault.h"
#include "inspect/inspect.h"
#include "inspect/node.h"

struct state {
	uint32_t level;
	struct dv_deferred *h;
	struct dv_node *answer;
	int count;
};

static const struct dv_inspect_field fields[] = {
	DV_FIELD("level", struct state, level, DV_FIELD_U32,
		 DV_INSPECT_WRITABLE | DV_NODE_COUNT),
};

static void inner(struct dv_inspect *in, void *obj)
{
	struct state *s = obj;

	dv_inspect_fields(in, fields, DV_ARRAY_LEN(fields), s);
	for (int i = 0; i < 20; i++)
		dv_inspect_str(in, "x/y/z", "text", 0);
}

static void root(struct dv_inspect *in, void *obj)
{
	struct state *s = obj;

	dv_inspect_dir(in, "in", inner, obj, 0);
	s->h = dv_inspect_defer(in, "late", 0);
	dv_inspect_dir(in, "in", inner, obj, 0);
}

static void done(void *arg, struct dv_node *node, const struct dv_node *old)
{
	struct state *s = arg;

	(void)old;
	s->answer = node;
	s->count++;
}

static void request(const char *path, const char *update, struct dv_loop *loop)
{
	struct dv_inspect_opts o = { .path = path,
				     .update = update,
				     .depth = DV_INSPECT_ALL,
				     .limit = DV_SENS_SENSITIVE,
				     .deadline_ns = UINT64_MAX };
	struct state s = { 0 };
	struct dv_inspect_req *req;
	int r = dv_inspect_start(&req, loop, &o, root, &s, done, &s);

	if (s.h && r == 0)
		dv_deferred_dir(s.h, inner, &s);
	else
		dv_deferred_drop(s.h);
	CHECK_EQ(s.count, r == 0);
	dv_node_free(s.answer);
}

TEST(request_survives_every_failure_of_memory)
{
	static const struct {
		const char *path, *update;
	} cases[] = { { "", NULL }, { "in/level", "5" }, { "late/x", NULL } };
	struct dv_loop *loop;

	CHECK_EQ(dv_loop_new(&loop), 0);
	for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++) {
		bool failed = true;

		for (uint32_t n = 1; failed; n++) {
			fault_arm(FAULT_PARENT, n, false);
			request(cases[i].path, cases[i].update, loop);
			failed = fault_disarm();
		}
	}
	dv_loop_free(loop);
}

static void client(const struct dv_node *node, const uint8_t *wire, size_t len)
{
	dv_autonode struct dv_node *got = NULL, *rates = NULL;
	dv_autofree char *text = NULL, *json = NULL;
	dv_autofree uint8_t *data = NULL;
	struct dv_err err = DV_ERR_INIT;
	int r = dv_node_decode_response(wire, len, &got, &err);

	CHECK(r == 0 || r == -ENOMEM);
	CHECK_EQ(got != NULL, r == 0);
	if (r == 0)
		dv_node_normalize(got);
	r = dv_node_text(node, &text, NULL);
	CHECK(r == 0 || r == -ENOMEM);
	r = dv_node_json(node, &json, NULL);
	CHECK(r == 0 || r == -ENOMEM);
	r = dv_node_since(node, node, 1, &rates);
	CHECK(r == 0 || r == -ENOMEM);
	r = dv_node_encode(node, &data, &len);
	CHECK(r == 0 || r == -ENOMEM);
}

TEST(client_survives_every_failure_of_memory)
{
	dv_autonode struct dv_node *dir = dv_node_dir();
	dv_autofree uint8_t *wire = NULL;
	bool failed = true;
	size_t len;

	for (int i = 0; i < 12; i++) {
		struct dv_node *sub = dv_node_dir();

		dv_node_add(sub, "b\xff", DV_SENS_SAFE,
			    dv_node_string("text", 4));
		dv_node_add(sub, "a", DV_SENS_SAFE,
			    dv_node_unsigned(1, DV_NODE_COUNT));
		dv_node_add(dir, "sub", DV_SENS_SAFE, sub);
	}
	dv_node_add(dir, "bad", DV_SENS_SAFE,
		    dv_node_failed(DV_NODE_UPDATE, "why"));
	CHECK_EQ(dv_node_encode_response(dir, &wire, &len), 0);
	for (uint32_t n = 1; failed; n++) {
		fault_arm(FAULT_PARENT, n, false);
		client(dir, wire, len);
		failed = fault_disarm();
	}
}
