/* SPDX-License-Identifier: MIT */
/*
 * Compares mlimg_manifest_merge() with the kernel: makes random layers on disk, mounts them with
 * overlayfs, walks the mount, and expects of every entry what the merged manifest says. Then makes
 * images of the same layers, compiles them into an index, mounts that, and expects the same again;
 * and mounts the layers with unionfs-fuse, as a boot does, and expects it once more. Needs root,
 * for trusted.* and mount(2).
 */
#include "libmlimg/merge.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/walk.h"
#include "tests/lib/disk-tree.h"
#include "tests/lib/random-manifest.h"
#include "tests/lib/test.h"

#define MAX_LAYERS 20

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

static struct mlimg_manifest *read_tree(const char *path)
{
	mlimg_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY);
	struct mlimg_manifest *m;
	struct mlimg_err err = MLIMG_ERR_INIT;

	MUST(fd);
	ASSERT_OK(mlimg_walk_manifest(fd, 0, true, &m, &err), err);
	return m;
}

/*
 * A layer on disk. What is read of it must be what it was made from; that is a test of the walker.
 */
static struct mlimg_manifest *make_layer(const char *path, unsigned flags)
{
	struct mlimg_manifest *made = random_manifest(flags), *read;
	mlimg_autofree char *made_text = NULL, *read_text = NULL;

	if (flags & RANDOM_LAYER &&
		test_random(8) == 0) { /* an opaque root: overlayfs pays no heed */
		static struct mlimg_xattr x = {
			(char *)MLIMG_XATTR_OPAQUE, (uint8_t *)(uintptr_t) "y", 1};

		made->entries[0].xattrs = &x;
		made->entries[0].n_xattrs = 1;
	}
	MUST(mkdir(path, 0700));
	make_tree(path, made, random_contents_of);
	read = read_tree(path);
	made_text = text_of(made);
	read_text = text_of(read);
	ASSERT_STR(made_text, read_text);
	mlimg_manifest_free(made);
	return read;
}

struct comparison {
	const struct mlimg_manifest *merged;
	bool has_upper; /* then the root shown is the upper's */
	bool is_unionfs;
	size_t n_seen;
	struct {
		dev_t dev;
		ino_t ino;
	} groups[1000]; /* by new number */
};

static void compare_links(
	struct comparison *c, const struct mlimg_entry *wanted, const struct stat *st)
{
	uint32_t k = wanted->hardlink;

	ASSERT_EQ(st->st_nlink, wanted->nlink);
	if (!k || c->is_unionfs) /* which takes each name for a file of its own */
		return;
	ASSERT(k < 1000);
	if (!c->groups[k].ino) {
		c->groups[k].dev = st->st_dev;
		c->groups[k].ino = st->st_ino;
		for (uint32_t i = 1; i < k; i++)
			ASSERT(c->groups[i].ino != st->st_ino || c->groups[i].dev != st->st_dev);
	}
	ASSERT_EQ(c->groups[k].dev, st->st_dev);
	ASSERT_EQ(c->groups[k].ino, st->st_ino);
}

static void compare_contents(const struct mlimg_entry *wanted, const struct mlimg_walk_at *at)
{
	mlimg_autoclose int fd = openat(at->parent_fd, at->name, O_RDONLY | O_NOFOLLOW);
	uint8_t digest[MLIMG_SHA256_SIZE];

	ASSERT(fd >= 0);
	ASSERT_EQ(mlimg_digest_fd(fd, digest, NULL), 0);
	ASSERT_MEM(digest, wanted->digest, sizeof(digest));
}

static int compare(const struct mlimg_entry *seen, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	struct comparison *c = ctx;
	const struct mlimg_entry *wanted = mlimg_manifest_find(c->merged, seen->path);
	struct mlimg_entry seen_plain = *seen, wanted_plain;

	(void)err;
	c->n_seen++;
	if (!*seen->path && c->has_upper)
		return 0;
	if (!wanted)
		FAIL("it shows '%s'", seen->path);
	if (c->is_unionfs) { /* Debian's is built without xattrs */
		wanted_plain = *wanted;
		seen_plain.n_xattrs = wanted_plain.n_xattrs = 0;
		seen = &seen_plain;
		wanted = &wanted_plain;
	}
	if (!mlimg_entry_has_same_attrs(seen, wanted) || seen->n_xattrs != wanted->n_xattrs ||
		seen->mtime_s != wanted->mtime_s || seen->mtime_ns != wanted->mtime_ns)
		FAIL("'%s' differs: type %d and %d, mode %o and %o, %u and %u xattrs", seen->path,
			seen->type, wanted->type, seen->mode, wanted->mode, seen->n_xattrs,
			wanted->n_xattrs);
	if (seen->type != MLIMG_DIR)
		compare_links(c, wanted, at->st);
	if (seen->type == MLIMG_FILE)
		compare_contents(wanted, at);
	return 0;
}

static void compare_mount(
	const char *path, const struct mlimg_manifest *merged, bool has_upper, bool is_unionfs)
{
	struct comparison c = {.merged = merged, .has_upper = has_upper, .is_unionfs = is_unionfs};
	mlimg_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY);
	struct mlimg_err err = MLIMG_ERR_INIT;

	MUST(fd);
	/* Of a directory in one layer overlayfs lists the whiteouts, though it denies them. */
	ASSERT_OK(mlimg_walk(fd, is_unionfs ? 0 : MLIMG_WALK_SKIP_MISSING, compare, &c, &err), err);
	for (size_t i = 0; c.n_seen != merged->n_entries && i < merged->n_entries; i++)
		if (faccessat(fd, *merged->entries[i].path ? merged->entries[i].path : ".", F_OK,
			    AT_SYMLINK_NOFOLLOW) < 0)
			FAIL("it does not show '%s'", merged->entries[i].path);
	ASSERT_EQ(c.n_seen, merged->n_entries);
}

static void run(const char *command)
{
	int status = system(command);

	if (status)
		FAIL("status %d of: %s", status, command);
}

/*
 * Images of former versions of the system, each a patch upon those before it. @bases: as options of
 * mlimg-mkfs
 */
static void make_former(size_t n, char *ret_images, char *ret_bases)
{
	char command[1000], path[PATH_SIZE];

	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "former%zu", i);
		mlimg_manifest_free(make_layer(path, RANDOM_ANY_NAMES));
		snprintf(command, sizeof(command), "mlimg-mkfs --quiet %s --name l0 %s %s.img",
			i ? ret_bases : "--kind system", path, path);
		run(command);
		sprintf(ret_images + strlen(ret_images), " %s.img", path);
		sprintf(ret_bases + strlen(ret_bases), " --base %s.img", path);
	}
}

/*
 * The same stack once more, compiled: layer images 0.img and up of the directories 0 and up. The
 * system may be made of others by patches, which must make no difference.
 */
static void check_index(size_t n, const struct mlimg_manifest *merged)
{
	char images[2000] = "", bases[400] = "", command[4096], path[PATH_SIZE];

	make_former(test_random(4), images, bases);
	for (size_t i = 0; i < n; i++) {
		snprintf(command, sizeof(command), "mlimg-mkfs --quiet %s --name l%zu %zu %zu.img",
			i                ? "--kind software"
				: *bases ? bases
					 : "--kind system",
			i, i, i);
		run(command);
		snprintf(path, sizeof(path), " %zu.img", i);
		strcat(images, path);
	}
	snprintf(command, sizeof(command), "mlimg-index -q -o index%s", images);
	run(command);
	snprintf(command, sizeof(command), "mount-index index mount%s", images);
	run(command);
	compare_mount("mount/rootfs", merged, false, false);
	run("umount mount");
	snprintf(command, sizeof(command), "mlimg-index -q --joined -o joined%s", images);
	run(command);
	snprintf(command, sizeof(command),
		"cat joined%s >disk && mount -t erofs -o ro,loop disk mount", images);
	run(command);
	compare_mount("mount/rootfs", merged, false, false);
	run("umount mount");
}

/* The same stack once more, through unionfs-fuse: directories in place of mounted layers. */
static void check_unionfs(size_t n, const struct mlimg_manifest *merged)
{
	char command[1000];

	snprintf(command, sizeof(command),
		"set -e; args=; i=0; mkdir -p run/user/upper run/user/work run/layers\n"
		"while [ $i -lt %zu ]; do\n"
		"	kind=software; [ $i -gt 0 ] || kind=system\n"
		"	mkdir run/layers/$i; ln -s ../../../$i run/layers/$i/rootfs\n"
		"	args=\"$args --$kind $(layerdir $kind l$i 1 $i run/layers/$i)\"\n"
		"	i=$((i + 1))\n"
		"done\n"
		"user=$(layerdir user u 1 run/user/upper run/user)\n"
		"mlimg-agent prepare --root run --union unionfs $args --user $user\n"
		"mlimg-agent unionfs --root \"$PWD/run\" \"$PWD/mount\"\n",
		n);
	run(command);
	compare_mount("mount", merged, true, true);
	run("umount mount");
}

enum also { NOTHING, INDEX, UNIONFS };

/* In the working directory, an empty one. */
static void check_stack(enum also also)
{
	bool with_index = also == INDEX;
	struct mlimg_manifest *layers[MAX_LAYERS], *merged;
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t n = 1 + test_random(MAX_LAYERS);
	bool has_upper = n == 1 || test_random(2); /* overlayfs wants two layers or an upper */
	char options[4000] = "index=off,metacopy=off,xino=auto,redirect_dir=on,lowerdir=",
	     path[PATH_SIZE];

	for (size_t i = n; i-- > 0;) {
		snprintf(path, sizeof(path), "%zu", i);
		/*
		 * A system layer has nothing beneath it to hide, and mlimg-mkfs takes no whiteouts
		 * there.
		 */
		layers[i] = make_layer(path, with_index && !i ? RANDOM_ANY_NAMES : RANDOM_LAYER);
		strcat(strcat(options, path), i ? ":" : "");
	}
	if (has_upper)
		strcat(options, ",upperdir=upper,workdir=work");
	ASSERT_OK(mlimg_manifest_merge(
			  (const struct mlimg_manifest *const *)layers, n, &merged, &err),
		err);
	snprintf(path, sizeof(path), "mount");
	MUST(mkdir("upper", 0755) | mkdir("work", 0755) | mkdir(path, 0755));
	if (mount("overlay", path, "overlay", 0, options) < 0)
		FAIL("mount -o %s: %s", options, strerror(errno));
	compare_mount(path, merged, has_upper, false);
	MUST(umount(path));
	if (also == INDEX)
		check_index(n, merged);
	if (also == UNIONFS)
		check_unionfs(n, merged);
	mlimg_manifest_free(merged);
	for (size_t i = 0; i < n; i++)
		mlimg_manifest_free(layers[i]);
}

/* After a failure, so that the temporary directory can be removed. */
static void detach(void)
{
	umount2("mount", MNT_DETACH);
}

static void check_stacks(int count, enum also also)
{
	const char *path = test_tmpdir();
	char dir[16];

	test_seed();
	umask(0);
	MUST(unshare(CLONE_NEWNS));
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	ASSERT_EQ(atexit(detach), 0);
	for (int i = 0; i < count; i++) {
		snprintf(dir, sizeof(dir), "%d", i);
		MUST(chdir(path));
		MUST(mkdir(dir, 0755));
		MUST(chdir(dir));
		check_stack(also);
	}
}

TEST(merge_equals_overlayfs)
{
	check_stacks(60, NOTHING);
}

TEST(index_equals_overlayfs)
{
	check_stacks(25, INDEX);
}

TEST(unionfs_equals_overlayfs)
{
	check_stacks(25, UNIONFS);
}
