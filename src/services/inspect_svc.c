/* SPDX-License-Identifier: MIT */
#include "services/inspect_svc.h"

#include <errno.h>
#include <stdlib.h>

#include "base/def.h"
#include "rpc/limits.h"
#include "wire/inspect.pb.h"

struct dv_inspect_svc {
	struct dv_loop *loop;
	dv_inspect_fn *root;
	void *obj;
	enum dv_sensitivity limit;
};

/* A request that waits for entries that come later. */
struct query {
	struct dv_call *call;
	struct dv_inspect_req *req;
	bool update;
};

enum {
	/* What a response adds to its payload: a frame and two fields. */
	OVERHEAD = 64,
	/* The answer at the deadline has to arrive before it. */
	MARGIN_MAX_NS = 20 * 1000 * 1000,
	ERROR_TEXT_MAX = 512,
};

/* ---- answers ---------------------------------------------------------- */

static void reply_tree(struct dv_call *call, struct dv_node *node)
{
	dv_autofree uint8_t *data = NULL;
	size_t len;

	if (dv_node_encoded_size(node) > DV_RPC_SEND_MAX - OVERHEAD &&
	    dv_node_prune(node, DV_RPC_SEND_MAX - OVERHEAD) < 0)
		dv_call_fail(call, DV_EXHAUSTED,
			     "the answer is too large; ask for a part of it");
	else if (dv_node_encode_response(node, &data, &len) < 0)
		dv_call_fail(call, DV_EXHAUSTED, "no memory for the answer");
	else
		dv_call_reply_bytes(call, data, len);
}

static void reply_update(struct dv_call *call, const struct dv_node *node,
			 const struct dv_node *old)
{
	dv_autofree uint8_t *data = NULL;
	char text[ERROR_TEXT_MAX];
	size_t len;

	if (dv_node_get_error(node)) {
		dv_node_error_text(node, text, sizeof(text));
		dv_call_fail(call, DV_UNKNOWN, "%s", text);
	} else if (dv_node_encode_update(node, old, &data, &len) < 0) {
		dv_call_fail(call, DV_UNKNOWN, "unresolved");
	} else {
		dv_call_reply_bytes(call, data, len);
	}
}

static void on_done(void *arg, struct dv_node *node, const struct dv_node *old)
{
	struct query *q = arg;

	if (q->update)
		reply_update(q->call, node, old);
	else
		reply_tree(q->call, node);
	dv_node_free(node);
	free(q);
}

static void cancelled(struct dv_call *call)
{
	struct query *q = call->data;

	dv_inspect_cancel(q->req);
	free(q);
}

/* ---- requests --------------------------------------------------------- */

static uint64_t deadline_of(const struct dv_call *call)
{
	uint64_t now = dv_now_ns(), left;

	if (call->deadline_ns == UINT64_MAX)
		return 0;
	left = call->deadline_ns > now ? call->deadline_ns - now : 0;
	return call->deadline_ns - dv_min(left / 8, (uint64_t)MARGIN_MAX_NS);
}

static void ask(struct dv_call *call, struct dv_inspect_opts *opts)
{
	struct dv_inspect_svc *svc = call->ctx;
	struct query *q = calloc(1, sizeof(*q));
	struct dv_inspect_req *req = NULL;
	int r = -ENOMEM;

	opts->limit = svc->limit;
	opts->deadline_ns = deadline_of(call);
	if (q) {
		*q = (struct query){ call, NULL, opts->update != NULL };
		r = dv_inspect_start(&req, svc->loop, opts, svc->root, svc->obj,
				     on_done, q);
	}
	if (r < 0) {
		free(q);
		dv_call_fail(call, dv_code_from_errno(-r), "inspect: %s",
			     dv_errno_text(-r));
	} else if (req) {
		q->req = req;
		dv_call_hold(call, q, cancelled);
	}
}

static void m_inspect(struct dv_call *call)
{
	const dv_inspect_InspectRequest *rq = call->req;
	struct dv_inspect_opts opts = { .path = rq->path, .depth = rq->depth };

	ask(call, &opts);
}

static void m_update(struct dv_call *call)
{
	const dv_inspect_UpdateRequest *rq = call->req;
	struct dv_inspect_opts opts = {
		.path = rq->path,
		.update = rq->value ? rq->value : "",
	};

	ask(call, &opts);
}

// clang-format off
static const struct dv_method methods[] = {
	/* The answers are encoded by the tree itself. */
	{ "Inspect", m_inspect, dv_inspect_InspectRequest_fields,
	  sizeof(dv_inspect_InspectRequest), NULL, DV_M_SAFE },
	{ "Update", m_update, dv_inspect_UpdateRequest_fields,
	  sizeof(dv_inspect_UpdateRequest), NULL, DV_M_MUTATES },
};
// clang-format on
static DV_SERVICE(service, "inspect.InspectService", methods);

int dv_inspect_svc_new(struct dv_inspect_svc **svcp, struct dv_loop *loop,
		       dv_inspect_fn *root, void *obj, bool safe)
{
	struct dv_inspect_svc *svc = calloc(1, sizeof(*svc));

	if (!svc)
		return -ENOMEM;
	*svc = (struct dv_inspect_svc){ loop, root, obj,
					safe ? DV_SENS_SAFE
					     : DV_SENS_SENSITIVE };
	*svcp = svc;
	return 0;
}

struct dv_inspect_svc *dv_inspect_svc_free(struct dv_inspect_svc *svc)
{
	free(svc);
	return NULL;
}

int dv_inspect_svc_add(struct dv_server *server, struct dv_inspect_svc *svc)
{
	return dv_server_add(server, &service, svc);
}
