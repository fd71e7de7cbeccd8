/* SPDX-License-Identifier: MIT */
/**
 * @file boot.h
 * What a boot writes down: /run/mlimg/boot.json for whoever runs later in the guest, and in the user layer /mlimg/state.json, what it last
 * ran on.
 *
 * boot.json:
 *
 *     { "format": 1, "union": "overlay", "stack_id": "<64 hex>",
 *       "stack": [ { "kind": "system", "name": "debian", "version": "12.1", "build_id": "<64 hex>", "mount": "/run/mlimg/layers/0" }, ... ],
 *       "user": { "name": "alice", "build_id": "<64 hex>", "mount": "/run/mlimg/user" },
 *       "generation": 2,                 1 for the first stack that this user layer ran on, one more with every change
 *       "change": "first" | "none" | "changed",
 *       "previous": null | { "stack_id": "...", "union": "overlay", "stack": [...] },
 *       "report": null | { "path": "/run/mlimg/user/mlimg/reports/2.json",
 *                          "counts": { "keep": 3, "stale": 0, "same": 0, "conflict": 1, "type-change": 0, "whiteout-gone": 0, "whiteout-changed": 0 } } }
 *
 * state.json: { "format": 1, "generation": 2, "union": "overlay", "stack_id": ..., "stack": [...] } with the same members. Beside it
 * /mlimg/base.manifest, the merged manifest of that stack, as it was when the state was written. Both are replaced atomically, the manifest first; the
 * state names the manifest's SHA-256 ("base_sha256"), so that a power cut between the two is noticed.
 *
 * reports/N.json: { "format": 1, "generation": N, "from": "<stack id>", "to": "<stack id>", "counts": {...},
 *                   "entries": [ { "path": "etc/hosts", "verdict": "conflict" }, ... ] }   verdict "keep" is counted but not listed
 */
#ifndef MLIMG_BOOT_H
#define MLIMG_BOOT_H

#endif
