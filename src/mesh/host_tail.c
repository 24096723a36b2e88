/* SPDX-License-Identifier: MIT */
/*
 * The last line that a host wrote to stderr. Only the end of it is kept, and
 * nobody waits for it: a process that the host left behind may hold the pipe.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "mesh/host_priv.h"

enum { CHUNK = 4096, READS = 16 /* of one callback */ };

static void keep(struct dv_host_tail *t, const char *data, size_t len)
{
	size_t cap = sizeof(t->text) - 1, drop;

	if (len >= cap) {
		data += len - cap;
		len = cap;
	}
	drop = t->len + len > cap ? t->len + len - cap : 0;
	memmove(t->text, t->text + drop, t->len - drop);
	t->len -= drop;
	memcpy(t->text + t->len, data, len);
	t->len += len;
}

/* False: there will be no more. */
static bool drain(struct dv_host_tail *t)
{
	char chunk[CHUNK];

	for (int i = 0; i < READS; i++) {
		ssize_t n = dv_read(t->fd, chunk, sizeof(chunk));

		if (n <= 0)
			return n == -EAGAIN;
		keep(t, chunk, (size_t)n);
	}
	return true;
}

static void close_tail(struct dv_host_tail *t)
{
	dv_src_del(&t->src);
	t->fd = dv_close(t->fd);
}

static void on_readable(struct dv_src *src, uint32_t events)
{
	struct dv_host_tail *t = dv_container_of(src, struct dv_host_tail, src);

	(void)events;
	if (!drain(t))
		close_tail(t);
}

int dv_host_tail_start(struct dv_host_tail *t, struct dv_loop *loop,
		       int *write_end)
{
	int pair[2];
	int r = dv_pipe(pair);

	if (r < 0)
		return r;
	t->fd = pair[0];
	*write_end = pair[1];
	r = dv_fd_nonblock(t->fd, true);
	if (r == 0)
		r = dv_src_add(loop, &t->src, t->fd, EPOLLIN, on_readable);
	return r;
}

void dv_host_tail_end(struct dv_host_tail *t, char line[DV_HOST_LINE_MAX + 1])
{
	size_t end, at;

	if (t->fd >= 0)
		drain(t);
	close_tail(t);
	end = t->len;
	while (end && (t->text[end - 1] == '\n' || t->text[end - 1] == '\r'))
		end--;
	at = end;
	while (at && t->text[at - 1] != '\n' && end - at < DV_HOST_LINE_MAX)
		at--;
	/* It ends up on terminals. */
	for (size_t i = at; i < end; i++) {
		unsigned char c = (unsigned char)t->text[i];

		line[i - at] = c < 0x20 || c == 0x7f ? '?' : t->text[i];
	}
	line[end - at] = '\0';
}
