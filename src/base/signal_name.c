/* SPDX-License-Identifier: MIT */
#include "base/num.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

#include "base/def.h"

/* Linux has signals 1 to 64 on every machine that we build for but mips. */
#define SIGNAL_MAX 64

/* The first name of a number is the one that is printed. */
static const struct {
	int signo;
	const char *name;
} named[] = {
	{ SIGHUP, "SIGHUP" },   { SIGINT, "SIGINT" },
	{ SIGQUIT, "SIGQUIT" }, { SIGILL, "SIGILL" },
	{ SIGTRAP, "SIGTRAP" }, { SIGABRT, "SIGABRT" },
	{ SIGBUS, "SIGBUS" },   { SIGFPE, "SIGFPE" },
	{ SIGKILL, "SIGKILL" }, { SIGUSR1, "SIGUSR1" },
	{ SIGSEGV, "SIGSEGV" }, { SIGUSR2, "SIGUSR2" },
	{ SIGPIPE, "SIGPIPE" }, { SIGALRM, "SIGALRM" },
	{ SIGTERM, "SIGTERM" }, { SIGSTKFLT, "SIGSTKFLT" },
	{ SIGCHLD, "SIGCHLD" }, { SIGCONT, "SIGCONT" },
	{ SIGSTOP, "SIGSTOP" }, { SIGTSTP, "SIGTSTP" },
	{ SIGTTIN, "SIGTTIN" }, { SIGTTOU, "SIGTTOU" },
	{ SIGURG, "SIGURG" },   { SIGXCPU, "SIGXCPU" },
	{ SIGXFSZ, "SIGXFSZ" }, { SIGVTALRM, "SIGVTALRM" },
	{ SIGPROF, "SIGPROF" }, { SIGWINCH, "SIGWINCH" },
	{ SIGIO, "SIGIO" },     { SIGPWR, "SIGPWR" },
	{ SIGSYS, "SIGSYS" },   { SIGIO, "SIGPOLL" },
	{ SIGABRT, "SIGIOT" },  { SIGCHLD, "SIGCLD" },
};

/*
 * Numbers without a name of their own: those that libc keeps for itself, the
 * real-time ones, and what is no signal at all (0, and beyond 64).
 */
static const char *const unnamed[] = {
	[0] = "SIG0",   [32] = "SIG32", [33] = "SIG33", [34] = "SIG34",
	[35] = "SIG35", [36] = "SIG36", [37] = "SIG37", [38] = "SIG38",
	[39] = "SIG39", [40] = "SIG40", [41] = "SIG41", [42] = "SIG42",
	[43] = "SIG43", [44] = "SIG44", [45] = "SIG45", [46] = "SIG46",
	[47] = "SIG47", [48] = "SIG48", [49] = "SIG49", [50] = "SIG50",
	[51] = "SIG51", [52] = "SIG52", [53] = "SIG53", [54] = "SIG54",
	[55] = "SIG55", [56] = "SIG56", [57] = "SIG57", [58] = "SIG58",
	[59] = "SIG59", [60] = "SIG60", [61] = "SIG61", [62] = "SIG62",
	[63] = "SIG63", [64] = "SIG64",
};

/* "RTMIN", "RTMIN+3", "RTMAX", "RTMAX-2", the prefix "SIG" already gone. */
static int parse_realtime(const char *s)
{
	int min = SIGRTMIN, max = SIGRTMAX; /* libc takes the first few */
	uint64_t n = 0;
	char sign;

	if (strncasecmp(s, "RTMIN", 5) != 0 && strncasecmp(s, "RTMAX", 5) != 0)
		return -EINVAL;
	sign = (s[3] | 0x20) == 'i' ? '+' : '-';
	if (s[5] && (s[5] != sign ||
		     dv_parse_u64(s + 6, 0, (uint64_t)(max - min), &n) < 0))
		return -EINVAL;
	return sign == '+' ? min + (int)n : max - (int)n;
}

int dv_parse_signal(const char *s)
{
	uint64_t n;

	if (strncasecmp(s, "SIG", 3) == 0)
		s += 3;
	if (dv_parse_u64(s, 1, SIGNAL_MAX, &n) == 0)
		return (int)n;
	for (size_t i = 0; i < DV_ARRAY_LEN(named); i++)
		if (strcasecmp(s, named[i].name + 3) == 0)
			return named[i].signo;
	return parse_realtime(s);
}

const char *dv_signal_name(int signo)
{
	for (size_t i = 0; i < DV_ARRAY_LEN(named); i++)
		if (named[i].signo == signo)
			return named[i].name;
	if (signo >= 0 && signo < (int)DV_ARRAY_LEN(unnamed) && unnamed[signo])
		return unnamed[signo];
	return "SIG?";
}
