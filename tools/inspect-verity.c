/* SPDX-License-Identifier: MIT */
#include "tools/inspect-verity.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/inspect-print.h"
#include "tools/verity-sign.h"

/*
 * The sidecar has every key of the image's own description: as text they are easily compared, all
 * of them.
 */
static int compare_info(
	struct mlimg_inspect *in, const struct mlimg_sidecar *sidecar, struct mlimg_err *err)
{
	mlimg_autofree char *own = NULL, *beside = NULL;
	int r = mlimg_layer_to_json(&in->info, &own, err);

	if (r == 0)
		r = mlimg_layer_to_json(&sidecar->info, &beside, err);
	if (r == 0 && strcmp(own, beside) != 0)
		return mlimg_err_refuse(err, "%.200s%s: is another image's, or damaged",
			in->options->image, MLIMG_SIDECAR_SUFFIX);
	return r;
}

/* The same one lies in the image and beside it. */
static int compare_signatures(
	struct mlimg_inspect *in, const struct mlimg_inspect_verity *v, struct mlimg_err *err)
{
	const struct mlimg_verity *own = &v->tree, *beside = &v->sidecar.verity;

	if (own->signature_size == beside->signature_size &&
		(!own->signature ||
			memcmp(own->signature, beside->signature, own->signature_size) == 0))
		return 0;
	return mlimg_err_refuse(err, "%.200s: the signature in it is not the one in '%.140s%s'",
		in->options->image, in->options->image, MLIMG_SIDECAR_SUFFIX);
}

static int compare_sidecar(
	struct mlimg_inspect *in, struct mlimg_inspect_verity *v, struct mlimg_err *err)
{
	const struct mlimg_verity *beside = &v->sidecar.verity;
	int r;

	if (v->tree.data_blocks == 0)
		return mlimg_err_refuse(err,
			"%.200s: has no hash tree, but there is '%.140s%s' or '%s'",
			in->options->image, in->options->image, MLIMG_SIDECAR_SUFFIX,
			MLIMG_SIGNATURE_SUFFIX);
	if (!v->sidecar.is_there)
		return 0;
	r = compare_info(in, &v->sidecar, err);
	if (r < 0)
		return r;
	if (beside->data_blocks != v->tree.data_blocks ||
		memcmp(beside->salt, v->tree.salt, sizeof(beside->salt)) != 0)
		return mlimg_err_refuse(err, "%.200s%s: is another hash tree's, or damaged",
			in->options->image, MLIMG_SIDECAR_SUFFIX);
	strcpy(v->tree.root_hash, beside->root_hash);
	v->is_known = true;
	return compare_signatures(in, v, err);
}

static int take_root_hash(
	struct mlimg_inspect *in, struct mlimg_inspect_verity *v, struct mlimg_err *err)
{
	const char *given = in->options->values[MLIMG_INSPECT_ROOT_HASH];
	uint8_t digest[MLIMG_SHA256_SIZE];

	if (!given)
		return 0;
	if (!mlimg_sha256_is_hex(given, digest))
		return mlimg_err_usage(err,
			"--root-hash '%s': 64 lower-case hexadecimal digits are wanted", given);
	if (v->is_known && strcmp(v->tree.root_hash, given) != 0)
		return mlimg_err_refuse(err, "%.200s%s: its root hash is %s, not %s",
			in->options->image, MLIMG_SIDECAR_SUFFIX, v->tree.root_hash, given);
	strcpy(v->tree.root_hash, given);
	v->is_known = true;
	return 0;
}

/* What the options want to be compared has to be there. */
static int check_wanted(
	struct mlimg_inspect *in, const struct mlimg_inspect_verity *v, struct mlimg_err *err)
{
	bool has_cert = mlimg_inspect_has(in, MLIMG_INSPECT_CERT);

	if (v->tree.data_blocks == 0 &&
		(has_cert || mlimg_inspect_has(in, MLIMG_INSPECT_ROOT_HASH)))
		return mlimg_err_refuse(err, "%.200s: has no hash tree", in->options->image);
	if (has_cert && !v->tree.signature)
		return mlimg_err_refuse(err, "%.200s: is not signed", in->options->image);
	return 0;
}

int mlimg_inspect_verity_find(
	struct mlimg_inspect *in, struct mlimg_inspect_verity *ret_verity, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_inspect_verity_done) struct mlimg_inspect_verity v = {
		.is_known = false};
	int r = mlimg_verity_find(in->fs, &v.tree, err);

	if (r == 0)
		r = mlimg_sidecar_read(in->options->image, &v.sidecar, err);
	if (r == 0 && (v.sidecar.is_there || v.sidecar.verity.signature))
		r = compare_sidecar(in, &v, err);
	if (r == 0)
		r = take_root_hash(in, &v, err);
	if (r == 0)
		r = check_wanted(in, &v, err);
	if (r < 0)
		return r;
	*ret_verity = v;
	v = (struct mlimg_inspect_verity){.is_known = false};
	return 0;
}

static int check_signature(
	struct mlimg_inspect *in, struct mlimg_inspect_verity *v, struct mlimg_err *err)
{
	const char *cert = in->options->values[MLIMG_INSPECT_CERT];
	int r;

	if (!cert)
		return 0;
	r = mlimg_signature_check(v->tree.signature, v->tree.signature_size, v->tree.root_hash,
		cert, &v->signer, err);
	if (r == -EUCLEAN)
		return mlimg_err_wrap(
			err, r, "%.200s: its signature is not good", in->options->image);
	return r;
}

/* Whose the blocks are that are not as in the tree. */
struct search {
	struct mlimg_ext4 *fs;
	struct mlimg_inspect_verity *v;
	size_t n;
};

static bool is_block_of(const struct mlimg_ext4_inode *inode,
	const struct mlimg_ext4_extent *extents, size_t n, uint64_t block)
{
	for (size_t i = 0; i < n; i++)
		if (block >= extents[i].physical &&
			block - extents[i].physical < extents[i].n_blocks)
			return true;
	return block && inode->xattr_block == block;
}

static int search_entry(const struct mlimg_entry *entry, const struct mlimg_ext4_inode *inode,
	void *ctx, struct mlimg_err *err)
{
	struct search *s = ctx;
	mlimg_autofree struct mlimg_ext4_extent *extents = NULL;
	char escaped[MLIMG_ESCAPED_SIZE];
	size_t n = 0;
	int r = 0;

	if (inode->type == MLIMG_FILE || inode->type == MLIMG_DIR)
		r = mlimg_ext4_extents(s->fs, inode, &extents, &n, err);
	for (size_t i = 0; r == 0 && i < s->n; i++) {
		if (s->v->owners[i] || !is_block_of(inode, extents, n, s->v->flaws.blocks[i]))
			continue;
		if (asprintf(&s->v->owners[i], "/%s", mlimg_manifest_escape(entry->path, escaped)) <
			0) {
			s->v->owners[i] = NULL;
			return mlimg_err_set(err, ENOMEM, "verify");
		}
	}
	return r;
}

static int search_owners(
	struct mlimg_inspect *in, struct mlimg_inspect_verity *v, struct mlimg_err *err)
{
	struct search search = {.fs = in->fs, .v = v};
	struct mlimg_ext4_inode root;
	int r;

	search.n = v->flaws.n < MLIMG_VERITY_SHOWN_MAX ? v->flaws.n : MLIMG_VERITY_SHOWN_MAX;
	if (search.n == 0)
		return 0;
	r = mlimg_ext4_inode_read(in->fs, MLIMG_EXT4_ROOT_INO, &root, err);
	return r < 0 ? r : mlimg_ext4_walk(in->fs, &root, search_entry, &search, err);
}

int mlimg_inspect_verity_check_tree(
	struct mlimg_inspect *in, struct mlimg_inspect_verity *v, struct mlimg_err *err)
{
	int r;

	if (v->tree.data_blocks == 0)
		return 0;
	r = mlimg_verity_check_tree(in->fs, &v->tree, err);
	return r < 0 ? r : check_signature(in, v, err);
}

int mlimg_inspect_verity_check_data(
	struct mlimg_inspect *in, struct mlimg_inspect_verity *v, struct mlimg_err *err)
{
	int r;

	if (v->tree.data_blocks == 0)
		return 0;
	r = mlimg_verity_check_data(in->fs, &v->tree, &v->flaws, err);
	return r < 0 ? r : search_owners(in, v, err);
}

void mlimg_inspect_verity_put_found(const struct mlimg_inspect_verity *v)
{
	if (v->tree.data_blocks == 0)
		return;
	printf("%-12s %s\n", "root hash",
		v->is_known ? v->tree.root_hash
			    : "not known: there is a hash tree, but no sidecar");
	if (v->tree.signature)
		printf("%-12s there is one; 'verify' checks it\n", "signature");
}

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

json_t *mlimg_inspect_verity_found_json(const struct mlimg_inspect_verity *v)
{
	char salt[MLIMG_SHA256_HEX_SIZE];

	mlimg_sha256_hex(v->tree.salt, salt);
	return json_pack("{s:o, s:s, s:I, s:I, s:b}", "root_hash",
		text_or_null(v->is_known ? v->tree.root_hash : NULL), "salt", salt, "data_blocks",
		(json_int_t)v->tree.data_blocks, "hash_offset_bytes",
		(json_int_t)v->tree.hash_offset_bytes, "is_signed", v->tree.signature != NULL);
}

void mlimg_inspect_verity_put_checked(const struct mlimg_inspect_verity *v)
{
	if (v->tree.data_blocks == 0)
		return;
	printf("%-12s %" PRIu64 " %s read: ", "hash tree", v->tree.data_blocks,
		mlimg_cli_noun(v->tree.data_blocks, "block", "blocks"));
	if (v->flaws.n == 0)
		puts("as in the tree");
	else
		printf("%" PRIu64 " %s not as in the tree\n", v->flaws.n,
			mlimg_cli_noun(v->flaws.n, "is", "are"));
	for (size_t i = 0; i < MLIMG_VERITY_SHOWN_MAX && i < v->flaws.n; i++)
		printf("  block %" PRIu64 ": %s\n", v->flaws.blocks[i],
			v->owners[i] ? v->owners[i] : "the file system's own, or unused");
	if (v->flaws.n > MLIMG_VERITY_SHOWN_MAX)
		printf("  and %" PRIu64 " more\n", v->flaws.n - MLIMG_VERITY_SHOWN_MAX);
	printf("%-12s %s%s\n", "root hash", v->tree.root_hash,
		v->is_known ? "" : " (as computed: nothing to compare it with)");
	if (v->signer)
		printf("%-12s good: %s\n", "signature", v->signer);
	else if (v->tree.signature)
		printf("%-12s not checked: '--cert' does\n", "signature");
}

static json_t *blocks_of(const struct mlimg_inspect_verity *v)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < MLIMG_VERITY_SHOWN_MAX && i < v->flaws.n; i++) {
		json_t *object = json_pack("{s:I, s:o}", "block", (json_int_t)v->flaws.blocks[i],
			"path", text_or_null(v->owners[i]));

		if (json_array_append_new(list, object) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

json_t *mlimg_inspect_verity_checked_json(const struct mlimg_inspect_verity *v)
{
	return json_pack("{s:s, s:b, s:I, s:I, s:o, s:b, s:o}", "root_hash", v->tree.root_hash,
		"is_root_hash_known", v->is_known, "data_blocks", (json_int_t)v->tree.data_blocks,
		"n_bad_blocks", (json_int_t)v->flaws.n, "bad_blocks", blocks_of(v), "is_signed",
		v->tree.signature != NULL, "signer", text_or_null(v->signer));
}

void mlimg_inspect_verity_done(struct mlimg_inspect_verity *v)
{
	if (!v)
		return;
	mlimg_sidecar_done(&v->sidecar);
	mlimg_verity_done(&v->tree);
	for (size_t i = 0; i < MLIMG_VERITY_SHOWN_MAX; i++)
		free(v->owners[i]);
	free(v->signer);
	*v = (struct mlimg_inspect_verity){.is_known = false};
}
