/* SPDX-License-Identifier: MIT */
/*
 * Several walkers share the tree: one that comes to a directory while another has nothing to do
 * leaves it to that one. What a walker finds is a stream of entries; where it left a directory to
 * another, there is that one's stream, so that the visitor sees all in order.
 */
#include "tools/walk-ahead.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/path.h"

#define WALKERS_MAX 4
#define CHUNK_MIN 4096u
#define CHUNK_MAX 65536u
#define WAITING_MAX (16u << 20) /* bytes */

/* An entry, behind it all that it points to. */
struct item {
	struct item *next;    /* in the same chunk */
	struct stream *below; /* what is in the directory; NULL: follows */
	struct stat st;
	struct mlimg_entry entry;
};

/* Entries that change hands together, so that the threads wake each other seldom. */
struct chunk {
	struct chunk *next;
	struct item *first, **end;
	size_t used, room;
	_Alignas(struct item) char bytes[];
};

struct stream {
	const struct item *dir; /* NULL: the whole tree */
	struct chunk *filling;  /* the walker's */
	size_t n_chunks;
	struct chunk *first, **end; /* that wait; from here on with the lock */
	bool has_ended;
	int result;
	struct mlimg_err err;
};

struct walker {
	struct mlimg_walk_ahead *ahead;
	struct stream *stream; /* NULL: it has nothing to do */
	pthread_t thread;
};

struct mlimg_walk_ahead {
	int root_fd;
	unsigned flags;
	dev_t dev;
	struct walker walkers[WALKERS_MAX];
	size_t n_walkers;
	atomic_size_t n_idle;
	struct stream root;
	struct chunk *left;   /* that the visitor did not want */
	pthread_mutex_t lock; /* for all below */
	pthread_cond_t changed;
	size_t waiting_bytes;
	const struct stream *visited; /* whose entries are wanted next: it never waits */
	bool is_stopping;
};

/* ---- chunks ---- */

static struct chunk *new_chunk(size_t room)
{
	struct chunk *c = malloc(sizeof(*c) + room);

	if (c)
		*c = (struct chunk){.room = room};
	if (c)
		c->end = &c->first;
	return c;
}

static size_t padded(size_t size)
{
	size_t unit = _Alignof(struct item);

	return (size + unit - 1) / unit * unit;
}

static size_t text_size(const char *text)
{
	return text ? padded(strlen(text) + 1) : 0;
}

static size_t item_size(const struct mlimg_entry *e)
{
	size_t size = padded(sizeof(struct item)) + text_size(e->path) + text_size(e->link) +
		padded(e->n_xattrs * sizeof(*e->xattrs));

	for (uint32_t i = 0; i < e->n_xattrs; i++)
		size += text_size(e->xattrs[i].name) + padded(e->xattrs[i].size);
	return size;
}

/* There is room: item_size(). */
static void *put(struct chunk *c, const void *from, size_t size)
{
	char *to = c->bytes + c->used;

	if (size)
		memcpy(to, from, size);
	c->used += padded(size);
	return to;
}

static char *put_text(struct chunk *c, const char *text)
{
	return text ? put(c, text, strlen(text) + 1) : NULL;
}

static struct item *put_item(struct chunk *c, const struct mlimg_entry *e, const struct stat *st)
{
	struct item *item = (struct item *)(c->bytes + c->used);

	c->used += padded(sizeof(*item));
	*item = (struct item){.st = *st, .entry = *e};
	item->entry.path = put_text(c, e->path);
	item->entry.link = put_text(c, e->link);
	item->entry.xattrs = put(c, e->xattrs, e->n_xattrs * sizeof(*e->xattrs));
	for (uint32_t i = 0; i < e->n_xattrs; i++) {
		struct mlimg_xattr *x = &item->entry.xattrs[i];

		x->name = put_text(c, x->name);
		x->value = put(c, x->value, x->size);
	}
	*c->end = item;
	c->end = &item->next;
	return item;
}

/* ---- streams ---- */

static void stream_done(struct stream *s);

/* And the streams that nobody has visited. */
static void free_chunks(struct chunk *c)
{
	while (c) {
		struct chunk *next = c->next;

		for (struct item *i = c->first; i; i = i->next) {
			if (i->below)
				stream_done(i->below);
			free(i->below);
		}
		free(c);
		c = next;
	}
}

static void stream_done(struct stream *s)
{
	free_chunks(s->first);
	free_chunks(s->filling);
}

/* Hand over the chunk. @return whether to go on */
static bool hand_over(struct mlimg_walk_ahead *a, struct stream *s)
{
	bool goes_on;

	pthread_mutex_lock(&a->lock);
	while (a->waiting_bytes > WAITING_MAX && a->visited != s && !a->is_stopping)
		pthread_cond_wait(&a->changed, &a->lock);
	goes_on = !a->is_stopping;
	if (s->filling) {
		*s->end = s->filling;
		s->end = &s->filling->next;
		a->waiting_bytes += s->filling->room;
		s->filling = NULL;
		s->n_chunks++;
	}
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
	return goes_on;
}

/* @return the next chunk of the stream, or NULL when it has ended */
static struct chunk *take_chunk(struct mlimg_walk_ahead *a, struct stream *s)
{
	struct chunk *c;

	pthread_mutex_lock(&a->lock);
	if (a->visited != s) {
		a->visited = s;
		pthread_cond_broadcast(&a->changed);
	}
	while (!s->first && !s->has_ended)
		pthread_cond_wait(&a->changed, &a->lock);
	c = s->first;
	if (c) {
		bool was_full = a->waiting_bytes > WAITING_MAX;

		s->first = c->next;
		if (!s->first)
			s->end = &s->first;
		c->next = NULL;
		a->waiting_bytes -= c->room;
		if (was_full && a->waiting_bytes <= WAITING_MAX)
			pthread_cond_broadcast(&a->changed);
	}
	pthread_mutex_unlock(&a->lock);
	return c;
}

/* ---- walkers ---- */

/*
 * Leave a directory to a walker that has nothing to do. @return whether there was one; not without
 * memory either
 */
static bool leave_to_another(struct mlimg_walk_ahead *a, struct item *dir)
{
	struct stream *s = calloc(1, sizeof(*s));
	bool is_left = false;

	if (!s)
		return false;
	s->dir = dir;
	s->end = &s->first;
	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < a->n_walkers && !is_left && !a->is_stopping; i++) {
		if (a->walkers[i].stream)
			continue;
		a->walkers[i].stream = dir->below = s;
		a->n_idle--;
		is_left = true;
	}
	if (is_left)
		pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
	if (!is_left)
		free(s);
	return is_left;
}

static int keep(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	struct walker *w = ctx;
	struct stream *s = w->stream;
	size_t size = item_size(entry), room = CHUNK_MIN << (s->n_chunks < 4 ? s->n_chunks : 4);
	struct item *item;

	if (s->filling && s->filling->room - s->filling->used < size && !hand_over(w->ahead, s))
		return mlimg_err_set(err, ECANCELED, "walk a tree");
	if (!s->filling)
		s->filling = new_chunk(size > room ? size : room);
	if (!s->filling)
		return mlimg_err_set(err, ENOMEM, "walk a tree");
	item = put_item(s->filling, entry, at->st);
	if (entry->type != MLIMG_DIR || !entry->path[0] || at->st->st_dev != w->ahead->dev ||
		!w->ahead->n_idle)
		return 0;
	return leave_to_another(w->ahead, item);
}

static void walk_stream(struct walker *w, struct stream *s)
{
	struct mlimg_walk_ahead *a = w->ahead;
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r = s->dir ? mlimg_walk_within(a->root_fd, s->dir->entry.path, &s->dir->st, a->flags,
				 keep, w, &err)
		       : mlimg_walk(a->root_fd, a->flags, keep, w, &err);

	hand_over(a, s);
	pthread_mutex_lock(&a->lock);
	s->result = r;
	s->err = err;
	s->has_ended = true; /* and may be freed */
	w->stream = NULL;
	a->n_idle++;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
}

static void *walker_main(void *arg)
{
	struct walker *w = arg;
	struct mlimg_walk_ahead *a = w->ahead;

	for (;;) {
		struct stream *s;

		pthread_mutex_lock(&a->lock);
		while (!w->stream && !a->is_stopping)
			pthread_cond_wait(&a->changed, &a->lock);
		s = w->stream;
		pthread_mutex_unlock(&a->lock);
		if (!s)
			return NULL;
		walk_stream(w, s);
	}
}

static int start(struct mlimg_walk_ahead *a)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	int r = 0;

	n = n < 1 ? 1 : n > WALKERS_MAX ? WALKERS_MAX : n;
	a->walkers[0].stream = &a->root;
	/* The first walker looks for others while they are begun. */
	pthread_mutex_lock(&a->lock);
	while (a->n_walkers < (size_t)n && !r) {
		struct walker *w = &a->walkers[a->n_walkers];

		w->ahead = a;
		r = pthread_create(&w->thread, NULL, walker_main, w);
		a->n_idle += !r && a->n_walkers > 0;
		a->n_walkers += !r;
	}
	pthread_mutex_unlock(&a->lock);
	/* Fewer will do as well. */
	return a->n_walkers ? 0 : r;
}

int mlimg_walk_ahead_new(
	int root_fd, unsigned flags, struct mlimg_walk_ahead **ret_ahead, struct mlimg_err *err)
{
	struct mlimg_walk_ahead *a = calloc(1, sizeof(*a));
	struct stat st;
	int r;

	if (!a)
		return mlimg_err_set(err, ENOMEM, "walk a tree");
	a->root_fd = root_fd;
	a->flags = flags;
	a->root.end = &a->root.first;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->changed, NULL);
	r = fstat(root_fd, &st) < 0 ? errno : 0;
	a->dev = st.st_dev;
	if (!r)
		r = start(a);
	if (r) {
		mlimg_walk_ahead_free(a);
		return mlimg_err_set(err, r, "walk a tree");
	}
	*ret_ahead = a;
	return 0;
}

/* ---- the visitor ---- */

struct visit {
	struct mlimg_walk_ahead *ahead;
	mlimg_walk_fn *fn;
	void *ctx;
	struct mlimg_err *err;
	char *passed; /* directory that the visitor did not want to go into, or NULL */
};

static int visit_stream(struct visit *v, struct stream *s);

/* @return what the visitor says */
static int visit_item(struct visit *v, const struct item *i)
{
	const struct mlimg_walk_at at = {.parent_fd = -1,
		.name = mlimg_path_name(i->entry.path),
		.root_fd = v->ahead->root_fd,
		.fd = -1,
		.st = &i->st};
	int r = v->fn(&i->entry, &at, v->ctx, v->err);

	if (r <= 0)
		return r;
	free(v->passed);
	v->passed = strdup(i->entry.path);
	return v->passed ? 0 : mlimg_err_set(v->err, ENOMEM, "walk a tree");
}

/* All of the chunk, and the streams of its directories, which are freed. */
static int visit_chunk(struct visit *v, struct chunk *c)
{
	for (struct item *i = c->first; i; i = i->next) {
		bool is_passed = v->passed && mlimg_path_is_below(i->entry.path, v->passed);
		int r = is_passed ? 0 : visit_item(v, i);

		if (r == 0 && i->below)
			r = visit_stream(v, i->below);
		if (r < 0)
			return r;
		free(i->below);
		i->below = NULL;
	}
	return 0;
}

/* What is passed over is walked to its end, too, so that its stream can be freed. */
static int visit_stream(struct visit *v, struct stream *s)
{
	struct chunk *c;
	int r = 0;

	while (r == 0 && (c = take_chunk(v->ahead, s))) {
		r = visit_chunk(v, c);
		if (r == 0) {
			free(c);
			continue;
		}
		c->next = v->ahead->left;
		v->ahead->left = c;
	}
	if (r == 0 && s->result < 0) {
		*v->err = s->err;
		r = s->result;
	}
	return r;
}

int mlimg_walk_ahead_run(
	struct mlimg_walk_ahead *a, mlimg_walk_fn *fn, void *ctx, struct mlimg_err *err)
{
	struct visit v = {.ahead = a, .fn = fn, .ctx = ctx, .err = err};
	int r = visit_stream(&v, &a->root);

	free(v.passed);
	return r;
}

void mlimg_walk_ahead_free(struct mlimg_walk_ahead *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->is_stopping = true;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
	for (size_t i = 0; i < a->n_walkers; i++)
		pthread_join(a->walkers[i].thread, NULL);
	free_chunks(a->left);
	stream_done(&a->root);
	pthread_mutex_destroy(&a->lock);
	pthread_cond_destroy(&a->changed);
	free(a);
}
