# SPDX-License-Identifier: MIT
# 20 processes throw ports at each other, and one after the other is killed: see
# tests/helpers/meshstorm.c. MESH_SECONDS says how long; `make soak` asks for
# ten minutes.
bats_require_minimum_version 1.5.0
load lib

setup()
{
	davit_setup
}

teardown()
{
	davit_teardown
}

@test "each message arrives exactly once, or its port ends and says why" {
	run -0 "$LIBDAVIT/meshstorm" 20 "${MESH_SECONDS:-6}"
	echo "# $output" >&3
}
