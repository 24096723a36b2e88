/* SPDX-License-Identifier: MIT */
#include "services/kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "base/def.h"
#include "base/fd.h"
#include "services/procs.h"
#include "services/pump.h"

enum {
	CAP = DV_KEEP_BYTES,
	CHUNK = 64 << 10, /* one read: readers have their turn in between */
	ROUNDS_MAX = 16,
};

static void on_from(struct dv_src *src, uint32_t ev);
static void on_sink(struct dv_src *src, uint32_t ev);

/* ---- readers ---------------------------------------------------------- */

static void on_idle(struct dv_defer *defer)
{
	struct dv_kept *k = dv_container_of(defer, struct dv_kept, end);

	if (k->idle && k->from < 0 && !k->sinks)
		k->idle(k);
}

static void check_idle(struct dv_kept *k)
{
	if (k->from < 0 && !k->sinks)
		dv_defer_add(k->loop, &k->end, on_idle);
}

static void sink_free(struct dv_sink *s, bool closes)
{
	struct dv_kept *k = s->kept;

	dv_src_del(&s->src);
	if (closes) {
		dv_linger_stop(&s->linger);
		dv_close(s->fd);
	} else {
		dv_linger_abandon(&s->linger);
	}
	*s->prevp = s->next;
	if (s->next)
		s->next->prevp = s->prevp;
	free(s);
	if (closes)
		check_idle(k);
}

static void on_lingered(struct dv_linger *l)
{
	sink_free(dv_container_of(l, struct dv_sink, linger), true);
}

static void sink_linger(struct dv_sink *s)
{
	dv_src_del(&s->src);
	if (dv_linger_start(&s->linger, s->kept->loop, dv_take_fd(&s->fd),
			    on_lingered) < 0)
		sink_free(s, true);
}

static struct dv_sink *sink_new(struct dv_kept *k, int fd, uint64_t at)
{
	struct dv_sink *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->kept = k;
	s->fd = fd;
	s->at = at;
	s->src = (struct dv_src)DV_SRC_INIT;
	s->linger = (struct dv_linger)DV_LINGER_INIT;
	s->next = k->sinks;
	s->prevp = &k->sinks;
	if (s->next)
		s->next->prevp = &s->next;
	k->sinks = s;
	return s;
}

static uint64_t oldest(const struct dv_kept *k)
{
	return k->end_at > CAP ? k->end_at - CAP : 0;
}

static ssize_t put(int fd, const char *data, size_t len)
{
	ssize_t n = dv_send(fd, data, len);

	return n == -ENOTSOCK ? dv_write(fd, data, len) : n;
}

/* Write what it has not got. False: it is gone. */
static bool sink_flush(struct dv_sink *s)
{
	struct dv_kept *k = s->kept;

	while (s->at < k->end_at) {
		size_t off = (size_t)(s->at % CAP);
		size_t len = (size_t)(k->end_at - s->at);
		ssize_t n = put(s->fd, k->ring + off, dv_min(len, CAP - off));

		s->blocked = n == -EAGAIN;
		if (s->blocked)
			return true;
		if (n < 0)
			return false;
		s->at += (uint64_t)n;
	}
	s->blocked = false;
	return true;
}

/* Send, and see what it waits for now. It may be gone afterwards. */
static void sink_run(struct dv_sink *s)
{
	uint32_t want;

	if (s->fd < 0)
		return;
	if (!sink_flush(s)) {
		sink_free(s, true);
		return;
	}
	if (s->kept->from < 0 && s->at == s->kept->end_at) {
		sink_linger(s);
		return;
	}
	want = s->blocked ? EPOLLOUT : 0;
	if (s->src.events != want && dv_src_mod(&s->src, want) < 0)
		sink_free(s, true);
}

static void sinks_run(struct dv_kept *k)
{
	struct dv_sink *next;

	for (struct dv_sink *s = k->sinks; s; s = next) {
		next = s->next;
		if (s->fd >= 0 && s->at < oldest(k))
			sink_free(s, true); /* overrun */
		else
			sink_run(s);
	}
}

/* ---- the source ------------------------------------------------------- */

/* Room until something is overwritten that the primary still needs. */
static size_t room(const struct dv_kept *k)
{
	for (const struct dv_sink *s = k->sinks; s; s = s->next)
		if (s->primary && s->fd >= 0)
			return CAP - (size_t)(k->end_at - s->at);
	return CAP;
}

/* It will never hold more than now; no offset in it changes. */
static void shrink(struct dv_kept *k)
{
	char *less = NULL;

	if (k->end_at < CAP)
		less = realloc(k->ring, dv_max((size_t)k->end_at, (size_t)1));
	if (less)
		k->ring = less;
}

static void from_ended(struct dv_kept *k)
{
	dv_src_del(&k->src);
	k->from = dv_close(k->from);
	shrink(k);
	sinks_run(k);
	check_idle(k);
}

/* Without room a hang-up would be reported again and again: off the loop. */
static void from_wait(struct dv_kept *k)
{
	if (k->from < 0)
		return;
	if (!room(k))
		dv_src_del(&k->src);
	else if (!k->src.loop &&
		 dv_src_add(k->loop, &k->src, k->from, EPOLLIN, on_from) < 0)
		from_ended(k);
}

static void on_from(struct dv_src *src, uint32_t ev)
{
	struct dv_kept *k = dv_container_of(src, struct dv_kept, src);

	(void)ev;
	for (int i = 0; i < ROUNDS_MAX; i++) {
		size_t off = (size_t)(k->end_at % CAP), len = room(k);
		ssize_t n;

		len = dv_min(dv_min(len, CAP - off), (size_t)CHUNK);
		if (!len)
			break;
		n = dv_read(k->from, k->ring + off, len);
		if (n == -EAGAIN)
			break;
		if (n <= 0) { /* EIO: nobody has the terminal open */
			from_ended(k);
			return;
		}
		k->end_at += (uint64_t)n;
		sinks_run(k);
	}
	from_wait(k);
}

static void on_sink(struct dv_src *src, uint32_t ev)
{
	struct dv_sink *s = dv_container_of(src, struct dv_sink, src);
	struct dv_kept *k = s->kept;

	if (ev & (EPOLLHUP | EPOLLERR))
		sink_free(s, true);
	else
		sink_run(s);
	from_wait(k);
}

/* ---- life ------------------------------------------------------------- */

static int prepare(struct dv_kept *k, struct dv_loop *loop)
{
	k->loop = loop;
	k->ring = malloc(CAP); /* pages that are not used cost nothing */
	return k->ring ? 0 : -ENOMEM;
}

static int add_sink(struct dv_kept *k, int fd, uint64_t at, bool primary)
{
	struct dv_sink *s = sink_new(k, fd, at);
	int r;

	if (!s) {
		dv_close(fd);
		return -ENOMEM;
	}
	s->primary = primary;
	s->blocked = true; /* the loop begins */
	r = dv_fd_nonblock(fd, true);
	if (r == 0)
		r = dv_src_add(k->loop, &s->src, fd, EPOLLOUT, on_sink);
	if (r < 0)
		sink_free(s, true);
	return r;
}

int dv_kept_start(struct dv_kept *k, struct dv_loop *loop, int from, int sink)
{
	int r = prepare(k, loop);

	k->from = from;
	if (r == 0)
		r = dv_fd_nonblock(from, true);
	if (r == 0)
		r = dv_src_add(loop, &k->src, from, EPOLLIN, on_from);
	if (r < 0)
		dv_close(sink);
	else if (sink >= 0)
		r = add_sink(k, sink, 0, true);
	if (r < 0)
		dv_kept_stop(k);
	return r;
}

int dv_kept_attach(struct dv_kept *k, uint64_t offset, int fd, uint64_t *atp,
		   struct dv_err *err)
{
	struct stat st;
	uint64_t at = dv_max(offset, oldest(k));
	int r;

	if (fstat(fd, &st) < 0 ||
	    (!S_ISSOCK(st.st_mode) && !S_ISFIFO(st.st_mode))) {
		dv_close(fd);
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "output goes to a socket or a pipe");
	}
	if (at > k->end_at) {
		dv_close(fd);
		return dv_err_set(err, ERANGE, DV_RANGE,
				  "offset %llu is behind the end, %llu",
				  (unsigned long long)at,
				  (unsigned long long)k->end_at);
	}
	r = add_sink(k, fd, at, false);
	if (r < 0)
		return dv_err_sys(err, -r, "attach");
	*atp = at;
	return 0;
}

static void drop(struct dv_kept *k, bool closes)
{
	while (k->sinks)
		sink_free(k->sinks, closes);
	dv_src_del(&k->src);
	dv_defer_del(&k->end);
	if (closes)
		dv_close(k->from);
	k->from = -1;
	free(k->ring);
	k->ring = NULL;
	k->loop = NULL;
}

size_t dv_kept_bytes(const struct dv_kept *k)
{
	if (!k->loop || dv_kept_runs(k) || k->end.loop)
		return 0;
	return (size_t)(k->end_at - oldest(k));
}

void dv_kept_drop(struct dv_kept *k)
{
	drop(k, true);
	k->dropped = true;
}

void dv_kept_stop(struct dv_kept *k)
{
	drop(k, true);
}

void dv_kept_abandon(struct dv_kept *k)
{
	drop(k, false);
}

/* ---- documents -------------------------------------------------------- */

static int save_sinks(const struct dv_kept *k, dv_KeptState *out)
{
	size_t n = 0;

	for (const struct dv_sink *s = k->sinks; s; s = s->next)
		n++;
	if (!n)
		return 0;
	if (n > UINT16_MAX)
		return -E2BIG;
	out->sinks = calloc(n, sizeof(*out->sinks));
	if (!out->sinks)
		return -ENOMEM;
	for (const struct dv_sink *s = k->sinks; s; s = s->next) {
		dv_SinkState *o = &out->sinks[out->sinks_count++];

		o->fd = dv_fd_to_state(s->fd < 0 ? s->linger.fd : s->fd);
		o->at = s->at;
		o->primary = s->primary;
		o->lingers = s->fd < 0;
	}
	return 0;
}

int dv_kept_save(const struct dv_kept *k, dv_KeptState *out)
{
	size_t off = (size_t)(oldest(k) % CAP);
	size_t len = (size_t)(k->end_at - oldest(k));
	size_t first = dv_min(len, CAP - off);
	int r;

	out->from = dv_fd_to_state(k->from);
	out->end = k->end_at;
	out->eof = k->from < 0;
	r = dv_pieces_add(&out->data, &out->data_count, k->ring + off, first);
	if (r == 0)
		r = dv_pieces_add(&out->data, &out->data_count, k->ring,
				  len - first);
	return r < 0 ? r : save_sinks(k, out);
}

static int restore_data(struct dv_kept *k, const dv_KeptState *st)
{
	size_t len = 0;

	for (pb_size_t i = 0; i < st->data_count; i++)
		len += st->data[i]->size;
	if (len != dv_min(st->end, (uint64_t)CAP))
		return -EINVAL;
	k->end_at = st->end - len;
	for (pb_size_t i = 0; i < st->data_count; i++)
		for (size_t j = 0; j < st->data[i]->size; j++)
			k->ring[k->end_at++ % CAP] =
				(char)st->data[i]->bytes[j];
	return 0;
}

static int restore_sink(struct dv_kept *k, const dv_SinkState *st)
{
	int fd = dv_fd_from_state(st->fd);
	struct dv_sink *s;

	if (fd < 0 || st->at > k->end_at || st->at < oldest(k)) {
		dv_close(fd);
		return -EINVAL;
	}
	if (!st->lingers)
		return add_sink(k, fd, st->at, st->primary);
	s = sink_new(k, fd, st->at);
	if (s)
		sink_linger(s);
	else
		dv_close(fd);
	return s ? 0 : -ENOMEM;
}

int dv_kept_restore(struct dv_kept *k, struct dv_loop *loop,
		    const dv_KeptState *st)
{
	int r = prepare(k, loop), from = dv_fd_from_state(st->from);

	k->from = from;
	if (r == 0)
		r = restore_data(k, st);
	for (pb_size_t i = 0; i < st->sinks_count; i++) {
		int one = r < 0 ? r : restore_sink(k, &st->sinks[i]);

		if (r < 0)
			dv_close(dv_fd_from_state(st->sinks[i].fd));
		r = one;
	}
	if (r == 0 && from >= 0)
		r = dv_fd_nonblock(from, true);
	if (r == 0)
		from_wait(k);
	if (r == 0 && from < 0)
		shrink(k);
	if (r < 0)
		dv_kept_stop(k);
	return r;
}
