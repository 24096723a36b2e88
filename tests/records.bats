# SPDX-License-Identifier: MIT
# What davit says about a run: records, times, ids; and signals on their way in.
load lib

setup()
{
	davit_setup
}

teardown()
{
	davit_teardown
}

json_record()
{
	run --separate-stderr -7 davit run --json -- /bin/sh -c 'echo out; exit 7'
	assert_equal "$output" out
	record=$(tail -n 1 <<<"$stderr")
	assert_equal "$(field schema_version)" 1
	assert_equal "$(field code)" 7
	assert_equal "$(field signal)" null
	assert_equal "$(field core)" false
	assert_equal "$(field oom)" false
	assert_equal "$(field timed_out)" false
	assert_equal "$(field ended_by)" '"exit"'
	[[ $(field id) =~ ^\"[0-9a-f]{16}\"$ ]]
	[[ $(field started) =~ ^\"20[0-9-]+T[0-9:.]+Z\"$ ]]
	[ "$(field wall_ns)" -gt 0 ]
	[ "$(field rusage.max_rss_kib)" -gt 0 ]
	run --separate-stderr -137 davit run --json -- /bin/sh -c 'kill -9 $$'
	record=$stderr
	assert_equal "$(field signal)" '"SIGKILL"'
	assert_equal "$(field ended_by)" '"signal"'
	run --separate-stderr -124 davit run --json --timeout 100ms -- sleep 100
	record=$stderr
	assert_equal "$(field timed_out)" true
	assert_equal "$(field ended_by)" '"timeout"'
	assert_equal "$(field signal)" '"SIGTERM"'
}

@test "--json: the exit record is the last line on stderr" {
	each_user json_record
	run --separate-stderr -0 davit run --json -- /bin/sh -c 'echo err >&2'
	assert_equal "${stderr_lines[0]}" err
	record=${stderr_lines[1]}
	assert_equal "$(field code)" 0
}

elsewhere()
{
	run --separate-stderr -3 davit run -q --record "$top/work/rec" -- \
		/bin/sh -c 'exit 3'
	assert_equal "$output$stderr" ''
	record=$(cat "$top/work/rec")
	assert_equal "$(field code)" 3
	rm "$top/work/rec"
	davit run -q --record fd:7 -- true 7>"$top/work/rec7"
	record=$(cat "$top/work/rec7")
	assert_equal "$(field code)" 0
	rm "$top/work/rec7"
}

@test "--record PATH and fd:N" {
	each_user elsewhere
	run -125 sandbox --record /no/such/dir/rec -- true
}

who_runs()
{
	davit run -q --info-fd 8 --pidfile "$top/work/pid" -- /bin/sh -c \
		'until [ -s "$1" ]; do sleep 0.02; done; cat "$1"' \
		sh "$top/work/pid" 8>"$top/work/info" >"$top/work/seen"
	record=$(cat "$top/work/info")
	assert_equal "$(wc -l <"$top/work/info")" 1
	[ "$(field pid)" -gt 0 ] && [ "$(field init_pid)" -gt 0 ]
	[[ $(field id) =~ ^\"[0-9a-f]{16}\"$ ]]
	# It goes with the run.
	[ ! -e "$top/work/pid" ]
	rm "$top/work/info" "$top/work/seen"
}

@test "--info-fd and --pidfile say who runs" {
	each_user who_runs
}

@test "the pid of --pidfile is the command's" {
	local keeper pid status=0

	"$top/davit" run -q --pidfile pid -- sleep 100.75 3>&- &
	keeper=$!
	soon test -s pid
	pid=$(cat pid)
	assert_equal "$(tr '\0' ' ' <"/proc/$pid/cmdline")" 'sleep 100.75 '
	kill -INT "$pid"
	wait $keeper || status=$?
	assert_equal $status 130
	[ ! -e pid ]
}

@test "a pidfile that cannot be written ends the run" {
	refused 125 'no/such' run --pidfile /no/such/dir/pid -- sleep 100
}

@test "a pidfile is a file, and nothing else is replaced" {
	mkfifo fifo
	mkdir dir
	ln -s /dev/null link
	for path in /dev/null fifo dir link; do
		refused 125 'is not a regular file' run --pidfile $path -- true
	done
	[ -c /dev/null ] && [ -p fifo ] && [ -L link ]
	echo old >pid
	sandbox --pidfile pid -- true
	[ ! -e pid ]
}

@test "--timing names steps, with times that go up" {
	run --separate-stderr -0 davit run --timing -- echo out
	assert_equal "$output" out
	assert_equal "${stderr_lines[0]}" \
		'davit: timing             step us   total us'
	[[ $stderr == *exec* ]]
	awk 'NR > 1 { if ($NF < last) exit 1; last = $NF; n++ }
		END { if (n < 5) exit 1 }' <<<"$stderr"
}

@test "silent by default when stderr is no terminal" {
	run --separate-stderr -0 davit run -- true
	assert_equal "$output$stderr" ''
}

@test "DAVIT_LOG makes davit talk on stderr only" {
	DAVIT_LOG=debug run --separate-stderr -0 davit run -- echo out
	assert_equal "$output" out
	[[ $stderr == *'davit: '* ]]
}

# ---- signals ------------------------------------------------------------------------

@test "signals are passed on to the command" {
	# What is ignored at the start stays so: INT and QUIT where the shell
	# makes a background job, HUP below nohup. Python starts it as a
	# terminal would.
	"$PYTHON" - "$top/davit" "$top/work/ready" <<-'END'
	import os, signal, subprocess, sys, time
	davit, ready = sys.argv[1:]
	# A shell may forget a signal that comes in a bad moment.
	waits = """
	import signal, sys
	number = getattr(signal, "SIG" + sys.argv[2])
	signal.pthread_sigmask(signal.SIG_BLOCK, [number])
	open(sys.argv[1], "w").close()
	signal.sigwait([number])
	sys.exit(42)
	"""
	names = ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "CONT")
	numbers = [getattr(signal, "SIG" + name) for name in names]
	for name, number in zip(names, numbers):
	    child = subprocess.Popen(
	        [davit, "run", "-q", "-W", os.path.dirname(ready), "--",
	         sys.executable, "-c", waits, ready, name],
	        preexec_fn=lambda: [signal.signal(n, signal.SIG_DFL)
	                            for n in numbers])
	    while not os.path.exists(ready):
	        time.sleep(0.01)
	    child.send_signal(number)
	    status = child.wait(100)
	    assert status == 42, f"{name}: {status}"
	    os.unlink(ready)
	END
}

@test "an ignored signal stays ignored, as with nohup" {
	"$PYTHON" - "$top/davit" "$top/work/ready" <<-'END'
	import os, signal, subprocess, sys, time
	davit, ready = sys.argv[1:]
	child = subprocess.Popen(
	    [davit, "run", "-q", "-W", os.path.dirname(ready), "--", "sh", "-c",
	     f": >{ready}; sleep 0.5; exit 9"],
	    preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
	while not os.path.exists(ready):
	    time.sleep(0.01)
	child.send_signal(signal.SIGHUP)
	assert child.wait(100) == 9
	END
}

@test "a signal right at the start is not lost and leaves nothing" {
	"$PYTHON" - "$top/davit" <<-'END'
	import random, signal, subprocess, sys, time
	for i in range(60):
	    child = subprocess.Popen([sys.argv[1], "run", "-q", "--", "sleep",
	                              "100"])
	    time.sleep(random.random() * 0.006)
	    child.terminate()
	    status = child.wait(100)
	    # By the signal itself before davit takes it, as 143 from then on.
	    assert status in (143, -15), status
	END
}

@test "a stop: the grace, then the kill, and nobody is waited for longer" {
	SECONDS=0
	run -124 sandbox --timeout 100ms --stop-signal USR1 --stop-timeout 300s -- \
		/bin/sh -c 'trap "exit 0" USR1; while :; do sleep 0.02; done'
	[ $SECONDS -lt 100 ] || fail 'waited for the whole grace'
	run -124 sandbox --timeout 100ms --stop-timeout 100ms -- \
		/bin/sh -c 'trap "" TERM; while :; do sleep 0.02; done'
}
