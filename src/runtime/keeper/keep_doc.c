/* SPDX-License-Identifier: MIT */
/*
 * What a sandbox was asked to be, in its three forms: the spec of a caller, the
 * message that a keeper gets and stores, and the document that everybody reads.
 */
#include "runtime/keeper/keeper.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/def.h"
#include "base/utf8.h"
#include "runtime/plan/spec.h"
#include "wire/pb.h"

enum {
	LOG_MAX_DEFAULT = 64 << 20,
	HEALTH_INTERVAL_MS = 30000,
	HEALTH_RETRIES = 3,
	LABEL_MAX = 1024, /* bytes; a list of all sandboxes shows them */
};

static int bad(struct dv_err *err, const char *what)
{
	return dv_err_step(err, dv_err_set(err, EINVAL, DV_INVALID, "%s", what),
			   DV_STEP_CONFIG);
}

static int oom(struct dv_err *err)
{
	return dv_err_sys(err, ENOMEM, "keep a sandbox");
}

/*
 * @shallow points to what others own. Its copy in memory of its own goes by the
 * bytes that are stored anyway, so that it holds exactly what would be.
 */
static int deep_copy(const pb_msgdesc_t *fields, const void *shallow, void *out,
		     struct dv_err *err)
{
	dv_autobuf bytes = DV_BUF_INIT(DV_STORE_KEPT_MAX);
	int r = dv_pb_encode(fields, shallow, &bytes, err);

	if (r == 0)
		r = dv_pb_decode(fields, bytes.data ? bytes.data : "",
				 bytes.len, out, err);
	return dv_err_step(err, r, DV_STEP_CONFIG);
}

/* ---- spec -> message ---------------------------------------------------- */

static int check_streams(const struct dv_spec *spec, struct dv_err *err)
{
	if (spec->n_extra)
		return bad(err, "descriptors of the caller cannot be kept");
	for (int i = 0; i < 3; i++)
		if (spec->stdio[i].mode == DV_STDIO_FD)
			return bad(err, "streams that are descriptors of the "
					"caller cannot be kept");
	return 0;
}

static void put_files(const struct dv_spec *spec, dv_Spec *m)
{
	const dv_Isolation *iso = &spec->mem.msg.isolation;

	m->boundary = spec->boundary;
	m->rootfs = spec->rootfs;
	m->rootfs_mode = spec->rootfs_mode;
	m->read_only = spec->read_only;
	m->mounts = iso->mounts;
	m->mounts_count = iso->mounts_count;
	m->workdir = spec->workdir;
	m->user = spec->user;
	m->hostname = spec->hostname;
	m->net = spec->net;
}

static void put_limits(const struct dv_spec *spec, dv_Spec *m)
{
	const struct dv_cgroup_limits *l = &spec->limits;
	const dv_Process *p = &spec->mem.msg.process;

	m->has_limits = true;
	m->limits.has_memory = m->limits.has_milli_cpus = true;
	m->limits.has_pids = m->limits.has_io_weight = true;
	m->limits.memory = l->memory;
	m->limits.milli_cpus = l->milli_cpus;
	m->limits.pids = l->pids;
	m->limits.io_weight = l->io_weight;
	m->rlimits = p->rlimits;
	m->rlimits_count = p->rlimits_count;
	m->has_nice = p->has_nice;
	m->nice = p->nice;
	m->has_oom_score_adj = p->has_oom_score_adj;
	m->oom_score_adj = p->oom_score_adj;
	m->has_umask = p->has_umask;
	m->umask = p->umask;
}

/* @stdio is memory for the streams; all else is the spec's. */
static void shallow_spec(const struct dv_spec *spec, dv_Spec *m,
			 uint32_t stdio[3])
{
	const dv_Process *p = &spec->mem.msg.process;

	m->argv = p->argv;
	m->argv_count = p->argv_count;
	m->exe = p->exe;
	m->env = p->env;
	m->env_count = p->env_count;
	m->env_clear = spec->env_clear;
	m->env_unset = spec->env_unset;
	m->env_unset_count = spec->env_unset_count;
	put_files(spec, m);
	put_limits(spec, m);
	m->cap_add = spec->cap_add;
	m->cap_drop = spec->cap_drop;
	m->seccomp = spec->seccomp;
	for (int i = 0; i < 3; i++)
		stdio[i] = spec->stdio[i].mode == DV_STDIO_FD
				   ? DV_STDIO_NULL
				   : spec->stdio[i].mode;
	m->stdio = stdio;
	m->stdio_count = 3;
	m->rows = spec->rows;
	m->cols = spec->cols;
	m->stop_signal = spec->stop_signal;
	m->stop_timeout_ms = spec->stop_timeout_ms;
	m->timeout_ms = spec->timeout_ms;
	m->best_effort = spec->best_effort;
}

int dv_spec_describe(const struct dv_spec *spec, dv_Spec *out,
		     struct dv_err *err)
{
	dv_Spec m = dv_Spec_init_zero;
	uint32_t stdio[3];

	shallow_spec(spec, &m, stdio);
	*out = (dv_Spec)dv_Spec_init_zero;
	return deep_copy(dv_Spec_fields, &m, out, err);
}

int dv_spec_encode(const struct dv_spec *spec, dv_Spec *out, struct dv_err *err)
{
	int r = check_streams(spec, err);

	return r < 0 ? r : dv_spec_describe(spec, out, err);
}

/* ---- message -> spec ---------------------------------------------------- */

static int check_enums(const dv_Spec *m, struct dv_err *err)
{
	if (m->boundary >= DV_IN_BOUNDARY_N || m->rootfs_mode >= DV_ROOTFS_N ||
	    m->net >= DV_NET_N || m->stdio_count > 3)
		return bad(err, "a spec of another version");
	for (pb_size_t i = 0; i < m->stdio_count; i++)
		if (m->stdio[i] >= DV_STDIO_N || m->stdio[i] == DV_STDIO_FD)
			return bad(err, "a stream of another version");
	for (pb_size_t i = 0; i < m->mounts_count; i++)
		if ((m->mounts[i].kind != dv_MOUNT_BIND &&
		     m->mounts[i].kind != dv_MOUNT_TMPFS) ||
		    !m->mounts[i].target ||
		    (m->mounts[i].kind == dv_MOUNT_BIND &&
		     !m->mounts[i].source))
			return bad(err, "a mount that makes no sense");
	if (!m->argv_count || m->rows > UINT16_MAX || m->cols > UINT16_MAX ||
	    m->stop_signal < 1 || m->stop_signal >= _NSIG ||
	    m->stop_timeout_ms < 0)
		return bad(err, "a spec that makes no sense");
	return 0;
}

static char *copy(struct dv_spec *s, const char *text)
{
	return text ? dv_plan_strdup(&s->mem, text) : NULL;
}

static void get_mounts(struct dv_spec *s, const dv_Spec *m)
{
	for (pb_size_t i = 0; i < m->mounts_count; i++) {
		const dv_Mount *from = &m->mounts[i];
		dv_Mount *to = dv_plan_mount(&s->mem, from->kind, from->source,
					     from->target, from->flags);

		if (!to)
			return;
		to->mode = from->mode;
		to->options = copy(s, from->options);
	}
}

static void get_process(struct dv_spec *s, const dv_Spec *m)
{
	dv_Process *p = &s->mem.msg.process;

	for (pb_size_t i = 0; i < m->argv_count; i++)
		dv_plan_arg(&s->mem, m->argv[i]);
	p->exe = copy(s, m->exe);
	for (pb_size_t i = 0; i < m->env_count; i++)
		dv_plan_env(&s->mem, m->env[i]);
	s->env_clear = m->env_clear;
	for (pb_size_t i = 0; i < m->env_unset_count; i++)
		dv_plan_list_add(&s->mem, &s->env_unset, &s->env_unset_count,
				 m->env_unset[i]);
	for (pb_size_t i = 0; i < m->rlimits_count; i++)
		dv_plan_rlimit(&s->mem, m->rlimits[i].resource,
			       m->rlimits[i].soft, m->rlimits[i].hard);
	p->has_nice = m->has_nice;
	p->nice = m->nice;
	p->has_oom_score_adj = m->has_oom_score_adj;
	p->oom_score_adj = m->oom_score_adj;
	p->has_umask = m->has_umask;
	p->umask = m->umask;
}

static void get_rest(struct dv_spec *s, const dv_Spec *m)
{
	s->boundary = (enum dv_boundary)m->boundary;
	s->rootfs = copy(s, m->rootfs);
	s->rootfs_mode = (enum dv_rootfs_mode)m->rootfs_mode;
	s->read_only = m->read_only;
	s->workdir = copy(s, m->workdir);
	s->user = copy(s, m->user);
	s->hostname = copy(s, m->hostname);
	s->net = (enum dv_net)m->net;
	s->limits.memory = m->limits.memory;
	s->limits.milli_cpus = m->limits.milli_cpus;
	s->limits.pids = m->limits.pids;
	s->limits.io_weight = m->limits.io_weight;
	s->cap_add = m->cap_add;
	s->cap_drop = m->cap_drop;
	s->seccomp = copy(s, m->seccomp);
	for (pb_size_t i = 0; i < m->stdio_count; i++)
		s->stdio[i].mode = (enum dv_stdio)m->stdio[i];
	s->rows = (uint16_t)m->rows;
	s->cols = (uint16_t)m->cols;
	s->stop_signal = m->stop_signal;
	s->stop_timeout_ms = m->stop_timeout_ms;
	s->timeout_ms = m->timeout_ms;
	s->best_effort = m->best_effort;
}

int dv_spec_decode(struct dv_spec **specp, const dv_Spec *m, struct dv_err *err)
{
	struct dv_spec *s = NULL;
	int r = check_enums(m, err);

	if (r < 0)
		return r;
	if (dv_spec_new(&s) < 0)
		return oom(err);
	get_process(s, m);
	get_mounts(s, m);
	get_rest(s, m);
	r = dv_plan_status(&s->mem);
	if (r < 0) {
		dv_spec_free(s);
		return dv_err_sys(err, -r, "prepare the sandbox");
	}
	*specp = s;
	return 0;
}

/* ---- how it is kept ----------------------------------------------------- */

/* Among the first @n. */
static bool has_key(const char *const *labels, size_t n, const char *key,
		    size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (!strncmp(labels[i], key, len) && labels[i][len] == '=')
			return true;
	return false;
}

static int check_labels(const char *const *labels, pb_size_t *np,
			struct dv_err *err)
{
	size_t n = 0;

	for (; labels && labels[n]; n++) {
		const char *eq = strchr(labels[n], '=');

		if (n >= DV_SANDBOX_LABELS_MAX)
			return bad(err, "more than 64 labels");
		if (!eq || eq == labels[n])
			return bad(err, "a label is KEY=VALUE");
		if (strlen(labels[n]) > LABEL_MAX)
			return bad(err, "a label has at most 1024 bytes");
		if (!dv_utf8_ok(labels[n], strlen(labels[n])))
			return bad(err, "a label is no UTF-8");
		if (has_key(labels, n, labels[n], (size_t)(eq - labels[n])))
			return bad(err, "a label is there twice");
	}
	*np = (pb_size_t)n;
	return 0;
}

static int check_keep(const struct dv_sandbox_keep *k, struct dv_err *err)
{
	if (k->size != sizeof(*k))
		return bad(err, "options of another version");
	if ((unsigned int)k->restart >= DV_RESTART_N)
		return bad(err, "no such restart policy");
	if (k->ttl_ms < 0 || k->idle_ms < 0 || k->health_interval_ms < 0)
		return bad(err, "a time is below zero");
	if (k->remove && k->restart != DV_RESTART_NO)
		return bad(err, "what is removed at its end cannot be "
				"restarted then");
	return k->name ? dv_store_check_name(k->name, err) : 0;
}

static char **list(const char *const *of)
{
	return (char **)(uintptr_t)of; /* nanopb's structs know no const */
}

static void put_health(const struct dv_sandbox_keep *k, dv_Keep *m)
{
	size_t n = 0;

	while (k->health && k->health[n] && n < DV_PLAN_ARGS_MAX)
		n++;
	m->health = list(k->health);
	m->health_count = (pb_size_t)n;
	if (!n)
		return;
	m->health_interval_ms = k->health_interval_ms
					? (uint32_t)k->health_interval_ms
					: HEALTH_INTERVAL_MS;
	m->health_retries =
		k->health_retries ? k->health_retries : HEALTH_RETRIES;
}

int dv_keep_encode(const struct dv_sandbox_keep *k, dv_Keep *out,
		   struct dv_err *err)
{
	dv_Keep m = dv_Keep_init_zero;
	int r = check_keep(k, err);

	if (r == 0)
		r = check_labels(k->labels, &m.labels_count, err);
	if (r < 0)
		return r;
	m.name = k->name ? (char *)(uintptr_t)k->name : NULL;
	m.labels = list(k->labels);
	m.restart = (dv_RestartPolicy)k->restart;
	m.restart_max = k->restart_max;
	m.remove = k->remove;
	m.input = k->input || k->terminal;
	m.terminal = k->terminal;
	if (k->log_max != UINT64_MAX)
		m.log_max = k->log_max ? k->log_max : LOG_MAX_DEFAULT;
	m.ttl_ms = (uint64_t)k->ttl_ms;
	m.idle_ms = (uint64_t)k->idle_ms;
	put_health(k, &m);
	*out = (dv_Keep)dv_Keep_init_zero;
	return deep_copy(dv_Keep_fields, &m, out, err);
}

/* ---- the document ------------------------------------------------------- */

static char **copy_list(char *const *from, size_t n)
{
	char **to = calloc(n + 1, sizeof(*to));

	for (size_t i = 0; to && i < n; i++) {
		to[i] = strdup(from[i]);
		if (to[i])
			continue;
		while (i-- > 0)
			free(to[i]);
		free(to);
		return NULL;
	}
	return to;
}

static void copy_text(char *to, size_t size, const char *from)
{
	size_t len = from ? strnlen(from, size - 1) : 0;

	memcpy(to, from ? from : "", len);
	to[len] = '\0';
}

static void info_of_keep(struct dv_sandbox_info *info, const dv_Keep *k)
{
	copy_text(info->name, sizeof(info->name), k->name);
	info->detached = k->detached;
	info->remove = k->remove;
	info->terminal = k->terminal;
	info->input = k->input;
	info->restart = dv_min((enum dv_restart)k->restart, DV_RESTART_ALWAYS);
	info->restart_max = k->restart_max;
	info->health = k->health_count ? DV_HEALTH_STARTING : DV_HEALTH_NONE;
}

int dv_info_of_kept(struct dv_sandbox_info *info, const dv_KeptSandbox *kept,
		    struct dv_err *err)
{
	const dv_Spec *s = &kept->spec;

	*info = (struct dv_sandbox_info){ .size = sizeof(*info) };
	copy_text(info->id, sizeof(info->id), kept->id);
	copy_text(info->version, sizeof(info->version), DV_VERSION);
	info_of_keep(info, &kept->keep);
	info->boundary = s->boundary == DV_IN_CONTAINER ? DV_IN_CONTAINER
							: DV_IN_PROCESS;
	info->limits = (struct dv_limits){
		.memory = s->limits.memory,
		.milli_cpus = s->limits.milli_cpus,
		.pids = s->limits.pids,
		.io_weight = s->limits.io_weight,
	};
	info->stop_timeout_ms = s->stop_timeout_ms;
	info->argv = copy_list(s->argv, s->argv_count);
	info->labels = copy_list(kept->keep.labels, kept->keep.labels_count);
	info->describe = strdup("");
	info->missing = strdup("");
	info->cgroup = strdup("");
	info->log = strdup("");
	if (info->argv && info->labels && info->describe && info->missing &&
	    info->cgroup && info->log)
		return 0;
	dv_sandbox_info_free(info);
	return oom(err);
}
