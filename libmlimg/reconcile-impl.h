/* SPDX-License-Identifier: MIT */
/**
 * @file reconcile-impl.h
 * What the files of the planner share (reconcile-plan.h); nobody else includes this.
 */
#ifndef MLIMG_RECONCILE_IMPL_H
#define MLIMG_RECONCILE_IMPL_H

#include <errno.h>
#include <string.h>

#include "libmlimg/accounts.h"
#include "libmlimg/owner-set.h"
#include "libmlimg/reconcile-plan.h"
#include "libmlimg/renamed.h"

/** What has become of an entry of the upper, or-ed. */
enum fate {
	FATE_NEEDED = 1, /**< a directory that is to stay whatever is in it */
	FATE_GONE = 2,   /**< dropped or set aside */
	FATE_CLOSED =
		4, /**< a directory that stays, and shows nothing of the stack at its own path */
	FATE_DOUBTFUL = 8, /**< a directory in which not all is known: not joined */
};

/** A change of attributes that waits for what becomes of the file's other names. */
struct linked {
	size_t at; /**< in the upper */
	const struct mlimg_entry *entry;
	enum mlimg_verdict verdict;
	enum mlimg_path_class class;
	const char *beside; /**< as in struct mine */
};

/** The first and the last path of some directories that were renamed, in the order of manifests. */
struct renamed_span {
	const char *first, *last;
};

struct planning {
	const struct mlimg_reconcile_input *in;
	struct mlimg_report *report;
	struct mlimg_plan *plan;
	struct mlimg_manifest *upper;
	uint8_t *fates;            /**< of each entry of @p upper */
	struct mlimg_arena *arena; /**< until the planning ends */
	char **unread;             /**< paths that could not be read */
	size_t n_unread, unread_room;
	struct linked *linked;
	size_t n_linked, linked_room;
	struct mlimg_renamed *renamed; /**< those that stay, sorted */
	size_t n_renamed;
	/**
	 * their paths: a segment tree, in which I is of 2 I and 2 I + 1, and the leaves begin at
	 * n_renamed
	 */
	struct renamed_span *renamed_spans;
	const char **lacked; /**< where whiteouts are put for what the user does not see (h) */
	size_t n_lacked, lacked_room;
	bool has_redirects;            /**< the upper has some, whether or not they stay */
	size_t texts_size;             /**< bytes of texts merged by lines */
	struct mlimg_owner_set owners; /**< who owns something in @p upper */
	bool has_failed;               /**< there was no memory where nothing could be returned */
	struct mlimg_err *err;
};

/** An entry of the upper with what lies beneath it. */
struct mine {
	const struct mlimg_entry *entry; /**< as it is */
	/** with the numbers that its owner has in the new stack, and a digest where that matters */
	struct mlimg_entry mapped;
	const struct mlimg_entry *base, *next; /**< mapped too, or NULL */
	struct mlimg_entry base_buf, next_buf; /**< private */
	const char *lower; /**< path in base and next; NULL: nothing lies beneath */
	size_t at;         /**< in the upper */
	enum mlimg_path_class class;
	/** made immutable or append-only by the user (chattr +i, +a): class keep, but told */
	bool is_protected;
	bool is_diverted; /**< @p lower is where the stacks have it, and shows nothing here */
	/**
	 * a whiteout that the upper has not: what the old stack has there does not show either, in
	 * a directory that is opaque (reconcile-opaque.c)
	 */
	bool is_lacked;
	const char *why; /**< what is told with it unless something else is; or NULL */
	/** where the new stack's file lies beside it, so that it is told as that; or NULL */
	const char *beside;
	/** a directory that is set aside: where in the layers it was renamed from; or NULL */
	const char *renamed_from;
};

/** Why something that is protected stays. */
#define PLAN_PROTECTED_WHY "immutable or append-only, as the user has made it"

/** @return the verdict that is told of what stays in spite of @p verdict, being protected */
enum mlimg_verdict plan_protected_verdict(enum mlimg_verdict verdict);

/** Look up what lies beneath entry @p at. @return 0, -ENOMEM */
int plan_mine_find(
	struct planning *p, size_t at, const char *lower, struct mine *ret) MLIMG_MUST_CHECK;

/** A directory on the way of a walk: what is in it. */
struct place {
	const char *path;
	const char *
		lower; /**< NULL when nothing lies beneath; @p path itself where that is the same */
	bool is_apart; /**< nothing of the old stack shows in it but what was renamed into it */
};

/** Where beneath an entry of @p place lies. @return 0, -ENOMEM */
int plan_lower_of(struct planning *p, const struct place *place, const char *path,
	const char **ret_lower) MLIMG_MUST_CHECK;

/** What a directory is, beside its attributes. */
struct dir {
	struct mine m;
	const char *own; /**< where it lies beneath by its path: m.lower unless it was renamed */
	bool is_renamed; /**< by a redirect that counts */
	bool is_apart;   /**< shows nothing of the old stack: is opaque, or within such a one */
	bool is_opaque;  /**< and goes on hiding a directory of the layers */
	/** apart, but what is in it is compared with what the layers have at its path */
	bool is_compared;
	bool is_joined; /**< opaque, and is to be so no more */
	/** not opaque, and would show a directory of the new stack that it must not: it becomes so */
	bool is_closed;
	const char *why;           /**< it is a conflict whatever its attributes are */
	struct mlimg_entry merged; /**< what it is to be if it stays */
};

/**
 * Find out what directory @p at is, which is in @p place, and lies beneath at @p own.
 *
 * @return 0, -ENOMEM
 */
int plan_dir_find(struct planning *p, size_t at, const struct place *place, const char *own,
	struct dir *ret) MLIMG_MUST_CHECK;

/** @return what is told of it, by its attributes and by what it shows */
enum mlimg_verdict plan_dir_verdict(const struct dir *d);

/**
 * Find out what the mark of an opaque directory is to mean: see reconcile-plan.h. A lack of memory
 * is noted in @p p.
 *
 * @param p         the planning
 * @param place     what the directory is in
 * @param redirect  its redirect, or NULL
 * @param d         the directory; its attributes and what lies beneath are known
 */
void plan_opacity_find(struct planning *p, const struct place *place,
	const struct mlimg_xattr *redirect, struct dir *d);

/**
 * Note directories in which something could not be read, or means something else as soon as they
 * are joined.
 *
 * @return 0, -ENOMEM
 */
int plan_doubts_mark(struct planning *p) MLIMG_MUST_CHECK;

/**
 * Plan for what a directory that is compared lacks of the old stack, as for the user's own
 * whiteouts.
 *
 * @param p          planning
 * @param d          the directory
 * @param ret_stays  set when a whiteout is put; else left as it is
 * @return           0, -ENOMEM
 */
int plan_lacked(struct planning *p, const struct dir *d, bool *ret_stays) MLIMG_MUST_CHECK;

/** Put the whiteout that @p m is, and tell of it. @return 0, -ENOMEM */
int plan_hide_lacked(
	struct planning *p, const struct mine *m, enum mlimg_verdict verdict) MLIMG_MUST_CHECK;

/** Have them found: no more are put then. */
void plan_lacked_sort(struct planning *p);

/** @return whether a whiteout is put at @p path for what the upper lacks */
bool plan_is_lacked(const struct planning *p, const char *path);

/** @return where what is in the directory lies beneath */
struct place plan_place_of(const struct dir *d);

/**
 * Plan for what is in one directory; with unionfs-fuse's uppers perhaps not in it itself. The
 * recursion is as deep as the tree, at most MLIMG_PATH_MAX / 2 levels of some 1,500 bytes.
 *
 * @param p          planning
 * @param at         the first entry in it; becomes the first one behind it
 * @param place      the directory
 * @param ret_stays  set when something in it stays; else left as it is
 * @return           0 or -errno
 */
int plan_within(struct planning *p, size_t *at, const struct place *place,
	bool *ret_stays) MLIMG_MUST_CHECK;

/** @return whether it is to be set aside because the new stack has something else there */
bool plan_is_type_change(const struct dir *d);

/** Pass over what is below @p path. */
void plan_skip_below(const struct planning *p, size_t *at, const char *path);

/**
 * Find the directories that were renamed, and are not set aside with one that holds them.
 *
 * @return 0, -ENOMEM
 */
int plan_renamed_find(struct planning *p) MLIMG_MUST_CHECK;

/**
 * Whether something of the upper hides what a directory that was renamed shows from another place.
 * If it went, that would show twice, as two directories with the same files, which overlayfs does
 * not bear.
 *
 * @param p      the planning
 * @param path   in the upper; what was renamed to a place below it goes with it, and does not
 *               count. NULL: it does
 * @param lower  where it lies beneath, or NULL
 * @return       whether it has to stay
 */
bool plan_covers_renamed(const struct planning *p, const char *path, const char *lower);

/**
 * Pass over what is in a directory that is set aside, and tell of what was renamed into it.
 *
 * @param p   the planning
 * @param d   the directory
 * @param at  the first entry in it; becomes the first one behind it
 * @return    0, -ENOMEM
 */
int plan_tell_renamed_aside(struct planning *p, const struct dir *d, size_t *at) MLIMG_MUST_CHECK;

/** @return whether a directory of the layers that lies at @p lower shows elsewhere */
bool plan_is_renamed_from(const struct planning *p, const char *lower);

/** Why something stays that covers one. */
#define PLAN_COVERS_WHY "hides the place from which a directory was renamed"

/**
 * @return whether the new stack's thing beneath @p m has the owner that it is to have, so that it
 *         may show itself. Else it is shown by a copy, which stays (reconcile-extra.c)
 */
bool plan_next_may_show(const struct planning *p, const struct mine *m);

/**
 * @return the entry of the new stack at @p path, mapped into @p buf where need be, or NULL; a lack
 * of memory is noted in @p p
 */
const struct mlimg_entry *plan_next_at(
	struct planning *p, const char *path, struct mlimg_entry *buf);

/** @return the same of the old stack */
const struct mlimg_entry *plan_base_at(
	struct planning *p, const char *path, struct mlimg_entry *buf);

/** Append an operation; entries lose overlayfs' own xattrs. @return 0, -ENOMEM */
int plan_put_op(struct planning *p, enum mlimg_plan_verb verb, const char *path,
	const struct mlimg_entry *entry, uint32_t blob) MLIMG_MUST_CHECK;

/** Tell of an entry. */
void plan_tell(struct planning *p, const struct mine *m, enum mlimg_verdict verdict,
	enum mlimg_done done, const char *why);

/**
 * Set attributes unless they are as they ought to be; tells of it, and of what lies beside.
 *
 * @return 0, -ENOMEM
 */
int plan_set_attrs(struct planning *p, const struct mine *m, const struct mlimg_entry *wanted,
	enum mlimg_verdict verdict, const char *why) MLIMG_MUST_CHECK;

/**
 * Of what keeps its attributes, and whose owner was nobody: put an operation that says it
 * (mlimg_reconcile_input's came).
 *
 * @return 0, -ENOMEM
 */
int plan_note_owner(struct planning *p, const struct mine *m) MLIMG_MUST_CHECK;

/** Drop what is no directory, and tell of it. @return 0, -ENOMEM */
int plan_drop(
	struct planning *p, const struct mine *m, enum mlimg_verdict verdict) MLIMG_MUST_CHECK;

/** Set it aside. @return 0, -ENOMEM */
int plan_set_aside(
	struct planning *p, const struct mine *m, enum mlimg_verdict verdict) MLIMG_MUST_CHECK;

/** Leave it as it is, but for an owner that has moved. @return 0, -ENOMEM */
int plan_keep(
	struct planning *p, const struct mine *m, enum mlimg_verdict verdict) MLIMG_MUST_CHECK;

/** Put what the new stack has in its place. @p like: its attributes. @return 0, -ENOMEM */
int plan_take_next(struct planning *p, const struct mine *m, const struct mlimg_entry *like,
	enum mlimg_verdict verdict) MLIMG_MUST_CHECK;

/** @return whether attributes wait for plan_linked() */
bool plan_has_several_names(const struct mlimg_entry *e);

/**
 * Put a change of attributes off until it is known what becomes of the other names.
 *
 * @return 0, -ENOMEM
 */
int plan_wait_for_names(struct planning *p, const struct mine *m, const struct mlimg_entry *wanted,
	enum mlimg_verdict verdict) MLIMG_MUST_CHECK;

/**
 * Put a file whose contents are now @p data: those of mine, of next, or new ones.
 *
 * @param p       the planning
 * @param m       the entry
 * @param merged  its attributes; changed
 * @param data    contents
 * @param size    bytes
 * @return        1; 0 when nothing was done because there are too many contents; -ENOMEM
 */
int plan_put_contents(struct planning *p, struct mine *m, struct mlimg_merged_entry *merged,
	const char *data, size_t size) MLIMG_MUST_CHECK;

#define PLAN_BESIDE_MAX 100 /**< names that are tried for a new file beside the user's */

/**
 * Have the new stack's file put beside the user's, unless it lies there. What has the name that it
 * gets makes way: it is dropped where it is what a change before has put, else set aside.
 *
 * @param p         the planning
 * @param m         the user's; the new stack has something there
 * @param ret_name  where it will be; NULL: it is no file, nothing may lie beside it (path-class.h),
 *                  or no name is free or short enough
 * @return          0, -ENOMEM
 */
int plan_put_beside(
	struct planning *p, const struct mine *m, const char **ret_name) MLIMG_MUST_CHECK;

/** Do what follows from verdict and class. @return 0, -ENOMEM */
int plan_by_verdict(
	struct planning *p, struct mine *m, enum mlimg_verdict verdict) MLIMG_MUST_CHECK;

/** Do what follows for what is no directory from all that decides. @return 0 or -errno */
int plan_entry(struct planning *p, struct mine *m) MLIMG_MUST_CHECK;

/**
 * Decide on what is no directory. @p ret_stays: whether something is there afterwards.
 *
 * @return 0 or -errno
 */
int plan_other(struct planning *p, struct mine *m, bool *ret_stays) MLIMG_MUST_CHECK;

/**
 * Get the digest of a file, where it decides.
 *
 * @return 0; 1 when it cannot be read, which is told; -errno
 */
int plan_mine_digest(struct planning *p, struct mine *m) MLIMG_MUST_CHECK;

/** Whether a path is one that the user has had dpkg divert a file from, or to. */
enum diverted {
	DIVERTED_NOT, /**< neither, or a stack has something where the file is diverted to */
	DIVERTED_FROM,
	DIVERTED_TO,
};

/** Find out; with DIVERTED_TO, @p m becomes what it is in the stacks. @return 0, -ENOMEM */
int plan_diverted_find(struct planning *p, struct mine *m, enum diverted *ret) MLIMG_MUST_CHECK;

/**
 * Decide on what a diversion has moved here.
 *
 * @param p        the planning
 * @param m        the entry, of plan_diverted_find(), with its digest
 * @param is_next  it is of a version of the user's that gave way to next's
 * @return         0, -ENOMEM
 */
int plan_diverted(struct planning *p, struct mine *m, bool is_next) MLIMG_MUST_CHECK;

/** @return whether the stack has a file anew from where the user diverts, and he has nothing there */
bool plan_diverted_is_new(
	const struct planning *p, const struct mlimg_packages_diversion *diversion);

/**
 * Carry out, or give up, the changes of attributes of files with several names.
 *
 * @return 0, -ENOMEM
 */
int plan_linked(struct planning *p) MLIMG_MUST_CHECK;

/** Something that the upper may get although it has nothing there. */
struct extra {
	const char *path;
	/** where the new stack has it: another path only in a directory that was renamed */
	const char *lower;
	size_t renamed;                          /**< bytes of the path of that directory; else 0 */
	const struct mlimg_reconcile_text *text; /**< or NULL */
	const struct mlimg_packages_link *link;  /**< or NULL */
	bool is_hidden; /**< else, without either, it is one whose owner has moved */
	bool is_cover;  /**< hidden with all below: a directory was renamed from there */
};

/** All of them: sorted by path, of several at one path the one that is put first. */
struct extras {
	struct extra *all;
	size_t n, room;
	size_t left; /**< bytes of places in renamed directories (renamed.h) */
};

/** Find them. @param ret  zeroed; free() what it has. @return 0, -ENOMEM, -E2BIG */
int plan_extras_find(struct planning *p, struct extras *ret) MLIMG_MUST_CHECK;

/** @return whether it is nothing but a thing of the new stack's whose owner has moved */
bool plan_extra_is_moved(const struct extra *extra);

/** @return whether @p path is @p before: of several alike side by side only the first counts */
static inline bool plan_is_again(const char *path, const char *before)
{
	return before && strcmp(path, before) == 0;
}

/** Mark what has to stay for the sake of what is put below it. @return 0, -ENOMEM */
int plan_extras_mark(struct planning *p) MLIMG_MUST_CHECK;

/**
 * What the upper lacks: databases, whiteouts, and things whose owner has moved.
 *
 * @return 0, -ENOMEM
 */
int plan_extras(struct planning *p) MLIMG_MUST_CHECK;

/** @return the database merged by record that lies at @p path, or NULL */
const struct mlimg_reconcile_text *plan_find_text(const struct planning *p, const char *path);

/** @return the link that follows from databases at @p path, or NULL */
const struct mlimg_packages_link *plan_find_link(const struct planning *p, const char *path);

/** @return whether @p e is what @p link says; NULL is nothing */
bool plan_is_link_of(const struct mlimg_entry *e, const struct mlimg_packages_link *link);

/**
 * Put a file with contents of its own. @p like: attributes.
 *
 * @return 0, -ENOMEM; -E2BIG when there are too many contents
 */
int plan_put_text(struct planning *p, const char *path, const struct mlimg_entry *like,
	const char *data, size_t size) MLIMG_MUST_CHECK;

/** Databases merged by record. */
struct databases {
	struct mlimg_reconcile_input in; /**< the caller's, with what came of them */
	struct mlimg_accounts_merged accounts;
	struct mlimg_packages_merged packages;
	struct mlimg_reconcile_text *texts;
};

/**
 * Merge them; @p p goes on with @p d's input, which lasts until plan_databases_done(). What cannot
 * be merged is noted.
 *
 * @return 0, -ENOMEM
 */
int plan_databases_merge(struct planning *p, struct databases *d) MLIMG_MUST_CHECK;

/**
 * Tell of packages of the user's that watch what the system has changed.
 *
 * @return 0, -ENOMEM
 */
int plan_tell_triggers(
	struct planning *p, const struct mlimg_packages_merged *merged) MLIMG_MUST_CHECK;

/** Free them; accepts zeroed ones. */
void plan_databases_done(struct databases *d);

#define no_memory(p, path) mlimg_err_set((p)->err, ENOMEM, "plan '%s'", path)

#endif
