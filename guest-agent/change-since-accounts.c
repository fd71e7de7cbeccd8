/* SPDX-License-Identifier: MIT */
/* Accounts that the user has changed since a change, merged into what was before it. */
#include <stdlib.h>

#include "guest-agent/change-since-impl.h"
#include "libmlimg/reconcile-kept.h"

/* One of all sides. @return 0, -EUCLEAN, -EIO, -EMLINK, -ENOMEM */
static int read_file(struct since *s, enum mlimg_accounts_file f,
	char *texts[MLIMG_N_MERGE_SIDES][MLIMG_N_ACCOUNTS_FILES],
	struct mlimg_accounts sides[MLIMG_N_MERGE_SIDES], struct mlimg_err *err)
{
	const char *path = mlimg_accounts_path(f);
	int r = mlimg_accounts_check_kept(s->classes, s->upper, f, err);

	for (enum mlimg_merge_side side = 0; side < MLIMG_N_MERGE_SIDES && r == 0; side++) {
		size_t size = 0;

		r = since_read(s, side, path, &texts[side][f], &size);
		if (r < 0 && r != -ENOENT)
			return since_cannot_read(r, side, path, err);
		sides[side].files[f] = (struct mlimg_records_text){texts[side][f], size};
		r = 0;
	}
	return r;
}

/* A link that was there before is what it was, too. */
static bool is_as_it_was(struct since *s, const char *path)
{
	const struct mlimg_entry *e = mlimg_manifest_find(s->upper, path);

	return since_is_changed(s, path) == 0 ||
		(e && e->type == MLIMG_LINK && since_was_left(s, path));
}

/* As the planner (reconcile-databases.c). What nobody has changed is not told. */
static int read_accounts(struct since *s, char *texts[MLIMG_N_MERGE_SIDES][MLIMG_N_ACCOUNTS_FILES],
	struct mlimg_accounts sides[MLIMG_N_MERGE_SIDES], struct mlimg_err *err)
{
	bool is_left[MLIMG_N_ACCOUNTS_FILES] = {false};
	int r = 0;

	for (enum mlimg_accounts_file f = 0; f < MLIMG_N_ACCOUNTS_FILES && r == 0; f++) {
		const char *path = mlimg_accounts_path(f);

		r = read_file(s, f, texts, sides, err);
		is_left[f] = r < 0 && r != -ENOMEM && mlimg_accounts_can_do_without(f);
		if (is_left[f])
			r = is_as_it_was(s, path) ? 0 : since_give_up(s, path, "accounts", err);
	}
	for (enum mlimg_accounts_file f = 0; f < MLIMG_N_ACCOUNTS_FILES; f++)
		if (is_left[f])
			mlimg_accounts_leave_out(sides, f);
	return r;
}

static int is_fixed(void *ctx, bool is_group, uint32_t id)
{
	struct since *s = ctx;

	return mlimg_carve_owners_has(&s->carved, is_group, id);
}

/*
 * By what is there when the steps were taken back. What these bring back is of the former stack's
 * accounts.
 */
static bool is_used(void *ctx, bool is_group, uint32_t id)
{
	struct since *s = ctx;

	if (mlimg_carve_owners_has(&s->carved, is_group, id) > 0)
		return true;
	for (size_t i = 1; i < s->upper->n_entries; i++) {
		const struct mlimg_entry *e = &s->upper->entries[i];

		if (mlimg_entry_is_of(e, is_group, id) && !since_is_set_back(s, e))
			return true;
	}
	return false;
}

static int put_accounts(struct since *s, const struct mlimg_accounts_merged *merged)
{
	int r = 0;

	for (enum mlimg_accounts_file f = 0; f < MLIMG_N_ACCOUNTS_FILES && r == 0; f++)
		/* Nothing was merged of it: it may be what cannot be. */
		if (merged->files[f].text)
			r = since_put_database(s, mlimg_accounts_path(f), &merged->files[f]);
	return r;
}

static bool is_any_changed(struct since *s)
{
	for (enum mlimg_accounts_file f = 0; f < MLIMG_N_ACCOUNTS_FILES; f++)
		if (since_is_changed(s, mlimg_accounts_path(f)) > 0)
			return true;
	return false;
}

int since_accounts(struct since *s)
{
	char *texts[MLIMG_N_MERGE_SIDES][MLIMG_N_ACCOUNTS_FILES] = {{NULL}};
	struct mlimg_accounts sides[MLIMG_N_MERGE_SIDES] = {0};
	const struct mlimg_accounts_used used = {is_used, is_fixed, NULL, s};
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r = since_check_left(s, MLIMG_CHANGE_LEFT_ACCOUNTS, &err);

	/* What nobody has changed is what it was when the steps are taken back. */
	if (r < 0 && !is_any_changed(s))
		return 0;
	if (r == 0)
		r = read_accounts(s, texts, sides, &err);
	if (r == 0)
		r = mlimg_accounts_merge(&sides[MLIMG_SIDE_BASE], &sides[MLIMG_SIDE_NEXT],
			&sides[MLIMG_SIDE_MINE], &used, &s->accounts, s->c->call->notes, &err);
	for (size_t side = 0; side < MLIMG_N_MERGE_SIDES; side++)
		for (size_t f = 0; f < MLIMG_N_ACCOUNTS_FILES; f++)
			free(texts[side][f]);
	return r < 0 ? since_give_up(s, "etc/passwd", "accounts", &err)
		     : put_accounts(s, &s->accounts);
}

int since_check_left(const struct since *s, const char *name, struct mlimg_err *err)
{
	int r = mlimg_change_has(s->c->undo_fd, name);

	if (r < 0)
		return mlimg_err_set(err, r, "look for '%s'", name);
	return r > 0
		? mlimg_err_refuse(err, "the change that is taken back had not merged them either")
		: 0;
}
