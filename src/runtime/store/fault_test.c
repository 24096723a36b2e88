/* SPDX-License-Identifier: MIT */
/*
 * Everything that can fail when a sandbox takes its places fails once: an error
 * has a message, nothing is left, and the name is free. And what a file system
 * without locks changes.
 */
#include "runtime/run/run_try.h"

#include "base/fault.h"
#include "runtime/store/priv.h"

enum { CALLS_MAX = 500 };

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += dv_fd_mode(fd) >= 0;
	return n;
}

static void expect_nothing_left(int n_fds, uint32_t nth)
{
	struct dv_sandbox_list list;
	char id[DV_ID_LEN + 1];

	CHECK_EQ(dv_sandbox_list(&list, DV_SANDBOX_ALL, NULL), 0);
	if (list.n || list.unreadable || count_fds() != n_fds)
		print_error("left after call %u, %s\n", nth, fault_name());
	CHECK_EQ(list.n + list.unreadable, 0);
	dv_sandbox_list_free(&list);
	CHECK_EQ(dv_store_find("web", id, NULL), -ENOENT);
	CHECK_EQ(count_fds(), n_fds);
}

static struct dv_sandbox_info info_of(const struct dv_kept_dirs *d)
{
	struct dv_sandbox_info info = { .size = sizeof(info),
					.state = DV_STATE_RUNNING };

	memcpy(info.id, d->home.id, sizeof(info.id));
	memcpy(info.name, d->name, sizeof(info.name));
	return info;
}

/* What a keeper does before its sandbox runs. */
static int begin(struct dv_kept_dirs *d, struct dv_err *err)
{
	dv_KeptSandbox kept = dv_KeptSandbox_init_zero;
	struct dv_sandbox_info info;
	int r = dv_store_claim(d, NULL, "web", true, err);

	if (r < 0)
		return r;
	info = info_of(d);
	kept.cwd = d->home.base;
	r = dv_store_write_kept(d, &kept, err);
	if (r == 0)
		r = dv_store_write_state(d, &info, true, err);
	if (r == 0)
		r = dv_store_identity_write(d, err);
	if (r < 0)
		dv_store_release(d, true);
	return r;
}

TEST(claim_that_fails_anywhere_leaves_nothing)
{
	bool failed = true;

	try_open();
	for (uint32_t nth = 1; failed && nth < CALLS_MAX; nth++) {
		struct dv_err err = DV_ERR_INIT;
		struct dv_kept_dirs d;
		const int n_fds = count_fds();
		int r;

		fault_arm(FAULT_PARENT, nth, false);
		r = begin(&d, &err);
		failed = fault_disarm();
		if (r < 0 && (!err.msg[0] || err.step == DV_STEP_NONE))
			print_error("call %u, %s: %d, \"%s\"\n", nth,
				    fault_name(), r, err.msg);
		CHECK(r == 0 || (err.msg[0] && err.step != DV_STEP_NONE));
		if (r == 0)
			dv_store_release(&d, true);
		expect_nothing_left(n_fds, nth);
		/* Each round begins as the first one after a reboot does. */
		r = dv_remove_tree(AT_FDCWD, try_path(&try_top, "run"));
		CHECK(r == 0 || r == -ENOENT);
	}
	CHECK(!failed);
	try_close();
}

/* Looking never changes anything, and says why it cannot. */
TEST(look_that_fails_anywhere_has_a_reason)
{
	struct dv_kept_dirs d;
	bool failed = true;

	try_open();
	CHECK_EQ(begin(&d, NULL), 0);
	for (uint32_t nth = 1; failed && nth < CALLS_MAX; nth++) {
		struct dv_err err = DV_ERR_INIT;
		struct dv_sandbox_info info;
		const int n_fds = count_fds();
		int r;

		fault_arm(FAULT_PARENT, nth, false);
		r = dv_store_look(d.home.id, &info, &err);
		failed = fault_disarm();
		if (r < 0 && !err.msg[0])
			print_error("call %u, %s: %d\n", nth, fault_name(), r);
		CHECK(r == 0 || (r != -ENOENT && err.msg[0]));
		CHECK(r < 0 || info.state == DV_STATE_RUNNING);
		dv_sandbox_info_free(&info);
		CHECK_EQ(count_fds(), n_fds);
	}
	CHECK(!failed);
	dv_store_release(&d, true);
	CHECK_EQ(dv_remove_tree(AT_FDCWD, try_path(&try_top, "run")), 0);
	try_close();
}

static enum dv_state state_of(const char *id)
{
	struct dv_sandbox_info info;
	int r = dv_store_look(id, &info, NULL);

	dv_sandbox_info_free(&info);
	return r < 0 ? DV_STATE_N : info.state;
}

/* As a keeper that is killed: its lock goes, files stay. */
static void die(struct dv_kept_dirs *d)
{
	dv_home_release(&d->home);
	d->statefd = dv_close(d->statefd);
	d->statelock = dv_close(d->statelock);
}

/* Below it there are no locks from now on. */
static void unlock(const char *dir, int e)
{
	static char path[300];

	dv_fmt(path, sizeof(path), "%s", try_path(&try_top, dir));
	fault_locks(path, e);
}

/* RUNDIR says alone who lives. */
TEST(statedir_without_locks_is_good_enough)
{
	static const int errnos[] = { ENOLCK, ENOSYS, EOPNOTSUPP };
	struct dv_kept_dirs d, again;

	for (size_t i = 0; i < DV_ARRAY_LEN(errnos); i++) {
		char id[DV_ID_LEN + 1];
		struct dv_err err = DV_ERR_INIT;

		try_open();
		unlock("state", errnos[i]);
		CHECK_EQ(begin(&d, &err), 0);
		CHECK_STR(err.msg, "");
		dv_fmt(id, sizeof(id), "%s", d.home.id);
		CHECK_EQ(d.statelock, -1);
		CHECK_EQ(state_of(id), DV_STATE_RUNNING);
		CHECK_EQ(dv_store_claim(&again, id, "web", true, NULL), -EBUSY);
		CHECK_EQ(dv_store_remove(id, NULL), -EBUSY);
		die(&d);
		CHECK_EQ(state_of(id), DV_STATE_DEAD);
		CHECK_EQ(dv_store_claim(&again, id, "web", true, &err), 0);
		dv_store_release(&again, false);
		CHECK_EQ(dv_store_remove(id, &err), 0);
		CHECK_STR(err.msg, "");
		fault_locks(NULL, 0);
		try_close();
	}
}

/* There nobody else can tell who lives. */
TEST(rundir_without_locks_is_an_error)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_sandbox_info info;
	struct dv_kept_dirs d;

	try_open();
	unlock("run", ENOLCK);
	CHECK_EQ(begin(&d, &err), -ENOLCK);
	CHECK(err.msg[0] != '\0');
	fault_locks(NULL, 0);
	CHECK_EQ(begin(&d, NULL), 0);
	unlock("run", ENOLCK);
	CHECK_EQ(dv_store_look(d.home.id, &info, NULL), -ENOLCK);
	fault_locks(NULL, 0);
	dv_store_release(&d, true);
	try_close();
}
