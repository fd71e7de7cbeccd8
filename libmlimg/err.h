/* SPDX-License-Identifier: MIT */
/**
 * @file err.h
 * Errors of the library: a code and one line of text, kept on the caller's stack.
 *
 * Every function that can fail returns 0 or a negative errno value and takes, as its last
 * parameter, a pointer to a struct mlimg_err that it fills. A failing path is one statement:
 *
 *     return mlimg_err_set(err, errno, "open layer '%s'", name);
 *
 * which always returns a negative value, whatever errno was, so that a failure cannot be reported
 * as success. The library never logs, prints or exits; what becomes of the message is the caller's
 * affair. Foreign conventions (libext2fs, libarchive, jansson) are converted in one file each, not
 * here.
 */
#ifndef MLIMG_ERR_H
#define MLIMG_ERR_H

#include <stddef.h>

/**
 * Bytes of a message, its NUL included. Longer ones are cut with "...": at the end, or, where a
 * reason stands there, in the middle.
 */
#define MLIMG_ERR_TEXT_SIZE 512

/**
 * What kind of failure it is, beside errno: programs turn it into their exit code.
 */
enum mlimg_err_kind {
	MLIMG_ERR_FAILED = 0, /**< The operation failed: exit code 1. */
	MLIMG_ERR_USAGE,   /**< The caller asked for something that makes no sense: exit code 2. */
	MLIMG_ERR_REFUSED, /**< An image is damaged, foreign or incompatible: exit code 3. */
};

/** An error. Initialise with MLIMG_ERR_INIT; there is nothing to free. */
struct mlimg_err {
	int code;                 /**< negative errno value, 0 when unset */
	enum mlimg_err_kind kind; /**< see there */
	char text
		[MLIMG_ERR_TEXT_SIZE]; /**< one line, no newline; control characters became '?'; names in it may be no UTF-8 */
};

#define MLIMG_ERR_INIT                                          \
	{                                                       \
		.code = 0, .kind = MLIMG_ERR_FAILED, .text = "" \
	}

#define MLIMG_MUST_CHECK __attribute__((warn_unused_result))

/**
 * Set an error of kind MLIMG_ERR_FAILED; ": " and strerror(errnum) are appended to the message.
 *
 * @param err     where to put it; may be NULL, then only the code is returned
 * @param errnum  errno value, positive or negative; 0 counts as EIO and appends nothing
 * @param fmt     printf format: names the object, says what was being done to it
 * @return        a negative errno value, never 0
 */
int mlimg_err_set(struct mlimg_err *err, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), cold)) MLIMG_MUST_CHECK;

/**
 * Set an error of kind MLIMG_ERR_REFUSED (an image that is damaged, foreign or incompatible), code
 * -EUCLEAN, without strerror text.
 *
 * @param err  where to put it; may be NULL
 * @param fmt  printf format: names the image and the place in it
 * @return     -EUCLEAN
 */
int mlimg_err_refuse(struct mlimg_err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), cold)) MLIMG_MUST_CHECK;

/**
 * Set an error of kind MLIMG_ERR_USAGE, code -EINVAL, without strerror text.
 *
 * @param err  where to put it; may be NULL
 * @param fmt  printf format
 * @return     -EINVAL
 */
int mlimg_err_usage(struct mlimg_err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), cold)) MLIMG_MUST_CHECK;

/**
 * Put "where: " before the message of an error that is already set; code and kind stay.
 *
 * @param err  the error; may be NULL
 * @param ret  what the failed call returned; returned again
 * @param fmt  printf format of the place, as "layer 2 of 3"
 * @return     @p ret, or -EIO when @p ret was 0 or positive
 */
int mlimg_err_wrap(struct mlimg_err *err, int ret, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), cold)) MLIMG_MUST_CHECK;

#endif
