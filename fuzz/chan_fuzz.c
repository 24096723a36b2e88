/* SPDX-License-Identifier: MIT */
/*
 * What a peer may send to the ports of channels. The first byte picks who
 * receives; then each message is a byte that says how long it is (5 bits),
 * whether the mark of channels follows (1 bit), and how many ports are attached
 * (2 bits), and its bytes.
 */
#include <string.h>

#include "base/buf.h"
#include "base/def.h"
#include "davit/channel.h"
#include "mesh/chan_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_LIMIT = 4096, BATCH = 32 };

static struct dv_loop *loop;
static struct dv_mesh *mesh;

static void settle(void)
{
	while (dv_loop_dispatch(loop, 0) > 0)
		;
}

/* The next message, NULL at the end. */
static struct dv_msg *next_message(struct dv_rd *rd)
{
	uint8_t head = dv_rd_u8(rd);
	size_t len = head & 31, n_ports = head >> 6;
	const uint8_t *p = dv_rd_bytes(rd, len);
	struct dv_port *pair[2];
	struct dv_msg *msg;

	if (!dv_rd_ok(rd))
		return NULL;
	msg = dv_msg_new(len + (head & 32 ? DV_CHAN_MARK : 0));
	dv_assert(msg);
	if (len)
		memcpy(dv_msg_data(msg), p, len);
	if (head & 32) {
		struct dv_msg *empty = dv_chan_msg(NULL, 0, NULL);
		uint8_t *end = (uint8_t *)dv_msg_data(msg) + len;

		memcpy(end, dv_msg_data(empty), DV_CHAN_MARK);
		end[0] = (uint8_t)len;
		dv_msg_free(empty);
	}
	for (size_t i = 0; i < n_ports; i++) {
		dv_assert(dv_port_pair(mesh, pair) == 0);
		dv_assert(dv_msg_add_port(msg, pair[0]) >= 0);
		dv_port_close(pair[1], NULL);
	}
	return msg;
}

/* ---- who receives -------------------------------------------------- */

static void rx_message(struct dv_chan_receiver *rx, struct dv_msg *msg)
{
	(void)rx;
	dv_assert(dv_msg_len(msg) < SIZE_LIMIT);
}

static void rx_asked(struct dv_chan_receiver *rx, struct dv_asked *asked)
{
	(void)rx;
	if (dv_asked_is_stream(asked))
		dv_asked_end(asked);
	else if (dv_asked_left_ns(asked) == 0)
		dv_asked_drop(asked);
	else
		dv_asked_answer(asked, dv_asked_take_msg(asked), NULL);
}

static const struct dv_chan_ops rx_ops = { rx_message, rx_asked, NULL, NULL };

static void *receiver_open(struct dv_port *port)
{
	struct dv_chan_receiver *rx = dv_chan_receiver_from_port(port);

	dv_chan_limit(rx, 4);
	dv_chan_start(rx, &rx_ops, NULL);
	return rx;
}

static void receiver_close(void *rx)
{
	dv_chan_receiver_close(rx, NULL);
}

static void once_value(void *user, struct dv_msg *msg,
		       const struct dv_port_end *end)
{
	(void)user;
	dv_assert(!msg == !!end);
}

static void *once_open(struct dv_port *port)
{
	dv_once_receive(dv_once_receiver_from_port(port), once_value, NULL);
	return NULL;
}

static void once_close(void *rx)
{
	(void)rx;
}

/* In a message: what is made by X_take() only. */
static struct dv_msg *in_message(struct dv_port *port)
{
	struct dv_msg *msg = dv_msg_new(0);

	dv_assert(msg && dv_msg_add_port(msg, port) == 0);
	return msg;
}

static void *cancel_open(struct dv_port *port)
{
	struct dv_msg *msg = in_message(port);
	struct dv_cancel *c = dv_cancel_take(msg, 0, NULL, NULL, NULL);

	dv_msg_free(msg);
	return c;
}

static void cancel_close(void *c)
{
	dv_cancel_free(c);
}

static void *cell_open(struct dv_port *port)
{
	struct dv_msg *msg = in_message(port);
	struct dv_cell *cell = dv_cell_take(msg, 0, NULL, NULL, NULL);

	dv_msg_free(msg);
	return cell;
}

static void cell_close(void *cell)
{
	dv_cell_close(cell, NULL);
}

static const struct dv_cell_view_ops view_ops = { NULL, NULL };

static void *view_open(struct dv_port *port)
{
	struct dv_cell_view *view = dv_cell_view_from_port(port);

	dv_cell_view_watch(view, &view_ops, NULL);
	return view;
}

static void view_close(void *view)
{
	dv_cell_view_close(view);
}

static const struct dv_bytes_reader_ops read_ops = { NULL };

static void *bytes_open(struct dv_port *port)
{
	struct dv_bytes_reader *r = dv_bytes_reader_from_port(port);

	dv_bytes_watch_read(r, &read_ops, NULL);
	return r;
}

static void bytes_close(void *r)
{
	char buf[SIZE_LIMIT];

	while (dv_bytes_read(r, buf, sizeof(buf), NULL) > 0)
		settle();
	dv_bytes_reader_close(r, NULL);
}

static const struct {
	void *(*open)(struct dv_port *port);
	void (*close)(void *it);
} kinds[] = {
	{ receiver_open, receiver_close }, { once_open, once_close },
	{ cancel_open, cancel_close },     { cell_open, cell_close },
	{ view_open, view_close },         { bytes_open, bytes_close },
};

/* ---- and who is the other side of what we made --------------------- */

static void *own_cell(struct dv_port **evilp)
{
	struct dv_msg *msg = dv_msg_new(0);
	struct dv_cell_view *view;
	struct dv_cell *cell;

	dv_assert(dv_cell_new(&cell, mesh, "v", 1, NULL) == 0);
	dv_assert(dv_cell_subscribe(cell, &view, NULL) == 0);
	dv_assert(dv_cell_view_attach(msg, view) == 0);
	*evilp = dv_msg_take_port(msg, 0);
	dv_msg_free(msg);
	return cell;
}

static void *own_cancel(struct dv_port **evilp)
{
	struct dv_msg *msg = dv_msg_new(0);
	struct dv_cancel *c;

	dv_assert(dv_cancel_new(&c, mesh, NULL, 60000, NULL, NULL, NULL) == 0);
	dv_assert(dv_cancel_attach(msg, c) == 0);
	*evilp = dv_msg_take_port(msg, 0);
	dv_msg_free(msg);
	return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dv_rd rd = dv_rd_mem(data, size);
	unsigned int kind = dv_rd_u8(&rd) % (DV_ARRAY_LEN(kinds) + 2), n = 0;
	struct dv_port *pair[2];
	struct dv_msg *msg;
	void *it;

	if (size > SIZE_LIMIT)
		return 0;
	if (!loop) {
		dv_assert(dv_loop_new(&loop) == 0);
		dv_assert(dv_mesh_new(&mesh, loop, NULL, NULL) == 0);
	}
	if (kind == DV_ARRAY_LEN(kinds)) {
		it = own_cell(&pair[0]);
	} else if (kind > DV_ARRAY_LEN(kinds)) {
		it = own_cancel(&pair[0]);
	} else {
		dv_assert(dv_port_pair(mesh, pair) == 0);
		it = kinds[kind].open(pair[1]);
		dv_assert(it || kind == 1);
	}
	while ((msg = next_message(&rd))) {
		dv_port_send(pair[0], msg, NULL);
		if (++n % BATCH == 0)
			settle();
	}
	if (size % 2)
		settle();
	dv_port_close(pair[0], NULL);
	settle();
	if (kind == DV_ARRAY_LEN(kinds))
		cell_close(it);
	else if (kind > DV_ARRAY_LEN(kinds))
		cancel_close(it);
	else
		kinds[kind].close(it);
	settle();
	return 0;
}
