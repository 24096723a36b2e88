/* SPDX-License-Identifier: MIT */
#include "agent/core_proc.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/num.h"
#include "wire/elfcore.h"

enum {
	PROC_FILE_MAX = 65536, /* status grows with the number of groups */
	AUXV_MAX = 4096,       /* the kernel's has about 25 entries of 16 */
	KTHREAD = 0x00200000,  /* PF_KTHREAD, in the flags of /proc/PID/stat */
	/* Of /dev/kmsg. */
	KMSG_MAX = 256 * 1024,
	KMSG_RECORD_MAX = 16 * 1024, /* the kernel's are at most 8 KiB */
	KMSG_RECORDS = 1 << 20, /* whoever logs faster than we read loses */
};

/* Owned by the caller; NULL with *@r set. */
static char *read_proc(pid_t pid, const char *name, int *r)
{
	char path[64], *text = NULL;

	dv_fmt(path, sizeof(path), "/proc/%d/%s", pid, name);
	*r = dv_read_file(AT_FDCWD, path, PROC_FILE_MAX, &text, NULL);
	return *r < 0 ? NULL : text;
}

/* ---- status and stat -------------------------------------------------------
 */

/* The first number behind "\n@key\t"; 0 when it is not there. */
static uint64_t status_field(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (const char *p = text; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (strncmp(p, key, len) == 0)
			return strtoull(p + len, NULL, 10);
	}
	return 0;
}

/* @p is behind the name: " S 1 2 3 ..."; the state is field 3. */
static void stat_fields(const char *p, struct dv_core_proc *pr)
{
	long long v[20] = { 0 };
	char *end;

	pr->state = p[0] && p[1] ? p[1] : '?';
	p += p[0] && p[1] ? 2 : 0;
	for (size_t i = 4; i < DV_ARRAY_LEN(v); i++, p = end) {
		v[i] = strtoll(p, &end, 10);
		if (end == p)
			break;
	}
	pr->ppid = (pid_t)v[4];
	pr->pgrp = (pid_t)v[5];
	pr->sid = (pid_t)v[6];
	pr->flags = (uint64_t)v[9];
	pr->nice = (int)v[19];
}

/* "12 (a name) S ...": the name may contain anything, ") " too. */
static int read_stat(pid_t pid, struct dv_core_proc *p)
{
	int r;
	dv_autofree char *text = read_proc(pid, "stat", &r);
	char *open = text ? strchr(text, '(') : NULL;
	char *close = text ? strrchr(text, ')') : NULL;

	if (!text)
		return r;
	if (!open || !close || close < open)
		return -EIO;
	*close = '\0';
	dv_fmt(p->comm, sizeof(p->comm), "%s", open + 1);
	stat_fields(close + 1, p);
	return 0;
}

static int read_status(pid_t pid, struct dv_core_proc *p)
{
	int r;
	dv_autofree char *text = read_proc(pid, "status", &r);

	if (!text)
		return r;
	p->pid = (pid_t)status_field(text, "Tgid:");
	p->tracer = (pid_t)status_field(text, "TracerPid:");
	p->uid = (uint32_t)status_field(text, "Uid:");
	p->gid = (uint32_t)status_field(text, "Gid:");
	return p->pid > 0 ? 0 : -EIO;
}

/* Long ones are cut, so this is no read_proc(). */
static void read_args(pid_t pid, struct dv_core_proc *p)
{
	char path[64];

	dv_fmt(path, sizeof(path), "/proc/%d/cmdline", pid);
	dv_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : dv_read_full(fd, p->args, sizeof(p->args) - 1);

	n = dv_max(n, 0);
	for (ssize_t i = 0; i + 1 < n; i++)
		if (p->args[i] == '\0')
			p->args[i] = ' ';
	p->args[n] = '\0';
}

static int read_all(pid_t pid, struct dv_core_proc *p)
{
	int r = read_status(pid, p);

	if (r == 0)
		r = read_stat(p->pid, p);
	if (r == 0)
		read_args(p->pid, p);
	return r == -ENOENT ? -ESRCH : r;
}

int dv_core_proc_read(pid_t pid, struct dv_core_proc *p, struct dv_err *err)
{
	*p = (struct dv_core_proc){ 0 };
	int r = pid > 0 ? read_all(pid, p) : -ESRCH;

	if (r == -ESRCH)
		return dv_err_set(err, ESRCH, DV_NOT_FOUND,
				  "there is no process %d", pid);
	if (r < 0)
		return dv_err_sys(err, -r, "look at process %d", pid);
	if (p->pid == getpid()) {
		dv_err_hint(err, "let another process dump it");
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "process %d cannot dump itself", pid);
	}
	if (p->flags & KTHREAD) {
		dv_err_hint(err, "it has no memory of its own");
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "process %d (%s) is a kernel thread", pid,
				  p->comm);
	}
	return 0;
}

bool dv_core_proc_ended(pid_t tid)
{
	struct dv_core_proc p = { 0 };
	int r = read_stat(tid, &p);

	return r == -ENOENT || r == -ESRCH || p.state == 'Z' || p.state == 'X';
}

/* The value of yama's setting; 0 where there is no yama. */
static int ptrace_scope(void)
{
	dv_autofree char *text = NULL;

	if (dv_read_file(AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope", 64,
			 &text, NULL) < 0)
		return 0;
	return text[0] - '0';
}

int dv_core_proc_refused(pid_t tid, int sys, struct dv_err *err)
{
	struct dv_core_proc p = { 0 };
	int scope = ptrace_scope();

	read_all(tid, &p);
	if (p.tracer > 0) {
		dv_err_hint(err, "end the debugger or tracer first");
		return dv_err_set(err, sys, DV_PRECONDITION,
				  "process %d is already traced by process %d",
				  tid, p.tracer);
	}
	if (p.uid != geteuid() && geteuid() != 0)
		dv_err_hint(err, "it belongs to user %u: be that user, or root",
			    p.uid);
	else if (scope > 0)
		dv_err_hint(err, "kernel.yama.ptrace_scope is %d: be root",
			    scope);
	else
		dv_err_hint(err, "it takes CAP_SYS_PTRACE in its user "
				 "namespace");
	return dv_err_sys(err, sys, "attach to process %d", tid);
}

uint32_t dv_core_proc_filter(pid_t pid)
{
	int r;
	dv_autofree char *text = read_proc(pid, "coredump_filter", &r);

	return text ? (uint32_t)strtoul(text, NULL, 16) : 0;
}

/* ---- notes -----------------------------------------------------------------
 */

static int auxv_note(pid_t pid, struct dv_buf *notes)
{
	char path[64], auxv[AUXV_MAX];

	dv_fmt(path, sizeof(path), "/proc/%d/auxv", pid);
	dv_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -errno : dv_read_full(fd, auxv, sizeof(auxv));

	if (n <= 0)
		return (int)n;
	return dv_elfcore_put_note(notes, "CORE", NT_AUXV, auxv, (size_t)n);
}

int dv_core_proc_notes(struct dv_core_proc *p, pid_t tid, struct dv_buf *notes)
{
	if (!p->args[0])
		read_args(tid, p);
	const struct dv_elfcore_process info = {
		.state = p->state,
		.nice = (int8_t)p->nice,
		.flags = p->flags,
		.uid = p->uid,
		.gid = p->gid,
		.pid = p->pid,
		.ppid = p->ppid,
		.pgrp = p->pgrp,
		.sid = p->sid,
		.comm = p->comm,
		.args = p->args,
	};
	int r = dv_elfcore_put_prpsinfo(notes, &info);

	return r < 0 ? r : auxv_note(tid, notes);
}

/* Drop whole records from the front until no more than the maximum is left. */
static void keep_newest(struct dv_buf *log)
{
	if (log->len <= KMSG_MAX)
		return;
	size_t over = log->len - KMSG_MAX;
	const char *line = memchr(log->data + over - 1, '\n', KMSG_MAX);

	dv_buf_drop(log, line ? (size_t)(line + 1 - log->data) : over);
}

/* 0 at the end. */
static int read_kmsg(int fd, struct dv_buf *log)
{
	for (int i = 0; i < KMSG_RECORDS; i++) {
		char *room = dv_buf_room(log, KMSG_RECORD_MAX);
		ssize_t n = room ? dv_read(fd, room, KMSG_RECORD_MAX) : -ENOMEM;

		if (n == -EPIPE) /* overwritten before we read it */
			continue;
		if (n <= 0)
			return n == -EAGAIN ? 0 : (int)n;
		dv_buf_add(log, (size_t)n);
		if (log->len > 2 * KMSG_MAX)
			keep_newest(log);
	}
	return 0;
}

int dv_core_kmsg_note(struct dv_buf *notes, struct dv_log_sink *log)
{
	dv_autobuf text = DV_BUF_INIT(2 * KMSG_MAX + 2 * KMSG_RECORD_MAX);
	dv_autofd int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int r = fd < 0 ? -errno : read_kmsg(fd, &text);

	if (r < 0)
		dv_log(log, DV_LOG_WARN, "kernel log left out error=%s",
		       dv_errno_text(-r));
	if (text.len == 0)
		return 0;
	keep_newest(&text);
	return dv_elfcore_put_note(notes, "KMSG", DV_ELFCORE_NT_CUSTOM,
				   text.data, text.len);
}
