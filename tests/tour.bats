# SPDX-License-Identifier: MIT
# What `make run` shows a newcomer must work.
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

@test "the tour ends well and shows what it says" {
	[ "$(id -u)" = 0 ] || skip "its container wants root's id map"
	cp "$AGENT" "$top/davit-agent"
	run -0 "$SRC/tools/tour" "$top/davit"
	assert_output --partial "I am pid 2"
	assert_output --partial "Read-only file system"
	assert_output --partial "tour"
	assert_output --partial "run by the agent"
	assert_output --partial 'name: "davit-agent"'
}
