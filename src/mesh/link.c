/* SPDX-License-Identifier: MIT */
/*
 * DOC: the life of a link.
 *
 *	HELLO --the peer's hello--> UP
 *	HELLO, UP --end, error, violation, goodbye--> ENDING
 *	ENDING --from the loop--> DOWN --no message of it is left--> freed
 *
 * Whatever ends it is noted at once and done from the loop, because it may be
 * found in the middle of anything: a callback of the node, a send. A peer that
 * is gone is no reason to stop reading: what it wrote is delivered first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/loop_alone.h"
#include "mesh/link.h"

#define NS_PER_MS UINT64_C(1000000)

static void on_io(struct dv_src *src, uint32_t events);
static void on_deadline(struct dv_timer *timer);

static const struct dv_link_ops ops = {
	.send = dv_link_send,
	.room = dv_link_room,
	.consumed = dv_link_consumed,
	.forget = dv_link_forget,
};

struct dv_link *dv_link_of(const struct dv_mesh_link *base)
{
	dv_assert(base->ops == &ops);
	return (struct dv_link *)(uintptr_t)base;
}

const char *dv_link_who(const struct dv_link *link, char out[DV_LINK_WHO])
{
	if (link->base.pid > 0)
		dv_fmt(out, DV_LINK_WHO, "process %d", link->base.pid);
	else
		dv_fmt(out, DV_LINK_WHO, "the other process");
	return out;
}

/* ---- the beginning ---- */

static struct dv_link *alloc(struct dv_mesh *mesh, int fd,
			     const struct dv_link_start *start)
{
	struct dv_link *link = calloc(1, sizeof(*link));

	if (!link)
		return NULL;
	link->base.ops = &ops;
	link->base.peer = start->peer;
	link->base.via = start->via;
	link->base.parent = start->parent;
	link->base.stranger = start->stranger;
	dv_list_init(&link->base.at);
	dv_list_init(&link->base.ports);
	dv_list_init(&link->base.waiting);
	dv_list_init(&link->base.busy);
	link->mesh = mesh;
	link->fd = fd;
	link->src = (struct dv_src)DV_SRC_INIT;
	link->wants_port = start->wants_port;
	link->early = start->waits;
	dv_out_init(&link->out);
	link->out.granted = link->early ? DV_MW_WINDOW_MIN : 0;
	link->out.max_message = link->early ? DV_MW_EARLY_MAX : 0;
	dv_in_init(&link->in, mesh->window);
	dv_list_init(&link->in_mesh);
	return link;
}

static int set_deadline(struct dv_link *link)
{
	uint64_t at = dv_now_ns() + link->mesh->hello_ms * NS_PER_MS;

	return dv_timer_set(link->mesh->loop, &link->deadline, at, on_deadline);
}

void dv_link_hurry(struct dv_link *link)
{
	struct dv_err err = DV_ERR_INIT;
	int r = link->deadline.loop ? 0 : set_deadline(link);

	if (r < 0) {
		dv_err_sys(&err, -r, "let a process join");
		dv_link_fail(link, &err, false);
	}
}

static int start_up(struct dv_link *link, const struct dv_link_start *start)
{
	struct dv_mesh *mesh = link->mesh;
	int r = dv_link_socket(link->fd);

	dv_link_pass_creds(link->fd, true);
	if (r == 0)
		r = dv_src_add(mesh->loop, &link->src, link->fd, EPOLLIN,
			       on_io);
	if (r == 0 && !start->waits)
		r = set_deadline(link);
	if (r == 0)
		r = dv_node_link_up(mesh->node, &link->base);
	return r;
}

int dv_link_new(struct dv_link **linkp, struct dv_mesh *mesh, int fd,
		const struct dv_link_start *start)
{
	struct dv_link *link = alloc(mesh, fd, start);
	int r;

	if (!link) {
		dv_close(fd);
		return -ENOMEM;
	}
	r = start_up(link, start);
	if (r < 0) {
		dv_link_free(link);
		return r;
	}
	dv_list_add(&mesh->links, &link->in_mesh);
	*linkp = link;
	return 0;
}

static void on_deadline(struct dv_timer *timer)
{
	struct dv_link *link = dv_container_of(timer, struct dv_link, deadline);
	struct dv_err err = DV_ERR_INIT;
	char who[DV_LINK_WHO];

	dv_err_set(&err, ETIMEDOUT, DV_DEADLINE,
		   "%s did not finish its handshake within %u ms",
		   dv_link_who(link, who), link->mesh->hello_ms);
	dv_link_fail(link, &err, true);
}

/* ---- what happens on it ---- */

/* A long message is gone on with at once, for a while. */
static void read_some(struct dv_link *link, bool sleep)
{
	for (int n = DV_LINK_READS; n > 0; n--) {
		int r = dv_in_read(link, UINT32_MAX, sleep);

		if (r == DV_MORE && sleep) /* It would not wait. */
			link->sleepless = true;
		if (r == DV_MORE || !dv_link_alive(link) ||
		    link->in.fill_left == 0)
			break;
		sleep = false;
	}
}

static void on_io(struct dv_src *src, uint32_t events)
{
	struct dv_link *link = dv_container_of(src, struct dv_link, src);

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		read_some(link, events & DV_SRC_SLEEP);
	if (dv_link_alive(link))
		dv_src_sleeper(src, !link->sleepless);
	if (dv_link_alive(link) && events & (EPOLLOUT | EPOLLERR)) {
		dv_out_unblock(link);
		dv_out_flush(link);
	}
	dv_leave_check(link->mesh);
}

/* ---- the end ---- */

/* The peer should hear it; when there is no room, it does not. */
static void tell(struct dv_link *link, const struct dv_err *why)
{
	struct dv_mw_event ev = { .kind = DV_MW_ERROR, .has_err = true };

	if (link->out.flushing)
		return;
	dv_out_event(link, &ev, why, -1);
	if (dv_link_alive(link))
		dv_out_write(link);
}

void dv_link_fail(struct dv_link *link, const struct dv_err *why, bool do_tell)
{
	if (!dv_link_alive(link))
		return;
	if (link->why.code == DV_OK)
		link->why = *why;
	if (do_tell && !link->out.dead)
		tell(link, why);
	if (!dv_link_alive(link)) /* That failed, too. */
		return;
	link->state = DV_LINK_ENDING;
	dv_src_del(&link->src);
	dv_timer_stop(&link->deadline);
	dv_link_end_later(link);
}

void dv_link_violation(struct dv_link *link, const struct dv_err *why)
{
	struct dv_err err = *why;
	char who[DV_LINK_WHO];

	if (!dv_link_alive(link))
		return;
	link->mesh->n_violations++;
	dv_err_wrap(&err, -EPROTO, "%s broke the rules",
		    dv_link_who(link, who));
	dv_link_fail(link, &err, true);
}

/* No more bytes either way; the node hears why. */
static void go_down(struct dv_link *link)
{
	struct dv_port *door = dv_take_ptr(&link->door);
	struct dv_link_watch *watch = dv_take_ptr(&link->watch);

	link->state = DV_LINK_DOWN;
	dv_src_del(&link->src);
	dv_timer_stop(&link->deadline);
	if (link->base.node)
		dv_node_link_down(&link->base, &link->why);
	dv_port_close(door, &link->why);
	dv_port_close(dv_take_ptr(&link->port), &link->why);
	dv_in_free(link);
	dv_out_free(link);
	link->fd = dv_close(link->fd);
	if (watch)
		watch->down(watch);
}

static void on_end(struct dv_defer *defer)
{
	struct dv_link *link = dv_container_of(defer, struct dv_link, end);
	struct dv_mesh *mesh = link->mesh;

	if (link->state != DV_LINK_DOWN)
		go_down(link);
	if (link->base.held == 0)
		dv_link_free(link);
	dv_leave_check(mesh);
}

void dv_link_end_later(struct dv_link *link)
{
	dv_defer_add(link->mesh->loop, &link->end, on_end);
}

void dv_link_drop(struct dv_link *link)
{
	if (link->why.code == DV_OK)
		dv_err_set(&link->why, ESHUTDOWN, DV_CANCELLED,
			   "this process left the mesh");
	if (link->state != DV_LINK_DOWN)
		go_down(link);
	dv_defer_del(&link->end);
}

struct dv_link *dv_link_free(struct dv_link *link)
{
	dv_src_del(&link->src);
	dv_timer_stop(&link->deadline);
	dv_defer_del(&link->end);
	dv_in_free(link);
	dv_out_free(link);
	dv_close(link->fd);
	dv_list_del(&link->in_mesh);
	free(link);
	return NULL;
}
