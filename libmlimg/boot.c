/* SPDX-License-Identifier: MIT */
#include "libmlimg/boot.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "libmlimg/json.h"

static const char *change_name(enum mlimg_boot_change change)
{
	static const char *const names[] = {
		[MLIMG_BOOT_UNKNOWN] = "unknown",
		[MLIMG_BOOT_FIRST] = "first",
		[MLIMG_BOOT_NONE] = "none",
		[MLIMG_BOOT_CHANGED] = "changed",
	};

	return names[change];
}

static const char *const mode_names[] = {
	[MLIMG_BOOT_NORMAL] = "normal",
	[MLIMG_BOOT_VOLATILE] = "volatile",
	[MLIMG_BOOT_READONLY] = "readonly",
	[MLIMG_BOOT_RESCUE] = "rescue",
};

const char *mlimg_boot_mode_name(enum mlimg_boot_mode mode)
{
	return mode_names[mode];
}

bool mlimg_boot_mode_of(const char *name, enum mlimg_boot_mode *ret_mode)
{
	for (enum mlimg_boot_mode mode = MLIMG_BOOT_NORMAL; mode <= MLIMG_BOOT_RESCUE; mode++)
		if (strcmp(name, mode_names[mode]) == 0) {
			*ret_mode = mode;
			return true;
		}
	return false;
}

bool mlimg_boot_reset_is_valid(const char *word)
{
	static const char first[] =
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t len = strlen(word);

	for (const char *c = word; *c; c++)
		if (!strchr(first, *c) && (c == word || !strchr("._-", *c)))
			return false;
	return len > 0 && len <= MLIMG_BOOT_RESET_MAX;
}

static bool is_overlayfs(const char *union_driver)
{
	return strcmp(union_driver, MLIMG_UNION_INDEX) == 0 ||
		strcmp(union_driver, MLIMG_UNION_OVERLAY) == 0;
}

bool mlimg_boot_is_same_upper(const char *union_driver, const char *other)
{
	return strcmp(union_driver, other) == 0 ||
		(is_overlayfs(union_driver) && is_overlayfs(other));
}

void mlimg_boot_stack_of(const struct mlimg_stack *stack, const char *union_driver,
	struct mlimg_boot_stack *ret_stack)
{
	memset(ret_stack, 0, sizeof(*ret_stack));
	strncpy(ret_stack->union_driver, union_driver, sizeof(ret_stack->union_driver) - 1);
	mlimg_stack_id(stack, ret_stack->stack_id);
	for (size_t i = 0; i < stack->n_layers; i++) {
		struct mlimg_boot_layer *layer = &ret_stack->layers[ret_stack->n_layers++];

		layer->kind = stack->layers[i]->kind;
		strcpy(layer->name, stack->layers[i]->name);
		strcpy(layer->version, stack->layers[i]->version);
		strcpy(layer->build_id, stack->layers[i]->build_id);
		strcpy(layer->result, stack->layers[i]->result);
	}
}

bool mlimg_boot_stack_shows_same(const struct mlimg_boot_stack *a, const struct mlimg_boot_stack *b)
{
	return strcmp(a->stack_id, b->stack_id) == 0 && strcmp(a->composed, b->composed) == 0;
}

bool mlimg_boot_stack_is_same(const struct mlimg_boot_stack *a, const struct mlimg_boot_stack *b)
{
	if (strcmp(a->union_driver, b->union_driver) != 0 || a->n_layers != b->n_layers)
		return false;
	for (size_t i = 0; i < a->n_layers; i++)
		if (strcmp(a->layers[i].build_id, b->layers[i].build_id) != 0)
			return false;
	return true;
}

static json_t *pack_mount(const struct mlimg_boot_stack *stack, const char *root, size_t i)
{
	if (strcmp(stack->union_driver, MLIMG_UNION_INDEX) == 0)
		return json_null();
	return json_sprintf("%s/layers/%zu", root, i);
}

/* With @root the mounts are told. jansson takes NULL for a value that failed, and says so in the end. */
static json_t *pack_layers(const struct mlimg_boot_stack *stack, const char *root)
{
	mlimg_autojson json_t *layers = json_array();

	for (size_t i = 0; i < stack->n_layers; i++) {
		const struct mlimg_boot_layer *layer = &stack->layers[i];
		json_t *item = json_pack("{s:s,s:s,s:s,s:s,s:s*}", "kind",
			mlimg_kind_name(layer->kind), "name", layer->name, "version",
			layer->version, "build_id", layer->build_id, "result",
			layer->kind == MLIMG_PATCH ? layer->result : NULL);

		if (root && json_object_set_new(item, "mount", pack_mount(stack, root, i)) < 0) {
			json_decref(item);
			return NULL;
		}
		if (json_array_append_new(layers, item) < 0)
			return NULL;
	}
	return mlimg_steal(&layers);
}

static int set_stack(json_t *json, const struct mlimg_boot_stack *stack, const char *root)
{
	int r = 0;

	r |= json_object_set_new(json, "union", json_string(stack->union_driver));
	r |= json_object_set_new(json, "stack_id", json_string(stack->stack_id));
	if (stack->composed[0])
		r |= json_object_set_new(json, "composed", json_string(stack->composed));
	r |= json_object_set_new(json, "stack", pack_layers(stack, root));
	return r;
}

static json_t *pack_previous(const struct mlimg_boot_stack *previous)
{
	json_t *json = previous ? json_object() : json_null();

	if (!previous || set_stack(json, previous, NULL) == 0)
		return json;
	json_decref(json);
	return NULL;
}

static json_t *pack_report(const struct mlimg_boot *boot)
{
	mlimg_autojson json_t *counts = json_object();

	if (!boot->has_report)
		return json_null();
	for (enum mlimg_verdict v = MLIMG_KEEP; v < MLIMG_N_VERDICTS; v++)
		if (json_object_set_new(counts, mlimg_verdict_name(v),
			    json_integer((json_int_t)boot->counts[v])) < 0)
			return NULL;
	return json_pack("{s:o,s:O}", "path",
		boot->is_report_lost ? json_null()
				     : json_sprintf("%s/user/mlimg/reports/%llu.json", boot->root,
					       (unsigned long long)boot->generation),
		"counts", counts);
}

static json_t *pack_reconcile(const struct mlimg_boot *boot)
{
	mlimg_autojson json_t *json = json_object();
	int r = 0;

	if (boot->reconciled == MLIMG_BOOT_NOT_RECONCILED)
		return json_null();
	r |= json_object_set_new(json, "done",
		json_string(
			boot->reconciled == MLIMG_BOOT_RECONCILED ? "reconciled" : "rolled-back"));
	r |= json_object_set_new(json, "steps", json_integer((json_int_t)boot->steps));
	for (enum mlimg_done done = MLIMG_DONE_DROPPED; done < MLIMG_N_DONE; done++)
		r |= json_object_set_new(
			json, mlimg_done_name(done), json_integer((json_int_t)boot->done[done]));
	return r == 0 ? mlimg_steal(&json) : NULL;
}

/* NULL, the failure to make one, is told from null, which is a value. */
static json_t *pack_or_null(bool is_there, json_t *value)
{
	if (is_there)
		return value;
	json_decref(value);
	return json_null();
}

static json_t *pack_user(const struct mlimg_boot *boot)
{
	const struct mlimg_boot_user *user = &boot->user;

	if (!user->name[0])
		return json_null();
	return json_pack("{s:s,s:s,s:o,s:b,s:o,s:o,s:o}", "name", user->name, "build_id",
		user->build_id, "mount", json_sprintf("%s/user", boot->root), "formatted",
		user->is_formatted, "fsck",
		pack_or_null(user->is_checked,
			json_pack(
				"{s:i,s:s}", "status", user->fsck_status, "said", user->fsck_said)),
		"grown",
		pack_or_null(user->grown_to > 0,
			json_pack("{s:I,s:I}", "from_bytes", (json_int_t)user->grown_from,
				"to_bytes", (json_int_t)user->grown_to)),
		"reset",
		pack_or_null(user->reset[0],
			json_pack("{s:s,s:o}", "request", user->reset, "aside",
				json_sprintf(
					"%s/user/mlimg/aside/reset-%s", boot->root, user->reset))));
}

static json_t *pack_protected(const struct mlimg_boot *boot)
{
	mlimg_autojson json_t *paths = json_array();

	if (!boot->protected_aside)
		return json_null();
	for (size_t i = 0; i < boot->n_protected_paths; i++)
		if (json_array_append_new(paths, json_string(boot->protected_paths[i])) < 0)
			return NULL;
	return json_pack("{s:o,s:I,s:O}", "aside",
		json_sprintf("%s/user/mlimg/aside/%s", boot->root, boot->protected_aside), "n",
		(json_int_t)boot->n_protected, "paths", paths);
}

static json_t *pack_notes(const struct mlimg_boot *boot)
{
	mlimg_autojson json_t *notes = json_array();

	for (size_t i = 0; i < boot->n_notes; i++)
		if (json_array_append_new(notes, json_string(boot->notes[i])) < 0)
			return NULL;
	return mlimg_steal(&notes);
}

static int dump(json_t *json, const char *what, char **ret_text, struct mlimg_err *err)
{
	mlimg_autofree char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;

	if (!text || asprintf(ret_text, "%s\n", text) < 0)
		return mlimg_err_set(err, ENOMEM, "write %s", what);
	return 0;
}

int mlimg_boot_to_json(const struct mlimg_boot *boot, char **ret_text, struct mlimg_err *err)
{
	mlimg_autojson json_t *json = json_object();
	int r = 0;

	r |= json_object_set_new(json, "format", json_integer(MLIMG_BOOT_FORMAT));
	r |= json_object_set_new(json, "mode", json_string(mlimg_boot_mode_name(boot->mode)));
	r |= set_stack(json, &boot->stack, boot->root);
	r |= json_object_set_new(
		json, "disks", json_string(boot->is_joined ? "joined" : "separate"));
	r |= json_object_set_new(json, "verity", json_string(boot->verity ? boot->verity : "off"));
	r |= json_object_set_new(json, "user", pack_user(boot));
	r |= json_object_set_new(json, "carve_outs", json_array());
	r |= json_object_set_new(json, "protected", pack_protected(boot));
	r |= json_object_set_new(json, "generation", json_integer((json_int_t)boot->generation));
	r |= json_object_set_new(json, "change", json_string(change_name(boot->change)));
	r |= json_object_set_new(json, "previous", pack_previous(boot->previous));
	r |= json_object_set_new(json, "report", pack_report(boot));
	r |= json_object_set_new(json, "reconcile", pack_reconcile(boot));
	r |= json_object_set_new(json, "notes", pack_notes(boot));
	return dump(r == 0 ? json : NULL, "boot.json", ret_text, err);
}

void mlimg_boot_note(struct mlimg_boot *boot, const char *fmt, ...)
{
	va_list ap;

	if (boot->n_notes == MLIMG_BOOT_NOTES_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(boot->notes[boot->n_notes++], MLIMG_ERR_TEXT_SIZE, fmt, ap);
	va_end(ap);
}

static void print_no_room(char ret_note[MLIMG_ERR_TEXT_SIZE], const char *what, bool is_changed)
{
	snprintf(ret_note, MLIMG_ERR_TEXT_SIZE,
		"no room in the user layer for %s: free some; %s the next boot", what,
		is_changed ? "the comparison is repeated at" : "the stack is recorded by");
}

void mlimg_boot_note_no_room(struct mlimg_boot *boot, const char *what)
{
	if (boot->n_notes < MLIMG_BOOT_NOTES_MAX)
		print_no_room(
			boot->notes[boot->n_notes++], what, boot->change == MLIMG_BOOT_CHANGED);
}

int mlimg_boot_json_add_no_room(
	const char *text, size_t size, const char *what, char **ret_text, struct mlimg_err *err)
{
	mlimg_autojson json_t *json = NULL;
	char note[MLIMG_ERR_TEXT_SIZE];
	json_t *notes;
	int r = mlimg_json_load("boot.json", text, size, &json, err);

	if (r < 0)
		return r;
	notes = json_object_get(json, "notes");
	if (!json_is_array(notes))
		return mlimg_err_refuse(err, "boot.json: no list 'notes'");
	print_no_room(note, what, json_is_object(json_object_get(json, "previous")));
	r = json_array_append_new(notes, json_string(note));
	return dump(r == 0 ? json : NULL, "boot.json", ret_text, err);
}

int mlimg_boot_json_set_carve_outs(const char *text, size_t size, const char *const paths[],
	size_t n_paths, const char *const notes[], size_t n_notes, char **ret_text,
	struct mlimg_err *err)
{
	mlimg_autojson json_t *json = NULL, *carve_outs = json_array();
	json_t *list;
	int r = mlimg_json_load("boot.json", text, size, &json, err);

	if (r < 0)
		return r;
	list = json_object_get(json, "notes");
	if (!json_is_array(list))
		return mlimg_err_refuse(err, "boot.json: no list 'notes'");
	for (size_t i = 0; i < n_paths; i++)
		r |= json_array_append_new(carve_outs, json_sprintf("/%s", paths[i]));
	r |= json_object_set(json, "carve_outs", carve_outs);
	for (size_t i = 0; i < n_notes && json_array_size(list) < MLIMG_BOOT_NOTES_MAX; i++)
		r |= json_array_append_new(list, json_string(notes[i]));
	return dump(r == 0 ? json : NULL, "boot.json", ret_text, err);
}

int mlimg_boot_state_to_json(
	const struct mlimg_boot_state *state, char **ret_text, struct mlimg_err *err)
{
	mlimg_autojson json_t *json = json_object();
	int r = 0;

	r |= json_object_set_new(json, "format", json_integer(MLIMG_BOOT_FORMAT));
	r |= json_object_set_new(json, "generation", json_integer((json_int_t)state->generation));
	r |= set_stack(json, &state->stack, NULL);
	r |= json_object_set_new(json, "base_sha256", json_string(state->base_sha256));
	r |= json_object_set_new(
		json, "base_size_bytes", json_integer((json_int_t)state->base_size_bytes));
	if (state->texts_sha256[0]) {
		r |= json_object_set_new(json, "texts_sha256", json_string(state->texts_sha256));
		r |= json_object_set_new(json, "texts_size_bytes",
			json_integer((json_int_t)state->texts_size_bytes));
	}
	return dump(r == 0 ? json : NULL, "state.json", ret_text, err);
}

static int get_digest(const json_t *json, const char *key, char ret_hex[MLIMG_SHA256_HEX_SIZE],
	struct mlimg_err *err)
{
	uint8_t digest[MLIMG_SHA256_SIZE];
	int r = mlimg_json_get_text("state.json", json, key, ret_hex, MLIMG_SHA256_HEX_SIZE, err);

	if (r < 0)
		return r;
	if (!mlimg_sha256_is_hex(ret_hex, digest))
		return mlimg_err_refuse(err, "state.json: '%s' is no digest", key);
	return 0;
}

static int get_name(const json_t *json, const char *key, char ret_name[MLIMG_LAYER_NAME_MAX + 1],
	struct mlimg_err *err)
{
	int r = mlimg_json_get_text(
		"state.json", json, key, ret_name, MLIMG_LAYER_NAME_MAX + 1, err);

	if (r < 0)
		return r;
	if (!mlimg_layer_name_is_valid(ret_name))
		return mlimg_err_refuse(err, "state.json: '%s' is no valid %s", ret_name, key);
	return 0;
}

static int get_layer(const json_t *json, struct mlimg_boot_layer *layer, struct mlimg_err *err)
{
	char kind[16];
	int r = mlimg_json_get_text("state.json", json, "kind", kind, sizeof(kind), err);

	if (r < 0)
		return r;
	layer->kind = mlimg_kind_of(kind);
	if (!layer->kind || layer->kind == MLIMG_USER)
		return mlimg_err_refuse(err, "state.json: kind '%s' in a stack", kind);
	r = get_name(json, "name", layer->name, err);
	if (r < 0)
		return r;
	r = get_name(json, "version", layer->version, err);
	if (r < 0)
		return r;
	r = get_digest(json, "build_id", layer->build_id, err);
	if (r == 0 && layer->kind == MLIMG_PATCH)
		r = get_digest(json, "result", layer->result, err);
	return r;
}

static int get_stack(const json_t *json, struct mlimg_boot_stack *stack, struct mlimg_err *err)
{
	const json_t *layers = json_object_get(json, "stack");
	size_t n = json_array_size(layers);
	int r = mlimg_json_get_text(
		"state.json", json, "union", stack->union_driver, sizeof(stack->union_driver), err);

	if (r < 0)
		return r;
	r = get_digest(json, "stack_id", stack->stack_id, err);
	if (r == 0 && json_object_get(json, "composed"))
		r = get_digest(json, "composed", stack->composed, err);
	if (r < 0)
		return r;
	if (!json_is_array(layers) || n == 0 || n > MLIMG_BOOT_LAYERS_MAX)
		return mlimg_err_refuse(err, "state.json: 'stack' is no list of 1 to %d layers",
			MLIMG_BOOT_LAYERS_MAX);
	for (size_t i = 0; i < n; i++) {
		r = get_layer(json_array_get(layers, i), &stack->layers[i], err);
		if (r < 0)
			return r;
	}
	stack->n_layers = n;
	return 0;
}

static int fill(const json_t *json, struct mlimg_boot_state *state, struct mlimg_err *err)
{
	json_int_t format, generation, size_bytes;
	int r = mlimg_json_get_integer("state.json", json, "format", 0, &format, err);

	if (r < 0)
		return r;
	if (format != MLIMG_BOOT_FORMAT)
		return mlimg_err_refuse(
			err, "state.json: format %lld is unknown", (long long)format);
	r = mlimg_json_get_integer("state.json", json, "generation", 1, &generation, err);
	if (r < 0)
		return r;
	if (generation > MLIMG_BOOT_GENERATION_MAX)
		return mlimg_err_refuse(
			err, "state.json: 'generation' is %lld", (long long)generation);
	state->generation = (uint64_t)generation;
	r = get_stack(json, &state->stack, err);
	if (r < 0)
		return r;
	r = mlimg_json_get_integer("state.json", json, "base_size_bytes", 0, &size_bytes, err);
	if (r < 0)
		return r;
	state->base_size_bytes = (uint64_t)size_bytes;
	r = get_digest(json, "base_sha256", state->base_sha256, err);
	if (r < 0 || !json_object_get(json, "texts_sha256"))
		return r;
	r = mlimg_json_get_integer("state.json", json, "texts_size_bytes", 0, &size_bytes, err);
	if (r < 0)
		return r;
	state->texts_size_bytes = (uint64_t)size_bytes;
	return get_digest(json, "texts_sha256", state->texts_sha256, err);
}

int mlimg_boot_state_from_json(
	const char *text, size_t size, struct mlimg_boot_state *ret_state, struct mlimg_err *err)
{
	struct mlimg_boot_state state = {0};
	mlimg_autojson json_t *json = NULL;
	int r;

	if (size > MLIMG_BOOT_STATE_MAX)
		return mlimg_err_refuse(
			err, "state.json is longer than %d bytes", MLIMG_BOOT_STATE_MAX);
	r = mlimg_json_load("state.json", text, size, &json, err);
	if (r < 0)
		return r;
	r = fill(json, &state, err);
	if (r < 0)
		return r;
	*ret_state = state;
	return 0;
}
