/* SPDX-License-Identifier: MIT */
#include "tools/initrd.h"

#include <stdlib.h>
#include <string.h>

#define UNIONS "mlimg-unions"
#define TRAILER "TRAILER!!!"
#define MAGIC_SIZE 6

enum { BETWEEN, HEADER, NAME, DATA }; /* BETWEEN: archives are apart by zeros */

/* Bytes behind what ends at a multiple of 4, where an entry's header began. */
static uint64_t padding(uint64_t size)
{
	return -size & 3;
}

static void finish(struct mlimg_initrd *scan)
{
	scan->is_done = true;
	scan->unions[strcspn(scan->unions, "\n")] = '\0';
}

/* A field of eight hexadecimal digits. */
static bool get_field(const char *header, size_t i, uint64_t *ret)
{
	char digits[9] = "";

	memcpy(digits, header + MAGIC_SIZE + 8 * i, 8);
	*ret = strtoul(digits, NULL, 16);
	return strspn(digits, "0123456789abcdefABCDEF") == 8;
}

/* The header is whole. @return false when it is none */
static bool take_header(struct mlimg_initrd *scan)
{
	if (memcmp(scan->buf, "070701", MAGIC_SIZE) != 0 &&
		memcmp(scan->buf, "070702", MAGIC_SIZE) != 0)
		return false;
	scan->state = NAME;
	return get_field(scan->buf, 6, &scan->file_size) &&
		get_field(scan->buf, 11, &scan->name_size) && scan->name_size > 0 &&
		scan->name_size <= MLIMG_INITRD_NAME_MAX;
}

/* The name is whole: behind it lie the data, or what comes after an archive. */
static void take_name(struct mlimg_initrd *scan)
{
	const char *name = scan->buf + MLIMG_INITRD_HEADER;
	size_t length = strnlen(name, scan->name_size);

	scan->have = 0;
	scan->skip = padding(MLIMG_INITRD_HEADER + scan->name_size);
	if (length == strlen(UNIONS) && memcmp(name, UNIONS, length) == 0) {
		scan->state = DATA;
		return;
	}
	scan->skip += scan->file_size + padding(scan->file_size);
	scan->state =
		length == strlen(TRAILER) && memcmp(name, TRAILER, length) == 0 ? BETWEEN : HEADER;
}

/* @return bytes that are wanted in buf before anything can be decided */
static size_t wanted(const struct mlimg_initrd *scan)
{
	switch (scan->state) {
	case HEADER: return MLIMG_INITRD_HEADER;
	case NAME: return MLIMG_INITRD_HEADER + scan->name_size;
	default: /* DATA */
		return scan->file_size < MLIMG_INITRD_UNIONS_SIZE ? scan->file_size
								  : MLIMG_INITRD_UNIONS_SIZE - 1;
	}
}

/* What is wanted is in buf. */
static void decide(struct mlimg_initrd *scan)
{
	switch (scan->state) {
	case HEADER:
		if (!take_header(scan))
			finish(scan);
		break;
	case NAME: take_name(scan); break;
	default: /* DATA */ memcpy(scan->unions, scan->buf, wanted(scan)); finish(scan);
	}
}

bool mlimg_initrd_take(struct mlimg_initrd *scan, const void *data, size_t size)
{
	const char *at = data, *end = at + size;

	while (!scan->is_done && at < end) {
		size_t n = (size_t)(end - at);

		if (scan->skip) {
			n = scan->skip < n ? (size_t)scan->skip : n;
			scan->skip -= n;
		} else if (scan->state == BETWEEN) {
			n = *at == '\0';
			scan->state = n ? BETWEEN : HEADER;
		} else {
			n = wanted(scan) - scan->have < n ? wanted(scan) - scan->have : n;
			memcpy(scan->buf + scan->have, at, n);
			scan->have += n;
			if (scan->have == wanted(scan))
				decide(scan);
		}
		at += n;
	}
	return scan->is_done;
}

bool mlimg_initrd_knows(const struct mlimg_initrd *scan, const char *union_driver)
{
	size_t length = strlen(union_driver);

	for (const char *at = scan->unions; *at; at += strspn(at, " ")) {
		size_t word = strcspn(at, " ");

		if (word == length && memcmp(at, union_driver, length) == 0)
			return true;
		at += word;
	}
	return false;
}
