/* SPDX-License-Identifier: MIT */
/*
 * libnbd's conventions: -1 and a text of the thread's own. Its calls that wait have no time-out, so
 * that the others are used.
 */
#include "tools/nbd-source.h"

#include <errno.h>
#include <libnbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/nbd-server.h"

int mlimg_nbd_wait_ms = MLIMG_NBD_WAIT_MS;

#define REQUEST_MAX (4u << 20) /* bytes asked for at once; qemu-nbd takes 32 MiB */

struct nbd_source {
	struct mlimg_block_source source;
	struct mlimg_nbd_server server;
	struct nbd_handle *nbd;
	bool is_broken; /* an answer may still come, to where nobody waits for it */
};

static int fail(struct mlimg_err *err)
{
	const char *text = nbd_get_error();
	int code = nbd_get_errno();

	return mlimg_err_set(err, code ? code : EIO, "qemu-nbd: %s", text ? text : "no answer");
}

static int time_out(struct mlimg_err *err)
{
	return mlimg_err_set(
		err, ETIMEDOUT, "qemu-nbd: no answer within %d s", mlimg_nbd_wait_ms / 1000);
}

static void close_source(struct mlimg_block_source *source)
{
	struct nbd_source *s = (struct nbd_source *)source;

	nbd_close(s->nbd);
	mlimg_nbd_server_end(&s->server, NULL);
	free(s);
}

/* Wait for anything. @return 0, -errno */
static int wait_some(struct nbd_source *s, struct mlimg_err *err)
{
	int r = nbd_poll(s->nbd, mlimg_nbd_wait_ms);

	if (r > 0)
		return 0;
	s->is_broken = true;
	return r < 0 ? fail(err) : time_out(err);
}

static int read_once(
	struct nbd_source *s, uint64_t offset, void *data, size_t size, struct mlimg_err *err)
{
	int64_t cookie = nbd_aio_pread(s->nbd, data, size, offset, NBD_NULL_COMPLETION, 0);
	int done = 0, ret = cookie < 0 ? fail(err) : 0;

	while (ret == 0 && (done = nbd_aio_command_completed(s->nbd, (uint64_t)cookie)) == 0)
		ret = wait_some(s, err);
	return ret == 0 && done < 0 ? fail(err) : ret;
}

static int read_source(struct mlimg_block_source *source, uint64_t offset, void *data, size_t size,
	struct mlimg_err *err)
{
	struct nbd_source *s = (struct nbd_source *)source;
	int ret = s->is_broken ? mlimg_err_set(err, EIO, "qemu-nbd: gave no answer before") : 0;

	for (size_t done = 0; done < size && ret == 0;) {
		size_t n = size - done < REQUEST_MAX ? size - done : REQUEST_MAX;

		ret = read_once(s, offset + done, (uint8_t *)data + done, n, err);
		done += n;
	}
	return ret;
}

static int greet(struct nbd_source *s, int *socket, struct mlimg_err *err)
{
	int64_t size;
	int ret = 0;

	s->nbd = nbd_create();
	if (!s->nbd)
		return fail(err);
	if (nbd_aio_connect_socket(s->nbd, mlimg_steal_fd(socket)) < 0)
		return fail(err);
	while (ret == 0 && nbd_aio_is_connecting(s->nbd) == 1)
		ret = wait_some(s, err);
	if (ret < 0)
		return ret;
	size = nbd_get_size(s->nbd);
	if (size < 0)
		return fail(err);
	s->source.size_bytes = (uint64_t)size;
	return 0;
}

/* In what qemu-nbd takes as a list of options a comma is two. */
static int put_escaped(FILE *f, const char *text)
{
	for (; *text; text++)
		if (fputs(*text == ',' ? ",," : (char[]){*text, '\0'}, f) < 0)
			return -ENOMEM;
	return 0;
}

/*
 * By options: a name alone could be taken for a protocol's ("nbd:..."). The lock of a guest that
 * writes is in nobody's way who reads a snapshot: its clusters are never written again.
 */
static char *image_options(const char *path, bool is_shared)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	int ret;

	if (!f)
		return NULL;
	fprintf(f, "driver=qcow2,%sfile.driver=file,file.filename=",
		is_shared ? "force-share=on," : "");
	ret = put_escaped(f, path);
	if (fclose(f) != 0 || ret < 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int start(struct nbd_source *s, const char *path, const char *snapshot, bool is_shared,
	int *ret_socket, struct mlimg_err *err)
{
	mlimg_autofree char *options = image_options(path, is_shared), *load = NULL;
	char *argv[] = {(char *)"qemu-nbd", (char *)"--read-only", (char *)"--shared=1",
		(char *)"--image-opts", options, NULL};

	if (!options || (snapshot && asprintf(&load, "--load-snapshot=%s", snapshot) < 0))
		return mlimg_err_set(err, ENOMEM, "start qemu-nbd");
	if (load)
		argv[2] = load; /* one client is what it allows anyway */
	return mlimg_nbd_server_start(argv, &s->server, ret_socket, err);
}

/* Of an image that it does not take qemu-nbd says why, and ends. */
static int open_nbd(struct nbd_source *s, const char *path, const char *snapshot, bool is_shared,
	struct mlimg_err *err)
{
	mlimg_autoclose int socket = -1;
	char said[MLIMG_NBD_SAID_MAX];
	int ret = start(s, path, snapshot, is_shared, &socket, err);

	if (ret == 0) {
		ret = greet(s, &socket, err);
		if (ret < 0 && ret != -ETIMEDOUT) {
			mlimg_nbd_server_end(&s->server, said);
			if (strstr(said, "\"write\" lock"))
				return mlimg_err_set(err, EBUSY, "it is being written to");
			if (said[0])
				return mlimg_err_set(err, 0, "qemu-nbd: %.300s", said);
		}
	}
	return ret;
}

static int open_source(const char *path, const char *snapshot, bool is_shared,
	struct mlimg_block_source **ret, struct mlimg_err *err)
{
	struct nbd_source *s;
	int r;

	if (access(path, R_OK) < 0)
		return mlimg_err_set(err, errno, "open image '%s'", path);
	s = calloc(1, sizeof(*s));
	if (!s)
		return mlimg_err_set(err, ENOMEM, "open image '%s'", path);
	s->source.read = read_source;
	s->source.close = close_source;
	s->server = (struct mlimg_nbd_server)MLIMG_NBD_SERVER_INIT;
	r = open_nbd(s, path, snapshot, is_shared, err);
	if (r == 0)
		return mlimg_block_cache(&s->source, ret, err);
	close_source(&s->source);
	return mlimg_err_wrap(err, r, "%.200s", path);
}

int mlimg_nbd_source_open(const char *path, const char *snapshot, struct mlimg_block_source **ret,
	struct mlimg_err *err)
{
	return open_source(path, snapshot, snapshot != NULL, ret, err);
}

int mlimg_nbd_source_open_shared(
	const char *path, struct mlimg_block_source **ret, struct mlimg_err *err)
{
	return open_source(path, NULL, true, ret, err);
}
