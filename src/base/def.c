/* SPDX-License-Identifier: MIT */
#include "base/def.h"

#include <time.h>

#include <unistd.h>

#include "base/fmt.h"

/* Safe after fork(): one write(2) to stderr, then abort(). */
_Noreturn void dv_assert_failed(const char *what, const char *file, int line)
{
	char text[256];
	int len = dv_fmt(text, sizeof(text), "%s:%d: assertion failed: %s\n",
			 file, line, what);
	size_t n = dv_min((size_t)len, sizeof(text) - 1);

	if (write(STDERR_FILENO, text, n) < 0)
		abort(); /* nobody to tell, but it still ends here */
	abort();
}

uint64_t dv_unix_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}
