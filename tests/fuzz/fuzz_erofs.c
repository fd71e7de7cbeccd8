/* SPDX-License-Identifier: MIT */
/*
 * Reading of a hostile index. The input is a list of changes to a sound one that has one of everything: records of five bytes, a
 * little-endian offset (modulo the index's size) and the byte to put there. The superblock's checksum is made right again, since it would stop
 * every change to block 0 at the door. With FUZZ_SAY in the environment the error is printed.
 */
#include "tests/lib/erofs-base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct erofs_base base;
	static uint8_t *image;
	struct mlimg_err err = MLIMG_ERR_INIT;

	if (!image) {
		erofs_base_make(&base);
		image = malloc(base.size);
		if (!image)
			abort();
	}
	memcpy(image, base.data, base.size);
	for (size_t i = 0; i + 5 <= size; i += 5) {
		uint32_t at = data[i] | (uint32_t)data[i + 1] << 8 | (uint32_t)data[i + 2] << 16 |
			(uint32_t)data[i + 3] << 24;

		image[at % base.size] = data[i + 4];
	}
	erofs_base_sum(image);
	if (erofs_base_examine(image, base.size, base.layers, &err) < 0 && getenv("FUZZ_SAY"))
		fprintf(stderr, "%s\n", err.text);
	return 0;
}
