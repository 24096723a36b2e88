/* SPDX-License-Identifier: MIT */
/*
 * The root of what inspect shows. The rooms show their own parts; the machine's
 * come from /proc, which is read only when somebody asks for them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/capture.h"
#include "agent/worker.h"
#include "base/def.h"
#include "base/fd.h"
#include "inspect/inspect.h"
#include "rpc/limits.h"
#include "services/inspect_procs.h"

enum { PROC_FILE_MAX = 64 * 1024 };

static void show_build(struct dv_inspect *in, void *obj)
{
	(void)obj;
	dv_inspect_str(in, "name", "davit-agent", DV_INSPECT_SAFE);
	dv_inspect_str(in, "version", DV_VERSION, DV_INSPECT_SAFE);
	dv_inspect_str(in, "compiler", __VERSION__, DV_INSPECT_SAFE);
#ifdef __SANITIZE_ADDRESS__
	dv_inspect_bool(in, "sanitized", true, DV_INSPECT_SAFE);
#else
	dv_inspect_bool(in, "sanitized", false, DV_INSPECT_SAFE);
#endif
}

/* ---- the machine ---------------------------------------------------- */

/*
 * A file of lines "Key:   1234 kB": an entry for each number, in bytes where it
 * has a unit. @prefix: of the keys that are shown.
 */
static void show_numbers(struct dv_inspect *in, const char *path,
			 const char *prefix)
{
	dv_autofree char *text = NULL;
	char *save = NULL;
	size_t len;

	if (dv_read_file(AT_FDCWD, path, PROC_FILE_MAX, &text, &len) < 0)
		return;
	for (char *line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *colon = strchr(line, ':'), *end;
		unsigned long long v;

		if (!colon || strncmp(line, prefix, strlen(prefix)) != 0)
			continue;
		*colon = '\0';
		v = strtoull(colon + 1, &end, 10);
		if (end == colon + 1)
			continue;
		if (strcmp(end, " kB") == 0)
			v *= 1024;
		else if (*end)
			continue;
		dv_inspect_u64(in, line, v, 0);
	}
}

static void show_meminfo(struct dv_inspect *in, void *obj)
{
	(void)obj;
	show_numbers(in, "/proc/meminfo", "");
}

static void show_uptime(struct dv_inspect *in)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	dv_inspect_duration(in, "uptime",
			    (uint64_t)ts.tv_sec * UINT64_C(1000000000) +
				    (uint64_t)ts.tv_nsec,
			    0);
}

static void show_load(struct dv_inspect *in)
{
	double load[3];

	if (!dv_inspect_wants(in, "load", 0) || getloadavg(load, 3) != 3)
		return;
	dv_inspect_f64(in, "load/1m", load[0], 0);
	dv_inspect_f64(in, "load/5m", load[1], 0);
	dv_inspect_f64(in, "load/15m", load[2], 0);
}

static void show_host(struct dv_inspect *in, void *obj)
{
	struct utsname u;

	(void)obj;
	uname(&u);
	dv_inspect_str(in, "kernel", u.release, 0);
	dv_inspect_str(in, "machine", u.machine, 0);
	dv_inspect_str(in, "hostname", u.nodename, 0);
	dv_inspect_i64(in, "cpus", sysconf(_SC_NPROCESSORS_ONLN), 0);
	show_uptime(in);
	show_load(in);
	dv_inspect_dir(in, "meminfo", show_meminfo, NULL, 0);
}

/* ---- ourselves ------------------------------------------------------ */

static uint64_t count_fds(void)
{
	uint64_t n = 0;
	int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		dv_close(fd);
		return 0;
	}
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n - 1; /* without the one that looks */
}

static void show_heap(struct dv_inspect *in, void *obj)
{
	struct mallinfo2 m = mallinfo2();

	(void)obj;
	dv_inspect_u64(in, "arena", m.arena, DV_INSPECT_SAFE);
	dv_inspect_u64(in, "in_use", m.uordblks, DV_INSPECT_SAFE);
	dv_inspect_u64(in, "free", m.fordblks, DV_INSPECT_SAFE);
	dv_inspect_u64(in, "mapped", m.hblkhd, DV_INSPECT_SAFE);
}

static void show_memory(struct dv_inspect *in, void *obj)
{
	(void)obj;
	show_numbers(in, "/proc/self/status", "Vm");
}

static void show_agent(struct dv_inspect *in, void *obj)
{
	struct dv_agent *a = obj;

	dv_inspect_i64(in, "pid", getpid(), DV_INSPECT_SAFE);
	dv_inspect_duration(in, "uptime", dv_now_ns() - a->started_ns,
			    DV_INSPECT_SAFE);
	dv_inspect_u64(in, "restarts", a->restarts, DV_INSPECT_SAFE);
	dv_inspect_bool(in, "restricted", a->opts->restricted, DV_INSPECT_SAFE);
	dv_inspect_bool(in, "paused", a->paused, DV_INSPECT_SAFE);
	dv_inspect_bool(in, "held", a->opts->hold && !a->begun,
			DV_INSPECT_SAFE);
	if (dv_inspect_wants(in, "fds", DV_INSPECT_SAFE))
		dv_inspect_u64(in, "fds", count_fds(), DV_INSPECT_SAFE);
	dv_inspect_dir(in, "heap", show_heap, NULL, DV_INSPECT_SAFE);
	dv_inspect_dir(in, "memory", show_memory, NULL, 0);
}

static void show_rpc(struct dv_inspect *in, void *obj)
{
	struct dv_agent *a = obj;
	struct dv_server_stats s;

	dv_server_stats(a->server, &s);
	dv_inspect_u64(in, "in_flight", s.calls, DV_INSPECT_SAFE);
	dv_inspect_u64(in, "calls", s.total_calls,
		       DV_NODE_COUNT | DV_INSPECT_SAFE);
	dv_inspect_u64(in, "bytes_in", s.bytes_in,
		       DV_NODE_COUNT | DV_INSPECT_SAFE);
	dv_inspect_u64(in, "bytes_out", s.bytes_out,
		       DV_NODE_COUNT | DV_INSPECT_SAFE);
}

static void show_conns(struct dv_inspect *in, void *obj)
{
	struct dv_agent *a = obj;
	struct dv_server_stats s;

	dv_server_stats(a->server, &s);
	dv_inspect_u64(in, "open", s.conns, DV_INSPECT_SAFE);
	dv_inspect_u64(in, "total", s.total_conns,
		       DV_NODE_COUNT | DV_INSPECT_SAFE);
}

static void show_data(struct dv_inspect *in, void *obj)
{
	struct dv_agent *a = obj;

	dv_inspect_u64(in, "unclaimed", dv_data_count(a->data),
		       DV_INSPECT_SAFE);
	dv_inspect_u64(in, "workers", dv_worker_count(), DV_INSPECT_SAFE);
	dv_inspect_dir(in, "flows", dv_flow_inspect, a, 0);
}

static void show_capture(struct dv_inspect *in, void *obj)
{
	struct dv_agent *a = obj;

	dv_inspect_bool(in, "running", a->capture != NULL, 0);
	if (a->capture)
		dv_inspect_u64(in, "streams", dv_capture_streams(a->capture),
			       0);
}

/* ---- what can be changed -------------------------------------------- */

static const char *const level_name[] = { "error", "warn", "info", "debug",
					  "trace" };
_Static_assert(DV_ARRAY_LEN(level_name) == DV_LOG_N, "one name per level");

static int set_filter(void *obj, struct dv_inspect_new *v, struct dv_err *err)
{
	struct dv_agent *a = obj;
	int level = dv_log_parse_level(v->str);

	if (level < 0)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "no log level \"%s\": error, warn, info, "
				  "debug or trace",
				  v->str);
	a->log.level = (enum dv_level)level;
	return 0;
}

static void show_log(struct dv_inspect *in, void *obj)
{
	struct dv_agent *a = obj;

	dv_inspect_set_str(in, "filter", level_name[a->log.level],
			   DV_INSPECT_SAFE, set_filter, a);
}

static void show_limits(struct dv_inspect *in, void *obj)
{
	(void)obj;
	dv_inspect_u64(in, "connections", DV_RPC_CONNS_MAX, DV_INSPECT_SAFE);
	dv_inspect_u64(in, "calls_per_connection", DV_RPC_CALLS_MAX,
		       DV_INSPECT_SAFE);
	dv_inspect_u64(in, "message_in", DV_RPC_RECV_DIAG_MAX, DV_INSPECT_SAFE);
	dv_inspect_u64(in, "message_out", DV_RPC_SEND_MAX, DV_INSPECT_SAFE);
	dv_inspect_u64(in, "unclaimed_data", DV_DATA_MAX, DV_INSPECT_SAFE);
	dv_inspect_u64(in, "processes", DV_EXECS_MAX, DV_INSPECT_SAFE);
	dv_inspect_u64(in, "records", DV_RECORDS_MAX, DV_INSPECT_SAFE);
	dv_inspect_u64(in, "workers", DV_WORKER_SERVING_MAX, DV_INSPECT_SAFE);
}

void dv_agent_inspect(struct dv_inspect *in, void *agent)
{
	struct dv_agent *a = agent;

	dv_inspect_dir(in, "agent", show_agent, a, DV_INSPECT_SAFE);
	dv_inspect_dir(in, "build", show_build, a, DV_INSPECT_SAFE);
	dv_inspect_dir(in, "capture", show_capture, a, 0);
	dv_inspect_dir(in, "conns", show_conns, a, DV_INSPECT_SAFE);
	dv_inspect_dir(in, "data", show_data, a, DV_INSPECT_SAFE);
	dv_inspect_dir(in, "host", show_host, a, 0);
	dv_inspect_dir(in, "limits", show_limits, a, DV_INSPECT_SAFE);
	dv_inspect_dir(in, "log", show_log, a, DV_INSPECT_SAFE);
	dv_inspect_dir(in, "mesh/hosts", dv_procs_inspect_hosts, a->procs, 0);
	dv_inspect_dir(in, "processes", dv_procs_inspect, a->procs, 0);
	dv_inspect_dir(in, "rpc", show_rpc, a, DV_INSPECT_SAFE);
}
