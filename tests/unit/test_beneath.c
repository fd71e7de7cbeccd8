/* SPDX-License-Identifier: MIT */
/* What lies beneath a new layer, beside the manifests that its layers were made of. */
#include "tools/beneath.h"

#include "libmlimg/merge.h"
#include "tests/lib/random-tar.h"
#include "tests/lib/test.h"
#include "tools/beneath-tree.h"
#include "tools/data.h"
#include "tools/mkfs-build.h"

#define MAX_LAYERS 5
#define ROUNDS 20
#define PATH_SIZE 300

/* Layers and what they are made of; bottom first. */
struct layers {
	struct mlimg_manifest *manifests[MAX_LAYERS];
	char paths[MAX_LAYERS][PATH_SIZE];
	const char *images[MAX_LAYERS];
	size_t n;
};

static void add_layer(struct layers *l)
{
	enum mlimg_kind kind = l->n ? MLIMG_SOFTWARE : MLIMG_SYSTEM;
	struct mlimg_layer_info info = {.kind = kind, .name = "random"};
	char tar[PATH_SIZE], *source = tar;
	struct mlimg_build b = {
		.sources = &source,
		.n_sources = 1,
		.limit_bytes = 1 << 30,
		.image = l->paths[l->n],
		.can_replace = true,
		.is_quiet = true,
	};
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint64_t size;

	snprintf(info.version, sizeof(info.version), "%zu", l->n);
	snprintf(tar, sizeof(tar), "%s/source.tar", test_tmpdir());
	snprintf(l->paths[l->n], PATH_SIZE, "%s/%zu.img", test_tmpdir(), l->n);
	l->manifests[l->n] = random_tar_manifest(l->n ? RANDOM_LAYER : RANDOM_PLAIN_NAMES);
	random_tar(l->manifests[l->n], tar, RANDOM_TAR_OVERLAY, ARCHIVE_FILTER_NONE);
	ASSERT_OK(mlimg_build_layer(&b, &info, &size, &err), err);
	mlimg_layer_info_done(&info);
	l->images[l->n] = l->paths[l->n];
	l->n++;
}

static void free_layers(struct layers *l)
{
	while (l->n)
		mlimg_manifest_free(l->manifests[--l->n]);
}

static int add_to_digest(const void *data, uint64_t size, void *ctx, struct mlimg_err *err)
{
	ASSERT(data && size);
	mlimg_sha256_add(ctx, data, size);
	return 0;
}

static void check_file(const struct mlimg_beneath *b, const struct mlimg_entry *e)
{
	const struct mlimg_entry *same = mlimg_beneath_find_content(b, e->size_bytes, e->digest);
	uint8_t digest[MLIMG_SHA256_SIZE];
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_sha256 sha;

	ASSERT(same && same->has_digest);
	ASSERT(strlen(same->path) <= strlen(e->path));
	ASSERT_MEM(same->digest, e->digest, sizeof(e->digest));
	ASSERT(mlimg_beneath_has_size(b, e->size_bytes));
	mlimg_sha256_init(&sha);
	ASSERT_OK(mlimg_beneath_read(b, e, add_to_digest, &sha, &err), err);
	mlimg_sha256_end(&sha, digest);
	ASSERT_MEM(digest, e->digest, sizeof(digest));
}

struct walk {
	struct mlimg_itree tree;
	const struct mlimg_manifest *wanted;
	size_t n;
};

static int check_entry(const struct mlimg_entry *entry, const struct mlimg_itree_node *node,
	void *ctx, struct mlimg_err *err)
{
	struct walk *walk = ctx;
	const struct mlimg_entry *wanted = &walk->wanted->entries[walk->n++];
	uint8_t digest[MLIMG_SHA256_SIZE];
	struct mlimg_sha256 sha;
	uint64_t used;

	ASSERT_STR(entry->path, wanted->path);
	ASSERT(mlimg_entry_has_same_attrs(entry, wanted));
	ASSERT(wanted->hardlink || node->ino == walk->n);
	ASSERT_EQ(node->size_bytes, wanted->size_bytes);
	ASSERT_OK(mlimg_itree_used(&walk->tree, node, &used, err), *err);
	if (entry->type != MLIMG_FILE)
		return 0;
	ASSERT_EQ(used % 4096, 0);
	mlimg_sha256_init(&sha);
	ASSERT_OK(mlimg_itree_read(&walk->tree, node, mlimg_data_to_sha256, &sha, err), *err);
	mlimg_sha256_end(&sha, digest);
	ASSERT_MEM(digest, wanted->digest, sizeof(digest));
	return 0;
}

/* The tree, walked and by its paths, is the merged manifest. */
static void check_tree(struct mlimg_beneath *b)
{
	struct walk walk = {.tree = mlimg_beneath_tree(b), .wanted = mlimg_beneath_manifest(b)};
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_itree_room room;
	struct mlimg_itree_node node;

	ASSERT_OK(mlimg_itree_lookup(&walk.tree, "/", false, &room, &node, &err), err);
	ASSERT_OK(mlimg_itree_walk(&walk.tree, &node, check_entry, &walk, &err), err);
	ASSERT_EQ(walk.n, walk.wanted->n_entries);
	for (size_t i = 0; i < walk.n; i++) {
		const struct mlimg_entry *e = &walk.wanted->entries[i];
		size_t first = i;

		for (size_t j = 0; e->hardlink && first == i && j < i; j++)
			if (walk.wanted->entries[j].hardlink == e->hardlink)
				first = j;
		ASSERT_OK(mlimg_itree_lookup(&walk.tree, e->path, false, &room, &node, &err), err);
		ASSERT_EQ(node.ino, first + 1);
	}
}

static void check(const struct layers *l)
{
	mlimg_autobeneath struct mlimg_beneath *b = NULL;
	struct mlimg_manifest *wanted;
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_beneath_open(l->images, l->n, &b, &err), err);
	ASSERT_EQ(mlimg_beneath_n(b), l->n);
	ASSERT_OK(mlimg_manifest_merge(
			  (const struct mlimg_manifest *const *)l->manifests, l->n, &wanted, &err),
		err);
	ASSERT_EQ(mlimg_beneath_manifest(b)->n_entries, wanted->n_entries);
	for (size_t i = 0; i < wanted->n_entries; i++) {
		const struct mlimg_entry *e = mlimg_beneath_find(b, wanted->entries[i].path);

		ASSERT(e && mlimg_entry_has_same_attrs(e, &wanted->entries[i]));
		if (e->type == MLIMG_FILE)
			check_file(b, e);
	}
	check_tree(b);
	mlimg_manifest_free(wanted);
}

TEST(random_layers)
{
	test_seed();
	for (int i = 0; i < ROUNDS; i++) {
		struct layers l = {.n = 0};
		size_t n = 1 + test_random(MAX_LAYERS);

		while (l.n < n)
			add_layer(&l);
		check(&l);
		free_layers(&l);
	}
}

TEST(what_is_not_there_is_not_found)
{
	mlimg_autobeneath struct mlimg_beneath *b = NULL;
	static const uint8_t digest[MLIMG_SHA256_SIZE];
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct layers l = {.n = 0};

	test_seed();
	add_layer(&l);
	ASSERT_OK(mlimg_beneath_open(l.images, 1, &b, &err), err);
	ASSERT(!mlimg_beneath_find(b, "no/such/path"));
	ASSERT(!mlimg_beneath_has_size(b, 77));
	ASSERT(!mlimg_beneath_find_content(b, 0, digest));
	ASSERT(!mlimg_beneath_find_content(b, 77, digest));
	ASSERT_EQ(mlimg_beneath_info(b, 0)->kind, MLIMG_SYSTEM);
	ASSERT_EQ(mlimg_beneath_stack(b)->n_layers, 1);
	free_layers(&l);
}

TEST(refusals)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct layers l = {.n = 0};
	char wanted[2 * PATH_SIZE];
	struct mlimg_beneath *b = NULL;

	test_seed();
	add_layer(&l);
	add_layer(&l);
	ASSERT_EQ(mlimg_beneath_open(l.images + 1, 1, &b, &err), -EUCLEAN);
	ASSERT(strstr(err.text, "no system layer beneath"));
	l.images[1] = l.images[0];
	ASSERT_EQ(mlimg_beneath_open(l.images, 2, &b, &err), -EUCLEAN);
	ASSERT(strstr(err.text, "a system layer can only be the lowest"));
	ASSERT_EQ(truncate(l.images[0], 8192), 0);
	ASSERT_EQ(mlimg_beneath_open(l.images, 1, &b, &err), -EUCLEAN);
	ASSERT_EQ(unlink(l.images[0]), 0);
	snprintf(wanted, sizeof(wanted), "open image '%s': No such file or directory", l.images[0]);
	ASSERT_FAILS(mlimg_beneath_open(l.images, 1, &b, &err), err, -ENOENT, wanted);
	ASSERT(!b);
	free_layers(&l);
}
