/* SPDX-License-Identifier: MIT */
#include "runtime/store/store_try.h"

#include "wire/pb.h"

/* ---- states ----------------------------------------------------------------
 */

TEST(state_is_what_the_lock_and_the_documents_say)
{
	struct dv_sandbox_info info;
	struct dv_kept_dirs d;
	char id[DV_ID_LEN + 1];

	try_open_dirs();
	d = claimed(NULL, "web");
	memcpy(id, d.home.id, sizeof(id));
	CHECK_EQ(state_of(id), DV_STATE_CREATING);
	for (int s = 0; s <= DV_STATE_EXITED; s++) {
		write_state(&d, (enum dv_state)s, s == DV_STATE_RUNNING);
		CHECK_EQ(state_of(id), s);
	}
	write_state(&d, DV_STATE_RUNNING, false);
	write_exit(&d, 7);
	CHECK_EQ(state_of(id), DV_STATE_RUNNING);
	dv_store_release(&d, false);
	CHECK_EQ(state_of(id), DV_STATE_EXITED);
	CHECK(!there("run", id));
	CHECK_EQ(dv_store_look(id, &info, NULL), 0);
	CHECK_EQ(info.exit.code, 7);
	CHECK_EQ(info.pid, 0);
	CHECK_EQ(info.keeper_pid, 0);
	dv_sandbox_info_free(&info);
	/* Started again, it lives, and the record of before goes. */
	d = claimed(id, "web");
	CHECK_EQ(dv_store_look(id, &info, NULL), 0);
	CHECK_EQ(info.state, DV_STATE_CREATING);
	CHECK_EQ(info.keeper_pid, 0); /* not that of before */
	dv_sandbox_info_free(&info);
	CHECK_EQ(access(in_dir("state", id, "exit.json"), F_OK), 0);
	write_state(&d, DV_STATE_RUNNING, true);
	CHECK_EQ(state_of(id), DV_STATE_RUNNING);
	CHECK(access(in_dir("state", id, "exit.json"), F_OK) < 0);
	die(&d);
	CHECK_EQ(dv_store_look(id, &info, NULL), 0);
	CHECK_EQ(info.state, DV_STATE_DEAD);
	CHECK_STR(info.name, "web");
	CHECK(info.has_exit);
	CHECK_EQ(info.exit.code, 137);
	CHECK_EQ(info.exit.ended_by, DV_ENDED_KEEPER);
	CHECK(info.ended_unix_ns > info.started_unix_ns);
	CHECK_EQ(info.pid, 0);
	dv_sandbox_info_free(&info);
	try_close_dirs();
}

TEST(killed_before_it_began_is_dead_with_its_name)
{
	struct dv_sandbox_info info;
	struct dv_kept_dirs d;

	try_open_dirs();
	d = claimed(NULL, "web");
	die(&d);
	CHECK_EQ(dv_remove_tree(AT_FDCWD, try_path(&try_top, "run")), 0);
	char id[DV_ID_LEN + 1];

	CHECK_EQ(dv_store_find("web", id, NULL), 0);
	CHECK_EQ(dv_store_look(id, &info, NULL), 0);
	CHECK_EQ(info.state, DV_STATE_DEAD);
	CHECK_STR(info.name, "web");
	CHECK(info.created_unix_ns > 0);
	dv_sandbox_info_free(&info);
	try_close_dirs();
}

static void use_run(const char *name)
{
	CHECK_EQ(setenv("DAVIT_RUNDIR", try_path(&try_top, name), 1), 0);
}

/* XDG_RUNTIME_DIR is not the same in a login and in a cron job. */
TEST(one_that_lives_with_another_rundir_is_not_dead)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_kept_dirs d, other;
	char id[DV_ID_LEN + 1];

	try_open_dirs();
	d = claimed(NULL, "web");
	memcpy(id, d.home.id, sizeof(id));
	write_state(&d, DV_STATE_RUNNING, true);
	use_run("run2");
	CHECK_EQ(state_of(id), DV_STATE_RUNNING);
	CHECK_EQ(dv_store_claim(&other, id, "web", true, &err), -EBUSY);
	CHECK(strstr(err.msg, "is kept by another process") != NULL);
	CHECK_EQ(dv_store_rename_ended(id, "db", NULL), -EBUSY);
	CHECK_EQ(dv_store_remove(id, NULL), -EBUSY);
	use_run("run");
	CHECK_EQ(state_of(id), DV_STATE_RUNNING);
	/* Or it was removed. */
	CHECK_EQ(dv_remove_tree(AT_FDCWD, try_path(&try_top, "run")), 0);
	CHECK_EQ(state_of(id), DV_STATE_RUNNING);
	CHECK_EQ(dv_store_remove(id, NULL), -EBUSY);
	die(&d);
	CHECK_EQ(state_of(id), DV_STATE_DEAD);
	d = claimed(id, "web");
	write_state(&d, DV_STATE_RUNNING, true);
	write_exit(&d, 0);
	use_run("run2");
	CHECK_EQ(state_of(id), DV_STATE_EXITED);
	use_run("run");
	dv_store_release(&d, false);
	CHECK_EQ(dv_store_remove(id, NULL), 0);
	try_close_dirs();
}

/* Lives and ends @rounds times; says each id when it runs. */
static void live_and_end(int fd, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		struct dv_kept_dirs d = claimed(NULL, "");

		write_state(&d, DV_STATE_RUNNING, true);
		dv_write_full(fd, d.home.id, DV_ID_LEN);
		write_exit(&d, 0);
		dv_store_release(&d, false);
	}
}

TEST(one_that_ends_is_never_seen_to_begin)
{
	enum { ROUNDS = 300 };
	char id[DV_ID_LEN + 1] = "";
	int fds[2], status;
	pid_t pid;

	try_open_dirs();
	CHECK_EQ(dv_pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		live_and_end(fds[1], ROUNDS);
		_exit(0);
	}
	dv_close(fds[1]);
	while (dv_read_full(fds[0], id, DV_ID_LEN) == DV_ID_LEN) {
		enum dv_state state;

		while ((state = state_of(id)) == DV_STATE_RUNNING)
			;
		CHECK_EQ(state, DV_STATE_EXITED);
	}
	dv_close(fds[0]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	try_close_dirs();
}

/* Nobody who sees that it has ended has to wait for its keeper. */
TEST(one_that_has_ended_is_started_or_removed_at_once)
{
	enum { ROUNDS = 300 };
	char id[DV_ID_LEN + 1] = "";
	int fds[2], status, n = 0;
	pid_t pid;

	try_open_dirs();
	CHECK_EQ(dv_pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		live_and_end(fds[1], ROUNDS);
		_exit(0);
	}
	dv_close(fds[1]);
	while (dv_read_full(fds[0], id, DV_ID_LEN) == DV_ID_LEN) {
		struct dv_kept_dirs d;

		while (state_of(id) == DV_STATE_RUNNING)
			;
		if (n++ % 2) {
			d = claimed(id, "");
			dv_store_release(&d, true);
		} else {
			CHECK_EQ(dv_store_remove(id, NULL), 0);
		}
		CHECK(!there("state", id));
	}
	CHECK_EQ(n, ROUNDS);
	dv_close(fds[0]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	try_close_dirs();
}

TEST(restart_is_for_one_at_a_time)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_kept_dirs a, b;
	char id[DV_ID_LEN + 1];

	try_open_dirs();
	a = claimed(NULL, "web");
	memcpy(id, a.home.id, sizeof(id));
	CHECK_EQ(dv_store_claim(&b, id, "web", true, &err), -EBUSY);
	CHECK_EQ(err.code, DV_PRECONDITION);
	CHECK(there("run", id));
	die(&a);
	a = claimed(id, "web"); /* what a killed one left is no obstacle */
	CHECK_EQ(count_events("dead"), 1);
	dv_store_release(&a, true);
	CHECK(!there("state", id));
	CHECK_EQ(dv_store_claim(&b, id, "web", true, &err), -ENOENT);
	CHECK_EQ(dv_store_claim(&b, "x", "web", true, NULL), -EINVAL);
	try_close_dirs();
}

TEST(sweep_leaves_the_state_and_tells_once)
{
	struct dv_sandbox_info info;
	struct dv_kept_dirs d;

	try_open_dirs();
	d = claimed(NULL, "web");
	char id[DV_ID_LEN + 1];

	memcpy(id, d.home.id, sizeof(id));
	write_state(&d, DV_STATE_RUNNING, true);
	write_state(&d, DV_STATE_PAUSED, false);
	CHECK_EQ(dv_home_note(&d.home, "/etc"), 0); /* no group */
	die(&d);
	for (int i = 0; i < 3; i++)
		dv_home_sweep(try_path(&try_top, "run"));
	CHECK(!there("run", id));
	CHECK(there("state", id));
	CHECK(there("run", "names/web"));
	CHECK_EQ(state_of(id), DV_STATE_DEAD);
	CHECK_EQ(count_events("dead"), 1);
	CHECK_EQ(dv_store_look(id, &info, NULL), 0);
	CHECK_EQ(info.keeper_pid, 0);
	dv_sandbox_info_free(&info);
	CHECK_EQ(dv_store_remove(id, NULL), 0);
	CHECK_EQ(count_events("removed"), 1);
	CHECK_EQ(state_of(id), DV_STATE_N);
	/* One that ended in order, but could not clean up, was not killed. */
	d = claimed(NULL, "web");
	write_state(&d, DV_STATE_RUNNING, true);
	write_exit(&d, 0);
	memcpy(id, d.home.id, sizeof(id));
	die(&d);
	dv_home_sweep(try_path(&try_top, "run"));
	CHECK_EQ(count_events("dead"), 1);
	CHECK_EQ(state_of(id), DV_STATE_EXITED);
	try_close_dirs();
}

/* Whoever looks while one lives and is started anew sees nothing else. */
TEST(looking_while_it_changes_never_sees_it_dead)
{
	enum { ROUNDS = 300 };
	char id[DV_ID_LEN + 1];
	struct dv_kept_dirs d;
	int gate[2], status;
	char byte;
	pid_t pid;

	try_open_dirs();
	d = claimed(NULL, "web");
	memcpy(id, d.home.id, sizeof(id));
	write_state(&d, DV_STATE_RUNNING, true);
	CHECK_EQ(dv_pipe(gate), 0);
	pid = fork();
	if (pid == 0) {
		/* Its locks are ours alone once the other one lets go. */
		dv_close(gate[1]);
		if (dv_read(gate[0], &byte, 1) != 0)
			_exit(2);
		for (int i = 0; i < ROUNDS; i++) {
			write_exit(&d, i & 0x7f);
			dv_store_release(&d, false);
			if (dv_store_claim(&d, id, "web", true, NULL) < 0)
				_exit(1);
			write_state(&d, DV_STATE_RUNNING, true);
		}
		write_exit(&d, 0);
		dv_store_release(&d, false);
		_exit(0);
	}
	die(&d); /* the child has it */
	dv_close(gate[1]);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		enum dv_state s = state_of(id);

		CHECK(s == DV_STATE_CREATING || s == DV_STATE_RUNNING ||
		      s == DV_STATE_EXITED);
	}
	CHECK_EQ(status, 0);
	CHECK_EQ(state_of(id), DV_STATE_EXITED);
	CHECK_EQ(count_events("dead"), 0);
	dv_close(gate[0]);
	try_close_dirs();
}

TEST(remove_refuses_the_living_and_takes_all_of_the_rest)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_kept_dirs d;
	char id[DV_ID_LEN + 1];

	try_open_dirs();
	CHECK_EQ(dv_store_remove("0123456789abcdef", &err), -ENOENT);
	CHECK_EQ(dv_store_remove("../../etc", NULL), -ENOENT);
	d = claimed(NULL, "web");
	memcpy(id, d.home.id, sizeof(id));
	put_file(in_dir("state", id, "log"), "text");
	err = (struct dv_err)DV_ERR_INIT;
	CHECK_EQ(dv_store_remove(id, &err), -EBUSY);
	CHECK(strstr(err.hint, "davit rm -f") != NULL);
	CHECK(there("run", id) && there("state", id));
	die(&d);
	CHECK_EQ(symlink(id, try_path(&try_top, "run/names/old")), 0);
	CHECK_EQ(dv_store_remove(id, NULL), 0);
	CHECK(!there("run", id) && !there("state", id));
	CHECK(!there("run", "names/web") && !there("run", "names/old"));
	CHECK_EQ(dv_store_remove(id, NULL), -ENOENT);
	try_close_dirs();
}

TEST(without_a_place_in_state_nothing_is_left)
{
	struct dv_kept_dirs d;

	try_open_dirs();
	CHECK_EQ(dv_store_claim(&d, NULL, NULL, false, NULL), 0);
	CHECK_EQ(d.statefd, -1);
	write_state(&d, DV_STATE_RUNNING, true);
	CHECK_EQ(state_of(d.home.id), DV_STATE_RUNNING);
	write_exit(&d, 0);
	dv_store_release(&d, false);
	CHECK(!there("", "state"));
	try_close_dirs();
}

/* ---- bad files --------------------------------------------------------------
 */

static void check_bad(const char *id, int want, const char *text)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_sandbox_info info;

	CHECK_EQ(dv_store_look(id, &info, &err), want);
	if (!strstr(err.msg, text) || !strstr(err.msg, id))
		print_error("%s\n", err.msg);
	CHECK(strstr(err.msg, text) != NULL);
	CHECK(strstr(err.msg, id) != NULL);
	CHECK_EQ(err.step, DV_STEP_STATE);
}

TEST(bad_documents_are_told_with_their_path)
{
	static char huge[DV_STORE_DOC_MAX + 1];
	struct dv_sandbox_info info;
	struct dv_kept_dirs d;
	char id[DV_ID_LEN + 1];
	const char *doc;

	try_open_dirs();
	d = claimed(NULL, "web");
	memcpy(id, d.home.id, sizeof(id));
	write_exit(&d, 0);
	dv_store_release(&d, false);
	doc = in_dir("state", id, "exit.json");
	put_file(doc, "");
	check_bad(id, -EBADMSG, "exit.json: it is empty");
	put_file(doc, "{\"id\":\"0123456789abcdef\",\"state\":\"exited\"}");
	check_bad(id, -EBADMSG, "exit.json: it is of another sandbox");
	memset(huge, ' ', sizeof(huge));
	CHECK_EQ(dv_replace_file(AT_FDCWD, doc, huge, sizeof(huge), 0600), 0);
	check_bad(id, -EFBIG, "exit.json is too large");
	CHECK_EQ(unlink(doc), 0);
	CHECK_EQ(mkfifo(doc, 0600), 0);
	check_bad(id, -EBADMSG, "exit.json is no file");
	CHECK_EQ(unlink(doc), 0);
	CHECK_EQ(symlink("state.json", doc), 0);
	check_bad(id, -EBADMSG, "exit.json is no file");
	CHECK_EQ(unlink(doc), 0);
	CHECK_EQ(mkdir(doc, 0700), 0);
	check_bad(id, -EBADMSG, "exit.json is no file");
	CHECK_EQ(dv_store_look_bare(id, &info, NULL), 0);
	CHECK_EQ(info.state, DV_STATE_DEAD);
	/* And it can be removed all the same. */
	CHECK_EQ(dv_store_remove(id, NULL), 0);
	try_close_dirs();
}

TEST(directories_of_others_are_refused)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_sandbox_info info;
	struct dv_kept_dirs d;
	char id[DV_ID_LEN + 1];
	const char *dir;

	try_open_dirs();
	d = claimed(NULL, "web");
	memcpy(id, d.home.id, sizeof(id));
	write_exit(&d, 0);
	dv_store_release(&d, false);
	dir = in_dir("state", id, "");
	CHECK_EQ(chmod(dir, 0755), 0);
	check_bad(id, -EACCES, "is not private");
	CHECK_EQ(chmod(dir, 0700), 0);
	if (geteuid() == 0 && chown(dir, 65534, 65534) == 0) {
		check_bad(id, -EACCES, "is not private");
		CHECK_EQ(chown(dir, 0, 0), 0);
	}
	CHECK_EQ(state_of(id), DV_STATE_EXITED);
	CHECK_EQ(chmod(try_path(&try_top, "state"), 0777), 0);
	CHECK_EQ(dv_store_look(id, &info, &err), -EACCES);
	CHECK(strstr(err.msg, "state directory") != NULL);
	CHECK_EQ(chmod(try_path(&try_top, "state"), 0700), 0);
	try_close_dirs();
}

TEST(kept_is_read_back_or_refused)
{
	dv_KeptSandbox kept = dv_KeptSandbox_init_zero;
	struct dv_err err = DV_ERR_INIT;
	struct dv_kept_dirs d;
	char id[DV_ID_LEN + 1];

	try_open_dirs();
	d = claimed(NULL, NULL);
	memcpy(id, d.home.id, sizeof(id));
	CHECK_EQ(dv_store_read_kept(id, &kept, &err), -ENOENT);
	CHECK(strstr(err.msg, "how sandbox") != NULL);
	kept.cwd = d.home.base;
	CHECK_EQ(dv_store_write_kept(&d, &kept, NULL), 0);
	kept = (dv_KeptSandbox)dv_KeptSandbox_init_zero;
	CHECK_EQ(dv_store_read_kept(id, &kept, NULL), 0);
	CHECK_STR(kept.cwd, d.home.base);
	dv_pb_release(dv_KeptSandbox_fields, &kept);
	put_file(in_dir("state", id, "kept"), "\xff\xff\xff");
	err = (struct dv_err)DV_ERR_INIT;
	CHECK_EQ(dv_store_read_kept(id, &kept, &err), -EBADMSG);
	CHECK(strstr(err.msg, "/kept") != NULL);
	dv_store_release(&d, true);
	try_close_dirs();
}

/* ---- after an upgrade
 * -------------------------------------------------------- */

TEST(reclaim_takes_the_lock_over_and_no_other)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_kept_dirs d, again;
	char id[DV_ID_LEN + 1];
	int lock, statelock;

	try_open_dirs();
	d = claimed(NULL, "web");
	memcpy(id, d.home.id, sizeof(id));
	write_state(&d, DV_STATE_RUNNING, true);
	lock = dv_take_fd(&d.home.lock);
	statelock = dv_take_fd(&d.statelock);
	die(&d);
	CHECK_EQ(state_of(id), DV_STATE_RUNNING);
	use_run("run2");
	CHECK_EQ(state_of(id), DV_STATE_RUNNING);
	use_run("run");
	CHECK_EQ(dv_store_reclaim(&again, id, "web", lock, statelock, &err), 0);
	CHECK_STR(err.msg, "");
	CHECK_STR(again.home.id, id);
	CHECK(again.statefd >= 0);
	write_state(&again, DV_STATE_PAUSED, false);
	CHECK_EQ(state_of(id), DV_STATE_PAUSED);
	lock = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK_EQ(dv_store_reclaim(&d, id, "web", lock, -1, &err), -ESTALE);
	CHECK_EQ(state_of(id), DV_STATE_PAUSED);
	dv_store_release(&again, true);
	CHECK_EQ(state_of(id), DV_STATE_N);
	try_close_dirs();
}
