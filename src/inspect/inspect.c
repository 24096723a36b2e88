/* SPDX-License-Identifier: MIT */
/*
 * DOC: how a request finds its way.
 *
 * A visit either walks the path or lists a directory. While it walks, an entry
 * is of interest when its name begins what is left of the path:
 *
 *   left of the path   entry    what happens
 *   "a/b"              "a"      visited, with "b" left
 *   "a/b"              "a/b"    it is the target
 *   "a"                "a/b"    the target is a directory with an entry "b"
 *   "a/b"              "c"      nothing
 *
 * Every target is added to req->top under an empty name; if there are several
 * they are merged in the end, as entries of one name are everywhere. From the
 * target on a visit lists: entries are added to the directory of their object
 * as long as depth lasts.
 *
 * A request ends when the root was visited and every deferred entry was
 * answered, or at its deadline. It is freed before anyone hears of it, and the
 * deferred entries that are left learn it last: each of these callbacks may
 * free what it likes.
 */
#include "inspect/inspect.h"

#include <errno.h>
#include <string.h>

#include "base/fmt.h"
#include "base/utf8.h"
#include "inspect/inspect_priv.h"

/* ---- matching ---- */

static const char *skip_slashes(const char *s)
{
	return s + strspn(s, "/");
}

static enum dv_sensitivity level_of(uint32_t flags)
{
	if (flags & DV_INSPECT_SENSITIVE)
		return DV_SENS_SENSITIVE;
	return flags & DV_INSPECT_SAFE ? DV_SENS_SAFE : DV_SENS_UNSPECIFIED;
}

/* What is left of an entry's name and of the path; both "" at the target. */
struct match {
	const char *name;
	const char *rest; /* NULL: listing */
	bool slash;       /* the path has ended with a slash */
};

/* Walk both as far as they agree. False when they do not. */
static bool match(const struct dv_inspect *in, const char *name,
		  struct match *m)
{
	*m = (struct match){ skip_slashes(name), in->rest, false };
	while (m->rest) {
		const char *path = skip_slashes(m->rest);
		size_t len = strcspn(path, "/");

		m->slash = !*path && path != m->rest;
		m->rest = path;
		if (!*m->name || !*path)
			break;
		if (strncmp(m->name, path, len) != 0 ||
		    (m->name[len] && m->name[len] != '/'))
			return false;
		m->rest = path + len;
		m->name = skip_slashes(m->name + len);
	}
	return true;
}

bool dv_inspect_wants(const struct dv_inspect *in, const char *name,
		      uint32_t flags)
{
	struct match m;

	return level_of(flags) <= in->req->limit && match(in, name, &m);
}

/* ---- adding to the tree ---- */

void dv_inspect_why(struct dv_inspect_req *req, enum dv_node_error error)
{
	/* "Immutable" tells more than the others, "not found" nothing. */
	if (req->why != DV_NODE_IMMUTABLE)
		req->why = error;
}

void dv_inspect_put(struct dv_inspect_req *req, const struct dv_spot *sp,
		    struct dv_node *node)
{
	if (req->status == 0 && node) {
		req->n_nodes += dv_node_total(node);
		if (req->n_nodes > DV_NODE_MAX)
			req->status = -EMSGSIZE;
	}
	if (req->status < 0)
		dv_node_free(node);
	else
		req->status = dv_node_add_n(sp->dir, sp->name.ptr, sp->name.len,
					    sp->level, node);
}

/* A directory for what @sp names, in its place. NULL when there is no room. */
static struct dv_node *make_dir(struct dv_inspect_req *req,
				const struct dv_spot *sp)
{
	struct dv_node *dir = dv_node_dir();

	dv_inspect_put(req, sp, dir);
	return req->status < 0 ? NULL : dir;
}

/* Make @sp a place in a new directory that is where @sp was. */
static bool enter(struct dv_inspect_req *req, struct dv_spot *sp)
{
	if (sp->depth == 0) {
		dv_inspect_put(req, sp, dv_node_unevaluated());
		return false;
	}
	sp->dir = make_dir(req, sp);
	sp->depth--;
	return sp->dir != NULL;
}

/*
 * The place of the last component of @name, which is not empty; directories
 * are made for those before it.
 */
static bool descend(struct dv_inspect_req *req, const char *name,
		    struct dv_spot *sp)
{
	for (;;) {
		sp->name = (struct dv_str){ name, strcspn(name, "/") };
		name = skip_slashes(name + sp->name.len);
		if (!*name)
			return true;
		if (!enter(req, sp))
			return false;
	}
}

/* Where @name goes when the path does not lead past it. */
static bool place(struct dv_inspect *in, const struct match *m,
		  struct dv_spot *sp)
{
	if (!*m->name)
		return true; /* at the target */
	if (m->rest) {
		/* The target is a directory above @name. */
		if (in->req->update) {
			dv_inspect_why(in->req, DV_NODE_IMMUTABLE);
			return false;
		}
		if (!enter(in->req, sp))
			return false;
		sp->rest = NULL;
	}
	return descend(in->req, m->name, sp);
}

static struct dv_spot spot(const struct dv_inspect *in, const struct match *m,
			   uint32_t flags)
{
	return (struct dv_spot){ in->dir,   { "", 0 }, level_of(flags),
				 in->depth, m->rest,   m->slash };
}

bool dv_inspect_place_value(struct dv_inspect *in, const char *name,
			    uint32_t flags, bool writable, struct dv_spot *sp)
{
	struct match m;

	if (!*skip_slashes(name) || level_of(flags) > in->req->limit ||
	    !match(in, name, &m))
		return false;
	if (m.rest && (*m.rest || (m.slash && !*m.name))) {
		dv_inspect_why(in->req, DV_NODE_NOT_A_DIRECTORY);
		return false;
	}
	if (in->req->update && !*m.name && !writable) {
		dv_inspect_why(in->req, DV_NODE_IMMUTABLE);
		return false;
	}
	*sp = spot(in, &m, flags);
	return place(in, &m, sp);
}

bool dv_inspect_place_dir(struct dv_inspect *in, const char *name,
			  uint32_t flags, bool may_be_value, struct dv_spot *sp)
{
	struct match m;

	if (level_of(flags) > in->req->limit || !match(in, name, &m))
		return false;
	*sp = spot(in, &m, flags);
	if (!m.rest || !*m.rest) {
		if (!*skip_slashes(name))
			return true; /* merged into the directory itself */
		if (!place(in, &m, sp))
			return false;
		if (sp->depth == 0 && !may_be_value)
			return enter(in->req, sp);
	}
	return true;
}

void dv_inspect_visit_here(struct dv_inspect_req *req, const struct dv_spot *sp,
			   dv_inspect_fn *fn, void *obj)
{
	struct dv_inspect in = { req, sp->dir, sp->depth, sp->rest };

	if (req->status == 0)
		fn(&in, obj);
}

void dv_inspect_visit(struct dv_inspect_req *req, const struct dv_spot *sp,
		      dv_inspect_fn *fn, void *obj)
{
	struct dv_spot at = *sp;

	if (!sp->rest || !*sp->rest) {
		/* The path ends here. */
		if (req->update) {
			dv_inspect_why(req, DV_NODE_IMMUTABLE);
			return;
		}
		if (!enter(req, &at))
			return;
		at.rest = NULL;
	}
	dv_inspect_visit_here(req, &at, fn, obj);
}

void dv_inspect_dir(struct dv_inspect *in, const char *name, dv_inspect_fn *fn,
		    void *obj, uint32_t flags)
{
	struct dv_spot sp;

	if (!dv_inspect_place_dir(in, name, flags, false, &sp))
		return;
	if (*skip_slashes(name))
		dv_inspect_visit(in->req, &sp, fn, obj);
	else
		dv_inspect_visit_here(in->req, &sp, fn, obj);
}

void dv_inspect_dir_u64(struct dv_inspect *in, uint64_t name, dv_inspect_fn *fn,
			void *obj, uint32_t flags)
{
	char text[24];

	dv_fmt(text, sizeof(text), "%llu", (unsigned long long)name);
	dv_inspect_dir(in, text, fn, obj, flags);
}

/* ---- requests ---- */

static void req_free(struct dv_inspect_req *req)
{
	dv_timer_stop(&req->timer);
	dv_node_free(req->top);
	dv_node_free(req->old);
	dv_node_free(req->fallback);
	free(req->path);
	free(req->update);
	free(req);
}

/* What was found, or why nothing was. Takes it out of @req. */
static struct dv_node *take_answer(struct dv_inspect_req *req)
{
	struct dv_node *node = NULL;

	if (req->status == -EMSGSIZE) {
		node = dv_node_failed(DV_NODE_CHANNEL, "too many entries, "
						       "ask for a path below");
	} else if (req->status == 0) {
		dv_node_normalize(req->top);
		node = dv_node_child(req->top, 0);
		if (!node)
			req->fallback->error = (uint8_t)req->why;
	}
	if (!node)
		return dv_take_ptr(&req->fallback);
	if (req->status == 0) {
		/* The others are those for which merging had no memory. */
		req->top->child[0] = req->top->child[--req->top->n];
		node->level = DV_SENS_SAFE;
	}
	return node;
}

/* Unlink the handles that are still open: nobody waits for them any more. */
static struct dv_deferred *detach_open(struct dv_inspect_req *req)
{
	struct dv_deferred *list = req->open;

	for (struct dv_deferred *h = list; h; h = h->next)
		h->req = NULL;
	req->open = NULL;
	return list;
}

/* Each callback may answer, and so free, any handle of the list. */
static void tell_end(struct dv_deferred *list)
{
	if (list)
		list->prevp = &list;
	while (list) {
		struct dv_deferred *h = list;
		void (*fn)(void *arg) = h->on_end;

		list = h->next;
		if (list)
			list->prevp = &list;
		h->next = NULL;
		h->prevp = NULL;
		if (fn)
			fn(h->arg);
	}
}

static void finish(struct dv_inspect_req *req)
{
	dv_inspect_done_fn *done = req->done;
	struct dv_node *node, *old;
	void *arg = req->arg;
	struct dv_deferred *list;

	for (struct dv_deferred *h = req->open; h; h = h->next)
		dv_inspect_put(req, &h->at,
			       dv_node_failed(DV_NODE_UNRESOLVED, NULL));
	list = detach_open(req);
	node = take_answer(req);
	old = dv_take_ptr(&req->old);
	req_free(req);
	done(arg, node, old);
	dv_node_free(old);
	tell_end(list);
}

void dv_inspect_settle(struct dv_inspect_req *req)
{
	if (!req->visiting && (!req->open || !req->loop))
		finish(req);
}

static void on_deadline(struct dv_timer *timer)
{
	finish(dv_container_of(timer, struct dv_inspect_req, timer));
}

struct dv_inspect_req *dv_inspect_cancel(struct dv_inspect_req *req)
{
	struct dv_deferred *list;

	if (!req)
		return NULL;
	list = detach_open(req);
	req_free(req);
	tell_end(list);
	return NULL;
}

static size_t components(const char *path)
{
	size_t n = 0;

	for (path = skip_slashes(path); *path; path = skip_slashes(path)) {
		path += strcspn(path, "/");
		n++;
	}
	return n;
}

/* NULL: no memory. */
static struct dv_inspect_req *req_new(struct dv_loop *loop,
				      const struct dv_inspect_opts *o)
{
	struct dv_inspect_req *req = calloc(1, sizeof(*req));

	if (!req)
		return NULL;
	req->loop = loop;
	req->depth = dv_min(o->depth, (uint32_t)DV_INSPECT_DEPTH_MAX);
	req->limit = o->limit;
	req->deadline_ns = o->deadline_ns;
	req->timer = (struct dv_timer)DV_TIMER_INIT;
	req->why = DV_NODE_NOT_FOUND;
	req->path = strdup(o->path ? o->path : "");
	req->update = o->update ? strdup(o->update) : NULL;
	req->top = dv_node_dir();
	req->fallback = dv_node_failed(DV_NODE_INTERNAL, NULL);
	if (!req->path || !req->top || !req->fallback ||
	    (o->update && !req->update)) {
		req_free(req);
		return NULL;
	}
	return req;
}

static void visit_root(struct dv_inspect_req *req, dv_inspect_fn *root,
		       void *obj)
{
	const char *path = skip_slashes(req->path);
	struct dv_spot sp = { req->top,       { "", 0 }, DV_SENS_SAFE,
			      req->depth + 1, path,      false };

	if (strlen(path) > DV_INSPECT_PATH_MAX ||
	    components(path) > DV_INSPECT_DEPTH_MAX)
		return; /* nothing is nested like that: not found */
	if (req->update && !dv_utf8_ok(req->update, strlen(req->update))) {
		dv_inspect_put(req, &sp,
			       dv_node_failed(DV_NODE_UPDATE,
					      "the text is not UTF-8"));
		return;
	}
	req->visiting = true;
	dv_inspect_visit(req, &sp, root, obj);
	req->visiting = false;
}

/* NOLINTNEXTLINE(readability-function-size): a root and a callback */
int dv_inspect_start(struct dv_inspect_req **reqp, struct dv_loop *loop,
		     const struct dv_inspect_opts *opts, dv_inspect_fn *root,
		     void *obj, dv_inspect_done_fn *done, void *arg)
{
	struct dv_inspect_req *req;
	int r;

	*reqp = NULL;
	if (opts->limit < DV_SENS_SAFE || opts->limit > DV_SENS_SENSITIVE)
		return -EINVAL;
	req = req_new(loop, opts);
	if (!req)
		return -ENOMEM;
	req->done = done;
	req->arg = arg;
	visit_root(req, root, obj);
	if (req->open && loop) {
		if (req->deadline_ns) {
			r = dv_timer_set(loop, &req->timer, req->deadline_ns,
					 on_deadline);
			if (r < 0) {
				dv_inspect_cancel(req);
				return r;
			}
		}
		*reqp = req;
		return 0;
	}
	dv_inspect_settle(req);
	return 0;
}
