/* SPDX-License-Identifier: MIT */
#include "tools/vm-life.h"

#include <signal.h>
#include <stdio.h>

#include "tools/cli.h"

#define TIMEOUT_S_MAX 86400 /* a day */

static int take(struct mlimg_vm_life *life, int opt, const char *text)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint64_t seconds;

	switch (opt) {
	case 's': life->wanted.store = text; break;
	case 'r': life->wanted.runtime_dir = text; break;
	case 't':
		if (mlimg_cli_number(text, 1, TIMEOUT_S_MAX, &seconds, &err) < 0)
			return mlimg_cli_usage(MLIMG_VM_PROG, "--timeout: %s", err.text);
		life->timeout_ms = 1000 * seconds;
		break;
	case 'j': life->is_json = true; break;
	case 'n': life->no_wait = true; break;
	case 'f': life->follows = true; break;
	case 'q': life->wants_qemu = true; break;
	case 'a': life->is_all = true; break;
	case 'A': life->is_autostart = true; break;
	default: return MLIMG_EXIT_USAGE;
	}
	return -1;
}

int mlimg_vm_life_parse(int argc, char **argv, const char *help, const char *shorts,
	const struct option *options, struct mlimg_vm_life *ret)
{
	bool is_many;
	int opt, code;

	while ((opt = mlimg_cli_getopt(MLIMG_VM_PROG, argc, argv, shorts, options)) != -1) {
		if (opt == 'h')
			return mlimg_cli_help(MLIMG_VM_PROG, help);
		code = take(ret, opt, optarg);
		if (code >= 0)
			return code;
	}
	is_many = ret->is_all || ret->is_autostart;
	if (is_many && (optind != argc || ret->wanted.runtime_dir))
		return mlimg_cli_usage(MLIMG_VM_PROG,
			ret->is_all ? "--all takes neither the name of a guest nor --runtime-dir"
				    : "--autostart takes no name of a guest");
	if (!is_many && optind + 1 != argc)
		return mlimg_cli_usage(MLIMG_VM_PROG,
			optind == argc ? "the name of a guest is missing"
				       : "unexpected argument '%s'",
			optind == argc ? "" : argv[optind + 1]);
	if (ret->wanted.store && !*ret->wanted.store)
		return mlimg_cli_usage(MLIMG_VM_PROG, "--store: no directory given");
	if (ret->wanted.store && ret->wanted.runtime_dir)
		return mlimg_cli_usage(
			MLIMG_VM_PROG, "--store and --runtime-dir exclude each other");
	ret->wanted.name = is_many ? NULL : argv[optind];
	/* A limit on the size of files is a full disk: an error, not the end. */
	signal(SIGXFSZ, SIG_IGN);
	return -1;
}

void mlimg_vm_life_say(const char *name, const char *text)
{
	printf("%s: ", name);
	mlimg_cli_put_safe(stdout, text);
	putchar('\n');
}
