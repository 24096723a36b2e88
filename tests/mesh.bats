# SPDX-License-Identifier: MIT
# The mesh as a library for other programs: the examples, as they are.
bats_require_minimum_version 1.5.0
load /usr/lib/bats/bats-support/load
load /usr/lib/bats/bats-assert/load
load lib

setup()
{
	davit_setup
	examples=$LIBDAVIT/examples/mesh
	[ -x "$examples/mesh-pool" ] || skip "the examples are not built here"
	export LD_LIBRARY_PATH=$LIBDAVIT
	# A locked host cannot start the helper that looks for leaks.
	export ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
}

teardown()
{
	if [ -n "${pid:-}" ]; then
		kill -KILL "$pid" 2>/dev/null || true
		soon none_here || true
	fi
	davit_teardown
}

# Sets $host to the pid of the host "reader". What is compared is no argument of
# a command here: that would be found, too.
host_runs()
{
	local all

	all=$(davit_processes)
	host=
	[[ $all =~ ([0-9]+)\ \([^\ ]*mesh-fdpass\ reader ]] || return 1
	host=${BASH_REMATCH[1]}
}

@test "the examples are short" {
	for f in "$SRC"/examples/mesh/*.c; do
		[ "$(wc -l <"$f")" -lt 80 ]
	done
}

@test "ping-pong: a thousand balls come back" {
	run -0 "$examples/mesh-pingpong"
	assert_output "1000 balls came back"
}

@test "a pool of locked workers computes, and opens nothing" {
	run "$examples/mesh-pool"
	[[ $output != *landlock* ]] || skip "no landlock in this kernel"
	assert_success
	assert_output "sum 506, 12 of 12 opens refused "
}

@test "a file is read by a host that got its descriptor" {
	printf 'a\nb\nc\n' >"$top/file"
	run "$examples/mesh-fdpass" "$top/file"
	[[ $output != *landlock* ]] || skip "no landlock in this kernel"
	assert_success
	assert_output "3 lines"
}

@test "the examples work with stdio closed" {
	run -0 bash -c '"$1" <&- 2>&- ' - "$examples/mesh-pingpong"
	assert_output "1000 balls came back"
	run -0 bash -c '"$1" <&- >&- 2>&-' - "$examples/mesh-pingpong"
}

@test "nothing of a program is left when it is killed" {
	# It launches its host, then waits for somebody to write.
	mkfifo "$top/never"
	"$examples/mesh-fdpass" "$top/never" 3>&- &
	pid=$!
	soon host_runs
	kill -KILL $pid
	wait $pid || true
	soon none_here
}

@test "a signal for the terminal's group does not reach the hosts" {
	mkfifo "$top/never"
	"$examples/mesh-fdpass" "$top/never" 3>&- &
	pid=$!
	soon host_runs
	[ "$(ps -o sid= -p "$host")" -eq "$host" ]
	kill -TERM $pid
	wait $pid || true
	soon none_here
}

@test "a host shows its name, and no secret in its environment" {
	mkfifo "$top/never"
	"$examples/mesh-fdpass" "$top/never" 3>&- &
	pid=$!
	soon host_runs
	soon grep -q mesh-fdpass "/proc/$host/comm"
	# The program's own name is kept, the host's is its last argument.
	run -0 tr '\0' ' ' <"/proc/$host/cmdline"
	assert_output "$examples/mesh-fdpass reader "
	run -0 grep -z '^DAVIT_MESH' "/proc/$host/environ"
	assert_regex "$output" '^DAVIT_MESH_HOST=3,[0-9a-f]{32}$'
	kill -KILL $pid
	wait $pid || true
	soon none_here
}
