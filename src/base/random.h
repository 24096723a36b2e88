/* SPDX-License-Identifier: MIT */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* getrandom(); never fails once the kernel is up. */
void dv_random(void *out, size_t len);
/* 16 lower-case hex digits and a NUL: the id of a sandbox. */
#define DV_ID_LEN 16
void dv_random_id(char out[DV_ID_LEN + 1]);
