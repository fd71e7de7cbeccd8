/* SPDX-License-Identifier: MIT */
/**
 * @file oci-store.h
 * Where the files of a container image lie: a directory (an OCI image layout), or an archive, whose
 * members are then found by name and read where they are. An archive that is compressed or comes
 * through a pipe is copied first (spool.h).
 */
#ifndef MLIMG_TOOLS_OCI_STORE_H
#define MLIMG_TOOLS_OCI_STORE_H

#include "libmlimg/cleanup.h"
#include "tools/source.h"

#define MLIMG_OCI_MEMBERS_MAX 65536 /**< members of an archive */

struct mlimg_oci_store;

/** A file of the store. */
struct mlimg_oci_part {
	int fd;          /**< readable; the store's or @p own_fd */
	int own_fd;      /**< to be closed, or -1 */
	uint64_t offset; /**< of its first byte in @p fd */
	uint64_t size_bytes;
};

#define MLIMG_OCI_PART_INIT            \
	{                              \
		.fd = -1, .own_fd = -1 \
	}

/**
 * Open.
 *
 * @param path       a directory, an archive, or "-" for an archive on standard input
 * @param to         for a copy, and its budget
 * @param ret_store  mlimg_oci_store_free() it
 * @param err        names @p path
 * @return           0; -EUCLEAN when the archive is damaged; other -errno
 */
int mlimg_oci_store_open(const char *path, const struct mlimg_source_to *to,
	struct mlimg_oci_store **ret_store, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free it; accepts NULL. */
void mlimg_oci_store_free(struct mlimg_oci_store *store);
MLIMG_DEFINE_CLEANUP(struct mlimg_oci_store, mlimg_oci_store_free)

/** @return what it is called in messages */
const char *mlimg_oci_store_name(const struct mlimg_oci_store *store);

/** @return whether there is something of that name */
bool mlimg_oci_store_has(const struct mlimg_oci_store *store, const char *path);

/**
 * Find a file.
 *
 * @param store     the store
 * @param path      as the image names it; links within the store are followed, none out of it
 * @param ret_part  mlimg_oci_part_done() when done
 * @param err       names store and file: not there, there twice, no regular file
 * @return          0; -EUCLEAN; other -errno
 */
int mlimg_oci_store_find(struct mlimg_oci_store *store, const char *path,
	struct mlimg_oci_part *ret_part, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Close what it owns. */
void mlimg_oci_part_done(struct mlimg_oci_part *part);

/**
 * Read a small file.
 *
 * @param store     the store
 * @param path      the file
 * @param max       more bytes than this are refused
 * @param ret_text  NUL-terminated; free() it
 * @param ret_size  bytes
 */
int mlimg_oci_store_read(struct mlimg_oci_store *store, const char *path, size_t max,
	char **ret_text, size_t *ret_size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Whether the tar @p fd looks like an archive of images, by the names of its first members. */
bool mlimg_oci_is_archive(int fd);

#endif
