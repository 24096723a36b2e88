/* SPDX-License-Identifier: MIT */
/*
 * DOC: what a keeper could not do
 *
 * A keeper has nobody who reads its stderr. Its warnings and errors go to
 * STATEDIR/<id>/keeper.log, which the first of them makes: most keepers have
 * none. At LOG_MAX it becomes keeper.log.1, and the one of before goes. It
 * outlives the keeper, and says more about its end than a lock that is free.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "runtime/store/priv.h"

enum {
	LOG_MAX = 32 << 10, /* a few hundred lines */
	LINE_ROOM = 2048,   /* of a level's name, a time, and a line */
};

static const char file[] = "keeper.log", before[] = "keeper.log.1";

/* Who cannot say it has nobody to say that to. */
static void append(int dirfd, const char *line, size_t len)
{
	dv_autofd int full = dv_store_append(dirfd, file, line, len, LOG_MAX);

	if (full >= 0)
		(void)renameat(dirfd, file, dirfd, before);
}

static void put_time(struct dv_buf *out)
{
	const time_t now = (time_t)(dv_unix_ns() / UINT64_C(1000000000));
	char text[40] = "";
	struct tm tm;

	if (gmtime_r(&now, &tm))
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	dv_buf_puts(out, text);
}

void dv_store_log(int statefd, enum dv_level level, const char *line)
{
	dv_autobuf text = DV_BUF_INIT(LINE_ROOM);

	put_time(&text);
	dv_buf_putf(&text, " %s: %s\n",
		    level == DV_LOG_ERROR ? "error" : "warning", line);
	if (dv_buf_status(&text) == 0)
		append(statefd, text.data, text.len);
}

/* A line may go beyond the maximum. */
static int read_it(const struct dv_store *s, const char *id, const char *name,
		   char **textp, struct dv_err *err)
{
	char path[sizeof(s->state_path) + DV_SANDBOX_ID_LEN + 2];
	dv_autofd int fd = -1;
	size_t len;

	dv_fmt(path, sizeof(path), "%s/%s", s->state_path, id);
	fd = s->state < 0 ? -ENOENT
			  : dv_store_sub(s->state, s->state_path, id, err);
	return fd < 0 ? fd
		      : dv_store_read(fd, path, name, LOG_MAX + LINE_ROOM,
				      textp, &len, err);
}

int dv_store_read_log(const char *id, char **textp, struct dv_err *err)
{
	dv_autostore s = DV_STORE_INIT;
	int r = dv_store_open(&s, err);

	if (r == 0)
		r = read_it(&s, id, file, textp, err);
	/* It was turned over, and nothing has been said since. */
	if (r == -ENOENT)
		r = read_it(&s, id, before, textp, err);
	return r;
}
