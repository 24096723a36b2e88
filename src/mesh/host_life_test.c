/* SPDX-License-Identifier: MIT */
/*
 * Hosts in the larger world: what they leave behind, who launches them, who
 * loses them, and how they look from outside.
 */
#include "mesh/host_try.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "engine/cgroup_parse.h"
#include "engine/proc_try.h"
#include "inspect/inspect.h"
#include "mesh/host_inspect.h"
#include "mesh/host_priv.h"

/* ---- roles ------------------------------------------------------------------
 */

static struct dv_port *mine;

static void on_word(struct dv_port *port, struct dv_msg *msg)
{
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
	dv_msg_free(message);
	mine = dv_host_self_take_port(self);
	dv_port_start(mine, &word_ops, NULL);
	return 0;
}

/* It keeps every descriptor, and does not care. */
static void leave(struct dv_port *port, struct dv_msg *msg)
{
	pid_t pid = fork();
	char text[16];

	(void)msg;
	if (pid == 0)
		for (;;)
			pause();
	dv_fmt(text, sizeof(text), "%d", pid);
	dv_port_send_bytes(port, text, strlen(text), NULL);
}

static int leave_one(struct dv_host_self *self, struct dv_msg *message,
		     struct dv_err *err)
{
	static const struct dv_port_ops ops = { leave, on_words_ended, NULL };

	(void)err;
	dv_msg_free(message);
	mine = dv_host_self_take_port(self);
	dv_port_start(mine, &ops, NULL);
	return 0;
}

/* A host that has a host. */
static struct dv_hosts *inner_hosts;
static struct dv_host *inner;

static void nest_up(struct dv_host_self *self)
{
	static const char *const args[] = { "logs", NULL };
	static const struct dv_host_opts opts = {
		.size = sizeof(opts),
		.name = "inner",
		.args = args,
	};

	if (dv_hosts_new(&inner_hosts, dv_host_self_mesh(self), NULL, NULL,
			 NULL) < 0 ||
	    dv_mesh_launch(inner_hosts, &opts, &inner, NULL) < 0)
		dv_host_exit(self, 1);
}

static void nest_stop(struct dv_host_self *self, enum dv_host_why why)
{
	(void)why;
	inner_hosts = dv_hosts_free(inner_hosts);
	dv_host_exit(self, 0);
}

static void log_up(struct dv_host_self *self)
{
	dv_host_log(self, 2, "hello from %s", dv_host_self_name(self));
}

/* A port that came in a message: "echo" answers on it, "ask" asks there. */
static void on_answer(struct dv_port *port, struct dv_msg *msg)
{
	(void)port;
	dv_port_send(mine, dv_msg_keep(msg), NULL);
}

static void on_gift(struct dv_port *port, struct dv_msg *msg)
{
	static const struct dv_port_ops asks = { on_answer, on_words_ended,
						 NULL };
	struct dv_port *gift = dv_msg_take_port(msg, 0);
	bool ask = dv_msg_len(msg) == 3;

	(void)port;
	dv_port_start(gift, ask ? &asks : &word_ops, NULL);
	for (int i = 0; ask && i < 100; i++)
		dv_port_send_bytes(gift, "ping", 4, NULL);
}

static int take_gifts(struct dv_host_self *self, struct dv_msg *message,
		      struct dv_err *err)
{
	static const struct dv_port_ops ops = { on_gift, on_words_ended, NULL };

	(void)err;
	dv_msg_free(message);
	mine = dv_host_self_take_port(self);
	dv_port_start(mine, &ops, NULL);
	return 0;
}

/* A port that came in a message brings the end of another host: what it says
 * goes back as text. */
static void on_exit_record(struct dv_port *port, struct dv_msg *msg)
{
	struct dv_host_exit end;
	char text[512], id[DV_MESH_ID_TEXT];
	int n;

	(void)port;
	if (dv_host_exit_parse(msg, &end) < 0)
		return;
	n = dv_fmt(text, sizeof(text), "%d %s %d %d %d %d %s", end.pid,
		   dv_mesh_id_text(end.node, id), end.status, end.signo, end.up,
		   end.usage.ru_maxrss > 0, end.err.msg);
	dv_port_send_bytes(mine, text, (size_t)n, NULL);
}

static void on_exit_told(struct dv_port *port, const struct dv_port_end *end)
{
	(void)end;
	dv_port_close(port, NULL);
}

static void on_exit_port(struct dv_port *port, struct dv_msg *msg)
{
	static const struct dv_port_ops ops = { on_exit_record, on_exit_told,
						NULL };

	(void)port;
	dv_port_start(dv_msg_take_port(msg, 0), &ops, NULL);
}

static int take_ends(struct dv_host_self *self, struct dv_msg *message,
		     struct dv_err *err)
{
	static const struct dv_port_ops ops = { on_exit_port, on_words_ended,
						NULL };

	(void)err;
	dv_msg_free(message);
	mine = dv_host_self_take_port(self);
	dv_port_start(mine, &ops, NULL);
	return 0;
}

// clang-format off
const struct try_role try_roles[] = {
	{ "ends", NULL, { .size = sizeof(struct dv_host_main),
			  .setup = take_ends } },
	{ "gifts", NULL, { .size = sizeof(struct dv_host_main),
			   .setup = take_gifts } },
	{ "obey", NULL, { .size = sizeof(struct dv_host_main), .setup = obey } },
	{ "leave", NULL, { .size = sizeof(struct dv_host_main),
			   .setup = leave_one } },
	{ "nest", NULL, { .size = sizeof(struct dv_host_main),
			  .setup = try_stay, .up = nest_up,
			  .stop = nest_stop } },
	{ "logs", NULL, { .size = sizeof(struct dv_host_main),
			  .setup = try_stay, .up = log_up } },
	{ NULL, NULL, { .size = sizeof(struct dv_host_main), .setup = obey } },
};
// clang-format on

static const char *const obeys[] = { "obey", NULL };

/* ---- what is left behind
 * -------------------------------------------------------- */

static int group(struct dv_host *host, struct dv_host_setup *setup,
		 struct dv_err *err)
{
	(void)host;
	(void)err;
	dv_host_setup_limits(setup, 0, 0, 0);
	return 0;
}

/* Who may make no groups has a host without one. */
static void need_group(struct try_mesh *t, const struct try_host *h)
{
	if (h->host->run->group.n_dirs > 0)
		return;
	try_mesh_end(t);
	SKIP("no control group can be made here");
}

/* Its end is told at once, though the grandchild holds the socket; and the
 * grandchild goes with the group. */
TEST(host_in_a_group_takes_its_children_along)
{
	static const char *const args[] = { "leave", NULL };
	struct try_mesh t;
	struct try_host h;
	struct try_port p;
	struct dv_host_opts opts = try_opts(&h, args);
	int fd;

	try_mesh_start(&t);
	opts.apply = group;
	try_up(&t, &h, &opts);
	need_group(&t, &h);
	try_port_start(&p, dv_host_take_port(h.host));
	fd = dv_sys_pidfd_open((pid_t)strtol(try_ask(&t, &p, "x"), NULL, 10));
	CHECK(fd >= 0);
	CHECK_EQ(dv_host_signal(h.host, SIGKILL), 0);
	TRY_UNTIL(&t, h.n_ended);
	CHECK_EQ(h.end.signo, SIGKILL);
	CHECK(try_gone(fd));
	dv_close(fd);
	dv_port_close(p.port, NULL);
	try_mesh_end(&t);
}

/* Groups in the group @fd, one in the other, more than anybody removes. */
static void nest(int fd, bool make)
{
	enum { DEEP = 100 };
	char path[DEEP * 2];

	for (int i = 0; i < DEEP; i++) {
		int n = make ? i + 1 : DEEP - i;

		for (int k = 0; k < n; k++)
			memcpy(path + 2 * k, "g/", 2);
		path[2 * n - 1] = '\0';
		if (make)
			CHECK_EQ(mkdirat(fd, path, 0755), 0);
		else
			CHECK_EQ(unlinkat(fd, path, AT_REMOVEDIR), 0);
	}
}

struct left {
	bool called;
	struct dv_hosts_left left;
};

static void on_shut_down(struct dv_hosts *hosts, void *arg,
			 const struct dv_hosts_left *left)
{
	struct left *l = arg;

	(void)hosts;
	l->called = true;
	l->left = *left;
}

/* Nobody waits for it for ever: neither who waits for the host, nor a shutdown,
 * which says that something is left. */
TEST(host_whose_group_cannot_be_removed_has_ended)
{
	/* It has all the time to end; what it leaves has not. */
	static const struct dv_host_patience quick = { 20000, 20000, 100 };
	struct left left = { .called = false };
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, obeys);
	const struct dv_cgroup *cg;
	dv_autofree char *dir = NULL;
	dv_autofd int fd = -1;
	pid_t pid;

	try_mesh_start(&t);
	opts.apply = group;
	try_up(&t, &h, &opts);
	pid = dv_host_pid(h.host);
	cg = &h.host->run->group;
	if (cg->v2_fd < 0) {
		try_mesh_end(&t);
		SKIP("no v2 group");
	}
	fd = dv_fd_dup(cg->v2_fd, 3);
	for (int i = 0; i < cg->n_dirs; i++)
		if (cg->tree[i] == DV_CG_V2)
			dir = strdup(cg->dirs[i]);
	nest(fd, true);
	CHECK_EQ(dv_hosts_shutdown(t.hosts, &quick, on_shut_down, &left), 0);
	TRY_UNTIL(&t, left.called);
	CHECK_EQ(h.n_ended, 1);
	CHECK_EQ(left.left.n_left, 1);
	CHECK_EQ(left.left.pids[0], pid);
	try_mesh_end(&t);
	nest(fd, false);
	/* A kernel may be a moment behind with who has left it. */
	for (uint64_t until = try_deadline(10); rmdir(dir) < 0;)
		CHECK(errno == EBUSY && try_again(until));
}

/* Without a group it lives on; that its host has ended is told all the same. */
TEST(host_whose_child_holds_the_socket_has_ended)
{
	static const char *const args[] = { "leave", NULL };
	struct try_mesh t;
	struct try_host h;
	struct try_port p;
	struct dv_host_opts opts = try_opts(&h, args);
	pid_t pid;

	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	try_port_start(&p, dv_host_take_port(h.host));
	pid = (pid_t)strtol(try_ask(&t, &p, "x"), NULL, 10);
	CHECK(pid > 0);
	CHECK_EQ(dv_host_signal(h.host, SIGKILL), 0);
	TRY_UNTIL(&t, h.n_ended);
	CHECK_EQ(h.end.signo, SIGKILL);
	CHECK_EQ(kill(pid, SIGKILL), 0);
	dv_port_close(p.port, NULL);
	try_mesh_end(&t);
}

/* What is not reaped by us has ended all the same, and nothing spins. */
TEST(host_that_somebody_else_reaps_has_ended)
{
	static const char *const says[] = {
		"host web: killed by SIGUSR1",
		"host web: ended, and something else in this program took its "
		"status",
	};
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, obeys);

	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	CHECK(signal(SIGCHLD, SIG_IGN) == SIG_DFL);
	CHECK_EQ(dv_host_signal(h.host, SIGUSR1), 0);
	TRY_UNTIL(&t, h.n_ended);
	CHECK(signal(SIGCHLD, SIG_DFL) == SIG_IGN);
	/* Since Linux 6.15 it is known how. */
	CHECK_EQ(h.end.status, -1);
	CHECK(h.end.signo == SIGUSR1 || h.end.signo == 0);
	CHECK_STR(h.end.err.msg, says[h.end.signo == 0]);
	CHECK_EQ(dv_loop_dispatch(t.loop, 20), 0);
	try_mesh_end(&t);
}

/* ---- its parent's end
 * -------------------------------------------------------------- */

static void be_isolated_root(int report)
{
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, obeys);
	struct dv_err err = DV_ERR_INIT;
	pid_t pid = -1;

	try_mesh_start(&t);
	opts.profile = DV_HOST_ISOLATED;
	if (dv_mesh_launch(t.hosts, &opts, &h.host, &err) == 0 &&
	    dv_host_wait_up(h.host, &err) == 0)
		pid = dv_host_pid(h.host);
	else if (try_no_namespaces(&err))
		pid = 0;
	dv_write_full(report, &pid, sizeof(pid));
	for (;;)
		dv_loop_dispatch(t.loop, -1);
}

TEST(host_isolated_does_not_outlive_a_root_that_is_killed)
{
	int report[2], fd;
	pid_t root, pid = 0;

	CHECK_EQ(dv_pipe(report), 0);
	root = fork();
	if (root == 0)
		be_isolated_root(report[1]);
	CHECK_EQ(dv_read_full(report[0], &pid, sizeof(pid)), sizeof(pid));
	fd = pid > 0 ? dv_sys_pidfd_open(pid) : -1;
	CHECK_EQ(kill(root, SIGKILL), 0);
	CHECK_EQ(waitpid(root, NULL, 0), root);
	dv_close(report[0]);
	dv_close(report[1]);
	if (!pid)
		SKIP("no namespaces for this user");
	CHECK(fd >= 0);
	CHECK(try_gone(fd));
	dv_close(fd);
}

/* Invited by hand: the parent is alive, and has nothing to do with it. */
TEST(host_whose_parent_leaves_has_a_status_of_its_own)
{
	char *argv[] = { (char[]){ "x" }, (char[]){ "obey" }, NULL };
	struct try_mesh t;
	struct dv_port *port;
	int fd, status = 0;
	pid_t pid;

	try_mesh_start(&t);
	CHECK_EQ(dv_mesh_invite(t.mesh, &fd, &port, NULL), 0);
	pid = fork();
	if (pid == 0) {
		if (dup2(fd, 3) < 0)
			_exit(1);
		dv_fd_cloexec(3, false);
		setenv("DAVIT_MESH_HOST", "3", 1);
		execv("/proc/self/exe", argv);
		_exit(1);
	}
	dv_close(fd);
	dv_port_close(port, NULL);
	while (waitpid(pid, &status, WNOHANG) == 0)
		CHECK(dv_loop_dispatch(t.loop, 5) >= 0);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), DV_HOST_EXIT_LOST);
	try_mesh_end(&t);
}

/* ---- two hosts
 * ---------------------------------------------------------------------------
 */

static void send_port(struct dv_port *to, const char *text,
		      struct dv_port *port)
{
	struct dv_msg *msg = dv_msg_new(strlen(text));

	CHECK(msg != NULL);
	memcpy(dv_msg_data(msg), text, strlen(text));
	CHECK_EQ(dv_msg_add_port(msg, port), 0);
	CHECK_EQ(dv_port_send(to, msg, NULL), 0);
}

/* The end of one host is told in another one: before it ends, after that, and
 * when it was never executed. */
TEST(host_end_reaches_who_asked_in_another_process)
{
	static const char *const args[] = { "ends", NULL };
	struct try_host web, other, never;
	char want[256], id[DV_MESH_ID_TEXT];
	struct dv_host_opts opts;
	struct dv_port *pair[2];
	struct try_port p;
	struct try_mesh t;

	try_mesh_start(&t);
	opts = try_opts(&other, args);
	opts.name = "other";
	try_up(&t, &other, &opts);
	try_port_start(&p, dv_host_take_port(other.host));
	opts = try_opts(&web, obeys);
	try_up(&t, &web, &opts);
	dv_fmt(want, sizeof(want),
	       "%d %s -1 10 1 1 host web: killed by SIGUSR1",
	       dv_host_pid(web.host),
	       dv_mesh_id_text(dv_host_node(web.host), id));
	for (unsigned int i = 0; i < 2; i++) {
		CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
		CHECK_EQ(dv_host_tell(web.host, pair[0]), 0);
		send_port(p.port, "tell", pair[1]);
		if (i == 0)
			CHECK_EQ(dv_host_signal(web.host, SIGUSR1), 0);
		TRY_UNTIL(&t, p.n == i + 1);
		CHECK_STR(p.text, want);
	}
	opts = try_opts(&never, NULL);
	opts.exe = "/no/such/program";
	try_launch(&t, &never, &opts);
	CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	CHECK_EQ(dv_host_tell(never.host, pair[0]), 0);
	send_port(p.port, "tell", pair[1]);
	TRY_UNTIL(&t, p.n == 3);
	CHECK(strstr(p.text, "/no/such/program"));
	/* Who asked may be gone before there is anything to tell. */
	opts = try_opts(&web, obeys);
	try_up(&t, &web, &opts);
	CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	CHECK_EQ(dv_host_tell(web.host, pair[0]), 0);
	send_port(p.port, "tell", pair[1]);
	CHECK_EQ(dv_host_signal(other.host, SIGKILL), 0);
	TRY_UNTIL(&t, other.n_ended && p.n_ended);
	CHECK_EQ(dv_host_signal(web.host, SIGUSR1), 0);
	TRY_UNTIL(&t, web.n_ended);
	dv_port_close(p.port, NULL);
	try_mesh_end(&t);
}

/* A pair whose ends go to two locked hosts, which then talk directly: what they
 * need for that is in their filter. */
TEST(hosts_locked_are_introduced_to_each_other)
{
	static const char *const args[] = { "gifts", NULL };
	struct dv_port *pair[2];
	struct try_port p[2];
	struct try_host h[2];
	struct try_mesh t;

	try_mesh_start(&t);
	for (int i = 0; i < 2; i++) {
		struct dv_host_opts opts = try_opts(&h[i], args);

		opts.profile = DV_HOST_LOCKED | DV_HOST_BEST_EFFORT;
		try_up(&t, &h[i], &opts);
		try_port_start(&p[i], dv_host_take_port(h[i].host));
	}
	CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	send_port(p[0].port, "echo", pair[0]);
	send_port(p[1].port, "ask", pair[1]);
	TRY_UNTIL(&t, p[1].n == 100 || p[1].n_ended);
	CHECK_EQ(p[1].n, 100);
	CHECK_STR(p[1].text, "ping");
	dv_port_close(p[0].port, NULL);
	dv_port_close(p[1].port, NULL);
	try_mesh_end(&t);
}

/* ---- hosts of hosts
 * ------------------------------------------------------------------ */

TEST(host_of_a_host_logs_to_the_root)
{
	static const char *const args[] = { "nest", NULL };
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, args);

	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	TRY_UNTIL(&t, t.n_logs);
	CHECK_STR(t.log_name, "web/inner");
	CHECK_STR(t.log_text, "hello from inner");
	dv_host_stop(h.host, NULL);
	TRY_UNTIL(&t, h.n_ended);
	CHECK_EQ(h.end.status, 0);
	try_mesh_end(&t);
}

/* ---- filters of one's own
 * --------------------------------------------------------------- */

/* getppid() kills; everything else is allowed. */
static const struct sock_filter no_getppid[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static int last_filter(struct dv_host *host, struct dv_host_setup *setup,
		       struct dv_err *err)
{
	(void)host;
	(void)err;
	dv_host_setup_seccomp_last(setup, no_getppid, sizeof(no_getppid));
	return 0;
}

static int odd_filter(struct dv_host *host, struct dv_host_setup *setup,
		      struct dv_err *err)
{
	(void)host;
	(void)err;
	dv_host_setup_seccomp_last(setup, no_getppid, 7);
	return 0;
}

static int bad_filter(struct dv_host *host, struct dv_host_setup *setup,
		      struct dv_err *err)
{
	static const struct sock_filter insn =
		BPF_STMT(BPF_RET | BPF_A | 0x8000, 0);

	(void)host;
	(void)err;
	dv_host_setup_seccomp_last(setup, &insn, sizeof(insn));
	return 0;
}

TEST(host_with_a_last_filter_of_its_own)
{
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, obeys);
	struct dv_err err = DV_ERR_INIT;

	try_mesh_start(&t);
	opts.apply = last_filter;
	try_up(&t, &h, &opts);
	dv_host_free(h.host);
	opts.apply = odd_filter;
	CHECK_EQ(dv_mesh_launch(t.hosts, &opts, &h.host, &err), -EINVAL);
	/* What the kernel refuses fails the launch: it does not run without. */
	opts = try_opts(&h, obeys);
	opts.apply = bad_filter;
	try_launch(&t, &h, &opts);
	TRY_UNTIL(&t, h.n_ended);
	CHECK_EQ(h.n_up, 0);
	CHECK_EQ(h.err.step, DV_STEP_SECCOMP);
	CHECK_STR(h.err.msg, "launch host web: load the last seccomp filter: "
			     "Invalid argument");
	try_mesh_end(&t);
}

/* ---- the tree
 * -----------------------------------------------------------------------------
 */

static struct dv_node *shown;

static void on_shown(void *arg, struct dv_node *node, const struct dv_node *old)
{
	(void)arg;
	(void)old;
	shown = node;
}

static void look(struct try_mesh *t, const char *path, const char *update)
{
	struct dv_inspect_opts opts = {
		.path = path,
		.update = update,
		.depth = DV_INSPECT_ALL,
		.limit = DV_SENS_SENSITIVE,
		.deadline_ns = dv_now_ns() + UINT64_C(10000000000),
	};
	struct dv_inspect_req *req;

	shown = dv_node_free(shown);
	CHECK_EQ(dv_inspect_start(&req, t->loop, &opts, dv_hosts_inspect,
				  t->hosts, on_shown, NULL),
		 0);
	TRY_UNTIL(t, shown);
}

static const char *text_at(const char *path)
{
	struct dv_node *at = dv_node_find(shown, path);

	CHECK(at != NULL);
	return dv_node_get_data(at, NULL);
}

TEST(hosts_are_shown_by_pid_with_limits_that_can_be_set)
{
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, obeys);
	char path[64], ours[16];

	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	look(&t, "", NULL);
	dv_fmt(path, sizeof(path), "%d/name", dv_host_pid(h.host));
	CHECK_STR(text_at(path), "web");
	dv_fmt(path, sizeof(path), "%d/state", dv_host_pid(h.host));
	CHECK_STR(text_at(path), "up");
	dv_fmt(path, sizeof(path), "%d/workers", dv_host_pid(h.host));
	CHECK(dv_node_find(shown, path) != NULL);
	dv_fmt(ours, sizeof(ours), "%d/node_id", getpid());
	CHECK_EQ(strlen(text_at(ours)), 32);
	dv_fmt(path, sizeof(path), "%d/rlimit/nofile/current",
	       dv_host_pid(h.host));
	look(&t, path, "77");
	CHECK_STR(dv_node_get_data(shown, NULL), "77");
	look(&t, path, "many");
	CHECK_EQ(dv_node_get_error(shown), DV_NODE_UPDATE);
	look(&t, path, NULL);
	CHECK_STR(dv_node_get_data(shown, NULL), "77");
	CHECK_EQ(dv_host_signal(h.host, SIGKILL), 0);
	TRY_UNTIL(&t, h.n_ended);
	look(&t, "", NULL);
	dv_fmt(path, sizeof(path), "%d/exit/signal", h.end.pid);
	CHECK_STR(text_at(path), "SIGKILL");
	shown = dv_node_free(shown);
	try_mesh_end(&t);
}

TEST(host_that_is_stopped_hides_only_its_own_part)
{
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, obeys);
	struct dv_inspect_opts iopts = {
		.depth = DV_INSPECT_ALL,
		.limit = DV_SENS_SENSITIVE,
	};
	struct dv_inspect_req *req;
	char path[64];

	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	CHECK_EQ(dv_host_signal(h.host, SIGSTOP), 0);
	iopts.deadline_ns = dv_now_ns() + 50000000;
	CHECK_EQ(dv_inspect_start(&req, t.loop, &iopts, dv_hosts_inspect,
				  t.hosts, on_shown, NULL),
		 0);
	TRY_UNTIL(&t, shown);
	dv_fmt(path, sizeof(path), "%d/name", dv_host_pid(h.host));
	CHECK_STR(text_at(path), "web");
	dv_fmt(path, sizeof(path), "%d/workers", dv_host_pid(h.host));
	CHECK(dv_node_find(shown, path) == NULL);
	shown = dv_node_free(shown);
	try_mesh_end(&t);
}

/* ---- blocking
 * --------------------------------------------------------------------------------
 */

static struct dv_host *waits_for;
static int waited;

static void on_wait_inside(struct dv_defer *defer)
{
	(void)defer;
	waited = dv_host_wait_up(waits_for, NULL);
}

TEST(host_is_not_waited_for_inside_a_callback)
{
	struct dv_defer defer = DV_DEFER_INIT;
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, obeys);

	try_mesh_start(&t);
	try_launch(&t, &h, &opts);
	waits_for = h.host;
	dv_defer_add(t.loop, &defer, on_wait_inside);
	TRY_UNTIL(&t, waited);
	CHECK_EQ(waited, -EDEADLK);
	CHECK_EQ(dv_host_wait_up(h.host, NULL), 0);
	try_mesh_end(&t);
}
