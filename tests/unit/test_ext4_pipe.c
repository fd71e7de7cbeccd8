/* SPDX-License-Identifier: MIT */
/* The threads that hash and write, with pwrite(2) in the hands of the test. */
#include "tests/lib/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tools/ext4-pipe.h"

#define BS MLIMG_BLOCK_SIZE

/* What the file system is like. */
static struct {
	bool refuses_direct; /* with EINVAL, at the first write */
	bool is_short;       /* a block at a time */
	int error;
	unsigned n_calls, n_begun, n_direct;
	size_t largest;
	bool is_held; /* writes wait */
	pthread_mutex_t lock;
	pthread_cond_t changed;
} fs = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* libc's, as the pipe calls it where file offsets have 64 bits. */
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset)
{
	bool is_direct = fcntl(fd, F_GETFL) & O_DIRECT;

	pthread_mutex_lock(&fs.lock);
	fs.n_begun++;
	pthread_cond_broadcast(&fs.changed);
	while (fs.is_held)
		pthread_cond_wait(&fs.changed, &fs.lock);
	fs.n_calls++;
	fs.n_direct += is_direct;
	if (size > fs.largest)
		fs.largest = size;
	pthread_mutex_unlock(&fs.lock);
	errno = fs.error ? fs.error : EINVAL;
	if (fs.error || (fs.refuses_direct && is_direct))
		return -1;
	return syscall(SYS_pwrite64, fd, bytes, fs.is_short && size > BS ? BS : size, offset);
}

static void hold(bool is_held)
{
	pthread_mutex_lock(&fs.lock);
	fs.is_held = is_held;
	pthread_cond_broadcast(&fs.changed);
	pthread_mutex_unlock(&fs.lock);
}

static void wait_for_call(void)
{
	pthread_mutex_lock(&fs.lock);
	while (!fs.n_begun)
		pthread_cond_wait(&fs.changed, &fs.lock);
	pthread_mutex_unlock(&fs.lock);
}

struct image {
	int fd;
	struct mlimg_pipe *pipe;
	struct mlimg_buffer *now;
	struct mlimg_err err;
};

static void begin(struct image *im)
{
	char path[300];

	*im = (struct image){.err = MLIMG_ERR_INIT};
	snprintf(path, sizeof(path), "%s/image", test_tmpdir());
	im->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ASSERT(im->fd >= 0);
	ASSERT_OK(mlimg_pipe_new(im->fd, "image", &im->pipe, &im->now, &im->err), im->err);
}

static void end(struct image *im)
{
	mlimg_pipe_free(im->pipe);
	ASSERT_EQ(fcntl(im->fd, F_GETFL) & O_DIRECT, 0);
	close(im->fd);
}

/* A buffer of @size bytes for @block, each byte what block and place say. */
static uint8_t byte_at(uint64_t place)
{
	return (uint8_t)(place ^ place >> 12 ^ place >> 20);
}

static int put(struct image *im, uint64_t block, size_t size, bool is_waiting)
{
	im->now->block = block;
	im->now->fill = size;
	for (size_t i = 0; i < size; i++)
		im->now->bytes[i] = byte_at(block * BS + i);
	return mlimg_pipe_submit(im->pipe, is_waiting, &im->now, &im->err);
}

static void check(struct image *im, uint64_t block, size_t size)
{
	uint8_t *map = mmap(NULL, block * BS + size, PROT_READ, MAP_SHARED, im->fd, 0);

	ASSERT(map != MAP_FAILED);
	for (size_t i = 0; i < size; i++)
		if (map[block * BS + i] != byte_at(block * BS + i))
			FAIL("byte %zu from block %" PRIu64, i, block);
	munmap(map, block * BS + size);
}

TEST(writes_past_the_cache_where_that_works)
{
	struct image im;

	begin(&im);
	/* Where the test's directory is on a file system that cannot, there is nothing to see. */
	if (fcntl(im.fd, F_GETFL) & O_DIRECT) {
		ASSERT_OK(put(&im, 3, 5 * BS, true), im.err);
		check(&im, 3, 5 * BS);
		ASSERT_EQ(fs.n_direct, 1);
	}
	end(&im);
}

TEST(writes_through_the_cache_where_it_must)
{
	struct image im;

	fs.refuses_direct = true;
	begin(&im);
	for (uint64_t i = 0; i < 20; i++)
		ASSERT_OK(put(&im, 1 + i * 3, 2 * BS, false), im.err);
	ASSERT_OK(put(&im, 100, BS, true), im.err);
	for (uint64_t i = 0; i < 20; i++)
		check(&im, 1 + i * 3, 2 * BS);
	ASSERT(fs.n_direct <= 1);
	end(&im);
}

TEST(goes_on_after_a_short_write)
{
	struct image im;

	fs.is_short = true;
	begin(&im);
	ASSERT_OK(put(&im, 7, 9 * BS, true), im.err);
	check(&im, 7, 9 * BS);
	ASSERT_EQ(fs.n_calls, 9);
	end(&im);
}

TEST(tells_an_error_of_a_write)
{
	struct image im;

	fs.error = ENOSPC;
	begin(&im);
	ASSERT_FAILS(
		put(&im, 0, BS, true), im.err, -ENOSPC, "write 'image': No space left on device");
	end(&im);
}

/* While the first write lasts, buffers pile up: those that follow each other become one write. */
TEST(joins_what_is_contiguous_and_nothing_else)
{
	const uint64_t blocks[] = {0, 256, 512, 768, 2000, 2256, 2261};
	const size_t sizes[] = {256 * BS, 256 * BS, 256 * BS, 256 * BS, 256 * BS, 5 * BS, 8 * BS};
	struct image im;

	begin(&im);
	hold(true);
	for (size_t i = 0; i < 7; i++) {
		ASSERT_OK(put(&im, blocks[i], sizes[i], false), im.err);
		if (i == 0)
			wait_for_call();
	}
	hold(false);
	ASSERT_OK(put(&im, 3000, BS, true), im.err);
	for (size_t i = 0; i < 7; i++)
		check(&im, blocks[i], sizes[i]);
	/*
	 * The held one; 256 to 1023; 2000 to 2260; 2261, which follows on the disk but not in
	 * memory; 3000.
	 */
	ASSERT_EQ(fs.n_calls, 5);
	ASSERT_EQ(fs.largest, 3 * 256 * BS);
	end(&im);
}

/* The ring of buffers begins again in the middle of what is contiguous. */
TEST(keeps_order_over_many_buffers)
{
	struct image im;

	begin(&im);
	for (uint64_t i = 0; i < 40; i++)
		ASSERT_OK(put(&im, i * 256, 256 * BS, i == 39), im.err);
	check(&im, 0, 40 * 256 * BS);
	end(&im);
}
