/* SPDX-License-Identifier: MIT */
/*
 * DOC: a fair race
 *
 * timeit [OPTIONS] -- NAME [@WORD...] CMD [ARG...] [::: NAME ...]
 *
 * Times are only worth comparing when they were taken under the same weather,
 * so all peers run in one process and take turns: a block of a few starts of
 * A, then of B, then of C, and again from A, for as many rounds as asked. A
 * machine that gets slower for a while slows all of them. What is compared is
 * the median; min and p95 tell how calm it was.
 *
 * Words before the command:
 *	@skip TEXT	print the row with this reason instead of numbers
 *	@must		when it cannot run, timeit fails; otherwise it is a skip
 *	@mntns PID	start it in the mount namespace of this process
 *
 * Each peer runs once before the clock counts. One that fails there is shown
 * with its first line of output; one that fails later fails everything.
 */
#include "timeit.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/def.h"
#include "base/num.h"
#include "stats.h"

#define PEERS_MAX  32
#define ROUNDS_MAX 100000

struct race {
	struct peer peer[PEERS_MAX];
	size_t n_peers;
	struct stage stage;
	uint64_t rounds, block;
	uint64_t bytes;   /* moved by each run; 0 = not about bytes */
	const char *base; /* the peer that ratios refer to, or NULL */
	const char
		*limit; /* NAME of the peer whose ratio is checked, or NULL */
	uint32_t limit_milli;
};

static int usage(void)
{
	fputs("usage: timeit [-n ROUNDS] [-b BLOCK] [--base NAME] "
	      "[--limit NAME=RATIO]\n"
	      "              [--bytes SIZE] -- NAME [@WORD...] CMD [ARG...] "
	      "[::: NAME ...]\n",
	      stderr);
	return 2;
}

/* Takes one "@word" off @wp. Returns 1, 0 when there is none, or -EINVAL. */
static int parse_word(struct peer *peer, char ***wp)
{
	char **w = *wp;
	uint64_t pid;

	if (!w[0] || w[0][0] != '@')
		return 0;
	if (!strcmp(w[0], "@must")) {
		peer->must = true;
		*wp = w + 1;
		return 1;
	}
	if (!w[1])
		return -EINVAL;
	*wp = w + 2;
	if (!strcmp(w[0], "@skip")) {
		peer->skip = w[1];
		return 1;
	}
	if (strcmp(w[0], "@mntns") != 0 ||
	    dv_parse_u64(w[1], 1, INT32_MAX, &pid))
		return -EINVAL;
	peer->mntns = (pid_t)pid;
	return 1;
}

/* @w: the words of one peer, NULL-terminated. */
static int parse_peer(struct race *race, char **w)
{
	struct peer *peer = &race->peer[race->n_peers];
	int r;

	if (!w[0] || race->n_peers == PEERS_MAX)
		return -EINVAL;
	*peer = (struct peer)PEER_INIT;
	peer->name = *w++;
	while ((r = parse_word(peer, &w)) > 0)
		;
	if (r < 0 || (!w[0] && !peer->skip))
		return -EINVAL;
	peer->argv = w[0] ? w : NULL;
	race->n_peers++;
	return 0;
}

static int parse_peers(struct race *race, char **w)
{
	char **end;
	bool more;

	do {
		for (end = w; *end && strcmp(*end, ":::") != 0; end++)
			;
		more = *end != NULL;
		*end = NULL;
		if (parse_peer(race, w) < 0)
			return -EINVAL;
		w = end + 1;
	} while (more);
	return 0;
}

/* "davit=0.65": the name stays in @arg, which is cut at the '='. */
static int parse_limit(struct race *race, char *arg)
{
	char *eq = strrchr(arg, '=');

	if (!eq)
		return -EINVAL;
	*eq = '\0';
	race->limit = arg;
	return dv_parse_milli(eq + 1, &race->limit_milli);
}

static int parse_option(struct race *race, int c)
{
	switch (c) {
	case 'n':
		return dv_parse_u64(optarg, 1, ROUNDS_MAX, &race->rounds);
	case 'b':
		return dv_parse_u64(optarg, 1, 1000, &race->block);
	case 'r':
		race->base = optarg;
		return 0;
	case 'l':
		return parse_limit(race, optarg);
	case 's':
		return dv_parse_size(optarg, &race->bytes);
	default:
		return -EINVAL;
	}
}

static int parse(struct race *race, int argc, char **argv)
{
	static const struct option table[] = {
		{ "base", required_argument, NULL, 'r' },
		{ "limit", required_argument, NULL, 'l' },
		{ "bytes", required_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "+n:b:", table, NULL)) != -1)
		if (parse_option(race, c) < 0)
			return -EINVAL;
	return parse_peers(race, argv + optind);
}

/* Opens the peer and lets it run once. Returns 0 or -errno for our own ills. */
static int try_peer(struct race *race, struct peer *peer)
{
	int r;

	if (peer->skip)
		return 0;
	r = peer_open(peer, race->rounds * race->block);
	if (r < 0)
		return r;
	r = peer_run(peer, &race->stage, false);
	if (r != 0)
		peer_failed(peer, &race->stage, r);
	return 0;
}

static int run_block(struct race *race, struct peer *peer)
{
	int r;

	for (uint64_t i = 0; i < race->block; i++) {
		r = peer_run(peer, &race->stage, true);
		if (r != 0) {
			peer_failed(peer, &race->stage, r);
			fprintf(stderr,
				"timeit: %s failed after %zu runs: %s\n",
				peer->name, peer->n, peer->why);
			return -ECHILD;
		}
	}
	return 0;
}

static int run_race(struct race *race)
{
	int r = stage_open(&race->stage);

	for (size_t i = 0; r == 0 && i < race->n_peers; i++)
		r = try_peer(race, &race->peer[i]);
	for (uint64_t k = 0; r == 0 && k < race->rounds; k++)
		for (size_t i = 0; r == 0 && i < race->n_peers; i++)
			if (!race->peer[i].skip)
				r = run_block(race, &race->peer[i]);
	for (size_t i = 0; i < race->n_peers; i++)
		bench_sort(race->peer[i].ns, race->peer[i].n);
	return r;
}

static const struct peer *find(const struct race *race, const char *name)
{
	for (size_t i = 0; name && i < race->n_peers; i++)
		if (!strcmp(race->peer[i].name, name))
			return race->peer[i].skip ? NULL : &race->peer[i];
	return NULL;
}

static double median_ms(const struct peer *peer)
{
	return (double)bench_quantile(peer->ns, peer->n, 50) / 1e6;
}

static void print_row(const struct race *race, const struct peer *peer)
{
	const struct peer *base = find(race, race->base);
	double median;

	if (peer->skip) {
		printf("%-36s %s: %s\n", peer->name,
		       peer->must ? "FAILED" : "skip", peer->skip);
		return;
	}
	median = median_ms(peer);
	printf("%-36s %6zu %9.3f %9.3f %9.3f", peer->name, peer->n,
	       (double)peer->ns[0] / 1e6, median,
	       (double)bench_quantile(peer->ns, peer->n, 95) / 1e6);
	if (race->bytes)
		printf(" %9.0f", (double)race->bytes / 1048576 / median * 1e3);
	if (base)
		printf(" %9.2f", median / median_ms(base));
	putchar('\n');
}

static void print_table(const struct race *race)
{
	printf("%-36s %6s %9s %9s %9s", "", "n", "min ms", "median", "p95");
	if (race->bytes)
		printf(" %9s", "MiB/s");
	if (race->base)
		printf(" / %s", race->base);
	putchar('\n');
	for (size_t i = 0; i < race->n_peers; i++)
		print_row(race, &race->peer[i]);
}

/* 1 when a peer that must run could not, or the ratio is over its limit. */
static int verdict(const struct race *race)
{
	const struct peer *a = find(race, race->limit);
	const struct peer *b = find(race, race->base);
	double ratio;
	int bad = 0;

	for (size_t i = 0; i < race->n_peers; i++)
		bad |= race->peer[i].must && race->peer[i].skip;
	if (!race->limit)
		return bad;
	if (!a || !b) {
		printf("limit not checked: there is nothing to compare\n");
		return 1;
	}
	ratio = median_ms(a) / median_ms(b);
	printf("%s / %s = %.3f, allowed %.3f: %s\n", a->name, b->name, ratio,
	       race->limit_milli / 1e3,
	       ratio * 1e3 <= race->limit_milli ? "ok" : "TOO SLOW");
	return bad || ratio * 1e3 > race->limit_milli;
}

int main(int argc, char **argv)
{
	static struct race race = { .stage = STAGE_INIT,
				    .rounds = 40,
				    .block = 5 };
	int r;

	if (parse(&race, argc, argv) < 0)
		return usage();
	r = run_race(&race);
	if (r < 0 && r != -ECHILD)
		fprintf(stderr, "timeit: %s\n", strerrordesc_np(-r));
	else if (r == 0)
		print_table(&race);
	r = r < 0 ? 1 : verdict(&race);
	for (size_t i = 0; i < race.n_peers; i++)
		peer_close(&race.peer[i]);
	stage_close(&race.stage);
	return r;
}
