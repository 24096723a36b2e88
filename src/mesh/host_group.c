/* SPDX-License-Identifier: MIT */
/*
 * The control group of a host, where one was asked for: what the host leaves
 * behind dies with it. A group is removed when the last process has left it,
 * which cgroup.events tells.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/random.h"
#include "mesh/host_priv.h"

void dv_host_setup_limits(struct dv_host_setup *setup, uint64_t memory,
			  uint32_t milli_cpus, uint32_t processes)
{
	setup->grouped = true;
	setup->limits = (struct dv_cgroup_limits){
		.memory = memory,
		.milli_cpus = milli_cpus,
		.pids = processes,
	};
}

int dv_host_group_make(struct dv_host_run *run,
		       const struct dv_host_setup *setup, struct dv_err *err)
{
	char id[DV_ID_LEN + 1];

	if (!setup->grouped)
		return 0;
	dv_random_id(id);
	return dv_cgroup_create(&run->group, id, &setup->limits, false, NULL,
				err);
}

static void stop_watching(struct dv_host_run *run)
{
	int fd = run->group_src.fd;

	dv_src_del(&run->group_src);
	if (run->group_watched)
		dv_close(fd);
	run->group_watched = false;
}

static void on_events(struct dv_src *src, uint32_t events)
{
	struct dv_host_run *run =
		dv_container_of(src, struct dv_host_run, group_src);
	char text[128];

	(void)events;
	/* It is ready until it was read. */
	if (pread(src->fd, text, sizeof(text), 0) >= 0 &&
	    dv_cgroup_remove(&run->group) == -EBUSY)
		return;
	stop_watching(run);
	dv_host_run_settle(run);
}

void dv_host_group_end(struct dv_host_run *run)
{
	int fd;

	dv_cgroup_kill(&run->group);
	if (dv_cgroup_remove(&run->group) != -EBUSY || run->group.v2_fd < 0)
		return;
	fd = openat(run->group.v2_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	run->group_src.fd = fd;
	run->group_watched = true;
	/* The last look is for what became empty before it was watched. */
	if (dv_src_add(run->hosts->loop, &run->group_src, fd, EPOLLPRI,
		       on_events) < 0 ||
	    dv_cgroup_remove(&run->group) != -EBUSY)
		stop_watching(run);
}

void dv_host_group_free(struct dv_host_run *run)
{
	stop_watching(run);
	dv_cgroup_kill(&run->group);
	if (dv_cgroup_remove(&run->group) < 0)
		dv_cgroup_release(&run->group);
}
