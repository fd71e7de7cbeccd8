/* SPDX-License-Identifier: MIT */
/* `mlimg-upgrade plan`. */
#include "tools/cli.h"
#include "tools/upgrade-commands.h"
#include "tools/upgrade-html.h"
#include "tools/upgrade-show.h"

static const char help[] =
	"Usage: mlimg-upgrade plan --system LAYER [OPTION]...\n"
	"\n"
	"Say what a new system will do to tenants: which of a user's files are stale,\n"
	"kept, merged, or in conflict with it. Nothing is changed.\n"
	"\n"
	"LAYER is NAME:VERSION, the beginning of a build id (at least 8 digits), or NAME,\n"
	"which is the newest added; a system layer, or a patch with what it lies over; or\n"
	"a software layer.\n"
	"\n"
	"  --system LAYER   the new system\n"
	"  --software LAYER software in the place of another version of its name, in\n"
	"                   tenants that have one; may be repeated (default: the same\n"
	"                   version, built for the new system)\n"
	"  --tenants GLOB   only tenants whose names are like that: 'web-*'\n"
	"                   (default: all)\n"
	"  --checkpoint     of a tenant whose guest runs, take a checkpoint of its disk,\n"
	"                   and delete it afterwards (default: the newest that there is\n"
	"                   of the disk is read)\n"
	"  --json           print JSON, with a report for each tenant (default: text)\n"
	"  --html FILE      write a page for a browser, too; a FILE that is there is\n"
	"                   replaced\n" MLIMG_UPGRADE_STORE_HELP "\n"
	"Exit status: 0 done, 1 failed, or a tenant could not be planned for or cannot be\n"
	"upgraded; 2 wrong usage, 3 the new system or the store refused (damaged,\n"
	"foreign, incompatible).\n";

static const struct option options[] = {
	{"system", required_argument, NULL, MLIMG_UPGRADE_OPT_SYSTEM},
	{"software", required_argument, NULL, MLIMG_UPGRADE_OPT_SOFTWARE}, MLIMG_UPGRADE_TENANTS,
	{"checkpoint", no_argument, NULL, MLIMG_UPGRADE_OPT_CHECKPOINT},
	{"html", required_argument, NULL, MLIMG_UPGRADE_OPT_HTML}, MLIMG_UPGRADE_JSON,
	MLIMG_UPGRADE_COMMON};

static void say_stays(const char *name, const char *tag, const struct mlimg_err *why)
{
	mlimg_cli_warn(MLIMG_UPGRADE_PROG, "%s: checkpoint '%s' stays: %s", name, tag, why->text);
}

static int show(const struct mlimg_upgrade_given *g, const struct mlimg_upgrade_fleet *fleet,
	struct mlimg_err *err)
{
	int r = g->html ? mlimg_upgrade_write_html(g->html, fleet, err) : 0;

	if (r < 0)
		return r;
	return g->json ? mlimg_upgrade_put_json(stdout, fleet, err)
		       : mlimg_upgrade_put_text(stdout, fleet, err);
}

/* @return 0; 1 when something stands in the way of a tenant; -errno */
static int plan(const struct mlimg_upgrade_given *g, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_upgrade_fleet_done) struct mlimg_upgrade_fleet fleet = {.n = 0};
	mlimg_autostore struct mlimg_store *store = NULL;
	struct mlimg_upgrade_total total;
	int r = mlimg_store_open_given(g->store, MLIMG_STORE_USE, &store, err);

	if (r == 0)
		r = mlimg_upgrade_fleet_load(store, &g->wish, &fleet, err);
	if (r == 0)
		r = mlimg_upgrade_fleet_plan(&fleet, store, err);
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

int mlimg_upgrade_cmd_plan(int argc, char **argv)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_upgrade_given g;
	int code = mlimg_upgrade_parse(argc, argv, help, options, false, &g);

	if (code >= 0)
		return code;
	if (!g.wish.system)
		return mlimg_cli_usage(MLIMG_UPGRADE_PROG, "--system is missing");
	if (g.html && !*g.html)
		return mlimg_cli_usage(MLIMG_UPGRADE_PROG, "--html: no file given");
	code = plan(&g, &err);
	if (code < 0)
		return mlimg_cli_fail(MLIMG_UPGRADE_PROG, &err);
	if (mlimg_cli_close_stdout(MLIMG_UPGRADE_PROG) != MLIMG_EXIT_DONE)
		return MLIMG_EXIT_FAILED;
	return code ? MLIMG_EXIT_FAILED : MLIMG_EXIT_DONE;
}
