/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "base/test.h"
#include "cli/run_split.h"

TEST(rootfs_modes)
{
	char dir[64];
	enum dv_rootfs_mode mode;

	CHECK_EQ(dv_split_rootfs("/r", dir, sizeof(dir), &mode, NULL), 0);
	CHECK_EQ(mode, DV_ROOTFS_OVERLAY);
	CHECK_EQ(dv_split_rootfs("/r:ro", dir, sizeof(dir), &mode, NULL), 0);
	CHECK_STR(dir, "/r");
	CHECK_EQ(mode, DV_ROOTFS_RO);
	CHECK_EQ(dv_split_rootfs("a:b:rw", dir, sizeof(dir), &mode, NULL), 0);
	CHECK_STR(dir, "a:b");
	CHECK_EQ(mode, DV_ROOTFS_RW);
	CHECK_EQ(dv_split_rootfs("", dir, sizeof(dir), &mode, NULL), -EINVAL);
	CHECK_EQ(dv_split_rootfs(":ro", dir, sizeof(dir), &mode, NULL),
		 -EINVAL);
	CHECK_EQ(dv_split_rootfs("/rrrrr", dir, 4, &mode, NULL), -EINVAL);
}

TEST(volumes)
{
	static struct dv_volume_words v;

	CHECK_EQ(dv_split_volume("a:/b", &v, NULL), 0);
	CHECK_STR(v.src, "a");
	CHECK_STR(v.dst, "/b");
	CHECK_EQ(v.flags, 0);
	CHECK_EQ(dv_split_volume("/a:/b:ro", &v, NULL), 0);
	CHECK_STR(v.dst, "/b");
	CHECK_EQ(v.flags, DV_VOLUME_RO);
	CHECK_EQ(dv_split_volume("/a:/b:rw", &v, NULL), 0);
	CHECK_EQ(v.flags, 0);
	CHECK_EQ(dv_split_volume("/a", &v, NULL), -EINVAL);
	CHECK_EQ(dv_split_volume("/a:ro", &v, NULL), -EINVAL);
	CHECK_EQ(dv_split_volume(":/b", &v, NULL), -EINVAL);
	CHECK_EQ(dv_split_volume("/a:", &v, NULL), -EINVAL);
	CHECK_EQ(dv_split_volume("/a:b", &v, NULL), -EINVAL);
}

TEST(tmpfs_sizes)
{
	char dir[64];
	uint64_t bytes = 7;

	CHECK_EQ(dv_split_tmpfs("/t", dir, sizeof(dir), &bytes, NULL), 0);
	CHECK_EQ(bytes, 0);
	CHECK_EQ(dv_split_tmpfs("/t:size=1m", dir, sizeof(dir), &bytes, NULL),
		 0);
	CHECK_STR(dir, "/t");
	CHECK_EQ(bytes, 1 << 20);
	CHECK_EQ(dv_split_tmpfs("t", dir, sizeof(dir), &bytes, NULL), -EINVAL);
	CHECK_EQ(dv_split_tmpfs("/t:size=12q", dir, sizeof(dir), &bytes, NULL),
		 -EINVAL);
	CHECK_EQ(bytes, 1 << 20);
}

TEST(descriptors)
{
	int fd = 0, to = 0;

	CHECK_EQ(dv_split_fd("5", &fd, &to, NULL), 0);
	CHECK(fd == 5 && to == 5);
	CHECK_EQ(dv_split_fd("0=9", &fd, &to, NULL), 0);
	CHECK(fd == 0 && to == 9);
	CHECK_EQ(dv_split_fd("2", &fd, &to, NULL), -EINVAL);
	CHECK_EQ(dv_split_fd("5=2", &fd, &to, NULL), -EINVAL);
	CHECK_EQ(dv_split_fd("", &fd, &to, NULL), -EINVAL);
	CHECK_EQ(dv_split_fd("5=", &fd, &to, NULL), -EINVAL);
	CHECK_EQ(dv_split_fd("99999999999999999999", &fd, &to, NULL), -EINVAL);
}

TEST(resource_limits)
{
	struct dv_ulimit_words u;

	CHECK_EQ(dv_split_ulimit("nofile=10", &u, NULL), 0);
	CHECK_EQ(u.resource, RLIMIT_NOFILE);
	CHECK(u.soft == 10 && u.hard == 10);
	CHECK_EQ(dv_split_ulimit("core=0:unlimited", &u, NULL), 0);
	CHECK(u.soft == 0 && u.hard == UINT64_MAX);
	CHECK_EQ(dv_split_ulimit("core=2:1", &u, NULL), -EINVAL);
	CHECK_EQ(dv_split_ulimit("core", &u, NULL), -EINVAL);
	CHECK_EQ(dv_split_ulimit("core=", &u, NULL), -EINVAL);
	CHECK_EQ(dv_split_ulimit("core=1:", &u, NULL), -EINVAL);
	CHECK_EQ(dv_split_ulimit("core=1:2:3", &u, NULL), -EINVAL);
	CHECK_EQ(dv_split_ulimit("cor=1", &u, NULL), -EINVAL);
}
