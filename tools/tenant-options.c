/* SPDX-License-Identifier: MIT */
#include "tools/tenant-options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/vm-machine.h"

#define BIT(option) (1u << ((option)-MLIMG_TENANT_OPT_MEMORY))

void mlimg_tenant_given_init(struct mlimg_tenant_given *ret_given)
{
	*ret_given = (struct mlimg_tenant_given){.store = NULL};
	mlimg_tenant_settings_init(&ret_given->settings);
}

static int add_forward(struct mlimg_tenant_settings *s, const char *text, struct mlimg_err *err)
{
	int ret;

	if (s->n_forwards == MLIMG_VM_FORWARDS_MAX)
		return mlimg_err_usage(err, "more than %d forwarded ports", MLIMG_VM_FORWARDS_MAX);
	ret = mlimg_vm_forward_of(text, &s->forwards[s->n_forwards], err);
	s->n_forwards += ret == 0;
	return ret;
}

static int set_net(struct mlimg_tenant_settings *s, const char *text, struct mlimg_err *err)
{
	if (strcmp(text, "user") != 0 && strcmp(text, "none") != 0)
		return mlimg_err_usage(err, "'%s' is neither 'user' nor 'none'", text);
	s->net = strcmp(text, "user") == 0;
	return 0;
}

static int set_autostart(struct mlimg_tenant_settings *s, const char *text, struct mlimg_err *err)
{
	if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
		return mlimg_err_usage(err, "'%s' is neither 'yes' nor 'no'", text);
	s->autostart = strcmp(text, "yes") == 0;
	return 0;
}

static const char *const names[] = {
	[MLIMG_TENANT_OPT_MEMORY - MLIMG_TENANT_OPT_MEMORY] = "memory",
	[MLIMG_TENANT_OPT_CPUS - MLIMG_TENANT_OPT_MEMORY] = "cpus",
	[MLIMG_TENANT_OPT_ACCEL - MLIMG_TENANT_OPT_MEMORY] = "accel",
	[MLIMG_TENANT_OPT_UNION - MLIMG_TENANT_OPT_MEMORY] = "union",
	[MLIMG_TENANT_OPT_DISKS - MLIMG_TENANT_OPT_MEMORY] = "disks",
	[MLIMG_TENANT_OPT_VERITY - MLIMG_TENANT_OPT_MEMORY] = "verity",
	[MLIMG_TENANT_OPT_NET - MLIMG_TENANT_OPT_MEMORY] = "net",
	[MLIMG_TENANT_OPT_FORWARD - MLIMG_TENANT_OPT_MEMORY] = "forward",
	[MLIMG_TENANT_OPT_APPEND - MLIMG_TENANT_OPT_MEMORY] = "append",
	[MLIMG_TENANT_OPT_BOOT_TIMEOUT - MLIMG_TENANT_OPT_MEMORY] = "boot-timeout",
	[MLIMG_TENANT_OPT_AUTOSTART - MLIMG_TENANT_OPT_MEMORY] = "autostart",
};

static int take_setting(
	struct mlimg_tenant_given *given, int option, const char *text, struct mlimg_err *err)
{
	struct mlimg_tenant_settings *s = &given->settings;

	given->options |= BIT(option);
	switch (option) {
	case MLIMG_TENANT_OPT_MEMORY: return mlimg_vm_memory_of(text, &s->memory_bytes, err);
	case MLIMG_TENANT_OPT_CPUS: return mlimg_vm_cpus_of(text, &s->cpus, err);
	case MLIMG_TENANT_OPT_ACCEL: return mlimg_accel_of(text, &s->accel, err);
	case MLIMG_TENANT_OPT_UNION: return mlimg_union_of(text, &s->union_driver, err);
	case MLIMG_TENANT_OPT_DISKS: return mlimg_disks_of(text, &s->disks, err);
	case MLIMG_TENANT_OPT_VERITY: return mlimg_vm_verity_of(text, &s->verity, err);
	case MLIMG_TENANT_OPT_NET: return set_net(s, text, err);
	case MLIMG_TENANT_OPT_FORWARD: return add_forward(s, text, err);
	case MLIMG_TENANT_OPT_APPEND: s->append = (char *)text; return 0;
	case MLIMG_TENANT_OPT_AUTOSTART: return set_autostart(s, text, err);
	default: /* MLIMG_TENANT_OPT_BOOT_TIMEOUT */
		return mlimg_vm_boot_timeout_of(text, &s->boot_timeout_s, err);
	}
}

int mlimg_tenant_given_add(const char *option, const char *text, const char **list, size_t *n,
	size_t max, struct mlimg_err *err)
{
	if (*n == max)
		return mlimg_err_usage(err, "--%s: more than %zu", option, max);
	if (!*text)
		return mlimg_err_usage(err, "--%s: the name of a layer is missing", option);
	for (size_t i = 0; i < *n; i++)
		if (strcmp(list[i], text) == 0)
			return mlimg_err_usage(err, "--%s: '%s' is given twice", option, text);
	list[(*n)++] = text;
	return 0;
}

int mlimg_tenant_given_take(
	struct mlimg_tenant_given *given, int option, const char *text, struct mlimg_err *err)
{
	struct mlimg_stack_wish *wish = &given->wish;
	int ret;

	switch (option) {
	case MLIMG_TENANT_OPT_SYSTEM:
		if (wish->system)
			return mlimg_err_usage(err, "--system is given twice");
		wish->system = text;
		return 0;
	case MLIMG_TENANT_OPT_PATCH:
		return mlimg_tenant_given_add(
			"patch", text, wish->patches, &wish->n_patches, MLIMG_STACK_PATCH_MAX, err);
	case MLIMG_TENANT_OPT_SOFTWARE:
		return mlimg_tenant_given_add("software", text, wish->software, &wish->n_software,
			MLIMG_STACK_SOFTWARE_MAX, err);
	case MLIMG_TENANT_OPT_STORE: given->store = text; return 0;
	default:
		ret = take_setting(given, option, text, err);
		return ret < 0
			? mlimg_err_wrap(err, ret, "--%s", names[option - MLIMG_TENANT_OPT_MEMORY])
			: 0;
	}
}

static int apply_append(const char *append, struct mlimg_tenant_settings *s, struct mlimg_err *err)
{
	char *copy = append && *append ? strdup(append) : NULL;

	if (append && *append && !copy)
		return mlimg_err_set(err, ENOMEM, "--append");
	free(s->append);
	s->append = copy;
	return 0;
}

int mlimg_tenant_given_apply(const struct mlimg_tenant_given *given,
	struct mlimg_tenant_settings *settings, struct mlimg_err *err)
{
	const struct mlimg_tenant_settings *g = &given->settings;
	struct mlimg_tenant_settings s = *settings;

#define TAKE(OPTION, field)                                  \
	if (given->options & BIT(MLIMG_TENANT_OPT_##OPTION)) \
	s.field = g->field
	TAKE(MEMORY, memory_bytes);
	TAKE(CPUS, cpus);
	TAKE(ACCEL, accel);
	TAKE(UNION, union_driver);
	TAKE(DISKS, disks);
	TAKE(VERITY, verity);
	TAKE(NET, net);
	TAKE(BOOT_TIMEOUT, boot_timeout_s);
	TAKE(AUTOSTART, autostart);
#undef TAKE
	if (given->options & BIT(MLIMG_TENANT_OPT_FORWARD)) {
		memcpy(s.forwards, g->forwards, sizeof(s.forwards));
		s.n_forwards = g->n_forwards;
	}
	*settings = s;
	return given->options & BIT(MLIMG_TENANT_OPT_APPEND)
		? apply_append(g->append, settings, err)
		: 0;
}

int mlimg_tenant_operands(int argc, char **argv, const char *const *operands, int n)
{
	if (argc - optind < n)
		return mlimg_cli_usage(MLIMG_VM_PROG, "%s is missing", operands[argc - optind]);
	if (argc - optind > n)
		return mlimg_cli_usage(MLIMG_VM_PROG, "unexpected operand '%s'", argv[optind + n]);
	return 0;
}

int mlimg_tenant_parse(int argc, char **argv, const char *help, const char *const *operands, int n,
	const char **ret_dir, bool *ret_json)
{
	/* --json is the first: who does not take it begins behind it. */
	static const struct option all[] = {{"json", no_argument, NULL, 'j'},
		{"store", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	const struct option *options = ret_json ? all : all + 1;
	int opt, code;

	*ret_dir = NULL;
	if (ret_json)
		*ret_json = false;
	while ((opt = mlimg_cli_getopt(MLIMG_VM_PROG, argc, argv, "h", options)) != -1)
		switch (opt) {
		case 'h': return mlimg_cli_help(MLIMG_VM_PROG, help);
		case 'j': *ret_json = true; break;
		case 's': *ret_dir = optarg; break;
		default: return MLIMG_EXIT_USAGE;
		}
	code = mlimg_tenant_operands(argc, argv, operands, n);
	return code ? code : -1;
}
