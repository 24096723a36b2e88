# SPDX-License-Identifier: MIT
# A keeper that was started by the davit of the commit before this one, and the
# davit of this one: an update of the program must not lose what runs.
load lib
load keepers
setup()
{
	davit_setup
	older=${OLDER_DAVIT:-}
}
teardown()
{
	[ -z "$older" ] || "$top/davit" rm -f old >/dev/null 2>&1 || :
	keepers_end
	davit_teardown
}

# Once for all tests of this file: the commit's own tree, built apart from ours.
setup_file()
{
	local log=$BATS_FILE_TMPDIR/log tree=$BATS_FILE_TMPDIR/tree commit

	export OLDER_DAVIT= OLDER_WHY=
	if sanitized; then
		OLDER_WHY="the build without sanitizers does this"
		return
	fi
	commit=$(git -C "$SRC" rev-parse -q --verify HEAD~1 2>/dev/null) || {
		OLDER_WHY="no history here"
		return
	}
	mkdir "$tree"
	git -C "$SRC" archive "$commit" | tar -xC "$tree"
	grep -rq __keeper "$tree/src/runtime" || {
		OLDER_WHY="the commit before has no keepers"
		return
	}
	if (cd "$tree" && meson setup b && ninja -C b davit) >"$log" 2>&1; then
		OLDER_DAVIT=$tree/b/davit
	else
		OLDER_WHY="the commit before does not build: $(grep -m 1 error "$log")"
	fi
}

need_older() { [ -n "$older" ] || skip "$OLDER_WHY"; }

@test "every verb of this davit works on an older keeper" {
	need_older
	"$older" run -d --name old --pids-limit 100 -i -- sh -c \
		'echo begun; read x; echo "$x"; exit 6'
	davit ps | grep -q '^old  *running'
	[ "$(davit exec old -- echo hello)" = hello ]
	run -7 davit exec old -- sh -c 'exit 7'
	davit inspect old keeper/version
	davit top -n 1 old
	[ "$(davit inspect old cgroup/can_pause)" != true ] || {
		davit pause old
		davit resume old
	}
	davit update --pids-limit 50 old
	davit rename old other
	davit rename other old
	davit why old
	echo done | davit attach old >/dev/null || :
	run -6 davit wait old
	[ "$(davit logs old)" = $'begun\ndone' ]
	davit restart old
	davit stop old
	davit rm old
}

@test "an older keeper becomes one of this davit, with all that it holds" {
	need_older
	"$older" run -d --name old -- sh -c \
		'i=0; until [ -e /tmp/stop ]; do echo $i; i=$((i+1)); sleep 0.01; done; exit 3'
	davit exec old -- sh -c 'echo on; until [ -e /tmp/go ]; do sleep 0.01; done
		exit 8' >on 3>&- & client=$!
	soon test -s on
	before=$(davit inspect old keeper/pid)
	davit upgrade old
	[ "$(davit inspect old keeper/pid)" = "$before" ]
	davit exec old -- touch /tmp/go
	st=0; wait $client || st=$?
	[ "$st" = 8 ]
	davit wait --for '^20$' --timeout 100s old
	# Its end may be faster than this one's.
	davit exec old -- touch /tmp/stop || :
	run -3 davit wait old
	davit logs old >log
	[ "$(wc -l <log)" -gt 10 ]
	seq 0 $(($(wc -l <log) - 1)) | cmp - log
	davit rm old
}

@test "an older davit understands a keeper of this one" {
	need_older
	davit run -d --name old -- sleep 1000
	"$older" ps | grep -q '^old  *running'
	[ "$("$older" exec old -- echo hello)" = hello ]
	"$older" stop old
	davit why old
	davit rm old
}
