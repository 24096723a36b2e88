# SPDX-License-Identifier: MIT
# Limits: what they stop, what the record says, and what is said where they
# cannot be had.
load lib

setup()
{
	davit_setup
}

teardown()
{
	davit_teardown
}

# recorded OPTION... -- CMD...: $record is the exit record, $status the status.
recorded()
{
	status=0
	sandbox --record "$top/work/record" "$@" || status=$?
	record=$(cat "$top/work/record")
}

# The limit is there or the test says why it cannot be.
need_limit()
{
	run sandbox "$@" -- true
	[ "$status" = 0 ] || skip "${lines[0]}"
}

@test "a fork bomb under --pids-limit 64 is contained, and the record says so" {
	need_limit --pids-limit 64
	# Where there is little of a processor it takes longer to come so far.
	for time in 2s 20s 60s; do
		recorded --pids-limit 64 --timeout $time --stop-timeout 0 -- \
			/bin/sh -c 'bomb() { bomb | bomb & bomb; }; bomb' \
			2>/dev/null >&2
		[ "$(field limits_hit)" = '[]' ] || break
	done
	assert_equal "$(field limits_hit)" '["pids"]'
	[ "$(field pids_refused)" -gt 0 ]
}

@test "--pids-limit allows as many as it says" {
	need_limit --pids-limit 64
	recorded --pids-limit 10 -- "$PYTHON" -c '
import os, sys, time
n = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(100)
        n += 1
except OSError:
    sys.exit(n)'
	[ $status -ge 8 ] && [ $status -le 9 ] || fail "$status children"
	assert_equal "$(field limits_hit)" '["pids"]'
}

@test "1 GiB under -m 64m: the record says oom" {
	need_limit -m 64m
	recorded -m 64m -- "$PYTHON" -c 'x = bytearray(b"x") * (1 << 30)'
	assert_equal $status 137
	assert_equal "$(field oom)" true
	assert_equal "$(field ended_by)" '"oom"'
	assert_equal "$(field signal)" '"SIGKILL"'
	assert_equal "$(field limits_hit)" '["memory"]'
}

@test "a child that is killed for memory is no end of the command" {
	need_limit -m 64m
	recorded -m 64m -- /bin/sh -c \
		"$PYTHON -c 'x = bytearray(b\"x\") * (1 << 30)'; exit 4" 2>&1
	assert_equal $status 4
	assert_equal "$(field oom)" true
	assert_equal "$(field ended_by)" '"exit"'
}

@test "files in /tmp count against -m" {
	need_limit -m 64m
	recorded -m 64m -- /bin/sh -c 'head -c 1G /dev/zero >/tmp/x'
	assert_equal "$(field oom)" true
}

@test "no limit, no word about limits" {
	recorded -- true
	assert_equal "$(field oom)" false
	assert_equal "$(field limits_hit)" '[]'
}

@test "-c gives that much of a processor" {
	need_limit -c 0.2
	recorded -c 0.2 --timeout 1s --stop-timeout 0 -- \
		/bin/sh -c 'while :; do :; done'
	assert_equal $status 124
	used=$(($(field rusage.user_us) + $(field rusage.system_us)))
	# It may have been told late that its second is over.
	wall=$(($(field wall_ns) / 1000))
	[ $used -lt $((wall * 45 / 100)) ] || fail "used $used of $wall us"
}

@test "limits are not put on the caller's own groups" {
	need_limit -m 64m
	run -0 sandbox -m 64m --pids-limit 10 -c 0.5 -- /bin/sh -c \
		'cat /proc/self/cgroup'
	# The groups of the sandbox are the root of what it sees.
	refute_output --partial 'davit-'
}

@test "an io weight is refused where the scheduler ignores it, or works" {
	run --separate-stderr davit run -q --io-weight 200 -- echo ran
	if [ "$status" = 0 ]; then
		assert_output ran
		return
	fi
	assert_equal "$status" 125
	assert_equal "$output" ''
	[[ ${stderr_lines[0]} == 'davit: '*'io weight'* ]]
	run --separate-stderr -0 davit run -q --best-effort --io-weight 200 -- \
		echo ran
	assert_equal "$output" ran
	[[ $stderr == 'davit: without: '*'io weight'* ]]
}

refused_or_works()
{
	run --separate-stderr davit run -q "$@" -- echo ran
	if [ "$status" = 0 ]; then
		assert_equal "$stderr" ''
		return
	fi
	assert_equal "$status" 125
	assert_equal "$output" ''
	[[ ${stderr_lines[0]} == 'davit: limit '* ]] || fail "$stderr"
	[[ ${stderr_lines[1]} == 'hint: '* ]] || fail "$stderr"
	run --separate-stderr -0 davit run -q --best-effort "$@" -- echo ran
	assert_equal "$output" ran
	[[ $stderr == 'davit: without: limit '* ]] || fail "$stderr"
}

@test "an ordinary user: a limit works, or is refused with the reason" {
	need_user
	refused_or_works -m 64m
	refused_or_works --pids-limit 10
	refused_or_works -c 1
	back_to_root
}

@test "best effort says each missing limit once, and is silent otherwise" {
	run --separate-stderr -0 sandbox --best-effort -- echo ran
	assert_equal "$output$stderr" ran
	need_user
	run --separate-stderr -0 sandbox --best-effort -m 64m --pids-limit 9 -- \
		echo ran
	assert_equal "$output" ran
	if [ -n "$stderr" ]; then
		assert_equal "${#stderr_lines[@]}" 2
	fi
	back_to_root
}

@test "where no controller is, limits are refused" {
	need_root
	# A mount namespace of our own, in which no hierarchy is writable.
	run --separate-stderr unshare -m /bin/sh -c '
		for m in $(awk "\$9 ~ /^cgroup/ || \$(NF - 2) ~ /^cgroup/ \
			{ print \$5 }" /proc/self/mountinfo); do
			mount -o remount,ro,bind "$m" || exit 77
		done
		exec "$@"' sh "$top/davit" run -q -m 64m -- echo ran
	[ "$status" != 77 ] || skip 'cannot remount cgroup file systems'
	assert_equal "$status" 125
	assert_equal "$output" ''
	[[ ${stderr_lines[0]} == 'davit: limit memory'* ]] || fail "$stderr"
}

rlimits()
{
	run -0 sandbox --ulimit nofile=64:128 --ulimit core=0 -- \
		/bin/sh -c 'ulimit -Sn; ulimit -Hn; ulimit -c'
	assert_output $'64\n128\n0'
	run -153 sandbox --ulimit core=0 --ulimit fsize=1000 -- "$PYTHON" -c '
import os
os.write(os.open("/tmp/x", os.O_CREAT | os.O_WRONLY), b"x" * 1000)
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
os.write(os.open("/tmp/x", os.O_APPEND | os.O_WRONLY), b"x")'
	# The most that there is: an ordinary user cannot have less than now.
	run -0 sandbox --umask 027 --nice 19 --oom-score-adj 1000 -- \
		/bin/sh -c 'umask; nice; cat /proc/self/oom_score_adj'
	assert_output $'0027\n19\n1000'
}

@test "--ulimit, --umask, --nice, --oom-score-adj" {
	each_user rlimits
	refused 125 'is not a resource' run --ulimit nothing=1 -- true
	refused 125 'is not a limit' run --ulimit nofile=5:4 -- true
	refused 125 'is not a limit' run --ulimit nofile=x -- true
	refused 125 'octal' run --umask 8 -- true
	refused 125 'number from' run --nice 99 -- true
}
