# SPDX-License-Identifier: MIT
# Peers of a mesh that mean no good; see tests/helpers/mesh_hostile.py. Each is
# cut, an innocent one beside it notices nothing, and nothing grows.
bats_require_minimum_version 1.5.0
load lib

hostile()
{
	timeout -s KILL 240 $PYTHON -B "$SRC/tests/helpers/mesh_hostile.py" \
		"$LIBDAVIT/mesh_victim" "$1" 3>&-
}

@test "peers whose handshake is wrong are told so and cut" {
	hostile handshakes
}

@test "connections that say nothing end at their deadline" {
	hostile silence
}

@test "more connections than there may be links are refused" {
	hostile floods
}

@test "frames that are cut at every byte cost nothing" {
	hostile truncated
}

@test "giant lengths cost no memory" {
	hostile giants
}

@test "events for the ports of others change nothing" {
	hostile forged
}

@test "a peer that says it is another node is cut" {
	hostile impostors
}

@test "a peer that sends on and reads no answer costs little" {
	hostile credit
}

@test "floods of descriptors, announced or not, are closed" {
	hostile fd_floods
}

@test "introductions that nobody asked for come to nothing" {
	hostile introductions
}

@test "a peer that never reads is cut before it costs much" {
	hostile deaf
}

@test "noise costs the peer that makes it, and nobody else" {
	hostile noise
}
