/* SPDX-License-Identifier: MIT */
#include "guest-agent/prepare-options.h"

#include <string.h>

#include "guest-agent/calls.h"
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

/* @return as take_id() */
static int take_option(struct mlimg_wanted *w, int opt)
{
	switch (opt) {
	case 'r': w->root = optarg; return -1;
	case 'n': w->union_driver = optarg; return -1;
	case 'h': return mlimg_call_help();
	case 's':
	case 'p':
	case 'w':
	case 'u': return take_id(w, opt);
	default: return MLIMG_EXIT_USAGE;
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
		{"union", required_argument, NULL, 'n'}, {"system", required_argument, NULL, 's'},
		{"patch", required_argument, NULL, 'p'}, {"software", required_argument, NULL, 'w'},
		{"user", required_argument, NULL, 'u'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	struct mlimg_wanted *w = ret_wanted;
	int opt, r;

	*w = (struct mlimg_wanted){.system.kind = MLIMG_SYSTEM, .user.kind = MLIMG_USER};
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
	if (strcmp(w->union_driver, MLIMG_UNION_OVERLAY) != 0 &&
		strcmp(w->union_driver, MLIMG_UNION_INDEX) != 0)
		return mlimg_cli_usage(MLIMG_AGENT_PROG,
			"prepare: no union driver '%s' (there are: index, overlay)",
			w->union_driver);
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
