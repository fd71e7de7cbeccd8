/* SPDX-License-Identifier: MIT */
/**
 * @file disk-check.h
 * What cases of disk-cases.h are checked for.
 */
#ifndef MLIMG_TEST_DISK_CHECK_H
#define MLIMG_TEST_DISK_CHECK_H

#include "tests/lib/disk-cases.h"

TEST_UNUSED static void fail_unless(bool is_right, const char *what)
{
	if (!is_right)
		FAIL("%s", what);
}

/** @return whether the upper has an entry there that overlayfs does not merge with what is beneath */
TEST_UNUSED static bool has_mark(struct tree *upper, const char *path)
{
	const struct mlimg_entry *e = tree_get(upper, path);

	return e && (xattr_text(e, OPAQUE) || xattr_text(e, REDIRECT) || is_a_whiteout(e));
}

static bool has_line(const char *text, const char *line, size_t size)
{
	for (; *text; text = strchr(text, '\n') + 1)
		if (strncmp(text, line, size) == 0)
			return true;
	return false;
}

/*
 * What a change leaves that was killed when all was done but cleaning up; it means nothing, and the
 * next change removes it.
 */
static bool is_leftover(const char *line)
{
	static const char *const names[] = {
		"./reconcile.new", "./undo", "./base.manifest.", "./base.texts."};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strncmp(line, names[i], strlen(names[i])) == 0)
			return true;
	return strncmp(line, "./aside", 7) == 0 && strncmp(strchr(line, ' '), " type=dir", 9) == 0;
}

/* @return whether both have the same lines, but for leftovers; those that they have not are told */
TEST_UNUSED static bool is_same_text(const char *wanted, const char *found)
{
	bool is_same = true;

	for (int turn = 0; turn < 2; turn++) {
		const char *text = turn ? found : wanted, *other = turn ? wanted : found;

		for (const char *end; *text; text = end) {
			end = strchr(text, '\n') + 1;
			if (has_line(other, text, (size_t)(end - text)) ||
				(turn && is_leftover(text)))
				continue;
			fprintf(stderr, "%s: %.*s", turn ? "found" : "wanted", (int)(end - text),
				text);
			is_same = false;
		}
	}
	return is_same;
}

TEST_UNUSED static void check_oracle(struct disk *d)
{
	struct oracle *o = calloc(1, sizeof(*o));

	*o = (struct oracle){.base = &d->old.view,
		.next = &d->next.view,
		.upper = &d->upper,
		.seen = &d->wanted,
		.beside = &d->beside,
		.aside = &d->wanted_aside};
	d->wanted.n = d->beside.n = d->wanted_aside.n = 0;
	ask_oracle(o);
	fail_unless(is_same_tree("what the user sees", &d->wanted, &d->seen), "the view");
	free(o);
}

TEST_UNUSED static void check_databases(struct disk *d)
{
	const struct records r = {&d->old.databases, &d->next.databases, &d->mine, &d->after};

	if (has_databases)
		check_records(&r);
}

/* --- kills --- */

/** An upper in unionfs-fuse's form, as one of overlayfs. */
TEST_UNUSED static void read_neutral(struct tree *ret)
{
	mlimg_autoclose int fd = open("run/user/upper", O_RDONLY | O_DIRECTORY);
	struct mlimg_manifest *m;
	struct mlimg_upper_dir dir;

	ASSERT(fd >= 0);
	mlimg_upper_dir_init(&dir, fd, true);
	ASSERT_OK(dir.source.load(&dir.source, NULL, NULL, &m, &err), err);
	for (size_t i = 1; i < m->n_entries; i++) {
		struct mlimg_entry *e = &m->entries[i];

		e->has_digest = e->type == MLIMG_FILE;
		if (e->has_digest)
			ASSERT_OK(dir.source.digest(&dir.source, e->path, e->digest, &err), err);
		ASSERT(ret->n < TREE_MAX);
		ret->e[ret->n++] = *e;
	}
}

/* unionfs-fuse's own directories, and its markers' times, are seen by nobody. */
TEST_UNUSED static char *list_neutral(void)
{
	struct tree *upper = calloc(1, sizeof(*upper));
	struct mlimg_text text = {0};

	ASSERT(upper);
	read_neutral(upper);
	for (size_t i = 0; i < upper->n; i++) {
		struct mlimg_entry *e = &upper->e[i];

		if (is_a_whiteout(e))
			*e = (struct mlimg_entry){.path = e->path, .type = MLIMG_CHAR, .nlink = 1};
		mlimg_manifest_put_entry(e, mlimg_text_put, &text);
	}
	free(upper);
	mlimg_text_put(&text, "", 1);
	ASSERT(!text.has_failed);
	return text.data;
}

/** The upper, as list_tree(). */
TEST_UNUSED static char *list_upper(const struct disk *d, bool has_notes)
{
	return strcmp(d->driver, "unionfs") == 0 ? list_neutral()
						 : list_tree("run/user/upper", true, has_notes);
}

/* All of the user layer but what depends on when it was done. */
TEST_UNUSED static char *list_user(const struct disk *d)
{
	char *both;

	ASSERT(asprintf(&both, "%s%s", list_upper(d, true),
		       list_tree("run/user/mlimg", false, true)) > 0);
	return both;
}

/* What an earlier boot left in run makes some calls more or less. @return where it was killed */
static uint64_t boot_killed(struct disk *d, const struct stack *s, uint64_t calls)
{
	uint64_t at = test_random(calls);
	int status;

	for (;; at /= 2) {
		copy_dir("start", "run/user");
		boot_until(d, s, at, &status);
		if (WIFSIGNALED(status))
			return at;
		if (status || !at)
			FAIL("not killed at call %" PRIu64 " of %" PRIu64 ", but status %d", at,
				calls, status);
	}
}

/** A boot that is killed at a random call, and another one, end as one boot does. */
TEST_UNUSED static void check_stops(struct disk *d, const struct stack *s, unsigned n_stops)
{
	uint64_t calls;
	char *wanted;

	copy_dir("run/user", "start");
	copy_dir("start", "run/user"); /* which lists directories in the order of copies */
	calls = boot_other(d, s);
	wanted = list_user(d);
	for (unsigned i = 0; i < n_stops; i++) {
		uint64_t at = boot_killed(d, s, calls);

		boot(d, s);
		if (!is_same_text(wanted, list_user(d)))
			FAIL("killed at call %" PRIu64 " of %" PRIu64 ", it ends otherwise", at,
				calls);
	}
}

#endif
