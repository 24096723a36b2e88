/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The inside of davit/expect.h: lines, and what is looked for in them.
 *
 *	expect.c	the wait: the log, the timers, the end
 *	expect_cond.c	the set of conditions
 *	expect_line.c	lines of one stream, as they come
 */
#include <davit/expect.h>

#include <regex.h>

#include "base/buf.h"
#include "runtime/client/sandbox_log.h"

/* From this place of a line on, its bytes are at this offset of the log. */
struct dv_expect_part {
	size_t at;
	uint64_t offset;
};

/* The line of one stream that is being put together. */
struct dv_expect_line {
	char text[DV_EXPECT_LINE_MAX];
	size_t len;
	size_t from;         /* what is before it was matched already */
	size_t seen;         /* so long when it was last looked at */
	bool middle;         /* its beginning is somewhere else */
	uint64_t unix_ns;    /* of its last byte */
	struct dv_buf parts; /* of struct dv_expect_part */
};

struct dv_expect_cond {
	enum dv_expect_kind kind;
	regex_t re; /* DV_EXPECT_MATCH; owned */
	uint64_t ns;
};

struct dv_expect_found {
	size_t cond;
	size_t at, len; /* in the line */
};

enum { DV_EXPECT_STREAMS = 2 };

struct dv_expect {
	struct dv_loop *loop;
	char id[DV_SANDBOX_ID_LEN + 1];
	struct dv_sandbox_log *log; /* owned */
	struct dv_expect_cond *conds;
	size_t n_conds;
	struct dv_expect_stream {
		struct dv_expect_line line;
		bool finished; /* the line is, and was not looked at to its end
				*/
	} * streams;           /* owned; stdout, stderr */
	/* What was read and not looked at. */
	struct dv_sandbox_piece piece;
	bool gap, run_ended;
	bool over;       /* there will be no more */
	bool told_ended; /* the end of the last run was a result */
	uint64_t lost;
	/* The wait. */
	struct dv_expect_result *result; /* NULL: there is none */
	dv_expect_fn *fn;
	void *arg;
	struct dv_src src;
	struct dv_defer again;
	struct dv_timer timer;
	uint64_t began_ns, output_ns;
};

/* Append up to the end of the line. How many bytes were taken; *donep: the line
 * is finished (or full). -ENOMEM. */
int64_t dv_expect_feed(struct dv_expect_line *line, const char *bytes,
		       size_t len, uint64_t offset, bool *donep);
/* Look for the first match. @finished: nothing more comes of this line. */
bool dv_expect_look(struct dv_expect_line *line,
		    const struct dv_expect_cond *conds, size_t n, bool finished,
		    struct dv_expect_found *found);
/* Where that byte of the line is in the log. */
uint64_t dv_expect_offset(const struct dv_expect_line *line, size_t at);
/* The next line. @middle: it is not at its beginning. */
void dv_expect_next_line(struct dv_expect_line *line, bool middle);
