/* SPDX-License-Identifier: MIT */
/* `mlimg-agent verity`: a device over a layer's disk that reads nothing but what the root hash stands for (libmlimg/verity.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "guest-agent/calls.h"
#include "guest-agent/dm.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/disk.h"
#include "libmlimg/verity.h"
#include "tools/cli.h"

struct call {
	const char *dev, *root_hash, *name;
};

static int read_block(const struct call *c, int fd, uint64_t offset_bytes,
	uint8_t ret_block[MLIMG_VERITY_BLOCK], struct mlimg_err *err)
{
	ssize_t n = pread(fd, ret_block, MLIMG_VERITY_BLOCK, (off_t)offset_bytes);

	if (n < 0)
		return mlimg_err_set(err, errno, "read %s", c->dev);
	if (n < MLIMG_VERITY_BLOCK)
		return mlimg_err_refuse(err, "%s: it ends before its hash tree does", c->dev);
	return 0;
}

static int find_tree(
	const struct call *c, int fd, struct mlimg_verity *ret_verity, struct mlimg_err *err)
{
	uint8_t block[MLIMG_VERITY_BLOCK];
	struct mlimg_disk disk;
	int r;

	mlimg_disk_probe(fd, &disk);
	if (disk.state == MLIMG_DISK_UNREADABLE)
		return mlimg_err_set(err, disk.error, "read %s", c->dev);
	if (disk.state != MLIMG_DISK_LAYER || disk.is_index ||
		disk.sb.block_size != MLIMG_VERITY_BLOCK)
		return mlimg_err_refuse(err, "%s: no layer", c->dev);
	if (disk.size_bytes == disk.sb.size_bytes)
		return mlimg_err_refuse(err, "%s: it has no hash tree", c->dev);
	r = read_block(c, fd, disk.sb.size_bytes, block, err);
	if (r < 0)
		return r;
	if (!mlimg_verity_is_super(block))
		return mlimg_err_refuse(err, "%s: it has no hash tree", c->dev);
	r = mlimg_verity_parse_super(
		block, disk.sb.uuid, disk.sb.size_bytes / MLIMG_VERITY_BLOCK, ret_verity, err);
	return r < 0 ? mlimg_err_wrap(err, r, "%s", c->dev) : 0;
}

/* The kernel would find it out too, but at the first read, and without a word of which hash it is. */
static int check_root(
	const struct call *c, int fd, const struct mlimg_verity *verity, struct mlimg_err *err)
{
	struct mlimg_verity_levels levels;
	uint8_t top[MLIMG_VERITY_BLOCK], digest[MLIMG_SHA256_SIZE];
	char root_hash[MLIMG_SHA256_HEX_SIZE];
	struct mlimg_sha256 sha;
	int r;

	if (!mlimg_verity_levels(verity->data_blocks, verity->hash_offset_bytes, &levels))
		return mlimg_err_refuse(err, "%s: hash tree of an impossible size", c->dev);
	r = read_block(c, fd, levels.end_bytes - MLIMG_VERITY_BLOCK, top, err);
	if (r == 0)
		r = read_block(c, fd, levels.level[levels.n - 1].offset_bytes, top, err);
	if (r < 0)
		return r;
	mlimg_sha256_init(&sha);
	mlimg_sha256_add(&sha, verity->salt, sizeof(verity->salt));
	mlimg_sha256_add(&sha, top, sizeof(top));
	mlimg_sha256_end(&sha, digest);
	mlimg_sha256_hex(digest, root_hash);
	if (strcmp(root_hash, c->root_hash) != 0)
		return mlimg_err_refuse(
			err, "%s: its root hash is %s, not %s", c->dev, root_hash, c->root_hash);
	return 0;
}

/* The kernel's Documentation/admin-guide/device-mapper/verity.rst, "Construction Parameters". */
static int set_up(
	const struct call *c, int fd, const struct mlimg_verity *verity, struct mlimg_err *err)
{
	char params[MLIMG_DM_PARAMS_MAX + 1], disk[32], salt[MLIMG_SHA256_HEX_SIZE];
	struct mlimg_dm_target target = {.type = "verity",
		.params = params,
		.size_bytes = verity->data_blocks * MLIMG_VERITY_BLOCK};
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return mlimg_err_set(err, errno, "stat %s", c->dev);
	if (!S_ISBLK(st.st_mode))
		return mlimg_err_set(err, ENOTBLK, "%s", c->dev);
	snprintf(disk, sizeof(disk), "%u:%u", major(st.st_rdev), minor(st.st_rdev));
	mlimg_sha256_hex(verity->salt, salt);
	/* Its superblock is not the kernel's: the tree begins behind it. */
	snprintf(params, sizeof(params), "1 %s %s %d %d %llu %llu sha256 %s %s", disk, disk,
		MLIMG_VERITY_BLOCK, MLIMG_VERITY_BLOCK, (unsigned long long)verity->data_blocks,
		(unsigned long long)(verity->hash_offset_bytes / MLIMG_VERITY_BLOCK + 1),
		c->root_hash, salt);
	r = mlimg_dm_create(c->name, &target, err);
	return r < 0 ? mlimg_err_wrap(err, r, "%s", c->dev) : 0;
}

static int run(const struct call *c)
{
	/* O_NONBLOCK: a FIFO given by mistake must not stop us. */
	mlimg_autoclose int fd = open(c->dev, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct mlimg_verity verity = {.data_blocks = 0};
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r = fd < 0 ? mlimg_err_set(&err, errno, "open %s", c->dev)
		       : find_tree(c, fd, &verity, &err);

	if (r == 0)
		r = check_root(c, fd, &verity, &err);
	if (r == 0)
		r = set_up(c, fd, &verity, &err);
	return r < 0 ? mlimg_cli_fail(MLIMG_AGENT_PROG, &err) : MLIMG_EXIT_DONE;
}

static bool is_name(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return n > 0 && n <= MLIMG_DM_NAME_MAX && !name[n];
}

static int check(const struct call *c)
{
	uint8_t digest[MLIMG_SHA256_SIZE];
	const char *missing = !c->dev ? "--dev" : !c->root_hash ? "--root-hash" : NULL;

	if (missing)
		return mlimg_cli_usage(MLIMG_AGENT_PROG, "verity: %s is missing", missing);
	if (!mlimg_sha256_is_hex(c->root_hash, digest))
		return mlimg_cli_usage(MLIMG_AGENT_PROG,
			"verity: '%s' is no root hash (64 hex digits)", c->root_hash);
	if (!is_name(c->name))
		return mlimg_cli_usage(MLIMG_AGENT_PROG,
			"verity: '%s' is no name (1 to 63 of a-z, 0-9 and -)", c->name);
	return -1;
}

int mlimg_call_verity(int argc, char **argv)
{
	static const struct option options[] = {{"dev", required_argument, NULL, 'd'},
		{"root-hash", required_argument, NULL, 'r'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	struct call c = {.dev = NULL};
	int opt, r;

	while ((opt = mlimg_cli_getopt(MLIMG_AGENT_PROG, argc, argv, "h", options)) != -1)
		switch (opt) {
		case 'd': c.dev = optarg; break;
		case 'r': c.root_hash = optarg; break;
		case 'h': return mlimg_call_help();
		default: return MLIMG_EXIT_USAGE;
		}
	if (optind + 1 != argc)
		return mlimg_cli_usage(MLIMG_AGENT_PROG, "verity: which name? one is needed");
	c.name = argv[optind];
	r = check(&c);
	return r >= 0 ? r : run(&c);
}
