/* SPDX-License-Identifier: MIT */
#include "guest-agent/mounted.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

bool mlimg_id_is_valid(const char *text)
{
	size_t digits = strspn(text, "0123456789abcdefABCDEF");

	return !text[digits] && digits >= MLIMG_SHORT_ID && digits < MLIMG_SHA256_HEX_SIZE;
}

int mlimg_mounted_read(const struct mlimg_mounted *mounted, const char *path, size_t max,
	char **ret_data, size_t *ret_size, struct mlimg_err *err)
{
	/* O_NONBLOCK: a FIFO in the file's place must not stop the boot. */
	mlimg_autoclose int fd = mlimg_open_beneath(
		mounted->fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	char name[128];
	struct stat st;

	snprintf(name, sizeof(name), "%s/%s", mounted->where, path);
	if (fd < 0)
		return mlimg_err_set(err, fd, "open '%s'", name);
	if (fstat(fd, &st) < 0)
		return mlimg_err_set(err, errno, "stat '%s'", name);
	if (!S_ISREG(st.st_mode))
		return mlimg_err_refuse(err, "'%s' is no regular file", name);
	return mlimg_read_fd(fd, name, max, ret_data, ret_size, err);
}

static int compare(const struct mlimg_mounted *mounted, const struct mlimg_expected *expected,
	struct mlimg_err *err)
{
	const struct mlimg_layer_info *info = &mounted->info;
	const char *id = expected->id;

	if (info->kind != expected->kind)
		return mlimg_err_refuse(err, "%s: a %s layer is wanted, this is the %s layer '%s'",
			mounted->where, mlimg_kind_name(expected->kind),
			mlimg_kind_name(info->kind), info->name);
	if (strncasecmp(info->build_id, id, strlen(id)) != 0)
		return mlimg_err_refuse(err, "%s: id %s is wanted, this is '%s' %s with id %s",
			mounted->where, id, info->name, info->version, info->build_id);
	return 0;
}

int mlimg_mounted_open(int root_fd, const char *where, const struct mlimg_expected *expected,
	struct mlimg_mounted *ret_mounted, struct mlimg_err *err)
{
	struct mlimg_mounted mounted = {.fd = -1};
	mlimg_autofree char *text = NULL;
	size_t size;
	int r;

	snprintf(mounted.where, sizeof(mounted.where), "%s", where);
	strcpy(mounted.manifest, "mlimg/manifest");
	mounted.fd = openat(root_fd, where, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (mounted.fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", where);
	r = mlimg_mounted_read(
		&mounted, "mlimg/layer.json", MLIMG_LAYER_JSON_MAX, &text, &size, err);
	if (r == 0) {
		r = mlimg_layer_from_json(text, size, &mounted.info, err);
		if (r < 0)
			r = mlimg_err_wrap(err, r, "%s", where);
	}
	if (r == 0)
		r = compare(&mounted, expected, err);
	if (r < 0) {
		mlimg_mounted_close(&mounted);
		return r;
	}
	*ret_mounted = mounted;
	return 0;
}

static int read_stack(
	const struct mlimg_mounted *index, struct mlimg_stack_infos *infos, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_mounted_read(
		index, "mlimg/stack.json", MLIMG_STACK_JSON_MAX, &text, &size, err);

	if (r < 0)
		return r;
	r = mlimg_stack_from_json(text, size, infos, err);
	return r < 0 ? mlimg_err_wrap(err, r, "%s", index->where) : 0;
}

/* Layer @i of the index; @info is taken over. */
static int open_indexed(const struct mlimg_mounted *index, size_t i,
	const struct mlimg_expected *expected, struct mlimg_layer_info *info,
	struct mlimg_mounted *ret_mounted, struct mlimg_err *err)
{
	struct mlimg_mounted mounted = {.fd = fcntl(index->fd, F_DUPFD_CLOEXEC, 0), .info = *info};
	int r;

	*info = (struct mlimg_layer_info){0};
	strcpy(mounted.where, index->where);
	snprintf(mounted.manifest, sizeof(mounted.manifest), "mlimg/manifests/%zu", i);
	r = mounted.fd < 0 ? mlimg_err_set(err, errno, "open '%s'", index->where)
			   : compare(&mounted, expected, err);
	if (r < 0) {
		mlimg_mounted_close(&mounted);
		return mlimg_err_wrap(err, r, "layer %zu", i);
	}
	*ret_mounted = mounted;
	return 0;
}

int mlimg_mounted_open_index(int root_fd, const struct mlimg_expected *expected, size_t n_layers,
	struct mlimg_mounted *ret_layers, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_stack_infos_done) struct mlimg_stack_infos infos = {.n_layers = 0};
	mlimg_cleanup(mlimg_mounted_close) struct mlimg_mounted index = {.where = "index"};
	size_t n = 0;
	int r;

	index.fd = openat(root_fd, index.where, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (index.fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", index.where);
	r = read_stack(&index, &infos, err);
	if (r == 0 && infos.n_layers != n_layers)
		r = mlimg_err_refuse(err, "%s: %zu layers are wanted, this has %zu", index.where,
			n_layers, infos.n_layers);
	for (; r == 0 && n < n_layers; n += r == 0)
		r = open_indexed(&index, n, &expected[n], &infos.layers[n], &ret_layers[n], err);
	while (r < 0 && n > 0)
		mlimg_mounted_close(&ret_layers[--n]);
	return r;
}

void mlimg_mounted_close(struct mlimg_mounted *mounted)
{
	if (mounted->fd >= 0)
		close(mounted->fd);
	mounted->fd = -1;
	mlimg_layer_info_done(&mounted->info);
}

static int check_header(const struct mlimg_mounted *mounted, const struct mlimg_manifest *manifest,
	struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_layer_info_done) struct mlimg_layer_info header = {0};
	int r = mlimg_layer_parse_header(manifest, &header, err);

	if (r < 0)
		return mlimg_err_wrap(err, r, "%s/%s", mounted->where, mounted->manifest);
	if (header.kind != mounted->info.kind || strcmp(header.name, mounted->info.name) != 0 ||
		strcmp(header.version, mounted->info.version) != 0)
		return mlimg_err_refuse(err,
			"%s: layer.json says %s layer '%s' %s, the manifest %s layer '%s' %s",
			mounted->where, mlimg_kind_name(mounted->info.kind), mounted->info.name,
			mounted->info.version, mlimg_kind_name(header.kind), header.name,
			header.version);
	return 0;
}

int mlimg_mounted_manifest(const struct mlimg_mounted *mounted,
	struct mlimg_manifest **ret_manifest, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	struct mlimg_manifest *manifest;
	uint8_t digest[MLIMG_SHA256_SIZE];
	char hex[MLIMG_SHA256_HEX_SIZE];
	size_t size;
	int r = mlimg_mounted_read(
		mounted, mounted->manifest, MLIMG_MANIFEST_SIZE_MAX, &text, &size, err);

	if (r < 0)
		return r;
	mlimg_sha256_of(text, size, digest);
	mlimg_sha256_hex(digest, hex);
	if (strcmp(hex, mounted->info.build_id) != 0)
		return mlimg_err_refuse(err,
			"%s: layer '%s' is damaged: its manifest's digest is %s, not its build id "
			"%s",
			mounted->where, mounted->info.name, hex, mounted->info.build_id);
	r = mlimg_manifest_parse(text, size, &manifest, err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "%s/%s", mounted->where, mounted->manifest);
	r = check_header(mounted, manifest, err);
	if (r < 0) {
		mlimg_manifest_free(manifest);
		return r;
	}
	*ret_manifest = manifest;
	return 0;
}
