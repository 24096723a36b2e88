/* SPDX-License-Identifier: MIT */
#include "transport/hvsock_accept.h"

#include <errno.h>

#include "base/fd.h"

/* Where the numbers begin, and how many follow before they begin again. */
#define FIRST_NUMBER UINT32_C(0x40000000)
#define N_NUMBERS    UINT32_C(0x40000000)

uint32_t dv_hvsock_number(struct dv_hvsock_numbers *numbers)
{
	uint32_t n = FIRST_NUMBER + numbers->n_given;

	numbers->n_given = (numbers->n_given + 1) % N_NUMBERS;
	return n;
}

/* All of it or nothing that anybody could use. */
static int send_line(int fd, const char *line, size_t len)
{
	ssize_t n = dv_send(fd, line, len);

	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EAGAIN;
}

int dv_hvsock_answer(int fd, const struct dv_hvsock_addr *asked,
		     uint32_t number)
{
	struct dv_hvsock_addr addr = { number, asked->guid };
	char line[DV_HVSOCK_OK_MAX + 1];

	return send_line(fd, line, dv_hvsock_put_ok(line, &addr));
}

void dv_hvsock_refuse(int fd, const char *text)
{
	char line[DV_HVSOCK_ERR_MAX + 1];

	/* If it cannot be said, closing says enough. */
	if (text)
		(void)send_line(fd, line, dv_hvsock_put_err(line, text));
	dv_close(fd);
}
