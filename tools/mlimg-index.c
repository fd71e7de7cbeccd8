/* SPDX-License-Identifier: MIT */
/* mlimg-index: compile layers into one index. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "libmlimg/io.h"
#include "tools/cli.h"
#include "tools/index-compile.h"
#include "tools/outfile.h"
#include "tools/vmdk.h"

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
	"      --joined        make it for one disk that is INDEX and the layers' images,\n"
	"                      one behind the other, and is mounted without devices\n"
	"      --disk FILE     the same, and describe that disk in a VMDK descriptor for\n"
	"                      QEMU, which takes the files as they are\n"
	"      --verity        append a dm-verity hash tree and say its root hash, which\n"
	"                      mlimg.verity takes (mlimg-boot(7))\n"
	"      --force         replace files that exist (default: refuse)\n"
	"      --json          describe the result as JSON on stdout\n"
	"  -q, --quiet         print nothing when all is well\n"
	"  -h, --help          this text\n"
	"      --version       the version\n"
	"\n"
	"Exit codes: 0 done, 1 failed, 2 wrong usage, 3 image refused.\n";

enum { OPT_FORCE = 256, OPT_JOINED, OPT_DISK, OPT_VERITY, OPT_JSON, OPT_VERSION };

static const struct option longs[] = {
	{"output", required_argument, NULL, 'o'},
	{"joined", no_argument, NULL, OPT_JOINED},
	{"disk", required_argument, NULL, OPT_DISK},
	{"verity", no_argument, NULL, OPT_VERITY},
	{"force", no_argument, NULL, OPT_FORCE},
	{"json", no_argument, NULL, OPT_JSON},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0},
};

struct options {
	const char *output;
	const char *disk; /* the descriptor; NULL for none */
	const char *const *layers;
	size_t n_layers;
	bool joined, verity, force, json, quiet;
};

/* @return the exit code when the program is done already, -1 to go on */
static int parse(int argc, char **argv, struct options *o)
{
	int opt;

	while ((opt = mlimg_cli_getopt(PROG, argc, argv, "o:qh", longs)) != -1)
		switch (opt) {
		case 'o': o->output = optarg; break;
		case OPT_JOINED: o->joined = true; break;
		case OPT_DISK: o->disk = optarg; break;
		case OPT_VERITY: o->verity = true; break;
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
	o->layers = (const char *const *)argv + optind;
	o->n_layers = (size_t)(argc - optind);
	return -1;
}

/* What cannot be written is found out before anything is. */
static int check_disk(const struct options *o, struct mlimg_err *err)
{
	int r = mlimg_vmdk_check_name(o->output, err);

	if (strcmp(o->disk, o->output) == 0)
		return mlimg_err_usage(err, "'%s' is both the index and the disk", o->disk);
	for (size_t i = 0; i < o->n_layers && r == 0; i++) {
		if (mlimg_outfile_is_input(o->disk, o->layers[i]))
			return mlimg_err_usage(err, "'%s' is both a layer and the disk", o->disk);
		r = mlimg_vmdk_check_name(o->layers[i], err);
	}
	return r;
}

static int write_disk(const struct options *o, const struct mlimg_index *index,
	struct mlimg_outfile *out, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	int r = mlimg_vmdk_write(index, o->output, o->layers, &text, err);

	if (r == 0) {
		r = mlimg_write_all(out->fd, text, strlen(text));
		if (r < 0)
			r = mlimg_err_set(err, r, "write '%s'", o->disk);
	}
	return r < 0 ? r : mlimg_outfile_commit(out, err);
}

/* What has been written, as a boot will read it. */
static int read_back(const struct options *o, struct mlimg_index *ret_index, struct mlimg_err *err)
{
	mlimg_autoclose int fd = open(o->output, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", o->output);
	return mlimg_index_read(fd, o->output, ret_index, err);
}

static int compile(const struct options *o, struct mlimg_index_result *ret_result,
	struct mlimg_index *ret_index, struct mlimg_err *err)
{
	mlimg_autooutfile struct mlimg_outfile disk = MLIMG_OUTFILE_INIT;
	const struct mlimg_index_options how = {
		.is_joined = o->joined || o->disk, .replace = o->force, .has_tree = o->verity};
	int r = o->disk ? check_disk(o, err) : 0;

	if (r == 0 && o->disk)
		r = mlimg_outfile_open(&disk, o->disk, o->force, err);
	if (r == 0)
		r = mlimg_index_compile(o->layers, o->n_layers, o->output, &how, ret_result, err);
	if (r == 0)
		r = read_back(o, ret_index, err);
	if (r == 0 && o->disk)
		r = write_disk(o, ret_index, &disk, err);
	return r;
}

static void report_json(const struct mlimg_index_result *result, const struct mlimg_index *index)
{
	printf("{\"stack_id\": \"%s\", \"layers\": %zu, \"size_bytes\": %" PRIu64, result->stack_id,
		result->n_layers, result->size_bytes);
	if (result->root_hash[0])
		printf(", \"root_hash\": \"%s\"", result->root_hash);
	if (index->is_joined) {
		printf(", \"disk_blocks\": %" PRIu64 ", \"first_blocks\": [", index->disk_blocks);
		for (size_t i = 0; i < index->n_layers; i++)
			printf("%s%" PRIu32, i ? ", " : "", index->layers[i].first_block);
		printf("]");
	}
	printf("}\n");
}

static void report(const struct options *o, const struct mlimg_index_result *result,
	const struct mlimg_index *index)
{
	char size[MLIMG_CLI_SIZE_TEXT];

	if (o->json)
		report_json(result, index);
	else if (!o->quiet)
		printf("%s: %sindex over %zu %s, %s, stack %.20s%s%s\n", o->output,
			index->is_joined ? "joined " : "", result->n_layers,
			mlimg_cli_noun(result->n_layers, "layer", "layers"),
			mlimg_cli_format_size(result->size_bytes, size), result->stack_id,
			result->root_hash[0] ? ", root hash " : "", result->root_hash);
}

int main(int argc, char **argv)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_index_result result;
	struct mlimg_index index;
	struct options o = {0};
	int code = parse(argc, argv, &o);

	if (code >= 0)
		return code;
	if (compile(&o, &result, &index, &err) < 0)
		return mlimg_cli_fail(PROG, &err);
	if (result.not_built_over)
		mlimg_cli_warn(PROG, "'%s' was built over other layers than these",
			o.layers[result.not_built_over]);
	report(&o, &result, &index);
	return mlimg_cli_close_stdout(PROG);
}
