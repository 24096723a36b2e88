/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Keepers that are left behind: how they are started, and how that went.
 */
#include <davit/err.h>

/*
 * Start a keeper for @id from STATEDIR/<id>/kept. Returns a descriptor (owned,
 * non-blocking) on which dv_keeper_born() says how it went, or -errno.
 */
int dv_keeper_bear(const char *id, struct dv_err *err);
/*
 * Call when @fd is readable. DV_MORE: not yet; 0: its command was executed;
 * -errno with @err (its step too). Never blocks.
 */
int dv_keeper_born(int fd, struct dv_err *err);
/* It was not, for DV_BIRTH_MS: -ETIMEDOUT. */
int dv_keeper_unborn(struct dv_err *err);
