/* SPDX-License-Identifier: MIT */
#include "rpc/shares.h"

#include <stdlib.h>

#include "base/def.h"

/* Numbers of users, of machines and of nobody are apart. */
static uint64_t user_id(const struct dv_peer *peer)
{
	if (peer && peer->cid != DV_CID_NONE)
		return UINT64_C(1) << 33 | peer->cid;
	if (peer && peer->uid != (uid_t)-1)
		return UINT64_C(1) << 32 | peer->uid;
	return 0;
}

static struct dv_user *find_user(struct dv_shares *s, uint64_t id)
{
	struct dv_user *u = s->users;

	while (u && u->id != id)
		u = u->next;
	return u;
}

static struct dv_user *add_user(struct dv_shares *s, uint64_t id)
{
	struct dv_user *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->id = id;
	u->next = s->users;
	u->prevp = &s->users;
	if (u->next)
		u->next->prevp = &u->next;
	s->users = u;
	return u;
}

static void drop_user(struct dv_user *u)
{
	if (u->holders)
		return;
	*u->prevp = u->next;
	if (u->next)
		u->next->prevp = u->prevp;
	free(u);
}

static struct dv_holder *add_holder(struct dv_shares *s, struct dv_user *u,
				    pid_t pid)
{
	struct dv_holder *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->shares = s;
	h->user = u;
	h->pid = pid;
	h->next = u->holders;
	h->prevp = &u->holders;
	if (h->next)
		h->next->prevp = &h->next;
	u->holders = h;
	return h;
}

struct dv_holder *dv_shares_join(struct dv_shares *s,
				 const struct dv_peer *peer)
{
	uint64_t id = user_id(peer);
	pid_t pid = peer ? peer->pid : 0;
	struct dv_user *u = find_user(s, id);
	struct dv_holder *h;

	if (!u)
		u = add_user(s, id);
	if (!u)
		return NULL;
	for (h = u->holders; h && h->pid != pid; h = h->next)
		;
	if (!h)
		h = add_holder(s, u, pid);
	if (h)
		h->refs++;
	else
		drop_user(u);
	return h;
}

void dv_holder_leave(struct dv_holder *h)
{
	struct dv_user *u = h->user;

	if (--h->refs)
		return;
	for (int kind = 0; kind < DV_SHARE_N; kind++)
		dv_holder_sub(h, (enum dv_share)kind, h->n[kind]);
	*h->prevp = h->next;
	if (h->next)
		h->next->prevp = h->prevp;
	free(h);
	drop_user(u);
}

struct dv_payers dv_shares_payers(const struct dv_shares *s, enum dv_share kind,
				  const struct dv_holder *asks)
{
	struct dv_payers p = { asks ? asks->user : s->users, kind, 0 };

	for (const struct dv_user *u = s->users; u; u = u->next)
		if (u->n[kind] > p.user->n[kind])
			p.user = u;
	if (!p.user)
		return p;
	for (const struct dv_holder *h = p.user->holders; h; h = h->next)
		p.most = dv_max(p.most, h->n[kind]);
	return p;
}
