/* SPDX-License-Identifier: MIT */
/*
 * Keepers that do not answer: children that have all a keeper has, but never
 * take a connection.
 */
#include "runtime/store/store_try.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "runtime/client/sandbox.h"

/* How an operation ended, once it has. */
struct told {
	bool ended;
	int r;
	struct dv_err err;
};

static void on_end(void *arg, int r, const struct dv_err *err)
{
	struct told *t = arg;

	t->ended = true;
	t->r = r;
	t->err = *err;
}

static struct dv_how how_told(struct told *t)
{
	struct dv_how how = DV_HOW_INIT;

	*t = (struct told){ .ended = false };
	how.timeout_ms = TRY_MS;
	how.fn = on_end;
	how.arg = t;
	return how;
}

static void await(struct dv_loop *loop, const struct told *t)
{
	while (!t->ended)
		CHECK(dv_loop_dispatch(loop, TRY_MS) >= 0);
}

static struct dv_sandbox *sandbox_on(struct dv_loop *loop, const char *name)
{
	struct dv_sandbox_opts o = DV_SANDBOX_OPTS_INIT;
	struct dv_sandbox *sb;
	struct dv_err err = DV_ERR_INIT;

	o.loop = loop;
	if (dv_sandbox_open(&sb, name, &o, &err) < 0)
		fail_msg("%s", err.msg);
	return sb;
}

/* ---- one that starts ------------------------------------------------------
 */

static void begins(struct try_keeper *k)
{
	k->info.state = DV_STATE_CREATING;
	CHECK_EQ(dv_store_write_state(&k->dirs, &k->info, false, NULL), 0);
}

TEST(keeper_killed_while_it_starts_is_noticed_by_who_waits_for_it)
{
	struct dv_exit exit = { .size = sizeof(exit) };
	struct dv_loop *loop;
	struct dv_sandbox *sb;
	struct dv_how how;
	struct told t;
	pid_t pid;

	try_open_dirs();
	CHECK_EQ(dv_loop_new(&loop), 0);
	pid = try_keeper_child("web", 0, begins);
	sb = sandbox_on(loop, "web");
	how = how_told(&t);
	CHECK_EQ(dv_sandbox_wait(sb, &exit, &how, NULL), 0);
	/* It waits for the keeper's process, too. */
	while (sb->watch_pid < 0)
		CHECK(dv_loop_dispatch(loop, TRY_MS) >= 0);
	CHECK(!t.ended);
	try_kill(pid);
	await(loop, &t);
	CHECK_STR(t.err.msg, "");
	CHECK_EQ(t.r, 0);
	CHECK_EQ(exit.ended_by, DV_ENDED_KEEPER);
	dv_sandbox_free(sb);
	dv_loop_free(loop);
	try_close_dirs();
}

/* ---- one that hangs -------------------------------------------------------
 */

static void listens(struct try_keeper *k)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	k->info.stop_timeout_ms = 0;
	CHECK_EQ(dv_store_write_state(&k->dirs, &k->info, false, NULL), 0);
	CHECK_EQ(dv_store_sock(k->info.id, sa.sun_path, sizeof(sa.sun_path),
			       NULL),
		 0);
	CHECK_EQ(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	CHECK_EQ(listen(fd, 8), 0);
	CHECK_EQ(dv_store_identity_write(&k->dirs, NULL), 0);
}

TEST(keeper_that_hangs_is_not_waited_for_and_killed_by_force)
{
	char id[DV_SANDBOX_ID_LEN + 1];
	struct dv_loop *loop;
	struct dv_sandbox *web, *db;
	struct told stop, remove;
	struct dv_how how;
	pid_t web_pid, db_pid;
	int status;

	try_open_dirs();
	CHECK_EQ(dv_loop_new(&loop), 0);
	web_pid = try_keeper_child("web", 0, listens);
	db_pid = try_keeper_child("db", 0, listens);
	web = sandbox_on(loop, "web");
	db = sandbox_on(loop, "db");
	how = how_told(&stop);
	CHECK_EQ(dv_sandbox_stop(web, NULL, NULL, &how, NULL), 0);
	how = how_told(&remove);
	CHECK_EQ(dv_sandbox_remove(db, true, &how, NULL), 0);

	await(loop, &remove);
	CHECK_STR(remove.err.msg, "");
	CHECK_EQ(remove.r, 0);
	CHECK_EQ(waitpid(db_pid, &status, 0), db_pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK_EQ(dv_store_find("db", id, NULL), -ENOENT);

	await(loop, &stop);
	CHECK_EQ(stop.r, -ETIMEDOUT);
	CHECK_EQ(stop.err.code, DV_DEADLINE);
	CHECK(strstr(stop.err.msg, "did not answer within 10 s") != NULL);
	CHECK_STR(stop.err.hint, "davit rm -f web ends it");
	CHECK_EQ(waitpid(web_pid, &status, WNOHANG), 0);
	try_kill(web_pid);
	dv_sandbox_free(web);
	dv_sandbox_free(db);
	dv_loop_free(loop);
	try_close_dirs();
}

/* It is told so by its lock, though its documents say how it ended. */
static void has_ended(struct try_keeper *k)
{
	listens(k);
	k->info.state = DV_STATE_EXITED;
	k->info.has_exit = true;
	k->info.exit = (struct dv_exit){ .size = sizeof(k->info.exit) };
	CHECK_EQ(dv_store_write_exit(&k->dirs, &k->info, NULL), 0);
	CHECK_EQ(dv_store_write_state(&k->dirs, &k->info, false, NULL), 0);
}

TEST(keeper_that_hangs_after_its_end_is_killed_by_force)
{
	char id[DV_SANDBOX_ID_LEN + 1];
	struct dv_loop *loop;
	struct dv_sandbox *sb;
	struct dv_how how;
	struct told t;
	int status;
	pid_t pid;

	try_open_dirs();
	CHECK_EQ(dv_loop_new(&loop), 0);
	pid = try_keeper_child("web", 0, has_ended);
	sb = sandbox_on(loop, "web");
	how = how_told(&t);
	CHECK_EQ(dv_sandbox_remove(sb, true, &how, NULL), 0);
	await(loop, &t);
	CHECK_STR(t.err.msg, "");
	CHECK_EQ(t.r, 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK_EQ(dv_store_find("web", id, NULL), -ENOENT);
	dv_sandbox_free(sb);
	dv_loop_free(loop);
	try_close_dirs();
}

/* Who it is nobody can prove, and a wrong process is not killed. */
TEST(keeper_that_hangs_while_it_starts_is_told_of_in_time)
{
	struct dv_loop *loop;
	struct dv_sandbox *sb;
	struct dv_how how;
	struct told t;
	char want[80];
	pid_t pid;

	try_open_dirs();
	CHECK_EQ(dv_loop_new(&loop), 0);
	pid = try_keeper_child("web", 0, begins);
	dv_fmt(want, sizeof(want),
	       "its keeper, process %d, did not answer within 5 s", (int)pid);
	sb = sandbox_on(loop, "web");
	how = how_told(&t);
	CHECK_EQ(dv_sandbox_remove(sb, true, &how, NULL), 0);
	await(loop, &t);
	CHECK(strstr(t.err.msg, want) != NULL);
	CHECK(strstr(t.err.hint, "kill -9") != NULL);
	CHECK_EQ(t.r, -ETIMEDOUT);
	CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
	try_kill(pid);
	dv_sandbox_free(sb);
	dv_loop_free(loop);
	try_close_dirs();
}

/* "pause web: cannot pause web: ..." would say it twice. */
TEST(refusal_names_its_operation_once)
{
	struct dv_loop *loop;
	struct dv_sandbox *sb;
	struct dv_how how;
	struct told t;
	pid_t pid;

	try_open_dirs();
	CHECK_EQ(dv_loop_new(&loop), 0);
	pid = try_keeper_child("web", 0, listens);
	sb = sandbox_on(loop, "web");
	how = how_told(&t);
	CHECK_EQ(dv_sandbox_pause(sb, &how, NULL), 0);
	try_kill(pid);
	await(loop, &t);
	CHECK_EQ(t.r, -ESRCH);
	CHECK_STR(t.err.msg, "cannot pause web: it is dead");
	CHECK_STR(t.err.hint, "davit restart web starts it anew");
	dv_sandbox_free(sb);
	dv_loop_free(loop);
	try_close_dirs();
}

TEST(patience_is_the_grace_and_more_if_that_is_known)
{
	struct dv_sandbox_info info = { .size = sizeof(info),
					.stop_timeout_ms = -1 };
	dv_StopRequest m = dv_StopRequest_init_zero;

	CHECK_EQ(dv_sandbox_stop_patience(&info, &m), 0);
	info.stop_timeout_ms = 2500;
	CHECK_EQ(dv_sandbox_stop_patience(&info, &m), 12500);
	m.has_grace_ms = true;
	CHECK_EQ(dv_sandbox_stop_patience(&info, &m), 10000);
	info.stop_timeout_ms = -1;
	m.grace_ms = INT32_MAX;
	CHECK_EQ(dv_sandbox_stop_patience(&info, &m),
		 INT64_C(10000) + INT32_MAX);
}
