/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What this machine and this user can do.
 *
 * Read-only: nothing is created that outlives the call. Takes well under
 * 200 ms. It forks helper processes, which try namespaces and mounts of their
 * own, and reaps them.
 */
#include <davit/err.h>

#ifdef __cplusplus
extern "C" {
#endif

enum dv_check_result {
	DV_CHECK_PASS = 0,
	DV_CHECK_WARN, /* something optional is missing */
	DV_CHECK_FAIL, /* davit run does not work, or not as it should */
	DV_CHECK_N
};

struct dv_check {
	const char *name; /* static */
	int32_t result;   /* enum dv_check_result */
	char text[160];   /* what was found */
	char fix[200];    /* what to do about it; "" when it passed */
};

/*
 * Run every check and call @fn with each in turn; @check is borrowed for the
 * call. Returns how many failed.
 */
DV_API int dv_doctor(void (*fn)(void *arg, const struct dv_check *check),
		     void *arg);

/*
 * Explain a failed start: run the checks that belong to err->step, and set the
 * hint from the first that did not pass. An error that has a hint is left
 * alone, but for one of making namespaces: a look at the machine tells more.
 */
DV_API void dv_doctor_explain(struct dv_err *err);

/* "PASS", "WARN", "FAIL". Static. */
DV_API const char *dv_check_name(int result);

#ifdef __cplusplus
}
#endif
