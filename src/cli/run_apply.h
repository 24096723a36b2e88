/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * How each option of `davit run` is applied; named by the rows of run_opts.c.
 * All are dv_opt_fn with a struct run_args as target.
 */
#include "cli/opts.h"

/* dv_opt.which */
enum {
	/* dv_apply_text */
	DV_SET_HOSTNAME,
	DV_SET_ENV,
	DV_SET_WORKDIR,
	DV_SET_USER,
	DV_SET_CAP_ADD,
	DV_SET_CAP_DROP,
	DV_SET_SECCOMP,
	/* dv_apply_flag */
	DV_SET_BEST_EFFORT,
	DV_SET_CLEAR_ENV,
	DV_SET_READ_ONLY,
	DV_SET_JSON,
	DV_SET_TIMING,
	DV_SET_QUIET,
	/* dv_apply_number */
	DV_SET_NICE,
	DV_SET_OOM_SCORE,
	DV_SET_PIDS,
	DV_SET_IO_WEIGHT,
	/* dv_apply_duration */
	DV_SET_TIMEOUT,
	DV_SET_STOP_TIMEOUT,
	/* dv_apply_keep */
	DV_SET_LOG,
	DV_SET_PIDFILE,
	/* dv_apply_keep_flag */
	DV_SET_DETACH,
	DV_SET_INPUT,
	DV_SET_REMOVE,
	/* dv_apply_later */
	DV_LATER_VM,
};

dv_opt_fn dv_apply_in, dv_apply_rootfs, dv_apply_net, dv_apply_text,
	dv_apply_flag, dv_apply_env_file, dv_apply_number, dv_apply_umask,
	dv_apply_volume, dv_apply_writable, dv_apply_tmpfs, dv_apply_fd,
	dv_apply_memory, dv_apply_cpus, dv_apply_ulimit, dv_apply_tty,
	dv_apply_nothing, dv_apply_keep, dv_apply_drain, dv_apply_duration,
	dv_apply_stop_signal, dv_apply_record, dv_apply_info_fd, dv_apply_later;
/* run_keep.c */
dv_opt_fn dv_apply_name, dv_apply_label, dv_apply_restart, dv_apply_keep_time,
	dv_apply_health, dv_apply_retries, dv_apply_log_max, dv_apply_keep_flag;
