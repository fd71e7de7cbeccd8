/* SPDX-License-Identifier: MIT */
/* The tables of the store (store.h), and how an older database becomes a newer one. */
#include "tools/store-impl.h"

#include <stdio.h>

#define HEX4 "[0-9a-f][0-9a-f][0-9a-f][0-9a-f]"
#define HEX16 HEX4 HEX4 HEX4 HEX4
#define TENANT_ID " GLOB '" HEX16 HEX16 "')"
#define BUILD_ID " GLOB '" HEX16 HEX16 HEX16 HEX16 "')"

/* A step that has been released is never changed: what is to be different is a step of its own. */
const char *const mlimg_store_schema[] = {
	"CREATE TABLE layer ("
	" number INTEGER PRIMARY KEY,"
	" build_id TEXT NOT NULL UNIQUE CHECK (build_id" BUILD_ID ","
	" kind TEXT NOT NULL CHECK (kind IN ('system', 'software', 'patch')),"
	" name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 64),"
	" version TEXT NOT NULL CHECK (length(version) BETWEEN 1 AND 64),"
	" base_id TEXT NOT NULL CHECK ((kind = 'patch') = (base_id <> '')),"
	" result_id TEXT NOT NULL CHECK ((kind = 'patch') = (result_id <> '')),"
	" over_ids TEXT NOT NULL CHECK (kind = 'software' OR over_ids = ''),"
	" size_bytes INTEGER NOT NULL CHECK (size_bytes > 0),"
	" root_hash TEXT CHECK (root_hash" BUILD_ID ","
	" added_s INTEGER NOT NULL,"
	" UNIQUE (kind, name, version, base_id, over_ids)"
	") STRICT;"
	"CREATE TABLE tenant ("
	" id TEXT NOT NULL PRIMARY KEY CHECK (id" TENANT_ID ","
	" name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 63"
	"  AND name NOT GLOB '*[^A-Za-z0-9._-]*' AND name GLOB '[A-Za-z0-9]*'),"
	" user_id TEXT NOT NULL CHECK (user_id" BUILD_ID ","
	" created_s INTEGER NOT NULL,"
	" last_number INTEGER NOT NULL DEFAULT 0 CHECK (last_number >= 0),"
	" current INTEGER,"
	" pending INTEGER,"
	" FOREIGN KEY (id, current) REFERENCES generation (tenant_id, number)"
	"  DEFERRABLE INITIALLY DEFERRED,"
	" FOREIGN KEY (id, pending) REFERENCES generation (tenant_id, number)"
	"  DEFERRABLE INITIALLY DEFERRED"
	") STRICT;"
	"CREATE TABLE generation ("
	" tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,"
	" number INTEGER NOT NULL CHECK (number > 0),"
	" system_id TEXT NOT NULL CHECK (system_id" BUILD_ID ","
	" added_s INTEGER NOT NULL,"
	" PRIMARY KEY (tenant_id, number)"
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE generation_layer ("
	" tenant_id TEXT NOT NULL,"
	" number INTEGER NOT NULL,"
	" position INTEGER NOT NULL CHECK (position >= 0),"
	" build_id TEXT NOT NULL REFERENCES layer (build_id) ON DELETE RESTRICT,"
	" PRIMARY KEY (tenant_id, number, position),"
	" FOREIGN KEY (tenant_id, number) REFERENCES generation (tenant_id, number)"
	"  ON DELETE CASCADE"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX generation_layer_of ON generation_layer (build_id);"
	"CREATE TABLE event ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" time_s INTEGER NOT NULL,"
	" object TEXT NOT NULL CHECK (object IN ('tenant', 'layer')),"
	" object_id TEXT NOT NULL,"
	" kind TEXT NOT NULL CHECK (length(kind) BETWEEN 1 AND 64),"
	" text TEXT NOT NULL"
	") STRICT;"
	"CREATE INDEX event_of ON event (object_id);"
	"CREATE TABLE operation ("
	" token TEXT NOT NULL PRIMARY KEY CHECK (token" TENANT_ID ","
	" kind TEXT NOT NULL CHECK (kind IN"
	"  ('add-layer', 'remove-layer', 'add-tenant', 'remove-tenant')),"
	" object_id TEXT NOT NULL CHECK (object_id NOT GLOB '*[^0-9a-f]*'"
	"  AND length(object_id) IN (32, 64)),"
	" started_s INTEGER NOT NULL"
	") STRICT;",
	/* How a tenant's machine is made (tenant.h), and since when it runs. */
	"ALTER TABLE tenant ADD COLUMN memory_bytes INTEGER NOT NULL DEFAULT 1073741824"
	" CHECK (memory_bytes > 0);"
	"ALTER TABLE tenant ADD COLUMN cpus INTEGER NOT NULL DEFAULT 1 CHECK (cpus > 0);"
	"ALTER TABLE tenant ADD COLUMN accel TEXT NOT NULL DEFAULT 'auto'"
	" CHECK (accel IN ('auto', 'kvm', 'tcg'));"
	"ALTER TABLE tenant ADD COLUMN union_driver TEXT NOT NULL DEFAULT 'auto'"
	" CHECK (union_driver IN ('auto', 'index', 'overlay', 'unionfs'));"
	"ALTER TABLE tenant ADD COLUMN disks TEXT NOT NULL DEFAULT 'separate'"
	" CHECK (disks IN ('joined', 'separate'));"
	"ALTER TABLE tenant ADD COLUMN verity TEXT NOT NULL DEFAULT 'off'"
	" CHECK (verity IN ('off', 'hash', 'require'));"
	"ALTER TABLE tenant ADD COLUMN net TEXT NOT NULL DEFAULT 'user'"
	" CHECK (net IN ('user', 'none'));"
	"ALTER TABLE tenant ADD COLUMN forwards TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE tenant ADD COLUMN append TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE tenant ADD COLUMN boot_timeout_s INTEGER NOT NULL DEFAULT 300"
	" CHECK (boot_timeout_s > 0);"
	"ALTER TABLE tenant ADD COLUMN run_s INTEGER CHECK (run_s > 0);",
	"CREATE TABLE host ("
	" name TEXT NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 63"
	"  AND name NOT GLOB '*[^A-Za-z0-9._-]*' AND name GLOB '[A-Za-z0-9]*'),"
	" uri TEXT NOT NULL UNIQUE CHECK (length(uri) BETWEEN 1 AND 1023),"
	" pool_path TEXT NOT NULL CHECK (pool_path = '' OR pool_path GLOB '/*'),"
	" network TEXT NOT NULL,"
	" added_s INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE volume ("
	" host TEXT NOT NULL REFERENCES host (name) ON DELETE CASCADE,"
	" name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 127),"
	" digest TEXT NOT NULL CHECK (digest" BUILD_ID ","
	" size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),"
	" mark TEXT NOT NULL,"
	" checked_s INTEGER NOT NULL,"
	" PRIMARY KEY (host, name)"
	") STRICT, WITHOUT ROWID;"
	"ALTER TABLE tenant ADD COLUMN host TEXT REFERENCES host (name);",
	/* Checkpoints (store-checkpoint.h). A tenant's are gone before its generations are missed. */
	"CREATE TABLE checkpoint ("
	" number INTEGER PRIMARY KEY AUTOINCREMENT,"
	" tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,"
	" tag TEXT NOT NULL CHECK (length(tag) BETWEEN 1 AND 63"
	"  AND tag NOT GLOB '*[^A-Za-z0-9._-]*' AND tag GLOB '[A-Za-z0-9]*'),"
	" kind TEXT NOT NULL CHECK (kind IN ('memory', 'disk')),"
	" origin TEXT NOT NULL CHECK (origin IN ('named', 'timed', 'restore')),"
	" state TEXT NOT NULL CHECK (state IN ('saving', 'saved', 'restoring', 'deleting')),"
	" generation INTEGER NOT NULL,"
	" memory_bytes INTEGER NOT NULL CHECK ((memory_bytes > 0) = (kind = 'memory')),"
	" cpus INTEGER NOT NULL CHECK ((cpus > 0) = (kind = 'memory')),"
	" machine TEXT NOT NULL CHECK (length(machine) < 512),"
	" saved_bytes INTEGER NOT NULL CHECK (saved_bytes >= 0),"
	" created_s INTEGER NOT NULL,"
	" UNIQUE (tenant_id, tag),"
	" FOREIGN KEY (tenant_id, generation) REFERENCES generation (tenant_id, number)"
	"  DEFERRABLE INITIALLY DEFERRED"
	") STRICT;",
	/* Of a tenant that was copied from another one: see tenant.h. */
	"ALTER TABLE tenant ADD COLUMN identity TEXT NOT NULL DEFAULT '';",
	/* Bases (store-base.h), and one more kind of operation. */
	"CREATE TABLE base ("
	" id TEXT NOT NULL PRIMARY KEY CHECK (id" TENANT_ID ","
	" over_id TEXT REFERENCES base (id),"
	" added_s INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE base_use ("
	" tenant_id TEXT NOT NULL PRIMARY KEY CHECK (tenant_id" TENANT_ID ","
	" base_id TEXT NOT NULL REFERENCES base (id)"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX base_use_of ON base_use (base_id);"
	"ALTER TABLE operation RENAME TO operation_before;"
	"CREATE TABLE operation ("
	" token TEXT NOT NULL PRIMARY KEY CHECK (token" TENANT_ID ","
	" kind TEXT NOT NULL CHECK (kind IN ('add-layer', 'remove-layer', 'add-tenant',"
	"  'remove-tenant', 'link-disk')),"
	" object_id TEXT NOT NULL CHECK (object_id NOT GLOB '*[^0-9a-f]*'"
	"  AND length(object_id) IN (32, 64)),"
	" started_s INTEGER NOT NULL"
	") STRICT;"
	"INSERT INTO operation SELECT * FROM operation_before;"
	"DROP TABLE operation_before;",
	/* Rollouts (store-rollout.h). A tenant may be gone before its rollout. */
	"CREATE TABLE rollout ("
	" number INTEGER PRIMARY KEY AUTOINCREMENT,"
	" undoes INTEGER,"
	" target TEXT NOT NULL CHECK (length(target) < 400),"
	" state TEXT NOT NULL"
	"  CHECK (state IN ('running', 'paused', 'stopped', 'aborted', 'done')),"
	" request TEXT NOT NULL DEFAULT '' CHECK (request IN ('', 'pause', 'abort')),"
	" policy TEXT NOT NULL,"
	" waves TEXT NOT NULL CHECK (length(waves) BETWEEN 1 AND 127),"
	" at_once INTEGER NOT NULL CHECK (at_once > 0),"
	" health_s INTEGER NOT NULL CHECK (health_s > 0),"
	" max_failures INTEGER NOT NULL CHECK (max_failures >= 0),"
	" forgiven INTEGER NOT NULL DEFAULT 0 CHECK (forgiven >= 0),"
	" created_s INTEGER NOT NULL,"
	" ended_s INTEGER,"
	" CHECK ((ended_s IS NULL) = (state IN ('running', 'paused', 'stopped')))"
	") STRICT;"
	"CREATE TABLE rollout_tenant ("
	" rollout INTEGER NOT NULL REFERENCES rollout (number) ON DELETE CASCADE,"
	" position INTEGER NOT NULL CHECK (position >= 0),"
	" tenant_id TEXT NOT NULL CHECK (tenant_id" TENANT_ID ","
	" name TEXT NOT NULL,"
	" wave INTEGER NOT NULL CHECK (wave >= 0),"
	" place TEXT NOT NULL CHECK (place IN ('waiting', 'checkpoint', 'switch', 'hold', 'undo',"
	"  'restart', 'check', 'back', 'recheck', 'restore', 'lastcheck', 'done', 'off',"
	"  'returned', 'failed', 'skipped')),"
	" is_lost INTEGER NOT NULL DEFAULT 0 CHECK (is_lost IN (0, 1)),"
	" attempt INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),"
	" from_number INTEGER NOT NULL,"
	" to_number INTEGER NOT NULL,"
	" since_s INTEGER NOT NULL,"
	" baseline TEXT NOT NULL DEFAULT '',"
	" text TEXT NOT NULL DEFAULT '',"
	" PRIMARY KEY (rollout, position),"
	" UNIQUE (rollout, tenant_id)"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX rollout_tenant_of ON rollout_tenant (tenant_id);",
	/* Whether a tenant starts with its host (tenant.h). */
	"ALTER TABLE tenant ADD COLUMN autostart TEXT NOT NULL"
	" DEFAULT 'no'"
	" CHECK (autostart IN ('yes', 'no'));",
	/* One more origin of checkpoints. Which of those that are there have it tell name and time. */
	"ALTER TABLE checkpoint RENAME TO checkpoint_before;"
	"CREATE TABLE checkpoint ("
	" number INTEGER PRIMARY KEY AUTOINCREMENT,"
	" tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,"
	" tag TEXT NOT NULL CHECK (length(tag) BETWEEN 1 AND 63"
	"  AND tag NOT GLOB '*[^A-Za-z0-9._-]*' AND tag GLOB '[A-Za-z0-9]*'),"
	" kind TEXT NOT NULL CHECK (kind IN ('memory', 'disk')),"
	" origin TEXT NOT NULL CHECK (origin IN ('named', 'timed', 'restore', 'upgrade')),"
	" state TEXT NOT NULL CHECK (state IN ('saving', 'saved', 'restoring', 'deleting')),"
	" generation INTEGER NOT NULL,"
	" memory_bytes INTEGER NOT NULL CHECK ((memory_bytes > 0) = (kind = 'memory')),"
	" cpus INTEGER NOT NULL CHECK ((cpus > 0) = (kind = 'memory')),"
	" machine TEXT NOT NULL CHECK (length(machine) < 512),"
	" saved_bytes INTEGER NOT NULL CHECK (saved_bytes >= 0),"
	" created_s INTEGER NOT NULL,"
	" UNIQUE (tenant_id, tag),"
	" FOREIGN KEY (tenant_id, generation) REFERENCES generation (tenant_id, number)"
	"  DEFERRABLE INITIALLY DEFERRED"
	") STRICT;"
	"INSERT INTO checkpoint SELECT number, tenant_id, tag, kind,"
	" CASE WHEN origin = 'named' AND EXISTS (SELECT 1 FROM rollout r, rollout_tenant t"
	"  WHERE t.rollout = r.number AND t.tenant_id = c.tenant_id"
	"  AND c.tag = 'before-upgrade-' || r.number AND c.created_s >= r.created_s)"
	"  THEN 'upgrade' ELSE origin END,"
	" state, generation, memory_bytes, cpus, machine, saved_bytes, created_s"
	" FROM checkpoint_before c;"
	"DROP TABLE checkpoint_before;",
	/* Which boot a tenant of a rollout was in when it was saved (rollout.h). */
	"ALTER TABLE rollout_tenant ADD COLUMN boot TEXT NOT NULL DEFAULT '';",
};

const size_t mlimg_store_schema_n = sizeof(mlimg_store_schema) / sizeof(mlimg_store_schema[0]);

static int get(struct mlimg_db *db, const char *sql, int64_t *ret_number, struct mlimg_err *err)
{
	int ret = mlimg_db_get(db, sql, MLIMG_DB_NO_VALUES, ret_number, err);

	return ret < 0 ? ret : 0;
}

int mlimg_store_schema_look(struct mlimg_db *db, const char *path, size_t newest,
	enum mlimg_store_state *ret_state, struct mlimg_err *err)
{
	int64_t application = 0, version = 0, n_tables = 0;
	int ret = get(db, "PRAGMA application_id", &application, err);

	if (ret == 0)
		ret = get(db, "PRAGMA user_version", &version, err);
	if (ret == 0)
		ret = get(db, "SELECT count(*) FROM sqlite_schema", &n_tables, err);
	if (ret < 0)
		return ret;
	if (application == 0 && version == 0 && n_tables == 0) {
		*ret_state = MLIMG_STORE_BLANK;
		return 0;
	}
	if (application != MLIMG_STORE_APPLICATION || version < 1)
		return mlimg_err_refuse(err, "'%.300s' is no store's database", path);
	if ((uint64_t)version > newest)
		return mlimg_err_refuse(err,
			"'%.300s' has schema %lld, this program knows %zu: use a newer one", path,
			(long long)version, newest);
	*ret_state = (uint64_t)version < newest ? MLIMG_STORE_OLDER : MLIMG_STORE_READY;
	return 0;
}

/* Application id and schema are in the file's header, and part of the transaction. */
static int bring_one(
	struct mlimg_db *db, const char *const steps[], size_t number, struct mlimg_err *err)
{
	char header[96];
	int ret = mlimg_db_begin(db, err);

	if (ret < 0)
		return ret;
	snprintf(header, sizeof(header), "PRAGMA application_id = %d; PRAGMA user_version = %zu;",
		MLIMG_STORE_APPLICATION, number);
	ret = mlimg_db_script(db, steps[number - 1], err);
	if (ret == 0)
		ret = mlimg_db_script(db, header, err);
	return mlimg_db_finish(db, ret, err);
}

int mlimg_store_schema_bring(
	struct mlimg_db *db, const char *const steps[], size_t n, struct mlimg_err *err)
{
	int64_t version = 0;
	int ret = get(db, "PRAGMA user_version", &version, err);

	/* Kept in the file's header; not allowed within a transaction. */
	if (ret == 0 && version == 0)
		ret = mlimg_db_script(db, "PRAGMA journal_mode = WAL", err);
	for (size_t i = (size_t)version + 1; ret == 0 && i <= n; i++)
		ret = bring_one(db, steps, i, err);
	return ret;
}
