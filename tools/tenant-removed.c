/* SPDX-License-Identifier: MIT */
#include "tools/tenant-removed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/io.h"
#include "libmlimg/json.h"
#include "libmlimg/remove-tree.h"
#include "tools/ext4-read.h"
#include "tools/nbd-source.h"
#include "tools/store-impl.h"
#include "tools/tenant-show.h"
#include "tools/vm-machine.h"

#define RECORD "tenant.json"
#define DAY_S (24 * 60 * 60)

static const struct option known[] = {MLIMG_TENANT_OPTIONS, {NULL, 0, NULL, 0}};

static void put(json_t *options, const char *name, const char *text)
{
	json_array_append_new(options, json_pack("[s, s]", name, text));
}

static void put_number(json_t *options, const char *name, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	put(options, name, text);
}

static json_t *options_of(const struct mlimg_tenant *t)
{
	const struct mlimg_tenant_settings *s = &t->settings;
	json_t *options = json_array();
	char forward[MLIMG_VM_FORWARD_TEXT];

	put_number(options, "memory", s->memory_bytes);
	put_number(options, "cpus", s->cpus);
	put(options, "accel", mlimg_accel_name(s->accel));
	put(options, "union", mlimg_union_name(s->union_driver));
	put(options, "disks", mlimg_disks_name(s->disks));
	put(options, "verity", mlimg_vm_verity_name(s->verity));
	put(options, "net", s->net ? "user" : "none");
	for (size_t i = 0; i < s->n_forwards; i++)
		put(options, "forward", mlimg_vm_forward_text(&s->forwards[i], forward));
	if (s->append)
		put(options, "append", s->append);
	put_number(options, "boot-timeout", s->boot_timeout_s);
	put(options, "autostart", s->autostart ? "yes" : "no");
	for (size_t i = 0; i < t->n_layers; i++)
		put(options, mlimg_kind_name(t->layers[i].info.kind), t->layers[i].info.build_id);
	return options;
}

/* In its place at once: one that was cut short is written anew before its tenant goes. */
static int write_record(const char *path, const char *text, struct mlimg_err *err)
{
	mlimg_autoclose int fd =
		open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int ret = fd < 0 ? -errno : mlimg_write_all(fd, text, strlen(text));

	if (ret == 0 && fsync(fd) < 0)
		ret = -errno;
	if (ret == 0)
		return 0;
	unlink(path);
	return mlimg_err_set(err, ret, "write '%.300s'", path);
}

int mlimg_removed_write(const struct mlimg_tenant *t, struct mlimg_err *err)
{
	mlimg_autojson json_t *json =
		json_pack("{s:s, s:s, s:I, s:o}", "name", t->row.name, "user_id", t->row.user_id,
			"destroyed", (json_int_t)mlimg_store_now(), "options", options_of(t));
	mlimg_autofree char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	mlimg_autofree char *path = NULL;

	if (!text || asprintf(&path, "%s/" RECORD, t->dir) < 0) {
		path = NULL;
		return mlimg_err_set(err, ENOMEM, "tenant '%s'", t->row.name);
	}
	return write_record(path, text, err);
}

void mlimg_removed_done(struct mlimg_removed *r)
{
	if (r->dir)
		mlimg_cleanup_close(&r->lock);
	json_decref(r->record);
	free(r->dir);
	free(r->disk);
	*r = (struct mlimg_removed){.lock = -1};
}

/* @return 1, 0: there is no such thing, or it is not one of ours; -errno */
static int look(
	struct mlimg_store *store, const char *id, struct mlimg_removed *r, struct mlimg_err *err)
{
	mlimg_autofree char *path = NULL;
	struct stat st;

	if (!mlimg_store_is_hex(id, MLIMG_STORE_ID_SIZE - 1))
		return 0;
	*r = (struct mlimg_removed){.lock = -1};
	memcpy(r->id, id, MLIMG_STORE_ID_SIZE);
	if (asprintf(&r->dir, "%s/removed/%s", mlimg_store_dir(store), id) < 0)
		r->dir = NULL;
	if (!r->dir || asprintf(&r->disk, "%s/" MLIMG_TENANT_DISK, r->dir) < 0) {
		r->disk = NULL;
		return mlimg_err_set(err, ENOMEM, "removed tenants");
	}
	if (asprintf(&path, "%s/" RECORD, r->dir) < 0) {
		path = NULL;
		return mlimg_err_set(err, ENOMEM, "removed tenants");
	}
	if (lstat(r->dir, &st) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	/* When it was renamed to where it is. */
	r->destroyed_s = st.st_ctim.tv_sec;
	if (lstat(path, &st) == 0 || errno != ENOENT) {
		r->record = json_load_file(path, 0, NULL);
		/* One that says nothing is another thing than none. */
		if (!r->record)
			r->record = json_object();
	}
	if (json_is_integer(json_object_get(r->record, "destroyed")))
		r->destroyed_s = json_integer_value(json_object_get(r->record, "destroyed"));
	return 1;
}

typedef int each_fn(struct mlimg_removed *r, void *ctx, struct mlimg_err *err);

static int each(struct mlimg_store *store, each_fn *fn, void *ctx, struct mlimg_err *err)
{
	mlimg_autoclosedir DIR *dir = mlimg_dir_open(store->fds[MLIMG_STORE_REMOVED], ".");
	const struct dirent *entry;
	int ret = 0;

	if (!dir)
		return mlimg_err_set(err, errno, "open '%.300s/removed'", mlimg_store_dir(store));
	while (ret >= 0 && (errno = 0, (entry = readdir(dir)))) {
		struct mlimg_removed r = {.lock = -1};

		ret = strlen(entry->d_name) == MLIMG_STORE_ID_SIZE - 1
			? look(store, entry->d_name, &r, err)
			: 0;
		if (ret > 0)
			ret = fn(&r, ctx, err);
		mlimg_removed_done(&r);
	}
	if (ret == 0 && errno)
		ret = mlimg_err_set(err, errno, "read '%.300s/removed'", mlimg_store_dir(store));
	return ret < 0 ? ret : 0;
}

struct newest {
	const char *name;
	char id[MLIMG_STORE_ID_SIZE];
	int64_t destroyed_s;
};

static int take_newest(struct mlimg_removed *r, void *ctx, struct mlimg_err *err)
{
	const char *name = json_string_value(json_object_get(r->record, "name"));
	struct newest *newest = ctx;

	if (!name || strcmp(name, newest->name) != 0 ||
		(*newest->id && r->destroyed_s < newest->destroyed_s))
		return 0;
	memcpy(newest->id, r->id, sizeof(newest->id));
	newest->destroyed_s = r->destroyed_s;
	return 0;
}

/* @return 1, 0: another command has it; -errno */
static int lock(struct mlimg_removed *r, struct mlimg_err *err)
{
	mlimg_autofree char *path = NULL;

	if (asprintf(&path, "%s/lock", r->dir) < 0) {
		path = NULL;
		return mlimg_err_set(err, ENOMEM, "lock '%.300s'", r->dir);
	}
	r->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	if (r->lock < 0)
		return mlimg_err_set(err, errno, "open '%.300s'", path);
	if (flock(r->lock, LOCK_EX | LOCK_NB) == 0)
		return 1;
	return errno == EWOULDBLOCK ? 0 : mlimg_err_set(err, errno, "lock '%.300s'", path);
}

/*
 * A tenant whose store has lost its database was never destroyed, so nothing is written down of it;
 * which user layer its disk has says the disk.
 */
static int read_user_id(const struct mlimg_removed *r, char ret_user_id[MLIMG_SHA256_HEX_SIZE],
	char ret_name[MLIMG_LAYER_NAME_MAX + 1], struct mlimg_err *err)
{
	mlimg_autoext4 struct mlimg_ext4 *fs = NULL;
	struct mlimg_block_source *source;
	struct mlimg_layer_info info;
	int ret = mlimg_nbd_source_open(r->disk, NULL, &source, err);

	if (ret == 0)
		ret = mlimg_ext4_open_source(source, r->disk, &fs, err);
	if (ret == 0)
		ret = mlimg_ext4_layer_info(fs, &info, err);
	if (ret < 0)
		return ret;
	if (info.kind != MLIMG_USER)
		ret = mlimg_err_refuse(err, "'%.300s' holds no user layer", r->disk);
	memcpy(ret_user_id, info.build_id, MLIMG_SHA256_HEX_SIZE);
	memcpy(ret_name, info.name, sizeof(info.name));
	mlimg_layer_info_done(&info);
	return ret;
}

static int check(struct mlimg_removed *r, struct mlimg_err *err)
{
	const char *user_id = json_string_value(json_object_get(r->record, "user_id"));
	struct mlimg_tenant_disk disk;
	struct stat st;
	int ret;

	if (r->record && (!user_id || !mlimg_store_is_hex(user_id, MLIMG_SHA256_HEX_SIZE - 1)))
		return mlimg_store_fail(
			err, ENOENT, "'%.300s/" RECORD "' does not tell what it was", r->dir);
	ret = mlimg_tenant_disk_look(r->disk, &disk, err);
	if (ret < 0)
		return ret;
	if (lstat(r->disk, &st) < 0 || st.st_nlink != 1)
		return mlimg_store_fail(err, EBUSY,
			"'%.300s' has been brought back already, as a tenant that has this disk",
			r->disk);
	r->size_bytes = disk.size_bytes;
	r->has_base = disk.has_base;
	if (!r->record)
		return read_user_id(r, r->user_id, r->made_for, err);
	snprintf(r->user_id, sizeof(r->user_id), "%s", user_id);
	return 0;
}

int mlimg_removed_find(struct mlimg_store *store, const char *which,
	struct mlimg_removed *ret_removed, struct mlimg_err *err)
{
	struct newest newest = {.name = which};
	struct mlimg_removed *r = ret_removed;
	bool is_id = strlen(which) == MLIMG_STORE_ID_SIZE - 1 &&
		mlimg_store_is_hex(which, MLIMG_STORE_ID_SIZE - 1);
	int ret = is_id ? 0 : each(store, take_newest, &newest, err);

	if (ret == 0)
		ret = is_id || *newest.id ? look(store, is_id ? which : newest.id, r, err) : 0;
	if (ret == 0)
		return mlimg_store_fail(
			err, ENOENT, "no tenant '%.100s' has been destroyed", which);
	if (ret > 0)
		ret = lock(r, err);
	if (ret == 0)
		return mlimg_store_fail(err, EBUSY, "'%.300s' is in use", r->dir);
	return ret < 0 ? ret : check(r, err);
}

static int option_of(const char *name)
{
	for (size_t i = 0; known[i].name; i++)
		if (strcmp(known[i].name, name) == 0)
			return known[i].val;
	return -1;
}

int mlimg_removed_apply(
	const struct mlimg_removed *r, struct mlimg_tenant_given *given, struct mlimg_err *err)
{
	const unsigned given_options = given->options;
	const bool has_layers = !mlimg_stack_wish_is_empty(&given->wish);
	const json_t *pair;
	size_t i;
	int ret = 0;

	if (!r->record && !has_layers)
		return mlimg_store_fail(err, ENOENT,
			"'%.300s' does not tell on which layers it ran; its disk was made for "
			"'%s': "
			"say --system, and its software",
			r->dir, r->made_for);
	json_array_foreach(json_object_get(r->record, "options"), i, pair)
	{
		const char *name = json_string_value(json_array_get(pair, 0));
		const char *text = json_string_value(json_array_get(pair, 1));
		int option = name && text ? option_of(name) : -1;
		bool is_setting = option >= 0 && option <= MLIMG_TENANT_OPT_AUTOSTART;

		if (option < 0)
			return mlimg_store_fail(err, EINVAL,
				"'%.300s/" RECORD "': option %zu is not known", r->dir, i);
		if (is_setting ? given_options & 1u << (option - MLIMG_TENANT_OPT_MEMORY)
			       : has_layers)
			continue;
		ret = mlimg_tenant_given_take(given, option, text, err);
		if (ret < 0)
			return mlimg_err_wrap(err, ret, "'%.300s/" RECORD "'", r->dir);
	}
	return ret;
}

int mlimg_removed_link(const struct mlimg_removed *r, const char *dir, struct mlimg_err *err)
{
	mlimg_autofree char *path = NULL;

	if (asprintf(&path, "%s/" MLIMG_TENANT_DISK, dir) < 0) {
		path = NULL;
		return mlimg_err_set(err, ENOMEM, "bring back '%.300s'", r->dir);
	}
	return link(r->disk, path) < 0 ? mlimg_err_set(err, errno, "bring back '%.300s'", r->disk)
				       : 0;
}

int mlimg_removed_remove(
	struct mlimg_store *store, const struct mlimg_removed *r, struct mlimg_err *err)
{
	int ret = mlimg_remove_tree(store->fds[MLIMG_STORE_REMOVED], r->id);

	return ret < 0 ? mlimg_err_set(err, ret, "remove '%.300s'", r->dir) : 0;
}

struct removing {
	struct mlimg_store *store;
	const struct mlimg_store_gc *gc;
	int64_t before_s;
};

static int remove_old(struct mlimg_removed *r, void *ctx, struct mlimg_err *err)
{
	const char *name = json_string_value(json_object_get(r->record, "name"));
	struct removing *removing = ctx;
	struct mlimg_store_finding finding = {.found = MLIMG_STORE_ASIDE, .tenant_id = r->id};
	struct stat st;
	char what[192];
	int ret;

	if (r->destroyed_s > removing->before_s)
		return 0;
	ret = lock(r, err);
	if (ret <= 0)
		return ret;
	/* The blocks of one that was brought back are another's. */
	if (lstat(r->disk, &st) == 0 && st.st_nlink == 1)
		finding.size_bytes = (uint64_t)st.st_blocks * 512;
	snprintf(what, sizeof(what), "removed/%s%s%.100s", r->id, name ? ", tenant " : "",
		name ? name : "");
	finding.what = what;
	ret = removing->gc->is_dry ? 0 : mlimg_removed_remove(removing->store, r, err);
	return ret < 0 ? ret : removing->gc->fn(&finding, removing->gc->ctx, err);
}

int mlimg_removed_gc(struct mlimg_store *store, const struct mlimg_store_gc *gc, uint64_t days,
	struct mlimg_err *err)
{
	struct removing removing = {
		.store = store, .gc = gc, .before_s = mlimg_store_now() - (int64_t)days * DAY_S};

	return each(store, remove_old, &removing, err);
}
