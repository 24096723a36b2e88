/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The ways to send messages between two processes that bench/mesh compares. A
 * way that blocks has send() and recv(), and mesh_peer.c does the rest; davit
 * has loops of its own.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the client asks the server for, in a message of its own before it. */
struct bench_order {
	uint64_t op;    /* enum bench_op */
	uint64_t n;     /* messages that follow */
	uint64_t len;   /* bytes of each */
	uint64_t n_fds; /* descriptors in each */
};

enum bench_op {
	BENCH_ECHO = 1, /* each comes back */
	BENCH_SINK,     /* one comes back after the last */
};

enum { BENCH_MSG = 64, BENCH_LEN_MAX = 16 << 20 };

struct bench_way {
	const char *name;
	/* @fd: one end of a socket pair; @path: a name of a socket that does
	 * not exist yet. A way uses one of them. After fork(). Exits when it
	 * fails. */
	void *(*open)(int fd, const char *path, bool server);
	void (*send)(void *way, const void *data, size_t len);
	/* One message of exactly @len bytes. False: the other side is gone. */
	bool (*recv)(void *way, void *data, size_t len);
	void (*close)(void *way);
};

extern const struct bench_way bench_way_raw, bench_way_zmq, bench_way_nng;

/* davit: serve until the client goes; and carry out one order. @window: of a
 * port, 0: as always. */
void bench_davit_serve(int fd, uint32_t window);
void *bench_davit_open(int fd, uint32_t window);
void bench_davit_close(void *way);
/* The round trips' times go to @ns (n of them); NULL: not wanted. */
void bench_davit_order(void *way, const struct bench_order *order,
		       uint64_t *ns);
/* Send and receive @n messages between two ports of one process, @burst before
 * the loop delivers them. */
void bench_davit_local(void *way, size_t n, size_t burst);

/* Says what failed and exits with 1. */
_Noreturn void bench_die(const char *what);
