/* SPDX-License-Identifier: MIT */
/* `mlimg-vm clone`: a tenant like another one, with what is on its disk. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tools/checkpoint-qemu.h"
#include "tools/checkpoint.h"
#include "tools/cli.h"
#include "tools/reclaim.h"
#include "tools/store-base.h"
#include "tools/store-host.h"
#include "tools/tenant-options.h"

static const char help[] =
	"Usage: mlimg-vm clone NAME NEW-NAME [OPTION]...\n"
	"\n"
	"Create a tenant like another one, which must be off: same layers, same\n"
	"settings, and what is on its disk. At its first boot it makes a machine id and\n"
	"host keys of its own. Ports of this machine are not forwarded to it, since they\n"
	"are the other's.\n"
	"\n"
	"  --linked                copy nothing: what is on the disk becomes a base that\n"
	"                          is never written again, and both disks lie over it\n"
	"  --from TAG              the disk as it was at that checkpoint, and its layers;\n"
	"                          the other may run\n" MLIMG_TENANT_STORE_HELP;

enum { OPT_FROM = MLIMG_TENANT_OPT_OWN, OPT_LINKED };

static const struct option options[] = {{"from", required_argument, NULL, OPT_FROM},
	{"linked", no_argument, NULL, OPT_LINKED},
	{"store", required_argument, NULL, MLIMG_TENANT_OPT_STORE},
	{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

struct clone {
	const char *store, *name, *new_name;
	const char *tag; /* NULL: as it is */
	struct mlimg_tenant of;
	bool is_linked;
	char base[MLIMG_STORE_ID_SIZE]; /* where it is */
	uint64_t size_bytes;            /* of the disk, then */
	uint32_t pending;               /* of the other, which the clone has too; 0: none */
	enum mlimg_tenant_disk_how how;
};

static int fill(
	const char *dir, char ret_user_id[MLIMG_SHA256_HEX_SIZE], void *ctx, struct mlimg_err *err)
{
	struct clone *c = ctx;

	mlimg_autofree char *path = NULL;
	char base[MLIMG_STORE_BASE_NAME];
	char snapshot[MLIMG_SNAPSHOT_NAME_SIZE];

	memcpy(ret_user_id, c->of.row.user_id, MLIMG_SHA256_HEX_SIZE);
	if (c->is_linked && asprintf(&path, "%s/" MLIMG_TENANT_DISK, dir) < 0) {
		path = NULL;
		return mlimg_err_set(err, ENOMEM, "make a disk");
	}
	if (c->is_linked)
		return mlimg_tenant_disk_over(
			path, mlimg_store_base_name(c->base, base), c->size_bytes, err);
	return mlimg_tenant_disk_copy(c->of.user_disk,
		c->tag ? mlimg_snapshot_name(c->tag, snapshot) : NULL, dir, &c->how, err);
}

/* What the other would start with next, the clone does too. */
static int add_pending(
	struct mlimg_store *store, const struct clone *c, const char *id, struct mlimg_err *err)
{
	struct mlimg_store_generation g = {.number = 0};
	const char *ids[MLIMG_STACK_LAYERS_MAX];
	uint32_t number;
	int ret = mlimg_store_generation_get(store, c->of.row.id, c->pending, &g, err);

	for (size_t i = 0; ret == 0 && i < g.n_layers; i++)
		ids[i] = g.layers[i];
	if (ret == 0)
		ret = mlimg_store_generation_add(store, id, ids, g.n_layers, &number, err);
	if (ret == 0)
		ret = mlimg_store_generation_set_pending(store, id, number, err);
	mlimg_store_generation_done(&g);
	return ret;
}

static int also(struct mlimg_store *store, const char *id, void *ctx, struct mlimg_err *err)
{
	const struct clone *c = ctx;
	struct mlimg_tenant_settings settings = c->of.settings;
	int ret;

	settings.n_forwards = 0;
	ret = mlimg_tenant_settings_set(store, id, &settings, err);
	/* Its own id is a word that no other copy has. */
	if (ret == 0)
		ret = mlimg_tenant_identity_set(store, id, id, err);
	if (ret == 0 && *c->of.host)
		ret = mlimg_store_host_set(store, id, c->of.host, err);
	if (ret == 0 && c->is_linked)
		ret = mlimg_store_base_use(store, id, c->base, err);
	return ret < 0 || !c->pending ? ret : add_pending(store, c, id, err);
}

static int create(struct mlimg_store *store, struct clone *c, struct mlimg_err *err)
{
	const char *ids[MLIMG_STACK_LAYERS_MAX];
	const struct mlimg_store_new tenant = {.name = c->new_name,
		.layers = ids,
		.n_layers = c->of.n_layers,
		.fill = fill,
		.also = also,
		.ctx = c};
	struct mlimg_store_tenant made;
	int ret;

	for (size_t i = 0; i < c->of.n_layers; i++)
		ids[i] = c->of.layers[i].info.build_id;
	ret = mlimg_store_tenant_create(store, &tenant, &made, err);
	if (ret < 0)
		return ret;
	printf("%s is a copy of %s%s%s%s\n", made.name, c->of.row.name,
		c->tag ? " as of checkpoint " : "", c->tag ? c->tag : "",
		c->is_linked                                 ? "; both lie over a base"
			: c->how == MLIMG_TENANT_DISK_SHARED ? ", with which it shares blocks"
							     : "");
	if (c->of.settings.n_forwards)
		printf("ports are not forwarded to it: they are %s's\n", c->of.row.name);
	return 0;
}

static int make_over(const char *path, const char *base, void *ctx, struct mlimg_err *err)
{
	const struct clone *c = ctx;

	return mlimg_tenant_disk_over(path, base, c->size_bytes, err);
}

static int count(const struct mlimg_checkpoint *checkpoint, void *ctx, struct mlimg_err *err)
{
	++*(unsigned *)ctx;
	return 0;
}

/* Those that are not listed 'mlimg-vm delete' does not know. */
static int refuse_snapshots(struct mlimg_store *store, const struct clone *c, struct mlimg_err *err)
{
	unsigned n = 0;
	int ret = mlimg_store_checkpoint_each(store, c->of.row.id, count, &n, err);

	if (ret < 0)
		return ret;
	if (n)
		return mlimg_err_set(err, 0,
			"the disk of tenant '%s' has checkpoints, which a base cannot keep: delete "
			"them, or clone without --linked",
			c->name);
	return mlimg_err_set(err, 0,
		"the disk of tenant '%s' has snapshots that are no checkpoints, and that a base "
		"cannot keep: remove them ('qemu-img snapshot -d' on '%.200s'), or clone without "
		"--linked",
		c->name, c->of.user_disk);
}

/* One that has a base already, and has written nothing since, needs no other. */
static int find_base(struct mlimg_store *store, struct clone *c, struct mlimg_err *err)
{
	struct mlimg_tenant_disk disk;
	int ret = mlimg_tenant_disk_look(c->of.user_disk, &disk, err);

	if (ret == 0 && disk.n_snapshots)
		ret = refuse_snapshots(store, c, err);
	if (ret < 0)
		return ret;
	c->size_bytes = disk.size_bytes;
	ret = mlimg_store_base_of(store, c->of.row.id, c->base, err);
	if (ret == 1)
		ret = mlimg_tenant_disk_is_blank(c->of.user_disk, err);
	if (ret)
		return ret < 0 ? ret : 0;
	return mlimg_store_base_make(
		store, c->of.row.id, MLIMG_TENANT_DISK, make_over, c, c->base, err);
}

/* Before the other's disk becomes a base for nothing. */
static int check_name(struct mlimg_store *store, const char *name, struct mlimg_err *err)
{
	struct mlimg_store_tenant there;
	int ret;

	ret = mlimg_store_tenant_find(store, name, &there, NULL);
	if (ret == 0)
		return mlimg_err_set(err, 0, "there is a tenant '%s' already", name);
	return ret == -ENOENT ? 0 : mlimg_err_set(err, ret, "look for tenant '%s'", name);
}

/* What it shall be like: the current generation is what its disk has last run on. */
static int choose(struct mlimg_store *store, struct clone *c, struct mlimg_err *err)
{
	struct mlimg_checkpoint checkpoint;
	uint32_t number = c->of.row.current;
	int ret;

	c->pending = c->tag ? 0 : c->of.row.pending;
	if (c->tag) {
		ret = mlimg_store_checkpoint_get(store, c->of.row.id, c->tag, &checkpoint, err);
		if (ret < 0)
			return mlimg_err_wrap(err, ret, "tenant '%s'", c->name);
		number = checkpoint.generation;
	}
	return mlimg_tenant_load_generation(store, &c->of, number, err);
}

static int check_off(struct mlimg_store *store, struct clone *c, struct mlimg_err *err)
{
	char why[MLIMG_GUEST_WHY_SIZE];
	enum mlimg_guest_state state;
	int ret;

	if (mlimg_backend_has_disk_away(&c->of))
		return mlimg_err_set(err, 0,
			"the disk of tenant '%s' is on host '%s', and cannot be copied from here: "
			"bring "
			"it home first ('mlimg-vm move %s')",
			c->name, c->of.host, c->name);
	if (c->of.uri && c->is_linked)
		return mlimg_err_set(err, 0,
			"tenant '%s' is run by libvirt, and bases are not for its disks: clone "
			"without "
			"--linked",
			c->name);
	ret = mlimg_backend_check_disk(&c->of, err);
	if (ret == 0)
		ret = mlimg_backend_look(store, &c->of, &state, why, err);
	if (ret == 0 && !c->tag)
		ret = mlimg_backend_check_rest(&c->of, err);
	if (ret == 0 && !c->tag && mlimg_guest_is_on(state))
		return mlimg_err_set(err, 0,
			"tenant '%s' is %s: stop it, or take a checkpoint of it ('mlimg-vm "
			"checkpoint %s TAG') and copy that one ('--from TAG')",
			c->name, mlimg_guest_state_name(state), c->name);
	/* What has leaked would leak in a copy by reflink, too. */
	return ret < 0 ? ret : mlimg_reclaim(store, &c->of, state, why, err);
}

static int run(struct clone *c, struct mlimg_err *err)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	mlimg_autoclose int lock = -1;
	struct mlimg_checkpoints of;
	int ret = mlimg_store_open_given(c->store, MLIMG_STORE_USE, &store, err);

	if (ret == 0)
		ret = mlimg_tenant_take(store, c->name, "clone", &c->of, &lock, err);
	if (ret < 0)
		return ret;
	of = (struct mlimg_checkpoints){
		.store = store, .tenant = &c->of, .backend = mlimg_backend_of(&c->of)};
	ret = check_off(store, c, err);
	if (ret == 0)
		ret = mlimg_checkpoint_settle(&of, err);
	if (ret == 0)
		ret = choose(store, c, err);
	/* What cannot be a name at all is refused below. */
	if (c->is_linked && mlimg_store_name_is_valid(c->new_name)) {
		if (ret == 0)
			ret = check_name(store, c->new_name, err);
		if (ret == 0)
			ret = find_base(store, c, err);
	}
	return ret < 0 ? ret : create(store, c, err);
}

int mlimg_vm_cmd_clone(int argc, char **argv)
{
	static const char *const operands[] = {"the name of a tenant", "the name of the copy"};
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct clone c = {.tag = NULL};
	int opt, code;

	while ((opt = mlimg_cli_getopt(MLIMG_VM_PROG, argc, argv, "h", options)) != -1)
		switch (opt) {
		case 'h': return mlimg_cli_help(MLIMG_VM_PROG, help);
		case '?': return MLIMG_EXIT_USAGE;
		case OPT_FROM: c.tag = optarg; break;
		case OPT_LINKED: c.is_linked = true; break;
		default: c.store = optarg;
		}
	code = mlimg_tenant_operands(argc, argv, operands, 2);
	if (code)
		return code;
	if (c.is_linked && c.tag)
		return mlimg_cli_usage(MLIMG_VM_PROG, "--linked and --from exclude each other");
	c.name = argv[optind];
	c.new_name = argv[optind + 1];
	signal(SIGXFSZ, SIG_IGN);
	code = run(&c, &err) < 0 ? mlimg_cli_fail(MLIMG_VM_PROG, &err)
				 : mlimg_cli_close_stdout(MLIMG_VM_PROG);
	mlimg_tenant_done(&c.of);
	return code;
}
