/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What numbers are called in documents; each table is as long as its enum.
 */
extern const char *const dv_state_names[];    /* DV_STATE_N */
extern const char *const dv_boundary_names[]; /* DV_IN_BOUNDARY_N */
extern const char *const dv_restart_names[];  /* DV_RESTART_N */
extern const char *const dv_health_names[];   /* DV_HEALTH_N */
