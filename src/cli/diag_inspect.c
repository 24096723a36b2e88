/* SPDX-License-Identifier: MIT */
/*
 * davit diag TARGET inspect, and what a shell completes of its paths.
 */
#include <davit/inspect.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "cli/diag.h"

enum {
	INSPECT_MS = 1000, /* an answer with gaps is better than none */
	COMPLETE_MS = 1000,
};

static int fetch(struct diag_cmd *cmd, const char *path, uint32_t levels,
		 struct dv_node **nodep)
{
	struct dv_how how = diag_how(cmd);
	dv_autofree void *data = NULL;
	size_t len = 0;
	int r;

	if (cmd->timeout_ms < 0)
		how.timeout_ms = INSPECT_MS;
	r = dv_diag_inspect(cmd->diag, path, levels, &data, &len, &how,
			    &cmd->err);
	return r < 0 ? r : dv_node_decode_response(data, len, nodep, &cmd->err);
}

static int print(struct diag_cmd *cmd, const struct dv_node *node)
{
	dv_autofree char *text = NULL;
	size_t len = 0;
	int r = cmd->json ? dv_node_json(node, &text, &len)
			  : dv_node_text(node, &text, &len);

	if (r < 0)
		return diag_fail(cmd, -r, "print the tree");
	text[len] = '\n'; /* where its NUL was */
	return diag_print(cmd, text, len + 1);
}

/* A failure of the whole is one of ours; in a part of it, it is data. */
static int check(struct diag_cmd *cmd, const struct dv_node *node,
		 const char *path)
{
	char text[160];

	if (dv_node_kind(node) != DV_NODE_FAILED)
		return 0;
	dv_node_error_text(node, text, sizeof(text));
	return dv_err_set(&cmd->err, ENOENT, DV_NOT_FOUND, "inspect %.150s: %s",
			  *path ? path : "/", text);
}

static int update(struct diag_cmd *cmd, const char *path)
{
	struct dv_how how = diag_how(cmd);
	struct dv_node *node = NULL, *old = NULL;
	dv_autofree void *data = NULL;
	size_t len = 0;
	int r = dv_diag_update(cmd->diag, path, cmd->update, &data, &len, &how,
			       &cmd->err);

	if (r == 0)
		r = dv_node_decode_update(data, len, &node, &old, &cmd->err);
	if (r == 0)
		r = print(cmd, node);
	dv_node_free(node);
	dv_node_free(old);
	return r;
}

static int once(struct diag_cmd *cmd, const char *path)
{
	struct dv_node *node = NULL;
	int r = fetch(cmd, path, cmd->levels, &node);

	if (r == 0)
		r = check(cmd, node, path);
	if (r == 0)
		r = print(cmd, node);
	dv_node_free(node);
	return r;
}

static void on_time(struct dv_timer *timer DV_UNUSED)
{
}

/* Run the loop until then: what the connection has to say is heard. */
static int pause_until(struct diag_cmd *cmd, uint64_t at_ns)
{
	struct dv_timer timer = DV_TIMER_INIT;
	int r = dv_timer_set(cmd->loop, &timer, at_ns, on_time);

	while (r >= 0 && timer.loop)
		r = dv_loop_dispatch(cmd->loop, -1);
	return r < 0 ? diag_fail(cmd, -r, "wait") : 0;
}

static int show_rates(struct diag_cmd *cmd, const struct dv_node *now,
		      const struct dv_node *before, uint64_t dt_ns)
{
	struct dv_node *rates = NULL;
	int r;

	if (!before)
		return 0; /* the first one is what the second is compared to */
	r = dv_node_since(now, before, dt_ns, &rates);
	if (r < 0)
		return diag_fail(cmd, -r, "compare");
	r = print(cmd, rates);
	dv_node_free(rates);
	return r;
}

static int watch(struct diag_cmd *cmd, const char *path)
{
	uint64_t step = (uint64_t)cmd->watch_ms * 1000000;
	uint64_t at = dv_now_ns(), last = 0, now;
	struct dv_node *before = NULL, *node = NULL;
	int r;

	diag_end_with_reader(cmd);
	for (;;) {
		r = fetch(cmd, path, cmd->levels, &node);
		now = dv_now_ns();
		if (r == 0)
			r = check(cmd, node, path);
		if (r == 0)
			r = show_rates(cmd, node, before, now - last);
		dv_node_free(before);
		before = node;
		node = NULL;
		last = now;
		at = dv_max(at + step, now);
		if (r == 0)
			r = pause_until(cmd, at);
		if (r < 0)
			break;
	}
	dv_node_free(before);
	return r;
}

int diag_inspect(struct diag_cmd *cmd)
{
	const char *path = cmd->argc ? cmd->argv[0] : "";

	if (cmd->update && cmd->watch)
		return diag_usage(cmd, "either --update or --watch");
	if (cmd->update)
		return update(cmd, path);
	return cmd->watch ? watch(cmd, path) : once(cmd, path);
}

/* ---- completion -------------------------------------------------------- */

static void put_candidate(void *arg, const char *candidate)
{
	dv_buf_putf(arg, "%s\n", candidate);
}

void diag_complete_inspect(const char *target, const char *typed,
			   struct dv_buf *out)
{
	struct diag_cmd cmd = { .target = target,
				.timeout_ms = COMPLETE_MS / 2,
				.stdout_src = DV_SRC_INIT,
				.err = DV_ERR_INIT };
	size_t len = dv_node_typed_parent(typed);
	dv_autofree char *path = strndup(typed, len);
	struct dv_node *node = NULL;

	/* A shell waits for us: half a second to connect, half to ask. */
	if (path && diag_open(&cmd) == 0 && fetch(&cmd, path, 0, &node) == 0)
		dv_node_complete(typed, node, put_candidate, out);
	dv_node_free(node);
	diag_close(&cmd);
}
