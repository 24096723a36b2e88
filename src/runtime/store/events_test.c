/* SPDX-License-Identifier: MIT */
#include "runtime/store/store_try.h"

#include <json-c/json.h>

TEST(events_are_lines_of_json_and_bounded)
{
	dv_autofree char *text = NULL;
	struct dv_kept_dirs d;
	struct stat st;
	size_t len, n = 0;

	try_open_dirs();
	d = claimed(NULL, "web");
	dv_store_event(&d, "exited", "\"code\":1,\"why\":\"x\"");
	CHECK_EQ(dv_read_file(AT_FDCWD, try_path(&try_top, "run/events"),
			      1 << 20, &text, &len),
		 0);
	struct json_object *o = json_tokener_parse(text), *v;

	CHECK(json_object_object_get_ex(o, "event", &v));
	CHECK_STR(json_object_get_string(v), "exited");
	CHECK(json_object_object_get_ex(o, "code", &v));
	CHECK_EQ(json_object_get_int(v), 1);
	CHECK(json_object_object_get_ex(o, "id", &v));
	CHECK_STR(json_object_get_string(v), d.home.id);
	json_object_put(o);
	while (stat(try_path(&try_top, "run/events.1"), &st) < 0 && n++ < 20000)
		dv_store_event(&d, "filler", "");
	CHECK(st.st_size >= DV_STORE_EVENTS_MAX);
	CHECK(st.st_size < DV_STORE_EVENTS_MAX + 4096);
	dv_store_event(&d, "after", "");
	CHECK_EQ(count_events("after"), 1);
	CHECK_EQ(count_events("filler"), 0);
	dv_store_release(&d, true);
	try_close_dirs();
}

TEST(events_of_many_writers_are_whole_lines)
{
	enum { N = 4, EACH = 400 };
	dv_autofree char *text = NULL;
	struct dv_kept_dirs d;
	pid_t pid[N];
	size_t len, lines = 0;

	try_open_dirs();
	d = claimed(NULL, "web");
	for (int i = 0; i < N; i++) {
		pid[i] = fork();
		if (pid[i] == 0) {
			for (int k = 0; k < EACH; k++)
				dv_store_event(&d, "tick", "");
			_exit(0);
		}
	}
	for (int i = 0; i < N; i++)
		CHECK_EQ(waitpid(pid[i], NULL, 0), pid[i]);
	CHECK_EQ(dv_read_file(AT_FDCWD, try_path(&try_top, "run/events"),
			      1 << 21, &text, &len),
		 0);
	for (char *p = text, *end; (end = strchr(p, '\n')); p = end + 1) {
		CHECK_EQ(*p, '{');
		CHECK_EQ(end[-1], '}');
		lines++;
	}
	CHECK_EQ(lines, N * EACH);
	dv_store_release(&d, true);
	try_close_dirs();
}

/* The next event's word; "" for none yet. Static. */
static const char *next_event(struct dv_sandbox_events *events)
{
	static struct dv_sandbox_event e;
	struct dv_err err = DV_ERR_INIT;
	int r = dv_sandbox_events_next(events, &e, &err);

	CHECK_STR(err.msg, "");
	CHECK(r == 0 || r == DV_MORE || r == DV_EOF);
	return r == 0 ? e.event : "";
}

static bool is_readable(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, 0) == 1;
}

static void put(int fd, const char *text)
{
	CHECK_EQ(dv_write_full(fd, text, strlen(text)), 0);
}

TEST(events_are_followed_over_files_that_are_turned)
{
	struct dv_sandbox_events_opts o = DV_SANDBOX_EVENTS_INIT;
	struct dv_sandbox_events *events;
	struct dv_kept_dirs d;
	const char *now, *last;
	int old;

	try_open_dirs();
	o.follow = true;
	CHECK_EQ(dv_sandbox_events_open(&events, &o, NULL), 0);
	CHECK_STR(next_event(events), "");
	d = claimed(NULL, "web");
	now = try_path(&try_top, "run/events");
	last = try_path(&try_top, "run/events.1");
	dv_store_event(&d, "one", "");
	CHECK(is_readable(dv_sandbox_events_fd(events)));
	CHECK_STR(next_event(events), "one");
	CHECK_STR(next_event(events), "");
	CHECK(!is_readable(dv_sandbox_events_fd(events)));
	/* A line that comes in two parts. */
	old = open(now, O_WRONLY | O_APPEND | O_CLOEXEC);
	put(old, "{\"time\":\"2024-01-01T00:00:00.");
	CHECK_STR(next_event(events), "");
	put(old, "000000000Z\",\"id\":\"0123456789abcdef\","
		 "\"name\":\"\",\"event\":\"two\"}\n");
	CHECK_STR(next_event(events), "two");
	/* A writer that had the file open when it was turned. */
	CHECK_EQ(rename(now, last), 0);
	dv_store_event(&d, "three", "");
	CHECK_STR(next_event(events), "three");
	put(old, "{\"time\":\"2024-01-01T00:00:00.000000000Z\","
		 "\"id\":\"0123456789abcdef\",\"name\":\"\","
		 "\"event\":\"late\"}\n");
	CHECK(is_readable(dv_sandbox_events_fd(events)));
	CHECK_STR(next_event(events), "late");
	dv_close(old);
	/* Turned twice between two looks. */
	dv_store_event(&d, "four", "");
	CHECK_EQ(rename(now, last), 0);
	dv_store_event(&d, "five", "");
	CHECK_EQ(rename(now, last), 0);
	dv_store_event(&d, "six", "\"code\":1,\"why\":\"x\"");
	CHECK(is_readable(dv_sandbox_events_fd(events)));
	CHECK_STR(next_event(events), "four");
	CHECK_STR(next_event(events), "five");
	CHECK_STR(next_event(events), "six");
	CHECK_STR(next_event(events), "");
	dv_sandbox_events_free(events);
	/* Whoever comes later reads what is kept, and ends. */
	CHECK_EQ(dv_sandbox_events_open(&events, NULL, NULL), 0);
	CHECK_STR(next_event(events), "five");
	CHECK_STR(next_event(events), "six");
	CHECK_STR(next_event(events), "");
	CHECK_EQ(dv_sandbox_events_fd(events), -1);
	dv_sandbox_events_free(events);
	dv_store_release(&d, true);
	try_close_dirs();
}

TEST(events_since_a_time)
{
	struct dv_sandbox_events_opts o = DV_SANDBOX_EVENTS_INIT;
	struct dv_sandbox_events *events;
	struct dv_sandbox_event e;
	struct dv_kept_dirs d;

	try_open_dirs();
	d = claimed(NULL, "web");
	dv_store_event(&d, "one", "\"code\":1,\"why\":\"x y\"");
	CHECK_EQ(dv_sandbox_events_open(&events, &o, NULL), 0);
	CHECK_EQ(dv_sandbox_events_next(events, &e, NULL), 0);
	CHECK_STR(e.name, "web");
	CHECK_STR(e.id, d.home.id);
	CHECK_STR(e.detail, "code=1 why=x y");
	CHECK(strstr(e.json, "\"code\":1") != NULL);
	o.since_unix_ns = e.unix_ns;
	dv_sandbox_events_free(events);
	CHECK_EQ(dv_sandbox_events_open(&events, &o, NULL), 0);
	CHECK_STR(next_event(events), "one");
	dv_sandbox_events_free(events);
	o.since_unix_ns++;
	CHECK_EQ(dv_sandbox_events_open(&events, &o, NULL), 0);
	CHECK_STR(next_event(events), "");
	dv_sandbox_events_free(events);
	o.size = 1;
	CHECK_EQ(dv_sandbox_events_open(&events, &o, NULL), -EINVAL);
	dv_store_release(&d, true);
	try_close_dirs();
}
