/* SPDX-License-Identifier: MIT */
/*
 * DOC: from a profile to a filter.
 *
 * The format is the seccomp object of the OCI runtime specification, and what
 * container engines' own profile files add to it (archMap, includes, excludes).
 * Names that this machine's libseccomp does not know are skipped, as engines
 * do: profiles list the calls of all architectures and all kernels.
 *
 * libseccomp allows one comparison for each argument in a rule. An entry that
 * compares an argument twice therefore becomes one rule for each comparison:
 * any of them is enough, where otherwise all of them are needed. That is how
 * the OCI engines read such an entry.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>
#include <seccomp.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "engine/seccomp.h"
#include "engine/seccomp_cond.h"
#include "engine/seccomp_json.h"

enum {
	ENTRIES_MAX = 4096, /* of "syscalls" */
	RULES_MAX = 8192, /* the time libseccomp takes grows with its square */
	ARGS = 6,         /* of a system call */
	ERRNO_MAX = 4095, /* the kernel's MAX_ERRNO */
};

struct profile {
	struct dv_sjson doc;
	scmp_filter_ctx filter;
	uint32_t default_action;
	struct dv_sc_machine machine;
	unsigned int n_rules;
};

/* One entry of "syscalls", without its names. */
struct entry {
	uint32_t action;
	struct scmp_arg_cmp args[ARGS];
	unsigned int n_args;
	bool any; /* one comparison is enough */
};

static void profile_free(struct profile *p)
{
	if (p->filter)
		seccomp_release(p->filter);
	p->filter = NULL;
}

/* ---- actions ------------------------------------------------------- */

static const struct {
	const char *name;
	uint32_t action;
	bool has_errno; /* the low 16 bits carry a number */
} actions[] = {
	{ "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW, false },
	{ "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0), true },
	{ "SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD, false },
	{ "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS, false },
	{ "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD, false },
	{ "SCMP_ACT_LOG", SCMP_ACT_LOG, false },
	{ "SCMP_ACT_TRACE", SCMP_ACT_TRACE(0), true },
	{ "SCMP_ACT_TRAP", SCMP_ACT_TRAP, false },
};

static int bad_word(struct profile *p, const char *key, const char *what,
		    const char *word)
{
	char shown[48];

	return dv_sjson_bad(&p->doc, key, "%s \"%s\"", what,
			    dv_sjson_show(word, shown));
}

/* @number: what the low bits get, where the action has any. */
static int find_action(struct profile *p, const char *key, const char *name,
		       uint64_t number, uint32_t *actionp)
{
	for (size_t i = 0; i < DV_ARRAY_LEN(actions); i++) {
		if (strcmp(actions[i].name, name) != 0)
			continue;
		*actionp = actions[i].action;
		if (actions[i].has_errno)
			*actionp |= (uint32_t)number;
		return 0;
	}
	if (strcmp(name, "SCMP_ACT_NOTIFY") == 0)
		return dv_sjson_bad(&p->doc, key,
				    "SCMP_ACT_NOTIFY is not supported: nobody "
				    "would answer the notifications");
	return bad_word(p, key, "unknown action", name);
}

static int read_action(struct profile *p, struct json_object *obj,
		       const char *key, const char *errno_key,
		       uint32_t *actionp)
{
	uint64_t number = EPERM;
	const char *name = NULL;
	int r;

	r = dv_sjson_str(&p->doc, obj, key, &name);
	if (r == 0)
		return dv_sjson_bad(&p->doc, key, "is missing");
	if (r < 0)
		return r;
	r = dv_sjson_u64(&p->doc, obj, errno_key, ERRNO_MAX, &number);
	if (r < 0)
		return r;
	return find_action(p, key, name, number, actionp);
}

/* ---- comparisons --------------------------------------------------- */

static int read_op(struct profile *p, struct json_object *obj,
		   enum scmp_compare *opp)
{
	static const struct {
		const char *name;
		enum scmp_compare op;
	} ops[] = {
		{ "SCMP_CMP_NE", SCMP_CMP_NE },
		{ "SCMP_CMP_LT", SCMP_CMP_LT },
		{ "SCMP_CMP_LE", SCMP_CMP_LE },
		{ "SCMP_CMP_EQ", SCMP_CMP_EQ },
		{ "SCMP_CMP_GE", SCMP_CMP_GE },
		{ "SCMP_CMP_GT", SCMP_CMP_GT },
		{ "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
	};
	const char *name = NULL;
	int r = dv_sjson_str(&p->doc, obj, "op", &name);

	if (r <= 0)
		return r < 0 ? r : dv_sjson_bad(&p->doc, "op", "is missing");
	for (size_t i = 0; i < DV_ARRAY_LEN(ops); i++) {
		if (strcmp(ops[i].name, name) == 0) {
			*opp = ops[i].op;
			return 0;
		}
	}
	return bad_word(p, "op", "unknown operator", name);
}

static int read_arg(struct profile *p, struct json_object *obj,
		    struct scmp_arg_cmp *cmp)
{
	uint64_t index = 0, value = 0, two = 0;
	int r = dv_sjson_u64(&p->doc, obj, "index", ARGS - 1, &index);

	if (r == 0)
		return dv_sjson_bad(&p->doc, "index", "is missing");
	if (r > 0)
		r = dv_sjson_u64(&p->doc, obj, "value", UINT64_MAX, &value);
	if (r == 0)
		return dv_sjson_bad(&p->doc, "value", "is missing");
	if (r > 0)
		r = dv_sjson_u64(&p->doc, obj, "valueTwo", UINT64_MAX, &two);
	if (r >= 0)
		r = read_op(p, obj, &cmp->op);
	if (r < 0)
		return r;
	/* For MASKED_EQ these are the mask and what is left under it. */
	cmp->arg = (unsigned int)index;
	cmp->datum_a = value;
	cmp->datum_b = two;
	return 0;
}

/* Sets any when an argument is compared twice. */
static void find_repeats(struct entry *e)
{
	unsigned int seen = 0;

	for (unsigned int i = 0; i < e->n_args; i++) {
		e->any = e->any || (seen & DV_BIT(e->args[i].arg));
		seen |= DV_BIT(e->args[i].arg);
	}
}

static int read_args(struct profile *p, struct json_object *obj, size_t entry,
		     struct entry *e)
{
	struct json_object *list, *item;
	int r = dv_sjson_array(&p->doc, obj, "args", &list);

	if (r <= 0)
		return r;
	if (json_object_array_length(list) > ARGS)
		return dv_sjson_bad(&p->doc, "args", "more than %d", ARGS);
	e->n_args = (unsigned int)json_object_array_length(list);
	for (unsigned int i = 0; i < e->n_args; i++) {
		r = dv_sjson_item_object(&p->doc, list, "args", i, &item);
		if (r < 0)
			return r;
		dv_fmt(p->doc.at, sizeof(p->doc.at), "syscalls[%zu].args[%u]",
		       entry, i);
		r = read_arg(p, item, &e->args[i]);
		if (r < 0)
			return r;
	}
	dv_fmt(p->doc.at, sizeof(p->doc.at), "syscalls[%zu]", entry);
	find_repeats(e);
	return 0;
}

/* ---- entries ------------------------------------------------------- */

static int add_rules(struct profile *p, const struct entry *e, int nr)
{
	unsigned int step = e->any ? 1 : e->n_args;
	unsigned int i = 0;
	int r;

	do {
		r = seccomp_rule_add_array(p->filter, e->action, nr, step,
					   e->args + i);
		if (r < 0 && r != -EEXIST)
			return r;
		if (++p->n_rules > RULES_MAX)
			return -E2BIG;
		i += step;
	} while (i < e->n_args);
	return 0;
}

static int add_name(struct profile *p, const struct entry *e, const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);
	char shown[48];
	int r;

	/* libseccomp refuses rules that only repeat the default. */
	if (nr == __NR_SCMP_ERROR || e->action == p->default_action)
		return 0;
	r = add_rules(p, e, nr);
	if (r == 0)
		return 0;
	if (r == -ENOMEM)
		return dv_err_sys(p->doc.err, ENOMEM, "%s", p->doc.name);
	return dv_sjson_bad(&p->doc, NULL, "cannot add a rule for %s: %s",
			    dv_sjson_show(name, shown), dv_errno_text(-r));
}

/* The old form: one "name" in place of "names". */
static int add_single_name(struct profile *p, struct json_object *obj,
			   const struct entry *e, bool applies)
{
	const char *name = NULL;
	int r = dv_sjson_str(&p->doc, obj, "name", &name);

	if (r == 0)
		return dv_sjson_bad(&p->doc, "names", "is missing");
	return r > 0 && applies ? add_name(p, e, name) : dv_min(r, 0);
}

static int add_names(struct profile *p, struct json_object *obj,
		     const struct entry *e, bool applies)
{
	struct json_object *list;
	const char *name = NULL;
	int r = dv_sjson_array(&p->doc, obj, "names", &list);

	if (r <= 0)
		return r < 0 ? r : add_single_name(p, obj, e, applies);
	for (size_t i = 0; r >= 0 && i < json_object_array_length(list); i++) {
		r = dv_sjson_item_str(&p->doc, list, "names", i, &name);
		if (r == 0 && applies)
			r = add_name(p, e, name);
	}
	return dv_min(r, 0);
}

/* An entry that does not count here must be well formed all the same. */
static int add_entry(struct profile *p, struct json_object *obj, size_t i)
{
	struct entry e = { 0 };
	int applies, r;

	dv_fmt(p->doc.at, sizeof(p->doc.at), "syscalls[%zu]", i);
	r = read_action(p, obj, "action", "errnoRet", &e.action);
	if (r == 0)
		r = read_args(p, obj, i, &e);
	if (r < 0)
		return r;
	applies = dv_sc_applies(&p->machine, &p->doc, obj);
	return applies < 0 ? applies : add_names(p, obj, &e, applies);
}

static int add_entries(struct profile *p, struct json_object *root)
{
	struct json_object *list, *item;
	int r = dv_sjson_array(&p->doc, root, "syscalls", &list);

	if (r <= 0)
		return r;
	if (json_object_array_length(list) > ENTRIES_MAX)
		return dv_sjson_bad(&p->doc, "syscalls", "more than %d entries",
				    ENTRIES_MAX);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		r = dv_sjson_item_object(&p->doc, list, "syscalls", i, &item);
		if (r == 0)
			r = add_entry(p, item, i);
		if (r < 0)
			return r;
	}
	p->doc.at[0] = '\0';
	return 0;
}

/* ---- architectures ------------------------------------------------- */

/* "SCMP_ARCH_X86_64" is "x86_64" in libseccomp's words; 0: unknown. */
static uint32_t arch_token(const char *name)
{
	static const char prefix[] = "SCMP_ARCH_";
	char lower[32];
	size_t n = 0;

	if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
		return 0;
	name += sizeof(prefix) - 1;
	for (; name[n] && n < sizeof(lower) - 1; n++)
		lower[n] = (char)tolower((unsigned char)name[n]);
	lower[n] = '\0';
	return seccomp_arch_resolve_name(lower);
}

static int add_arch(struct profile *p, const char *key, const char *name)
{
	uint32_t arch = arch_token(name);
	char shown[48];
	int r;

	if (arch == 0)
		return bad_word(p, key, "unknown architecture", name);
	r = seccomp_arch_add(p->filter, arch);
	if (r < 0 && r != -EEXIST)
		return dv_sjson_bad(&p->doc, key, "%s cannot be added here",
				    dv_sjson_show(name, shown));
	return 0;
}

/* The native architecture is there without being named. */
static int add_arch_list(struct profile *p, struct json_object *obj,
			 const char *key)
{
	struct json_object *list;
	const char *name;
	int r = dv_sjson_array(&p->doc, obj, key, &list);

	if (r <= 0)
		return r;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		r = dv_sjson_item_str(&p->doc, list, key, i, &name);
		if (r == 0)
			r = add_arch(p, key, name);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Only the row of the native architecture counts; it names relatives. */
static int add_arch_map(struct profile *p, struct json_object *root)
{
	struct json_object *list, *row;
	const char *name;
	int r = dv_sjson_array(&p->doc, root, "archMap", &list);

	if (r <= 0)
		return r;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		r = dv_sjson_item_object(&p->doc, list, "archMap", i, &row);
		if (r < 0)
			return r;
		dv_fmt(p->doc.at, sizeof(p->doc.at), "archMap[%zu]", i);
		r = dv_sjson_str(&p->doc, row, "architecture", &name);
		if (r == 0)
			return dv_sjson_bad(&p->doc, "architecture",
					    "is missing");
		if (r > 0)
			r = arch_token(name) == p->machine.arch
				    ? add_arch_list(p, row, "subArchitectures")
				    : 0;
		if (r < 0)
			return r;
	}
	p->doc.at[0] = '\0';
	return 0;
}

/*
 * Flags are for whoever loads the filter. These two change nothing here: the
 * loader has one thread, and mitigations stay on. What others ask for would
 * not happen, so they are refused.
 */
static int check_flags(struct profile *p, struct json_object *root)
{
	struct json_object *list;
	const char *name = NULL;
	int r = dv_sjson_array(&p->doc, root, "flags", &list);

	if (r <= 0)
		return r;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		r = dv_sjson_item_str(&p->doc, list, "flags", i, &name);
		if (r < 0)
			return r;
		if (strcmp(name, "SECCOMP_FILTER_FLAG_TSYNC") != 0 &&
		    strcmp(name, "SECCOMP_FILTER_FLAG_SPEC_ALLOW") != 0)
			return bad_word(p, "flags", "unsupported flag", name);
	}
	return 0;
}

/* ---- the whole ----------------------------------------------------- */

static int profile_init(struct profile *p, struct json_object *root)
{
	int r = read_action(p, root, "defaultAction", "defaultErrnoRet",
			    &p->default_action);
	if (r < 0)
		return r;
	p->filter = seccomp_init(p->default_action);
	if (!p->filter)
		return dv_sjson_bad(&p->doc, "defaultAction",
				    "not supported by this kernel");
	/* A tree of calls: the kernel loads it in half the time of a list. */
	seccomp_attr_set(p->filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	return 0;
}

static int profile_read(struct profile *p, struct json_object *root)
{
	int r = profile_init(p, root);

	if (r == 0)
		r = check_flags(p, root);
	if (r == 0)
		r = add_arch_list(p, root, "architectures");
	if (r == 0)
		r = add_arch_map(p, root);
	if (r == 0)
		r = add_entries(p, root);
	return r;
}

/* libseccomp writes a program only to a descriptor. */
static int profile_export(struct profile *p, struct dv_buf *bpf)
{
	dv_autofd int fd = memfd_create("davit-seccomp", MFD_CLOEXEC);
	const size_t max = BPF_MAXINSNS * sizeof(struct sock_filter);
	struct stat st;
	void *room;
	int r;

	if (fd < 0)
		return dv_err_sys(p->doc.err, errno, "create a memfd");
	r = seccomp_export_bpf(p->filter, fd);
	if (r < 0)
		return dv_err_sys(p->doc.err, -r, "%s: make the filter",
				  p->doc.name);
	if (fstat(fd, &st) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return dv_err_sys(p->doc.err, errno, "read the filter");
	if ((uint64_t)st.st_size > max)
		return dv_err_set(p->doc.err, EINVAL, DV_INVALID,
				  "%s: the filter has %llu instructions; the "
				  "kernel takes %d",
				  p->doc.name,
				  (unsigned long long)st.st_size / 8,
				  BPF_MAXINSNS);
	room = dv_buf_room(bpf, (size_t)st.st_size);
	if (!room)
		return dv_err_sys(p->doc.err, -dv_buf_status(bpf), "%s",
				  p->doc.name);
	if (dv_read_full(fd, room, (size_t)st.st_size) != st.st_size)
		return dv_err_sys(p->doc.err, EIO, "read the filter");
	dv_buf_add(bpf, (size_t)st.st_size);
	return 0;
}

int dv_seccomp_compile(const char *name, const char *json, size_t len,
		       uint64_t caps, struct dv_buf *bpf, struct dv_err *err)
{
	struct profile p __attribute__((cleanup(profile_free))) = {
		.doc = { name, err, { 0 } },
	};
	struct json_object *root = NULL;
	int r = dv_sjson_parse(&p.doc, json, len, &root);

	if (r < 0)
		return r;
	dv_sc_machine_init(&p.machine, caps);
	r = profile_read(&p, root);
	json_object_put(root);
	return r < 0 ? r : profile_export(&p, bpf);
}
