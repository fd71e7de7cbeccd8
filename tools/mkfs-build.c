/* SPDX-License-Identifier: MIT */
#include "tools/mkfs-build.h"

#include <errno.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "libmlimg/cleanup.h"
#include "tools/beneath.h"
#include "tools/ext4-data.h"
#include "tools/estimate.h"
#include "tools/ext4-write.h"
#include "tools/mkfs-compare.h"
#include "tools/mkfs-delta.h"
#include "tools/outfile.h"
#include "tools/profile-place.h"
#include "tools/sidecar.h"
#include "tools/source-beneath.h"
#include "tools/source.h"
#include "tools/verity-make.h"

/* What lies around the source's tree in the image. */
struct frame {
	struct mlimg_node *top; /* the source's root */
	struct mlimg_node *own; /* /mlimg */
	struct mlimg_node *manifest, *json;
};

/* A sink cannot fail, so it remembers. */
struct manifest_out {
	struct mlimg_data *data;
	struct mlimg_err *err;
	int result;
};

static void put_manifest(void *ctx, const char *text, size_t size)
{
	struct manifest_out *out = ctx;

	if (out->result == 0)
		out->result = mlimg_data_write(out->data, text, size, out->err);
}

/* A file or directory of mlimg's own; it gets the image's time later. */
static int put_own(struct mlimg_tree *tree, struct mlimg_node *parent, const char *name,
	enum mlimg_type type, uint16_t mode, struct mlimg_node **ret_node, struct mlimg_err *err)
{
	struct mlimg_entry entry = {
		.path = (char *)name, .type = (uint8_t)type, .mode = mode, .nlink = 1};
	int r = mlimg_tree_put(tree, parent, name, &entry, ret_node, err);

	if (r == 0)
		(*ret_node)->inode->is_implied = true;
	return r;
}

static int put_frame(struct mlimg_tree *tree, enum mlimg_kind kind, struct frame *ret_frame,
	struct mlimg_err *err)
{
	bool is_user = kind == MLIMG_USER;
	struct mlimg_node *root = mlimg_tree_root(tree), *own, *other;
	int r;

	root->inode->is_implied = true;
	r = put_own(
		tree, root, is_user ? "upper" : "rootfs", MLIMG_DIR, 0755, &ret_frame->top, err);
	if (r == 0)
		r = put_own(tree, root, "mlimg", MLIMG_DIR, is_user ? 0700 : 0755, &own, err);
	if (r == 0)
		r = put_own(tree, own, "manifest", MLIMG_FILE, 0644, &ret_frame->manifest, err);
	if (r == 0)
		r = put_own(tree, own, "layer.json", MLIMG_FILE, 0644, &ret_frame->json, err);
	if (r == 0)
		ret_frame->own = own;
	if (r < 0 || !is_user)
		return r;
	r = put_own(tree, root, "work", MLIMG_DIR, 0700, &other, err);
	/* e2fsck wants it in a file system that it may have to repair. */
	return r < 0 ? r : put_own(tree, root, "lost+found", MLIMG_DIR, 0700, &other, err);
}

/* The topmost one first: see source.h. */
static int read_sources(
	const struct mlimg_build *build, struct mlimg_source_to *to, struct mlimg_err *err)
{
	bool is_partial = false;
	int r = 0;

	for (size_t i = build->n_sources; r == 0 && i-- > 0;) {
		to->has_beneath = i > 0;
		r = mlimg_source_read(
			build->sources[i], build->form, &build->choice, to, &is_partial, err);
	}
	/* What the bottom one lacks, nothing has: those above are merged with it. */
	if (r == 0 && build->over && is_partial)
		build->over->is_partial = true;
	return r;
}

/* @param ret_place  stays NULL without a profile */
static int fill_tree(const struct mlimg_build *build, struct mlimg_source_to *to, int image_fd,
	struct mlimg_place **ret_place, struct mlimg_err *err)
{
	struct mlimg_budget budget = {.limit_bytes = build->limit_bytes};
	mlimg_autofree char *image = strdup(build->image);
	struct mlimg_estimate *estimate = NULL;
	struct mlimg_progress progress;
	struct stat st;
	int r = 0;

	if (!image)
		return mlimg_err_set(err, ENOMEM, "write '%s'", build->image);
	if (fstat(image_fd, &st) < 0)
		return mlimg_err_set(err, errno, "write '%s'", build->image);
	to->image_dev = st.st_dev;
	to->image_ino = st.st_ino;
	to->budget = &budget;
	to->owners = build->owners;
	to->beneath = build->beneath;
	to->spool_dir = dirname(image);
	mlimg_progress_init(&progress, "reading source", 0);
	if (!build->is_quiet) {
		to->progress = &progress;
		estimate = mlimg_estimate_begin(
			(const char *const *)build->sources, build->n_sources, &progress);
	}
	if (build->profile)
		r = mlimg_place_new(build->profile, to, ret_place, err);
	if (r == 0)
		r = read_sources(build, to, err);
	if (r == 0)
		r = mlimg_source_complete(to, err);
	mlimg_estimate_end(estimate);
	mlimg_progress_end(&progress);
	return r;
}

static int64_t image_time(const struct mlimg_build *build, const struct mlimg_node *top)
{
	if (build->has_time)
		return build->time_s;
	return build->n_sources ? mlimg_tree_newest(top) : (int64_t)time(NULL);
}

/* Write the manifest into the image; its digest is the build id. */
static int write_manifest(struct mlimg_data *data, const struct frame *frame,
	struct mlimg_layer_info *info, struct mlimg_err *err)
{
	struct mlimg_file *file = frame->manifest->inode->file;
	struct manifest_out out = {.data = data, .err = err};
	struct mlimg_tree_sums sums;
	int r = mlimg_data_sync(data, NULL, err); /* digests of all files */

	if (r < 0)
		return r;
	mlimg_data_begin(data, file, true);
	put_manifest(&out, "#mtree\n", strlen("#mtree\n"));
	mlimg_layer_put_header(info, put_manifest, &out);
	mlimg_tree_manifest(frame->top, put_manifest, &out, &sums);
	if (out.result < 0)
		return out.result;
	r = mlimg_data_end(data, err);
	if (r == 0)
		r = mlimg_data_sync(data, NULL, err);
	if (r < 0)
		return r;
	mlimg_sha256_hex(file->digest, info->build_id);
	info->entries = sums.entries;
	info->size_bytes = sums.size_bytes;
	return 0;
}

static int write_json(struct mlimg_data *data, const struct frame *frame,
	const struct mlimg_layer_info *info, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	int r = mlimg_layer_to_json(info, &text, err);

	if (r < 0)
		return r;
	mlimg_data_begin(data, frame->json->inode->file, false);
	r = mlimg_data_write(data, text, strlen(text), err);
	return r < 0 ? r : mlimg_data_end(data, err);
}

/* ---- patches ---- */

static int check_bases(
	const struct mlimg_build *build, const struct mlimg_beneath *b, struct mlimg_err *err)
{
	for (size_t i = 0; i < mlimg_beneath_n(b); i++)
		if (mlimg_beneath_info(b, i)->kind == MLIMG_SOFTWARE)
			return mlimg_err_refuse(err,
				"'%s' is a software layer: a patch stands on a system and its "
				"patches",
				build->bases[i]);
	return 0;
}

static void add_to_digest(void *ctx, const char *text, size_t size)
{
	mlimg_sha256_add(ctx, text, size);
}

/* The build id that the tree would have as a system layer of its own. */
static void set_result(const struct mlimg_node *top, struct mlimg_layer_info *info)
{
	struct mlimg_layer_info whole = *info;
	uint8_t digest[MLIMG_SHA256_SIZE];
	struct mlimg_tree_sums sums;
	struct mlimg_sha256 sha;

	whole.kind = MLIMG_SYSTEM;
	mlimg_sha256_init(&sha);
	add_to_digest(&sha, "#mtree\n", strlen("#mtree\n"));
	mlimg_layer_put_header(&whole, add_to_digest, &sha);
	mlimg_tree_manifest(top, add_to_digest, &sha, &sums);
	mlimg_sha256_end(&sha, digest);
	mlimg_sha256_hex(digest, info->result);
}

static int reduce(const struct mlimg_source_to *to, const struct mlimg_beneath *beneath,
	struct mlimg_layer_info *info, struct mlimg_err *err)
{
	int r = mlimg_data_sync(to->data, NULL, err); /* digests of all files */

	if (r < 0)
		return r;
	set_result(to->top, info);
	strcpy(info->base, mlimg_stack_system_id(mlimg_beneath_stack(beneath)));
	return mlimg_delta_apply(to->tree, to->top, beneath, info->time_s, to->data, err);
}

/* ---- the whole ---- */

static int finish(struct mlimg_writer *writer, struct mlimg_tree *tree,
	const struct mlimg_layer_info *info, struct mlimg_err *err)
{
	struct mlimg_writer_identity identity = {
		.label = mlimg_kind_label(info->kind), .time_s = info->time_s};

	if (!mlimg_layer_uuid(info->build_id, identity.uuid))
		return mlimg_err_set(err, EINVAL, "build id '%s'", info->build_id);
	return mlimg_writer_finish(writer, tree, &identity, err);
}

/* What is being built. */
struct building {
	const struct mlimg_build *build;
	struct mlimg_layer_info *info;
	struct mlimg_writer *writer;
	struct mlimg_tree *tree;
	struct mlimg_beneath_later *later; /* of a patch */
	struct mlimg_beneath *base;        /* the same, open; later's */
	struct mlimg_place *place;         /* with a profile */
	struct mlimg_source_to to;
	struct mlimg_known known;
	struct frame frame;
	struct mlimg_err *err;
};

static int begin(struct building *b, const struct mlimg_outfile *out)
{
	int r = 0;

	if (b->build->n_bases)
		r = mlimg_beneath_open_later(b->build->bases, b->build->n_bases, &b->later, b->err);
	/* The source of a patch is a whole system. */
	b->to.kind = b->info->kind == MLIMG_PATCH ? MLIMG_SYSTEM : b->info->kind;
	if (r == 0)
		r = mlimg_tree_new(b->to.kind, &b->tree, b->err);
	if (r == 0)
		r = put_frame(b->tree, b->info->kind, &b->frame, b->err);
	if (r == 0)
		r = mlimg_writer_begin(out->fd, out->tmp_path, b->build->image, b->info->kind,
			b->build->size_bytes, &b->writer, b->err);
	if (r < 0)
		return r;
	b->to.tree = b->tree;
	b->to.top = b->frame.top;
	b->to.data = mlimg_writer_data(b->writer);
	return 0;
}

/* All that the sources have: under the rules, and without writing what is beneath already. */
static int take_sources(struct building *b, int image_fd)
{
	struct mlimg_rules *rules = b->build->rules;
	int r = 0;

	b->known = b->later ? mlimg_compare_known_later(b->later)
			    : mlimg_compare_known(b->build->beneath);
	b->to.known = b->later || b->build->over ? &b->known : NULL;
	mlimg_data_leave_out(b->to.data, b->to.known);
	b->to.trusted = b->build->trusts_times ? b->later : NULL;
	b->to.rules = rules;
	if (rules) {
		rules->kind = b->to.kind;
		rules->beneath = b->build->beneath;
		rules->is_compared = b->build->over;
		mlimg_tree_judge(b->tree, mlimg_rules_take, rules);
	}
	if (b->build->is_deduped)
		r = mlimg_data_dedupe(b->to.data, b->err);
	if (r == 0)
		r = fill_tree(b->build, &b->to, image_fd, &b->place, b->err);
	if (r == 0)
		r = mlimg_data_share(b->to.data, b->err);
	mlimg_tree_judge(b->tree, NULL, NULL);
	mlimg_data_leave_out(b->to.data, NULL);
	if (r == 0 && rules)
		r = mlimg_rules_finish(rules, b->info, b->err);
	return r < 0 ? r : mlimg_tree_finish(b->tree, b->frame.top, b->err);
}

/* The old system was opened meanwhile. If that failed, nothing else counts. */
static int await_bases(struct building *b, int r)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	int opened = mlimg_beneath_wait(b->later, &b->base, &err);

	if (opened == 0)
		opened = check_bases(b->build, b->base, &err);
	if (opened < 0)
		*b->err = err;
	return opened < 0 ? opened : r;
}

/* Of a software layer over others, what differs from them. */
static int reduce_over(struct building *b)
{
	struct mlimg_over *over = b->build->over;
	int r = mlimg_data_sync(b->to.data, NULL, b->err); /* digests of all files */

	if (r == 0)
		r = mlimg_over_apply(over, b->tree, b->frame.top, b->build->beneath,
			b->build->rules, b->to.data, b->err);
	if (r == 0)
		r = mlimg_databases_write(
			&over->databases, b->tree, b->frame.own, b->to.data, b->info, b->err);
	return r < 0 ? r : mlimg_tree_finish(b->tree, b->frame.top, b->err);
}

static int build_all(struct building *b, const struct mlimg_outfile *out)
{
	int r = begin(b, out);

	if (r == 0)
		r = take_sources(b, out->fd);
	if (b->later)
		r = await_bases(b, r);
	if (r == 0 && b->build->over)
		r = reduce_over(b);
	if (r < 0)
		return r;
	b->info->time_s = image_time(b->build, b->frame.top);
	mlimg_tree_set_implied(mlimg_tree_root(b->tree), b->info->time_s);
	if (b->base)
		r = reduce(&b->to, b->base, b->info, b->err);
	if (r == 0 && b->place)
		r = mlimg_place_apply(
			b->place, out->fd, b->build->image, b->build->ret_unknown, b->err);
	if (r == 0)
		r = write_manifest(b->to.data, &b->frame, b->info, b->err);
	if (r == 0)
		r = write_json(b->to.data, &b->frame, b->info, b->err);
	return r < 0 ? r : finish(b->writer, b->tree, b->info, b->err);
}

static int build_into(const struct mlimg_build *build, const struct mlimg_outfile *out,
	struct mlimg_layer_info *info, struct mlimg_err *err)
{
	struct building b = {.build = build, .info = info, .err = err};
	int r = build_all(&b, out);

	mlimg_place_free(b.place);
	mlimg_writer_free(b.writer);
	mlimg_tree_free(b.tree);
	mlimg_beneath_later_free(b.later);
	return r;
}

static int add_verity(const struct mlimg_build *build, const struct mlimg_outfile *out,
	const struct mlimg_layer_info *info, struct mlimg_err *err)
{
	struct mlimg_verity *verity = build->verity;
	uint8_t uuid[MLIMG_UUID_SIZE];
	int r = 0;

	if (verity && !mlimg_layer_uuid(info->build_id, uuid))
		r = mlimg_err_set(err, EINVAL, "hash tree of '%s'", build->image);
	else if (verity)
		r = mlimg_verity_append(
			out->fd, out->tmp_path, build->image, info->build_id, uuid, verity, err);
	if (r < 0 || !build->signer)
		return r;
	r = mlimg_signer_sign(
		build->signer, verity->root_hash, &verity->signature, &verity->signature_size, err);
	return r < 0 ? r : mlimg_verity_append_signature(out->fd, build->image, verity, err);
}

int mlimg_build_layer(const struct mlimg_build *build, struct mlimg_layer_info *info,
	uint64_t *ret_size_bytes, struct mlimg_err *err)
{
	mlimg_autooutfile struct mlimg_outfile out = MLIMG_OUTFILE_INIT;
	mlimg_autosidecar struct mlimg_sidecar_out beside = MLIMG_SIDECAR_OUT_INIT;
	struct stat st;
	int r = mlimg_outfile_open(&out, build->image, build->can_replace, err);

	if (r == 0)
		r = mlimg_sidecar_open(&beside, build->image, build->can_replace, build->verity,
			build->signer, err);
	if (r == 0)
		r = build_into(build, &out, info, err);
	if (r == 0)
		r = add_verity(build, &out, info, err);
	if (r < 0)
		return r;
	if (fstat(out.fd, &st) < 0)
		return mlimg_err_set(err, errno, "write '%s'", build->image);
	*ret_size_bytes = (uint64_t)st.st_size;
	return mlimg_sidecar_commit(&beside, &out, info, build->verity, err);
}
