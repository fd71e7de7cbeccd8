/* SPDX-License-Identifier: MIT */
/* Whether the user's files of accounts are such as programs leave (accounts.h). */
#include "libmlimg/accounts-parse.h"

static size_t count_accounts(const struct mlimg_account_list *list)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++)
		n += mlimg_account_line_is_account(&list->lines[i]);
	return n;
}

/*
 * @return whether somebody is there whose line in shadow, or gshadow, there was in base, and would
 *         have to be still; pwunconv(8) says for nobody that it is there
 */
static bool needs_shadow(const struct mlimg_accounts_job *job, enum mlimg_accounts_file file)
{
	const struct mlimg_account_list
		*base = &job->lists[MLIMG_SIDE_BASE][file],
		*mine = &job->lists[MLIMG_SIDE_MINE]
				   [file == MLIMG_SHADOW ? MLIMG_PASSWD : MLIMG_GROUP];
	struct mlimg_span fields[MLIMG_ACCOUNT_FIELDS_MAX];

	for (size_t i = 0; i < mine->n; i++) {
		const struct mlimg_account_line *line = &mine->lines[i];

		if (!mlimg_account_line_is_account(line) ||
			!mlimg_account_list_find(base, line->key, 0))
			continue;
		mlimg_account_split(line->text, fields);
		if (fields[1].size == 1 && *fields[1].at == 'x')
			return true;
	}
	return false;
}

/* Of a file in which there were accounts, and are none. */
static bool is_left_so(const struct mlimg_accounts_job *job, enum mlimg_accounts_file file)
{
	switch (file) {
	case MLIMG_PASSWD:
	case MLIMG_GROUP: return false;
	case MLIMG_SHADOW: return !needs_shadow(job, file);
	/* Nobody misses it: grpunconv(8) is not the only one that removes it. */
	case MLIMG_GSHADOW:
		return !job->lists[MLIMG_SIDE_MINE][file].is_there || !needs_shadow(job, file);
	default: return true; /* userdel(8) empties them */
	}
}

int mlimg_accounts_check_whole(const struct mlimg_accounts_job *job)
{
	for (enum mlimg_accounts_file f = 0; f < MLIMG_N_ACCOUNTS_FILES; f++) {
		const struct mlimg_account_list *mine = &job->lists[MLIMG_SIDE_MINE][f];
		size_t n = count_accounts(&job->lists[MLIMG_SIDE_BASE][f]);

		if (n && !count_accounts(mine) && !is_left_so(job, f))
			return mlimg_err_refuse(job->err,
				"/%s of the user %s, where there %s %zu; no program leaves it so: "
				"go back, restore it, and change again",
				mlimg_accounts_path(f),
				mine->is_there ? "has no record" : "is missing",
				n == 1 ? "was" : "were", n);
	}
	return 0;
}
