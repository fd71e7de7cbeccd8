/* SPDX-License-Identifier: MIT */
#include "tools/tenant.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/io.h"
#include "tools/store-host.h"
#include "tools/store-impl.h"

#define LOCK_PAUSE_MS 50 /* between tries: flock(2) knows no time limit */
#define HOLDER_MAX 96    /* bytes of what is said of who has a lock */

static void drop_layers(struct mlimg_tenant *t)
{
	for (size_t i = 0; i < t->n_layers; i++) {
		mlimg_store_layer_done(&t->layers[i]);
		free(t->layer_paths[i]);
	}
	free(t->layers);
	free(t->layer_paths);
	mlimg_store_generation_done(&t->generation);
	t->generation = (struct mlimg_store_generation){.number = 0};
	t->layers = NULL;
	t->layer_paths = NULL;
	t->n_layers = 0;
}

void mlimg_tenant_done(struct mlimg_tenant *tenant)
{
	drop_layers(tenant);
	mlimg_tenant_settings_done(&tenant->settings);
	free(tenant->uri);
	free(tenant->dir);
	free(tenant->user_disk);
	*tenant = (struct mlimg_tenant){.run_s = 0};
}

static int load_layers(struct mlimg_store *store, struct mlimg_tenant *t, struct mlimg_err *err)
{
	const struct mlimg_store_generation *g = &t->generation;

	/* One more: calloc(3) may give NULL for none. */
	t->layers = calloc(g->n_layers + 1, sizeof(*t->layers));
	t->layer_paths = calloc(g->n_layers + 1, sizeof(*t->layer_paths));
	if (!t->layers || !t->layer_paths)
		return mlimg_err_set(err, ENOMEM, "tenant '%s'", t->row.name);
	for (size_t i = 0; i < g->n_layers; i++) {
		int ret = mlimg_store_layer_get(store, g->layers[i], &t->layers[i], err);

		if (ret < 0)
			return ret;
		t->layer_paths[i] = mlimg_store_layer_path(store, g->layers[i]);
		t->n_layers++;
		if (!t->layer_paths[i])
			return mlimg_err_set(err, ENOMEM, "tenant '%s'", t->row.name);
	}
	return 0;
}

static int load_host(struct mlimg_store *store, struct mlimg_tenant *t, struct mlimg_err *err)
{
	struct mlimg_store_host host;
	int ret = mlimg_store_host_of_tenant(store, t->row.id, &host, err);

	if (ret <= 0)
		return ret;
	memcpy(t->host, host.name, sizeof(t->host));
	t->uri = strdup(host.uri);
	return t->uri ? 0 : mlimg_err_set(err, ENOMEM, "tenant '%s'", t->row.name);
}

int mlimg_tenant_load_generation(struct mlimg_store *store, struct mlimg_tenant *tenant,
	uint32_t number, struct mlimg_err *err)
{
	struct mlimg_tenant other = {.row = tenant->row};
	int ret = 0;

	if (number)
		ret = mlimg_store_generation_get(
			store, tenant->row.id, number, &other.generation, err);
	if (ret == -ENOENT)
		return mlimg_store_fail(
			err, ENOENT, "tenant '%s' has no generation %u", tenant->row.name, number);
	if (ret == 0)
		ret = load_layers(store, &other, err);
	if (ret < 0) {
		drop_layers(&other);
		return ret;
	}
	drop_layers(tenant);
	tenant->generation = other.generation;
	tenant->layers = other.layers;
	tenant->layer_paths = other.layer_paths;
	tenant->n_layers = other.n_layers;
	return 0;
}

static int load(
	struct mlimg_store *store, const char *name, struct mlimg_tenant *t, struct mlimg_err *err)
{
	int ret = mlimg_store_tenant_find(store, name, &t->row, err);

	if (ret == 0)
		ret = mlimg_tenant_settings_get(store, t->row.id, &t->settings, &t->run_s, err);
	if (ret == 0)
		ret = mlimg_tenant_load_generation(store, t,
			t->run_s || !t->row.pending ? t->row.current : t->row.pending, err);
	if (ret == 0)
		ret = mlimg_tenant_identity_get(store, t->row.id, t->identity, err);
	if (ret == 0)
		ret = load_host(store, t, err);
	if (ret < 0)
		return ret;
	t->dir = mlimg_store_tenant_path(store, t->row.id);
	if (!t->dir || asprintf(&t->user_disk, "%s/" MLIMG_TENANT_DISK, t->dir) < 0) {
		t->user_disk = NULL;
		return mlimg_err_set(err, ENOMEM, "tenant '%s'", name);
	}
	return 0;
}

/* All of it as of one moment: others may change generations and layers meanwhile. */
int mlimg_tenant_load(struct mlimg_store *store, const char *name, struct mlimg_tenant *ret_tenant,
	struct mlimg_err *err)
{
	struct mlimg_tenant t = {.run_s = 0};
	int ret = mlimg_db_begin_reading(store->db, err);

	if (ret < 0)
		return ret;
	ret = mlimg_db_finish(store->db, load(store, name, &t, err), err);
	if (ret < 0)
		mlimg_tenant_done(&t);
	else
		*ret_tenant = t;
	return ret;
}

static int say_holder(const struct mlimg_tenant *t, int fd, unsigned wait_ms, struct mlimg_err *err)
{
	char holder[HOLDER_MAX] = "";
	ssize_t n = pread(fd, holder, sizeof(holder) - 1, 0);

	holder[n > 0 ? n : 0] = '\0';
	holder[strcspn(holder, "\n")] = '\0';
	return mlimg_store_fail(err, EBUSY, "tenant '%s' is in use%s%s: gave up after %u s",
		t->row.name, *holder ? " by " : "", holder, wait_ms / 1000);
}

/* For whoever waits. That it cannot be written, on a full disk, keeps nobody from his work. */
static void note_holder(int fd, const char *what)
{
	char text[HOLDER_MAX];
	int n = snprintf(text, sizeof(text), "'%.40s' (process %ld)\n", what, (long)getpid());

	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) < 0)
		return;
}

int mlimg_tenant_lock_within(const struct mlimg_tenant *t, const char *what, unsigned wait_ms,
	int *ret_fd, struct mlimg_err *err)
{
	mlimg_autofree char *path = NULL;
	mlimg_autoclose int fd = -1;
	unsigned waited_ms = 0;

	if (asprintf(&path, "%s/lock", t->dir) < 0) {
		path = NULL;
		return mlimg_err_set(err, ENOMEM, "lock tenant '%s'", t->row.name);
	}
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	if (fd < 0)
		return mlimg_err_set(
			err, errno, "lock tenant '%s': open '%.300s'", t->row.name, path);
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return mlimg_err_set(err, errno, "lock '%.300s'", path);
		if (waited_ms >= wait_ms)
			return say_holder(t, fd, wait_ms, err);
		poll(NULL, 0, LOCK_PAUSE_MS);
		waited_ms += LOCK_PAUSE_MS;
	}
	note_holder(fd, what);
	*ret_fd = mlimg_steal_fd(&fd);
	return 0;
}

int mlimg_tenant_lock(
	const struct mlimg_tenant *tenant, const char *what, int *ret_fd, struct mlimg_err *err)
{
	return mlimg_tenant_lock_within(tenant, what, MLIMG_TENANT_LOCK_MS, ret_fd, err);
}

int mlimg_tenant_take(struct mlimg_store *store, const char *name, const char *what,
	struct mlimg_tenant *ret_tenant, int *ret_fd, struct mlimg_err *err)
{
	mlimg_autotenant struct mlimg_tenant before = {.run_s = 0};
	mlimg_autoclose int fd = -1;
	struct mlimg_tenant now;
	int ret = mlimg_tenant_load(store, name, &before, err);

	if (ret == 0)
		ret = mlimg_tenant_lock(&before, what, &fd, err);
	if (ret == 0 && !store->is_frozen)
		ret = mlimg_store_recover(store, err);
	if (ret == 0)
		ret = mlimg_tenant_load(store, name, &now, err);
	if (ret < 0)
		return ret;
	/* Another one has the name by now. */
	if (strcmp(now.row.id, before.row.id) != 0) {
		mlimg_tenant_done(&now);
		return mlimg_store_fail(err, EBUSY, "tenant '%s' has been renamed meanwhile", name);
	}
	now.lock = fd;
	*ret_tenant = now;
	*ret_fd = mlimg_steal_fd(&fd);
	return 0;
}
