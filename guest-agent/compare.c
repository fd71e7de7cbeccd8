/* SPDX-License-Identifier: MIT */
#include "guest-agent/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/unionfs.h"
#include "libmlimg/walk.h"
#include "libmlimg/whiteout.h"

struct comparison {
	const struct mlimg_manifest *base, *next;
	struct mlimg_report *report;
	struct mlimg_skipped *skipped;
	int upper_fd;
	bool is_unionfs;
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

static bool has_marker(int upper_fd, const char *path)
{
	char marker[sizeof(MLIMG_UNIONFS_DIR) + MLIMG_UNIONFS_PATH_MAX + 16];
	mlimg_autoclose int fd = -1;

	strcpy(marker, MLIMG_UNIONFS_DIR "/");
	if (mlimg_unionfs_marker_of(path, marker + strlen(marker), NULL) < 0)
		return false;
	fd = mlimg_open_beneath_strict(upper_fd, marker, O_PATH);
	return fd >= 0;
}

static void decide(struct comparison *c, const struct mlimg_entry *mine)
{
	mlimg_report_add(c->report, mine->path,
		mlimg_reconcile_decide(mlimg_manifest_find(c->base, mine->path),
			mlimg_manifest_find(c->next, mine->path), mine));
}

/* A directory of the branch with a marker of its own: as overlayfs would have it, since what decides knows one form. */
static int decide_opaque(
	struct comparison *c, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_xattr *xattrs = calloc(entry->n_xattrs + 1, sizeof(*xattrs));
	struct mlimg_entry mine = *entry;
	uint32_t n = 0;

	if (!xattrs)
		return mlimg_err_set(err, ENOMEM, "user/upper/%s", entry->path);
	while (n < entry->n_xattrs && strcmp(entry->xattrs[n].name, MLIMG_XATTR_OPAQUE) < 0)
		n++;
	memcpy(xattrs, entry->xattrs, n * sizeof(*xattrs));
	memcpy(xattrs + n + 1, entry->xattrs + n, (entry->n_xattrs - n) * sizeof(*xattrs));
	xattrs[n] = (struct mlimg_xattr){(char *)MLIMG_XATTR_OPAQUE, (uint8_t *)(uintptr_t) "y", 1};
	mine.xattrs = xattrs;
	mine.n_xattrs++;
	decide(c, &mine);
	return 0;
}

static int visit(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	struct comparison *c = ctx;
	struct mlimg_entry mine = *entry;
	int r = 0;

	if (!entry->path[0]) /* the root is in every upper, whoever made it */
		return 0;
	if (c->is_unionfs && mlimg_unionfs_is_meta(entry->path))
		return 1;
	if (c->is_unionfs && entry->type == MLIMG_DIR && has_marker(c->upper_fd, entry->path))
		return decide_opaque(c, entry, err);
	if (may_equal(&mine, mlimg_manifest_find(c->base, entry->path)) ||
		may_equal(&mine, mlimg_manifest_find(c->next, entry->path)))
		r = set_digest(&mine, at, err);
	if (r < 0) {
		skip(entry->path, r, false, c);
		return 0;
	}
	decide(c, &mine);
	return 0;
}

/* Where the branch has something itself, visit() has seen the marker. */
static int visit_marker(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	struct comparison *c = ctx;
	mlimg_autofree char *path = NULL;
	mlimg_autoclose int fd = -1;
	size_t size;

	if (!mlimg_unionfs_marker(entry->path, &size))
		return 0;
	path = strndup(entry->path, size);
	if (!path)
		return mlimg_err_set(err, ENOMEM, "user/upper/%s", entry->path);
	fd = mlimg_open_beneath_strict(c->upper_fd, path, O_PATH);
	if (fd < 0)
		decide(c, &(struct mlimg_entry){.path = path, .type = MLIMG_CHAR, .nlink = 1});
	return 0;
}

static int compare_markers(struct comparison *c, struct mlimg_err *err)
{
	mlimg_autoclose int fd = openat(
		c->upper_fd, MLIMG_UNIONFS_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0) /* nothing was ever removed */
		return 0;
	return mlimg_walk_lenient(
		fd, MLIMG_WALK_NO_XATTRS | MLIMG_WALK_ONE_FS, visit_marker, skip, c, err);
}

int mlimg_compare_upper(int upper_fd, bool is_unionfs, const struct mlimg_manifest *base,
	const struct mlimg_manifest *next, struct mlimg_report *report,
	struct mlimg_skipped *ret_skipped, struct mlimg_err *err)
{
	struct comparison c = {.base = base,
		.next = next,
		.report = report,
		.skipped = ret_skipped,
		.upper_fd = upper_fd,
		.is_unionfs = is_unionfs};
	int r;

	memset(ret_skipped, 0, sizeof(*ret_skipped));
	r = mlimg_walk_lenient(upper_fd, MLIMG_WALK_ONE_FS, visit, skip, &c, err);
	if (r == 0 && is_unionfs)
		r = compare_markers(&c, err);
	return r < 0 ? mlimg_err_wrap(err, r, "compare the user's changes") : 0;
}
