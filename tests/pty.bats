# SPDX-License-Identifier: MIT
# davit on a terminal. Each test is a function of helpers/term.py.
load lib

setup()
{
	davit_setup
	export TERM=xterm
}

teardown()
{
	davit_teardown
}

# term CASE: as whoever we are at the moment.
term()
{
	"${as[@]}" "$PYTHON" "$HELPERS/term.py" "$1" "$top/davit" "$top/work"
	rm -f "$top/work"/*
}

# What an ordinary user runs must be where he can read it.
in_reach()
{
	cp "$HELPERS/term.py" "$top/term.py"
	HELPERS=$top
}

@test "the command has a terminal of its own, with its size" {
	in_reach
	each_user term is_terminal
	each_user term not_the_callers
}

@test "a window that changes is passed on" {
	in_reach
	each_user term size_changes
}

@test "raw mode is restored after every end" {
	term restored
	# Some of these ends were davit's own, by a signal that it cannot take:
	# the next davit cleans up.
	soon cleaned
}

cleaned()
{
	sandbox -- true && [ -z "$(davit_rundir_left)" ]
}

@test "^C and ^\\ reach the command" {
	in_reach
	each_user term interrupt
}

@test "^D is the end of its input" {
	term end_of_file
}

@test "a megabyte pasted at once arrives" {
	term paste
}

@test "output to its last byte" {
	in_reach
	each_user term much_output
	term last_output
}

@test "stderr or stdout elsewhere" {
	term stderr_elsewhere
	term stdout_elsewhere
	term no_tty
}

@test "one line says what isolates, and where the command starts" {
	term note
	term hint
}

@test "--log with a terminal" {
	term logged
}

@test "a terminal that goes away" {
	in_reach
	each_user term hang_up
}

@test "stopped and continued" {
	term stop_and_go_on
}

@test "-t gives a terminal where there is none" {
	run -0 sandbox -t -- sh -c 'test -t 0 && test -t 1 && tty' </dev/null
	assert_output --partial /dev/pts/0
	# Input that is no terminal ends, too.
	run -0 sandbox -t -- cat <<<hello
	assert_output --partial hello
}
