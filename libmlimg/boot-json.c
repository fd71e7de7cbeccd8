/* SPDX-License-Identifier: MIT */
/* boot.json: what a boot writes down for whoever runs later. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libmlimg/boot-impl.h"

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

static json_t *pack_mount(const struct mlimg_boot_stack *stack, const char *root, size_t i)
{
	if (strcmp(stack->union_driver, MLIMG_UNION_INDEX) == 0)
		return json_null();
	return json_sprintf("%s/layers/%zu", root, i);
}

/*
 * With @root the mounts are told. jansson takes NULL for a value that failed, and says so in the
 * end.
 */
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

int mlimg_boot_json_set_stack(json_t *json, const struct mlimg_boot_stack *stack, const char *root)
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

	if (!previous || mlimg_boot_json_set_stack(json, previous, NULL) == 0)
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
		pack_or_null(user->reset.word[0],
			json_pack("{s:s,s:o}", "request", user->reset.word, "aside",
				json_sprintf(
					"%s/user/mlimg/aside/%s", boot->root, user->reset.aside))));
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

static json_t *pack_queue(const struct mlimg_boot *boot)
{
	const struct mlimg_boot_queue *queue = &boot->queue;

	if (!queue->number)
		return json_null();
	return json_pack("{s:o,s:I,s:I}", "report",
		json_sprintf("%s/user/mlimg/reports/queue-%llu.json", boot->root,
			(unsigned long long)queue->number),
		"done", (json_int_t)queue->n_done, "left", (json_int_t)queue->n_left);
}

static json_t *pack_notes(const struct mlimg_boot *boot)
{
	mlimg_autojson json_t *notes = json_array();

	for (size_t i = 0; i < boot->n_notes; i++)
		if (json_array_append_new(notes, json_string(boot->notes[i])) < 0)
			return NULL;
	return mlimg_steal(&notes);
}

int mlimg_boot_json_dump(json_t *json, const char *what, char **ret_text, struct mlimg_err *err)
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
	r |= mlimg_boot_json_set_stack(json, &boot->stack, boot->root);
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
	r |= json_object_set_new(json, "queue", pack_queue(boot));
	r |= json_object_set_new(json, "notes", pack_notes(boot));
	return mlimg_boot_json_dump(r == 0 ? json : NULL, "boot.json", ret_text, err);
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
	mlimg_boot_print_no_room(note, what, json_is_object(json_object_get(json, "previous")));
	r = json_array_append_new(notes, json_string(note));
	return mlimg_boot_json_dump(r == 0 ? json : NULL, "boot.json", ret_text, err);
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
	return mlimg_boot_json_dump(r == 0 ? json : NULL, "boot.json", ret_text, err);
}
