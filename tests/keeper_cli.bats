# SPDX-License-Identifier: MIT
# The verbs that ask a keeper, against real ones.
load lib
load keepers

setup()
{
	davit_setup
	export TERM=xterm
}

teardown()
{
	local dir

	back_to_root
	for dir in "$top"/state/*/; do
		[ ! -e "$dir" ] || "$top/davit" rm -f "$(basename "$dir")" || :
	done
	keepers_end
	davit_teardown
}

# ended NAME STATUS: one that has ended.
ended()
{
	davit run -d -q --name "$1" -- sh -c "exit $2" >/dev/null
	davit wait "$1" || :
}

state_of()
{
	davit inspect "$1" 2>/dev/null | grep -q '"state":"exited"' &&
		echo exited && return
	davit ps -a --json | "$PYTHON" -c 'import json, sys
for d in json.load(sys.stdin):
    if sys.argv[1] in (d["name"], d["id"]):
        print(d["state"])' "$1"
}

keeper_of()
{
	davit inspect "$1" keeper/pid
}

is()
{
	[ "$(state_of "$1")" = "$2" ]
}

kill_keeper()
{
	kill -9 "$(keeper_of "$1")"
	soon is "$1" dead
}

# ---- exec

@test "exec: status, streams, environment, directory" {
	up web -e OF_RUN=1
	run -7 davit exec web -- sh -c 'exit 7'
	run -7 davit exec web sh -c 'exit 7'
	run -0 --separate-stderr davit exec web -- sh -c 'echo out; echo err >&2'
	assert_equal "$output" out
	assert_equal "$stderr" err
	run -137 davit exec web -- sh -c 'kill -9 $$'
	run -0 davit exec -e A=1 -e B= web -- sh -c 'echo "[$A][${B-unset}][$OF_RUN]"'
	assert_output '[1][][1]'
	A=here run -0 davit exec -e A -e NOT_THERE web -- \
		sh -c 'echo "[$A][${NOT_THERE-unset}]"'
	assert_output '[here][unset]'
	printf '%s\n' '# comment' C=3 >file
	run -0 davit exec --env-file file web -- sh -c 'echo $C'
	assert_output 3
	run -0 davit exec --clear-env -e A=1 web -- /usr/bin/env
	assert_output A=1
	run -0 davit exec -w /usr web -- pwd
	assert_output /usr
	[ "$(printf hello | davit exec -i web -- cat)" = hello ]
	run -0 davit exec web -- cat </dev/null
	assert_output ''
	# A dash and two belong to the command, behind its name.
	run -0 davit exec web echo -e --json -- x
	assert_output -- '--json -- x'
}

@test "exec: in the same namespaces, as the same user" {
	local same

	same='for n in mnt pid net ipc uts; do readlink /proc/self/ns/$n; done; id -u'
	davit run -d -q --name web -- sh -c "$same; exec sleep 1000" >/dev/null
	soon sh -c '[ "$("$0" logs web | wc -l)" = 6 ]' "$top/davit"
	assert_equal "$(davit exec web -- sh -c "$same")" "$(davit logs web)"
	run -0 davit exec web -- cat /proc/1/comm
	assert_output davit-init
}

@test "exec -u" {
	need_root
	make_root "$top/root"
	up web --rootfs "$top/root"
	run -0 davit exec -u 1001:1002 web -- sh -c 'id -u; id -g'
	assert_output $'1001\n1002'
	# By name, as the sandbox's own files have it, groups too.
	run -0 davit exec -u bob web -- id
	assert_output 'uid=1001(bob) gid=1002(bobs) groups=1007(seven)'
	assert_equal "$(davit exec -u 1001 web -- id)" "$output"
	run -0 davit exec -u bob:root web -- sh -c 'id -u; id -g; id -G'
	assert_output $'1001\n0\n0'
	run -0 davit exec -u 77:seven web -- sh -c 'id -u; id -g'
	assert_output $'77\n1007'
	# The same as the first process has it.
	run -0 davit run -u bob --rootfs "$top/root" -- id
	assert_output 'uid=1001(bob) gid=1002(bobs) groups=1007(seven)'
	fails 125 'unknown user nobody-here' exec -u nobody-here web true
	fails 125 'unknown group' exec -u bob: web true
	fails 125 'unknown group nix' exec -u bob:nix web true
	fails 125 'is empty' exec -u '' web true
	# What the sandbox did to its own files counts, not what we have.
	davit exec web -- sh -c 'echo eve:x:66:66::/:/bin/sh >>/etc/passwd'
	assert_equal "$(davit exec -u eve web -- id -u)" 66
	davit exec web -- rm /etc/passwd
	fails 125 'unknown user bob' exec -u bob web true
	davit stop -t 0 web
	fails 125 'cannot exec in web' exec -u bob web true
}

own_user()
{
	up web
	run -0 davit exec -u "$("${as[@]}" id -un)" web -- id -u
	assert_output "$("${as[@]}" id -u)"
	davit rm -f web
}

@test "exec -u: one's own name, without a range of ids" {
	each_user own_user
}

@test "exec --ulimit: as asked, and not above the sandbox's" {
	up web --ulimit nofile=200:300
	run -0 davit exec --ulimit nofile=100:250 --ulimit core=0 web -- \
		sh -c 'ulimit -Sn; ulimit -Hn; ulimit -c'
	assert_output $'100\n250\n0'
	run -0 davit exec --ulimit nofile=100 --ulimit nofile=90 web -- \
		sh -c 'ulimit -n'
	assert_output 90
	fails 125 'more than' exec --ulimit nofile=100:400 web -- true
	fails 125 'not a resource' exec --ulimit x=1 web -- true
	fails 125 'not a limit' exec --ulimit nofile=2:1 web -- true
}

@test "a record that cannot be written: nothing is run" {
	up web
	mkdir dir
	fails 125 'open record /no/such/dir/r: No such file' \
		exec --record /no/such/dir/r web -- touch /tmp/ran
	fails 125 'open record dir: Is a directory' \
		exec --record dir web -- touch /tmp/ran
	run -1 davit exec web -- test -e /tmp/ran
	fails 125 'open record /no/such/dir/r' \
		run --record /no/such/dir/r -W "$PWD" -- touch "$PWD/ran"
	fails 125 'open record dir: Is a directory' \
		run --record dir -W "$PWD" -- touch "$PWD/ran"
	fails 125 'write /no/such/dir/pid: No such file' \
		run --pidfile /no/such/dir/pid -W "$PWD" -- touch "$PWD/ran"
	[ ! -e ran ]
	# A pid file is made anew: an old one need not be writable.
	install -m 444 /dev/null pid
	run -0 davit run -q --pidfile pid -- true
	[ ! -e pid ]
	# One that is there, or can be, as always.
	run -3 davit run --record r -- sh -c 'exit 3'
	run -4 davit run --record r -- sh -c 'exit 4'
	record=$(cat r)
	assert_equal "$(field code)" 4
}

@test "exec: what cannot be executed" {
	up web
	fails 127 '^davit: exec no-such-command: No such.*PATH' \
		exec web -- no-such-command
	fails 127 '/no/such' exec web -- /no/such
	fails 127 'exec .*No such file' exec web -- ''
	run -127 davit run -q -- ''
	fails 126 '^davit: exec /etc/passwd: .*execute permission' \
		exec web -- /etc/passwd
	fails 125 '/no/dir' exec -w /no/dir web -- true
}

@test "exec --timeout gives 124, --json and --record the record" {
	up web
	run -124 davit exec --timeout 200ms web -- sleep 100
	run -0 --separate-stderr davit exec --json web -- echo x
	record=$stderr
	assert_equal "$output" x
	assert_equal "$(field code)" 0
	assert_equal "$(field ended_by)" '"exit"'
	run -3 davit exec --record file web -- sh -c 'exit 3'
	record=$(cat file)
	assert_equal "$(field code)" 3
	run -0 davit exec --record fd:5 web -- true 5>file
	record=$(cat file)
	assert_equal "$(field code)" 0
	run -137 --separate-stderr davit exec --json web -- sh -c 'kill -9 $$'
	record=$stderr
	assert_equal "$(field signal)" '"SIGKILL"'
	run -127 --separate-stderr davit exec --json web -- /no/such
	record=$stderr
	assert_equal "$(field error.exit)" 127
}

@test "exec: every status, and signals" {
	local n

	up web
	for n in $(statuses); do
		status=0
		davit exec web -- sh -c "exit $n" </dev/null || status=$?
		assert_equal "$status" "$n"
	done
	for n in 1 2 6 9 11 15 34 64; do
		run -$((128 + n)) davit exec web -- \
			sh -c "ulimit -c 0; kill -$n \$\$"
	done
}

@test "exec: 100 at the same time" {
	local i pids=()

	up web
	for ((i = 0; i < 100; i++)); do
		"$top/davit" exec web -- sh -c "cat; echo $i; exit $i" \
			<<<"in $i" >"$top/out.$i" 2>"$top/err.$i" 3>&- &
		pids+=($!)
	done
	for ((i = 0; i < 100; i++)); do
		status=0
		wait "${pids[i]}" || status=$?
		assert_equal "$status: $(cat "$top/err.$i")" "$i: "
		assert_equal "$(cat "$top/out.$i")" "in $i"$'\n'"$i"
	done
}

@test "exec hands over its own streams: nobody copies" {
	local want got mib=1024

	! sanitized || mib=256
	up web
	# The very same file, and a pipe whose other end is ours.
	davit exec web -- sh -c 'stat -Lc %d:%i /proc/self/fd/0
		stat -Lc %d:%i /proc/self/fd/2' <file.in >out 2>err || {
		touch file.in
		davit exec web -- sh -c 'stat -Lc %d:%i /proc/self/fd/0
			stat -Lc %d:%i /proc/self/fd/2' <file.in >out 2>err
	}
	assert_equal "$(cat out)" \
		"$(stat -c %d:%i file.in)"$'\n'"$(stat -c %d:%i err)"
	want=$(head -c ${mib}M /dev/zero | openssl enc -aes-128-ctr -K 0 -iv 0 \
		2>/dev/null | sha256sum)
	got=$(head -c ${mib}M /dev/zero | openssl enc -aes-128-ctr -K 0 -iv 0 \
		2>/dev/null | davit exec web -- cat | sha256sum)
	assert_equal "$got" "$want"
}

@test "exec: stdin that nobody reads, stdout that nobody wants" {
	up web
	run -0 davit exec web -- true < <(head -c 1000000 /dev/zero)
	# The command itself is told, as without us.
	davit exec web -- sh -c 'trap "" PIPE; while echo y 2>/dev/null; do :; done
		echo ended >&2' 2>err | head -n 1 >out
	assert_equal "$(cat out)" y
	assert_equal "$(cat err)" ended
	run -0 davit exec web -- sh -c 'test -e /proc/self/fd/0' <&-
	run -0 davit exec web -- sh -c 'echo x' >&-
}

# run_unheard HOW: run -d with a socket as stdout whose other side is gone.
run_unheard()
{
	"$PYTHON" - "$top/davit" "$1" <<'PY'
import signal, socket, subprocess, sys
ours, theirs = socket.socketpair()
ours.close() if sys.argv[2] == "closed" else ours.shutdown(socket.SHUT_RD)
p = subprocess.run([sys.argv[1], "run", "-q", "-d", "--", "sleep", "1000"],
                   stdout=theirs, timeout=60)
assert p.returncode == -signal.SIGPIPE, p.returncode
PY
}

@test "run -d: one whose reader has gone is not left behind" {
	local created

	up web
	created=$(davit events | grep -c '  created')
	run_unheard closed
	assert_equal "$(davit events | grep -c '  created')" "$created"
	# What only writing finds out.
	run_unheard silent
	assert_equal "$(davit events | grep -c '  created')" $((created + 1))
	assert_equal "$(davit ps -aq | wc -l)" 1
}

@test "exec: a background process that holds stdout does not hold us" {
	up web
	SECONDS=0
	davit exec web -- sh -c 'sleep 1000 & echo done' >out
	assert_equal "$(cat out)" done
	[ $SECONDS -lt 100 ]
}

@test "exec -d leaves it running" {
	local pid

	up web
	pid=$(davit exec -d web -- sleep 987)
	grep -qz 987 "/proc/$pid/cmdline"
	run -0 davit top web
	assert_output --partial 'sleep 987'
	run -0 davit diag web ps
	assert_output --partial 'sleep 987'
	run -0 davit diag web kill -s KILL "$pid"
	soon test ! -e "/proc/$pid"
	run -0 davit exec -d -q web -- true
	assert_output ''
	fails 125 'either --detach or --tty' exec -d -t web -- true
}

@test "exec: a signal to the client reaches the command" {
	up web
	"$top/davit" exec web -- sh -c 'trap "echo got; exit 5" TERM; echo up
		while :; do sleep 0.05; done' >"$top/out" 3>&- &
	client=$!
	soon grep -q up "$top/out"
	kill -TERM $client
	status=0
	wait $client || status=$?
	assert_equal "$status" 5
	grep -q got "$top/out"
}

# Of TERM: does davit, process PID, block it, and is one pending there?
blocks_term()
{
	[ "$(cat "/proc/$1/comm")" = davit ] &&
		(($(sed -n 's/^SigBlk:./0x/p' "/proc/$1/status") & 1 << 14))
}

took_term()
{
	! (($(sed -n 's/^ShdPnd:./0x/p' "/proc/$1/status") & 1 << 14))
}

@test "exec: signals that come before the command is there" {
	local keeper which

	up web
	keeper=$(keeper_of web)
	for which in "exec web" "diag web exec"; do
		kill -STOP "$keeper"
		"$top/davit" $which -- sleep 1000 3>&- &
		client=$!
		soon blocks_term $client
		kill -TERM $client
		soon took_term $client
		kill -CONT "$keeper"
		status=0
		wait $client || status=$?
		assert_equal "$status" 143
	done
	# Who is told twice does not wait for a keeper that hangs.
	kill -STOP "$keeper"
	"$top/davit" exec web -- sleep 1000 3>&- &
	client=$!
	soon blocks_term $client
	kill -TERM $client
	soon took_term $client
	kill -USR1 $client
	status=0
	wait $client || status=$?
	kill -CONT "$keeper"
	assert_equal "$status" $((128 + 10))
}

@test "exec: a client that is killed changes nothing" {
	local i pids

	up web
	for ((i = 0; i < 60; i++)); do
		"$top/davit" exec web -- sh -c 'echo x >>/tmp/begun
			sleep 0.05; echo x >>/tmp/ended' </dev/null \
			>/dev/null 2>&1 3>&- &
		pids=$!
		sleep "0.00$((i % 10))"
		kill -9 $pids 2>/dev/null || :
		wait $pids || :
	done
	is web running
	run -0 davit exec web -- true
	# What had begun has gone on to its end.
	soon davit exec web -- sh -c \
		'[ "$(wc -l </tmp/begun)" = "$(wc -l </tmp/ended)" ]'
	run -0 davit stop -t 0 web
}

@test "exec on a terminal" {
	for each in exec_terminal exec_input exec_stderr_elsewhere \
		exec_much_output exec_restored exec_keeper_killed \
		exec_stop_and_go_on; do
		"$PYTHON" "$HELPERS/keeper_term.py" $each "$top/davit" \
			"$top/work" || fail "$each"
		davit rm -f t
	done
}

# ---- names

@test "a sandbox is found by name, id, beginning, or as the latest" {
	local id

	up first
	up second
	id=$(readlink "$top/run/names/first")
	run -0 davit exec "$id" -- true
	run -0 davit exec "${id:0:12}" -- true
	run -0 davit exec fir -- true
	davit rename second second-one
	up second-two
	fails 125 'second' exec sec -- true
	fails 125 'there is no sandbox "fisrt"' exec fisrt -- true
	[[ $stderr == *'did you mean first?'* ]]
	run -0 davit exec -l -- sh -c 'exit 0'
	run -0 davit exec --latest -- true
	run -0 davit rename --latest latest
	[ -L "$top/run/names/latest" ]
	run -0 davit stop -t 0 -l
	is latest exited
	fails 2 'either names or --latest' stop -l first
}

@test "bad words and options" {
	local verb

	for verb in stop kill pause resume restart upgrade top inspect; do
		fails 2 'no sandbox is named' $verb
		fails 1 'there is no sandbox "nobody"' $verb nobody
		fails 2 'unknown option' $verb --frob nobody
		run -0 davit $verb --help
	done
	for verb in exec attach; do
		fails 125 'no sandbox is named' $verb
		fails 125 'there is no sandbox "nobody"' $verb nobody -- x
		run -0 davit $verb --help
	done
	fails 125 'health-retries says nothing alone' \
		run -d --health-retries 1 -- true
	fails 2 'no limit is named.*hint: davit update ' update nobody
	fails 2 'is not' update -m x nobody
	fails 2 'is not' update -c 0.001 nobody
	fails 2 'is not' update --pids-limit 0 nobody
	fails 2 'is not' update --io-weight 10001 nobody
	fails 2 'its new name.*hint: davit rename NAME NEW' rename nobody
	fails 2 'no signal' stop -s NOPE nobody
	fails 2 'no duration' stop -t x nobody
	fails 2 'no signal' kill -s 0 nobody
	fails 2 'shortest' top -d 1ms nobody
	fails 125 'no keys' attach --detach-keys ctrl- nobody
	fails 125 'no number' attach --tail x nobody
	fails 125 'either --offset or' attach --tail 1 --offset 1 nobody
	fails 1 'there is no sandbox' diag nobody ping
	up web
	fails 125 'no command given' exec web
	fails 125 'no command given' exec web --
	fails 1 'is no name' rename web Web
	fails 1 'is no name' rename web ''
	up other
	fails 1 'is taken' rename web other
	run -0 davit rename web web
	fails 1 'No such file' upgrade --exe /no/such web
	run --separate-stderr -1 davit upgrade --json --exe /no/such web
	[[ $stderr == '{"error":'*'find /no/such'* ]]
	fails 125 'too much' attach web x
	fails 2 'too much' inspect web x y
	fails 2 'too much.*davit top ' top web x
	fails 2 'too much.*NAME .PATH.' inspect web x y
	run --separate-stderr -1 davit stop --json nobody
	record=$stderr
	assert_equal "$(field error.code)" '"not-found"'
	is web running
}

@test "a verb that is none: typing errors, and what others call it" {
	local row

	for row in lgos:logs exce:exec inspct:inspect ls:ps unpause:resume \
		start:restart create:'run -d' stats:top remove:rm; do
		fails 2 "did you mean davit ${row#*:}[?]" "${row%%:*}"
	done
	# Those that are not shown are nothing that anybody meant.
	fails 2 'davit help lists them' compete
	fails 2 'davit help lists them' __keepr
}

@test "several names: each is tried, and what fails is said" {
	up one
	up two
	up three
	run -1 --separate-stderr davit stop -t 0 one nobody two
	assert_equal "${stderr_lines[0]}" 'davit: there is no sandbox "nobody"'
	assert_equal "$(grep -c ^davit: <<<"$stderr")" 1
	is one exited
	is two exited
	is three running
	# At the same time: three that need half a second each.
	run -0 davit restart one two three
	is one running
	run -0 davit kill one two three
	soon is three exited
	soon is two exited
	soon is one exited
}

# ---- the table of states

# refuses STATE VERB...
refuses()
{
	local state=$1 verb

	shift
	for verb; do
		is web "$state"
		case $verb in
		exec) fails 125 'cannot exec in web' exec web -- true ;;
		update) fails 1 'cannot update web' update --pids-limit 9 web ;;
		rm) fails 1 'cannot remove web' rm web ;;
		upgrade) fails 1 'upgrade' upgrade web ;;
		*) fails 1 "cannot $verb web|web is $state" $verb web ;;
		esac
		is web "$state"
	done
}

@test "states: running and paused" {
	up web --stop-timeout 300s
	can_pause web
	refuses running resume rm
	run -0 davit pause web
	is web paused
	refuses paused exec pause rm
	run -0 davit top web
	run -0 davit inspect web
	assert_output --partial 'state: "paused"'
	run -0 davit rename web other
	run -0 davit rename other web
	run -0 davit resume web
	refuses running resume rm
	run -0 davit exec web -- true
	run -0 davit pause web
	# A stop resumes it.
	SECONDS=0
	run -0 davit stop web
	[ $SECONDS -lt 100 ]
	is web exited
}

@test "one that cannot be paused says what to do" {
	need_user
	up web
	[ "$(davit inspect web cgroup/can_pause)" = false ] ||
		skip 'it can be paused'
	fails 1 'no v2 group.*hint: .*davit doctor' pause web
}

@test "states: exited" {
	ended web 3
	refuses exited exec kill pause resume top update upgrade
	run -0 davit stop web
	run -0 davit inspect web
	assert_output --partial '"state":"exited"'
	fails 1 'web' inspect web keeper
	run -3 davit attach web
	run -0 davit rename web other
	run -3 davit attach other
	run -0 davit rename other web
	run -0 davit restart web
	# It ends with the same status again.
	run -3 davit attach web
	soon is web exited
	run -0 davit rm web
	fails 1 'no sandbox' stop web
}

@test "states: dead" {
	up web
	kill_keeper web
	refuses dead exec kill pause resume top update upgrade
	run -0 davit stop web
	run -137 davit attach web
	run -0 davit inspect web
	assert_output --partial '"state":"dead"'
	run -0 davit rename web other
	run -0 davit restart other
	is other running
	run -0 davit exec other -- true
	kill_keeper other
	run -0 davit rm other
}

@test "states: stopping" {
	davit run -d -q --name web --stop-timeout 1000s -- sh -c \
		'trap "" TERM; echo up; while :; do sleep 1; done' >/dev/null
	soon sh -c '"$0" logs web | grep -q up' "$top/davit"
	"$top/davit" stop web 3>&- &
	soon is web stopping
	refuses stopping exec pause resume restart update upgrade rm
	run -0 davit rename web other
	run -0 davit rename other web
	run -0 davit top web
	# Who stops it too joins, and may be less patient.
	run -0 davit stop -t 100ms web
	wait $!
	is web exited
}

# ---- life

@test "stop: signal, grace, and that nothing is left when it returns" {
	davit run -d -q --name web --stop-timeout 300s -- sh -c \
		'trap "exit 9" USR1; trap "" HUP; echo up
		while :; do sleep 0.01; done' >/dev/null
	soon sh -c '"$0" logs web | grep -q up' "$top/davit"
	davit exec -d -q web -- sleep 4321
	run -0 davit stop -s USR1 web
	run -9 davit attach web --no-stdin
	! runs_here 'sleep 4321' || fail 'it is left'
	run -0 davit restart web
	is web running
	run -0 davit wait --for up web
	SECONDS=0
	run -0 davit stop -s HUP -t 0 web
	[ $SECONDS -lt 100 ]
}

@test "a keeper that is stopped: stop says so, rm -f ends it" {
	local keeper other

	up web
	up old
	keeper=$(keeper_of web)
	other=$(keeper_of old)
	kill -STOP "$keeper" "$other"
	"$top/davit" rm -f old >"$top/out" 2>&1 3>&- &
	run --separate-stderr -1 davit stop -t 0 web
	[[ ${stderr_lines[0]} == "davit: stop web: its keeper, process $keeper, did not answer within 10 s" ]] ||
		fail "stderr: $stderr"
	assert_equal "${stderr_lines[1]}" 'hint: davit rm -f web ends it'
	wait $!
	assert_equal "$(cat "$top/out")" ''
	run -0 davit ps -aq
	assert_output "$(readlink "$top/run/names/web")"
	soon gone "$other"
	kill -CONT "$keeper"
	davit rm -f web
}

@test "kill: the first process, or all" {
	davit run -d -q --name web -- sh -c \
		'trap "echo got" USR1; trap "" USR2; echo up
		while :; do sleep 0.02; done' \
		>/dev/null
	soon sh -c '"$0" logs web | grep -q up' "$top/davit"
	run -0 davit kill -s USR1 web
	soon sh -c '"$0" logs web | grep -q got' "$top/davit"
	"$top/davit" exec web -- sh -c 'trap "exit 8" USR2; echo up
		while :; do sleep 0.02; done' >out 3>&- &
	soon grep -q up out
	run -0 davit kill -a -s USR2 web
	status=0
	wait $! || status=$?
	assert_equal "$status" 8
	is web running
	run -0 davit kill web
	soon is web exited
}

@test "restart: the same name, id and log" {
	local id

	davit run -d -q --name web -- sh -c 'echo begun; touch /tmp/mark
		exec sleep 1000' >/dev/null
	id=$(readlink "$top/run/names/web")
	run -0 davit wait --for begun web
	run -0 davit restart -t 0 web
	assert_equal "$(readlink "$top/run/names/web")" "$id"
	soon sh -c '[ "$("$0" logs web | grep -c begun)" = 2 ]' "$top/davit"
	davit stop -t 0 web
	run -0 davit restart web
	soon sh -c '[ "$("$0" logs web | grep -c begun)" = 3 ]' "$top/davit"
	assert_equal "$(readlink "$top/run/names/web")" "$id"
	is web running
}

@test "restart says why the command could not be executed" {
	cp "$(command -v sleep)" "$top/work/mine"
	davit run -d -q --name web -W "$top/work" -- "$top/work/mine" 1000 \
		>/dev/null
	davit stop -t 0 web
	rm "$top/work/mine"
	fails 1 'restart web:.*mine' restart web
}

@test "update: limits of one that runs" {
	need_root
	davit run -d -q --name web --pids-limit 100 -m 100m -- sleep 1000 \
		>/dev/null || skip 'no limits here'
	run -0 davit update --pids-limit 50 -m 64m web
	assert_equal "$(davit inspect web limits/pids)" 50
	assert_equal "$(davit inspect web limits/memory_bytes)" 67108864
	run -0 davit update --pids-limit none web
	assert_equal "$(davit inspect web limits/pids)" 0
	assert_equal "$(davit inspect web limits/memory_bytes)" 67108864
	run -0 davit inspect -u 70 web limits/pids
	assert_equal "$(davit inspect web limits/pids)" 70
}

# ---- attach

@test "attach: on a terminal" {
	for each in attach_detach attach_keys attach_several \
		attach_keeper_killed; do
		"$PYTHON" "$HELPERS/keeper_term.py" $each "$top/davit" \
			"$top/work" || fail "$each"
		davit rm -f t
	done
}

@test "attach: on a terminal, to one that is started again" {
	for each in attach_restarted attach_backoff attach_cooked; do
		"$PYTHON" "$HELPERS/keeper_term.py" $each "$top/davit" \
			"$top/work" || fail "$each"
		davit rm -i -f t
	done
}

@test "attach ends with its reader" {
	up web
	# Nothing more is ever written: only the end of head can end it.
	run -0 timeout -s KILL 100 bash -c \
		'"$1" attach web | true; echo "${PIPESTATUS[0]}"' - "$top/davit"
	assert_output 141
}

@test "attach: input and its end, output to its end, the status" {
	davit run -d -q --name web -i -- sh -c 'cat; echo err >&2; exit 6' \
		>/dev/null
	run -6 --separate-stderr davit attach web < <(seq 1000)
	assert_equal "$output" "$(seq 1000)"
	assert_equal "$stderr" err
	run -6 --separate-stderr davit attach --tail 2 web
	run -6 davit attach --offset 0 web 2>/dev/null
	assert_line 1000
	run -6 --separate-stderr davit attach --offset 3885 web
	assert_output $'99\n1000'
}

@test "attach: several viewers, one of which stands still" {
	local i pids=() n=200000

	! sanitized || n=50000
	davit run -d -q --name web -i -- sh -c "read x; seq $n; exit 2" \
		>/dev/null
	mkfifo "$top/slow"
	"$top/davit" attach --no-stdin --offset 0 web >"$top/slow" 3>&- &
	slow=$!
	exec 7<"$top/slow"
	for i in 1 2; do
		"$top/davit" attach --no-stdin --offset 0 web >"out$i" 3>&- &
		pids+=($!)
	done
	run -2 davit attach web <<<go
	for i in 1 2; do
		status=0
		wait "${pids[i - 1]}" || status=$?
		assert_equal "$status" 2
		seq $n | cmp - "out$i"
	done
	assert_equal "$(sha256sum <&7)" "$(seq $n | sha256sum)"
	exec 7<&-
	wait $slow || :
}

@test "attach: one that takes no input, one that dies, one that goes" {
	davit run -d -q --name web -- sh -c 'echo up; exec sleep 1000' \
		>/dev/null
	"$top/davit" attach --offset 0 web <<<x >out 2>err 3>&- &
	client=$!
	soon grep -q up out
	is web running
	kill_keeper web
	status=0
	wait $client || status=$?
	assert_equal "$status" 137
	grep -q 'the keeper of web died' err
	davit rm web
	davit run -d -q --rm --name web -i -- sh -c 'read x; exit 5' >/dev/null
	run -5 davit attach web <<<x
}

# ---- a keeper that is killed

@test "the keeper is killed while somebody waits" {
	local i verb pids=()

	davit run -d -q --name web -- sleep 5432 >/dev/null
	"$top/davit" exec web -- sleep 5432 2>exec.err 3>&- &
	pids+=($!)
	"$top/davit" wait web 2>wait.err 3>&- &
	pids+=($!)
	"$top/davit" attach --no-stdin web 2>attach.err 3>&- &
	pids+=($!)
	"$top/davit" logs -f web 2>logs.err 3>&- &
	pids+=($!)
	soon sh -c '[ "$("$0" top web | grep -c "sleep 5432")" = 2 ]' \
		"$top/davit"
	kill -9 "$(keeper_of web)"
	for i in 125 137 137 0; do
		status=0
		wait "${pids[0]}" || status=$?
		assert_equal "$status ${#pids[@]}" "$i ${#pids[@]}"
		pids=("${pids[@]:1}")
	done
	grep -q 'the keeper of web died' exec.err
	assert_equal "$(wc -l <exec.err)" 2
	soon is web dead
	# What it held is cleaned by the next command.
	davit ps >/dev/null
	soon eval "! runs_here 'sleep 5432'"
}

# ---- authority

@test "another user cannot connect, and is nobody's keeper" {
	need_root
	local sock

	up web
	sock=$top/run/$(readlink "$top/run/names/web")/sock
	connect='import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])'
	"$PYTHON" -c "$connect" "$sock"
	run -1 setpriv --reuid=65534 --regid=65534 --clear-groups \
		"$PYTHON" -c "$connect" "$sock"
	assert_output --partial 'Permission denied'
	# Even where the way there is open.
	chmod 755 "$top/run" "${sock%/*}"
	run -1 setpriv --reuid=65534 --regid=65534 --clear-groups \
		"$PYTHON" -c "$connect" "$sock"
	assert_output --partial 'Permission denied'
	run -125 setpriv --reuid=65534 --regid=65534 --clear-groups \
		"$top/davit" exec web -- true
	assert_output --regexp 'is not private|belong'
	chmod 700 "$top/run" "${sock%/*}"
	run -0 davit exec web -- true
}

@test "who is not the keeper is not believed" {
	local dir

	up web
	dir=$top/run/$(readlink "$top/run/names/web")
	mv "$dir/sock" "$dir/real"
	"$PYTHON" -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()
print("ready", flush=True)
while True:
    c, _ = s.accept()
    print("bytes", len(c.recv(1000)), flush=True)' "$dir/sock" >said 3>&- &
	squatter=$!
	soon grep -q ready said
	fails 125 'keeper' exec web -- true
	fails 1 'keeper' kill -s USR1 web
	fails 1 'keeper' diag web exec -- true || fails 125 keeper diag web exec -- true
	kill $squatter
	wait $squatter || :
	# Not a byte was said to it.
	! grep -q 'bytes [1-9]' said || fail "$(cat said)"
	mv "$dir/real" "$dir/sock"
	run -0 davit exec web -- true
}

@test "as an ordinary user" {
	need_user
	up web
	run -4 davit exec web -- sh -c 'exit 4'
	run -0 davit exec web -- id -u
	assert_output "$(id -u nobody)"
	run -0 davit rename web other
	run -0 davit restart -t 0 other
	run -0 davit top other
	run -0 davit stop -t 0 other
	run -0 davit rm other
}

# ---- the tree

@test "inspect and diag take a sandbox's name" {
	up web
	run -0 davit inspect web sandbox/name
	assert_output '"web"'
	run -0 davit inspect --json -l 1 web
	assert_output --partial '"sandbox"'
	run -0 davit diag web inspect sandbox/name
	assert_output '"web"'
	fails 1 'no such|not found' inspect web no/such
	run -0 davit diag web ping
	run -3 davit diag web exec -- sh -c 'exit 3'
	run -0 davit diag web ps
	run -0 davit inspect -l 1 --latest
	fails 2 'either --update or' inspect -u 1 -w web x
}

@test "top: a table, once or live" {
	up web
	run -0 davit top web
	assert_output --partial 'sleep 1000'
	assert_output --regexp 'PID INSIDE +UID S +CPU%'
	run -0 davit top -n 3 -d 100ms web
	assert_equal "$(grep -c 'sleep 1000' <<<"$output")" 3
	run -0 davit top --json web
	"$PYTHON" -c 'import json, sys; json.loads(sys.argv[1])' "$output"
	davit stop -t 0 web
	davit rm web
	"$PYTHON" "$HELPERS/keeper_term.py" top_live "$top/davit" "$top/work"
}

# ---- completion

@test "names of sandboxes complete" {
	up first
	ended second 0
	run -0 davit complete -- stop ''
	assert_line --partial first$'\t'running
	assert_line --partial second$'\t'exited
	run -0 davit complete -- stop first s
	assert_output --partial second
	run -0 davit complete -- exec fi
	assert_line --partial first
	run -0 davit complete -- exec -e A=1 first l
	assert_output 'command 4'
	run -0 davit complete -- exec first -- l
	assert_output 'command 3'
	run -0 davit complete -- diag fir
	assert_line --partial first
	run -0 davit complete -- inspect first keep
	assert_line keeper/
	run -0 davit complete -- inspect ''
	assert_line --partial first
	run -0 davit complete -- kill -s TE
	assert_line --partial TERM
}
