/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One direction of bytes between the caller and the sandbox, on a loop.
 *
 * At most one buffer's worth is held: nothing is read while something could not
 * be written, so a reader that stops only stops its own stream. Errors of the
 * two ends are ends, not failures, but that of the destination is kept. One
 * thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <davit/loop.h>

struct dv_outlog;
struct dv_relay;

enum { DV_RELAY_BUF = 128 * 1024, DV_RELAY_SPARE = 64 };

enum dv_relay_state {
	DV_RELAY_IDLE = 0, /* not started, or paused */
	DV_RELAY_READING,  /* nothing held, waiting for the source */
	DV_RELAY_WRITING,  /* something held, waiting for the destination */
	DV_RELAY_DONE,     /* both descriptors are closed */
	DV_RELAY_N
};

/* One end, and how it is read or written without ever blocking. */
struct dv_end {
	struct dv_src src;
	int fd;      /* owned, -1 = closed */
	bool shared; /* not ours to make non-blocking: only what poll allows */
	bool ready;  /* a regular file: epoll does not take it */
	bool pipe;
	bool socket;
	bool unique; /* without readers it stays so: it is no named pipe */
};

struct dv_relay {
	struct dv_loop *loop;
	struct dv_end from, to;
	enum dv_relay_state state;
	bool finishing;        /* no data is the end */
	bool tty_eof;          /* an end is passed on as the terminal's VEOF */
	struct dv_outlog *log; /* borrowed; NULL = none */
	uint8_t stream;        /* for the log: 1, 2 */
	char *buf;             /* owned */
	size_t head, len;
	uint64_t total; /* bytes that arrived */
	int sys;        /* why the destination took no more; 0 */
	struct dv_defer again;
	/*
	 * May be NULL. Changes what was read, *@lenp bytes at @at, in place: up
	 * to DV_RELAY_SPARE bytes may be put in front. Returns its beginning.
	 */
	char *(*filter)(struct dv_relay *relay, char *at, size_t *lenp);
	/* Called once, when DONE is reached. May be NULL. */
	void (*done)(struct dv_relay *relay);
};

/*
 * The end of a caller's descriptor (duplicated, or opened anew where that gives
 * a non-blocking one) for reading or writing; never touches its flags.
 * Returns 0 or -errno.
 */
int dv_end_of_caller(struct dv_end *end, int fd, bool writing);
/* An end of a sandbox's pipe or pty: consumed, becomes non-blocking. */
int dv_end_of_sandbox(struct dv_end *end, int fd);

/* Write what goes without waiting. Bytes or -errno, -EAGAIN: wait. */
ssize_t dv_end_write(struct dv_end *end, const char *data, size_t len);
/* Stop watching, and close. Idempotent. */
void dv_end_close(struct dv_end *end);

#define DV_END_INIT                          \
	{                                    \
		.src = DV_SRC_INIT, .fd = -1 \
	}
#define DV_RELAY_INIT                                                          \
	{                                                                      \
		.from = DV_END_INIT, .to = DV_END_INIT, .again = DV_DEFER_INIT \
	}

/* Begin; the ends in @relay are set. Returns 0 or -errno (ends are closed). */
int dv_relay_start(struct dv_relay *relay, struct dv_loop *loop);
/* Stop reading for now, keep what is held; and go on. */
void dv_relay_pause(struct dv_relay *relay);
void dv_relay_resume(struct dv_relay *relay);
/* Take what is there now; from then on, no data is the end. */
void dv_relay_finish(struct dv_relay *relay);
/* Close both ends and free; idempotent. done() is not called. */
void dv_relay_close(struct dv_relay *relay);

static inline bool dv_relay_active(const struct dv_relay *relay)
{
	return relay->state == DV_RELAY_READING ||
	       relay->state == DV_RELAY_WRITING;
}
