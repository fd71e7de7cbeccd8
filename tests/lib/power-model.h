/* SPDX-License-Identifier: MIT */
/**
 * @file power-model.h
 * What powerload does to a guest's root, as numbers: step N of the load and what it leaves follow
 * from N alone. So whoever knows how many steps were promised knows every byte that must be there,
 * in the guest and on the host that looks at its disk after a power cut.
 *
 * There are objects of four kinds. The system layer has most of them already, so that the load
 * copies up, hides and redirects:
 *
 *     file   replaced as dpkg does it, appended to, removed
 *     dir    two files; renamed to and fro, one of its files replaced
 *     tree   four files; made elsewhere and renamed to its place, as npm does it; renamed away and removed
 *     page   4096 bytes in the middle of a file, overwritten in place, as a database does it
 *
 * A step changes one object. It is atomic: a power cut in it leaves the object as before or as
 * after it, but for what is appended, of which a part may be there, and for temporary names.
 *
 * Beside the objects there are copies: files of the system layer, of which every second step appends
 * to one, and does not wait. What the layer has in them must stay.
 */
#ifndef POWER_MODEL_H
#define POWER_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum object_kind { OBJECT_FILE, OBJECT_DIR, OBJECT_TREE, OBJECT_PAGE };
enum step_op { STEP_REPLACE, STEP_APPEND, STEP_REMOVE, STEP_MOVE };

#define OWN_FILES 6    /* not in the system layer */
#define LOWER_FILES 16 /* in it */
#define DIRS 6         /* in it */
#define TREES 4        /* not in it */
#define PAGES 12       /* of a file that is in it */
#define COPIES 64      /* in it */
#define COPY_BYTES 5000
#define N_OBJECTS (OWN_FILES + LOWER_FILES + DIRS + TREES + PAGES)
#define PARTS_MAX 6 /* a longer file is replaced */
#define TREE_FILES 4
#define PAGE_BYTES 4096
#define PATH_BYTES 64
#define OWN_DIR "srv/load"
#define LOWER_DIR "usr/share/load"
#define PAGES_PATH LOWER_DIR "/pages"

struct object {
	enum object_kind kind;
	unsigned number; /* among its kind and place */
	char path[PATH_BYTES];
	bool is_there;
	bool is_moved; /* a dir that has its other name */
	uint32_t parts
		[PARTS_MAX]; /* the steps that wrote its content, in order; 0 is the system layer */
	size_t n_parts;
};

struct model {
	uint32_t n_steps;
	bool is_unionfs; /* whose directories of layers are not renamed: it would lose what is in them */
	struct object objects[N_OBJECTS];
};

struct step {
	uint32_t n;
	size_t object;
	enum step_op op;
};

/* splitmix64 (public domain, Vigna 2015) */
static inline uint64_t mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline void model_add(struct model *m, size_t *n, enum object_kind kind, unsigned number,
	const char *dir, const char *name, bool is_there)
{
	struct object *o = &m->objects[(*n)++];

	*o = (struct object){.kind = kind, .number = number, .is_there = is_there, .n_parts = 1};
	snprintf(o->path, sizeof(o->path), "%s/%s-%u", dir, name, number);
}

/* What the system layer has. */
static inline void model_init(struct model *m)
{
	size_t n = 0;

	memset(m, 0, sizeof(*m));
	for (unsigned i = 0; i < OWN_FILES; i++)
		model_add(m, &n, OBJECT_FILE, i, OWN_DIR, "file", false);
	for (unsigned i = 0; i < LOWER_FILES; i++)
		model_add(m, &n, OBJECT_FILE, i, LOWER_DIR, "file", true);
	for (unsigned i = 0; i < DIRS; i++)
		model_add(m, &n, OBJECT_DIR, i, LOWER_DIR, "dir", true);
	for (unsigned i = 0; i < TREES; i++)
		model_add(m, &n, OBJECT_TREE, i, OWN_DIR, "tree", false);
	for (unsigned i = 0; i < PAGES; i++)
		model_add(m, &n, OBJECT_PAGE, i, LOWER_DIR, "page", true);
}

static inline enum step_op model_choose(
	const struct model *m, const struct object *o, uint64_t random)
{
	switch (o->kind) {
	case OBJECT_FILE:
		if (!o->is_there || o->n_parts == PARTS_MAX || random % 4 < 2)
			return STEP_REPLACE;
		return random % 4 == 2 ? STEP_APPEND : STEP_REMOVE;
	case OBJECT_DIR: return random % 2 && !m->is_unionfs ? STEP_MOVE : STEP_REPLACE;
	case OBJECT_TREE: return o->is_there ? STEP_REMOVE : STEP_REPLACE;
	default: return STEP_REPLACE;
	}
}

static inline struct step model_next(const struct model *m)
{
	uint64_t random = mix(m->n_steps + 1);
	size_t object = random % N_OBJECTS;

	return (struct step){.n = m->n_steps + 1,
		.object = object,
		.op = model_choose(m, &m->objects[object], random >> 32)};
}

static inline void model_take(struct model *m, struct step step)
{
	struct object *o = &m->objects[step.object];

	m->n_steps = step.n;
	switch (step.op) {
	case STEP_REMOVE: o->is_there = false; return;
	case STEP_MOVE: o->is_moved = !o->is_moved; return;
	case STEP_REPLACE: o->n_parts = 0; break;
	default: break;
	}
	o->is_there = true;
	o->parts[o->n_parts++] = step.n;
}

/* The name of a dir that it has, or the other one. */
static inline void object_dir_path(const struct object *o, bool is_moved, char ret_path[PATH_BYTES])
{
	snprintf(ret_path, PATH_BYTES, "%.40s%s", o->path, is_moved ? ".moved" : "");
}

/* What a part of an object's file number @file is; most are small, some take many blocks. */
static inline size_t part_size(size_t object, uint32_t part, unsigned file, enum object_kind kind)
{
	uint64_t random = mix(mix((uint64_t)object << 40 | (uint64_t)file << 32 | part) + 1);

	if (kind == OBJECT_PAGE)
		return PAGE_BYTES;
	return 1 + (random >> 8) % (random % 12 ? 6000 : 150000);
}

static inline void part_fill(size_t object, uint32_t part, unsigned file, char *data, size_t size)
{
	uint64_t key = mix((uint64_t)object << 40 | (uint64_t)file << 32 | part);

	for (size_t i = 0; i < size; i += sizeof(key)) {
		key = mix(key);
		memcpy(data + i, &key, size - i < sizeof(key) ? size - i : sizeof(key));
	}
}

static inline void copy_path(unsigned number, char ret_path[PATH_BYTES])
{
	snprintf(ret_path, PATH_BYTES, LOWER_DIR "/copy-%u", number);
}

/* What the system layer has in a copy. */
static inline void copy_fill(unsigned number, char data[COPY_BYTES])
{
	part_fill(N_OBJECTS + 1 + number, 0, 0, data, COPY_BYTES);
}

/* The content of file number @file of an object, its parts one behind the other. free() it. */
static inline char *object_content(const struct model *m, size_t object, unsigned file,
	const uint32_t *parts, size_t n_parts, size_t *ret_size)
{
	enum object_kind kind = m->objects[object].kind;
	char *data = malloc(PARTS_MAX * 160000);

	*ret_size = 0;
	for (size_t i = 0; data && i < n_parts; i++) {
		size_t size = part_size(object, parts[i], file, kind);

		part_fill(object, parts[i], file, data + *ret_size, size);
		*ret_size += size;
	}
	return data;
}

#endif
