/* SPDX-License-Identifier: MIT */
/* The first bytes of a stranger's disk. What is called sound must have numbers that make sense. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest-agent/identify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const struct mlimg_disk *disk)
{
	struct mlimg_device device = {.path = "disk", .disk = *disk};
	char *text = NULL;
	size_t size, tabs = 0;
	FILE *f = open_memstream(&text, &size);

	mlimg_identify_print(&device, f);
	fclose(f);
	for (size_t i = 0; i < size; i++)
		tabs += text[i] == '\t';
	if (tabs != 5 || size < 1 || strchr(text, '\n') != text + size - 1)
		abort();
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mlimg_disk disk;
	int fd = memfd_create("disk", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	mlimg_disk_probe(fd, &disk);
	close(fd);
	if (disk.sb.state == MLIMG_SUPERBLOCK_SOUND &&
		(disk.sb.block_size < 1024 || disk.sb.block_size > 65536 ||
			disk.sb.size_bytes < disk.sb.block_size))
		abort();
	if (disk.state == MLIMG_DISK_LAYER && !disk.is_index &&
		(!disk.kind || disk.sb.size_bytes > size))
		abort();
	if (disk.state == MLIMG_DISK_LAYER && disk.is_index &&
		(disk.kind || disk.index.size_bytes > size))
		abort();
	check_line(&disk);
	return 0;
}
