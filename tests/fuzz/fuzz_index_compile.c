/* SPDX-License-Identifier: MIT */
/*
 * An index over hostile layers. The input is a list of changes to a sound system layer, a software
 * layer and a patch between them: records of five bytes, a little-endian offset (modulo the size of
 * all, one after the other) and the byte to put there. The images have no checksums, which would
 * stop nearly every change at the door. Whatever they hold, the index is made or an error is said,
 * and three megabytes of layers never become an index without bounds.
 */
#include <sys/stat.h>

#include "tests/lib/ext4-base.h"
#include "tools/index-merge.h"

/* 2^26 chunk indexes of 8 bytes, and the rest. */
#define INDEX_BYTES_MAX (1ull << 30)

#define N_LAYERS 3

/* Bottom first. */
static const size_t stack[N_LAYERS] = {0, 2, 1};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct layer_image {
	uint8_t *base, *bytes;
	size_t size;
	int fd;
};

static struct layer_image images[N_LAYERS];

static void make_images(void)
{
	static const char *const scripts[N_LAYERS] = {base_script, above_script, patch_script};

	for (size_t i = 0; i < N_LAYERS; i++) {
		images[i].base = base_image_of(scripts[i], "^metadata_csum", &images[i].size);
		images[i].fd = memfd_create("layer", MFD_CLOEXEC);
		if (images[i].fd < 0 ||
			mlimg_write_all(images[i].fd, images[i].base, images[i].size) < 0)
			abort();
		images[i].bytes = mmap(
			NULL, images[i].size, PROT_READ | PROT_WRITE, MAP_SHARED, images[i].fd, 0);
		if (images[i].bytes == MAP_FAILED)
			abort();
	}
}

static uint32_t offset_of(const uint8_t *record)
{
	return record[0] | (uint32_t)record[1] << 8 | (uint32_t)record[2] << 16 |
		(uint32_t)record[3] << 24;
}

/* Puts the bytes there, or the old ones back. */
static void change(const uint8_t *data, size_t size, bool is_back)
{
	for (size_t i = 0; i + 5 <= size; i += 5) {
		size_t at =
			offset_of(data + i) % (images[0].size + images[1].size + images[2].size);
		size_t k = 0;

		for (; at >= images[k].size; k++)
			at -= images[k].size;
		images[k].bytes[at] = is_back ? images[k].base[at] : data[i + 4];
	}
}

/* 0 or an error, which must be one. */
static void check(int r, const struct mlimg_err *err)
{
	if (r > 0 || (r < 0 && (err->code != r || !err->text[0])))
		abort();
}

static int open_layer(
	size_t i, struct mlimg_ext4 **fs, struct mlimg_layer_info *info, struct mlimg_err *err)
{
	char path[32];
	int r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", images[i].fd);
	r = mlimg_ext4_open(path, fs, err);
	return r < 0 ? r : mlimg_ext4_layer_info(*fs, info, err);
}

static void compile(const struct mlimg_index_layer *layers)
{
	mlimg_autoclose int fd = memfd_create("index", MFD_CLOEXEC);
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_erofs *image = NULL;
	uint64_t size;
	int r = mlimg_index_merge(
		layers, N_LAYERS, &(struct mlimg_index_texts){"{}", NULL}, NULL, 0, &image, &err);

	if (r == 0) {
		r = mlimg_erofs_write(image, fd, (const uint8_t[16]){1}, "fuzz", &size, &err);
		mlimg_erofs_free(image);
	}
	check(r, &err);
	if (r == 0 && size > INDEX_BYTES_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mlimg_index_layer layers[N_LAYERS] = {0};
	struct mlimg_layer_info infos[N_LAYERS] = {0};
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r = 0;

	if (!images[0].base)
		make_images();
	change(data, size, false);
	for (size_t i = 0; r == 0 && i < N_LAYERS; i++) {
		r = open_layer(stack[i], &layers[i].fs, &infos[i], &err);
		layers[i].info = &infos[i];
	}
	check(r, &err);
	if (r == 0)
		compile(layers);
	for (size_t i = 0; i < N_LAYERS; i++) {
		mlimg_ext4_close(layers[i].fs);
		mlimg_layer_info_done(&infos[i]);
	}
	change(data, size, true);
	return 0;
}
