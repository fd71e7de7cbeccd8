/* SPDX-License-Identifier: MIT */
/* mlimg-inspect: what is in a layer image, read without mounting it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli.h"
#include "tools/ext4-read.h"
#include "tools/inspect-commands.h"
#include "tools/inspect-layer.h"
#include "tools/inspect-print.h"
#include "tools/progress.h"

#define PROG "mlimg-inspect"

static const char help_text[] =
	"Usage: mlimg-inspect [OPTION]... IMAGE [COMMAND [OPERAND]]\n"
	"Show what is in a layer image. It is never mounted, and needs not be trusted.\n"
	"\n"
	"Commands:\n"
	"  show            description; checks that label, UUID, layer.json and manifest\n"
	"                  agree (default)\n"
	"  ls [PATH]       list a directory of the layer's tree (default: its root)\n"
	"  cat PATH        write a file's contents to standard output\n"
	"  manifest        the stored manifest, checked against the build id\n"
	"  verify          check the file system, and every file's content and attributes\n"
	"                  against the manifest; reads everything\n"
	"  diff IMAGE2     what has changed from IMAGE to IMAGE2, and in which packages;\n"
	"                  by their manifests\n"
	"\n"
	"Options:\n"
	"  -l, --long        ls: type, mode, links, owner, size, time (UTC); + has xattrs\n"
	"  -R, --recursive   ls: everything below PATH\n"
	"      --computed    manifest: computed from the tree; reads all contents\n"
	"      --summary     diff: packages and sums only, no single files\n"
	"      --times       diff: also what differs in its time only\n"
	"      --json        all but cat: print JSON (default: text)\n"
	"  -h, --help        print this help\n"
	"      --version     print the version\n"
	"\n"
	"Names are printed with every byte that could be mistaken as \\ooo (octal).\n"
	"\n"
	"Exit status: 0 done, 1 failed, 2 wrong usage, 3 image refused (damaged, foreign,\n"
	"or parts of it disagree).\n"
	"\n"
	"Examples:\n"
	"  mlimg-inspect debian.img\n"
	"  mlimg-inspect debian.img ls -l /etc\n"
	"  mlimg-inspect debian.img verify\n"
	"  mlimg-inspect --summary debian-1.img diff debian-2.img\n";

enum command { SHOW, LS, CAT, MANIFEST, VERIFY, DIFF };

struct options {
	const char *image;
	const char *path; /* NULL: none given; of DIFF the other image */
	enum command command;
	bool is_long, is_recursive, is_computed, is_json, is_summary, has_times;
};

/* What a walk prints with. */
struct lister {
	const struct options *options;
	struct mlimg_json_list list;
	struct mlimg_progress progress;
	uint64_t done_bytes;
};

/* What goes to stdout may be a pipe that nobody reads any more. */
static int check_stdout(struct mlimg_err *err)
{
	return ferror(stdout) ? mlimg_err_set(err, errno, "write to standard output") : 0;
}

static void put_stdout(void *ctx, const char *data, size_t size)
{
	fwrite(data, 1, size, stdout);
}

static int show(struct mlimg_ext4 *fs, const struct options *o, const struct mlimg_layer_info *info,
	struct mlimg_err *err)
{
	struct mlimg_manifest *manifest = NULL;
	int ret = mlimg_inspect_manifest(fs, info, &manifest, err);

	if (ret == 0)
		ret = mlimg_inspect_agree(fs, info, manifest, err);
	mlimg_manifest_free(manifest);
	if (ret < 0)
		return ret;
	if (o->is_json)
		return mlimg_inspect_put_info_json(stdout, info, mlimg_ext4_super(fs), err);
	mlimg_inspect_put_info(stdout, info, mlimg_ext4_super(fs));
	return 0;
}

static int list_entry(const struct mlimg_entry *entry, const struct mlimg_ext4_inode *inode,
	void *ctx, struct mlimg_err *err)
{
	struct lister *l = ctx;
	bool is_top = entry->path[0] == '\0';
	const char *name = is_top ? l->options->path : entry->path;
	char escaped[MLIMG_ESCAPED_PATH];

	/* A directory is listed by what is in it; anything else by itself. */
	if (is_top && entry->type == MLIMG_DIR)
		return 0;
	if (l->options->is_json && mlimg_inspect_list_add(&l->list, entry, name) < 0)
		return mlimg_err_set(err, ENOMEM, "print an entry");
	if (!l->options->is_json && l->options->is_long)
		mlimg_inspect_put_long(stdout, entry, inode->nlink, name);
	else if (!l->options->is_json)
		printf("%s\n", mlimg_inspect_escape(name, escaped));
	return ferror(stdout) ? check_stdout(err) : !l->options->is_recursive;
}

static int ls(struct mlimg_ext4 *fs, const struct options *o, const struct mlimg_layer_info *info,
	struct mlimg_err *err)
{
	struct lister lister = {.options = o};
	struct mlimg_ext4_inode inode;
	bool is_long = o->is_long || o->is_json;
	int ret = mlimg_ext4_lookup(
		fs, mlimg_kind_tree(info->kind), o->path ? o->path : "", !is_long, &inode, err);

	if (ret < 0)
		return ret;
	if (o->is_json)
		mlimg_inspect_list_begin(&lister.list, stdout);
	ret = mlimg_ext4_walk(fs, &inode, list_entry, &lister, err);
	if (ret == 0 && o->is_json)
		mlimg_inspect_list_end(&lister.list);
	return ret;
}

static int cat(struct mlimg_ext4 *fs, const struct options *o, const struct mlimg_layer_info *info,
	struct mlimg_err *err)
{
	struct mlimg_ext4_inode inode;
	int ret = mlimg_ext4_lookup(fs, mlimg_kind_tree(info->kind), o->path, true, &inode, err);

	if (ret < 0)
		return ret;
	if (inode.type != MLIMG_FILE)
		return mlimg_err_set(err, inode.type == MLIMG_DIR ? EISDIR : EINVAL,
			"%.140s: '%.200s' is no regular file", o->image, o->path);
	return mlimg_ext4_copy(fs, &inode, STDOUT_FILENO, err);
}

static int put_manifest_entry(const struct mlimg_entry *entry, const struct mlimg_ext4_inode *inode,
	void *ctx, struct mlimg_err *err)
{
	struct lister *l = ctx;

	l->done_bytes += entry->size_bytes;
	mlimg_progress_update(&l->progress, l->done_bytes);
	if (!l->options->is_json)
		mlimg_manifest_put_entry(entry, put_stdout, NULL);
	else if (mlimg_inspect_list_add(&l->list, entry, entry->path) < 0)
		return mlimg_err_set(err, ENOMEM, "print an entry");
	return check_stdout(err);
}

static int manifest_computed(struct mlimg_ext4 *fs, const struct options *o,
	const struct mlimg_layer_info *info, struct mlimg_err *err)
{
	struct lister lister = {.options = o};
	int ret;

	if (o->is_json) {
		mlimg_inspect_list_begin(&lister.list, stdout);
	} else {
		puts("#mtree");
		mlimg_layer_put_header(info, put_stdout, NULL);
	}
	mlimg_progress_init(&lister.progress, "reading contents", info->size_bytes);
	/* A bar between the lines of a terminal would only disturb. */
	lister.progress.is_tty = lister.progress.is_tty && !isatty(STDOUT_FILENO);
	ret = mlimg_ext4_manifest_walk(
		fs, mlimg_inspect_data_max(info), put_manifest_entry, &lister, err);
	mlimg_progress_end(&lister.progress);
	if (ret == 0 && o->is_json)
		mlimg_inspect_list_end(&lister.list);
	return ret;
}

static int manifest_stored(struct mlimg_ext4 *fs, const struct options *o,
	const struct mlimg_layer_info *info, struct mlimg_err *err)
{
	struct lister lister = {.options = o};
	struct mlimg_manifest *m = NULL;
	mlimg_autofree char *text = NULL;
	size_t size;
	int ret;

	if (!o->is_json) {
		ret = mlimg_ext4_manifest_stored(fs, info->build_id, &text, &size, err);
		if (ret == 0)
			fwrite(text, 1, size, stdout);
		return ret;
	}
	ret = mlimg_inspect_manifest(fs, info, &m, err);
	if (ret == 0)
		mlimg_inspect_list_begin(&lister.list, stdout);
	for (size_t i = 0; ret == 0 && i < m->n_entries; i++)
		ret = put_manifest_entry(&m->entries[i], NULL, &lister, err);
	if (ret == 0)
		mlimg_inspect_list_end(&lister.list);
	mlimg_manifest_free(m);
	return ret;
}

static int diff(struct mlimg_ext4 *fs, const struct options *o, const struct mlimg_layer_info *info,
	struct mlimg_err *err)
{
	const struct mlimg_inspect_diff_options how = {
		.is_json = o->is_json, .is_summary = o->is_summary, .has_times = o->has_times};

	return mlimg_inspect_diff(fs, info, o->path, &how, err);
}

static int run(const struct options *o, struct mlimg_err *err)
{
	mlimg_autoext4 struct mlimg_ext4 *fs = NULL;
	struct mlimg_layer_info info = {0};
	int ret = mlimg_ext4_open(o->image, &fs, err);

	if (ret == 0)
		ret = mlimg_ext4_layer_info(fs, &info, err);
	if (ret < 0)
		return ret;
	switch (o->command) {
	case SHOW: ret = show(fs, o, &info, err); break;
	case LS: ret = ls(fs, o, &info, err); break;
	case CAT: ret = cat(fs, o, &info, err); break;
	case MANIFEST:
		ret = o->is_computed ? manifest_computed(fs, o, &info, err)
				     : manifest_stored(fs, o, &info, err);
		break;
	case VERIFY: ret = mlimg_inspect_verify(fs, &info, o->is_json, err); break;
	case DIFF: ret = diff(fs, o, &info, err); break;
	}
	mlimg_layer_info_done(&info);
	return ret;
}

static bool parse_command(const char *word, enum command *ret_command)
{
	static const char *const names[] = {[SHOW] = "show",
		[LS] = "ls",
		[CAT] = "cat",
		[MANIFEST] = "manifest",
		[VERIFY] = "verify",
		[DIFF] = "diff"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(word, names[i]) == 0) {
			*ret_command = (enum command)i;
			return true;
		}
	}
	return false;
}

/* 0, or the exit code of a mistake that has been reported. */
static int parse_operands(struct options *o, int argc, char **argv)
{
	int paths_max;

	if (argc < 1)
		return mlimg_cli_usage(PROG, "no image given");
	o->image = argv[0];
	if (argc > 1 && !parse_command(argv[1], &o->command))
		return mlimg_cli_usage(PROG, "unknown command '%s'", argv[1]);
	paths_max = o->command == LS || o->command == CAT || o->command == DIFF;
	if (argc > 2 + paths_max)
		return mlimg_cli_usage(PROG, "unexpected operand '%s'", argv[2 + paths_max]);
	if (argc > 2)
		o->path = argv[2];
	if (o->command == CAT && !o->path)
		return mlimg_cli_usage(PROG, "'cat' needs a path");
	if (o->command == DIFF && !o->path)
		return mlimg_cli_usage(PROG, "'diff' needs a second image");
	if ((o->is_long || o->is_recursive) && o->command != LS)
		return mlimg_cli_usage(
			PROG, "option '%s' is for 'ls' only", o->is_long ? "-l" : "-R");
	if (o->is_computed && o->command != MANIFEST)
		return mlimg_cli_usage(PROG, "option '--computed' is for 'manifest' only");
	if ((o->is_summary || o->has_times) && o->command != DIFF)
		return mlimg_cli_usage(PROG, "option '%s' is for 'diff' only",
			o->is_summary ? "--summary" : "--times");
	if (o->is_json && o->command == CAT)
		return mlimg_cli_usage(PROG, "option '--json' is not for 'cat'");
	if (o->is_json && o->is_long)
		return mlimg_cli_usage(PROG, "options '-l' and '--json' exclude each other");
	return 0;
}

int main(int argc, char **argv)
{
	enum { OPT_JSON = 256, OPT_COMPUTED, OPT_SUMMARY, OPT_TIMES, OPT_VERSION };
	static const struct option longs[] = {
		{"long", no_argument, NULL, 'l'},
		{"recursive", no_argument, NULL, 'R'},
		{"computed", no_argument, NULL, OPT_COMPUTED},
		{"summary", no_argument, NULL, OPT_SUMMARY},
		{"times", no_argument, NULL, OPT_TIMES},
		{"json", no_argument, NULL, OPT_JSON},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, OPT_VERSION},
		{0},
	};
	struct options o = {.command = SHOW};
	struct mlimg_err err = MLIMG_ERR_INIT;
	int opt, code;

	while ((opt = mlimg_cli_getopt(PROG, argc, argv, "lRh", longs)) != -1) {
		switch (opt) {
		case 'l': o.is_long = true; break;
		case 'R': o.is_recursive = true; break;
		case OPT_JSON: o.is_json = true; break;
		case OPT_COMPUTED: o.is_computed = true; break;
		case OPT_SUMMARY: o.is_summary = true; break;
		case OPT_TIMES: o.has_times = true; break;
		case 'h': return mlimg_cli_help(PROG, help_text);
		case OPT_VERSION: return mlimg_cli_version(PROG);
		default: return MLIMG_EXIT_USAGE;
		}
	}
	code = parse_operands(&o, argc - optind, argv + optind);
	if (code)
		return code;
	if (run(&o, &err) < 0)
		return mlimg_cli_fail(PROG, &err);
	return mlimg_cli_close_stdout(PROG);
}
