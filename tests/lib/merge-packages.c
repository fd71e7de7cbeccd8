/* SPDX-License-Identifier: MIT */
/*
 * usage: merge-packages BASE NEXT MINE OUT Three trees of packages, and a copy of NEXT that becomes
 * what a user of MINE sees on NEXT: what packages.h says of packages' files, and else the simplest
 * there is (what the user changed is his where next left it as it was). MINE is a tree of hard
 * links to BASE in which dpkg has worked: what is another inode there is what an upper would hold.
 * Prints the notes, then "NAME VERDICT" of each package that is not plain.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/packages.h"
#include "libmlimg/walk.h"

#define SIZE_MAX_HERE (16 << 20)

static const char *dirs[3], *out;
static char **upper; /* paths */
static size_t n_upper, upper_room;
static struct mlimg_err err = MLIMG_ERR_INIT;

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "merge-packages: %s: %s\n", what, err.text[0] ? err.text : strerror(errno));
	exit(1);
}

static char *join(const char *dir, const char *path)
{
	char *joined;

	if (asprintf(&joined, "%s/%s", dir, path) < 0)
		die("asprintf");
	return joined;
}

static char *read_path(const char *dir, const char *path, size_t *ret_size)
{
	mlimg_autofree char *name = join(dir, path);
	char *text;

	if (access(name, F_OK) < 0)
		return NULL;
	if (mlimg_read_file(AT_FDCWD, name, SIZE_MAX_HERE, &text, ret_size, &err) < 0)
		die(name);
	return text;
}

static int read_text(void *ctx, enum mlimg_merge_side side, const char *path, char **ret_text,
	size_t *ret_size, struct mlimg_err *unused)
{
	*ret_text = read_path(dirs[side], path, ret_size);
	return *ret_text ? 0 : -ENOENT;
}

/* ---- the upper ---- */

static bool stat_in(const char *dir, const char *path, struct stat *st)
{
	mlimg_autofree char *name = join(dir, path);

	return lstat(name, st) == 0;
}

static void add_upper(const char *path)
{
	if (mlimg_buffer_reserve(&upper, &upper_room, (n_upper + 1) * sizeof(*upper)) < 0 ||
		!(upper[n_upper++] = strdup(path)))
		die("memory");
}

static struct mlimg_manifest *walk(const char *dir)
{
	mlimg_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct mlimg_manifest *m;

	if (fd < 0 || mlimg_walk_manifest(fd, 0, false, &m, &err) < 0)
		die(dir);
	return m;
}

static void list_upper(void)
{
	struct mlimg_manifest *base = walk(dirs[MLIMG_SIDE_BASE]),
			      *mine = walk(dirs[MLIMG_SIDE_MINE]);
	struct stat a, b;

	for (size_t i = 0; i < mine->n_entries; i++) {
		const struct mlimg_entry *e = &mine->entries[i];

		if (e->type != MLIMG_DIR && stat_in(dirs[MLIMG_SIDE_MINE], e->path, &a) &&
			(!stat_in(dirs[MLIMG_SIDE_BASE], e->path, &b) || a.st_ino != b.st_ino))
			add_upper(e->path);
	}
	for (size_t i = 0; i < base->n_entries; i++)
		if (base->entries[i].type != MLIMG_DIR &&
			!mlimg_manifest_find(mine, base->entries[i].path))
			add_upper(base->entries[i].path);
	mlimg_manifest_free(base);
	mlimg_manifest_free(mine);
}

static bool is_in_upper(const char *path)
{
	for (size_t i = 0; i < n_upper; i++)
		if (strcmp(upper[i], path) == 0)
			return true;
	return false;
}

/* ---- what comes out ---- */

static void put(const char *path, const char *text, size_t size)
{
	mlimg_autofree char *name = join(out, path);

	if (unlink(name) < 0 && errno != ENOENT && errno != ENOTDIR)
		die(name);
	if (!text)
		return;
	for (char *slash = name + strlen(out) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(name, 0755) < 0 && errno != EEXIST)
			die(name);
		*slash = '/';
	}
	if (mlimg_replace_file(AT_FDCWD, name, text, size, 0644, &err) < 0)
		die(name);
}

static void put_mine(const char *path)
{
	size_t size = 0;
	mlimg_autofree char *text = read_path(dirs[MLIMG_SIDE_MINE], path, &size);

	put(path, text, size);
}

static bool is_as_base(const char *path)
{
	size_t sizes[2] = {0};
	mlimg_autofree char *base = read_path(dirs[MLIMG_SIDE_BASE], path, &sizes[0]);
	mlimg_autofree char *next = read_path(dirs[MLIMG_SIDE_NEXT], path, &sizes[1]);

	if (!base || !next)
		return base == next;
	return sizes[0] == sizes[1] && memcmp(base, next, sizes[0]) == 0;
}

static void put_all(const struct mlimg_packages_merged *merged)
{
	for (size_t i = 0; i < n_upper; i++) {
		enum mlimg_package_verdict verdict = mlimg_packages_verdict_of(merged, upper[i]);

		if (!mlimg_packages_is_database(upper[i]) && verdict != MLIMG_FILES_NEXT &&
			((verdict != MLIMG_FILES_PLAIN && verdict != MLIMG_FILES_NEW) ||
				is_as_base(upper[i])))
			put_mine(upper[i]);
	}
	for (size_t i = 0; i < merged->n_hidden; i++)
		if (!is_in_upper(merged->hidden[i]))
			put(merged->hidden[i], NULL, 0);
	for (size_t i = 0; i < merged->n_files; i++)
		put(merged->files[i].path, merged->files[i].text.text, merged->files[i].text.size);
}

static void tell(const struct mlimg_packages_merged *merged, const struct mlimg_notes *notes)
{
	for (size_t i = 0; i < notes->n; i++)
		printf("%s %s: %s\n", mlimg_note_kind_name(notes->notes[i].kind),
			notes->notes[i].name, notes->notes[i].text);
	for (size_t i = 0; i < merged->n_packages; i++)
		printf("%s %s\n", merged->packages[i].name,
			mlimg_package_verdict_name(merged->packages[i].verdict));
}

int main(int argc, char **argv)
{
	struct mlimg_packages_merged merged;
	struct mlimg_packages_input input = {.read = read_text};
	struct mlimg_notes notes = {.n = 0};
	mlimg_autofree const char **paths = NULL;

	if (argc != 5) {
		fputs("usage: merge-packages BASE NEXT MINE OUT\n", stderr);
		return 2;
	}
	for (int side = 0; side < MLIMG_N_MERGE_SIDES; side++)
		dirs[side] = argv[1 + side];
	out = argv[4];
	list_upper();
	paths = calloc(n_upper + 1, sizeof(*paths));
	if (!paths)
		die("memory");
	for (size_t i = 0; i < n_upper; i++)
		if (mlimg_packages_is_database(upper[i]))
			paths[input.n_paths++] = upper[i];
	input.paths = paths;

	struct mlimg_manifest *next = walk(dirs[MLIMG_SIDE_NEXT]);

	input.next = next;
	if (mlimg_packages_merge(&input, &merged, &notes, &err) < 0)
		die("merge");
	put_all(&merged);
	tell(&merged, &notes);
	mlimg_manifest_free(next);
	mlimg_packages_merged_done(&merged);
	mlimg_notes_done(&notes);
	for (size_t i = 0; i < n_upper; i++)
		free(upper[i]);
	free(upper);
	return 0;
}
