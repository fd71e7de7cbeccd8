/* SPDX-License-Identifier: MIT */
/**
 * @file protect-impl.h
 * Parts of setting aside (protect.h) that its files share.
 */
#ifndef MLIMG_PROTECT_IMPL_H
#define MLIMG_PROTECT_IMPL_H

#include <sys/types.h>

#include "guest-agent/protect.h"
#include "libmlimg/manifest.h"

/** Setting aside, under way. */
struct mlimg_cover {
	const struct mlimg_lowers *lowers;
	struct mlimg_protect *protect;
	struct mlimg_err *err;
	bool is_unionfs, can_write;
	int user_fd, aside_fd; /**< aside_fd: protected-N, or -1 */
	int markers_fd;        /**< MLIMG_UNIONFS_DIR of the upper, or -1 */
	bool is_marked;        /**< something was done: /mlimg/protecting is there */
	char *derived; /**< caches that mlimg has made (rebuild.h), a path a line, or NULL */
};

/** Names of a directory. Zero it to begin with. */
struct mlimg_names {
	char **at;
	size_t n;
};

/** Free them. */
void mlimg_names_done(struct mlimg_names *names);

/**
 * List what a part of a pattern matches.
 *
 * @param dir     the directory
 * @param glob    a name, which need not be there, or a pattern
 * @param suffix  what the names end in besides, and are listed without; or ""
 * @param names   gets them; of a pattern's in byte order
 * @return        0 or -errno
 */
int mlimg_cover_list(
	int dir, const char *glob, const char *suffix, struct mlimg_names *names) MLIMG_MUST_CHECK;

/** Take the first name off a pattern. @return what follows it; NULL when it is the last */
const char *mlimg_cover_split(const char *pattern, char ret_name[MLIMG_DECLARED_PATH_MAX + 1]);

/** Put a name behind a path. @return whether there was room */
bool mlimg_cover_append(char path[MLIMG_PATH_MAX + 1], const char *name);

/**
 * @return S_IFMT bits of what the topmost layer that has the path has there; 0 for nothing; -errno
 */
int mlimg_cover_type(const struct mlimg_cover *c, const char *path);

/**
 * @return 1 when the layers have something below the directory @p path that is matched, 0, -errno
 */
int mlimg_cover_matches(
	const struct mlimg_cover *c, const char *path, const char *pattern) MLIMG_MUST_CHECK;

/**
 * Set something aside.
 *
 * @param c      see there
 * @param dir    directory that it is in
 * @param name   in there
 * @param where  path that it gets in the directory: @p path, or that of a marker
 * @param path   that it covers
 * @return       0, -EUCLEAN, other -errno
 */
int mlimg_cover_set_aside(struct mlimg_cover *c, int dir, const char *name, const char *where,
	const char *path) MLIMG_MUST_CHECK;

/** Mark in /mlimg that setting aside is under way. @return 0 or -errno */
int mlimg_cover_mark(struct mlimg_cover *c) MLIMG_MUST_CHECK;

/** Read which caches mlimg has made; that there is no list is no error. */
void mlimg_cover_read_derived(struct mlimg_cover *c);

/**
 * Remove something when it is but caches that mlimg has made, with the directories above them. They
 * are no work of the user's, and are made anew (rebuild.h): set aside, they would fill the user
 * layer boot by boot.
 *
 * @param c     see there
 * @param dir   directory that it is in
 * @param name  in there
 * @param path  in the upper
 * @return      1 when it was, 0 when there is anything else in it, -errno
 */
int mlimg_cover_remove_caches(
	struct mlimg_cover *c, int dir, const char *name, const char *path) MLIMG_MUST_CHECK;

/**
 * Set aside directories that were renamed from what shows in its own place again, and make files
 * forget of what they are copies. Overlayfs cannot show a directory or the origin of a copy in two
 * places: it says "stale file handle" in one of them.
 *
 * @param c      see there
 * @param upper  the upper, written by overlayfs
 * @return       0, -EUCLEAN, other -errno
 */
int mlimg_cover_renamed(struct mlimg_cover *c, int upper) MLIMG_MUST_CHECK;

#endif
