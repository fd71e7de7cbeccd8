/* SPDX-License-Identifier: MIT */
#include "guest-agent/entry-at.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/walk.h"
#include "libmlimg/whiteout.h"

/* Only /proc names a thing by directory and name for the calls that concern xattrs. */
#define NAMED_SIZE (sizeof("/proc/self/fd/") + 12 + MLIMG_NAME_MAX + 1)

static const char *named(char buf[NAMED_SIZE], int dirfd, const char *name)
{
	snprintf(buf, NAMED_SIZE, "/proc/self/fd/%d/%.255s", dirfd, *name ? name : ".");
	return buf;
}

static int read_digest(int dirfd, const char *name, const struct stat *st, struct mlimg_entry *e)
{
	mlimg_autoclose int fd =
		openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat now;
	uint64_t size;
	int r;

	if (fd < 0 || fstat(fd, &now) < 0)
		return -errno;
	if (!S_ISREG(now.st_mode) || now.st_ino != st->st_ino)
		return -ESTALE;
	r = mlimg_digest_fd(fd, e->digest, &size);
	e->has_digest = r == 0;
	return r < 0 || size == e->size_bytes ? r : -ESTALE;
}

static int read_by_type(struct mlimg_entry_reader *reader, int dirfd, const char *name,
	const struct stat *st, bool has_digest, struct mlimg_entry *e)
{
	ssize_t n;

	switch (e->type) {
	case MLIMG_FILE:
		e->size_bytes = (uint64_t)st->st_size;
		return has_digest ? read_digest(dirfd, name, st, e) : 0;
	case MLIMG_LINK:
		n = readlinkat(dirfd, name, reader->link, sizeof(reader->link));
		if (n < 0)
			return -errno;
		if (n > MLIMG_LINK_MAX)
			return -ENAMETOOLONG;
		reader->link[n] = '\0';
		e->link = reader->link;
		return 0;
	case MLIMG_CHAR:
	case MLIMG_BLOCK:
		e->dev_major = major(st->st_rdev);
		e->dev_minor = minor(st->st_rdev);
		return 0;
	default: return 0;
	}
}

int mlimg_entry_at_read(struct mlimg_entry_reader *reader, int dirfd, const char *name,
	const char *path, bool has_digest, struct mlimg_entry *ret_entry)
{
	struct mlimg_entry e = {.path = (char *)(uintptr_t)path, .nlink = 1};
	struct stat st;
	int r;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
		return -errno;
	e.type = mlimg_type_of_mode(st.st_mode);
	e.mode = st.st_mode & 07777;
	e.uid = st.st_uid;
	e.gid = st.st_gid;
	e.mtime_s = st.st_mtim.tv_sec;
	e.mtime_ns = (uint32_t)st.st_mtim.tv_nsec;
	r = read_by_type(reader, dirfd, name, &st, has_digest, &e);
	if (r == 0)
		r = mlimg_xattr_read_all(&reader->xattrs, dirfd, name, -1, &e.n_xattrs);
	e.xattrs = reader->xattrs.xattrs;
	if (r == 0)
		*ret_entry = e;
	return r;
}

static bool has_value(const struct mlimg_xattr *x, const struct mlimg_xattr *wanted)
{
	return x && x->size == wanted->size &&
		(x->size == 0 || memcmp(x->value, wanted->value, x->size) == 0);
}

/* Those that become smaller, or those that become larger. */
static int set_some(const char *path, const struct mlimg_entry *entry,
	const struct mlimg_entry *now, bool is_larger)
{
	for (uint32_t i = 0; i < entry->n_xattrs; i++) {
		const struct mlimg_xattr *x = &entry->xattrs[i],
					 *was = mlimg_entry_xattr(now, x->name);

		if (mlimg_xattr_is_overlay(x->name) || has_value(was, x) ||
			is_larger != (!was || x->size > was->size))
			continue;
		if (lsetxattr(path, x->name, x->value ? (const void *)x->value : "", x->size, 0) <
			0)
			return -errno;
	}
	return 0;
}

/*
 * After the owner was set, which takes a file's capabilities away. What takes more room comes last,
 * so that on the way they never take more than before or in the end: file systems have little for
 * them.
 */
static int set_xattrs(struct mlimg_entry_reader *reader, int dirfd, const char *name,
	const struct mlimg_entry *entry)
{
	struct mlimg_entry now = {.type = entry->type};
	char buf[NAMED_SIZE];
	const char *path = named(buf, dirfd, name);
	int r = mlimg_xattr_read_all(&reader->xattrs, dirfd, name, -1, &now.n_xattrs);

	if (r < 0)
		return r;
	now.xattrs = reader->xattrs.xattrs;
	for (uint32_t i = 0; i < now.n_xattrs; i++)
		if (!mlimg_xattr_is_overlay(now.xattrs[i].name) &&
			!mlimg_entry_xattr(entry, now.xattrs[i].name) &&
			lremovexattr(path, now.xattrs[i].name) < 0)
			return -errno;
	r = set_some(path, entry, &now, false);
	return r < 0 ? r : set_some(path, entry, &now, true);
}

int mlimg_entry_at_set_all_xattrs(int dirfd, const char *name, const struct mlimg_entry *entry)
{
	char buf[NAMED_SIZE];
	const char *path = named(buf, dirfd, name);

	for (uint32_t i = 0; i < entry->n_xattrs; i++)
		if (lsetxattr(path, entry->xattrs[i].name,
			    entry->xattrs[i].value ? (const void *)entry->xattrs[i].value : "",
			    entry->xattrs[i].size, 0) < 0)
			return -errno;
	return 0;
}

int mlimg_entry_at_make(int dirfd, const char *name, const struct mlimg_entry *entry)
{
	int r;

	switch (entry->type) {
	case MLIMG_DIR: r = mkdirat(dirfd, name, 0700); break;
	case MLIMG_LINK: r = symlinkat(entry->link, dirfd, name); break;
	default:
		r = mknodat(dirfd, name, mlimg_type_mode(entry->type) | 0600,
			makedev(entry->dev_major, entry->dev_minor));
	}
	return r < 0 ? -errno : 0;
}

int mlimg_entry_at_set_time(int dirfd, const char *name, int64_t s, uint32_t ns)
{
	/* libfuse 2, which unionfs-fuse uses, does nothing, and says nothing, when only one is set. */
	const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {s, ns}};

	return utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0 ? -errno : 0;
}

int mlimg_entry_at_set(struct mlimg_entry_reader *reader, int dirfd, const char *name,
	const struct mlimg_entry *entry)
{
	char buf[NAMED_SIZE];
	struct stat st;
	int r;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
		return -errno;
	if (mlimg_type_of_mode(st.st_mode) != entry->type)
		return -ESTALE;
	if ((st.st_uid != entry->uid || st.st_gid != entry->gid) &&
		fchownat(dirfd, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) <
			0)
		return -errno;
	/*
	 * After the owner, whose change takes set-id bits away. Of a link nobody looks at the mode.
	 */
	if (entry->type != MLIMG_LINK && chmod(named(buf, dirfd, name), entry->mode) < 0)
		return -errno;
	r = set_xattrs(reader, dirfd, name, entry);
	/*
	 * An ACL is also three digits of the mode, which the mode's change has put into it; now it
	 * is the other way round.
	 */
	if (r == 0 && entry->type != MLIMG_LINK && chmod(named(buf, dirfd, name), entry->mode) < 0)
		r = -errno;
	return r < 0 ? r : mlimg_entry_at_set_time(dirfd, name, entry->mtime_s, entry->mtime_ns);
}

void mlimg_entry_reader_done(struct mlimg_entry_reader *reader)
{
	mlimg_xattr_reader_done(&reader->xattrs);
}
