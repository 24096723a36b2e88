/* SPDX-License-Identifier: MIT */
/*
 * Workers in real hosts: this program starts itself. The worker counts.
 */
#include "mesh/host_try.h"

#include "davit/worker.h"

/* ---- the worker
 * --------------------------------------------------------------- */

struct counter {
	unsigned int n;
	uint32_t waiting; /* a call that is answered by "release", or 0 */
	struct dv_port *kept;
};

static struct dv_msg *text_msg(const char *text)
{
	struct dv_msg *msg = dv_msg_new(strlen(text));

	if (msg)
		memcpy(dv_msg_data(msg), text, strlen(text));
	return msg;
}

static struct dv_msg *number_msg(unsigned int n)
{
	char text[16];

	dv_fmt(text, sizeof(text), "%u", n);
	return text_msg(text);
}

static int count_start(struct dv_mesh_work *work, struct dv_msg *params,
		       struct dv_msg *state, struct dv_err *err)
{
	struct counter *c = calloc(1, sizeof(*c));
	const struct dv_msg *from = state ? state : params;
	char text[16] = "0";

	if (!c)
		return -ENOMEM;
	if (from)
		dv_fmt(text, sizeof(text), "%.*s", (int)dv_msg_len(from),
		       (const char *)dv_msg_data(from));
	c->n = (unsigned int)strtoul(text, NULL, 10);
	dv_msg_free(params);
	dv_msg_free(state);
	dv_mesh_work_set_user(work, c);
	if (strcmp(text, "bad") == 0)
		return dv_err_set(err, EINVAL, DV_INVALID, "bad parameters");
	return 0;
}

static bool is(const struct dv_msg *msg, const char *word)
{
	return dv_msg_len(msg) == strlen(word) &&
	       memcmp(dv_msg_data(msg), word, strlen(word)) == 0;
}

static void count_call(struct dv_mesh_work *work, uint32_t id,
		       struct dv_msg *rq)
{
	struct counter *c = dv_mesh_work_user(work);
	struct dv_err err = DV_ERR_INIT;

	if (is(rq, "add")) {
		dv_mesh_work_reply(work, id, number_msg(++c->n), NULL);
	} else if (is(rq, "pid")) {
		dv_mesh_work_reply(work, id, number_msg((unsigned int)getpid()),
				   NULL);
	} else if (is(rq, "wait")) {
		c->waiting = id;
	} else if (is(rq, "release")) {
		dv_mesh_work_reply(work, c->waiting, number_msg(c->n), NULL);
		c->waiting = 0;
		dv_mesh_work_reply(work, id, number_msg(c->n), NULL);
	} else if (is(rq, "keep")) {
		c->kept = dv_msg_take_port(rq, 0);
		dv_mesh_work_reply(work, id, number_msg(c->n), NULL);
	} else if (is(rq, "die")) {
		raise(SIGKILL);
	} else {
		dv_err_set(&err, EDOM, DV_RANGE, "not a word");
		dv_mesh_work_reply(work, id, NULL, &err);
	}
	dv_msg_free(rq);
}

static void count_cancelled(struct dv_mesh_work *work, uint32_t id)
{
	struct counter *c = dv_mesh_work_user(work);
	struct dv_err err = DV_ERR_INIT;

	if (c->waiting != id)
		return;
	c->waiting = 0;
	c->n += 100; /* the tests see that it was told */
	dv_err_set(&err, ECANCELED, DV_CANCELLED, "cancelled");
	dv_mesh_work_reply(work, id, NULL, &err);
}

static void count_pause(struct dv_mesh_work *work)
{
	const struct counter *c = dv_mesh_work_user(work);

	dv_mesh_work_paused(work, number_msg(c->n), 0, NULL);
}

/* What it says has a port in it, which could not come back. */
static void port_pause(struct dv_mesh_work *work)
{
	struct dv_mesh *mesh = dv_host_self_mesh(dv_mesh_work_host(work));
	struct dv_msg *state = number_msg(1);
	struct dv_port *pair[2];

	if (dv_port_pair(mesh, pair) == 0) {
		dv_msg_add_port(state, pair[0]);
		dv_port_close(pair[1], NULL);
	}
	dv_mesh_work_paused(work, state, 0, NULL);
}

static void count_stop(struct dv_mesh_work *work, bool replaced)
{
	struct counter *c = dv_mesh_work_user(work);
	struct dv_msg *msg;

	if (replaced && c->kept) {
		msg = text_msg("port");
		dv_msg_add_port(msg, dv_take_ptr(&c->kept));
		dv_mesh_work_hand(work, msg);
	}
	dv_mesh_work_ended(work, NULL);
}

static void count_handed(struct dv_mesh_work *work, struct dv_msg *msg)
{
	struct counter *c = dv_mesh_work_user(work);

	c->kept = dv_msg_take_port(msg, 0);
	if (c->kept)
		dv_port_send_bytes(c->kept, "handed", 6, NULL);
	dv_msg_free(msg);
}

static void count_gone(struct dv_mesh_work *work)
{
	struct counter *c = dv_mesh_work_user(work);

	if (c)
		dv_port_close(c->kept, NULL);
	free(c);
}

static void count_show(struct dv_mesh_work *work, struct dv_node *dir)
{
	const struct counter *c = dv_mesh_work_user(work);

	dv_node_add(dir, "count", DV_SENS_SAFE, dv_node_unsigned(c->n, 0));
}

static int never_start(struct dv_mesh_work *work, struct dv_msg *params,
		       struct dv_msg *state, struct dv_err *err)
{
	(void)work;
	(void)err;
	dv_msg_free(params);
	dv_msg_free(state);
	return DV_MORE;
}

static int die_start(struct dv_mesh_work *work, struct dv_msg *params,
		     struct dv_msg *state, struct dv_err *err)
{
	(void)work;
	(void)params;
	(void)state;
	(void)err;
	raise(SIGKILL);
	return 0;
}

static int fail_start(struct dv_mesh_work *work, struct dv_msg *params,
		      struct dv_msg *state, struct dv_err *err)
{
	(void)work;
	dv_msg_free(params);
	dv_msg_free(state);
	return dv_err_set(err, ENOTSUP, DV_UNIMPLEMENTED, "not this time");
}

// clang-format off
#define COUNTS(start_fn, pause_fn)                                          \
	{ .name = "count", .start = (start_fn), .call = count_call,         \
	  .cancelled = count_cancelled, .pause = (pause_fn),                \
	  .stop = count_stop, .handed = count_handed, .gone = count_gone,   \
	  .inspect = count_show }
#define HOST(table) { .size = sizeof(struct dv_host_main), .workers = (table) }

static const struct dv_mesh_worker_type good[] = {
	COUNTS(count_start, count_pause),
	{ .name = "ports", .start = count_start, .call = count_call,
	  .pause = port_pause, .gone = count_gone },
	{ .name = NULL },
};
static const struct dv_mesh_worker_type failing[] = {
	COUNTS(fail_start, count_pause), { .name = NULL },
};
static const struct dv_mesh_worker_type dying[] = {
	COUNTS(die_start, count_pause), { .name = NULL },
};
static const struct dv_mesh_worker_type slow[] = {
	COUNTS(never_start, count_pause), { .name = NULL },
};

const struct try_role try_roles[] = {
	{ "good", NULL, HOST(good) },
	{ "failing", NULL, HOST(failing) },
	{ "dying", NULL, HOST(dying) },
	{ "slow", NULL, HOST(slow) },
	{ NULL, NULL, HOST(good) },
};
// clang-format on

/* ---- the owner's side
 * ------------------------------------------------------------- */

struct owner {
	struct dv_mesh_worker *worker;
	unsigned int n_started, n_ended, n_restarted;
	bool failed;
	struct dv_err err, restart_err;
};

static void on_started(struct dv_mesh_worker *worker)
{
	struct owner *o = dv_mesh_worker_user(worker);

	o->n_started++;
}

static void on_ended(struct dv_mesh_worker *worker, const struct dv_err *err)
{
	struct owner *o = dv_mesh_worker_user(worker);

	o->n_ended++;
	o->failed = err != NULL;
	if (err)
		o->err = *err;
}

static const struct dv_mesh_worker_ops owner_ops = {
	.started = on_started,
	.ended = on_ended,
};

static void on_restarted(struct dv_mesh_worker *worker, void *arg,
			 const struct dv_err *err)
{
	struct owner *o = arg;

	(void)worker;
	o->n_restarted++;
	o->restart_err = (struct dv_err)DV_ERR_INIT;
	if (err)
		o->restart_err = *err;
}

struct reply {
	bool done;
	char text[32];
	struct dv_err err;
};

static void on_reply(void *arg, struct dv_msg *msg, const struct dv_err *err)
{
	struct reply *r = arg;

	r->done = true;
	if (msg)
		dv_fmt(r->text, sizeof(r->text), "%.*s", (int)dv_msg_len(msg),
		       (const char *)dv_msg_data(msg));
	if (err)
		r->err = *err;
	dv_msg_free(msg);
}

static void begin_call(struct owner *o, struct reply *r, const char *word,
		       int timeout_ms)
{
	*r = (struct reply){ 0 };
	CHECK_EQ(dv_mesh_worker_call(o->worker, text_msg(word), timeout_ms,
				     on_reply, r),
		 0);
}

static const char *call(struct try_mesh *t, struct owner *o, const char *word)
{
	static struct reply r;

	begin_call(o, &r, word, -1);
	TRY_UNTIL(t, r.done);
	return r.err.code == DV_OK ? r.text : r.err.msg;
}

static void host_up(struct try_mesh *t, struct try_host *h, const char *role)
{
	const char *args[] = { role, NULL };
	struct dv_host_opts opts = try_opts(h, args);

	try_up(t, h, &opts);
}

static void start(struct try_mesh *t, struct owner *o, struct try_host *h,
		  const char *type, const char *params)
{
	struct dv_err err = DV_ERR_INIT;

	*o = (struct owner){ 0 };
	dv_mesh_worker_start(h->host, type, params ? text_msg(params) : NULL,
			     &owner_ops, o, &o->worker, &err);
	CHECK_STR(err.msg, "");
	TRY_UNTIL(t, o->n_started || o->n_ended);
}

static void restart(struct try_mesh *t, struct owner *o, struct try_host *to,
		    int timeout_ms)
{
	unsigned int n = o->n_restarted;

	CHECK_EQ(dv_mesh_worker_restart(o->worker, to->host, timeout_ms,
					on_restarted, o),
		 0);
	TRY_UNTIL(t, o->n_restarted > n);
}

TEST(worker_started_answers_calls_and_stops)
{
	struct try_mesh t;
	struct try_host h;
	struct owner o;

	try_mesh_start(&t);
	host_up(&t, &h, "good");
	start(&t, &o, &h, "count", "40");
	CHECK_STR(call(&t, &o, "add"), "41");
	CHECK_STR(call(&t, &o, "add"), "42");
	CHECK_STR(call(&t, &o, "nonsense"), "not a word");
	dv_mesh_worker_stop(o.worker, -1);
	TRY_UNTIL(&t, o.n_ended);
	CHECK(!o.failed);
	CHECK_EQ(dv_mesh_worker_call(o.worker, NULL, -1, on_reply, NULL),
		 -EPIPE);
	dv_mesh_worker_free(o.worker);
	try_mesh_end(&t);
}

TEST(worker_that_cannot_start_says_why)
{
	static const struct {
		const char *type, *params, *says;
	} rows[] = {
		{ "count", "bad", "worker count: bad parameters" },
		{ "unknown", NULL,
		  "worker unknown: host web has no worker of that type" },
	};
	struct try_mesh t;
	struct try_host h;

	try_mesh_start(&t);
	host_up(&t, &h, "good");
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct owner o;

		start(&t, &o, &h, rows[i].type, rows[i].params);
		CHECK_EQ(o.n_started, 0);
		CHECK_STR(o.err.msg, rows[i].says);
		dv_mesh_worker_free(o.worker);
	}
	try_mesh_end(&t);
}

TEST(worker_calls_have_deadlines_and_are_cancelled)
{
	struct try_mesh t;
	struct try_host h;
	struct owner o;
	struct reply r;

	try_mesh_start(&t);
	host_up(&t, &h, "good");
	start(&t, &o, &h, "count", NULL);
	begin_call(&o, &r, "wait", 20);
	TRY_UNTIL(&t, r.done);
	CHECK_EQ(r.err.code, DV_DEADLINE);
	CHECK_STR(call(&t, &o, "add"), "101");
	dv_mesh_worker_free(o.worker);
	try_mesh_end(&t);
}

TEST(worker_restarted_has_its_state_in_another_process)
{
	struct try_mesh t;
	struct try_host h[2];
	struct owner o;
	char pid[16];

	try_mesh_start(&t);
	host_up(&t, &h[0], "good");
	host_up(&t, &h[1], "good");
	start(&t, &o, &h[0], "count", "7");
	CHECK_STR(call(&t, &o, "add"), "8");
	restart(&t, &o, &h[1], -1);
	CHECK_STR(o.restart_err.msg, "");
	CHECK_EQ(dv_mesh_worker_generation(o.worker), 1);
	CHECK(dv_mesh_worker_host(o.worker) == h[1].host);
	CHECK_STR(call(&t, &o, "add"), "9");
	dv_fmt(pid, sizeof(pid), "%d", dv_host_pid(h[1].host));
	CHECK_STR(call(&t, &o, "pid"), pid);
	CHECK_EQ(o.n_started, 1);
	dv_mesh_worker_free(o.worker);
	try_mesh_end(&t);
}

TEST(worker_restarted_waits_for_calls_and_keeps_those_that_come)
{
	struct try_mesh t;
	struct try_host h;
	struct owner o;
	struct reply waits, released, later[3];

	try_mesh_start(&t);
	host_up(&t, &h, "good");
	start(&t, &o, &h, "count", "5");
	begin_call(&o, &waits, "wait", -1);
	begin_call(&o, &released, "release", -1);
	CHECK_EQ(dv_mesh_worker_restart(o.worker, h.host, -1, on_restarted, &o),
		 0);
	CHECK_EQ(dv_mesh_worker_restart(o.worker, h.host, -1, on_restarted, &o),
		 -EBUSY);
	for (int i = 0; i < 3; i++)
		begin_call(&o, &later[i], "add", -1);
	TRY_UNTIL(&t, later[2].done);
	CHECK(waits.done && released.done);
	CHECK_EQ(o.n_restarted, 1);
	CHECK_STR(later[0].text, "6");
	CHECK_STR(later[2].text, "8");
	dv_mesh_worker_free(o.worker);
	try_mesh_end(&t);
}

TEST(worker_whose_successor_fails_goes_on)
{
	static const struct {
		const char *role;
		int timeout_ms, code;
	} rows[] = {
		{ "failing", -1, DV_UNIMPLEMENTED },
		{ "dying", -1, DV_UNAVAILABLE },
		{ "slow", 50, DV_DEADLINE },
	};
	struct try_mesh t;
	struct try_host h[2];
	struct owner o;
	char want[16];

	try_mesh_start(&t);
	host_up(&t, &h[0], "good");
	start(&t, &o, &h[0], "count", NULL);
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		host_up(&t, &h[1], rows[i].role);
		restart(&t, &o, &h[1], rows[i].timeout_ms);
		CHECK_EQ(o.restart_err.code, rows[i].code);
		dv_fmt(want, sizeof(want), "%zu", i + 1);
		CHECK_STR(call(&t, &o, "add"), want);
		CHECK_EQ(dv_mesh_worker_generation(o.worker), 0);
		dv_host_free(h[1].host);
	}
	CHECK_EQ(o.n_ended, 0);
	dv_mesh_worker_free(o.worker);
	try_mesh_end(&t);
}

TEST(worker_that_does_not_pause_goes_on)
{
	struct try_mesh t;
	struct try_host h;
	struct owner o;
	struct reply waits;

	try_mesh_start(&t);
	host_up(&t, &h, "good");
	start(&t, &o, &h, "count", NULL);
	begin_call(&o, &waits, "wait", -1);
	restart(&t, &o, &h, 30);
	CHECK_EQ(o.restart_err.code, DV_DEADLINE);
	CHECK_STR(call(&t, &o, "release"), "0");
	CHECK(waits.done);
	restart(&t, &o, &h, -1);
	CHECK_EQ(o.restart_err.code, DV_OK);
	dv_mesh_worker_free(o.worker);
	try_mesh_end(&t);
}

TEST(worker_with_ports_in_its_state_goes_on)
{
	struct try_mesh t;
	struct try_host h;
	struct owner o;

	try_mesh_start(&t);
	host_up(&t, &h, "good");
	start(&t, &o, &h, "ports", NULL);
	restart(&t, &o, &h, -1);
	CHECK_EQ(o.restart_err.code, DV_INVALID);
	CHECK_STR(call(&t, &o, "add"), "1");
	dv_mesh_worker_free(o.worker);
	try_mesh_end(&t);
}

TEST(worker_replaced_hands_its_ports_over)
{
	struct try_mesh t;
	struct try_host h[2];
	struct owner o;
	struct reply r = { 0 };
	struct try_port p;
	struct dv_port *pair[2];
	struct dv_msg *msg;

	try_mesh_start(&t);
	host_up(&t, &h[0], "good");
	host_up(&t, &h[1], "good");
	start(&t, &o, &h[0], "count", NULL);
	CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	try_port_start(&p, pair[0]);
	msg = text_msg("keep");
	CHECK_EQ(dv_msg_add_port(msg, pair[1]), 0);
	CHECK_EQ(dv_mesh_worker_call(o.worker, msg, -1, on_reply, &r), 0);
	TRY_UNTIL(&t, r.done);
	restart(&t, &o, &h[1], -1);
	TRY_UNTIL(&t, p.n);
	CHECK_STR(p.text, "handed");
	/* The old process is not needed any more. */
	dv_host_free(h[0].host);
	CHECK_STR(call(&t, &o, "add"), "1");
	CHECK_EQ(p.n_ended, 0);
	dv_mesh_worker_free(o.worker);
	dv_port_close(p.port, NULL);
	try_mesh_end(&t);
}

TEST(worker_whose_host_dies_fails_its_calls)
{
	struct try_mesh t;
	struct try_host h;
	struct owner o;
	struct reply r[2];

	try_mesh_start(&t);
	host_up(&t, &h, "good");
	start(&t, &o, &h, "count", NULL);
	begin_call(&o, &r[0], "wait", -1);
	begin_call(&o, &r[1], "die", -1);
	TRY_UNTIL(&t, o.n_ended);
	CHECK(o.failed);
	CHECK(r[0].done && r[1].done);
	CHECK(r[0].err.code != DV_OK);
	dv_mesh_worker_free(o.worker);
	try_mesh_end(&t);
}

TEST(worker_freed_at_any_time_leaves_nothing)
{
	struct try_mesh t;
	struct try_host h;
	struct owner o;
	struct reply r;

	try_mesh_start(&t);
	host_up(&t, &h, "good");
	for (int turns = 0; turns < 12; turns++) {
		o = (struct owner){ 0 };
		CHECK_EQ(dv_mesh_worker_start(h.host, "count", NULL, &owner_ops,
					      &o, &o.worker, NULL),
			 0);
		begin_call(&o, &r, "add", -1);
		for (int i = 0; i < turns / 2; i++)
			CHECK(dv_loop_dispatch(t.loop, 5) >= 0);
		if (o.n_started)
			dv_mesh_worker_restart(o.worker, h.host, -1,
					       on_restarted, &o);
		for (int i = 0; i < turns / 2; i++)
			CHECK(dv_loop_dispatch(t.loop, 5) >= 0);
		dv_mesh_worker_free(o.worker);
		CHECK(r.done);
	}
	try_mesh_end(&t);
}

static struct dv_node *shown;

static void on_shown(void *arg, struct dv_node *node)
{
	(void)arg;
	shown = node;
}

TEST(worker_is_shown_by_its_host)
{
	struct try_mesh t;
	struct try_host h;
	struct owner o;
	struct dv_node *at;

	try_mesh_start(&t);
	host_up(&t, &h, "good");
	start(&t, &o, &h, "count", "3");
	CHECK_EQ(dv_host_inspect(h.host, "workers/0", DV_INSPECT_ALL, NULL,
				 DV_SENS_SENSITIVE, -1, on_shown, NULL),
		 0);
	TRY_UNTIL(&t, shown);
	at = dv_node_find(shown, "count");
	CHECK(at && dv_node_get_unsigned(at) == 3);
	at = dv_node_find(shown, "state");
	CHECK(at != NULL);
	CHECK_STR(dv_node_get_data(at, NULL), "running");
	shown = dv_node_free(shown);
	dv_mesh_worker_free(o.worker);
	try_mesh_end(&t);
}
