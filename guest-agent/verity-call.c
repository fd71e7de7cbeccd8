/* SPDX-License-Identifier: MIT */
/*
 * `mlimg-agent verity`: devices over the disks of a stack that read nothing but what somebody
 * vouches for (verity.h).
 */
#include <string.h>

#include "guest-agent/calls.h"
#include "guest-agent/mounted.h"
#include "guest-agent/trust.h"
#include "guest-agent/verity.h"
#include "tools/cli.h"

static const char *name_of(enum mlimg_kind kind)
{
	static const char *const names[] = {[MLIMG_SYSTEM] = "system layer",
		[MLIMG_PATCH] = "patch layer",
		[MLIMG_SOFTWARE] = "software layer"};

	return kind == MLIMG_SYSTEM || kind == MLIMG_PATCH || kind == MLIMG_SOFTWARE ? names[kind]
										     : NULL;
}

/* ID[=DEV]. @return whether it is one; else it stays as it was */
static bool take_place(char *text, struct mlimg_verity_item *item)
{
	char *equals = strchr(text, '=');
	bool is_one;

	if (equals)
		*equals = '\0';
	is_one = mlimg_id_is_valid(text) && (!equals || equals[1]);
	if (equals && !is_one)
		*equals = '=';
	item->id = text;
	item->dev = equals ? equals + 1 : NULL;
	return is_one;
}

/* @return the exit code, or -1 to go on */
static int add_layer(struct mlimg_verity_wanted *w, char *text)
{
	struct mlimg_verity_item item = {.id = NULL};
	char *colon = strchr(text, ':');

	if (w->n_layers == MLIMG_BOOT_LAYERS_MAX)
		return mlimg_cli_usage(
			MLIMG_AGENT_PROG, "verity: more than %d layers", MLIMG_BOOT_LAYERS_MAX);
	if (colon) {
		*colon = '\0';
		item.what = name_of(mlimg_kind_of(text));
		*colon = ':';
	}
	if (!item.what || !take_place(colon + 1, &item))
		return mlimg_cli_usage(MLIMG_AGENT_PROG,
			"verity: --layer: '%s' is not KIND:ID or KIND:ID=DEV", text);
	w->layers[w->n_layers++] = item;
	return -1;
}

static int check(const struct mlimg_verity_wanted *w)
{
	if (!w->rule)
		return mlimg_cli_usage(MLIMG_AGENT_PROG, "verity: --trust is missing");
	if (!w->n_layers)
		return mlimg_cli_usage(MLIMG_AGENT_PROG, "verity: --layer is missing");
	if (w->is_joined && !w->index.id)
		return mlimg_cli_usage(MLIMG_AGENT_PROG, "verity: --joined needs --index");
	for (size_t i = 0; i < w->n_layers; i++)
		if (!w->layers[i].dev != w->is_joined)
			return mlimg_cli_usage(MLIMG_AGENT_PROG, "verity: --layer %s: %s",
				w->layers[i].id,
				w->is_joined ? "with --joined it has no disk of its own"
					     : "which disk?");
	return -1;
}

/* @return as add_layer() */
static int take_option(struct mlimg_verity_wanted *w, struct mlimg_verity_rule *rule, int opt)
{
	switch (opt) {
	case 't':
		if (!mlimg_verity_rule_parse(optarg, rule))
			return mlimg_cli_usage(MLIMG_AGENT_PROG,
				"verity: --trust: '%s' is no value of mlimg.verity", optarg);
		w->rule = rule;
		return -1;
	case 'd': w->trust_dir = optarg; return -1;
	case 'j': w->is_joined = true; return -1;
	case 'l': return add_layer(w, optarg);
	case 'i':
		w->index.what = "index";
		if (take_place(optarg, &w->index) && w->index.dev)
			return -1;
		return mlimg_cli_usage(
			MLIMG_AGENT_PROG, "verity: --index: '%s' is not ID=DEV", optarg);
	case 'h': return mlimg_call_help();
	default: return MLIMG_EXIT_USAGE;
	}
}

int mlimg_call_verity(int argc, char **argv)
{
	static const struct option options[] = {{"trust", required_argument, NULL, 't'},
		{"certs", required_argument, NULL, 'd'}, {"joined", no_argument, NULL, 'j'},
		{"index", required_argument, NULL, 'i'}, {"layer", required_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	struct mlimg_verity_wanted w = {.trust_dir = MLIMG_TRUST_DIR};
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_verity_rule rule;
	int opt, r;

	while ((opt = mlimg_cli_getopt(MLIMG_AGENT_PROG, argc, argv, "h", options)) != -1) {
		r = take_option(&w, &rule, opt);
		if (r >= 0)
			return r;
	}
	if (optind < argc)
		return mlimg_cli_usage(
			MLIMG_AGENT_PROG, "verity: unexpected argument '%s'", argv[optind]);
	r = check(&w);
	if (r >= 0)
		return r;
	return mlimg_verity_open(&w, &err) < 0 ? mlimg_cli_fail(MLIMG_AGENT_PROG, &err)
					       : MLIMG_EXIT_DONE;
}
