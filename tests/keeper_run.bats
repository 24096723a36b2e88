#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Sandboxes that live on: how they begin, what keeps them, how they end.
load lib

setup()
{
	davit_setup
}

teardown()
{
	remove_all || :
	davit_teardown
}

# Whatever a test that failed has left running.
remove_all()
{
	local id

	[ -d "$top/state" ] || return 0
	for id in $(ls "$top/state"); do
		[ ${#id} != 16 ] || davit rm -f "$id" >/dev/null 2>&1 || :
	done
}

# keep ARG...: davit run -d without the line on stderr.
keep()
{
	davit run -q -d "$@"
}

# info NAME KEY: a value of its document, as JSON.
info()
{
	davit ps -a --json | "$PYTHON" -c 'import json, sys
for v in json.load(sys.stdin):
    if sys.argv[1] in (v["name"], v["id"]):
        for key in sys.argv[2].split("."):
            v = v[key]
        print(json.dumps(v))
        break
else:
    sys.exit(1)' "$1" "$2"
}

# soon COMMAND...: it comes to succeed, within ten seconds.
soon()
{
	local until=$((SECONDS + 10))

	until "$@"; do
		[ $SECONDS -lt $until ] || fail "never came true: $*"
		sleep 0.02
	done
}

# has_state NAME STATE
has_state()
{
	[ "$(info "$1" state)" = "\"$2\"" ]
}

# id_of NAME
id_of()
{
	readlink "$top/run/names/$1"
}

keeper_of()
{
	info "$1" keeper
}

alive()
{
	[ -e "/proc/$1/stat" ] && ! grep -q ') Z ' "/proc/$1/stat"
}

gone()
{
	! alive "$1"
}

# ---- the beginning ---------------------------------------------------------

lives_on()
{
	local id

	run -0 keep --name web -- sh -c 'echo out; echo err >&2; read x <&-; sleep 1000'
	assert_output web
	has_state web running
	id=$(id_of web)
	[ -S "$top/run/$id/sock" ]
	soon grep -q err "$top/state/$id/log"
	run -0 davit exec web -- echo inside
	assert_output inside
	davit stop -t 0 web
	has_state web exited
	[ ! -e "$top/run/$id" ]
	davit rm web
	[ ! -e "$top/state/$id" ]
}

@test "a sandbox lives on, is found by name, and stops" {
	each_user lives_on
}

@test "without a name its id is printed" {
	run -0 keep -- true
	[[ $output =~ ^[0-9a-f]{16}$ ]]
	davit wait "$output"
	davit rm "$output"
}

@test "-d --json prints the document" {
	record=$(davit run -q -d --json --name doc --label a=b -- sleep 1000)
	assert_equal "$(field name)" '"doc"'
	assert_equal "$(field state)" '"running"'
	assert_equal "$(field labels.a)" '"b"'
	davit rm -f doc
}

@test "nothing holds what the creator was given" {
	# A reader of its output and error sees both end, with the sandbox alive.
	run -0 timeout 10 "$top/davit" run -q -d --name quiet -- sleep 1000
	exec 9>"$top/nine"
	keep --name nine -- sleep 1000
	exec 9>&-
	for name in quiet nine; do
		local keeper=$(keeper_of $name) pid=$(info $name pid)

		for pid in $keeper $pid; do
			run ls -l "/proc/$pid/fd"
			refute_output --partial "$top/nine"
			refute_output --partial "$top/work"
		done
		for fd in 0 1 2; do
			assert_equal "$(readlink "/proc/$keeper/fd/$fd")" /dev/null
		done
		davit rm -f $name
	done
}

@test "a keeper is in a session of its own, and nobody's child" {
	keep --name own -- sleep 1000
	local keeper=$(keeper_of own)

	assert_equal "$(cut -d' ' -f6 /proc/$keeper/stat)" "$keeper"
	assert_equal "$(cut -d' ' -f7 /proc/$keeper/stat)" 0
	[ "$(cut -d' ' -f4 /proc/$keeper/stat)" != $$ ]
	assert_equal "$(readlink /proc/$keeper/cwd)" /
	kill -HUP "$keeper"
	kill -INT "$keeper"
	run -0 davit exec own -- true
	# Asked politely it stops its sandbox in order.
	kill -TERM "$keeper"
	soon gone "$keeper"
	has_state own exited
	assert_equal "$(info own exit.ended_by)" '"stop"'
	davit rm own
}

@test "a keeper leaves its creator's control group, where it can" {
	need_root
	keep --name grp -- sleep 1000
	local keeper=$(keeper_of grp) id=$(id_of grp)

	if [ "$(info grp missing)" = '""' ]; then
		assert_equal "$(grep '^0::' /proc/$keeper/cgroup)" \
			"$(grep '^0::' /proc/self/cgroup | sed 's,/$,,')/davit-$id"
		[ -d "$(info grp cgroup | tr -d '"')" ]
	else
		[[ $(info grp missing) == *'control group of its own'* ]]
	fi
	davit rm -f grp
}

@test "it says when the keeper stays in its creator's group" {
	need_user
	keep --name poor -- sleep 1000
	[[ $(info poor missing) == *'control group of its own for the keeper'* ]] ||
		skip 'this user may make groups here'
	davit rm -f poor
}

@test "environment, directory and umask are the creator's" {
	mkdir "$top/work/here"
	cd "$top/work/here"
	umask 027
	MY_OWN=thing keep -W . --name env -- sh -c 'pwd; umask; echo "$MY_OWN"; sleep 1000'
	soon grep -q thing "$top/state/$(id_of env)/log"
	run cat "$top/state/$(id_of env)/log"
	assert_line "$top/work/here"
	assert_line 0027
	# The same in what is executed there, and when it is started again.
	run -0 davit exec env -- sh -c 'pwd; umask; echo $MY_OWN'
	assert_line "$top/work/here"
	assert_line 0027
	assert_line thing
	cd /
	umask 022
	davit stop -t 0 env
	davit restart env
	run -0 davit exec env -- sh -c 'pwd; umask; echo $MY_OWN'
	assert_line "$top/work/here"
	assert_line thing
	davit rm -f env
}

@test "what cannot start leaves nothing, and says why" {
	refused 127 'No such' run -d --name x -- /no-such
	refused 126 'denied' run -d --name x -- /etc/passwd
	refused 125 'volume source' run -d --name x -v /no-such:/x -- true
	refused 125 '"UP" ' run -d --name UP -- true
	[ -z "$(ls "$top/state")" ]
	[ ! -L "$top/run/names/x" ]
}

@test "a name has one owner, and nothing is started for a second one" {
	mkdir "$top/work/dir"
	keep --name one -- sleep 1000
	for how in -d ''; do
		run -125 davit run -q $how --name one -W "$top/work/dir" -- \
			touch "$top/work/dir/started"
		assert_line --partial 'one is taken'
	done
	[ ! -e "$top/work/dir/started" ]
	davit stop -t 0 one
	# Also that of one that has ended.
	run -125 davit run -q -d --name one -- true
	davit rm one
	keep --name one -- true
	davit wait one
	davit rm one
}

@test "options that do not fit together" {
	for opt in --ttl=1 --idle-timeout=1 --restart=always --health=true \
		--health-interval=1 --health-retries=1 --log-max=1m; do
		refused 125 'lives on' run $opt -- true
	done
	for opt in "--log=$top/x" "--record=$top/x" "--pidfile=$top/x" --timing; do
		refused 125 'foreground' run -d $opt -- true
	done
	refused 125 'descriptors of the caller' run -d --fd 1=5 -- true
	refused 125 'removed' run -d --rm --restart always -- true
	refused 125 'not a label' run -d --label novalue -- true
	refused 125 'restart policy' run -d --restart on-failure:0 -- true
	refused 125 'not a time' run -d --ttl 0 -- true
}

# ---- what it writes ---------------------------------------------------------

@test "all that it writes is in the log" {
	keep --name much --log-max all -- sh -c \
		'seq 1 300000; seq 1 1000 >&2; exit 5'
	run -5 davit wait much
	local log=$top/state/$(id_of much)/log

	assert_equal "$(davit logs much 2>/dev/null | wc -c)" \
		"$(seq 1 300000 | wc -c)"
	assert_equal "$(davit logs much 2>&1 >/dev/null | wc -l)" 1000
	assert_equal "$(davit logs much 2>/dev/null | cksum)" \
		"$(seq 1 300000 | cksum)"
	assert_equal "$(wc -c <"$log")" \
		"$(($(seq 1 300000 | wc -c) + $(seq 1 1000 | wc -c)))"
	davit rm much
}

@test "a process that goes on does not hold the end up" {
	SECONDS=0
	keep --name bg -- sh -c 'sleep 1000 & sleep 1000 >&2 & echo done'
	run -0 davit wait bg
	[ $SECONDS -lt 5 ]
	assert_equal "$(davit logs bg)" done
	davit rm bg
}

@test "-dt gives a terminal, -di input" {
	keep -t --name term -- sh -c 'tty; echo here >/dev/tty; exec sleep 1000'
	soon grep -q here "$top/state/$(id_of term)/log"
	run davit logs term
	assert_line --partial /dev/pts/0
	assert_equal "$(info term terminal)" true
	davit rm -f term
	keep --name none -- cat
	run -0 davit wait none
	davit rm none
	keep -i --name in -- cat
	has_state in running
	davit rm -f in
}

# ---- what it does in the end --------------------------------------------------

@test "--restart on-failure:N tries N times more, and success ends it" {
	keep --name fails --restart on-failure:2 -- sh -c 'echo try; exit 7'
	run -7 davit wait fails
	assert_equal "$(davit logs fails | grep -c try)" 3
	assert_equal "$(info fails restart.count)" 2
	davit rm fails
	keep --name good --restart on-failure -- sh -c 'echo try'
	run -0 davit wait good
	assert_equal "$(davit logs good | grep -c try)" 1
	davit rm good
}

@test "--restart always goes on until it is stopped" {
	keep --name always --restart always -- sh -c 'echo try; sleep 0.1'
	soon tries_of always 3
	run -0 davit stop always
	has_state always exited
	run davit events
	assert_output --partial restarted
	davit rm always
}

tries_of()
{
	[ "$(davit logs "$1" | grep -c try)" -ge "$2" ]
}

@test "one that waits to be started again can be stopped and removed" {
	keep --name wait --restart always -- false
	soon has_state wait creating
	davit stop wait
	has_state wait exited
	davit rm wait
	keep --name wait --restart always -- false
	soon has_state wait creating
	davit rm -f wait
}

@test "a command that is gone at its restart is tried again, and shown" {
	cp /bin/true "$top/work/cmd"
	keep -W "$top/work" --name lost --restart on-failure:1 -- \
		sh -c 'rm "$0"; exit 3' "$top/work/cmd"
	run -3 davit wait lost
	davit rm lost
}

removes_itself()
{
	local id

	keep --rm --name brief -- sh -c 'echo x; sleep 0.2'
	id=$(id_of brief)
	soon test ! -e "$top/state/$id"
	soon test ! -e "$top/run/$id"
	[ ! -L "$top/run/names/brief" ]
}

@test "--rm leaves nothing" {
	each_user removes_itself
}

@test "--ttl and --idle-timeout end it for good" {
	SECONDS=0
	keep --name ttl --ttl 300ms --restart always -- sleep 1000
	davit wait ttl || :
	assert_equal "$(info ttl exit.ended_by)" '"timeout"'
	keep --name idle --idle-timeout 300ms -- sleep 1000
	davit wait idle || :
	assert_equal "$(info idle exit.ended_by)" '"timeout"'
	# What happens in it counts: its output, and what clients run.
	keep --name busy --idle-timeout 500ms -- \
		sh -c 'for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.2; done; exit 4'
	run -4 davit wait busy
	keep --name used --idle-timeout 500ms -- sleep 1000
	run -0 davit exec used -- sleep 1.2
	has_state used running
	davit wait used || :
	[ $SECONDS -lt 20 ]
	davit rm ttl idle busy used
}

@test "--health is asked, and told" {
	mkdir "$top/work/h"
	keep --name sick -W "$top/work/h" --health "test -e $top/work/h/ok" \
		--health-interval 100ms --health-retries 2 -- sleep 1000
	soon is_health sick bad
	touch "$top/work/h/ok"
	soon is_health sick good
	run davit events
	assert_output --partial health
	# Its own processes are nobody's.
	assert_equal "$(davit exec sick -- sh -c 'ls /proc | grep -c "^[0-9]"')" 4 ||
		:
	davit rm -f sick
}

is_health()
{
	[ "$(info "$1" health)" = "\"$2\"" ]
}

# ---- what goes wrong -----------------------------------------------------------

# A keeper killed at any moment: its sandbox goes with it, the next command
# cleans, and what it was is known.
killed_keepers()
{
	local i keeper pid id

	for i in 1 2 3 4 5 6 7 8; do
		keep --name k$i -- sh -c 'sleep 1000 & exec sleep 1000'
		keeper=$(keeper_of k$i)
		pid=$(info k$i pid)
		id=$(id_of k$i)
		[ $((i % 2)) = 0 ] || davit exec k$i -- sleep 1000 &
		sleep 0.0$((RANDOM % 5))$((RANDOM % 10))
		kill -KILL "$keeper"
		soon gone "$pid"
		has_state k$i dead
		run davit why k$i
		assert_output --partial keeper
		[ ! -e "$top/run/$id/sock" ] || fail 'it was not swept'
		wait
	done
	davit rm k1 k2 k3 k4 k5 k6 k7 k8
}

@test "a killed keeper takes its sandbox along, and that is known" {
	each_user killed_keepers
}

@test "one that is dead is started again" {
	keep --name again -- sh -c 'echo begin; sleep 1000'
	kill -KILL "$(keeper_of again)"
	soon has_state again dead
	davit restart again
	has_state again running
	soon tries_begin again 2
	davit rm -f again
}

tries_begin()
{
	[ "$(davit logs "$1" | grep -c begin)" = "$2" ]
}

# A creator killed half-way leaves all of a sandbox, or nothing of it.
killed_creators()
{
	local i n

	for i in $(seq 1 30); do
		# Not by the function: the process that is killed is davit.
		"${as[@]}" "$top/davit" run -q -d --name c$i -- sleep 1000 \
			>/dev/null 2>&1 3>&- &
		n=$!
		sleep 0.0$((RANDOM % 3))$((RANDOM % 10))
		kill -KILL "$n" 2>/dev/null || :
		wait "$n" 2>/dev/null || :
	done
	soon settled
	soon nothing_left
}

# Those that live are removed; a keeper may still be undoing what it began.
nothing_left()
{
	local id

	for id in $(ls "$top/state"); do
		davit rm -f "$id" || :
	done
	[ -z "$(ls "$top/state"; ls "$top/run/names")" ]
}

# Nothing is half there: each name leads to one that runs.
settled()
{
	local name

	for name in "$top"/run/names/c*; do
		[ -L "$name" ] || continue
		has_state "${name##*/}" running || return 1
	done
}

@test "a creator killed half-way leaves all or nothing" {
	each_user killed_creators
}

@test "twenty at a time, all of them different" {
	local i

	for i in $(seq 1 20); do
		keep --name n$i -- sh -c "echo i am $i; exit $i" >/dev/null 3>&- &
	done
	wait
	for i in $(seq 1 20); do
		run davit wait n$i
		assert_equal "$status" "$i"
		assert_equal "$(davit logs n$i)" "i am $i"
		davit rm n$i
	done
}

@test "a state directory that cannot be written is an error at once" {
	need_user
	chmod 500 "$top/state"
	run -125 davit run -q -d --name x -- true
	assert_line --regexp 'davit: .*state'
	chmod 700 "$top/state"
	[ ! -L "$top/run/names/x" ]
}

# ---- in the foreground ----------------------------------------------------------

foreground()
{
	local id

	run --separate-stderr -9 davit run -q --name fg -- \
		sh -c 'cat; echo err >&2; exit 9' < <(echo in)
	assert_equal "$output" in
	assert_equal "$stderr" err
	has_state fg exited
	assert_equal "$(info fg exit.code)" 9
	davit rm fg
	run -143 davit run -q --name fg --timeout 100ms --stop-signal TERM \
		--json -- sh -c 'kill $$' 2>/dev/null
	davit rm fg
	run -124 davit run -q --name fg --timeout 100ms -- sleep 1000
	davit rm fg
	run -0 davit run -q --name fg --rm -- true
	[ ! -L "$top/run/names/fg" ]
}

@test "a named foreground run is like any, and stays known" {
	each_user foreground
}

@test "a foreground run can be entered, with a name or without" {
	local pid id

	for opts in '--name fg' ''; do
		mkfifo "$top/go$opts"
		exec 8<>"$top/go$opts"
		davit run -q $opts -- sh -c 'read x; exit 6' <&8 3>&- &
		pid=$!
		soon compgen -G "$top/run/[0-9a-f]*/sock" >/dev/null
		id=$(cd "$top/run" && echo [0-9a-f]*[0-9a-f]/sock)
		id=${id%/sock}
		run -0 davit exec "$id" -- echo here
		assert_output here
		run davit ps
		assert_output --partial running
		echo go >&8
		exec 8>&-
		wait $pid && fail 'it ended well' || assert_equal $? 6
		[ ! -e "$top/run/$id" ]
	done
	davit rm fg
	[ -z "$(ls "$top/state")" ]
}

@test "a named foreground run that has ended is started again behind" {
	run -3 davit run -q --name fg -e A=b -- sh -c 'echo "$A $PWD"; exit 3'
	assert_output "b $top/work"
	A=other davit restart fg
	run -3 davit wait fg
	assert_equal "$(davit logs fg)" "b $top/work"
	davit rm fg
	# Not without what only its caller could give.
	run -0 davit run -q --name fds --fd 1=5 -- sh -c 'echo x >&5'
	run davit restart fds
	[ "$status" != 0 ]
	davit rm fds
}

@test "a foreground keeper that is killed takes all along" {
	davit run -q --name fg -- sleep 1000 3>&- &
	local pid=$!

	soon has_state fg running
	local command=$(info fg pid)

	kill -KILL "$(keeper_of fg)"
	wait $pid || :
	soon gone "$command"
	has_state fg dead
	davit rm fg
}

@test "davit stop of a foreground run ends it as any stop" {
	davit run -q --name fg -- sleep 1000 3>&- &
	local pid=$!

	soon has_state fg running
	davit stop fg
	wait $pid && fail || assert_equal $? 143
	assert_equal "$(info fg exit.ended_by)" '"stop"'
	davit rm fg
}
