/* SPDX-License-Identifier: MIT */
/* `mlimg-vm checkpoints`: which there are, and which can be gone back to. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "libmlimg/json.h"
#include "tools/cli.h"
#include "tools/tenant-options.h"
#include "tools/vm-checkpoint.h"

static const char help[] =
	"Usage: mlimg-vm checkpoints NAME [OPTION]...\n"
	"\n"
	"List a tenant's checkpoints, the oldest first: what was saved, on which\n"
	"generation, how much memory takes, and when. 'other layers': those of then are\n"
	"not the tenant's now, and must be before it is restored ('mlimg-vm set NAME\n"
	"--generation N'). 'lost': the user disk has it no more.\n"
	"\n"
	"  --json                  print JSON (default: text)\n" MLIMG_TENANT_STORE_HELP;

struct lister {
	struct mlimg_checkpoints of;
	json_t *saved; /* of the user disk; NULL: it cannot be asked */
	json_t *list;  /* NULL: text */
	bool has_head;
};

static void put_text(
	struct lister *l, const struct mlimg_checkpoint *c, bool is_lost, bool is_other)
{
	char size[MLIMG_CLI_SIZE_TEXT] = "-", time_text[MLIMG_CLI_TIME_TEXT];

	if (!l->has_head)
		printf("%-32s  %-6s  %10s  %9s  %s\n", "TAG", "KIND", "GENERATION", "MEMORY",
			"TAKEN (UTC)");
	l->has_head = true;
	if (c->kind == MLIMG_CHECKPOINT_MEMORY)
		mlimg_cli_format_size(c->saved_bytes, size);
	printf("%-32s  %-6s  %10u  %9s  %s%s\n", c->tag, mlimg_checkpoint_kind_name(c->kind),
		c->generation, size, mlimg_cli_format_time(c->created_s, time_text),
		is_lost            ? "  lost"
			: is_other ? "  other layers"
				   : "");
}

static int put_json(struct lister *l, const struct mlimg_checkpoint *c, bool is_lost, bool is_other,
	struct mlimg_err *err)
{
	bool is_memory = c->kind == MLIMG_CHECKPOINT_MEMORY;
	json_t *one = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:b}", "tag", c->tag, "kind",
		mlimg_checkpoint_kind_name(c->kind), "origin",
		mlimg_checkpoint_origin_name(c->origin), "generation", (json_int_t)c->generation,
		"saved_bytes", (json_int_t)c->saved_bytes, "created", (json_int_t)c->created_s,
		"is_lost", is_lost, "has_same_layers", !is_other);
	json_t *machine = is_memory
		? json_pack("{s:I, s:I, s:s}", "memory_bytes", (json_int_t)c->machine.memory_bytes,
			  "cpus", (json_int_t)c->machine.cpus, "devices", c->machine.devices)
		: json_null();

	if (json_object_set_new(one, "machine", machine) < 0 ||
		json_array_append_new(l->list, one) < 0)
		return mlimg_err_set(err, ENOMEM, "list checkpoints");
	return 0;
}

/* What is being saved or deleted is no checkpoint yet, or none any more. */
static int put(const struct mlimg_checkpoint *c, void *ctx, struct mlimg_err *err)
{
	struct lister *l = ctx;
	bool is_lost = l->saved && !json_object_get(l->saved, c->tag);
	bool is_other = mlimg_checkpoint_check_stack(&l->of, c, NULL) == -ESTALE;

	if (c->state == MLIMG_CHECKPOINT_SAVING || c->state == MLIMG_CHECKPOINT_DELETING)
		return 0;
	if (l->list)
		return put_json(l, c, is_lost, is_other, err);
	put_text(l, c, is_lost, is_other);
	return 0;
}

static int list(struct lister *l, const char *name, struct mlimg_err *err)
{
	int ret;

	/* QEMU does not answer while it saves: the rows are there all the same. */
	if (l->of.backend->saved(l->of.tenant, &l->saved, err) < 0) {
		mlimg_cli_warn(MLIMG_VM_PROG, "%s: its disk cannot be asked: %s", name, err->text);
		l->saved = NULL;
	}
	ret = mlimg_store_checkpoint_each(l->of.store, l->of.tenant->row.id, put, l, err);
	if (ret == 0 && l->list && json_dumpf(l->list, stdout, JSON_INDENT(2)) == 0)
		putchar('\n');
	return ret;
}

static int run(const char *dir, const char *name, bool json, struct mlimg_err *err)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	mlimg_autotenant struct mlimg_tenant tenant = {.run_s = 0};
	struct lister l = {.list = json ? json_array() : NULL};
	int ret = mlimg_store_open_given(dir, MLIMG_STORE_USE, &store, err);

	if (ret == 0)
		ret = mlimg_tenant_load(store, name, &tenant, err);
	if (ret == 0)
		ret = mlimg_checkpoints_of(store, &tenant, &l.of, err);
	if (ret == 0)
		ret = list(&l, name, err);
	json_decref(l.list);
	json_decref(l.saved);
	return ret;
}

int mlimg_vm_cmd_checkpoints(int argc, char **argv)
{
	static const char *const operands[] = {"the name of a tenant"};
	struct mlimg_err err = MLIMG_ERR_INIT;
	const char *dir;
	bool json;
	int code = mlimg_tenant_parse(argc, argv, help, operands, 1, &dir, &json);

	if (code >= 0)
		return code;
	if (run(dir, argv[optind], json, &err) < 0)
		return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	return mlimg_cli_close_stdout(MLIMG_VM_PROG);
}
