/* SPDX-License-Identifier: MIT */
/*
 * What help and the man pages say in sentences. A paragraph is one line of
 * text; an empty line separates two. "# TITLE" starts a section of the man
 * page, "  text" is an example that is shown as it is.
 */
#include "cli/help.h"

const char dv_prose_run[] =
	"Run CMD in a new sandbox, wait for it, and exit with its status. "
	"Options end at the first word that is none: what follows belongs to "
	"the command.\n\n"
	"Without --rootfs the command sees the system's own programs and "
	"libraries, read-only, and the current directory, read-only, unless "
	"that is a place of many things (/, /tmp, /var, a whole home "
	"directory, anything below /run): then it starts in / and davit says "
	"so. It has its own processes, network (loopback only), host name, "
	"/tmp, /dev, "
	"/home and /run. -W makes a path writable, -v brings another one "
	"in.\n\n"
	"With --rootfs the command runs in a container: DIR is its root, and "
	"what it changes is thrown away.\n\n"
	"Everything in the sandbox ends when the command ends, and when davit "
	"itself is killed.\n\n"
	"# STREAMS\n\n"
	"A stdin, stdout or stderr that is no terminal is handed to the "
	"command "
	"as it is. When stdin and stdout are terminals (or with -t) the "
	"command "
	"gets a terminal of its own and davit relays between the two; a "
	"terminal of the caller is never handed over. With --log, output goes "
	"through davit and is kept in a file too.\n\n"
	"# SIGNALS\n\n"
	"INT, TERM, HUP, QUIT, USR1, USR2 and CONT are passed on: to the "
	"command's process group when they come from the terminal, else to the "
	"command alone. TSTP stops the command's process group and then davit. "
	"A signal that is ignored when davit starts stays ignored.\n\n"
	"# EXIT STATUS\n\n"
	"The command's own status; 128 and the signal's number when a signal "
	"ended it; 124 when --timeout did; 125 when davit failed or was used "
	"wrongly; 126 when the command cannot be executed; 127 when it was not "
	"found.\n\n"
	"# FILES\n\n"
	"The index of --log FILE is FILE.idx: one entry of 32 bytes for each "
	"piece of output, little-endian: offset in FILE (8 bytes), Unix time "
	"in "
	"nanoseconds (8), length (4), stream (1: 1 is stdout, 2 is stderr), "
	"flags (1: 1 says that output before this entry is missing), zero (2), "
	"and how many bytes are missing (8).\n\n"
	"# ENVIRONMENT\n\n"
	"NO_COLOR switches colors off. DAVIT_LOG (error, warn, info, debug, "
	"trace) makes davit say what it does, on stderr.\n\n"
	"# EXAMPLES\n\n"
	"  davit run -- ls /\n"
	"  davit run -W . -m 512m --timeout 5m -- make test\n"
	"  davit run --rootfs /srv/debian -e LANG=C -- sh -c 'id; hostname'\n"
	"  davit run --json --log out.log -- ./job 2>record.json";

const char dv_prose_doctor[] =
	"Check what this machine and this user can do, without changing "
	"anything, and say how to fix what is missing.\n\n"
	"Each line says PASS, WARN (something optional is missing) or FAIL "
	"(davit run does not work without it).\n\n"
	"# EXIT STATUS\n\n"
	"0 when nothing failed, 1 when something did, 2 for wrong usage.";

const char dv_prose_help[] =
	"Explain davit, or one verb. The same as davit VERB --help.";

const char dv_prose_version[] = "Print the version of davit.";

const char dv_prose_diag[] =
	"Work in a guest and look into it, through the agent that runs there: "
	"run commands, read its log and files, capture packets, dump "
	"processes, and show its live state.\n\n"
	"TARGET says where the guest is: unix:PATH, vsock:PATH or PATH for a "
	"unix socket that leads into it (hybrid vsock, as virtual machine "
	"monitors make it), or vsock:CID[:PORT] for AF_VSOCK; 0, 1 and 2 are "
	"not guests and refused.\n\n"
	"The agent may be davit-agent or another server of the same "
	"protocol. "
	"What the other one cannot do, the verb says.\n\n"
	"stdout carries data only. Binary data is never written to a "
	"terminal.\n\n"
	"# EXIT STATUS\n\n"
	"Of exec and shell: the command's own; 128 and the signal's number "
	"when a signal ended it; 124 when --timeout did; 125 when davit "
	"failed, was used wrongly or lost the guest; 126 when the command "
	"cannot be executed; 127 when it was not found. Of other verbs: 0, 1 "
	"when the operation failed, 2 for wrong usage.\n\n"
	"# EXAMPLES\n\n"
	"  davit-agent --listen /tmp/guest &\n"
	"  davit diag /tmp/guest wait-ready\n"
	"  davit diag /tmp/guest exec -- uname -a\n"
	"  davit diag /tmp/guest shell\n"
	"  davit diag /tmp/guest inspect -w processes\n"
	"  davit diag /tmp/guest kmsg -f --reconnect\n"
	"  davit diag /tmp/guest core 4711 >core\n"
	"  davit diag /tmp/guest pcap -s 10 packets.pcapng";
