/* SPDX-License-Identifier: MIT */
/**
 * @file index-compile.h
 * From layer images to an index image: opens the layers, checks that they make a stack, merges
 * (index-merge.h), writes.
 */
#ifndef MLIMG_TOOLS_INDEX_COMPILE_H
#define MLIMG_TOOLS_INDEX_COMPILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmlimg/err.h"
#include "libmlimg/sha256.h"

/** How to compile. */
struct mlimg_index_options {
	bool is_joined; /**< for one disk with the layers (libmlimg/index.h) */
	bool replace;   /**< an existing file may be replaced */
	bool has_tree;  /**< append a hash tree (libmlimg/verity.h) */
};

/** What was compiled. */
struct mlimg_index_result {
	char stack_id[MLIMG_SHA256_HEX_SIZE];
	uint64_t size_bytes;                   /**< without its hash tree */
	char root_hash[MLIMG_SHA256_HEX_SIZE]; /**< of the hash tree, or "" */
	size_t n_layers;
	/** index of the first layer that was built over something else; 0 for none */
	size_t not_built_over;
};

/**
 * Compile an index.
 *
 * @param images    paths of layer images, bottom first
 * @param n_images  1 or more
 * @param target    where to write it: replaced atomically, durable on return; nothing is left of it
 *                  on failure
 * @param options   how
 * @param ret       what it is; may be NULL
 * @return          0; -EUCLEAN when a layer is refused; other -errno
 */
int mlimg_index_compile(const char *const *images, size_t n_images, const char *target,
	const struct mlimg_index_options *options, struct mlimg_index_result *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
