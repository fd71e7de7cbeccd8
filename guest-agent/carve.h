/* SPDX-License-Identifier: MIT */
/**
 * @file carve.h
 * Carve-outs: directories of the merged root that lie on the user's file system outside the union,
 * such as /var/lib/docker, whose storage cannot be an overlay on an overlay, or one with a swap
 * file, which must not be on an overlay at all.
 *
 * They are declared by the layers, in files of the merged root named
 * /etc/mlimg/carve-outs.d/NAME.conf, which are read in byte order of their names (declared.h). Not
 * taken, with a note in boot.json, is what is no such path, what lies in another carve-out, in
 * /etc/mlimg or where the initramfs' own mounts are (/dev, /proc, /run, /sys), what would cover a
 * protected path (protect.h), and what is no directory or lies behind a symbolic link.
 *
 * The directory /var/lib/docker is /carve-outs/var/lib/docker of the user's file system,
 * bind-mounted over that of the merged root, without the nosuid and nodev that the user's file
 * system itself is mounted with. On the first boot that has it declared it is made, empty, with
 * owner and mode of the one in the merged root (which is made too where it is missing: root's,
 * 0755). In the modes that lose changes it lies, empty, on the temporary file system instead, and
 * in the mode readonly it is mounted read-only where it is there.
 *
 * No file of the user's goes out of view without a word:
 *
 * - Where the upper has files in a directory that is to become a carve-out, that is left out, at
 *   each boot until they are elsewhere. A whiteout is no file, nor is an empty directory.
 * - A carve-out that is no longer declared is mounted as before while it has files, with a note.
 *   One of the directories above it, or below, is none then. When it is empty, it is removed.
 * - One with files that cannot be mounted, or would cover a protected path by now: where its
 *   files are is told.
 *
 * Which carve-outs there are is in the file /mlimg/carve-outs of the user layer, in the form of
 * declarations; `commit` writes it in the normal mode, when it is another. Where there is none,
 * each that has a directory below /carve-outs was made before.
 */
#ifndef MLIMG_CARVE_H
#define MLIMG_CARVE_H

#include "libmlimg/boot.h"
#include "libmlimg/declared.h"

#define MLIMG_CARVE_DIR "carve-outs"                 /**< at the top of the user's file system */
#define MLIMG_CARVE_MADE "carve-outs"                /**< in the user layer's /mlimg */
#define MLIMG_CARVE_CONF "etc/mlimg/carve-outs.d"    /**< in the merged root */
#define MLIMG_CARVE_MAX 64                           /**< carve-outs of one guest */
#define MLIMG_CARVE_PATH_MAX MLIMG_DECLARED_PATH_MAX /**< bytes of a path */
#define MLIMG_CARVE_NOTES_MAX 4                      /**< notes about what was not taken */
#define MLIMG_CARVE_TOLD_MAX 8                       /**< lines about files of the user's */

/** What is declared, and what came of it. Its texts are one line each. */
struct mlimg_carve {
	char paths[MLIMG_CARVE_MAX][MLIMG_CARVE_PATH_MAX + 1]; /**< without the first '/' */
	size_t n_paths;
	char notes[MLIMG_CARVE_NOTES_MAX][MLIMG_ERR_TEXT_SIZE];
	size_t n_notes;
	char told[MLIMG_CARVE_TOLD_MAX][MLIMG_ERR_TEXT_SIZE]; /**< for the console, too */
	size_t n_told;
};

/**
 * Read a file of declarations. What is not taken gets a note.
 *
 * @param name   what notes call it
 * @param text   bytes
 * @param size   their number
 * @param carve  gets its paths
 */
void mlimg_carve_parse(const char *name, const char *text, size_t size, struct mlimg_carve *carve);

/**
 * Read all declarations, and mount what they name.
 *
 * @param run_fd  /run/mlimg, with user or volatile mounted beneath
 * @param root    the merged root
 * @param mode    of the boot
 * @param carve   zeroed; then paths has what was mounted
 * @param err     names the carve-out
 * @return        0 or -errno when one that is declared and there cannot be mounted
 */
int mlimg_carve_mount(int run_fd, const char *root, enum mlimg_boot_mode mode,
	struct mlimg_carve *carve, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
