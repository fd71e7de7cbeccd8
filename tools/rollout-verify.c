/* SPDX-License-Identifier: MIT */
#include "tools/rollout-verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Build ids that have been looked at. */
struct seen {
	char (*ids)[MLIMG_SHA256_HEX_SIZE];
	size_t n, room;
};

static int verify_layer(
	struct mlimg_store *store, const char *build_id, struct seen *seen, struct mlimg_err *err)
{
	mlimg_autostorelayer struct mlimg_store_layer layer = {.size_bytes = 0};
	int ret;

	for (size_t i = 0; i < seen->n; i++)
		if (strcmp(seen->ids[i], build_id) == 0)
			return 0;
	if (mlimg_buffer_reserve(&seen->ids, &seen->room, (seen->n + 1) * sizeof(*seen->ids)) < 0)
		return mlimg_err_set(err, ENOMEM, "verify layers");
	strcpy(seen->ids[seen->n++], build_id);
	ret = mlimg_store_layer_get(store, build_id, &layer, err);
	return ret < 0 ? ret : mlimg_store_layer_verify(store, &layer, err);
}

int mlimg_rollout_verify(struct mlimg_store *store, const struct mlimg_upgrade_fleet *fleet,
	const bool *leave_out, struct mlimg_err *err)
{
	struct seen seen = {.n = 0};
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < fleet->n; i++) {
		const struct mlimg_boot_stack *stack;

		if (fleet->tenants[i].err.code != 0 || leave_out[i])
			continue;
		stack = mlimg_upgrade_stack_boot(fleet->tenants[i].stack);
		for (size_t k = 0; ret == 0 && k < stack->n_layers; k++)
			ret = verify_layer(store, stack->layers[k].build_id, &seen, err);
	}
	free(seen.ids);
	return ret < 0 ? mlimg_err_wrap(err, ret, "nothing has been begun") : 0;
}
