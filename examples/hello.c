/* SPDX-License-Identifier: MIT */
#include <davit/run.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
	const char *argv[] = { "sh", "-c", "read who; echo hello, $who", NULL };
	struct dv_spec *spec;
	struct dv_output out, errors;
	struct dv_exit ended = { .size = sizeof(ended) };
	struct dv_err err = DV_ERR_INIT;

	if (dv_spec_new(&spec) < 0 || dv_spec_argv(spec, argv, &err) < 0 ||
	    dv_run_collect(spec, "sailor\n", 7, 65536, &out, &errors, &ended,
			   &err) < 0)
		return fprintf(stderr, "%s\n", err.msg), 1;
	printf("%.*s(exit %d)\n", (int)out.len, out.data, ended.code);
	free(out.data);
	free(errors.data);
	dv_spec_free(spec);
	return 0;
}
