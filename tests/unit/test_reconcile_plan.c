/* SPDX-License-Identifier: MIT */
/*
 * Trees are written as words: PATH=WHAT, where WHAT is d (a directory), A, B, ... (a file that has the letter and a newline in it), T:a/b/c (a file of
 * these lines, in which _ is a blank and # a slash), >TARGET (a link), W (a whiteout), o (an opaque directory), r:REDIRECT (a renamed directory), n (a FIFO); then, each behind a comma,
 * mNNN (mode), uN, gN (owner), x=V (the xattr user.x), #N (number of a group of hard links). Directories on the way need not be written. So are plans.
 */
#include "libmlimg/reconcile-plan.h"

#include <stdarg.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/path.h"
#include "libmlimg/text.h"
#include "libmlimg/whiteout.h"
#include "tests/lib/test.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* --- trees --- */

#define MAX_FILES 64

/* All contents that there are, by digest. */
static struct content {
	uint8_t digest[MLIMG_SHA256_SIZE];
	char text[256];
} contents[256];
static size_t n_contents;

static const struct content *content_of(const uint8_t digest[MLIMG_SHA256_SIZE])
{
	for (size_t i = 0; i < n_contents; i++)
		if (memcmp(contents[i].digest, digest, MLIMG_SHA256_SIZE) == 0)
			return &contents[i];
	return NULL;
}

static void set_content(struct mlimg_entry *e, const char *text)
{
	struct content *c = &contents[n_contents];

	e->type = MLIMG_FILE;
	e->size_bytes = strlen(text);
	e->has_digest = true;
	mlimg_sha256_of(text, strlen(text), e->digest);
	if (content_of(e->digest))
		return;
	ASSERT(n_contents++ < 256 && strlen(text) < sizeof(c->text));
	memcpy(c->digest, e->digest, sizeof(c->digest));
	strcpy(c->text, text);
}

static struct mlimg_xattr *add_xattr(struct mlimg_entry *e, const char *name, const char *value)
{
	struct mlimg_xattr *more = calloc(e->n_xattrs + 1, sizeof(*more));

	ASSERT(more);
	if (e->n_xattrs)
		memcpy(more, e->xattrs, e->n_xattrs * sizeof(*more));
	free(e->xattrs);
	e->xattrs = more;
	more[e->n_xattrs++] = (struct mlimg_xattr){
		(char *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(value)};
	return more;
}

static void set_what(struct mlimg_entry *e, char *what)
{
	char text[256];

	e->mode = 0755;
	e->type = MLIMG_DIR;
	switch (*what) {
	case 'd': break;
	case 'o': add_xattr(e, MLIMG_XATTR_OPAQUE, "y"); break;
	case 'r': add_xattr(e, MLIMG_XATTR_REDIRECT, what + 2); break;
	case 'n': e->type = MLIMG_FIFO; break;
	case 'W':
		e->type = MLIMG_CHAR;
		e->mode = 0;
		break;
	case '>':
		e->type = MLIMG_LINK;
		e->mode = 0777;
		e->link = what + 1;
		break;
	case 'T':
		snprintf(text, sizeof(text), "%s\n", what + 2);
		for (char *c = text; *c; c++)
			*c = *c == '/' ? '\n' : *c == '_' ? ' ' : *c == '#' ? '/' : *c;
		e->mode = 0644;
		set_content(e, text);
		break;
	default:
		ASSERT(*what >= 'A' && *what <= 'V' && !what[1]);
		snprintf(text, sizeof(text), "%c\n", *what);
		e->mode = 0644;
		set_content(e, text);
	}
}

/* What stands behind commas. */
static void set_attr(struct mlimg_entry *e, char *attr)
{
	switch (*attr) {
	case 'm': e->mode = (uint16_t)strtoul(attr + 1, NULL, 8); break;
	case 'u': e->uid = (uint32_t)atoi(attr + 1); break;
	case 'g': e->gid = (uint32_t)atoi(attr + 1); break;
	case 'x': add_xattr(e, "user.x", attr + 2); break;
	case '#':
		e->hardlink = (uint32_t)atoi(attr + 1);
		e->nlink = 2;
		break;
	default: FAIL("attribute '%s'", attr);
	}
}

static int by_path(const void *a, const void *b)
{
	return mlimg_manifest_path_cmp(
		((const struct mlimg_entry *)a)->path, ((const struct mlimg_entry *)b)->path);
}

/* Directories on the way to the last entry. */
static size_t add_parents(struct mlimg_entry *entries, size_t n, struct mlimg_arena *arena)
{
	char path[256];

	strcpy(path, entries[n - 1].path);
	for (char *slash; (slash = strrchr(path, '/'));) {
		bool is_there = false;

		*slash = '\0';
		for (size_t i = 0; i < n; i++)
			is_there = is_there || strcmp(entries[i].path, path) == 0;
		if (!is_there)
			entries[n++] = (struct mlimg_entry){
				.path = mlimg_arena_strndup(arena, path, strlen(path)),
				.type = MLIMG_DIR,
				.mode = 0755,
				.nlink = 1};
	}
	return n;
}

static struct mlimg_manifest *tree_of(const char *words)
{
	struct mlimg_entry entries[MAX_FILES] = {
		{.path = (char *)"", .type = MLIMG_DIR, .mode = 0755, .nlink = 1}};
	struct mlimg_manifest *m = mlimg_manifest_new();
	char *text = strdup(words), *rest = text, *word;
	size_t n = 1;

	ASSERT(m && text);
	while ((word = strsep(&rest, " "))) {
		struct mlimg_entry *e = &entries[n];
		char *what = strchr(word, '='), *attr;

		if (!*word)
			continue;
		ASSERT(what && n < MAX_FILES);
		*what++ = '\0';
		*e = (struct mlimg_entry){.path = word, .nlink = 1};
		attr = strchr(what, ',');
		if (attr)
			*attr++ = '\0';
		set_what(e, what);
		for (char *more; (more = strsep(&attr, ","));)
			set_attr(e, more);
		n++;
	}
	/* Those that were written stand before those on their way. */
	for (size_t i = n; i-- > 1;) {
		struct mlimg_entry last = entries[n - 1];

		entries[n - 1] = entries[i];
		entries[i] = last;
		n = add_parents(entries, n, m->arena);
	}
	qsort(entries, n, sizeof(*entries), by_path);
	for (size_t i = 0; i < n; i++) {
		ASSERT(mlimg_manifest_add(m, &entries[i]));
		free(entries[i].xattrs);
	}
	free(text);
	return m;
}

/* --- the parts that are given to the planner --- */

struct given {
	struct mlimg_upper_source source;
	const struct mlimg_manifest *mine;
	const char *unread; /* a file whose contents cannot be read */
	bool lacks_base, lacks_next;
	size_t n_skipped;
};

static struct given given;

static int load(struct mlimg_upper_source *source, mlimg_walk_skip_fn *skip, void *ctx,
	struct mlimg_manifest **ret_manifest, struct mlimg_err *err)
{
	struct mlimg_manifest *m = mlimg_manifest_new();

	ASSERT(m);
	for (size_t i = 0; i < given.mine->n_entries; i++) {
		struct mlimg_entry e = given.mine->entries[i];

		e.has_digest = false;
		memset(e.digest, 0, sizeof(e.digest));
		ASSERT(mlimg_manifest_add(m, &e));
	}
	*ret_manifest = m;
	return 0;
}

static int digest(struct mlimg_upper_source *source, const char *path,
	uint8_t ret_digest[MLIMG_SHA256_SIZE], struct mlimg_err *err)
{
	const struct mlimg_entry *e = mlimg_manifest_find(given.mine, path);

	ASSERT(e && e->type == MLIMG_FILE);
	if (given.unread && strcmp(given.unread, path) == 0)
		return mlimg_err_set(err, EIO, "read '%s'", path);
	memcpy(ret_digest, e->digest, sizeof(e->digest));
	return 0;
}

static int give(
	const uint8_t digest_of[MLIMG_SHA256_SIZE], size_t max, char **ret_data, size_t *ret_size)
{
	const struct content *c = content_of(digest_of);

	ASSERT(c);
	if (strlen(c->text) > max)
		return -EFBIG;
	*ret_data = strdup(c->text);
	*ret_size = strlen(c->text);
	return 0;
}

static int read_mine(struct mlimg_upper_source *source, const char *path, size_t max,
	char **ret_data, size_t *ret_size, struct mlimg_err *err)
{
	const struct mlimg_entry *e = mlimg_manifest_find(given.mine, path);

	ASSERT(e && e->type == MLIMG_FILE);
	return give(e->digest, max, ret_data, ret_size);
}

static int read_base(const char *path, const uint8_t digest_of[MLIMG_SHA256_SIZE], size_t max,
	void *ctx, char **ret_data, size_t *ret_size)
{
	return given.lacks_base ? -ENOENT : give(digest_of, max, ret_data, ret_size);
}

static int read_next(const char *path, const uint8_t digest_of[MLIMG_SHA256_SIZE], size_t max,
	void *ctx, char **ret_data, size_t *ret_size)
{
	const struct mlimg_reconcile_input *in = ctx;
	const struct mlimg_entry *e = mlimg_manifest_find(in->next, path);

	ASSERT(e && memcmp(e->digest, digest_of, sizeof(e->digest)) == 0);
	return given.lacks_next ? -EIO : give(digest_of, max, ret_data, ret_size);
}

static void skip(const char *path, int error, bool was_visited, void *ctx)
{
	given.n_skipped++;
}

/* --- plans as words --- */

static void put(struct mlimg_text *to, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct mlimg_text *to, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	mlimg_text_put(to, text, (size_t)vsnprintf(text, sizeof(text), fmt, args));
	va_end(args);
}

static void put_file(struct mlimg_text *to, const struct mlimg_entry *e, const char *text)
{
	if (strlen(text) == 2) {
		put(to, "%c", *text);
		return;
	}
	put(to, "T:");
	for (const char *c = text; c[1]; c++)
		put(to, "%c", *c == '\n' ? '/' : *c);
}

static void put_entry(
	struct mlimg_text *to, const struct mlimg_plan *plan, const struct mlimg_plan_op *op)
{
	static const uint16_t usual[] = {
		[MLIMG_FILE] = 0644, [MLIMG_DIR] = 0755, [MLIMG_LINK] = 0777, [MLIMG_FIFO] = 0755};
	const struct mlimg_entry *e = op->entry;

	if (strcmp(e->path, op->path) != 0)
		put(to, "%s", e->path);
	put(to, "=");
	switch (e->type) {
	case MLIMG_DIR: put(to, "d"); break;
	case MLIMG_FIFO: put(to, "n"); break;
	case MLIMG_LINK: put(to, ">%s", e->link); break;
	default:
		if (op->verb == MLIMG_PLAN_PUT)
			put_file(to, e, plan->blobs[op->blob].data);
		else if (op->verb == MLIMG_PLAN_SET_ATTRS)
			put(to, "f");
		else
			put_file(to, e, content_of(e->digest)->text);
	}
	if (e->mode != usual[e->type])
		put(to, ",m%o", e->mode);
	if (e->uid)
		put(to, ",u%u", e->uid);
	if (e->gid)
		put(to, ",g%u", e->gid);
	for (uint32_t i = 0; i < e->n_xattrs; i++)
		put(to, ",%s=%.*s",
			e->xattrs[i].name + (strncmp(e->xattrs[i].name, "user.", 5) ? 0 : 5),
			(int)e->xattrs[i].size, (char *)e->xattrs[i].value);
}

/* As a reader sees it, which takes nothing that it should not. */
static char *words_of(const struct mlimg_plan *plan)
{
	struct mlimg_text file = {.data = NULL}, words = {.data = NULL};
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_plan read;

	mlimg_plan_put(plan, mlimg_text_put, &file);
	ASSERT_OK(mlimg_plan_parse(file.data, file.size, &read, &err), err);
	mlimg_text_put(&words, "", 0);
	for (size_t i = 0; i < read.n_ops; i++) {
		put(&words, "%s%c %s", i ? "; " : "", read.ops[i].verb, read.ops[i].path);
		if (read.ops[i].entry)
			put_entry(&words, &read, &read.ops[i]);
	}
	mlimg_plan_done(&read);
	free(file.data);
	return words.data;
}

static const char *more_classes; /* a file of reconcile.d; or NULL */

/* Plans, with what @in has beside base, next and the upper. */
static void plan_with(struct mlimg_reconcile_input in, const char *base, const char *next,
	const char *mine, struct mlimg_report *report, struct mlimg_plan *plan)
{
	struct mlimg_manifest *b = tree_of(base), *n = tree_of(next), *m = tree_of(mine);
	struct mlimg_path_classes *classes = mlimg_path_classes_new();
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT(classes);
	if (more_classes)
		ASSERT_OK(mlimg_path_classes_add(
				  classes, "x", more_classes, strlen(more_classes), &err),
			err);
	ASSERT_OK(mlimg_report_init(report, &err), err);
	given.source = (struct mlimg_upper_source){load, digest, read_mine};
	given.mine = m;
	in.base = b;
	in.next = n;
	in.upper = &given.source;
	in.classes = classes;
	in.generation = 2;
	in.from = ID_A;
	in.to = ID_B;
	in.read_base = read_base;
	in.read_next = read_next;
	in.read_ctx = &in;
	in.skip = skip;
	ASSERT_OK(mlimg_reconcile_plan(&in, report, plan, &err), err);
	mlimg_manifest_free(b);
	mlimg_manifest_free(n);
	mlimg_manifest_free(m);
	mlimg_path_classes_free(classes);
}

/* @told: of each entry that is listed: PATH VERDICT DONE; or NULL */
static void check_with(struct mlimg_reconcile_input in, const char *base, const char *next,
	const char *mine, const char *wanted, const char *told)
{
	struct mlimg_report report;
	struct mlimg_plan plan;
	mlimg_autofree char *words = NULL;

	plan_with(in, base, next, mine, &report, &plan);
	words = words_of(&plan);
	if (strcmp(words, wanted) != 0)
		FAIL("base %s, next %s, mine %s:\n  %s\n  instead of\n  %s", base, next, mine,
			words, wanted);
	fflush(report.entries);
	if (told && !(report.text && strstr(report.text, told)) && !(!*told && !report.listed))
		FAIL("base %s, next %s, mine %s: told\n%s\n  without\n%s", base, next, mine,
			report.text ? report.text : "", told);
	mlimg_plan_done(&plan);
	mlimg_report_done(&report);
}

static void check(
	const char *base, const char *next, const char *mine, const char *wanted, const char *told)
{
	check_with((struct mlimg_reconcile_input){.base = NULL}, base, next, mine, wanted, told);
}

#define TOLD(verdict, class, done) \
	"\"verdict\": \"" verdict "\", \"class\": \"" class "\", \"done\": \"" done "\""

/* --- cases --- */

TEST(what_one_side_changed)
{
	check("etc/a=A", "etc/a=A", "etc/a=B", "", "");
	check("etc/a=A", "etc/a=B", "etc/a=A", "d etc/a; D etc=d",
		TOLD("stale", "config", "dropped"));
	check("etc/a=A", "etc/a=B", "etc/a=B", "d etc/a; D etc=d",
		TOLD("same", "config", "dropped"));
	check("etc/a=A", "", "etc/a=A", "d etc/a; D etc=d", TOLD("stale", "config", "dropped"));
	check("", "", "etc/a=A", "", "");
	check("etc=d", "etc=d", "etc/a=A home/me/b=B", "", "");
	check("etc/a=A", "etc/a=A", "etc/a=W", "", "");
	check("etc/a=A", "", "etc/a=W", "d etc/a; D etc=d",
		TOLD("whiteout-gone", "config", "dropped"));
	check("etc/a=A", "etc/a=B", "etc/a=W", "", TOLD("whiteout-changed", "config", "stays"));
}

TEST(both_changed_the_same_of_it)
{
	check("etc/a=A", "etc/a=B", "etc/a=C", "n etc/a=B", TOLD("conflict", "config", "beside"));
	check("usr/a=A", "usr/a=B", "usr/a=C", "a usr/a; D usr=d",
		TOLD("conflict", "owned", "aside"));
	check("var/a=A", "var/a=B", "var/a=C", "", TOLD("conflict", "data", "stays"));
	check("etc/passwd=A", "etc/passwd=B", "etc/passwd=C", "",
		TOLD("conflict", "accounts", "stays"));
	check("var/lib/dpkg/status=A", "var/lib/dpkg/status=B", "var/lib/dpkg/status=C", "",
		TOLD("conflict", "packages", "stays"));
	check("etc/fstab=A", "etc/fstab=B", "etc/fstab=C", "", "");
	check("etc/fstab=A", "etc/fstab=B", "etc/fstab=A", "", "");
	check("etc/fstab=A", "", "etc/fstab=W", "", "");
	/* Both made it. */
	check("etc=d", "etc/a=B", "etc/a=C", "n etc/a=B", TOLD("conflict", "config", "beside"));
	/* It is gone from the new stack. */
	check("etc/a=A", "etc=d", "etc/a=C", "", TOLD("conflict", "config", "stays"));
	check("usr/a=A", "usr=d", "usr/a=C", "a usr/a; D usr=d",
		TOLD("conflict", "owned", "aside"));
	check("var/a=A", "var=d", "var/a=C", "", TOLD("conflict", "data", "stays"));
	/* Links are told only. */
	check("etc/a=>x", "etc/a=>y", "etc/a=>z", "", TOLD("conflict", "config", "stays"));
}

TEST(caches_are_dropped)
{
	struct mlimg_report report;
	struct mlimg_plan plan;

	check("etc/ld.so.cache=A", "etc/ld.so.cache=A", "etc/ld.so.cache=B",
		"d etc/ld.so.cache; D etc=d", TOLD("stale", "derived", "dropped"));
	check("etc=d", "etc=d", "etc/ld.so.cache=B", "d etc/ld.so.cache; D etc=d",
		TOLD("stale", "derived", "dropped"));
	check("var=d", "var=d", "var/cache/man/cat1/x=B", "d var/cache/man/cat1/x",
		TOLD("stale", "derived", "dropped"));
	plan_with((struct mlimg_reconcile_input){.base = NULL}, "", "",
		"etc/ld.so.cache=W var/cache/man/a=A var/cache/man/b=A", &report, &plan);
	ASSERT_EQ(report.n_rebuild, 2);
	ASSERT_STR(report.rebuild[0], "etc/ld.so.cache");
	ASSERT_STR(report.rebuild[1], "var/cache/man");
	mlimg_plan_done(&plan);
	mlimg_report_done(&report);
}

TEST(merged_by_component)
{
	check("etc/a=A", "etc/a=B", "etc/a=A,m600", "t etc/a=B,m600",
		TOLD("merged", "config", "merged"));
	check("etc/a=A", "etc/a=A,m600", "etc/a=B", "s etc/a=f,m600",
		TOLD("merged", "config", "merged"));
	check("usr/a=A,m4755", "usr/a=B,m755", "usr/a=A,m4755,u5,x=1", "t usr/a=B,m755,u5,x=1",
		TOLD("merged", "owned", "merged"));
	check("var/a=A,x=1", "var/a=A,x=2", "var/a=A,x=1,g7", "s var/a=f,g7,x=2",
		TOLD("merged", "data", "merged"));
	check("etc/a=>x", "etc/a=>y", "etc/a=>x,u5", "t etc/a=>y,u5",
		TOLD("merged", "config", "merged"));
	check("etc/a=n", "etc/a=n,m600", "etc/a=n,u5", "s etc/a=n,m600,u5",
		TOLD("merged", "config", "merged"));
	/* The same mode on both sides, and what one side did besides. */
	check("etc/a=A", "etc/a=B,m600", "etc/a=A,m600", "d etc/a; D etc=d", NULL);
	check("etc/a=A", "etc/a=A,m600,u5", "etc/a=A,m600", "d etc/a; D etc=d",
		TOLD("merged", "config", "dropped"));
	check("var/a=d", "var/a=d,m700,u5", "var/a=d,m700", "D var/a=d,m700; D var=d",
		TOLD("merged", "data", "dropped"));
	/* What both changed is mine, and the rest is merged all the same; where the new one wins, mine is set aside. */
	check("etc/a=A", "etc/a=B,m600", "etc/a=A,m640", "t etc/a=B,m640",
		TOLD("conflict", "config", "merged"));
	check("var/a=A", "var/a=B,m600", "var/a=C", "s var/a=f,m600",
		TOLD("conflict", "data", "merged"));
	check("etc/a=A", "etc/a=B,m600", "etc/a=C", "n etc/a=B,m600; s etc/a=f,m600",
		TOLD("conflict", "config", "beside"));
	check("usr/a=A", "usr/a=B,m600", "usr/a=A,m640", "a usr/a; D usr=d",
		TOLD("conflict", "owned", "aside"));
}

TEST(merged_by_lines)
{
	check("etc/a=T:1/2/3", "etc/a=T:1/2/x", "etc/a=T:y/2/3", "p etc/a=T:y/2/x",
		TOLD("merged", "config", "merged"));
	check("etc/a=T:1/2/3", "etc/a=T:1/2/x,m600", "etc/a=T:y/2/3,u5", "p etc/a=T:y/2/x,m600,u5",
		TOLD("merged", "config", "merged"));
	check("etc/a=T:1/2/3", "etc/a=T:1/2/x,m600", "etc/a=T:y/2/3,m640", "p etc/a=T:y/2/x,m640",
		TOLD("conflict", "config", "merged"));
	check("etc/a=T:1/2/3", "etc/a=T:1/x/3", "etc/a=T:y/2/3", "n etc/a=T:1/x/3",
		TOLD("conflict", "config", "beside"));
	/* One has all that the other has. */
	check("etc/a=T:1/2/3", "etc/a=T:1/2/x", "etc/a=T:y/2/x", "", "");
	check("etc/a=T:1/2/3", "etc/a=T:y/2/x", "etc/a=T:1/2/x", "d etc/a; D etc=d",
		TOLD("same", "config", "dropped"));
	check("etc/a=T:1/2/3", "etc/a=T:y/2/x", "etc/a=T:1/2/x,m600", "p etc/a=T:y/2/x,m600", NULL);
	/* Of no other class. */
	check("var/a=T:1/2/3", "var/a=T:1/2/x", "var/a=T:y/2/3", "",
		TOLD("conflict", "data", "stays"));
	/* Without one of the texts. */
	given.lacks_base = true;
	check("etc/a=T:1/2/3", "etc/a=T:1/2/x", "etc/a=T:y/2/3", "n etc/a=T:1/2/x",
		TOLD("conflict", "config", "beside"));
	given.lacks_base = false;
	given.lacks_next = true;
	check("etc/a=T:1/2/3", "etc/a=T:1/2/x", "etc/a=T:y/2/3", "n etc/a=T:1/2/x",
		TOLD("conflict", "config", "beside"));
	given.lacks_next = false;
}

TEST(what_lies_beside_already)
{
	check("etc/a=A", "etc/a=B", "etc/a=C etc/a.mlimg-new=B", "",
		TOLD("conflict", "config", "beside"));
	check("etc/a=A", "etc/a=B", "etc/a=C etc/a.mlimg-new=D", "n etc/a=B",
		TOLD("conflict", "config", "beside"));
}

TEST(types)
{
	check("etc/a=A", "etc/a=>x", "etc/a=B", "", TOLD("type-change", "config", "stays"));
	check("etc/a=>x", "etc/a=B", "etc/a=>y", "n etc/a=B",
		TOLD("type-change", "config", "beside"));
	check("etc/a=>x", "etc/a=A", "etc/a=B", "n etc/a=A", TOLD("conflict", "config", "beside"));
	check("etc/a=A", "etc/a=B", "etc/a=>x", "n etc/a=B",
		TOLD("type-change", "config", "beside"));
	check("usr/a=A", "usr/a=>x", "usr/a=B", "a usr/a; D usr=d",
		TOLD("type-change", "owned", "aside"));
	check("var/a=A", "var/a=>x", "var/a=B", "", TOLD("type-change", "data", "stays"));
	/* What was a file is a directory, and the other way round; with all below. */
	check("etc/a=A", "etc/a/b=A", "etc/a=B", "a etc/a; D etc=d",
		TOLD("type-change", "config", "aside"));
	check("var/a/b=A", "var/a=A", "var/a/b=B var/a/c=C", "a var/a; D var=d",
		TOLD("type-change", "data", "aside"));
	check("var/a=d", "var/a=>b", "var/a/b=B", "a var/a; D var=d", NULL);
	/* Attributes alone of the other type. */
	check("srv=d", "srv=d,m700", "srv=>home", "", "");
	check("etc/a=A", "etc/a=A,m600", "etc/a=>x", "", "");
	/* A copy that was not changed. */
	check("etc/a=A", "etc/a/b=A", "etc/a=A", "d etc/a; D etc=d",
		TOLD("stale", "config", "dropped"));
}

TEST(directories)
{
	/* They stay with what is in them, and get what the user did not change. */
	check("etc/a=d", "etc/a=d,m700", "etc/a/b=B", "s etc/a=d,m700",
		TOLD("stale", "config", "merged"));
	check("etc/a=d", "etc/a=d,m700", "etc/a=d,u5", "s etc/a=d,m700,u5",
		TOLD("merged", "config", "merged"));
	check("etc/a=d", "etc/a=d,m700", "etc/a=d,m750", "", TOLD("conflict", "config", "stays"));
	check("usr/a=d", "usr/a=d,m700,u5", "usr/a=d,m750", "s usr/a=d,m750,u5",
		TOLD("conflict", "owned", "merged"));
	check("etc/a=d", "etc=d", "etc/a/b=B", "", TOLD("stale", "config", "stays"));
	check("etc/a=d", "etc=d", "etc/a=d,m700", "", TOLD("conflict", "config", "stays"));
	check("", "", "etc/a=d", "", "");
	/* Copies that hold nothing go. */
	check("etc/a=d", "etc/a=d,m700", "etc/a=d", "D etc/a=d; D etc=d",
		TOLD("stale", "config", "dropped"));
	check("etc/a/b/c=A", "etc/a/b/c=B", "etc/a/b/c=A etc/a/d=D", "d etc/a/b/c; D etc/a/b=d",
		NULL);
	check("etc/a=d", "etc/a=d", "etc/a=W", "", "");
}

TEST(opaque_directories)
{
	/* Nothing below is compared; what it hid stays hidden. */
	check("etc/a/b=A", "etc/a/b=B etc/a/c=C", "etc/a=o etc/a/b=A etc/a/c=D", "", "");
	check("etc/a/b=A", "etc/a=d,m700 etc/a/b=B", "etc/a=o", "s etc/a=d,m700",
		TOLD("stale", "config", "merged"));
	check("etc/a/b=A", "etc=d", "etc/a=o", "", "");
	check("etc/a/b=A", "etc/a=A", "etc/a=o etc/a/b=B", "a etc/a; D etc=d",
		TOLD("type-change", "config", "aside"));
	/* One that hid nothing is joined with what has come. */
	check("etc=d", "etc/a/b=B etc/a/c=C", "etc/a=o etc/a/b=A etc/a/d=D", "u etc/a; n etc/a/b=B",
		TOLD("keep", "config", "joined"));
	check("usr=d", "usr/a/b=B", "usr/a=o usr/a/b=A usr/a/d=D", "u usr/a; a usr/a/b",
		TOLD("keep", "owned", "joined"));
	check("etc=d", "etc/a=d,m700", "etc/a=o", "u etc/a", TOLD("conflict", "config", "joined"));
	check("etc=d", "etc/a/b=A", "etc/a=o etc/a/b=A",
		"u etc/a; d etc/a/b; D etc/a=d,trusted.overlay.opaque=y; D etc=d", NULL);
	check("etc/a=A", "etc/a=B", "etc/a=o", "a etc/a; D etc=d",
		TOLD("type-change", "config", "aside"));
	check("etc/a=A", "etc=d", "etc/a=o etc/a/b=B", "", "");
	check("", "", "home/a=o home/a/b=o home/a/b/c=C", "", "");
}

TEST(renamed_directories)
{
	/* usr/b shows what usr/a has. */
	check("usr/a/x=A", "usr/a/x=A usr/a/y=B", "usr/a=W usr/b=r:a", "", "");
	check("usr/a/x=A", "usr/a/x=B", "usr/a=W usr/b=r:/usr/a usr/b/x=A", "d usr/b/x", NULL);
	check("usr/a/x=A", "usr/a/x=B", "usr/a=W usr/b=r:a usr/b/x=A,m600",
		"t usr/b/xusr/a/x=B,m600", NULL);
	check("etc/a/x=A", "etc/a/x=B", "etc/a=W etc/b=r:a etc/b/x=C", "n etc/b/xetc/a/x=B", NULL);
	check("usr/a/d/x=A", "usr/a/d/x=B", "usr/b=r:/usr/a usr/b/d=d usr/b/d/x=A",
		"d usr/b/d/x; D usr/b/d=d", NULL);
	/* The class is that of where it is now. */
	check("usr/a/x=A", "usr/a/x=B", "usr/a=W home/b=r:/usr/a home/b/x=C", "",
		TOLD("conflict", "data", "stays"));
	/* A second redirect within, and back by name. */
	check("a/b/x=A", "a/b/x=B", "c=r:/a c/d=r:b c/d/x=A", "d c/d/x", NULL);
	/* A renamed directory stays, with the attributes of what it was. */
	check("usr/a=d", "usr/a=d,m700", "usr/b=r:a", "s usr/b=d,m700",
		TOLD("stale", "owned", "merged"));
	/* What it was renamed from is gone, and has become a file. */
	check("usr/a/x=A", "usr=d", "usr/a=W usr/b=r:a", "", TOLD("conflict", "owned", "stays"));
	check("usr/a/x=A", "usr/a=B", "usr/b=r:a usr/b/y=C", "",
		TOLD("conflict", "owned", "stays"));
	/* Something new in its place. */
	check("usr/a/x=A", "usr/a/x=A usr/b/z=B", "usr/a=W usr/b=r:a", "",
		"hides what the new stack has");
	/* Within an opaque directory nothing lies beneath, but for what is named from the root. */
	check("usr/o/a/x=A", "usr/o/a/x=B", "usr/o=o usr/o/b=r:a usr/o/b/x=A", "", "");
	check("usr/o=d usr/a/x=A", "usr/o=d usr/a/x=B", "usr/o=o usr/o/b=r:/usr/a usr/o/b/x=A",
		"d usr/o/b/x", NULL);
	/* What overlayfs would not take. */
	check("usr/a/x=A", "usr/a/x=B", "usr/b=r:../a usr/b/x=A", "", "");
	check("usr/a/x=A", "usr/a/x=B", "usr/b=r:/usr/../usr/a usr/b/x=A", "", "");
}

TEST(what_hides_the_place_of_a_renamed_directory_stays)
{
	/* A whiteout of the directory itself, of one above, or in a directory that was renamed in its turn. */
	check("usr/a/x=A", "usr=d", "usr/a=W usr/b=r:a", "", NULL);
	check("usr/a/d/x=A", "usr=d", "usr/a=W usr/b=r:/usr/a/d", "", NULL);
	check("a/b/x=A", "c=d", "a=W c=r:/a c/b=W d=r:/a/b", "", NULL);
	check("usr/a/x=A", "usr=d", "usr/a=W usr/b=r:c", "d usr/a", NULL);
	/* A file, whatever becomes of it. */
	check("usr=d", "usr/a/x=A", "usr/a=C usr/b=r:a", "", TOLD("type-change", "owned", "stays"));
	check("usr/a/x=A", "usr/a=C", "usr/a=C usr/b=r:a", "", NULL);
	check("usr/a/x=A", "usr/a=D", "usr/a=C usr/b=r:a", "", TOLD("conflict", "owned", "stays"));
	/* A directory that hides what has come there anew. */
	check("usr=d", "usr/a/x=A", "usr/a=o usr/a/y=B usr/b=r:a", "", NULL);
	check("usr=d", "usr/a/x=A", "usr/a=o usr/a/y=B", "u usr/a", NULL);
	/* A directory with such a thing in it, unless what was renamed goes with it. */
	check("usr/a/x/y=A", "usr/a=B", "usr/a/x=W usr/b=r:/usr/a/x", "",
		TOLD("conflict", "owned", "stays"));
	check("usr/a/x/y=A", "usr/a=B", "usr/a/x=W usr/a/z=r:x", "a usr/a; D usr=d", NULL);
	check("usr/a/x/y=A usr/c=d", "usr/a=B usr/c=C", "usr/a/x=W usr/c/z=r:/usr/a/x",
		"a usr/a; a usr/c; D usr=d", NULL);
}

TEST(hard_links)
{
	/* Each name alone. */
	check("usr/a=A usr/b=A", "usr/a=B usr/b=A", "usr/a=A,#1 usr/b=A,#1",
		"d usr/a; d usr/b; D usr=d", NULL);
	check("etc/a=A", "etc/a=B", "etc/a=A,#1 etc/b=A,#1", "d etc/a", NULL);
	check("etc/a=A", "etc/a=B", "etc/a=A,m600,#1 etc/b=A,m600,#1", "t etc/a=B,m600", NULL);
	/* Attributes only when it is right for all. */
	check("var/a=A var/b=A", "var/a=A,m600 var/b=A,m600", "var/a=B,#1 var/b=B,#1",
		"s var/a=f,m600; s var/b=f,m600", TOLD("merged", "data", "merged"));
	check("var/a=A var/b=A", "var/a=A,m600 var/b=A", "var/a=B,#1 var/b=B,#1", "",
		"has other names");
	check("var/a=A var/b=A", "var/a=A,m600 var/b=A,m640", "var/a=B,#1 var/b=B,#1", "",
		"has other names");
}

/* --- owners --- */

static const struct mlimg_moved_id five_to_six[] = {{5, 6}};
static const struct mlimg_owner_moves moved = {five_to_six, 1, five_to_six, 1};

TEST(owners_that_have_moved)
{
	const struct mlimg_reconcile_input in = {.moved = &moved};

	check_with(in, "var/a=A,u5,g5", "var/a=A,u6,g6", "var/a=B,u5,g5", "s var/a=f,u6,g6",
		TOLD("keep", "data", "merged"));
	check_with(in, "var/a=A,u5", "var/a=B,u6", "var/a=A,u5", "d var/a; D var=d",
		TOLD("stale", "data", "dropped"));
	check_with(
		in, "", "", "var/a=d,u5 var/a/b=B,u5,g7", "s var/a/b=f,u6,g7; s var/a=d,u6", NULL);
	check_with(in, "var/a=A", "var/a=B", "var/a=A,u5", "t var/a=B,u6", NULL);
	check_with(in, "", "", "etc/machine-id=A,u5", "s etc/machine-id=f,u6", NULL);
	check_with(in, "var/a=A,u5", "var/a=A,u6", "var/a=W", "", "");
	check_with(in, "", "", "var/a=B,u6", "", "");
	check_with(in, "", "", "var/a=B,u5,#1 var/b=B,u5,#1", "s var/a=f,u6; s var/b=f,u6", NULL);
}

TEST(owners_of_the_new_stack_that_are_taken)
{
	const struct mlimg_reconcile_input in = {.moved_in_next = &moved};

	/* They are copied up, with the directories on their way. */
	check_with(in, "", "var/x/a=A,u5 var/x/b=B,g5 var/x/c=C", "",
		"m var=d; m var/x=d; t var/x/a=A,u6; t var/x/b=B,g6", "");
	check_with(in, "", "var/x=d,u5 var/x/a=A,u5 usr/l=>x,u5", "var=d",
		"m usr=d; t usr/l=>x,u6; m var/x=d,u6; t var/x/a=A,u6", NULL);
	/* What the user has there, or hides. */
	check_with(in, "", "var/x/a=A,u5", "var/x/a=A,u6", "d var/x/a; t var/x/a=A,u6", NULL);
	check_with(in, "", "var/x/a=A,u5", "var/x/a=B", "", NULL);
	check_with(in, "var/x/a=A", "var/x/a=A,u5", "var/x=W", "", NULL);
	check_with(in, "var/x=d", "var/x/a=A,u5", "var/x=o", "", NULL);
	check_with(in, "var/x=d", "var/x=d,u5", "var/x=d", "s var/x=d,u6", NULL);
	check_with(in, "var/x=d", "var/x=d,u5", "var/x/a=B", "s var/x=d,u6", NULL);
}

/* --- databases --- */

TEST(databases_merged_by_record)
{
	static const struct mlimg_reconcile_text texts[] = {
		{"etc/group", "M\n", 2}, {"etc/passwd", "N\n", 2}};
	const struct mlimg_reconcile_input in = {.texts = texts, .n_texts = 2};

	check_with(in, "etc/passwd=A", "etc/passwd=B etc/group=M", "etc/passwd=C etc/hosts=C",
		"p etc/passwd=N", TOLD("merged", "accounts", "merged"));
	check_with(in, "etc/passwd=A", "etc/passwd=B,m600 etc/group=M", "etc/passwd=C,u5",
		"p etc/passwd=N,m600,u5", NULL);
	/* The text is one that is there. */
	check_with(in, "etc/passwd=A", "etc/passwd=N etc/group=M", "etc/passwd=C",
		"d etc/passwd; D etc=d", NULL);
	check_with(in, "etc/passwd=A", "etc/passwd=B etc/group=M", "etc/passwd=N", "", NULL);
	/* Where the upper has nothing. */
	check_with(in, "", "etc/passwd=B etc/group=M", "", "m etc=d; p etc/passwd=N", NULL);
	check_with(in, "", "etc/passwd=N etc/group=B,g5", "etc=d", "p etc/group=M,g5", NULL);
	check_with(in, "", "etc=d", "etc=d", "p etc/group=M; p etc/passwd=N", NULL);
	/* The user removed it. */
	check_with(in, "etc/passwd=A", "etc/passwd=A etc/group=M", "etc/passwd=W", "", NULL);
}

/* A configuration file that a package of the user's has in the old stack alone (packages.h). */
TEST(a_text_of_the_old_stack_keeps_its_mode)
{
	static const struct mlimg_reconcile_text texts[] = {{"etc/x", "N\n", 2}};
	const struct mlimg_reconcile_input in = {.texts = texts, .n_texts = 1};

	check_with(in, "etc/x=N,m600", "etc=d", "", "m etc=d; p etc/x=N,m600", NULL);
	/* Its directory may have gone too. */
	check_with(in, "etc=d,m700 etc/x=N,m600", "", "", "m etc=d,m700; p etc/x=N,m600", NULL);
	check_with(in, "etc/x=N,m600", "", "etc=d", "p etc/x=N,m600", NULL);
}

/* --- packages --- */

/* The first letter of a name tells whose it is. */
static enum mlimg_package_verdict package_of(const char *path, void *ctx)
{
	switch (mlimg_path_name(path)[0]) {
	case 'm': return MLIMG_FILES_MINE;
	case 'n': return MLIMG_FILES_NEXT;
	case 'r': return MLIMG_FILES_REMOVED;
	default: return MLIMG_FILES_PLAIN;
	}
}

TEST(packages)
{
	const struct mlimg_reconcile_input in = {.package = package_of};

	/* The user's version stays whole, and what he removed stays removed. */
	check_with(in, "usr/m=A usr/m2=A", "usr/m=B usr/m2=B", "usr/m=C usr/m2=A", "", "");
	check_with(in, "usr/m=A", "usr/m=B", "usr/m=B", "", "");
	check_with(in, "usr/m=A", "usr=d", "usr/m=W", "", "");
	check_with(in, "usr/r=A", "usr=d", "usr/r=W", "", "");
	check_with(in, "etc/m=A", "etc/m=B", "etc/m=C", "", "");
	/* The new stack's version: none of the user's is left. */
	check_with(in, "usr=d", "usr/n=B", "usr/n=A", "a usr/n; D usr=d", NULL);
	check_with(in, "usr=d", "usr/x=d", "usr/n=A", "a usr/n; D usr=d",
		TOLD("conflict", "owned", "aside"));
	check_with(in, "usr/n=A", "usr/n=A", "usr/n=B", "a usr/n; D usr=d", NULL);
	check_with(in, "usr/n=A", "usr/n=B", "usr/n=A", "d usr/n; D usr=d",
		TOLD("stale", "owned", "dropped"));
	check_with(in, "usr/n=A", "usr/n=B", "usr/n=W", "d usr/n; D usr=d", NULL);
	check_with(in, "usr/n=A", "usr/n=A", "usr/n=W", "d usr/n; D usr=d",
		TOLD("whiteout-changed", "owned", "dropped"));
	check_with(in, "var=d", "var=d", "var/n=A", "a var/n; D var=d", NULL);
	check_with(in, "var=d", "var=d", "var/lib/dpkg/info/n.list=A", "d var/lib/dpkg/info/n.list",
		TOLD("conflict", "packages", "dropped"));
	/* Caches and what is pinned belong to nobody. */
	check_with(in, "", "", "etc/ld.so.cache=A", "d etc/ld.so.cache", NULL);
	more_classes = "usr/n keep\n";
	check_with(in, "usr/n=A", "usr/n=B", "usr/n=A", "", "");
	more_classes = NULL;
	check_with(in, "usr/o=A", "usr/o=B", "usr/o=C", "a usr/o; D usr=d", NULL);
}

TEST(links_that_follow_from_databases)
{
	static const struct mlimg_packages_link links[] = {
		{"etc/alternatives/a", "X"}, {"etc/alternatives/b", NULL}};
	const struct mlimg_reconcile_input in = {.links = links, .n_links = 2};

	check_with(in, "", "etc/alternatives/a=>X", "etc/alternatives/a=>Y",
		"d etc/alternatives/a; D etc/alternatives=d; D etc=d", NULL);
	check_with(in, "", "etc/alternatives/a=>Y", "etc/alternatives/a=>X", "", "");
	check_with(in, "", "etc/alternatives/a=>Y", "etc/alternatives/a=>Z",
		"d etc/alternatives/a; t etc/alternatives/a=>X",
		TOLD("merged", "config", "dropped"));
	check_with(in, "", "etc/alternatives/a=>Y", "",
		"m etc=d; m etc/alternatives=d; t etc/alternatives/a=>X", "");
	check_with(in, "", "etc/alternatives/a=>X etc/alternatives/b=>Y", "etc/alternatives/b=>Y",
		"d etc/alternatives/b; h etc/alternatives/b", NULL);
	check_with(in, "", "etc/alternatives/a=>X etc/alternatives/b=>Y", "etc/alternatives/b=W",
		"", "");
	/* A directory for it is nowhere, or the user has hidden it. */
	check_with(in, "", "etc=d", "", "", "");
	check_with(in, "etc/alternatives=d", "etc/alternatives=d", "etc/alternatives=o", "", "");
}

TEST(what_is_to_be_hidden)
{
	static const char *const hidden[] = {"usr/share/a", "usr/share/b"};
	const struct mlimg_reconcile_input in = {.hidden = hidden, .n_hidden = 2};

	check_with(in, "", "usr/share/a=A usr/share/c=C", "",
		"m usr=d; m usr/share=d; h usr/share/a", "");
	check_with(in, "", "usr/share/a=A usr/share/b=B", "usr/share=d,m700",
		"h usr/share/a; h usr/share/b", NULL);
	check_with(in, "usr/share/a=A", "usr/share/a=A usr/share/b=d", "usr/share/a=W", "", "");
	check_with(in, "", "usr/share/a=A", "usr/share/a=B", "a usr/share/a; h usr/share/a", NULL);
	/* The stale copy goes, and the directory is needed. */
	check_with(in, "usr/share/a=A", "usr/share/a=B", "usr/share/a=A",
		"d usr/share/a; h usr/share/a", NULL);
	/* Hidden already by what is above it. */
	check_with(in, "usr/share/a=A", "usr/share/a=A", "usr/share=W", "", "");
	check_with(in, "usr/share/a=A", "usr/share/a=A", "usr/share=o", "", "");
}

TEST(what_cannot_be_read_stays)
{
	given.unread = "etc/a";
	check("etc/a=A", "etc/a=B", "etc/a=A", "", "");
	ASSERT_EQ(given.n_skipped, 1);
	given.unread = NULL;
}

TEST(classes_of_the_users)
{
	more_classes = "etc/a owned\nusr/share/me keep\n";
	check("etc/a=A", "etc/a=B", "etc/a=C", "a etc/a; D etc=d", NULL);
	check("usr/share/me/x=A", "usr/share/me/x=B", "usr/share/me/x=A", "", "");
	check("usr=d", "usr/share/me/x=B", "usr/share/me=o usr/share/me/x=A usr/share/me/y=W", "",
		"");
	more_classes = NULL;
}

/* What comes of a plan that was carried out: base is what next was. */
TEST(twice_is_once)
{
	check("etc/a=B", "etc/a=B", "etc/a=C etc/a.mlimg-new=B", "", "");
	check("etc/a=B", "etc/a=B", "etc/a=B,m600", "", "");
	check("etc/a=T:1/2/x", "etc/a=T:1/2/x", "etc/a=T:y/2/x", "", "");
	check("usr/a/b=B", "usr/a/b=B", "usr/a/d=D", "", "");
}

/* --- databases of the three sides --- */

/* The accounts as a machine has them, one line each; '/' is a line's end in words, so homes and shells are left out. */
TEST(accounts_of_the_three_sides)
{
	struct mlimg_notes notes = {.notes = NULL};
	const struct mlimg_reconcile_input in = {.merges_databases = true, .notes = &notes};

	/* The system adds one, the user another, and a number moves: what belongs to it follows. */
	check_with(in, "etc/passwd=T:r:x:0:0:::/d:x:105:0::: var/d=A,u105",
		"etc/passwd=T:r:x:0:0:::/d:x:106:0:::/n:x:105:0::: var/d=A,u106",
		"etc/passwd=T:r:x:0:0:::/d:x:105:0:::/me:x:1000:0::: var/d=B,u105 home/me=d,u1000",
		"p etc/passwd=T:r:x:0:0:::/d:x:106:0:::/n:x:105:0:::/me:x:1000:0:::; s "
		"var/d=f,u106",
		NULL);
	/* Without a copy of his own the user has changed no account, but owns things. */
	check_with(in, "etc/passwd=T:r:x:0:0:::/d:x:105:0::: var/d=A,u105",
		"etc/passwd=T:r:x:0:0:::/d:x:106:0::: var/d=A,u106", "var/d=B,u105",
		"s var/d=f,u106", NULL);
	/* A number of the system's that the user's account has already. */
	check_with(in,
		"etc/passwd=T:r:x:0:0:::", "etc/passwd=T:r:x:0:0:::/n:x:105:0::: var/n=A,u105",
		"etc/passwd=T:r:x:0:0:::/me:x:105:0::: home/me=d,u105",
		"p etc/passwd=T:r:x:0:0:::/n:x:999:0:::/me:x:105:0:::; m var=d; t var/n=A,u999",
		NULL);
	mlimg_notes_done(&notes);
}

TEST(accounts_that_cannot_be_read)
{
	struct mlimg_notes notes = {.notes = NULL};
	const struct mlimg_reconcile_input in = {.merges_databases = true, .notes = &notes};

	given.lacks_base = true;
	check_with(in, "etc/passwd=A", "etc/passwd=B", "etc/passwd=C", "",
		TOLD("conflict", "accounts", "stays"));
	given.lacks_base = false;
	ASSERT_EQ(notes.n, 1);
	ASSERT_STR(notes.notes[0].path, "etc/passwd");
	ASSERT_STR(
		notes.notes[0].text, "not merged: etc/passwd of the old stack: Input/output error");
	mlimg_notes_done(&notes);
}

/*
 * The user has installed a package, and removed one of the system's, of which the new stack has another version.
 */
TEST(packages_of_the_three_sides)
{
	struct mlimg_notes notes = {.notes = NULL};
	const struct mlimg_reconcile_input in = {.merges_databases = true, .notes = &notes};
	struct mlimg_report report;
	struct mlimg_plan plan;
	mlimg_autofree char *words = NULL;

	plan_with(in,
		"var/lib/dpkg/status=T:Package:_old/Status:_install_ok_installed/Architecture:_all/"
		"Version:_1/ "
		"usr/old=A var/lib/dpkg/info/old.list=T:#usr#old",
		"var/lib/dpkg/status=T:Package:_old/Status:_install_ok_installed/Architecture:_all/"
		"Version:_2/ "
		"usr/old=B usr/old2=B var/lib/dpkg/info/old.list=T:#usr#old/#usr#old2",
		"var/lib/dpkg/status=T:Package:_own/Status:_install_ok_installed/Architecture:_all/"
		"Version:_1/ "
		"usr/own=C usr/old=W var/lib/dpkg/info/own.list=T:#usr#own "
		"var/lib/dpkg/info/old.list=W",
		&report, &plan);
	words = words_of(&plan);
	/* Its new file is hidden, and nothing of the user's package is touched. */
	ASSERT_STR(words, "h usr/old2");
	ASSERT_EQ(notes.n, 0);
	mlimg_plan_done(&plan);
	mlimg_report_done(&report);
	mlimg_notes_done(&notes);
}
