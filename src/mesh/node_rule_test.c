/* SPDX-License-Identifier: MIT */
/*
 * Who may say what: another process says what it must not. A violation costs
 * its link; the ports of others go on.
 */
#include "mesh/node_try.h"

#include <errno.h>

#include "mesh/node_priv.h"

/* Node 0 is honest, node 1 has the peer of its port, node 2 has nothing to do
 * with that. */
struct world {
	struct try t;
	struct rec a, b; /* at 0 and 1 */
	struct rec c, d; /* at 0 and 2 */
	struct dv_err err;
};

static void world_up(struct world *w)
{
	struct dv_port *pair[2];

	*w = (struct world){ .t = TRY_INIT };
	try_new(&w->t, 3);
	try_connect(&w->t, 0, 1);
	try_connect(&w->t, 0, 2);
	try_pair(&w->t, 0, 1, pair);
	rec_start(&w->a, pair[0]);
	rec_start(&w->b, pair[1]);
	try_pair(&w->t, 0, 2, pair);
	rec_start(&w->c, pair[0]);
	rec_start(&w->d, pair[1]);
}

static void world_down(struct world *w)
{
	rec_close(&w->a);
	rec_close(&w->b);
	rec_close(&w->c);
	rec_close(&w->d);
	rec_done(&w->t);
}

/* Node @from says @ev to node 0. */
static int say(struct world *w, int from, struct dv_mesh_event ev)
{
	int r = dv_node_event(&try_link(&w->t, 0, from)->link, &ev, &w->err);

	try_settle(&w->t);
	return r;
}

static void check_alive(struct world *w)
{
	memset(w->a.got, 0, sizeof(w->a.got));
	memset(w->b.got, 0, sizeof(w->b.got));
	CHECK_EQ(rec_say(w->a.port, "ab"), 0);
	CHECK_EQ(rec_say(w->b.port, "xy"), 0);
	try_settle(&w->t);
	CHECK_STR(w->b.got, "ab");
	CHECK_STR(w->a.got, "xy");
	CHECK_EQ(w->a.n_ended + w->b.n_ended, 0);
}

/* It was not about c and d: they go on. */
static void check_others(struct world *w)
{
	CHECK_EQ(w->c.n_ended + w->d.n_ended, 0);
	CHECK_EQ(rec_say(w->c.port, "from c"), 0);
	CHECK_EQ(rec_say(w->d.port, "from d"), 0);
	try_settle(&w->t);
	CHECK_STR(w->d.got, "from c");
	CHECK_STR(w->c.got, "from d");
}

/* An event of every kind with what it needs to look right. */
static struct dv_mesh_event event(struct world *w, int kind,
				  struct dv_mesh_id dst, struct dv_mesh_id id)
{
	struct dv_mesh_event ev = {
		.kind = (enum dv_mesh_event_kind)kind,
		.dst = dst,
		.id = id,
		.node = dv_node_id(w->t.nodes[2].node),
		.received = DV_TOTAL_START,
		.granted = DV_TOTAL_START + 1000,
		.fd = -1,
	};

	if (kind == DV_EV_MESSAGE)
		ev.msg = rec_text("forged");
	return ev;
}

TEST(rule_a_third_node_can_do_nothing_to_a_port_whose_id_it_knows)
{
	struct dv_mesh_id ids[3];
	struct world w;

	world_up(&w);
	ids[0] = (struct dv_mesh_id){ 0, 0 };
	ids[1] = dv_port_id(w.b.port);
	ids[2] = dv_pair_other(w.a.port->end->pair);
	for (int kind = 0; kind < DV_EV_N; kind++) {
		for (int i = 0; i < 3; i++) {
			int r = say(
				&w, 2,
				event(&w, kind, dv_port_id(w.a.port), ids[i]));

			CHECK(r == 0 || r == -EPROTO);
			if (kind == DV_EV_MESSAGE || kind == DV_EV_CLOSE ||
			    kind == DV_EV_NEW_PEER || kind == DV_EV_END ||
			    kind == DV_EV_MOVED || kind == DV_EV_REFUSED ||
			    kind == DV_EV_BRIDGE)
				CHECK_EQ(r, -EPROTO);
			check_alive(&w);
		}
	}
	CHECK_EQ(strlen(w.a.got), 2);
	world_down(&w);
}

TEST(rule_the_peer_itself_cannot_say_what_is_not_its_turn)
{
	static const int kinds[] = { DV_EV_END, DV_EV_MOVED, DV_EV_REFUSED,
				     DV_EV_CONNECT, DV_EV_TOTALS };

	for (size_t i = 0; i < DV_ARRAY_LEN(kinds); i++) {
		struct world w;

		world_up(&w);
		CHECK_EQ(say(&w, 1,
			     event(&w, kinds[i], dv_port_id(w.a.port),
				   dv_port_id(w.b.port))),
			 -EPROTO);
		CHECK(w.err.msg[0]);
		check_alive(&w);
		world_down(&w);
	}
}

TEST(rule_an_event_for_a_port_that_is_gone_is_dropped)
{
	struct dv_mesh_id gone = { 12345, 6789 };
	uint64_t before;
	struct world w;

	world_up(&w);
	before = dv_node_counts(w.t.nodes[0].node)->dropped;
	for (int kind = 0; kind < DV_EV_INTRODUCE; kind++)
		CHECK_EQ(
			say(&w, 2, event(&w, kind, gone, dv_port_id(w.d.port))),
			0);
	CHECK_EQ(dv_node_counts(w.t.nodes[0].node)->dropped - before,
		 DV_EV_INTRODUCE);
	/* ACCEPT was answered: for d that means its peer is gone. */
	CHECK_EQ(w.d.n_ended + w.c.n_ended, 0);
	check_alive(&w);
	world_down(&w);
}

TEST(rule_more_messages_than_granted_are_a_violation)
{
	struct dv_mesh_event ev;
	struct world w;
	int r = 0, n = 0;

	world_up(&w);
	dv_port_pause(w.a.port, true);
	while (r == 0 && n++ < 100000) {
		ev = event(&w, DV_EV_MESSAGE, dv_port_id(w.a.port),
			   dv_port_id(w.b.port));
		r = say(&w, 1, ev);
	}
	CHECK_EQ(r, -EPROTO);
	CHECK((uint64_t)n * 70 < 2u * w.t.limits.port_window);
	CHECK_EQ(try_link(&w.t, 0, 1)->link.held, (n - 1) * (64 + 6));
	world_down(&w);
}

/* What its peer says to a port whose proxy has not said END waits, and counts
 * against the link that it came over: the window of that is its bound. It waits
 * no longer than the proxy lives. */
TEST(rule_what_waits_for_an_end_is_charged_and_does_not_wait_for_ever)
{
	enum { N = 100 };
	struct dv_port_desc desc = {
		.id = { 77, 1 },
		.from = { 77, 2 },
		.pair = { 77, 4 },
		.received = DV_TOTAL_START,
		.granted = DV_TOTAL_START + 1000,
	};
	struct dv_mesh_id far = { 66, 6 };
	struct try_link *l;
	struct rec r = { 0 };
	struct world w;

	world_up(&w);
	l = try_link(&w.t, 0, 2);
	CHECK_EQ(dv_node_take(&try_link(&w.t, 0, 1)->link, &desc, &r.port), 0);
	rec_start(&r, r.port);
	for (int i = 0; i <= N; i++) {
		struct dv_mesh_event ev = event(
			&w, i ? DV_EV_MESSAGE : DV_EV_ACCEPT, desc.id, far);

		CHECK_EQ(dv_node_event(&l->link, &ev, &w.err), 0);
	}
	CHECK_EQ(r.port->end->state, DV_END_JOINING);
	CHECK_EQ(l->link.held, N * (64 + 6));
	CHECK_STR(r.got, "");
	/* END never comes, for the proxy dies. */
	w.b.port = NULL;
	try_kill(&w.t, 1, UINT32_MAX);
	try_settle(&w.t);
	CHECK_EQ(r.n_ended, 1);
	CHECK(!r.end.closed);
	CHECK_EQ(l->link.held, 0);
	rec_close(&r);
	world_down(&w);
}

/* A place that is this node itself, with ports that there are not. */
TEST(rule_a_peer_cannot_lead_a_port_to_its_own_node)
{
	static const int kinds[] = { DV_EV_NEW_PEER, DV_EV_ACCEPT, DV_EV_END,
				     DV_EV_CONNECT };

	for (size_t i = 0; i < DV_ARRAY_LEN(kinds); i++) {
		for (int own = 0; own < 2; own++) {
			struct dv_mesh_event ev;
			struct world w;

			world_up(&w);
			ev = event(&w, kinds[i], dv_port_id(w.a.port),
				   own ? dv_port_id(w.c.port)
				       : (struct dv_mesh_id){ 9, 9 });
			ev.node = dv_node_id(w.t.nodes[0].node);
			say(&w, 1, ev);
			memset(w.t.fault, 0, sizeof(w.t.fault));
			check_others(&w);
			world_down(&w);
		}
	}
}

TEST(rule_totals_that_could_wrap_are_a_violation)
{
	struct dv_mesh_event ev;
	struct world w;

	world_up(&w);
	ev = event(&w, DV_EV_CREDIT, dv_port_id(w.a.port),
		   dv_pair_other(w.a.port->end->pair));
	ev.granted = UINT64_MAX;
	CHECK_EQ(say(&w, 1, ev), -EPROTO);
	ev.granted = DV_TOTAL_START; /* late: it does no harm */
	CHECK_EQ(say(&w, 1, ev), 0);
	check_alive(&w);
	world_down(&w);
}

/* A message for a that brings a port as @desc. */
static int bring(struct world *w, struct dv_port_desc desc)
{
	struct dv_mesh_event ev = event(w, DV_EV_MESSAGE, dv_port_id(w->a.port),
					dv_port_id(w->b.port));
	struct dv_att *att = dv_msg_att_room(ev.msg);

	CHECK(att);
	*att = (struct dv_att){ .kind = DV_ATT_DESC, .fd = -1 };
	att->desc = malloc(sizeof(desc));
	CHECK(att->desc);
	*att->desc = desc;
	return say(w, 1, ev);
}

TEST(rule_a_port_that_arrives_must_make_sense)
{
	struct dv_port_desc good = {
		.id = { 77, 1 },
		.from = { 77, 2 },
		.pair = { 77, 4 },
		.received = DV_TOTAL_START,
		.granted = DV_TOTAL_START + 1000,
	};
	struct dv_port_desc bad[6];
	struct world w;

	world_up(&w);
	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++)
		bad[i] = good;
	bad[0].id = (struct dv_mesh_id){ 0, 0 };
	bad[1].from = bad[0].id;
	bad[2].received = UINT64_MAX - 1;
	bad[3].granted = UINT64_MAX;
	bad[4].id = dv_port_id(w.c.port);
	bad[5].direct = true; /* only a handshake has those */
	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++)
		CHECK_EQ(bring(&w, bad[i]), -EPROTO);
	CHECK_EQ(w.a.n_ports, 0);
	check_alive(&w);
	world_down(&w);
}

TEST(rule_a_first_port_that_a_full_node_does_not_take_ends)
{
	struct dv_port *port = NULL;
	struct dv_port_desc desc;
	struct rec r = { 0 };
	struct world w;

	world_up(&w);
	w.t.nodes[1].limits.max_ports = 1;
	CHECK_EQ(dv_node_share(&try_link(&w.t, 0, 1)->link, &r.port, &desc), 0);
	rec_start(&r, r.port);
	CHECK_EQ(rec_say(r.port, "x"), 0);
	CHECK_EQ(dv_node_take(&try_link(&w.t, 1, 0)->link, &desc, &port),
		 -ENFILE);
	try_settle(&w.t);
	CHECK_EQ(r.n_ended, 1);
	CHECK_EQ(r.end.err.sys, ENFILE);
	rec_close(&r);
	check_alive(&w);
	world_down(&w);
}

TEST(rule_an_introduction_nobody_asked_for_is_not_taken)
{
	struct dv_mesh_event ev;
	struct world w;
	int fds[2] = { -1, -1 };

	world_up(&w);
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(try_env_pair(w.t.nodes[1].node, fds), 0);
		ev = event(&w, DV_EV_INTRODUCE, (struct dv_mesh_id){ 0, 0 },
			   i & 1 ? dv_port_id(w.a.port)
				 : (struct dv_mesh_id){ 5, 5 });
		ev.fd = fds[0];
		if (i == 2)
			ev.node = dv_node_id(w.t.nodes[0].node);
		CHECK_EQ(say(&w, 1, ev), i == 2 ? -EPROTO : 0);
		try_env_close(w.t.nodes[1].node, fds[1]);
	}
	CHECK_EQ(dv_node_counts(w.t.nodes[0].node)->n_links, 2);
	check_alive(&w);
	world_down(&w);
}

/* Two ports of node 0 wait for introductions by node 1; one is gone when its
 * own comes. */
TEST(rule_an_introduction_for_a_port_that_is_gone_is_not_taken_for_another)
{
	struct dv_mesh_id gone = { 7777, 2 };
	struct dv_mesh_event ev;
	struct world w;
	int fds[2] = { -1, -1 };

	world_up(&w);
	ev = event(&w, DV_EV_NEW_PEER, dv_port_id(w.a.port),
		   (struct dv_mesh_id){ 9, 9 });
	ev.node = (struct dv_mesh_id){ 8, 8 };
	CHECK_EQ(dv_node_event(&try_link(&w.t, 0, 1)->link, &ev, &w.err), 0);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(try_env_pair(w.t.nodes[1].node, fds), 0);
		ev = event(&w, DV_EV_INTRODUCE, (struct dv_mesh_id){ 0, 0 },
			   i ? dv_port_id(w.a.port) : gone);
		ev.node = (struct dv_mesh_id){ 8, 8 };
		ev.fd = fds[0];
		CHECK_EQ(
			dv_node_event(&try_link(&w.t, 0, 1)->link, &ev, &w.err),
			0);
		CHECK_EQ(dv_node_counts(w.t.nodes[0].node)->n_links, 2 + i);
		try_env_close(w.t.nodes[1].node, fds[1]);
	}
	/* Node 1 has asked for none of this, and cuts the link. */
	try_settle(&w.t);
	memset(w.t.fault, 0, sizeof(w.t.fault));
	CHECK_EQ(w.c.n_ended + w.d.n_ended, 0);
	world_down(&w);
}

TEST(rule_a_peer_that_moves_its_port_twice_breaks_the_rules)
{
	struct dv_mesh_event ev;
	struct world w;

	world_up(&w);
	ev = event(&w, DV_EV_NEW_PEER, dv_port_id(w.a.port),
		   (struct dv_mesh_id){ 9, 9 });
	ev.node = (struct dv_mesh_id){ 8, 8 };
	/* It has to be connected to that node first. */
	CHECK_EQ(dv_node_event(&try_link(&w.t, 0, 1)->link, &ev, &w.err), 0);
	CHECK_EQ(dv_node_event(&try_link(&w.t, 0, 1)->link, &ev, &w.err),
		 -EPROTO);
	rec_close(&w.a);
	/* Node 1 gets a CONNECT that it has no use for, and cuts the link. */
	try_settle(&w.t);
	CHECK_EQ(w.t.n_cuts, 1);
	memset(w.t.fault, 0, sizeof(w.t.fault));
	CHECK_EQ(w.c.n_ended + w.d.n_ended, 0);
	world_down(&w);
}

TEST(rule_an_accept_from_elsewhere_than_end_said_is_not_taken)
{
	struct dv_port_desc desc = {
		.id = { 77, 1 },
		.from = { 77, 2 },
		.pair = { 77, 4 },
		.received = DV_TOTAL_START,
		.granted = DV_TOTAL_START + 1000,
	};
	struct dv_mesh_event ev;
	struct rec r = { 0 };
	struct world w;

	/* Node 1 says that the peer of what it gave away is at node 2. */
	world_up(&w);
	CHECK_EQ(dv_node_take(&try_link(&w.t, 0, 1)->link, &desc, &r.port), 0);
	rec_start(&r, r.port);
	ev = event(&w, DV_EV_END, desc.id, desc.from);
	CHECK_EQ(dv_node_event(&try_link(&w.t, 0, 1)->link, &ev, &w.err), 0);
	ev = event(&w, DV_EV_ACCEPT, desc.id, (struct dv_mesh_id){ 66, 6 });
	CHECK_EQ(dv_node_event(&try_link(&w.t, 0, 1)->link, &ev, &w.err), 0);
	CHECK_EQ(r.port->end->state, DV_END_SEAMED);
	CHECK_EQ(dv_node_event(&try_link(&w.t, 0, 2)->link, &ev, &w.err), 0);
	CHECK_EQ(r.port->end->state, DV_END_OPEN);
	CHECK_EQ(rec_say(r.port, "x"), 0);
	ev.id.lo++;
	CHECK_EQ(dv_node_event(&try_link(&w.t, 0, 2)->link, &ev, &w.err), 0);
	CHECK_EQ(r.port->end->out.id.lo, 6);
	rec_close(&r);
	check_alive(&w);
	world_down(&w);
}

TEST(rule_waiting_for_an_accept_ends_when_none_can_come)
{
	struct dv_port_desc desc = {
		.id = { 77, 1 },
		.from = { 77, 2 },
		.pair = { 77, 4 },
		.received = DV_TOTAL_START,
		.granted = DV_TOTAL_START + 1000,
	};
	struct dv_mesh_event ev;
	struct world w;

	/* A node that is not known, one that dies, one that knows nothing. */
	for (int how = 0; how < 3; how++) {
		struct rec r = { 0 };

		world_up(&w);
		CHECK_EQ(dv_node_take(&try_link(&w.t, 0, 1)->link, &desc,
				      &r.port),
			 0);
		rec_start(&r, r.port);
		ev = event(&w, DV_EV_END, desc.id, desc.from);
		if (how == 0)
			ev.node = (struct dv_mesh_id){ 55, 5 };
		CHECK_EQ(
			dv_node_event(&try_link(&w.t, 0, 1)->link, &ev, &w.err),
			0);
		CHECK_EQ(r.port->end->state, how ? DV_END_SEAMED : DV_END_OVER);
		if (how == 1) {
			w.d.port = NULL;
			try_kill(&w.t, 2, 0);
		}
		try_settle(&w.t);
		CHECK_EQ(r.n_ended, 1);
		CHECK(!r.end.closed);
		CHECK_EQ(r.end.culprit.hi, ev.node.hi);
		rec_close(&r);
		check_alive(&w);
		world_down(&w);
	}
}

TEST(rule_a_node_cannot_lead_a_port_to_one_of_somebody_else)
{
	struct dv_mesh_event ev;
	struct world w;

	/* Node 1 knows the id of d, for it has had c once, and says that the
	 * peer of a is there now. */
	for (int seamed = 0; seamed < 2; seamed++) {
		world_up(&w);
		ev = event(&w, DV_EV_NEW_PEER, dv_port_id(w.a.port),
			   dv_port_id(w.d.port));
		CHECK_EQ(rec_say(w.a.port, "for b"), 0);
		CHECK_EQ(
			dv_node_event(&try_link(&w.t, 0, 1)->link, &ev, &w.err),
			0);
		CHECK_EQ(rec_say(w.a.port, "for b only"), 0);
		if (seamed)
			w.a.port = dv_port_close(w.a.port, NULL);
		memset(w.t.fault, 0, sizeof(w.t.fault));
		try_settle(&w.t);
		/* Node 1 has no use for the END: it does not know it all. */
		memset(w.t.fault, 0, sizeof(w.t.fault));
		CHECK_EQ(w.a.n_ended, !seamed);
		CHECK_STR(w.d.got, "");
		check_others(&w);
		world_down(&w);
	}
}

/* Node 2 came by itself, and who it is is only its own word: what another one
 * has sent to the node of that name is not told to it. */
TEST(rule_a_stranger_hears_nothing_of_the_ports_of_others)
{
	for (int stranger = 0; stranger < 2; stranger++) {
		struct dv_mesh_event ev;
		struct try_link *l;
		struct world w;

		world_up(&w);
		l = try_link(&w.t, 0, 2);
		l->link.stranger = stranger;
		ev = event(&w, DV_EV_NEW_PEER, dv_port_id(w.a.port),
			   (struct dv_mesh_id){ 9, 9 });
		CHECK_EQ(
			dv_node_event(&try_link(&w.t, 0, 1)->link, &ev, &w.err),
			0);
		dv_node_run(w.t.nodes[0].node, 100);
		CHECK_EQ(l->head != NULL, !stranger);
		/* But for its own ports it is as any other. */
		check_others(&w);
		memset(w.t.fault, 0, sizeof(w.t.fault));
		world_down(&w);
	}
}

/* Node 1 was invited, and dies before it has said who it is. Node 0, which says
 * so to node 2, is not who died. */
TEST(rule_who_tells_of_the_death_of_an_unknown_node_is_not_the_culprit)
{
	struct dv_mesh_link *link;
	struct world w;

	world_up(&w);
	link = &try_link(&w.t, 0, 1)->link;
	link->peer = (struct dv_mesh_id){ 0, 0 };
	link->pid = 0;
	CHECK_EQ(rec_move(w.a.port, w.c.port, "c"), 0);
	w.c.port = w.b.port = NULL;
	try_kill(&w.t, 1, UINT32_MAX);
	try_settle(&w.t);
	CHECK_EQ(w.a.n_ended, 1);
	CHECK_EQ(w.d.n_ended, 1);
	CHECK(!w.d.end.closed);
	CHECK(dv_id_zero(w.d.end.culprit));
	CHECK_EQ(w.d.end.pid, 0);
	world_down(&w);
}

/* ---- anything ---- */

struct chaos {
	struct world w;
	uint64_t seed;
	struct dv_mesh_id ids[40];
	size_t n_ids;
};

static uint32_t any(struct chaos *c, uint32_t n)
{
	c->seed = c->seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(c->seed >> 33) % n;
}

static struct dv_mesh_id any_id(struct chaos *c)
{
	struct dv_mesh_id *id = &c->ids[any(c, (uint32_t)c->n_ids)];

	if (any(c, 8) == 0)
		id->lo = 1000 + any(c, 50);
	return any(c, 30) ? *id : (struct dv_mesh_id){ 0, 0 };
}

static uint64_t any_total(struct chaos *c)
{
	static const uint64_t some[] = { 0, 1000, DV_TOTAL_START, DV_TOTAL_MAX,
					 UINT64_MAX };

	return some[any(c, DV_ARRAY_LEN(some))] + any(c, 2000);
}

static void add_port(struct chaos *c, struct dv_msg *msg)
{
	struct dv_att *att = dv_msg_att_room(msg);

	CHECK(att);
	*att = (struct dv_att){ .kind = DV_ATT_DESC, .fd = -1 };
	att->desc = calloc(1, sizeof(*att->desc));
	CHECK(att->desc);
	*att->desc = (struct dv_port_desc){
		.id = any_id(c),
		.from = any_id(c),
		.pair = any_id(c),
		.received = DV_TOTAL_START,
		.granted = any_total(c),
		.closed = any(c, 20) == 0,
	};
}

static struct dv_mesh_event any_event(struct chaos *c)
{
	static const struct dv_err why = { 5, DV_ABORTED, 0, "so", "" };
	struct dv_mesh_event ev = {
		.kind = (enum dv_mesh_event_kind)any(c, DV_EV_N),
		.dst = any_id(c),
		.id = any_id(c),
		.node = dv_node_id(c->w.t.nodes[any(c, 3)].node),
		.received = any_total(c),
		.granted = any_total(c),
		.err = any(c, 2) ? &why : NULL,
		.fd = -1,
	};
	int fds[2] = { -1, -1 };

	if (ev.kind == DV_EV_MESSAGE) {
		ev.msg = rec_text("any");
		for (uint32_t n = any(c, 3); n > 0; n--)
			add_port(c, ev.msg);
	}
	if (ev.kind == DV_EV_INTRODUCE && any(c, 2) &&
	    try_env_pair(c->w.t.nodes[1].node, fds) == 0) {
		ev.fd = fds[0];
		try_env_close(c->w.t.nodes[1].node, fds[1]);
	}
	return ev;
}

/* Give some of what came to node 1, so that there are proxies too. */
static void any_move(struct chaos *c)
{
	struct rec *a = &c->w.a;

	if (a->n_ports > 0 && any(c, 2))
		rec_move(any(c, 2) ? a->port : c->w.c.port,
			 a->ports[--a->n_ports], "m");
	while (c->w.d.n_ports > 0)
		dv_port_close(c->w.d.ports[--c->w.d.n_ports], NULL);
}

static void chaos(uint64_t seed)
{
	struct chaos c = { .seed = seed };
	struct try_link *l;
	struct try_act acts[16];

	world_up(&c.w);
	c.ids[c.n_ids++] = dv_port_id(c.w.a.port);
	c.ids[c.n_ids++] = dv_port_id(c.w.b.port);
	c.ids[c.n_ids++] = c.w.a.port->end->pair;
	c.ids[c.n_ids++] = c.w.b.port->end->pair;
	while (c.n_ids < DV_ARRAY_LEN(c.ids))
		c.ids[c.n_ids++] = (struct dv_mesh_id){ 1, 1000 + any(&c, 50) };
	for (int i = 0; i < 200; i++) {
		struct dv_mesh_event ev = any_event(&c);

		l = try_link(&c.w.t, 0, 1);
		dv_node_event(&l->link, &ev, NULL);
		if (any(&c, 4) == 0)
			any_move(&c);
		/* Node 1 hears nothing: it only talks. */
		try_drop_queue(l);
		while (any(&c, 3) && try_list(&c.w.t, acts, 1) > 0)
			try_do(&c.w.t, &acts[0]);
	}
	try_drop_queue(try_link(&c.w.t, 0, 1));
	c.w.b.port = NULL;
	try_kill(&c.w.t, 1, UINT32_MAX);
	try_settle(&c.w.t);
	CHECK_STR(c.w.t.fault, "");
	CHECK_EQ(c.w.c.n_ended + c.w.d.n_ended, 0);
	memset(c.w.d.got, 0, sizeof(c.w.d.got));
	CHECK_EQ(rec_say(c.w.c.port, "still"), 0);
	try_settle(&c.w.t);
	CHECK_STR(c.w.d.got, "still");
	world_down(&c.w);
}

TEST(rule_anything_from_one_node_hurts_no_pair_of_others)
{
	for (uint64_t seed = 1; seed <= 300; seed++)
		chaos(seed);
}
