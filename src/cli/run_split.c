/* SPDX-License-Identifier: MIT */
#include "cli/run_split.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/num.h"
#include "base/rlimit_name.h"

static int copy(char *out, size_t size, const char *s, size_t len,
		const char *what, struct dv_err *err)
{
	if (len == 0)
		return dv_err_set(err, EINVAL, DV_INVALID, "%s is empty", what);
	if (len >= size)
		return dv_err_set(err, EINVAL, DV_INVALID, "%s is too long",
				  what);
	memcpy(out, s, len);
	out[len] = '\0';
	return 0;
}

/* Cut ":ro" or ":rw" off; 0 when there is neither. */
static char cut_mode(const char *s, size_t *lenp)
{
	size_t len = *lenp;

	if (len < 3 || s[len - 3] != ':' || s[len - 2] != 'r')
		return 0;
	if (s[len - 1] != 'o' && s[len - 1] != 'w')
		return 0;
	*lenp = len - 3;
	return s[len - 1];
}

int dv_split_rootfs(const char *value, char *dir, size_t size,
		    enum dv_rootfs_mode *modep, struct dv_err *err)
{
	size_t len = strlen(value);
	char mode = cut_mode(value, &len);
	int r = copy(dir, size, value, len, "the directory", err);

	if (r == 0)
		*modep = mode == 'o'   ? DV_ROOTFS_RO
			 : mode == 'w' ? DV_ROOTFS_RW
				       : DV_ROOTFS_OVERLAY;
	return r;
}

int dv_split_volume(const char *value, struct dv_volume_words *v,
		    struct dv_err *err)
{
	size_t len = strlen(value);
	char mode = cut_mode(value, &len);
	const char *colon = memchr(value, ':', len);
	size_t src = colon ? (size_t)(colon - value) : 0;
	int r;

	if (!colon) {
		dv_err_set(err, EINVAL, DV_INVALID,
			   "\"%.200s\" names no place inside", value);
		dv_err_hint(err, "SRC:DST or SRC:DST:ro");
		return -EINVAL;
	}
	r = copy(v->src, sizeof(v->src), value, src, "the source", err);
	if (r == 0)
		r = copy(v->dst, sizeof(v->dst), colon + 1, len - src - 1,
			 "the place inside", err);
	if (r == 0 && v->dst[0] != '/')
		r = dv_err_set(err, EINVAL, DV_INVALID,
			       "the place inside, \"%.200s\", is not an "
			       "absolute path",
			       v->dst);
	if (r == 0)
		v->flags = mode == 'o' ? DV_VOLUME_RO : 0;
	return r;
}

int dv_split_tmpfs(const char *value, char *dir, size_t size, uint64_t *bytesp,
		   struct dv_err *err)
{
	const char *opt = strstr(value, ":size=");
	size_t len = opt ? (size_t)(opt - value) : strlen(value);
	uint64_t bytes = 0;
	int r;

	if (opt && (dv_parse_size(opt + 6, &bytes) < 0 || bytes == 0)) {
		dv_err_set(err, EINVAL, DV_INVALID, "\"%.100s\" is not a size",
			   opt + 6);
		dv_err_hint(err, "like 64m, 1.5g, or a number of bytes");
		return -EINVAL;
	}
	if (value[0] != '/')
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "\"%.200s\" is not an absolute path", value);
	r = copy(dir, size, value, len, "the path", err);
	if (r == 0)
		*bytesp = bytes;
	return r;
}

int dv_split_fd(const char *value, int *fdp, int *top, struct dv_err *err)
{
	const char *eq = strchr(value, '=');
	size_t len = eq ? (size_t)(eq - value) : strlen(value);
	char word[16];
	uint64_t from, to;

	if (len == 0 || len >= sizeof(word))
		goto bad;
	memcpy(word, value, len);
	word[len] = '\0';
	if (dv_parse_u64(word, 0, INT_MAX, &from) < 0)
		goto bad;
	to = from;
	if (eq && dv_parse_u64(eq + 1, 3, INT_MAX, &to) < 0)
		goto bad;
	if (to < 3)
		goto bad;
	*fdp = (int)from;
	*top = (int)to;
	return 0;
bad:
	dv_err_set(err, EINVAL, DV_INVALID, "\"%.100s\" is not N or N=M",
		   value);
	dv_err_hint(err,
		    "N is an open descriptor, its number inside 3 or more");
	return -EINVAL;
}

static int limit_value(const char *s, size_t len, uint64_t *valuep)
{
	char word[24];

	if (len == 0 || len >= sizeof(word))
		return -EINVAL;
	memcpy(word, s, len);
	word[len] = '\0';
	if (!strcmp(word, "unlimited") || !strcmp(word, "-1")) {
		*valuep = UINT64_MAX;
		return 0;
	}
	return dv_parse_u64(word, 0, UINT64_MAX - 1, valuep);
}

int dv_split_ulimit(const char *value, struct dv_ulimit_words *u,
		    struct dv_err *err)
{
	size_t name = strcspn(value, "=");
	const char *soft = value[name] ? value + name + 1 : value + name;
	size_t soft_len = strcspn(soft, ":");
	const char *hard = soft[soft_len] ? soft + soft_len + 1 : soft;
	struct dv_ulimit_words w = { dv_rlimit_find(value, name), 0, 0 };

	if (w.resource < 0) {
		dv_err_set(err, EINVAL, DV_INVALID,
			   "\"%.*s\" is not a resource",
			   (int)dv_min(name, (size_t)100), value);
		dv_err_hint(err, "like nofile, nproc, core, stack, fsize, cpu");
		return -EINVAL;
	}
	if (limit_value(soft, soft_len, &w.soft) < 0 ||
	    limit_value(hard, strcspn(hard, ":"), &w.hard) < 0 ||
	    (hard != soft && strchr(hard, ':')) || w.soft > w.hard) {
		dv_err_set(err, EINVAL, DV_INVALID, "\"%.100s\" is not a limit",
			   soft);
		dv_err_hint(err, "SOFT or SOFT:HARD, SOFT not above HARD");
		return -EINVAL;
	}
	*u = w;
	return 0;
}
