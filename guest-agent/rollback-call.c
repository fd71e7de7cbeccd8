/* SPDX-License-Identifier: MIT */
/* `mlimg-agent rollback`: takes the last change of a user layer back, on a file system that is mounted without a union. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/calls.h"
#include "guest-agent/change.h"
#include "guest-agent/mounted.h"
#include "libmlimg/cleanup.h"
#include "tools/cli.h"

struct rollback {
	struct mlimg_mounted user;
	struct mlimg_boot_state state, former;
};

static void tell(const char *path, enum mlimg_change_told what, uint64_t generation, void *ctx)
{
	if (what == MLIMG_CHANGE_IS_ASIDE)
		printf("written since, so the older one is in mlimg/" MLIMG_CHANGE_ASIDE "/%" PRIu64
		       ": /",
			generation);
	else
		fputs(what == MLIMG_CHANGE_MERGED ? "written since, and merged: /"
						  : "a cache, to be made anew: /",
			stdout);
	mlimg_cli_put_safe(stdout, path);
	putchar('\n');
}

static int read_state(struct rollback *b, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_mounted_read(
		&b->user, "mlimg/state.json", MLIMG_BOOT_STATE_MAX, &text, &size, err);

	return r < 0 ? r : mlimg_boot_state_from_json(text, size, &b->state, err);
}

static int roll_back(struct rollback *b, const char *dir, struct mlimg_err *err)
{
	struct mlimg_change_call call = {.told = tell};
	mlimg_autoclose int own_fd = -1;
	int r;

	b->user.fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->user.fd < 0)
		return mlimg_err_set(err, errno, "open");
	snprintf(b->user.where, sizeof(b->user.where), ".");
	call.user_fd = b->user.fd;
	r = mlimg_change_resume(&call, err);
	if (r == 0)
		r = read_state(b, err);
	if (r < 0)
		return r;
	own_fd = openat(b->user.fd, "mlimg", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (own_fd < 0)
		return mlimg_err_set(err, errno, "open 'mlimg'");
	r = mlimg_change_find_former(own_fd, &b->state, &b->former, err);
	if (r < 0)
		return r;
	if (r == 0)
		return mlimg_err_set(err, 0,
			"there is no change to take back: the last one was taken back already, "
			"or was none of a stack, or the union driver is another one since");
	r = mlimg_change_roll_back(&call, &b->state, &b->former, err);
	if (r == 0)
		printf("%s: generation %" PRIu64 ", the stack of generation %" PRIu64
		       "; steps taken back: %" PRIu64 "\n",
			dir, call.generation, b->former.generation, call.n_steps);
	return r;
}

static int run(const char *dir)
{
	mlimg_autofree struct rollback *b = calloc(1, sizeof(*b));
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r;

	if (!b) {
		r = mlimg_err_set(&err, ENOMEM, "rollback");
		return mlimg_cli_fail(MLIMG_AGENT_PROG, &err);
	}
	b->user.fd = -1;
	r = roll_back(b, dir, &err);
	mlimg_mounted_close(&b->user);
	if (r < 0) {
		(void)!mlimg_err_wrap(&err, r, "%s", dir);
		return mlimg_cli_fail(MLIMG_AGENT_PROG, &err);
	}
	return mlimg_cli_close_stdout(MLIMG_AGENT_PROG);
}

int mlimg_call_rollback(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int opt;

	while ((opt = mlimg_cli_getopt(MLIMG_AGENT_PROG, argc, argv, "h", options)) != -1)
		switch (opt) {
		case 'h': return mlimg_call_help();
		default: return MLIMG_EXIT_USAGE;
		}
	if (argc - optind != 1)
		return mlimg_cli_usage(MLIMG_AGENT_PROG,
			"rollback: the directory of one mounted user layer is wanted");
	return run(argv[optind]);
}
