# SPDX-License-Identifier: MIT
# The bytes of the diagnostics protocol, against a living agent; see
# tests/helpers/vectors.py, which holds them.
load lib
load agents

setup()
{
	top=$(mktemp -d "${TMPDIR:-/tmp}/davit-vectors.XXXXXX")
	sock=$top/sock
	agent=
}

teardown()
{
	local status=0

	if [ -n "$agent" ]; then
		kill "$agent" 2>/dev/null || :
		wait "$agent" || status=$?
		cat "$top/log"
	fi
	rm -rf "$top"
	return $status
}

# agent_start [COMMAND...] -- [OPTION...]: COMMAND executes the agent.
agent_start()
{
	local before=()

	while [ "$1" != -- ]; do
		before+=("$1")
		shift
	done
	shift
	"${before[@]}" "$AGENT" --listen "$sock" "$@" 2>>"$top/log" 3>&- &
	agent=$!
	agent_ready "$sock"
}

vectors()
{
	timeout -s KILL 120 /usr/bin/python3 -B "$SRC/tests/helpers/vectors.py" \
		"$1" "$sock" "$agent" 3>&-
}

@test "TV1-3: the handshake, and the ids of data connections" {
	agent_start --
	vectors transport
}

@test "TV4-10: ping, and what is refused" {
	agent_start --
	vectors basics
}

@test "TV6: a restricted agent" {
	agent_start -- --restricted
	vectors restricted
}

@test "TV11, 12, 14: a process and its end" {
	agent_start --
	vectors processes
}

@test "TV13: a process on a terminal" {
	agent_start --
	vectors terminal
}

@test "TV15: start gives the workload its words" {
	agent_start -- --wait-for-start -- \
		sh -c 'echo "$OPENVMM_LOG ${X-unset} $*" >"$0.part"
			mv "$0.part" "$0"; sleep 1000' "$top/said"
	vectors start
	soon test -e "$top/said"
	assert_equal "$(cat "$top/said")" 'debug unset --foo'
}

@test "TV16: the kernel's log" {
	[ -r /dev/kmsg ] && dd if=/dev/kmsg of=/dev/null count=0 2>/dev/null ||
		skip 'cannot read /dev/kmsg'
	agent_start --
	vectors kmsg
}

@test "TV17: a file" {
	agent_start --
	vectors files
}

@test "TV18, 19: a capture of two interfaces" {
	local net='ip link set lo up && ip link add two type veth &&
		ip link set two up && exec "$@"'

	# The other end stays down, and so is not counted.
	unshare -n sh -c "$net" sh true || skip 'cannot make a network'
	agent_start unshare -n sh -c "$net" sh --
	vectors capture
}

@test "TV20-23: the tree" {
	agent_start --
	vectors inspect
}

@test "TV24: an update" {
	agent_start --
	vectors update
}

@test "TV25: gRPC" {
	agent_start --
	vectors grpc
}

@test "every method of every service, with the least that it takes" {
	agent_start --
	vectors methods
}

@test "the text of a failure is UTF-8" {
	agent_start --
	vectors texts
}
