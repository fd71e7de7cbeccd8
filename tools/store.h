/* SPDX-License-Identifier: MIT */
/**
 * @file store.h
 * The store: the layers that a host's guests share, its tenants, and which generation of the system
 * each runs. It starts no guest and makes no image.
 *
 * A store is a directory:
 *
 *     store.db               SQLite database (below), in WAL mode; store.db-wal, -shm are its own
 *     layers/BUILDID.img     0444, a layer's image, as mlimg-mkfs made it
 *     tenants/ID/            0700, what a tenant has: its user disk, and whatever runs it
 *     bases/ID/              disks that tenants' disks lie over (store-base.h)
 *     indexes/               compiled stacks, which can be made again
 *     incoming/TOKEN.lock    held with flock(2) by who does operation TOKEN
 *     incoming/TOKEN         the image or directory that it makes
 *     removed/ID/            what a removed tenant had; nothing here is ever deleted by itself
 *     upgrade.lock           held with flock(2) by who carries out a rollout (rollout.h)
 *     lock                   held with flock(2): shared by everyone who has the store open,
 *                            exclusively by who makes it or changes its schema
 *
 * BUILDID has 64 hexadecimal digits, ID and TOKEN have 32. A directory is made a store where it
 * holds nothing else than these names and lost+found.
 *
 * Database. application_id is MLIMG_STORE_APPLICATION, user_version the number of its schema; each
 * schema is made of the one before it in one transaction, and one that is newer than this program
 * is refused. Times are seconds since 1970.
 *
 *     layer             number (as added, ascending), build_id, kind (system, software, patch),
 *                       name, version, base_id and result_id of a patch, over_ids (what a software
 *                       layer is over, bottom first, separated by spaces), size_bytes of the image,
 *                       root_hash of its hash tree or NULL, added_s. Kind, name, version, base_id
 *                       and over_ids together are one layer's.
 *     tenant            id, name, user_id (build id of its user layer), created_s, current and
 *                       pending: numbers of generations, or NULL; and how it is run (tenant.h)
 *     generation        tenant_id, number (from 1, never used again), system_id (libmlimg/stack.h),
 *                       added_s
 *     generation_layer  tenant_id, number, position (0 is the bottom), build_id: read-only layers;
 *                       a layer that is in one cannot be removed
 *     host, volume      hosts of tenants: store-host.h; and tenant.host
 *     checkpoint        store-checkpoint.h
 *     rollout, rollout_tenant  store-rollout.h
 *     event             id (ascending), time_s, object (tenant, layer), object_id, kind, text
 *     operation         token, kind (add-layer, remove-layer, add-tenant, remove-tenant,
 *                       link-disk),
 *                       object_id, started_s: what is under way in the directory
 *
 * How directory and database agree. Whoever is about to change the directory holds the lock of a
 * new token and writes a row into operation; what is new is made below incoming/. The step that
 * counts, a rename and the row that says so, is one transaction, the rename being on stable storage
 * before the row is; it ends the operation, too. A row in operation whose lock nobody holds is of
 * somebody who was killed. Who opens the store next takes what he made away again, or, where he had
 * removed the row already, what it was about; so a layer is there whole, row and image, or not at
 * all, and the same goes for tenants. Operations of the living are let alone.
 *
 * Several programs may use a store at a time. A struct mlimg_store is one thread's, and must not be
 * used after fork(2). On a file system that nobody can write, a store can be read.
 */
#ifndef MLIMG_TOOLS_STORE_H
#define MLIMG_TOOLS_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/err.h"
#include "libmlimg/layer.h"
#include "libmlimg/stack.h"

#define MLIMG_STORE_APPLICATION 0x6d6c696d /**< "mlim" */
#define MLIMG_STORE_ID_SIZE 33             /**< of a tenant's id, NUL included */
#define MLIMG_STORE_NAME_SIZE 64           /**< of a tenant's name, NUL included */
#define MLIMG_STORE_PREFIX_MIN 8           /**< digits of a build id that name a layer */
#define MLIMG_STORE_EVENT_MAX 500          /**< bytes of an event's text; longer ones are cut */
#define MLIMG_STORE_EVENTS_KEPT 10000      /**< events that mlimg_store_gc() keeps by default */
#define MLIMG_STORE_FORMER_KEPT 1          /**< and former generations of a tenant */

/** An open store. */
struct mlimg_store;

/** How to open one. */
enum mlimg_store_access {
	MLIMG_STORE_USE,  /**< it must be there */
	MLIMG_STORE_MAKE, /**< made, with the directories above it, when it is not there */
};

/** A layer. What only its image says is not in @p info: entries, size, time, records. */
struct mlimg_store_layer {
	struct mlimg_layer_info info;
	uint64_t size_bytes;                   /**< of the image */
	char root_hash[MLIMG_SHA256_HEX_SIZE]; /**< of its hash tree; "" where it has none */
	int64_t added_s;
};

/** A tenant. A plain value. */
struct mlimg_store_tenant {
	char id[MLIMG_STORE_ID_SIZE];
	char name[MLIMG_STORE_NAME_SIZE];
	char user_id[MLIMG_SHA256_HEX_SIZE];
	int64_t created_s;
	uint32_t current, pending; /**< generations; 0 for none */
};

/** A generation. */
struct mlimg_store_generation {
	uint32_t number;
	char system_id[MLIMG_SHA256_HEX_SIZE];
	int64_t added_s;
	char (*layers)[MLIMG_SHA256_HEX_SIZE]; /**< build ids, bottom first; owned */
	size_t n_layers;
};

/** What an event is about. */
enum mlimg_store_object {
	MLIMG_STORE_TENANT = 1,
	MLIMG_STORE_LAYER,
};

/** An event; the texts are valid as long as whoever is told of it has not returned. */
struct mlimg_store_event {
	int64_t id, time_s;
	enum mlimg_store_object object;
	const char *object_id, *kind, *text;
};

/**
 * Where the store is when nobody says: /var/lib/mlimg for root, else $XDG_STATE_HOME/mlimg, or
 * ~/.local/state/mlimg (XDG Base Directory Specification).
 *
 * @param ret_dir  free() it
 * @param err      when there is no home
 * @return         0 or -errno
 */
int mlimg_store_default_dir(char **ret_dir, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Open a store; operations of those who were killed are ended. Refused: a directory that is none
 * and not empty, a database that is damaged, another program's, of a newer schema, or not there
 * although there are layers, or disks of tenants.
 *
 * @param dir        the directory
 * @param access     whether it must be there
 * @param ret_store  mlimg_store_close() it
 * @param err        names directory or database; -ENOENT: no store is there
 * @return           0, -EUCLEAN, other -errno
 */
int mlimg_store_open(const char *dir, enum mlimg_store_access access,
	struct mlimg_store **ret_store, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Close it; accepts NULL. */
void mlimg_store_close(struct mlimg_store *store);
MLIMG_DEFINE_CLEANUP(struct mlimg_store, mlimg_store_close)
#define mlimg_autostore mlimg_cleanup(mlimg_store_close_cleanup) /**< mlimg_store_close() */

/**
 * Open the store that a command line names.
 *
 * @param dir        what --store says; NULL: mlimg_store_default_dir()
 * @param access     as of mlimg_store_open()
 * @param ret_store  as of mlimg_store_open()
 * @param err        as of both; of kind MLIMG_ERR_USAGE where @p dir is empty
 * @return           0, -EUCLEAN, other -errno
 */
int mlimg_store_open_given(const char *dir, enum mlimg_store_access access,
	struct mlimg_store **ret_store, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return the directory */
const char *mlimg_store_dir(const struct mlimg_store *store);

/** @return the path of a layer's image; free() it; NULL when there is no memory */
char *mlimg_store_layer_path(const struct mlimg_store *store, const char *build_id);

/** @return the path of a tenant's directory; free() it; NULL when there is no memory */
char *mlimg_store_tenant_path(const struct mlimg_store *store, const char *id);

/**
 * Begin to change several things at once: others see all of it or nothing. Others who write wait
 * until it ends, so it must not last. Transactions may lie within each other. What changes the
 * directory has transactions of its own and is refused within one (-EBUSY): add and remove of
 * layers, create and remove of tenants.
 *
 * @return 0 or -errno
 */
int mlimg_store_begin(struct mlimg_store *store, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * End what was begun. On return with 0 it is on stable storage, unless it lies within another one.
 *
 * @param store  the store
 * @param ret    0: keep it; negative: take it back
 * @param err    kept when @p ret is negative
 * @return       @p ret, or -errno when it could not be kept, and has been taken back
 */
int mlimg_store_end(struct mlimg_store *store, int ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

/* Layers. */

/** Free what it owns; accepts a zeroed one. */
void mlimg_store_layer_done(struct mlimg_store_layer *layer);
#define mlimg_autostorelayer mlimg_cleanup(mlimg_store_layer_done) /**< its done() */

/** Told of a layer. @return 0 to go on, negative to stop */
typedef int mlimg_store_layer_fn(
	const struct mlimg_store_layer *layer, void *ctx, struct mlimg_err *err);

/**
 * All layers by name; those of one name as they were added.
 *
 * @param store  the store
 * @param kind   only these; 0 for all
 * @param fn     must not change layers
 * @param ctx    handed to @p fn
 * @param err    names the database
 * @return       0, what @p fn returned when negative, or -errno
 */
int mlimg_store_layer_each(struct mlimg_store *store, enum mlimg_kind kind,
	mlimg_store_layer_fn *fn, void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The layer with that build id.
 *
 * @param store      the store
 * @param build_id   64 digits
 * @param ret_layer  mlimg_store_layer_done() when done
 * @param err        names it
 * @return           0, -ENOENT, other -errno
 */
int mlimg_store_layer_get(struct mlimg_store *store, const char *build_id,
	struct mlimg_store_layer *ret_layer, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** The kind's bit for mlimg_store_layer_find(). */
#define MLIMG_STORE_KIND(kind) (1u << (kind))

/**
 * The layer that somebody means: NAME:VERSION, the beginning of a build id, at least
 * MLIMG_STORE_PREFIX_MIN digits, or NAME alone, which is the newest added of that name.
 *
 * @param store      the store
 * @param text       what he wrote
 * @param kinds      MLIMG_STORE_KIND() of those that can be meant; 0 for all
 * @param ret_layer  mlimg_store_layer_done() when done
 * @param ret_n      how many have that name, of which it is the newest; 1 where he said which;
 *                   NULL: not wanted
 * @param err        "no layer '...'"; "'...' may be ...", with the candidates, when several
 *                   have this version or beginning, or the name is that of a software layer and of
 *                   a system
 * @return           0, -ENOENT, -ENOTUNIQ, other -errno
 */
int mlimg_store_layer_find(struct mlimg_store *store, const char *text, unsigned kinds,
	struct mlimg_store_layer *ret_layer, size_t *ret_n, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Told of a layer that somebody can mean.
 *
 * @param layer     the layer
 * @param is_exact  he said its version or build id, not its name alone
 * @param ctx       the caller's
 * @param err       where to put an error
 * @return          0 to go on, negative to stop
 */
typedef int mlimg_store_match_fn(
	const struct mlimg_store_layer *layer, bool is_exact, void *ctx, struct mlimg_err *err);

/**
 * All layers that somebody can mean, for who knows better than mlimg_store_layer_find() which it
 * is: exact ones first, then the newest added first.
 *
 * @param store  the store
 * @param text   as of mlimg_store_layer_find()
 * @param kinds  as of mlimg_store_layer_find()
 * @param fn     must not change layers
 * @param ctx    handed to @p fn
 * @param err    names the database
 * @return       0, what @p fn returned when negative, or -errno
 */
int mlimg_store_layer_match(struct mlimg_store *store, const char *text, unsigned kinds,
	mlimg_store_match_fn *fn, void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** What mlimg_store_layer_add() did. */
struct mlimg_store_added {
	struct mlimg_store_layer layer;      /**< mlimg_store_layer_done() when done */
	bool is_new;                         /**< else it was there already */
	char missing[MLIMG_SHA256_HEX_SIZE]; /**< what it lies over and no layer provides; "" */
};

/**
 * Add an image: it is copied (where the file system can, its blocks are shared), and the copy is
 * verified by its build id, its manifest and, where it has one, its hash tree. On return with 0
 * image and row are on stable storage. A build that is there already is not looked into; where its
 * image has been lost, or cut, this one takes its place.
 *
 * @param store      the store
 * @param path       the image, a regular file
 * @param move       remove the image afterwards, unless the build was there already; one in the
 *                   same file system is not copied when it is the caller's alone
 * @param ret_added  what became of it
 * @param err        names the image. Refused: what is no sound layer, or a user layer. -EEXIST:
 *                   another build has its kind, name and version, and lies over the same
 * @return           0, -EUCLEAN, other -errno
 */
int mlimg_store_layer_add(struct mlimg_store *store, const char *path, bool move,
	struct mlimg_store_added *ret_added, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Remove a layer and its image.
 *
 * @param store     the store
 * @param build_id  64 digits
 * @param err       -EBUSY: which tenant's generation has it, or which layer lies over it
 * @return          0 when the store has it no more; an image that could not be removed is by
 *                  whoever opens the store next. -ENOENT, -EBUSY, other -errno: it has it still
 */
int mlimg_store_layer_remove(
	struct mlimg_store *store, const char *build_id, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Verify the image of a layer: it is there, as long as it was, the layer that the database says,
 * and sound. All of it is read, nothing is changed.
 *
 * @return 0, -EUCLEAN: what is wrong; other -errno
 */
int mlimg_store_layer_verify(struct mlimg_store *store, const struct mlimg_store_layer *layer,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Told of who uses a layer: "tenant 'alice' (generation 3)". @return 0, negative to stop */
typedef int mlimg_store_user_fn(const char *user, void *ctx, struct mlimg_err *err);

/**
 * Who uses a layer: generations of tenants, and layers that lie over it unless another layer
 * provides the same.
 *
 * @param store  the store
 * @param layer  the layer
 * @param fn     told of each
 * @param ctx    handed to @p fn
 * @param err    names the database
 * @return       0, what @p fn returned when negative, or -errno
 */
int mlimg_store_layer_users(struct mlimg_store *store, const struct mlimg_store_layer *layer,
	mlimg_store_user_fn *fn, void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

/* Tenants. */

/** @return whether it can be a tenant's name: [A-Za-z0-9][A-Za-z0-9._-]{0,62} */
bool mlimg_store_name_is_valid(const char *name);

/** Told of a tenant. @return 0 to go on, negative to stop */
typedef int mlimg_store_tenant_fn(
	const struct mlimg_store_tenant *tenant, void *ctx, struct mlimg_err *err);

/** All tenants by name; as mlimg_store_layer_each(). @p fn may change them. */
int mlimg_store_tenant_each(struct mlimg_store *store, mlimg_store_tenant_fn *fn, void *ctx,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The tenant of that name.
 *
 * @param store       the store
 * @param name        the name
 * @param ret_tenant  the tenant
 * @param err         "no tenant '...'"
 * @return            0, -ENOENT, other -errno
 */
int mlimg_store_tenant_find(struct mlimg_store *store, const char *name,
	struct mlimg_store_tenant *ret_tenant, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Make what a new tenant has.
 *
 * @param dir          its directory, as long as it is being made; empty
 * @param ret_user_id  gets the build id of its user layer
 * @param ctx          the caller's
 * @param err          where to put an error
 * @return             0 when all files are there, and their contents on stable storage; negative
 */
typedef int mlimg_store_fill_fn(
	const char *dir, char ret_user_id[MLIMG_SHA256_HEX_SIZE], void *ctx, struct mlimg_err *err);

/** A tenant to be. */
struct mlimg_store_new {
	const char *name;
	const char *const *layers; /**< build ids of its first generation, bottom first */
	size_t n_layers;           /**< 0: it has none yet */
	mlimg_store_fill_fn *fill;
	/**
	 * What else is to be there with its row, or not at all: called with the tenant in the
	 * transaction that makes it. NULL: nothing.
	 */
	int (*also)(struct mlimg_store *store, const char *id, void *ctx, struct mlimg_err *err);
	void *ctx; /**< handed to @p fill and @p also */
};

/**
 * Create a tenant: directory, row and first generation, which is the current one.
 *
 * @param store       the store
 * @param new_tenant  what it shall be
 * @param ret_tenant  the tenant
 * @param err         -EEXIST: the name is taken; refused are layers that make no stack; of kind
 *                    MLIMG_ERR_USAGE: the name cannot be one
 * @return            0 when all of it is on stable storage; -errno
 */
int mlimg_store_tenant_create(struct mlimg_store *store, const struct mlimg_store_new *new_tenant,
	struct mlimg_store_tenant *ret_tenant, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Give a tenant another name. @return 0, -EEXIST, -ENOENT, other -errno, as of create */
int mlimg_store_tenant_rename(struct mlimg_store *store, const char *name, const char *new_name,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Remove a tenant with its generations; its directory is set aside, as removed/ID. That nothing
 * runs it is for the caller to see.
 *
 * @return 0 when the store has it no more; a directory that could not be set aside, since the disk
 *         is full, still lies in tenants/ID, and is set aside by whoever opens the store next.
 *         -ENOENT, other -errno: it is there still
 */
int mlimg_store_tenant_remove(
	struct mlimg_store *store, const char *name, struct mlimg_err *err) MLIMG_MUST_CHECK;

/* Generations. */

/**
 * Add a generation to a tenant; it is neither current nor pending yet.
 *
 * @param store       the store
 * @param id          the tenant's
 * @param layers      build ids, bottom first
 * @param n_layers    their number
 * @param ret_number  the generation's
 * @param err         names the layer that is not there; refused are layers that make no stack
 * @return            0, -ENOENT, -EUCLEAN, other -errno
 */
int mlimg_store_generation_add(struct mlimg_store *store, const char *id, const char *const *layers,
	size_t n_layers, uint32_t *ret_number, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Make a generation the current one; a pending one that it is, is pending no longer. */
int mlimg_store_generation_set_current(struct mlimg_store *store, const char *id, uint32_t number,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Make a generation the pending one; 0: none is. @return 0, -ENOENT, other -errno */
int mlimg_store_generation_set_pending(struct mlimg_store *store, const char *id, uint32_t number,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * A generation of a tenant.
 *
 * @param store           the store
 * @param id              the tenant's
 * @param number          the generation's
 * @param ret_generation  mlimg_store_generation_done() when done
 * @param err             names both
 * @return                0, -ENOENT, other -errno
 */
int mlimg_store_generation_get(struct mlimg_store *store, const char *id, uint32_t number,
	struct mlimg_store_generation *ret_generation, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Told of a generation. @return 0 to go on, negative to stop */
typedef int mlimg_store_generation_fn(
	const struct mlimg_store_generation *generation, void *ctx, struct mlimg_err *err);

/** All generations of a tenant, by number; as mlimg_store_layer_each(). */
int mlimg_store_generation_each(struct mlimg_store *store, const char *id,
	mlimg_store_generation_fn *fn, void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns; accepts a zeroed one. */
void mlimg_store_generation_done(struct mlimg_store_generation *generation);

/* Events. */

/**
 * Write down what happened.
 *
 * @param store      the store
 * @param object     what it happened to
 * @param object_id  a tenant's id or a layer's build id; need not be there any more
 * @param kind       a word: "started"
 * @param text       for people
 * @param err        names the database
 * @return           0 or -errno
 */
int mlimg_store_event_add(struct mlimg_store *store, enum mlimg_store_object object,
	const char *object_id, const char *kind, const char *text,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Told of an event. @return 0 to go on, negative to stop */
typedef int mlimg_store_event_fn(
	const struct mlimg_store_event *event, void *ctx, struct mlimg_err *err);

/**
 * Events, the newest first.
 *
 * @param store      the store
 * @param object_id  only those of this one; NULL for all
 * @param max        how many at most
 * @param fn         told of each
 * @param ctx        handed to @p fn
 * @param err        names the database
 * @return           0, what @p fn returned when negative, or -errno
 */
int mlimg_store_event_each(struct mlimg_store *store, const char *object_id, uint32_t max,
	mlimg_store_event_fn *fn, void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

/* The whole. */

/** What mlimg_store_gc() and mlimg_store_check() come upon. */
enum mlimg_store_found {
	MLIMG_STORE_UNUSED, /**< a layer that nobody uses: gc removes it */
	MLIMG_STORE_ORPHAN, /**< a file that no row tells of: gc removes it */
	MLIMG_STORE_OLD, /**< events or generations beyond those that are kept: gc removes them */
	MLIMG_STORE_FORMER,  /**< one of these generations */
	MLIMG_STORE_ASIDE,   /**< what a destroyed tenant had, see tenant-removed.h */
	MLIMG_STORE_FOREIGN, /**< what no store makes, or a tenant's without a row: left alone */
	MLIMG_STORE_LOST,    /**< what a row tells of, and is not there */
	MLIMG_STORE_DAMAGED, /**< the database */
};

/** One thing that was found. */
struct mlimg_store_finding {
	enum mlimg_store_found found;
	const struct mlimg_store_layer *layer; /**< of MLIMG_STORE_UNUSED; else NULL */
	const char *what;                      /**< for people: a layer, a path, a message */
	uint64_t size_bytes;                   /**< of the file; 0 of others */
	uint64_t n; /**< of MLIMG_STORE_OLD: how many; of MLIMG_STORE_FORMER: its number */
	const char *tenant_id; /**< of MLIMG_STORE_FORMER and MLIMG_STORE_ASIDE; else NULL */
};

/** Told of a finding. @return 0 to go on, negative to stop */
typedef int mlimg_store_finding_fn(
	const struct mlimg_store_finding *finding, void *ctx, struct mlimg_err *err);

/** What to remove. */
struct mlimg_store_gc {
	bool is_dry;          /**< say what would be removed, and remove nothing */
	bool all;             /**< also the newest layer of each kind and name */
	uint64_t kept_events; /**< the newest ones */
	/** of each tenant's generations that nobody runs or returns to, the newest ones */
	uint64_t kept_former;
	/** told of each layer, base and generation when it is gone, of others before */
	mlimg_store_finding_fn *fn;
	/** whether what a destroyed tenant had is to be taken as gone, where is_dry; NULL: none */
	bool (*is_to_go)(const char *tenant_id, void *ctx);
	void *ctx; /**< handed to these */
};

/**
 * Remove generations that no tenant runs or will run, beyond those that are kept: those of
 * checkpoints and of rollouts that have not ended stay, and the one from which a rollout has led to
 * where a tenant is now. Then layers that no generation has and that are not the newest of their kind and name, unless
 * one that stays lies over them; files that no row tells of; old events. What a living operation
 * makes is let alone, and so is removed/.
 *
 * @return 0 or -errno
 */
int mlimg_store_gc(struct mlimg_store *store, const struct mlimg_store_gc *gc,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Compare database and directory, and look whether the database is sound; no image is read, nothing
 * is changed.
 *
 * @param store  the store
 * @param fn     told of all but MLIMG_STORE_UNUSED, MLIMG_STORE_OLD and MLIMG_STORE_FORMER
 * @param ctx    handed to @p fn
 * @param err    names what could not be read
 * @return       0, what @p fn returned when negative, or -errno
 */
int mlimg_store_check(struct mlimg_store *store, mlimg_store_finding_fn *fn, void *ctx,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
