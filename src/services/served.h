/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What a program serves, as a document: processes, connections with the calls
 * that are held, data connections that nobody claimed, and who waits at the
 * door. An agent or a keeper that executes itself anew hands it on.
 */
#include "base/log.h"
#include "rpc/data.h"
#include "rpc/door.h"
#include "rpc/server.h"
#include "services/procs.h"

enum { DV_SERVED_SERVERS = 2 };

struct dv_served {
	struct dv_procs *procs;                       /* NULL: none */
	struct dv_server *servers[DV_SERVED_SERVERS]; /* NULL: none */
	struct dv_data *data;
	struct dv_door *door;
	struct dv_log_sink *log; /* may be NULL */
};

/*
 * Everything that outlives this program, for pb_release(); nothing moves until
 * the loop runs again. @each_fd gets every descriptor in it. Returns 0, -EBUSY
 * while processes are being started, or -errno.
 */
int dv_served_save(const struct dv_served *s, dv_ServedState *out,
		   void (*each_fd)(void *arg, int fd), void *arg,
		   struct dv_err *err);
/* The listening socket in @st (for dv_door_new(); owned), or -1. */
int dv_served_door(const dv_ServedState *st);
/*
 * Connections, into servers that have all their services, after processes
 * (dv_procs_restore()) and door. Those that cannot be taken over are closed and
 * logged. Their descriptors are consumed.
 */
void dv_served_restore(const struct dv_served *s, const dv_ServedState *st);
/* One connection alone, into @server (NULL: -ENOENT). Its descriptor is
 * consumed. 0 or -errno. */
int dv_served_restore_conn(struct dv_server *server, const dv_ConnState *conn);
