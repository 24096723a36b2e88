/* SPDX-License-Identifier: MIT */
/*
 * DOC: a host's life
 *
 *	JOINING --INIT--> (MESSAGE) --> SETUP --> UP --> LEAVING --> exit
 *
 * What the parent gave is one descriptor, named in the environment: it is made
 * close-on-exec and its name removed before anything else happens, so nothing
 * that this process starts can hold it or take it for its own. The port behind
 * it leads to the parent; its end is the parent's, and ours.
 */
#include "mesh/host_child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/num.h"
#include "engine/child.h"
#include "engine/sys.h"
#include "mesh/host_priv.h"
#include "mesh/mesh_priv.h"

enum {
	GRACE_MS = 2000, /* without a parent */
	LEAVE_MS = 1000, /* until what was said is delivered */
	COMM_MAX = 15,   /* of the kernel */
	FILTER_MAX = 1 << 16,
	LEVEL_WARNING = 1,
};

/* A process is one host at most. */
static struct dv_host_self *self_here;

struct dv_host_self *dv_host_self_of(const struct dv_mesh *mesh)
{
	return self_here && self_here->mesh == mesh ? self_here : NULL;
}

/* ---- the end ----------------------------------------------------------------
 */

static void on_left(struct dv_mesh *mesh, void *arg,
		    const struct dv_mesh_left *left)
{
	struct dv_host_self *self = arg;

	(void)mesh;
	(void)left;
	self->done = true;
}

void dv_host_exit(struct dv_host_self *self, int status)
{
	if (self->state == DV_SELF_LEAVING)
		return;
	self->state = DV_SELF_LEAVING;
	self->status = self->lost ? DV_HOST_EXIT_LOST : status;
	dv_host_self_no_works(self);
	if (dv_mesh_leave(self->mesh, LEAVE_MS, on_left, self) < 0)
		self->done = true;
}

static void on_grace_over(struct dv_timer *timer)
{
	struct dv_host_self *self =
		dv_container_of(timer, struct dv_host_self, grace);

	self->status = DV_HOST_EXIT_LOST;
	self->done = true;
}

static void stop(struct dv_host_self *self, enum dv_host_why why)
{
	if (self->state == DV_SELF_LEAVING)
		return;
	if (self->state == DV_SELF_UP && self->main->stop)
		self->main->stop(self, why);
	else
		dv_host_exit(self, 0);
}

/* ---- becoming ready
 * ----------------------------------------------------------- */

static int lock_up(struct dv_host_self *self, struct dv_err *err)
{
	struct dv_host_lock lock = {
		.lock = self->lock,
		.last = dv_host_str(self->filter.data, self->filter.len),
		.allow = (const void *)self->allow.data,
		.n_allow = self->allow.len / sizeof(*lock.allow),
	};
	int r = 0;

	if (self->main->finalize)
		r = self->main->finalize(self, err);
	return r < 0 ? r : dv_host_lock(&lock, err);
}

/* Said after it was done: what cannot be sent any more is no host. */
void dv_host_ready(struct dv_host_self *self, int r, const struct dv_err *why)
{
	struct dv_host_msg m = { .kind = DV_HM_UP };

	if (self->state != DV_SELF_SETUP)
		return;
	if (r < 0 && why)
		m.err = *why;
	if (r < 0)
		dv_err_wrap(&m.err, r, "set-up");
	else
		r = lock_up(self, &m.err);
	if (r < 0 && m.err.code == DV_OK)
		dv_err_sys(&m.err, -r, "set-up");
	if (self->ctl && dv_host_msg_send(self->ctl, &m, NULL) < 0)
		r = -EPIPE;
	if (r < 0) {
		dv_host_exit(self, DV_HOST_EXIT_FAILED);
		return;
	}
	self->state = DV_SELF_UP;
	if (self->main->up)
		self->main->up(self);
}

/* Not before the parent was told that we joined: it may take long, or end. */
static void on_set_up(struct dv_defer *defer)
{
	struct dv_host_self *self =
		dv_container_of(defer, struct dv_host_self, set_up);
	struct dv_msg *initial = dv_take_ptr(&self->initial);
	struct dv_err err = DV_ERR_INIT;
	int r = 0;

	if (self->state != DV_SELF_SETUP)
		dv_msg_free(initial);
	else if (self->main->setup)
		r = self->main->setup(self, initial, &err);
	else
		dv_msg_free(initial);
	if (r != DV_MORE)
		dv_host_ready(self, r, &err);
}

static void set_up(struct dv_host_self *self, struct dv_msg *initial)
{
	self->state = DV_SELF_SETUP;
	self->initial = initial;
	dv_defer_add(self->loop, &self->set_up, on_set_up);
}

/* ---- what the parent says ---------------------------------------------------
 */

/* "ps -o comm" shows 15 characters: the host's name counts more. */
static void set_name(struct dv_host_self *self)
{
	const char *base = self->main->name ? self->main->name
					    : program_invocation_short_name;
	char comm[64];

	if (dv_fmt(comm, sizeof(comm), "%s-%s", base, self->name) > COMM_MAX)
		dv_fmt(comm, sizeof(comm), "%s", self->name);
	prctl(PR_SET_NAME, comm, 0, 0, 0);
}

static void on_log_end(struct dv_port *port, const struct dv_port_end *end)
{
	struct dv_host_self *self = dv_port_user(port);

	(void)end;
	self->log = dv_port_close(port, NULL);
}

static void on_log_writable(struct dv_port *port)
{
	struct dv_host_self *self = dv_port_user(port);

	self->log_full = false;
	if (self->log_dropped)
		dv_host_log(self, LEVEL_WARNING, "records were dropped");
}

static void on_log_message(struct dv_port *port, struct dv_msg *msg)
{
	(void)port; /* nothing is said here */
	(void)msg;
}

static const struct dv_port_ops log_ops = {
	.message = on_log_message,
	.ended = on_log_end,
	.writable = on_log_writable,
};

static void send_joined(struct dv_host_self *self)
{
	struct dv_mesh_id id = dv_mesh_id(self->mesh);
	struct dv_host_msg m = {
		.kind = DV_HM_JOINED,
		.time = id.hi,
		.count = id.lo,
	};

	dv_host_msg_send(self->ctl, &m, NULL);
}

static int take_init(struct dv_host_self *self, struct dv_msg *msg,
		     const struct dv_host_msg *m)
{
	if (m->kind != DV_HM_INIT || !m->text.len ||
	    m->text.len > DV_HOST_NAME_MAX || (m->flags & ~DV_LOCK_ALL) ||
	    m->extra.len % sizeof(uint32_t))
		return -EBADMSG;
	memcpy(self->name, m->text.ptr, m->text.len);
	self->lock = m->flags;
	if (dv_buf_put(&self->filter, m->data.ptr, m->data.len) < 0 ||
	    dv_buf_put(&self->allow, m->extra.ptr, m->extra.len) < 0)
		return -ENOMEM;
	self->first = dv_msg_take_port(msg, 0);
	self->log = dv_msg_take_port(msg, 1);
	if (!self->first || !self->log)
		return -EBADMSG;
	dv_port_start(self->log, &log_ops, self);
	return 0;
}

/* As if it had done so itself: no handler, no mask, no blocked default. */
static void crash(int signo)
{
	sigset_t none;

	dv_child_reset_signals();
	sigemptyset(&none);
	dv_sys_set_signals(&none);
	raise(signo);
}

/* A parent that talks nonsense is none. */
static void on_nonsense(struct dv_host_self *self)
{
	self->ctl = dv_port_close(self->ctl, NULL);
	dv_host_exit(self, DV_HOST_EXIT_FAILED);
}

static void on_request(struct dv_host_self *self, struct dv_msg *msg,
		       const struct dv_host_msg *m)
{
	if (m->kind == DV_HM_STOP)
		stop(self, DV_HOST_ASKED);
	else if (m->kind == DV_HM_CRASH)
		crash(m->number);
	else if (m->kind == DV_HM_INSPECT)
		dv_host_self_inspect(self, m);
	else if (m->kind == DV_HM_WORK && self->state != DV_SELF_LEAVING)
		dv_host_self_work(self, m->text, dv_msg_take_port(msg, 0));
	else if (m->kind != DV_HM_WORK)
		on_nonsense(self);
}

static void on_ctl(struct dv_port *port, struct dv_msg *msg)
{
	struct dv_host_self *self = dv_port_user(port);
	struct dv_host_msg m;

	if (self->state == DV_SELF_MESSAGE) {
		set_up(self, dv_msg_keep(msg));
		return;
	}
	if (dv_host_msg_parse(dv_msg_data(msg), dv_msg_len(msg), &m) < 0) {
		on_nonsense(self);
	} else if (self->state != DV_SELF_JOINING) {
		on_request(self, msg, &m);
	} else if (take_init(self, msg, &m) < 0) {
		on_nonsense(self);
	} else {
		set_name(self);
		send_joined(self);
		self->state = DV_SELF_MESSAGE;
		if (!m.follows)
			set_up(self, NULL);
	}
}

static void on_ctl_ended(struct dv_port *port, const struct dv_port_end *end)
{
	struct dv_host_self *self = dv_port_user(port);

	(void)end;
	self->ctl = dv_port_close(port, NULL);
	self->lost = true;
	dv_timer_set(self->loop, &self->grace, dv_host_at_ms(GRACE_MS),
		     on_grace_over);
	stop(self, DV_HOST_LOST);
}

static const struct dv_port_ops ctl_ops = {
	.message = on_ctl,
	.ended = on_ctl_ended,
};

/* ---- joining
 * ------------------------------------------------------------------- */

/* 1: *@fdp is one, for the node *@idp (zero: any). 0: none was named. */
static int take_invitation(int *fdp, struct dv_mesh_id *idp, struct dv_err *err)
{
	const char *text = getenv(DV_HOST_ENV);
	dv_autofree char *copy = text ? strdup(text) : NULL;
	char *comma = copy ? strchr(copy, ',') : NULL;
	socklen_t len = sizeof(int);
	uint64_t fd = 0;
	int domain = 0;

	if (!text)
		return 0;
	if (!copy)
		return dv_err_sys(err, ENOMEM, "read %s", DV_HOST_ENV);
	unsetenv(DV_HOST_ENV);
	if (comma && dv_mesh_id_parse(comma + 1, idp) < 0)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "%s: not the id of a node: %s", DV_HOST_ENV,
				  comma + 1);
	if (comma)
		*comma = '\0';
	if (dv_parse_u64(copy, 0, INT32_MAX, &fd) < 0)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "%s: not the number of a descriptor: %s",
				  DV_HOST_ENV, copy);
	if (dv_fd_cloexec((int)fd, true) < 0)
		return dv_err_set(err, EBADF, DV_INVALID,
				  "%s: descriptor %s is not open", DV_HOST_ENV,
				  copy);
	if (getsockopt((int)fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
	    domain != AF_UNIX)
		return dv_err_set(err, ENOTSOCK, DV_INVALID,
				  "%s: descriptor %s is no unix socket",
				  DV_HOST_ENV, copy);
	*fdp = (int)fd;
	return 1;
}

static int join(struct dv_host_self *self, int fd, struct dv_mesh_id id,
		struct dv_err *err)
{
	static const struct dv_mesh_opts dflt = { .size = sizeof(dflt) };
	const struct dv_mesh_opts *opts =
		self->main->mesh ? self->main->mesh : &dflt;
	int r = dv_loop_new(&self->loop);

	if (r < 0)
		dv_err_sys(err, -r, "loop of a host");
	else
		r = dv_mesh_new_as(&self->mesh, self->loop, opts, id, err);
	if (r < 0) {
		dv_close(fd);
		return r;
	}
	r = dv_mesh_join(self->mesh, fd, &self->ctl, err);
	if (r == 0)
		dv_port_start(self->ctl, &ctl_ops, self);
	return r;
}

static void release(struct dv_host_self *self)
{
	dv_mesh_free(self->mesh);
	dv_loop_free(self->loop);
}

int dv_mesh_host_main(int argc, char **argv, const struct dv_host_main *host,
		      struct dv_err *err)
{
	static struct dv_host_self self;
	struct dv_mesh_id id = { 0, 0 };
	int fd = -1, r = take_invitation(&fd, &id, err);

	(void)argc;
	(void)argv;
	if (r <= 0)
		return r;
	/* "exe", by the way in which it was started. */
	prctl(PR_SET_NAME, program_invocation_short_name, 0, 0, 0);
	if (host->size != sizeof(*host)) {
		dv_close(fd);
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "size of struct dv_host_main");
	}
	self = (struct dv_host_self){
		.main = host,
		.filter = DV_BUF_INIT(FILTER_MAX),
		.allow = DV_BUF_INIT(DV_HM_EXTRA_MAX),
	};
	dv_list_init(&self.works);
	r = join(&self, fd, id, err);
	if (r < 0) {
		release(&self);
		return r;
	}
	self_here = &self;
	while (r >= 0 && !self.done)
		r = dv_loop_dispatch(self.loop, -1);
	/* The program may have sources in the loop still: exit() takes all. */
	exit(r < 0 ? DV_HOST_EXIT_FAILED : self.status);
}

/* ---- the log
 * --------------------------------------------------------------------- */

static int send_log(struct dv_host_self *self, struct dv_host_msg *m)
{
	struct dv_msg *msg;
	int r = -EAGAIN;

	m->count += self->log_dropped;
	msg = self->log && !self->log_full ? dv_host_msg_new(m) : NULL;
	if (msg)
		r = dv_port_send(self->log, msg, NULL);
	if (r < 0) {
		self->log_dropped = m->count + 1;
		return -EAGAIN;
	}
	self->log_dropped = 0;
	self->log_full = r == DV_FULL;
	return 0;
}

int dv_host_log(struct dv_host_self *self, int level, const char *fmt, ...)
{
	char text[DV_HOST_LOG_MAX + 1];
	struct dv_host_msg m = {
		.kind = DV_HM_LOG,
		.number = level,
		.time = dv_now_ns(),
	};
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = dv_vfmt(text, sizeof(text), fmt, ap);
	va_end(ap);
	m.data = dv_host_str(text, dv_min((size_t)len, sizeof(text) - 1));
	return send_log(self, &m);
}

void dv_host_self_pass(const struct dv_mesh *mesh,
		       const struct dv_host_log *rec)
{
	struct dv_host_self *self = dv_host_self_of(mesh);
	struct dv_host_msg m = {
		.kind = DV_HM_LOG,
		.number = rec->level,
		.time = rec->time_ns,
		.count = rec->dropped,
		.flags = (uint32_t)rec->pid,
		.text = dv_host_str(rec->name, strlen(rec->name)),
		.data = dv_host_str(rec->text, strlen(rec->text)),
	};

	if (self)
		send_log(self, &m);
}

/* ---- looking
 * ---------------------------------------------------------------------- */

void *dv_host_self_user(const struct dv_host_self *self)
{
	return self->main->user;
}

const char *dv_host_self_name(const struct dv_host_self *self)
{
	return self->name;
}

struct dv_mesh *dv_host_self_mesh(const struct dv_host_self *self)
{
	return self->mesh;
}

struct dv_loop *dv_host_self_loop(const struct dv_host_self *self)
{
	return self->loop;
}

struct dv_port *dv_host_self_take_port(struct dv_host_self *self)
{
	return dv_take_ptr(&self->first);
}

void dv_host_self_show(struct dv_host_self *self, dv_inspect_fn *fn, void *obj)
{
	self->show = fn;
	self->show_obj = obj;
}
