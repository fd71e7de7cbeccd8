/* SPDX-License-Identifier: MIT */
#include "guest-agent/composed.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/lowers.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/text.h"

/* ---- what there is ---- */

static int take_text(
	char *text, size_t size, struct mlimg_composed_stack *ret, struct mlimg_err *err)
{
	uint8_t digest[MLIMG_SHA256_SIZE];
	int r = mlimg_manifest_parse(text, size, &ret->composed.manifest, err);

	if (r < 0)
		return r;
	mlimg_sha256_of(text, size, digest);
	mlimg_sha256_hex(digest, ret->digest);
	return 0;
}

int mlimg_composed_of_index(
	const struct mlimg_mounted *layer, struct mlimg_composed_stack *ret, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_mounted_read(
		layer, "mlimg/composed", MLIMG_COMPOSED_MANIFEST_MAX, &text, &size, err);

	if (r == -ENOENT)
		return 0;
	if (r == 0) {
		r = take_text(text, size, ret, err);
		if (r < 0)
			r = mlimg_err_wrap(err, r, "%s/mlimg/composed", layer->where);
	}
	return r;
}

void mlimg_composed_name(const char *stack_id, char ret_name[MLIMG_COMPOSED_NAME_SIZE])
{
	snprintf(ret_name, MLIMG_COMPOSED_NAME_SIZE, MLIMG_COMPOSED_PREFIX "%.*s-%d",
		MLIMG_SHORT_ID, stack_id, MLIMG_COMPOSE_REVISION);
}

bool mlimg_composed_is_kept(
	const struct mlimg_mounted *user, const char *stack_id, struct mlimg_composed_stack *ret)
{
	char name[MLIMG_COMPOSED_NAME_SIZE], path[MLIMG_COMPOSED_NAME_SIZE + 16];
	mlimg_autofree char *text = NULL;
	mlimg_autoclose int tree = -1;
	size_t size;

	mlimg_composed_name(stack_id, name);
	snprintf(path, sizeof(path), "mlimg/%s/rootfs", name);
	tree = mlimg_open_beneath_strict(user->fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (tree < 0)
		return false;
	snprintf(path, sizeof(path), "mlimg/%s/manifest", name);
	return mlimg_mounted_read(user, path, MLIMG_COMPOSED_MANIFEST_MAX, &text, &size, NULL) ==
		0 &&
		take_text(text, size, ret, NULL) == 0;
}

/* ---- composing ---- */

struct source {
	const struct mlimg_mounted *layers;
	struct mlimg_lowers lowers;
};

static int read_file(void *ctx, size_t layer, const struct mlimg_entry *entry, char **ret_text,
	size_t *ret_size, struct mlimg_err *err)
{
	const struct source *s = ctx;
	int r = mlimg_lowers_read(
		&s->lowers, entry->path, entry->digest, MLIMG_RECORDS_SIZE_MAX, ret_text, ret_size);

	if (r == -ENOENT)
		return mlimg_err_refuse(err, "its contents are not what its manifest says");
	return r < 0 ? mlimg_err_set(err, r, "read it") : 0;
}

static int read_records(void *ctx, size_t layer, const struct mlimg_layer_records *records,
	char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	const struct source *s = ctx;
	char path[sizeof(MLIMG_RECORDS_DIR) + 1 + MLIMG_LAYER_PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", &MLIMG_RECORDS_DIR[1], records->path);
	return mlimg_mounted_read(
		&s->layers[layer], path, MLIMG_RECORDS_SIZE_MAX, ret_text, ret_size, err);
}

static int compose(const struct mlimg_compose_layers *layers, struct mlimg_composed_stack *ret,
	struct mlimg_err *err)
{
	struct mlimg_text text = {.data = NULL};
	uint8_t digest[MLIMG_SHA256_SIZE];
	int r = mlimg_compose(layers, &ret->composed, err);

	if (r < 0 || !ret->composed.manifest)
		return r;
	mlimg_manifest_put(ret->composed.manifest, mlimg_text_put, &text);
	mlimg_sha256_of(text.data, text.size, digest);
	mlimg_sha256_hex(digest, ret->digest);
	r = text.has_failed ? mlimg_err_set(err, ENOMEM, "compose") : 0;
	free(text.data);
	return r;
}

int mlimg_composed_make(int root_fd, const struct mlimg_mounted *layers, size_t n_layers,
	struct mlimg_merged *merged, struct mlimg_composed_stack *ret, struct mlimg_err *err)
{
	const struct mlimg_layer_info *infos[MLIMG_BOOT_LAYERS_MAX];
	struct source s = {.layers = layers};
	int r;

	for (size_t i = 0; i < n_layers; i++)
		infos[i] = &layers[i].info;
	if (!mlimg_compose_is_needed(infos, n_layers))
		return 0;
	r = mlimg_base_load(layers, n_layers, merged, err);
	if (r < 0)
		return r;
	r = mlimg_lowers_open(root_fd, false, layers, n_layers, &s.lowers, err);
	if (r == 0)
		r = compose(
			&(struct mlimg_compose_layers){.n = n_layers,
				.infos = infos,
				.manifests = (const struct mlimg_manifest *const *)merged->layers,
				.read_file = read_file,
				.read_records = read_records,
				.ctx = &s},
			ret, err);
	mlimg_lowers_close(&s.lowers);
	return r;
}

void mlimg_composed_stack_done(struct mlimg_composed_stack *stack)
{
	mlimg_composed_done(&stack->composed);
	stack->digest[0] = '\0';
}
