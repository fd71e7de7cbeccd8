/* SPDX-License-Identifier: MIT */
/**
 * @file protected.h
 * Declarations of protected paths, as a boot obeys them and a plan of an upgrade foretells them:
 * what a line may say, and what is read out of one. What is done about what covers such a path is
 * guest-agent/protect.h's affair.
 *
 * They are made by the read-only layers, in files named /etc/mlimg/protected.d/NAME.conf of their
 * merged tree; the user's own do not count. A line is an absolute path (declared.h), each of whose
 * names may be a pattern of fnmatch(3) without escapes: '*' and '?' stay within a name. What a line
 * matches is protected with all that is below it, also where the layers have nothing. A line that
 * is no such path, or one too many, is a flaw: what it was to protect cannot be known.
 *
 *     # /etc/mlimg/protected.d/provider.conf
 *     /etc/ld.so.preload
 *     /usr/lib/provider
 *     /etc/ssl/certs/provider-*.pem
 */
#ifndef MLIMG_PROTECTED_H
#define MLIMG_PROTECTED_H

#include "libmlimg/declared.h"

#define MLIMG_PROTECTED_CONF "etc/mlimg/protected.d" /**< in each layer's tree */
#define MLIMG_PROTECTED_MAX 256                      /**< lines of all files */
#define MLIMG_PROTECTED_SHOWN_MAX 32                 /**< paths that are told */
#define MLIMG_PROTECTED_SHOWN_SIZE \
	256 /**< of a path that is told, NUL included; longer ones are cut */

/** What is declared. Zero it to begin with. */
struct mlimg_protected {
	char patterns[MLIMG_PROTECTED_MAX]
		     [MLIMG_DECLARED_PATH_MAX + 1]; /**< without the first '/', each once */
	size_t n_patterns;
	char flaw[MLIMG_ERR_TEXT_SIZE]; /**< of the first line that is not taken, or "" */
};

/**
 * Read a file of declarations.
 *
 * @param file       what it is called, in the flaw
 * @param text       bytes
 * @param size       their number
 * @param protected  gets what it says, besides what it has already
 */
void mlimg_protected_parse(
	const char *file, const char *text, size_t size, struct mlimg_protected *protected);

/**
 * A path of an upper as it is told.
 *
 * @param path       without the first '/'
 * @param ret_shown  "/path", what is not printable as '?'
 */
void mlimg_protected_show(const char *path, char ret_shown[MLIMG_PROTECTED_SHOWN_SIZE]);

#endif
