# SPDX-License-Identifier: MIT
# davit exec, from the keeper's side: what runs beside the first process is as
# confined as that, its streams are its caller's own, and its end is told.
load lib
load keepers

setup()
{
	davit_setup
}

teardown()
{
	local dir

	back_to_root
	for dir in "$top"/state/*/; do
		[ ! -e "$dir" ] || "$top/davit" rm -f "$(basename "$dir")" ||
			rm -rf "$dir"
	done
	keepers_end
	davit_teardown
}

down()
{
	davit rm -f "$@"
}

# number NAME PATH: a number of its inspect tree.
number()
{
	davit inspect --json "$1" "$2" | grep -oE '[0-9]+' | tail -n 1
}

statuses()
{
	local code

	up s
	for code in 0 1 7 125 255; do
		run -"$code" davit exec s -- /bin/sh -c "exit $code"
	done
	run -143 davit exec s -- /bin/sh -c 'kill -TERM $$'
	run -137 davit exec s -- /bin/sh -c 'kill -KILL $$'
	run -127 davit exec s -- no-such-command
	run -127 davit exec s -- /no/such/command
	run -126 davit exec s -- /etc/passwd
	run -124 davit exec --timeout 0.2 s -- sleep 1000
	down s
}

@test "the exit status of what was executed is that of exec" {
	each_user statuses
}

hundred()
{
	local i code bad=0 pids=()

	up many
	for i in $(seq 100); do
		davit exec many -- /bin/sh -c "echo \$PPID $i; exit $i" \
			>"$top/work/out.$i" 3>&- &
		pids[i]=$!
	done
	for i in $(seq 100); do
		code=0
		wait "${pids[i]}" || code=$?
		[ $code = "$i" ] || bad=$((bad + 1))
		[ "$(cat "$top/work/out.$i")" = "0 $i" ] || bad=$((bad + 1))
	done
	rm -f "$top"/work/out.*
	[ $bad = 0 ] || fail "$bad of 100 were wrong"
	# They are all known, none runs, and nothing of them is held.
	soon few_fds many
	down many
}

few_fds()
{
	[ "$(number "$1" keeper/fds)" -lt 40 ]
}

@test "a hundred at once have a hundred statuses and outputs" {
	each_user hundred
}

# What says what a process may do: for the first one and for another.
show='grep -E "^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp.*|Umask):" \
	/proc/self/status
ulimit -a
cat /proc/self/oom_score_adj /proc/self/uid_map /proc/self/mountinfo
for ns in ipc mnt net pid user uts; do readlink /proc/self/ns/$ns; done
sed s/:.*:/:/ /proc/self/cgroup
pwd
env | grep -Ev "^(_|SHLVL|OLDPWD|PWD|DAVIT_.*)=" | sort
ls -di /
nice
hostname
(echo x >/proc/sys/kernel/hostname) 2>&1
unshare -U true 2>&1
true'

confined()
{
	cp "$HELPERS/../lib.bash" "$top/work/" # something to be seen
	davit run -q -d --name like -W "$top/work" "$@" -- /bin/sh -c \
		"{ $show
		} >'$top/work/first' 2>&1; : >'$top/work/ready'; exec sleep 1000"
	soon test -e "$top/work/ready"
	davit exec like -- /bin/sh -c "{ $show
		} >'$top/work/other' 2>&1"
	diff -u "$top/work/first" "$top/work/other" ||
		fail 'it is not confined as the first process is'
	grep -q '^NoNewPrivs:.*1' "$top/work/other"
	down like
	rm -f "$top"/work/*
}

@test "it is confined exactly as the first process is" {
	each_user confined
	each_user confined --net host --umask 027 --ulimit nofile=64:100
	each_user confined --cap-drop ALL --seccomp unconfined --nice 3
	need_root
	chmod 777 "$top/work"
	confined -u 65534:65534 --cap-add net_raw -w /usr
}

@test "it is confined so in a container, too" {
	need_root
	make_root "$top/root"
	up box --rootfs "$top/root"
	run -0 davit exec box -- sh -c 'ls /; id -u; grep -c . /proc/mounts'
	[ "${lines[0]}" = bin ]
	assert_equal "$(davit exec -u 1001:1002 box -- id -u)" 1001
	run -0 davit exec -u 1001:1002 box -- grep Cap /proc/self/status
	assert_line --regexp '^CapPrm:.0+$'
	assert_line --regexp '^CapEff:.0+$'
	run -0 davit exec box -- sh -c 'echo x >/tmp/seen'
	assert_equal "$(davit exec box -- cat /tmp/seen)" x
	down box
}

streams()
{
	up io
	assert_equal "$(echo text | davit exec io -- cat)" text
	assert_equal "$(davit exec io -- cat </dev/null)" ''
	assert_equal "$(davit exec io -- /bin/sh -c 'echo o; echo e >&2' \
		2>&1 >/dev/null)" e
	# The file itself is the command's: it goes on where that stopped.
	{
		davit exec io -- /bin/sh -c 'echo one'
		echo two
	} >"$top/work/file"
	assert_equal "$(cat "$top/work/file")" $'one\ntwo'
	# What stays behind keeps its streams, and exec does not wait for it.
	davit exec io -- /bin/sh -c 'sleep 1000 & echo done' >"$top/work/file"
	assert_equal "$(cat "$top/work/file")" done
	rm "$top/work/file"
	down io
}

@test "its streams are those of its caller, to the last byte" {
	each_user streams
}

@test "a gigabyte goes through without the keeper" {
	local before after small

	up big
	# What two commands cost it, which carry nothing.
	before=$(number big keeper/cpu_us)
	davit exec big -- true
	davit exec big -- true
	small=$(($(number big keeper/cpu_us) - before))
	before=$(number big keeper/cpu_us)
	assert_equal "$(davit exec big -- head -c 1073741824 /dev/zero |
		wc -c)" 1073741824
	assert_equal "$(head -c 1073741824 /dev/zero |
		davit exec big -- wc -c)" 1073741824
	after=$(number big keeper/cpu_us)
	# To relay it would take some hundred milliseconds, and more where two
	# commands take more than a few.
	[ $((after - before)) -lt $((60000 + 3 * small)) ] ||
		fail "the keeper used $((after - before)) us, $small for nothing"
	down big
}

# holds_not PID DEV:INODE: no descriptor of PID is that file.
holds_not()
{
	! find "/proc/$1/fd" -mindepth 1 -exec stat -Lc %d:%i {} + \
		2>/dev/null | grep -xF "$2"
}

@test "the keeper holds none of its streams" {
	local keeper inode line pid

	mkfifo "$top/work/fifo"
	up held
	keeper=$(number held keeper/pid)
	davit exec held -- /bin/sh -c 'echo on; exec sleep 1000' \
		>"$top/work/fifo" 3>&- &
	pid=$!
	exec 9<"$top/work/fifo"
	read -r line <&9
	assert_equal "$line" on
	inode=$(stat -Lc %d:%i "/proc/$$/fd/9")
	# The command may be faster than its keeper.
	soon holds_not "$keeper" "$inode"
	kill $pid
	wait $pid || :
	exec 9<&-
	down held
}

@test "a client that goes leaves what it started" {
	local pid

	up stays
	"$top/davit" exec stays -- /bin/sh -c 'echo on; exec sleep 998' \
		>"$top/work/out" 3>&- &
	pid=$!
	soon test -s "$top/work/out"
	kill -KILL $pid
	wait $pid || :
	davit top stays | grep -q 'sleep 998'
	rm "$top/work/out"
	down stays
}

@test "it ends with its sandbox, and says so" {
	local pid st=0

	up ends
	davit exec ends -- sleep 1000 3>&- 2>"$top/work/err" &
	pid=$!
	soon eval 'davit top ends | grep -c "sleep 1000" | grep -qx 2'
	davit stop -t 0 ends
	wait $pid || st=$?
	[ "$st" = 137 ] || fail "status $st"
	rm "$top/work/err"
	run ! davit exec ends -- true
	down ends
}

@test "what is not allowed in a state is refused with what to do" {
	up state
	can_pause state
	davit pause state
	run --separate-stderr ! davit exec state -- true
	[[ $stderr =~ paused ]] || fail "$stderr"
	[[ $stderr =~ resume ]] || fail "$stderr"
	davit resume state
	davit exec state -- true
	down state
}

@test "a directory that was replaced by a way out leads nowhere" {
	local n

	mkdir "$top/work/dir"
	up trap -W "$top/work" -w "$top/work/dir"
	for n in $(seq 3 60); do
		davit exec trap -- /bin/sh -c "cd / && rm -rf '$top/work/dir' &&
			ln -s /proc/self/fd/$n '$top/work/dir'" ||
			fail "it was entered by descriptor $n"
		run davit exec trap -- /bin/sh -c 'ls ..'
		[ "$status" = 125 ] || fail "descriptor $n: $output"
		rm "$top/work/dir"
		mkdir "$top/work/dir"
	done
	rmdir "$top/work/dir"
	down trap
}

@test "who may trace in a sandbox cannot reach one that is being placed" {
	local i

	davit run -q -d --name s --cap-add sys_ptrace --oom-score-adj 500 \
		-v "$HELPERS/newborn.py:/newborn.py:ro" --tmpfs /w -- \
		"$PYTHON" /newborn.py /w/stop
	for i in {1..150}; do
		davit exec s -- true
	done
	davit exec s -- touch /w/stop
	run -0 davit wait s
	run -0 davit logs s
	assert_output done
	down s
}

@test "a working directory or program that became a link to our descriptors" {
	local i

	mkdir "$top/work/w"
	davit run -q -d --name s -v "$top/work/w:/w" -- sleep 1000
	for i in {3..12}; do
		ln -sfn "/proc/self/fd/$i" "$top/work/w/l"
		run -125 davit exec -w /w/l s -- /bin/ls -a /w/l/..
		run -127 davit exec s -- /w/l
	done
	down s
}

# attack NAME: what became of the attempt of helpers/ownexe.py.
attack()
{
	# It waits for who never comes: there is time to find it.
	printf '#!/proc/self/exe diag\n' >"$top/work/own"
	chmod 755 "$top/work/own"
	davit run -q -d --name own -v "$top/work:/w" \
		-v "$HELPERS/ownexe.py:/ownexe.py:ro" -- "$PYTHON" /ownexe.py \
		$(stat -c '%d %i' "$top/davit") /w/report
	[ "$1" != upgraded ] || davit upgrade own
	davit wait --for on own >/dev/null
	davit exec -d -q own -- /w/own wait-ready
	davit wait own >/dev/null
	davit rm -f own
	cat "$top/work/report"
	rm "$top/work/report"
}

@test "nobody inside can change the program file of the keeper" {
	local before

	need_root
	unshare -m true 2>/dev/null || skip 'no mounts of our own here'
	before=$(stat -c '%a %s %Y %Z' "$top/davit")
	for how in new upgraded; do
		run -0 attack $how
		assert_line --partial 'got it: '
		assert_line 'got it: '
		assert_equal "$(stat -c '%a %s %Y %Z' "$top/davit")" "$before"
	done
}

# on_read_only DAVIT: a keeper of that, and of its upgrade, is.
on_read_only()
{
	local how pid

	"$1" run -q -d --name own -- sleep 1000 >/dev/null
	for how in new upgraded; do
		[ $how = new ] || "$1" upgrade own
		pid=$("$1" inspect own keeper/pid | tr -dc 0-9)
		"$PYTHON" -c 'import os, sys
fd = os.open(f"/proc/{sys.argv[1]}/exe", os.O_RDONLY)
sys.exit(not os.fstatvfs(fd).f_flag & os.ST_RDONLY)' "$pid" || echo "not $how"
	done
	"$1" rm -f own >/dev/null
}

@test "its program file is read-only to it also where that is a mount" {
	need_root
	unshare -m true 2>/dev/null || skip 'no mounts of our own here'
	touch "$top/work/davit"
	run -0 unshare -m --propagation private env PYTHON="$PYTHON" bash -ec "
		$(declare -f on_read_only)
		mount --bind '$top/davit' '$top/work/davit'
		on_read_only '$top/work/davit'
		on_read_only '$top/davit'"
	assert_output ''
	rm "$top/work/davit"
}

@test "what was killed for memory is told of that process alone" {
	need_root
	davit run -q -d --name mem -m 64m -- sleep 1000 ||
		skip 'no limit of memory here'
	# A child of a command, which itself goes on.
	davit exec mem -- /bin/sh -c "'$PYTHON' -c 'bytearray(200 << 20)'; :"
	run -137 davit exec --json mem -- /bin/sh -c 'kill -9 $$'
	assert_output --partial '"ended_by":"signal"'
	run -137 davit exec --json mem -- "$PYTHON" -c 'bytearray(200 << 20)'
	assert_output --partial '"ended_by":"oom"'
	run -137 davit exec --json mem -- /bin/sh -c 'kill -9 $$'
	assert_output --partial '"ended_by":"signal"'
	down mem
}
