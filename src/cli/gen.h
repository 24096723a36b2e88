/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Man pages, made from the tables when davit is built.
 */
#include "base/buf.h"
#include "cli/opts.h"

/* The words after "davit __gen". Returns the exit status. */
int dv_gen(int argc, char **argv);

/* Append the page of @verb, or of davit itself when it is NULL. */
void dv_gen_man(struct dv_buf *out, const struct dv_verb *verb);
