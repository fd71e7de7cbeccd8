/* SPDX-License-Identifier: MIT */
#include "tools/image-owners.h"

#include <errno.h>
#include <stdlib.h>

#include "guest-agent/carve.h"
#include "libmlimg/cleanup.h"

/* Directories that are still to be read, first come, first read. A loop of them ends with the bound. */
struct queue {
	uint32_t *inodes;
	size_t first, n, room;
	size_t n_seen;
	struct mlimg_ext4_attrs *attrs;
};

static int push(struct queue *q, uint32_t ino)
{
	if (mlimg_buffer_reserve(&q->inodes, &q->room, (q->n + 1) * sizeof(*q->inodes)) < 0)
		return -ENOMEM;
	q->inodes[q->n++] = ino;
	return 0;
}

static int look(struct mlimg_image_owners *owners, struct queue *q, uint32_t ino)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_ext4_inode inode;
	struct mlimg_entry e;
	int r = ++q->n_seen > MLIMG_OWNER_SET_THINGS_MAX ? -E2BIG : 0;

	if (r == 0)
		r = mlimg_ext4_inode_read(owners->fs, ino, &inode, &err);
	if (r == 0)
		r = mlimg_ext4_entry(owners->fs, &inode, q->attrs, &e, &err);
	if (r == 0)
		r = mlimg_owner_set_add_entry(&owners->set, &e);
	return r == 0 && inode.type == MLIMG_DIR ? push(q, ino) : r;
}

static int read_dir(struct mlimg_image_owners *owners, struct queue *q, uint32_t ino)
{
	struct mlimg_ext4_dir dir = {.n_entries = 0};
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_ext4_inode inode;
	int r = mlimg_ext4_inode_read(owners->fs, ino, &inode, &err);

	if (r == 0)
		r = mlimg_ext4_dir_read(owners->fs, &inode, &dir, &err);
	for (size_t i = 0; i < dir.n_entries && r == 0; i++)
		r = look(owners, q, dir.entries[i].ino);
	mlimg_ext4_dir_done(&dir);
	return r;
}

static int read_all(struct mlimg_image_owners *owners)
{
	mlimg_autoext4attrs struct mlimg_ext4_attrs *attrs = mlimg_ext4_attrs_new();
	struct queue q = {.attrs = attrs};
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_ext4_inode inode;
	int r = mlimg_ext4_lookup(owners->fs, "/", MLIMG_CARVE_DIR, false, &inode, &err);

	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = attrs ? push(&q, inode.ino) : -ENOMEM;
	while (r == 0 && q.first < q.n)
		r = read_dir(owners, &q, q.inodes[q.first++]);
	free(q.inodes);
	return r;
}

int mlimg_image_owners_has(void *image_owners, bool is_group, uint32_t id)
{
	struct mlimg_image_owners *owners = image_owners;

	if (!owners->is_read) {
		owners->is_read = true;
		owners->set.is_cut = read_all(owners) < 0;
	}
	return mlimg_owner_set_has(&owners->set, is_group, id);
}

void mlimg_image_owners_done(struct mlimg_image_owners *owners)
{
	mlimg_owner_set_done(&owners->set);
}
