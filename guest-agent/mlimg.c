/* SPDX-License-Identifier: MIT */
/*
 * mlimg: what a guest's user sees and steers of the layers under him. Here is its command line;
 * mlimg-cmd.h has the rest.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-agent/mlimg-cmd.h"
#include "tools/cli.h"

#define PROG MLIMG_CMD_PROG

static const char help_text[] =
	"Usage: mlimg [OPTION]... COMMAND [OPERAND]...\n"
	"What this guest's root is made of, and what you have changed in it.\n"
	"\n"
	"Commands that look:\n"
	"  status          the layers, what the last boot did, what waits for the next\n"
	"                  one, and how much room there is\n"
	"  diff [PATH]     what you have changed, all of it or at and below PATH, and\n"
	"                  which layer has what it covers\n"
	"  why PATH        which layers have it, which one shows, since when\n"
	"  du [PATH]       how much room your layer takes, by directory, and for what\n"
	"  reports [N|queue-N]\n"
	"                  what became of your files when the stack changed, or of what\n"
	"                  you had queued; of generation N, or of queue N, all of it\n"
	"  conflicts       what was set aside or put beside then, and is still there\n"
	"  export FILE     what you have changed as a tar, of which mlimg-mkfs makes a\n"
	"                  software layer; '-' is standard output\n"
	"  profile FILE    record which files of the layers are opened, in this order: a\n"
	"                  profile for mlimg-mkfs; '-' is standard output\n"
	"  queue           what waits for the next boot; with --cancel PATH... it is\n"
	"                  taken back\n"
	"\n"
	"Commands that change something:\n"
	"  reset PATH...   drop what is yours there; it is set aside, and what the\n"
	"                  layers have shows: at the next boot\n"
	"  undelete PATH...  have back what you have deleted of the layers': at the\n"
	"                  next boot\n"
	"  resolve PATH... --keep mine|theirs|merged  end a conflict\n"
	"  pin PATH...     leave it as it is whenever the stack changes; without PATH\n"
	"                  list what is pinned\n"
	"  unpin PATH...   no longer\n"
	"  copy-up PATH... make a copy of your own of what a layer has there\n"
	"\n"
	"Options:\n"
	"  -u, --text      diff: also what differs in texts\n"
	"      --all       diff: also directories that only hold what was changed;\n"
	"                  conflicts: also those that are resolved; undelete: all that\n"
	"                  the layers have in a directory that you have made anew\n"
	"  -r, --recursive  copy-up, reset: also what is below PATH\n"
	"      --dir       export: make FILE a directory\n"
	"      --force     export, profile: replace FILE; reset: databases of accounts\n"
	"                  and packages too (default: refuse)\n"
	"      --dry-run   reset, undelete, resolve: only say what would be done\n"
	"      --cancel    queue: take operations back\n"
	"      --keep WAY  resolve: mine, theirs or merged\n"
	"      --next-boot  profile: not now, but in the next boot from its beginning\n"
	"                  until the default target is reached\n"
	"      --for N     profile: for at most N seconds (default: 600)\n"
	"      --depth N   du: at most N levels below PATH (default: 2)\n"
	"      --json      print JSON (default: text)\n"
	"      --root DIR  where the layers are mounted (default: " MLIMG_VIEW_ROOT ")\n"
	"      --merged DIR  the root that is made of them (default: /)\n"
	"  -h, --help      print this help\n"
	"      --version   print the version\n"
	"\n"
	"Names are printed with every byte that could be mistaken as \\ooo (octal).\n"
	"There are colours on a terminal, unless NO_COLOR is set.\n"
	"\n"
	"Exit status: 0 done, 1 failed, 2 wrong usage, 3 something of mlimg's own is\n"
	"damaged.\n";

/* getopt's values of options without a letter: above all letters. */
#define OPT_BASE 256
enum { OPT_HELP = 'h', OPT_VERSION = OPT_BASE + MLIMG_CMD_N_OPTIONS };

#define ROW(option) OPT_BASE + MLIMG_CMD_##option
static const struct option long_options[] = {
	{"json", no_argument, NULL, ROW(JSON)},
	{"all", no_argument, NULL, ROW(ALL)},
	{"text", no_argument, NULL, ROW(TEXT)},
	{"depth", required_argument, NULL, ROW(DEPTH)},
	{"recursive", no_argument, NULL, ROW(RECURSIVE)},
	{"force", no_argument, NULL, ROW(FORCE)},
	{"dir", no_argument, NULL, ROW(DIR)},
	{"for", required_argument, NULL, ROW(FOR)},
	{"next-boot", no_argument, NULL, ROW(NEXT_BOOT)},
	{"begin", no_argument, NULL, ROW(BEGIN)},
	{"dry-run", no_argument, NULL, ROW(DRY_RUN)},
	{"cancel", no_argument, NULL, ROW(CANCEL)},
	{"keep", required_argument, NULL, ROW(KEEP)},
	{"root", required_argument, NULL, ROW(ROOT)},
	{"merged", required_argument, NULL, ROW(MERGED)},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{0},
};
#undef ROW

#define BIT(option) (1u << MLIMG_CMD_##option)
#define ANY (BIT(JSON) | BIT(ROOT) | BIT(MERGED))

struct command {
	const char *name;
	mlimg_cmd_fn *fn;
	bool is_loaded; /* the upper is read before */
	int operands_min, operands_max;
	const char *operand; /* "a path": what is missing when there are too few */
	unsigned options;    /* that it takes: bits */
};

static const struct command commands[] = {
	{"status", mlimg_cmd_status, false, 0, 0, NULL, ANY},
	{"diff", mlimg_cmd_diff, true, 0, 1, NULL, BIT(ALL) | BIT(TEXT) | ANY},
	{"why", mlimg_cmd_why, true, 1, 1, "a path", ANY},
	{"du", mlimg_cmd_du, true, 0, 1, NULL, BIT(DEPTH) | ANY},
	{"reports", mlimg_cmd_reports, false, 0, 1, NULL, ANY},
	{"conflicts", mlimg_cmd_conflicts, false, 0, 0, NULL, BIT(ALL) | ANY},
	{"queue", mlimg_cmd_queue, false, 0, INT_MAX, NULL, BIT(CANCEL) | ANY},
	{"reset", mlimg_cmd_reset, true, 1, INT_MAX, "a path",
		BIT(RECURSIVE) | BIT(FORCE) | BIT(DRY_RUN) | ANY},
	{"undelete", mlimg_cmd_undelete, true, 1, INT_MAX, "a path", BIT(ALL) | BIT(DRY_RUN) | ANY},
	{"resolve", mlimg_cmd_resolve, true, 1, INT_MAX, "a path", BIT(KEEP) | BIT(DRY_RUN) | ANY},
	{"pin", mlimg_cmd_pin, false, 0, INT_MAX, NULL, ANY},
	{"export", mlimg_cmd_export, true, 1, 1, "a file", BIT(FORCE) | BIT(DIR) | ANY},
	{"profile", mlimg_cmd_profile, false, 0, 1, NULL,
		BIT(FORCE) | BIT(FOR) | BIT(NEXT_BOOT) | BIT(BEGIN) | ANY},
	{"copy-up", mlimg_cmd_copy_up, false, 1, INT_MAX, "a path", BIT(RECURSIVE) | ANY},
	{"unpin", mlimg_cmd_unpin, false, 1, INT_MAX, "a path", ANY},
};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* 0, or the exit code of a mistake that has been reported. */
static int parse_operands(
	struct mlimg_cmd *cmd, int argc, char **argv, const struct command **ret_command)
{
	const struct command *command;

	if (argc < 1)
		return mlimg_cli_usage(PROG, "what is to be done?");
	command = find_command(argv[0]);
	if (!command)
		return mlimg_cli_usage(PROG, "no command '%s'", argv[0]);
	cmd->operands = argv + 1;
	cmd->n_operands = argc - 1;
	if (cmd->n_operands > command->operands_max)
		return mlimg_cli_usage(PROG, "%s: unexpected operand '%s'", command->name,
			cmd->operands[command->operands_max]);
	if (cmd->n_operands < command->operands_min)
		return mlimg_cli_usage(PROG, "'%s' needs %s", command->name, command->operand);
	for (const struct option *row = long_options; row->val != OPT_HELP; row++)
		if ((cmd->given & ~command->options) >> (row->val - OPT_BASE) & 1)
			return mlimg_cli_usage(
				PROG, "option '--%s' is not for '%s'", row->name, command->name);
	*ret_command = command;
	return 0;
}

static bool wants_color(void)
{
	const char *none = getenv("NO_COLOR"), *term = getenv("TERM");

	return !(none && *none) && !(term && strcmp(term, "dumb") == 0) &&
		isatty(STDOUT_FILENO) == 1;
}

static int run(struct mlimg_cmd *cmd, const struct command *command, struct mlimg_err *err)
{
	const char *root = cmd->values[MLIMG_CMD_ROOT], *merged = cmd->values[MLIMG_CMD_MERGED];
	int r = mlimg_view_open(
		root ? root : MLIMG_VIEW_ROOT, merged ? merged : "/", cmd->view, err);

	if (r == 0 && command->is_loaded)
		r = mlimg_view_load(cmd->view, err);
	return r < 0 ? r : command->fn(cmd, err);
}

int main(int argc, char **argv)
{
	mlimg_autofree struct mlimg_view *view = calloc(1, sizeof(*view));
	struct mlimg_cmd cmd = {.view = view, .has_color = wants_color()};
	struct mlimg_err err = MLIMG_ERR_INIT;
	const struct command *command = NULL;
	int opt, code;

	if (!view && mlimg_err_set(&err, ENOMEM, "begin") < 0)
		return mlimg_cli_fail(PROG, &err);
	while ((opt = mlimg_cli_getopt(PROG, argc, argv, "urh", long_options)) != -1) {
		switch (opt) {
		case 'u': opt = OPT_BASE + MLIMG_CMD_TEXT; break;
		case 'r': opt = OPT_BASE + MLIMG_CMD_RECURSIVE; break;
		case OPT_HELP: return mlimg_cli_help(PROG, help_text);
		case OPT_VERSION: return mlimg_cli_version(PROG);
		case '?': return MLIMG_EXIT_USAGE;
		}
		cmd.given |= 1u << (opt - OPT_BASE);
		cmd.values[opt - OPT_BASE] = optarg;
	}
	code = parse_operands(&cmd, argc - optind, argv + optind, &command);
	if (code)
		return code;
	if (run(&cmd, command, &err) < 0) {
		mlimg_view_close(view);
		return mlimg_cli_fail(PROG, &err);
	}
	mlimg_view_close(view);
	code = mlimg_cli_close_stdout(PROG);
	if (code == MLIMG_EXIT_DONE && cmd.is_damaged)
		return MLIMG_EXIT_REFUSED;
	return code == MLIMG_EXIT_DONE && cmd.has_failed ? MLIMG_EXIT_FAILED : code;
}
