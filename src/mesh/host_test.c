/* SPDX-License-Identifier: MIT */
/*
 * Hosts, real ones: this program starts itself. What its roles do as hosts is
 * in the first half.
 */
#include "mesh/host_try.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "engine/proc_try.h"

/* ---- roles ------------------------------------------------------------------
 */

static struct dv_host_self *me;

static struct dv_port *mine;

static void say(const char *text)
{
	dv_port_send_bytes(mine, text, strlen(text), NULL);
}

static void say_errno(int r)
{
	char text[16];

	dv_fmt(text, sizeof(text), "%d", r < 0 ? errno : 0);
	say(text);
}

static void try_to_open(void)
{
	say_errno(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static void try_to_connect(void)
{
	say_errno(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static void try_to_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	say_errno(pid);
}

static void try_to_map_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	say_errno(p == MAP_FAILED ? -1 : 0);
}

static void try_to_execute(void)
{
	char *argv[] = { NULL };

	say_errno(execve("/bin/true", argv, argv));
}

static void try_to_kill_parent(void)
{
	say_errno(kill(getppid(), 0));
}

static void tell_caps(void)
{
	int n = 0;

	for (int cap = 0; cap < 41; cap++)
		n += prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1;
	say(n ? "some" : "none");
}

static void tell_pid(void)
{
	char text[16];

	dv_fmt(text, sizeof(text), "%d", getpid());
	say(text);
}

static void tell_name(void)
{
	char text[32] = "";

	prctl(PR_GET_NAME, text, 0, 0, 0);
	say(text);
}

/* The name says that from now on nothing but SIGKILL ends it. */
#define HANGS "hangs"

static void hang(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	prctl(PR_SET_NAME, HANGS, 0, 0, 0);
	for (;;)
		pause();
}

/* In the kernel, where no signal but SIGKILL ends it: state D. */
static void hang_in_vfork(void)
{
	pid_t self = getpid();
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	if (vfork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (getppid() == self) /* else it has died already */
			pause();
		_exit(0);
	}
}

/* It keeps every descriptor, and does not care. */
static void leave_grandchild(void)
{
	pid_t pid = fork();

	if (pid == 0)
		hang();
	_exit(4);
}

static void log_much(void)
{
	for (int i = 0; i < 5000; i++)
		dv_host_log(me, 2, "%d: %.*s", i, 200,
			    "................................................"
			    "................................................"
			    "................................................"
			    "................................................"
			    "........");
	say("logged");
}

static void finish(void)
{
	dv_host_exit(me, 7);
}

static void die(void)
{
	raise(SIGQUIT); /* sanitizers handle others themselves */
}

static const struct {
	const char *word;
	void (*fn)(void);
} words[] = {
	{ "open", try_to_open },       { "socket", try_to_connect },
	{ "fork", try_to_fork },       { "code", try_to_map_code },
	{ "execute", try_to_execute }, { "kill", try_to_kill_parent },
	{ "caps", tell_caps },         { "pid", tell_pid },
	{ "name", tell_name },         { "hang", hang },
	{ "leave", leave_grandchild }, { "log", log_much },
	{ "finish", finish },          { "die", die },
	{ "vfork", hang_in_vfork },
};

/* A word is an order; anything else comes back. */
static void on_word(struct dv_port *port, struct dv_msg *msg)
{
	const char *data = dv_msg_data(msg);
	size_t len = dv_msg_len(msg);

	for (size_t i = 0; i < DV_ARRAY_LEN(words); i++)
		if (strlen(words[i].word) == len &&
		    memcmp(words[i].word, data, len) == 0) {
			words[i].fn();
			return;
		}
	dv_port_send(port, dv_msg_keep(msg), NULL);
}

static void on_words_ended(struct dv_port *port, const struct dv_port_end *end)
{
	(void)end;
	mine = dv_port_close(port, NULL);
}

static const struct dv_port_ops word_ops = {
	.message = on_word,
	.ended = on_words_ended,
};

static int obey(struct dv_host_self *self, struct dv_msg *message,
		struct dv_err *err)
{
	(void)err;
	me = self;
	mine = dv_host_self_take_port(self);
	dv_port_start(mine, &word_ops, NULL);
	if (message)
		dv_port_send(mine, message, NULL);
	return 0;
}

static int refuse(struct dv_host_self *self, struct dv_msg *message,
		  struct dv_err *err)
{
	(void)self;
	dv_msg_free(message);
	return dv_err_set(err, ENODEV, DV_NOT_FOUND, "nothing to work with");
}

static int exit_early(struct dv_host_self *self, struct dv_msg *message,
		      struct dv_err *err)
{
	(void)self;
	(void)message;
	(void)err;
	fputs("first line\nlast \x1b[31mwords\n", stderr);
	_exit(3);
}

static int later(struct dv_host_self *self, struct dv_msg *message,
		 struct dv_err *err)
{
	obey(self, message, err);
	return DV_MORE; /* and never says so */
}

static void exit_at_once(void)
{
	_exit(5);
}

static void stop_slowly(struct dv_host_self *self, enum dv_host_why why)
{
	(void)self;
	if (why == DV_HOST_ASKED)
		return; /* it does not end by being asked */
	dv_host_exit(self, 0);
}

static void show(struct dv_host_self *self, struct dv_node *dir)
{
	(void)self;
	dv_node_add(dir, "answer", DV_SENS_SAFE, dv_node_unsigned(42, 0));
}

/* The invitation once more, by a duplicate of its descriptor. */
static void join_twice(void)
{
	static const struct dv_mesh_opts opts = { .size = sizeof(opts) };
	static struct dv_loop *loop; /* never freed */
	static struct dv_mesh *mesh;
	struct dv_port *port;

	if (dv_loop_new(&loop) == 0 &&
	    dv_mesh_new(&mesh, loop, &opts, NULL) == 0)
		dv_mesh_join(mesh, dv_fd_dup(3, 3), &port, NULL);
	for (int i = 0; i < 3; i++)
		dv_loop_dispatch(loop, 100);
}

/* It joins, as another node than it was told to be. */
static void be_another(void)
{
	static struct dv_loop *loop; /* never freed */
	static struct dv_mesh *mesh;
	struct dv_port *port;

	if (dv_loop_new(&loop) == 0 &&
	    dv_mesh_new(&mesh, loop, NULL, NULL) == 0)
		dv_mesh_join(mesh, 3, &port, NULL);
	for (;;)
		dv_loop_dispatch(loop, -1);
}

#define ROLE(setup_fn)                                                   \
	{                                                                \
		.size = sizeof(struct dv_host_main), .setup = (setup_fn) \
	}

// clang-format off
const struct try_role try_roles[] = {
	{ "obey", NULL, { .size = sizeof(struct dv_host_main), .setup = obey,
			  .inspect = show } },
	{ "refuse", NULL, ROLE(refuse) },
	{ "exit-early", NULL, ROLE(exit_early) },
	{ "exit-at-once", exit_at_once, ROLE(obey) },
	{ "never-join", hang, ROLE(obey) },
	{ "later", NULL, ROLE(later) },
	{ "join-twice", join_twice, ROLE(obey) },
	{ "another", be_another, ROLE(obey) },
	{ "slow", NULL, { .size = sizeof(struct dv_host_main), .setup = obey,
			  .stop = stop_slowly } },
	{ NULL, NULL, ROLE(obey) },
};
// clang-format on

static const char *const obeys[] = { "obey", NULL };

/* Text of /proc/@pid/@file; owned. */
static char *proc_text(pid_t pid, const char *file)
{
	char path[64], *text = NULL;
	size_t len;

	dv_fmt(path, sizeof(path), "/proc/%d/%s", pid, file);
	CHECK_EQ(dv_read_file(AT_FDCWD, path, 4096, &text, &len), 0);
	return text;
}

/* Tell @h to hang, and wait until it does: the loop is not needed for it any
 * more. The alarm ends what never hangs. */
static void make_hang(struct try_mesh *t, struct try_host *h,
		      struct dv_port *port)
{
	bool hangs = false;

	try_send(port, "hang");
	while (!hangs) {
		dv_autofree char *name =
			proc_text(dv_host_pid(h->host), "comm");

		hangs = strcmp(name, HANGS "\n") == 0;
		CHECK(dv_loop_dispatch(t->loop, 1) >= 0);
	}
}

/* ---- launching
 * ---------------------------------------------------------------- */

TEST(host_launched_is_up_and_answers)
{
	struct try_mesh t;
	struct try_host h;
	struct try_port p;
	struct dv_host_opts opts = try_opts(&h, obeys);

	try_mesh_start(&t);
	opts.message = dv_msg_new(5);
	memcpy(dv_msg_data(opts.message), "first", 5);
	try_launch(&t, &h, &opts);
	try_port_start(&p, dv_host_take_port(h.host));
	/* The port is of use before the host is up. */
	try_send(p.port, "second");
	TRY_UNTIL(&t, h.n_up);
	TRY_UNTIL(&t, p.n == 2);
	CHECK_STR(p.text, "second");
	CHECK(dv_host_is_up(h.host));
	CHECK(dv_hosts_by_pid(t.hosts, dv_host_pid(h.host)) == h.host);
	CHECK(dv_hosts_by_node(t.hosts, dv_host_node(h.host)) == h.host);
	CHECK_STR(try_ask(&t, &p, "name"), "web");
	dv_port_close(p.port, NULL);
	dv_host_stop(h.host, NULL);
	TRY_UNTIL(&t, h.n_ended);
	CHECK_EQ(h.end.status, 0);
	CHECK_EQ(h.end.by, DV_HOST_BY_STOP);
	CHECK_EQ(h.end.err.code, DV_OK);
	CHECK(h.end.up);
	try_mesh_end(&t);
}

TEST(host_that_fails_is_told_once_and_why)
{
	static const struct {
		const char *role, *says;
		int sys, status;
	} rows[] = {
		{ "refuse", "set-up: nothing to work with", ENODEV,
		  DV_HOST_EXIT_FAILED },
		{ "exit-early",
		  "exited with 3 before it was up: last ?[31mwords", ECHILD,
		  3 },
		{ "exit-at-once", "exited with 5 before it joined", ECHILD, 5 },
	};
	struct try_mesh t;

	try_mesh_start(&t);
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		const char *args[] = { rows[i].role, NULL };
		struct try_host h;
		struct dv_host_opts opts = try_opts(&h, args);
		struct dv_err err = DV_ERR_INIT;
		char want[128];

		opts.stderr_to = DV_HOST_STDERR_TAIL;
		try_launch(&t, &h, &opts);
		CHECK_EQ(dv_host_wait_up(h.host, &err), -rows[i].sys);
		dv_fmt(want, sizeof(want), "launch host web: %s", rows[i].says);
		CHECK_STR(err.msg, want);
		TRY_UNTIL(&t, h.n_ended);
		CHECK_EQ(h.n_failed, 1);
		CHECK_EQ(h.n_up, 0);
		CHECK(!h.end.up);
		if (rows[i].sys == ECHILD)
			CHECK_EQ(h.end.status, rows[i].status);
		dv_host_free(h.host);
	}
	try_mesh_end(&t);
}

/* How far it gets in that time is for the machine to say: "not executed" is
 * right, too. True when it failed because it @says, and not before. */
static bool fails_within(struct try_mesh *t, const char *role, uint32_t ms,
			 const char *says)
{
	const char *args[] = { role, NULL };
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, args);
	char want[128];

	opts.launch_ms = ms;
	try_launch(t, &h, &opts);
	TRY_UNTIL(t, h.n_ended);
	CHECK_EQ(h.n_failed, 1);
	CHECK_EQ(h.err.code, DV_DEADLINE);
	CHECK_EQ(h.end.by, DV_HOST_BY_LAUNCH);
	dv_fmt(want, sizeof(want), "launch host web: %s within %u ms", says,
	       ms);
	if (strcmp(h.err.msg, want) != 0)
		return false;
	CHECK_EQ(h.end.signo, SIGKILL);
	return true;
}

TEST(host_not_up_by_the_deadline_is_killed)
{
	static const struct {
		const char *role, *says;
	} rows[] = {
		{ "never-join", "it did not join" },
		{ "later", "its set-up was not complete" },
	};
	struct try_mesh t;

	try_mesh_start(&t);
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		uint32_t ms = 100;

		while (!fails_within(&t, rows[i].role, ms, rows[i].says)) {
			ms *= 3;
			CHECK(ms < 20000);
		}
	}
	try_mesh_end(&t);
}

TEST(host_by_a_program_that_is_none_fails)
{
	static const struct {
		const char *exe;
		int step;
	} rows[] = {
		{ "/bin/true", DV_STEP_NONE },
		{ "/no/such/program", DV_STEP_LOOKUP },
		{ "/etc/passwd", DV_STEP_EXEC },
	};
	struct try_mesh t;

	try_mesh_start(&t);
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct try_host h;
		struct dv_host_opts opts = try_opts(&h, NULL);

		opts.exe = rows[i].exe;
		try_launch(&t, &h, &opts);
		TRY_UNTIL(&t, h.n_ended);
		CHECK_EQ(h.n_failed, 1);
		CHECK_EQ(h.err.step, rows[i].step);
		CHECK_EQ(h.end.pid == 0, rows[i].step != DV_STEP_NONE);
	}
	try_mesh_end(&t);
}

TEST(host_that_joins_twice_does_not_get_up_twice)
{
	static const char *const args[] = { "join-twice", NULL };
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, args);

	try_mesh_start(&t);
	opts.launch_ms = 3000;
	try_launch(&t, &h, &opts);
	TRY_UNTIL(&t, h.n_ended);
	CHECK_EQ(h.n_failed, 1);
	CHECK_EQ(h.n_up, 0);
	try_mesh_end(&t);
}

/* Its node is given to it; which one it is it cannot choose. */
TEST(host_that_says_it_is_another_node_is_cut)
{
	static const char *const args[] = { "another", NULL };
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, args);

	try_mesh_start(&t);
	try_launch(&t, &h, &opts);
	TRY_UNTIL(&t, h.n_ended);
	CHECK_EQ(h.n_failed, 1);
	CHECK_EQ(h.err.code, DV_DENIED);
	CHECK(strstr(h.err.msg, "it is another node than was invited"));
	CHECK_EQ(h.end.signo, SIGKILL);
	CHECK_EQ(h.end.node.hi | h.end.node.lo, 0);
	try_mesh_end(&t);
}

TEST(host_options_that_make_no_sense_are_refused)
{
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts good = try_opts(&h, obeys), opts;
	struct dv_err err = DV_ERR_INIT;

	try_mesh_start(&t);
	opts = good;
	opts.name = "a/b";
	CHECK_EQ(dv_mesh_launch(t.hosts, &opts, &h.host, &err), -EINVAL);
	opts = good;
	opts.size = 8;
	CHECK_EQ(dv_mesh_launch(t.hosts, &opts, &h.host, &err), -EINVAL);
	opts = good;
	opts.profile = 0x40;
	CHECK_EQ(dv_mesh_launch(t.hosts, &opts, &h.host, &err), -EINVAL);
	opts = good;
	opts.again.limit = 1;
	opts.message = dv_msg_new(1);
	CHECK_EQ(dv_mesh_launch(t.hosts, &opts, &h.host, &err), -EINVAL);
	try_mesh_end(&t);
}

TEST(hosts_launched_side_by_side_all_get_up)
{
	enum { N = 20 };
	struct try_host h[N];
	struct try_mesh t;
	unsigned int n_up = 0, n_ended = 0;

	try_mesh_start(&t);
	for (int i = 0; i < N; i++) {
		struct dv_host_opts opts = try_opts(&h[i], obeys);

		try_launch(&t, &h[i], &opts);
	}
	while (n_up < N) {
		CHECK(dv_loop_dispatch(t.loop, -1) >= 0);
		n_up = 0;
		for (int i = 0; i < N; i++) {
			n_up += h[i].n_up;
			CHECK_STR(h[i].err.msg, "");
		}
	}
	for (int i = 0; i < N; i++)
		dv_host_stop(h[i].host, NULL);
	while (n_ended < N) {
		CHECK(dv_loop_dispatch(t.loop, -1) >= 0);
		n_ended = 0;
		for (int i = 0; i < N; i++)
			n_ended += h[i].n_ended;
	}
	try_mesh_end(&t);
}

TEST(host_freed_in_every_state_leaves_nothing)
{
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, obeys);

	try_mesh_start(&t);
	for (int turns = 0; turns < 12; turns++) {
		try_launch(&t, &h, &opts);
		for (int i = 0; i < turns; i++)
			CHECK(dv_loop_dispatch(t.loop, 20) >= 0);
		dv_host_free(h.host);
	}
	try_mesh_end(&t);
	CHECK_EQ(h.n_ended, 0);
}

/* ---- sandboxes
 * -------------------------------------------------------------------- */

/* No file and no process: the parent says which errors it sees. */
TEST(host_locked_computes_and_nothing_else)
{
	static const struct {
		const char *word;
		int sys;
	} rows[] = {
		{ "open", EPERM }, { "socket", EPERM }, { "fork", EPERM },
		{ "code", EPERM }, { "kill", EPERM },
	};
	struct try_mesh t;
	struct try_host h;
	struct try_port p;
	struct dv_host_opts opts = try_opts(&h, obeys);
	char want[16];

	try_mesh_start(&t);
	opts.profile = DV_HOST_LOCKED | DV_HOST_BEST_EFFORT;
	try_up(&t, &h, &opts);
	try_port_start(&p, dv_host_take_port(h.host));
	CHECK_STR(try_ask(&t, &p, "echo"), "echo");
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		dv_fmt(want, sizeof(want), "%d", rows[i].sys);
		CHECK_STR(try_ask(&t, &p, rows[i].word), want);
	}
	CHECK_STR(try_ask(&t, &p, "caps"), geteuid() ? p.text : "none");
	/* It only crashes itself. */
	CHECK_EQ(dv_host_crash(h.host, SIGABRT), 0);
	TRY_UNTIL(&t, h.n_ended);
	CHECK_EQ(h.end.signo, SIGABRT);
	CHECK_EQ(h.end.by, DV_HOST_BY_ITSELF);
	dv_port_close(p.port, NULL);
	try_mesh_end(&t);
}

TEST(host_locked_that_executes_is_killed_and_reported)
{
	struct try_mesh t;
	struct try_host h;
	struct try_port p;
	struct dv_host_opts opts = try_opts(&h, obeys);

	try_mesh_start(&t);
	opts.profile = DV_HOST_LOCKED | DV_HOST_BEST_EFFORT;
	try_up(&t, &h, &opts);
	try_port_start(&p, dv_host_take_port(h.host));
	CHECK_STR(try_ask(&t, &p, "execute"), "");
	TRY_UNTIL(&t, h.n_ended);
	CHECK_EQ(h.end.signo, SIGSYS);
	CHECK_STR(h.end.err.hint, "a system call that its sandbox forbids");
	CHECK_EQ(h.end.pid, p.end.pid);
	dv_port_close(p.port, NULL);
	try_mesh_end(&t);
}

TEST(host_locked_passes_descriptors)
{
	struct try_mesh t;
	struct try_host h;
	struct try_port p;
	struct dv_host_opts opts = try_opts(&h, obeys);
	struct dv_msg *msg = dv_msg_new(2);
	int pipe_fds[2];

	try_mesh_start(&t);
	opts.profile = DV_HOST_LOCKED | DV_HOST_BEST_EFFORT;
	try_up(&t, &h, &opts);
	try_port_start(&p, dv_host_take_port(h.host));
	CHECK_EQ(dv_pipe(pipe_fds), 0);
	memcpy(dv_msg_data(msg), "fd", 2);
	CHECK_EQ(dv_msg_add_fd(msg, pipe_fds[1]), 0);
	CHECK_EQ(dv_port_send(p.port, msg, NULL), 0);
	TRY_UNTIL(&t, p.n);
	CHECK(p.fd >= 0);
	CHECK_EQ(dv_write(p.fd, "x", 1), 1);
	CHECK_EQ(dv_read(pipe_fds[0], p.text, 1), 1);
	dv_close(p.fd);
	dv_close(pipe_fds[0]);
	dv_port_close(p.port, NULL);
	try_mesh_end(&t);
}

/* Where the user may have no namespaces there is nothing to be tested. */
static void up_isolated(struct try_mesh *t, struct try_host *h,
			const struct dv_host_opts *opts)
{
	struct dv_err err = DV_ERR_INIT;

	if (dv_mesh_launch(t->hosts, opts, &h->host, &err) < 0 &&
	    try_no_namespaces(&err)) {
		try_mesh_end(t);
		SKIP("no namespaces for this user");
	}
	CHECK_STR(err.msg, "");
	TRY_UNTIL(t, h->n_up || h->n_failed);
	CHECK_STR(h->err.msg, "");
}

TEST(host_isolated_sees_nothing)
{
	struct try_mesh t;
	struct try_host h;
	struct try_port p;
	struct dv_host_opts opts = try_opts(&h, obeys);
	char want[16];

	try_mesh_start(&t);
	opts.profile = DV_HOST_ISOLATED;
	up_isolated(&t, &h, &opts);
	try_port_start(&p, dv_host_take_port(h.host));
	dv_fmt(want, sizeof(want), "%d", ENOENT);
	CHECK_STR(try_ask(&t, &p, "open"), want);
	CHECK_STR(try_ask(&t, &p, "execute"), want);
	CHECK_STR(try_ask(&t, &p, "fork"), "0");
	CHECK_STR(try_ask(&t, &p, "caps"), "none");
	/* It has a number of its own, and is known by ours. */
	dv_fmt(want, sizeof(want), "%d", dv_host_pid(h.host));
	CHECK(strcmp(try_ask(&t, &p, "pid"), want) != 0);
	dv_host_stop(h.host, NULL);
	TRY_UNTIL(&t, h.n_ended);
#ifndef __SANITIZE_ADDRESS__ /* which misses /proc when it ends */
	CHECK_EQ(h.end.status, 0);
#endif
	dv_port_close(p.port, NULL);
	try_mesh_end(&t);
}

TEST(host_isolated_and_locked_is_both)
{
	struct try_mesh t;
	struct try_host h;
	struct try_port p;
	struct dv_host_opts opts = try_opts(&h, obeys);
	char want[16];

	try_mesh_start(&t);
	opts.profile = DV_HOST_ISOLATED | DV_HOST_LOCKED | DV_HOST_BEST_EFFORT;
	up_isolated(&t, &h, &opts);
	try_port_start(&p, dv_host_take_port(h.host));
	dv_fmt(want, sizeof(want), "%d", EPERM);
	CHECK_STR(try_ask(&t, &p, "open"), want);
	CHECK_STR(try_ask(&t, &p, "fork"), want);
	dv_port_close(p.port, NULL);
	try_mesh_end(&t);
}

static int add_to_plan(struct dv_host *host, struct dv_host_setup *setup,
		       struct dv_err *err)
{
	(void)host;
	(void)err;
	dv_host_setup_rlimit(setup, RLIMIT_CORE, 0, 0);
	dv_host_setup_allow(setup, SYS_openat);
	return 0;
}

TEST(host_with_an_allowance_is_stopped_by_landlock)
{
	struct try_mesh t;
	struct try_host h;
	struct try_port p;
	struct dv_host_opts opts = try_opts(&h, obeys);
	struct dv_err err = DV_ERR_INIT;
	char want[16];

	try_mesh_start(&t);
	opts.profile = DV_HOST_LOCKED;
	opts.apply = add_to_plan;
	if (dv_mesh_launch(t.hosts, &opts, &h.host, &err) == -EOPNOTSUPP) {
		try_mesh_end(&t);
		SKIP("no landlock in this kernel");
	}
	TRY_UNTIL(&t, h.n_up);
	try_port_start(&p, dv_host_take_port(h.host));
	dv_fmt(want, sizeof(want), "%d", EACCES);
	CHECK_STR(try_ask(&t, &p, "open"), want);
	dv_port_close(p.port, NULL);
	try_mesh_end(&t);
}

static int add_too_much(struct dv_host *host, struct dv_host_setup *setup,
			struct dv_err *err)
{
	(void)host;
	(void)err;
	dv_host_setup_fd(setup, 0, 3);
	return 0;
}

TEST(host_with_a_setup_that_cannot_be_had_is_not_launched)
{
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, obeys);
	struct dv_err err = DV_ERR_INIT;

	try_mesh_start(&t);
	opts.apply = add_too_much;
	CHECK_EQ(dv_mesh_launch(t.hosts, &opts, &h.host, &err), -EINVAL);
	CHECK_EQ(err.step, DV_STEP_CONFIG);
	try_mesh_end(&t);
}

/* ---- ends
 * ------------------------------------------------------------------------- */

TEST(host_end_reaches_everyone_who_waits)
{
	struct seen {
		struct dv_host_waiter w;
		unsigned int n;
	};
	struct try_mesh t;
	struct try_host h;
	struct try_port p;
	struct dv_host_opts opts = try_opts(&h, obeys);

	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	try_port_start(&p, dv_host_take_port(h.host));
	try_send(p.port, "die");
	TRY_UNTIL(&t, h.n_ended);
	CHECK_EQ(h.end.signo, SIGQUIT);
	CHECK_EQ(h.end.status, -1);
	CHECK(h.end.up);
	CHECK(h.end.usage.ru_maxrss > 0);
	CHECK_EQ(h.end.err.code, DV_ABORTED);
	/* The port says who it was, and this is its record. */
	TRY_UNTIL(&t, p.n_ended);
	CHECK_EQ(p.end.pid, h.end.pid);
	CHECK(dv_hosts_by_node(t.hosts, p.end.culprit) == h.host);
	CHECK(dv_host_last_exit(h.host)->signo == SIGQUIT);
	dv_port_close(p.port, NULL);
	try_mesh_end(&t);
}

static unsigned int n_waiters;
static int waiter_signo;

static void on_waited(struct dv_host_waiter *w, const struct dv_host_exit *end)
{
	(void)w;
	n_waiters++;
	waiter_signo = end->signo;
}

TEST(host_waiters_before_and_after_the_end_are_told)
{
	struct dv_host_waiter w[4] = { 0 };
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, obeys);

	n_waiters = 0;
	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(dv_host_wait(h.host, &w[i], on_waited), 0);
	dv_host_unwait(&w[1]);
	CHECK_EQ(dv_host_signal(h.host, SIGUSR1), 0);
	TRY_UNTIL(&t, h.n_ended);
	CHECK_EQ(n_waiters, 2);
	CHECK_EQ(waiter_signo, SIGUSR1);
	CHECK_EQ(dv_host_wait(h.host, &w[3], on_waited), 0);
	TRY_UNTIL(&t, n_waiters == 3);
	CHECK_EQ(dv_host_signal(h.host, SIGUSR1), -ESRCH);
	try_mesh_end(&t);
}

TEST(host_crash_by_pid_spares_us)
{
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, obeys);
	struct dv_err err = DV_ERR_INIT;

	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	CHECK_EQ(dv_hosts_crash(t.hosts, getpid(), SIGABRT, &err), -EINVAL);
	CHECK_EQ(dv_hosts_crash(t.hosts, 1, SIGABRT, &err), -ESRCH);
	CHECK_EQ(dv_hosts_crash(t.hosts, dv_host_pid(h.host), SIGFPE, &err), 0);
	TRY_UNTIL(&t, h.n_ended);
	CHECK_EQ(h.end.signo, SIGFPE);
	try_mesh_end(&t);
}

TEST(host_that_hangs_is_pushed_until_it_ends)
{
	static const struct dv_host_patience quick = { 50, 50, 20000 };
	struct try_mesh t;
	struct try_host h;
	struct try_port p;
	struct dv_host_opts opts = try_opts(&h, obeys);

	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	try_port_start(&p, dv_host_take_port(h.host));
	make_hang(&t, &h, p.port);
	dv_host_stop(h.host, &quick);
	TRY_UNTIL(&t, h.n_ended);
	CHECK_EQ(h.end.signo, SIGKILL);
	CHECK_EQ(h.end.by, DV_HOST_BY_KILL);
	dv_port_close(p.port, NULL);
	try_mesh_end(&t);
}

TEST(host_that_is_not_polite_ends_by_sigterm)
{
	static const struct dv_host_patience quick = { 50, 20000, 20000 };
	static const char *const args[] = { "slow", NULL };
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, args);

	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	dv_host_stop(h.host, &quick);
	TRY_UNTIL(&t, h.n_ended);
	CHECK_EQ(h.end.signo, SIGTERM);
	CHECK_EQ(h.end.by, DV_HOST_BY_TERM);
	try_mesh_end(&t);
}

TEST(host_that_leaves_has_its_own_status)
{
	struct try_mesh t;
	struct try_host h;
	struct try_port p;
	struct dv_host_opts opts = try_opts(&h, obeys);

	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	try_port_start(&p, dv_host_take_port(h.host));
	try_send(p.port, "finish");
	TRY_UNTIL(&t, h.n_ended);
	CHECK_EQ(h.end.status, 7);
	CHECK_EQ(h.end.by, DV_HOST_BY_ITSELF);
	CHECK_STR(h.end.err.msg, "host web: exited with 7");
	dv_port_close(p.port, NULL);
	try_mesh_end(&t);
}

/* The grandchild holds the socket: its end is not waited for. */
TEST(host_isolated_takes_its_children_along)
{
	struct try_mesh t;
	struct try_host h;
	struct try_port p;
	struct dv_host_opts opts = try_opts(&h, obeys);

	try_mesh_start(&t);
	opts.profile = DV_HOST_ISOLATED;
	up_isolated(&t, &h, &opts);
	try_port_start(&p, dv_host_take_port(h.host));
	try_send(p.port, "leave");
	TRY_UNTIL(&t, h.n_ended && p.n_ended);
	CHECK_EQ(h.end.status, 4);
	dv_port_close(p.port, NULL);
	try_mesh_end(&t);
}

struct done {
	bool called;
	struct dv_hosts_left left;
};

static void on_shut_down(struct dv_hosts *hosts, void *arg,
			 const struct dv_hosts_left *left)
{
	struct done *d = arg;

	(void)hosts;
	d->called = true;
	d->left = *left;
}

/* Each is given all the time that it needs, and no more of what it does not
 * listen to: who is not asked any more is next. */
TEST(hosts_shutdown_ends_all_and_counts_how)
{
	static const struct dv_host_patience patient = { 20000, 20000, 20000 };
	static const struct dv_host_patience unasked = { 1, 20000, 20000 };
	static const struct dv_host_patience killed = { 1, 1, 20000 };
	static const char *const slow[] = { "slow", NULL };
	struct done done = { false, { 0 } };
	struct try_host h[3];
	struct try_port p;
	struct try_mesh t;

	try_mesh_start(&t);
	for (int i = 0; i < 3; i++) {
		struct dv_host_opts opts =
			try_opts(&h[i], i == 1 ? slow : obeys);

		try_up(&t, &h[i], &opts);
	}
	try_port_start(&p, dv_host_take_port(h[2].host));
	make_hang(&t, &h[2], p.port);
	CHECK_EQ(dv_hosts_shutdown(t.hosts, &patient, on_shut_down, &done), 0);
	TRY_UNTIL(&t, h[0].n_ended);
	CHECK_EQ(h[1].n_ended + h[2].n_ended, 0);
	dv_host_stop(h[1].host, &unasked);
	TRY_UNTIL(&t, h[1].n_ended);
	CHECK(!done.called);
	dv_host_stop(h[2].host, &killed);
	TRY_UNTIL(&t, done.called);
	CHECK_EQ(done.left.n_asked, 1);
	CHECK_EQ(done.left.n_term, 1);
	CHECK_EQ(done.left.n_killed, 1);
	CHECK_EQ(done.left.n_left, 0);
	dv_port_close(p.port, NULL);
	try_mesh_end(&t);
}

TEST(hosts_shutdown_pushes_when_its_patience_is_over)
{
	static const struct dv_host_patience quick = { 50, 50, 20000 };
	struct done done = { false, { 0 } };
	struct try_mesh t;
	struct try_host h;
	struct try_port p;
	struct dv_host_opts opts = try_opts(&h, obeys);

	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	try_port_start(&p, dv_host_take_port(h.host));
	make_hang(&t, &h, p.port);
	CHECK_EQ(dv_hosts_shutdown(t.hosts, &quick, on_shut_down, &done), 0);
	TRY_UNTIL(&t, done.called);
	CHECK_EQ(h.n_ended, 1);
	CHECK_EQ(done.left.n_killed, 1);
	CHECK_EQ(done.left.n_left, 0);
	dv_port_close(p.port, NULL);
	try_mesh_end(&t);
}

TEST(hosts_shutdown_of_none_is_done_at_once)
{
	struct done done = { false, { 0 } };
	struct try_mesh t;

	try_mesh_start(&t);
	CHECK_EQ(dv_hosts_shutdown(t.hosts, NULL, on_shut_down, &done), 0);
	CHECK(!done.called);
	TRY_UNTIL(&t, done.called);
	try_mesh_end(&t);
}

/* ---- again
 * -------------------------------------------------------------------------- */

TEST(host_that_fails_is_launched_again_up_to_the_limit)
{
	static const char *const args[] = { "exit-at-once", NULL };
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, args);

	try_mesh_start(&t);
	opts.again.limit = 2;
	opts.again.delay_ms = 1;
	try_launch(&t, &h, &opts);
	TRY_UNTIL(&t, h.n_ended == 3);
	CHECK_EQ(h.n_failed, 3);
	CHECK_EQ(h.end.generation, 2);
	CHECK_EQ(dv_loop_dispatch(t.loop, 50), 0); /* and not once more */
	try_mesh_end(&t);
}

static struct dv_msg *make_message(struct dv_host *host)
{
	struct dv_msg *msg = dv_msg_new(3);

	(void)host;
	if (msg)
		memcpy(dv_msg_data(msg), "new", 3);
	return msg;
}

TEST(host_launched_again_has_a_port_and_a_message_again)
{
	struct dv_host_ops ops = try_host_ops;
	struct try_mesh t;
	struct try_host h;
	struct try_port p;
	struct dv_host_opts opts = try_opts(&h, obeys);

	try_mesh_start(&t);
	ops.message = make_message;
	opts.ops = &ops;
	opts.again.limit = 1;
	opts.again.delay_ms = 1;
	for (unsigned int i = 1; i <= 2; i++) {
		if (i == 1)
			try_launch(&t, &h, &opts);
		TRY_UNTIL(&t, h.n_up == i);
		try_port_start(&p, dv_host_take_port(h.host));
		TRY_UNTIL(&t, p.n == 1);
		CHECK_STR(p.text, "new");
		CHECK_EQ(dv_host_signal(h.host, SIGKILL), 0);
		TRY_UNTIL(&t, h.n_ended == i);
		CHECK_EQ(h.end.signo, SIGKILL);
		dv_port_close(p.port, NULL);
	}
	try_mesh_end(&t);
}

/* ---- its parent's end
 * ------------------------------------------------------------------ */

enum { N_OF_ROOT = 5 };

/* A root of its own, which is killed: a process must not outlive it. */
static void be_root(int report)
{
	/* Some do not even look at their loop any more. */
	static const struct {
		uint32_t profile;
		const char *word;
	} rows[N_OF_ROOT] = {
		{ DV_HOST_PLAIN, "pid" },
		{ DV_HOST_LOCKED | DV_HOST_BEST_EFFORT, "pid" },
		{ DV_HOST_PLAIN, "hang" },
		{ DV_HOST_PLAIN, "vfork" },
		{ DV_HOST_PLAIN, "hang" },
	};
	struct try_host h[N_OF_ROOT];
	struct try_mesh t;

	try_mesh_start(&t);
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_host_opts opts = try_opts(&h[i], obeys);
		pid_t pid;

		opts.profile = rows[i].profile;
		if (dv_mesh_launch(t.hosts, &opts, &h[i].host, NULL) < 0 ||
		    dv_host_wait_up(h[i].host, NULL) < 0)
			_exit(1);
		dv_port_send_bytes(dv_host_take_port(h[i].host), rows[i].word,
				   strlen(rows[i].word), NULL);
		pid = dv_host_pid(h[i].host);
		dv_write_full(report, &pid, sizeof(pid));
	}
	for (;;)
		dv_loop_dispatch(t.loop, -1);
}

/* Until /proc says that @pid is in @state; the alarm ends what never is. */
static void wait_state(pid_t pid, char state)
{
	for (char is = 0; is != state; sched_yield()) {
		dv_autofree char *text = proc_text(pid, "stat");
		const char *end = strrchr(text, ')');

		CHECK(end && end[1]);
		is = end[2];
	}
}

TEST(host_does_not_outlive_a_root_that_is_killed)
{
	int report[2], fds[N_OF_ROOT];
	pid_t root, pids[N_OF_ROOT];

	CHECK_EQ(dv_pipe(report), 0);
	root = fork();
	if (root == 0)
		be_root(report[1]);
	CHECK(root > 0);
	for (int i = 0; i < N_OF_ROOT; i++) {
		CHECK_EQ(dv_read_full(report[0], &pids[i], sizeof(pids[i])),
			 sizeof(pids[i]));
		fds[i] = dv_sys_pidfd_open(pids[i]);
		CHECK(fds[i] >= 0);
	}
	wait_state(pids[3], 'D');
	CHECK_EQ(kill(root, SIGKILL), 0);
	CHECK_EQ(waitpid(root, NULL, 0), root);
	for (int i = 0; i < N_OF_ROOT; i++) {
		CHECK(try_gone(fds[i]));
		dv_close(fds[i]);
	}
	dv_close(report[0]);
	dv_close(report[1]);
}

/* ---- the log
 * ----------------------------------------------------------------------------
 */

TEST(host_log_that_is_too_fast_is_counted)
{
	struct try_mesh t;
	struct try_host h;
	struct try_port p;
	struct dv_host_opts opts = try_opts(&h, obeys);

	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	try_port_start(&p, dv_host_take_port(h.host));
	CHECK_STR(try_ask(&t, &p, "log"), "logged");
	/* As soon as there is room again, what was lost is told. */
	TRY_UNTIL(&t, t.n_dropped > 0);
	CHECK_EQ(t.n_logs - 1 + t.n_dropped, 5000);
	CHECK_STR(t.log_name, "web");
	dv_port_close(p.port, NULL);
	try_mesh_end(&t);
}

/* ---- inspect
 * ------------------------------------------------------------------------------
 */

static struct dv_node *shown;

static void on_shown(void *arg, struct dv_node *node)
{
	(void)arg;
	shown = node;
}

TEST(host_shows_what_it_adds)
{
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, obeys);
	struct dv_node *at;

	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	CHECK_EQ(dv_host_inspect(h.host, "", DV_INSPECT_ALL, NULL,
				 DV_SENS_SENSITIVE, -1, on_shown, NULL),
		 0);
	TRY_UNTIL(&t, shown);
	at = dv_node_find(shown, "answer");
	CHECK(at != NULL);
	CHECK_EQ(dv_node_get_unsigned(at), 42);
	shown = dv_node_free(shown);
	CHECK_EQ(dv_host_inspect(h.host, "answer", 0, NULL, DV_SENS_SAFE, -1,
				 on_shown, NULL),
		 0);
	TRY_UNTIL(&t, shown);
	CHECK_EQ(dv_node_get_unsigned(shown), 42);
	shown = dv_node_free(shown);
	try_mesh_end(&t);
}

TEST(host_that_hangs_leaves_its_tree_unresolved)
{
	struct try_mesh t;
	struct try_host h;
	struct try_port p;
	struct dv_host_opts opts = try_opts(&h, obeys);

	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	try_port_start(&p, dv_host_take_port(h.host));
	make_hang(&t, &h, p.port);
	CHECK_EQ(dv_host_inspect(h.host, "", DV_INSPECT_ALL, NULL,
				 DV_SENS_SENSITIVE, 50, on_shown, NULL),
		 0);
	TRY_UNTIL(&t, shown);
	CHECK_EQ(dv_node_get_error(shown), DV_NODE_UNRESOLVED);
	shown = dv_node_free(shown);
	dv_port_close(p.port, NULL);
	try_mesh_end(&t);
}

/* ---- descriptors
 * -------------------------------------------------------------------------- */

/* With stdio closed, or stderr where the invitation is to be. In a child: our
 * own numbers are the tests'. */
static void be_odd_root(int which)
{
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, obeys);

	if (which == 0 || which == 1) {
		close(0);
		close(1);
		if (which == 1)
			close(2);
	} else {
		int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

		dup2(fd, which);
		opts.stderr_to = DV_HOST_STDERR_FD;
		opts.stderr_fd = which;
	}
	if (dv_loop_new(&t.loop) < 0)
		_exit(2);
	static const struct dv_mesh_opts mopts = { .size = sizeof(mopts) };
	if (dv_mesh_new(&t.mesh, t.loop, &mopts, NULL) < 0 ||
	    dv_hosts_new(&t.hosts, t.mesh, NULL, NULL, NULL) < 0 ||
	    dv_mesh_launch(t.hosts, &opts, &h.host, NULL) < 0)
		_exit(3);
	_exit(dv_host_wait_up(h.host, NULL) < 0 ? 4 : 0);
}

TEST(host_descriptors_are_right_whatever_numbers_we_have)
{
	for (int which = 0; which < 6; which++) {
		pid_t pid = fork();
		int status = -1;

		if (pid == 0)
			be_odd_root(which);
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK_EQ(status, 0);
	}
}

/* ---- invitations
 * ----------------------------------------------------------------------------
 */

TEST(host_main_without_or_with_a_malformed_invitation)
{
	static const struct dv_host_main host = { .size = sizeof(host) };
	static const struct {
		const char *value;
		int r;
	} rows[] = {
		{ "", -EINVAL },
		{ "x", -EINVAL },
		{ "-1", -EINVAL },
		{ "99999999999", -EINVAL },
		{ "1000", -EBADF },
		{ "3,", -EINVAL },
		{ "3,0123456789abcdef0123456789abcde", -EINVAL },
		{ "3,00000000000000000000000000000000", -EINVAL },
		{ "1000,0123456789abcdef0123456789abcdef", -EBADF },
	};
	struct dv_err err = DV_ERR_INIT;
	int fds[2];
	char number[16];

	CHECK_EQ(dv_mesh_host_main(0, NULL, &host, &err), 0);
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		setenv("DAVIT_MESH_HOST", rows[i].value, 1);
		CHECK_EQ(dv_mesh_host_main(0, NULL, &host, &err), rows[i].r);
		CHECK(strstr(err.msg, "DAVIT_MESH_HOST") != NULL);
		CHECK(getenv("DAVIT_MESH_HOST") == NULL);
	}
	CHECK_EQ(dv_pipe(fds), 0);
	dv_fmt(number, sizeof(number), "%d", fds[0]);
	setenv("DAVIT_MESH_HOST", number, 1);
	CHECK_EQ(dv_mesh_host_main(0, NULL, &host, &err), -ENOTSOCK);
	dv_close(fds[0]);
	dv_close(fds[1]);
}
