/* SPDX-License-Identifier: MIT */
#include "services/inspect_procs.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "services/exec.h"

enum {
	CMDLINE_MAX = 4096, /* shown of it */
	PATH_LEN = 64,
	FILE_MAX = 4096,
};

static const char *const states[] = { "starting", "running", "exited" };
static_assert(DV_ARRAY_LEN(states) == DV_EXEC_STATE_N, "one name per state");
static const char *const streams[] = { "stdin", "stdout", "stderr" };
static const char *const pumps[] = { "idle", "reading", "writing", "lingering",
				     "done" };
static_assert(DV_ARRAY_LEN(pumps) == DV_PUMP_N, "one name per state");

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

/* ---- one process ------------------------------------------------------ */

static void show_cmdline(struct dv_inspect *in, const struct dv_exec *e)
{
	dv_autobuf text = DV_BUF_INIT(CMDLINE_MAX);

	for (size_t i = 0; i < e->n_argv; i++) {
		if (i)
			dv_buf_putc(&text, ' ');
		dv_buf_puts(&text, e->argv[i]);
	}
	dv_inspect_strn(in, "cmdline", text.data ? text.data : "", text.len, 0);
}

/* The second number of statm, in pages. */
static uint64_t rss_of(pid_t pid)
{
	dv_autofree char *text = NULL;
	char path[PATH_LEN];
	const char *at;

	dv_fmt(path, sizeof(path), "/proc/%d/statm", (int)pid);
	if (dv_read_file(AT_FDCWD, path, FILE_MAX, &text, NULL) < 0)
		return 0;
	at = strchr(text, ' ');
	return at ? (uint64_t)strtoull(at, NULL, 10) *
			       (uint64_t)sysconf(_SC_PAGESIZE)
		  : 0;
}

static void show_fds(struct dv_inspect *in, void *obj)
{
	const struct dv_exec *e = obj;
	char path[PATH_LEN], to[PATH_MAX];
	DIR *dir;

	dv_fmt(path, sizeof(path), "/proc/%d/fd", (int)e->pid);
	dir = opendir(path);
	if (!dir)
		return;
	for (struct dirent *d; (d = readdir(dir));) {
		ssize_t n;

		if (d->d_name[0] == '.')
			continue;
		n = readlinkat(dirfd(dir), d->d_name, to, sizeof(to));
		if (n >= 0)
			dv_inspect_strn(in, d->d_name, to, (size_t)n, 0);
	}
	closedir(dir);
}

static const struct dv_inspect_field exit_fields[] = {
	DV_FIELD("code", dv_ExitRecord, code, DV_FIELD_I32, 0),
	DV_FIELD("signal", dv_ExitRecord, signal, DV_FIELD_I32, 0),
	DV_FIELD("core", dv_ExitRecord, core, DV_FIELD_BOOL, 0),
	DV_FIELD("oom", dv_ExitRecord, oom, DV_FIELD_BOOL, 0),
	DV_FIELD("timed_out", dv_ExitRecord, timed_out, DV_FIELD_BOOL, 0),
	DV_FIELD("ended_by", dv_ExitRecord, ended_by, DV_FIELD_STR, 0),
	DV_FIELD("end_unix_ns", dv_ExitRecord, end_unix_ns, DV_FIELD_U64, 0),
	DV_FIELD("user_us", dv_ExitRecord, user_us, DV_FIELD_U64, 0),
	DV_FIELD("system_us", dv_ExitRecord, system_us, DV_FIELD_U64, 0),
	DV_FIELD("max_rss_kib", dv_ExitRecord, max_rss_kib, DV_FIELD_U64, 0),
};

static void show_exit(struct dv_inspect *in, void *obj)
{
	struct dv_exec *e = obj;

	dv_inspect_fields(in, exit_fields, DV_ARRAY_LEN(exit_fields),
			  &e->record);
}

static void show_kept(struct dv_inspect *in, const struct dv_kept *k)
{
	uint64_t from =
		k->end_at > DV_KEEP_BYTES ? k->end_at - DV_KEEP_BYTES : 0;
	uint64_t n = 0;

	for (const struct dv_sink *s = k->sinks; s; s = s->next)
		n++;
	dv_inspect_u64(in, "bytes", k->end_at, DV_NODE_COUNT);
	dv_inspect_u64(in, "kept_from", from, 0);
	dv_inspect_u64(in, "readers", n, 0);
	dv_inspect_bool(in, "ended", k->from < 0, 0);
}

static void show_stream(struct dv_inspect *in, void *obj)
{
	const struct dv_stream *s = obj;
	const struct dv_pump *p = &s->pump;

	dv_inspect_str(in, "mode", s->mode, 0);
	if (s->kept.loop) {
		show_kept(in, &s->kept);
	} else if (s->kept.dropped) {
		dv_inspect_bool(in, "dropped", true, 0);
	} else if (p->loop) {
		dv_inspect_str(in, "state", pumps[p->state], 0);
		dv_inspect_u64(in, "bytes", p->bytes, DV_NODE_COUNT);
		dv_inspect_u64(in, "held", p->len - p->off, 0);
	}
}

static void show_streams(struct dv_inspect *in, void *obj)
{
	struct dv_exec *e = obj;

	for (int i = 0; i < 3; i++)
		dv_inspect_dir(in, streams[i], show_stream, &e->stream[i], 0);
}

static void show_exec(struct dv_inspect *in, void *obj)
{
	struct dv_exec *e = obj;

	dv_inspect_str(in, "name", base_name(e->argv[0]), 0);
	show_cmdline(in, e);
	dv_inspect_u64(in, "id", e->id, 0);
	dv_inspect_str(in, "state", states[e->state], 0);
	dv_inspect_bool(in, "terminal", e->terminal, 0);
	dv_inspect_u64(in, "start_unix_ns", e->record.start_unix_ns, 0);
	if (e->state == DV_EXEC_EXITED) {
		dv_inspect_dir(in, "exit", show_exit, e, 0);
	} else {
		if (dv_inspect_wants(in, "rss", 0))
			dv_inspect_u64(in, "rss", rss_of(e->pid), 0);
		dv_inspect_dir(in, "fds", show_fds, e, 0);
	}
	dv_inspect_dir(in, "streams", show_streams, e, 0);
}

/* ---- all of them ------------------------------------------------------ */

/* Of two with one pid, the later one is shown. */
static int show_one(void *arg, struct dv_exec *e)
{
	struct dv_inspect *in = arg;

	if (dv_procs_find(e->procs, 0, e->pid) == e)
		dv_inspect_dir_u64(in, (uint64_t)e->pid, show_exec, e, 0);
	return 0;
}

void dv_procs_inspect(struct dv_inspect *in, void *obj)
{
	dv_procs_each(obj, show_one, in);
}

static void show_name(struct dv_inspect *in, void *obj)
{
	const struct dv_exec *e = obj;

	dv_inspect_str(in, "name", base_name(e->argv[0]), 0);
}

static int show_host(void *arg, struct dv_exec *e)
{
	struct dv_inspect *in = arg;

	if (e->state == DV_EXEC_RUNNING)
		dv_inspect_dir_u64(in, (uint64_t)e->pid, show_name, e, 0);
	return 0;
}

static void show_self(struct dv_inspect *in, void *obj)
{
	const struct dv_procs *ps = obj;

	dv_inspect_str(in, "name", ps->opts.name ? ps->opts.name : "davit", 0);
}

void dv_procs_inspect_hosts(struct dv_inspect *in, void *obj)
{
	dv_inspect_dir_u64(in, (uint64_t)getpid(), show_self, obj, 0);
	dv_procs_each(obj, show_host, in);
}
