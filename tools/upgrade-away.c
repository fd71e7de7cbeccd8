/* SPDX-License-Identifier: MIT */
#include "tools/upgrade-away.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tools/backend.h"
#include "tools/libvirt-conn.h"
#include "tools/libvirt-pool.h"
#include "tools/store-impl.h"
#include "tools/upgrade-checkpoint.h"

#define SPARE_BYTES (64u << 20) /* of the store's disk, where guests write, too */

/* A copy that is being made. */
struct copying {
	struct mlimg_store *store;
	struct mlimg_upgrade_tenant *t;
	struct mlimg_tenant tenant;
	struct mlimg_store_op op;
	struct mlimg_libvirt_pool pool;
	char *path;
	int fd;
};

static void copying_done(struct copying *c)
{
	free(c->path);
	mlimg_cleanup_close(&c->fd);
	mlimg_libvirt_pool_close(&c->pool);
	mlimg_store_op_end(&c->op);
	mlimg_tenant_done(&c->tenant);
}

/* Its agent is not asked: it is enough to know that it is on. @return 1, 0, -errno */
static int is_on(struct copying *c, struct mlimg_err *err)
{
	enum mlimg_guest_state state = MLIMG_GUEST_OFF;
	char why[MLIMG_GUEST_WHY_SIZE];
	int ret;

	c->tenant.ask_until_ms = 1;
	ret = mlimg_backend_of(&c->tenant)->state(&c->tenant, &state, why, err);
	if (ret < 0)
		return ret;
	if (state == MLIMG_GUEST_UNREACHABLE)
		return mlimg_store_fail(err, EHOSTUNREACH, "%s: its disk is on host '%s': %s",
			c->t->name, c->tenant.host, why);
	if (mlimg_guest_is_on(state))
		return 1;
	ret = mlimg_backend_check_rest(&c->tenant, err);
	return ret < 0 ? ret : 0;
}

static int open_pool(struct copying *c, struct mlimg_err *err)
{
	struct mlimg_store_host host;
	virConnectPtr conn;
	int ret = mlimg_store_host_find(c->store, c->tenant.host, &host, err);

	if (ret == 0)
		ret = mlimg_libvirt_connect(host.uri, &conn, err);
	return ret < 0 ? ret : mlimg_libvirt_pool_open(NULL, conn, &host, &c->pool, err);
}

static int make_file(struct copying *c, struct mlimg_err *err)
{
	int ret = mlimg_store_op_begin(
		c->store, MLIMG_STORE_READ_DISK, c->tenant.row.id, &c->op, err);

	if (ret < 0)
		return ret;
	if (asprintf(&c->path, "%s/incoming/%s", mlimg_store_dir(c->store), c->op.token) < 0) {
		c->path = NULL;
		return mlimg_err_set(err, ENOMEM, "%s", c->t->name);
	}
	c->fd = openat(c->store->fds[MLIMG_STORE_INCOMING], c->op.token,
		O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return c->fd < 0 ? mlimg_err_set(err, errno, "make '%.300s'", c->path) : 0;
}

static int room(const struct copying *c, uint64_t *ret_bytes, struct mlimg_err *err)
{
	struct statvfs fs;
	uint64_t free_bytes;

	if (fstatvfs(c->fd, &fs) < 0)
		return mlimg_err_set(err, errno, "room in '%.300s'", mlimg_store_dir(c->store));
	free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	*ret_bytes = free_bytes > SPARE_BYTES ? free_bytes - SPARE_BYTES : 0;
	return 0;
}

/* On the host nobody but QEMU writes to it; but what is opened here shall not lead elsewhere. */
static int check_copy(const struct copying *c, struct mlimg_err *err)
{
	struct mlimg_tenant_disk disk;
	int ret = mlimg_tenant_disk_look(c->path, &disk, err);

	if (ret == -EUCLEAN)
		return mlimg_err_refuse(err, "%s: its disk on host '%s' is no qcow2 image",
			c->t->name, c->tenant.host);
	if (ret == 0 && disk.has_base)
		return mlimg_err_refuse(err,
			"%s: its disk on host '%s' lies over another, as none there does",
			c->t->name, c->tenant.host);
	return ret;
}

static int copy(struct copying *c, bool was_on, struct mlimg_err *err)
{
	uint64_t max_bytes = 0;
	int now_on, ret = open_pool(c, err);

	if (ret == 0)
		ret = make_file(c, err);
	if (ret == 0)
		ret = room(c, &max_bytes, err);
	if (ret == 0)
		ret = mlimg_libvirt_disk_copy(&c->pool, &c->tenant, was_on, max_bytes, c->fd, err);
	if (ret < 0)
		return ret;
	now_on = was_on ? 1 : is_on(c, err);
	if (now_on < 0)
		return now_on;
	if (now_on && !was_on)
		return mlimg_store_fail(err, ESTALE,
			"%s: it was started while its disk was read: ask again", c->t->name);
	ret = was_on ? mlimg_upgrade_checkpoint_check(c->store, c->t, err) : 0;
	return ret < 0 ? ret : check_copy(c, err);
}

static int plan(struct copying *c, struct mlimg_upgrade_bases *bases, struct mlimg_err *err)
{
	struct mlimg_upgrade_tenant *t = c->t;
	int was_on, ret = mlimg_tenant_load(c->store, t->name, &c->tenant, err);

	if (ret < 0)
		return ret;
	was_on = is_on(c, err);
	if (was_on < 0)
		return was_on;
	if (was_on && !t->snapshot)
		return mlimg_upgrade_say_runs(t, err);
	ret = copy(c, was_on, err);
	if (ret < 0)
		return ret;
	free(t->disk);
	t->disk = mlimg_steal(&c->path);
	t->is_torn = was_on;
	mlimg_upgrade_plan(t, bases);
	if (t->outcome != MLIMG_UPGRADE_FAILED)
		return 0;
	/* What is told names the copy, which will be gone. */
	*err = t->err;
	return mlimg_err_wrap(err, err->code, "as read from host '%s'", c->tenant.host);
}

void mlimg_upgrade_plan_away(struct mlimg_store *store, struct mlimg_upgrade_tenant *t,
	struct mlimg_upgrade_bases *bases)
{
	mlimg_cleanup(copying_done) struct copying c = {
		.store = store, .t = t, .op = MLIMG_STORE_OP_INIT, .fd = -1};
	struct mlimg_err err = MLIMG_ERR_INIT;

	if (!t->stack || plan(&c, bases, &err) == 0)
		return;
	t->outcome = MLIMG_UPGRADE_FAILED;
	t->err = err;
}
