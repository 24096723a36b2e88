/* SPDX-License-Identifier: MIT */
#include "base/test.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>

#include "base/def.h"
#include "runtime/plan/caps.h"

#define BIT64(n) (UINT64_C(1) << (n))

TEST(caps_names_are_known_in_any_spelling)
{
	static const struct {
		const char *name;
		uint64_t bits;
	} rows[] = {
		{ "CAP_NET_RAW", BIT64(CAP_NET_RAW) },
		{ "net_raw", BIT64(CAP_NET_RAW) },
		{ "Cap_Net_Raw", BIT64(CAP_NET_RAW) },
		{ "CHOWN", BIT64(CAP_CHOWN) },
		{ "sys_admin", BIT64(CAP_SYS_ADMIN) },
		{ "cap_checkpoint_restore", BIT64(CAP_CHECKPOINT_RESTORE) },
		{ "all", BIT64(CAP_CHECKPOINT_RESTORE + 1) - 1 },
		{ "ALL", BIT64(CAP_CHECKPOINT_RESTORE + 1) - 1 },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		uint64_t bits = 0;

		CHECK_EQ(dv_caps_parse(rows[i].name, &bits), 0);
		CHECK(bits == rows[i].bits);
	}
}

TEST(caps_unknown_names_are_refused_and_set_nothing)
{
	static const char *const bad[] = {
		"",   "cap_", "CAP_",        "cap_cap_chown", "net_raw ",
		"21", "al",   "cap_nothing", "chown,kill",    "cap_all",
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		uint64_t bits = 42;

		CHECK_EQ(dv_caps_parse(bad[i], &bits), -EINVAL);
		CHECK_EQ(bits, 42);
	}
}

/* What lets a process reach beyond its sandbox is never there by default. */
TEST(caps_default_has_nothing_dangerous)
{
	static const int never[] = {
		CAP_SYS_ADMIN,       CAP_SYS_MODULE,   CAP_SYS_RAWIO,
		CAP_SYS_PTRACE,      CAP_SYS_BOOT,     CAP_SYS_TIME,
		CAP_NET_ADMIN,       CAP_NET_RAW,      CAP_MKNOD,
		CAP_DAC_READ_SEARCH, CAP_BPF,          CAP_PERFMON,
		CAP_SYSLOG,          CAP_SYS_RESOURCE, CAP_MAC_ADMIN,
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(never); i++)
		CHECK(!(dv_caps_default() & BIT64(never[i])));
	CHECK(dv_caps_default() & BIT64(CAP_SETUID));
}
