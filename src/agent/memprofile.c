/* SPDX-License-Identifier: MIT */
#include "agent/memprofile.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/worker.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/json.h"

/* A name is longer than that only in tests of filesystems; it is cut. */
#define NAME_LEN 256
/* The text of smaps that is read at most: about 10,000 mappings. */
#define TEXT_MAX  (8 * 1024 * 1024)
#define CHUNK     16384
#define OTHERS    "(others)"
#define ANONYMOUS "(anonymous)"

enum field { SIZE, RSS, PSS, DIRTY, ANON, SWAP, N_FIELDS };

/* What the kernel calls it, and what we do. */
static const struct {
	const char *line, *key;
} fields[N_FIELDS] = {
	[SIZE] = { "Size", "size" },
	[RSS] = { "Rss", "rss" },
	[PSS] = { "Pss", "pss" },
	[DIRTY] = { "Private_Dirty", "private_dirty" },
	[ANON] = { "Anonymous", "anonymous" },
	[SWAP] = { "Swap", "swap" },
};

struct row {
	char name[NAME_LEN];
	uint64_t count, kib[N_FIELDS];
};

/* Rows are borrowed memory of DV_MEMPROFILE_ROWS + 1: the last is the others.
 */
struct table {
	struct row *rows;
	size_t n;
	uint64_t left_out; /* mappings in the last row */
};

static struct row *row_of(struct table *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (!strncmp(t->rows[i].name, name, NAME_LEN - 1))
			return &t->rows[i];
	if (t->n == DV_MEMPROFILE_ROWS) {
		t->left_out++;
		return &t->rows[DV_MEMPROFILE_ROWS];
	}
	strncpy(t->rows[t->n].name, name, NAME_LEN - 1);
	return &t->rows[t->n++];
}

/* "55d0c000-55d0d000 r--p 00000000 fe:00 1234   /usr/bin/x": its last part. */
static const char *mapping_name(const char *line)
{
	for (int i = 0; i < 5; i++) {
		line += strcspn(line, " ");
		line += strspn(line, " ");
	}
	return *line ? line : ANONYMOUS;
}

/* "Rss:      132 kB" adds to the row; other lines are not ours. */
static void add_field(struct row *row, const char *line)
{
	size_t len = strcspn(line, ":");

	for (int i = 0; i < N_FIELDS; i++)
		if (strlen(fields[i].line) == len &&
		    !strncmp(fields[i].line, line, len))
			row->kib[i] +=
				line[len] ? strtoull(line + len + 1, NULL, 10)
					  : 0;
}

/* Lines of a mapping begin with its address, those of a field with a capital.
 */
static void take_line(struct table *t, struct row **at, const char *line)
{
	if (!isupper((unsigned char)line[0])) {
		*at = row_of(t, mapping_name(line));
		(*at)->count++;
	} else if (*at) {
		add_field(*at, line);
	}
}

/* Complete lines of @text; returns how much that was. */
static size_t take_lines(struct table *t, struct row **at, char *text)
{
	char *p = text;

	for (char *nl; (nl = strchr(p, '\n')); p = nl + 1) {
		*nl = '\0';
		take_line(t, at, p);
	}
	return (size_t)(p - text);
}

/* Piece by piece, so that a process of many mappings costs no memory. */
static int read_smaps(int fd, struct table *t)
{
	dv_autofree char *buf = malloc(CHUNK + 1);
	size_t len = 0, total = 0;
	struct row *at = NULL;

	if (!buf)
		return -ENOMEM;
	while (total < TEXT_MAX) {
		ssize_t n = dv_read(fd, buf + len, CHUNK - len);
		size_t used;

		if (n <= 0)
			return (int)n;
		total += (size_t)n;
		len += (size_t)n;
		buf[len] = '\0';
		used = take_lines(t, &at, buf);
		len -= used;
		memmove(buf, buf + used, len);
		if (len == CHUNK)
			return -EBADMSG; /* no line is that long */
	}
	return 0;
}

static int by_pss(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->kib[PSS] != y->kib[PSS])
		return x->kib[PSS] < y->kib[PSS] ? 1 : -1;
	return strcmp(x->name, y->name);
}

static void put_fields(struct dv_json *j, const struct row *row)
{
	for (int i = 0; i < N_FIELDS; i++)
		dv_json_u64(j, fields[i].key, row->kib[i]);
}

static void put_row(struct dv_json *j, const struct row *row)
{
	dv_json_open(j, NULL, '{');
	dv_json_str(j, "name", row->name);
	dv_json_u64(j, "count", row->count);
	put_fields(j, row);
	dv_json_close(j, '}');
}

static void put_mappings(struct dv_json *j, struct table *t)
{
	qsort(t->rows, t->n, sizeof(*t->rows), by_pss);
	dv_json_open(j, "mappings", '[');
	for (size_t i = 0; i < t->n; i++)
		put_row(j, &t->rows[i]);
	if (t->left_out)
		put_row(j, &t->rows[DV_MEMPROFILE_ROWS]);
	dv_json_close(j, ']');
	dv_json_u64(j, "mappings_left_out", t->left_out);
}

static void put_heap(struct dv_json *j)
{
	struct mallinfo2 m = mallinfo2();

	dv_json_open(j, "heap", '{');
	dv_json_str(j, "unit", "B");
	dv_json_u64(j, "arena", m.arena);
	dv_json_u64(j, "in_use", m.uordblks);
	dv_json_u64(j, "free", m.fordblks);
	dv_json_u64(j, "top", m.keepcost);
	dv_json_u64(j, "mmap", m.hblkhd);
	dv_json_u64(j, "mmap_count", m.hblks);
	dv_json_close(j, '}');
}

/* The kernel's own sum has more exact shares, but not the size. */
static bool read_rollup(int dir, struct row *sum)
{
	dv_autofree char *text = NULL;
	struct table one = { sum, 1, 0 };
	struct row *at = sum;
	char *body;
	size_t len;

	if (dv_read_file(dir, "smaps_rollup", CHUNK, &text, &len) < 0)
		return false;
	/* Its first line looks like that of a mapping. */
	body = strchr(text, '\n');
	if (body)
		take_lines(&one, &at, body + 1);
	return body != NULL;
}

/* A kernel thread has no memory: empty text, all zeros. */
static void put_total(struct dv_json *j, int dir, const struct table *t)
{
	struct row sum = { 0 };
	int n = read_rollup(dir, &sum) ? SIZE + 1 : N_FIELDS;

	for (size_t i = 0; i <= DV_MEMPROFILE_ROWS; i++) {
		for (int f = 0; f < n; f++)
			sum.kib[f] += t->rows[i].kib[f];
		sum.count += t->rows[i].count;
	}
	dv_json_open(j, "total", '{');
	dv_json_u64(j, "count", sum.count);
	put_fields(j, &sum);
	dv_json_close(j, '}');
}

static void put_name(struct dv_json *j, int dir)
{
	dv_autofree char *comm = NULL;
	size_t len;

	if (dv_read_file(dir, "comm", NAME_LEN, &comm, &len) == 0)
		dv_json_strn(j, "name", comm, strcspn(comm, "\n"));
}

static int open_proc(pid_t pid, struct dv_err *err)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return dv_err_set(err, ESRCH, DV_NOT_FOUND,
				  "Process with PID %d not found", pid);
	return fd < 0 ? dv_err_sys(err, errno, "open %s", path) : fd;
}

static int read_table(int dir, struct table *t)
{
	dv_autofd int fd = openat(dir, "smaps", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : read_smaps(fd, t);
}

int dv_memprofile(struct dv_buf *out, pid_t pid, struct dv_err *err)
{
	dv_autofd int dir = pid > 0 ? open_proc(pid, err) : -ESRCH;
	dv_autofree struct row *rows =
		calloc(DV_MEMPROFILE_ROWS + 1, sizeof(*rows));
	struct table t = { rows, 0, 0 };
	struct dv_json j = DV_JSON_INIT(out);
	int r;

	if (pid <= 0)
		return dv_err_set(err, ESRCH, DV_NOT_FOUND,
				  "Process with PID %d not found", pid);
	if (dir < 0)
		return dir;
	if (!rows)
		return dv_err_sys(err, ENOMEM, "profile process %d", pid);
	strncpy(rows[DV_MEMPROFILE_ROWS].name, OTHERS, NAME_LEN - 1);
	r = read_table(dir, &t);
	if (r < 0)
		return dv_err_sys(err, -r, "read the mappings of process %d",
				  pid);
	dv_json_open(&j, NULL, '{');
	dv_json_i64(&j, "pid", pid);
	put_name(&j, dir);
	dv_json_str(&j, "unit", "KiB");
	put_total(&j, dir, &t);
	put_mappings(&j, &t);
	if (pid == getpid())
		put_heap(&j);
	dv_json_close(&j, '}');
	r = dv_buf_status(out);
	return r < 0 ? dv_err_sys(err, -r, "profile process %d", pid) : 0;
}

/* ---- to a client ------------------------------------------------------ */

struct dv_memprofile_flow {
	struct dv_worker *worker;
	dv_outflow_done *done;
	void *arg;
};

/* What the worker gets with the fork. */
struct job {
	pid_t pid;
	struct dv_buf text; /* not empty: it is there already */
};

static int work(struct dv_work *w, void *arg, struct dv_err *err)
{
	struct job *j = arg;
	int r = j->text.len ? 0 : dv_memprofile(&j->text, j->pid, err);

	if (r < 0)
		return r;
	dv_work_started(w);
	return dv_work_write(w, j->text.data, j->text.len, err);
}

static void on_done(void *arg, uint64_t bytes, const struct dv_err *err)
{
	struct dv_memprofile_flow *m = arg;

	m->done(m->arg, bytes, err);
}

int dv_memprofile_start(struct dv_memprofile_flow **mp, struct dv_loop *loop,
			int out, pid_t pid, dv_outflow_done *done, void *arg,
			struct dv_err *err)
{
	struct dv_memprofile_flow *m = calloc(1, sizeof(*m));
	struct job job = { pid, DV_BUF_INIT(SIZE_MAX) };
	struct dv_worker_opts o = {
		.name = "davit-memory",
		.fn = work,
		.fn_arg = &job,
	};
	int r = m ? 0 : dv_err_sys(err, ENOMEM, "profile process %d", pid);

	if (r == 0 && pid == getpid())
		r = dv_memprofile(&job.text, pid, err);
	if (r < 0) {
		dv_close(out);
	} else {
		*m = (struct dv_memprofile_flow){ NULL, done, arg };
		r = dv_worker_start(&m->worker, loop, out, &o, on_done, m, err);
	}
	dv_buf_free(&job.text);
	if (r < 0)
		free(m);
	else
		*mp = m;
	return r;
}

struct dv_memprofile_flow *dv_memprofile_flow_free(struct dv_memprofile_flow *m)
{
	if (m)
		dv_worker_free(m->worker);
	free(m);
	return NULL;
}
