/* SPDX-License-Identifier: MIT */
#include "mesh/chan_msg.h"
#include "mesh/chan_try.h"

struct heard {
	int n;
	struct dv_err why;
	bool free; /* in the callback */
	struct dv_cancel *c;
};

static void on_cancelled(struct dv_cancel *c, const struct dv_err *why,
			 void *user)
{
	struct heard *h = user;

	h->n++;
	h->why = *why;
	if (h->free)
		h->c = dv_cancel_free(c);
}

static struct dv_cancel *make(struct chan_try *t, struct dv_cancel *parent,
			      int ms, struct heard *h)
{
	struct dv_cancel *c;

	CHECK_EQ(dv_cancel_new(&c, t->mesh, parent, ms, h ? on_cancelled : NULL,
			       h, NULL),
		 0);
	return c;
}

/* What the attachment of @msg becomes somewhere else. */
static struct dv_cancel *over(struct dv_msg *msg, struct heard *h)
{
	struct dv_cancel *c = dv_cancel_take(msg, 0, on_cancelled, h, NULL);

	CHECK(c);
	dv_msg_free(msg);
	return c;
}

static struct dv_cancel *child_of(struct dv_cancel *c, struct heard *h)
{
	struct dv_msg *msg = dv_msg_new(0);

	CHECK_EQ(dv_cancel_attach(msg, c), 0);
	return over(msg, h);
}

TEST(cancel_takes_all_below_along_and_nothing_else)
{
	struct heard a = { .n = 0 }, b = { .n = 0 }, c = { .n = 0 };
	struct dv_cancel *root, *mid, *leaf, *other;
	struct chan_try t;

	chan_up(&t);
	root = make(&t, NULL, -1, &a);
	mid = make(&t, root, -1, NULL);
	leaf = make(&t, mid, -1, &b);
	other = make(&t, root, -1, &c);
	dv_cancel_now(mid, NULL);
	CHECK(dv_cancel_why(leaf));
	CHECK_EQ(b.n, 0); /* never from inside a call */
	chan_until(&t, b.n);
	CHECK_EQ(b.why.code, DV_CANCELLED);
	CHECK(!dv_cancel_why(root) && !dv_cancel_why(other));
	CHECK_EQ(dv_cancel_left_ns(leaf), 0);
	CHECK_EQ(dv_cancel_left_ns(root), UINT64_MAX);
	dv_cancel_free(root);
	CHECK(dv_cancel_why(other));
	chan_quiet(&t);
	CHECK_EQ(a.n, 0);
	CHECK_EQ(b.n, 1);
	CHECK_EQ(c.n, 1);
	dv_cancel_free(other);
	dv_cancel_free(leaf);
	dv_cancel_free(mid);
	chan_down(&t);
}

TEST(cancel_deadline_is_the_least_of_the_chain)
{
	struct heard a = { .n = 0 };
	struct dv_cancel *root, *mid, *leaf, *dead;
	struct chan_try t;

	chan_up(&t);
	root = make(&t, NULL, 60000, NULL);
	mid = make(&t, root, 30, NULL);
	leaf = make(&t, mid, 90000, &a);
	CHECK(dv_cancel_left_ns(leaf) <= 30000000);
	chan_until(&t, a.n);
	CHECK_EQ(a.why.code, DV_DEADLINE);
	CHECK(!dv_cancel_why(root));
	/* A child of what is cancelled is born so; the first reason stays. */
	dead = make(&t, mid, -1, NULL);
	CHECK_EQ(dv_cancel_why(dead)->code, DV_DEADLINE);
	dv_cancel_now(dead, NULL);
	CHECK_EQ(dv_cancel_why(dead)->code, DV_DEADLINE);
	dv_cancel_free(dead);
	dv_cancel_free(leaf);
	dv_cancel_free(mid);
	dv_cancel_free(root);
	chan_down(&t);
}

TEST(cancel_goes_through_ports_with_its_reason_and_deadline)
{
	struct heard a = { .n = 0 }, b = { .n = 0 }, d = { .n = 0 };
	struct dv_err why = DV_ERR_INIT;
	struct dv_cancel *root, *far, *farther, *timed;
	struct chan_try t;

	dv_err_set(&why, EINTR, DV_PRECONDITION, "changed my mind");
	chan_up(&t);
	root = make(&t, NULL, 60000, NULL);
	far = child_of(root, &a);
	farther = child_of(far, &b);
	chan_until(&t, dv_cancel_left_ns(farther) != UINT64_MAX);
	CHECK(dv_cancel_left_ns(farther) <= 60000000000ull);
	CHECK(dv_cancel_left_ns(farther) > 30000000000ull);
	dv_cancel_now(root, &why);
	chan_until(&t, a.n && b.n);
	CHECK_EQ(b.why.code, DV_PRECONDITION);
	CHECK_STR(b.why.msg, "changed my mind");
	dv_cancel_free(root);
	/* A deadline is kept there by itself. */
	root = make(&t, NULL, 20, NULL);
	timed = child_of(root, &d);
	chan_until(&t, d.n);
	CHECK_EQ(d.why.code, DV_DEADLINE);
	/* A child of what is cancelled already. */
	dv_cancel_free(far);
	far = child_of(root, &a);
	chan_until(&t, a.n == 2);
	CHECK_EQ(a.why.code, DV_DEADLINE);
	dv_cancel_free(timed);
	dv_cancel_free(far);
	dv_cancel_free(farther);
	dv_cancel_free(root);
	chan_down(&t);
}

TEST(cancel_context_that_was_passed_on_hangs_on_who_decides)
{
	struct heard a = { .n = 0 }, b = { .n = 0 };
	struct dv_cancel *root, *courier, *far;
	struct dv_msg *msg = dv_msg_new(0);
	struct chan_try t;

	chan_up(&t);
	root = make(&t, NULL, 60000, NULL);
	CHECK_EQ(dv_cancel_pass(msg, root), -EINVAL);
	courier = child_of(root, &a);
	CHECK_EQ(dv_cancel_pass(msg, courier), 0);
	far = over(msg, &b);
	dv_cancel_free(courier);
	chan_until(&t, dv_cancel_left_ns(far) != UINT64_MAX);
	chan_quiet(&t);
	CHECK_EQ(b.n, 0);
	dv_cancel_now(root, NULL);
	chan_until(&t, b.n);
	CHECK_EQ(b.why.code, DV_CANCELLED);
	CHECK_EQ(a.n, 0);
	dv_cancel_free(far);
	dv_cancel_free(root);
	chan_down(&t);
}

TEST(cancel_by_who_vanishes)
{
	struct heard a = { .n = 0 };
	struct dv_cancel *c;
	struct dv_msg *msg = dv_msg_new(0);
	struct dv_port *pair[2];
	struct chan_try t;

	chan_up(&t);
	CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	CHECK_EQ(dv_msg_add_port(msg, pair[0]), 0);
	c = over(msg, &a);
	dv_port_close(pair[1], NULL);
	chan_until(&t, a.n);
	CHECK_EQ(a.why.code, DV_CANCELLED);
	dv_cancel_free(c);
	/* Or talks nonsense. */
	msg = dv_msg_new(0);
	CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	CHECK_EQ(dv_msg_add_port(msg, pair[0]), 0);
	c = over(msg, &a);
	CHECK(dv_port_send_bytes(pair[1], "?", 1, NULL) >= 0);
	chan_until(&t, a.n == 2);
	CHECK_EQ(a.why.code, DV_INVALID);
	dv_cancel_free(c);
	dv_port_close(pair[1], NULL);
	chan_down(&t);
}

TEST(cancel_context_may_be_freed_in_its_callback)
{
	struct heard a = { .free = true }, b = { .free = true };
	struct dv_cancel *root;
	struct chan_try t;

	chan_up(&t);
	root = make(&t, NULL, 10, &a);
	make(&t, root, 5, &b);
	child_of(root, &b);
	chan_until(&t, a.n && b.n == 2);
	chan_quiet(&t);
	chan_down(&t);
}
