/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Logging. A library never prints: it calls the sink that its owner set; with
 * none, nothing happens. Levels are tested before arguments are formatted.
 */
#include <davit/err.h>

enum dv_level {
	DV_LOG_ERROR,
	DV_LOG_WARN,
	DV_LOG_INFO,
	DV_LOG_DEBUG,
	DV_LOG_TRACE,
	DV_LOG_N
};

struct dv_log_sink {
	enum dv_level level; /* the highest that is wanted */
	void (*fn)(struct dv_log_sink *sink, enum dv_level level,
		   const char *line);
};

/* @sink may be NULL. "key=value" fields come last in @fmt, by convention. */
#define dv_log(sink, lvl, ...)                                     \
	do {                                                       \
		struct dv_log_sink *dv_sink = (sink);              \
		if (dv_sink && (lvl) <= dv_sink->level)            \
			dv_log_write(dv_sink, (lvl), __VA_ARGS__); \
	} while (0)
void dv_log_write(struct dv_log_sink *sink, enum dv_level level,
		  const char *fmt, ...) DV_PRINTF(3, 4);
/* "error", "warn", ...; -EINVAL for other words. */
int dv_log_parse_level(const char *word);
