/* SPDX-License-Identifier: MIT */
/* `mlimg-agent format`: make an empty user layer on a disk that is really blank. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "guest-agent/calls.h"
#include "guest-agent/ext4-new.h"
#include "guest-agent/mounted.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/disk.h"
#include "tools/cli.h"

/* The id on the command line says which layer is meant, and the rest which one it would become. */
static int check_id(const struct mlimg_user_layer *layer, const char *id, struct mlimg_err *err)
{
	if (strncasecmp(layer->info.build_id, id, strlen(id)) == 0)
		return 0;
	return mlimg_err_refuse(err,
		"an empty user layer '%s' with instance %s has the id %.*s, and %s is wanted: "
		"correct "
		"mlimg.format or mlimg.user",
		layer->info.name, layer->info.instance, MLIMG_SHORT_ID, layer->info.build_id, id);
}

static int format(const char *dev, const char *id, const struct mlimg_user_layer *layer,
	struct mlimg_err *err)
{
	/* O_EXCL: not a disk that is mounted or a part of something. */
	mlimg_autoclose int fd = -1;
	struct mlimg_disk disk;
	int r = check_id(layer, id, err);

	if (r < 0)
		return r;
	fd = open(dev, O_RDWR | O_EXCL | O_CLOEXEC);
	if (fd < 0)
		return mlimg_err_set(err, errno, "open %s", dev);
	r = mlimg_disk_check_blank(fd, dev, err);
	if (r < 0)
		return r;
	mlimg_disk_probe(fd, &disk);
	if (disk.size_bytes < MLIMG_EXT4_NEW_MIN_BYTES)
		return mlimg_err_refuse(err, "%s has %llu bytes: a user layer needs %llu at least",
			dev, (unsigned long long)disk.size_bytes,
			(unsigned long long)MLIMG_EXT4_NEW_MIN_BYTES);
	return mlimg_ext4_new(fd, dev, disk.size_bytes, layer, err);
}

int mlimg_call_format(int argc, char **argv)
{
	static const struct option options[] = {{"dev", required_argument, NULL, 'd'},
		{"user", required_argument, NULL, 'u'}, {"as", required_argument, NULL, 'a'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	const char *dev = NULL, *id = NULL, *as = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_user_layer layer;
	int opt;

	while ((opt = mlimg_cli_getopt(MLIMG_AGENT_PROG, argc, argv, "h", options)) != -1)
		switch (opt) {
		case 'd': dev = optarg; break;
		case 'u': id = optarg; break;
		case 'a': as = optarg; break;
		case 'h': return mlimg_call_help();
		default: return MLIMG_EXIT_USAGE;
		}
	if (optind < argc)
		return mlimg_cli_usage(
			MLIMG_AGENT_PROG, "format: unexpected argument '%s'", argv[optind]);
	if (!dev || !id || !as)
		return mlimg_cli_usage(MLIMG_AGENT_PROG, "format: --%s is missing",
			!dev          ? "dev"
				: !id ? "user"
				      : "as");
	if (!mlimg_id_is_valid(id))
		return mlimg_cli_usage(
			MLIMG_AGENT_PROG, "format: '%s' is no id (20 to 64 hex digits)", id);
	if (mlimg_user_layer_parse(as, &layer, &err) < 0 || format(dev, id, &layer, &err) < 0)
		return mlimg_cli_fail(MLIMG_AGENT_PROG, &err);
	return MLIMG_EXIT_DONE;
}
