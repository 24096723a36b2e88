/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/core.h"
#include "base/def.h"
#include "base/num.h"
#include "engine/child.h"

/* With the seconds since the machine started, as the kernel's log has them. */
static void log_line(struct dv_log_sink *sink, enum dv_level level,
		     const char *line)
{
	static const char *const names[] = { "ERROR", "WARN", "INFO", "DEBUG",
					     "TRACE" };
	uint64_t us = dv_now_ns() / 1000;

	(void)sink;
	fprintf(stderr, "%6llu.%06llus %5s %s\n",
		(unsigned long long)(us / 1000000),
		(unsigned long long)(us % 1000000), names[level], line);
}

static int usage(void)
{
	fputs("Usage: underhill-dump [-v] PID\n"
	      "Writes an ELF core of a running process to standard output; it "
	      "goes on.\n",
	      stderr);
	return 1;
}

static int dump(pid_t pid, struct dv_log_sink *log)
{
	uint64_t written;
	struct dv_core_opts opts = {
		.size = sizeof(opts),
		.kmsg = true,
		.log = log,
		.written = &written,
	};
	struct dv_err err = DV_ERR_INIT;

	dv_log(log, DV_LOG_INFO, "dumping pid=%d", pid);
	if (dv_core_write(pid, STDOUT_FILENO, &opts, &err) < 0) {
		dv_log(log, DV_LOG_ERROR, "%s", err.msg);
		if (err.hint[0])
			dv_log(log, DV_LOG_ERROR, "hint: %s", err.hint);
		return 1;
	}
	dv_log(log, DV_LOG_INFO, "done bytes=%llu",
	       (unsigned long long)written);
	return 0;
}

int dv_core_main(int argc, char **argv)
{
	struct dv_log_sink log = { DV_LOG_INFO, log_line };
	uint64_t pid;
	int opt;

	dv_child_reset_signals();
	while ((opt = getopt(argc, argv, "v")) >= 0) {
		if (opt != 'v')
			return usage();
		log.level = DV_LOG_DEBUG;
	}
	if (optind + 1 != argc ||
	    dv_parse_u64(argv[optind], 1, INT32_MAX, &pid) < 0)
		return usage();
	if (isatty(STDOUT_FILENO)) {
		dv_log(&log, DV_LOG_ERROR, "a core is not for a terminal");
		dv_log(&log, DV_LOG_ERROR, "hint: underhill-dump PID >FILE");
		return 1;
	}
	return dump((pid_t)pid, &log);
}
