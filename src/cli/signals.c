/* SPDX-License-Identifier: MIT */
#include "cli/signals.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"

static const int passed_on[] = { SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGUSR1,
				 SIGUSR2, SIGCONT, SIGTSTP, SIGWINCH };

/* nohup and background jobs of simple shells ignore some; so do we. */
static bool ignored(int signo)
{
	struct sigaction sa;

	return sigaction(signo, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN;
}

static void hold(struct dv_signals *s, int signo, bool terminal)
{
	if (signo == SIGTSTP) {
		kill(getpid(), SIGSTOP);
	} else if (signo == SIGWINCH || signo == SIGCONT) {
		s->resized = true; /* perhaps, while it stood still */
	} else if (s->held) {
		dv_signals_close(s);
		raise(signo);
	} else {
		s->held = signo;
		s->held_terminal = terminal;
	}
}

static void on_signal(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct dv_signals *s = dv_container_of(src, struct dv_signals, src);
	struct signalfd_siginfo si;

	if (dv_read(s->fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	if (s->holding)
		hold(s, (int)si.ssi_signo, si.ssi_code == SI_KERNEL);
	else
		s->fn(s, (int)si.ssi_signo, si.ssi_code == SI_KERNEL);
}

void dv_signals_release(struct dv_signals *s)
{
	s->holding = false;
	if (s->resized)
		s->fn(s, SIGWINCH, true);
	if (s->held)
		s->fn(s, s->held, s->held_terminal);
	s->resized = false;
	s->held = 0;
}

int dv_signals_open(struct dv_signals *s, struct dv_loop *loop,
		    void (*fn)(struct dv_signals *signals, int signo,
			       bool terminal))
{
	sigset_t set;
	int r;

	s->fn = fn;
	sigemptyset(&set);
	for (size_t i = 0; i < DV_ARRAY_LEN(passed_on); i++)
		if (!ignored(passed_on[i]))
			sigaddset(&set, passed_on[i]);
	if (sigprocmask(SIG_BLOCK, &set, &s->before) < 0)
		return -errno;
	s->blocked = true;
	s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	r = s->fd < 0 ? -errno
		      : dv_src_add(loop, &s->src, s->fd, EPOLLIN, on_signal);
	if (r < 0)
		dv_signals_close(s);
	return r;
}

void dv_signals_close(struct dv_signals *s)
{
	dv_src_del(&s->src);
	s->fd = dv_close(s->fd);
	if (s->blocked)
		sigprocmask(SIG_SETMASK, &s->before, NULL);
	s->blocked = false;
}
