/* SPDX-License-Identifier: MIT */
#include "engine/cpu.h"

/* The CPUs that we may use, and the one that we are on; -1: do nothing. */
static int here(cpu_set_t *allowed)
{
	int cpu = sched_getcpu();

	CPU_ZERO(allowed);
	if (cpu < 0 || sched_getaffinity(0, sizeof(*allowed), allowed) < 0 ||
	    !CPU_ISSET(cpu, allowed))
		return -1;
	return CPU_COUNT(allowed) > 1 ? cpu : -1;
}

void dv_cpu_elsewhere(pid_t pid)
{
	cpu_set_t all, others;
	int cpu = here(&all);

	if (cpu < 0)
		return;
	others = all;
	CPU_CLR(cpu, &others);
	/* Forbidding our CPU moves it at once; allowing it again lets the
	 * scheduler correct us. */
	if (sched_setaffinity(pid, sizeof(others), &others) == 0)
		(void)sched_setaffinity(pid, sizeof(all), &all);
}

void dv_cpu_stay(cpu_set_t *before)
{
	cpu_set_t one;
	int cpu = here(before);

	if (cpu < 0) {
		CPU_ZERO(before);
		return;
	}
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	(void)sched_setaffinity(0, sizeof(one), &one);
}

void dv_cpu_restore(const cpu_set_t *before)
{
	if (CPU_COUNT(before) > 0)
		(void)sched_setaffinity(0, sizeof(*before), before);
}
