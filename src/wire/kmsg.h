/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Inside of davit/kmsg.h: records of the kernel log as bytes.
 */
#include <davit/kmsg.h>

#include "base/buf.h"

/* A record on the wire; the kernel's own are at most 8 KiB or so. */
#define DV_KMSG_WIRE_MAX 65536

/*
 * One record, without its NUL. @rec borrows from @data and from @text, which
 * gets the message with its escapes undone. -EBADMSG when it is no record.
 */
int dv_kmsg_parse(const char *data, size_t len, struct dv_buf *text,
		  struct dv_kmsg *rec);

/* As dv_kmsg_format(), appended; a failure is the buffer's status. */
void dv_kmsg_put(struct dv_buf *out, const struct dv_kmsg *rec,
		 enum dv_kmsg_form form);
