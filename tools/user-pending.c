/* SPDX-License-Identifier: MIT */
#include "tools/user-pending.h"

#include <errno.h>

#include "guest-agent/change.h"
#include "guest-agent/convert.h"
#include "guest-agent/reset.h"

int mlimg_user_pending(struct mlimg_ext4 *fs, const char **ret_what, struct mlimg_err *err)
{
	static const struct {
		const char *name, *what;
	} marks[] = {
		{MLIMG_CHANGE_PLAN, "a change of the stack"},
		{MLIMG_CONVERT_PLAN, "a conversion for another union driver"},
		{MLIMG_RESET_BEGUN, "a factory reset"},
	};
	struct mlimg_ext4_inode inode;

	*ret_what = NULL;
	if (mlimg_ext4_super(fs)->kind != MLIMG_USER)
		return 0;
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]) && !*ret_what; i++) {
		int r = mlimg_ext4_lookup(fs, "/mlimg", marks[i].name, false, &inode, err);

		if (r == 0)
			*ret_what = marks[i].what;
		else if (r != -ENOENT)
			return r;
	}
	return 0;
}

int mlimg_user_check_settled(struct mlimg_ext4 *fs, struct mlimg_err *err)
{
	const char *what;
	int r;

	if (mlimg_ext4_super(fs)->is_dirty)
		return mlimg_err_refuse(err,
			"%.200s: its journal holds changes (a guest is using it, or stopped "
			"without unmounting it; then 'e2fsck -p' writes them)",
			mlimg_ext4_name(fs));
	r = mlimg_user_pending(fs, &what, err);
	if (r < 0)
		return r;
	return what ? mlimg_err_refuse(err,
			      "%.200s: %s was interrupted, so that its upper shows it in part: "
			      "boot a guest with it once, which ends that",
			      mlimg_ext4_name(fs), what)
		    : 0;
}
