/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The inside of a mesh: a node, its loop and its links. Private to this room.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <davit/loop.h>

#include "base/list.h"
#include "mesh/node.h"

struct dv_link;
struct dv_link_watch;

enum {
	/* What is read in one go: the frames in it are one batch of callbacks,
	 * then others have their turn. */
	DV_MESH_READ_LEN = 64 << 10,
	/* Room for it, and before it the start of a frame of any length. */
	DV_MESH_SCRATCH = 256 << 10,
	/* Callbacks of one dv_node_run(). */
	DV_MESH_RUN_BUDGET = 256,
};

enum dv_leave_state {
	DV_LEAVE_NO = 0,
	DV_LEAVE_DRAIN, /* waits for ports and for what is to be written */
	DV_LEAVE_BYE,   /* waits for the links to end */
	DV_LEAVE_DONE,
	DV_LEAVE_N
};

struct dv_leave {
	enum dv_leave_state state;
	struct dv_defer check;
	struct dv_timer deadline;
	void (*fn)(struct dv_mesh *mesh, void *arg,
		   const struct dv_mesh_left *left);
	void *arg;
};

struct dv_mesh {
	struct dv_loop *loop; /* borrowed */
	struct dv_mesh_node *node;
	struct dv_node_limits limits;
	uint64_t window;        /* bytes on the way from one process */
	uint32_t hello_ms;      /* a handshake may take as long */
	uint64_t n_violations;  /* links that were cut for breaking the rules */
	uint64_t n_turned_away; /* guests that were not let in */
	char name[32];
	struct dv_list links; /* struct dv_link.in_mesh, those that went down
			       * and are still needed included */
	struct dv_defer run;
	struct dv_leave leave;
	uint8_t *scratch; /* DV_MESH_SCRATCH; read into by one link at a time */
	bool reading;     /* it is in use: callbacks may run */
	struct dv_mesh_id ids[16]; /* random ones; the first n_ids are new */
	unsigned int n_ids;
};

/* dv_mesh_new() of a node that is @id (zero: any), for an invitation says so.
 */
int dv_mesh_new_as(struct dv_mesh **meshp, struct dv_loop *loop,
		   const struct dv_mesh_opts *opts, struct dv_mesh_id id,
		   struct dv_err *err);
/*
 * dv_mesh_invite() for a node that has to be @id: one that says it is another
 * is cut off. Zero: it may be any that nobody else here is; and as that is only
 * its word, its connection is used for its own ports only.
 */
int dv_mesh_invite_as(struct dv_mesh *mesh, struct dv_mesh_id id, int *fdp,
		      struct dv_port **portp, struct dv_err *err);
/* What dv_mesh_id_text() writes; -EINVAL: it is not, or is zero. */
int dv_mesh_id_parse(const char *text, struct dv_mesh_id *idp);

/* Borrowed. */
const char *dv_mesh_name(const struct dv_mesh *mesh);
/* The mesh of a node that dv_mesh_new() made. Borrowed. */
struct dv_mesh *dv_mesh_of(const struct dv_mesh_node *node);

/*
 * What an invitation does, over a socket that is connected already (@fd,
 * consumed): give the other process a port; *portp is our end of it. Its
 * handshake has the mesh's deadline from now on. @watch (borrowed): it came by
 * itself, and who hears what becomes of it; NULL: it was invited. -ENOTSOCK: it
 * is no connected unix stream socket; -ENFILE, -ENOMEM.
 */
int dv_mesh_offer(struct dv_mesh *mesh, int fd, struct dv_link_watch *watch,
		  struct dv_port **portp, struct dv_err *err);

/* Something happened that dv_mesh_leave() may wait for. */
void dv_leave_check(struct dv_mesh *mesh);
/* Nobody is told. */
void dv_leave_cancel(struct dv_mesh *mesh);
