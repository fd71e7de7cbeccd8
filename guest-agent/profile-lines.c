/* SPDX-License-Identifier: MIT */
#include "guest-agent/profile-lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/whiteout.h"

#define VMSTAT_MAX 65536
#define WINDOW ((uint64_t)16 << 20) /* bytes that are looked at together */

struct making {
	struct mlimg_view *view;
	struct mlimg_view_cursor *cursor;
	struct mlimg_profile *placed; /* paths in the layers */
	bool can_tell;                /* what is not in the page cache was not read */
	size_t page;
	struct mlimg_profile_lines *lines;
};

/* --- the page cache --- */

static bool is_zero(const char *vmstat, const char *name)
{
	const char *at = strstr(vmstat, name);

	return at && strncmp(at + strlen(name), " 0\n", 3) == 0;
}

static bool can_tell(int proc_fd)
{
	mlimg_autofree char *text = NULL;
	size_t size;

	return mlimg_read_file(proc_fd, "vmstat", VMSTAT_MAX, &text, &size, NULL) == 0 &&
		is_zero(text, "\npgsteal_file") && is_zero(text, "\ndrop_pagecache");
}

/* @return 1 when there is anything of these bytes, 0, -errno */
static int is_cached_at(const struct making *m, int fd, uint64_t at, size_t size)
{
	unsigned char pages[WINDOW / 4096];
	void *mapped = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, (off_t)at);
	int r = 0;

	if (mapped == MAP_FAILED)
		return -errno;
	if (mincore(mapped, size, pages) < 0)
		r = -errno;
	for (size_t i = 0; r == 0 && i * m->page < size; i++)
		r = pages[i] & 1;
	munmap(mapped, size);
	return r;
}

/* In doubt it was read. */
static bool was_read(const struct making *m, const struct mlimg_view_found *found)
{
	mlimg_autoclose int fd = -1;
	int r = 0;

	if (!m->can_tell)
		return true;
	fd = mlimg_view_open_file(found->tree, found->path);
	if (fd < 0)
		return true;
	for (uint64_t at = 0; at < found->entry.size_bytes && r == 0; at += WINDOW) {
		uint64_t left = found->entry.size_bytes - at;

		r = is_cached_at(m, fd, at, (size_t)(left < WINDOW ? left : WINDOW));
	}
	return r != 0;
}

/* --- paths --- */

static int place(struct making *m, const char *path, struct mlimg_err *err)
{
	const struct mlimg_entry *own = mlimg_manifest_find(m->view->trees[0].manifest, path);
	struct mlimg_view_found found;
	int r;

	if (own && own->type != MLIMG_DIR) {
		m->lines->n_own += !mlimg_entry_is_whiteout(own);
		return 0;
	}
	r = mlimg_view_beneath(m->cursor, path, &found, err);
	if (r < 0 || !found.tree || found.entry.type != MLIMG_FILE || found.entry.size_bytes == 0)
		return r;
	if (found.tree->kind == MLIMG_VIEW_KEPT) {
		m->lines->n_own++;
		return 0;
	}
	if (found.tree->kind == MLIMG_VIEW_COMPOSED || mlimg_profile_has(m->placed, found.path))
		return 0;
	if (!was_read(m, &found)) {
		m->lines->n_unread++;
		return 0;
	}
	m->lines->bytes += found.entry.size_bytes;
	return mlimg_profile_add(m->placed, found.path) < 0
		? mlimg_err_set(err, ENOMEM, "list '/%s'", path)
		: 0;
}

/* --- text --- */

static void put(struct mlimg_text *text, const char *string)
{
	mlimg_text_put(text, string, strlen(string));
}

static void put_head(const struct mlimg_view *view, struct mlimg_text *text)
{
	put(text, "# Made by 'mlimg profile', for mlimg-mkfs --profile, with\n");
	for (size_t i = 0; i < view->stack.n_layers; i++) {
		const struct mlimg_boot_layer *layer = &view->stack.layers[i];

		put(text, "# ");
		put(text, mlimg_kind_name(layer->kind));
		put(text, " ");
		put(text, layer->name);
		put(text, " ");
		put(text, layer->version);
		put(text, " ");
		put(text, layer->build_id);
		put(text, "\n");
	}
}

static int put_all(const struct making *m, struct mlimg_err *err)
{
	struct mlimg_text *text = &m->lines->text;
	char escaped[MLIMG_ESCAPED_SIZE];

	m->lines->n = mlimg_profile_count(m->placed);
	put_head(m->view, text);
	for (size_t i = 0; i < m->lines->n; i++) {
		put(text, mlimg_manifest_escape(mlimg_profile_path(m->placed, i), escaped));
		put(text, "\n");
	}
	return text->has_failed ? mlimg_err_set(err, ENOMEM, "write the list") : 0;
}

int mlimg_profile_lines_make(struct mlimg_view *view, const struct mlimg_profile *opened,
	int proc_fd, struct mlimg_profile_lines *ret, struct mlimg_err *err)
{
	struct making m = {.view = view,
		.cursor = mlimg_view_cursor_new(view),
		.placed = mlimg_profile_new(),
		.can_tell = can_tell(proc_fd),
		.page = (size_t)sysconf(_SC_PAGESIZE),
		.lines = ret};
	int r = m.cursor && m.placed ? 0 : mlimg_err_set(err, ENOMEM, "list what was opened");

	for (size_t i = 0; i < mlimg_profile_count(opened) && r == 0; i++)
		r = place(&m, mlimg_profile_path(opened, i), err);
	if (r == 0)
		r = put_all(&m, err);
	mlimg_profile_free(m.placed);
	mlimg_view_cursor_free(m.cursor);
	return r;
}
