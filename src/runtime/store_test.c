/* SPDX-License-Identifier: MIT */
#include "engine/proc_try.h"

#include <json-c/json.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/def.h"
#include "runtime/store_priv.h"
#include "wire/pb.h"

static struct try_dir top;

static void open_top(void)
{
	try_dir_make(&top);
	CHECK_EQ(setenv("DAVIT_RUNDIR", try_path(&top, "run"), 1), 0);
	CHECK_EQ(setenv("DAVIT_STATEDIR", try_path(&top, "state"), 1), 0);
}

static void close_top(void)
{
	try_dir_remove(&top);
	unsetenv("DAVIT_RUNDIR");
	unsetenv("DAVIT_STATEDIR");
}

static bool there(const char *dir, const char *name)
{
	char path[300];
	struct stat st;

	dv_fmt(path, sizeof(path), "%s/%s", try_path(&top, dir), name);
	return lstat(path, &st) == 0;
}

static const char *in_dir(const char *dir, const char *id, const char *name)
{
	static char path[4][300];
	static int at;
	char *p = path[at++ % 4];

	dv_fmt(p, sizeof(path[0]), "%s/%s/%s", try_path(&top, dir), id, name);
	return p;
}

static void put_file(const char *path, const char *text)
{
	CHECK_EQ(dv_replace_file(AT_FDCWD, path, text, strlen(text), 0600), 0);
}

/* Claim or say why not. */
static struct dv_kept_dirs claimed(const char *id, const char *name)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_kept_dirs d;
	int r = dv_store_claim(&d, id, name, true, &err);

	CHECK_STR(err.msg, "");
	CHECK_EQ(r, 0);
	return d;
}

static struct dv_sandbox_info info_of(const struct dv_kept_dirs *d,
				      enum dv_state state)
{
	struct dv_sandbox_info info = { .size = sizeof(info), .state = state };

	memcpy(info.id, d->home.id, sizeof(info.id));
	memcpy(info.name, d->name, sizeof(info.name));
	info.keeper_pid = getpid();
	info.pid = getpid();
	info.created_unix_ns = info.started_unix_ns = 1700000000000000001;
	return info;
}

static void write_state(struct dv_kept_dirs *d, enum dv_state state,
			bool begins)
{
	struct dv_sandbox_info info = info_of(d, state);

	CHECK_EQ(dv_store_write_state(d, &info, begins, NULL), 0);
}

static void write_exit(struct dv_kept_dirs *d, int code)
{
	struct dv_sandbox_info info = info_of(d, DV_STATE_EXITED);

	info.has_exit = true;
	info.exit = (struct dv_exit){ .size = sizeof(info.exit), .code = code };
	CHECK_EQ(dv_store_write_exit(d, &info, NULL), 0);
}

/* As a keeper that is killed: locks go, files stay. */
static void die(struct dv_kept_dirs *d)
{
	dv_home_release(&d->home);
	d->statefd = dv_close(d->statefd);
}

static enum dv_state state_of(const char *id)
{
	struct dv_sandbox_info info;
	struct dv_err err = DV_ERR_INIT;
	int r = dv_store_look(id, &info, &err);

	if (r < 0)
		return DV_STATE_N;
	CHECK_STR(info.id, id);
	dv_sandbox_info_free(&info);
	return info.state;
}

static size_t count_events(const char *event)
{
	dv_autofree char *text = NULL;
	char want[64];
	size_t len, n = 0;

	dv_fmt(want, sizeof(want), "\"event\":\"%s\"", event);
	if (dv_read_file(AT_FDCWD, try_path(&top, "run/events"), 1 << 22, &text,
			 &len) < 0)
		return 0;
	for (char *p = text; (p = strstr(p, want)); p++)
		n++;
	return n;
}

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

	open_top();
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
	close_top();
}

TEST(name_of_nobody_is_taken_over)
{
	struct dv_kept_dirs a;
	char id[DV_ID_LEN + 1];

	open_top();
	a = claimed(NULL, "web");
	dv_store_release(&a, true);
	CHECK(!there("run", "names/web"));
	CHECK_EQ(symlink("0123456789abcdef", try_path(&top, "run/names/web")),
		 0);
	CHECK_EQ(symlink("../../etc", try_path(&top, "run/names/db")), 0);
	put_file(try_path(&top, "run/names/file"), "");
	CHECK_EQ(dv_store_find("web", id, NULL), -ENOENT);
	CHECK_EQ(dv_store_find("db", id, NULL), -ENOENT);
	static const char *const names[] = { "web", "db", "file" };

	for (size_t i = 0; i < DV_ARRAY_LEN(names); i++) {
		a = claimed(NULL, names[i]);
		CHECK_EQ(dv_store_find(names[i], id, NULL), 0);
		CHECK_STR(id, a.home.id);
		dv_store_release(&a, true);
	}
	close_top();
}

/* Of an owner that was killed there is only what the sweeper takes. */
TEST(name_of_a_killed_one_without_state_is_taken_over)
{
	struct dv_kept_dirs a, b;

	open_top();
	CHECK_EQ(dv_store_claim(&a, NULL, "web", false, NULL), 0);
	die(&a);
	b = claimed(NULL, "web");
	dv_store_release(&b, true);
	close_top();
}

TEST(many_claims_of_one_name_have_one_winner)
{
	enum { N = 8, ROUNDS = 20 };

	open_top();
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
	close_top();
}

TEST(rename_that_cannot_be_written_down_is_undone)
{
	struct rlimit none = { 0, RLIM_INFINITY };
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	struct dv_kept_dirs a;
	struct dv_err err = DV_ERR_INIT;
	struct dv_sandbox_info info;
	char id[DV_ID_LEN + 1];

	open_top();
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
	close_top();
}

TEST(rename_moves_the_name_and_the_documents)
{
	struct dv_kept_dirs a, b;
	struct dv_err err = DV_ERR_INIT;
	dv_KeptSandbox kept = dv_KeptSandbox_init_zero;
	struct dv_sandbox_info info;
	char id[DV_ID_LEN + 1];

	open_top();
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
	close_top();
}

TEST(names_are_found_after_a_reboot)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_kept_dirs a, b;
	char id[DV_ID_LEN + 1], web[DV_ID_LEN + 1];

	open_top();
	a = claimed(NULL, "web");
	memcpy(web, a.home.id, sizeof(web));
	write_exit(&a, 0);
	dv_store_release(&a, false);
	CHECK_EQ(dv_remove_tree(AT_FDCWD, try_path(&top, "run")), 0);
	CHECK_EQ(dv_store_find("web", id, NULL), 0);
	CHECK_STR(id, web);
	CHECK_EQ(dv_store_find("we", id, NULL), 0);
	CHECK_EQ(dv_store_find(NULL, id, NULL), 0);
	CHECK_EQ(state_of(web), DV_STATE_EXITED);
	CHECK_EQ(dv_store_claim(&b, NULL, "web", true, &err), -EEXIST);
	CHECK(there("run", "names/web"));
	CHECK_EQ(dv_remove_tree(AT_FDCWD, try_path(&top, "run")), 0);
	CHECK_EQ(dv_store_remove(web, NULL), 0);
	CHECK_EQ(dv_store_find("web", id, NULL), -ENOENT);
	close_top();
}

/* ---- finding ---------------------------------------------------------------
 */

TEST(find_takes_names_ids_and_beginnings)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_kept_dirs d[3];
	char id[DV_ID_LEN + 1], part[8];

	open_top();
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
	close_top();
}

TEST(list_has_the_latest_first_and_counts_what_makes_no_sense)
{
	struct dv_sandbox_list list;
	struct dv_kept_dirs d[4];

	open_top();
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
	close_top();
}

/* ---- states ----------------------------------------------------------------
 */

TEST(state_is_what_the_lock_and_the_documents_say)
{
	struct dv_sandbox_info info;
	struct dv_kept_dirs d;
	char id[DV_ID_LEN + 1];

	open_top();
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
	CHECK_EQ(state_of(id), DV_STATE_CREATING);
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
	close_top();
}

TEST(killed_before_it_began_is_dead_with_its_name)
{
	struct dv_sandbox_info info;
	struct dv_kept_dirs d;

	open_top();
	d = claimed(NULL, "web");
	die(&d);
	CHECK_EQ(dv_remove_tree(AT_FDCWD, try_path(&top, "run")), 0);
	char id[DV_ID_LEN + 1];

	CHECK_EQ(dv_store_find("web", id, NULL), 0);
	CHECK_EQ(dv_store_look(id, &info, NULL), 0);
	CHECK_EQ(info.state, DV_STATE_DEAD);
	CHECK_STR(info.name, "web");
	CHECK(info.created_unix_ns > 0);
	dv_sandbox_info_free(&info);
	close_top();
}

TEST(restart_is_for_one_at_a_time)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_kept_dirs a, b;
	char id[DV_ID_LEN + 1];

	open_top();
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
	close_top();
}

TEST(sweep_leaves_the_state_and_tells_once)
{
	struct dv_sandbox_info info;
	struct dv_kept_dirs d;

	open_top();
	d = claimed(NULL, "web");
	char id[DV_ID_LEN + 1];

	memcpy(id, d.home.id, sizeof(id));
	write_state(&d, DV_STATE_RUNNING, true);
	write_state(&d, DV_STATE_PAUSED, false);
	CHECK_EQ(dv_home_note(&d.home, "/etc"), 0); /* no group */
	die(&d);
	for (int i = 0; i < 3; i++)
		dv_home_sweep(try_path(&top, "run"));
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
	dv_home_sweep(try_path(&top, "run"));
	CHECK_EQ(count_events("dead"), 1);
	CHECK_EQ(state_of(id), DV_STATE_EXITED);
	close_top();
}

/* Whoever looks while one lives and is started anew sees nothing else. */
TEST(looking_while_it_changes_never_sees_it_dead)
{
	enum { ROUNDS = 300 };
	char id[DV_ID_LEN + 1];
	struct dv_kept_dirs d;
	int status;
	pid_t pid;

	open_top();
	d = claimed(NULL, "web");
	memcpy(id, d.home.id, sizeof(id));
	write_state(&d, DV_STATE_RUNNING, true);
	pid = fork();
	if (pid == 0) {
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
	while (waitpid(pid, &status, WNOHANG) == 0) {
		enum dv_state s = state_of(id);

		CHECK(s == DV_STATE_CREATING || s == DV_STATE_RUNNING ||
		      s == DV_STATE_EXITED);
	}
	CHECK_EQ(status, 0);
	CHECK_EQ(state_of(id), DV_STATE_EXITED);
	CHECK_EQ(count_events("dead"), 0);
	close_top();
}

TEST(remove_refuses_the_living_and_takes_all_of_the_rest)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_kept_dirs d;
	char id[DV_ID_LEN + 1];

	open_top();
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
	CHECK_EQ(symlink(id, try_path(&top, "run/names/old")), 0);
	CHECK_EQ(dv_store_remove(id, NULL), 0);
	CHECK(!there("run", id) && !there("state", id));
	CHECK(!there("run", "names/web") && !there("run", "names/old"));
	CHECK_EQ(dv_store_remove(id, NULL), -ENOENT);
	close_top();
}

TEST(without_a_place_in_state_nothing_is_left)
{
	struct dv_kept_dirs d;

	open_top();
	CHECK_EQ(dv_store_claim(&d, NULL, NULL, false, NULL), 0);
	CHECK_EQ(d.statefd, -1);
	write_state(&d, DV_STATE_RUNNING, true);
	CHECK_EQ(state_of(d.home.id), DV_STATE_RUNNING);
	write_exit(&d, 0);
	dv_store_release(&d, false);
	CHECK(!there("", "state"));
	close_top();
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

	open_top();
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
	close_top();
}

TEST(directories_of_others_are_refused)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_sandbox_info info;
	struct dv_kept_dirs d;
	char id[DV_ID_LEN + 1];
	const char *dir;

	open_top();
	d = claimed(NULL, "web");
	memcpy(id, d.home.id, sizeof(id));
	write_exit(&d, 0);
	dv_store_release(&d, false);
	dir = in_dir("state", id, "");
	CHECK_EQ(chmod(dir, 0755), 0);
	check_bad(id, -EACCES, "is not private");
	CHECK_EQ(chmod(dir, 0700), 0);
	if (geteuid() == 0) {
		CHECK_EQ(chown(dir, 65534, 65534), 0);
		check_bad(id, -EACCES, "is not private");
		CHECK_EQ(chown(dir, 0, 0), 0);
	}
	CHECK_EQ(state_of(id), DV_STATE_EXITED);
	CHECK_EQ(chmod(try_path(&top, "state"), 0777), 0);
	CHECK_EQ(dv_store_look(id, &info, &err), -EACCES);
	CHECK(strstr(err.msg, "state directory") != NULL);
	CHECK_EQ(chmod(try_path(&top, "state"), 0700), 0);
	close_top();
}

TEST(kept_is_read_back_or_refused)
{
	dv_KeptSandbox kept = dv_KeptSandbox_init_zero;
	struct dv_err err = DV_ERR_INIT;
	struct dv_kept_dirs d;
	char id[DV_ID_LEN + 1];

	open_top();
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
	close_top();
}

/* ---- after an upgrade
 * -------------------------------------------------------- */

TEST(reclaim_takes_the_lock_over_and_no_other)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_kept_dirs d, again;
	char id[DV_ID_LEN + 1];
	int lock;

	open_top();
	d = claimed(NULL, "web");
	memcpy(id, d.home.id, sizeof(id));
	write_state(&d, DV_STATE_RUNNING, true);
	lock = dv_take_fd(&d.home.lock);
	die(&d);
	CHECK_EQ(state_of(id), DV_STATE_RUNNING);
	CHECK_EQ(dv_store_reclaim(&again, id, "web", lock, &err), 0);
	CHECK_STR(err.msg, "");
	CHECK_STR(again.home.id, id);
	CHECK(again.statefd >= 0);
	write_state(&again, DV_STATE_PAUSED, false);
	CHECK_EQ(state_of(id), DV_STATE_PAUSED);
	lock = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK_EQ(dv_store_reclaim(&d, id, "web", lock, &err), -ESTALE);
	CHECK_EQ(state_of(id), DV_STATE_PAUSED);
	dv_store_release(&again, true);
	CHECK_EQ(state_of(id), DV_STATE_N);
	close_top();
}

/* ---- events
 * ------------------------------------------------------------------ */

TEST(events_are_lines_of_json_and_bounded)
{
	dv_autofree char *text = NULL;
	struct dv_kept_dirs d;
	struct stat st;
	size_t len, n = 0;

	open_top();
	d = claimed(NULL, "web");
	dv_store_event(&d, "exited", "\"code\":1,\"why\":\"x\"");
	CHECK_EQ(dv_read_file(AT_FDCWD, try_path(&top, "run/events"), 1 << 20,
			      &text, &len),
		 0);
	struct json_object *o = json_tokener_parse(text), *v;

	CHECK(json_object_object_get_ex(o, "event", &v));
	CHECK_STR(json_object_get_string(v), "exited");
	CHECK(json_object_object_get_ex(o, "code", &v));
	CHECK_EQ(json_object_get_int(v), 1);
	CHECK(json_object_object_get_ex(o, "id", &v));
	CHECK_STR(json_object_get_string(v), d.home.id);
	json_object_put(o);
	while (stat(try_path(&top, "run/events.1"), &st) < 0 && n++ < 20000)
		dv_store_event(&d, "filler", "");
	CHECK(st.st_size >= DV_STORE_EVENTS_MAX);
	CHECK(st.st_size < DV_STORE_EVENTS_MAX + 4096);
	dv_store_event(&d, "after", "");
	CHECK_EQ(count_events("after"), 1);
	CHECK_EQ(count_events("filler"), 0);
	dv_store_release(&d, true);
	close_top();
}

TEST(events_of_many_writers_are_whole_lines)
{
	enum { N = 4, EACH = 400 };
	dv_autofree char *text = NULL;
	struct dv_kept_dirs d;
	pid_t pid[N];
	size_t len, lines = 0;

	open_top();
	d = claimed(NULL, "web");
	for (int i = 0; i < N; i++) {
		pid[i] = fork();
		if (pid[i] == 0) {
			for (int k = 0; k < EACH; k++)
				dv_store_event(&d, "tick", "");
			_exit(0);
		}
	}
	for (int i = 0; i < N; i++)
		CHECK_EQ(waitpid(pid[i], NULL, 0), pid[i]);
	CHECK_EQ(dv_read_file(AT_FDCWD, try_path(&top, "run/events"), 1 << 21,
			      &text, &len),
		 0);
	for (char *p = text, *end; (end = strchr(p, '\n')); p = end + 1) {
		CHECK_EQ(*p, '{');
		CHECK_EQ(end[-1], '}');
		lines++;
	}
	CHECK_EQ(lines, N * EACH);
	dv_store_release(&d, true);
	close_top();
}

/* The next event's word; "" for none yet. Static. */
static const char *next_event(struct dv_sandbox_events *events)
{
	static struct dv_sandbox_event e;
	struct dv_err err = DV_ERR_INIT;
	int r = dv_sandbox_events_next(events, &e, &err);

	CHECK_STR(err.msg, "");
	CHECK(r == 0 || r == DV_MORE || r == DV_EOF);
	return r == 0 ? e.event : "";
}

static bool is_readable(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, 0) == 1;
}

static void put(int fd, const char *text)
{
	CHECK_EQ(dv_write_full(fd, text, strlen(text)), 0);
}

TEST(events_are_followed_over_files_that_are_turned)
{
	struct dv_sandbox_events_opts o = DV_SANDBOX_EVENTS_INIT;
	struct dv_sandbox_events *events;
	struct dv_kept_dirs d;
	const char *now, *last;
	int old;

	open_top();
	o.follow = true;
	CHECK_EQ(dv_sandbox_events_open(&events, &o, NULL), 0);
	CHECK_STR(next_event(events), "");
	d = claimed(NULL, "web");
	now = try_path(&top, "run/events");
	last = try_path(&top, "run/events.1");
	dv_store_event(&d, "one", "");
	CHECK(is_readable(dv_sandbox_events_fd(events)));
	CHECK_STR(next_event(events), "one");
	CHECK_STR(next_event(events), "");
	CHECK(!is_readable(dv_sandbox_events_fd(events)));
	/* A line that comes in two parts. */
	old = open(now, O_WRONLY | O_APPEND | O_CLOEXEC);
	put(old, "{\"time\":\"2024-01-01T00:00:00.");
	CHECK_STR(next_event(events), "");
	put(old, "000000000Z\",\"id\":\"0123456789abcdef\","
		 "\"name\":\"\",\"event\":\"two\"}\n");
	CHECK_STR(next_event(events), "two");
	/* A writer that had the file open when it was turned. */
	CHECK_EQ(rename(now, last), 0);
	dv_store_event(&d, "three", "");
	CHECK_STR(next_event(events), "three");
	put(old, "{\"time\":\"2024-01-01T00:00:00.000000000Z\","
		 "\"id\":\"0123456789abcdef\",\"name\":\"\","
		 "\"event\":\"late\"}\n");
	CHECK(is_readable(dv_sandbox_events_fd(events)));
	CHECK_STR(next_event(events), "late");
	dv_close(old);
	/* Turned twice between two looks. */
	dv_store_event(&d, "four", "");
	CHECK_EQ(rename(now, last), 0);
	dv_store_event(&d, "five", "");
	CHECK_EQ(rename(now, last), 0);
	dv_store_event(&d, "six", "\"code\":1,\"why\":\"x\"");
	CHECK(is_readable(dv_sandbox_events_fd(events)));
	CHECK_STR(next_event(events), "four");
	CHECK_STR(next_event(events), "five");
	CHECK_STR(next_event(events), "six");
	CHECK_STR(next_event(events), "");
	dv_sandbox_events_free(events);
	/* Whoever comes later reads what is kept, and ends. */
	CHECK_EQ(dv_sandbox_events_open(&events, NULL, NULL), 0);
	CHECK_STR(next_event(events), "five");
	CHECK_STR(next_event(events), "six");
	CHECK_STR(next_event(events), "");
	CHECK_EQ(dv_sandbox_events_fd(events), -1);
	dv_sandbox_events_free(events);
	dv_store_release(&d, true);
	close_top();
}

TEST(events_since_a_time)
{
	struct dv_sandbox_events_opts o = DV_SANDBOX_EVENTS_INIT;
	struct dv_sandbox_events *events;
	struct dv_sandbox_event e;
	struct dv_kept_dirs d;

	open_top();
	d = claimed(NULL, "web");
	dv_store_event(&d, "one", "\"code\":1,\"why\":\"x y\"");
	CHECK_EQ(dv_sandbox_events_open(&events, &o, NULL), 0);
	CHECK_EQ(dv_sandbox_events_next(events, &e, NULL), 0);
	CHECK_STR(e.name, "web");
	CHECK_STR(e.id, d.home.id);
	CHECK_STR(e.detail, "code=1 why=x y");
	CHECK(strstr(e.json, "\"code\":1") != NULL);
	o.since_unix_ns = e.unix_ns;
	dv_sandbox_events_free(events);
	CHECK_EQ(dv_sandbox_events_open(&events, &o, NULL), 0);
	CHECK_STR(next_event(events), "one");
	dv_sandbox_events_free(events);
	o.since_unix_ns++;
	CHECK_EQ(dv_sandbox_events_open(&events, &o, NULL), 0);
	CHECK_STR(next_event(events), "");
	dv_sandbox_events_free(events);
	o.size = 1;
	CHECK_EQ(dv_sandbox_events_open(&events, &o, NULL), -EINVAL);
	dv_store_release(&d, true);
	close_top();
}

/* ---- who is behind a socket
 * --------------------------------------------------- */

static int listen_at(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	dv_fmt(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	CHECK_EQ(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	CHECK_EQ(listen(fd, 8), 0);
	return fd;
}

static int dial(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	dv_fmt(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	CHECK_EQ(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

TEST(prove_believes_the_keeper_and_nobody_else)
{
	struct dv_err err = DV_ERR_INIT;
	dv_autofree char *text = NULL;
	struct dv_kept_dirs d;
	char path[220], id[DV_ID_LEN + 1], *p;
	size_t len;
	int fd, sock, status, go[2];
	pid_t pid;

	open_top();
	d = claimed(NULL, "web");
	memcpy(id, d.home.id, sizeof(id));
	CHECK_EQ(dv_store_sock(id, path, sizeof(path), NULL), 0);
	sock = listen_at(path);
	fd = dial(path);
	CHECK_EQ(dv_store_prove(id, fd, &err), -ESRCH); /* it says nothing */
	CHECK_EQ(dv_store_identity_write(&d, NULL), 0);
	CHECK_EQ(dv_store_prove(id, fd, NULL), 0);
	CHECK_EQ(dv_store_prove("0123456789abcdef", fd, NULL), -ESRCH);

	/* Another time of start: the pid was used again. */
	CHECK_EQ(dv_read_file(d.home.dirfd, "identity", 4096, &text, &len), 0);
	p = strstr(text, "\"start\":");
	CHECK(p != NULL);
	p += strlen("\"start\":");
	*p = *p == '1' ? '2' : '1';
	put_file(in_dir("run", id, "identity"), text);
	CHECK_EQ(dv_store_prove(id, fd, &err), -EPERM);
	CHECK(strstr(err.msg, "same pid") != NULL);
	CHECK_EQ(err.code, DV_DENIED);
	put_file(in_dir("run", id, "identity"), "[]");
	CHECK_EQ(dv_store_prove(id, fd, &err), -EBADMSG);
	CHECK_EQ(dv_store_identity_write(&d, NULL), 0);
	CHECK_EQ(dv_store_prove(id, fd, NULL), 0);
	dv_close(fd);
	dv_close(sock);
	CHECK_EQ(unlink(path), 0);

	/* A process that listens in its place; then one that has gone. */
	CHECK_EQ(dv_pipe(go), 0);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	dv_fmt(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	CHECK_EQ(bind(sock, (struct sockaddr *)&sa, sizeof(sa)), 0);
	pid = fork();
	if (pid == 0) {
		char c;

		dv_close(go[1]);
		if (listen(sock, 1) < 0)
			_exit(1);
		(void)dv_read(go[0], &c, 1);
		_exit(0);
	}
	dv_close(go[0]);
	fd = -1;
	for (uint64_t until = dv_now_ns() + UINT64_C(10000000000); fd < 0;) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
			fd = dv_close(fd);
		CHECK(try_again(until));
	}
	err = (struct dv_err)DV_ERR_INIT;
	CHECK_EQ(dv_store_prove(id, fd, &err), -EPERM);
	CHECK(strstr(err.msg, "another pid") != NULL);
	dv_close(go[1]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(dv_store_prove(id, fd, &err), -ESRCH);
	dv_close(fd);
	dv_close(sock);
	dv_store_release(&d, true);
	close_top();
}
