/* SPDX-License-Identifier: MIT */
#include "base/test.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdio.h>
#include <string.h>

#include "base/def.h"
#include "engine/plan.h"

TEST(plan_empty_has_nothing_and_frees)
{
	struct dv_plan plan = DV_PLAN_INIT;

	CHECK_EQ(dv_plan_status(&plan), 0);
	CHECK(dv_plan_getenv(&plan, "A") == NULL);
	dv_plan_free(&plan);
	dv_plan_free(&plan);
}

TEST(plan_strings_are_copied)
{
	struct dv_plan plan = DV_PLAN_INIT;
	char text[] = "one";

	dv_plan_arg(&plan, text);
	text[0] = 'X';
	dv_plan_arg(&plan, "\xff\x01");
	CHECK(plan.msg.has_process);
	CHECK_EQ(plan.msg.process.argv_count, 2);
	CHECK_STR(plan.msg.process.argv[0], "one");
	CHECK_STR(plan.msg.process.argv[1], "\xff\x01");
	dv_plan_free(&plan);
	CHECK_EQ(plan.msg.process.argv_count, 0);
}

TEST(plan_env_set_again_keeps_one_entry)
{
	struct dv_plan plan = DV_PLAN_INIT;

	dv_plan_env(&plan, "A=1");
	dv_plan_env(&plan, "AB=2");
	dv_plan_env(&plan, "A=3");
	dv_plan_env(&plan, "EMPTY=");
	CHECK_EQ(plan.msg.process.env_count, 3);
	CHECK_STR(dv_plan_getenv(&plan, "A"), "3");
	CHECK_STR(dv_plan_getenv(&plan, "AB"), "2");
	CHECK_STR(dv_plan_getenv(&plan, "EMPTY"), "");
	CHECK(dv_plan_getenv(&plan, "B") == NULL);
	CHECK(dv_plan_getenv(&plan, "") == NULL);
	dv_plan_free(&plan);
}

/* The array has no capacity of its own: unset and set in every order. */
TEST(plan_env_unset_at_every_size_keeps_the_others)
{
	char entry[32], key[16];

	for (int n = 1; n <= 70; n++) {
		struct dv_plan plan = DV_PLAN_INIT;

		for (int i = 0; i < n; i++) {
			snprintf(entry, sizeof(entry), "K%d=%d", i, i);
			dv_plan_env(&plan, entry);
		}
		snprintf(key, sizeof(key), "K%d", n / 2);
		dv_plan_unset_env(&plan, key);
		dv_plan_unset_env(&plan, "never set");
		for (int i = n; i < 2 * n + 20; i++) {
			snprintf(entry, sizeof(entry), "K%d=%d", i, i);
			dv_plan_env(&plan, entry);
		}
		CHECK_EQ(plan.msg.process.env_count, 2 * n + 19);
		for (int i = 0; i < 2 * n + 20; i++) {
			snprintf(key, sizeof(key), "K%d", i);
			snprintf(entry, sizeof(entry), "%d", i);
			if (i == n / 2)
				CHECK(dv_plan_getenv(&plan, key) == NULL);
			else
				CHECK_STR(dv_plan_getenv(&plan, key), entry);
		}
		dv_plan_free(&plan);
	}
}

TEST(plan_rlimit_set_again_replaces)
{
	struct dv_plan plan = DV_PLAN_INIT;

	dv_plan_rlimit(&plan, 7, 1, 2);
	dv_plan_rlimit(&plan, 4, 3, 4);
	dv_plan_rlimit(&plan, 7, 5, UINT64_MAX);
	CHECK_EQ(plan.msg.process.rlimits_count, 2);
	CHECK_EQ(plan.msg.process.rlimits[0].soft, 5);
	CHECK(plan.msg.process.rlimits[0].hard == UINT64_MAX);
	dv_plan_free(&plan);
}

static void add_arg(struct dv_plan *p)
{
	dv_plan_arg(p, "x");
}

static void add_fd(struct dv_plan *p)
{
	dv_plan_fd(p, 0, p->msg.process.fds_count);
}

static void add_rlimit(struct dv_plan *p)
{
	dv_plan_rlimit(p, p->msg.process.rlimits_count, 0, 0);
}

static void add_uid(struct dv_plan *p)
{
	dv_plan_uid_map(p, p->msg.isolation.uid_map_count, 0, 1);
}

static void add_mask(struct dv_plan *p)
{
	dv_plan_mask(p, "/x");
}

static void add_mount(struct dv_plan *p)
{
	dv_plan_mount(p, dv_MOUNT_DIR, NULL, "/x", 0);
}

TEST(plan_past_each_limit_fails_and_stays_failed)
{
	static const struct {
		void (*add)(struct dv_plan *);
		size_t max;
	} rows[] = {
		{ add_arg, DV_PLAN_ARGS_MAX },
		{ add_fd, DV_PLAN_FDS_MAX },
		{ add_rlimit, DV_PLAN_RLIMITS_MAX },
		{ add_uid, DV_PLAN_IDMAPS_MAX },
		{ add_mask, DV_PLAN_MOUNTS_MAX },
		{ add_mount, DV_PLAN_MOUNTS_MAX },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_plan plan = DV_PLAN_INIT;

		for (size_t n = 0; n < rows[i].max; n++)
			rows[i].add(&plan);
		CHECK_EQ(dv_plan_status(&plan), 0);
		rows[i].add(&plan);
		CHECK_EQ(dv_plan_status(&plan), -E2BIG);
		dv_plan_env(&plan, "A=1");
		CHECK_EQ(dv_plan_status(&plan), -E2BIG);
		dv_plan_free(&plan);
	}
}

TEST(plan_seccomp_at_the_limit_is_kept_and_above_refused)
{
	static struct sock_filter insns[DV_PLAN_INSNS_MAX + 1];
	struct dv_plan plan = DV_PLAN_INIT;

	dv_plan_seccomp(&plan, insns, DV_PLAN_INSNS_MAX * sizeof(insns[0]));
	CHECK_EQ(dv_plan_status(&plan), 0);
	CHECK_EQ(plan.msg.process.seccomp->size,
		 DV_PLAN_INSNS_MAX * sizeof(insns[0]));
	dv_plan_seccomp(&plan, insns, sizeof(insns));
	CHECK_EQ(dv_plan_status(&plan), -E2BIG);
	dv_plan_free(&plan);
}

TEST(plan_alloc_of_any_size_is_zeroed_aligned_or_refused)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 8000, 8192, 100000 };
	struct dv_plan plan = DV_PLAN_INIT;

	for (size_t i = 0; i < DV_ARRAY_LEN(sizes); i++) {
		uint8_t *p = dv_plan_alloc(&plan, sizes[i]);

		CHECK(p != NULL);
		CHECK_EQ((uintptr_t)p % 16, 0);
		for (size_t k = 0; k < sizes[i]; k++)
			CHECK_EQ(p[k], 0);
		memset(p, 0xff, sizes[i]);
	}
	CHECK(dv_plan_alloc(&plan, SIZE_MAX) == NULL);
	CHECK(dv_plan_alloc(&plan, SIZE_MAX / 2 + 1) == NULL);
	CHECK_EQ(dv_plan_status(&plan), -ENOMEM);
	dv_plan_free(&plan);
}
