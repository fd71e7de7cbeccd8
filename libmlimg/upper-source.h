/* SPDX-License-Identifier: MIT */
/**
 * @file upper-source.h
 * An upper as something to read: a directory (the agent, tests), or a user layer's image
 * (tools/upper-image.h). Whoever plans a reconcile does not see which, nor which union driver wrote
 * it.
 *
 * The neutral form is overlayfs' own (whiteout.h): a whiteout is a character device 0:0, what
 * replaces a directory has trusted.overlay.opaque, a directory that was renamed has
 * trusted.overlay.redirect. unionfs-fuse's markers (unionfs.h) become the first two: a marker
 * beside which the branch has a directory makes it opaque; one beside or above which it has
 * anything else, or that is below what another one hides, says nothing; any other is a whiteout.
 * Its directory need not be there: with unionfs-fuse a whiteout may be in a directory that the
 * upper lacks. What a flag of the file system makes immutable or append-only has overlayfs' mark of
 * that (mlimg_entry_mark_flags()).
 */
#ifndef MLIMG_UPPER_SOURCE_H
#define MLIMG_UPPER_SOURCE_H

#include "libmlimg/manifest.h"
#include "libmlimg/walk.h"

/** An upper. */
struct mlimg_upper_source {
	/**
	 * Read all entries, in the neutral form: hard links are grouped, nothing is digested.
	 *
	 * @param source        this
	 * @param skip          told of what cannot be read; NULL: that is an error
	 * @param ctx           handed to @p skip
	 * @param ret_manifest  mlimg_manifest_free() it
	 * @param err           names the path
	 * @return              0; when there are more entries than MLIMG_ENTRIES_MAX, or they would
	 *                      take more memory than they may, -E2BIG of a directory, and an image
	 *                      is refused (-EUCLEAN); other -errno
	 */
	int (*load)(struct mlimg_upper_source *source, mlimg_walk_skip_fn *skip, void *ctx,
		struct mlimg_manifest **ret_manifest, struct mlimg_err *err);
	/** SHA-256 of the file at @p path. @return 0 or -errno */
	int (*digest)(struct mlimg_upper_source *source, const char *path,
		uint8_t ret_digest[MLIMG_SHA256_SIZE], struct mlimg_err *err);
	/**
	 * The contents of the file at @p path; more than @p max bytes: -EFBIG. @p ret_data: free()
	 * it.
	 *
	 * @return 0 or -errno
	 */
	int (*read)(struct mlimg_upper_source *source, const char *path, size_t max,
		char **ret_data, size_t *ret_size, struct mlimg_err *err);
	/** As read, but of a longer file only the first @p max bytes. @return 0 or -errno */
	int (*read_head)(struct mlimg_upper_source *source, const char *path, size_t max,
		char **ret_data, size_t *ret_size, struct mlimg_err *err);
};

/** An upper in a directory. */
struct mlimg_upper_dir {
	struct mlimg_upper_source source;
	int fd;          /**< the upper */
	bool is_unionfs; /**< unionfs-fuse wrote it */
	/** bytes that its entries may take; MLIMG_WALK_MEMORY_MAX unless changed */
	size_t memory_max;
};

/**
 * Make a source of a directory.
 *
 * @param ret_dir     the source; nothing is to be freed
 * @param upper_fd    the upper; stays open as long as the source is used
 * @param is_unionfs  unionfs-fuse wrote it
 */
void mlimg_upper_dir_init(struct mlimg_upper_dir *ret_dir, int upper_fd, bool is_unionfs);

/**
 * Bring an upper that unionfs-fuse wrote into the neutral form.
 *
 * @param upper  all entries, markers included; changed
 * @param err    see there
 * @return       0, -ENOMEM
 */
int mlimg_upper_from_unionfs(struct mlimg_manifest *upper, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
