/* SPDX-License-Identifier: MIT */
/*
 * DOC: who loses packets
 *
 * The kernel queues packets for the socket and drops what does not fit. We read
 * them only while the stream to the client has room, so a client that is slow
 * makes the kernel drop, which it counts: memory is bounded on both sides, and
 * "received" minus "written" is exactly what was lost.
 */
#include "agent/capture_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "base/def.h"
#include "base/fd.h"
#include "wire/pcapng.h"

/* Packets in one callback, then others have their turn. */
#define READ_BUDGET 256
/* The kernel's queue: a burst of a thousand full-sized packets. */
#define KERNEL_QUEUE (2 * 1024 * 1024)
/* Its counters have 32 bits and start anew when they are read. */
#define RECOUNT_AFTER (UINT64_C(1) << 30)
#define NS_PER_SEC    UINT64_C(1000000000)
#define MACS_LEN      12 /* of an Ethernet header, before the tag */
#define TAG_LEN       4

struct packet {
	uint64_t unix_ns;
	uint32_t cap, orig;
	bool tagged;
	uint16_t tpid, tci;
};

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

/* The kernel keeps @len bytes of a packet; with 0, it takes no more packets. */
static int set_filter(const struct dv_tap *t, uint32_t len)
{
	struct sock_filter ret = BPF_STMT(BPF_RET | BPF_K, len);
	struct sock_fprog prog = { 1, &ret };

	return setsockopt(t->fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog,
			  sizeof(prog));
}

/* Packets come once the socket is bound, with all options set before. */
static int bind_tap(const struct dv_tap *t)
{
	struct sockaddr_ll at = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = t->iface.index,
	};

	return bind(t->fd, (const struct sockaddr *)&at, sizeof(at));
}

int dv_tap_open(struct dv_tap *t, struct dv_err *err)
{
	const char *name = t->iface.name;

	/* Protocol 0: nothing is received before bind(). */
	t->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (t->fd < 0 && errno == EPERM)
		dv_err_hint(err, "it needs CAP_NET_RAW in the agent's network "
				 "namespace");
	if (t->fd < 0)
		return dv_err_sys(err, errno, "capture packets of %s", name);
	if (set_option(t->fd, SOL_SOCKET, SO_RCVBUFFORCE, KERNEL_QUEUE) < 0)
		set_option(t->fd, SOL_SOCKET, SO_RCVBUF, KERNEL_QUEUE);
	if (set_filter(t, t->snaplen) < 0 ||
	    set_option(t->fd, SOL_SOCKET, SO_TIMESTAMPNS, 1) < 0 ||
	    set_option(t->fd, SOL_PACKET, PACKET_AUXDATA, 1) < 0)
		return dv_err_sys(err, errno, "prepare capture of %s", name);
	/* On the loopback, each packet would be seen leaving and arriving. */
	if (t->iface.loopback &&
	    set_option(t->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1) < 0)
		return dv_err_sys(err, errno, "prepare capture of %s", name);
	if (bind_tap(t) < 0)
		return dv_err_sys(err, errno, "capture packets of %s", name);
	return 0;
}

void dv_tap_close(struct dv_tap *t)
{
	dv_src_del(&t->src);
	dv_outflow_deinit(&t->out);
	t->fd = dv_close(t->fd);
}

/* ---- one packet ------------------------------------------------------- */

static void read_aux(struct packet *p, const struct tpacket_auxdata *aux)
{
	p->orig = aux->tp_len;
	p->tagged = aux->tp_status & TP_STATUS_VLAN_VALID;
	p->tci = aux->tp_vlan_tci;
	p->tpid = aux->tp_status & TP_STATUS_VLAN_TPID_VALID ? aux->tp_vlan_tpid
							     : ETH_P_8021Q;
}

static void read_control(struct packet *p, struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == SOL_SOCKET &&
		    c->cmsg_type == SCM_TIMESTAMPNS) {
			struct timespec ts;

			memcpy(&ts, CMSG_DATA(c), sizeof(ts));
			p->unix_ns = (uint64_t)ts.tv_sec * NS_PER_SEC +
				     (uint64_t)ts.tv_nsec;
		} else if (c->cmsg_level == SOL_PACKET &&
			   c->cmsg_type == PACKET_AUXDATA) {
			struct tpacket_auxdata aux;

			memcpy(&aux, CMSG_DATA(c), sizeof(aux));
			read_aux(p, &aux);
		}
	}
}

/* Put the tag back to where it was on the cable. */
static void insert_tag(const struct dv_tap *t, struct packet *p)
{
	uint8_t *at = t->scratch + MACS_LEN;

	p->orig += TAG_LEN;
	if (p->cap < MACS_LEN)
		return;
	memmove(at + TAG_LEN, at, p->cap - MACS_LEN);
	at[0] = (uint8_t)(p->tpid >> 8);
	at[1] = (uint8_t)p->tpid;
	at[2] = (uint8_t)(p->tci >> 8);
	at[3] = (uint8_t)p->tci;
	p->cap = dv_min(p->cap + TAG_LEN, t->snaplen);
}

/* Returns 0, -EAGAIN or -errno; the bytes are in the scratch. */
static int receive(const struct dv_tap *t, struct packet *p)
{
	union {
		struct cmsghdr align;
		char buf[256];
	} control;
	struct iovec iov = { t->scratch, t->snaplen };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t n;

	do
		n = recvmsg(t->fd, &m, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*p = (struct packet){ .cap = (uint32_t)n, .orig = (uint32_t)n };
	read_control(p, &m);
	if (p->tagged)
		insert_tag(t, p);
	return 0;
}

/* ---- the stream ------------------------------------------------------- */

/* The kernel counts what it gave and what it dropped, together. */
static void recount(struct dv_tap *t)
{
	struct tpacket_stats st;
	socklen_t len = sizeof(st);

	t->recent = 0;
	if (getsockopt(t->fd, SOL_PACKET, PACKET_STATISTICS, &st, &len) == 0)
		t->received += st.tp_packets;
}

static bool has_room(struct dv_tap *t)
{
	size_t need = t->snaplen + DV_PCAPNG_EPB_OVERHEAD;

	return dv_outflow_room(&t->out) >= need;
}

/* A removed interface gives no more packets; one that is down may again. */
static bool is_gone(const struct dv_tap *t)
{
	char name[IF_NAMESIZE];

	return !if_indextoname((unsigned int)t->iface.index, name);
}

/* Up to the budget. Returns 0 with more to come, -EAGAIN with none, -errno. */
static int take_packets(struct dv_tap *t)
{
	for (int i = 0; i < READ_BUDGET && has_room(t); i++) {
		struct packet p = { 0 };
		int r = receive(t, &p);

		if (r == -ENETDOWN && !is_gone(t))
			continue;
		if (r < 0)
			return r;
		dv_pcapng_put_epb(&t->out.buf, 0, p.unix_ns, t->scratch, p.cap,
				  p.orig);
		t->written++;
		if (++t->recent >= RECOUNT_AFTER)
			recount(t);
	}
	return 0;
}

/* Always fits: packets leave that much room. */
static void put_statistics(struct dv_tap *t)
{
	uint64_t now = dv_unix_ns();

	recount(t);
	t->received = dv_max(t->received, t->written);
	t->out.buf.max = DV_TAP_QUEUE_MAX;
	dv_pcapng_put_isb(&t->out.buf, 0, now, t->received,
			  t->received - t->written);
}

static void end(struct dv_tap *t, int r)
{
	struct dv_err err = DV_ERR_INIT;

	dv_src_del(&t->src);
	put_statistics(t);
	if (r < 0)
		dv_err_sys(&err, -r, "capture packets of %s", t->iface.name);
	dv_outflow_end(&t->out, r < 0 ? &err : NULL);
}

static void step(struct dv_tap *t)
{
	int r;

	do {
		r = take_packets(t);
		dv_outflow_flush(&t->out);
		/* What is left in the kernel's queue is bounded. */
	} while (r == 0 && t->stopping && has_room(t));
	if (r == -ENETDOWN || (r == -EAGAIN && t->stopping))
		end(t, 0);
	else if (r < 0 && r != -EAGAIN)
		end(t, r);
	else if (!has_room(t))
		/* An error of the socket cannot be masked: do not watch it. */
		dv_src_del(&t->src);
}

static void on_packets(struct dv_src *src, uint32_t events)
{
	(void)events;
	step(dv_container_of(src, struct dv_tap, src));
}

void dv_tap_resume(struct dv_tap *t)
{
	struct dv_err err = DV_ERR_INIT;
	int r;

	if (t->src.loop || !has_room(t))
		return;
	if (t->stopping) {
		step(t);
		return;
	}
	r = dv_src_add(t->out.loop, &t->src, t->fd, EPOLLIN, on_packets);
	if (r < 0) {
		dv_err_sys(&err, -r, "watch %s", t->iface.name);
		dv_outflow_end(&t->out, &err);
	}
}

void dv_tap_begin(struct dv_tap *t)
{
	struct dv_str name = { t->iface.name, strlen(t->iface.name) };

	t->out.buf.max = DV_TAP_QUEUE_MAX - DV_TAP_SPARE;
	dv_pcapng_put_shb(&t->out.buf);
	dv_pcapng_put_idb(&t->out.buf, DV_PCAPNG_ETHERNET, t->snaplen, name);
	dv_outflow_flush(&t->out);
	dv_tap_resume(t);
}

void dv_tap_finish(struct dv_tap *t)
{
	if (t->out.ended || t->stopping)
		return;
	t->stopping = true;
	dv_src_del(&t->src);
	set_filter(t, 0);
	/* Without room now, dv_tap_resume() goes on. */
	if (has_room(t))
		step(t);
}
