/* SPDX-License-Identifier: MIT */
#include "guest-agent/hidden.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/remove-tree.h"
#include "libmlimg/unionfs.h"

#define BRANCH_SIZE 64 /* "hidden/80/.unionfs-fuse/" */

struct hidden {
	int root_fd;
	const struct mlimg_mounted *layers;
};

static int make_directories(int fd, char *path)
{
	for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		int r;

		*slash = '\0';
		r = mkdirat(fd, path, 0700);
		*slash = '/';
		if (r < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

static int make_marker(size_t layer, const char *hidden, void *ctx, struct mlimg_err *err)
{
	const struct hidden *h = ctx;
	char path[BRANCH_SIZE + MLIMG_UNIONFS_PATH_MAX + 16];
	int n = snprintf(path, BRANCH_SIZE, MLIMG_HIDDEN_DIR "/%zu/" MLIMG_UNIONFS_DIR "/", layer);
	mlimg_autoclose int fd = -1;
	int r = mlimg_unionfs_marker_of(hidden, path + n, err);

	if (r < 0)
		return mlimg_err_wrap(err, r, "%s", h->layers[layer].where);
	r = make_directories(h->root_fd, path);
	if (r < 0)
		return mlimg_err_set(err, r, "make '%s'", path);
	fd = openat(h->root_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? mlimg_err_set(err, errno, "make '%s'", path) : 0;
}

/* In a layer these would be marks as well, and unlike all that is in its manifest. */
static int check(const struct mlimg_mounted *layer, const struct mlimg_manifest *manifest,
	struct mlimg_err *err)
{
	if (!mlimg_manifest_find(manifest, MLIMG_UNIONFS_DIR))
		return 0;
	return mlimg_err_refuse(err,
		"%s: layer '%s' has /" MLIMG_UNIONFS_DIR
		", which unionfs-fuse would take for its own",
		layer->where, layer->info.name);
}

int mlimg_hidden_write(const char *root, const struct mlimg_mounted *layers, size_t n_layers,
	struct mlimg_err *err)
{
	struct mlimg_manifest *manifests[MLIMG_BOOT_LAYERS_MAX] = {NULL};
	struct hidden h = {
		.root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .layers = layers};
	int r = h.root_fd < 0 ? mlimg_err_set(err, errno, "open '%s'", root) : 0;

	if (r == 0)
		r = mlimg_remove_tree(h.root_fd, MLIMG_HIDDEN_DIR);
	if (r < 0 && h.root_fd >= 0)
		r = mlimg_err_set(err, r, "remove '" MLIMG_HIDDEN_DIR "'");
	for (size_t i = 0; i < n_layers && r == 0; i++) {
		r = mlimg_mounted_manifest(&layers[i], &manifests[i], err);
		if (r == 0)
			r = check(&layers[i], manifests[i], err);
	}
	if (r == 0)
		r = mlimg_unionfs_hidden((const struct mlimg_manifest *const *)manifests, n_layers,
			make_marker, &h, err);
	for (size_t i = 0; i < n_layers; i++)
		mlimg_manifest_free(manifests[i]);
	if (h.root_fd >= 0)
		close(h.root_fd);
	return r;
}
