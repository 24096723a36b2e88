/* SPDX-License-Identifier: MIT */
#include "runtime/log/outlog_entry.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/def.h"

void dv_outlog_encode(uint8_t out[DV_OUTLOG_ENTRY],
		      const struct dv_outlog_entry *entry)
{
	dv_put_le64(out, entry->offset);
	dv_put_le64(out + 8, entry->unix_ns);
	dv_put_le32(out + 16, entry->len);
	out[20] = entry->stream;
	out[21] = entry->flags;
	out[22] = 0;
	out[23] = 0;
	dv_put_le64(out + 24, entry->lost);
}

/* Flags of later versions are none of our business. */
static bool makes_sense(const struct dv_outlog_entry *e)
{
	return e->stream <= 2 && (e->stream == 0) == (e->len == 0) &&
	       ((e->flags & DV_OUTLOG_F_LOST) != 0) == (e->lost != 0) &&
	       e->lost <= INT64_MAX &&
	       e->offset <= (uint64_t)INT64_MAX - e->len;
}

int dv_outlog_decode(struct dv_outlog_entry *e,
		     const uint8_t in[DV_OUTLOG_ENTRY])
{
	static const uint8_t dropped[DV_OUTLOG_ENTRY];
	struct dv_rd rd = dv_rd_mem(in, DV_OUTLOG_ENTRY);

	if (memcmp(in, dropped, sizeof(dropped)) == 0)
		return -ENODATA;
	e->offset = dv_rd_le64(&rd);
	e->unix_ns = dv_rd_le64(&rd);
	e->len = dv_rd_le32(&rd);
	e->stream = dv_rd_u8(&rd);
	e->flags = dv_rd_u8(&rd);
	dv_rd_le16(&rd);
	e->lost = dv_rd_le64(&rd);
	return makes_sense(e) ? 0 : -EBADMSG;
}

int dv_outlog_read_entry(int idx_fd, uint64_t at, struct dv_outlog_entry *entry)
{
	uint8_t raw[DV_OUTLOG_ENTRY];
	ssize_t n;

	do
		n = pread(idx_fd, raw, sizeof(raw), (off_t)at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n < (ssize_t)sizeof(raw) ? -ENODATA
					: dv_outlog_decode(entry, raw);
}

/* Where the first byte is that is not zero, of @len; @len: nowhere. */
static size_t first_byte(const uint8_t *p, size_t len)
{
	size_t at = 0;

	while (at < len && p[at] == 0)
		at++;
	return at;
}

/* What the file system says is a hole is not read, but for its last entry:
 * entries are dropped in their order. */
static uint64_t skip_hole(int idx_fd, uint64_t from, uint64_t to)
{
	struct dv_outlog_entry e;
	off_t data = lseek(idx_fd, (off_t)from, SEEK_DATA);
	uint64_t at = to;

	if (data < 0 && errno != ENXIO)
		return from;
	if (data >= 0)
		at = dv_min((uint64_t)data, to);
	at -= at % DV_OUTLOG_ENTRY;
	if (at <= from ||
	    dv_outlog_read_entry(idx_fd, at - DV_OUTLOG_ENTRY, &e) != -ENODATA)
		return from;
	return at;
}

uint64_t dv_outlog_first(int idx_fd, uint64_t from, uint64_t to)
{
	uint8_t buf[128 * DV_OUTLOG_ENTRY];

	from = skip_hole(idx_fd, from, to);
	while (from < to) {
		size_t len = (size_t)dv_min(to - from, (uint64_t)sizeof(buf));
		ssize_t n = pread(idx_fd, buf, len, (off_t)from);
		size_t at;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < DV_OUTLOG_ENTRY)
			return n < 0 ? from : to;
		at = first_byte(buf, (size_t)n);
		from += at - at % DV_OUTLOG_ENTRY;
		if (at < (size_t)n)
			return from;
	}
	return dv_min(from, to);
}

uint64_t dv_outlog_find(int idx_fd, uint64_t from, uint64_t to,
			bool (*is_it)(const struct dv_outlog_entry *entry,
				      uint64_t arg),
			uint64_t arg)
{
	uint64_t low = from / DV_OUTLOG_ENTRY, high = to / DV_OUTLOG_ENTRY;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;
		struct dv_outlog_entry e;
		int r = dv_outlog_read_entry(idx_fd, mid * DV_OUTLOG_ENTRY, &e);

		if (r == -ENODATA || (r == 0 && !is_it(&e, arg)))
			low = mid + 1;
		else
			high = mid;
	}
	return low * DV_OUTLOG_ENTRY;
}

bool dv_outlog_begins_at(const struct dv_outlog_entry *entry, uint64_t arg)
{
	return entry->offset >= arg;
}

bool dv_outlog_ends_behind(const struct dv_outlog_entry *entry, uint64_t arg)
{
	return entry->offset >= arg || entry->offset + entry->len > arg;
}

bool dv_outlog_is_since(const struct dv_outlog_entry *entry, uint64_t arg)
{
	return entry->unix_ns >= arg;
}
