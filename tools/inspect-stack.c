/* SPDX-License-Identifier: MIT */
#include "tools/inspect-stack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/disk.h"
#include "libmlimg/io.h"
#include "libmlimg/merge.h"
#include "libmlimg/text.h"
#include "tools/compose-images.h"
#include "tools/inspect-layer.h"

bool mlimg_inspect_is_index(const char *path)
{
	mlimg_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct mlimg_disk disk;

	if (fd < 0)
		return false;
	mlimg_disk_probe(fd, &disk);
	return disk.is_index;
}

/* ---- opening ---- */

static int read_layer(
	void *ctx, unsigned layer, uint64_t first, uint32_t n, void *data, struct mlimg_err *err)
{
	const struct mlimg_inspect_stack *stack = ctx;
	const struct mlimg_layer_info *info = &stack->infos.layers[layer];

	int ret;

	if (stack->layers[layer])
		return mlimg_ext4_read_blocks(stack->layers[layer], first, n, data, err);
	ret = mlimg_err_set(err, 0,
		"%.140s: contents lie in layer %u, %s %s (%.*s): give its image with --layer",
		mlimg_erofs_name(stack->image), layer, info->name, info->version, MLIMG_SHORT_ID,
		info->build_id);
	/* What callers tell it by; its text would add nothing. */
	if (err)
		err->code = -ENOMEDIUM;
	return ret < 0 ? -ENOMEDIUM : 0;
}

/* @return 0; -ENOENT when there is no such file. @ret_text is NUL-terminated */
static int read_own(const struct mlimg_inspect_stack *stack, const char *path, size_t max,
	char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	const struct mlimg_itree all = mlimg_erofs_tree(stack->image, "/");
	struct mlimg_itree_room room;
	struct mlimg_itree_node node;
	int ret = mlimg_itree_lookup(&all, path, false, &room, &node, err);

	if (ret < 0)
		return ret == -ENOTDIR ? -ENOENT : ret;
	if (node.type != MLIMG_FILE || node.size_bytes > max)
		return mlimg_err_refuse(
			err, "%.200s: /%s is too large, or no file", all.name, path);
	*ret_size = node.size_bytes;
	return mlimg_itree_read_text(&all, &node, ret_text, err);
}

static int read_description(struct mlimg_inspect_stack *stack, struct mlimg_err *err)
{
	const char *name = mlimg_erofs_name(stack->image);
	mlimg_autofree char *text = NULL;
	size_t size;
	int ret = read_own(stack, "mlimg/stack.json", MLIMG_STACK_JSON_MAX, &text, &size, err);

	if (ret == -ENOENT)
		return mlimg_err_refuse(err, "%.200s: there is no /mlimg/stack.json in it", name);
	if (ret < 0)
		return ret;
	ret = mlimg_stack_from_json(text, size, &stack->infos, err);
	return ret < 0 ? mlimg_err_wrap(err, ret, "%.200s", name) : 0;
}

/* What says which stack it is: UUID, device table, stack.json. */
static int check_description(struct mlimg_inspect_stack *stack, struct mlimg_err *err)
{
	const struct mlimg_index *index = mlimg_erofs_index(stack->image);
	const char *name = mlimg_erofs_name(stack->image);
	struct mlimg_stack s = {0};

	if (index->n_layers != stack->infos.n_layers)
		return mlimg_err_refuse(err,
			"%.200s: its device table has %zu layers, its stack.json %zu", name,
			index->n_layers, stack->infos.n_layers);
	for (size_t i = 0; i < index->n_layers; i++) {
		const struct mlimg_layer_info *info = &stack->infos.layers[i];
		int ret = mlimg_stack_push(&s, info, err);

		if (ret < 0)
			return mlimg_err_wrap(err, ret, "%.200s", name);
		if (strcmp(index->layers[i].tag, info->build_id) != 0)
			return mlimg_err_refuse(err,
				"%.200s: layer %zu is %.*s by its device table, %.*s by its "
				"stack.json",
				name, i, MLIMG_SHORT_ID, index->layers[i].tag, MLIMG_SHORT_ID,
				info->build_id);
	}
	mlimg_stack_id(&s, stack->stack_id);
	if (!mlimg_index_is_of(index, stack->stack_id))
		return mlimg_err_refuse(err, "%.200s: its UUID is not that of stack %.*s", name,
			MLIMG_SHORT_ID, stack->stack_id);
	return 0;
}

/*
 * By everything that tells one image from another, as a boot compares disks (libmlimg/index.h).
 * Closes @fs, or keeps it.
 */
static int take_opened(struct mlimg_inspect_stack *stack, struct mlimg_ext4 *opened, bool *is_used,
	struct mlimg_err *err)
{
	const struct mlimg_index *index = mlimg_erofs_index(stack->image);
	mlimg_autoext4 struct mlimg_ext4 *fs = opened;
	const struct mlimg_ext4_super *super;
	struct mlimg_layer_info info = {0};
	int ret = mlimg_ext4_layer_info(fs, &info, err);

	if (ret < 0)
		return ret;
	super = mlimg_ext4_super(fs);
	for (size_t i = 0; i < index->n_layers && ret == 0; i++) {
		const struct mlimg_erofs_device *slot = &index->layers[i];

		if (strcmp(slot->tag, info.build_id) != 0)
			continue;
		if (slot->n_blocks != super->n_blocks ||
			memcmp(slot->places, super->places, sizeof(slot->places)) != 0) {
			ret = mlimg_err_refuse(err,
				"%.140s: its contents lie elsewhere than in the image that %.140s "
				"was compiled from",
				mlimg_ext4_name(fs), mlimg_erofs_name(stack->image));
		} else if (!stack->layers[i]) {
			stack->layers[i] = mlimg_steal(&fs);
			stack->n_given++;
			if (!mlimg_add_fits(
				    stack->given_bytes, info.size_bytes, &stack->given_bytes))
				stack->given_bytes = UINT64_MAX;
			*is_used = true;
		}
		break;
	}
	mlimg_layer_info_done(&info);
	return ret;
}

static int take_layer(
	struct mlimg_inspect_stack *stack, const char *path, bool *is_used, struct mlimg_err *err)
{
	struct mlimg_ext4 *fs = NULL;
	int ret = mlimg_ext4_open(path, &fs, err);

	return ret < 0 ? ret : take_opened(stack, fs, is_used, err);
}

/* The layers of a joined index that lie behind it. */
static int take_joined(struct mlimg_inspect_stack *stack, struct mlimg_err *err)
{
	const struct mlimg_index *index = mlimg_erofs_index(stack->image);
	const char *name = mlimg_erofs_name(stack->image);

	for (size_t i = 0; i < index->n_layers; i++) {
		uint32_t block = index->layers[i].first_block;
		struct mlimg_ext4 *fs = NULL;
		bool is_used = false;
		int ret = mlimg_ext4_open_part(name, (uint64_t)block * MLIMG_EXT4_BLOCK,
			mlimg_index_room(index, i) * MLIMG_EXT4_BLOCK, &fs, err);

		if (ret == 0)
			ret = take_opened(stack, fs, &is_used, err);
		if (ret == 0 && !stack->layers[i])
			ret = mlimg_err_refuse(err, "another layer is there than the index is of");
		if (ret < 0)
			return mlimg_err_wrap(err, ret, "block %u", block);
	}
	return 0;
}

int mlimg_inspect_stack_open(const char *path, const char *const *layers, size_t n_layers,
	bool *is_used, struct mlimg_inspect_stack **ret_stack, struct mlimg_err *err)
{
	struct mlimg_inspect_stack *stack = calloc(1, sizeof(*stack));
	int ret;

	if (!stack)
		return mlimg_err_set(err, ENOMEM, "open index '%.200s'", path);
	ret = mlimg_erofs_open(path, &stack->image, err);
	if (ret == 0) {
		stack->tree = mlimg_erofs_tree(stack->image, "/rootfs");
		mlimg_erofs_set_layers(stack->image, read_layer, stack);
		ret = read_description(stack, err);
	}
	if (ret == 0)
		ret = check_description(stack, err);
	if (ret == 0 && mlimg_erofs_has_layers(stack->image))
		ret = take_joined(stack, err);
	for (size_t i = 0; i < n_layers && ret == 0; i++)
		ret = take_layer(stack, layers[i], &is_used[i], err);
	if (ret < 0)
		mlimg_inspect_stack_close(stack);
	else
		*ret_stack = stack;
	return ret;
}

void mlimg_inspect_stack_close(struct mlimg_inspect_stack *stack)
{
	if (!stack)
		return;
	for (size_t i = 0; i < MLIMG_STACK_LAYERS_MAX; i++)
		mlimg_ext4_close(stack->layers[i]);
	mlimg_stack_infos_done(&stack->infos);
	mlimg_erofs_close(stack->image);
	free(stack);
}

static int read_composed(struct mlimg_inspect_stack *stack, struct mlimg_manifest **ret_composed,
	struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int ret = read_own(stack, "mlimg/composed", MLIMG_COMPOSED_MANIFEST_MAX, &text, &size, err);

	if (ret == -ENOENT)
		return 0;
	if (ret < 0)
		return ret;
	ret = mlimg_manifest_parse(text, size, ret_composed, err);
	return ret < 0 ? mlimg_err_wrap(err, ret, "%.200s: /mlimg/composed",
				 mlimg_erofs_name(stack->image))
		       : 0;
}

static int merge(
	struct mlimg_inspect_stack *stack, struct mlimg_inspect_merged *m, struct mlimg_err *err)
{
	const struct mlimg_manifest *all[MLIMG_STACK_LAYERS_MAX + 1];
	size_t n = stack->infos.n_layers;
	int ret = read_composed(stack, &m->composed, err);

	for (size_t i = 0; i < n && ret == 0; i++) {
		ret = mlimg_inspect_read_manifest(
			stack->layers[i], &stack->infos.layers[i], &m->layers[i], err);
		all[i] = m->layers[i];
	}
	all[n] = m->composed;
	return ret < 0 ? ret : mlimg_manifest_merge(all, n + !!m->composed, &m->merged, err);
}

int mlimg_inspect_stack_merge(struct mlimg_inspect_stack *stack,
	struct mlimg_inspect_merged *ret_merged, struct mlimg_err *err)
{
	struct mlimg_inspect_merged m = {0};
	int ret = merge(stack, &m, err);

	if (ret < 0)
		mlimg_inspect_merged_done(&m);
	else
		*ret_merged = m;
	return ret;
}

static bool is_same_manifest(const struct mlimg_manifest *a, const struct mlimg_manifest *b)
{
	struct mlimg_text x = {.data = NULL}, y = {.data = NULL};
	bool is_same;

	mlimg_manifest_put(a, mlimg_text_put, &x);
	mlimg_manifest_put(b, mlimg_text_put, &y);
	is_same = !x.has_failed && !y.has_failed && x.size == y.size &&
		memcmp(x.data, y.data, x.size) == 0;
	free(x.data);
	free(y.data);
	return is_same;
}

int mlimg_inspect_stack_recompose(struct mlimg_inspect_stack *stack,
	const struct mlimg_inspect_merged *merged, struct mlimg_err *err)
{
	struct mlimg_compose_images images = {.layers.n = 0};
	struct mlimg_composed composed;
	int ret;

	if (!merged->composed || !mlimg_composed_is_current(merged->composed))
		return 0;
	for (size_t i = 0; i < stack->infos.n_layers; i++)
		mlimg_compose_images_push(
			&images, stack->layers[i], &stack->infos.layers[i], merged->layers[i]);
	ret = mlimg_compose(&images.layers, &composed, err);
	if (ret == 0 &&
		(!composed.manifest || !is_same_manifest(composed.manifest, merged->composed)))
		ret = mlimg_err_refuse(err,
			"%.200s: /mlimg/composed is not what its layers' records make",
			mlimg_erofs_name(stack->image));
	mlimg_composed_done(&composed);
	return ret;
}

void mlimg_inspect_merged_done(struct mlimg_inspect_merged *merged)
{
	mlimg_manifest_free(merged->merged);
	mlimg_manifest_free(merged->composed);
	for (size_t i = 0; i < MLIMG_STACK_LAYERS_MAX; i++)
		mlimg_manifest_free(merged->layers[i]);
	*merged = (struct mlimg_inspect_merged){0};
}
