/* SPDX-License-Identifier: MIT */
/*
 * Prints the default filter as C initialisers: seccomp-gen [ARCH]
 *
 * DOC: the shape of the default filter.
 *
 * libseccomp only translates names to numbers here. The program is made of
 * ranges: neighbouring numbers with the same verdict are one span, and a binary
 * tree of "is it at least N" finds the span in six or seven steps:
 *
 *	wrong architecture -> kill
 *	tree over the spans -> a leaf, or a rule
 *	rules: compare the low half of an argument -> a leaf
 *	leaves: one return for each verdict
 *
 * A tree with a node for each call, as libseccomp makes it, is three times as
 * long. The kernel checks every instruction, compiles it, and runs the program
 * once for each call number when it is loaded, so length and depth are what a
 * start pays for.
 *
 * Runs at build time only, so it prints to stderr and exits by itself.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* the CLONE_ constants; native: no project flags */
#endif
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <seccomp.h>

#include "engine/seccomp_policy.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

enum {
	NR_MAX = 1024,   /* call numbers; a larger one fails the build */
	INSNS_MAX = 512, /* instructions */
	/* Targets: the verdicts, then the rules, then the tree's nodes. */
	FIRST_RULE = POLICY_N,
	FIRST_NODE = FIRST_RULE + LEN(policy_rules),
	TARGETS = FIRST_NODE + NR_MAX,
};

/* A jump whose targets are labels until all places are known. */
struct insn {
	uint16_t code;
	uint32_t k;
	bool jump;
	unsigned int yes, no;
};

struct span {
	uint32_t first;
	unsigned int target;
};

struct gen {
	uint32_t arch;
	unsigned int target[NR_MAX]; /* by call number */
	struct span span[NR_MAX];
	size_t n_spans;
	struct insn insn[INSNS_MAX];
	size_t n_insns;
	size_t place[TARGETS]; /* label: its instruction */
	unsigned int n_nodes;
};

static _Noreturn void die(const char *what, const char *which)
{
	fprintf(stderr, "seccomp-gen: %s: %s\n", what, which);
	exit(1);
}

/* The number of a call, negative when this architecture does not have it. */
static int resolve(const struct gen *g, const char *name)
{
	int nr = seccomp_syscall_resolve_name_arch(g->arch, name);

	if (nr != __NR_SCMP_ERROR)
		return nr; /* below -1: known, but not on this one */
	for (size_t i = 0; i < LEN(policy_new); i++) {
		if (strcmp(policy_new[i].name, name) == 0)
			return policy_new[i].nr;
	}
	die("unknown system call", name);
}

static void set_target(struct gen *g, const char *name, unsigned int target)
{
	int nr = resolve(g, name);

	if (nr < 0)
		return;
	if (nr >= NR_MAX)
		die("number too large", name);
	if (g->target[nr] != POLICY_ENOSYS)
		die("listed twice", name);
	g->target[nr] = target;
}

static void read_policy(struct gen *g)
{
	for (size_t i = 0; i < NR_MAX; i++)
		g->target[i] = POLICY_ENOSYS;
	for (size_t i = 0; i < LEN(policy_allow); i++)
		set_target(g, policy_allow[i], POLICY_ALLOW);
	for (size_t i = 0; i < LEN(policy_eperm); i++)
		set_target(g, policy_eperm[i], POLICY_EPERM);
	for (size_t i = 0; i < LEN(policy_rules); i++)
		set_target(g, policy_rules[i].name, FIRST_RULE + i);
}

/* The last span has no end: it holds the numbers of x32 as well. */
static void make_spans(struct gen *g)
{
	for (uint32_t nr = 0; nr < NR_MAX; nr++) {
		if (nr && g->target[nr] == g->target[nr - 1])
			continue;
		g->span[g->n_spans].first = nr;
		g->span[g->n_spans++].target = g->target[nr];
	}
	if (g->target[NR_MAX - 1] != POLICY_ENOSYS)
		die("the last span must be", "ENOSYS");
}

static struct insn *emit(struct gen *g, uint16_t code, uint32_t k)
{
	struct insn *in = &g->insn[g->n_insns];

	if (g->n_insns++ == INSNS_MAX)
		die("too long", "the filter");
	in->code = code;
	in->k = k;
	return in;
}

static void emit_load(struct gen *g, size_t offset)
{
	emit(g, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset);
}

static void emit_jump(struct gen *g, uint16_t how, uint32_t k, unsigned int yes,
		      unsigned int no)
{
	struct insn *in = emit(g, BPF_JMP | BPF_K | how, k);

	in->jump = true;
	in->yes = yes;
	in->no = no;
}

/* The label of a subtree over spans [lo, hi): a span alone needs no node. */
static unsigned int node_label(struct gen *g, size_t lo, size_t hi)
{
	return hi - lo == 1 ? g->span[lo].target : FIRST_NODE + g->n_nodes++;
}

/* Depth first, so that most jumps are short; log2(n_spans) levels deep. */
static void emit_tree(struct gen *g, unsigned int label, size_t lo, size_t hi)
{
	size_t mid = lo + (hi - lo) / 2;
	unsigned int below, above;

	if (hi - lo < 2)
		return;
	below = node_label(g, lo, mid);
	above = node_label(g, mid, hi);
	g->place[label] = g->n_insns;
	emit_jump(g, BPF_JGE, g->span[mid].first, above, below);
	emit_tree(g, below, lo, mid);
	emit_tree(g, above, mid, hi);
}

/* A step's NEXT becomes the label of the instruction behind its jump. */
static void emit_step(struct gen *g, const struct policy_step *st)
{
	unsigned int next = FIRST_NODE + g->n_nodes++;
	uint16_t how = st->op == POLICY_EQ ? BPF_JEQ : BPF_JSET;

	emit_jump(g, how, st->value, st->yes == POLICY_NEXT ? next : st->yes,
		  st->no == POLICY_NEXT ? next : st->no);
	g->place[next] = g->n_insns;
}

static void emit_rule(struct gen *g, size_t which)
{
	const struct policy_step *st = policy_rules[which].step;
	size_t i = 0;

	g->place[FIRST_RULE + which] = g->n_insns;
	do {
		/* Little endian: the low half comes first. */
		if (i == 0 || st[i].arg != st[i - 1].arg)
			emit_load(g, offsetof(struct seccomp_data, args) +
					     sizeof(uint64_t) * st[i].arg);
		emit_step(g, &st[i]);
		if (st[i].yes != POLICY_NEXT && st[i].no != POLICY_NEXT)
			return;
	} while (++i < POLICY_STEPS_MAX);
	die("the last step has no verdict", policy_rules[which].name);
}

static void emit_leaves(struct gen *g)
{
	static const uint32_t ret[POLICY_N] = {
		[POLICY_NEXT] = SECCOMP_RET_KILL_PROCESS, /* never reached */
		[POLICY_ALLOW] = SECCOMP_RET_ALLOW,
		[POLICY_ENOSYS] = SECCOMP_RET_ERRNO | ENOSYS,
		[POLICY_EPERM] = SECCOMP_RET_ERRNO | EPERM,
		[POLICY_EAFNOSUPPORT] = SECCOMP_RET_ERRNO | EAFNOSUPPORT,
		[POLICY_EPROTONOSUPPORT] = SECCOMP_RET_ERRNO | EPROTONOSUPPORT,
		[POLICY_KILL] = SECCOMP_RET_KILL_PROCESS,
	};

	for (unsigned int i = POLICY_NEXT + 1; i < POLICY_N; i++) {
		g->place[i] = g->n_insns;
		emit(g, BPF_RET | BPF_K, ret[i]);
	}
}

static void emit_all(struct gen *g)
{
	unsigned int start = FIRST_NODE + g->n_nodes++;

	emit_load(g, offsetof(struct seccomp_data, arch));
	emit_jump(g, BPF_JEQ, g->arch, start, POLICY_KILL);
	g->place[start] = g->n_insns;
	emit_load(g, offsetof(struct seccomp_data, nr));
	emit_tree(g, FIRST_NODE + g->n_nodes++, 0, g->n_spans);
	for (size_t i = 0; i < LEN(policy_rules); i++)
		emit_rule(g, i);
	emit_leaves(g);
}

/* How far to jump from @from. Backwards is impossible, 255 is the limit. */
static unsigned int distance(const struct gen *g, size_t from,
			     unsigned int label)
{
	size_t to = g->place[label];

	if (to <= from || to - from - 1 > UINT8_MAX)
		die("a jump is too far", "split the filter");
	return (unsigned int)(to - from - 1);
}

static void print(const struct gen *g)
{
	for (size_t i = 0; i < g->n_insns; i++) {
		const struct insn *in = &g->insn[i];
		unsigned int jt = in->jump ? distance(g, i, in->yes) : 0;
		unsigned int jf = in->jump ? distance(g, i, in->no) : 0;

		printf("{ 0x%04x, %u, %u, 0x%08x },\n", in->code, jt, jf,
		       in->k);
	}
}

int main(int argc, char **argv)
{
	static struct gen g; /* too large for the stack */

	g.arch = argc > 1 ? seccomp_arch_resolve_name(argv[1])
			  : seccomp_arch_native();
	if (g.arch != SCMP_ARCH_X86_64 && g.arch != SCMP_ARCH_AARCH64)
		die("no default filter for this architecture",
		    argc > 1 ? argv[1] : "native");
	read_policy(&g);
	make_spans(&g);
	emit_all(&g);
	print(&g);
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
