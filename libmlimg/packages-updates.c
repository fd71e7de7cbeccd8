/* SPDX-License-Identifier: MIT */
/*
 * dpkg's journal, var/lib/dpkg/updates: what became of packages since it last wrote the status. As
 * dpkg does (lib/dpkg/dbmodify.c: cleanupdates(), modstatdb_note()): files named by digits, all
 * of one length, in the order of their names; each has stanzas that take the place of those of the
 * package in the status.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/packages-impl.h"

#define UPDATES "var/lib/dpkg/updates/"
#define NAME_MAX_DIGITS 10 /* dpkg's IMPORTANTMAXLEN */
#define UPDATES_MAX 10000  /* dpkg writes the status after 250 (MAXUPDATES) */

bool mlimg_packages_is_update(const char *path)
{
	size_t size = strlen(UPDATES), n;

	if (strncmp(path, UPDATES, size) != 0)
		return false;
	n = strspn(path + size, "0123456789");
	return n && !path[size + n];
}

static int path_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Those that the upper has, in their order. @return their number, or -errno */
static int list_updates(
	const struct mlimg_packages_job *job, enum mlimg_merge_side side, const char ***ret_paths)
{
	const struct mlimg_packages_input *input = job->input;
	size_t prefix = strlen(UPDATES), n = 0;

	*ret_paths = calloc(input->n_paths + 1, sizeof(**ret_paths));
	if (!*ret_paths)
		return mlimg_packages_no_memory(job);
	for (size_t i = 0; i < input->n_paths; i++)
		if (mlimg_packages_is_update(input->paths[i]))
			(*ret_paths)[n++] = input->paths[i];
	if (n)
		qsort(*ret_paths, n, sizeof(**ret_paths), path_cmp);
	if (side != MLIMG_SIDE_MINE)
		return (int)n; /* it is his that are looked at */
	if (n > UPDATES_MAX)
		return mlimg_err_refuse(job->err, UPDATES " has more than %d files", UPDATES_MAX);
	for (size_t i = 0; i < n; i++)
		if (strlen((*ret_paths)[i]) != strlen((*ret_paths)[0]) ||
			strlen((*ret_paths)[i]) > prefix + NAME_MAX_DIGITS)
			return mlimg_err_refuse(job->err,
				UPDATES " has names of different lengths, or too long ones");
	return (int)n;
}

/* A status that updates come onto. */
struct applying {
	struct mlimg_packages_job *job;
	struct mlimg_record_list status;
	struct mlimg_record *added; /* packages that it did not have */
	size_t n_added, room;
	bool is_any;
};

static void applying_done(struct applying *a)
{
	mlimg_record_list_done(&a->status);
	free(a->added);
}

/* @return whether a stanza says so */
static bool is_multi_same(const struct mlimg_record *record)
{
	static const char field[] = "\nMulti-Arch: same\n";

	return memmem(record->text, record->size, field, strlen(field)) != NULL;
}

/* @return whether what is known of @update takes the place of @record, of another architecture */
static bool is_of_other(const struct mlimg_record *update, const struct mlimg_record *record)
{
	size_t size = strcspn(update->key, "\n");

	/* What is gone has no architecture, or the one that it had. */
	return strncmp(update->key, record->key, size) == 0 && record->key[size] == '\n' &&
		(!update->key[size + 1] || (!update->is_gone && !is_multi_same(update)));
}

/* The record that an update is of: of that architecture, or the only one of its name. */
static struct mlimg_record *find_record(struct applying *a, const struct mlimg_record *update)
{
	struct mlimg_record *exact = mlimg_record_list_find(&a->status, update->key), *only = NULL;
	size_t n_only = 0;

	for (size_t i = 0; i < a->status.n + a->n_added && !exact; i++) {
		struct mlimg_record *record =
			i < a->status.n ? &a->status.records[i] : &a->added[i - a->status.n];

		if (strcmp(record->key, update->key) == 0)
			return record;
		if (is_of_other(update, record)) {
			only = record;
			n_only++;
		}
	}
	return exact ? exact : n_only == 1 ? only : NULL;
}

static int apply_record(struct applying *a, const struct mlimg_record *update)
{
	struct mlimg_record *to = find_record(a, update);
	struct mlimg_arena *arena = a->job->arena;
	struct mlimg_record copy = *update;

	copy.text = mlimg_arena_strndup(arena, update->text, update->size);
	copy.key = mlimg_arena_strndup(arena, update->key, strlen(update->key));
	if (!copy.text || !copy.key)
		return mlimg_packages_no_memory(a->job);
	if (to) {
		to->text = copy.text;
		to->size = copy.size;
		to->is_gone = copy.is_gone;
		return 0;
	}
	if (mlimg_buffer_reserve(&a->added, &a->room, (a->n_added + 1) * sizeof(*a->added)) < 0)
		return mlimg_packages_no_memory(a->job);
	a->added[a->n_added++] = copy;
	return 0;
}

static int apply(struct applying *a, enum mlimg_merge_side side, const char *path)
{
	mlimg_cleanup(mlimg_record_list_done) struct mlimg_record_list news = {.n = 0};
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_packages_read(a->job, side, path, &text, &size);

	if (r < 0 || !text)
		return r;
	a->is_any = true;
	r = mlimg_record_list_parse(MLIMG_RECORDS_STANZAS, (struct mlimg_records_text){text, size},
		true, &news, a->job->err);
	for (size_t i = 0; i < news.n && r == 0; i++)
		r = apply_record(a, &news.records[i]);
	return r < 0 ? mlimg_err_wrap(a->job->err, r, "%s", path) : 0;
}

static int write_status(const struct applying *a, char **text, size_t *size)
{
	struct mlimg_text out = {.data = NULL};

	mlimg_text_put(&out, "", 0);
	for (size_t i = 0; i < a->status.n + a->n_added; i++) {
		const struct mlimg_record *record =
			i < a->status.n ? &a->status.records[i] : &a->added[i - a->status.n];

		if (record->is_gone)
			continue;
		mlimg_text_put(&out, record->text, record->size);
		mlimg_text_put(&out, "\n", 1);
	}
	if (out.has_failed) {
		free(out.data);
		return mlimg_packages_no_memory(a->job);
	}
	free(*text);
	*text = out.data;
	*size = out.size;
	return 0;
}

int mlimg_packages_apply_updates(
	struct mlimg_packages_job *job, enum mlimg_merge_side side, char **text, size_t *size)
{
	mlimg_cleanup(applying_done) struct applying a = {.job = job};
	mlimg_autofree const char **paths = NULL;
	int n = list_updates(job, side, &paths), r;

	if (n <= 0)
		return n;
	r = mlimg_record_list_parse(MLIMG_RECORDS_STANZAS,
		(struct mlimg_records_text){*text, *text ? *size : 0}, false, &a.status, job->err);
	if (r < 0)
		return mlimg_err_wrap(job->err, r, MLIMG_PACKAGES_STATUS);
	for (int i = 0; i < n && r == 0; i++)
		r = apply(&a, side, paths[i]);
	return r < 0 || !a.is_any ? r : write_status(&a, text, size);
}
