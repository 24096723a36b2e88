/* SPDX-License-Identifier: MIT */
/*
 * DOC: leaving in order.
 *
 *	DRAIN	until no port has anything left to do and all is written
 *	BYE	GOODBYE was said on every link; until the last one has ended
 *	DONE	the user was told
 *
 * Nothing here polls: whatever could change something calls dv_leave_check().
 */
#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "mesh/link.h"
#include "mesh/mesh_priv.h"

#define NS_PER_MS UINT64_C(1000000)

static uint32_t count_alive(const struct dv_mesh *mesh)
{
	struct dv_list *at, *next;
	uint32_t n = 0;

	dv_list_each(at, next, &mesh->links) n +=
		dv_list_of(at, struct dv_link, in_mesh)->state < DV_LINK_DOWN;
	return n;
}

static void finish(struct dv_mesh *mesh)
{
	struct dv_leave *leave = &mesh->leave;
	struct dv_mesh_left left = { dv_node_unfinished(mesh->node),
				     count_alive(mesh) };

	leave->state = DV_LEAVE_DONE;
	dv_timer_stop(&leave->deadline);
	dv_defer_del(&leave->check);
	leave->fn(mesh, leave->arg, &left); /* may free it */
}

static bool all_written(const struct dv_mesh *mesh)
{
	struct dv_list *at, *next;

	dv_list_each(at, next, &mesh->links)
	{
		const struct dv_link *link =
			dv_list_of(at, struct dv_link, in_mesh);

		if (!dv_link_alive(link))
			continue;
		if (!link->out.dead && !dv_out_empty(&link->out))
			return false;
		if (link->door) /* What was sent waits for the handshake. */
			return false;
		if (link->state == DV_LINK_HELLO && link->out.sent > 0)
			return false; /* nobody may have read it */
	}
	return true;
}

static void say_goodbye(struct dv_link *link)
{
	struct dv_mw_event ev = { .kind = DV_MW_GOODBYE };
	struct dv_err err = DV_ERR_INIT;

	if (!dv_link_alive(link))
		return;
	if (link->state == DV_LINK_HELLO) { /* Nobody is there. */
		dv_err_set(&err, ESHUTDOWN, DV_CANCELLED,
			   "this process left the mesh");
		dv_link_fail(link, &err, false);
		return;
	}
	dv_out_event(link, &ev, NULL, -1);
	link->told_bye = true;
}

static void on_check(struct dv_defer *defer)
{
	struct dv_mesh *mesh =
		dv_container_of(defer, struct dv_mesh, leave.check);
	struct dv_leave *leave = &mesh->leave;
	struct dv_list *at, *next;

	if (leave->state == DV_LEAVE_DRAIN && all_written(mesh) &&
	    dv_node_finished(mesh->node)) {
		leave->state = DV_LEAVE_BYE;
		dv_list_each(at, next, &mesh->links)
			say_goodbye(dv_list_of(at, struct dv_link, in_mesh));
	}
	if (leave->state == DV_LEAVE_BYE && count_alive(mesh) == 0)
		finish(mesh);
}

void dv_leave_check(struct dv_mesh *mesh)
{
	struct dv_leave *leave = &mesh->leave;

	if (leave->state == DV_LEAVE_DRAIN || leave->state == DV_LEAVE_BYE)
		dv_defer_add(mesh->loop, &leave->check, on_check);
}

static void on_deadline(struct dv_timer *timer)
{
	finish(dv_container_of(timer, struct dv_mesh, leave.deadline));
}

int dv_mesh_leave(struct dv_mesh *mesh, int timeout_ms,
		  void (*fn)(struct dv_mesh *mesh, void *arg,
			     const struct dv_mesh_left *left),
		  void *arg)
{
	struct dv_leave *leave = &mesh->leave;
	uint64_t at;
	int r = 0;

	if (leave->state != DV_LEAVE_NO)
		return -EALREADY;
	if (timeout_ms >= 0) {
		at = dv_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
		r = dv_timer_set(mesh->loop, &leave->deadline, at, on_deadline);
	}
	if (r < 0)
		return r;
	leave->state = DV_LEAVE_DRAIN;
	leave->fn = fn;
	leave->arg = arg;
	dv_leave_check(mesh);
	return 0;
}

void dv_leave_cancel(struct dv_mesh *mesh)
{
	dv_timer_stop(&mesh->leave.deadline);
	dv_defer_del(&mesh->leave.check);
}
