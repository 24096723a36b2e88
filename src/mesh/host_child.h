/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Inside a host: what its own files know of it, and what davit's own hosts may
 * use beside the public header.
 */
#include "base/buf.h"
#include "base/list.h"
#include "davit/host.h"
#include "inspect/inspect.h"
#include "mesh/host_wire.h"

enum dv_self_state {
	DV_SELF_JOINING = 0, /* until INIT came */
	DV_SELF_MESSAGE,     /* the initial message follows */
	DV_SELF_SETUP,
	DV_SELF_UP,
	DV_SELF_LEAVING,
	DV_SELF_N
};

struct dv_host_self {
	const struct dv_host_main *main;
	struct dv_loop *loop;
	struct dv_mesh *mesh;
	struct dv_port *ctl;   /* NULL: the parent is gone */
	struct dv_port *log;   /* NULL: the same, or not yet */
	struct dv_port *first; /* until it is taken */
	enum dv_self_state state;
	struct dv_defer set_up;
	struct dv_msg *initial; /* until then */
	char name[DV_HOST_NAME_MAX + 1];
	/* What INIT says about the second stage. */
	uint32_t lock;
	struct dv_buf filter, allow;
	/* The log: its port takes no more; records since the last one. */
	bool log_full;
	uint64_t log_dropped;
	struct dv_timer grace; /* to end after the parent was lost */
	struct dv_list works;  /* see worker_host.c */
	uint32_t n_works;
	dv_inspect_fn *show; /* dv_host_self_show() */
	void *show_obj;
	int status;
	bool lost, done;
};

/* This process as a host of @mesh; NULL: it is none. */
struct dv_host_self *dv_host_self_of(const struct dv_mesh *mesh);

/* Pass a record of a host of ours on to our parent; without one it is lost. */
void dv_host_self_pass(const struct dv_mesh *mesh,
		       const struct dv_host_log *rec);

/* What it shows beside inspect()'s entries: with updates, and deferred ones. */
void dv_host_self_show(struct dv_host_self *self, dv_inspect_fn *fn, void *obj);

/* Answer DV_HM_INSPECT, now or later. */
void dv_host_self_inspect(struct dv_host_self *self,
			  const struct dv_host_msg *m);

/* A worker is to be made; @port consumed. */
void dv_host_self_work(struct dv_host_self *self, struct dv_str type,
		       struct dv_port *port);
/* Stop and forget every worker, without a word to its owner. */
void dv_host_self_no_works(struct dv_host_self *self);
/* workers/<n>/... for the tree. */
void dv_host_self_show_works(struct dv_inspect *in, void *self);
