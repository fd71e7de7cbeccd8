/* SPDX-License-Identifier: MIT */
#include "tools/tenant-show.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/vm-machine.h"

void mlimg_setting_texts_done(struct mlimg_setting_text texts[MLIMG_TENANT_SETTINGS])
{
	for (size_t i = 0; i < MLIMG_TENANT_SETTINGS; i++) {
		free(texts[i].text);
		texts[i].text = NULL;
	}
}

static char *forwards_text(const struct mlimg_tenant_settings *s)
{
	char *all = calloc(s->n_forwards + 1, MLIMG_VM_FORWARD_TEXT);
	char one[MLIMG_VM_FORWARD_TEXT];

	for (size_t i = 0; all && i < s->n_forwards; i++) {
		if (i)
			strcat(all, " ");
		strcat(all, mlimg_vm_forward_text(&s->forwards[i], one));
	}
	if (all && !s->n_forwards)
		strcpy(all, "none");
	return all;
}

static char *number_text(unsigned number, const char *unit)
{
	char *text;

	return asprintf(&text, "%u%s", number, unit) < 0 ? NULL : text;
}

int mlimg_setting_texts(const struct mlimg_tenant_settings *s,
	struct mlimg_setting_text ret_texts[MLIMG_TENANT_SETTINGS], struct mlimg_err *err)
{
	char size[MLIMG_CLI_SIZE_TEXT];
	const struct mlimg_setting_text texts[MLIMG_TENANT_SETTINGS] = {
		{"memory", strdup(mlimg_cli_format_size(s->memory_bytes, size))},
		{"cpus", number_text(s->cpus, "")},
		{"accel", strdup(mlimg_accel_name(s->accel))},
		{"union", strdup(mlimg_union_name(s->union_driver))},
		{"disks", strdup(mlimg_disks_name(s->disks))},
		{"verity", strdup(mlimg_vm_verity_name(s->verity))},
		{"net", strdup(s->net ? "user" : "none")},
		{"forward", forwards_text(s)},
		{"append", strdup(s->append ? s->append : "none")},
		{"boot-timeout", number_text(s->boot_timeout_s, " s")},
		{"autostart", strdup(s->autostart ? "yes" : "no")},
	};

	memcpy(ret_texts, texts, sizeof(texts));
	for (size_t i = 0; i < MLIMG_TENANT_SETTINGS; i++)
		if (!texts[i].text)
			return mlimg_err_set(err, ENOMEM, "settings");
	return 0;
}

static json_t *forwards_json(const struct mlimg_tenant_settings *s)
{
	json_t *list = json_array();
	char one[MLIMG_VM_FORWARD_TEXT];

	for (size_t i = 0; list && i < s->n_forwards; i++)
		json_array_append_new(
			list, json_string(mlimg_vm_forward_text(&s->forwards[i], one)));
	return list;
}

json_t *mlimg_tenant_settings_json(const struct mlimg_tenant_settings *s)
{
	return json_pack("{s:I, s:i, s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:i, s:b}", "memory_bytes",
		(json_int_t)s->memory_bytes, "cpus", (int)s->cpus, "accel",
		mlimg_accel_name(s->accel), "union", mlimg_union_name(s->union_driver), "disks",
		mlimg_disks_name(s->disks), "verity", mlimg_vm_verity_name(s->verity), "net",
		s->net ? "user" : "none", "forwards", forwards_json(s), "append",
		s->append ? s->append : "", "boot_timeout_s", (int)s->boot_timeout_s, "autostart",
		(int)s->autostart);
}

json_t *mlimg_tenant_layers_json(const struct mlimg_store_layer *layers, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < n; i++)
		json_array_append_new(list,
			json_pack("{s:s, s:s, s:s, s:s}", "kind",
				mlimg_kind_name(layers[i].info.kind), "name", layers[i].info.name,
				"version", layers[i].info.version, "build_id",
				layers[i].info.build_id));
	return list;
}
