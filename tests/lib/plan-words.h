/* SPDX-License-Identifier: MIT */
/*
 * Cases of the planner (libmlimg/reconcile-plan.h), a line or two each. For the tests of a subject
 * of it, each of which is a program that includes this.
 *
 * Trees are written as words: PATH=WHAT, where WHAT is d (a directory), A, B, ... (a file that has
 * the letter and a newline in it), T:a/b/c (a file of these lines, in which _ is a blank and # a
 * slash), >TARGET (a link), W (a whiteout), o (an opaque directory), r:REDIRECT (a renamed
 * directory), n (a FIFO); then, each behind a comma, mNNN (mode), uN, gN (owner), x=V (the xattr
 * user.x), p (immutable, as overlayfs has it), #N (number of a group of hard links). Directories on the way need not be written. So are
 * plans.
 */
#ifndef MLIMG_TEST_PLAN_WORDS_H
#define MLIMG_TEST_PLAN_WORDS_H

#include <stdarg.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/path.h"
#include "libmlimg/reconcile-plan.h"
#include "libmlimg/text.h"
#include "libmlimg/whiteout.h"
#include "tests/lib/plan-text.h"
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
	case 'p': add_xattr(e, MLIMG_XATTR_PROTATTR, "i"); break;
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

static int read_head(struct mlimg_upper_source *source, const char *path, size_t max,
	char **ret_data, size_t *ret_size, struct mlimg_err *err)
{
	if (given.unread && strcmp(given.unread, path) == 0)
		return mlimg_err_set(err, EIO, "read '%s'", path);
	return read_mine(source, path, max, ret_data, ret_size, err);
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

	if (strcmp(e->path, op->path) != 0 &&
		(op->verb != MLIMG_PLAN_PUT_BESIDE || strncmp(e->path, op->path, strlen(e->path))))
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

static char *words_of(const struct mlimg_plan *plan)
{
	struct mlimg_text words = {.data = NULL};
	size_t at;
	const char *flaw = plan_flaw(plan, &at);

	if (flaw)
		FAIL("'%c %s': %s", plan->ops[at].verb, plan->ops[at].path, flaw);
	mlimg_text_put(&words, "", 0);
	for (size_t i = 0; i < plan->n_ops; i++) {
		put(&words, "%s%c %s", i ? "; " : "", plan->ops[i].verb, plan->ops[i].path);
		if (plan->ops[i].entry)
			put_entry(&words, plan, &plan->ops[i]);
	}
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
	given.source = (struct mlimg_upper_source){load, digest, read_mine, read_head};
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

static __attribute__((unused)) void check(
	const char *base, const char *next, const char *mine, const char *wanted, const char *told)
{
	check_with((struct mlimg_reconcile_input){.base = NULL}, base, next, mine, wanted, told);
}

#define TOLD(verdict, class, done) \
	"\"verdict\": \"" verdict "\", \"class\": \"" class "\", \"done\": \"" done "\""

#endif
