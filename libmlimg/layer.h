/* SPDX-License-Identifier: MIT */
/**
 * @file layer.h
 * What a layer is: its kind, name, version and identity, and the two texts that carry them, the
 * header lines of its manifest and /mlimg/layer.json. Reading and writing of images is not here
 * (tools/), this is about the words.
 *
 * Layout of a layer image (ext4, label "mlimg-<kind>", UUID derived from the build id):
 *
 *     read-only layer: /rootfs  the tree        /mlimg/layer.json   this description
 *                                               /mlimg/manifest     the manifest (manifest.h)
 *                                               /mlimg/records/...  databases' records (records.h)
 *     user layer:      /upper /work             /mlimg/layer.json   this description
 *                      /carve-outs              of the boot (guest-agent/carve.h)
 *                                               /mlimg/...          mlimg-agent's (boot.h)
 *
 * The build id is the SHA-256 of the manifest's text, header lines included:
 *
 *     # mlimg-format 1
 *     # mlimg-kind system|software|user|patch
 *     # mlimg-name NAME
 *     # mlimg-version VERSION
 *     # mlimg-over BUILDID       software layers: one line for each layer beneath, bottom first
 *     # mlimg-instance HEX32     user layers: what tells apart two that are otherwise the same
 *     # mlimg-base BUILDID       patch layers: the system that it turns into another (stack.h)
 *     # mlimg-result BUILDID     patch layers: the build id of that other system as a layer of its own
 *     # mlimg-records PATH SHA256  software layers: one line for each file of records, by PATH
 *     # mlimg-rebuild PATH         software layers: one line for each cache of the whole tree that
 *                                  must be rebuilt, by PATH
 *
 * Both paths are relative to the tree's root and consist of the bytes that a manifest does not
 * escape. SHA256 is the digest of /mlimg/records/PATH. What a program makes out of all that shows
 * in a stack, as /etc/ld.so.cache, is left out of software layers; the path tells which program
 * rebuilds it (rebuild.h). A list of commands would be for whoever can change an image to fill.
 *
 * layer.json, keys in this order:
 *
 *     { "format": 1, "kind": "system", "name": "debian", "version": "12.11",
 *       "build_id": "<64 hex>", "over": ["<64 hex>", ...], "instance": "<32 hex>",
 *       "base": "<64 hex>", "result": "<64 hex>",
 *       "records": [{ "path": "var/lib/dpkg/status", "sha256": "<64 hex>" }, ...],
 *       "rebuild": ["etc/ld.so.cache", ...],
 *       "entries": 30000, "size_bytes": 840000000, "time": 1700000000 }
 *
 * "over" is there for software layers that are over something, "instance" for user layers, "base"
 * and "result" for patch layers, "records" and "rebuild" where they are not empty. Unknown keys are
 * ignored, so that later versions may add some; another "format" is refused.
 *
 * A patch layer is what differs between two versions of a system: its name and version are those of
 * the new one. It holds entries and whiteouts as a software layer does, and references (patch.h).
 */
#ifndef MLIMG_LAYER_H
#define MLIMG_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmlimg/err.h"
#include "libmlimg/manifest.h"
#include "libmlimg/sha256.h"

#define MLIMG_LAYER_FORMAT 1
#define MLIMG_LAYER_NAME_MAX \
	64 /**< characters of a name or version: [A-Za-z0-9][A-Za-z0-9._+~:-]* */
#define MLIMG_LAYER_OVER_MAX 128    /**< layers beneath one layer */
#define MLIMG_LAYER_JSON_MAX 65536  /**< bytes of layer.json that a reader accepts */
#define MLIMG_LAYER_RECORDS_MAX 256 /**< files of records in one layer */
#define MLIMG_LAYER_REBUILD_MAX 256 /**< caches to be rebuilt of one layer */
#define MLIMG_LAYER_PATH_MAX 128    /**< bytes of the path of either */
#define MLIMG_SHORT_ID 20           /**< hex digits of a short id: what a virtio-blk serial holds */
#define MLIMG_UUID_SIZE 16          /**< bytes of a file system UUID */
#define MLIMG_UUID_TEXT_SIZE 37     /**< its text, NUL included */

/** Kind of a layer. */
enum mlimg_kind {
	MLIMG_SYSTEM = 1,
	MLIMG_SOFTWARE,
	MLIMG_USER,
	MLIMG_PATCH,
};

#define MLIMG_KIND_LAST MLIMG_PATCH /**< for loops over all kinds */

/** A file of records. */
struct mlimg_layer_records {
	char *path; /**< of the database, in the tree */
	char digest[MLIMG_SHA256_HEX_SIZE];
};

/** Description of a layer. */
struct mlimg_layer_info {
	enum mlimg_kind kind;
	char name[MLIMG_LAYER_NAME_MAX + 1];
	char version[MLIMG_LAYER_NAME_MAX + 1];
	char build_id[MLIMG_SHA256_HEX_SIZE]; /**< "" as long as it is not known */
	char (*over)[MLIMG_SHA256_HEX_SIZE];  /**< bottom first; owned */
	size_t n_over;
	char instance[33];                  /**< 32 hex digits, "" unless kind is MLIMG_USER */
	char base[MLIMG_SHA256_HEX_SIZE];   /**< "" unless kind is MLIMG_PATCH */
	char result[MLIMG_SHA256_HEX_SIZE]; /**< "" unless kind is MLIMG_PATCH */
	uint64_t entries;                   /**< lines of the manifest that are entries */
	uint64_t size_bytes; /**< sum of the sizes of regular files, a hard link once */
	int64_t time_s;      /**< SOURCE_DATE_EPOCH, or the newest mtime of the source */
	struct mlimg_layer_records *records; /**< sorted by path; owned */
	size_t n_records;
	char **rebuild; /**< paths, sorted; owned */
	size_t n_rebuild;
};

/** @return "system", "software", "user" or "patch" */
const char *mlimg_kind_name(enum mlimg_kind kind);

/** @return the kind, or 0 when @p name is none of those */
enum mlimg_kind mlimg_kind_of(const char *name);

/**
 * @return whether @p name can be a layer's name or version: 1..64 of [A-Za-z0-9._+~:-], the first
 * alphanumeric
 */
bool mlimg_layer_name_is_valid(const char *name);

/** @return the volume label of @p kind, at most 16 characters as ext4 has it: "mlimg-system" */
const char *mlimg_kind_label(enum mlimg_kind kind);

/**
 * The UUID of a layer's file system: the first 16 bytes of the build id with version (8, "custom")
 * and variant of RFC 9562 set. So of the 32 hex digits all but the 13th and the 17th are the build
 * id's.
 *
 * @param build_id  64 hex digits
 * @param ret_uuid  16 bytes
 * @return          false when @p build_id is no build id
 */
bool mlimg_layer_uuid(const char *build_id, uint8_t ret_uuid[MLIMG_UUID_SIZE]);

/** The text of a UUID: lower-case hexadecimal digits in groups of 8, 4, 4, 4 and 12. */
void mlimg_uuid_format(const uint8_t uuid[MLIMG_UUID_SIZE], char ret_text[MLIMG_UUID_TEXT_SIZE]);

/**
 * @return whether a file system with @p uuid can be the layer whose build id begins with @p
 * id_prefix (20..64 hex digits)
 */
bool mlimg_layer_uuid_matches(const uint8_t uuid[MLIMG_UUID_SIZE], const char *id_prefix);

/** @return whether @p instance is 32 lower-case hexadecimal digits */
bool mlimg_layer_instance_is_valid(const char *instance);

/**
 * Add a build id on top of what @p info is over.
 *
 * @param info      the description
 * @param build_id  64 hexadecimal digits; copied
 * @param err       what is wrong
 * @return          0, -EUCLEAN when it is none or when there are MLIMG_LAYER_OVER_MAX already,
 *                  -ENOMEM
 */
int mlimg_layer_add_over(struct mlimg_layer_info *info, const char *build_id,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Whether who made a layer saw another one beneath it. Each is made over the system, with its
 * patches, of which a stack has only one.
 *
 * @param info   the description
 * @param other  that of a layer beneath it in the same stack
 * @return       true or false
 */
bool mlimg_layer_is_over(const struct mlimg_layer_info *info, const struct mlimg_layer_info *other);

/**
 * @return whether @p path can be that of records or of a cache: plain bytes, no ".", ".." or empty
 *         parts
 */
bool mlimg_layer_path_is_valid(const char *path);

/**
 * Add a file of records. Paths come in byte order.
 *
 * @param info    the description
 * @param path    of the database in the tree; copied
 * @param digest  of the records, 64 hexadecimal digits; copied
 * @param err     what is wrong
 * @return        0, -EUCLEAN when one of them is not valid, not in order, or one too many; -ENOMEM
 */
int mlimg_layer_add_records(struct mlimg_layer_info *info, const char *path, const char *digest,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Add a cache to be rebuilt. Paths come in byte order.
 *
 * @param info  the description
 * @param path  in the tree; copied
 * @param err   what is wrong
 * @return      as mlimg_layer_add_records()
 */
int mlimg_layer_add_rebuild(
	struct mlimg_layer_info *info, const char *path, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return whether two descriptions have the same records and caches to be rebuilt */
bool mlimg_layer_has_same_lists(const struct mlimg_layer_info *a, const struct mlimg_layer_info *b);

/**
 * Whether the members that a manifest's header holds are valid and fit each other: a kind, a name,
 * a version, "over", records and caches for software only, an instance for user layers and no
 * others, base and result for patch layers and no others.
 *
 * @return 0, -EUCLEAN
 */
int mlimg_layer_check(const struct mlimg_layer_info *info, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Put the manifest's header lines for @p info into @p sink ("# mlimg-format 1\n" ...). */
void mlimg_layer_put_header(const struct mlimg_layer_info *info, mlimg_sink *sink, void *ctx);

/**
 * Read the description back from a manifest's header; build_id, entries, size_bytes and time_s are
 * not in it and stay 0. Header lines with other keys are ignored, as unknown keys of layer.json
 * are.
 *
 * @param m         the manifest
 * @param ret_info  initialised by this call; mlimg_layer_info_done() when done
 * @return          0, -EUCLEAN, -ENOMEM
 */
int mlimg_layer_parse_header(const struct mlimg_manifest *m, struct mlimg_layer_info *ret_info,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Write layer.json.
 *
 * @param info      what to write
 * @param ret_text  NUL-terminated text that ends with a newline; free() it
 * @return          0, -EUCLEAN when it is longer than MLIMG_LAYER_JSON_MAX, -ENOMEM
 */
int mlimg_layer_to_json(const struct mlimg_layer_info *info, char **ret_text,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read layer.json; it may come from a stranger.
 *
 * @param text      bytes
 * @param size      their number, at most MLIMG_LAYER_JSON_MAX
 * @param ret_info  filled on success; mlimg_layer_info_done() when done
 * @return          0, -EUCLEAN when it is not what the format above says, -ENOMEM
 */
int mlimg_layer_from_json(const char *text, size_t size, struct mlimg_layer_info *ret_info,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what @p info owns; accepts NULL and a zeroed one. */
void mlimg_layer_info_done(struct mlimg_layer_info *info);

#endif
