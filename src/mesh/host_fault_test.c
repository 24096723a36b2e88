/* SPDX-License-Identifier: MIT */
/*
 * The end of a host, and telling it, of which every call that can fail does so
 * once: who asked hears of the end, or why there is nothing to hear.
 */
#include "mesh/host_try.h"

#include "base/fault.h"

static void ignore_sigterm(void)
{
	signal(SIGTERM, SIG_IGN);
}

const struct try_role try_roles[] = {
	{ .name = "stubborn",
	  .early = ignore_sigterm,
	  .main = { .size = sizeof(struct dv_host_main), .setup = try_stay } },
	{ .name = NULL },
};

TEST(whatever_fails_who_asked_for_an_end_hears_of_it_or_why_not)
{
	struct dv_port *pair[2];
	struct dv_host_opts opts;
	struct try_mesh t;
	struct try_host h;
	struct try_port p;
	bool failed = true;

	try_mesh_start(&t);
	opts = try_opts(&h, NULL);
	opts.exe = "/no/such/program";
	try_launch(&t, &h, &opts);
	TRY_UNTIL(&t, h.n_ended);
	for (uint32_t nth = 1; failed; nth++) {
		CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
		try_port_start(&p, pair[1]);
		fault_arm(FAULT_PARENT, nth, false);
		dv_host_tell(h.host, pair[0]);
		TRY_UNTIL(&t, p.n_ended);
		failed = fault_disarm();
		CHECK(p.n == 1 || (failed && p.end.err.code != DV_OK));
		dv_port_close(p.port, NULL);
	}
	try_mesh_end(&t);
}

static void never(struct dv_timer *timer)
{
	(void)timer;
	CHECK(!"a timer of the distant future");
}

/* Have the loop need memory for its next timer. How many of @timers it took. */
static size_t fill_timers(struct dv_loop *loop, struct dv_timer *timers,
			  size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r;

		timers[i] = (struct dv_timer)DV_TIMER_INIT;
		fault_arm(FAULT_PARENT, 1, false);
		r = dv_timer_set(loop, &timers[i], UINT64_MAX, never);
		fault_disarm();
		if (r < 0)
			return i;
	}
	CHECK(!"so many timers at once");
	return n;
}

TEST(host_is_killed_at_once_when_nobody_can_wait_for_it)
{
	static const struct dv_host_patience minute = { 0, 60000, 60000 };
	static const char *const args[] = { "stubborn", NULL };
	struct dv_timer timers[64];
	struct try_mesh t;
	struct try_host h;
	struct dv_host_opts opts = try_opts(&h, args);
	size_t n;

	try_mesh_start(&t);
	try_up(&t, &h, &opts);
	n = fill_timers(t.loop, timers, DV_ARRAY_LEN(timers));
	fault_arm(FAULT_PARENT, 1, false);
	dv_host_stop(h.host, &minute);
	CHECK(fault_disarm());
	CHECK_STR(fault_name(), "reallocarray");
	TRY_UNTIL(&t, h.n_ended);
	CHECK_EQ(h.end.signo, SIGKILL);
	CHECK_EQ(h.end.by, DV_HOST_BY_KILL);
	while (n-- > 0)
		dv_timer_stop(&timers[n]);
	try_mesh_end(&t);
}
