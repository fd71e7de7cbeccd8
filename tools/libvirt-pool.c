/* SPDX-License-Identifier: MIT */
#include "tools/libvirt-pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "tools/libvirt-err.h"
#include "tools/libvirt-stream.h"
#include "tools/libvirt-volume.h"
#include "tools/libvirt-xml.h"
#include "tools/store-impl.h"

static char *pool_xml(const char *path)
{
	char *xml = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&xml, &size);

	if (!f)
		return NULL;
	/* QEMU's user must get through to its files. */
	fputs("<pool type='dir'><name>" MLIMG_LIBVIRT_POOL "</name><target><path>", f);
	mlimg_libvirt_escape(f, path);
	fputs("</path><permissions><mode>0711</mode></permissions></target></pool>", f);
	if (fclose(f) == 0)
		return xml;
	free(xml);
	return NULL;
}

static bool is_system(const char *uri)
{
	const char *path = strstr(uri, "://");

	path = path ? strchr(path + 3, '/') : NULL;
	return path && strncmp(path, "/system", 7) == 0 && strchr("?", path[7]);
}

static int define(struct mlimg_libvirt_pool *p, virConnectPtr conn, struct mlimg_err *err)
{
	const char *path = *p->host.pool_path ? p->host.pool_path : MLIMG_LIBVIRT_POOL_PATH;
	mlimg_autofree char *xml = NULL;

	if (!*p->host.pool_path && !is_system(p->host.uri))
		return mlimg_err_usage(err,
			"host '%s' has no storage pool '" MLIMG_LIBVIRT_POOL
			"': say where it shall be ('mlimg-vm host add --pool-path')",
			p->host.name);
	xml = pool_xml(path);
	if (!xml)
		return mlimg_err_set(err, ENOMEM, "host '%s'", p->host.name);
	p->pool = virStoragePoolDefineXML(conn, xml, 0);
	if (!p->pool || virStoragePoolBuild(p->pool, 0) < 0 ||
		virStoragePoolSetAutostart(p->pool, 1) < 0)
		return mlimg_libvirt_fail(
			err, "host '%s': make storage pool in '%s'", p->host.name, path);
	return 0;
}

int mlimg_libvirt_pool_open(struct mlimg_store *store, virConnectPtr conn,
	const struct mlimg_store_host *host, struct mlimg_libvirt_pool *ret_pool,
	struct mlimg_err *err)
{
	struct mlimg_libvirt_pool *p = ret_pool;
	int ret = 0;

	*p = (struct mlimg_libvirt_pool){.store = store, .host = *host};
	p->pool = virStoragePoolLookupByName(conn, MLIMG_LIBVIRT_POOL);
	if (!p->pool && mlimg_libvirt_code() != -ENOENT)
		return mlimg_libvirt_fail(err, "host '%s': storage pool", host->name);
	if (!p->pool)
		ret = define(p, conn, err);
	if (ret < 0)
		return ret;
	if (virStoragePoolIsActive(p->pool) != 1 && virStoragePoolCreate(p->pool, 0) < 0)
		return mlimg_libvirt_fail(err, "host '%s': start storage pool", host->name);
	/* So that it knows of files that came or went by other ways; while somebody writes one it
	 * cannot, and need not. */
	(void)virStoragePoolRefresh(p->pool, 0);
	return 0;
}

int mlimg_libvirt_pool_left(
	virConnectPtr conn, const char *host, uint64_t *ret_bytes, struct mlimg_err *err)
{
	mlimg_autopool struct mlimg_libvirt_pool p = {
		.pool = virStoragePoolLookupByName(conn, MLIMG_LIBVIRT_POOL)};
	virStoragePoolInfo info;

	/* How much it was when somebody looked last is what it tells otherwise. */
	if (p.pool)
		(void)virStoragePoolRefresh(p.pool, 0);
	if (!p.pool || virStoragePoolGetInfo(p.pool, &info) < 0)
		return mlimg_libvirt_fail(err, "host '%s': room in its storage pool", host);
	*ret_bytes = info.available;
	return 0;
}

void mlimg_libvirt_pool_close(struct mlimg_libvirt_pool *pool)
{
	if (pool->pool)
		virStoragePoolFree(pool->pool);
	if (pool->lock > 0)
		close(pool->lock);
	pool->pool = NULL;
	pool->lock = 0;
}

/* FNV-1a, of 64 bits: two volumes with one place only wait for each other. */
static off_t place_of(const char *host, const char *volume)
{
	const char *const words[] = {host, "/", volume};
	uint64_t place = 14695981039346656037u;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		for (const char *c = words[i]; *c; c++)
			place = (place ^ (unsigned char)*c) * 1099511628211u;
	return (off_t)(place >> 2);
}

/* A byte of the store's lock, which nobody else locks by bytes. */
static int lock_byte(const struct mlimg_libvirt_pool *pool, const char *volume, short type,
	int command, int *ret_fd, struct mlimg_err *err)
{
	struct flock byte = {.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = place_of(pool->host.name, volume),
		.l_len = 1};
	mlimg_autofree char *path = NULL;
	mlimg_autoclose int fd = -1;

	if (asprintf(&path, "%s/lock", mlimg_store_dir(pool->store)) < 0) {
		path = NULL;
		return mlimg_err_set(err, ENOMEM, "lock '%s'", volume);
	}
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	if (fd < 0)
		return mlimg_err_set(err, errno, "open '%.300s'", path);
	while (fcntl(fd, command, &byte) < 0)
		if (errno != EINTR)
			return mlimg_err_set(err, errno, "lock '%.300s'", path);
	*ret_fd = mlimg_steal_fd(&fd);
	return 0;
}

int mlimg_libvirt_pool_hold(struct mlimg_libvirt_pool *pool, bool is_alone, struct mlimg_err *err)
{
	int ret = lock_byte(pool, "", is_alone ? F_WRLCK : F_RDLCK,
		is_alone ? F_OFD_SETLK : F_OFD_SETLKW, &pool->lock, err);

	if (ret != -EAGAIN && ret != -EACCES)
		return ret;
	return mlimg_store_fail(err, EBUSY, "host '%s': a guest is being started there; try again",
		pool->host.name);
}

/* A file that is put. */
struct putting {
	struct mlimg_libvirt_pool *pool;
	const struct mlimg_libvirt_file *file;
	struct mlimg_store_volume want; /* its digest may come late */
	mode_t mode;
	int fd, lock;
	struct mlimg_volume vol;
	bool is_noted; /* as it should be, once */
};

static int digest(struct putting *p, struct mlimg_err *err)
{
	int ret = *p->want.digest
		? 0
		: mlimg_libvirt_digest(p->fd, p->want.size_bytes, p->want.digest, err);

	return ret < 0 ? mlimg_err_wrap(err, ret, "'%.300s'", p->file->path) : 0;
}

static int open_file(struct putting *p, struct mlimg_err *err)
{
	const struct mlimg_libvirt_file *file = p->file;
	struct stat st;
	int ret = 0;

	p->fd = open(file->path, O_RDONLY | O_CLOEXEC);
	if (p->fd < 0 || fstat(p->fd, &st) < 0)
		return mlimg_err_set(err, errno, "open '%.300s'", file->path);
	p->want.size_bytes = (uint64_t)st.st_size;
	if (file->name)
		snprintf(p->want.name, sizeof(p->want.name), "%s", file->name);
	else
		ret = digest(p, err);
	if (!file->name)
		snprintf(p->want.name, sizeof(p->want.name), "%s%s", p->want.digest, file->suffix);
	return ret;
}

/* The volume, not the file: kernel and initramfs are extracted for each tenant anew, and are the same volume. */
static int lock_volume(struct putting *p, struct mlimg_err *err)
{
	return lock_byte(p->pool, p->want.name, F_WRLCK, F_OFD_SETLKW, &p->lock, err);
}

static int note(struct putting *p, struct mlimg_err *err)
{
	memcpy(p->want.mark, p->vol.mark, sizeof(p->want.mark));
	return mlimg_store_volume_set(p->pool->store, p->pool->host.name, &p->want, err);
}

/* @return 1: it is there, and known to be right; 0: it is not; -errno */
static int look(struct putting *p, enum mlimg_libvirt_put *ret_put, struct mlimg_err *err)
{
	struct mlimg_store_volume noted;
	char there[MLIMG_SHA256_HEX_SIZE];
	int ret = mlimg_store_volume_get(
		p->pool->store, p->pool->host.name, p->want.name, &noted, err);

	if (ret < 0)
		return ret;
	p->is_noted = ret == 1;
	ret = mlimg_volume_find(p->pool->pool, p->want.name, &p->vol, err);
	if (ret <= 0)
		return ret;
	if (p->is_noted && p->vol.size_bytes == p->want.size_bytes &&
		noted.size_bytes == p->want.size_bytes && strcmp(noted.mark, p->vol.mark) == 0)
		return 1;
	if (p->vol.size_bytes != p->want.size_bytes)
		return 0;
	ret = digest(p, err);
	if (ret == 0)
		ret = mlimg_libvirt_download(p->vol.vol, p->want.size_bytes, -1, there, err);
	if (ret < 0 || strcmp(there, p->want.digest) != 0)
		return ret;
	*ret_put = MLIMG_LIBVIRT_VERIFIED;
	ret = note(p, err);
	return ret < 0 ? ret : 1;
}

/* Sent, and read back. */
static int send(struct putting *p, struct mlimg_err *err)
{
	char sent[MLIMG_SHA256_HEX_SIZE], there[MLIMG_SHA256_HEX_SIZE];
	int ret = mlimg_volume_make(
		p->pool->pool, p->want.name, p->want.size_bytes, p->mode, &p->vol, err);

	if (ret == 0)
		ret = mlimg_libvirt_upload(p->vol.vol, p->fd, p->want.size_bytes, sent, err);
	if (ret == 0)
		ret = mlimg_libvirt_download(p->vol.vol, p->want.size_bytes, -1, there, err);
	if (ret == 0 && strcmp(sent, there) != 0)
		ret = mlimg_err_set(err, 0, "what was read back is not what was sent");
	if (ret == 0)
		ret = mlimg_volume_look(&p->vol, err);
	if (ret < 0) {
		mlimg_volume_remove(&p->vol, NULL);
		return ret;
	}
	memcpy(p->want.digest, sent, sizeof(sent));
	return 0;
}

static int put(struct putting *p, enum mlimg_libvirt_put *ret_put, struct mlimg_err *err)
{
	int ret = open_file(p, err);

	if (ret == 0)
		ret = lock_volume(p, err);
	if (ret == 0)
		ret = look(p, ret_put, err);
	if (ret != 0)
		return ret < 0 ? ret : 0;
	/* The row first: a volume without one is read back, whatever becomes of this. */
	ret = mlimg_store_volume_forget(p->pool->store, p->pool->host.name, p->want.name, err);
	if (ret == 0)
		ret = mlimg_volume_remove(&p->vol, err);
	if (ret == 0)
		ret = send(p, err);
	*ret_put = p->is_noted ? MLIMG_LIBVIRT_SENT_AGAIN : MLIMG_LIBVIRT_SENT_NEW;
	return ret < 0 ? ret : note(p, err);
}

static void putting_done(struct putting *p)
{
	mlimg_volume_done(&p->vol);
	mlimg_cleanup_close(&p->fd);
	mlimg_cleanup_close(&p->lock);
}

int mlimg_libvirt_put(struct mlimg_libvirt_pool *pool, const struct mlimg_libvirt_file *file,
	char **ret_path, enum mlimg_libvirt_put *ret_put, struct mlimg_err *err)
{
	struct putting p = {.pool = pool, .file = file, .mode = 0444, .fd = -1, .lock = -1};
	enum mlimg_libvirt_put did = MLIMG_LIBVIRT_WAS_THERE;
	int ret = put(&p, &did, err);

	if (ret < 0)
		ret = mlimg_err_wrap(err, ret, "put %s on host '%s'", file->what, pool->host.name);
	else
		ret = mlimg_volume_path(&p.vol, ret_path, err);
	if (ret == 0)
		*ret_put = did;
	putting_done(&p);
	return ret;
}

int mlimg_libvirt_check(struct mlimg_libvirt_pool *pool, const struct mlimg_store_volume *volume,
	bool *ret_is_ok, struct mlimg_err *err)
{
	struct mlimg_volume vol = {.vol = NULL};
	char there[MLIMG_SHA256_HEX_SIZE] = "";
	int ret = mlimg_volume_find(pool->pool, volume->name, &vol, err);

	*ret_is_ok = false;
	if (ret == 1 && vol.size_bytes == volume->size_bytes)
		ret = mlimg_libvirt_download(vol.vol, volume->size_bytes, -1, there, err);
	else if (ret == 0)
		ret = mlimg_err_refuse(err, "'%s' is not there", volume->name);
	else if (ret == 1)
		ret = mlimg_err_refuse(err, "'%s' has %llu bytes instead of %llu", volume->name,
			(unsigned long long)vol.size_bytes, (unsigned long long)volume->size_bytes);
	mlimg_volume_done(&vol);
	if (ret == 0 && strcmp(there, volume->digest) != 0)
		ret = mlimg_err_refuse(err, "'%s' is not what was put there", volume->name);
	*ret_is_ok = ret == 0;
	return ret == -EUCLEAN ? 0 : ret;
}
