/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Showing live state: the server side of the inspect tree.
 *
 * An object is shown by a function, which names its entries:
 *
 *   static void conn_inspect(struct dv_inspect *in, void *obj)
 *   {
 *           struct conn *c = obj;
 *
 *           dv_inspect_fields(in, conn_fields, DV_ARRAY_LEN(conn_fields), c);
 *           dv_inspect_dir(in, "calls", calls_inspect, c, 0);
 *   }
 *
 * The function is called only for what was asked for, and names everything each
 * time; what the request does not want is ignored here. A function that would
 * do work for an entry (read a file) asks dv_inspect_wants() first.
 *
 * Names may hold slashes: "exit/code" is an entry of a directory "exit". The
 * entries of a directory with an empty name appear in its parent. Entries of
 * one name are merged, see dv_node_normalize(). Empty components of a request's
 * path are ignored; there is no escaping and no "." or "..".
 *
 * Everything belongs to the thread of the request's loop. Names and values are
 * copied.
 */
#include "base/def.h"
#include "davit/inspect.h"
#include "davit/loop.h"

struct dv_inspect;     /* one visit of one object; dies with the callback */
struct dv_inspect_req; /* one request */
struct dv_deferred;    /* an entry that is answered later */

typedef void dv_inspect_fn(struct dv_inspect *in, void *obj);

enum {
	/* Levels below the target, and components of a path. The original has
	 * 4096; nobody's state is nested like that, but a request may walk in
	 * circles where objects point at each other. */
	DV_INSPECT_DEPTH_MAX = DV_NODE_DEPTH_MAX - 2,
	DV_INSPECT_PATH_MAX = 16384, /* bytes; longer ones are not found */
};

/*
 * Flags of an entry: DV_NODE_HEX, DV_NODE_COUNT, DV_NODE_BINARY, and its
 * sensitivity, which is "unspecified" with neither of these. An entry above the
 * request's limit does not exist for it, with all that is below.
 */
enum {
	DV_INSPECT_SAFE = 0x100,
	DV_INSPECT_SENSITIVE = 0x200,
	/* dv_inspect_defer(): a value will come, so depth does not matter. */
	DV_INSPECT_VALUE = 0x400,
	/* dv_inspect_field: updates are stored in the member itself. */
	DV_INSPECT_WRITABLE = 0x800,
};

/* ---- naming entries, inside a dv_inspect_fn ------------------------ */

void dv_inspect_u64(struct dv_inspect *in, const char *name, uint64_t v,
		    uint32_t flags);
void dv_inspect_i64(struct dv_inspect *in, const char *name, int64_t v,
		    uint32_t flags);
void dv_inspect_hex(struct dv_inspect *in, const char *name, uint64_t v,
		    uint32_t flags); /* u64 with DV_NODE_HEX */
void dv_inspect_f64(struct dv_inspect *in, const char *name, double v,
		    uint32_t flags);
void dv_inspect_bool(struct dv_inspect *in, const char *name, bool v,
		     uint32_t flags);
/* NULL: there is no such entry. */
void dv_inspect_str(struct dv_inspect *in, const char *name, const char *s,
		    uint32_t flags);
void dv_inspect_strn(struct dv_inspect *in, const char *name, const char *s,
		     size_t len, uint32_t flags);
void dv_inspect_bytes(struct dv_inspect *in, const char *name, const void *data,
		      size_t len, uint32_t flags);
/* A string "S.NNNNNNNNNs". */
void dv_inspect_duration(struct dv_inspect *in, const char *name, uint64_t ns,
			 uint32_t flags);
/* @text: for DV_NODE_CHANNEL and DV_NODE_UPDATE. */
void dv_inspect_fail(struct dv_inspect *in, const char *name,
		     enum dv_node_error error, const char *text,
		     uint32_t flags);

/* A directory: @fn is called with @obj, now, when path and depth want it. */
void dv_inspect_dir(struct dv_inspect *in, const char *name, dv_inspect_fn *fn,
		    void *obj, uint32_t flags);
/* The same with a number as its name. */
void dv_inspect_dir_u64(struct dv_inspect *in, uint64_t name, dv_inspect_fn *fn,
			void *obj, uint32_t flags);

/* Whether an entry of that name would be used at all. */
bool dv_inspect_wants(const struct dv_inspect *in, const char *name,
		      uint32_t flags);

/* ---- updates ------------------------------------------------------- */

/* The new value, of the kind of the entry. */
struct dv_inspect_new {
	uint64_t u64;
	int64_t i64;
	double f64;
	bool b;
	const char *str; /* borrowed; a NUL follows, and none is inside */
	size_t len;
};

/*
 * Take over @v; it may be changed to what really was set (str: memory that
 * lives until the callback that made the entry returns). 0, or -errno with @err
 * filled: its message becomes the answer.
 */
typedef int dv_inspect_set_fn(void *obj, struct dv_inspect_new *v,
			      struct dv_err *err);

/*
 * As the ones above, with the value @v as it is; an update of this entry calls
 * set(obj). Texts are parsed strictly: decimal integers of 64 bits (a narrower
 * range is for @set to refuse), "true" or "false", decimal floats; strings come
 * as they are.
 */
void dv_inspect_set_u64(struct dv_inspect *in, const char *name, uint64_t v,
			uint32_t flags, dv_inspect_set_fn *set, void *obj);
void dv_inspect_set_i64(struct dv_inspect *in, const char *name, int64_t v,
			uint32_t flags, dv_inspect_set_fn *set, void *obj);
void dv_inspect_set_f64(struct dv_inspect *in, const char *name, double v,
			uint32_t flags, dv_inspect_set_fn *set, void *obj);
void dv_inspect_set_bool(struct dv_inspect *in, const char *name, bool v,
			 uint32_t flags, dv_inspect_set_fn *set, void *obj);
void dv_inspect_set_str(struct dv_inspect *in, const char *name, const char *s,
			uint32_t flags, dv_inspect_set_fn *set, void *obj);

/* ---- a table of fields --------------------------------------------- */

enum dv_field_kind {
	DV_FIELD_U8,
	DV_FIELD_U16,
	DV_FIELD_U32,
	DV_FIELD_U64,
	DV_FIELD_SIZE, /* size_t */
	DV_FIELD_I32,  /* int, pid_t */
	DV_FIELD_I64,
	DV_FIELD_F32,
	DV_FIELD_F64,
	DV_FIELD_BOOL,
	DV_FIELD_STR,      /* char *; NULL: there is no such entry */
	DV_FIELD_CHARS,    /* char[], NUL-terminated */
	DV_FIELD_DURATION, /* uint64_t, ns */
	DV_FIELD_N
};

/*
 * One row per member. Read-only unless @flags has DV_INSPECT_WRITABLE (numbers
 * and bool: stored as they come) or @set is there (then it does the storing).
 */
struct dv_inspect_field {
	const char *name;
	enum dv_field_kind kind;
	uint32_t flags;
	size_t offset;
	dv_inspect_set_fn *set;
};

/* DV_FIELD("pid", struct proc, pid, DV_FIELD_I32, DV_INSPECT_SAFE) */
/* clang-format off */
#define DV_FIELD(name, type, member, kind, flags) \
	{ (name), (kind), (flags), offsetof(type, member), NULL }
#define DV_FIELD_SET(name, type, member, kind, flags, set) \
	{ (name), (kind), (flags), offsetof(type, member), (set) }
/* clang-format on */

void dv_inspect_fields(struct dv_inspect *in,
		       const struct dv_inspect_field *table, size_t n,
		       void *obj);

/* ---- entries that are answered later ------------------------------- */

/*
 * Answer the entry @name later, from the loop or at once. NULL: nobody wants it
 * (or memory is short). The handle is the caller's until exactly one of the
 * answers below consumes it. When the request has ended before (deadline,
 * cancel), the entry was reported as DV_NODE_UNRESOLVED, and an answer does
 * nothing but free the handle.
 *
 * With an empty name the answer's entries appear in the directory that is being
 * listed, as with dv_inspect_dir(); no answer appears there under that name.
 *
 * To bridge another tree, forward path, depth, update and limit to it and
 * answer with the node that comes back.
 */
struct dv_deferred *dv_inspect_defer(struct dv_inspect *in, const char *name,
				     uint32_t flags);

/*
 * Called once when the request ends before the answer: whoever works for it may
 * stop. The handle is still the caller's, and may be answered inside @fn.
 */
void dv_deferred_on_end(struct dv_deferred *h, void (*fn)(void *arg),
			void *arg);

/*
 * What is asked below this entry, borrowed: "" = itself, "/" = itself, which
 * has to be a directory. All of these say nothing once the request has ended.
 */
const char *dv_deferred_path(const struct dv_deferred *h);
/* The text of an update, borrowed; NULL: it is only read. */
const char *dv_deferred_update(const struct dv_deferred *h);
/* InspectRequest.depth to forward: the step to this entry is counted. */
uint32_t dv_deferred_depth(const struct dv_deferred *h);
enum dv_sensitivity dv_deferred_limit(const struct dv_deferred *h);
/* CLOCK_MONOTONIC in ns; 0 = none. */
uint64_t dv_deferred_deadline(const struct dv_deferred *h);

/* The answers; each consumes @h. */

/*
 * What was found at path and depth (consumed; NULL: unresolved). Entries above
 * the request's limit and levels below its depth are dropped. In a listing
 * "not found" makes no entry at all.
 */
void dv_deferred_node(struct dv_deferred *h, struct dv_node *node);
/* The entry is a directory, shown by @fn as dv_inspect_dir() would. */
void dv_deferred_dir(struct dv_deferred *h, dv_inspect_fn *fn, void *obj);
void dv_deferred_fail(struct dv_deferred *h, enum dv_node_error error,
		      const char *text);
/* No answer: unresolved. NULL is allowed. Returns NULL. */
struct dv_deferred *dv_deferred_drop(struct dv_deferred *h);

/* ---- requests ------------------------------------------------------ */

struct dv_inspect_opts {
	const char *path;          /* borrowed; NULL = "" */
	const char *update;        /* borrowed; NULL: read */
	uint32_t depth;            /* as on the wire; DV_INSPECT_ALL */
	enum dv_sensitivity limit; /* has to be set: 0 is -EINVAL */
	uint64_t deadline_ns;      /* CLOCK_MONOTONIC; 0 = none */
};

/*
 * The answer: @node (owned by the callee) is never NULL. It is a DV_NODE_FAILED
 * for a path that leads nowhere and for a refused update; at the deadline it
 * holds what was there. @old (borrowed) is the value before a successful
 * update, else NULL.
 *
 * An update of nothing is "not found" and one of a directory "immutable node".
 */
typedef void dv_inspect_done_fn(void *arg, struct dv_node *node,
				const struct dv_node *old);

/*
 * Ask the tree whose root directory is @root(@obj). @done is called exactly
 * once, unless the request is cancelled before: inside this call when nothing
 * was left to answer, and then *@reqp is NULL; else later, from @loop or from
 * the last answer. With a NULL @loop nothing waits: what was deferred and not
 * answered at once is unresolved. Returns 0,
 * -EINVAL or -ENOMEM; on failure @done is not called.
 */
int dv_inspect_start(struct dv_inspect_req **reqp, struct dv_loop *loop,
		     const struct dv_inspect_opts *opts, dv_inspect_fn *root,
		     void *obj, dv_inspect_done_fn *done, void *arg);

/* End it now (not inside a dv_inspect_fn of it), without calling @done. NULL is
 * allowed. Returns NULL. */
struct dv_inspect_req *dv_inspect_cancel(struct dv_inspect_req *req);
