/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What a creator and the keeper that it leaves behind say to each other, over a
 * socketpair: once each way.
 *
 *	creator -> keeper	u32 length (little-endian), dv_KeptSandbox
 *	keeper -> creator	struct dv_birth
 *
 * With an id and no spec it is one that has ended, and is started again as it
 * was stored. A creator that goes before the keeper has begun leaves nothing;
 * one that goes later leaves all of it.
 */
#include <stdint.h>

#include "davit/err.h"
#include "davit/sandbox.h"

enum {
	DV_BIRTH_FD = 3, /* of the keeper; all above it are closed */
	DV_BIRTH_MAGIC = 0x316b7664,
	/* A start may take a minute, and a look at a network file system. */
	DV_BIRTH_MS = 90000,
};

struct dv_birth {
	uint32_t magic;
	int32_t r; /* 0 or -errno, with err */
	char id[24];
	struct dv_err err;
};
