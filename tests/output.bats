# SPDX-License-Identifier: MIT
# A gigabyte, in all the ways in which it can go through.
load lib

setup()
{
	davit_setup
}

teardown()
{
	davit_teardown
}

GIB=$((1 << 30))

@test "1 GiB of random bytes through the caller's own descriptors" {
	"$PYTHON" "$HELPERS/stream.py" $GIB "$top/davit" run -q -- cat
}

@test "1 GiB of random bytes through the relay and into a log" {
	"$PYTHON" "$HELPERS/stream.py" $GIB \
		"$top/davit" run -q --log "$top/work/log" -- cat
	assert_equal "$(stat -c %s "$top/work/log")" $GIB
}

@test "64 MiB of random bytes as an ordinary user, with a log that is the same" {
	need_user
	head -c 67108864 /dev/urandom >data
	chmod 644 data
	sandbox --log "$top/work/log" -- cat <data | cmp - data
	cmp data log
	back_to_root
}

@test "64 MiB through sockets instead of pipes" {
	run -0 "$PYTHON" -c '
import os, socket, subprocess, sys, threading
data = os.urandom(1 << 26)
ours, theirs = socket.socketpair()
child = subprocess.Popen(sys.argv[1:], stdin=theirs, stdout=theirs)
theirs.close()
def feed():
    ours.sendall(data)
    ours.shutdown(socket.SHUT_WR)
threading.Thread(target=feed).start()
got = bytearray()
while chunk := ours.recv(1 << 20):
    got += chunk
assert got == data, f"{len(got)} bytes"
sys.exit(child.wait())' "$top/davit" run -q --log "$top/log" -- cat
}
