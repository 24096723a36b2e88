/* SPDX-License-Identifier: MIT */
#include "engine/join.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/fd.h"

/* What ctl->joined says: nothing yet, or all sent, without or with v2. */
enum { NOT_YET, ALL_SENT, ALL_SENT_V2 };

int dv_join_send(int sock, struct dv_ctl *ctl, const struct dv_cgroup *cg)
{
	bool v2 = cg && cg->v2_fd >= 0;
	int r = v2 ? dv_send_fd(sock, cg->v2_fd) : 0;

	for (int i = 0; r == 0 && cg && i < cg->n_procs; i++)
		r = dv_send_fd(sock, cg->procs_fd[i]);
	if (r < 0)
		return r;
	atomic_store(&ctl->joined, v2 ? ALL_SENT_V2 : ALL_SENT);
	return shutdown(sock, SHUT_WR) < 0 ? -errno : 0;
}

int dv_join_receive(int sock, struct dv_ctl *ctl, struct dv_joined *out)
{
	int fds[DV_CGROUP_GROUPS_MAX + 1], n = 0, first;
	int fd;

	while ((fd = dv_recv_fd(sock)) >= 0 && n <= DV_CGROUP_GROUPS_MAX)
		fds[n++] = fd;
	if (fd != -EPIPE || atomic_load(&ctl->joined) == NOT_YET)
		return -EPIPE;
	first = atomic_load(&ctl->joined) == ALL_SENT_V2 && n > 0;
	*out = (struct dv_joined)DV_JOINED_INIT;
	if (first)
		out->v2_fd = fds[0];
	for (int i = first; i < n; i++)
		out->procs_fd[out->n_procs++] = fds[i];
	return 0;
}

int dv_join_enter(const struct dv_joined *groups)
{
	ssize_t r = 0;

	for (int i = 0; r >= 0 && i < groups->n_procs; i++)
		r = dv_write(groups->procs_fd[i], "0", 1);
	return r < 0 ? (int)r : 0;
}
