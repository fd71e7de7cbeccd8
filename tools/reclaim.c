/* SPDX-License-Identifier: MIT */
#include "tools/reclaim.h"

#include <stdio.h>
#include <string.h>

#include "tools/checkpoint-disk.h"
#include "tools/cli.h"

/* Ended by force it may have been killed in the end. */
static bool may_have_leaked(enum mlimg_guest_state state, const char *why)
{
	return state == MLIMG_GUEST_DIED ||
		(state == MLIMG_GUEST_OFF && strcmp(why, MLIMG_GUEST_ENDED) == 0);
}

void mlimg_reclaim_note(struct mlimg_store *store, const char *tenant_id, uint64_t freed_bytes,
	const struct mlimg_err *failed)
{
	char size[MLIMG_CLI_SIZE_TEXT], text[MLIMG_ERR_TEXT_SIZE + 32];

	if (!failed && !freed_bytes)
		return;
	if (failed)
		snprintf(text, sizeof(text), "nothing of its disk: %s", failed->text);
	else
		snprintf(text, sizeof(text), "%s of its disk, lost when its QEMU died",
			mlimg_cli_format_size(freed_bytes, size));
	/* That it cannot be written down does not undo it. */
	(void)!mlimg_store_event_add(store, MLIMG_STORE_TENANT, tenant_id, "reclaimed", text, NULL);
}

int mlimg_reclaim_now(
	struct mlimg_store *store, const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	struct mlimg_err failed = MLIMG_ERR_INIT;
	uint64_t freed_bytes = 0;
	int ret = mlimg_disk_free_leaks(tenant, &freed_bytes, &failed);

	if (ret < 0 && failed.kind == MLIMG_ERR_REFUSED) {
		if (err)
			*err = failed;
		return ret;
	}
	mlimg_reclaim_note(store, tenant->row.id, freed_bytes, ret < 0 ? &failed : NULL);
	return 0;
}

int mlimg_reclaim(struct mlimg_store *store, const struct mlimg_tenant *tenant,
	enum mlimg_guest_state state, const char *why, struct mlimg_err *err)
{
	if (!may_have_leaked(state, why) || mlimg_backend_has_disk_away(tenant) ||
		mlimg_backend_has_lost_disk(tenant))
		return 0;
	return mlimg_reclaim_now(store, tenant, err);
}

int mlimg_reclaim_look(
	struct mlimg_store *store, struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	enum mlimg_guest_state state = MLIMG_GUEST_OFF;
	char why[MLIMG_GUEST_WHY_SIZE];
	int ret = mlimg_backend_look(store, tenant, &state, why, err);

	return ret < 0 ? ret : mlimg_reclaim(store, tenant, state, why, err);
}
