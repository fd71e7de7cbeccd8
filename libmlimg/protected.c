/* SPDX-License-Identifier: MIT */
#include "libmlimg/protected.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The first flaw is told. */
__attribute__((format(printf, 4, 5))) static void refuse(
	struct mlimg_protected *protected, const char *file, unsigned n, const char *format, ...)
{
	size_t size = sizeof(protected->flaw), used;
	va_list args;

	if (*protected->flaw)
		return;
	snprintf(protected->flaw, size, "%s, line %u: ", file, n);
	used = strlen(protected->flaw);
	va_start(args, format);
	vsnprintf(protected->flaw + used, size - used, format, args);
	va_end(args);
}

static void take_line(const char *file, unsigned n, const char *path, const char *flaw, void *ctx)
{
	struct mlimg_protected *protected = ctx;

	if (!path) {
		refuse(protected, file, n, "%s", flaw);
		return;
	}
	for (size_t i = 0; i < protected->n_patterns; i++)
		if (strcmp(path, protected->patterns[i]) == 0)
			return;
	if (protected->n_patterns == MLIMG_PROTECTED_MAX)
		refuse(protected, file, n, "more than %d protected paths", MLIMG_PROTECTED_MAX);
	else
		strcpy(protected->patterns[protected->n_patterns++], path);
}

void mlimg_protected_parse(
	const char *file, const char *text, size_t size, struct mlimg_protected *protected)
{
	mlimg_declared_parse(file, text, size, take_line, protected);
}

void mlimg_protected_show(const char *path, char ret_shown[MLIMG_PROTECTED_SHOWN_SIZE])
{
	snprintf(ret_shown, MLIMG_PROTECTED_SHOWN_SIZE, "/%s", path);
	for (char *at = ret_shown; *at; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
}
