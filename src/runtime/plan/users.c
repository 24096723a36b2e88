/* SPDX-License-Identifier: MIT */
#include "runtime/plan/users.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/num.h"
#include "base/path.h"

enum { FILE_MAX = 4 << 20, FIELDS = 7 };

/* One file of lines of colon-separated fields, split in place. */
struct table {
	char *text; /* owned */
	char *next;
};

static int table_open(struct table *t, int rootfd, const char *path)
{
	dv_autofd int fd = dv_open_in_root(
		rootfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	char self[32];
	struct stat st;
	size_t len;
	int r;

	t->text = t->next = NULL;
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL; /* a pipe in an image must not block us */
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	r = dv_read_file(AT_FDCWD, self, FILE_MAX, &t->text, &len);
	t->next = t->text;
	return r;
}

/* The next line's fields; missing ones are "". False at the end. */
static bool table_next(struct table *t, const char *field[FIELDS])
{
	char *line = t->next, *end;

	if (!line || !*line)
		return false;
	end = strchrnul(line, '\n');
	t->next = *end ? end + 1 : end;
	*end = '\0';
	for (int i = 0; i < FIELDS; i++) {
		field[i] = line ? line : "";
		if (!line)
			continue;
		line = strchr(line, ':');
		if (line)
			*line++ = '\0';
	}
	return true;
}

static bool parse_id(const char *s, uint32_t *id)
{
	uint64_t v;

	if (dv_parse_u64(s, 0, UINT32_MAX - 1, &v) < 0)
		return false;
	*id = (uint32_t)v;
	return true;
}

/* Find the user by name or number; with an entry, all but the groups. */
static int find_user(int rootfd, const char *key, struct dv_user *user,
		     bool *found)
{
	uint32_t id = 0, uid, gid;
	bool numeric = parse_id(key, &id);
	const char *f[FIELDS];
	struct table t;
	int r = table_open(&t, rootfd, "/etc/passwd");

	*found = false;
	while (r == 0 && !*found && table_next(&t, f)) {
		if (!parse_id(f[2], &uid) || !parse_id(f[3], &gid))
			continue;
		if (strcmp(f[0], key) != 0 && !(numeric && uid == id))
			continue;
		*found = true;
		user->uid = uid;
		user->gid = gid;
		snprintf(user->home, sizeof(user->home), "%s", f[5]);
		snprintf(user->name, sizeof(user->name), "%s", f[0]);
	}
	if (r == 0 && !*found && numeric) {
		user->uid = id;
		user->gid = 0;
		*found = true;
	}
	free(t.text);
	return r;
}

static bool is_member(const char *list, const char *name)
{
	size_t len = strlen(name);

	while (*list) {
		const char *end = strchrnul(list, ',');

		if ((size_t)(end - list) == len &&
		    strncmp(list, name, len) == 0)
			return true;
		list = *end ? end + 1 : end;
	}
	return false;
}

static int find_groups(int rootfd, struct dv_user *user)
{
	const char *f[FIELDS];
	struct table t;
	uint32_t gid;
	int r = table_open(&t, rootfd, "/etc/group");

	while (r == 0 && user->name[0] && table_next(&t, f))
		if (parse_id(f[2], &gid) && gid != user->gid &&
		    is_member(f[3], user->name) &&
		    user->n_groups < DV_USER_GROUPS_MAX)
			user->groups[user->n_groups++] = gid;
	free(t.text);
	return r;
}

static int find_group(int rootfd, const char *key, gid_t *gidp, bool *found)
{
	const char *f[FIELDS];
	struct table t;
	uint32_t gid;
	int r;

	*found = parse_id(key, gidp);
	if (*found)
		return 0;
	r = table_open(&t, rootfd, "/etc/group");
	while (r == 0 && !*found && table_next(&t, f)) {
		if (strcmp(f[0], key) == 0 && parse_id(f[2], &gid)) {
			*gidp = gid;
			*found = true;
		}
	}
	free(t.text);
	return r;
}

static int unknown(struct dv_err *err, const char *kind, const char *name)
{
	dv_err_hint(err, "names are looked up in the sandbox's /etc/passwd and "
			 "/etc/group; a number needs no entry");
	return dv_err_step(err,
			   dv_err_set(err, ENOENT, DV_NOT_FOUND,
				      "unknown %s %s", kind, name),
			   DV_STEP_CONFIG);
}

int dv_user_lookup(int rootfd, const char *text, struct dv_user *user,
		   struct dv_err *err)
{
	char key[256];
	const char *colon = strchrnul(text, ':');
	size_t len = (size_t)(colon - text);
	bool found;
	int r;

	memset(user, 0, sizeof(*user));
	if (len == 0 || len >= sizeof(key))
		return unknown(err, "user", text);
	memcpy(key, text, len);
	key[len] = '\0';
	r = find_user(rootfd, key, user, &found);
	if (r == 0 && !found)
		return unknown(err, "user", key);
	if (r == 0 && *colon) {
		r = find_group(rootfd, colon + 1, &user->gid, &found);
		if (r == 0 && !found)
			return unknown(err, "group", colon + 1);
	} else if (r == 0) {
		r = find_groups(rootfd, user);
	}
	if (r < 0)
		return dv_err_step(err,
				   dv_err_sys(err, -r, "look up user %s", text),
				   DV_STEP_CONFIG);
	return 0;
}
