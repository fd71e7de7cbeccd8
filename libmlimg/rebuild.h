/* SPDX-License-Identifier: MIT */
/**
 * @file rebuild.h
 * Caches that one program makes out of all that is in a tree, and what rebuilds each. A layer that
 * carried one would hide what other layers have put into theirs, so software layers are made
 * without them and list them instead (layer.h, "rebuild").
 *
 * The table is what the packages of Debian 12 make in their maintainer scripts and triggers
 * (libc-bin, gtk-update-icon-cache, shared-mime-info, desktop-file-utils, libglib2.0-0, fontconfig,
 * libgdk-pixbuf-2.0-0, libgtk2.0-0, libgtk-3-0, libgtk-4-1, install-info, man-db, udev, systemd,
 * kmod, tex-common, plocate), as far as it is made anew as a whole, and by the names that the
 * programs give, no others beside them. Files that are made of one other file, as Python's
 * __pycache__ is, are no such caches, nor are bundles without which programs fail rather than start
 * slower or find less, as /etc/ssl/certs/ca-certificates.crt is, nor /etc/mailcap, in which
 * update-mime(8) keeps a section of the user's own, nor the initramfs, which belongs to the kernel's
 * layer.
 *
 * The table says for each how its files begin, too. What a user has at such a path and begins
 * otherwise he has written himself, or another program has for him, so it is set aside where a cache
 * would be dropped. What begins so is dropped without a copy, whoever started the program: the next
 * run of it, which any package may cause, would replace the file as a whole, so nothing of a user's
 * can last in it; and each upgrade would leave a copy of megabytes that nobody asks for.
 */
#ifndef MLIMG_REBUILD_H
#define MLIMG_REBUILD_H

#include <stdbool.h>
#include <stddef.h>

#include "libmlimg/layer.h"

#define MLIMG_REBUILD_COMMAND_MAX 512 /**< bytes of a command, its NUL included */

/**
 * Whether a file is such a cache, or part of one.
 *
 * @param path        of a regular file in a tree, as in manifests
 * @param ret_listed  what a layer lists for it: the file, or the directory or file that stands for
 *                    all files which the same run of the program makes. Valid
 *                    (mlimg_layer_path_is_valid())
 * @return            false also when a layer cannot list it, because of odd bytes or its length
 */
bool mlimg_rebuild_is_cache(const char *path, char ret_listed[MLIMG_LAYER_PATH_MAX + 1]);

#define MLIMG_REBUILD_HEAD_SIZE \
	512 /**< bytes from which that can be told: a line, or a few bytes */

/**
 * Whether a file in the place of a cache is what its program has written there, to go by how it
 * begins. A file without contents is.
 *
 * @param path  for which mlimg_rebuild_is_cache() says so
 * @param data  how it begins
 * @param size  bytes of that: all of it, or at least MLIMG_REBUILD_HEAD_SIZE
 * @return      whether it begins so
 */
bool mlimg_rebuild_is_made(const char *path, const char *data, size_t size);

/**
 * The same of a file that is still to be read. What cannot be read is not known to be one.
 *
 * @param dir_fd  below which it is
 * @param name    its path there
 * @param path    its path in the tree
 * @return        whether it begins so
 */
bool mlimg_rebuild_is_made_beneath(int dir_fd, const char *name, const char *path);

/**
 * What rebuilds a cache.
 *
 * @param listed       what a layer lists
 * @param ret_command  program and arguments with one space between them. It is not for a shell:
 *                     what comes from a path may have any other byte. A program without '/' is in
 *                     PATH, or as glib-compile-schemas in /usr/lib/TRIPLET/glib-2.0
 * @return             false when the table has no such cache: a later version's
 */
bool mlimg_rebuild_command(const char *listed, char ret_command[MLIMG_REBUILD_COMMAND_MAX]);

/**
 * @return whether programs fail without the cache, or lack functions: libraries, plugins, modules,
 *         schemas, hardware. The others make something quicker, or let people find more
 */
bool mlimg_rebuild_is_needed(const char *listed);

#endif
