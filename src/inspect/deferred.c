/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "inspect/inspect.h"
#include "inspect/inspect_priv.h"

/* A path that has ended, with a slash or without. */
static const char SLASH[] = "/", NOTHING[] = "";

struct dv_deferred *dv_inspect_defer(struct dv_inspect *in, const char *name,
				     uint32_t flags)
{
	struct dv_inspect_req *req = in->req;
	bool value = flags & DV_INSPECT_VALUE;
	bool nameless = !name[strspn(name, "/")];
	struct dv_deferred *h;
	struct dv_spot sp;

	if (req->status < 0 ||
	    !dv_inspect_place_dir(in, name, flags, value, &sp))
		return NULL;
	h = calloc(1, sizeof(*h));
	if (h)
		h->name = strndup(sp.name.ptr, sp.name.len);
	if (!h || !h->name) {
		free(h);
		req->status = -ENOMEM;
		return NULL;
	}
	sp.name.ptr = h->name;
	h->at = sp;
	h->merge = nameless && !sp.rest;
	h->req = req;
	h->next = req->open;
	if (h->next)
		h->next->prevp = &h->next;
	h->prevp = &req->open;
	req->open = h;
	return h;
}

void dv_deferred_on_end(struct dv_deferred *h, void (*fn)(void *arg), void *arg)
{
	h->on_end = fn;
	h->arg = arg;
}

/* ---- what is asked ---- */

const char *dv_deferred_path(const struct dv_deferred *h)
{
	if (!h->req || !h->at.rest)
		return NOTHING;
	return *h->at.rest || !h->at.slash ? h->at.rest : SLASH;
}

const char *dv_deferred_update(const struct dv_deferred *h)
{
	return h->req ? h->req->update : NULL;
}

uint32_t dv_deferred_depth(const struct dv_deferred *h)
{
	/* With a name of its own it takes one of the levels. */
	return h->at.depth - (h->at.depth > 0 && !h->merge);
}

enum dv_sensitivity dv_deferred_limit(const struct dv_deferred *h)
{
	return h->req ? h->req->limit : DV_SENS_SAFE;
}

uint64_t dv_deferred_deadline(const struct dv_deferred *h)
{
	return h->req ? h->req->deadline_ns : 0;
}

/* ---- answers ---- */

/* It has its answer: forget it. @req may be gone afterwards. */
static void close_handle(struct dv_deferred *h)
{
	struct dv_inspect_req *req = h->req;

	if (h->prevp) {
		*h->prevp = h->next;
		if (h->next)
			h->next->prevp = h->prevp;
	}
	free(h->name);
	free(h);
	if (req)
		dv_inspect_settle(req);
}

/* @node (consumed) as this request may see it; NULL: not at all. */
static struct dv_node *fit(const struct dv_deferred *h, struct dv_node *node)
{
	if (dv_node_get_error(node) == DV_NODE_NOT_FOUND)
		return dv_node_free(node);
	if (h->at.slash && h->at.rest && !*h->at.rest &&
	    !dv_node_is_dir(node) && node->kind != DV_NODE_FAILED) {
		dv_node_free(node);
		return dv_node_failed(DV_NODE_NOT_A_DIRECTORY, NULL);
	}
	dv_node_filter(node, h->req->limit);
	if (h->at.depth > 0 || h->merge)
		dv_node_cut(node, dv_deferred_depth(h));
	else if (node->kind == DV_NODE_DIR)
		dv_node_clear(node);
	return node;
}

/* Move the entries of @node (consumed) to where @h is. */
static void put_entries(struct dv_deferred *h, struct dv_node *node)
{
	struct dv_spot at = h->at;

	for (uint32_t i = 0; i < node->n; i++) {
		struct dv_node *entry = node->child[i];
		dv_autofree char *name = dv_take_ptr(&entry->name);

		at.name = (struct dv_str){ name, entry->name_len };
		at.level = dv_max(entry->level, h->at.level);
		entry->name_len = 0;
		dv_inspect_put(h->req, &at, entry);
	}
	node->n = 0;
	dv_node_free(node);
}

void dv_deferred_node(struct dv_deferred *h, struct dv_node *node)
{
	if (!h->req) {
		dv_node_free(node);
	} else if (!node) {
		dv_deferred_fail(h, DV_NODE_UNRESOLVED, NULL);
		return;
	} else {
		node = fit(h, node);
		if (node && h->merge && node->kind == DV_NODE_DIR)
			put_entries(h, node);
		else if (node)
			dv_inspect_put(h->req, &h->at, node);
	}
	close_handle(h);
}

void dv_deferred_dir(struct dv_deferred *h, dv_inspect_fn *fn, void *obj)
{
	if (h->req) {
		/* The visit may answer other handles: not yet the end. */
		bool visiting = h->req->visiting;

		h->req->visiting = true;
		if (h->merge)
			dv_inspect_visit_here(h->req, &h->at, fn, obj);
		else
			dv_inspect_visit(h->req, &h->at, fn, obj);
		h->req->visiting = visiting;
	}
	close_handle(h);
}

void dv_deferred_fail(struct dv_deferred *h, enum dv_node_error error,
		      const char *text)
{
	if (h->req && error != DV_NODE_NOT_FOUND)
		dv_inspect_put(h->req, &h->at, dv_node_failed(error, text));
	close_handle(h);
}

struct dv_deferred *dv_deferred_drop(struct dv_deferred *h)
{
	if (h)
		dv_deferred_fail(h, DV_NODE_UNRESOLVED, NULL);
	return NULL;
}
