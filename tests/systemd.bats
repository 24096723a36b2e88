# SPDX-License-Identifier: MIT
# davit as a service: what it tells its manager, what it does with the sockets
# it is given, and the units. No real manager is asked: helpers/manager.py does
# what one does, and systemd-analyze reads files.
load lib

setup()
{
	davit_setup
	mkdir "$top/man"
	chmod 777 "$top/man"
}

teardown()
{
	davit_teardown
}

# managed [OPTION...] -- ARG...: davit ARG... under a manager. $output is what
# it was told, then how davit ended; $stderr is davit's, which is the command's.
managed()
{
	local options=()

	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	rm -rf "$top/man"/*
	run --separate-stderr "${as[@]}" "$PYTHON" "$HELPERS/manager.py" \
		--dir "$top/man" "${options[@]}" -- "$top/davit" "$@"
}

ready='^\["main", "READY=1\\nSTATUS=sandbox [0-9a-f]{16}, command.s pid [0-9]+\\n"\]$'

# The messages and the end: what most tests expect.
told_ready_and_end()
{
	[[ ${lines[0]} =~ $ready ]] || fail "$output$stderr"
	assert_equal "${lines[1]}" \
		"[\"main\", \"STOPPING=1\\nSTATUS=$1\\nEXIT_STATUS=$2\\n\"]"
	assert_equal "${lines[2]}" "[\"exit\", $2]"
	assert_equal ${#lines[@]} 3
}

# ---- telling ----------------------------------------------------------------

told()
{
	managed -- run -- sh -c 'exit 3'
	told_ready_and_end 'exited with 3' 3
	managed -- run -- sh -c 'kill -KILL $$'
	told_ready_and_end 'killed by SIGKILL' 137
}

@test "the manager hears when it runs, and how it ended" {
	each_user told
}

@test "a manager without a path is told, too" {
	managed --abstract -- run -- true
	told_ready_and_end 'exited with 0' 0
}

@test "what was not executed is not ready, and why is told" {
	managed -- run -- no-such-command
	assert_equal "${lines[0]%% *}" '["main",'
	[[ ${lines[0]} == *'ERRNO=2\nSTATUS='*no-such-command* ]] ||
		fail "$output"
	assert_equal "${lines[1]}" '["exit", 127]'
	managed -- run --no-such-option -- true
	[[ ${lines[0]} == *'ERRNO=22\nSTATUS='*no-such-option* ]] ||
		fail "$output"
	assert_equal "${lines[1]}" '["exit", 125]'
	assert_equal ${#lines[@]} 2
}

@test "words of others do not make lines of their own" {
	managed -- run -- $'no\nREADY=1\n\xff'
	[[ ${lines[0]} == *'STATUS='*'no?READY=1??'* ]] || fail "$output"
	assert_equal "${lines[1]}" '["exit", 127]'
}

@test "a time that is over is told" {
	managed -- run --timeout 100ms -- sleep 100
	told_ready_and_end 'killed by SIGTERM, its time was over' 124
}

@test "TERM of the manager ends the command" {
	managed --term -- run -- sleep 100
	told_ready_and_end 'killed by SIGTERM' 143
}

@test "a manager that cannot be reached keeps nothing from running" {
	local where

	for where in /nonexistent/notify relative @davit-nobody vsock:2:1234 \
		/"$(printf 'x%.0s' {1..200})"; do
		managed --set "NOTIFY_SOCKET=$where" -- run -- sh -c 'exit 3'
		assert_equal "$output" '["exit", 3]'
		[[ ${stderr_lines[0]} == 'davit: NOTIFY_SOCKET: '* ]] ||
			fail "$stderr"
		assert_equal ${#stderr_lines[@]} 1
	done
	managed --set NOTIFY_SOCKET= -- run -- true
	assert_equal "$output$stderr" '["exit", 0]'
}

@test "the watchdog is fed while the command runs" {
	managed --set WATCHDOG_USEC=20000 --set WATCHDOG_PID=SELF --fed 5 \
		-- run -v "$top/man:$top/man:ro" -- sh -c \
		"until [ -e $top/man/fed ]; do sleep 0.01; done"
	[ "$(grep -cFx '["main", "WATCHDOG=1\n"]' <<<"$output")" -ge 5 ] ||
		fail "$output"
	managed --set WATCHDOG_USEC=20000 --set WATCHDOG_PID=1 \
		-- run -- sleep 0.1
	told_ready_and_end 'exited with 0' 0
	managed --set WATCHDOG_USEC=soon -- run -- true
	told_ready_and_end 'exited with 0' 0
	assert_equal "$stderr" 'davit: WATCHDOG_USEC: "soon" is no time'
}

# ---- what the command sees --------------------------------------------------

# Variables of the protocol, and descriptors but for those of sh itself.
look='env | grep -E "^(NOTIFY|LISTEN|WATCHDOG)_"; ls /proc/self/fd >&2'

sees_nothing()
{
	managed --fd unix --fd unix --names a:b --set WATCHDOG_USEC=10000000 \
		--ready "for pid in \$(pgrep -P \$MAIN); do
			echo \$pid >>$top/man/pids
			readlink /proc/\$pid/fd/* >>$top/man/fds
		done; touch $top/man/seen" \
		-- run -v "$top/man:$top/man:ro" -- sh -c \
		"$look; until [ -e $top/man/seen ]; do sleep 0.01; done"
	told_ready_and_end 'exited with 0' 0
	# The fourth is the directory that ls reads.
	assert_equal "${stderr_lines[*]}" '0 1 2 3'
	# Init and the command, as they look from outside.
	assert_equal "$(wc -l <"$top/man/pids")" 2
	run -1 grep -F socket: "$top/man/fds"
}

@test "the command and its init have none of the manager's variables or sockets" {
	each_user sees_nothing
}

@test "descriptors for another process are left alone, and not handed on" {
	managed --fd unix --set LISTEN_PID=1 -- run -- sh -c "$look"
	told_ready_and_end 'exited with 0' 0
	assert_equal "${stderr_lines[*]}" '0 1 2 3'
	managed --fd unix --unset LISTEN_PID -- run -- sh -c "$look"
	told_ready_and_end 'exited with 0' 0
	assert_equal "${stderr_lines[*]}" '0 1 2 3'
}

# ---- descriptors that make no sense -----------------------------------------

# senseless TEXT OPTION...: nothing is started, and the manager hears why.
senseless()
{
	local text=$1

	shift
	managed "$@" -- run -- touch "$top/work/ran"
	[[ ${lines[0]} == *'"ERRNO='*"STATUS=$text"* ]] || fail "$output"
	assert_equal "${lines[1]}" '["exit", 125]'
	assert_equal ${#lines[@]} 2
	[[ ${stderr_lines[0]} == "davit: $text"* ]] || fail "$stderr"
	[ ! -e "$top/work/ran" ]
}

@test "announced descriptors that make no sense are refused" {
	senseless 'LISTEN_FDS: ' --fd unix --set LISTEN_FDS=x
	senseless 'LISTEN_FDS: ' --fd unix --set LISTEN_FDS=-1
	senseless 'LISTEN_FDS: ' --fd unix --set LISTEN_FDS=
	senseless 'LISTEN_FDS: 65 descriptors are more than 64' \
		--fd unix --set LISTEN_FDS=65
	senseless 'LISTEN_FDS: 2147483647 descriptors' \
		--fd unix --set LISTEN_FDS=2147483647
	senseless 'LISTEN_FDS: descriptor 4 of 2' --fd unix --set LISTEN_FDS=2
	senseless 'LISTEN_PID: ' --fd unix --set LISTEN_PID=me
	senseless 'LISTEN_FDNAMES: 3 names for 1 descriptors' \
		--fd unix --names a:b:c
}

@test "more sockets to serve than can be are refused" {
	local options=() n

	for n in {1..9}; do
		options+=(--fd unix)
	done
	senseless 'the sandbox is to be served at more than 8 sockets' \
		"${options[@]}"
}

@test "what is no socket to serve is said, and keeps nothing from running" {
	managed --fd null --fd bound --fd dgram --fd inet --names n:b:d:i \
		-- run -- true
	told_ready_and_end 'exited with 0' 0
	assert_equal ${#stderr_lines[@]} 4
	[[ ${stderr_lines[0]} == 'davit: descriptor 3 (n) is not used'* ]] ||
		fail "$stderr"
	[[ ${stderr_lines[3]} == 'davit: descriptor 6 (i) is not used'* ]] ||
		fail "$stderr"
}

# ---- sockets for the command ------------------------------------------------

# A server as others write them: it believes what the protocol says.
server='import os, socket, sys
assert os.environ["LISTEN_PID"] == str(os.getpid())
assert os.environ["LISTEN_FDS"] == "1"
s = socket.socket(fileno=3)
with open(sys.argv[1] + ".tmp", "w") as f:
    f.write(str(s.getsockname()[1]))
os.rename(sys.argv[1] + ".tmp", sys.argv[1])
c, _ = s.accept()
c.sendall(b"hello")'
client='import socket, sys, time
while True:
    try:
        port = int(open(sys.argv[1]).read())
        break
    except FileNotFoundError:
        time.sleep(0.01)
s = socket.create_connection(("127.0.0.1", port))
open(sys.argv[1] + ".got", "wb").write(s.recv(100))'

@test "--fd hands the manager's socket to a command that knows the protocol" {
	echo "$server" >"$top/work/server"
	echo "$client" >"$top/work/client"
	managed --fd inet --names web \
		--ready "$PYTHON $top/work/client $top/work/port" \
		-- run --fd 3 -e LISTEN_FDS=1 -W "$top/work" -- sh -c \
		"LISTEN_PID=\$\$ exec $PYTHON $top/work/server $top/work/port"
	told_ready_and_end 'exited with 0' 0
	assert_equal "$stderr" ''
	assert_equal "$(cat "$top/work/port.got")" hello
}

@test "a socket that --fd hands to the command is no door" {
	managed --fd unix -- run --fd 3=7 -- sh -c 'ls /proc/self/fd >&2'
	told_ready_and_end 'exited with 0' 0
	assert_equal "${stderr_lines[*]}" '0 1 2 3 7'
}

# ---- other doors ------------------------------------------------------------

# Who is at that socket, as the kernel says: "PID UID".
peer='import socket, struct, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
c = s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
print(*struct.unpack("3i", c)[:2])'

serves_door()
{
	echo "$peer" >"$top/work/peer"
	managed --fd unix --names davit --knock --ready "
		$PYTHON $top/work/peer $top/man/door-0 >$top/man/peer
		echo \$MAIN \$(id -u) >$top/man/main
		$top/davit diag unix:$top/man/door-0 exec echo hello \
			>$top/man/out 2>&1
		touch $top/man/seen" \
		-- run "$@" -v "$top/man:$top/man:ro" -- sh -c \
		"until [ -e $top/man/seen ]; do sleep 0.01; done"
	# Who knocked before anybody was there was let in, too.
	[[ $output == *'["answer", "OK '* ]] || fail "$output$stderr"
	assert_equal "${lines[-1]}" '["exit", 0]'
	assert_equal "$stderr" ''
	assert_equal "$(cat "$top/man/peer")" "$(cat "$top/man/main")"
	assert_equal "$(cat "$top/man/out")" hello
}

@test "a socket of the manager is a door, and its peers see the keeper there" {
	each_user serves_door
}

@test "a socket of the manager is a door to a named sandbox" {
	serves_door --name web
	# It is the manager's: we do not remove it.
	[ -S "$top/man/door-0" ]
	davit rm web
}

@test "the door of a manager is for its own user and root only" {
	need_root
	managed --fd unix --names davit --ready "
		chmod 666 $top/man/door-0
		setpriv --reuid=$ORDINARY --regid=$ORDINARY --clear-groups \
			$top/davit diag unix:$top/man/door-0 exec id \
			>$top/man/out 2>&1
		echo \$? >$top/man/status
		touch $top/man/seen" \
		-- run --name web -v "$top/man:$top/man:ro" -- sh -c \
		"until [ -e $top/man/seen ]; do sleep 0.01; done"
	assert_equal "${lines[-1]}" '["exit", 0]'
	[ "$(cat "$top/man/status")" != 0 ]
	run -1 grep -F uid= "$top/man/out"
	davit rm web
}

@test "doors are for the foreground" {
	managed --fd unix -- run -d --name web -- touch "$top/work/ran"
	assert_equal "${lines[-1]}" '["exit", 125]'
	[[ ${stderr_lines[0]} == *'cannot be left behind'* ]] || fail "$stderr"
	[ ! -e "$top/work/ran" ]
}

# ---- the units --------------------------------------------------------------

units()
{
	local kind

	for kind in system user; do
		mkdir -p "$top/units/$kind"
		sed "s|@BINDIR@|$top|g" "$SRC/systemd/$kind/davit@.service.in" \
			>"$top/units/$kind/davit@.service"
		cp "$SRC/systemd/davit@.socket" "$top/units/$kind"
	done
}

# analyzed KIND: what systemd-analyze says about the units of that kind.
analyzed()
{
	mkdir -p -m 700 "$top/runtime"
	# The colon: and where units are usually.
	HOME=$top XDG_RUNTIME_DIR=$top/runtime \
		SYSTEMD_UNIT_PATH="$top/units/$1:" \
		run systemd-analyze "--$1" verify --man=no \
		"$top/units/$1/davit@web.service" \
		"$top/units/$1/davit@web.socket"
}

@test "systemd finds nothing wrong with the units" {
	local kind

	command -v systemd-analyze >/dev/null ||
		skip 'systemd-analyze is not installed: systemd'
	units
	for kind in system user; do
		# Whether it can run here, and whether it would tell.
		cp "$top/units/$kind/davit@.service" "$top/kept"
		echo 'KillMode=maybe' >>"$top/units/$kind/davit@.service"
		analyzed $kind
		[[ $output == *KillMode* || $output == *'Install'* ]] ||
			skip "systemd-analyze cannot be used here: ${lines[0]}"
		cp "$top/kept" "$top/units/$kind/davit@.service"
		analyzed $kind
		assert_equal "$output" ''
		assert_equal $status 0
	done
}

# unit_line KIND KEY: $line is the command of that key, for the instance "web",
# as systemd takes it apart; without the "-" that means it may fail.
unit_line()
{
	mapfile -d '' line < <("$PYTHON" -c '
import re, shlex, sys
unit, key, conf = sys.argv[1:]
text = dict(l.split("=", 1) for l in
            re.sub(r"\\\n", "", open(conf).read()).splitlines())
found = [l.split("=", 1)[1] for l in open(unit) if l.startswith(key + "=")]
assert len(found) == 1, found
for word in found[0].lstrip("-").replace("%i", "web").split():
    words = shlex.split(text[word[1:]]) if word[0] == "$" else [word]
    print(end="".join(w + "\0" for w in words))
' "$top/units/$1/davit@.service" "$2" "$top/web.conf")
}

lines_of_unit()
{
	local start pre stop kind=$1

	cat >"$top/web.conf" <<-END
		DAVIT_ARGS=--stop-signal USR1 -v $top/man:$top/man \\
		        -- sh -c "trap 'exit 7' USR1; echo \\\$\\\$ >$top/man/up; \\
		        while :; do sleep 0.01; done"
	END
	unit_line "$kind" ExecStartPre
	pre=("${line[@]}")
	unit_line "$kind" ExecStart
	start=("${line[@]}")
	unit_line "$kind" ExecStop
	stop=("${line[@]}")
	# The second time there is one that has ended.
	for _ in 1 2; do
		run -0 "${as[@]}" "${pre[@]}"
		assert_equal "$output" ''
		managed --ready "until [ -e $top/man/up ]; do sleep 0.01; done
			${stop[*]} >$top/man/stopped 2>&1" -- "${start[@]:1}"
		told_ready_and_end 'exited with 7, stopped' 7
		assert_equal "$stderr" ''
		# As systemd does it, also when it has ended.
		run -0 "${as[@]}" "${stop[@]}"
	done
	davit rm web
}

@test "the lines of the units start a sandbox, stop it in order, and start it again" {
	units
	lines_of_unit system
	need_user
	lines_of_unit user
	back_to_root
}

@test "what the unit of the system takes away is not missed" {
	local caps unprivileged=(setpriv --no-new-privs)

	need_root
	grep -qx NoNewPrivileges=yes "$SRC/systemd/system/davit@.service.in"
	caps=$(sed -n 's/^CapabilityBoundingSet=~//p' \
		"$SRC/systemd/system/davit@.service.in" |
		tr 'A-Z ' 'a-z\n' | sed 's/^cap_/-/' | paste -sd,)
	[[ $caps == *-sys_module* ]]
	as=("${unprivileged[@]}" "--bounding-set=$caps")
	sandbox -- true
	# Inside is a user namespace of its own: nothing is missing there.
	run -0 sandbox -u nobody --hostname x --cap-add sys_time -- sh -c \
		'id -un; hostname'
	assert_equal "$output" $'nobody\nx'
	make_root "$top/root"
	run -0 sandbox --rootfs "$top/root" -t -- id -u
	assert_equal "${output%$'\r'}" 0
	sandbox --best-effort -m 64m -c 0.5 --pids-limit 10 -- true
}

@test "the units are installed where they are looked for" {
	local file

	command -v meson >/dev/null || skip 'meson is not installed'
	run -0 meson install -C "$LIBDAVIT" --no-rebuild --tags systemd \
		--destdir "$top/inst"
	run -0 find "$top/inst" -type f -path '*/systemd/*' -printf '%P\n'
	assert_equal ${#lines[@]} 4
	for file in system/davit@.service system/davit@.socket \
		user/davit@.service user/davit@.socket; do
		assert_line --partial "/systemd/$file"
	done
	run -0 find "$top/inst" -name davit@.service -exec cat {} +
	assert_line --regexp '^ExecStart=/.*/davit run --name %i \$DAVIT_ARGS$'
	refute_output --partial @BINDIR@
}
