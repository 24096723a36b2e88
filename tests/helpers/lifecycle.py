#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Random verbs on many sandboxes, keepers and clients killed at random:
lifecycle.py DAVIT SANDBOXES SEQUENCES SEED

A sequence is a handful of verbs on one sandbox. What a verb answers and in which
state it leaves the sandbox is known beforehand (docs/keeper.md); `ps` has to say
that state after every step. Of a client that was killed half-way only two states
are possible: the one before and the one after.
"""
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

DAVIT, N, SEQUENCES, SEED = sys.argv[1], *map(int, sys.argv[2:5])
COMMAND = ["sh", "-c", "trap 'exit 3' TERM; echo up; while :; do "
           "sleep 1000 & wait $!; done"]
# Verbs by state: what the status is, and the state after it.
ANY = ("running", "paused", "exited", "dead")
RULES = {
    "exec": {"running": (7, "running"), "paused": (125, "paused"),
             "exited": (125, "exited"), "dead": (125, "dead")},
    "exec-d": {"running": (0, "running"), "paused": (125, "paused"),
               "exited": (125, "exited"), "dead": (125, "dead")},
    "pause": {"running": (0, "paused"), "paused": (1, "paused"),
              "exited": (1, "exited"), "dead": (1, "dead")},
    "resume": {"running": (1, "running"), "paused": (0, "running"),
               "exited": (1, "exited"), "dead": (1, "dead")},
    "stop": {"running": (0, "exited"), "paused": (0, "exited"),
             "exited": (0, "exited"), "dead": (0, "dead")},
    "kill": {"running": (0, "exited"), "paused": (0, "exited"),
             "exited": (1, "exited"), "dead": (1, "dead")},
    "restart": {s: (0, "running") for s in ANY},
    "update": {"running": (0, "running"), "paused": (0, "paused"),
               "exited": (1, "exited"), "dead": (1, "dead")},
    "upgrade": {"running": (0, "running"), "paused": (0, "paused"),
                "exited": (1, "exited"), "dead": (1, "dead")},
    "rename": {s: (0, s) for s in ANY},
    "logs": {s: (0, s) for s in ANY},
    "why": {s: (0, s) for s in ANY},
    "inspect": {s: (0, s) for s in ANY},
    "rm": {"running": (1, "running"), "paused": (1, "paused"),
           "exited": (0, None), "dead": (0, None)},
    "rm-f": {s: (0, None) for s in ANY},
    "run": {None: (0, "running"), **{s: (125, s) for s in ANY}},
    "wait": {"exited": (None, "exited"), "dead": (137, "dead")},
    "kill-keeper": {"running": (0, "dead"), "paused": (0, "dead")},
}
SETTLED = (None,) + ANY
faults, counts, lock = [], {}, threading.Lock()


def call(*words):
    return subprocess.run([DAVIT, *words], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=200)


class Box:
    def __init__(self, nr):
        self.nr, self.turn, self.state = nr, 0, None
        self.name = f"box{nr}"
        self.trace = []

    def fault(self, text):
        with lock:
            faults.append(f"{self.name}: {text}; before: "
                          + " ".join(self.trace[-8:]))

    def document(self):
        r = call("ps", "-a", "--json")
        if r.returncode:
            self.fault(f"ps: {r.returncode} {r.stderr.strip()}")
            return None
        rows = [x for x in json.loads(r.stdout) if x.get("name") == self.name]
        return rows[0] if rows else None

    def seen(self):
        """The state as ps says it, once it is one that lasts."""
        until = time.monotonic() + 60
        while True:
            d = self.document()
            state = d["state"] if d else None
            if state in SETTLED or time.monotonic() > until:
                return state
            time.sleep(0.01)

    def words(self, verb):
        n = self.name
        return {
            "exec": ["exec", n, "--", "sh", "-c", "exit 7"],
            "exec-d": ["exec", "-d", n, "--", "sleep", "1000"],
            "run": ["run", "-d", "--pids-limit", "200", "--name", n, "--",
                    *COMMAND],
            "kill": ["kill", "-s", "KILL", n],
            "update": ["update", "--pids-limit", "100", n],
            "rename": ["rename", n, f"box{self.nr}-{self.turn + 1}"],
            "rm-f": ["rm", "-f", n],
        }.get(verb, [verb, n])

    def kill_keeper(self):
        d = self.document()
        os.kill(d["keeper"], signal.SIGKILL)
        # The lock is let go when the process has gone.
        until = time.monotonic() + 60
        while self.seen() != "dead" and time.monotonic() < until:
            time.sleep(0.005)

    def step(self, rnd):
        choices = [v for v in RULES if self.state in RULES[v]]
        verb = rnd.choice(choices)
        status, after = RULES[verb][self.state]
        before = self.state
        interrupted = verb != "kill-keeper" and rnd.random() < 0.15
        self.trace.append(verb + ("!" if interrupted else ""))
        with lock:
            counts[self.trace[-1]] = counts.get(self.trace[-1], 0) + 1
        if verb == "kill-keeper":
            self.kill_keeper()
        elif interrupted:
            p = subprocess.Popen([DAVIT, *self.words(verb)],
                                 stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
            time.sleep(rnd.random() * 0.006)
            p.kill()
            p.wait()
            self.settle(verb, before, after)
            return
        else:
            r = call(*self.words(verb))
            if status is not None and r.returncode != status:
                self.fault(f"{verb} when {before}: status {r.returncode}, "
                           f"expected {status}: {r.stderr.strip()}")
            # A signal's end takes a moment.
            if verb == "kill" and status == 0:
                call("wait", self.name)
        if verb == "rename" and status == 0:
            self.turn += 1
            self.name = f"box{self.nr}-{self.turn}"
        self.state = after
        seen = self.seen()
        if seen != after:
            self.fault(f"{verb} when {before}: now {seen}, expected {after}")
            self.state = seen

    def find_name(self, other):
        """It has its old name or the other one, or changes it just now."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            time.sleep(0.03)
            old, self.name = self.name, other
            if self.document():
                self.turn += 1
                return
            self.name = old
            if self.document():
                return

    def settle(self, verb, before, after):
        """A client was killed: what it asked for has been done, or not, or it
        is being done."""
        if verb == "rename":
            self.find_name(f"box{self.nr}-{self.turn + 1}")
        for _ in range(200):
            # Who asks later is answered later: a keeper that answers this has
            # begun what it was asked before.
            call("inspect", self.name, "keeper/pid")
            seen = self.seen()
            # What is under way ends soon; whether it began is not known.
            time.sleep(0.03)
            if seen == self.seen():
                break
        possible = {before, after}
        if verb == "restart":
            # Between its stop and its start nobody is left who would start it,
            # when that is the client.
            possible |= {"exited"}
        if verb in ("rm-f", "run"):
            possible |= {None, "exited"}
        if seen not in possible:
            self.fault(f"{verb}! when {before}: now {seen}, possible "
                       f"{sorted(map(str, possible))}")
        self.state = seen


def drive(boxes, rnd, n):
    for _ in range(n):
        box = rnd.choice(boxes)
        for _ in range(rnd.randrange(3, 9)):
            try:
                box.step(rnd)
            except Exception as e:
                box.fault(f"{type(e).__name__}: {e}")
    for box in boxes:
        if box.seen() is not None:
            r = call("rm", "-f", box.name)
            if r.returncode:
                box.fault(f"last rm -f: {r.stderr.strip()}")


threads = []
WORKERS = 4
boxes = [Box(i) for i in range(N)]
for w in range(WORKERS):
    t = threading.Thread(target=drive, args=(
        boxes[w::WORKERS], random.Random(SEED * 100 + w),
        SEQUENCES // WORKERS))
    t.start()
    threads.append(t)
for t in threads:
    t.join()
left = call("ps", "-a", "-q").stdout.split()
if left:
    faults.append(f"left: {left}")
print("\n".join(faults[:30]))
print(f"{SEQUENCES} sequences, {sum(counts.values())} verbs, seed {SEED}, "
      f"{len(faults)} faults")
print(" ".join(f"{k}:{v}" for k, v in sorted(counts.items())))
sys.exit(bool(faults))
