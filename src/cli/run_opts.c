/* SPDX-License-Identifier: MIT */
#include "cli/run_args.h"

#include "base/def.h"
#include "cli/run_apply.h"

/*
 * One row, one place: how an option is spelled, what the help says, what a
 * shell completes, and the function that applies it.
 */
#define G_WHERE    "Boundary"
#define G_WHAT     "Command"
#define G_FILES    "Files"
#define G_LIMITS   "Limits"
#define G_SECURITY "Security"
#define G_KEEPING  "Keeping"
#define G_STREAMS  "Streams"
#define G_ENDING   "Ending"
#define G_RECORDS  "Records"

// clang-format off
const struct dv_opt dv_run_opts[] = {
	{ "in", 0, "BOUNDARY", G_WHERE,
	  "What isolates: process (the system's own programs, read-only) or "
	  "container (a root directory of its own; needs --rootfs).",
	  dv_apply_in, 0, DV_COMPLETE_WORDS, "process container" },
	{ "rootfs", 0, "DIR[:ro|:rw]", G_WHERE,
	  "Run in a container whose root is DIR. Changes are thrown away; with "
	  ":ro nothing can be changed, with :rw DIR itself is.",
	  dv_apply_rootfs, 0, DV_COMPLETE_DIR, NULL },
	{ "net", 0, "NET", G_WHERE,
	  "Network: none (loopback only, the default) or host.",
	  dv_apply_net, 0, DV_COMPLETE_WORDS, "none host" },
	{ "hostname", 0, "NAME", G_WHERE,
	  "Host name inside, up to 64 bytes.",
	  dv_apply_text, DV_SET_HOSTNAME, 0, NULL },
	{ "best-effort", 0, NULL, G_WHERE,
	  "Go on when this machine cannot give a protection or limit, and say "
	  "what is missing, instead of refusing to start.",
	  dv_apply_flag, DV_SET_BEST_EFFORT, 0, NULL },

	{ "env", 'e', "KEY[=VALUE]", G_WHAT,
	  "Set a variable; without = the caller's value is passed on, if there "
	  "is one.",
	  dv_apply_text, DV_SET_ENV, 0, NULL },
	{ "env-file", 0, "FILE", G_WHAT,
	  "Read variables from FILE: one KEY=VALUE or KEY a line, # starts a "
	  "comment, nothing is quoted.",
	  dv_apply_env_file, 0, DV_COMPLETE_FILE, NULL },
	{ "clear-env", 0, NULL, G_WHAT,
	  "Start from an empty environment; -e and --env-file fill it.",
	  dv_apply_flag, DV_SET_CLEAR_ENV, 0, NULL },
	{ "workdir", 'w', "DIR", G_WHAT,
	  "Working directory inside.",
	  dv_apply_text, DV_SET_WORKDIR, 0, NULL },
	{ "user", 'u', "USER[:GROUP]", G_WHAT,
	  "Run as this user, by name or number, looked up in the sandbox's own "
	  "files.",
	  dv_apply_text, DV_SET_USER, 0, NULL },
	{ "nice", 0, "N", G_WHAT,
	  "Scheduling priority, from -20 to 19.",
	  dv_apply_number, DV_SET_NICE, 0, NULL },
	{ "oom-score-adj", 0, "N", G_WHAT,
	  "How soon the kernel kills it when memory runs out, from -1000 to "
	  "1000.",
	  dv_apply_number, DV_SET_OOM_SCORE, 0, NULL },
	{ "umask", 0, "MASK", G_WHAT,
	  "File mode mask, in octal.",
	  dv_apply_umask, 0, 0, NULL },

	{ "volume", 'v', "SRC:DST[:ro]", G_FILES,
	  "Make SRC of the host visible at DST; with :ro it can only be read.",
	  dv_apply_volume, 0, DV_COMPLETE_FILE, NULL },
	{ "writable", 'W', "PATH", G_FILES,
	  "Make PATH of the host visible at the same place, writable.",
	  dv_apply_writable, 0, DV_COMPLETE_FILE, NULL },
	{ "tmpfs", 0, "PATH[:size=SIZE]", G_FILES,
	  "An empty file system in memory at PATH.",
	  dv_apply_tmpfs, 0, 0, NULL },
	{ "read-only", 0, NULL, G_FILES,
	  "Make the root read-only. Volumes and tmpfs keep their mode.",
	  dv_apply_flag, DV_SET_READ_ONLY, 0, NULL },
	{ "fd", 0, "N[=M]", G_FILES,
	  "Hand the caller's descriptor N to the command as M (the same number "
	  "without =M). M is 3 to 1023.",
	  dv_apply_fd, 0, 0, NULL },

	{ "memory", 'm', "SIZE", G_LIMITS,
	  "Memory, swap included: 64m, 1.5g, or bytes.",
	  dv_apply_memory, 0, 0, NULL },
	{ "cpus", 'c', "N", G_LIMITS,
	  "Processors' worth of time: 1.5 is one and a half.",
	  dv_apply_cpus, 0, 0, NULL },
	{ "pids-limit", 0, "N", G_LIMITS,
	  "Processes and threads at the same time.",
	  dv_apply_number, DV_SET_PIDS, 0, NULL },
	{ "io-weight", 0, "N", G_LIMITS,
	  "Share of the disk, from 1 to 10000; 100 is usual.",
	  dv_apply_number, DV_SET_IO_WEIGHT, 0, NULL },
	{ "ulimit", 0, "NAME=SOFT[:HARD]", G_LIMITS,
	  "A resource limit of the process, for example nofile=1024:4096; "
	  "unlimited is a value too.",
	  dv_apply_ulimit, 0, 0, NULL },

	{ "cap-add", 0, "CAP", G_SECURITY,
	  "Give a capability, for example net_raw, or ALL.",
	  dv_apply_text, DV_SET_CAP_ADD, 0, NULL },
	{ "cap-drop", 0, "CAP", G_SECURITY,
	  "Take a capability away, or ALL. Dropping comes before adding.",
	  dv_apply_text, DV_SET_CAP_DROP, 0, NULL },
	{ "seccomp", 0, "FILE", G_SECURITY,
	  "System call filter: a JSON profile in the OCI format, or unconfined. "
	  "Without this option davit's own filter is used.",
	  dv_apply_text, DV_SET_SECCOMP, DV_COMPLETE_FILE, NULL },

	{ "detach", 'd', NULL, G_KEEPING,
	  "Leave the sandbox behind with a keeper of its own, and print its name "
	  "or id. What it writes is kept: davit logs.",
	  dv_apply_keep_flag, DV_SET_DETACH, 0, NULL },
	{ "name", 0, "NAME", G_KEEPING,
	  "What it is called: lower-case letters, digits, dots, dashes and "
	  "underscores, up to 63. It stays known until davit rm.",
	  dv_apply_name, 0, 0, NULL },
	{ "label", 'l', "KEY=VALUE", G_KEEPING,
	  "Something to remember about it; davit ps can look for it.",
	  dv_apply_label, 0, 0, NULL },
	{ "restart", 0, "POLICY", G_KEEPING,
	  "Start it again when it has ended: no (the default), on-failure (after "
	  "a status that is not 0; on-failure:N at most N times) or always. A "
	  "stop is its end in any case. With -d.",
	  dv_apply_restart, 0, DV_COMPLETE_WORDS, "no on-failure always" },
	{ "ttl", 0, "DUR", G_KEEPING,
	  "Stop it for good this long after its start. With -d.",
	  dv_apply_keep_time, DV_ASKED_TTL, 0, NULL },
	{ "idle-timeout", 0, "DUR", G_KEEPING,
	  "Stop it for good when for so long it wrote nothing, nobody wrote to "
	  "it, and no davit exec ran in it. With -d.",
	  dv_apply_keep_time, DV_ASKED_IDLE, 0, NULL },
	{ "health", 0, "CMD", G_KEEPING,
	  "Ask every so often how it is: a line for /bin/sh in the sandbox, whose "
	  "status 0 is good. With -d.",
	  dv_apply_health, 0, 0, NULL },
	{ "health-interval", 0, "DUR", G_KEEPING,
	  "How often, and how long an answer may take. The default is 30s.",
	  dv_apply_keep_time, DV_ASKED_HEALTH_INTERVAL, 0, NULL },
	{ "health-retries", 0, "N", G_KEEPING,
	  "So many bad answers in a row are bad health. The default is 3.",
	  dv_apply_retries, 0, 0, NULL },
	{ "log-max", 0, "SIZE", G_KEEPING,
	  "How much of what it writes is kept, the latest: 64m is the default, "
	  "and all is a value too. With -d.",
	  dv_apply_log_max, 0, 0, NULL },

	{ "tty", 't', NULL, G_STREAMS,
	  "Give the command a terminal of its own. This is the default exactly "
	  "when stdin and stdout are terminals.",
	  dv_apply_tty, DV_YES, 0, NULL },
	{ "no-tty", 0, NULL, G_STREAMS,
	  "Never give it a terminal; what is one here becomes a pipe there.",
	  dv_apply_tty, DV_NO, 0, NULL },
	{ "interactive", 'i', NULL, G_STREAMS,
	  "Connect stdin. A foreground run always does; with -d it stays open "
	  "for who attaches.",
	  dv_apply_keep_flag, DV_SET_INPUT, 0, NULL },
	{ "log", 0, "FILE", G_STREAMS,
	  "Also append what the command writes to FILE, as raw bytes, with an "
	  "index of times in FILE.idx.",
	  dv_apply_keep, DV_SET_LOG, DV_COMPLETE_FILE, NULL },
	{ "drain", 0, "exit|eof|DUR", G_STREAMS,
	  "When the command has ended but a relayed stream is still held open: "
	  "read what is there (exit), wait for its end (eof), or wait at most "
	  "DUR. The default is 2s.",
	  dv_apply_drain, 0, DV_COMPLETE_WORDS, "exit eof" },

	{ "timeout", 0, "DUR", G_ENDING,
	  "Stop the command after this time (10, 1.5s, 200ms, 2m); the exit "
	  "status is 124 then.",
	  dv_apply_duration, DV_SET_TIMEOUT, 0, NULL },
	{ "stop-signal", 0, "SIGNAL", G_ENDING,
	  "What a stop sends first. The default is TERM.",
	  dv_apply_stop_signal, 0, DV_COMPLETE_WORDS,
	  "TERM INT QUIT HUP KILL USR1 USR2" },
	{ "stop-timeout", 0, "DUR", G_ENDING,
	  "How long a stop waits before it kills. The default is 10s.",
	  dv_apply_duration, DV_SET_STOP_TIMEOUT, 0, NULL },
	{ "rm", 0, NULL, G_ENDING,
	  "Leave nothing behind when it has ended. A foreground run without "
	  "--name never does.",
	  dv_apply_keep_flag, DV_SET_REMOVE, 0, NULL },

	{ "json", 0, NULL, G_RECORDS,
	  "Write the exit record, or the error, as the last line on stderr, in "
	  "JSON.",
	  dv_apply_flag, DV_SET_JSON, 0, NULL },
	{ "record", 0, "PATH|fd:N", G_RECORDS,
	  "Write the exit record to a file or to descriptor N instead.",
	  dv_apply_record, 0, DV_COMPLETE_FILE, NULL },
	{ "timing", 0, NULL, G_RECORDS,
	  "Print where the time went, step by step, on stderr.",
	  dv_apply_flag, DV_SET_TIMING, 0, NULL },
	{ "pidfile", 0, "FILE", G_RECORDS,
	  "Write the command's process id to FILE while it runs.",
	  dv_apply_keep, DV_SET_PIDFILE, DV_COMPLETE_FILE, NULL },
	{ "info-fd", 0, "N", G_RECORDS,
	  "Write one line of JSON about what was started (id, pid, init_pid) to "
	  "descriptor N and close it.",
	  dv_apply_info_fd, 0, 0, NULL },
	{ "quiet", 'q', NULL, G_RECORDS,
	  "Do not say what isolates.",
	  dv_apply_flag, DV_SET_QUIET, 0, NULL },

	/* Known, so that the answer is better than "unknown option". */
	{ "vm", 0, NULL, NULL, NULL, dv_apply_later, DV_LATER_VM, 0, NULL },
	{ "kernel", 0, "FILE", NULL, NULL, dv_apply_later, DV_LATER_VM, 0,
	  NULL },
};
// clang-format on
const size_t dv_n_run_opts = DV_ARRAY_LEN(dv_run_opts);
