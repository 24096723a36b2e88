/* SPDX-License-Identifier: MIT */
#include "cli/term.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "base/def.h"

/* Only what a handler may touch: set up before the handler is, then fixed. */
static struct {
	volatile sig_atomic_t raw;
	int fd;
	struct termios before;
} term = { .fd = -1 };

/* Those that end a process and that the loop does not take. */
static const int deadly[] = { SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,  SIGABRT,
			      SIGTRAP, SIGSYS,  SIGALRM, SIGXCPU, SIGVTALRM,
			      SIGPROF, SIGPOLL, SIGPWR };

static void on_deadly(int signo)
{
	dv_term_restore();
	/* SA_RESETHAND: the second time it does what it always did. */
	raise(signo);
}

static void handlers(bool on)
{
	struct sigaction sa = { .sa_handler = on ? on_deadly : SIG_DFL,
				.sa_flags = (int)SA_RESETHAND | SA_NODEFER };
	struct sigaction old;

	for (size_t i = 0; i < DV_ARRAY_LEN(deadly); i++) {
		void (*mine)(int) = on ? SIG_DFL : on_deadly;

		/* A sanitizer's handler stays: it reports, then aborts. */
		if (sigaction(deadly[i], NULL, &old) == 0 &&
		    !(old.sa_flags & SA_SIGINFO) && old.sa_handler == mine)
			sigaction(deadly[i], &sa, NULL);
	}
}

int dv_term_open(int fd)
{
	static bool registered;

	if (tcgetattr(fd, &term.before) < 0)
		return -errno;
	term.fd = fd;
	handlers(true);
	if (!registered && atexit(dv_term_close) == 0)
		registered = true;
	return 0;
}

bool dv_term_foreground(int fd)
{
	pid_t group = tcgetpgrp(fd);

	return group < 0 || group == getpgrp();
}

int dv_term_raw(void)
{
	struct termios t = term.before;

	if (term.fd < 0 || term.raw || !dv_term_foreground(term.fd))
		return 0;
	/* The user may have changed it while we were stopped. */
	if (tcgetattr(term.fd, &term.before) < 0)
		return -errno;
	t = term.before;
	cfmakeraw(&t);
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	term.raw = 1;
	if (tcsetattr(term.fd, TCSADRAIN, &t) < 0) {
		term.raw = 0;
		return -errno;
	}
	return 0;
}

void dv_term_restore(void)
{
	int saved = errno;
	sigset_t block, old;

	if (!term.raw)
		return;
	/* From the background it would stop us; it is still ours to clean. */
	sigemptyset(&block);
	sigaddset(&block, SIGTTOU);
	sigprocmask(SIG_BLOCK, &block, &old);
	tcsetattr(term.fd, TCSANOW, &term.before);
	sigprocmask(SIG_SETMASK, &old, NULL);
	term.raw = 0;
	errno = saved;
}

void dv_term_close(void)
{
	if (term.fd < 0)
		return;
	dv_term_restore();
	handlers(false);
	term.fd = -1;
}

bool dv_term_size(int fd, struct winsize *ws)
{
	return ioctl(fd, TIOCGWINSZ, ws) == 0 && ws->ws_row && ws->ws_col;
}
