# SPDX-License-Identifier: MIT
# A keeper that executes itself anew: nothing of what it holds may notice.
load lib
load keepers
setup() { davit_setup; }
teardown()
{
	"$top/davit" rm -f up >/dev/null 2>&1 || :
	keepers_end
	davit_teardown
}

keeper_pid() { davit inspect up keeper/pid | tr -dc 0-9; }
sock() { echo "$DAVIT_RUNDIR/$(readlink "$DAVIT_RUNDIR/names/up")/sock"; }

@test "the keeper's pid, the sandbox, its log and its exit stay" {
	davit run -d --name up -- sh -c \
		'i=0; until [ -e /tmp/stop ]; do echo $i; i=$((i+1)); sleep 0.005; done; exit 9'
	before=$(keeper_pid)
	for _ in 1 2 3 4 5; do
		davit upgrade up
	done
	[ "$(keeper_pid)" = "$before" ]
	davit wait --for '^100$' --timeout 100s up
	# Its end may be faster than this one's.
	davit exec up -- touch /tmp/stop || :
	run -9 davit wait up
	davit logs up >log
	[ "$(wc -l <log)" -gt 100 ]
	seq 0 $(($(wc -l <log) - 1)) | cmp - log
	davit rm up
}

@test "50 commands with traffic, and 20 connections: not a byte, not a status is lost" {
	cat >echo.py <<-'EOF'
		import socketserver, shutil
		class Echo(socketserver.BaseRequestHandler):
		    def handle(self):
		        while b := self.request.recv(65536):
		            self.request.sendall(b)
		socketserver.ThreadingTCPServer.allow_reuse_address = True
		socketserver.ThreadingTCPServer.request_queue_size = 64
		s = socketserver.ThreadingTCPServer(("127.0.0.1", 5000), Echo)
		print("ready", flush=True)
		s.serve_forever()
	EOF
	davit run -d --name up -v "$PWD/echo.py:/echo.py:ro" -- "$PYTHON" /echo.py
	davit wait --for ready --timeout 100s up
	run "$HELPERS/carry.py" "$top/davit" up "$(sock)" 4 50 20 -- \
		"$top/davit" upgrade up
	echo "$output"
	[ "$status" = 0 ]
	davit stop up
	davit rm up
}

# held: one call is not answered yet.
held() { [ "$(davit inspect up connections/direct/calls)" = 1 ]; }

@test "a client that waits is answered by the new program" {
	davit run -d --name up -i -- sh -c 'read line; echo "got $line"; exit 5'
	"$top/davit" wait up & waiter=$!
	soon held
	davit upgrade up
	davit upgrade up
	echo hello | davit attach up >out || :
	st=0; wait $waiter || st=$?
	[ "$st" = 5 ]
	[ "$(davit logs up)" = "got hello" ]
	davit rm up
}

@test "a paused sandbox stays paused, a terminal stays one" {
	davit run -d --name up -t -- sh -c 'stty size; read x; tty >/dev/null && exit 4'
	can_pause up
	davit pause up
	davit upgrade up
	davit ps --json | grep -q '"state":"paused"'
	davit resume up
	echo | davit attach up >out || :
	run -4 davit wait up
	davit rm up
}

@test "a program that does not understand the state is refused, and nothing happened" {
	davit run -d --name up -- sleep 1000
	before=$(keeper_pid)
	cat >older <<-'EOF'
		#!/bin/sh
		exit 0
	EOF
	chmod +x older
	for file in "$PWD/older" /bin/false "$PWD/none" "$PWD"; do
		run -1 davit upgrade --exe "$file" up
		[[ "$output" == davit:* ]]
		[ "$(keeper_pid)" = "$before" ]
		[ "$(davit exec up -- echo still)" = still ]
	done
	davit rm -f up
}

# document KEY: of up, as anybody sees it.
document()
{
	davit ps -a --json | "$PYTHON" -c 'import json, sys
print(json.load(sys.stdin)[0][sys.argv[1]])' "$1"
}

is() { [ "$(document "$1")" = "$2" ]; }

@test "a program that is gone when it is to be executed: all is as before" {
	davit run -d --name up --health true --health-interval 1s -- sleep 1000
	davit exec up -- sh -c 'echo on; until [ -e /tmp/go ]; do sleep 0.01; done
		exit 8' >on 3>&- & client=$!
	soon test -s on
	soon is health good
	for _ in 1 2 3; do
		cat >brief <<-'EOF'
			#!/bin/sh
			rm -- "$0"
			exit 86
		EOF
		chmod +x brief
		run -1 davit upgrade --exe "$PWD/brief" up
		[[ "$output" == *"execute $PWD/brief: No such file"* ]] ||
			fail "$output"
		[[ "$(davit inspect up sandbox/health)" == *good* ]]
		[ "$(davit exec up -- echo still)" = still ]
	done
	davit upgrade up
	davit exec up -- touch /tmp/go
	st=0; wait $client || st=$?
	[ "$st" = 8 ]
	[[ "$(davit inspect up sandbox/health)" == *good* ]]
	davit rm -f up
}

@test "time limits, the restart policy and health go on" {
	davit run -d --name late --ttl 8s --restart always -- sleep 1000
	davit upgrade late
	# A check that runs is waited for, and its failures are counted.
	touch hold
	davit run -d --name up -v "$PWD:/w" --health \
		'echo on >/w/on; while [ -e /w/hold ]; do sleep 0.01; done; exit 1' \
		--health-interval 8s --health-retries 1 -- sleep 1000
	soon test -s on
	davit upgrade up
	is health starting
	rm hold
	soon is health bad
	davit upgrade up
	is health bad
	# Nothing is left of it but what runs.
	run -0 davit inspect up processes
	refute_output --partial 'exit'
	davit rm -f up
	run -124 timeout 100 "$top/davit" wait late
	davit why late
	davit rm late
}

@test "the idle time goes on" {
	davit run -d --name up --idle-timeout 1s -- sleep 1000
	upgraded()
	{
		! davit upgrade up 2>/dev/null
	}
	soon upgraded
	soon is state exited
	davit rm up
}

@test "the new program writes the document anew" {
	davit run -d --name up -- sleep 1000
	version=$(document version)
	sed -i 's/"version":"[^"]*"/"version":"old"/' \
		"$DAVIT_RUNDIR/$(readlink "$DAVIT_RUNDIR/names/up")/state.json"
	is version old
	davit upgrade up
	is version "$version"
	is state running
	davit rm -f up
}

# seen: the state of up, as somebody with another RUNDIR sees it.
seen() { DAVIT_RUNDIR=$top/work/other document state; }

@test "with another RUNDIR it lives during an upgrade, too" {
	davit run -d --name up -- sleep 1000
	[ "$(seen)" = running ]
	(for _ in $(seq 50); do davit upgrade up; done) & client=$!
	while kill -0 $client 2>/dev/null; do
		[ "$(seen)" = running ]
	done
	wait $client
	# An older keeper holds no lock there: that of the next program does.
	rm "$DAVIT_STATEDIR/$(readlink "$DAVIT_RUNDIR/names/up")/lock"
	[ "$(seen)" = dead ]
	davit upgrade up
	[ "$(seen)" = running ]
	davit upgrade up
	[ "$(seen)" = running ]
	davit rm -f up
	rm -rf "$top/work/other"
}

@test "a program that cannot go on says why, and its end is that of a keeper" {
	davit run -d --name up -- sleep 1000
	pid=$(document pid) keeper=$(document keeper)
	davit exec up -- sleep 1000 & client=$!
	dir=$DAVIT_STATEDIR/$(readlink "$DAVIT_RUNDIR/names/up")
	soon eval 'davit top -n 1 up | grep -c "sleep 1000" | grep -qx 2'
	rm "$dir/log"
	mkdir "$dir/log"
	run -1 timeout 100 "$top/davit" upgrade up
	[[ "$output" == *'open log log: Is a directory'* ]]
	soon gone "$keeper"
	soon is state dead
	soon gone "$pid"
	st=0; wait $client || st=$?
	[ "$st" = 125 ]
	run -0 davit why up
	[[ "$output" == *'open log log: Is a directory'* ]]
	rmdir "$dir/log"
	davit rm up
}
