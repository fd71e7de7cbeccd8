/* SPDX-License-Identifier: MIT */
/* The table of commands and those that are too small for a file of their own. */
#include <stdint.h>
#include <string.h>

#include "guest-agent/freeze.h"
#include "guest-agent/health.h"
#include "guest-agent/last-report.h"
#include "guest-agent/power.h"
#include "guest-agent/protocol.h"
#include "guest-agent/status.h"
#include "guest-agent/view-fds.h"

static json_t *ping(struct mlimg_call *call)
{
	return json_object();
}

static json_t *sync_with(struct mlimg_call *call)
{
	return json_incref(json_object_get(call->arguments, "id"));
}

static json_t *list_may(const struct mlimg_command *command)
{
	static const char *const names[] = {"host", "root", "user"};
	json_t *list = json_array();

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (command->may & 1u << i)
			json_array_append_new(list, json_string(names[i]));
	return list;
}

static json_t *list_arguments(const struct mlimg_command *command)
{
	json_t *list = json_array();

	for (size_t i = 0; i < MLIMG_ARGUMENTS_MAX && command->arguments[i].name; i++) {
		const struct mlimg_argument *a = &command->arguments[i];

		json_array_append_new(list,
			json_pack("{s:s,s:s,s:b}", "name", a->name, "type",
				a->words ? a->words : "integer", "optional", !a->is_needed));
	}
	return list;
}

static json_t *info(struct mlimg_call *call)
{
	json_t *commands = json_array();

	for (const struct mlimg_command *c = mlimg_commands; c->name; c++)
		json_array_append_new(commands,
			json_pack("{s:s,s:b,s:b,s:o,s:o}", "name", c->name, "enabled",
				(c->may & call->who) != 0, "success-response", 1, "may",
				list_may(c), "arguments", list_arguments(c)));
	return json_pack("{s:s,s:o}", "version", MLIMG_VERSION, "supported_commands", commands);
}

#define HOST MLIMG_WHO_HOST
#define ROOT MLIMG_WHO_ROOT
#define USER MLIMG_WHO_USER
#define ANY_ID                                                                      \
	{                                                                           \
		.name = "id", .min = INT64_MIN, .max = INT64_MAX, .is_needed = true \
	}

const struct mlimg_command mlimg_commands[] = {
	{"guest-fsfreeze-freeze", mlimg_freeze_command, HOST | ROOT, 0,
		{{.name = "timeout-ms", .min = 1, .max = MLIMG_FREEZE_MAX_MS}}},
	{"guest-fsfreeze-status", mlimg_freeze_status_command, HOST | ROOT | USER, 0, {}},
	{"guest-fsfreeze-thaw", mlimg_freeze_thaw_command, HOST | ROOT, 0, {}},
	{"guest-info", info, HOST | ROOT | USER, 0, {}},
	{"guest-ping", ping, HOST | ROOT | USER, 0, {}},
	{"guest-set-time", mlimg_set_time_command, HOST, 0,
		{{.name = "time", .min = 0, .max = INT64_MAX}}},
	{"guest-shutdown", mlimg_shutdown_command, HOST, 0,
		{{.name = "mode", .words = "powerdown reboot halt"}}},
	{"guest-status", mlimg_status_command, HOST | ROOT | USER, MLIMG_COMMAND_SLOW, {}},
	{"guest-sync", sync_with, HOST | ROOT | USER, 0, {ANY_ID}},
	{"guest-sync-delimited", sync_with, HOST | ROOT | USER, MLIMG_COMMAND_DELIMITED, {ANY_ID}},
	{"mlimg-health", mlimg_health_command, HOST | ROOT, MLIMG_COMMAND_SLOW, {}},
	{"mlimg-report", mlimg_last_report_command, HOST | ROOT, MLIMG_COMMAND_SLOW,
		{{.name = "generation", .min = 1, .max = MLIMG_BOOT_GENERATION_MAX},
			{.name = "entries", .min = 0, .max = MLIMG_LAST_REPORT_ENTRIES_MAX},
			{.name = "queue", .min = 1, .max = MLIMG_BOOT_GENERATION_MAX}}},
	{"mlimg-view", mlimg_view_fds_command, ROOT | USER, 0, {}},
	{.name = NULL},
};
