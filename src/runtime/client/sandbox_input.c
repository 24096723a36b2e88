/* SPDX-License-Identifier: MIT */
/*
 * The input of the first process, and the size of its terminal.
 */
#include <errno.h>
#include <sys/socket.h>

#include "base/def.h"
#include "base/fd.h"
#include "runtime/client/sandbox.h"

/* The keeper has the other end. */
static int answer_input(struct dv_life *life,
			const struct dv_rpc_reply *reply DV_UNUSED,
			struct dv_err *err DV_UNUSED)
{
	int *fdp = life->out;

	*fdp = dv_take_fd(&life->input);
	return 0;
}

static const struct dv_life_kind kind_input = {
	.op = DV_LIFE_OP("input of", "Input"),
	.verb = DV_VERB_INPUT,
	.answer = answer_input,
};

static int make_pair(struct dv_life *life, struct dv_err *err)
{
	struct dv_op *op = life->op;
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return dv_err_sys(err, errno, "make a socket");
	life->input = sv[0];
	op->give[op->n_give++] = sv[1];
	return 0;
}

int dv_sandbox_input(struct dv_sandbox *sb, bool steal, int *fdp,
		     const struct dv_how *how, struct dv_err *err)
{
	dv_InputRequest m = { .fd = 1, .steal = steal };
	struct dv_life *life;
	int r = dv_life_new(sb, &kind_input, how, &life, err);

	if (r < 0)
		return r;
	life->out = fdp;
	if (!sb->info.input)
		r = dv_err_set(err, ENOTTY, DV_PRECONDITION,
			       "%s takes no input: it was started without -i",
			       sb->who);
	else
		r = make_pair(life, err);
	return dv_life_go(life, r, dv_InputRequest_fields, &m, err);
}

static const struct dv_life_kind kind_resize = {
	.op = DV_LIFE_OP("resize", "Resize"),
	.verb = DV_VERB_INPUT,
};

int dv_sandbox_resize(struct dv_sandbox *sb, uint16_t rows, uint16_t cols,
		      const struct dv_how *how, struct dv_err *err)
{
	dv_SizeRequest m = { .rows = rows, .cols = cols };
	struct dv_life *life;
	int r = dv_life_new(sb, &kind_resize, how, &life, err);

	return r < 0 ? r : dv_life_go(life, 0, dv_SizeRequest_fields, &m, err);
}
