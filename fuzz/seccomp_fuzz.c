/* SPDX-License-Identifier: MIT */
/*
 * Seccomp profiles: JSON to BPF. What compiles must be a program whose length
 * the kernel takes; what does not must say why.
 */
#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/def.h"
#include "engine/seccomp.h"

/* The work that libseccomp does grows with the square of the rules. */
enum { INPUT_MAX = 16 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t max = BPF_MAXINSNS * sizeof(struct sock_filter);
	const uint64_t caps = UINT64_C(0x5555555555555555);
	dv_autobuf bpf = DV_BUF_INIT(max);
	struct dv_err err = DV_ERR_INIT;
	int r;

	if (size > INPUT_MAX)
		return 0;
	r = dv_seccomp_compile("fuzz", (const char *)data, size, caps, &bpf,
			       &err);
	dv_assert(r == 0 || (r < 0 && err.msg[0] && bpf.len == 0));
	dv_assert(bpf.len % sizeof(struct sock_filter) == 0);
	dv_assert(r < 0 || bpf.len > 0);
	return 0;
}
