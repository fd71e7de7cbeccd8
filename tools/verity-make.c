/* SPDX-License-Identifier: MIT */
#include "tools/verity-make.h"

#include <errno.h>
#include <fcntl.h>
#include <libcryptsetup.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

/* libcryptsetup says what went wrong by a callback, and by a number of errno's. */
static void take_message(int level, const char *message, void *ctx)
{
	char *text = ctx;

	if (level != CRYPT_LOG_ERROR)
		return;
	snprintf(text, MLIMG_ERR_TEXT_SIZE, ": %.*s", (int)strcspn(message, "\n"), message);
}

static int format(struct crypt_device *cd, const char *path, const uint8_t uuid[MLIMG_UUID_SIZE],
	struct mlimg_verity *verity)
{
	struct crypt_params_verity params = {
		.hash_name = "sha256",
		.data_device = path,
		.salt = (const char *)verity->salt,
		.salt_size = sizeof(verity->salt),
		.hash_type = 1,
		.data_block_size = MLIMG_VERITY_BLOCK,
		.hash_block_size = MLIMG_VERITY_BLOCK,
		.data_size = verity->data_blocks,
		.hash_area_offset = verity->hash_offset_bytes,
		.flags = CRYPT_VERITY_CREATE_HASH,
	};
	uint8_t root[MLIMG_SHA256_SIZE];
	char uuid_text[MLIMG_UUID_TEXT_SIZE];
	size_t size = sizeof(root);
	int r;

	mlimg_uuid_format(uuid, uuid_text);
	r = crypt_format(cd, CRYPT_VERITY, NULL, NULL, uuid_text, NULL, 0, &params);
	if (r == 0)
		r = crypt_volume_key_get(cd, CRYPT_ANY_SLOT, (char *)root, &size, NULL, 0);
	if (r >= 0 && size == sizeof(root))
		mlimg_sha256_hex(root, verity->root_hash);
	return r < 0 ? r : 0;
}

static int make(const char *path, const char *image, const uint8_t uuid[MLIMG_UUID_SIZE],
	struct mlimg_verity *verity, struct mlimg_err *err)
{
	char message[MLIMG_ERR_TEXT_SIZE] = "";
	struct crypt_device *cd = NULL;
	int r;

	/* The library's own default would be standard output. */
	crypt_set_log_callback(NULL, take_message, message);
	r = crypt_init(&cd, path);
	if (r == 0)
		r = format(cd, path, uuid, verity);
	crypt_free(cd);
	crypt_set_log_callback(NULL, NULL, NULL);
	return r < 0 ? mlimg_err_set(err, r, "hash tree of '%s'%s", image, message) : 0;
}

int mlimg_verity_append(int fd, const char *tmp_path, const char *image, const char *id,
	const uint8_t uuid[MLIMG_UUID_SIZE], struct mlimg_verity *ret_verity, struct mlimg_err *err)
{
	struct mlimg_verity verity = {.root_hash = ""};
	struct mlimg_verity_levels levels;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return mlimg_err_set(err, errno, "hash tree of '%s'", image);
	verity.hash_offset_bytes = (uint64_t)st.st_size;
	verity.data_blocks = verity.hash_offset_bytes / MLIMG_VERITY_BLOCK;
	if (verity.hash_offset_bytes % MLIMG_VERITY_BLOCK ||
		!mlimg_verity_levels(verity.data_blocks, verity.hash_offset_bytes, &levels))
		return mlimg_err_set(err, EINVAL, "hash tree of '%s'", image);
	r = posix_fallocate(fd, st.st_size, (off_t)levels.end_bytes - st.st_size);
	if (r != 0)
		return mlimg_err_set(err, r, "write '%s'", image);
	mlimg_verity_salt(id, verity.salt);
	r = make(tmp_path, image, uuid, &verity, err);
	if (r < 0)
		return r;
	/* Who reads the tree expects it to end where verity.h says. */
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != levels.end_bytes)
		return mlimg_err_set(err, EIO, "hash tree of '%s': its size", image);
	*ret_verity = verity;
	return 0;
}

int mlimg_verity_append_signature(
	int fd, const char *image, const struct mlimg_verity *verity, struct mlimg_err *err)
{
	mlimg_autofree uint8_t *area = NULL;
	size_t size;
	int r = mlimg_verity_pack_signature(
		verity->signature, verity->signature_size, &area, &size, err);

	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_END) < 0)
		return mlimg_err_set(err, errno, "write '%s'", image);
	r = mlimg_write_all(fd, area, size);
	return r < 0 ? mlimg_err_set(err, r, "write '%s'", image) : 0;
}
