/* SPDX-License-Identifier: MIT */
#include "guest-agent/compare.h"

#include <errno.h>
#include <fcntl.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/walk.h"

struct comparison {
	const struct mlimg_manifest *base, *next;
	struct mlimg_report *report;
};

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
	if (r < 0)
		return r;
	mlimg_report_add(c->report, entry->path, mlimg_reconcile_decide(base, next, &mine));
	return 0;
}

int mlimg_compare_upper(int upper_fd, const struct mlimg_manifest *base,
	const struct mlimg_manifest *next, struct mlimg_report *report, struct mlimg_err *err)
{
	struct comparison c = {.base = base, .next = next, .report = report};
	int r = mlimg_walk(upper_fd, MLIMG_WALK_ONE_FS, visit, &c, err);

	return r < 0 ? mlimg_err_wrap(err, r, "compare the user's changes") : 0;
}
