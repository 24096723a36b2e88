/* SPDX-License-Identifier: MIT */
/*
 * longlived N: a program that starts N sandboxes one after the other, in all
 * the ways that end differently, and looks whether it grew: descriptors, heap,
 * resident memory. Prints what it saw; exits 1 when something grew.
 */
#include <davit/run.h>

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	WARM_UP = 60, /* caches, arenas */
	/* What one more page table or arena may cost; a leak of 64 bytes for
	 * each of 1,000 starts is more. */
	HEAP_SLACK = 16 << 10,
	RSS_SLACK_KIB = 512,
};

struct size {
	long fds, rss_kib;
	size_t heap;
};

static long status_kib(const char *key)
{
	char line[256];
	long v = -1;
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, key, strlen(key)) == 0)
			v = strtol(line + strlen(key) + 1, NULL, 10);
	if (f)
		fclose(f);
	return v;
}

static struct size measure(void)
{
	struct size s = { -3, status_kib("VmRSS"), mallinfo2().uordblks };
	DIR *d = opendir("/proc/self/fd");

	while (d && readdir(d))
		s.fds++; /* without ".", ".." and the directory itself */
	if (d)
		closedir(d);
	return s;
}

/* Fed, drained, and over. */
static int collect(struct dv_spec *spec)
{
	struct dv_exit end = { .size = sizeof(end) };
	struct dv_output out, errors;

	if (dv_run_collect(spec, "x\n", 2, 100, &out, &errors, &end, NULL) < 0)
		return -1;
	free(out.data);
	free(errors.data);
	return end.code == 7 ? 0 : -1;
}

/* Killed while it runs, and waited for; or only freed. */
static int killed(struct dv_spec *spec, int wait)
{
	struct dv_exit end = { .size = sizeof(end) };
	struct dv_run *run;
	int r = dv_run_start(&run, NULL, spec, NULL);

	if (r < 0)
		return r;
	if (wait) {
		dv_run_kill_all(run, NULL);
		r = dv_run_wait(run, 10000, &end);
		if (r == 0 && end.code != 128 + 9)
			r = -1;
	}
	dv_run_free(run);
	return r;
}

static int not_found(struct dv_spec *spec)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_run *run;

	return dv_run_start(&run, NULL, spec, &err) < 0 &&
			       err.step == DV_STEP_LOOKUP
		       ? 0
		       : -1;
}

static int one(int i)
{
	static const char *const ends[] = { "sh", "-c", "read a; exit 7",
					    NULL };
	static const char *const stays[] = { "sleep", "100", NULL };
	static const char *const none[] = { "/no/such/command", NULL };
	static const char *const *const argv[] = { ends, stays, stays, none };
	struct dv_spec *spec;
	int r;

	if (dv_spec_new(&spec) < 0)
		return -1;
	r = dv_spec_argv(spec, argv[i % 4], NULL);
	if (r == 0)
		r = i % 4 == 0   ? collect(spec)
		    : i % 4 == 3 ? not_found(spec)
				 : killed(spec, i % 4 == 1);
	dv_spec_free(spec);
	if (r < 0)
		printf("start %d ended wrongly\n", i);
	return r;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1000;
	struct size before = { 0 }, after;

	for (int i = 0; i < WARM_UP + n; i++) {
		if (i == WARM_UP)
			before = measure();
		if (one(i) < 0)
			return 1;
	}
	after = measure();
	printf("%d starts: descriptors %ld to %ld, heap %zu to %zu bytes, "
	       "resident %ld to %ld KiB\n",
	       n, before.fds, after.fds, before.heap, after.heap,
	       before.rss_kib, after.rss_kib);
#ifdef __SANITIZE_ADDRESS__
	/* It keeps what was freed for a while; LeakSanitizer judges. */
	return after.fds != before.fds;
#else
	return after.fds != before.fds ||
	       after.heap > before.heap + HEAP_SLACK ||
	       after.rss_kib > before.rss_kib + RSS_SLACK_KIB;
#endif
}
