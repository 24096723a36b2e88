/* SPDX-License-Identifier: MIT */
#include "wire/kmsg.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/num.h"
#include "base/test.h"

static const char net[] =
	"6,339,5140900,-;NET: Registered protocol family 10\n SUBSYSTEM=net\n";

/* One record of a stream, formatted; "" when it is none. */
static const char *shown(const char *record, enum dv_kmsg_form form)
{
	static char line[4096];
	dv_autobuf text = DV_BUF_INIT(DV_KMSG_WIRE_MAX);
	struct dv_kmsg rec;

	line[0] = '\0';
	if (dv_kmsg_parse(record, strlen(record), &text, &rec) == 0)
		dv_kmsg_format(&rec, form, line, sizeof(line));
	return line;
}

TEST(record_of_the_kernel_has_all_its_fields)
{
	dv_autobuf text = DV_BUF_INIT(DV_KMSG_WIRE_MAX);
	struct dv_kmsg rec;

	CHECK_EQ(dv_kmsg_parse(net, strlen(net), &text, &rec), 0);
	CHECK_EQ(rec.level, 6);
	CHECK_EQ(rec.facility, 0);
	CHECK_EQ(rec.seq, 339);
	CHECK_EQ(rec.usec, 5140900);
	CHECK_EQ(rec.flag, '-');
	CHECK_STR(rec.text, "NET: Registered protocol family 10");
	CHECK_EQ(rec.text_len, 34);
	CHECK_EQ(rec.dict_len, strlen(" SUBSYSTEM=net\n"));
	CHECK(memcmp(rec.dict, " SUBSYSTEM=net\n", rec.dict_len) == 0);
}

TEST(record_levels_facilities_and_more_fields_are_read)
{
	dv_autobuf text = DV_BUF_INIT(DV_KMSG_WIRE_MAX);
	const char *line = "30,18446744073709551615,1,c,caller=T1;x";
	struct dv_kmsg rec;

	CHECK_EQ(dv_kmsg_parse(line, strlen(line), &text, &rec), 0);
	CHECK_EQ(rec.level, 6);
	CHECK_EQ(rec.facility, 3);
	CHECK(rec.seq == UINT64_MAX);
	CHECK_EQ(rec.flag, 'c');
	CHECK_EQ(rec.dict_len, 0);
}

TEST(record_cut_at_every_byte_is_refused_or_shorter)
{
	for (size_t n = 0; n < strlen(net); n++) {
		dv_autobuf text = DV_BUF_INIT(DV_KMSG_WIRE_MAX);
		dv_autofree char *copy = malloc(n + 1);
		struct dv_kmsg rec;
		int r;

		memcpy(copy, net, n);
		r = dv_kmsg_parse(copy, n, &text, &rec);
		CHECK_EQ(r, n < strlen("6,339,5140900,-;") ? -EBADMSG : 0);
		if (r == 0)
			CHECK_EQ(rec.text_len, dv_min(n - 16, (size_t)34));
	}
}

TEST(record_that_is_none_is_refused)
{
	static const char *const bad[] = {
		"",
		";",
		"x,1,2,-;m",
		"6,,2,-;m",
		"6,1,x,-;m",
		"6,1;m",
		"-6,1,2,-;m",
		"6, 1,2,-;m",
		"6,1,2x,-;m",
		"no semicolon",
		"99999999999,1,2,-;m",
		"6,18446744073709551616,2,-;m",
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		dv_autobuf text = DV_BUF_INIT(DV_KMSG_WIRE_MAX);
		struct dv_kmsg rec;

		CHECK_EQ(dv_kmsg_parse(bad[i], strlen(bad[i]), &text, &rec),
			 -EBADMSG);
	}
}

TEST(escapes_become_bytes_and_others_stay)
{
	CHECK_STR(shown("6,1,2,-;a\\x5cb \\xe2\\x80\\x94", DV_KMSG_PLAIN),
		  "[0.000002] a\\b \xe2\x80\x94");
	CHECK_STR(shown("6,1,2,-;\\\\ \\x4 \\xzz \\", DV_KMSG_PLAIN),
		  "[0.000002] \\\\ \\x4 \\xzz \\");
}

TEST(plain_line_is_as_the_kernel_shows_it)
{
	CHECK_STR(shown(net, DV_KMSG_PLAIN),
		  "[5.140900] NET: Registered protocol family 10");
	CHECK_STR(shown("6,1,2,-;", DV_KMSG_PLAIN), "[0.000002] ");
}

TEST(lines_never_control_the_terminal)
{
	CHECK_STR(shown("6,1,2,-;\\x1b[2J\\x07\\x7f\tok", DV_KMSG_PLAIN),
		  "[0.000002] <1b>[2J<07><7f>\tok");
	CHECK_STR(shown("6,1,2,-;\\xc2\\x9b2J", DV_KMSG_PLAIN),
		  "[0.000002] <c2><9b>2J");
	CHECK_STR(shown("6,1,2,-;\\x9b \\xe0\\x80\\x9b \\xc3", DV_KMSG_PLAIN),
		  "[0.000002] <9b> <e0><80><9b> <c3>");
	CHECK_STR(
		shown("6,1,2,-;\\xc3\\xa9\\xf0\\x9f\\x9a\\x80", DV_KMSG_PLAIN),
		"[0.000002] \xc3\xa9\xf0\x9f\x9a\x80");
}

TEST(colours_follow_the_level_and_name_the_source)
{
	CHECK_STR(shown("3,1,2,-;disk: bad", DV_KMSG_COLOUR),
		  "\033[0;32m[0.000002]\033[0m \033[0;33mdisk:\033[0m"
		  "\033[0;31m bad\033[0m");
	CHECK_STR(shown("6,1,2,-;no source", DV_KMSG_COLOUR),
		  "\033[0;32m[0.000002]\033[0m no source\033[0m");
}

TEST(json_line_has_every_field)
{
	CHECK_STR(shown(net, DV_KMSG_JSON),
		  "{\"seq\":339,\"usec\":5140900,\"level\":6,\"level_name\":"
		  "\"info\",\"facility\":0,\"flag\":\"-\",\"text\":\"NET: "
		  "Registered protocol family 10\",\"dict\":{\"SUBSYSTEM\":"
		  "\"net\"}}");
	CHECK(strstr(shown("6,1,2,-;\\xff\\x01", DV_KMSG_JSON),
		     "\"text\":\"\xef\xbf\xbd\\u0001\"") != NULL);
}

TEST(format_of_a_small_buffer_is_cut_and_says_the_length)
{
	struct dv_kmsg rec = { .text = "hello", .text_len = 5, .dict = "" };
	char out[8];

	CHECK_EQ(dv_kmsg_format(&rec, DV_KMSG_PLAIN, out, sizeof(out)), 16);
	CHECK_STR(out, "[0.0000");
	CHECK_EQ(dv_kmsg_format(&rec, DV_KMSG_PLAIN, NULL, 0), 16);
}

TEST(serial_line_is_parsed)
{
	const char *line = "<12>[    5.140900] U: hello\r\n";
	struct dv_kmsg rec;
	char out[64];

	CHECK_EQ(dv_kmsg_parse_serial(line, strlen(line), &rec), 0);
	CHECK_EQ(rec.level, 4);
	CHECK_EQ(rec.facility, 1);
	CHECK_EQ(rec.usec, 5140900);
	CHECK_EQ(dv_kmsg_format(&rec, DV_KMSG_PLAIN, out, sizeof(out)), 19);
	CHECK_STR(out, "[5.140900] U: hello");
}

TEST(serial_line_cut_or_wrong_is_refused)
{
	static const char *const bad[] = {
		"<6>[5.1234567] x", "<6>[5.12345] x",  "[5.123456] x", "<6> x",
		"<6>[.123456] x",   "<6>[5,123456] x",
	};
	const char *line = "<6>[    5.140900]";
	struct dv_kmsg rec;

	for (size_t n = 0; n < strlen(line); n++)
		CHECK_EQ(dv_kmsg_parse_serial(line, n, &rec), -EBADMSG);
	CHECK_EQ(dv_kmsg_parse_serial(line, strlen(line), &rec), 0);
	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++)
		CHECK_EQ(dv_kmsg_parse_serial(bad[i], strlen(bad[i]), &rec),
			 -EBADMSG);
}

/* ---- the stream ---- */

TEST(stream_cut_at_every_byte_gives_the_same_records)
{
	char two[sizeof(net) * 2];

	memcpy(two, net, sizeof(net));
	memcpy(two + sizeof(net), net, sizeof(net));
	for (size_t cut = 0; cut <= sizeof(two); cut++) {
		struct dv_kmsg_iter *it;
		int n = 0;

		CHECK_EQ(dv_kmsg_iter_new(&it), 0);
		CHECK_EQ(dv_kmsg_iter_feed(it, two, cut), 0);
		while (dv_kmsg_iter_next(it))
			n++;
		CHECK_EQ(n, cut / sizeof(net));
		CHECK_EQ(dv_kmsg_iter_feed(it, two + cut, sizeof(two) - cut),
			 0);
		while (dv_kmsg_iter_next(it))
			n++;
		CHECK_EQ(n, 2);
		CHECK_EQ(dv_kmsg_iter_bad(it), 0);
		CHECK(dv_kmsg_iter_free(it) == NULL);
	}
}

TEST(stream_goes_on_behind_a_bad_and_an_overlong_record)
{
	static char junk[DV_KMSG_WIRE_MAX];
	const struct dv_kmsg *rec;
	struct dv_kmsg_iter *it;

	memset(junk, 'x', sizeof(junk));
	CHECK_EQ(dv_kmsg_iter_new(&it), 0);
	CHECK_EQ(dv_kmsg_iter_feed(it, "junk", 5), 0);
	CHECK(dv_kmsg_iter_next(it) == NULL);
	for (int i = 0; i < 40; i++) {
		CHECK_EQ(dv_kmsg_iter_feed(it, junk, sizeof(junk)), 0);
		CHECK(dv_kmsg_iter_next(it) == NULL);
	}
	CHECK_EQ(dv_kmsg_iter_feed(it, "tail", 5), 0);
	CHECK_EQ(dv_kmsg_iter_feed(it, net, sizeof(net)), 0);
	rec = dv_kmsg_iter_next(it);
	CHECK(rec && rec->seq == 339);
	CHECK(dv_kmsg_iter_next(it) == NULL);
	CHECK_EQ(dv_kmsg_iter_bad(it), 2);
	dv_kmsg_iter_free(it);
}

TEST(stream_that_is_not_fetched_is_refused)
{
	static char junk[600 * 1024];
	struct dv_kmsg_iter *it;

	CHECK_EQ(dv_kmsg_iter_new(&it), 0);
	CHECK_EQ(dv_kmsg_iter_feed(it, junk, sizeof(junk)), 0);
	CHECK_EQ(dv_kmsg_iter_feed(it, junk, sizeof(junk)), -EMSGSIZE);
	dv_kmsg_iter_free(it);
}
