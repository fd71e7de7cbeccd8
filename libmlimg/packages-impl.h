/* SPDX-License-Identifier: MIT */
/**
 * @file packages-impl.h
 * What the parts of packages.h share. Private to them.
 */
#ifndef MLIMG_PACKAGES_IMPL_H
#define MLIMG_PACKAGES_IMPL_H

#include <stdbool.h>

#include "libmlimg/arena.h"
#include "libmlimg/packages.h"
#include "libmlimg/records-parse.h"
#include "libmlimg/text.h"

#define MLIMG_PACKAGES_STATUS "var/lib/dpkg/status"
#define MLIMG_PACKAGES_INFO "var/lib/dpkg/info/"
#define MLIMG_PACKAGES_DIVERSIONS "var/lib/dpkg/diversions"

/** Fields whose value is a list of packages. */
enum mlimg_relation {
	MLIMG_DEPENDS,
	MLIMG_PRE_DEPENDS,
	MLIMG_BREAKS,
	MLIMG_CONFLICTS,
	MLIMG_PROVIDES,
	MLIMG_N_RELATIONS,
};

/** What Multi-Arch says. */
enum mlimg_multi_arch {
	MLIMG_MULTI_NO,
	MLIMG_MULTI_SAME,
	MLIMG_MULTI_FOREIGN,
	MLIMG_MULTI_ALLOWED
};

/** A stanza of the status. Strings are the arena's. */
struct mlimg_stanza {
	const struct mlimg_record *record;
	const char *name, *version, *architecture; /**< "" where there is none */
	const char *want, *state;                  /**< first and last word of Status */
	const char *relations[MLIMG_N_RELATIONS];  /**< NULL where there is none */
	const char *conffiles;                     /**< NULL where there are none */
	enum mlimg_multi_arch multi_arch;
	bool is_present; /**< its files are there */
	struct mlimg_package_entry *entry;
};

/** The stanzas of one side, in the order of the file. */
struct mlimg_stanzas {
	struct mlimg_stanza *stanzas;
	size_t n;
	struct mlimg_record_list records;
};

/** A package on all sides. */
struct mlimg_package_entry {
	struct mlimg_stanza *side[MLIMG_N_MERGE_SIDES];
	const struct mlimg_stanza *winner; /**< NULL: not in the merged status */
	const char *want;                  /**< in the merged status */
	enum mlimg_package_verdict verdict;
};

/** Whose a path is; of several the first counts. */
enum mlimg_path_owner {
	MLIMG_PATH_KEPT, /**< another architecture's of the same package: plain */
	MLIMG_PATH_MINE,
	MLIMG_PATH_NEXT,
	MLIMG_PATH_REMOVED,
	MLIMG_PATH_NEW, /**< only next has it, and is to have it */
};

/** A path and whose it is. */
struct mlimg_package_path {
	const char *path;
	enum mlimg_path_owner owner;
};

/** What verdict_of() looks into. */
struct mlimg_packages_table {
	struct mlimg_arena *arena;        /**< of all that is in a struct mlimg_packages_merged */
	struct mlimg_package_path *paths; /**< sorted */
	size_t n_paths, paths_room, links_room, files_room;
};

/** A merge under way. */
struct mlimg_packages_job {
	const struct mlimg_packages_input *input;
	struct mlimg_packages_merged *merged;
	struct mlimg_stanzas sides[MLIMG_N_MERGE_SIDES];
	struct mlimg_package_entry *entries; /**< sorted by name, then architecture */
	size_t n_entries;
	struct mlimg_arena *arena;
	const char *native; /**< architecture */
	struct mlimg_notes *notes;
	struct mlimg_err *err;
};

/** @return -ENOMEM, with its message */
int mlimg_packages_no_memory(const struct mlimg_packages_job *job) MLIMG_MUST_CHECK;

/** Read a text; one that is not there is NULL. */
int mlimg_packages_read(const struct mlimg_packages_job *job, enum mlimg_merge_side side,
	const char *path, char **ret_text, size_t *ret_size) MLIMG_MUST_CHECK;

/* ---- packages-status.c ---- */

/** Parse the status of one side; mlimg_stanzas_done() when done, also on failure. */
int mlimg_stanzas_parse(struct mlimg_packages_job *job, enum mlimg_merge_side side,
	struct mlimg_records_text text) MLIMG_MUST_CHECK;

void mlimg_stanzas_done(struct mlimg_stanzas *stanzas);

/** @return whether both are there at the same version, for the same architecture */
bool mlimg_stanza_is_same_version(const struct mlimg_stanza *a, const struct mlimg_stanza *b);

/** Put a stanza and an empty line, with another first word of Status. */
void mlimg_stanza_put(struct mlimg_text *out, const struct mlimg_stanza *stanza, const char *want);

/* ---- packages-updates.c ---- */

/**
 * Bring the status of one side up to date with dpkg's journal.
 *
 * @param job   the merge; those of its input's paths that are updates are read of that side
 * @param side  whose
 * @param text  the status, or NULL where there is none; replaced, and free()d, where that side has
 *              updates
 * @param size  its bytes
 * @return      0; -EUCLEAN when the status or an update is not in its form; what the callback
 *              returned; -ENOMEM
 */
int mlimg_packages_apply_updates(struct mlimg_packages_job *job, enum mlimg_merge_side side,
	char **text, size_t *size) MLIMG_MUST_CHECK;

/* ---- packages-decide.c ---- */

/**
 * Pair the stanzas of all sides, and decide on each: fills entries.
 *
 * @param job       the merge
 * @param has_mine  whether the user has a status
 * @return          0; -EUCLEAN, refused: it is none that dpkg leaves; -ENOMEM
 */
int mlimg_packages_decide(struct mlimg_packages_job *job, bool has_mine) MLIMG_MUST_CHECK;

/** Write the merged status. */
int mlimg_packages_put_status(struct mlimg_packages_job *job,
	const struct mlimg_records_text texts[MLIMG_N_MERGE_SIDES],
	struct mlimg_merged_text *ret) MLIMG_MUST_CHECK;

/* ---- packages-paths.c ---- */

/**
 * Find the paths of packages that the user has his hand in: fills merged->table, ->hidden and
 * ->packages.
 */
int mlimg_packages_list_paths(struct mlimg_packages_job *job) MLIMG_MUST_CHECK;

/* ---- packages-diverted.c ---- */

/**
 * Where a file of a list really is: "bin/sh" is usr/bin/sh where bin is a link to usr/bin.
 *
 * @param job   the merge
 * @param path  the arena's of what comes out, as is what is returned
 * @return      NULL without memory
 */
const char *mlimg_packages_real_path(const struct mlimg_packages_job *job, const char *path);

/**
 * A line that names a path, "/PATH", as it is in a tree.
 *
 * @return the arena's of what comes out; "" where it is none; NULL without memory
 */
const char *mlimg_packages_tree_path(const struct mlimg_packages_job *job, const char *line);

/** Find the user's diversions: fills merged->diversions and ->undone. */
int mlimg_packages_list_diversions(struct mlimg_packages_job *job) MLIMG_MUST_CHECK;

/* ---- packages-conffiles.c ---- */

/**
 * Add to merged->files what packages of the user's have beneath the upper, in the old stack alone.
 */
int mlimg_packages_keep_conffiles(struct mlimg_packages_job *job) MLIMG_MUST_CHECK;

/* ---- packages-whole.c ---- */

/**
 * Whether the user's status is what dpkg leaves.
 *
 * @param job       packages are paired
 * @param is_there  whether he has one
 * @return          0; -EUCLEAN, refused; -ENOMEM
 */
int mlimg_packages_check_whole(
	const struct mlimg_packages_job *job, bool is_there) MLIMG_MUST_CHECK;

/* ---- packages-verdict.c ---- */

/** @return whose @p path is, or NULL */
const struct mlimg_package_path *mlimg_packages_find_path(
	const struct mlimg_packages_table *table, const char *path);

/**
 * The verdict on a package.
 *
 * @param merged  what has come out
 * @param spec    "NAME" or "NAME:ARCHITECTURE"
 * @param size    bytes
 */
enum mlimg_package_verdict mlimg_packages_verdict_of_package(
	const struct mlimg_packages_merged *merged, const char *spec, size_t size);

/* ---- packages-follow.c ---- */

/**
 * What follows its package in a database other than the status: mlimg_records_follow_fn with a
 * struct mlimg_packages_follow
 */
bool mlimg_packages_follow(
	void *ctx, const char *text, size_t size, enum mlimg_merge_side *ret_side);

/** Its context. */
struct mlimg_packages_follow {
	const struct mlimg_packages_merged *merged;
	const char *path; /**< of the database */
};

/* ---- packages-depends.c ---- */

/** Note what held in mine, and no more in what comes out. */
int mlimg_packages_check_depends(struct mlimg_packages_job *job) MLIMG_MUST_CHECK;

/* ---- packages-links.c ---- */

/**
 * Add a link of update-alternatives, "etc/alternatives/NAME".
 *
 * @param job     the merge
 * @param name    NAME
 * @param target  NULL or "": it is not there
 * @param others  as in struct mlimg_packages_link; the arena's, NULL without memory
 * @return        0, -ENOMEM
 */
int mlimg_packages_add_link(struct mlimg_packages_job *job, const char *name, const char *target,
	const char *const *others) MLIMG_MUST_CHECK;

/**
 * Add the link by which a command is called, and which leads to etc/alternatives, where next has
 * nothing.
 *
 * @param job   the merge
 * @param line  where it is, "/usr/bin/editor"
 * @param name  in etc/alternatives
 * @return      0, -ENOMEM
 */
int mlimg_packages_add_command(
	struct mlimg_packages_job *job, const char *line, const char *name) MLIMG_MUST_CHECK;

/** Sort them, and leave one at each path. */
void mlimg_packages_sort_links(struct mlimg_packages_merged *merged);

/* ---- packages-alternatives.c ---- */

/** Merge a state file of update-alternatives. */
int mlimg_packages_merge_alternatives(struct mlimg_packages_job *job, const char *path,
	const struct mlimg_records_text texts[MLIMG_N_MERGE_SIDES],
	struct mlimg_merged_text *ret) MLIMG_MUST_CHECK;

/* ---- packages-alternatives.c, for compose-alternatives.c ---- */

/** A link of a group. */
struct mlimg_alternative {
	const char *name;   /**< "etc/alternatives/NAME" */
	const char *target; /**< of the best choice; "" where it has none. NULL unless is_auto */
	bool is_auto;       /**< the group follows priorities */
};

/**
 * Merge the file of a group.
 *
 * @param arena  for what is done meanwhile
 * @param path   of the file in a tree
 * @param texts  of all sides
 * @param ret    the merged file; free() its text
 * @param err    that memory is short
 * @return       0, -ENOMEM
 */
int mlimg_alternatives_merge(struct mlimg_arena *arena, const char *path,
	const struct mlimg_records_text texts[MLIMG_N_MERGE_SIDES], struct mlimg_merged_text *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The links of a group; none where its file has not the form.
 *
 * @param arena      of names and targets
 * @param path       of the file in a tree
 * @param text       the file
 * @param ret_links  the group's own first; free() it
 * @param ret_n      how many there are
 * @param err        that memory is short
 * @return           0, -ENOMEM
 */
int mlimg_alternatives_links(struct mlimg_arena *arena, const char *path,
	struct mlimg_records_text text, struct mlimg_alternative **ret_links, size_t *ret_n,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
