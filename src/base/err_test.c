/* SPDX-License-Identifier: MIT */
#include <davit/err.h>

#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/test.h"

TEST(err_sys_appends_text_and_code)
{
	struct dv_err err = DV_ERR_INIT;

	CHECK_EQ(dv_err_sys(&err, ENOENT, "open %s", "/no"), -ENOENT);
	CHECK_STR(err.msg, "open /no: No such file or directory");
	CHECK_EQ(err.sys, ENOENT);
	CHECK_EQ(err.code, DV_NOT_FOUND);
	CHECK_EQ(err.step, DV_STEP_NONE);
}

TEST(err_set_appends_nothing_and_clears_what_was_there)
{
	struct dv_err err = DV_ERR_INIT;

	dv_err_sys(&err, EPERM, "old");
	dv_err_hint(&err, "old hint");
	dv_err_step(&err, -EPERM, DV_STEP_MOUNT);
	CHECK_EQ(dv_err_set(&err, EINVAL, DV_INVALID, "memory %s", "12q"),
		 -EINVAL);
	CHECK_STR(err.msg, "memory 12q");
	CHECK_STR(err.hint, "");
	CHECK_EQ(err.step, DV_STEP_NONE);
}

TEST(err_hint_set_before_the_error_stays)
{
	struct dv_err err = DV_ERR_INIT;

	dv_err_hint(&err, "do this");
	dv_err_sys(&err, EPERM, "open");
	CHECK_STR(err.hint, "do this");
	dv_err_sys(&err, EPERM, "another");
	CHECK_STR(err.hint, "");
}

TEST(err_null_is_allowed_everywhere)
{
	CHECK_EQ(dv_err_sys(NULL, EIO, "x"), -EIO);
	CHECK_EQ(dv_err_set(NULL, EIO, DV_INTERNAL, "x"), -EIO);
	CHECK_EQ(dv_err_wrap(NULL, -EIO, "x"), -EIO);
	CHECK_EQ(dv_err_step(NULL, -EIO, DV_STEP_EXEC), -EIO);
	dv_err_hint(NULL, "x");
}

TEST(err_wrap_puts_the_outer_text_first)
{
	struct dv_err err = DV_ERR_INIT;
	int r = dv_err_sys(&err, EACCES, "mount %s", "proc");

	CHECK_EQ(dv_err_wrap(&err, r, "start %s", "web"), -EACCES);
	CHECK_STR(err.msg, "start web: mount proc: Permission denied");
	CHECK_EQ(err.code, DV_DENIED);
}

TEST(err_wrap_of_a_bare_number_fills_it_in_and_keeps_the_step)
{
	struct dv_err err = DV_ERR_INIT;

	dv_err_step(&err, -EMFILE, DV_STEP_SPAWN);
	dv_err_wrap(&err, -EMFILE, "make a pipe");
	CHECK_STR(err.msg, "make a pipe: Too many open files");
	CHECK_EQ(err.code, DV_EXHAUSTED);
	CHECK_EQ(err.sys, EMFILE);
	CHECK_EQ(err.step, DV_STEP_SPAWN);
}

TEST(err_wrap_of_success_changes_nothing)
{
	struct dv_err err = DV_ERR_INIT;

	CHECK_EQ(dv_err_wrap(&err, 7, "x"), 7);
	CHECK_EQ(dv_err_step(&err, 7, DV_STEP_EXEC), 7);
	CHECK_STR(err.msg, "");
	CHECK_EQ(err.step, DV_STEP_NONE);
}

TEST(err_wrap_beyond_the_room_keeps_the_innermost_part)
{
	struct dv_err err = DV_ERR_INIT;
	const char *inner = "innermost: No space left on device";
	size_t len;

	dv_err_sys(&err, ENOSPC, "innermost");
	for (int i = 0; i < 500; i++) {
		dv_err_wrap(&err, -ENOSPC, "level %d", i);
		len = strnlen(err.msg, sizeof(err.msg));
		CHECK(len < sizeof(err.msg));
		CHECK_STR(err.msg + len - strlen(inner), inner);
	}
}

TEST(err_sys_with_a_long_text_keeps_the_errno_text)
{
	struct dv_err err = DV_ERR_INIT;
	const char *tail = ": Is a directory";
	char path[1000];

	memset(path, 'p', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	dv_err_sys(&err, EISDIR, "%s", path);
	CHECK_EQ(strlen(err.msg), sizeof(err.msg) - 1);
	CHECK_STR(err.msg + sizeof(err.msg) - 1 - strlen(tail), tail);
}

TEST(err_arguments_may_point_into_the_struct)
{
	struct dv_err err = DV_ERR_INIT;

	dv_err_set(&err, EINVAL, DV_INVALID, "inner");
	dv_err_sys(&err, EINVAL, "outer (%s)", err.msg);
	CHECK_STR(err.msg, "outer (inner): Invalid argument");
	dv_err_hint(&err, "see %s", err.msg);
	CHECK_STR(err.hint, "see outer (inner): Invalid argument");
}

TEST(err_hint_and_step_keep_the_first)
{
	struct dv_err err = DV_ERR_INIT;

	dv_err_sys(&err, ENOSYS, "x");
	dv_err_hint(&err, "precise");
	dv_err_hint(&err, "general");
	dv_err_step(&err, -ENOSYS, DV_STEP_SECCOMP);
	dv_err_step(&err, -ENOSYS, DV_STEP_SPAWN);
	CHECK_STR(err.hint, "precise");
	CHECK_EQ(err.step, DV_STEP_SECCOMP);
}

TEST(err_names_are_never_null)
{
	for (int i = -2; i < 40; i++) {
		assert_non_null(dv_code_name(i));
		assert_non_null(dv_step_name(i));
	}
	for (int i = -2; i < 5000; i++)
		assert_non_null(dv_errno_text(i));
	CHECK_STR(dv_code_name(DV_NOT_FOUND), "not-found");
	CHECK_STR(dv_code_name(DV_CODE_N), "unknown");
	CHECK_STR(dv_step_name(DV_STEP_IDMAP), "idmap");
	CHECK_STR(dv_errno_text(ENOENT), "No such file or directory");
}

TEST(err_code_from_errno_maps)
{
	static const struct {
		int sys;
		enum dv_code code;
	} rows[] = {
		{ 0, DV_OK },
		{ ENOENT, DV_NOT_FOUND },
		{ EPERM, DV_DENIED },
		{ EINVAL, DV_INVALID },
		{ ETIMEDOUT, DV_DEADLINE },
		{ ENOMEM, DV_EXHAUSTED },
		{ ENOSYS, DV_UNIMPLEMENTED },
		{ EAGAIN, DV_UNAVAILABLE },
		{ EEXIST, DV_EXISTS },
		{ 4095, DV_UNKNOWN },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++)
		CHECK_EQ(dv_code_from_errno(rows[i].sys), rows[i].code);
}
