/* SPDX-License-Identifier: MIT */
/* mlimg-mkfs: make a layer image from directories, tars and the like. Manual page: mlimg-mkfs.8 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/sha256.h"
#include "tools/cli.h"
#include "tools/mkfs-options.h"
#include "tools/source.h"

/* Suffixes that say what a file is, not what is in it. */
static void cut_suffixes(char *name)
{
	static const char *const suffixes[] = {".gz", ".xz", ".zst", ".bz2", ".lz4", ".lzma", ".Z",
		".tar", ".tgz", ".txz", ".tzst", ".img", ".ext4", ".raw"};
	size_t size = strlen(name);

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		size_t n = strlen(suffixes[i]);

		if (size > n && strcmp(name + size - n, suffixes[i]) == 0) {
			name[size -= n] = '\0';
			i = (size_t)-1; /* foo.tar.gz has two */
		}
	}
}

/* Name a layer after the file it is made from, or into. */
static int name_after(const char *path, char *ret_name, struct mlimg_err *err)
{
	mlimg_autofree char *copy = realpath(path, NULL); /* "." has a name too */
	struct stat st;
	char *base;

	if (!copy || stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
		free(copy);
		copy = strdup(path);
		if (!copy)
			return mlimg_err_set(err, ENOMEM, "'%s'", path);
		cut_suffixes(copy);
	}
	base = strrchr(copy, '/');
	base = base ? base + 1 : copy;
	if (!mlimg_layer_name_is_valid(base))
		return mlimg_err_usage(err, "cannot name the layer after '%s': give --name", path);
	strcpy(ret_name, base);
	return 0;
}

static int set_text(const char *what, const char *text, char *ret_text, struct mlimg_err *err)
{
	if (!mlimg_layer_name_is_valid(text))
		return mlimg_err_usage(err,
			"--%s '%s': 1 to %d letters, digits or ._+~:- are wanted, the first one a "
			"letter or digit",
			what, text, MLIMG_LAYER_NAME_MAX);
	strcpy(ret_text, text);
	return 0;
}

static int set_instance(struct mlimg_mkfs_request *rq, struct mlimg_err *err)
{
	char hex[MLIMG_SHA256_HEX_SIZE];
	uint8_t digest[MLIMG_SHA256_SIZE];
	size_t size = sizeof(rq->info.instance) - 1;

	if (rq->instance) {
		if (!mlimg_layer_instance_is_valid(rq->instance))
			return mlimg_err_usage(err,
				"--instance '%s': 32 lower-case hexadecimal digits are wanted",
				rq->instance);
		strcpy(rq->info.instance, rq->instance);
		return 0;
	}
	/* Whoever sets SOURCE_DATE_EPOCH wants the same bytes each time. */
	if (rq->build.has_time)
		mlimg_sha256_of(rq->info.name, strlen(rq->info.name), digest);
	else if (getrandom(digest, sizeof(digest), 0) != (ssize_t)sizeof(digest))
		return mlimg_err_set(err, errno, "random number");
	mlimg_sha256_hex(digest, hex);
	memcpy(rq->info.instance, hex, size);
	rq->info.instance[size] = '\0';
	return 0;
}

static int set_time(struct mlimg_mkfs_request *rq, struct mlimg_err *err)
{
	const char *text = getenv("SOURCE_DATE_EPOCH");
	uint64_t seconds;

	if (!text)
		return 0;
	if (mlimg_cli_number(text, 0, MLIMG_EXT4_TIME_MAX, &seconds, err) < 0)
		return mlimg_err_usage(
			err, "SOURCE_DATE_EPOCH is '%s', not a number of seconds", text);
	rq->build.has_time = true;
	rq->build.time_s = (int64_t)seconds;
	return 0;
}

/* Before any work is done, and not after the user may have gone. */
static int open_signer(struct mlimg_mkfs_request *rq, struct mlimg_err *err)
{
	const char *doubt;
	int r = mlimg_signer_open(rq->key, rq->cert, &rq->signer, err);

	if (r < 0)
		return r;
	rq->build.signer = rq->signer;
	doubt = mlimg_signer_doubt(rq->signer);
	if (doubt && !rq->build.is_quiet)
		mlimg_cli_warn(MLIMG_MKFS, "certificate '%s' %s", rq->cert, doubt);
	return 0;
}

static int complete(struct mlimg_mkfs_request *rq, struct mlimg_err *err)
{
	bool is_user = rq->info.kind == MLIMG_USER;
	int r;

	if (rq->name)
		r = set_text("name", rq->name, rq->info.name, err);
	else if (is_user)
		r = name_after(rq->build.image, rq->info.name, err);
	else if (rq->build.n_sources > 1)
		r = mlimg_err_usage(err, "--name is needed when there are several sources");
	else if (strcmp(rq->build.sources[0], "-") == 0)
		r = mlimg_err_usage(err, "--name is needed when SOURCE is standard input");
	else
		r = name_after(rq->build.sources[0], rq->info.name, err);
	if (r == 0)
		r = set_text("version", rq->version ? rq->version : "0", rq->info.version, err);
	if (r == 0)
		r = set_time(rq, err);
	if (r == 0 && is_user)
		r = set_instance(rq, err);
	if (r == 0 && rq->key)
		r = open_signer(rq, err);
	if (r == 0 && rq->profile_path)
		r = mlimg_profile_read(rq->profile_path, &rq->profile, err);
	rq->build.profile = rq->profile;
	rq->build.ret_unknown = &rq->n_unknown;
	return r;
}

static int print_json(const struct mlimg_mkfs_request *rq, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	int r = rq->build.verity ? mlimg_sidecar_to_json(&rq->info, &rq->verity, &text, err)
				 : mlimg_layer_to_json(&rq->info, &text, err);

	if (r == 0)
		fputs(text, stdout);
	return r;
}

static void print_line(const struct mlimg_mkfs_request *rq, uint64_t size_bytes)
{
	const struct mlimg_layer_info *info = &rq->info;
	char size_text[MLIMG_CLI_SIZE_TEXT];

	printf("%s %s: %s layer, build id %s, %" PRIu64 " %s, image of %s", info->name,
		info->version, mlimg_kind_name(info->kind), info->build_id, info->entries,
		mlimg_cli_noun(info->entries, "entry", "entries"),
		mlimg_cli_format_size(size_bytes, size_text));
	if (rq->build.verity)
		printf(", root hash %s%s", rq->verity.root_hash, rq->signer ? ", signed" : "");
	putchar('\n');
}

static int make(struct mlimg_mkfs_request *rq, struct mlimg_err *err)
{
	uint64_t size_bytes;
	int r = mlimg_over_args_open(&rq->beneath, &rq->build, &rq->info, err);

	if (r == 0)
		r = mlimg_build_layer(&rq->build, &rq->info, &size_bytes, err);

	if (r < 0)
		return r;
	if (rq->n_unknown && !rq->build.is_quiet)
		mlimg_cli_warn(MLIMG_MKFS, "%zu of %zu %s of '%s' %s in the layer", rq->n_unknown,
			mlimg_profile_count(rq->profile),
			mlimg_cli_noun(mlimg_profile_count(rq->profile), "path", "paths"),
			rq->profile_path,
			mlimg_cli_noun(
				rq->n_unknown, "is no regular file", "are no regular files"));
	if (rq->is_json)
		return print_json(rq, err);
	if (rq->build.is_quiet)
		return 0;
	print_line(rq, size_bytes);
	mlimg_rules_report(&rq->rules, &rq->info, stdout);
	mlimg_over_report(&rq->beneath.over, stdout);
	return 0;
}

static int run(struct mlimg_mkfs_request *rq, int argc, char **argv)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	int code, r = mlimg_mkfs_options_read(rq, argc, argv, &code, &err);

	if (r > 0)
		return code;
	if (r == 0)
		r = complete(rq, &err);
	if (r == 0)
		r = make(rq, &err);
	return r < 0 ? mlimg_cli_fail(MLIMG_MKFS, &err) : mlimg_cli_close_stdout(MLIMG_MKFS);
}

int main(int argc, char **argv)
{
	struct mlimg_mkfs_request rq = {0};
	int code = run(&rq, argc, argv);

	mlimg_over_args_done(&rq.beneath);
	mlimg_rules_done(&rq.rules);
	mlimg_layer_info_done(&rq.info);
	mlimg_owner_map_free(rq.build.owners);
	mlimg_verity_done(&rq.verity);
	mlimg_signer_free(rq.signer);
	mlimg_profile_free(rq.profile);
	return code;
}
