/* SPDX-License-Identifier: MIT */
#include "engine/cgroup_parse.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "base/def.h"

static const char *const tree_names[] = { "v2", "memory", "cpu", "pids", "io" };
static_assert(DV_ARRAY_LEN(tree_names) == DV_CG_TREE_N, "a name per tree");

const char *dv_cg_tree_name(enum dv_cg_tree tree)
{
	return tree < DV_CG_TREE_N ? tree_names[tree] : "unknown";
}

const char *dv_cg_v1_name(enum dv_cg_tree tree)
{
	return tree == DV_CG_IO ? "blkio" : dv_cg_tree_name(tree);
}

/* Cut the part before @sep off @rest; without @sep that is all of it. */
static bool cut(struct dv_str *rest, char sep, struct dv_str *part)
{
	const char *at = rest->len ? memchr(rest->ptr, sep, rest->len) : NULL;

	*part = *rest;
	if (!at) {
		rest->ptr += rest->len;
		rest->len = 0;
		return false;
	}
	part->len = (size_t)(at - rest->ptr);
	rest->ptr = at + 1;
	rest->len -= part->len + 1;
	return true;
}

static bool str_is(struct dv_str s, const char *word)
{
	return s.len == strlen(word) && memcmp(s.ptr, word, s.len) == 0;
}

int dv_cg_list_has(struct dv_str list, char sep, const char *word)
{
	struct dv_str part;

	while (list.len) {
		cut(&list, sep, &part);
		if (str_is(part, word))
			return 1;
	}
	return 0;
}

/* The kernel marks the path of a group that was removed under its processes. */
static bool is_deleted(struct dv_str path)
{
	static const char mark[] = " (deleted)";
	const size_t n = sizeof(mark) - 1;

	return path.len >= n && memcmp(path.ptr + path.len - n, mark, n) == 0;
}

/* A group outside of our cgroup namespace shows as "/../x": out of reach. */
static bool is_outside(struct dv_str path)
{
	return dv_cg_list_has(path, '/', "..");
}

static void note(struct dv_cg_self *out, enum dv_cg_tree tree,
		 struct dv_str ctls, struct dv_str path)
{
	out->ctls[tree] = ctls;
	out->path[tree] = path;
}

static int parse_self_line(struct dv_str line, struct dv_cg_self *out)
{
	struct dv_str id, ctls;

	if (!cut(&line, ':', &id) || !cut(&line, ':', &ctls))
		return -EINVAL;
	if (!id.len || !line.len || line.ptr[0] != '/')
		return -EINVAL;
	if (memchr(line.ptr, '\0', line.len))
		return -EINVAL;
	if (str_is(id, "0") && !ctls.len && !is_deleted(line))
		note(out, DV_CG_V2, ctls, line);
	for (int t = DV_CG_MEMORY; t < DV_CG_TREE_N; t++) {
		if (dv_cg_list_has(ctls, ',', dv_cg_v1_name(t)))
			note(out, t, ctls, line);
	}
	return 0;
}

int dv_cg_parse_self(const char *text, size_t len, struct dv_cg_self *out)
{
	struct dv_str rest = { text, len }, line;

	*out = (struct dv_cg_self){ 0 };
	while (rest.len) {
		if (!cut(&rest, '\n', &line) ||
		    parse_self_line(line, out) < 0) {
			*out = (struct dv_cg_self){ 0 };
			return -EINVAL;
		}
	}
	return 0;
}

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* Undo the "\040" of mountinfo. @out is NUL-terminated. */
static int unescape(struct dv_str in, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < in.len; i++, n++) {
		const char *p = in.ptr + i;

		if (n + 1 >= size)
			return -ENAMETOOLONG;
		out[n] = *p;
		if (*p == '\\' && in.len - i >= 4 && is_octal(p[1]) &&
		    is_octal(p[2]) && is_octal(p[3])) {
			out[n] = (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 +
					(p[3] - '0'));
			i += 3;
		}
	}
	out[n] = '\0';
	return 0;
}

/* What is left of @own below @root, the part of the tree that is mounted. */
static int below_root(struct dv_str own, const char *root, struct dv_str *rel)
{
	const size_t n = strlen(root);

	if (strcmp(root, "/") == 0) {
		*rel = own;
		return 0;
	}
	if (own.len < n || memcmp(own.ptr, root, n) != 0 ||
	    (own.len > n && own.ptr[n] != '/'))
		return -ENOENT;
	*rel = (struct dv_str){ own.ptr + n, own.len - n };
	return 0;
}

struct mount {
	struct dv_str root, at, type, options;
};

/* "36 35 98:0 /root /at rw,... optional fields - type source options" */
static bool parse_mount_line(struct dv_str line, struct mount *m)
{
	struct dv_str f;

	for (int i = 0; i < 6; i++) {
		if (!cut(&line, ' ', &f))
			return false;
		if (i == 3)
			m->root = f;
		if (i == 4)
			m->at = f;
	}
	do {
		if (!cut(&line, ' ', &f))
			return false;
	} while (!str_is(f, "-"));
	if (!cut(&line, ' ', &m->type) || !cut(&line, ' ', &f))
		return false;
	cut(&line, ' ', &m->options);
	return true;
}

static bool is_tree(const struct mount *m, enum dv_cg_tree tree)
{
	if (tree == DV_CG_V2)
		return str_is(m->type, "cgroup2");
	return str_is(m->type, "cgroup") &&
	       dv_cg_list_has(m->options, ',', dv_cg_v1_name(tree));
}

static int own_dir(const struct mount *m, struct dv_str own, char *out,
		   size_t size)
{
	char root[PATH_MAX];
	struct dv_str rel = { "", 0 };
	size_t n;
	int r = unescape(m->root, root, sizeof(root));

	if (r == 0)
		r = below_root(own, root, &rel);
	if (r == 0)
		r = unescape(m->at, out, size);
	if (r < 0)
		return r;
	if (str_is(rel, "/"))
		rel.len = 0;
	n = strlen(out);
	if (n + rel.len + 1 > size)
		return -ENAMETOOLONG;
	if (rel.len)
		memcpy(out + n, rel.ptr, rel.len);
	out[n + rel.len] = '\0';
	return 0;
}

int dv_cg_parse_mounts(const char *text, size_t *lenp, enum dv_cg_tree tree,
		       struct dv_str own, char *out, size_t size)
{
	struct dv_str rest = { text, *lenp }, line, found = { NULL, 0 };
	char root[PATH_MAX];
	struct mount m;

	if (!own.len || is_outside(own))
		return -ENOENT;
	while (rest.len && cut(&rest, '\n', &line)) {
		struct dv_str rel;

		if (parse_mount_line(line, &m) && is_tree(&m, tree) &&
		    unescape(m.root, root, sizeof(root)) == 0 &&
		    below_root(own, root, &rel) == 0)
			found = line;
	}
	if (!found.ptr || !parse_mount_line(found, &m))
		return -ENOENT;
	*lenp = (size_t)(found.ptr - text);
	return own_dir(&m, own, out, size);
}

uint64_t dv_cg_parse_counter(const char *text, const char *key)
{
	const size_t n = strlen(key);
	const char *p = text;

	while (p && (strncmp(p, key, n) != 0 || p[n] != ' ')) {
		p = strchr(p, '\n');
		p = p ? p + 1 : NULL;
	}
	return p ? strtoull(p + n + 1, NULL, 10) : 0;
}
