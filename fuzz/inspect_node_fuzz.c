/* SPDX-License-Identifier: MIT */
/*
 * An answer of inspect.InspectService: what decodes must print, sort, shrink
 * and encode, and the encoded form must decode to the same tree.
 */
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "inspect/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_LIMIT = 65536 };

static void print(const struct dv_node *node)
{
	dv_autofree char *text = NULL, *json = NULL;
	size_t len = 0;

	if (dv_node_text(node, &text, &len) == 0)
		for (size_t i = 0; i < len; i++)
			dv_assert((uint8_t)text[i] >= 0x20 || text[i] == '\n');
	if (dv_node_json(node, &json, &len) == 0)
		for (size_t i = 0; i < len; i++)
			dv_assert((uint8_t)json[i] >= 0x20);
}

static void again(const struct dv_node *node)
{
	dv_autonode struct dv_node *copy = NULL;
	dv_autofree uint8_t *wire = NULL;
	size_t len;

	dv_assert(dv_node_encode_response(node, &wire, &len) == 0);
	dv_assert(len == dv_node_encoded_size(node));
	dv_assert(dv_node_decode_response(wire, len, &copy, NULL) == 0);
	dv_assert(dv_node_equal(node, copy));
}

static void candidate(void *arg, const char *text)
{
	(void)arg;
	dv_assert(strncmp(text, "a/", 2) == 0);
}

static void shrink(struct dv_node *node, size_t max)
{
	dv_autonode struct dv_node *before = dv_node_copy(node), *rates = NULL;

	dv_assert(before);
	dv_node_normalize(node);
	dv_assert(dv_node_since(node, before, 1000, &rates) == 0);
	print(rates);
	dv_node_complete("a/", node, candidate, NULL);
	if (dv_node_prune(node, max) >= 0)
		dv_assert(dv_node_encoded_size(node) <= max);
	dv_node_filter(node, DV_SENS_UNSPECIFIED);
	again(node);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	dv_autonode struct dv_node *node = NULL, *value = NULL, *old = NULL;
	struct dv_err err = DV_ERR_INIT;

	if (size > SIZE_LIMIT)
		return 0;
	if (dv_node_decode_update(data, size, &value, &old, NULL) == 0)
		print(value);
	if (dv_node_decode_response(data, size, &node, &err) < 0) {
		dv_assert(err.msg[0]);
		return 0;
	}
	print(node);
	again(node);
	shrink(node, size / 2);
	return 0;
}
