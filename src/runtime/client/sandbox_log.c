/* SPDX-License-Identifier: MIT */
#include "runtime/client/sandbox_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/fmt.h"
#include "base/opts.h"
#include "runtime/client/sandbox.h"

enum { PATH_SIZE = 240 };

static int no_log(const char *id, struct dv_err *err)
{
	if (err)
		*err = (struct dv_err)DV_ERR_INIT;
	dv_err_hint(err, "its output went to whoever started it: davit run "
			 "--log keeps a copy");
	return dv_err_set(err, ENOENT, DV_NOT_FOUND, "sandbox %s has no log",
			  id);
}

/* Does it live, and where is its log? The document knows, if it can be read. */
static bool ask_document(const char *id, char **pathp)
{
	struct dv_sandbox_info info = { .size = sizeof(info) };
	bool lives;

	*pathp = NULL;
	if (dv_store_look(id, &info, NULL) < 0)
		return false;
	lives = info.state != DV_STATE_EXITED && info.state != DV_STATE_DEAD;
	if (info.log && info.log[0])
		*pathp = dv_take_ptr(&info.log);
	dv_sandbox_info_free(&info);
	return lives;
}

static int watch_log(struct dv_sandbox_log *log, const char *path,
		     uint64_t until, struct dv_err *err)
{
	char idx[PATH_MAX];
	int r = 0;

	if (!log->follow)
		return 0;
	dv_fmt(idx, sizeof(idx), "%s.idx", path);
	r = dv_endwatch_file(&log->watch, idx, err);
	if (r == 0 && until && until != UINT64_MAX)
		r = dv_endwatch_until(&log->watch, until, err);
	return r;
}

/* First watch, then look, or something may happen between the two. */
static int open_log(struct dv_sandbox_log *log, const char *id,
		    const struct dv_sandbox_log_opts *opts, bool bare,
		    struct dv_err *err)
{
	dv_autofree char *named = NULL;
	char own[PATH_SIZE], base[200];
	const char *path = own;
	bool lives;
	int r = dv_statedir(base, sizeof(base), err);

	if (r == 0 && log->follow)
		r = dv_endwatch_open(&log->watch, id, err);
	if (r < 0)
		return r;
	lives = ask_document(id, &named);
	dv_fmt(own, sizeof(own), "%s/%s/log", base, id);
	r = dv_outlog_reader_new(&log->reader, AT_FDCWD, path, opts, err);
	if (r == -ENOENT && named) {
		path = named;
		r = dv_outlog_reader_new(&log->reader, AT_FDCWD, path, opts,
					 err);
	}
	if (r == -ENOENT)
		return bare ? 0 : no_log(id, err);
	if (r == 0)
		r = watch_log(log, path, opts->until_unix_ns, err);
	if (r == 0 && !lives)
		dv_outlog_reader_over(log->reader);
	return r;
}

int dv_sandbox_log_open_id(const char *id, struct dv_sandbox_log **logp,
			   const struct dv_sandbox_log_opts *opts, bool bare,
			   struct dv_err *err)
{
	struct dv_sandbox_log *log = calloc(1, sizeof(*log));
	int r;

	*logp = NULL;
	if (!log)
		return dv_err_sys(err, ENOMEM, "read a log");
	log->watch = (struct dv_endwatch)DV_ENDWATCH_INIT;
	log->follow = opts->follow;
	r = open_log(log, id, opts, bare, err);
	if (r < 0)
		dv_sandbox_log_free(log);
	else
		*logp = log;
	return r;
}

int dv_sandbox_log_open(struct dv_sandbox *sb, struct dv_sandbox_log **logp,
			const struct dv_sandbox_log_opts *opts,
			struct dv_err *err)
{
	struct dv_sandbox_log_opts o = DV_SANDBOX_LOG_INIT;
	int r = opts ? dv_opts_copy(&o, sizeof(o), opts, err) : 0;

	if (r == 0 && (o.streams & ~(DV_DIAG_STDOUT | DV_DIAG_STDERR)))
		r = dv_err_set(err, EINVAL, DV_INVALID,
			       "a log has stdout and stderr");
	return r < 0 ? r : dv_sandbox_log_open_id(sb->id, logp, &o, false, err);
}

struct dv_sandbox_log *dv_sandbox_log_free(struct dv_sandbox_log *log)
{
	if (!log)
		return NULL;
	dv_outlog_reader_free(log->reader);
	dv_endwatch_close(&log->watch);
	free(log);
	return NULL;
}

static int next(struct dv_sandbox_log *log, struct dv_sandbox_piece *piece,
		uint32_t *flags, struct dv_err *err)
{
	if (log->reader)
		return dv_outlog_next(log->reader, piece, flags, err);
	*piece = (struct dv_sandbox_piece){ .data = "" };
	*flags = 0;
	return DV_MORE;
}

int dv_sandbox_log_step(struct dv_sandbox_log *log,
			struct dv_sandbox_piece *piece, uint32_t *flags,
			struct dv_err *err)
{
	int r = next(log, piece, flags, err);

	if (r != DV_MORE)
		return r;
	if (!log->follow)
		return DV_EOF;
	/* What is written from here on makes the descriptor readable. */
	dv_endwatch_check(&log->watch);
	if (log->watch.over && log->reader)
		dv_outlog_reader_over(log->reader);
	r = next(log, piece, flags, err);
	if (r != DV_MORE)
		return r;
	return log->watch.over || log->watch.passed ? DV_EOF : DV_MORE;
}

int dv_sandbox_log_next(struct dv_sandbox_log *log,
			struct dv_sandbox_piece *piece, struct dv_err *err)
{
	uint32_t flags;
	int r;

	do
		r = dv_sandbox_log_step(log, piece, &flags, err);
	while (r == 0 && piece->len == 0 && piece->lost == 0);
	return r;
}

int dv_sandbox_log_fd(const struct dv_sandbox_log *log)
{
	return log->watch.ep;
}
