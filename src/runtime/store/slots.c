/* SPDX-License-Identifier: MIT */
#include "runtime/store/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

static const char file[] = "slots";
static const char zeros[DV_SLOT_SIZE];

/* 0, or -EAGAIN: its keeper is alive. */
static int lock_slot(int fd, size_t at, short type)
{
	struct flock lock = {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = (off_t)at,
		.l_len = DV_SLOT_SIZE,
	};

	return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* Past the end of the file all slots are empty. */
static int is_empty(int fd, size_t at)
{
	char first = 0;

	return pread(fd, &first, 1, (off_t)at) >= 0 && !first;
}

static int wipe(int fd, size_t at, size_t len)
{
	return pwrite(fd, zeros, len, (off_t)at) < 0 ? -errno : 0;
}

/* One that somebody's umask locked is opened again: it is ours alone. */
static int open_file(int basefd)
{
	const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
	int fd = openat(basefd, file, flags, 0600);

	if (fd < 0 && errno == EACCES && fchmodat(basefd, file, 0600, 0) == 0)
		fd = openat(basefd, file, flags, 0600);
	return fd < 0 ? -errno : fd;
}

int dv_slot_claim(struct dv_slot *s, int basefd)
{
	int fd = open_file(basefd);
	size_t first = (size_t)getpid(); /* neighbours try different ones */

	*s = (struct dv_slot)DV_SLOT_INIT;
	if (fd < 0)
		return fd;
	for (size_t i = 0; i < DV_SLOTS; i++) {
		size_t at = (first + i) % DV_SLOTS * DV_SLOT_SIZE;

		if (lock_slot(fd, at, F_WRLCK) < 0)
			continue;
		if (is_empty(fd, at)) {
			*s = (struct dv_slot){ .fd = fd, .at = at };
			return 0;
		}
		lock_slot(fd, at, F_UNLCK);
	}
	dv_close(fd);
	return -EBUSY;
}

int dv_slot_note(struct dv_slot *s, const char *line)
{
	char text[DV_SLOT_SIZE];
	size_t len = strlen(line);
	ssize_t n;

	/* One zero stays: it ends the text. */
	if (len + 1 >= sizeof(text) - s->used)
		return -ENOSPC;
	/* NOLINTNEXTLINE(bugprone-not-null-terminated-result): no string */
	memcpy(text, line, len);
	text[len++] = '\n';
	n = pwrite(s->fd, text, len, (off_t)(s->at + s->used));
	if (n < 0)
		return -errno;
	s->used += (size_t)n;
	return (size_t)n == len ? 0 : -ENOSPC;
}

void dv_slot_clear(struct dv_slot *s)
{
	/* What cannot be overwritten the sweeper does again. */
	if (s->used)
		(void)wipe(s->fd, s->at, s->used);
	dv_slot_release(s);
}

void dv_slot_release(struct dv_slot *s)
{
	dv_close(s->fd);
	*s = (struct dv_slot)DV_SLOT_INIT;
}

static void sweep_slot(int fd, size_t at, int (*clean)(char *lines))
{
	char text[DV_SLOT_SIZE + 1] = "";

	if (lock_slot(fd, at, F_WRLCK) < 0)
		return;
	/* Only now does it stand still. */
	if (pread(fd, text, DV_SLOT_SIZE, (off_t)at) > 0 && text[0] &&
	    clean(text) == 0)
		(void)wipe(fd, at, DV_SLOT_SIZE);
	lock_slot(fd, at, F_UNLCK);
}

void dv_slots_sweep(int basefd, int (*clean)(char *lines))
{
	char all[DV_SLOTS * DV_SLOT_SIZE] = "";
	dv_autofd int fd =
		openat(basefd, file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || pread(fd, all, sizeof(all), 0) <= 0)
		return;
	for (size_t at = 0; at < sizeof(all); at += DV_SLOT_SIZE)
		if (all[at])
			sweep_slot(fd, at, clean);
}
