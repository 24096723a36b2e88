# SPDX-License-Identifier: MIT
# davit diag against davit-agent, on a unix socket of this machine.
load lib
load agents

# A pid that no kernel gives away.
NOBODY=2147483647

setup()
{
	davit_setup
	sock=$top/agent.sock
	"$AGENT" --listen "$sock" >"$top/agent.log" 2>&1 3>&- &
	agent=$!
	agent_ready "$sock"
}

teardown()
{
	if [ -n "$agent" ]; then
		kill "$agent" 2>/dev/null || :
		wait "$agent" || :
	fi
	cat "$top/agent.log" >&2 || :
	rm -f "$sock"
	# What the agent killed at its end takes a moment to be dead.
	soon none_here || :
	davit_teardown
}

diag()
{
	davit diag "$sock" "$@"
}

@test "ping says that it answers" {
	run -0 diag ping
	assert_output --regexp 'answers in [0-9]+ us'
	run -0 davit diag "unix:$sock" ping
	run -0 davit diag "vsock:$sock" ping
	cd "$top"
	run -0 davit diag ./agent.sock ping
}

@test "bad targets and bad words are refused" {
	refused 2 'CID 0' diag vsock:0 ping
	refused 2 'CID 1' diag vsock:1 ping
	refused 2 'CID 2' diag vsock:2 ping
	refused 1 'there is no sandbox "word"' diag word ping
	refused 2 'neither a path' diag word:x ping
	refused 2 'no target' diag
	refused 2 'no verb given' diag "$sock"
	refused 2 'no verb "frob"' diag "$sock" frob
	refused 1 'No such file' diag "$top/none" ping
	refused 125 'No such file' diag "$top/none" exec -- true
	refused 125 'too few' diag "$sock" exec
	refused 2 'too much' diag "$sock" ping x
	refused 2 'either PID' diag "$sock" core
	refused 2 'no process id' diag "$sock" kill 1x
	refused 2 'no signal' diag "$sock" kill -s NOPE 1
	refused 2 'no port' diag "$sock" relay 0
	refused 2 'tcp' diag "$sock" relay 5 udp:7
	refused 2 snaplen diag "$sock" pcap --snaplen 0 /dev/null
	run -0 davit diag --help
	run -0 davit diag exec --help
	run -0 diag inspect --help
}

@test "wait-ready waits for who is not there yet, and gives up in time" {
	refused 1 'no answer within' diag "$top/later" wait-ready -t 200ms
	davit diag "$top/later" wait-ready -t 20s &
	waiter=$!
	"$AGENT" --listen "$top/later" 3>&- &
	later=$!
	wait $waiter
	kill $later
	wait $later || :
}

@test "exec: status, streams, environment" {
	run -7 diag exec -- sh -c 'exit 7'
	run -0 --separate-stderr diag exec -- sh -c 'echo out; echo err >&2'
	assert_equal "$output" out
	assert_equal "$stderr" err
	run -137 diag exec -- sh -c 'kill -9 $$'
	run -127 diag exec -- /no/such
	run -127 diag exec -- no-such-command
	run -126 diag exec -- /etc/passwd
	run -0 diag exec -e A=1 -e B= -- sh -c 'echo "[$A][${B-unset}]"'
	assert_output '[1][]'
	run -0 diag exec --clear-env -e A=1 -- /usr/bin/env
	assert_output A=1
	run -0 diag exec -w /usr -- pwd
	assert_output /usr
	[ "$(id -u)" != 0 ] || {
		run -0 diag exec -u 65534:65533 -- sh -c 'id -u; id -g'
		assert_output $'65534\n65533'
	}
	[ "$(printf hello | diag exec -- cat)" = hello ]
	run -0 diag exec -- cat </dev/null
	assert_output ''
}

@test "exec: every status, and signals" {
	local n

	for n in $(statuses); do
		status=0
		diag exec -- sh -c "exit $n" </dev/null || status=$?
		assert_equal "$status" "$n"
	done
	for n in 1 2 6 9 11 15 34 64; do
		run -$((128 + n)) diag exec -- sh -c "ulimit -c 0; kill -$n \$\$"
	done
}

@test "exec --timeout gives 124, --json the record" {
	run -124 diag exec --timeout 200ms -- sleep 100
	run -0 --separate-stderr diag exec --json -- sh -c 'echo x'
	record=$stderr
	assert_equal "$(field code)" 0
	run -137 --separate-stderr diag exec --json -- sh -c 'kill -9 $$'
	record=$stderr
	assert_equal "$(field signal)" '"SIGKILL"'
	run -127 --separate-stderr diag exec --json -- /no/such
	record=$stderr
	assert_equal "$(field error.exit)" 127
}

@test "a signal to the client reaches the command" {
	diag exec -- sh -c 'trap "echo got; exit 5" TERM; echo up
		while :; do sleep 0.05; done' >"$top/out" 3>&- &
	client=$!
	soon grep -q up "$top/out"
	# The shell function is a subshell that waits for davit itself.
	kill -TERM "$(pgrep -P $client || echo $client)"
	status=0
	wait $client || status=$?
	assert_equal "$status" 5
	grep -q got "$top/out"
}

@test "200 execs at the same time" {
	local i pids=()

	for ((i = 0; i < 200; i++)); do
		"$top/davit" diag "$sock" exec -- sh -c \
			"cat; echo $i; exit $((i % 100))" <<<"in $i" \
			>"$top/out.$i" 2>"$top/err.$i" 3>&- &
		pids+=($!)
	done
	for ((i = 0; i < 200; i++)); do
		status=0
		wait "${pids[i]}" || status=$?
		assert_equal "$status: $(cat "$top/err.$i")" "$((i % 100)): "
		assert_equal "$(cat "$top/out.$i")" "in $i"$'\n'"$i"
	done
}

@test "a gigabyte, exactly" {
	local mib=1024 want got

	! sanitized || mib=256
	want=$(head -c ${mib}M /dev/zero | openssl enc -aes-128-ctr -K 0 -iv 0 \
		2>/dev/null | sha256sum)
	got=$(diag exec -- sh -c "head -c ${mib}M /dev/zero |
		openssl enc -aes-128-ctr -K 0 -iv 0 2>/dev/null" </dev/null |
		sha256sum)
	assert_equal "$got" "$want"
	got=$(head -c ${mib}M /dev/zero | openssl enc -aes-128-ctr -K 0 -iv 0 \
		2>/dev/null | diag exec -- sha256sum)
	assert_equal "$got" "$want"
}

@test "a slow reader loses nothing and holds up nobody" {
	mkfifo "$top/slow"
	diag exec -- seq 300000 </dev/null >"$top/slow" 3>&- &
	slow=$!
	exec 7<"$top/slow"
	run -0 diag exec -- echo fast
	assert_output fast
	# The command has ended or stands; its output is all there.
	assert_equal "$(sha256sum <&7)" "$(seq 300000 | sha256sum)"
	exec 7<&-
	wait $slow
}

@test "the agent is killed while a command runs" {
	"$top/davit" diag "$sock" exec -- sh -c 'echo up $$; exec sleep 1000' \
		>"$top/out" 2>"$top/err" </dev/null 3>&- &
	client=$!
	soon grep -q up "$top/out"
	group=$(readlink /proc/"$agent"/fd/* | grep '/davit-[0-9a-f]*$' || :)
	kill -9 "$agent"
	wait "$agent" || :
	agent=
	status=0
	wait $client || status=$?
	assert_equal "$status" 125
	grep -q 'lost the command while it was running' "$top/err"
	# Nobody was left to clean: the command and the agent's group.
	kill -9 "$(sed -n 's/^up //p' "$top/out")" 2>/dev/null || :
	[ -z "$group" ] || soon rmdir "$group" 2>/dev/null
}

@test "a terminal: size, raw mode, status" {
	export DIAG=$sock TERM=xterm
	for name in shell resized ended_by_signal interrupted; do
		"$PYTHON" "$HELPERS/term.py" diag_$name "$top/davit" "$top/work"
	done
}

@test "inspect: text, JSON, depth, update" {
	run -0 diag inspect -t 60s -l 0
	assert_line --regexp 'build: _,'
	run -0 diag inspect -t 60s --json
	"$PYTHON" -c 'import json, sys; json.loads(sys.argv[1])["mesh"]' "$output"
	refused 1 'not found' diag "$sock" inspect -t 60s no/such
	run -0 diag inspect -t 60s -u info log/filter
	run -0 diag inspect -t 60s log/filter
	assert_output --partial info
	refused 1 'immutable' diag "$sock" inspect -t 60s -u x build/version
	refused 2 either diag "$sock" inspect -w -u x log
}

@test "inspect --watch shows rates until it is stopped" {
	"$top/davit" diag "$sock" inspect -w50ms --json rpc >"$top/out" 3>&- &
	watcher=$!
	soon sh -c "[ \$(wc -l <'$top/out') -ge 3 ]"
	kill $watcher
	wait $watcher || :
}

@test "cat" {
	run -0 diag cat /proc/sys/kernel/ostype
	assert_output Linux
	head -c 5M /dev/urandom >"$top/file"
	diag cat "$top/file" | cmp - "$top/file"
	refused 1 'No such file' diag "$sock" cat /no/such
	run -1 diag cat /tmp
}

@test "cat -f goes on with what is appended" {
	echo one >"$top/file"
	"$top/davit" diag "$sock" cat -f "$top/file" >"$top/out" 3>&- &
	follower=$!
	soon grep -q one "$top/out"
	echo two >>"$top/file"
	soon grep -q two "$top/out"
	kill $follower
	wait $follower || :
}

@test "kmsg" {
	[ -r /dev/kmsg ] && head -c 0 /dev/kmsg || skip 'no kernel log here'
	run -0 diag kmsg
	run -0 diag kmsg --json
	[ -z "${lines[0]}" ] || "$PYTHON" -c \
		'import json, sys; json.loads(sys.argv[1])["seq"]' "${lines[0]}"
}

@test "ps, kill, pid" {
	"$top/davit" diag "$sock" exec -- sleep 1000 3>&- </dev/null &
	client=$!
	soon sh -c "'$top/davit' diag '$sock' ps | grep -q 'sleep 1000'"
	run -0 diag ps --json
	pid=$("$PYTHON" -c 'import json, sys
print([p["pid"] for p in json.loads(sys.argv[1]) if p["argv"][0] == "sleep"][0])' \
		"$output")
	run -0 diag kill -s USR1 "$pid"
	status=0
	wait $client || status=$?
	assert_equal "$status" $((128 + 10))
	run -1 diag kill "$pid"
	run -0 diag pid davit-agent
	assert_output --regexp '^[0-9]+$'
	refused 1 'no process is named' diag "$sock" pid nobody
}

# sleeps PID: it is what it was to become, and not on its way there.
sleeps()
{
	[ "$(cat "/proc/$1/comm")" = sleep ] &&
		grep -q '^State:.S' "/proc/$1/status"
}

@test "core opens in gdb, and the process goes on" {
	command -v gdb >/dev/null || skip 'no gdb'
	"$top/davit" diag "$sock" exec -- sleep 1000 3>&- </dev/null &
	client=$!
	soon sh -c "'$top/davit' diag '$sock' ps | grep -q 'sleep 1000'"
	pid=$(diag ps | awk '/sleep 1000/ { print $1 }')
	soon sleeps "$pid"
	diag core "$pid" >"$top/core"
	run -0 env -u DEBUGINFOD_URLS gdb -nx -batch -ex bt \
		"$(command -v sleep)" "$top/core"
	assert_output --regexp 'nanosleep|\?\?'
	kill -0 "$pid"
	run -1 diag core $NOBODY
	run -0 diag kill "$pid"
	wait $client || :
}

@test "gdb debugs a process there, which goes on" {
	command -v gdb >/dev/null || skip 'no gdb'
	command -v gdbserver >/dev/null || skip 'no gdbserver'
	diag exec -- sleep 1000 3>&- </dev/null &
	client=$!
	soon sh -c "'$top/davit' diag '$sock' ps | grep -q 'sleep 1000'"
	pid=$(diag ps | awk '/sleep 1000/ { print $1 }')
	run env -u DEBUGINFOD_URLS timeout -s KILL 200 "$top/davit" diag \
		"$sock" gdb "$pid" -nx -batch -ex 'bt 1' -ex detach </dev/null
	assert_success
	assert_output --partial '#0 '
	assert_output --partial "detached"
	run -0 diag kill "$pid"
	wait $client || :
}

@test "mem-profile and saved-state" {
	run -0 diag mem-profile "$agent"
	"$PYTHON" -c 'import json, sys; json.loads(sys.argv[1])["total"]["rss"]' \
		"$output"
	diag saved-state >"$top/state.bin"
	[ -s "$top/state.bin" ]
	run -1 diag mem-profile $NOBODY
}

@test "binary data is not written to a terminal" {
	"$PYTHON" - "$top/davit" "$sock" <<-'END'
	import os, pty, sys
	for verb in ["saved-state"], ["core", "1"], ["pcap", "-s", "1"]:
	    pid, master = pty.fork()
	    if pid == 0:
	        os.execv(sys.argv[1], ["davit", "diag", sys.argv[2], *verb])
	    seen = b""
	    try:
	        while data := os.read(master, 4096):
	            seen += data
	    except OSError:
	        pass
	    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
	    os.close(master)
	    assert status == 2 and b"terminal" in seen, (verb, status, seen)
	END
}

@test "output that stdout does not take is not lost in silence" {
	local lost='write to stdout: No space left on device'

	words=(ping ps 'inspect -t 60s build' saved-state 'cat /proc/version'
		"core $agent")
	! captures || words+=('pcap --query' 'pcap -s 1')
	[ -z "$(diag kmsg)" ] || words+=(kmsg)
	for args in "${words[@]}"; do
		# shellcheck disable=SC2086 # words
		run -1 refuses_output /dev/full $args
		assert_output --partial "$lost"
	done
	run -125 refuses_output /dev/full exec echo hi
	assert_output "davit: $lost; output is lost"
	run -125 refuses_output /dev/full exec --relayed echo hi
	assert_output "davit: $lost; output is lost"
	# The command's own failure says more.
	run -3 refuses_output /dev/full exec sh -c 'echo hi; exit 3'
	assert_output "davit: $lost; output is lost"
	run -0 refuses_output /dev/full exec true
	assert_output ''
}

# Whether packets can be captured here.
captures()
{
	diag pcap --query >/dev/null 2>&1
}

# refuses_output FILE ARG...: with stdout there; shows stderr
refuses_output()
{
	local file=$1

	shift
	diag "$@" 2>&1 >"$file"
}

@test "a file system that fills up" {
	need_root
	unshare -m true 2>/dev/null || skip 'no mount namespaces'
	mkdir "$top/small"
	run unshare -m sh -c '
		mount -t tmpfs -o size=64k tmpfs "$1" || exit 77
		head -c 200000 /dev/zero >"$1/../big"
		"$2" diag "$3" cat "$1/../big" >"$1/file"
		echo "status $?"
		"$2" diag "$3" exec --relayed cat "$1/../big" >"$1/file"
		echo "status $?"' sh "$top/small" "$top/davit" "$sock"
	[ "$status" != 77 ] || skip 'cannot mount a tmpfs'
	assert_line --index 0 --partial 'big: write to stdout: No space left'
	assert_line --index 1 'status 1'
	assert_line --index 2 --partial 'No space left on device; output is lost'
	# cat may have noticed that nobody takes it.
	assert_line --index 3 --regexp '^status (125|141)$'
	rm "$top/big"
}

# Ends like every other filter, and as soon as its reader is gone.
@test "a reader that has had enough" {
	words=('inspect -w50ms rpc' 'cat /dev/zero' "core $agent"
		'exec seq 10000000')
	! captures || words+=(pcap)
	# It has to be more than the pipe takes.
	[ "$(diag kmsg | wc -c)" -lt 10000 ] || words+=(kmsg 'kmsg -f')
	for args in "${words[@]}"; do
		# shellcheck disable=SC2086 # words
		run -0 with_reader byte $args
		assert_output 141
	done
	run -0 with_reader none inspect -w1h rpc
	assert_output 141
	# Who ignores SIGPIPE is told.
	run -0 with_reader none,ignored inspect -t 60s host
	assert_output $'davit: write to stdout: Broken pipe\n1'
}

# with_reader HOW ARG...: stdout is a pipe of 4 KiB, whose reader is gone before
# (none) or goes when it has a byte. Shows stderr, and the status as a shell would.
with_reader()
{
	"$PYTHON" - "$1" "$top/davit" diag "$sock" "${@:2}" <<-'END'
	import fcntl, os, signal, subprocess, sys
	how, argv = sys.argv[1], sys.argv[2:]
	out, into = os.pipe()
	fcntl.fcntl(into, 1031, 4096)  # F_SETPIPE_SZ
	if how.startswith("none"):
	    os.close(out)
	p = subprocess.Popen(argv, stdout=into,
	                     restore_signals="ignored" not in how)
	os.close(into)
	if how == "byte":
	    os.read(out, 1)
	    os.close(out)
	try:
	    status = p.wait(100)
	    print(128 - status if status < 0 else status)
	except subprocess.TimeoutExpired:
	    p.kill()
	    print("it goes on")
	END
}

@test "a closed stdout" {
	words=(ping 'cat /proc/version' "core $agent")
	! captures || words+=(pcap)
	for args in "${words[@]}"; do
		# shellcheck disable=SC2086 # words
		run -1 closed $args
		assert_output --partial 'write to stdout: Bad file descriptor'
	done
	run -0 closed exec echo hi
	assert_output ''
}

closed()
{
	diag "$@" 2>&1 >&-
}

@test "what the guest says does not talk to a terminal" {
	run -127 --separate-stderr diag exec $'a\xc2\x9b31m\xff\x1b[31m'
	[[ $stderr == *'exec a?31m'* && $stderr != *[$'\x1b\x9b\xff']* ]]
	start_reader_of_names
	run -0 diag ps
	[[ $output == *'a?31mb?c'* && $output != *$'\x1b'* ]] ||
		fail "$output"
	kill "$reader"
	wait "$reader" || :
}

start_reader_of_names()
{
	"$top/davit" diag "$sock" exec sh -c 'sleep 1000' $'a\xc2\x9b31mb\xffc' \
		>/dev/null 2>&1 3>&- &
	reader=$!
	soon sh -c "'$top/davit' diag '$sock' ps | grep -aq sleep"
}

@test "colors are for terminals that want them" {
	local kmsg="'$top/davit' diag '$sock' kmsg"

	[ -n "$(diag kmsg)" ] || skip 'the kernel has nothing to say'
	run -0 env TERM=xterm script -qec "$kmsg" /dev/null
	assert_output --partial $'\x1b['
	run -0 env TERM=dumb script -qec "$kmsg" /dev/null
	refute_output --partial $'\x1b['
	run -0 env TERM=xterm NO_COLOR=1 script -qec "$kmsg" /dev/null
	refute_output --partial $'\x1b['
}

@test "pcap: one file, every interface, stopped by time and by a signal" {
	run diag pcap --query
	[ "$status" = 0 ] || skip "no capture here: $output"
	run -0 diag pcap --query --json
	if ! diag pcap -s 300ms "$top/a.pcapng" 2>"$top/err"; then
		grep -qi 'permi' "$top/err" && skip 'no right to capture'
		fail "$(cat "$top/err")"
	fi
	[ "$(head -c 4 "$top/a.pcapng" | od -An -tx1 | tr -d ' ')" = 0a0d0d0a ]
	"$top/davit" diag "$sock" pcap "$top/b.pcapng" 3>&- &
	client=$!
	soon sh -c "'$top/davit' diag '$sock' pcap --query |
		grep -q capturing"
	# INT is ignored in what a shell runs in the background; TERM does the
	# same.
	kill -TERM $client
	wait $client
	[ -s "$top/b.pcapng" ]
	! command -v capinfos >/dev/null || run -0 capinfos "$top/b.pcapng"
}

@test "pcap: a file is left alone when there is no capture" {
	echo precious >"$top/precious"
	refused 1 . diag "$top/nobody" pcap -s 300ms "$top/precious"
	assert_equal "$(cat "$top/precious")" precious
	refused 2 'is no duration' diag "$sock" pcap -s soon "$top/precious"
	assert_equal "$(cat "$top/precious")" precious
	if diag pcap -s 300ms "$top/precious" 2>/dev/null; then
		[ "$(head -c 4 "$top/precious" | od -An -tx1 | tr -d ' ')" = \
			0a0d0d0a ]
	fi
}

@test "inspect -t 0: no limit of time" {
	run -0 diag inspect -t 0
	assert_output --partial processes
	run -0 diag ping -t 0
}

@test "restart keeps a running command, its bytes and its status" {
	"$top/davit" diag "$sock" exec -- sh -c \
		'echo up; read x; echo "got $x"; exit 9' >"$top/out" \
		2>"$top/err" < <(until [ -e "$top/go" ]; do sleep 0.05; done
			echo on) 3>&- &
	client=$!
	soon grep -q up "$top/out"
	run -0 diag restart
	touch "$top/go"
	status=0
	wait $client || status=$?
	assert_equal "$status: $(cat "$top/err")" '9: '
	grep -q 'got on' "$top/out"
}

@test "relay: a guest's own port, by stdio and by TCP" {
	# Port 1 is there anyway: a silent client ends when its input does.
	run -0 diag relay 1 </dev/null
	"$PYTHON" - "$top/davit" "$sock" <<-'END'
	import re, socket, subprocess, sys
	p = subprocess.Popen([sys.argv[1], "diag", sys.argv[2], "relay", "2",
	                      "tcp:0"], stderr=subprocess.PIPE, text=True)
	port = int(re.search(r"port (\d+)", p.stderr.readline())[1])
	s = socket.create_connection(("127.0.0.1", port))
	assert len(s.recv(8, socket.MSG_WAITALL)) == 8  # a data connection's id
	s.shutdown(socket.SHUT_WR)
	assert s.recv(1) == b""
	s.close()
	assert p.wait(60) == 0
	END
	run -1 diag relay 77 </dev/null
}

@test "start without a workload that waits is refused" {
	run -1 diag start
	assert_output --partial davit:
}

# Records of a log in JSON: each comes once, in order, and none is missing.
whole_log()
{
	"$PYTHON" - "$1" <<-'END'
	import json, sys
	# A signal may have cut the last line.
	lines = open(sys.argv[1]).read().split("\n")[:-1]
	seqs = [json.loads(line)["seq"] for line in lines]
	assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), seqs
	END
}

@test "kmsg --reconnect goes on after its last record when the agent restarts" {
	[ -r /dev/kmsg ] && head -c 0 /dev/kmsg || skip 'no kernel log here'
	[ -w /dev/kmsg ] &&
		[ "$(cat /proc/sys/kernel/printk_devkmsg 2>/dev/null)" != off ] ||
		skip 'the kernel log takes no records from us'
	mark=davit-test-$$-$RANDOM
	echo "$mark one" >/dev/kmsg
	"$top/davit" diag "$sock" kmsg -f --reconnect --json >"$top/out" \
		2>"$top/err" 3>&- &
	client=$!
	soon grep -q "$mark one" "$top/out"
	run -0 diag restart
	echo "$mark two" >/dev/kmsg
	soon grep -q "$mark two" "$top/out"
	grep -q 'waiting for the guest' "$top/err"
	# Also when it is another agent, which has seen nothing of this.
	kill -KILL "$agent"
	wait "$agent" || :
	echo "$mark three" >/dev/kmsg
	"$AGENT" --listen "$sock" >>"$top/agent.log" 2>&1 3>&- &
	agent=$!
	soon grep -q "$mark three" "$top/out"
	for word in one two three; do
		assert_equal "$(grep -c "$mark $word" "$top/out")" 1
	done
	kill "$client"
	wait "$client" || :
	whole_log "$top/out"
}
