/* SPDX-License-Identifier: MIT */
/**
 * @file mlimg-cmd.h
 * The commands of mlimg, the program of a guest's user, and what each is given. mlimg.c has the
 * tables of commands and options; to add an option, add a row there and a line to the help, and name
 * it with each command that takes it.
 *
 * All print on standard output; who calls them closes it. Paths are printed as in manifests, with
 * every byte that could be mistaken as \ooo; where people read them they begin with '/', in JSON,
 * as in reports, they do not.
 */
#ifndef MLIMG_CMD_H
#define MLIMG_CMD_H

#include <stdio.h>

#include "guest-agent/user-undo.h"
#include "libmlimg/queue.h"

#define MLIMG_CMD_PROG "mlimg" /**< for messages */

/** Options; the order is that of the table. */
enum mlimg_cmd_option {
	MLIMG_CMD_JSON,
	MLIMG_CMD_ALL,
	MLIMG_CMD_TEXT,
	MLIMG_CMD_DEPTH,
	MLIMG_CMD_RECURSIVE,
	MLIMG_CMD_FORCE,
	MLIMG_CMD_DIR,
	MLIMG_CMD_FOR,
	MLIMG_CMD_NEXT_BOOT,
	MLIMG_CMD_BEGIN,
	MLIMG_CMD_DRY_RUN,
	MLIMG_CMD_CANCEL,
	MLIMG_CMD_KEEP,
	MLIMG_CMD_ROOT,
	MLIMG_CMD_MERGED,
	MLIMG_CMD_N_OPTIONS,
};

/** A command line, checked: what the command does not take is not there. */
struct mlimg_cmd {
	struct mlimg_view *view; /**< open; loaded if the command is one that needs it */
	char **operands;         /**< what follows the command */
	int n_operands;
	unsigned given;                          /**< bits: 1 << enum mlimg_cmd_option */
	const char *values[MLIMG_CMD_N_OPTIONS]; /**< of options that have one; the last counts */
	bool has_color;                          /**< standard output is a terminal that wants it */
	bool has_failed; /**< something was told on stderr: exit code 1 in the end */
	bool is_damaged; /**< the same of something of mlimg's own that is damaged: exit code 3 */
};

/** A command. @return 0; -EUCLEAN when something is damaged; other -errno */
typedef int mlimg_cmd_fn(struct mlimg_cmd *cmd, struct mlimg_err *err);

mlimg_cmd_fn mlimg_cmd_status, mlimg_cmd_diff, mlimg_cmd_why, mlimg_cmd_du, mlimg_cmd_reports,
	mlimg_cmd_conflicts, mlimg_cmd_pin, mlimg_cmd_unpin, mlimg_cmd_copy_up, mlimg_cmd_export,
	mlimg_cmd_profile, mlimg_cmd_reset, mlimg_cmd_undelete, mlimg_cmd_queue, mlimg_cmd_resolve;

/** @return whether the option was given */
static inline bool mlimg_cmd_has(const struct mlimg_cmd *cmd, enum mlimg_cmd_option option)
{
	return cmd->given >> option & 1;
}

/** @return operand @p i, or NULL when there are not so many */
static inline const char *mlimg_cmd_operand(const struct mlimg_cmd *cmd, int i)
{
	return i < cmd->n_operands ? cmd->operands[i] : NULL;
}

/** Colours: what stands out, and how. */
enum mlimg_cmd_color {
	MLIMG_COLOR_NONE = 0,
	MLIMG_COLOR_BOLD,
	MLIMG_COLOR_RED,
	MLIMG_COLOR_GREEN,
	MLIMG_COLOR_YELLOW,
	MLIMG_COLOR_CYAN,
};

/** Begin a colour, or end it with MLIMG_COLOR_NONE; nothing where there are none. */
void mlimg_cmd_paint(const struct mlimg_cmd *cmd, enum mlimg_cmd_color color);

/** Print a path for people: '/' and @p path, escaped. */
void mlimg_cmd_put_path(const char *path);

/** @return a path of any length for JSON, json_decref() it; NULL when there is no memory */
json_t *mlimg_cmd_json_path(const char *path);

/** @return a tree for JSON: null, or its kind, and of a layer name and version */
json_t *mlimg_cmd_json_tree(const struct mlimg_view_tree *tree);

/** Print a time as "2026-11-21 19:30:05" in the local time zone. */
void mlimg_cmd_put_time(FILE *out, int64_t seconds);

/**
 * Print an object and a newline.
 *
 * @param json     taken over; NULL when there was no memory for it
 * @param flags    of jansson: JSON_COMPACT for one of many lines, JSON_INDENT(2)
 * @param err      that there is no memory
 * @return         0, -ENOMEM
 */
int mlimg_cmd_put_json(json_t *json, size_t flags, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * For what is of use only where this boot keeps changes.
 *
 * @param cmd  the command; booted by mlimg
 * @param err  a boot that does not change the user layer
 * @return     0, -EIO
 */
int mlimg_cmd_need_kept(const struct mlimg_cmd *cmd, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Open the user layer's /mlimg, for what changes something there.
 *
 * @param cmd  the command
 * @param err  this needs root; a boot that does not change the user layer
 * @return     a descriptor, -errno
 */
int mlimg_cmd_open_own(const struct mlimg_cmd *cmd, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Have done what the upper itself is needed for: it is queued for the next boot, durably, or, where
 * unionfs-fuse makes the root, done now.
 *
 * @param cmd     the command; its upper is no longer as it was read
 * @param own_fd  the user layer's /mlimg
 * @param ops     what is to be done
 * @param n       how many; 0: nothing is
 * @param err     see there
 * @return        0, -errno
 */
int mlimg_cmd_carry_out(struct mlimg_cmd *cmd, int own_fd, const struct mlimg_queue_op *ops,
	size_t n, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read what waits for the next boot. What is damaged is told, and the exit code says so in the end.
 *
 * @param cmd  the command
 * @return     mlimg_queue_free() it; NULL when it cannot be known, as by who is not root
 */
struct mlimg_queue *mlimg_cmd_queue_if_known(struct mlimg_cmd *cmd);

/** @return what is queued for an entry of the user's: "reset" and so on; NULL: nothing */
const char *mlimg_cmd_queued(const struct mlimg_queue *queue, const char *path);

/** @return "at the next boot ", or "" where it is done now */
const char *mlimg_cmd_when(const struct mlimg_cmd *cmd);

/** Print for people what taking back a change would do, without the path: "yours is ...". */
void mlimg_cmd_put_undo(const struct mlimg_user_undo *undo);

/** Tell where what waits can be seen, if something was queued; or that nothing was done. */
void mlimg_cmd_put_end(const struct mlimg_cmd *cmd, size_t n_queued);

/** Warn of what could not be read of the upper, if there was anything. */
void mlimg_cmd_warn_skipped(struct mlimg_cmd *cmd);

#endif
