# SPDX-License-Identifier: MIT
"""tab.py SHELL COMPLETIONS LINE: what an interactive shell makes of LINE when
the tab key is pressed at its end.

Prints the line as it is then and, after a line of dashes, what was shown below
it. The shell tells us through a pipe, so nothing depends on time."""
import os
import pty
import re
import select
import sys

DEADLINE = 60
SHOW = b"\x18p"  # ^Xp

SETUP = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], r"""
        source {dir}/davit.bash
        bind 'set bell-style none'
        bind 'set page-completions off'
        bind 'set completion-query-items 0'
        bind 'set show-all-if-ambiguous on'
        bind -x '"\C-xp": printf "%s\0" "$READLINE_LINE" >&9'
        """),
    "zsh": (["zsh", "-f", "-i"], r"""
        fpath=({dir} $fpath); autoload -U compinit; compinit -D -u
        unsetopt beep list_beep; LISTMAX=1000
        show() {{ print -rn -- "$BUFFER"$'\0' >&9 }}
        zle -N show; bindkey '^Xp' show
        """),
}


def clean(screen):
    text = screen.decode(errors="replace")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]", "", text)
    return text.replace("\r", "\n")


class Shell:
    def __init__(self, name, where):
        argv, setup = SETUP[name]
        self.told, told = os.pipe()
        pid, self.tty = pty.fork()
        if pid == 0:
            os.dup2(told, 9)
            os.environ.update(TERM="xterm", PS1="", PS2="", INPUTRC="/dev/null")
            os.execvp(argv[0], argv)
        os.close(told)
        self.pid = pid
        self.screen = b""
        for line in setup.format(dir=where).strip().splitlines():
            self.type(line.strip().encode() + b"\n")
        self.type(b"printf '\\0' >&9\n")
        self.hear()

    def type(self, keys):
        while keys:
            self.wait(self.tty, True)
            keys = keys[os.write(self.tty, keys):]

    def wait(self, fd, write=False):
        """Until @fd is ready; what is shown meanwhile is kept."""
        while True:
            r, w, _ = select.select([fd, self.tty], [fd] if write else [], [],
                                    DEADLINE)
            if not r and not w:
                sys.exit(f"nothing happens: {self.screen!r}")
            if self.tty in r:
                self.screen += os.read(self.tty, 65536)
            if fd in (w if write else r):
                return

    def hear(self):
        """What the shell says through the pipe, up to a NUL."""
        said = b""
        while not said.endswith(b"\0"):
            self.wait(self.told)
            said += os.read(self.told, 65536)
        return said[:-1].decode()


def main():
    name, where, line = sys.argv[1:]
    shell = Shell(name, where)
    shell.screen = b""
    shell.type(line.encode() + b"\t" + SHOW)
    now = shell.hear()
    os.close(shell.tty)
    os.waitpid(shell.pid, 0)
    print(now)
    print("-----")
    print(clean(shell.screen))


main()
