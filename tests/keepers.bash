# SPDX-License-Identifier: MIT
# What the tests of kept sandboxes share, beside lib.bash.

# fails STATUS REGEX ARG...: one line on stderr that says why, and perhaps a
# hint; nothing on stdout.
fails()
{
	local status=$1 text=$2

	shift 2
	run --separate-stderr -"$status" davit "$@"
	assert_equal "$output" ''
	[[ ${stderr_lines[0]} == 'davit: '* ]] || fail "stderr: $stderr"
	[[ $stderr =~ $text ]] || fail "stderr: $stderr"
	[ ${#stderr_lines[@]} -le 2 ] || fail "more than a line: $stderr"
	[ ${#stderr_lines[@]} = 1 ] || [[ ${stderr_lines[1]} == 'hint: '* ]] ||
		fail "no hint: $stderr"
}

# up NAME [OPTION...]: one that lives until it is stopped.
up()
{
	local name=$1

	shift
	davit run -d -q --name "$name" "$@" -- sleep 1000 >/dev/null
}

# Keepers answer first, and end then: wait for that. What a killed one has left
# in its groups may have been dying still when its sandbox was removed: then the
# next start cleans up.
keepers_end()
{
	soon none_here || :
	soon none_hidden || :
}

none_hidden()
{
	[ -z "$(find "$top/run" -maxdepth 1 -name '~*')" ] || {
		sandbox true
		false
	}
}

# can_pause NAME: else the test is skipped.
can_pause()
{
	[ "$(davit inspect "$1" cgroup/can_pause)" = true ] ||
		skip 'no control group of version 2'
}
