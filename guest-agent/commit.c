/* SPDX-License-Identifier: MIT */
/*
 * `mlimg-agent commit`: after the union is mounted, the carve-outs are mounted over it, and the
 * state that `prepare` left in /run/mlimg goes into the user layer. Not earlier: a boot that fails
 * before must find the user layer as the last good boot left it. Last, boot.json is copied to where
 * everybody can read it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-agent/base.h"
#include "guest-agent/calls.h"
#include "guest-agent/carve.h"
#include "guest-agent/room.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "tools/cli.h"

/* The stack could not be recorded: the base manifest that only it needs gives its room back. */
static void forget(int dir_fd, struct mlimg_boot_state *state)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_read_beneath(dir_fd, "state.json", MLIMG_BOOT_STATE_MAX, &text, &size, NULL);

	if (r == 0)
		r = mlimg_boot_state_from_json(text, size, state, NULL);
	if (r == 0 || r == -ENOENT)
		mlimg_base_remove_leftovers(dir_fd, r == 0 ? state->generation : 0);
}

static int note_no_room(int root_fd, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL, *noted = NULL;
	size_t size;
	int r = mlimg_read_file(root_fd, "boot.json", MLIMG_BOOT_JSON_MAX, &text, &size, err);

	if (r == 0)
		r = mlimg_boot_json_add_no_room(text, size, "state.json", &noted, err);
	return r < 0 ? r
		     : mlimg_replace_file(root_fd, "boot.json", noted, strlen(noted), 0644, err);
}

static int install(int root_fd, const char *text, size_t size, struct mlimg_err *err)
{
	mlimg_autoclose int dir_fd =
		mlimg_open_beneath(root_fd, "user/mlimg", O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	mlimg_autofree struct mlimg_boot_state *state = malloc(sizeof(*state));
	int r;

	if (dir_fd < 0)
		return mlimg_err_set(err, dir_fd, "open 'user/mlimg'");
	if (!state)
		return mlimg_err_set(err, ENOMEM, "commit");
	r = mlimg_boot_state_from_json(text, size, state, err);
	if (r < 0)
		return r;
	if (!mlimg_base_is_there(dir_fd, state))
		return mlimg_err_set(
			err, ENOENT, "user/mlimg: the base manifest that prepare has written");
	r = mlimg_replace_file(dir_fd, "state.json", text, size, 0644, err);
	if (mlimg_is_no_room(r))
		forget(dir_fd, state);
	if (r < 0)
		return mlimg_err_wrap(err, r, "user/mlimg");
	mlimg_base_remove_leftovers(dir_fd, state->generation);
	return 0;
}

static int record_state(int root_fd, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_read_file(root_fd, "state.json", MLIMG_BOOT_STATE_MAX, &text, &size, err);

	if (r == -ENOENT) /* the stack that the user layer knows already */
		return 0;
	if (r == 0)
		r = install(root_fd, text, size, err);
	if (mlimg_is_no_room(r))
		r = note_no_room(root_fd, err);
	if (r == 0)
		unlinkat(root_fd, "state.json", 0);
	return r;
}

static int note_carve_outs(int root_fd, const struct mlimg_carve *carve, struct mlimg_err *err)
{
	const char *paths[MLIMG_CARVE_MAX], *notes[MLIMG_CARVE_TOLD_MAX + MLIMG_CARVE_NOTES_MAX];
	mlimg_autofree char *text = NULL, *noted = NULL;
	size_t size, n = 0;
	int r = mlimg_read_file(root_fd, "boot.json", MLIMG_BOOT_JSON_MAX, &text, &size, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < carve->n_paths; i++)
		paths[i] = carve->paths[i];
	/* There is room for so many: what concerns files first. */
	for (size_t i = 0; i < carve->n_told; i++)
		notes[n++] = carve->told[i];
	for (size_t i = 0; i < carve->n_notes; i++)
		notes[n++] = carve->notes[i];
	r = mlimg_boot_json_set_carve_outs(
		text, size, paths, carve->n_paths, notes, n, &noted, err);
	return r < 0 ? r
		     : mlimg_replace_file(root_fd, "boot.json", noted, strlen(noted), 0644, err);
}

static int carve_out(
	int root_fd, const char *merged, enum mlimg_boot_mode mode, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_carve *carve = calloc(1, sizeof(*carve));
	int r;

	if (!carve)
		return mlimg_err_set(err, ENOMEM, "commit");
	r = mlimg_carve_mount(root_fd, merged, mode, carve, err);
	if (r < 0 || (!carve->n_paths && !carve->n_notes && !carve->n_told))
		return r;
	for (size_t i = 0; i < carve->n_told; i++)
		printf("%s\n", carve->told[i]);
	return note_carve_outs(root_fd, carve, err);
}

/* /run/mlimg is root's alone, for layers hold setuid files of other versions. */
static int publish(int root_fd, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_read_file(root_fd, "boot.json", MLIMG_BOOT_JSON_MAX, &text, &size, err);

	return r < 0 ? r
		     : mlimg_replace_file(root_fd, "../" MLIMG_BOOT_PUBLIC, text, size, 0644, err);
}

static int commit(
	const char *root, const char *merged, enum mlimg_boot_mode mode, struct mlimg_err *err)
{
	mlimg_autoclose int root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = 0;

	if (root_fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", root);
	if (faccessat(root_fd, "boot.json", F_OK, 0) < 0)
		return mlimg_err_set(err, errno, "%s: boot.json, which prepare writes", root);
	mlimg_room_take_back(root_fd, mode == MLIMG_BOOT_NORMAL);
	if (merged)
		r = carve_out(root_fd, merged, mode, err);
	if (r == 0)
		r = record_state(root_fd, err);
	if (r == 0)
		r = publish(root_fd, err);
	return r < 0 ? mlimg_err_wrap(err, r, "%s", root) : 0;
}

int mlimg_call_commit(int argc, char **argv)
{
	static const struct option options[] = {{"root", required_argument, NULL, 'r'},
		{"merged", required_argument, NULL, 'M'}, {"mode", required_argument, NULL, 'm'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	enum mlimg_boot_mode mode = MLIMG_BOOT_NORMAL;
	struct mlimg_err err = MLIMG_ERR_INIT;
	const char *root = NULL, *merged = NULL;
	int opt;

	while ((opt = mlimg_cli_getopt(MLIMG_AGENT_PROG, argc, argv, "h", options)) != -1)
		switch (opt) {
		case 'r': root = optarg; break;
		case 'M': merged = optarg; break;
		case 'm':
			if (!mlimg_boot_mode_of(optarg, &mode))
				return mlimg_cli_usage(
					MLIMG_AGENT_PROG, "commit: no mode '%s'", optarg);
			break;
		case 'h': return mlimg_call_help();
		default: return MLIMG_EXIT_USAGE;
		}
	if (optind < argc)
		return mlimg_cli_usage(
			MLIMG_AGENT_PROG, "commit: unexpected argument '%s'", argv[optind]);
	if (!root)
		return mlimg_cli_usage(MLIMG_AGENT_PROG, "commit: --root is missing");
	return commit(root, merged, mode, &err) < 0 ? mlimg_cli_fail(MLIMG_AGENT_PROG, &err)
						    : MLIMG_EXIT_DONE;
}
