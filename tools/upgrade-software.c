/* SPDX-License-Identifier: MIT */
/* Software layers that were not built for a new system, and how they are. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/upgrade-fleet.h"

static size_t find_name(const struct mlimg_tenant_stack *stack, const char *name)
{
	size_t i = 0;

	while (i < stack->stack.n_layers &&
		(stack->layers[i].info.kind != MLIMG_SOFTWARE ||
			strcmp(stack->layers[i].info.name, name) != 0))
		i++;
	return i;
}

/* The layer of the new stack that is what the tenant has as build @id. */
static size_t find_former(
	const struct mlimg_tenant *was, const struct mlimg_tenant_stack *stack, const char *id)
{
	for (size_t i = 0; i < was->n_layers; i++)
		if (was->layers[i].info.kind == MLIMG_SOFTWARE &&
			strcmp(was->layers[i].info.build_id, id) == 0)
			return find_name(stack, was->layers[i].info.name);
	return stack->stack.n_layers;
}

/*
 * As libmlimg/stack.h: what it is over lies beneath it, in that order. And what lies beneath is not
 * to be built anew.
 */
static bool fits(const struct mlimg_tenant_stack *stack, size_t at, const bool *is_old)
{
	const struct mlimg_layer_info *info = &stack->layers[at].info;
	const char *system = mlimg_stack_system_id(&stack->stack);
	size_t i = 0;

	for (size_t k = 0; k < info->n_over; k++, i++) {
		for (; i < at; i++) {
			const struct mlimg_layer_info *beneath = &stack->layers[i].info;
			bool is_software = beneath->kind == MLIMG_SOFTWARE;
			bool is_top = !is_software &&
				(i + 1 == stack->stack.n_layers ||
					stack->layers[i + 1].info.kind != MLIMG_PATCH);
			const char *id = is_software ? beneath->build_id : is_top ? system : "";

			if (strcmp(id, info->over[k]) == 0)
				break;
		}
		if (i >= at || is_old[i])
			return false;
	}
	return true;
}

/* A word of a shell's, quoted where it has to be. */
static void put_word(FILE *f, const char *word)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				    "%+-./:=@_,";

	if (*word && strspn(word, plain) == strlen(word)) {
		fputs(word, f);
		return;
	}
	fputc('\'', f);
	for (; *word; word++)
		fputs(*word == '\'' ? "'\\''" : (char[]){*word, '\0'}, f);
	fputc('\'', f);
}

static void put_image(FILE *f, const struct mlimg_store *store,
	const struct mlimg_tenant_stack *stack, size_t at, const bool *is_old)
{
	const struct mlimg_layer_info *info = &stack->layers[at].info;
	mlimg_autofree char *path = mlimg_store_layer_path(store, info->build_id);

	if (is_old[at])
		fprintf(f, "%s-%s.img", info->name, info->version);
	else
		put_word(f, path ? path : "");
}

static void put_command(FILE *f, const struct mlimg_store *store, const struct mlimg_tenant *was,
	const struct mlimg_tenant_stack *stack, size_t at, const bool *is_old)
{
	const struct mlimg_layer_info *info = &stack->layers[at].info;

	fprintf(f, "mlimg-mkfs --kind software --name %s --version %s --over ", info->name,
		info->version);
	for (size_t i = 0; i < at && stack->layers[i].info.kind != MLIMG_SOFTWARE; i++) {
		fputs(i ? "," : "", f);
		put_image(f, store, stack, i, is_old);
	}
	for (size_t k = 0; k < info->n_over; k++) {
		size_t i = find_former(was, stack, info->over[k]);

		if (i < at) {
			fputc(',', f);
			put_image(f, store, stack, i, is_old);
		}
	}
	fprintf(f, " SOURCE %s-%s.img\n", info->name, info->version);
	fprintf(f, "mlimg-store --store ");
	put_word(f, mlimg_store_dir(store));
	fprintf(f, " add %s-%s.img\n", info->name, info->version);
}

int mlimg_upgrade_check_software(const struct mlimg_store *store, const struct mlimg_tenant *was,
	const struct mlimg_tenant_stack *stack, char **ret_way, struct mlimg_err *err)
{
	bool is_old[MLIMG_STACK_LAYERS_MAX] = {false};
	size_t n = stack->stack.n_layers, first = n, size;
	const struct mlimg_layer_info *top = NULL;
	char *way = NULL;
	FILE *f = open_memstream(&way, &size);

	if (!f)
		return mlimg_err_set(err, ENOMEM, "%s", was->row.name);
	for (size_t i = 0; i < n; i++) {
		if (stack->layers[i].info.kind != MLIMG_SOFTWARE)
			top = &stack->layers[i].info;
		is_old[i] = !fits(stack, i, is_old);
		if (is_old[i])
			put_command(f, store, was, stack, i, is_old);
		if (is_old[i] && first == n)
			first = i;
	}
	if (fclose(f) != 0 || first == n) {
		free(way);
		return first == n ? 0 : mlimg_err_set(err, ENOMEM, "%s", was->row.name);
	}
	*ret_way = way;
	return mlimg_err_refuse(err, "%s: software layer '%s %s' was not built for '%s %s'",
		was->row.name, stack->layers[first].info.name, stack->layers[first].info.version,
		top ? top->name : "", top ? top->version : "");
}
