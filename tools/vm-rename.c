/* SPDX-License-Identifier: MIT */
/* `mlimg-vm rename`: another name for a tenant, also while it runs. */
#include "tools/cli.h"
#include "tools/tenant-options.h"

static const char help[] = "Usage: mlimg-vm rename NAME NEW-NAME [OPTION]...\n"
			   "\n"
			   "Give a tenant another name. One that runs goes on.\n"
			   "\n" MLIMG_TENANT_STORE_HELP;

static int run(const char *dir, const char *name, const char *new_name, struct mlimg_err *err)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	mlimg_autotenant struct mlimg_tenant t = {.run_s = 0};
	mlimg_autoclose int lock = -1;
	int ret = mlimg_store_open_given(dir, MLIMG_STORE_USE, &store, err);

	if (ret == 0)
		ret = mlimg_tenant_take(store, name, "rename", &t, &lock, err);
	if (ret == 0)
		ret = mlimg_store_tenant_rename(store, name, new_name, err);
	if (ret == 0)
		printf("%s is %s now\n", name, new_name);
	return ret;
}

int mlimg_vm_cmd_rename(int argc, char **argv)
{
	static const char *const operands[] = {"the name of a tenant", "its new name"};
	struct mlimg_err err = MLIMG_ERR_INIT;
	const char *dir;
	int code = mlimg_tenant_parse(argc, argv, help, operands, 2, &dir, NULL);

	if (code >= 0)
		return code;
	if (run(dir, argv[optind], argv[optind + 1], &err) < 0)
		return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	return mlimg_cli_close_stdout(MLIMG_VM_PROG);
}
