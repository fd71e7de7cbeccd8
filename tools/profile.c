/* SPDX-License-Identifier: MIT */
#include "tools/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/manifest.h"

#define SLOTS_MIN 64 /* a power of two */

struct mlimg_profile {
	struct mlimg_arena *arena;
	const char **paths;
	size_t n, paths_room; /* bytes */
	uint32_t *slots;      /* a path's number and 1; 0: free. At most half full */
	size_t n_slots;
};

MLIMG_DEFINE_CLEANUP(struct mlimg_profile, mlimg_profile_free)

/* FNV-1a; who makes a list that is slow to read wastes his own time. */
static uint64_t hash(const char *path)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *path; path++)
		h = (h ^ (unsigned char)*path) * UINT64_C(0x100000001b3);
	return h ^ h >> 32;
}

static uint32_t *find_slot(const struct mlimg_profile *p, const char *path)
{
	size_t i = (size_t)hash(path) & (p->n_slots - 1);

	while (p->slots[i] && strcmp(p->paths[p->slots[i] - 1], path) != 0)
		i = (i + 1) & (p->n_slots - 1);
	return &p->slots[i];
}

static bool grow(struct mlimg_profile *p)
{
	size_t n = p->n_slots ? 2 * p->n_slots : SLOTS_MIN;
	uint32_t *slots;

	if (2 * (p->n + 1) <= p->n_slots)
		return true;
	slots = calloc(n, sizeof(*slots));
	if (!slots)
		return false;
	free(p->slots);
	p->slots = slots;
	p->n_slots = n;
	for (size_t i = 0; i < p->n; i++)
		*find_slot(p, p->paths[i]) = (uint32_t)i + 1;
	return true;
}

struct mlimg_profile *mlimg_profile_new(void)
{
	mlimg_cleanup(mlimg_profile_free_cleanup) struct mlimg_profile *p = calloc(1, sizeof(*p));

	if (p)
		p->arena = mlimg_arena_new();
	return p && p->arena && grow(p) ? mlimg_steal(&p) : NULL;
}

int mlimg_profile_add(struct mlimg_profile *p, const char *path)
{
	uint32_t *slot;

	if (!grow(p))
		return -ENOMEM;
	slot = find_slot(p, path);
	if (*slot)
		return 0;
	if (mlimg_buffer_reserve(&p->paths, &p->paths_room, (p->n + 1) * sizeof(*p->paths)) < 0)
		return -ENOMEM;
	p->paths[p->n] = mlimg_arena_strndup(p->arena, path, strlen(path));
	if (!p->paths[p->n])
		return -ENOMEM;
	*slot = (uint32_t)++p->n;
	return 0;
}

/* In place. @return whether all escapes are whole, and none is of a NUL */
static bool unescape(char *line)
{
	char *to = line;

	for (const char *c = line; *c; to++) {
		unsigned value = (unsigned char)*c++;

		if (value == '\\') {
			value = 0;
			for (int i = 0; i < 3; i++, c++) {
				if (*c < '0' || *c > '7')
					return false;
				value = value * 8 + (unsigned)(*c - '0');
			}
			if (value == 0 || value > 255)
				return false;
		}
		*to = (char)value;
	}
	*to = '\0';
	return true;
}

static bool is_valid(const char *path)
{
	const char *end;

	if (strlen(path) > MLIMG_PATH_MAX)
		return false;
	for (;; path = end + 1) {
		size_t size;

		end = strchrnul(path, '/');
		size = (size_t)(end - path);
		if (size == 0 || size > MLIMG_NAME_MAX ||
			(size <= 2 && memcmp(path, "..", size) == 0))
			return false;
		if (!*end)
			return true;
	}
}

static int take_line(
	struct mlimg_profile *p, char *line, const char *name, size_t number, struct mlimg_err *err)
{
	if (!*line || *line == '#')
		return 0;
	if (strncmp(line, "./", 2) == 0)
		line += 2;
	else if (*line == '/')
		line++;
	if (!unescape(line) || !is_valid(line))
		return mlimg_err_refuse(err, "'%s' line %zu: no path in a tree", name, number);
	if (p->n == MLIMG_ENTRIES_MAX)
		return mlimg_err_refuse(err, "'%s': more than %d paths", name, MLIMG_ENTRIES_MAX);
	return mlimg_profile_add(p, line) < 0 ? mlimg_err_set(err, ENOMEM, "read '%s'", name) : 0;
}

int mlimg_profile_parse(char *text, size_t size, const char *name,
	struct mlimg_profile **ret_profile, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_profile_free_cleanup) struct mlimg_profile *p = mlimg_profile_new();
	size_t number = 1;
	int r = 0;

	if (!p)
		return mlimg_err_set(err, ENOMEM, "read '%s'", name);
	if (memchr(text, '\0', size))
		return mlimg_err_refuse(err, "'%s' is no list of paths: it has a NUL", name);
	for (char *line = text, *end; line < text + size && r == 0; line = end + 1, number++) {
		end = strchrnul(line, '\n');
		*end = '\0';
		r = take_line(p, line, name, number, err);
	}
	if (r == 0)
		*ret_profile = mlimg_steal(&p);
	return r;
}

int mlimg_profile_read(const char *path, struct mlimg_profile **ret_profile, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_read_file(AT_FDCWD, path, MLIMG_PROFILE_SIZE_MAX, &text, &size, err);

	return r < 0 ? r : mlimg_profile_parse(text, size, path, ret_profile, err);
}

void mlimg_profile_free(struct mlimg_profile *p)
{
	if (!p)
		return;
	mlimg_arena_free(p->arena);
	free(p->paths);
	free(p->slots);
	free(p);
}

size_t mlimg_profile_count(const struct mlimg_profile *p)
{
	return p->n;
}

const char *mlimg_profile_path(const struct mlimg_profile *p, size_t i)
{
	return p->paths[i];
}

bool mlimg_profile_has(const struct mlimg_profile *p, const char *path)
{
	return *find_slot(p, path) != 0;
}
