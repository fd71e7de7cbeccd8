/* SPDX-License-Identifier: MIT */
/*
 * mlimg-inspect: what is in a layer image or an index, read without mounting it. Here is its
 * command line; inspect-commands.h has the rest.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/inspect-commands.h"

#define PROG MLIMG_INSPECT_PROG

static const char help_text[] =
	"Usage: mlimg-inspect [OPTION]... IMAGE [COMMAND [OPERAND]]\n"
	"Show what is in a layer image, or in an index: what a guest on that stack sees.\n"
	"Nothing is ever mounted, and nothing needs to be trusted.\n"
	"\n"
	"Commands:\n"
	"  show            description; checks that label, UUID, layer.json and manifest\n"
	"                  agree (default)\n"
	"  ls [PATH]       list a directory of the layer's tree (default: its root)\n"
	"  tree [PATH]     draw the tree, with what it hides of layers beneath\n"
	"  du [PATH]       how much room each directory takes\n"
	"  cat PATH        write a file's contents to standard output\n"
	"  extract [PATH]...  write all files, or those at and below each PATH, into a\n"
	"                  directory or a tar\n"
	"  manifest        the stored manifest, checked against the build id\n"
	"  verify          check the file system, and every file's content and attributes\n"
	"                  against the manifest, hash tree, signature; reads everything\n"
	"  diff IMAGE2     what has changed from IMAGE to IMAGE2, two layers or indexes,\n"
	"                  and in which packages\n"
	"\n"
	"Options:\n"
	"  -l, --long        ls: type, mode, links, owner, size, time (UTC); + has xattrs\n"
	"  -R, --recursive   ls: everything below PATH\n"
	"      --depth N     tree, du: at most N levels below PATH (default: all)\n"
	"      --sort        du: the largest first (default: a directory after what is\n"
	"                    in it)\n"
	"  -C, --directory DIR  extract: where to (default: the working directory)\n"
	"      --force       extract: replace what is there (default: refuse)\n"
	"      --no-same-owner  extract: do not set owners, nor what gives power\n"
	"                    (default unless root)\n"
	"      --tar         extract: write a tar to standard output\n"
	"      --computed    manifest: computed from the tree; reads all contents\n"
	"      --summary     diff: packages and sums only, no single files\n"
	"      --times       diff: also what differs in its time only\n"
	"      --root-hash HEX  verify: the root hash to be found (default: the one in\n"
	"                    IMAGE.layer.json)\n"
	"      --cert FILE   verify: certificates (PEM) of those whose signature is good\n"
	"                    (default: signatures are not checked)\n"
	"      --limit SIZE  manifest --computed, verify, extract --tar: bytes of holes\n"
	"                    that are read at most (default: 64G)\n"
	"      --layer IMG   of an index: the image of a layer, needed for contents;\n"
	"                    may be repeated, in any order\n"
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
	"  mlimg-inspect debian.img extract --tar /etc | tar -x -C /srv/review\n"
	"  mlimg-inspect --summary debian-1.img diff debian-2.img\n";

/* getopt's values of options without a letter: above all letters. */
#define OPT_BASE 256
enum { OPT_HELP = 'h', OPT_VERSION = OPT_BASE + MLIMG_INSPECT_N_OPTIONS };

static const char short_options[] = "lRC:h";

#define ROW(option) OPT_BASE + MLIMG_INSPECT_##option
static const struct option long_options[] = {
	{"long", no_argument, NULL, ROW(LONG)},
	{"recursive", no_argument, NULL, ROW(RECURSIVE)},
	{"computed", no_argument, NULL, ROW(COMPUTED)},
	{"summary", no_argument, NULL, ROW(SUMMARY)},
	{"times", no_argument, NULL, ROW(TIMES)},
	{"root-hash", required_argument, NULL, ROW(ROOT_HASH)},
	{"cert", required_argument, NULL, ROW(CERT)},
	{"depth", required_argument, NULL, ROW(DEPTH)},
	{"sort", no_argument, NULL, ROW(SORT)},
	{"directory", required_argument, NULL, ROW(DIRECTORY)},
	{"force", no_argument, NULL, ROW(FORCE)},
	{"no-same-owner", no_argument, NULL, ROW(NO_SAME_OWNER)},
	{"tar", no_argument, NULL, ROW(TAR)},
	{"limit", required_argument, NULL, ROW(LIMIT)},
	{"layer", required_argument, NULL, ROW(LAYER)},
	{"json", no_argument, NULL, ROW(JSON)},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{0},
};
#undef ROW

#define BIT(option) (1u << MLIMG_INSPECT_##option)
#define ANY (BIT(LAYER) | BIT(JSON))

struct command {
	const char *name;
	mlimg_inspect_fn *fn;
	mlimg_inspect_fn *index_fn; /* of an index; the same where it only takes the tree */
	int operands_min, operands_max;
	const char *operand; /* "a path": what is missing when there are too few */
	uint32_t options;    /* that it takes: bits */
};

/* The first is the default. */
static const struct command commands[] = {
	{"show", mlimg_inspect_show, mlimg_inspect_index_show, 0, 0, NULL, ANY},
	{"ls", mlimg_inspect_ls, mlimg_inspect_ls, 0, 1, NULL, BIT(LONG) | BIT(RECURSIVE) | ANY},
	{"tree", mlimg_inspect_tree, mlimg_inspect_tree, 0, 1, NULL, BIT(DEPTH) | ANY},
	{"du", mlimg_inspect_du, mlimg_inspect_du, 0, 1, NULL, BIT(DEPTH) | BIT(SORT) | ANY},
	{"cat", mlimg_inspect_cat, mlimg_inspect_cat, 1, 1, "a path", BIT(LAYER)},
	{"extract", mlimg_inspect_extract, mlimg_inspect_extract, 0, INT_MAX, NULL,
		BIT(DIRECTORY) | BIT(FORCE) | BIT(NO_SAME_OWNER) | BIT(TAR) | BIT(LIMIT) | ANY},
	{"manifest", mlimg_inspect_manifest, mlimg_inspect_index_manifest, 0, 0, NULL,
		BIT(COMPUTED) | BIT(LIMIT) | ANY},
	{"verify", mlimg_inspect_verify, mlimg_inspect_index_verify, 0, 0, NULL,
		BIT(ROOT_HASH) | BIT(CERT) | BIT(LIMIT) | ANY},
	{"diff", mlimg_inspect_diff, mlimg_inspect_diff, 1, 1, "a second image",
		BIT(SUMMARY) | BIT(TIMES) | ANY},
};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int check_options(const struct command *command, const struct mlimg_inspect_options *o)
{
	for (const struct option *row = long_options; row->val != OPT_HELP; row++)
		if ((o->given & ~command->options) >> (row->val - OPT_BASE) & 1)
			return mlimg_cli_usage(
				PROG, "option '--%s' is not for '%s'", row->name, command->name);
	if (o->given & BIT(JSON) && o->given & BIT(LONG))
		return mlimg_cli_usage(PROG, "options '--long' and '--json' exclude each other");
	return 0;
}

/* 0, or the exit code of a mistake that has been reported. */
static int parse_operands(
	struct mlimg_inspect_options *o, int argc, char **argv, const struct command **ret_command)
{
	const struct command *command = *ret_command;

	if (argc < 1)
		return mlimg_cli_usage(PROG, "no image given");
	o->image = argv[0];
	if (argc > 1) {
		command = find_command(argv[1]);
		if (!command)
			return mlimg_cli_usage(PROG, "unknown command '%s'", argv[1]);
		o->operands = argv + 2;
		o->n_operands = argc - 2;
	}
	if (o->n_operands > command->operands_max)
		return mlimg_cli_usage(
			PROG, "unexpected operand '%s'", o->operands[command->operands_max]);
	if (o->n_operands < command->operands_min)
		return mlimg_cli_usage(PROG, "'%s' needs %s", command->name, command->operand);
	*ret_command = command;
	return check_options(command, o);
}

static int run_on_layer(
	struct mlimg_inspect *in, const struct command *command, struct mlimg_err *err)
{
	int ret;

	if (in->options->n_layers)
		return mlimg_err_usage(err,
			"option '--layer' is for an index, and '%.200s' is none",
			in->options->image);
	ret = mlimg_ext4_open(in->options->image, &in->fs, err);
	if (ret == 0)
		ret = mlimg_ext4_layer_info(in->fs, &in->info, err);
	if (ret == 0) {
		in->tree = mlimg_ext4_tree(in->fs);
		ret = command->fn(in, err);
	}
	mlimg_layer_info_done(&in->info);
	mlimg_ext4_close(in->fs);
	return ret;
}

static int run_on_index(
	struct mlimg_inspect *in, const struct command *command, struct mlimg_err *err)
{
	const struct mlimg_inspect_options *o = in->options;
	int ret;

	if (o->given & (BIT(ROOT_HASH) | BIT(CERT)))
		return mlimg_err_usage(err,
			"options '--root-hash' and '--cert' are for layers, and '%.200s' is an "
			"index",
			o->image);
	in->is_used = calloc(o->n_layers + 1, sizeof(*in->is_used));
	if (!in->is_used)
		return mlimg_err_set(err, ENOMEM, "open index '%.200s'", o->image);
	ret = mlimg_inspect_stack_open(
		o->image, o->layers, o->n_layers, in->is_used, &in->stack, err);
	/* A layer may be one of the other index that is compared. */
	if (ret == 0 && command->index_fn != mlimg_inspect_diff)
		ret = mlimg_inspect_check_layers(in, err);
	if (ret == 0) {
		in->tree = in->stack->tree;
		ret = command->index_fn(in, err);
	}
	mlimg_inspect_stack_close(in->stack);
	free(in->is_used);
	return ret;
}

static int run(
	const struct mlimg_inspect_options *o, const struct command *command, struct mlimg_err *err)
{
	struct mlimg_inspect in = {.options = o};

	return mlimg_inspect_is_index(o->image) ? run_on_index(&in, command, err)
						: run_on_layer(&in, command, err);
}

int main(int argc, char **argv)
{
	/* No more layers than arguments. */
	mlimg_autofree const char **layers = calloc((size_t)argc + 1, sizeof(*layers));
	struct mlimg_inspect_options o = {.layers = layers};
	struct mlimg_err err = MLIMG_ERR_INIT;
	const struct command *command = commands;
	int opt, code;

	if (!layers && mlimg_err_set(&err, ENOMEM, "read the command line") < 0)
		return mlimg_cli_fail(PROG, &err);
	while ((opt = mlimg_cli_getopt(PROG, argc, argv, short_options, long_options)) != -1) {
		switch (opt) {
		case 'l': opt = OPT_BASE + MLIMG_INSPECT_LONG; break;
		case 'C': opt = OPT_BASE + MLIMG_INSPECT_DIRECTORY; break;
		case 'R': opt = OPT_BASE + MLIMG_INSPECT_RECURSIVE; break;
		case OPT_HELP: return mlimg_cli_help(PROG, help_text);
		case OPT_VERSION: return mlimg_cli_version(PROG);
		case '?': return MLIMG_EXIT_USAGE;
		}
		if (opt == OPT_BASE + MLIMG_INSPECT_LAYER)
			layers[o.n_layers++] = optarg;
		o.given |= 1u << (opt - OPT_BASE);
		o.values[opt - OPT_BASE] = optarg;
	}
	code = parse_operands(&o, argc - optind, argv + optind, &command);
	if (code)
		return code;
	if (run(&o, command, &err) < 0)
		return mlimg_cli_fail(PROG, &err);
	return mlimg_cli_close_stdout(PROG);
}
