/* SPDX-License-Identifier: MIT */
/*
 * Keepers in this process, and one that is left behind by a child of it.
 */
#include "runtime/keeper/keeper_try.h"

#include <poll.h>
#include <sys/socket.h>

#include "runtime/keeper/io.h"

static int last_line(const char *id, const char *name, char *out, size_t size)
{
	dv_autofree char *text = NULL;
	char path[300];
	size_t len;
	int r;

	dv_fmt(path, sizeof(path), "state/%s/%s", id, name);
	r = dv_read_file(AT_FDCWD, try_path(&try_top, path), 1 << 20, &text,
			 &len);
	if (r == 0)
		dv_fmt(out, size, "%s", text);
	return r;
}

/* ---- in the foreground -----------------------------------------------------
 */

static int start(struct dv_keeper **kp, struct dv_loop *loop, const char *name,
		 const char *script, struct dv_err *err)
{
	struct dv_sandbox_keep keep = DV_SANDBOX_KEEP_INIT;
	struct dv_spec *spec = try_keeper_spec(script);
	int r;

	keep.name = name;
	r = dv_keeper_start(kp, loop, spec, &keep, err);
	dv_spec_free(spec);
	return r;
}

TEST(keeper_freed_while_its_sandbox_lives_ends_it_and_says_so)
{
	struct dv_sandbox_info info;
	struct dv_err err = DV_ERR_INIT;
	struct dv_loop *loop;
	struct dv_keeper *k;
	char id[DV_SANDBOX_ID_LEN + 1];

	try_open();
	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(start(&k, loop, "web", "exec sleep 1000", &err), 0);
	memcpy(id, k->info.id, sizeof(id));
	CHECK_EQ(dv_store_look("0123456789abcdef", &info, NULL), -ENOENT);
	CHECK_EQ(dv_store_look(id, &info, &err), 0);
	CHECK_EQ(info.state, DV_STATE_RUNNING);
	CHECK_EQ(info.keeper_pid, getpid());
	dv_sandbox_info_free(&info);
	CHECK(dv_keeper_free(k) == NULL);
	CHECK_EQ(dv_store_look(id, &info, &err), 0);
	CHECK_EQ(info.state, DV_STATE_EXITED);
	CHECK_EQ(info.exit.ended_by, DV_ENDED_STOP);
	CHECK_STR(info.name, "web");
	dv_sandbox_info_free(&info);
	CHECK_EQ(dv_store_remove(id, &err), 0);
	dv_loop_free(loop);
	try_close();
}

TEST(keeper_of_a_taken_name_starts_nothing)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_loop *loop;
	struct dv_keeper *k, *second = NULL;
	char id[DV_SANDBOX_ID_LEN + 1];

	try_open();
	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(start(&k, loop, "web", "exec sleep 1000", &err), 0);
	memcpy(id, k->info.id, sizeof(id));
	CHECK_EQ(start(&second, loop, "web", "exec sleep 1000", &err), -EEXIST);
	CHECK(!second && strstr(err.msg, "web"));
	dv_keeper_free(k);
	CHECK_EQ(dv_store_remove(id, &err), 0);
	dv_loop_free(loop);
	try_close();
}

TEST(keeper_without_a_name_has_a_socket_only_when_it_lives_on)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_loop *loop;
	struct dv_keeper *k;
	char path[300];

	try_open();
	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(start(&k, loop, NULL, "exec sleep 1000", &err), 0);
	CHECK(!k->door);
	CHECK_EQ(k->dirs.home.dirfd, -1);
	while (!k->door)
		CHECK(dv_loop_dispatch(loop, 20000) > 0);
	dv_fmt(path, sizeof(path), "run/%s/sock", dv_run_id(k->run));
	CHECK_EQ(access(try_path(&try_top, path), F_OK), 0);
	dv_keeper_free(k);
	CHECK_EQ(access(try_path(&try_top, path), F_OK), -1);
	CHECK_EQ(access(try_path(&try_top, "state"), F_OK), -1);
	dv_loop_free(loop);
	try_close();
}

TEST(keeper_without_a_name_that_ends_soon_is_only_a_run)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_exit exit = { .size = sizeof(exit) };
	struct dv_loop *loop;
	struct dv_keeper *k;

	try_open();
	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(start(&k, loop, NULL, "exit 7", &err), 0);
	CHECK_EQ(dv_run_wait(dv_keeper_run(k), 20000, &exit), 0);
	CHECK_EQ(exit.code, 7);
	dv_keeper_free(k);
	dv_loop_free(loop);
	try_close();
}

/* ---- left behind
 * ------------------------------------------------------------- */

struct own {
	struct dv_loop *loop;
	struct dv_keeper *k;
	char id[DV_SANDBOX_ID_LEN + 1];
};

static void own_open(struct own *o, const char *script, bool terminal)
{
	struct dv_err err = DV_ERR_INIT;

	try_open();
	CHECK_EQ(dv_loop_new(&o->loop), 0);
	CHECK_EQ(try_keeper(&o->k, o->loop, script, terminal, &err), 0);
	memcpy(o->id, o->k->info.id, sizeof(o->id));
}

/* Until it is over; what it wrote. */
static void own_end(struct own *o, char *out, size_t size)
{
	while (!o->k->over)
		CHECK(dv_loop_dispatch(o->loop, 20000) > 0);
	CHECK_EQ(last_line(o->id, "log", out, size), 0);
}

static void own_close(struct own *o)
{
	dv_keeper_free(o->k);
	CHECK_EQ(dv_store_remove(o->id, NULL), 0);
	dv_loop_free(o->loop);
	try_close();
}

/* A writer's end of a socket whose other end the keeper has. */
static int writer(struct own *o, bool steal, int want)
{
	int pair[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	CHECK_EQ(dv_keeper_io_input(o->k, pair[1], steal, NULL), want);
	if (want == 0)
		return pair[0];
	close(pair[0]);
	return -1;
}

static void put(int fd, const char *text)
{
	CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static bool hung_up(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);
}

TEST(input_that_is_closed_is_given_up_and_shutdown_is_the_end)
{
	struct own o;
	char text[200];
	int fd;

	own_open(&o, "cat; echo end", false);
	fd = writer(&o, false, 0);
	put(fd, "one\n");
	writer(&o, false, -EBUSY);
	close(fd);
	while (o.k->io->in.from >= 0)
		CHECK(dv_loop_dispatch(o.loop, 20000) > 0);
	CHECK(o.k->io->in.to >= 0); /* the command noticed nothing */
	fd = writer(&o, false, 0);
	put(fd, "two\n");
	CHECK_EQ(shutdown(fd, SHUT_WR), 0);
	own_end(&o, text, sizeof(text));
	CHECK_STR(text, "one\ntwo\nend\n");
	CHECK(hung_up(fd));
	close(fd);
	own_close(&o);
}

TEST(input_is_stolen_by_who_says_so)
{
	struct own o;
	char text[200];
	int first, second;

	own_open(&o, "head -n 1", false);
	first = writer(&o, false, 0);
	second = writer(&o, true, 0);
	CHECK(hung_up(first));
	put(second, "mine\n");
	own_end(&o, text, sizeof(text));
	CHECK_STR(text, "mine\n");
	close(first);
	close(second);
	own_close(&o);
}

TEST(input_of_more_than_a_pipe_holds_arrives_whole)
{
	enum { LINES = 40000 };
	struct own o;
	char text[200], line[16];
	int fd, sent = 0;
	bool shut = false;

	own_open(&o, "sleep 0.2; wc -l", false);
	fd = writer(&o, false, 0);
	while (!o.k->over) {
		dv_fmt(line, sizeof(line), "%011d\n", sent);
		while (sent < LINES &&
		       send(fd, line, 12, MSG_DONTWAIT | MSG_NOSIGNAL) == 12)
			sent++;
		if (sent == LINES && !shut)
			shut = shutdown(fd, SHUT_WR) == 0;
		CHECK(dv_loop_dispatch(o.loop, 20000) > 0);
	}
	own_end(&o, text, sizeof(text));
	CHECK_EQ(strtol(text, NULL, 10), LINES);
	close(fd);
	own_close(&o);
}

TEST(input_of_a_terminal_ends_by_its_veof_and_closing_is_nothing)
{
	struct own o;
	char text[400];
	int fd;

	own_open(&o, "stty -echo; echo on; cat; echo end", true);
	/* The echo is off when it says so. */
	do {
		CHECK(dv_loop_dispatch(o.loop, 20000) > 0);
	} while (last_line(o.id, "log", text, sizeof(text)) < 0 ||
		 !strstr(text, "on"));
	fd = writer(&o, false, 0);
	put(fd, "one\n");
	close(fd);
	while (o.k->io->in.from >= 0)
		CHECK(dv_loop_dispatch(o.loop, 20000) > 0);
	CHECK_EQ(o.k->info.state, DV_STATE_RUNNING);
	fd = writer(&o, false, 0);
	put(fd, "two"); /* not a whole line */
	CHECK_EQ(shutdown(fd, SHUT_WR), 0);
	own_end(&o, text, sizeof(text));
	CHECK_STR(text, "on\r\none\r\ntwoend\r\n");
	close(fd);
	own_close(&o);
}

TEST(resize_of_a_terminal_is_seen_and_of_none_refused)
{
	struct own o;
	char text[400];

	own_open(&o,
		 "trap 'stty size; exit' WINCH; echo on; "
		 "while :; do sleep 0.01; done",
		 true);
	do {
		CHECK(dv_loop_dispatch(o.loop, 20000) > 0);
	} while (last_line(o.id, "log", text, sizeof(text)) < 0 ||
		 !strstr(text, "on"));
	CHECK_EQ(dv_keeper_io_resize(o.k, 65536, 1, NULL), -EINVAL);
	CHECK_EQ(dv_keeper_io_resize(o.k, 33, 44, NULL), 0);
	own_end(&o, text, sizeof(text));
	CHECK(strstr(text, "33 44"));
	CHECK_EQ(dv_keeper_io_resize(o.k, 33, 44, NULL), -ENOTTY);
	CHECK_EQ(dv_keeper_io_input(o.k, -1, false, NULL), -EPIPE);
	own_close(&o);
}

TEST(keeper_stopped_between_two_runs_is_over_and_restart_starts_at_once)
{
	struct dv_err err = DV_ERR_INIT;
	struct own o;
	char text[200];

	own_open(&o, "echo run; exit 1", false);
	o.k->kept.keep.restart = dv_RESTART_ALWAYS;
	while (!o.k->again.loop)
		CHECK(dv_loop_dispatch(o.loop, 20000) > 0);
	CHECK_EQ(o.k->info.state, DV_STATE_CREATING);
	CHECK(!dv_keeper_run(o.k));
	CHECK_EQ(dv_keeper_restart(o.k, 0, -1, &err), 0);
	while (!o.k->run)
		CHECK(dv_loop_dispatch(o.loop, 20000) > 0);
	CHECK_EQ(o.k->info.restarts, 0); /* it was asked for */
	while (!o.k->again.loop)
		CHECK(dv_loop_dispatch(o.loop, 20000) > 0);
	CHECK_EQ(dv_keeper_stop(o.k, 0, -1, &err), 0);
	CHECK_EQ(dv_keeper_stop(o.k, -1, -1, &err), -EINVAL);
	own_end(&o, text, sizeof(text));
	CHECK_STR(text, "run\nrun\n");
	CHECK_EQ(o.k->info.exit.code, 1);
	own_close(&o);
}

/* ---- what it could not do ------------------------------------------------ */

/* What STATEDIR says of a run that begins is tried again, too. */
TEST(begin_that_cannot_be_written_is_written_later)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_keeper *k = NULL;
	struct dv_loop *loop;
	struct stat st;
	uint64_t first;

	try_open();
	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(try_keeper(&k, loop, "read x", false, &err), 0);
	first = k->begun_ns;
	CHECK_EQ(unlinkat(k->dirs.statefd, "state.json", 0), 0);
	CHECK_EQ(mkdirat(k->dirs.statefd, "state.json", 0700), 0);
	CHECK_EQ(dv_keeper_restart(k, 0, 0, &err), 0);
	while (k->begun_ns == first)
		CHECK(dv_loop_dispatch(loop, -1) >= 0);
	/* Who asks how it is now is not told of that. */
	CHECK_EQ(k->unsaved, 0);
	CHECK(k->unbegun < 0);
	CHECK_EQ(unlinkat(k->dirs.statefd, "state.json", AT_REMOVEDIR), 0);
	while (k->unbegun)
		CHECK(dv_loop_dispatch(loop, -1) >= 0);
	CHECK_EQ(fstatat(k->dirs.statefd, "state.json", &st, 0), 0);
	CHECK(S_ISREG(st.st_mode));
	CHECK(!k->save_again.loop);
	k->kept.keep.remove = true;
	dv_keeper_free(k);
	dv_loop_free(loop);
	try_close();
}

TEST(keeper_log_is_bounded_read_by_others_and_made_by_its_first_line)
{
	enum { LINES = 1000 };
	dv_autofree char *text = NULL;
	struct dv_sandbox *sb;
	char out[200];
	struct own o;

	own_open(&o, "exec sleep 1000", false);
	CHECK_EQ(dv_sandbox_open(&sb, o.id, NULL, NULL), 0);
	CHECK_EQ(dv_sandbox_keeper_log(sb, &text, NULL), -ENOENT);
	dv_log(o.k->log, DV_LOG_INFO, "all is well");
	CHECK_EQ(last_line(o.id, "keeper.log", out, sizeof(out)), -ENOENT);
	for (int i = 0; i < LINES; i++)
		dv_log(o.k->log, DV_LOG_ERROR, "line %d:\n%0200d", i, 0);
	CHECK_EQ(last_line(o.id, "keeper.log.1", out, sizeof(out)), 0);
	dv_log(o.k->log, DV_LOG_WARN, "the last");
	CHECK_EQ(dv_sandbox_keeper_log(sb, &text, NULL), 0);
	CHECK(strlen(text) < 40000);
	CHECK(strstr(text, "Z warning: the last\n"));
	CHECK(!strstr(text, "\n0000"));
	dv_sandbox_free(sb);
	own_close(&o);
}

TEST(keeper_log_turned_over_by_its_last_line_is_still_read)
{
	dv_autofree char *text = NULL;
	struct dv_sandbox *sb;
	struct own o;
	char out[100];

	own_open(&o, "exec sleep 1000", false);
	CHECK_EQ(dv_sandbox_open(&sb, o.id, NULL, NULL), 0);
	do
		dv_log(o.k->log, DV_LOG_ERROR, "%0900d", 0);
	while (last_line(o.id, "keeper.log", out, sizeof(out)) == 0);
	CHECK_EQ(dv_sandbox_keeper_log(sb, &text, NULL), 0);
	CHECK(strlen(text) > 30000);
	dv_sandbox_free(sb);
	own_close(&o);
}
