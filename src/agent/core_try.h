/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For the tests of core dumps: a process to be dumped, and a core in memory.
 */
#include <elf.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/core.h"
#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/test.h"
#include "engine/child.h"

enum { TRY_WAIT_MS = 20000 };

/* ---- a process to be dumped ------------------------------------------- */

/* It answers every byte with the next number, until its socket is closed. */
struct target {
	pid_t pid;
	int sock;
	uint32_t answers;
};

static inline _Noreturn void target_serve(int sock)
{
	uint32_t n = 0;
	char byte;

	while (dv_read(sock, &byte, 1) == 1) {
		n++;
		dv_write_full(sock, &n, sizeof(n));
	}
	dv_child_end(0);
}

/* @setup runs in the process before it says that it is ready. */
static inline struct target target_start(void (*setup)(void))
{
	struct target t = { 0 };
	int sock[2];
	uint32_t zero = 0;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), 0);
	t.pid = fork();
	if (t.pid == 0) {
		close(sock[0]);
		if (setup)
			setup();
		dv_write_full(sock[1], &zero, sizeof(zero));
		target_serve(sock[1]);
	}
	close(sock[1]);
	t.sock = sock[0];
	CHECK(t.pid > 0);
	CHECK_EQ(dv_read_full(t.sock, &zero, sizeof(zero)), sizeof(zero));
	return t;
}

/* Is it alive and does it run? */
static inline void target_answers(struct target *t)
{
	struct pollfd p = { .fd = t->sock, .events = POLLIN };
	uint32_t n = 0;

	CHECK_EQ(dv_write_full(t->sock, "x", 1), 0);
	CHECK_EQ(poll(&p, 1, TRY_WAIT_MS), 1);
	CHECK_EQ(dv_read_full(t->sock, &n, sizeof(n)), sizeof(n));
	CHECK_EQ(n, ++t->answers);
}

static inline void target_end(struct target *t)
{
	int status;

	close(t->sock);
	CHECK_EQ(waitpid(t->pid, &status, 0), t->pid);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 0);
}

/*
 * A socketpair for a core, which goes into the second one. It holds little: a
 * core that nobody reads is not over, however small it and fast the dumper is.
 */
static inline void core_pair(int out[2])
{
	const int least = 4096;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out), 0);
	CHECK_EQ(setsockopt(out[1], SOL_SOCKET, SO_SNDBUF, &least,
			    sizeof(least)),
		 0);
}

/* ---- a core in memory --------------------------------------------------- */

struct core {
	struct dv_buf bytes;
	Elf64_Ehdr e;
	Elf64_Phdr *p; /* owned */
};

static inline void core_free(struct core *c)
{
	dv_buf_free(&c->bytes);
	free(c->p);
}

static inline void core_slurp(struct core *c, int fd)
{
	ssize_t n;

	*c = (struct core){ .bytes = DV_BUF_INIT(1 << 30) };
	do {
		char *room = dv_buf_room(&c->bytes, 65536);

		CHECK(room);
		n = dv_read(fd, room, 65536);
		CHECK(n >= 0);
		dv_buf_add(&c->bytes, (size_t)n);
	} while (n > 0);
}

/* The file ends exactly with the last byte of the last segment. */
static inline void core_parse(struct core *c)
{
	uint64_t end = 0;
	size_t size;

	CHECK(c->bytes.len > sizeof(c->e));
	memcpy(&c->e, c->bytes.data, sizeof(c->e));
	CHECK_EQ(memcmp(c->e.e_ident, ELFMAG, SELFMAG), 0);
	CHECK_EQ(c->e.e_type, ET_CORE);
	size = c->e.e_phnum * sizeof(*c->p);
	c->p = malloc(size);
	CHECK(c->p);
	CHECK(c->bytes.len > sizeof(c->e) + size);
	memcpy(c->p, c->bytes.data + sizeof(c->e), size);
	for (int i = 0; i < c->e.e_phnum; i++)
		end = c->p[i].p_offset + c->p[i].p_filesz;
	CHECK_EQ(c->bytes.len, end);
}

/* The bytes of that address; NULL when they are not in the file. */
static inline const char *core_at(const struct core *c, const void *at)
{
	uint64_t addr = (uintptr_t)at;

	for (int i = 1; i < c->e.e_phnum; i++)
		if (addr >= c->p[i].p_vaddr &&
		    addr - c->p[i].p_vaddr < c->p[i].p_filesz)
			return c->bytes.data + c->p[i].p_offset +
			       (addr - c->p[i].p_vaddr);
	return NULL;
}

/* Is the address in a segment at all? */
static inline bool core_has(const struct core *c, const void *at)
{
	uint64_t addr = (uintptr_t)at;

	for (int i = 1; i < c->e.e_phnum; i++)
		if (addr >= c->p[i].p_vaddr &&
		    addr - c->p[i].p_vaddr < c->p[i].p_memsz)
			return true;
	return false;
}

/* Note number @nth of that type, NULL when there are fewer. */
static inline const char *core_note(const struct core *c, uint32_t type,
				    int nth, uint32_t *lenp)
{
	const char *p = c->bytes.data + c->p[0].p_offset;
	const char *end = p + c->p[0].p_filesz;

	while (p < end) {
		const char *desc;
		Elf64_Nhdr n;

		memcpy(&n, p, sizeof(n));
		desc = p + sizeof(n) + (n.n_namesz + 3) / 4 * 4;
		p = desc + (n.n_descsz + 3) / 4 * 4;
		CHECK(p <= end);
		if (n.n_type != type || nth-- > 0)
			continue;
		*lenp = n.n_descsz;
		return desc;
	}
	CHECK_EQ((intptr_t)p, (intptr_t)end);
	return NULL;
}

static inline int core_count(const struct core *c, uint32_t type)
{
	uint32_t len;
	int n = 0;

	while (core_note(c, type, n, &len))
		n++;
	return n;
}

static inline pid_t core_tid(const struct core *c, int nth)
{
	struct elf_prstatus s;
	uint32_t len = 0;
	const char *p = core_note(c, NT_PRSTATUS, nth, &len);

	CHECK(p);
	CHECK_EQ(len, sizeof(s));
	memcpy(&s, p, sizeof(s));
	return s.pr_pid;
}
