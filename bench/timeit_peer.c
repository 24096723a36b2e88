/* SPDX-License-Identifier: MIT */
#include "timeit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "stats.h"

extern char **environ;

int stage_open(struct stage *st)
{
	st->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	st->out = memfd_create("out", MFD_CLOEXEC);
	st->mntns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	st->cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (st->null < 0 || st->out < 0 || st->mntns < 0 || st->cwd < 0)
		return -errno;
	return 0;
}

void stage_close(struct stage *st)
{
	st->null = dv_close(st->null);
	st->out = dv_close(st->out);
	st->mntns = dv_close(st->mntns);
	st->cwd = dv_close(st->cwd);
}

int peer_open(struct peer *peer, size_t cap)
{
	char path[64];

	peer->ns = calloc(cap, sizeof(*peer->ns));
	if (!peer->ns)
		return -ENOMEM;
	if (!peer->mntns)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)peer->mntns);
	peer->mntns_fd = open(path, O_RDONLY | O_CLOEXEC);
	return peer->mntns_fd < 0 ? -errno : 0;
}

void peer_close(struct peer *peer)
{
	free(peer->ns);
	peer->ns = NULL;
	peer->mntns_fd = dv_close(peer->mntns_fd);
}

static int move_to(int mntns, int cwd)
{
	if (setns(mntns, CLONE_NEWNS) < 0 || fchdir(cwd) < 0)
		return -errno;
	return 0;
}

static int spawn(const struct peer *peer, const struct stage *st, pid_t *pidp)
{
	posix_spawn_file_actions_t fa;
	int r = posix_spawn_file_actions_init(&fa);

	if (r)
		return -r;
	r = posix_spawn_file_actions_adddup2(&fa, st->null, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&fa, st->out, 1);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&fa, st->out, 2);
	if (r == 0)
		r = posix_spawnp(pidp, peer->argv[0], &fa, NULL, peer->argv,
				 environ);
	posix_spawn_file_actions_destroy(&fa);
	return -r;
}

static int run_once(struct peer *peer, const struct stage *st, uint64_t *nsp)
{
	uint64_t t0 = bench_now_ns();
	pid_t pid = -1;
	int status, r = spawn(peer, st, &pid);

	if (r < 0)
		return r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	*nsp = bench_now_ns() - t0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int peer_run(struct peer *peer, struct stage *st, bool record)
{
	uint64_t ns = 0;
	int r = 0, back;

	if (ftruncate(st->out, 0) < 0 || lseek(st->out, 0, SEEK_SET) < 0)
		return -errno;
	if (peer->mntns_fd >= 0)
		r = move_to(peer->mntns_fd, st->cwd);
	if (r == 0)
		r = run_once(peer, st, &ns);
	if (peer->mntns_fd >= 0) {
		back = move_to(st->mntns, st->cwd);
		if (back < 0)
			return back;
	}
	if (r == 0 && record)
		peer->ns[peer->n++] = ns;
	return r;
}

void peer_failed(struct peer *peer, const struct stage *st, int status)
{
	char line[120];
	ssize_t n = pread(st->out, line, sizeof(line) - 1, 0);

	line[n > 0 ? n : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (status < 0)
		snprintf(peer->why, sizeof(peer->why), "%s",
			 strerrordesc_np(-status));
	else
		snprintf(peer->why, sizeof(peer->why), "status %d: %s", status,
			 line);
	peer->skip = peer->why;
}
