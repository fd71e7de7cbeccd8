/* SPDX-License-Identifier: MIT */
#include "tools/vm-index.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "tools/vm-runtime.h"
#include "tools/vmdk.h"

/* A search in progress. */
struct find {
	const struct mlimg_vm_options *options;
	struct mlimg_vm_layers *layers;
	struct mlimg_vm_index *found;
	struct mlimg_index content;
};

static void say_why(struct find *f, const char *why)
{
	snprintf(f->found->why, sizeof(f->found->why), "%s", why);
}

/* One that is given decides itself. */
static int take_given(struct find *f, struct mlimg_err *err)
{
	const char *path = f->options->index;
	enum mlimg_disks wanted = f->options->disks, is;
	int r;

	f->found->path = strdup(path);
	if (!f->found->path)
		return mlimg_err_set(err, ENOMEM, "'%s'", path);
	r = mlimg_vm_index_check(path, f->layers, &f->content, err);
	if (r < 0)
		return r;
	f->layers->is_joined = f->content.is_joined;
	is = f->content.is_joined ? MLIMG_DISKS_JOINED : MLIMG_DISKS_SEPARATE;
	if (wanted && wanted != is)
		return mlimg_err_refuse(err,
			"'%s' is an index over %s: --disks %s takes another one", path,
			is == MLIMG_DISKS_JOINED ? "joined disks" : "separate disks",
			is == MLIMG_DISKS_JOINED ? "separate" : "joined");
	say_why(f, "as the index was made");
	return f->content.is_joined ? mlimg_vm_can_join(path, f->layers, err) : 0;
}

static int find_path(struct find *f, bool is_joined, struct mlimg_err *err)
{
	free(f->found->path);
	f->found->path = NULL;
	f->layers->is_joined = is_joined;
	return mlimg_vm_index_path(f->options->cache_dir, f->layers, &f->found->path, err);
}

/* What nobody asked for may be impossible. */
static int choose(struct find *f, const struct mlimg_initrd *initrd, struct mlimg_err *err)
{
	enum mlimg_disks wanted = f->options->disks;
	bool is_known = mlimg_initrd_knows(initrd, MLIMG_INITRD_JOINED);
	int r = find_path(f, wanted ? wanted == MLIMG_DISKS_JOINED : is_known, err);

	say_why(f,
		wanted             ? "asked for"
			: is_known ? "the initramfs knows it"
				   : "the initramfs does not say that it knows joined ones");
	if (r < 0 || !f->layers->is_joined)
		return r;
	r = mlimg_vm_can_join(f->found->path, f->layers, err);
	if (r == 0 || wanted)
		return r;
	say_why(f, err->text);
	return find_path(f, false, err);
}

static int join(struct find *f, const char *dir, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	int r;

	f->found->joined = mlimg_runtime_file(dir, "disk.vmdk");
	if (!f->found->joined)
		return mlimg_err_set(err, ENOMEM, "disk");
	if (f->options->dry_run)
		return 0;
	r = mlimg_vmdk_write(&f->content, f->found->path, f->layers->paths, &text, err);
	return r < 0
		? r
		: mlimg_replace_file(AT_FDCWD, f->found->joined, text, strlen(text), 0600, err);
}

int mlimg_vm_index_find(const struct mlimg_vm_options *options, const struct mlimg_initrd *initrd,
	const char *dir, struct mlimg_vm_layers *layers, struct mlimg_vm_index *ret,
	struct mlimg_err *err)
{
	struct find f = {.options = options, .layers = layers, .found = ret};
	int r = options->index ? take_given(&f, err) : choose(&f, initrd, err);

	if (r == 0 && !options->index && !options->dry_run)
		r = mlimg_vm_index_keep(ret->path, layers, &f.content, err);
	return r == 0 && layers->is_joined ? join(&f, dir, err) : r;
}

void mlimg_vm_index_done(struct mlimg_vm_index *index)
{
	free(index->path);
	free(index->joined);
	*index = (struct mlimg_vm_index){.path = NULL};
}
