/* SPDX-License-Identifier: MIT */
/*
 * Being asked for the tree, in a host.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "mesh/host_child.h"

enum {
	/* A tree that fits a message whatever its options are, nearly. */
	TREE_MAX = 4 << 20,
};

struct asked {
	struct dv_host_self *self;
	uint32_t id;
};

/* What inspect() adds, as far as the request wants it. */
static void show_user(struct dv_inspect *in, struct dv_host_self *self)
{
	struct dv_deferred *h = dv_inspect_defer(in, "", DV_INSPECT_SAFE);
	struct dv_node *dir = h ? dv_node_dir() : NULL;
	struct dv_node *at = NULL;

	if (!h)
		return;
	if (dir) {
		self->main->inspect(self, dir);
		dv_node_normalize(dir);
		at = dv_node_find(dir, dv_deferred_path(h));
	}
	if (at && dv_deferred_update(h))
		dv_deferred_fail(h, DV_NODE_IMMUTABLE, NULL);
	else if (at)
		dv_deferred_node(h, dv_node_copy(at));
	else
		dv_deferred_fail(h, DV_NODE_NOT_FOUND, NULL);
	dv_node_free(dir);
}

static void show(struct dv_inspect *in, void *obj)
{
	struct dv_host_self *self = obj;

	dv_inspect_u64(in, "log_dropped", self->log_dropped, DV_INSPECT_SAFE);
	dv_inspect_dir(in, "workers", dv_host_self_show_works, self,
		       DV_INSPECT_SAFE);
	if (self->show)
		self->show(in, self->show_obj);
	if (self->main->inspect)
		show_user(in, self);
}

static void on_done(void *arg, struct dv_node *node, const struct dv_node *old)
{
	struct asked *a = arg;
	struct dv_host_msg m = { .kind = DV_HM_INSPECTED, .id = a->id };
	uint8_t *data = NULL;
	size_t len = 0;

	(void)old;
	if (dv_node_prune(node, TREE_MAX) < 0) {
		dv_node_free(node);
		node = dv_node_failed(DV_NODE_CHANNEL, "too much at once");
	}
	if (a->self->ctl && node &&
	    dv_node_encode_response(node, &data, &len) == 0) {
		m.data = dv_host_str((const char *)data, len);
		dv_host_msg_send(a->self->ctl, &m, NULL);
	}
	free(data);
	dv_node_free(node);
	free(a);
}

void dv_host_self_inspect(struct dv_host_self *self,
			  const struct dv_host_msg *m)
{
	dv_autofree char *path =
		strndup(m->text.ptr ? m->text.ptr : "", m->text.len);
	dv_autofree char *update =
		m->time ? strndup(m->data.ptr ? m->data.ptr : "", m->data.len)
			: NULL;
	struct dv_inspect_opts opts = {
		.path = path,
		.update = update,
		.depth = m->flags,
		.limit = (enum dv_sensitivity)m->number,
		.deadline_ns = dv_now_ns() + m->count * 1000000,
	};
	struct asked *a = calloc(1, sizeof(*a));
	struct dv_inspect_req *req;

	/* Without an answer the parent's own deadline ends it. */
	if (!path || (m->time && !update) || !a || m->count > UINT32_MAX) {
		free(a);
		return;
	}
	a->self = self;
	a->id = m->id;
	if (dv_inspect_start(&req, self->loop, &opts, show, self, on_done, a) <
	    0)
		free(a);
}
