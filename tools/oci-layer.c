/* SPDX-License-Identifier: MIT */
/*
 * Two archives of libarchive in a row: the outer one unpacks ("raw"), the inner one reads the tar.
 * Between them and before them the bytes are hashed.
 */
#include "tools/oci-layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/sha256.h"
#include "tools/oci-json.h"
#include "tools/source-tar.h"

#define READ_SIZE 262144

struct stream {
	struct mlimg_tar tar;
	const struct mlimg_oci_layer *layer;
	const struct mlimg_source_to *to;
	struct mlimg_oci_part part;
	struct archive *outer;
	uint8_t *buffer;
	uint64_t pos;      /* in the part */
	uint64_t unpacked; /* bytes that came out */
	bool is_one;       /* what is stored is what it unpacks to: hashed once */
	struct mlimg_sha256 stored_sha, unpacked_sha;
	int result;           /* of what failed beneath the inner archive, */
	struct mlimg_err err; /* which cannot tell it */
};

static int fail_read(struct stream *s, int errnum)
{
	s->result = errnum ? mlimg_err_set(&s->err, errnum, "read '%s'", s->tar.name)
			   : mlimg_err_refuse(&s->err, "'%s' is cut short", s->tar.name);
	return -1;
}

/* Stored bytes, for the outer archive. */
static la_ssize_t read_stored(struct archive *a, void *ctx, const void **ret_bytes)
{
	struct stream *s = ctx;
	uint64_t left = s->part.size_bytes - s->pos;
	size_t want = left < READ_SIZE ? (size_t)left : READ_SIZE;
	ssize_t n;

	if (!want)
		return 0;
	do
		n = pread(s->part.fd, s->buffer, want, (off_t)(s->part.offset + s->pos));
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return fail_read(s, n < 0 ? errno : 0);
	if (s->layer->has_digest)
		mlimg_sha256_add(&s->stored_sha, s->buffer, (size_t)n);
	s->pos += (uint64_t)n;
	s->tar.stored_bytes = s->pos;
	*ret_bytes = s->buffer;
	return n;
}

static int fail_unpack(struct stream *s)
{
	if (s->result == 0)
		s->result = mlimg_err_refuse(&s->err, "'%s': damaged archive: %s", s->tar.name,
			archive_error_string(s->outer));
	return -1;
}

/* Unpacked bytes, for the inner archive. */
static la_ssize_t read_unpacked(struct archive *a, void *ctx, const void **ret_bytes)
{
	struct stream *s = ctx;
	const struct mlimg_budget *budget = s->to->budget;
	size_t size = 0;
	la_int64_t at;

	while (!size) {
		int r = archive_read_data_block(s->outer, ret_bytes, &size, &at);

		if (r == ARCHIVE_EOF)
			return 0;
		if (r != ARCHIVE_OK)
			return fail_unpack(s);
	}
	if (!s->is_one)
		mlimg_sha256_add(&s->unpacked_sha, *ret_bytes, size);
	s->unpacked += size;
	/* What entries hold is spent by the reader of entries; this is for what is none. */
	if (budget && s->unpacked > budget->limit_bytes) {
		s->result = mlimg_err_refuse(&s->err,
			"'%s': unpacks to more than %" PRIu64 " bytes; --limit allows more",
			s->tar.name, budget->limit_bytes);
		return -1;
	}
	return (la_ssize_t)size;
}

static struct archive *new_outer(void)
{
	struct archive *a = archive_read_new();

	if (a && archive_read_support_filter_gzip(a) == ARCHIVE_OK &&
		archive_read_support_filter_zstd(a) == ARCHIVE_OK &&
		archive_read_support_format_raw(a) == ARCHIVE_OK &&
		archive_read_support_format_empty(a) == ARCHIVE_OK)
		return a;
	archive_read_free(a);
	return NULL;
}

static int open_outer(struct stream *s, struct mlimg_err *err)
{
	struct archive_entry *entry;
	int r;

	s->outer = new_outer();
	if (!s->outer)
		return mlimg_err_set(err, ENOMEM, "read '%s'", s->tar.name);
	r = archive_read_open2(s->outer, s, NULL, read_stored, NULL, NULL);
	if (r == ARCHIVE_OK)
		r = archive_read_next_header(s->outer, &entry);
	if (r == ARCHIVE_EOF && s->result == 0)
		return mlimg_err_refuse(err, "'%s': not a tar archive", s->tar.name);
	if (r != ARCHIVE_OK)
		(void)fail_unpack(s);
	if (s->result < 0) {
		*err = s->err;
		return s->result;
	}
	s->is_one = archive_filter_count(s->outer) == 1 && s->layer->has_digest &&
		memcmp(s->layer->digest, s->layer->diff_id, MLIMG_SHA256_SIZE) == 0;
	if (archive_filter_count(s->outer) > 2)
		return mlimg_err_refuse(err, "'%s': compressed more than once", s->tar.name);
	return 0;
}

static int check_stored(struct stream *s, struct mlimg_err *err)
{
	char wanted[MLIMG_OCI_DIGEST_SIZE], found[MLIMG_OCI_DIGEST_SIZE];
	uint8_t digest[MLIMG_SHA256_SIZE];

	mlimg_sha256_end(&s->stored_sha, digest);
	if (memcmp(digest, s->layer->digest, sizeof(digest)) == 0)
		return 0;
	return mlimg_err_refuse(err, "'%s': digest is %s, not %s", s->tar.name,
		mlimg_oci_digest_text(digest, found),
		mlimg_oci_digest_text(s->layer->digest, wanted));
}

/* If what is stored is not what it should be, that is the one thing to say. */
static int check_after_failure(struct stream *s, int r, struct mlimg_err *err)
{
	const void *bytes;
	struct mlimg_err first = *err;

	if (first.kind != MLIMG_ERR_REFUSED || !s->layer->has_digest)
		return r;
	while (read_stored(NULL, s, &bytes) > 0)
		;
	if (s->pos == s->part.size_bytes && check_stored(s, err) < 0)
		return err->code;
	*err = first;
	return r;
}

static int open_stream(struct mlimg_tar *tar, struct archive **ret_archive, struct mlimg_err *err)
{
	struct stream *s = (struct stream *)tar;
	struct archive *inner;
	int r;

	s->pos = s->unpacked = 0;
	mlimg_sha256_init(&s->stored_sha);
	mlimg_sha256_init(&s->unpacked_sha);
	r = open_outer(s, err);
	if (r < 0) {
		r = check_after_failure(s, r, err);
		archive_read_free(s->outer);
		return r;
	}
	inner = archive_read_new();
	if (!inner || archive_read_support_format_tar(inner) != ARCHIVE_OK) {
		archive_read_free(inner);
		archive_read_free(s->outer);
		return mlimg_err_set(err, ENOMEM, "read '%s'", tar->name);
	}
	*ret_archive = inner;
	return archive_read_open2(inner, s, NULL, read_unpacked, NULL, NULL) != ARCHIVE_OK;
}

/* All that is left: what follows the end of the tar, and of what was compressed. */
static int drain(struct stream *s)
{
	const void *bytes;
	la_ssize_t n;

	while ((n = read_unpacked(NULL, s, &bytes)) > 0)
		;
	while (n == 0 && (n = read_stored(NULL, s, &bytes)) > 0)
		n = 0;
	return n < 0 ? s->result : 0;
}

static int check_unpacked(struct stream *s, struct mlimg_err *err)
{
	char wanted[MLIMG_OCI_DIGEST_SIZE], found[MLIMG_OCI_DIGEST_SIZE];
	uint8_t digest[MLIMG_SHA256_SIZE];

	mlimg_sha256_end(&s->unpacked_sha, digest);
	if (memcmp(digest, s->layer->diff_id, sizeof(digest)) == 0)
		return 0;
	return mlimg_err_refuse(err, "'%s': unpacked, its digest is %s, not %s", s->tar.name,
		mlimg_oci_digest_text(digest, found),
		mlimg_oci_digest_text(s->layer->diff_id, wanted));
}

static int close_stream(
	struct mlimg_tar *tar, struct archive *archive, int r, struct mlimg_err *err)
{
	struct stream *s = (struct stream *)tar;

	if (r == 0)
		r = drain(s);
	if (s->result < 0) {
		*err = s->err;
		r = s->result;
	}
	if (r < 0)
		r = check_after_failure(s, r, err);
	else if (s->layer->has_digest)
		r = check_stored(s, err);
	if (r == 0 && !s->is_one)
		r = check_unpacked(s, err);
	archive_read_free(archive);
	archive_read_free(s->outer);
	return r;
}

int mlimg_oci_layer_read(struct mlimg_oci_store *store, const struct mlimg_oci_layer *layer,
	const char *name, const struct mlimg_source_to *to, struct mlimg_err *err)
{
	struct stream s = {
		.tar = {.name = name, .is_oci = true, .open = open_stream, .close = close_stream},
		.layer = layer,
		.to = to,
		.err = MLIMG_ERR_INIT,
	};
	int r = mlimg_oci_store_find(store, layer->path, &s.part, err);

	if (r < 0)
		return r;
	s.buffer = malloc(READ_SIZE);
	if (!s.buffer)
		r = mlimg_err_set(err, ENOMEM, "read '%s'", name);
	else if (layer->has_digest && s.part.size_bytes != layer->size_bytes)
		r = mlimg_err_refuse(err, "'%s': has %" PRIu64 " bytes, not %" PRIu64, name,
			s.part.size_bytes, layer->size_bytes);
	else
		r = mlimg_tar_read(&s.tar, to, err);
	free(s.buffer);
	mlimg_oci_part_done(&s.part);
	return r;
}
