/* SPDX-License-Identifier: MIT */
#include "agent/agent.h"

#include "agent/flow_try.h"

/* Follows a file for the process @pid, to @out (consumed). */
static int follow(struct dv_agent *a, struct try *t, int out, pid_t pid,
		  struct dv_err *err)
{
	char path[] = "/etc/passwd";
	dv_ReadFileRequest rq = dv_ReadFileRequest_init_zero;
	const struct dv_peer peer = {
		.pid = pid,
		.pidfd = -1,
		.cid = DV_CID_NONE,
	};
	struct dv_flow_cb cb = { try_started, try_done, t, &peer };

	rq.path = path;
	rq.follow = true;
	return dv_flow_file(a, &rq, out, &cb, err);
}

TEST(client_with_every_worker_makes_room_for_another)
{
	struct try t[DV_WORKER_SERVING_MAX], other;
	struct dv_agent a = { 0 };
	struct dv_err err = DV_ERR_INIT;
	int pipe[2];

	try_open(&other, NULL);
	a.loop = other.loop;
	for (int i = 0; i < DV_WORKER_SERVING_MAX; i++) {
		try_open(&t[i], a.loop);
		CHECK_EQ(follow(&a, &t[i], dv_take_fd(&t[i].out), 1000, &err),
			 0);
	}
	/* The same process gets no more, and keeps what it has. */
	CHECK_EQ(dv_pipe(pipe), 0);
	CHECK_EQ(follow(&a, &other, pipe[1], 1000, &err), -EAGAIN);
	CHECK_EQ(err.code, DV_EXHAUSTED);
	CHECK_EQ(t[0].done, 0);
	/* Who asks pays, whatever the stream is. */
	dv_close(pipe[0]);
	CHECK_EQ(dv_pipe(pipe), 0);
	CHECK_EQ(follow(&a, &other, pipe[1], 1001, &err), 0);
	CHECK_EQ(t[0].done, 1);
	CHECK_EQ(t[0].err.code, DV_EXHAUSTED);
	CHECK_EQ(t[1].done, 0);
	TRY_UNTIL(&other, other.started == 1);
	dv_flow_end_all(&a, &err);
	CHECK_EQ(other.done, 1);
	CHECK_EQ(a.flow_shares.n[DV_SHARE_STREAMS], 0);
	dv_close(pipe[0]);
	for (int i = 0; i < DV_WORKER_SERVING_MAX; i++)
		try_close(&t[i], a.loop);
	try_close(&other, NULL);
}
