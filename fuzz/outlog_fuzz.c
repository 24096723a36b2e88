/* SPDX-License-Identifier: MIT */
/*
 * The index of a log, read beside a log of a known pattern. The first eight
 * bytes say how long the log is and what is asked for, the rest is the index.
 * Beside memory errors it looks for a reader that does not end, for pieces that
 * go back, and for bytes that are not those of their offset.
 */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "runtime/log/outlog.h"

enum { HEAD = 8, INPUT_MAX = 65536, LOG_MAX = 1 << 18 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char pattern(uint64_t at)
{
	return (char)(at % 7 == 6 ? '\n' : 'a' + at % 23);
}

/* Files that only memory knows, kept for all inputs. */
static int file(int *fdp, const void *data, size_t len)
{
	if (*fdp < 0)
		*fdp = memfd_create("outlog", MFD_CLOEXEC);
	if (*fdp < 0 || ftruncate(*fdp, 0) < 0 ||
	    pwrite(*fdp, data, len, 0) != (ssize_t)len)
		abort();
	return dv_fd_dup(*fdp, 3);
}

static int log_file(size_t len)
{
	static char text[LOG_MAX];
	static int fd = -1;

	if (!text[0])
		for (size_t i = 0; i < sizeof(text); i++)
			text[i] = pattern(i);
	return file(&fd, text, len);
}

static void check(const struct dv_sandbox_piece *p, uint64_t *posp)
{
	const char *bytes = p->data;

	dv_assert(p->offset >= *posp);
	dv_assert(p->len <= DV_OUTLOG_PIECE_MAX);
	for (size_t i = 0; i < p->len; i++)
		dv_assert(bytes[i] == pattern(p->offset + i));
	*posp = p->offset + p->len;
}

static void read_all(struct dv_outlog_reader *r, size_t entries)
{
	struct dv_sandbox_piece p;
	uint64_t pos = 0;
	uint32_t flags;
	size_t pieces = 0;
	int n;

	while ((n = dv_outlog_next(r, &p, &flags, NULL)) == 0) {
		check(&p, &pos);
		dv_assert(p.len || p.lost || flags);
		dv_assert(pieces++ <= 4 * entries + LOG_MAX);
	}
	/* How it ended is how it stays. */
	dv_assert(dv_outlog_next(r, &p, &flags, NULL) != 0);
	dv_assert(n < 0 || n == DV_MORE || n == DV_EOF);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dv_sandbox_log_opts o = DV_SANDBOX_LOG_INIT;
	struct dv_outlog_reader *r;
	struct dv_rd rd = dv_rd_mem(data, size);
	static int idx_fd = -1;
	size_t log_len;

	if (size < HEAD || size > INPUT_MAX)
		return 0;
	log_len = (size_t)dv_rd_le16(&rd) * 4;
	o.offset = dv_rd_le16(&rd);
	o.streams = dv_rd_u8(&rd) & (DV_DIAG_STDOUT | DV_DIAG_STDERR);
	o.tail = (int64_t)dv_rd_u8(&rd) - 1;
	o.since_unix_ns = dv_rd_u8(&rd);
	o.until_unix_ns = dv_rd_u8(&rd);
	o.follow = o.offset & 1;
	if (dv_outlog_reader_of(&r, log_file(log_len),
				file(&idx_fd, rd.p, rd.left), &o, NULL) < 0)
		return 0;
	dv_outlog_reader_over(r);
	read_all(r, rd.left / DV_OUTLOG_ENTRY);
	dv_outlog_reader_free(r);
	return 0;
}
