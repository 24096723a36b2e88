/* SPDX-License-Identifier: MIT */
#include "floor.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/def.h"

/*
 * The current directory is the new root from enter_root() on, and the old root
 * stays where it was until the pivot: so every source is an absolute path and
 * every target a relative one, and no path has to be joined.
 */

static void must(long r, const char *what)
{
	if (r < 0)
		floor_die(what);
}

/* A copy of the mounts below the directory, put on top of it. */
static void enter_bind(const struct floor_opts *o)
{
	int tree = (int)syscall(SYS_open_tree, AT_FDCWD, o->root,
				OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
					AT_RECURSIVE);

	must(tree, "open_tree of the root");
	must(syscall(SYS_move_mount, tree, "", AT_FDCWD, o->root,
		     MOVE_MOUNT_F_EMPTY_PATH),
	     "move_mount of the root");
	must(fchdir(tree), "enter the root");
	close(tree);
}

/*
 * The lower directory is named ".", because the tmpfs that holds the changes
 * goes over /tmp, and the root may well lie below that.
 */
static void enter_overlay(const struct floor_opts *o)
{
	static const char layers[] =
		"lowerdir=.,upperdir=/tmp/up,workdir=/tmp/work,userxattr";

	must(chdir(o->root), "enter the lower directory");
	must(mount("tmpfs", "/tmp", "tmpfs", MS_NODEV | MS_NOSUID, "mode=755"),
	     "tmpfs for the overlay");
	must(mkdir("/tmp/up", 0755), "mkdir up");
	must(mkdir("/tmp/work", 0755), "mkdir work");
	must(mkdir("/tmp/root", 0755), "mkdir root");
	must(mount("overlay", "/tmp/root", "overlay", 0, layers),
	     "mount the overlay");
	must(chdir("/tmp/root"), "enter the overlay");
}

static void bind_device(const char *from, const char *to)
{
	int fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	must(fd, to);
	close(fd);
	must(mount(from, to, NULL, MS_BIND, NULL), from);
}

static void mount_dev(void)
{
	static const char *const from[] = { "/dev/null",    "/dev/zero",
					    "/dev/full",    "/dev/random",
					    "/dev/urandom", "/dev/tty" };

	must(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755"),
	     "tmpfs on dev");
	for (size_t i = 0; i < DV_ARRAY_LEN(from); i++)
		bind_device(from[i], from[i] + 1);
	must(mkdir("dev/shm", 01777), "mkdir dev/shm");
	must(mkdir("dev/pts", 0755), "mkdir dev/pts");
	must(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		   "newinstance,ptmxmode=0666,mode=620"),
	     "devpts on dev/pts");
	must(symlink("pts/ptmx", "dev/ptmx"), "link dev/ptmx");
}

void floor_mounts(const struct floor_opts *o, void (*pivoting)(void))
{
	struct mount_attr slave = { .propagation = MS_SLAVE };

	must(syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &slave,
		     sizeof(slave)),
	     "make / a slave");
	if (o->overlay)
		enter_overlay(o);
	else
		enter_bind(o);
	must(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		   NULL),
	     "mount proc");
	mount_dev();
	pivoting();
	must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	must(umount2(".", MNT_DETACH), "detach the old root");
	must(chdir("/"), "enter the new root");
}
