/* SPDX-License-Identifier: MIT */
/**
 * @file path-class.h
 * What kind of thing lies at a path, which decides what becomes of it when both the user and a new
 * stack have changed it. One table, declared as text: defaults for Debian (below), and lines of
 * files that a system or its user adds (reconcile.d/NAME.conf).
 *
 *     class      where, by default (a path and all that is below it), and what becomes of it where
 *                both have changed it
 *     ---------+-------------------------------------------------------------------------------
 *     config     etc. Text is merged by lines where the changes do not touch; else the user's
 *                stays, and the new one lies beside as NAME.mlimg-new. In directories of which
 *                programs read every name, that would be in force beside the user's; so there
 *                (config:dpkg-dist: etc/apparmor.d, logrotate.d, dnsmasq.d, grub.d, init.d,
 *                bash_completion.d, apt/NAME.d, NetworkManager/dispatcher.d,
 *                initramfs-tools/conf.d) it lies beside as NAME.mlimg-new.dpkg-dist, which these
 *                pass over as dpkg's. Where programs take that, too (config:alone:
 *                network/interfaces.d, nginx/sites-enabled, initramfs-tools/hooks and scripts),
 *                nothing is put beside: the user's stays, and is told
 *     owned      usr but not usr/local, bin, sbin, lib*, boot, opt. The new one wins, the user's is
 *                set aside
 *     data       everything else: var, home, root, srv, usr/local. The user's stays, and is told
 *     accounts   etc/passwd, group, shadow, gshadow, subuid, subgid. Merged by record; without a
 *                merged text as data
 *     packages   var/lib/dpkg, var/lib/apt/extended_states, debconf's config and templates. Merged
 *                by record; without a merged text as data
 *     derived    files that rebuild.h knows: ld.so.cache, mime, icons, ... Dropped whenever the stack
 *                has changed, and rebuilt; but one that begins as no program writes it there, and
 *                what lines declare as derived besides, only where it is as the old or the new
 *                stack has it, else set aside: who wrote it is not known
 *     keep       machine-id, host keys, hostname, resolv.conf, fstab, ..., and what the user has
 *                made immutable (reconcile-plan.h). The user's stays, whatever happened
 *     merge:NAME nowhere. As config, but merged by the executable NAME instead of by lines (below)
 *
 * What needs no class of its own: directories of parts (NAME.d, as ld.so.conf.d, sysctl.d, cron.d,
 * apt's sources.list.d, sudoers.d) are merged by the union itself, a file at a time. So are the
 * links that enable systemd's units (etc/systemd/system/TARGET.wants/UNIT): enabling makes a link,
 * disabling one of the system's leaves a whiteout, and masking makes a link of the unit's own name
 * to /dev/null, which hides it; each is an entry of its own, so what the user enabled, disabled and
 * masked stays so, and what a new system enables comes with it.
 *
 * What a table cannot say, a hook can: an executable that a layer has as usr/lib/mlimg/merge.d/NAME
 * and that makes one file of three. The guest's agent runs it, and guest-agent/hook.h says how and
 * with what; who plans on a host runs nothing, and tells where one would be. NAME is of ASCII
 * letters and digits, '.', '_' and '-', and begins with a letter or digit.
 *
 * Where the new one lies is decided by the last line of class config that fits, also for what
 * another line makes merge:NAME.
 *
 * Lines: "GLOB CLASS" (path-glob.h), separated by blanks, which a backslash in a glob takes in; '#'
 * begins a comment line; empty lines are skipped. A line's end may be CR LF.
 *
 * The last line that fits decides, so within a file lines for the particular stand below those for
 * the general. Which files count, and in which order, says class-files.h.
 */
#ifndef MLIMG_PATH_CLASS_H
#define MLIMG_PATH_CLASS_H

#include <stdbool.h>
#include <stddef.h>

#include "libmlimg/err.h"
#include "libmlimg/manifest.h"

/** Classes. */
enum mlimg_path_class {
	MLIMG_CLASS_CONFIG = 1,
	MLIMG_CLASS_OWNED,
	MLIMG_CLASS_DATA,
	MLIMG_CLASS_ACCOUNTS,
	MLIMG_CLASS_PACKAGES,
	MLIMG_CLASS_DERIVED,
	MLIMG_CLASS_KEEP,
	MLIMG_CLASS_MERGE, /**< merge:NAME */
};

/** Where the new stack's file is put when the user's stays. */
enum mlimg_path_beside {
	MLIMG_BESIDE_PLAIN = 0, /**< beside it: NAME.mlimg-new */
	MLIMG_BESIDE_DPKG_DIST, /**< config:dpkg-dist: NAME.mlimg-new.dpkg-dist */
	MLIMG_BESIDE_NOWHERE,   /**< config:alone */
};

#define MLIMG_N_CLASSES 9          /**< one more than the greatest class */
#define MLIMG_CLASS_FILE_MAX 65536 /**< bytes of one file */
#define MLIMG_CLASS_LINES_MAX 256  /**< lines of all files: each is asked for each path */
#define MLIMG_CLASS_HOOK_MAX 64    /**< bytes of a hook's name */

/** A table. */
struct mlimg_path_classes;

/**
 * @return the class's name: "config", "owned", "data", "accounts", "packages", "derived", "keep" or
 * "merge"
 */
const char *mlimg_path_class_name(enum mlimg_path_class class);

/** @return whether what is of it is a database, merged by record */
static inline bool mlimg_path_class_has_records(enum mlimg_path_class class)
{
	return class == MLIMG_CLASS_ACCOUNTS || class == MLIMG_CLASS_PACKAGES;
}

/** @return the defaults, in the form of a file */
const char *mlimg_path_class_defaults(void);

/**
 * @return a table of the defaults, or NULL when there is no memory; mlimg_path_classes_free() it
 */
struct mlimg_path_classes *mlimg_path_classes_new(void);

/** Free it; accepts NULL. */
void mlimg_path_classes_free(struct mlimg_path_classes *classes);

/**
 * Add the lines of a file. The caller sees to the order of files.
 *
 * @param classes  the table; stays as it was on failure
 * @param name     of the file, for messages
 * @param text     its bytes; a stranger's
 * @param size     their number
 * @param err      "NAME: line N: ...": no class, an unknown class, a broken glob, a NUL, more than
 *                 the limits
 * @return         0, -EUCLEAN, -ENOMEM
 */
int mlimg_path_classes_add(struct mlimg_path_classes *classes, const char *name, const char *text,
	size_t size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return the class of @p path, which is as in manifests */
enum mlimg_path_class mlimg_path_class_of(
	const struct mlimg_path_classes *classes, const char *path);

/**
 * The class of something that lies there. The programs that make caches make regular files: a link
 * or a socket in the place of one is of the class that the path would have without rebuild.h.
 *
 * @param classes  the table
 * @param entry    of an upper; a whiteout counts as what it hides
 * @return         its class
 */
enum mlimg_path_class mlimg_path_class_of_entry(
	const struct mlimg_path_classes *classes, const struct mlimg_entry *entry);

/** @return the name of the hook for @p path, or NULL when it is not of class merge */
const char *mlimg_path_class_hook(const struct mlimg_path_classes *classes, const char *path);

/** @return where the new stack's file lies when the user's at @p path stays */
enum mlimg_path_beside mlimg_path_class_beside(
	const struct mlimg_path_classes *classes, const char *path);

#endif
