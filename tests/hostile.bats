# SPDX-License-Identifier: MIT
# Peers that mean no good; see tests/helpers/hostile.py. SOAK=N repeats what
# loops N times.
load lib
load agents

setup()
{
	top=$(mktemp -d "${TMPDIR:-/tmp}/davit-hostile.XXXXXX")
	sock=$top/sock
	agent=
}

# A sanitizer's word, or a leak, is in the exit status of the agent.
teardown()
{
	local status=0

	if [ -n "$agent" ]; then
		kill "$agent" 2>/dev/null || :
		wait "$agent" || status=$?
		tail -n 50 "$top/log"
	fi
	rm -rf "$top"
	return $status
}

# agent_start [LIMIT...]: what ulimit takes; or options of the agent.
agent_start()
{
	(
		case ${1-} in
		-?) ulimit "$@" && set -- ;;
		-S?) ulimit "$@" && set -- ;;
		esac
		exec "$AGENT" --listen "$sock" "$@"
	) 2>>"$top/log" 3>&- &
	agent=$!
	agent_ready "$sock"
}

hostile()
{
	for name in "$@"; do
		timeout -s KILL $((240 * ${SOAK:-1})) /usr/bin/python3 -B \
			"$SRC/tests/helpers/hostile.py" "$name" "$sock" \
			"$agent" 3>&-
	done
}

# Not all systems let so many files be open.
enough_files()
{
	[ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -ge "$1" ] ||
		skip "needs $1 open files"
	ulimit -Sn "$1"
}

@test "requests that are cut at every byte" {
	agent_start
	hostile truncation
}

@test "messages that are too long" {
	agent_start
	hostile lengths
	[ "${SOAK:-1}" = 1 ] || hostile four_gib
}

@test "wrong types, ids and numbers" {
	agent_start
	hostile wrong_types
}

@test "garbage instead of a protocol" {
	agent_start
	hostile first_bytes http2
}

@test "nesting, and lists without an end" {
	agent_start
	hostile nesting
}

@test "a million small frames" {
	agent_start
	hostile tiny_frames
}

@test "ids of connections cannot be guessed" {
	agent_start
	hostile guessing ports
}

@test "connections that say nothing, or half a word" {
	enough_files 4096
	agent_start
	hostile half_open
}

@test "no descriptors are left" {
	agent_start -n 64
	hostile descriptors
}

@test "descriptors that nobody asked for" {
	agent_start
	hostile passed_descriptors
}

@test "readers that stop" {
	agent_start
	hostile slow_answers slow_output
}

@test "more waits than allowed" {
	agent_start
	hostile waits
}

@test "a process that takes every connection loses only its own" {
	enough_files 8192
	agent_start
	hostile greedy
}

@test "streams that one client holds leave some for others" {
	agent_start -n 1024
	hostile streams
}

@test "a core of the agent that nobody reads stops nobody" {
	agent_start
	hostile own_core
}

@test "a capture that is refused ends none" {
	agent_start
	run timeout -s KILL 100 "$DAVIT" diag "$sock" pcap --query
	[ "$status" = 0 ] || skip "no capture here: $output"
	hostile refused_capture
}

@test "output that is kept has a limit, and outlives a restart" {
	agent_start
	hostile kept
}

@test "data connections that nobody calls for in time" {
	agent_start --unclaimed 3000
	hostile unclaimed
}

@test "a restart without descriptors says what it could not do" {
	agent_start
	hostile last_descriptor
}

@test "200 processes at a time, and 2,000 forgotten ones" {
	enough_files 4096
	# It gets more for itself than is usual, and gives its processes that.
	agent_start -Sn 1024
	run -0 timeout 100 "$DAVIT" diag "$sock" exec -- sh -c 'ulimit -Sn'
	assert_output 1024
	timeout 100 "$DAVIT" diag "$sock" restart
	run -0 timeout 100 "$DAVIT" diag "$sock" exec -- sh -c 'ulimit -Sn'
	assert_output 1024
	hostile many_execs records
}

@test "clients that are killed, and those that only go" {
	agent_start
	hostile killed_clients goes_on
}

@test "a restart in the middle of it" {
	enough_files 4096
	agent_start
	hostile restart
}

@test "all of it, one after the other" {
	# Each of them has been there alone, with a look for leaks behind it.
	! grep -q __asan_init "$AGENT" || [ "${SOAK:-1}" != 1 ] ||
		skip "with sanitizers only with SOAK=N"
	enough_files 4096
	agent_start
	hostile truncation wrong_types http2 nesting passed_descriptors waits \
		many_execs killed_clients goes_on ports truncation
}
