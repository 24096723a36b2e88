# SPDX-License-Identifier: MIT
# The agent's own life: its socket, its end, its orphans, its restart.
load lib
load agents

setup()
{
	top=$(mktemp -d "${TMPDIR:-/tmp}/davit-agent.XXXXXX")
	sock=$top/sock
	agent=
}

teardown()
{
	agent_stop
	rm -rf "$top"
}

# agent_start [OPTION...]: $agent is its pid, $top/log what it says.
agent_start()
{
	"$AGENT" --listen "$sock" "$@" 2>>"$top/log" 3>&- &
	agent=$!
	agent_ready "$sock"
}

agent_stop()
{
	[ -n "$agent" ] || return 0
	kill "$agent" 2>/dev/null || :
	wait "$agent" 2>/dev/null || :
	agent=
}

diag()
{
	timeout -s KILL 100 "$DAVIT" diag "$sock" "$@"
}

# An answer that is whole, however long that takes.
inspect()
{
	diag inspect -t 60s "$@"
}

# It has ended, and its parent knows.
reaped()
{
	! kill -0 "$1" 2>/dev/null
}

# wait_is STATUS PID: our child PID ends with that.
wait_is()
{
	local status=0

	wait "$2" || status=$?
	assert_equal "$status" "$1"
}

@test "bad options are said in one line, and exit 2" {
	run -2 --separate-stderr "$AGENT"
	[[ "$stderr" == *"--listen PATH is missing"* ]]
	run -2 "$AGENT" --listen "$sock" --log-level loud
	assert_output --partial 'no log level loud'
	run -1 "$AGENT" --listen "$top/no/such/dir"
	assert_output --partial "$top/no/such/dir"
	run -0 "$AGENT" --version
	assert_output --partial 'davit-agent '
}

@test "SIGTERM ends it, and what it started" {
	agent_start
	diag exec -- sh -c 'sleep 1000 & echo $!; exec sleep 1000' >"$top/out" &
	soon grep -q . "$top/out"
	inner=$(cat "$top/out")
	kill "$agent"
	wait_is 0 "$agent"
	agent=
	soon gone "$inner"
	[ ! -e "$sock" ]
	[ ! -e "$sock.cgroup" ]
	wait
}

@test "a second agent is refused, a dead one's socket replaced" {
	agent_start
	run -1 "$AGENT" --listen "$sock"
	assert_output --partial "$sock"
	kill -9 "$agent"
	wait "$agent" || :
	[ -e "$sock" ]
	agent_start
	diag ping
}

@test "what a killed agent leaves is removed by the next one" {
	agent_start
	group=$(cat "$sock.cgroup" || :)
	diag exec -- sh -c 'sleep 1000 >/dev/null 2>&1 & echo $! >'"$top"'/left'
	diag exec -- sleep 1000 &
	client=$!
	soon diag pid sleep
	pid=$(diag pid sleep)
	kill -9 "$agent"
	wait "$agent" || :
	# Its children do not outlive it.
	soon gone "$pid"
	wait_is 125 "$client"
	[ -z "$group" ] || [ -d "$group" ]
	agent_start
	[ -z "$group" ] || [ ! -d "$group" ]
	if [ -n "$group" ]; then
		soon gone "$(cat "$top/left")"
	else
		kill -9 "$(cat "$top/left")"
	fi
}

@test "a group that cannot go yet stays noted, also over an agent's end" {
	local old

	agent_start
	[ -s "$sock.cgroup" ] || skip 'no group can be made here'
	old=$(head -n 1 "$sock.cgroup")
	old=${old%/*}/davit-0123456789abcdef
	agent_stop
	# Deeper than davit goes down.
	mkdir -p "$old/$(printf 'd/%.0s' {1..70})"
	echo "$old" >"$sock.cgroup"
	agent_start
	agent_stop
	run cat "$sock.cgroup"
	find "$old" -mindepth 1 -depth -type d -exec rmdir {} +
	assert_line "$old"
	agent_start
	[ ! -d "$old" ]
	agent_stop
	[ ! -e "$sock.cgroup" ]
}

@test "orphans are reaped" {
	agent_start
	diag exec -- sh -c '(sleep 0.1 & echo $! >'"$top"'/pid)'
	soon reaped "$(cat "$top/pid")"
	# And those with an owner are left to it.
	for i in 1 2 3 4 5 6 7 8; do
		diag exec -- sh -c "(sleep 0.0$i &); exit $i" 3>&- &
		pids[i]=$!
	done
	for i in 1 2 3 4 5 6 7 8; do
		wait_is "$i" "${pids[i]}"
	done
}

@test "restricted: only Ping and what is safe" {
	agent_start --restricted
	diag ping
	run -0 inspect build/version
	run -0 inspect
	refute_line --partial 'processes: {'
	refute_line --partial 'host: {'
	run -125 diag exec -- true
	run -1 diag cat /etc/hostname
	run -1 diag restart
	# Nor is anything changed that can be seen.
	run -1 inspect log/filter -u debug
	assert_output --partial Update
	run -1 diag mem-profile "$agent"
}

@test "--wait-for-start holds the workload, which start completes" {
	agent_start --wait-for-start -- sh -c 'echo "$GREETING $1"; sleep 1000' sh
	run -0 inspect agent/held
	assert_output true
	run -0 diag ps
	refute_output --partial sleep
	diag start -e GREETING=ahoy -- sailor
	soon diag pid sh
	run -1 diag start
	assert_output --partial 'already been started'
}

@test "pause and resume freeze what it started" {
	[ -e /sys/fs/cgroup/cgroup.controllers ] ||
		[ -e /sys/fs/cgroup/unified/cgroup.controllers ] ||
		skip 'no cgroup v2'
	[ "$(id -u)" = 0 ] || skip 'needs root, to make a group'
	mount=$(awk '/ - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
	[ -w "$mount$(sed -n 's/^0:://p' /proc/self/cgroup)" ] ||
		skip 'no group can be made here'
	agent_start
	diag exec -- sh -c 'i=0; while sleep 0.01; do i=$((i + 1)); echo $i >'"$top"'/n; done' &
	soon grep -q . "$top/n"
	diag pause
	run -1 diag pause
	assert_output --partial 'already paused'
	frozen=$(cat "$top/n")
	sleep 0.2
	assert_equal "$(cat "$top/n")" "$frozen"
	diag resume
	run -1 diag resume
	soon moved
}

moved()
{
	[ "$(cat "$top/n")" != "$frozen" ]
}

@test "a log filter can be changed while it runs" {
	agent_start
	run -0 inspect log/filter
	assert_output '"warn"'
	run -0 inspect -u debug log/filter
	run -0 inspect log/filter
	assert_output '"debug"'
	run -1 inspect -u loud log/filter
	assert_output --partial 'no log level'
	run -1 inspect -u 2 build/version
	assert_output --partial 'immutable'
}

@test "restart: the pid, processes, streams and records stay" {
	agent_start
	# It writes for as long as there are restarts.
	diag exec --relayed -- sh -c 'i=0; until [ -e "$0" ]; do echo $i; i=$((i + 1)); done; exit 7' "$top/over" >"$top/out" 3>&- &
	writer=$!
	mkfifo "$top/in"
	diag exec -i --relayed -- cat <"$top/in" >"$top/copy" &
	copier=$!
	exec 7>"$top/in"
	soon diag pid cat
	soon grep -q . "$top/out"
	for i in 1 2 3 4 5; do
		seq "$i"000 "$i"999 >&7
		diag restart
	done
	exec 7>&-
	touch "$top/over"
	wait_is 7 "$writer"
	wait_is 0 "$copier"
	seq 0 $(($(wc -l <"$top/out") - 1)) | cmp - "$top/out"
	seq 1000 5999 | cmp - "$top/copy"
	run -0 inspect agent/restarts
	assert_output 5
	run -0 inspect agent/pid
	assert_output "$agent"
}

@test "restart: a program file that does not understand us is refused" {
	cp "$AGENT" "$top/agent"
	AGENT=$top/agent agent_start
	rm "$top/agent"
	printf '#!/bin/sh\nexit 1\n' >"$top/agent"
	chmod 755 "$top/agent"
	run -1 diag restart
	assert_output --partial 'does not accept our state'
	diag ping
	cp "$AGENT" "$top/agent.new"
	mv "$top/agent.new" "$top/agent"
	diag restart
	run -0 inspect agent/restarts
	assert_output 1
}

@test "saved-state, and a restart that is refused, disturb nobody" {
	cp "$AGENT" "$top/agent"
	AGENT=$top/agent agent_start
	echo one >"$top/file"
	diag cat -f "$top/file" >"$top/out" 3>&- &
	reader=$!
	soon grep -q one "$top/out"
	diag saved-state >"$top/state"
	rm "$top/agent"
	printf '#!/bin/sh\nexit 1\n' >"$top/agent"
	chmod 755 "$top/agent"
	run -1 diag restart
	echo two >>"$top/file"
	soon grep -q two "$top/out"
	rm "$top/file"
	wait_is 0 "$reader"
}

@test "50 processes with traffic lose neither bytes nor statuses" {
	agent_start
	for i in $(seq 50); do
		# Every second one writes to a pipe of its client.
		[ $((i % 2)) = 0 ] && how= || how=--relayed
		diag exec $how -- sh -c "half() { head -c 150000 /dev/zero | tr '\\0' a; }
			half; until [ -e '$top/go' ]; do sleep 0.02; done; half; exit $i" \
			>"$top/out.$i" 3>&- &
		pids[i]=$!
	done
	# None has ended before the last two.
	for i in 1 2 3 4; do
		[ $i != 3 ] || touch "$top/go"
		diag restart
	done
	for i in $(seq 50); do
		wait_is "$i" "${pids[i]}"
		assert_equal "$(wc -c <"$top/out.$i")" 300000
	done
}
