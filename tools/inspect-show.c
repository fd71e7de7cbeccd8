/* SPDX-License-Identifier: MIT */
/* mlimg-inspect show. */
#include <jansson.h>
#include <stdio.h>

#include "tools/inspect-commands.h"
#include "tools/inspect-layer.h"
#include "tools/inspect-print.h"
#include "tools/inspect-verity.h"
#include "tools/user-pending.h"

int mlimg_inspect_show(struct mlimg_inspect *in, struct mlimg_err *err)
{
	const struct mlimg_ext4_super *super = mlimg_ext4_super(in->fs);
	mlimg_cleanup(mlimg_inspect_verity_done) struct mlimg_inspect_verity verity = {0};
	struct mlimg_manifest *manifest = NULL;
	const char *pending = NULL;
	int ret = mlimg_inspect_read_manifest(in->fs, &in->info, &manifest, err);

	if (ret == 0)
		ret = mlimg_inspect_agree(in->fs, &in->info, manifest, err);
	mlimg_manifest_free(manifest);
	if (ret == 0)
		ret = mlimg_inspect_verity_find(in, &verity, err);
	/* What the journal holds may be just that. */
	if (ret == 0 && !super->is_dirty)
		ret = mlimg_user_pending(in->fs, &pending, err);
	if (ret < 0)
		return ret;
	if (mlimg_inspect_has(in, MLIMG_INSPECT_JSON))
		return mlimg_inspect_put_info_json(stdout, &in->info, super, pending,
			verity.tree.data_blocks ? mlimg_inspect_verity_found_json(&verity)
						: json_null(),
			err);
	mlimg_inspect_put_info(stdout, &in->info, super, pending);
	mlimg_inspect_verity_put_found(&verity);
	return 0;
}
