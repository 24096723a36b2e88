# SPDX-License-Identifier: MIT
# kill -9 of everything at every moment: helpers/killer.c does it and looks at
# what is left after each.
load lib

setup()
{
	davit_setup
	cp "$LIBDAVIT/killer" "$top/killer"
}

teardown() { davit_teardown; }

# kills MODE ROUNDS OPTION... -- CMD...
kills()
{
	local mode=$1 rounds=$2

	shift 2
	# It is the kernel's doing; the other build has all the rounds.
	! sanitized || rounds=$((rounds / 3))
	run "${as[@]}" "$top/killer" "$mode" "$rounds" "$top/davit" run -q "$@"
	[ "$status" != 77 ] || skip "$output"
	assert_success
}

@test "davit killed at every 50 us of its first 8 ms leaves nothing" {
	kills step 160 -- sleep 1000
}

@test "davit with limits killed at every 50 us leaves no group" {
	need_root
	kills step 160 -m 64m --pids-limit 50 -- sleep 1000
}

@test "davit killed at any time leaves nothing" {
	kills random 60 -- sh -c 'trap "" HUP TERM INT; sleep 1000 & sleep 1000'
}

@test "davit killed while its command ends leaves nothing" {
	kills random 60 -- sh -c 'setsid sleep 1000 & exit 3'
}

@test "davit of an ordinary user killed at any time leaves nothing" {
	need_user
	kills step 100 -- sleep 1000
	back_to_root
}

@test "davit with a terminal or a rootfs killed at any time leaves nothing" {
	need_root
	kills random 30 -t -- sleep 1000
	kills random 30 --rootfs / -- sleep 1000
}

@test "davit killed while its sandbox is frozen leaves nothing" {
	kills frozen 10 -- sh -c 'echo x; exec sleep 1000'
}

@test "davit killed while its sandbox with limits is frozen leaves nothing" {
	need_root
	kills frozen 10 -m 64m --pids-limit 50 -- \
		sh -c 'echo x; sleep 1000 & sleep 1000'
}

@test "davit stopped, and then killed or not, leaves nothing" {
	kills stop 40 -- sleep 1000
}

@test "init, helper or command killed at any time is noticed" {
	kills child 100 -- sleep 1000
}

@test "init, helper or command of an ordinary user killed is noticed" {
	need_user
	kills child 40 -- sleep 1000
	back_to_root
}

@test "a stopped davit goes on where it was" {
	mkfifo "$top/go"
	# Not the function, whose shell would be what is stopped.
	"$top/davit" run -q -- sh -c 'read x; exit 17' <>"$top/go" 3>&- &
	pid=$!
	wait_for_state "$pid"
	kill -STOP "$pid"
	echo >"$top/go"
	kill -CONT "$pid"
	status=0
	wait "$pid" || status=$?
	assert_equal "$status" 17
}

# Until the sandbox of davit @1 has a directory.
wait_for_state()
{
	SECONDS=0
	while ! compgen -G "$top/run/[0-9a-f]*/lock" >/dev/null; do
		[ $SECONDS -lt 60 ] || fail 'it does not start'
		kill -0 "$1" || fail 'it ended'
		sleep 0.01
	done
}

@test "RUNDIR removed under davit costs nothing" {
	mkfifo "$top/go"
	exec 8<>"$top/go"
	davit run -q -- sh -c 'echo here; read x; exit 18' \
		<&8 >"$top/out" 3>&- 8>&- &
	pid=$!
	SECONDS=0
	until grep -q here "$top/out"; do
		[ $SECONDS -lt 60 ] || fail 'it does not start'
		sleep 0.01
	done
	# What it makes there while it begins is not what this is about.
	until compgen -G "$top/run/*/sock" >/dev/null; do
		[ $SECONDS -lt 120 ] || fail 'it is not served'
		sleep 0.01
	done
	# A file may be added to it even now.
	soon rm -rf "$top/run"
	echo >&8
	exec 8>&-
	status=0
	wait "$pid" || status=$?
	assert_equal "$status" 18
	mkdir -m 700 "$top/run"
}
