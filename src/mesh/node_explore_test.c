/* SPDX-License-Identifier: MIT */
/*
 * The node's protocol in every order that could happen. See explore.h for what
 * a scenario is, and explore_search.h for how all of it is seen.
 *
 *	DAVIT_SOAK=1			larger scenarios, and no limit
 *	EXPLORE=NAME/ORDER/1.0.2	only that run, and tell it
 *	EXACT=1				do not trust explore_state.h
 */
#include "mesh/explore_search.h"

#include "base/num.h"
#include "base/test.h"
#include "davit/loop.h"

/* Histories per scenario and order in a normal run; a scenario is made so small
 * that it has less. With a sanitizer, which is many times slower, a part has to
 * do: the normal build sees the rest. */
#ifdef __SANITIZE_ADDRESS__
enum { HISTORIES_MAX = 8000, ALL = false };
#else
enum { HISTORIES_MAX = 400000, ALL = true };
#endif

/* Runs at random that check explore_state.h. */
enum { WALKS = 200, WALKS_SOAK = 20000 };

// clang-format off
#define S(e)       { X_SEND, e, 0 }
#define SL(e, len) { X_SEND, e, len }
#define M(e, by)   { X_MOVE, e, by }
#define M2(e, by)  { X_MOVE2, e, by }
#define C(e)       { X_CLOSE, e, 0 }
#define B(a, b)    { X_BRIDGE, a, b }
#define K(n)       { X_KILL, n, 0 }
#define STOP(a, b) { X_STOP, a, b }
#define GO(a, b)   { X_GO, a, b }
#define STUCK(n)   { X_STUCK, n, 0 }
#define HOLD(e)    { X_HOLD, e, 0 }
#define FREE(e)    { X_FREE, e, 0 }
#define P(e)       { X_PAUSE, e, 0 }
#define R(e)       { X_RESUME, e, 0 }
// clang-format on

static bool soak(void)
{
	return getenv("DAVIT_SOAK") != NULL;
}

/* ---- one run again, as EXPLORE says ---- */

static int replay(struct x_search *s, const struct x_scenario *sc,
		  const char *text)
{
	struct x_step steps[X_WIDTH];
	char *end;
	bool rest = false;

	s->order = (unsigned int)strtoul(text, &end, 10);
	s->w.loud = true;
	printf("# %s, order %u\n", sc->name, s->order);
	x_begin(s, sc);
	while ((*end == '/' || *end == '.') && end[1] && !s->w.t.fault[0]) {
		unsigned long which = strtoul(end + 1, &end, 10);
		int n = x_list(s, steps);

		if ((int)which >= n) {
			printf("# there is no step %lu of %d\n", which, n);
			break;
		}
		s->path[s->depth++] =
			(struct x_choice){ .n = 1,
					   .which = { (uint8_t)which } };
		x_do(s, &steps[which]);
	}
	printf("# and on as it comes\n");
	x_finish(s);
	(void)rest;
	x_free(&s->w);
	printf("# %s\n", s->w.t.fault[0] ? s->w.t.fault : "nothing is wrong");
	return s->w.t.fault[0] ? -1 : 0;
}

static void explore(const struct x_scenario *sc)
{
	static struct x_search s;
	const char *only = getenv("EXPLORE");
	size_t len = strlen(sc->name);
	uint64_t start = dv_now_ns();
	uint64_t n_states = 0, n_histories = 0;
	bool good = true;

	if (only && (strncmp(only, sc->name, len) != 0 || only[len] != '/'))
		return;
	if (sc->known && !only)
		SKIP(sc->known);
	memset(&s, 0, sizeof(s));
	s.max_histories = soak() ? UINT64_MAX : HISTORIES_MAX;
	s.exact = getenv("EXACT");
	if (soak())
		alarm(0);
	x_watch(&s);
	if (only) {
		CHECK_EQ(replay(&s, sc, only + len + 1), 0);
		x_watch(NULL);
		return;
	}
	good = s.exact || x_walks(&s, sc, soak() ? WALKS_SOAK : WALKS);
	if (!good)
		print_message("# %s: explore_state.h forgets something\n",
			      sc->name);
	s.n_runs = 0;
	for (s.order = 0; s.order < 4 && good && !s.cut_off; s.order++) {
		good = x_search(&s, sc);
		n_states += s.states.n;
		n_histories += s.histories.n;
		if (!sc->four && (!soak() || sc->large))
			break;
	}
	x_watch(NULL);
	free(s.histories.slots);
	free(s.states.slots);
	print_message("# %s: %llu states, %llu histories, %llu executions, "
		      "%llu ends, depth %d, %llu ms%s\n",
		      sc->name, (unsigned long long)n_states,
		      (unsigned long long)n_histories,
		      (unsigned long long)s.n_runs,
		      (unsigned long long)s.n_leaves, s.max_depth,
		      (unsigned long long)((dv_now_ns() - start) / 1000000),
		      s.cut_off ? ", not complete" : "");
	CHECK(good);
	CHECK(!s.cut_off || !ALL);
}

/* A scenario is a test; the rest is its struct. */
#define EXPLORE(n, ...)                                              \
	TEST(n)                                                      \
	{                                                            \
		static const struct x_scenario sc = { .name = #n,    \
						      __VA_ARGS__ }; \
		explore(&sc);                                        \
	}                                                            \
	_Static_assert(1, "")
#define SOAK(n, ...)                                                 \
	TEST(n)                                                      \
	{                                                            \
		static const struct x_scenario sc = { .name = #n,    \
						      .large = true, \
						      __VA_ARGS__ }; \
		if (!soak() && !getenv("EXPLORE"))                   \
			SKIP("only with DAVIT_SOAK=1");              \
		explore(&sc);                                        \
	}                                                            \
	_Static_assert(1, "")

/* ---- nothing moves ---- */

EXPLORE(send_in_one_node, .n_nodes = 1, .links = "", .pairs = { { 0, 0 } },
	.n_pairs = 1, .threads = { { S(0), S(0), C(0) }, { S(1), S(1) } });

EXPLORE(send_between_two, .n_nodes = 2, .links = "01", .pairs = { { 0, 1 } },
	.n_pairs = 1, .threads = { { S(0), S(0), C(0) }, { S(1), S(1) } });

/* ---- one end moves ---- */

/* Pair 0 is what moves; the others carry it. */
EXPLORE(move_to_the_peer, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 1 }, { 0, 1 } }, .n_pairs = 2,
	.threads = { { S(0), M(0, 2), S(0), S(0) }, { S(1), S(1), S(1) } });

EXPLORE(move_away_from_the_peer, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 0 }, { 0, 1 } }, .n_pairs = 2,
	.threads = { { S(0), M(0, 2), S(0), S(0) }, { S(1), S(1), S(1) } });

EXPLORE(move_within_a_node, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 1 }, { 0, 0 } }, .n_pairs = 2,
	.threads = { { S(0), M(0, 2), S(0), S(0) }, { S(1), S(1), S(1) } });

EXPLORE(move_to_a_third, .n_nodes = 3, .links = "01 02 12",
	.pairs = { { 0, 2 }, { 0, 1 } }, .n_pairs = 2, .four = true,
	.threads = { { S(0), M(0, 2), S(0), S(0) }, { S(1), S(1), S(1) } });

EXPLORE(move_to_a_stranger, .n_nodes = 3, .links = "01 02",
	.pairs = { { 0, 2 }, { 0, 1 } }, .n_pairs = 2, .four = true,
	.threads = { { S(0), M(0, 2), S(0) }, { S(1), S(1) } },
	.kill_after = 1);

EXPLORE(move_two_to_a_stranger, .n_nodes = 3, .links = "01 02",
	.pairs = { { 0, 2 }, { 0, 1 }, { 0, 2 } }, .n_pairs = 3,
	.threads = { { M(0, 2), S(0) }, { M(4, 2), S(4) }, { S(1) } },
	.kill_after = 1);

/* Each of the two strangers asks to be introduced to the other. */
EXPLORE(move_two_across, .n_nodes = 3, .links = "01 02",
	.pairs = { { 0, 2 }, { 0, 1 }, { 0, 1 }, { 0, 2 } }, .n_pairs = 4,
	.threads = { { M(0, 4), S(0) }, { M(2, 6) } });

EXPLORE(move_while_paused, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 1 }, { 0, 1 } }, .n_pairs = 2,
	.threads = { { P(0), M(0, 2), P(0), R(0), S(0) }, { S(1), S(1) } });

/* ---- both ends move ---- */

EXPLORE(both_change_places, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 1 }, { 0, 1 } }, .n_pairs = 2, .four = true,
	.threads = { { S(0), M(0, 2), S(0) }, { S(1), M(1, 3), S(1) } });

EXPLORE(both_change_places_twice, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 1 }, { 0, 1 } }, .n_pairs = 2, .four = true,
	.threads = { { M(0, 2), M(0, 3), S(0) }, { M(1, 3), M(1, 2), S(1) } });

EXPLORE(both_move_to_a_third, .n_nodes = 3, .links = "01 02 12",
	.pairs = { { 0, 1 }, { 0, 2 }, { 1, 2 } }, .n_pairs = 3, .four = true,
	.threads = { { S(0), M(0, 2) }, { S(1), M(1, 4) } });

EXPLORE(both_leave_one_node, .n_nodes = 3, .links = "01 02",
	.pairs = { { 0, 0 }, { 0, 1 }, { 0, 2 } }, .n_pairs = 3, .four = true,
	.threads = { { M(0, 2), S(0) }, { S(1), M(1, 4), S(1) } },
	.kill_after = 1);

EXPLORE(both_move_to_strangers, .n_nodes = 4, .links = "01 02 13",
	.pairs = { { 0, 1 }, { 0, 2 }, { 1, 3 } }, .n_pairs = 3, .four = true,
	.threads = { { S(0), M(0, 2), S(0) }, { M(1, 4), S(1) } });

/* ---- chains ---- */

EXPLORE(move_on_and_on, .n_nodes = 3, .links = "01 12 20",
	.pairs = { { 0, 0 }, { 0, 1 }, { 1, 2 }, { 2, 0 } }, .n_pairs = 4,
	.threads = { { S(0), M(0, 2), M(0, 4), M(0, 6), S(0) }, { S(1) } });

EXPLORE(move_on_away_from_a_peer, .n_nodes = 4, .links = "01 12 03",
	.pairs = { { 0, 3 }, { 0, 1 }, { 1, 2 } }, .n_pairs = 3,
	.threads = { { M(0, 2), M(0, 4), S(0) }, { S(1), S(1) } });

EXPLORE(move_there_and_back, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 1 }, { 0, 1 } }, .n_pairs = 2,
	.threads = { { S(0), M(0, 2), M(0, 3), S(0), M(0, 2) },
		     { S(1), S(1) } });

EXPLORE(move_in_what_moves, .n_nodes = 3, .links = "01 12 02",
	.pairs = { { 0, 2 }, { 0, 1 }, { 1, 2 } }, .n_pairs = 3,
	.threads = { { M(0, 2), S(0) }, { M(3, 4) } });

EXPLORE(move_both_ends_in_one_message, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 0 }, { 0, 1 } }, .n_pairs = 2,
	.threads = { { S(0), S(1), M2(0, 2), S(1) }, { S(0) } });

EXPLORE(move_both_ends_one_by_one, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 0 }, { 0, 1 } }, .n_pairs = 2,
	.threads = { { S(0), S(1), M(0, 2), M(1, 2), S(1) }, { S(0) } });

/* ---- closing ---- */

EXPLORE(move_and_close, .n_nodes = 3, .links = "01 02",
	.pairs = { { 0, 2 }, { 0, 1 } }, .n_pairs = 2, .four = true,
	.threads = { { S(0), M(0, 2), S(0), C(0) }, { S(1), S(1) } });

EXPLORE(move_and_peer_closes, .n_nodes = 3, .links = "01 02",
	.pairs = { { 0, 2 }, { 0, 1 } }, .n_pairs = 2, .four = true,
	.threads = { { S(0), M(0, 2), S(0) }, { S(1), C(1) } });

EXPLORE(move_and_both_close, .n_nodes = 3, .links = "01 02",
	.pairs = { { 0, 2 }, { 0, 1 } }, .n_pairs = 2,
	.threads = { { S(0), M(0, 2), C(0) }, { S(1), C(1) } });

EXPLORE(both_move_and_close, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 1 }, { 0, 1 } }, .n_pairs = 2, .four = true,
	.threads = { { M(0, 2), S(0), C(0) }, { M(1, 3), S(1), C(1) } });

EXPLORE(move_on_and_close, .n_nodes = 3, .links = "01 12 20",
	.pairs = { { 0, 2 }, { 0, 1 }, { 1, 2 } }, .n_pairs = 3,
	.threads = { { M(0, 2), M(0, 4), S(0), C(0) }, { S(1), C(1) } });

EXPLORE(move_and_carrier_closes, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 1 }, { 0, 1 } }, .n_pairs = 2,
	.threads = { { S(0), M(0, 2), S(0) }, { S(1) }, { C(3) } });

EXPLORE(move_and_carrier_closes_elsewhere, .n_nodes = 3, .links = "01 12 02",
	.pairs = { { 0, 2 }, { 0, 1 }, { 1, 2 } }, .n_pairs = 3,
	.threads = { { M(0, 2) }, { M(3, 4), C(3) } });

/* ---- refusals ---- */

EXPLORE(move_to_a_full_node, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 0 }, { 0, 1 } }, .n_pairs = 2, .max_ports = { 0, 1 },
	.refusals = true,
	.threads = { { S(0), M(0, 2), S(0) }, { S(1), S(1) } });

EXPLORE(move_on_to_a_full_node, .n_nodes = 3, .links = "01 12 20",
	.pairs = { { 0, 2 }, { 0, 1 }, { 1, 2 } }, .n_pairs = 3,
	.max_ports = { 0, 0, 2 }, .refusals = true,
	.threads = { { S(0), M(0, 2), M(0, 4), S(0) }, { S(1) } });

EXPLORE(introduction_fails, .n_nodes = 3, .links = "01 02",
	.pairs = { { 0, 2 }, { 0, 1 } }, .n_pairs = 2, .refusals = true,
	.threads = { { S(0), M(0, 2), S(0) }, { S(1) }, { STUCK(0) } });

EXPLORE(introduction_is_not_wanted, .n_nodes = 3, .links = "01 02",
	.pairs = { { 0, 2 }, { 0, 1 } }, .n_pairs = 2, .refusals = true,
	.max_links = { 0, 1 },
	.threads = { { S(0), M(0, 2), S(0) }, { S(1) } });

EXPLORE(introduction_is_not_wanted_there, .n_nodes = 3, .links = "01 02",
	.pairs = { { 0, 2 }, { 0, 1 } }, .n_pairs = 2, .refusals = true,
	.max_links = { 0, 0, 1 },
	.threads = { { S(0), M(0, 2), S(0) }, { S(1) } });

/* ---- deaths ---- */

EXPLORE(death_of_the_origin, .n_nodes = 3, .links = "01 02",
	.pairs = { { 0, 2 }, { 0, 1 } }, .n_pairs = 2, .blurred = true,
	.threads = { { S(0), M(0, 2), S(0) }, { S(1) }, { K(0) } });

EXPLORE(death_of_the_target, .n_nodes = 3, .links = "01 02",
	.pairs = { { 0, 2 }, { 0, 1 } }, .n_pairs = 2,
	.threads = { { S(0), M(0, 2), S(0) }, { S(1) }, { K(1) } });

EXPLORE(death_of_the_peer, .n_nodes = 3, .links = "01 02",
	.pairs = { { 0, 2 }, { 0, 1 } }, .n_pairs = 2,
	.threads = { { S(0), M(0, 2), S(0) }, { S(1) }, { K(2) } });

EXPLORE(death_on_the_way, .n_nodes = 4, .links = "01 12 03",
	.pairs = { { 0, 3 }, { 0, 1 }, { 1, 2 } }, .n_pairs = 3,
	.blurred = true,
	.threads = { { M(0, 2), M(0, 4), S(0) }, { S(1) }, { K(1) } });

EXPLORE(death_of_the_carriers_end, .n_nodes = 3, .links = "01 12 02",
	.pairs = { { 0, 2 }, { 0, 1 }, { 1, 2 } }, .n_pairs = 3,
	.threads = { { M(0, 2), S(0) }, { M(3, 4) }, { K(1) } });

EXPLORE(death_when_both_move, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 1 }, { 0, 1 } }, .n_pairs = 2, .four = true,
	.threads = { { M(0, 2), S(0) }, { M(1, 3), S(1) }, { K(1) } });

EXPLORE(death_when_both_move_to_a_third, .n_nodes = 3, .links = "01 02 12",
	.pairs = { { 0, 1 }, { 0, 2 }, { 1, 2 } }, .n_pairs = 3, .four = true,
	.threads = { { M(0, 2) }, { M(1, 4) }, { K(1) } });

EXPLORE(two_deaths, .n_nodes = 3, .links = "01 02",
	.pairs = { { 0, 2 }, { 0, 1 } }, .n_pairs = 2, .blurred = true,
	.threads = { { M(0, 2), S(0) }, { S(1) }, { K(0) }, { K(1) } });

/* ---- bridges ---- */

EXPLORE(bridge_of_two, .n_nodes = 3, .links = "01 02",
	.pairs = { { 1, 0 }, { 0, 2 } }, .n_pairs = 2,
	.threads = { { S(0), S(0) }, { S(3) }, { S(1), B(1, 2) } },
	.kill_after = 1);

EXPLORE(bridge_here, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 0 }, { 0, 1 } }, .n_pairs = 2, .four = true,
	.threads = { { S(0), S(0) }, { S(3), S(3) }, { S(2), B(1, 2) } });

EXPLORE(bridge_of_what_has_ended, .n_nodes = 2, .links = "01",
	.pairs = { { 1, 1 }, { 0, 0 }, { 0, 1 } }, .n_pairs = 3, .four = true,
	.threads = { { S(0), C(0) }, { M(2, 4), B(1, 2) }, { S(3) } });

EXPLORE(bridge_while_moving, .n_nodes = 3, .links = "01 02",
	.pairs = { { 1, 0 }, { 0, 2 }, { 1, 0 } }, .n_pairs = 3, .four = true,
	.threads = { { M(0, 4), S(0) }, { S(3) }, { B(1, 2) } });

EXPLORE(bridge_at_both_ends, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 0 }, { 0, 1 }, { 1, 1 } }, .n_pairs = 3, .four = true,
	.threads = { { S(0), B(1, 2) }, { S(5), B(3, 4) } });

EXPLORE(bridge_and_move_what_it_joined, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 0 }, { 0, 1 }, { 0, 1 } }, .n_pairs = 3, .four = true,
	.threads = { { M(0, 4), S(0) }, { S(3) }, { B(1, 2) } });

EXPLORE(bridge_and_close, .n_nodes = 3, .links = "01 02",
	.pairs = { { 1, 0 }, { 0, 2 } }, .n_pairs = 2,
	.threads = { { S(0), C(0) }, { S(3) }, { B(1, 2) } });

EXPLORE(bridge_and_both_close, .n_nodes = 3, .links = "01 02",
	.pairs = { { 1, 0 }, { 0, 2 } }, .n_pairs = 2,
	.threads = { { S(0), C(0) }, { S(3), C(3) }, { B(1, 2) } });

EXPLORE(bridge_of_a_ring, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 1 }, { 0, 1 } }, .n_pairs = 2, .four = true,
	.threads = { { B(0, 2) }, { B(1, 3) } });

EXPLORE(bridge_leads_a_port_to_itself, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 1 }, { 0, 1 } }, .n_pairs = 2, .refusals = true,
	.threads = { { M(0, 2) }, { B(1, 3) } });

EXPLORE(death_at_a_bridge, .n_nodes = 3, .links = "01 02",
	.pairs = { { 1, 0 }, { 0, 2 } }, .n_pairs = 2, .blurred = true,
	.threads = { { S(0) }, { S(3) }, { B(1, 2) }, { K(0) } });

EXPLORE(death_beside_a_bridge, .n_nodes = 3, .links = "01 02",
	.pairs = { { 1, 0 }, { 0, 2 } }, .n_pairs = 2,
	.threads = { { S(0) }, { S(3) }, { B(1, 2) }, { K(1) } });

/* ---- windows ---- */

EXPLORE(small_port_window, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 1 }, { 0, 1 } }, .n_pairs = 2, .port_window = 100,
	.threads = { { S(0), S(0), M(0, 2), S(0) }, { S(1), S(1) } });

EXPLORE(small_window_and_a_third, .n_nodes = 3, .links = "01 02 12",
	.pairs = { { 0, 2 }, { 0, 1 } }, .n_pairs = 2, .port_window = 100,
	.threads = { { M(0, 2), S(0), S(0) }, { S(1), S(1) } });

EXPLORE(small_window_and_a_bridge, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 0 }, { 0, 1 } }, .n_pairs = 2, .port_window = 100,
	.threads = { { S(0), S(0), S(0) }, { S(3), S(3) }, { B(1, 2) } });

EXPLORE(small_window_and_two_bridges, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 0 }, { 0, 1 }, { 1, 1 } }, .n_pairs = 3,
	.port_window = 100,
	.threads = { { S(0), S(0), B(1, 2), S(0) }, { B(3, 4), S(5), S(5) } });

/* The end of a stream that was changed by a bridge is heard late. */
EXPLORE(small_window_two_bridges_no_room, .n_nodes = 3, .links = "01 12",
	.pairs = { { 0, 1 }, { 1, 2 }, { 2, 2 } }, .n_pairs = 3,
	.port_window = 100,
	.threads = { { STOP(1, 0), S(3), B(2, 1), S(0), S(0), S(0), B(4, 3),
		       GO(1, 0) } });

/* Who was bridged grants for its old stream to a port that has just been
 * accepted by somebody at the same node. */
EXPLORE(small_window_bridge_of_what_arrives, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 0 }, { 0, 1 }, { 0, 1 } }, .n_pairs = 3,
	.port_window = 100,
	.threads = { { M(0, 4), S(0), STOP(0, 1), S(1), S(0), S(0), B(0, 3),
		       GO(0, 1) },
		     { P(2), S(3), R(2) } });

EXPLORE(small_peer_window, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 1 }, { 0, 1 } }, .n_pairs = 2, .peer_window = 50,
	.threads = { { S(0), S(0), M(0, 2), S(0) }, { S(1), S(1) } });

EXPLORE(messages_are_kept, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 1 }, { 0, 1 } }, .n_pairs = 2, .port_window = 100,
	.peer_window = 1000,
	.threads = { { S(0), S(0), M(0, 2), S(0) }, { HOLD(1), FREE(1) } });

EXPLORE(no_room_for_a_while, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 1 }, { 0, 1 } }, .n_pairs = 2,
	.threads = { { S(0), M(0, 2), S(0) },
		     { S(1) },
		     { STOP(0, 1), GO(0, 1) },
		     { STOP(1, 0), GO(1, 0) } });

EXPLORE(long_messages, .n_nodes = 2, .links = "01",
	.pairs = { { 0, 1 }, { 0, 1 } }, .n_pairs = 2, .long_min = 100,
	.threads = { { SL(0, 100), M(0, 2), SL(0, 100) },
		     { SL(1, 100), S(1) } });

EXPLORE(long_messages_and_a_death, .n_nodes = 3, .links = "01 02",
	.pairs = { { 0, 2 }, { 0, 1 } }, .n_pairs = 2, .long_min = 20,
	.threads = { { S(0), M(0, 2), S(0) }, { S(1) }, { K(1) } });

/* ---- larger ones ---- */

SOAK(small_window_and_a_third_more, .n_nodes = 3, .links = "01 02 12",
     .pairs = { { 0, 2 }, { 0, 1 } }, .n_pairs = 2, .port_window = 100,
     .threads = { { S(0), M(0, 2), S(0), S(0) }, { S(1), S(1), S(1) } });

SOAK(move_and_carrier_closes_elsewhere_more, .n_nodes = 3, .links = "01 12 02",
     .pairs = { { 0, 2 }, { 0, 1 }, { 1, 2 } }, .n_pairs = 3,
     .threads = { { M(0, 2), S(0) }, { S(1) }, { M(3, 4), C(3) } });

SOAK(move_two_across_and_close, .n_nodes = 3, .links = "01 02",
     .pairs = { { 0, 2 }, { 0, 1 }, { 0, 1 }, { 0, 2 } }, .n_pairs = 4,
     .threads = { { M(0, 4), C(0) }, { M(2, 6) } });

SOAK(move_two_across_and_both_close, .n_nodes = 3, .links = "01 02",
     .pairs = { { 0, 2 }, { 0, 1 }, { 0, 1 }, { 0, 2 } }, .n_pairs = 4,
     .threads = { { M(0, 4), S(0), C(0) }, { M(2, 6), C(2) } });

/* The one introduction too many is not taken for that of the third port. */
SOAK(move_two_across_and_one_elsewhere, .n_nodes = 4, .links = "01 02 03",
     .pairs = { { 0, 1 }, { 0, 2 }, { 0, 1 }, { 0, 2 }, { 0, 1 }, { 0, 3 } },
     .n_pairs = 6, .threads = { { M(0, 6), M(2, 8), M(4, 10), C(2) } });

SOAK(move_three_across, .n_nodes = 3, .links = "01 02",
     .pairs = { { 0, 2 }, { 0, 1 }, { 0, 1 }, { 0, 2 }, { 0, 2 } },
     .n_pairs = 5, .threads = { { M(0, 4), C(0), M(8, 4) }, { M(2, 6) } });

SOAK(small_window_two_bridges_no_room_more, .n_nodes = 3, .links = "01 12",
     .pairs = { { 0, 1 }, { 1, 2 }, { 2, 2 } }, .n_pairs = 3,
     .port_window = 100,
     .threads = { { S(0), S(0), S(0) },
		  { S(3), B(4, 3) },
		  { STOP(1, 0), B(2, 1), GO(1, 0) } });

SOAK(both_move_on, .n_nodes = 3, .links = "01 02 12",
     .pairs = { { 0, 1 }, { 0, 2 }, { 1, 2 }, { 0, 1 } }, .n_pairs = 4,
     .threads = { { S(0), M(0, 2), S(0), M(0, 5) },
		  { S(1), M(1, 4), S(1), M(1, 3) } });

SOAK(both_change_places_and_a_death, .n_nodes = 3, .links = "01 02",
     .pairs = { { 0, 1 }, { 0, 1 }, { 0, 2 } }, .n_pairs = 3, .blurred = true,
     .threads = { { S(0), M(0, 2), S(0) },
		  { S(1), M(1, 3), M(1, 4), S(1) },
		  { K(0) } });

SOAK(both_move_to_strangers_and_a_death, .n_nodes = 4, .links = "01 02 13",
     .pairs = { { 0, 1 }, { 0, 2 }, { 1, 3 } }, .n_pairs = 3, .blurred = true,
     .threads = { { S(0), M(0, 2), S(0) }, { M(1, 4), S(1) }, { K(0) } });

SOAK(move_in_what_moves_in_what_moves, .n_nodes = 3, .links = "01 12 02",
     .pairs = { { 0, 2 }, { 0, 1 }, { 1, 2 }, { 2, 0 } }, .n_pairs = 4,
     .threads = { { S(0), M(0, 2), S(0) }, { S(1) }, { M(3, 4), M(3, 6) } });

SOAK(bridges_of_four, .n_nodes = 3, .links = "01 02 12",
     .pairs = { { 1, 0 }, { 0, 2 }, { 2, 1 } }, .n_pairs = 3,
     .threads = { { S(0), B(1, 2) }, { S(5), B(3, 4) } });

SOAK(bridge_and_both_ends_move, .n_nodes = 3, .links = "01 02",
     .pairs = { { 1, 0 }, { 0, 2 }, { 1, 0 }, { 2, 0 } }, .n_pairs = 4,
     .threads = {
	     { S(0), M(0, 4), S(0) }, { S(3), M(3, 6), S(3) }, { B(1, 2) } });

SOAK(bridge_moves_and_a_death, .n_nodes = 3, .links = "01 02",
     .pairs = { { 1, 0 }, { 0, 2 }, { 1, 0 } }, .n_pairs = 3, .blurred = true,
     .threads = { { S(0), M(0, 4), S(0) }, { S(3) }, { B(1, 2) }, { K(1) } });

SOAK(small_windows_both_move, .n_nodes = 2, .links = "01",
     .pairs = { { 0, 1 }, { 0, 1 } }, .n_pairs = 2, .port_window = 100,
     .peer_window = 200,
     .threads = { { S(0), S(0), M(0, 2), S(0), S(0) },
		  { S(1), S(1), M(1, 3), S(1), S(1) } });

SOAK(small_windows_bridge_and_move, .n_nodes = 3, .links = "01 02",
     .pairs = { { 1, 0 }, { 0, 2 }, { 1, 0 } }, .n_pairs = 3,
     .port_window = 100,
     .threads = { { S(0), S(0), M(0, 4), S(0) }, { S(3), S(3) }, { B(1, 2) } });
