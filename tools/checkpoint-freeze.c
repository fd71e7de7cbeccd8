/* SPDX-License-Identifier: MIT */
#include "tools/checkpoint-freeze.h"

#include <errno.h>

#include "tools/store-impl.h"
#include "tools/vm-agent.h"

#define AGENT_MS 10000 /* the agent answers at once, unless somebody else has its port */

int mlimg_freeze_begin(const struct mlimg_backend *backend, const struct mlimg_tenant *tenant,
	struct mlimg_freeze *freeze, struct mlimg_err *err)
{
	uint64_t deadline_ms = mlimg_now_ms() + AGENT_MS;
	int ret = backend->agent(tenant, &freeze->chan.fd, err);

	if (ret == 0)
		ret = mlimg_agent_sync(&freeze->chan, deadline_ms, err);
	/* To write all out may take as long as the freeze. */
	if (ret == 0)
		ret = mlimg_chan_ask(&freeze->chan, "guest-fsfreeze-freeze",
			json_pack("{s:i}", "timeout-ms", MLIMG_FREEZE_MS),
			mlimg_now_ms() + MLIMG_FREEZE_MS, NULL, err);
	return ret < 0 ? mlimg_err_wrap(err, ret,
				 "freeze its file system (with memory, or when it is off, there is "
				 "no need to)")
		       : 0;
}

int mlimg_freeze_thaw(struct mlimg_freeze *freeze, struct mlimg_err *err)
{
	json_t *n = NULL;
	int ret = mlimg_chan_ask(
		&freeze->chan, "guest-fsfreeze-thaw", NULL, mlimg_now_ms() + AGENT_MS, &n, err);
	bool was_frozen = ret == 0 && json_integer_value(n) == 1;

	json_decref(n);
	if (ret == 0 && !was_frozen)
		return mlimg_store_fail(err, ESTALE,
			"its file system has thawed before the disk was saved; try again");
	return ret;
}

void mlimg_freeze_end(struct mlimg_freeze *freeze)
{
	mlimg_chan_close(&freeze->chan);
}
