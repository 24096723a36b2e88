/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For the unit tests of the node: an application that writes down what it gets.
 * Messages are strings; what it got is put together: "a", then "b" is "ab".
 */
#include <stdbool.h>
#include <string.h>

#include "base/test.h"
#include "mesh/try.h"

enum { REC_PORTS = 8, REC_KEPT = 64 };

struct rec {
	struct dv_port *port;
	char got[512];
	size_t n; /* messages */
	struct dv_port *ports[REC_PORTS];
	size_t n_ports;
	bool keeps;
	struct dv_msg *kept[REC_KEPT];
	size_t n_kept;
	int n_ended, n_writable;
	struct dv_port_end end;
	/* Called inside the callbacks; may do anything. */
	void (*on_message)(struct rec *r, struct dv_msg *msg);
	void (*on_ended)(struct rec *r);
	void (*on_writable)(struct rec *r);
	struct rec *other; /* for these */
};

static inline void rec_message(struct dv_port *port, struct dv_msg *msg)
{
	struct rec *r = dv_port_user(port);
	size_t at = strlen(r->got), len = dv_msg_len(msg);

	if (at + len < sizeof(r->got))
		memcpy(r->got + at, dv_msg_data(msg), len);
	r->n++;
	for (size_t i = 0; i < dv_msg_n_atts(msg); i++)
		if (dv_msg_att(msg, i) == DV_ATT_PORT && r->n_ports < REC_PORTS)
			r->ports[r->n_ports++] = dv_msg_take_port(msg, i);
	if (r->keeps) {
		CHECK(r->n_kept < REC_KEPT);
		r->kept[r->n_kept] = dv_msg_keep(msg);
		CHECK(r->kept[r->n_kept++]);
	}
	if (r->on_message)
		r->on_message(r, msg);
}

static inline void rec_ended(struct dv_port *port,
			     const struct dv_port_end *end)
{
	struct rec *r = dv_port_user(port);

	r->n_ended++;
	r->end = *end;
	if (r->on_ended)
		r->on_ended(r);
}

static inline void rec_writable(struct dv_port *port)
{
	struct rec *r = dv_port_user(port);

	r->n_writable++;
	if (r->on_writable)
		r->on_writable(r);
}

static const struct dv_port_ops rec_ops = {
	.message = rec_message,
	.ended = rec_ended,
	.writable = rec_writable,
};

static inline void rec_start(struct rec *r, struct dv_port *port)
{
	r->port = port;
	dv_port_start(port, &rec_ops, r);
}

static inline void rec_close(struct rec *r)
{
	while (r->n_kept > 0)
		dv_msg_free(r->kept[--r->n_kept]);
	while (r->n_ports > 0)
		dv_port_close(r->ports[--r->n_ports], NULL);
	r->port = dv_port_close(r->port, NULL);
}

/* One message per letter. Returns what the last one returned. */
static inline int rec_say(struct dv_port *port, const char *text)
{
	int r = 0;

	for (; *text; text++)
		r = dv_port_send_bytes(port, text, 1, NULL);
	return r;
}

static inline struct dv_msg *rec_text(const char *text)
{
	struct dv_msg *msg = dv_msg_new(strlen(text));

	CHECK(msg);
	memcpy(dv_msg_data(msg), text, strlen(text));
	return msg;
}

/* One message that carries @port (consumed). */
static inline int rec_move(struct dv_port *by, struct dv_port *port,
			   const char *text)
{
	struct dv_msg *msg = rec_text(text);

	CHECK(dv_msg_add_port(msg, port) >= 0);
	return dv_port_send(by, msg, NULL);
}

/* The rules were kept, and nothing is left. */
static inline void rec_done(struct try *t)
{
	try_settle(t);
	for (int i = 0; i < t->n_nodes; i++) {
		if (!t->nodes[i].node)
			continue;
		CHECK_EQ(dv_node_counts(t->nodes[i].node)->n_ports, 0);
		CHECK_EQ(dv_node_counts(t->nodes[i].node)->n_proxies, 0);
		CHECK_EQ(dv_node_unfinished(t->nodes[i].node), 0);
		CHECK(dv_node_finished(t->nodes[i].node));
	}
	try_free(t);
	if (t->fault[0])
		fail_msg("%s", t->fault);
}
