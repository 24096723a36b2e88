# SPDX-License-Identifier: MIT
# What the tests of the whole program share. A test file says
#
#	load lib
#	setup() { davit_setup; }
#	teardown() { davit_teardown; }
#
# and its tests then have $top (a directory of their own, 0755), `davit` (run as
# whoever `become` said last) and `each_user FUNCTION`. After every test nothing
# of davit may be left: no process, no control group, no file in RUNDIR.
bats_require_minimum_version 1.5.0
load /usr/lib/bats/bats-support/load
load /usr/lib/bats/bats-assert/load

ORDINARY=65534
# The python of the distribution: another one may lie below a 0700 directory.
PYTHON=/usr/bin/python3
HELPERS=$SRC/tests/helpers

# Is it the build with the sanitizers, where all takes several times as long?
sanitized() { grep -q __asan_init "$DAVIT"; }

# Every exit status; with the sanitizers, where each takes ten times as long,
# every fifteenth.
statuses() { if sanitized; then seq 0 15 255; else seq 0 255; fi; }

davit_setup()
{
	top=$(mktemp -d "${TMPDIR:-/tmp}/davit-test.XXXXXX")
	# The build may lie where others cannot look.
	cp "$DAVIT" "$top/davit"
	mkdir -m 700 "$top/run" "$top/state"
	mkdir "$top/work"
	chmod 755 "$top" "$top/work"
	export DAVIT_RUNDIR=$top/run DAVIT_STATEDIR=$top/state
	# Every process of this test has this in its environment; init and
	# helpers are forks of davit and show davit's.
	export DAVIT_TEST_MARK=$top
	unset DAVIT_LOG NO_COLOR
	cd "$top/work" || return 1
	groups_before=$(davit_groups)
	become root
}

# The last word of every test: what is left?
davit_teardown()
{
	local left=0

	cd / || return 1
	davit_leaks || left=1
	rm -rf "$top"
	return $left
}

davit_leaks()
{
	local left bad=0

	left=$(davit_processes)
	if [ -n "$left" ]; then
		echo "processes are left: $left"
		bad=1
		kill -KILL $(davit_pids) 2>/dev/null || :
	fi
	left=$(davit_rundir_left)
	[ -z "$left" ] || { echo "left in RUNDIR: $left"; bad=1; }
	left=$(find "$top/state" -mindepth 1 ! -path "$top/state/seccomp*")
	[ -z "$left" ] || { echo "left in STATEDIR: $left"; bad=1; }
	left=$(davit_lasting_groups)
	[ -z "$left" ] || { echo "groups are left: $left"; bad=1; }
	return $bad
}

# What is in RUNDIR, but the empty directories that roots are built on, the file
# of the slots when no slot is in use, the events, and an empty list of names.
davit_rundir_left()
{
	find "$top/run" -mindepth 1 ! -path "$top/run/mnt" \
		! -path "$top/run/slots" \
		! -path "$top/run/events*" \
		! -path "$top/run/names" ! -path "$top/run/names/.*" \
		! \( -path "$top/run/mnt/*" -type d -empty \)
	[ ! -e "$top/run/slots" ] || tr -d '\0' <"$top/run/slots"
}

# Processes that carry the mark, but bats itself and what this shell is.
davit_pids()
{
	local file pid

	# grep itself is not to be found.
	for file in $(env -u DAVIT_TEST_MARK grep -lsz -- \
		"^DAVIT_TEST_MARK=$top\$" /proc/[0-9]*/environ); do
		pid=${file#/proc/}
		pid=${pid%/environ}
		# Our own subshells are forks of bats: no mark in their
		# environment, which is what bats was started with.
		[ "$pid" = $$ ] || [ "$pid" = "$BASHPID" ] || echo "$pid"
	done
}

davit_processes()
{
	local pid

	for pid in $(davit_pids); do
		echo "$pid ($(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline"))"
	done
}

# The groups of sandboxes below the group that we are in, in each hierarchy.
davit_groups()
{
	local id controllers path mount

	while IFS=: read -r id controllers path; do
		mount=$(awk -v id="$id" -v c="$controllers" '
			id == 0 && $0 ~ / - cgroup2 / { print $5; exit }
			id != 0 && $0 ~ / - cgroup / && $NF ~ "(^|,)" c "(,|$)" {
				print $5; exit }' /proc/self/mountinfo)
		[ -n "$mount" ] || continue
		find "$mount$path" -type d -name 'davit-*' \
			! -name davit-keeper 2>/dev/null || :
	done </proc/self/cgroup | sort -u
}

# soon COMMAND...: it comes to succeed; a minute is for machines that are slow.
soon()
{
	local until=$((SECONDS + 60))

	until "$@"; do
		[ $SECONDS -lt $until ] || fail "never came true: $*"
		sleep 0.02
	done
}

# runs_here TEXT: is TEXT in the command line of a process of this test?
runs_here()
{
	[[ $(davit_processes) == *"$1"* ]]
}

none_here()
{
	[ -z "$(davit_processes)" ]
}

# gone PID: it has ended, and perhaps PID 1 has not taken note of it yet.
gone()
{
	! grep -qs '^State:.[^ZX]' "/proc/$1/status"
}

# Of the groups that are new, those that stay. Others may run davit at the same
# time: theirs come and go, so only what was there at every look counts.
davit_lasting_groups()
{
	local left until=$((SECONDS + 10))

	left=$(davit_new_groups)
	while [ -n "$left" ] && [ $SECONDS -lt $until ]; do
		sleep 0.1
		left=$(comm -12 <(echo "$left") <(davit_new_groups))
	done
	echo "$left"
}

# Those that are new and not in use by somebody else's sandbox.
davit_new_groups()
{
	local group pid

	comm -13 <(echo "$groups_before") <(davit_groups) |
		while read -r group; do
			[ -e "$group" ] || continue
			# They may all be in groups below.
			pid=$(find "$group" -name cgroup.procs -exec cat {} + \
				2>/dev/null | head -n 1) || :
			[ -z "$pid" ] || grep -qsz -- \
				"^DAVIT_TEST_MARK=$top\$" "/proc/$pid/environ" ||
				continue
			echo "$group"
		done
}

# become root|user: who `davit` is run as. Fails when that cannot be.
become()
{
	who=$1
	as=()
	[ "$1" = user ] || return 0
	as=(setpriv "--reuid=$ORDINARY" "--regid=$ORDINARY" --clear-groups)
	[ "$(id -u)" != 0 ] || chown -R "$ORDINARY:$ORDINARY" "$top/run" \
		"$top/state" "$top/work"
	if [ "$(id -u)" != 0 ]; then
		as=()
	fi
}

back_to_root()
{
	[ "$(id -u)" != 0 ] || chown -R 0:0 "$top/run" "$top/state" "$top/work"
	become root
}

# Whether an ordinary user can have sandboxes here at all.
user_namespaces()
{
	setpriv "--reuid=$ORDINARY" "--regid=$ORDINARY" --clear-groups \
		unshare -Ur true 2>/dev/null
}

# each_user FUNCTION: as root, then as an ordinary user.
each_user()
{
	if [ "$(id -u)" != 0 ]; then
		become user
		"$@"
		return
	fi
	become root
	"$@"
	if ! user_namespaces; then
		echo "# not as an ordinary user: no user namespaces" >&3
		return 0
	fi
	become user
	"$@"
	back_to_root
}

need_root()
{
	[ "$(id -u)" = 0 ] || skip 'needs root'
}

need_user()
{
	[ "$(id -u)" != 0 ] || user_namespaces ||
		skip 'no user namespaces for ordinary users'
	become user
}

# The program, as the user of the moment.
davit()
{
	"${as[@]}" "$top/davit" "$@"
}

# sandbox [OPTION...] [--] CMD...: davit run without the line on stderr.
sandbox()
{
	davit run -q "$@"
}

# refused STATUS REGEX ARG...: one line that says why and perhaps a hint, the
# status, nothing on stdout, and nothing left behind.
refused()
{
	local status=$1 text=$2

	shift 2
	run --separate-stderr -"$status" davit "$@"
	assert_equal "$output" ''
	[[ ${stderr_lines[0]} == 'davit: '* ]] || fail "stderr: $stderr"
	[[ ${stderr_lines[0]} =~ $text ]] || fail "stderr: $stderr"
	[ ${#stderr_lines[@]} -le 2 ] || fail "more than a line: $stderr"
	[ ${#stderr_lines[@]} = 1 ] || [[ ${stderr_lines[1]} == 'hint: '* ]] ||
		fail "no hint: $stderr"
	assert_equal "$(davit_rundir_left)" ''
}

# field NAME: a value of the exit record in $record, as JSON.
field()
{
	"$PYTHON" -c 'import json, sys
v = json.loads(sys.argv[1])
for key in sys.argv[2].split("."):
    v = v[key]
print(json.dumps(v))' "$record" "$1"
}

# make_root DIR: a root directory with a static busybox and two users.
make_root()
{
	local busybox name

	busybox=$(command -v busybox) || skip 'there is no busybox'
	! ldd "$busybox" >/dev/null 2>&1 || skip 'busybox is not static'
	mkdir -p "$1"/{bin,dev,etc,proc,sys,tmp}
	chmod 1777 "$1/tmp"
	cp "$busybox" "$1/bin/busybox"
	for name in sh ls cat id touch echo env pwd hostname ps sleep rm true \
		mount grep stat readlink seq; do
		ln -s busybox "$1/bin/$name"
	done
	printf '%s\n' 'root:x:0:0::/root:/bin/sh' \
		'bob:x:1001:1002::/home/bob:/bin/sh' >"$1/etc/passwd"
	printf '%s\n' 'root:x:0:' 'bobs:x:1002:' 'seven:x:1007:bob' \
		>"$1/etc/group"
}
