/* SPDX-License-Identifier: MIT */
#include "cli/envfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r';
}

static struct dv_str trim(struct dv_str line)
{
	if (line.len && line.ptr[line.len - 1] == '\r')
		line.len--;
	while (line.len && is_blank(*line.ptr)) {
		line.ptr++;
		line.len--;
	}
	return line;
}

/* Says what is wrong with a line that is no comment, or NULL. */
static const char *complaint(struct dv_str line)
{
	const char *eq = memchr(line.ptr, '=', line.len);
	size_t key = eq ? (size_t)(eq - line.ptr) : line.len;

	if (memchr(line.ptr, '\0', line.len))
		return "a NUL byte";
	if (key == 0)
		return "no name before the =";
	for (size_t i = 0; i < key; i++)
		if (is_blank(line.ptr[i]))
			return "a space in the name";
	return NULL;
}

static int take_line(struct dv_str line, struct dv_buf *entry,
		     dv_envfile_fn *fn, void *arg, struct dv_err *err)
{
	int r;

	dv_buf_reset(entry);
	r = dv_buf_put(entry, line.ptr, line.len);
	if (r < 0)
		return dv_err_sys(err, -r, "keep a line");
	return fn(arg, entry->data, err);
}

int dv_envfile_parse(const char *name, const char *text, size_t len,
		     dv_envfile_fn *fn, void *arg, struct dv_err *err)
{
	dv_autobuf entry = DV_BUF_INIT(DV_ENVFILE_MAX);
	const char *p = text, *end = text + len;

	if (len >= 3 && !memcmp(p, "\xef\xbb\xbf", 3))
		p += 3;
	for (unsigned int n = 1; p < end; n++) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		const char *stop = nl ? nl : end;
		struct dv_str line =
			trim((struct dv_str){ p, (size_t)(stop - p) });
		const char *bad;
		int r;

		p = nl ? nl + 1 : end;
		if (line.len == 0 || *line.ptr == '#')
			continue;
		bad = complaint(line);
		if (bad)
			return dv_err_set(err, EINVAL, DV_INVALID,
					  "%s: line %u: %s", name, n, bad);
		r = take_line(line, &entry, fn, arg, err);
		if (r < 0)
			return dv_err_wrap(err, r, "%s: line %u", name, n);
	}
	return 0;
}

int dv_envfile_read(const char *path, dv_envfile_fn *fn, void *arg,
		    struct dv_err *err)
{
	dv_autofree char *text = NULL;
	size_t len = 0;
	int r = dv_read_file(AT_FDCWD, path, DV_ENVFILE_MAX, &text, &len);

	if (r < 0)
		return dv_err_sys(err, -r, "read %s", path);
	return dv_envfile_parse(path, text, len, fn, arg, err);
}
