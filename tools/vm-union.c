/* SPDX-License-Identifier: MIT */
#include "tools/vm-union.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "libmlimg/boot.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/index.h"
#include "libmlimg/io.h"
#include "tools/index-compile.h"
#include "tools/index-merge.h"
#include "tools/vm-runtime.h"
#include "tools/vm-verity.h"
#include "tools/vmdk.h"

int mlimg_union_of(const char *name, enum mlimg_union *ret_union, struct mlimg_err *err)
{
	if (strcmp(name, "auto") == 0)
		*ret_union = MLIMG_UNION_AUTO;
	else if (strcmp(name, MLIMG_UNION_INDEX) == 0)
		*ret_union = MLIMG_UNION_OF_INDEX;
	else if (strcmp(name, MLIMG_UNION_OVERLAY) == 0)
		*ret_union = MLIMG_UNION_OF_OVERLAY;
	else if (strcmp(name, MLIMG_UNION_UNIONFS) == 0)
		*ret_union = MLIMG_UNION_OF_UNIONFS;
	else
		return mlimg_err_usage(
			err, "'%s' is none of 'auto', 'index', 'overlay' and 'unionfs'", name);
	return 0;
}

int mlimg_disks_of(const char *name, enum mlimg_disks *ret_disks, struct mlimg_err *err)
{
	if (strcmp(name, "joined") == 0)
		*ret_disks = MLIMG_DISKS_JOINED;
	else if (strcmp(name, "separate") == 0)
		*ret_disks = MLIMG_DISKS_SEPARATE;
	else
		return mlimg_err_usage(err, "'%s' is neither 'joined' nor 'separate'", name);
	return 0;
}

const char *mlimg_disks_name(enum mlimg_disks disks)
{
	static const char *const names[] = {[MLIMG_DISKS_AUTO] = "auto",
		[MLIMG_DISKS_JOINED] = "joined",
		[MLIMG_DISKS_SEPARATE] = "separate"};

	return names[disks];
}

int mlimg_vm_can_join(
	const char *index, const struct mlimg_vm_layers *layers, struct mlimg_err *err)
{
	int r = mlimg_vmdk_check_name(index, err);

	for (size_t i = 0; i < layers->n && r == 0; i++)
		r = mlimg_vmdk_check_name(layers->paths[i], err);
	return r;
}

const char *mlimg_union_name(enum mlimg_union driver)
{
	static const char *const names[] = {[MLIMG_UNION_AUTO] = "auto",
		[MLIMG_UNION_OF_INDEX] = MLIMG_UNION_INDEX,
		[MLIMG_UNION_OF_OVERLAY] = MLIMG_UNION_OVERLAY,
		[MLIMG_UNION_OF_UNIONFS] = MLIMG_UNION_UNIONFS};

	return names[driver];
}

enum mlimg_union mlimg_union_choose(const struct mlimg_initrd *initrd, const char **ret_why)
{
	if (mlimg_initrd_knows(initrd, MLIMG_UNION_INDEX)) {
		*ret_why = "the initramfs knows it";
		return MLIMG_UNION_OF_INDEX;
	}
	if (mlimg_initrd_knows(initrd, MLIMG_UNION_UNIONFS) &&
		!mlimg_initrd_knows(initrd, MLIMG_UNION_OVERLAY)) {
		*ret_why =
			"the initramfs knows no other: its kernel has neither EROFS nor overlayfs";
		return MLIMG_UNION_OF_UNIONFS;
	}
	*ret_why = initrd->unions[0]
		? "the initramfs knows no index: its kernel has no EROFS that could mount it"
		: "the initramfs does not say that it knows the index";
	return MLIMG_UNION_OF_OVERLAY;
}

/* All layers, open. */
struct opened {
	struct mlimg_index_disk disks[MLIMG_STACK_LAYERS_MAX];
	size_t n;
};

static void opened_done(struct opened *opened)
{
	for (size_t i = 0; i < opened->n; i++) {
		close(opened->disks[i].fd);
		free((char *)opened->disks[i].name);
	}
}

/* @return a file descriptor or -errno; *@ret_name: free() it */
static int open_image(const char *path, char **ret_name, struct mlimg_err *err)
{
	mlimg_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return mlimg_err_set(err, errno, "open image '%s'", path);
	if (asprintf(ret_name, "'%s'", path) < 0)
		return mlimg_err_set(err, ENOMEM, "open image '%s'", path);
	return mlimg_steal_fd(&fd);
}

static int open_layers(
	const struct mlimg_vm_layers *layers, struct opened *opened, struct mlimg_err *err)
{
	for (size_t i = 0; i < layers->n; i++) {
		char *name;
		int fd = open_image(layers->paths[i], &name, err);

		if (fd < 0)
			return fd;
		opened->disks[opened->n++] = (struct mlimg_index_disk){.fd = fd, .name = name};
	}
	return 0;
}

static int check(const char *path, const struct mlimg_vm_layers *layers,
	const struct opened *opened, struct mlimg_index *ret_index, struct mlimg_err *err)
{
	mlimg_autofree char *name = NULL;
	mlimg_autoclose int fd = open_image(path, &name, err);
	struct mlimg_index index;
	int r;

	if (fd < 0)
		return fd;
	r = mlimg_index_read(fd, name, &index, err);
	if (r == 0)
		r = mlimg_index_check(&index, name, opened->disks, opened->n, err);
	if (r < 0)
		return r;
	if (!mlimg_index_is_of(&index, layers->stack_id))
		return mlimg_err_refuse(err, "%s: the index's UUID is not that of its stack", name);
	*ret_index = index;
	return 0;
}

int mlimg_vm_index_check(const char *index, const struct mlimg_vm_layers *layers,
	struct mlimg_index *ret, struct mlimg_err *err)
{
	mlimg_cleanup(opened_done) struct opened opened = {.n = 0};
	struct mlimg_index found;
	int r = open_layers(layers, &opened, err);

	if (r == 0)
		r = check(index, layers, &opened, &found, err);
	if (r == 0 && ret)
		*ret = found;
	return r;
}

static int default_dir(char **ret_dir, struct mlimg_err *err)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int n;

	if (geteuid() == 0)
		n = asprintf(ret_dir, "/var/cache/mlimg");
	else if (xdg && *xdg == '/')
		n = asprintf(ret_dir, "%s/mlimg", xdg);
	else if (home && *home == '/')
		n = asprintf(ret_dir, "%s/.cache/mlimg", home);
	else
		return mlimg_err_set(err, 0, "no directory for indexes: HOME is not set");
	return n < 0 ? mlimg_err_set(err, ENOMEM, "directory for indexes") : 0;
}

/* What tells apart images of one layer, of all of them; and what other programs make of them. */
static int digest_places(const struct mlimg_vm_layers *layers, char ret_hex[MLIMG_SHA256_HEX_SIZE],
	struct mlimg_err *err)
{
	mlimg_cleanup(opened_done) struct opened opened = {.n = 0};
	uint8_t digest[MLIMG_SHA256_SIZE];
	const uint32_t revision = htole32(MLIMG_INDEX_REVISION);
	struct mlimg_sha256 sha;
	int r = open_layers(layers, &opened, err);

	mlimg_sha256_init(&sha);
	mlimg_sha256_add(&sha, &revision, sizeof(revision));
	for (size_t i = 0; i < opened.n && r == 0; i++) {
		struct mlimg_disk disk;
		uint64_t size;

		mlimg_disk_probe(opened.disks[i].fd, &disk);
		size = htole64(disk.sb.size_bytes);
		mlimg_sha256_add(&sha, &size, sizeof(size));
		mlimg_sha256_add(&sha, disk.sb.hash_seed, sizeof(disk.sb.hash_seed));
		size = htole64(disk.size_bytes);
		if (layers->is_joined)
			mlimg_sha256_add(&sha, &size, sizeof(size));
	}
	if (layers->has_tree)
		mlimg_sha256_add(&sha, "verity", 6);
	mlimg_sha256_end(&sha, digest);
	mlimg_sha256_hex(digest, ret_hex);
	return r;
}

int mlimg_vm_index_path(const char *dir, const struct mlimg_vm_layers *layers, char **ret_path,
	struct mlimg_err *err)
{
	char places[MLIMG_SHA256_HEX_SIZE];
	mlimg_autofree char *own = NULL;
	int r = dir ? 0 : default_dir(&own, err);

	if (r == 0)
		r = digest_places(layers, places, err);
	if (r == 0 &&
		asprintf(ret_path, "%s/%.*s-%.*s.erofs", dir ? dir : own, MLIMG_SHORT_ID,
			layers->stack_id, MLIMG_SHORT_ID, places) < 0)
		r = mlimg_err_set(err, ENOMEM, "path of an index");
	return r;
}

/* The directory above, as ~/.cache, may be missing as well. */
static int make_dir_of(const char *path, struct mlimg_err *err)
{
	mlimg_autofree char *dir = strdup(path), *above = NULL;
	char *slash;

	if (!dir)
		return mlimg_err_set(err, ENOMEM, "'%s'", path);
	*strrchr(dir, '/') = '\0';
	above = strdup(dir);
	slash = above ? strrchr(above, '/') : NULL;
	if (slash && slash > above) {
		*slash = '\0';
		if (mkdir(above, 0700) < 0 && errno != EEXIST)
			return mlimg_err_set(err, errno, "create '%s'", above);
	}
	return mlimg_runtime_make_dir(dir, err);
}

/* Whether a file has a name that mlimg_vm_index_path() gives. */
static bool is_kept_index(const char *name)
{
	static const char hex[] = "0123456789abcdef";

	return strspn(name, hex) == MLIMG_SHORT_ID && name[MLIMG_SHORT_ID] == '-' &&
		strspn(name + MLIMG_SHORT_ID + 1, hex) == MLIMG_SHORT_ID &&
		strcmp(name + 2 * MLIMG_SHORT_ID + 1, ".erofs") == 0;
}

/*
 * @return a descriptor of the directory, locked; or -1: what is done under it can be done without
 */
static int lock_dir_of(const char *path, int how)
{
	mlimg_autofree char *dir = strdup(path);
	mlimg_autoclose int fd = -1;

	if (!dir)
		return -1;
	*strrchr(dir, '/') = '\0';
	fd = open(*dir ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 && flock(fd, how) == 0 ? mlimg_steal_fd(&fd) : -1;
}

/* The time of its last use is its access time. Set with the directory locked: whoever removes old ones has either removed it
 * already, or sees that it is in use. */
static void mark_used(const char *path)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
	mlimg_autoclose int dir = lock_dir_of(path, LOCK_SH);

	/* One that cannot be marked may be compiled again some day. */
	if (dir >= 0)
		utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

/* Remove what nobody has used for long. */
static void remove_old(const char *path)
{
	mlimg_autoclose int fd = lock_dir_of(path, LOCK_EX);
	mlimg_autoclosedir DIR *dir = fd < 0 ? NULL : mlimg_dir_open(fd, ".");
	const time_t oldest = time(NULL) - (time_t)MLIMG_INDEX_KEPT_DAYS * 24 * 60 * 60;
	const struct dirent *entry;
	struct stat st;

	while (dir && (entry = readdir(dir)))
		if (is_kept_index(entry->d_name) &&
			fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			S_ISREG(st.st_mode) && st.st_atime < oldest)
			unlinkat(fd, entry->d_name, 0);
}

int mlimg_vm_index_keep(const char *path, const struct mlimg_vm_layers *layers,
	struct mlimg_index *ret, struct mlimg_err *err)
{
	const struct mlimg_index_options how = {
		.is_joined = layers->is_joined, .replace = true, .has_tree = layers->has_tree};
	struct mlimg_verity_root root;
	int r = make_dir_of(path, err);

	if (r < 0)
		return r;
	mark_used(path);
	if (mlimg_vm_index_check(path, layers, ret, NULL) == 0 &&
		ret->is_joined == layers->is_joined &&
		(!layers->has_tree || mlimg_vm_verity_index(path, &root, NULL) == 0))
		return 0;
	r = mlimg_index_compile(layers->paths, layers->n, path, &how, NULL, err);
	if (r == 0)
		remove_old(path);
	return r < 0 ? r : mlimg_vm_index_check(path, layers, ret, err);
}
