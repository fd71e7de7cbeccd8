/* SPDX-License-Identifier: MIT */
/**
 * @file change-place.h
 * Where the things of a change (change.h) are, and moves between these places. Part of that module.
 */
#ifndef MLIMG_CHANGE_PLACE_H
#define MLIMG_CHANGE_PLACE_H

#include <sys/types.h>

#include "guest-agent/change.h"
#include "libmlimg/text.h"

#define MLIMG_CHANGE_SLOT_SIZE 32 /**< the name of a slot, NUL included */

/** The directories of a change, and what it needs on the way. */
struct mlimg_change {
	struct mlimg_change_call *call;
	int upper_fd, own_fd, new_fd, undo_fd, taken_fd; /**< own_fd: /mlimg */
	int aside_fd;                                    /**< aside/N, or -1 */
	uint64_t generation;                             /**< N of undo/N */
	bool is_unionfs;
	bool may_replace; /**< moves take the place of what is there */
	/**
	 * what is put takes the place of a file or a link, and is left out where anything else is
	 */
	bool is_lenient;
	struct mlimg_entry_reader reader;
	int parent_fd; /**< the directory in the upper that was looked for last, or -1 */
	char parent[MLIMG_PATH_MAX + 1];
};

/** One of which nothing is open. */
#define MLIMG_CHANGE_CLOSED                                                                \
	{                                                                                  \
		.upper_fd = -1, .own_fd = -1, .new_fd = -1, .undo_fd = -1, .taken_fd = -1, \
		.aside_fd = -1, .parent_fd = -1                                            \
	}

/** Where something is. */
struct mlimg_change_place {
	int fd;           /**< the directory that holds it; the change closes it */
	const char *name; /**< in there */
};

/** @return 0, or -ECANCELED: a test ends it here */
static inline int mlimg_change_step(const struct mlimg_change *c)
{
	return c->call->step && c->call->step(c->call->ctx) ? -ECANCELED : 0;
}

/**
 * Open the directories; reconcile.new and undo/N are made where they are missing.
 *
 * @param call        see there
 * @param generation  N of undo/N
 * @param ret         mlimg_change_close() it, also on failure
 * @param err         names the place
 * @return            0, -errno
 */
int mlimg_change_open(struct mlimg_change_call *call, uint64_t generation, struct mlimg_change *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Close them. */
void mlimg_change_close(struct mlimg_change *c);

/** @return a descriptor of aside/@p generation, or -errno */
int mlimg_change_open_aside_of(const struct mlimg_change *c, uint64_t generation);

/** Open aside/N. @param is_made  make it where it is missing. @return 0, -ENOENT, -errno */
int mlimg_change_open_aside(
	struct mlimg_change *c, uint64_t generation, bool is_made) MLIMG_MUST_CHECK;

/**
 * @return 1 when there is something of that name in the directory, 0 when not; -errno when that
 * cannot be known, which must end the change
 */
int mlimg_change_has(int fd, const char *name) MLIMG_MUST_CHECK;

/** The slot of a part of what step @p n takes or puts. */
void mlimg_change_slot(size_t n, enum mlimg_undo_part part, char ret_name[MLIMG_CHANGE_SLOT_SIZE]);

/**
 * Where a path of the upper is.
 *
 * @param c          the change
 * @param path       relative to upper; "" is the upper itself, whose name is ""
 * @param ret_place  valid until the next call
 * @return           0, -errno; mlimg_change_is_nowhere() tells what means that there is no such
 *                   directory
 */
int mlimg_change_find(struct mlimg_change *c, const char *path,
	struct mlimg_change_place *ret_place) MLIMG_MUST_CHECK;

/** @return 1 when the upper has a directory at @p path, 0; -errno when that cannot be known */
int mlimg_change_is_dir(struct mlimg_change *c, const char *path) MLIMG_MUST_CHECK;

/** @return whether the error means that a directory on the way is not there */
static inline bool mlimg_change_is_nowhere(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

/**
 * As mlimg_change_find(), where a part of the thing with that path is. @p ret_place's name: see the
 * path; free() @p ret_text
 */
int mlimg_change_find_part(struct mlimg_change *c, const char *path, enum mlimg_undo_part part,
	char **ret_text, struct mlimg_change_place *ret_place) MLIMG_MUST_CHECK;

/** @return the parts (enum mlimg_undo_part) that are in the upper; -errno */
int mlimg_change_look(struct mlimg_change *c, const char *path) MLIMG_MUST_CHECK;

/** @return whether @p path below @p fd is a regular file, or a whiteout, or it cannot be known */
bool mlimg_change_is_file(int fd, const char *path);

/** Make the directories on the way to @p path below @p fd. @return 0, -errno */
int mlimg_change_make_way(int fd, const char *path, mode_t mode) MLIMG_MUST_CHECK;

/** Contents of a file that a step puts. */
struct mlimg_change_contents {
	const char *data; /**< unless they are a file's of the layers */
	size_t size;
	const struct mlimg_lowers *lowers;
	const struct mlimg_entry *of; /**< which file, or NULL */
};

/**
 * Make what a step puts, with its attributes.
 *
 * @param c         the change
 * @param fd        the directory of slots
 * @param slot      a name that is free there
 * @param entry     its path is that in the upper
 * @param contents  of a file; else not looked at
 * @param err       names the path
 * @return          0, -EUCLEAN when the layers do not have the contents, -errno
 */
int mlimg_change_make_slot(struct mlimg_change *c, int fd, const char *slot,
	const struct mlimg_entry *entry, const struct mlimg_change_contents *contents,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Move a part from the upper to its slot in taken, unless the slot is taken already or there is
 * nothing to move.
 *
 * @return 0, -errno
 */
int mlimg_change_take(struct mlimg_change *c, size_t n, const char *path,
	enum mlimg_undo_part part) MLIMG_MUST_CHECK;

/**
 * Move what is at @p path to the same path in aside, unless there is something there.
 *
 * @return 0, -errno
 */
int mlimg_change_set_aside(struct mlimg_change *c, const char *path) MLIMG_MUST_CHECK;

/**
 * Move something into the upper.
 *
 * @param c     the change
 * @param fd    the directory that has it
 * @param name  its name, or path, in there
 * @param path  in the upper
 * @param part  what it is to be there
 * @return      0, -EEXIST, -errno
 */
int mlimg_change_give_back(struct mlimg_change *c, int fd, const char *name, const char *path,
	enum mlimg_undo_part part) MLIMG_MUST_CHECK;

/** Rename, unless there is nothing to be renamed. @return 0, -errno */
int mlimg_change_rename(struct mlimg_change *c, int from_fd, const char *from, int to_fd,
	const char *to) MLIMG_MUST_CHECK;

/** Mark a directory as overlayfs' opaque one, or take the mark away. @return 0, -errno */
int mlimg_change_set_opaque(
	struct mlimg_change *c, const char *path, bool is_opaque) MLIMG_MUST_CHECK;

/** Set the time of a directory of the upper, where it is. @return 0, -errno */
int mlimg_change_set_time(struct mlimg_change *c, const char *path,
	const struct mlimg_undo_time *time) MLIMG_MUST_CHECK;

/** Write all of the user layer out. @return 0, -errno */
int mlimg_change_sync(const struct mlimg_change *c) MLIMG_MUST_CHECK;

/**
 * Remove reconcile.new and what is in undo, but for undo/N; with @p generation 0 all of it. What
 * cannot be removed now takes room, no more.
 */
void mlimg_change_clean(int own_fd, uint64_t generation);

/**
 * Write a log of steps (undo-log.h), durably.
 *
 * @return 0, -EFBIG when it is longer than will be read, -errno
 */
int mlimg_change_write_log(struct mlimg_change *c, int fd, const char *name,
	const struct mlimg_text *log, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read a state.json.
 *
 * @param fd     the directory that has it
 * @param where  its name, for @p err
 * @param ret    see there
 * @param err    names the file
 * @return       0, -ENOENT, -EUCLEAN, -errno
 */
int mlimg_change_read_state(int fd, const char *where, struct mlimg_boot_state *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Write a state.json, durably. @return 0, -errno */
int mlimg_change_write_state(
	int fd, const struct mlimg_boot_state *state, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Room that steps need, all of which are renames or changes of attributes. */
struct mlimg_change_needs {
	uint64_t names_size;  /**< bytes of all names that directories will get */
	uint64_t n_blocks;    /**< blocks that may be wanted besides */
	uint64_t freed_bytes; /**< that are given back before the first step */
};

/**
 * Find out whether there is so much room. @param err tells how many blocks are wanted.
 *
 * @return 0, -ENOSPC, -errno
 */
int mlimg_change_check_room(const struct mlimg_change *c, const struct mlimg_change_needs *needs,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Remove the texts of the stack that a rollback leaves, which nobody will ask for, when that is
 * decided: what they take the steps may need.
 *
 * @return 0, -errno
 */
int mlimg_change_give_room(struct mlimg_change *c) MLIMG_MUST_CHECK;

/** Add what a record of a log needs. */
void mlimg_change_needs_add(
	struct mlimg_change_needs *needs, const struct mlimg_undo_record *record);

/**
 * Give aside/@p generation another name if there is one, so that what lies there stays.
 *
 * @return 0, -errno
 */
int mlimg_change_clear_aside(
	struct mlimg_change *c, uint64_t generation, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Remove directories of aside/@p generation that nothing is in: they were made for what was then
 * not set aside.
 */
void mlimg_change_tidy_aside(int own_fd, uint64_t generation);

/**
 * Undo the steps.
 *
 * @param c    the change that is taken back
 * @param log  its steps
 * @param to   the generation that is made
 * @param err  names the path
 * @return     0, -errno
 */
int mlimg_change_undo_steps(struct mlimg_change *c, struct mlimg_undo_log *log, uint64_t to,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * @return whether each attribute of @p now is that of one of both: somebody stopped while he set
 *         them. What the kernel changes with owner and mode is not looked at then
 */
bool mlimg_change_is_between(
	const struct mlimg_entry *now, const struct mlimg_entry *a, const struct mlimg_entry *b);

/**
 * @param now  what is there before any step is undone
 * @param set  what a step has set
 * @param old  what was there before that
 * @return     whether what it may do (mode, ACLs, capabilities) is as it was set, and the rest that
 *             of one of both: else its attributes are the user's since
 */
bool mlimg_change_is_set(const struct mlimg_entry *now, const struct mlimg_entry *set,
	const struct mlimg_entry *old);

/**
 * Undo a change of attributes, which may have been begun before: not where
 * mlimg_change_is_set() said no when the rollback was made ready.
 *
 * @return 0, -errno
 */
int mlimg_change_set_back(
	struct mlimg_change *c, const struct mlimg_undo_record *record) MLIMG_MUST_CHECK;

/**
 * @return 1 when what a step has put is there, and as it was put; 0 also when it is gone; -errno
 */
int mlimg_change_is_put_there(
	struct mlimg_change *c, const struct mlimg_entry *put) MLIMG_MUST_CHECK;

/**
 * @return 1 when a slot of taken has something that is worth keeping, 0 when a directory or a
 * whiteout; -ENOENT, -errno
 */
int mlimg_change_is_kept(const struct mlimg_change *c, const char *slot) MLIMG_MUST_CHECK;

/**
 * Move something to the same path in aside, whose directories are there; to the first of NAME,
 * NAME.1 and so on that is free.
 *
 * @param c     the change
 * @param fd    the directory that has it
 * @param slot  its name in there
 * @param path  in the upper
 * @return      0, -errno
 */
int mlimg_change_move_aside(
	struct mlimg_change *c, int fd, const char *slot, const char *path) MLIMG_MUST_CHECK;

/** @param aside_fd  or negative. @return 1 when there is something at @p path in it, 0, -errno */
int mlimg_change_is_in_aside(int aside_fd, const char *path) MLIMG_MUST_CHECK;

/** @return -EUCLEAN, with a message that something of reconcile.new is missing */
int mlimg_change_refuse_parts(struct mlimg_err *err);

/** Carry out the steps of a log, with slots in new_fd and taken_fd. @return 0, -errno */
int mlimg_change_carry_out(
	struct mlimg_change *c, struct mlimg_undo_log *log, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Read undo/N/log. @return 0, -EUCLEAN, -errno */
int mlimg_change_read_log(
	struct mlimg_change *c, struct mlimg_undo_log *ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
