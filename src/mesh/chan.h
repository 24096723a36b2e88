/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The insides of a channel that its files share.
 */
#include "base/list.h"
#include "mesh/chan_msg.h"

struct dv_chan_sender {
	struct dv_port *port;
	const struct dv_chan_sender_ops *ops;
	void *user;
};

struct dv_chan_receiver {
	struct dv_mesh *mesh;
	const struct dv_chan_ops *ops; /* NULL: not started */
	void *user;
	struct dv_list ins; /* one port for each sender */
	size_t n, max;
	bool paused;
	bool has_lost;
	struct dv_port_end lost; /* the first */
	bool *gonep; /* of who calls back now: set when it is closed */
};

/*
 * A question has come on a port of @rx: make it and call the program with it.
 * @rx may be gone after that. Without memory who asked hears so. Returns 0, or
 * -EBADMSG with @err, and the program was not called.
 */
int dv_asked_deliver(struct dv_chan_receiver *rx, struct dv_msg *msg,
		     const dv_mesh_Request *rq, struct dv_err *err);

/*
 * Send a question to the other end of @to; @reply (consumed) waits for the
 * answer. Returns as dv_port_send().
 */
int dv_chan_ask(struct dv_port *to, struct dv_msg *msg, struct dv_port *reply,
		uint64_t left_ns, bool stream, struct dv_err *err);
