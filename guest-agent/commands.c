/* SPDX-License-Identifier: MIT */
/* The table of commands and those that are too small for a file of their own. */
#include "guest-agent/protocol.h"
#include "guest-agent/status.h"

static json_t *ping(
	const struct mlimg_agent *agent, json_t *arguments, struct mlimg_failure *failure)
{
	return json_object();
}

static json_t *sync_with(
	const struct mlimg_agent *agent, json_t *arguments, struct mlimg_failure *failure)
{
	return json_incref(json_object_get(arguments, "id"));
}

static json_t *info(
	const struct mlimg_agent *agent, json_t *arguments, struct mlimg_failure *failure)
{
	json_t *commands = json_array();

	for (const struct mlimg_command *c = mlimg_commands; c->name; c++)
		json_array_append_new(commands,
			json_pack("{s:s,s:b,s:b}", "name", c->name, "enabled", 1,
				"success-response", 1));
	return json_pack("{s:s,s:o}", "version", MLIMG_VERSION, "supported_commands", commands);
}

const struct mlimg_command mlimg_commands[] = {
	{.name = "guest-info", .fn = info},
	{.name = "guest-ping", .fn = ping},
	{.name = "guest-status", .fn = mlimg_status_command},
	{.name = "guest-sync", .fn = sync_with, .integer_argument = "id"},
	{.name = "guest-sync-delimited",
		.fn = sync_with,
		.integer_argument = "id",
		.is_delimited = true},
	{.name = NULL},
};
