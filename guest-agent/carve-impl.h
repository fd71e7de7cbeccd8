/* SPDX-License-Identifier: MIT */
/**
 * @file carve-impl.h
 * What the parts of carve.h share.
 */
#ifndef MLIMG_CARVE_IMPL_H
#define MLIMG_CARVE_IMPL_H

#include "guest-agent/carve.h"
#include "guest-agent/protect.h"

#define mlimg_carve_note(carve, ...) \
	mlimg_boot_add_note((carve)->notes, &(carve)->n_notes, MLIMG_CARVE_NOTES_MAX, __VA_ARGS__)
#define mlimg_carve_tell(carve, ...) \
	mlimg_boot_add_note((carve)->told, &(carve)->n_told, MLIMG_CARVE_TOLD_MAX, __VA_ARGS__)

/** A boot that mounts carve-outs. */
struct mlimg_carving {
	int root_fd; /**< the merged root */
	int base_fd; /**< where carve-outs lie in this boot */
	int user_fd; /**< the user's file system; below 0: nothing of it is to be seen */
	enum mlimg_boot_mode mode;
	struct mlimg_carve *carve; /**< its paths are what is mounted */
	struct mlimg_protect *protect;
	char declared[MLIMG_CARVE_MAX][MLIMG_CARVE_PATH_MAX + 1];
	size_t n_declared;
	struct mlimg_carve made; /**< what earlier boots made; then those that are not mounted */
	char *text; /**< of MLIMG_CARVE_MADE, as it was read; NULL without; free() it */
};

/** Read MLIMG_CARVE_MADE; what cannot be read gets a note. */
void mlimg_carve_made_read(struct mlimg_carving *c);

/** Write it again, durably, where it does not have what is mounted and c->made; else a note. */
void mlimg_carve_made_write(struct mlimg_carving *c);

/**
 * Look at the directory of a carve-out in the user layer. One that is empty is removed, in a mode
 * that may.
 *
 * @param c     see there
 * @param path  of the carve-out
 * @return      1 when there are files; 0 when it is empty or not there; -errno
 */
int mlimg_carve_has_store(struct mlimg_carving *c, const char *path);

/** @return whether no earlier boot made this carve-out */
bool mlimg_carve_is_new(struct mlimg_carving *c, const char *path);

/**
 * Whether a carve-out would hide something of the user's: the upper has there what is no whiteout
 * and no empty directory, or what shows in a directory that was renamed.
 *
 * @param c       see there
 * @param target  the directory in the merged root
 * @param path    its path
 */
bool mlimg_carve_hides_files(struct mlimg_carving *c, int target, const char *path);

/**
 * Mount one.
 *
 * @param c     see there
 * @param path  in the merged root
 * @param err   names it
 * @return      1 when it was mounted, 0 when it was left out with a note, or -errno
 */
int mlimg_carve_mount_one(
	struct mlimg_carving *c, const char *path, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
