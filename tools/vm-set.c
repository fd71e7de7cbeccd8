/* SPDX-License-Identifier: MIT */
/* `mlimg-vm set`: how a tenant's machine is made, and what it runs on from its next start on. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/backend.h"
#include "tools/cli.h"
#include "tools/tenant-options.h"
#include "tools/tenant-show.h"

static const char help[] =
	"Usage: mlimg-vm set NAME [OPTION]...\n"
	"\n"
	"Change how a tenant is run, from its next start on.\n"
	"\n"
	"  mlimg-vm set alice --memory 2G --cpus 2\n"
	"  mlimg-vm set alice --add-software nginx --system debian:12.2\n"
	"\n"
	"LAYER is NAME:VERSION, the beginning of a build id (at least 8 digits), or NAME,\n"
	"which is the newest added that fits ('mlimg-store list').\n"
	"\n"
	"Layers make a new generation, which is pending until the guest is started:\n"
	"  --system LAYER          another system; software stays, built over the new one\n"
	"                          where the store has that\n"
	"  --patch LAYER           patch on top of the system, may be repeated\n"
	"  --software LAYER        instead of all software layers, may be repeated,\n"
	"                          bottom first\n"
	"  --no-software           no software layers\n"
	"  --add-software LAYER    above the others, or in the place of another version;\n"
	"                          may be repeated\n"
	"  --remove-software LAYER may be repeated\n"
	"  --generation N          a former generation\n"
	"Machine:\n" MLIMG_TENANT_MACHINE_HELP "  --no-forward            forward no port\n"
	"Other:\n" MLIMG_TENANT_STORE_HELP;

enum {
	OPT_NO_SOFTWARE = MLIMG_TENANT_OPT_OWN,
	OPT_ADD,
	OPT_REMOVE,
	OPT_GENERATION,
	OPT_NO_FORWARD,
};

static const struct option options[] = {MLIMG_TENANT_OPTIONS,
	{"no-software", no_argument, NULL, OPT_NO_SOFTWARE},
	{"add-software", required_argument, NULL, OPT_ADD},
	{"remove-software", required_argument, NULL, OPT_REMOVE},
	{"generation", required_argument, NULL, OPT_GENERATION},
	{"no-forward", no_argument, NULL, OPT_NO_FORWARD}, {"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0}};

struct set {
	struct mlimg_tenant_given given;
	uint64_t generation; /* 0: not given */
	bool no_forward;
};

static int take(struct set *s, int option, struct mlimg_err *err)
{
	struct mlimg_stack_wish *wish = &s->given.wish;
	int ret;

	switch (option) {
	case OPT_NO_SOFTWARE: wish->no_software = true; return 0;
	case OPT_ADD:
		return mlimg_tenant_given_add("add-software", optarg, wish->add, &wish->n_add,
			MLIMG_STACK_SOFTWARE_MAX, err);
	case OPT_REMOVE:
		return mlimg_tenant_given_add("remove-software", optarg, wish->remove,
			&wish->n_remove, MLIMG_STACK_SOFTWARE_MAX, err);
	case OPT_GENERATION:
		ret = mlimg_cli_number(optarg, 1, UINT32_MAX, &s->generation, err);
		return ret < 0 ? mlimg_err_wrap(err, ret, "--generation") : 0;
	case OPT_NO_FORWARD: s->no_forward = true; return 0;
	default: return mlimg_tenant_given_take(&s->given, option, optarg, err);
	}
}

static int check(const struct set *s, struct mlimg_err *err)
{
	const struct mlimg_stack_wish *wish = &s->given.wish;
	bool has_layers = !mlimg_stack_wish_is_empty(wish);

	if (!has_layers && !s->generation && !s->given.options && !s->no_forward)
		return mlimg_err_usage(err, "what shall be set is missing");
	if (has_layers && s->generation)
		return mlimg_err_usage(err, "--generation and layers exclude each other");
	if (wish->no_software && wish->n_software)
		return mlimg_err_usage(err, "--no-software and --software exclude each other");
	if ((wish->no_software || wish->n_software) && wish->n_remove)
		return mlimg_err_usage(err,
			"--remove-software is of what the tenant has: not with "
			"--software or --no-software");
	if (s->no_forward && s->given.settings.n_forwards)
		return mlimg_err_usage(err, "--no-forward and --forward exclude each other");
	return 0;
}

/* What the change is, as it is told and written down. */
struct change {
	struct mlimg_tenant_settings settings;
	struct mlimg_setting_text was[MLIMG_TENANT_SETTINGS], is[MLIMG_TENANT_SETTINGS];
	struct mlimg_tenant_stack stack;
	bool has_settings, has_generation;
	uint32_t generation; /* that is to start next; 0: a new one */
	char doubt[MLIMG_ERR_TEXT_SIZE];
	char layers[MLIMG_TENANT_STACK_TEXT];
};

static void change_free(struct change *c)
{
	if (!c)
		return;
	mlimg_tenant_settings_done(&c->settings);
	mlimg_setting_texts_done(c->was);
	mlimg_setting_texts_done(c->is);
	mlimg_tenant_stack_done(&c->stack);
	free(c);
}
MLIMG_DEFINE_CLEANUP(struct change, change_free)

static int copy_settings(const struct mlimg_tenant_settings *from,
	struct mlimg_tenant_settings *ret, struct mlimg_err *err)
{
	char *append = from->append ? strdup(from->append) : NULL;

	if (from->append && !append)
		return mlimg_err_set(err, ENOMEM, "settings");
	*ret = *from;
	ret->append = append;
	return 0;
}

static int change_settings(
	const struct set *s, const struct mlimg_tenant *t, struct change *c, struct mlimg_err *err)
{
	int ret = copy_settings(&t->settings, &c->settings, err);

	if (ret == 0)
		ret = mlimg_tenant_given_apply(&s->given, &c->settings, err);
	if (ret == 0 && s->no_forward)
		c->settings.n_forwards = 0;
	if (ret == 0)
		ret = mlimg_tenant_settings_check(&c->settings, err);
	if (ret == 0)
		ret = mlimg_setting_texts(&t->settings, c->was, err);
	if (ret == 0)
		ret = mlimg_setting_texts(&c->settings, c->is, err);
	for (size_t i = 0; ret == 0 && i < MLIMG_TENANT_SETTINGS; i++)
		c->has_settings |= strcmp(c->was[i].text, c->is[i].text) != 0;
	return ret;
}

struct same {
	const struct mlimg_tenant_stack *stack;
	uint32_t number; /* of the newest with the same layers; 0: none */
};

static int find_same(const struct mlimg_store_generation *g, void *ctx, struct mlimg_err *err)
{
	struct same *same = ctx;

	if (g->n_layers != same->stack->stack.n_layers)
		return 0;
	for (size_t i = 0; i < g->n_layers; i++)
		if (strcmp(g->layers[i], same->stack->layers[i].info.build_id) != 0)
			return 0;
	same->number = g->number;
	return 0;
}

/* A generation is not there twice: who goes back to former layers goes back to it. */
static int choose_layers(struct mlimg_store *store, const struct set *s,
	const struct mlimg_tenant *t, struct change *c, struct mlimg_err *err)
{
	struct same same = {.stack = &c->stack};
	int ret = mlimg_tenant_stack_choose(store, &s->given.wish, t, &c->stack, err);

	if (ret == 0)
		ret = mlimg_store_generation_each(store, t->row.id, find_same, &same, err);
	if (ret < 0)
		return ret;
	c->generation = same.number;
	c->has_generation = same.number == 0 || same.number != t->generation.number;
	mlimg_tenant_stack_describe(c->stack.layers, c->stack.stack.n_layers, c->layers);
	if (c->has_generation && !mlimg_tenant_stack_doubt(&c->stack, c->doubt))
		c->doubt[0] = '\0';
	return 0;
}

static int choose_generation(struct mlimg_store *store, const struct set *s, struct mlimg_tenant *t,
	struct change *c, struct mlimg_err *err)
{
	uint32_t next = t->row.pending ? t->row.pending : t->row.current;
	int ret = mlimg_tenant_load_generation(store, t, next, err);

	if (ret < 0)
		return ret;
	if (!mlimg_stack_wish_is_empty(&s->given.wish))
		return choose_layers(store, s, t, c, err);
	if (!s->generation)
		return 0;
	ret = mlimg_tenant_load_generation(store, t, (uint32_t)s->generation, err);
	c->generation = (uint32_t)s->generation;
	c->has_generation = c->generation != next;
	if (ret == 0)
		mlimg_tenant_stack_describe(t->layers, t->n_layers, c->layers);
	return ret;
}

static int add_generation(struct mlimg_store *store, const struct mlimg_tenant *t, struct change *c,
	struct mlimg_err *err)
{
	const char *ids[MLIMG_STACK_LAYERS_MAX];
	size_t n = mlimg_tenant_stack_ids(&c->stack, ids);
	int ret = 0;

	if (!c->generation)
		ret = mlimg_store_generation_add(store, t->row.id, ids, n, &c->generation, err);
	if (ret < 0)
		return ret;
	return mlimg_store_generation_set_pending(
		store, t->row.id, c->generation == t->row.current ? 0 : c->generation, err);
}

/* Within one transaction: all of it or nothing. */
static int write_change(struct mlimg_store *store, const struct mlimg_tenant *t, struct change *c,
	struct mlimg_err *err)
{
	char text[MLIMG_STORE_EVENT_MAX] = "";
	int ret = 0;

	if (c->has_settings)
		ret = mlimg_tenant_settings_set(store, t->row.id, &c->settings, err);
	if (ret == 0 && c->has_generation)
		ret = add_generation(store, t, c, err);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < MLIMG_TENANT_SETTINGS; i++)
		if (strcmp(c->was[i].text, c->is[i].text) != 0)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s %.200s",
				*text ? ", " : "", c->is[i].name, c->is[i].text);
	if (c->has_generation)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%sgeneration %u: %s",
			*text ? ", " : "", c->generation, c->layers);
	return mlimg_store_event_add(store, MLIMG_STORE_TENANT, t->row.id, "set", text, err);
}

static void tell(const struct mlimg_tenant *t, const struct change *c)
{
	if (!c->has_settings && !c->has_generation) {
		printf("%s: nothing changes\n", t->row.name);
		return;
	}
	for (size_t i = 0; i < MLIMG_TENANT_SETTINGS; i++)
		if (strcmp(c->was[i].text, c->is[i].text) != 0)
			printf("%s: %s %s, was %s\n", t->row.name, c->is[i].name, c->is[i].text,
				c->was[i].text);
	if (c->has_generation)
		printf("%s: generation %u: %s\n", t->row.name, c->generation, c->layers);
	if (t->run_s)
		printf("%s runs: it has this from its next start on\n", t->row.name);
	if (*c->doubt)
		mlimg_cli_warn(MLIMG_VM_PROG, "%s", c->doubt);
}

/* The host is told first: what it could not be told is not set either. */
static int tell_host(const struct mlimg_tenant *t, const struct change *c, struct mlimg_err *err)
{
	const struct mlimg_backend *backend = mlimg_backend_of(t);
	bool is_wanted = c->settings.autostart;

	return backend->autostart && is_wanted != t->settings.autostart
		? backend->autostart(t, is_wanted, err)
		: 0;
}

static int change(struct mlimg_store *store, const struct set *s, struct mlimg_tenant *t,
	struct mlimg_err *err)
{
	mlimg_cleanup(change_free_cleanup) struct change *c = calloc(1, sizeof(*c));
	int ret;

	if (!c)
		return mlimg_err_set(err, ENOMEM, "change tenant '%s'", t->row.name);
	ret = change_settings(s, t, c, err);
	if (ret == 0)
		ret = choose_generation(store, s, t, c, err);
	if (ret == 0)
		ret = tell_host(t, c, err);
	if (ret == 0 && (c->has_settings || c->has_generation)) {
		ret = mlimg_store_begin(store, err);
		if (ret == 0)
			ret = mlimg_store_end(store, write_change(store, t, c, err), err);
	}
	if (ret == 0)
		tell(t, c);
	return ret;
}

static int run(const struct set *s, const char *name, struct mlimg_err *err)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	mlimg_autotenant struct mlimg_tenant t = {.run_s = 0};
	mlimg_autoclose int lock = -1;
	int ret = mlimg_store_open_given(s->given.store, MLIMG_STORE_USE, &store, err);

	if (ret == 0)
		ret = mlimg_tenant_take(store, name, "set", &t, &lock, err);
	return ret < 0 ? ret : change(store, s, &t, err);
}

int mlimg_vm_cmd_set(int argc, char **argv)
{
	static const char *const operands[] = {"the name of a tenant"};
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct set s = {.generation = 0};
	int opt, code;

	mlimg_tenant_given_init(&s.given);
	while ((opt = mlimg_cli_getopt(MLIMG_VM_PROG, argc, argv, "h", options)) != -1) {
		if (opt == 'h')
			return mlimg_cli_help(MLIMG_VM_PROG, help);
		if (opt == '?')
			return MLIMG_EXIT_USAGE;
		if (take(&s, opt, &err) < 0)
			return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	}
	code = mlimg_tenant_operands(argc, argv, operands, 1);
	if (code)
		return code;
	if (check(&s, &err) < 0 || run(&s, argv[optind], &err) < 0)
		return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	return mlimg_cli_close_stdout(MLIMG_VM_PROG);
}
