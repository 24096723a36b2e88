/* SPDX-License-Identifier: MIT */
#include "runtime/plan/subid.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/num.h"
#include "runtime/plan/users.h"

enum { FILE_MAX = 1 << 20, IDS = 65536 };

/* One line, "name:start:count". */
static bool parse_line(char *line, const char *name, const char *number,
		       uint32_t *startp, uint32_t *countp)
{
	char *start = strchr(line, ':');
	char *count = start ? strchr(start + 1, ':') : NULL;
	uint64_t s, n;

	if (!count)
		return false;
	*start++ = '\0';
	*count++ = '\0';
	if ((!name[0] || strcmp(line, name) != 0) && strcmp(line, number) != 0)
		return false;
	if (dv_parse_u64(start, 1, UINT32_MAX - 1, &s) < 0 ||
	    dv_parse_u64(count, 1, UINT32_MAX - s, &n) < 0)
		return false;
	*startp = (uint32_t)s;
	*countp = (uint32_t)n;
	return true;
}

bool dv_subid_find(const char *text, const char *name, uid_t user,
		   uint32_t *startp, uint32_t *countp)
{
	char number[16], line[512];

	snprintf(number, sizeof(number), "%u", user);
	while (*text) {
		const char *end = strchrnul(text, '\n');
		size_t len = (size_t)(end - text);

		if (len < sizeof(line)) {
			memcpy(line, text, len);
			line[len] = '\0';
			if (parse_line(line, name, number, startp, countp))
				return true;
		}
		text = *end ? end + 1 : end;
	}
	return false;
}

static bool find_range(bool groups, uid_t user, uint32_t *startp,
		       uint32_t *countp)
{
	const char *file = groups ? "/etc/subgid" : "/etc/subuid";
	dv_autofd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	dv_autofree char *text = NULL;
	struct dv_user who = { 0 };
	char number[16];
	size_t len;

	if (dv_read_file(AT_FDCWD, file, FILE_MAX, &text, &len) < 0)
		return false;
	snprintf(number, sizeof(number), "%u", user);
	if (root >= 0)
		(void)dv_user_lookup(root, number, &who, NULL);
	return dv_subid_find(text, who.name, user, startp, countp);
}

bool dv_subid_map(struct dv_plan *plan, bool groups, uid_t user,
		  uint32_t inside, uint32_t outside)
{
	void (*add)(struct dv_plan *, uint32_t, uint32_t, uint32_t) =
		groups ? dv_plan_gid_map : dv_plan_uid_map;
	uint32_t start, count, below, above;

	if (!find_range(groups, user, &start, &count))
		return false;
	below = dv_min(dv_min(inside, (uint32_t)IDS), count);
	if (below)
		add(plan, 0, start, below);
	add(plan, inside, outside, 1);
	above = inside + 1 < IDS ? dv_min(IDS - inside - 1, count - below) : 0;
	if (above)
		add(plan, inside + 1, start + below, above);
	return true;
}
