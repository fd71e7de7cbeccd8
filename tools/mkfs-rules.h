/* SPDX-License-Identifier: MIT */
/**
 * @file mkfs-rules.h
 * What has no place in a layer that many guests share. Each rule has a name, by which it is
 * reported and by which --allow lifts it.
 *
 * Rules that leave files out look at paths only, exactly those below, and only at regular files:
 * directories stay, and so does a symbolic link in such a place. What they leave out is as though
 * no source had it; in a layer made over others neither is it taken for deleted.
 *
 *     rule            system, patch  software  what
 *     caches                         leaves out  caches of a whole tree; the layer lists them for rebuilding (libmlimg/rebuild.h)
 *     machine-id      empties etc/machine-id; leaves out the copy of D-Bus
 *                                    leaves out  both
 *     ssh-host-keys   leaves out     leaves out  host keys of OpenSSH and Dropbear
 *     random-seed     leaves out     leaves out  seeds of systemd, of the boot loader and of sysvinit; systemd's credential.secret
 *     logs            leaves out     leaves out  var/log, crash reports and core dumps, and when timers last ran
 *     apt-lists       leaves out     leaves out  apt's lists of packages and its cache
 *     backups                        leaves out  former versions that dpkg, debconf and passwd's tools keep of their files, and their locks
 *     dpkg-status                    keeps dpkg's and apt's databases as records (libmlimg/records.h)
 *     accounts                       keeps users and groups as records, likewise
 *     older-library                  refuses a shared library that is older than beneath
 *     mass-deletion                  refuses to delete more than half of what lies beneath
 *
 * The last four need the images beneath, and are in mkfs-over.h. A user layer has no rules: it is
 * shared with nobody.
 *
 * machine-id(5), "First boot semantics": where etc/machine-id is missing or says "uninitialized",
 * systemd takes the boot for the first one, enables and disables units by its presets, and asks
 * questions. Where it is empty, systemd only makes an id. What was enabled in a tree of which an
 * image is made was chosen, so a file that holds an id is made empty; a file that is shorter than
 * an id stays as it is.
 */
#ifndef MLIMG_TOOLS_MKFS_RULES_H
#define MLIMG_TOOLS_MKFS_RULES_H

#include <stdbool.h>
#include <stdio.h>

#include "libmlimg/layer.h"
#include "tools/source.h"

/** A rule; the order is that of messages. */
enum mlimg_rule {
	MLIMG_RULE_CACHES,
	MLIMG_RULE_MACHINE_ID,
	MLIMG_RULE_SSH_HOST_KEYS,
	MLIMG_RULE_RANDOM_SEED,
	MLIMG_RULE_LOGS,
	MLIMG_RULE_APT_LISTS,
	MLIMG_RULE_BACKUPS,
	MLIMG_RULE_DPKG_STATUS,
	MLIMG_RULE_ACCOUNTS,
	MLIMG_RULE_OLDER_LIBRARY,
	MLIMG_RULE_MASS_DELETION,
	MLIMG_N_RULES,
};

/** The rules of one layer, and what they have done. */
struct mlimg_rules {
	enum mlimg_kind kind;                /**< MLIMG_SYSTEM for a patch */
	const struct mlimg_beneath *beneath; /**< or NULL: not known */
	bool is_compared;                    /**< mkfs-over.h: databases are captured */
	unsigned allowed;                    /**< a bit for each rule that is lifted */
	uint64_t n_left_out[MLIMG_N_RULES];  /**< files */
	bool has_emptied;                    /**< etc/machine-id */
	char **caches;                       /**< what has to be rebuilt, in no order; owned */
	size_t n_caches, caches_room;
	bool has_failed; /**< there was no memory for that list */
};

/**
 * Lift a rule.
 *
 * @param rules  of the layer
 * @param name   its name
 * @param err    MLIMG_ERR_USAGE: it is none, and which there are
 */
int mlimg_rules_allow(
	struct mlimg_rules *rules, const char *name, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return the name of a rule */
const char *mlimg_rule_name(enum mlimg_rule rule);

/** @return the rule by which the database @p path is kept as records */
enum mlimg_rule mlimg_rule_of_records(const char *path);

/** @return whether @p rule is in force for the layer, as far as it is for its kind */
bool mlimg_rules_has(const struct mlimg_rules *rules, enum mlimg_rule rule);

/**
 * What becomes of an entry; changes nothing.
 *
 * @param rules     the rules
 * @param entry     of a source, or of what lies beneath
 * @param ret_rule  the rule that says so, when the verdict is not MLIMG_TAKE
 */
enum mlimg_verdict mlimg_rules_judge(const struct mlimg_rules *rules,
	const struct mlimg_entry *entry, enum mlimg_rule *ret_rule);

/**
 * mlimg_tree_judge()'s function, with the rules as context: judges, and remembers. A file of a size
 * and time as beneath is left out without a word: nobody has made that cache anew.
 */
enum mlimg_verdict mlimg_rules_take(void *ctx, const struct mlimg_entry *entry, bool is_asked);

/**
 * Whether a layer made under these rules would lose what @p source, a layer that it is made of,
 * lists for rebuilding.
 *
 * @param rules   with ->kind and ->allowed
 * @param source  its description
 */
bool mlimg_rules_loses(const struct mlimg_rules *rules, const struct mlimg_layer_info *source);

/**
 * What has to be rebuilt of a layer that is a source has to be for the new layer too, if that can
 * say so.
 */
void mlimg_rules_carry(struct mlimg_rules *rules, const struct mlimg_layer_info *source);

/**
 * Put what has to be rebuilt into the layer's description.
 *
 * @param rules  the rules
 * @param info   a software layer's
 * @param err    MLIMG_ERR_REFUSED: there is more than a layer can list
 */
int mlimg_rules_finish(struct mlimg_rules *rules, struct mlimg_layer_info *info,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Say on @p f what was left out and what is to be rebuilt; nothing, when nothing was. */
void mlimg_rules_report(
	const struct mlimg_rules *rules, const struct mlimg_layer_info *info, FILE *f);

/** Free what they own. */
void mlimg_rules_done(struct mlimg_rules *rules);

#endif
