/* SPDX-License-Identifier: MIT */
/* The services on the wire, frame by frame, and through a client. */
#include "services/diag.h"

#include "davit/rpc.h"
#include "services/procs_try.h"
#include "wire/pb.h"

struct try_wire {
	struct try_procs p;
	struct dv_sandbox_svc *svc;
	struct dv_server *server;
	struct dv_rpc *rpc;
	int fd; /* of a client that writes frames itself */
	/* The last answer. */
	bool done;
	int r;
	struct dv_err err;
	struct dv_buf reply;
};

/* ---- a guest that only notes what it is asked for --------------------- */

static char noted[256];

static int note_start(void *guest, const dv_diag_StartRequest *rq,
		      struct dv_err *err)
{
	size_t len = 0;

	(void)guest;
	if (noted[0])
		return dv_err_set(err, EALREADY, DV_PRECONDITION,
				  "workers have already been started");
	for (pb_size_t i = 0; i < rq->env_count; i++)
		len += (size_t)snprintf(noted + len, sizeof(noted) - len,
					"%s=%s ", rq->env[i].name,
					rq->env[i].value ? rq->env[i].value
							 : "(none)");
	for (pb_size_t i = 0; i < rq->args_count; i++)
		len += (size_t)snprintf(noted + len, sizeof(noted) - len, "%s ",
					rq->args[i]);
	return 0;
}

static int two_names(void *guest, struct dv_buf *names, bool *runningp,
		     struct dv_err *err)
{
	(void)guest;
	(void)err;
	*runningp = false;
	return dv_buf_put(names, "eth0\0eth1", 10);
}

static int take_streams(void *guest, uint32_t snaplen, int *outs, size_t n_outs,
			char *const *names, size_t n_names, struct dv_err *err)
{
	(void)guest;
	(void)names;
	(void)n_names;
	(void)err;
	snprintf(noted, sizeof(noted), "snaplen %u, %zu streams", snaplen,
		 n_outs);
	for (size_t i = 0; i < n_outs; i++)
		dv_close(outs[i]);
	return 0;
}

static int stop_nothing(void *guest, struct dv_err *err)
{
	(void)guest;
	(void)err;
	return 0;
}

static int big_state(void *guest, struct dv_buf *out, struct dv_err *err)
{
	(void)guest;
	(void)err;
	for (int i = 0; i < 300000; i++)
		dv_buf_putf(out, "%06d", i);
	return dv_buf_status(out);
}

/* A stream that the test feeds, and ends. */
static struct {
	int out;
	struct dv_flow_cb cb;
} profile;

static int begin_profile(void *guest, const dv_MemProfileRequest *rq, int out,
			 const struct dv_flow_cb *cb, struct dv_err *err)
{
	(void)guest;
	if (rq->pid < 0) {
		dv_close(out);
		return dv_err_set(err, ESRCH, DV_NOT_FOUND, "no such");
	}
	profile.out = out;
	profile.cb = *cb;
	return 0;
}

static const struct dv_guest_ops guest_ops = {
	.mem_profile = begin_profile,
	.start = note_start,
	.capture_query = two_names,
	.capture_start = take_streams,
	.capture_stop = stop_nothing,
	.saved_state = big_state,
};
static const struct dv_guest guest = { &guest_ops, NULL };

/* ---- server and clients ----------------------------------------------- */

static void wire_open(struct try_wire *w, const struct dv_guest *g)
{
	struct dv_rpc_opts o = DV_RPC_OPTS_INIT;
	int raw[2], sv[2];

	*w = (struct try_wire){ .fd = -1, .reply = DV_BUF_INIT(1 << 24) };
	noted[0] = '\0';
	try_open(&w->p);
	CHECK_EQ(dv_server_new(&w->server, w->p.loop, NULL, &w->err), 0);
	CHECK_EQ(dv_sandbox_svc_new(&w->svc, w->p.procs, g, &w->err), 0);
	CHECK_EQ(dv_diag_add(w->server, w->svc), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, raw), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	CHECK_EQ(dv_server_take(w->server, raw[0], DV_PROTO_TTRPC_DIAG, NULL,
				NULL, 0, NULL, 0),
		 0);
	CHECK_EQ(dv_server_take(w->server, sv[0], DV_PROTO_TTRPC_DIAG, NULL,
				NULL, 0, NULL, 0),
		 0);
	w->fd = raw[1];
	o.fd = sv[1];
	CHECK_EQ(dv_rpc_new(&w->rpc, w->p.loop, &o, &w->err), 0);
}

static void wire_close(struct try_wire *w)
{
	dv_close(w->fd);
	w->rpc = dv_rpc_free(w->rpc);
	w->server = dv_server_free(w->server);
	w->svc = dv_sandbox_svc_free(w->svc);
	dv_buf_free(&w->reply);
	try_close(&w->p);
}

static void on_reply(struct dv_rpc_call *call DV_UNUSED,
		     const struct dv_rpc_reply *reply, void *arg)
{
	struct try_wire *w = arg;

	w->done = true;
	w->r = reply->r;
	if (reply->err)
		w->err = *reply->err;
	dv_buf_reset(&w->reply);
	dv_buf_put(&w->reply, reply->payload, reply->len);
}

static void call_begin(struct try_wire *w, const char *service,
		       const char *method, const pb_msgdesc_t *fields,
		       const void *msg, const int *fds, size_t n_fds)
{
	struct dv_rpc_call_opts o = DV_RPC_CALL_INIT;
	dv_autobuf rq = DV_BUF_INIT(1 << 20);

	o.fds = fds;
	o.n_fds = n_fds;
	if (fields)
		CHECK_EQ(dv_pb_encode(fields, msg, &rq, &w->err), 0);
	w->err = (struct dv_err)DV_ERR_INIT;
	w->done = false;
	CHECK_EQ(dv_rpc_call(w->rpc, NULL, service, method, rq.data, rq.len, &o,
			     on_reply, w, &w->err),
		 0);
}

static int call_end(struct try_wire *w)
{
	while (!w->done)
		try_turn(&w->p);
	return w->r;
}

static int call(struct try_wire *w, const char *service, const char *method,
		const pb_msgdesc_t *fields, const void *msg)
{
	call_begin(w, service, method, fields, msg, NULL, 0);
	return call_end(w);
}

#define V1  "davit.v1.Sandbox"
#define OLD "diag.UnderhillDiag"

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = 0;

	for (; hex[0]; hex += 2) {
		char two[3] = { hex[0], hex[1], '\0' };

		out[n++] = (uint8_t)strtoul(two, NULL, 16);
	}
	return n;
}

static void send_hex(struct try_wire *w, const char *hex)
{
	uint8_t frame[256];

	try_send(&w->p, w->fd, frame, unhex(hex, frame));
}

/* The next frame as hex; static. */
static const char *next_hex(struct try_wire *w)
{
	static char hex[1024];
	uint8_t f[512];
	size_t len;

	CHECK_EQ(try_read(&w->p, w->fd, f, 10), 10);
	len = (size_t)f[2] << 8 | f[3];
	CHECK(len < 500);
	CHECK_EQ(try_read(&w->p, w->fd, f + 10, len), len);
	for (size_t i = 0; i < len + 10; i++)
		snprintf(hex + 2 * i, 3, "%02x", f[i]);
	return hex;
}

/* A client's end of the data connection @id. */
static int conn_with_id(struct try_wire *w, uint64_t id)
{
	int sv[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	CHECK_EQ(dv_data_restore(w->p.data, id, sv[0]), 0);
	return sv[1];
}

/* The answer of an Exec on @stream, whose body is 12 03 08 and two bytes. */
static int32_t pid_of(const char *hex)
{
	uint8_t f[64];
	size_t n = unhex(hex, f);
	int32_t pid = 0;

	CHECK(n > 13 && f[10] == 0x12 && f[12] == 0x08);
	for (size_t i = n; i-- > 13;)
		pid = pid << 7 | (f[i] & 0x7f);
	return pid;
}

/* "08" and a varint, as hex of a request or an answer. */
static const char *pid_hex(int32_t pid)
{
	static char hex[16];
	size_t len = 0;

	do {
		len += (size_t)snprintf(hex + len, sizeof(hex) - len, "%02x",
					(pid & 0x7f) | (pid > 127 ? 0x80 : 0));
		pid >>= 7;
	} while (pid);
	return hex;
}

static const char *wait_frame(unsigned int stream, int32_t pid)
{
	static char hex[128];
	const char *v = pid_hex(pid);
	unsigned int n = (unsigned int)strlen(v) / 2;

	snprintf(hex, sizeof(hex),
		 "%08x%08x01000a12646961672e556e64657268696c6c4469616712045761"
		 "69741a%02x08%s",
		 29 + n, stream, n + 1, v);
	return hex;
}

/* ---- vectors ---------------------------------------------------------- */

#define TV11                                                              \
	"0000004e0000000301000a12646961672e556e64657268696c6c44696167120" \
	"4457865631a320a072f62696e2f736812022d6312076563686f206869200128" \
	"023003420d0a045445524d1205787465726d42050a03464f4f"
#define TV13                                                              \
	"000000450000000501000a12646961672e556e64657268696c6c44696167120" \
	"4457865631a290a072f62696e2f7368180120042805300642160a045445524d" \
	"120e787465726d2d323536636f6c6f72"
#define TV15                                                              \
	"0000003f0000001d01000a12646961672e556e64657268696c6c44696167120" \
	"553746172741a220a140a0b4f50454e564d4d5f4c4f47120564656275670a03" \
	"0a015812052d2d666f6f"

TEST(vector_exec_runs_and_wait_answers)
{
	struct try_wire w;
	int in, out, err;
	int32_t pid;

	wire_open(&w, NULL);
	in = conn_with_id(&w, 1);
	out = conn_with_id(&w, 2);
	err = conn_with_id(&w, 3);
	send_hex(&w, TV11);
	pid = pid_of(next_hex(&w));
	CHECK(dv_procs_find(w.p.procs, 0, pid) != NULL);
	CHECK_STR(try_text(&w.p, out), "hi\n");
	CHECK_STR(try_text(&w.p, err), "");
	/* Twice: an answer does not consume the record. */
	for (int i = 0; i < 2; i++) {
		send_hex(&w, wait_frame(7, pid));
		CHECK_STR(next_hex(&w), "000000020000000702001200");
	}
	dv_close(in);
	wire_close(&w);
}

TEST(vector_exec_answer_encodes_as_given)
{
	dv_diag_ExecResponse m = { 1234 };
	dv_autobuf out = DV_BUF_INIT(16);

	CHECK_EQ(dv_pb_encode(dv_diag_ExecResponse_fields, &m, &out, NULL), 0);
	CHECK_EQ(out.len, 3);
	CHECK_EQ(memcmp(out.data, "\x08\xd2\x09", 3), 0);
}

TEST(vector_exec_with_a_terminal)
{
	static const char script[] =
		"stty -echo; tty >/dev/null && echo $TERM\nexit 9\n";
	struct try_wire w;
	int in, out, err;

	wire_open(&w, NULL);
	in = conn_with_id(&w, 4);
	out = conn_with_id(&w, 5);
	err = conn_with_id(&w, 6);
	send_hex(&w, TV13);
	next_hex(&w);
	/* A terminal has one output: the third connection is closed. */
	CHECK_STR(try_text(&w.p, err), "");
	try_send(&w.p, in, script, sizeof(script) - 1);
	CHECK(strstr(try_text(&w.p, out), "xterm-256color\r\n") != NULL);
	dv_close(in);
	wire_close(&w);
}

TEST(vector_wait_of_a_pid_that_is_not_there)
{
	struct try_wire w;

	wire_open(&w, NULL);
	send_hex(&w, "0000001f0000000901000a12646961672e556e64657268696c6c446"
		     "961671204576169741a0308d209");
	CHECK_STR(next_hex(&w), "000000130000000902000a110802120d706964206e6f7"
				"420666f756e64");
	wire_close(&w);
}

TEST(vector_wait_of_status_255)
{
	struct try_wire w;
	struct dv_exec *e;

	wire_open(&w, NULL);
	e = try_run(&w.p, NULL, "exit 255");
	send_hex(&w, wait_frame(7, dv_exec_pid(e)));
	CHECK_STR(next_hex(&w), "00000005000000070200120308ff01");
	/* By a signal: 128 + n, and what the original does not know. */
	e = try_run(&w.p, NULL, "kill -KILL $$");
	send_hex(&w, wait_frame(9, dv_exec_pid(e)));
	CHECK_STR(next_hex(&w), "000000070000000902001205088901"
				"1009");
	wire_close(&w);
}

TEST(vector_start_hands_over_env_and_args)
{
	struct try_wire w;

	wire_open(&w, &guest);
	send_hex(&w, TV15);
	CHECK_STR(next_hex(&w), "000000020000001d02001200");
	CHECK_STR(noted, "OPENVMM_LOG=debug X=(none) --foo ");
	send_hex(&w, TV15);
	next_hex(&w);
	CHECK_EQ(call(&w, OLD, "Start", NULL, NULL), -w.err.sys);
	CHECK_EQ(w.err.code, DV_UNKNOWN);
	CHECK_STR(w.err.msg, "workers have already been started");
	wire_close(&w);
}

/* ---- the old services ------------------------------------------------- */

TEST(exec_of_nothing_says_why_as_the_original_does)
{
	char name[] = "/no/such";
	dv_diag_ExecRequest rq = { .command = name };
	struct try_wire w;

	wire_open(&w, NULL);
	CHECK(call(&w, OLD, "Exec", dv_diag_ExecRequest_fields, &rq) < 0);
	CHECK_EQ(w.err.code, DV_UNKNOWN);
	CHECK_STR(w.err.msg, "failed to launch /no/such: No such file or "
			     "directory (os error 2)");
	rq.stdin = 42;
	CHECK(call(&w, OLD, "Exec", dv_diag_ExecRequest_fields, &rq) < 0);
	CHECK_STR(w.err.msg, "failed to get stdin conn: invalid connection id");
	rq.tty = true;
	rq.stdin = 0;
	rq.stderr = 42;
	CHECK(call(&w, OLD, "Exec", dv_diag_ExecRequest_fields, &rq) < 0);
	CHECK_STR(w.err.msg,
		  "failed to get stderr conn: invalid connection id");
	wire_close(&w);
}

TEST(capture_needs_a_stream_for_each_interface)
{
	uint64_t conns[3] = { 1, 2, 3 };
	dv_diag_NetworkPacketCaptureRequest rq = { 0 };
	struct try_wire w;
	int fd[3];

	wire_open(&w, &guest);
#define CAPTURE                        \
	call(&w, OLD, "PacketCapture", \
	     dv_diag_NetworkPacketCaptureRequest_fields, &rq)
	CHECK_EQ(CAPTURE, 0);
	CHECK_EQ(w.reply.len, 2);
	CHECK_EQ(memcmp(w.reply.data, "\x08\x02", 2), 0);
	rq.operation = dv_diag_NetworkPacketCaptureRequest_Operation_START;
	CHECK(CAPTURE < 0);
	CHECK_STR(w.err.msg, "missing start operation parameters");
	rq.which_op_data = dv_diag_NetworkPacketCaptureRequest_start_data_tag;
	rq.op_data.start_data.conns = conns;
	rq.op_data.start_data.snaplen = 96;
	rq.op_data.start_data.conns_count = 1;
	CHECK(CAPTURE < 0);
	CHECK_STR(w.err.msg, "invalid connection id");
	fd[0] = conn_with_id(&w, 1);
	CHECK(CAPTURE < 0);
	CHECK_STR(w.err.msg, "Insufficient streams");
	CHECK_STR(try_text(&w.p, fd[0]), "");
	for (int i = 0; i < 3; i++)
		fd[i] = conn_with_id(&w, conns[i]);
	rq.op_data.start_data.conns_count = 3;
	CHECK_EQ(CAPTURE, 0);
	CHECK_STR(noted, "snaplen 96, 2 streams");
	for (int i = 0; i < 3; i++)
		dv_close(fd[i]);
	rq.operation = 7;
	CHECK(CAPTURE < 0);
	CHECK_STR(w.err.msg, "unsupported request type 7");
	wire_close(&w);
}

TEST(services_that_are_not_here_say_so)
{
	struct try_wire w;

	wire_open(&w, NULL);
	CHECK_EQ(call(&w, "diag.OpenhclDiag", "Ping", NULL, NULL), 0);
	CHECK(call(&w, "profile.AzureProfiler", "Profile", NULL, NULL) < 0);
	CHECK_EQ(w.err.code, DV_UNIMPLEMENTED);
	CHECK(call(&w, V1, "Kmsg", NULL, NULL) < 0);
	CHECK_EQ(w.err.code, DV_UNIMPLEMENTED);
	CHECK(call(&w, OLD, "Pause", NULL, NULL) < 0);
	CHECK_EQ(w.err.code, DV_UNIMPLEMENTED);
	wire_close(&w);
}

/* ---- davit.v1 --------------------------------------------------------- */

static void decode(struct try_wire *w, const pb_msgdesc_t *fields, void *msg)
{
	CHECK_EQ(dv_pb_decode(fields, w->reply.data, w->reply.len, msg, NULL),
		 0);
}

/* A shell by Exec over the wire; its descriptors come along. */
static dv_ExecReply v1_exec(struct try_wire *w, dv_ExecRequest *rq,
			    const char *script, const int *fds, size_t n_fds)
{
	char sh[] = "/bin/sh", c[] = "-c";
	char *argv[3] = { sh, c, strdup(script) };
	dv_ExecReply reply = { 0 };

	rq->argv = argv;
	rq->argv_count = 3;
	call_begin(w, V1, "Exec", dv_ExecRequest_fields, rq, fds, n_fds);
	CHECK_EQ(call_end(w), 0);
	free(argv[2]);
	decode(w, dv_ExecReply_fields, &reply);
	CHECK(reply.id > 0 && reply.pid > 0);
	return reply;
}

TEST(hello_tells_versions_and_features)
{
	dv_HelloReply m = dv_HelloReply_init_zero;
	struct try_wire w;

	wire_open(&w, &guest);
	CHECK_EQ(call(&w, V1, "Hello", NULL, NULL), 0);
	decode(&w, dv_HelloReply_fields, &m);
	CHECK_EQ(m.version, 1);
	CHECK_STR(m.boundary, "guest");
	CHECK_EQ(m.pid, getpid());
	CHECK(m.features_count > 8);
	CHECK_STR(m.features[0], "exec");
	dv_pb_release(dv_HelloReply_fields, &m);
	wire_close(&w);
}

TEST(exec_with_descriptors_that_come_along)
{
	dv_ExecRequest rq = { .has_stdout = true, .has_stderr = true };
	dv_ExitRecord rec = dv_ExitRecord_init_zero;
	dv_ProcessName name = { 0 };
	char cmd[] = "/bin/true", *argv[] = { cmd };
	struct try_wire w;
	int p[2];
	char text[16];

	wire_open(&w, NULL);
	CHECK_EQ(dv_pipe(p), 0);
	rq.stdout = (dv_Stdio){ .mode = dv_STDIO_FD, .fd = 1 };
	name.id = v1_exec(&w, &rq, "echo straight; exit 3", &p[1], 1).id;
	dv_close(p[1]);
	CHECK_EQ(dv_read_full(p[0], text, sizeof(text)), 9);
	CHECK_EQ(memcmp(text, "straight\n", 9), 0);
	dv_close(p[0]);
	CHECK_EQ(call(&w, V1, "Wait", dv_ProcessName_fields, &name), 0);
	decode(&w, dv_ExitRecord_fields, &rec);
	CHECK_EQ(rec.code, 3);
	CHECK_EQ(rec.id, name.id);
	CHECK(rec.end_unix_ns >= rec.start_unix_ns);
	dv_pb_release(dv_ExitRecord_fields, &rec);
	CHECK_EQ(call(&w, V1, "Release", dv_ProcessName_fields, &name), 0);
	CHECK(call(&w, V1, "Wait", dv_ProcessName_fields, &name) < 0);
	CHECK_EQ(w.err.code, DV_NOT_FOUND);
	/* A number that nothing came along for. */
	rq.argv = argv;
	rq.argv_count = 1;
	rq.stdout.fd = 2;
	CHECK(call(&w, V1, "Exec", dv_ExecRequest_fields, &rq) < 0);
	CHECK_EQ(w.err.code, DV_INVALID);
	wire_close(&w);
}

TEST(list_signal_and_wait_by_pid)
{
	dv_ExecRequest rq = { 0 };
	dv_SignalRequest sig = { .signal = SIGKILL };
	dv_ProcessName name = { 0 };
	dv_ListReply list = dv_ListReply_init_zero;
	dv_ExitRecord rec = dv_ExitRecord_init_zero;
	struct try_wire w;

	wire_open(&w, NULL);
	name.pid = sig.pid = v1_exec(&w, &rq, "sleep 60", NULL, 0).pid;
	CHECK_EQ(call(&w, V1, "List", NULL, NULL), 0);
	decode(&w, dv_ListReply_fields, &list);
	CHECK_EQ(list.processes_count, 1);
	CHECK_EQ(list.processes[0].pid, name.pid);
	CHECK(!list.processes[0].has_exit);
	CHECK_STR(list.processes[0].argv[2], "sleep 60");
	dv_pb_release(dv_ListReply_fields, &list);
	CHECK_EQ(call(&w, V1, "Signal", dv_SignalRequest_fields, &sig), 0);
	CHECK_EQ(call(&w, V1, "Wait", dv_ProcessName_fields, &name), 0);
	decode(&w, dv_ExitRecord_fields, &rec);
	CHECK_EQ(rec.signal, SIGKILL);
	dv_pb_release(dv_ExitRecord_fields, &rec);
	CHECK(call(&w, V1, "Signal", dv_SignalRequest_fields, &sig) < 0);
	CHECK_EQ(w.err.code, DV_NOT_FOUND);
	CHECK_EQ(call(&w, V1, "Stats", NULL, NULL), 0);
	wire_close(&w);
}

TEST(attach_over_the_wire)
{
	dv_ExecRequest rq = { .has_stdout = true };
	dv_AttachRequest at = { .stream = 1, .offset = 3, .conn = 9 };
	dv_AttachReply reply = { 0 };
	struct try_wire w;
	int fd;

	wire_open(&w, NULL);
	rq.stdout.mode = dv_STDIO_KEEP;
	at.id = v1_exec(&w, &rq, "echo 0123456", NULL, 0).id;
	CHECK_EQ(try_wait(&w.p, dv_procs_find(w.p.procs, at.id, 0)), 0);
	try_settle(&w.p);
	fd = conn_with_id(&w, 9);
	CHECK_EQ(call(&w, V1, "Attach", dv_AttachRequest_fields, &at), 0);
	decode(&w, dv_AttachReply_fields, &reply);
	CHECK_EQ(reply.offset, 3);
	CHECK_STR(try_text(&w.p, fd), "3456\n");
	CHECK(call(&w, V1, "Attach", dv_AttachRequest_fields, &at) < 0);
	CHECK_STR(w.err.msg, "invalid connection id");
	wire_close(&w);
}

TEST(document_is_answered_when_all_is_sent)
{
	enum { TOTAL = 1800000 };
	static char text[TOTAL + 1];
	dv_SavedStateRequest rq = { .conn = 5 };
	dv_StreamReply reply = { 0 };
	struct try_wire w;
	int fd;

	wire_open(&w, &guest);
	fd = conn_with_id(&w, 5);
	call_begin(&w, V1, "SavedState", dv_SavedStateRequest_fields, &rq, NULL,
		   0);
	CHECK_EQ(try_read(&w.p, fd, text, sizeof(text)), TOTAL);
	CHECK_EQ(memcmp(text + TOTAL - 6, "299999", 6), 0);
	/* We have not closed yet: that is not what it waits for. */
	CHECK_EQ(call_end(&w), 0);
	decode(&w, dv_StreamReply_fields, &reply);
	CHECK_EQ(reply.bytes, TOTAL);
	dv_close(fd);
	/* The old way is one message. */
	CHECK_EQ(call(&w, OLD, "DumpSavedState", NULL, NULL), 0);
	CHECK(w.reply.len > TOTAL);
	/* A reader that goes. */
	fd = conn_with_id(&w, 5);
	call_begin(&w, V1, "SavedState", dv_SavedStateRequest_fields, &rq, NULL,
		   0);
	dv_close(fd);
	CHECK(call_end(&w) < 0);
	wire_close(&w);
}

#define NEW "diag.OpenhclDiag"

static void feed_profile(struct try_wire *w, size_t len)
{
	static char text[1 << 20];

	memset(text, 'x', sizeof(text));
	while (len > 0 && !w->done) {
		ssize_t n = send(profile.out, text, dv_min(len, sizeof(text)),
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EPIPE)
			return;
		CHECK(n > 0 || errno == EAGAIN);
		len -= n > 0 ? (size_t)n : 0;
		if (n < 0)
			try_turn(&w->p);
	}
}

static void end_profile(const struct dv_err *err)
{
	profile.out = dv_close(profile.out);
	profile.cb.done(profile.cb.arg, 0, err);
}

TEST(stream_as_one_message_is_answered_at_its_end)
{
	dv_diag_MemoryProfileTraceRequest rq = { .pid = 1 };
	struct dv_err err = DV_ERR_INIT;
	struct try_wire w;

	wire_open(&w, &guest);
	call_begin(&w, NEW, "MemoryProfileTrace",
		   dv_diag_MemoryProfileTraceRequest_fields, &rq, NULL, 0);
	try_settle(&w.p);
	feed_profile(&w, 3000000);
	try_settle(&w.p);
	CHECK(!w.done);
	end_profile(NULL);
	CHECK_EQ(call_end(&w), 0);
	CHECK_EQ(w.reply.len, 3000000 + 5); /* one field of bytes */
	/* Nothing at all is a message, too. */
	call_begin(&w, NEW, "MemoryProfileTrace",
		   dv_diag_MemoryProfileTraceRequest_fields, &rq, NULL, 0);
	try_settle(&w.p);
	end_profile(NULL);
	CHECK_EQ(call_end(&w), 0);
	/* It fails, after a while or at once. */
	call_begin(&w, NEW, "MemoryProfileTrace",
		   dv_diag_MemoryProfileTraceRequest_fields, &rq, NULL, 0);
	try_settle(&w.p);
	feed_profile(&w, 10);
	dv_err_set(&err, EIO, DV_DATA_LOSS, "broken off");
	end_profile(&err);
	CHECK(call_end(&w) < 0);
	CHECK_STR(w.err.msg, "broken off");
	rq.pid = -1;
	CHECK(call(&w, NEW, "MemoryProfileTrace",
		   dv_diag_MemoryProfileTraceRequest_fields, &rq) < 0);
	CHECK_STR(w.err.msg, "no such");
	wire_close(&w);
}

TEST(stream_too_long_for_a_message_is_not_read_on)
{
	dv_diag_MemoryProfileTraceRequest rq = { .pid = 1 };
	struct try_wire w;
	ssize_t n;
	char c;

	wire_open(&w, &guest);
	call_begin(&w, NEW, "MemoryProfileTrace",
		   dv_diag_MemoryProfileTraceRequest_fields, &rq, NULL, 0);
	try_settle(&w.p);
	feed_profile(&w, 5 << 20);
	CHECK(call_end(&w) < 0);
	n = recv(profile.out, &c, 1, MSG_DONTWAIT);
	CHECK(n == 0 || (n < 0 && errno != EAGAIN));
	end_profile(NULL);
	/* Who asked is gone: the stream is hung up, and ends later. */
	call_begin(&w, NEW, "MemoryProfileTrace",
		   dv_diag_MemoryProfileTraceRequest_fields, &rq, NULL, 0);
	try_settle(&w.p);
	w.rpc = dv_rpc_free(w.rpc);
	try_settle(&w.p);
	CHECK_EQ(recv(profile.out, &c, 1, MSG_DONTWAIT), 0);
	end_profile(NULL);
	wire_close(&w);
}

TEST(lost_connection_ends_no_process)
{
	dv_ExecRequest rq = { 0 };
	dv_ProcessName name = { 0 };
	struct try_wire w;

	wire_open(&w, NULL);
	name = (dv_ProcessName){
		.id = v1_exec(&w, &rq, "exec sleep 60", NULL, 0).id
	};
	call_begin(&w, V1, "Wait", dv_ProcessName_fields, &name, NULL, 0);
	try_settle(&w.p);
	w.rpc = dv_rpc_free(w.rpc);
	try_settle(&w.p);
	CHECK(dv_procs_find(w.p.procs, name.id, 0) != NULL);
	CHECK_EQ(dv_procs_count(w.p.procs).running, 1);
	wire_close(&w);
}
