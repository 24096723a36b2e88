/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * davit.v1.Sandbox: davit's own API, on a table of processes and, in a guest,
 * on what only its agent can do.
 */
#include "rpc/server.h"
#include "services/procs.h"

struct dv_sandbox_svc;

/*
 * @procs and @guest (NULL: those calls are UNIMPLEMENTED) are borrowed for the
 * service's life. Returns 0 or -ENOMEM.
 */
int dv_sandbox_svc_new(struct dv_sandbox_svc **svcp, struct dv_procs *procs,
		       const struct dv_guest *guest, struct dv_err *err);
/* After the servers that it was added to. NULL is allowed. Returns NULL. */
struct dv_sandbox_svc *dv_sandbox_svc_free(struct dv_sandbox_svc *svc);

/* What Hello calls it: "process", "container", "vm", "guest" (the default with
 * a guest). Static. */
void dv_sandbox_svc_boundary(struct dv_sandbox_svc *svc, const char *boundary);

/* Asked before each start, here and by services/diag.h: 0, or < 0 with @err
 * filled: it is refused so. @arg is borrowed. */
void dv_sandbox_svc_gate(struct dv_sandbox_svc *svc,
			 int (*may)(void *arg, struct dv_err *err), void *arg);

/* Serve it. Returns 0 or -errno. */
int dv_sandbox_svc_add(struct dv_server *server, struct dv_sandbox_svc *svc);
