/* SPDX-License-Identifier: MIT */
#include "engine/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"

/* The kernel's structs, which grew by version; it takes zeros past what it
 * knows, so the newest form serves all. */
struct ruleset_attr {
	uint64_t handled_fs;
	uint64_t handled_net; /* ABI 4 */
	uint64_t scoped;      /* ABI 6 */
};

struct path_attr {
	uint64_t access;
	int32_t fd;
} __attribute__((packed));

struct port_attr {
	uint64_t access;
	uint64_t port;
};

enum {
	ASK_VERSION = 1,   /* LANDLOCK_CREATE_RULESET_VERSION */
	RULE_PATH = 1,     /* LANDLOCK_RULE_PATH_BENEATH */
	RULE_PORT = 2,     /* LANDLOCK_RULE_NET_PORT */
	ABI_1_FS = 0x1fff, /* EXECUTE to MAKE_SYM */
	/* What can be done with a file that is no directory. */
	FILE_FS = DV_LL_EXECUTE | DV_LL_WRITE_FILE | DV_LL_READ_FILE |
		  DV_LL_TRUNCATE | DV_LL_IOCTL_DEV,
};

/* What each version added. */
static const struct {
	int abi;
	uint64_t fs, net, scoped;
} versions[] = {
	{ 1, ABI_1_FS, 0, 0 },
	{ 2, DV_LL_REFER, 0, 0 },
	{ 3, DV_LL_TRUNCATE, 0, 0 },
	{ 4, 0, DV_LL_BIND_TCP | DV_LL_CONNECT_TCP, 0 },
	{ 5, DV_LL_IOCTL_DEV, 0, 0 },
	{ 6, 0, 0, DV_LL_ABSTRACT_SOCKET | DV_LL_SIGNAL },
};

int dv_landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, ASK_VERSION);

	return abi < 0 ? -errno : (int)abi;
}

void dv_landlock_handle_all(dv_Landlock *ll, int abi)
{
	for (size_t i = 0; i < DV_ARRAY_LEN(versions); i++) {
		if (abi < versions[i].abi)
			break;
		ll->handled_fs |= versions[i].fs;
		ll->handled_net |= versions[i].net;
		ll->scoped |= versions[i].scoped;
	}
}

void dv_landlock_path(struct dv_plan *plan, const char *path, uint64_t access,
		      bool optional)
{
	access &= plan->msg.process.landlock.handled_fs;
	if (access)
		dv_plan_landlock_path(plan, path, access, optional);
}

void dv_landlock_port(struct dv_plan *plan, uint16_t port, uint64_t access)
{
	access &= plan->msg.process.landlock.handled_net;
	if (access)
		dv_plan_landlock_port(plan, port, access);
}

/* ---- in the child ------------------------------------------------------- */

static int add_rule(int ruleset, int type, const void *attr)
{
	long r = syscall(SYS_landlock_add_rule, ruleset, type, attr, 0);

	return r < 0 ? -errno : 0;
}

static int add_path(int ruleset, const dv_LandlockPath *p, struct dv_err *err)
{
	dv_autofd int fd = open(p->path, O_PATH | O_CLOEXEC);
	struct path_attr attr = { .access = p->access, .fd = fd };
	struct stat st;
	int r;

	if (fd < 0 && p->optional && (errno == ENOENT || errno == EACCES))
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return dv_err_sys(err, errno, "open %s", p->path);
	/* Who made the plan may not have known what it is. */
	if (!S_ISDIR(st.st_mode))
		attr.access &= FILE_FS;
	if (!attr.access)
		return 0;
	r = add_rule(ruleset, RULE_PATH, &attr);
	return r < 0 ? dv_err_sys(err, -r, "landlock rule for %s", p->path) : 0;
}

static int add_port(int ruleset, const dv_LandlockPort *p, struct dv_err *err)
{
	struct port_attr attr = { .access = p->access, .port = p->port };
	int r = add_rule(ruleset, RULE_PORT, &attr);

	return r < 0 ? dv_err_sys(err, -r, "landlock rule for port %u", p->port)
		     : 0;
}

int dv_landlock_prepare(const dv_Landlock *ll, struct dv_err *err)
{
	struct ruleset_attr attr = {
		.handled_fs = ll->handled_fs,
		.handled_net = ll->handled_net,
		.scoped = ll->scoped,
	};
	dv_autofd int fd = (int)syscall(SYS_landlock_create_ruleset, &attr,
					sizeof(attr), 0);
	int r = 0;

	if (fd < 0) {
		int e = errno;

		dv_err_hint(err, "see the row landlock of `davit doctor`");
		return dv_err_sys(err, e, "landlock");
	}
	for (pb_size_t i = 0; r == 0 && i < ll->paths_count; i++)
		r = add_path(fd, &ll->paths[i], err);
	for (pb_size_t i = 0; r == 0 && i < ll->ports_count; i++)
		r = add_port(fd, &ll->ports[i], err);
	return r < 0 ? r : dv_take_fd(&fd);
}

int dv_landlock_enforce(int fd, struct dv_err *err)
{
	long r = syscall(SYS_landlock_restrict_self, fd, 0);
	int e = errno;

	dv_close(fd);
	return r < 0 ? dv_err_sys(err, e, "enforce landlock") : 0;
}
