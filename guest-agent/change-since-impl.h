/* SPDX-License-Identifier: MIT */
/**
 * @file change-since-impl.h
 * What the files of change-since.h share; nobody else includes this.
 */
#ifndef MLIMG_CHANGE_SINCE_IMPL_H
#define MLIMG_CHANGE_SINCE_IMPL_H

#include "guest-agent/base.h"
#include "guest-agent/carve-owners.h"
#include "guest-agent/change-since.h"
#include "libmlimg/path-map.h"
#include "guest-agent/upper-list.h"
#include "libmlimg/accounts.h"
#include "libmlimg/packages.h"
#include "libmlimg/path-class.h"
#include "libmlimg/upper-source.h"

/** One of both stacks, as the user layer knows it. */
struct since_stack {
	struct mlimg_manifest *manifest;
	struct mlimg_base_texts texts;
};

/** A step that has taken something away. */
struct since_taken {
	size_t n;
	char op;
};

/** A copy of which the user has changed attributes alone, or a directory. */
struct since_adaptable {
	const char *path, *lower; /**< in the upper, and in the stacks */
};

/** What is looked at, and the logs that come of it. */
struct since {
	struct mlimg_change *c;
	struct mlimg_undo_log *log;
	/** as it is now, in the neutral form; then without copies that go */
	struct mlimg_manifest *upper;
	struct mlimg_manifest
		*after, /**< as it is when the steps are taken back; NULL: not known yet */
		*ways;  /**< likewise, before it is known what is put: for its directories */
	struct since_stack now, former;
	bool knows_stacks;            /**< both; otherwise neither is to be looked at */
	struct mlimg_upper_dir files; /**< the upper's */
	struct mlimg_path_classes *classes;
	struct mlimg_path_map taken; /**< by 'o' or 'a': its place in takens */
	struct since_taken *takens;
	size_t n_takens, takens_room;
	struct mlimg_path_map put; /**< by 'i' */
	struct mlimg_path_map set; /**< by 's': the step */
	size_t *set_names; /**< of names of one file (hardlink): such a step, and one more; or 0 */
	struct mlimg_path_map set_inodes; /**< numbers of these files in the upper, as text */
	struct mlimg_path_map first_done, dirs_done; /**< what is in the logs already */
	struct mlimg_path_map timed;                 /**< directories whose times are in the logs */
	char **touched; /**< directories in which something is done; of @p arena */
	size_t n_touched, touched_room;
	struct mlimg_arena *arena;
	int made_fd, aside_fd;                 /**< undo/N/made, aside/N; or -1 */
	struct mlimg_text rebuild;             /**< caches that are to be made anew, a line each */
	struct mlimg_accounts_merged accounts; /**< zero unless they were merged */
	struct mlimg_packages_merged packages; /**< likewise */
	bool has_packages;                     /**< they were */
	const char **package_paths;            /**< to which they refer */
	struct since_adaptable *adaptables;
	size_t n_adaptables, adaptables_room;
	struct mlimg_path_map
		adapted; /**< those whose attributes are in the logs, databases, whiteouts */
	bool knows_had;  /**< what the upper had before the change */
	bool has_had;    /**< the same, from since_copies() on */
	struct mlimg_upper_list had;   /**< that, if it is known */
	struct mlimg_path_map gone;    /**< what the change has taken away */
	struct mlimg_path_map renewed; /**< directories that the user has made anew since */
	/** something of the former stack's layers was to be read, and there are none */
	bool lacks_layers;
	struct mlimg_carve_owners carved;
	struct mlimg_change_extra first, then, stays;
	struct mlimg_err *err;
};

/**
 * Read a text of one side: base is as the change has left it, next as it was before, mine as it is
 * now.
 *
 * @param s         see there
 * @param side      whose
 * @param path      in the tree
 * @param ret_text  free() it
 * @param ret_size  bytes
 * @return          0; -ENOENT when it is not there; -EMLINK when a database is no file, or behind a
 *                  symbolic link; -EIO when it cannot be had; -ENOMEM
 */
int since_read(struct since *s, enum mlimg_merge_side side, const char *path, char **ret_text,
	size_t *ret_size) MLIMG_MUST_CHECK;

/** Say why since_read() has failed. @param r  what it has returned. @return  -errno */
int since_cannot_read(int r, enum mlimg_merge_side side, const char *path,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read the classes: those that the former stack and the user declare; the defaults alone when the
 * stacks are not known.
 *
 * @return 0, -ENOMEM
 */
int since_read_classes(struct since *s) MLIMG_MUST_CHECK;

/**
 * Whether a thing of the upper has the contents of the newer stack's, which are read if need be.
 *
 * @param s    see there
 * @param e    of the upper; gets its digest
 * @param now  the newer stack's; NULL: it has none
 * @return     1 when they are the same; 0, also when they cannot be read; -ENOMEM
 */
int since_has_same_contents(
	struct since *s, struct mlimg_entry *e, const struct mlimg_entry *now) MLIMG_MUST_CHECK;

/** @return 1 when the user has changed that file since, 0; -EMLINK, -EIO, -ENOMEM: see since_read() */
int since_is_changed(struct since *s, const char *path) MLIMG_MUST_CHECK;

/** What is there now, no directory, goes before steps are taken back. @return 0, -ENOMEM */
int since_clear(struct since *s, const char *path) MLIMG_MUST_CHECK;

/** The same, but to aside/N+1. @return 0, -ENOMEM, -errno */
int since_set_aside_first(struct since *s, const char *path) MLIMG_MUST_CHECK;

/** Directories on the way to @p path that may be missing in the end. @return 0, -errno */
int since_make_way(struct since *s, const char *path) MLIMG_MUST_CHECK;

/**
 * See to it that a database has these contents in the end; NULL: those that taking steps back gives
 * it.
 *
 * @return 0, -errno
 */
int since_put_database(
	struct since *s, const char *path, const struct mlimg_merged_text *text) MLIMG_MUST_CHECK;

/** Have caches go that were made since, and be made anew. @return 0, -ENOMEM, -errno */
int since_caches(struct since *s) MLIMG_MUST_CHECK;

/** Have copies go that are not changed, and note what else is new. @return 0, -errno */
int since_copies(struct since *s) MLIMG_MUST_CHECK;

/**
 * Note what the upper had, and which directories the user has removed and made anew since.
 *
 * @return 0, -errno
 */
int since_note_renewed(struct since *s) MLIMG_MUST_CHECK;

/**
 * @return whether the user has removed with such a directory what a step has taken from @p path, so
 *         that it does not return
 */
bool since_is_removed(const struct since *s, const char *path);

/** Log what does not return, when all is known of what makes way. @return 0, -errno */
int since_note_removed(struct since *s) MLIMG_MUST_CHECK;

/** @return whether the upper has had it since before the change, and no step has touched it */
bool since_was_left(const struct since *s, const char *path);

/**
 * @return whether anything of the newer stack can lie beneath a thing of the upper that is no
 *         renamed directory, and its path there
 */
bool since_lower_of(const struct since *s, const char *path, char ret_lower[MLIMG_PATH_MAX + 1]);

/** Note a copy for since_adapt(). @param path  the upper's. @return 0, -ENOMEM */
int since_note_adaptable(struct since *s, const char *path, const char *lower) MLIMG_MUST_CHECK;

/**
 * Have what was noted follow the former stack in what the user did not change.
 *
 * @return 0, -errno
 */
int since_adapt(struct since *s) MLIMG_MUST_CHECK;

/**
 * Have what the change has put and of which he has changed attributes alone give way to what was
 * there before, which gets them.
 *
 * @return 0, -errno
 */
int since_adapt_put(struct since *s) MLIMG_MUST_CHECK;

/**
 * Have what a step has taken return in the place of a file of which the user has changed attributes
 * alone, which it gets; unless that is none of one name, or nothing.
 *
 * @param s      see there
 * @param e      of the upper
 * @param base   what it was before he changed them
 * @param arena  holds what is merged
 * @return       0, -errno
 */
int since_return_taken(struct since *s, const struct mlimg_entry *e, const struct mlimg_entry *base,
	struct mlimg_arena *arena) MLIMG_MUST_CHECK;

/**
 * @return whether it is of a package that is the user's, in his version, whose files may be the same
 *         as a stack's
 */
bool since_is_of_mine(const struct since *s, const struct mlimg_entry *e);

/**
 * Find out what the upper is when the steps are taken back.
 *
 * @param s    what goes before that is in its log
 * @param ret  mlimg_manifest_free() it
 * @return     0, -errno
 */
int since_after(struct since *s, struct mlimg_manifest **ret) MLIMG_MUST_CHECK;

/**
 * Whether something can be put: all above it will be directories, or nothing, so that some can be
 * made. Asked when it is known what gives way to packages; everything that is put is.
 *
 * @param s     its stacks are known
 * @param path  in the upper
 * @return      1, 0, -errno
 */
int since_has_way(struct since *s, const char *path) MLIMG_MUST_CHECK;

/**
 * The same of several that belong together.
 *
 * @param s      likewise
 * @param paths  all of them
 * @param n      how many
 * @param name   for the note where one has no place
 * @return       1; 0: it is told; -errno
 */
int since_has_ways(
	struct since *s, const char *const *paths, size_t n, const char *name) MLIMG_MUST_CHECK;

/**
 * @return 1 when what the former stack has in the directory of @p path will show there, but for what
 *         hides it singly: no whiteout, closed or renamed directory is above; 0, -errno
 */
int since_shows_beneath(struct since *s, const char *path) MLIMG_MUST_CHECK;

/** Give the former stack's things owners that had to give way to the user's. @return 0, -errno */
int since_lowers(struct since *s) MLIMG_MUST_CHECK;

/**
 * See to it that there is a copy of something of the former stack in the end.
 *
 * @param s       see there
 * @param wanted  path in the upper, and attributes
 * @param former  of the same type, in the former stack
 * @return        0, -errno
 */
int since_put_of_stack(struct since *s, const struct mlimg_entry *wanted,
	const struct mlimg_entry *former) MLIMG_MUST_CHECK;

/** What a directory that is missing is to be like. @return 0, -ENOMEM */
int since_dir_like(struct since *s, const char *path, struct mlimg_entry *ret) MLIMG_MUST_CHECK;

/**
 * Whether the change had merged accounts, or packages. Where it had not, they are not merged back:
 * what it had left as it was, it has not moved any number for.
 *
 * @param s     see there
 * @param name  MLIMG_CHANGE_LEFT_ACCOUNTS or _PACKAGES
 * @param err   of kind MLIMG_ERR_REFUSED when it had not
 * @return      0, -EUCLEAN, -errno
 */
int since_check_left(
	const struct since *s, const char *name, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Merge accounts, changed or not: numbers are others all the same. @return 0, -errno */
int since_accounts(struct since *s) MLIMG_MUST_CHECK;

/** Map owners where numbers have moved between accounts that were merged. @return 0, -errno */
int since_move_owners(struct since *s) MLIMG_MUST_CHECK;

/** @return 1 when what a step has taken from there finds its place free, 0, -errno */
int since_has_place(struct since *s, const char *path) MLIMG_MUST_CHECK;

/**
 * @param e  of the upper
 * @return   whether the change has put it, and it is as it was put; of a directory, but for what is
 *           in it. What cannot be known is the user's
 */
bool since_is_as_put(struct since *s, const struct mlimg_entry *e);

/** Note which files of several names the steps have set attributes of. @return 0, -ENOMEM */
int since_note_names(struct since *s) MLIMG_MUST_CHECK;

/** Note whose attributes the user has changed since a step has set them. @return 0, -ENOMEM */
int since_note_stays(struct since *s) MLIMG_MUST_CHECK;

/**
 * @return whether taking the steps back takes it away, or gives it what it had before: whose that
 *         was is in the numbers of the former stack. What cannot be known stays as it is
 */
bool since_is_set_back(struct since *s, const struct mlimg_entry *e);

/**
 * What a thing is like when the step is taken back that has set its attributes.
 *
 * @param s           see there
 * @param e           of the upper
 * @param arena       holds what is mapped
 * @param ret_set     the step; valid until another one is asked for
 * @param ret_wanted  like @p e then, with the numbers that its owners have then: those that the user
 *                    has given it since, or those of the former stack; of both parameters
 * @return            1; 0 when there is no such step, or it is not taken back; -ENOMEM
 */
int since_find_set_back(struct since *s, const struct mlimg_entry *e, struct mlimg_arena *arena,
	struct mlimg_undo_record *ret_set, struct mlimg_entry *ret_wanted) MLIMG_MUST_CHECK;

/** @p ret becomes @p e with the numbers that @p moves gives its owners. @return 0, -ENOMEM */
int since_map_owners(struct since *s, const struct mlimg_owner_moves *moves,
	const struct mlimg_entry *e, struct mlimg_arena *arena,
	struct mlimg_entry *ret) MLIMG_MUST_CHECK;

/**
 * Merge packages if the user has changed any: first of all, as all that he has is of them.
 *
 * @return 0, -errno
 */
int since_packages(struct since *s) MLIMG_MUST_CHECK;

/**
 * See to what of the user's gives way to that, unless what was merged has no place: that is told
 * then, and nothing is merged.
 *
 * @return 0, -errno
 */
int since_give_way(struct since *s) MLIMG_MUST_CHECK;

/** See to it that what follows from that is there in the end. @return 0, -errno */
int since_put_packages(struct since *s) MLIMG_MUST_CHECK;

/** See to it that a path is hidden in the end, unless there is something then. @return 0, -errno */
int since_put_whiteout(struct since *s, const char *path) MLIMG_MUST_CHECK;

/**
 * Hide what the former stack would show that a renamed directory shows already.
 *
 * @return 0, -errno
 */
int since_covers(struct since *s) MLIMG_MUST_CHECK;

/** Note the directory of @p path, whose time a step changes. @return 0, -ENOMEM */
int since_touch(struct since *s, const char *path) MLIMG_MUST_CHECK;

/** The times that directories are to have in the end. @return 0, -errno */
int since_times(struct since *s) MLIMG_MUST_CHECK;

/** Tell that something is not merged. @return 0, -ENOMEM */
int since_give_up(struct since *s, const char *path, const char *name,
	const struct mlimg_err *why) MLIMG_MUST_CHECK;

#define since_no_memory(s) mlimg_err_set((s)->err, ENOMEM, "roll back")

#endif
