/* SPDX-License-Identifier: MIT */
/* mlimg-vm: run guests whose root is merged from layer images. */
#include <stdio.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/vm-commands.h"

#define NAME_WIDTH 12 /* of the longest command */

/* A row without a function is a heading, one without a help for this program alone. */
static const struct command {
	const char *name;
	mlimg_vm_command_fn *fn;
	const char *help; /* one line, with the name at most 80 columns */
} commands[] = {
	{"Tenants", NULL, NULL},
	{"create", mlimg_vm_cmd_create, "create a tenant on layers of the store"},
	{"set", mlimg_vm_cmd_set, "change a tenant's machine or layers from its next start on"},
	{"list", mlimg_vm_cmd_list, "all tenants, and what they do"},
	{"resize", mlimg_vm_cmd_resize, "make a tenant's disk larger"},
	{"clone", mlimg_vm_cmd_clone, "copy a tenant, with what is on its disk"},
	{"rename", mlimg_vm_cmd_rename, "give a tenant another name"},
	{"destroy", mlimg_vm_cmd_destroy, "remove a tenant, and set its disk aside"},
	{"Checkpoints", NULL, NULL},
	{"checkpoint", mlimg_vm_cmd_checkpoint, "save a tenant's memory and disk, or its disk"},
	{"checkpoints", mlimg_vm_cmd_checkpoints, "list a tenant's checkpoints"},
	{"restore", mlimg_vm_cmd_restore, "make a tenant what it was at a checkpoint"},
	{"delete", mlimg_vm_cmd_delete, "delete checkpoints"},
	{"Hosts", NULL, NULL},
	{"host", mlimg_vm_cmd_host, "hosts that libvirt looks after: add, list, check, remove"},
	{"move", mlimg_vm_cmd_move, "have a tenant that is off run on another host"},
	{"xml", mlimg_vm_cmd_xml, "print the libvirt domain of a tenant"},
	{"Guests of images", NULL, NULL},
	{"run", mlimg_vm_cmd_run, "run a guest until it powers off"},
	{"Running tenants (status, stop and logs: guests of 'run' too)", NULL, NULL},
	{"start", mlimg_vm_cmd_start, "start a tenant, and wait until it is up"},
	{"stop", mlimg_vm_cmd_stop, "have a guest power off; end it when it does not"},
	{"restart", mlimg_vm_cmd_restart, "stop a tenant and start it again"},
	{"status", mlimg_vm_cmd_status, "how a guest is, or why it died"},
	{"console", mlimg_vm_cmd_console, "a tenant's serial console, both ways"},
	{"logs", mlimg_vm_cmd_logs, "what a guest printed on its console"},
	{"supervise", mlimg_vm_cmd_supervise, NULL},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char help_head[] = "Usage: mlimg-vm COMMAND [OPTION]... [OPERAND]...\n"
				"\n"
				"Run guests whose root is merged from layer images.\n";

static const char help_tail[] = "\n"
				"'mlimg-vm COMMAND --help' tells the options of a command.\n"
				"\n"
				"  --help     show this\n"
				"  --version  show the version\n";

static int help(void)
{
	printf("%s", help_head);
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (!commands[i].fn)
			printf("\n%s:\n", commands[i].name);
		else if (commands[i].help)
			printf("  %-*s %s\n", NAME_WIDTH, commands[i].name, commands[i].help);
	return mlimg_cli_help(MLIMG_VM_PROG, help_tail);
}

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (commands[i].fn && strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	const struct command *command = find(name);

	if (command)
		return command->fn(argc - 1, argv + 1);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return help();
	if (strcmp(name, "--version") == 0)
		return mlimg_cli_version(MLIMG_VM_PROG);
	if (!*name)
		return mlimg_cli_usage(MLIMG_VM_PROG, "a command is missing");
	return mlimg_cli_usage(
		MLIMG_VM_PROG, "unknown %s '%s'", name[0] == '-' ? "option" : "command", name);
}
