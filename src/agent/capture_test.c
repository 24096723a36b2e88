/* SPDX-License-Identifier: MIT */
/*
 * In a network namespace of its own: the loopback, and a TAP device whose other
 * side is ours. Packets are known by their lengths.
 */
#include "agent/capture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>

#include <linux/capability.h>

#include "agent/flow_try.h"
#include "wire/pcapng.h"

#define NS_PER_SEC  UINT64_C(1000000000)
#define UDP_HEADERS 42 /* Ethernet, IP, UDP */

static uint64_t now_unix_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* ---- a network of our own ---- */

static void set_up(const char *name)
{
	dv_autofd int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { .ifr_flags = IFF_UP };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	CHECK_EQ(ioctl(s, SIOCSIFFLAGS, &req), 0);
}

/* Returns the namespace to go back to, or -1 where we may not make one. */
static int enter_net(void)
{
	int old = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	CHECK(old >= 0);
	if (unshare(CLONE_NEWNET) < 0)
		return dv_close(old);
	set_up("lo");
	return old;
}

static void leave_net(int old)
{
	CHECK_EQ(setns(old, CLONE_NEWNET), 0);
	dv_close(old);
}

#define ENTER_NET()                \
	int old_net = enter_net(); \
	if (old_net < 0)           \
	SKIP("no network namespaces for us here")

/* A TAP device, up. What is written to it arrives there. -1: none here. */
static int make_tap(void)
{
	struct ifreq req = { .ifr_name = "tap0",
			     .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, TUNSETIFF, &req) < 0)
		return dv_close(fd);
	set_up("tap0");
	return fd;
}

/* A socket on the loopback that sends to itself. */
static int make_udp(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(at);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK_EQ(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	CHECK_EQ(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void send_bytes(int fd, size_t len)
{
	static char bytes[60000];

	CHECK_EQ(send(fd, bytes, len, MSG_DONTWAIT), len);
}

/*
 * As send_bytes(), and until it has arrived: a busy machine carries it on only
 * later. Whoever captures it has it before the socket does.
 */
static void send_through(int fd, size_t len)
{
	char byte;

	send_bytes(fd, len);
	CHECK_EQ(recv(fd, &byte, 1, 0), 1);
}

/*
 * The kernel begins to stamp packets a moment after the first socket wants it;
 * until then the time is that of the reading. Wait for that moment: a packet
 * whose time is before its reading.
 */
static void wait_stamps(int fd)
{
	int on = 1;

	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)),
		 0);
	for (;;) {
		char byte, control[256];
		struct iovec iov = { &byte, 1 };
		struct msghdr m = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control,
				    .msg_controllen = sizeof(control) };
		struct timespec ts;
		uint64_t sent;

		send_bytes(fd, 1);
		sent = now_unix_ns();
		CHECK_EQ(recvmsg(fd, &m, 0), 1);
		CHECK(CMSG_FIRSTHDR(&m) != NULL);
		memcpy(&ts, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(ts));
		if ((uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec <=
		    sent)
			return;
	}
}

/* ---- what arrives ---- */

struct seen {
	uint32_t n, orig[64], cap[64];
	uint64_t first_ns, last_ns, received, dropped;
	int n_stats;
	char name[IF_NAMESIZE];
};

static struct seen look(const struct dv_buf *b)
{
	struct dv_pcapng_rd r = DV_PCAPNG_RD_INIT;
	struct dv_rd in = dv_rd_mem(b->data, b->len);
	struct seen s = { 0 };
	struct dv_pcapng_block p;

	while (dv_pcapng_next(&r, &in, &p) == 0) {
		if (p.type == DV_PCAPNG_IDB)
			memcpy(s.name, p.name.ptr, p.name.len);
		if (p.type == DV_PCAPNG_ISB) {
			s.n_stats++;
			s.received = p.received;
			s.dropped = p.dropped;
		}
		if (p.type != DV_PCAPNG_EPB)
			continue;
		if (s.n == 0)
			s.first_ns = p.unix_ns;
		s.last_ns = p.unix_ns;
		s.orig[s.n % 64] = p.orig;
		s.cap[s.n++ % 64] = p.cap;
	}
	CHECK_EQ(in.left, 0);
	dv_pcapng_rd_deinit(&r);
	return s;
}

static struct dv_capture *start(struct try *t, const char *name,
				uint32_t snaplen)
{
	struct dv_capture_opts o = { .snaplen = snaplen,
				     .names = &name,
				     .n_names = 1 };
	struct dv_capture *c = NULL;

	try_open(t, NULL);
	CHECK_EQ(dv_capture_start(&c, t->loop, &t->out, 1, &o, try_done, t,
				  &t->err),
		 0);
	t->out = -1;
	CHECK_EQ(t->done, 0);
	return c;
}

static struct seen stop(struct try *t, struct dv_capture *c)
{
	dv_capture_stop(c);
	if (!t->src.loop)
		try_read(t);
	TRY_UNTIL(t, t->eof && t->done);
	CHECK_EQ(t->err.code, DV_OK);
	CHECK_EQ(t->bytes, t->got.len);
	CHECK_EQ(dv_capture_streams(c), 0);
	CHECK(dv_capture_free(c) == NULL);
	return look(&t->got);
}

TEST(capture_of_the_loopback_has_lengths_and_times)
{
	uint64_t before, after;
	struct dv_capture *c;
	struct seen s;
	struct try t;
	int udp;

	ENTER_NET();
	udp = make_udp();
	wait_stamps(udp);
	c = start(&t, "lo", 0);
	try_read(&t);
	before = now_unix_ns();
	for (size_t i = 0; i < 10; i++)
		send_through(udp, 100 + i);
	send_through(udp, 60000);
	after = now_unix_ns();
	s = stop(&t, c);
	CHECK_EQ(s.n, 11); /* each once, though it left and arrived */
	CHECK_STR(s.name, "lo");
	for (uint32_t i = 0; i < 10; i++) {
		CHECK_EQ(s.orig[i], UDP_HEADERS + 100 + i);
		CHECK_EQ(s.cap[i], s.orig[i]);
	}
	CHECK_EQ(s.cap[10], UDP_HEADERS + 60000);
	CHECK(s.first_ns >= before && s.first_ns <= s.last_ns);
	CHECK(s.last_ns <= after);
	CHECK_EQ(s.n_stats, 1);
	CHECK_EQ(s.received, 11);
	CHECK_EQ(s.dropped, 0);
	dv_close(udp);
	try_close(&t, NULL);
	leave_net(old_net);
}

TEST(capture_with_a_snaplen_keeps_the_original_length)
{
	struct dv_capture *c;
	struct seen s;
	struct try t;
	int udp;

	ENTER_NET();
	udp = make_udp();
	c = start(&t, "lo", 60);
	send_through(udp, 1000);
	send_through(udp, 1);
	s = stop(&t, c);
	CHECK_EQ(s.n, 2);
	CHECK_EQ(s.cap[0], 60);
	CHECK_EQ(s.orig[0], UDP_HEADERS + 1000);
	CHECK_EQ(s.cap[1], UDP_HEADERS + 1);
	dv_close(udp);
	try_close(&t, NULL);
	leave_net(old_net);
}

/* Runs a command; its output, cut. */
static void output_of(const char *cmd, char *out, size_t size)
{
	FILE *f = popen(cmd, "re");
	size_t n;

	CHECK(f != NULL);
	n = fread(out, 1, size - 1, f);
	out[n] = '\0';
	CHECK_EQ(pclose(f), 0);
}

static bool have(const char *program)
{
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "command -v %s >/dev/null 2>&1", program);
	return system(cmd) == 0;
}

TEST(capture_is_read_by_tshark_and_capinfos)
{
	char path[] = "/tmp/davit-capture-XXXXXX", cmd[256], out[4096];
	uint64_t before, after;
	struct dv_capture *c;
	struct try t;
	char *at = out;
	int udp, fd;

	if (!have("tshark") || !have("capinfos"))
		SKIP("there is no tshark");
	ENTER_NET();
	udp = make_udp();
	wait_stamps(udp);
	c = start(&t, "lo", 128);
	before = now_unix_ns();
	for (size_t i = 0; i < 5; i++)
		send_through(udp, 80 + i);
	after = now_unix_ns();
	stop(&t, c);
	dv_close(udp);
	leave_net(old_net);

	fd = mkostemp(path, O_CLOEXEC);
	CHECK_EQ(dv_write_full(fd, t.got.data, t.got.len), 0);
	dv_close(fd);
	snprintf(cmd, sizeof(cmd),
		 "tshark -r %s -T fields -e frame.time_epoch -e frame.len "
		 "-e frame.cap_len -e udp.length -e frame.interface_name "
		 "2>/dev/null",
		 path);
	output_of(cmd, out, sizeof(out));
	for (unsigned int i = 0; i < 5; i++) {
		unsigned long long sec, ns;
		unsigned int len, cap, udp_len;
		char name[16];

		CHECK_EQ(sscanf(at, "%llu.%llu %u %u %u %15s", &sec, &ns, &len,
				&cap, &udp_len, name),
			 6);
		CHECK(sec * NS_PER_SEC + ns >= before);
		CHECK(sec * NS_PER_SEC + ns <= after);
		CHECK_EQ(len, UDP_HEADERS + 80 + i);
		CHECK_EQ(cap, len);
		CHECK_EQ(udp_len, 8 + 80 + i);
		CHECK_STR(name, "lo");
		at = strchr(at, '\n') + 1;
	}
	CHECK_EQ(*at, '\0');
	snprintf(cmd, sizeof(cmd), "capinfos -M -c -I %s", path);
	output_of(cmd, out, sizeof(out));
	CHECK(strstr(out, "Number of packets:   5") != NULL);
	CHECK(strstr(out, "Capture length = 128") != NULL);
	CHECK_EQ(unlink(path), 0);
	try_close(&t, NULL);
}

TEST(slow_client_loses_packets_that_are_counted)
{
	enum { PACKETS = 300, LEN = 50000 };
	struct dv_capture *c;
	struct seen s;
	struct try t;
	int udp;

	ENTER_NET();
	udp = make_udp();
	c = start(&t, "lo", 0);
	for (int i = 0; i < PACKETS; i++) {
		send_through(udp, LEN);
		while (dv_loop_dispatch(t.loop, 0) > 0)
			;
	}
	CHECK_EQ(t.done, 0);
	s = stop(&t, c);
	CHECK_EQ(s.received, PACKETS);
	CHECK(s.dropped > 0);
	CHECK_EQ(s.n + s.dropped, PACKETS);
	CHECK(s.n > 10);
	dv_close(udp);
	try_close(&t, NULL);
	leave_net(old_net);
}

TEST(client_that_never_reads_has_five_seconds)
{
	struct dv_capture *c;
	struct try t;
	int udp;

	ENTER_NET();
	udp = make_udp();
	c = start(&t, "lo", 0);
	for (int i = 0; i < 20; i++)
		send_through(udp, 50000);
	dv_capture_stop(c);
	dv_capture_stop(c);
	TRY_UNTIL(&t, t.done);
	CHECK_EQ(t.err.code, DV_DEADLINE);
	dv_capture_free(c);
	dv_close(udp);
	try_close(&t, NULL);
	leave_net(old_net);
}

TEST(client_that_hangs_up_ends_its_stream)
{
	struct dv_capture *c;
	struct try t;

	ENTER_NET();
	c = start(&t, "lo", 0);
	try_hang_up(&t);
	TRY_UNTIL(&t, t.done);
	CHECK_EQ(t.err.code, DV_OK);
	dv_capture_stop(c);
	dv_capture_free(c);
	try_close(&t, NULL);
	leave_net(old_net);
}

TEST(interfaces_are_listed_and_have_a_stream_each)
{
	struct dv_capture_if ifs[DV_CAPTURE_IFS_MAX];
	struct dv_capture_opts o = { 0 };
	struct dv_capture *c = NULL;
	uint8_t frame[100] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct seen s;
	struct try t, u;
	int outs[3], extra[2], tap;
	bool found = false;
	char byte;

	ENTER_NET();
	tap = make_tap();
	if (tap < 0) {
		leave_net(old_net);
		SKIP("there is no TAP device");
	}
	CHECK_EQ(dv_capture_query(ifs, NULL), 2);
	CHECK_STR(ifs[0].name, "lo");
	CHECK(ifs[0].loopback && !ifs[1].loopback);
	CHECK_STR(ifs[1].name, "tap0");

	try_open(&t, NULL);
	try_open(&u, t.loop);
	try_pair(extra);
	outs[0] = t.out;
	outs[1] = u.out;
	outs[2] = extra[1];
	t.out = u.out = -1;
	CHECK_EQ(
		dv_capture_start(&c, t.loop, outs, 3, &o, try_done, &t, &t.err),
		0);
	CHECK_EQ(dv_read(extra[0], &byte, 1), 0); /* one too many: closed */
	dv_close(extra[0]);
	CHECK_EQ(dv_capture_streams(c), 2);
	frame[12] = 0x88;
	frame[13] = 0xb5; /* for local experiments */
	CHECK_EQ(dv_write(tap, frame, sizeof(frame)), sizeof(frame));
	try_read(&t);
	try_read(&u);
	dv_capture_stop(c);
	TRY_UNTIL(&t, t.eof && u.eof && t.done);
	CHECK_EQ(t.bytes, t.got.len + u.got.len);
	dv_capture_free(c);
	CHECK_STR(look(&t.got).name, "lo");
	s = look(&u.got);
	CHECK_STR(s.name, "tap0");
	/* The new interface speaks IPv6 as well. */
	for (uint32_t i = 0; i < s.n; i++)
		found = found || s.orig[i] == sizeof(frame);
	CHECK(found);
	try_close(&u, t.loop);
	try_close(&t, NULL);
	dv_close(tap);
	leave_net(old_net);
}

TEST(vlan_tag_is_put_back)
{
	static const uint8_t tag[] = { 0x81, 0x00, 0x00, 0x2a };
	uint8_t frame[64] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct dv_capture *c;
	struct try t;
	int tap;

	ENTER_NET();
	tap = make_tap();
	if (tap < 0) {
		leave_net(old_net);
		SKIP("there is no TAP device");
	}
	c = start(&t, "tap0", 0);
	memcpy(frame + 12, tag, sizeof(tag));
	frame[16] = 0x88;
	frame[17] = 0xb5;
	for (int i = 18; i < 64; i++)
		frame[i] = (uint8_t)i;
	CHECK_EQ(dv_write(tap, frame, sizeof(frame)), sizeof(frame));
	stop(&t, c);
	CHECK(memmem(t.got.data, t.got.len, frame, sizeof(frame)) != NULL);
	dv_close(tap);
	try_close(&t, NULL);
	leave_net(old_net);
}

TEST(removed_interface_ends_its_stream_in_order)
{
	struct dv_capture *c;
	struct seen s;
	struct try t;
	int tap;

	ENTER_NET();
	tap = make_tap();
	if (tap < 0) {
		leave_net(old_net);
		SKIP("there is no TAP device");
	}
	c = start(&t, "tap0", 0);
	try_read(&t);
	dv_close(tap);
	TRY_UNTIL(&t, t.eof && t.done);
	CHECK_EQ(t.err.code, DV_OK);
	s = look(&t.got);
	CHECK_EQ(s.n_stats, 1);
	dv_capture_free(c);
	try_close(&t, NULL);
	leave_net(old_net);
}

TEST(capture_that_cannot_start_says_why_and_closes_all)
{
	const char *none = "nosuchif0";
	struct dv_capture_opts o = { 0 };
	struct dv_capture *c;
	struct try t;
	char byte;

	ENTER_NET();
	try_open(&t, NULL);
	CHECK_EQ(
		dv_capture_start(&c, t.loop, NULL, 0, &o, try_done, &t, &t.err),
		-EINVAL);
	CHECK_STR(t.err.msg, "Insufficient streams");
	o.names = &none;
	o.n_names = 1;
	CHECK_EQ(dv_capture_start(&c, t.loop, &t.out, 1, &o, try_done, &t,
				  &t.err),
		 -ENODEV);
	CHECK_STR(t.err.msg, "capture packets of nosuchif0: No such device");
	t.out = -1;
	CHECK_EQ(dv_read(t.client, &byte, 1), 0);
	CHECK_EQ(t.done, 0);
	try_close(&t, NULL);
	leave_net(old_net);
}

/* Only the effective set, so that it can come back. */
static void set_net_raw(bool on)
{
	struct __user_cap_header_struct h = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct d[2];

	CHECK_EQ(syscall(SYS_capget, &h, d), 0);
	if (on)
		d[0].effective |= 1U << CAP_NET_RAW;
	else
		d[0].effective &= ~(1U << CAP_NET_RAW);
	CHECK_EQ(syscall(SYS_capset, &h, d), 0);
}

TEST(capture_without_the_right_gives_a_hint)
{
	struct dv_capture_opts o = { 0 };
	struct dv_capture *c = NULL;
	struct try t;
	int r;

	ENTER_NET();
	try_open(&t, NULL);
	set_net_raw(false);
	r = dv_capture_start(&c, t.loop, &t.out, 1, &o, try_done, &t, &t.err);
	set_net_raw(true);
	t.out = -1;
	CHECK_EQ(r, -EPERM);
	CHECK(strstr(t.err.hint, "CAP_NET_RAW") != NULL);
	CHECK_EQ(t.err.code, DV_DENIED);
	try_close(&t, NULL);
	leave_net(old_net);
}

TEST(capture_freed_while_it_runs_calls_nothing)
{
	struct dv_capture *c;
	struct try t;

	ENTER_NET();
	c = start(&t, "lo", 0);
	dv_capture_free(c);
	try_read(&t);
	TRY_UNTIL(&t, t.eof);
	CHECK_EQ(t.done, 0);
	try_close(&t, NULL);
	leave_net(old_net);
}
