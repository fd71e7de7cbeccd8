/* SPDX-License-Identifier: MIT */
/*
 * dpkg does not write a configuration file anew that a new version has as the old one had it. So of
 * a package that the user has upgraded it may lie in the old stack alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/packages-impl.h"

static int add_file(struct mlimg_packages_job *job, const char *path, char **text, size_t size)
{
	struct mlimg_packages_merged *m = job->merged;
	const char *copy = mlimg_arena_strndup(m->table->arena, path, strlen(path));

	if (!copy ||
		mlimg_buffer_reserve(
			&m->files, &m->table->files_room, (m->n_files + 1) * sizeof(*m->files)) < 0)
		return mlimg_packages_no_memory(job);
	m->files[m->n_files++] = (struct mlimg_packages_file){
		copy, {.text = mlimg_steal(text), .size = size, .from = MLIMG_FROM_MINE}};
	return 0;
}

static int keep(struct mlimg_packages_job *job, const struct mlimg_stanza *s, const char *path)
{
	mlimg_autofree char *base = NULL, *mine = NULL;
	size_t base_size, mine_size;
	int r;

	if (mlimg_manifest_find(job->input->next, path))
		return 0;
	r = mlimg_packages_read(job, MLIMG_SIDE_BASE, path, &base, &base_size);
	if (r == 0 && base)
		r = mlimg_packages_read(job, MLIMG_SIDE_MINE, path, &mine, &mine_size);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		r = mlimg_notes_add(job->notes, MLIMG_NOTE_BROKEN, MLIMG_PACKAGES_STATUS, s->name,
			"its '/%.200s' was in the old system, and its contents are not known",
			path);
		return r < 0 ? mlimg_packages_no_memory(job) : 0;
	}
	if (!base || !mine || base_size != mine_size || memcmp(base, mine, base_size) != 0)
		return 0;
	return add_file(job, path, &mine, mine_size);
}

/* Lines " /PATH MD5", some with a third word. */
static int keep_all(struct mlimg_packages_job *job, const struct mlimg_stanza *s)
{
	char *at = mlimg_arena_strndup(job->arena, s->conffiles, strlen(s->conffiles)), *line;
	int r = at ? 0 : mlimg_packages_no_memory(job);

	while (r == 0 && (line = strsep(&at, "\n"))) {
		line += strspn(line, " \t");
		line[strcspn(line, " \t")] = '\0';
		if (line[0] == '/' && line[1])
			r = keep(job, s, line + 1);
	}
	return r;
}

static int file_cmp(const void *a, const void *b)
{
	const struct mlimg_packages_file *x = a, *y = b;

	return strcmp(x->path, y->path);
}

/* One that has moved from one package to another is still named by the first, as obsolete. */
static void drop_repeated(struct mlimg_packages_merged *m, size_t first)
{
	size_t n = first;

	if (m->n_files > first)
		qsort(m->files + first, m->n_files - first, sizeof(*m->files), file_cmp);
	for (size_t i = first; i < m->n_files; i++) {
		if (n > first && file_cmp(&m->files[n - 1], &m->files[i]) == 0)
			free(m->files[i].text.text);
		else
			m->files[n++] = m->files[i];
	}
	m->n_files = n;
}

int mlimg_packages_keep_conffiles(struct mlimg_packages_job *job)
{
	size_t first = job->merged->n_files;
	int r = 0;

	for (size_t i = 0; i < job->n_entries && r == 0; i++) {
		const struct mlimg_package_entry *e = &job->entries[i];

		if (e->verdict == MLIMG_FILES_MINE && e->side[MLIMG_SIDE_BASE] &&
			e->side[MLIMG_SIDE_MINE]->conffiles)
			r = keep_all(job, e->side[MLIMG_SIDE_MINE]);
	}
	drop_repeated(job->merged, first);
	return r;
}
