# SPDX-License-Identifier: MIT
# Environment, users, roots, names, capabilities: what was asked for is there.
load lib

setup()
{
	davit_setup
}

teardown()
{
	davit_teardown
}

# ---- environment ----------------------------------------------------------------

environment()
{
	# A process sandbox has the caller's, byte for byte.
	export PASSED=$'two\nlines =\xff'
	run -0 sandbox -- printenv PASSED
	assert_output "$PASSED"
	run -0 sandbox -e PASSED=other -e NEW=new -e EMPTY= -- /bin/sh -c \
		'echo "$PASSED,$NEW,${EMPTY-unset}"'
	assert_output other,new,
	# A key alone: the caller's value, or nothing.
	unset NOT_THERE
	run -0 sandbox --clear-env -e PASSED -e NOT_THERE -- /usr/bin/env -0
	assert_equal "$output" "PASSED=$PASSED"
	# The last one counts, and there is one only.
	run -0 sandbox --clear-env -e A=1 -e A=2 -- /usr/bin/env
	assert_output A=2
	run -0 sandbox --clear-env -- /usr/bin/env
	assert_output ''
	unset PASSED
}

@test "environment: passed on, set, inherited by name, cleared" {
	each_user environment
}

@test "--env-file" {
	printf '%s\r\n' 'A=1 # not a comment' '# comment' '' '  B="quoted"' >env
	printf 'HOME\nC=no newline' >>env
	HOME=/somewhere run -0 sandbox --clear-env --env-file env -e A=2 -- \
		/usr/bin/env
	assert_output $'A=2\nB="quoted"\nHOME=/somewhere\nC=no newline'
}

@test "a container starts with PATH and HOME, not with the caller's" {
	make_root "$top/root"
	SECRET=x run -0 sandbox --rootfs "$top/root" -- /bin/env
	refute_output --partial SECRET
	refute_output --partial DAVIT
	assert_line HOME=/root || assert_line HOME=/
	assert_line --regexp '^PATH=.*:/bin'
	run -0 sandbox --rootfs "$top/root" -e SECRET=y --clear-env -- /bin/env
	assert_output SECRET=y
	need_root
	run -0 sandbox --rootfs "$top/root" -u bob -- /bin/env
	assert_line HOME=/home/bob
}

@test "arguments and PATH are bytes" {
	run -0 sandbox -- printf '%s|' '' ' ' $'\n' $'\xff\xfe' '--json' '*' '$HOME'
	assert_output "$(printf '%s|' '' ' ' $'\n' $'\xff\xfe' '--json' '*' '$HOME')"
	# What follows the command belongs to it.
	run -0 sandbox echo --json -q -- x
	assert_output '--json -q -- x'
}

# ---- users ------------------------------------------------------------------------

@test "root: users by name and number" {
	need_root
	run -0 sandbox -- id -u
	assert_output 0
	run -0 sandbox -u nobody -- id -un
	assert_output nobody
	run -0 sandbox -u 1234:4321 -- /bin/sh -c 'id -u; id -g; id -G'
	assert_output $'1234\n4321\n4321'
	run -0 sandbox -u nobody:daemon -- id -gn
	assert_output daemon
	run -0 sandbox -u 1234 -- grep -E '^(CapEff|CapPrm|CapBnd|Uid)' \
		/proc/self/status
	assert_output $'Uid:\t1234\t1234\t1234\t1234
CapPrm:\t0000000000000000
CapEff:\t0000000000000000
CapBnd:\t0000000000000000'
	# Files are somebody's, inside as outside.
	mkdir own
	chown 1234 own
	run -0 sandbox -u 1234 -W own -- touch own/file
	assert_equal "$(stat -c %u own/file)" 1234
	run -1 sandbox -u 4321 -W own -- touch own/other
}

@test "root: users of a container are looked up in its files" {
	need_root
	make_root "$top/root"
	run -0 sandbox --rootfs "$top/root" -u bob -- id
	assert_output --partial 'uid=1001(bob) gid=1002'
	assert_output --partial '1007(seven)'
	run -0 sandbox --rootfs "$top/root" -u 1001:seven -- id
	assert_output --partial 'gid=1007(seven)'
	refute_output --partial 1002
	refused 125 'unknown user nobody' run --rootfs "$top/root" -u nobody -- id
	refused 125 'unknown group none' run --rootfs "$top/root" -u bob:none -- id
}

@test "an ordinary user keeps the uid; another one is had or refused" {
	need_user
	run -0 sandbox -- /bin/sh -c 'id -u; id -g; touch /tmp/x; stat -c %u /tmp/x'
	assert_output "$ORDINARY"$'\n'"$ORDINARY"$'\n'"$ORDINARY"
	run -0 sandbox -W "$top/work" -- touch "$top/work/file"
	assert_equal "$(stat -c %u file)" "$ORDINARY"
	run -0 sandbox -u "$ORDINARY" -- id -u
	assert_output "$ORDINARY"
	# Root inside needs ranges that this user does not have.
	grep -q '^nobody:' /etc/subuid 2>/dev/null &&
		{ back_to_root; skip 'nobody has subordinate ids'; }
	run --separate-stderr -125 davit run -q -u 1234 -- touch "$top/work/ran"
	[ ! -e ran ]
	[[ ${stderr_lines[0]} == 'davit: '* ]]
	back_to_root
}

@test "an ordinary user is root in a container" {
	make_root "$top/root"
	need_user
	run -0 sandbox --rootfs "$top/root" -- /bin/sh -c \
		'id -u; touch /new && stat -c %u /new'
	assert_output $'0\n0'
	back_to_root
	[ ! -e "$top/root/new" ]
}

# ---- roots ---------------------------------------------------------------------------

roots()
{
	local before

	# What an ordinary user changes must be his own: one id is mapped.
	[ "$who" = root ] || chown -R "$ORDINARY:$ORDINARY" "$top/root"
	before=$(find "$top/root" | sort)
	run -0 sandbox --rootfs "$top/root" -- /bin/sh -c '
		echo x >/new; rm /etc/group; mkdir /bin/dir; ls /new'
	assert_output /new
	assert_equal "$(find "$top/root" | sort)" "$before"
	run -1 sandbox --rootfs "$top/root:ro" -- touch /new
	assert_output --partial 'Read-only file system'
	run -1 sandbox --rootfs "$top/root" --read-only -- touch /new
	assert_output --partial 'Read-only file system'
	assert_equal "$(find "$top/root" | sort)" "$before"
	run -0 sandbox --rootfs "$top/root:rw" -- touch /tmp/new
	[ -e "$top/root/tmp/new" ]
	rm "$top/root/tmp/new"
	# /proc, /sys and /dev are there, and are not those of the host.
	run -0 sandbox --rootfs "$top/root:ro" -- /bin/sh -c '
		echo $$; [ -c /dev/null ] && [ -d /proc/1 ] && echo x >/dev/null'
	assert_output 2
	# A directory that is missing is made, where one can write.
	run -0 sandbox --rootfs "$top/root" -w /new/dir -- pwd
	assert_output /new/dir
	run -0 sandbox --rootfs "$top/root" -v "$top/work:/a/b/c" -- ls -A /a/b
	assert_output c
	assert_equal "$(find "$top/root" | sort)" "$before"
}

@test "--rootfs DIR, DIR:ro, DIR:rw" {
	make_root "$top/root"
	chmod 1777 "$top/root/tmp"
	each_user roots
}

@test "a rootfs whose name has commas, colons and blanks" {
	local root="$top/a,b c:d\\e"

	make_root "$root"
	run -0 sandbox --rootfs "$root" -- /bin/true
	run -0 sandbox --rootfs "$root:ro" -- /bin/true
}

@test "eight containers of one rootfs at the same time" {
	local i status pids=()

	make_root "$top/root"
	for i in {1..8}; do
		sandbox --rootfs "$top/root" -- /bin/sh -c \
			"echo $i >/same; sleep 0.3; exit \$(cat /same)" 3>&- &
		pids+=($!)
	done
	for i in {1..8}; do
		status=0
		wait "${pids[i - 1]}" || status=$?
		assert_equal $status "$i"
	done
}

read_only()
{
	# Not below what is covered.
	cd /usr
	run -1 sandbox --read-only -- touch /tmp/x
	run -0 sandbox --read-only --tmpfs /tmp --tmpfs /scratch:size=64k -- \
		/bin/sh -c 'touch /tmp/x /scratch/y && stat -c %a /tmp'
	assert_output 1777
	run -1 sandbox --tmpfs /scratch:size=64k -- \
		dd if=/dev/zero of=/scratch/x bs=128k count=1
	assert_output --partial 'No space left'
	cd "$top/work"
}

@test "--read-only and --tmpfs" {
	each_user read_only
}

# ---- names and the network --------------------------------------------------------------

hostnames()
{
	run -0 sandbox --hostname boat -- uname -n
	assert_output boat
	[ "$(uname -n)" != boat ]
}

@test "--hostname" {
	each_user hostnames
	run -0 sandbox --hostname "$(printf %64s | tr ' ' x)" -- uname -n
	assert_output "$(printf %64s | tr ' ' x)"
}

@test "--net host has the host's network, and nothing else of it" {
	run -0 sandbox --net host -- "$PYTHON" -c '
import os
print(os.readlink("/proc/self/ns/net"))'
	assert_output "$(readlink /proc/self/ns/net)"
	run -0 sandbox -- readlink /proc/self/ns/net
	[ "$output" != "$(readlink /proc/self/ns/net)" ]
	run -0 sandbox --net host -- /bin/sh -c 'ls -A /sys /run; echo $$'
	assert_line 2
}

own_namespaces()
{
	local ns

	run -0 sandbox -- /bin/sh -c 'for n in user mnt pid ipc uts net cgroup; do
		readlink /proc/self/ns/$n; done'
	for ns in user mnt pid ipc uts net cgroup; do
		refute_line "$(readlink "/proc/self/ns/$ns")"
	done
	assert_equal "${#lines[@]}" 7
}

@test "every namespace is its own" {
	each_user own_namespaces
}

# ---- privileges -----------------------------------------------------------------------------

# capability SET-NAME: as a number.
capabilities()
{
	echo $((16#$(sandbox "$@" -- grep ^CapEff: /proc/self/status | cut -f2)))
}

@test "capabilities: dropped, added, none for other users unless added" {
	need_root
	[ $(($(capabilities) & 1)) = 1 ]
	assert_equal "$(capabilities --cap-drop ALL)" 0
	assert_equal "$(capabilities --cap-drop all --cap-add CAP_CHOWN)" 1
	assert_equal "$(capabilities --cap-add chown --cap-drop chown)" \
		"$(capabilities)"
	assert_equal "$(capabilities -u 1234)" 0
	# 10 is NET_BIND_SERVICE: an ambient one.
	assert_equal "$(capabilities -u 1234 --cap-add net_bind_service)" 1024
	run -0 sandbox --cap-add net_admin -- ip link set lo down
	run -0 sandbox --cap-add sys_admin --seccomp unconfined -- \
		mount -t tmpfs tmpfs /mnt
}

@test "capabilities count inside only" {
	need_root
	# All of them: still no module, no clock, no other namespace.
	run -0 sandbox --cap-add ALL --seccomp unconfined -- /bin/sh -c '
		date -s 2001-01-01 2>&1; mknod /tmp/b b 8 0 2>&1
		nsenter -t 1 -m ls /work 2>/dev/null && echo entered
		sysctl -w vm.drop_caches=1 >/dev/null 2>&1 && echo sysctl; :'
	refute_line entered
	refute_line sysctl
	[ "$(date +%Y)" != 2001 ]
	# The filter keeps mounts as they are, whatever capabilities there are.
	run -0 sandbox --cap-add ALL -- /bin/sh -c '
		mount -o remount,rw,bind "$1"; umount "$1"; touch "$1/x"; :' \
		sh "$top/work"
	[ ! -e "$top/work/x" ]
}

profile_refuses_mkdir()
{
	run -0 sandbox --seccomp "$top/profile.json" -- touch /tmp/x
	run -1 sandbox --seccomp "$top/profile.json" -- mkdir /tmp/y
	assert_output --partial 'Numerical result out of range'
	# From the cache this time.
	run -1 sandbox --seccomp "$top/profile.json" -- mkdir /tmp/y
	assert_output --partial 'Numerical result out of range'
}

@test "--seccomp with a profile" {
	cat >"$top/profile.json" <<-'END'
	{ "defaultAction": "SCMP_ACT_ALLOW",
	  "syscalls": [ { "names": [ "mkdir", "mkdirat", "no_such_call" ],
	    "action": "SCMP_ACT_ERRNO", "errnoRet": 34 } ] }
	END
	each_user profile_refuses_mkdir
}

@test "--seccomp unconfined still has no new privileges" {
	run -0 sandbox --seccomp unconfined -- grep -E '^(Seccomp|NoNewPrivs):' \
		/proc/self/status
	assert_output $'NoNewPrivs:\t1\nSeccomp:\t0'
}
