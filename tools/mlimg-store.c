/* SPDX-License-Identifier: MIT */
/* mlimg-store: the layers of a host. Here is its command line; store-commands.h has the rest. */
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/store-commands.h"

#define PROG MLIMG_STORE_PROG

static const char help_text[] =
	"Usage: mlimg-store [OPTION]... COMMAND [OPERAND]...\n"
	"Keep the layers that a host's guests share.\n"
	"\n"
	"Commands:\n"
	"  add IMAGE...      verify images of layers and copy them into the store\n"
	"  list              the layers\n"
	"  show LAYER        one of them, and who uses it\n"
	"  verify [LAYER...] read layers and compare them with their manifests; without\n"
	"                    LAYER all of them, and the store itself. Changes nothing\n"
	"  remove LAYER...   remove layers that no tenant and no other layer uses\n"
	"  gc                remove generations that no tenant may return to, layers that\n"
	"                    nobody uses and that are not the newest of their name, files\n"
	"                    that belong to nothing, old events\n"
	"\n"
	"LAYER is NAME:VERSION, the beginning of a build id (at least 8 digits), or NAME,\n"
	"which is the newest added of that name.\n"
	"\n"
	"Options:\n"
	"      --store DIR   the store (default: /var/lib/mlimg for root, else\n"
	"                    $XDG_STATE_HOME/mlimg or ~/.local/state/mlimg)\n"
	"      --move        add: remove the images afterwards (default: leave them)\n"
	"      --kind KIND   list: only system, software or patch (default: all)\n"
	"      --dry-run     gc: only say what would be removed\n"
	"      --all         gc: also the newest of each name\n"
	"      --keep N      gc: events that are kept (default: 10000)\n"
	"      --former N    gc: of a tenant's generations that no checkpoint and no\n"
	"                    rollout needs, the newest N are kept (default: 1)\n"
	"      --removed DAYS\n"
	"                    gc: also what tenants had that were destroyed so long ago\n"
	"                    (default: it stays)\n"
	"  -v, --verbose     gc: also name each generation, and say how much room it is\n"
	"                    in all\n"
	"      --json        all but add and remove: print JSON (default: text)\n"
	"  -h, --help        print this help\n"
	"      --version     print the version\n"
	"\n"
	"Exit status: 0 done, 1 failed, 2 wrong usage, 3 image or store refused (damaged,\n"
	"foreign, incompatible).\n"
	"\n"
	"Examples:\n"
	"  mlimg-store add debian-12.1.img nginx.img\n"
	"  mlimg-store list\n"
	"  mlimg-store verify debian:12.1\n"
	"  mlimg-store gc --dry-run\n";

/* Options that a command may or may not take. */
enum { MOVE, KIND, DRY_RUN, ALL, KEEP, FORMER, REMOVED, JSON, VERBOSE, N_OPTIONS };

#define OPT_BASE 256
enum { OPT_STORE = OPT_BASE + N_OPTIONS, OPT_VERSION };

static const struct option longs[] = {
	{"move", no_argument, NULL, OPT_BASE + MOVE},
	{"kind", required_argument, NULL, OPT_BASE + KIND},
	{"dry-run", no_argument, NULL, OPT_BASE + DRY_RUN},
	{"all", no_argument, NULL, OPT_BASE + ALL},
	{"keep", required_argument, NULL, OPT_BASE + KEEP},
	{"former", required_argument, NULL, OPT_BASE + FORMER},
	{"removed", required_argument, NULL, OPT_BASE + REMOVED},
	{"json", no_argument, NULL, OPT_BASE + JSON},
	{"verbose", no_argument, NULL, OPT_BASE + VERBOSE},
	{"store", required_argument, NULL, OPT_STORE},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, OPT_VERSION},
	{0},
};

#define BIT(option) (1u << (option))

static const struct command {
	const char *name;
	mlimg_store_command_fn *fn;
	size_t operands_min, operands_max;
	const char *operand; /* what is missing when there are too few */
	unsigned options;    /* that it takes */
	enum mlimg_store_access access;
} commands[] = {
	{"add", mlimg_store_cmd_add, 1, SIZE_MAX, "an image", BIT(MOVE), MLIMG_STORE_MAKE},
	{"list", mlimg_store_cmd_list, 0, 0, NULL, BIT(KIND) | BIT(JSON), MLIMG_STORE_USE},
	{"show", mlimg_store_cmd_show, 1, 1, "a layer", BIT(JSON), MLIMG_STORE_USE},
	{"verify", mlimg_store_cmd_verify, 0, SIZE_MAX, NULL, BIT(JSON), MLIMG_STORE_USE},
	{"remove", mlimg_store_cmd_remove, 1, SIZE_MAX, "a layer", 0, MLIMG_STORE_USE},
	{"gc", mlimg_store_cmd_gc, 0, 0, NULL,
		BIT(DRY_RUN) | BIT(ALL) | BIT(KEEP) | BIT(FORMER) | BIT(REMOVED) | BIT(JSON) |
			BIT(VERBOSE),
		MLIMG_STORE_USE},
};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* What is on the command line. */
struct given {
	const char *store;
	const char *values[N_OPTIONS];
	unsigned options; /* bits */
	struct mlimg_store_options o;
};

/* @return 0, or the exit code of a mistake that has been reported */
static int check_values(struct given *g)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	g->o.move = g->options & BIT(MOVE);
	g->o.is_dry = g->options & BIT(DRY_RUN);
	g->o.all = g->options & BIT(ALL);
	g->o.json = g->options & BIT(JSON);
	g->o.is_verbose = g->options & BIT(VERBOSE);
	g->o.kept_events = MLIMG_STORE_EVENTS_KEPT;
	g->o.kept_former = MLIMG_STORE_FORMER_KEPT;
	if (g->values[KIND]) {
		g->o.kind = mlimg_kind_of(g->values[KIND]);
		if (!g->o.kind || g->o.kind == MLIMG_USER)
			return mlimg_cli_usage(PROG,
				"--kind: '%s' is none of 'system', 'software' and 'patch'",
				g->values[KIND]);
	}
	if (g->values[KEEP] &&
		mlimg_cli_number(g->values[KEEP], 0, INT_MAX, &g->o.kept_events, &err) < 0)
		return mlimg_cli_usage(PROG, "--keep: %s", err.text);
	if (g->values[FORMER] &&
		mlimg_cli_number(g->values[FORMER], 0, INT_MAX, &g->o.kept_former, &err) < 0)
		return mlimg_cli_usage(PROG, "--former: %s", err.text);
	g->o.has_removed_days = g->options & BIT(REMOVED);
	if (g->values[REMOVED] &&
		mlimg_cli_number(g->values[REMOVED], 0, 36500, &g->o.removed_days, &err) < 0)
		return mlimg_cli_usage(PROG, "--removed: %s", err.text);
	return 0;
}

static int check_operands(
	struct given *g, int argc, char **argv, const struct command **ret_command)
{
	const struct command *command;

	if (argc < 1)
		return mlimg_cli_usage(PROG, "no command given");
	command = find_command(argv[0]);
	if (!command)
		return mlimg_cli_usage(PROG, "unknown command '%s'", argv[0]);
	g->o.operands = argv + 1;
	g->o.n_operands = (size_t)argc - 1;
	if (g->o.n_operands > command->operands_max)
		return mlimg_cli_usage(
			PROG, "unexpected operand '%s'", g->o.operands[command->operands_max]);
	if (g->o.n_operands < command->operands_min)
		return mlimg_cli_usage(PROG, "'%s' needs %s", command->name, command->operand);
	for (unsigned i = 0; i < N_OPTIONS; i++)
		if (g->options & ~command->options & BIT(i))
			return mlimg_cli_usage(PROG, "option '--%s' is not for '%s'", longs[i].name,
				command->name);
	*ret_command = command;
	return check_values(g);
}

static int run(const struct given *g, const struct command *command, struct mlimg_err *err)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	int ret = mlimg_store_open_given(g->store, command->access, &store, err);

	return ret < 0 ? ret : command->fn(store, &g->o, err);
}

int main(int argc, char **argv)
{
	struct given g = {.store = NULL};
	struct mlimg_err err = MLIMG_ERR_INIT;
	const struct command *command = commands;
	int opt, code;

	while ((opt = mlimg_cli_getopt(PROG, argc, argv, "hv", longs)) != -1)
		switch (opt) {
		case OPT_STORE: g.store = optarg; break;
		case 'h': return mlimg_cli_help(PROG, help_text);
		case 'v': g.options |= BIT(VERBOSE); break;
		case OPT_VERSION: return mlimg_cli_version(PROG);
		case '?': return MLIMG_EXIT_USAGE;
		default: g.options |= BIT(opt - OPT_BASE); g.values[opt - OPT_BASE] = optarg;
		}
	code = check_operands(&g, argc - optind, argv + optind, &command);
	if (code)
		return code;
	/* A limit on the size of files is a full disk: an error, not the end. */
	signal(SIGXFSZ, SIG_IGN);
	if (run(&g, command, &err) < 0)
		return mlimg_cli_fail(PROG, &err);
	return mlimg_cli_close_stdout(PROG);
}
