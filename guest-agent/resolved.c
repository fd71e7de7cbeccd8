/* SPDX-License-Identifier: MIT */
#include "guest-agent/resolved.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/boot.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/manifest-lex.h"
#include "libmlimg/queue.h"
#include "libmlimg/text.h"

#define HEAD "mlimg-resolved 1"

static const char *const names[] = {
	[MLIMG_KEEP_MINE] = "mine", [MLIMG_KEEP_THEIRS] = "theirs", [MLIMG_KEEP_MERGED] = "merged"};

const char *mlimg_keep_way_name(enum mlimg_keep_way way)
{
	return names[way];
}

enum mlimg_keep_way mlimg_keep_way_of(const char *name)
{
	for (enum mlimg_keep_way way = MLIMG_KEEP_MINE; way <= MLIMG_KEEP_MERGED; way++)
		if (strcmp(names[way], name) == 0)
			return way;
	return MLIMG_KEEP_UNDECIDED;
}

static int compare(const struct mlimg_resolved_one *one, uint64_t generation, const char *path)
{
	if (one->generation != generation)
		return one->generation < generation ? -1 : 1;
	return mlimg_manifest_path_cmp(one->path, path);
}

/* The index of the first that is not before it. */
static size_t first_from(
	const struct mlimg_resolved *resolved, uint64_t generation, const char *path)
{
	size_t low = 0, high = resolved->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(&resolved->all[middle], generation, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

enum mlimg_keep_way mlimg_resolved_find(
	const struct mlimg_resolved *resolved, uint64_t generation, const char *path)
{
	size_t i = first_from(resolved, generation, path);

	return i < resolved->n && compare(&resolved->all[i], generation, path) == 0
		? resolved->all[i].way
		: MLIMG_KEEP_UNDECIDED;
}

static void take_out(struct mlimg_resolved *resolved, size_t i)
{
	struct mlimg_resolved_one *at = &resolved->all[i];

	free(at->path);
	resolved->n--;
	memmove(at, at + 1, (resolved->n - i) * sizeof(*at));
}

int mlimg_resolved_set(struct mlimg_resolved *resolved, uint64_t generation, const char *path,
	enum mlimg_keep_way way)
{
	size_t i = first_from(resolved, generation, path);
	struct mlimg_resolved_one *at;
	char *copy;

	if (i < resolved->n && compare(&resolved->all[i], generation, path) == 0) {
		if (way)
			resolved->all[i].way = way;
		else
			take_out(resolved, i);
		return 0;
	}
	if (!way)
		return 0;
	if (resolved->n == MLIMG_RESOLVED_N_MAX)
		return -E2BIG;
	if (mlimg_buffer_reserve(&resolved->all, &resolved->room, (resolved->n + 1) * sizeof(*at)) <
		0)
		return -ENOMEM;
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	at = &resolved->all[i];
	memmove(at + 1, at, (resolved->n - i) * sizeof(*at));
	*at = (struct mlimg_resolved_one){.generation = generation, .way = way, .path = copy};
	resolved->n++;
	return 0;
}

/* @return NULL, or what is wrong with the line */
static const char *take_line(struct mlimg_span line, struct mlimg_resolved *ret)
{
	struct mlimg_span generation = mlimg_span_cut(&line, ' '),
			  name = mlimg_span_cut(&line, ' ');
	char path[MLIMG_PATH_MAX + 1], text[8] = "";
	const struct mlimg_resolved_one *last = ret->n ? &ret->all[ret->n - 1] : NULL;
	enum mlimg_keep_way way;
	uint64_t number;
	size_t size;

	if (!mlimg_lex_number(generation, MLIMG_BOOT_GENERATION_MAX, &number))
		return "no generation";
	if (name.size < sizeof(text) && !memchr(name.at, 0, name.size))
		memcpy(text, name.at, name.size);
	way = mlimg_keep_way_of(text);
	if (!way)
		return "neither mine, theirs nor merged";
	if (!mlimg_lex_unescape(line, "", path, MLIMG_PATH_MAX, &size) ||
		!mlimg_manifest_path_is_valid(path))
		return "no path";
	if (last && compare(last, number, path) >= 0)
		return "not in order";
	if (ret->n == MLIMG_RESOLVED_N_MAX)
		return "too many lines";
	return mlimg_resolved_set(ret, number, path, way) < 0 ? "no memory" : NULL;
}

int mlimg_resolved_parse(
	const char *text, size_t size, struct mlimg_resolved *ret, struct mlimg_err *err)
{
	const char *end = text + size;
	size_t number = 1;

	*ret = (struct mlimg_resolved){.all = NULL};
	if (size <= strlen(HEAD) || memcmp(text, HEAD "\n", strlen(HEAD) + 1) != 0)
		return mlimg_err_refuse(err, MLIMG_RESOLVED_FILE ": line 1: not '" HEAD "'");
	for (const char *line = text + strlen(HEAD) + 1, *next; line < end; line = next + 1) {
		const char *wrong = "no newline at its end";

		number++;
		next = memchr(line, '\n', (size_t)(end - line));
		if (next)
			wrong = take_line((struct mlimg_span){line, (size_t)(next - line)}, ret);
		if (wrong)
			return mlimg_err_refuse(
				err, MLIMG_RESOLVED_FILE ": line %zu: %s", number, wrong);
	}
	return 0;
}

int mlimg_resolved_read(int own_fd, struct mlimg_resolved *ret, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_read_beneath(
		own_fd, MLIMG_RESOLVED_FILE, MLIMG_RESOLVED_MAX, &text, &size, err);

	*ret = (struct mlimg_resolved){.all = NULL};
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : mlimg_resolved_parse(text, size, ret, err);
}

void mlimg_resolved_put(const struct mlimg_resolved *resolved, mlimg_sink *sink, void *ctx)
{
	sink(ctx, HEAD "\n", strlen(HEAD) + 1);
	for (size_t i = 0; i < resolved->n; i++) {
		const struct mlimg_resolved_one *one = &resolved->all[i];
		char head[48], escaped[MLIMG_ESCAPED_SIZE];

		snprintf(head, sizeof(head), "%" PRIu64 " %s ", one->generation, names[one->way]);
		sink(ctx, head, strlen(head));
		mlimg_manifest_escape(one->path, escaped);
		sink(ctx, escaped, strlen(escaped));
		sink(ctx, "\n", 1);
	}
}

int mlimg_resolved_write(int own_fd, const struct mlimg_resolved *resolved, struct mlimg_err *err)
{
	struct mlimg_text text = {.data = NULL};
	int r;

	mlimg_resolved_put(resolved, mlimg_text_put, &text);
	if (text.has_failed || text.size > MLIMG_RESOLVED_MAX)
		r = mlimg_err_set(
			err, text.has_failed ? ENOMEM : EFBIG, "write '" MLIMG_RESOLVED_FILE "'");
	else
		r = mlimg_replace_file(
			own_fd, MLIMG_RESOLVED_FILE, text.data, text.size, 0600, err);
	free(text.data);
	return r;
}

int mlimg_resolved_note(int own_fd, uint64_t generation, const char *path, enum mlimg_keep_way way,
	struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_resolved_done) struct mlimg_resolved resolved = {.all = NULL};
	mlimg_autoclose int lock = mlimg_queue_lock(own_fd, err);
	int r = lock < 0 ? lock : mlimg_resolved_read(own_fd, &resolved, err);

	if (r < 0)
		return r;
	if (mlimg_resolved_find(&resolved, generation, path) == way)
		return 0;
	r = mlimg_resolved_set(&resolved, generation, path, way);
	return r < 0 ? mlimg_err_set(err, r, "note that '/%s' is resolved", path)
		     : mlimg_resolved_write(own_fd, &resolved, err);
}

int mlimg_resolved_take_back(int own_fd, uint64_t generation, const char *const paths[], size_t n,
	uint32_t *ret_n, struct mlimg_err *err)
{
	int r = mlimg_resolved_note(own_fd, generation, paths[0], MLIMG_KEEP_UNDECIDED, err);

	if (r == 0)
		r = mlimg_queue_cancel(own_fd, paths, n, ret_n, err);
	return r < 0 ? mlimg_err_wrap(err, r, MLIMG_RESOLVED_NOT_BACK, paths[0]) : 0;
}

void mlimg_resolved_done(struct mlimg_resolved *resolved)
{
	for (size_t i = 0; i < resolved->n; i++)
		free(resolved->all[i].path);
	free(resolved->all);
	*resolved = (struct mlimg_resolved){.all = NULL};
}
