/* SPDX-License-Identifier: MIT */
/**
 * @file mkfs-databases.h
 * The databases of dpkg and apt, and users and groups, on their way into a software layer (rules
 * dpkg-status and accounts): what differs from those beneath becomes records (libmlimg/records.h),
 * and the files leave the tree. Their contents do not go through the image: mlimg_databases_judge()
 * lets them be captured.
 */
#ifndef MLIMG_TOOLS_MKFS_DATABASES_H
#define MLIMG_TOOLS_MKFS_DATABASES_H

#include "libmlimg/records.h"
#include "tools/beneath.h"
#include "tools/mkfs-rules.h"

/** A database that one of the sources has. */
struct mlimg_database {
	char *path;
	char *records; /**< what differs; empty: nothing */
	size_t size;
	struct mlimg_records_sums sums;
};

/** Those of a layer, in byte order of their paths. */
struct mlimg_databases {
	struct mlimg_database *list;
	size_t n, room;
};

/**
 * The text of a database as the layers show it: composed of the file and of records.
 *
 * @param beneath   the layers
 * @param path      of a database
 * @param ret_text  NUL-terminated (the NUL is not counted), empty when there is none; free() it
 * @param ret_size  bytes
 * @param err       names image and path
 * @return          0; -EUCLEAN when it is not in its form, or not what the manifest says; other
 *                  -errno
 */
int mlimg_databases_beneath(const struct mlimg_beneath *beneath, const char *path, char **ret_text,
	size_t *ret_size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Take the captured files out of the tree, and compare them.
 *
 * Refused: what is no such database, or has several names; under the rule older-library, a package
 * that is older than beneath and has shared libraries (dpkg has a file PACKAGE.shlibs of it).
 *
 * @param top            the layer's own tree, finished
 * @param beneath        what it lies over
 * @param rules          which are in force
 * @param ret_databases  mlimg_databases_done() when done, also on failure
 * @param err            names the path
 * @return               0, -EUCLEAN, -ENOMEM, other -errno
 */
int mlimg_databases_take(struct mlimg_node *top, const struct mlimg_beneath *beneath,
	const struct mlimg_rules *rules, struct mlimg_databases *ret_databases,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return the database at @p path, or NULL */
const struct mlimg_database *mlimg_databases_find(
	const struct mlimg_databases *databases, const char *path);

/**
 * Write the records into the image and into the layer's description.
 *
 * @param databases  those of the layer
 * @param tree       the image's
 * @param own        its directory /mlimg
 * @param data       takes contents
 * @param info       gets paths and digests
 */
int mlimg_databases_write(const struct mlimg_databases *databases, struct mlimg_tree *tree,
	struct mlimg_node *own, struct mlimg_data *data, struct mlimg_layer_info *info,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Say on @p f what became of them. */
void mlimg_databases_report(const struct mlimg_databases *databases, FILE *f);

/** Free what they own. */
void mlimg_databases_done(struct mlimg_databases *databases);

#endif
