/* SPDX-License-Identifier: MIT */
#include "libmlimg/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Cut visibly: a message that ends in the middle of a path must not look like a whole one. */
static void mark_cut(char *text, size_t wanted)
{
	if (wanted >= MLIMG_ERR_TEXT_SIZE)
		memcpy(text + MLIMG_ERR_TEXT_SIZE - 4, "...", 4);
}

/*
 * Names that strangers chose get into messages: they must not break the line or drive the terminal.
 */
static void make_one_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

static void format_text(char *text, const char *fmt, va_list ap)
{
	int n = vsnprintf(text, MLIMG_ERR_TEXT_SIZE, fmt, ap);

	if (n < 0)
		text[0] = '\0';
	else
		mark_cut(text, (size_t)n);
	make_one_line(text);
}

/*
 * "text: what". Where that is too long its middle is left out: where it happened stands at the
 * beginning, the reason at the end.
 */
static void append(char *text, const char *what)
{
	char whole[2 * MLIMG_ERR_TEXT_SIZE + 2];
	size_t n = (size_t)snprintf(whole, sizeof(whole), "%s: %s", text, what);
	const size_t head = (MLIMG_ERR_TEXT_SIZE - 4) / 2, tail = MLIMG_ERR_TEXT_SIZE - 4 - head;

	if (n < MLIMG_ERR_TEXT_SIZE)
		memcpy(text, whole, n + 1);
	else
		snprintf(
			text, MLIMG_ERR_TEXT_SIZE, "%.*s...%s", (int)head, whole, whole + n - tail);
}

int mlimg_err_set(struct mlimg_err *err, int errnum, const char *fmt, ...)
{
	int code = errnum ? -abs(errnum) : -EIO;
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	format_text(err->text, fmt, ap);
	va_end(ap);
	err->code = code;
	err->kind = MLIMG_ERR_FAILED;
	if (errnum)
		append(err->text, strerror(abs(errnum)));
	return code;
}

int mlimg_err_refuse(struct mlimg_err *err, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -EUCLEAN;
	va_start(ap, fmt);
	format_text(err->text, fmt, ap);
	va_end(ap);
	err->code = -EUCLEAN;
	err->kind = MLIMG_ERR_REFUSED;
	return -EUCLEAN;
}

int mlimg_err_usage(struct mlimg_err *err, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -EINVAL;
	va_start(ap, fmt);
	format_text(err->text, fmt, ap);
	va_end(ap);
	err->code = -EINVAL;
	err->kind = MLIMG_ERR_USAGE;
	return -EINVAL;
}

int mlimg_err_wrap(struct mlimg_err *err, int ret, const char *fmt, ...)
{
	char inner[MLIMG_ERR_TEXT_SIZE];
	va_list ap;

	if (ret >= 0)
		ret = -EIO;
	if (!err)
		return ret;
	memcpy(inner, err->text, sizeof(inner));
	va_start(ap, fmt);
	format_text(err->text, fmt, ap);
	va_end(ap);
	append(err->text, inner);
	return ret;
}
