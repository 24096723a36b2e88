/* SPDX-License-Identifier: MIT */
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fmt.h"

/* openat2() says EAGAIN when a rename elsewhere made ".." uncertain. */
#define OPENAT2_TRIES 32

int dv_path_join(char *out, size_t size, const char *a, const char *b)
{
	size_t a_len = strlen(a);
	const char *slash = "/";
	int len;

	if (a_len == 0 || *b == '\0') {
		slash = "";
	} else {
		while (a_len > 0 && a[a_len - 1] == '/')
			a_len--;
		b += strspn(b, "/");
	}
	len = dv_fmt(out, size, "%.*s%s%s", (int)a_len, a, slash, b);
	return (size_t)len < size ? 0 : -ENAMETOOLONG;
}

/* Append the components of @path to the clean path of *@lenp bytes in @out. */
static int append_clean(char *out, size_t size, size_t *lenp, const char *path)
{
	size_t len = *lenp;

	while (*path) {
		size_t n = strcspn(path, "/");

		if (n == 2 && path[0] == '.' && path[1] == '.') {
			while (len > 0 && out[--len] != '/')
				;
		} else if (n > 0 && !(n == 1 && path[0] == '.')) {
			if (n + 2 > size - len)
				return -ENAMETOOLONG;
			out[len] = '/';
			memcpy(out + len + 1, path, n);
			len += n + 1;
		}
		path += n;
		path += strspn(path, "/");
	}
	*lenp = len;
	return 0;
}

int dv_path_absolute(char *out, size_t size, const char *path)
{
	char cwd[PATH_MAX];
	size_t len = 0;
	int r = 0;

	if (size < 2)
		return -ENAMETOOLONG;
	if (path[0] != '/') {
		if (!getcwd(cwd, sizeof(cwd)))
			return errno == ERANGE ? -ENAMETOOLONG : -errno;
		if (cwd[0] != '/') /* "(unreachable)": outside of our root */
			return -ENOENT;
		r = append_clean(out, size, &len, cwd);
	}
	if (r == 0)
		r = append_clean(out, size, &len, path);
	if (r < 0)
		return r;
	if (len == 0)
		out[len++] = '/';
	out[len] = '\0';
	return 0;
}

int dv_path_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (n == 1 && dir[0] == '/')
		return path[0] == '/';
	return strncmp(path, dir, n) == 0 && (path[n] == '/' || !path[n]);
}

/* mkdir(); 0 when the directory is there afterwards. */
static int make_dir(const char *path, mode_t mode)
{
	struct stat st;
	int saved;

	if (mkdir(path, mode) == 0)
		return 0;
	saved = errno;
	if (saved != EEXIST)
		return -saved;
	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int dv_mkdir_p(const char *path, mode_t mode)
{
	char part[PATH_MAX];
	size_t len = strlen(path);
	int r;

	if (len >= sizeof(part))
		return -ENAMETOOLONG;
	r = make_dir(path, mode);
	if (r != -ENOENT || len == 0)
		return r;
	memcpy(part, path, len + 1);
	for (size_t i = strspn(part, "/"); i < len;) {
		i += strcspn(part + i, "/");
		part[i] = '\0';
		r = make_dir(part, mode);
		if (r < 0)
			return r;
		if (i < len)
			part[i] = '/';
		i += strspn(part + i, "/");
	}
	return 0;
}

int dv_open_in_root(int rootfd, const char *path, uint64_t flags, mode_t mode)
{
	bool creates = (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) != 0;
	struct open_how how = {
		.flags = flags | O_CLOEXEC,
		.mode = creates ? mode & 07777 : 0, /* else it is EINVAL */
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	long fd;
	int tries = 0;

	do
		fd = syscall(SYS_openat2, rootfd, path, &how, sizeof(how));
	while (fd < 0 && (errno == EINTR ||
			  (errno == EAGAIN && ++tries < OPENAT2_TRIES)));
	return fd < 0 ? -errno : (int)fd;
}
