/* SPDX-License-Identifier: MIT */
/* Links that follow from the state files of update-alternatives. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/packages-impl.h"

#define LINKS "etc/alternatives/"

/* What an arena has. */
static int add(struct mlimg_packages_job *job, struct mlimg_packages_link link)
{
	struct mlimg_packages_merged *m = job->merged;

	if (mlimg_buffer_reserve(
		    &m->links, &m->table->links_room, (m->n_links + 1) * sizeof(*m->links)) < 0)
		return -ENOMEM;
	m->links[m->n_links++] = link;
	return 0;
}

/* @return NULL without memory */
static char *join(struct mlimg_packages_job *job, const char *before, const char *name)
{
	size_t size = strlen(before);
	char *path = mlimg_arena_alloc(job->merged->table->arena, size + strlen(name) + 1);

	if (path)
		strcpy(stpcpy(path, before), name);
	return path;
}

int mlimg_packages_add_link(struct mlimg_packages_job *job, const char *name, const char *target,
	const char *const *others)
{
	char *path = join(job, LINKS, name);
	const char *copy = target && *target ? join(job, "", target) : NULL;

	if (!others || !path || (target && *target && !copy))
		return -ENOMEM;
	return add(
		job, (struct mlimg_packages_link){.path = path, .target = copy, .others = others});
}

int mlimg_packages_add_command(struct mlimg_packages_job *job, const char *line, const char *name)
{
	const char *path, *target;

	if (!job->input)
		return 0;
	path = mlimg_packages_tree_path(job, line);
	target = join(job, "/" LINKS, name);
	if (!path || !target)
		return -ENOMEM;
	if (!*path || mlimg_manifest_find(job->input->next, path))
		return 0;
	return add(job,
		(struct mlimg_packages_link){.path = path, .target = target, .is_command = true});
}

static int link_cmp(const void *a, const void *b)
{
	const struct mlimg_packages_link *x = a, *y = b;

	int r = strcmp(x->path, y->path);

	if (r == 0 && (!x->target || !y->target))
		return (y->target != NULL) - (x->target != NULL);
	return r ? r : strcmp(x->target, y->target);
}

/* One that two groups have is there if one of them says so, and where both do, the lesser target. */
void mlimg_packages_sort_links(struct mlimg_packages_merged *m)
{
	size_t n = 0;

	if (m->n_links)
		qsort(m->links, m->n_links, sizeof(*m->links), link_cmp);
	for (size_t i = 0; i < m->n_links; i++)
		if (n == 0 || strcmp(m->links[n - 1].path, m->links[i].path) != 0)
			m->links[n++] = m->links[i];
	m->n_links = n;
}
