/* SPDX-License-Identifier: MIT */
#include <davit/vsock.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fmt.h"
#include "base/num.h"
#include "transport/dial.h"
#include "transport/unix.h"
#include "transport/vsock.h"
#include "wire/hvsock.h"

#define UNIX_PREFIX  "unix:"
#define VSOCK_PREFIX "vsock:"

enum { NUMBERS_MAX = 24 }; /* "4294967295:4294967294" and a NUL */

static bool begins(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool looks_like_path(const char *text)
{
	return text[0] == '.' || strchr(text, '/');
}

static int path_target(const char *path, struct dv_target *t,
		       struct dv_err *err)
{
	size_t len = strlen(path);

	if (len == 0)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "a target without a path");
	if (len >= sizeof(t->path)) {
		dv_err_sys(err, ENAMETOOLONG, "target %s", path);
		dv_err_hint(err, "a socket's path has at most %zu bytes",
			    sizeof(t->path) - 1);
		return -ENAMETOOLONG;
	}
	t->kind = DV_TARGET_PATH;
	memcpy(t->path, path, len + 1);
	return 0;
}

/* "CID" or "CID:PORT". */
static int cid_target(const char *text, struct dv_target *t, struct dv_err *err)
{
	char numbers[NUMBERS_MAX];
	uint64_t cid = 0, port = 0;
	int len = dv_fmt(numbers, sizeof(numbers), "%s", text);
	char *colon = strchr(numbers, ':');
	int r = len < NUMBERS_MAX ? 0 : -ERANGE;

	if (colon)
		*colon = '\0';
	if (r == 0)
		r = dv_parse_u64(numbers, 0, UINT32_MAX, &cid);
	/* The highest port means "any"; 0 is ours for "none was given". */
	if (r == 0 && colon)
		r = dv_parse_u64(colon + 1, 1, UINT32_MAX - 1, &port);
	if (r < 0) {
		dv_err_set(err, EINVAL, DV_INVALID,
			   "vsock target %s is not CID or CID:PORT", text);
		dv_err_hint(err, "if it is a path: vsock:./%s", text);
		return -EINVAL;
	}
	r = dv_af_vsock_check_cid((uint32_t)cid, err);
	if (r < 0)
		return r;
	t->kind = DV_TARGET_CID;
	t->cid = (uint32_t)cid;
	t->port = (uint32_t)port;
	return 0;
}

int dv_target_parse(const char *text, struct dv_target *targetp,
		    struct dv_err *err)
{
	struct dv_target t = { .kind = DV_TARGET_PATH };
	int r;

	if (begins(text, UNIX_PREFIX)) {
		r = path_target(text + strlen(UNIX_PREFIX), &t, err);
	} else if (begins(text, VSOCK_PREFIX)) {
		text += strlen(VSOCK_PREFIX);
		if (!looks_like_path(text) && text[0] >= '0' && text[0] <= '9')
			r = cid_target(text, &t, err);
		else
			r = path_target(text, &t, err);
	} else if (looks_like_path(text)) {
		r = path_target(text, &t, err);
	} else {
		r = dv_err_set(err, EINVAL, DV_INVALID,
			       "target %s is neither a path nor vsock:CID",
			       text);
		dv_err_hint(err, "a socket in this directory is ./%s", text);
	}
	if (r == 0)
		*targetp = t;
	return r;
}

/* ---- connections that a guest makes ----------------------------------- */

static int join(char out[DV_VSOCK_PATH_MAX], const char *base, const char *tail,
		struct dv_err *err)
{
	int len = dv_fmt(out, DV_VSOCK_PATH_MAX, "%s_%s", base, tail);

	if (len < DV_VSOCK_PATH_MAX)
		return 0;
	dv_err_sys(err, ENAMETOOLONG, "socket %s_%s", base, tail);
	dv_err_hint(err, "a socket's path has at most %d bytes",
		    DV_VSOCK_PATH_MAX - 1);
	return -ENAMETOOLONG;
}

int dv_vsock_listen_path(char out[DV_VSOCK_PATH_MAX], const char *base,
			 uint32_t port, struct dv_err *err)
{
	char tail[16];

	dv_fmt(tail, sizeof(tail), "%u", port);
	return join(out, base, tail, err);
}

int dv_vsock_host_path(char out[DV_VSOCK_PATH_MAX], const char *base,
		       uint32_t port, struct dv_err *err)
{
	char guid[DV_HVSOCK_GUID_LEN + 1];
	int r = dv_vsock_listen_path(out, base, port, err);

	if (r < 0 || access(out, F_OK) == 0)
		return r;
	dv_hvsock_guid(guid, port);
	r = join(out, base, guid, err);
	if (r == 0 && access(out, F_OK) < 0)
		r = dv_err_set(err, ENOENT, DV_NOT_FOUND,
			       "no hybrid vsock listener at %s", out);
	return r;
}

int dv_vsock_listen(const char *path, uint32_t port, struct dv_err *err)
{
	char full[DV_VSOCK_PATH_MAX];
	int r = dv_vsock_listen_path(full, path, port, err);

	return r < 0 ? r : dv_unix_bind(full, 0, err);
}
