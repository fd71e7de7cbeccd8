/* SPDX-License-Identifier: MIT */
/* mlimg-upgrade: what a new system does to the tenants of a host. Here is its command line. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/upgrade-html.h"
#include "tools/upgrade-show.h"

#define PROG "mlimg-upgrade"

static const char help_text[] =
	"Usage: mlimg-upgrade plan --system LAYER [OPTION]...\n"
	"Say what a new system will do to tenants: which of a user's files are stale,\n"
	"kept, merged, or in conflict with it. Nothing is changed.\n"
	"\n"
	"LAYER is NAME:VERSION, the beginning of a build id (at least 8 digits), or NAME,\n"
	"which is the newest added; a system layer, or a patch with what it lies over; or\n"
	"a software layer.\n"
	"\n"
	"Options:\n"
	"      --system LAYER   the new system\n"
	"      --software LAYER software in the place of another version of its name, in\n"
	"                       tenants that have one; may be repeated (default: the same\n"
	"                       version, built for the new system)\n"
	"      --tenants GLOB   only tenants whose names are like that: 'web-*'\n"
	"                       (default: all)\n"
	"      --checkpoint     of a tenant whose guest runs, take a checkpoint of its\n"
	"                       disk, and delete it afterwards (default: the newest that\n"
	"                       there is of the disk is read)\n"
	"      --json           print JSON, with a report for each tenant (default: text)\n"
	"      --html FILE      write a page for a browser, too; a FILE that is there is\n"
	"                       replaced\n"
	"      --store DIR      the store (default: /var/lib/mlimg for root, else\n"
	"                       $XDG_STATE_HOME/mlimg or ~/.local/state/mlimg)\n"
	"  -h, --help           print this help\n"
	"      --version        print the version\n"
	"\n"
	"Exit status: 0 done, 1 failed, or a tenant could not be planned for or cannot be\n"
	"upgraded; 2 wrong usage, 3 the new system or the store refused (damaged,\n"
	"foreign, incompatible).\n"
	"\n"
	"Examples:\n"
	"  mlimg-upgrade plan --system debian:12.2\n"
	"  mlimg-upgrade plan --system debian:12.2 --tenants 'web-*' --html plan.html\n";

enum {
	OPT_SYSTEM = 256,
	OPT_SOFTWARE,
	OPT_TENANTS,
	OPT_CHECKPOINT,
	OPT_JSON,
	OPT_HTML,
	OPT_STORE,
	OPT_VERSION
};

static const struct option longs[] = {
	{"system", required_argument, NULL, OPT_SYSTEM},
	{"software", required_argument, NULL, OPT_SOFTWARE},
	{"tenants", required_argument, NULL, OPT_TENANTS},
	{"checkpoint", no_argument, NULL, OPT_CHECKPOINT},
	{"json", no_argument, NULL, OPT_JSON},
	{"html", required_argument, NULL, OPT_HTML},
	{"store", required_argument, NULL, OPT_STORE},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, OPT_VERSION},
	{0},
};

struct given {
	struct mlimg_upgrade_wish wish;
	const char *html, *store;
	bool json, has_too_much;
};

static int show(
	const struct given *g, const struct mlimg_upgrade_fleet *fleet, struct mlimg_err *err)
{
	int r = g->html ? mlimg_upgrade_write_html(g->html, fleet, err) : 0;

	if (r < 0)
		return r;
	return g->json ? mlimg_upgrade_put_json(stdout, fleet, err)
		       : mlimg_upgrade_put_text(stdout, fleet, err);
}

static void say_stays(const char *name, const char *tag, const struct mlimg_err *why)
{
	mlimg_cli_warn(PROG, "%s: checkpoint '%s' stays: %s", name, tag, why->text);
}

/* @return 0; 1 when something stands in the way of a tenant; -errno */
static int plan(const struct given *g, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_upgrade_fleet_done) struct mlimg_upgrade_fleet fleet = {.n = 0};
	mlimg_autostore struct mlimg_store *store = NULL;
	struct mlimg_upgrade_total total;
	int r = mlimg_store_open_given(g->store, MLIMG_STORE_USE, &store, err);

	if (r == 0)
		r = mlimg_upgrade_fleet_load(store, &g->wish, &fleet, err);
	if (r == 0)
		r = mlimg_upgrade_fleet_plan(&fleet, err);
	if (store)
		mlimg_upgrade_fleet_release(&fleet, store, say_stays);
	if (r == 0)
		r = show(g, &fleet, err);
	if (r < 0)
		return r;
	total = mlimg_upgrade_total_of(&fleet);
	return total.outcomes[MLIMG_UPGRADE_FAILED] || total.outcomes[MLIMG_UPGRADE_REFUSED] ||
		total.n_full;
}

static void add_software(struct given *g, const char *text)
{
	if (g->wish.n_software == MLIMG_STACK_SOFTWARE_MAX)
		g->has_too_much = true;
	else
		g->wish.software[g->wish.n_software++] = text;
}

/* @return 0, or the exit code of a mistake that has been reported */
static int check(const struct given *g, int argc, char **argv)
{
	if (argc < 1)
		return mlimg_cli_usage(PROG, "no command given");
	if (strcmp(argv[0], "plan") != 0)
		return mlimg_cli_usage(PROG, "unknown command '%s'", argv[0]);
	if (argc > 1)
		return mlimg_cli_usage(PROG, "unexpected operand '%s'", argv[1]);
	if (!g->wish.system)
		return mlimg_cli_usage(PROG, "--system is missing");
	if (g->has_too_much)
		return mlimg_cli_usage(PROG, "--software: more than %d", MLIMG_STACK_SOFTWARE_MAX);
	if (g->html && !*g->html)
		return mlimg_cli_usage(PROG, "--html: no file given");
	if (g->store && !*g->store)
		return mlimg_cli_usage(PROG, "--store: no directory given");
	return 0;
}

int main(int argc, char **argv)
{
	struct given g = {.json = false};
	struct mlimg_err err = MLIMG_ERR_INIT;
	int opt, code;

	while ((opt = mlimg_cli_getopt(PROG, argc, argv, "h", longs)) != -1)
		switch (opt) {
		case OPT_SYSTEM: g.wish.system = optarg; break;
		case OPT_SOFTWARE: add_software(&g, optarg); break;
		case OPT_TENANTS: g.wish.glob = optarg; break;
		case OPT_CHECKPOINT: g.wish.checkpoints = true; break;
		case OPT_JSON: g.json = true; break;
		case OPT_HTML: g.html = optarg; break;
		case OPT_STORE: g.store = optarg; break;
		case 'h': return mlimg_cli_help(PROG, help_text);
		case OPT_VERSION: return mlimg_cli_version(PROG);
		default: return MLIMG_EXIT_USAGE;
		}
	code = check(&g, argc - optind, argv + optind);
	if (code)
		return code;
	/* A limit on the size of files is a full disk: an error, not the end. */
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	code = plan(&g, &err);
	if (code < 0)
		return mlimg_cli_fail(PROG, &err);
	if (mlimg_cli_close_stdout(PROG) != MLIMG_EXIT_DONE)
		return MLIMG_EXIT_FAILED;
	return code ? MLIMG_EXIT_FAILED : MLIMG_EXIT_DONE;
}
