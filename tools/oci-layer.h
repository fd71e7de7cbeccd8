/* SPDX-License-Identifier: MIT */
/**
 * @file oci-layer.h
 * A layer of a container image as a tar that is read once from its first byte to its last, with
 * digests of both what is stored and what it unpacks to. Entries go into the tree before the
 * digests are known; whoever gets an error throws the tree away.
 */
#ifndef MLIMG_TOOLS_OCI_LAYER_H
#define MLIMG_TOOLS_OCI_LAYER_H

#include "tools/oci-store.h"

/** What an image says of one of its layers. */
struct mlimg_oci_layer {
	char *path;      /**< in the store; owned */
	bool has_digest; /**< of what is stored; what `docker save` wrote has none */
	uint8_t digest[MLIMG_SHA256_SIZE];
	uint64_t size_bytes;
	uint8_t diff_id[MLIMG_SHA256_SIZE]; /**< digest of what it unpacks to */
};

/**
 * Read a layer into the present level of the tree. Refused beside what mlimg_source_read_tar()
 * refuses: wrong digests, another size, compression within compression, or with anything but gzip
 * and zstd.
 *
 * @param store  where it lies
 * @param layer  which one
 * @param name   for messages: "IMAGE, layer 2 of 3"
 * @param to     where its entries go
 */
int mlimg_oci_layer_read(struct mlimg_oci_store *store, const struct mlimg_oci_layer *layer,
	const char *name, const struct mlimg_source_to *to, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
