/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The conditions of a profile's entries: "includes" and "excludes" ask for
 * capabilities, architectures and the kernel's version. Private to the seccomp
 * files.
 */
#include <stdint.h>

#include "engine/seccomp_json.h"

/* What the conditions are about. */
struct dv_sc_machine {
	uint32_t arch; /* libseccomp's token of the native architecture */
	uint64_t caps; /* bit n: capability n */
	unsigned int major, minor; /* of the running kernel */
};

void dv_sc_machine_init(struct dv_sc_machine *m, uint64_t caps);

/*
 * 1: the entry @obj counts on this machine, 0: it does not, -EINVAL: one of its
 * conditions is malformed, which is found out whether it matters or not.
 */
int dv_sc_applies(const struct dv_sc_machine *m, struct dv_sjson *doc,
		  struct json_object *obj);
