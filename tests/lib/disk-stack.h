/* SPDX-License-Identifier: MIT */
/**
 * @file disk-stack.h
 * Random stacks of layers for the model of reconcile on the disk (disk-case.h), and trees read from
 * there.
 */
#ifndef MLIMG_TEST_DISK_STACK_H
#define MLIMG_TEST_DISK_STACK_H

#include <sys/mount.h>

#include "libmlimg/whiteout.h"
#include "tests/lib/disk-records.h"
#include "tests/lib/disk-tree.h"
#include "tests/lib/disk-user.h"
#include "tests/lib/layerdir.h"
#include "tests/lib/model-plan.h"
#include "tests/lib/model-tell.h"

#define STACK_LAYERS 3
#define CLASS_FILE "usr/lib/mlimg/reconcile.d/model.conf"

struct stack {
	char dir[16]; /**< in run */
	struct tree layers[STACK_LAYERS];
	size_t n;
	char ids[STACK_LAYERS][MLIMG_SHA256_HEX_SIZE];
	struct tree view;           /**< what the kernel shows of it */
	struct databases databases; /**< of the first layer, if it has any */
};

/* --- trees on the disk --- */

static const char *contents_of_model(const struct mlimg_entry *e)
{
	return model_contents[content_of(e)].data;
}

TEST_UNUSED static struct mlimg_manifest *read_manifest(const char *path, unsigned flags)
{
	mlimg_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct mlimg_manifest *m;

	MUST(fd);
	ASSERT_OK(mlimg_walk_manifest(fd, flags, true, &m, &err), err);
	return m;
}

/** Its entries last as long as the case. The table of classes and databases are not in it. */
TEST_UNUSED static void read_tree(const char *path, struct tree *ret)
{
	struct mlimg_manifest *m = read_manifest(path, MLIMG_WALK_SKIP_MISSING);

	ret->n = 0;
	for (size_t i = 0; i < m->n_entries; i++) {
		const struct mlimg_entry *e = &m->entries[i];

		if (!*e->path || strncmp(e->path, "usr/lib", 7) == 0 || is_of_databases(e->path))
			continue;
		ASSERT(ret->n < TREE_MAX);
		ret->e[ret->n++] = *e;
	}
}

/**
 * All of a tree as text, without the times of whiteouts, which nobody sees.
 *
 * @param has_times  else they do not count
 * @param has_notes  else these do not: what the kernel notes in an upper when it is read, and what
 *                   the agent has copies forget
 */
TEST_UNUSED static char *list_tree(const char *path, bool has_times, bool has_notes)
{
	struct mlimg_manifest *m = read_manifest(path, 0);
	struct mlimg_text text = {0};

	for (size_t i = 0; i < m->n_entries; i++) {
		struct mlimg_entry *e = &m->entries[i];

		if (!has_times || mlimg_entry_is_whiteout(e))
			e->mtime_s = e->mtime_ns = 0;
		if (!has_notes) {
			set_xattr(e, "trusted.overlay.origin", NULL);
			set_xattr(e, "trusted.overlay.impure", NULL);
		}
	}
	mlimg_manifest_put(m, mlimg_text_put, &text);
	ASSERT(!text.has_failed);
	return text.data;
}

/* --- stacks --- */

/* A layer that lies on others: it hides some of what they have. */
static void random_software(struct tree *t)
{
	char path[12];

	t->n = 0;
	for (int i = 0; i < 3; i++) {
		struct mlimg_entry e = random_dir();

		if (one_in(2))
			continue;
		tree_put(t, model_tops[i], &e);
		random_below(t, model_tops[i]);
	}
	for (size_t i = 0; i < t->n; i++)
		if (is_a_dir(&t->e[i]) && depth_of(t->e[i].path) > 1 && one_in(4))
			set_xattr(&t->e[i], OPAQUE, "y");
	for (int i = 0; i < 4; i++) {
		const struct mlimg_entry hidden = {.type = MLIMG_CHAR, .nlink = 1};
		const char *slash;

		user_path(path);
		slash = strrchr(path, '/');
		if (!tree_get(t, path) &&
			is_a_dir(tree_get(t,
				mlimg_arena_strndup(model_memory, path, (size_t)(slash - path)))))
			tree_put(t, path, &hidden);
	}
}

/* What is no longer one file in a layer has names of its own; others become one. */
static void next_links(struct tree *t)
{
	for (size_t i = 0; i < t->n; i++) {
		struct mlimg_entry *e = &t->e[i], *other = NULL;

		for (size_t k = 0; k < t->n && e->hardlink; k++)
			if (k != i && t->e[k].hardlink == e->hardlink && is_equal(&t->e[k], e))
				other = &t->e[k];
		if (other)
			continue;
		e->hardlink = 0;
		e->nlink = 1;
	}
	random_links(t);
}

TEST_UNUSED static void random_layers(struct stack *s)
{
	random_stack(&s->layers[0]);
	s->n = 1 + test_random(STACK_LAYERS);
	for (size_t i = 1; i < s->n; i++)
		random_software(&s->layers[i]);
	for (size_t i = 0; i < s->n; i++)
		random_links(&s->layers[i]);
	random_databases(&s->databases);
}

TEST_UNUSED static void next_layers(const struct stack *old, struct stack *ret)
{
	ret->n = old->n;
	if (ret->n > 1 && one_in(5))
		ret->n--;
	for (size_t i = 0; i < ret->n; i++)
		random_next(&old->layers[i], &ret->layers[i]);
	if (ret->n < STACK_LAYERS && one_in(5))
		random_software(&ret->layers[ret->n++]);
	for (size_t i = 0; i < ret->n; i++)
		next_links(&ret->layers[i]);
	ret->databases = old->databases;
	for (size_t i = test_random(8); i > 0; i--)
		change_system(&ret->databases);
	for (int i = 0; has_owners && i < 3; i++)
		move_account(&ret->databases);
}

static uint32_t acl_id_of_model(uint32_t id, void *ctx)
{
	return owner_of_model(ctx, id);
}

static void write_classes(const char *root)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%.40s/" CLASS_FILE, root);
	for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			FAIL("%s: %s", path, strerror(errno));
		*slash = '/';
	}
	user_put(path, O_CREAT, MODEL_CLASSES, strlen(MODEL_CLASSES));
}

TEST_UNUSED static void write_layer(struct stack *s, size_t i, unsigned version)
{
	struct mlimg_layer_info info = {.kind = i ? MLIMG_SOFTWARE : MLIMG_SYSTEM};
	char path[PATH_SIZE], out[64];
	static struct tree tree;

	tree = s->layers[i];
	for (size_t k = 0; k < tree.n; k++) {
		tree.e[k].uid = owner_of_model(&s->databases, tree.e[k].uid);
		tree.e[k].gid = owner_of_model(&s->databases, tree.e[k].gid);
		map_acl(&tree.e[k], model_xattrs[2], acl_id_of_model, &s->databases);
		map_acl(&tree.e[k], model_xattrs[3], acl_id_of_model, &s->databases);
	}
	snprintf(out, sizeof(out), "run/%s/%zu", s->dir, i);
	snprintf(path, sizeof(path), "%s/rootfs", out);
	MUST(mkdir(out, 0755) | mkdir(path, 0755));
	make_tree(path, manifest_of(&tree, true), contents_of_model);
	if (i == 0)
		write_classes(path);
	if (i == 0 && has_databases)
		write_databases(path, NULL, &s->databases);
	snprintf(info.name, sizeof(info.name), "l%zu", i);
	snprintf(info.version, sizeof(info.version), "%u", version);
	ASSERT_OK(layerdir_make(out, &info, path, &err), err);
	strcpy(s->ids[i], info.build_id);
}

static void mount_union(const struct stack *s, bool has_upper, unsigned long flags)
{
	char options[1024] = "index=off,metacopy=off,xino=auto,redirect_dir=on,lowerdir=";
	const char *path = USER_ROOT;

	for (size_t i = s->n; i-- > 0;)
		sprintf(options + strlen(options), "run/%s/%zu/rootfs%s", s->dir, i, i ? ":" : "");
	if (!has_upper && s->n == 1) /* overlayfs wants two layers */
		strcat(options, ":empty");
	if (has_upper)
		strcat(options, ",upperdir=run/user/upper,workdir=run/user/work");
	if (mount("overlay", path, "overlay", flags, options) < 0)
		FAIL("mount -o %s: %s", options, strerror(errno));
}

static void unmount(void)
{
	const char *path = USER_ROOT;

	MUST(umount(path));
}

/** Read what the user sees on @p s. @param ret_databases  or NULL */
TEST_UNUSED static void read_union(
	const struct stack *s, struct tree *ret, struct databases *ret_databases)
{
	fprintf(stderr, "reads what the user sees on %s\n", s->dir);
	mount_union(s, true, MS_RDONLY);
	read_tree(USER_ROOT, ret);
	if (ret_databases && has_databases)
		read_databases(USER_ROOT, ret_databases);
	unmount();
}

#endif
