# SPDX-License-Identifier: MIT
# gRPC with the implementations that others use: grpc-js and Python's grpcio, as
# clients of our server and as servers of our client. The service and what each
# of its methods does: tests/helpers/grpc_peer.c.
bats_require_minimum_version 1.5.0
load lib

JS_PEERS=$SRC/tests/peers/grpc-js
PY_PEERS=$SRC/tests/peers/grpc-py

# What we need is below the build directory, never in the source tree.
install_js()
{
	local dir=$LIBDAVIT/grpc-js

	command -v node >/dev/null || return 1
	command -v npm >/dev/null || return 1
	export NODE_PATH=$dir/node_modules
	cmp -s "$JS_PEERS/package-lock.json" "$dir/installed" && return 0
	# One try: a network that swallows everything takes its time.
	[ ! -e "$BATS_FILE_TMPDIR/not-installed" ] || return 1
	mkdir -p "$dir"
	cp "$JS_PEERS/package.json" "$JS_PEERS/package-lock.json" "$dir"
	if ! (cd "$dir" && timeout -k 5 100 npm ci --no-audit --no-fund \
		--ignore-scripts >npm.log 2>&1 3>&-); then
		touch "$BATS_FILE_TMPDIR/not-installed"
		return 1
	fi
	cp "$JS_PEERS/package-lock.json" "$dir/installed"
}

need_js()
{
	install_js || skip "grpc-js cannot be installed here: no npm, or no registry"
}

need_py()
{
	$PYTHON -c 'import grpc' 2>/dev/null ||
		skip "Python's grpcio is not installed: python3-grpcio"
}

setup()
{
	top=$(mktemp -d "${TMPDIR:-/tmp}/davit-test.XXXXXX")
	socket=$top/sock
	export PYTHONDONTWRITEBYTECODE=1
	server=
}

teardown()
{
	[ -z "$server" ] || kill "$server" 2>/dev/null || :
	rm -rf "$top"
}

# serve COMMAND...: it listens on $socket, and says "ready" when it does.
serve()
{
	local line

	coproc SERVER { exec "$@" "$socket" 3>&- 2>"$top/server.err"; }
	# shellcheck disable=SC2153 # set by coproc
	server=$SERVER_PID
	IFS= read -r -t 60 line <&"${SERVER[0]}" && [ "$line" = ready ]
}

# The server ended in order, with nothing to complain about.
served()
{
	local status=0 pid=$server

	wait "$pid" || status=$?
	server=
	[ "$status" = 0 ] || { cat "$top/server.err"; return 1; }
}

# Each scene by each of our peers; the last one ends the server.
call_ours()
{
	local scene

	for scene in "${scenes[@]}" quit; do
		run -0 timeout 100 "$@" "$socket" "$scene"
		assert_line ok
	done
}

call_by_js()
{
	need_js
	serve "$LIBDAVIT/grpc_peer" server
	scenes=("$@")
	call_ours node "$JS_PEERS/client.js"
	served
}

call_by_py()
{
	need_py
	serve "$LIBDAVIT/grpc_peer" server
	scenes=("$@")
	call_ours "$PYTHON" "$PY_PEERS/client.py"
	served
}

call_theirs()
{
	scenes=("$@")
	call_ours "$LIBDAVIT/grpc_peer" client
	served
}

@test "grpc-js calls: answers, statuses, unknown methods, bad messages" {
	call_by_js unary empty fail unknown malformed metadata binary
}

@test "grpc-js calls: deadline and cancel end the call in the server" {
	call_by_js deadline cancel stream_cancel
}

@test "grpc-js calls: 10,000 messages for a slow reader" {
	call_by_js stream
}

@test "grpc-js calls: 3 MiB pass, more than 4 MiB are refused" {
	call_by_js big toobig many_big
}

@test "grpc-js calls: 100 at a time, 1,000 in a row, and GOAWAY" {
	call_by_js many serial goaway
}

@test "grpcio calls: answers, statuses, unknown methods, bad messages" {
	call_by_py unary empty fail unknown malformed compressed metadata \
		binary headers
}

@test "grpcio calls: deadline and cancel end the call in the server" {
	call_by_py deadline cancel stream_cancel
}

@test "grpcio calls: 10,000 messages for a slow reader" {
	call_by_py stream
}

@test "grpcio calls: 3 MiB pass, more than 4 MiB are refused" {
	call_by_py big toobig many_big
}

@test "grpcio calls: 100 at a time, 1,000 in a row, and GOAWAY" {
	call_by_py many serial goaway
}

@test "grpc-js is called: answers, statuses, metadata" {
	need_js
	serve node "$JS_PEERS/server.js"
	call_theirs unary empty fail unknown metadata binary
}

@test "grpc-js is called: deadline, cancel, streams, sizes, many calls" {
	need_js
	serve node "$JS_PEERS/server.js"
	call_theirs deadline cancel stream big toobig many serial
}

@test "grpc-js is called: it says GOAWAY" {
	need_js
	serve node "$JS_PEERS/server.js"
	call_theirs goaway
}

@test "grpcio is called: answers, statuses, metadata" {
	need_py
	serve "$PYTHON" "$PY_PEERS/server.py"
	call_theirs unary empty fail unknown metadata binary
}

@test "grpcio is called: deadline, cancel, streams, sizes, many calls" {
	need_py
	serve "$PYTHON" "$PY_PEERS/server.py"
	call_theirs deadline cancel stream big toobig many serial
}

@test "grpc-js is called: another server while one finishes its calls" {
	need_js
	serve node "$JS_PEERS/server.js"
	call_theirs successor
}

@test "grpcio is called: another server while one finishes its calls" {
	need_py
	serve "$PYTHON" "$PY_PEERS/server.py"
	call_theirs successor
}

@test "davit calls davit: everything" {
	serve "$LIBDAVIT/grpc_peer" server
	call_theirs unary empty fail unknown deadline cancel stream big toobig \
		many serial goaway binary successor
}
