/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/report.h"
#include "cli/verbs.h"

/* A closed stdio number would be taken by the first descriptor we open. */
static void fill_stdio(void)
{
	dv_inherited.no_stdout = dv_fd_mode(STDOUT_FILENO) < 0;
	for (int fd = 0; fd < 3; fd++)
		if (dv_fd_mode(fd) < 0 && open("/dev/null", O_RDWR) != fd)
			_exit(125);
}

/* What we make we have to be able to use, also where our user's files are
 * locked to himself. What is run has the umask that there was. */
static void keep_own_bits(void)
{
	dv_inherited.umask = umask(0);
	umask(dv_inherited.umask & 077);
}

int main(int argc, char **argv)
{
	fill_stdio();
	keep_own_bits();
	/* Writing is checked everywhere; a log may hit a file size limit. */
	dv_inherited.ignores_pipe = signal(SIGPIPE, SIG_IGN) == SIG_IGN;
	signal(SIGXFSZ, SIG_IGN);
	/* Ignored by whoever started us, it would cost us the exit status. */
	signal(SIGCHLD, SIG_DFL);
	return dv_verbs_main(argc, argv);
}
