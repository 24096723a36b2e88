/* SPDX-License-Identifier: MIT */
#include "runtime/plan/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/def.h"
#include "engine/cap_name.h"

#define CAP_BIT(n) (UINT64_C(1) << (n))

int dv_caps_parse(const char *name, uint64_t *bits)
{
	int cap;

	if (strcasecmp(name, "all") == 0) {
		*bits = CAP_BIT(CAP_LAST_CAP + 1) - 1;
		return 0;
	}
	cap = dv_cap_number(name);
	if (cap < 0)
		return -EINVAL;
	*bits = CAP_BIT(cap);
	return 0;
}

uint64_t dv_caps_default(void)
{
	return CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) |
	       CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_FSETID) | CAP_BIT(CAP_KILL) |
	       CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_SETUID) |
	       CAP_BIT(CAP_SETPCAP) | CAP_BIT(CAP_NET_BIND_SERVICE) |
	       CAP_BIT(CAP_SYS_CHROOT) | CAP_BIT(CAP_SETFCAP);
}

bool dv_caps_have(int cap)
{
	struct __user_cap_header_struct hdr = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = { { 0 } };

	if (cap < 0 || cap > 63 || syscall(SYS_capget, &hdr, data) < 0)
		return false;
	return data[cap / 32].effective & DV_BIT(cap % 32);
}
