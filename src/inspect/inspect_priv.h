/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A request while its tree is being visited.
 */
#include "inspect/inspect.h"
#include "inspect/node.h"

struct dv_inspect_req {
	struct dv_loop *loop;
	char *path;   /* owned */
	char *update; /* owned; NULL: read */
	uint32_t depth;
	enum dv_sensitivity limit;
	uint64_t deadline_ns;
	struct dv_timer timer;

	/*
	 * A directory whose entries with an empty name are what was found at
	 * the path. Nothing in it is sorted, merged or moved before the end:
	 * directories keep their address, and deferred answers find them.
	 */
	struct dv_node *top;
	struct dv_node *old;      /* before an update; NULL */
	struct dv_node *fallback; /* an answer that needs no memory */
	size_t n_nodes;
	/* When nothing was found: why. */
	enum dv_node_error why;
	int status;    /* 0, -ENOMEM, -EMSGSIZE: sticky */
	bool visiting; /* inside dv_inspect_start() */
	bool updated;

	struct dv_deferred *open; /* the handles without an answer */
	dv_inspect_done_fn *done;
	void *arg;
};

/* A visit: on the stack of the one who calls the dv_inspect_fn. */
struct dv_inspect {
	struct dv_inspect_req *req;
	/* Where entries go. While there is a path to walk that is req->top. */
	struct dv_node *dir;
	uint32_t depth;   /* levels of directories that may be added to dir */
	const char *rest; /* the path to walk; NULL: it has been walked */
};

/* Where one entry goes. */
struct dv_spot {
	struct dv_node *dir;
	struct dv_str name;
	enum dv_sensitivity level;
	uint32_t depth;   /* as in dv_inspect */
	const char *rest; /* the path below this entry; NULL: none */
	bool slash;       /* the path ends in a slash */
};

struct dv_deferred {
	struct dv_inspect_req *req; /* NULL: it has ended */
	struct dv_deferred *next, **prevp;
	struct dv_spot at;
	char *name; /* owned; that of the place */
	bool merge; /* without a name: its entries go where it is listed */
	void (*on_end)(void *arg);
	void *arg;
};

/*
 * Find the place of a value. False: it is not wanted, or an update does not
 * reach it; @writable is about the latter.
 */
bool dv_inspect_place_value(struct dv_inspect *in, const char *name,
			    uint32_t flags, bool writable, struct dv_spot *sp);
/*
 * Of a directory, or of what may become one. False: not wanted, or "not
 * evaluated" was all that was wanted.
 */
bool dv_inspect_place_dir(struct dv_inspect *in, const char *name,
			  uint32_t flags, bool may_be_value,
			  struct dv_spot *sp);
/* Put @node (consumed; NULL: no memory) there. */
void dv_inspect_put(struct dv_inspect_req *req, const struct dv_spot *sp,
		    struct dv_node *node);
/* Show the object at a place of dv_inspect_place_dir(). */
void dv_inspect_visit(struct dv_inspect_req *req, const struct dv_spot *sp,
		      dv_inspect_fn *fn, void *obj);
/* Its entries go to sp->dir itself. */
void dv_inspect_visit_here(struct dv_inspect_req *req, const struct dv_spot *sp,
			   dv_inspect_fn *fn, void *obj);
/* What an update may make of an entry. */
struct dv_target {
	enum dv_node_kind kind;
	uint32_t flags;
	uint64_t max;           /* of UNSIGNED */
	int64_t low, high;      /* of SIGNED */
	dv_inspect_set_fn *set; /* NULL: read-only */
	void *obj;
};

/* An entry with the value @v; that of a FLOAT is in f64. */
void dv_inspect_set(struct dv_inspect *in, const char *name,
		    const struct dv_target *t, const struct dv_inspect_new *v);
/* Remember why nothing may be found. */
void dv_inspect_why(struct dv_inspect_req *req, enum dv_node_error error);
/* Answer, if nothing is open any more. @req may be gone then. */
void dv_inspect_settle(struct dv_inspect_req *req);
