/* SPDX-License-Identifier: MIT */
/*
 * The client against a server that is not davit's: the diag services alone, as
 * others have them, with one code for every failure. It lives on the same loop;
 * what it starts are real processes.
 */
#include <davit/diag.h>
#include <davit/inspect.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/test.h"
#include "rpc/door.h"
#include "wire/diag.pb.h"
#include "wire/inspect.pb.h"
#include "wire/pcapng.h"

static struct guest {
	struct dv_loop *loop;
	struct dv_server *server;
	struct dv_data *data;
	struct dv_door *door;
	struct dv_diag *diag;
	char dir[32], path[64];
	int captures[2];
	int n_waits;
} g;

/* ---- the other side ------------------------------------------------------ */

static void srv_ping(struct dv_call *call)
{
	dv_call_reply(call, NULL);
}

static int claim(uint64_t id)
{
	int fd = id ? dv_data_claim(g.data, id, NULL) : -1;

	if (fd >= 0)
		dv_fd_nonblock(fd, false);
	return fd;
}

static void srv_exec(struct dv_call *call)
{
	const dv_diag_ExecRequest *rq = call->req;
	dv_diag_ExecResponse rs = dv_diag_ExecResponse_init_zero;
	posix_spawn_file_actions_t fa;
	uint64_t ids[3] = { rq->stdin, rq->stdout, rq->stderr };
	int fds[3], r;
	char *argv[16] = { rq->command };
	pid_t pid;

	for (size_t i = 0; i < rq->args_count && i < 14; i++)
		argv[i + 1] = rq->args[i];
	posix_spawn_file_actions_init(&fa);
	for (int i = 0; i < 3; i++) {
		fds[i] = claim(ids[i]);
		if (fds[i] >= 0)
			posix_spawn_file_actions_adddup2(&fa, fds[i], i);
		else
			posix_spawn_file_actions_addopen(&fa, i, "/dev/null",
							 O_RDWR, 0);
	}
	r = posix_spawnp(&pid, rq->command, &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	for (int i = 0; i < 3; i++)
		dv_close(fds[i]);
	if (r) {
		dv_call_fail(call, DV_UNKNOWN,
			     "failed to launch %s: %s (os error %d)",
			     rq->command, dv_errno_text(r), r);
		return;
	}
	rs.pid = pid;
	dv_call_reply(call, &rs);
}

struct wait {
	struct dv_src src;
	struct dv_call *call;
	int pidfd;
	pid_t pid;
};

static void on_exit_of_child(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct wait *w = dv_container_of(src, struct wait, src);
	dv_diag_WaitResponse rs = dv_diag_WaitResponse_init_zero;
	int status;

	dv_src_del(&w->src);
	waitpid(w->pid, &status, 0);
	rs.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
	if (w->call)
		dv_call_reply(w->call, &rs);
	close(w->pidfd);
	free(w);
	g.n_waits--;
}

static void cancel_wait(struct dv_call *call)
{
	((struct wait *)call->data)->call = NULL;
}

static void srv_wait(struct dv_call *call)
{
	const dv_diag_WaitRequest *rq = call->req;
	struct wait *w = calloc(1, sizeof(*w));

	*w = (struct wait){ .src = DV_SRC_INIT, .call = call, .pid = rq->pid };
	w->pidfd = (int)syscall(SYS_pidfd_open, rq->pid, 0);
	if (w->pidfd < 0) {
		free(w);
		dv_call_fail(call, DV_UNKNOWN, "pid not found");
		return;
	}
	g.n_waits++;
	dv_call_hold(call, w, cancel_wait);
	dv_src_add(g.loop, &w->src, w->pidfd, EPOLLIN, on_exit_of_child);
}

static void send_and_close(uint64_t id, const void *data, size_t len)
{
	int fd = claim(id);

	CHECK(fd >= 0);
	CHECK_EQ(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
	close(fd);
}

static void srv_read_file(struct dv_call *call)
{
	const dv_diag_FileRequest *rq = call->req;

	if (strcmp(rq->file_path, "/there") != 0) {
		dv_call_fail(call, DV_UNKNOWN, "failed to open file: %s",
			     "No such file or directory (os error 2)");
		return;
	}
	send_and_close(rq->conn, "content", 7);
	dv_call_reply(call, NULL);
}

static void srv_kmsg(struct dv_call *call)
{
	static const char records[] = "6,1,10,-;one\n\0"
				      "4,2,20,-;two\n\0"
				      "rubbish\0"
				      "3,3,30,-;three\n";
	const dv_diag_KmsgRequest *rq = call->req;

	send_and_close(rq->conn, records, sizeof(records));
	dv_call_reply(call, NULL);
}

static void srv_capture(struct dv_call *call)
{
	const dv_diag_NetworkPacketCaptureRequest *rq = call->req;
	dv_diag_NetworkPacketCaptureResponse rs =
		dv_diag_NetworkPacketCaptureResponse_init_zero;
	struct dv_str name = { "eth", 3 };

	if (rq->operation ==
	    dv_diag_NetworkPacketCaptureRequest_Operation_QUERY)
		rs.num_streams = 2;
	for (size_t i = 0; rq->which_op_data && i < 2; i++) {
		dv_autobuf out = DV_BUF_INIT(4096);

		g.captures[i] = claim(rq->op_data.start_data.conns[i]);
		dv_pcapng_put_shb(&out);
		dv_pcapng_put_idb(&out, DV_PCAPNG_ETHERNET,
				  rq->op_data.start_data.snaplen, name);
		dv_pcapng_put_epb(&out, 0, 1700000000u * UINT64_C(1000000000),
				  "packet", 6, 6);
		CHECK_EQ(send(g.captures[i], out.data, out.len, 0), out.len);
	}
	if (rq->operation == dv_diag_NetworkPacketCaptureRequest_Operation_STOP)
		for (int i = 0; i < 2; i++)
			g.captures[i] = dv_close(g.captures[i]);
	dv_call_reply(call, &rs);
}

static void srv_inspect(struct dv_call *call)
{
	struct dv_node *hosts = dv_node_dir();
	uint8_t *data;
	size_t len;

	for (int i = 0; i < 2; i++) {
		struct dv_node *one = dv_node_dir();

		dv_node_add(one, "name", DV_SENS_SAFE,
			    dv_node_string(i ? "vm" : "control", i ? 2 : 7));
		dv_node_add(hosts, i ? "202" : "101", DV_SENS_SAFE, one);
	}
	CHECK_EQ(dv_node_encode_response(hosts, &data, &len), 0);
	dv_call_reply_bytes(call, data, len);
	free(data);
	dv_node_free(hosts);
}

static void srv_silent(struct dv_call *call)
{
	dv_call_hold(call, NULL, NULL);
}

static const struct dv_method old_methods[] = {
	DV_METHOD("Exec", srv_exec, dv_diag_ExecRequest, dv_diag_ExecResponse,
		  0),
	DV_METHOD("Wait", srv_wait, dv_diag_WaitRequest, dv_diag_WaitResponse,
		  0),
	DV_METHOD("ReadFile", srv_read_file, dv_diag_FileRequest, dv_diag_Empty,
		  0),
	DV_METHOD("Kmsg", srv_kmsg, dv_diag_KmsgRequest, dv_diag_Empty, 0),
	DV_METHOD("PacketCapture", srv_capture,
		  dv_diag_NetworkPacketCaptureRequest,
		  dv_diag_NetworkPacketCaptureResponse, 0),
	{ "Pause", srv_silent, NULL, 0, NULL, 0 },
};
static DV_SERVICE(old_service, "diag.UnderhillDiag", old_methods);
static const struct dv_method new_methods[] = {
	{ "Ping", srv_ping, NULL, 0, NULL, 0 },
};
static DV_SERVICE(new_service, "diag.OpenhclDiag", new_methods);
static const struct dv_method inspect_methods[] = {
	{ "Inspect", srv_inspect, dv_inspect_InspectRequest_fields,
	  sizeof(dv_inspect_InspectRequest), NULL, 0 },
};
static DV_SERVICE(inspect_service, "inspect.InspectService", inspect_methods);

static void begin(void)
{
	struct dv_door_opts o = { .size = sizeof(o) };
	struct dv_diag_opts d = DV_DIAG_OPTS_INIT;
	struct dv_err err = DV_ERR_INIT;

	dv_fmt(g.dir, sizeof(g.dir), "/tmp/davit-diag.XXXXXX");
	CHECK(mkdtemp(g.dir) != NULL);
	dv_fmt(g.path, sizeof(g.path), "%s/sock", g.dir);
	CHECK_EQ(dv_loop_new(&g.loop), 0);
	CHECK_EQ(dv_server_new(&g.server, g.loop, NULL, &err), 0);
	CHECK_EQ(dv_server_add(g.server, &old_service, NULL), 0);
	CHECK_EQ(dv_server_add(g.server, &new_service, NULL), 0);
	CHECK_EQ(dv_server_add(g.server, &inspect_service, NULL), 0);
	CHECK_EQ(dv_data_new(&g.data, g.loop, NULL), 0);
	o.diag = g.server;
	o.data = g.data;
	CHECK_EQ(dv_door_new(&g.door, g.loop, g.path, -1, &o, &err), 0);
	d.loop = g.loop;
	d.target = g.path;
	CHECK_EQ(dv_diag_new(&g.diag, &d, &err), 0);
}

static void end(void)
{
	g.diag = dv_diag_free(g.diag);
	while (g.n_waits)
		dv_loop_dispatch(g.loop, -1);
	g.door = dv_door_free(g.door);
	g.server = dv_server_free(g.server);
	g.data = dv_data_free(g.data);
	g.loop = dv_loop_free(g.loop);
	rmdir(g.dir);
}

static const struct dv_how *soon(void)
{
	static struct dv_how how = DV_HOW_INIT;

	how.timeout_ms = 10000;
	return &how;
}

/* ---- tests -----------------------------------------------------------------
 */

TEST(bad_targets_are_refused_by_name)
{
	static const char *const bad[] = { "vsock:0", "vsock:1", "vsock:2",
					   "word", "" };
	struct dv_diag *d;

	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		struct dv_err err = DV_ERR_INIT;

		CHECK_EQ(dv_diag_open(&d, bad[i], &err), -EINVAL);
		CHECK(err.msg[0]);
	}
}

TEST(options_of_a_newer_version_are_refused)
{
	struct {
		struct dv_diag_opts o;
		uint64_t more;
	} o = { DV_DIAG_OPTS_INIT, 1 };
	struct dv_diag *d = NULL;

	o.o.size = sizeof(o);
	o.o.target = "/x";
	CHECK_EQ(dv_diag_new(&d, &o.o, NULL), -EINVAL);
	o.more = 0;
	CHECK_EQ(dv_diag_new(&d, &o.o, NULL), 0);
	dv_diag_free(d);
}

TEST(ping_wait_ready_and_hello_of_a_foreign_server)
{
	struct dv_diag_hello hello = { .version = 7 };

	begin();
	CHECK_EQ(dv_diag_foreign(g.diag), -EAGAIN);
	CHECK_EQ(dv_diag_wait_ready(g.diag, soon(), NULL), 0);
	CHECK_EQ(dv_diag_ping(g.diag, soon(), NULL), 0);
	CHECK_EQ(dv_diag_hello(g.diag, &hello, soon(), NULL), 0);
	CHECK_EQ(hello.version, 0);
	CHECK_EQ(dv_diag_foreign(g.diag), 1);
	end();
}

TEST(exec_feeds_drains_and_gives_the_status)
{
	static const char *const argv[] = { "/bin/sh", "-c",
					    "cat; echo err >&2; exit 7", NULL };
	struct dv_diag_exec e = DV_DIAG_EXEC_INIT;
	struct dv_exit exit = { .size = sizeof(exit) };
	struct dv_output out, errout;
	size_t len = 3 << 20;
	char *input = malloc(len);

	begin();
	for (size_t i = 0; i < len; i++)
		input[i] = (char)(i * 31 >> 3);
	e.argv = argv;
	CHECK_EQ(dv_diag_collect(g.diag, &e, input, len, len, &out, &errout,
				 &exit, 20000, NULL),
		 0);
	CHECK_EQ(exit.code, 7);
	CHECK_EQ(out.len, len);
	CHECK_EQ(memcmp(out.data, input, len), 0);
	CHECK_STR(errout.data, "err\n");
	free(out.data);
	free(errout.data);
	free(input);
	end();
}

TEST(exec_of_nothing_is_told_from_what_cannot_be_executed)
{
	static const char *const none[] = { "/no/such", NULL };
	static const char *const text[] = { "/etc/passwd", NULL };
	struct dv_diag_exec e = DV_DIAG_EXEC_INIT;
	struct dv_diag_proc *proc;
	struct dv_err err = DV_ERR_INIT;

	begin();
	e.argv = none;
	CHECK(dv_diag_exec(g.diag, &e, &proc, soon(), &err) < 0);
	CHECK_EQ(err.step, DV_STEP_LOOKUP);
	err = (struct dv_err)DV_ERR_INIT;
	e.argv = text;
	CHECK(dv_diag_exec(g.diag, &e, &proc, soon(), &err) < 0);
	CHECK_EQ(err.step, DV_STEP_EXEC);
	e.argv = none;
	e.cwd = "/";
	CHECK_EQ(dv_diag_exec(g.diag, &e, &proc, soon(), &err), -ENOTSUP);
	end();
}

TEST(what_needs_davit_v1_says_so)
{
	struct dv_diag_proc *proc;
	struct dv_err err = DV_ERR_INIT;

	begin();
	CHECK_EQ(dv_diag_proc_of_pid(g.diag, 1, &proc), 0);
	CHECK_EQ(dv_diag_signal(proc, 15, DV_DIAG_PROCESS, soon(), &err),
		 -ENOTSUP);
	CHECK_EQ(err.code, DV_UNIMPLEMENTED);
	CHECK(strstr(err.msg, "davit.v1"));
	dv_diag_proc_free(proc);
	end();
}

TEST(a_file_arrives_and_a_missing_one_is_told)
{
	struct dv_diag_stream *s;
	char buf[32] = { 0 };

	begin();
	CHECK_EQ(dv_diag_read_file(g.diag, "/there", NULL, &s, soon(), NULL),
		 0);
	CHECK_EQ(dv_diag_stream_read(s, buf, sizeof(buf), 5000, NULL), 7);
	CHECK_STR(buf, "content");
	CHECK_EQ(dv_diag_stream_read(s, buf, sizeof(buf), 5000, NULL), 0);
	CHECK_EQ(dv_diag_stream_end(s, soon(), NULL), 0);
	dv_diag_stream_free(s);
	CHECK(dv_diag_read_file(g.diag, "/no", NULL, &s, soon(), NULL) < 0);
	end();
}

TEST(kernel_log_resumes_after_the_last_record)
{
	struct dv_diag_kmsg_opts o = { .size = sizeof(o) };
	struct dv_diag_stream *s;
	const struct dv_kmsg *rec;
	uint64_t seq;

	begin();
	CHECK_EQ(dv_diag_kmsg(g.diag, &o, &s, soon(), NULL), 0);
	CHECK_EQ(dv_diag_kmsg_last(s, &seq), -ENOENT);
	for (uint64_t i = 1; i <= 3; i++) {
		CHECK_EQ(dv_diag_kmsg_next(s, 5000, &rec, NULL), 0);
		CHECK_EQ(rec->seq, i);
	}
	CHECK_EQ(dv_diag_kmsg_next(s, 5000, &rec, NULL), DV_EOF);
	CHECK_EQ(dv_diag_kmsg_last(s, &seq), 0);
	dv_diag_stream_free(s);
	o.has_after = true;
	o.after = 2;
	CHECK_EQ(dv_diag_kmsg(g.diag, &o, &s, soon(), NULL), 0);
	CHECK_EQ(dv_diag_kmsg_next(s, 5000, &rec, NULL), 0);
	CHECK_EQ(rec->seq, 3);
	CHECK_EQ(dv_diag_kmsg_next(s, 5000, &rec, NULL), DV_EOF);
	dv_diag_stream_free(s);
	end();
}

TEST(two_captures_become_one_file)
{
	struct dv_diag_capture_info info;
	struct dv_diag_capture *c;
	struct dv_pcapng_rd rd = DV_PCAPNG_RD_INIT;
	struct dv_pcapng_block b;
	char buf[4096];
	int sv[2], n_ifs = 0, n_packets = 0;
	struct dv_rd in;
	ssize_t n;

	begin();
	CHECK_EQ(dv_diag_capture_query(g.diag, &info, soon(), NULL), 0);
	CHECK_EQ(info.n_streams, 2);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	CHECK_EQ(dv_diag_capture_start(g.diag, 100, sv[1], &c, soon(), NULL),
		 0);
	CHECK_EQ(dv_diag_capture_stop(g.diag, soon(), NULL), 0);
	CHECK_EQ(dv_diag_capture_end(c, soon(), NULL), 0);
	n = dv_read_full(sv[0], buf, sizeof(buf));
	CHECK_EQ(n, dv_diag_capture_bytes(c));
	in = dv_rd_mem(buf, (size_t)n);
	while (in.left && dv_pcapng_next(&rd, &in, &b) == 0) {
		n_ifs += b.type == DV_PCAPNG_IDB;
		n_packets += b.type == DV_PCAPNG_EPB;
	}
	CHECK_EQ(n_ifs, 2);
	CHECK_EQ(n_packets, 2);
	dv_pcapng_rd_deinit(&rd);
	dv_diag_capture_free(c);
	close(sv[0]);
	end();
}

TEST(processes_by_name)
{
	struct dv_diag_list list;
	struct dv_err err = DV_ERR_INIT;
	int32_t pid;

	begin();
	CHECK_EQ(dv_diag_get_pid(g.diag, "vm", &pid, soon(), NULL), 0);
	CHECK_EQ(pid, 202);
	CHECK_EQ(dv_diag_get_pid(g.diag, "no", &pid, soon(), &err), -ENOENT);
	CHECK(strstr(err.hint, "control, vm"));
	CHECK_EQ(dv_diag_list(g.diag, &list, soon(), NULL), 0);
	CHECK_EQ(list.n, 2);
	CHECK_STR(list.at[1].argv[0], "vm");
	dv_diag_list_free(&list);
	end();
}

TEST(a_silent_server_ends_the_operation_at_its_deadline)
{
	struct dv_how how = DV_HOW_INIT;
	struct dv_err err = DV_ERR_INIT;

	begin();
	how.timeout_ms = 50;
	CHECK_EQ(dv_diag_pause(g.diag, &how, &err), -ETIMEDOUT);
	CHECK_EQ(err.code, DV_DEADLINE);
	end();
}

static void count_done(void *arg, int r, const struct dv_err *err DV_UNUSED)
{
	*(int *)arg += r == 0 ? 1 : 100;
}

TEST(many_operations_at_a_time_on_a_loop)
{
	struct dv_how how = DV_HOW_INIT;
	struct dv_diag_list lists[20];
	int done = 0;

	begin();
	how.fn = count_done;
	how.arg = &done;
	how.timeout_ms = 10000;
	for (int i = 0; i < 20; i++)
		CHECK_EQ(dv_diag_list(g.diag, &lists[i], &how, NULL), 0);
	CHECK_EQ(done, 0);
	while (done < 20)
		CHECK(dv_loop_dispatch(g.loop, -1) >= 0);
	CHECK_EQ(done, 20);
	for (int i = 0; i < 20; i++)
		dv_diag_list_free(&lists[i]);
	end();
}

static void blocks(struct dv_defer *defer);
static struct dv_defer nested = { NULL, NULL, NULL, NULL };
static int nested_r;

static void blocks(struct dv_defer *defer DV_UNUSED)
{
	nested_r = dv_diag_ping(g.diag, NULL, NULL);
}

TEST(blocking_inside_a_callback_is_refused)
{
	begin();
	dv_defer_add(g.loop, &nested, blocks);
	while (!nested_r)
		dv_loop_dispatch(g.loop, -1);
	CHECK_EQ(nested_r, -EDEADLK);
	end();
}

TEST(a_cancelled_operation_and_one_that_is_left_are_forgotten)
{
	struct dv_how how = DV_HOW_INIT;
	struct dv_op *op;
	struct dv_diag_list list;
	int done = 0;

	begin();
	how.fn = count_done;
	how.arg = &done;
	how.opp = &op;
	CHECK_EQ(dv_diag_list(g.diag, &list, &how, NULL), 0);
	dv_op_cancel(op);
	CHECK_EQ(dv_diag_pause(g.diag, &how, NULL), 0);
	CHECK_EQ(dv_diag_ping(g.diag, soon(), NULL), 0);
	end();
	CHECK_EQ(done, 0);
}

TEST(a_client_on_a_descriptor_cannot_make_data_connections)
{
	struct dv_diag_opts o = DV_DIAG_OPTS_INIT;
	struct dv_diag *d;
	struct dv_err err = DV_ERR_INIT;
	uint64_t id;
	int fd;

	begin();
	CHECK_EQ(dv_diag_connect_data(g.diag, &id, &fd, soon(), NULL), 0);
	CHECK(id != 0);
	close(fd);
	CHECK_EQ(dv_diag_connect(g.diag, DV_DIAG_CONTROL_PORT, &fd, soon(),
				 NULL),
		 0);
	o.fd = fd;
	o.loop = g.loop;
	CHECK_EQ(dv_diag_new(&d, &o, NULL), 0);
	CHECK_EQ(dv_diag_ping(d, soon(), NULL), 0);
	CHECK(dv_diag_connect_data(d, &id, &fd, soon(), &err) < 0);
	CHECK(strstr(err.msg, "cannot make additional connections"));
	dv_diag_free(d);
	end();
}

TEST(any_method_can_be_called)
{
	void *out;
	size_t len;
	struct dv_err err = DV_ERR_INIT;

	begin();
	CHECK_EQ(dv_diag_call(g.diag, "diag.OpenhclDiag", "Ping", "", 0, false,
			      &out, &len, soon(), NULL),
		 0);
	CHECK_EQ(len, 0);
	free(out);
	CHECK(dv_diag_call(g.diag, "no.Such", "Thing", "", 0, false, &out, &len,
			   soon(), &err) < 0);
	CHECK_EQ(err.code, DV_UNIMPLEMENTED);
	end();
}
