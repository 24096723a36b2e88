# SPDX-License-Identifier: MIT
# What a sandbox wrote: while it runs and after, for any number of viewers.
load lib
load keepers

setup()
{
	davit_setup
	pids=()
}
teardown()
{
	# Those that a test which failed has left.
	kill -KILL $(jobs -rp; jobs -sp) 2>/dev/null || :
	davit rm -f --ignore log a b >/dev/null 2>&1 || :
	keepers_end
	davit_teardown
}

PATTERN=$HELPERS/logpattern.py

# start NAME SCRIPT [OPTION...]: leave a sandbox behind.
start()
{
	local name=$1 script=$2

	shift 2
	davit run -d --name "$name" "$@" -- /bin/sh -c "$script" >/dev/null
}

# The directory of a sandbox in STATEDIR.
state_of()
{
	echo "$top/state/$(readlink "$top/run/names/$1")"
}

@test "1 GiB with three viewers, one of them stopped" {
	need_root
	local blocks=262144 total=$((1 << 30)) max=$((64 << 20)) viewer stopped
	local first bytes lost offset dir i

	mkfifo gate slow
	davit run -d --name log --log-max 64m -v "$HELPERS:/helpers:ro" \
		-v "$PWD:/gate" -- /bin/sh -c \
		"$PYTHON /helpers/logpattern.py write 0 1
		 read go </gate/gate
		 exec $PYTHON /helpers/logpattern.py write 1 $blocks" >/dev/null
	for i in 1 2; do
		davit logs -f log 2>gaps.$i 3>&- |
			"$PYTHON" "$PATTERN" check gaps.$i $total >got.$i 3>&- &
		pids+=($!)
	done
	# The third one has begun when it is stopped.
	"$top/davit" logs -f log >slow 2>gaps.3 3>&- &
	stopped=$!
	pids+=($stopped)
	exec 9<slow
	IFS= read -r -N 1 first <&9
	kill -STOP $stopped
	{ printf %s "$first"; exec cat <&9; } 3>&- |
		"$PYTHON" "$PATTERN" check gaps.3 $total >got.3 3>&- &
	viewer=$!
	pids+=($viewer)
	exec 9<&-
	echo go >gate
	# It runs to its end, and those who read see that end.
	run -0 timeout -s KILL 200 "$top/davit" wait log
	wait "${pids[0]}"
	wait "${pids[1]}"
	kill -CONT $stopped
	wait $stopped
	wait $viewer
	cat got.* >&2

	# The disk holds what was asked for, and a few blocks.
	dir=$(state_of log)
	[ "$(stat -c %s "$dir/log")" = $total ]
	[ $(($(stat -c %b "$dir/log") * 512)) -le $((max + 65536)) ]
	[ $(($(stat -c %b "$dir/log.idx") * 512)) -le $((max / 4)) ]

	# What is left is exact, from wherever.
	davit logs log 2>gaps | "$PYTHON" "$PATTERN" check gaps $total >got
	read -r bytes lost <got
	[ "$bytes" -le $max ]
	[ "$bytes" -ge $((max * 3 / 4)) ]
	[ "$(wc -l <gaps)" = 1 ]
	for offset in "$lost" $((lost + 1)) $((total - 12345678)) \
		$((total - 4097)) $((total - 1)) "$total"; do
		assert_equal "$(davit logs --offset "$offset" log | cksum)" \
			"$("$PYTHON" "$PATTERN" part "$offset" \
				$((total - offset)) | cksum)"
	done
	# Before that the gap is what is told.
	davit logs --offset $((lost - 77)) log 2>gaps | cmp - <(davit logs \
		--offset "$lost" log)
	assert_equal "$(cat gaps)" 'davit: 77 bytes are missing here'
	davit rm log
}

both_streams()
{
	start log 'echo out; echo err >&2; printf "last\0"'
	run -0 davit wait log
	# A piece has its stream.
	davit logs log >out 2>err
	printf 'out\nlast\0' | cmp - out
	assert_equal "$(cat err)" err
	davit logs --stdout log >out 2>err
	printf 'out\nlast\0' | cmp - out
	[ ! -s err ]
	davit logs --stderr log >out 2>err
	[ ! -s out ]
	assert_equal "$(cat err)" err
	davit rm log
}

@test "stdout and stderr are what they were" {
	each_user both_streams
}

@test "logs -f shows what comes and ends with the sandbox" {
	mkfifo gate
	davit run -d --name log -v "$PWD:/gate" -- /bin/sh -c \
		'echo one; read x </gate/gate; echo two; exit 3' >/dev/null
	davit wait --for one log
	davit logs -f log >out 3>&- &
	echo go >gate
	wait $!
	printf 'one\ntwo\n' | cmp - out
	# Now there is nothing to follow.
	davit logs -f log | cmp - out
	davit rm log
}

@test "logs -f ends when the keeper is killed" {
	local keeper

	start log 'echo one; exec sleep 1000'
	davit wait --for one log
	keeper=$(davit inspect --json log keeper/pid 2>/dev/null |
		grep -o '[0-9]*') || keeper=
	[ -n "$keeper" ] || keeper=$("$PYTHON" -c 'import json, sys
print(json.load(open(sys.argv[1]))["keeper"])' \
		"$top/run/$(readlink "$top/run/names/log")/state.json")
	davit logs -f log >out 3>&- &
	kill -KILL "$keeper"
	wait $!
	assert_equal "$(cat out)" one
	run -137 davit wait log
	davit rm log
}

@test "tail, offset and times choose what is shown" {
	local first

	mkfifo gate
	# Two pieces: those of one stream that are near to each other become
	# one, unless there is one of the other between them.
	start log 'exec 5</gate/gate
		seq 10; read x <&5; echo - >&2; read x <&5; seq 11 20' \
		-v "$PWD:/gate"
	exec 9>gate
	for piece in 10 -; do
		run -0 davit wait --for "^$piece\$" log
		echo go >&9
	done
	exec 9>&-
	run -0 davit wait log
	assert_equal "$(davit logs -n 3 log | tr '\n' ' ')" '18 19 20 '
	assert_equal "$(davit logs --tail 0 log)" ''
	assert_equal "$(davit logs -n all log | wc -l)" 20
	assert_equal "$(davit logs --offset 50 log)" 20
	run -0 davit logs -t -n 1 log
	assert_output --regexp \
		'^20[0-9-]{8}T[0-9:]{8}\.[0-9]{9}Z 20$'
	first=$(davit logs -t log | sed -n '1s/ .*//p')
	assert_equal "$(davit logs --since "$first" log | wc -l)" 20
	assert_equal "$(davit logs --until "$first" log | wc -l)" 10
	first=$(davit logs -t log | sed -n '11s/ .*//p')
	assert_equal "$(davit logs --since "$first" -n 4 log | head -n 1)" 17
	assert_equal "$(davit logs --since "$first" log | head -n 1)" 11
	assert_equal "$(davit logs --since 1h log | wc -l)" 20
	run -0 davit logs --json -n 1 log
	"$PYTHON" -c 'import json, sys
p = json.loads(sys.argv[1])
assert p["offset"] == 50 and p["data"] == "20\n" and p["bytes"] == 3
assert p["stream"] == "stdout"' "$output"
	davit rm log
}

@test "logs of what cannot be shown say why" {
	refused 1 'no sandbox "nosuch"' logs nosuch
	refused 2 'no sandbox is named' logs
	refused 2 'too much' logs a b
	refused 2 'is no time' logs --since yesterday a
	refused 2 'is no time' logs --since 2600-01-01 a
	[[ $stderr == *'7d (ago)'* ]]
	refused 2 'is no duration' events --since soon
	[[ $stderr == *'7d'* ]]
	refused 2 'is no number of lines' logs -n x a
	refused 2 'is no number of bytes' logs --offset -1 a
}

@test "spans of more than 24 days" {
	start log 'echo one; exec sleep 1000'
	run -0 davit wait --for one log
	for span in 1000h 99999h 40d 7d12h; do
		run -0 davit logs --since $span log
		assert_output one
		run -0 davit events --since $span log
		assert_output --partial started
	done
	davit rm -f log
	refused 125 '"1000h" is not a time' run -d --ttl 1000h -- true
	[[ $stderr == *'7d; more than 0, 24d20h at most' ]]
	refused 125 '"25d" is not a time' run --timeout 25d -- true
	[[ $stderr == *'24d20h at most' ]]
}

@test "who follows into a socket ends when the other side has gone" {
	start log 'echo one; exec sleep 1000'
	"$PYTHON" - "$top/davit" <<'PY'
import socket, subprocess, sys
for verb in (["logs", "-f", "log"], ["events", "-f"]):
    ours, theirs = socket.socketpair()
    p = subprocess.Popen([sys.argv[1], *verb], stdout=theirs)
    theirs.close()
    assert ours.recv(1)
    ours.close()
    # As a pipe that nobody reads any more.
    assert p.wait(timeout=100) == -13, p.returncode
PY
	davit rm -f log
}

@test "an index that was destroyed is an error, and what is before is shown" {
	local dir

	mkfifo gate
	# Each is a piece of its own: pieces of one stream that are near to
	# each other become one.
	start log 'exec 5</gate/gate
		echo one; read x <&5; echo two >&2; read x <&5
		echo three; read x <&5' -v "$PWD:/gate"
	exec 9>gate
	for piece in one two three; do
		run -0 davit wait --for $piece log
		echo go >&9
	done
	exec 9>&-
	run -0 davit wait log
	dir=$(state_of log)
	printf 'nonsense nonsense nonsense nonsense' |
		dd of="$dir/log.idx" bs=32 seek=1 conv=notrunc status=none
	run --separate-stderr -1 davit logs log
	assert_output one
	[[ $stderr == *'is damaged at byte 32'* ]] || fail "$stderr"
	rm "$dir/log.idx"
	run --separate-stderr -1 davit logs log
	[[ $stderr == *'has no log'* ]] || fail "$stderr"
	davit rm log
}

@test "the --log of a foreground run is its log" {
	mkfifo gate seen
	davit run -q --name log --log mine -v "$PWD:/gate" -- /bin/sh -c \
		'echo one; read x </gate/gate; echo two' >seen 3>&- &
	# When something comes out of it, it can be asked.
	exec 9<seen
	read -r line <&9
	davit logs -f log >out 3>&- 9<&- &
	pids+=($!)
	echo go >gate
	wait "${pids[0]}"
	exec 9<&-
	printf 'one\ntwo\n' | cmp - out
	wait
	cd /
	davit logs log | cmp - "$top/work/out"
	davit rm log
	davit run -q --name log -- true
	run --separate-stderr -1 davit logs log
	[[ $stderr == *'has no log'* ]] || fail "$stderr"
	davit rm log
}

@test "wait has the status of the sandbox" {
	start a 'exit 7'
	run -7 davit wait a
	run -7 davit wait --json a
	[[ $output == *'"code":7'* ]]
	start b 'kill -9 $$'
	run -137 davit wait b
	run -125 davit wait nosuch
	run -125 davit wait
	davit rm a b
	start a 'exec sleep 1000' --ttl 100ms
	run -124 davit wait a
	davit rm a
}

@test "wait --for, --idle and --timeout say what came" {
	mkfifo gate
	davit run -d --name log -v "$PWD:/gate" -- /bin/sh -c \
		'echo listening on 80; printf "login: "
		 read x </gate/gate; echo done; exit 3' >/dev/null
	run -0 davit wait --for 'on [0-9]+$' log
	assert_output 'listening on 80'
	run -0 davit wait --for '^login: ' log
	run -0 davit wait --idle 100ms log
	assert_output ''
	run -124 davit wait --for never --timeout 100ms log
	run -124 davit wait --timeout 100ms log
	run -0 davit wait --json --for 'on ([0-9]+)' --idle 1h log
	"$PYTHON" -c 'import json, sys
p = json.loads(sys.argv[1])
assert p["event"] == "match" and p["text"] == "on 80", p
assert p["offset"] == 10 and p["line"] == "listening on 80", p' "$output"
	run -125 davit wait --for '(' log
	davit wait --for never log 2>err 3>&- &
	echo go >gate
	status=0
	wait $! || status=$?
	assert_equal "$status" 1
	grep -q 'log has ended without a match' err
	davit rm log
}

@test "wait --for looks at the present run" {
	start log 'echo ready; exec sleep 1000'
	davit wait --for ready log
	davit restart log
	davit wait --for ready --timeout 100s log
	assert_equal "$(davit logs log | tr '\n' ' ')" 'ready ready '
	davit stop log
	davit rm log
}
