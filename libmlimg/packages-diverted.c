/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/packages-impl.h"

const char *mlimg_packages_real_path(const struct mlimg_packages_job *job, const char *path)
{
	size_t size = strcspn(path, "/"), whole;
	char top[16];
	const struct mlimg_entry *entry;
	char *real;

	if (size == 0 || size >= sizeof(top) || !path[size])
		return path;
	memcpy(top, path, size);
	top[size] = '\0';
	entry = mlimg_manifest_find(job->input->next, top);
	if (!entry || entry->type != MLIMG_LINK || strncmp(entry->link, "usr/", 4) != 0 ||
		strcmp(entry->link + 4, top) != 0)
		return path;
	whole = strlen(path) + sizeof("usr/");
	real = mlimg_arena_alloc(job->merged->table->arena, whole);
	if (real)
		snprintf(real, whole, "usr/%s", path);
	return real;
}

/* A line comes from the user, and what is put where it says is put by root. */
const char *mlimg_packages_tree_path(const struct mlimg_packages_job *job, const char *line)
{
	const char *path = mlimg_arena_strndup(job->merged->table->arena, line + (*line == '/'),
		strcspn(line, "\n") - (*line == '/'));

	if (!path)
		return NULL;
	return *path && strlen(path) < MLIMG_PATH_MAX - sizeof("usr/") &&
			mlimg_manifest_path_is_valid(path)
		? mlimg_packages_real_path(job, path)
		: "";
}

/* Diversions by where they lead to. */
struct found {
	struct mlimg_packages_diversion *all;
	size_t n;
};

static int add(struct mlimg_packages_job *job, const struct mlimg_record *record, struct found *ret)
{
	const char *path = mlimg_packages_tree_path(job, record->text);
	const char *to = mlimg_packages_tree_path(job, strchr(record->text, '\n') + 1);

	if (!path || !to)
		return mlimg_packages_no_memory(job);
	if (*path && *to)
		ret->all[ret->n++] = (struct mlimg_packages_diversion){path, to};
	return 0;
}

static int diversion_cmp(const void *a, const void *b)
{
	const struct mlimg_packages_diversion *x = a, *y = b;
	int r = strcmp(x->to, y->to);

	return r ? r : strcmp(x->path, y->path);
}

static void sort(struct found *found)
{
	size_t n = 0;

	if (found->n)
		qsort(found->all, found->n, sizeof(*found->all), diversion_cmp);
	for (size_t i = 0; i < found->n; i++)
		if (n == 0 || strcmp(found->all[n - 1].to, found->all[i].to) != 0)
			found->all[n++] = found->all[i];
	found->n = n;
}

/* Those of one that the other has not. @ret->all: free() it, also on failure */
static int subtract(struct mlimg_packages_job *job, const struct mlimg_record_list *from,
	const struct mlimg_record_list *has, struct found *ret)
{
	int r = 0;

	*ret = (struct found){.all = calloc(from->n + 1, sizeof(*ret->all))};
	if (!ret->all)
		return mlimg_packages_no_memory(job);
	for (size_t i = 0; i < from->n && r == 0; i++)
		if (!mlimg_record_list_find(has, from->records[i].key))
			r = add(job, &from->records[i], ret);
	sort(ret);
	return r;
}

static int parse(struct mlimg_packages_job *job, const char *text, size_t size,
	struct mlimg_record_list *ret)
{
	return mlimg_record_list_parse(MLIMG_RECORDS_DIVERSIONS,
		(struct mlimg_records_text){text, size}, false, ret, job->err);
}

static int parse_side(struct mlimg_packages_job *job, enum mlimg_merge_side side, char **text,
	struct mlimg_record_list *ret)
{
	size_t size;
	int r = mlimg_packages_read(job, side, MLIMG_PACKAGES_DIVERSIONS, text, &size);

	return r < 0 ? r : parse(job, *text, size, ret);
}

static int list(struct mlimg_packages_job *job, const struct mlimg_merged_text *merged)
{
	struct mlimg_record_list is = {.n = 0}, sides[2] = {{.n = 0}};
	struct found diversions = {.n = 0}, undone = {.n = 0};
	char *texts[2] = {NULL};
	int r = parse(job, merged->text, merged->size, &is);

	for (int side = MLIMG_SIDE_BASE; side <= MLIMG_SIDE_NEXT && r == 0; side++)
		r = parse_side(job, (enum mlimg_merge_side)side, &texts[side], &sides[side]);
	if (r == 0)
		r = subtract(job, &is, &sides[MLIMG_SIDE_NEXT], &diversions);
	if (r == 0)
		r = subtract(job, &sides[MLIMG_SIDE_BASE], &is, &undone);
	for (int side = 0; side < 2; side++) {
		mlimg_record_list_done(&sides[side]);
		free(texts[side]);
	}
	mlimg_record_list_done(&is);
	job->merged->diversions = diversions.all;
	job->merged->n_diversions = diversions.n;
	job->merged->undone = undone.all;
	job->merged->n_undone = undone.n;
	return r;
}

int mlimg_packages_list_diversions(struct mlimg_packages_job *job)
{
	const struct mlimg_packages_merged *m = job->merged;

	for (size_t i = 0; i < m->n_files; i++)
		if (strcmp(m->files[i].path, MLIMG_PACKAGES_DIVERSIONS) == 0)
			return list(job, &m->files[i].text);
	return 0;
}
