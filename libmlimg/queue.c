/* SPDX-License-Identifier: MIT */
#include "libmlimg/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "libmlimg/boot.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/manifest-lex.h"
#include "libmlimg/text.h"

#define HEAD "mlimg-queue 1"

MLIMG_DEFINE_CLEANUP(struct mlimg_queue, mlimg_queue_free)

static const char *const verbs[] = {[MLIMG_QUEUE_RESET] = "reset",
	[MLIMG_QUEUE_RESTORE] = "restore",
	[MLIMG_QUEUE_TRANSPARENT] = "transparent",
	[MLIMG_QUEUE_RESET_ALL] = "reset-all"};

uint64_t mlimg_queue_number(const char *name)
{
	size_t size = strlen(MLIMG_QUEUE_NAME);
	struct mlimg_span rest = {name + size, 0}, number;
	uint64_t n;

	if (strncmp(name, MLIMG_QUEUE_NAME, size) != 0)
		return 0;
	rest.size = strlen(rest.at);
	number = mlimg_span_cut(&rest, '.');
	return mlimg_lex_number(number, MLIMG_BOOT_GENERATION_MAX, &n) ? n : 0;
}

const char *mlimg_queue_verb_name(enum mlimg_queue_verb verb)
{
	return verbs[verb];
}

static struct mlimg_queue *new_queue(void)
{
	struct mlimg_queue *queue = calloc(1, sizeof(*queue));

	if (queue && !(queue->arena = mlimg_arena_new())) {
		free(queue);
		queue = NULL;
	}
	return queue;
}

void mlimg_queue_free(struct mlimg_queue *queue)
{
	if (!queue)
		return;
	mlimg_arena_free(queue->arena);
	free(queue->ops);
	free(queue);
}

static int no_memory(struct mlimg_err *err)
{
	return mlimg_err_set(err, ENOMEM, "queue");
}

static int append(struct mlimg_queue *queue, enum mlimg_queue_verb verb, const char *path,
	struct mlimg_err *err)
{
	struct mlimg_queue_op *op;

	if (mlimg_buffer_reserve(&queue->ops, &queue->room, (queue->n + 1) * sizeof(*op)) < 0)
		return no_memory(err);
	op = &queue->ops[queue->n];
	op->verb = verb;
	op->path = mlimg_arena_strndup(queue->arena, path, strlen(path));
	if (!op->path)
		return no_memory(err);
	queue->n++;
	return 0;
}

/* --- the text --- */

/* @return 0: a word that is none of them */
static enum mlimg_queue_verb verb_of(struct mlimg_span word)
{
	for (enum mlimg_queue_verb verb = MLIMG_QUEUE_RESET; verb <= MLIMG_QUEUE_RESET_ALL; verb++)
		if (mlimg_span_is(word, verbs[verb]))
			return verb;
	return 0;
}

static int parse_line(struct mlimg_queue *queue, struct mlimg_span line, struct mlimg_err *err)
{
	enum mlimg_queue_verb verb = verb_of(mlimg_span_cut(&line, ' '));
	char path[MLIMG_PATH_MAX + 1];
	size_t size;

	if (!verb)
		return mlimg_err_refuse(err, "no operation of a known kind");
	if (!mlimg_lex_unescape(line, "", path, MLIMG_PATH_MAX, &size) ||
		!mlimg_manifest_path_is_valid(path))
		return mlimg_err_refuse(err, "malformed path");
	if (queue->n == MLIMG_QUEUE_OPS_MAX)
		return mlimg_err_refuse(err, "more than %d operations", MLIMG_QUEUE_OPS_MAX);
	if (queue->n > 0 && mlimg_manifest_path_cmp(queue->ops[queue->n - 1].path, path) >= 0)
		return mlimg_err_refuse(err, "out of order");
	return append(queue, verb, path, err);
}

static int parse(struct mlimg_queue *queue, struct mlimg_span rest, struct mlimg_err *err)
{
	int r = 0;

	if (rest.size > MLIMG_QUEUE_MAX)
		return mlimg_err_refuse(err, "queue: more than %u bytes", MLIMG_QUEUE_MAX);
	for (size_t n = 1; r == 0 && rest.size > 0; n++) {
		struct mlimg_span line;

		if (!memchr(rest.at, '\n', rest.size))
			r = mlimg_err_refuse(err, "it is cut off");
		line = mlimg_span_cut(&rest, '\n');
		if (r == 0 && n > 1)
			r = parse_line(queue, line, err);
		else if (r == 0 && !mlimg_span_is(line, HEAD))
			r = mlimg_err_refuse(err, "not of a known format");
		if (r < 0)
			return mlimg_err_wrap(err, r, "queue: line %zu", n);
	}
	return queue->n ? 0 : mlimg_err_refuse(err, "queue: there is nothing in it");
}

int mlimg_queue_parse(
	const char *text, size_t size, struct mlimg_queue **ret_queue, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_queue_free_cleanup) struct mlimg_queue *queue = new_queue();
	int r = queue ? parse(queue, (struct mlimg_span){text, size}, err) : no_memory(err);

	if (r == 0)
		*ret_queue = mlimg_steal(&queue);
	return r;
}

void mlimg_queue_put(const struct mlimg_queue *queue, mlimg_sink *sink, void *ctx)
{
	char escaped[MLIMG_ESCAPED_SIZE];

	sink(ctx, HEAD "\n", strlen(HEAD "\n"));
	for (size_t i = 0; i < queue->n; i++) {
		const char *verb = verbs[queue->ops[i].verb];

		mlimg_manifest_escape(queue->ops[i].path, escaped);
		sink(ctx, verb, strlen(verb));
		sink(ctx, " ", 1);
		sink(ctx, escaped, strlen(escaped));
		sink(ctx, "\n", 1);
	}
}

json_t *mlimg_queue_to_json(const struct mlimg_queue *queue, size_t max)
{
	json_t *list = json_array();

	for (size_t i = 0; list && queue && i < queue->n && i < max; i++) {
		char escaped[MLIMG_ESCAPED_SIZE];

		json_array_append_new(list,
			json_pack("{s:s,s:s}", "operation", verbs[queue->ops[i].verb], "path",
				mlimg_manifest_escape(queue->ops[i].path, escaped)));
	}
	return list;
}

/* --- the file --- */

int mlimg_queue_read(int own_fd, struct mlimg_queue **ret_queue, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_read_beneath(own_fd, MLIMG_QUEUE_FILE, MLIMG_QUEUE_MAX, &text, &size, err);

	if (r == -ENOENT) {
		*ret_queue = new_queue();
		return *ret_queue ? 0 : no_memory(err);
	}
	/* What is no file, or leads elsewhere. */
	if (r == -EFBIG || r == -ELOOP || r == -ENXIO || r == -EISDIR || r == -EINVAL)
		return mlimg_err_refuse(err, "%s", strdupa(err ? err->text : ""));
	return r < 0 ? r : mlimg_queue_parse(text, size, ret_queue, err);
}

int mlimg_queue_lock(int own_fd, struct mlimg_err *err)
{
	mlimg_autoclose int fd = openat(own_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -1 : flock(fd, LOCK_EX);

	while (r < 0 && fd >= 0 && errno == EINTR)
		r = flock(fd, LOCK_EX);
	return r < 0 ? mlimg_err_set(err, errno, "lock the queue") : mlimg_steal_fd(&fd);
}

static int write_queue(int own_fd, const struct mlimg_queue *queue, struct mlimg_err *err)
{
	struct mlimg_text text = {.data = NULL};
	int r;

	if (queue->n == 0) {
		r = unlinkat(own_fd, MLIMG_QUEUE_FILE, 0) < 0 && errno != ENOENT ? -errno : 0;
		if (r == 0 && fsync(own_fd) < 0)
			r = -errno;
		return r < 0 ? mlimg_err_set(err, r, "remove '" MLIMG_QUEUE_FILE "'") : 0;
	}
	mlimg_queue_put(queue, mlimg_text_put, &text);
	if (text.has_failed)
		r = no_memory(err);
	else if (queue->n > MLIMG_QUEUE_OPS_MAX || text.size > MLIMG_QUEUE_MAX)
		r = mlimg_err_set(err, E2BIG,
			"more than %u operations would wait, or %u bytes of them",
			MLIMG_QUEUE_OPS_MAX, MLIMG_QUEUE_MAX);
	else
		r = mlimg_replace_file(own_fd, MLIMG_QUEUE_FILE, text.data, text.size, 0600, err);
	free(text.data);
	return r;
}

/* --- changes of it --- */

/* An operation, and when it was asked for. */
struct asked {
	struct mlimg_queue_op op;
	size_t turn;
};

static int by_path(const void *a, const void *b)
{
	const struct asked *x = a, *y = b;
	int order = mlimg_manifest_path_cmp(x->op.path, y->op.path);

	return order ? order : (x->turn > y->turn) - (x->turn < y->turn);
}

/* Into the order, the last one of each path. */
static int merge(struct mlimg_queue *queue, const struct mlimg_queue_op *ops, size_t n,
	struct mlimg_err *err)
{
	size_t n_all = queue->n + n, k = 0;
	mlimg_autofree struct asked *all = calloc(n_all + 1, sizeof(*all));

	if (!all ||
		mlimg_buffer_reserve(&queue->ops, &queue->room, (n_all + 1) * sizeof(*queue->ops)) <
			0)
		return no_memory(err);
	for (size_t i = 0; i < n_all; i++)
		all[i] = (struct asked){i < queue->n ? queue->ops[i] : ops[i - queue->n], i};
	qsort(all, n_all, sizeof(*all), by_path);
	for (size_t i = 0; i < n_all; i++)
		if (i + 1 == n_all || strcmp(all[i].op.path, all[i + 1].op.path) != 0)
			queue->ops[k++] = all[i].op;
	queue->n = k;
	return 0;
}

int mlimg_queue_add(int own_fd, const struct mlimg_queue_op *ops, size_t n, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_queue_free_cleanup) struct mlimg_queue *queue = NULL;
	mlimg_autoclose int lock = -1;
	int r;

	for (size_t i = 0; i < n; i++)
		if (!mlimg_manifest_path_is_valid(ops[i].path) ||
			strlen(ops[i].path) > MLIMG_PATH_MAX)
			return mlimg_err_set(err, EINVAL, "queue '/%s'", ops[i].path);
	lock = mlimg_queue_lock(own_fd, err);
	r = lock < 0 ? lock : mlimg_queue_read(own_fd, &queue, err);
	if (r == 0)
		r = merge(queue, ops, n, err);
	return r < 0 ? r : write_queue(own_fd, queue, err);
}

static int by_name(const void *a, const void *b)
{
	return mlimg_manifest_path_cmp(*(const char *const *)a, *(const char *const *)b);
}

int mlimg_queue_cancel(
	int own_fd, const char *const paths[], size_t n, uint32_t *ret_n, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_queue_free_cleanup) struct mlimg_queue *queue = NULL;
	mlimg_autofree const char **sorted = calloc(n + 1, sizeof(*sorted));
	mlimg_autoclose int lock = -1;
	size_t k = 0;
	int r;

	if (!sorted)
		return no_memory(err);
	memcpy(sorted, paths, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_name);
	lock = mlimg_queue_lock(own_fd, err);
	r = lock < 0 ? lock : mlimg_queue_read(own_fd, &queue, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < queue->n; i++)
		if (!bsearch(&queue->ops[i].path, sorted, n, sizeof(*sorted), by_name))
			queue->ops[k++] = queue->ops[i];
	*ret_n = (uint32_t)(queue->n - k);
	queue->n = k;
	return *ret_n ? write_queue(own_fd, queue, err) : 0;
}

static int path_of_op_cmp(const void *path, const void *op)
{
	return mlimg_manifest_path_cmp(path, ((const struct mlimg_queue_op *)op)->path);
}

const struct mlimg_queue_op *mlimg_queue_find(const struct mlimg_queue *queue, const char *path)
{
	return queue->n ? bsearch(path, queue->ops, queue->n, sizeof(*queue->ops), path_of_op_cmp)
			: NULL;
}

int mlimg_queue_remove(int own_fd, const struct mlimg_queue *done, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_queue_free_cleanup) struct mlimg_queue *queue = NULL;
	size_t d = 0, k = 0, n;
	int r = mlimg_queue_read(own_fd, &queue, err);

	if (r < 0)
		return r;
	n = queue->n;
	for (size_t i = 0; i < n; i++) {
		const struct mlimg_queue_op op = queue->ops[i];

		while (d < done->n && mlimg_manifest_path_cmp(done->ops[d].path, op.path) < 0)
			d++;
		if (d == done->n || strcmp(done->ops[d].path, op.path) != 0 ||
			done->ops[d].verb != op.verb)
			queue->ops[k++] = op;
	}
	queue->n = k;
	return k < n ? write_queue(own_fd, queue, err) : 0;
}
