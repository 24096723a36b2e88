/* SPDX-License-Identifier: MIT */
/*
 * The exit record of a host for other processes: who has the other end of a
 * port gets it there, as it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "mesh/host_priv.h"

/* What a record has beside what a message of ours has anyway, in 64 bits each:
 * times, then usage. */
enum {
	TIMES = 2,
	USAGE = 16,
	DATA_LEN = 8 * (TIMES + USAGE),
	UP = DV_BIT(0),
	CORE = DV_BIT(1),
	BY_SHIFT = 8,
	SIGNO_SHIFT = 16,
	FLAGS = UP | CORE | 0xff << BY_SHIFT | 0xff << SIGNO_SHIFT,
};

/* ---- the record ---------------------------------------------------------- */

/* The members of @u, in an order of our own. */
static void usage_get(const struct rusage *u, uint64_t v[USAGE])
{
	const long all[USAGE] = {
		u->ru_utime.tv_sec,  u->ru_utime.tv_usec, u->ru_stime.tv_sec,
		u->ru_stime.tv_usec, u->ru_maxrss,        u->ru_ixrss,
		u->ru_idrss,         u->ru_isrss,         u->ru_minflt,
		u->ru_majflt,        u->ru_nswap,         u->ru_inblock,
		u->ru_oublock,       u->ru_nsignals,      u->ru_nvcsw,
		u->ru_nivcsw,
	};

	for (size_t i = 0; i < USAGE; i++)
		v[i] = (uint64_t)all[i];
}

static void usage_set(struct rusage *u, const uint64_t v[USAGE])
{
	*u = (struct rusage){
		.ru_utime = { (time_t)v[0], (suseconds_t)v[1] },
		.ru_stime = { (time_t)v[2], (suseconds_t)v[3] },
		.ru_maxrss = (long)v[4],
		.ru_ixrss = (long)v[5],
		.ru_idrss = (long)v[6],
		.ru_isrss = (long)v[7],
		.ru_minflt = (long)v[8],
		.ru_majflt = (long)v[9],
		.ru_nswap = (long)v[10],
		.ru_inblock = (long)v[11],
		.ru_oublock = (long)v[12],
		.ru_nsignals = (long)v[13],
		.ru_nvcsw = (long)v[14],
		.ru_nivcsw = (long)v[15],
	};
}

struct dv_msg *dv_host_exit_new(const struct dv_host_exit *end)
{
	struct dv_host_msg m = {
		.kind = DV_HM_EXITED,
		.id = end->generation,
		.flags = (end->up ? UP : 0) | (end->core ? CORE : 0) |
			 (uint32_t)end->by << BY_SHIFT |
			 (uint32_t)end->signo << SIGNO_SHIFT,
		.number = end->status,
		.time = end->node.hi,
		.count = end->node.lo,
		.text = dv_host_str(end->line, strlen(end->line)),
		.err = end->err,
	};
	uint64_t v[TIMES + USAGE] = { end->started_ns, end->ended_ns };
	uint8_t data[DATA_LEN], pid[4];

	usage_get(&end->usage, v + TIMES);
	for (size_t i = 0; i < DV_ARRAY_LEN(v); i++)
		dv_put_le64(data + 8 * i, v[i]);
	dv_put_le32(pid, (uint32_t)end->pid);
	m.data = dv_host_str((const char *)data, sizeof(data));
	m.extra = dv_host_str((const char *)pid, sizeof(pid));
	return dv_host_msg_new(&m);
}

static void fill(struct dv_host_exit *end, const struct dv_host_msg *m)
{
	struct dv_rd data = dv_rd_mem(m->data.ptr, m->data.len);
	struct dv_rd pid = dv_rd_mem(m->extra.ptr, m->extra.len);
	uint64_t v[USAGE];

	*end = (struct dv_host_exit){
		.pid = (int32_t)dv_rd_le32(&pid),
		.generation = m->id,
		.node = { m->time, m->count },
		.up = m->flags & UP,
		.core = m->flags & CORE,
		.status = m->number,
		.signo = (int32_t)(m->flags >> SIGNO_SHIFT & 0xff),
		.by = (enum dv_host_ended_by)(m->flags >> BY_SHIFT & 0xff),
		.err = m->err,
	};
	end->started_ns = dv_rd_le64(&data);
	end->ended_ns = dv_rd_le64(&data);
	for (size_t i = 0; i < USAGE; i++)
		v[i] = dv_rd_le64(&data);
	usage_set(&end->usage, v);
	if (m->text.len)
		memcpy(end->line, m->text.ptr, m->text.len);
}

int dv_host_exit_parse(const struct dv_msg *msg, struct dv_host_exit *end)
{
	struct dv_host_msg m;

	if (dv_host_msg_parse(dv_msg_data(msg), dv_msg_len(msg), &m) < 0 ||
	    m.kind != DV_HM_EXITED || m.data.len != DATA_LEN ||
	    m.extra.len != 4 || m.text.len > DV_HOST_LINE_MAX ||
	    (m.text.len && memchr(m.text.ptr, 0, m.text.len)) ||
	    m.flags & ~(uint32_t)FLAGS ||
	    (m.flags >> BY_SHIFT & 0xff) >= DV_HOST_BY_N)
		return -EBADMSG;
	fill(end, &m);
	return 0;
}

/* ---- telling it ---------------------------------------------------------- */

/* One that was asked; freed when it has told, or nobody listens any more. */
struct teller {
	struct dv_host_waiter waiter;
	struct dv_port *port;
};

static void done(struct teller *t, const struct dv_err *why)
{
	dv_host_unwait(&t->waiter);
	dv_port_close(t->port, why);
	free(t);
}

static void on_end(struct dv_host_waiter *waiter,
		   const struct dv_host_exit *end)
{
	struct teller *t = dv_container_of(waiter, struct teller, waiter);
	struct dv_msg *msg = dv_host_exit_new(end);
	struct dv_err why = DV_ERR_INIT;
	int r;

	if (msg)
		r = dv_port_send(t->port, msg, &why);
	else
		r = dv_err_sys(&why, ENOMEM, "tell the end of a host");
	done(t, r < 0 ? &why : NULL);
}

static void on_message(struct dv_port *port, struct dv_msg *msg)
{
	(void)port; /* nothing is said here */
	(void)msg;
}

static void on_port_ended(struct dv_port *port, const struct dv_port_end *end)
{
	(void)end;
	done(dv_port_user(port), NULL);
}

int dv_host_tell(struct dv_host *host, struct dv_port *port)
{
	static const struct dv_port_ops ops = { on_message, on_port_ended,
						NULL };
	struct teller *t = calloc(1, sizeof(*t));
	int r = t ? dv_host_wait(host, &t->waiter, on_end) : -ENOMEM;

	if (r < 0) {
		struct dv_err why = DV_ERR_INIT;

		dv_err_sys(&why, -r, "tell the end of host %s", host->name);
		dv_port_close(port, &why);
		free(t);
		return r;
	}
	t->port = port;
	dv_port_start(port, &ops, t);
	return 0;
}
