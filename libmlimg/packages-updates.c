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
#include "libmlimg/path-map.h"

#define UPDATES "var/lib/dpkg/updates/"
#define NAME_MAX_DIGITS 10 /* dpkg's IMPORTANTMAXLEN */
#define UPDATES_MAX 10000  /* dpkg writes the status after 250 (MAXUPDATES) */
#define SEVERAL SIZE_MAX

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
	struct mlimg_path_map by_key; /* which record has a key: of the status, then of the added */
	struct mlimg_path_map by_name; /* which one alone is of a package, or SEVERAL */
	bool is_any;
};

static void applying_done(struct applying *a)
{
	mlimg_record_list_done(&a->status);
	free(a->added);
	mlimg_path_map_done(&a->by_key);
	mlimg_path_map_done(&a->by_name);
}

static struct mlimg_record *record_at(struct applying *a, size_t i)
{
	return i < a->status.n ? &a->status.records[i] : &a->added[i - a->status.n];
}

/* @ret_name: of the package; free() it. @return 0, -ENOMEM */
static int name_of(const char *key, char **ret_name)
{
	*ret_name = strndup(key, strcspn(key, "\n"));
	return *ret_name ? 0 : -ENOMEM;
}

/* Have record @i be found. */
static int note_record(struct applying *a, size_t i)
{
	const char *key = record_at(a, i)->key;
	mlimg_autofree char *name = NULL;
	size_t other;
	int r = name_of(key, &name);

	if (r == 0)
		r = mlimg_path_map_set(&a->by_key, key, i);
	if (r == 0)
		r = mlimg_path_map_set(&a->by_name, name,
			mlimg_path_map_get(&a->by_name, name, &other) ? SEVERAL : i);
	return r < 0 ? mlimg_packages_no_memory(a->job) : 0;
}

static int note_status(struct applying *a)
{
	int r = 0;

	for (size_t i = 0; i < a->status.n && r == 0; i++)
		r = note_record(a, i);
	return r;
}

/* @return whether a stanza says so */
static bool is_multi_same(const struct mlimg_record *record)
{
	static const char field[] = "\nMulti-Arch: same\n";

	return memmem(record->text, record->size, field, strlen(field)) != NULL;
}

/* @return whether an update may take the place of a record of another architecture */
static bool may_be_of_other(const struct mlimg_record *update)
{
	/* What is gone has no architecture, or the one that it had. */
	return !*(strchr(update->key, '\n') + 1) || (!update->is_gone && !is_multi_same(update));
}

/*
 * The record that an update is of: of that architecture, or the only one of its name. A stranger's
 * journal has as many as he likes, so none of them is looked for among all.
 */
static int find_record(
	struct applying *a, const struct mlimg_record *update, struct mlimg_record **ret_record)
{
	mlimg_autofree char *name = NULL;
	size_t i;

	*ret_record = NULL;
	if (name_of(update->key, &name) < 0)
		return mlimg_packages_no_memory(a->job);
	if (mlimg_path_map_get(&a->by_key, update->key, &i) ||
		(may_be_of_other(update) && mlimg_path_map_get(&a->by_name, name, &i) &&
			i != SEVERAL))
		*ret_record = record_at(a, i);
	return 0;
}

static int apply_record(struct applying *a, const struct mlimg_record *update)
{
	struct mlimg_arena *arena = a->job->arena;
	struct mlimg_record copy = *update, *to;
	int r = find_record(a, update, &to);

	if (r < 0)
		return r;
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
	return note_record(a, a->status.n + a->n_added - 1);
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

static int write_status(struct applying *a, char **text, size_t *size)
{
	struct mlimg_text out = {.data = NULL};

	mlimg_text_put(&out, "", 0);
	for (size_t i = 0; i < a->status.n + a->n_added; i++) {
		const struct mlimg_record *record = record_at(a, i);

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
	r = note_status(&a);
	for (int i = 0; i < n && r == 0; i++)
		r = apply(&a, side, paths[i]);
	return r < 0 || !a.is_any ? r : write_status(&a, text, size);
}
