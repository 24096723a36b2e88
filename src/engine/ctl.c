/* SPDX-License-Identifier: MIT */
#include "engine/ctl.h"

#include <stdlib.h>
#include <sys/mman.h>

struct dv_ctl *dv_ctl_new(bool timing, bool forked)
{
	struct dv_ctl *ctl;

	if (forked)
		ctl = mmap(NULL, sizeof(*ctl), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	else
		ctl = calloc(1, sizeof(*ctl));
	if (!ctl || ctl == MAP_FAILED)
		return NULL;
	ctl->timing = timing;
	ctl->mapped = forked;
	return ctl;
}

void dv_ctl_free(struct dv_ctl *ctl)
{
	if (ctl && ctl->mapped)
		munmap(ctl, sizeof(*ctl));
	else
		free(ctl);
}
