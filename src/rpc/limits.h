/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Every limit of the connections that carry calls, each with its reason. Bytes
 * unless the name says otherwise.
 */
enum {
	/* What every ttrpc implementation accepts: more is never sent. */
	DV_RPC_SEND_MAX = 4 << 20,
	/* What is received on ports that are open to everybody's tools. */
	DV_RPC_RECV_MAX = 4 << 20,
	/* Diagnostics: what the first server of that protocol accepts. */
	DV_RPC_RECV_DIAG_MAX = (16 << 20) - 1,
	/* A client hears from servers of that protocol as well. */
	DV_RPC_RECV_CLIENT_MAX = (16 << 20) - 1,
	/* One connection of each process of a large machine. */
	DV_RPC_CONNS_MAX = 1024,
	/* Wait for every exec of a server that keeps 1,024 records. */
	DV_RPC_CALLS_MAX = 1024,
	/* Unsent answers of a connection: above it nothing more is read. One
	 * answer of the largest size may wait without slowing anything. */
	DV_RPC_QUEUE_SOFT = 4 << 20,
	/* Held calls may still add to it up to here; then they fail. */
	DV_RPC_QUEUE_HARD = 16 << 20,
	/* And up to here with these failures; then the connection ends. */
	DV_RPC_QUEUE_END = 17 << 20,
	/* Unfinished requests and unsent answers of all connections together:
	 * eight of the longest ones. Beyond that whoever has most of them loses
	 * a connection. */
	DV_RPC_HELD_MAX = 128 << 20,
	/* Calls in flight on all connections together: 32 with all that they
	 * may have, some 16 MiB. Then whoever has most of them gets no more. */
	DV_RPC_IN_FLIGHT_MAX = 32 << 10,
	/* One read: what a unix socket holds of small frames, and more. */
	DV_RPC_READ_LEN = 64 << 10,
	/* Frames of one connection handled in a row: some 100 us. */
	DV_RPC_TURN_FRAMES = 64,
	/* Descriptors with one message: three streams, or one per interface
	 * of a capture, and some. The kernel's own limit is 253. */
	DV_RPC_FDS_MAX = 16,
	/* Streams of clients that are open at a time: three for each of the
	 * 1,024 execs that a server keeps, and some. */
	DV_RPC_STREAMS_MAX = 4096,
	/* Structs of calls that are kept for the next ones, per server and
	 * per client: more than this are rarely in flight. */
	DV_RPC_SPARE_MAX = 64,
	/* Buffers larger than this are freed when they become empty. */
	DV_RPC_KEEP_LEN = 64 << 10,
	/* One read into the rest of a long frame: what a socket holds. */
	DV_RPC_READ_LONG = 256 << 10,
	/* A request that is kept to be repeated by another program: those
	 * that are, name a process. Longer ones are mostly padding, and fail
	 * at a restart. */
	DV_RPC_REPLAY_MAX = 4 << 10,
	/* What floods may take of the descriptors of this process: a fourth
	 * each for connections and unclaimed data connections, an eighth for
	 * those who say nothing. The rest is for work. */
	DV_RPC_CONNS_PART = 4,
	DV_RPC_DATA_PART = 4,
	DV_RPC_SILENT_PART = 8,
	/* Streams that were claimed: most have a pipe, a pidfd or an open file
	 * beside them, so this is a third of the descriptors. */
	DV_RPC_STREAMS_PART = 6,
};

/*
 * @max, but not more than one part in @part of how many descriptors this
 * process may have; at least 1.
 */
unsigned int dv_rpc_fd_share(unsigned int max, unsigned int part);
