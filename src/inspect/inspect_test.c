/* SPDX-License-Identifier: MIT */
#include "inspect/inspect.h"

#include <errno.h>
#include <string.h>

#include "base/test.h"

#include "inspect/node.h"

/* ---- a live tree ---- */

struct device {
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;
	size_t size;
	int i32;
	int64_t i64;
	float f32;
	double f64;
	bool on;
	const char *name, *none;
	char chars[8];
	uint64_t wait_ns;
	char filter[16];
	int visits; /* how often it was looked into */
};

static const struct device DEVICE = { .u8 = 200,
				      .u16 = 60000,
				      .u32 = 4000000000,
				      .u64 = UINT64_MAX,
				      .size = 7,
				      .i32 = -5,
				      .i64 = INT64_MIN,
				      .f32 = 0.5F,
				      .f64 = 0.1,
				      .on = true,
				      .name = "dev",
				      .chars = "chars",
				      .wait_ns = 1500000000,
				      .filter = "warn" };

static int set_filter(void *obj, struct dv_inspect_new *v, struct dv_err *err)
{
	struct device *d = obj;

	if (v->len >= sizeof(d->filter))
		return dv_err_set(err, ERANGE, DV_RANGE, "too long");
	if (strcmp(v->str, "silent") == 0)
		return -EPERM;
	if (strcmp(v->str, "short") == 0) {
		v->str = "trace";
		v->len = 5;
	}
	memcpy(d->filter, v->str, v->len);
	d->filter[v->len] = '\0';
	return 0;
}

#define ROW(m, kind, flags) DV_FIELD(#m, struct device, m, kind, flags)

static const struct dv_inspect_field fields[] = {
	ROW(u8, DV_FIELD_U8, DV_INSPECT_WRITABLE),
	ROW(u16, DV_FIELD_U16, DV_INSPECT_WRITABLE),
	ROW(u32, DV_FIELD_U32, DV_INSPECT_WRITABLE),
	ROW(u64, DV_FIELD_U64, DV_INSPECT_WRITABLE | DV_NODE_HEX),
	ROW(size, DV_FIELD_SIZE, DV_INSPECT_WRITABLE | DV_NODE_COUNT),
	ROW(i32, DV_FIELD_I32, DV_INSPECT_WRITABLE),
	ROW(i64, DV_FIELD_I64, DV_INSPECT_WRITABLE),
	ROW(f32, DV_FIELD_F32, DV_INSPECT_WRITABLE),
	ROW(f64, DV_FIELD_F64, DV_INSPECT_WRITABLE),
	ROW(on, DV_FIELD_BOOL, DV_INSPECT_WRITABLE),
	ROW(name, DV_FIELD_STR, DV_INSPECT_SAFE),
	ROW(none, DV_FIELD_STR, 0),
	ROW(chars, DV_FIELD_CHARS, DV_INSPECT_SENSITIVE),
	ROW(wait_ns, DV_FIELD_DURATION, 0),
	DV_FIELD_SET("trace/filter", struct device, filter, DV_FIELD_CHARS, 0,
		     set_filter),
};

static void device_inspect(struct dv_inspect *in, void *obj)
{
	struct device *d = obj;

	d->visits++;
	dv_inspect_fields(in, fields, DV_ARRAY_LEN(fields), d);
}

static void leaf_inspect(struct dv_inspect *in, void *obj)
{
	(void)obj;
	dv_inspect_u64(in, "x", 1, DV_INSPECT_SAFE);
	dv_inspect_u64(in, "u", 2, 0);
	dv_inspect_u64(in, "secret", 3, DV_INSPECT_SENSITIVE);
}

static void root_inspect(struct dv_inspect *in, void *obj)
{
	dv_inspect_dir(in, "dev", device_inspect, obj, 0);
	dv_inspect_u64(in, "n/a/b", 1, 0);
	dv_inspect_u64(in, "n/c", 2, 0);
	dv_inspect_dir(in, "n/a/deep", leaf_inspect, NULL, DV_INSPECT_SAFE);
	dv_inspect_dir(in, "safe", leaf_inspect, NULL, DV_INSPECT_SAFE);
	dv_inspect_dir(in, "sens", leaf_inspect, NULL, DV_INSPECT_SENSITIVE);
	dv_inspect_dir(in, "", leaf_inspect, NULL, DV_INSPECT_SAFE);
	dv_inspect_dir_u64(in, 10, leaf_inspect, NULL, DV_INSPECT_SENSITIVE);
	dv_inspect_str(in, "9", "nine", DV_INSPECT_SENSITIVE);
	dv_inspect_str(in, "a:b c", "odd", DV_INSPECT_SENSITIVE);
}

/* ---- asking ---- */

struct answer {
	struct dv_node *node, *old;
	int count;
};

static void keep(void *arg, struct dv_node *node, const struct dv_node *old)
{
	struct answer *a = arg;

	dv_node_free(a->node);
	dv_node_free(a->old);
	a->node = node;
	a->old = old ? dv_node_copy(old) : NULL;
	a->count++;
}

static void answer_free(struct answer *a)
{
	dv_node_free(a->node);
	dv_node_free(a->old);
}
#define autoanswer __attribute__((cleanup(answer_free))) struct answer

static void check_answer(const struct answer *a, const char *want)
{
	dv_autofree char *text = NULL;

	CHECK_EQ(a->count, 1);
	CHECK_EQ(dv_node_json(a->node, &text, NULL), 0);
	CHECK_STR(text, want);
}

static void ask(dv_inspect_fn *fn, void *obj, const struct dv_inspect_opts *o,
		const char *want)
{
	autoanswer a = { 0 };
	struct dv_inspect_req *req;

	CHECK_EQ(dv_inspect_start(&req, NULL, o, fn, obj, keep, &a), 0);
	CHECK(!req);
	check_answer(&a, want);
}

#define LEVEL(l)  .limit = DV_SENS_##l
#define OPTS(...) (&(struct dv_inspect_opts){ __VA_ARGS__ })

static void check(const char *path, uint32_t depth, const char *want)
{
	struct device d = DEVICE;

	ask(root_inspect, &d, OPTS(path, NULL, depth, LEVEL(SENSITIVE)), want);
}

#define NOT_FOUND "{\"$error\":\"not found\"}"
#define NOT_A_DIR "{\"$error\":\"not a directory\"}"
#define IMMUTABLE "{\"$error\":\"immutable node\"}"
#define LEAF      "{\"secret\":3,\"u\":2,\"x\":1}"

TEST(depth_counts_levels_below_the_target)
{
	check("", 0,
	      "{\"9\":\"nine\",\"10\":null,\"a:b c\":\"odd\",\"dev\":null,"
	      "\"n\":null,\"safe\":null,\"secret\":3,\"sens\":null,\"u\":2,"
	      "\"x\":1}");
	check("n", 0, "{\"a\":null,\"c\":2}");
	check("n", 1, "{\"a\":{\"b\":1,\"deep\":null},\"c\":2}");
	check("n", 2, "{\"a\":{\"b\":1,\"deep\":" LEAF "},\"c\":2}");
	check("n", DV_INSPECT_ALL,
	      "{\"a\":{\"b\":1,\"deep\":" LEAF "},\"c\":2}");
	check("n", 4096, "{\"a\":{\"b\":1,\"deep\":" LEAF "},\"c\":2}");
	check("n/a", 0, "{\"b\":1,\"deep\":null}");
	check("n/c", 0, "2");
}

TEST(paths_are_matched_by_component)
{
	check("///safe", 0, LEAF);
	check("safe/", 0, LEAF);
	check("n////a///b", 0, "1");
	check("n/a///", 0, "{\"b\":1,\"deep\":null}");
	check("a:b c", 0, "\"odd\"");
	check("10/x", 0, "1");
	check("x", 0, "1"); /* of the directory without a name */
	check("n/c/", 0, NOT_A_DIR);
	check("n/c/d", 0, NOT_A_DIR);
	check("n/cc", 0, NOT_FOUND);
	check("n/", 0, "{\"a\":null,\"c\":2}");
	check("na", 0, NOT_FOUND);
	check("saf", 0, NOT_FOUND);
	check("safe/none", 0, NOT_FOUND);
	check("Safe", 0, NOT_FOUND);
	check("./safe", 0, NOT_FOUND);
	check("dev/none", 0, NOT_FOUND);
}

TEST(long_paths_are_not_found)
{
	char path[2 * DV_INSPECT_PATH_MAX];

	memset(path, 'a', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	check(path, 0, NOT_FOUND);
	for (size_t i = 0; i + 1 < sizeof(path); i += 2)
		path[i] = '/';
	check(path, 0, NOT_FOUND);
}

TEST(only_what_was_asked_for_is_visited)
{
	struct device d = DEVICE;

	ask(root_inspect, &d, OPTS("safe", NULL, 9, LEVEL(SENSITIVE)), LEAF);
	ask(root_inspect, &d, OPTS("n/a/b", NULL, 9, LEVEL(SENSITIVE)), "1");
	CHECK_EQ(d.visits, 0);
	ask(root_inspect, &d, OPTS("dev/u8", NULL, 9, LEVEL(SENSITIVE)), "200");
	CHECK_EQ(d.visits, 1);
}

TEST(fields_of_every_kind_are_shown)
{
	check("dev", 1,
	      "{\"chars\":\"chars\",\"f32\":0.5,\"f64\":0.1,\"i32\":-5,"
	      "\"i64\":-9223372036854775808,\"name\":\"dev\",\"on\":true,"
	      "\"size\":7,\"trace\":{\"filter\":\"warn\"},\"u8\":200,"
	      "\"u16\":60000,\"u32\":4000000000,"
	      "\"u64\":\"0xffffffffffffffff\",\"wait_ns\":\"1.500000000s\"}");
}

TEST(sensitivity_hides_entries_and_what_is_below)
{
	struct device d = DEVICE;

	ask(root_inspect, &d, OPTS("", NULL, DV_INSPECT_ALL, LEVEL(SAFE)),
	    "{\"n\":{\"a\":{\"deep\":{\"x\":1}}},\"safe\":{\"x\":1},\"x\":1}");
	ask(root_inspect, &d,
	    OPTS("safe", NULL, DV_INSPECT_ALL, LEVEL(UNSPECIFIED)),
	    "{\"u\":2,\"x\":1}");
	ask(root_inspect, &d, OPTS("sens/x", NULL, 0, LEVEL(UNSPECIFIED)),
	    NOT_FOUND);
	ask(root_inspect, &d, OPTS("safe/u", NULL, 0, LEVEL(SAFE)), NOT_FOUND);
	ask(root_inspect, &d, OPTS("safe/u", NULL, 0, LEVEL(UNSPECIFIED)), "2");
	CHECK_EQ(dv_inspect_start(&(struct dv_inspect_req *){ 0 }, NULL,
				  OPTS("", NULL, 0, .limit = 0), root_inspect,
				  &d, keep, NULL),
		 -EINVAL);
}

static void merge_inspect(struct dv_inspect *in, void *obj)
{
	dv_inspect_u64(in, "v", 1, 0);
	dv_inspect_u64(in, "v", 2, 0);
	dv_inspect_dir(in, "d", leaf_inspect, obj, 0);
	dv_inspect_u64(in, "d/more", 4, 0);
	dv_inspect_u64(in, "d", 5, 0); /* loses against the directory */
	dv_inspect_fail(in, "gone", DV_NODE_CHANNEL, "closed", 0);
	dv_inspect_bytes(in, "raw", "\1\2", 2, 0);
	dv_inspect_strn(in, "part", "abcdef", 3, 0);
	dv_inspect_hex(in, "hex", 255, 0);
	dv_inspect_str(in, "", "nameless values are nothing", 0);
	dv_inspect_str(in, "null", NULL, 0);
}

TEST(entries_of_one_name_are_merged)
{
	static const char all[] =
		"{\"d\":{\"more\":4,\"secret\":3,\"u\":2,\"x\":1},\"gone\":{"
		"\"$error\":\"channel error: closed\"},\"hex\":\"0xff\","
		"\"part\":\"abc\",\"raw\":\"AQI\",\"v\":2}";

	ask(merge_inspect, NULL,
	    OPTS("", NULL, DV_INSPECT_ALL, LEVEL(SENSITIVE)), all);
	ask(merge_inspect, NULL, OPTS("d", NULL, 0, LEVEL(SENSITIVE)),
	    "{\"more\":4,\"secret\":3,\"u\":2,\"x\":1}");
	ask(merge_inspect, NULL, OPTS("d/more", NULL, 0, LEVEL(SENSITIVE)),
	    "4");
}

static void wants_inspect(struct dv_inspect *in, void *obj)
{
	(void)obj;
	CHECK(dv_inspect_wants(in, "a", 0));
	CHECK(dv_inspect_wants(in, "a/b/c", 0));
	CHECK(!dv_inspect_wants(in, "a", DV_INSPECT_SENSITIVE));
	CHECK(!dv_inspect_wants(in, "b", 0));
	CHECK(!dv_inspect_wants(in, "a/c", 0));
}

TEST(wants_tells_what_the_path_leads_to)
{
	ask(wants_inspect, NULL, OPTS("a/b", NULL, 0, LEVEL(UNSPECIFIED)),
	    NOT_FOUND);
}

static void circle_inspect(struct dv_inspect *in, void *obj)
{
	dv_inspect_dir(in, "self", circle_inspect, obj, 0);
}

TEST(objects_in_a_circle_end_at_the_limit)
{
	autoanswer a = { 0 };
	struct dv_inspect_req *req;
	const struct dv_node *at;
	int levels = 0;

	CHECK_EQ(dv_inspect_start(&req, NULL,
				  OPTS("self/self", NULL, DV_INSPECT_ALL,
				       LEVEL(SENSITIVE)),
				  circle_inspect, NULL, keep, &a),
		 0);
	for (at = a.node; at; at = dv_node_child(at, 0))
		levels++;
	CHECK_EQ(levels, DV_INSPECT_DEPTH_MAX + 2);
}

static void flood_inspect(struct dv_inspect *in, void *obj)
{
	(void)obj;
	for (int i = 0; i <= DV_NODE_MAX; i++)
		dv_inspect_bool(in, "x", true, 0);
}

TEST(too_many_entries_are_refused)
{
	ask(flood_inspect, NULL, OPTS("", NULL, 0, LEVEL(SENSITIVE)),
	    "{\"$error\":\"channel error: too many entries, ask for a path "
	    "below\"}");
}

/* ---- updates ---- */

static void update(struct device *d, const char *path, const char *text,
		   const char *want, const char *want_old)
{
	autoanswer a = { 0 };
	struct dv_inspect_req *req;
	dv_autofree char *old = NULL;

	CHECK_EQ(dv_inspect_start(&req, NULL,
				  OPTS(path, text, 0, LEVEL(UNSPECIFIED)),
				  root_inspect, d, keep, &a),
		 0);
	check_answer(&a, want);
	if (a.old)
		CHECK_EQ(dv_node_json(a.old, &old, NULL), 0);
	CHECK_STR(old ? old : "", want_old);
}

TEST(updates_return_the_new_and_the_old_value)
{
	struct device d = DEVICE;

	update(&d, "dev/u8", "255", "255", "200");
	update(&d, "dev/u16", "+7", "7", "60000");
	update(&d, "dev/u32", "0", "0", "4000000000");
	update(&d, "dev/u64", "16", "\"0x10\"", "\"0xffffffffffffffff\"");
	update(&d, "dev/size", "1", "1", "7");
	update(&d, "dev/i32", "-2147483648", "-2147483648", "-5");
	update(&d, "dev/i64", "-1", "-1", "-9223372036854775808");
	update(&d, "dev/f32", "1.25", "1.25", "0.5");
	update(&d, "dev/f64", "-1e3", "-1000", "0.1");
	update(&d, "dev/on", "false", "false", "true");
	update(&d, "//dev/trace///filter", "info", "\"info\"", "\"warn\"");
	update(&d, "dev/trace/filter", "short", "\"trace\"", "\"info\"");
	CHECK_EQ(d.u8, 255);
	CHECK_EQ(d.u16, 7);
	CHECK_EQ(d.u32, 0);
	CHECK_EQ(d.u64, 16);
	CHECK_EQ(d.i32, INT32_MIN);
	CHECK_EQ(d.i64, -1);
	CHECK(d.f32 == 1.25F && d.f64 == -1000 && !d.on);
	CHECK_STR(d.filter, "trace");
}

#define UPDATE_ERROR(text) "{\"$error\":\"update error: " text "\"}"
#define BAD_DIGIT          UPDATE_ERROR("invalid digit found in string")
#define TOO_LARGE          UPDATE_ERROR("number too large to fit in target type")
#define TOO_SMALL          UPDATE_ERROR("number too small to fit in target type")
#define BAD_FLOAT          UPDATE_ERROR("invalid float literal")
#define BAD_BOOL           UPDATE_ERROR("provided string was not `true` or `false`")

TEST(updates_with_wrong_texts_are_refused_and_change_nothing)
{
	static const struct {
		const char *path, *text, *want;
	} cases[] = {
		{ "dev/u8", "256", TOO_LARGE },
		{ "dev/u8", "0x10", BAD_DIGIT },
		{ "dev/u8", "-1", BAD_DIGIT },
		{ "dev/u8", "1_0", BAD_DIGIT },
		{ "dev/u8", " 1", BAD_DIGIT },
		{ "dev/u8", "1 ", BAD_DIGIT },
		{ "dev/u8", "+", BAD_DIGIT },
		{ "dev/u8", "++1", BAD_DIGIT },
		{ "dev/u8", "",
		  UPDATE_ERROR("cannot parse integer from empty string") },
		{ "dev/u64", "18446744073709551616", TOO_LARGE },
		{ "dev/i32", "2147483648", TOO_LARGE },
		{ "dev/i32", "-2147483649", TOO_SMALL },
		{ "dev/i32", "+-1", BAD_DIGIT },
		{ "dev/i32", "-", BAD_DIGIT },
		{ "dev/f64", "0x1p3", BAD_FLOAT },
		{ "dev/f64", "1.", "1" },
		{ "dev/f64", ".5", "0.5" },
		{ "dev/f64", "-Inf", "\"-inf\"" },
		{ "dev/f64", "nan", "\"NaN\"" },
		{ "dev/f64", "nan(1)", BAD_FLOAT },
		{ "dev/f64", ".", BAD_FLOAT },
		{ "dev/f64", "1e", BAD_FLOAT },
		{ "dev/f64", " 1", BAD_FLOAT },
		{ "dev/f64", "",
		  UPDATE_ERROR("cannot parse float from empty string") },
		{ "dev/on", "True", BAD_BOOL },
		{ "dev/on", "1", BAD_BOOL },
		{ "dev/trace/filter", "far too long for it",
		  UPDATE_ERROR("too long") },
		{ "dev/trace/filter", "silent",
		  UPDATE_ERROR("Operation not permitted") },
		{ "dev/trace/filter", "\xff",
		  UPDATE_ERROR("the text is not UTF-8") },
		{ "dev/trace/filter/", "info", NOT_A_DIR },
		{ "dev/trace/filter/x", "info", NOT_A_DIR },
		{ "dev/trace", "info", IMMUTABLE },
		{ "dev", "info", IMMUTABLE },
		{ "", "info", IMMUTABLE },
		{ "n/c", "1", IMMUTABLE },
		{ "n", "1", IMMUTABLE },
		{ "n/a", "1", IMMUTABLE },
		{ "dev/name", "x", IMMUTABLE },
		{ "dev/chars", "x", NOT_FOUND }, /* above the limit */
		{ "nothing", "x", NOT_FOUND },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++) {
		struct device d = DEVICE;
		autoanswer a = { 0 };
		struct dv_inspect_req *req;

		CHECK_EQ(dv_inspect_start(&req, NULL,
					  OPTS(cases[i].path, cases[i].text, 0,
					       LEVEL(UNSPECIFIED)),
					  root_inspect, &d, keep, &a),
			 0);
		check_answer(&a, cases[i].want);
		d.visits = 0;
		if (cases[i].want[0] == '{') {
			CHECK(!a.old);
			assert_memory_equal(&d, &DEVICE, sizeof(d));
		}
	}
}

/* ---- deferred ---- */

struct slow {
	struct dv_deferred *h[3];
	uint32_t flags;
	int ended;
};

static void on_end(void *arg)
{
	struct slow *s = arg;

	s->ended++;
	/* Whoever hears of the end may let all go. */
	for (size_t i = 0; i < DV_ARRAY_LEN(s->h); i++)
		s->h[i] = dv_deferred_drop(s->h[i]);
}

static void slow_inspect(struct dv_inspect *in, void *obj)
{
	static const char *const names[] = { "a", "b/c", "d" };
	struct slow *s = obj;

	for (size_t i = 0; i < DV_ARRAY_LEN(s->h); i++) {
		s->h[i] = dv_inspect_defer(in, names[i], s->flags);
		if (s->h[i])
			dv_deferred_on_end(s->h[i], on_end, s);
	}
	dv_inspect_u64(in, "now", 1, 0);
}

static void slow_root(struct dv_inspect *in, void *obj)
{
	dv_inspect_dir(in, "slow", slow_inspect, obj, 0);
}

struct asked {
	struct dv_loop *loop;
	struct dv_inspect_req *req;
	struct answer a;
	struct slow s;
};

static void asked_free(struct asked *q)
{
	answer_free(&q->a);
	dv_loop_free(q->loop);
}
#define autoasked __attribute__((cleanup(asked_free))) struct asked

static void ask_slow(struct asked *q, const struct dv_inspect_opts *o)
{
	CHECK_EQ(dv_loop_new(&q->loop), 0);
	CHECK_EQ(dv_inspect_start(&q->req, q->loop, o, slow_root, &q->s, keep,
				  &q->a),
		 0);
}

TEST(deferred_entries_are_answered_in_any_order)
{
	autoasked q = { 0 };

	ask_slow(&q, OPTS("slow", NULL, DV_INSPECT_ALL, LEVEL(SENSITIVE)));
	CHECK(q.req);
	CHECK(q.s.h[0] && q.s.h[1] && q.s.h[2]);
	CHECK_STR(dv_deferred_path(q.s.h[1]), "");
	CHECK(!dv_deferred_update(q.s.h[1]));
	CHECK_EQ(dv_deferred_limit(q.s.h[1]), DV_SENS_SENSITIVE);
	dv_deferred_node(q.s.h[2], dv_node_string("late", 4));
	dv_deferred_dir(q.s.h[0], leaf_inspect, NULL);
	CHECK_EQ(q.a.count, 0);
	dv_deferred_fail(q.s.h[1], DV_NODE_CHANNEL, "gone");
	check_answer(&q.a, "{\"a\":" LEAF ",\"b\":{\"c\":{\"$error\":"
			   "\"channel error: gone\"}},\"d\":\"late\","
			   "\"now\":1}");
	CHECK_EQ(q.s.ended, 0);
}

TEST(deferred_entry_that_is_dropped_is_unresolved)
{
	autoasked q = { 0 };

	ask_slow(&q, OPTS("slow", NULL, DV_INSPECT_ALL, LEVEL(SENSITIVE)));
	dv_deferred_node(q.s.h[0], dv_node_failed(DV_NODE_NOT_FOUND, NULL));
	dv_deferred_node(q.s.h[1], NULL);
	dv_deferred_drop(q.s.h[2]);
	check_answer(&q.a, "{\"b\":{\"c\":{\"$error\":\"unresolved\"}},\"d\":{"
			   "\"$error\":\"unresolved\"},\"now\":1}");
}

TEST(deferred_entries_without_answer_are_unresolved_at_the_deadline)
{
	autoasked q = { 0 };
	uint64_t deadline = dv_now_ns() + 1000000;

	ask_slow(&q, OPTS("slow", NULL, DV_INSPECT_ALL, LEVEL(SENSITIVE),
			  .deadline_ns = deadline));
	CHECK_EQ(dv_deferred_deadline(q.s.h[1]), deadline);
	dv_deferred_node(q.s.h[1], dv_node_unsigned(5, 0));
	q.s.h[1] = NULL;
	while (q.a.count == 0)
		CHECK(dv_loop_dispatch(q.loop, -1) >= 0);
	check_answer(&q.a, "{\"a\":{\"$error\":\"unresolved\"},\"b\":{\"c\":5},"
			   "\"d\":{\"$error\":\"unresolved\"},\"now\":1}");
	CHECK_EQ(q.s.ended, 1); /* the first one let the other go */
}

static void no_end(void *arg)
{
	(void)arg;
}

TEST(answers_after_the_end_are_swallowed)
{
	autoasked q = { 0 };

	ask_slow(&q, OPTS("slow", NULL, DV_INSPECT_ALL, LEVEL(SENSITIVE)));
	for (int i = 0; i < 3; i++)
		dv_deferred_on_end(q.s.h[i], no_end, NULL);
	q.req = dv_inspect_cancel(q.req);
	CHECK_STR(dv_deferred_path(q.s.h[0]), "");
	dv_deferred_node(q.s.h[0], dv_node_unsigned(1, 0));
	dv_deferred_dir(q.s.h[1], leaf_inspect, NULL);
	dv_deferred_fail(q.s.h[2], DV_NODE_INTERNAL, NULL);
	CHECK_EQ(q.a.count, 0);
}

TEST(cancel_tells_the_deferred_and_never_answers)
{
	autoasked q = { 0 };

	ask_slow(&q, OPTS("", NULL, DV_INSPECT_ALL, LEVEL(SENSITIVE),
			  .deadline_ns = dv_now_ns() + 1000000));
	q.req = dv_inspect_cancel(q.req);
	CHECK_EQ(q.s.ended, 1);
	CHECK_EQ(q.a.count, 0);
	dv_inspect_cancel(NULL);
}

TEST(deferred_entries_know_what_is_asked_below)
{
	static const struct {
		const char *path;
		uint32_t depth;
		const char *rest; /* NULL: not asked */
		uint32_t below;
	} cases[] = {
		{ "slow", 0, NULL, 0 },
		{ "slow", 1, "", 0 },
		{ "slow", 3, "", 2 },
		{ "", 3, "", 1 },
		{ "slow/a", 0, "", 0 },
		{ "slow/a/", 2, "/", 2 },
		{ "slow//a//x/y", 7, "x/y", 7 },
		{ "slow/a/x/", 7, "x/", 7 },
		{ "slow/b", 7, NULL, 0 },
		{ "slow/now", 7, NULL, 0 },
		{ "slow/ab", 7, NULL, 0 },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++) {
		autoasked q = { 0 };
		struct dv_deferred *h;

		ask_slow(&q, OPTS(cases[i].path, NULL, cases[i].depth,
				  LEVEL(SENSITIVE)));
		h = q.s.h[0];
		CHECK_EQ(h != NULL, cases[i].rest != NULL);
		if (h) {
			CHECK_STR(dv_deferred_path(h), cases[i].rest);
			CHECK_EQ(dv_deferred_depth(h), cases[i].below);
		}
		dv_inspect_cancel(q.req);
	}
}

TEST(deferred_value_is_asked_at_any_depth)
{
	autoasked q = { .s.flags = DV_INSPECT_VALUE };

	ask_slow(&q, OPTS("slow", NULL, 0, LEVEL(SENSITIVE)));
	CHECK(q.s.h[0] && !q.s.h[1] && q.s.h[2]);
	dv_deferred_node(q.s.h[0], dv_node_unsigned(1, 0));
	dv_deferred_dir(q.s.h[2], leaf_inspect, NULL);
	check_answer(&q.a, "{\"a\":1,\"b\":null,\"d\":null,\"now\":1}");
}

/* What another tree has at @path. */
static struct dv_node *remote(void)
{
	dv_autonode struct dv_node *dir = dv_node_dir();
	struct dv_node *sub = dv_node_dir(), *low = dv_node_dir();

	dv_node_add(low, "x", DV_SENS_SAFE, dv_node_unsigned(1, 0));
	dv_node_add(sub, "low", DV_SENS_SAFE, low);
	dv_node_add(dir, "sub", DV_SENS_SAFE, sub);
	dv_node_add(dir, "key", DV_SENS_SENSITIVE, dv_node_unsigned(2, 0));
	dv_node_add(dir, "b2", DV_SENS_UNSPECIFIED, dv_node_unsigned(3, 0));
	dv_node_add(dir, "b10", DV_SENS_UNSPECIFIED, dv_node_unsigned(4, 0));
	return dv_take_ptr(&dir);
}

struct bridge {
	const char *name;
	struct dv_deferred *h;
};

static void bridge_inspect(struct dv_inspect *in, void *obj)
{
	struct bridge *b = obj;

	b->h = dv_inspect_defer(in, b->name, DV_INSPECT_SAFE);
	dv_inspect_u64(in, "own", 1, 0);
}

static void bridge(const char *name, const struct dv_inspect_opts *o,
		   struct dv_node *node, const char *want)
{
	autoasked q = { 0 };
	struct bridge b = { name, NULL };

	CHECK_EQ(dv_loop_new(&q.loop), 0);
	CHECK_EQ(dv_inspect_start(&q.req, q.loop, o, bridge_inspect, &b, keep,
				  &q.a),
		 0);
	CHECK(b.h);
	dv_deferred_node(b.h, node);
	check_answer(&q.a, want);
}

TEST(bridged_tree_is_cut_to_what_was_asked)
{
	bridge("vm", OPTS("", NULL, 2, LEVEL(UNSPECIFIED)), remote(),
	       "{\"own\":1,\"vm\":{\"b2\":3,\"b10\":4,\"sub\":{\"low\":null}}"
	       "}");
	bridge("vm", OPTS("", NULL, 1, LEVEL(SAFE)), remote(),
	       "{\"vm\":{\"sub\":null}}");
}

TEST(bridged_path_is_answered_with_what_is_there)
{
	bridge("vm", OPTS("vm/x", NULL, 1, LEVEL(SENSITIVE)), remote(),
	       "{\"b2\":3,\"b10\":4,\"key\":2,\"sub\":{\"low\":null}}");
	bridge("vm", OPTS("vm/x", NULL, 1, LEVEL(SENSITIVE)),
	       dv_node_failed(DV_NODE_NOT_FOUND, NULL), NOT_FOUND);
	bridge("vm", OPTS("vm/x/", NULL, 1, LEVEL(SENSITIVE)),
	       dv_node_failed(DV_NODE_NOT_A_DIRECTORY, NULL), NOT_A_DIR);
	bridge("vm", OPTS("vm/", NULL, 1, LEVEL(SENSITIVE)),
	       dv_node_unsigned(1, 0), NOT_A_DIR);
	bridge("vm", OPTS("vm/x", "5", 0, LEVEL(SENSITIVE)),
	       dv_node_unsigned(5, 0), "5");
}

TEST(bridged_tree_without_a_name_appears_in_its_parent)
{
	bridge("", OPTS("", NULL, 1, LEVEL(SENSITIVE)), remote(),
	       "{\"b2\":3,\"b10\":4,\"key\":2,\"own\":1,\"sub\":{\"low\":null}"
	       "}");
	bridge("", OPTS("sub", NULL, 0, LEVEL(SENSITIVE)), remote(),
	       "{\"b2\":3,\"b10\":4,\"key\":2,\"sub\":null}");
	bridge("", OPTS("", NULL, 0, LEVEL(SENSITIVE)), NULL,
	       "{\"\":{\"$error\":\"unresolved\"},\"own\":1}");
}

TEST(nothing_waits_without_a_loop)
{
	struct slow s = { 0 };

	ask(slow_root, &s, OPTS("slow/a", NULL, 0, LEVEL(SENSITIVE)),
	    "{\"$error\":\"unresolved\"}");
	CHECK_EQ(s.ended, 1);
}
