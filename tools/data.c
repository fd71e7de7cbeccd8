/* SPDX-License-Identifier: MIT */
#include "tools/data.h"

#include <string.h>

#include "libmlimg/io.h"

#define ZEROS_SIZE 65536u

static const uint8_t zeros[ZEROS_SIZE];

int mlimg_data_to_fd(const void *data, uint64_t size, void *ctx, struct mlimg_err *err)
{
	const int *fd = ctx;

	while (size) {
		size_t n = data || size < ZEROS_SIZE ? (size_t)size : ZEROS_SIZE;
		int ret = mlimg_write_all(*fd, data ? data : zeros, n);

		if (ret < 0)
			return mlimg_err_set(err, ret, "write what was read");
		size -= n;
	}
	return 0;
}

int mlimg_data_to_memory(const void *data, uint64_t size, void *ctx, struct mlimg_err *err)
{
	char **next = ctx;

	if (data)
		memcpy(*next, data, size);
	else
		memset(*next, 0, size);
	*next += size;
	return 0;
}

int mlimg_data_to_sha256(const void *data, uint64_t size, void *ctx, struct mlimg_err *err)
{
	while (size) {
		size_t n = data || size < ZEROS_SIZE ? (size_t)size : ZEROS_SIZE;

		mlimg_sha256_add(ctx, data ? data : zeros, n);
		size -= n;
	}
	return 0;
}
