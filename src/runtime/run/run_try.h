/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests that run commands in sandboxes: a RUNDIR of their own, specs of a
 * few words, and what must be true when a test is over.
 */
#include <sys/wait.h>

#include "base/def.h"
#include "davit/run.h"
#include "engine/proc_try.h"
#include "runtime/store/slots.h"

static struct try_dir try_top; /* of the test that is running */

static inline void try_top_make(void)
{
	try_dir_make(&try_top);
	CHECK_EQ(setenv("DAVIT_RUNDIR", try_path(&try_top, "run"), 1), 0);
	CHECK_EQ(setenv("DAVIT_STATEDIR", try_path(&try_top, "state"), 1), 0);
}

static inline void try_top_remove(void)
{
	try_dir_remove(&try_top);
	unsetenv("DAVIT_RUNDIR");
	unsetenv("DAVIT_STATEDIR");
}

/* The text of all slots; "" when there are none. Static. */
static inline const char *try_slots(void)
{
	static char text[DV_SLOTS * DV_SLOT_SIZE + 1];
	dv_autofree char *all = NULL;
	size_t len = 0, n = 0;

	dv_read_file(AT_FDCWD, try_path(&try_top, "run/slots"), sizeof(text),
		     &all, &len);
	for (size_t i = 0; i < len && n < sizeof(text) - 1; i++)
		if (all[i])
			text[n++] = all[i];
	text[n] = '\0';
	return text;
}

/* How many sandboxes have something in RUNDIR; all slots count as one. */
static inline int try_homes(void)
{
	DIR *dir = opendir(try_path(&try_top, "run"));
	int n = try_slots()[0] != '\0';

	if (!dir)
		return 0;
	for (struct dirent *e; (e = readdir(dir));)
		n += strcmp(e->d_name, ".") != 0 &&
		     strcmp(e->d_name, "..") != 0 &&
		     strcmp(e->d_name, "mnt") != 0 &&
		     strcmp(e->d_name, "names") != 0 &&
		     strncmp(e->d_name, "events", 6) != 0 &&
		     strcmp(e->d_name, "slots") != 0;
	closedir(dir);
	return n;
}

static inline void try_close(void)
{
	CHECK_EQ(try_homes(), 0);
	try_top_remove();
}

/* /bin/sh -c @script, its streams from and to nowhere. */
static inline struct dv_spec *try_spec(const char *script)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };
	struct dv_spec *spec;

	CHECK_EQ(dv_spec_new(&spec), 0);
	CHECK_EQ(dv_spec_argv(spec, argv, NULL), 0);
	CHECK_EQ(dv_spec_workdir(spec, "/", NULL), 0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(dv_spec_stdio(spec, i, DV_STDIO_NULL, -1, NULL), 0);
	return spec;
}

/* Skip the test where namespaces cannot be had: before anything is open. */
static inline void need_namespaces(void)
{
	static bool known;
	struct dv_err err = DV_ERR_INIT;
	struct dv_spec *spec;
	struct dv_run *run;
	int r;

	if (known)
		return;
	try_top_make();
	spec = try_spec("exit 0");
	r = dv_run_start(&run, NULL, spec, &err);
	dv_spec_free(spec);
	if (r == 0)
		dv_run_free(run);
	try_top_remove();
	if (r < 0 && try_no_namespaces(&err))
		SKIP("no namespaces for this user");
	known = true;
}

static inline void try_open(void)
{
	need_namespaces();
	try_top_make();
}

/* Start it: that must be possible. */
static inline struct dv_run *try_run(struct dv_loop *loop,
				     const struct dv_spec *spec)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_run *run;
	int r = dv_run_start(&run, loop, spec, &err);

	CHECK_STR(err.msg, "");
	CHECK_EQ(r, 0);
	return run;
}

/* The exit record, within 20 seconds. */
static inline struct dv_exit try_wait(struct dv_run *run)
{
	struct dv_exit e = { .size = sizeof(e) };

	CHECK_EQ(dv_run_wait(run, 20000, &e), 0);
	return e;
}
