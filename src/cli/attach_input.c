/* SPDX-License-Identifier: MIT */
/*
 * DOC: the input of davit attach
 *
 *	start -> writing -> lost -> writing ...
 *	             \          \-> viewer: somebody else has the place
 *	              \-> ended: stdin has ended, and that was passed on
 *
 * The keeper closes our socket when somebody takes the place, when the command
 * takes no more, and when its run ends. Which of them it was is found out by
 * asking for the place again: it is taken, there is none before the next
 * "restarted" among the events, or it is ours. Meanwhile a raw terminal is read
 * all the same, because of the detach keys.
 */
#include "cli/attach_input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "cli/report.h"
#include "cli/target.h"
#include "cli/term.h"

static char *on_typed(struct dv_relay *relay, char *at, size_t *lenp)
{
	struct attach_input *in =
		dv_container_of(relay, struct attach_input, relay);

	return attach_keys_find(&in->keys, at, lenp);
}

/* Reading a terminal from the background would stop us. */
void attach_input_foreground(struct attach_input *in)
{
	if (!isatty(STDIN_FILENO))
		return;
	if (dv_term_foreground(STDIN_FILENO))
		dv_relay_resume(&in->relay);
	else
		dv_relay_pause(&in->relay);
}

static void on_resized(void *arg DV_UNUSED, int r DV_UNUSED,
		       const struct dv_err *err DV_UNUSED)
{
}

void attach_input_resize(struct attach_input *in)
{
	struct dv_how how = DV_HOW_INIT;
	struct winsize ws;

	if (!in->terminal || in->held < 0 ||
	    !(dv_term_size(0, &ws) || dv_term_size(1, &ws)))
		return;
	how.fn = on_resized;
	how.timeout_ms = DV_TARGET_MS;
	dv_sandbox_resize(in->sb, ws.ws_row, ws.ws_col, &how, NULL);
}

/* Read stdin for @fd (consumed). 0 or -errno. */
static int relay_to(struct attach_input *in, int fd,
		    void (*done)(struct dv_relay *relay))
{
	struct dv_relay *relay = &in->relay;
	int r;

	dv_relay_close(relay);
	*relay = (struct dv_relay)DV_RELAY_INIT;
	r = dv_end_of_sandbox(&relay->to, fd);
	if (r == 0)
		r = dv_end_of_caller(&relay->from, STDIN_FILENO, false);
	relay->done = done;
	relay->filter = on_typed;
	if (r == 0)
		r = dv_relay_start(relay, in->loop);
	if (r == 0)
		attach_input_foreground(in);
	else
		dv_relay_close(relay);
	return r;
}

/* ---- while there is none --------------------------------------------------
 */

static void retake(struct attach_input *in);
static int write_to(struct attach_input *in, int fd);

static void forget(struct attach_input *in)
{
	if (in->op)
		dv_op_cancel(in->op);
	in->op = NULL;
	in->fd = dv_close(in->fd);
	dv_src_del(&in->events_src);
	in->events = dv_sandbox_events_free(in->events);
}

/* The terminal is the user's again, or ^C would do nothing. */
static void become_viewer(struct attach_input *in, const char *why)
{
	attach_input_close(in);
	dv_term_close();
	dv_note("%s; this is a viewer now", why);
}

/* Only the detach keys count. */
static void listen_to_keys(struct attach_input *in)
{
	if (!in->opened)
		return;
	if (relay_to(in, open("/dev/null", O_WRONLY | O_CLOEXEC), NULL) < 0) {
		in->opened = false;
		dv_term_close(); /* then ^C does it */
	}
}

/* Was ours started again among the events that came? -errno: none are read. */
static int read_events(struct attach_input *in)
{
	struct dv_sandbox_event e;
	bool again = false;
	int r;

	while ((r = dv_sandbox_events_next(in->events, &e, NULL)) == 0)
		again |= !strcmp(e.id, dv_sandbox_id(in->sb)) &&
			 !strcmp(e.event, "restarted");
	return r < 0 ? r : again;
}

static void on_events(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct attach_input *in =
		dv_container_of(src, struct attach_input, events_src);
	int r = read_events(in);

	if (r < 0) {
		become_viewer(in, "its input is lost");
	} else if (r) {
		dv_src_del(src);
		retake(in);
	}
}

static void wait_for_restart(struct attach_input *in)
{
	int r = read_events(in);

	if (r > 0)
		retake(in);
	else if (r < 0 || dv_src_add(in->loop, &in->events_src,
				     dv_sandbox_events_fd(in->events), EPOLLIN,
				     on_events) < 0)
		become_viewer(in, "its input is lost");
}

static void on_retaken(void *arg, int r, const struct dv_err *err)
{
	struct attach_input *in = arg;
	int fd = in->fd;

	in->op = NULL;
	in->fd = -1;
	if (r == -EBUSY && err->code == DV_PRECONDITION) {
		become_viewer(in, "somebody else has taken the input");
	} else if (r == -ETIMEDOUT) {
		become_viewer(in, "its keeper does not answer");
	} else if (r < 0) {
		wait_for_restart(in);
	} else {
		forget(in);
		if (write_to(in, fd) < 0)
			become_viewer(in, "its input is lost");
	}
}

static void retake(struct attach_input *in)
{
	struct dv_how how = DV_HOW_INIT;

	how.fn = on_retaken;
	how.arg = in;
	how.opp = &in->op;
	how.timeout_ms = DV_TARGET_MS;
	if (dv_sandbox_input(in->sb, false, &in->fd, &how, NULL) < 0)
		wait_for_restart(in);
}

/* Follow the events first: what comes after them is not missed. */
static void lost(struct attach_input *in)
{
	struct dv_sandbox_events_opts o = DV_SANDBOX_EVENTS_INIT;

	o.since_unix_ns = dv_unix_ns();
	o.follow = true;
	if (dv_sandbox_events_open(&in->events, &o, NULL) < 0) {
		become_viewer(in, "its input is lost");
		return;
	}
	listen_to_keys(in);
	retake(in);
}

/* ---- while it is ours -----------------------------------------------------
 */

static void on_delivered(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct attach_input *in =
		dv_container_of(src, struct attach_input, held_src);

	dv_src_del(src);
	in->held = dv_close(in->held);
}

/* Our input has ended: so does that of the sandbox. The place is held until
 * the keeper has delivered that. */
static void on_end(struct dv_relay *relay)
{
	struct attach_input *in =
		dv_container_of(relay, struct attach_input, relay);

	if (relay->sys) {
		in->held = dv_close(in->held);
		lost(in);
		return;
	}
	shutdown(in->held, SHUT_WR);
	if (dv_src_add(in->loop, &in->held_src, in->held, 0, on_delivered) < 0)
		in->held = dv_close(in->held);
}

/* The place is ours; @fd (consumed) leads there. */
static int write_to(struct attach_input *in, int fd)
{
	int r;

	in->held = dv_fd_dup(fd, 3);
	if (in->held < 0) {
		dv_close(fd);
		return in->held;
	}
	r = relay_to(in, fd, on_end);
	if (r < 0)
		return r;
	if (in->terminal && isatty(STDIN_FILENO) && !in->opened)
		in->opened = dv_term_open(STDIN_FILENO) == 0;
	dv_term_raw();
	attach_input_resize(in);
	return 0;
}

int attach_input_start(struct attach_input *in, bool steal, struct dv_err *err)
{
	struct dv_how how = DV_HOW_INIT;
	struct dv_err why = DV_ERR_INIT;
	int fd = -1, r;

	in->loop = dv_sandbox_loop(in->sb);
	how.timeout_ms = DV_TARGET_MS;
	r = dv_sandbox_input(in->sb, steal, &fd, &how, &why);
	if (r == 0) {
		r = write_to(in, fd);
		return r < 0 ? dv_err_sys(err, -r, "relay standard input") : 0;
	}
	if (why.code == DV_PRECONDITION && r == -EBUSY) {
		dv_note("%s; this is a viewer, --steal takes the input over",
			why.msg);
		return 0;
	}
	if (why.code == DV_NOT_FOUND) { /* until it is started again */
		dv_note_dim("%s", why.msg);
		lost(in);
		return 0;
	}
	if (why.code == DV_UNAVAILABLE || r == -ESRCH)
		return 0; /* it has just ended: that is told */
	*err = why;
	return r;
}

void attach_input_close(struct attach_input *in)
{
	forget(in);
	dv_relay_close(&in->relay);
	dv_src_del(&in->held_src);
	in->held = dv_close(in->held);
}
