/* SPDX-License-Identifier: MIT */
#include "services/reexec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/mount.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "engine/mount_api.h"
#include "engine/sys.h"

#define NS_PER_MS UINT64_C(1000000)

/* ---- descriptors ------------------------------------------------------ */

void dv_reexec_keep(void *arg, int fd)
{
	struct dv_reexec_fds *k = arg;
	int *grown = reallocarray(k->fds, k->n + 1, sizeof(*grown));

	if (!grown) {
		k->failed = true;
		return;
	}
	k->fds = grown;
	k->fds[k->n++] = fd;
}

void dv_reexec_forget(struct dv_reexec_fds *k)
{
	free(k->fds);
	*k = (struct dv_reexec_fds){ NULL, 0, false };
}

void dv_reexec_arrived(void)
{
	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
}

/* ---- the document ----------------------------------------------------- */

static bool write_buf(pb_ostream_t *stream, const pb_byte_t *data, size_t len)
{
	return dv_buf_put(stream->state, data, len) == 0;
}

int dv_reexec_encode(const pb_msgdesc_t *fields, const void *msg,
		     struct dv_buf *out, struct dv_err *err)
{
	pb_ostream_t stream = {
		.callback = write_buf,
		.state = out,
		.max_size = SIZE_MAX,
	};

	if (pb_encode(&stream, fields, msg))
		return 0;
	int r = dv_buf_status(out) < 0 ? dv_buf_status(out) : -EINVAL;
	return dv_err_sys(err, -r, "encode the saved state");
}

int dv_reexec_write(const pb_msgdesc_t *fields, const void *msg,
		    struct dv_err *err)
{
	dv_autobuf doc = DV_BUF_INIT(DV_REEXEC_MAX);
	int r = dv_reexec_encode(fields, msg, &doc, err);
	dv_autofd int fd = -1;

	if (r < 0)
		return r;
	fd = memfd_create("davit-state", MFD_CLOEXEC);
	if (fd < 0)
		return dv_err_sys(err, errno, "create the saved state");
	r = dv_write_full(fd, doc.data, doc.len);
	if (r < 0)
		return dv_err_sys(err, -r, "write the saved state");
	return dv_take_fd(&fd);
}

int dv_reexec_load(int fd, const pb_msgdesc_t *fields, void *msg,
		   struct dv_err *err)
{
	off_t size = lseek(fd, 0, SEEK_END);
	pb_istream_t stream;
	void *doc;
	bool good;

	if (size <= 0 || (uint64_t)size > DV_REEXEC_MAX)
		return dv_err_set(err, EPROTO, DV_DATA_LOSS,
				  "the saved state is empty or too large");
	doc = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (doc == MAP_FAILED)
		return dv_err_sys(err, errno, "read the saved state");
	stream = pb_istream_from_buffer(doc, (size_t)size);
	good = pb_decode(&stream, fields, msg);
	munmap(doc, (size_t)size);
	if (good)
		return 0;
	return dv_err_set(err, EPROTO, DV_DATA_LOSS,
			  "the saved state cannot be read: %s",
			  PB_GET_ERROR(&stream));
}

/* ---- the trial -------------------------------------------------------- */

static void refused(const char *why, struct dv_err *err)
{
	dv_err_hint(err, "what runs goes on as it is; %s", why);
	dv_err_set(err, EPROTO, DV_PRECONDITION,
		   "the program file does not accept our state");
}

static void trial_end(struct dv_trial *t, int r, const struct dv_err *err)
{
	dv_trial_stop(t);
	t->done(t, r, err);
}

static void on_trial(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct dv_trial *t = dv_container_of(src, struct dv_trial, src);
	struct dv_err err = DV_ERR_INIT;
	struct rusage usage;
	siginfo_t info = { 0 };
	int r = dv_sys_wait(t->pidfd, WNOHANG, &info, &usage);

	if (r == -EAGAIN)
		return;
	t->pid = 0;
	if (r == 0 && info.si_code == CLD_EXITED &&
	    info.si_status == DV_REEXEC_GOOD) {
		trial_end(t, 0, NULL);
		return;
	}
	refused("is its program file a newer or older davit?", &err);
	trial_end(t, -EPROTO, &err);
}

static void on_late(struct dv_timer *timer)
{
	struct dv_trial *t = dv_container_of(timer, struct dv_trial, timer);
	struct dv_err err = DV_ERR_INIT;

	refused("its program file did not answer in time", &err);
	trial_end(t, -EPROTO, &err);
}

void dv_trial_stop(struct dv_trial *t)
{
	dv_src_del(&t->src);
	dv_timer_stop(&t->timer);
	if (t->pid > 0) {
		kill(t->pid, SIGKILL);
		while (waitpid(t->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	t->pid = 0;
	t->pidfd = dv_close(t->pidfd);
}

static int spawn(struct dv_trial *t, const char *exe, char *const argv[],
		 int fd, struct dv_err *err)
{
	posix_spawn_file_actions_t acts;
	int r;

	posix_spawn_file_actions_init(&acts);
	/* The same number on both sides: it loses close-on-exec there. */
	posix_spawn_file_actions_adddup2(&acts, fd, fd);
	r = posix_spawn(&t->pid, exe, &acts, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&acts);
	if (r == 0)
		return 0;
	t->pid = 0;
	return dv_err_sys(err, r, "execute %s", exe);
}

/* How long it may take: the document's length says how much it is to do. */
static uint64_t trial_ms(int fd)
{
	struct stat st = { .st_size = 0 };

	fstat(fd, &st);
	return DV_REEXEC_TRIAL_MS +
	       ((uint64_t)st.st_size >> 20) * DV_REEXEC_TRIAL_MIB_MS;
}

int dv_trial_start(struct dv_trial *t, struct dv_loop *loop, const char *exe,
		   char *const argv[], int fd,
		   void (*done)(struct dv_trial *trial, int r,
				const struct dv_err *err),
		   struct dv_err *err)
{
	int r = spawn(t, exe, argv, fd, err);

	if (r < 0)
		return r;
	t->done = done;
	t->pidfd = r = dv_sys_pidfd_open(t->pid);
	if (r >= 0)
		r = dv_src_add(loop, &t->src, t->pidfd, EPOLLIN, on_trial);
	if (r == 0)
		r = dv_timer_set(loop, &t->timer,
				 dv_now_ns() + trial_ms(fd) * NS_PER_MS,
				 on_late);
	if (r == 0)
		return 0;
	dv_trial_stop(t);
	return dv_err_sys(err, -r, "watch the process that checks our state");
}

/* ---- the exec --------------------------------------------------------- */

static void set_cloexec(const struct dv_reexec_fds *fds, int fd, bool on)
{
	for (size_t i = 0; i < fds->n; i++)
		dv_fd_cloexec(fds->fds[i], on);
	dv_fd_cloexec(fd, on);
}

int dv_reexec(const char *exe, char *const argv[],
	      const struct dv_reexec_fds *fds, int fd, struct dv_err *err)
{
	int r;

	if (fds->failed)
		return dv_err_sys(err, ENOMEM, "save the state");
	set_cloexec(fds, fd, false);
	execve(exe, argv, environ);
	r = errno;
	set_cloexec(fds, fd, true);
	return dv_err_sys(err, r, "execute %s", exe);
}

/* ---- our own file ------------------------------------------------------ */

static const char own_exe[] = "/proc/self/exe";
/* Where it is: a mount of its own does not tell. "": as the kernel says. */
static char own_path[PATH_MAX];

int dv_reexec_came_from(const char *path)
{
	if (strlen(path) >= sizeof(own_path))
		return -ENAMETOOLONG;
	dv_fmt(own_path, sizeof(own_path), "%s", path);
	return 0;
}

int dv_reexec_self(char *out, size_t size)
{
	static const char gone[] = " (deleted)";
	const size_t len = sizeof(gone) - 1;
	ssize_t n;

	if (own_path[0])
		return dv_fmt(out, size, "%s", own_path) < (int)size
			       ? 0
			       : -ENAMETOOLONG;
	n = readlink(own_exe, out, size - 1);
	if (n < 0)
		return -errno;
	out[n] = '\0';
	if ((size_t)n > len && strcmp(out + (size_t)n - len, gone) == 0)
		out[(size_t)n - len] = '\0';
	return 0;
}

/* What is at @path on a copy of its mount: an fd (owned), or -errno. */
static int clone_read_only(const char *path)
{
	dv_autofd int mnt = dv_mnt_clone(AT_FDCWD, path, false);
	int r = mnt < 0 ? mnt
			: dv_mnt_setattr(mnt, MOUNT_ATTR_RDONLY, 0, false);

	return r < 0 ? r : dv_take_fd(&mnt);
}

/* @fd (consumed) if it is the file @was, else -ESTALE. */
static int same_or_none(int fd, const struct stat *was)
{
	struct stat is;

	if (fd >= 0 && fstat(fd, &is) == 0 && is.st_ino == was->st_ino &&
	    is.st_dev == was->st_dev)
		return fd;
	dv_close(fd);
	return -ESTALE;
}

/*
 * By its directory, so that it keeps its name in /proc/PID/exe. What is mounted
 * on the file itself is not found there.
 */
static int open_copy(const char *path, const struct stat *was)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	dv_autofd int mnt = -1;
	int r;

	if (!slash || strlen(path) >= sizeof(dir))
		return -EINVAL;
	dv_fmt(dir, sizeof(dir), "%.*s/", (int)(slash - path), path);
	mnt = clone_read_only(dir);
	if (mnt < 0)
		return mnt;
	r = same_or_none(
		openat(mnt, slash + 1, O_PATH | O_NOFOLLOW | O_CLOEXEC), was);
	return r >= 0 ? r : same_or_none(clone_read_only(path), was);
}

int dv_reexec_read_only(const char *path, char *const argv[])
{
	dv_autofd int now = open(own_exe, O_PATH | O_CLOEXEC), copy = -1;
	struct statvfs fs;
	struct stat was;

	if (now < 0 || fstatvfs(now, &fs) < 0 || fstat(now, &was) < 0)
		return -errno;
	if (fs.f_flag & ST_RDONLY)
		return 0;
	copy = open_copy(path, &was);
	if (copy < 0)
		return copy;
	syscall(SYS_execveat, copy, "", argv, environ, AT_EMPTY_PATH);
	return -errno;
}
