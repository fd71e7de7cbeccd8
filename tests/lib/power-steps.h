/* SPDX-License-Identifier: MIT */
/**
 * @file power-steps.h
 * The steps of powerload (power-model.h) as a file system sees them. Beneath @p root; what fails
 * ends the program.
 */
#ifndef POWER_STEPS_H
#define POWER_STEPS_H

#include "power-model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOISE_FILES 8
#define NOISE_BYTES 20000
#define APPENDED_BYTES 100

static int root = -1;
static FILE *port;
static struct model model;

__attribute__((format(printf, 1, 2), noreturn)) static void broken(const char *format, ...)
{
	char what[512];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	fprintf(port, "broken %s, after %u steps\n", what, model.n_steps);
	fflush(port);
	fprintf(stderr, "powerload: %s, after %u steps\n", what, model.n_steps);
	exit(1);
}

static void must(bool is_well, const char *what, const char *path)
{
	if (!is_well)
		broken("%s %s: %s", what, path, strerror(errno));
}

/* ---- files ---- */

static void write_all(int fd, const void *data, size_t size, const char *path)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, (const char *)data + done, size - done);

		must(n > 0, "write", path);
		done += (size_t)n;
	}
}

static void close_synced(int fd, const char *path)
{
	must(fsync(fd) == 0, "fsync", path);
	must(close(fd) == 0, "close", path);
}

static void put(const char *path, const void *data, size_t size)
{
	int fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	must(fd >= 0, "create", path);
	write_all(fd, data, size, path);
	close_synced(fd, path);
}

/* unionfs-fuse says that it has synced a directory, and has not: what syncs all does. */
static void sync_dir(const char *path)
{
	int fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	must(fd >= 0, "open", path);
	close_synced(fd, path);
	if (model.is_unionfs)
		sync();
}

static void sync_parent(const char *path)
{
	char dir[PATH_BYTES + 16];

	snprintf(dir, sizeof(dir), "%s", path);
	*strrchr(dir, '/') = '\0';
	sync_dir(dir);
}

static void move(const char *from, const char *to)
{
	must(renameat(root, from, root, to) == 0, "rename", from);
}

static bool is_there(const char *path)
{
	struct stat st;

	if (fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return true;
	must(errno == ENOENT, "look at", path);
	return false;
}

static void with_suffix(char ret_path[PATH_BYTES + 16], const char *path, const char *suffix)
{
	snprintf(ret_path, PATH_BYTES + 16, "%s%s", path, suffix);
}

/* The content of one file of an object; free() it. */
static char *content(
	size_t object, unsigned file, const uint32_t *parts, size_t n, size_t *ret_size)
{
	char *data = object_content(&model, object, file, parts, n, ret_size);

	must(data != NULL, "memory for", model.objects[object].path);
	return data;
}

static void put_part(const char *path, size_t object, unsigned file, uint32_t part)
{
	size_t size;
	char *data = content(object, file, &part, 1, &size);

	put(path, data, size);
	free(data);
}

/* ---- steps ---- */

/*
 * The order of dpkg: the new file beside the old one and durable, the old one under another name,
 * one for the other.
 */
static void replace(const char *path, size_t object, unsigned file, uint32_t part)
{
	char fresh[PATH_BYTES + 16], old[PATH_BYTES + 16];

	with_suffix(fresh, path, ".dpkg-new");
	with_suffix(old, path, ".dpkg-tmp");
	put_part(fresh, object, file, part);
	if (is_there(path))
		must(linkat(root, path, root, old, 0) == 0, "link", path);
	move(fresh, path);
	unlinkat(root, old, 0);
	sync_parent(path);
}

static void append(const char *path, size_t object, uint32_t part)
{
	int fd = openat(root, path, O_WRONLY | O_APPEND | O_CLOEXEC);
	size_t size;
	char *data = content(object, 0, &part, 1, &size);

	must(fd >= 0, "open", path);
	write_all(fd, data, size, path);
	close_synced(fd, path);
	free(data);
}

static void make_tree(const char *path, size_t object, uint32_t part)
{
	char fresh[PATH_BYTES + 16], file[PATH_BYTES + 32];

	with_suffix(fresh, path, ".new");
	must(mkdirat(root, fresh, 0755) == 0, "mkdir", fresh);
	for (unsigned i = 0; i < TREE_FILES; i++) {
		snprintf(file, sizeof(file), "%s/%u", fresh, i);
		put_part(file, object, i, part);
	}
	sync_dir(fresh);
	move(fresh, path);
	sync_parent(path);
}

static void remove_all(const char *path)
{
	char file[PATH_BYTES + 32];

	for (unsigned i = 0; i < TREE_FILES; i++) {
		snprintf(file, sizeof(file), "%s/%u", path, i);
		unlinkat(root, file, 0);
	}
	must(unlinkat(root, path, AT_REMOVEDIR) == 0 || errno == ENOENT, "rmdir", path);
}

static void remove_tree(const char *path)
{
	char old[PATH_BYTES + 16];

	with_suffix(old, path, ".old");
	move(path, old);
	sync_parent(path);
	remove_all(old);
	sync_parent(path);
}

static void overwrite(size_t object, uint32_t part)
{
	int fd = openat(root, PAGES_PATH, O_WRONLY | O_CLOEXEC);
	off_t at = (off_t)model.objects[object].number * PAGE_BYTES;
	char page[PAGE_BYTES];

	part_fill(object, part, 0, page, sizeof(page));
	must(fd >= 0, "open", PAGES_PATH);
	must(pwrite(fd, page, sizeof(page), at) == PAGE_BYTES, "write", PAGES_PATH);
	must(fdatasync(fd) == 0, "fdatasync", PAGES_PATH);
	close(fd);
}

static void step_dir(const struct object *o, struct step step)
{
	char at[PATH_BYTES], to[PATH_BYTES], file[PATH_BYTES + 16];

	object_dir_path(o, o->is_moved, at);
	object_dir_path(o, !o->is_moved, to);
	if (step.op == STEP_MOVE) {
		move(at, to);
		sync_parent(to);
	} else {
		with_suffix(file, at, "/1");
		replace(file, step.object, 1, step.n);
	}
}

static inline void step_do(struct step step)
{
	const struct object *o = &model.objects[step.object];

	switch (o->kind) {
	case OBJECT_FILE:
		if (step.op == STEP_REPLACE) {
			replace(o->path, step.object, 0, step.n);
		} else if (step.op == STEP_APPEND) {
			append(o->path, step.object, step.n);
		} else {
			must(unlinkat(root, o->path, 0) == 0, "unlink", o->path);
			sync_parent(o->path);
		}
		return;
	case OBJECT_DIR: step_dir(o, step); return;
	case OBJECT_TREE:
		if (step.op == STEP_REPLACE)
			make_tree(o->path, step.object, step.n);
		else
			remove_tree(o->path);
		return;
	default: overwrite(step.object, step.n);
	}
}

/* What nobody waits for, so that a power cut has something to lose. */
static inline void make_noise(uint32_t n)
{
	char path[PATH_BYTES], data[NOISE_BYTES];
	int fd;

	snprintf(path, sizeof(path), OWN_DIR "/noise-%u", n % NOISE_FILES);
	part_fill(N_OBJECTS, n, 0, data, sizeof(data));
	fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	must(fd >= 0, "create", path);
	write_all(fd, data, 1 + mix(n) % sizeof(data), path);
	close(fd);
	if (n % 2)
		return;
	copy_path(n / 2 % COPIES, path);
	fd = openat(root, path, O_WRONLY | O_APPEND | O_CLOEXEC);
	must(fd >= 0, "open", path);
	write_all(fd, data, APPENDED_BYTES, path);
	close(fd);
}

#endif
