/* SPDX-License-Identifier: MIT */
/* `mlimg-vm checkpoint`, `restore` and `delete`. */
#include "tools/vm-checkpoint.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/reclaim.h"
#include "tools/store-impl.h"
#include "tools/tenant-disk.h"
#include "tools/tenant-options.h"

static const char checkpoint_help[] =
	"Usage: mlimg-vm checkpoint NAME [TAG] [OPTION]...\n"
	"\n"
	"Save a tenant's memory and user disk, as of one moment, in the user disk. The\n"
	"guest stands still while its memory is written. Of one that is off there is the\n"
	"disk alone.\n"
	"\n"
	"TAG is 1 to 63 letters, digits and ._- (default: the time, as 20261122-054300,\n"
	"UTC).\n"
	"\n"
	"  --disk-only             the disk alone; where the guest is on, its agent\n"
	"                          freezes the file system meanwhile\n"
	"  --keep N                then delete those of this kind (memory, disk) whose\n"
	"                          tags are times, but for the newest N; those that were\n"
	"                          given a tag, and what was before a restore, stay\n"
	"                          (default: all stay)\n" MLIMG_TENANT_STORE_HELP;

static const char restore_help[] =
	"Usage: mlimg-vm restore NAME TAG [OPTION]...\n"
	"\n"
	"Make a tenant what it was when a checkpoint was taken. With memory the guest\n"
	"goes on from there, and its clock is set; the disk alone is restored while the\n"
	"guest is off.\n"
	"\n"
	"What it is now becomes a checkpoint, before-restore-TIME: nothing is lost. The\n"
	"layers must be those of then, and with memory the machine too.\n"
	"\n"
	"  --disk-only             the disk alone of one with memory: the guest is off,\n"
	"                          and starts as after a power cut at that moment\n"
	"  --discard               lose what it is now\n" MLIMG_TENANT_STORE_HELP;

static const char delete_help[] =
	"Usage: mlimg-vm delete NAME TAG... [OPTION]...\n"
	"\n"
	"Delete checkpoints of a tenant. ('mlimg-vm destroy' is for tenants.)\n"
	"\n" MLIMG_TENANT_STORE_HELP;

enum { OPT_DISK_ONLY = MLIMG_TENANT_OPT_OWN, OPT_KEEP, OPT_DISCARD };

#define COMMON                                                      \
	{"store", required_argument, NULL, MLIMG_TENANT_OPT_STORE}, \
		{"help", no_argument, NULL, 'h'},                   \
	{                                                           \
		NULL, 0, NULL, 0                                    \
	}

static const struct option checkpoint_options[] = {{"disk-only", no_argument, NULL, OPT_DISK_ONLY},
	{"keep", required_argument, NULL, OPT_KEEP}, COMMON};
static const struct option restore_options[] = {{"disk-only", no_argument, NULL, OPT_DISK_ONLY},
	{"discard", no_argument, NULL, OPT_DISCARD}, COMMON};
static const struct option delete_options[] = {COMMON};

/* What is on the command line. */
struct given {
	const char *store, *name;
	char **tags;
	int n_tags;
	bool is_disk, discard;
	uint64_t keep; /* 0: all */
};

/* A command, with the tenant's lock. */
typedef int work_fn(
	const struct mlimg_checkpoints *of, const struct given *g, struct mlimg_err *err);

/* A guest that has died since somebody looked is off, and would start with what is pending. */
static int see_death(struct mlimg_store *store, struct mlimg_tenant *tenant,
	enum mlimg_guest_state *ret_state, char ret_why[MLIMG_GUEST_WHY_SIZE],
	struct mlimg_err *err)
{
	int64_t run_s = tenant->run_s;
	char name[MLIMG_STORE_NAME_SIZE];
	int ret = mlimg_backend_look(store, tenant, ret_state, ret_why, err);

	if (ret < 0 || !run_s || tenant->run_s)
		return ret;
	strcpy(name, tenant->row.name);
	mlimg_tenant_done(tenant);
	return mlimg_tenant_load(store, name, tenant, err);
}

int mlimg_checkpoints_of(struct mlimg_store *store, struct mlimg_tenant *tenant,
	struct mlimg_checkpoints *ret_of, struct mlimg_err *err)
{
	const struct mlimg_backend *backend = mlimg_backend_of(tenant);

	if (!backend->save || !backend->saved)
		return mlimg_store_fail(
			err, EOPNOTSUPP, "there are no checkpoints with %s", backend->name);
	*ret_of = (struct mlimg_checkpoints){store, tenant, backend};
	return 0;
}

int mlimg_checkpoints_check_disk(const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	struct mlimg_tenant_disk disk;
	int ret = mlimg_backend_check_rest(tenant, err);

	/* On another host it is that one's. */
	if (ret < 0 || mlimg_backend_has_disk_away(tenant))
		return ret;
	if (mlimg_backend_has_lost_disk(tenant))
		return mlimg_backend_check_disk(tenant, err);
	return mlimg_tenant_disk_look(tenant->user_disk, &disk, err);
}

int mlimg_checkpoints_lock(struct mlimg_store *store, const char *name, const char *what,
	struct mlimg_tenant *ret_tenant, int *ret_lock, struct mlimg_checkpoints *ret_of,
	struct mlimg_err *err)
{
	enum mlimg_guest_state state = MLIMG_GUEST_OFF;
	char why[MLIMG_GUEST_WHY_SIZE] = "";
	int ret = mlimg_tenant_take(store, name, what, ret_tenant, ret_lock, err);

	if (ret == 0)
		ret = see_death(store, ret_tenant, &state, why, err);
	if (ret == 0)
		ret = mlimg_checkpoints_of(store, ret_tenant, ret_of, err);
	if (ret == 0)
		ret = mlimg_checkpoints_check_disk(ret_tenant, err);
	if (ret == 0)
		ret = mlimg_reclaim(store, ret_tenant, state, why, err);
	return ret < 0 ? ret : mlimg_checkpoint_settle(ret_of, err);
}

static int with_lock(const struct given *g, const char *what, work_fn *work, struct mlimg_err *err)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	mlimg_autotenant struct mlimg_tenant tenant = {.run_s = 0};
	mlimg_autoclose int lock = -1;
	struct mlimg_checkpoints of;
	int ret = mlimg_store_open_given(g->store, MLIMG_STORE_USE, &store, err);

	if (ret == 0)
		ret = mlimg_checkpoints_lock(store, g->name, what, &tenant, &lock, &of, err);
	return ret < 0 ? ret : work(&of, g, err);
}

static int take_option(struct given *g, int option)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	switch (option) {
	case MLIMG_TENANT_OPT_STORE: g->store = optarg; break;
	case OPT_DISK_ONLY: g->is_disk = true; break;
	case OPT_DISCARD: g->discard = true; break;
	default:
		if (mlimg_cli_number(optarg, 1, 65536, &g->keep, &err) < 0)
			return mlimg_cli_usage(MLIMG_VM_PROG, "--keep: %s", err.text);
	}
	return 0;
}

/* A command line: NAME, and from @min to @max tags. @return -1 to go on, else the exit code */
static int parse(int argc, char **argv, const char *help, const struct option *options, int min,
	int max, struct given *g)
{
	int opt, code = 0;

	while ((opt = mlimg_cli_getopt(MLIMG_VM_PROG, argc, argv, "h", options)) != -1) {
		if (opt == 'h')
			return mlimg_cli_help(MLIMG_VM_PROG, help);
		code = opt == '?' ? MLIMG_EXIT_USAGE : take_option(g, opt);
		if (code)
			return code;
	}
	g->n_tags = argc - optind - 1;
	if (g->n_tags < 0)
		return mlimg_cli_usage(MLIMG_VM_PROG, "the name of a tenant is missing");
	if (g->n_tags < min)
		return mlimg_cli_usage(MLIMG_VM_PROG, "the tag of a checkpoint is missing");
	if (g->n_tags > max)
		return mlimg_cli_usage(
			MLIMG_VM_PROG, "unexpected argument '%s'", argv[optind + 1 + max]);
	g->name = argv[optind];
	g->tags = argv + optind + 1;
	return -1;
}

static int run(const struct given *g, const char *what, work_fn *work)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	/* A limit on the size of files is a full disk: an error, not the end. */
	signal(SIGXFSZ, SIG_IGN);
	if (with_lock(g, what, work, &err) < 0)
		return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	return mlimg_cli_close_stdout(MLIMG_VM_PROG);
}

static void say_deleted(const char *tag, void *ctx)
{
	const char *name = ctx;

	printf("%s: deleted checkpoint '%s'\n", name, tag);
}

static int take(const struct mlimg_checkpoints *of, const struct given *g, struct mlimg_err *err)
{
	char size[MLIMG_CLI_SIZE_TEXT];
	struct mlimg_checkpoint c;
	int ret = mlimg_checkpoint_take(of, g->n_tags ? g->tags[0] : NULL, g->is_disk, &c, err);

	if (ret < 0)
		return ret;
	if (c.kind == MLIMG_CHECKPOINT_MEMORY)
		printf("%s: checkpoint '%s': disk, and memory of %s\n", g->name, c.tag,
			mlimg_cli_format_size(c.saved_bytes, size));
	else
		printf("%s: checkpoint '%s': disk\n", g->name, c.tag);
	fflush(stdout);
	return g->keep ? mlimg_checkpoint_prune(of, c.kind, MLIMG_CHECKPOINT_TIMED, g->keep,
				 say_deleted, (void *)g->name, err)
		       : 0;
}

int mlimg_vm_cmd_checkpoint(int argc, char **argv)
{
	struct given g = {.store = NULL};
	int code = parse(argc, argv, checkpoint_help, checkpoint_options, 0, 1, &g);

	if (code >= 0)
		return code;
	if (g.keep && g.n_tags)
		return mlimg_cli_usage(
			MLIMG_VM_PROG, "--keep is for checkpoints without a tag of their own");
	return run(&g, "checkpoint", take);
}

static int restore(const struct mlimg_checkpoints *of, const struct given *g, struct mlimg_err *err)
{
	const struct mlimg_checkpoint_restore how = {
		.tag = g->tags[0], .is_disk = g->is_disk, .discard = g->discard};
	struct mlimg_checkpoint_restored done;
	int ret = mlimg_checkpoint_go_back(of, &how, &done, err);

	if (ret < 0)
		return ret;
	printf("%s: restored %s of '%s'", g->name,
		done.kind == MLIMG_CHECKPOINT_MEMORY ? "memory and disk" : "the disk", how.tag);
	if (done.before[0])
		printf("; what was before is '%s'", done.before);
	putchar('\n');
	if (done.clock[0])
		mlimg_cli_warn(
			MLIMG_VM_PROG, "%s: its clock could not be set: %s", g->name, done.clock);
	return 0;
}

int mlimg_vm_cmd_restore(int argc, char **argv)
{
	struct given g = {.store = NULL};
	int code = parse(argc, argv, restore_help, restore_options, 1, 1, &g);

	return code >= 0 ? code : run(&g, "restore", restore);
}

static int delete_all(
	const struct mlimg_checkpoints *of, const struct given *g, struct mlimg_err *err)
{
	int ret = 0;

	for (int i = 0; ret == 0 && i < g->n_tags; i++) {
		ret = mlimg_checkpoint_delete(of, g->tags[i], err);
		if (ret == 0)
			say_deleted(g->tags[i], (void *)g->name);
	}
	return ret;
}

int mlimg_vm_cmd_delete(int argc, char **argv)
{
	struct given g = {.store = NULL};
	int code = parse(argc, argv, delete_help, delete_options, 1, 65536, &g);

	return code >= 0 ? code : run(&g, "delete", delete_all);
}
