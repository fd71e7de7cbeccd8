/* SPDX-License-Identifier: MIT */
#include "libmlimg/merge.h"

#include "libmlimg/cleanup.h"
#include "tests/lib/random-manifest.h"
#include "tests/lib/test.h"

#define MAX_LAYERS 6

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

static struct mlimg_manifest *merge(const struct mlimg_manifest *const *layers, size_t n)
{
	struct mlimg_manifest *merged;
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_manifest_merge(layers, n, &merged, &err), err);
	return merged;
}

/*
 * The oracle: looks up one path as the kernel does, component by component, and knows nothing of
 * order.
 */

struct lookup {
	const struct mlimg_entry *shown; /* or NULL */
	size_t shown_in;
	size_t dirs[MAX_LAYERS], n_dirs; /* layers whose directories merge there, topmost first */
};

static struct lookup look_up(const struct mlimg_manifest *const *layers, size_t n, const char *path)
{
	struct lookup found = {0}, parent;
	const char *slash = strrchr(path, '/');
	char parent_path[200];

	if (!*path) {
		for (size_t i = n; i-- > 0;)
			found.dirs[found.n_dirs++] = i;
		found.shown = &layers[n - 1]->entries[0];
		found.shown_in = n - 1;
		return found;
	}
	snprintf(parent_path, sizeof(parent_path), "%.*s", slash ? (int)(slash - path) : 0, path);
	parent = look_up(layers, n, parent_path);
	for (size_t i = 0; parent.shown && i < parent.n_dirs; i++) {
		size_t layer = parent.dirs[i];
		const struct mlimg_entry *e = mlimg_manifest_find(layers[layer], path);

		if (!e)
			continue;
		if (mlimg_entry_is_whiteout(e))
			break;
		if (found.shown && e->type != MLIMG_DIR)
			break;
		if (!found.shown) {
			found.shown = e;
			found.shown_in = layer;
		}
		if (e->type != MLIMG_DIR)
			break;
		found.dirs[found.n_dirs++] = layer;
		if (mlimg_entry_is_opaque(e))
			break;
	}
	return found;
}

static size_t paths_of(
	const struct mlimg_manifest *const *layers, size_t n, const char ***ret_paths)
{
	const char **paths = NULL;
	size_t n_paths = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < layers[i]->n_entries; k++) {
			const char *path = layers[i]->entries[k].path;
			size_t at = 0;

			while (at < n_paths && strcmp(paths[at], path) != 0)
				at++;
			if (at < n_paths)
				continue;
			paths = reallocarray(paths, n_paths + 1, sizeof(*paths));
			paths[n_paths++] = path;
		}
	*ret_paths = paths;
	return n_paths;
}

static void check_shown(const struct mlimg_entry *got, const struct mlimg_entry *wanted)
{
	uint32_t visible = 0;

	ASSERT_STR(got->path, wanted->path);
	ASSERT(mlimg_entry_has_same_attrs(got, wanted));
	ASSERT_EQ(got->mtime_s, wanted->mtime_s);
	ASSERT_EQ(got->mtime_ns, wanted->mtime_ns);
	ASSERT_EQ(got->has_digest, wanted->has_digest);
	ASSERT_MEM(got->digest, wanted->digest, sizeof(got->digest));
	ASSERT_EQ(got->nlink, wanted->nlink);
	ASSERT_EQ(!got->hardlink, !wanted->hardlink);
	ASSERT(!mlimg_entry_is_whiteout(got));
	for (uint32_t i = 0; i < wanted->n_xattrs; i++)
		visible += !mlimg_xattr_is_overlay(wanted->xattrs[i].name);
	ASSERT_EQ(got->n_xattrs, visible);
}

/*
 * Two names are of one group exactly when they are in one layer and of one group there; numbers
 * ascend.
 */
static void check_groups(
	const struct mlimg_manifest *merged, const struct mlimg_manifest *const *layers, size_t n)
{
	uint32_t last = 0;

	for (size_t i = 0; i < merged->n_entries; i++) {
		const struct mlimg_entry *a = &merged->entries[i];
		struct lookup la = look_up(layers, n, a->path);

		if (!a->hardlink)
			continue;
		ASSERT(a->hardlink <= last + 1);
		if (a->hardlink > last)
			last = a->hardlink;
		for (size_t k = 0; k < i; k++) {
			const struct mlimg_entry *b = &merged->entries[k];
			struct lookup lb = look_up(layers, n, b->path);

			ASSERT_EQ(a->hardlink == b->hardlink,
				b->hardlink && la.shown_in == lb.shown_in &&
					la.shown->hardlink == lb.shown->hardlink);
		}
	}
}

static void check_merge(const struct mlimg_manifest *const *layers, size_t n)
{
	struct mlimg_manifest *merged = merge(layers, n);
	mlimg_autofree const char **paths = NULL;
	size_t n_paths = paths_of(layers, n, &paths), n_shown = 0;

	for (size_t i = 0; i < n_paths; i++) {
		struct lookup wanted = look_up(layers, n, paths[i]);
		const struct mlimg_entry *got = mlimg_manifest_find(merged, paths[i]);

		if (!got != !wanted.shown)
			FAIL("'%s' %s", paths[i], got ? "shows" : "does not show");
		if (!got)
			continue;
		n_shown++;
		check_shown(got, wanted.shown);
	}
	ASSERT_EQ(merged->n_entries, n_shown);
	for (size_t i = 1; i < merged->n_entries; i++)
		ASSERT(mlimg_manifest_path_cmp(
			       merged->entries[i - 1].path, merged->entries[i].path) < 0);
	check_groups(merged, layers, n);
	mlimg_manifest_free(merged);
}

TEST(equals_the_model)
{
	test_seed();
	for (int i = 0; i < 2000; i++) {
		struct mlimg_manifest *layers[MAX_LAYERS];
		size_t n = 1 + test_random(MAX_LAYERS);

		for (size_t k = 0; k < n; k++)
			layers[k] = random_manifest(RANDOM_LAYER);
		check_merge((const struct mlimg_manifest *const *)layers, n);
		for (size_t k = 0; k < n; k++)
			mlimg_manifest_free(layers[k]);
	}
}

/*
 * What is merged is a manifest again: it can be written and read, also with names of a group
 * hidden.
 */
TEST(result_can_be_written_and_read)
{
	test_seed();
	for (int i = 0; i < 100; i++) {
		struct mlimg_manifest *layers[3], *merged, *back;
		mlimg_autofree char *text = NULL, *again = NULL;
		struct mlimg_err err = MLIMG_ERR_INIT;

		for (size_t k = 0; k < 3; k++)
			layers[k] = random_manifest(RANDOM_LAYER);
		merged = merge((const struct mlimg_manifest *const *)layers, 3);
		text = text_of(merged);
		ASSERT_OK(mlimg_manifest_parse(text, strlen(text), &back, &err), err);
		again = text_of(back);
		ASSERT_STR(text, again);
		mlimg_manifest_free(back);
		mlimg_manifest_free(merged);
		for (size_t k = 0; k < 3; k++)
			mlimg_manifest_free(layers[k]);
	}
}

/* One layer without whiteouts and opaque directories is its own merge. */
TEST(one_layer_is_itself)
{
	struct mlimg_manifest *layer, *merged;
	mlimg_autofree char *text = NULL, *again = NULL;

	test_seed();
	layer = random_manifest(RANDOM_ANY_NAMES);
	merged = merge((const struct mlimg_manifest *const *)&layer, 1);
	text = text_of(layer);
	again = text_of(merged);
	ASSERT_STR(text, again);
	mlimg_manifest_free(merged);
	mlimg_manifest_free(layer);
}

static struct mlimg_manifest *layer_with(const char *lines)
{
	static const char root[] = "#mtree\n. type=dir mode=0755 uid=0 gid=0 time=0.000000000\n";
	struct mlimg_manifest *m;
	struct mlimg_err err = MLIMG_ERR_INIT;
	char text[1000];

	snprintf(text, sizeof(text), "%s%s", root, lines);
	ASSERT_OK(mlimg_manifest_parse(text, strlen(text), &m, &err), err);
	return m;
}

#define OF_DIR " type=dir mode=0755 uid=0 gid=0 time=0.000000000"
#define OF_FILE " type=file mode=0644 uid=0 gid=0 size=0 time=0.000000000"

static void refused(const char *bottom, const char *top, const char *message)
{
	struct mlimg_manifest *layers[] = {layer_with(bottom), layer_with(top)};
	struct mlimg_manifest *merged = (struct mlimg_manifest *)0x1;
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_FAILS(mlimg_manifest_merge(
			     (const struct mlimg_manifest *const *)layers, 2, &merged, &err),
		err, -EUCLEAN, message);
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
	ASSERT(merged == (struct mlimg_manifest *)0x1);
	mlimg_manifest_free(layers[0]);
	mlimg_manifest_free(layers[1]);
}

TEST(redirects_and_metacopies_are_refused)
{
	refused("", "./d" OF_DIR " tags=xattr:trusted.overlay.redirect:eA==\n",
		"layer 2 of 2: 'd' has trusted.overlay.redirect, which only a patch layer may "
		"have");
	refused("./d" OF_DIR " tags=xattr:trusted.overlay.redirect:eA==\n", "./d" OF_DIR "\n",
		"layer 1 of 2: 'd' has trusted.overlay.redirect, which only a patch layer may "
		"have");
	refused("./f" OF_FILE " tags=xattr:trusted.overlay.metacopy:\n", "",
		"layer 1 of 2: 'f' has trusted.overlay.metacopy, which only a patch layer may "
		"have");
}

#define OF_PATCH "# mlimg-kind patch\n"
#define OF_DATA(MODE, DIGIT)                                                                     \
	" type=file mode=" MODE " uid=0 gid=0 size=5 time=0.000000000 sha256digest=" DIGIT DIGIT \
		DIGIT DIGIT DIGIT DIGIT DIGIT DIGIT
#define ONES "11111111"
#define TWOS "22222222"
#define METACOPY "xattr:trusted.overlay.metacopy:"
#define REDIRECT(BASE64) METACOPY ",xattr:trusted.overlay.redirect:" BASE64
#define WHITEOUT " type=char mode=0000 uid=0 gid=0 time=0.000000000 device=native,0,0"

/* Entries of a layer; OF_PATCH in front makes it a patch. */
static struct mlimg_manifest *patch_with(const char *lines)
{
	static const char root[] = ". type=dir mode=0755 uid=0 gid=0 time=0.000000000\n";
	size_t header = strncmp(lines, OF_PATCH, strlen(OF_PATCH)) == 0 ? strlen(OF_PATCH) : 0;
	struct mlimg_manifest *m;
	struct mlimg_err err = MLIMG_ERR_INIT;
	char text[2000];

	snprintf(text, sizeof(text), "#mtree\n%.*s%s%s", (int)header, lines, root, lines + header);
	ASSERT_OK(mlimg_manifest_parse(text, strlen(text), &m, &err), err);
	return m;
}

static int merge_lines(const char *const *lines, size_t n, char **ret_text, struct mlimg_err *err)
{
	struct mlimg_manifest *layers[4], *merged = NULL;
	int r;

	for (size_t i = 0; i < n; i++)
		layers[i] = patch_with(lines[i]);
	r = mlimg_manifest_merge((const struct mlimg_manifest *const *)layers, n, &merged, err);
	if (r == 0)
		*ret_text = text_of(merged);
	mlimg_manifest_free(merged);
	for (size_t i = 0; i < n; i++)
		mlimg_manifest_free(layers[i]);
	return r;
}

#define LAYERS(...) ((const char *const[]){__VA_ARGS__}), sizeof((const char *[]){__VA_ARGS__}) / 8

static void shows(const char *wanted, const char *const *lines, size_t n)
{
	mlimg_autofree char *text = NULL, *all = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(merge_lines(lines, n, &text, &err), err);
	ASSERT(asprintf(&all, "#mtree\n. type=dir mode=0755 uid=0 gid=0 time=0.000000000\n%s",
		       wanted) > 0);
	ASSERT_STR(text, all);
}

static void misleads(const char *message, const char *const *lines, size_t n)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *text;

	ASSERT_FAILS(merge_lines(lines, n, &text, &err), err, -EUCLEAN, message);
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
}

TEST(references_show_as_files)
{
	const char *system = "./a" OF_DIR "\n./a/f" OF_DATA("0644", ONES) "\n";

	/* other attributes */
	shows("./a" OF_DIR "\n./a/f" OF_DATA("0600", ONES) "\n",
		LAYERS(system,
			OF_PATCH "./a" OF_DIR "\n./a/f" OF_DATA("0600", ONES) " tags=" METACOPY
									      "\n"));
	/* "/a/f", which the same patch hides, also by a file in the directory's place */
	shows("./a" OF_DIR "\n./b" OF_DATA("0644", ONES) "\n",
		LAYERS(system,
			OF_PATCH "./a" OF_DIR "\n./a/f" WHITEOUT
				 "\n./b" OF_DATA("0644", ONES) " tags=" REDIRECT("L2EvZg==") "\n"));
	shows("./a" OF_DATA("0644", ONES) "\n",
		LAYERS(system,
			OF_PATCH "./a" OF_DATA("0644", ONES) " tags=" REDIRECT("L2EvZg==") "\n"));
	/* from a reference to the next: "/b" */
	shows("./c" OF_DATA("0755", ONES) "\n",
		LAYERS(system,
			OF_PATCH "./a" WHITEOUT
				 "\n./b" OF_DATA("0644", ONES) " tags=" REDIRECT("L2EvZg==") "\n",
			OF_PATCH "./b" WHITEOUT
				 "\n./c" OF_DATA("0755", ONES) " tags=" REDIRECT("L2I=") "\n"));
	/* software hides it, and has a directory in the way */
	shows("./a" OF_DIR "\n./b" OF_DATA("0644", ONES) "\n",
		LAYERS(system,
			OF_PATCH "./b" OF_DATA("0644", ONES) " tags=" REDIRECT("L2EvZg==") "\n",
			"./a" OF_DIR "\n./a/f" WHITEOUT "\n"));
}

TEST(references_that_mislead_are_refused)
{
	const char *system = "./a" OF_DIR "\n./a/f" OF_DATA("0644", ONES) "\n";

	misleads("layer 2 of 2: 'g': refers to contents at 'g', where there is no file beneath",
		LAYERS(system, OF_PATCH "./g" OF_DATA("0644", ONES) " tags=" METACOPY "\n"));
	misleads("layer 2 of 2: 'g': refers to contents at 'a', where there is no file beneath",
		LAYERS(system,
			OF_PATCH "./g" OF_DATA("0644", ONES) " tags=" REDIRECT("L2E=") "\n"));
	misleads("layer 2 of 2: 'g': refers to contents at 'a/f', which are others",
		LAYERS(system,
			OF_PATCH "./g" OF_DATA("0644", TWOS) " tags=" REDIRECT("L2EvZg==") "\n"));
	/* hidden by the patch between, by name, by its directory, by an opaque one */
	misleads("layer 3 of 3: 'g': refers to contents at 'a/f', where there is no file beneath",
		LAYERS(system, OF_PATCH "./a" OF_DIR "\n./a/f" WHITEOUT "\n",
			OF_PATCH "./g" OF_DATA("0644", ONES) " tags=" REDIRECT("L2EvZg==") "\n"));
	misleads("layer 3 of 3: 'g': refers to contents at 'a/f', where there is no file beneath",
		LAYERS(system, OF_PATCH "./a" WHITEOUT "\n",
			OF_PATCH "./g" OF_DATA("0644", ONES) " tags=" REDIRECT("L2EvZg==") "\n"));
	misleads("layer 3 of 3: 'g': refers to contents at 'a/f', where there is no file beneath",
		LAYERS(system, OF_PATCH "./a" OF_DIR " tags=xattr:trusted.overlay.opaque:eQ==\n",
			OF_PATCH "./g" OF_DATA("0644", ONES) " tags=" REDIRECT("L2EvZg==") "\n"));
	/*
	 * out of the tree, relative, on a directory, a redirect alone, nothing beneath the lowest
	 */
	misleads("layer 2 of 2: 'g': trusted.overlay.redirect is no path to a file",
		LAYERS(system,
			OF_PATCH
			"./g" OF_DATA("0644", ONES) " tags=" REDIRECT("L2EvLi4vYS9m") "\n"));
	misleads("layer 2 of 2: 'g': trusted.overlay.redirect is no path to a file",
		LAYERS(system,
			OF_PATCH "./g" OF_DATA("0644", ONES) " tags=" REDIRECT("L2EvL2Y=") "\n"));
	misleads("layer 2 of 2: 'g': trusted.overlay.redirect is no absolute path of at most 256 "
		 "bytes",
		LAYERS(system,
			OF_PATCH "./g" OF_DATA("0644", ONES) " tags=" REDIRECT("YS9m") "\n"));
	misleads("layer 2 of 2: 'a': a dir refers to contents elsewhere",
		LAYERS(system,
			OF_PATCH "./a" OF_DIR " tags=xattr:trusted.overlay.redirect:L2I=\n"));
	misleads("layer 2 of 2: 'g': trusted.overlay.metacopy is missing or not empty",
		LAYERS(system,
			OF_PATCH "./g" OF_DATA(
				"0644", ONES) " tags=xattr:trusted.overlay.redirect:L2EvZg==\n"));
	misleads("layer 1 of 1: 'g': refers to contents at 'g', where there is no file beneath",
		LAYERS(OF_PATCH "./g" OF_DATA("0644", ONES) " tags=" METACOPY "\n"));
}

/* What is hidden does no harm. */
TEST(hidden_metacopy_is_no_matter)
{
	struct mlimg_manifest *layers[] = {
		layer_with("./d" OF_FILE " tags=xattr:trusted.overlay.metacopy:\n"),
		layer_with("./d" OF_DIR "\n")};
	struct mlimg_manifest *merged = merge((const struct mlimg_manifest *const *)layers, 2);

	ASSERT_EQ(mlimg_manifest_find(merged, "d")->type, MLIMG_DIR);
	mlimg_manifest_free(merged);
	mlimg_manifest_free(layers[0]);
	mlimg_manifest_free(layers[1]);
}

/* A path that is as deep as can be. */
TEST(deepest_tree)
{
	struct mlimg_manifest *layers[2], *merged;

	for (size_t i = 0; i < 2; i++) {
		char path[MLIMG_PATH_MAX + 1] = "";
		struct mlimg_entry e = {.path = path, .type = MLIMG_DIR, .nlink = 1};

		layers[i] = mlimg_manifest_new();
		ASSERT(mlimg_manifest_add(layers[i], &e));
		for (size_t size = 0; size < MLIMG_PATH_MAX; size = strlen(path)) {
			strcat(path, size ? "/d" : "d");
			ASSERT(mlimg_manifest_add(layers[i], &e));
		}
	}
	merged = merge((const struct mlimg_manifest *const *)layers, 2);
	ASSERT_EQ(merged->n_entries, 2049);
	mlimg_manifest_free(merged);
	mlimg_manifest_free(layers[0]);
	mlimg_manifest_free(layers[1]);
}
