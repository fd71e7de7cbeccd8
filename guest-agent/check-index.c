/* SPDX-License-Identifier: MIT */
/*
 * `mlimg-agent check-index`: before anything is mounted, whether the layers' disks, or what lies
 * behind a joined index, are those that it was compiled from.
 */
#include <errno.h>
#include <fcntl.h>

#include "guest-agent/calls.h"
#include "guest-agent/identify.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/index.h"
#include "tools/cli.h"

#define NAME_SIZE (256 + 16 + MLIMG_SERIAL_SIZE)

struct check {
	const char *index;
	const char *layers[MLIMG_STACK_LAYERS_MAX]; /* bottom first */
	size_t n_layers;
};

/* As the initramfs names a disk. @return a file descriptor, or -errno */
static int open_disk(const char *path, char ret_name[NAME_SIZE], struct mlimg_err *err)
{
	char serial[MLIMG_SERIAL_SIZE];
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return mlimg_err_set(err, errno, "open %s", path);
	mlimg_identify_serial(path, serial);
	if (serial[0])
		snprintf(ret_name, NAME_SIZE, "%.255s (serial %s)", path, serial);
	else
		snprintf(ret_name, NAME_SIZE, "%.255s", path);
	return fd;
}

/* A damaged byte of a device over a hash tree is an I/O error, which alone says not what to do. */
static int read_index(
	int fd, const char *name, struct mlimg_index *ret_index, struct mlimg_err *err)
{
	int r = mlimg_index_read(fd, name, ret_index, err);
	struct mlimg_err why = *err;

	if (r >= 0 || why.kind == MLIMG_ERR_REFUSED)
		return r;
	return mlimg_err_set(err, 0,
		"the index cannot be read: %.300s: compile it again with mlimg-index, or boot with "
		"mlimg.union=overlay and the layers' own disks",
		why.text);
}

static int compare(const struct check *c, struct mlimg_index_disk *disks, struct mlimg_err *err)
{
	mlimg_autofree char(*names)[NAME_SIZE] = calloc(c->n_layers + 1, NAME_SIZE);
	mlimg_autofree struct mlimg_index *index = calloc(1, sizeof(*index));
	mlimg_autoclose int index_fd = -1;
	int r;

	if (!names || !index)
		return mlimg_err_set(err, ENOMEM, "check-index");
	index_fd = open_disk(c->index, names[c->n_layers], err);
	if (index_fd < 0)
		return index_fd;
	r = read_index(index_fd, names[c->n_layers], index, err);
	for (size_t i = 0; i < c->n_layers && r == 0; i++) {
		disks[i].fd = open_disk(c->layers[i], names[i], err);
		disks[i].name = names[i];
		r = disks[i].fd < 0 ? disks[i].fd : 0;
	}
	if (r < 0)
		return r;
	if (index->is_joined && !c->n_layers)
		return mlimg_index_check_joined(
			index, &(struct mlimg_index_disk){.fd = index_fd, .name = names[0]}, err);
	return mlimg_index_check(index, names[c->n_layers], disks, c->n_layers, err);
}

static int run(const struct check *c)
{
	struct mlimg_index_disk disks[MLIMG_STACK_LAYERS_MAX];
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r;

	for (size_t i = 0; i < c->n_layers; i++)
		disks[i].fd = -1;
	r = compare(c, disks, &err);
	for (size_t i = 0; i < c->n_layers; i++)
		mlimg_cleanup_close(&disks[i].fd);
	return r < 0 ? mlimg_cli_fail(MLIMG_AGENT_PROG, &err) : MLIMG_EXIT_DONE;
}

int mlimg_call_check_index(int argc, char **argv)
{
	static const struct option options[] = {{"index", required_argument, NULL, 'i'},
		{"layer", required_argument, NULL, 'l'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	struct check c = {.index = NULL};
	int opt;

	while ((opt = mlimg_cli_getopt(MLIMG_AGENT_PROG, argc, argv, "h", options)) != -1)
		switch (opt) {
		case 'i': c.index = optarg; break;
		case 'l':
			if (c.n_layers == MLIMG_STACK_LAYERS_MAX)
				return mlimg_cli_usage(MLIMG_AGENT_PROG,
					"check-index: more than %d layers", MLIMG_STACK_LAYERS_MAX);
			c.layers[c.n_layers++] = optarg;
			break;
		case 'h': return mlimg_call_help();
		default: return MLIMG_EXIT_USAGE;
		}
	if (optind < argc)
		return mlimg_cli_usage(
			MLIMG_AGENT_PROG, "check-index: unexpected argument '%s'", argv[optind]);
	if (!c.index)
		return mlimg_cli_usage(MLIMG_AGENT_PROG, "check-index: --index is missing");
	return run(&c);
}
