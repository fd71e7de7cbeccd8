/* SPDX-License-Identifier: MIT */
#include "guest-agent/prepare-options.h"

#include <string.h>

#include "guest-agent/calls.h"
#include "libmlimg/walk.h"
#include "tools/cli.h"

static int add_layer(enum mlimg_kind kind, struct mlimg_expected *layers, size_t *n, size_t max)
{
	if (*n == max)
		return mlimg_cli_usage(MLIMG_AGENT_PROG, "prepare: more than %zu %s", max,
			kind == MLIMG_PATCH ? "patches" : "software layers");
	layers[(*n)++] = (struct mlimg_expected){.kind = kind, .id = optarg};
	return -1;
}

/* The option's argument is an id. @return the exit code, or -1 to go on */
static int take_id(struct mlimg_wanted *w, int opt)
{
	if (!mlimg_id_is_valid(optarg))
		return mlimg_cli_usage(
			MLIMG_AGENT_PROG, "prepare: '%s' is no id (20 to 64 hex digits)", optarg);
	switch (opt) {
	case 's': w->system.id = optarg; return -1;
	case 'u': w->user.id = optarg; return -1;
	case 'p': return add_layer(MLIMG_PATCH, w->patches, &w->n_patches, MLIMG_STACK_PATCH_MAX);
	default:
		return add_layer(
			MLIMG_SOFTWARE, w->software, &w->n_software, MLIMG_STACK_SOFTWARE_MAX);
	}
}

/* What other programs printed goes into boot.json: one line of ASCII. */
static const char *take_text(void)
{
	for (char *c = optarg; *c; c++)
		if (*c < 0x20 || *c >= 0x7f)
			*c = '?';
	return optarg;
}

/* @return as take_id() */
static int take_status(struct mlimg_wanted *w)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint64_t status;

	if (mlimg_cli_number(optarg, 0, 255, &status, &err) < 0)
		return mlimg_cli_usage(
			MLIMG_AGENT_PROG, "prepare: --fsck: '%s' is no exit status", optarg);
	w->fsck_status = (int)status;
	return -1;
}

/* What concerns the user layer. @return as take_id() */
static int take_user_option(struct mlimg_wanted *w, int opt)
{
	switch (opt) {
	case 'm':
		if (mlimg_boot_mode_of(optarg, &w->mode))
			return -1;
		return mlimg_cli_usage(MLIMG_AGENT_PROG,
			"prepare: no mode '%s' (there are: normal, volatile, readonly, rescue)",
			optarg);
	case 'R':
		w->reset = optarg;
		if (mlimg_boot_reset_is_valid(optarg))
			return -1;
		return mlimg_cli_usage(
			MLIMG_AGENT_PROG, "prepare: --reset: '%s' is no word", take_text());
	case 'I':
		w->identity = optarg;
		if (mlimg_boot_reset_is_valid(optarg))
			return -1;
		return mlimg_cli_usage(
			MLIMG_AGENT_PROG, "prepare: --identity: '%s' is no word", take_text());
	case 'd': w->dev = optarg; return -1;
	case 'f': w->is_formatted = true; return -1;
	case 'c': return take_status(w);
	case 'C': w->fsck_said = take_text(); return -1;
	default: w->note = take_text(); return -1;
	}
}

/* @return as take_id() */
static int take_disks(struct mlimg_wanted *w)
{
	w->is_joined = strcmp(optarg, "joined") == 0;
	return w->is_joined || strcmp(optarg, "separate") == 0
		? -1
		: mlimg_cli_usage(MLIMG_AGENT_PROG,
			  "prepare: --disks: '%s' is neither 'joined' nor 'separate'", optarg);
}

/* @return as take_id() */
static int take_verity(struct mlimg_wanted *w)
{
	static const char *const names[] = {"off", "hash", "stack", "require"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(optarg, names[i]) == 0) {
			w->verity = names[i];
			return -1;
		}
	return mlimg_cli_usage(MLIMG_AGENT_PROG,
		"prepare: --verity: '%s' is none of off, hash, stack and require", optarg);
}

/* @return as take_id() */
static int take_option(struct mlimg_wanted *w, int opt)
{
	switch (opt) {
	case 'r': w->root = optarg; return -1;
	case 'n': w->union_driver = optarg; return -1;
	case 'D': return take_disks(w);
	case 'v': return take_verity(w);
	case 'h': return mlimg_call_help();
	case 's':
	case 'p':
	case 'w':
	case 'u': return take_id(w, opt);
	case '?': return MLIMG_EXIT_USAGE;
	default: return take_user_option(w, opt);
	}
}

static const char *find_missing(const struct mlimg_wanted *w)
{
	return !w->root            ? "--root"
		: !w->union_driver ? "--union"
		: !w->system.id    ? "--system"
		: !w->user.id      ? "--user"
				   : NULL;
}

int mlimg_prepare_options(int argc, char **argv, struct mlimg_wanted *ret_wanted)
{
	static const struct option options[] = {{"root", required_argument, NULL, 'r'},
		{"union", required_argument, NULL, 'n'}, {"disks", required_argument, NULL, 'D'},
		{"verity", required_argument, NULL, 'v'}, {"system", required_argument, NULL, 's'},
		{"patch", required_argument, NULL, 'p'}, {"software", required_argument, NULL, 'w'},
		{"user", required_argument, NULL, 'u'}, {"mode", required_argument, NULL, 'm'},
		{"user-dev", required_argument, NULL, 'd'}, {"reset", required_argument, NULL, 'R'},
		{"identity", required_argument, NULL, 'I'}, {"formatted", no_argument, NULL, 'f'},
		{"fsck", required_argument, NULL, 'c'}, {"fsck-said", required_argument, NULL, 'C'},
		{"note", required_argument, NULL, 'N'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	struct mlimg_wanted *w = ret_wanted;
	int opt, r;

	*w = (struct mlimg_wanted){.system.kind = MLIMG_SYSTEM,
		.user.kind = MLIMG_USER,
		.verity = "off",
		.fsck_status = -1,
		.fsck_said = "",
		.upper_memory_max = MLIMG_WALK_MEMORY_MAX};
	while ((opt = mlimg_cli_getopt(MLIMG_AGENT_PROG, argc, argv, "h", options)) != -1) {
		r = take_option(w, opt);
		if (r >= 0)
			return r;
	}
	if (optind < argc)
		return mlimg_cli_usage(
			MLIMG_AGENT_PROG, "prepare: unexpected argument '%s'", argv[optind]);
	if (find_missing(w))
		return mlimg_cli_usage(MLIMG_AGENT_PROG, "prepare: %s is missing", find_missing(w));
	if ((w->reset || w->identity || w->dev || w->is_formatted) && w->mode != MLIMG_BOOT_NORMAL)
		return mlimg_cli_usage(MLIMG_AGENT_PROG,
			"prepare: with --mode %s the user layer is not written to",
			mlimg_boot_mode_name(w->mode));
	if (strcmp(w->union_driver, MLIMG_UNION_OVERLAY) != 0 &&
		strcmp(w->union_driver, MLIMG_UNION_INDEX) != 0 &&
		strcmp(w->union_driver, MLIMG_UNION_UNIONFS) != 0)
		return mlimg_cli_usage(MLIMG_AGENT_PROG,
			"prepare: no union driver '%s' (there are: index, overlay, unionfs)",
			w->union_driver);
	if (strcmp(w->union_driver, MLIMG_UNION_UNIONFS) == 0 && w->n_patches)
		return mlimg_cli_usage(MLIMG_AGENT_PROG,
			"prepare: unionfs-fuse does not follow a patch's references");
	return -1;
}

size_t mlimg_wanted_layers(
	const struct mlimg_wanted *wanted, struct mlimg_expected ret_layers[MLIMG_BOOT_LAYERS_MAX])
{
	size_t n = 0;

	ret_layers[n++] = wanted->system;
	for (size_t i = 0; i < wanted->n_patches; i++)
		ret_layers[n++] = wanted->patches[i];
	for (size_t i = 0; i < wanted->n_software; i++)
		ret_layers[n++] = wanted->software[i];
	return n;
}
