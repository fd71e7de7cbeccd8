/* SPDX-License-Identifier: MIT */
/*
 * An index's superblock and device table, and what lies behind a joined one, as they are and again
 * with a checksum that fits, so that what is not covered by it is reached.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libmlimg/crc32c.h"
#include "libmlimg/erofs-format.h"
#include "libmlimg/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(int fd, size_t size)
{
	struct mlimg_index_disk disk = {.fd = fd, .name = "layer"};
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_index index;

	if (mlimg_index_read(fd, "index", &index, &err) < 0) {
		if (!err.text[0])
			abort();
		return;
	}
	if (index.n_layers < 1 || index.n_layers > MLIMG_STACK_LAYERS_MAX ||
		size < EROFS_BLOCK_SIZE)
		abort();
	for (size_t i = 0; i < index.n_layers; i++)
		if (strlen(index.layers[i].tag) != MLIMG_EROFS_TAG_SIZE)
			abort();
	for (size_t i = 0; index.is_joined && i < index.n_layers; i++)
		if (mlimg_index_room(&index, i) < index.layers[i].n_blocks ||
			mlimg_index_room(&index, i) > index.disk_blocks)
			abort();
	if (index.is_joined && mlimg_index_check_joined(&index, &disk, &err) < 0 && !err.text[0])
		abort();
	/* An index is no layer. */
	if (mlimg_index_check(&index, "index", &disk, 1, &err) == 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("index", MFD_CLOEXEC);
	uint8_t block[EROFS_BLOCK_SIZE];
	uint32_t crc;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	look(fd, size);
	if (size >= sizeof(block)) {
		memcpy(block, data, sizeof(block));
		memset(block + EROFS_SB_OFFSET + 4, 0, 4);
		crc = htole32(mlimg_crc32c(
			~0u, block + EROFS_SB_OFFSET, sizeof(block) - EROFS_SB_OFFSET));
		memcpy(block + EROFS_SB_OFFSET + 4, &crc, 4);
		if (pwrite(fd, block, sizeof(block), 0) != sizeof(block))
			abort();
		look(fd, size);
	}
	close(fd);
	return 0;
}
