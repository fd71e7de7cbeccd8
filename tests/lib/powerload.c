/* SPDX-License-Identifier: MIT */
/*
 * usage: powerload make TREE            put into a system's tree what the load begins with
 *        powerload run ROOT STEPS [DISK]
 *                                       check what was promised, then go on until STEPS steps were done in all
 *        powerload check ROOT DISK      only check
 *
 * DISK is the user layer's disk or its image; without it that of /run/mlimg/user.
 *
 * A load for power cuts: steps (power-model.h) that end with fsync(2), each followed by a promise
 * that it is durable. A promise is two things: the last 512 bytes of the user layer's disk, which
 * are no part of a file system of 4096-byte blocks when the disk's size is no multiple of them, and
 * a line on the virtio-serial port org.mlimg.promise.0, or on stdout where that is missing. The
 * sector is written past the page cache and without a flush: in a log of the disk's writes it
 * stands behind the flush that it speaks of. "run" says on the port
 *
 *     checked N      N steps were promised, and all that they did is there
 *     promise N      step N is durable
 *     done N
 *     broken WHAT    something is not as it must be; the end
 *
 * Runs in guests that have no libraries.
 */
#include "power-steps.h"

#include <dirent.h>
#include <linux/magic.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SECTOR 512
#define DIR_FILES 2 /* of which the second one is replaced */

/* ---- checking ---- */

/* @prefix: of what is appended any part may be there. */
static bool file_holds(const char *path, size_t object, unsigned file, const uint32_t *parts,
	size_t n_parts, bool is_prefix_well)
{
	int fd = openat(root, path, O_RDONLY | O_CLOEXEC);
	size_t size, before = 0, n = 0;
	char *data = content(object, file, parts, n_parts, &size), *found;
	bool is_same;
	ssize_t r = 0;

	if (is_prefix_well)
		before = size - part_size(object, parts[n_parts - 1], file, OBJECT_FILE);
	must(fd >= 0 || errno == ENOENT, "open", path);
	found = malloc(size + 1);
	must(found != NULL, "memory for", path);
	while (fd >= 0 && n <= size && (r = read(fd, found + n, size + 1 - n)) > 0)
		n += (size_t)r;
	must(r >= 0, "read", path);
	is_same = fd >= 0 && (is_prefix_well ? n >= before && n <= size : n == size) &&
		memcmp(data, found, n) == 0;
	if (fd >= 0)
		close(fd);
	free(data);
	free(found);
	return is_same;
}

static bool page_holds(size_t object, const struct object *o)
{
	int fd = openat(root, PAGES_PATH, O_RDONLY | O_CLOEXEC);
	char wanted[PAGE_BYTES], found[PAGE_BYTES] = {0};
	ssize_t n = fd < 0 ? -1 : pread(fd, found, PAGE_BYTES, (off_t)o->number * PAGE_BYTES);

	must(n >= 0, "read", PAGES_PATH);
	close(fd);
	part_fill(object, o->parts[0], 0, wanted, PAGE_BYTES);
	return memcmp(wanted, found, PAGE_BYTES) == 0;
}

static bool dir_holds(size_t object, const struct object *o)
{
	const uint32_t first = 0;
	char at[PATH_BYTES], other[PATH_BYTES], file[PATH_BYTES + 16];

	object_dir_path(o, o->is_moved, at);
	object_dir_path(o, !o->is_moved, other);
	if (is_there(other))
		return false;
	with_suffix(file, at, "/0");
	if (!file_holds(file, object, 0, &first, 1, false))
		return false;
	with_suffix(file, at, "/1");
	return file_holds(file, object, 1, o->parts, o->n_parts, false);
}

static bool tree_holds(size_t object, const struct object *o)
{
	char file[PATH_BYTES + 16];

	for (unsigned i = 0; i < TREE_FILES; i++) {
		snprintf(file, sizeof(file), "%s/%u", o->path, i);
		if (!file_holds(file, object, i, o->parts, o->n_parts, false))
			return false;
	}
	return true;
}

/* @return whether the object is as @o says */
static bool holds(size_t object, const struct object *o, bool is_prefix_well)
{
	if (!o->is_there)
		return !is_there(o->path);
	switch (o->kind) {
	case OBJECT_FILE:
		return file_holds(o->path, object, 0, o->parts, o->n_parts, is_prefix_well);
	case OBJECT_DIR: return dir_holds(object, o);
	case OBJECT_TREE: return tree_holds(object, o);
	default: return page_holds(object, o);
	}
}

/*
 * Whether a name that begins with @path's last component is one that @o has now, or may have in the
 * middle of a step.
 */
static bool is_known(const struct object *o, const char *name, bool is_under_way)
{
	static const char *const temporary[] = {".dpkg-new", ".dpkg-tmp", ".new", ".old"};
	const char *base = strrchr(o->path, '/') + 1, *rest = name + strlen(base);

	if (strncmp(name, base, strlen(base)) != 0)
		return false;
	if (is_under_way)
		for (size_t i = 0; i < sizeof(temporary) / sizeof(temporary[0]); i++)
			if (strcmp(rest, temporary[i]) == 0)
				return true;
	if (strcmp(rest, ".moved") == 0)
		return o->kind == OBJECT_DIR && (o->is_moved || is_under_way);
	return *rest == '\0' && (is_under_way || (o->is_there && !o->is_moved));
}

static bool is_expected(const char *dir, const char *name, size_t under_way)
{
	if (name[0] == '.' && (!name[1] || strcmp(name, "..") == 0))
		return true;
	if (strcmp(dir, OWN_DIR) == 0
			? strncmp(name, "noise-", 6) == 0
			: strcmp(name, "pages") == 0 || strncmp(name, "copy-", 5) == 0)
		return true;
	for (size_t i = 0; i < N_OBJECTS; i++) {
		const struct object *o = &model.objects[i];

		if (strncmp(o->path, dir, strlen(dir)) == 0 && o->kind != OBJECT_PAGE &&
			is_known(o, name, i == under_way))
			return true;
	}
	return false;
}

/* Nothing has come back, and nothing is there that nobody made. */
static void check_names(const char *path, size_t under_way)
{
	int fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	must(dir != NULL, "open", path);
	while ((errno = 0, entry = readdir(dir)))
		if (!is_expected(path, entry->d_name, under_way))
			broken("%s/%s is there", path, entry->d_name);
	must(errno == 0, "read", path);
	closedir(dir);
}

/* What the layer has in a file stays there when something is appended, synced or not. */
static void check_copies(void)
{
	char path[PATH_BYTES], wanted[COPY_BYTES], found[COPY_BYTES];

	for (unsigned i = 0; i < COPIES; i++) {
		ssize_t n;
		int fd;

		copy_path(i, path);
		copy_fill(i, wanted);
		fd = openat(root, path, O_RDONLY | O_CLOEXEC);
		must(fd >= 0, "open", path);
		n = read(fd, found, sizeof(found));
		must(n >= 0, "read", path);
		close(fd);
		if (n < COPY_BYTES)
			broken("%s has only %zd of the layer's bytes", path, n);
		if (memcmp(wanted, found, sizeof(found)) != 0)
			broken("%s has not the layer's bytes", path);
	}
}

/* @return whether the step after the last promised one was done too */
static bool check(void)
{
	struct step next = model_next(&model);
	struct model after = model;
	bool is_done = false;

	model_take(&after, next);
	for (size_t i = 0; i < N_OBJECTS; i++) {
		const struct object *o = &model.objects[i];

		if (i == next.object && holds(i, &after.objects[i], false)) {
			is_done = true;
			continue;
		}
		if (!holds(i, o, false) &&
			!(i == next.object && next.op == STEP_APPEND &&
				holds(i, &after.objects[i], true)))
			broken("%s %u is not as it was promised, last written by step %u", o->path,
				o->number, o->n_parts ? o->parts[o->n_parts - 1] : 0);
	}
	check_copies();
	check_names(OWN_DIR, next.object);
	check_names(LOWER_DIR, next.object);
	return is_done;
}

/* ---- promises ---- */

/* The sector of promises: the last one of a disk, or of its image. */
static int open_disk(const char *path, int flags, off_t *ret_at)
{
	struct stat st;
	int fd = open(path, flags | O_CLOEXEC);

	must(fd >= 0 && fstat(fd, &st) == 0, "open", path);
	*ret_at = lseek(fd, 0, SEEK_END) - SECTOR;
	must(*ret_at > 0, "seek in", path);
	return fd;
}

/* The disk of the file system that the root's changes go to. */
static int open_user_disk(off_t *ret_at)
{
	char path[64], line[128], dev[160] = "";
	struct stat st;
	FILE *f;

	must(stat("/run/mlimg/user", &st) == 0, "look at", "/run/mlimg/user");
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/uevent", major(st.st_dev),
		minor(st.st_dev));
	f = fopen(path, "re");
	must(f != NULL, "open", path);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "DEVNAME=%100s", line) == 1)
			snprintf(dev, sizeof(dev), "/dev/%s", line);
	fclose(f);
	return open_disk(dev, O_RDWR | O_DIRECT, ret_at);
}

static char *sector(void)
{
	static char room[2 * 4096];

	/* O_DIRECT wants it aligned. */
	return (char *)(((uintptr_t)room + 4095) & ~(uintptr_t)4095);
}

static uint32_t read_promise(int fd, off_t at)
{
	unsigned n = 0;

	must(pread(fd, sector(), SECTOR, at) == SECTOR, "read", "the promise");
	sector()[SECTOR - 1] = '\0';
	if (sector()[0] && sscanf(sector(), "mlimg-power %u\n", &n) != 1)
		broken("no promise in the last sector");
	return n;
}

static void promise(int fd, off_t at)
{
	memset(sector(), 0, SECTOR);
	sprintf(sector(), "mlimg-power %u\n", model.n_steps);
	must(pwrite(fd, sector(), SECTOR, at) == SECTOR, "write", "the promise");
	fprintf(port, "promise %u\n", model.n_steps);
	fflush(port);
}

static void open_port(void)
{
	char path[320], name[64];
	DIR *dir = opendir("/sys/class/virtio-ports");
	const struct dirent *entry;

	port = stdout;
	while (dir && (entry = readdir(dir))) {
		FILE *f;

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
		f = fopen(path, "re");
		if (f && fgets(name, sizeof(name), f) &&
			strcmp(name, "org.mlimg.promise.0\n") == 0) {
			snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
			port = fopen(path, "we");
		}
		if (f)
			fclose(f);
	}
	if (dir)
		closedir(dir);
	if (!port)
		exit(1);
}

/* ---- commands ---- */

static void open_root(const char *path)
{
	struct statfs fs;

	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(root >= 0 && fstatfs(root, &fs) == 0, "open", path);
	model.is_unionfs = fs.f_type == FUSE_SUPER_MAGIC;
}

static void make_dir(const char *path)
{
	must(mkdirat(root, path, 0755) == 0 || errno == EEXIST, "mkdir", path);
}

static void make(void)
{
	char path[PATH_BYTES + 16], pages[PAGES * PAGE_BYTES], copy[COPY_BYTES];

	make_dir("srv");
	make_dir(OWN_DIR);
	make_dir("usr");
	make_dir("usr/share");
	make_dir(LOWER_DIR);
	for (size_t i = 0; i < N_OBJECTS; i++) {
		const struct object *o = &model.objects[i];

		if (o->kind == OBJECT_PAGE)
			part_fill(i, 0, 0, pages + (size_t)o->number * PAGE_BYTES, PAGE_BYTES);
		if (o->kind == OBJECT_FILE && o->is_there)
			put_part(o->path, i, 0, 0);
		if (o->kind != OBJECT_DIR)
			continue;
		make_dir(o->path);
		for (unsigned file = 0; file < DIR_FILES; file++) {
			snprintf(path, sizeof(path), "%s/%u", o->path, file);
			put_part(path, i, file, 0);
		}
	}
	put(PAGES_PATH, pages, sizeof(pages));
	for (unsigned i = 0; i < COPIES; i++) {
		copy_path(i, path);
		copy_fill(i, copy);
		put(path, copy, sizeof(copy));
	}
}

/* What a step left that was cut off: as before it, or with nothing temporary. */
static void undo(struct step step, bool is_done)
{
	const struct object *o = &model.objects[step.object];
	char path[PATH_BYTES + 32], at[PATH_BYTES];
	size_t size;

	object_dir_path(o, o->is_moved, at);
	for (int i = 0; i < 2; i++) {
		with_suffix(path, o->kind == OBJECT_DIR ? at : o->path,
			o->kind == OBJECT_DIR ? "/1" : "");
		strcat(path, i ? ".dpkg-new" : ".dpkg-tmp");
		unlinkat(root, path, 0);
		with_suffix(path, o->path, i ? ".new" : ".old");
		remove_all(path);
	}
	if (step.op == STEP_APPEND && !is_done) {
		int fd = openat(root, o->path, O_WRONLY | O_CLOEXEC);

		free(content(step.object, 0, o->parts, o->n_parts, &size));
		must(fd >= 0 && ftruncate(fd, (off_t)size) == 0, "truncate", o->path);
		close(fd);
	}
	sync();
}

static void run(int disk, off_t at, uint32_t n_steps)
{
	bool is_done = check();

	fprintf(port, "checked %u\n", model.n_steps);
	fflush(port);
	undo(model_next(&model), is_done);
	while (model.n_steps < n_steps) {
		struct step step = model_next(&model);

		make_noise(step.n);
		if (!is_done)
			step_do(step);
		is_done = false;
		model_take(&model, step);
		promise(disk, at);
	}
	fprintf(port, "done %u\n", model.n_steps);
	fflush(port);
}

static void recall(int disk, off_t at)
{
	uint32_t n = read_promise(disk, at);

	while (model.n_steps < n)
		model_take(&model, model_next(&model));
}

int main(int argc, char **argv)
{
	off_t at;
	int disk;

	port = stdout;
	model_init(&model);
	if (argc == 3 && strcmp(argv[1], "make") == 0) {
		open_root(argv[2]);
		make();
	} else if ((argc == 4 || argc == 5) && strcmp(argv[1], "run") == 0) {
		open_port();
		open_root(argv[2]);
		disk = argc == 5 ? open_disk(argv[4], O_RDWR, &at) : open_user_disk(&at);
		recall(disk, at);
		run(disk, at, (uint32_t)strtoul(argv[3], NULL, 10));
	} else if (argc == 4 && strcmp(argv[1], "check") == 0) {
		open_root(argv[2]);
		disk = open_disk(argv[3], O_RDONLY, &at);
		recall(disk, at);
		check();
		printf("checked %u\n", model.n_steps);
	} else {
		fputs("usage: powerload make TREE | run ROOT STEPS [DISK] | check ROOT DISK\n",
			stderr);
		return 2;
	}
	return 0;
}
