/* SPDX-License-Identifier: MIT */
#include "runtime/run/run_try.h"

#include "base/def.h"

static int collect(const char *script, const void *input, size_t len,
		   size_t cap, struct dv_output *out, struct dv_output *errout,
		   struct dv_exit *e)
{
	struct dv_spec *spec = try_spec(script);
	struct dv_err err = DV_ERR_INIT;

	*e = (struct dv_exit){ .size = sizeof(*e) };
	int r = dv_run_collect(spec, input, len, cap, out, errout, e, &err);

	CHECK_STR(err.msg, "");
	dv_spec_free(spec);
	return r;
}

TEST(collect_caps_each_output_and_says_so)
{
	static const struct {
		const char *script;
		size_t cap;
		const char *out, *err;
		uint64_t out_total, err_total;
		int code;
	} rows[] = {
		{ "exit 7", 100, "", "", 0, 0, 7 },
		{ "printf abc; printf de >&2", 100, "abc", "de", 3, 2, 0 },
		{ "printf abc; printf de >&2", 3, "abc", "de", 3, 2, 0 },
		{ "printf abcd; printf de >&2", 3, "abc", "de", 4, 2, 0 },
		{ "printf abc; printf de >&2", 0, "", "", 3, 2, 0 },
		{ "printf abc; exec >&-; exit 3", 1, "a", "", 3, 0, 3 },
		{ "printf x; kill -9 $$", 9, "x", "", 1, 0, 137 },
	};

	try_open();
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_output out, err;
		struct dv_exit e;

		CHECK_EQ(collect(rows[i].script, NULL, 0, rows[i].cap, &out,
				 &err, &e),
			 0);
		CHECK_STR(out.data, rows[i].out);
		CHECK_STR(err.data, rows[i].err);
		CHECK_EQ(out.len, strlen(rows[i].out));
		CHECK_EQ(err.len, strlen(rows[i].err));
		CHECK_EQ(out.total, rows[i].out_total);
		CHECK_EQ(err.total, rows[i].err_total);
		CHECK_EQ(out.truncated, out.total > out.len);
		CHECK_EQ(err.truncated, err.total > err.len);
		CHECK_EQ(e.code, rows[i].code);
		free(out.data);
		free(err.data);
	}
	try_close();
}

/* More than all pipes hold, both ways at once: nobody may wait for ever. */
TEST(collect_input_larger_than_pipes_comes_back_whole)
{
	size_t len = 5 << 20;
	struct dv_output out, err;
	struct dv_exit e;
	char *input = malloc(len);

	try_open();
	for (size_t i = 0; i < len; i++)
		input[i] = (char)(i * 31 + (i >> 12));
	CHECK_EQ(collect("exec tee /dev/stderr", input, len, len, &out, &err,
			 &e),
		 0);
	CHECK_EQ(out.len, len);
	CHECK_EQ(err.len, len);
	CHECK(!out.truncated && !err.truncated);
	CHECK(memcmp(out.data, input, len) == 0);
	CHECK(memcmp(err.data, input, len) == 0);
	free(out.data);
	free(err.data);
	free(input);
	try_close();
}

TEST(collect_drops_what_is_over_the_cap_and_goes_on)
{
	struct dv_output out, err;
	struct dv_exit e;

	try_open();
	CHECK_EQ(collect("head -c 3000000 /dev/zero; echo done >&2", NULL, 0,
			 1000, &out, &err, &e),
		 0);
	CHECK_EQ(out.len, 1000);
	CHECK_EQ(out.total, 3000000);
	CHECK(out.truncated);
	CHECK_STR(err.data, "done\n");
	free(out.data);
	free(err.data);
	try_close();
}

static int pipe_signals;

static void on_pipe(int signo)
{
	(void)signo;
	pipe_signals++;
}

TEST(collect_input_that_is_not_read_is_no_error)
{
	size_t len = 1 << 20;
	struct dv_output out, err;
	struct dv_exit e;
	char *input = calloc(1, len);

	try_open();
	signal(SIGPIPE, on_pipe);
	CHECK_EQ(collect("exec <&-; echo hi; exit 5", input, len, 100, &out,
			 &err, &e),
		 0);
	signal(SIGPIPE, SIG_DFL);
	CHECK_EQ(pipe_signals, 0);
	CHECK_EQ(e.code, 5);
	CHECK_STR(out.data, "hi\n");
	free(out.data);
	free(err.data);
	free(input);
	try_close();
}

TEST(collect_does_not_wait_for_a_child_that_holds_the_output)
{
	uint64_t begun = dv_now_ns();
	struct dv_output out, err;
	struct dv_exit e;

	try_open();
	CHECK_EQ(collect("sleep 1000 & echo hi", NULL, 0, 100, &out, &err, &e),
		 0);
	CHECK_STR(out.data, "hi\n");
	CHECK_EQ(e.code, 0);
	CHECK(dv_now_ns() - begun < UINT64_C(25000000000));
	free(out.data);
	free(err.data);
	try_close();
}

TEST(collect_of_what_cannot_start_has_nothing_to_free)
{
	struct dv_output out, errout;
	struct dv_err err = DV_ERR_INIT;
	struct dv_spec *spec;
	struct dv_exit e = { .size = sizeof(e) };

	try_open();
	spec = try_spec("exit 0");
	CHECK_EQ(dv_spec_exe(spec, "/no/such", NULL), 0);
	memset(&out, 0x55, sizeof(out));
	memset(&errout, 0x55, sizeof(errout));
	CHECK_EQ(dv_run_collect(spec, "x", 1, 10, &out, &errout, &e, &err),
		 -ENOENT);
	CHECK_EQ(err.step, DV_STEP_LOOKUP);
	CHECK_EQ(dv_run_collect(spec, "x", 1, 10, &out, &errout, &e, NULL),
		 -ENOENT);
	dv_spec_free(spec);
	try_close();
}

/* True when it got as far as to say something before its time was up. */
static bool says_within(struct dv_spec *spec, int ms)
{
	struct dv_output out, errout;
	struct dv_exit e = { .size = sizeof(e) };
	bool said;

	CHECK_EQ(dv_spec_timeout(spec, ms), 0);
	CHECK_EQ(dv_run_collect(spec, NULL, 0, 10, &out, &errout, &e, NULL), 0);
	CHECK(e.timed_out);
	said = out.len > 0;
	if (said)
		CHECK_STR(out.data, "first\n");
	free(out.data);
	free(errout.data);
	return said;
}

TEST(collect_with_time_limit)
{
	struct dv_spec *spec;
	int ms = 100;

	try_open();
	spec = try_spec("echo first; exec sleep 1000");
	while (!says_within(spec, ms)) {
		ms *= 3;
		CHECK(ms < 20000);
	}
	dv_spec_free(spec);
	try_close();
}
