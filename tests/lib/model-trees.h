/* SPDX-License-Identifier: MIT */
/**
 * @file model-trees.h
 * Small random trees for the model of reconcile, and what a union shows of two of them. All of it
 * is written to be plainly right: trees are lists that are searched from the beginning. Nothing of
 * libmlimg but the form of an entry, SHA-256 and memory is used.
 *
 * What is said here of an overlay is from the kernel's Documentation/filesystems/overlayfs.rst.
 */
#ifndef MLIMG_TEST_MODEL_TREES_H
#define MLIMG_TEST_MODEL_TREES_H

#include "libmlimg/arena.h"
#include "libmlimg/manifest.h"
#include "tests/lib/test.h"

#define TREE_MAX 4096
#define OPAQUE "trusted.overlay.opaque"
#define REDIRECT "trusted.overlay.redirect"
#define MODEL_ACL "system.posix_acl_access"
#define MODEL_DEFAULT_ACL "system.posix_acl_default"
#define MODEL_XATTRS 5

/** Entries in no order, without the root. Hard links: those of one group have the same number. */
struct tree {
	struct mlimg_entry e[TREE_MAX];
	size_t n;
};

/** Memory of a case. */
static struct mlimg_arena *model_memory;

TEST_UNUSED static char *model_string(const char *text)
{
	return mlimg_arena_strndup(model_memory, text, strlen(text));
}

TEST_UNUSED static char *model_path(const char *dir, const char *name)
{
	char *path = mlimg_arena_alloc(model_memory, strlen(dir) + strlen(name) + 2);

	sprintf(path, "%s%s%s", dir, *dir ? "/" : "", name);
	return path;
}

/** @return whether @p path is below @p dir; "" is the root */
TEST_UNUSED static bool is_under(const char *path, const char *dir)
{
	size_t size = strlen(dir);

	return !size || (strncmp(path, dir, size) == 0 && path[size] == '/');
}

/** @return the name if @p path is directly in @p dir, else NULL */
TEST_UNUSED static const char *name_in(const char *path, const char *dir)
{
	const char *name = path + strlen(dir) + (*dir != '\0');

	return is_under(path, dir) && *path && !strchr(name, '/') ? name : NULL;
}

TEST_UNUSED static struct mlimg_entry *tree_get(struct tree *t, const char *path)
{
	for (size_t i = 0; path && i < t->n; i++)
		if (strcmp(t->e[i].path, path) == 0)
			return &t->e[i];
	return NULL;
}

/** Put an entry, in the place of one that is there. */
TEST_UNUSED static struct mlimg_entry *tree_put(
	struct tree *t, const char *path, const struct mlimg_entry *e)
{
	struct mlimg_entry *to = tree_get(t, path);

	ASSERT(to || t->n < TREE_MAX);
	if (!to)
		to = &t->e[t->n++];
	*to = *e;
	to->path = model_string(path);
	return to;
}

/** Remove an entry and all below it. */
TEST_UNUSED static void tree_remove(struct tree *t, const char *path)
{
	for (size_t i = t->n; i-- > 0;)
		if (strcmp(t->e[i].path, path) == 0 || is_under(t->e[i].path, path))
			t->e[i] = t->e[--t->n];
}

TEST_UNUSED static bool tree_has_below(const struct tree *t, const char *path)
{
	for (size_t i = 0; i < t->n; i++)
		if (is_under(t->e[i].path, path))
			return true;
	return false;
}

TEST_UNUSED static bool is_a_dir(const struct mlimg_entry *e)
{
	return e && e->type == MLIMG_DIR;
}

TEST_UNUSED static const struct mlimg_xattr *xattr_of(const struct mlimg_entry *e, const char *name)
{
	for (uint32_t i = 0; i < e->n_xattrs; i++)
		if (strcmp(e->xattrs[i].name, name) == 0)
			return &e->xattrs[i];
	return NULL;
}

/* The kernel's own are structures, and in text their bytes in hexadecimal. */
TEST_UNUSED static bool is_binary(const char *name)
{
	return strncmp(name, "system.", 7) == 0 || strncmp(name, "security.", 9) == 0;
}

/** @return an xattr's value as text, or NULL */
TEST_UNUSED static const char *xattr_text(const struct mlimg_entry *e, const char *name)
{
	const struct mlimg_xattr *x = xattr_of(e, name);
	char *text;

	if (!x || !is_binary(name))
		return x ? mlimg_arena_strndup(model_memory, (char *)x->value, x->size) : NULL;
	text = mlimg_arena_alloc(model_memory, 2 * x->size + 1);
	*text = '\0';
	for (size_t i = 0; i < x->size; i++)
		sprintf(text + 2 * i, "%02x", x->value[i]);
	return text;
}

/* @return the bytes that a text says */
static uint8_t *xattr_bytes(const char *name, const char *text, size_t *ret_size)
{
	uint8_t *bytes = (uint8_t *)model_string(text);

	*ret_size = strlen(text) / (is_binary(name) ? 2 : 1);
	for (size_t i = 0; is_binary(name) && i < *ret_size; i++) {
		unsigned byte;

		ASSERT_EQ(sscanf(text + 2 * i, "%2x", &byte), 1);
		bytes[i] = (uint8_t)byte;
	}
	return bytes;
}

/** Give an entry an xattr, or take it away (@p value NULL). */
TEST_UNUSED static void set_xattr(struct mlimg_entry *e, const char *name, const char *value)
{
	struct mlimg_xattr *all = mlimg_arena_alloc(model_memory, (e->n_xattrs + 1) * sizeof(*all));
	uint32_t n = 0, i = 0;

	while (i < e->n_xattrs && strcmp(e->xattrs[i].name, name) < 0)
		all[n++] = e->xattrs[i++];
	if (value) {
		all[n].name = model_string(name);
		all[n].value = xattr_bytes(name, value, &all[n].size);
		n++;
	}
	for (; i < e->n_xattrs; i++)
		if (strcmp(e->xattrs[i].name, name) != 0)
			all[n++] = e->xattrs[i];
	e->xattrs = all;
	e->n_xattrs = n;
}

TEST_UNUSED static bool is_a_whiteout(const struct mlimg_entry *e)
{
	return e->type == MLIMG_CHAR && !e->dev_major && !e->dev_minor;
}

/* --- contents --- */

/**
 * Contents 1 to 64 are texts of three lines that may differ, with others between them that do not;
 * 65 to 68 are not text; 0 is nothing.
 */
#define CONTENTS 69

static struct model_content {
	char data[64];
	size_t size;
	uint8_t digest[MLIMG_SHA256_SIZE];
} model_contents[CONTENTS];

TEST_UNUSED static void make_contents(void)
{
	for (int i = 0; i < CONTENTS; i++) {
		struct model_content *c = &model_contents[i];
		int k = i - 1;

		if (i > 64)
			c->size = (size_t)sprintf(c->data, "%d", i) + 1;
		else if (i > 0)
			c->size = (size_t)sprintf(
				c->data, "a %d\nx\nb %d\ny\nc %d\n", k & 3, k >> 2 & 3, k >> 4 & 3);
		mlimg_sha256_of(c->data, c->size, c->digest);
	}
}

TEST_UNUSED static int content_of(const struct mlimg_entry *e)
{
	for (int i = 0; i < CONTENTS; i++)
		if (e->size_bytes == model_contents[i].size &&
			(e->size_bytes == 0 ||
				memcmp(e->digest, model_contents[i].digest, MLIMG_SHA256_SIZE) ==
					0))
			return i;
	FAIL("'%s' has contents that nobody made", e->path);
}

TEST_UNUSED static void set_content(struct mlimg_entry *e, int content)
{
	e->size_bytes = model_contents[content].size;
	e->has_digest = true;
	memcpy(e->digest, model_contents[content].digest, MLIMG_SHA256_SIZE);
}

/** @return whether both are of one type with the same contents, target, device */
TEST_UNUSED static bool has_equal_contents(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	if (a->type != b->type)
		return false;
	if (a->type == MLIMG_FILE)
		return content_of(a) == content_of(b);
	if (a->type == MLIMG_LINK)
		return strcmp(a->link, b->link) == 0;
	return a->dev_major == b->dev_major && a->dev_minor == b->dev_minor;
}

/** The xattrs that random entries have. */
static const char *const model_xattrs[] = {
	"trusted.a", "trusted.b", MODEL_ACL, "system.posix_acl_default", "security.capability"};

TEST_UNUSED static bool has_equal_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/** @return whether both are there and equal in all but times, or both are not there */
TEST_UNUSED static bool is_equal(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	if (!a || !b)
		return !a && !b;
	for (int i = 0; i < MODEL_XATTRS; i++)
		if (!has_equal_text(xattr_text(a, model_xattrs[i]), xattr_text(b, model_xattrs[i])))
			return false;
	return has_equal_contents(a, b) && a->mode == b->mode && a->uid == b->uid &&
		a->gid == b->gid;
}

/* --- what a union shows --- */

/**
 * @return where a directory's contents lie in the lower layers; @p lower: where they would if it
 * had not been renamed, or NULL
 */
TEST_UNUSED static const char *redirected(const struct mlimg_entry *dir, const char *lower)
{
	const char *to = xattr_text(dir, REDIRECT), *slash;

	if (!to)
		return lower;
	if (*to == '/')
		return to + 1;
	if (!lower)
		return NULL;
	slash = strrchr(lower, '/');
	return slash
		? model_path(mlimg_arena_strndup(model_memory, lower, (size_t)(slash - lower)), to)
		: model_string(to);
}

/** Show what the lower layer has at @p lower, at @p path, with all below. */
TEST_UNUSED static void show_lower(
	struct tree *ret, struct tree *layer, const char *lower, const char *path)
{
	const struct mlimg_entry *e = tree_get(layer, lower);

	if (!e)
		return;
	tree_put(ret, path, e);
	for (size_t i = 0; i < layer->n && is_a_dir(e); i++) {
		const char *name = name_in(layer->e[i].path, lower);

		if (name)
			show_lower(ret, layer, layer->e[i].path, model_path(path, name));
	}
}

/**
 * Show what is in a directory of the union: @p path in the upper, @p lower beneath it, or nothing
 * (NULL).
 */
TEST_UNUSED static void show_within(struct tree *ret, struct tree *layer, struct tree *upper,
	const char *path, const char *lower)
{
	for (size_t i = 0; i < upper->n; i++) {
		const struct mlimg_entry *e = &upper->e[i];
		const char *name = name_in(e->path, path), *beneath = NULL;

		if (!name || is_a_whiteout(e))
			continue;
		tree_put(ret, e->path, e);
		if (!xattr_text(e, OPAQUE))
			beneath = redirected(e, lower ? model_path(lower, name) : NULL);
		if (is_a_dir(e))
			show_within(ret, layer, upper, e->path, beneath);
	}
	for (size_t i = 0; lower && i < layer->n; i++) {
		const char *name = name_in(layer->e[i].path, lower);

		if (name && !tree_get(upper, model_path(path, name)))
			show_lower(ret, layer, layer->e[i].path, model_path(path, name));
	}
}

/** @return what the union of both shows; free() it */
TEST_UNUSED static struct tree *shown(struct tree *layer, struct tree *upper)
{
	struct tree *ret = calloc(1, sizeof(*ret));

	show_within(ret, layer, upper, "", "");
	return ret;
}

#endif
