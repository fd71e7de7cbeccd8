/* SPDX-License-Identifier: MIT */
#include "guest-agent/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/walk.h"

struct comparison {
	const struct mlimg_manifest *base, *next;
	struct mlimg_report *report;
	struct mlimg_skipped *skipped;
};

#define SHOWN_BEGINNING 30
#define SHOWN_END 60

/* Escaped as in manifests, since a note must be UTF-8. @return where the text ends */
static char *put_escaped(char *at, const char *path, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (mlimg_manifest_is_plain((unsigned char)path[i]))
			*at++ = path[i];
		else
			at += sprintf(at, "\\%03o", (unsigned char)path[i]);
	*at = '\0';
	return at;
}

static void put_shortened(char ret_text[MLIMG_ERR_TEXT_SIZE], const char *path)
{
	size_t size = strlen(path);

	if (size <= SHOWN_BEGINNING + SHOWN_END) {
		put_escaped(ret_text, path, size);
		return;
	}
	ret_text = put_escaped(ret_text, path, SHOWN_BEGINNING);
	ret_text = stpcpy(ret_text, "...");
	put_escaped(ret_text, path + size - SHOWN_END, SHOWN_END);
}

static void skip(const char *path, int error, bool was_visited, void *ctx)
{
	struct comparison *c = ctx;
	char shown[MLIMG_ERR_TEXT_SIZE];
	uint64_t i = c->skipped->n++;

	if (!was_visited && path[0])
		mlimg_report_add(c->report, path, MLIMG_KEEP);
	if (i >= MLIMG_SKIPPED_NOTES)
		return;
	put_shortened(shown, path);
	snprintf(c->skipped->notes[i], MLIMG_ERR_TEXT_SIZE, "user/upper/%.400s: %s", shown,
		strerror(-error));
}

/* Contents need to be read only where size leaves the question open. */
static bool may_equal(const struct mlimg_entry *mine, const struct mlimg_entry *other)
{
	return other && mine->type == MLIMG_FILE && other->type == MLIMG_FILE &&
		mine->size_bytes == other->size_bytes;
}

static int set_digest(
	struct mlimg_entry *mine, const struct mlimg_walk_at *at, struct mlimg_err *err)
{
	/* O_NONBLOCK and the second look: the name may stand for something else by now. */
	mlimg_autoclose int fd = openat(
		at->parent_fd, at->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return mlimg_err_set(err, errno, "user/upper/%s", mine->path);
	if (st.st_ino != at->st->st_ino || !S_ISREG(st.st_mode))
		return mlimg_err_set(err, ESTALE, "user/upper/%s", mine->path);
	r = mlimg_digest_fd(fd, mine->digest, NULL);
	if (r < 0)
		return mlimg_err_set(err, r, "read user/upper/%s", mine->path);
	mine->has_digest = true;
	return 0;
}

static int visit(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	struct comparison *c = ctx;
	const struct mlimg_entry *base = mlimg_manifest_find(c->base, entry->path);
	const struct mlimg_entry *next = mlimg_manifest_find(c->next, entry->path);
	struct mlimg_entry mine = *entry;
	int r = 0;

	if (!entry->path[0]) /* the root is in every upper, whoever made it */
		return 0;
	if (may_equal(&mine, base) || may_equal(&mine, next))
		r = set_digest(&mine, at, err);
	if (r < 0) {
		skip(entry->path, r, false, c);
		return 0;
	}
	mlimg_report_add(c->report, entry->path, mlimg_reconcile_decide(base, next, &mine));
	return 0;
}

int mlimg_compare_upper(int upper_fd, const struct mlimg_manifest *base,
	const struct mlimg_manifest *next, struct mlimg_report *report,
	struct mlimg_skipped *ret_skipped, struct mlimg_err *err)
{
	struct comparison c = {
		.base = base, .next = next, .report = report, .skipped = ret_skipped};
	int r;

	memset(ret_skipped, 0, sizeof(*ret_skipped));
	r = mlimg_walk_lenient(upper_fd, MLIMG_WALK_ONE_FS, visit, skip, &c, err);
	return r < 0 ? mlimg_err_wrap(err, r, "compare the user's changes") : 0;
}
