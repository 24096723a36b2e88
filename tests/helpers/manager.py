#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""manager.py [OPTION...] -- CMD...: start CMD as a service manager does.

  --fd KIND     pass one more descriptor, from 3 on: null, unix (a stream socket
                that listens, at DIR/door-N), bound (one that does not), dgram,
                inet (TCP that listens)
  --names TEXT  LISTEN_FDNAMES
  --set K=V     set this variable at last; "SELF" in V is CMD's own pid
  --unset K     do not set this one
  --abstract    the notify socket has no path
  --ready SH    run this with sh -c when READY=1 came
  --fed N       make the file DIR/fed when WATCHDOG=1 came N times
  --term        send SIGTERM when READY=1 came
  --knock       say CONNECT 1 at door-0 before CMD is started; the answer is
                printed as ["answer", text]
  --dir DIR     where sockets are made

CMD is started by fork and exec, so LISTEN_PID is right. Every message is
printed as a line of JSON, [who, text], where who is "main" when CMD itself sent
it, at last ["exit", status]; a status below 0 is a signal.
"""
import argparse
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys


def parse():
    p = argparse.ArgumentParser()
    p.add_argument("--fd", action="append", default=[])
    p.add_argument("--names")
    p.add_argument("--set", action="append", default=[])
    p.add_argument("--unset", action="append", default=[])
    p.add_argument("--abstract", action="store_true")
    p.add_argument("--ready")
    p.add_argument("--fed", type=int, default=0)
    p.add_argument("--term", action="store_true")
    p.add_argument("--knock", action="store_true")
    p.add_argument("--dir", required=True)
    p.add_argument("cmd", nargs="+")
    return p.parse_args()


def make_fd(kind, path):
    """Returns what has to stay open and its number."""
    if kind == "null":
        f = open("/dev/null", "r+b", buffering=0)
        return f, f.fileno()
    if kind == "inet":
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.bind(("127.0.0.1", 0))
        s.listen()
        return s, s.fileno()
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if kind == "dgram"
                      else socket.SOCK_STREAM)
    s.bind(path)
    if kind == "unix":
        s.listen(1)
    return s, s.fileno()


def notify_socket(args):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    if args.abstract:
        name = "@davit-test-%d" % os.getpid()
        s.bind("\0" + name[1:])
    else:
        name = args.dir + "/notify"
        s.bind(name)
        os.chmod(name, 0o777)
    return s, name


def child(args, fds, notify):
    # Out of the way first: the numbers that are wanted may be in use.
    high = [os.dup2(fd, 200 + n, False) for n, fd in enumerate(fds)]
    for n, fd in enumerate(high):
        os.dup2(fd, 3 + n, True)
    os.closerange(3 + len(fds), 400)
    env = dict(os.environ, NOTIFY_SOCKET=notify)
    if fds:
        env["LISTEN_FDS"] = str(len(fds))
        env["LISTEN_PID"] = str(os.getpid())
    if args.names is not None:
        env["LISTEN_FDNAMES"] = args.names
    for name in args.unset:
        env.pop(name, None)
    for pair in args.set:
        name, value = pair.split("=", 1)
        env[name] = value.replace("SELF", str(os.getpid()))
    os.execvpe(args.cmd[0], args.cmd, env)


def say(*what):
    print(json.dumps(what), flush=True)


def on_message(args, s, pid):
    data, control, _, _ = s.recvmsg(65536, socket.CMSG_SPACE(12))
    sender = struct.unpack("3i", control[0][2])[0]
    text = data.decode()
    say("main" if sender == pid else "other", text)
    if "WATCHDOG=1" in text.split("\n"):
        args.fed -= 1
        if args.fed == 0:
            open(args.dir + "/fed", "w").close()
    if "READY=1" not in text.split("\n"):
        return
    if args.ready:
        subprocess.run(["sh", "-c", args.ready], check=False,
                       env=dict(os.environ, MAIN=str(pid)))
    if args.term:
        os.kill(pid, signal.SIGTERM)


def knock(args):
    if not args.knock:
        return None
    s = socket.socket(socket.AF_UNIX)
    s.connect(args.dir + "/door-0")
    s.sendall(b"CONNECT 1\n")
    return s


def main():
    args = parse()
    kept = [make_fd(kind, "%s/door-%d" % (args.dir, n))
            for n, kind in enumerate(args.fd)]
    s, name = notify_socket(args)
    early = knock(args)
    pid = os.fork()
    if pid == 0:
        try:
            child(args, [fd for _, fd in kept], name)
        except OSError as e:
            print(e, file=sys.stderr)
        os._exit(99)
    over = os.pidfd_open(pid)
    while True:
        watched = [s, over] + ([early] if early else [])
        ready, _, _ = select.select(watched, [], [], 60)
        if s in ready:
            on_message(args, s, pid)
        elif early in ready:
            say("answer", early.recv(4096).decode())
            early = None
        elif over in ready:
            break
        else:
            say("exit", "it is still there")
            os.kill(pid, signal.SIGKILL)
            break
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    say("exit", status)


main()
