/* SPDX-License-Identifier: MIT */
#include "tools/ext4-err.h"

#include <errno.h>
#include <ext2fs/ext2_err.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* com_err's convention: codes below 256 are errno values, the others belong to an error table. */
#define ERRNO_CODES 256

extern void initialize_ext2_error_table(void);

/* The errno that says the same, or 0 when there is none. */
static int errno_of(errcode_t code)
{
	if (code > 0 && code < ERRNO_CODES)
		return (int)code;
	switch (code) {
	case EXT2_ET_NO_MEMORY: return ENOMEM;
	case EXT2_ET_BLOCK_ALLOC_FAIL:
	case EXT2_ET_INODE_ALLOC_FAIL:
	case EXT2_ET_DIR_NO_SPACE: return ENOSPC;
	/*
	 * The disk is full in the middle of what was to be written; only the next write would be
	 * told so.
	 */
	case EXT2_ET_SHORT_WRITE: return ENOSPC;
	default: return 0;
	}
}

static const char *text_of(errcode_t code)
{
	static bool is_known;

	if (!is_known) {
		initialize_ext2_error_table();
		is_known = true;
	}
	return code ? error_message(code) : "input/output error";
}

int mlimg_ext4_err_set(struct mlimg_err *err, errcode_t code, const char *fmt, ...)
{
	char where[MLIMG_ERR_TEXT_SIZE];
	int errnum = errno_of(code);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(where, sizeof(where), fmt, ap);
	va_end(ap);
	if (errnum)
		return mlimg_err_set(err, errnum, "%s", where);
	return mlimg_err_set(err, 0, "%s: %s", where, text_of(code));
}

int mlimg_ext4_err_refuse(struct mlimg_err *err, errcode_t code, const char *fmt, ...)
{
	char where[MLIMG_ERR_TEXT_SIZE];
	int errnum = errno_of(code);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(where, sizeof(where), fmt, ap);
	va_end(ap);
	if (errnum)
		return mlimg_err_set(err, errnum, "%s", where);
	return mlimg_err_refuse(err, "%s: %s", where, text_of(code));
}
