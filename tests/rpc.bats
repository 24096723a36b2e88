# SPDX-License-Identifier: MIT
# davit's ttrpc and containerd's, each as the other's client and server.
bats_require_minimum_version 1.5.0
load /usr/lib/bats/bats-support/load
load /usr/lib/bats/bats-assert/load

setup_file()
{
	local go=/usr/share/gocode

	command -v go >/dev/null || return 0
	[ -d "$go/src/github.com/containerd/ttrpc" ] || return 0
	GO111MODULE=off GOFLAGS= GOPATH=$go GOCACHE=$BATS_FILE_TMPDIR/cache \
		go build -o "$BATS_FILE_TMPDIR/ttrpc-go" \
		"$SRC/tests/peers/ttrpc-go/main.go"
}

setup()
{
	command -v go >/dev/null || skip 'there is no go'
	go_peer=$BATS_FILE_TMPDIR/ttrpc-go
	[ -x "$go_peer" ] || skip 'there is no golang-github-containerd-ttrpc-dev'
	our_peer=$LIBDAVIT/ttrpc_peer
	sock=$BATS_TEST_TMPDIR/sock
}

# serve PROGRAM: starts it, and waits until it says that it is ready.
serve()
{
	coproc server { exec "$1" server "$sock" 3>&-; }
	read -r -t 100 line <&"${server[0]}"
	[[ $line == *ready ]]
}

teardown()
{
	[ -z "${server_PID-}" ] || kill "$server_PID" 2>/dev/null || :
}

checks()
{
	assert_success
	refute_output --partial 'not ok'
	local name

	for name in "$@"; do
		assert_line "ok $name"
	done
}

@test "containerd's client and our server" {
	serve "$our_peer"
	run timeout 200 "$go_peer" client "$sock"
	checks ping echo '3 MiB' 'unknown method' 'unknown service' failure \
		deadline cancel 'too long' '32 in flight' 'ping at the end'
}

@test "our client and containerd's server" {
	serve "$go_peer"
	run timeout 200 "$our_peer" client "$sock"
	checks ping echo '3 MiB' 'unknown method' failure deadline cancel \
		metadata '32 in flight' 'ping at the end'
}
