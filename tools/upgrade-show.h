/* SPDX-License-Identifier: MIT */
/**
 * @file upgrade-show.h
 * A plan for all tenants, shown: as text or JSON; upgrade-html.h has the page. All names that come
 * from guests are escaped in the form's own way.
 *
 * JSON:
 *
 *     { "system": { "name": "debian", "version": "12.2", "system_id": "<64 hex>" },
 *       "tenants": [ { "name": "alice", "id": "<32 hex>", "from": "debian 12.1", "to": "debian 12.2",
 *                      "outcome": "changes" | "same" | "first" | "back" | "refused" | "failed",
 *                      "why": null | "...",      of the last two
 *                      "way_out": [ "mlimg-mkfs ...", ... ],
 *                      "checkpoint": null | "..." of a guest that is on,
 *                      "checkpoint_s": null | 1700000000,       taken then
 *                      "stale": 3, "kept": 2, "merged": 1, "conflicts": 0, "moved": 0,
 *                      "hidden": 0, "unmerged": 0, "broken": 0, "accounts": 0, "hooks": 0, "needed_bytes": 0,
 *                      "free_bytes": 0, "fits": true, "notes": [ "...", ... ],
 *                      "not_foretold": [ "hooks", "queue", "renamed", "back" ],  some, or none
 *                      "protected": null | { "n": 2, "paths": [ "/etc/x", ... ] }  as boot.json
 *                      "queue": null | { ... }   reports/queue-N.json, done before
 *                      "report": null | { ... }  reports/N.json of libmlimg/boot.h
 *                    }, ... ],
 *       "sum": { "tenants": 3, "changes": 1, ..., "stale": 3, ..., "needed_bytes": 0 } }
 *
 * "stale" are entries that are dropped since the layers have the same or a newer one, whiteouts of
 * what is gone among them; "conflicts" have type changes among them.
 *
 * "not_foretold" are what only the guest can do or know: what hooks of the layers make of so many
 * conflicts; a queue that was interrupted, which the boot ends; very many directories that were
 * renamed, so that more may be set aside with what covers protected paths; and of a change that is
 * taken back all.
 */
#ifndef MLIMG_TOOLS_UPGRADE_SHOW_H
#define MLIMG_TOOLS_UPGRADE_SHOW_H

#include <jansson.h>

#include "tools/upgrade-fleet.h"

#define MLIMG_UPGRADE_SHOWN_MAX 20 /**< entries of a tenant that text lists */

/** Entries by what people want to know of them. */
struct mlimg_upgrade_sums {
	uint64_t stale, kept, merged, conflicts, moved, broken, accounts;
	uint64_t hidden;    /**< files of packages that he has removed or has another version of */
	uint64_t unmerged;  /**< databases of accounts or packages that are not merged */
	uint64_t protected; /**< what covers protected paths, and is set aside */
	uint64_t hooks;     /**< among the conflicts, those that a hook is asked to merge */
};

/** @return those of a tenant */
struct mlimg_upgrade_sums mlimg_upgrade_sums_of(const struct mlimg_upgrade_tenant *t);

/** All tenants together. */
struct mlimg_upgrade_total {
	uint64_t outcomes[MLIMG_UPGRADE_OUTCOMES];
	uint64_t n_full;       /**< tenants whose file system has not the room */
	uint64_t needed_bytes; /**< what all changes take, about */
	struct mlimg_upgrade_sums sums;
};

/** @return the sum of all */
struct mlimg_upgrade_total mlimg_upgrade_total_of(const struct mlimg_upgrade_fleet *fleet);

/** @return whether its file system has the room, as far as that is known */
bool mlimg_upgrade_has_room(const struct mlimg_upgrade_tenant *t);

/** Told of an entry of a report that people should know of; texts of its JSON. */
typedef void mlimg_upgrade_entry_fn(const char *path, const char *verdict, const char *done,
	const char *at, const char *why, void *ctx);

/** Told of a note on databases; texts of its JSON. */
typedef void mlimg_upgrade_note_fn(
	const char *path, const char *name, const char *kind, const char *text, void *ctx);

/**
 * Go through a tenant's reports: what is queued, told as verdict "queued"; conflicts, what is set
 * aside or put beside, and whiteouts of what has changed; what covers protected paths, as verdict
 * "protected".
 *
 * @param t         the tenant; one without a report has nothing
 * @param entry_fn  told of each such entry
 * @param note_fn   told of each note
 * @param ctx       handed to both
 * @param err       see there
 * @return          0, -ENOMEM
 */
int mlimg_upgrade_each(const struct mlimg_upgrade_tenant *t, mlimg_upgrade_entry_fn *entry_fn,
	mlimg_upgrade_note_fn *note_fn, void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Print as text. @return 0, -ENOMEM */
int mlimg_upgrade_put_text(
	FILE *f, const struct mlimg_upgrade_fleet *fleet, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Print as JSON. @return 0, -ENOMEM */
int mlimg_upgrade_put_json(
	FILE *f, const struct mlimg_upgrade_fleet *fleet, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
