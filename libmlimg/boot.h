/* SPDX-License-Identifier: MIT */
/**
 * @file boot.h
 * What a boot writes down: /run/mlimg/boot.json for whoever runs later in the guest, and in the
 * user layer /mlimg/state.json, what it last ran on. This module knows the texts; which files are
 * written when is the agent's affair (guest-agent/prepare.c, commit.c) and told here because it is
 * part of the format.
 *
 * boot.json:
 *
 *     { "format": 1, "mode": "normal" | "volatile" | "readonly" | "rescue",
 *       "union": "overlay", "stack_id": "<64 hex>", "composed": "<64 hex>",
 *       "stack": [ { "kind": "system", "name": "debian", "version": "12.1", "build_id": "<64 hex>",
 *                    "mount": "/run/mlimg/layers/0" }, ... ],
 *                                        null with "index": no layer is mounted itself; a patch has
 *                                        its "result" (layer.h) before "mount"
 *       "disks": "separate" | "joined",  joined: with "index", which is then one disk with the
 *                                        layers (index.h)
 *       "verity": "off" | "hash" | "stack" | "require",
 *                                        not off: every layer of "stack", and the index, is read
 *                                        through its hash tree (verity.h), for which root hashes,
 *                                        the stack's hash or signatures vouch
 *       "user": { "name": "alice", "build_id": "<64 hex>", "mount": "/run/mlimg/user",
 *                 "formatted": false,    true in the one boot that made this file system on a blank
 *                                        disk
 *                 "fsck": null | { "status": 1, "said": "..." },
 *                                        of e2fsck -p: 0 clean, 1 repaired; null: not run
 *                 "grown": null | { "from_bytes": 1073741824, "to_bytes": 2147483648 },
 *                 "reset": null | { "request": "again-1",
 *                                   "aside": "/run/mlimg/user/mlimg/aside/reset-again-1" } },
 *                                        null as a whole in a rescue without a user layer
 *       "carve_outs": [ "/var/lib/docker" ],
 *                                        paths that lie on the user file system outside the union
 *       "protected": null | { "aside": "/run/mlimg/user/mlimg/aside/protected-1", "n": 2,
 *                             "paths": [ "/etc/ld.so.preload", ... ] },
 *                                        what the user layer had over protected paths
 *                                        (guest-agent/protect.h), set aside in this boot; "paths"
 *                                        has at most 32, of 255 characters
 *       "generation": 2,                 1 for the first stack that this user layer ran on, one
 *                                        more with every change of the stack, back to a former one
 *                                        included
 *       "change": "first" | "none" | "changed" | "unknown",
 *       "previous": null | { "union": "overlay", "stack_id": "...", "stack": [...] },
 *       "report": null | { "path": null | "/run/mlimg/user/mlimg/reports/2.json",
 *                          "counts": { "keep": 3, "stale": 0, "same": 0, "conflict": 1,
 *                                      "type-change": 0, "whiteout-gone": 0, "whiteout-changed": 0,
 *                                      "merged": 0 } },
 *       "reconcile": null | { "done": "reconciled" | "rolled-back", "steps": 12, "dropped": 3,
 *                             "aside": 1, "beside": 0, "merged": 2, "joined": 0, "closed": 0 },
 *       "queue": null | { "report": "/run/mlimg/user/mlimg/reports/queue-3.json", "done": 2,
 *                         "left": 1 },   operations that the user had queued (queue.h), done before
 *                                        all that; "left": those with nothing to do any more
 *       "notes": [ "software layer 'nginx' was built over a layer that is not beneath it: ..." ] }
 *
 * "mode" is what became of changes: "normal" keeps them in the user layer; "volatile" and "rescue"
 * lose them at the end of the boot, and "readonly" has none. These three write nothing into the
 * user layer: a change of the stack is compared and counted but not recorded ("path" of the report
 * is null). A "rescue" has none of the user layer's changes in its root and does not look at its
 * state: "change" is "unknown" and "generation" 0.
 *
 * /run/mlimg is root's alone; a copy of boot.json is /run/mlimg-boot.json, for everybody.
 *
 * "reconcile" is what this boot did in the upper: it brought it into agreement with a new stack, or
 * took the last change back, since the stack is the one before (guest-agent/change.h); "steps" are
 * those of the log, the others entries (report.h, "done"). With "change": "none" it ended what an
 * earlier boot had begun; then the others are 0. Where the stack is another one again, so that a
 * change followed, "reconcile" and "report" are of that, and a note tells of the one that was ended.
 *
 * "previous" and "report" are there in the one boot after a change. "previous" and state.json tell
 * no mounts.
 *
 * A full user layer does not stop the boot, nor does an upper that cannot be changed otherwise.
 * When the change cannot be made ready (guest-agent/change.h, 1), a note says so and the upper,
 * state.json and undo stay as they were; "reconcile" is null. The next boot says "changed" and the
 * same generation again and tries again. "path" of the report is null then; its counts are there.
 *
 * What of the upper cannot be compared (a path over 4095 bytes, an entry that cannot be read, more
 * xattrs than manifests can have) is skipped and counted as "keep"; notes name the first three,
 * shortened and escaped as in manifests, and the number of the others.
 *
 * "stack_id" and the topmost patch's "result" tell what the layers show, "stack" what they are. On
 * the old system with a patch the user layer has the stack that it has on the new system's own
 * image, so going from one to the other is no change; state.json is written anew for "stack" alone,
 * as it is for "union".
 *
 * "composed" is the digest of the composed tree's manifest (compose.h), and missing where nothing
 * is composed. It follows from the layers and from the rules of composing: when these change, the
 * stack counts as changed though its id is the same.
 *
 * "union" is the union driver. In state.json it is the one that wrote the user layer last, and
 * another one is refused unless both write the same form, as "index" and "overlay" do; "unionfs"
 * writes another (unionfs.h). What converts is guest-agent/convert.h.
 *
 * state.json:
 *
 *     { "format": 1, "generation": 2, "union": "overlay", "stack_id": "<64 hex>",
 *       "composed": "<64 hex>", "stack": [...],
 *       "base_sha256": "<64 hex>", "base_size_bytes": 6000000,
 *       "texts_sha256": "<64 hex>", "texts_size_bytes": 2000000 }
 *
 * The last two are not there where there was no room for the texts.
 *
 * Beside it lie /mlimg/base.manifest.<generation>, the merged manifest of that stack, and
 * /mlimg/base.texts.<generation>, what of its contents may have to be merged (base-texts.h). A new
 * stack's have names of their own and are on stable storage before the state that names them
 * replaces the old state; only then the old ones go, to undo/<generation> after a change. So after
 * a power cut at any moment the state and the files it names fit each other, and what lies beside
 * them is a leftover, which the next change removes.
 *
 * The state is written by `mlimg-agent prepare` when the stack has changed, as the last part of the
 * change, and by `mlimg-agent commit`, after the union is mounted, when it is the first one, or the
 * same one of other layers or through another driver.
 *
 * reports/N.txt is for people, and so is reports/queue-N.txt. reports/queue-N.json has what
 * reports/N.json has, of the generation that it was done on; N counts these. Each operation of the
 * queue has an entry, also one that has done nothing. reports/N.json:
 *
 *     { "format": 1, "generation": N, "from": "<stack id>", "to": "<stack id>", "counts": {...},
 *       "done": { "stays": N, "dropped": N, "aside": N, "beside": N, "merged": N, "joined": N,
 *                 "closed": N },
 *       "hidden": N,
 *       "rebuild": [ "etc/ld.so.cache" ],
 *       "databases": [ { "path": "etc/passwd", "name": "alice",
 *                        "kind": "told" | "conflict" | "broken", "text": "..." }, ... ],
 *       "entries": [ { "path": "etc/hosts", "verdict": "conflict", "class": "config",
 *                      "done": "beside", "at": "etc/hosts.mlimg-new", "from": "etc/was",
 *                      "why": "..." }, ... ],
 *       "truncated": false }
 *
 * Verdict "keep" is counted but not listed, unless something was done. Paths are relative to the
 * root and escaped as in manifests (manifest.h), since names need not be UTF-8. "class"
 * (path-class.h) and "done" (report.h) are there when the upper was brought into agreement, not
 * only compared; "at" when something was set aside (then below the user layer's /mlimg) or put
 * beside; "from" with a directory that was renamed and is aside now, where it had been in the
 * layers; "hidden" when files were hidden that the new stack has of packages which the user has
 * removed or has another version of; "rebuild" when caches were dropped; "databases" when merging
 * accounts or packages has something to tell, or what was set aside is gone when a change is taken
 * back (notes.h). See report.h.
 */
#ifndef MLIMG_BOOT_H
#define MLIMG_BOOT_H

#include <stdbool.h>

#include "libmlimg/report.h"
#include "libmlimg/stack.h"

#define MLIMG_BOOT_FORMAT 1
#define MLIMG_BOOT_LAYERS_MAX MLIMG_STACK_LAYERS_MAX
/**
 * bytes of boot.json that a reader accepts; with two stacks of 81 layers and the longest names it
 * has 65,100
 */
#define MLIMG_BOOT_JSON_MAX 1048576
/** bytes of state.json that a reader accepts; 81 layers with the longest names take 30,400 */
#define MLIMG_BOOT_STATE_MAX 65536
#define MLIMG_BOOT_NOTES_MAX 16 /**< notes of a boot */
#define MLIMG_BOOT_RESET_MAX 64 /**< characters of the word that names a factory reset */
#define MLIMG_BOOT_RESET_ASIDE_SIZE \
	(MLIMG_BOOT_RESET_MAX + 16)         /**< "reset-WORD-999999", NUL included */
#define MLIMG_BOOT_UNION_SIZE 16            /**< a union driver's name, NUL included */
#define MLIMG_BOOT_GENERATION_MAX 999999999 /**< generations of one user layer */

/** A read-only layer as it is written down. */
struct mlimg_boot_layer {
	enum mlimg_kind kind;
	char name[MLIMG_LAYER_NAME_MAX + 1];
	char version[MLIMG_LAYER_NAME_MAX + 1];
	char build_id[MLIMG_SHA256_HEX_SIZE];
	char result[MLIMG_SHA256_HEX_SIZE]; /**< "" unless kind is MLIMG_PATCH */
};

/** The read-only layers and how they become one tree. */
struct mlimg_boot_stack {
	char union_driver[MLIMG_BOOT_UNION_SIZE];
	char stack_id[MLIMG_SHA256_HEX_SIZE];
	char composed[MLIMG_SHA256_HEX_SIZE];                  /**< "": nothing is */
	struct mlimg_boot_layer layers[MLIMG_BOOT_LAYERS_MAX]; /**< bottom first */
	size_t n_layers;
};

/** What a user layer last ran on. */
struct mlimg_boot_state {
	uint64_t generation; /**< 1 .. MLIMG_BOOT_GENERATION_MAX */
	struct mlimg_boot_stack stack;
	char base_sha256[MLIMG_SHA256_HEX_SIZE]; /**< of base.manifest.<generation> */
	uint64_t base_size_bytes;                /**< bytes of it */
	char texts_sha256
		[MLIMG_SHA256_HEX_SIZE]; /**< of base.texts.<generation>; "": there is none */
	uint64_t texts_size_bytes;       /**< bytes of it */
};

/** What becomes of changes. */
enum mlimg_boot_mode {
	MLIMG_BOOT_NORMAL = 0, /**< they are kept in the user layer */
	MLIMG_BOOT_VOLATILE,   /**< they are lost at the end of the boot */
	MLIMG_BOOT_READONLY,   /**< there are none */
	MLIMG_BOOT_RESCUE,     /**< they are lost, and the user layer's are not in the root */
};

/** A factory reset. */
struct mlimg_boot_reset {
	char word[MLIMG_BOOT_RESET_MAX + 1];     /**< that asked for it; "": there was none */
	char aside[MLIMG_BOOT_RESET_ASIDE_SIZE]; /**< name in the user layer's /mlimg/aside */
};

/** What happened to the user layer's file system before the union was mounted. */
struct mlimg_boot_user {
	char name[MLIMG_LAYER_NAME_MAX + 1]; /**< "": there is none, in a rescue */
	char build_id[MLIMG_SHA256_HEX_SIZE];
	bool is_formatted;
	bool is_checked;                     /**< e2fsck was run */
	int fsck_status;                     /**< its exit status */
	char fsck_said[MLIMG_ERR_TEXT_SIZE]; /**< what it printed */
	uint64_t grown_from, grown_to;       /**< bytes; both 0 when not grown */
	struct mlimg_boot_reset reset;       /**< that was carried out */
};

/** How this boot's stack compares with the user layer's last one. */
enum mlimg_boot_change {
	MLIMG_BOOT_UNKNOWN = 0, /**< a rescue: nobody has looked */
	MLIMG_BOOT_FIRST = 1,   /**< the user layer has never run */
	MLIMG_BOOT_NONE,        /**< the same stack */
	MLIMG_BOOT_CHANGED,     /**< another one */
};

/** What was done in the upper. */
enum mlimg_boot_reconciled {
	MLIMG_BOOT_NOT_RECONCILED = 0,
	MLIMG_BOOT_RECONCILED,
	MLIMG_BOOT_ROLLED_BACK,
};

/** What was done of what the user had queued (queue.h). */
struct mlimg_boot_queue {
	uint64_t number;         /**< N of reports/queue-N.json; 0: nothing was */
	uint64_t n_done, n_left; /**< operations; the last had nothing to do any more */
};

/** A boot. */
struct mlimg_boot {
	const char *root; /**< "/run/mlimg": the mounts are told from it */
	bool is_joined;   /**< index and layers are one disk */
	const char *
		protected_aside; /**< name of the directory in "aside", or NULL: nothing was set aside */
	const char *const *protected_paths;    /**< of what was */
	size_t n_protected_paths, n_protected; /**< of the paths told, and of all */
	const char *verity; /**< what vouches for the layers' hash trees, NULL: nothing does */
	struct mlimg_boot_stack stack;
	enum mlimg_boot_mode mode;
	struct mlimg_boot_user user;
	uint64_t generation;
	enum mlimg_boot_change change;
	const struct mlimg_boot_stack *previous; /**< NULL unless changed */
	bool has_report;                         /**< the upper was compared: @p counts are set */
	bool is_report_lost;                     /**< reports/<generation>.json was not written */
	uint64_t counts[MLIMG_N_VERDICTS];       /**< of the report, by verdict */
	enum mlimg_boot_reconciled reconciled;
	uint64_t steps;              /**< of the change, or of the one that was taken back */
	uint64_t done[MLIMG_N_DONE]; /**< of the report */
	struct mlimg_boot_queue queue;
	char notes[MLIMG_BOOT_NOTES_MAX][MLIMG_ERR_TEXT_SIZE];
	size_t n_notes;
};

#define MLIMG_BOOT_PUBLIC "mlimg-boot.json" /**< in /run, for everybody */
#define MLIMG_UNION_INDEX "index"
#define MLIMG_UNION_OVERLAY "overlay"
#define MLIMG_UNION_UNIONFS "unionfs"

/**
 * @return whether what one union driver wrote into a user layer is what the other one reads. With
 *         an index too it is overlayfs that writes, and in the same form.
 */
bool mlimg_boot_is_same_upper(const char *union_driver, const char *other);

/** @return "normal", "volatile", "readonly" or "rescue" */
const char *mlimg_boot_mode_name(enum mlimg_boot_mode mode);

/** @return whether @p name is one of these; then which */
bool mlimg_boot_mode_of(const char *name, enum mlimg_boot_mode *ret_mode);

/** Add a note, cut where it is too long; beyond MLIMG_BOOT_NOTES_MAX it is dropped. */
void mlimg_boot_note(struct mlimg_boot *boot, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * As mlimg_boot_note(), into another list.
 *
 * @param notes    it
 * @param n_notes  how many it has
 * @param max      how many there is room for
 * @param fmt      printf format
 */
void mlimg_boot_add_note(char (*notes)[MLIMG_ERR_TEXT_SIZE], size_t *n_notes, size_t max,
	const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/**
 * @return whether @p word can name a factory reset: 1..64 of [A-Za-z0-9._-], the first alphanumeric
 */
bool mlimg_boot_reset_is_valid(const char *word);

/**
 * Write down a stack.
 *
 * @param stack         the read-only layers
 * @param union_driver  shorter than MLIMG_BOOT_UNION_SIZE
 * @param ret_stack     filled
 */
void mlimg_boot_stack_of(const struct mlimg_stack *stack, const char *union_driver,
	struct mlimg_boot_stack *ret_stack);

/** @return whether both show the same */
bool mlimg_boot_stack_shows_same(
	const struct mlimg_boot_stack *a, const struct mlimg_boot_stack *b);

/** @return whether both are of the same layers, and made one tree by the same driver */
bool mlimg_boot_stack_is_same(const struct mlimg_boot_stack *a, const struct mlimg_boot_stack *b);

/**
 * Write boot.json.
 *
 * @param boot      what to write
 * @param ret_text  NUL-terminated text that ends with a newline; free() it
 * @param err       see there
 * @return          0, -ENOMEM
 */
int mlimg_boot_to_json(
	const struct mlimg_boot *boot, char **ret_text, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Add a note to a boot.json that is written already.
 *
 * @param text      bytes of boot.json
 * @param size      their number
 * @param what      what found no room in the user layer
 * @param ret_text  as mlimg_boot_to_json()
 * @param err       "boot.json: ..."
 * @return          0, -EUCLEAN, -ENOMEM
 */
int mlimg_boot_json_add_no_room(const char *text, size_t size, const char *what, char **ret_text,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Put into a boot.json that is written already what came of the carve-outs.
 *
 * @param text      bytes of boot.json
 * @param size      their number
 * @param paths     of what was mounted, without the first '/'
 * @param n_paths   their number
 * @param notes     are added, as long as there is room
 * @param n_notes   their number
 * @param ret_text  as mlimg_boot_to_json()
 * @param err       "boot.json: ..."
 * @return          0, -EUCLEAN, -ENOMEM
 */
int mlimg_boot_json_set_carve_outs(const char *text, size_t size, const char *const paths[],
	size_t n_paths, const char *const notes[], size_t n_notes, char **ret_text,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Add the note that something found no room in the user layer.
 *
 * @param boot  its change is set
 * @param what  as in "the report"
 */
void mlimg_boot_note_no_room(struct mlimg_boot *boot, const char *what);

/** Write state.json; as mlimg_boot_to_json(). */
int mlimg_boot_state_to_json(const struct mlimg_boot_state *state, char **ret_text,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read state.json; a stranger may have written it. Another "format" is refused, unknown keys are
 * ignored.
 *
 * @param text       bytes
 * @param size       their number, at most MLIMG_BOOT_STATE_MAX
 * @param ret_state  filled on success
 * @param err        "state.json: ..."
 * @return           0, -EUCLEAN, -ENOMEM
 */
int mlimg_boot_state_from_json(const char *text, size_t size, struct mlimg_boot_state *ret_state,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
