/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/test.h"
#include "engine/cap_name.h"
#include "engine/seccomp.h"
#include "engine/seccomp_json.h"
#include "engine/seccomp_try.h"

#define BPF_BUF DV_BUF_INIT(BPF_MAXINSNS * sizeof(struct sock_filter))

/* The call that the profiles here talk about; it does nothing by itself. */
#define PROBE "getpriority"
#define MARK  77 /* no errno that the kernel gives for it */

/* Everything is allowed but what @entries say about the probe. */
#define OPEN_WITH(entries) \
	"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[" entries "]}"
#define REFUSE(rest)                                                \
	"{\"names\":[\"" PROBE "\"],\"action\":\"SCMP_ACT_ERRNO\"," \
	"\"errnoRet\":77" rest "}"
#define ACT(action) "{\"names\":[\"" PROBE "\"],\"action\":\"" action "\"}"
#define ARG(index, value) \
	"{\"index\":" #index ",\"value\":" #value ",\"op\":\"SCMP_CMP_EQ\"}"

#ifdef __x86_64__
#define NATIVE       "amd64"
#define FOREIGN      "arm64"
#define NATIVE_ARCH  "SCMP_ARCH_X86_64"
#define FOREIGN_ARCH "SCMP_ARCH_AARCH64"
#else
#define NATIVE       "arm64"
#define FOREIGN      "amd64"
#define NATIVE_ARCH  "SCMP_ARCH_AARCH64"
#define FOREIGN_ARCH "SCMP_ARCH_X86_64"
#endif

/* What a child gets for the probe with these arguments under @json. */
static int probe(const char *json, uint64_t caps, unsigned long a,
		 unsigned long b)
{
	struct try_call call = { SYS_getpriority, { a, b } };
	struct dv_err err = DV_ERR_INIT;
	dv_autobuf bpf = BPF_BUF;
	int r = dv_seccomp_compile("t.json", json, strlen(json), caps, &bpf,
				   &err);

	if (r < 0)
		print_error("%s\n", err.msg);
	CHECK_EQ(r, 0);
	return try_errno((const struct sock_filter *)(const void *)bpf.data,
			 bpf.len / sizeof(struct sock_filter), &call);
}

/* ---- what a profile means -------------------------------------------- */

TEST(profile_errno_is_given)
{
	CHECK_EQ(probe(OPEN_WITH(REFUSE("")), 0, 0, 0), MARK);
	CHECK_EQ(probe(OPEN_WITH(ACT("SCMP_ACT_ERRNO")), 0, 0, 0), EPERM);
	CHECK_EQ(probe(OPEN_WITH("{\"name\":\"" PROBE "\","
				 "\"action\":\"SCMP_ACT_ERRNO\"}"),
		       0, 0, 0),
		 EPERM);
	CHECK_EQ(probe(OPEN_WITH("{\"names\":[\"getpid\"],"
				 "\"action\":\"SCMP_ACT_ERRNO\"}"),
		       0, 0, 0),
		 0);
}

TEST(profile_default_errno_is_given)
{
	CHECK_EQ(probe("{\"defaultAction\":\"SCMP_ACT_ERRNO\","
		       "\"defaultErrnoRet\":77,\"syscalls\":[{\"names\":"
		       "[\"exit_group\"],\"action\":\"SCMP_ACT_ALLOW\"}]}",
		       0, 0, 0),
		 MARK);
}

TEST(profile_null_is_absent_and_default_again_is_nothing)
{
	CHECK_EQ(probe("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"archMap\":null,"
		       "\"syscalls\":[{\"names\":[\"" PROBE "\"],\"args\":null,"
		       "\"includes\":null,\"action\":\"SCMP_ACT_ALLOW\"}]}",
		       0, 0, 0),
		 0);
}

TEST(profile_kill_kills)
{
	CHECK_EQ(probe(OPEN_WITH(ACT("SCMP_ACT_KILL")), 0, 0, 0), TRY_KILLED);
	CHECK_EQ(probe(OPEN_WITH(ACT("SCMP_ACT_KILL_PROCESS")), 0, 0, 0),
		 TRY_KILLED);
	CHECK_EQ(probe(OPEN_WITH(ACT("SCMP_ACT_TRAP")), 0, 0, 0), TRY_KILLED);
	CHECK_EQ(probe(OPEN_WITH(ACT("SCMP_ACT_LOG")), 0, 0, 0), 0);
	/* Nobody traces the child: the kernel answers in the tracer's place. */
	CHECK_EQ(probe(OPEN_WITH(ACT("SCMP_ACT_TRACE")), 0, 0, 0), ENOSYS);
}

TEST(profile_names_of_elsewhere_are_skipped)
{
	CHECK_EQ(probe(OPEN_WITH("{\"names\":[\"no_such_call\",\"socketcall\","
				 "\"" PROBE "\",\"s390_pci_mmio_read\"],"
				 "\"action\":\"SCMP_ACT_ERRNO\","
				 "\"errnoRet\":77}"),
		       0, 0, 0),
		 MARK);
	CHECK_EQ(probe(OPEN_WITH("{\"names\":[],\"action\":\"SCMP_ACT_KILL\"}"),
		       0, 0, 0),
		 0);
}

/* Does the comparison hold for argument 1? Then the probe is refused. */
TEST(profile_every_operator_compares_64_bits)
{
	static const struct {
		const char *op;
		uint64_t value, two, arg;
		bool holds;
	} rows[] = {
		{ "EQ", 5, 0, 5, true },
		{ "EQ", 5, 0, 5 | UINT64_C(1) << 32, false },
		{ "EQ", UINT64_MAX, 0, UINT64_MAX, true },
		{ "EQ", UINT64_MAX, 0, UINT32_MAX, false },
		{ "EQ", UINT64_MAX - 1, 0, UINT64_MAX, false },
		{ "NE", 5, 0, 5, false },
		{ "NE", 5, 0, 6, true },
		{ "LT", UINT64_C(1) << 32, 0, UINT32_MAX, true },
		{ "LT", UINT64_C(1) << 32, 0, UINT64_C(1) << 32, false },
		{ "LE", UINT64_C(1) << 32, 0, UINT64_C(1) << 32, true },
		{ "LE", 7, 0, 8, false },
		{ "GE", 7, 0, 7, true },
		{ "GE", 7, 0, 6, false },
		{ "GT", UINT64_MAX - 1, 0, UINT64_MAX, true },
		{ "GT", 7, 0, 7, false },
		{ "MASKED_EQ", 0xf0, 0x30, 0x3f, true },
		{ "MASKED_EQ", 0xf0, 0x30, 0x4f, false },
		{ "MASKED_EQ", 0xffffffff, 2, 2 | UINT64_C(1) << 40, true },
	};
	char json[512];

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		bool refused;

		snprintf(json, sizeof(json),
			 OPEN_WITH(REFUSE(",\"args\":[{\"index\":1,\"value\":"
					  "%llu,\"valueTwo\":%llu,\"op\":"
					  "\"SCMP_CMP_%s\"}]")),
			 (unsigned long long)rows[i].value,
			 (unsigned long long)rows[i].two, rows[i].op);
		refused = probe(json, 0, 99, rows[i].arg) == MARK;
		if (refused != rows[i].holds)
			print_error("row %zu, %s\n", i, json);
		CHECK_EQ(refused, rows[i].holds);
	}
}

TEST(profile_different_arguments_must_all_match)
{
	const char *json =
		OPEN_WITH(REFUSE(",\"args\":[" ARG(0, 98) "," ARG(1, 7) "]"));

	CHECK_EQ(probe(json, 0, 98, 7), MARK);
	CHECK_EQ(probe(json, 0, 98, 8), EINVAL);
	CHECK_EQ(probe(json, 0, 99, 7), EINVAL);
}

TEST(profile_one_argument_twice_is_either)
{
	const char *json =
		OPEN_WITH(REFUSE(",\"args\":[" ARG(0, 98) "," ARG(0, 99) "]"));

	CHECK_EQ(probe(json, 0, 98, 0), MARK);
	CHECK_EQ(probe(json, 0, 99, 0), MARK);
	CHECK_EQ(probe(json, 0, 97, 0), EINVAL);
}

TEST(profile_conditions_decide)
{
	const uint64_t caps = UINT64_C(1) << CAP_SYS_ADMIN | UINT64_C(1)
								     << CAP_BPF;
	static const struct {
		const char *rest;
		bool counts;
	} rows[] = {
		{ "", true },
		{ ",\"includes\":{}", true },
		{ ",\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}", true },
		{ ",\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\",\"CAP_BPF\"]}",
		  true },
		{ ",\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\",\"CAP_KILL\"]}",
		  false },
		{ ",\"includes\":{\"caps\":[\"CAP_NONE_SUCH\"]}", false },
		{ ",\"excludes\":{\"caps\":[\"CAP_SYS_ADMIN\",\"CAP_KILL\"]}",
		  false },
		{ ",\"excludes\":{\"caps\":[\"CAP_KILL\"]}", true },
		{ ",\"includes\":{\"minKernel\":\"4.8\"}", true },
		{ ",\"includes\":{\"minKernel\":\"999.0\"}", false },
		{ ",\"excludes\":{\"minKernel\":\"4.8\"}", false },
		{ ",\"excludes\":{\"minKernel\":\"999.0\"}", true },
		{ ",\"includes\":{\"arches\":[\"" NATIVE "\",\"x32\"]}", true },
		{ ",\"includes\":{\"arches\":[\"" FOREIGN "\"]}", false },
		{ ",\"excludes\":{\"arches\":[\"" NATIVE "\"]}", false },
		{ ",\"excludes\":{\"arches\":[\"" FOREIGN "\"]}", true },
		{ ",\"includes\":{\"caps\":[\"CAP_BPF\"]},"
		  "\"excludes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}",
		  false },
	};
	char json[512];

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		int got;

		snprintf(json, sizeof(json), OPEN_WITH(REFUSE("%s")),
			 rows[i].rest);
		got = probe(json, caps, 0, 0);
		if (got != (rows[i].counts ? MARK : 0))
			print_error("%s\n", json);
		CHECK_EQ(got, rows[i].counts ? MARK : 0);
	}
}

TEST(profile_architectures_and_map_are_taken)
{
	CHECK_EQ(probe("{\"defaultAction\":\"SCMP_ACT_ALLOW\","
		       "\"architectures\":[\"" NATIVE_ARCH "\"],"
		       "\"archMap\":[{\"architecture\":\"SCMP_ARCH_NOVEL\","
		       "\"subArchitectures\":[\"SCMP_ARCH_NOVEL32\"]},"
		       "{\"architecture\":\"" NATIVE_ARCH "\","
		       "\"subArchitectures\":[\"" FOREIGN_ARCH "\"]}],"
		       "\"flags\":[\"SECCOMP_FILTER_FLAG_TSYNC\"],"
		       "\"syscalls\":[" REFUSE("") "]}",
		       0, 0, 0),
		 MARK);
}

/* ---- what is refused ------------------------------------------------ */

static void check_error(const char *json, size_t len, const char *want)
{
	struct dv_err err = DV_ERR_INIT;
	dv_autobuf bpf = BPF_BUF;
	int r = dv_seccomp_compile("t.json", json, len, 0, &bpf, &err);

	if (r >= 0 || strcmp(err.msg, want) != 0)
		print_error("got \"%s\"\nnot \"%s\"\n", err.msg, want);
	CHECK(r < 0);
	CHECK_STR(err.msg, want);
	CHECK_EQ(err.code, DV_INVALID);
	CHECK_EQ(bpf.len, 0);
}

struct bad_row {
	const char *json, *want;
};

static void check_bad_rows(const struct bad_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check_error(rows[i].json, strlen(rows[i].json), rows[i].want);
}

TEST(profile_malformed_json_says_line_and_column)
{
	static const struct bad_row rows[] = {
		{ "", "t.json:1:1: unexpected end" },
		{ "  ", "t.json:1:3: unexpected end" },
		{ "[]", "t.json:1:3: the profile must be an object" },
		{ "{\n  \"defaultAction\" \"x\"}",
		  "t.json:2:19: object property name separator ':' expected" },
		{ "{\"a\":1}\n\nx", "t.json:3:1: unexpected character" },
		{ "{\"a\":[1,]}", "t.json:1:9: unexpected character" },
		{ "{\"a\":\n 18446744073709551616}",
		  "t.json:2:2: number out of range" },
	};

	check_bad_rows(rows, DV_ARRAY_LEN(rows));
}

TEST(profile_errors_at_the_top_name_the_key)
{
	static const struct bad_row rows[] = {
		{ "{}", "t.json: defaultAction: is missing" },
		{ "{\"defaultAction\":1}",
		  "t.json: defaultAction: must be a string" },
		{ "{\"defaultAction\":\"SCMP_ACT_\\u0000\"}",
		  "t.json: defaultAction: contains a NUL" },
		{ "{\"defaultAction\":\"ALL\\u001b[2J\"}",
		  "t.json: defaultAction: unknown action \"ALL?[2J\"" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\","
		  "\"defaultErrnoRet\":4096}",
		  "t.json: defaultErrnoRet: must be 0 to 4095" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\","
		  "\"defaultErrnoRet\":\"EPERM\"}",
		  "t.json: defaultErrnoRet: must be an integer" },
		{ "{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}",
		  "t.json: defaultAction: SCMP_ACT_NOTIFY is not supported: "
		  "nobody would answer the notifications" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":{}}",
		  "t.json: syscalls: must be an array" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\","
		  "\"architectures\":[\"SCMP_ARCH_PDP11\"]}",
		  "t.json: architectures: unknown architecture "
		  "\"SCMP_ARCH_PDP11\"" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\","
		  "\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"]}",
		  "t.json: flags: unsupported flag "
		  "\"SECCOMP_FILTER_FLAG_LOG\"" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\","
		  "\"archMap\":[{\"subArchitectures\":[]}]}",
		  "t.json: archMap[0].architecture: is missing" },
	};

	check_bad_rows(rows, DV_ARRAY_LEN(rows));
}

TEST(profile_errors_in_entries_name_the_path)
{
	static const struct bad_row rows[] = {
		{ OPEN_WITH("7"), "t.json: syscalls[0]: must be an object" },
		{ OPEN_WITH(REFUSE("") ",{\"names\":[\"read\"]}"),
		  "t.json: syscalls[1].action: is missing" },
		{ OPEN_WITH("{\"action\":\"SCMP_ACT_ALLOW\"}"),
		  "t.json: syscalls[0].names: is missing" },
		{ OPEN_WITH("{\"action\":\"SCMP_ACT_KILL\",\"names\":[1]}"),
		  "t.json: syscalls[0].names[0]: must be a string without "
		  "NUL" },
		{ OPEN_WITH(ACT("SCMP_ACT_NOTIFY")),
		  "t.json: syscalls[0].action: SCMP_ACT_NOTIFY is not "
		  "supported: nobody would answer the notifications" },
		{ OPEN_WITH(REFUSE(",\"args\":[{\"index\":6}]")),
		  "t.json: syscalls[0].args[0].index: must be 0 to 5" },
		{ OPEN_WITH(REFUSE(",\"args\":[{\"index\":0}]")),
		  "t.json: syscalls[0].args[0].value: is missing" },
		{ OPEN_WITH(REFUSE(",\"args\":[{\"index\":0,\"value\":-1,"
				   "\"op\":\"SCMP_CMP_EQ\"}]")),
		  "t.json: syscalls[0].args[0].value: must be 0 to "
		  "18446744073709551615" },
		{ OPEN_WITH(REFUSE(",\"args\":[{\"index\":0,\"value\":1.5,"
				   "\"op\":\"SCMP_CMP_EQ\"}]")),
		  "t.json: syscalls[0].args[0].value: must be an integer" },
		{ OPEN_WITH(REFUSE(",\"args\":[" ARG(
			  0, 1) ",{\"index\":1,"
				"\"value\":1,\"op\":\"SCMP_CMP_XX\"}]")),
		  "t.json: syscalls[0].args[1].op: unknown operator "
		  "\"SCMP_CMP_XX\"" },
		{ OPEN_WITH(REFUSE(",\"includes\":{\"caps\":\"CAP_KILL\"}")),
		  "t.json: syscalls[0].includes.caps: must be an array" },
		{ OPEN_WITH(REFUSE(",\"excludes\":{\"minKernel\":\"new\"}")),
		  "t.json: syscalls[0].excludes.minKernel: must be like "
		  "\"4.8\"" },
		{ OPEN_WITH(REFUSE(",\"excludes\":[]")),
		  "t.json: syscalls[0].excludes: must be an object" },
	};

	check_bad_rows(rows, DV_ARRAY_LEN(rows));
}

TEST(profile_nul_in_the_text_is_an_error)
{
	static const char json[] = "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}\0{}";

	check_error(json, sizeof(json) - 1,
		    "t.json:1:35: unexpected character");
}

/* @n times @item with commas between, inside @head and @tail. */
static char *repeat(const char *head, const char *item, size_t n,
		    const char *tail, size_t *lenp)
{
	dv_autobuf b = DV_BUF_INIT(1 << 22);

	dv_buf_puts(&b, head);
	for (size_t i = 0; i < n; i++)
		dv_buf_putf(&b, "%s%s", i ? "," : "", item);
	dv_buf_puts(&b, tail);
	*lenp = b.len;
	return dv_buf_take(&b);
}

TEST(profile_limits_hold)
{
	const char *head = "{\"defaultAction\":\"SCMP_ACT_ALLOW\","
			   "\"syscalls\":[";
	dv_autofree char *deep = NULL, *big = NULL, *many = NULL, *wide = NULL;
	size_t len;

	deep = repeat("{\"a\":", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 1, "",
		      &len);
	check_error(deep, len, "t.json:1:37: nested too deeply");
	wide = repeat("{\"a\":[", "1", DV_SJSON_VALUES_MAX, "]}", &len);
	check_error(wide, len, "t.json:1:131076: too many values");
	many = repeat(head, "{}", 4097, "]}", &len);
	check_error(many, len, "t.json: syscalls: more than 4096 entries");
	big = repeat("{\"a\":\"", "............", 1 << 17, "\"}", &len);
	check_error(big, len, "t.json: larger than 1048576 bytes");
}

TEST(profile_with_too_many_instructions_is_refused)
{
	dv_autobuf json = DV_BUF_INIT(1 << 20), bpf = BPF_BUF;
	struct dv_err err = DV_ERR_INIT;

	dv_buf_puts(&json, "{\"defaultAction\":\"SCMP_ACT_ALLOW\","
			   "\"syscalls\":[");
	for (unsigned int i = 0; i < 1100; i++)
		dv_buf_putf(&json,
			    "%s{\"names\":[\"ioctl\"],\"action\":"
			    "\"SCMP_ACT_ERRNO\",\"args\":[{\"index\":1,"
			    "\"value\":%llu,\"op\":\"SCMP_CMP_EQ\"}]}",
			    i ? "," : "", i * ((1ULL << 32) + 1));
	dv_buf_puts(&json, "]}");
	CHECK_EQ(dv_seccomp_compile("t.json", json.data, json.len, 0, &bpf,
				    &err),
		 -EINVAL);
	CHECK(strstr(err.msg, "the kernel takes 4096") != NULL);
}

TEST(profile_every_truncation_is_an_error)
{
	static const char whole[] =
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,"
		"\"architectures\":[\"" NATIVE_ARCH "\"],\"syscalls\":["
		"{\"names\":[\"read\",\"exit_group\"],\"action\":"
		"\"SCMP_ACT_ALLOW\",\"includes\":{\"minKernel\":\"4.8\","
		"\"arches\":[\"" NATIVE "\"]},\"excludes\":{\"caps\":"
		"[\"CAP_BPF\"]}},{\"names\":[\"clone\"],\"action\":"
		"\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":"
		"2114060288,\"valueTwo\":0,\"op\":\"SCMP_CMP_MASKED_EQ\"}]}]}";

	CHECK_EQ(probe(whole, 0, 0, 0), ENOSYS);
	for (size_t len = 0; len < sizeof(whole) - 1; len++) {
		/* Of exactly this size: a sanitizer sees one byte too many. */
		dv_autofree char *part = malloc(len ? len : 1);
		struct dv_err err = DV_ERR_INIT;
		dv_autobuf bpf = BPF_BUF;

		memcpy(part, whole, len);
		CHECK_EQ(dv_seccomp_compile("t.json", part, len, 0, &bpf, &err),
			 -EINVAL);
		CHECK(strstr(err.msg, "t.json:1:") == err.msg);
	}
}

TEST(capability_names_are_found)
{
	CHECK_EQ(dv_cap_number("CAP_CHOWN"), CAP_CHOWN);
	CHECK_EQ(dv_cap_number("cap_sys_admin"), CAP_SYS_ADMIN);
	CHECK_EQ(dv_cap_number("net_raw"), CAP_NET_RAW);
	CHECK_EQ(dv_cap_number("CAP_"), -EINVAL);
	CHECK_EQ(dv_cap_number("CAP_SYS"), -EINVAL);
	for (unsigned int i = 0; i < 64 && dv_cap_name(i); i++)
		CHECK_EQ(dv_cap_number(dv_cap_name(i)), i);
	CHECK(dv_cap_name(40) != NULL);
	CHECK(dv_cap_name(63) == NULL);
}
