/* SPDX-License-Identifier: MIT */
#include "tools/mkfs-options.h"

#include <errno.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/outfile.h"

#define USER_SIZE_DEFAULT (UINT64_C(2) << 30)
/* More than any root, and still an end to an archive that was made to unpack without one. */
#define LIMIT_DEFAULT (UINT64_C(64) << 30)

static const char help_text[] =
	"Usage: mlimg-mkfs --kind KIND [OPTION]... SOURCE... IMAGE\n"
	"       mlimg-mkfs --kind user [OPTION]... IMAGE\n"
	"Makes a layer image (ext4) from sources: directories, tars of any compression,\n"
	"container images (OCI layout or archive, docker save), layer images, uppers of\n"
	"overlayfs, branches of unionfs-fuse, or - for a tar on standard input. Several\n"
	"are merged, later ones on top. Needs neither root nor a mount.\n"
	"\n"
	"Most used:\n"
	"  mlimg-mkfs --kind system --version 12.11 debian/ debian.img\n"
	"  mlimg-mkfs --kind software --over debian.img nginx/ nginx.img\n"
	"  mlimg-mkfs --base debian.img --version 12.12 debian/ 12.12.img\n"
	"\n"
	"The layer:\n"
	"  --kind KIND      system, software, user or patch (required without --base)\n"
	"  --name NAME      the layer's name (default: SOURCE's name without suffixes;\n"
	"                   of a user layer, IMAGE's)\n"
	"  --version TEXT   the layer's version (default: 0)\n"
	"  --size SIZE      of the image (default: as small as can be; user layers: 2G)\n"
	"  --instance HEX   32 hex digits to tell user layers apart (default: random)\n"
	"\n"
	"What it lies over:\n"
	"  --over IMAGES    of a software layer: compare SOURCE, a whole tree, to these,\n"
	"                   and keep what differs; separated by commas, bottom first\n"
	"                   (build ids instead are only noted)\n"
	"  --partial        with --over: what SOURCE lacks stays (default: is deleted)\n"
	"  --base IMAGE     make a patch: what differs from this system; can be given\n"
	"                   again for the patches that lie on it, bottom first\n"
	"\n"
	"Its sources:\n"
	"  --trust-times    with --base: do not read files whose path, size, time and\n"
	"                   attributes are as beneath (default: read all)\n"
	"  --form FORM      what sources are: dir, tar, oci, layer, user, upper,\n"
	"                   upper-userxattr or unionfs (default: auto)\n"
	"  --platform P     of container images (default: linux/amd64)\n"
	"  --ref TAG        one of several container images (default: the only one)\n"
	"  --owner-map MAP  owners of SOURCE's entries: [u:|g:|b:]FROM:TO[:COUNT],...\n"
	"                   and all=UID:GID for the rest (default: as they are)\n"
	"  --profile FILE   a list of files, a path a line, that come first in the image,\n"
	"                   in this order: as a boot reads them (not for user layers)\n"
	"  --dedupe         let files with the same contents share blocks (not for user\n"
	"                   layers; default: each has its own)\n"
	"  --limit SIZE     what sources may hold unpacked, or in holes (default: 64G)\n"
	"  --allow RULE     lift a rule about what shared layers must not hold: caches,\n"
	"                   machine-id, ssh-host-keys, random-seed, logs, apt-lists,\n"
	"                   backups, dpkg-status, accounts, older-library or\n"
	"                   mass-deletion\n"
	"\n"
	"The image:\n"
	"  --verity         append a dm-verity hash tree; IMAGE.layer.json gets its root\n"
	"                   hash (default: none)\n"
	"  --sign KEY       sign the root hash with a private key (PEM); needs --verity\n"
	"  --cert CERT      the key's certificate (PEM)\n"
	"  --force          replace IMAGE if it exists (default: refuse)\n"
	"  --json           print the layer's description as JSON\n"
	"  --quiet          print nothing but errors\n"
	"  --help, -h       print this and exit\n"
	"\n"
	"Sizes are numbers with K, M, G or T.\n"
	"Exit status: 0 done, 1 failed, 2 wrong usage, 3 source refused.\n";

enum option_value {
	OPT_KIND = 256,
	OPT_NAME,
	OPT_VERSION,
	OPT_OVER,
	OPT_PARTIAL,
	OPT_ALLOW,
	OPT_BASE,
	OPT_TRUST_TIMES,
	OPT_FORM,
	OPT_PLATFORM,
	OPT_REF,
	OPT_OWNER_MAP,
	OPT_PROFILE,
	OPT_DEDUPE,
	OPT_LIMIT,
	OPT_SIZE,
	OPT_INSTANCE,
	OPT_VERITY,
	OPT_SIGN,
	OPT_CERT,
	OPT_FORCE,
	OPT_JSON,
	OPT_QUIET,
	OPT_HELP,
};

static const struct option long_options[] = {
	{"kind", required_argument, NULL, OPT_KIND},
	{"name", required_argument, NULL, OPT_NAME},
	{"version", required_argument, NULL, OPT_VERSION},
	{"over", required_argument, NULL, OPT_OVER},
	{"partial", no_argument, NULL, OPT_PARTIAL},
	{"allow", required_argument, NULL, OPT_ALLOW},
	{"base", required_argument, NULL, OPT_BASE},
	{"trust-times", no_argument, NULL, OPT_TRUST_TIMES},
	{"form", required_argument, NULL, OPT_FORM},
	{"platform", required_argument, NULL, OPT_PLATFORM},
	{"ref", required_argument, NULL, OPT_REF},
	{"owner-map", required_argument, NULL, OPT_OWNER_MAP},
	{"profile", required_argument, NULL, OPT_PROFILE},
	{"dedupe", no_argument, NULL, OPT_DEDUPE},
	{"limit", required_argument, NULL, OPT_LIMIT},
	{"size", required_argument, NULL, OPT_SIZE},
	{"instance", required_argument, NULL, OPT_INSTANCE},
	{"verity", no_argument, NULL, OPT_VERITY},
	{"sign", required_argument, NULL, OPT_SIGN},
	{"cert", required_argument, NULL, OPT_CERT},
	{"force", no_argument, NULL, OPT_FORCE},
	{"json", no_argument, NULL, OPT_JSON},
	{"quiet", no_argument, NULL, OPT_QUIET},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static int add_base(struct mlimg_mkfs_request *rq, const char *image, struct mlimg_err *err)
{
	if (rq->build.n_bases == 1 + MLIMG_STACK_PATCH_MAX)
		return mlimg_err_usage(err, "more than %d times --base", 1 + MLIMG_STACK_PATCH_MAX);
	rq->bases[rq->build.n_bases++] = image;
	rq->build.bases = rq->bases;
	return 0;
}

static int take_option(struct mlimg_mkfs_request *rq, int opt, struct mlimg_err *err)
{
	switch (opt) {
	case OPT_KIND:
		rq->info.kind = mlimg_kind_of(optarg);
		if (!rq->info.kind)
			return mlimg_err_usage(
				err, "'%s' is no kind: system, software, user or patch", optarg);
		return 0;
	case OPT_NAME: rq->name = optarg; return 0;
	case OPT_VERSION: rq->version = optarg; return 0;
	case OPT_OVER: return mlimg_over_args_add(&rq->beneath, optarg, &rq->info, err);
	case OPT_PARTIAL: rq->beneath.over.is_partial = true; return 0;
	case OPT_ALLOW: return mlimg_rules_allow(&rq->rules, optarg, err);
	case OPT_BASE: return add_base(rq, optarg, err);
	case OPT_TRUST_TIMES: rq->build.trusts_times = true; return 0;
	case OPT_FORM:
		if (!mlimg_form_of(optarg, &rq->build.form))
			return mlimg_err_usage(err,
				"'%s' is no form: auto, dir, tar, oci, layer, user, upper, "
				"upper-userxattr or unionfs",
				optarg);
		return 0;
	case OPT_PLATFORM:
		if (!mlimg_oci_platform_parse(optarg, &rq->build.choice.platform))
			return mlimg_err_usage(
				err, "'%s' is no platform such as linux/amd64", optarg);
		return 0;
	case OPT_REF: rq->build.choice.ref = optarg; return 0;
	case OPT_OWNER_MAP:
		if (rq->build.owners)
			return mlimg_err_usage(err, "more than one --owner-map");
		return mlimg_owner_map_parse(optarg, &rq->build.owners, err);
	case OPT_PROFILE: rq->profile_path = optarg; return 0;
	case OPT_DEDUPE: rq->build.is_deduped = true; return 0;
	case OPT_LIMIT: return mlimg_cli_size(optarg, &rq->build.limit_bytes, err);
	case OPT_SIZE:
		rq->has_size = true;
		return mlimg_cli_size(optarg, &rq->build.size_bytes, err);
	case OPT_INSTANCE: rq->instance = optarg; return 0;
	case OPT_VERITY: rq->build.verity = &rq->verity; return 0;
	case OPT_SIGN: rq->key = optarg; return 0;
	case OPT_CERT: rq->cert = optarg; return 0;
	case OPT_FORCE: rq->build.can_replace = true; return 0;
	case OPT_JSON: rq->is_json = true; return 0;
	case OPT_QUIET: rq->build.is_quiet = true; return 0;
	default: return mlimg_err_usage(err, "option %d", opt);
	}
}

static size_t n_of_stdin(const struct mlimg_build *build)
{
	size_t n = 0;

	for (size_t i = 0; i < build->n_sources; i++)
		n += strcmp(build->sources[i], "-") == 0;
	return n;
}

static int check_sources(const struct mlimg_build *build, struct mlimg_err *err)
{
	if (build->n_sources > MLIMG_SOURCES_MAX)
		return mlimg_err_usage(err, "more than %d sources", MLIMG_SOURCES_MAX);
	if (n_of_stdin(build) > 1)
		return mlimg_err_usage(err, "standard input is there only once");
	for (size_t i = 0; i < build->n_sources; i++)
		if (mlimg_outfile_is_input(build->image, build->sources[i]))
			return mlimg_err_usage(
				err, "'%s' is both the source and the image", build->image);
	for (size_t i = 0; i < build->n_bases; i++)
		if (mlimg_outfile_is_input(build->image, build->bases[i]))
			return mlimg_err_usage(
				err, "'%s' is both the base and the image", build->image);
	return 0;
}

static int check_verity(const struct mlimg_mkfs_request *rq, struct mlimg_err *err)
{
	if (rq->build.verity && rq->info.kind == MLIMG_USER)
		return mlimg_err_usage(err, "--verity is for layers that are only read");
	if (!rq->key != !rq->cert)
		return mlimg_err_usage(
			err, rq->key ? "--sign needs --cert" : "--cert needs --sign");
	if (rq->key && !rq->build.verity)
		return mlimg_err_usage(err, "--sign needs --verity");
	return 0;
}

/* Sources and image, and what may stand with what. */
static int take_operands(
	struct mlimg_mkfs_request *rq, int n, char **operands, struct mlimg_err *err)
{
	bool is_user = rq->info.kind == MLIMG_USER;

	if (!rq->info.kind && rq->build.n_bases)
		rq->info.kind = MLIMG_PATCH;
	if (!rq->info.kind)
		return mlimg_err_usage(err, "--kind is missing");
	if (rq->build.n_bases && rq->info.kind != MLIMG_PATCH)
		return mlimg_err_usage(err, "--base makes a patch: give --kind patch, or none");
	if (!rq->build.n_bases && rq->info.kind == MLIMG_PATCH)
		return mlimg_err_usage(err, "--base is missing");
	if (rq->build.trusts_times && rq->info.kind != MLIMG_PATCH)
		return mlimg_err_usage(err, "--trust-times is for patches");
	if (n == 0 || (n == 1 && !is_user))
		return mlimg_err_usage(
			err, n ? "IMAGE is missing" : "SOURCE and IMAGE are missing");
	rq->build.sources = operands;
	rq->build.n_sources = (size_t)n - 1;
	rq->build.image = operands[n - 1];
	if (check_sources(&rq->build, err) < 0)
		return -EINVAL;
	if (mlimg_over_args_check(&rq->beneath, &rq->info, rq->build.image, err) < 0)
		return -EINVAL;
	if (rq->rules.allowed && is_user)
		return mlimg_err_usage(err, "--allow is not for user layers, which have no rules");
	if (rq->instance && !is_user)
		return mlimg_err_usage(err, "--instance is for user layers");
	if (check_verity(rq, err) < 0)
		return -EINVAL;
	if ((rq->profile_path || rq->build.is_deduped) && is_user)
		return mlimg_err_usage(err, "--%s is for read-only layers",
			rq->profile_path ? "profile" : "dedupe");
	if (is_user && !rq->has_size)
		rq->build.size_bytes = USER_SIZE_DEFAULT;
	if (rq->has_size && !rq->build.size_bytes)
		return mlimg_err_usage(err, "--size is 0");
	return 0;
}

int mlimg_mkfs_options_read(
	struct mlimg_mkfs_request *rq, int argc, char **argv, int *ret_exit, struct mlimg_err *err)
{
	int opt, r = 0;

	rq->build.limit_bytes = LIMIT_DEFAULT;
	rq->build.choice.platform =
		(struct mlimg_oci_platform){.os = "linux", .architecture = "amd64"};
	rq->build.rules = &rq->rules;
	while (r == 0 &&
		(opt = mlimg_cli_getopt(MLIMG_MKFS, argc, argv, "h", long_options)) != -1) {
		switch (opt) {
		case 'h':
		case OPT_HELP: *ret_exit = mlimg_cli_help(MLIMG_MKFS, help_text); return 1;
		case '?': *ret_exit = MLIMG_EXIT_USAGE; return 1;
		default: r = take_option(rq, opt, err);
		}
	}
	return r < 0 ? r : take_operands(rq, argc - optind, argv + optind, err);
}
