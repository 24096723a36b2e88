/* SPDX-License-Identifier: MIT */
/*
 * Data connections of an operation: dial port 2, read the id.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/def.h"
#include "base/fd.h"
#include "runtime/client/diag.h"

static void conn_deinit(struct dv_diag_conn *c)
{
	c->dial = dv_dial_cancel(c->dial);
	dv_src_del(&c->src);
	c->fd = dv_close(c->fd);
}

void dv_diag_conns_free(struct dv_op *op)
{
	for (size_t i = 0; op->conns && i < op->n_conns; i++)
		conn_deinit(&op->conns[i]);
	free(op->conns);
	op->conns = NULL;
}

int dv_diag_conn_take(struct dv_op *op, size_t n)
{
	return dv_take_fd(&op->conns[n].fd);
}

static void fail(struct dv_op *op, int r, struct dv_err *err)
{
	dv_err_wrap(err, r, "data connection");
	dv_op_end(op, r, err);
}

static int read_id(struct dv_diag_conn *c, struct dv_err *err)
{
	ssize_t n = dv_read(c->fd, c->raw + c->got, sizeof(c->raw) - c->got);
	struct dv_rd rd;

	if (n == -EAGAIN)
		return DV_MORE;
	if (n == 0)
		return dv_err_set(err, ECONNRESET, DV_UNAVAILABLE,
				  "closed before it had an id");
	if (n < 0)
		return dv_err_sys(err, (int)-n, "read its id");
	c->got += (size_t)n;
	if (c->got < sizeof(c->raw))
		return DV_MORE;
	rd = dv_rd_mem(c->raw, sizeof(c->raw));
	c->id = dv_rd_le64(&rd);
	return 0;
}

static void on_io(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct dv_diag_conn *c = dv_container_of(src, struct dv_diag_conn, src);
	struct dv_op *op = c->op;
	struct dv_err err = DV_ERR_INIT;
	int r = read_id(c, &err);

	if (r == DV_MORE)
		return;
	if (r < 0) {
		fail(op, r, &err);
		return;
	}
	dv_src_del(&c->src);
	c->ready = true;
	if (++op->n_ready == op->n_conns)
		dv_op_next(op);
}

static void on_dial(void *arg, int fd,
		    const struct dv_dial_result *res DV_UNUSED,
		    const struct dv_err *err)
{
	struct dv_diag_conn *c = arg;
	struct dv_err copy = DV_ERR_INIT;
	int r = fd;

	c->dial = NULL;
	if (fd >= 0) {
		c->fd = fd;
		r = dv_src_add(c->op->diag->loop, &c->src, fd, EPOLLIN, on_io);
		if (r == 0)
			return;
		dv_err_sys(&copy, -r, "watch it");
	} else if (err) {
		copy = *err;
	}
	fail(c->op, r, &copy);
}

static int start(struct dv_op *op, struct dv_err *err)
{
	struct dv_diag *d = op->diag;
	int r = 0;

	if (!d->has_target)
		return dv_err_set(err, ENOTCONN, DV_PRECONDITION,
				  "cannot make additional connections with "
				  "this client");
	op->conns = calloc(op->n_conns, sizeof(*op->conns));
	if (!op->conns)
		return dv_err_sys(err, ENOMEM, "%zu data connections",
				  op->n_conns);
	for (size_t i = 0; i < op->n_conns; i++)
		op->conns[i] = (struct dv_diag_conn){ .op = op,
						      .src = DV_SRC_INIT,
						      .fd = -1 };
	for (size_t i = 0; i < op->n_conns && r >= 0; i++) {
		r = dv_dial_start(&op->conns[i].dial, d->loop, &d->target,
				  DV_DIAG_DATA_PORT, d->dial_timeout_ms,
				  on_dial, &op->conns[i], err);
		if (r == 0)
			dv_dial_check(op->conns[i].dial, d->check,
				      d->check_arg);
	}
	return r;
}

void dv_diag_conns_start(struct dv_op *op)
{
	struct dv_err err = DV_ERR_INIT;
	int r = start(op, &err);

	if (r < 0)
		dv_op_end(op, r, &err);
}
