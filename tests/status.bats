# SPDX-License-Identifier: MIT
# The exit status is the command's own, or says what happened instead.
load lib

setup()
{
	davit_setup
}

teardown()
{
	davit_teardown
}

every_status()
{
	local n status

	for n in $(statuses); do
		status=0
		sandbox -- /bin/sh -c "exit $n" || status=$?
		[ $status = $n ] || fail "exit $n arrived as $status"
	done
}

@test "0 to 255 are passed through" {
	each_user every_status
}

every_signal()
{
	local n status

	# Those that end a process; a core file is of no interest.
	for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 24 25 26 27 29 30 31 \
		34 50 64; do
		status=0
		sandbox --ulimit core=0 -- /bin/sh -c "kill -$n \$\$" ||
			status=$?
		[ $status = $((128 + n)) ] || fail "signal $n: $status"
	done
}

@test "signal n gives 128+n" {
	each_user every_signal
}

@test "a command that exits at once has the right status, 1,000 times" {
	local i status n=1000

	! sanitized || n=250
	for ((i = 0; i < n; i++)); do
		status=0
		sandbox -- /bin/sh -c "exit $((i % 256))" || status=$?
		[ $status = $((i % 256)) ] ||
			fail "round $i: status $status"
	done
}

timed_out()
{
	local start=$SECONDS

	run -124 sandbox --timeout 200ms -- sleep 100
	run -124 sandbox --timeout 200ms -- /bin/sh -c \
		'trap "exit 3" TERM; sleep 100 & wait'
	# TERM is ignored, KILL is not.
	run -124 sandbox --timeout 100ms --stop-timeout 200ms -- /bin/sh -c \
		'trap "" TERM; while :; do sleep 1; done'
	# Descendants that ignore everything end with it.
	run -124 sandbox --timeout 200ms -- /bin/sh -c \
		'(trap "" TERM HUP; sleep 100) & exec sleep 100'
	[ $((SECONDS - start)) -lt 90 ] || fail 'took too long'
	run -7 sandbox --timeout 1m -- /bin/sh -c 'exit 7'
}

@test "--timeout gives 124" {
	each_user timed_out
}

own_failures()
{
	run -125 davit run
	run -125 davit run --no-such-option -- true
	run -125 davit run -m 12q -- true
	run -125 sandbox -w /no/such/dir -- true
	run -125 sandbox -u no-such-user -- true
	run -125 sandbox --rootfs "$top/none" -- true
	run -2 davit no-such-verb
	run -2 davit
}

@test "davit's own failures and wrong use give 125" {
	each_user own_failures
}

cannot_execute()
{
	run -126 sandbox -- /etc/passwd
	run -126 sandbox -- /etc
	run -126 sandbox -- "$top/work/plain"
	run -126 sandbox -- "$top/work/no-interpreter"
	run -126 sandbox -- "$top/work/garbage"
	PATH=$top/work:$PATH run -126 sandbox -- plain
}

@test "found but not executable gives 126" {
	echo 'echo hi' >plain
	printf '#!/no/such/interpreter\n' >no-interpreter
	printf '\177ELF\001garbage' >garbage
	chmod 755 no-interpreter garbage
	each_user cannot_execute
}

not_found()
{
	run -127 sandbox -- no-such-command
	run -127 sandbox -- /no/such/command
	run -127 sandbox -- ./no-such-command
	run -127 sandbox -- ''
	run -127 sandbox --clear-env -e PATH= -- no-such-command
	run -127 sandbox --clear-env -e PATH=/none:/etc -- sh
}

@test "not found gives 127" {
	each_user not_found
}

@test "a command that is found later in PATH is not hidden by an earlier file" {
	mkdir a b
	echo none >a/tool
	printf '#!/bin/sh\nexit 9\n' >b/tool
	chmod 755 b/tool
	PATH=$PWD/a:$PWD/b:$PATH run -9 sandbox -- tool
}

@test "the status of the command counts, not that of its children" {
	run -5 sandbox -- /bin/sh -c '(exit 3) & (kill -9 $BASHPID) & exit 5'
	run -0 sandbox -- /bin/sh -c 'sleep 1000 & exit 0'
}

@test "SIGCHLD that the caller ignores does not lose the status" {
	run -33 "$PYTHON" -c '
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])' "$top/davit" run -q -- /bin/sh -c 'exit 33'
}

@test "signals that the caller blocks or ignores are not passed on to the command" {
	run -0 "$PYTHON" -c '
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
for n in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGALRM, signal.SIGUSR2):
    signal.signal(n, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])' "$top/davit" run -q -- \
		grep -E '^Sig(Blk|Ign):' /proc/self/status
	assert_line --regexp '^SigBlk:.0000000000000000$'
	assert_line --regexp '^SigIgn:.0000000000000000$'
}
