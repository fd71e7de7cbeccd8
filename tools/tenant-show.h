/* SPDX-License-Identifier: MIT */
/**
 * @file tenant-show.h
 * How a tenant's settings and layers are shown, to people and to scripts.
 */
#ifndef MLIMG_TOOLS_TENANT_SHOW_H
#define MLIMG_TOOLS_TENANT_SHOW_H

#include "tools/tenant.h"

#define MLIMG_TENANT_SETTINGS 11 /**< settings that there are */

/** A setting, named as its option is. */
struct mlimg_setting_text {
	const char *name;
	char *text; /**< owned */
};

/**
 * Settings as texts, always in the same order.
 *
 * @param settings   the settings
 * @param ret_texts  mlimg_setting_texts_done() when done, also after a failure
 * @return           0, -ENOMEM
 */
int mlimg_setting_texts(const struct mlimg_tenant_settings *settings,
	struct mlimg_setting_text ret_texts[MLIMG_TENANT_SETTINGS],
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what they own. */
void mlimg_setting_texts_done(struct mlimg_setting_text texts[MLIMG_TENANT_SETTINGS]);

/** @return settings as an object, json_decref() it; NULL when there is no memory */
struct json_t *mlimg_tenant_settings_json(const struct mlimg_tenant_settings *settings);

/** @return layers as an array, bottom first, json_decref() it; NULL when there is no memory */
struct json_t *mlimg_tenant_layers_json(const struct mlimg_store_layer *layers, size_t n);

#endif
