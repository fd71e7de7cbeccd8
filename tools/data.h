/* SPDX-License-Identifier: MIT */
/**
 * @file data.h
 * Where the contents of a file can go: receivers for mlimg_ext4_read() and mlimg_itree_read().
 */
#ifndef MLIMG_TOOLS_DATA_H
#define MLIMG_TOOLS_DATA_H

#include "tools/ext4-read.h"

/** Write to a file descriptor, holes as zeros. @p ctx: const int *. */
int mlimg_data_to_fd(const void *data, uint64_t size, void *ctx, struct mlimg_err *err);

/**
 * Append to memory, holes as zeros. @p ctx: char **, where the next byte goes; the caller sees to
 * it that there is room.
 */
int mlimg_data_to_memory(const void *data, uint64_t size, void *ctx, struct mlimg_err *err);

/** Add to a running digest. @p ctx: struct mlimg_sha256 *. */
int mlimg_data_to_sha256(const void *data, uint64_t size, void *ctx, struct mlimg_err *err);

#endif
