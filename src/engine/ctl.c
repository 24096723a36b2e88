/* SPDX-License-Identifier: MIT */
#include "engine/ctl.h"

#include <sys/mman.h>

struct dv_ctl *dv_ctl_new(bool timing)
{
	struct dv_ctl *ctl = mmap(NULL, sizeof(*ctl), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (ctl == MAP_FAILED)
		return NULL;
	ctl->timing = timing;
	return ctl;
}

void dv_ctl_free(struct dv_ctl *ctl)
{
	if (ctl)
		munmap(ctl, sizeof(*ctl));
}
