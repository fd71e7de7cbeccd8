/* SPDX-License-Identifier: MIT */
/* `mlimg-vm xml`: the domain of a tenant. */
#include <stdio.h>

#include "tools/cli.h"
#include "tools/libvirt-domain.h"
#include "tools/tenant-options.h"
#include "tools/vm-commands.h"

static const char help[] =
	"Usage: mlimg-vm xml [OPTION]... NAME\n"
	"\n"
	"Print the libvirt domain that a tenant on a host of libvirt's starts as. Nothing\n"
	"is put on the host, and nothing defined there.\n"
	"\n"
	"Options:\n" MLIMG_TENANT_STORE_HELP;

static int run(const char *dir, const char *name, struct mlimg_err *err)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	mlimg_autotenant struct mlimg_tenant t = {.run_s = 0};
	mlimg_autofree char *xml = NULL;
	int ret = mlimg_store_open_given(dir, MLIMG_STORE_USE, &store, err);

	if (ret == 0)
		ret = mlimg_tenant_load(store, name, &t, err);
	if (ret == 0 && !t.uri)
		return mlimg_err_set(
			err, 0, "tenant '%s' is run by QEMU itself, not by libvirt", name);
	if (ret == 0)
		ret = mlimg_libvirt_describe(store, &t, &xml, err);
	if (ret == 0)
		fputs(xml, stdout);
	return ret;
}

int mlimg_vm_cmd_xml(int argc, char **argv)
{
	static const char *const operands[] = {"the name of a tenant"};
	struct mlimg_err err = MLIMG_ERR_INIT;
	const char *dir;
	int code = mlimg_tenant_parse(argc, argv, help, operands, 1, &dir, NULL);

	if (code >= 0)
		return code;
	if (run(dir, argv[optind], &err) < 0)
		return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	return mlimg_cli_close_stdout(MLIMG_VM_PROG);
}
