/* SPDX-License-Identifier: MIT */
/* Whether the user's status of packages is such as dpkg leaves (packages.h). */
#include <stdio.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/packages-impl.h"

#define WHAT_TO_DO                                                                            \
	"dpkg never leaves it so: go back, restore it, from 'status-old' beside it say, and " \
	"change again"

/* @return 1 when the user has dpkg's list of the package's files, 0, -ENOMEM */
static int has_list(const struct mlimg_packages_job *job, const struct mlimg_stanza *s)
{
	bool is_same = s->multi_arch == MLIMG_MULTI_SAME;
	mlimg_autofree char *path = NULL;

	if (asprintf(&path, MLIMG_PACKAGES_INFO "%s%s%s.list", s->name, is_same ? ":" : "",
		    is_same ? s->architecture : "") < 0) {
		path = NULL;
		return mlimg_packages_no_memory(job);
	}
	return job->input->has_file(job->input->ctx, path);
}

/* dpkg removes the list first, then the stanza. */
static int check_lists(const struct mlimg_packages_job *job)
{
	for (size_t i = 0; i < job->n_entries && job->input->has_file; i++) {
		const struct mlimg_package_entry *e = &job->entries[i];
		const struct mlimg_stanza *base = e->side[MLIMG_SIDE_BASE];
		int r = base && base->is_present && !e->side[MLIMG_SIDE_MINE] ? has_list(job, base)
									      : 0;

		if (r < 0)
			return r;
		if (r > 0)
			return mlimg_err_refuse(job->err,
				"/" MLIMG_PACKAGES_STATUS " of the user lacks '%s', of which there "
				"is the list of files; " WHAT_TO_DO,
				base->name);
	}
	return 0;
}

int mlimg_packages_check_whole(const struct mlimg_packages_job *job, bool is_there)
{
	size_t n = 0;

	for (size_t i = 0; i < job->sides[MLIMG_SIDE_BASE].n; i++)
		n += job->sides[MLIMG_SIDE_BASE].stanzas[i].is_present;
	if (n && !job->sides[MLIMG_SIDE_MINE].n)
		return mlimg_err_refuse(job->err,
			"/" MLIMG_PACKAGES_STATUS
			" of the user %s, where there %s %zu; " WHAT_TO_DO,
			is_there ? "lists no package" : "is missing", n == 1 ? "was" : "were", n);
	return check_lists(job);
}
