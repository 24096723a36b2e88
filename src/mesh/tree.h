/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A mesh in the inspect tree; docs/mesh.md, "Looking inside", has the names.
 *
 * Bytes are those that windows count: 64 more for each message, and 256 for
 * each attachment.
 */
#include "davit/host.h"
#include "davit/mesh.h"
#include "inspect/inspect.h"

enum {
	/* Ports of one listing: 65,536 would be more than one tree may hold. A
	 * path finds every port. */
	DV_MESH_TREE_PORTS = 16384,
	/* Digits of a port's id that are shown. The other half stays secret:
	 * who knows the whole id of a port that is on its way may accept it. */
	DV_MESH_TREE_DIGITS = 16,
};

/* What is shown; both are borrowed for the request. */
struct dv_mesh_tree {
	struct dv_mesh *mesh;
	struct dv_hosts *hosts; /* of that mesh; NULL: it launches none */
};

/* @tree is a struct dv_mesh_tree: node_id, ports/ID, links/FD, counts,
 * hosts/PID (this process is one of them), and so on. */
void dv_mesh_inspect(struct dv_inspect *in, void *tree);
