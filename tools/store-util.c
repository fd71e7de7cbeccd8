/* SPDX-License-Identifier: MIT */
/* Names, ids and paths of the store, and what else its parts share. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "tools/store-impl.h"

const struct mlimg_store_dir mlimg_store_dirs[MLIMG_STORE_PLACES] = {
	[MLIMG_STORE_LAYERS] = {"layers", 0755},
	[MLIMG_STORE_TENANTS] = {"tenants", 0711},
	[MLIMG_STORE_INDEXES] = {"indexes", 0755},
	[MLIMG_STORE_INCOMING] = {"incoming", 0711},
	[MLIMG_STORE_REMOVED] = {"removed", 0700},
	[MLIMG_STORE_BASES] = {"bases", 0711},
};

int mlimg_store_fail(struct mlimg_err *err, int code, const char *fmt, ...)
{
	char text[2 * MLIMG_ERR_TEXT_SIZE]; /* longer ones are cut there, visibly */
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)!mlimg_err_set(err, 0, "%s", text);
	if (err)
		err->code = -code;
	return -code;
}

int64_t mlimg_store_now(void)
{
	return (int64_t)time(NULL);
}

int mlimg_store_random_id(char ret_id[MLIMG_STORE_ID_SIZE], struct mlimg_err *err)
{
	uint8_t random[(MLIMG_STORE_ID_SIZE - 1) / 2];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return mlimg_err_set(err, errno, "random bytes for an id");
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(ret_id + 2 * i, 3, "%02x", random[i]);
	return 0;
}

bool mlimg_store_is_hex(const char *text, size_t n)
{
	return strlen(text) == n && strspn(text, "0123456789abcdef") == n;
}

const char *mlimg_store_dir(const struct mlimg_store *s)
{
	return s->dir;
}

const char *mlimg_store_image_name(const char *build_id, char ret_name[MLIMG_STORE_FILE_SIZE])
{
	snprintf(ret_name, MLIMG_STORE_FILE_SIZE, "%.64s.img", build_id);
	return ret_name;
}

char *mlimg_store_layer_path(const struct mlimg_store *s, const char *build_id)
{
	char *path;

	return asprintf(&path, "%s/layers/%s.img", s->dir, build_id) < 0 ? NULL : path;
}

char *mlimg_store_tenant_path(const struct mlimg_store *s, const char *id)
{
	char *path;

	return asprintf(&path, "%s/tenants/%s", s->dir, id) < 0 ? NULL : path;
}

int mlimg_store_sync(struct mlimg_store *s, enum mlimg_store_place place, struct mlimg_err *err)
{
	if (fsync(s->fds[place]) < 0 && errno != EINVAL)
		return mlimg_err_set(
			err, errno, "sync '%.300s/%s'", s->dir, mlimg_store_dirs[place].name);
	return 0;
}

int mlimg_store_begin(struct mlimg_store *s, struct mlimg_err *err)
{
	return mlimg_db_begin(s->db, err);
}

int mlimg_store_end(struct mlimg_store *s, int ret, struct mlimg_err *err)
{
	return mlimg_db_finish(s->db, ret, err);
}
