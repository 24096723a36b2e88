/* SPDX-License-Identifier: MIT */
#include "mesh/chan_msg.h"

#include <errno.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "mesh/msg.h"
#include "wire/pb.h"

static_assert(dv_mesh_Trailer_size <= DV_CHAN_TRAILER_MAX, "a trailer fits");

/* Random: a program's message ends so once in 2^56 times. */
static const uint8_t mark[DV_CHAN_MARK - 1] = { 0xd6, 0x76, 0x1f, 0x9c,
						0xe3, 0x05, 0xb8 };

#define FIN_TEXT  "end of stream"
#define ERRNO_MAX 4095

bool dv_chan_marked(const void *data, size_t len)
{
	const uint8_t *p = data;

	return len >= DV_CHAN_MARK &&
	       memcmp(p + len - sizeof(mark), mark, sizeof(mark)) == 0;
}

/* Encode behind @len bytes of @msg, which has room. Returns the new length. */
static size_t put_trailer(struct dv_msg *msg, size_t len,
			  const dv_mesh_Trailer *trailer)
{
	uint8_t *p = (uint8_t *)dv_msg_data(msg) + len;
	pb_ostream_t out = pb_ostream_from_buffer(p, DV_CHAN_TRAILER_MAX);

	/* Only our own structs, whose size is known. */
	if (trailer)
		dv_assert(pb_encode(&out, dv_mesh_Trailer_fields, trailer));
	p[out.bytes_written] = (uint8_t)out.bytes_written;
	memcpy(p + out.bytes_written + 1, mark, sizeof(mark));
	return len + out.bytes_written + DV_CHAN_MARK;
}

struct dv_msg *dv_chan_msg(const void *data, size_t len,
			   const dv_mesh_Trailer *trailer)
{
	struct dv_msg *msg;

	if (len > DV_MSG_MAX - DV_CHAN_TRAILER_MAX - DV_CHAN_MARK)
		return NULL;
	msg = dv_msg_new(len + DV_CHAN_TRAILER_MAX + DV_CHAN_MARK);
	if (!msg)
		return NULL;
	if (len)
		memcpy(dv_msg_data(msg), data, len);
	dv_msg_trim(msg, put_trailer(msg, len, trailer));
	return msg;
}

int dv_chan_append(struct dv_msg **msgp, const dv_mesh_Trailer *trailer,
		   struct dv_err *err)
{
	struct dv_msg *old = *msgp, *msg;
	size_t len = dv_msg_len(old);

	msg = dv_chan_msg(dv_msg_data(old), len, trailer);
	if (msg)
		dv_msg_move_atts(msg, old);
	dv_msg_free(old);
	*msgp = msg;
	if (msg)
		return 0;
	return dv_err_sys(err, len < DV_MSG_MAX / 2 ? ENOMEM : EMSGSIZE,
			  "send %zu bytes", len);
}

static int bad(struct dv_err *err, const char *what)
{
	return dv_err_set(err, EBADMSG, DV_INVALID, "a channel's message: %s",
			  what);
}

static int check_ports(const struct dv_msg *msg, const dv_mesh_Refs *refs,
		       struct dv_err *err)
{
	size_t n = dv_msg_n_atts(msg);

	if (refs->first > n || refs->count > n - refs->first)
		return bad(err, "names ports that are not attached");
	for (size_t i = 0; i < refs->count; i++)
		if (dv_msg_att(msg, refs->first + i) != DV_ATT_PORT)
			return bad(err, "names a port that is none");
	return 0;
}

int dv_chan_strip(struct dv_msg *msg, dv_mesh_Trailer *trailer,
		  struct dv_err *err)
{
	size_t len = dv_msg_len(msg);
	const uint8_t *p = dv_msg_data(msg);
	size_t n;

	*trailer = (dv_mesh_Trailer){ .has_ports = false };
	if (!dv_chan_marked(p, len))
		return 0;
	len -= DV_CHAN_MARK;
	n = p[len];
	if (n > len || n > DV_CHAN_TRAILER_MAX)
		return bad(err, "the trailer is cut off");
	len -= n;
	dv_msg_trim(msg, len);
	if (n == 0)
		return 0;
	if (dv_pb_decode(dv_mesh_Trailer_fields, p + len, n, trailer, NULL) < 0)
		return bad(err, "the trailer is damaged");
	if (!trailer->has_ports && trailer->which_kind == 0)
		return bad(err, "the trailer is of an unknown kind");
	return trailer->has_ports ? check_ports(msg, &trailer->ports, err) : 0;
}

int dv_chan_take_ref(struct dv_msg *msg, bool has, const dv_mesh_Ref *ref,
		     struct dv_port **portp, struct dv_err *err)
{
	size_t n = has ? ref->index : SIZE_MAX;

	*portp = has ? dv_msg_take_port(msg, n) : NULL;
	if (!*portp)
		return bad(err, "names a port that is not attached");
	if (n + 1 == msg->n_atts)
		msg->n_atts--;
	return 0;
}

struct dv_port *dv_chan_take_port(struct dv_msg *msg, size_t n,
				  struct dv_err *err)
{
	struct dv_port *port = dv_msg_take_port(msg, n);

	if (!port)
		dv_err_set(err, EBADMSG, DV_INVALID, "attachment %zu is %s", n,
			   n < dv_msg_n_atts(msg) ? "no port, or taken"
						  : "missing");
	return port;
}

/* ---- ports --------------------------------------------------------- */

int dv_chan_pair(struct dv_mesh *mesh, struct dv_port *pair[2],
		 struct dv_err *err)
{
	int r = dv_port_pair(mesh, pair);

	return r < 0 ? dv_err_sys(err, -r, "make a pair of ports") : 0;
}

int dv_chan_ended_port(struct dv_mesh *mesh, const struct dv_err *why,
		       struct dv_port **portp, struct dv_err *err)
{
	struct dv_port *pair[2];
	int r = dv_chan_pair(mesh, pair, err);

	if (r < 0)
		return r;
	dv_port_close(pair[0], why);
	*portp = pair[1];
	return 0;
}

static void close_all(struct dv_port **ports, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dv_port_close(ports[i], NULL);
}

/* One message that brings @n ports (consumed), and @next unless NULL. */
static struct dv_msg *bring(struct dv_port **ports, size_t n,
			    struct dv_port *next,
			    const struct dv_chan_head *head)
{
	dv_mesh_Trailer t = { .has_ports = true };
	struct dv_msg *msg;
	bool failed = false;

	t.ports.count = (uint32_t)(n + (next ? 1 : 0));
	if (head) {
		t.which_kind = dv_mesh_Trailer_update_tag;
		t.kind.update = head->version;
	}
	msg = dv_chan_msg(head ? head->data : NULL, head ? head->len : 0, &t);
	if (!msg) {
		close_all(ports, n);
		dv_port_close(next, NULL);
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		failed |= dv_msg_add_port(msg, ports[i]) < 0;
	if (next)
		failed |= dv_msg_add_port(msg, next) < 0;
	return failed ? dv_msg_free(msg) : msg;
}

/* A port whose other end has sent @msg (consumed; NULL: no memory for it), and
 * is closed. */
static int sent_port(struct dv_mesh *mesh, struct dv_msg *msg,
		     struct dv_port **portp, struct dv_err *err)
{
	struct dv_port *pair[2];
	int r;

	if (!msg)
		return dv_err_sys(err, ENOMEM, "pack ports");
	r = dv_chan_pair(mesh, pair, err);
	if (r < 0) {
		dv_msg_free(msg);
		return r;
	}
	r = dv_port_send(pair[0], msg, err);
	dv_port_close(pair[0], NULL);
	if (r < 0) {
		dv_port_close(pair[1], NULL);
		return r;
	}
	*portp = pair[1];
	return 0;
}

int dv_chan_pack(struct dv_mesh *mesh, struct dv_port **ports, size_t n,
		 const struct dv_chan_head *head, struct dv_port **portp,
		 struct dv_err *err)
{
	const size_t most = DV_MSG_ATT_MAX - 1; /* and the next */
	struct dv_port *next = NULL;

	/* The last ones first: each port made brings what follows it. */
	while (n > most) {
		size_t part = n % most ? n % most : most;
		struct dv_msg *msg;
		int r;

		n -= part;
		msg = bring(ports + n, part, next, NULL);
		r = sent_port(mesh, msg, &next, err);
		if (r < 0) {
			close_all(ports, n);
			return r;
		}
	}
	return sent_port(mesh, bring(ports, n, next, head), portp, err);
}

static int send_head(struct dv_port *to, const struct dv_chan_head *head)
{
	dv_mesh_Trailer t = { .which_kind = dv_mesh_Trailer_update_tag };
	struct dv_msg *msg;

	if (head->version == 0)
		return dv_port_send_bytes(to, head->data, head->len, NULL);
	t.kind.update = head->version;
	msg = dv_chan_msg(head->data, head->len, &t);
	return msg ? dv_port_send(to, msg, NULL) : -ENOMEM;
}

int dv_chan_follow(struct dv_mesh *mesh, const struct dv_chan_head *head,
		   struct dv_port *rest, const struct dv_err *reason,
		   struct dv_port **portp)
{
	struct dv_port *pair[2] = { NULL, NULL };
	int r = dv_port_pair(mesh, pair);

	if (r == 0)
		r = send_head(pair[0], head);
	if (r >= 0 && rest)
		r = dv_port_bridge(dv_take_ptr(&pair[0]), dv_take_ptr(&rest),
				   NULL);
	dv_port_close(pair[0], reason);
	dv_port_close(rest, NULL);
	if (r < 0)
		dv_port_close(pair[1], NULL);
	else
		*portp = pair[1];
	return r;
}

int dv_chan_give(struct dv_port *to, struct dv_port *port, struct dv_err *err)
{
	struct dv_msg *msg = bring(&port, 1, NULL, NULL);

	if (!msg)
		return dv_err_sys(err, ENOMEM, "hand over a port");
	return dv_port_send(to, msg, err);
}

/* ---- reasons and times --------------------------------------------- */

static bool reads_fin(const struct dv_err *err)
{
	return err->code == DV_RANGE &&
	       strncmp(err->msg, FIN_TEXT, sizeof(err->msg)) == 0;
}

void dv_chan_fin(struct dv_err *err)
{
	*err = (struct dv_err)DV_ERR_INIT;
	dv_err_set(err, ENODATA, DV_RANGE, FIN_TEXT);
}

bool dv_chan_is_fin(const struct dv_port_end *end)
{
	return end->closed && reads_fin(&end->err);
}

void dv_chan_reason(struct dv_err *out, const struct dv_err *why,
		    const char *text)
{
	*out = (struct dv_err)DV_ERR_INIT;
	if (why)
		*out = *why;
	if (out->code == DV_OK)
		dv_err_set(out, ECONNABORTED, DV_ABORTED, "%s", text);
	else if (reads_fin(out))
		out->code = DV_UNKNOWN;
}

int dv_chan_errno(const struct dv_err *err)
{
	return err->sys > 0 && err->sys <= ERRNO_MAX ? -err->sys : -EREMOTEIO;
}

void dv_chan_broke(struct dv_port_end *end, const struct dv_err *err)
{
	*end = (struct dv_port_end){ .scope = DV_SCOPE_PORT, .err = *err };
}

uint64_t dv_chan_left(uint64_t at_ns)
{
	uint64_t now = dv_now_ns();

	if (at_ns == UINT64_MAX)
		return UINT64_MAX;
	return at_ns > now ? at_ns - now : 0;
}

uint64_t dv_chan_at(uint64_t left_ns)
{
	uint64_t now = dv_now_ns();

	return left_ns > UINT64_MAX - now ? UINT64_MAX : now + left_ns;
}
