/* SPDX-License-Identifier: MIT */
/*
 * Users and groups of a root that somebody else made. The input is three parts
 * with a NUL between: what is asked for, passwd, group. What is found fits its
 * place.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "runtime/plan/users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/tmp/davit-fuzz.XXXXXX";
static int root = -1;

static void remove_root(void)
{
	unlinkat(root, "etc/passwd", 0);
	unlinkat(root, "etc/group", 0);
	unlinkat(root, "etc", AT_REMOVEDIR);
	rmdir(dir);
}

static void make_root(void)
{
	if (root >= 0)
		return;
	dv_assert(mkdtemp(dir));
	root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	dv_assert(root >= 0 && mkdirat(root, "etc", 0700) == 0);
	atexit(remove_root);
}

static void put(const char *path, const char *text, size_t len)
{
	int fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0600);

	dv_assert(fd >= 0 && dv_write_full(fd, text, len) == 0);
	dv_close(fd);
}

/* The part of @text up to a NUL; *@text is what follows. */
static size_t next_part(const char **text, size_t *left)
{
	const char *end = *left ? memchr(*text, '\0', *left) : NULL;
	size_t n = end ? (size_t)(end - *text) : *left;

	*left -= end ? n + 1 : n;
	*text += end ? n + 1 : n;
	return n;
}

static void look_up(const char *who)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_user user;

	if (dv_user_lookup(root, who, &user, &err) < 0) {
		dv_assert(err.msg[0]);
		return;
	}
	dv_assert(user.uid != (uid_t)-1 && user.gid != (gid_t)-1);
	dv_assert(user.n_groups <= DV_USER_GROUPS_MAX);
	dv_assert(memchr(user.home, '\0', sizeof(user.home)));
	for (size_t i = 0; i < user.n_groups; i++)
		dv_assert(user.groups[i] != (gid_t)-1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *passwd, *group;
	size_t left = size, n_who, n_passwd, n_group;
	char who[300];

	if (size > 65536)
		return 0;
	make_root();
	n_who = next_part(&text, &left);
	passwd = text;
	n_passwd = next_part(&text, &left);
	group = text;
	n_group = next_part(&text, &left);
	if (n_who >= sizeof(who))
		return 0;
	memcpy(who, data, n_who);
	who[n_who] = '\0';
	put("etc/passwd", passwd, n_passwd);
	put("etc/group", group, n_group);
	look_up(who);
	return 0;
}
