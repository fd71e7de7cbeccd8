/* SPDX-License-Identifier: MIT */
/*
 * Reading of a hostile index. The input is a list of changes to a sound one that has one of
 * everything: records of five bytes, a little-endian offset (modulo the index's size) and the byte
 * to put there. They are made once to an index beside its layers, and once to a joined one with its
 * layers behind it. The superblock's checksum is made right again, since it would stop every change
 * to block 0 at the door. With FUZZ_SAY in the environment the error is printed.
 */
#include "tests/lib/erofs-base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct erofs_base base;

/* @size: bytes of @sound, whose first base.size are the index */
static void try(const uint8_t *sound, size_t size, const uint8_t *changes, size_t changes_size)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint8_t *image = malloc(size);

	if (!image)
		abort();
	memcpy(image, sound, size);
	for (size_t i = 0; i + 5 <= changes_size; i += 5) {
		const uint8_t *c = changes + i;
		uint32_t at =
			c[0] | (uint32_t)c[1] << 8 | (uint32_t)c[2] << 16 | (uint32_t)c[3] << 24;

		image[at % base.size] = c[4];
	}
	erofs_base_sum(image);
	if (erofs_base_examine(image, size, base.layers, &err) < 0 && getenv("FUZZ_SAY"))
		fprintf(stderr, "%s\n", err.text);
	free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!base.data)
		erofs_base_make(&base);
	try(base.data, base.size, data, size);
	try(base.disk, base.disk_size, data, size);
	return 0;
}
