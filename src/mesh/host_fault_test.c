/* SPDX-License-Identifier: MIT */
/*
 * Telling the end of a host, of which every call that can fail does so once:
 * who asked hears of the end, or why there is nothing to hear.
 */
#include "mesh/host_try.h"

#include "base/fault.h"

const struct try_role try_roles[] = { { .name = NULL } };

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
