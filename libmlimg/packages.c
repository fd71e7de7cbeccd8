/* SPDX-License-Identifier: MIT */
#include "libmlimg/packages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/packages-impl.h"

#define ALTERNATIVES "var/lib/dpkg/alternatives/"
#define DEBCONF_CONFIG "var/cache/debconf/config.dat"
#define DEBCONF_TEMPLATES "var/cache/debconf/templates.dat"

const char *mlimg_package_verdict_name(enum mlimg_package_verdict verdict)
{
	static const char *const names[] = {
		[MLIMG_FILES_PLAIN] = "plain",
		[MLIMG_FILES_MINE] = "mine",
		[MLIMG_FILES_NEXT] = "next",
		[MLIMG_FILES_REMOVED] = "removed",
		[MLIMG_FILES_NEW] = "new",
	};

	return names[verdict];
}

static bool is_alternatives(const char *path)
{
	size_t size = strlen(ALTERNATIVES);

	return strncmp(path, ALTERNATIVES, size) == 0 && path[size] && !strchr(path + size, '/');
}

enum mlimg_records_form mlimg_packages_form_of(const char *path)
{
	if (strcmp(path, DEBCONF_CONFIG) == 0 || strcmp(path, DEBCONF_TEMPLATES) == 0)
		return MLIMG_RECORDS_QUESTIONS;
	return strncmp(path, "var/", 4) == 0 ? mlimg_records_form_of(path) : MLIMG_RECORDS_NONE;
}

bool mlimg_packages_is_database(const char *path)
{
	return is_alternatives(path) || mlimg_packages_is_update(path) ||
		mlimg_packages_form_of(path) != MLIMG_RECORDS_NONE;
}

int mlimg_packages_no_memory(const struct mlimg_packages_job *job)
{
	return mlimg_err_set(job->err, ENOMEM, "packages");
}

int mlimg_packages_read(const struct mlimg_packages_job *job, enum mlimg_merge_side side,
	const char *path, char **ret_text, size_t *ret_size)
{
	int r;

	*ret_text = NULL;
	*ret_size = 0;
	r = job->input->read(job->input->ctx, side, path, ret_text, ret_size, job->err);
	return r == -ENOENT ? 0 : r;
}

/* ---- a database ---- */

/* The texts of one, on all sides. */
struct texts {
	char *owned[MLIMG_N_MERGE_SIDES];
	struct mlimg_records_text texts[MLIMG_N_MERGE_SIDES];
};

static int texts_read(const struct mlimg_packages_job *job, const char *path, struct texts *t)
{
	int r = 0;

	for (int side = 0; side < MLIMG_N_MERGE_SIDES && r == 0; side++) {
		size_t size;

		r = mlimg_packages_read(
			job, (enum mlimg_merge_side)side, path, &t->owned[side], &size);
		if (r == 0)
			t->texts[side] = (struct mlimg_records_text){t->owned[side], size};
	}
	return r;
}

static void texts_done(struct texts *t)
{
	for (int side = 0; side < MLIMG_N_MERGE_SIDES; side++)
		free(t->owned[side]);
}

#define mlimg_autotexts mlimg_cleanup(texts_done)

/*
 * dpkg's own package has it; dpkg's list of foreign ones begins with it only where there are any.
 */
static const char *native_architecture(const struct mlimg_packages_job *job)
{
	for (int side = MLIMG_SIDE_NEXT; side < MLIMG_N_MERGE_SIDES; side++)
		for (size_t i = 0; i < job->sides[side].n; i++)
			if (strcmp(job->sides[side].stanzas[i].name, "dpkg") == 0)
				return job->sides[side].stanzas[i].architecture;
	for (int side = MLIMG_SIDE_NEXT; side < MLIMG_N_MERGE_SIDES; side++)
		for (size_t i = 0; i < job->sides[side].n; i++) {
			const char *is = job->sides[side].stanzas[i].architecture;

			if (*is && strcmp(is, "all") != 0)
				return is;
		}
	return "";
}

static int merge_status(struct mlimg_packages_job *job, struct mlimg_merged_text *ret)
{
	static const char *const names[] = {"base", "next", "mine"};
	mlimg_autotexts struct texts t = {.owned = {NULL}};
	int r = texts_read(job, MLIMG_PACKAGES_STATUS, &t);

	for (int side = 0; side < MLIMG_N_MERGE_SIDES && r == 0; side++) {
		r = mlimg_packages_apply_updates(
			job, (enum mlimg_merge_side)side, &t.owned[side], &t.texts[side].size);
		t.texts[side].text = t.owned[side];
		if (r < 0)
			return mlimg_err_wrap(job->err, r, "%s", names[side]);
		r = mlimg_stanzas_parse(job, (enum mlimg_merge_side)side, t.texts[side]);
		if (r < 0)
			r = mlimg_err_wrap(job->err, r, "%s: " MLIMG_PACKAGES_STATUS, names[side]);
	}
	if (r < 0)
		return r;
	job->native = native_architecture(job);
	r = mlimg_packages_decide(job, t.owned[MLIMG_SIDE_MINE]);
	if (r == 0)
		r = mlimg_packages_list_paths(job);
	if (r == 0)
		r = mlimg_packages_check_depends(job);
	return r < 0 ? r : mlimg_packages_put_status(job, t.texts, ret);
}

/* Without the user's there is nothing to merge: he removed it, or it cannot be had. */
static int merge_questions(
	struct mlimg_packages_job *job, const char *path, struct mlimg_merged_text *ret)
{
	struct mlimg_packages_follow follow = {job->merged, path};
	mlimg_autotexts struct texts t = {.owned = {NULL}};
	bool is_config = strcmp(path, DEBCONF_CONFIG) == 0;
	int r = texts_read(job, path, &t);

	if (r == 0 && !t.owned[MLIMG_SIDE_MINE])
		return 0;
	if (r == 0)
		r = mlimg_records_merge(MLIMG_RECORDS_QUESTIONS, path, t.texts,
			is_config ? NULL : mlimg_packages_follow, &follow, ret, job->notes,
			job->err);
	if (r == 0 || r == -ENOMEM)
		return r;
	return mlimg_notes_add(job->notes, MLIMG_NOTE_BROKEN, path, "debconf",
		       MLIMG_NOTE_UNMERGED "%s", job->err->text) < 0
		? mlimg_packages_no_memory(job)
		: 0;
}

static int merge_one(
	struct mlimg_packages_job *job, const char *path, struct mlimg_merged_text *ret)
{
	struct mlimg_packages_follow follow = {job->merged, path};
	mlimg_autotexts struct texts t = {.owned = {NULL}};
	int r;

	if (mlimg_packages_form_of(path) == MLIMG_RECORDS_QUESTIONS)
		return merge_questions(job, path, ret);
	if (mlimg_packages_is_update(path))
		return 0; /* it is in the status now */
	r = texts_read(job, path, &t);
	if (r < 0)
		return r;
	if (is_alternatives(path))
		return mlimg_packages_merge_alternatives(job, path, t.texts, ret);
	return mlimg_records_merge(mlimg_records_form_of(path), path, t.texts,
		mlimg_packages_follow, &follow, ret, job->notes, job->err);
}

static bool is_status(const char *path)
{
	return strcmp(path, MLIMG_PACKAGES_STATUS) == 0;
}

/* A journal is of a status that the upper need not have. */
static void count_files(struct mlimg_packages_job *job)
{
	const struct mlimg_packages_input *input = job->input;
	bool has_status = false, has_updates = false;

	for (size_t i = 0; i < input->n_paths; i++) {
		has_status |= is_status(input->paths[i]);
		has_updates |= mlimg_packages_is_update(input->paths[i]);
	}
	job->merged->n_files = input->n_paths + (has_updates && !has_status);
}

/* The status comes first: what others have of a package follows it. */
static int merge_files(struct mlimg_packages_job *job)
{
	const struct mlimg_packages_input *input = job->input;
	struct mlimg_packages_merged *m = job->merged;
	int r = 0;

	count_files(job);
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < m->n_files && r == 0; i++) {
			const char *path =
				i < input->n_paths ? input->paths[i] : MLIMG_PACKAGES_STATUS;

			if (is_status(path) == pass)
				continue;
			m->files[i].path = mlimg_arena_strndup(m->table->arena, path, strlen(path));
			if (!m->files[i].path)
				return mlimg_packages_no_memory(job);
			r = pass == 0 ? merge_status(job, &m->files[i].text)
				      : merge_one(job, path, &m->files[i].text);
		}
	return r;
}

/* ---- all ---- */

static int merge_all(struct mlimg_packages_job *job)
{
	const struct mlimg_packages_input *input = job->input;
	struct mlimg_packages_merged *m = job->merged;
	int r;

	m->table = calloc(1, sizeof(*m->table));
	m->files = calloc(input->n_paths + 2, sizeof(*m->files));
	if (m->table)
		m->table->files_room = (input->n_paths + 2) * sizeof(*m->files);
	job->arena = mlimg_arena_new();
	if (!m->table || !m->files || !job->arena || !(m->table->arena = mlimg_arena_new()))
		return mlimg_packages_no_memory(job);
	r = merge_files(job);
	if (r == 0)
		r = mlimg_packages_keep_conffiles(job);
	if (r == 0)
		r = mlimg_packages_list_diversions(job);
	mlimg_packages_sort_links(m);
	return r;
}

int mlimg_packages_merge(const struct mlimg_packages_input *input,
	struct mlimg_packages_merged *ret, struct mlimg_notes *notes, struct mlimg_err *err)
{
	struct mlimg_packages_merged merged = {.n_files = 0};
	struct mlimg_packages_job job = {
		.input = input, .merged = &merged, .notes = notes, .err = err};
	int r = merge_all(&job);

	for (int side = 0; side < MLIMG_N_MERGE_SIDES; side++)
		mlimg_stanzas_done(&job.sides[side]);
	free(job.entries);
	mlimg_arena_free(job.arena);
	if (r < 0) {
		mlimg_packages_merged_done(&merged);
		return r;
	}
	*ret = merged;
	return 0;
}

void mlimg_packages_merged_done(struct mlimg_packages_merged *merged)
{
	for (size_t i = 0; i < merged->n_files; i++)
		free(merged->files[i].text.text);
	free(merged->files);
	free(merged->links);
	free(merged->diversions);
	free(merged->undone);
	free(merged->hidden);
	free(merged->packages);
	if (merged->table) {
		free(merged->table->paths);
		mlimg_arena_free(merged->table->arena);
	}
	free(merged->table);
	*merged = (struct mlimg_packages_merged){.n_files = 0};
}
