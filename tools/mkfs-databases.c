/* SPDX-License-Identifier: MIT */
#include "tools/mkfs-databases.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/dpkg-version.h"
#include "tools/compose-images.h"
#include "tools/dpkg-status.h"
#include "tools/ext4-data.h"

#define SHLIBS "var/lib/dpkg/info/%s%s%s.shlibs" /* PACKAGE, or PACKAGE:ARCHITECTURE */

/* ---- what lies beneath ---- */

int mlimg_databases_beneath(const struct mlimg_beneath *beneath, const char *path, char **ret_text,
	size_t *ret_size, struct mlimg_err *err)
{
	struct mlimg_compose_images c = {.layers.n = 0};

	for (size_t i = 0; i < mlimg_beneath_n(beneath); i++)
		mlimg_compose_images_push(&c, mlimg_beneath_image(beneath, i),
			mlimg_beneath_info(beneath, i), mlimg_beneath_layer(beneath, i));
	return mlimg_compose_text(&c.layers, path, ret_text, ret_size, err);
}

/* ---- packages that are older ---- */

static bool has_libraries(const struct mlimg_beneath *b, const struct mlimg_package *p)
{
	mlimg_autofree char *plain = NULL, *full = NULL;

	if (asprintf(&plain, SHLIBS, p->name, "", "") < 0 ||
		asprintf(&full, SHLIBS, p->name, ":", p->architecture) < 0)
		return true; /* no memory: look at its version */
	return mlimg_beneath_find(b, plain) || mlimg_beneath_find(b, full);
}

static int compare_packages(const struct mlimg_beneath *b, const struct mlimg_packages *old,
	const struct mlimg_packages *fresh, struct mlimg_err *err)
{
	size_t i = 0;

	for (size_t k = 0; k < fresh->n_packages; k++) {
		const struct mlimg_package *now = &fresh->packages[k], *was;

		while (i < old->n_packages && mlimg_package_cmp(&old->packages[i], now) < 0)
			i++;
		was = i < old->n_packages ? &old->packages[i] : NULL;
		if (was && mlimg_package_cmp(was, now) == 0 &&
			mlimg_dpkg_version_cmp(now->version, was->version) < 0 &&
			has_libraries(b, was))
			return mlimg_err_refuse(err,
				"package %.80s is %.80s, but %.80s beneath: its shared libraries "
				"would be older (rule older-library)",
				now->name, now->version, was->version);
	}
	return 0;
}

/* Both texts are cut into strings. */
static int check_packages(
	const struct mlimg_beneath *b, char *old_text, char *fresh_text, struct mlimg_err *err)
{
	struct mlimg_packages old = {.n_packages = 0}, fresh = {.n_packages = 0};
	int r = mlimg_dpkg_status_parse(old_text, &old);

	if (r == 0)
		r = mlimg_dpkg_status_parse(fresh_text, &fresh);
	r = r < 0 ? mlimg_err_set(err, r, "packages") : compare_packages(b, &old, &fresh, err);
	free(old.packages);
	free(fresh.packages);
	return r;
}

/* ---- the sources' databases ---- */

static int compare(struct mlimg_database *d, struct mlimg_file *file, const struct mlimg_beneath *b,
	const struct mlimg_rules *rules, struct mlimg_err *err)
{
	mlimg_autofree char *old = NULL;
	size_t old_size;
	int r = mlimg_databases_beneath(b, d->path, &old, &old_size, err);

	if (r == 0)
		r = mlimg_records_diff(mlimg_records_form_of(d->path),
			(struct mlimg_records_text){old, old_size},
			(struct mlimg_records_text){file->bytes, file->size_bytes}, &d->records,
			&d->size, &d->sums, err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "'%s' cannot be kept as records (rule %s)", d->path,
			mlimg_rule_name(mlimg_rule_of_records(d->path)));
	if (strcmp(d->path, MLIMG_DPKG_STATUS) != 0 ||
		!mlimg_rules_has(rules, MLIMG_RULE_OLDER_LIBRARY))
		return 0;
	return check_packages(b, old, file->bytes, err);
}

/* What a rule lets be captured, but was not: it is too large, or was read by another name. */
static int refuse(const char *path, const struct mlimg_inode *inode, struct mlimg_err *err)
{
	if (inode->nlink > 1)
		return mlimg_err_refuse(err,
			"'%s' cannot be kept as records (rule %s): it has several names", path,
			mlimg_rule_name(mlimg_rule_of_records(path)));
	return mlimg_err_refuse(err, "'%s' cannot be kept as records (rule %s): more than %u bytes",
		path, mlimg_rule_name(mlimg_rule_of_records(path)), MLIMG_RECORDS_SIZE_MAX);
}

static int take(struct mlimg_databases *dbs, const char *path, struct mlimg_inode *inode,
	const struct mlimg_beneath *b, const struct mlimg_rules *rules, struct mlimg_err *err)
{
	struct mlimg_database *d;

	if (inode->nlink > 1 || !inode->file->is_captured)
		return refuse(path, inode, err);
	if (mlimg_buffer_reserve(&dbs->list, &dbs->room, (dbs->n + 1) * sizeof(*dbs->list)) < 0)
		return mlimg_err_set(err, ENOMEM, "'%s'", path);
	d = &dbs->list[dbs->n];
	*d = (struct mlimg_database){.path = strdup(path)};
	if (!d->path)
		return mlimg_err_set(err, ENOMEM, "'%s'", path);
	dbs->n++;
	return compare(d, inode->file, b, rules, err);
}

static void unlink_node(struct mlimg_node *node)
{
	struct mlimg_node **link = &node->parent->inode->entries;

	while (*link != node)
		link = &(*link)->next;
	*link = node->next;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(
		((const struct mlimg_database *)a)->path, ((const struct mlimg_database *)b)->path);
}

int mlimg_databases_take(struct mlimg_node *top, const struct mlimg_beneath *beneath,
	const struct mlimg_rules *rules, struct mlimg_databases *ret_databases,
	struct mlimg_err *err)
{
	char path[MLIMG_PATH_MAX + 1];
	struct mlimg_node *next;
	int r = 0;

	*ret_databases = (struct mlimg_databases){.n = 0};
	for (struct mlimg_node *n = top; n && r == 0; n = next) {
		const char *p;

		next = mlimg_tree_next(n, top);
		if (n->inode->type != MLIMG_FILE)
			continue;
		p = mlimg_node_path(n, top, path, sizeof(path));
		if (mlimg_records_form_of(p) == MLIMG_RECORDS_NONE ||
			!mlimg_rules_has(rules, mlimg_rule_of_records(p)))
			continue;
		r = take(ret_databases, p, n->inode, beneath, rules, err);
		unlink_node(n);
	}
	if (r == 0 && ret_databases->n)
		qsort(ret_databases->list, ret_databases->n, sizeof(*ret_databases->list), by_path);
	return r;
}

const struct mlimg_database *mlimg_databases_find(
	const struct mlimg_databases *databases, const char *path)
{
	for (size_t i = 0; i < databases->n; i++)
		if (strcmp(databases->list[i].path, path) == 0)
			return &databases->list[i];
	return NULL;
}

/* ---- into the image ---- */

static int put(struct mlimg_tree *tree, struct mlimg_node *dir, const char *name, size_t size,
	enum mlimg_type type, struct mlimg_node **ret_node, struct mlimg_err *err)
{
	char copy[MLIMG_NAME_MAX + 1];
	struct mlimg_entry entry = {.path = copy,
		.type = (uint8_t)type,
		.mode = type == MLIMG_DIR ? 0755 : 0644,
		.nlink = 1};
	int r;

	*ret_node = mlimg_tree_child(tree, dir, name, size);
	if (*ret_node)
		return 0;
	memcpy(copy, name, size);
	copy[size] = '\0';
	r = mlimg_tree_put(tree, dir, copy, &entry, ret_node, err);
	if (r == 0)
		(*ret_node)->inode->is_implied = true; /* it gets the image's time */
	return r;
}

static int write_one(const struct mlimg_database *d, struct mlimg_tree *tree,
	struct mlimg_node *dir, struct mlimg_data *data, struct mlimg_layer_info *info,
	struct mlimg_err *err)
{
	char hex[MLIMG_SHA256_HEX_SIZE];
	struct mlimg_file *file;
	const char *name = d->path, *slash;
	struct mlimg_node *node;
	int r = 0;

	for (; r == 0 && (slash = strchr(name, '/')); name = slash + 1)
		r = put(tree, dir, name, (size_t)(slash - name), MLIMG_DIR, &dir, err);
	if (r == 0)
		r = put(tree, dir, name, strlen(name), MLIMG_FILE, &node, err);
	if (r < 0)
		return r;
	/* Passwords are nobody's to read. */
	if (mlimg_records_is_secret(d->path))
		node->inode->mode = 0600;
	file = node->inode->file;
	mlimg_data_begin(data, file, true);
	r = mlimg_data_write(data, d->records, d->size, err);
	if (r == 0)
		r = mlimg_data_end(data, err);
	if (r == 0)
		r = mlimg_data_sync(data, NULL, err);
	if (r < 0)
		return r;
	mlimg_sha256_hex(file->digest, hex);
	return mlimg_layer_add_records(info, d->path, hex, err);
}

int mlimg_databases_write(const struct mlimg_databases *databases, struct mlimg_tree *tree,
	struct mlimg_node *own, struct mlimg_data *data, struct mlimg_layer_info *info,
	struct mlimg_err *err)
{
	struct mlimg_node *dir = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < databases->n; i++) {
		if (!databases->list[i].size)
			continue;
		r = put(tree, own, "records", strlen("records"), MLIMG_DIR, &dir, err);
		if (r == 0)
			r = write_one(&databases->list[i], tree, dir, data, info, err);
	}
	return r;
}

void mlimg_databases_report(const struct mlimg_databases *databases, FILE *f)
{
	for (size_t i = 0; i < databases->n; i++) {
		const struct mlimg_database *d = &databases->list[i];

		if (d->size)
			fprintf(f, "records of %s: %zu new or changed, %zu gone\n", d->path,
				d->sums.changed, d->sums.gone);
	}
}

void mlimg_databases_done(struct mlimg_databases *databases)
{
	for (size_t i = 0; i < databases->n; i++) {
		free(databases->list[i].path);
		free(databases->list[i].records);
	}
	free(databases->list);
	*databases = (struct mlimg_databases){.n = 0};
}
