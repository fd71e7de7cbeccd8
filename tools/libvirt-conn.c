/* SPDX-License-Identifier: MIT */
#include "tools/libvirt-conn.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libmlimg/cleanup.h"
#include "tools/libvirt-err.h"

/* One attempt, which belongs to who is the last to let go of it. */
struct attempt {
	char *uri;
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool is_done, is_abandoned;
	virConnectPtr conn;
	int ret;
	struct mlimg_err err;
};

/* What is known of a host. */
struct known {
	struct known *next;
	char *uri;
	virConnectPtr conn; /* NULL: the error */
	struct mlimg_err err;
	int ret;
};

static struct known *all;

static void attempt_free(struct attempt *a)
{
	if (!a)
		return;
	if (a->conn)
		virConnectClose(a->conn);
	pthread_cond_destroy(&a->done);
	pthread_mutex_destroy(&a->lock);
	free(a->uri);
	free(a);
}

/* Keepalive needs somebody who reads what arrives while nobody waits for an answer. */
static void *run_events(void *ctx)
{
	while (virEventRunDefaultImpl() == 0)
		;
	return NULL;
}

/* Signals are for the thread that was there before. */
static int start_thread(void *(*fn)(void *ctx), void *ctx)
{
	pthread_attr_t attr;
	sigset_t blocked, before;
	pthread_t thread;
	int ret = pthread_attr_init(&attr);

	if (ret != 0)
		return -ret;
	sigfillset(&blocked);
	pthread_sigmask(SIG_SETMASK, &blocked, &before);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	ret = pthread_create(&thread, &attr, fn, ctx);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -ret;
}

static void initialise(void)
{
	mlimg_libvirt_be_quiet();
	/* Without events there is no keepalive; all else works. */
	if (virInitialize() == 0 && virEventRegisterDefaultImpl() == 0)
		(void)start_thread(run_events, NULL);
}

static void *open_one(void *ctx)
{
	struct attempt *a = ctx;
	struct mlimg_err err = MLIMG_ERR_INIT;
	int ret = 0;
	bool is_mine;
	virConnectPtr conn = virConnectOpen(a->uri);

	if (!conn)
		ret = mlimg_libvirt_fail(&err, "host '%s'", a->uri);
	else /* A driver without a daemon has nobody to be asked. */
		(void)virConnectSetKeepAlive(conn, MLIMG_LIBVIRT_ALIVE_S, MLIMG_LIBVIRT_ALIVE_N);
	pthread_mutex_lock(&a->lock);
	a->conn = conn;
	a->ret = ret;
	a->err = err;
	a->is_done = true;
	is_mine = a->is_abandoned;
	pthread_cond_signal(&a->done);
	pthread_mutex_unlock(&a->lock);
	if (is_mine)
		attempt_free(a);
	return NULL;
}

static struct attempt *attempt_new(const char *uri)
{
	struct attempt *a = calloc(1, sizeof(*a));
	pthread_condattr_t attr;

	if (!a)
		return NULL;
	pthread_mutex_init(&a->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&a->done, &attr);
	pthread_condattr_destroy(&attr);
	a->uri = strdup(uri);
	if (!a->uri) {
		attempt_free(a);
		return NULL;
	}
	return a;
}

/* Wait for it. @return whether it has ended; else it is the thread's now */
static bool wait_for(struct attempt *a)
{
	struct timespec end;
	bool is_done;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += MLIMG_LIBVIRT_OPEN_MS / 1000;
	pthread_mutex_lock(&a->lock);
	while (!a->is_done && pthread_cond_timedwait(&a->done, &a->lock, &end) != ETIMEDOUT)
		;
	is_done = a->is_done;
	a->is_abandoned = !is_done;
	pthread_mutex_unlock(&a->lock);
	return is_done;
}

static int open_bounded(const char *uri, virConnectPtr *ret_conn, struct mlimg_err *err)
{
	struct attempt *a = attempt_new(uri);
	int ret = a ? start_thread(open_one, a) : -ENOMEM;

	if (ret < 0) {
		attempt_free(a);
		return mlimg_err_set(err, ret, "host '%.200s'", uri);
	}
	if (!wait_for(a)) {
		ret = mlimg_err_set(err, 0, "host '%.200s' does not answer within %d s", uri,
			MLIMG_LIBVIRT_OPEN_MS / 1000);
		if (err)
			err->code = -EHOSTUNREACH;
		return ret < 0 ? -EHOSTUNREACH : ret;
	}
	ret = a->ret;
	if (ret < 0 && err)
		*err = a->err;
	if (ret == 0)
		*ret_conn = mlimg_steal(&a->conn);
	attempt_free(a);
	return ret;
}

static struct known *find(const char *uri)
{
	for (struct known *k = all; k; k = k->next)
		if (strcmp(k->uri, uri) == 0)
			return k;
	return NULL;
}

/* One that was lost since is opened again. */
static void refresh(struct known *k)
{
	if (k->conn && virConnectIsAlive(k->conn) == 1)
		return;
	if (k->conn)
		virConnectClose(k->conn);
	k->conn = NULL;
	k->ret = open_bounded(k->uri, &k->conn, &k->err);
}

int mlimg_libvirt_connect(const char *uri, virConnectPtr *ret_conn, struct mlimg_err *err)
{
	struct known *k = find(uri);

	if (!k) {
		k = calloc(1, sizeof(*k));
		if (k)
			k->uri = strdup(uri);
		if (!k || !k->uri) {
			free(k);
			return mlimg_err_set(err, ENOMEM, "host '%.200s'", uri);
		}
		if (!all)
			initialise();
		k->next = all;
		all = k;
		k->ret = open_bounded(uri, &k->conn, &k->err);
	} else if (k->conn) {
		refresh(k);
	}
	if (k->ret < 0) {
		if (err)
			*err = k->err;
		return k->ret;
	}
	*ret_conn = k->conn;
	return 0;
}

bool mlimg_libvirt_is_local(const char *uri)
{
	const char *rest = strstr(uri, ":///");

	/* "qemu+ssh" and "qemu+unix" have a transport; parameters may say another socket. */
	return rest && !memchr(uri, '+', (size_t)(rest - uri)) && !strchr(rest, '?');
}

int mlimg_libvirt_check_uri(const char *uri, struct mlimg_err *err)
{
	static const char scheme[] = "abcdefghijklmnopqrstuvwxyz0123456789+";
	size_t n = strspn(uri, scheme), size = strlen(uri);

	if (n > 0 && uri[0] >= 'a' && strncmp(uri + n, "://", 3) == 0 && size < 1024 &&
		strcspn(uri, " \t\r\n\"'<>\\") == size)
		return 0;
	return mlimg_err_usage(err,
		"'%.200s' is no URI of libvirt's (as 'qemu:///system' or "
		"'qemu+ssh://root@example.org/system')",
		uri);
}
