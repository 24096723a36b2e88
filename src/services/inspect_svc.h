/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * inspect.InspectService: an owner's tree on the wire. A query never fails:
 * what is wrong is in the tree, and at the deadline it is what there is by
 * then. An update fails with the text of its error.
 */
#include "inspect/inspect.h"
#include "rpc/server.h"

struct dv_inspect_svc;

/*
 * The tree is @root(@obj), borrowed for the service's life. @safe: only entries
 * marked safe are shown. Returns 0 or -ENOMEM.
 */
int dv_inspect_svc_new(struct dv_inspect_svc **svcp, struct dv_loop *loop,
		       dv_inspect_fn *root, void *obj, bool safe);
/* After the servers that it was added to. NULL is allowed. Returns NULL. */
struct dv_inspect_svc *dv_inspect_svc_free(struct dv_inspect_svc *svc);

/* Serve it. Returns 0 or -errno. */
int dv_inspect_svc_add(struct dv_server *server, struct dv_inspect_svc *svc);
