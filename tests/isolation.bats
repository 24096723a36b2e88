# SPDX-License-Identifier: MIT
# What a command cannot see, reach or change.
load lib

setup()
{
	davit_setup
}

teardown()
{
	if [ -n "${listener:-}" ]; then
		kill "$listener"
		wait "$listener" || :
	fi
	davit_teardown
}

# ---- processes -----------------------------------------------------------------

processes()
{
	run -0 sandbox -- /bin/sh -c 'echo $$; cd /proc; echo [0-9]*'
	assert_line --index 0 2
	assert_line --index 1 '1 2'
	run -0 sandbox -- /bin/sh -c 'kill -9 -1; kill -9 1; kill -0 1; echo here'
	assert_line here
	# Nobody of the host can be meant: neither by pid nor by parent.
	run -0 sandbox -- "$PYTHON" -c 'import os; print(os.getppid())'
	assert_output 0
	run -1 sandbox -- kill -0 $$
}

@test "no process of the host is visible or can be signalled" {
	each_user processes
}

init_is_silent()
{
	SECRET=do-not-tell run -0 sandbox "$@" -e HOME=/ -e SECRET=x \
		-v "$top/work:/data" -- "$PYTHON" -c '
import os
def read(path):
    try:
        return open(path, "rb").read()
    except OSError as e:
        return e.strerror.encode()
print("cmdline", read("/proc/1/cmdline").replace(b"\0", b"").decode())
print("comm", read("/proc/1/comm").decode().strip())
environ = read("/proc/1/environ")
print("environ", b"do-not-tell" in environ or b"DAVIT" in environ)
for name in ("cwd", "root", "exe", "fd/0"):
    try:
        os.readlink("/proc/1/" + name)
        print("readable:", name)
    except OSError:
        pass'
	assert_line 'cmdline davit-init'
	assert_line 'comm davit-init'
	assert_line 'environ False'
}

@test "init does not tell what davit was told" {
	each_user init_is_silent
	refute_output --partial 'readable:'
	# Not even to one who may look.
	become root
	init_is_silent --cap-add ALL
	init_is_silent --cap-add sys_ptrace --seccomp unconfined
}

# ---- sockets and network ---------------------------------------------------------

# Listens on abstract, path and TCP sockets until it is killed; prints the port.
listen()
{
	"$PYTHON" -c '
import os, signal, socket, sys
keep = []
for name in sys.argv[1:]:
    s = socket.socket(socket.AF_UNIX)
    s.bind(name.replace("@", "\0"))
    s.listen()
    if name[0] != "@":
        os.chmod(name, 0o777)
    keep.append(s)
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen()
print(s.getsockname()[1], flush=True)
signal.pause()' "$@" >port 3>&- &
	listener=$!
	soon [ -s port ]
	port=$(cat port)
}

# What answers: names of unix sockets, or a TCP port.
connect='
import socket, sys
for name in sys.argv[1:]:
    try:
        if name.isdigit():
            socket.create_connection(("127.0.0.1", int(name)), 2)
        else:
            s = socket.socket(socket.AF_UNIX)
            s.connect(name.replace("@", "\0"))
        print("connected to", name)
    except OSError as e:
        print("no", name, e.strerror)'

sockets()
{
	# The listener is there: without it the test would prove nothing.
	run -0 "${as[@]}" "$PYTHON" -c "$connect" "$@" "$port"
	refute_output --partial 'no '
	run -0 sandbox -- "$PYTHON" -c "$connect" "$@" "$port"
	refute_output --partial connected
	# From each directory that holds sockets, too.
	for dir in /tmp /run "$top/run"; do
		cd "$dir"
		run -0 sandbox -- "$PYTHON" -c "$connect" "$@" "$port"
		refute_output --partial connected
		cd "$top/work"
	done
	# With the host's network TCP and abstract sockets are there, paths not.
	run -0 sandbox --net host -- "$PYTHON" -c "$connect" "$@" "$port"
	assert_line "connected to $port"
	refute_output --partial 'connected to /'
}

@test "no socket of the host is connectable" {
	local in_run=/run/davit-test.$$

	need_root
	listen "@$top" "$top/s" "$in_run"
	# $top/run belongs to davit; a directory in /tmp and one in /run.
	each_user sockets "@$top" "$top/s" "$in_run"
	rm "$in_run"
}

network()
{
	# Some kernels put the ends of their tunnels into each new network.
	local all

	all=$(unshare -rn sed -n 's/^ *\([^ :]*\):.*/\1/p' /proc/self/net/dev) ||
		all=lo
	run -0 sandbox -- /bin/sh -c 'cd /sys/class/net && printf "%s\n" *'
	assert_equal "$(sort <<<"$output")" "$(sort <<<"$all")"
	assert_line lo
	# Loopback is up: one can talk to oneself.
	run -0 sandbox -- "$PYTHON" -c '
import socket
for family, address in ((socket.AF_INET, "127.0.0.1"),):
    s = socket.socket(family)
    s.bind((address, 0))
    s.listen()
    socket.create_connection(s.getsockname(), 2)
s = socket.socket()
s.settimeout(2)
try:
    s.connect(("192.0.2.1", 80))
    print("connected")
except OSError as e:
    print(e.strerror)
try:
    socket.socket(40, socket.SOCK_STREAM)
    print("vsock")
except OSError:
    pass'
	assert_output 'Network is unreachable'
}

@test "no network but loopback" {
	each_user network
}

# ---- files --------------------------------------------------------------------------

not_visible()
{
	local path

	for path in "$@"; do
		run -0 sandbox -- /bin/sh -c '[ -e "$1" ] && [ -s "$1" ] &&
			cat "$1" 2>/dev/null; ls -A "$1" 2>/dev/null; :' sh \
			"$path"
		[ -z "$output" ] || [ "$output" = "$path" ] ||
			fail "$path shows: $output"
	done
}

secrets()
{
	mkdir -p "$top/home/.ssh"
	echo key >"$top/home/.ssh/id"
	chmod -R a+rX "$top/home"
	cd /usr
	HOME=$top/home not_visible "$top/home/.ssh/id" "$top/home" \
		/etc/shadow /etc/gshadow /etc/shadow- /etc/ssl/private /run \
		/var/run /home /root /mnt /media /tmp /var/tmp /var/lib
	for path in /etc/ssh/*_key; do
		not_visible "$path"
	done
	cd "$top/work"
}

@test "~/.ssh, /etc/shadow, /run and the homes of others are not visible" {
	each_user secrets
}

# $1: what of the host would be seen in the current directory.
starts_in_root()
{
	run --separate-stderr -0 sandbox -- /bin/sh -c 'pwd; ls -A /; ls -A "$1"; :' \
		sh "$PWD"
	assert_line --index 0 /
	[ -z "${1:-}" ] || refute_line "$1"
}

cwd_rules()
{
	local home=$top/home

	# The usual case: visible, not writable.
	run -0 sandbox -- /bin/sh -c 'pwd; cat here; touch new 2>/dev/null || echo ro'
	assert_output $top/work$'\nhi\nro'
	# $HOME, what is above it, and all the ways to spell it.
	cd "$home"
	HOME=$home starts_in_root mine
	HOME=$home/ starts_in_root mine
	HOME=$top/link starts_in_root mine
	HOME=$top/work/../link starts_in_root mine
	HOME=$home/a/missing/one starts_in_root mine
	cd "$top"
	HOME=$home starts_in_root work
	HOME=$top/link starts_in_root work
	cd /
	starts_in_root
	# A directory of $HOME is fine.
	cd "$home/project"
	HOME=$home run -0 sandbox -- pwd
	assert_output "$home/project"
	# RUNDIR, above it, in it.
	cd "$top"
	starts_in_root work
	DAVIT_RUNDIR=$top/runlink starts_in_root work
	cd "$top/run"
	starts_in_root
	DAVIT_RUNDIR=$top/runlink starts_in_root
	# A directory that has all users' things in it, and the kernel's.
	cd /tmp
	starts_in_root "${top##*/}"
	cd /dev
	run -0 sandbox -- pwd
	assert_output /
	cd /proc/self
	run -0 sandbox -- pwd
	assert_output /
	cd "$top/work"
	# Asked for is asked for.
	cd "$home"
	HOME=$home run -0 sandbox -W . -- /bin/sh -c 'pwd; ls -A; touch new'
	assert_line --index 0 "$home"
	assert_line mine
	cd "$top/work"
	rm "$home/new"
}

@test "the current directory: shown read-only, unless it shows too much" {
	mkdir -p "$top/home/project" "$top/home/a"
	touch "$top/home/mine"
	ln -s home "$top/link"
	ln -s run "$top/runlink"
	echo hi >here
	chmod 777 "$top/home"
	each_user cwd_rules
}

@test "a directory inside RUNDIR is not shown" {
	mkdir "$top/run/mnt" "$top/run/mnt/x" 2>/dev/null || :
	cd "$top/run/mnt"
	run -0 sandbox -- pwd
	assert_output /
	cd "$top/work"
}

@test "without HOME the home of the passwd entry is hidden" {
	need_root
	cd /root
	run -0 env -u HOME "$top/davit" run -q -- pwd
	assert_output /
	HOME=/ run -0 sandbox -- pwd
	assert_output /
	cd "$top/work"
}

@test "a hint says why a script of a hidden directory is not found" {
	mkdir "$top/home"
	printf '#!/bin/sh\n' >"$top/home/script"
	chmod 755 "$top/home/script"
	cd "$top/home"
	HOME=$top/home refused 127 'exec ./script: No such file' \
		run -- ./script
	[[ ${stderr_lines[1]} == *'-W or -v'* ]]
	cd "$top/work"
}

@test "a current directory that was removed" {
	mkdir gone
	cd gone
	rmdir "$top/work/gone"
	run -0 sandbox -- pwd
	cd "$top/work"
	assert_output /
}

@test "a current directory with strange characters" {
	local name=$'a b:ro,\\040"\n%s'

	mkdir "$name"
	cd "$name"
	touch 'fi le'
	run -0 sandbox -- ls -A
	cd "$top/work"
	assert_output 'fi le'
}

read_only_host()
{
	local path

	for path in / /usr /etc /opt /bin /lib "$PWD"; do
		find -L "$path" -maxdepth 0 >/dev/null 2>&1 || continue
		[ "$path" = / ] && continue
		run -1 sandbox -- touch "$path/davit-was-here"
		[ ! -e "$path/davit-was-here" ] || fail "wrote to $path"
	done
	# The rest is its own and goes with it.
	run -0 sandbox -- /bin/sh -c '
		for d in /tmp /var/tmp /dev/shm; do
			echo x >$d/davit-was-here || exit 1
		done'
	for path in /tmp /var/tmp /run /home /dev/shm /; do
		[ ! -e "${path%/}/davit-was-here" ] || fail "wrote to $path"
	done
	# No way around the read-only mounts.
	run -0 sandbox -- /bin/sh -c '
		mount -o remount,rw,bind /usr; umount /usr; umount -l /etc
		touch /usr/davit-was-here; touch /etc/davit-was-here; :'
	[ ! -e /usr/davit-was-here ] && [ ! -e /etc/davit-was-here ]
}

@test "nothing of the host is writable" {
	each_user read_only_host
}

given()
{
	local dir=$top/work/dir

	rm -rf "$dir"
	mkdir -p "$dir/sub"
	echo old >"$dir/file"
	chmod -R 777 "$dir"
	run -0 sandbox -W "$dir" -- /bin/sh -c 'touch "$1/new"; touch /usr/x \
		"$1/../outside"; :' sh "$dir"
	[ -e "$dir/new" ] && [ ! -e "$dir/../outside" ]
	# A relative path means the current directory.
	run -0 sandbox -W dir -- touch "$dir/new2"
	[ -e "$dir/new2" ]
	# A single file.
	run -0 sandbox -W "$dir/file" -- /bin/sh -c \
		'echo new >"$1"; touch "$1.2" 2>/dev/null; :' sh "$dir/file"
	assert_equal "$(cat "$dir/file")" new
	[ ! -e "$dir/file.2" ]
	run -0 sandbox -v "$dir:/data" -- touch /data/sub/new
	[ -e "$dir/sub/new" ]
	run -1 sandbox -v "$dir:/data:ro" -- touch /data/sub/new3
	assert_output --partial 'Read-only file system'
	run -0 sandbox -v "$dir:/data:ro" -v "$dir/sub:/data/sub" -- \
		touch /data/sub/new4
	[ -e "$dir/sub/new4" ]
	rm -rf "$dir"
}

@test "writable is what was given with -W and -v, no more" {
	each_user given
}

@test "a read-only volume is read-only in all its mounts" {
	need_root
	mkdir -p dir/sub
	mount -t tmpfs tmpfs dir/sub || skip 'cannot mount a tmpfs'
	run sandbox -v "$PWD/dir:/data:ro" -- touch /data/sub/new
	umount dir/sub
	[ "$status" = 1 ] || fail "status $status: $output"
	assert_output --partial 'Read-only file system'
}

# ---- the kernel ------------------------------------------------------------------------

kernel_files()
{
	run -0 sandbox "$@" -- "$PYTHON" -c '
import os
for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches",
             "/proc/sys/kernel/hostname", "/proc/sysrq-trigger",
             "/proc/kcore", "/sys/kernel/uevent_helper", "/sys/power/state",
             "/proc/sys/kernel/modprobe", "/dev/mem", "/dev/kmsg"):
    try:
        os.close(os.open(path, os.O_WRONLY))
        print("writable:", path)
    except OSError:
        pass
for path in ("/proc/sys", "/sys", "/proc/irq"):
    if os.path.exists(path):
        assert os.statvfs(path).f_flag & os.ST_RDONLY, path
for name in sorted(os.listdir("/dev")):
    print("dev", name)
assert not os.listdir("/sys/firmware") if os.path.exists("/sys/firmware") \
    else True'
	refute_output --partial 'writable:'
	assert_equal "$(grep ^dev <<<"$output" | cut -c5- | tr '\n' ' ')" \
		'fd full null ptmx pts random shm stderr stdin stdout tty urandom zero '
}

@test "/proc/sys and /sys are read-only, dangerous files are not there" {
	each_user kernel_files
	become root
	kernel_files --cap-add ALL
}

privileges()
{
	run -0 sandbox -- cat /proc/self/status
	assert_line --regexp '^NoNewPrivs:.1$'
	assert_line --regexp '^Seccomp:.2$'
	# 21 is CAP_SYS_ADMIN; 16, 17, 19, 22: modules, raw I/O, ptrace, boot.
	# 12 and 13 would be the network's.
	for set in CapInh CapPrm CapEff CapBnd CapAmb; do
		bits=$((16#$(grep "^$set" <<<"$output" | cut -f2)))
		for cap in 12 13 16 17 19 21 22 25; do
			[ $((bits >> cap & 1)) = 0 ] || fail "$set has $cap"
		done
	done
	run -0 sandbox -- /bin/sh -c '
		mount -t tmpfs x /tmp && echo mounted
		unshare -U true && echo unshared
		unshare -m true && echo unshared
		dmesg >/dev/null && echo dmesg
		mknod /tmp/sda b 8 0 && echo mknod
		hostname other && echo named
		nice -n -5 true 2>&1 | grep -q cannot || echo nice
		chroot /tmp /bin/true && echo chroot; :' 2>/dev/null
	refute_line mounted
	refute_line unshared
	refute_line dmesg
	refute_line mknod
	refute_line named
}

@test "no CAP_SYS_ADMIN, no new privileges, a system call filter" {
	each_user privileges
}

setuid_program()
{
	# nosuid, no_new_privs: the ids stay what they are.
	run -0 sandbox "$@" -W "$top/work/s" -- "$top/work/s/suid-id" -u
	assert_output "$want"
}

@test "setuid programs gain nothing" {
	need_root
	mkdir s
	cp "$(command -v id)" s/suid-id
	chown 0:0 s/suid-id
	chmod 6755 s/suid-id
	want=1234 setuid_program -u 1234
	want=1234 setuid_program -u 1234 --cap-add ALL --seccomp unconfined
	need_user
	chown 0:0 s/suid-id
	chmod 6755 s/suid-id
	want=$ORDINARY setuid_program
	back_to_root
}

# Before its execve() nobody may trace it, afterwards it is as any other.
own_process()
{
	local script='stat -c %u /proc/self/status && cat /proc/self/environ \
		>/dev/null && readlink /proc/self/exe' score uid
	local dumpable='import ctypes
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))'

	uid=$("${as[@]}" id -u)
	# As it is, and the one that everybody may have.
	for score in $(cat /proc/self/oom_score_adj) 1000; do
		run -0 sandbox --oom-score-adj $score -- /bin/sh -c "$script"
		assert_line --index 0 "$uid"
		assert_line --index 1 --partial /
		run -0 sandbox --oom-score-adj $score -- "$PYTHON" -c \
			"$dumpable"
		assert_output 1
	done
}

@test "a command can look at itself and leave a core" {
	each_user own_process
}

@test "file capabilities gain nothing" {
	need_root
	command -v setcap >/dev/null || skip 'there is no setcap'
	mkdir s
	cp /bin/grep s/grep
	setcap cap_net_raw,cap_sys_admin+ep s/grep ||
		skip 'no file capabilities here'
	run -0 sandbox -u 1234 -W "$PWD/s" -- "$PWD/s/grep" ^CapEff \
		/proc/self/status
	assert_output $'CapEff:\t0000000000000000'
}

@test "input cannot be put into a terminal" {
	run -0 sandbox --cap-add ALL -- "$PYTHON" -c '
import fcntl, os, pty
master, slave = pty.openpty()
for request in (0x5412, 0x5412 | 1 << 32):
    try:
        fcntl.ioctl(slave, request & 0xffffffff, b"x")
        print("TIOCSTI works")
    except OSError as e:
        print(e.strerror)'
	refute_output --partial works
}

# ---- images that try to get out ----------------------------------------------------------

@test "links of an image cannot lead out of it" {
	local target=$top/target mode

	make_root "$top/root"
	mkdir "$target"
	cd "$top/root"
	rmdir dev proc sys
	ln -s "$target" dev
	ln -s ../../../../../../../../etc proc
	ln -s / sys
	ln -s "$target" data
	cd "$top/work"
	for mode in '' :rw :ro; do
		run sandbox --rootfs "$top/root$mode" -v /opt:/data/x -- \
			touch /data/y /dev/z
		assert_equal "$(find "$target" -mindepth 1)" ''
	done
}

@test "an image's passwd file is not read through links or pipes" {
	make_root "$top/root"
	rm "$top/root/etc/passwd"
	ln -s ../../../../../../etc/passwd "$top/root/etc/passwd"
	run -125 sandbox --rootfs "$top/root" -u nobody -- true
	rm "$top/root/etc/passwd"
	mkfifo "$top/root/etc/passwd"
	run -125 timeout 60 "$top/davit" run -q --rootfs "$top/root" -u bob -- true
}

@test "two sandboxes do not see each other" {
	"$top/davit" run -q --pidfile "$top/pid" -- /bin/sh -c '
		echo secret >/tmp/secret; exec sleep 100' 3>&- &
	listener=$!
	soon [ -s "$top/pid" ]
	run -0 sandbox -- /bin/sh -c '
		ls -A /tmp /run /dev/shm; cat /proc/[0-9]*/cmdline | tr "\0" " "'
	refute_line secret
	refute_output --partial 'sleep 100'
	soon compgen -G "$top/run/*/sock"
	# Not even with all of RUNDIR there is somebody to talk to.
	run sandbox -v "$top/run:/x" -- "$PYTHON" -c '
import os, socket
for at, dirs, names in os.walk("/x"):
    for name in names:
        try:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(10)
            s.connect(os.path.join(at, name))
            s.send(b"CONNECT 1\n")
            print("answered", at, name, s.recv(100)) if s.recv(1) else None
        except OSError:
            pass'
	[ "$status" = 0 ] || fail "$output"
	assert_output ''
}
