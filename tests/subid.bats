# SPDX-License-Identifier: MIT
# An ordinary user becomes somebody else inside: with ranges of subuid(5), and
# refused without. The files of the machine are covered, not changed.
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

# As the ordinary user, with /etc/subuid and /etc/subgid saying $1.
with_ranges()
{
	printf '%s\n' "$1" >"$top/ranges"
	shift
	chmod 644 "$top/ranges"
	chown "$ORDINARY:$ORDINARY" "$top/run" "$top/state"
	run unshare -m sh -c '
		mount --make-rprivate / &&
		mount --bind "$0" /etc/subuid && mount --bind "$0" /etc/subgid &&
		exec setpriv --reuid='$ORDINARY' --regid='$ORDINARY' \
			--clear-groups "$@"' "$top/ranges" "$top/davit" "$@"
}

can_cover()
{
	[ "$(id -u)" = 0 ] || skip "needs root to cover /etc/subuid"
	[ -e /etc/subuid ] && [ -e /etc/subgid ] || skip "no /etc/subuid"
	command -v newuidmap >/dev/null || skip "newuidmap is not installed"
	unshare -m true 2>/dev/null || skip "no mount namespace to cover it in"
}

@test "an ordinary user with a range can be another user inside" {
	can_cover
	with_ranges "$ORDINARY:200000:65536" run -u 0:0 -- id -u
	assert_success
	assert_output 0
	with_ranges "$ORDINARY:200000:65536" run -u 33:33 -- id
	assert_success
	assert_output --partial "uid=33"
	with_ranges "$ORDINARY:200000:65536" run -- id -u
	assert_output "$ORDINARY"
}

@test "without a range, or beyond it, another user is refused" {
	can_cover
	with_ranges "somebody:200000:65536" run -u 33:33 -- id
	[ "$status" = 125 ]
	assert_output --partial "user 33:33 is not among the ids"
	with_ranges "$ORDINARY:200000:10" run -u 33:33 -- id
	[ "$status" = 125 ]
	assert_output --partial "hint:"
}
