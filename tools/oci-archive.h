/* SPDX-License-Identifier: MIT */
/**
 * @file oci-archive.h
 * The members of a tar that holds container images, by name. Their contents stay where they are;
 * only headers are read, so this costs little for an archive on disk however large it is.
 */
#ifndef MLIMG_TOOLS_OCI_ARCHIVE_H
#define MLIMG_TOOLS_OCI_ARCHIVE_H

#include "tools/source.h"

/** A member. */
struct mlimg_oci_member {
	char *path; /**< normalised */
	char *link; /**< where a link leads, normalised; NULL when it is none */
	uint64_t offset, size_bytes;
	bool is_file;
};

/** All of them, sorted by path. Zero it to begin with. */
struct mlimg_oci_members {
	struct mlimg_oci_member *list;
	size_t n;
	size_t room; /**< bytes */
};

/**
 * Replace the file by its contents unpacked, if it is compressed.
 *
 * @param fd    the archive; replaced by a copy if need be
 * @param name  the archive's, for messages
 * @param to    for the copy, and its budget
 */
int mlimg_oci_unpack(int *fd, const char *name, const struct mlimg_source_to *to,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * List the members of an uncompressed tar.
 *
 * @param fd           the tar, in a file
 * @param name         its name, for messages
 * @param ret_members  mlimg_oci_members_done() when done, in any case
 */
int mlimg_oci_members_read(int fd, const char *name, struct mlimg_oci_members *ret_members,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return the member @p path, or NULL */
const struct mlimg_oci_member *mlimg_oci_members_find(
	const struct mlimg_oci_members *members, const char *path);

/** @return whether another member has the same path */
bool mlimg_oci_members_has_two(
	const struct mlimg_oci_members *members, const struct mlimg_oci_member *member);

/** Free them. */
void mlimg_oci_members_done(struct mlimg_oci_members *members);

#endif
