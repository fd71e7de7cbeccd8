/* SPDX-License-Identifier: MIT */
/* `mlimg-vm create`: a tenant of the store's layers, with an empty user disk. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/reclaim.h"
#include "tools/store-base.h"
#include "tools/tenant-disk.h"
#include "tools/tenant-host.h"
#include "tools/tenant-options.h"
#include "tools/tenant-removed.h"

static const char help[] =
	"Usage: mlimg-vm create NAME --system LAYER [OPTION]...\n"
	"       mlimg-vm create NAME --from-removed WHICH [OPTION]...\n"
	"\n"
	"Create a tenant: a guest with its own user layer on layers of the store.\n"
	"\n"
	"  mlimg-vm create alice --system debian:12.1 --software nginx\n"
	"\n"
	"LAYER is NAME:VERSION, the beginning of a build id (at least 8 digits), or NAME,\n"
	"which is the newest added that fits ('mlimg-store list').\n"
	"\n"
	"  --system LAYER          system layer, or a patch, with what it lies over\n"
	"  --patch LAYER           patch on top of it, may be repeated, bottom first\n"
	"  --software LAYER        software layer, may be repeated, bottom first\n"
	"  --size SIZE             of its disk, 64M to 8T (default: 20G); takes room as\n"
	"                          it is written\n"
	"  --from-removed WHICH    a tenant that was destroyed, by its former name or its\n"
	"                          id, with its disk; its machine and its layers, but for\n"
	"                          what is said otherwise. Checkpoints do not come back\n"
	"                          and are removed from its disk\n"
	"  --host NAME             libvirt on that host runs it ('mlimg-vm host list';\n"
	"                          default: QEMU on this machine)\n"
	"  --connect URI           the same, by libvirt's URI; the host is added\n"
	"Machine:\n" MLIMG_TENANT_MACHINE_HELP "Other:\n" MLIMG_TENANT_STORE_HELP;

enum { OPT_SIZE = MLIMG_TENANT_OPT_OWN, OPT_HOST, OPT_CONNECT, OPT_FROM };

static const struct option options[] = {MLIMG_TENANT_OPTIONS,
	{"size", required_argument, NULL, OPT_SIZE}, {"host", required_argument, NULL, OPT_HOST},
	{"from-removed", required_argument, NULL, OPT_FROM},
	{"connect", required_argument, NULL, OPT_CONNECT}, {"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0}};

struct create {
	struct mlimg_tenant_given given;
	const char *name, *host, *uri;
	const char *from; /* NULL: a new disk */
	struct mlimg_removed removed;
	uint64_t n_checkpoints;  /* that it had in its disk */
	uint64_t freed_bytes;    /* of that */
	struct mlimg_err failed; /* why not, where that could not be found out */
	bool has_failed;
	uint64_t size_bytes; /* 0: not given */
};

static int take(struct create *c, int option, struct mlimg_err *err)
{
	int ret;

	if (option == OPT_HOST || option == OPT_CONNECT) {
		*(option == OPT_HOST ? &c->host : &c->uri) = optarg;
		return 0;
	}
	if (option == OPT_FROM) {
		c->from = optarg;
		return 0;
	}
	if (option != OPT_SIZE)
		return mlimg_tenant_given_take(&c->given, option, optarg, err);
	ret = mlimg_tenant_disk_size_of(optarg, &c->size_bytes, err);
	return ret < 0 ? mlimg_err_wrap(err, ret, "--size") : 0;
}

/* A tenant that was destroyed may have been one whose QEMU had died. */
static int clean(struct create *c, struct mlimg_err *err)
{
	int ret = mlimg_removed_free_leaks(&c->removed, c->name, &c->freed_bytes, &c->failed);

	if (ret < 0 && c->failed.kind == MLIMG_ERR_REFUSED) {
		if (err)
			*err = c->failed;
		return ret;
	}
	c->has_failed = ret < 0;
	return mlimg_removed_drop_checkpoints(&c->removed, &c->n_checkpoints, err);
}

static int fill(
	const char *dir, char ret_user_id[MLIMG_SHA256_HEX_SIZE], void *ctx, struct mlimg_err *err)
{
	struct create *c = ctx;
	int ret;

	if (c->from) {
		memcpy(ret_user_id, c->removed.user_id, MLIMG_SHA256_HEX_SIZE);
		ret = clean(c, err);
		return ret < 0 ? ret : mlimg_removed_link(&c->removed, dir, err);
	}
	return mlimg_tenant_disk_make(dir, c->name, c->size_bytes, ret_user_id, err);
}

static int set(struct mlimg_store *store, const char *id, void *ctx, struct mlimg_err *err)
{
	const struct create *c = ctx;
	char base[MLIMG_STORE_ID_SIZE];
	int ret = mlimg_tenant_settings_set(store, id, &c->given.settings, err);

	if (ret == 0 && c->from)
		ret = mlimg_store_base_of(store, c->removed.id, base, err);
	if (ret == 1)
		ret = mlimg_store_base_use(store, id, base, err);
	return ret < 0 || (!c->host && !c->uri)
		? ret
		: mlimg_tenant_host_choose(store, id, c->host, c->uri, err);
}

static int create(struct mlimg_store *store, struct create *c,
	const struct mlimg_tenant_stack *stack, struct mlimg_err *err)
{
	const char *ids[MLIMG_STACK_LAYERS_MAX];
	struct mlimg_store_new tenant = {.name = c->name,
		.layers = ids,
		.n_layers = mlimg_tenant_stack_ids(stack, ids),
		.fill = fill,
		.also = set,
		.ctx = c};
	char text[MLIMG_TENANT_STACK_TEXT], doubt[MLIMG_ERR_TEXT_SIZE];
	char size[MLIMG_CLI_SIZE_TEXT];
	struct mlimg_err err_of_rest = MLIMG_ERR_INIT;
	struct mlimg_store_tenant made;
	int ret = mlimg_store_tenant_create(store, &tenant, &made, err);

	if (ret < 0)
		return ret;
	mlimg_tenant_stack_describe(stack->layers, stack->stack.n_layers, text);
	printf("created %s: %s, disk of %s\n", made.name, text,
		mlimg_cli_format_size(c->size_bytes, size));
	if (c->n_checkpoints)
		printf("removed %" PRIu64 " %s from its disk: checkpoints do not come back\n",
			c->n_checkpoints,
			mlimg_cli_noun(c->n_checkpoints, "checkpoint", "checkpoints"));
	mlimg_reclaim_note(store, made.id, c->freed_bytes, c->has_failed ? &c->failed : NULL);
	if (mlimg_tenant_stack_doubt(stack, doubt))
		mlimg_cli_warn(MLIMG_VM_PROG, "%s", doubt);
	/* Its other name may stay: nobody brings it back twice. */
	if (c->from && mlimg_removed_remove(store, &c->removed, &err_of_rest) < 0)
		mlimg_cli_warn(MLIMG_VM_PROG, "%s", err_of_rest.text);
	return 0;
}

/* As 'move': QEMU there sees no base. */
static int check_base(const struct create *c, struct mlimg_err *err)
{
	if (!c->removed.has_base || (!c->host && !c->uri))
		return 0;
	return mlimg_err_set(err, 0,
		"'%.300s' lies over a base, which stays on this machine: bring it back here, then "
		"move a copy of it ('mlimg-vm clone')",
		c->removed.disk);
}

static int take_removed(struct mlimg_store *store, struct create *c, struct mlimg_err *err)
{
	int ret = mlimg_removed_find(store, c->from, &c->removed, err);

	if (ret == 0)
		ret = check_base(c, err);
	if (ret == 0)
		ret = mlimg_removed_apply(&c->removed, &c->given, err);
	if (ret == 0)
		ret = mlimg_tenant_settings_check(&c->given.settings, err);
	c->size_bytes = c->removed.size_bytes;
	return ret;
}

static int run(struct create *c, struct mlimg_err *err)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	struct mlimg_tenant_stack *stack = calloc(1, sizeof(*stack));
	int ret;

	if (!stack)
		return mlimg_err_set(err, ENOMEM, "create a tenant");
	ret = mlimg_tenant_settings_check(&c->given.settings, err);
	if (ret == 0)
		ret = mlimg_store_open_given(c->given.store, MLIMG_STORE_USE, &store, err);
	if (ret == 0 && c->from)
		ret = take_removed(store, c, err);
	if (ret == 0)
		ret = mlimg_tenant_stack_choose(store, &c->given.wish, NULL, stack, err);
	if (ret == 0)
		ret = create(store, c, stack, err);
	mlimg_tenant_stack_done(stack);
	free(stack);
	return ret;
}

int mlimg_vm_cmd_create(int argc, char **argv)
{
	static const char *const operands[] = {"the name of a tenant"};
	struct create c = {.removed = {.lock = -1}, .failed = MLIMG_ERR_INIT};
	struct mlimg_err err = MLIMG_ERR_INIT;
	int opt, code;

	mlimg_tenant_given_init(&c.given);
	while ((opt = mlimg_cli_getopt(MLIMG_VM_PROG, argc, argv, "h", options)) != -1) {
		if (opt == 'h')
			return mlimg_cli_help(MLIMG_VM_PROG, help);
		if (opt == '?')
			return MLIMG_EXIT_USAGE;
		if (take(&c, opt, &err) < 0)
			return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	}
	code = mlimg_tenant_operands(argc, argv, operands, 1);
	if (code)
		return code;
	if (!c.given.wish.system && (!c.from || !mlimg_stack_wish_is_empty(&c.given.wish)))
		return mlimg_cli_usage(MLIMG_VM_PROG, "--system is missing");
	if (c.from && c.size_bytes)
		return mlimg_cli_usage(
			MLIMG_VM_PROG, "--size and --from-removed exclude each other");
	if (!c.size_bytes)
		c.size_bytes = MLIMG_TENANT_DISK_SIZE;
	if (c.host && c.uri)
		return mlimg_cli_usage(MLIMG_VM_PROG, "--host and --connect say the same");
	c.name = argv[optind];
	/* A limit on the size of files is a full disk: an error, not the end. */
	signal(SIGXFSZ, SIG_IGN);
	code = run(&c, &err) < 0 ? mlimg_cli_fail(MLIMG_VM_PROG, &err)
				 : mlimg_cli_close_stdout(MLIMG_VM_PROG);
	mlimg_removed_done(&c.removed);
	return code;
}
