/* SPDX-License-Identifier: MIT */
#include "tools/bootfiles.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/data.h"

#define KERNEL_PREFIX "vmlinuz-"
#define INITRD_PREFIX "initrd.img-"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* deb-version(7): '~' sorts before the end, letters before everything else. */
static int order(char c)
{
	if (c == '~')
		return -1;
	if (c == '\0' || is_digit(c))
		return 0;
	if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
		return c;
	return (unsigned char)c + 256;
}

/* Compares the numbers that a and b begin with, and moves behind them. */
static int compare_numbers(const char **a, const char **b)
{
	size_t a_length, b_length;
	int result;

	*a += strspn(*a, "0");
	*b += strspn(*b, "0");
	a_length = strspn(*a, "0123456789");
	b_length = strspn(*b, "0123456789");
	if (a_length != b_length)
		return a_length < b_length ? -1 : 1;
	result = strncmp(*a, *b, a_length);
	*a += a_length;
	*b += b_length;
	return result;
}

int mlimg_version_cmp(const char *a, const char *b)
{
	while (*a || *b) {
		int result;

		while ((*a && !is_digit(*a)) || (*b && !is_digit(*b))) {
			if (order(*a) != order(*b))
				return order(*a) - order(*b);
			a++;
			b++;
		}
		result = compare_numbers(&a, &b);
		if (result)
			return result;
	}
	return 0;
}

/* A regular file in the tree, links followed. 1: it is not there, or is something else. */
static int find_file(
	const struct mlimg_itree *tree, const char *path, uint32_t *ret_ino, struct mlimg_err *err)
{
	struct mlimg_itree_room room;
	struct mlimg_itree_node node;
	int ret = mlimg_itree_lookup(tree, path, true, &room, &node, err);

	if (ret == -ENOENT || ret == -ENOTDIR || ret == -ELOOP || ret == -ENAMETOOLONG)
		return 1;
	if (ret == 0 && node.type != MLIMG_FILE)
		return 1;
	if (ret == 0)
		*ret_ino = node.ino;
	return ret;
}

/* The inode of what Debian's symbolic links say is to be booted; 0 when there are none. */
static int find_preferred(const struct mlimg_itree *tree, uint32_t *ret_ino, struct mlimg_err *err)
{
	static const char *const links[] = {"/vmlinuz", "/boot/vmlinuz"};

	*ret_ino = 0;
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		int ret = find_file(tree, links[i], ret_ino, err);

		if (ret <= 0)
			return ret;
	}
	return 0;
}

/* 0: the version has both files. 1: it has not. */
static int find_pair(const struct mlimg_itree *tree, const char *version,
	struct mlimg_bootfiles *ret_files, struct mlimg_err *err)
{
	char path[MLIMG_PATH_MAX + 1];
	int ret;

	snprintf(path, sizeof(path), "/boot/" KERNEL_PREFIX "%s", version);
	ret = find_file(tree, path, &ret_files->kernel, err);
	if (ret)
		return ret;
	snprintf(path, sizeof(path), "/boot/" INITRD_PREFIX "%s", version);
	ret = find_file(tree, path, &ret_files->initrd, err);
	if (ret)
		return ret;
	snprintf(ret_files->version, sizeof(ret_files->version), "%s", version);
	return 0;
}

static int choose(const struct mlimg_itree *tree, const struct mlimg_ext4_dir *dir,
	struct mlimg_bootfiles *best, struct mlimg_err *err)
{
	const char *lonely = NULL;
	struct mlimg_bootfiles files;
	uint32_t preferred;
	int ret = find_preferred(tree, &preferred, err);

	best->version[0] = '\0';
	for (size_t i = 0; i < dir->n_entries && ret >= 0; i++) {
		const char *name = dir->entries[i].name;

		if (strncmp(name, KERNEL_PREFIX, strlen(KERNEL_PREFIX)) != 0 ||
			!name[strlen(KERNEL_PREFIX)])
			continue;
		ret = find_pair(tree, name + strlen(KERNEL_PREFIX), &files, err);
		if (ret == 1)
			lonely = name;
		if (ret != 0)
			continue;
		if (files.kernel == preferred) {
			*best = files;
			return 0;
		}
		if (!best->version[0] || mlimg_version_cmp(files.version, best->version) > 0)
			*best = files;
	}
	if (ret < 0 || best->version[0])
		return ret < 0 ? ret : 0;
	if (lonely)
		return mlimg_err_refuse(err, "%s: there is no initramfs for its kernel /boot/%s",
			tree->name, lonely);
	return mlimg_err_refuse(err, "%s: there is no kernel in its /boot", tree->name);
}

int mlimg_bootfiles_find(
	const struct mlimg_itree *tree, struct mlimg_bootfiles *ret_files, struct mlimg_err *err)
{
	struct mlimg_ext4_dir dir = {0};
	struct mlimg_itree_room room;
	struct mlimg_itree_node boot;
	struct mlimg_bootfiles files;
	int ret = mlimg_itree_lookup(tree, "/boot", true, &room, &boot, err);

	if (ret == -ENOENT || (ret == 0 && boot.type != MLIMG_DIR))
		return mlimg_err_refuse(err, "%s: there is no /boot in it", tree->name);
	if (ret == 0)
		ret = tree->ops->dir(tree->image, boot.inode, &dir, err);
	if (ret == 0)
		ret = choose(tree, &dir, &files, err);
	mlimg_ext4_dir_done(&dir);
	if (ret == 0)
		*ret_files = files;
	return ret;
}

int mlimg_bootfiles_read(const struct mlimg_itree *tree, uint32_t ino, mlimg_ext4_data_fn *fn,
	void *ctx, struct mlimg_err *err)
{
	struct mlimg_itree_room room;
	struct mlimg_itree_node node;
	int ret = tree->ops->inode(tree->image, ino, &room, &node, err);

	if (ret == 0 && node.size_bytes > MLIMG_BOOTFILE_MAX)
		return mlimg_err_refuse(err, "%s: a boot file has %llu bytes, which is too much",
			tree->name, (unsigned long long)node.size_bytes);
	return ret < 0 ? ret : mlimg_itree_read(tree, &node, fn, ctx, err);
}

int mlimg_bootfiles_extract(
	const struct mlimg_itree *tree, uint32_t ino, const char *path, struct mlimg_err *err)
{
	mlimg_autoclose int fd = -1;
	int ret;

	if (unlink(path) < 0 && errno != ENOENT)
		return mlimg_err_set(err, errno, "write '%s'", path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return mlimg_err_set(err, errno, "write '%s'", path);
	ret = mlimg_bootfiles_read(tree, ino, mlimg_data_to_fd, &fd, err);
	if (ret < 0)
		unlink(path);
	return ret;
}
