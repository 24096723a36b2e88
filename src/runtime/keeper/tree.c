/* SPDX-License-Identifier: MIT */
/*
 * The inspect tree of a keeper: the sandbox, and what holds it. What is of the
 * kernel's is read only when somebody asks for it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "inspect/inspect.h"
#include "runtime/keeper/io.h"
#include "runtime/keeper/keeper.h"
#include "runtime/keeper/look.h"
#include "runtime/store/names.h"
#include "services/inspect_procs.h"

enum { PATH_LEN = 64, FILE_MAX = 64 << 10 };

/* ---- the document ------------------------------------------------------- */

// clang-format off
static const struct dv_inspect_field info_fields[] = {
	DV_FIELD("id", struct dv_sandbox_info, id, DV_FIELD_CHARS, 0),
	DV_FIELD("name", struct dv_sandbox_info, name, DV_FIELD_CHARS, 0),
	DV_FIELD("pid", struct dv_sandbox_info, pid, DV_FIELD_I32, 0),
	DV_FIELD("init_pid", struct dv_sandbox_info, init_pid, DV_FIELD_I32, 0),
	DV_FIELD("created_unix_ns", struct dv_sandbox_info, created_unix_ns,
		 DV_FIELD_U64, 0),
	DV_FIELD("started_unix_ns", struct dv_sandbox_info, started_unix_ns,
		 DV_FIELD_U64, 0),
	DV_FIELD("ended_unix_ns", struct dv_sandbox_info, ended_unix_ns,
		 DV_FIELD_U64, 0),
	DV_FIELD("isolation", struct dv_sandbox_info, describe, DV_FIELD_STR,
		 0),
	DV_FIELD("missing", struct dv_sandbox_info, missing, DV_FIELD_STR, 0),
	DV_FIELD("detached", struct dv_sandbox_info, detached, DV_FIELD_BOOL,
		 0),
	DV_FIELD("remove", struct dv_sandbox_info, remove, DV_FIELD_BOOL, 0),
	DV_FIELD("terminal", struct dv_sandbox_info, terminal, DV_FIELD_BOOL,
		 0),
	DV_FIELD("input", struct dv_sandbox_info, input, DV_FIELD_BOOL, 0),
	DV_FIELD("restarts", struct dv_sandbox_info, restarts, DV_FIELD_U32,
		 DV_NODE_COUNT),
	DV_FIELD("restart_max", struct dv_sandbox_info, restart_max,
		 DV_FIELD_U32, 0),
};

static const struct dv_inspect_field exit_fields[] = {
	DV_FIELD("code", struct dv_exit, code, DV_FIELD_I32, 0),
	DV_FIELD("signal", struct dv_exit, signal, DV_FIELD_I32, 0),
	DV_FIELD("core", struct dv_exit, core, DV_FIELD_BOOL, 0),
	DV_FIELD("oom", struct dv_exit, oom, DV_FIELD_BOOL, 0),
	DV_FIELD("timed_out", struct dv_exit, timed_out, DV_FIELD_BOOL, 0),
	DV_FIELD("pids_refused", struct dv_exit, pids_refused, DV_FIELD_U64, 0),
	DV_FIELD("end_unix_ns", struct dv_exit, exited_unix_ns, DV_FIELD_U64,
		 0),
	DV_FIELD("wall_ns", struct dv_exit, wall_ns, DV_FIELD_U64, 0),
	DV_FIELD("user_us", struct dv_exit, user_us, DV_FIELD_U64, 0),
	DV_FIELD("system_us", struct dv_exit, system_us, DV_FIELD_U64, 0),
	DV_FIELD("max_rss_kib", struct dv_exit, max_rss_kib, DV_FIELD_U64, 0),
};
// clang-format on

static void show_words(struct dv_inspect *in, void *obj)
{
	char **words = obj, name[16];

	for (unsigned int i = 0; words && words[i]; i++) {
		dv_fmt(name, sizeof(name), "%u", i);
		dv_inspect_str(in, name, words[i], 0);
	}
}

static void show_exit(struct dv_inspect *in, void *obj)
{
	struct dv_exit *e = obj;

	dv_inspect_str(in, "ended_by", dv_ended_by_name(e->ended_by), 0);
	dv_inspect_fields(in, exit_fields, DV_ARRAY_LEN(exit_fields), e);
}

static void show_sandbox(struct dv_inspect *in, void *obj)
{
	struct dv_sandbox_info *info = &((struct dv_keeper *)obj)->info;

	dv_inspect_str(in, "state", dv_state_name(info->state), 0);
	dv_inspect_str(in, "boundary", dv_boundary_names[info->boundary], 0);
	dv_inspect_str(in, "restart", dv_restart_names[info->restart], 0);
	dv_inspect_str(in, "health", dv_health_names[info->health], 0);
	dv_inspect_fields(in, info_fields, DV_ARRAY_LEN(info_fields), info);
	dv_inspect_dir(in, "argv", show_words, info->argv, 0);
	dv_inspect_dir(in, "labels", show_words, info->labels, 0);
	if (info->has_exit)
		dv_inspect_dir(in, "exit", show_exit, &info->exit, 0);
}

/* ---- limits and use ----------------------------------------------------- */

static const struct dv_limits keep_all = {
	.memory = UINT64_MAX,
	.milli_cpus = UINT32_MAX,
	.pids = UINT32_MAX,
	.io_weight = UINT32_MAX,
};

static int update(struct dv_keeper *k, const struct dv_limits *l,
		  struct dv_err *err)
{
	const char *who = k->info.name[0] ? k->info.name : k->info.id;
	int r = dv_verb_allowed(DV_VERB_UPDATE, k->info.state, who, err);

	return r < 0 ? r : dv_keeper_update(k, l, err);
}

static int set_memory(void *obj, struct dv_inspect_new *v, struct dv_err *err)
{
	struct dv_limits l = keep_all;

	l.memory = dv_min(v->u64, UINT64_MAX - 1);
	return update(obj, &l, err);
}

/* All ones would mean that it is not to be changed. */
static int narrow(const struct dv_inspect_new *v, uint32_t *outp,
		  struct dv_err *err)
{
	if (v->u64 >= UINT32_MAX)
		return dv_err_set(err, ERANGE, DV_INVALID, "it is too large");
	*outp = (uint32_t)v->u64;
	return 0;
}

#define SET32(name, member)                                  \
	static int name(void *obj, struct dv_inspect_new *v, \
			struct dv_err *err)                  \
	{                                                    \
		struct dv_limits l = keep_all;               \
		int r = narrow(v, &l.member, err);           \
                                                             \
		return r < 0 ? r : update(obj, &l, err);     \
	}

SET32(set_milli_cpus, milli_cpus)
SET32(set_pids, pids)
SET32(set_io_weight, io_weight)

static void show_limits(struct dv_inspect *in, void *obj)
{
	struct dv_keeper *k = obj;
	const struct dv_limits *l = &k->info.limits;

	dv_inspect_set_u64(in, "memory_bytes", l->memory, 0, set_memory, k);
	dv_inspect_set_u64(in, "milli_cpus", l->milli_cpus, 0, set_milli_cpus,
			   k);
	dv_inspect_set_u64(in, "pids", l->pids, 0, set_pids, k);
	dv_inspect_set_u64(in, "io_weight", l->io_weight, 0, set_io_weight, k);
}

static void put(struct dv_inspect *in, const char *name, uint64_t v,
		uint32_t flags)
{
	if (v != UINT64_MAX)
		dv_inspect_u64(in, name, v, flags);
}

static void show_usage(struct dv_inspect *in, void *obj)
{
	struct dv_keeper *k = obj;
	struct dv_cgroup_usage events;
	struct dv_cgroup_now now;

	if (!k->run)
		return;
	dv_cgroup_read(&k->run->cg, &now);
	dv_cgroup_usage(&k->run->cg, &events);
	put(in, "memory_bytes", now.memory, 0);
	put(in, "memory_peak_bytes", now.memory_peak, 0);
	put(in, "cpu_us", now.cpu_us, DV_NODE_COUNT);
	put(in, "user_us", now.user_us, DV_NODE_COUNT);
	put(in, "system_us", now.system_us, DV_NODE_COUNT);
	put(in, "throttled_us", now.throttled_us, DV_NODE_COUNT);
	put(in, "tasks", now.pids, 0);
	put(in, "oom_kills", events.oom_kills, DV_NODE_COUNT);
	put(in, "pids_refused", events.pids_refused, DV_NODE_COUNT);
}

static void show_cgroup(struct dv_inspect *in, void *obj)
{
	struct dv_keeper *k = obj;
	char name[16];

	dv_inspect_str(in, "keeper", k->group, 0);
	if (!k->run)
		return;
	dv_inspect_bool(in, "can_pause", k->run->cg.v2_fd >= 0, 0);
	for (int i = 0; i < k->run->cg.n_dirs; i++) {
		dv_fmt(name, sizeof(name), "groups/%d", i);
		dv_inspect_str(in, name, k->run->cg.dirs[i], 0);
	}
}

/* ---- streams and log ---------------------------------------------------- */

static const char *const modes[] = { "inherit", "null", "pipe", "fd",
				     "terminal" };
static_assert(DV_ARRAY_LEN(modes) == DV_STDIO_N, "a name for each");

static void show_streams(struct dv_inspect *in, void *obj)
{
	static const char *const names[] = { "stdin", "stdout", "stderr" };
	struct dv_keeper *k = obj;
	const dv_Spec *spec = &k->kept.spec;

	for (pb_size_t i = 0; i < spec->stdio_count && i < 3; i++)
		if (spec->stdio[i] < DV_STDIO_N)
			dv_inspect_str(in, names[i], modes[spec->stdio[i]], 0);
	if (!k->io)
		return;
	dv_inspect_bool(in, "takes_input", k->io->in.to >= 0, 0);
	dv_inspect_bool(in, "has_writer", k->io->in.from >= 0, 0);
	dv_inspect_u64(in, "input_held", k->io->in.len - k->io->in.off, 0);
}

static void show_log(struct dv_inspect *in, void *obj)
{
	struct dv_keeper *k = obj;
	const struct dv_outlog *log;

	if (!k->io)
		return;
	log = &k->io->log;
	dv_inspect_str(in, "path", k->info.log, 0);
	dv_inspect_u64(in, "end_bytes", log->offset, DV_NODE_COUNT);
	dv_inspect_u64(in, "kept_from_bytes", log->from, 0);
	put(in, "max_bytes", log->max, 0);
	dv_inspect_u64(in, "lost_bytes", log->lost_all, DV_NODE_COUNT);
	dv_inspect_bool(in, "drops_the_oldest", log->punches, 0);
	if (log->sys)
		dv_inspect_str(in, "error", dv_errno_text(log->sys), 0);
}

/* ---- who is connected --------------------------------------------------- */

static void show_server(struct dv_inspect *in, void *obj)
{
	struct dv_server_stats s;

	dv_server_stats(obj, &s);
	dv_inspect_u64(in, "connections", s.conns, 0);
	dv_inspect_u64(in, "calls", s.calls, 0);
	dv_inspect_u64(in, "connections_ever", s.total_conns, DV_NODE_COUNT);
	dv_inspect_u64(in, "calls_ever", s.total_calls, DV_NODE_COUNT);
	dv_inspect_u64(in, "received_bytes", s.bytes_in, DV_NODE_COUNT);
	dv_inspect_u64(in, "sent_bytes", s.bytes_out, DV_NODE_COUNT);
}

static void show_connections(struct dv_inspect *in, void *obj)
{
	struct dv_keeper *k = obj;

	if (k->server)
		dv_inspect_dir(in, "direct", show_server, k->server, 0);
	if (k->diag)
		dv_inspect_dir(in, "diag", show_server, k->diag, 0);
	if (k->data)
		dv_inspect_u64(in, "unclaimed_data", dv_data_count(k->data), 0);
	dv_inspect_u64(in, "ports", k->n_net, 0);
}

/* ---- ourselves ---------------------------------------------------------- */

static uint64_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint64_t n = 0;

	for (struct dirent *e; dir && (e = readdir(dir));)
		n += e->d_name[0] != '.';
	if (!dir)
		return UINT64_MAX;
	closedir(dir);
	return n - 1; /* not the one that we look with */
}

static void show_keeper(struct dv_inspect *in, void *obj)
{
	struct dv_look look;
	struct timespec cpu;

	(void)obj;
	dv_inspect_i64(in, "pid", getpid(), 0);
	dv_inspect_str(in, "version", DV_VERSION, 0);
	if (dv_look_at(&look, getpid()) == 0) {
		dv_inspect_u64(in, "rss_bytes", look.rss, 0);
		dv_inspect_duration(in, "uptime", look.age_ns, 0);
	}
	if (dv_inspect_wants(in, "fds", 0))
		put(in, "fds", count_fds(), 0);
	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
		dv_inspect_u64(in, "cpu_us",
			       (uint64_t)cpu.tv_sec * 1000000 +
				       (uint64_t)cpu.tv_nsec / 1000,
			       DV_NODE_COUNT);
}

/* ---- all of it ---------------------------------------------------------- */

void dv_keeper_inspect(struct dv_inspect *in, void *obj)
{
	struct dv_keeper *k = obj;

	dv_inspect_dir(in, "sandbox", show_sandbox, k, 0);
	if (k->procs) {
		dv_inspect_dir(in, "processes", dv_procs_inspect, k->procs, 0);
		dv_inspect_dir(in, "mesh/hosts", dv_procs_inspect_hosts,
			       k->procs, 0);
	}
	dv_inspect_dir(in, "top", dv_keeper_show_top, k, 0);
	dv_inspect_dir(in, "streams", show_streams, k, 0);
	dv_inspect_dir(in, "limits", show_limits, k, 0);
	dv_inspect_dir(in, "usage", show_usage, k, 0);
	dv_inspect_dir(in, "cgroup", show_cgroup, k, 0);
	dv_inspect_dir(in, "mounts", dv_keeper_show_mounts, k, 0);
	dv_inspect_dir(in, "connections", show_connections, k, 0);
	dv_inspect_dir(in, "log", show_log, k, 0);
	dv_inspect_dir(in, "keeper", show_keeper, k, 0);
}
