/* SPDX-License-Identifier: MIT */
/* mlimg-upgrade: change the system of a host's tenants, and say beforehand what that will do. */
#include <stdio.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/rollout-world.h"
#include "tools/upgrade-commands.h"
#include "tools/vm-commands.h"

#define NAME_WIDTH 8 /* of the longest command */

/* A row without a help is for this program alone. */
static const struct command {
	const char *name;
	mlimg_upgrade_command_fn *fn;
	const char *help; /* one line, with the name at most 80 columns */
} commands[] = {
	{"plan", mlimg_upgrade_cmd_plan, "say what a new system will do to tenants"},
	{"apply", mlimg_upgrade_cmd_apply, "give tenants a new system, wave by wave"},
	{"status", mlimg_upgrade_cmd_status, "how far a rollout is"},
	{"pause", mlimg_upgrade_cmd_pause, "begin with no more tenants, until resume"},
	{"resume", mlimg_upgrade_cmd_resume,
		"go on with a rollout that was paused, stopped or killed"},
	{"abort", mlimg_upgrade_cmd_abort, "end a rollout: the other tenants stay as they are"},
	{"rollback", mlimg_upgrade_cmd_rollback,
		"give tenants back what they had before a rollout"},
	{"history", mlimg_upgrade_cmd_history, "all rollouts"},
	{"forget", mlimg_upgrade_cmd_forget, "forget a rollout, and delete its checkpoints"},
	{"step", mlimg_upgrade_cmd_step, NULL},
	{"supervise", mlimg_vm_cmd_supervise, NULL},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char help_head[] =
	"Usage: mlimg-upgrade COMMAND [OPTION]... [OPERAND]...\n"
	"\n"
	"Change the system of a host's tenants, and say beforehand what that will do.\n"
	"\n";

static const char help_tail[] = "\n"
				"'mlimg-upgrade COMMAND --help' tells the options of a command.\n"
				"\n"
				"  --help     show this\n"
				"  --version  show the version\n"
				"\n"
				"Examples:\n"
				"  mlimg-upgrade plan --system debian:12.2 --html plan.html\n"
				"  mlimg-upgrade apply --system debian:12.2 --tenants 'web-*'\n";

static int help(void)
{
	printf("%s", help_head);
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (commands[i].help)
			printf("  %-*s %s\n", NAME_WIDTH, commands[i].name, commands[i].help);
	return mlimg_cli_help(MLIMG_UPGRADE_PROG, help_tail);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].fn(argc - 1, argv + 1);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return help();
	if (strcmp(name, "--version") == 0)
		return mlimg_cli_version(MLIMG_UPGRADE_PROG);
	if (!*name)
		return mlimg_cli_usage(MLIMG_UPGRADE_PROG, "no command given");
	return mlimg_cli_usage(
		MLIMG_UPGRADE_PROG, "unknown %s '%s'", name[0] == '-' ? "option" : "command", name);
}
