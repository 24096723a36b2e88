# SPDX-License-Identifier: MIT
# Core dumps by the agent under its other name, underhill-dump. What a debugger
# finds in them is what the process, tests/helpers/crashme.c, has.
load lib

setup()
{
	davit_setup
	cp "$AGENT" "$top/underhill-dump"
	dump=$top/underhill-dump
	victim=
}

teardown()
{
	[ -z "$victim" ] || kill -9 "$victim" 2>/dev/null || :
	wait
	davit_teardown
}

# start_victim NAME [MIB]: $victim is its pid; it is in place.
start_victim()
{
	local line

	cp "$LIBDAVIT/$1" "$top/$1"
	program=$top/$1
	rm -f "$top/in" "$top/out"
	mkfifo "$top/in" "$top/out"
	chmod 666 "$top/in" "$top/out"
	"${as[@]}" "$program" "${@:2}" <"$top/in" >"$top/out" 3>&- &
	victim=$!
	exec 7>"$top/in" 8<"$top/out"
	read -r -t 100 -u 8 line
	assert_equal "$line" ready
	n_lines=0
	# Only now it is surely where it answers.
	goes_on
}

# It runs and has lost nothing.
goes_on()
{
	local line

	echo line >&7
	n_lines=$((n_lines + 1))
	read -r -t 100 -u 8 line
	assert_equal "$line" $n_lines
}

end_victim()
{
	goes_on
	exec 7>&-
	wait "$victim"
	victim=
	exec 8<&-
}

# ask COMMAND...: what gdb says to each, with the core.
ask()
{
	local args=()

	command -v gdb >/dev/null || skip 'there is no gdb'
	for command; do
		args+=(-ex "$command")
	done
	run -0 timeout 100 gdb -nx -batch -iex 'set debuginfod enabled off' \
		-iex 'set width 0' "${args[@]}" "$program" "$top/core"
}

# The frames of each thread, with what they were called with.
has_all_frames()
{
	ask 'bt' 'info threads' 'thread apply all bt'
	assert_line --regexp '^#[0-9]+ .*answer_lines \(first=0\)'
	assert_line --regexp '^#[0-9]+ .*main \(argc=1, '
	assert_line --regexp '^#[0-9]+ .*alpha_inner \(depth=8, what=.*"alpha"\)'
	assert_line --regexp '^#[0-9]+ .*alpha_middle \(depth=7\)'
	assert_line --regexp '^#[0-9]+ .*beta_inner \(number=5.25\)'
	assert_line --partial "(LWP $victim)"
	assert_equal "$(grep -c '^Thread [0-9]' <<<"$output")" 3
	# The first thread is the one that a debugger begins with.
	assert_line --regexp "^\\[Current thread is 1 .*$victim"
}

has_all_values()
{
	ask 'p global_variable' 'p counter' 'p heap_text' 'p const_text' \
		'x/s sparse+33554432' 'x/s sparse+67108848' \
		'p sparse[5000000]' 'x/s shared' 'x/s undumpable' \
		'x/s reservation+(1ul<<39)' 'p reservation[12345678901]'
	assert_line '$1 = 24301'
	assert_line '$2 = 1'
	assert_line --regexp '^\$3 = 0x.*"on the heap"'
	assert_line '$4 = "in the program"'
	assert_line --partial '"in the middle"'
	assert_line --partial '"at the end"'
	assert_line '$5 = 0 '"'\\000'"
	assert_line --partial '"shared"'
	assert_line --partial '"far away"'
	assert_line '$6 = 0 '"'\\000'"
	refute_output --partial 'secret-of-crashme'
	refute_output --partial 'Cannot access memory'
}

facts()
{
	"$PYTHON" "$HELPERS/core.py" "$top/core"
}

id_of()
{
	readelf -n "$1" | sed -n 's/.*Build ID: //p'
}

@test 'gdb finds threads, frames, values, files and libraries in the core' {
	start_victim crashme
	"$dump" "$victim" >"$top/core"
	has_all_frames
	has_all_values
	ask 'info auxv' 'info proc mappings' 'info sharedlibrary'
	assert_line --regexp 'AT_PHDR .*0x'
	assert_line --regexp 'AT_EXECFN .*crashme"'
	assert_line --regexp "0x[0-9a-f]+ +0x[0-9a-f]+ .*$program"
	assert_line --regexp '^0x.*Yes.*libc\.so'
	end_victim
}

@test 'gdb finds the same in a static program' {
	start_victim crashme-static
	"$dump" "$victim" >"$top/core"
	has_all_frames
	has_all_values
	end_victim
}

@test 'the core has the build ids of the program and of its libraries' {
	local libc

	command -v readelf >/dev/null || skip 'there is no readelf'
	start_victim crashme
	libc=$(awk '/libc\.so/ { print $6; exit }' "/proc/$victim/maps")
	"$dump" "$victim" >"$top/core"
	run -0 facts
	assert_line "build-id $program $(id_of "$program")"
	assert_line "build-id $libc $(id_of "$libc")"
	end_victim
}

@test 'a terabyte that was reserved and not used costs nothing' {
	start_victim crashme
	"$dump" "$victim" >"$top/core"
	[ "$(stat -c %s "$top/core")" -lt 8000000 ]
	end_victim
}

@test 'the core has the kernel log as its last note, and the notes of threads' {
	need_root
	head -c 0 /dev/kmsg 2>/dev/null || skip 'no kernel log here'
	start_victim crashme
	run --separate-stderr -0 "$dump" -v "$victim"
	[[ $stderr == *'dumping pid='* ]] || fail "$stderr"
	[[ $stderr == *'DEBUG threads stopped n=3'* ]] || fail "$stderr"
	"$dump" "$victim" >"$top/core"
	run -0 facts
	[[ ${lines[-1]} == 'note KMSG 4294967295 '* ]] || [[ $output == \
		*'note KMSG 4294967295 '* ]] || fail "$output"
	assert_equal "$(grep -c '^thread ' <<<"$output")" 3
	assert_equal "$(grep -c '^note CORE 2 512$' <<<"$output")" 3
	end_victim
}

@test 'a process goes on when its dumper is killed half-way' {
	local dumper byte

	start_victim crashme 64
	mkfifo "$top/pipe"
	for at in 1 5000 500000 5000000 30000000; do
		"$dump" "$victim" >"$top/pipe" 2>/dev/null 3>&- &
		dumper=$!
		exec 9<"$top/pipe"
		head -c "$at" <&9 >/dev/null
		grep -q '^State:.t' "/proc/$victim/status"
		kill -9 "$dumper"
		wait "$dumper" || :
		exec 9<&-
		goes_on
	done
	end_victim
}

@test 'a process goes on when the reader of its core goes away' {
	start_victim crashme 64
	run -0 bash -c '
		"$1" "$2" 2>"$3" | head -c 100000 | wc -c
		echo "status ${PIPESTATUS[0]}"' sh "$dump" "$victim" "$top/log"
	assert_line 100000
	assert_line 'status 1'
	grep -q 'ERROR the reader of the core went away' "$top/log"
	end_victim
}

@test 'a stopped process is dumped and stays stopped' {
	start_victim crashme
	kill -STOP "$victim"
	"$dump" "$victim" >"$top/core"
	has_all_frames
	# It stops again when it is let go, which takes a moment.
	soon grep -q '^State:.T' "/proc/$victim/status"
	kill -CONT "$victim"
	end_victim
}

@test 'a core never goes to a terminal' {
	start_victim crashme
	run -1 script -qec "$dump $victim" /dev/null
	assert_output --partial 'a core is not for a terminal'
	assert_output --partial 'hint: '
	[ ${#output} -lt 1000 ]
	end_victim
}

@test 'what cannot be dumped is refused with status 1 and a reason' {
	run --separate-stderr -1 "$dump"
	[[ $stderr == 'Usage: '* ]]
	for arg in 0 -1 x 12x '' '1 2'; do
		run --separate-stderr -1 "$dump" "$arg"
		assert_equal "$output" ''
	done
	run --separate-stderr -1 "$dump" 2147483647
	assert_equal "$output" ''
	[[ $stderr == *'there is no process 2147483647'* ]] || fail "$stderr"
}

@test 'an ordinary user dumps what is his, and nothing else' {
	need_root
	[[ $(cat /proc/sys/kernel/yama/ptrace_scope 2>/dev/null) != [123] ]] ||
		skip 'yama: not everybody may attach'
	as=(setpriv "--reuid=$ORDINARY" "--regid=$ORDINARY" --clear-groups)
	start_victim crashme
	"${as[@]}" "$dump" "$victim" >"$top/core" 2>"$top/log"
	has_all_frames
	end_victim
	run --separate-stderr -1 "${as[@]}" "$dump" $$
	[[ $stderr == *"attach to process $$: Operation not permitted"* ]] ||
		fail "$stderr"
	[[ $stderr == *'hint: it belongs to user 0'* ]] || fail "$stderr"
}
