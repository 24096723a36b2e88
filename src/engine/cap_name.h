/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Capability names.
 */

/* The number of "CAP_NET_RAW" or "net_raw", in any case; -EINVAL. */
int dv_cap_number(const char *name);
/* "net_raw"; NULL for numbers without a name. Static. */
const char *dv_cap_name(unsigned int number);
