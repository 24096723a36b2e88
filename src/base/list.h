/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A ring of structs, linked through a member of each. The head is a member,
 * too. A node that is in no list points to itself, so removing it twice does no
 * harm.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/def.h"

struct dv_list {
	struct dv_list *next, *prev;
};

/* clang-format off */
#define DV_LIST_INIT(l) { &(l), &(l) }
/* clang-format on */

static inline void dv_list_init(struct dv_list *l)
{
	l->next = l->prev = l;
}

/* A head: nothing in it. A member: in no list. */
static inline bool dv_list_empty(const struct dv_list *l)
{
	return l->next == l;
}

static inline void dv_list_del(struct dv_list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	dv_list_init(l);
}

/* Put @l, which is in no list, at the end. */
static inline void dv_list_add(struct dv_list *head, struct dv_list *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

static inline void dv_list_add_first(struct dv_list *head, struct dv_list *l)
{
	dv_list_add(head->next, l);
}

/* The first, or NULL. */
static inline struct dv_list *dv_list_first(const struct dv_list *head)
{
	return head->next == head ? NULL : head->next;
}

/* Take the first out; NULL = none. */
static inline struct dv_list *dv_list_pop(struct dv_list *head)
{
	struct dv_list *l = dv_list_first(head);

	if (l)
		dv_list_del(l);
	return l;
}

/* The struct that has @ptr as its @member; @ptr must not be NULL. */
#define dv_list_of(ptr, type, member) dv_container_of(ptr, type, member)

/* @l may be taken out inside; @n is the one after it, which may not. */
#define dv_list_each(l, n, head)                                 \
	for ((l) = (head)->next, (n) = (l)->next; (l) != (head); \
	     (l) = (n), (n) = (l)->next)
