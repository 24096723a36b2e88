/* SPDX-License-Identifier: MIT */
/*
 * A storm: hundreds of ports of up to eight nodes, thrown around at random,
 * with nodes that die. The rules are those of explore.h; what is not seen in
 * every order here is seen in numbers.
 *
 *	(nothing)	the same seeds each time, everywhere
 *	DAVIT_SOAK=1	ten minutes, from a seed that nobody had
 *	STORM=SEED	only that one
 *	LOUD=1		and tell it
 */
#define X_MANY 1
#include "mesh/explore_check.h"
#include "mesh/explore_memory.h"
#include "mesh/explore_tell.h"

#include <signal.h>
#include <unistd.h>

#include "base/random.h"
#include "base/test.h"
#include "davit/loop.h"

enum {
	SEEDS = 400, /* what two seconds had */
	SOAK_MS = 10 * 60 * 1000,
	STEPS = 20000, /* of one seed; then all comes to rest and is checked */
	PAIRS_AT_ONCE = 120,
};

struct storm {
	struct x_world w;
	struct x_scenario sc;
	uint64_t seed, rng;
	uint64_t n_sent, n_moves, n_bridges, n_kills, n_closed;
	bool quiet; /* no operations inside callbacks any more */
};

static struct storm *now;

static uint32_t roll(struct storm *s, uint32_t n)
{
	s->rng ^= s->rng << 13;
	s->rng ^= s->rng >> 7;
	s->rng ^= s->rng << 17;
	return (uint32_t)(s->rng >> 20) % n;
}

static void tell(struct storm *s, const char *what, const struct x_end *e,
		 const struct x_end *other)
{
	if (!s->w.loud)
		return;
	printf("#   at node %d: %s %d", e->node, what, e->nr);
	x_tell_id("which is", dv_port_id(e->port));
	if (other) {
		printf(" and %d", other->nr);
		x_tell_id("which is", dv_port_id(other->port));
	}
	printf("\n");
}

/* ---- operations ---- */

/* An end that an application has; at @node, or anywhere with -1. NULL: none was
 * found at once. */
static struct x_end *pick(struct storm *s, int node)
{
	for (int i = 0; s->w.n_ends && i < 16; i++) {
		struct x_end *e = &s->w.ends[roll(s, (uint32_t)s->w.n_ends)];

		if (e->where == X_HELD && (node < 0 || e->node == node))
			return e;
	}
	return NULL;
}

/* One end at a neighbour, as a handshake makes it; over the others ports can be
 * sent there then. */
static int share(struct try_link *l, struct dv_port *pair[2])
{
	struct dv_port_desc desc;
	int r = dv_node_share(&l->link, &pair[0], &desc);

	return r < 0 ? r : dv_node_take(&l->other->link, &desc, &pair[1]);
}

static void do_pair(struct storm *s)
{
	int node = (int)roll(s, (uint32_t)s->sc.n_nodes), nr = s->w.n_ends;
	int to = (int)roll(s, (uint32_t)s->sc.n_nodes);
	struct try_link *l = try_link(&s->w.t, node, to);
	struct dv_port *pair[2];

	if (!s->w.t.nodes[node].node || nr + 2 > X_ENDS)
		return;
	if (!l || !l->other || !try_link_flows(l->other))
		to = node;
	if ((to == node ? dv_node_pair(s->w.t.nodes[node].node, pair)
			: share(l, pair)) < 0) {
		x_fault(&s->w, "no pair at nodes %d and %d", node, to);
		return;
	}
	s->w.n_ends += 2;
	x_end_init(&s->w, nr, node, pair[0]);
	x_end_init(&s->w, nr + 1, to, pair[1]);
}

static void do_send(struct storm *s, struct x_end *e)
{
	static const int more[] = { 0, 0, 0, 10, 100, 250 };

	if (!x_may_send(e))
		return;
	s->n_sent++;
	tell(s, "send", e, NULL);
	if (roll(s, 50) == 0)
		x_do_send_fd(e, STDERR_FILENO);
	else
		x_do_send(e, more[roll(s, DV_ARRAY_LEN(more))]);
}

/*
 * Would @e, sent from @by, wait in a queue of itself? Ports that are in each
 * other's queues are out of everybody's reach, and so they stay for ever: an
 * application must not do this.
 */
static bool circle(struct storm *s, const struct x_end *e,
		   const struct x_end *by)
{
	const struct x_end *to = x_dest(&s->w, by->nr);

	while (to != e && to->where == X_TRAVEL)
		to = x_dest(&s->w, to->carrier);
	return to == e;
}

static void do_move(struct storm *s, struct x_end *e)
{
	struct x_end *by = pick(s, e->node);

	if (!by || by == e || by->nr == e->peer || !x_may_send(by) ||
	    circle(s, e, by))
		return;
	s->n_moves++;
	tell(s, "move", e, by);
	x_do_move(by, e, NULL);
}

static void do_bridge(struct storm *s, struct x_end *e)
{
	struct x_end *b = pick(s, e->node);

	if (!b || b == e || b->nr == e->peer)
		return;
	/* As in circle(): what is in transit may be in one of both queues. */
	if (s->w.ends[e->peer].where == X_TRAVEL ||
	    s->w.ends[b->peer].where == X_TRAVEL)
		return;
	/* The books of explore.h hold so many parts of a stream. */
	if (s->w.ends[e->peer].n_segs + b->n_segs > X_SEGS ||
	    s->w.ends[b->peer].n_segs + e->n_segs > X_SEGS)
		return;
	s->n_bridges++;
	tell(s, "bridge", e, b);
	x_do_bridge(e, b);
}

static void do_kill(struct storm *s)
{
	int n = (int)roll(s, (uint32_t)s->sc.n_nodes), left = 0;

	for (int i = 0; i < s->sc.n_nodes; i++)
		left += s->w.t.nodes[i].node != NULL;
	if (left <= 2 || !s->w.t.nodes[n].node)
		return;
	s->n_kills++;
	if (s->w.loud)
		printf("# kill node %d\n", n);
	x_do_kill(&s->w, n, roll(s, UINT32_MAX));
}

static void do_pause(struct x_end *e)
{
	e->paused = !e->paused;
	dv_port_pause(e->port, e->paused);
}

/* Something with @e; inside of a callback of it, too. */
static void do_end(struct storm *s, struct x_end *e)
{
	uint32_t what = roll(s, 100);

	if (e->where != X_HELD)
		return;
	if (what < 50)
		do_send(s, e);
	else if (what < 84)
		do_move(s, e);
	else if (what < 88)
		do_bridge(s, e);
	else if (what < 91)
		do_pause(e);
	else if (what < 94)
		e->holds = true;
	else if (what < 97)
		x_let_go(e);
	else if (what < 99 || e->ended) {
		s->n_closed++;
		tell(s, "close", e, NULL);
		x_do_close(e);
	}
}

static void in_callback(struct x_world *w, struct x_end *e)
{
	struct storm *s = dv_container_of(w, struct storm, w);

	if (!s->quiet && roll(s, 4) == 0)
		do_end(s, e);
}

static void do_room(struct storm *s)
{
	int a = (int)roll(s, (uint32_t)s->sc.n_nodes);
	int b = (int)roll(s, (uint32_t)s->sc.n_nodes);
	struct try_link *l = try_link(&s->w.t, a, b);

	if (l)
		try_stop(l, !l->stopped);
}

static void operate(struct storm *s)
{
	struct x_end *e;

	if (roll(s, 5000) == 0)
		do_kill(s);
	else if (roll(s, 100) == 0)
		do_room(s);
	else if (s->w.n_ends < 2 * PAIRS_AT_ONCE || roll(s, 100) == 0)
		do_pair(s);
	else if ((e = pick(s, -1)))
		do_end(s, e);
}

/* ---- one seed ---- */

static void begin(struct storm *s, uint64_t seed)
{
	char links[64], *at = links;

	memset(s, 0, sizeof(*s));
	s->w.loud = getenv("LOUD");
	s->seed = seed;
	s->rng = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	for (int i = 0; i < 8; i++)
		roll(s, 2);
	s->sc.name = "storm";
	s->sc.blurred = s->sc.loose = true;
	s->sc.n_nodes = 4 + (int)roll(s, 5);
	/* A tree, as processes start each other. */
	for (int i = 1; i < s->sc.n_nodes; i++)
		at += snprintf(at, 8, "%s%u%d", i > 1 ? " " : "",
			       roll(s, (uint32_t)i), i);
	s->sc.links = links;
	s->sc.port_window = roll(s, 2) ? 300 + roll(s, 2000) : 0;
	/* A window that is full of what waits in ports that are moving, at both
	 * ends of a link, never empties: docs/mesh.md. */
	if (s->sc.port_window && roll(s, 2))
		s->sc.peer_window = X_ENDS * (s->sc.port_window + 1000);
	s->sc.long_min = roll(s, 2) ? 100 : 0;
	x_new(&s->w, &s->sc, roll(s, 4));
	s->sc.links = NULL;
	s->w.t.budget = 1 + roll(s, 8);
	s->w.hook = in_callback;
}

static void some_step(struct storm *s)
{
	static struct try_act acts[TRY_ACTS];
	int n = try_list(&s->w.t, acts, TRY_ACTS);

	if (n == 0)
		return;
	n = (int)roll(s, (uint32_t)n);
	if (s->w.loud)
		x_tell_act(&s->w, &acts[n]);
	try_do(&s->w.t, &acts[n]);
}

static void rest(struct storm *s)
{
	s->quiet = true;
	for (struct try_link *l = s->w.t.links; l; l = l->next)
		if (l->state == TRY_UP)
			try_stop(l, false);
	x_settle(&s->w);
	x_check_rest(&s->w);
	if (!s->w.t.fault[0])
		x_check_closed(&s->w);
}

static bool run(struct storm *s, uint64_t seed)
{
	size_t memory = x_memory();

	begin(s, seed);
	for (int i = 0; i < STEPS && !s->w.t.fault[0]; i++) {
		operate(s);
		for (uint32_t k = roll(s, 4); k > 0 && !s->w.t.fault[0]; k--)
			some_step(s);
	}
	if (!s->w.t.fault[0])
		rest(s);
	x_free(&s->w);
	if (!s->w.t.fault[0] && x_memory() != memory)
		x_fault(&s->w, "memory: %zd more than before",
			(ssize_t)(x_memory() - memory));
	if (s->w.t.fault[0])
		print_message("# STORM=%llu: %s\n", (unsigned long long)seed,
			      s->w.t.fault);
	return !s->w.t.fault[0];
}

static void crashed(int signo)
{
	if (now)
		printf("# STORM=%llu: crashed\n",
		       (unsigned long long)now->seed);
	fflush(stdout);
	signal(signo, SIG_DFL);
	raise(signo);
}

TEST(storm_delivers_all_exactly_once_or_says_why)
{
	struct storm *s = calloc(1, sizeof(*s));
	const char *only = getenv("STORM");
	bool soak = getenv("DAVIT_SOAK");
	uint64_t end = dv_now_ns() + (uint64_t)SOAK_MS * 1000000;
	uint64_t seed = 1, first, n = 0;
	uint64_t sent = 0, moves = 0, kills = 0;
	bool good = true;

	CHECK(s);
	now = s;
	signal(SIGABRT, crashed);
	signal(SIGSEGV, crashed);
	if (soak) {
		alarm(0);
		dv_random(&seed, sizeof(seed));
		seed >>= 1;
	}
	if (only)
		seed = strtoull(only, NULL, 10);
	first = seed;
	print_message("# STORM=%llu is the first\n", (unsigned long long)seed);
	do {
		good = run(s, seed++);
		n++;
		sent += s->n_sent;
		moves += s->n_moves;
		kills += s->n_kills;
	} while (good && !only && (soak ? dv_now_ns() < end : n < SEEDS));
	print_message("# %llu seeds from %llu: %llu messages, %llu moves, "
		      "%llu deaths\n",
		      (unsigned long long)n, (unsigned long long)first,
		      (unsigned long long)sent, (unsigned long long)moves,
		      (unsigned long long)kills);
	signal(SIGABRT, SIG_DFL);
	signal(SIGSEGV, SIG_DFL);
	now = NULL;
	free(s);
	CHECK(good);
}
