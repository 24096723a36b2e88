/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/test.h"
#include "wire/hvsock.h"

#define GUID      "-facb-11e6-bd58-64006a7986d3"
#define UNTOUCHED 77

/* The parser gets exactly @len bytes of memory: reading on is caught. */
static int connect_of(const char *text, size_t len, struct dv_hvsock_addr *addr,
		      size_t *usedp, struct dv_err *err)
{
	dv_autofree char *p = malloc(len ? len : 1);

	CHECK(p);
	memcpy(p, text, len);
	*addr = (struct dv_hvsock_addr){ UNTOUCHED, false };
	*usedp = UNTOUCHED;
	return dv_hvsock_parse_connect(p, len, addr, usedp, err);
}

static int reply_of(const char *text, size_t len, struct dv_hvsock_addr *addr,
		    size_t *usedp, struct dv_err *err)
{
	dv_autofree char *p = malloc(len ? len : 1);

	CHECK(p);
	memcpy(p, text, len);
	*addr = (struct dv_hvsock_addr){ UNTOUCHED, false };
	*usedp = UNTOUCHED;
	return dv_hvsock_parse_reply(p, len, addr, usedp, err);
}

static const struct {
	const char *line;
	uint32_t port;
	bool guid;
} requests[] = {
	{ "CONNECT 1\n", 1, false }, /* vector TV1 */
	{ "CONNECT 2\n", 2, false }, /* vector TV3 */
	{ "connect 1024\n", 1024, false },
	{ "CoNnEcT 0\n", 0, false },
	{ "CONNECT +7\n", 7, false },
	{ "CONNECT 000000000000000000000000000000000042\n", 42, false },
	{ "CONNECT 4294967295\n", UINT32_MAX, false },
	{ "CONNECT 00000001" GUID "\n", 1, true },
	{ "CONNECT deadBEEF-FACB-11e6-BD58-64006A7986D3\n", 0xdeadbeef, true },
};

TEST(connect_known_forms_are_parsed)
{
	struct dv_hvsock_addr addr;
	size_t used;

	for (size_t i = 0; i < DV_ARRAY_LEN(requests); i++) {
		size_t len = strlen(requests[i].line);

		CHECK_EQ(connect_of(requests[i].line, len, &addr, &used, NULL),
			 0);
		CHECK_EQ(addr.port, requests[i].port);
		CHECK_EQ(addr.guid, requests[i].guid);
		CHECK_EQ(used, len);
	}
}

TEST(connect_truncated_at_every_byte_asks_for_more)
{
	struct dv_hvsock_addr addr;
	size_t used;

	for (size_t i = 0; i < DV_ARRAY_LEN(requests); i++) {
		for (size_t n = 0; n < strlen(requests[i].line); n++) {
			CHECK_EQ(connect_of(requests[i].line, n, &addr, &used,
					    NULL),
				 DV_MORE);
			CHECK_EQ(used, UNTOUCHED);
			CHECK_EQ(addr.port, UNTOUCHED);
		}
	}
}

TEST(connect_bytes_behind_the_line_belong_to_the_stream)
{
	struct dv_hvsock_addr addr;
	size_t used;

	CHECK_EQ(connect_of("CONNECT 2\nCONNECT 3\n", 20, &addr, &used, NULL),
		 0);
	CHECK_EQ(addr.port, 2);
	CHECK_EQ(used, 10);
}

TEST(connect_bad_lines_are_refused_with_a_reason)
{
	static const struct {
		const char *line, *why;
	} bad[] = {
		{ "CONNECT\n", "missing CONNECT prefix" },
		{ "CONNECTED 1\n", "missing CONNECT prefix" },
		{ "X", "missing CONNECT prefix" },
		{ "CONX", "missing CONNECT prefix" },
		{ "\n", "missing CONNECT prefix" },
		{ "CONNECT \n", "invalid port or service id: " },
		{ "CONNECT +\n", "invalid port or service id: +" },
		{ "CONNECT -1\n", "invalid port or service id: -1" },
		{ "CONNECT  1\n", "invalid port or service id:  1" },
		{ "CONNECT 1 \n", "invalid port or service id: 1 " },
		{ "CONNECT 1\r\n", "invalid port or service id: 1?" },
		{ "CONNECT \xc3\xa9\n", "invalid port or service id: ??" },
		{ "CONNECT 4294967296\n",
		  "invalid port or service id: 4294967296" },
		{ "CONNECT 00000001-facb-11e6-bd58-64006a7986d4\n",
		  "invalid port or service id: "
		  "00000001-facb-11e6-bd58-64006a7986d4" },
		{ "CONNECT 0000000g" GUID "\n",
		  "invalid port or service id: 0000000g" GUID },
		{ "CONNECT {00000001" GUID "}\n",
		  "connect request did not fit" },
		{ "CONNECT 0000000000000000000000000000000000001\n",
		  "connect request did not fit" },
	};
	struct dv_hvsock_addr addr;
	size_t used;

	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		struct dv_err err = DV_ERR_INIT;

		CHECK_EQ(connect_of(bad[i].line, strlen(bad[i].line), &addr,
				    &used, &err),
			 -EBADMSG);
		CHECK_STR(err.msg, bad[i].why);
		CHECK_EQ(err.code, DV_INVALID);
		CHECK_EQ(used, UNTOUCHED);
	}
}

TEST(connect_without_newline_is_refused_at_the_limit)
{
	char line[DV_HVSOCK_LINE_MAX + 1];
	struct dv_hvsock_addr addr;
	size_t used;

	memset(line, '0', sizeof(line));
	memcpy(line, "CONNECT ", 8);
	CHECK_EQ(connect_of(line, DV_HVSOCK_LINE_MAX - 1, &addr, &used, NULL),
		 DV_MORE);
	CHECK_EQ(connect_of(line, DV_HVSOCK_LINE_MAX, &addr, &used, NULL),
		 -EBADMSG);
	line[DV_HVSOCK_LINE_MAX] = '\n'; /* one too late */
	CHECK_EQ(connect_of(line, sizeof(line), &addr, &used, NULL), -EBADMSG);
}

TEST(addr_guid_in_braces_is_parsed)
{
	static const char text[] = "{00000400" GUID "}";
	struct dv_hvsock_addr addr;

	CHECK_EQ(dv_hvsock_parse_addr(text, strlen(text), &addr, NULL), 0);
	CHECK_EQ(addr.port, 1024);
	CHECK(addr.guid);
	CHECK_EQ(dv_hvsock_parse_addr(text, strlen(text) - 1, &addr, NULL),
		 -EBADMSG);
	CHECK_EQ(dv_hvsock_parse_addr(text + 1, strlen(text) - 1, &addr, NULL),
		 -EBADMSG);
}

TEST(reply_vectors_leave_what_follows)
{
	/* TV2, and TV3: the OK line and the id of a data connection. */
	static const char tv2[] = "\x4f\x4b\x20\x31\x30\x37\x33\x37\x34\x31"
				  "\x38\x32\x34\x0a";
	static const char tv3[] = "\x4f\x4b\x20\x31\x30\x37\x33\x37\x34\x31"
				  "\x38\x32\x35\x0a\x01\0\0\0\0\0\0\0";
	struct dv_hvsock_addr addr;
	size_t used;

	CHECK_EQ(reply_of(tv2, 14, &addr, &used, NULL), 0);
	CHECK_EQ(addr.port, 1073741824);
	CHECK_EQ(used, 14);
	CHECK_EQ(reply_of(tv3, 22, &addr, &used, NULL), 0);
	CHECK_EQ(addr.port, 1073741825);
	CHECK_EQ(used, 14);
}

TEST(reply_lenient_forms_are_accepted)
{
	static const struct {
		const char *line;
		uint32_t port;
		bool guid;
	} good[] = {
		{ "OK 4294967295\n", UINT32_MAX, false },
		{ "OK 40000000" GUID "\n", 0x40000000, true },
		{ "OK 00000000-0000-0000-0000-000000000000\n", 0, false },
		{ "OK \n", 0, false },
		{ "OK whatever\n", 0, false },
		{ "OK 5\r\n", 0, false },
	};
	struct dv_hvsock_addr addr;
	size_t used;

	for (size_t i = 0; i < DV_ARRAY_LEN(good); i++) {
		size_t len = strlen(good[i].line);

		CHECK_EQ(reply_of(good[i].line, len, &addr, &used, NULL), 0);
		CHECK_EQ(addr.port, good[i].port);
		CHECK_EQ(addr.guid, good[i].guid);
		CHECK_EQ(used, len);
		for (size_t n = 0; n < len; n++)
			CHECK_EQ(reply_of(good[i].line, n, &addr, &used, NULL),
				 DV_MORE);
	}
}

TEST(reply_bad_ones_are_refused)
{
	static const struct {
		const char *line;
		int r;
	} bad[] = {
		{ "KO", -EBADMSG },
		{ "OK\n", -EBADMSG },
		{ "ok 1\n", -EBADMSG },
		{ "OK 12345678901\n", -EBADMSG }, /* a digit too many */
		{ "OK no newline within", -EBADMSG },
		{ "OK 40000000-facb-11e6-bd58-64006a7986d30", -EBADMSG },
		{ "ERR no such port\n", -ECONNREFUSED },
		{ "\x01", -EBADMSG },
	};
	struct dv_hvsock_addr addr;
	struct dv_err err;
	size_t used;

	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		err = (struct dv_err)DV_ERR_INIT;
		CHECK_EQ(reply_of(bad[i].line, strlen(bad[i].line), &addr,
				  &used, &err),
			 bad[i].r);
		CHECK(err.msg[0]);
		CHECK_EQ(used, UNTOUCHED);
	}
}

TEST(reply_err_line_shows_its_text_without_controls)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_hvsock_addr addr;
	char long_line[DV_HVSOCK_REPLY_MAX];
	size_t used;

	CHECK_EQ(reply_of("ERR no\x1b[1m port\nX", 16, &addr, &used, &err),
		 -ECONNREFUSED);
	CHECK_STR(err.msg, "refused: no?[1m port");
	memset(long_line, 'x', sizeof(long_line));
	memcpy(long_line, "ERR ", 4);
	CHECK_EQ(reply_of(long_line, sizeof(long_line) - 1, &addr, &used, NULL),
		 DV_MORE);
	CHECK_EQ(reply_of(long_line, sizeof(long_line), &addr, &used, NULL),
		 -ECONNREFUSED);
}

TEST(put_lines_are_parsed_again)
{
	static const struct dv_hvsock_addr all[] = {
		{ 0, false },          { 1, true },
		{ UINT32_MAX, false }, { UINT32_MAX, true },
		{ 0x40000000, false },
	};
	char line[DV_HVSOCK_LINE_MAX + 1], ok[DV_HVSOCK_OK_MAX + 1];
	struct dv_hvsock_addr addr;
	size_t used;

	for (size_t i = 0; i < DV_ARRAY_LEN(all); i++) {
		size_t len = dv_hvsock_put_connect(line, &all[i]);

		CHECK_EQ(strlen(line), len);
		CHECK_EQ(connect_of(line, len, &addr, &used, NULL), 0);
		CHECK_EQ(used, len);
		CHECK_EQ(addr.port, all[i].port);
		CHECK_EQ(addr.guid, all[i].guid);
		len = dv_hvsock_put_ok(ok, &all[i]);
		CHECK_EQ(reply_of(ok, len, &addr, &used, NULL), 0);
		CHECK_EQ(used, len);
		CHECK_EQ(addr.port, all[i].port);
		CHECK_EQ(addr.guid, all[i].guid);
	}
	dv_hvsock_put_connect(line, &all[1]);
	CHECK_STR(line, "CONNECT 00000001" GUID "\n");
}

TEST(put_err_is_one_line_that_fits)
{
	char out[DV_HVSOCK_ERR_MAX + 1], text[400];
	size_t len = dv_hvsock_put_err(out, "a\nb\tc");

	CHECK_STR(out, "ERR a b c\n");
	CHECK_EQ(len, 10);
	memset(text, 'y', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	len = dv_hvsock_put_err(out, text);
	CHECK_EQ(len, DV_HVSOCK_ERR_MAX);
	CHECK_EQ(out[len - 1], '\n');
	CHECK_EQ(out[len], '\0');
}
