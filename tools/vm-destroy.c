/* SPDX-License-Identifier: MIT */
/* `mlimg-vm destroy`: a tenant goes out of the store; its disk is set aside. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tools/backend.h"
#include "tools/cli.h"
#include "tools/tenant-options.h"
#include "tools/tenant-removed.h"

static const char help[] =
	"Usage: mlimg-vm destroy NAME [OPTION]...\n"
	"\n"
	"Remove a tenant that is off. What it has, its disk above all, is set aside in\n"
	"the store's directory 'removed', where nothing is ever deleted by itself:\n"
	"'mlimg-vm create NAME --from-removed NAME' brings it back, and 'mlimg-store gc'\n"
	"removes what was set aside long ago when it is told to.\n"
	"\n"
	"  --yes                   do not ask (default: ask on a "
	"terminal)\n" MLIMG_TENANT_STORE_HELP;

enum { OPT_YES = MLIMG_TENANT_OPT_OWN };

static const struct option options[] = {{"yes", no_argument, NULL, OPT_YES},
	{"store", required_argument, NULL, MLIMG_TENANT_OPT_STORE},
	{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

static bool says_yes(const struct mlimg_tenant *t)
{
	char used[MLIMG_CLI_SIZE_TEXT], answer[8] = "";
	struct mlimg_tenant_disk disk = {.used_bytes = 0};

	if (mlimg_tenant_disk_look(t->user_disk, &disk, NULL) < 0)
		disk.used_bytes = 0;
	if (mlimg_backend_has_lost_disk(t))
		fprintf(stderr, "Destroy tenant '%s', whose disk is not there? [y/N] ",
			t->row.name);
	else
		fprintf(stderr, "Destroy tenant '%s' and set its disk (%s) aside? [y/N] ",
			t->row.name, mlimg_cli_format_size(disk.used_bytes, used));
	fflush(stderr);
	if (!fgets(answer, sizeof(answer), stdin))
		fputc('\n', stderr);
	return strcmp(answer, "y\n") == 0 || strcmp(answer, "Y\n") == 0 ||
		strcmp(answer, "yes\n") == 0;
}

/* Where the disk is full it may not be aside yet. */
static void say_destroyed(
	const struct mlimg_store *store, const struct mlimg_tenant *t, bool has_disk)
{
	const char *dir = mlimg_store_dir(store), *id = t->row.id;

	if (!has_disk) {
		printf("destroyed %s; its disk was not there\n", t->row.name);
		return;
	}
	if (access(t->dir, F_OK) < 0) {
		printf("destroyed %s; its disk is in '%s/removed/%s'\n", t->row.name, dir, id);
		return;
	}
	printf("destroyed %s; its disk is in '%s/tenants/%s'\n", t->row.name, dir, id);
	mlimg_cli_warn(MLIMG_VM_PROG,
		"the next command for which there is room sets it aside, in '%.300s/removed'", dir);
}

static int destroy(struct mlimg_store *store, struct mlimg_tenant *t, struct mlimg_err *err)
{
	const struct mlimg_backend *backend = mlimg_backend_of(t);
	struct mlimg_err why = MLIMG_ERR_INIT;
	int ret = mlimg_backend_check_off(store, t, err);
	bool has_disk;

	if (ret == 0 && backend->forget)
		ret = backend->forget(t, err);
	if (ret < 0)
		return ret;
	has_disk = !mlimg_backend_has_lost_disk(t);
	if (mlimg_removed_write(t, &why) < 0)
		mlimg_cli_warn(
			MLIMG_VM_PROG, "there will be no way back but by its disk: %s", why.text);
	ret = mlimg_store_tenant_remove(store, t->row.name, err);
	if (ret == 0)
		say_destroyed(store, t, has_disk);
	return ret;
}

/* Nobody is kept waiting while somebody thinks: the lock is taken after the question. */
static int run(const char *dir, const char *name, bool is_sure, struct mlimg_err *err)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	mlimg_autotenant struct mlimg_tenant t = {.run_s = 0}, asked = {.run_s = 0};
	mlimg_autoclose int lock = -1;
	int ret = mlimg_store_open_given(dir, MLIMG_STORE_USE, &store, err);

	if (ret == 0)
		ret = mlimg_tenant_load(store, name, &asked, err);
	if (ret == 0)
		ret = mlimg_backend_check_off(store, &asked, err);
	if (ret == 0 && !is_sure && !says_yes(&asked))
		return mlimg_err_set(err, 0, "tenant '%s' stays", name);
	if (ret == 0)
		ret = mlimg_tenant_take(store, name, "destroy", &t, &lock, err);
	/* Not one that has got the name meanwhile. */
	if (ret == 0 && strcmp(t.row.id, asked.row.id) != 0)
		return mlimg_err_set(err, 0, "tenant '%s' is another one by now", name);
	return ret < 0 ? ret : destroy(store, &t, err);
}

int mlimg_vm_cmd_destroy(int argc, char **argv)
{
	static const char *const operands[] = {"the name of a tenant"};
	struct mlimg_err err = MLIMG_ERR_INIT;
	const char *dir = NULL;
	bool is_sure = false;
	int opt, code;

	while ((opt = mlimg_cli_getopt(MLIMG_VM_PROG, argc, argv, "h", options)) != -1)
		switch (opt) {
		case 'h': return mlimg_cli_help(MLIMG_VM_PROG, help);
		case '?': return MLIMG_EXIT_USAGE;
		case OPT_YES: is_sure = true; break;
		default: dir = optarg;
		}
	code = mlimg_tenant_operands(argc, argv, operands, 1);
	if (code)
		return code;
	if (!is_sure && !isatty(STDIN_FILENO))
		return mlimg_cli_usage(
			MLIMG_VM_PROG, "'destroy' needs --yes where nobody can be asked");
	if (run(dir, argv[optind], is_sure, &err) < 0)
		return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	return mlimg_cli_close_stdout(MLIMG_VM_PROG);
}
