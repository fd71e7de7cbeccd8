/* SPDX-License-Identifier: MIT */
/* Accounts and packages of the three sides, read and merged, as the planner takes them. */
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/reconcile-impl.h"
#include "libmlimg/reconcile-kept.h"
#include "libmlimg/renamed.h"
#include "libmlimg/upper-view.h"
#include "libmlimg/whiteout.h"

/* @return a text of a stack. -ENOENT: it is not there; -EIO: it cannot be had; -ENOMEM */
static int read_of_stack(
	const struct planning *p, bool is_next, const char *path, char **ret_text, size_t *ret_size)
{
	const struct mlimg_reconcile_input *in = p->in;
	const struct mlimg_entry *e = mlimg_manifest_find(is_next ? in->next : in->base, path);
	mlimg_reconcile_read_fn *read = is_next ? in->read_next : in->read_base;
	int r;

	if (!e || e->type != MLIMG_FILE)
		return -ENOENT;
	if (e->size_bytes == 0) {
		*ret_text = strdup("");
		*ret_size = 0;
		return *ret_text ? 0 : -ENOMEM;
	}
	if (!read || !e->has_digest)
		return -EIO;
	r = read(path, e->digest, MLIMG_RECORDS_SIZE_MAX, in->read_ctx, ret_text, ret_size);
	return r == 0 || r == -ENOMEM ? r : -EIO;
}

/*
 * As the user sees it: where the upper has nothing, what the old stack has. -EMLINK: it is no file,
 * or behind a symbolic link. What a link leads to cannot be replaced by replacing the link, and to
 * take the database for an empty one would undo all that the user has in it.
 */
static int read_of_mine(
	const struct planning *p, const char *path, char **ret_text, size_t *ret_size)
{
	struct mlimg_upper_source *source = p->in->upper;
	struct mlimg_seen seen;
	int r;

	mlimg_upper_see(p->upper, p->in->base, path, &seen);
	if (seen.kind == MLIMG_SEEN_STACK)
		return read_of_stack(p, false, seen.lower, ret_text, ret_size);
	if (seen.kind == MLIMG_SEEN_NOTHING)
		return -ENOENT;
	if (seen.kind == MLIMG_SEEN_ELSEWHERE || seen.entry->type != MLIMG_FILE)
		return -EMLINK;
	r = source->read(source, path, MLIMG_RECORDS_SIZE_MAX, ret_text, ret_size, NULL);
	return r == -ENOENT ? -EIO : r;
}

static int read_side(const struct planning *p, enum mlimg_merge_side side, const char *path,
	char **ret_text, size_t *ret_size)
{
	return side == MLIMG_SIDE_MINE
		? read_of_mine(p, path, ret_text, ret_size)
		: read_of_stack(p, side == MLIMG_SIDE_NEXT, path, ret_text, ret_size);
}

static int cannot_read(int r, enum mlimg_merge_side side, const char *path, struct mlimg_err *err)
{
	static const char *const whose[MLIMG_N_MERGE_SIDES] = {[MLIMG_SIDE_BASE] = "the old stack",
		[MLIMG_SIDE_NEXT] = "the new stack",
		[MLIMG_SIDE_MINE] = "the user"};

	return r == -EMLINK
		? mlimg_err_set(err, 0, "/%s of %s is no file, or behind a symbolic link", path,
			  whose[side])
		: mlimg_err_set(err, r, "/%s of %s", path, whose[side]);
}

/* What cannot be merged stays as it would without this. @return 0, -ENOMEM */
static int give_up(
	struct planning *p, const char *path, const char *name, const struct mlimg_err *why)
{
	if (why->code == -ENOMEM ||
		mlimg_notes_add(p->in->notes, MLIMG_NOTE_BROKEN, path, name,
			MLIMG_NOTE_UNMERGED "%s", why->text) < 0)
		return no_memory(p, path);
	return 0;
}

/* --- accounts --- */

/* One of all sides. @return 0, -EUCLEAN, -EIO, -EMLINK, -ENOMEM */
static int read_accounts_file(const struct planning *p, enum mlimg_accounts_file f,
	char *texts[MLIMG_N_MERGE_SIDES][MLIMG_N_ACCOUNTS_FILES],
	struct mlimg_accounts sides[MLIMG_N_MERGE_SIDES], struct mlimg_err *err)
{
	const char *path = mlimg_accounts_path(f);
	int r = mlimg_accounts_check_kept(p->in->classes, p->upper, f, err);

	for (enum mlimg_merge_side side = 0; side < MLIMG_N_MERGE_SIDES && r == 0; side++) {
		size_t size = 0;

		r = read_side(p, side, path, &texts[side][f], &size);
		if (r < 0 && r != -ENOENT)
			return cannot_read(r, side, path, err);
		sides[side].files[f] = (struct mlimg_records_text){texts[side][f], size};
		r = 0;
	}
	return r;
}

/* All; but those that can be done without where they cannot be merged, which is told. */
static int read_accounts(struct planning *p,
	char *texts[MLIMG_N_MERGE_SIDES][MLIMG_N_ACCOUNTS_FILES],
	struct mlimg_accounts sides[MLIMG_N_MERGE_SIDES], struct mlimg_err *err)
{
	bool is_left[MLIMG_N_ACCOUNTS_FILES] = {false};
	int r = 0;

	for (enum mlimg_accounts_file f = 0; f < MLIMG_N_ACCOUNTS_FILES && r == 0; f++) {
		r = read_accounts_file(p, f, texts, sides, err);
		is_left[f] = r < 0 && r != -ENOMEM && mlimg_accounts_can_do_without(f);
		if (is_left[f])
			r = give_up(p, mlimg_accounts_path(f), "accounts", err);
	}
	for (enum mlimg_accounts_file f = 0; f < MLIMG_N_ACCOUNTS_FILES; f++)
		if (is_left[f])
			mlimg_accounts_leave_out(sides, f);
	return r;
}

static int note_owners(struct planning *p)
{
	int r = 0;

	for (size_t i = 1; i < p->upper->n_entries && r == 0; i++)
		r = mlimg_owner_set_add_entry(&p->owners, &p->upper->entries[i]);
	return r < 0 ? no_memory(p, "etc/passwd") : 0;
}

/* What is asked about owners while accounts are merged. */
struct asked {
	struct planning *p;
	struct mlimg_renamed *renamed; /* directories of the upper, whatever becomes of them */
	size_t n, room;
	size_t left;     /* bytes of places (renamed.h) */
	uint32_t n_seen; /* places at which what is asked about shows */
};

static int note_renamed(struct asked *asked, const struct mlimg_entry *e)
{
	struct planning *p = asked->p;
	struct mlimg_seen seen;
	char *from;

	if (e->type != MLIMG_DIR || mlimg_entry_is_opaque(e) ||
		!mlimg_entry_xattr(e, MLIMG_XATTR_REDIRECT))
		return 0;
	mlimg_upper_see(p->upper, p->in->base, e->path, &seen);
	if (seen.entry != e || !seen.has_lower || !*seen.lower)
		return 0;
	from = mlimg_arena_strndup(p->arena, seen.lower, strlen(seen.lower));
	if (!from ||
		mlimg_buffer_reserve(&asked->renamed, &asked->room,
			(asked->n + 1) * sizeof(*asked->renamed)) < 0)
		return no_memory(p, e->path);
	asked->renamed[asked->n++] = (struct mlimg_renamed){from, e->path};
	return 0;
}

static int find_renamed(struct asked *asked)
{
	const struct mlimg_manifest *upper = asked->p->upper;
	int r = 0;

	for (size_t i = 0; i < upper->n_entries && r == 0; i++)
		r = note_renamed(asked, &upper->entries[i]);
	if (asked->n)
		qsort(asked->renamed, asked->n, sizeof(*asked->renamed), mlimg_renamed_cmp);
	return r;
}

static int owns_outside(const struct planning *p, bool is_group, uint32_t id)
{
	return p->in->owns_outside ? p->in->owns_outside(p->in->outside_ctx, is_group, id) : 0;
}

static int is_fixed(void *ctx, bool is_group, uint32_t id)
{
	const struct asked *asked = ctx;

	return owns_outside(asked->p, is_group, id);
}

static bool is_used(void *ctx, bool is_group, uint32_t id)
{
	const struct asked *asked = ctx;
	const struct planning *p = asked->p;
	int has = mlimg_owner_set_has(&p->owners, is_group, id);

	if (has > 0 || owns_outside(p, is_group, id) > 0)
		return true;
	for (size_t i = 1; i < p->upper->n_entries && has < 0; i++)
		if (mlimg_entry_is_of(&p->upper->entries[i], is_group, id))
			return true;
	return false;
}

static int look_at(const char *path, size_t renamed, void *ctx)
{
	struct asked *asked = ctx;
	struct mlimg_seen seen;

	mlimg_upper_see(asked->p->upper, asked->p->in->base, path, &seen);
	asked->n_seen += seen.kind == MLIMG_SEEN_STACK;
	return 0;
}

/* At its own path, or in a directory that was renamed. Of more places than are looked for it may. */
static bool shows(void *ctx, bool is_group, uint32_t id)
{
	struct asked *asked = ctx;
	const struct mlimg_manifest *base = asked->p->in->base;

	asked->n_seen = 0;
	for (size_t i = 1; i < base->n_entries && !asked->n_seen; i++) {
		const struct mlimg_entry *e = &base->entries[i];

		if ((is_group ? e->gid : e->uid) == id &&
			(look_at(e->path, 0, asked) < 0 ||
				mlimg_renamed_places(asked->renamed, asked->n, e->path,
					&asked->left, look_at, asked, NULL) < 0))
			return true;
	}
	return asked->n_seen > 0;
}

static int merge_accounts(struct planning *p, struct databases *d)
{
	char *texts[MLIMG_N_MERGE_SIDES][MLIMG_N_ACCOUNTS_FILES] = {{NULL}};
	struct mlimg_accounts sides[MLIMG_N_MERGE_SIDES] = {0};
	struct asked asked = {.p = p, .left = MLIMG_RENAMED_PLACES_MAX};
	const struct mlimg_accounts_used used = {is_used, is_fixed, shows, &asked};
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r = note_owners(p);

	if (r == 0)
		r = find_renamed(&asked);
	if (r < 0) {
		free(asked.renamed);
		return r;
	}
	r = read_accounts(p, texts, sides, &err);
	if (r == 0)
		r = mlimg_accounts_merge(&sides[MLIMG_SIDE_BASE], &sides[MLIMG_SIDE_NEXT],
			&sides[MLIMG_SIDE_MINE], &used, &d->accounts, p->in->notes, &err);
	free(asked.renamed);
	for (size_t s = 0; s < MLIMG_N_MERGE_SIDES; s++)
		for (size_t f = 0; f < MLIMG_N_ACCOUNTS_FILES; f++)
			free(texts[s][f]);
	p->report->leaves_accounts = r < 0;
	if (r < 0)
		return give_up(p, "etc/passwd", "accounts", &err);
	d->in.moved = &d->accounts.upper;
	d->in.moved_in_base = &d->accounts.base;
	d->in.moved_in_next = &d->accounts.lower;
	d->in.came = &d->accounts.came;
	return 0;
}

/* --- packages --- */

static int read_package_text(void *ctx, enum mlimg_merge_side side, const char *path,
	char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	int r = read_side(ctx, side, path, ret_text, ret_size);

	/* A configuration file that is asked for may well be a link. */
	if (r == -EMLINK && mlimg_packages_form_of(path) == MLIMG_RECORDS_NONE)
		return -ENOENT;
	return r < 0 && r != -ENOENT && r != -ENOMEM ? cannot_read(r, side, path, err) : r;
}

static enum mlimg_package_verdict package_of(const char *path, void *ctx)
{
	return mlimg_packages_verdict_of(ctx, path);
}

static bool has_file(void *ctx, const char *path)
{
	const struct planning *p = ctx;

	return mlimg_upper_shows_file(p->upper, p->in->base, path);
}

static const char *link_at(void *ctx, const char *path)
{
	const struct planning *p = ctx;

	return mlimg_upper_shows_link(p->upper, p->in->base, path);
}

/*
 * @return whether the user has no status where the old stack has one, as after a directory above it
 *         was removed or became a link. Nothing in the upper need have its path then
 */
static bool is_status_gone(const struct planning *p)
{
	static const char path[] = "var/lib/dpkg/status";
	const struct mlimg_entry *base = mlimg_manifest_find(p->in->base, path),
				 *mine = mlimg_manifest_find(p->upper, path);

	return base && base->type == MLIMG_FILE && base->size_bytes &&
		(!mine || mine->type == MLIMG_DIR) &&
		!mlimg_upper_shows_file(p->upper, p->in->base, path);
}

static int merge_packages(struct planning *p, struct databases *d)
{
	struct mlimg_packages_input input = {.next = p->in->next,
		.read = read_package_text,
		.has_file = has_file,
		.link = link_at,
		.ctx = p};
	mlimg_autofree const char **paths = calloc(p->upper->n_entries + 2, sizeof(*paths));
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r;

	if (!paths)
		return no_memory(p, "var/lib/dpkg");
	for (size_t i = 0; i < p->upper->n_entries; i++)
		if (p->upper->entries[i].type != MLIMG_DIR &&
			mlimg_packages_is_database(p->upper->entries[i].path))
			paths[input.n_paths++] = p->upper->entries[i].path;
	if (is_status_gone(p))
		paths[input.n_paths++] = "var/lib/dpkg/status";
	/* Without one the user has changed no package. */
	if (!input.n_paths)
		return 0;
	input.paths = paths;
	r = mlimg_packages_check_kept(p->in->classes, p->upper, &err);
	if (r == 0)
		r = mlimg_packages_merge(&input, &d->packages, p->in->notes, &err);
	p->report->leaves_packages = r < 0;
	if (r < 0)
		return give_up(p, "var/lib/dpkg/status", "packages", &err);
	d->in.package = package_of;
	d->in.package_ctx = &d->packages;
	d->in.hidden = d->packages.hidden;
	d->in.n_hidden = d->packages.n_hidden;
	d->in.diversions = d->packages.diversions;
	d->in.n_diversions = d->packages.n_diversions;
	d->in.links = d->packages.links;
	d->in.n_links = d->packages.n_links;
	return plan_tell_triggers(p, &d->packages);
}

/* --- both --- */

bool mlimg_reconcile_is_database(const char *path)
{
	return mlimg_accounts_file_of(path) != MLIMG_N_ACCOUNTS_FILES ||
		mlimg_packages_is_database(path);
}

static int by_path(const void *a, const void *b)
{
	return mlimg_manifest_path_cmp(((const struct mlimg_reconcile_text *)a)->path,
		((const struct mlimg_reconcile_text *)b)->path);
}

static void add_text(struct databases *d, const char *path, const struct mlimg_merged_text *text)
{
	if (text->text)
		d->texts[d->in.n_texts++] =
			(struct mlimg_reconcile_text){path, text->text, text->size};
}

static int gather_texts(struct planning *p, struct databases *d)
{
	d->texts = calloc(MLIMG_N_ACCOUNTS_FILES + d->packages.n_files, sizeof(*d->texts));
	if (!d->texts)
		return no_memory(p, "var/lib/dpkg");
	for (enum mlimg_accounts_file f = 0; f < MLIMG_N_ACCOUNTS_FILES; f++)
		add_text(d, mlimg_accounts_path(f), &d->accounts.files[f]);
	for (size_t i = 0; i < d->packages.n_files; i++)
		add_text(d, d->packages.files[i].path, &d->packages.files[i].text);
	if (d->in.n_texts)
		qsort(d->texts, d->in.n_texts, sizeof(*d->texts), by_path);
	d->in.texts = d->texts;
	return 0;
}

int plan_databases_merge(struct planning *p, struct databases *d)
{
	int r;

	*d = (struct databases){.in = *p->in};
	r = merge_accounts(p, d);
	if (r == 0)
		r = merge_packages(p, d);
	if (r == 0)
		r = gather_texts(p, d);
	if (r == 0)
		p->in = &d->in;
	return r;
}

void plan_databases_done(struct databases *d)
{
	mlimg_accounts_merged_done(&d->accounts);
	mlimg_packages_merged_done(&d->packages);
	free(d->texts);
}
