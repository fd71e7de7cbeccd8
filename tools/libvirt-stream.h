/* SPDX-License-Identifier: MIT */
/**
 * @file libvirt-stream.h
 * Files to and from the storage volumes of a host, holes as holes, with the SHA-256 of what went
 * over. Nothing of libvirt's is interpreted here.
 *
 * Sources: https://libvirt.org/html/libvirt-libvirt-stream.html
 */
#ifndef MLIMG_TOOLS_LIBVIRT_STREAM_H
#define MLIMG_TOOLS_LIBVIRT_STREAM_H

#include <libvirt/libvirt.h>
#include <stdint.h>

#include "libmlimg/err.h"
#include "libmlimg/sha256.h"

/**
 * Write a file into a volume.
 *
 * @param vol         the volume, blank and large enough
 * @param fd          the file; where it is read from does not matter
 * @param size_bytes  its size
 * @param ret_digest  of what was sent, all of the file
 * @param err         names the volume
 * @return            0 or -errno; then what is in the volume does not count
 */
int mlimg_libvirt_upload(virStorageVolPtr vol, int fd, uint64_t size_bytes,
	char ret_digest[MLIMG_SHA256_HEX_SIZE], struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read a volume.
 *
 * @param vol         the volume
 * @param size_bytes  how much of it, from its beginning
 * @param fd          an empty file for it, or -1: only its digest is wanted
 * @param ret_digest  of what was read
 * @param err         names the volume; it was shorter
 * @return            0 or -errno
 */
int mlimg_libvirt_download(virStorageVolPtr vol, uint64_t size_bytes, int fd,
	char ret_digest[MLIMG_SHA256_HEX_SIZE], struct mlimg_err *err) MLIMG_MUST_CHECK;

/** The digest of a file. @return 0 or -errno, with a message that says "read" and the error */
int mlimg_libvirt_digest(int fd, uint64_t size_bytes, char ret_digest[MLIMG_SHA256_HEX_SIZE],
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
