/* SPDX-License-Identifier: MIT */
/**
 * @file reconcile-impl.h
 * What the files of the planner share (reconcile-plan.h); nobody else includes this.
 */
#ifndef MLIMG_RECONCILE_IMPL_H
#define MLIMG_RECONCILE_IMPL_H

#include <errno.h>

#include "libmlimg/merge3.h"
#include "libmlimg/reconcile-plan.h"

/** What has become of an entry of the upper, or-ed. */
enum fate {
	FATE_NEEDED = 1, /**< a directory that is to stay whatever is in it */
	FATE_GONE = 2,   /**< dropped or set aside */
	FATE_CLOSED =
		4, /**< a directory that stays, and shows nothing of the stack at its own path */
};

/** A change of attributes that waits for what becomes of the file's other names. */
struct linked {
	size_t at; /**< in the upper */
	const struct mlimg_entry *entry;
	enum mlimg_verdict verdict;
	enum mlimg_path_class class;
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
	size_t texts_size; /**< bytes of texts merged by lines */
	bool has_failed;   /**< there was no memory where nothing could be returned */
	struct mlimg_err *err;
};

/** An entry of the upper with what lies beneath it. */
struct mine {
	const struct mlimg_entry *entry; /**< as it is */
	struct mlimg_entry
		mapped; /**< with the numbers that its owner has in the new stack, and a digest where that matters */
	const struct mlimg_entry *base, *next; /**< mapped too, or NULL */
	struct mlimg_entry base_buf, next_buf; /**< private */
	const char *lower; /**< path in base and next; NULL: nothing lies beneath */
	size_t at;         /**< in the upper */
	enum mlimg_path_class class;
};

/** Look up what lies beneath entry @p at. @return 0, -ENOMEM */
int mine_find(struct planning *p, size_t at, const char *lower, struct mine *ret) MLIMG_MUST_CHECK;

/** Set the digest of a file where the decision depends on it. @return 0; 1 when it cannot be read; -ENOMEM */
int mine_digest(struct planning *p, struct mine *m) MLIMG_MUST_CHECK;

/** @return the entry of the new stack at @p path, mapped into @p buf where need be, or NULL; a lack of memory is noted in @p p */
const struct mlimg_entry *next_at(struct planning *p, const char *path, struct mlimg_entry *buf);

/** Append an operation; entries lose overlayfs' own xattrs. @return 0, -ENOMEM */
int put_op(struct planning *p, enum mlimg_plan_verb verb, const char *path,
	const struct mlimg_entry *entry, uint32_t blob) MLIMG_MUST_CHECK;

/** Tell of an entry. */
void tell(struct planning *p, const struct mine *m, enum mlimg_verdict verdict,
	enum mlimg_done done, const char *why);

/** Set attributes unless they are as they ought to be; tells of it. @return 0, -ENOMEM */
int set_attrs(struct planning *p, const struct mine *m, const struct mlimg_entry *wanted,
	enum mlimg_verdict verdict, const char *why) MLIMG_MUST_CHECK;

/** Decide on what is no directory. @p ret_stays: whether something is there afterwards. @return 0 or -errno */
int plan_other(struct planning *p, struct mine *m, bool *ret_stays) MLIMG_MUST_CHECK;

/** Carry out, or give up, the changes of attributes of files with several names. @return 0, -ENOMEM */
int plan_linked(struct planning *p) MLIMG_MUST_CHECK;

/**
 * Merge a text by lines.
 *
 * @param p            the planning
 * @param m            a file; base and next have one, too
 * @param ret_text     free() it; NULL when it cannot be merged
 * @param ret_size     bytes
 * @return             0, -ENOMEM
 */
int merge_text(struct planning *p, const struct mine *m, char **ret_text,
	size_t *ret_size) MLIMG_MUST_CHECK;

/** Mark what has to stay for the sake of what is put below it. @return 0, -ENOMEM */
int extras_mark(struct planning *p) MLIMG_MUST_CHECK;

/** What the upper lacks: databases, whiteouts, and things whose owner has moved. @return 0, -ENOMEM */
int extras_plan(struct planning *p) MLIMG_MUST_CHECK;

/** @return the database merged by record that lies at @p path, or NULL */
const struct mlimg_reconcile_text *find_text(const struct planning *p, const char *path);

/** Put a file with contents of its own. @p like: attributes. @return 0, -ENOMEM; -E2BIG when there are too many contents */
int put_text(struct planning *p, const char *path, const struct mlimg_entry *like, const char *data,
	size_t size) MLIMG_MUST_CHECK;

#define no_memory(p, path) mlimg_err_set((p)->err, ENOMEM, "plan '%s'", path)

#endif
