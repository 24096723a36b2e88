/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/def.h"
#include "base/fmt.h"

/* Longer lines are cut: a line is one write, and one screenful at most. */
#define LINE_MAX_LEN 1024

static const char *const level_names[] = {
	[DV_LOG_ERROR] = "error", [DV_LOG_WARN] = "warn",
	[DV_LOG_INFO] = "info",   [DV_LOG_DEBUG] = "debug",
	[DV_LOG_TRACE] = "trace",
};
static_assert(DV_ARRAY_LEN(level_names) == DV_LOG_N, "a name for every level");

/* A line is one line, whatever the names in it contain. */
static void flatten(char *line)
{
	for (; *line; line++)
		if ((unsigned char)*line < ' ' || *line == 0x7f)
			*line = '?';
}

void dv_log_write(struct dv_log_sink *sink, enum dv_level level,
		  const char *fmt, ...)
{
	char line[LINE_MAX_LEN];
	va_list ap;

	va_start(ap, fmt);
	dv_vfmt(line, sizeof(line), fmt, ap);
	va_end(ap);
	flatten(line);
	sink->fn(sink, level, line);
}

int dv_log_parse_level(const char *word)
{
	for (size_t i = 0; i < DV_ARRAY_LEN(level_names); i++)
		if (strcmp(word, level_names[i]) == 0)
			return (int)i;
	return -EINVAL;
}
