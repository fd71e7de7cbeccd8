/* SPDX-License-Identifier: MIT */
#include "libmlimg/walk.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "tests/lib/tmpdir.h"

static void set_time(int dir, const char *name, time_t s, long ns)
{
	struct timespec times[2] = {{s, ns}, {s, ns}};

	ASSERT_EQ(utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void collect(void *ctx, const char *data, size_t size)
{
	FILE *f = ctx;

	ASSERT_EQ(fwrite(data, 1, size, f), size);
}

static char *text_of(const struct mlimg_manifest *m)
{
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	mlimg_manifest_put(m, collect, f);
	fclose(f);
	return text;
}

/* A visitor that writes down the paths, one a line. */
static int list(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	FILE *f = ctx;

	(void)at, (void)err;
	fprintf(f, "%s\n", entry->path);
	return strcmp(entry->path, "skipped") == 0;
}

static char *list_of(int dir, unsigned flags)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	ASSERT_OK(mlimg_walk(dir, flags, list, f, &err), err);
	fclose(f);
	return text;
}

TEST(order_is_the_manifests)
{
	mlimg_autoclose int dir = open_tmpdir();
	mlimg_autofree char *paths = NULL;

	ASSERT_EQ(mkdirat(dir, "a", 0755), 0);
	put(dir, "a/z", "");
	put(dir, "a.b", "");
	put(dir, "a-", "");
	put(dir, "\377", "");
	put(dir, "B", "");
	ASSERT_EQ(mkdirat(dir, "skipped", 0755), 0);
	put(dir, "skipped/x", "");
	paths = list_of(dir, 0);
	ASSERT_STR(paths, "\nB\na\na/z\na-\na.b\nskipped\n\377\n");
}

TEST(all_attributes)
{
	mlimg_autoclose int dir = open_tmpdir();
	mlimg_autofree char *text = NULL;
	struct mlimg_manifest *m;
	struct mlimg_err err = MLIMG_ERR_INIT;
	char expected[1000];

	umask(0);
	put(dir, "file", "abc");
	ASSERT_EQ(fchmodat(dir, "file", 04751, 0), 0);
	set_time(dir, "file", -5, 500000000);
	ASSERT_EQ(symlinkat("to nowhere", dir, "link"), 0);
	set_time(dir, "link", 7, 1);
	ASSERT_EQ(mkfifoat(dir, "pipe", 0640), 0);
	set_time(dir, "pipe", 8, 0);
	ASSERT_EQ(linkat(dir, "file", dir, "name", 0), 0);
	set_time(dir, ".", 9, 0);
	ASSERT_EQ(fchmod(dir, 01777), 0);
	ASSERT_OK(mlimg_walk_manifest(dir, MLIMG_WALK_NO_XATTRS, true, &m, &err), err);
	text = text_of(m);
#define OWNER "uid=%1$u gid=%2$u"
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	snprintf(expected, sizeof(expected),
		"#mtree\n"
		". type=dir mode=1777 " OWNER " time=9.000000000\n"
		"./file type=file mode=4751 " OWNER " size=3 time=-5.500000000 sha256digest=" ABC
		" tags=links:1:2\n"
		"./link type=link mode=0777 " OWNER " time=7.000000001 link=to\\040nowhere\n"
		"./name type=file mode=4751 " OWNER " size=3 time=-5.500000000 sha256digest=" ABC
		" tags=links:1:2\n"
		"./pipe type=fifo mode=0640 " OWNER " time=8.000000000\n",
		getuid(), getgid());
	ASSERT_STR(text, expected);
	mlimg_manifest_free(m);
}

/* A visitor that writes down what it can read, and a xattr. */
static int read_open(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	FILE *f = ctx;
	char text[10] = "not open";

	if (at->fd >= 0)
		text[read(at->fd, text, sizeof(text) - 1)] = '\0';
	fprintf(f, "%s: %s %s\n", entry->path, text,
		entry->n_xattrs ? (char *)entry->xattrs[0].value : "");
	return 0;
}

TEST(files_are_opened_when_wanted)
{
	mlimg_autoclose int dir = open_tmpdir();
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autofree char *text = NULL;
	char path[300];
	size_t size;
	FILE *f = open_memstream(&text, &size);

	put(dir, "file", "in it");
	ASSERT_EQ(mkdirat(dir, "dir", 0755), 0);
	ASSERT_EQ(mkfifoat(dir, "pipe", 0640), 0);
	ASSERT_EQ(symlinkat("file", dir, "symlink"), 0);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", test_tmpdir(), i ? "dir" : "file");
		ASSERT_EQ(setxattr(path, "user.x", i ? "D" : "F", 2, 0), 0);
	}
	ASSERT_OK(mlimg_walk(dir, MLIMG_WALK_OPEN_FILES, read_open, f, &err), err);
	ASSERT_OK(mlimg_walk(dir, 0, read_open, f, &err), err);
	fclose(f);
	ASSERT_STR(text,
		": not open \ndir: not open D\nfile: in it F\npipe: not open \nsymlink: not open \n"
		": not open \ndir: not open D\nfile: not open F\npipe: not open \nsymlink: not "
		"open \n");
}

TEST(file_that_cannot_be_opened)
{
	mlimg_autoclose int dir = open_tmpdir();
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	put(dir, "file", "in it");
	ASSERT_EQ(fchmod(dir, 0755), 0);
	ASSERT_EQ(fchmodat(dir, "file", 0, 0), 0);
	if (getuid() == 0)
		ASSERT_EQ(seteuid(65534), 0);
	ASSERT_EQ(mlimg_walk(dir, MLIMG_WALK_OPEN_FILES, read_open, f, &err), -EACCES);
	ASSERT_OK(mlimg_walk(dir, 0, read_open, f, &err), err);
	if (getuid() == 0)
		ASSERT_EQ(seteuid(0), 0);
	fclose(f);
	free(text);
}

/* Hard links are counted within the tree, and numbered in the order of their first names. */
TEST(hard_links)
{
	mlimg_autoclose int top = open_tmpdir(), dir = -1;
	struct mlimg_manifest *m;
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_EQ(mkdirat(top, "tree", 0755), 0);
	dir = openat(top, "tree", O_RDONLY | O_DIRECTORY);
	put(dir, "z", "1");
	ASSERT_EQ(linkat(dir, "z", dir, "b", 0), 0);
	ASSERT_EQ(linkat(dir, "z", top, "outside", 0), 0);
	put(dir, "a", "2");
	ASSERT_EQ(linkat(dir, "a", top, "outside2", 0), 0);
	ASSERT_EQ(symlinkat("x", dir, "c"), 0);
	ASSERT_EQ(linkat(dir, "c", dir, "y", 0), 0);
	ASSERT_OK(mlimg_walk_manifest(dir, 0, true, &m, &err), err);
	ASSERT_EQ(mlimg_manifest_find(m, "a")->hardlink, 0);
	ASSERT_EQ(mlimg_manifest_find(m, "a")->nlink, 1);
	ASSERT_EQ(mlimg_manifest_find(m, "b")->hardlink, 1);
	ASSERT_EQ(mlimg_manifest_find(m, "z")->hardlink, 1);
	ASSERT_EQ(mlimg_manifest_find(m, "z")->nlink, 2);
	ASSERT(mlimg_manifest_find(m, "z")->has_digest);
	ASSERT_EQ(mlimg_manifest_find(m, "c")->hardlink, 2);
	ASSERT_EQ(mlimg_manifest_find(m, "y")->hardlink, 2);
	ASSERT(!mlimg_manifest_find(m, "none"));
	mlimg_manifest_free(m);
}

/* More inodes than the first table holds, so that it grows. */
TEST(many_hard_links)
{
	mlimg_autoclose int dir = open_tmpdir();
	struct mlimg_manifest *m;
	struct mlimg_err err = MLIMG_ERR_INIT;
	char a[16], b[16];

	for (int i = 0; i < 1500; i++) {
		snprintf(a, sizeof(a), "a%04d", i);
		snprintf(b, sizeof(b), "b%04d", 1499 - i);
		put(dir, a, "");
		ASSERT_EQ(linkat(dir, a, dir, b, 0), 0);
	}
	ASSERT_OK(mlimg_walk_manifest(dir, 0, false, &m, &err), err);
	ASSERT_EQ(m->n_entries, 3001);
	for (uint32_t i = 0; i < 1500; i++) {
		ASSERT_EQ(m->entries[1 + i].hardlink, i + 1);
		ASSERT_EQ(m->entries[3000 - i].hardlink, i + 1);
		ASSERT_EQ(m->entries[3000 - i].nlink, 2);
	}
	mlimg_manifest_free(m);
}

/* The file system may lack user.*, or limit their size; both can be found out beforehand. */
static void check_xattrs(void)
{
	mlimg_autoclose int dir = open_tmpdir();
	struct mlimg_manifest *m;
	struct mlimg_err err = MLIMG_ERR_INIT;
	char path[300], name[300];
	uint8_t big[3000];
	const struct mlimg_entry *e;

	memset(big, 'v', sizeof(big));
	put(dir, "f", "");
	ASSERT_EQ(symlinkat("f", dir, "l"), 0);
	snprintf(path, sizeof(path), "%s/f", test_tmpdir());
	if (setxattr(path, "user.z", big, sizeof(big), 0) < 0) {
		fprintf(stderr, "no user xattrs in %s\n", test_tmpdir());
		return;
	}
	ASSERT_EQ(setxattr(path, "user.a", "", 0, 0), 0);
	memset(name, 'n', 255);
	memcpy(name, "user.", 5);
	name[255] = '\0';
	ASSERT_EQ(setxattr(path, name, "\0\1", 2, 0), 0);
	ASSERT_EQ(setxattr(test_tmpdir(), "user.root", "r", 1, 0), 0);
	ASSERT_OK(mlimg_walk_manifest(dir, 0, false, &m, &err), err);
	ASSERT_EQ(m->entries[0].n_xattrs, 1);
	ASSERT_STR(m->entries[0].xattrs[0].name, "user.root");
	e = mlimg_manifest_find(m, "f");
	ASSERT_EQ(e->n_xattrs, 3);
	ASSERT_STR(e->xattrs[0].name, "user.a");
	ASSERT_EQ(e->xattrs[0].size, 0);
	ASSERT_STR(e->xattrs[1].name, name);
	ASSERT_EQ(e->xattrs[1].size, 2);
	ASSERT_MEM(e->xattrs[1].value, "\0\1", 2);
	ASSERT_STR(e->xattrs[2].name, "user.z");
	ASSERT_EQ(e->xattrs[2].size, sizeof(big));
	ASSERT_MEM(e->xattrs[2].value, big, sizeof(big));
	ASSERT_EQ(mlimg_manifest_find(m, "l")->n_xattrs, 0);
	mlimg_manifest_free(m);
}

TEST(xattrs_of_any_size_sorted)
{
	check_xattrs();
}

TEST(xattrs_without_listxattrat)
{
	setenv("MLIMG_NO_LISTXATTRAT", "1", 1);
	check_xattrs();
}

/* Makes directories named "d" in each other until the path is as long as it may be: 2048 levels. */
static void make_deep(int dir, int levels)
{
	mlimg_autoclose int at = dup(dir);

	for (int i = 0; i < levels; i++) {
		int next;

		ASSERT_EQ(mkdirat(at, "d", 0755), 0);
		put(at, "e", "");
		next = openat(at, "d", O_RDONLY | O_DIRECTORY);
		ASSERT(next >= 0);
		close(at);
		at = next;
	}
}

static int lowest_free_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static int check_depth(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	int *highest = ctx, fd = lowest_free_fd();
	struct stat st;

	(void)entry, (void)err;
	if (fd > *highest)
		*highest = fd;
	if (at->parent_fd >= 0) { /* also on the way back the right directory is open */
		ASSERT_EQ(fstatat(at->parent_fd, at->name, &st, AT_SYMLINK_NOFOLLOW), 0);
		ASSERT_EQ(st.st_ino, at->st->st_ino);
	}
	return 0;
}

TEST(deepest_tree_with_few_fds)
{
	mlimg_autoclose int dir = open_tmpdir();
	struct mlimg_err err = MLIMG_ERR_INIT;
	int highest = 0, lines = 0, before = lowest_free_fd();
	mlimg_autofree char *paths = NULL;

	make_deep(dir, 2048);
	ASSERT_OK(mlimg_walk(dir, 0, check_depth, &highest, &err), err);
	ASSERT(highest - before <= 33);
	paths = list_of(dir, MLIMG_WALK_NO_XATTRS);
	ASSERT_EQ(lowest_free_fd(), before);
	for (const char *p = paths; (p = strchr(p, '\n')); p++)
		lines++;
	ASSERT_EQ(lines, 1 + 2048 + 2048);
}

TEST(too_deep_is_an_error)
{
	mlimg_autoclose int dir = open_tmpdir();
	struct mlimg_err err = MLIMG_ERR_INIT;
	int highest = 0, before = lowest_free_fd();

	make_deep(dir, 2049);
	ASSERT_EQ(mlimg_walk(dir, 0, check_depth, &highest, &err), -ENAMETOOLONG);
	ASSERT_EQ(strncmp(err.text, "'d' in 'd/d/d", 13), 0);
	ASSERT_EQ(lowest_free_fd(), before);
}

struct mover {
	int dir;
	const char *when, *from, *to;
	const char *link; /* put where @from was */
};

static int move(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	const struct mover *m = ctx;

	(void)at, (void)err;
	if (strncmp(entry->path, "out/", 4) == 0 || strstr(entry->path, "secret"))
		FAIL("left the tree: %s", entry->path);
	if (strcmp(entry->path, m->when) == 0) {
		ASSERT_EQ(renameat(m->dir, m->from, m->dir, m->to), 0);
		if (m->link)
			ASSERT_EQ(symlinkat(m->link, m->dir, m->from), 0);
	}
	return 0;
}

/* A directory becomes a link to elsewhere between being seen and being opened. */
TEST(directory_turns_into_a_link)
{
	mlimg_autoclose int dir = open_tmpdir();
	struct mover m = {dir, "tree/d", "tree/d", "moved", "../out"};
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_EQ(mkdirat(dir, "tree", 0755), 0);
	ASSERT_EQ(mkdirat(dir, "tree/d", 0755), 0);
	ASSERT_EQ(mkdirat(dir, "zout", 0755), 0);
	put(dir, "zout/secret", "");
	ASSERT_FAILS(mlimg_walk(dir, 0, move, &m, &err), err, -ENOTDIR,
		"open directory 'tree/d': Not a directory");
}

/*
 * While the walk is 40 levels below it, so that its fd is closed, a directory is moved to another
 * place.
 */
TEST(directory_is_moved_while_deep_in_it)
{
	mlimg_autoclose int dir = open_tmpdir();
	char deepest[81] = "d";
	struct mover m = {dir, deepest, "d/d", "other", NULL};
	struct mlimg_err err = MLIMG_ERR_INIT;

	for (int i = 1; i < 40; i++)
		strcat(deepest, "/d");
	make_deep(dir, 40);
	ASSERT_EQ(mlimg_walk(dir, 0, move, &m, &err), -ESTALE);
	ASSERT_STR(err.text, "'d/d' was moved while it was read: Stale file handle");
}

/* What was skipped, and why; one a line. */
static char skipped[256];

static void note_skipped(const char *path, int error, bool was_visited, void *ctx)
{
	size_t n = strlen(skipped);

	(void)ctx;
	snprintf(skipped + n, sizeof(skipped) - n, "%s %s%s\n", path, strerrorname_np(-error),
		was_visited ? " visited" : "");
}

TEST(lenient_skips_what_was_moved)
{
	mlimg_autoclose int dir = open_tmpdir();
	char deepest[81] = "d";
	struct mover link = {dir, "tree/d", "tree/d", "moved", "../out"};
	struct mover deep = {dir, deepest, "d/d", "other", NULL};
	struct mlimg_err err = MLIMG_ERR_INIT;
	int before = lowest_free_fd();

	ASSERT_EQ(mkdirat(dir, "tree", 0755), 0);
	ASSERT_EQ(mkdirat(dir, "tree/d", 0755), 0);
	ASSERT_OK(mlimg_walk_lenient(dir, 0, move, note_skipped, &link, &err), err);
	ASSERT_STR(skipped, "tree/d ENOTDIR visited\n");
	skipped[0] = '\0';
	for (int i = 1; i < 40; i++)
		strcat(deepest, "/d");
	make_deep(dir, 40);
	ASSERT_OK(mlimg_walk_lenient(dir, 0, move, note_skipped, &deep, &err), err);
	ASSERT_STR(skipped, "d/d ESTALE visited\n");
	ASSERT_EQ(lowest_free_fd(), before);
}

static int remove_next(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	(void)ctx, (void)err;
	if (strcmp(entry->path, "a") == 0)
		ASSERT_EQ(unlinkat(at->parent_fd, "b", 0), 0);
	ASSERT(strcmp(entry->path, "b") != 0);
	return 0;
}

TEST(file_vanishes)
{
	mlimg_autoclose int dir = open_tmpdir();
	struct mlimg_err err = MLIMG_ERR_INIT;

	put(dir, "a", "");
	put(dir, "b", "");
	ASSERT_FAILS(mlimg_walk(dir, 0, remove_next, NULL, &err), err, -ENOENT,
		"stat 'b': No such file or directory");
	put(dir, "b", "");
	ASSERT_OK(mlimg_walk(dir, MLIMG_WALK_SKIP_MISSING, remove_next, NULL, &err), err);
}

static int stop(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	(void)at, (void)ctx;
	return entry->path[0] ? mlimg_err_set(err, EDOM, "enough") : 0;
}

TEST(lenient_goes_on_after_what_vanished_and_stops_when_the_visitor_does)
{
	mlimg_autoclose int dir = open_tmpdir();
	struct mlimg_err err = MLIMG_ERR_INIT;

	put(dir, "a", "");
	put(dir, "b", "");
	ASSERT_OK(mlimg_walk_lenient(dir, 0, remove_next, note_skipped, NULL, &err), err);
	ASSERT_STR(skipped, "b ENOENT\n");
	ASSERT_EQ(mlimg_walk_lenient(dir, 0, stop, note_skipped, NULL, &err), -EDOM);
	ASSERT_STR(skipped, "b ENOENT\n");
}

TEST(visitor_stops_it)
{
	mlimg_autoclose int dir = open_tmpdir();
	struct mlimg_err err = MLIMG_ERR_INIT;
	int before = lowest_free_fd();

	put(dir, "a", "");
	ASSERT_FAILS(mlimg_walk(dir, 0, stop, NULL, &err), err, -EDOM,
		"enough: Numerical argument out of domain");
	ASSERT_EQ(lowest_free_fd(), before);
}

TEST(digest_from_the_offset)
{
	mlimg_autoclose int dir = open_tmpdir(), fd = -1;
	uint8_t digest[MLIMG_SHA256_SIZE], expected[MLIMG_SHA256_SIZE];
	uint64_t size;

	put(dir, "f", "xxabc");
	fd = openat(dir, "f", O_RDONLY);
	ASSERT_EQ(lseek(fd, 2, SEEK_SET), 2);
	ASSERT_EQ(mlimg_digest_fd(fd, digest, &size), 0);
	mlimg_sha256_of("abc", 3, expected);
	ASSERT_EQ(size, 3);
	ASSERT_MEM(digest, expected, sizeof(digest));
	ASSERT_EQ(mlimg_digest_fd(dir, digest, &size), -EISDIR);
}
