/* SPDX-License-Identifier: MIT */
#include "services/inspect_svc.h"

#include "davit/rpc.h"
#include "rpc/limits.h"
#include "services/inspect_procs.h"
#include "services/procs_try.h"
#include "wire/inspect.pb.h"
#include "wire/pb.h"

struct try_tree {
	struct try_procs p;
	struct dv_inspect_svc *svc;
	struct dv_server *server;
	struct dv_rpc *rpc;
	struct dv_deferred *late; /* the entry that is never answered */
	uint64_t level;
	unsigned int n_wide; /* entries of "wide" */
	bool all_answer;     /* no "late" */
	bool done;
	int r;
	struct dv_err err;
	struct dv_node *node;
	bool update;
};

static void wide(struct dv_inspect *in, void *obj)
{
	struct try_tree *t = obj;
	char text[64];

	memset(text, 'x', sizeof(text));
	for (unsigned int i = 0; i < t->n_wide; i++)
		dv_inspect_strn(in, "entry", text, 1, 0);
	for (unsigned int i = 0; i < t->n_wide; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%u", i);
		dv_inspect_strn(in, name, text, sizeof(text), 0);
	}
}

static int set_level(void *obj, struct dv_inspect_new *v, struct dv_err *err)
{
	if (v->u64 > 4)
		return dv_err_set(err, EINVAL, DV_INVALID, "too loud");
	*(uint64_t *)obj = v->u64;
	return 0;
}

static void root(struct dv_inspect *in, void *obj)
{
	struct try_tree *t = obj;

	dv_inspect_dir(in, "mesh/hosts", dv_procs_inspect_hosts, t->p.procs, 0);
	dv_inspect_dir(in, "processes", dv_procs_inspect, t->p.procs, 0);
	dv_inspect_u64(in, "fixed", 5, DV_INSPECT_SAFE);
	dv_inspect_set_u64(in, "level", t->level, 0, set_level, &t->level);
	dv_inspect_dir(in, "wide", wide, t, 0);
	if (dv_inspect_wants(in, "late", 0) && !t->late && !t->all_answer)
		t->late = dv_inspect_defer(in, "late", DV_INSPECT_VALUE);
}

static void tree_open(struct try_tree *t, bool safe)
{
	struct dv_rpc_opts o = DV_RPC_OPTS_INIT;
	int sv[2];

	*t = (struct try_tree){ .level = 2 };
	try_open(&t->p);
	CHECK_EQ(dv_server_new(&t->server, t->p.loop, NULL, &t->err), 0);
	CHECK_EQ(dv_inspect_svc_new(&t->svc, t->p.loop, root, t, safe), 0);
	CHECK_EQ(dv_inspect_svc_add(t->server, t->svc), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	CHECK_EQ(dv_server_take(t->server, sv[0], DV_PROTO_TTRPC_DIAG, NULL,
				NULL, 0, NULL, 0),
		 0);
	o.fd = sv[1];
	CHECK_EQ(dv_rpc_new(&t->rpc, t->p.loop, &o, &t->err), 0);
}

static void tree_close(struct try_tree *t)
{
	t->rpc = dv_rpc_free(t->rpc);
	t->server = dv_server_free(t->server);
	t->svc = dv_inspect_svc_free(t->svc);
	t->late = dv_deferred_drop(t->late);
	t->node = dv_node_free(t->node);
	try_close(&t->p);
}

static void on_reply(struct dv_rpc_call *call DV_UNUSED,
		     const struct dv_rpc_reply *reply, void *arg)
{
	struct try_tree *t = arg;
	struct dv_node *old = NULL;

	t->done = true;
	t->r = reply->r;
	if (reply->err)
		t->err = *reply->err;
	if (reply->r < 0)
		return;
	CHECK(reply->len <= DV_RPC_SEND_MAX);
	if (t->update)
		CHECK_EQ(dv_node_decode_update(reply->payload, reply->len,
					       &t->node, &old, NULL),
			 0);
	else
		CHECK_EQ(dv_node_decode_response(reply->payload, reply->len,
						 &t->node, NULL),
			 0);
	dv_node_free(old);
}

static int ask(struct try_tree *t, const char *method, struct dv_buf *rq,
	       int timeout_ms)
{
	struct dv_rpc_call_opts o = DV_RPC_CALL_INIT;

	o.timeout_ms = timeout_ms;
	t->node = dv_node_free(t->node);
	t->err = (struct dv_err)DV_ERR_INIT;
	t->done = false;
	CHECK_EQ(dv_rpc_call(t->rpc, NULL, "inspect.InspectService", method,
			     rq->data, rq->len, &o, on_reply, t, &t->err),
		 0);
	while (!t->done)
		try_turn(&t->p);
	return t->r;
}

static int inspect(struct try_tree *t, const char *path, uint32_t depth,
		   int timeout_ms)
{
	dv_inspect_InspectRequest m = { (char *)(uintptr_t)path, depth };
	dv_autobuf rq = DV_BUF_INIT(1024);

	t->update = false;
	CHECK_EQ(dv_pb_encode(dv_inspect_InspectRequest_fields, &m, &rq, NULL),
		 0);
	return ask(t, "Inspect", &rq, timeout_ms);
}

static int update(struct try_tree *t, const char *path, const char *value)
{
	dv_inspect_UpdateRequest m = { (char *)(uintptr_t)path,
				       (char *)(uintptr_t)value };
	dv_autobuf rq = DV_BUF_INIT(1024);

	t->update = true;
	CHECK_EQ(dv_pb_encode(dv_inspect_UpdateRequest_fields, &m, &rq, NULL),
		 0);
	return ask(t, "Update", &rq, 20000);
}

static const char *text_at(struct try_tree *t, const char *path)
{
	const struct dv_node *n = dv_node_find(t->node, path);

	CHECK(n != NULL);
	return dv_node_get_data(n, NULL);
}

TEST(processes_are_found_by_name_and_shown)
{
	struct try_tree t;
	struct dv_exec *e;
	char path[64];

	tree_open(&t, false);
	e = try_run(&t.p, NULL, "exec sleep 60");
	CHECK_EQ(inspect(&t, "mesh/hosts", 1, 20000), 0);
	snprintf(path, sizeof(path), "%d/name", (int)getpid());
	CHECK_STR(text_at(&t, path), "tester");
	snprintf(path, sizeof(path), "%d/name", (int)dv_exec_pid(e));
	CHECK_STR(text_at(&t, path), "sh");
	snprintf(path, sizeof(path), "processes/%d", (int)dv_exec_pid(e));
	CHECK_EQ(inspect(&t, path, DV_INSPECT_ALL, 20000), 0);
	CHECK_STR(text_at(&t, "state"), "running");
	CHECK_STR(text_at(&t, "cmdline"), "/bin/sh -c exec sleep 60");
	CHECK_STR(text_at(&t, "fds/0"), "/dev/null");
	CHECK_STR(text_at(&t, "streams/stdout/mode"), "null");
	CHECK_EQ(dv_node_kind(dv_node_find(t.node, "rss")), DV_NODE_UNSIGNED);
	CHECK_EQ(dv_exec_signal(e, SIGKILL, dv_SIGNAL_GROUP, NULL), 0);
	CHECK_EQ(try_wait(&t.p, e), 128 + SIGKILL);
	CHECK_EQ(inspect(&t, path, DV_INSPECT_ALL, 20000), 0);
	CHECK_STR(text_at(&t, "state"), "exited");
	CHECK_EQ(dv_node_get_signed(dv_node_find(t.node, "exit/signal")),
		 SIGKILL);
	CHECK(dv_node_find(t.node, "fds") == NULL);
	tree_close(&t);
}

TEST(query_never_fails_and_update_says_why)
{
	struct try_tree t;

	tree_open(&t, false);
	CHECK_EQ(inspect(&t, "no/such", 0, 20000), 0);
	CHECK_EQ(dv_node_get_error(t.node), DV_NODE_NOT_FOUND);
	CHECK(update(&t, "fixed", "6") < 0);
	CHECK_EQ(t.err.code, DV_UNKNOWN);
	CHECK_STR(t.err.msg, "immutable node");
	CHECK_EQ(update(&t, "level", "4"), 0);
	CHECK_EQ(dv_node_get_unsigned(t.node), 4);
	CHECK_EQ(t.level, 4);
	CHECK(update(&t, "level", "7") < 0);
	CHECK_STR(t.err.msg, "update error: too loud");
	CHECK(update(&t, "level", "x") < 0);
	CHECK_EQ(t.level, 4);
	tree_close(&t);
}

TEST(deadline_gives_what_there_is)
{
	struct try_tree t;
	int r = -ETIMEDOUT;

	tree_open(&t, false);
	/*
	 * The answer comes 20 ms before the deadline, which is not enough for a
	 * machine that is busy right then.
	 */
	for (int i = 0; i < 100 && r == -ETIMEDOUT; i++) {
		t.late = dv_deferred_drop(t.late);
		r = inspect(&t, "", 0, 200);
	}
	CHECK_EQ(r, 0);
	CHECK_EQ(dv_node_get_unsigned(dv_node_find(t.node, "fixed")), 5);
	CHECK_EQ(dv_node_get_error(dv_node_find(t.node, "late")),
		 DV_NODE_UNRESOLVED);
	tree_close(&t);
}

TEST(restricted_tree_shows_only_what_is_safe)
{
	struct try_tree t;

	tree_open(&t, true);
	CHECK_EQ(inspect(&t, "", 4, 20000), 0);
	CHECK_EQ(dv_node_count(t.node), 1);
	CHECK_EQ(dv_node_get_unsigned(dv_node_find(t.node, "fixed")), 5);
	tree_close(&t);
}

TEST(answer_that_is_too_large_is_pruned)
{
	struct try_tree t;

	tree_open(&t, false);
	t.n_wide = 60000; /* some 5 MiB */
	t.all_answer = true;
	CHECK_EQ(inspect(&t, "", 3, 20000), 0);
	CHECK_EQ(dv_node_kind(dv_node_find(t.node, "wide")),
		 DV_NODE_UNEVALUATED);
	CHECK_EQ(dv_node_get_unsigned(dv_node_find(t.node, "fixed")), 5);
	CHECK(inspect(&t, "wide", 0, 20000) < 0);
	CHECK_EQ(t.err.code, DV_EXHAUSTED);
	tree_close(&t);
}

TEST(caller_that_goes_ends_its_query)
{
	struct try_tree t;

	tree_open(&t, false);
	CHECK_EQ(dv_rpc_call(t.rpc, NULL, "inspect.InspectService", "Inspect",
			     NULL, 0, NULL, on_reply, &t, &t.err),
		 0);
	while (!t.late)
		try_turn(&t.p);
	t.rpc = dv_rpc_free(t.rpc);
	try_settle(&t.p);
	/* An answer now is for nobody. */
	dv_deferred_fail(t.late, DV_NODE_NOT_FOUND, NULL);
	t.late = NULL;
	tree_close(&t);
}
