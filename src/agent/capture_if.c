/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/capture.h"
#include "base/def.h"
#include "base/fd.h"

/* Is it up, and are its frames Ethernet? Interfaces may go while we ask. */
static bool captured(int sock, struct dv_capture_if *i)
{
	struct ifreq req = { 0 };
	int type;

	memcpy(req.ifr_name, i->name, sizeof(i->name));
	if (ioctl(sock, SIOCGIFFLAGS, &req) < 0 || !(req.ifr_flags & IFF_UP))
		return false;
	if (ioctl(sock, SIOCGIFHWADDR, &req) < 0)
		return false;
	type = req.ifr_hwaddr.sa_family;
	i->loopback = type == ARPHRD_LOOPBACK;
	return type == ARPHRD_ETHER || type == ARPHRD_LOOPBACK;
}

static int by_index(const void *a, const void *b)
{
	const struct dv_capture_if *x = a, *y = b;

	return x->index - y->index;
}

int dv_capture_query(struct dv_capture_if ifs[DV_CAPTURE_IFS_MAX],
		     struct dv_err *err)
{
	dv_autofd int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct if_nameindex *list;
	size_t n = 0;

	if (sock < 0)
		return dv_err_sys(err, errno, "list the interfaces");
	list = if_nameindex();
	if (!list)
		return dv_err_sys(err, errno, "list the interfaces");
	for (struct if_nameindex *at = list; at->if_index && at->if_name;
	     at++) {
		struct dv_capture_if i = { .index = (int)at->if_index };

		strncpy(i.name, at->if_name, sizeof(i.name) - 1);
		if (n < DV_CAPTURE_IFS_MAX && captured(sock, &i))
			ifs[n++] = i;
	}
	if_freenameindex(list);
	qsort(ifs, n, sizeof(*ifs), by_index);
	return (int)n;
}
