# SPDX-License-Identifier: MIT
# What is known of sandboxes without asking anybody, and what becomes of it when
# files are bad, directories full, or somebody else is in the way.
load lib
load keepers

setup()
{
	davit_setup
}

teardown()
{
	local dir

	back_to_root
	for dir in "$top"/state/*/; do
		[ ! -e "$dir" ] || "$top/davit" rm -f "$(basename "$dir")" ||
			rm -rf "$dir"
	done
	rm -f "$top/run/names/"[a-z0-9]*
	keepers_end
	davit_teardown
}

# ended NAME SCRIPT [OPTION...]: one that has ended.
ended()
{
	local name=$1 script=$2

	shift 2
	davit run -d --name "$name" "$@" -- /bin/sh -c "$script" &&
		{ davit wait "$name" || :; } >/dev/null 2>&1
	soon is "$name" exited
}

# member NAME KEY: of its document.
member()
{
	davit ps -a --json | "$PYTHON" -c 'import json, sys
for d in json.load(sys.stdin):
    if sys.argv[1] in (d["name"], d["id"]):
        v = d
        for key in sys.argv[2].split("."):
            v = v[key]
        print(v)' "$1" "$2"
}

state_of()
{
	member "$1" state
}

is()
{
	[ "$(state_of "$1")" = "$2" ]
}

id_of()
{
	member "$1" id
}

# kill_keeper NAME: as if it had crashed.
kill_keeper()
{
	local pid

	pid=$(member "$1" keeper)
	[ "$pid" -gt 1 ]
	kill -9 "$pid"
	soon is "$1" dead
}

# ---- ps

listed()
{
	up web --label app=x --label tier=front
	ended job 'exit 3' --label app=y
	run --separate-stderr -0 davit ps
	[[ ${lines[0]} =~ ^NAME/ID\ +STATE\ +BOUNDARY\ +PID\ +CREATED ]]
	[[ ${lines[1]} =~ ^web\ +running\ +process\ +[0-9]+\ .*\ ago\ +-\ +sleep\ 1000$ ]]
	[ ${#lines[@]} = 2 ]
	run --separate-stderr -0 davit ps -a
	[ ${#lines[@]} = 3 ]
	[[ ${lines[1]} =~ ^job\ +exited\ .*\ 3\ +/bin/sh\ -c\ exit\ 3$ ]]
	run -0 davit ps -aq
	[ ${#lines[@]} = 2 ]
	assert_equal "${lines[0]}" "$(id_of job)"
	assert_equal "${lines[1]}" "$(id_of web)"
	run -0 davit ps -q --filter label=app
	assert_output "$(id_of web)"
	run -0 davit ps -aq --filter label=app=y
	assert_output "$(id_of job)"
	run -0 davit ps -aq --filter label=app --filter state=running
	assert_output "$(id_of web)"
	run -0 davit ps -q --filter state=exited
	assert_output "$(id_of job)"
	run -0 davit ps -aq --filter label=ap
	assert_output ''
	assert_equal "$(member web labels.tier)" front
	assert_equal "$(member job exit.code)" 3
	davit rm -f web job
	run -0 davit ps -a
	[ ${#lines[@]} = 1 ]
}

@test "ps lists what lives, and with -a what has ended" {
	each_user listed
}

@test "labels: the last one of a key counts, and they are text" {
	up web --label app=x --label apple=z --label app=y
	assert_equal "$(member web labels)" "{'app': 'y', 'apple': 'z'}"
	assert_equal "$(davit ps -q --filter label=app=y | wc -l)" 1
	assert_equal "$(davit ps -q --filter label=app=x | wc -l)" 0
	fails 125 'is not a label' run -d --label $'a=\xff' -- true
	fails 125 'is not a label' run -d --label =b -- true
	davit rm -f web
}

@test "ps is used rightly or says how" {
	fails 2 'is no filter' ps --filter app=x
	fails 2 'there is no state "gone"' ps --filter state=gone
	fails 2 '"web" is too much' ps web
	fails 2 'unknown option' ps --al
	run -0 davit ps -a
	[ ${#lines[@]} = 1 ]
	run -0 davit ps --json
	assert_output '[]'
}

lacking()
{
	local what

	up web
	up db
	what=$(member web missing)
	run --separate-stderr -0 davit ps
	[ ${#lines[@]} = 3 ]
	if [ -z "$what" ]; then
		assert_equal "$stderr" ''
	else
		assert_equal "$stderr" "davit: db, web: without $what"
	fi
	run --separate-stderr -0 davit ps --json
	assert_equal "$stderr" ''
	run --separate-stderr -0 davit ps -q
	assert_equal "$stderr" ''
	davit rm -f web db
}

@test "ps says what the living go without, once for all" {
	each_user lacking
}

@test "ps: a keeper without a control group of its own" {
	need_root
	local here

	here=$(sed -n 's/^0:://p' /proc/self/cgroup)
	up web
	[ -z "$(member web missing)" ] || skip "$(member web missing)"
	davit rm -f web
	# Nothing of the kernel's groups can be seen, let alone made.
	unshare -m sh -c 'mount -t tmpfs none /sys/fs/cgroup &&
		exec "$@"' sh "$top/davit" run -d -q --name web -- \
		sleep 1000 >/dev/null
	run --separate-stderr -0 davit ps
	[[ $stderr == 'davit: web: without '*'control group of its own for the keeper'* ]] ||
		fail "$stderr"
	davit rm -f web
	run --separate-stderr -0 davit ps -a
	assert_equal "$stderr" ''
}

@test "ps is no wider than the terminal" {
	davit run -d -q --name long -- /bin/sh -c \
		'sleep 1000 # a comment that is longer than any column is wide'
	"$PYTHON" "$HELPERS/keeper_term.py" ps_width "$top/davit" "$top/work"
	davit rm -f long
}

@test "a long command is cut, and whole on request" {
	davit run -d --name long -- /bin/sh -c \
		'sleep 1000 # a comment that is longer than any column is wide'
	run -0 davit ps
	[[ ${lines[1]} == *... ]]
	run -0 davit ps --no-trunc
	[[ ${lines[1]} == *'column is wide' ]]
	davit rm -f long
}

@test "what a command is called does not talk to the terminal" {
	davit run -d --name odd -- /bin/sh -c \
		$'sleep 1000 # \e[2J \x01 \xff'
	run -0 davit ps --no-trunc
	[[ $output != *$'\e'* ]] && [[ $output != *$'\x01'* ]]
	davit rm -f odd
}

# ---- names

@test "names that are none are refused before anything is there" {
	local name

	for name in Web .web -- 'a b' a/b 0123456789abcdef "$(printf '%064d' 1)"; do
		refused 125 'no name for a sandbox' run -d --name "$name" -- true
	done
	refused 125 'it is empty' run -d --name '' -- true
}

@test "unknown names: a suggestion, exact codes" {
	up web
	fails 1 'did you mean web[?]' why wbe
	fails 1 'there is no sandbox "nothing"' why nothing
	fails 1 'did you mean web[?]' rm wbe
	fails 1 'did you mean web[?]' events wbe
	fails 2 'no sandbox is named' why
	fails 2 'no sandbox is named' rm
	fails 2 'is too much' why web web
	fails 1 'is empty' why ''
	run -0 davit rm --ignore wbe
	assert_output ''
	# A beginning is good enough for a look, not for a unit that forgets.
	ended webjob true
	run -0 davit rm --ignore webj we
	assert_output ''
	assert_equal "$(state_of webjob)" exited
	run -0 davit rm --ignore webjob
	fails 1 'no sandbox' why webjob
	# Nor for one that stops.
	run -0 davit stop --ignore we none
	assert_output ''
	assert_equal "$(state_of web)" running
	davit rm -f web
	fails 1 'no sandbox at all' why -l
}

@test "rm -f --ignore takes nobody whose name it cannot read" {
	local id

	ended webjob true
	id=$(id_of webjob)
	echo '{' >"$top/state/$id/exit.json"
	fails 1 "$id/exit.json" rm -f --ignore web
	run -0 davit rm -f --ignore none
	[ -e "$top/state/$id/exit.json" ]
	run -0 davit rm -f --ignore "$id"
	[ ! -e "$top/state/$id" ]
}

@test "a beginning is enough when there is one of it" {
	local id

	# No id begins with an s.
	up web-1
	up web-2
	up stock
	id=$(id_of stock)
	run -0 davit why s
	[[ $output == 'stock runs'* ]]
	run -0 davit why "${id:0:8}"
	[[ $output == 'stock runs'* ]]
	fails 1 'several sandboxes begin with "web"' why web
	run -0 davit why -l
	[[ $output == 'stock runs'* ]]
	davit rm -f web-1 web-2 stock
}

@test "a name has one owner, who is named" {
	local id

	up web
	id=$(id_of web)
	fails 125 "taken by sandbox $id, which is running" \
		run -d --name web -- true
	[[ ${stderr_lines[1]} == *'davit rm -f web' ]]
	kill_keeper web
	fails 125 "taken by sandbox $id, which is dead" \
		run -d --name web -- true
	assert_equal "$(davit ps -aq | wc -l)" 1
	davit rm web
	up web
	davit rm -f web
}

@test "of eight that want a name one gets it" {
	local i pids=() won=0

	for i in 1 2 3 4 5 6 7 8; do
		davit run -d --name web -- sleep 1000 >/dev/null 2>&1 &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		! wait "$i" || won=$((won + 1))
	done
	assert_equal $won 1
	assert_equal "$(davit ps -aq | wc -l)" 1
	davit rm -f web
}

@test "who renames one that has ended is killed before its document" {
	local id

	up web
	davit stop -t 0 web
	id=$(id_of web)
	cp "$top/state/$id/exit.json" whole
	davit rename web db
	cp whole "$top/state/$id/exit.json"
	ln -s "$id" "$top/run/names/web"
	assert_equal "$(state_of web)" exited
	davit restart web
	assert_equal "$(state_of web)" running
	davit rename web one
	assert_equal "$(state_of one)" running
	davit rm -f one
	[ -z "$(ls "$top/run/names")" ]
}

@test "a name that belongs to nobody is taken over" {
	up first
	davit rm -f first
	ln -s 0123456789abcdef "$top/run/names/web"
	ln -s /etc/passwd "$top/run/names/db"
	fails 1 'there is no sandbox "web"' why web
	fails 1 'there is no sandbox "db"' why db
	up web
	up db
	davit rm -f web db
	[ ! -L "$top/run/names/web" ]
}

@test "after a reboot names and records are there" {
	local id

	ended web 'echo end >&2; exit 3'
	id=$(id_of web)
	rm -rf "$top/run"
	mkdir -m 700 "$top/run"
	run -0 davit why web
	[[ $output == 'web ended by itself, with exit status 3'* ]]
	[[ $output == *'| end'* ]]
	run -0 davit why we
	fails 125 "taken by sandbox $id, which is exited" \
		run -d --name web -- true
	davit rm web
	[ ! -e "$top/state/$id" ]
}

# ---- why

@test "why: an exit status and what it means" {
	ended good 'exit 0'
	run -0 davit why good
	[[ $output == 'good ended by itself, with exit status 0.'* ]]
	[[ $output == *'used: '* ]]
	ended bad 'echo one >&2; echo two; echo "three '$'\e''[m" >&2; exit 3'
	run -0 davit why bad
	[[ $output == 'bad ended by itself, with exit status 3.'* ]]
	[[ $output == *'| one'*'| three ?[m'* ]]
	[[ $output != *two* ]]
	ended missing '/no/such/thing'
	run -0 davit why missing
	[[ $output == *'exit status 127, '*'not found'* ]]
	ended denied '/etc/passwd'
	run -0 davit why denied
	[[ $output == *'exit status 126, '*'could not be executed'* ]]
	ended shell 'kill -SEGV $$'
	run -0 davit why shell
	[[ $output == 'shell was ended by SIGSEGV (Segmentation fault)'* ]]
	ended nested '/bin/sh -c "kill -TERM \$\$"; exit $?'
	run -0 davit why nested
	[[ $output == *'exit status 143, '*'SIGTERM (Terminated)'* ]]
	davit rm good bad missing denied shell nested
}

@test "why: who ended it" {
	up web
	davit stop web
	run -0 davit why web
	[[ $output == 'web was stopped on request'*'by SIGTERM'* ]]
	davit rm web
	ended slow 'exec sleep 1000' --timeout 100ms
	run -0 davit why slow
	[[ $output == 'slow was stopped because its time was over'* ]]
	davit rm slow
}

@test "why --json: one document" {
	ended bad 'echo one >&2; kill -9 $$'
	run --separate-stderr -0 davit why --json bad
	"$PYTHON" -c 'import json, sys
d = json.loads(sys.argv[1])
assert d["name"] == "bad" and d["state"] == "exited", d
assert d["code"] == 137 and d["signal"] == "SIGKILL", d
assert d["ended_by"] == "signal", d
assert d["text"].startswith("bad was ended by SIGKILL"), d
assert "| one" in d["text"], d' "$output"
	run --separate-stderr -1 davit why --json nobody
	assert_equal "$output" ''
	[[ $stderr == '{"error":'* ]]
	davit rm bad
}

@test "why: alive, paused, dead" {
	up web
	run -0 davit why web
	[[ $output == 'web runs since '*'command: sleep 1000'* ]]
	run -0 davit why -l
	[[ $output == 'web runs since '* ]]
	kill_keeper web
	run -0 davit why web
	[[ $output == 'web is dead: '*'last seen: '* ]]
	[[ $output == *'davit logs web'*'davit restart web'* ]]
	assert_equal "$(member web exit.ended_by)" keeper
	assert_equal "$(member web exit.code)" 137
	davit rm web
}

@test "why: limits" {
	need_root
	davit run --pids-limit 20 -- true || skip 'no pids limit here'
	ended forks 'i=0; while [ $i -lt 40 ]; do sleep 1000 & i=$((i + 1)); done
		exit 1' --pids-limit 8
	run -0 davit why forks
	[[ $output == *'processes: a new one was refused '*'limit of 8'* ]]
	davit rm forks
}

# ---- events

@test "events: a life, in order, as text and as JSON" {
	up web
	davit stop web
	davit rm web
	run -0 davit events
	[[ ${lines[0]} =~ ^20[0-9-]+T[0-9:.]+Z\ \ web\ \ created ]]
	[[ $output == *'web  started'*'web  exited  '*'ended_by=stop'* ]]
	[[ ${lines[-1]} == *'web  removed' ]]
	run -0 davit events --json
	"$PYTHON" -c 'import json, sys
names = [json.loads(line)["event"] for line in sys.stdin]
assert names[0] == "created" and names[-1] == "removed", names' <<<"$output"
	run -0 davit events --since 1h web
	[ ${#lines[@]} -ge 4 ]
	fails 1 'there is no sandbox "web"' events --since 0 web
	run -0 davit events --since 0
	assert_output ''
}

# Whoever comes while its processes are dying still leaves that to the next.
dead_is_told()
{
	davit ps >/dev/null
	[ "$(davit events | grep -c 'web  dead')" -gt 0 ]
}

@test "events: dead is told once, by whoever finds it" {
	up web
	kill_keeper web
	soon dead_is_told
	davit ps >/dev/null
	davit ps -a >/dev/null
	sandbox true
	assert_equal "$(davit events | grep -c 'web  dead')" 1
	assert_equal "$(davit events web | grep -c 'dead')" 1
	davit rm web
}

@test "events -f tells what comes, also when the file is turned over" {
	local pid line

	up web
	mkfifo fifo
	"$top/davit" events -f --json >fifo 3>&- &
	pid=$!
	exec 7<fifo
	read -r line <&7
	[[ $line == *'"created"'* ]]
	# Two turns between two looks.
	kill -STOP $pid
	"$PYTHON" - "$top/run" <<'EOF'
import os, sys
run = sys.argv[1]
line = '{"time":"2024-01-01T00:00:00.000000000Z","id":"0123456789abcdef",' \
	'"name":"%s","event":"filler"}\n'
for turn in "a", "b":
	with open(run + "/events", "a") as f:
		f.write(line % turn * 20)
	os.rename(run + "/events", run + "/events.1")
EOF
	kill -CONT $pid
	davit rm -f web
	while read -r line <&7; do
		[[ $line != *'"removed"'* ]] || break
		echo "$line" >>seen
	done
	exec 7<&-
	# Nobody reads: it ends.
	up last
	davit rm -f last
	wait $pid || :
	assert_equal "$(grep -c filler seen)" 40
	[[ $(cat seen) == *'"started"'*'"a"'*'"b"'*'"exited"'* ]]
}

@test "events: lines that make no sense are left out" {
	up web
	printf '%s\n' 'nonsense' '{}' '[1]' '{"time":1}' "$(head -c 100000 \
		/dev/zero | tr '\0' x)" >>"$top/run/events"
	davit rm -f web
	run -0 davit events
	[[ ${lines[-1]} == *'web  removed' ]]
	[[ $output != *nonsense* ]] && [[ $output != *xxx* ]]
}

# ---- bad files

@test "documents that are cut, empty, huge or nonsense" {
	local id doc text

	up good
	ended bad 'exit 3'
	id=$(id_of bad)
	doc=$top/state/$id/exit.json
	cp "$doc" whole
	for text in '' '{' '[]' '{"id":"0123456789abcdef","state":"exited"}' \
		"{\"id\":\"$id\",\"state\":\"asleep\"}" \
		"{\"id\":\"$id\",\"state\":\"exited\",\"argv\":7}" \
		"$(head -c 200 whole)"; do
		printf %s "$text" >"$doc"
		fails 1 "$doc: it " why bad
		[[ ${stderr_lines[1]} == *"davit rm -f $id"* ]]
		run --separate-stderr -0 davit ps -a
		[[ $output == *good* ]] && [[ $output != *bad* ]]
		assert_equal "$stderr" "davit: 1 more cannot be read; davit why \
$id says why"
	done
	head -c 1048577 /dev/zero >"$doc"
	fails 1 "$doc is too large" why bad
	rm "$doc"
	ln -s /etc/passwd "$doc"
	fails 1 "$doc is no file" why bad
	rm "$doc"
	mkfifo "$doc"
	fails 1 "$doc is no file" why bad
	rm "$doc"
	# Nothing was lost: it is read when it is whole again.
	cp whole "$doc"
	run -0 davit why bad
	[[ $output == *'exit status 3'* ]]
	printf '{' >"$doc"
	fails 1 "$doc: it is no JSON" rm bad
	davit rm -f bad
	[ ! -e "$top/state/$id" ]
	davit rm -f good
}

@test "documents that cannot be read" {
	local id

	need_user
	ended web 'exit 3'
	id=$(id_of web)
	chmod 0 "$top/state/$id/exit.json"
	fails 1 "read $top/state/$id/exit.json: Permission denied" why web
	run --separate-stderr -0 davit ps -a
	[[ $stderr == *'1 more cannot be read'* ]]
	chmod 600 "$top/state/$id/exit.json"
	chmod 0 "$top/state/$id"
	fails 1 "open $top/state/$id: Permission denied" why web
	chmod 700 "$top/state/$id"
	davit rm web
}

@test "one that lives is stopped though its document makes no sense" {
	local id

	up web
	id=$(id_of web)
	printf '{' >"$top/run/$id/state.json"
	fails 1 "$top/run/$id/state.json: it " why web
	davit rm -f web
	[ ! -e "$top/run/$id" ] && [ ! -e "$top/state/$id" ]
}

# ---- somebody else

@test "directories of others are refused" {
	local id

	need_root
	ended web 'exit 3'
	id=$(id_of web)
	chown "$ORDINARY" "$top/state/$id"
	fails 1 "$top/state/$id is not private" why web
	chown 0 "$top/state/$id"
	chmod 750 "$top/state/$id"
	fails 1 "$top/state/$id is not private" why web
	chmod 700 "$top/state/$id"
	chmod 777 "$top/run"
	fails 1 "run directory $top/run is not private" ps
	fails 125 "run directory $top/run is not private" \
		run -d --name other -- true
	chmod 700 "$top/run"
	chmod 722 "$top/state"
	fails 1 "state directory $top/state is not private" ps -a
	fails 125 "state directory $top/state is not private" \
		run -d --name other -- true
	chmod 700 "$top/state"
	davit rm web
}

@test "nobody else can look, claim or squat" {
	local id

	need_root
	up web
	id=$(id_of web)
	as=(setpriv "--reuid=$ORDINARY" "--regid=$ORDINARY" --clear-groups)
	fails 1 'Permission denied' ps
	fails 1 'Permission denied' rm -f web
	fails 125 'Permission denied' run -d --name web -- true
	run ! "${as[@]}" mkdir "$top/run/0123456789abcdef"
	run ! "${as[@]}" ln -s "$id" "$top/run/names/theirs"
	run ! "${as[@]}" sh -c "echo >>'$top/run/events'"
	# A directory that they made first.
	mkdir -m 1777 "$top/shared"
	"${as[@]}" mkdir "$top/shared/run"
	as=()
	DAVIT_RUNDIR=$top/shared/run fails 125 'is not private' \
		run -d --name mine -- true
	davit rm -f web
}

@test "root looks into somebody else's, and can remove there" {
	need_root
	need_user
	up web
	as=()
	run -0 davit ps
	[[ $output == *web*running* ]]
	davit rm -f web
	become user
	run -0 davit ps -aq
	assert_output ''
}

# ---- directories that are full or cannot be written

# in_mounts SCRIPT: in a mount namespace of its own; $@ is the davit command.
in_mounts()
{
	local script=$1

	shift
	run --separate-stderr unshare -m --propagation private sh -c \
		"$script"' && exec "$@"' sh "$top/davit" "$@"
}

# told STATUS REGEX: how in_mounts ended.
told()
{
	[ "$status" = "$1" ] || fail "$status: $output $stderr"
	[[ $stderr =~ $2 ]] || fail "stderr: $stderr"
}

@test "a read-only RUNDIR: looking goes on, all else says why" {
	local ro="mount --bind '$top/run' '$top/run' &&
		mount -o remount,bind,ro '$top/run'"

	need_root
	up web
	ended job 'exit 3'
	in_mounts "$ro" ps -a
	told 0 '^$'
	[[ $output == *job*exited*web*running* ]]
	in_mounts "$ro" why job
	told 0 '^$'
	in_mounts "$ro" events
	told 0 '^$'
	in_mounts "$ro" rm job
	told 1 "$top/run/names/.lock: Read-only file system"
	in_mounts "$ro" run -d --name new -- true
	told 125 'Read-only file system'
	[[ $stderr == *'hint: '*DAVIT_RUNDIR* ]]
	assert_equal "$(state_of job)" exited
	assert_equal "$(state_of new)" ''
	# A keeper that cannot write goes on.
	davit rm -f web job
}

@test "a read-only STATEDIR" {
	local ro="mount --bind '$top/state' '$top/state' &&
		mount -o remount,bind,ro '$top/state'"

	need_root
	ended job 'exit 3'
	in_mounts "$ro" ps -a
	told 0 '^$'
	[[ $output == *job*exited* ]]
	in_mounts "$ro" rm job
	told 1 "remove $top/state/[0-9a-f]*: Read-only file system"
	assert_equal "$(state_of job)" exited
	in_mounts "$ro" run -d --name new -- true
	told 125 "$top/state/[0-9a-f]*: Read-only file system"
	[ ! -L "$top/run/names/new" ]
	davit rm job
}

none_runs()
{
	[ -z "$(davit ps -aq --filter state=running)" ]
}

@test "a full RUNDIR" {
	local tmpfs="mount -t tmpfs -o size=64k,mode=700 none '$top/run'"
	local fill="{ head -c 100000 /dev/zero >'$top/run/fill' 2>/dev/null; :; }"
	local inodes="mount -t tmpfs -o nr_inodes=3,mode=700 none '$top/run'"

	need_root
	in_mounts "$tmpfs && $fill" run -d --name web -- true
	if [ "$status" != 0 ]; then
		told 125 'No space left on device'
	fi
	in_mounts "$tmpfs && $fill" ps -a
	[ "$status" = 0 ]
	in_mounts "$inodes" run -d --name web2 -- true
	told 125 'No space left on device'
	in_mounts "$inodes" ps -a
	[ "$status" = 0 ]
	# One that could be started is over as soon as its command.
	soon none_runs
}

@test "a full STATEDIR" {
	local inodes="mount -t tmpfs -o nr_inodes=1,mode=700 none '$top/state'"
	local fill="mount -t tmpfs -o size=64k,mode=700 none '$top/state' &&
		{ head -c 100000 /dev/zero >'$top/state/fill' 2>/dev/null; :; }"

	need_root
	in_mounts "$inodes" run -d --name web -- true
	told 125 'No space left on device'
	in_mounts "$fill" run -d --name web -- true
	told 125 'No space left on device'
	[ ! -L "$top/run/names/web" ]
	assert_equal "$(davit_rundir_left)" ''
}

@test "a STATEDIR that is full by the end: how it ended is known all the same" {
	need_root
	in_mounts "mount -t tmpfs -o size=256k,mode=700 none '$top/state'
		'$top/davit' run -d --name job -i -- sh -c 'read x; exit 7'
		{ head -c 1000000 /dev/zero >'$top/state/fill' 2>/dev/null; :; }
		echo | '$top/davit' attach job >/dev/null
		'$top/davit' why job
		timeout 100 '$top/davit' wait job
		[ \$? = 7 ]" ps -a
	told 0 ''
	[[ $output == *'status 7'* ]]
	[[ $output == *job*exited* ]]
	rm -rf "$top/run/names/job"
}

@test "no STATEDIR and no RUNDIR at all" {
	export DAVIT_RUNDIR=$top/none/run DAVIT_STATEDIR=$top/none/state
	run -0 davit ps -a
	[ ${#lines[@]} = 1 ]
	run -0 davit events
	assert_output ''
	fails 1 'there is no sandbox "web"' why web
	[ ! -e "$top/none" ]
	up web
	davit rm -f web
	export DAVIT_RUNDIR=$top/work/file
	touch "$top/work/file"
	fails 1 'Not a directory' ps
	fails 125 'Not a directory' run -d -- true
}

# ---- many

@test "a thousand of them are listed at once" {
	local before after

	ended web 'exit 3'
	"$PYTHON" - "$top/state" <<'EOF'
import json, os, sys
state = sys.argv[1]
one = os.listdir(state)[0]
doc = json.load(open("%s/%s/exit.json" % (state, one)))
for i in range(1000):
	doc["id"] = "%016x" % i
	doc["name"] = "n%d" % i
	os.mkdir("%s/%016x" % (state, i), 0o700)
	json.dump(doc, open("%s/%016x/exit.json" % (state, i), "w"))
EOF
	rm -rf "$top/run/names"
	assert_equal "$(davit ps -aq | wc -l)" 1001
	run -0 davit why n777
	[[ $output == 'n777 ended'* ]]
	fails 125 'the name n5 is taken' run -d --name n5 -- true
	assert_equal "$(ls "$top/run/names" | wc -l)" 1001
	davit rm $(davit ps -aq --filter state=exited | head -n 900)
	assert_equal "$(davit ps -aq | wc -l)" 101
	davit rm $(davit ps -aq)
}

@test "a long RUNDIR: what has ended is waited for, renamed, restarted, removed" {
	local long

	long=$top/run/$(printf 'x%.0s' {1..100})
	mkdir -m 700 "$long"
	export DAVIT_RUNDIR=$long
	up web
	run -0 davit exec web -- echo hi
	assert_output hi
	davit stop -t 0 web
	run -137 davit wait web
	davit rename web db
	davit restart db
	davit stop -t 0 db
	davit rm db
	up web
	davit rm -f web
	export DAVIT_RUNDIR=$top/run
	rm -rf "$long"
}

@test "with another RUNDIR one that lives is not dead, and stays" {
	local pid

	up web
	pid=$(member web keeper)
	export DAVIT_RUNDIR=$top/work/other
	assert_equal "$(state_of web)" running
	fails 1 "its keeper, process $pid, cannot be reached by this RUNDIR" stop web
	fails 1 "process $pid, cannot be reached" restart web
	fails 1 'it lives' rm web
	fails 1 "process $pid, cannot be reached" rm -f web
	# SIGTERM to a keeper is a stop.
	kill "$pid"
	soon is web exited
	# Its keeper lets go of it a moment later.
	soon davit rm web
	rm -rf "$DAVIT_RUNDIR"
	export DAVIT_RUNDIR=$top/run
}
