/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Questions of the doctor that are answered in this process.
 */
#include <stdbool.h>
#include <stddef.h>

/* Names of needed system calls that are missing, " a b", in @out. How many. */
int dv_doctor_missing_calls(char *out, size_t size);
/* 0, or the errno that says why there are no seccomp filters. */
int dv_doctor_seccomp(void);
/* Is there an executable of that name in PATH or the sbin directories? */
bool dv_doctor_in_path(const char *name);
/* Does the file give the caller a range of ids? */
bool dv_doctor_has_subids(const char *path);
