/* SPDX-License-Identifier: MIT */
/*
 * An upgrade in which everything fails once, and that ends with a program that
 * is gone: whatever it was, the keeper goes on as before, and whoever asked is
 * told or sees the connection end.
 */
#include "runtime/keeper/keeper_try.h"

#include "base/fault.h"
#include "davit/rpc.h"
#include "wire/pb.h"

enum { CALLS_MAX = 2000 };

struct up {
	struct dv_loop *loop;
	struct dv_keeper *k;
	char sock[256], exe[256];
	char id[DV_SANDBOX_ID_LEN + 1];
};

struct asked {
	bool done;
	int r;
	char msg[400];
};

static void up_open(struct up *t)
{
	struct dv_err err = DV_ERR_INIT;

	try_open();
	CHECK_EQ(dv_loop_new(&t->loop), 0);
	CHECK_EQ(try_keeper(&t->k, t->loop, "exec sleep 1000", false, &err), 0);
	memcpy(t->id, t->k->info.id, sizeof(t->id));
	CHECK_EQ(dv_store_sock(t->id, t->sock, sizeof(t->sock), NULL), 0);
	dv_fmt(t->exe, sizeof(t->exe), "%s", try_path(&try_top, "brief"));
}

static void up_close(struct up *t)
{
	dv_keeper_free(t->k);
	CHECK_EQ(dv_store_remove(t->id, NULL), 0);
	dv_loop_free(t->loop);
	try_close();
}

static void on_reply(struct dv_rpc_call *call, const struct dv_rpc_reply *reply,
		     void *arg)
{
	struct asked *a = arg;

	(void)call;
	a->done = true;
	a->r = reply->r;
	if (reply->r < 0)
		dv_fmt(a->msg, sizeof(a->msg), "%s", reply->err->msg);
}

/* A client of its own, which may fail like everything else. */
static struct asked ask(struct up *t, const char *method, const char *exe)
{
	struct dv_rpc_opts o = DV_RPC_OPTS_INIT;
	dv_UpgradeRequest rq = { .exe = (char *)(uintptr_t)exe };
	dv_autobuf buf = DV_BUF_INIT(4096);
	struct asked a = { .done = false };
	struct dv_rpc *rpc = NULL;
	struct dv_rpc_call *call;

	o.target = t->sock;
	a.r = dv_pb_encode(dv_UpgradeRequest_fields, &rq, &buf, NULL);
	if (a.r == 0)
		a.r = dv_rpc_new(&rpc, t->loop, &o, NULL);
	if (a.r == 0)
		a.r = dv_rpc_call(rpc, &call, "davit.v1.Keeper", method,
				  buf.data, buf.len, NULL, on_reply, &a, NULL);
	while (a.r >= 0 && !a.done)
		(void)dv_loop_dispatch(t->loop, 20000);
	dv_rpc_free(rpc);
	return a;
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += dv_fd_mode(fd) >= 0;
	return n;
}

/* What a process that we start could inherit. */
static int count_open(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += dv_fd_is_cloexec(fd) == 0;
	return n;
}

/* It is there to be tried, and removes itself by that. */
static void put_brief(void)
{
	try_file(&try_top, "brief", "#!/bin/sh\nrm -- \"$0\"\nexit 86\n", 0755);
}

static void expect_as_before(struct up *t, int n_fds, uint32_t nth)
{
	struct asked a = ask(t, "Info", NULL);

	if (a.r < 0 || t->k->upgrade)
		print_error("after call %u, %s: %s\n", nth, fault_name(),
			    a.msg);
	CHECK_EQ(a.r, 0);
	CHECK(!t->k->upgrade);
	CHECK_EQ(t->k->info.state, DV_STATE_RUNNING);
	while (count_fds() > n_fds) /* it sees its clients go */
		CHECK(dv_loop_dispatch(t->loop, 20000) > 0);
	CHECK_EQ(count_fds(), n_fds);
}

TEST(upgrade_that_fails_anywhere_leaves_the_keeper_as_it_was)
{
	bool failed = true;
	struct up t;
	int n_fds, n_open;

	up_open(&t);
	n_open = count_open();
	put_brief();
	CHECK(strstr(ask(&t, "Upgrade", t.exe).msg, "No such file"));
	(void)ask(&t, "Info", NULL);
	while (t.k->server && dv_loop_dispatch(t.loop, 0) > 0)
		;
	n_fds = count_fds();
	for (uint32_t nth = 1; failed && nth < CALLS_MAX; nth++) {
		struct asked a;

		put_brief();
		fault_arm(FAULT_PARENT, nth, false);
		a = ask(&t, "Upgrade", t.exe);
		failed = fault_disarm();
		CHECK(a.r < 0);
		expect_as_before(&t, n_fds, nth);
		/* A mark that could not be set again is that fault. */
		CHECK(count_open() == n_open ||
		      !strcmp(fault_name(), "fcntl64"));
	}
	CHECK(!failed);
	unlink(t.exe);
	up_close(&t);
}
