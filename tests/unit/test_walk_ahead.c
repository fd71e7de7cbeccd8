/* SPDX-License-Identifier: MIT */
/* A walk by other threads: the visitor must not see the difference. */
#include "tools/walk-ahead.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include "libmlimg/cleanup.h"
#include "tests/lib/test.h"

#define PATH_SIZE 400

static int open_tmpdir(void)
{
	int fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY);

	ASSERT(fd >= 0);
	return fd;
}

/* @k: -1 for dI itself */
static void make_dir(int dir, int i, int k)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), k < 0 ? "d%02d" : "d%02d/e%d", i, k);
	ASSERT_EQ(mkdirat(dir, path, 0700), 0);
}

/* 40 directories with 10 in each, and something in all of them. */
static void make_tree(int dir)
{
	char path[PATH_SIZE];

	for (int i = 0; i < 40; i++) {
		make_dir(dir, i, -1);
		for (int k = 0; k < 10; k++) {
			make_dir(dir, i, k);
			snprintf(path, sizeof(path), "d%02d/e%d/file", i, k);
			close(openat(dir, path, O_CREAT | O_WRONLY, 0600));
			snprintf(path, sizeof(path), "d%02d/e%d/link", i, k);
			ASSERT_EQ(symlinkat("to", dir, path), 0);
			snprintf(path, sizeof(path), "%s/d%02d/e%d/file", test_tmpdir(), i, k);
			/* Not all file systems have them. */
			if (k == 3)
				(void)!setxattr(path, "user.test", "value", 5, 0);
		}
	}
}

/* What a visitor says. */
struct script {
	FILE *f;
	const char *passes, *fails; /* at which paths */
};

static int list(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	const struct script *s = ctx;

	fprintf(s->f, "%s %d %o %lld %u %s", entry->path, entry->type, entry->mode,
		(long long)entry->mtime_s, entry->mtime_ns, entry->link ? entry->link : "");
	for (uint32_t i = 0; i < entry->n_xattrs; i++)
		fprintf(s->f, " %s=%.*s", entry->xattrs[i].name, (int)entry->xattrs[i].size,
			(const char *)entry->xattrs[i].value);
	fprintf(s->f, " %s %llu\n", at->name, (unsigned long long)at->st->st_ino);
	if (s->fails && strcmp(entry->path, s->fails) == 0)
		return mlimg_err_set(err, EXDEV, "enough");
	return s->passes && strcmp(entry->path, s->passes) == 0;
}

/* The walk in this thread (@is_ahead false) or in others: what was visited and how it ended. */
static char *listed(const struct script *script, bool is_ahead)
{
	mlimg_autoclose int dir = open_tmpdir();
	struct script s = *script;
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_walk_ahead *ahead = NULL;
	char *text;
	size_t size;
	int r;

	s.f = open_memstream(&text, &size);
	if (is_ahead) {
		ASSERT_OK(mlimg_walk_ahead_new(
				  dir, MLIMG_WALK_ONE_FS | MLIMG_WALK_AT_REST, &ahead, &err),
			err);
		r = mlimg_walk_ahead_run(ahead, list, &s, &err);
		mlimg_walk_ahead_free(ahead);
	} else {
		r = mlimg_walk(dir, MLIMG_WALK_ONE_FS | MLIMG_WALK_AT_REST, list, &s, &err);
	}
	fprintf(s.f, "ends with %d %s\n", r, err.text);
	fclose(s.f);
	return text;
}

static void is_alike(struct script script)
{
	mlimg_autofree char *wanted = listed(&script, false);

	/* Who takes which directory is different each time. */
	for (int i = 0; i < 20; i++) {
		mlimg_autofree char *found = listed(&script, true);

		ASSERT_STR(found, wanted);
	}
}

TEST(the_same_in_the_same_order)
{
	mlimg_autoclose int dir = open_tmpdir();

	is_alike((struct script){0});
	make_tree(dir);
	is_alike((struct script){0});
}

TEST(what_the_visitor_does_not_want)
{
	mlimg_autoclose int dir = open_tmpdir();

	make_tree(dir);
	is_alike((struct script){.passes = "d07"});
	is_alike((struct script){.passes = "d07/e2"});
	is_alike((struct script){.passes = ""});
}

TEST(a_visitor_that_fails)
{
	mlimg_autoclose int dir = open_tmpdir();

	make_tree(dir);
	is_alike((struct script){.fails = ""});
	is_alike((struct script){.fails = "d20/e5/link"});
	is_alike((struct script){.fails = "d39/e9/link"});
}

/*
 * A path that is too long is an error by itself, also for root; it comes when all before it has
 * been visited.
 */
TEST(an_error_in_the_middle)
{
	mlimg_autoclose int dir = open_tmpdir();
	mlimg_autoclose int at = openat(dir, ".", O_RDONLY | O_DIRECTORY);
	char name[251];

	make_tree(dir);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	ASSERT_EQ(mkdirat(at, "d20/long", 0700), 0);
	close(at);
	at = openat(dir, "d20/long", O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 17; i++) {
		int next;

		ASSERT_EQ(mkdirat(at, name, 0700), 0);
		next = openat(at, name, O_RDONLY | O_DIRECTORY);
		ASSERT(next >= 0);
		close(at);
		at = next;
	}
	is_alike((struct script){0});
}

/*
 * More than may wait: the walkers stop for the visitor, but never the one whose entries it wants.
 */
TEST(more_than_may_wait)
{
	mlimg_autoclose int dir = open_tmpdir();
	char target[4001], path[PATH_SIZE];

	memset(target, 't', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	for (int i = 0; i < 50; i++) {
		make_dir(dir, i, -1);
		for (int k = 0; k < 100; k++) {
			snprintf(path, sizeof(path), "d%02d/%d", i, k);
			ASSERT_EQ(symlinkat(target, dir, path), 0);
		}
	}
	is_alike((struct script){0});
	is_alike((struct script){.fails = "d01/50"});
}
