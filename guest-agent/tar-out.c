/* SPDX-License-Identifier: MIT */
#include "guest-agent/tar-out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/text.h"

#define BLOCK 512
#define RECORD ((size_t)20 * BLOCK) /* what a tar is filled up to, by custom */
#define BUFFER_SIZE ((size_t)1 << 16)
#define NAME_MAX_USTAR 100
#define ID_MAX_USTAR 2097151u /* seven octal digits */
#define SIZE_MAX_USTAR ((UINT64_C(1) << 33) - 1)

/* A header block (POSIX, "ustar Interchange Format"). */
struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], chksum[8], typeflag;
	char linkname[100], magic[6], version[2], uname[32], gname[32], devmajor[8], devminor[8];
	char prefix[155], rest[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a header is a block");

/* --- bytes --- */

static int flush(struct mlimg_tar_out *tar, struct mlimg_err *err)
{
	int r = mlimg_write_all(tar->fd, tar->buffer, tar->used);

	tar->used = 0;
	return r < 0 ? mlimg_err_set(err, r, "write the tar") : 0;
}

int mlimg_tar_out_data(
	struct mlimg_tar_out *tar, const void *data, size_t size, struct mlimg_err *err)
{
	const char *at = data;
	int r = 0;

	if (!tar->buffer)
		tar->buffer = malloc(BUFFER_SIZE);
	if (!tar->buffer)
		return mlimg_err_set(err, ENOMEM, "write the tar");
	tar->written += size;
	while (size > 0 && r == 0) {
		size_t n = BUFFER_SIZE - tar->used < size ? BUFFER_SIZE - tar->used : size;

		memcpy(tar->buffer + tar->used, at, n);
		tar->used += n;
		at += n;
		size -= n;
		if (tar->used == BUFFER_SIZE)
			r = flush(tar, err);
	}
	return r;
}

/* Zeros up to a multiple of @unit. */
static int fill(struct mlimg_tar_out *tar, size_t unit, struct mlimg_err *err)
{
	static const char zeros[BLOCK];
	int r = 0;

	while (tar->written % unit && r == 0) {
		size_t n = unit - (size_t)(tar->written % unit);

		r = mlimg_tar_out_data(tar, zeros, n < BLOCK ? n : BLOCK, err);
	}
	return r;
}

int mlimg_tar_out_file_end(struct mlimg_tar_out *tar, struct mlimg_err *err)
{
	return fill(tar, BLOCK, err);
}

int mlimg_tar_out_end(struct mlimg_tar_out *tar, struct mlimg_err *err)
{
	static const char zeros[2 * BLOCK];
	int r = mlimg_tar_out_data(tar, zeros, sizeof(zeros), err);

	if (r == 0)
		r = fill(tar, RECORD, err);
	return r < 0 ? r : flush(tar, err);
}

void mlimg_tar_out_done(struct mlimg_tar_out *tar)
{
	free(tar->buffer);
	tar->buffer = NULL;
}

/* --- extended headers --- */

static bool is_ascii(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text >= 0x80)
			return false;
	return true;
}

/* Overlong forms and surrogates pass: readers that mind them take the bytes as they are. */
static bool is_utf8(const char *text)
{
	for (const unsigned char *c = (const unsigned char *)text; *c;) {
		size_t n = *c < 0x80 ? 0 : *c >= 0xf0 && *c < 0xf5 ? 3 : *c >= 0xe0 ? 2 : 1;

		if ((*c >= 0x80 && *c < 0xc2) || *c >= 0xf5)
			return false;
		for (c++; n > 0; n--, c++)
			if ((*c & 0xc0) != 0x80)
				return false;
	}
	return true;
}

/* "LENGTH KEY=VALUE\n", where LENGTH counts itself. */
static void put_record(
	struct mlimg_text *text, const char *key, const void *value, size_t value_size)
{
	size_t rest = strlen(key) + value_size + 3, size = rest + 1;
	char digits[24];

	while (size != rest + (size_t)snprintf(digits, sizeof(digits), "%zu", size))
		size = rest + strlen(digits);
	mlimg_text_put(text, digits, strlen(digits));
	mlimg_text_put(text, " ", 1);
	mlimg_text_put(text, key, strlen(key));
	mlimg_text_put(text, "=", 1);
	mlimg_text_put(text, value, value_size);
	mlimg_text_put(text, "\n", 1);
}

static void put_number(struct mlimg_text *text, const char *key, uint64_t number)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%" PRIu64, number);
	put_record(text, key, digits, strlen(digits));
}

/* Before 1970 whole seconds: there readers do not agree on what a fraction means. */
static void put_mtime(struct mlimg_text *text, const struct mlimg_entry *e)
{
	char number[40];

	if (e->mtime_s < 0)
		snprintf(number, sizeof(number), "%" PRId64, e->mtime_s);
	else
		snprintf(number, sizeof(number), "%" PRId64 ".%09" PRIu32, e->mtime_s, e->mtime_ns);
	put_record(text, "mtime", number, strlen(number));
}

static int put_xattrs(struct mlimg_text *text, const struct mlimg_entry *e, struct mlimg_err *err)
{
	for (uint32_t i = 0; i < e->n_xattrs; i++) {
		const struct mlimg_xattr *x = &e->xattrs[i];
		char key[sizeof("SCHILY.xattr.") + MLIMG_NAME_MAX + 1];

		if (strchr(x->name, '='))
			return mlimg_err_set(err, EOPNOTSUPP,
				"'/%s': a tar cannot hold its attribute %s", e->path, x->name);
		snprintf(key, sizeof(key), "SCHILY.xattr.%s", x->name);
		put_record(text, key, x->value ? (const void *)x->value : "", x->size);
	}
	return 0;
}

static bool needs_record(const char *path)
{
	return strlen(path) > NAME_MAX_USTAR || !is_ascii(path);
}

static int put_records(struct mlimg_text *text, const struct mlimg_entry *e, const char *name,
	const char *target, struct mlimg_err *err)
{
	bool has_path = needs_record(name), has_link = needs_record(target);

	if ((has_path && !is_utf8(name)) || (has_link && !is_utf8(target)))
		put_record(text, "hdrcharset", "BINARY", strlen("BINARY"));
	if (has_path)
		put_record(text, "path", name, strlen(name));
	if (has_link)
		put_record(text, "linkpath", target, strlen(target));
	if (e->type == MLIMG_FILE && e->size_bytes > SIZE_MAX_USTAR)
		put_number(text, "size", e->size_bytes);
	if (e->uid > ID_MAX_USTAR)
		put_number(text, "uid", e->uid);
	if (e->gid > ID_MAX_USTAR)
		put_number(text, "gid", e->gid);
	if (e->mtime_ns || e->mtime_s < 0 || (uint64_t)e->mtime_s > SIZE_MAX_USTAR)
		put_mtime(text, e);
	return put_xattrs(text, e, err);
}

/* --- headers --- */

static void put_octal(char *field, size_t size, uint64_t number)
{
	for (size_t i = size - 1; i-- > 0; number >>= 3)
		field[i] = (char)('0' + (number & 7));
}

static int put_header(struct mlimg_tar_out *tar, struct header *h, struct mlimg_err *err)
{
	unsigned sum = 0;

	memcpy(h->magic, "ustar", 6);
	memcpy(h->version, "00", 2);
	memset(h->chksum, ' ', sizeof(h->chksum));
	for (size_t i = 0; i < BLOCK; i++)
		sum += ((const unsigned char *)h)[i];
	put_octal(h->chksum, 7, sum);
	return mlimg_tar_out_data(tar, h, sizeof(*h), err);
}

static int put_extended(
	struct mlimg_tar_out *tar, const struct mlimg_text *text, struct mlimg_err *err)
{
	struct header h = {.name = "././@PaxHeader", .typeflag = 'x'};
	int r;

	put_octal(h.mode, sizeof(h.mode), 0644);
	put_octal(h.uid, sizeof(h.uid), 0);
	put_octal(h.gid, sizeof(h.gid), 0);
	put_octal(h.size, sizeof(h.size), text->size);
	put_octal(h.mtime, sizeof(h.mtime), 0);
	r = put_header(tar, &h, err);
	if (r == 0)
		r = mlimg_tar_out_data(tar, text->data, text->size, err);
	return r < 0 ? r : fill(tar, BLOCK, err);
}

static int put_ustar(struct mlimg_tar_out *tar, const struct mlimg_entry *e, const char *name,
	const char *target, char type, struct mlimg_err *err)
{
	struct header h = {.typeflag = type};
	uint64_t size = type == '0' && e->size_bytes <= SIZE_MAX_USTAR ? e->size_bytes : 0;
	bool has_mtime = e->mtime_s >= 0 && (uint64_t)e->mtime_s <= SIZE_MAX_USTAR;

	/* Cut where a record has all of it. */
	memcpy(h.name, name, strnlen(name, sizeof(h.name)));
	memcpy(h.linkname, target, strnlen(target, sizeof(h.linkname)));
	put_octal(h.mode, sizeof(h.mode), e->mode);
	put_octal(h.uid, sizeof(h.uid), e->uid > ID_MAX_USTAR ? 0 : e->uid);
	put_octal(h.gid, sizeof(h.gid), e->gid > ID_MAX_USTAR ? 0 : e->gid);
	put_octal(h.size, sizeof(h.size), size);
	put_octal(h.mtime, sizeof(h.mtime), has_mtime ? (uint64_t)e->mtime_s : 0);
	put_octal(h.devmajor, sizeof(h.devmajor), e->dev_major);
	put_octal(h.devminor, sizeof(h.devminor), e->dev_minor);
	return put_header(tar, &h, err);
}

int mlimg_tar_out_entry(struct mlimg_tar_out *tar, const struct mlimg_entry *e, const char *link,
	struct mlimg_err *err)
{
	static const char types[] = {[MLIMG_FILE] = '0',
		[MLIMG_DIR] = '5',
		[MLIMG_LINK] = '2',
		[MLIMG_CHAR] = '3',
		[MLIMG_BLOCK] = '4',
		[MLIMG_FIFO] = '6'};
	const char *target = link ? link : e->link ? e->link : "";
	struct mlimg_text text = {0};
	char name[MLIMG_PATH_MAX + 3];
	int r;

	if (e->type == MLIMG_SOCKET)
		return mlimg_err_set(err, EOPNOTSUPP, "'/%s': a tar cannot hold a socket", e->path);
	snprintf(name, sizeof(name), "%s%s", *e->path ? e->path : ".",
		e->type == MLIMG_DIR ? "/" : "");
	r = put_records(&text, e, name, target, err);
	if (r == 0 && text.has_failed)
		r = mlimg_err_set(err, ENOMEM, "write the tar");
	if (r == 0 && text.size)
		r = put_extended(tar, &text, err);
	free(text.data);
	return r < 0 ? r : put_ustar(tar, e, name, target, link ? '1' : types[e->type], err);
}
