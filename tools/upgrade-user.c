/* SPDX-License-Identifier: MIT */
#include "tools/upgrade-user.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/base.h"
#include "guest-agent/change.h"
#include "tools/nbd-source.h"
#include "tools/store-impl.h"
#include "tools/user-pending.h"

#define OWN "/mlimg" /* the directory that is not the user's */

/* ---- base manifests ---- */

struct base {
	char sha256[MLIMG_SHA256_HEX_SIZE];
	struct mlimg_manifest *manifest;
	struct base *next;
};

struct mlimg_upgrade_bases {
	pthread_mutex_t lock;
	struct base *first;
};

struct mlimg_upgrade_bases *mlimg_upgrade_bases_new(void)
{
	struct mlimg_upgrade_bases *bases = calloc(1, sizeof(*bases));

	if (bases)
		pthread_mutex_init(&bases->lock, NULL);
	return bases;
}

void mlimg_upgrade_bases_free(struct mlimg_upgrade_bases *bases)
{
	if (!bases)
		return;
	while (bases->first) {
		struct base *base = bases->first;

		bases->first = base->next;
		mlimg_manifest_free(base->manifest);
		free(base);
	}
	pthread_mutex_destroy(&bases->lock);
	free(bases);
}

static struct base *find_base(struct mlimg_upgrade_bases *bases, const char *sha256)
{
	struct base *base = bases->first;

	while (base && strcmp(base->sha256, sha256) != 0)
		base = base->next;
	return base;
}

/* Parsed under the lock: most of the others want the same one. */
static int have_base(struct mlimg_upgrade_bases *bases, const char *sha256, const char *text,
	size_t size, const struct mlimg_manifest **ret, struct mlimg_err *err)
{
	struct base *base = find_base(bases, sha256);
	int r;

	if (!base) {
		base = calloc(1, sizeof(*base));
		if (!base)
			return mlimg_err_set(err, ENOMEM, "read the base manifest");
		r = mlimg_manifest_parse(text, size, &base->manifest, err);
		if (r < 0) {
			free(base);
			return r;
		}
		strcpy(base->sha256, sha256);
		base->next = bases->first;
		bases->first = base;
	}
	*ret = base->manifest;
	return 0;
}

/* ---- files of the agent's ---- */

/* @return 0, -ENOENT when it is not there, other -errno */
static int read_own(const struct mlimg_upgrade_user *u, const char *path, size_t max,
	char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	int r = mlimg_ext4_read_file(u->fs, OWN, path, max, ret_text, ret_size, err);

	return r == -ENOTDIR ? -ENOENT : r;
}

/* The contents that the state names. @return as read_own(), -EUCLEAN */
static int read_named(const struct mlimg_upgrade_user *u, const char *prefix, const char *sha256,
	size_t max, char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	char name[MLIMG_BASE_NAME_SIZE], hex[MLIMG_SHA256_HEX_SIZE];
	uint8_t digest[MLIMG_SHA256_SIZE];
	int r;

	snprintf(name, sizeof(name), "%s%" PRIu64, prefix, u->state.generation);
	r = read_own(u, name, max, &text, ret_size, err);
	if (r == -ENOENT)
		return mlimg_err_refuse(
			err, "%.140s: " OWN "/%s is missing", mlimg_ext4_name(u->fs), name);
	if (r < 0)
		return r;
	mlimg_sha256_of(text, *ret_size, digest);
	mlimg_sha256_hex(digest, hex);
	if (strcmp(hex, sha256) != 0)
		return mlimg_err_refuse(err,
			"%.140s: " OWN "/%s is damaged (state.json names "
			"another digest)",
			mlimg_ext4_name(u->fs), name);
	*ret_text = mlimg_steal(&text);
	return 0;
}

/* Without them a boot merges less, and goes on. */
static int read_texts(struct mlimg_upgrade_user *u)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *text = NULL;
	size_t size;
	int r;

	if (!u->state.texts_sha256[0])
		return 0;
	r = read_named(u, MLIMG_TEXTS_PREFIX, u->state.texts_sha256, MLIMG_BASE_TEXTS_MAX, &text,
		&size, &err);
	if (r == 0) {
		r = mlimg_base_texts_parse(text, size, &u->texts, &err);
		if (r < 0)
			free(text);
	}
	if (r < 0)
		snprintf(u->texts_why, sizeof(u->texts_why), "%s", err.text);
	return r == -ENOMEM ? r : 0;
}

static int read_base(
	struct mlimg_upgrade_user *u, struct mlimg_upgrade_bases *bases, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = read_named(u, MLIMG_BASE_PREFIX, u->state.base_sha256, MLIMG_MANIFEST_SIZE_MAX,
		&text, &size, err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&bases->lock);
	r = have_base(bases, u->state.base_sha256, text, size, &u->base, err);
	pthread_mutex_unlock(&bases->lock);
	return r < 0 ? mlimg_err_wrap(err, r, "%.140s: " OWN "/" MLIMG_BASE_PREFIX "%" PRIu64,
			       mlimg_ext4_name(u->fs), u->state.generation)
		     : 0;
}

static int read_state(struct mlimg_upgrade_user *u, const char *path,
	struct mlimg_boot_state *ret_state, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = read_own(u, path, MLIMG_BOOT_STATE_MAX, &text, &size, err);

	if (r == 0)
		r = mlimg_boot_state_from_json(text, size, ret_state, err);
	return r < 0 && r != -ENOENT
		? mlimg_err_wrap(err, r, "%.140s: " OWN "/%s", mlimg_ext4_name(u->fs), path)
		: r;
}

/* As guest-agent/change-back.c: what is damaged is no former state. */
static int read_former(struct mlimg_upgrade_user *u, struct mlimg_err *err)
{
	char path[MLIMG_CHANGE_NAME_SIZE];
	int r;

	snprintf(path, sizeof(path), MLIMG_CHANGE_UNDO "/%" PRIu64 "/state.json",
		u->state.generation);
	r = read_state(u, path, &u->former, err);
	u->has_former = r == 0 && u->former.generation < u->state.generation &&
		mlimg_boot_is_same_upper(u->former.stack.union_driver, u->state.stack.union_driver);
	return r == -ENOENT || r == -EUCLEAN ? 0 : r;
}

static int read_all(
	struct mlimg_upgrade_user *u, struct mlimg_upgrade_bases *bases, struct mlimg_err *err)
{
	int r = mlimg_upgrade_queue_read(u->fs, &u->queue, err);

	if (r < 0)
		return r;
	r = read_state(u, "state.json", &u->state, err);
	if (r == -ENOENT)
		return 0;
	u->has_run = r == 0;
	if (r == 0)
		r = read_former(u, err);
	if (r == 0)
		r = read_base(u, bases, err);
	if (r == 0 && read_texts(u) < 0)
		r = mlimg_err_set(err, ENOMEM, "%.140s", mlimg_ext4_name(u->fs));
	return r;
}

/* ---- the disk ---- */

static int open_source(const struct mlimg_upgrade_disk *disk, struct mlimg_upgrade_user *u,
	struct mlimg_block_source **ret, struct mlimg_err *err)
{
	int r = mlimg_disk_look(disk->path, &u->look, err);

	if (r < 0)
		return r;
	if (!disk->is_torn && !u->look.is_written)
		return mlimg_nbd_source_open_shared(disk->path, ret, err);
	if (!disk->snapshot)
		return mlimg_err_set(err, EBUSY, "%s: it is being written to", disk->path);
	u->is_snapshot = true;
	return mlimg_nbd_source_open(disk->path, disk->snapshot, ret, err);
}

static int check_layer(const struct mlimg_upgrade_user *u, const struct mlimg_upgrade_disk *disk,
	struct mlimg_err *err)
{
	struct mlimg_layer_info info = {0};
	int r = mlimg_ext4_layer_info(u->fs, &info, err);

	if (r == 0 && (info.kind != MLIMG_USER || strcmp(info.build_id, disk->user_id) != 0))
		r = mlimg_err_refuse(err,
			"%.140s: its disk holds another layer than the store says", disk->name);
	mlimg_layer_info_done(&info);
	return r == 0 ? mlimg_user_check_settled(u->fs, err) : r;
}

int mlimg_upgrade_user_open(const struct mlimg_upgrade_disk *disk,
	struct mlimg_upgrade_bases *bases, struct mlimg_upgrade_user *ret, struct mlimg_err *err)
{
	struct mlimg_block_source *source;
	int r = open_source(disk, ret, &source, err);

	if (r < 0)
		return r;
	ret->disk_bytes = source->size_bytes;
	r = mlimg_ext4_open_source(source, disk->name, &ret->fs, err);
	if (r == 0)
		r = check_layer(ret, disk, err);
	return r < 0 ? r : read_all(ret, bases, err);
}

int mlimg_upgrade_user_check(const struct mlimg_upgrade_disk *disk,
	const struct mlimg_upgrade_user *user, struct mlimg_err *err)
{
	struct mlimg_disk_look now;
	int r = user->is_snapshot ? 0 : mlimg_disk_look(disk->path, &now, err);

	if (r < 0 || user->is_snapshot || mlimg_disk_is_quiet(&user->look, &now))
		return r;
	return mlimg_store_fail(err, ESTALE,
		"%s: its disk was written to while it was read: ask again", disk->name);
}

void mlimg_upgrade_user_done(struct mlimg_upgrade_user *user)
{
	mlimg_base_texts_done(&user->texts);
	mlimg_upgrade_queue_done(&user->queue);
	mlimg_ext4_close(user->fs);
	user->fs = NULL;
}
