/* SPDX-License-Identifier: MIT */
#include "guest-agent/view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-agent/composed.h"
#include "guest-agent/view-client.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/unionfs.h"

#define BOOT_JSON "boot.json"
#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

/* --- boot.json --- */

/*
 * A name beside /run/mlimg, and not by "..": who may not search that does not get back out of it.
 * free() it.
 */
static char *beside_root(const struct mlimg_view *view, const char *name)
{
	const char *slash = strrchr(view->root, '/');
	char *path;

	return asprintf(&path, "%.*s%s", slash ? (int)(slash + 1 - view->root) : 0, view->root,
		       name) < 0
		? NULL
		: path;
}

static int read_boot_text(
	const struct mlimg_view *view, char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	mlimg_autofree char *public = NULL;

	if (view->root_fd >= 0)
		return mlimg_read_file(
			view->root_fd, BOOT_JSON, MLIMG_BOOT_JSON_MAX, ret_text, ret_size, err);
	public = beside_root(view, MLIMG_BOOT_PUBLIC);
	if (!public)
		return mlimg_err_set(err, ENOMEM, "read " MLIMG_BOOT_PUBLIC);
	return mlimg_read_file(AT_FDCWD, public, MLIMG_BOOT_JSON_MAX, ret_text, ret_size, err);
}

static int get_layer(const json_t *json, struct mlimg_boot_layer *layer, struct mlimg_err *err)
{
	char kind[16];
	int r = mlimg_json_get_text(BOOT_JSON, json, "kind", kind, sizeof(kind), err);

	if (r == 0)
		r = mlimg_json_get_text(
			BOOT_JSON, json, "name", layer->name, sizeof(layer->name), err);
	if (r == 0)
		r = mlimg_json_get_text(
			BOOT_JSON, json, "version", layer->version, sizeof(layer->version), err);
	if (r == 0)
		r = mlimg_json_get_text(
			BOOT_JSON, json, "build_id", layer->build_id, sizeof(layer->build_id), err);
	layer->kind = r == 0 ? mlimg_kind_of(kind) : 0;
	if (r == 0 && !layer->kind)
		return mlimg_err_refuse(err, BOOT_JSON ": kind '%s' in a stack", kind);
	return r;
}

static int get_stack(const json_t *json, struct mlimg_boot_stack *ret_stack, struct mlimg_err *err)
{
	const json_t *layers = json_object_get(json, "stack");
	int r = mlimg_json_get_text(BOOT_JSON, json, "union", ret_stack->union_driver,
		sizeof(ret_stack->union_driver), err);

	ret_stack->n_layers = json_array_size(layers);
	if (r == 0 && (ret_stack->n_layers < 1 || ret_stack->n_layers > MLIMG_BOOT_LAYERS_MAX))
		return mlimg_err_refuse(err, BOOT_JSON ": 'stack' is no list of 1 to %d layers",
			MLIMG_BOOT_LAYERS_MAX);
	for (size_t i = 0; i < ret_stack->n_layers && r == 0; i++)
		r = get_layer(json_array_get(layers, i), &ret_stack->layers[i], err);
	return r;
}

static int take_boot(struct mlimg_view *view, struct mlimg_err *err)
{
	char mode[16];
	json_int_t generation;
	int r = mlimg_json_get_text(BOOT_JSON, view->boot, "mode", mode, sizeof(mode), err);

	if (r == 0 && !mlimg_boot_mode_of(mode, &view->mode))
		return mlimg_err_refuse(err, BOOT_JSON ": 'mode' is '%s'", mode);
	if (r == 0)
		r = mlimg_json_get_integer(
			BOOT_JSON, view->boot, "generation", 0, &generation, err);
	if (r < 0)
		return r;
	view->generation = (uint64_t)generation;
	r = get_stack(view->boot, &view->stack, err);
	view->is_unionfs = r == 0 && strcmp(view->stack.union_driver, MLIMG_UNION_UNIONFS) == 0;
	return r;
}

int mlimg_view_open(
	const char *root, const char *merged, struct mlimg_view *ret_view, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r;

	*ret_view = (struct mlimg_view){.root = root, .merged = merged, .user_fd = -1};
	ret_view->root_fd = open(root, OPEN_DIR);
	ret_view->merged_fd = open(merged, OPEN_DIR);
	if (ret_view->merged_fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", merged);
	r = read_boot_text(ret_view, &text, &size, err);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = mlimg_json_load(BOOT_JSON, text, size, &ret_view->boot, err);
	if (r == 0)
		r = take_boot(ret_view, err);
	if (r < 0 || ret_view->root_fd < 0 ||
		!json_is_object(json_object_get(ret_view->boot, "user")))
		return r;
	ret_view->user_fd = openat(ret_view->root_fd, "user", OPEN_DIR | O_NOFOLLOW);
	return ret_view->user_fd < 0 ? mlimg_err_set(err, errno, "open '%s/user'", root) : 0;
}

/* --- trees --- */

/* @return the tree that was added, or NULL with errno */
static struct mlimg_view_tree *add_tree(
	struct mlimg_view *view, enum mlimg_view_kind kind, const char *path, const char *label)
{
	struct mlimg_view_tree *tree = &view->trees[view->n_trees];
	int fd = view->sent ? mlimg_view_sent_open(view->sent, path)
			    : openat(view->root_fd, path, OPEN_DIR);

	if (fd < 0) {
		errno = view->sent ? -fd : errno;
		return NULL;
	}
	*tree = (struct mlimg_view_tree){.kind = kind, .fd = fd};
	snprintf(tree->label, sizeof(tree->label), "%s", label);
	view->n_trees++;
	return tree;
}

/* What comes or goes while an upper is read is as though it had not been there. */
static void skip(const char *path, int error, bool was_visited, void *ctx)
{
	struct mlimg_view *view = ctx;

	if (error == -ENOENT || error == -ESTALE)
		return;
	if (view->n_skipped++ == 0)
		snprintf(view->skipped, sizeof(view->skipped), "'/%.400s'%s: %s", path,
			strcmp(path, MLIMG_UNIONFS_DIR) == 0 ? ", which has what was deleted" : "",
			strerror(-error));
}

static int add_upper(struct mlimg_view *view, enum mlimg_view_kind kind, const char *path,
	const char *label, struct mlimg_err *err)
{
	size_t i = view->n_trees;
	struct mlimg_view_tree *tree = add_tree(view, kind, path, label);
	int r;

	if (!tree)
		return mlimg_err_set(err, errno, "open '%s/%s'", view->root, path);
	mlimg_upper_dir_init(&view->uppers[i], tree->fd, view->is_unionfs);
	r = view->uppers[i].source.load(
		&view->uppers[i].source, skip, view, &view->manifests[i], err);
	tree->manifest = r == 0 ? view->manifests[i] : NULL;
	return r < 0 ? mlimg_err_wrap(err, r, "%s", path) : 0;
}

static int add_uppers(struct mlimg_view *view, struct mlimg_err *err)
{
	int r = 0;

	if (view->mode == MLIMG_BOOT_VOLATILE || view->mode == MLIMG_BOOT_RESCUE)
		r = add_upper(view, MLIMG_VIEW_UPPER, "volatile/upper", "this boot's", err);
	if (r < 0 || view->mode == MLIMG_BOOT_RESCUE)
		return r;
	return view->mode == MLIMG_BOOT_VOLATILE
		? add_upper(view, MLIMG_VIEW_KEPT, "user/upper", "yours", err)
		: add_upper(view, MLIMG_VIEW_UPPER, "user/upper", "yours", err);
}

/* @param path  where it is mounted */
static int add_layer(struct mlimg_view *view, size_t i, const char *path, struct mlimg_err *err)
{
	const struct mlimg_boot_layer *layer = &view->stack.layers[i];
	char label[MLIMG_VIEW_LABEL_SIZE];
	struct mlimg_view_tree *tree;

	/* A system with its patches is that which the topmost patch makes. */
	snprintf(label, sizeof(label), "%s %s %s",
		mlimg_kind_name(layer->kind == MLIMG_PATCH ? MLIMG_SYSTEM : layer->kind),
		layer->name, layer->version);
	tree = add_tree(view, MLIMG_VIEW_LAYER, path, label);
	if (!tree)
		return mlimg_err_set(err, errno, "open '%s/%s'", view->root, path);
	tree->layer = layer;
	return 0;
}

static int add_layers(struct mlimg_view *view, struct mlimg_err *err)
{
	char path[40];
	int r = 0;

	if (strcmp(view->stack.union_driver, MLIMG_UNION_INDEX) == 0)
		return add_tree(view, MLIMG_VIEW_INDEX, "index/rootfs", "layers")
			? 0
			: mlimg_err_set(err, errno, "open '%s/index/rootfs'", view->root);
	if (!add_tree(view, MLIMG_VIEW_COMPOSED, MLIMG_COMPOSED_DIR "/rootfs", "all layers") &&
		errno != ENOENT)
		return mlimg_err_set(err, errno, "open '%s/" MLIMG_COMPOSED_DIR "'", view->root);
	for (size_t i = view->stack.n_layers; i-- > 0 && r == 0;) {
		if (view->stack.layers[i].kind == MLIMG_PATCH)
			return add_layer(view, i, "system", err);
		snprintf(path, sizeof(path), "layers/%zu/rootfs", i);
		r = add_layer(view, i, path, err);
	}
	return r;
}

static int need_boot(const struct mlimg_view *view, struct mlimg_err *err)
{
	return view->boot ? 0 : mlimg_err_set(err, 0, "this system was not booted by mlimg");
}

int mlimg_view_need_user(const struct mlimg_view *view, struct mlimg_err *err)
{
	int r = need_boot(view, err);

	if (r == 0 && view->root_fd < 0)
		return mlimg_err_set(err, EACCES, "open '%s': this needs root", view->root);
	if (r == 0 && view->user_fd < 0)
		return mlimg_err_set(err, 0, "this boot is without the user layer");
	return r;
}

static int ask_daemon(struct mlimg_view *view, struct mlimg_err *err)
{
	mlimg_autofree char *path = beside_root(view, MLIMG_VIEW_SOCKET);

	view->sent = calloc(1, sizeof(*view->sent));
	if (!path || !view->sent)
		return mlimg_err_set(err, ENOMEM, "ask mlimg-agent");
	return mlimg_view_ask(path, view->sent, err);
}

int mlimg_view_load(struct mlimg_view *view, struct mlimg_err *err)
{
	int r = need_boot(view, err);

	if (r == 0 && view->root_fd < 0)
		r = ask_daemon(view, err);
	if (r < 0)
		return r;
	r = add_uppers(view, err);
	return r < 0 ? r : add_layers(view, err);
}

void mlimg_view_close(struct mlimg_view *view)
{
	for (size_t i = 0; i < view->n_trees; i++)
		close(view->trees[i].fd);
	for (size_t i = 0; i < 2; i++)
		mlimg_manifest_free(view->manifests[i]);
	for (size_t i = 0; view->layers && i < MLIMG_BOOT_LAYERS_MAX + 1; i++)
		mlimg_manifest_free(view->layers->manifests[i]);
	free(view->layers);
	if (view->sent)
		mlimg_view_sent_close(view->sent);
	free(view->sent);
	json_decref(view->boot);
	if (view->root && view->root_fd >= 0)
		close(view->root_fd);
	if (view->root && view->merged_fd >= 0)
		close(view->merged_fd);
	if (view->root && view->user_fd >= 0)
		close(view->user_fd);
	*view = (struct mlimg_view){.root_fd = -1, .merged_fd = -1, .user_fd = -1};
}
