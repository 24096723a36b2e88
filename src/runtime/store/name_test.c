/* SPDX-License-Identifier: MIT */
#include "runtime/store/store_try.h"

#include <sys/resource.h>

#include "wire/pb.h"

/* ---- names ----------------------------------------------------------------
 */

TEST(names_are_checked)
{
	static const char *const good[] = { "a",
					    "0",
					    "web",
					    "a.b_c-d",
					    "0123456789abcde",
					    "0123456789abcdefg" };
	static const char *const bad[] = {
		"",    ".a",  "-a", "_a",  "A",
		"a/b", "a b", "ä",  "a\n", "0123456789abcdef"
	};
	char name[70];

	for (size_t i = 0; i < DV_ARRAY_LEN(good); i++)
		CHECK_EQ(dv_store_check_name(good[i], NULL), 0);
	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		struct dv_err err = DV_ERR_INIT;

		CHECK_EQ(dv_store_check_name(bad[i], &err), -EINVAL);
		CHECK(err.hint[0] != '\0');
	}
	memset(name, 'a', sizeof(name));
	name[63] = '\0';
	CHECK_EQ(dv_store_check_name(name, NULL), 0);
	name[63] = 'a';
	name[64] = '\0';
	CHECK_EQ(dv_store_check_name(name, NULL), -EINVAL);
}

TEST(name_has_one_owner)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_kept_dirs a, b;

	try_open_dirs();
	a = claimed(NULL, "web");
	write_state(&a, DV_STATE_RUNNING, true);
	CHECK_EQ(dv_store_claim(&b, NULL, "web", true, &err), -EEXIST);
	CHECK(strstr(err.msg, a.home.id) != NULL);
	CHECK(strstr(err.msg, "running") != NULL);
	CHECK(strstr(err.hint, "davit rm -f web") != NULL);
	CHECK_EQ(err.code, DV_EXISTS);
	/* Nothing is left of the second. */
	dv_store_release(&b, true);
	struct dv_sandbox_list list;

	CHECK_EQ(dv_sandbox_list(&list, DV_SANDBOX_ALL, NULL), 0);
	CHECK_EQ(list.n, 1);
	dv_sandbox_list_free(&list);
	write_exit(&a, 0);
	dv_store_release(&a, false);
	err = (struct dv_err)DV_ERR_INIT;
	CHECK_EQ(dv_store_claim(&b, NULL, "web", true, &err), -EEXIST);
	CHECK(strstr(err.msg, "exited") != NULL);
	CHECK(strstr(err.hint, "davit rm web") != NULL);
	try_close_dirs();
}

TEST(name_of_nobody_is_taken_over)
{
	struct dv_kept_dirs a;
	char id[DV_ID_LEN + 1];

	try_open_dirs();
	a = claimed(NULL, "web");
	dv_store_release(&a, true);
	CHECK(!there("run", "names/web"));
	CHECK_EQ(symlink("0123456789abcdef",
			 try_path(&try_top, "run/names/web")),
		 0);
	CHECK_EQ(symlink("../../etc", try_path(&try_top, "run/names/db")), 0);
	put_file(try_path(&try_top, "run/names/file"), "");
	CHECK_EQ(dv_store_find("web", id, NULL), -ENOENT);
	CHECK_EQ(dv_store_find("db", id, NULL), -ENOENT);
	static const char *const names[] = { "web", "db", "file" };

	for (size_t i = 0; i < DV_ARRAY_LEN(names); i++) {
		a = claimed(NULL, names[i]);
		CHECK_EQ(dv_store_find(names[i], id, NULL), 0);
		CHECK_STR(id, a.home.id);
		dv_store_release(&a, true);
	}
	try_close_dirs();
}

/* Of an owner that was killed there is only what the sweeper takes. */
TEST(name_of_a_killed_one_without_state_is_taken_over)
{
	struct dv_kept_dirs a, b;

	try_open_dirs();
	CHECK_EQ(dv_store_claim(&a, NULL, "web", false, NULL), 0);
	die(&a);
	b = claimed(NULL, "web");
	dv_store_release(&b, true);
	try_close_dirs();
}

TEST(many_claims_of_one_name_have_one_winner)
{
	enum { N = 8, ROUNDS = 20 };

	try_open_dirs();
	for (int round = 0; round < ROUNDS; round++) {
		char name[16];
		int won = 0, go[2];
		pid_t pid[N];

		dv_fmt(name, sizeof(name), "n%d", round);
		if (round > 0) /* a stale one to be replaced */
			CHECK_EQ(symlink("0123456789abcdef",
					 in_dir("run", "names", name)),
				 0);
		CHECK_EQ(dv_pipe(go), 0);
		for (int i = 0; i < N; i++) {
			pid[i] = fork();
			if (pid[i] == 0) {
				struct dv_kept_dirs d;
				char c;
				int r;

				dv_close(go[1]);
				(void)dv_read(go[0], &c, 1);
				r = dv_store_claim(&d, NULL, name, true, NULL);
				_exit(r == 0 ? 1 : r == -EEXIST ? 0 : 2);
			}
		}
		dv_close(go[0]);
		dv_close(go[1]);
		for (int i = 0; i < N; i++) {
			int status;

			CHECK_EQ(waitpid(pid[i], &status, 0), pid[i]);
			CHECK(WIFEXITED(status) && WEXITSTATUS(status) < 2);
			won += WEXITSTATUS(status);
		}
		CHECK_EQ(won, 1);
	}
	try_close_dirs();
}

/* A child that has stopped while it holds names/.lock. */
static pid_t stopped_holder(int base)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int lock = dv_store_lock(base, "", true, NULL);

		raise(SIGSTOP);
		_exit(lock < 0);
	}
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status));
	return pid;
}

TEST(lock_of_a_stopped_process_is_an_error_that_names_it)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_kept_dirs a, b;
	char want[64];
	pid_t pid;

	try_open_dirs();
	a = claimed(NULL, "web");
	CHECK_EQ(
		symlink("0123456789abcdef", try_path(&try_top, "run/names/db")),
		0);
	pid = stopped_holder(a.home.basefd);
	CHECK_EQ(dv_store_lock(a.home.basefd, "", false, &err), -EAGAIN);
	CHECK_EQ(dv_store_claim(&b, NULL, "db", true, &err), -ETIMEDOUT);
	dv_fmt(want, sizeof(want), "process %d has held ", (int)pid);
	CHECK(strstr(err.msg, want) != NULL);
	CHECK(strstr(err.msg, "/names/.lock for 5 s") != NULL);
	CHECK(strstr(err.hint, "kill -CONT") != NULL);
	CHECK_EQ(err.code, DV_DEADLINE);
	try_kill(pid);
	b = claimed(NULL, "db");
	dv_store_release(&b, true);
	dv_store_release(&a, true);
	try_close_dirs();
}

TEST(rename_that_cannot_be_written_down_is_undone)
{
	struct rlimit none = { 0, RLIM_INFINITY };
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	struct dv_kept_dirs a;
	struct dv_err err = DV_ERR_INIT;
	struct dv_sandbox_info info;
	char id[DV_ID_LEN + 1];

	try_open_dirs();
	a = claimed(NULL, "web");
	write_state(&a, DV_STATE_RUNNING, true);
	memcpy(id, a.home.id, sizeof(id));
	write_exit(&a, 0);
	dv_store_release(&a, false);
	/* A full disk. */
	signal(SIGXFSZ, SIG_IGN);
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &none), 0);
	CHECK_EQ(dv_store_rename_ended(id, "back", &err), -EFBIG);
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &all), 0);
	signal(SIGXFSZ, SIG_DFL);
	CHECK(!there("run", "names/back"));
	CHECK_EQ(dv_store_find("web", id, NULL), 0);
	CHECK_EQ(dv_store_look(id, &info, NULL), 0);
	CHECK_STR(info.name, "web");
	dv_sandbox_info_free(&info);
	CHECK_EQ(dv_store_rename_ended(id, "back", NULL), 0);
	try_close_dirs();
}

TEST(rename_moves_the_name_and_the_documents)
{
	struct dv_kept_dirs a, b;
	struct dv_err err = DV_ERR_INIT;
	dv_KeptSandbox kept = dv_KeptSandbox_init_zero;
	struct dv_sandbox_info info;
	char id[DV_ID_LEN + 1];

	try_open_dirs();
	a = claimed(NULL, "web");
	b = claimed(NULL, "db");
	kept.has_keep = true;
	kept.keep.name = a.name;
	CHECK_EQ(dv_store_write_kept(&a, &kept, NULL), 0);
	write_state(&a, DV_STATE_RUNNING, true);
	CHECK_EQ(dv_store_rename(&a, "db", &err), -EEXIST);
	CHECK_EQ(dv_store_rename(&a, "D", NULL), -EINVAL);
	CHECK_EQ(dv_store_rename(&a, "web", NULL), 0);
	CHECK_EQ(dv_store_find("web", id, NULL), 0);
	CHECK_EQ(dv_store_rename(&a, "front", NULL), 0);
	CHECK_EQ(dv_store_find("web", id, NULL), -ENOENT);
	CHECK_EQ(dv_store_find("front", id, NULL), 0);
	CHECK_STR(id, a.home.id);
	CHECK_EQ(dv_store_rename_ended(id, "back", &err), -EBUSY);
	write_exit(&a, 0);
	dv_store_release(&a, false);
	CHECK_EQ(dv_store_rename_ended(id, "db", &err), -EEXIST);
	CHECK_EQ(dv_store_rename_ended(id, "back", NULL), 0);
	CHECK_EQ(dv_store_look("0123456789abcdef", &info, NULL), -ENOENT);
	CHECK_EQ(dv_store_look(id, &info, NULL), 0);
	CHECK_STR(info.name, "back");
	dv_sandbox_info_free(&info);
	CHECK_EQ(dv_store_read_kept(id, &kept, NULL), 0);
	CHECK_STR(kept.keep.name, "back");
	dv_pb_release(dv_KeptSandbox_fields, &kept);
	CHECK(!there("run", "names/front"));
	dv_store_release(&b, true);
	try_close_dirs();
}

TEST(names_are_found_after_a_reboot)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_kept_dirs a, b;
	char id[DV_ID_LEN + 1], web[DV_ID_LEN + 1];

	try_open_dirs();
	a = claimed(NULL, "web");
	memcpy(web, a.home.id, sizeof(web));
	write_exit(&a, 0);
	dv_store_release(&a, false);
	CHECK_EQ(dv_remove_tree(AT_FDCWD, try_path(&try_top, "run")), 0);
	CHECK_EQ(dv_store_find("web", id, NULL), 0);
	CHECK_STR(id, web);
	CHECK_EQ(dv_store_find("we", id, NULL), 0);
	CHECK_EQ(dv_store_find(NULL, id, NULL), 0);
	CHECK_EQ(state_of(web), DV_STATE_EXITED);
	CHECK_EQ(dv_store_claim(&b, NULL, "web", true, &err), -EEXIST);
	CHECK(there("run", "names/web"));
	CHECK_EQ(dv_remove_tree(AT_FDCWD, try_path(&try_top, "run")), 0);
	CHECK_EQ(dv_store_remove(web, NULL), 0);
	CHECK_EQ(dv_store_find("web", id, NULL), -ENOENT);
	try_close_dirs();
}

/* ---- finding ---------------------------------------------------------------
 */

TEST(find_takes_names_ids_and_beginnings)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_kept_dirs d[3];
	char id[DV_ID_LEN + 1], part[8];

	try_open_dirs();
	CHECK_EQ(dv_store_find("web", id, NULL), -ENOENT);
	CHECK_EQ(dv_store_find(NULL, id, NULL), -ENOENT);
	d[0] = claimed(NULL, "web");
	d[1] = claimed(NULL, "web-2");
	d[2] = claimed(NULL, "zzz");
	CHECK_EQ(dv_store_find("web", id, NULL), 0);
	CHECK_STR(id, d[0].home.id);
	CHECK_EQ(dv_store_find("web-", id, NULL), 0);
	CHECK_STR(id, d[1].home.id);
	CHECK_EQ(dv_store_find(d[2].home.id, id, NULL), 0);
	CHECK_STR(id, d[2].home.id);
	dv_fmt(part, sizeof(part), "%.6s", d[2].home.id);
	CHECK_EQ(dv_store_find(part, id, NULL), 0);
	CHECK_STR(id, d[2].home.id);
	CHECK_EQ(dv_store_find("we", id, &err), -ENOTUNIQ);
	CHECK(strstr(err.hint, "web") != NULL);
	err = (struct dv_err)DV_ERR_INIT;
	CHECK_EQ(dv_store_find("wbe", id, &err), -ENOENT);
	CHECK(strstr(err.hint, "did you mean web?") != NULL);
	CHECK_EQ(err.code, DV_NOT_FOUND);
	CHECK_EQ(dv_store_find("", id, NULL), -EINVAL);
	CHECK_EQ(dv_store_find("../..", id, NULL), -ENOENT);
	CHECK_EQ(dv_store_find(".lock", id, NULL), -ENOENT);
	CHECK_EQ(dv_store_find("/", id, NULL), -ENOENT);
	for (size_t i = 0; i < DV_ARRAY_LEN(d); i++)
		dv_store_release(&d[i], true);
	try_close_dirs();
}

TEST(list_has_the_latest_first_and_counts_what_makes_no_sense)
{
	struct dv_sandbox_list list;
	struct dv_kept_dirs d[4];

	try_open_dirs();
	CHECK_EQ(dv_sandbox_list(&list, DV_SANDBOX_ALL, NULL), 0);
	CHECK_EQ(list.n, 0);
	for (size_t i = 0; i < DV_ARRAY_LEN(d); i++) {
		struct dv_sandbox_info info;

		d[i] = claimed(NULL, "");
		info = info_of(&d[i], DV_STATE_RUNNING);
		info.created_unix_ns += i;
		CHECK_EQ(dv_store_write_state(&d[i], &info, true, NULL), 0);
	}
	write_exit(&d[3], 3);
	dv_store_release(&d[3], false);
	put_file(in_dir("run", d[2].home.id, "state.json"), "{\"id\"");
	CHECK_EQ(dv_sandbox_list(&list, 0, NULL), 0);
	CHECK_EQ(list.n, 2);
	CHECK_EQ(list.unreadable, 1);
	CHECK_STR(list.at[0].id, d[1].home.id);
	CHECK_STR(list.at[1].id, d[0].home.id);
	dv_sandbox_list_free(&list);
	CHECK_EQ(dv_sandbox_list(&list, DV_SANDBOX_ALL, NULL), 0);
	CHECK_EQ(list.n, 3);
	dv_sandbox_list_free(&list);
	dv_sandbox_list_free(&list);
	CHECK_EQ(dv_sandbox_list(&list, 2, NULL), -EINVAL);
	for (size_t i = 0; i < 3; i++)
		dv_store_release(&d[i], true);
	try_close_dirs();
}
