/* SPDX-License-Identifier: MIT */
/* mlimg-index: compile layers into one index. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "tools/cli.h"
#include "tools/index-compile.h"

#define PROG "mlimg-index"

static const char help_text[] =
	"Usage: mlimg-index -o INDEX [OPTION]... SYSTEM [PATCH]... [SOFTWARE]...\n"
	"\n"
	"Compile layers, bottom first, into one small EROFS image that holds the merged\n"
	"tree and points at the blocks of the layers' own images. A guest mounts it with\n"
	"the layers as devices, in the same order:\n"
	"\n"
	"  mount -t erofs -o ro,device=/dev/vdb,device=/dev/vdc /dev/vda /mnt\n"
	"\n"
	"  -o, --output INDEX  where to write it\n"
	"      --force         replace INDEX if it exists (default: refuse)\n"
	"      --json          describe the result as JSON on stdout\n"
	"  -q, --quiet         print nothing when all is well\n"
	"  -h, --help          this text\n"
	"      --version       the version\n"
	"\n"
	"Exit codes: 0 done, 1 failed, 2 wrong usage, 3 image refused.\n";

enum { OPT_FORCE = 256, OPT_JSON, OPT_VERSION };

static const struct option longs[] = {
	{"output", required_argument, NULL, 'o'},
	{"force", no_argument, NULL, OPT_FORCE},
	{"json", no_argument, NULL, OPT_JSON},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0},
};

struct options {
	const char *output;
	bool force, json, quiet;
};

/* @return the exit code when the program is done already, -1 to go on */
static int parse(int argc, char **argv, struct options *o)
{
	int opt;

	while ((opt = mlimg_cli_getopt(PROG, argc, argv, "o:qh", longs)) != -1)
		switch (opt) {
		case 'o': o->output = optarg; break;
		case OPT_FORCE: o->force = true; break;
		case OPT_JSON: o->json = true; break;
		case 'q': o->quiet = true; break;
		case 'h': return mlimg_cli_help(PROG, help_text);
		case OPT_VERSION: return mlimg_cli_version(PROG);
		default: return MLIMG_EXIT_USAGE;
		}
	if (!o->output)
		return mlimg_cli_usage(PROG, "no --output given");
	if (optind == argc)
		return mlimg_cli_usage(PROG, "no layers given");
	return -1;
}

static void report(const struct options *o, const struct mlimg_index_result *result)
{
	char size[MLIMG_CLI_SIZE_TEXT];

	if (o->json)
		printf("{\"stack_id\": \"%s\", \"layers\": %zu, \"size_bytes\": %" PRIu64 "}\n",
			result->stack_id, result->n_layers, result->size_bytes);
	else if (!o->quiet)
		printf("%s: index over %zu %s, %s, stack %.20s\n", o->output, result->n_layers,
			mlimg_cli_noun(result->n_layers, "layer", "layers"),
			mlimg_cli_format_size(result->size_bytes, size), result->stack_id);
}

int main(int argc, char **argv)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_index_result result;
	struct options o = {0};
	int code = parse(argc, argv, &o);

	if (code >= 0)
		return code;
	if (mlimg_index_compile((const char *const *)argv + optind, (size_t)(argc - optind),
		    o.output, o.force, &result, &err) < 0)
		return mlimg_cli_fail(PROG, &err);
	if (result.not_built_over)
		mlimg_cli_warn(PROG, "'%s' was built over other layers than these",
			argv[optind + (int)result.not_built_over]);
	report(&o, &result);
	return mlimg_cli_close_stdout(PROG);
}
