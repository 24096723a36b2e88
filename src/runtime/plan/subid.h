/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The ids that /etc/subuid and /etc/subgid give to an ordinary user, for maps
 * that newuidmap(1) and newgidmap(1) then write: see subuid(5).
 */
#include <stdbool.h>
#include <sys/types.h>

#include "engine/plan.h"

/*
 * Map @inside to @outside, and every other id below 65536 into the first range
 * that @file gives to the user (by name or number), in that order, as far as
 * the range goes. False, and nothing added, when there is no range.
 */
bool dv_subid_map(struct dv_plan *plan, bool groups, uid_t user,
		  uint32_t inside, uint32_t outside);

/* The parser alone: one file's text; @name may be empty. */
bool dv_subid_find(const char *text, const char *name, uid_t user,
		   uint32_t *startp, uint32_t *countp);
