/* SPDX-License-Identifier: MIT */
/**
 * @file lowers.h
 * Contents of files as the read-only layers have them, before there is a union to read them
 * through. A file is known by the entry that the merged manifest has of it; which layer that is
 * from need not be known, for what has its digest is its contents, and nothing else is taken.
 */
#ifndef MLIMG_LOWERS_H
#define MLIMG_LOWERS_H

#include "guest-agent/mounted.h"

/** Trees, the topmost first. Zero it to begin with. */
struct mlimg_lowers {
	int fds[MLIMG_BOOT_LAYERS_MAX + 2];
	size_t n;
	size_t n_whole;  /**< so many of them show together all that there is */
	bool has_system; /**< the others are what is beneath /run/mlimg/system */
};

/**
 * Open what is mounted beneath /run/mlimg: index/rootfs, or composed/rootfs (composed.h), which
 * need not be there, and layers/N/rootfs; and /run/mlimg/system above the system and its patches,
 * through which a patch's references lead to contents.
 *
 * @param root_fd     /run/mlimg
 * @param is_index    the layers are an index'
 * @param layers      bottom first
 * @param n_layers    their number
 * @param ret_lowers  mlimg_lowers_close() it, also on failure
 * @param err         names the tree
 * @return            0 or -errno
 */
int mlimg_lowers_open(int root_fd, bool is_index, const struct mlimg_mounted *layers,
	size_t n_layers, struct mlimg_lowers *ret_lowers, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Close them. */
void mlimg_lowers_close(struct mlimg_lowers *lowers);

/**
 * Copy a file's contents.
 *
 * @param lowers  see there
 * @param entry   a regular file with its digest
 * @param to_fd   an empty file, writable
 * @param err     names the path
 * @return        0; -EUCLEAN when no layer has these contents there; -errno
 */
int mlimg_lowers_copy(const struct mlimg_lowers *lowers, const struct mlimg_entry *entry, int to_fd,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read a file's contents.
 *
 * @param lowers    see there
 * @param path      as in manifests
 * @param digest    of the contents
 * @param max       bytes; more are -EFBIG
 * @param ret_data  NUL-terminated; free() it
 * @param ret_size  bytes
 * @return          0; -ENOENT when no layer has these contents there; -ENOMEM
 */
int mlimg_lowers_read(const struct mlimg_lowers *lowers, const char *path,
	const uint8_t digest[MLIMG_SHA256_SIZE], size_t max, char **ret_data,
	size_t *ret_size) MLIMG_MUST_CHECK;

#endif
