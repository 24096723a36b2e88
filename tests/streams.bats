# SPDX-License-Identifier: MIT
# Standard streams, the log, and other descriptors.
load lib

setup()
{
	davit_setup
}

teardown()
{
	stop_reader
	davit_teardown
}

# One who holds $PWD/fifo open and never reads.
start_reader()
{
	mkfifo fifo
	chmod 666 fifo
	sleep 1000 <>fifo 3>&- &
	reader=$!
}

stop_reader()
{
	[ -n "${reader:-}" ] || return 0
	kill "$reader"
	wait "$reader" || :
	reader=
	rm -f "$top/work/fifo"
}

# ---- stdout and stderr -------------------------------------------------------

apart()
{
	run --separate-stderr -0 sandbox "$@" -- /bin/sh -c \
		'echo out; echo err >&2; echo out2'
	assert_equal "$output" $'out\nout2'
	assert_equal "$stderr" err
}

@test "stderr stays separate" {
	each_user apart
	each_user apart --log "$top/work/log"
}

last_line()
{
	sandbox "$@" -- printf 'a\nb' >out
	printf 'a\nb' | cmp - out
	sandbox "$@" -- true >out
	[ ! -s out ]
}

@test "the last line without newline arrives, and nothing is added" {
	last_line
	last_line --log "$top/log"
}

@test "stdout carries data only, whatever is asked for" {
	run --separate-stderr -0 davit run --json --timing --best-effort \
		-- echo data
	assert_equal "$output" data
}

@test "what is written just before the end arrives, 100 times" {
	local i

	for ((i = 0; i < 100; i++)); do
		assert_equal "$(sandbox --log "$top/log" -- /bin/sh -c \
			"echo $i; kill -9 \$\$" || :)" "$i"
	done
}

@test "a closed stdin, stdout or stderr is /dev/null inside" {
	sandbox -- /bin/sh -c 'read x; echo "status $?"' <&- >out
	assert_equal "$(cat out)" 'status 1'
	sandbox -- /bin/sh -c \
		'x=$(readlink /proc/$$/fd/1); echo $x >&2' >&- 2>err
	assert_equal "$(cat err)" /dev/null
	sandbox -- /bin/sh -c 'readlink /proc/self/fd/2' 2>&- >out
	assert_equal "$(cat out)" /dev/null
}

@test "a stdout that is full: said, and no success" {
	run -125 --separate-stderr into_full --log log -- echo hi
	assert_equal "$stderr" 'davit: write to stdout: No space left on device'\
'; output is lost'
	assert_equal "$(cat log)" hi
	run -3 --separate-stderr into_full --log log -- \
		/bin/sh -c 'echo hi; exit 3'
	for args in --help version help 'help run' doctor; do
		# shellcheck disable=SC2086 # words
		run -1 --separate-stderr davit_into_full $args
		assert_equal "$stderr" \
			'davit: write to stdout: No space left on device'
	done
}

into_full()
{
	sandbox "$@" >/dev/full
}

davit_into_full()
{
	davit "$@" >/dev/full
}

# ---- readers and writers that stop --------------------------------------------

slow_reader()
{
	# The writer of stdout blocks; stderr and the command's end do not.
	start_reader
	sandbox "$@" --timeout 200s -- /bin/sh -c \
		'(yes | head -c 1000000) & echo fine >&2' >fifo 2>err
	stop_reader
	assert_equal "$(cat err)" fine
}

@test "a reader that stops reading only stops its own stream" {
	local pid

	SECONDS=0
	slow_reader
	[ $SECONDS -lt 150 ] || fail 'it waited'
	# Here davit holds bytes that it cannot get rid of before the reader
	# goes: of 100,000 that is given 64 KiB.
	start_reader
	: >err
	"$top/davit" run -q --log "$top/log" --drain exit -- /bin/sh -c \
		'head -c 100000 /dev/zero; echo fine >&2' >fifo 2>err 3>&- &
	pid=$!
	soon grep -q fine err
	stop_reader
	wait $pid || :
}

lines()
{
	[ "$(wc -l <"$1")" = "$2" ]
}

# All that davit, process $1, started has ended, and davit knows.
childless()
{
	[ -z "$(cat "/proc/$1/task/$1/children")" ]
}

@test "a relayed stdout that nobody reads does not stop stderr; TERM ends the wait" {
	local keeper status=0

	start_reader
	touch err
	"$top/davit" run -q --log "$top/log" --drain exit -- /bin/sh -c '
		head -c 100000 /dev/zero; yes | head -c 1000000 & i=0
		while [ $i -lt 1000 ]; do echo line $i >&2; i=$((i + 1)); done
		echo end >&2; exit 6' >fifo 2>err 3>&- &
	keeper=$!
	# Of the first 100,000 bytes the reader is given 64 KiB.
	soon lines err 1001
	# While the command runs TERM is the command's.
	soon childless $keeper
	# There are bytes that the reader has not taken; they are not thrown
	# away unless somebody says so.
	sleep 0.3
	kill -0 $keeper || fail 'it did not wait for the reader'
	kill $keeper
	soon gone $keeper || fail 'TERM does not end it'
	wait $keeper || status=$?
	assert_equal $status 6
}

sigpipe()
{
	# 141 is 128 + SIGPIPE, as it is without davit.
	"${as[@]}" bash -c '"$@" | head -n 1 >/dev/null
		exit ${PIPESTATUS[0]}' bash "$top/davit" run -q "$@" -- yes
}

@test "a reader that goes away: the writer gets SIGPIPE" {
	run -141 sigpipe
	run -141 sigpipe --log "$top/log"
	need_user
	run -141 sigpipe
	back_to_root
}

@test "a stdin that ends is seen as its end" {
	assert_equal "$(printf 'a\nb' | sandbox -- wc -c)" 3
	assert_equal "$(sandbox -- wc -c </dev/null)" 0
}

@test "what the command leaves in stdin is left for the next one" {
	printf 'one\ntwo\n' >in
	{
		sandbox -- /bin/sh -c 'read x; echo $x' >first
		cat >second
	} <in
	assert_equal "$(cat first)" one
	assert_equal "$(cat second)" two
}

# ---- background children --------------------------------------------------------

background()
{
	local start=$SECONDS time=1000.${#who}

	run -0 sandbox -- /bin/sh -c "sleep $time & echo hi"
	assert_output hi
	[ $((SECONDS - start)) -lt 100 ] || fail 'waited for the background'
	# The sleep is gone: davit_teardown() looks, too.
	! runs_here "sleep $time" || fail 'it is left'
}

@test "a background child that holds stdout does not keep davit" {
	each_user background
}

@test "a background child that holds a relayed stdout: --drain" {
	SECONDS=0
	run -0 sandbox --log "$top/log" --drain exit -- \
		/bin/sh -c 'sleep 1000 & echo hi'
	assert_output hi
	run -0 sandbox --log "$top/log" --drain eof -- \
		/bin/sh -c 'sleep 1000 & echo hi'
	assert_output hi
	[ $SECONDS -lt 100 ] || fail 'waited'
}

@test "background children in sessions of their own go, too" {
	run -0 sandbox -- /bin/sh -c '
		setsid sleep 1000 & (setsid setsid sleep 1001 >/dev/null 2>&1 &)
		trap "" HUP; nohup sleep 1002 & sleep 0.1; echo hi'
	assert_line hi
}

# ---- log --------------------------------------------------------------------------

# Checks an index against its log and prints the streams' names, joined.
read_index()
{
	"$PYTHON" -c '
import struct, sys, time
data = open(sys.argv[1], "rb").read()
index = open(sys.argv[1] + ".idx", "rb").read()
assert len(index) % 32 == 0, "torn index"
at, before, names = 0, 0, ""
for i in range(0, len(index), 32):
    offset, ns, length, stream, flags, zero, lost = struct.unpack(
        "<QQIBBHQ", index[i:i + 32])
    assert offset == at, f"gap at {at}"
    assert length > 0 and stream in (1, 2) and flags == 0
    assert zero == 0 and lost == 0
    assert ns >= before and abs(ns / 1e9 - time.time()) < 600
    at, before = at + length, ns
    names += "?oe"[stream]
assert at == len(data), f"index ends at {at} of {len(data)}"
print(names)' "$1"
}

log_bytes()
{
	rm -f log log.idx
	printf 'first\0\xff\n' >want
	# The order counts: each waits until the one before has come out.
	sandbox --log "$top/work/log" -- /bin/sh -c \
		'printf "first\0\377\n"; until [ -s out ]; do sleep 0.02; done
		 printf err >&2; until [ -s err ]; do sleep 0.02; done
		 printf last' >out 2>err
	printf 'first\0\377\nerrlast' | cmp - log
	printf 'first\0\377\nlast' | cmp - out
	printf err | cmp - err
	assert_equal "$(read_index log)" oeo
	# A second run appends.
	sandbox --log "$top/work/log" -- printf more >/dev/null
	printf 'first\0\377\nerrlastmore' | cmp - log
	assert_equal "$(read_index log)" oeoo
}

@test "--log keeps the exact bytes, with an index" {
	each_user log_bytes
}

@test "--log keeps all of a burst on both streams" {
	sandbox --log "$top/log" -- /bin/sh -c '
		seq 200000 & seq 200000 >&2; wait' >out 2>err
	seq 200000 | cmp - out
	seq 200000 | cmp - err
	assert_equal "$(stat -c %s "$top/log")" \
		$(($(stat -c %s out) + $(stat -c %s err)))
	read_index "$top/log" >/dev/null
}

@test "a log that cannot be written is refused before the start" {
	refused 125 'open log /no/such/log: No such file' \
		run --log /no/such/log -- touch "$top/work/ran"
	refused 125 'not a regular file' run --log /dev/null -- true
	mkdir dir
	refused 125 'dir: Is a directory' run --log "$PWD/dir" -- true
}

@test "a full log says so and loses nothing of the output" {
	need_root
	mkdir small
	mount -t tmpfs -o size=64k tmpfs small || skip 'cannot mount a tmpfs'
	run --separate-stderr -0 sandbox --log "$PWD/small/log" -- seq 100000
	umount -l small
	assert_equal "$(echo "$output" | tail -n 1)" 100000
	assert_equal "$(echo "$output" | wc -l)" 100000
	[[ $stderr == *'No space left'*'bytes of output are not in it'* ]]
}

# ---- other descriptors ---------------------------------------------------------------

# What is open in the command, as another process sees it.
open_inside()
{
	sandbox "$@" -- /bin/sh -c 'ls /proc/$$/fd; :' | tr '\n' ' '
}

only_three()
{
	assert_equal "$(open_inside)" '0 1 2 '
	assert_equal "$(open_inside --log "$top/work/log")" '0 1 2 '
	assert_equal "$(open_inside --timeout 1m 9</etc/passwd 25>&1)" '0 1 2 '
}

@test "only 0, 1 and 2 are open inside" {
	each_user only_three
}

@test "descriptors of containers are just these, too" {
	make_root "$top/root"
	assert_equal "$(open_inside --rootfs "$top/root" 9</etc/passwd)" \
		'0 1 2 '
}

hand_in()
{
	echo nine >nine
	echo eight >eight
	run -0 sandbox --fd 9 -- /bin/sh -c 'cat <&9' 9<nine
	assert_output nine
	run -0 sandbox --fd 9=3 --fd 8=9 -- /bin/sh -c 'cat <&3; cat <&9' \
		9<nine 8<eight
	assert_output $'nine\neight'
	# Swapped: neither may overwrite the other.
	run -0 sandbox --fd 8=9 --fd 9=8 -- /bin/sh -c 'cat <&8; cat <&9' \
		9<nine 8<eight
	assert_output $'nine\neight'
	# The same one twice, under a high number.
	run -0 sandbox --fd 9=700 --fd 9=1023 -- "$PYTHON" -c '
import os
print(os.read(700, 3) + os.read(1023, 9))' 9<nine
	assert_output "b'nine\\n'"
	assert_equal "$(open_inside --fd 9=5 9<nine)" '0 1 2 5 '
}

@test "--fd N=M hands descriptors in" {
	each_user hand_in
}

@test "--fd with bad numbers" {
	refused 125 'is not N or N=M' run --fd x -- true
	refused 125 'is not N or N=M' run --fd 9=2 -- true
	refused 125 'is not N or N=M' run --fd 1 -- true
	refused 125 'descriptor 77: Bad file' run --fd 77 -- true
	refused 125 'used twice' run --fd 0=5 --fd 1=5 -- true
	refused 125 '3 to 1023' run --fd 0=5000 -- true
}
