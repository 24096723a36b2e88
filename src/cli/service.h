/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * `davit run` as a service: what its manager gave is taken before anything else
 * happens, and the manager is told how the command is. Without a manager all of
 * this does nothing.
 */
#include <stddef.h>
#include <stdint.h>

#include <davit/run.h>
#include <davit/sandbox.h>

#include "base/systemd.h"

struct dv_service {
	struct dv_systemd manager;
	/* Of the manager's descriptors: sockets to serve the sandbox at. */
	int doors[DV_SANDBOX_DOORS_MAX];
	size_t n_doors;
};

/* clang-format off */
#define DV_SERVICE_INIT { .manager = DV_SYSTEMD_INIT }
/* clang-format on */

/* First of all, before anything is opened. Returns 0, or -errno: descriptors
 * were announced that make no sense. */
int dv_service_take(struct dv_service *service, struct dv_err *err);
/*
 * Find the doors among the descriptors. @given: bit n is set when descriptor
 * DV_SYSTEMD_FD_FIRST + n has another use; such a one is no door, and what is
 * neither is said. Returns 0, or -E2BIG: more doors than can be.
 */
int dv_service_find_doors(struct dv_service *service, uint64_t given,
			  struct dv_err *err);

/* The command was executed; from now on the watchdog is fed by @loop
 * (borrowed). What cannot be told is said as a note. */
void dv_service_ready(struct dv_service *service, struct dv_loop *loop,
		      const struct dv_run *run);
/* It has ended; @status is what we shall exit with. */
void dv_service_ended(const struct dv_service *service,
		      const struct dv_exit *exit, int status);
/* It could not be started, or be waited for. */
void dv_service_failed(const struct dv_service *service,
		       const struct dv_err *err);

/* Idempotent. */
void dv_service_close(struct dv_service *service);
