/* SPDX-License-Identifier: MIT */
/*
 * `mlimg-agent stage`: tell the host how far the boot has come. A host that cannot be told is no
 * reason to stop a boot.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-agent/calls.h"
#include "guest-agent/port.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/printable.h"
#include "tools/cli.h"

/* The console's one line fits several times; the host need not be ready for more. */
#define DETAIL_MAX 1024
/*
 * The host's end takes a line at once or not at all; all stages of a boot together may lose this
 * seven times.
 */
#define STAGE_TIMEOUT_MS 300

static const char *const stages[] = {"initramfs", "disks", "layers", "user", "reconcile", "union",
	"switch-root", "failed", NULL};

static bool is_stage(const char *name)
{
	for (const char *const *s = stages; *s; s++)
		if (strcmp(*s, name) == 0)
			return true;
	return false;
}

/* The detail may name a disk's label. */
static char *make_line(const char *stage, const char *detail)
{
	char text[DETAIL_MAX + 1];
	json_t *event;
	char *json, *line = NULL;

	strncpy(text, detail, DETAIL_MAX);
	text[DETAIL_MAX] = '\0';
	mlimg_make_printable(text);
	event = json_pack(
		"{s:s,s:{s:s,s:s}}", "event", "boot-stage", "data", "stage", stage, "detail", text);
	json = event ? json_dumps(event, JSON_COMPACT) : NULL;
	if (json && asprintf(&line, "%s\n", json) < 0)
		line = NULL;
	free(json);
	json_decref(event);
	return line;
}

static void send_stage(const char *path, const char *line)
{
	mlimg_autoclose int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || mlimg_port_write(fd, line, strlen(line), STAGE_TIMEOUT_MS, 0) < 0)
		return;
}

int mlimg_call_stage(int argc, char **argv)
{
	static const struct option options[] = {{"port", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	char found[MLIMG_PORT_PATH_SIZE], *port = NULL;
	mlimg_autofree char *line = NULL;
	int opt;

	while ((opt = mlimg_cli_getopt(MLIMG_AGENT_PROG, argc, argv, "h", options)) != -1)
		switch (opt) {
		case 'p': port = optarg; break;
		case 'h': return mlimg_call_help();
		default: return MLIMG_EXIT_USAGE;
		}
	if (optind >= argc)
		return mlimg_cli_usage(MLIMG_AGENT_PROG, "stage: which stage?");
	if (argc - optind > 2)
		return mlimg_cli_usage(MLIMG_AGENT_PROG, "stage: more than a stage and a detail");
	if (!is_stage(argv[optind]))
		return mlimg_cli_usage(MLIMG_AGENT_PROG, "stage: no stage '%s'", argv[optind]);
	if (!port && mlimg_port_find(MLIMG_PORT_SYSFS, found, NULL) == 0)
		port = found;
	line = make_line(argv[optind], argc - optind == 2 ? argv[optind + 1] : "");
	signal(SIGPIPE, SIG_IGN);
	if (port && line)
		send_stage(port, line);
	return MLIMG_EXIT_DONE;
}
