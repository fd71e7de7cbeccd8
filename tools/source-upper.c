/* SPDX-License-Identifier: MIT */
#include "tools/source-upper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/path.h"
#include "libmlimg/unionfs.h"
#include "libmlimg/whiteout.h"
#include "tools/beneath.h"
#include "tools/source-beneath.h"
#include "tools/source-tree.h"

/* A directory between the root and where the walk is. */
struct level {
	char *lower;     /* path of the directory beneath it; NULL: there is none */
	bool is_moved;   /* that is not its own path, or so it is with a directory above */
	bool has_xwhite; /* may hold whiteouts that are files */
};

/* A renamed directory. */
struct moved {
	struct mlimg_node *node;
	const struct mlimg_entry *from;
};

struct mlimg_upper {
	struct mlimg_cursor *cursor;
	enum mlimg_upper_marks which;
	const char *prefix;
	struct level *levels;
	size_t n_levels, room;
	struct mlimg_xattr *xattrs; /* of the present entry, without marks */
	size_t xattrs_room;
	struct moved *moved;
	size_t n_moved, moved_room;
	struct mlimg_copier copier;
};

/* The marks of an entry. */
struct marks {
	const struct mlimg_xattr *opaque, *redirect, *metacopy, *whiteout, *nlink;
};

int mlimg_upper_new(struct mlimg_cursor *cursor, enum mlimg_upper_marks which,
	struct mlimg_upper **ret_upper, struct mlimg_err *err)
{
	struct mlimg_upper *u = calloc(1, sizeof(*u));

	if (!u)
		return mlimg_err_set(err, ENOMEM, "read an upper");
	u->cursor = cursor;
	u->which = which;
	u->prefix = which == MLIMG_UPPER_USER ? MLIMG_XATTR_USER_OVERLAY : MLIMG_XATTR_OVERLAY;
	u->copier.to = cursor->to;
	*ret_upper = u;
	return 0;
}

/* Leave the levels from @depth on. */
static void leave(struct mlimg_upper *u, size_t depth)
{
	while (u->n_levels > depth)
		free(u->levels[--u->n_levels].lower);
}

void mlimg_upper_free(struct mlimg_upper *u)
{
	if (!u)
		return;
	leave(u, 0);
	mlimg_copier_done(&u->copier);
	free(u->levels);
	free(u->xattrs);
	free(u->moved);
	free(u);
}

static bool has_value(const struct mlimg_xattr *x, char value)
{
	return x && x->size == 1 && x->value[0] == (uint8_t)value;
}

/* @return whether @name, without the prefix, is a mark that has a meaning here */
static bool take_mark(struct marks *m, const struct mlimg_xattr *x, const char *name)
{
	if (strcmp(name, "opaque") == 0)
		m->opaque = x;
	else if (strcmp(name, "redirect") == 0)
		m->redirect = x;
	else if (strcmp(name, "metacopy") == 0)
		m->metacopy = x;
	else if (strcmp(name, "whiteout") == 0)
		m->whiteout = x;
	else if (strcmp(name, "nlink") == 0)
		m->nlink = x;
	else
		return false;
	return true;
}

/* Sort an entry's xattrs into marks and others. */
static int take_xattrs(struct mlimg_upper *u, const struct mlimg_entry *entry,
	struct mlimg_entry *ret_entry, struct marks *ret_marks, struct mlimg_err *err)
{
	size_t prefix_size = strlen(u->prefix);

	*ret_entry = *entry;
	*ret_marks = (struct marks){0};
	ret_entry->n_xattrs = 0;
	/* One more, for the mark of opacity. */
	if (mlimg_buffer_reserve(
		    &u->xattrs, &u->xattrs_room, (entry->n_xattrs + 1) * sizeof(*u->xattrs)) < 0)
		return mlimg_err_set(err, ENOMEM, "'%s'", entry->path);
	ret_entry->xattrs = u->xattrs;
	for (uint32_t i = 0; i < entry->n_xattrs; i++) {
		const struct mlimg_xattr *x = &entry->xattrs[i];

		if (strncmp(x->name, u->prefix, prefix_size) != 0) {
			if (strncmp(x->name, MLIMG_XATTR_OVERLAY, strlen(MLIMG_XATTR_OVERLAY)) == 0)
				return mlimg_err_refuse(err,
					"'%s': %s in an upper whose marks are user.overlay.*",
					entry->path, x->name);
			u->xattrs[ret_entry->n_xattrs++] = *x;
		} else if (!take_mark(ret_marks, x, x->name + prefix_size) &&
			!mlimg_overlay_mark_is_binding(x->name + prefix_size)) {
			return mlimg_err_refuse(
				err, "'%s': %s cannot be kept in a layer", entry->path, x->name);
		}
	}
	return 0;
}

static int set_opaque(struct mlimg_entry *entry)
{
	static uint8_t yes[] = "y";

	entry->xattrs[entry->n_xattrs++] =
		(struct mlimg_xattr){.name = (char *)MLIMG_XATTR_OPAQUE, .value = yes, .size = 1};
	return 0;
}

static int check_opaque(
	const struct mlimg_entry *entry, const struct marks *m, struct mlimg_err *err)
{
	if (!m->opaque ||
		(entry->type == MLIMG_DIR &&
			(has_value(m->opaque, 'y') || has_value(m->opaque, 'x'))))
		return 0;
	return mlimg_err_refuse(err, "'%s': %s that is neither \"y\" nor \"x\" on a directory",
		entry->path, m->opaque->name);
}

/* What a redirect may be, as the kernel takes it: a name, or a path that begins with '/'. */
static bool is_redirect(const struct mlimg_xattr *x)
{
	const char *text = (const char *)x->value, *end = text + x->size, *start = text;

	if (x->size == 0 || x->size > MLIMG_PATH_MAX || memchr(text, '\0', x->size))
		return false;
	if (*text != '/')
		return !memchr(text, '/', x->size) && !(x->size == 1 && *text == '.') &&
			!(x->size == 2 && text[0] == '.' && text[1] == '.');
	while (start < end) {
		const char *name = start + 1, *next = memchr(name, '/', (size_t)(end - name));
		size_t n = (size_t)((next ? next : end) - name);

		if (n == 0 || (n <= 2 && name[0] == '.' && name[n - 1] == '.'))
			return false;
		start = name + n;
	}
	return true;
}

/* @dir / @name, where @dir may be "". */
static char *join(const char *dir, const char *name, size_t name_size)
{
	char *path = malloc(strlen(dir) + 1 + name_size + 1);

	if (path)
		mlimg_path_join(path, dir, name, name_size);
	return path;
}

/*
 * Where beneath an entry lies.
 *
 * @param parent    the directory that holds it
 * @param ret_path  NULL when there is nothing beneath
 */
static int find_lower(const struct mlimg_entry *entry, const struct level *parent,
	const struct mlimg_xattr *redirect, char **ret_path, struct mlimg_err *err)
{
	const char *name = mlimg_path_name(entry->path);
	const char *text = redirect ? (const char *)redirect->value : name;
	size_t size = redirect ? redirect->size : strlen(name);

	*ret_path = NULL;
	if (redirect && !is_redirect(redirect))
		return mlimg_err_refuse(
			err, "'%s': %s is not a valid path", entry->path, redirect->name);
	if (*text == '/')
		*ret_path = join("", text + 1, size - 1);
	else if (parent->lower)
		*ret_path = join(parent->lower, text, size);
	else
		return 0;
	return *ret_path ? 0 : mlimg_err_set(err, ENOMEM, "'%s'", entry->path);
}

/* The directory has been put; what is in it comes next. */
static int enter(struct mlimg_upper *u, const struct level *level, struct mlimg_err *err)
{
	if (mlimg_buffer_reserve(&u->levels, &u->room, (u->n_levels + 1) * sizeof(*u->levels)) <
		0) {
		free(level->lower);
		return mlimg_err_set(err, ENOMEM, "read an upper");
	}
	u->levels[u->n_levels++] = *level;
	return 0;
}

/* The directory beneath a renamed one. */
static int find_moved(const struct mlimg_upper *u, const struct mlimg_entry *entry,
	const char *lower, const struct mlimg_entry **ret_from, struct mlimg_err *err)
{
	const struct mlimg_beneath *beneath = u->cursor->to->beneath;

	if (!beneath)
		return mlimg_err_refuse(err,
			"'%s' was renamed from '%s' and has entries only beneath the upper: give "
			"the layers beneath with --over",
			entry->path, lower);
	*ret_from = mlimg_beneath_find(beneath, lower);
	if (!*ret_from || (*ret_from)->type != MLIMG_DIR)
		return mlimg_err_refuse(err,
			"'%s' was renamed from '%s', which is no directory in the layers of --over",
			entry->path, lower);
	return 0;
}

static int remember(struct mlimg_upper *u, struct mlimg_node *node, const struct mlimg_entry *from,
	struct mlimg_err *err)
{
	if (mlimg_buffer_reserve(&u->moved, &u->moved_room, (u->n_moved + 1) * sizeof(*u->moved)) <
		0)
		return mlimg_err_set(err, ENOMEM, "'%s'", from->path);
	u->moved[u->n_moved++] = (struct moved){.node = node, .from = from};
	node->is_moved = true;
	return 0;
}

/* The guest's overlay follows redirects itself. @return whether the new layer keeps them */
static bool keeps_redirects(const struct mlimg_upper *u)
{
	return u->cursor->to->kind == MLIMG_USER;
}

/* Other sources are merged by name, and know nothing of where a directory was before. */
static int check_alone(const struct mlimg_upper *u, const struct mlimg_entry *entry,
	const char *lower, struct mlimg_err *err)
{
	const struct mlimg_source_to *to = u->cursor->to;

	if (!to->has_beneath && !mlimg_tree_has_above(to->tree))
		return 0;
	return mlimg_err_refuse(err,
		"'%s' was renamed from '%s', which a user layer keeps when it is made of one "
		"source only",
		entry->path, lower);
}

static int put_dir(struct mlimg_upper *u, struct mlimg_entry *entry, const struct marks *m,
	const struct mlimg_identity *id, struct mlimg_node **ret_node, struct mlimg_err *err)
{
	const struct level *parent = u->n_levels ? &u->levels[u->n_levels - 1] : NULL;
	struct level level = {.has_xwhite = has_value(m->opaque, 'x')};
	const struct mlimg_entry *from = NULL;
	bool is_opaque = has_value(m->opaque, 'y'), is_redirected;
	int r = 0;

	if (m->metacopy || m->whiteout)
		return mlimg_err_refuse(err, "'%s': %s on a directory", entry->path,
			m->metacopy ? m->metacopy->name : m->whiteout->name);
	if (!parent) /* roots always merge */
		level.lower = strdup("");
	else if (!is_opaque)
		r = find_lower(entry, parent, m->redirect, &level.lower, err);
	if (r < 0)
		return r;
	level.is_moved = parent &&
		(parent->is_moved || (level.lower && strcmp(level.lower, entry->path) != 0));
	if (is_opaque && parent)
		r = set_opaque(entry);
	is_redirected = level.lower && level.is_moved && m->redirect;
	if (is_redirected)
		r = keeps_redirects(u) ? check_alone(u, entry, level.lower, err)
				       : find_moved(u, entry, level.lower, &from, err);
	if (r == 0)
		r = mlimg_cursor_put(u->cursor, entry, id, ret_node, err);
	if (r == 0 && from)
		r = remember(u, *ret_node, from, err);
	else if (r == 0 && is_redirected)
		r = mlimg_tree_mark_redirect(u->cursor->to->tree, *ret_node, m->redirect, err);
	if (r == 0)
		return enter(u, &level, err);
	free(level.lower);
	return r;
}

/* A file whose contents are those of one beneath. */
static int put_metacopy(struct mlimg_upper *u, const struct mlimg_entry *entry,
	const struct marks *m, const struct mlimg_identity *id, struct mlimg_err *err)
{
	const struct level *parent = &u->levels[u->n_levels - 1];
	const struct mlimg_beneath *beneath = u->cursor->to->beneath;
	mlimg_autofree char *lower = NULL;
	const struct mlimg_entry *from;
	struct mlimg_node *node;
	int r = find_lower(entry, parent, m->redirect, &lower, err);

	if (r < 0)
		return r;
	if (keeps_redirects(u))
		return mlimg_err_refuse(err,
			"'%s' has its contents only beneath the upper, which a user layer cannot "
			"have: ': >>FILE' in the mounted overlay copies them",
			entry->path);
	if (!beneath)
		return mlimg_err_refuse(err,
			"'%s' has its contents only beneath the upper: give the layers beneath "
			"with --over",
			entry->path);
	from = lower ? mlimg_beneath_find(beneath, lower) : NULL;
	if (!from || from->type != MLIMG_FILE || from->size_bytes != entry->size_bytes)
		return mlimg_err_refuse(err,
			"'%s' has the contents of '%s', which is no file of %llu bytes in the "
			"layers of "
			"--over",
			entry->path, lower ? lower : entry->path,
			(unsigned long long)entry->size_bytes);
	r = mlimg_cursor_put(u->cursor, entry, id, &node, err);
	return r < 0 || !node ? r : mlimg_copier_file(&u->copier, from, node->inode->file, err);
}

static int put_whiteout(
	struct mlimg_upper *u, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	static const struct mlimg_identity alone = {.is_shared = false};
	struct mlimg_entry whiteout = *entry;
	struct mlimg_node *node;
	int r;

	whiteout.n_xattrs = 0;
	if (entry->type == MLIMG_FILE) {
		whiteout.type = MLIMG_CHAR;
		whiteout.mode = 0;
	}
	/* The kernel makes one inode do for many whiteouts; here each goes when its name goes. */
	r = mlimg_cursor_put(u->cursor, &whiteout, &alone, &node, err);
	if (r == 0 && node && u->levels[u->n_levels - 1].is_moved && !keeps_redirects(u))
		node->is_spent = true;
	return r;
}

static int check_other(const struct mlimg_upper *u, const struct mlimg_entry *entry,
	const struct marks *m, struct mlimg_err *err)
{
	if (entry->type != MLIMG_FILE && (m->redirect || m->metacopy || m->whiteout))
		return mlimg_err_refuse(err, "'%s': %s on what is neither file nor directory",
			entry->path,
			(m->redirect                  ? m->redirect
					: m->metacopy ? m->metacopy
						      : m->whiteout)
				->name);
	if (m->nlink)
		return mlimg_err_refuse(err,
			"'%s' has %s: the overlay was mounted with index=on, and other names of "
			"the file "
			"may not be in the upper",
			entry->path, m->nlink->name);
	if (m->whiteout && entry->size_bytes)
		return mlimg_err_refuse(err, "'%s': %s on a file that is not empty", entry->path,
			m->whiteout->name);
	if (m->whiteout && !u->levels[u->n_levels - 1].has_xwhite)
		return mlimg_err_refuse(err, "'%s': %s in a directory whose %sopaque is not \"x\"",
			entry->path, m->whiteout->name, u->prefix);
	return 0;
}

int mlimg_upper_put(struct mlimg_upper *u, const struct mlimg_entry *entry,
	const struct mlimg_identity *id, struct mlimg_node **ret_node, struct mlimg_err *err)
{
	struct mlimg_entry stripped;
	struct marks marks;
	int r = take_xattrs(u, entry, &stripped, &marks, err);

	*ret_node = NULL;
	leave(u, mlimg_path_depth(entry->path));
	if (r == 0 && strcmp(entry->path, MLIMG_UNIONFS_DIR) == 0)
		r = mlimg_err_refuse(err,
			"'%s': unionfs-fuse wrote this upper: convert the user layer (mlimg-agent "
			"convert), or take its upper with --form unionfs",
			entry->path);
	if (r == 0)
		r = check_opaque(entry, &marks, err);
	if (r == 0 && entry->type == MLIMG_DIR)
		return put_dir(u, &stripped, &marks, id, ret_node, err);
	if (r == 0)
		r = check_other(u, entry, &marks, err);
	if (r < 0)
		return r;
	if (marks.whiteout || mlimg_entry_is_whiteout(entry))
		return put_whiteout(u, &stripped, err);
	if (marks.metacopy)
		return put_metacopy(u, &stripped, &marks, id, err);
	return mlimg_cursor_put(u->cursor, &stripped, id, ret_node, err);
}

int mlimg_upper_end(struct mlimg_upper *u, struct mlimg_err *err)
{
	const struct mlimg_source_to *to = u->cursor->to;
	int r = 0;

	if (u->n_moved)
		mlimg_tree_begin_level(to->tree, to->has_beneath);
	for (size_t i = 0; r == 0 && i < u->n_moved; i++) {
		r = mlimg_copier_dir(&u->copier, u->moved[i].from, u->moved[i].node, err);
		mlimg_tree_seal(to->tree, u->moved[i].node);
	}
	return r < 0 ? r : mlimg_copier_check(&u->copier, err);
}
