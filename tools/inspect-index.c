/* SPDX-License-Identifier: MIT */
/* mlimg-inspect show and manifest, of an index. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/cli.h"
#include "tools/inspect-commands.h"
#include "tools/inspect-print.h"

static json_t *layers_of(const struct mlimg_inspect_stack *stack)
{
	const struct mlimg_index *index = mlimg_erofs_index(stack->image);
	json_t *list = json_array();

	for (size_t i = 0; list && i < stack->infos.n_layers; i++) {
		const struct mlimg_layer_info *info = &stack->infos.layers[i];
		json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:I, s:b, s:o}", "kind",
			mlimg_kind_name(info->kind), "name", info->name, "version", info->version,
			"build_id", info->build_id, "file_system_bytes",
			(json_int_t)index->layers[i].n_blocks * MLIMG_EXT4_BLOCK, "is_given",
			stack->layers[i] != NULL, "first_block",
			index->is_joined ? json_integer(index->layers[i].first_block)
					 : json_null());

		if (json_array_append_new(list, object) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static int show_json(const struct mlimg_inspect_stack *stack, struct mlimg_err *err)
{
	char uuid[MLIMG_UUID_TEXT_SIZE];
	uint64_t n_inodes, size = mlimg_erofs_size(stack->image, &n_inodes);
	json_t *object;

	mlimg_uuid_format(mlimg_erofs_index(stack->image)->uuid, uuid);
	object = json_pack("{s:s, s:s, s:s, s:I, s:I, s:b, s:o}", "kind", "index", "stack_id",
		stack->stack_id, "uuid", uuid, "inodes", (json_int_t)n_inodes, "file_system_bytes",
		(json_int_t)size, "is_joined", mlimg_erofs_index(stack->image)->is_joined, "layers",
		layers_of(stack));
	return mlimg_inspect_put_report(object, "print the description", err);
}

int mlimg_inspect_index_show(struct mlimg_inspect *in, struct mlimg_err *err)
{
	const struct mlimg_inspect_stack *stack = in->stack;
	const struct mlimg_index *index = mlimg_erofs_index(stack->image);
	char uuid[MLIMG_UUID_TEXT_SIZE], size_text[MLIMG_CLI_SIZE_TEXT];
	uint64_t n_inodes, size = mlimg_erofs_size(stack->image, &n_inodes);

	if (mlimg_inspect_has(in, MLIMG_INSPECT_JSON))
		return show_json(stack, err);
	printf("%-12s index\n%-12s %s\n", "kind", "stack id", stack->stack_id);
	mlimg_uuid_format(index->uuid, uuid);
	printf("%-12s %s\n", "uuid", uuid);
	printf("%-12s %" PRIu64 "\n", "inodes", n_inodes);
	printf("%-12s %s (%" PRIu64 " bytes)\n", "file system",
		mlimg_cli_format_size(size, size_text), size);
	if (index->is_joined)
		printf("%-12s joined with its layers: %" PRIu64 " blocks\n", "disk",
			index->disk_blocks);
	for (size_t i = 0; i < stack->infos.n_layers; i++) {
		const struct mlimg_layer_info *info = &stack->infos.layers[i];

		printf("%-12s %zu %s %s %s (%.*s), %s\n", i ? "" : "layers", i,
			mlimg_kind_name(info->kind), info->name, info->version, MLIMG_SHORT_ID,
			info->build_id,
			mlimg_cli_format_size(
				(uint64_t)index->layers[i].n_blocks * MLIMG_EXT4_BLOCK, size_text));
	}
	return 0;
}

struct printer {
	struct mlimg_json_list list;
	bool is_json;
};

static void put_stdout(void *ctx, const char *data, size_t size)
{
	fwrite(data, 1, size, stdout);
}

static int put_entry(const struct mlimg_entry *entry, bool is_own, void *ctx, struct mlimg_err *err)
{
	struct printer *p = ctx;

	if (!p->is_json)
		mlimg_manifest_put_entry(entry, put_stdout, NULL);
	else if (mlimg_inspect_list_add(&p->list, entry, entry->path) < 0)
		return mlimg_err_set(err, ENOMEM, "print an entry");
	return mlimg_inspect_check_stdout(err);
}

int mlimg_inspect_index_manifest(struct mlimg_inspect *in, struct mlimg_err *err)
{
	struct printer printer = {.is_json = mlimg_inspect_has(in, MLIMG_INSPECT_JSON)};
	uint64_t holes_max;
	int ret = mlimg_inspect_limit(in, &holes_max, err);

	if (ret < 0)
		return ret;
	if (printer.is_json)
		mlimg_inspect_list_begin(&printer.list, stdout);
	else
		puts("#mtree");
	ret = mlimg_inspect_stack_walk(in->stack,
		mlimg_inspect_has(in, MLIMG_INSPECT_COMPUTED) ? MLIMG_DIGESTS_COMPUTED
							      : MLIMG_DIGESTS_STORED,
		holes_max, put_entry, &printer, err);
	if (ret == 0 && printer.is_json)
		mlimg_inspect_list_end(&printer.list);
	return ret;
}
