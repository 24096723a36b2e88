/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Reading a profile's JSON: typed access to members, with errors that say where
 * in the document they are. Private to the seccomp files.
 */
#include <stddef.h>
#include <stdint.h>

#include <json-c/json_types.h>

#include "davit/err.h"

/* Limits, checked on the text before anything is allocated for it. */
enum {
	DV_SJSON_LEN_MAX = 1 << 20,
	DV_SJSON_DEPTH_MAX = 32,
	DV_SJSON_VALUES_MAX = 1 << 16,
};

struct dv_sjson {
	const char *name;   /* of the file, borrowed */
	struct dv_err *err; /* borrowed, may be NULL */
	char at[64];        /* the object being read: "syscalls[3].args[0]" */
};

/*
 * Parse @text, which needs no NUL behind it. The root is an object and belongs
 * to the caller (json_object_put()). -EINVAL says line and column.
 */
int dv_sjson_parse(struct dv_sjson *doc, const char *text, size_t len,
		   struct json_object **rootp);

/* Fill err: "name: at.key: text"; @key may be NULL. Returns -EINVAL. */
int dv_sjson_bad(struct dv_sjson *doc, const char *key, const char *fmt, ...)
	DV_PRINTF(3, 4);

/*
 * Members by name. 1: it is there, 0: it is not, or is null; -EINVAL: it has
 * another type. What they point to is borrowed from @obj. Strings with a NUL
 * inside are refused, so are numbers above @max.
 */
int dv_sjson_object(struct dv_sjson *doc, struct json_object *obj,
		    const char *key, struct json_object **valp);
int dv_sjson_array(struct dv_sjson *doc, struct json_object *obj,
		   const char *key, struct json_object **valp);
int dv_sjson_str(struct dv_sjson *doc, struct json_object *obj, const char *key,
		 const char **valp);
int dv_sjson_u64(struct dv_sjson *doc, struct json_object *obj, const char *key,
		 uint64_t max, uint64_t *valp);

/* The i-th item of the array that is member @key. 0 or -EINVAL. */
int dv_sjson_item_object(struct dv_sjson *doc, struct json_object *array,
			 const char *key, size_t i, struct json_object **valp);
int dv_sjson_item_str(struct dv_sjson *doc, struct json_object *array,
		      const char *key, size_t i, const char **valp);

/* A copy of @s that is fit for a message: short and printable. Returns @out. */
const char *dv_sjson_show(const char *s, char out[48]);
