/* SPDX-License-Identifier: MIT */
/* The sidecar: the one place of the verity module that knows jansson. */
#include <errno.h>
#include <nettle/base64.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/json.h"
#include "libmlimg/verity.h"

#define WHAT "verity"

static json_t *pack_signature(const struct mlimg_verity *verity)
{
	size_t size = BASE64_ENCODE_RAW_LENGTH(verity->signature_size);
	mlimg_autofree char *text = malloc(size);

	if (!text)
		return NULL;
	base64_encode_raw(text, verity->signature_size, verity->signature);
	return json_stringn(text, size);
}

static json_t *pack(const struct mlimg_verity *verity)
{
	mlimg_autojson json_t *json = NULL;
	char salt[MLIMG_SHA256_HEX_SIZE];

	mlimg_sha256_hex(verity->salt, salt);
	json = json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:I, s:I}", "root_hash", verity->root_hash,
		"salt", salt, "hash_algorithm", "sha256", "hash_type", 1, "data_block_size",
		MLIMG_VERITY_BLOCK, "hash_block_size", MLIMG_VERITY_BLOCK, "data_blocks",
		(json_int_t)verity->data_blocks, "hash_offset_bytes",
		(json_int_t)verity->hash_offset_bytes);
	/* A NULL is refused by the setter: so lack of memory shows. */
	if (!json ||
		(verity->signature &&
			json_object_set_new(json, "signature", pack_signature(verity)) < 0))
		return NULL;
	return mlimg_steal(&json);
}

int mlimg_sidecar_to_json(const struct mlimg_layer_info *info, const struct mlimg_verity *verity,
	char **ret_text, struct mlimg_err *err)
{
	mlimg_autofree char *layer = NULL, *dump = NULL;
	mlimg_autojson json_t *json = NULL;
	char *text;
	int r = mlimg_layer_to_json(info, &layer, err);

	if (r == 0)
		r = mlimg_json_load("layer.json", layer, strlen(layer), &json, err);
	if (r < 0)
		return r;
	if (json_object_set_new(json, "verity", pack(verity)) == 0)
		dump = json_dumps(json, JSON_INDENT(2));
	if (!dump || asprintf(&text, "%s\n", dump) < 0)
		return mlimg_err_set(err, ENOMEM, "write the sidecar");
	*ret_text = text;
	return 0;
}

/* What a number or word must be, there being no choice. */
static int check_fixed(const json_t *json, struct mlimg_err *err)
{
	static const struct {
		const char *key;
		json_int_t wanted;
	} numbers[] = {{"hash_type", 1}, {"data_block_size", MLIMG_VERITY_BLOCK},
		{"hash_block_size", MLIMG_VERITY_BLOCK}};
	char algorithm[16];
	int r = mlimg_json_get_text(
		WHAT, json, "hash_algorithm", algorithm, sizeof(algorithm), err);

	if (r == 0 && strcmp(algorithm, "sha256") != 0)
		return mlimg_err_refuse(err, WHAT ": hash_algorithm '%s' is unknown", algorithm);
	for (size_t i = 0; r == 0 && i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		json_int_t number;

		r = mlimg_json_get_integer(WHAT, json, numbers[i].key, 0, &number, err);
		if (r == 0 && number != numbers[i].wanted)
			return mlimg_err_refuse(err, WHAT ": '%s' is %lld, not %lld",
				numbers[i].key, (long long)number, (long long)numbers[i].wanted);
	}
	return r;
}

static int get_digest(const json_t *json, const char *key, uint8_t ret_digest[MLIMG_SHA256_SIZE],
	struct mlimg_err *err)
{
	char hex[MLIMG_SHA256_HEX_SIZE];
	int r = mlimg_json_get_text(WHAT, json, key, hex, sizeof(hex), err);

	if (r == 0 && !mlimg_sha256_is_hex(hex, ret_digest))
		return mlimg_err_refuse(
			err, WHAT ": '%s' is not 64 lower-case hexadecimal digits", key);
	return r;
}

static int get_signature(const json_t *json, struct mlimg_verity *verity, struct mlimg_err *err)
{
	const json_t *value = json_object_get(json, "signature");
	struct base64_decode_ctx ctx;
	size_t size = json_string_length(value), room = BASE64_DECODE_LENGTH(size);

	if (!value)
		return 0;
	if (!json_is_string(value) || room > MLIMG_SIGNATURE_MAX)
		return mlimg_err_refuse(
			err, WHAT ": 'signature' is no string, or longer than a signature");
	verity->signature = malloc(room + 1);
	if (!verity->signature)
		return mlimg_err_set(err, ENOMEM, "read the sidecar");
	base64_decode_init(&ctx);
	if (!base64_decode_update(&ctx, &room, verity->signature, size, json_string_value(value)) ||
		!base64_decode_final(&ctx) || room == 0)
		return mlimg_err_refuse(err, WHAT ": 'signature' is no base64");
	verity->signature_size = room;
	return 0;
}

static int fill(const json_t *json, struct mlimg_verity *verity, struct mlimg_err *err)
{
	struct mlimg_verity_levels levels;
	json_int_t data_blocks = 0, hash_offset_bytes = 0;
	uint8_t root[MLIMG_SHA256_SIZE];
	int r;

	if (!json_is_object(json))
		return mlimg_err_refuse(err, "no object 'verity'");
	r = check_fixed(json, err);
	if (r == 0)
		r = get_digest(json, "root_hash", root, err);
	if (r == 0)
		r = get_digest(json, "salt", verity->salt, err);
	if (r == 0)
		r = mlimg_json_get_integer(WHAT, json, "data_blocks", 0, &data_blocks, err);
	if (r == 0)
		r = mlimg_json_get_integer(
			WHAT, json, "hash_offset_bytes", 0, &hash_offset_bytes, err);
	if (r < 0)
		return r;
	mlimg_sha256_hex(root, verity->root_hash);
	verity->data_blocks = (uint64_t)data_blocks;
	verity->hash_offset_bytes = (uint64_t)hash_offset_bytes;
	if (!mlimg_verity_levels(verity->data_blocks, verity->hash_offset_bytes, &levels) ||
		verity->hash_offset_bytes / MLIMG_VERITY_BLOCK != verity->data_blocks ||
		verity->hash_offset_bytes % MLIMG_VERITY_BLOCK)
		return mlimg_err_refuse(
			err, WHAT ": 'hash_offset_bytes' is not the end of the data blocks");
	return get_signature(json, verity, err);
}

/* What is left without "verity" is a layer.json, which has a limit of its own. */
static int read_info(json_t *json, struct mlimg_layer_info *ret_info, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;

	json_object_del(json, "verity");
	text = json_dumps(json, JSON_INDENT(2));
	if (!text)
		return mlimg_err_set(err, ENOMEM, "read the sidecar");
	return mlimg_layer_from_json(text, strlen(text), ret_info, err);
}

int mlimg_sidecar_from_json(const char *text, size_t size, struct mlimg_layer_info *ret_info,
	struct mlimg_verity *ret_verity, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_verity_done) struct mlimg_verity verity = {0};
	mlimg_autojson json_t *json = NULL;
	int r;

	if (size > MLIMG_SIDECAR_MAX)
		return mlimg_err_refuse(err, "is longer than %d bytes", MLIMG_SIDECAR_MAX);
	r = mlimg_json_load("layer.json", text, size, &json, err);
	if (r == 0)
		r = fill(json_object_get(json, "verity"), &verity, err);
	if (r == 0)
		r = read_info(json, ret_info, err);
	if (r < 0)
		return r;
	*ret_verity = verity;
	verity = (struct mlimg_verity){0};
	return 0;
}
