/* SPDX-License-Identifier: MIT */
/* Contents on their way into an image: what is decided about a file while it lies in a buffer. */
#include "tests/lib/test.h"

#include <fcntl.h>

#include "libmlimg/sha256.h"
#include "tools/ext4-data.h"
#include "tools/ext4-pipe.h"

#define SIZE MLIMG_BUFFER_SIZE

static int alloc(void *ctx, uint64_t *ret_start, uint64_t *ret_count, struct mlimg_err *err)
{
	*ret_start = 10;
	*ret_count = 100000;
	return 0;
}

static void put(struct mlimg_data *data, struct mlimg_file *file, const uint8_t *bytes, size_t size)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	mlimg_data_begin(data, file, true);
	ASSERT_OK(mlimg_data_write(data, bytes, size, &err), err);
	ASSERT_OK(mlimg_data_end(data, &err), err);
}

/* Two files of the same contents, behind @n_empty empty ones. */
static void put_twins(int fd, size_t n_empty, const uint8_t *bytes, const uint8_t *digest)
{
	struct mlimg_file *empty = calloc(n_empty, sizeof(*empty)), twins[2] = {0};
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_data *data;

	ASSERT(empty);
	ASSERT_OK(mlimg_data_new(fd, "image", alloc, NULL, &data, &err), err);
	ASSERT_OK(mlimg_data_dedupe(data, &err), err);
	for (size_t i = 0; i < n_empty; i++)
		put(data, &empty[i], NULL, 0);
	put(data, &twins[0], bytes, SIZE);
	put(data, &twins[1], bytes, SIZE);
	ASSERT_OK(mlimg_data_share(data, &err), err);
	ASSERT_OK(mlimg_data_sync(data, NULL, &err), err);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(memcmp(twins[i].digest, digest, MLIMG_SHA256_SIZE), 0);
		ASSERT_EQ(twins[i].n_extents, 1);
		ASSERT_EQ(twins[i].one.start, 10);
		ASSERT_EQ(twins[i].one.count, SIZE / MLIMG_BLOCK_SIZE);
	}
	mlimg_data_free(data);
	free(empty);
}

/*
 * The first twin's end comes into the buffer that the second one fills when the one before has as
 * many pieces as one takes: then the second one is decided about in a buffer that is full.
 */
TEST(a_file_that_fills_a_buffer_is_the_same_as_the_one_before)
{
	uint8_t *bytes = malloc(SIZE), digest[MLIMG_SHA256_SIZE];
	int fd = open(test_tmpdir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	ASSERT(bytes && fd >= 0);
	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (uint8_t)(i ^ i >> 12);
	mlimg_sha256_of(bytes, SIZE, digest);
	for (size_t n_empty = MLIMG_PIECES_MAX - 6; n_empty <= MLIMG_PIECES_MAX; n_empty++)
		put_twins(fd, n_empty, bytes, digest);
	close(fd);
	free(bytes);
}
