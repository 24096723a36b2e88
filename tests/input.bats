# SPDX-License-Identifier: MIT
# Wrong input: one clear line, the right status, and nothing is left behind or
# was started.
load lib

setup()
{
	davit_setup
}

teardown()
{
	[ ! -e "$top/work/ran" ] || { echo 'the command ran'; return 1; }
	davit_teardown
}

wrong_words()
{
	local ran=$top/work/ran

	refused 125 'unknown option --nope' run --nope -- touch "$ran"
	refused 125 'unknown option -Z' run -Z -- touch "$ran"
	refused 125 'no command' run
	refused 125 'no command' run --
	refused 125 'timeout' run --timeout
	refused 125 'takes no value' run --quiet=yes -- touch "$ran"
	refused 125 '"12q" is not a size' run -m 12q -- touch "$ran"
	refused 125 'is not a size' run -m -1 -- touch "$ran"
	refused 125 'is not a size' run -m '' -- touch "$ran"
	refused 125 'is not a size' run -m 99999999999999999999g -- touch "$ran"
	refused 125 'processors' run -c none -- touch "$ran"
	refused 125 'processors' run -c 0 -- touch "$ran"
	refused 125 'number from' run --pids-limit 0 -- touch "$ran"
	refused 125 'number from' run --io-weight 10001 -- touch "$ran"
	refused 125 'is not a time' run --timeout soon -- touch "$ran"
	refused 125 'is not a time' run --timeout -5 -- touch "$ran"
	refused 125 'is not a signal' run --stop-signal NONE -- touch "$ran"
	refused 125 'a network' run --net bridge -- touch "$ran"
	refused 125 'a boundary' run --in space -- touch "$ran"
	refused 125 'unknown capability' run --cap-add fly -- touch "$ran"
	refused 125 'unknown user nobody-here' run -u nobody-here -- touch "$ran"
	refused 125 'empty' run -u '' -- touch "$ran"
	refused 125 'exit, eof or a time' run --drain never -- touch "$ran"
	refused 125 'hostname' run --hostname "$(printf %65s | tr ' ' x)" -- \
		touch "$ran"
	refused 125 'not absolute' run -w relative -- touch "$ran"
	refused 125 'name' run -e =value -- touch "$ran"
	refused 125 'descriptor' run --info-fd 99 -- touch "$ran"
	refused 125 'descriptor' run --record fd:99 -- touch "$ran"
}

@test "wrong options and values" {
	each_user wrong_words
}

missing_things()
{
	local ran=$top/work/ran

	refused 125 'rootfs .*/none: No such file' run --rootfs "$top/none" -- \
		touch "$ran"
	refused 125 'Not a directory' run --rootfs /etc/passwd -- touch "$ran"
	refused 125 'needs --rootfs' run --in container -- touch "$ran"
	refused 125 'volume source .*/none: No such file' \
		run -v "$top/none:/x" -- touch "$ran"
	refused 125 'No such file' run -W "$top/none" -- touch "$ran"
	refused 125 'names no place' run -v "$top" -- touch "$ran"
	refused 125 'not an absolute' run -v "$top:x" -- touch "$ran"
	refused 125 'cannot be replaced' run -v "$top:/" -- touch "$ran"
	refused 125 'working directory /none' run -w /none -- touch "$ran"
	refused 125 'Read-only file system' run -v "$top:/usr/none/x" -- \
		touch "$ran"
	refused 125 'none: No such file' run --env-file "$top/none" -- touch "$ran"
	refused 125 'profile.*none: No such file' \
		run --seccomp "$top/none" -- touch "$ran"
}

@test "files and directories that are not there" {
	each_user missing_things
}

without_command()
{
	refused 127 'exec no-such: No such file' run --rootfs "$top/root" -- no-such
	refused 127 'exec /bin/no-such: No such file' \
		run --rootfs "$top/root" -- /bin/no-such
	refused 126 'exec /etc/passwd: Permission denied' \
		run --rootfs "$top/root" -- /etc/passwd
	refused 126 'exec /bin/script: No such file' \
		run --rootfs "$top/root" -- /bin/script
	[[ ${stderr_lines[1]} == *interpreter* ]]
	mkdir -p "$top/work/empty"
	refused 127 'exec /bin/sh' run --rootfs "$top/work/empty" -- /bin/sh
	assert_equal "$(ls -A "$top/work/empty")" ''
	rmdir "$top/work/empty"
}

@test "a rootfs without the command" {
	make_root "$top/root"
	printf '#!/bin/no-such\n' >"$top/root/bin/script"
	chmod 755 "$top/root/bin/script"
	each_user without_command
}

unreadable()
{
	refused 125 'seccomp.*Permission denied' \
		run --seccomp "$top/secret.json" -- touch "$top/work/ran"
	refused 125 'Permission denied' run --env-file "$top/secret.json" -- \
		touch "$top/work/ran"
}

@test "files that may not be read" {
	echo '{}' >"$top/secret.json"
	chmod 000 "$top/secret.json"
	need_user
	unreadable
	back_to_root
}

# profile TEXT: refused with file, line and column.
profile()
{
	printf "$2" >"$top/work/profile.json"
	refused 125 "profile.json:?$1" run --seccomp "$top/work/profile.json" -- \
		touch "$top/work/ran"
}

profiles()
{
	profile '2:7' '{"defaultAction": "SCMP_ACT_ALLOW",\n "a": }'
	profile '1:' '{'
	profile '1:1' ''
	profile '1:' 'nonsense'
	profile '1:' '{"defaultAction": "SCMP_ACT_ALLOW"} trailing'
	profile '.*' '{}'
	profile '.*SCMP_ACT_NOTHING' '{"defaultAction": "SCMP_ACT_NOTHING"}'
	profile '.*' '{"defaultAction": 5}'
	profile '.*' '[]'
	refused 125 'directory' run --seccomp /etc -- touch "$top/work/ran"
}

@test "malformed seccomp profiles, with the position" {
	each_user profiles
}

@test "a deeply nested profile does not end in a crash" {
	"$PYTHON" -c 'print("[" * 100000)' >deep.json
	refused 125 'deep.json' run --seccomp "$PWD/deep.json" -- true
}

env_files()
{
	local ran=$top/work/ran

	printf 'A=1\nB=2\0\n' >"$top/work/env"
	refused 125 'env: line 2: a NUL' run --env-file "$top/work/env" -- \
		touch "$ran"
	printf 'A=1\n\n# fine\n=x\n' >"$top/work/env"
	refused 125 'env: line 4: no name' run --env-file "$top/work/env" -- \
		touch "$ran"
	printf 'A B=1\n' >"$top/work/env"
	refused 125 'env: line 1: a space' run --env-file "$top/work/env" -- \
		touch "$ran"
	refused 125 'directory' run --env-file / -- touch "$ran"
}

@test "malformed env files, with the line" {
	each_user env_files
}

@test "options that contradict each other" {
	make_root "$top/root"
	refused 125 'rootfs' run --rootfs "$top/root" --in process -- true
}

@test "what comes later says so" {
	refused 125 'not in this version' run --vm -- true
	refused 125 'not in this version' run --net user -- true
}

@test "errors as JSON, on one line" {
	run --separate-stderr -125 davit run --json -m 12q -- true
	assert_equal "${#stderr_lines[@]}" 1
	record=$stderr
	assert_equal "$(field error.exit)" 125
	[[ $(field error.message) == *12q* ]]
	run --separate-stderr -127 davit run --json -- $'no-such\n"command'
	record=$stderr
	assert_equal "$(field error.exit)" 127
}

@test "a hostile name in an error stays on its line" {
	run --separate-stderr -127 davit run -- $'no\nsuch\e[31m'
	[ ${#stderr_lines[@]} -le 2 ] || fail "$stderr"
	[[ $stderr != *$'\e'* ]] || fail 'a control character got through'
}

private_rundir()
{
	chmod 777 "$top/run"
	refused 125 'not private' run -- touch "$top/work/ran"
	chmod 700 "$top/run"
	DAVIT_RUNDIR=$top/work/file refused 125 'Not a directory' run -- \
		touch "$top/work/ran"
}

@test "a run directory that others can write to is refused" {
	touch file
	each_user private_rundir
}

@test "somebody else's run directory is refused" {
	need_root
	need_user
	chown 1234 "$top/run"
	chmod 755 "$top/run"
	refused 125 'run directory|Permission' run -- touch "$top/work/ran"
	chown 0:0 "$top/run"
	chmod 700 "$top/run"
	back_to_root
}

@test "thousands of options and long words" {
	local args=() i long

	for ((i = 0; i < 2000; i++)); do
		args+=(-e "V$i=$i")
	done
	run -0 sandbox "${args[@]}" -- /bin/sh -c 'echo $V0 $V1999'
	assert_output '0 1999'
	long=$(printf %5000s | tr ' ' x)
	refused 125 'long' run -v "/$long:/x" -- true
	refused 125 'long' run -w "/$long" -- true
	run -127 sandbox -- "$long"
	# As much as one argument may have.
	run -0 sandbox -- /bin/sh -c 'echo ${#1}' sh \
		"$(head -c 131000 /dev/zero | tr '\0' x)"
	assert_output 131000
}

@test "a rootfs that contains RUNDIR says what is wrong" {
	refused 125 'overlay on .*Invalid' run --rootfs / -- true
	[[ ${stderr_lines[1]} == *"davit's own directory"* ]] || fail "$stderr"
}
