/* SPDX-License-Identifier: MIT */
#include "guest-agent/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-agent/child.h"
#include "guest-agent/clock.h"
#include "guest-agent/health.h"
#include "libmlimg/boot.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/queue.h"

/* 100 names of at most 255 bytes, and what systemctl prints beside them. */
#define OUTPUT_SIZE 65536
#define BOOT_ID_MAX 64 /* random(4): 36 characters */

/* Three questions to systemd. When it does not answer one in time, the others are not asked. */
struct systemd {
	bool is_mute;
};

/*
 * The answer, or an empty string when there is none: not knowing is no failure, a guest on its way
 * up is slow at times.
 *
 * @return whether systemctl has ended, and with 0
 */
static bool ask(struct systemd *systemd, const char *const argv[], char *ret_out, size_t size)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	int status = -1;

	if (!systemd->is_mute)
		systemd->is_mute = mlimg_child_run(argv, MLIMG_SYSTEMCTL_TIMEOUT_MS, ret_out, size,
					   &status, &err) < 0;
	if (systemd->is_mute)
		ret_out[0] = '\0';
	return !systemd->is_mute && status == 0;
}

/* systemctl exits with a status of its own for every state but "running": only its word counts. */
static json_t *get_system_state(struct systemd *systemd)
{
	const char *const argv[] = {"systemctl", "is-system-running", NULL};
	char out[64];
	json_t *state;

	ask(systemd, argv, out, sizeof(out));
	out[strcspn(out, "\n")] = '\0';
	state = out[0] ? json_string(out) : NULL;
	return state ? state : json_string("unknown");
}

static bool is_default_target_active(struct systemd *systemd)
{
	const char *const argv[] = {"systemctl", "is-active", "default.target", NULL};
	char out[64];

	ask(systemd, argv, out, sizeof(out));
	return strcmp(out, "active\n") == 0;
}

/*
 * The first word of each line; the last one may be cut off and has no newline then. Without an
 * answer null: nobody may take it for "none".
 */
static json_t *get_failed_units(struct systemd *systemd)
{
	const char *const argv[] = {
		"systemctl", "list-units", "--state=failed", "--plain", "--no-legend", NULL};
	mlimg_autofree char *out = malloc(OUTPUT_SIZE);
	json_t *units = json_array();

	if (!out || !units || !ask(systemd, argv, out, OUTPUT_SIZE)) {
		json_decref(units);
		return json_null();
	}
	for (char *line = out, *end; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		line[strcspn(line, " ")] = '\0';
		if (line[0] && json_array_size(units) < MLIMG_FAILED_UNITS_MAX)
			json_array_append_new(units, json_string(line));
	}
	return units;
}

/* @return boot.json's object; null when there is none; NULL when it cannot be read */
static json_t *get_boot(const struct mlimg_agent *agent, struct mlimg_failure *failure)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autofree char *text = NULL, *path = NULL;
	json_error_t error;
	size_t size;
	json_t *boot;
	int r;

	if (asprintf(&path, "%s/mlimg/boot.json", agent->run_dir) < 0)
		return mlimg_fail(failure, MLIMG_CLASS_GENERIC, "out of memory");
	r = mlimg_read_file(AT_FDCWD, path, MLIMG_BOOT_JSON_MAX, &text, &size, &err);
	if (r == -ENOENT)
		return json_null();
	if (r < 0)
		return mlimg_fail(failure, MLIMG_CLASS_GENERIC, "%s", err.text);
	boot = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	if (boot && json_is_object(boot))
		return boot;
	json_decref(boot);
	return mlimg_fail(failure, MLIMG_CLASS_GENERIC, "%s: not a JSON object", path);
}

/* As sd_booted(3) tells it. */
bool mlimg_status_is_systemd(const struct mlimg_agent *agent)
{
	mlimg_autofree char *path = NULL;

	return asprintf(&path, "%s/systemd/system", agent->run_dir) >= 0 && access(path, F_OK) == 0;
}

/*
 * Under another init nobody can be asked; that it has come to starting the agent is the nearest
 * thing.
 */
json_t *mlimg_status_init(bool is_systemd)
{
	struct systemd systemd = {.is_mute = false};
	json_t *init;

	if (!is_systemd)
		return json_pack("{s:s,s:s,s:b,s:[]}", "init", "other", "system_state", "unknown",
			"default_target_reached", 1, "failed_units");
	init = json_object();
	json_object_set_new(init, "init", json_string("systemd"));
	json_object_set_new(init, "system_state", get_system_state(&systemd));
	json_object_set_new(
		init, "default_target_reached", json_boolean(is_default_target_active(&systemd)));
	json_object_set_new(init, "failed_units", get_failed_units(&systemd));
	return init;
}

/*
 * What waits for the next boot; null where the queue cannot be read or is damaged. Its paths may lie in
 * directories that a user cannot read: he hears how many they are.
 */
static void add_queue(const struct mlimg_call *call, json_t *status)
{
	mlimg_autofree char *root = NULL;
	mlimg_autoclose int root_fd = -1, own_fd = -1;
	struct mlimg_queue *queue = NULL;
	bool is_known = true;

	if (asprintf(&root, "%s/mlimg", call->agent->run_dir) >= 0)
		root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd >= 0)
		own_fd = mlimg_open_beneath_strict(root_fd, "user/mlimg", O_RDONLY | O_DIRECTORY);
	if (own_fd >= 0)
		is_known = mlimg_queue_read(own_fd, &queue, NULL) == 0;
	json_object_set_new(status, "pending_operations",
		is_known ? json_integer(queue ? (json_int_t)queue->n : 0) : json_null());
	if (call->who != MLIMG_WHO_USER)
		json_object_set_new(status, "pending",
			is_known ? mlimg_queue_to_json(queue, MLIMG_STATUS_PENDING_MAX)
				 : json_null());
	mlimg_queue_free(queue);
}

bool mlimg_status_has_failed_units(const json_t *init)
{
	const json_t *units = json_object_get(init, "failed_units");

	return !json_is_array(units) || json_array_size(units);
}

/* In a word; mlimg-health tells the rest. */
static const char *judge(const struct mlimg_agent *agent, const json_t *init)
{
	if (!json_is_true(json_object_get(init, "default_target_reached")))
		return "starting";
	return mlimg_status_has_failed_units(init) || mlimg_health_has_failed(agent) ? "bad"
										     : "good";
}

/* The kernel's word for this boot, another one after each; null where there is none. */
static json_t *get_boot_id(void)
{
	mlimg_autofree char *id = NULL;
	size_t size;

	if (mlimg_read_file(
		    AT_FDCWD, "/proc/sys/kernel/random/boot_id", BOOT_ID_MAX, &id, &size, NULL) < 0)
		return json_null();
	return json_stringn(id, strcspn(id, "\n"));
}

json_t *mlimg_status_command(struct mlimg_call *call)
{
	json_t *boot = get_boot(call->agent, &call->failure), *status, *init;

	if (!boot)
		return NULL;
	status = json_pack("{s:s,s:O?,s:O?}", "agent_version", MLIMG_VERSION, "union",
		json_object_get(boot, "union"), "generation", json_object_get(boot, "generation"));
	add_queue(call, status);
	json_object_set_new(status, "boot", boot);
	init = mlimg_status_init(mlimg_status_is_systemd(call->agent));
	json_object_set_new(status, "health", json_string(judge(call->agent, init)));
	json_object_update(status, init);
	json_decref(init);
	json_object_set_new(status, "boot_id", get_boot_id());
	json_object_set_new(status, "uptime_ms", json_integer(mlimg_clock_ms()));
	return status;
}
