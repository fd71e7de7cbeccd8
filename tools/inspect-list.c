/* SPDX-License-Identifier: MIT */
/* mlimg-inspect ls and cat. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "libmlimg/patch.h"
#include "tools/data.h"
#include "tools/inspect-commands.h"
#include "tools/inspect-print.h"

struct lister {
	const struct mlimg_inspect *in;
	struct mlimg_json_list list;
};

static int list_entry(const struct mlimg_entry *entry, const struct mlimg_itree_node *node,
	void *ctx, struct mlimg_err *err)
{
	struct lister *l = ctx;
	bool is_top = entry->path[0] == '\0';
	bool is_json = mlimg_inspect_has(l->in, MLIMG_INSPECT_JSON);
	const char *name = is_top ? mlimg_inspect_operand(l->in, 0) : entry->path;
	char escaped[MLIMG_ESCAPED_SIZE];
	int ret;

	/* A directory is listed by what is in it; anything else by itself. */
	if (is_top && entry->type == MLIMG_DIR)
		return 0;
	if (is_json && mlimg_inspect_list_add(&l->list, entry, name) < 0)
		return mlimg_err_set(err, ENOMEM, "print an entry");
	if (!is_json && mlimg_inspect_has(l->in, MLIMG_INSPECT_LONG))
		mlimg_inspect_put_long(stdout, entry, node->nlink, name);
	else if (!is_json)
		printf("%s\n", mlimg_manifest_escape(name, escaped));
	ret = mlimg_inspect_check_stdout(err);
	return ret < 0 ? ret : !mlimg_inspect_has(l->in, MLIMG_INSPECT_RECURSIVE);
}

int mlimg_inspect_ls(struct mlimg_inspect *in, struct mlimg_err *err)
{
	struct lister lister = {.in = in};
	bool is_json = mlimg_inspect_has(in, MLIMG_INSPECT_JSON);
	bool is_long = is_json || mlimg_inspect_has(in, MLIMG_INSPECT_LONG);
	const char *path = mlimg_inspect_operand(in, 0);
	struct mlimg_itree_room room;
	struct mlimg_itree_node node;
	int ret = mlimg_itree_lookup(&in->tree, path ? path : "", !is_long, &room, &node, err);

	if (ret < 0)
		return ret;
	if (is_json)
		mlimg_inspect_list_begin(&lister.list, stdout);
	ret = mlimg_itree_walk(&in->tree, &node, list_entry, &lister, err);
	if (ret == 0 && is_json)
		mlimg_inspect_list_end(&lister.list);
	return ret;
}

/* What is a reference in a patch would read as zeros. */
static int check_contents(const struct mlimg_inspect *in, const char *path,
	const struct mlimg_itree_node *node, struct mlimg_err *err)
{
	mlimg_autoext4attrs struct mlimg_ext4_attrs *attrs = NULL;
	char buf[MLIMG_REDIRECT_MAX];
	struct mlimg_entry entry;
	const char *target;
	int ret;

	if (in->info.kind != MLIMG_PATCH)
		return 0;
	attrs = mlimg_ext4_attrs_new();
	if (!attrs)
		return mlimg_err_set(err, ENOMEM, "read '%s'", path);
	ret = mlimg_ext4_entry(in->fs, node->inode, attrs, &entry, err);
	if (ret < 0 || !mlimg_entry_has_reference(&entry))
		return ret;
	entry.path = (char *)path;
	ret = mlimg_reference_path(&entry, &target, buf, err);
	if (ret < 0)
		return mlimg_err_wrap(err, ret, "%.140s", in->options->image);
	return mlimg_err_set(err, 0,
		"%.140s: the contents of '%.100s' lie beneath this patch, at '%s'",
		in->options->image, path, target);
}

int mlimg_inspect_cat(struct mlimg_inspect *in, struct mlimg_err *err)
{
	const char *path = mlimg_inspect_operand(in, 0);
	struct mlimg_itree_room room;
	struct mlimg_itree_node node;
	int fd = STDOUT_FILENO;
	int ret = mlimg_itree_lookup(&in->tree, path, true, &room, &node, err);

	if (ret < 0)
		return ret;
	if (node.type != MLIMG_FILE)
		return mlimg_err_set(err, node.type == MLIMG_DIR ? EISDIR : EINVAL,
			"%.140s: '%.200s' is no regular file", in->options->image, path);
	ret = check_contents(in, path, &node, err);
	if (ret < 0)
		return ret;
	return mlimg_itree_read(&in->tree, &node, mlimg_data_to_fd, &fd, err);
}
