/* SPDX-License-Identifier: MIT */
#include "base/systemd.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/num.h"

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)

enum { TELL_S = 1 };

/* Is the process that @name names us? 1, 0, -ENOENT: there is no such variable,
 * or -EINVAL: it is no process id. */
static int means_us(const char *name, struct dv_err *err)
{
	const char *text = getenv(name);
	uint64_t pid;

	if (!text)
		return -ENOENT;
	if (dv_parse_u64(text, 1, INT_MAX, &pid) < 0)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "%s: \"%.100s\" is no process id", name,
				  text);
	return (pid_t)pid == getpid();
}

/* ---- descriptors -------------------------------------------------------- */

static int count_fds(const char *text, struct dv_err *err)
{
	uint64_t n;

	if (dv_parse_u64(text, 0, INT_MAX, &n) < 0)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "LISTEN_FDS: \"%.100s\" is no number of "
				  "descriptors",
				  text);
	if (n > DV_SYSTEMD_FDS_MAX)
		return dv_err_set(err, ERANGE, DV_RANGE,
				  "LISTEN_FDS: %u descriptors are more than %d",
				  (unsigned int)n, DV_SYSTEMD_FDS_MAX);
	return (int)n;
}

/* Names are separated by colons, and there is one for each descriptor. */
static int take_names(struct dv_systemd *sd, int n, struct dv_err *err)
{
	const char *text = getenv("LISTEN_FDNAMES");
	int n_names = 1;

	if (!text || n == 0)
		return 0;
	if (strlen(text) >= DV_SYSTEMD_NAMES_MAX)
		return dv_err_sys(err, EINVAL, "LISTEN_FDNAMES: %zu bytes",
				  strlen(text));
	sd->names = strdup(text);
	if (!sd->names)
		return dv_err_sys(err, ENOMEM, "LISTEN_FDNAMES");
	for (char *p = sd->names; *p; p++) {
		if (*p != ':')
			continue;
		*p = '\0';
		n_names++;
	}
	if (n_names == n)
		return 0;
	free(sd->names);
	sd->names = NULL;
	return dv_err_set(err, EINVAL, DV_INVALID,
			  "LISTEN_FDNAMES: %d names for %d descriptors",
			  n_names, n);
}

static int take_fds(struct dv_systemd *sd, struct dv_err *err)
{
	const char *text = getenv("LISTEN_FDS");
	int r = means_us("LISTEN_PID", err), n;

	if (!text || r == -ENOENT)
		return 0;
	n = r > 0 ? count_fds(text, err) : r;
	for (int i = 0; i < n; i++) {
		r = dv_fd_cloexec(DV_SYSTEMD_FD_FIRST + i, true);
		if (r < 0)
			return dv_err_sys(err, -r,
					  "LISTEN_FDS: descriptor %d of %d",
					  DV_SYSTEMD_FD_FIRST + i, n);
	}
	r = n < 0 ? n : take_names(sd, n, err);
	if (r == 0)
		sd->n_fds = n;
	return r < 0 ? r : n;
}

int dv_systemd_take_fds(struct dv_systemd *sd, struct dv_err *err)
{
	int r = take_fds(sd, err);

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	unsetenv("LISTEN_PIDFDID"); /* of newer managers; says the same */
	return r;
}

const char *dv_systemd_fd_name(const struct dv_systemd *sd, int fd)
{
	const char *name = sd->names;

	dv_assert(fd >= DV_SYSTEMD_FD_FIRST &&
		  fd < DV_SYSTEMD_FD_FIRST + sd->n_fds);
	for (int i = DV_SYSTEMD_FD_FIRST; name && i < fd; i++)
		name += strlen(name) + 1;
	return name && *name ? name : "unknown";
}

static bool socket_has(int fd, int option, int value)
{
	int got;
	socklen_t len = sizeof(got);

	return getsockopt(fd, SOL_SOCKET, option, &got, &len) == 0 &&
	       got == value;
}

bool dv_systemd_fd_is_door(int fd)
{
	return socket_has(fd, SO_DOMAIN, AF_UNIX) &&
	       socket_has(fd, SO_TYPE, SOCK_STREAM) &&
	       socket_has(fd, SO_ACCEPTCONN, 1);
}

/* ---- telling ------------------------------------------------------------ */

/* A path, or (with an @ in front) a name that is in no file system. */
static int manager_addr(const char *text, struct sockaddr_un *sa,
			socklen_t *lenp, struct dv_err *err)
{
	size_t len = strlen(text);

	if (*text != '/' && *text != '@')
		return dv_err_set(err, EAFNOSUPPORT, DV_UNIMPLEMENTED,
				  "NOTIFY_SOCKET: \"%.100s\" is neither a path "
				  "nor @NAME",
				  text);
	/* The NUL belongs to a path only. */
	if (*text == '/')
		len++;
	if (len > sizeof(sa->sun_path) || len < 2)
		return dv_err_sys(err, len < 2 ? EINVAL : ENAMETOOLONG,
				  "NOTIFY_SOCKET: \"%.100s\"", text);
	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(sa->sun_path, text, len);
	if (*text == '@')
		sa->sun_path[0] = '\0';
	*lenp = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	return 0;
}

static int reach_manager(const char *text, struct dv_err *err)
{
	const struct timeval limit = { .tv_sec = TELL_S };
	struct sockaddr_un sa;
	dv_autofd int fd = -1;
	socklen_t len = 0;
	int r = manager_addr(text, &sa, &len, err);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, len) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return dv_err_sys(err, errno, "NOTIFY_SOCKET: \"%.100s\"",
				  text);
	return dv_take_fd(&fd);
}

static int take_watchdog(struct dv_systemd *sd, struct dv_err *err)
{
	const char *text = getenv("WATCHDOG_USEC");
	int r = means_us("WATCHDOG_PID", err);
	uint64_t us;

	if (!text || r == 0 || sd->notify < 0)
		return 0;
	if (r < 0 && r != -ENOENT)
		return r;
	if (dv_parse_u64(text, 1, UINT64_MAX / NS_PER_US, &us) < 0)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "WATCHDOG_USEC: \"%.100s\" is no time", text);
	sd->feed_ns = dv_max(us * NS_PER_US / 2, NS_PER_MS);
	return 0;
}

int dv_systemd_take_notify(struct dv_systemd *sd, struct dv_err *err)
{
	const char *text = getenv("NOTIFY_SOCKET");
	int r = 0;

	if (text && *text) {
		sd->notify = reach_manager(text, err);
		r = dv_min(sd->notify, 0);
		sd->notify = dv_max(sd->notify, -1);
	}
	if (r == 0)
		r = take_watchdog(sd, err);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return r;
}

int dv_systemd_tell(const struct dv_systemd *sd, const char *text)
{
	const size_t len = strlen(text);
	ssize_t n;

	if (sd->notify < 0)
		return 0;
	if (len > DV_SYSTEMD_TEXT_MAX)
		return -EMSGSIZE;
	do
		n = send(sd->notify, text, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* ---- the watchdog ------------------------------------------------------- */

static void on_feed(struct dv_timer *timer)
{
	static const char text[] = "WATCHDOG=1\n";
	struct dv_systemd *sd = dv_container_of(timer, struct dv_systemd, feed);

	/* Nothing here waits; what is lost is made up for by the next one. */
	dv_send(sd->notify, text, sizeof(text) - 1);
	dv_timer_set(sd->loop, timer, dv_now_ns() + sd->feed_ns, on_feed);
}

int dv_systemd_feed(struct dv_systemd *sd, struct dv_loop *loop)
{
	if (sd->feed_ns == 0)
		return 0;
	sd->loop = loop;
	return dv_timer_set(loop, &sd->feed, dv_now_ns() + sd->feed_ns,
			    on_feed);
}

void dv_systemd_close(struct dv_systemd *sd)
{
	dv_timer_stop(&sd->feed);
	sd->notify = dv_close(sd->notify);
	sd->feed_ns = 0;
	for (; sd->n_fds > 0; sd->n_fds--)
		dv_close(DV_SYSTEMD_FD_FIRST + sd->n_fds - 1);
	free(sd->names);
	sd->names = NULL;
}
