/* SPDX-License-Identifier: MIT */
#include "tools/index-compile.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/disk.h"
#include "libmlimg/index.h"
#include "libmlimg/layer.h"
#include "libmlimg/stack.h"
#include "libmlimg/text.h"
#include "tools/compose-images.h"
#include "tools/index-merge.h"
#include "tools/inspect-layer.h"
#include "tools/outfile.h"
#include "tools/verity-make.h"

struct job {
	struct mlimg_index_layer *layers;
	struct mlimg_layer_info *infos;
	struct mlimg_stack stack;
	struct mlimg_manifest **manifests; /* NULL as long as nothing has to be composed */
	struct mlimg_composed composed;
	bool is_joined, has_tree;
	size_t n;
};

static void job_done(struct job *job)
{
	for (size_t i = 0; i < job->n; i++) {
		mlimg_ext4_close(job->layers[i].fs);
		mlimg_layer_info_done(&job->infos[i]);
		if (job->manifests)
			mlimg_manifest_free(job->manifests[i]);
	}
	mlimg_composed_done(&job->composed);
	free(job->manifests);
	free(job->layers);
	free(job->infos);
}

static int open_layers(
	struct job *job, const char *const *images, size_t n_images, struct mlimg_err *err)
{
	int r = 0;

	job->layers = calloc(n_images, sizeof(*job->layers));
	job->infos = calloc(n_images, sizeof(*job->infos));
	if (!job->layers || !job->infos)
		return mlimg_err_set(err, ENOMEM, "compile");
	for (size_t i = 0; r == 0 && i < n_images; i++) {
		job->n = i + 1;
		r = mlimg_ext4_open(images[i], &job->layers[i].fs, err);
		if (r == 0)
			r = mlimg_ext4_layer_info(job->layers[i].fs, &job->infos[i], err);
		job->layers[i].info = &job->infos[i];
		if (r == 0 && job->infos[i].kind == MLIMG_USER)
			r = mlimg_err_refuse(err,
				"'%s' is a user layer: an index is made of read-only layers",
				images[i]);
		if (r == 0 && mlimg_ext4_super(job->layers[i].fs)->is_dirty)
			r = mlimg_err_refuse(err,
				"'%s' has changes in its journal: it was written to, and not "
				"unmounted since",
				images[i]);
		if (r == 0) {
			r = mlimg_stack_push(&job->stack, &job->infos[i], err);
			if (r < 0)
				r = mlimg_err_wrap(err, r, "'%s'", images[i]);
		}
	}
	return r;
}

/* /mlimg/stack.json (libmlimg/stack.h). */
static int describe(
	const struct job *job, const char *stack_id, char **ret_text, struct mlimg_err *err)
{
	json_t *list = json_array(), *root;
	int r = list ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < job->n; i++) {
		mlimg_autofree char *text = NULL;

		r = mlimg_layer_to_json(&job->infos[i], &text, err);
		if (r == 0 && json_array_append_new(list, json_loads(text, 0, NULL)) < 0)
			r = -ENOMEM;
	}
	root = json_pack("{s:i, s:s, s:o}", "format", MLIMG_STACK_FORMAT, "stack_id", stack_id,
		"stack", list);
	*ret_text = root && r == 0 ? json_dumps(root, JSON_INDENT(1)) : NULL;
	json_decref(root);
	return *ret_text ? 0 : mlimg_err_set(err, ENOMEM, "describe the stack");
}

/*
 * Manifests are read only where there are records: these cost more than all the rest of a small
 * stack.
 */
static int compose(struct job *job, struct mlimg_err *err)
{
	struct mlimg_compose_images images = {.layers.n = 0};
	int r = 0;

	if (!mlimg_compose_is_needed(job->stack.layers, job->n))
		return 0;
	job->manifests = calloc(job->n, sizeof(struct mlimg_manifest *));
	if (!job->manifests)
		return mlimg_err_set(err, ENOMEM, "compose");
	for (size_t i = 0; r == 0 && i < job->n; i++) {
		r = mlimg_inspect_read_manifest(
			job->layers[i].fs, &job->infos[i], &job->manifests[i], err);
		if (r == 0)
			r = mlimg_inspect_agree(
				job->layers[i].fs, &job->infos[i], job->manifests[i], err);
		if (r == 0)
			mlimg_compose_images_push(
				&images, job->layers[i].fs, &job->infos[i], job->manifests[i]);
	}
	return r < 0 ? r : mlimg_compose(&images.layers, &job->composed, err);
}

/* All that is composed but the root, which is the layers'. */
static int merge(
	struct job *job, const char *stack_json, struct mlimg_erofs **ret, struct mlimg_err *err)
{
	const struct mlimg_manifest *m = job->composed.manifest;
	size_t n = m ? m->n_entries - 1 : 0;
	mlimg_autofree struct mlimg_index_composed *list = calloc(n + 1, sizeof(*list));
	struct mlimg_text text = {.data = NULL};
	int r = 0;

	for (size_t i = 0; list && i < n; i++)
		list[i] = (struct mlimg_index_composed){
			&m->entries[i + 1], job->composed.texts[i + 1].text};
	if (m)
		mlimg_manifest_put(m, mlimg_text_put, &text);
	if (!list || text.has_failed)
		r = mlimg_err_set(err, ENOMEM, "compose");
	if (r == 0)
		r = mlimg_index_merge(job->layers, job->n,
			&(struct mlimg_index_texts){stack_json, text.data}, list, n, ret, err);
	free(text.data);
	return r;
}

/* On a joined disk an image has its whole length, what lies behind its file system included. */
static int join(const struct job *job, struct mlimg_erofs *image, struct mlimg_err *err)
{
	uint64_t rooms[MLIMG_STACK_LAYERS_MAX];

	for (size_t i = 0; i < job->n; i++) {
		off_t end = lseek(mlimg_ext4_fd(job->layers[i].fs), 0, SEEK_END);

		if (end < 0)
			return mlimg_err_set(
				err, errno, "'%s'", mlimg_ext4_name(job->layers[i].fs));
		rooms[i] = (uint64_t)end / MLIMG_EXT4_BLOCK + (end % MLIMG_EXT4_BLOCK != 0);
	}
	return mlimg_erofs_join(image, rooms, err);
}

static void derive_uuid(
	const struct job *job, const char *stack_id, uint8_t ret_uuid[MLIMG_UUID_SIZE])
{
	struct mlimg_index_part parts[MLIMG_STACK_LAYERS_MAX];

	for (size_t i = 0; i < job->n; i++) {
		const struct mlimg_ext4_super *super = mlimg_ext4_super(job->layers[i].fs);

		parts[i].n_blocks = super->n_blocks;
		memcpy(parts[i].places, super->places, sizeof(parts[i].places));
	}
	mlimg_index_uuid(stack_id, MLIMG_INDEX_REVISION, parts, job->n, ret_uuid);
}

static int write_index(struct job *job, struct mlimg_outfile *out,
	struct mlimg_index_result *result, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	struct mlimg_erofs *image = NULL;
	uint8_t uuid[MLIMG_UUID_SIZE];
	int r;

	mlimg_stack_id(&job->stack, result->stack_id);
	derive_uuid(job, result->stack_id, uuid);
	r = describe(job, result->stack_id, &text, err);
	if (r == 0)
		r = merge(job, text, &image, err);
	if (r == 0 && job->is_joined)
		r = join(job, image, err);
	if (r == 0 && job->has_tree)
		mlimg_erofs_leave_room(image);
	if (r == 0)
		r = mlimg_erofs_write(
			image, out->fd, uuid, MLIMG_INDEX_LABEL, &result->size_bytes, err);
	if (image && r < 0)
		r = mlimg_err_wrap(err, r, "index '%s'", out->path);
	mlimg_erofs_free(image);
	return r;
}

static int add_tree(const struct job *job, struct mlimg_outfile *out,
	struct mlimg_index_result *result, struct mlimg_err *err)
{
	uint8_t uuid[MLIMG_UUID_SIZE];
	struct mlimg_verity verity;
	int r;

	if (!job->has_tree)
		return 0;
	derive_uuid(job, result->stack_id, uuid);
	r = mlimg_verity_append(
		out->fd, out->tmp_path, out->path, result->stack_id, uuid, &verity, err);
	if (r == 0)
		strcpy(result->root_hash, verity.root_hash);
	return r;
}

int mlimg_index_compile(const char *const *images, size_t n_images, const char *target,
	const struct mlimg_index_options *options, struct mlimg_index_result *ret,
	struct mlimg_err *err)
{
	mlimg_autooutfile struct mlimg_outfile out = MLIMG_OUTFILE_INIT;
	mlimg_cleanup(job_done) struct job job = {
		.is_joined = options->is_joined, .has_tree = options->has_tree};
	struct mlimg_index_result result = {.n_layers = n_images};
	const char *missing;
	int r;

	if (!n_images || n_images > MLIMG_STACK_LAYERS_MAX)
		return mlimg_err_usage(err,
			"an index has one system layer, at most %d patches and at most %d software "
			"layers",
			MLIMG_STACK_PATCH_MAX, MLIMG_STACK_SOFTWARE_MAX);
	for (size_t i = 0; i < n_images; i++)
		if (mlimg_outfile_is_input(target, images[i]))
			return mlimg_err_usage(err, "'%s' is both a layer and the index", target);
	r = open_layers(&job, images, n_images, err);
	if (r == 0)
		r = compose(&job, err);
	if (r == 0)
		r = mlimg_outfile_open(&out, target, options->replace, err);
	if (r == 0)
		r = write_index(&job, &out, &result, err);
	if (r == 0)
		r = add_tree(&job, &out, &result, err);
	if (r == 0)
		r = mlimg_outfile_commit(&out, err);
	if (r < 0)
		return r;
	if (mlimg_stack_is_built_over(&job.stack, &result.not_built_over, &missing))
		result.not_built_over = 0;
	if (ret)
		*ret = result;
	return 0;
}
