/* SPDX-License-Identifier: MIT */
/*
 * Both lines of the hybrid vsock handshake. Beside memory errors it looks for
 * broken promises: an answer that changes when more bytes come, a use of bytes
 * behind the newline, an endless DV_MORE, a result that is not read back alike.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "wire/hvsock.h"

enum { INPUT_MAX = 2 * DV_HVSOCK_REPLY_MAX };

typedef int parse_fn(const void *data, size_t len, struct dv_hvsock_addr *addrp,
		     size_t *usedp, struct dv_err *err);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each prefix in memory of its own size; the first answer is the answer. */
static int feed(parse_fn *parse, const uint8_t *data, size_t size, size_t max,
		struct dv_hvsock_addr *addr)
{
	int first = DV_MORE;

	for (size_t n = 0; n <= size; n++) {
		uint8_t *p = malloc(n ? n : 1);
		struct dv_err err = DV_ERR_INIT;
		struct dv_hvsock_addr now = { 0, false };
		size_t used = 0;
		int r;

		dv_assert(p);
		if (n)
			memcpy(p, data, n);
		r = parse(p, n, &now, &used, &err);
		free(p);
		dv_assert(r <= 0 || (r == DV_MORE && n < max));
		dv_assert((r < 0) == (err.msg[0] != '\0'));
		dv_assert(used <= n && (r == 0) == (used > 0));
		dv_assert(r != 0 || data[used - 1] == '\n');
		dv_assert(first == DV_MORE || r == first);
		if (first == DV_MORE && r != DV_MORE) {
			dv_assert(r < 0 || used == n);
			first = r;
			*addr = now;
		}
	}
	return first;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dv_hvsock_addr addr = { 0, false }, again = { 0, false };
	char line[DV_HVSOCK_LINE_MAX + 1];
	size_t len, used;

	if (size > INPUT_MAX)
		return 0;
	if (feed(dv_hvsock_parse_connect, data, size, DV_HVSOCK_LINE_MAX,
		 &addr) == 0) {
		len = dv_hvsock_put_connect(line, &addr);
		dv_assert(dv_hvsock_parse_connect(line, len, &again, &used,
						  NULL) == 0);
		dv_assert(used == len && again.port == addr.port &&
			  again.guid == addr.guid);
	}
	feed(dv_hvsock_parse_reply, data, size, DV_HVSOCK_REPLY_MAX, &addr);
	return 0;
}
