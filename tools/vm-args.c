/* SPDX-License-Identifier: MIT */
/* A command (vm-cmd.h) as a shell reads it. */
#include <string.h>

#include "tools/vm-cmd.h"

static void print_quoted(FILE *f, const char *arg)
{
	if (*arg &&
		strspn(arg,
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			"-_=+:,./@%") == strlen(arg)) {
		fputs(arg, f);
		return;
	}
	putc('\'', f);
	for (; *arg; arg++)
		if (*arg == '\'')
			fputs("'\\''", f);
		else
			putc(*arg, f);
	putc('\'', f);
}

void mlimg_args_print(FILE *f, const struct mlimg_args *args)
{
	for (size_t i = 0; i < args->n; i++) {
		if (i > 0)
			fputs(args->v[i][0] == '-' ? " \\\n\t" : " ", f);
		print_quoted(f, args->v[i]);
	}
	putc('\n', f);
}
