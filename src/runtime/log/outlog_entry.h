/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Looking things up in an index: for its writer and its readers.
 */
#include <stdbool.h>

#include "runtime/log/outlog.h"

/* The entry at byte @at of an index: 0, -ENODATA (dropped, or behind the end),
 * -EBADMSG, or what reading said. */
int dv_outlog_read_entry(int idx_fd, uint64_t at,
			 struct dv_outlog_entry *entry);

/* Append an entry without bytes, with DV_OUTLOG_F_* in it. What cannot be
 * written is in log->sys. */
void dv_outlog_mark(struct dv_outlog *log, uint8_t flags);

/* The first place in [@from, @to) whose entry was not dropped, or @to. */
uint64_t dv_outlog_first(int idx_fd, uint64_t from, uint64_t to);

/*
 * The first place in [@from, @to) whose entry is not dropped and for which
 * @is_it is true, or @to. It has to be so for all behind the first, and is not
 * asked of entries that make no sense: they count as behind.
 */
uint64_t dv_outlog_find(int idx_fd, uint64_t from, uint64_t to,
			bool (*is_it)(const struct dv_outlog_entry *entry,
				      uint64_t arg),
			uint64_t arg);

/* For dv_outlog_find(). @arg: an offset; an offset; ns. */
bool dv_outlog_begins_at(const struct dv_outlog_entry *entry, uint64_t arg);
/* Also what has no bytes, and is just there. */
bool dv_outlog_ends_behind(const struct dv_outlog_entry *entry, uint64_t arg);
bool dv_outlog_is_since(const struct dv_outlog_entry *entry, uint64_t arg);
