/* SPDX-License-Identifier: MIT */
/*
 * The guest's side: once from the initramfs, then as a daemon. Which call is made and the daemon's
 * own options.
 */
#include <stdlib.h>
#include <string.h>

#include "guest-agent/calls.h"
#include "guest-agent/daemon.h"
#include "guest-agent/health.h"
#include "tools/cli.h"

int mlimg_call_daemon(int argc, char **argv)
{
	static const struct option options[] = {{"port", required_argument, NULL, 'p'},
		{"socket", required_argument, NULL, 's'}, {"run", required_argument, NULL, 'r'},
		{"health", required_argument, NULL, 'H'}, {"init", required_argument, NULL, 'i'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	struct mlimg_agent agent = {.run_dir = MLIMG_RUN_DIR,
		.health_dir = MLIMG_HEALTH_DIR,
		.init_pid = -1,
		.freeze_fd = -1};
	struct mlimg_daemon_options daemon = {.port = NULL};
	struct mlimg_err err = MLIMG_ERR_INIT;
	int opt;

	while ((opt = mlimg_cli_getopt(MLIMG_AGENT_PROG, argc, argv, "h", options)) != -1)
		switch (opt) {
		case 'p': daemon.port = optarg; break;
		case 's': daemon.socket = optarg; break;
		case 'r': agent.run_dir = optarg; break;
		case 'H': agent.health_dir = optarg; break;
		case 'i': agent.init_pid = (pid_t)strtol(optarg, NULL, 10); break;
		case 'h': return mlimg_call_help();
		default: return MLIMG_EXIT_USAGE;
		}
	if (optind < argc)
		return mlimg_cli_usage(
			MLIMG_AGENT_PROG, "daemon: unexpected argument '%s'", argv[optind]);
	if (agent.init_pid == 0)
		return mlimg_cli_usage(MLIMG_AGENT_PROG, "daemon: --init takes a process id");
	/* A daemon that looks at another directory than a guest's is not to end this system. */
	if (agent.init_pid < 0)
		agent.init_pid = strcmp(agent.run_dir, MLIMG_RUN_DIR) == 0;
	if (daemon.port && strncmp(daemon.port, "unix:", 5) == 0)
		daemon.host = daemon.port + 5;
	return mlimg_daemon_run(&daemon, &agent, &err) < 0 ? mlimg_cli_fail(MLIMG_AGENT_PROG, &err)
							   : MLIMG_EXIT_DONE;
}

static const struct {
	const char *name;
	mlimg_call_fn *fn;
} calls[] = {
	{"check-index", mlimg_call_check_index},
	{"commit", mlimg_call_commit},
	{"convert", mlimg_call_convert},
	{"daemon", mlimg_call_daemon},
	{"format", mlimg_call_format},
	{"health", mlimg_call_health},
	{"identify", mlimg_call_identify},
	{"prepare", mlimg_call_prepare},
	{"rebuild", mlimg_call_rebuild},
	{"rollback", mlimg_call_rollback},
	{"stage", mlimg_call_stage},
	{"unionfs", mlimg_call_unionfs},
	{"verity", mlimg_call_verity},
};

int main(int argc, char **argv)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};
	int opt;

	/* '+': what follows the call's name is the call's. */
	while ((opt = mlimg_cli_getopt(MLIMG_AGENT_PROG, argc, argv, "+hV", options)) != -1)
		switch (opt) {
		case 'h': return mlimg_call_help();
		case 'V': return mlimg_cli_version(MLIMG_AGENT_PROG);
		default: return MLIMG_EXIT_USAGE;
		}
	if (optind == argc)
		return mlimg_cli_usage(MLIMG_AGENT_PROG, "what is to be done?");
	argc -= optind;
	argv += optind;
	optind = 0; /* glibc: begin anew, as for another argument vector */
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (strcmp(calls[i].name, argv[0]) == 0)
			return calls[i].fn(argc, argv);
	return mlimg_cli_usage(MLIMG_AGENT_PROG, "no call '%s'", argv[0]);
}
