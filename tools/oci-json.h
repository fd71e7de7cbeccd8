/* SPDX-License-Identifier: MIT */
/**
 * @file oci-json.h
 * The JSON documents of container images as plain values. Whoever made an image may be a stranger:
 * every text is bounded before it is read, every field checked, and what two readers could
 * understand differently is refused.
 *
 * Source of the formats: the OCI image-spec v1.1 (image-layout.md, image-index.md, manifest.md,
 * descriptor.md, config.md); for the media types of Docker, its "Image Manifest Version 2, Schema
 * 2"; for manifest.json, which `docker save` writes, its "Image Specification v1.2", section
 * "Combined Image JSON + Filesystem Changeset Format".
 */
#ifndef MLIMG_TOOLS_OCI_JSON_H
#define MLIMG_TOOLS_OCI_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmlimg/err.h"
#include "libmlimg/sha256.h"

#define MLIMG_OCI_JSON_MAX \
	(4u << 20) /**< bytes of a document: what the image-spec wants readers to take */
#define MLIMG_OCI_LAYERS_MAX 512 /**< layers of an image; Docker makes at most 127 */
#define MLIMG_OCI_INDEX_MAX 4096 /**< images in an index */
#define MLIMG_OCI_WORD_SIZE \
	32 /**< bytes of an operating system's or architecture's name, NUL included */
#define MLIMG_OCI_TEXT_SIZE 256  /**< bytes of a media type, a tag, a path, NUL included */
#define MLIMG_OCI_DIGEST_SIZE 72 /**< bytes of "sha256:<64 hex>", NUL included */

/** What a descriptor points to. */
enum mlimg_oci_media {
	MLIMG_OCI_OTHER = 0, /**< none of these */
	MLIMG_OCI_INDEX,
	MLIMG_OCI_MANIFEST,
	MLIMG_OCI_CONFIG,
	MLIMG_OCI_LAYER, /**< a tar, uncompressed or with gzip or zstd */
};

/** What an image runs on. */
struct mlimg_oci_platform {
	char os[MLIMG_OCI_WORD_SIZE];
	char architecture[MLIMG_OCI_WORD_SIZE];
	char variant[MLIMG_OCI_WORD_SIZE]; /**< "" for none */
};

/** Which of several images is wanted. */
struct mlimg_oci_choice {
	struct mlimg_oci_platform platform;
	const char *ref; /**< its tag, or name and tag; NULL: whatever it is */
};

/** A descriptor: a reference to a blob by its digest. */
struct mlimg_oci_desc {
	enum mlimg_oci_media media;
	char media_type[MLIMG_OCI_TEXT_SIZE];
	uint8_t digest[MLIMG_SHA256_SIZE];
	uint64_t size_bytes;
	bool has_platform;
	struct mlimg_oci_platform platform;
	char ref[MLIMG_OCI_TEXT_SIZE];  /**< its tag, "" for none */
	char name[MLIMG_OCI_TEXT_SIZE]; /**< name and tag, "" for none */
};

/** index.json, or an index within it. */
struct mlimg_oci_index {
	struct mlimg_oci_desc *descs; /**< those of indexes and manifests; others do not count */
	size_t n_descs;
};

/** An image. */
struct mlimg_oci_manifest {
	struct mlimg_oci_desc config;
	struct mlimg_oci_desc *layers; /**< bottom first */
	size_t n_layers;
};

/** Of an image's configuration, what matters here. */
struct mlimg_oci_config {
	struct mlimg_oci_platform platform;
	uint8_t (*diff_ids)
		[MLIMG_SHA256_SIZE]; /**< digests of the uncompressed layers, bottom first */
	size_t n_diff_ids;
};

/** An image as manifest.json of `docker save` tells it. */
struct mlimg_oci_saved {
	char *config;  /**< path in the archive */
	char **layers; /**< paths, bottom first */
	size_t n_layers;
	char **tags; /**< name and tag */
	size_t n_tags;
};

/** All of a manifest.json. */
struct mlimg_oci_saved_list {
	struct mlimg_oci_saved *images;
	size_t n_images;
};

/** @return the digest as "sha256:<64 hex>" */
const char *mlimg_oci_digest_text(
	const uint8_t digest[MLIMG_SHA256_SIZE], char ret_text[MLIMG_OCI_DIGEST_SIZE]);

/**
 * Read a platform as people write it: "arm64", "linux/arm64", "linux/arm/v7".
 *
 * @return whether it is one
 */
bool mlimg_oci_platform_parse(const char *text, struct mlimg_oci_platform *ret_platform);

/** @return "linux/arm/v7" */
const char *mlimg_oci_platform_text(
	const struct mlimg_oci_platform *platform, char ret_text[4 * MLIMG_OCI_WORD_SIZE]);

/** Read the file oci-layout: whether the layout's version is one that is understood. */
int mlimg_oci_layout_parse(const char *text, size_t size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read an index.
 *
 * @param what       for messages: "index.json"
 * @param text       bytes
 * @param size       their number
 * @param ret_index  mlimg_oci_index_done() when done; zeroed on failure
 * @param err        of kind MLIMG_ERR_REFUSED: "WHAT: ..."
 * @return           0, -EUCLEAN, -ENOMEM
 */
int mlimg_oci_index_parse(const char *what, const char *text, size_t size,
	struct mlimg_oci_index *ret_index, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns; accepts a zeroed one. */
void mlimg_oci_index_done(struct mlimg_oci_index *index);

/**
 * Read a manifest; as mlimg_oci_index_parse(). A layer of a type that is not understood is refused.
 */
int mlimg_oci_manifest_parse(const char *what, const char *text, size_t size,
	struct mlimg_oci_manifest *ret_manifest, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns; accepts a zeroed one. */
void mlimg_oci_manifest_done(struct mlimg_oci_manifest *manifest);

/** Read an image's configuration; as mlimg_oci_index_parse(). */
int mlimg_oci_config_parse(const char *what, const char *text, size_t size,
	struct mlimg_oci_config *ret_config, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns; accepts a zeroed one. */
void mlimg_oci_config_done(struct mlimg_oci_config *config);

/** Read manifest.json; as mlimg_oci_index_parse(). */
int mlimg_oci_saved_parse(const char *text, size_t size, struct mlimg_oci_saved_list *ret_list,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns; accepts a zeroed one. */
void mlimg_oci_saved_done(struct mlimg_oci_saved_list *list);

#endif
