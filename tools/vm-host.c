/* SPDX-License-Identifier: MIT */
/* `mlimg-vm host`: hosts of tenants that libvirt looks after. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/libvirt-conn.h"
#include "tools/libvirt-pool.h"
#include "tools/store-host.h"
#include "tools/tenant-options.h"
#include "tools/vm-commands.h"

static const char help[] =
	"Usage: mlimg-vm host add NAME URI [OPTION]...\n"
	"       mlimg-vm host list [--json]\n"
	"       mlimg-vm host check NAME\n"
	"       mlimg-vm host gc NAME [--dry-run]\n"
	"       mlimg-vm host remove NAME\n"
	"\n"
	"Hosts that libvirt looks after, for 'mlimg-vm create --host NAME'.\n"
	"\n"
	"  add     keep a host by its libvirt URI; it is not asked yet\n"
	"  list    all hosts, and how many tenants each runs\n"
	"  check   read back what was put on a host, and compare it; what is damaged is\n"
	"          put there again by the next start that needs it\n"
	"  gc      remove what was put on a host and no tenant there uses any more\n"
	"  remove  forget a host that runs no tenant; what was put there stays\n"
	"\n"
	"  mlimg-vm host add east qemu+ssh://root@east.example.org/system\n"
	"\n"
	"  --pool-path DIR         add: where layers and disks are kept on the host\n"
	"                          (default: " MLIMG_LIBVIRT_POOL_PATH ")\n"
	"  --network NAME          add: libvirt's network for the tenants' cards\n"
	"                          (default: QEMU's NAT)\n"
	"  --dry-run               gc: only say what would be removed\n"
	"  --json                  list: print JSON (default: text)\n" MLIMG_TENANT_STORE_HELP;

enum { OPT_POOL_PATH = MLIMG_TENANT_OPT_OWN, OPT_NETWORK, OPT_DRY_RUN, OPT_JSON };

static const struct option options[] = {{"pool-path", required_argument, NULL, OPT_POOL_PATH},
	{"network", required_argument, NULL, OPT_NETWORK}, {"json", no_argument, NULL, OPT_JSON},
	{"dry-run", no_argument, NULL, OPT_DRY_RUN},
	{"store", required_argument, NULL, MLIMG_TENANT_OPT_STORE},
	{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

/* What is on the command line. */
struct given {
	const char *store, *pool_path, *network;
	bool json, is_dry;
	char **operands;
};

static int copy(
	const char *option, const char *text, char *field, size_t size, struct mlimg_err *err)
{
	if (strlen(text) >= size)
		return mlimg_err_usage(err, "%s: '%.100s' is too long", option, text);
	strcpy(field, text);
	return 0;
}

static int add(struct mlimg_store *store, const struct given *g, struct mlimg_err *err)
{
	struct mlimg_store_host host = {.added_s = 0};
	int ret = mlimg_libvirt_check_uri(g->operands[1], err);

	if (ret == 0 && g->pool_path && g->pool_path[0] != '/')
		return mlimg_err_usage(
			err, "--pool-path: '%.100s' does not begin with '/'", g->pool_path);
	if (ret == 0)
		ret = copy("host", g->operands[0], host.name, sizeof(host.name), err);
	if (ret == 0)
		ret = copy("host", g->operands[1], host.uri, sizeof(host.uri), err);
	if (ret == 0 && g->pool_path)
		ret = copy(
			"--pool-path", g->pool_path, host.pool_path, sizeof(host.pool_path), err);
	if (ret == 0 && g->network)
		ret = copy("--network", g->network, host.network, sizeof(host.network), err);
	if (ret == 0)
		ret = mlimg_store_host_add(store, &host, err);
	if (ret == 0)
		printf("added host %s: %s\n", host.name, host.uri);
	return ret;
}

static int list_one(const struct mlimg_store_host *host, void *ctx, struct mlimg_err *err)
{
	json_t *list = ctx;

	if (list &&
		json_array_append_new(list,
			json_pack("{s:s, s:s, s:s*, s:s*, s:i}", "name", host->name, "uri",
				host->uri, "pool_path", *host->pool_path ? host->pool_path : NULL,
				"network", *host->network ? host->network : NULL, "tenants",
				(int)host->n_tenants)) < 0)
		return mlimg_err_set(err, ENOMEM, "list hosts");
	if (!list) {
		printf("%-16s  %7u  ", host->name, host->n_tenants);
		mlimg_cli_put_safe(stdout, host->uri);
		putchar('\n');
	}
	return 0;
}

static int list(struct mlimg_store *store, const struct given *g, struct mlimg_err *err)
{
	json_t *all = g->json ? json_array() : NULL;
	int ret;

	if (!g->json)
		printf("%-16s  %7s  %s\n", "NAME", "TENANTS", "URI");
	ret = mlimg_store_host_each(store, list_one, all, err);
	if (ret == 0 && g->json) {
		mlimg_autofree char *text = json_dumps(all, JSON_INDENT(2));

		printf("%s\n", text ? text : "");
	}
	json_decref(all);
	return ret;
}

static int remove_host(struct mlimg_store *store, const struct given *g, struct mlimg_err *err)
{
	int ret = mlimg_store_host_remove(store, g->operands[0], err);

	if (ret == 0)
		printf("removed host %s\n", g->operands[0]);
	return ret;
}

struct check {
	struct mlimg_libvirt_pool pool;
	struct mlimg_store_volume *bad;
	unsigned n, n_bad;
};

static int add_bad(struct check *c, const struct mlimg_store_volume *volume, struct mlimg_err *err)
{
	struct mlimg_store_volume *more = reallocarray(c->bad, c->n_bad + 1, sizeof(*more));

	if (!more)
		return mlimg_err_set(err, ENOMEM, "check volumes");
	c->bad = more;
	c->bad[c->n_bad++] = *volume;
	return 0;
}

/* No start takes it as it is: none of a host's files shows this mark. */
static int distrust(struct mlimg_store *store, struct check *c, struct mlimg_err *err)
{
	int ret = 0;

	for (unsigned i = 0; ret == 0 && i < c->n_bad; i++) {
		strcpy(c->bad[i].mark, "damaged");
		ret = mlimg_store_volume_set(store, c->pool.host.name, &c->bad[i], err);
	}
	return ret;
}

/* A user disk is its guest's: nobody knows what must be in it. */
static int check_one(const struct mlimg_store_volume *volume, void *ctx, struct mlimg_err *err)
{
	struct mlimg_err why = MLIMG_ERR_INIT;
	struct check *c = ctx;
	bool is_ok;
	int ret;

	if (strstr(volume->name, ".qcow2"))
		return 0;
	ret = mlimg_libvirt_check(&c->pool, volume, &is_ok, &why);
	if (ret < 0) {
		*err = why;
		return ret;
	}
	c->n++;
	if (is_ok)
		return 0;
	mlimg_cli_warn(MLIMG_VM_PROG, "host '%s': %s", c->pool.host.name, why.text);
	return add_bad(c, volume, err);
}

/* @return 1: its pool is open; 0: it has none, and this has been said; -errno */
static int open_pool(struct mlimg_store *store, const struct given *g,
	struct mlimg_libvirt_pool *pool, virConnectPtr *ret_conn, struct mlimg_err *err)
{
	struct mlimg_store_host host;
	int ret = mlimg_store_host_find(store, g->operands[0], &host, err);

	if (ret == 0)
		ret = mlimg_libvirt_connect(host.uri, ret_conn, err);
	if (ret == 0 && mlimg_libvirt_is_local(host.uri)) {
		printf("%s: it uses the store itself\n", host.name);
		return 0;
	}
	if (ret == 0)
		ret = mlimg_libvirt_pool_open(store, *ret_conn, &host, pool, err);
	return ret < 0 ? ret : 1;
}

static int check(struct mlimg_store *store, const struct given *g, struct mlimg_err *err)
{
	struct check c = {.n = 0};
	virConnectPtr conn;
	int ret = open_pool(store, g, &c.pool, &conn, err);

	if (ret == 0)
		return 0;
	if (ret > 0)
		ret = mlimg_store_volume_each(store, c.pool.host.name, check_one, &c, err);
	if (ret == 0)
		ret = distrust(store, &c, err);
	mlimg_libvirt_pool_close(&c.pool);
	free(c.bad);
	if (ret == 0 && c.n_bad)
		return mlimg_err_refuse(err,
			"host '%s': %u of %u volumes are not as they were put there; the next "
			"start that "
			"needs them puts them there again",
			c.pool.host.name, c.n_bad, c.n);
	if (ret == 0)
		printf("%s: %u %s as put there\n", c.pool.host.name, c.n,
			mlimg_cli_noun(c.n, "volume", "volumes"));
	return ret;
}

struct collect {
	const char *name; /* of the host */
	bool is_dry, has_any;
};

static int say_removed(const struct mlimg_store_volume *volume, void *ctx, struct mlimg_err *err)
{
	char size[MLIMG_CLI_SIZE_TEXT];
	struct collect *c = ctx;

	c->has_any = true;
	printf("%s: %s %s, %s\n", c->name, c->is_dry ? "would remove" : "removed", volume->name,
		mlimg_cli_format_size(volume->size_bytes, size));
	return 0;
}

static int collect(struct mlimg_store *store, const struct given *g, struct mlimg_err *err)
{
	mlimg_autopool struct mlimg_libvirt_pool pool = {.pool = NULL};
	struct collect c = {.name = g->operands[0], .is_dry = g->is_dry};
	virConnectPtr conn;
	int ret = open_pool(store, g, &pool, &conn, err);

	if (ret <= 0)
		return ret;
	ret = mlimg_libvirt_pool_hold(&pool, true, err);
	if (ret == 0)
		ret = mlimg_libvirt_gc(&pool, conn, g->is_dry, say_removed, &c, err);
	if (ret == 0 && !c.has_any)
		printf("%s: nothing to remove\n", c.name);
	return ret;
}

static const struct command {
	const char *name;
	int n_operands;
	enum mlimg_store_access access;
	int (*fn)(struct mlimg_store *store, const struct given *g, struct mlimg_err *err);
} commands[] = {
	{"add", 2, MLIMG_STORE_MAKE, add},
	{"list", 0, MLIMG_STORE_USE, list},
	{"check", 1, MLIMG_STORE_USE, check},
	{"gc", 1, MLIMG_STORE_USE, collect},
	{"remove", 1, MLIMG_STORE_USE, remove_host},
};

static int run(const struct command *command, const struct given *g, struct mlimg_err *err)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	int ret = mlimg_store_open_given(g->store, command->access, &store, err);

	return ret < 0 ? ret : command->fn(store, g, err);
}

/* -1 to go on, else the exit code */
static int parse(int argc, char **argv, struct given *g)
{
	int opt;

	while ((opt = mlimg_cli_getopt(MLIMG_VM_PROG, argc, argv, "h", options)) != -1)
		switch (opt) {
		case 'h': return mlimg_cli_help(MLIMG_VM_PROG, help);
		case OPT_POOL_PATH: g->pool_path = optarg; break;
		case OPT_NETWORK: g->network = optarg; break;
		case OPT_DRY_RUN: g->is_dry = true; break;
		case OPT_JSON: g->json = true; break;
		case MLIMG_TENANT_OPT_STORE: g->store = optarg; break;
		default: return MLIMG_EXIT_USAGE;
		}
	return -1;
}

int mlimg_vm_cmd_host(int argc, char **argv)
{
	static const char *const operands[] = {"what to do (add, list, check, gc, remove)",
		"the name of a host", "the host's URI"};
	struct mlimg_err err = MLIMG_ERR_INIT;
	const struct command *command = NULL;
	struct given g = {.store = NULL};
	int code = parse(argc, argv, &g);

	if (code >= 0)
		return code;
	for (size_t i = 0; optind < argc && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, argv[optind]) == 0)
			command = &commands[i];
	if (optind < argc && !command)
		return mlimg_cli_usage(MLIMG_VM_PROG, "unknown command 'host %s'", argv[optind]);
	code = mlimg_tenant_operands(argc, argv, operands, command ? 1 + command->n_operands : 1);
	if (code)
		return code;
	g.operands = argv + optind + 1;
	if (run(command, &g, &err) < 0)
		return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	return mlimg_cli_close_stdout(MLIMG_VM_PROG);
}
