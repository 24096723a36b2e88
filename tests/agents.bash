# SPDX-License-Identifier: MIT
# What the tests that start an agent share, beside lib.bash.

# agent_ready SOCKET: somebody answers there, and not only one that has ended
# and left the file. No wait-ready: whoever is refused once, because he came
# first, tries again only after a second.
agent_ready()
{
	soon agent_answers "$1"
}

agent_answers()
{
	timeout -s KILL 100 "$DAVIT" diag "$1" ping >/dev/null 2>&1
}
