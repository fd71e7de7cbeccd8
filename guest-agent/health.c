/* SPDX-License-Identifier: MIT */
#include "guest-agent/health.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/calls.h"
#include "guest-agent/child.h"
#include "guest-agent/clock.h"
#include "guest-agent/freeze.h"
#include "guest-agent/status.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/json.h"
#include "tools/cli.h"

#define HEALTH_JSON "mlimg/health.json"
#define UNIT "mlimg-health.service"

/* --- the executables --- */

static int is_check(const struct dirent *entry)
{
	static const char characters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

	return entry->d_name[strspn(entry->d_name, characters)] == '\0';
}

/* Not alphasort(), which asks the locale. */
static int compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* What it prints may be anything: JSON has text only. */
static void make_text(char *out)
{
	for (char *c = out; *c; c++)
		if (*c & 0x80 || (*c < ' ' && *c != '\n' && *c != '\t'))
			*c = '?';
}

/* @return NULL only without memory: then nobody may be told that all is well */
static json_t *put_check(const char *name, int status, const char *out)
{
	return json_pack("{s:s,s:o,s:s}", "name", name, "status",
		status < 0 ? json_null() : json_integer(status), "output", out);
}

/*
 * A name that leads nowhere is told: what it led to was to be run, and an upgrade may have taken it
 * away.
 *
 * @return whether there is something to run; then what came of it, or NULL without memory
 */
static bool run_check(const char *dir, const char *name, int64_t deadline_ms, json_t **ret)
{
	int64_t left_ms = deadline_ms - mlimg_clock_ms();
	char out[MLIMG_HEALTH_OUTPUT_SIZE] = "";
	mlimg_autofree char *path = NULL;
	const char *argv[2] = {NULL, NULL};
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct stat st;
	int status, r = -ETIMEDOUT;

	*ret = NULL;
	if (asprintf(&path, "%s/%s", dir, name) < 0)
		return true;
	if (stat(path, &st) < 0) {
		*ret = put_check(name, -1, strerror(errno));
		return true;
	}
	if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		return false;
	argv[0] = path;
	if (left_ms > MLIMG_HEALTH_CHECK_MS)
		left_ms = MLIMG_HEALTH_CHECK_MS;
	if (left_ms > 0)
		r = mlimg_child_run(argv, (int)left_ms, out, sizeof(out), &status, &err);
	make_text(out);
	make_text(err.text);
	*ret = put_check(name, r < 0 ? -1 : status, r < 0 && r != -ETIMEDOUT ? err.text : out);
	return true;
}

/* @return what health.json has; NULL: they could not be run */
static json_t *run_checks(const char *dir, struct mlimg_err *err)
{
	int64_t deadline_ms = mlimg_clock_ms() + MLIMG_HEALTH_ALL_MS;
	struct dirent **entries = NULL;
	int n = scandir(dir, &entries, is_check, compare_names);
	bool is_healthy = true;
	json_t *checks, *health;

	if (n < 0 && errno != ENOENT) {
		n = mlimg_err_set(err, errno, "read '%s'", dir);
		return n < 0 ? NULL : NULL;
	}
	checks = json_array();
	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name;
		json_t *check = NULL;
		const json_t *status;

		if (i < MLIMG_HEALTH_CHECKS_MAX) {
			if (!run_check(dir, name, deadline_ms, &check)) {
				free(entries[i]);
				continue;
			}
		} else if (i == MLIMG_HEALTH_CHECKS_MAX) {
			check = put_check(name, -1, "not run, nor what follows: too many");
		}
		status = json_object_get(check, "status");
		is_healthy =
			is_healthy && json_is_integer(status) && json_integer_value(status) == 0;
		if (check)
			json_array_append_new(checks, check);
		free(entries[i]);
	}
	free(entries);
	health = json_pack("{s:b,s:o}", "is_healthy", is_healthy, "checks", checks);
	if (!health)
		n = mlimg_err_set(err, ENOMEM, "run the checks of health");
	return health;
}

/* The directory is a boot's by mlimg, root's alone; the agent may serve another system, too. */
static int write_health(const char *run_dir, const json_t *health, struct mlimg_err *err)
{
	mlimg_autofree char *text = json_dumps(health, JSON_COMPACT), *dir = NULL, *path = NULL;

	if (!text || asprintf(&dir, "%s/mlimg", run_dir) < 0 ||
		asprintf(&path, "%s/" HEALTH_JSON, run_dir) < 0)
		return mlimg_err_set(err, ENOMEM, "write '" HEALTH_JSON "'");
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return mlimg_err_set(err, errno, "make '%s'", dir);
	return mlimg_replace_file(AT_FDCWD, path, text, strlen(text), 0600, err);
}

/*
 * What was found before is no answer to who asks now: where nothing can be told it goes. The
 * daemon does not learn from systemd whether a check has failed or all of it.
 *
 * @return what was found, and written; NULL
 */
static json_t *run_and_write(const char *dir, const char *run_dir, struct mlimg_err *err)
{
	json_t *health = run_checks(dir, err);
	char path[PATH_MAX];

	if (health && write_health(run_dir, health, err) == 0)
		return health;
	if (snprintf(path, sizeof(path), "%s/" HEALTH_JSON, run_dir) < (int)sizeof(path))
		unlink(path);
	json_decref(health);
	return NULL;
}

int mlimg_call_health(int argc, char **argv)
{
	static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
		{"run", required_argument, NULL, 'r'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	const char *dir = MLIMG_HEALTH_DIR, *run = MLIMG_RUN_DIR;
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autojson json_t *health = NULL;
	int opt;

	while ((opt = mlimg_cli_getopt(MLIMG_AGENT_PROG, argc, argv, "h", options)) != -1)
		switch (opt) {
		case 'd': dir = optarg; break;
		case 'r': run = optarg; break;
		case 'h': return mlimg_call_help();
		default: return MLIMG_EXIT_USAGE;
		}
	if (optind < argc)
		return mlimg_cli_usage(
			MLIMG_AGENT_PROG, "health: unexpected argument '%s'", argv[optind]);
	health = run_and_write(dir, run, &err);
	if (!health)
		return mlimg_cli_fail(MLIMG_AGENT_PROG, &err);
	return json_is_true(json_object_get(health, "is_healthy")) ? MLIMG_EXIT_DONE
								   : MLIMG_EXIT_FAILED;
}

/* --- the command --- */

/* @return 0, -ENOENT: nothing has been found yet; other -errno */
static int read_health(const struct mlimg_agent *agent, json_t **ret_health, struct mlimg_err *err)
{
	mlimg_autofree char *path = NULL, *text = NULL;
	size_t size;
	int r;

	if (asprintf(&path, "%s/" HEALTH_JSON, agent->run_dir) < 0)
		return mlimg_err_set(err, ENOMEM, "read '" HEALTH_JSON "'");
	r = mlimg_read_file(AT_FDCWD, path, MLIMG_HEALTH_JSON_MAX, &text, &size, err);
	return r < 0 ? r : mlimg_json_load(HEALTH_JSON, text, size, ret_health, err);
}

bool mlimg_health_has_failed(const struct mlimg_agent *agent)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autojson json_t *health = NULL;
	int r = read_health(agent, &health, &err);

	return r != -ENOENT && (r < 0 || !json_is_true(json_object_get(health, "is_healthy")));
}

static json_t *run_unit(const struct mlimg_agent *agent, struct mlimg_err *err)
{
	const char *const argv[] = {"systemctl", "start", UNIT, NULL};
	json_t *health = NULL;
	char out[64];
	int status, r;

	if (mlimg_child_run(argv, MLIMG_HEALTH_ALL_MS + MLIMG_SYSTEMCTL_TIMEOUT_MS, out,
		    sizeof(out), &status, err) < 0)
		return NULL;
	if (status == 0)
		r = read_health(agent, &health, err);
	else
		r = mlimg_err_set(err, 0, "systemctl start " UNIT " ended with %d", status);
	return r < 0 ? NULL : health;
}

json_t *mlimg_health_command(struct mlimg_call *call)
{
	bool is_systemd = mlimg_status_is_systemd(call->agent);
	struct mlimg_err err = MLIMG_ERR_INIT;
	json_t *health, *init;

	if (mlimg_freeze_is_on(call->agent))
		return mlimg_fail(&call->failure, MLIMG_CLASS_BUSY,
			"the user file system is frozen: what has to write waits");
	/* Written in both cases: guest-status asks what was found last. */
	health = is_systemd ? run_unit(call->agent, &err)
			    : run_and_write(call->agent->health_dir, call->agent->run_dir, &err);
	if (!health)
		return mlimg_fail(&call->failure, MLIMG_CLASS_GENERIC, "%s", err.text);
	init = mlimg_status_init(is_systemd);
	json_object_update(health, init);
	if (!json_is_true(json_object_get(init, "default_target_reached")) ||
		mlimg_status_has_failed_units(init))
		json_object_set_new(health, "is_healthy", json_false());
	json_decref(init);
	return health;
}
