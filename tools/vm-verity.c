/* SPDX-License-Identifier: MIT */
#include "tools/vm-verity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/disk.h"
#include "libmlimg/verity.h"
#include "tools/sidecar.h"

static const char *const names[] = {[MLIMG_VM_VERITY_OFF] = "off",
	[MLIMG_VM_VERITY_HASH] = "hash",
	[MLIMG_VM_VERITY_REQUIRE] = "require"};

int mlimg_vm_verity_of(const char *name, enum mlimg_vm_verity *ret_verity, struct mlimg_err *err)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0) {
			*ret_verity = (enum mlimg_vm_verity)i;
			return 0;
		}
	return mlimg_err_usage(err, "'%s' is none of 'off', 'hash' and 'require'", name);
}

const char *mlimg_vm_verity_name(enum mlimg_vm_verity verity)
{
	return names[verity];
}

static int read_tree(const char *path, int fd, const uint8_t uuid[MLIMG_UUID_SIZE],
	uint64_t size_bytes, struct mlimg_verity *ret_verity, struct mlimg_err *err)
{
	mlimg_autofree char *name = NULL;
	struct mlimg_verity_part part = {
		.fd = fd, .size_bytes = UINT64_MAX, .n_blocks = size_bytes / MLIMG_VERITY_BLOCK};

	if (asprintf(&name, "'%s'", path) < 0)
		return mlimg_err_set(err, ENOMEM, "'%s'", path);
	part.name = name;
	memcpy(part.uuid, uuid, sizeof(part.uuid));
	return mlimg_verity_read(&part, ret_verity, err);
}

/* Beside it is what it must have. */
static int check_sidecar(const char *path, const struct mlimg_verity *verity, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_sidecar_done) struct mlimg_sidecar sidecar = {.is_there = false};
	int r = mlimg_sidecar_read(path, &sidecar, err);

	if (r < 0)
		return r;
	if (!sidecar.is_there)
		return mlimg_err_refuse(err, "'%s': no file beside it says its root hash: '%s%s'",
			path, path, MLIMG_SIDECAR_SUFFIX);
	if (strcmp(sidecar.verity.root_hash, verity->root_hash) != 0)
		return mlimg_err_refuse(err, "'%s': its root hash is %s, not %s", path,
			verity->root_hash, sidecar.verity.root_hash);
	return 0;
}

/* It has what its keeper says. */
static int check_kept(const char *path, const char *root_hash, const struct mlimg_verity *verity,
	struct mlimg_err *err)
{
	if (!*root_hash)
		return mlimg_err_refuse(err, "'%s': the store knows no root hash of it", path);
	if (strcmp(root_hash, verity->root_hash) != 0)
		return mlimg_err_refuse(err, "'%s': its root hash is %s, not %s as in the store",
			path, verity->root_hash, root_hash);
	return 0;
}

/* @root_hash: what its keeper says, or NULL. */
static int read_layer(enum mlimg_vm_verity wanted, const char *path, const char *root_hash,
	struct mlimg_verity_root *root, struct mlimg_err *err)
{
	mlimg_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct mlimg_verity verity = {.data_blocks = 0};
	struct mlimg_disk disk;
	int r;

	if (fd < 0)
		return mlimg_err_set(err, errno, "open image '%s'", path);
	mlimg_disk_probe(fd, &disk);
	r = read_tree(path, fd, disk.sb.uuid, disk.sb.size_bytes, &verity, err);
	if (r == 0 && wanted == MLIMG_VM_VERITY_HASH)
		r = root_hash ? check_kept(path, root_hash, &verity, err)
			      : check_sidecar(path, &verity, err);
	if (r == 0 && wanted == MLIMG_VM_VERITY_REQUIRE && !verity.signature)
		r = mlimg_err_refuse(err, "'%s': it is not signed", path);
	memcpy(root->uuid, disk.sb.uuid, sizeof(root->uuid));
	strcpy(root->root_hash, verity.root_hash);
	mlimg_verity_done(&verity);
	return r;
}

int mlimg_vm_verity_index(
	const char *path, struct mlimg_verity_root *ret_root, struct mlimg_err *err)
{
	mlimg_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct mlimg_verity verity = {.data_blocks = 0};
	struct mlimg_index index;
	int r;

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", path);
	r = mlimg_index_read(fd, path, &index, err);
	if (r == 0)
		r = read_tree(path, fd, index.uuid, index.size_bytes, &verity, err);
	if (r < 0)
		return r;
	memcpy(ret_root->uuid, index.uuid, sizeof(ret_root->uuid));
	strcpy(ret_root->root_hash, verity.root_hash);
	mlimg_verity_done(&verity);
	return 0;
}

static int print_value(char **ret_value, struct mlimg_err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int print_value(char **ret_value, struct mlimg_err *err, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(ret_value, fmt, ap);
	va_end(ap);
	return n < 0 ? mlimg_err_set(err, ENOMEM, "mlimg.verity") : 0;
}

int mlimg_vm_verity_value(enum mlimg_vm_verity verity, const struct mlimg_vm_layers *layers,
	const char *index, char **ret_value, struct mlimg_err *err)
{
	struct mlimg_verity_root roots[MLIMG_STACK_LAYERS_MAX + 1];
	char hash[MLIMG_SHA256_HEX_SIZE];
	size_t n = layers->n;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = read_layer(verity, layers->paths[i],
			layers->root_hashes ? layers->root_hashes[i] : NULL, &roots[i], err);
	if (r < 0)
		return r;
	if (index)
		r = mlimg_vm_verity_index(index, &roots[n++], err);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r < 0)
		strcpy(roots[n - 1].root_hash, "HASH");
	mlimg_verity_stack_hash(roots, n, hash);
	if (verity == MLIMG_VM_VERITY_HASH)
		return print_value(ret_value, err, "stack:%s", r < 0 ? "HASH" : hash);
	if (!index)
		return print_value(ret_value, err, "require");
	return print_value(ret_value, err, "require,%.*s:%s", MLIMG_SHORT_ID, layers->stack_id,
		roots[n - 1].root_hash);
}
