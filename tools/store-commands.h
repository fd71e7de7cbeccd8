/* SPDX-License-Identifier: MIT */
/**
 * @file store-commands.h
 * The commands of mlimg-store, and how they show things. All print on standard output; who calls
 * them closes it.
 */
#ifndef MLIMG_TOOLS_STORE_COMMANDS_H
#define MLIMG_TOOLS_STORE_COMMANDS_H

#include "tools/store.h"

#define MLIMG_STORE_PROG "mlimg-store" /**< for messages */

/** A command line, checked. */
struct mlimg_store_options {
	enum mlimg_kind kind; /**< 0: all */
	uint64_t kept_events, kept_former, removed_days;
	bool has_removed_days;
	bool move, is_dry, all, json, is_verbose;
	char **operands;
	size_t n_operands;
};

/** A command. @return 0; -EUCLEAN when an image or the store is refused; other -errno */
typedef int mlimg_store_command_fn(
	struct mlimg_store *store, const struct mlimg_store_options *o, struct mlimg_err *err);

/** `add`. */
int mlimg_store_cmd_add(struct mlimg_store *store, const struct mlimg_store_options *o,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** `list`. */
int mlimg_store_cmd_list(struct mlimg_store *store, const struct mlimg_store_options *o,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** `show`. */
int mlimg_store_cmd_show(struct mlimg_store *store, const struct mlimg_store_options *o,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** `verify`: -EUCLEAN also when something is wrong, after all has been printed. */
int mlimg_store_cmd_verify(struct mlimg_store *store, const struct mlimg_store_options *o,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** `remove`: all operands are found before the first is removed. */
int mlimg_store_cmd_remove(struct mlimg_store *store, const struct mlimg_store_options *o,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** `gc`. */
int mlimg_store_cmd_gc(struct mlimg_store *store, const struct mlimg_store_options *o,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return a layer as JSON, json_decref() it; NULL when there is no memory */
struct json_t *mlimg_store_layer_json(
	const struct mlimg_store *store, const struct mlimg_store_layer *layer);

/** Print a report and release it. @return 0, -ENOMEM when it is NULL */
int mlimg_store_put_json(struct json_t *report, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
