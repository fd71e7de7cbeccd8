/* SPDX-License-Identifier: MIT */
/*
 * Packages that the user has changed since a change, merged into what was before it.
 */
#include <stdlib.h>
#include <string.h>

#include "guest-agent/change-since-impl.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/path.h"
#include "libmlimg/reconcile-kept.h"
#include "libmlimg/reconcile-plan.h"
#include "libmlimg/reconcile.h"
#include "libmlimg/upper-view.h"
#include "libmlimg/whiteout.h"

/* A change that cannot be told is given up for all: they belong together. @return 1, 0, -ENOMEM */
static int is_any_changed(struct since *s, const char *const *paths, size_t n, const char *name)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	for (size_t i = 0; i < n; i++) {
		int r = since_is_changed(s, paths[i]);

		if (r == 0)
			continue;
		if (r > 0)
			return r;
		(void)!since_cannot_read(r, MLIMG_SIDE_MINE, paths[i], &err);
		return since_give_up(s, paths[i], name, &err);
	}
	return 0;
}

static int read_package_text(void *ctx, enum mlimg_merge_side side, const char *path,
	char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	int r = since_read(ctx, side, path, ret_text, ret_size);

	return r == -EIO || r == -EMLINK ? since_cannot_read(r, side, path, err) : r;
}

static bool is_touched(const struct since *s, const char *path)
{
	size_t n;

	return mlimg_path_map_get(&s->taken, path, &n) || mlimg_path_map_get(&s->put, path, &n);
}

static bool has_redirects(const struct since *s)
{
	for (size_t i = 0; i < s->upper->n_entries; i++)
		if (mlimg_entry_xattr(&s->upper->entries[i], MLIMG_XATTR_REDIRECT))
			return true;
	return false;
}

/* To aside/N+1, so that what the change had set aside at that path, in aside/N, can return. */
static int set_aside(struct since *s, struct mlimg_change_extra *log, const char *path)
{
	struct mlimg_undo_record record = {.op = 'a', .path = path, .parts = MLIMG_UNDO_MAIN};
	int r = mlimg_change_make_way(s->c->aside_fd, path, 0755);

	if (r < 0)
		return mlimg_err_set(s->err, r, "make the way to 'aside' of '/%s'", path);
	mlimg_change_extra_add(log, &record);
	return since_touch(s, path);
}

int since_set_aside_first(struct since *s, const char *path)
{
	size_t at;
	int r = mlimg_path_map_get(&s->first_done, path, &at) ? 1 : set_aside(s, &s->first, path);

	if (r == 0 && mlimg_path_map_set(&s->first_done, path, 0) < 0)
		return since_no_memory(s);
	return r < 0 ? r : 0;
}

/* @return whether a whiteout may hide the place from which a directory was renamed */
static bool may_cover(const struct since *s, const struct mlimg_entry *whiteout)
{
	const struct mlimg_entry *former = mlimg_manifest_find(s->former.manifest, whiteout->path);

	return former && former->type == MLIMG_DIR && has_redirects(s);
}

/*
 * Files of his version of a package that gives way. Whiteouts of its files as well. In their place
 * is what taking the steps back returns, or the former stack's.
 */
static int give_way(struct since *s, const struct mlimg_packages_merged *merged)
{
	int r = 0;

	for (size_t i = 0; i < s->upper->n_entries && r == 0; i++) {
		const struct mlimg_entry *e = &s->upper->entries[i];
		enum mlimg_package_verdict verdict = mlimg_packages_verdict_of(merged, e->path);

		if (e->type == MLIMG_DIR || since_is_as_put(s, e) ||
			mlimg_reconcile_is_database(e->path) ||
			(verdict != MLIMG_FILES_NEXT &&
				(verdict != MLIMG_FILES_NEW || !mlimg_entry_is_whiteout(e))))
			continue;
		if (!mlimg_entry_is_whiteout(e))
			r = since_set_aside_first(s, e->path);
		else if (!may_cover(s, e))
			r = since_clear(s, e->path);
	}
	return r;
}

/* @return 1 when the step has taken a file of a package that is there no more, 0, -errno */
static int is_of_none(
	struct since *s, const struct mlimg_packages_merged *merged, size_t n, const char *path)
{
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	int r;

	/* Configuration stays when a package is removed. */
	if (strncmp(path, "etc/", 4) == 0 || mlimg_reconcile_is_database(path) ||
		mlimg_packages_verdict_of(merged, path) != MLIMG_FILES_REMOVED)
		return 0;
	mlimg_change_slot(n, MLIMG_UNDO_MAIN, slot);
	r = mlimg_change_is_kept(s->c, slot);
	return r == -ENOENT ? 1 : r; /* it is in aside */
}

/*
 * What taking the steps back returns of a package of his that he has removed since, or of another
 * version of it than the one that stays.
 */
static int send_back(struct since *s, const struct mlimg_packages_merged *merged)
{
	struct mlimg_undo_record record;
	int r = 0;

	for (size_t i = 0; i < s->n_takens && r == 0; i++) {
		const char *path;

		r = mlimg_undo_log_get(s->log, s->takens[i].n, &record, s->err);
		if (r < 0)
			return r;
		path = mlimg_arena_strndup(s->arena, record.path, strlen(record.path));
		if (!path)
			return since_no_memory(s);
		r = is_of_none(s, merged, s->takens[i].n, path);
		if (r > 0)
			r = since_has_place(s, path);
		if (r > 0)
			r = set_aside(s, &s->then, path);
	}
	return r;
}

int since_put_whiteout(struct since *s, const char *path)
{
	const struct mlimg_entry whiteout = {
		.path = (char *)(uintptr_t)path, .type = MLIMG_CHAR, .nlink = 1};
	int r = since_has_way(s, path);

	if (r <= 0)
		return r;
	r = since_make_way(s, path);
	if (r == 0 && mlimg_path_map_set(&s->adapted, path, 0) < 0)
		r = since_no_memory(s);
	return r < 0 ? r : mlimg_change_extra_put(&s->then, &whiteout, NULL, 0, s->err);
}

static int hide(struct since *s, const struct mlimg_packages_merged *merged)
{
	int r = 0;

	for (size_t i = 0; i < merged->n_hidden && r == 0; i++) {
		const char *path = merged->hidden[i];
		const struct mlimg_entry *former = mlimg_manifest_find(s->former.manifest, path);

		if (!former || former->type == MLIMG_DIR || mlimg_manifest_find(s->upper, path))
			continue;
		/* What it had in a directory went with that, which is hidden as a whole. */
		r = since_shows_beneath(s, path);
		if (r > 0)
			r = since_put_whiteout(s, path);
	}
	return r;
}

static int put_link(struct since *s, const struct mlimg_packages_link *link)
{
	const struct mlimg_entry *former = mlimg_manifest_find(s->former.manifest, link->path);
	const struct mlimg_entry *now = mlimg_manifest_find(s->upper, link->path);
	struct mlimg_entry entry = {.path = (char *)(uintptr_t)link->path,
		.type = MLIMG_LINK,
		.mode = 0777,
		.nlink = 1,
		.mtime_s = s->former.manifest->entries[0].mtime_s,
		.link = (char *)(uintptr_t)link->target};
	int r;

	if (link->is_command && now)
		return 0;
	if (!link->target)
		return former && !now ? since_put_whiteout(s, link->path) : 0;
	if (!now && former && former->type == MLIMG_LINK &&
		strcmp(former->link, link->target) == 0 && !is_touched(s, link->path))
		return 0;
	r = since_has_ways(s, &link->path, 1, "packages");
	if (r <= 0)
		return r;
	r = since_make_way(s, link->path);
	return r < 0 ? r : mlimg_change_extra_put(&s->then, &entry, NULL, 0, s->err);
}

/*
 * A file of dpkg's journal: what it says is in the status that was merged. So neither the one that
 * is there stays, nor the one that taking steps back returns, which is older than the status.
 */
static int drop_update(struct since *s, const char *path)
{
	struct mlimg_undo_record record = {.op = 'o', .path = path, .parts = MLIMG_UNDO_MAIN};
	int r = mlimg_manifest_find(s->upper, path) ? since_clear(s, path) : 0;
	size_t n;

	if (r < 0 || !mlimg_path_map_get(&s->taken, path, &n))
		return r;
	mlimg_change_extra_add(&s->then, &record);
	return since_touch(s, path);
}

static int put_packages(struct since *s, const struct mlimg_packages_merged *merged)
{
	int r = send_back(s, merged);

	for (size_t i = 0; i < merged->n_files && r == 0; i++) {
		const char *path = merged->files[i].path;

		r = mlimg_packages_is_update(path)
			? drop_update(s, path)
			: since_put_database(s, path, &merged->files[i].text);
	}
	if (r == 0)
		r = hide(s, merged);
	for (size_t i = 0; i < merged->n_links && r == 0; i++)
		r = put_link(s, &merged->links[i]);
	return r;
}

static int add_path(struct since *s, const char ***paths, size_t *n, size_t *room, const char *path)
{
	if (mlimg_buffer_reserve(paths, room, (*n + 1) * sizeof(**paths)) < 0)
		return since_no_memory(s);
	(*paths)[(*n)++] = path;
	return 0;
}

/*
 * Those that the upper has now, and those that it had before; and that which is gone or of which
 * nobody knows what it is now, with a directory above it that was removed or is a symbolic link.
 */
static int collect_paths(struct since *s, const char ***ret, size_t *ret_n)
{
	static const char status[] = "var/lib/dpkg/status";
	struct mlimg_undo_record record;
	struct mlimg_seen seen;
	size_t room = 0;
	int r = 0;

	mlimg_upper_see(s->upper, s->now.manifest, status, &seen);
	if (seen.kind != MLIMG_SEEN_STACK && seen.kind != MLIMG_SEEN_UPPER &&
		!mlimg_manifest_find(s->upper, status) &&
		mlimg_manifest_find(s->former.manifest, status))
		r = add_path(s, ret, ret_n, &room, status);
	for (size_t i = 0; i < s->upper->n_entries && r == 0; i++)
		if (s->upper->entries[i].type != MLIMG_DIR &&
			mlimg_packages_is_database(s->upper->entries[i].path))
			r = add_path(s, ret, ret_n, &room, s->upper->entries[i].path);
	for (size_t i = 0; i < s->n_takens && r == 0; i++) {
		char *path;

		r = mlimg_undo_log_get(s->log, s->takens[i].n, &record, s->err);
		if (r < 0 || !mlimg_packages_is_database(record.path) ||
			mlimg_manifest_find(s->upper, record.path))
			continue;
		path = mlimg_arena_strndup(s->arena, record.path, strlen(record.path));
		r = path ? add_path(s, ret, ret_n, &room, path) : since_no_memory(s);
	}
	return r;
}

static bool has_file(void *ctx, const char *path)
{
	const struct since *s = ctx;

	return mlimg_upper_shows_file(s->upper, s->now.manifest, path);
}

static const char *link_at(void *ctx, const char *path)
{
	const struct since *s = ctx;

	return mlimg_upper_shows_link(s->upper, s->now.manifest, path);
}

static int merge_packages(struct since *s, const char *const *paths, size_t n)
{
	const struct mlimg_packages_input input = {.paths = paths,
		.n_paths = n,
		.next = s->former.manifest,
		.read = read_package_text,
		.has_file = has_file,
		.link = link_at,
		.ctx = s};
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r = since_check_left(s, MLIMG_CHANGE_LEFT_PACKAGES, &err);

	if (r == 0)
		r = mlimg_packages_check_kept(s->classes, s->upper, &err);
	if (r == 0)
		r = mlimg_packages_merge(&input, &s->packages, s->c->call->notes, &err);

	s->has_packages = r == 0;
	return r < 0 ? since_give_up(s, "var/lib/dpkg/status", "packages", &err) : 0;
}

/*
 * @return whether there is a copy, as chmod(1) makes one, of what the newer stack has and the former
 *         one has otherwise: it has the newer one's records, and stays for the sake of its mode; or
 *         what the change has put, of another mode since
 */
static bool is_any_copied(struct since *s, const char *const *paths, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct mlimg_entry *e = mlimg_manifest_find(s->upper, paths[i]),
					 *now = mlimg_manifest_find(s->now.manifest, paths[i]),
					 *former =
						 mlimg_manifest_find(s->former.manifest, paths[i]);
		size_t at;

		if (e && e->type == MLIMG_FILE && mlimg_path_map_get(&s->put, paths[i], &at) &&
			!since_is_as_put(s, e))
			return true;
		if (e && now && former && e->type == now->type &&
			e->size_bytes == now->size_bytes && !is_touched(s, paths[i]) &&
			!mlimg_entry_has_same_attrs(e, now) &&
			!mlimg_reconcile_has_same_contents(now, former))
			return true;
	}
	return false;
}

int since_packages(struct since *s)
{
	static const char info[] = "var/lib/dpkg/info"; /* lists, which are no records */
	const struct mlimg_entry *e = mlimg_manifest_find(s->upper, info);
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t n = 0;
	int r;

	if (e && e->type == MLIMG_LINK) {
		(void)!since_cannot_read(-EMLINK, MLIMG_SIDE_MINE, info, &err);
		return since_give_up(s, info, "packages", &err);
	}
	r = collect_paths(s, &s->package_paths, &n);

	if (r == 0)
		r = is_any_changed(s, s->package_paths, n, "packages");
	if (r == 0)
		r = is_any_copied(s, s->package_paths, n);
	return r > 0 ? merge_packages(s, s->package_paths, n) : r;
}

/* All of dpkg's belong together; a configuration file is one for itself. */
static int have_ways(struct since *s, const struct mlimg_packages_merged *merged)
{
	int r = 1;

	for (size_t i = 0; i < merged->n_files && r > 0; i++)
		if (merged->files[i].text.text && mlimg_packages_is_database(merged->files[i].path))
			r = since_has_ways(s, &merged->files[i].path, 1, "packages");
	return r;
}

int since_give_way(struct since *s)
{
	int r = s->has_packages ? have_ways(s, &s->packages) : 0;

	s->has_packages = r > 0;
	if (r > 0)
		r = give_way(s, &s->packages);
	/* Of that more may go than was thought. */
	mlimg_manifest_free(s->ways);
	s->ways = NULL;
	return r;
}

int since_put_packages(struct since *s)
{
	return s->has_packages ? put_packages(s, &s->packages) : 0;
}
