/* SPDX-License-Identifier: MIT */
/* What happened to tenants and layers. */
#include <stdio.h>
#include <string.h>

#include "tools/store-impl.h"

static const char *const objects[] = {
	[MLIMG_STORE_TENANT] = "tenant", [MLIMG_STORE_LAYER] = "layer"};

int mlimg_store_event_add(struct mlimg_store *s, enum mlimg_store_object object,
	const char *object_id, const char *kind, const char *text, struct mlimg_err *err)
{
	char cut[MLIMG_STORE_EVENT_MAX + 1];
	int ret;

	snprintf(cut, sizeof(cut), "%s", text);
	ret = mlimg_db_run(s->db,
		"INSERT INTO event (time_s, object, object_id, kind, text) "
		"VALUES (?1, ?2, ?3, ?4, ?5)",
		MLIMG_DB_VALUES(MLIMG_DB_NUMBER(mlimg_store_now()), MLIMG_DB_TEXT(objects[object]),
			MLIMG_DB_TEXT(object_id), MLIMG_DB_TEXT(kind), MLIMG_DB_TEXT(cut)),
		err);
	return ret < 0 ? ret : 0;
}

int mlimg_store_event_each(struct mlimg_store *s, const char *object_id, uint32_t max,
	mlimg_store_event_fn *fn, void *ctx, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(s->db,
		object_id ? "SELECT id, time_s, object, object_id, kind, text FROM event "
			    "WHERE object_id = ?2 ORDER BY id DESC LIMIT ?1"
			  : "SELECT id, time_s, object, object_id, kind, text FROM event "
			    "ORDER BY id DESC LIMIT ?1",
		(const struct mlimg_db_value[]){MLIMG_DB_NUMBER(max), MLIMG_DB_TEXT(object_id)},
		object_id ? 2 : 1, &rows, err);

	while (ret == 0 && (ret = mlimg_db_next(&rows, err)) == 1) {
		struct mlimg_store_event event = {
			.id = mlimg_db_number(&rows, 0),
			.time_s = mlimg_db_number(&rows, 1),
			.object = strcmp(mlimg_db_text(&rows, 2), objects[MLIMG_STORE_LAYER]) == 0
				? MLIMG_STORE_LAYER
				: MLIMG_STORE_TENANT,
			.object_id = mlimg_db_text(&rows, 3),
			.kind = mlimg_db_text(&rows, 4),
			.text = mlimg_db_text(&rows, 5),
		};

		ret = fn(&event, ctx, err);
	}
	return ret;
}
