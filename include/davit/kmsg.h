/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Kernel log records: as /dev/kmsg gives them, as diag servers stream them, and
 * as a serial console shows them.
 */
#include <stddef.h>
#include <stdint.h>

#include <davit/err.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A record; fields are only appended. */
struct dv_kmsg {
	uint32_t level;    /* 0 emergency to 7 debug, as in syslog(3) */
	uint32_t facility; /* 0 kernel, 1 user, ... */
	uint64_t seq;      /* 0 on a serial console, which has none */
	uint64_t usec;     /* since boot */
	char flag;         /* '-', or 'c' and '+': a part of a longer line */
	const char *text;  /* bytes, escapes undone; a NUL follows */
	size_t text_len;
	const char *dict; /* lines of KEY=value, escaped as they came */
	size_t dict_len;
};

/*
 * Splits a stream of records, each with a NUL behind it, and parses them. A
 * record that is longer than 64 KiB, or that is none, is counted and skipped.
 */
struct dv_kmsg_iter;

/* Returns 0 or -ENOMEM. */
DV_API int dv_kmsg_iter_new(struct dv_kmsg_iter **itp);
/* NULL is allowed. Returns NULL. */
DV_API struct dv_kmsg_iter *dv_kmsg_iter_free(struct dv_kmsg_iter *it);
/*
 * Give it the next bytes of the stream; all of them are taken, so records have
 * to be fetched before the next call. Returns 0, -ENOMEM, or -EMSGSIZE when
 * there is more than 1 MiB of records to be fetched.
 */
DV_API int dv_kmsg_iter_feed(struct dv_kmsg_iter *it, const void *data,
			     size_t len);
/* The next record, valid until the next call; NULL when there is none yet. */
DV_API const struct dv_kmsg *dv_kmsg_iter_next(struct dv_kmsg_iter *it);
/* Records that were skipped so far. */
DV_API uint64_t dv_kmsg_iter_bad(const struct dv_kmsg_iter *it);

enum dv_kmsg_form {
	DV_KMSG_PLAIN,  /* "[5.140900] text" */
	DV_KMSG_COLOUR, /* the same with terminal colours */
	DV_KMSG_JSON,   /* one object, {"seq":...} */
};

/*
 * Write the record as one line, without a newline: control characters that
 * could act on a terminal are shown as <1b>, but in JSON, which has its own
 * escapes. As snprintf(): returns the length it has or would have, and always
 * ends @out with a NUL; -ENOMEM.
 */
DV_API int dv_kmsg_format(const struct dv_kmsg *rec, enum dv_kmsg_form form,
			  char *out, size_t size);

/*
 * A line of a serial console, "<n>[ secs.usecs] text", with or without a line
 * end. @rec borrows from @line. Returns 0, or -EBADMSG for anything else.
 */
DV_API int dv_kmsg_parse_serial(const char *line, size_t len,
				struct dv_kmsg *rec);

#ifdef __cplusplus
}
#endif
