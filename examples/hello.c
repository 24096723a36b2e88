/* SPDX-License-Identifier: MIT */
#include <davit/run.h>
#include <stdio.h>
int main(void)
{
	const char *argv[] = { "sh", "-c", "read who; echo hello, $who", NULL };
	static struct dv_spec *spec;
	static struct dv_output o[2];
	struct dv_exit end = { .size = sizeof(end) };
	struct dv_err err = DV_ERR_INIT;
	if (dv_spec_new(&spec) < 0 || dv_spec_argv(spec, argv, &err) < 0 ||
	    dv_run_collect(spec, "sailor\n", 7, 4096, o, o + 1, &end, &err) < 0)
		return fprintf(stderr, "%s\n", err.msg), 125;
	printf("%.*s(exit %d)\n", (int)o[0].len, o[0].data, end.code);
	return end.code;
}
