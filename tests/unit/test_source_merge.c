/* SPDX-License-Identifier: MIT */
/*
 * Sources that are merged into one layer, beside the merged manifest of layers made of each of
 * them.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/merge.h"
#include "tests/lib/random-tar.h"
#include "tests/lib/test.h"
#include "tools/ext4-read.h"
#include "tools/mkfs-build.h"

#define MAX_SOURCES 7
#define ROUNDS 40
#define PATH_SIZE 300

/* Sources, and what they are made from; bottom first. */
struct stack {
	struct mlimg_manifest *manifests[MAX_SOURCES];
	char paths[MAX_SOURCES][PATH_SIZE];
	char *sources[MAX_SOURCES];
	size_t n, n_sources; /* fewer sources than manifests, where one has several layers */
};

static struct mlimg_manifest *merge(const struct mlimg_manifest *const *layers, size_t n)
{
	struct mlimg_manifest *merged;
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_manifest_merge(layers, n, &merged, &err), err);
	return merged;
}

static struct mlimg_manifest *manifest_of(const char *image)
{
	mlimg_autoext4 struct mlimg_ext4 *fs = NULL;
	struct mlimg_layer_info info;
	struct mlimg_manifest *m;
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autofree char *text = NULL;
	size_t size;

	ASSERT_OK(mlimg_ext4_open(image, &fs, &err), err);
	ASSERT_OK(mlimg_ext4_layer_info(fs, &info, &err), err);
	ASSERT_OK(mlimg_ext4_manifest_stored(fs, info.build_id, &text, &size, &err), err);
	ASSERT_OK(mlimg_manifest_parse(text, size, &m, &err), err);
	mlimg_layer_info_done(&info);
	return m;
}

static struct mlimg_manifest *build(const struct stack *s, enum mlimg_kind kind)
{
	struct mlimg_layer_info info = {.kind = kind, .name = "merged", .version = "1"};
	char image[PATH_SIZE];
	struct mlimg_build b = {
		.sources = s->sources,
		.n_sources = s->n_sources,
		.choice.platform = {.os = "linux", .architecture = "amd64"},
		.limit_bytes = 1 << 30,
		.image = image,
		.can_replace = true,
		.is_quiet = true,
	};
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint64_t size;

	snprintf(image, sizeof(image), "%s/image", test_tmpdir());
	ASSERT_OK(mlimg_build_layer(&b, &info, &size, &err), err);
	mlimg_layer_info_done(&info);
	return manifest_of(image);
}

/* Where the groups of one manifest are in the other. */
struct groups {
	uint32_t there[1000];
};

static void compare_groups(
	struct groups *g, const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	ASSERT(a->hardlink < 1000);
	if (!g->there[a->hardlink])
		g->there[a->hardlink] = b->hardlink;
	if (g->there[a->hardlink] != b->hardlink)
		FAIL("'%s' is a hard link to another file", a->path);
}

/* How many names of each group show. */
static void count_names(const struct mlimg_manifest *m, uint32_t names[1000])
{
	for (size_t i = 0; i < m->n_entries; i++) {
		ASSERT(m->entries[i].hardlink < 1000);
		names[m->entries[i].hardlink]++;
	}
}

static void compare(const struct mlimg_manifest *wanted, const struct mlimg_manifest *found)
{
	uint32_t names[1000] = {0}, found_names[1000] = {0};
	struct groups g = {{0}};

	count_names(wanted, names);
	count_names(found, found_names);
	for (size_t i = 0; i < wanted->n_entries && i < found->n_entries; i++) {
		const struct mlimg_entry *a = &wanted->entries[i], *b = &found->entries[i];

		if (strcmp(a->path, b->path) != 0)
			FAIL("'%s' where '%s' should be", b->path, a->path);
		if (!mlimg_entry_has_same_attrs(a, b) || a->mtime_s != b->mtime_s ||
			a->mtime_ns != b->mtime_ns)
			FAIL("'%s' differs: type %d and %d, mode %o and %o, %u and %u xattrs, "
			     "%lld.%u and "
			     "%lld.%u",
				a->path, a->type, b->type, a->mode, b->mode, a->n_xattrs,
				b->n_xattrs, (long long)a->mtime_s, a->mtime_ns,
				(long long)b->mtime_s, b->mtime_ns);
		if (a->type == MLIMG_FILE)
			ASSERT_MEM(a->digest, b->digest, sizeof(a->digest));
		/* A file of which one name shows has one name. */
		if (a->hardlink && names[a->hardlink] > 1)
			compare_groups(&g, a, b);
		else
			ASSERT(!b->hardlink || found_names[b->hardlink] == 1);
	}
	ASSERT_EQ(found->n_entries, wanted->n_entries);
}

static void add_tar(struct stack *s, unsigned flags)
{
	char *path = s->paths[s->n];

	snprintf(path, PATH_SIZE, "%s/%zu.tar", test_tmpdir(), s->n);
	s->manifests[s->n] = random_tar_manifest(flags);
	random_tar(s->manifests[s->n], path, RANDOM_TAR_OVERLAY, ARCHIVE_FILTER_NONE);
	s->n++;
	s->sources[s->n_sources++] = path;
}

static void free_stack(struct stack *s)
{
	while (s->n)
		mlimg_manifest_free(s->manifests[--s->n]);
}

static void check_system(const struct stack *s)
{
	struct mlimg_manifest *wanted =
		merge((const struct mlimg_manifest *const *)s->manifests, s->n);
	struct mlimg_manifest *found = build(s, MLIMG_SYSTEM);

	compare(wanted, found);
	mlimg_manifest_free(wanted);
	mlimg_manifest_free(found);
}

/* Above whatever system, the merged layer must do what the sources' own layers would. */
static void check_software(const struct stack *s)
{
	const struct mlimg_manifest *apart[MAX_SOURCES + 1], *together[2];
	struct mlimg_manifest *system = random_tar_manifest(RANDOM_PLAIN_NAMES);
	struct mlimg_manifest *layer = build(s, MLIMG_SOFTWARE), *wanted, *found;

	apart[0] = together[0] = system;
	together[1] = layer;
	for (size_t i = 0; i < s->n; i++)
		apart[i + 1] = s->manifests[i];
	wanted = merge(apart, s->n + 1);
	found = merge(together, 2);
	compare(wanted, found);
	mlimg_manifest_free(wanted);
	mlimg_manifest_free(found);
	mlimg_manifest_free(system);
	mlimg_manifest_free(layer);
}

TEST(system_of_tars_equals_merged_manifest)
{
	test_seed();
	for (int i = 0; i < ROUNDS; i++) {
		struct stack s = {.n = 0};
		size_t n = 1 + test_random(MAX_SOURCES);

		add_tar(&s, RANDOM_PLAIN_NAMES);
		while (s.n < n)
			add_tar(&s, RANDOM_LAYER);
		check_system(&s);
		free_stack(&s);
	}
}

TEST(software_of_tars_equals_merged_manifest)
{
	test_seed();
	for (int i = 0; i < ROUNDS; i++) {
		struct stack s = {.n = 0};
		size_t n = 1 + test_random(MAX_SOURCES);

		while (s.n < n)
			add_tar(&s, RANDOM_LAYER);
		check_software(&s);
		free_stack(&s);
	}
}

/* Digest and size of a file, which becomes a blob of that name. */
static uint64_t to_blob(const char *layout, const char *path, char ret_hex[MLIMG_SHA256_HEX_SIZE])
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint8_t digest[MLIMG_SHA256_SIZE];
	mlimg_autofree char *data = NULL;
	char blob[2 * PATH_SIZE];
	size_t size;

	ASSERT_OK(mlimg_read_file(AT_FDCWD, path, 1 << 24, &data, &size, &err), err);
	mlimg_sha256_of(data, size, digest);
	mlimg_sha256_hex(digest, ret_hex);
	snprintf(blob, sizeof(blob), "%s/blobs/sha256/%s", layout, ret_hex);
	ASSERT_EQ(rename(path, blob), 0);
	return size;
}

static FILE *open_text(const char *layout, const char *name, char ret_path[2 * PATH_SIZE])
{
	FILE *f;

	snprintf(ret_path, 2 * PATH_SIZE, "%s/%s", layout, name);
	f = fopen(ret_path, "w");
	ASSERT(f);
	return f;
}

/*
 * Write the layer twice, to know the digest of what it unpacks to: the second time as it is stored.
 */
static void write_layer(
	const struct mlimg_manifest *m, const char *layout, FILE *layers, FILE *config)
{
	static const struct {
		int filter;
		const char *suffix;
	} packed[] = {{ARCHIVE_FILTER_NONE, ""}, {ARCHIVE_FILTER_GZIP, "+gzip"},
		{ARCHIVE_FILTER_ZSTD, "+zstd"}};
	size_t which = test_random(3);
	uint64_t state = test_state, size;
	char hex[MLIMG_SHA256_HEX_SIZE], path[2 * PATH_SIZE];

	snprintf(path, sizeof(path), "%s/layer", layout);
	random_tar(m, path, RANDOM_TAR_OCI, ARCHIVE_FILTER_NONE);
	to_blob(layout, path, hex);
	fprintf(config, "\"sha256:%s\"", hex);
	test_state = state; /* the same bytes again */
	random_tar(m, path, RANDOM_TAR_OCI, packed[which].filter);
	size = to_blob(layout, path, hex);
	fprintf(layers,
		"{\"mediaType\": \"application/vnd.oci.image.layer.v1.tar%s\", "
		"\"digest\": \"sha256:%s\", \"size\": %zu}",
		packed[which].suffix, hex, (size_t)size);
}

static void put_desc(FILE *f, const char *type, const char *hex, uint64_t size)
{
	fprintf(f,
		"{\"mediaType\": \"application/vnd.oci.image.%s.v1+json\", \"digest\": "
		"\"sha256:%s\", \"size\": %zu}",
		type, hex, (size_t)size);
}

/* An image of n random layers as one source. */
static void add_image(struct stack *s, size_t n)
{
	char *layout = s->paths[s->n], path[4][2 * PATH_SIZE], hex[MLIMG_SHA256_HEX_SIZE];
	FILE *config, *manifest, *layers, *index;
	uint64_t size;
	char *text;
	size_t text_size;

	snprintf(layout, PATH_SIZE, "%s/image%zu", test_tmpdir(), s->n);
	snprintf(path[0], sizeof(path[0]), "%s/blobs", layout);
	snprintf(path[1], sizeof(path[1]), "%s/blobs/sha256", layout);
	if (mkdir(layout, 0700) == 0)
		ASSERT_EQ(mkdir(path[0], 0700) | mkdir(path[1], 0700), 0);
	layers = open_memstream(&text, &text_size);
	config = open_text(layout, "config", path[0]);
	fprintf(config,
		"{\"os\": \"linux\", \"architecture\": \"amd64\", \"rootfs\": {\"diff_ids\": [");
	s->sources[s->n_sources++] = layout;
	for (size_t i = 0; i < n; i++) {
		fputs(i ? "," : "", layers);
		fputs(i ? "," : "", config);
		s->manifests[s->n] = random_tar_manifest(RANDOM_LAYER);
		write_layer(s->manifests[s->n++], layout, layers, config);
	}
	fprintf(config, "]}}");
	fclose(config);
	fclose(layers);
	size = to_blob(layout, path[0], hex);
	manifest = open_text(layout, "manifest", path[1]);
	fprintf(manifest, "{\"schemaVersion\": 2, \"config\": ");
	put_desc(manifest, "config", hex, size);
	fprintf(manifest, ", \"layers\": [%s]}", text);
	fclose(manifest);
	free(text);
	size = to_blob(layout, path[1], hex);
	index = open_text(layout, "index.json", path[2]);
	fprintf(index, "{\"schemaVersion\": 2, \"manifests\": [");
	put_desc(index, "manifest", hex, size);
	fprintf(index, "]}");
	fclose(index);
	index = open_text(layout, "oci-layout", path[3]);
	fprintf(index, "{\"imageLayoutVersion\": \"1.0.0\"}");
	fclose(index);
}

TEST(system_of_container_image_equals_merged_manifest)
{
	test_seed();
	for (int i = 0; i < ROUNDS; i++) {
		struct stack s = {.n = 0};

		add_image(&s, 1 + test_random(MAX_SOURCES));
		check_system(&s);
		free_stack(&s);
	}
}

TEST(software_of_images_and_tars_equals_merged_manifest)
{
	test_seed();
	for (int i = 0; i < ROUNDS; i++) {
		struct stack s = {.n = 0};

		add_tar(&s, RANDOM_LAYER);
		add_image(&s, 1 + test_random(2));
		add_tar(&s, RANDOM_LAYER);
		add_image(&s, 1 + test_random(2));
		check_software(&s);
		free_stack(&s);
	}
}
