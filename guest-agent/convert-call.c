/* SPDX-License-Identifier: MIT */
/* `mlimg-agent convert`: the command line. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/calls.h"
#include "guest-agent/convert.h"
#include "guest-agent/reconcile.h"
#include "libmlimg/cleanup.h"
#include "tools/cli.h"

static int open_user(const char *dir, struct mlimg_mounted *user, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r;

	user->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (user->fd < 0)
		return mlimg_err_set(err, errno, "open");
	snprintf(user->where, sizeof(user->where), ".");
	r = mlimg_mounted_read(user, "mlimg/layer.json", MLIMG_LAYER_JSON_MAX, &text, &size, err);
	if (r == 0)
		r = mlimg_layer_from_json(text, size, &user->info, err);
	if (r == 0 && user->info.kind != MLIMG_USER)
		r = mlimg_err_refuse(err, "it is the %s layer '%s', not a user layer",
			mlimg_kind_name(user->info.kind), user->info.name);
	return r;
}

/* What a boot would have in boot.json and on the console. */
static void tell(const struct mlimg_boot *boot, const char *dir)
{
	for (size_t i = 0; i < boot->n_notes; i++)
		printf("%s: %s\n", dir, boot->notes[i]);
	mlimg_reconcile_print(boot, dir);
}

static int run(const char *dir, const char *to)
{
	mlimg_autofree struct mlimg_boot *boot = calloc(1, sizeof(*boot));
	struct mlimg_mounted user = {.fd = -1};
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint64_t n;
	int r = boot ? open_user(dir, &user, &err) : mlimg_err_set(&err, ENOMEM, "convert");

	if (r == 0)
		r = mlimg_convert(&user, to, NULL, NULL, boot, &n, &err);
	mlimg_mounted_close(&user);
	if (boot)
		tell(boot, dir);
	if (r < 0) {
		(void)!mlimg_err_wrap(&err, r, "%s", dir);
		return mlimg_cli_fail(MLIMG_AGENT_PROG, &err);
	}
	printf("%s: the user layer is in the form of '%s'; marks converted: %" PRIu64 "\n", dir, to,
		n);
	return mlimg_cli_close_stdout(MLIMG_AGENT_PROG);
}

int mlimg_call_convert(int argc, char **argv)
{
	static const struct option options[] = {{"to", required_argument, NULL, 't'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	const char *to = NULL;
	int opt;

	while ((opt = mlimg_cli_getopt(MLIMG_AGENT_PROG, argc, argv, "h", options)) != -1)
		switch (opt) {
		case 't': to = optarg; break;
		case 'h': return mlimg_call_help();
		default: return MLIMG_EXIT_USAGE;
		}
	if (!to)
		return mlimg_cli_usage(MLIMG_AGENT_PROG, "convert: --to is missing");
	if (strcmp(to, MLIMG_UNION_INDEX) != 0 && strcmp(to, MLIMG_UNION_OVERLAY) != 0 &&
		strcmp(to, MLIMG_UNION_UNIONFS) != 0)
		return mlimg_cli_usage(MLIMG_AGENT_PROG,
			"convert: no union driver '%s' (there are: index, overlay, unionfs)", to);
	if (argc - optind != 1)
		return mlimg_cli_usage(MLIMG_AGENT_PROG,
			"convert: the directory of one mounted user layer is wanted");
	return run(argv[optind], to);
}
