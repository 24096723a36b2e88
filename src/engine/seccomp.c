/* SPDX-License-Identifier: MIT */
#include "engine/seccomp.h"

#include <errno.h>
#include <fcntl.h>

#include "base/def.h"
#include "base/fd.h"
#include "engine/seccomp_cache.h"
#include "engine/seccomp_json.h"

static int read_profile(const char *path, char **jsonp, size_t *lenp,
			struct dv_err *err)
{
	int r = dv_read_file(AT_FDCWD, path, DV_SJSON_LEN_MAX, jsonp, lenp);

	if (r == -EFBIG)
		return dv_err_set(err, EFBIG, DV_INVALID,
				  "%s: larger than %d bytes", path,
				  DV_SJSON_LEN_MAX);
	return r < 0 ? dv_err_sys(err, -r, "%s", path) : 0;
}

/* The compiler's part, and the cache when there is one. */
static int get_filter(const char *path, const struct dv_str *json,
		      uint64_t caps, const char *cache_dir, struct dv_buf *bpf,
		      struct dv_err *err)
{
	size_t start = bpf->len;
	struct dv_sc_key key;
	int r;

	if (cache_dir) {
		dv_sc_key(&key, json->ptr, json->len, caps);
		if (dv_sc_cache_load(cache_dir, &key, bpf))
			return 0;
	}
	r = dv_seccomp_compile(path, json->ptr, json->len, caps, bpf, err);
	if (r == 0 && cache_dir)
		dv_sc_cache_store(cache_dir, &key, bpf->data + start,
				  bpf->len - start);
	return r;
}

int dv_seccomp_profile(const char *path, uint64_t caps, const char *cache_dir,
		       struct dv_buf *bpf, struct dv_err *err)
{
	dv_autofree char *text = NULL;
	struct dv_str json;
	size_t len = 0;
	int r = read_profile(path, &text, &len, err);

	json = (struct dv_str){ text, len };
	if (r == 0)
		r = get_filter(path, &json, caps, cache_dir, bpf, err);
	if (r == 0)
		return 0;
	dv_err_step(err, r, DV_STEP_CONFIG);
	return dv_err_wrap(err, r, "seccomp profile");
}
