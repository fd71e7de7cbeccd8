/* SPDX-License-Identifier: MIT */
/**
 * @file packages.h
 * dpkg's databases merged three ways by record, and what becomes of the files of packages: base
 * (the stack that the user's layer was made on), next (the stack that it will lie on), mine (as the
 * user sees it). Nothing is read but through a callback, nothing written.
 *
 * The law: each package is listed at the version whose files are there. A package's own files are
 * where dpkg put them: those of the system in the layers, of which base's are gone with base; those
 * that the user installed in the upper, all of them, also where they are the same as beneath. So
 * for each package there is one of:
 *
 *     the user                       next        becomes                                  verdict
 *     left it alone                  anything    next's: another version, new or gone     plain
 *     removed or purged it           anything    stays removed                            removed
 *     installed it, or another       has it not  the user's stays                         mine
 *       version of it                as base     the user's stays                         mine
 *                                    the same    next's                                   plain
 *                                    another     the higher version; the user's, if he    mine, or
 *                                                has it on hold and it is whole           next
 *     put it on hold                 another     next's, still on hold: what was held is  plain
 *                                                gone with base. Told
 *
 * A file of a package of the user's at a path where next has one too, while next has not the
 * package, hides the system's: that is told.
 *
 * Versions are compared as dpkg does (dpkg-version.h). What the user wants of a package (install,
 * hold, deinstall, purge) is his, if he changed it. The stanza of the status file is that of the
 * side whose files are there. A package is known by its name, and where some side has several of a
 * name (Multi-Arch: same) by its architecture too.
 *
 * Verdicts on paths are for entries of the upper but directories, and come before all others:
 *
 *     plain    the path belongs to no package of the user's: ordinary rules
 *     mine     the user's version is there: his entry stays as it is, also when it is the same as
 *              in base or next
 *     next     his version gave way: his entry has to go, whether or not next has something there;
 *              but not below etc, where his configuration may be
 *     removed  he removed the package: his entry stays, also a whiteout, but for one of what next
 *              has not
 *     new      it belongs to a package that only next has, or to next's version of one whose
 *              version of his gave way, and had it not; not below etc: a whiteout goes, which dpkg
 *              left of another package's or another version's file; what he wrote there follows
 *              ordinary rules, as it does where he has changed no package
 *
 * and what next has that the user's packages have not must not show (`hidden`): a whiteout belongs
 * there, unless the upper has something of its own. Paths are real ones: those of a merged /usr
 * where next has that, and where diversions have put the file. Of the files in var/lib/dpkg/info
 * each follows its package. A configuration file of a package of the user's that dpkg has not
 * written anew, since the one in base is the same, is lost with base: where next has none, its text
 * is among those that come out.
 *
 * dpkg's journal: until it has written the status, what became of packages is in
 * var/lib/dpkg/updates, and stays there where it is killed or the power fails. What the user has
 * there is part of his status, whether or not he has a status file, and is gone from what comes
 * out: it is in the merged status. A journal that is not in dpkg's form ends the merge, as a
 * damaged status does.
 *
 * A status that dpkg never leaves is not merged, nor is anything else of packages, or the whole
 * system would be taken for removed: what a power cut has emptied or cut off, what is missing. That
 * is one without any package where base has some, and one that lacks a package of base's while the
 * list of its files is there (dpkg removes that first).
 *
 * A diversion (dpkg-divert(1)) that next has not got is the user's, whether he has made it or a
 * package of his. dpkg would put what the system's package has at PATH to where it is diverted, so
 * `diversions` says of each whose new version belongs where (reconcile-plan.h).
 *
 * Other databases (records.h: diversions, statoverride, arch, triggers, extended_states) are merged
 * by record; what they have of a package follows the verdict on it, and what both sides changed is
 * else the user's, and told. The state files of update-alternatives(1),
 * var/lib/dpkg/alternatives/NAME, are merged by choice; while a group that both sides changed is on
 * "auto", its links follow from its choices, and are told (`links`). Of "manual" they follow from
 * what the user has chosen; where that is no choice any more, the group is on "auto" again, and
 * that is told. The links by which commands are called (/usr/bin/editor) are among them where next
 * has none, as when its package has gone, and a choice of the user's is left.
 *
 * debconf's questions (var/cache/debconf/config.dat) and templates (templates.dat) are merged by
 * name. A template that one package owns follows the verdict on it; what the user answered is his.
 * One of these two that cannot be merged is a note, and stays the user's; packages are merged all
 * the same. One that he has removed stays away.
 *
 * Dependencies are checked as dpkg does (deb-control(5): Depends, Pre-Depends, Breaks, Conflicts,
 * Provides, with versions, alternatives and architectures): what holds in mine, and no more in what
 * comes out, is a note of kind MLIMG_NOTE_BROKEN. So is a package that is Multi-Arch: same, and
 * other in one architecture than in another.
 */
#ifndef MLIMG_PACKAGES_H
#define MLIMG_PACKAGES_H

#include "libmlimg/manifest.h"
#include "libmlimg/notes.h"
#include "libmlimg/records.h"

/** Whose files are to be there; see above. */
enum mlimg_package_verdict {
	MLIMG_FILES_PLAIN,
	MLIMG_FILES_MINE,
	MLIMG_FILES_NEXT,
	MLIMG_FILES_REMOVED,
	MLIMG_FILES_NEW, /**< of paths only */
};

/** @return "plain", "mine", "next", "removed" or "new" */
const char *mlimg_package_verdict_name(enum mlimg_package_verdict verdict);

/** What is to be merged. */
struct mlimg_packages_input {
	/**
	 * Databases (mlimg_packages_is_database()) at which the upper has an entry, a file or a
	 * whiteout; in any order, each once
	 */
	const char *const *paths;
	size_t n_paths;
	const struct mlimg_manifest *next; /**< the merged manifest of the next stack */
	/**
	 * Read a text file: a database of any side; var/lib/dpkg/info/NAME.list of next, and of
	 * mine where the upper has it.
	 *
	 * @param ctx       the context
	 * @param side      whose
	 * @param path      in the tree
	 * @param ret_text  malloc()ed, NUL-terminated (the NUL is not counted); freed by the merge
	 * @param ret_size  bytes
	 * @param err       what is wrong
	 * @return          0; -ENOENT when it is not there, a whiteout, or of base not known; other
	 *                  -errno end the merge
	 */
	int (*read)(void *ctx, enum mlimg_merge_side side, const char *path, char **ret_text,
		size_t *ret_size, struct mlimg_err *err);
	/**
	 * @return whether the user has a regular file there, of his own or the stack's; asked of
	 *         var/lib/dpkg/info/NAME.list. NULL: nobody knows
	 */
	bool (*has_file)(void *ctx, const char *path);
	/**
	 * @return where the symbolic link leads that the user has there, of his own or the stack's;
	 *         NULL: there is none. Asked of etc/alternatives/NAME. NULL: nobody knows
	 */
	const char *(*link)(void *ctx, const char *path);
	void *ctx; /**< handed to @p read, @p has_file and @p link */
};

/** A merged database. */
struct mlimg_packages_file {
	const char *path;
	struct mlimg_merged_text text;
};

/** A symlink of update-alternatives: "etc/alternatives/NAME", or one that leads to it. */
struct mlimg_packages_link {
	const char *path;
	const char *target; /**< NULL: it is not there */
	/**
	 * other targets that update-alternatives may have given it for the user, up to NULL; or
	 * NULL
	 */
	const char *const *others;
	/** the one that people call, "usr/bin/editor": put where neither next nor the user has one */
	bool is_command;
};

/** A file of the system's that the user, or a package of his, has had dpkg divert. */
struct mlimg_packages_diversion {
	const char *path; /**< where the system has it */
	const char *to;   /**< where the user has it */
};

/** A package that some side has, other than left alone by both. */
struct mlimg_packages_package {
	const char *name;
	const char *architecture;                 /**< "" where the database has none */
	const char *version[MLIMG_N_MERGE_SIDES]; /**< NULL: not there */
	const char *merged_version;               /**< NULL: not there */
	enum mlimg_package_verdict verdict;
};

struct mlimg_packages_table;

/** What comes out. */
struct mlimg_packages_merged {
	/**
	 * as the paths of the input; then the status, if it is not among these and updates are; then
	 * configuration files to be kept, which are not in next,
	 * each once
	 */
	struct mlimg_packages_file *files;
	size_t n_files;
	struct mlimg_packages_link *links; /**< sorted by path, each once */
	size_t n_links;
	/**
	 * those that are in the merged database and not in next's; sorted by @p to, each once. Both
	 * are paths of a tree, and may lead nowhere
	 */
	struct mlimg_packages_diversion *diversions;
	size_t n_diversions;
	/** diversions that base has and the merged database has no more, likewise */
	struct mlimg_packages_diversion *undone;
	size_t n_undone;
	const char **hidden; /**< paths of files of next, sorted by mlimg_manifest_path_cmp() */
	size_t n_hidden;
	struct mlimg_packages_package
		*packages; /**< those with another verdict than plain, sorted by name */
	size_t n_packages;
	struct mlimg_packages_table *table; /**< private */
};

/** @return whether @p path of a tree is a database that is merged here, or part of dpkg's journal */
bool mlimg_packages_is_database(const char *path);

/** @return whether @p path of a tree is part of dpkg's journal: var/lib/dpkg/updates/0007 */
bool mlimg_packages_is_update(const char *path);

/** @return the form of such a database: as records.h has it, and of debconf's; else none */
enum mlimg_records_form mlimg_packages_form_of(const char *path);

/**
 * Merge.
 *
 * @param input  what
 * @param ret    mlimg_packages_merged_done() when done; untouched on failure
 * @param notes  what people should know; may be NULL
 * @param err    of kind MLIMG_ERR_REFUSED when a database of dpkg's is not in its form: "mine:
 *               var/lib/dpkg/status: line 3: ..."; or when the user's status is none that dpkg
 *               leaves
 * @return       0, -EUCLEAN, -ENOMEM, what the callback returned
 */
int mlimg_packages_merge(const struct mlimg_packages_input *input,
	struct mlimg_packages_merged *ret, struct mlimg_notes *notes,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * @return the verdict on the upper's entry at @p path, which is no directory; of @p merged all
 *         zero, MLIMG_FILES_PLAIN
 */
enum mlimg_package_verdict mlimg_packages_verdict_of(
	const struct mlimg_packages_merged *merged, const char *path);

/** Free what it owns; accepts a zeroed one. */
void mlimg_packages_merged_done(struct mlimg_packages_merged *merged);

#endif
