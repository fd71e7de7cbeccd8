/* SPDX-License-Identifier: MIT */
/* `mlimg-vm move`: another host for a tenant that is off. */
#include <string.h>

#include "tools/backend.h"
#include "tools/cli.h"
#include "tools/reclaim.h"
#include "tools/store-host.h"
#include "tools/tenant-host.h"
#include "tools/tenant-options.h"

static const char help[] =
	"Usage: mlimg-vm move NAME [OPTION]...\n"
	"\n"
	"Have a tenant that is off run on another host from its next start on, without\n"
	"--host and --connect by QEMU on this machine. Its disk comes home, and goes to\n"
	"the other host when it starts there.\n"
	"\n"
	"  --host NAME             a host of 'mlimg-vm host add'\n"
	"  --connect URI           the libvirt host with this URI\n" MLIMG_TENANT_STORE_HELP;

enum { OPT_HOST = MLIMG_TENANT_OPT_OWN, OPT_CONNECT };

static const struct option options[] = {{"host", required_argument, NULL, OPT_HOST},
	{"connect", required_argument, NULL, OPT_CONNECT},
	{"store", required_argument, NULL, MLIMG_TENANT_OPT_STORE},
	{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

/* What is on the command line. */
struct given {
	const char *store, *name, *host, *uri;
};

/* libvirt sees snapshots that it has made itself, and QEMU there no base. */
static int check_disk(struct mlimg_tenant *t, const struct given *g, struct mlimg_err *err)
{
	struct mlimg_tenant_disk disk = {.n_snapshots = 0};
	int ret = mlimg_backend_has_disk_away(t) ? 0
						 : mlimg_tenant_disk_look(t->user_disk, &disk, err);

	if (ret < 0 || (!g->host && !g->uri))
		return ret;
	if (disk.has_base)
		return mlimg_err_set(err, 0,
			"the disk of tenant '%s' lies over a base, which stays on this machine: "
			"move a "
			"copy of it ('mlimg-vm clone %s NEW-NAME')",
			t->row.name, t->row.name);
	return 0;
}

static int count(const struct mlimg_checkpoint *checkpoint, void *ctx, struct mlimg_err *err)
{
	++*(unsigned *)ctx;
	return 0;
}

static int check_checkpoints(
	struct mlimg_store *store, const struct mlimg_tenant *t, struct mlimg_err *err)
{
	unsigned n = 0;
	int ret = mlimg_store_checkpoint_each(store, t->row.id, count, &n, err);

	if (ret == 0 && n)
		return mlimg_err_set(err, 0,
			"tenant '%s' has %u %s, which another host would not know: delete %s first "
			"('mlimg-vm delete %s TAG')",
			t->row.name, n, mlimg_cli_noun(n, "checkpoint", "checkpoints"),
			mlimg_cli_noun(n, "it", "them"), t->row.name);
	return ret;
}

/* In one transaction. */
static int note(struct mlimg_store *store, struct mlimg_tenant *t, const struct given *g,
	struct mlimg_err *err)
{
	struct mlimg_store_host host = {.name = ""};
	int ret = g->host || g->uri
		? mlimg_tenant_host_choose(store, t->row.id, g->host, g->uri, err)
		: mlimg_store_host_set(store, t->row.id, NULL, err);

	if (ret == 0)
		ret = mlimg_store_host_of_tenant(store, t->row.id, &host, err);
	if (ret < 0)
		return ret;
	memcpy(t->host, host.name, sizeof(t->host));
	return mlimg_store_event_add(store, MLIMG_STORE_TENANT, t->row.id, "moved",
		*t->host ? t->host : "this machine", err);
}

/* Home first: what is killed in between leaves a tenant that is where it was, with its disk here. */
static int move(struct mlimg_store *store, struct mlimg_tenant *t, const struct given *g,
	struct mlimg_err *err)
{
	const struct mlimg_backend *backend = mlimg_backend_of(t);
	/* Also where it came home with a move that was refused then: it is still that host's tenant. */
	bool was_away = mlimg_backend_has_disk_away(t) || *t->host;
	struct mlimg_store_host wanted;
	int ret = mlimg_backend_check_off(store, t, err);

	if (ret == 0 && g->host)
		ret = mlimg_store_host_find(store, g->host, &wanted, err);
	if (ret == 0)
		ret = check_disk(t, g, err);
	if (ret == 0)
		ret = check_checkpoints(store, t, err);
	if (ret == 0)
		ret = backend->forget(t, err);
	if (ret == 0 && was_away)
		ret = mlimg_reclaim_now(store, t, err);
	if (ret == 0)
		ret = mlimg_store_begin(store, err);
	if (ret < 0)
		return ret;
	ret = mlimg_store_end(store, note(store, t, g, err), err);
	if (ret == 0)
		printf("%s: starts on %s%s next\n", t->row.name,
			*t->host ? "host " : "this machine", t->host);
	return ret;
}

static int run(const struct given *g, struct mlimg_err *err)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	mlimg_autotenant struct mlimg_tenant t = {.run_s = 0};
	mlimg_autoclose int lock = -1;
	int ret = mlimg_store_open_given(g->store, MLIMG_STORE_USE, &store, err);

	if (ret == 0)
		ret = mlimg_tenant_take(store, g->name, "move", &t, &lock, err);
	return ret < 0 ? ret : move(store, &t, g, err);
}

int mlimg_vm_cmd_move(int argc, char **argv)
{
	static const char *const operands[] = {"the name of a tenant"};
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct given g = {.store = NULL};
	int opt, code;

	while ((opt = mlimg_cli_getopt(MLIMG_VM_PROG, argc, argv, "h", options)) != -1)
		switch (opt) {
		case 'h': return mlimg_cli_help(MLIMG_VM_PROG, help);
		case '?': return MLIMG_EXIT_USAGE;
		case OPT_HOST: g.host = optarg; break;
		case OPT_CONNECT: g.uri = optarg; break;
		default: g.store = optarg;
		}
	code = mlimg_tenant_operands(argc, argv, operands, 1);
	if (code)
		return code;
	if (g.host && g.uri)
		return mlimg_cli_usage(MLIMG_VM_PROG, "--host and --connect say the same");
	g.name = argv[optind];
	if (run(&g, &err) < 0)
		return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	return mlimg_cli_close_stdout(MLIMG_VM_PROG);
}
