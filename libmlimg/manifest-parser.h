/* SPDX-License-Identifier: MIT */
/**
 * @file manifest-parser.h
 * What the two halves of the manifest reader share.
 */
#ifndef MLIMG_MANIFEST_PARSER_H
#define MLIMG_MANIFEST_PARSER_H

#include <errno.h>

#include "libmlimg/manifest-lex.h"
#include "libmlimg/manifest.h"

/** The first name of a hard link group, and how many have been seen. */
struct mlimg_parser_group {
	size_t first;
	uint32_t seen;
};

/** A directory on the way to the present entry. */
struct mlimg_parser_ancestor {
	const char *path;
	size_t size;
};

struct mlimg_parser {
	struct mlimg_manifest *m;
	struct mlimg_err *err;
	size_t line;
	struct mlimg_parser_group *groups;
	size_t n_groups, groups_room;
	struct mlimg_parser_ancestor *ancestors;
	size_t n_ancestors, ancestors_room;
	struct mlimg_xattr *xattrs; /**< of the present entry */
	size_t xattrs_room;
	char buf[MLIMG_PATH_MAX + 1];
};

/** Refuse the present line. */
#define refuse(p, ...) \
	mlimg_err_wrap((p)->err, mlimg_err_refuse((p)->err, __VA_ARGS__), "line %zu", (p)->line)
#define no_memory(p) mlimg_err_set((p)->err, ENOMEM, "read a manifest")

/**
 * Read the keywords of an entry.
 *
 * @param p     the reader
 * @param rest  the line behind the path
 * @param e     has its path; the rest is set
 * @return      0, -EUCLEAN when the entry is not as manifest.h says, -ENOMEM
 */
int mlimg_parser_keywords(
	struct mlimg_parser *p, struct mlimg_span rest, struct mlimg_entry *e) MLIMG_MUST_CHECK;

#endif
