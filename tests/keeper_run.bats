#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Sandboxes that live on: how they begin, what keeps them, how they end.
load lib
load keepers

setup()
{
	davit_setup
}

teardown()
{
	remove_all || :
	keepers_end
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
	run -0 timeout 100 "$top/davit" run -q -d --name quiet -- sleep 1000
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

# lives_in DIR THING: the directory and the environment of env, in what it
# writes at its present start.
lives_in()
{
	run -0 davit wait --for "^$1 $2\$" --timeout 60s env
}

@test "a new name changes nothing of its environment and directory" {
	local pid

	mkdir "$top/work/here"
	cd "$top/work/here"
	MY_OWN=thing keep --name one -- sh -c 'echo "$PWD $MY_OWN"; sleep 1000'
	cd /
	davit rename one two
	MY_OWN=other davit restart two
	davit rename two env
	lives_in "$top/work/here" thing
	davit upgrade env
	davit restart env
	lives_in "$top/work/here" thing
	davit stop -t 0 env
	davit restart env
	lives_in "$top/work/here" thing
	davit rm -f env
	# One in the foreground stores more than its keeper holds.
	cd "$top/work/here"
	MY_OWN=fore davit run -q --name one -- sh -c \
		'echo "$PWD $MY_OWN"; sleep 1000' >/dev/null 3>&- &
	pid=$!
	cd /
	soon has_state one running
	davit rename one env
	assert_equal "$(info env state)" '"running"'
	davit stop -t 0 env
	wait $pid || :
	davit restart env
	lives_in "$top/work/here" fore
	davit rm -f env
	[ -z "$(ls "$top/run/names")" ]
}

@test "a later start begins with the limits of an update, of a foreground run too" {
	local pid

	need_root
	keep --name lim --pids-limit 40 -- sleep 1000
	davit update --pids-limit 50 lim || skip 'no limits here'
	davit stop -t 0 lim
	davit restart lim
	assert_equal "$(info lim limits.pids)" 50
	davit rm -f lim
	davit run -q --name lim --pids-limit 40 -e A=b -- sleep 1000 3>&- &
	pid=$!
	soon has_state lim running
	davit update --pids-limit 50 lim
	davit stop -t 0 lim
	wait $pid || :
	davit restart lim
	assert_equal "$(info lim limits.pids)" 50
	assert_equal "$(davit exec lim -- sh -c 'echo $A')" b
	davit rm -f lim
}

@test "what cannot start leaves nothing, and says why" {
	refused 127 'No such' run -d --name x -- /no-such
	refused 126 'denied' run -d --name x -- /etc/passwd
	refused 125 'volume source' run -d --name x -v /no-such:/x -- true
	refused 125 '"UP" ' run -d --name UP -- true
	[ -z "$(ls "$top/state")" ]
	[ ! -L "$top/run/names/x" ]
}

@test "started in a directory that is gone: in /, like in the foreground" {
	mkdir "$top/work/gone"
	cd "$top/work/gone"
	rmdir "$top/work/gone"
	assert_equal "$(davit run -q -- pwd)" /
	keep --name gone -- sh -c 'pwd; exec sleep 1000'
	run -0 davit wait --for / gone
	davit restart -t 0 gone
	run -0 davit wait --for / gone
	davit rm -f gone
	cd "$top/work"
}

name_to_nobody()
{
	run -125 --separate-stderr bash -c '"$@" >&-' - "${as[@]}" "$top/davit" \
		run -q -d -- sleep 1000
	assert_equal "$stderr" 'davit: write to stdout: Bad file descriptor'
	run -125 --separate-stderr bash -c '"$@" >/dev/full' - "${as[@]}" \
		"$top/davit" run -q -d -- sleep 1000
	assert_equal "$stderr" \
		'davit: write to stdout: No space left on device'
	# Neither lives, or is kept: nobody knows its name.
	run -0 davit ps -aq
	assert_output ''
}

@test "one whose name nobody can be told is not left behind" {
	each_user name_to_nobody
}

@test "wait --json without a stdout fails" {
	keep --name end -- true
	run -0 davit wait end
	run -125 bash -c '"$@" >&-' - "$top/davit" wait --json end
	run -125 bash -c '"$@" >/dev/full' - "$top/davit" wait --json end
	run -125 bash -c '"$@" >&-' - "$top/davit" exec -d end -- true
	davit rm end
}

locked_umask()
{
	# What davit makes is its own to use; the command has what was asked.
	(umask 777; keep --name mask -- sh -c 'umask; exec sleep 1000')
	run -0 davit wait --for 0777 mask
	assert_equal "$(davit exec mask -- sh -c umask)" 0777
	davit stop -t 0 mask
	davit restart mask
	davit rm -f mask
	assert_equal "$(umask 777; davit run -q -- sh -c umask)" 0777
	[ ! -e "$top/run/slots" ] ||
		assert_equal "$(stat -c %a "$top/run/slots")" 600
	keep --name mask -- sleep 1000
	davit rm -f mask
}

@test "an umask that locks its user out" {
	each_user locked_umask
}

@test "more words than a message can count" {
	local many n=60000

	# Words that are read one by one move all that came before, and the
	# sanitizers make that dear.
	! sanitized || n=8000
	many=$(seq 70000)
	refused 125 '^davit: more than 65535 arguments' run -- true $many
	[[ $stderr == *'hint: '*stdin ]]
	refused 125 '^davit: more than 65535 arguments' run -d -- true $many
	[[ $stderr == *'hint: '*stdin ]]
	keep --name many -- sleep 1000
	run -125 --separate-stderr davit exec many -- true $many
	[[ $stderr == 'davit: more than 65535 arguments'*'hint: '*stdin ]]
	# What fits is taken on every way.
	many=$(seq $n)
	run -0 davit run -q -- sh -c 'echo $#' x $many
	assert_output $n
	run -0 davit exec many -- sh -c 'echo $#' x $many
	assert_output $n
	davit rm -f many
	keep --name many -- sh -c 'echo $#; exec sleep 1000' x $many
	run -0 davit wait --for $n many
	davit rm -f many
}

@test "directories that are not absolute are refused" {
	DAVIT_RUNDIR=run refused 125 'DAVIT_RUNDIR is not absolute: "run"' \
		run -- true
	DAVIT_STATEDIR=./x refused 125 'DAVIT_STATEDIR is not absolute: "./x"' \
		run -d -- true
	DAVIT_RUNDIR=run refused 1 'DAVIT_RUNDIR is not absolute' ps
	[ ! -e run ]
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
	[ $SECONDS -lt 100 ]
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

@test "between two starts: a time that is over, a stop, a restart" {
	# A signal that does nothing: also who is to end in the moment in which it
	# runs finds it ending by itself.
	keep --name late --restart always --ttl 1s --stop-signal URG -- false
	run -124 davit wait late
	assert_equal "$(info late exit.ended_by)" '"timeout"'
	assert_equal "$(info late exit.code)" 1
	davit rm late
	keep --name wait --restart always --stop-signal URG -- \
		sh -c '[ -e go ] || exit 3; sleep 1000'
	soon tried wait 5
	# It would not begin for seconds.
	soon has_state wait creating
	run davit restart wait
	[ $status = 0 ] || [[ $output == *ended* ]] || fail "$output"
	soon has_state wait creating
	davit stop wait
	assert_equal "$(info wait exit.ended_by)" '"stop"'
	assert_equal "$(info wait exit.code)" 3
	davit rm wait
}

# tried NAME COUNT: it was started anew so often.
tried()
{
	[ "$(info "$1" restart.count)" -ge "$2" ]
}

@test "a restart that cannot be says why, and why does so later" {
	mkdir "$top/work/dir"
	keep --name gone -v "$top/work/dir:/dir" -- sleep 1000
	rmdir "$top/work/dir"
	run -1 davit restart -t 0 gone
	assert_output --partial "volume source $top/work/dir"
	has_state gone exited
	run -0 davit why gone
	assert_output --partial "volume source $top/work/dir"
	davit rm gone
}

@test "one that a signal has stopped heeds a stop" {
	keep --name held -- sh -c 'trap "exit 4" TERM; echo on; while :; do sleep 0.02; done'
	soon grep -q on "$top/state/$(id_of held)/log"
	davit kill -s STOP held
	# It would be 137 when the time were over.
	davit stop -t 60 held
	assert_equal "$(info held exit.code)" 4
	davit rm held
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

	keep --rm --name brief -W "$top/work" -- \
		sh -c 'echo x; until [ -e "$0" ]; do sleep 0.02; done' \
		"$top/work/go"
	id=$(id_of brief)
	touch "$top/work/go"
	soon test ! -e "$top/state/$id"
	soon test ! -e "$top/run/$id"
	soon test ! -L "$top/run/names/brief"
	# It still removes what it has renamed.
	keepers_end
	rm "$top/work/go"
}

@test "--rm leaves nothing" {
	each_user removes_itself
}

@test "--ttl and --idle-timeout end it for good" {
	keep --name ttl --ttl 300ms --restart always -- sleep 1000
	davit wait ttl || :
	assert_equal "$(info ttl exit.ended_by)" '"timeout"'
	keep --name idle --idle-timeout 300ms -- sleep 1000
	davit wait idle || :
	assert_equal "$(info idle exit.ended_by)" '"timeout"'
	# What happens in it counts: its output, and what clients run. Nobody
	# who writes five times a second is late by seconds.
	keep --name busy --idle-timeout 4s -- \
		sh -c 'for i in $(seq 25); do echo $i; sleep 0.2; done; exit 4'
	keep --name used --idle-timeout 4s -- sleep 1000
	run -0 davit exec used -- sleep 5
	has_state used running
	run -4 davit wait busy
	davit wait used || :
	assert_equal "$(info used exit.ended_by)" '"timeout"'
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
		soon has_state k$i dead
		run davit why k$i
		assert_output --partial keeper
		# By the next command; what is dying still, by the one after it.
		soon swept $id
		wait
	done
	davit rm k1 k2 k3 k4 k5 k6 k7 k8
}

swept()
{
	[ ! -e "$top/run/$1" ] || {
		davit ps >/dev/null
		false
	}
}

@test "a killed keeper takes its sandbox along, and that is known" {
	each_user killed_keepers
}

@test "one that is dead is started again" {
	keep --name again -- sh -c 'echo begin; sleep 1000'
	run -0 davit wait --for begin again
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

# in_tmpfs SCRIPT: RUNDIR is a small file system of its own; `full` fills it, and
# `room` makes room again. `state` and `pid` are those of web as anybody sees
# them.
in_tmpfs()
{
	cat >"$top/lib" <<-'EOF'
		davit() { "$top/davit" "$@"; }
		full() { dd if=/dev/zero of="$top/run/fill" bs=4k 2>/dev/null || :; }
		room() { rm "$top/run/fill"; }
		of_web() { davit ps -a --json | tr , '\n' | sed -n "s/^\"$1\"://p"; }
		state() { of_web state | tr -d '"'; }
		pid() { of_web pid; }
		soon() { until "$@"; do :; done; }
		is() { [ "$(state)" = "$1" ]; }
		has_pid() { [ -e "/proc/$(pid)/fd" ]; }
		mount -t tmpfs -o size=256k,mode=700 none "$top/run"
		trap 'rm -f "$top/run/fill"; davit rm -f web' EXIT
	EOF
	run -0 env top="$top" timeout 200 unshare -m --propagation private \
		sh -exc '. "$top/lib"'"
			$1"
	rm "$top/lib"
}

@test "what became of it while RUNDIR was full is seen when there is room" {
	need_root
	in_tmpfs '
		davit run -d -q --name web -- sleep 1000
		davit pause web
		full
		davit resume web
		is paused
		room
		soon is running
		davit exec web -- true
		full
		davit restart -t 0 web
		davit exec web -- true
		if has_pid; then exit 1; fi
		room
		soon has_pid'
}

@test "an upgrade needs no room in RUNDIR" {
	need_root
	in_tmpfs '
		davit run -d -q --name web -- sleep 1000
		full
		davit upgrade web
		davit exec web -- true
		davit upgrade web
		is running'
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
	run -143 davit run -q --name fg --timeout 100s --stop-signal TERM \
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
		soon eval '[ -n "$(davit ps -q --filter state=running)" ]'
		id=$(davit ps -q)
		[ -S "$top/run/$id/sock" ]
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
	soon has_state fg dead
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
