/* SPDX-License-Identifier: MIT */
#include "guest-agent/resolve-texts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/base.h"
#include "guest-agent/change.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

int mlimg_resolve_read(const struct mlimg_resolve_from *from, char **ret_text, size_t *ret_size)
{
	return mlimg_read_beneath(
		from->dir_fd, from->name, MLIMG_RESOLVE_TEXT_MAX, ret_text, ret_size, NULL);
}

/* --- the base --- */

/* The contents that @manifest's file has. @return 0; -ENOENT when they are not there */
static int take_base(const struct mlimg_manifest *manifest, const struct mlimg_base_texts *texts,
	const char *path, char **ret_text, size_t *ret_size)
{
	const struct mlimg_entry *e = mlimg_manifest_find(manifest, path);
	const struct mlimg_base_text *text = NULL;
	uint8_t digest[MLIMG_SHA256_SIZE];

	if (!e || e->type != MLIMG_FILE || e->size_bytes > MLIMG_RESOLVE_TEXT_MAX)
		return -ENOENT;
	if (e->size_bytes && e->has_digest)
		text = mlimg_base_texts_find(texts, e->digest);
	if (e->size_bytes && !text)
		return -ENOENT;
	if (text) {
		mlimg_sha256_of(text->data, text->size, digest);
		if (memcmp(digest, e->digest, sizeof(digest)) != 0)
			return -ENOENT;
	}
	*ret_size = text ? text->size : 0;
	*ret_text = malloc(*ret_size + 1);
	if (!*ret_text)
		return -ENOMEM;
	if (text)
		memcpy(*ret_text, text->data, text->size);
	return 0;
}

static int read_state(
	const struct mlimg_mounted *user, const char *dir, struct mlimg_boot_state *state)
{
	char path[MLIMG_CHANGE_NAME_SIZE + 16];
	mlimg_autofree char *text = NULL;
	size_t size;
	int r;

	snprintf(path, sizeof(path), "%s/state.json", dir);
	r = mlimg_mounted_read(user, path, MLIMG_BOOT_STATE_MAX, &text, &size, NULL);
	return r < 0 ? r : mlimg_boot_state_from_json(text, size, state, NULL);
}

/* The former stack's text, as long as the way back to it is there. @return 0, -errno */
static int read_base(const struct mlimg_view *view, const struct mlimg_resolve_texts *texts,
	char **ret_text, size_t *ret_size)
{
	const struct mlimg_mounted user = {.fd = view->user_fd, .where = "user"};
	mlimg_autofree struct mlimg_boot_state *state = malloc(sizeof(*state));
	struct mlimg_manifest *manifest = NULL;
	struct mlimg_base_texts base = {.texts = NULL};
	char dir[MLIMG_CHANGE_NAME_SIZE];
	int r;

	if (!state)
		return -ENOMEM;
	snprintf(dir, sizeof(dir), "mlimg/" MLIMG_CHANGE_UNDO "/%" PRIu64, texts->generation);
	r = read_state(&user, dir, state);
	if (r == 0)
		r = mlimg_base_read_taken(&user, dir, state, &manifest, &base, NULL);
	if (r == 0)
		r = take_base(manifest, &base, texts->base_path, ret_text, ret_size);
	mlimg_manifest_free(manifest);
	mlimg_base_texts_done(&base);
	return r;
}

/* --- merging --- */

/* The three. */
struct three {
	char *base, *mine, *theirs;
	size_t base_size, mine_size, theirs_size;
};

static void three_done(struct three *t)
{
	free(t->base);
	free(t->mine);
	free(t->theirs);
}

static int read_three(const struct mlimg_view *view, const struct mlimg_resolve_texts *texts,
	const char *path, struct three *t, struct mlimg_err *err)
{
	int r = mlimg_resolve_read(&texts->mine, &t->mine, &t->mine_size);

	if (r == 0)
		r = mlimg_resolve_read(&texts->theirs, &t->theirs, &t->theirs_size);
	if (r < 0)
		return mlimg_err_set(err, r, "merge '/%s'", path);
	r = read_base(view, texts, &t->base, &t->base_size);
	return r == -ENOMEM ? mlimg_err_set(err, r, "merge '/%s'", path) : 0;
}

int mlimg_resolve_merge(const struct mlimg_view *view, const struct mlimg_resolve_texts *texts,
	const char *path, struct mlimg_resolve_merged *ret, struct mlimg_err *err)
{
	mlimg_cleanup(three_done) struct three t = {.base = NULL};
	struct mlimg_merge3_marking in = {.a_name = "yours", .b_name = texts->theirs_name};
	int r = read_three(view, texts, path, &t, err);

	if (r < 0)
		return r;
	in.has_base = t.base != NULL;
	in.base = (struct mlimg_merge3_text){t.base, t.base_size};
	in.a = (struct mlimg_merge3_text){t.mine, t.mine_size};
	in.b = (struct mlimg_merge3_text){t.theirs, t.theirs_size};
	*ret = (struct mlimg_resolve_merged){.has_base = in.has_base};
	r = mlimg_merge3_marked(&in, &ret->text, &ret->size, &ret->n_conflicts, err);
	if (r == MLIMG_MERGE3_MERGED)
		return 0;
	return r < 0
		? r
		: mlimg_err_set(err, 0, "merge '/%s': %s", path,
			  r == MLIMG_MERGE3_NO_TEXT ? "these are no texts" : "too much differs");
}
