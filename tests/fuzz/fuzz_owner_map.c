/* SPDX-License-Identifier: MIT */
/*
 * The first line is a map of owners, the rest the value of a file's ACL and capability, which
 * begins with its owner too.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "tools/owner-map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void apply(struct mlimg_owner_map *map, const uint8_t *data, size_t size)
{
	mlimg_autofree uint8_t *value = malloc(size ? size : 1);
	struct mlimg_xattr xattrs[] = {
		{.name = (char *)"security.capability", .value = value, .size = size},
		{.name = (char *)"system.posix_acl_access", .value = value, .size = size},
		{.name = (char *)"system.posix_acl_default", .value = value, .size = size}};
	struct mlimg_entry entry = {
		.path = (char *)"x", .type = MLIMG_FILE, .xattrs = xattrs, .n_xattrs = 3};
	struct mlimg_entry mapped;
	struct mlimg_err err = MLIMG_ERR_INIT;

	if (!value)
		return;
	memcpy(value, data, size);
	if (size >= 8) {
		memcpy(&entry.uid, data, 4);
		memcpy(&entry.gid, data + 4, 4);
	}
	if (mlimg_owner_map_apply(map, &entry, &mapped, &err) < 0) {
		if (err.kind != MLIMG_ERR_REFUSED || !err.text[0])
			abort();
	} else if (mapped.uid == UINT32_MAX || mapped.gid == UINT32_MAX || mapped.n_xattrs != 3 ||
		mapped.xattrs[0].size > size || mapped.xattrs[1].size != size) {
		abort();
	}
	/* The source's own entry is not changed. */
	if (memcmp(value, data, size) != 0 || xattrs[0].value != value || xattrs[0].size != size)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
	size_t text_size = end ? (size_t)(end - data) : size;
	mlimg_autofree char *text = strndup((const char *)data, text_size);
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_owner_map *map;

	if (!text)
		return 0;
	if (mlimg_owner_map_parse(text, &map, &err) < 0) {
		if (err.kind != MLIMG_ERR_USAGE || !err.text[0])
			abort();
		return 0;
	}
	if (end)
		apply(map, end + 1, size - text_size - 1);
	mlimg_owner_map_free(map);
	return 0;
}
