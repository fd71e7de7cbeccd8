/* SPDX-License-Identifier: MIT */
/**
 * @file random-manifest.h
 * Random manifests, small and with all that a manifest can hold. Few different names, so that the
 * layers of a stack often have the same paths. Include after nothing; it includes test.h, whose
 * seed it uses.
 */
#ifndef MLIMG_TEST_RANDOM_MANIFEST_H
#define MLIMG_TEST_RANDOM_MANIFEST_H

#include "libmlimg/manifest.h"
#include "libmlimg/whiteout.h"
#include "tests/lib/test.h"

enum random_flags {
	RANDOM_ANY_NAMES = 0,
	RANDOM_PLAIN_NAMES = 1, /**< no bytes that are escaped */
	RANDOM_NO_SOCKETS = 2,
	RANDOM_LAYER = 4, /**< whiteouts and opaque directories, as in a software layer */
};

struct random_maker {
	struct mlimg_manifest *m;
	unsigned flags;
	uint32_t groups;
	size_t group_first[64]; /* entry, by group number - 1 */
	char path[200];
};

static void random_name(const struct random_maker *r, int i, char *ret_name)
{
	static const char *const odd[] = {" ", "\n", "#", "\\", "=", "*", "?", "[", "\177", "\377",
		"\303\244", "\001", "-", ".x", ","};

	/* ascending with i, as the order wants it */
	sprintf(ret_name, "%c", 'a' + i);
	if (!(r->flags & (RANDOM_PLAIN_NAMES | RANDOM_LAYER)) && test_random(3) == 0)
		strcat(ret_name, odd[test_random(sizeof(odd) / sizeof(*odd))]);
}

static const char *const random_texts[] = {"", "one", "two", "three"};

static void random_contents(struct mlimg_entry *e)
{
	const char *text = random_texts[test_random(4)];

	e->size_bytes = strlen(text);
	e->has_digest = true;
	mlimg_sha256_of(text, e->size_bytes, e->digest);
}

/** @return the contents that a random file's size and digest are of */
TEST_UNUSED static const char *random_contents_of(const struct mlimg_entry *e)
{
	uint8_t digest[MLIMG_SHA256_SIZE];

	for (size_t i = 0; i < 4; i++) {
		mlimg_sha256_of(random_texts[i], strlen(random_texts[i]), digest);
		if (memcmp(digest, e->digest, sizeof(digest)) == 0)
			return random_texts[i];
	}
	FAIL("'%s' is no random file", e->path);
}

static void random_xattrs(
	const struct random_maker *r, struct mlimg_entry *e, struct mlimg_xattr *x, uint8_t *values)
{
	static const char *const names[] = {"trusted.x", "user.a", "user.b,c:d", "user.z\377"};

	e->xattrs = x;
	if (r->flags & RANDOM_LAYER && e->type == MLIMG_DIR && test_random(4) == 0)
		x[e->n_xattrs++] = (struct mlimg_xattr){
			(char *)MLIMG_XATTR_OPAQUE, (uint8_t *)(uintptr_t) "y", 1};
	if (test_random(4) != 0)
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (test_random(2))
			continue;
		/* The kernel takes user.* for files and directories only. */
		if (i > 0 && e->type != MLIMG_FILE && e->type != MLIMG_DIR)
			continue;
		for (size_t k = 0; k < 8; k++)
			values[8 * i + k] = (uint8_t)test_random(256);
		x[e->n_xattrs++] = (struct mlimg_xattr){
			(char *)(uintptr_t)names[i], values + 8 * i, test_random(9)};
	}
}

/* A further name of a file that is there: the same in all but its path. */
static bool random_hard_link(struct random_maker *r, struct mlimg_entry *e)
{
	struct mlimg_entry *first;
	char *path = e->path;

	if (r->groups == 0 || test_random(6) != 0)
		return false;
	first = &r->m->entries[r->group_first[test_random(r->groups)]];
	*e = *first;
	e->path = path;
	return true;
}

static void random_entry(
	struct random_maker *r, struct mlimg_entry *e, struct mlimg_xattr *x, uint8_t *values)
{
	static const uint8_t types[] = {MLIMG_FILE, MLIMG_FILE, MLIMG_FILE, MLIMG_DIR, MLIMG_DIR,
		MLIMG_DIR, MLIMG_LINK, MLIMG_CHAR, MLIMG_BLOCK, MLIMG_FIFO, MLIMG_SOCKET};

	e->type = types[test_random(sizeof(types) - (r->flags & RANDOM_NO_SOCKETS ? 1 : 0))];
	if (r->flags & RANDOM_LAYER && test_random(6) == 0) {
		e->type = MLIMG_CHAR;
		return; /* a whiteout */
	}
	e->mode = e->type == MLIMG_LINK ? 0777 : (uint16_t)test_random(010000);
	e->uid = test_random(3) ? 0 : (uint32_t)test_random(UINT32_MAX - 1);
	e->gid = test_random(3) ? 0 : (uint32_t)test_random(70000);
	e->mtime_s = (int64_t)test_random(4000000000u) - 1000000000;
	e->mtime_ns = test_random(2) ? 0 : (uint32_t)test_random(1000000000);
	if (e->type == MLIMG_FILE)
		random_contents(e);
	if (e->type == MLIMG_LINK)
		e->link = (char *)(uintptr_t)(test_random(2) ? "some where/\377" : "../x");
	if (e->type == MLIMG_CHAR || e->type == MLIMG_BLOCK) {
		e->dev_major = 1 + (uint32_t)test_random(4095);
		e->dev_minor = (uint32_t)test_random(1048576);
	}
	random_xattrs(r, e, x, values);
	if (e->type != MLIMG_DIR && r->groups < 64 && test_random(4) == 0) {
		r->group_first[r->groups] = r->m->n_entries;
		e->hardlink = ++r->groups;
		e->nlink = 2;
	}
}

static void random_directory(struct random_maker *r, int depth)
{
	size_t size = strlen(r->path);

	for (int i = 0; i < 6; i++) {
		struct mlimg_entry e = {.path = r->path, .nlink = 1}, *added;
		struct mlimg_xattr x[5];
		uint8_t values[32];

		if (test_random(2))
			continue;
		if (size)
			strcpy(r->path + size, "/");
		random_name(r, i, r->path + size + (size ? 1 : 0));
		if (!random_hard_link(r, &e))
			random_entry(r, &e, x, values);
		added = mlimg_manifest_add(r->m, &e);
		ASSERT(added);
		if (added->type == MLIMG_DIR && depth < 4)
			random_directory(r, depth + 1);
		r->path[size] = '\0';
	}
}

/* Files of one name are no groups after all, and every name of a group knows how many there are. */
static void random_count_links(struct mlimg_manifest *m)
{
	uint32_t names[65] = {0}, number[65] = {0}, groups = 0;

	for (size_t i = 0; i < m->n_entries; i++)
		names[m->entries[i].hardlink]++;
	for (uint32_t k = 1; k <= 64; k++)
		if (names[k] > 1)
			number[k] = ++groups;
	for (size_t i = 0; i < m->n_entries; i++) {
		struct mlimg_entry *e = &m->entries[i];

		e->nlink = e->hardlink ? names[e->hardlink] : 1;
		e->hardlink = number[e->hardlink];
	}
}

/** @return a random manifest */
TEST_UNUSED static struct mlimg_manifest *random_manifest(unsigned flags)
{
	struct random_maker r = {.m = mlimg_manifest_new(), .flags = flags};
	struct mlimg_entry root = {.path = r.path, .type = MLIMG_DIR, .nlink = 1};

	root.mode = (uint16_t)test_random(010000);
	root.mtime_s = (int64_t)test_random(1000000000);
	ASSERT(r.m && mlimg_manifest_add(r.m, &root));
	random_directory(&r, 0);
	random_count_links(r.m);
	return r.m;
}

#endif
