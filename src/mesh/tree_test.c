/* SPDX-License-Identifier: MIT */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "mesh/host_try.h"
#include "mesh/link_try.h"
#include "mesh/tree.h"

/* ---- hosts: what they show themselves --------------------------------- */

/* One name of its own; the others are not for it to say. */
static void lie(struct dv_host_self *self, struct dv_node *dir)
{
	struct dv_node *limits = dv_node_dir();

	(void)self;
	dv_node_add(limits, "invented", DV_SENS_SAFE, dv_node_boolean(true));
	dv_node_add(dir, "name", DV_SENS_SAFE, dv_node_string("root", 4));
	dv_node_add(dir, "node_id", DV_SENS_SAFE, dv_node_string("0", 1));
	dv_node_add(dir, "rlimit", DV_SENS_SAFE, limits);
	dv_node_add(dir, "answer", DV_SENS_SAFE, dv_node_unsigned(42, 0));
}

// clang-format off
const struct try_role try_roles[] = {
	{ "obey", NULL, { .size = sizeof(struct dv_host_main), .setup = try_stay } },
	{ "lie", NULL, { .size = sizeof(struct dv_host_main), .setup = try_stay,
			 .inspect = lie } },
	{ NULL, NULL, { .size = sizeof(struct dv_host_main), .setup = try_stay } },
};
// clang-format on

static const char *const obeys[] = { "obey", NULL };
static const char *const lies[] = { "lie", NULL };

/* ---- looking ---------------------------------------------------------- */

struct look {
	struct dv_loop *loop;
	struct dv_mesh_tree tree;
	enum dv_sensitivity limit;
	bool at_once; /* the answer came inside the call */
	struct dv_node *node;
};

static void on_done(void *arg, struct dv_node *node, const struct dv_node *old)
{
	struct look *k = arg;

	(void)old;
	k->node = node;
}

static void look(struct look *k, const char *path, const char *update)
{
	struct dv_inspect_opts opts = {
		.path = path,
		.update = update,
		.depth = DV_INSPECT_ALL,
		.limit = k->limit ? k->limit : DV_SENS_SENSITIVE,
		.deadline_ns = dv_now_ns() + UINT64_C(20000000000),
	};
	struct dv_inspect_req *req;

	k->node = dv_node_free(k->node);
	CHECK_EQ(dv_inspect_start(&req, k->loop, &opts, dv_mesh_inspect,
				  &k->tree, on_done, k),
		 0);
	k->at_once = k->node != NULL;
	LT_UNTIL(k->loop, k->node);
}

/* Of what look() found. */
static const struct dv_node *at(const struct look *k, const char *path)
{
	const struct dv_node *node = dv_node_find(k->node, path);

	if (!node)
		fail_msg("there is no %s", path);
	return node;
}

static const char *text(const struct look *k, const char *path)
{
	return dv_node_get_data(at(k, path), NULL);
}

static uint64_t number(const struct look *k, const char *path)
{
	return dv_node_get_unsigned(at(k, path));
}

static const char *id_text(struct dv_mesh_id id)
{
	static char out[DV_MESH_ID_TEXT];

	return dv_mesh_id_text(id, out);
}

/* "PREFIX/ID/NAME" of a port; static. */
static const char *port_path(const struct dv_port *port, const char *name)
{
	static char out[64];
	char id[DV_MESH_ID_TEXT];

	dv_mesh_id_text(dv_port_id(port), id);
	dv_fmt(out, sizeof(out), "ports/%.16s/%s", id, name);
	return out;
}

static const char *host_path(int32_t pid, const char *name)
{
	static char out[64];

	dv_fmt(out, sizeof(out), "hosts/%d/%s", pid, name);
	return out;
}

/* ---- a mesh, and ports ------------------------------------------------ */

TEST(mesh_shows_its_name_node_counts_and_limits)
{
	static const struct dv_mesh_opts opts = { .size = sizeof(opts),
						  .name = "keeper",
						  .port_window = 4096 };
	struct dv_port *pair[2];
	struct look k = { 0 };
	struct lt t;

	lt_new(&t, &opts);
	k.loop = t.loop;
	k.tree.mesh = t.mesh;
	CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	look(&k, "", NULL);
	CHECK_STR(text(&k, "name"), "keeper");
	CHECK_STR(text(&k, "node_id"), id_text(dv_mesh_id(t.mesh)));
	CHECK_STR(text(&k, "leaving"), "no");
	CHECK_EQ(number(&k, "limits/port_window_bytes"), 4096);
	CHECK_EQ(number(&k, "limits/message_bytes"), 16 << 20);
	CHECK_EQ(number(&k, "counts/ports"), 2);
	CHECK_EQ(number(&k, "counts/links"), 0);
	CHECK_EQ(dv_node_flags(at(&k, "counts/sent")), DV_NODE_COUNT);
	CHECK_EQ(dv_node_flags(at(&k, "counts/ports")), 0);
	look(&k, "name", "other");
	CHECK_EQ(dv_node_get_error(k.node), DV_NODE_IMMUTABLE);
	dv_node_free(k.node);
	lt_free(&t);
}

TEST(port_shows_what_waits_in_it_and_its_peer)
{
	static const struct dv_mesh_opts opts = { .size = sizeof(opts) };
	struct lt_port there = { 0 };
	struct dv_port *pair[2];
	struct look k = { 0 };
	struct lt t;

	lt_new(&t, &opts);
	k.loop = t.loop;
	k.tree.mesh = t.mesh;
	CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	CHECK_EQ(dv_port_send_bytes(pair[0], "hello", 5, NULL), 0);
	CHECK(dv_loop_dispatch(t.loop, 0) >= 0);
	look(&k, "", NULL);
	CHECK_STR(text(&k, port_path(pair[0], "state")), "open");
	CHECK_STR(text(&k, port_path(pair[0], "peer_node")),
		  id_text(dv_mesh_id(t.mesh)));
	CHECK_EQ(strncmp(text(&k, port_path(pair[0], "peer")),
			 id_text(dv_port_id(pair[1])), 16),
		 0);
	CHECK_EQ(number(&k, port_path(pair[0], "sent_bytes")), 5 + 64);
	CHECK_EQ(number(&k, port_path(pair[1], "received_bytes")), 5 + 64);
	CHECK_EQ(number(&k, port_path(pair[1], "queued_in_bytes")), 5 + 64);
	lt_start(&there, pair[1]);
	LT_UNTIL(t.loop, there.n);
	look(&k, port_path(pair[1], "queued_in_bytes"), NULL);
	CHECK_EQ(number(&k, ""), 0);
	dv_node_free(k.node);
	lt_free(&t);
}

TEST(port_is_not_shown_to_who_may_see_safe_entries_only_nor_its_whole_id)
{
	static const struct dv_mesh_opts opts = { .size = sizeof(opts) };
	struct look k = { .limit = DV_SENS_SAFE };
	struct dv_port *pair[2];
	char path[64];
	struct lt t;

	lt_new(&t, &opts);
	k.loop = t.loop;
	k.tree.mesh = t.mesh;
	CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	look(&k, "", NULL);
	CHECK(dv_node_find(k.node, "ports") == NULL);
	CHECK(dv_node_find(k.node, "links") == NULL);
	CHECK_STR(text(&k, "node_id"), id_text(dv_mesh_id(t.mesh)));
	CHECK_EQ(strlen(text(&k, host_path(getpid(), "node_id"))), 32);
	CHECK(at(&k, host_path(getpid(), "rlimit/nofile/max")));
	CHECK(dv_node_find(k.node, host_path(getpid(), "tasks")) == NULL);
	k.limit = DV_SENS_SENSITIVE;
	dv_fmt(path, sizeof(path), "ports/%s", id_text(dv_port_id(pair[0])));
	look(&k, path, NULL);
	CHECK_EQ(dv_node_get_error(k.node), DV_NODE_NOT_FOUND);
	dv_node_free(k.node);
	lt_free(&t);
}

TEST(ports_that_are_too_many_to_list_are_found_by_path)
{
	static const struct dv_mesh_opts opts = { .size = sizeof(opts) };
	struct dv_port *pair[2];
	struct look k = { 0 };
	struct lt t;

	lt_new(&t, &opts);
	k.loop = t.loop;
	k.tree.mesh = t.mesh;
	for (int i = 0; i < DV_MESH_TREE_PORTS / 2 + 3; i++)
		CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	look(&k, "ports", NULL);
	CHECK_EQ(dv_node_count(k.node), DV_MESH_TREE_PORTS + 1);
	CHECK_EQ(number(&k, "not_listed"), 6);
	for (int i = 0; i < 2; i++) {
		look(&k, port_path(pair[i], "state"), NULL);
		CHECK_STR(text(&k, ""), "open");
	}
	dv_node_free(k.node);
	lt_free(&t);
}

/* ---- links ------------------------------------------------------------ */

/* The only link of what look("links") found that leads to @mesh. */
static const struct dv_node *link_to(const struct look *k,
				     const struct dv_mesh *mesh)
{
	const struct dv_node *found = NULL, *link;

	for (size_t i = 0; (link = dv_node_child(k->node, i)); i++) {
		const struct dv_node *id = dv_node_find(link, "node_id");

		if (!id || strcmp(dv_node_get_data(id, NULL),
				  id_text(dv_mesh_id(mesh))) != 0)
			continue;
		CHECK(!found);
		found = link;
	}
	CHECK(found);
	return found;
}

static const char *of(const struct dv_node *node, const char *path)
{
	const struct dv_node *n = dv_node_find(node, path);

	CHECK(n);
	return dv_node_get_data(n, NULL);
}

static uint64_t number_of(const struct dv_node *node, const char *path)
{
	const struct dv_node *n = dv_node_find(node, path);

	CHECK(n);
	return dv_node_get_unsigned(n);
}

/* A second mesh on the loop of @t, and ports of each to the other. */
static struct dv_mesh *invited(struct lt *t, struct lt_port *ours,
			       struct lt_port *theirs)
{
	static const struct dv_mesh_opts opts = { .size = sizeof(opts) };
	struct dv_port *port;
	struct dv_mesh *mesh;
	int fd;

	CHECK_EQ(dv_mesh_new(&mesh, t->loop, &opts, NULL), 0);
	CHECK_EQ(dv_mesh_invite(t->mesh, &fd, &port, NULL), 0);
	lt_start(ours, port);
	CHECK_EQ(dv_mesh_join(mesh, fd, &port, NULL), 0);
	lt_start(theirs, port);
	return mesh;
}

TEST(link_shows_who_is_there_and_what_moves_over_it)
{
	static const struct dv_mesh_opts opts = { .size = sizeof(opts) };
	struct lt_port ours = { 0 }, theirs = { .keeps = true };
	const struct dv_node *link;
	struct dv_mesh *other;
	struct look k = { 0 };
	struct lt t;

	lt_new(&t, &opts);
	k.loop = t.loop;
	other = invited(&t, &ours, &theirs);
	CHECK_EQ(dv_port_send_bytes(ours.port, "hello", 5, NULL), 0);
	LT_UNTIL(t.loop, theirs.n);

	k.tree.mesh = t.mesh;
	look(&k, "links", NULL);
	link = link_to(&k, other);
	CHECK_STR(of(link, "state"), "up");
	CHECK_STR(of(link, "origin"), "invited");
	CHECK_EQ(dv_node_get_signed(dv_node_find(link, "pid")), getpid());
	CHECK_EQ(number_of(link, "out/sent_bytes"), 5 + 64);
	CHECK(number_of(link, "out/granted_bytes") >= 5 + 64);
	CHECK_EQ(number(&k, "down/links"), 0);

	k.tree.mesh = other;
	look(&k, "links", NULL);
	link = link_to(&k, t.mesh);
	CHECK_STR(of(link, "origin"), "parent");
	CHECK_EQ(number_of(link, "in/received_bytes"), 5 + 64);
	CHECK_EQ(number_of(link, "held_bytes"), 5 + 64);
	lt_drop_kept(&theirs);
	look(&k, "links", NULL);
	CHECK_EQ(number_of(link_to(&k, t.mesh), "held_bytes"), 0);

	dv_node_free(k.node);
	dv_mesh_free(other);
	lt_free(&t);
}

/* A process that does not read any more; what waits for it is shown. */
TEST(link_that_is_stuck_shows_what_waits)
{
	static const struct dv_mesh_opts opts = { .size = sizeof(opts) };
	struct lt_port ours = { 0 };
	const struct dv_node *link;
	struct look k = { 0 };
	struct dv_port *port;
	struct lt t;
	struct lt_raw raw;
	int r = 0;

	lt_new(&t, &opts);
	k = (struct look){ .loop = t.loop, .tree = { .mesh = t.mesh } };
	lt_raw_invite(&raw, &t, &ours);
	lt_raw_join(&raw);
	while (r >= 0) {
		r = dv_port_send(ours.port, dv_msg_new(100000), NULL);
		CHECK(dv_loop_dispatch(t.loop, 0) >= 0);
	}
	CHECK_EQ(r, -EAGAIN);
	look(&k, "links", NULL);
	link = dv_node_child(k.node, 0);
	CHECK_EQ(dv_node_get_bool(dv_node_find(link, "out/blocked")), true);
	CHECK(number_of(link, "out/long_messages") > 0);
	port = ours.port;
	look(&k, port_path(port, "queued_out_bytes"), NULL);
	CHECK(number(&k, "") > 100000);
	dv_node_free(k.node);
	lt_close(&ours);
	lt_raw_close(&raw);
	lt_free(&t);
}

TEST(link_that_nobody_has_joined_by_shows_that)
{
	static const struct dv_mesh_opts opts = { .size = sizeof(opts) };
	struct lt_port ours = { 0 };
	struct look k = { 0 };
	struct dv_port *port;
	struct lt t;
	int fd;

	lt_new(&t, &opts);
	k.loop = t.loop;
	k.tree.mesh = t.mesh;
	CHECK_EQ(dv_mesh_invite(t.mesh, &fd, &port, NULL), 0);
	lt_start(&ours, port);
	look(&k, "links", NULL);
	CHECK_EQ(dv_node_count(k.node), 2); /* it, and "down" */
	CHECK_STR(of(dv_node_child(k.node, 0), "state"), "joining");
	CHECK(!dv_node_find(dv_node_child(k.node, 0), "node_id"));
	dv_close(fd);
	LT_UNTIL(t.loop, ours.n_ended);
	look(&k, "links", NULL);
	CHECK_EQ(dv_node_count(k.node), 1);
	dv_node_free(k.node);
	lt_free(&t);
}

static void on_port_here(struct lt_port *p, struct dv_msg *msg)
{
	lt_start(p->arg, dv_msg_take_port(msg, 0));
}

TEST(link_that_was_introduced_shows_by_whom)
{
	static const struct dv_mesh_opts opts = { .size = sizeof(opts) };
	struct lt_port moved[2] = { 0 }, ours[2] = { 0 };
	struct lt_port theirs[2] = { { .on = on_port_here, .arg = &moved[0] },
				     { .on = on_port_here, .arg = &moved[1] } };
	struct dv_mesh *other[2];
	const struct dv_node *link;
	struct dv_port *pair[2];
	struct look k = { 0 };
	struct lt t;

	lt_new(&t, &opts);
	k.loop = t.loop;
	CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	for (int i = 0; i < 2; i++) {
		struct dv_msg *msg = dv_msg_new(0);

		other[i] = invited(&t, &ours[i], &theirs[i]);
		CHECK_EQ(dv_msg_add_port(msg, pair[i]), 0);
		CHECK_EQ(dv_port_send(ours[i].port, msg, NULL), 0);
	}
	LT_UNTIL(t.loop, dv_node_counts(dv_mesh_node(other[0]))->n_links == 2);
	k.tree.mesh = other[0];
	look(&k, "links", NULL);
	LT_UNTIL(t.loop, moved[0].port && moved[1].port);
	CHECK_EQ(dv_port_send_bytes(moved[1].port, "x", 1, NULL), 0);
	LT_UNTIL(t.loop, moved[0].n);
	look(&k, "links", NULL);
	link = link_to(&k, other[1]);
	CHECK_STR(of(link, "origin"), "introduced");
	CHECK_STR(of(link, "via"), id_text(dv_mesh_id(t.mesh)));
	dv_node_free(k.node);
	dv_mesh_free(other[0]);
	dv_mesh_free(other[1]);
	lt_free(&t);
}

/* ---- limits ----------------------------------------------------------- */

TEST(process_without_hosts_shows_itself_and_its_limits_can_be_set)
{
	static const struct dv_mesh_opts opts = { .size = sizeof(opts) };
	struct rlimit old, now;
	struct look k = { 0 };
	struct lt t;

	lt_new(&t, &opts);
	k.loop = t.loop;
	k.tree.mesh = t.mesh;
	CHECK_EQ(getrlimit(RLIMIT_CORE, &old), 0);
	look(&k, "hosts", NULL);
	CHECK_EQ(dv_node_count(k.node), 1);
	CHECK_EQ(dv_node_count(at(&k, host_path(getpid(), "rlimit") + 6)), 16);
	look(&k, host_path(getpid(), "rlimit/core/current"), "0");
	CHECK_STR(text(&k, ""), "0");
	CHECK_EQ(getrlimit(RLIMIT_CORE, &now), 0);
	CHECK_EQ(now.rlim_cur, 0);
	CHECK_EQ(now.rlim_max, old.rlim_max);
	CHECK_EQ(setrlimit(RLIMIT_CORE, &old), 0);
	dv_node_free(k.node);
	lt_free(&t);
}

static void refuse(struct look *k, int32_t pid, const char *name,
		   const char *update, const char *why)
{
	char said[128];

	look(k, host_path(pid, name), update);
	CHECK_EQ(dv_node_get_error(k->node), DV_NODE_UPDATE);
	dv_node_error_text(k->node, said, sizeof(said));
	CHECK_STR(said, why);
}

TEST(limit_of_a_host_is_set_in_its_process_or_refused)
{
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, obeys);
	struct look k = { 0 };
	struct rlimit lim;
	int32_t pid;

	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	pid = dv_host_pid(h.host);
	k = (struct look){ .loop = t.loop, .tree = { t.mesh, t.hosts } };
	look(&k, host_path(pid, "rlimit/nofile/max"), "99");
	CHECK_EQ(dv_node_get_error(k.node), DV_NODE_UPDATE); /* < current */
	look(&k, host_path(pid, "rlimit/nofile/current"), "77");
	CHECK_STR(text(&k, ""), "77");
	CHECK(k.at_once);
	look(&k, host_path(pid, "rlimit/nofile/max"), "99");
	CHECK_STR(text(&k, ""), "99");
	CHECK_EQ(prlimit(pid, RLIMIT_NOFILE, NULL, &lim), 0);
	CHECK_EQ(lim.rlim_cur, 77);
	CHECK_EQ(lim.rlim_max, 99);
	refuse(&k, pid, "rlimit/nofile/current", "many",
	       "update error: a number, or unlimited");
	refuse(&k, pid, "rlimit/nofile/current", "-1",
	       "update error: a number, or unlimited");
	refuse(&k, pid, "rlimit/nofile/current", "100",
	       "update error: set the limit: Invalid argument");
	look(&k, host_path(pid, "rlimit/nofile"), NULL);
	CHECK_STR(text(&k, "current"), "77");
	CHECK_STR(text(&k, "max"), "99");
	look(&k, host_path(pid, "name"), "other");
	CHECK_EQ(dv_node_get_error(k.node), DV_NODE_IMMUTABLE);

	CHECK_EQ(dv_host_signal(h.host, SIGKILL), 0);
	TRY_UNTIL(&t, h.n_ended);
	look(&k, host_path(pid, "rlimit/nofile/current"), "5");
	CHECK_EQ(dv_node_get_error(k.node), DV_NODE_NOT_FOUND);
	look(&k, host_path(pid, "exit/signal"), NULL);
	CHECK_STR(text(&k, ""), "SIGKILL");
	dv_node_free(k.node);
	try_mesh_end(&t);
}

/* A child that waits, with a pid that is free. -EPERM: we may not choose. */
static pid_t child_with_pid(pid_t pid)
{
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)&pid,
		.set_tid_size = 1,
	};
	pid_t child = dv_sys_clone3(&args);

	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return child;
}

/* As when SIGCHLD is ignored: the kernel reaps, and we do not know yet. */
TEST(limit_of_a_process_that_has_the_pid_of_a_host_now_is_not_touched)
{
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, obeys);
	struct rlimit old, now;
	struct look k = { 0 };
	pid_t pid, child;
	char said[128];

	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	pid = dv_host_pid(h.host);
	k = (struct look){ .loop = t.loop, .tree = { t.mesh, t.hosts } };
	CHECK_EQ(dv_host_signal(h.host, SIGKILL), 0);
	CHECK_EQ(waitpid(pid, NULL, __WALL), pid);
	child = child_with_pid(pid);
	if (child < 0) {
		try_mesh_end(&t);
		SKIP("no child with a pid of our choice");
	}
	CHECK_EQ(prlimit(pid, RLIMIT_NOFILE, NULL, &old), 0);
	look(&k, host_path(pid, "rlimit/nofile/current"), "5");
	CHECK_EQ(dv_node_get_error(k.node), DV_NODE_IMMUTABLE);
	look(&k, host_path(pid, "rlimit/nofile/current"), NULL);
	dv_node_error_text(k.node, said, sizeof(said));
	CHECK_STR(strrchr(said, ':'), ": No such process");
	CHECK_EQ(prlimit(pid, RLIMIT_NOFILE, NULL, &now), 0);
	CHECK_EQ(now.rlim_cur, old.rlim_cur);
	/* And no signal gets there. */
	CHECK_EQ(dv_host_signal(h.host, SIGKILL), -ESRCH);
	dv_hosts_crash(t.hosts, pid, SIGKILL, NULL);
	dv_host_stop(h.host, &(struct dv_host_patience){ 0, 1, 1 });
	TRY_UNTIL(&t, h.n_ended);
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	kill(child, SIGKILL);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	dv_node_free(k.node);
	try_mesh_end(&t);
}

/* ---- hosts that do not do what they should ---------------------------- */

TEST(host_that_is_stopped_delays_nothing_that_the_kernel_knows)
{
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, obeys);
	struct look k = { 0 };
	int32_t pid;

	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	pid = dv_host_pid(h.host);
	k = (struct look){ .loop = t.loop, .tree = { t.mesh, t.hosts } };
	CHECK_EQ(dv_host_signal(h.host, SIGSTOP), 0);
	look(&k, host_path(pid, "name"), NULL);
	CHECK(k.at_once);
	CHECK_STR(text(&k, ""), "web");
	look(&k, host_path(pid, "rlimit"), NULL);
	CHECK(k.at_once);
	CHECK_EQ(dv_node_count(k.node), 16);
	look(&k, host_path(pid, "rlimit/none"), NULL);
	CHECK(k.at_once);
	CHECK_EQ(dv_node_get_error(k.node), DV_NODE_NOT_FOUND);
	look(&k, host_path(pid, "rlimit/core/current"), "0");
	CHECK(k.at_once);
	CHECK_STR(text(&k, ""), "0");
	dv_node_free(k.node);
	try_mesh_end(&t);
}

TEST(host_cannot_show_anything_under_the_names_that_are_ours)
{
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, lies);
	struct look k = { 0 };
	int32_t pid;

	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	pid = dv_host_pid(h.host);
	k = (struct look){ .loop = t.loop, .tree = { t.mesh, t.hosts } };
	look(&k, "", NULL);
	CHECK_EQ(number(&k, host_path(pid, "answer")), 42);
	CHECK_STR(text(&k, host_path(pid, "name")), "web");
	CHECK_EQ(strlen(text(&k, host_path(pid, "node_id"))), 32);
	CHECK_EQ(dv_node_count(at(&k, host_path(pid, "rlimit"))), 16);
	look(&k, host_path(pid, "answer"), NULL);
	CHECK_EQ(number(&k, ""), 42);
	look(&k, host_path(pid, "node_id"), NULL);
	CHECK_EQ(strlen(text(&k, "")), 32);
	dv_node_free(k.node);
	try_mesh_end(&t);
}
