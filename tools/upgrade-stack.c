/* SPDX-License-Identifier: MIT */
#include "tools/upgrade-stack.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/base-texts.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/merge.h"
#include "libmlimg/packages.h"
#include "libmlimg/path-class.h"
#include "libmlimg/path.h"
#include "libmlimg/text.h"
#include "tools/beneath.h"
#include "tools/compose-images.h"

struct mlimg_upgrade_stack {
	struct mlimg_beneath *layers;
	pthread_mutex_t lock; /* of their images: one thread at a time may read these */
	struct mlimg_composed composed;
	struct mlimg_manifest *merged; /* with what is composed; NULL: nothing is */
	struct mlimg_boot_stack boot;
	uint64_t base_bytes;
	struct mlimg_protected protected;
};

void mlimg_upgrade_stack_close(struct mlimg_upgrade_stack *stack)
{
	if (!stack)
		return;
	mlimg_manifest_free(stack->merged); /* shares the others' strings */
	mlimg_composed_done(&stack->composed);
	mlimg_beneath_free(stack->layers);
	pthread_mutex_destroy(&stack->lock);
	free(stack);
}

/* ---- opening ---- */

static int open_layers(struct mlimg_upgrade_stack *s, const struct mlimg_store *store,
	const struct mlimg_tenant_stack *layers, struct mlimg_err *err)
{
	char *paths[MLIMG_STACK_LAYERS_MAX] = {NULL};
	size_t n = layers->stack.n_layers;
	int ret = 0;

	for (size_t i = 0; i < n; i++) {
		paths[i] = mlimg_store_layer_path(store, layers->layers[i].info.build_id);
		if (!paths[i])
			ret = mlimg_err_set(err, ENOMEM, "open layers");
	}
	if (ret == 0)
		ret = mlimg_beneath_open((const char *const *)paths, n, &s->layers, err);
	for (size_t i = 0; i < n; i++)
		free(paths[i]);
	return ret;
}

/* Whoever put another image in a layer's place has not asked the store. */
static int check_layers(struct mlimg_upgrade_stack *s, const struct mlimg_tenant_stack *layers,
	struct mlimg_err *err)
{
	for (size_t i = 0; i < layers->stack.n_layers; i++) {
		const char *found = mlimg_beneath_info(s->layers, i)->build_id;
		const char *wanted = layers->layers[i].info.build_id;

		if (strcmp(found, wanted) != 0)
			return mlimg_err_refuse(err, "%.200s: is build %.*s, not %.*s",
				mlimg_ext4_name(mlimg_beneath_image(s->layers, i)), MLIMG_SHORT_ID,
				found, MLIMG_SHORT_ID, wanted);
	}
	return 0;
}

static int compose(struct mlimg_upgrade_stack *s, struct mlimg_err *err)
{
	const struct mlimg_manifest *all[MLIMG_STACK_LAYERS_MAX + 1];
	struct mlimg_compose_images images = {.layers.n = 0};
	size_t n = mlimg_beneath_n(s->layers);
	struct mlimg_text text = {.data = NULL};
	uint8_t digest[MLIMG_SHA256_SIZE];
	int ret;

	for (size_t i = 0; i < n; i++) {
		all[i] = mlimg_beneath_layer(s->layers, i);
		mlimg_compose_images_push(&images, mlimg_beneath_image(s->layers, i),
			mlimg_beneath_info(s->layers, i), all[i]);
	}
	ret = mlimg_compose(&images.layers, &s->composed, err);
	if (ret < 0 || !s->composed.manifest)
		return ret;
	mlimg_manifest_put(s->composed.manifest, mlimg_text_put, &text);
	if (text.has_failed) {
		free(text.data);
		return mlimg_err_set(err, ENOMEM, "compose");
	}
	mlimg_sha256_of(text.data, text.size, digest);
	mlimg_sha256_hex(digest, s->boot.composed);
	free(text.data);
	all[n] = s->composed.manifest;
	return mlimg_manifest_merge(all, n + 1, &s->merged, err);
}

static void count(void *ctx, const char *data, size_t size)
{
	*(uint64_t *)ctx += size;
}

/*
 * What a guest keeps of a stack to compare the next one with (guest-agent/base.h), by the classes
 * that nobody has declared.
 */
static int measure(struct mlimg_upgrade_stack *s, struct mlimg_err *err)
{
	const struct mlimg_manifest *m = mlimg_upgrade_stack_manifest(s);
	struct mlimg_path_classes *classes = mlimg_path_classes_new();

	if (!classes)
		return mlimg_err_set(err, ENOMEM, "open layers");
	mlimg_manifest_put(m, count, &s->base_bytes);
	for (size_t i = 0; i < m->n_entries; i++) {
		const struct mlimg_entry *e = &m->entries[i];
		enum mlimg_path_class class = e->has_digest && e->type == MLIMG_FILE
			? mlimg_path_class_of(classes, e->path)
			: MLIMG_CLASS_DATA;

		if (class == MLIMG_CLASS_ACCOUNTS ||
			(class == MLIMG_CLASS_PACKAGES && mlimg_packages_is_database(e->path)) ||
			((class == MLIMG_CLASS_CONFIG || class == MLIMG_CLASS_MERGE) &&
				e->size_bytes <= MLIMG_BASE_TEXT_MAX))
			s->base_bytes += e->size_bytes + 80; /* with its line in the list */
	}
	mlimg_path_classes_free(classes);
	return 0;
}

/* ---- looking ---- */

bool mlimg_upgrade_stack_is_of(
	const struct mlimg_upgrade_stack *stack, const struct mlimg_tenant_stack *layers)
{
	if (stack->boot.n_layers != layers->stack.n_layers)
		return false;
	for (size_t i = 0; i < stack->boot.n_layers; i++)
		if (strcmp(stack->boot.layers[i].build_id, layers->layers[i].info.build_id) != 0)
			return false;
	return true;
}

const struct mlimg_manifest *mlimg_upgrade_stack_manifest(const struct mlimg_upgrade_stack *stack)
{
	return stack->merged ? stack->merged : mlimg_beneath_manifest(stack->layers);
}

const struct mlimg_boot_stack *mlimg_upgrade_stack_boot(const struct mlimg_upgrade_stack *stack)
{
	return &stack->boot;
}

const struct mlimg_protected *mlimg_upgrade_stack_protected(const struct mlimg_upgrade_stack *stack)
{
	return &stack->protected;
}

uint64_t mlimg_upgrade_stack_base_bytes(const struct mlimg_upgrade_stack *stack)
{
	return stack->base_bytes;
}

/* ---- contents ---- */

static int take(const char *data, size_t size, char **ret_data, size_t *ret_size)
{
	char *copy = malloc(size + 1);

	if (!copy)
		return -ENOMEM;
	if (size)
		memcpy(copy, data, size);
	copy[size] = '\0';
	*ret_data = copy;
	*ret_size = size;
	return 0;
}

/* @return 0; -ENOENT when it is not composed */
static int read_composed(const struct mlimg_upgrade_stack *s, const char *path,
	const uint8_t digest[MLIMG_SHA256_SIZE], size_t max, char **ret_data, size_t *ret_size)
{
	const struct mlimg_manifest *m = s->composed.manifest;
	const struct mlimg_entry *e = m ? mlimg_manifest_find(m, path) : NULL;
	const struct mlimg_records_text *text;

	if (!e || e->type != MLIMG_FILE || memcmp(e->digest, digest, MLIMG_SHA256_SIZE) != 0)
		return -ENOENT;
	text = &s->composed.texts[e - m->entries];
	return text->size > max ? -EFBIG : take(text->text, text->size, ret_data, ret_size);
}

/* What has the file's size at most: that was compared with the limit. */
static int put_piece(const void *data, uint64_t size, void *ctx, struct mlimg_err *err)
{
	static const char zeros[4096];

	for (; !data && size > sizeof(zeros); size -= sizeof(zeros))
		mlimg_text_put(ctx, zeros, sizeof(zeros));
	mlimg_text_put(ctx, data ? data : zeros, (size_t)size);
	return ((struct mlimg_text *)ctx)->has_failed ? -ENOMEM : 0;
}

static int read_layers(struct mlimg_upgrade_stack *s, const struct mlimg_entry *entry, size_t max,
	char **ret_data, size_t *ret_size)
{
	struct mlimg_text text = {.data = NULL};
	int ret;

	if (entry->size_bytes > max)
		return -EFBIG;
	mlimg_text_put(&text, "", 0);
	ret = text.has_failed ? -ENOMEM
			      : mlimg_beneath_read(s->layers, entry, put_piece, &text, NULL);
	if (ret < 0) {
		free(text.data);
		return ret;
	}
	*ret_data = text.data;
	*ret_size = text.size;
	return 0;
}

int mlimg_upgrade_stack_read(struct mlimg_upgrade_stack *stack, const char *path,
	const uint8_t digest[MLIMG_SHA256_SIZE], size_t max, char **ret_data, size_t *ret_size)
{
	const struct mlimg_entry *entry = mlimg_beneath_find(stack->layers, path);
	uint8_t found[MLIMG_SHA256_SIZE];
	int ret = read_composed(stack, path, digest, max, ret_data, ret_size);

	if (ret != -ENOENT)
		return ret;
	if (!entry || entry->type != MLIMG_FILE || !entry->has_digest ||
		memcmp(entry->digest, digest, MLIMG_SHA256_SIZE) != 0)
		return -ENOENT;
	pthread_mutex_lock(&stack->lock);
	ret = read_layers(stack, entry, max, ret_data, ret_size);
	pthread_mutex_unlock(&stack->lock);
	if (ret < 0)
		return ret;
	mlimg_sha256_of(*ret_data, *ret_size, found);
	if (memcmp(found, digest, sizeof(found)) == 0)
		return 0;
	free(*ret_data);
	return -ENOENT;
}

/* ---- opening all of it ---- */

/* As a boot: what it says cannot be known where it cannot be read. */
static int read_protected(struct mlimg_upgrade_stack *s, struct mlimg_err *err)
{
	const struct mlimg_manifest *m = mlimg_upgrade_stack_manifest(s);
	int r = 0;

	for (size_t i = mlimg_manifest_first_from(m, MLIMG_PROTECTED_CONF); r == 0 &&
		i < m->n_entries && mlimg_path_is_within(m->entries[i].path, MLIMG_PROTECTED_CONF);
		i++) {
		const struct mlimg_entry *e = &m->entries[i];
		mlimg_autofree char *text = NULL;
		size_t size;

		if (!mlimg_upgrade_protected_is_file(e))
			continue;
		if (e->type != MLIMG_FILE)
			return mlimg_err_refuse(
				err, "/%.400s is no file that can be read", e->path);
		r = mlimg_upgrade_stack_read(
			s, e->path, e->digest, MLIMG_DECLARED_FILE_MAX, &text, &size);
		if (r < 0)
			return mlimg_err_set(err, r, "read '/%.400s'", e->path);
		r = mlimg_upgrade_protected_add(e->path, text, size, &s->protected, err);
	}
	return r;
}

int mlimg_upgrade_stack_open(const struct mlimg_store *store,
	const struct mlimg_tenant_stack *layers, struct mlimg_upgrade_stack **ret,
	struct mlimg_err *err)
{
	struct mlimg_upgrade_stack *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return mlimg_err_set(err, ENOMEM, "open layers");
	pthread_mutex_init(&s->lock, NULL);
	r = open_layers(s, store, layers, err);
	if (r == 0)
		r = check_layers(s, layers, err);
	if (r == 0) {
		mlimg_boot_stack_of(mlimg_beneath_stack(s->layers), "", &s->boot);
		r = compose(s, err);
	}
	if (r == 0)
		r = measure(s, err);
	if (r == 0)
		r = read_protected(s, err);
	if (r < 0)
		mlimg_upgrade_stack_close(s);
	else
		*ret = s;
	return r;
}
