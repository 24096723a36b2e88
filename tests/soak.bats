# SPDX-License-Identifier: MIT
# Thousands of starts, 8 at a time (bench/storm.c), and then nothing may be
# left: no process, zombie, cgroup, mount or file. SOAK is how many starts;
# `make soak` asks for 10,000.
bats_require_minimum_version 1.5.0
load lib

setup()
{
	storm=$LIBDAVIT/bench/storm
	n=${SOAK:-1000}
	! sanitized || n=$((n / 4))
	top=$(mktemp -d "${TMPDIR:-/tmp}/davit-soak.XXXXXX")
	# Somebody else has to be able to get in here, too.
	chmod 755 "$top"
	mkdir -m 700 "$top/run" "$top/state"
	export DAVIT_RUNDIR=$top/run DAVIT_STATEDIR=$top/state
	# What is started below carries this in its environment; children of
	# children as well, unless they are given another one.
	mark=DAVIT_SOAK=$top
	davit=$DAVIT
	as=()
}

teardown()
{
	rm -rf "$top"
}

# Processes of this soak that still run; init and helpers are forks of davit
# and show its environment. A zombie has none: see zombies().
marked()
{
	grep -lsz -- "^$mark\$" /proc/[0-9]*/environ | wc -l
}

# Dead children that davit left to the machine's PID 1, which may need seconds
# to take them; one a line, by number and time of birth.
zombies()
{
	cat /proc/[0-9]*/stat 2>/dev/null |
		awk '$3 == "Z" && $4 == 1 && $2 ~ /davit/ { print $1, $22 }' |
		sort
}

# Those of $1 that are still there: others may run davit at the same time.
zombies_left()
{
	comm -12 <(echo "$1") <(zombies)
}

# All that a start could leave behind and that is there at once. What happened to
# those that lived for a moment is told in the events, on purpose.
inventory()
{
	awk '{ print "mount", $5, $(NF - 2) }' /proc/self/mountinfo | sort
	(cd "$top" && find run state ! -path "run/events*" | sort)
}

nothing_runs()
{
	[ "$(marked)" = 0 ]
}

no_zombies()
{
	[ -z "$(zombies_left "$1")" ]
}

# same BEFORE: nothing is more or less than that. What others do on this machine
# comes and goes.
same()
{
	diff <(echo "$1") <(inventory)
}

# soak STARTS [OPTION...]: the storm, and the comparison.
soak()
{
	local starts=$1 before old_zombies

	shift
	# The first start may make what all others use.
	env "$mark" "${as[@]}" "$davit" run -q "$@" -- /bin/sh -c 'exit 0'
	before=$(inventory)
	groups_before=$(davit_groups)
	old_zombies=$(zombies)
	run env "$mark" "${as[@]}" "$storm" -n "$starts" -j 8 \
		"$davit" run -q "$@" --
	assert_success
	echo "# $output" >&3
	soon nothing_runs
	soon no_zombies "$(comm -13 <(echo "$old_zombies") <(zombies))"
	assert_equal "$(davit_lasting_groups)" ''
	soon same "$before"
}

make_root()
{
	local name busybox

	busybox=$(command -v busybox) || skip 'there is no busybox'
	! ldd "$busybox" >/dev/null 2>&1 || skip 'busybox is not static'
	mkdir -p "$top/root"/{bin,dev,proc,sys,tmp}
	cp "$busybox" "$top/root/bin/busybox"
	for name in sh kill; do
		ln -s busybox "$top/root/bin/$name"
	done
}

@test "process sandboxes: every status is right and nothing is left" {
	soak "$n"
}

@test "containers: every status is right and nothing is left" {
	make_root
	soak $((n / 4)) --rootfs "$top/root"
}

@test "an ordinary user: every status is right and nothing is left" {
	[ "$(id -u)" = 0 ] || skip 'needs root, to become somebody else'
	# The build may lie where others cannot look.
	cp "$davit" "$storm" "$top"
	davit=$top/davit
	storm=$top/storm
	as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	chown 65534:65534 "$top/run" "$top/state"
	cd /
	"${as[@]}" unshare -Ur true 2>/dev/null ||
		skip 'no user namespaces for ordinary users'
	soak $((n / 4))
}

@test "a program that starts one after the other does not grow" {
	run -0 "$LIBDAVIT/longlived" $((n / 2))
	echo "# $output" >&3
}
