/* SPDX-License-Identifier: MIT */
/*
 * DOC: one process of a host
 *
 *	EXEC ---> JOIN ---> UP
 *	  |	    |	     |
 *	  |	    v	     v
 *	  +----> CLOSING -> GONE
 *
 * EXEC	   The engine has begun it; err_fd says whether the program was
 *executed.
 * JOIN	   The program runs. Its DV_HM_UP, its end and the deadline race.
 * UP	   It joined, and gave up what its profile says.
 * CLOSING The process is reaped. What it said before is still read, to the end
 *	   of its port or for CLOSING_MS, so that "it said that it is up, then
 *	   crashed" is told in this order; and the rest of its namespaces and
 *	   of its group goes, or is left over at the end of KILL_MS.
 * GONE	   The record is complete: everyone is told, from the loop.
 *
 * However the end is wanted is another thing: `push` goes from asking to
 * killing, a deadline each, and does not change the state.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/random.h"
#include "engine/sys.h"
#include "mesh/host_priv.h"
#include "mesh/mesh_priv.h"

enum {
	CLOSING_MS = 500, /* a grandchild that holds the socket delays us so */
	LOST_MS = 1000,   /* to end after having left the mesh */
};

static const uint8_t run_next[] = {
	[DV_RUN_EXEC] = DV_BIT(DV_RUN_JOIN) | DV_BIT(DV_RUN_CLOSING),
	[DV_RUN_JOIN] = DV_BIT(DV_RUN_UP) | DV_BIT(DV_RUN_CLOSING),
	[DV_RUN_UP] = DV_BIT(DV_RUN_CLOSING),
	[DV_RUN_CLOSING] = DV_BIT(DV_RUN_GONE),
	[DV_RUN_GONE] = 0,
};
static_assert(DV_ARRAY_LEN(run_next) == DV_RUN_N, "one row per state");

static void set_state(struct dv_host_run *run, enum dv_run_state to)
{
	dv_assert(run_next[run->state] & DV_BIT(to));
	run->state = to;
}

/* ---- its outcome -------------------------------------------------------- */

static void tell_fail(struct dv_host_run *run, const struct dv_err *why)
{
	struct dv_err err = *why;

	if (run->told)
		return;
	run->told = true;
	dv_err_wrap(&err, -1, "launch host %s", run->name);
	if (run->host)
		dv_host_heard_fail(run->host, &err);
}

void dv_host_run_fail(struct dv_host_run *run, const struct dv_err *why)
{
	if (run->fail.code == DV_OK)
		run->fail = *why;
	if (run->state != DV_RUN_CLOSING)
		dv_timer_stop(&run->timer);
	dv_host_run_kill(run);
	tell_fail(run, why);
}

static void on_launch_deadline(struct dv_timer *timer)
{
	struct dv_host_run *run =
		dv_container_of(timer, struct dv_host_run, timer);
	struct dv_err err = DV_ERR_INIT;

	dv_err_hint(&err, "a host calls dv_mesh_host_main() first in main()");
	dv_err_set(&err, ETIMEDOUT, DV_DEADLINE, "%s within %u ms",
		   run->state == DV_RUN_EXEC ? "not executed"
		   : run->joined             ? "its set-up was not complete"
					     : "it did not join",
		   run->host ? run->host->opts.launch_ms : 0);
	dv_host_run_fail(run, &err);
}

/* ---- the end ------------------------------------------------------------ */

static void gone(struct dv_defer *defer)
{
	struct dv_host_run *run =
		dv_container_of(defer, struct dv_host_run, defer);
	struct dv_hosts *hosts = run->hosts;
	struct dv_host_exit end;
	struct dv_host *host;
	struct dv_err why;

	set_state(run, DV_RUN_GONE);
	dv_host_tail_end(&run->tail, run->end.line);
	dv_host_run_explain(run, &why);
	tell_fail(run, &why);
	end = run->end;
	host = run->host;
	if (host)
		host->run = NULL;
	dv_hosts_count(hosts, run);
	dv_host_run_free(run);
	if (host)
		dv_host_heard_end(host, &end);
	dv_hosts_check(hosts);
}

/* The last of process, port, namespaces and group completes it; but nobody
 * waits for ever for what does not die. */
void dv_host_run_settle(struct dv_host_run *run)
{
	if (run->state == DV_RUN_CLOSING && !run->ctl &&
	    (!dv_host_run_lingers(run) || run->push == DV_PUSH_LEFT))
		dv_defer_add(run->hosts->loop, &run->defer, gone);
}

static void close_ctl(struct dv_host_run *run)
{
	run->ctl = dv_port_close(run->ctl, NULL);
	run->log = dv_port_close(run->log, NULL);
	dv_host_asks_end(run);
}

static void on_closing_over(struct dv_timer *timer)
{
	struct dv_host_run *run =
		dv_container_of(timer, struct dv_host_run, timer);

	close_ctl(run);
	dv_host_run_settle(run);
}

/* The init has ended, and with it whatever was in the namespaces. */
static void on_init(struct dv_src *src, uint32_t events)
{
	struct dv_host_run *run =
		dv_container_of(src, struct dv_host_run, init_src);

	(void)events;
	dv_src_del(src);
	dv_ns_free(&run->sandbox);
	dv_host_run_settle(run);
}

/* The process is reaped: what it left behind goes, too. */
static void closing(struct dv_host_run *run)
{
	struct dv_loop *loop = run->hosts->loop;

	set_state(run, DV_RUN_CLOSING);
	dv_src_del(&run->src);
	dv_timer_stop(&run->push_timer);
	if (run->push == DV_PUSH_LEFT) /* it did die: so may the rest */
		run->push = DV_PUSH_KILL;
	if (run->sandbox.init_pid) {
		dv_host_run_kill(run);
		if (dv_src_add(loop, &run->init_src, run->sandbox.init_pidfd,
			       EPOLLIN, on_init) < 0)
			dv_ns_free(&run->sandbox);
	}
	dv_host_group_end(run);
	if (run->group_watched) /* so that this has a deadline, too */
		dv_host_run_kill(run);
	if (dv_timer_set(loop, &run->timer, dv_host_at_ms(CLOSING_MS),
			 on_closing_over) < 0)
		close_ctl(run);
	dv_host_run_settle(run);
}

static void on_exit_event(struct dv_src *src, uint32_t events)
{
	struct dv_host_run *run = dv_container_of(src, struct dv_host_run, src);
	struct rusage usage = { 0 };
	siginfo_t info;
	int r = dv_proc_reap(&run->proc, &info, &usage);

	(void)events;
	if (r == -EAGAIN)
		return;
	if (r < 0) {
		dv_host_run_lost(run, &info);
		run->proc.pid = 0;
	}
	dv_host_run_record(run, &info, &usage);
	closing(run);
}

/* Whether the program was executed is known. */
static void on_exec(struct dv_src *src, uint32_t events)
{
	struct dv_host_run *run = dv_container_of(src, struct dv_host_run, src);
	bool isolated = run->sandbox.init_pid;
	struct dv_err err = DV_ERR_INIT;
	int r;

	(void)events;
	dv_src_del(src);
	r = dv_proc_finish(&run->proc, isolated ? &run->sandbox : NULL, &err);
	dv_plan_free(&run->plan);
	if (r == 0) {
		set_state(run, DV_RUN_JOIN);
		r = dv_src_add(run->hosts->loop, src, run->proc.pidfd, EPOLLIN,
			       on_exit_event);
		if (r == 0)
			return;
		dv_err_sys(&err, -r, "watch the process");
		dv_proc_free(&run->proc);
	}
	run->end.pid = 0;
	dv_host_run_fail(run, &err);
	close_ctl(run);
	closing(run);
}

/* ---- what it says -------------------------------------------------------- */

static void on_up(struct dv_host_run *run, const struct dv_host_msg *m)
{
	if (m->err.code != DV_OK) {
		dv_host_run_fail(run, &m->err);
		return;
	}
	/* It may have ended since: then it was up all the same. */
	if (run->state == DV_RUN_JOIN) {
		set_state(run, DV_RUN_UP);
		dv_timer_stop(&run->timer);
	}
	run->end.up = run->told = true;
	if (run->host)
		dv_host_heard_up(run->host);
}

static void broke_rules(struct dv_host_run *run)
{
	struct dv_err err = DV_ERR_INIT;

	dv_err_set(&err, EPROTO, DV_INTERNAL, "it sent what no host sends");
	dv_host_run_fail(run, &err);
}

/* Who it is is not for it to say: the link has seen to that. */
static void on_joined(struct dv_host_run *run, const struct dv_host_msg *m)
{
	if (m->time != run->node.hi || m->count != run->node.lo) {
		broke_rules(run);
		return;
	}
	run->joined = true;
	run->end.node = run->node;
}

static void on_exec(struct dv_src *src, uint32_t events);

static void on_ctl(struct dv_port *port, struct dv_msg *msg)
{
	struct dv_host_run *run = dv_port_user(port);
	struct dv_host_msg m;
	bool launching = !run->told;

	/* It speaks, so it was executed, whether we have looked or not. */
	if (run->state == DV_RUN_EXEC)
		on_exec(&run->src, 0);
	if (dv_host_msg_parse(dv_msg_data(msg), dv_msg_len(msg), &m) < 0)
		broke_rules(run);
	else if (m.kind == DV_HM_JOINED && launching && !run->joined)
		on_joined(run, &m);
	else if (m.kind == DV_HM_UP && launching)
		on_up(run, &m);
	else if (m.kind == DV_HM_INSPECTED)
		dv_host_asks_answer(run, &m);
	else if (run->fail.code == DV_OK)
		broke_rules(run);
}

/*
 * The link is gone before the process: it left by itself, or was cut off for
 * breaking rules. It is no host of ours any more, so it must not go on for
 * long.
 */
static void on_ctl_ended(struct dv_port *port, const struct dv_port_end *end)
{
	static const struct dv_host_patience soon = { LOST_MS, LOST_MS,
						      LOST_MS };
	struct dv_host_run *run = dv_port_user(port);

	close_ctl(run);
	if (end->err.sys == EPROTO && !run->told)
		dv_host_run_fail(run, &end->err);
	if (run->state == DV_RUN_CLOSING)
		dv_host_run_settle(run);
	else
		dv_host_run_push(run, DV_PUSH_ASK, &soon);
}

static const struct dv_port_ops ctl_ops = {
	.message = on_ctl,
	.ended = on_ctl_ended,
};

static void on_log(struct dv_port *port, struct dv_msg *msg)
{
	struct dv_host_run *run = dv_port_user(port);
	struct dv_host_msg m;

	if (dv_host_msg_parse(dv_msg_data(msg), dv_msg_len(msg), &m) == 0 &&
	    m.kind == DV_HM_LOG)
		dv_hosts_log(run, &m);
	else
		broke_rules(run);
}

static void on_log_ended(struct dv_port *port, const struct dv_port_end *end)
{
	struct dv_host_run *run = dv_port_user(port);

	(void)end;
	run->log = dv_port_close(port, NULL);
}

static const struct dv_port_ops log_ops = {
	.message = on_log,
	.ended = on_log_ended,
};

/* ---- its beginning --------------------------------------------------------
 */

static int send_init(struct dv_host_run *run, struct dv_port *first,
		     struct dv_port *log, const struct dv_host_setup *setup,
		     struct dv_err *err)
{
	struct dv_host *host = run->host;
	struct dv_host_msg m = {
		.kind = DV_HM_INIT,
		.flags = setup->lock,
		.text = dv_host_str(run->name, strlen(run->name)),
		.data = dv_host_str(setup->filter.data, setup->filter.len),
		.extra = dv_host_str((const char *)setup->allow,
				     setup->n_allow * sizeof(*setup->allow)),
	};
	struct dv_msg *content = dv_take_ptr(&host->message);
	struct dv_msg *init;
	int r;

	if (host->opts.ops && host->opts.ops->message)
		content = host->opts.ops->message(host);
	m.follows = content != NULL;
	init = dv_host_msg_new(&m);
	r = init ? dv_msg_add_port(init, first) : -ENOMEM;
	if (!init)
		dv_port_close(first, NULL);
	if (r >= 0)
		r = dv_msg_add_port(init, log);
	else
		dv_port_close(log, NULL);
	if (r >= 0)
		r = dv_port_send(run->ctl, dv_take_ptr(&init), err);
	else
		dv_err_sys(err, -r, "first message");
	dv_msg_free(init);
	if (r >= 0 && content)
		r = dv_port_send(run->ctl, dv_take_ptr(&content), err);
	dv_msg_free(content);
	return dv_min(r, 0);
}

/* The pairs behind the two ports that INIT carries; our ends are @run's log
 * and the handle's first port. */
static int make_ports(struct dv_host_run *run, struct dv_port *theirs[2],
		      struct dv_err *err)
{
	struct dv_mesh *mesh = run->hosts->mesh;
	struct dv_port *pair[2];
	int r = dv_port_pair(mesh, pair);

	if (r < 0)
		return dv_err_sys(err, -r, "ports of a host");
	run->host->port = dv_port_close(run->host->port, NULL);
	run->host->port = pair[0];
	theirs[0] = pair[1];
	r = dv_port_pair(mesh, pair);
	if (r < 0) {
		dv_port_close(theirs[0], NULL);
		return dv_err_sys(err, -r, "ports of a host");
	}
	run->log = pair[0];
	theirs[1] = pair[1];
	dv_port_start(run->log, &log_ops, run);
	return 0;
}

static int start(struct dv_host_run *run, struct dv_host_setup *setup,
		 struct dv_err *err)
{
	struct dv_loop *loop = run->hosts->loop;
	struct dv_port *theirs[2] = { NULL, NULL };
	dv_autofd int invite = -1;
	int r;

	do
		dv_random(&run->node, sizeof(run->node));
	while ((run->node.hi | run->node.lo) == 0);
	r = dv_mesh_invite_as(run->hosts->mesh, run->node, &invite, &run->ctl,
			      err);
	if (r == 0)
		r = make_ports(run, theirs, err);
	if (r < 0)
		return r;
	dv_port_start(run->ctl, &ctl_ops, run);
	r = dv_host_run_begin(run, invite, setup, err);
	if (r < 0) {
		dv_port_close(theirs[0], NULL);
		dv_port_close(theirs[1], NULL);
		return r;
	}
	run->end.pid = run->proc.pid;
	r = send_init(run, theirs[0], theirs[1], setup, err);
	if (r == 0)
		r = dv_src_add(loop, &run->src, run->proc.err_fd, EPOLLIN,
			       on_exec);
	if (r == 0)
		r = dv_timer_set(loop, &run->timer,
				 dv_host_at_ms(run->host->opts.launch_ms),
				 on_launch_deadline);
	return r;
}

int dv_host_run_new(struct dv_host *host, struct dv_host_run **runp,
		    struct dv_err *err)
{
	struct dv_host_run *run = calloc(1, sizeof(*run));
	struct dv_host_setup setup = {
		.profile = host->opts.profile,
		.filter = DV_BUF_INIT(DV_PLAN_INSNS_MAX * 8),
	};
	int r;

	if (!run)
		return dv_err_sys(err, ENOMEM, "allocate a host");
	run->hosts = host->hosts;
	run->host = host;
	run->sandbox = (struct dv_ns)DV_NS_INIT;
	run->proc = (struct dv_proc)DV_PROC_INIT;
	run->plan = (struct dv_plan)DV_PLAN_INIT;
	run->group = (struct dv_cgroup)DV_CGROUP_INIT;
	run->src = run->init_src = (struct dv_src)DV_SRC_INIT;
	run->tail.src = run->group_src = (struct dv_src)DV_SRC_INIT;
	run->tail.fd = -1;
	run->end.generation = host->generation++;
	run->end.started_ns = dv_now_ns();
	memcpy(run->name, host->name, sizeof(run->name));
	dv_list_init(&run->asks);
	dv_list_add(&run->hosts->runs, &run->at);
	setup.plan = &run->plan;
	r = start(run, &setup, err);
	dv_buf_free(&setup.filter);
	if (r < 0)
		dv_host_run_free(run);
	else
		*runp = run;
	return r;
}

void dv_host_run_free(struct dv_host_run *run)
{
	char line[DV_HOST_LINE_MAX + 1];

	dv_host_asks_end(run);
	dv_list_del(&run->at);
	dv_src_del(&run->src);
	dv_src_del(&run->init_src);
	dv_timer_stop(&run->timer);
	dv_timer_stop(&run->push_timer);
	dv_defer_del(&run->defer);
	if (run->push == DV_PUSH_LEFT)
		run->proc.pid = run->sandbox.init_pid = 0; /* never reaped */
	dv_ns_kill(&run->sandbox);
	dv_proc_free(&run->proc);
	dv_ns_free(&run->sandbox);
	dv_host_group_free(run);
	dv_port_close(run->ctl, NULL);
	dv_port_close(run->log, NULL);
	dv_host_tail_end(&run->tail, line);
	dv_plan_free(&run->plan);
	free(run);
}
