/* SPDX-License-Identifier: MIT */
/*
 * meshstorm [PROCESSES [SECONDS [SEED]]]: that many processes throw ports at
 * each other, and one of them is killed now and then. Every message is
 * numbered by who sent it, so whoever receives it knows what had to come: each
 * message arrives exactly once and in order, or its port ends and names a
 * process that was killed. At the end all stop, say LAST on each port, and have
 * to hear that of each other; then they leave, and nothing may be left.
 *
 * What an end of a pair knows (its numbers) travels with it. A port may only
 * travel on one of lower rank: ports that wait in each other's queues would be
 * out of everybody's reach.
 */
#include <davit/loop.h>
#include <davit/mesh.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	PROCS_MAX = 64,
	ENDS_MAX = 80, /* of one process; beyond that it closes some */
	ENDS_LOW = 8,  /* below that it makes new ones */
	RANKS = 6,
	TICK_MS = 2,
	OPS = 12,          /* of one tick */
	CHILD_FD = 20,     /* the invitation */
	LONG_LEN = 200000, /* of a message that goes in pieces */
	QUIET_MS = 60000,  /* to hear LAST on every port */
	LEAVE_MS = 30000,
	BOOT_ENDS = 6,
	FIN = DV_PRECONDITION, /* the reason of who closes on purpose */
};

enum kind {
	DATA = 1,
	CARRY,   /* with ends in it */
	SWITCH,  /* what comes next is from another one */
	LAST,    /* no more will come: it is over */
	GOODBYE, /* closed on purpose after this */
	HELLO,   /* to the parent: node */
	CULPRIT, /* to the parent: node, pid */
	TELL,    /* to the parent: left, ends that have not heard LAST */
	QUIET,   /* to a child: stop */
	ASK,     /* to a child: TELL */
	LEAVE,   /* to a child */
	KINDS
};

/* An end of a pair, as it travels. */
struct papers {
	uint64_t id, peer;
	uint32_t sent, next;
	uint8_t rank, got_last, got_bye;
};

struct wire {
	uint32_t kind, seq, n_ports, n_fds;
	uint64_t src;
	uint32_t left, pid; /* TELL, CULPRIT */
	struct dv_mesh_id node;
	struct papers papers; /* CARRY; SWITCH: of the one to come */
};

struct end {
	struct dv_port *port;
	struct papers p;
	bool sent_last, full, ended, paused;
	size_t at; /* in ends[] */
};

/* What the parent knows of a child. */
struct child {
	pid_t pid;
	struct dv_port *port;
	struct dv_mesh_id node;
	bool hello, killed, told;
	uint32_t left;
};

static struct dv_loop *loop;
static struct dv_mesh *mesh;
static struct end *ends[4096];
static size_t n_ends;
static uint64_t rng;
static struct dv_timer tick, doom, deadline;
static struct dv_port *parent; /* a child's */
static struct child children[PROCS_MAX * 64];
static size_t n_children, n_procs;
static bool quiet, leaving, left_mesh;
static int n_deaths, n_faults;
static uint64_t n_got, n_moved, n_ended;
static char **args;

static void fault(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void fault(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "meshstorm %d: ", getpid());
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	n_faults++;
}

static uint64_t roll64(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng * UINT64_C(0x2545f4914f6cdd1d);
}

static uint32_t roll(uint32_t n)
{
	return (uint32_t)(roll64() >> 33) % n;
}

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = -3; /* ".", ".." and the directory itself */

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* ---- ends ---- */

static const struct dv_port_ops end_ops;
static void tell(void);

static struct end *end_new(struct dv_port *port, const struct papers *p)
{
	struct end *e = calloc(1, sizeof(*e));

	if (!e || n_ends == sizeof(ends) / sizeof(ends[0]))
		abort();
	e->port = port;
	e->p = *p;
	e->at = n_ends;
	ends[n_ends++] = e;
	dv_port_start(port, &end_ops, e);
	return e;
}

/* Its port belongs to somebody else by now. */
static void end_drop(struct end *e)
{
	ends[e->at] = ends[--n_ends];
	ends[e->at]->at = e->at;
	free(e);
}

static struct end *pick(void)
{
	return n_ends ? ends[roll((uint32_t)n_ends)] : NULL;
}

static uint32_t waiting(void)
{
	uint32_t n = 0;

	for (size_t i = 0; i < n_ends; i++)
		n += !ends[i]->ended && !ends[i]->p.got_last;
	return n;
}

/* ---- sending ---- */

static uint8_t pattern(const struct wire *w, size_t i)
{
	return (uint8_t)(w->seq * 31 + i * 7);
}

static struct dv_msg *message(struct end *e, enum kind kind, struct wire *w,
			      size_t more)
{
	struct dv_msg *msg = dv_msg_new(sizeof(*w) + more);
	uint8_t *data;

	if (!msg)
		abort();
	w->kind = kind;
	w->src = e->p.id;
	w->seq = e->p.sent;
	data = dv_msg_data(msg);
	memcpy(data, w, sizeof(*w));
	for (size_t i = 0; i < more; i++)
		data[sizeof(*w) + i] = pattern(w, i);
	return msg;
}

/* True: it was accepted. */
static bool post(struct end *e, struct dv_msg *msg)
{
	struct dv_err err = DV_ERR_INIT;
	int r = dv_port_send(e->port, msg, &err);

	if (r < 0 && r != -EAGAIN && r != -EPIPE)
		fault("send: %d %s", r, err.msg);
	e->full = r == DV_FULL || r == -EAGAIN;
	if (r >= 0)
		e->p.sent++;
	return r >= 0;
}

static void attach_fd(struct dv_msg *msg, uint32_t seq)
{
	int fd = memfd_create("storm", MFD_CLOEXEC);

	if (fd < 0)
		abort();
	if (write(fd, &seq, sizeof(seq)) != (ssize_t)sizeof(seq))
		abort();
	dv_msg_add_fd(msg, fd);
}

static void do_send(struct end *e)
{
	struct wire w = { 0 };
	size_t more = roll(200) == 0 ? LONG_LEN : roll(4) ? 0 : roll(2000);
	struct dv_msg *msg;

	w.n_fds = roll(30) == 0 ? 1 + roll(3) : 0;
	msg = message(e, DATA, &w, more);
	for (uint32_t i = 0; i < w.n_fds; i++)
		attach_fd(msg, w.seq);
	post(e, msg);
}

static void do_move(struct end *e)
{
	struct end *by = pick();
	struct wire w = { .n_ports = 1, .papers = e->p };
	struct dv_msg *msg;

	if (by->full || by->p.rank >= e->p.rank)
		return;
	msg = message(by, CARRY, &w, 0);
	dv_msg_add_port(msg, e->port);
	end_drop(e);
	post(by, msg);
	n_moved++;
}

static void do_close(struct end *e)
{
	struct dv_err why = DV_ERR_INIT;
	struct wire w = { 0 };

	if (!e->full && post(e, message(e, GOODBYE, &w, 0)))
		dv_err_set(&why, ECANCELED, (enum dv_code)FIN, "on purpose");
	dv_port_close(e->port, why.code ? &why : NULL);
	end_drop(e);
}

static void do_bridge(struct end *a)
{
	struct end *b = pick();
	struct wire wa = { 0 }, wb = { 0 };
	struct dv_err err = DV_ERR_INIT;
	struct dv_port *pa, *pb;
	int r;

	if (b == a || b->p.rank != a->p.rank || a->p.peer == b->p.id ||
	    a->full || b->full)
		return;
	wa.papers = b->p;
	wb.papers = a->p;
	/* Whose peer has ended has nobody to be told, and that is fine. */
	post(a, message(a, SWITCH, &wa, 0));
	post(b, message(b, SWITCH, &wb, 0));
	pa = a->port;
	pb = b->port;
	end_drop(a);
	end_drop(b);
	r = dv_port_bridge(pa, pb, &err);
	/* Two ends that others have made a pair of cannot be known here. */
	if (r < 0 && r != -ELOOP)
		fault("bridge: %d %s", r, err.msg);
}

static void do_pair(void)
{
	struct dv_port *pair[2];
	struct papers p = {
		roll64(), roll64(), 0, 0, (uint8_t)roll(RANKS), 0, 0
	};
	struct papers q = { p.peer, p.id, 0, 0, p.rank, 0, 0 };

	if (dv_port_pair(mesh, pair) < 0) {
		fault("no pair");
		return;
	}
	end_new(pair[0], &p);
	end_new(pair[1], &q);
}

static void do_last(struct end *e)
{
	struct wire w = { 0 };

	if (!e->sent_last && !e->ended && !e->full)
		e->sent_last = post(e, message(e, LAST, &w, 0));
}

static void operate(struct end *e)
{
	uint32_t what = roll(100);

	if (n_ends > ENDS_MAX)
		do_close(e);
	else if (e->ended && what < 50)
		do_close(e);
	else if (what < 60)
		(void)(e->full || e->ended ? (void)0 : do_send(e));
	else if (what < 90)
		do_move(e);
	else if (what < 93)
		do_bridge(e);
	else if (what < 95) {
		e->paused = !e->paused;
		dv_port_pause(e->port, e->paused);
	} else if (what < 96) {
		do_close(e);
	}
}

static void on_tick(struct dv_timer *t)
{
	if (quiet)
		return;
	for (int i = 0; i < OPS; i++) {
		if (n_ends < ENDS_LOW)
			do_pair();
		operate(pick());
	}
	dv_timer_set(loop, t, dv_now_ns() + TICK_MS * UINT64_C(1000000),
		     on_tick);
}

/* ---- receiving ---- */

static void check_fds(struct end *e, struct dv_msg *msg, const struct wire *w)
{
	for (uint32_t i = 0; i < w->n_fds; i++) {
		uint32_t seq = ~w->seq;
		int fd = dv_msg_take_fd(msg, w->n_ports + i);

		if (fd < 0 || pread(fd, &seq, sizeof(seq), 0) < 0 ||
		    seq != w->seq)
			fault("descriptor %u of message %u: %d, says %u", i,
			      w->seq, fd, seq);
		if (fd >= 0)
			close(fd);
	}
	if (dv_msg_n_atts(msg) != w->n_ports + w->n_fds)
		fault("%zu attachments instead of %u", dv_msg_n_atts(msg),
		      w->n_ports + w->n_fds);
	(void)e;
}

static void check(struct end *e, struct dv_msg *msg, const struct wire *w)
{
	const uint8_t *data = dv_msg_data(msg);
	size_t len = dv_msg_len(msg) - sizeof(*w);

	if (w->src != e->p.peer || w->seq != e->p.next)
		fault("got %llx.%u instead of %llx.%u",
		      (unsigned long long)w->src, w->seq,
		      (unsigned long long)e->p.peer, e->p.next);
	if (e->p.got_last || e->p.got_bye || e->ended)
		fault("a message after the last one");
	for (size_t i = 0; i < len; i++) {
		if (data[sizeof(*w) + i] == pattern(w, i))
			continue;
		fault("byte %zu of message %u is wrong", i, w->seq);
		break;
	}
	check_fds(e, msg, w);
}

static void on_message(struct dv_port *port, struct dv_msg *msg)
{
	struct end *e = dv_port_user(port), *new;
	struct wire w;

	if (dv_msg_len(msg) < sizeof(w)) {
		fault("a message of %zu bytes", dv_msg_len(msg));
		return;
	}
	memcpy(&w, dv_msg_data(msg), sizeof(w));
	check(e, msg, &w);
	e->p.next++;
	n_got++;
	if (w.kind == CARRY) {
		port = dv_msg_take_port(msg, 0);
		if (!port) {
			fault("a port is missing");
			return;
		}
		new = end_new(port, &w.papers);
		if (quiet)
			do_last(new);
	} else if (w.kind == SWITCH) {
		e->p.peer = w.papers.peer;
		e->p.next = w.papers.next;
		e->p.got_last = w.papers.got_last;
		e->p.got_bye = w.papers.got_bye;
	} else if (w.kind == LAST) {
		e->p.got_last = 1;
	} else if (w.kind == GOODBYE) {
		e->p.got_bye = true;
	}
	if (quiet)
		tell();
	else if (roll(4) == 0)
		operate(e); /* e may be gone after this */
}

static void report_culprit(const struct dv_port_end *end);

static void on_ended(struct dv_port *port, const struct dv_port_end *end)
{
	struct end *e = dv_port_user(port);

	if (e->ended)
		fault("ended twice");
	e->ended = true;
	n_ended++;
	if (end->closed && end->err.code == (int)FIN && !e->p.got_bye)
		fault("closed, but something is missing");
	if (!end->closed)
		report_culprit(end);
	if (quiet)
		tell();
}

static void on_writable(struct dv_port *port)
{
	struct end *e = dv_port_user(port);

	e->full = false;
	if (quiet)
		do_last(e);
}

static const struct dv_port_ops end_ops = {
	.message = on_message,
	.ended = on_ended,
	.writable = on_writable,
};

static void go_quiet(void)
{
	quiet = true;
	for (size_t i = 0; i < n_ends; i++) {
		if (ends[i]->paused)
			dv_port_pause(ends[i]->port, false);
		ends[i]->paused = false;
		do_last(ends[i]);
	}
	tell();
}

static void on_left(struct dv_mesh *m, void *arg,
		    const struct dv_mesh_left *left)
{
	(void)arg;
	if (left->n_ports || left->n_links)
		fault("left %u ports and %u links", left->n_ports,
		      left->n_links);
	mesh = dv_mesh_free(m);
	left_mesh = true;
}

static void leave(void)
{
	leaving = true;
	while (n_ends) {
		dv_port_close(ends[0]->port, NULL);
		end_drop(ends[0]);
	}
	if (parent)
		parent = dv_port_close(parent, NULL);
	for (size_t i = 0; i < n_children; i++)
		children[i].port = dv_port_close(children[i].port, NULL);
	if (dv_mesh_leave(mesh, LEAVE_MS, on_left, NULL) < 0)
		fault("leave");
}

/* ---- between parent and child ---- */

static void say(struct dv_port *port, const struct wire *w)
{
	struct dv_err err = DV_ERR_INIT;
	int r = dv_port_send_bytes(port, w, sizeof(*w), &err);

	if (r < 0 && r != -EPIPE)
		fault("control: %d %s", r, err.msg);
}

static bool same(struct dv_mesh_id a, struct dv_mesh_id b)
{
	return a.hi == b.hi && a.lo == b.lo;
}

static void check_culprit(struct dv_mesh_id node, uint32_t pid, const char *why)
{
	char text[DV_MESH_ID_TEXT];

	for (size_t i = 0; i < n_children; i++) {
		struct child *c = &children[i];

		if (!c->killed)
			continue;
		/* One that died before it said who it is. */
		if (same(c->node, node) ||
		    (!c->hello && (!pid || (pid_t)pid == c->pid)))
			return;
	}
	fault("node %s, pid %u, is said to have died: %s",
	      dv_mesh_id_text(node, text), pid, why);
}

static void report_culprit(const struct dv_port_end *end)
{
	struct wire w = { .kind = CULPRIT,
			  .node = end->culprit,
			  .pid = (uint32_t)end->pid };

	struct dv_msg *msg;

	if (!parent) {
		check_culprit(end->culprit, (uint32_t)end->pid, end->err.msg);
		return;
	}
	msg = dv_msg_new(sizeof(w) + sizeof(end->err.msg));
	if (!msg)
		abort();
	memcpy(dv_msg_data(msg), &w, sizeof(w));
	memcpy((uint8_t *)dv_msg_data(msg) + sizeof(w), end->err.msg,
	       sizeof(end->err.msg));
	dv_port_send(parent, msg, NULL);
}

static void maybe_over(void)
{
	struct wire w = { .kind = LEAVE };

	if (!quiet || leaving || waiting())
		return;
	for (size_t i = 0; i < n_children; i++)
		if (!children[i].killed &&
		    (!children[i].told || children[i].left))
			return;
	for (size_t i = 0; i < n_children; i++)
		if (!children[i].killed)
			say(children[i].port, &w);
	leave();
}

static void tell(void)
{
	static uint32_t before = UINT32_MAX;
	struct wire w = { .kind = TELL, .left = waiting() };

	if (!parent) {
		maybe_over();
		return;
	}
	if (w.left != before)
		say(parent, &w);
	before = w.left;
}

static void child_said(struct dv_port *port, struct dv_msg *msg)
{
	struct child *c = dv_port_user(port);
	struct wire w;

	memcpy(&w, dv_msg_data(msg), sizeof(w));
	switch (w.kind) {
	case HELLO:
		c->hello = true;
		c->node = w.node;
		break;
	case CULPRIT:
		check_culprit(w.node, w.pid,
			      (const char *)dv_msg_data(msg) + sizeof(w));
		break;
	case TELL:
		c->told = true;
		c->left = w.left;
		maybe_over();
		break;
	default:
		fault("the child said %u", w.kind);
	}
}

static void child_ended(struct dv_port *port, const struct dv_port_end *end)
{
	struct child *c = dv_port_user(port);

	if (!c->killed && !leaving)
		fault("child %d ended: %s", c->pid, end->err.msg);
}

static const struct dv_port_ops child_ops = {
	.message = child_said,
	.ended = child_ended,
};

static void parent_said(struct dv_port *port, struct dv_msg *msg)
{
	struct wire w;

	(void)port;
	memcpy(&w, dv_msg_data(msg), sizeof(w));
	if (w.kind == CARRY)
		end_new(dv_msg_take_port(msg, 0), &w.papers);
	else if (w.kind == QUIET)
		go_quiet();
	else if (w.kind == LEAVE)
		leave();
}

static void parent_ended(struct dv_port *port, const struct dv_port_end *end)
{
	(void)port;
	if (leaving)
		return;
	fault("the parent is gone: %s", end->err.msg);
	leave();
}

static const struct dv_port_ops parent_ops = {
	.message = parent_said,
	.ended = parent_ended,
};

/* ---- children ---- */

/* A new end for @c; its peer is here, and will not stay. */
static void give_end(struct child *c)
{
	struct wire w = { .kind = CARRY, .n_ports = 1 };
	struct papers p = {
		roll64(), roll64(), 0, 0, (uint8_t)roll(RANKS), 0, 0
	};
	struct dv_port *pair[2];
	struct dv_msg *msg;

	if (dv_port_pair(mesh, pair) < 0) {
		fault("no pair");
		return;
	}
	end_new(pair[0], &p);
	w.papers = (struct papers){ p.peer, p.id, 0, 0, p.rank, 0, 0 };
	msg = dv_msg_new(sizeof(w));
	memcpy(dv_msg_data(msg), &w, sizeof(w));
	dv_msg_add_port(msg, pair[1]);
	dv_port_send(c->port, msg, NULL);
}

static void start_child(void)
{
	struct child *c = &children[n_children++];
	char fd_text[16], seed[32];
	char *argv[] = { args[0], (char[]){ "child" }, fd_text, seed, NULL };
	posix_spawn_file_actions_t acts;
	struct dv_err err = DV_ERR_INIT;
	int fd = -1;

	if (dv_mesh_invite(mesh, &fd, &c->port, &err) < 0) {
		fault("invite: %s", err.msg);
		return;
	}
	snprintf(fd_text, sizeof(fd_text), "%d", CHILD_FD);
	snprintf(seed, sizeof(seed), "%llu", (unsigned long long)roll64());
	posix_spawn_file_actions_init(&acts);
	posix_spawn_file_actions_adddup2(&acts, fd, CHILD_FD);
	if (posix_spawn(&c->pid, "/proc/self/exe", &acts, NULL, argv,
			environ) != 0)
		abort();
	posix_spawn_file_actions_destroy(&acts);
	close(fd);
	dv_port_start(c->port, &child_ops, c);
	for (int i = 0; i < BOOT_ENDS; i++)
		give_end(c);
}

static void on_doom(struct dv_timer *t)
{
	struct child *c = &children[roll((uint32_t)n_children)];

	if (quiet)
		return;
	if (!c->killed && n_children < sizeof(children) / sizeof(*children)) {
		/* Before it dies, so that whoever says so may be believed. */
		c->killed = true;
		n_deaths++;
		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
		start_child();
	}
	dv_timer_set(loop, t,
		     dv_now_ns() + (50 + roll(300)) * UINT64_C(1000000),
		     on_doom);
}

static void on_deadline(struct dv_timer *t);

static void on_quiet(struct dv_timer *t)
{
	struct wire w = { .kind = QUIET };

	for (size_t i = 0; i < n_children; i++)
		if (!children[i].killed)
			say(children[i].port, &w);
	dv_timer_set(loop, t, dv_now_ns() + QUIET_MS * UINT64_C(1000000),
		     on_deadline);
	go_quiet();
}

static void on_deadline(struct dv_timer *t)
{
	(void)t;
	fault("%u ends of the parent have not heard LAST", waiting());
	for (size_t i = 0; i < n_children; i++)
		if (!children[i].killed &&
		    (!children[i].told || children[i].left))
			fault("%u ends of %d have not heard LAST",
			      children[i].left, children[i].pid);
	for (size_t i = 0; i < n_children; i++)
		if (!children[i].killed)
			kill(children[i].pid, SIGKILL);
	leave();
}

static void reap(void)
{
	for (size_t i = 0; i < n_children; i++) {
		int status = 0;

		if (children[i].killed)
			continue;
		if (waitpid(children[i].pid, &status, 0) < 0 || status != 0)
			fault("child %d: status %x", children[i].pid, status);
	}
}

/* ---- the program ---- */

static void run(int n_fds)
{
	while (!left_mesh)
		dv_loop_dispatch(loop, -1);
	dv_timer_stop(&tick);
	dv_timer_stop(&doom);
	dv_timer_stop(&deadline);
	loop = dv_loop_free(loop);
	if (count_fds() != n_fds)
		fault("%d descriptors instead of %d", count_fds(), n_fds);
}

static int child_main(char **argv)
{
	struct wire w = { .kind = HELLO };
	struct dv_err err = DV_ERR_INIT;
	int fd = (int)strtol(argv[2], NULL, 10), n_fds = count_fds() - 1;

	rng = strtoull(argv[3], NULL, 10) | 1;
	if (dv_loop_new(&loop) < 0 ||
	    dv_mesh_new(&mesh, loop, NULL, &err) < 0 ||
	    dv_mesh_join(mesh, fd, &parent, &err) < 0) {
		fprintf(stderr, "meshstorm: %s\n", err.msg);
		return 1;
	}
	dv_port_start(parent, &parent_ops, NULL);
	w.node = dv_mesh_id(mesh);
	say(parent, &w);
	dv_timer_set(loop, &tick, dv_now_ns(), on_tick);
	run(n_fds);
	return n_faults != 0;
}

int main(int argc, char **argv)
{
	struct dv_err err = DV_ERR_INIT;
	int n_fds = count_fds();
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : dv_now_ns();
	uint64_t ms = 1000 * (argc > 2 ? strtoull(argv[2], NULL, 10) : 5);

	args = argv;
	if (argc > 3 && strcmp(argv[1], "child") == 0)
		return child_main(argv);
	rng = seed | 1;
	n_procs = argc > 1 ? strtoull(argv[1], NULL, 10) : 8;
	if (n_procs < 1 || n_procs > PROCS_MAX || dv_loop_new(&loop) < 0 ||
	    dv_mesh_new(&mesh, loop, NULL, &err) < 0) {
		fprintf(stderr, "meshstorm: %s\n", err.msg);
		return 2;
	}
	for (size_t i = 0; i < n_procs; i++)
		start_child();
	dv_timer_set(loop, &tick, dv_now_ns(), on_tick);
	dv_timer_set(loop, &doom, dv_now_ns() + 200000000, on_doom);
	dv_timer_set(loop, &deadline, dv_now_ns() + ms * 1000000, on_quiet);
	run(n_fds);
	reap();
	printf("seed %llu: %zu processes, %d killed, %llu messages, %llu moves "
	       "and %llu ends in the first of them, %d faults\n",
	       (unsigned long long)seed, n_procs, n_deaths,
	       (unsigned long long)n_got, (unsigned long long)n_moved,
	       (unsigned long long)n_ended, n_faults);
	return n_faults != 0;
}
