/* SPDX-License-Identifier: MIT */
/*
 * A keeper that was left behind: what `davit __keeper` does. See
 * sandbox_create.c and birth.h.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/num.h"
#include "runtime/keeper/birth.h"
#include "runtime/keeper/keeper.h"
#include "wire/pb.h"

enum {
	EXIT_FAILED = 125,
	NOFILE_WANTED = 65536, /* clients, and seven for each process */
	/* For clients to take their last answers. */
	FLUSH_MS = 5000,
};

struct keeper_main {
	struct dv_loop *loop;
	struct dv_keeper *keeper;
	struct dv_src term;
	int term_fd;
	bool over;
};

/* ---- becoming one's own ------------------------------------------------- */

static const int ignored[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGPIPE,
			       SIGALRM, SIGUSR1, SIGUSR2, SIGTSTP,
			       SIGTTIN, SIGTTOU, SIGXFSZ };

/* Nobody's terminal, nobody's child. True in the keeper that is to be. */
static bool detach(void)
{
	pid_t pid = fork();

	if (pid < 0)
		_exit(EXIT_FAILED);
	if (pid > 0)
		return false;
	setsid();
	for (size_t i = 0; i < DV_ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	prctl(PR_SET_NAME, "davit-keeper", 0, 0, 0);
	close_range(DV_BIRTH_FD + 1, ~0U, 0);
	dv_fd_cloexec(DV_BIRTH_FD, true);
	return true;
}

static void raise_nofile(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	r.rlim_cur =
		dv_max(r.rlim_cur, dv_min(r.rlim_max, (rlim_t)NOFILE_WANTED));
	setrlimit(RLIMIT_NOFILE, &r);
}

/* ---- what to keep ------------------------------------------------------- */

static int read_message(char **datap, size_t *lenp)
{
	struct timeval wait = { DV_BIRTH_MS / 1000, 0 };
	uint8_t head[4];
	struct dv_rd rd = dv_rd_mem(head, sizeof(head));

	setsockopt(DV_BIRTH_FD, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (dv_read_full(DV_BIRTH_FD, head, sizeof(head)) != sizeof(head))
		return -EPIPE;
	*lenp = dv_rd_le32(&rd);
	if (*lenp > DV_STORE_KEPT_MAX)
		return -EMSGSIZE;
	*datap = malloc(*lenp + 1);
	if (!*datap)
		return -ENOMEM;
	if (dv_read_full(DV_BIRTH_FD, *datap, *lenp) != (ssize_t)*lenp)
		return -EPIPE;
	return 0;
}

/* Its name is what its documents say: who renames it may have been killed
 * before they had the new one. */
static int set_name(dv_KeptSandbox *kept, const char *id, struct dv_err *err)
{
	struct dv_sandbox_info info = { .size = sizeof(info) };
	char *name;

	/* What cannot be read has the name that was stored. */
	if (dv_store_look(id, &info, NULL) < 0 || !info.name[0]) {
		dv_sandbox_info_free(&info);
		return 0;
	}
	name = strdup(info.name);
	dv_sandbox_info_free(&info);
	if (!name)
		return dv_err_sys(err, ENOMEM, "read what to keep");
	free(kept->keep.name);
	kept->keep.name = name;
	return 0;
}

/* One that has ended is as it was stored; else all came along. */
static int read_kept(dv_KeptSandbox *kept, struct dv_err *err)
{
	dv_autofree char *data = NULL;
	char id[DV_SANDBOX_ID_LEN + 1];
	size_t len;
	int r = read_message(&data, &len);

	if (r < 0)
		return dv_err_sys(err, -r, "read what to keep");
	r = dv_pb_decode(dv_KeptSandbox_fields, data, len, kept, err);
	if (r < 0 || kept->has_spec)
		return r;
	if (!kept->id || strlen(kept->id) != DV_SANDBOX_ID_LEN)
		r = dv_err_set(err, EINVAL, DV_INVALID, "nothing to keep");
	else
		memcpy(id, kept->id, sizeof(id));
	dv_pb_release(dv_KeptSandbox_fields, kept);
	if (r == 0)
		r = dv_store_read_kept(id, kept, err);
	return r < 0 ? r : set_name(kept, id, err);
}

/* ---- its life ----------------------------------------------------------- */

static void on_term(struct dv_src *src, uint32_t events)
{
	struct keeper_main *m = dv_container_of(src, struct keeper_main, term);
	struct signalfd_siginfo si;

	(void)events;
	if (dv_read(m->term_fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		dv_keeper_stop(m->keeper, 0, -1, NULL);
}

/* The machine goes down, or somebody wants to be rid of it: in good order. */
static int watch_term(struct keeper_main *m)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	m->term_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (m->term_fd < 0)
		return -errno;
	return dv_src_add(m->loop, &m->term, m->term_fd, EPOLLIN, on_term);
}

static void on_over(struct dv_keeper *k)
{
	struct keeper_main *m = k->owner;

	m->over = true;
}

static int attend(struct keeper_main *m, struct dv_err *err)
{
	int r;

	m->keeper->done = on_over;
	m->keeper->owner = m;
	r = watch_term(m);
	return r < 0 ? dv_err_sys(err, -r, "watch for signals") : 0;
}

/* The creator is gone already: nobody waits for it. */
static bool is_orphan(void)
{
	struct pollfd p = { .fd = DV_BIRTH_FD };

	return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);
}

static int begin(struct keeper_main *m, struct dv_err *err)
{
	dv_KeptSandbox kept = dv_KeptSandbox_init_zero;
	int r = read_kept(&kept, err);

	if (r < 0)
		return r;
	r = is_orphan() ? -EPIPE : dv_loop_new(&m->loop);
	if (r < 0)
		dv_err_sys(err, -r, "begin to keep it");
	if (r == 0)
		r = dv_keeper_begin(&m->keeper, m->loop, &kept, err);
	dv_pb_release(dv_KeptSandbox_fields, &kept);
	if (r < 0)
		return r;
	raise_nofile();
	return attend(m, err);
}

/*
 * Nobody may be there any more to hear it. One that runs has been seen to run:
 * it goes on.
 */
static void answer(const struct keeper_main *m, int r, const struct dv_err *err)
{
	struct dv_birth b = { .magic = DV_BIRTH_MAGIC, .r = r, .err = *err };

	if (r == 0)
		memcpy(b.id, m->keeper->info.id, DV_SANDBOX_ID_LEN);
	if (send(DV_BIRTH_FD, &b, sizeof(b), MSG_NOSIGNAL) < 0)
		dv_log(NULL, DV_LOG_DEBUG, "nobody hears it");
	close(DV_BIRTH_FD);
}

/* What clients' processes wrote, and the answers. */
static bool has_flushed(const struct keeper_main *m)
{
	const struct dv_keeper *k = m->keeper;

	return (!k->procs || !dv_procs_flowing(k->procs)) &&
	       (!k->server || dv_server_flush(k->server) == 0) &&
	       (!k->diag || dv_server_flush(k->diag) == 0);
}

static void live(struct keeper_main *m)
{
	uint64_t until, now;

	while (!m->over)
		if (dv_loop_dispatch(m->loop, -1) < 0)
			return;
	until = dv_now_ns() + FLUSH_MS * UINT64_C(1000000);
	for (now = dv_now_ns(); !has_flushed(m) && now < until;
	     now = dv_now_ns())
		dv_loop_dispatch(m->loop, (int)((until - now) / 1000000) + 1);
}

static void leave(struct keeper_main *m)
{
	dv_src_del(&m->term);
	m->term_fd = dv_close(m->term_fd);
	dv_keeper_free(m->keeper);
	dv_loop_free(m->loop);
}

static int keep(void)
{
	struct keeper_main m = { .term = DV_SRC_INIT, .term_fd = -1 };
	struct dv_err err = DV_ERR_INIT;
	int r = begin(&m, &err);

	answer(&m, r, &err);
	if (r == 0)
		live(&m);
	leave(&m);
	return r < 0 ? EXIT_FAILED : 0;
}

/* ---- executed anew, see upgrade.c -------------------------------- */

/* One that cannot go on ends as if it had been killed: see keeper.h. */
static int resume(int fd)
{
	struct keeper_main m = { .term = DV_SRC_INIT, .term_fd = -1 };
	struct dv_err err = DV_ERR_INIT;
	int r = dv_loop_new(&m.loop);

	if (r == 0)
		r = dv_keeper_resume_at(&m.keeper, m.loop, fd, &err);
	if (r < 0)
		return EXIT_FAILED;
	r = attend(&m, &err);
	if (r == 0)
		live(&m);
	leave(&m);
	return r < 0 ? EXIT_FAILED : 0;
}

static int fd_of(const char *word)
{
	uint64_t fd;

	return dv_parse_u64(word, 3, INT_MAX, &fd) < 0 ? -1 : (int)fd;
}

/*
 * The same anew, from a file that what runs in the sandbox cannot change. Who
 * may not have that goes on as it is: its file is not its sandbox's, either,
 * unless it has a davit of its own.
 */
static void go_read_only(int argc, char **argv)
{
	static char name[] = "davit", from[] = "--from";
	char path[PATH_MAX], *words[8] = { name, argv[0], from, path };

	if (dv_reexec_self(path, sizeof(path)) < 0 ||
	    argc + 3 >= (int)DV_ARRAY_LEN(words))
		return;
	for (int i = 1; i < argc; i++)
		words[i + 3] = argv[i];
	(void)dv_reexec_read_only(path, words);
}

int dv_keeper_main(int argc, char **argv)
{
	if (argc >= 3 && strcmp(argv[1], "--from") == 0) {
		dv_reexec_came_from(argv[2]);
		argc -= 2;
		argv += 2;
	} else if (argc < 2 || strcmp(argv[1], "--check") != 0) {
		go_read_only(argc, argv);
	}
	if (argc == 3 && strcmp(argv[1], "--check") == 0)
		return dv_keeper_check(fd_of(argv[2]), NULL) < 0
			       ? EXIT_FAILED
			       : DV_REEXEC_GOOD;
	if (argc == 3 && strcmp(argv[1], "--resume") == 0)
		return resume(fd_of(argv[2]));
	if (dv_fd_mode(DV_BIRTH_FD) < 0)
		return EXIT_FAILED;
	return detach() ? keep() : 0;
}
