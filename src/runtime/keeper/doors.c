/* SPDX-License-Identifier: MIT */
#include "runtime/keeper/keeper.h"

#include <errno.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/systemd.h"

int dv_keeper_doors_take(struct dv_keeper *k, const int *fds, size_t n,
			 struct dv_err *err)
{
	if (n > DV_ARRAY_LEN(k->more))
		return dv_err_set(err, E2BIG, DV_RANGE,
				  "%zu other sockets to serve are more than "
				  "%zu",
				  n, DV_ARRAY_LEN(k->more));
	for (size_t i = 0; i < n; i++) {
		int fd;

		if (!dv_systemd_fd_is_door(fds[i]))
			return dv_err_set(err, EINVAL, DV_INVALID,
					  "descriptor %d is no unix stream "
					  "socket that listens",
					  fds[i]);
		fd = dv_fd_dup(fds[i], 0);
		if (fd < 0)
			return dv_err_sys(err, -fd, "serve descriptor %d",
					  fds[i]);
		k->more[k->n_more].door = NULL;
		k->more[k->n_more++].fd = fd;
	}
	return 0;
}

int dv_keeper_doors_open(struct dv_keeper *k, const struct dv_door_opts *opts,
			 struct dv_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < k->n_more; i++)
		r = dv_door_new(&k->more[i].door, k->loop, NULL,
				dv_take_fd(&k->more[i].fd), opts, err);
	return r;
}

void dv_keeper_doors_close(struct dv_keeper *k)
{
	for (; k->n_more > 0; k->n_more--) {
		dv_door_free(k->more[k->n_more - 1].door);
		dv_close(k->more[k->n_more - 1].fd);
	}
}
