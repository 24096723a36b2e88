# SPDX-License-Identifier: MIT
# --best-effort where no namespace can be made: a plain child under Landlock.
load lib

setup()
{
	davit_setup
	[[ $("$top/davit" doctor 2>/dev/null) =~ PASS\ +landlock ]] ||
		skip 'this kernel has no Landlock'
	no_namespaces limit
}

teardown()
{
	if [ -n "${helper:-}" ]; then
		kill "$helper"
		wait "$helper" || :
	fi
	davit_teardown
}

# no_namespaces limit|filter [UID]: what `davit` runs in from here on.
no_namespaces()
{
	local why

	become user
	as=("$PYTHON" "$HELPERS/nons.py" "$1" "${2:-$ORDINARY}")
	why=$("${as[@]}" true 2>&1) || skip "cannot take namespaces away: $why"
	! "${as[@]}" unshare -U true 2>/dev/null ||
		skip 'namespaces are still there'
}

# confined [OPTION...] -- CMD...: without what it says on stderr.
confined()
{
	davit run -q --best-effort "$@" 2>"$top/said"
}

# ---- what it says --------------------------------------------------------------

refusal()
{
	refused 125 'create namespaces: ' run -- true
	[[ ${stderr_lines[1]} == *"$1"*'--best-effort (Landlock)' ]] ||
		fail "stderr: $stderr"
}

@test "without --best-effort it is refused with the fix" {
	refusal user.max_user_namespaces
	no_namespaces filter
	refusal 'a seccomp profile'
}

says_what_is_missing()
{
	run --separate-stderr -0 davit run -q --best-effort "$@" -- true
	assert_equal "$output" ''
	for line in "${stderr_lines[@]}"; do
		[[ $line == 'davit: without: '* ]] || fail "stderr: $stderr"
	done
	for word in Landlock 'process ids' 'a root of its own' /tmp 'host name' \
		'System V' 'a group'; do
		[[ $stderr == *"$word"* ]] || fail "no $word in: $stderr"
	done
}

@test "--best-effort says line by line what is missing" {
	says_what_is_missing
	[[ $stderr == *'no socket can be made'* ]]
	[[ $stderr == *'No space left on device'* ]]
	says_what_is_missing --net host
	[[ $stderr == *'hidden unix sockets'* ]]
	no_namespaces filter
	says_what_is_missing
}

@test "doctor knows the version" {
	run davit doctor
	assert_line --regexp '^PASS +landlock +ABI [0-9]+'
	assert_line --regexp '^FAIL +user-namespaces'
}

@test "with namespaces --best-effort does not use Landlock" {
	need_user
	run --separate-stderr -0 davit run -q --best-effort -- \
		/bin/sh -c 'echo $$'
	assert_equal "$output" 2
	[[ $stderr != *Landlock* ]]
}

# ---- status, streams, signals ------------------------------------------------------

statuses()
{
	local n

	for n in 0 1 3 125 255; do
		run -"$n" confined -- /bin/sh -c "exit $n"
	done
	run -137 confined -- /bin/sh -c 'kill -9 $$'
	run -143 confined -- /bin/sh -c 'kill $$'
	run -127 confined -- no-such-command
	run -127 confined -- /no/such/command
	echo x >file
	run -126 confined -- ./file
	run -124 confined --timeout 0.1 -- sleep 1000
	# Not shown, so not to be executed, whatever its mode says.
	run -126 confined -- "$top/davit" --version
}

@test "exit statuses are those of the command" {
	statuses
	no_namespaces filter
	statuses
}

@test "streams arrive whole and apart" {
	head -c 3000000 /dev/urandom >"$top/in"
	confined -- cat <"$top/in" >"$top/out"
	cmp "$top/in" "$top/out"
	run --separate-stderr -0 davit run -q --best-effort -- \
		/bin/sh -c 'echo out; echo err >&2; printf end'
	assert_equal "$output" $'out\nend'
	grep -qx err <<<"$stderr"
}

@test "a terminal of its own, by all its names" {
	command -v script >/dev/null || skip 'there is no script(1)'
	printf '%s\n' '#!/bin/sh' \
		"exec $(printf '%q ' "${as[@]}" "$top/davit") run -q" \
		'--best-effort -- /bin/sh -c "' \
		'test -t 0 && test -t 2 && echo one >/dev/tty &&' \
		'echo two >/dev/stdout && stty size >/dev/null && echo three"' |
		tr '\n' ' ' | sed 's/sh exec/sh\nexec/' >"$top/inside"
	chmod 755 "$top/inside"
	run -0 script -qec "sh $top/inside" /dev/null
	for word in one two three; do
		assert_output --partial "$word"
	done
}

@test "the exit record tells what happened" {
	davit run -q --best-effort --record "$top/work/record" -- \
		/bin/sh -c 'exit 7'  2>/dev/null || :
	record=$(cat record)
	assert_equal "$(field code)" 7
	assert_equal "$(field ended_by)" '"exit"'
	rm record
}

@test "limits of the process hold, those of groups are missing or hold" {
	run -0 confined --ulimit nofile=77 -- /bin/sh -c 'ulimit -n'
	assert_output 77
	run -0 confined -m 64m -- true
	grep -q 'without: .*memory' "$top/said"
}

# ---- files -----------------------------------------------------------------------

# Prints what of the paths can be read, listed, written or made.
reach='
import os, sys
for path in sys.argv[1:]:
    def can(what, fn):
        try:
            fn()
            print(what, path)
        except OSError:
            pass
    if os.path.isdir(path):
        can("list", lambda: os.listdir(path))
        can("make", lambda: os.close(os.open(path + "/davit-was-here",
                                     os.O_CREAT | os.O_WRONLY)))
        can("mkdir", lambda: os.mkdir(path + "/davit-was-here.d"))
        can("link", lambda: os.symlink("x", path + "/davit-was-here.l"))
    else:
        can("read", lambda: open(path, "rb").read(1))
        can("write", lambda: os.close(os.open(path, os.O_WRONLY)))
        can("cut", lambda: os.truncate(path, 0))
        can("remove", lambda: os.unlink(path))
'

reachable()
{
	confined "${options[@]}" -- "$PYTHON" -c "$reach" "$@"
}

@test "what is not shown cannot be read, whatever its mode" {
	local options=()

	mkdir -p "$top/home/.ssh" "$top/other"
	echo key >"$top/home/.ssh/id"
	echo x >"$top/other/file"
	echo x >"$top/file"
	chmod -R a+rwX "$top/home" "$top/other" "$top/file"
	HOME=$top/home run -0 reachable "$top" "$top/home" "$top/home/.ssh" \
		"$top/home/.ssh/id" "$top/other" "$top/other/file" \
		"$top/file" /tmp /var/tmp /dev/shm /run /var /home /root / \
		"$top/run" "$top/state" /etc/shadow /etc/gshadow \
		/etc/ssl/private /etc/ssh/*_key /sys /mnt /dev /dev/pts
	assert_output ''
	# The control: the same by the same user, outside.
	run -0 "${as[@]}" "$PYTHON" -c "$reach" "$top/home/.ssh/id"
	assert_line "read $top/home/.ssh/id"
}

@test "the default root can be read and executed, not written" {
	local options=()

	echo hi >here
	run -0 reachable "$PWD" "$PWD/here" /usr /usr/bin /etc/passwd \
		/etc/ld.so.cache /opt
	refute_output --regexp '(make|mkdir|link|write|cut|remove) '
	for what in "list $PWD" "read $PWD/here" 'list /usr/bin' \
		'read /etc/passwd'; do
		assert_line "$what"
	done
	run -0 confined -- /bin/sh -c 'pwd; cat here; id -u'
	assert_output "$top/work"$'\nhi\n'"$ORDINARY"
}

@test "masked paths hide from root as well" {
	need_root
	no_namespaces filter -
	chown -R 0:0 "$top/run" "$top/state" "$top/work"
	local options=()

	run -0 "${as[@]}" cat /etc/shadow
	run -0 reachable /etc/shadow /etc/gshadow /etc/ssl/private \
		/etc/ssh/*_key /root "$top/state" /etc /proc/kcore \
		/proc/sysrq-trigger
	assert_output ''
	# From the directory itself, too.
	cd /etc
	run -0 reachable /etc/shadow shadow /etc
	assert_output ''
	cd "$top/work"
	run -0 confined -- /bin/sh -c 'id -u; grep ^CapEff /proc/self/status'
	assert_output $'0\nCapEff:\t0000000000000000'
	grep -q 'without: capabilities' "$top/said"
}

@test "the current directory follows the rules of the default root" {
	mkdir -p "$top/home/project"
	chmod -R 777 "$top/home"
	cd "$top/home"
	HOME=$top/home run -0 confined -- pwd
	assert_output /
	cd "$top/home/project"
	HOME=$top/home run -0 confined -- pwd
	assert_output "$top/home/project"
	cd /tmp
	run -0 confined -- pwd
	assert_output /
	cd "$top/work"
}

@test "writable is what was given and TMPDIR, which goes" {
	mkdir -m 777 dir dir/sub other
	echo old >dir/file
	chmod 666 dir/file
	run -0 confined -W dir -- /bin/sh -c '
		echo new >dir/file && echo x >dir/sub/new && mkdir dir/d &&
		mv dir/sub/new dir/d/ && rm dir/file
		echo x 2>/dev/null >other/x; echo y >$TMPDIR/y &&
		cat $TMPDIR/y && mktemp >/dev/null && mkdir -m 0 $TMPDIR/locked &&
		echo $TMPDIR'
	assert_line --index 0 y
	[[ ${lines[1]} == "$top/run/"*/tmp ]]
	[ ! -e "${lines[1]}" ]
	[ -e dir/d/new ] && [ ! -e dir/file ] && [ ! -e other/x ]
	# A single file, and a volume in its place, read-only and not.
	echo old >file
	chmod 666 file
	run -0 confined -W file -- /bin/sh -c 'echo new >file; rm -f file
		echo x 2>/dev/null >file2; :'
	assert_equal "$(cat file)" new
	[ ! -e file2 ]
	run -0 confined -v "$PWD/other:$PWD/other" -- touch other/x
	[ -e other/x ]
	cd /usr
	run -0 confined -v "$top/work/other:$top/work/other:ro" -- /bin/sh -c \
		'ls "$1"; touch "$1/y" 2>/dev/null; :' sh "$top/work/other"
	assert_output x
	[ ! -e "$top/work/other/y" ]
	cd "$top/work"
	# Asked for: nothing at all.
	run -0 confined --read-only -- /bin/sh -c '
		echo x 2>/dev/null >$TMPDIR/x || echo refused'
	assert_line refused
}

@test "links out of what is writable lead nowhere" {
	mkdir -m 777 dir
	echo secret >"$top/secret"
	chmod 666 "$top/secret"
	ln -s "$top/secret" dir/link
	run -0 confined -W dir -- /bin/sh -c '
		cat dir/link; ln "$1" dir/hard; echo x >dir/link; ls dir' sh \
		"$top/secret"
	assert_output link
	assert_equal "$(cat "$top/secret")" secret
}

# ---- what is refused -------------------------------------------------------------

@test "what only namespaces can do is refused" {
	mkdir -p dir/sub root
	local best=(run -q --best-effort)

	refused 125 'container needs a mount namespace: create name' \
		"${best[@]}" --rootfs "$PWD/root" -- true
	refused 125 'volume at another place /data needs a mount' \
		"${best[@]}" -v "$PWD/dir:/data" -- true
	refused 125 'tmpfs /x needs a mount namespace' \
		"${best[@]}" --tmpfs /x -- true
	refused 125 'host name boat needs a uts namespace' \
		"${best[@]}" --hostname boat -- true
	refused 125 'capability needs a user namespace' \
		"${best[@]}" --cap-add net_raw -- true
	refused 125 'user 1:1 ' \
		"${best[@]}" -u 1:1 -- true
	refused 125 'read-only below a writable volume' \
		"${best[@]}" -W dir -v "$PWD/dir/sub:$PWD/dir/sub:ro" -- true
	[ ! -e /etc/shadow ] || refused 125 'to hide /etc/' \
		"${best[@]}" -W /etc -- true
	# What is wrong everywhere is wrong here.
	refused 125 'volume source' "${best[@]}" -v /no/such:/no/such -- true
}

# ---- sockets, signals, processes ---------------------------------------------------

# Listens on the sockets until it is killed; prints the port. As the user.
listen()
{
	setpriv "--reuid=$ORDINARY" "--regid=$ORDINARY" --clear-groups \
		"$PYTHON" -c '
import os, signal, socket, sys
keep = []
for name in sys.argv[1:]:
    s = socket.socket(socket.AF_UNIX)
    s.bind(name.replace("@", "\0"))
    s.listen()
    keep.append(s)
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen()
print(s.getsockname()[1], flush=True)
signal.pause()' "$@" >"$top/port" 3>&- &
	helper=$!
	soon [ -s "$top/port" ]
	port=$(cat "$top/port")
}

connect='
import socket, sys
a, b = socket.socketpair()
a.send(b"pair")
print(b.recv(4).decode())
for name in sys.argv[1:]:
    try:
        if name.isdigit():
            socket.create_connection(("127.0.0.1", int(name)), 2)
        else:
            s = socket.socket(socket.AF_UNIX)
            s.connect(name.replace("@", "\0"))
        print("connected to", name)
    except OSError as e:
        print("no", name)
for family in (socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET, 40):
    try:
        socket.socket(family, socket.SOCK_DGRAM)
        print("family", family)
    except OSError:
        pass'

sockets()
{
	local path=$top/work/s

	run -0 confined "$@" -- "$PYTHON" -c "$connect" "@$top" "$path" "$port"
	assert_line pair
	refute_output --partial connected
	refute_output --partial family
}

@test "no socket can be had, neither of the network nor of the host" {
	need_root
	listen "@$top" "$top/work/s"
	# The listener is there: without it the test would prove nothing.
	run -0 "${as[@]}" "$PYTHON" -c "$connect" "@$top" "$top/work/s" "$port"
	refute_output --partial 'no '
	sockets
	sockets --seccomp unconfined
	sockets -W "$top/work"
	no_namespaces filter
	sockets
	# With the host's network there are sockets, and davit says so.
	run -0 confined --net host -- "$PYTHON" -c "$connect" "$port"
	assert_line "connected to $port"
}

@test "processes outside cannot be signalled, traced or read" {
	need_root
	listen "$top/work/s"
	run -0 "${as[@]}" kill -0 "$helper"
	run -0 confined -- /bin/sh -c '
		kill -0 "$1" && echo signalled
		kill -CONT "$PPID" && echo parent
		cat "/proc/$1/environ" >/dev/null && echo environ
		head -c 1 "/proc/$1/mem" && echo mem
		readlink "/proc/$1/fd/1" && echo fd
		cat "/proc/$1/fd/1" && echo fd
		readlink "/proc/$1/root" && echo root
		sleep 1000 & kill $! && echo own' sh "$helper"
	assert_line own
	for word in signalled parent environ mem fd root; do
		refute_line "$word"
	done
}

@test "no new privileges, filters, no capabilities" {
	run -0 confined -- cat /proc/self/status
	assert_line --regexp '^NoNewPrivs:.1$'
	assert_line --regexp '^Seccomp:.2$'
	for set in CapInh CapPrm CapEff CapAmb; do
		assert_line "$set"$':\t0000000000000000'
	done
	run -0 confined -- /bin/sh -c 'unshare -U true && echo unshared; :'
	assert_output ''
}

# ---- the end ---------------------------------------------------------------------

@test "background processes that hold stdout go with the command" {
	SECONDS=0
	run -0 confined -- /bin/sh -c 'sleep 1000 & sh -c "sleep 1000" & echo hi'
	assert_output hi
	[ $SECONDS -lt 500 ]
	# A shell with job control puts each into a group of its own.
	run -3 confined -- /bin/bash -c 'set -m; sleep 1000 & sleep 1000 & exit 3'
	assert_equal "$(davit_processes)" ''
}

@test "with a group, what leaves the session goes, too" {
	need_root
	no_namespaces filter -
	chown -R 0:0 "$top/run" "$top/state" "$top/work"
	run -0 confined -- true
	! grep -q 'leaves its session' "$top/said" || skip 'no v2 group here'
	run -3 confined -- /bin/sh -c 'setsid sleep 1000 & exit 3'
	assert_equal "$(davit_processes)" ''
}

# Starts $davit_pid with the command's output in $top/out, once it says "up".
start_background()
{
	"${as[@]}" "$top/davit" run -q --best-effort "$@" \
		>"$top/out" 2>/dev/null 3>&- &
	davit_pid=$!
	SECONDS=0
	until grep -q up "$top/out"; do
		[ $SECONDS -lt 60 ] || fail 'it does not start'
		kill -0 "$davit_pid" || fail 'it ended'
		sleep 0.02
	done
}

@test "kill -9 of davit ends the command; the next davit removes the rest" {
	start_background -- /bin/sh -c \
		'trap "" HUP TERM INT; echo up; while :; do read x; done' <<<''
	kill -9 "$davit_pid"
	wait "$davit_pid" || :
	soon none_here
	[ -n "$(davit_rundir_left)" ]
	run -0 confined -- true
	assert_equal "$(davit_rundir_left)" ''
}

@test "a signal to davit is the command's; stop has a grace" {
	start_background --stop-timeout 0.2 -- /bin/sh -c \
		'trap "exit 9" USR1; echo up; while :; do sleep 0.05; done'
	kill -USR1 "$davit_pid"
	status=0
	wait "$davit_pid" || status=$?
	assert_equal "$status" 9
	run -124 confined --timeout 0.1 --stop-timeout 0.1 -- \
		/bin/sh -c 'trap "" TERM; while :; do sleep 0.05; done'
}

@test "what fails after the start ends it" {
	run -125 confined --info-fd 9 -- \
		/bin/sh -c 'sleep 1000 & sleep 1000' 9>/dev/full
	grep -q 'write to the info descriptor: No space' "$top/said"
	assert_equal "$(davit_rundir_left)" ''
	assert_equal "$(davit_processes)" ''
}

# kills MODE ROUNDS -- CMD...: as in kill.bats.
kills()
{
	cp "$LIBDAVIT/killer" "$top/killer"
	run "${as[@]}" "$top/killer" "$1" "$2" "$top/davit" run -q \
		--best-effort "${@:3}"
	[ "$status" != 77 ] || skip "$output"
	assert_success
}

@test "davit killed at every 50 us leaves nothing but its directory" {
	kills step 160 -- sleep 1000
	kills random 30 -- /bin/sh -c 'trap "" HUP TERM INT; while :; do :; done'
	run -0 confined -- true
}

@test "root can become somebody else, who then has no TMPDIR" {
	need_root
	no_namespaces filter -
	chown -R 0:0 "$top/run" "$top/state" "$top/work"
	run -0 confined -u "$ORDINARY:1234" -- /bin/sh -c \
		'id -u; id -g; id -G; grep ^CapEff /proc/self/status'
	assert_output "$ORDINARY"$'\n1234\n1234\nCapEff:\t0000000000000000'
	grep -q 'without: a writable TMPDIR' "$top/said"
}

@test "many in a row leave nothing" {
	for i in {1..30}; do
		run -0 confined -- /bin/sh -c 'echo x >$TMPDIR/x; sleep 1000 &'
	done
}
