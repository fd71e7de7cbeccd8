/* SPDX-License-Identifier: MIT */
/* `mlimg-vm status` and `mlimg-vm stop`: asking a guest that another process runs. */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "libmlimg/boot.h"
#include "libmlimg/cleanup.h"
#include "tools/cli.h"
#include "tools/vm-agent.h"
#include "tools/vm-commands.h"
#include "tools/vm-loop.h"
#include "tools/vm-runtime.h"
#include "tools/vm-watch.h"

#define QMP_MS 10000  /* QEMU itself answers at once, unless its machine is very busy */
#define PRESS_MS 5000 /* pause before the power button is pressed again */
#define QUIT_MS 10000 /* how long QEMU may take to end */

static const char status_help[] =
	"Usage: mlimg-vm status [OPTION]... NAME\n"
	"\n"
	"Ask a running guest's agent how it is.\n"
	"\n"
	"  --json             print the agent's answer (guest-status) as it is\n"
	"  --timeout SECONDS  how long to wait for the answer (default: 10)\n"
	"  --runtime-dir DIR  where guests' runtime directories are (default:\n"
	"                     /run/mlimg-vm for root, else $XDG_RUNTIME_DIR/mlimg-vm)\n"
	"  --help             show this\n";

static const char stop_help[] =
	"Usage: mlimg-vm stop [OPTION]... NAME\n"
	"\n"
	"Ask a running guest to power off; end it when it does not.\n"
	"\n"
	"  --timeout SECONDS  how long it may take to power off (default: 90)\n"
	"  --runtime-dir DIR  where guests' runtime directories are (default:\n"
	"                     /run/mlimg-vm for root, else $XDG_RUNTIME_DIR/mlimg-vm)\n"
	"  --help             show this\n";

struct ask {
	const char *name, *runtime_dir;
	char *dir;
	uint64_t timeout_ms;
	bool json;
};

static const struct option ask_options[] = {{"timeout", required_argument, NULL, 't'},
	{"runtime-dir", required_argument, NULL, 'r'}, {"help", no_argument, NULL, 'h'},
	{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};

/* -1 to go on, else the exit code. */
static int parse(
	int argc, char **argv, const char *help, const struct option *options, struct ask *ask)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint64_t seconds;
	int opt;

	while ((opt = mlimg_cli_getopt(MLIMG_VM_PROG, argc, argv, "h", options)) != -1) {
		switch (opt) {
		case 'h': return mlimg_cli_help(MLIMG_VM_PROG, help);
		case 't':
			if (mlimg_cli_number(optarg, 1, 86400, &seconds, &err) < 0)
				return mlimg_cli_usage(MLIMG_VM_PROG, "--timeout: %s", err.text);
			ask->timeout_ms = 1000 * seconds;
			break;
		case 'r': ask->runtime_dir = optarg; break;
		case 'j': ask->json = true; break;
		default: return MLIMG_EXIT_USAGE;
		}
	}
	if (optind + 1 != argc)
		return mlimg_cli_usage(MLIMG_VM_PROG,
			optind == argc ? "the name of a guest is missing"
				       : "unexpected argument '%s'",
			optind == argc ? "" : argv[optind + 1]);
	ask->name = argv[optind];
	return -1;
}

/* The guest's runtime directory, when somebody runs the guest. */
static int find_guest(struct ask *ask, struct mlimg_err *err)
{
	int ret = mlimg_runtime_dir(ask->runtime_dir, ask->name, &ask->dir, err);
	pid_t pid = ret < 0 ? 0 : mlimg_runtime_owner(ask->dir);

	if (ret < 0)
		return ret;
	if (pid < 0)
		return mlimg_err_set(err, pid, "runtime directory '%s'", ask->dir);
	if (pid == 0)
		return mlimg_err_set(err, 0, "no guest '%s' is running", ask->name);
	return 0;
}

static int connect_to(
	const struct ask *ask, const char *file, struct mlimg_chan *chan, struct mlimg_err *err)
{
	mlimg_autofree char *path = mlimg_runtime_file(ask->dir, file);
	int ret = path ? mlimg_unix_connect(path, &chan->fd, err)
		       : mlimg_err_set(err, ENOMEM, "socket");

	return ret < 0 ? mlimg_err_wrap(err, ret, "guest '%s'", ask->name) : 0;
}

static int ask_agent(const struct ask *ask, json_t **ret_status, struct mlimg_err *err)
{
	struct mlimg_chan chan = MLIMG_CHAN_INIT;
	uint64_t deadline = mlimg_now_ms() + ask->timeout_ms;
	int ret = connect_to(ask, "agent.sock", &chan, err);

	if (ret == 0) {
		ret = mlimg_agent_sync(&chan, deadline, err);
		if (ret == 0)
			ret = mlimg_chan_call(&chan, "guest-status", deadline, ret_status, err);
		if (ret == -ETIMEDOUT)
			ret = mlimg_err_set(err, 0,
				"the agent of guest '%s' does not answer within %llu s (is it "
				"still booting?)",
				ask->name, (unsigned long long)ask->timeout_ms / 1000);
		else if (ret < 0)
			ret = mlimg_err_wrap(err, ret, "agent of guest '%s'", ask->name);
	}
	mlimg_chan_close(&chan);
	return ret;
}

/* One line of the stack; ids are shown as short as serials and kernel parameters have them. */
static void print_layer(const char *kind, const json_t *layer)
{
	const char *version = mlimg_json_text(layer, "version", "");
	char id[MLIMG_SHORT_ID + 1];

	mlimg_cli_put_safe(stdout, kind);
	printf("%*s", strlen(kind) < 10 ? (int)(10 - strlen(kind)) : 1, "");
	mlimg_cli_put_safe(stdout, mlimg_json_text(layer, "name", "?"));
	if (*version)
		putchar(' ');
	mlimg_cli_put_safe(stdout, version);
	snprintf(id, sizeof(id), "%s", mlimg_json_text(layer, "build_id", "?"));
	printf("  ");
	mlimg_cli_put_safe(stdout, id);
	putchar('\n');
}

static void print_boot(const json_t *boot)
{
	const char *mode = mlimg_json_text(boot, "mode", "normal");
	const json_t *layer, *counts = json_object_get(json_object_get(boot, "report"), "counts");
	const json_t *count;
	const char *verdict;
	size_t i;

	json_array_foreach(json_object_get(boot, "stack"), i, layer)
		print_layer(mlimg_json_text(layer, "kind", "?"), layer);
	if (json_is_object(json_object_get(boot, "user")))
		print_layer("user", json_object_get(boot, "user"));
	printf("union     ");
	mlimg_cli_put_safe(stdout, mlimg_json_text(boot, "union", "?"));
	printf("%s\nboot      generation %lld, change: ",
		strcmp(mlimg_json_text(boot, "disks", ""), "joined") == 0 ? ", joined disks" : "",
		(long long)json_integer_value(json_object_get(boot, "generation")));
	mlimg_cli_put_safe(stdout, mlimg_json_text(boot, "change", "?"));
	/* Where changes are kept, which is what one expects, nothing is said. */
	if (strcmp(mode, mlimg_boot_mode_name(MLIMG_BOOT_NORMAL)) != 0) {
		printf(", mode: ");
		mlimg_cli_put_safe(stdout, mode);
	}
	json_object_foreach((json_t *)counts, verdict, count)
	{
		printf(", ");
		mlimg_cli_put_safe(stdout, verdict);
		printf(" %lld", (long long)json_integer_value(count));
	}
	putchar('\n');
}

static void print_status(const char *name, const json_t *status)
{
	const json_t *boot = json_object_get(status, "boot");
	char units[2048];

	mlimg_status_failed_units(status, units, sizeof(units));
	printf("guest     %s\nstate     ", name);
	mlimg_cli_put_safe(stdout, mlimg_json_text(status, "system_state", "unknown"));
	printf(", default target %sreached, up %lld s\n",
		json_is_true(json_object_get(status, "default_target_reached")) ? "" : "not ",
		(long long)json_integer_value(json_object_get(status, "uptime_ms")) / 1000);
	if (json_is_object(boot))
		print_boot(boot);
	if (*units) {
		printf("failed    ");
		mlimg_cli_put_safe(stdout, units);
		putchar('\n');
	}
}

int mlimg_vm_cmd_status(int argc, char **argv)
{
	struct ask ask = {.timeout_ms = 10000};
	struct mlimg_err err = MLIMG_ERR_INIT;
	json_t *status = NULL;
	int code = parse(argc, argv, status_help, ask_options, &ask);

	if (code >= 0)
		return code;
	if (find_guest(&ask, &err) < 0 || ask_agent(&ask, &status, &err) < 0) {
		code = mlimg_cli_fail(MLIMG_VM_PROG, &err);
	} else {
		if (!ask.json)
			print_status(ask.name, status);
		else if (json_dumpf(status, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII) == 0)
			putchar('\n');
		code = mlimg_cli_close_stdout(MLIMG_VM_PROG);
	}
	json_decref(status);
	free(ask.dir);
	return code;
}

/* QEMU's end closes the monitor's socket. */
static bool has_ended_within(struct mlimg_chan *chan, uint64_t limit_ms)
{
	uint64_t deadline = mlimg_now_ms() + limit_ms;
	json_t *event;
	int ret;

	do {
		event = NULL;
		ret = mlimg_chan_wait(chan, deadline, &event);
		json_decref(event);
	} while (ret == 0);
	return ret == -EPIPE;
}

/* The button is pressed again and again: a guest that was not listening yet missed it. */
static int press_until_off(
	const struct ask *ask, struct mlimg_chan *chan, bool *ret_off, struct mlimg_err *err)
{
	uint64_t deadline = mlimg_now_ms() + ask->timeout_ms, now;
	int ret;

	*ret_off = false;
	while (!*ret_off && (now = mlimg_now_ms()) < deadline) {
		ret = mlimg_chan_call(chan, "system_powerdown", now + QMP_MS, NULL, err);
		if (ret < 0 && ret != -EPIPE)
			return ret;
		*ret_off = has_ended_within(
			chan, deadline - now < PRESS_MS ? deadline - now : PRESS_MS);
	}
	return 0;
}

static int power_off(const struct ask *ask, struct mlimg_chan *chan, struct mlimg_err *err)
{
	bool is_off = false;
	int ret = mlimg_qmp_greet(chan, mlimg_now_ms() + QMP_MS, err);

	if (ret == 0)
		ret = press_until_off(ask, chan, &is_off, err);
	if (ret < 0)
		return mlimg_err_wrap(err, ret, "guest '%s'", ask->name);
	if (is_off) {
		printf("%s: powered off\n", ask->name);
		return 0;
	}
	if (mlimg_chan_request(chan, "quit", NULL, NULL) < 0 || !has_ended_within(chan, QUIT_MS))
		return mlimg_err_set(
			err, 0, "guest '%s' did not power off, and QEMU does not end", ask->name);
	return mlimg_err_set(err, 0, "guest '%s' did not power off within %llu s, ended", ask->name,
		(unsigned long long)ask->timeout_ms / 1000);
}

int mlimg_vm_cmd_stop(int argc, char **argv)
{
	struct ask ask = {.timeout_ms = MLIMG_POWERDOWN_MS};
	struct mlimg_chan chan = MLIMG_CHAN_INIT;
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct option options[4];
	int code;

	/* All but --json. */
	memcpy(options, ask_options, sizeof(options));
	options[3] = (struct option){NULL, 0, NULL, 0};
	code = parse(argc, argv, stop_help, options, &ask);
	if (code >= 0)
		return code;
	if (find_guest(&ask, &err) < 0 || connect_to(&ask, "monitor.sock", &chan, &err) < 0 ||
		power_off(&ask, &chan, &err) < 0)
		code = mlimg_cli_fail(MLIMG_VM_PROG, &err);
	else
		code = mlimg_cli_close_stdout(MLIMG_VM_PROG);
	mlimg_chan_close(&chan);
	free(ask.dir);
	return code;
}
