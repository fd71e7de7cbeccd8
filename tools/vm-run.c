/* SPDX-License-Identifier: MIT */
/* `mlimg-vm run`: a guest of images, until it powers off. */
#include "tools/cli.h"
#include "tools/vm-loop.h"
#include "tools/vm-prepare.h"

int mlimg_vm_cmd_run(int argc, char **argv)
{
	struct mlimg_vm_options options;
	struct mlimg_vm_prepared p = MLIMG_VM_PREPARED_INIT;
	struct mlimg_err err = MLIMG_ERR_INIT;
	int code = mlimg_vm_options_parse(argc, argv, &options);

	if (code >= 0)
		return code;
	if (mlimg_vm_prepare(&options, &p, &err) < 0) {
		code = mlimg_cli_fail(MLIMG_VM_PROG, &err);
	} else if (options.dry_run) {
		mlimg_args_print(stdout, &p.args);
		code = mlimg_cli_close_stdout(MLIMG_VM_PROG);
	} else if (mlimg_vm_loop(&p, &options, NULL, &code, &err) < 0) {
		code = mlimg_cli_fail(MLIMG_VM_PROG, &err);
	}
	mlimg_vm_prepared_done(&p);
	return code;
}
