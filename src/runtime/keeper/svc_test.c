/* SPDX-License-Identifier: MIT */
/*
 * A keeper and a client of it, on one loop: davit.v1.Keeper, ports, the tree.
 */
#include "runtime/run/run_try.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <pb_decode.h>
#include <pb_encode.h>

#include "davit/rpc.h"
#include "inspect/inspect.h"
#include "runtime/keeper/keeper.h"
#include "runtime/keeper/look.h"
#include "transport/unix.h"
#include "wire/pb.h"

struct kept {
	struct dv_loop *loop;
	struct dv_keeper *k;
	struct dv_rpc *rpc;
	struct dv_err err;
	char sock[256];
};

/* @spec is consumed. */
static void open_kept(struct kept *t, struct dv_spec *spec)
{
	struct dv_sandbox_keep keep = DV_SANDBOX_KEEP_INIT;
	struct dv_rpc_opts o = DV_RPC_OPTS_INIT;

	*t = (struct kept){ .loop = NULL };
	keep.name = "kept";
	CHECK_EQ(dv_loop_new(&t->loop), 0);
	dv_keeper_start(&t->k, t->loop, spec, &keep, &t->err);
	CHECK_STR(t->err.msg, "");
	dv_spec_free(spec);
	CHECK_EQ(
		dv_store_sock(t->k->info.id, t->sock, sizeof(t->sock), &t->err),
		0);
	o.target = t->sock;
	CHECK_EQ(dv_rpc_new(&t->rpc, t->loop, &o, &t->err), 0);
}

static void close_kept(struct kept *t)
{
	char id[DV_SANDBOX_ID_LEN + 1];

	memcpy(id, t->k->info.id, sizeof(id));
	t->rpc = dv_rpc_free(t->rpc);
	t->k = dv_keeper_free(t->k);
	t->loop = dv_loop_free(t->loop);
	CHECK_EQ(dv_store_remove(id, &t->err), 0);
}

/* ---- calls --------------------------------------------------------------- */

struct asked {
	bool done;
	int code; /* DV_OK or why not */
	char msg[400];
	uint8_t data[65536];
	size_t len;
	struct dv_rpc_call *call;
};

static void on_reply(struct dv_rpc_call *call, const struct dv_rpc_reply *reply,
		     void *arg)
{
	struct asked *a = arg;

	(void)call;
	CHECK(!a->done);
	a->done = true;
	a->call = NULL;
	a->code = reply->r < 0 ? reply->err->code : DV_OK;
	if (reply->r < 0)
		dv_fmt(a->msg, sizeof(a->msg), "%s", reply->err->msg);
	CHECK(reply->len <= sizeof(a->data));
	memcpy(a->data, reply->payload ? reply->payload : "", reply->len);
	a->len = reply->len;
}

static void ask_of(struct kept *t, struct asked *a, const char *service,
		   const char *method, const pb_msgdesc_t *fields,
		   const void *msg)
{
	uint8_t out[4096];
	pb_ostream_t o = pb_ostream_from_buffer(out, sizeof(out));

	*a = (struct asked){ .done = false };
	if (fields)
		CHECK(pb_encode(&o, fields, msg));
	CHECK_EQ(dv_rpc_call(t->rpc, &a->call, service, method, out,
			     o.bytes_written, NULL, on_reply, a, &t->err),
		 0);
}

static void ask(struct kept *t, struct asked *a, const char *method,
		const pb_msgdesc_t *fields, const void *msg)
{
	ask_of(t, a, "davit.v1.Keeper", method, fields, msg);
}

static void turn(struct kept *t)
{
	CHECK(dv_loop_dispatch(t->loop, 20000) > 0);
}

static void await(struct kept *t, struct asked *a)
{
	while (!a->done)
		turn(t);
}

/* The code of one call. */
static int call(struct kept *t, const char *method, const pb_msgdesc_t *fields,
		const void *msg)
{
	struct asked a;

	ask(t, &a, method, fields, msg);
	await(t, &a);
	return a.code;
}

static void end_of(const struct asked *a, dv_LifeEnd *end)
{
	pb_istream_t in = pb_istream_from_buffer(a->data, a->len);

	*end = (dv_LifeEnd)dv_LifeEnd_init_zero;
	CHECK_EQ(a->code, DV_OK);
	CHECK(pb_decode(&in, dv_LifeEnd_fields, end));
}

static void expect_state(struct kept *t, enum dv_state state)
{
	CHECK_EQ(t->k->info.state, state);
	CHECK_EQ(dv_run_state(t->k->run), state);
}

/* Until the script has made @name in the directory of the test. */
static void await_file(const char *name)
{
	uint64_t until = try_deadline(20);

	while (access(try_path(&try_top, name), F_OK) < 0)
		CHECK(try_again(until));
}

/* The directory of the test is there to be written. */
static struct dv_spec *spec_in_top(const char *script)
{
	struct dv_spec *spec = try_spec(script);

	CHECK_EQ(dv_spec_volume(spec, try_top.path, "/mnt", 0, NULL), 0);
	CHECK_EQ(dv_spec_workdir(spec, "/mnt", NULL), 0);
	return spec;
}

/* ---- its end ------------------------------------------------------------- */

TEST(wait_answers_at_the_end_with_the_whole_record)
{
	struct asked first, second;
	dv_LifeEnd end;
	struct kept t;

	try_open();
	open_kept(&t, try_spec("read x; exit 7"));
	close_kept(&t);
	/* It sleeps at least once, whoever is faster: that is counted. */
	open_kept(&t, spec_in_top("touch on; until sleep 0.01; [ -e go ]; do "
				  ":; done; exit 7"));
	await_file("on");
	ask(&t, &first, "Wait", NULL, NULL);
	ask(&t, &second, "Wait", NULL, NULL);
	CHECK_EQ(call(&t, "Info", NULL, NULL), DV_OK);
	CHECK(!first.done && !second.done);
	try_file(&try_top, "go", "", 0644);
	await(&t, &first);
	await(&t, &second);
	for (int i = 0; i < 2; i++) {
		end_of(i ? &second : &first, &end);
		CHECK_EQ(end.state, dv_LIFE_EXITED);
		CHECK(end.has_exit);
		CHECK_EQ(end.exit.code, 7);
		CHECK_STR(end.exit.ended_by, "exit");
		CHECK(end.exit.wall_ns > 0 && end.exit.max_rss_kib > 0);
		CHECK(end.exit.minor_faults > 0 && end.exit.voluntary_cs > 0);
		CHECK(end.exit.end_unix_ns > end.exit.start_unix_ns);
		dv_pb_release(dv_LifeEnd_fields, &end);
	}
	close_kept(&t);
	try_close();
}

TEST(wait_of_a_client_that_went_is_forgotten)
{
	struct asked gone, cancelled;
	struct kept t;

	try_open();
	open_kept(&t, try_spec("exec sleep 1000"));
	ask(&t, &cancelled, "Wait", NULL, NULL);
	ask(&t, &gone, "Wait", NULL, NULL);
	CHECK_EQ(call(&t, "Info", NULL, NULL), DV_OK);
	dv_rpc_cancel(cancelled.call);
	t.rpc = dv_rpc_free(t.rpc);
	CHECK_EQ(gone.code, DV_CANCELLED);
	CHECK_EQ(dv_keeper_stop(t.k, SIGKILL, 0, NULL), 0);
	while (!t.k->over)
		turn(&t);
	CHECK(!cancelled.done);
	close_kept(&t);
	try_close();
}

TEST(stop_answers_when_its_last_process_is_gone)
{
	dv_StopRequest rq = { .signal = SIGUSR1 };
	struct asked stop, joins;
	dv_LifeEnd end;
	struct kept t;

	try_open();
	open_kept(&t, spec_in_top("trap 'exit 5' USR1; sleep 1000 & touch on; "
				  "wait"));
	await_file("on");
	ask(&t, &stop, "Stop", dv_StopRequest_fields, &rq);
	ask(&t, &joins, "Stop", dv_StopRequest_fields, &rq);
	await(&t, &stop);
	end_of(&stop, &end);
	CHECK_EQ(end.exit.code, 5);
	CHECK_STR(end.exit.ended_by, "stop");
	dv_pb_release(dv_LifeEnd_fields, &end);
	await(&t, &joins);
	CHECK_EQ(joins.code, DV_OK);
	CHECK_EQ(dv_run_init_pid(t.k->run), 0);
	close_kept(&t);
	try_close();
}

TEST(stop_of_who_does_not_listen_kills_after_its_grace)
{
	dv_StopRequest rq = { .has_grace_ms = true, .grace_ms = 50 };
	struct asked stop;
	dv_LifeEnd end;
	struct kept t;

	try_open();
	open_kept(&t, spec_in_top("trap '' TERM; touch on; sleep 1000"));
	await_file("on");
	ask(&t, &stop, "Stop", dv_StopRequest_fields, &rq);
	await(&t, &stop);
	end_of(&stop, &end);
	CHECK_EQ(end.exit.signal, SIGKILL);
	dv_pb_release(dv_LifeEnd_fields, &end);
	close_kept(&t);
	try_close();
}

TEST(kill_reaches_the_first_process_or_all_of_them)
{
	static const char script[] =
		"trap 'touch first' USR1; "
		"sh -c 'trap \"touch other\" USR1; touch on2; "
		"while :; do sleep 0.01; done' & "
		"touch on1; while :; do sleep 0.01; done";
	dv_KillRequest rq = { .signal = SIGUSR1 };
	struct asked wait;
	dv_LifeEnd end;
	struct kept t;

	try_open();
	open_kept(&t, spec_in_top(script));
	await_file("on1");
	await_file("on2");
	CHECK_EQ(call(&t, "Kill", dv_KillRequest_fields, &rq), DV_OK);
	await_file("first");
	CHECK(access(try_path(&try_top, "other"), F_OK) < 0);
	rq.all = true;
	CHECK_EQ(call(&t, "Kill", dv_KillRequest_fields, &rq), DV_OK);
	await_file("other");
	rq.signal = 65;
	CHECK_EQ(call(&t, "Kill", dv_KillRequest_fields, &rq), DV_INVALID);
	rq.all = false;
	CHECK_EQ(call(&t, "Kill", dv_KillRequest_fields, &rq), DV_INVALID);
	ask(&t, &wait, "Wait", NULL, NULL);
	rq = (dv_KillRequest){ .signal = SIGKILL, .all = true };
	CHECK_EQ(call(&t, "Kill", dv_KillRequest_fields, &rq), DV_OK);
	await(&t, &wait);
	end_of(&wait, &end);
	CHECK_EQ(end.exit.code, 137);
	dv_pb_release(dv_LifeEnd_fields, &end);
	close_kept(&t);
	try_close();
}

/* ---- pause ----------------------------------------------------------------
 */

static void need_freezer(struct kept *t)
{
	if (t->k->run->cg.v2_fd >= 0)
		return;
	close_kept(t);
	try_close();
	SKIP("no v2 group can be made here by this user");
}

static int exec_code(struct kept *t)
{
	char sh[] = "/bin/true";
	char *argv[1] = { sh };
	dv_ExecRequest rq = { .argv = argv, .argv_count = 1 };
	struct asked a;

	ask_of(t, &a, "davit.v1.Sandbox", "Exec", dv_ExecRequest_fields, &rq);
	await(t, &a);
	return a.code;
}

TEST(pause_answers_when_all_is_frozen_and_resume_goes_on)
{
	dv_LifeEnd end;
	struct asked a[3];
	struct kept t;

	try_open();
	open_kept(&t, try_spec("while :; do sleep 0.01; done"));
	need_freezer(&t);
	CHECK_EQ(call(&t, "Resume", NULL, NULL), DV_PRECONDITION);
	CHECK_EQ(exec_code(&t), DV_OK);
	for (int i = 0; i < 3; i++)
		ask(&t, &a[i], "Pause", NULL, NULL);
	for (int i = 0; i < 3; i++)
		await(&t, &a[i]);
	CHECK_EQ(a[0].code, DV_OK);
	expect_state(&t, DV_STATE_PAUSED);
	CHECK_EQ(call(&t, "Pause", NULL, NULL), DV_PRECONDITION);
	CHECK_EQ(exec_code(&t), DV_PRECONDITION);
	CHECK_EQ(call(&t, "Resume", NULL, NULL), DV_OK);
	expect_state(&t, DV_STATE_RUNNING);
	CHECK_EQ(exec_code(&t), DV_OK);
	/* A paused one is resumed to be stopped. */
	CHECK_EQ(call(&t, "Pause", NULL, NULL), DV_OK);
	ask(&t, &a[0], "Stop", dv_StopRequest_fields,
	    &(dv_StopRequest)dv_StopRequest_init_zero);
	await(&t, &a[0]);
	end_of(&a[0], &end);
	CHECK_EQ(end.exit.signal, SIGTERM);
	dv_pb_release(dv_LifeEnd_fields, &end);
	close_kept(&t);
	try_close();
}

TEST(pause_of_one_that_is_stopped_meanwhile_fails)
{
	struct asked pause, stop;
	struct kept t;

	try_open();
	open_kept(&t, try_spec("exec sleep 1000"));
	need_freezer(&t);
	ask(&t, &pause, "Pause", NULL, NULL);
	ask(&t, &stop, "Stop", dv_StopRequest_fields,
	    &(dv_StopRequest)dv_StopRequest_init_zero);
	await(&t, &stop);
	await(&t, &pause);
	CHECK_EQ(stop.code, DV_OK);
	CHECK(pause.code == DV_ABORTED || pause.code == DV_OK);
	close_kept(&t);
	try_close();
}

/* ---- limits, names, streams ------------------------------------------------
 */

TEST(update_changes_limits_and_the_document)
{
	dv_Limits rq = { .has_pids = true, .pids = 20 };
	struct dv_sandbox_info info;
	struct dv_cgroup_can can;
	struct dv_spec *spec;
	struct kept t;

	dv_cgroup_probe(&can);
	if (!can.pids)
		SKIP(can.why_pids);
	try_open();
	spec = try_spec("exec sleep 1000");
	dv_spec_pids(spec, 50);
	open_kept(&t, spec);
	CHECK_EQ(call(&t, "Update", dv_Limits_fields, &rq), DV_OK);
	CHECK_EQ(t.k->info.limits.pids, 20);
	CHECK_EQ(dv_store_look(t.k->info.id, &info, &t.err), 0);
	CHECK_EQ(info.limits.pids, 20);
	dv_sandbox_info_free(&info);
	rq.has_io_weight = true;
	rq.io_weight = 20000;
	rq.pids = 30;
	CHECK_EQ(call(&t, "Update", dv_Limits_fields, &rq), DV_INVALID);
	CHECK_EQ(t.k->info.limits.pids, 20);
	close_kept(&t);
	try_close();
}

TEST(rename_and_info_agree)
{
	char name[] = "other-name", bad[] = "No/Name";
	dv_RenameRequest rq = { bad };
	struct asked a;
	struct kept t;

	try_open();
	open_kept(&t, try_spec("exec sleep 1000"));
	CHECK_EQ(call(&t, "Rename", dv_RenameRequest_fields, &rq), DV_INVALID);
	rq.name = name;
	CHECK_EQ(call(&t, "Rename", dv_RenameRequest_fields, &rq), DV_OK);
	ask(&t, &a, "Info", NULL, NULL);
	await(&t, &a);
	pb_istream_t in = pb_istream_from_buffer(a.data, a.len);
	dv_LifeInfo info = dv_LifeInfo_init_zero;
	CHECK(pb_decode(&in, dv_LifeInfo_fields, &info));
	CHECK_EQ(info.state, dv_LIFE_RUNNING);
	CHECK_EQ(info.pid, dv_run_pid(t.k->run));
	CHECK_EQ(info.init_pid, dv_run_init_pid(t.k->run));
	CHECK(memmem(info.json->bytes, info.json->size, name, strlen(name)));
	dv_pb_release(dv_LifeInfo_fields, &info);
	close_kept(&t);
	try_close();
}

TEST(input_and_size_are_refused_where_the_streams_are_the_callers)
{
	dv_InputRequest input = { .fd = 1 };
	dv_SizeRequest size = { 24, 80 };
	dv_StopRequest stop = dv_StopRequest_init_zero;
	struct kept t;

	try_open();
	open_kept(&t, try_spec("exec sleep 1000"));
	CHECK_EQ(call(&t, "Input", dv_InputRequest_fields, &input), DV_INVALID);
	CHECK(call(&t, "Resize", dv_SizeRequest_fields, &size) != DV_OK);
	CHECK_EQ(call(&t, "DetachInput", NULL, NULL), DV_OK);
	CHECK_EQ(call(&t, "Restart", dv_StopRequest_fields, &stop),
		 DV_PRECONDITION);
	close_kept(&t);
	try_close();
}

/* ---- ports ----------------------------------------------------------------
 */

/* A listener inside, made from here; its port. */
static int listen_inside(struct kept *t, uint16_t *portp)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(at);
	int fd = dv_ns_socket(&t->k->run->sb, AF_INET, SOCK_STREAM, &t->err);

	CHECK_STR(t->err.msg, "");
	CHECK_EQ(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	CHECK_EQ(listen(fd, 200), 0);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	*portp = ntohs(at.sin_port);
	return fd;
}

/* Send CONNECT with @more behind it; our end. */
static int dial_port(struct kept *t, uint32_t port, const char *more)
{
	char line[64];
	int fd = dv_unix_connect(t->sock, &t->err);

	CHECK(fd >= 0);
	dv_fmt(line, sizeof(line), "CONNECT %u\n%s", port, more);
	CHECK_EQ(dv_write_full(fd, line, strlen(line)), 0);
	return fd;
}

/* What comes, up to a newline. Static. */
static const char *line_of(struct kept *t, int fd)
{
	static char text[512];
	size_t len = 0;

	while (len < sizeof(text) - 1) {
		ssize_t n = dv_read(fd, text + len, 1);

		if (n == -EAGAIN) {
			turn(t);
			continue;
		}
		if (n <= 0 || text[len++] == '\n')
			break;
	}
	text[len] = '\0';
	return text;
}

/* Until there are @n bytes: what was sent comes a moment later over TCP, and
 * without another event of the loop. */
static void await_bytes(struct kept *t, int fd, int n)
{
	uint64_t until = try_deadline(20);
	int got = 0;

	while (ioctl(fd, FIONREAD, &got) == 0 && got < n) {
		CHECK(dv_loop_dispatch(t->loop, 0) >= 0);
		CHECK(try_again(until));
	}
	CHECK_EQ(got, n);
}

TEST(connect_reaches_a_port_inside_and_nothing_outside)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(at);
	dv_autofd int outside = -1, listener = -1;
	int fd, peer;
	char text[16] = "";
	uint16_t port;
	struct kept t;

	try_open();
	open_kept(&t, try_spec("exec sleep 1000"));
	listener = listen_inside(&t, &port);
	fd = dial_port(&t, port, "early ");
	CHECK(strncmp(line_of(&t, fd), "OK ", 3) == 0);
	CHECK_EQ(dv_write_full(fd, "late", 4), 0);
	CHECK_EQ(shutdown(fd, SHUT_WR), 0);
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK(peer >= 0);
	await_bytes(&t, peer, 10);
	CHECK_EQ(recv(peer, text, sizeof(text) - 1, MSG_PEEK), 10);
	CHECK_STR(text, "early late");
	CHECK_EQ(dv_write_full(peer, "answer\n", 7), 0);
	CHECK_STR(line_of(&t, fd), "answer\n");
	dv_close(peer);
	while (t.k->n_net)
		turn(&t);
	dv_close(fd);
	/* The same number outside is somebody else's. */
	outside = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_EQ(bind(outside, (struct sockaddr *)&at, sizeof(at)), 0);
	CHECK_EQ(listen(outside, 5), 0);
	CHECK_EQ(getsockname(outside, (struct sockaddr *)&at, &len), 0);
	if (ntohs(at.sin_port) != port) {
		fd = dial_port(&t, ntohs(at.sin_port), "");
		CHECK(strncmp(line_of(&t, fd), "ERR Connection refused", 22) ==
		      0);
		dv_close(fd);
	}
	close_kept(&t);
	try_close();
}

TEST(connect_that_cannot_be_is_refused_with_its_reason)
{
	static const struct {
		uint32_t port;
		const char *why;
	} rows[] = {
		{ 9, "ERR Connection refused\n" },
		{ 1024, "ERR port 1024 is a guest's agent's" },
		{ 0, "ERR the sandbox has no port 0\n" },
		{ 65536, "ERR the sandbox has no port 65536\n" },
	};
	struct kept t;

	try_open();
	open_kept(&t, try_spec("exec sleep 1000"));
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		int fd = dial_port(&t, rows[i].port, "");
		const char *line = line_of(&t, fd);

		if (strncmp(line, rows[i].why, strlen(rows[i].why)) != 0)
			CHECK_STR(line, rows[i].why);
		dv_close(fd);
	}
	CHECK_EQ(t.k->n_net, 0);
	close_kept(&t);
	try_close();
}

TEST(connect_to_who_does_not_accept_times_out_and_many_are_refused)
{
	enum { N = 128 };
	dv_autofd int listener = -1;
	int fds[N], fd;
	uint16_t port;
	struct kept t;

	try_open();
	open_kept(&t, try_spec("exec sleep 1000"));
	listener = listen_inside(&t, &port);
	for (int i = 0; i < N; i++) {
		fds[i] = dial_port(&t, port, "");
		CHECK(strncmp(line_of(&t, fds[i]), "OK ", 3) == 0);
	}
	CHECK_EQ(t.k->n_net, N);
	fd = dial_port(&t, port, "");
	CHECK(strncmp(line_of(&t, fd), "ERR 128 connections", 19) == 0);
	dv_close(fd);
	for (int i = 0; i < N; i++)
		dv_close(fds[i]);
	listener = dv_close(listener);
	while (t.k->n_net)
		turn(&t);
	/* A full queue: one is in it, the next waits for its deadline. */
	listener = listen_inside(&t, &port);
	CHECK_EQ(listen(listener, 0), 0);
	for (int i = 0; i < 2; i++) {
		fds[i] = dial_port(&t, port, "");
		line_of(&t, fds[i]);
		if (i && strncmp(line_of(&t, fds[i]), "OK", 2) == 0)
			break;
	}
	for (int i = 0; i < 2; i++)
		dv_close(fds[i]);
	close_kept(&t);
	try_close();
}

TEST(connect_ends_with_its_sandbox)
{
	dv_autofd int listener = -1;
	uint16_t port;
	struct kept t;
	int fd;

	try_open();
	open_kept(&t, try_spec("exec sleep 1000"));
	listener = listen_inside(&t, &port);
	fd = dial_port(&t, port, "");
	line_of(&t, fd);
	CHECK_EQ(t.k->n_net, 1);
	CHECK_EQ(dv_keeper_stop(t.k, SIGKILL, 0, NULL), 0);
	while (!t.k->over)
		turn(&t);
	CHECK_EQ(t.k->n_net, 0);
	CHECK_STR(line_of(&t, fd), "");
	dv_close(fd);
	close_kept(&t);
	try_close();
}

/* ---- the tree --------------------------------------------------------------
 */

static void on_tree(void *arg, struct dv_node *node, const struct dv_node *old)
{
	struct dv_node **to = arg;

	(void)old;
	*to = node;
}

/* All of it below @path, or what became of the update to @value; owned. */
static struct dv_node *look(struct kept *t, const char *path, const char *value)
{
	struct dv_inspect_opts o = {
		.path = path,
		.depth = value ? 0 : DV_INSPECT_ALL,
		.limit = DV_SENS_SENSITIVE,
		.update = value,
	};
	struct dv_inspect_req *req = NULL;
	struct dv_node *node = NULL;

	CHECK_EQ(dv_inspect_start(&req, t->loop, &o, dv_keeper_inspect, t->k,
				  on_tree, &node),
		 0);
	while (!node)
		turn(t);
	return node;
}

static const char *text_at(const struct dv_node *root, const char *path)
{
	const struct dv_node *node = dv_node_find(root, path);

	return node ? dv_node_get_data(node, NULL) : "(none)";
}

static uint64_t number_at(const struct dv_node *root, const char *path)
{
	const struct dv_node *node = dv_node_find(root, path);

	if (!node)
		print_error("there is no %s\n", path);
	CHECK(node != NULL);
	return dv_node_kind(node) == DV_NODE_SIGNED
		       ? (uint64_t)dv_node_get_signed(node)
		       : dv_node_get_unsigned(node);
}

/* Init and the first process mount side by side: in no order. */
static bool has_mount_at(const struct dv_node *root, const char *target)
{
	const struct dv_node *all = dv_node_find(root, "mounts"), *one;

	for (size_t i = 0; (one = dv_node_child(all, i)); i++)
		if (strcmp(text_at(one, "target"), target) == 0)
			return true;
	return false;
}

/* The kernel counts pages by CPUs and may say that a process which has just
 * begun has none, on many of them for longer than that. */
static void await_memory(pid_t pid)
{
	uint64_t until = try_deadline(5);
	struct dv_look l;

	do {
		CHECK_EQ(dv_look_at(&l, pid), 0);
	} while (l.rss == 0 && try_again(until));
	if (l.rss == 0)
		CHECK_STR(try_status(pid, "VmRSS"), "0 kB");
}

TEST(tree_shows_the_sandbox_and_what_holds_it)
{
	struct dv_node *root, *top;
	char path[64];
	struct kept t;

	try_open();
	open_kept(&t, try_spec("sleep 1000 & sleep 1000; :"));
	CHECK_EQ(exec_code(&t), DV_OK);
	await_memory(dv_run_pid(t.k->run));
	root = look(&t, "", NULL);
	CHECK_STR(text_at(root, "sandbox/state"), "running");
	CHECK_STR(text_at(root, "sandbox/name"), "kept");
	CHECK_STR(text_at(root, "sandbox/boundary"), "process");
	CHECK_STR(text_at(root, "sandbox/argv/1"), "-c");
	CHECK_STR(text_at(root, "streams/stdin"), "null");
	CHECK_EQ(number_at(root, "keeper/pid"), getpid());
	CHECK(number_at(root, "keeper/rss_bytes") > 0);
	CHECK(number_at(root, "keeper/fds") > 3);
	CHECK(dv_node_count(dv_node_find(root, "processes")) == 1);
	dv_fmt(path, sizeof(path), "top/%d", (int)dv_run_pid(t.k->run));
	top = dv_node_find(root, path);
	CHECK(top != NULL);
	CHECK_EQ(number_at(top, "pid_inside"), 2);
	CHECK(strncmp(text_at(top, "command"), "/bin/sh -c ", 11) == 0);
	CHECK(dv_node_get_bool(dv_node_find(top, "first")));
	if (strcmp(try_status(dv_run_pid(t.k->run), "VmRSS"), "0 kB") != 0)
		CHECK(number_at(top, "rss_bytes") > 0);
	CHECK(dv_node_count(dv_node_find(root, "mounts")) > 5);
	CHECK(has_mount_at(root, "/") && has_mount_at(root, "/proc"));
	CHECK(dv_node_find(root, "connections/direct") != NULL);
	dv_node_free(root);
	close_kept(&t);
	try_close();
}

TEST(tree_updates_limits)
{
	struct dv_cgroup_can can;
	struct dv_node *node;
	struct dv_spec *spec;
	struct kept t;

	dv_cgroup_probe(&can);
	if (!can.pids)
		SKIP(can.why_pids);
	try_open();
	spec = try_spec("exec sleep 1000");
	dv_spec_pids(spec, 50);
	open_kept(&t, spec);
	node = look(&t, "limits/pids", NULL);
	CHECK_EQ(dv_node_get_unsigned(node), 50);
	dv_node_free(node);
	node = look(&t, "limits/pids", "40");
	CHECK_EQ(dv_node_get_error(node), 0);
	dv_node_free(node);
	CHECK_EQ(t.k->info.limits.pids, 40);
	node = look(&t, "limits/memory_bytes", "4096");
	CHECK_EQ(dv_node_get_error(node), DV_NODE_UPDATE);
	dv_node_free(node);
	close_kept(&t);
	try_close();
}
