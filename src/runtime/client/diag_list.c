/* SPDX-License-Identifier: MIT */
/*
 * Which processes there are, and which of them has a name.
 */
#include <davit/inspect.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/num.h"
#include "runtime/client/diag.h"
#include "wire/inspect.pb.h"
#include "wire/pb.h"

#define HOSTS "mesh/hosts"

enum { LIST_MAX = 8192 }; /* a server has 4,096 and 1,024 ended ones */

void dv_diag_list_free(struct dv_diag_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		char **argv = list->at[i].argv;

		for (size_t k = 0; argv && argv[k]; k++)
			free(argv[k]);
		free(argv);
	}
	free(list->at);
	*list = (struct dv_diag_list){ NULL, 0 };
}

static int room(struct dv_diag_list *list, size_t n)
{
	if (n > LIST_MAX)
		return -EMSGSIZE;
	list->at = calloc(n + 1, sizeof(*list->at));
	return list->at ? 0 : -ENOMEM;
}

/* ---- davit.v1 -------------------------------------------------------- */

static int copy_words(char ***outp, char *const *words, size_t n)
{
	char **out = calloc(n + 1, sizeof(*out));

	*outp = out;
	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		out[i] = strdup(words[i]);
		if (!out[i])
			return -ENOMEM;
	}
	return 0;
}

static int of_list(struct dv_diag_list *list, const dv_ListReply *m)
{
	int r = room(list, m->processes_count);

	for (size_t i = 0; r == 0 && i < m->processes_count; i++) {
		const dv_ProcessInfo *in = &m->processes[i];
		struct dv_diag_process *p = &list->at[list->n++];

		p->id = in->id;
		p->pid = in->pid;
		p->terminal = in->terminal;
		p->start_unix_ns = in->start_unix_ns;
		p->exit.size = sizeof(p->exit);
		p->exited = in->has_exit;
		if (in->has_exit)
			dv_diag_exit_of_record(&p->exit, &in->exit);
		r = copy_words(&p->argv, in->argv, in->argv_count);
	}
	return r;
}

/* ---- others ----------------------------------------------------------- */

/* The pid and the name of the @n-th host; NULL: it has none. */
static const char *host(const struct dv_node *hosts, size_t n, int32_t *pidp)
{
	const struct dv_node *child = dv_node_child(hosts, n);
	const struct dv_node *name = dv_node_find(child, "name");
	uint64_t pid;

	if (dv_parse_u64(dv_node_name(child, NULL), 1, INT32_MAX, &pid) < 0 ||
	    !name || dv_node_kind(name) != DV_NODE_STRING)
		return NULL;
	*pidp = (int32_t)pid;
	return dv_node_get_data(name, NULL);
}

static int of_hosts(struct dv_diag_list *list, const struct dv_node *hosts)
{
	int r = room(list, dv_node_count(hosts));

	for (size_t n = 0; r == 0 && dv_node_child(hosts, n); n++) {
		struct dv_diag_process *p = &list->at[list->n];
		char *name = dv_diag_borrow(host(hosts, n, &p->pid));

		if (!name)
			continue;
		list->n++;
		r = copy_words(&p->argv, &name, 1);
	}
	return r;
}

static int decode_hosts(const struct dv_rpc_reply *reply,
			struct dv_node **nodep, struct dv_err *err)
{
	int r = dv_node_decode_response(reply->payload, reply->len, nodep, err);
	char text[128];

	if (r < 0 || dv_node_kind(*nodep) == DV_NODE_DIR)
		return r;
	dv_node_error_text(*nodep, text, sizeof(text));
	*nodep = dv_node_free(*nodep);
	return dv_err_set(err, ENOENT, DV_NOT_FOUND, "%s: %s", HOSTS, text);
}

/* ---- list ------------------------------------------------------------- */

static int reply_hosts(struct dv_diag_list *list,
		       const struct dv_rpc_reply *reply, struct dv_err *err)
{
	struct dv_node *hosts = NULL;
	int r = decode_hosts(reply, &hosts, err);

	if (r < 0)
		return r;
	r = of_hosts(list, hosts);
	dv_node_free(hosts);
	return r < 0 ? dv_err_sys(err, -r, "keep the list") : 0;
}

static int reply_list(struct dv_op *op, const struct dv_rpc_reply *reply,
		      struct dv_err *err)
{
	dv_ListReply m = dv_ListReply_init_zero;
	struct dv_diag_list *list = op->out[0];
	int r;

	*list = (struct dv_diag_list){ NULL, 0 };
	if (op->v1) {
		r = dv_pb_decode(dv_ListReply_fields, reply->payload,
				 reply->len, &m, err);
		if (r < 0)
			return r;
		r = of_list(list, &m);
		if (r < 0)
			dv_err_sys(err, -r, "keep the list");
		dv_pb_release(dv_ListReply_fields, &m);
	} else {
		r = reply_hosts(list, reply, err);
	}
	if (r < 0)
		dv_diag_list_free(list);
	return r;
}

static const struct dv_diag_kind kind_list = {
	.what = "list",
	.v1 = "List",
	.service = "inspect.InspectService",
	.method = "Inspect",
	.reply = reply_list,
};

static int put_hosts(struct dv_op *op, struct dv_err *err)
{
	dv_inspect_InspectRequest m = dv_inspect_InspectRequest_init_zero;

	m.path = dv_diag_borrow(HOSTS);
	m.depth = 1;
	return dv_op_put(op, false, dv_inspect_InspectRequest_fields, &m, err);
}

int dv_diag_list(struct dv_diag *diag, struct dv_diag_list *list,
		 const struct dv_how *how, struct dv_err *err)
{
	struct dv_op *op;
	int r = dv_op_new(diag, &kind_list, how, &op, err);

	if (r < 0)
		return r;
	op->out[0] = list;
	return dv_op_go(op, put_hosts(op, err), err);
}

/* ---- by name ------------------------------------------------------------ */

static int no_such(const struct dv_node *hosts, const char *want,
		   struct dv_err *err)
{
	dv_autobuf names = DV_BUF_INIT(4096);
	const char *name;
	int32_t pid;

	for (size_t n = 0; dv_node_child(hosts, n); n++)
		if ((name = host(hosts, n, &pid)))
			dv_buf_putf(&names, "%s%s", names.len ? ", " : "",
				    name);
	dv_err_set(err, ENOENT, DV_NOT_FOUND, "no process is named \"%.100s\"",
		   want);
	if (names.len && dv_buf_status(&names) == 0)
		dv_err_hint(err, "there are: %.110s", names.data);
	return -ENOENT;
}

static int reply_get_pid(struct dv_op *op, const struct dv_rpc_reply *reply,
			 struct dv_err *err)
{
	struct dv_node *hosts = NULL;
	int32_t pid, *pidp = op->out[0];
	const char *name;
	int r = decode_hosts(reply, &hosts, err);

	if (r < 0)
		return r;
	r = -ENOENT;
	for (size_t n = 0; r < 0 && dv_node_child(hosts, n); n++) {
		name = host(hosts, n, &pid);
		if (!name || strcmp(name, op->text) != 0)
			continue;
		*pidp = pid;
		r = 0;
	}
	if (r < 0)
		no_such(hosts, op->text, err);
	dv_node_free(hosts);
	return r;
}

static const struct dv_diag_kind kind_get_pid = {
	.what = "pid",
	.service = "inspect.InspectService",
	.method = "Inspect",
	.reply = reply_get_pid,
};

int dv_diag_get_pid(struct dv_diag *diag, const char *name, int32_t *pidp,
		    const struct dv_how *how, struct dv_err *err)
{
	struct dv_op *op;
	int r = dv_op_new(diag, &kind_get_pid, how, &op, err);

	if (r < 0)
		return r;
	op->out[0] = pidp;
	op->text = strdup(name);
	r = op->text ? put_hosts(op, err) : dv_err_sys(err, ENOMEM, "pid");
	return dv_op_go(op, r, err);
}
