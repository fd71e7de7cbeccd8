/* SPDX-License-Identifier: MIT */
/* mlimg-inspect manifest. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/inspect-commands.h"
#include "tools/inspect-layer.h"
#include "tools/inspect-print.h"
#include "tools/progress.h"

struct printer {
	struct mlimg_json_list list;
	struct mlimg_progress progress;
	uint64_t done_bytes;
	bool is_json;
};

static void put_stdout(void *ctx, const char *data, size_t size)
{
	fwrite(data, 1, size, stdout);
}

static int put_entry(const struct mlimg_entry *entry, const struct mlimg_ext4_inode *inode,
	void *ctx, struct mlimg_err *err)
{
	struct printer *p = ctx;

	p->done_bytes += entry->size_bytes;
	mlimg_progress_update(&p->progress, p->done_bytes);
	if (!p->is_json)
		mlimg_manifest_put_entry(entry, put_stdout, NULL);
	else if (mlimg_inspect_list_add(&p->list, entry, entry->path) < 0)
		return mlimg_err_set(err, ENOMEM, "print an entry");
	return mlimg_inspect_check_stdout(err);
}

static int put_computed(struct mlimg_inspect *in, struct printer *p, struct mlimg_err *err)
{
	uint64_t holes_max;
	int ret = mlimg_inspect_limit(in, &holes_max, err);

	if (ret < 0)
		return ret;
	if (p->is_json) {
		mlimg_inspect_list_begin(&p->list, stdout);
	} else {
		puts("#mtree");
		mlimg_layer_put_header(&in->info, put_stdout, NULL);
	}
	mlimg_progress_init(&p->progress, "reading contents", in->info.size_bytes);
	/* A bar between the lines of a terminal would only disturb. */
	p->progress.is_tty = p->progress.is_tty && !isatty(STDOUT_FILENO);
	ret = mlimg_ext4_manifest_walk(
		in->fs, mlimg_inspect_data_max(&in->info), holes_max, put_entry, p, err);
	mlimg_progress_end(&p->progress);
	if (ret == 0 && p->is_json)
		mlimg_inspect_list_end(&p->list);
	return ret;
}

static int put_stored_json(struct mlimg_inspect *in, struct printer *p, struct mlimg_err *err)
{
	struct mlimg_manifest *m = NULL;
	int ret = mlimg_inspect_read_manifest(in->fs, &in->info, &m, err);

	if (ret == 0)
		mlimg_inspect_list_begin(&p->list, stdout);
	for (size_t i = 0; ret == 0 && i < m->n_entries; i++)
		ret = put_entry(&m->entries[i], NULL, p, err);
	if (ret == 0)
		mlimg_inspect_list_end(&p->list);
	mlimg_manifest_free(m);
	return ret;
}

int mlimg_inspect_manifest(struct mlimg_inspect *in, struct mlimg_err *err)
{
	struct printer printer = {.is_json = mlimg_inspect_has(in, MLIMG_INSPECT_JSON)};
	mlimg_autofree char *text = NULL;
	size_t size;
	int ret;

	if (mlimg_inspect_has(in, MLIMG_INSPECT_COMPUTED))
		return put_computed(in, &printer, err);
	if (printer.is_json)
		return put_stored_json(in, &printer, err);
	ret = mlimg_ext4_manifest_stored(in->fs, in->info.build_id, &text, &size, err);
	if (ret == 0)
		fwrite(text, 1, size, stdout);
	return ret;
}
