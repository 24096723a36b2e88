/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * davit diag TARGET VERB: one row per verb in diag.c. A row's options are rows
 * too, and say by offset which member of struct diag_cmd they set.
 */
#include <stdbool.h>
#include <stddef.h>

#include <davit/diag.h>
#include <davit/sandbox.h>

#include "base/buf.h"
#include "cli/opts.h"
#include "cli/relay.h"

enum {
	DIAG_ENV_MAX = 1024,
	DIAG_TIMEOUT_MS = 10000, /* of what should be done at once */
};

struct diag_cmd {
	const char *target;
	const struct dv_verb *verb;
	int argc; /* words after the options */
	char **argv;
	struct dv_sandbox *sandbox; /* owned; NULL: the target is none */
	struct dv_diag *diag;       /* owned, or the sandbox's */
	struct dv_loop *loop;       /* of diag */
	struct dv_err err;
	/* Options. Texts are borrowed from argv. */
	bool json, follow, reconnect, query, stop, tty, no_tty, nothing;
	bool group, all, clear_env, quiet, watch, relayed, latest;
	bool usage;               /* err is about the command line */
	struct dv_src stdout_src; /* of diag_end_with_reader() */
	const char *name, *update, *workdir, *user, *signal, *seconds;
	int timeout_ms; /* -1: not given */
	int watch_ms;
	uint32_t levels, snaplen;
	const char *env[DIAG_ENV_MAX + 1];
	size_t n_env;
};

/* A verb: < 0 failed with cmd->err, else its exit status. */
typedef int diag_fn(struct diag_cmd *cmd);
diag_fn diag_ping, diag_wait_ready, diag_exec, diag_shell, diag_inspect,
	diag_start, diag_kmsg, diag_cat, diag_crash, diag_core, diag_pcap,
	diag_restart, diag_pause, diag_resume, diag_saved_state, diag_pid,
	diag_ps, diag_kill, diag_gdb, diag_mem_profile, diag_relay;

/* dv_opt.which is an offset in struct diag_cmd. */
dv_opt_fn diag_set_flag, diag_set_text, diag_set_duration, diag_set_number,
	diag_set_watch, diag_add_env;

/*
 * Open cmd->target: how davit/vsock.h writes it, or the name of a sandbox.
 * Returns 0 or -errno with cmd->err.
 */
int diag_open(struct diag_cmd *cmd);
/* Idempotent. */
void diag_close(struct diag_cmd *cmd);

/* The options of both inspect verbs. */
/* clang-format off */
#define DIAG_AT(member) ((int)offsetof(struct diag_cmd, member))
#define DIAG_INSPECT_OPTS						\
	{ "levels", 'l', "N", "What",					\
	  "Show N levels of directories below PATH; deeper ones are shown as " \
	  "_. The default is all.",					\
	  diag_set_number, DIAG_AT(levels), 0, NULL },			\
	{ "watch", 'w', "[=INTERVAL]", "What",				\
	  "Ask again and again (every second without INTERVAL) and show " \
	  "counters as rates per second.",				\
	  diag_set_watch, DIAG_AT(watch_ms), 0, NULL },			\
	{ "update", 'u', "VALUE", "What",				\
	  "Set the value at PATH, and show what it is now.",		\
	  diag_set_text, DIAG_AT(update), 0, NULL },			\
	{ "timeout", 't', "DUR", "What",				\
	  "What has not been found by then is shown as unresolved; 0 waits " \
	  "for all. The default is 1s.",				\
	  diag_set_duration, DIAG_AT(timeout_ms), 0, NULL },		\
	{ "json", 0, NULL, "Output",					\
	  "One JSON document on one line, for each answer.",		\
	  diag_set_flag, DIAG_AT(json), 0, NULL }
/* clang-format on */

/* The deadline of an operation: what was asked for, or 10 s. */
struct dv_how diag_how(const struct diag_cmd *cmd);
/* argv[0] as a pid, or of --name. Returns 0 or -errno with cmd->err. */
int diag_find_pid(struct diag_cmd *cmd, int32_t *pidp);
/* Print to stdout. Returns 0 or -errno with cmd->err. */
int diag_print(struct diag_cmd *cmd, const char *data, size_t len);
/* -EINVAL with cmd->err when stdout is a terminal. */
int diag_not_to_terminal(struct diag_cmd *cmd);
/*
 * From now on, end as SIGPIPE ends when nobody reads stdout any more, and not
 * only with the next line. For what prints and then waits for long.
 */
void diag_end_with_reader(struct diag_cmd *cmd);
/* Bytes of @fd (consumed) to stdout, to the end; runs the loop. */
int diag_copy(struct diag_cmd *cmd, int fd);
/* Wrong usage, found by a verb: exit status 2 (125). Returns -EINVAL. */
int diag_usage(struct diag_cmd *cmd, const char *fmt, ...) DV_PRINTF(2, 3);
/* A failure of our own. Returns -sys. */
int diag_fail(struct diag_cmd *cmd, int sys, const char *what);

/* Append what @typed, a path of the tree, may become, one a line. */
void diag_complete_inspect(const char *target, const char *typed,
			   struct dv_buf *out);
