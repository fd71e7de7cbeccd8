/* SPDX-License-Identifier: MIT */
#include "guest-agent/queue-look.h"

#include <errno.h>

#include "guest-agent/file-flags.h"
#include "libmlimg/unionfs.h"
#include "libmlimg/upper-source.h"
#include "libmlimg/whiteout.h"

/* What is there besides marks. */
static int look_at(struct mlimg_change *c, const char *path, struct mlimg_queue_found *ret)
{
	bool has_mark = ret->is_whiteout;
	struct mlimg_change_place at;
	struct mlimg_entry e;
	int r = mlimg_change_find(c, path, &at);

	if (r == 0)
		r = mlimg_entry_at_read(&c->reader, at.fd, at.name, path, false, &e);
	if (r < 0)
		return r;
	ret->has_main = true;
	ret->is_dir = e.type == MLIMG_DIR;
	ret->is_whiteout = !c->is_unionfs && mlimg_entry_is_whiteout(&e);
	ret->is_opaque = ret->is_dir && (c->is_unionfs ? has_mark : mlimg_entry_is_opaque(&e));
	return 0;
}

static int look(const char *path, void *ctx, struct mlimg_queue_found *ret, struct mlimg_err *err)
{
	struct mlimg_change *c = ctx;
	int r;

	if (c->is_unionfs && mlimg_unionfs_is_meta(path))
		return 0;
	r = mlimg_change_look(c, path);
	if (r == -ENAMETOOLONG) /* with what unionfs-fuse's marks add to it */
		return 0;
	if (r > 0) {
		ret->has_any = true;
		ret->is_whiteout = (r & MLIMG_UNDO_MARKER) != 0;
		r = r & MLIMG_UNDO_MAIN ? look_at(c, path, ret) : 0;
	}
	return r < 0 ? mlimg_err_set(err, r, "look at 'user/upper/%s'", path) : 0;
}

/* What cannot be read nobody has renamed a directory in. */
static void pass_over(const char *path, int error, bool was_visited, void *ctx)
{
}

static int read_upper(struct mlimg_change *c, size_t memory_max, struct mlimg_manifest **ret_upper,
	struct mlimg_err *err)
{
	struct mlimg_upper_dir dir;
	size_t n;
	int r;

	mlimg_upper_dir_init(&dir, c->upper_fd, c->is_unionfs);
	if (memory_max)
		dir.memory_max = memory_max;
	r = dir.source.load(&dir.source, pass_over, NULL, ret_upper, err);
	return r < 0 ? r : mlimg_file_flags_lift(c->upper_fd, *ret_upper, &n, err);
}

int mlimg_queue_plan_upper(struct mlimg_change *c, const struct mlimg_queue *queue,
	const char *aside, size_t memory_max, struct mlimg_plan *plan, struct mlimg_report *report,
	struct mlimg_err *err)
{
	struct mlimg_queue_input input = {.queue = queue,
		.is_unionfs = c->is_unionfs,
		.aside = aside,
		.look = look,
		.look_ctx = c};
	int r = read_upper(c, memory_max, &input.upper, err);

	if (r == 0)
		r = mlimg_queue_plan(&input, plan, report, err);
	mlimg_manifest_free(input.upper);
	return r;
}
