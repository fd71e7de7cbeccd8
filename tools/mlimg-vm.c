/* SPDX-License-Identifier: MIT */
/* mlimg-vm: run guests whose root is merged from layer images. */
#include <string.h>

#include "tools/cli.h"
#include "tools/vm-run.h"

static const char help[] = "Usage: mlimg-vm run --system IMAGE [--software IMAGE]... --user IMAGE\n"
			   "                    [OPTION]...\n"
			   "       mlimg-vm status NAME\n"
			   "       mlimg-vm stop NAME\n"
			   "\n"
			   "Run guests whose root is merged from layer images.\n"
			   "\n"
			   "  run      run a guest until it powers off\n"
			   "  status   ask a running guest's agent how it is\n"
			   "  stop     ask a running guest to power off\n"
			   "\n"
			   "'mlimg-vm COMMAND --help' tells the options of a command.\n"
			   "\n"
			   "  --help     show this\n"
			   "  --version  show the version\n";

int main(int argc, char **argv)
{
	struct mlimg_vm_options options;
	const char *command = argc > 1 ? argv[1] : "";
	int code;

	if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0)
		return mlimg_cli_help(MLIMG_VM_PROG, help);
	if (strcmp(command, "--version") == 0)
		return mlimg_cli_version(MLIMG_VM_PROG);
	if (strcmp(command, "status") == 0)
		return mlimg_vm_status(argc - 1, argv + 1);
	if (strcmp(command, "stop") == 0)
		return mlimg_vm_stop(argc - 1, argv + 1);
	if (!*command)
		return mlimg_cli_usage(
			MLIMG_VM_PROG, "a command is missing ('run', 'status' or 'stop')");
	if (strcmp(command, "run") != 0)
		return mlimg_cli_usage(MLIMG_VM_PROG, "unknown %s '%s'",
			command[0] == '-' ? "option" : "command", command);
	code = mlimg_vm_options_parse(argc - 1, argv + 1, &options);
	return code >= 0 ? code : mlimg_vm_run(&options);
}
