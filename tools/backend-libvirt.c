/* SPDX-License-Identifier: MIT */
#include "tools/backend-libvirt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/libvirt-bridge.h"
#include "tools/libvirt-conn.h"
#include "tools/libvirt-domain.h"
#include "tools/libvirt-err.h"
#include "tools/libvirt-pool.h"
#include "tools/vm-agent.h"
#include "tools/vm-watch.h"

#define LOOK_MS 200   /* pause between looks whether a guest is off */
#define AGENT_MS 5000 /* how long an agent may take to say how its guest is */
#define DISKS_MAX 64  /* that errors are asked of: more than a stack has */

static void say(char ret_why[MLIMG_GUEST_WHY_SIZE], const char *why)
{
	snprintf(ret_why, MLIMG_GUEST_WHY_SIZE, "%.*s", MLIMG_GUEST_WHY_SIZE - 1, why);
}

/* Whether somebody in the guest has the agent's port open: libvirt knows without asking it. */
static bool has_agent(virDomainPtr domain)
{
	static const char wanted[] = "name='org.mlimg.agent.0' state='connected'";
	mlimg_autofree char *xml = virDomainGetXMLDesc(domain, 0);

	return xml && strstr(xml, wanted);
}

/* What it says while it boots is not waited for: the port is asked when somebody is there. */
static int ask_agent(
	const struct mlimg_tenant *tenant, virDomainPtr domain, struct mlimg_watch *watch)
{
	struct mlimg_chan chan = MLIMG_CHAN_INIT;
	uint64_t now = mlimg_now_ms(), deadline = now + AGENT_MS;
	int ret = 0;

	if (tenant->ask_until_ms)
		deadline = tenant->ask_until_ms;
	if (deadline <= now)
		return -ETIMEDOUT;
	ret = mlimg_domain_agent(domain, &chan.fd, NULL);
	if (ret == 0)
		ret = mlimg_agent_sync(&chan, deadline, NULL);
	if (ret == 0)
		ret = mlimg_chan_call(&chan, "guest-status", deadline, &watch->status, NULL);
	mlimg_chan_close(&chan);
	watch->has_agent = ret == 0;
	return ret;
}

/* Nobody has watched its boot: one that has lasted too long will not end, or is over, and its agent hangs. */
static enum mlimg_guest_state state_without_agent(const struct mlimg_tenant *tenant)
{
	int64_t until_s = tenant->run_s + tenant->settings.boot_timeout_s;

	return tenant->run_s && (int64_t)time(NULL) > until_s ? MLIMG_GUEST_SILENT
							      : MLIMG_GUEST_STARTING;
}

static enum mlimg_guest_state state_running(
	const struct mlimg_tenant *tenant, virDomainPtr domain, char why[MLIMG_GUEST_WHY_SIZE])
{
	struct mlimg_watch watch = {.state = MLIMG_BOOT_WAITING};
	enum mlimg_guest_state state = MLIMG_GUEST_STARTING;
	char units[128];

	if (!has_agent(domain)) {
		state = state_without_agent(tenant);
		say(why,
			state == MLIMG_GUEST_SILENT ? "its agent is not there"
						    : "its agent is not there yet");
	} else if (ask_agent(tenant, domain, &watch) < 0) {
		state = state_without_agent(tenant);
		say(why, "its agent does not answer");
	} else if (json_is_true(json_object_get(watch.status, "default_target_reached"))) {
		state = MLIMG_GUEST_UP;
		mlimg_status_failed_units(watch.status, units, sizeof(units));
		snprintf(why, MLIMG_GUEST_WHY_SIZE, "up: %s union, default target reached%s%s",
			mlimg_json_text(watch.status, "union", "no"),
			*units ? ", failed units: " : "", units);
	} else {
		mlimg_watch_describe(&watch, -1, why, MLIMG_GUEST_WHY_SIZE);
	}
	mlimg_watch_done(&watch);
	return state;
}

/* Whether what a disk of the domain could not write was for want of room. */
static bool is_full(virDomainPtr domain)
{
	virDomainDiskError errors[DISKS_MAX];
	int n = virDomainGetDiskErrors(domain, errors, DISKS_MAX, 0);
	bool is = false;

	for (int i = 0; i < n; i++) {
		is |= errors[i].error == VIR_DOMAIN_DISK_ERROR_NO_SPACE;
		free(errors[i].disk);
	}
	return is;
}

static enum mlimg_guest_state state_paused(const struct mlimg_tenant *tenant, virDomainPtr domain,
	int reason, char why[MLIMG_GUEST_WHY_SIZE])
{
	if (reason == VIR_DOMAIN_PAUSED_IOERROR)
		mlimg_guest_stuck_why(tenant->row.name, is_full(domain), why);
	else if (reason == VIR_DOMAIN_PAUSED_CRASHED)
		say(why, "its kernel panicked");
	return MLIMG_GUEST_PAUSED;
}

static enum mlimg_guest_state state_off(
	const struct mlimg_tenant *tenant, int reason, char why[MLIMG_GUEST_WHY_SIZE])
{
	switch (reason) {
	case VIR_DOMAIN_SHUTOFF_CRASHED:
		say(why, "its QEMU crashed, or was killed");
		return MLIMG_GUEST_DIED;
	case VIR_DOMAIN_SHUTOFF_FAILED:
		say(why, "its QEMU could not be started");
		return MLIMG_GUEST_DIED;
	case VIR_DOMAIN_SHUTOFF_DAEMON:
	case VIR_DOMAIN_SHUTOFF_UNKNOWN:
		if (!tenant->run_s)
			return MLIMG_GUEST_OFF;
		say(why, "its host, or libvirt there, went down while it was on");
		return MLIMG_GUEST_DIED;
	default: return MLIMG_GUEST_OFF;
	}
}

static enum mlimg_guest_state state_of(const struct mlimg_tenant *tenant, virDomainPtr domain,
	int state, int reason, char why[MLIMG_GUEST_WHY_SIZE])
{
	switch (state) {
	case VIR_DOMAIN_RUNNING:
	case VIR_DOMAIN_BLOCKED: return state_running(tenant, domain, why);
	case VIR_DOMAIN_PAUSED:
	case VIR_DOMAIN_PMSUSPENDED: return state_paused(tenant, domain, reason, why);
	case VIR_DOMAIN_SHUTDOWN: return MLIMG_GUEST_STOPPING;
	case VIR_DOMAIN_CRASHED: say(why, "its kernel panicked"); return MLIMG_GUEST_DIED;
	default: return state_off(tenant, reason, why);
	}
}

/* A host that does not answer is a state, too. */
static int get_state(const struct mlimg_tenant *tenant, enum mlimg_guest_state *ret_state,
	char ret_why[MLIMG_GUEST_WHY_SIZE], struct mlimg_err *err)
{
	mlimg_autodomain virDomainPtr domain = NULL;
	struct mlimg_err why = MLIMG_ERR_INIT;
	int state, reason, ret = mlimg_domain_find(tenant, &domain, &why);

	say(ret_why, "");
	if (ret == 0 && domain && virDomainGetState(domain, &state, &reason, 0) < 0)
		ret = mlimg_domain_fail(tenant, "state", &why);
	if (ret < 0) {
		say(ret_why, why.text);
		*ret_state = MLIMG_GUEST_UNREACHABLE;
	} else if (!domain) {
		if (tenant->run_s)
			say(ret_why, "its host has no such domain any more");
		*ret_state = tenant->run_s ? MLIMG_GUEST_DIED : MLIMG_GUEST_OFF;
	} else {
		*ret_state = state_of(tenant, domain, state, reason, ret_why);
		if (mlimg_domain_is_saved(domain)) {
			say(ret_why, "saved by libvirt, and goes on from there");
			*ret_state = MLIMG_GUEST_OFF;
		}
	}
	return 0;
}

static int is_stuck(const struct mlimg_tenant *tenant, bool *ret_is, struct mlimg_err *err)
{
	mlimg_autodomain virDomainPtr domain = NULL;
	int state, reason, ret = mlimg_domain_find_on(tenant, &domain, err);

	if (ret < 0)
		return ret;
	if (virDomainGetState(domain, &state, &reason, 0) < 0)
		return mlimg_domain_fail(tenant, "state", err);
	*ret_is = state == VIR_DOMAIN_PAUSED && reason == VIR_DOMAIN_PAUSED_IOERROR;
	return 0;
}

static int go_on(const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	mlimg_autodomain virDomainPtr domain = NULL;
	int ret = mlimg_domain_find_on(tenant, &domain, err);

	if (ret < 0)
		return ret;
	return virDomainResume(domain) < 0 ? mlimg_domain_fail(tenant, "resume", err) : 0;
}

static int press(const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	mlimg_autodomain virDomainPtr domain = NULL;
	int ret = mlimg_domain_find_on(tenant, &domain, err);

	if (ret < 0)
		return ret;
	if (virDomainShutdownFlags(domain, VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN) < 0 &&
		mlimg_domain_is_on(domain))
		return mlimg_domain_fail(tenant, "power button", err);
	return 0;
}

static int end(const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	mlimg_autodomain virDomainPtr domain = NULL;
	int ret = mlimg_domain_find(tenant, &domain, err);

	if (ret < 0 || !domain || !mlimg_domain_is_on(domain))
		return ret;
	/* It may have ended by itself meanwhile. */
	if (virDomainDestroy(domain) < 0 && mlimg_domain_is_on(domain))
		return mlimg_domain_fail(tenant, "end", err);
	return 0;
}

static int wait_off(const struct mlimg_tenant *tenant, uint64_t deadline_ms, bool *ret_is_off,
	struct mlimg_err *err)
{
	const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000l};
	mlimg_autodomain virDomainPtr domain = NULL;
	int state, ret = mlimg_domain_find(tenant, &domain, err);

	if (ret < 0)
		return ret;
	*ret_is_off = !domain;
	while (domain) {
		if (virDomainGetState(domain, &state, NULL, 0) < 0) {
			*ret_is_off = mlimg_libvirt_code() == -ENOENT;
			return *ret_is_off ? 0 : mlimg_domain_fail(tenant, "state", err);
		}
		*ret_is_off = state == VIR_DOMAIN_SHUTOFF || state == VIR_DOMAIN_CRASHED;
		if (*ret_is_off || mlimg_now_ms() >= deadline_ms)
			break;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int get_agent(const struct mlimg_tenant *tenant, int *ret_fd, struct mlimg_err *err)
{
	mlimg_autodomain virDomainPtr domain = NULL;
	int ret = mlimg_domain_find_on(tenant, &domain, err);

	return ret < 0 ? ret : mlimg_domain_agent(domain, ret_fd, err);
}

static int get_console(const struct mlimg_tenant *tenant, int *ret_fd, struct mlimg_err *err)
{
	mlimg_autodomain virDomainPtr domain = NULL;
	virStreamPtr stream;
	int ret = mlimg_domain_find_on(tenant, &domain, err);

	if (ret < 0)
		return ret;
	stream = virStreamNew(virDomainGetConnect(domain), VIR_STREAM_NONBLOCK);
	/* One client at a time: whoever has it keeps it. */
	if (stream && virDomainOpenConsole(domain, NULL, stream, VIR_DOMAIN_CONSOLE_SAFE) == 0)
		return mlimg_libvirt_bridge(stream, ret_fd, err);
	if (stream)
		virStreamFree(stream);
	return mlimg_domain_fail(tenant, "console", err);
}

static int is_suspended(const struct mlimg_tenant *tenant, bool *ret_saved, struct mlimg_err *err)
{
	mlimg_autodomain virDomainPtr domain = NULL;
	int ret = mlimg_domain_find(tenant, &domain, err);

	if (ret == 0)
		*ret_saved = domain && mlimg_domain_is_saved(domain);
	return ret;
}

static int set_autostart(const struct mlimg_tenant *tenant, bool is_wanted, struct mlimg_err *err)
{
	mlimg_autodomain virDomainPtr domain = NULL;
	int ret = mlimg_domain_find(tenant, &domain, err);

	if (ret < 0 || !domain)
		return ret;
	return virDomainSetAutostart(domain, is_wanted) < 0
		? mlimg_domain_fail(tenant, "autostart", err)
		: 0;
}

static int bring_home(virConnectPtr conn, const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	mlimg_autopool struct mlimg_libvirt_pool pool = {.pool = NULL};
	struct mlimg_store_host host = {.pool_path = ""};
	int ret;

	memcpy(host.name, tenant->host, sizeof(host.name));
	snprintf(host.uri, sizeof(host.uri), "%s", tenant->uri);
	ret = mlimg_libvirt_pool_open(NULL, conn, &host, &pool, err);
	return ret < 0 ? ret : mlimg_libvirt_disk_fetch(&pool, tenant, err);
}

/*
 * The domain goes last: as long as it is there, it is seen that this must be done. Where somebody has
 * undefined it, the disk that is not here shows it.
 */
static int forget(const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	/* Memory that is saved goes with nothing but the user's word. */
	const unsigned flags = VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | VIR_DOMAIN_UNDEFINE_NVRAM;
	mlimg_autodomain virDomainPtr domain = NULL;
	virConnectPtr conn;
	int ret = mlimg_domain_find(tenant, &domain, err);

	if (ret == 0 && domain && mlimg_domain_is_on(domain))
		return mlimg_err_set(err, EBUSY, "tenant '%s' is running on host '%s'",
			tenant->row.name, tenant->host);
	if (ret == 0 &&
		(mlimg_backend_has_disk_away(tenant) ||
			(domain && !mlimg_libvirt_is_local(tenant->uri)))) {
		ret = mlimg_libvirt_connect(tenant->uri, &conn, err);
		if (ret == 0)
			ret = bring_home(conn, tenant, err);
	}
	if (ret == 0 && domain && virDomainUndefineFlags(domain, flags) < 0)
		return mlimg_domain_fail(tenant, "undefine domain", err);
	return ret;
}

const struct mlimg_backend mlimg_backend_libvirt = {
	.name = "libvirt",
	.is_shared = true,
	.state = get_state,
	.start = mlimg_libvirt_start,
	.is_stuck = is_stuck,
	.go_on = go_on,
	.press = press,
	.end = end,
	.wait_off = wait_off,
	.agent = get_agent,
	.console = get_console,
	.disk_size = mlimg_libvirt_disk_size,
	.grow = mlimg_libvirt_disk_grow,
	.save = mlimg_libvirt_save,
	.load = mlimg_libvirt_load,
	.remove = mlimg_libvirt_remove,
	.saved = mlimg_libvirt_saved,
	.machine = mlimg_libvirt_machine,
	.is_suspended = is_suspended,
	.autostart = set_autostart,
	.forget = forget,
};
