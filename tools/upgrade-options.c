/* SPDX-License-Identifier: MIT */
/* The command lines of mlimg-upgrade. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/upgrade-commands.h"

/* @return 0, or the exit code of a mistake that has been reported */
static int take_number(
	const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *ret_number)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	if (mlimg_cli_number(text, min, max, ret_number, &err) == 0)
		return 0;
	return mlimg_cli_usage(MLIMG_UPGRADE_PROG, "%s: %s", option, err.text);
}

static int take_software(struct mlimg_upgrade_given *g, const char *text)
{
	if (g->wish.n_software == MLIMG_STACK_SOFTWARE_MAX)
		return mlimg_cli_usage(
			MLIMG_UPGRADE_PROG, "--software: more than %d", MLIMG_STACK_SOFTWARE_MAX);
	g->wish.software[g->wish.n_software++] = text;
	return 0;
}

static int take_waves(struct mlimg_upgrade_given *g, const char *text)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	unsigned n;

	if (strlen(text) >= sizeof(g->rollout.waves))
		return mlimg_cli_usage(MLIMG_UPGRADE_PROG, "--wave: the list is too long");
	if (mlimg_rollout_waves(text, 100, NULL, &n, &err) < 0)
		return mlimg_cli_usage(MLIMG_UPGRADE_PROG, "--wave: %s", err.text);
	strcpy(g->rollout.waves, text);
	return 0;
}

static int take_policy(struct mlimg_upgrade_given *g, const char *text)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	if (mlimg_rollout_policy_of(text, &g->rollout, &err) == 0)
		return 0;
	return mlimg_cli_usage(MLIMG_UPGRADE_PROG, "--restart: %s", err.text);
}

static int take_rolling(struct mlimg_upgrade_given *g, int opt, const char *text)
{
	uint64_t number = 0;
	int code = 0;

	switch (opt) {
	case MLIMG_UPGRADE_OPT_WAVE: return take_waves(g, text);
	case MLIMG_UPGRADE_OPT_RESTART: return take_policy(g, text);
	case MLIMG_UPGRADE_OPT_AT_ONCE:
		code = take_number("--at-once", text, 1, MLIMG_ROLLOUT_AT_ONCE_MAX, &number);
		g->rollout.at_once = (unsigned)number;
		return code;
	case MLIMG_UPGRADE_OPT_HEALTH:
		code = take_number("--health", text, 1, MLIMG_ROLLOUT_HEALTH_MAX, &number);
		g->rollout.health_s = (unsigned)number;
		return code;
	default:
		code = take_number("--max-failures", text, 0, UINT32_MAX, &number);
		g->rollout.max_failures = (uint32_t)number;
		g->has_max_failures = true;
		return code;
	}
}

static int take(struct mlimg_upgrade_given *g, int opt, const char *text)
{
	switch (opt) {
	case MLIMG_UPGRADE_OPT_SYSTEM: g->wish.system = text; return 0;
	case MLIMG_UPGRADE_OPT_SOFTWARE: return take_software(g, text);
	case MLIMG_UPGRADE_OPT_TENANTS: g->wish.glob = text; return 0;
	case MLIMG_UPGRADE_OPT_CHECKPOINT: g->wish.checkpoints = true; return 0;
	case MLIMG_UPGRADE_OPT_HTML: g->html = text; return 0;
	case MLIMG_UPGRADE_OPT_JSON: g->json = true; return 0;
	case MLIMG_UPGRADE_OPT_STORE: g->store = text; return 0;
	case MLIMG_UPGRADE_OPT_PARTIAL: g->is_partial = true; return 0;
	case MLIMG_UPGRADE_OPT_FOLLOW: g->follows = true; return 0;
	case '?': return MLIMG_EXIT_USAGE;
	default: return take_rolling(g, opt, text);
	}
}

static int take_operand(struct mlimg_upgrade_given *g, const char *text)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint64_t number = 0;

	if (mlimg_cli_number(text, 1, UINT32_MAX, &number, &err) < 0)
		return mlimg_cli_usage(
			MLIMG_UPGRADE_PROG, "'%.100s' is not the number of a rollout", text);
	g->number = (uint32_t)number;
	return 0;
}

int mlimg_upgrade_parse(int argc, char **argv, const char *help, const struct option *options,
	bool operand, struct mlimg_upgrade_given *ret)
{
	int opt, code;

	*ret = (struct mlimg_upgrade_given){
		.rollout = {.waves = "1,10%,100%", .at_once = 4, .health_s = 60}};
	while ((opt = mlimg_cli_getopt(MLIMG_UPGRADE_PROG, argc, argv, "h", options)) != -1) {
		if (opt == 'h')
			return mlimg_cli_help(MLIMG_UPGRADE_PROG, help);
		code = take(ret, opt, optarg);
		if (code)
			return code;
	}
	code = operand && optind < argc ? take_operand(ret, argv[optind++]) : 0;
	if (code)
		return code;
	if (optind < argc)
		return mlimg_cli_usage(MLIMG_UPGRADE_PROG, "unexpected operand '%s'", argv[optind]);
	if (ret->store && !*ret->store)
		return mlimg_cli_usage(MLIMG_UPGRADE_PROG, "--store: no directory given");
	/* A limit on the size of files is a full disk: an error, not the end. */
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	return -1;
}
