/* SPDX-License-Identifier: MIT */
/**
 * @file inspect-commands.h
 * The commands of mlimg-inspect, and what each is given. mlimg-inspect.c has the tables of commands
 * and options; to add an option, add a row there and a line to the help, and name it with each
 * command that takes it.
 *
 * All print on standard output; who calls them closes it.
 */
#ifndef MLIMG_TOOLS_INSPECT_COMMANDS_H
#define MLIMG_TOOLS_INSPECT_COMMANDS_H

#include "tools/inspect-stack.h"
#include "tools/itree.h"

#define MLIMG_INSPECT_PROG "mlimg-inspect" /**< for messages */

/** Options; the order is that of the table. */
enum mlimg_inspect_option {
	MLIMG_INSPECT_LONG,
	MLIMG_INSPECT_RECURSIVE,
	MLIMG_INSPECT_COMPUTED,
	MLIMG_INSPECT_SUMMARY,
	MLIMG_INSPECT_TIMES,
	MLIMG_INSPECT_ROOT_HASH,
	MLIMG_INSPECT_CERT,
	MLIMG_INSPECT_DEPTH,
	MLIMG_INSPECT_SORT,
	MLIMG_INSPECT_DIRECTORY,
	MLIMG_INSPECT_FORCE,
	MLIMG_INSPECT_NO_SAME_OWNER,
	MLIMG_INSPECT_TAR,
	MLIMG_INSPECT_LIMIT,
	MLIMG_INSPECT_LAYER,
	MLIMG_INSPECT_JSON,
	MLIMG_INSPECT_N_OPTIONS,
};

/** A command line, checked: what the command does not take is not there. */
struct mlimg_inspect_options {
	const char *image;
	const char **layers; /**< values of --layer */
	size_t n_layers;
	char **operands; /**< what follows the command */
	int n_operands;
	uint32_t given; /**< bits: 1 << enum mlimg_inspect_option */
	const char
		*values[MLIMG_INSPECT_N_OPTIONS]; /**< of options that have one; the last counts */
};

/** What a command works on: a layer or an index. */
struct mlimg_inspect {
	const struct mlimg_inspect_options *options;
	struct mlimg_ext4 *fs;             /**< of a layer; else NULL */
	struct mlimg_inspect_stack *stack; /**< of an index; else NULL */
	bool *is_used;                /**< of an index: which of options->layers are layers of it */
	struct mlimg_itree tree;      /**< the layer's, or the merged one */
	struct mlimg_layer_info info; /**< what its layer.json says; zero of an index */
};

/** @return whether the option was given */
static inline bool mlimg_inspect_has(
	const struct mlimg_inspect *in, enum mlimg_inspect_option option)
{
	return in->options->given >> option & 1;
}

/** @return operand @p i, or NULL when there are not so many */
static inline const char *mlimg_inspect_operand(const struct mlimg_inspect *in, int i)
{
	return i < in->options->n_operands ? in->options->operands[i] : NULL;
}

/** The value of --depth, UINT64_MAX when it was not given. @return 0, -EINVAL (wrong usage) */
int mlimg_inspect_depth(const struct mlimg_inspect *in, uint64_t *ret_depth,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** The value of --limit: bytes of holes that are read. @return 0, -EINVAL (wrong usage) */
int mlimg_inspect_limit(const struct mlimg_inspect *in, uint64_t *ret_holes_max,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Refuse layers that were given and belong to no index. @return 0, -EUCLEAN */
int mlimg_inspect_check_layers(
	const struct mlimg_inspect *in, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** A command. @return 0; -EUCLEAN when the image is refused; other -errno */
typedef int mlimg_inspect_fn(struct mlimg_inspect *in, struct mlimg_err *err);

/** `show`: the description, after everything that says what the image is has been compared. */
int mlimg_inspect_show(struct mlimg_inspect *in, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** `ls`. */
int mlimg_inspect_ls(struct mlimg_inspect *in, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** `tree`: the tree, drawn. */
int mlimg_inspect_tree(struct mlimg_inspect *in, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** `du`: how much room the directories take. */
int mlimg_inspect_du(struct mlimg_inspect *in, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** `extract`: into a directory, or as a tar. */
int mlimg_inspect_extract(struct mlimg_inspect *in, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** `cat`. */
int mlimg_inspect_cat(struct mlimg_inspect *in, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** `manifest`: stored or computed. */
int mlimg_inspect_manifest(struct mlimg_inspect *in, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * `verify`: the file system, the description, and every entry of the tree against the stored
 * manifest; of a user layer, whose tree changes, only the first two. Prints a report, in which the
 * first 20 differences are named. -EUCLEAN also when entries differ.
 */
int mlimg_inspect_verify(struct mlimg_inspect *in, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * `diff`: what has changed from the image to that of the first operand, by their stored manifests.
 * Of contents dpkg's database alone is read. A user layer is wrong usage, since its manifest does
 * not say what is in it.
 */
int mlimg_inspect_diff(struct mlimg_inspect *in, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * `show`, `manifest` and `verify` of an index. Its own soundness is verified without layers, the
 * tree with all of them.
 */
int mlimg_inspect_index_show(struct mlimg_inspect *in, struct mlimg_err *err) MLIMG_MUST_CHECK;
int mlimg_inspect_index_manifest(struct mlimg_inspect *in, struct mlimg_err *err) MLIMG_MUST_CHECK;
int mlimg_inspect_index_verify(struct mlimg_inspect *in, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
