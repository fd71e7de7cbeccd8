/* SPDX-License-Identifier: MIT */
#include "guest-agent/verity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/trust.h"
#include "guest-agent/verity-devices.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/disk.h"

struct job {
	const struct mlimg_verity_wanted *wanted;
	struct mlimg_trust *trust;
	struct mlimg_index joined;
	struct mlimg_verified layers[MLIMG_BOOT_LAYERS_MAX], index;
};

static void verified_init(struct mlimg_verified *v)
{
	v->part.fd = -1;
}

static void verified_done(struct mlimg_verified *v)
{
	mlimg_cleanup_close(&v->part.fd);
	mlimg_verity_done(&v->verity);
}

static void job_free(struct job *job)
{
	for (size_t i = 0; job && i < MLIMG_BOOT_LAYERS_MAX; i++)
		verified_done(&job->layers[i]);
	if (!job)
		return;
	verified_done(&job->index);
	mlimg_trust_free(job->trust);
	free(job);
}
MLIMG_DEFINE_CLEANUP(struct job, job_free)

/* O_NONBLOCK: a FIFO given by mistake must not stop us. */
static int open_dev(const char *dev, struct mlimg_verified *v, struct mlimg_err *err)
{
	v->part.fd = open(dev, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (v->part.fd < 0)
		return mlimg_err_set(err, errno, "open %s", dev);
	snprintf(v->name, sizeof(v->name), "%s", dev);
	v->part.name = v->name;
	return 0;
}

static int take_layer(
	const struct mlimg_disk *disk, struct mlimg_verified *v, struct mlimg_err *err)
{
	if (disk->state == MLIMG_DISK_UNREADABLE)
		return mlimg_err_set(err, disk->error, "read %s", v->name);
	if (disk->state != MLIMG_DISK_LAYER || disk->is_index ||
		disk->sb.block_size != MLIMG_VERITY_BLOCK)
		return mlimg_err_refuse(err, "%s: no layer", v->name);
	v->part.size_bytes = disk->size_bytes;
	v->part.n_blocks = disk->sb.size_bytes / MLIMG_VERITY_BLOCK;
	memcpy(v->part.uuid, disk->sb.uuid, sizeof(v->part.uuid));
	return mlimg_verity_read(&v->part, &v->verity, err);
}

static int read_layer(const char *dev, struct mlimg_verified *v, struct mlimg_err *err)
{
	struct mlimg_disk disk;
	int r = open_dev(dev, v, err);

	if (r < 0)
		return r;
	mlimg_disk_probe(v->part.fd, &disk);
	return take_layer(&disk, v, err);
}

/* Layer @i, which lies behind the index. */
static int read_joined(struct job *job, size_t i, struct mlimg_err *err)
{
	struct mlimg_verified *v = &job->layers[i];
	const struct mlimg_erofs_device *place = &job->joined.layers[i];
	struct mlimg_disk disk;
	int r = open_dev(job->wanted->index.dev, v, err);

	if (r < 0)
		return r;
	snprintf(v->name, sizeof(v->name), "block %u of %.200s", place->first_block,
		job->wanted->index.dev);
	v->part.offset_bytes = (uint64_t)place->first_block * MLIMG_VERITY_BLOCK;
	mlimg_disk_probe_part(v->part.fd, v->part.offset_bytes,
		mlimg_index_room(&job->joined, i) * MLIMG_VERITY_BLOCK, &disk);
	r = take_layer(&disk, v, err);
	if (r == 0 && v->part.n_blocks != place->n_blocks)
		return mlimg_err_refuse(err, "%s: it is not as large as the index says", v->name);
	return r;
}

static int read_index(struct job *job, struct mlimg_err *err)
{
	struct mlimg_verified *v = &job->index;
	int r = open_dev(job->wanted->index.dev, v, err);

	if (r == 0)
		r = mlimg_index_read(v->part.fd, v->name, &job->joined, err);
	if (r < 0)
		return r;
	if (job->joined.is_joined != job->wanted->is_joined)
		return mlimg_err_refuse(err, "%s: the index there is %s", v->name,
			job->joined.is_joined ? "joined" : "not joined");
	if (job->joined.is_joined && job->joined.n_layers != job->wanted->n_layers)
		return mlimg_err_refuse(err, "%s: the index there is over %zu layers, not %zu",
			v->name, job->joined.n_layers, job->wanted->n_layers);
	v->part.n_blocks = job->joined.size_bytes / MLIMG_VERITY_BLOCK;
	v->part.size_bytes = job->joined.is_joined ? job->joined.room_bytes : UINT64_MAX;
	memcpy(v->part.uuid, job->joined.uuid, sizeof(v->part.uuid));
	return mlimg_verity_read(&v->part, &v->verity, err);
}

static const char *hash_of(const struct mlimg_verity_rule *rule, const char *id)
{
	for (size_t i = 0; i < rule->n_hashes; i++)
		if (strncmp(rule->hashes[i].id, id, MLIMG_SHORT_ID) == 0)
			return rule->hashes[i].hash;
	return NULL;
}

static int check_signature(
	const struct job *job, const struct mlimg_verified *v, struct mlimg_err *err)
{
	int r;

	if (!v->verity.signature)
		return mlimg_err_refuse(err, "%s: it is not signed", v->name);
	r = mlimg_trust_check(job->trust, v->verity.signature, v->verity.signature_size,
		v->verity.root_hash, err);
	return r < 0 ? mlimg_err_wrap(err, r, "%s", v->name) : 0;
}

/* With a hash of the stack all are judged together. */
static int judge(const struct job *job, const struct mlimg_verity_item *item,
	const struct mlimg_verified *v, struct mlimg_err *err)
{
	const struct mlimg_verity_rule *rule = job->wanted->rule;
	const char *hash = hash_of(rule, item->id);

	if (rule->form == MLIMG_VERITY_STACK)
		return 0;
	if (rule->form == MLIMG_VERITY_REQUIRE && item != &job->wanted->index)
		return check_signature(job, v, err);
	if (!hash)
		return mlimg_err_refuse(err, "%s: mlimg.verity has no root hash of it", v->name);
	if (strcmp(v->verity.root_hash, hash) != 0)
		return mlimg_err_refuse(
			err, "%s: its root hash is %s, not %s", v->name, v->verity.root_hash, hash);
	return 0;
}

static int judge_stack(const struct job *job, struct mlimg_err *err)
{
	struct mlimg_verity_root roots[MLIMG_BOOT_LAYERS_MAX + 1];
	const struct mlimg_verity_wanted *w = job->wanted;
	char hash[MLIMG_SHA256_HEX_SIZE];

	if (w->rule->form != MLIMG_VERITY_STACK)
		return 0;
	for (size_t i = 0; i < w->n_layers + (w->index.id != NULL); i++) {
		const struct mlimg_verified *v = i < w->n_layers ? &job->layers[i] : &job->index;

		memcpy(roots[i].uuid, v->part.uuid, sizeof(roots[i].uuid));
		strcpy(roots[i].root_hash, v->verity.root_hash);
	}
	mlimg_verity_stack_hash(roots, w->n_layers + (w->index.id != NULL), hash);
	if (strcmp(hash, w->rule->stack_hash) != 0)
		return mlimg_err_refuse(err,
			"the stack cannot be verified: its hash is %s, and mlimg.verity has %s",
			hash, w->rule->stack_hash);
	return 0;
}

static int name_failed(const struct mlimg_verity_item *item, int r, struct mlimg_err *err)
{
	return r < 0 ? mlimg_err_wrap(err, r, "the %s %.*s cannot be verified", item->what,
			       MLIMG_SHORT_ID, item->id)
		     : 0;
}

static int check(struct job *job, struct mlimg_err *err)
{
	const struct mlimg_verity_wanted *w = job->wanted;
	int r = 0;

	if (w->rule->form == MLIMG_VERITY_REQUIRE)
		r = mlimg_trust_load(w->trust_dir, &job->trust, err);
	if (r < 0)
		return r;
	if (job->trust && mlimg_trust_size(job->trust) == 0)
		return mlimg_err_refuse(err,
			"mlimg.verity=require, but there is no certificate in %s of the "
			"initramfs: put one into that directory of the system, and make the "
			"initramfs again",
			w->trust_dir);
	if (w->index.id) {
		r = read_index(job, err);
		if (r == 0)
			r = judge(job, &w->index, &job->index, err);
		r = name_failed(&w->index, r, err);
	}
	for (size_t i = 0; i < w->n_layers && r == 0; i++) {
		r = w->is_joined ? read_joined(job, i, err)
				 : read_layer(w->layers[i].dev, &job->layers[i], err);
		if (r == 0)
			r = judge(job, &w->layers[i], &job->layers[i], err);
		r = name_failed(&w->layers[i], r, err);
	}
	return r < 0 ? r : judge_stack(job, err);
}

int mlimg_verity_open(const struct mlimg_verity_wanted *wanted, struct mlimg_err *err)
{
	mlimg_cleanup(job_free_cleanup) struct job *job = calloc(1, sizeof(*job));
	int r;

	if (!job)
		return mlimg_err_set(err, ENOMEM, "verity");
	job->wanted = wanted;
	verified_init(&job->index);
	for (size_t i = 0; i < MLIMG_BOOT_LAYERS_MAX; i++)
		verified_init(&job->layers[i]);
	r = check(job, err);
	if (r < 0)
		return r;
	return mlimg_verity_devices(job->layers, wanted->n_layers,
		wanted->index.id ? &job->index : NULL, wanted->is_joined ? &job->joined : NULL,
		err);
}
