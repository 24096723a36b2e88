/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Probes of the doctor that need a process of their own.
 */

/* What a child in new namespaces could do. 0, an errno, or -1: not reached. */
struct dv_probe {
	int user;    /* a user namespace with one mapped id */
	int spaces;  /* mount, pid, ipc, uts, net, cgroup namespaces */
	int tmpfs;   /* a mount in it */
	int overlay; /* overlayfs in it */
	int proc;    /* a new proc: masked ones forbid it */
	int setattr; /* read-only bind by mount_setattr */
};

#define DV_PROBE_INIT                  \
	{                              \
		-1, -1, -1, -1, -1, -1 \
	}

/*
 * Try them in a child, in a user namespace of its own, as a start does.
 * Everything is gone when it returns. 0 or -errno.
 */
int dv_doctor_probe(struct dv_probe *probe);
