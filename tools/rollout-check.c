/* SPDX-License-Identifier: MIT */
/* Whether a tenant of a rollout came up, and is as healthy as before. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/rollout-step.h"
#include "tools/vm-agent.h"

#define ASK_MS 45000        /* checks last 30 s at most, and the agent answers */
#define BOOT_MS 5000        /* others wait meanwhile, and are looked at, too */
#define AGAIN_MS 2000       /* between questions: each runs all checks of the guest's */
#define BOOT_GRACE_MS 30000 /* as `mlimg-vm start` waits beyond a tenant's own time-out */
#define AGENT_SILENT "agent does not answer"

/* A line more; one that does not fit is left out, and so is what would end it too early. */
static void add_wrong(char wrong[MLIMG_ROLLOUT_BASELINE], const char *kind, const char *name)
{
	size_t n = strlen(wrong);

	if (n + strlen(kind) + strlen(name) + 2 >= MLIMG_ROLLOUT_BASELINE || strchr(name, '\n'))
		return;
	sprintf(wrong + n, "%s%s\n", kind, name);
}

static int ask(const struct mlimg_tenant *tenant, const char *command, uint64_t bound_ms,
	json_t **ret_answer)
{
	struct mlimg_chan chan = MLIMG_CHAN_INIT;
	uint64_t deadline = mlimg_now_ms() + bound_ms;
	int ret = mlimg_backend_of(tenant)->agent(tenant, &chan.fd, NULL);

	if (ret == 0)
		ret = mlimg_agent_sync(&chan, deadline, NULL);
	if (ret == 0)
		ret = mlimg_chan_call(&chan, command, deadline, ret_answer, NULL);
	mlimg_chan_close(&chan);
	return ret;
}

void mlimg_rollout_ask_health(
	const struct mlimg_tenant *tenant, char ret_wrong[MLIMG_ROLLOUT_BASELINE])
{
	json_t *health = NULL, *entry;
	size_t i;

	ret_wrong[0] = '\0';
	if (ask(tenant, "mlimg-health", ASK_MS, &health) < 0) {
		add_wrong(ret_wrong, AGENT_SILENT, "");
		return;
	}
	json_array_foreach(json_object_get(health, "checks"), i, entry)
	{
		const char *name = json_string_value(json_object_get(entry, "name"));
		const json_t *status = json_object_get(entry, "status");

		if (name && !(json_is_integer(status) && json_integer_value(status) == 0))
			add_wrong(ret_wrong, "check ", name);
	}
	json_array_foreach(
		json_object_get(health, "failed_units"), i, entry) if (json_is_string(entry))
		add_wrong(ret_wrong, "unit ", json_string_value(entry));
	if (json_is_null(json_object_get(health, "failed_units")))
		add_wrong(ret_wrong, "systemd does not tell its failed units", "");
	if (!json_is_true(json_object_get(health, "default_target_reached")))
		add_wrong(ret_wrong, "default target not reached", "");
	if (!*ret_wrong && !json_is_true(json_object_get(health, "is_healthy")))
		add_wrong(ret_wrong, "not healthy", "");
	json_decref(health);
}

/* A guest says what it likes: it is compared, and kept, and nothing else. */
bool mlimg_rollout_ask_boot(const struct mlimg_tenant *tenant, struct mlimg_rollout_boot *ret_boot)
{
	struct mlimg_rollout_boot boot = {.uptime_ms = 0};
	json_t *status = NULL;
	bool is_told = ask(tenant, "guest-status", BOOT_MS, &status) == 0;
	const char *id = json_string_value(json_object_get(status, "boot_id"));
	json_int_t ms = json_integer_value(json_object_get(status, "uptime_ms"));

	if (id && strlen(id) < sizeof(boot.id))
		strcpy(boot.id, id);
	boot.uptime_ms = ms > 0 ? (uint64_t)ms : 0;
	json_decref(status);
	if (is_told)
		*ret_boot = boot;
	return is_told;
}

static bool has_line(const char *lines, const char *line, size_t n)
{
	for (; *lines; lines += strcspn(lines, "\n") + 1)
		if (strcspn(lines, "\n") == n && memcmp(lines, line, n) == 0)
			return true;
	return false;
}

/* What is wrong that was not before: "check web, unit nginx.service" */
static void compare(const char *wrong, const char *before, char ret_text[MLIMG_ROLLOUT_TEXT])
{
	size_t used = 0;

	ret_text[0] = '\0';
	for (; *wrong; wrong += strcspn(wrong, "\n") + 1) {
		size_t n = strcspn(wrong, "\n");

		if (has_line(before, wrong, n) || used + n + 3 >= MLIMG_ROLLOUT_TEXT)
			continue;
		used += (size_t)sprintf(ret_text + used, "%s%.*s", used ? ", " : "", (int)n, wrong);
	}
}

/* A boot that could not change the user layer says why in its first note (libmlimg/boot.h). */
static bool has_not_changed(const struct mlimg_tenant *tenant, char ret_text[MLIMG_ROLLOUT_TEXT])
{
	json_t *status = NULL, *boot, *report;
	const char *change, *text;
	bool is_so;

	if (ask(tenant, "guest-status", ASK_MS, &status) < 0)
		return false;
	boot = json_object_get(status, "boot");
	report = json_object_get(boot, "report");
	change = json_string_value(json_object_get(boot, "change"));
	is_so = change && strcmp(change, "changed") == 0 && json_is_object(report) &&
		json_is_null(json_object_get(report, "path"));
	text = json_string_value(json_array_get(json_object_get(boot, "notes"), 0));
	if (is_so)
		snprintf(ret_text, MLIMG_ROLLOUT_TEXT,
			"its user layer could not be changed: %.300s",
			text ? text : "no reason is told");
	json_decref(status);
	return is_so;
}

/* Services may need a while: what is wrong at the end of that counts. */
static void check_health(struct mlimg_rollout_step *step)
{
	const struct timespec pause = {.tv_sec = AGAIN_MS / 1000};
	uint64_t deadline = mlimg_now_ms() + 1000ull * step->rollout.health_s;
	char wrong[MLIMG_ROLLOUT_BASELINE], text[MLIMG_ROLLOUT_TEXT];

	if (step->row.place == MLIMG_ROLLOUT_CHECK && has_not_changed(&step->found.tenant, text)) {
		mlimg_rollout_say(step, MLIMG_ROLLOUT_UNHEALTHY, text);
		return;
	}
	for (;;) {
		mlimg_rollout_ask_health(&step->found.tenant, wrong);
		compare(wrong, step->row.baseline, text);
		if (!*text || mlimg_now_ms() >= deadline)
			break;
		nanosleep(&pause, NULL);
	}
	if (*text)
		mlimg_rollout_say(step, MLIMG_ROLLOUT_UNHEALTHY, text);
}

int mlimg_rollout_do_check(struct mlimg_rollout_step *step, struct mlimg_err *err)
{
	const struct mlimg_tenant *tenant = &step->found.tenant;
	bool is_new = step->row.place == MLIMG_ROLLOUT_CHECK;
	uint64_t bound_ms = 1000ull * tenant->settings.boot_timeout_s + BOOT_GRACE_MS;
	enum mlimg_guest_state state = MLIMG_GUEST_OFF;
	char why[MLIMG_GUEST_WHY_SIZE] = "", text[MLIMG_GUEST_WHY_SIZE + 64];
	int ret;

	if (tenant->row.current != (is_new ? step->row.to : step->row.from)) {
		mlimg_rollout_say(step, MLIMG_ROLLOUT_CHANGED,
			"somebody has started it on another generation");
		return 0;
	}
	ret = mlimg_backend_wait_up(tenant, mlimg_now_ms() + bound_ms, &state, why, err);
	if (ret < 0)
		return ret;
	if (state == MLIMG_GUEST_UP) {
		check_health(step);
		return 0;
	}
	/* Somebody wanted it off: no reason to put its disk back. */
	if (state == MLIMG_GUEST_OFF && !is_new) {
		mlimg_rollout_say(step, MLIMG_ROLLOUT_UNHEALTHY, "it has been powered off");
		return 0;
	}
	snprintf(text, sizeof(text), "it did not come up (%s)%s%s", mlimg_guest_state_name(state),
		*why ? ": " : "", why);
	mlimg_rollout_say(step,
		state == MLIMG_GUEST_UNREACHABLE ? MLIMG_ROLLOUT_UNREACHABLE : MLIMG_ROLLOUT_DOWN,
		text);
	return 0;
}
