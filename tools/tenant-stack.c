/* SPDX-License-Identifier: MIT */
#include "tools/tenant-stack.h"

#include <errno.h>
#include <string.h>

#include "tools/store-impl.h"

#define SYSTEMS (MLIMG_STORE_KIND(MLIMG_SYSTEM) | MLIMG_STORE_KIND(MLIMG_PATCH))

bool mlimg_stack_wish_is_empty(const struct mlimg_stack_wish *wish)
{
	return !wish->system && !wish->n_patches && !wish->n_software && !wish->no_software &&
		!wish->n_add && !wish->n_remove;
}

void mlimg_tenant_stack_done(struct mlimg_tenant_stack *stack)
{
	for (size_t i = 0; i < MLIMG_STACK_LAYERS_MAX; i++)
		mlimg_store_layer_done(&stack->layers[i]);
	stack->stack = (struct mlimg_stack){.n_layers = 0};
}

size_t mlimg_tenant_stack_ids(
	const struct mlimg_tenant_stack *stack, const char *ret_ids[MLIMG_STACK_LAYERS_MAX])
{
	for (size_t i = 0; i < stack->stack.n_layers; i++)
		ret_ids[i] = stack->layers[i].info.build_id;
	return stack->stack.n_layers;
}

void mlimg_tenant_stack_describe(
	const struct mlimg_store_layer *layers, size_t n, char ret_text[MLIMG_TENANT_STACK_TEXT])
{
	size_t len = 0;

	ret_text[0] = '\0';
	for (size_t i = 0; i < n && len < MLIMG_TENANT_STACK_TEXT; i++)
		if (i + 1 == n || layers[i + 1].info.kind != MLIMG_PATCH)
			len += (size_t)snprintf(ret_text + len, MLIMG_TENANT_STACK_TEXT - len,
				"%s%s %s", len ? " + " : "", layers[i].info.name,
				layers[i].info.version);
}

bool mlimg_tenant_stack_doubt(
	const struct mlimg_tenant_stack *stack, char ret_text[MLIMG_ERR_TEXT_SIZE])
{
	const char *missing;
	size_t i;

	if (mlimg_stack_is_built_over(&stack->stack, &i, &missing))
		return false;
	snprintf(ret_text, MLIMG_ERR_TEXT_SIZE,
		"software layer '%s %s' was built over a layer that is not beneath it (%.*s)",
		stack->layers[i].info.name, stack->layers[i].info.version, MLIMG_SHORT_ID, missing);
	return true;
}

/* What is under way. */
struct choosing {
	struct mlimg_store *store;
	struct mlimg_tenant_stack *s;
};

static int push(const struct choosing *c, const char *build_id, struct mlimg_err *err)
{
	size_t n = c->s->stack.n_layers;
	int ret;

	if (n == MLIMG_STACK_LAYERS_MAX)
		return mlimg_err_refuse(err, "more than %d layers", MLIMG_STACK_LAYERS_MAX);
	ret = mlimg_store_layer_get(c->store, build_id, &c->s->layers[n], err);
	return ret < 0 ? ret : mlimg_stack_push(&c->s->stack, &c->s->layers[n].info, err);
}

/* The system that somebody means: one that is there as an image and as a patch is one system. */
struct system {
	char id[MLIMG_SHA256_HEX_SIZE], provides[MLIMG_SHA256_HEX_SIZE];
	bool is_exact, is_image, is_ambiguous;
};

static int take_system(
	const struct mlimg_store_layer *layer, bool is_exact, void *ctx, struct mlimg_err *err)
{
	struct system *s = ctx;
	const char *provides = mlimg_store_layer_provides(&layer->info);
	bool is_image = layer->info.kind == MLIMG_SYSTEM;

	if (s->id[0] && strcmp(provides, s->provides) != 0) {
		s->is_ambiguous |= is_exact;
		return 0;
	}
	if (s->id[0] && (s->is_image || !is_image))
		return 0;
	strcpy(s->id, layer->info.build_id);
	strcpy(s->provides, provides);
	s->is_exact = is_exact;
	s->is_image = is_image;
	return 0;
}

static int take_provider(const struct mlimg_store_layer *layer, void *ctx, struct mlimg_err *err)
{
	struct system *s = ctx;
	bool is_image = layer->info.kind == MLIMG_SYSTEM;

	if (strcmp(mlimg_store_layer_provides(&layer->info), s->provides) == 0 &&
		(!s->id[0] || is_image))
		strcpy(s->id, layer->info.build_id);
	return 0;
}

/* What a patch lies over, down to an image; then upwards. */
static int push_system(
	const struct choosing *c, const char *id, unsigned depth, struct mlimg_err *err)
{
	mlimg_autostorelayer struct mlimg_store_layer layer = {.size_bytes = 0};
	struct system beneath = {.id = ""};
	int ret = mlimg_store_layer_get(c->store, id, &layer, err);

	if (ret < 0)
		return ret;
	if (layer.info.kind != MLIMG_PATCH)
		return push(c, id, err);
	if (depth == MLIMG_STACK_PATCH_MAX)
		return mlimg_err_refuse(err, "patch '%s %s' lies over more than %d others",
			layer.info.name, layer.info.version, MLIMG_STACK_PATCH_MAX - 1);
	strcpy(beneath.provides, layer.info.base);
	for (enum mlimg_kind kind = MLIMG_SYSTEM; ret == 0 && kind <= MLIMG_KIND_LAST; kind++)
		if (SYSTEMS & MLIMG_STORE_KIND(kind))
			ret = mlimg_store_layer_each(c->store, kind, take_provider, &beneath, err);
	if (ret < 0)
		return ret;
	if (!beneath.id[0])
		return mlimg_err_refuse(err,
			"patch '%s %s' lies over build %.*s, which the store does not have",
			layer.info.name, layer.info.version, MLIMG_SHORT_ID, layer.info.base);
	ret = push_system(c, beneath.id, depth + 1, err);
	return ret < 0 ? ret : push(c, id, err);
}

static int choose_system(const struct choosing *c, const char *text, struct mlimg_err *err)
{
	struct system s = {.id = ""};
	int ret = mlimg_store_layer_match(c->store, text, SYSTEMS, take_system, &s, err);

	if (ret < 0)
		return ret;
	/* The store says it in its own words. */
	if (!s.id[0] || s.is_ambiguous) {
		mlimg_autostorelayer struct mlimg_store_layer none = {.size_bytes = 0};

		ret = mlimg_store_layer_find(c->store, text, SYSTEMS, &none, NULL, err);
		if (ret < 0)
			return ret == -ENOENT ? mlimg_store_fail(err, ENOENT,
							"the store has no system '%.64s'", text)
					      : ret;
	}
	return push_system(c, s.id, 0, err);
}

static int keep_system(
	const struct choosing *c, const struct mlimg_tenant *was, struct mlimg_err *err)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < was->n_layers; i++)
		if (was->layers[i].info.kind != MLIMG_SOFTWARE)
			ret = push(c, was->layers[i].info.build_id, err);
	return ret;
}

static int add_patches(
	const struct choosing *c, const struct mlimg_stack_wish *wish, struct mlimg_err *err)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < wish->n_patches; i++) {
		mlimg_autostorelayer struct mlimg_store_layer layer = {.size_bytes = 0};

		ret = mlimg_store_layer_find(c->store, wish->patches[i],
			MLIMG_STORE_KIND(MLIMG_PATCH), &layer, NULL, err);
		if (ret == -ENOENT)
			return mlimg_store_fail(
				err, ENOENT, "the store has no patch '%.64s'", wish->patches[i]);
		if (ret == 0)
			ret = push(c, layer.info.build_id, err);
	}
	return ret;
}

/* Whether what a layer was built over lies beneath it, in this order; others may lie between. */
static bool fits(const struct mlimg_stack *stack, const struct mlimg_layer_info *info)
{
	const char *ids[1 + MLIMG_STACK_SOFTWARE_MAX];
	size_t n = mlimg_stack_ids(stack, ids), i = 0;

	for (size_t k = 0; k < info->n_over; k++, i++) {
		while (i < n && strcmp(ids[i], info->over[k]) != 0)
			i++;
		if (i == n)
			return false;
	}
	return true;
}

struct software {
	const struct mlimg_stack *stack;
	char name[MLIMG_LAYER_NAME_MAX + 1]; /* of the first */
	char id[MLIMG_SHA256_HEX_SIZE];      /* of the first that fits */
	bool is_exact;                       /* of the first: what is not, was not meant then */
};

static int take_software(
	const struct mlimg_store_layer *layer, bool is_exact, void *ctx, struct mlimg_err *err)
{
	struct software *s = ctx;

	if (!s->name[0]) {
		strcpy(s->name, layer->info.name);
		s->is_exact = is_exact;
	}
	if (!s->id[0] && s->stack && is_exact == s->is_exact && fits(s->stack, &layer->info))
		strcpy(s->id, layer->info.build_id);
	return 0;
}

static int find_software(const struct choosing *c, const char *text, struct software *ret_software,
	struct mlimg_err *err)
{
	return mlimg_store_layer_match(
		c->store, text, MLIMG_STORE_KIND(MLIMG_SOFTWARE), take_software, ret_software, err);
}

/* Where none fits, the one that is meant all the same: who chooses it is told. */
static int push_software(const struct choosing *c, const char *text, struct mlimg_err *err)
{
	mlimg_autostorelayer struct mlimg_store_layer layer = {.size_bytes = 0};
	struct software s = {.stack = &c->s->stack};
	int ret = find_software(c, text, &s, err);

	if (ret < 0 || s.id[0])
		return ret < 0 ? ret : push(c, s.id, err);
	ret = mlimg_store_layer_find(
		c->store, text, MLIMG_STORE_KIND(MLIMG_SOFTWARE), &layer, NULL, err);
	if (ret == -ENOENT)
		return mlimg_store_fail(
			err, ENOENT, "the store has no software layer '%.64s'", text);
	return ret < 0 ? ret : push(c, layer.info.build_id, err);
}

static int push_kept(
	const struct choosing *c, const struct mlimg_layer_info *info, struct mlimg_err *err)
{
	char text[2 * MLIMG_LAYER_NAME_MAX + 2];
	struct software s = {.stack = &c->s->stack};
	int ret;

	if (fits(&c->s->stack, info))
		return push(c, info->build_id, err);
	snprintf(text, sizeof(text), "%s:%s", info->name, info->version);
	ret = find_software(c, text, &s, err);
	if (ret < 0)
		return ret;
	return push(c, s.is_exact && s.id[0] ? s.id : info->build_id, err);
}

/* A place of the software: what somebody wrote, or what is there. */
struct place {
	const char *text;
	const struct mlimg_layer_info *kept;
};

struct places {
	struct place places[2 * MLIMG_STACK_SOFTWARE_MAX];
	size_t n;
};

static bool is_meant(const struct mlimg_layer_info *info, const char *text)
{
	char exact[2 * MLIMG_LAYER_NAME_MAX + 2];

	snprintf(exact, sizeof(exact), "%s:%s", info->name, info->version);
	return strcmp(info->name, text) == 0 || strcmp(exact, text) == 0 ||
		(strlen(text) >= MLIMG_STORE_PREFIX_MIN &&
			strncmp(info->build_id, text, strlen(text)) == 0);
}

static int take_away(
	struct places *p, const char *text, const struct mlimg_tenant *was, struct mlimg_err *err)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		if (!is_meant(p->places[i].kept, text))
			p->places[n++] = p->places[i];
	if (n == p->n)
		return mlimg_store_fail(err, ENOENT, "tenant '%s' has no software layer '%.64s'",
			was->row.name, text);
	p->n = n;
	return 0;
}

/* A layer of the same name is given way to in its place. */
static int put_in(
	const struct choosing *c, struct places *p, const char *text, struct mlimg_err *err)
{
	struct software s = {.stack = NULL};
	int ret = find_software(c, text, &s, err);
	size_t i;

	if (ret < 0)
		return ret;
	for (i = 0; i < p->n; i++)
		if (p->places[i].kept && strcmp(p->places[i].kept->name, s.name) == 0)
			break;
	p->places[i] = (struct place){.text = text};
	p->n += i == p->n;
	return 0;
}

static int find_places(const struct choosing *c, const struct mlimg_stack_wish *wish,
	const struct mlimg_tenant *was, struct places *p, struct mlimg_err *err)
{
	bool is_kept = was && !wish->n_software && !wish->no_software;
	int ret = 0;

	for (size_t i = 0; is_kept && i < was->n_layers; i++)
		if (was->layers[i].info.kind == MLIMG_SOFTWARE)
			p->places[p->n++] = (struct place){.kept = &was->layers[i].info};
	for (size_t i = 0; ret == 0 && i < wish->n_remove; i++)
		ret = take_away(p, wish->remove[i], was, err);
	for (size_t i = 0; i < wish->n_software; i++)
		p->places[p->n++] = (struct place){.text = wish->software[i]};
	for (size_t i = 0; ret == 0 && i < wish->n_add; i++)
		ret = put_in(c, p, wish->add[i], err);
	return ret;
}

int mlimg_tenant_stack_choose(struct mlimg_store *store, const struct mlimg_stack_wish *wish,
	const struct mlimg_tenant *was, struct mlimg_tenant_stack *ret_stack, struct mlimg_err *err)
{
	const struct choosing c = {.store = store, .s = ret_stack};
	struct places p = {.n = 0};
	int ret = wish->system ? choose_system(&c, wish->system, err) : keep_system(&c, was, err);

	if (ret == 0)
		ret = add_patches(&c, wish, err);
	if (ret == 0)
		ret = find_places(&c, wish, was, &p, err);
	for (size_t i = 0; ret == 0 && i < p.n; i++)
		ret = p.places[i].text ? push_software(&c, p.places[i].text, err)
				       : push_kept(&c, p.places[i].kept, err);
	return ret;
}
