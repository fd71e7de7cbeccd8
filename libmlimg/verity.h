/* SPDX-License-Identifier: MIT */
/**
 * @file verity.h
 * dm-verity on a layer image: where its hash tree lies, and the sidecar, the file beside an image
 * that holds what has to be known from elsewhere than the image. Making and checking of trees and
 * signatures is not here (tools/verity-*.h).
 *
 * Behind the file system of a read-only layer, whose size stays as it is, lies the hash area:
 *
 *     | ext4 file system | superblock of the hash tree, one block | top level, one block | ... | level 0 |
 *     0                  hash_offset_bytes
 *
 * Sources: the kernel's Documentation/admin-guide/device-mapper/verity.rst (the tree, hash format
 * 1: a digest is that of salt, then block), cryptsetup's wiki page DMVerity, "Verity superblock
 * format". Blocks of data and of hashes have 4096 bytes, so a block of hashes holds 128 SHA-256
 * digests, and is filled up with zeros. A level holds the digests of the blocks of the one below
 * it, level 0 those of the file system's; the root hash is the digest of the top level's only
 * block. The superblock, little endian:
 *
 *     0   8  "verity\0\0"                        64   4  4096, bytes of a data block
 *     8   4  1, its version                      68   4  4096, bytes of a hash block
 *     12  4  1, hash format                      72   8  blocks of data: the file system's
 *     16 16  UUID: the file system's             80   2  32, bytes of the salt
 *     32 32  "sha256", filled up with zeros      88 256  salt, filled up with zeros
 *
 * All else in its block is zero. The salt is the SHA-256 of "mlimg-verity-salt " and the build id
 * in hexadecimal, so that the same input gives the same root hash. The root hash is not in the
 * image: whoever can write the image could write it too.
 *
 * An index (index.h) can have a hash tree as well, behind its own last block; there the stack id
 * takes the build id's place, and sidecar and signature there are none: what it is compiled from
 * vouches for it, and whoever compiled it knows its root hash.
 *
 * A signed layer has its signature behind the tree, where a guest finds it without being told.
 * Nothing that knows of trees alone looks there. Little endian:
 *
 *     0   8  "mlimgsig"         12  4  bytes of the signature, 1..MLIMG_SIGNATURE_MAX
 *     8   4  1, its version     16  …  the signature, filled up with zeros to a whole block
 *
 * Beside IMAGE lie
 *
 *     IMAGE.layer.json  the sidecar: the keys of the image's own /mlimg/layer.json (layer.h), then
 *         "verity": { "root_hash": "<64 hex>", "salt": "<64 hex>", "hash_algorithm": "sha256",
 *                     "hash_type": 1, "data_block_size": 4096, "hash_block_size": 4096,
 *                     "data_blocks": 217088, "hash_offset_bytes": 889192448,
 *                     "signature": "<base64>" }
 *     IMAGE.p7s         the signature once more, as it is, for programs that want it in a file
 *
 * the latter and "signature" only where the image is signed. A signature is a detached PKCS#7 one
 * (RFC 2315) in DER, without certificates and signed attributes, of the 64 characters of the root
 * hash: what dm-verity takes (root_hash_sig_key_desc) and `veritysetup --root-hash-signature` hands
 * to it. Unknown keys are ignored.
 *
 * Many root hashes become one, the stack's hash: the SHA-256 of the text
 *
 *     mlimg-verity-stack 1
 *     <32 hex: UUID of the file system> <64 hex: its root hash>
 *
 * with a line, newline included, for each read-only layer, bottom first, and then for the index
 * where there is one. A root hash stands for all that is in its file system, the description with
 * the whole build id included.
 */
#ifndef MLIMG_VERITY_H
#define MLIMG_VERITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmlimg/layer.h"

#define MLIMG_VERITY_BLOCK 4096            /**< bytes of a block of data or hashes */
#define MLIMG_VERITY_FANOUT 128            /**< digests in a block of hashes */
#define MLIMG_VERITY_LEVELS_MAX 9          /**< 128^9 blocks are 2^75 bytes */
#define MLIMG_SIDECAR_SUFFIX ".layer.json" /**< of the sidecar's name, behind the image's */
#define MLIMG_SIGNATURE_SUFFIX ".p7s"      /**< of the signature's name */
/** Bytes of a sidecar that a reader accepts: a layer.json, a signature in base64, and some. */
#define MLIMG_SIDECAR_MAX (MLIMG_LAYER_JSON_MAX + 2 * MLIMG_SIGNATURE_MAX)
/**
 * Bytes of a signature that a reader accepts: with a key of RSA 4096 and the longest of names it
 * has fewer than 2000.
 */
#define MLIMG_SIGNATURE_MAX 16384

/** A hash tree and what belongs to it. */
struct mlimg_verity {
	uint64_t data_blocks;       /**< of the file system */
	uint64_t hash_offset_bytes; /**< where the superblock of the tree lies */
	uint8_t salt[MLIMG_SHA256_SIZE];
	char root_hash[MLIMG_SHA256_HEX_SIZE]; /**< "" as long as it is not known */
	uint8_t *signature;                    /**< DER; NULL for none; owned */
	size_t signature_size;
};

/** Where the levels of a tree lie. */
struct mlimg_verity_levels {
	size_t n; /**< 1..MLIMG_VERITY_LEVELS_MAX */
	struct {
		uint64_t offset_bytes; /**< in the image */
		uint64_t n_blocks;
	} level[MLIMG_VERITY_LEVELS_MAX]; /**< 0: the digests of the data */
	uint64_t end_bytes;               /**< of the hash area, which is that of the image */
};

/**
 * What follows from the size of the file system alone.
 *
 * @param data_blocks        of the file system, at least 2
 * @param hash_offset_bytes  where the superblock of the tree lies
 * @param ret_levels         the levels
 * @return                   false when there are too many blocks or too few
 */
bool mlimg_verity_levels(
	uint64_t data_blocks, uint64_t hash_offset_bytes, struct mlimg_verity_levels *ret_levels);

/** The salt of the layer with that build id. */
void mlimg_verity_salt(const char *build_id, uint8_t ret_salt[MLIMG_SHA256_SIZE]);

/** @return whether the block begins as the superblock of a hash tree does */
bool mlimg_verity_is_super(const uint8_t block[MLIMG_VERITY_BLOCK]);

/**
 * Read the superblock of a hash tree; it may come from a stranger.
 *
 * @param block       the block behind the file system
 * @param uuid        the file system's
 * @param n_blocks    of the file system
 * @param ret_verity  data_blocks, hash_offset_bytes, salt; the rest is 0
 * @param err         of kind MLIMG_ERR_REFUSED: what is not as described above
 * @return            0, -EUCLEAN
 */
int mlimg_verity_parse_super(const uint8_t block[MLIMG_VERITY_BLOCK],
	const uint8_t uuid[MLIMG_UUID_SIZE], uint64_t n_blocks, struct mlimg_verity *ret_verity,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Write a sidecar.
 *
 * @param info      the layer's description
 * @param verity    complete
 * @param ret_text  NUL-terminated text that ends with a newline; free() it
 * @return          0, -ENOMEM
 */
int mlimg_sidecar_to_json(const struct mlimg_layer_info *info, const struct mlimg_verity *verity,
	char **ret_text, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read a sidecar; it may come from a stranger.
 *
 * @param text        bytes
 * @param size        their number, at most MLIMG_SIDECAR_MAX
 * @param ret_info    filled on success; mlimg_layer_info_done() when done
 * @param ret_verity  filled on success; mlimg_verity_done() when done
 * @param err         what is not as described above
 * @return            0, -EUCLEAN, -ENOMEM
 */
int mlimg_sidecar_from_json(const char *text, size_t size, struct mlimg_layer_info *ret_info,
	struct mlimg_verity *ret_verity, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** A file system with a hash tree: a disk or a file, or a part of one. */
struct mlimg_verity_part {
	int fd;                /**< readable */
	const char *name;      /**< as messages begin with it */
	uint64_t offset_bytes; /**< where the file system begins */
	uint64_t size_bytes;   /**< of the part, with all that lies behind the file system */
	uint8_t uuid[MLIMG_UUID_SIZE]; /**< the file system's */
	uint64_t n_blocks;             /**< of the file system */
};

/**
 * Find the hash tree and its root hash, and the signature where there is one; all may come from a
 * stranger. The top level's block is all of the tree that is read.
 *
 * @param part        where
 * @param ret_verity  complete; mlimg_verity_done() when done
 * @param err         names the part; of kind MLIMG_ERR_REFUSED: it has no tree, not all of one, or
 *                    something that is not as described above
 * @return            0, -EUCLEAN, -ENOMEM, other -errno
 */
int mlimg_verity_read(const struct mlimg_verity_part *part, struct mlimg_verity *ret_verity,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The last step of mlimg_verity_read() by itself, for whoever has found the tree in another way.
 *
 * @param part    where; uuid and n_blocks are not looked at
 * @param verity  gets the signature, where there is one
 * @param err     as mlimg_verity_read()
 * @return        as mlimg_verity_read()
 */
int mlimg_verity_read_signature(const struct mlimg_verity_part *part, struct mlimg_verity *verity,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return the byte where hash tree and signature end; 0 for an impossible number of blocks */
uint64_t mlimg_verity_end(const struct mlimg_verity *verity);

/**
 * A signature as it lies behind a tree.
 *
 * @param signature  DER
 * @param size       bytes, 1..MLIMG_SIGNATURE_MAX
 * @param ret_area   free() it
 * @param ret_size   whole blocks
 * @return           0, -ENOMEM
 */
int mlimg_verity_pack_signature(const uint8_t *signature, size_t size, uint8_t **ret_area,
	size_t *ret_size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** One of a stack's hash trees. */
struct mlimg_verity_root {
	uint8_t uuid[MLIMG_UUID_SIZE]; /**< the file system's */
	char root_hash[MLIMG_SHA256_HEX_SIZE];
};

/** The hash of a stack with these root hashes: layers bottom first, then the index. */
void mlimg_verity_stack_hash(const struct mlimg_verity_root *roots, size_t n_roots,
	char ret_hash[MLIMG_SHA256_HEX_SIZE]);

/** Free what @p verity owns; accepts NULL and a zeroed one. */
void mlimg_verity_done(struct mlimg_verity *verity);

#endif
