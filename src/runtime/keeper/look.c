/* SPDX-License-Identifier: MIT */
#include "runtime/keeper/look.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "runtime/keeper/keeper.h"

enum {
	PATH_LEN = 64,
	STAT_MAX = 16 << 10,
	CMDLINE_MAX = 4096,       /* shown of it */
	MOUNTINFO_MAX = 16 << 20, /* thousands of volumes */
	SHOWN_MAX = 65536,        /* entries */
	/* Fields of /proc/PID/stat behind the name, from 0. */
	F_STATE = 0,
	F_PARENT = 1,
	F_UTIME = 11,
	F_STIME = 12,
	F_THREADS = 17,
	F_START = 19,
	F_RSS = 21,
	F_N,
};

static char *read_of(pid_t pid, const char *file, size_t max)
{
	char path[PATH_LEN], *text = NULL;

	dv_fmt(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return dv_read_file(AT_FDCWD, path, max, &text, NULL) < 0 ? NULL : text;
}

/* ---- one process -------------------------------------------------------- */

static uint64_t ticks_to(uint64_t ticks, uint64_t per_second)
{
	return ticks * per_second / (uint64_t)sysconf(_SC_CLK_TCK);
}

static uint64_t boot_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) +
	       (uint64_t)ts.tv_nsec;
}

/* The name, which anybody may choose, ends with the last ')'. */
int dv_look_parse_stat(struct dv_look *l, char *text)
{
	char *name = strchr(text, '('), *p = strrchr(text, ')');
	uint64_t f[F_N] = { 0 }, age;

	if (!name || !p || p < name || strlen(p) < 4)
		return -ESRCH;
	*p = '\0';
	dv_fmt(l->comm, sizeof(l->comm), "%s", name + 1);
	p += 2;
	l->state = *p++;
	for (int i = F_PARENT; i < F_N; i++)
		f[i] = strtoull(p, &p, 10);
	l->parent = (pid_t)f[F_PARENT];
	l->user_us = ticks_to(f[F_UTIME], 1000000);
	l->system_us = ticks_to(f[F_STIME], 1000000);
	l->threads = (uint32_t)f[F_THREADS];
	l->rss = f[F_RSS] * (uint64_t)sysconf(_SC_PAGESIZE);
	age = boot_ns();
	f[F_START] = ticks_to(f[F_START], UINT64_C(1000000000));
	l->age_ns = age > f[F_START] ? age - f[F_START] : 0;
	return 0;
}

/* The last of several numbers is the innermost. */
static pid_t last_number(const char *text, const char *key)
{
	const char *p = text ? strstr(text, key) : NULL;
	long last = 0;

	if (!p)
		return 0;
	for (p += strlen(key); *p && *p != '\n';) {
		char *end;

		last = strtol(p, &end, 10);
		if (end == p)
			break;
		p = end;
	}
	return (pid_t)last;
}

static uint32_t first_number(const char *text, const char *key)
{
	const char *p = text ? strstr(text, key) : NULL;

	return p ? (uint32_t)strtoul(p + strlen(key), NULL, 10) : 0;
}

int dv_look_at(struct dv_look *l, pid_t pid)
{
	dv_autofree char *stat = read_of(pid, "stat", STAT_MAX);
	dv_autofree char *status = NULL;
	uint32_t rss_kib;
	int r;

	*l = (struct dv_look){ .pid = pid };
	if (!stat)
		return -ESRCH;
	status = read_of(pid, "status", STAT_MAX);
	l->inside = last_number(status, "\nNSpid:");
	l->uid = first_number(status, "\nUid:");
	r = dv_look_parse_stat(l, stat);
	/* That of stat is a guess, which leaves out what few pages each CPU has
	 * counted; since Linux 6.17 this is not. */
	rss_kib = first_number(status, "\nVmRSS:");
	if (r == 0 && rss_kib)
		l->rss = (uint64_t)rss_kib * 1024;
	return r;
}

/* ---- all of them -------------------------------------------------------- */

/* Words are separated by NULs; a process may have overwritten them. */
static void show_command(struct dv_inspect *in, pid_t pid, const char *comm)
{
	char path[PATH_LEN], text[CMDLINE_MAX];
	ssize_t n = -1;

	dv_fmt(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	dv_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = dv_read_full(fd, text, sizeof(text));
	while (n > 0 && text[n - 1] == '\0')
		n--;
	for (ssize_t i = 0; i < n; i++)
		if (text[i] == '\0')
			text[i] = ' ';
	if (n > 0)
		dv_inspect_strn(in, "command", text, (size_t)n, 0);
	else
		dv_inspect_str(in, "command", comm, 0);
}

struct one {
	struct dv_keeper *k;
	pid_t pid;
};

static void show_one(struct dv_inspect *in, void *obj)
{
	const struct one *o = obj;
	struct dv_exec *exec;
	struct dv_look l;

	if (dv_look_at(&l, o->pid) < 0)
		return;
	exec = o->k->procs ? dv_procs_find(o->k->procs, 0, o->pid) : NULL;
	dv_inspect_i64(in, "pid", l.pid, 0);
	dv_inspect_i64(in, "pid_inside", l.inside, 0);
	dv_inspect_i64(in, "parent", l.parent, 0);
	dv_inspect_u64(in, "uid", l.uid, 0);
	dv_inspect_strn(in, "state", &l.state, 1, 0);
	dv_inspect_str(in, "name", l.comm, 0);
	dv_inspect_u64(in, "threads", l.threads, 0);
	dv_inspect_u64(in, "user_us", l.user_us, DV_NODE_COUNT);
	dv_inspect_u64(in, "system_us", l.system_us, DV_NODE_COUNT);
	dv_inspect_u64(in, "rss_bytes", l.rss, 0);
	dv_inspect_u64(in, "age_ns", l.age_ns, 0);
	dv_inspect_bool(in, "first", o->pid == o->k->info.pid, 0);
	if (exec && !dv_exec_record(exec))
		dv_inspect_u64(in, "exec", dv_exec_id(exec), 0);
	if (dv_inspect_wants(in, "command", 0))
		show_command(in, o->pid, l.comm);
}

void dv_keeper_show_top(struct dv_inspect *in, void *obj)
{
	dv_autofree pid_t *list = NULL;
	struct one o = { obj, 0 };
	int n = dv_keeper_pids(o.k, &list);

	n = dv_min(n, (int)SHOWN_MAX);
	for (int i = 0; i < n; i++) {
		o.pid = list[i];
		dv_inspect_dir_u64(in, (uint64_t)o.pid, show_one, &o, 0);
	}
}

/* ---- mounts ------------------------------------------------------------- */

/* "\040" for a blank, and three more; in place. */
static char *unescape(char *s)
{
	char *to = s;

	for (const char *p = s; *p; p++) {
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' &&
		    p[2] <= '7' && p[3] >= '0' && p[3] <= '7') {
			*to++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 |
				       (p[3] - '0'));
			p += 3;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
	return s;
}

static void show_mount(struct dv_inspect *in, void *obj)
{
	struct dv_look_mount *m = obj;

	dv_inspect_str(in, "target", m->target, 0);
	dv_inspect_str(in, "type", m->type, 0);
	dv_inspect_str(in, "source", m->source, 0);
	dv_inspect_str(in, "root", m->root, 0);
	dv_inspect_str(in, "options", m->options, 0);
	dv_inspect_str(in, "super", m->super, 0);
}

static char *next_field(char **p)
{
	static char none[] = "";
	char *field = strsep(p, " ");

	return field ? field : none;
}

void dv_look_parse_mount(struct dv_look_mount *m, char *line)
{
	char *p = line, *field;

	next_field(&p); /* id */
	next_field(&p); /* parent */
	next_field(&p); /* device */
	m->root = unescape(next_field(&p));
	m->target = unescape(next_field(&p));
	m->options = next_field(&p);
	do
		field = next_field(&p);
	while (p && strcmp(field, "-") != 0);
	m->type = next_field(&p);
	m->source = unescape(next_field(&p));
	m->super = next_field(&p);
}

void dv_keeper_show_mounts(struct dv_inspect *in, void *obj)
{
	struct dv_keeper *k = obj;
	dv_autofree char *text = NULL;
	char *p, *line;
	uint64_t n = 0;

	/* Without namespaces they are the machine's, which nobody asked for. */
	if (!k->run || k->run->plain || !k->run->proc.pid)
		return;
	text = read_of(k->run->proc.pid, "mountinfo", MOUNTINFO_MAX);
	p = text;
	while (n < SHOWN_MAX && (line = strsep(&p, "\n")) && *line) {
		struct dv_look_mount m;

		dv_look_parse_mount(&m, line);
		dv_inspect_dir_u64(in, n++, show_mount, &m, 0);
	}
}
