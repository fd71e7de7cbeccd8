/* SPDX-License-Identifier: MIT */
#include "tools/upgrade-checkpoint.h"

#include <errno.h>

#include "tools/checkpoint-impl.h"
#include "tools/store-impl.h"
#include "tools/vm-checkpoint.h"

#define WHAT "plan" /* what the tenant's lock says */

int mlimg_upgrade_checkpoint_take(struct mlimg_store *store, const char *name,
	char ret_tag[MLIMG_CHECKPOINT_TAG_SIZE], struct mlimg_err *err)
{
	mlimg_autotenant struct mlimg_tenant tenant = {.run_s = 0};
	char tag[MLIMG_CHECKPOINT_TAG_SIZE] = "";
	mlimg_autoclose int lock = -1;
	enum mlimg_guest_state state;
	struct mlimg_checkpoint c;
	struct mlimg_checkpoints of;
	int ret = mlimg_checkpoints_lock(store, name, WHAT, &tenant, &lock, &of, err);
	int on = ret == 0 ? mlimg_checkpoint_is_on(&of, &state, err) : ret;

	if (on > 0)
		ret = mlimg_checkpoint_time_tag(&of, MLIMG_UPGRADE_CHECKPOINT_PREFIX, tag, err);
	if (on > 0 && ret == 0)
		ret = mlimg_checkpoint_take(&of, tag, true, &c, err);
	if (on < 0 || ret < 0)
		return on < 0 ? on : ret;
	strcpy(ret_tag, tag);
	return 0;
}

int mlimg_upgrade_checkpoint_delete(
	struct mlimg_store *store, const char *name, const char *tag, struct mlimg_err *err)
{
	mlimg_autotenant struct mlimg_tenant tenant = {.run_s = 0};
	mlimg_autoclose int lock = -1;
	struct mlimg_checkpoints of;
	int ret = mlimg_checkpoints_lock(store, name, WHAT, &tenant, &lock, &of, err);

	return ret < 0 ? ret : mlimg_checkpoint_delete(&of, tag, err);
}

int mlimg_upgrade_checkpoint_check(
	struct mlimg_store *store, const struct mlimg_upgrade_tenant *t, struct mlimg_err *err)
{
	struct mlimg_checkpoint now;
	int ret = mlimg_store_checkpoint_get(store, t->id, t->checkpoint, &now, err);

	if (ret < 0 && ret != -ENOENT)
		return ret;
	if (ret == 0 && now.created_s == t->checkpoint_s && now.state != MLIMG_CHECKPOINT_DELETING)
		return 0;
	return mlimg_store_fail(err, ESTALE,
		"%s: its checkpoint '%s' was deleted while it was read: ask again", t->name,
		t->checkpoint);
}
