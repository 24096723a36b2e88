/* SPDX-License-Identifier: MIT */
#include "rpc/claims.h"

#include <poll.h>

#include "rpc/data.h"
#include "rpc/rpc_try.h"

enum { MAX = 8 };

struct room {
	struct dv_loop *loop;
	struct dv_data *data;
};

static const struct dv_peer good = { 0, 0, 1, -1, DV_CID_NONE };
static const struct dv_peer bad = { 0, 0, 2, -1, DV_CID_NONE };

static void open_room(struct room *r)
{
	struct dv_data_opts o = { .size = sizeof(o), .max_claimed = MAX };

	CHECK_EQ(dv_loop_new(&r->loop), 0);
	CHECK_EQ(dv_data_new(&r->data, r->loop, &o), 0);
}

static void close_room(struct room *r)
{
	dv_data_free(r->data);
	dv_loop_free(r->loop);
}

/* Connect as @peer and claim it: our end is in *@ours. The end, or -errno. */
static int claim_as(struct room *r, const struct dv_peer *peer, int *ours,
		    struct dv_err *err)
{
	uint8_t id[8];
	struct dv_rd rd = dv_rd_mem(id, sizeof(id));
	int fds[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	CHECK_EQ(dv_data_take(r->data, fds[0], peer), 0);
	CHECK_EQ(recv(fds[1], id, sizeof(id), MSG_DONTWAIT), sizeof(id));
	*ours = fds[1];
	return dv_data_claim(r->data, dv_rd_le64(&rd), err);
}

static bool is_ended(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

static void close_all(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fds[i] = dv_close(fds[i]);
}

TEST(one_stream_too_many_is_refused_to_who_has_most)
{
	struct dv_err err = DV_ERR_INIT;
	int ours[MAX + 1], ends[MAX];
	struct room r;

	open_room(&r);
	for (int i = 0; i < MAX; i++) {
		ends[i] = claim_as(&r, &bad, &ours[i], &err);
		CHECK(ends[i] >= 0);
	}
	CHECK_EQ(claim_as(&r, &bad, &ours[MAX], &err), -EMFILE);
	CHECK_EQ(err.code, DV_EXHAUSTED);
	CHECK_STR(err.msg, "8 streams are open, which is the limit");
	CHECK(is_ended(ours[MAX]));
	for (int i = 0; i < MAX; i++)
		CHECK(!is_ended(ours[i]));
	close_all(ours, MAX + 1);
	close_all(ends, MAX);
	close_room(&r);
}

TEST(closed_streams_count_no_more)
{
	struct room r;

	open_room(&r);
	for (int i = 0; i < 3 * MAX; i++) {
		int ours, end = claim_as(&r, &bad, &ours, NULL);

		CHECK(end >= 0);
		dv_close(end);
		dv_close(ours);
	}
	close_room(&r);
}

/* It may be the same file, under the same number. */
TEST(file_that_is_passed_again_and_again_counts_once)
{
	struct room r;
	int pipe[2];

	open_room(&r);
	CHECK_EQ(dv_pipe(pipe), 0);
	for (int i = 0; i < 3 * MAX; i++) {
		int fd = dv_fd_dup(pipe[1], 3);

		CHECK_EQ(dv_data_count_claimed(r.data, fd, &bad, NULL), 0);
		dv_close(fd);
	}
	close_all(pipe, 2);
	close_room(&r);
}

/* Each makes its client a holder, and these are looked for one by one. */
TEST(closed_streams_are_few_also_far_from_the_limit)
{
	enum { CLIENTS = 500, FEW = 64 };
	struct dv_shares shares = { .users = NULL };
	struct dv_peer peer = bad;
	struct dv_claims claims;
	int pipe[2];

	CHECK_EQ(dv_pipe(pipe), 0);
	dv_claims_init(&claims, &shares, 4096);
	for (int i = 0; i < CLIENTS; i++) {
		int fd = dv_fd_dup(pipe[1], 10 + i);
		struct dv_holder *h;

		peer.pid = 100 + i;
		h = dv_shares_join(&shares, &peer);
		CHECK_EQ(dv_claims_add(&claims, fd, h, NULL), 0);
		dv_holder_leave(h);
		dv_close(fd);
		CHECK(claims.n <= FEW);
	}
	dv_claims_deinit(&claims);
	CHECK(!shares.users);
	close_all(pipe, 2);
}

TEST(another_peer_gets_the_oldest_of_who_has_most)
{
	int ours[MAX + 1], ends[MAX + 1], pipe[2];
	struct dv_err err = DV_ERR_INIT;
	struct room r;

	open_room(&r);
	/* A pipe counts too, but cannot be taken back. */
	CHECK_EQ(dv_pipe(pipe), 0);
	CHECK_EQ(dv_data_count_claimed(r.data, pipe[1], &bad, &err), 0);
	for (int i = 1; i < MAX; i++)
		ends[i] = claim_as(&r, &bad, &ours[i], &err);
	CHECK_EQ(dv_data_count_claimed(r.data, pipe[0], &bad, &err), -EMFILE);
	ends[MAX] = claim_as(&r, &good, &ours[MAX], &err);
	CHECK(ends[MAX] >= 0);
	CHECK(is_ended(ours[1]));
	for (int i = 2; i <= MAX; i++)
		CHECK(!is_ended(ours[i]));
	close_all(ours + 1, MAX);
	close_all(ends + 1, MAX);
	close_all(pipe, 2);
	close_room(&r);
}

static int take_over(void *arg, int fd)
{
	struct room *next = arg;

	dv_data_restore_claimed(next->data, fd);
	return 0;
}

TEST(saved_streams_count_again)
{
	struct room r, next;
	int ours[MAX + 1], ends[MAX];
	struct dv_peer self = DV_PEER_INIT;

	open_room(&r);
	open_room(&next);
	for (int i = 0; i < MAX; i++)
		ends[i] = claim_as(&r, NULL, &ours[i], NULL);
	CHECK_EQ(dv_data_save_claimed(r.data, take_over, &next), 0);
	/* By the kernel's word they are of this process. */
	dv_peer_get(ends[0], false, &self);
	CHECK_EQ(claim_as(&next, &self, &ours[MAX], NULL), -EMFILE);
	dv_close(ours[MAX]);
	close_all(ends, MAX);
	ends[0] = claim_as(&next, &self, &ours[MAX], NULL);
	CHECK(ends[0] >= 0);
	close_all(ends, 1);
	close_all(ours, MAX + 1);
	close_room(&r);
	close_room(&next);
}
