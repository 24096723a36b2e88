/* SPDX-License-Identifier: MIT */
/*
 * DOC: what is shown
 *
 * A read-only mount does not stop connect() to a unix socket, and root inside
 * is uid 0 of the host for plain permission checks (its id map is the identity,
 * so that files keep their owners). Both decide here: no directory that holds
 * host sockets is shown at all (/run, /var, /tmp), and kernel files that check
 * nothing but uid 0 (/proc/sys, /proc/sysrq-trigger, /sys) are read-only.
 */
#include "runtime/plan/layout.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/path.h"

enum {
	SYSTEM = dv_MF_RO | dv_MF_NOSUID | dv_MF_NODEV | dv_MF_RECURSIVE,
	KERNEL = dv_MF_NOSUID | dv_MF_NODEV | dv_MF_NOEXEC,
};

/* Host directories; a symlink (merged /usr) is copied as one. */
static const char *const system_dirs[] = {
	"/usr",   "/bin",    "/sbin", "/lib", "/lib32",
	"/lib64", "/libx32", "/etc",  "/opt",
};

static const struct {
	const char *path;
	uint32_t mode;
} own_dirs[] = {
	{ "/run", 0755 },   { "/var", 0755 },      { "/tmp", 01777 },
	{ "/dev", 0755 },   { "/proc", 0555 },     { "/sys", 0555 },
	{ "/home", 0755 },  { "/root", 0700 },     { "/mnt", 0755 },
	{ "/media", 0755 }, { "/var/tmp", 01777 },
};

static const char *const secrets[] = {
	"/etc/shadow",   "/etc/shadow-",     "/etc/gshadow",
	"/etc/gshadow-", "/etc/ssl/private",
};

static const char *const devices[] = {
	"null", "zero", "full", "random", "urandom", "tty",
};

static const struct {
	const char *text, *path;
} dev_links[] = {
	{ "pts/ptmx", "/dev/ptmx" },
	{ "/proc/self/fd", "/dev/fd" },
	{ "/proc/self/fd/0", "/dev/stdin" },
	{ "/proc/self/fd/1", "/dev/stdout" },
	{ "/proc/self/fd/2", "/dev/stderr" },
};

/* Kernel files that tell of the host, or act on it. */
static const char *const masked[] = {
	"/proc/acpi",          "/proc/kcore",   "/proc/keys",
	"/proc/latency_stats", "/proc/scsi",    "/proc/sched_debug",
	"/proc/timer_list",    "/sys/firmware",
};

static const char *const readonly[] = {
	"/proc/bus",           "/proc/fs", "/proc/irq", "/proc/sys",
	"/proc/sysrq-trigger",
};

static void add_dir(struct dv_plan *plan, const char *path, uint32_t mode)
{
	dv_Mount *m = dv_plan_mount(plan, dv_MOUNT_DIR, NULL, path, 0);

	if (m)
		m->mode = mode;
}

static void add_dev(struct dv_plan *plan, const struct dv_layout *lay)
{
	char path[32];
	dv_Mount *m;

	for (size_t i = 0; i < DV_ARRAY_LEN(devices); i++) {
		snprintf(path, sizeof(path), "/dev/%s", devices[i]);
		dv_plan_mount(plan, dv_MOUNT_BIND, path, path,
			      dv_MF_NOSUID | dv_MF_NOEXEC);
	}
	m = dv_plan_mount(plan, dv_MOUNT_DEVPTS, NULL, "/dev/pts",
			  dv_MF_NOSUID | dv_MF_NOEXEC);
	if (m)
		m->options = dv_plan_strdup(
			plan,
			lay->map_groups
				? "newinstance,ptmxmode=0666,mode=0620,gid=5"
				: "newinstance,ptmxmode=0666,mode=0620");
	add_dir(plan, "/dev/shm", 01777);
	for (size_t i = 0; i < DV_ARRAY_LEN(dev_links); i++)
		dv_plan_mount(plan, dv_MOUNT_SYMLINK, dev_links[i].text,
			      dev_links[i].path, 0);
}

/*
 * The kernel lets only the owner of a network namespace mount sysfs; with the
 * host's network, /sys stays an empty directory.
 */
static void add_kernel(struct dv_plan *plan, const struct dv_layout *lay)
{
	dv_plan_mount(plan, dv_MOUNT_PROC, NULL, "/proc", KERNEL);
	if (lay->own_net)
		dv_plan_mount(plan, dv_MOUNT_SYSFS, NULL, "/sys",
			      KERNEL | dv_MF_RO);
	for (size_t i = 0; i < DV_ARRAY_LEN(readonly); i++)
		dv_plan_readonly(plan, readonly[i]);
	for (size_t i = 0; i < DV_ARRAY_LEN(masked); i++)
		dv_plan_mask(plan, masked[i]);
}

static void add_system(struct dv_plan *plan)
{
	char text[PATH_MAX];
	struct stat st;

	for (size_t i = 0; i < DV_ARRAY_LEN(system_dirs); i++) {
		const char *dir = system_dirs[i];
		ssize_t n;

		if (lstat(dir, &st) < 0)
			continue;
		if (!S_ISLNK(st.st_mode)) {
			dv_plan_mount(plan, dv_MOUNT_BIND, dir, dir, SYSTEM);
			continue;
		}
		n = readlink(dir, text, sizeof(text) - 1);
		if (n <= 0)
			continue;
		text[n] = '\0';
		dv_plan_mount(plan, dv_MOUNT_SYMLINK, text, dir, 0);
	}
}

static void mask_if_there(struct dv_plan *plan, const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0)
		dv_plan_mask(plan, path);
}

/* Private host keys lie beside public files, so they are masked one by one. */
static void mask_secrets(struct dv_plan *plan)
{
	DIR *dir = opendir("/etc/ssh");
	char path[PATH_MAX];
	struct dirent *e;

	for (size_t i = 0; i < DV_ARRAY_LEN(secrets); i++)
		mask_if_there(plan, secrets[i]);
	while (dir && (e = readdir(dir))) {
		size_t len = strlen(e->d_name);

		if (len < 4 || strcmp(e->d_name + len - 4, "_key") != 0)
			continue;
		if (dv_path_join(path, sizeof(path), "/etc/ssh", e->d_name) ==
		    0)
			dv_plan_mask(plan, path);
	}
	if (dir)
		closedir(dir);
}

/*
 * @path as the kernel would name it: $HOME and the run directory may be given
 * through symlinks, getcwd() never is. What does not exist yet is cut off; a
 * directory above it is above what is left, too. "" when there is no way to
 * tell.
 */
static void resolve(char real[PATH_MAX], const char *path)
{
	char text[PATH_MAX];

	real[0] = '\0';
	if (!path || path[0] != '/' ||
	    dv_path_absolute(text, sizeof(text), path) < 0)
		return;
	/* ".." after a symlink means what the kernel says: the original first,
	 * then the text of it without its last parts. */
	if (realpath(path, real))
		return;
	while (!realpath(text, real) && text[1]) {
		char *slash = strrchr(text, '/');

		slash[slash == text] = '\0';
	}
}

/* Also for its parents: what is above a hidden directory would show it. */
static bool shows(const char *dir, const char *hidden)
{
	char real[PATH_MAX];

	resolve(real, hidden);
	return real[0] && dv_path_below(real, dir);
}

static bool is_below(const char *path, const char *dir)
{
	char real[PATH_MAX];

	resolve(real, dir);
	return real[0] && dv_path_below(path, real);
}

/* Directories full of things of other users: homes, and sockets. */
static bool is_shared(const char *dir)
{
	static const char *const places[] = {
		"/home",
		"/tmp",
		"/var",
		"/var/tmp",
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(places); i++)
		if (strcmp(dir, places[i]) == 0)
			return true;
	/* Somebody's home as a whole, and whatever it is called. */
	if (strncmp(dir, "/home/", 6) == 0 && !strchr(dir + 6, '/'))
		return true;
	return strcmp(dir, "/root") == 0;
}

static bool cwd_allowed(const struct dv_layout *lay)
{
	static const char *const kernel[] = { "/proc", "/sys", "/dev", "/run" };
	const char *cwd = lay->cwd;

	if (!cwd || cwd[0] != '/' || !cwd[1] || is_shared(cwd))
		return false;
	for (size_t i = 0; i < DV_ARRAY_LEN(kernel); i++)
		if (dv_path_below(cwd, kernel[i]))
			return false;
	return !shows(cwd, lay->home) && !shows(cwd, lay->rundir) &&
	       !is_below(cwd, lay->rundir);
}

static void add_home(struct dv_plan *plan, const struct dv_layout *lay)
{
	dv_Mount *m;

	if (!lay->home || lay->home[0] != '/' || !lay->home[1] ||
	    !(dv_path_below(lay->home, "/home") ||
	      dv_path_below(lay->home, "/root")))
		return;
	m = dv_plan_mount(plan, dv_MOUNT_DIR, NULL, lay->home, dv_MF_OWNER);
	if (m) {
		m->mode = 0700;
		m->uid = lay->uid;
		m->gid = lay->gid;
	}
}

void dv_layout_process(struct dv_plan *plan, const struct dv_layout *lay,
		       bool *cwd_shown)
{
	plan->msg.has_isolation = true;
	add_system(plan);
	for (size_t i = 0; i < DV_ARRAY_LEN(own_dirs); i++)
		add_dir(plan, own_dirs[i].path, own_dirs[i].mode);
	dv_plan_mount(plan, dv_MOUNT_SYMLINK, "/run", "/var/run", 0);
	add_home(plan, lay);
	add_dev(plan, lay);
	add_kernel(plan, lay);
	mask_secrets(plan);
	*cwd_shown = cwd_allowed(lay);
	if (*cwd_shown)
		dv_plan_mount(plan, dv_MOUNT_BIND, lay->cwd, lay->cwd, SYSTEM);
}

void dv_layout_container(struct dv_plan *plan, const struct dv_layout *lay)
{
	dv_Mount *m;

	plan->msg.has_isolation = true;
	m = dv_plan_mount(plan, dv_MOUNT_TMPFS, NULL, "/dev",
			  dv_MF_NOSUID | dv_MF_NOEXEC);
	if (m)
		m->mode = 0755;
	add_dev(plan, lay);
	add_kernel(plan, lay);
	if (lay->workdir && strcmp(lay->workdir, "/") != 0)
		add_dir(plan, lay->workdir, 0);
}
