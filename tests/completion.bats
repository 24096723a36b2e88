# SPDX-License-Identifier: MIT
# What the tab key does, in the shells themselves and against a live agent.
load lib
load agents

setup()
{
	davit_setup
	sock=$top/agent.sock
	"$AGENT" --listen "$sock" >"$top/agent.log" 2>&1 3>&- &
	agent=$!
	agent_ready "$sock"
	PATH=$top:$PATH
}

teardown()
{
	kill "$agent" || :
	wait "$agent" || :
	cat "$top/agent.log" >&2 || :
	rm -f "$sock"
	davit_teardown
}

# complete WORD...: what davit says, without what candidates mean
complete()
{
	davit complete -- "$@" | cut -f 1
}

# again EXPECTED CMD...: `run` until the first line is that. Who asks an agent
# gives up after half a second, and where all is slow that may be too early.
again()
{
	local until=$((SECONDS + 60))

	run -0 "${@:2}"
	while [ "${lines[0]-}" != "$1" ] && [ $SECONDS -lt $until ]; do
		run -0 "${@:2}"
	done
	assert_equal "${lines[0]-}" "$1"
}

# tab SHELL LINE EXPECTED: LINE after the tab key
tab()
{
	again "$3" timeout 100 "$PYTHON" "$HELPERS/tab.py" "$1" \
		"$SRC/completions" "$2"
}

# What bash and zsh have to do alike.
both()
{
	tab "$1" 'davit do' 'davit doctor '
	tab "$1" 'davit help di' 'davit help diag '
	tab "$1" 'davit run --net n' 'davit run --net none '
	tab "$1" 'davit run --drain=eo' 'davit run --drain=eof '
	tab "$1" 'davit run -m 64m whoa' 'davit run -m 64m whoami '
	mkdir -p "$top/work/there is/more"
	tab "$1" 'davit run --rootfs=./th' 'davit run --rootfs=./there\ is/'
	tab "$1" "davit diag $top/agent.s" "davit diag $top/agent.sock"
	tab "$1" "davit diag $sock insp" "davit diag $sock inspect "
	tab "$1" "davit diag $sock inspect mes" "davit diag $sock inspect mesh/"
	tab "$1" "davit diag unix:$sock inspect -l 1 /buil" \
		"davit diag unix:$sock inspect -l 1 /build/"
	tab "$1" "davit diag $sock inspect build/v" \
		"davit diag $sock inspect build/version "
	ln -s "$sock" "$top/two words"
	tab "$1" "davit diag '$top/two words' inspect mes" \
		"davit diag '$top/two words' inspect mesh/"
	tab "$1" "davit diag $top/two\\ words inspect mes" \
		"davit diag $top/two\\ words inspect mesh/"
	tab "$1" "davit diag $top/none inspect mes" \
		"davit diag $top/none inspect mes"
	soon lists_build "$1"
	tab "$1" 'davit no-such-verb w' 'davit no-such-verb w'
}

# What may follow is below the line, which stays as it is.
lists_build()
{
	tab "$1" "davit diag $sock inspect build/" \
		"davit diag $sock inspect build/"
	[[ $output =~ build/compiler\ .*build/version ]]
}

@test "davit knows what a word may become" {
	run -0 complete ru
	assert_output $'words\nrun'
	run -0 davit complete -- do
	assert_output $'words\ndoctor\tshow what this machine can and cannot do'
	run -0 complete run --net ''
	assert_output $'words\nnone\nhost'
	run -0 complete run --net=h
	assert_output $'words\n--net=host'
	run -0 complete run --rootfs=/us
	assert_output 'dirs 9'
	run -0 complete run -v ''
	assert_output 'files 0'
	run -0 complete run -qW ''
	assert_output 'files 0'
	run -0 complete run -qWx --tim
	assert_output $'words\n--timeout\n--timing'
	run -0 complete run -m 64m -- ls -l
	assert_output 'command 4'
	run -0 complete run -e A=B ls
	assert_output 'command 3'
	run -0 complete diag unix:/x
	assert_output 'files 5'
	run -0 complete diag T ex
	assert_output $'words\nexec'
	run -0 complete diag T kill -s K
	assert_output $'words\nKILL'
	run -0 complete diag T pcap -s 3 ''
	assert_output 'files 0'
	run -0 complete diag T exec ls ''
	assert_output ''
	soon knows_build
	assert_output $'words\nbuild/'
	run -0 complete diag "$sock" inspect build ''
	assert_output ''
	run -0 complete diag "$top/none" inspect bui
	assert_output words
	run -0 complete
	assert_output ''
}

knows_build()
{
	run -0 complete diag "$sock" inspect bui
	[ "$output" != words ]
}

@test "bash" {
	both bash
}

@test "zsh" {
	both zsh
	tab zsh "davit diag $sock " "davit diag $sock "
	assert_output --partial 'saved-state'
	assert_output --partial '-- the document that a restart uses'
}

# fished LINE: the candidates, without what they mean
fished()
{
	HOME=$top fish -c "source '$SRC/completions/davit.fish'
		complete -C (string join ' ' -- \$argv)" -- "$1" | cut -f 1
}

@test "fish" {
	run -0 fished 'davit do'
	assert_output doctor
	run -0 fished 'davit run --net '
	assert_output $'host\nnone'
	run -0 fished 'davit run --drain=eo'
	assert_output -- --drain=eof
	run -0 fished 'davit run --no-t'
	assert_output -- --no-tty
	run -0 fished 'davit run -m 64m whoa'
	assert_output whoami
	mkdir -p "$top/work/there is/more"
	run -0 fished 'davit run --rootfs=./th'
	assert_output -- '--rootfs=./there is/'
	run -0 fished 'davit run --rootfs ./th'
	assert_output './there is/'
	run -0 fished "davit diag unix:$top/agent.so"
	assert_line "unix:$sock"
	again /build/ fished "davit diag unix:$sock inspect /b"
	assert_output /build/
	again build/version fished "davit diag '$sock' inspect build/v"
	assert_output build/version
	run -0 fished "davit diag $top/none inspect b"
	assert_output ''
	run -0 fished "davit diag $sock exec "
	assert_output ''
	run -0 fish -n "$SRC/completions/davit.fish"
}
