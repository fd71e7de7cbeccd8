/* SPDX-License-Identifier: MIT */
#include "tools/mkfs-over.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/dpkg-version.h"
#include "libmlimg/path.h"
#include "tools/mkfs-compare.h"
#include "tools/source-tree.h"

struct over {
	struct mlimg_compare c;
	const struct mlimg_rules *rules;
	struct mlimg_over *result;
	uint64_t n_lost; /* entries beneath that the sources do not have */
};

/* ---- opaque directories ---- */

static bool is_opaque(const struct over *o, const struct mlimg_node *node)
{
	return node->inode->type == MLIMG_DIR && node->sealed && node != o->c.top;
}

/* The node behind @dir and all that is in it. */
static struct mlimg_node *behind(const struct over *o, struct mlimg_node *dir)
{
	struct mlimg_node *n = dir;

	while (n != o->c.top && !n->next)
		n = n->parent;
	return n == o->c.top ? NULL : n->next;
}

/* Opaque directories with all that is in them. The names of a file stay together. */
static void keep_opaque(struct over *o)
{
	struct mlimg_node *next;

	for (struct mlimg_node *n = o->c.top; n; n = next) {
		struct mlimg_node *end;

		next = mlimg_tree_next(n, o->c.top);
		if (!is_opaque(o, n))
			continue;
		end = behind(o, n);
		for (struct mlimg_node *in = n; in != end; in = mlimg_tree_next(in, o->c.top)) {
			mlimg_compare_keep(in);
			if (in->inode->hardlink)
				o->c.groups[in->inode->hardlink].has_changed = true;
		}
		next = end;
	}
}

/* ---- the comparison ---- */

/* Whether what the sources lack at the path of @old shall be gone. */
static bool is_gone(const struct over *o, const struct mlimg_entry *old)
{
	enum mlimg_rule rule;

	return !o->result->is_partial &&
		mlimg_rules_judge(o->rules, old, &rule) != MLIMG_LEAVE_OUT &&
		!mlimg_databases_find(&o->result->databases, old->path);
}

static int lose(struct over *o, const struct mlimg_entry *old, size_t n_entries)
{
	if (!is_gone(o, old))
		return 0;
	o->n_lost += n_entries;
	o->result->n_whiteouts++;
	return mlimg_compare_whiteout(&o->c, old);
}

static bool differs(
	const struct over *o, const struct mlimg_node *node, const struct mlimg_entry *old)
{
	struct mlimg_entry entry;

	if (node->inode->type != MLIMG_DIR || old->type != MLIMG_DIR)
		return mlimg_compare_differs(&o->c, node, old);
	mlimg_inode_entry(node->inode, old->path, &entry);
	return !mlimg_entry_has_same_attrs(&entry, old);
}

/* Both have something at a path. Moves on in both trees. */
static void compare_one(struct over *o, struct mlimg_node **node, size_t *at)
{
	const struct mlimg_manifest *m = o->c.old;
	struct mlimg_node *n = *node;
	bool is_dir = n->inode->type == MLIMG_DIR;
	size_t end = mlimg_compare_after(m, *at);

	*node = mlimg_tree_next(n, o->c.top);
	if (is_dir && is_opaque(o, n)) {
		*node = behind(o, n); /* keep_opaque() has seen to it */
		*at = end;
		return;
	}
	if (n->is_mount && m->entries[*at].type == MLIMG_DIR) {
		*at = end;
		return;
	}
	if (differs(o, n, &m->entries[*at]))
		mlimg_compare_keep(n);
	if (!is_dir)
		o->n_lost += end - *at - 1;
	*at = is_dir ? *at + 1 : end;
}

/* Both trees side by side, in the order of manifests. */
static int compare_trees(struct over *o)
{
	const struct mlimg_manifest *m = o->c.old;
	struct mlimg_node *node = o->c.top;
	size_t at = 0;
	int r = 0;

	while (r == 0 && (node || at < m->n_entries)) {
		const struct mlimg_entry *old = at < m->n_entries ? &m->entries[at] : NULL;
		int order = !node ? 1
			: !old
			? -1
			: mlimg_manifest_path_cmp(mlimg_compare_path(&o->c, node), old->path);

		if (order > 0) {
			size_t end = mlimg_compare_after(m, at);

			r = lose(o, old, end - at);
			at = end;
		} else if (order < 0) {
			mlimg_compare_keep(node);
			node = mlimg_tree_next(node, o->c.top);
		} else {
			compare_one(o, &node, &at);
		}
	}
	mlimg_compare_keep(o->c.top);
	return r;
}

static int check_deletions(const struct over *o)
{
	uint64_t n = o->c.old->n_entries - 1; /* the root is always there */

	if (!mlimg_rules_has(o->rules, MLIMG_RULE_MASS_DELETION) || o->result->is_partial ||
		o->n_lost <= n / 2)
		return 0;
	return mlimg_err_refuse(o->c.err,
		"%" PRIu64 " of the %" PRIu64
		" entries beneath are not in the sources (rule mass-deletion): give --partial if "
		"they hold additions only",
		o->n_lost, n);
}

/* ---- libraries ---- */

/* "libfoo.so.1.2" of a path: where the version begins. @return NULL: it is no such name */
static const char *version_of(const char *path, const char **ret_name)
{
	const char *name = mlimg_path_name(path);
	const char *so = strstr(name, ".so.");

	*ret_name = name;
	return strncmp(name, "lib", 3) == 0 && so && so[4] ? so + 4 : NULL;
}

static int check_library(
	const struct over *o, const struct mlimg_node *node, const struct mlimg_entry *old)
{
	const char *target = node->inode->link, *name, *old_name, *unused;
	const char *version = version_of(target, &name), *old_version;

	if (old->type != MLIMG_LINK || !version || !version_of(old->path, &unused))
		return 0;
	old_version = version_of(old->link, &old_name);
	if (!old_version || version - name != old_version - old_name ||
		memcmp(name, old_name, (size_t)(version - name)) != 0 ||
		mlimg_dpkg_version_cmp(version, old_version) >= 0)
		return 0;
	return mlimg_err_refuse(o->c.err,
		"'%s' leads to %.80s, which is older than %.80s beneath (rule older-library)",
		old->path, name, old_name);
}

static int check_libraries(struct over *o)
{
	int r = 0;

	if (!mlimg_rules_has(o->rules, MLIMG_RULE_OLDER_LIBRARY))
		return 0;
	for (struct mlimg_node *n = o->c.top; n && r == 0; n = mlimg_tree_next(n, o->c.top)) {
		const struct mlimg_entry *old;

		if (n->inode->type != MLIMG_LINK || !n->is_kept)
			continue;
		old = mlimg_beneath_find(o->c.beneath, mlimg_compare_path(&o->c, n));
		if (old)
			r = check_library(o, n, old);
	}
	return r;
}

/* ---- the whole ---- */

/* What was left out as known, but is kept, is needed here: a software layer has no references. */
static int fetch_all(struct over *o)
{
	int r = 0;

	for (struct mlimg_node *n = o->c.top; n && r == 0; n = mlimg_tree_next(n, o->c.top)) {
		struct mlimg_file *file = n->inode->file;
		const struct mlimg_entry *from;

		if (n->inode->type != MLIMG_FILE || !n->is_kept || !file->is_left_out)
			continue;
		from = mlimg_beneath_find_content(o->c.beneath, file->size_bytes, file->digest);
		if (!from)
			return mlimg_err_set(o->c.err, EIO, "'%s': contents that were known",
				mlimg_compare_path(&o->c, n));
		r = mlimg_compare_fetch(&o->c, file, from);
	}
	return r;
}

static int reduce(struct over *o)
{
	int r = mlimg_compare_groups(&o->c);

	if (r < 0)
		return r;
	keep_opaque(o);
	r = compare_trees(o);
	if (r == 0)
		r = check_deletions(o);
	if (r == 0)
		r = check_libraries(o);
	return r < 0 ? r : fetch_all(o);
}

int mlimg_over_apply(struct mlimg_over *over, struct mlimg_tree *tree, struct mlimg_node *top,
	const struct mlimg_beneath *beneath, const struct mlimg_rules *rules,
	struct mlimg_data *data, struct mlimg_err *err)
{
	struct over o = {.c = {.tree = tree,
				 .top = top,
				 .beneath = beneath,
				 .old = mlimg_beneath_manifest(beneath),
				 .data = data,
				 .err = err},
		.rules = rules,
		.result = over};
	int r = mlimg_databases_take(top, beneath, rules, &over->databases, err);

	if (r < 0)
		return r;
	r = reduce(&o);
	free(o.c.groups);
	if (r < 0)
		return r;
	mlimg_compare_prune(top);
	return 0;
}

void mlimg_over_report(const struct mlimg_over *over, FILE *f)
{
	if (over->n_whiteouts)
		fprintf(f, "whiteouts: %" PRIu64 "\n", over->n_whiteouts);
	mlimg_databases_report(&over->databases, f);
}

void mlimg_over_done(struct mlimg_over *over)
{
	mlimg_databases_done(&over->databases);
}
