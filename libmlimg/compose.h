/* SPDX-License-Identifier: MIT */
/**
 * @file compose.h
 * Databases composed across the layers of a stack: what no layer has as a file, since it is made of
 * one layer's file and the records of those above it (records.h). Decided here for all union
 * drivers, from manifests; where contents are read from is the caller's affair, and so is what
 * becomes of the result: entries of an index, or a directory that is one more layer.
 *
 * What a stack shows at the path of a database, from its topmost layer down; the first row that is
 * true of a layer counts:
 *
 *     the layer has a file there            that file
 *     it has records of this database       they change what the layers beneath it show
 *     it has a whiteout there, or hides     nothing
 *     a directory on the way
 *     it has nothing there                  what the layers beneath it show
 *
 * So records are always to what was beneath when they were made, whatever else their layer hides.
 * Anything else than a file or a whiteout at such a path is refused where records meet it, and so
 * is anything else than a directory on the way to one.
 *
 * Groups of update-alternatives have a file each, which a layer has whole; compose-alternatives.h
 * says what a stack shows of them, and of their links. They are composed where any layer has
 * records, as every layer has that brings packages.
 *
 * The result is a tree of its own, to lie above all layers: databases that records change, groups
 * that are other than in the topmost layer, and their links, what is below, and the directories on the way to them. A directory has the attributes that the stack
 * shows, a database those of the file that is changed, and the newest time among that file's and
 * those of its directory in the layers whose records count; what no layer has is root's, 0755, 0644
 * or, of passwords, 0600. trusted.overlay.* is left out. All of this follows from the layers' build
 * ids: the same stack gives the same bytes.
 *
 * Two layers that were made over the same system may have given one id to different users or
 * groups: then the upper one's have another one in the stack (accounts-layers.h), and the files and
 * directories that its manifest says are theirs are in this tree too, as they are but with the new
 * owner, with all their contents. Symlinks keep their number; anything else is refused. A layer
 * cannot be made over two such layers (mlimg_compose_text() refuses).
 *
 * As text the tree's manifest has one header line, "# mlimg-composed N", with the number of these
 * rules.
 */
#ifndef MLIMG_COMPOSE_H
#define MLIMG_COMPOSE_H

#include <stdbool.h>

#include "libmlimg/layer.h"
#include "libmlimg/manifest.h"
#include "libmlimg/records.h"

/**
 * To be raised when the same layers give another tree: what was composed and kept before is then
 * composed anew, as is an index.
 */
#define MLIMG_COMPOSE_REVISION 2
#define MLIMG_COMPOSED_FILES_MAX 16384          /**< files of a composed tree */
#define MLIMG_COMPOSED_BYTES_MAX (128u << 20)   /**< of all of them */
#define MLIMG_COMPOSED_MANIFEST_MAX (16u << 20) /**< bytes of the manifest that a reader accepts */

/** The layers of a stack, and how they are read. */
struct mlimg_compose_layers {
	size_t n; /**< read-only layers, bottom first */
	const struct mlimg_layer_info *const *infos;
	const struct mlimg_manifest *const *manifests;
	/**
	 * Read a file out of layer @p layer, whose manifest has @p entry; a patch's reference is to
	 * be followed. free() the text.
	 * @return 0, -errno
	 */
	int (*read_file)(void *ctx, size_t layer, const struct mlimg_entry *entry, char **ret_text,
		size_t *ret_size, struct mlimg_err *err);
	/** Read /mlimg/records/PATH of layer @p layer. free() the text. @return 0, -errno */
	int (*read_records)(void *ctx, size_t layer, const struct mlimg_layer_records *records,
		char **ret_text, size_t *ret_size, struct mlimg_err *err);
	void *ctx;
};

/** A composed tree. Zero it to begin with. */
struct mlimg_composed {
	struct mlimg_manifest *manifest; /**< NULL when no layer has records */
	struct mlimg_records_text
		*texts; /**< of each entry of it; of files only. NULL: nobody has read them */
};

/** @return whether any layer has records */
bool mlimg_compose_is_needed(const struct mlimg_layer_info *const *infos, size_t n);

/**
 * What the layers show of one database.
 *
 * @param layers    see there
 * @param path      of a database
 * @param ret_text  NUL-terminated (the NUL is not counted), empty when they show none; free() it
 * @param ret_size  bytes
 * @param err       names the layer and the path. Refused: contents without the digest that manifest
 *                  or layer.json say, or not in their form
 * @return          0, -EUCLEAN, -ENOMEM, what a callback returned
 */
int mlimg_compose_text(const struct mlimg_compose_layers *layers, const char *path, char **ret_text,
	size_t *ret_size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Compose all that records change.
 *
 * @param layers        see there
 * @param ret_composed  mlimg_composed_done() it, also on failure
 * @param err           as mlimg_compose_text(); refused is also more than MLIMG_COMPOSED_FILES_MAX
 *                      or MLIMG_COMPOSED_BYTES_MAX
 * @return              as mlimg_compose_text()
 */
int mlimg_compose(const struct mlimg_compose_layers *layers, struct mlimg_composed *ret_composed,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return whether the manifest of a composed tree was made by these rules */
bool mlimg_composed_is_current(const struct mlimg_manifest *manifest);

/** Free what it owns; accepts a zeroed one. */
void mlimg_composed_done(struct mlimg_composed *composed);

#endif
