/* SPDX-License-Identifier: MIT */
/* The writer of manifests: the canonical form that manifest.h specifies. */
#include "libmlimg/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Collects small pieces, since a manifest is hashed and written line after line. */
struct out {
	mlimg_sink *sink;
	void *ctx;
	size_t used;
	char buf[1024];
};

static void flush(struct out *o)
{
	if (o->used > 0)
		o->sink(o->ctx, o->buf, o->used);
	o->used = 0;
}

/* Room for @size more bytes, at most 64. */
static char *room(struct out *o, size_t size)
{
	if (sizeof(o->buf) - o->used < size)
		flush(o);
	return o->buf + o->used;
}

static void put_text(struct out *o, const char *text, size_t size)
{
	if (size > sizeof(o->buf) - o->used)
		flush(o);
	if (size > sizeof(o->buf)) {
		o->sink(o->ctx, text, size);
		return;
	}
	memcpy(o->buf + o->used, text, size);
	o->used += size;
}

static void put_string(struct out *o, const char *text)
{
	put_text(o, text, strlen(text));
}

static void put_number(struct out *o, uint64_t number)
{
	char digits[20], *p = digits + sizeof(digits);

	do {
		*--p = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	put_text(o, p, (size_t)(digits + sizeof(digits) - p));
}

/* Exactly @n digits to the given base. */
static void put_digits(struct out *o, uint32_t number, unsigned base, size_t n)
{
	char *p = room(o, n);

	for (size_t i = n; i-- > 0; number /= base)
		p[i] = (char)('0' + number % base);
	o->used += n;
}

/* The escapes of manifest.h. @more: further characters to escape. */
static void put_escaped(struct out *o, const char *text, const char *more)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (mlimg_manifest_is_plain(*p) && (!*more || !strchr(more, *p))) {
			*room(o, 1) = (char)*p;
			o->used++;
		} else {
			put_text(o, "\\", 1);
			put_digits(o, *p, 8, 3);
		}
	}
}

const char *mlimg_manifest_escape(const char *text, char *buf)
{
	char *out = buf;

	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (mlimg_manifest_is_plain(*p))
			*out++ = (char)*p;
		else
			out += sprintf(out, "\\%03o", *p);
	}
	*out = '\0';
	return buf;
}

static void put_base64(struct out *o, const uint8_t *data, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < size; i += 3) {
		size_t n = size - i;
		uint32_t v = (uint32_t)data[i] << 16 | (n > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
			(n > 2 ? data[i + 2] : 0);
		char *p = room(o, 4);

		p[0] = digits[v >> 18];
		p[1] = digits[v >> 12 & 63];
		p[2] = n > 1 ? digits[v >> 6 & 63] : '=';
		p[3] = n > 2 ? digits[v & 63] : '=';
		o->used += 4;
	}
}

static void put_time(struct out *o, const struct mlimg_entry *e)
{
	put_string(o, " time=");
	if (e->mtime_s < 0)
		put_string(o, "-");
	put_number(o, e->mtime_s < 0 ? -(uint64_t)e->mtime_s : (uint64_t)e->mtime_s);
	put_string(o, ".");
	put_digits(o, e->mtime_ns, 10, 9);
}

static void put_by_type(struct out *o, const struct mlimg_entry *e)
{
	char hex[MLIMG_SHA256_HEX_SIZE];

	if (e->type == MLIMG_FILE && e->has_digest) {
		mlimg_sha256_hex(e->digest, hex);
		put_string(o, " sha256digest=");
		put_string(o, hex);
	}
	if (e->type == MLIMG_LINK) {
		put_string(o, " link=");
		put_escaped(o, e->link, "");
	}
	if (e->type == MLIMG_CHAR || e->type == MLIMG_BLOCK) {
		put_string(o, " device=native,");
		put_number(o, e->dev_major);
		put_string(o, ",");
		put_number(o, e->dev_minor);
	}
}

static void put_tags(struct out *o, const struct mlimg_entry *e)
{
	const char *before = " tags=";

	if (e->hardlink) {
		put_string(o, before);
		put_string(o, "links:");
		put_number(o, e->hardlink);
		put_string(o, ":");
		put_number(o, e->nlink);
		before = ",";
	}
	for (uint32_t i = 0; i < e->n_xattrs; i++) {
		put_string(o, before);
		put_string(o, "xattr:");
		put_escaped(o, e->xattrs[i].name, ",:");
		put_string(o, ":");
		put_base64(o, e->xattrs[i].value, e->xattrs[i].size);
		before = ",";
	}
}

static void put_entry(struct out *o, const struct mlimg_entry *e)
{
	put_string(o, e->path[0] ? "./" : ".");
	put_escaped(o, e->path, "");
	put_string(o, " type=");
	put_string(o, mlimg_type_name(e->type));
	put_string(o, " mode=");
	put_digits(o, e->mode, 8, 4);
	put_string(o, " uid=");
	put_number(o, e->uid);
	put_string(o, " gid=");
	put_number(o, e->gid);
	if (e->type == MLIMG_FILE) {
		put_string(o, " size=");
		put_number(o, e->size_bytes);
	}
	put_time(o, e);
	put_by_type(o, e);
	put_tags(o, e);
	put_string(o, "\n");
}

void mlimg_manifest_put_entry(const struct mlimg_entry *entry, mlimg_sink *sink, void *ctx)
{
	struct out o = {.sink = sink, .ctx = ctx};

	put_entry(&o, entry);
	flush(&o);
}

void mlimg_manifest_put(const struct mlimg_manifest *m, mlimg_sink *sink, void *ctx)
{
	struct out o = {.sink = sink, .ctx = ctx};

	put_string(&o, "#mtree\n");
	for (size_t i = 0; i < m->n_header; i++) {
		put_string(&o, "# mlimg-");
		put_string(&o, m->header[i]);
		put_string(&o, "\n");
	}
	for (size_t i = 0; i < m->n_entries; i++)
		put_entry(&o, &m->entries[i]);
	flush(&o);
}
