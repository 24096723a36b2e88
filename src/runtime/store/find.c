/* SPDX-License-Identifier: MIT */
#include "runtime/store/priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/near.h"
#include "base/path.h"

enum {
	FOUND_MAX = 1 << 16, /* names and ids that are looked through */
};

/* ---- all of them ----------------------------------------------------------
 */

/* Ids; when all are there, sorted and each once. */
struct ids {
	char (*at)[DV_ID_LEN + 1];
	size_t n, cap;
};

static int by_id(const void *a, const void *b)
{
	return memcmp(a, b, DV_ID_LEN);
}

static int add_id(void *arg, const char *id)
{
	struct ids *ids = arg;

	if (!dv_store_is_id(id))
		return 0;
	if (ids->n == FOUND_MAX)
		return -E2BIG;
	if (ids->n == ids->cap) {
		const size_t cap = ids->cap ? 2 * ids->cap : 64;
		void *at = reallocarray(ids->at, cap, sizeof(*ids->at));

		if (!at)
			return -ENOMEM;
		ids->at = at;
		ids->cap = cap;
	}
	memcpy(ids->at[ids->n++], id, DV_ID_LEN + 1);
	return 0;
}

/* Ids of both directories (or of RUNDIR alone), sorted. free(ids->at). */
static int all_ids(const struct dv_store *s, bool state, struct ids *ids,
		   struct dv_err *err)
{
	size_t n = 0;
	int r = 0;

	*ids = (struct ids){ .at = NULL };
	if (s->run >= 0)
		r = dv_store_entries(s->run, ".", add_id, ids);
	if (r < 0)
		return dv_err_sys(err, -r, "read %s", s->run_path);
	if (state && s->state >= 0)
		r = dv_store_entries(s->state, ".", add_id, ids);
	if (r < 0)
		return dv_err_sys(err, -r, "read %s", s->state_path);
	if (ids->n == 0)
		return 0;
	qsort(ids->at, ids->n, sizeof(*ids->at), by_id);
	for (size_t i = 1; i < ids->n; i++)
		if (by_id(ids->at[n], ids->at[i]) != 0)
			memmove(ids->at[++n], ids->at[i], sizeof(*ids->at));
	ids->n = n + 1;
	return 0;
}

static int latest_first(const void *a, const void *b)
{
	const struct dv_sandbox_info *x = a, *y = b;

	if (x->created_unix_ns != y->created_unix_ns)
		return x->created_unix_ns < y->created_unix_ns ? 1 : -1;
	return strcmp(x->id, y->id);
}

static int remove_gone(void *arg, const char *name)
{
	const struct dv_store *s = arg;

	if (dv_store_is_gone(name))
		(void)dv_remove_tree(s->state, name);
	return 0;
}

/* What killed removers left, and what killed keepers did. */
static void clean(struct dv_store *s)
{
	if (s->state >= 0)
		(void)dv_store_entries(s->state, ".", remove_gone, s);
	if (s->run < 0)
		return;
	dv_home_sweep(s->run_path);
	dv_names_sweep(s);
}

/* 1 when a keeper among them was killed and nobody cleaned up yet, 0, or
 * -errno. */
static int fill_list(const struct dv_store *s, const struct ids *ids,
		     uint32_t flags, struct dv_sandbox_list *list)
{
	bool dead = false;

	list->at = calloc(ids->n, sizeof(*list->at));
	if (!list->at)
		return -ENOMEM;
	for (size_t i = 0; i < ids->n; i++) {
		struct dv_sandbox_info *info = &list->at[list->n];
		int r = dv_store_look_in(s, ids->at[i], info, NULL);

		if (r == -ENOMEM)
			return r;
		if (r < 0 && r != -ENOENT && !list->unreadable++)
			memcpy(list->unreadable_id, ids->at[i],
			       sizeof(list->unreadable_id));
		if (r < 0)
			continue;
		dead |= info->state == DV_STATE_DEAD && s->run >= 0 &&
			faccessat(s->run, ids->at[i], F_OK,
				  AT_SYMLINK_NOFOLLOW) == 0;
		if (info->state < DV_STATE_EXITED || (flags & DV_SANDBOX_ALL))
			list->n++;
		else
			dv_sandbox_info_free(info);
	}
	return dead;
}

int dv_sandbox_list(struct dv_sandbox_list *list, uint32_t flags,
		    struct dv_err *err)
{
	dv_autostore s = DV_STORE_INIT;
	struct ids ids;
	int r;

	*list = (struct dv_sandbox_list){ .at = NULL };
	if (flags & ~(uint32_t)DV_SANDBOX_ALL)
		return dv_err_set(err, EINVAL, DV_INVALID, "unknown flags");
	r = dv_store_open(&s, err);
	if (r < 0)
		return r;
	r = all_ids(&s, flags & DV_SANDBOX_ALL, &ids, err);
	if (r == 0 && ids.n > 0) {
		r = fill_list(&s, &ids, flags, list);
		if (r < 0)
			dv_err_sys(err, -r, "list sandboxes");
	}
	free(ids.at);
	if (r > 0 || (flags & DV_SANDBOX_ALL))
		clean(&s);
	if (r < 0)
		dv_sandbox_list_free(list);
	else if (list->n > 1)
		qsort(list->at, list->n, sizeof(*list->at), latest_first);
	return dv_err_step(err, dv_min(r, 0), DV_STEP_STATE);
}

void dv_sandbox_list_free(struct dv_sandbox_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		dv_sandbox_info_free(&list->at[i]);
	free(list->at);
	*list = (struct dv_sandbox_list){ .at = NULL };
}

/* ---- one of them ----------------------------------------------------------
 */

/* A name, and whose it is. */
struct entry {
	char name[DV_SANDBOX_NAME_MAX + 1];
	char id[DV_ID_LEN + 1];
};

struct entries {
	struct entry *at;
	size_t n, cap;
};

static int add_entry(struct entries *all, const char *name, const char *id)
{
	if (all->n == FOUND_MAX)
		return -E2BIG;
	if (all->n == all->cap) {
		const size_t cap = all->cap ? 2 * all->cap : 64;
		void *at = reallocarray(all->at, cap, sizeof(*all->at));

		if (!at)
			return -ENOMEM;
		all->at = at;
		all->cap = cap;
	}
	memcpy(all->at[all->n].name, name, strlen(name) + 1);
	memcpy(all->at[all->n++].id, id, DV_ID_LEN + 1);
	return 0;
}

struct links {
	int run;
	struct entries *all;
};

static int add_link(void *arg, const char *name)
{
	const struct links *l = arg;
	char id[DV_ID_LEN + 1];

	return dv_names_read(l->run, name, id) == 0
		       ? add_entry(l->all, name, id)
		       : 0;
}

static int linked_names(int run, struct entries *all)
{
	struct links l = { run, all };
	int r = dv_store_entries(run, "names", add_link, &l);

	return r == -ENOENT ? 0 : r;
}

/* The names of the documents: after a reboot there are no others. */
static int written_names(const struct dv_store *s, const struct ids *ids,
			 struct entries *all)
{
	int r = 0;

	for (size_t i = 0; i < ids->n && r == 0; i++) {
		struct dv_sandbox_info info = { .size = sizeof(info) };

		if (dv_store_look_in(s, ids->at[i], &info, NULL) == 0 &&
		    info.name[0])
			r = add_entry(all, info.name, ids->at[i]);
		dv_sandbox_info_free(&info);
	}
	return r;
}

static int all_entries(const struct dv_store *s, struct entries *all,
		       struct dv_err *err)
{
	struct ids ids;
	int r = all_ids(s, true, &ids, err);

	if (r < 0) {
		free(ids.at);
		return r;
	}
	if (s->run >= 0)
		r = linked_names(s->run, all);
	if (r == 0 && !dv_names_complete(s->run))
		r = written_names(s, &ids, all);
	for (size_t i = 0; i < ids.n && r == 0; i++)
		r = add_entry(all, ids.at[i], ids.at[i]);
	free(ids.at);
	return r < 0 ? dv_err_sys(err, -r, "read the names of sandboxes") : 0;
}

static const char *entry_name_at(const void *table, size_t n)
{
	const struct entries *all = table;

	return n < all->n ? all->at[n].name : NULL;
}

static int unknown(const char *name, const struct entries *all,
		   struct dv_err *err)
{
	const char *near = dv_did_you_mean(name, entry_name_at, all);

	if (near)
		dv_err_hint(err, "did you mean %s?", near);
	else
		dv_err_hint(err, "davit ps -a lists what there is");
	return dv_err_set(err, ENOENT, DV_NOT_FOUND,
			  "there is no sandbox \"%.100s\"", name);
}

static int ambiguous(const char *name, const struct entry *a,
		     const struct entry *b, struct dv_err *err)
{
	dv_err_hint(err, "%.48s or %.48s, for example", a->name, b->name);
	return dv_err_set(err, ENOTUNIQ, DV_INVALID,
			  "several sandboxes begin with \"%.100s\"", name);
}

/* What is not there does not count: its name has not been taken over yet. */
static int find_among(const struct dv_store *s, const char *name,
		      const struct entries *all, char *id, struct dv_err *err)
{
	const size_t len = strlen(name);
	const struct entry *found = NULL, *other = NULL;

	for (size_t i = 0; i < all->n; i++) {
		const struct entry *e = &all->at[i];

		if (strncmp(e->name, name, len) != 0 || !dv_store_has(s, e->id))
			continue;
		if (!e->name[len]) {
			found = e;
			other = NULL;
			break;
		}
		if (found && strcmp(found->id, e->id) != 0)
			other = e;
		else
			found = e;
	}
	if (other)
		return ambiguous(name, found, other, err);
	if (!found)
		return unknown(name, all, err);
	memcpy(id, found->id, sizeof(found->id));
	return 0;
}

static int find_latest(char *id, struct dv_err *err)
{
	struct dv_sandbox_list list;
	int r = dv_sandbox_list(&list, DV_SANDBOX_ALL, err);

	if (r < 0)
		return r;
	if (list.n == 0) {
		dv_err_hint(err, "davit run -d starts one");
		r = dv_err_set(err, ENOENT, DV_NOT_FOUND,
			       "there is no sandbox at all");
	} else {
		memcpy(id, list.at[0].id, sizeof(list.at[0].id));
	}
	dv_sandbox_list_free(&list);
	return r;
}

static int find_named(const char *name, char *id, struct dv_err *err)
{
	dv_autostore s = DV_STORE_INIT;
	struct entries all = { .at = NULL };
	int r = dv_store_open(&s, err);

	if (r < 0)
		return r;
	/* The usual ways of naming one need no list. */
	if (dv_names_read(s.run, name, id) == 0 && dv_store_has(&s, id))
		return 0;
	if (dv_store_is_id(name) && dv_store_has(&s, name)) {
		memcpy(id, name, DV_ID_LEN + 1);
		return 0;
	}
	r = all_entries(&s, &all, err);
	if (r == 0)
		r = find_among(&s, name, &all, id, err);
	free(all.at);
	return r;
}

int dv_store_find(const char *name, char *id, struct dv_err *err)
{
	int r;

	if (!name)
		return find_latest(id, err);
	if (!name[0])
		r = dv_err_set(err, EINVAL, DV_INVALID,
			       "the name of a sandbox is empty");
	else
		r = find_named(name, id, err);
	return dv_err_step(err, r, DV_STEP_STATE);
}
