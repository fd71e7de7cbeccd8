/* SPDX-License-Identifier: MIT */
#include "tools/vm-find.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/vm-runtime.h"

void mlimg_vm_found_done(struct mlimg_vm_found *found)
{
	mlimg_tenant_done(&found->tenant);
	mlimg_store_close(found->store);
	free(found->dir);
	*found = (struct mlimg_vm_found){.store = NULL};
}

int mlimg_vm_find_tenant(
	const struct mlimg_vm_wanted *wanted, struct mlimg_vm_found *found, struct mlimg_err *err)
{
	int ret = mlimg_store_open_given(wanted->store, MLIMG_STORE_USE, &found->store, err);

	if (ret == 0)
		ret = mlimg_tenant_load(found->store, wanted->name, &found->tenant, err);
	return ret < 0 ? ret : mlimg_runtime_dir(NULL, found->tenant.row.id, &found->dir, err);
}

/* Where a name cannot be one of a tenant's, a guest of `run` may still have it. */
static int among_others(const struct mlimg_vm_wanted *wanted, bool runs,
	struct mlimg_vm_found *found, struct mlimg_err *err)
{
	bool has_store = found->store != NULL;
	int ret;
	pid_t pid;

	mlimg_vm_found_done(found);
	ret = mlimg_runtime_dir(wanted->runtime_dir, wanted->name, &found->dir, err);
	if (ret < 0)
		return ret;
	pid = mlimg_runtime_owner(found->dir);
	if (pid < 0)
		return mlimg_err_set(err, pid, "runtime directory '%s'", found->dir);
	if (pid == 0 && (runs || access(found->dir, F_OK) < 0))
		return mlimg_err_set(err, 0,
			has_store ? "no tenant '%s', and no guest of this name is running"
				  : "no guest '%s' is running",
			wanted->name);
	return 0;
}

static int find(const struct mlimg_vm_wanted *wanted, bool runs, struct mlimg_vm_found *ret,
	struct mlimg_err *err)
{
	int r = -ENOENT;

	if (!wanted->runtime_dir)
		r = mlimg_vm_find_tenant(wanted, ret, err);
	/* A store that is damaged is not passed over. */
	if (r != -ENOENT || wanted->store)
		return r;
	return among_others(wanted, runs, ret, err);
}

int mlimg_vm_find(
	const struct mlimg_vm_wanted *wanted, struct mlimg_vm_found *ret, struct mlimg_err *err)
{
	return find(wanted, true, ret, err);
}

int mlimg_vm_find_any(
	const struct mlimg_vm_wanted *wanted, struct mlimg_vm_found *ret, struct mlimg_err *err)
{
	return find(wanted, false, ret, err);
}

int mlimg_vm_take(const struct mlimg_vm_wanted *wanted, const char *what,
	struct mlimg_vm_found *ret, int *ret_lock, struct mlimg_err *err)
{
	int r = mlimg_store_open_given(wanted->store, MLIMG_STORE_USE, &ret->store, err);

	if (r == 0)
		r = mlimg_tenant_take(ret->store, wanted->name, what, &ret->tenant, ret_lock, err);
	return r < 0 ? r : mlimg_runtime_dir(NULL, ret->tenant.row.id, &ret->dir, err);
}

int mlimg_vm_find_again(struct mlimg_vm_found *found, struct mlimg_err *err)
{
	struct mlimg_tenant tenant = {.run_s = 0};
	int ret = mlimg_tenant_load(found->store, found->tenant.row.name, &tenant, err);

	if (ret < 0) {
		mlimg_tenant_done(&tenant);
		return ret;
	}
	tenant.lock = found->tenant.lock;
	mlimg_tenant_done(&found->tenant);
	found->tenant = tenant;
	return 0;
}
