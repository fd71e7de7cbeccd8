/* SPDX-License-Identifier: MIT */
/*
 * Reading of a hostile image. The input is a list of changes to a sound image that has one of
 * everything: records of five bytes, a little-endian offset (modulo the image's size) and the byte
 * to put there. The image has no checksums, which would stop nearly every change at the door.
 */
#include "tests/lib/ext4-base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t *base, *image;
	static size_t base_size;
	struct mlimg_err err = MLIMG_ERR_INIT;

	if (!base) {
		base = base_image("^metadata_csum", &base_size);
		image = malloc(base_size);
		if (!image)
			abort();
		memcpy(image, base, base_size);
	}
	for (size_t i = 0; i + 5 <= size; i += 5) {
		uint32_t at = data[i] | (uint32_t)data[i + 1] << 8 | (uint32_t)data[i + 2] << 16 |
			(uint32_t)data[i + 3] << 24;

		image[at % base_size] = data[i + 4];
	}
	base_examine(image, base_size, &err);
	for (size_t i = 0; i + 5 <= size; i += 5) {
		uint32_t at = data[i] | (uint32_t)data[i + 1] << 8 | (uint32_t)data[i + 2] << 16 |
			(uint32_t)data[i + 3] << 24;

		image[at % base_size] = base[at % base_size];
	}
	return 0;
}
