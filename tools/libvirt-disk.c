/* SPDX-License-Identifier: MIT */
/* A tenant's user disk on another host (libvirt-pool.h). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "tools/libvirt-domain.h"
#include "tools/libvirt-pool.h"
#include "tools/libvirt-stream.h"
#include "tools/libvirt-volume.h"
#include "tools/store-impl.h"

#define MIB ((uint64_t)1 << 20)

/* A move. */
struct moving {
	struct mlimg_libvirt_pool *pool;
	const struct mlimg_tenant *tenant;
	char name[MLIMG_STORE_VOLUME_SIZE];
	struct mlimg_volume vol;
	int fd, dir;
};

static void moving_done(struct moving *m)
{
	mlimg_volume_done(&m->vol);
	mlimg_cleanup_close(&m->fd);
	mlimg_cleanup_close(&m->dir);
}

/* @return 1: the volume is there, 0: it is not, -errno */
static int begin(struct moving *m, struct mlimg_err *err)
{
	snprintf(m->name, sizeof(m->name), "%s.qcow2", m->tenant->row.id);
	m->dir = open(m->tenant->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->dir < 0)
		return mlimg_err_set(err, errno, "open '%.300s'", m->tenant->dir);
	return mlimg_volume_find(m->pool->pool, m->name, &m->vol, err);
}

static int sync_dir(const struct moving *m, struct mlimg_err *err)
{
	return fsync(m->dir) < 0 && errno != EINVAL
		? mlimg_err_set(err, errno, "sync '%.300s'", m->tenant->dir)
		: 0;
}

/* What it shows as long as nobody has run it. */
static int note(struct moving *m, const char *digest, struct mlimg_err *err)
{
	struct mlimg_store_volume v = {.size_bytes = m->vol.size_bytes};

	memcpy(v.name, m->name, sizeof(v.name));
	memcpy(v.mark, m->vol.mark, sizeof(v.mark));
	snprintf(v.digest, sizeof(v.digest), "%s", digest);
	return mlimg_store_volume_set(m->pool->store, m->pool->host.name, &v, err);
}

/* When QEMU has written the volume and closed it, it is on stable storage. */
static int forget_sent(struct moving *m, struct mlimg_err *err)
{
	struct mlimg_store_volume noted;
	int ret = mlimg_store_volume_get(m->pool->store, m->pool->host.name, m->name, &noted, err);

	if (ret < 0 || (ret == 1 && strcmp(noted.mark, m->vol.mark) == 0))
		return ret < 0 ? ret : 0;
	if (unlinkat(m->dir, MLIMG_LIBVIRT_SENT, 0) < 0 && errno != ENOENT)
		return mlimg_err_set(
			err, errno, "remove '%.300s/" MLIMG_LIBVIRT_SENT "'", m->tenant->dir);
	return mlimg_store_volume_forget(m->pool->store, m->pool->host.name, m->name, err);
}

static int send(struct moving *m, uint64_t size, struct mlimg_err *err)
{
	char sent[MLIMG_SHA256_HEX_SIZE], there[MLIMG_SHA256_HEX_SIZE];
	/* What is there is not whole, or never was run: what is here counts. */
	int ret = mlimg_volume_remove(&m->vol, err);

	if (ret == 0)
		ret = mlimg_volume_make(m->pool->pool, m->name, size, 0600, &m->vol, err);
	if (ret == 0)
		ret = mlimg_libvirt_upload(m->vol.vol, m->fd, size, sent, err);
	if (ret == 0)
		ret = mlimg_libvirt_download(m->vol.vol, size, -1, there, err);
	if (ret == 0 && strcmp(sent, there) != 0)
		ret = mlimg_err_set(err, 0, "what was read back is not what was sent");
	if (ret < 0)
		return ret;
	ret = mlimg_volume_look(&m->vol, err);
	if (ret == 0)
		ret = note(m, sent, err);
	if (ret < 0)
		return ret;
	/* From here on the volume counts. */
	if (renameat(m->dir, MLIMG_TENANT_DISK, m->dir, MLIMG_LIBVIRT_SENT) < 0)
		return mlimg_err_set(err, errno, "rename '%.300s'", m->tenant->user_disk);
	return sync_dir(m, err);
}

static int put(struct moving *m, struct mlimg_err *err)
{
	struct stat st;
	int ret = begin(m, err);

	if (ret < 0)
		return ret;
	m->fd = openat(m->dir, MLIMG_TENANT_DISK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (m->fd >= 0 && fstat(m->fd, &st) == 0)
		return send(m, (uint64_t)st.st_size, err);
	if (errno != ENOENT)
		return mlimg_err_set(err, errno, "open '%.300s'", m->tenant->user_disk);
	if (ret == 0)
		return mlimg_err_set(err, ENOENT, "its user disk '%s'", m->name);
	return forget_sent(m, err);
}

int mlimg_libvirt_disk_put(struct mlimg_libvirt_pool *pool, const struct mlimg_tenant *tenant,
	char **ret_path, struct mlimg_err *err)
{
	struct moving m = {.pool = pool, .tenant = tenant, .fd = -1, .dir = -1};
	int ret = put(&m, err);

	if (ret == 0)
		ret = mlimg_volume_path(&m.vol, ret_path, err);
	else
		ret = mlimg_err_wrap(
			err, ret, "tenant '%s' on host '%s'", tenant->row.name, pool->host.name);
	moving_done(&m);
	return ret;
}

/* @return a file with the volume's header as it is now, or -errno */
static int read_header(const struct moving *m, struct mlimg_err *err)
{
	mlimg_autoclose int header = memfd_create("header", MFD_CLOEXEC);
	char digest[MLIMG_SHA256_HEX_SIZE];
	int ret;

	if (header < 0)
		return mlimg_err_set(err, errno, "memory for a header");
	ret = mlimg_libvirt_download(m->vol.vol, MLIMG_TENANT_DISK_HEADER, header, digest, err);
	return ret < 0 ? ret : mlimg_steal_fd(&header);
}

/* @return 1 when nobody has written to it since it was looked at last, 0, -errno */
static int is_same(struct moving *m, struct mlimg_err *err)
{
	char mark[MLIMG_STORE_MARK_SIZE];
	uint64_t size = m->vol.size_bytes;
	int ret;

	memcpy(mark, m->vol.mark, sizeof(mark));
	ret = mlimg_volume_look(&m->vol, err);
	return ret < 0 ? ret : m->vol.size_bytes == size && strcmp(m->vol.mark, mark) == 0;
}

/*
 * Nobody runs it, and nobody has while it was read: whoever starts its domain by libvirt's own means
 * asks none of us. The domain last, for one that has only just been started has written nothing yet.
 */
static int check_read(struct moving *m, struct mlimg_err *err)
{
	mlimg_autodomain virDomainPtr domain = NULL;
	int ret = is_same(m, err);

	if (ret == 0)
		return mlimg_store_fail(err, ESTALE,
			"somebody wrote to its disk while it was read: see that it is off, then "
			"try again");
	if (ret > 0)
		ret = mlimg_domain_find(m->tenant, &domain, err);
	if (ret == 0 && domain && mlimg_domain_is_on(domain))
		return mlimg_store_fail(err, ESTALE,
			"somebody has started it while its disk was read: see that it is off, then "
			"try again");
	return ret;
}

static int fetch(struct moving *m, struct mlimg_err *err)
{
	static const char part[] = MLIMG_TENANT_DISK ".part";
	char digest[MLIMG_SHA256_HEX_SIZE];
	int ret = begin(m, err);

	/* Never run there, or brought home already. */
	if (ret >= 0 && faccessat(m->dir, MLIMG_TENANT_DISK, F_OK, 0) == 0)
		return mlimg_volume_remove(&m->vol, err);
	if (ret == 0)
		return mlimg_err_set(err, ENOENT, "its user disk '%s'", m->name);
	if (ret < 0)
		return ret;
	m->fd = openat(m->dir, part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (m->fd < 0)
		return mlimg_err_set(err, errno, "create '%.300s/%s'", m->tenant->dir, part);
	ret = mlimg_libvirt_download(m->vol.vol, m->vol.size_bytes, m->fd, digest, err);
	if (ret == 0 && fsync(m->fd) < 0)
		ret = mlimg_err_set(err, errno, "sync '%.300s/%s'", m->tenant->dir, part);
	if (ret == 0)
		ret = check_read(m, err);
	if (ret == 0 && renameat(m->dir, part, m->dir, MLIMG_TENANT_DISK) < 0)
		ret = mlimg_err_set(err, errno, "rename '%.300s/%s'", m->tenant->dir, part);
	if (ret == 0)
		ret = sync_dir(m, err);
	if (ret < 0) {
		unlinkat(m->dir, part, 0);
		return ret;
	}
	unlinkat(m->dir, MLIMG_LIBVIRT_SENT, 0);
	return mlimg_volume_remove(&m->vol, err);
}

int mlimg_libvirt_disk_fetch(
	struct mlimg_libvirt_pool *pool, const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	struct moving m = {.pool = pool, .tenant = tenant, .fd = -1, .dir = -1};
	int ret = fetch(&m, err);

	moving_done(&m);
	return ret < 0 ? mlimg_err_wrap(err, ret, "tenant '%s' on host '%s'", tenant->row.name,
				 pool->host.name)
		       : 0;
}

static int copy_volume(struct moving *m, uint64_t max_bytes, int fd, struct mlimg_err *err)
{
	char digest[MLIMG_SHA256_HEX_SIZE];

	if (m->vol.size_bytes > max_bytes)
		return mlimg_store_fail(err, ENOSPC,
			"there is no room here to read its user disk: %" PRIu64 " MiB are needed, "
			"%" PRIu64 " can be had",
			(m->vol.size_bytes + MIB - 1) / MIB, max_bytes / MIB);
	return mlimg_libvirt_download(m->vol.vol, m->vol.size_bytes, fd, digest, err);
}

/*
 * While QEMU writes to it, its list of checkpoints has to be the same all the time; and before its size
 * is asked for, too, for a new list may lie at a new end.
 */
static int copy_running(struct moving *m, uint64_t max_bytes, int fd, struct mlimg_err *err)
{
	mlimg_autoclose int before = read_header(m, err), after = -1;
	int ret = before < 0 ? before : mlimg_volume_look(&m->vol, err);

	if (ret == 0)
		ret = copy_volume(m, max_bytes, fd, err);
	if (ret == 0)
		ret = after = read_header(m, err);
	if (ret >= 0)
		ret = mlimg_tenant_disk_has_same_snapshots(before, fd, err);
	return ret > 0 ? mlimg_tenant_disk_has_same_snapshots(fd, after, err) : ret;
}

static int copy(struct moving *m, bool is_on, uint64_t max_bytes, int fd, struct mlimg_err *err)
{
	int ret = begin(m, err);

	if (ret == 0)
		return mlimg_err_set(err, ENOENT, "its user disk '%s'", m->name);
	if (ret > 0 && is_on) {
		ret = copy_running(m, max_bytes, fd, err);
	} else if (ret > 0) {
		ret = copy_volume(m, max_bytes, fd, err);
		if (ret == 0)
			ret = is_same(m, err);
	}
	if (ret != 0)
		return ret < 0 ? ret : 0;
	return mlimg_store_fail(err, ESTALE, "%s while its disk was read: ask again",
		is_on ? "a checkpoint was taken or deleted" : "somebody wrote to it");
}

int mlimg_libvirt_disk_copy(struct mlimg_libvirt_pool *pool, const struct mlimg_tenant *tenant,
	bool is_on, uint64_t max_bytes, int fd, struct mlimg_err *err)
{
	struct moving m = {.pool = pool, .tenant = tenant, .fd = -1, .dir = -1};
	int ret = copy(&m, is_on, max_bytes, fd, err);

	moving_done(&m);
	return ret < 0 ? mlimg_err_wrap(err, ret, "tenant '%s' on host '%s'", tenant->row.name,
				 pool->host.name)
		       : 0;
}
