/* SPDX-License-Identifier: MIT */
/*
 * Manifests in memory: order, lookup, building. Writing is in manifest-put.c, reading in
 * manifest-parse.c.
 */
#include "libmlimg/manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libmlimg/arena.h"
#include "libmlimg/whiteout.h"

const char *mlimg_type_name(enum mlimg_type type)
{
	static const char *const names[] = {
		[MLIMG_FILE] = "file",
		[MLIMG_DIR] = "dir",
		[MLIMG_LINK] = "link",
		[MLIMG_CHAR] = "char",
		[MLIMG_BLOCK] = "block",
		[MLIMG_FIFO] = "fifo",
		[MLIMG_SOCKET] = "socket",
	};

	return names[type];
}

static const uint16_t type_modes[] = {
	[MLIMG_FILE] = S_IFREG,
	[MLIMG_DIR] = S_IFDIR,
	[MLIMG_LINK] = S_IFLNK,
	[MLIMG_CHAR] = S_IFCHR,
	[MLIMG_BLOCK] = S_IFBLK,
	[MLIMG_FIFO] = S_IFIFO,
	[MLIMG_SOCKET] = S_IFSOCK,
};

uint8_t mlimg_type_of_mode(uint32_t mode)
{
	for (uint8_t type = MLIMG_FILE; type <= MLIMG_SOCKET; type++)
		if ((mode & S_IFMT) == type_modes[type])
			return type;
	return 0;
}

uint16_t mlimg_type_mode(uint8_t type)
{
	return type_modes[type];
}

int mlimg_manifest_path_cmp(const char *a, const char *b)
{
	const unsigned char *p = (const unsigned char *)a, *q = (const unsigned char *)b;

	while (*p && *p == *q)
		p++, q++;
	if (*p == *q)
		return 0;
	/* The end sorts below '/', and that below every other byte. */
	if (!*p || !*q)
		return *p ? 1 : -1;
	if (*p == '/' || *q == '/')
		return *p == '/' ? -1 : 1;
	return *p < *q ? -1 : 1;
}

static bool is_same_xattr(const struct mlimg_xattr *a, const struct mlimg_xattr *b)
{
	return a->size == b->size && strcmp(a->name, b->name) == 0 &&
		(a->size == 0 || memcmp(a->value, b->value, a->size) == 0);
}

/* The next xattr from @i on that is not overlayfs' own, or n_xattrs. */
static uint32_t next_xattr(const struct mlimg_entry *e, uint32_t i)
{
	while (i < e->n_xattrs && mlimg_xattr_is_overlay(e->xattrs[i].name))
		i++;
	return i;
}

bool mlimg_entry_has_same_xattrs(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	uint32_t i = next_xattr(a, 0), k = next_xattr(b, 0);

	while (i < a->n_xattrs && k < b->n_xattrs) {
		if (!is_same_xattr(&a->xattrs[i], &b->xattrs[k]))
			return false;
		i = next_xattr(a, i + 1);
		k = next_xattr(b, k + 1);
	}
	return i == a->n_xattrs && k == b->n_xattrs;
}

bool mlimg_entry_has_same_attrs(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	if (a->type != b->type || a->mode != b->mode || a->uid != b->uid || a->gid != b->gid ||
		a->size_bytes != b->size_bytes || a->dev_major != b->dev_major ||
		a->dev_minor != b->dev_minor)
		return false;
	if (a->type == MLIMG_LINK && strcmp(a->link, b->link) != 0)
		return false;
	return mlimg_entry_has_same_xattrs(a, b);
}

struct mlimg_manifest *mlimg_manifest_new(void)
{
	struct mlimg_manifest *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->arena = mlimg_arena_new();
	if (!m->arena) {
		free(m);
		return NULL;
	}
	return m;
}

/* Makes room for one more of @size bytes in an array that grows by powers of two. */
static int grow(void **array, size_t n, size_t size)
{
	size_t room = n ? n * 2 : 16;
	void *bigger;

	if (n & (n - 1) || (n && n < 16)) /* there is room up to the next power of two */
		return 0;
	bigger = reallocarray(*array, room, size);
	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	return 0;
}

int mlimg_manifest_add_header(struct mlimg_manifest *m, const char *text, size_t size)
{
	char *line;

	if (grow((void **)&m->header, m->n_header, sizeof(*m->header)) < 0)
		return -ENOMEM;
	line = mlimg_arena_strndup(m->arena, text, size);
	if (!line)
		return -ENOMEM;
	m->header[m->n_header++] = line;
	return 0;
}

static int copy_xattrs(struct mlimg_arena *arena, struct mlimg_entry *entry)
{
	const struct mlimg_xattr *from = entry->xattrs;
	struct mlimg_xattr *to;

	if (entry->n_xattrs == 0)
		return 0;
	to = mlimg_arena_alloc(arena, entry->n_xattrs * sizeof(*to));
	if (!to)
		return -ENOMEM;
	for (uint32_t i = 0; i < entry->n_xattrs; i++) {
		to[i].name = mlimg_arena_strndup(arena, from[i].name, strlen(from[i].name));
		to[i].value = (uint8_t *)mlimg_arena_strndup(
			arena, from[i].size ? (const char *)from[i].value : "", from[i].size);
		to[i].size = from[i].size;
		if (!to[i].name || !to[i].value)
			return -ENOMEM;
	}
	entry->xattrs = to;
	return 0;
}

int mlimg_entry_copy_to(struct mlimg_arena *arena, struct mlimg_entry *entry)
{
	const char *link = entry->link;

	entry->path = mlimg_arena_strndup(arena, entry->path, strlen(entry->path));
	if (link)
		entry->link = mlimg_arena_strndup(arena, link, strlen(link));
	return entry->path && (!link || entry->link) ? copy_xattrs(arena, entry) : -ENOMEM;
}

struct mlimg_entry *mlimg_manifest_add(struct mlimg_manifest *m, const struct mlimg_entry *entry)
{
	struct mlimg_entry copy = *entry;

	if (grow((void **)&m->entries, m->n_entries, sizeof(*m->entries)) < 0 ||
		mlimg_entry_copy_to(m->arena, &copy) < 0)
		return NULL;
	m->entries[m->n_entries] = copy;
	return &m->entries[m->n_entries++];
}

size_t mlimg_manifest_memory(const struct mlimg_manifest *m)
{
	size_t room = 16;

	while (room < m->n_entries)
		room *= 2;
	return room * sizeof(*m->entries) + mlimg_arena_size(m->arena);
}

size_t mlimg_manifest_first_from(const struct mlimg_manifest *m, const char *path)
{
	size_t low = 0, high = m->n_entries;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (mlimg_manifest_path_cmp(m->entries[middle].path, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct mlimg_entry *mlimg_manifest_find(const struct mlimg_manifest *m, const char *path)
{
	size_t i = mlimg_manifest_first_from(m, path);

	return i < m->n_entries && strcmp(m->entries[i].path, path) == 0 ? &m->entries[i] : NULL;
}

void mlimg_manifest_free(struct mlimg_manifest *m)
{
	if (!m)
		return;
	free(m->entries);
	free(m->header);
	mlimg_arena_free(m->arena);
	free(m);
}
