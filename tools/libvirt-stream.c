/* SPDX-License-Identifier: MIT */
#include "tools/libvirt-stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "tools/libvirt-err.h"
#include "tools/progress.h"

/* What goes over. The callbacks' ints are libvirt's: -1 ends the stream. */
struct transfer {
	int fd;
	uint64_t at, size; /* bytes */
	struct mlimg_sha256 sha;
	struct mlimg_progress progress;
	int error; /* errno of the file, 0 */
	bool is_too_long;
};

static void begin(struct transfer *t, const char *what)
{
	mlimg_sha256_init(&t->sha);
	mlimg_progress_init(&t->progress, what, t->size);
}

static void end(struct transfer *t, char ret_digest[MLIMG_SHA256_HEX_SIZE])
{
	uint8_t digest[MLIMG_SHA256_SIZE];

	mlimg_progress_end(&t->progress);
	mlimg_sha256_end(&t->sha, digest);
	mlimg_sha256_hex(digest, ret_digest);
}

static void add_zeroes(struct transfer *t, uint64_t size)
{
	static const char zeroes[65536];

	for (uint64_t n; size > 0; size -= n) {
		n = size < sizeof(zeroes) ? size : sizeof(zeroes);
		mlimg_sha256_add(&t->sha, zeroes, n);
	}
}

static int stop(struct transfer *t, int error)
{
	t->error = error;
	return -1;
}

/* Never more than the file had when its size was taken. */
static int give(virStreamPtr stream, char *data, size_t size, void *ctx)
{
	struct transfer *t = ctx;
	uint64_t left = t->size - t->at;
	ssize_t n = pread(t->fd, data, size < left ? size : left, (off_t)t->at);

	if (n < 0)
		return stop(t, errno);
	mlimg_sha256_add(&t->sha, data, (size_t)n);
	t->at += (uint64_t)n;
	mlimg_progress_update(&t->progress, t->at);
	return (int)n;
}

/* What comes next: data or a hole, and how much of it. At the end: a hole of nothing. */
static int find_hole(virStreamPtr stream, int *is_data, long long *length, void *ctx)
{
	struct transfer *t = ctx;
	off_t at = (off_t)t->at, data = t->at < t->size ? lseek(t->fd, at, SEEK_DATA) : -1;
	off_t next;

	if (t->at < t->size && data < 0 && errno != ENXIO)
		return stop(t, errno);
	*is_data = data == at;
	next = data == at ? lseek(t->fd, at, SEEK_HOLE) : data;
	if (next < 0 || (uint64_t)next > t->size)
		next = (off_t)t->size;
	*length = next - at;
	return 0;
}

static int skip_hole(virStreamPtr stream, long long length, void *ctx)
{
	struct transfer *t = ctx;

	if (length < 0 || (uint64_t)length > t->size - t->at)
		return stop(t, EFBIG);
	add_zeroes(t, (uint64_t)length);
	t->at += (uint64_t)length;
	return 0;
}

static int take(virStreamPtr stream, const char *data, size_t size, void *ctx)
{
	struct transfer *t = ctx;
	size_t done = 0;

	/* Of a host that sends more than was asked for. */
	if (size > t->size - t->at)
		return stop(t, EFBIG);
	mlimg_sha256_add(&t->sha, data, size);
	while (t->fd >= 0 && done < size) {
		ssize_t n = pwrite(t->fd, data + done, size - done, (off_t)(t->at + done));

		if (n < 0)
			return stop(t, errno);
		done += (size_t)n;
	}
	t->at += size;
	mlimg_progress_update(&t->progress, t->at);
	return (int)size;
}

/* Not reached, or reached wrongly: libvirt's reason, or the file's. */
static int fail(struct transfer *t, virStorageVolPtr vol, const char *what, struct mlimg_err *err)
{
	const char *name = virStorageVolGetName(vol);

	mlimg_progress_end(&t->progress);
	if (t->error)
		return mlimg_err_set(err, t->error, "%s volume '%s'", what, name);
	return mlimg_libvirt_fail(err, "%s volume '%s'", what, name);
}

int mlimg_libvirt_upload(virStorageVolPtr vol, int fd, uint64_t size_bytes,
	char ret_digest[MLIMG_SHA256_HEX_SIZE], struct mlimg_err *err)
{
	struct transfer t = {.fd = fd, .size = size_bytes};
	virStreamPtr stream = virStreamNew(virStorageVolGetConnect(vol), 0);
	int ret = 0;

	begin(&t, "uploading");
	if (!stream ||
		virStorageVolUpload(
			vol, stream, 0, size_bytes, VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM) < 0 ||
		virStreamSparseSendAll(stream, give, find_hole, skip_hole, &t) < 0 ||
		virStreamFinish(stream) < 0)
		ret = fail(&t, vol, "write", err);
	if (stream)
		virStreamFree(stream);
	if (ret == 0)
		end(&t, ret_digest);
	return ret;
}

/* What the volume lacks at its end is a hole that nobody has told of. */
int mlimg_libvirt_download(virStorageVolPtr vol, uint64_t size_bytes, int fd,
	char ret_digest[MLIMG_SHA256_HEX_SIZE], struct mlimg_err *err)
{
	struct transfer t = {.fd = fd, .size = size_bytes};
	virStreamPtr stream = virStreamNew(virStorageVolGetConnect(vol), 0);
	int ret = 0;

	begin(&t, fd >= 0 ? "downloading" : "reading back");
	if (!stream ||
		virStorageVolDownload(
			vol, stream, 0, size_bytes, VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM) < 0 ||
		virStreamSparseRecvAll(stream, take, skip_hole, &t) < 0 ||
		virStreamFinish(stream) < 0)
		ret = fail(&t, vol, "read", err);
	if (stream)
		virStreamFree(stream);
	if (ret == 0 && t.at != size_bytes) {
		mlimg_progress_end(&t.progress);
		return mlimg_err_set(err, EIO, "read volume '%s': %llu of %llu bytes are there",
			virStorageVolGetName(vol), (unsigned long long)t.at,
			(unsigned long long)size_bytes);
	}
	if (ret == 0 && fd >= 0 && ftruncate(fd, (off_t)size_bytes) < 0) {
		t.error = errno;
		return fail(&t, vol, "read", err);
	}
	if (ret == 0)
		end(&t, ret_digest);
	return ret;
}

int mlimg_libvirt_digest(
	int fd, uint64_t size_bytes, char ret_digest[MLIMG_SHA256_HEX_SIZE], struct mlimg_err *err)
{
	struct transfer t = {.fd = fd, .size = size_bytes};
	char data[65536];
	int n = 1;

	begin(&t, "reading");
	while (t.at < t.size && n > 0)
		n = give(NULL, data, sizeof(data), &t);
	if (t.at < t.size) {
		mlimg_progress_end(&t.progress);
		return mlimg_err_set(err, n < 0 ? t.error : EIO, "read");
	}
	end(&t, ret_digest);
	return 0;
}
