/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What dialling (davit/vsock.h) needs and others may want: the retry table, and
 * the names of the sockets that take a guest's connections.
 */
#include <davit/vsock.h>

enum {
	DV_DIAL_NOT_STARTED_MS = 1000, /* booting takes that long anyway */
	/* A relay that closes has just lost its guest, or its agent restarts:
	 * long enough not to be a storm, too short to be noticed. */
	DV_DIAL_CLOSED_MS = 100,
};

/* The class of a connect() that failed with @sys (> 0; 0 = success). */
struct dv_dial_result dv_dial_classify(int sys);

/*
 * Of a dial to a path that was just started: show the connection to @check
 * before its first byte. 0, or -errno with @err filled, which is how the dial
 * ends then. @fd is borrowed.
 */
typedef int dv_dial_check_fn(void *arg, int fd, struct dv_err *err);
void dv_dial_check(struct dv_dial *dial, dv_dial_check_fn *check, void *arg);

/*
 * "<base>_<port>", where a host listens for a guest's connections to @port.
 * Returns 0 or -ENAMETOOLONG with @err filled.
 */
int dv_vsock_listen_path(char out[DV_VSOCK_PATH_MAX], const char *base,
			 uint32_t port, struct dv_err *err);

/*
 * Where a guest's connection to @port goes: "<base>_<port>" when that exists,
 * else "<base>_<guid of the port>". Returns 0, -ENOENT when neither does, or
 * -ENAMETOOLONG.
 */
int dv_vsock_host_path(char out[DV_VSOCK_PATH_MAX], const char *base,
		       uint32_t port, struct dv_err *err);
