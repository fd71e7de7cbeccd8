/* SPDX-License-Identifier: MIT */
#include "libmlimg/compose.h"

#include "libmlimg/cleanup.h"
#include "libmlimg/merge.h"
#include "libmlimg/whiteout.h"
#include "tests/lib/test.h"

#define LAYERS 6
#define TEXT 256
#define N_DIRS (sizeof(dirs) / sizeof(*dirs))
#define N_FILES (sizeof(files) / sizeof(*files))

/* In the order of manifests, as are the files. */
static const char *const dirs[] = {
	"", "var", "var/lib", "var/lib/dpkg", "var/lib/dpkg/triggers", "var/log"};
static const char *const files[] = {"var/lib/dpkg/arch", "var/lib/dpkg/triggers/File",
	"var/lib/dpkg/triggers/ldconfig", "var/log/other"};

/* ---- layers made by hand ---- */

struct layer {
	struct mlimg_layer_info info;
	struct mlimg_manifest *manifest;
	char texts[N_FILES][TEXT], records[N_FILES][TEXT];
	bool has_records[N_FILES];
};

struct stack {
	struct layer layers[LAYERS];
	const struct mlimg_layer_info *infos[LAYERS];
	const struct mlimg_manifest *manifests[LAYERS];
	struct mlimg_compose_layers all;
	size_t n_reads;
};

static size_t file_of(const char *path)
{
	for (size_t i = 0; i < N_FILES; i++)
		if (strcmp(files[i], path) == 0)
			return i;
	FAIL("'%s' is no file of the test's", path);
}

static int read_file(void *ctx, size_t layer, const struct mlimg_entry *entry, char **ret_text,
	size_t *ret_size, struct mlimg_err *err)
{
	struct stack *s = ctx;

	s->n_reads++;
	*ret_text = strdup(s->layers[layer].texts[file_of(entry->path)]);
	*ret_size = strlen(*ret_text);
	return 0;
}

static int read_records(void *ctx, size_t layer, const struct mlimg_layer_records *records,
	char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	struct stack *s = ctx;

	*ret_text = strdup(s->layers[layer].records[file_of(records->path)]);
	*ret_size = strlen(*ret_text);
	return 0;
}

static struct layer *push(struct stack *s)
{
	struct layer *l = &s->layers[s->all.n];

	snprintf(l->info.name, sizeof(l->info.name), "l%zu", s->all.n);
	l->manifest = mlimg_manifest_new();
	s->infos[s->all.n] = &l->info;
	s->manifests[s->all.n++] = l->manifest;
	s->all.infos = s->infos;
	s->all.manifests = s->manifests;
	s->all.read_file = read_file;
	s->all.read_records = read_records;
	s->all.ctx = s;
	return l;
}

static struct mlimg_entry *add(struct layer *l, const char *path, enum mlimg_type type)
{
	struct mlimg_entry e = {.path = (char *)(uintptr_t)path,
		.type = (uint8_t)type,
		.mode = type == MLIMG_DIR ? 0755 : 0644,
		.nlink = 1};

	if (type == MLIMG_LINK)
		e.link = (char *)(uintptr_t) "elsewhere";
	return mlimg_manifest_add(l->manifest, &e);
}

static void add_opaque(struct layer *l, const char *path)
{
	struct mlimg_xattr x = {
		(char *)(uintptr_t)MLIMG_XATTR_OPAQUE, (uint8_t *)(uintptr_t) "y", 1};
	struct mlimg_entry e = {.path = (char *)(uintptr_t)path,
		.type = MLIMG_DIR,
		.mode = 0755,
		.nlink = 1,
		.xattrs = &x,
		.n_xattrs = 1};

	ASSERT(mlimg_manifest_add(l->manifest, &e));
}

static struct mlimg_entry *add_file(struct layer *l, size_t file, const char *text)
{
	struct mlimg_entry *e = add(l, files[file], MLIMG_FILE);

	snprintf(l->texts[file], TEXT, "%s", text);
	e->size_bytes = strlen(text);
	e->has_digest = true;
	mlimg_sha256_of(text, strlen(text), e->digest);
	return e;
}

static void add_records(struct layer *l, size_t file, const char *text)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint8_t digest[MLIMG_SHA256_SIZE];
	char hex[MLIMG_SHA256_HEX_SIZE];

	snprintf(l->records[file], TEXT, "%s", text);
	l->has_records[file] = true;
	mlimg_sha256_of(text, strlen(text), digest);
	mlimg_sha256_hex(digest, hex);
	ASSERT_OK(mlimg_layer_add_records(&l->info, files[file], hex, &err), err);
}

/* The directories down to where dpkg's files are. */
static struct layer *push_dirs(struct stack *s)
{
	struct layer *l = push(s);

	for (size_t i = 0; i < 4; i++)
		add(l, dirs[i], MLIMG_DIR);
	return l;
}

static void stack_done(struct stack *s)
{
	for (size_t i = 0; i < s->all.n; i++) {
		mlimg_manifest_free(s->layers[i].manifest);
		mlimg_layer_info_done(&s->layers[i].info);
	}
	free(s);
}

static struct stack *stack_new(void)
{
	struct stack *s = calloc(1, sizeof(*s));

	ASSERT(s);
	return s;
}

static void check_text(struct stack *s, size_t file, const char *wanted)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autofree char *text = NULL;
	size_t size;

	ASSERT_OK(mlimg_compose_text(&s->all, files[file], &text, &size, &err), err);
	ASSERT_STR(text, wanted);
	ASSERT_EQ(size, strlen(wanted));
}

static void refused(struct stack *s, const char *why)
{
	struct mlimg_composed composed;
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_EQ(mlimg_compose(&s->all, &composed, &err), -EUCLEAN);
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
	ASSERT_STR(err.text, why);
	mlimg_composed_done(&composed);
	stack_done(s);
}

/* ---- the oracle ---- */

/*
 * From the bottom up: a tree as the layers make it one after the other, which the library never
 * has. A path that shows has a type; one of a database its text, and whether records have had a
 * part in it.
 */
struct shown {
	uint8_t dirs[N_DIRS]; /* type, or 0 */
	struct {
		bool is_there, is_composed;
		uint16_t mode;
		char text[TEXT];
	} files[N_FILES];
};

static void forget_below(struct shown *shown, const char *dir)
{
	size_t size = strlen(dir);

	for (size_t i = 0; i < N_DIRS; i++)
		if (strncmp(dirs[i], dir, size) == 0 && dirs[i][size] == '/')
			shown->dirs[i] = 0;
	for (size_t i = 0; i < N_FILES; i++)
		if (strncmp(files[i], dir, size) == 0 && files[i][size] == '/')
			shown->files[i].is_there = shown->files[i].is_composed = false;
}

static bool has_line(const char *text, const char *line, size_t size)
{
	for (const char *at = text; (at = strstr(at, line)); at++)
		if ((at == text || at[-1] == '\n') && strncmp(at, line, size) == 0)
			return true;
	return false;
}

/*
 * @text with the lines of @records: "-x" takes the line "x" away, "x" is there behind the others.
 */
static void change_lines(char text[TEXT], const char *records)
{
	char line[TEXT], old[TEXT];

	for (; *records; records = strchr(records, '\n') + 1) {
		bool is_gone = *records == '-';
		int size = (int)strcspn(records + is_gone, "\n") + 1;
		char *out = text;

		snprintf(line, sizeof(line), "%.*s", size, records + is_gone);
		strcpy(old, text);
		if (!is_gone && !has_line(old, line, (size_t)size))
			strcat(text, line);
		if (!is_gone)
			continue;
		for (char *at = old; *at; at += strcspn(at, "\n") + 1)
			if (strncmp(at, line, (size_t)size) != 0)
				out += sprintf(out, "%.*s", (int)strcspn(at, "\n") + 1, at);
		*out = '\0';
	}
}

static void apply_entry(struct shown *shown, const struct layer *l, const struct mlimg_entry *e)
{
	for (size_t i = 0; i < N_DIRS; i++) {
		if (strcmp(dirs[i], e->path) != 0)
			continue;
		if (e->type != MLIMG_DIR || mlimg_entry_is_opaque(e) || shown->dirs[i] != MLIMG_DIR)
			forget_below(shown, e->path);
		shown->dirs[i] = mlimg_entry_is_whiteout(e) ? 0 : e->type;
	}
	for (size_t i = 0; i < N_FILES; i++) {
		if (strcmp(files[i], e->path) != 0)
			continue;
		shown->files[i].is_there = e->type == MLIMG_FILE;
		shown->files[i].is_composed = false;
		shown->files[i].mode = e->mode;
		strcpy(shown->files[i].text, l->texts[i]);
	}
}

static void apply_layer(struct shown *shown, const struct layer *l)
{
	struct shown before = *shown;

	for (size_t i = 0; i < l->manifest->n_entries; i++)
		apply_entry(shown, l, &l->manifest->entries[i]);
	for (size_t i = 0; i < N_FILES; i++) {
		const struct mlimg_entry *e = mlimg_manifest_find(l->manifest, files[i]);

		if (!l->has_records[i] || (e && e->type == MLIMG_FILE))
			continue;
		shown->files[i] = before.files[i];
		if (!before.files[i].is_there) {
			shown->files[i].text[0] = '\0';
			shown->files[i].mode = 0644;
		}
		change_lines(shown->files[i].text, l->records[i]);
		shown->files[i].is_there = shown->files[i].is_composed = true;
		for (size_t d = 0; d < N_DIRS; d++)
			if (strncmp(files[i], dirs[d], strlen(dirs[d])) == 0)
				shown->dirs[d] = MLIMG_DIR;
	}
}

/* ---- random stacks ---- */

static void random_lines(char text[TEXT], bool has_marks)
{
	static const char *const names[] = {"a", "aa", "b", "c", "d"};
	char *out = text;

	*out = '\0';
	for (size_t i = 0; i < 5; i++)
		if (test_random(2))
			out += sprintf(
				out, "%s%s\n", has_marks && test_random(2) ? "-" : "", names[i]);
}

static void random_dirs_and_files(struct layer *l, bool is_lowest)
{
	size_t file = 0;
	char text[TEXT];

	for (size_t d = 0; d < N_DIRS; d++) {
		char *slash = strrchr(dirs[d], '/');
		char parent[TEXT];
		const struct mlimg_entry *in;

		snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - dirs[d]) : 0,
			dirs[d]);
		in = d ? mlimg_manifest_find(l->manifest, parent) : NULL;
		if (d && (!in || in->type != MLIMG_DIR || (!is_lowest && test_random(5) == 0)))
			continue;
		if (d && !is_lowest && test_random(8) == 0) {
			add(l, dirs[d], MLIMG_CHAR);
			continue;
		}
		if (d && !is_lowest && test_random(6) == 0)
			add_opaque(l, dirs[d]);
		else
			add(l, dirs[d], MLIMG_DIR)->mode = (uint16_t)(0700 + test_random(64));
		/* Files come before what is in the next directory. */
		for (; file < N_FILES && strncmp(files[file], dirs[d], strlen(dirs[d])) == 0 &&
			strrchr(files[file], '/') == files[file] + strlen(dirs[d]);
			file++) {
			random_lines(text, false);
			if (test_random(3) == 0)
				add_file(l, file, text)->mode = (uint16_t)(0600 + test_random(64));
			else if (!is_lowest && test_random(5) == 0)
				add(l, files[file], MLIMG_CHAR);
		}
		while (file < N_FILES &&
			strcmp(files[file], d + 1 < N_DIRS ? dirs[d + 1] : "x") < 0)
			file++;
	}
}

static struct stack *random_stack(void)
{
	struct stack *s = stack_new();
	size_t n = 1 + test_random(LAYERS);
	char text[TEXT];

	for (size_t i = 0; i < n; i++) {
		struct layer *l = push(s);

		random_dirs_and_files(l, i == 0);
		for (size_t f = 0; i > 0 && f + 1 < N_FILES; f++) {
			random_lines(text, true);
			if (test_random(2))
				add_records(l, f, text);
		}
	}
	return s;
}

static struct mlimg_manifest *merge(struct stack *s, const struct mlimg_manifest *composed)
{
	const struct mlimg_manifest *all[LAYERS + 1];
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_manifest *merged;

	memcpy(all, s->manifests, sizeof(s->manifests));
	all[s->all.n] = composed;
	ASSERT_OK(mlimg_manifest_merge(all, s->all.n + (composed != NULL), &merged, &err), err);
	return merged;
}

static bool is_composed_file(const struct mlimg_composed *c, const char *path)
{
	const struct mlimg_entry *e = mlimg_manifest_find(c->manifest, path);

	return e && e->type == MLIMG_FILE;
}

/*
 * As a layer on top the tree changes nothing but what is composed: no attribute of a directory, no
 * other file.
 */
static void check_merged(struct stack *s, const struct mlimg_composed *c)
{
	struct mlimg_manifest *plain = merge(s, NULL), *with = merge(s, c->manifest);

	for (size_t i = 0; i < plain->n_entries; i++) {
		const struct mlimg_entry *was = &plain->entries[i];
		const struct mlimg_entry *now = mlimg_manifest_find(with, was->path);

		ASSERT(now);
		if (!is_composed_file(c, was->path))
			ASSERT(mlimg_entry_has_same_attrs(was, now));
	}
	for (size_t i = 0; i < with->n_entries; i++)
		if (!mlimg_manifest_find(plain, with->entries[i].path))
			ASSERT(mlimg_manifest_find(c->manifest, with->entries[i].path));
	mlimg_manifest_free(plain);
	mlimg_manifest_free(with);
}

static void check_files(const struct shown *shown, const struct mlimg_composed *c)
{
	for (size_t i = 0; i < N_FILES; i++) {
		const struct mlimg_entry *e =
			c->manifest ? mlimg_manifest_find(c->manifest, files[i]) : NULL;

		ASSERT_EQ(e != NULL, shown->files[i].is_composed);
		if (!e)
			continue;
		ASSERT_STR(c->texts[e - c->manifest->entries].text, shown->files[i].text);
		ASSERT_EQ(e->size_bytes, strlen(shown->files[i].text));
		ASSERT_EQ(e->mode, shown->files[i].mode);
	}
}

TEST(random_layers_show_what_a_naive_model_shows)
{
	size_t n_composed = 0;

	for (int i = 0; i < 2000; i++) {
		struct stack *s = random_stack();
		struct mlimg_composed composed;
		struct mlimg_err err = MLIMG_ERR_INIT;
		struct shown shown = {0};

		for (size_t k = 0; k < s->all.n; k++)
			apply_layer(&shown, &s->layers[k]);
		ASSERT_OK(mlimg_compose(&s->all, &composed, &err), err);
		for (size_t f = 0; f < N_FILES; f++)
			check_text(s, f, shown.files[f].is_there ? shown.files[f].text : "");
		check_files(&shown, &composed);
		n_composed += composed.manifest != NULL;
		if (composed.manifest) {
			ASSERT(mlimg_composed_is_current(composed.manifest));
			check_merged(s, &composed);
		}
		mlimg_composed_done(&composed);
		stack_done(s);
	}
	ASSERT(n_composed > 500);
}

/* ---- cases ---- */

TEST(without_records_nothing_is_composed_or_read)
{
	struct stack *s = stack_new();
	struct mlimg_composed composed;
	struct mlimg_err err = MLIMG_ERR_INIT;

	add_file(push_dirs(s), 0, "i386\n");
	push_dirs(s);
	ASSERT(!mlimg_compose_is_needed(s->infos, 2));
	ASSERT_OK(mlimg_compose(&s->all, &composed, &err), err);
	ASSERT(!composed.manifest);
	ASSERT_EQ(s->n_reads, 0);
	mlimg_composed_done(&composed);
	stack_done(s);
}

TEST(records_change_what_was_beneath_though_their_layer_hides_it)
{
	struct stack *s = stack_new();
	struct layer *l;

	add_file(push_dirs(s), 0, "amd64\n");
	add_records(push_dirs(s), 0, "i386\n");
	l = push(s);
	for (size_t i = 0; i < 3; i++)
		add(l, dirs[i], MLIMG_DIR);
	add_opaque(l, dirs[3]);
	add_records(l, 0, "arm64\n");
	check_text(s, 0, "amd64\ni386\narm64\n");
	stack_done(s);
}

TEST(what_a_layer_without_records_hides_is_gone)
{
	struct stack *s = stack_new();

	add_file(push_dirs(s), 0, "amd64\n");
	add_records(push_dirs(s), 0, "i386\n");
	add(push_dirs(s), files[0], MLIMG_CHAR);
	check_text(s, 0, "");
	add_records(push_dirs(s), 0, "arm64\n");
	check_text(s, 0, "arm64\n");
	stack_done(s);
}

TEST(attributes_are_the_file_s_and_the_time_is_the_newest)
{
	struct stack *s = stack_new();
	struct mlimg_composed composed;
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_entry *e = add_file(push_dirs(s), 0, "amd64\n");
	const struct mlimg_entry *found;
	struct layer *l;

	e->mode = 0640;
	e->uid = 7;
	e->mtime_s = 50;
	add_records(push_dirs(s), 0, "i386\n");
	l = push_dirs(s);
	l->manifest->entries[3].mtime_s = 90;
	l->manifest->entries[3].gid = 9;
	add_records(l, 0, "-i386\narm64\n");
	ASSERT_OK(mlimg_compose(&s->all, &composed, &err), err);
	ASSERT_EQ(composed.manifest->n_entries, 5);
	found = mlimg_manifest_find(composed.manifest, files[0]);
	ASSERT_EQ(found->mode, 0640);
	ASSERT_EQ(found->uid, 7);
	ASSERT_EQ(found->mtime_s, 90);
	ASSERT_EQ(mlimg_manifest_find(composed.manifest, dirs[3])->gid, 9);
	ASSERT_STR(composed.texts[4].text, "amd64\narm64\n");
	mlimg_composed_done(&composed);
	stack_done(s);
}

TEST(contents_that_are_not_what_was_said_are_refused)
{
	struct stack *s = stack_new();
	struct layer *l;

	strcpy((add_file(l = push_dirs(s), 0, "amd64\n"), l)->texts[0], "i386\n");
	add_records(push_dirs(s), 0, "arm64\n");
	refused(s, "layer 'l0': '/var/lib/dpkg/arch': its contents are not what its manifest says");
	s = stack_new();
	add_file(push_dirs(s), 0, "amd64\n");
	add_records(l = push_dirs(s), 0, "arm64\n");
	strcpy(l->records[0], "other\n");
	refused(s,
		"layer 'l1': '/var/lib/dpkg/arch': its records have digest "
		"7e4fa2eb8c7ac089739d, not c1669e1d8edca98769c3");
}

TEST(what_has_not_the_form_is_said_of_the_layer_that_has_it)
{
	struct stack *s = stack_new();

	add_file(push_dirs(s), 0, "amd64");
	add_records(push_dirs(s), 0, "arm64\n");
	refused(s, "layer 'l0': '/var/lib/dpkg/arch': no newline at the end");
	s = stack_new();
	add_file(push_dirs(s), 0, "amd64\n");
	add_records(push_dirs(s), 0, "arm64\n");
	add_records(push_dirs(s), 0, "i386");
	refused(s, "layer 'l2': '/var/lib/dpkg/arch': records 1 of 1: no newline at the end");
}

TEST(another_type_where_a_file_or_a_directory_should_be_is_refused)
{
	struct stack *s = stack_new();
	struct layer *l;

	add(push_dirs(s), files[0], MLIMG_LINK);
	add_records(push_dirs(s), 0, "arm64\n");
	refused(s,
		"layer 'l0': '/var/lib/dpkg/arch' is no file (type link), but layers above have "
		"records for it");
	s = stack_new();
	l = push(s);
	add(l, dirs[0], MLIMG_DIR);
	add(l, dirs[1], MLIMG_LINK);
	l = push(s);
	add(l, dirs[0], MLIMG_DIR);
	add_records(l, 0, "arm64\n");
	refused(s,
		"layer 'l0': '/var' is no directory (type link), but layers above have records for "
		"it");
}
