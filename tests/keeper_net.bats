# SPDX-License-Identifier: MIT
# Ports of a sandbox's own network, reached from outside through its socket.
load lib
load keepers

setup()
{
	davit_setup
	command -v socat >/dev/null || skip 'there is no socat'
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

# serve NAME [OPTION...] -- CMD...: one whose command makes $top/work/ready when
# it listens.
serve()
{
	local name=$1

	shift
	davit run -q -d --name "$name" -W "$top/work" "$@"
	soon test -e "$top/work/ready" || {
		davit logs "$name" >&2
		return 1
	}
}

# answered NAME PORT: somebody listens there.
answered()
{
	[[ $(port "$1" "$2" </dev/null) != ERR* ]]
}

sock()
{
	echo "$top/run/$(readlink "$top/run/names/$1" | xargs basename)/sock"
}

# port NAME PORT: stdin and stdout are connected to it.
port()
{
	{ echo "CONNECT $2"; cat; } |
		"${as[@]}" socat -t 100 - "UNIX-CONNECT:$(sock "$1")"
}

# A server of one file of 1 MiB, in the sandbox's own network.
web='import http.server, os, socketserver, sys
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args): pass
class Server(socketserver.ThreadingTCPServer): request_queue_size = 128
with Server(("127.0.0.1", int(sys.argv[1])), Quiet) as s:
    open("ready", "w").close()
    s.serve_forever()'

fetched()
{
	local sum i pids=() port

	# One where nobody listens out here.
	port=$("$PYTHON" -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	head -c 1048576 /dev/urandom >"$top/work/file"
	sum=$(md5sum <"$top/work/file")
	serve web -w "$top/work" -- "$PYTHON" -c "$web" "$port"
	for i in $(seq 20); do
		printf 'GET /file HTTP/1.0\r\n\r\n' | port web $port \
			>"$top/got.$i" 3>&- &
		pids+=($!)
	done
	wait "${pids[@]}"
	for i in $(seq 20); do
		[[ $(head -n 1 "$top/got.$i") == OK* ]] ||
			fail "$(head -n 1 "$top/got.$i")"
		assert_equal "$(tail -c 1048576 "$top/got.$i" | md5sum)" "$sum"
	done
	rm -f "$top"/got.* "$top/work"/*
	# It is a network of its own: nobody listens out here.
	run ! socat -u /dev/null "TCP:127.0.0.1:$port,connect-timeout=2"
	davit rm -f web
}

@test "a web server inside is reached from outside, twenty times at once" {
	[ -x "$PYTHON" ] || skip 'there is no python'
	each_user fetched
}

refusals()
{
	davit run -q -d --name none -- sleep 1000
	assert_equal "$(port none 9 </dev/null)" 'ERR Connection refused'
	run -0 port none 1024 </dev/null
	assert_output --partial "ERR port 1024"
	run -0 port none 0 </dev/null
	assert_output --partial 'ERR the sandbox has no port 0'
	run -0 port none 70000 </dev/null
	assert_output --partial 'ERR the sandbox has no port 70000'
	davit rm -f none
}

@test "a port where nobody listens is refused with the reason" {
	each_user refusals
}

@test "both directions end for themselves" {
	serve echo -- /bin/sh -c ": >'$top/work/ready'
		exec socat -t 100 TCP-LISTEN:7,bind=127.0.0.1,reuseaddr,fork \
			SYSTEM:'cat; echo end'"
	soon answered echo 7
	run -0 port echo 7 <<<text
	assert_line text
	assert_line end
	davit rm -f echo
}

@test "with the host's network a port of the host is reached" {
	local pid port

	need_root
	# A port of our own: whichever is free.
	"$PYTHON" -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
print(s.getsockname()[1], flush=True)
while True:
    c, _ = s.accept(); c.sendall(b"host\n"); c.close()' >"$top/port" 3>&- &
	pid=$!
	soon test -s "$top/port"
	port=$(cat "$top/port")
	davit run -q -d --name own -- sleep 1000
	davit run -q -d --name host --net host -- sleep 1000
	run -0 port host "$port" </dev/null
	assert_line host
	assert_equal "$(port own "$port" </dev/null)" 'ERR Connection refused'
	kill $pid
	wait $pid || :
	davit rm -f own host
}

@test "connections end with the sandbox, and nothing is left of them" {
	local pid

	serve gone -- /bin/sh -c ": >'$top/work/ready'
		exec socat TCP-LISTEN:7,bind=127.0.0.1,reuseaddr,fork EXEC:cat"
	soon answered gone 7
	mkfifo "$top/in"
	port gone 7 <"$top/in" >"$top/out" 3>&- &
	pid=$!
	exec 9>"$top/in"
	echo hello >&9
	soon grep -qs hello "$top/out"
	davit stop -t 0 gone
	exec 9>&-
	wait $pid || :
	rm "$top/in" "$top/out"
	davit rm gone
}
