/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The diagnostics services of OpenVMM's paravisor, translated:
 * diag.OpenhclDiag, diag.UnderhillDiag and profile.AzureProfiler. Codes and
 * texts of failures are those that its clients know: an application's error is
 * UNKNOWN, with text.
 */
#include "services/sandbox.h"

/* Serve all of them, and davit.v1.Sandbox beside them. Returns 0 or -errno. */
int dv_diag_add(struct dv_server *server, struct dv_sandbox_svc *svc);
