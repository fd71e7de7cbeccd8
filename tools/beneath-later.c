/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "tools/beneath.h"

struct mlimg_beneath_later {
	const char *const *images;
	size_t n_images;
	pthread_t thread;
	pthread_mutex_t lock; /* for all below */
	pthread_cond_t changed;
	bool is_done;
	struct mlimg_beneath *beneath;
	struct mlimg_err err;
	int result;
};

static void *thread_main(void *arg)
{
	struct mlimg_beneath_later *l = arg;
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_beneath *b = NULL;
	int r = mlimg_beneath_open(l->images, l->n_images, &b, &err);

	pthread_mutex_lock(&l->lock);
	l->beneath = b;
	l->err = err;
	l->result = r;
	l->is_done = true;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

int mlimg_beneath_open_later(const char *const *images, size_t n_images,
	struct mlimg_beneath_later **ret, struct mlimg_err *err)
{
	struct mlimg_beneath_later *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return mlimg_err_set(err, ENOMEM, "open layers");
	l->images = images;
	l->n_images = n_images;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->changed, NULL);
	r = pthread_create(&l->thread, NULL, thread_main, l);
	if (r) {
		pthread_mutex_destroy(&l->lock);
		pthread_cond_destroy(&l->changed);
		free(l);
		return mlimg_err_set(err, r, "open layers");
	}
	*ret = l;
	return 0;
}

bool mlimg_beneath_is_open(struct mlimg_beneath_later *l)
{
	bool is_done;

	pthread_mutex_lock(&l->lock);
	is_done = l->is_done;
	pthread_mutex_unlock(&l->lock);
	return is_done;
}

int mlimg_beneath_wait(
	struct mlimg_beneath_later *l, struct mlimg_beneath **ret, struct mlimg_err *err)
{
	pthread_mutex_lock(&l->lock);
	while (!l->is_done)
		pthread_cond_wait(&l->changed, &l->lock);
	pthread_mutex_unlock(&l->lock);
	*ret = l->beneath;
	if (l->result < 0 && err)
		*err = l->err;
	return l->result;
}

void mlimg_beneath_later_free(struct mlimg_beneath_later *l)
{
	if (!l)
		return;
	pthread_join(l->thread, NULL);
	mlimg_beneath_free(l->beneath);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->changed);
	free(l);
}
