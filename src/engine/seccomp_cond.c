/* SPDX-License-Identifier: MIT */
#include "engine/seccomp_cond.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <json-c/json.h>
#include <seccomp.h>

#include "base/def.h"
#include "base/fmt.h"
#include "engine/cap_name.h"

/* "4.8" or "6.1.0-13-amd64". Returns 0 or -EINVAL. */
static int parse_version(const char *s, unsigned int *majorp,
			 unsigned int *minorp)
{
	unsigned long part[2];
	char *end;

	for (size_t i = 0; i < 2; i++) {
		if (!isdigit((unsigned char)*s))
			return -EINVAL;
		part[i] = strtoul(s, &end, 10);
		if (part[i] > UINT16_MAX || (i == 0 && *end != '.'))
			return -EINVAL;
		s = end + 1;
	}
	*majorp = (unsigned int)part[0];
	*minorp = (unsigned int)part[1];
	return 0;
}

void dv_sc_machine_init(struct dv_sc_machine *m, uint64_t caps)
{
	struct utsname uts;

	*m = (struct dv_sc_machine){ seccomp_arch_native(), caps, 0, 0 };
	if (uname(&uts) == 0)
		parse_version(uts.release, &m->major, &m->minor);
}

static bool cap_is_held(const struct dv_sc_machine *m, const char *name)
{
	int cap = dv_cap_number(name);

	return cap >= 0 && (m->caps >> cap & 1);
}

static bool arch_is_native(const struct dv_sc_machine *m, const char *name)
{
	/* Profiles use the names that Go has for them. */
	static const struct {
		const char *name;
		uint32_t arch;
	} names[] = {
		{ "amd64", SCMP_ARCH_X86_64 },
		{ "x86_64", SCMP_ARCH_X86_64 },
		{ "arm64", SCMP_ARCH_AARCH64 },
		{ "aarch64", SCMP_ARCH_AARCH64 },
		{ "ppc64le", SCMP_ARCH_PPC64LE },
		{ "s390x", SCMP_ARCH_S390X },
		{ "riscv64", SCMP_ARCH_RISCV64 },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(names); i++) {
		if (names[i].arch == m->arch &&
		    strcmp(names[i].name, name) == 0)
			return true;
	}
	return false;
}

/* What one condition came to. */
struct outcome {
	size_t n_caps, caps;     /* named, and held */
	size_t n_arches, arches; /* named, and native */
	bool has_kernel, kernel; /* there is a minKernel; we are as new */
};

/* How many items the list @key has, and how many of them hold here. */
static int count_list(const struct dv_sc_machine *m, struct dv_sjson *doc,
		      struct json_object *cond, const char *key, size_t *allp,
		      size_t *truep)
{
	bool caps = strcmp(key, "caps") == 0;
	struct json_object *list;
	const char *name;
	int r = dv_sjson_array(doc, cond, key, &list);

	if (r <= 0)
		return r;
	*allp = json_object_array_length(list);
	for (size_t i = 0; i < *allp; i++) {
		r = dv_sjson_item_str(doc, list, key, i, &name);
		if (r < 0)
			return r;
		*truep += caps ? cap_is_held(m, name) : arch_is_native(m, name);
	}
	return 0;
}

static int read_kernel(const struct dv_sc_machine *m, struct dv_sjson *doc,
		       struct json_object *cond, struct outcome *o)
{
	unsigned int major, minor;
	const char *text = NULL;
	int r = dv_sjson_str(doc, cond, "minKernel", &text);

	if (r <= 0)
		return r;
	if (parse_version(text, &major, &minor) < 0)
		return dv_sjson_bad(doc, "minKernel", "must be like \"4.8\"");
	o->has_kernel = true;
	o->kernel =
		m->major > major || (m->major == major && m->minor >= minor);
	return 0;
}

static int read_members(const struct dv_sc_machine *m, struct dv_sjson *doc,
			struct json_object *cond, struct outcome *o)
{
	int r = count_list(m, doc, cond, "caps", &o->n_caps, &o->caps);

	if (r == 0)
		r = count_list(m, doc, cond, "arches", &o->n_arches,
			       &o->arches);
	return r < 0 ? r : read_kernel(m, doc, cond, o);
}

/* An absent condition has the outcome of an empty one. */
static int read_condition(const struct dv_sc_machine *m, struct dv_sjson *doc,
			  struct json_object *obj, const char *key,
			  struct outcome *o)
{
	size_t len = strlen(doc->at);
	struct json_object *cond;
	int r = dv_sjson_object(doc, obj, key, &cond);

	*o = (struct outcome){ 0 };
	if (r <= 0)
		return r;
	dv_fmt(doc->at + len, sizeof(doc->at) - len, ".%s", key);
	r = read_members(m, doc, cond, o);
	doc->at[len] = '\0';
	return r;
}

/* Every capability, one of the architectures, and the kernel. */
static bool is_included(const struct outcome *o)
{
	return o->caps == o->n_caps && (o->n_arches == 0 || o->arches > 0) &&
	       (!o->has_kernel || o->kernel);
}

/* Any of them. */
static bool is_excluded(const struct outcome *o)
{
	return o->caps > 0 || o->arches > 0 || (o->has_kernel && o->kernel);
}

int dv_sc_applies(const struct dv_sc_machine *m, struct dv_sjson *doc,
		  struct json_object *obj)
{
	struct outcome in, out;
	int r = read_condition(m, doc, obj, "includes", &in);

	if (r >= 0)
		r = read_condition(m, doc, obj, "excludes", &out);
	return r < 0 ? r : is_included(&in) && !is_excluded(&out);
}
