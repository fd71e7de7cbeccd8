/* SPDX-License-Identifier: MIT */
/* mlimg-inspect du. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "tools/cli.h"
#include "tools/du.h"
#include "tools/inspect-commands.h"
#include "tools/inspect-print.h"

static void put_row(const struct mlimg_du_row *row, const char *top)
{
	char used[MLIMG_CLI_SIZE_TEXT], size[MLIMG_CLI_SIZE_TEXT], escaped[MLIMG_ESCAPED_SIZE];

	printf("%10s %10s %9" PRIu64 "  %s\n", mlimg_cli_format_size(row->used_bytes, used),
		mlimg_cli_format_size(row->size_bytes, size), row->n_entries,
		mlimg_manifest_escape(row->path[0] ? row->path : top, escaped));
}

static int put_json(const struct mlimg_du *du, const char *top, struct mlimg_err *err)
{
	char escaped[MLIMG_ESCAPED_SIZE];

	putchar('[');
	for (size_t i = 0; i < du->n_rows; i++) {
		const struct mlimg_du_row *row = &du->rows[i];
		json_t *object = json_pack("{s:s, s:I, s:I, s:I}", "path",
			mlimg_manifest_escape(row->path[0] ? row->path : top, escaped), "used",
			(json_int_t)row->used_bytes, "size", (json_int_t)row->size_bytes, "entries",
			(json_int_t)row->n_entries);
		mlimg_autofree char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

		json_decref(object);
		if (!text)
			return mlimg_err_set(err, ENOMEM, "print sizes");
		printf("%s\n%s", i ? "," : "", text);
	}
	puts("\n]");
	return 0;
}

int mlimg_inspect_du(struct mlimg_inspect *in, struct mlimg_err *err)
{
	const char *path = mlimg_inspect_operand(in, 0), *top = path ? path : ".";
	struct mlimg_itree_room room;
	struct mlimg_itree_node node;
	struct mlimg_du du = {0};
	uint64_t depth;
	int ret = mlimg_inspect_depth(in, &depth, err);

	if (ret == 0)
		ret = mlimg_itree_lookup(&in->tree, path ? path : "", false, &room, &node, err);
	if (ret == 0)
		ret = mlimg_du(&in->tree, &node, depth, mlimg_inspect_has(in, MLIMG_INSPECT_SORT),
			&du, err);
	if (ret < 0)
		return ret;
	if (mlimg_inspect_has(in, MLIMG_INSPECT_JSON)) {
		ret = put_json(&du, top, err);
	} else {
		printf("%10s %10s %9s\n", "blocks", "contents", "entries");
		for (size_t i = 0; i < du.n_rows; i++)
			put_row(&du.rows[i], top);
	}
	mlimg_du_done(&du);
	return ret;
}
