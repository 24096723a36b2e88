/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests only: this program as a host. What it does then is named by the
 * argument behind its name, a row of try_roles[], which the test file defines.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/test.h"
#include "davit/host.h"
#include "engine/sys.h"

struct try_role {
	const char *name;
	void (*early)(void); /* before dv_mesh_host_main() */
	struct dv_host_main main;
};
extern const struct try_role try_roles[];

/* Before the tests' own main(): a host never gets there. */
__attribute__((constructor)) static void try_be_host(int argc, char **argv)
{
	struct dv_err err = DV_ERR_INIT;
	const struct try_role *role = try_roles;

	if (!getenv("DAVIT_MESH_HOST"))
		return;
	while (role->name && (argc < 2 || strcmp(role->name, argv[1]) != 0))
		role++;
	if (role->early)
		role->early();
	dv_mesh_host_main(argc, argv, &role->main, &err);
	fprintf(stderr, "%s\n", err.msg);
	_exit(97);
}

/* A setup that wants nothing of what it is told, and stays. */
static inline int try_stay(struct dv_host_self *self, struct dv_msg *message,
			   struct dv_err *err)
{
	(void)self;
	(void)err;
	dv_msg_free(message);
	return 0;
}

/* ---- the parent's side ------------------------------------------------------
 */

struct try_mesh {
	struct dv_loop *loop;
	struct dv_mesh *mesh;
	struct dv_hosts *hosts;
	unsigned int n_logs, n_own_logs;
	uint64_t n_dropped;
	char log_name[128], log_text[64];
};

static inline void try_on_log(void *user, const struct dv_host_log *rec)
{
	struct try_mesh *t = user;

	t->n_logs++;
	t->n_dropped += rec->dropped;
	dv_fmt(t->log_name, sizeof(t->log_name), "%s", rec->name);
	dv_fmt(t->log_text, sizeof(t->log_text), "%s", rec->text);
}

static inline void try_mesh_start(struct try_mesh *t)
{
	/* A small window: it is soon full. */
	static const struct dv_mesh_opts opts = { .size = sizeof(opts),
						  .port_window = 256 << 10 };

	*t = (struct try_mesh){ 0 };
	CHECK_EQ(dv_loop_new(&t->loop), 0);
	CHECK_EQ(dv_mesh_new(&t->mesh, t->loop, &opts, NULL), 0);
	CHECK_EQ(dv_hosts_new(&t->hosts, t->mesh, try_on_log, t, NULL), 0);
}

static inline void try_mesh_end(struct try_mesh *t)
{
	dv_hosts_free(t->hosts);
	dv_mesh_free(t->mesh);
	dv_loop_free(t->loop);
}

/* Run the loop until @cond; the alarm of the test ends what never comes. */
#define TRY_UNTIL(t, cond)                                           \
	do {                                                         \
		while (!(cond))                                      \
			CHECK(dv_loop_dispatch((t)->loop, -1) >= 0); \
	} while (0)

/* What happened to one host. */
struct try_host {
	struct dv_host *host;
	unsigned int n_up, n_failed, n_ended;
	struct dv_err err;
	struct dv_host_exit end;
};

static inline void try_on_up(struct dv_host *host)
{
	struct try_host *h = dv_host_user(host);

	h->n_up++;
}

static inline void try_on_failed(struct dv_host *host, const struct dv_err *err)
{
	struct try_host *h = dv_host_user(host);

	h->n_failed++;
	h->err = *err;
}

static inline void try_on_host_ended(struct dv_host *host,
				     const struct dv_host_exit *end)
{
	struct try_host *h = dv_host_user(host);

	h->n_ended++;
	h->end = *end;
}

static const struct dv_host_ops try_host_ops = {
	.up = try_on_up,
	.failed = try_on_failed,
	.ended = try_on_host_ended,
};

/* Options to start from; @args[0] is the role. */
static inline struct dv_host_opts try_opts(struct try_host *h,
					   const char *const *args)
{
	*h = (struct try_host){ 0 };
	return (struct dv_host_opts){
		.size = sizeof(struct dv_host_opts),
		.name = "web",
		.args = args,
		.ops = &try_host_ops,
		.user = h,
	};
}

static inline void try_launch(struct try_mesh *t, struct try_host *h,
			      const struct dv_host_opts *opts)
{
	struct dv_err err = DV_ERR_INIT;

	dv_mesh_launch(t->hosts, opts, &h->host, &err);
	CHECK_STR(err.msg, "");
}

/* Launch, and be up. */
static inline void try_up(struct try_mesh *t, struct try_host *h,
			  const struct dv_host_opts *opts)
{
	try_launch(t, h, opts);
	TRY_UNTIL(t, h->n_up || h->n_failed);
	CHECK_STR(h->err.msg, "");
}

/* A port that keeps the last message as text. */
struct try_port {
	struct dv_port *port;
	unsigned int n, n_ended;
	char text[256];
	int fd; /* of the last message; -1 none */
	struct dv_port_end end;
};

static inline void try_on_message(struct dv_port *port, struct dv_msg *msg)
{
	struct try_port *p = dv_port_user(port);

	p->n++;
	dv_fmt(p->text, sizeof(p->text), "%.*s", (int)dv_msg_len(msg),
	       (const char *)dv_msg_data(msg));
	if (dv_msg_att(msg, 0) == DV_ATT_FD)
		p->fd = dv_msg_take_fd(msg, 0);
}

static inline void try_on_port_ended(struct dv_port *port,
				     const struct dv_port_end *end)
{
	struct try_port *p = dv_port_user(port);

	p->n_ended++;
	p->end = *end;
}

static const struct dv_port_ops try_port_ops = {
	.message = try_on_message,
	.ended = try_on_port_ended,
};

static inline void try_port_start(struct try_port *p, struct dv_port *port)
{
	*p = (struct try_port){ .port = port, .fd = -1 };
	CHECK(port != NULL);
	dv_port_start(port, &try_port_ops, p);
}

static inline void try_send(struct dv_port *port, const char *text)
{
	CHECK_EQ(dv_port_send_bytes(port, text, strlen(text), NULL), 0);
}

/* Send, and wait for one answer. */
static inline const char *try_ask(struct try_mesh *t, struct try_port *p,
				  const char *text)
{
	unsigned int n = p->n;

	try_send(p->port, text);
	TRY_UNTIL(t, p->n > n || p->n_ended);
	return p->n > n ? p->text : "";
}

/* True when that process ends within ten seconds; not a child of ours. */
static inline bool try_gone(int pidfd)
{
	struct pollfd p = { pidfd, POLLIN, 0 };

	return poll(&p, 1, 10000) == 1;
}
