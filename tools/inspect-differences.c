/* SPDX-License-Identifier: MIT */
#include "tools/inspect-differences.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/inspect-print.h"

int mlimg_differences_add(
	struct mlimg_differences *d, unsigned changes, const char *path, struct mlimg_err *err)
{
	char escaped[MLIMG_ESCAPED_SIZE];

	if (d->n < MLIMG_DIFFERENCES_SHOWN_MAX) {
		char *copy = strdup(mlimg_manifest_escape(path, escaped));

		if (!copy)
			return mlimg_err_set(err, ENOMEM, "verify");
		d->paths[d->n] = copy;
		d->changes[d->n] = changes;
	}
	d->n++;
	return 0;
}

void mlimg_differences_put(const struct mlimg_differences *d)
{
	for (size_t i = 0; i < MLIMG_DIFFERENCES_SHOWN_MAX && i < d->n; i++) {
		printf("  %s%s:", d->paths[i][0] ? "./" : ".", d->paths[i]);
		for (unsigned bit = 0; bit < MLIMG_N_CHANGES; bit++)
			if (d->changes[i] & 1u << bit)
				printf(" %s", mlimg_change_name(bit));
		putchar('\n');
	}
	if (d->n > MLIMG_DIFFERENCES_SHOWN_MAX)
		printf("  and %" PRIu64 " more\n", d->n - MLIMG_DIFFERENCES_SHOWN_MAX);
}

json_t *mlimg_differences_json(const struct mlimg_differences *d)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < MLIMG_DIFFERENCES_SHOWN_MAX && i < d->n; i++) {
		json_t *object = json_pack("{s:s, s:o}", "path", d->paths[i], "changes",
			mlimg_inspect_changes_json(d->changes[i]));

		if (json_array_append_new(list, object) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

void mlimg_differences_done(struct mlimg_differences *d)
{
	for (size_t i = 0; i < MLIMG_DIFFERENCES_SHOWN_MAX; i++)
		free(d->paths[i]);
}
