/* SPDX-License-Identifier: MIT */
/* `mlimg-vm status`: how a tenant is, or a guest of `mlimg-vm run`. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/cli.h"
#include "tools/vm-agent.h"
#include "tools/vm-life.h"
#include "tools/vm-print.h"
#include "tools/vm-runtime.h"
#include "tools/vm-watch.h"

#define TIME_SIZE 32 /* "2026-11-22 05:12:00" */

static const char help[] =
	"Usage: mlimg-vm status [OPTION]... NAME\n"
	"\n"
	"Tell how a tenant is: what it runs or would start with, how far it is, why it\n"
	"died; and ask the agent of a running guest how it is.\n"
	"\n"
	"  --json             print JSON; of a guest of 'run', its agent's answer\n"
	"                     (guest-status) as it is\n"
	"  --timeout SECONDS  how long to wait for the agent (default: "
	"10)\n" MLIMG_LIFE_RUNTIME_HELP MLIMG_LIFE_STORE_HELP;

static const struct option options[] = {MLIMG_LIFE_JSON, MLIMG_LIFE_TIMEOUT, MLIMG_LIFE_RUNTIME_DIR,
	MLIMG_LIFE_STORE, MLIMG_LIFE_HELP, {NULL, 0, NULL, 0}};

/* What is known of a tenant. */
struct facts {
	enum mlimg_guest_state state;
	char why[MLIMG_GUEST_WHY_SIZE];
	json_t *event;  /* the last one, or NULL */
	json_t *status; /* what its agent says, or NULL */
};

static int connect_guest(
	const struct mlimg_vm_found *found, const char *name, int *ret_fd, struct mlimg_err *err)
{
	mlimg_autofree char *path = NULL;
	int ret;

	if (found->store)
		return mlimg_backend_of(&found->tenant)->agent(&found->tenant, ret_fd, err);
	path = mlimg_runtime_file(found->dir, "agent.sock");
	ret = path ? mlimg_unix_connect(path, ret_fd, err) : mlimg_err_set(err, ENOMEM, "socket");
	return ret < 0 ? mlimg_err_wrap(err, ret, "guest '%s'", name) : 0;
}

static int ask_agent(const struct mlimg_vm_life *life, const struct mlimg_vm_found *found,
	json_t **ret_status, struct mlimg_err *err)
{
	const char *name = life->wanted.name;
	struct mlimg_chan chan = MLIMG_CHAN_INIT;
	uint64_t deadline = mlimg_now_ms() + life->timeout_ms;
	int ret = connect_guest(found, name, &chan.fd, err);

	if (ret == 0) {
		ret = mlimg_agent_sync(&chan, deadline, err);
		if (ret == 0)
			ret = mlimg_chan_call(&chan, "guest-status", deadline, ret_status, err);
		if (ret == -ETIMEDOUT)
			ret = mlimg_err_set(err, 0,
				"the agent of guest '%s' does not answer within %llu s (is it "
				"still booting?)",
				name, (unsigned long long)life->timeout_ms / 1000);
		else if (ret < 0)
			ret = mlimg_err_wrap(err, ret, "agent of guest '%s'", name);
	}
	mlimg_chan_close(&chan);
	return ret;
}

static int take_event(const struct mlimg_store_event *event, void *ctx, struct mlimg_err *err)
{
	json_t **ret_event = ctx;

	*ret_event = json_pack("{s:I, s:s, s:s}", "time", (json_int_t)event->time_s, "kind",
		event->kind, "text", event->text);
	return *ret_event ? 0 : mlimg_err_set(err, ENOMEM, "event");
}

static const char *time_text(int64_t time_s, char ret_text[TIME_SIZE])
{
	time_t t = (time_t)time_s;
	struct tm tm;

	if (!localtime_r(&t, &tm) || !strftime(ret_text, TIME_SIZE, "%Y-%m-%d %H:%M:%S", &tm))
		strcpy(ret_text, "?");
	return ret_text;
}

/* "generation 2: debian 12.1 + nginx 1.22", a line for each layer where it is not told by the guest. */
static void print_generation(const struct mlimg_tenant *t, bool is_on)
{
	if (!t->generation.number) {
		printf("next      no layers yet\n");
		return;
	}
	printf("%-10sgeneration %u", is_on ? "runs" : "next", t->generation.number);
	if (is_on && t->row.pending)
		printf(", from the next start on %u", t->row.pending);
	putchar('\n');
	for (size_t i = 0; i < t->n_layers; i++)
		printf("%-10s%s %s  %.*s\n", mlimg_kind_name(t->layers[i].info.kind),
			t->layers[i].info.name, t->layers[i].info.version, MLIMG_SHORT_ID,
			t->layers[i].info.build_id);
}

static void print_event(const json_t *event)
{
	char text[TIME_SIZE];

	if (!event)
		return;
	printf("last      %s ",
		time_text(json_integer_value(json_object_get(event, "time")), text));
	mlimg_cli_put_safe(stdout, mlimg_json_text(event, "kind", "?"));
	if (*mlimg_json_text(event, "text", ""))
		printf(": ");
	mlimg_cli_put_safe(stdout, mlimg_json_text(event, "text", ""));
	putchar('\n');
}

static void print_tenant(const struct mlimg_tenant *t, const struct facts *facts)
{
	bool is_on = mlimg_guest_is_on(facts->state);
	char text[TIME_SIZE];

	printf("tenant    %s\nguest     %s", t->row.name, mlimg_guest_state_name(facts->state));
	if (*facts->why && facts->state != MLIMG_GUEST_UP)
		printf(": ");
	if (facts->state != MLIMG_GUEST_UP)
		mlimg_cli_put_safe(stdout, facts->why);
	if (is_on && t->run_s)
		printf(", started %s", time_text(t->run_s, text));
	putchar('\n');
	if (facts->status) {
		printf("runs      generation %u", t->generation.number);
		if (t->row.pending)
			printf(", from the next start on %u", t->row.pending);
		putchar('\n');
		mlimg_vm_print_status(facts->status);
	} else {
		print_generation(t, is_on);
	}
	if (!is_on)
		print_event(facts->event);
}

static json_t *layers_json(const struct mlimg_tenant *t)
{
	json_t *layers = json_array();

	for (size_t i = 0; i < t->n_layers; i++)
		json_array_append_new(layers,
			json_pack("{s:s, s:s, s:s, s:s}", "kind",
				mlimg_kind_name(t->layers[i].info.kind), "name",
				t->layers[i].info.name, "version", t->layers[i].info.version,
				"build_id", t->layers[i].info.build_id));
	return layers;
}

static int print_json(const struct mlimg_tenant *t, const struct facts *facts)
{
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:O?, s:O?}", "name",
		t->row.name, "id", t->row.id, "state", mlimg_guest_state_name(facts->state), "why",
		facts->why, "started", (json_int_t)t->run_s, "generation",
		(json_int_t)t->generation.number, "pending", (json_int_t)t->row.pending, "layers",
		layers_json(t), "last_event", facts->event, "status", facts->status);
	int ret = json ? json_dumpf(json, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII) : -1;

	json_decref(json);
	putchar('\n');
	return ret;
}

static int tell_tenant(const struct mlimg_vm_life *life, struct mlimg_vm_found *found,
	struct facts *facts, struct mlimg_err *err)
{
	bool was_on = found->tenant.run_s;
	struct mlimg_err silent = MLIMG_ERR_INIT;
	int asked = 0;
	int ret = mlimg_backend_look(found->store, &found->tenant, &facts->state, facts->why, err);

	/* What it would start with is another one's now. */
	if (ret == 0 && was_on && !found->tenant.run_s)
		ret = mlimg_vm_find_again(found, err);
	if (ret == 0)
		ret = mlimg_store_event_each(
			found->store, found->tenant.row.id, 1, take_event, &facts->event, err);
	if (ret < 0)
		return ret;
	if (facts->state == MLIMG_GUEST_UP)
		asked = ask_agent(life, found, &facts->status, &silent);
	if (!life->is_json)
		print_tenant(&found->tenant, facts);
	else if (print_json(&found->tenant, facts) < 0)
		return mlimg_err_set(err, ENOMEM, "status");
	fflush(stdout);
	if (asked < 0 && err)
		*err = silent;
	return asked;
}

static int tell_guest(const struct mlimg_vm_life *life, struct mlimg_vm_found *found,
	json_t **ret_status, struct mlimg_err *err)
{
	int ret = ask_agent(life, found, ret_status, err);

	if (ret < 0)
		return ret;
	if (life->is_json) {
		json_dumpf(*ret_status, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
		putchar('\n');
	} else {
		printf("guest     %s\n", life->wanted.name);
		mlimg_vm_print_status(*ret_status);
	}
	return 0;
}

int mlimg_vm_cmd_status(int argc, char **argv)
{
	struct mlimg_vm_life life = {.timeout_ms = 10000};
	mlimg_autofound struct mlimg_vm_found found = {.store = NULL};
	struct facts facts = {.event = NULL};
	struct mlimg_err err = MLIMG_ERR_INIT;
	int code = mlimg_vm_life_parse(argc, argv, help, "h", options, &life);
	int ret;

	if (code >= 0)
		return code;
	ret = mlimg_vm_find(&life.wanted, &found, &err);
	if (ret == 0)
		ret = found.store ? tell_tenant(&life, &found, &facts, &err)
				  : tell_guest(&life, &found, &facts.status, &err);
	json_decref(facts.event);
	json_decref(facts.status);
	return ret < 0 ? mlimg_cli_fail(MLIMG_VM_PROG, &err)
		       : mlimg_cli_close_stdout(MLIMG_VM_PROG);
}
