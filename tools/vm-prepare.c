/* SPDX-License-Identifier: MIT */
#include "tools/vm-prepare.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>

#include "libmlimg/boot.h"
#include "libmlimg/cleanup.h"
#include "tools/beneath-tree.h"
#include "tools/bootfiles.h"
#include "tools/cli.h"
#include "tools/vm-process.h"
#include "tools/vm-runtime.h"

void mlimg_vm_prepared_done(struct mlimg_vm_prepared *p)
{
	if (p->lock >= 0)
		mlimg_runtime_clean(p->dir);
	mlimg_confine_close(&p->confine);
	mlimg_cleanup_close(&p->lock);
	mlimg_args_done(&p->args);
	mlimg_vm_images_done(&p->images);
	free(p->dir);
	free(p->kernel);
	free(p->initrd);
	free(p->verity);
	mlimg_vm_index_done(&p->index);
}

/*
 * A QEMU built without seccomp refuses the option, whatever its value. One that is not there may
 * have it.
 */
static bool has_sandbox(const char *qemu)
{
	char *const argv[] = {
		(char *)qemu, (char *)"-sandbox", (char *)"off", (char *)"-version", NULL};
	struct mlimg_process process = MLIMG_PROCESS_INIT;
	mlimg_autoclose int output = -1;

	return mlimg_process_start(argv, false, &process, &output, NULL) < 0 ||
		mlimg_process_wait(&process) == 0;
}

static int choose_machine(
	struct mlimg_vm_spec *spec, const struct mlimg_vm_options *options, struct mlimg_err *err)
{
	char why[MLIMG_ACCEL_WHY_SIZE];
	struct utsname host;
	int ret;

	/* The one kind of machine that there is guests for. */
	if (options->is_elsewhere) {
		spec->arch = mlimg_vm_arch_of("x86_64");
		return 0;
	}
	uname(&host);
	spec->arch = mlimg_vm_arch_of(host.machine);
	if (!spec->arch)
		return mlimg_err_set(
			err, 0, "guests of architecture '%s' are not supported", host.machine);
	spec->sandbox = has_sandbox(spec->arch->qemu);
	if (!spec->sandbox)
		mlimg_cli_warn(MLIMG_VM_PROG, "this %s has no sandbox (seccomp)", spec->arch->qemu);
	ret = mlimg_accel_choose(options->accel, &mlimg_accel_this_host, &spec->accel, why, err);
	if (ret < 0)
		return mlimg_err_wrap(err, ret, "--accel %s", mlimg_accel_name(options->accel));
	fprintf(stderr, "%s: accel: %s%s: %s\n", MLIMG_VM_PROG, mlimg_accel_name(spec->accel),
		spec->accel == MLIMG_ACCEL_TCG ? " (emulation)" : "", why);
	return 0;
}

static int check_readable(const char *path, struct mlimg_err *err)
{
	return access(path, R_OK) < 0 ? mlimg_err_set(err, errno, "open '%s'", path) : 0;
}

static int take_piece(const void *data, uint64_t size, void *ctx, struct mlimg_err *err)
{
	/* A hole: no initramfs has one where this looks. */
	if (!data)
		return -ECANCELED;
	return mlimg_initrd_take(ctx, data, size) ? -ECANCELED : 0;
}

/* An initramfs that is a file. */
static int ask_initrd(struct mlimg_vm_prepared *p, struct mlimg_err *err)
{
	mlimg_autoclose int fd = open(p->spec.initrd, O_RDONLY | O_CLOEXEC);
	char piece[65536];
	ssize_t n;

	if (fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", p->spec.initrd);
	do
		n = read(fd, piece, sizeof(piece));
	while (n > 0 && !mlimg_initrd_take(&p->initrd_says, piece, (size_t)n));
	return n < 0 ? mlimg_err_set(err, errno, "read '%s'", p->spec.initrd) : 0;
}

/* The system's own kernel and initramfs; with a dry run they are only looked for. */
static int extract_boot_files(struct mlimg_vm_prepared *p, const struct mlimg_itree *tree,
	bool is_dry, struct mlimg_err *err)
{
	struct mlimg_bootfiles files;
	int ret = mlimg_bootfiles_find(tree, &files, err);

	if (ret == 0)
		ret = mlimg_bootfiles_read(tree, files.initrd, take_piece, &p->initrd_says, err);
	if (ret == -ECANCELED)
		ret = 0;
	if (ret < 0 || is_dry)
		return ret;
	ret = mlimg_bootfiles_extract(tree, files.kernel, p->kernel, err);
	return ret < 0 ? ret : mlimg_bootfiles_extract(tree, files.initrd, p->initrd, err);
}

/*
 * What the system layer holds, or shows together with its patches: these may bring another kernel,
 * whose modules they bring too.
 */
static int open_system(
	struct mlimg_vm_prepared *p, const struct mlimg_vm_options *options, struct mlimg_err *err)
{
	mlimg_autobeneath struct mlimg_beneath *merged = NULL;
	mlimg_autoext4 struct mlimg_ext4 *fs = NULL;
	struct mlimg_itree tree;
	int ret;

	if (options->n_patches)
		ret = mlimg_beneath_open(p->layers.paths, 1 + options->n_patches, &merged, err);
	else
		ret = mlimg_ext4_open(options->system, &fs, err);
	if (ret < 0)
		return ret;
	tree = merged ? mlimg_beneath_tree(merged) : mlimg_ext4_tree(fs);
	return extract_boot_files(p, &tree, options->dry_run, err);
}

static int prepare_boot_files(
	struct mlimg_vm_prepared *p, const struct mlimg_vm_options *options, struct mlimg_err *err)
{
	const char *dir = options->boot_dir ? options->boot_dir : p->dir;
	int ret;

	if (options->kernel) {
		p->spec.kernel = options->kernel;
		p->spec.initrd = options->initrd;
		ret = check_readable(options->kernel, err);
		return ret < 0 ? ret : ask_initrd(p, err);
	}
	p->spec.kernel = p->kernel = mlimg_runtime_file(dir, "kernel");
	p->spec.initrd = p->initrd = mlimg_runtime_file(dir, "initrd");
	if (!p->kernel || !p->initrd)
		return mlimg_err_set(err, ENOMEM, "kernel");
	return open_system(p, options, err);
}

/* What cannot be looked at is refused where it is opened. */
static bool is_block_device(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

/*
 * The guest does it once for each word: a reboot of this guest has the same, another run a new one.
 */
static void name_reset(struct mlimg_vm_spec *spec)
{
	uint64_t n = (uint64_t)getpid();

	if (getrandom(&n, sizeof(n), 0) < 0)
		n ^= (uint64_t)time(NULL) << 22;
	snprintf(spec->reset, sizeof(spec->reset), "vm-%016llx", (unsigned long long)n);
}

static void fill_spec(struct mlimg_vm_prepared *p, const struct mlimg_vm_options *options)
{
	struct mlimg_vm_spec *spec = &p->spec;

	spec->mode = options->mode;
	if (options->resets)
		name_reset(spec);

	spec->name = options->name;
	spec->memory_bytes = options->memory_bytes;
	spec->cpus = options->cpus;
	spec->append = options->append;
	for (size_t i = 0; i < p->images.n; i++) {
		struct mlimg_vm_disk *disk = &spec->disks[i];
		bool is_user = i == p->images.n - 1;

		disk->path = mlimg_vm_image_path(options, i);
		disk->is_block_device = is_block_device(disk->path);
		disk->is_qcow2 = is_user && options->user_is_qcow2;
		disk->id = p->images.infos[i].build_id;
	}
	if (p->images.is_user_blank)
		spec->new_user = &p->images.infos[p->images.n - 1];
	spec->n_disks = p->images.n;
	spec->n_patches = options->n_patches;
	for (size_t i = 0; i + 1 < p->images.n; i++)
		p->layers.paths[p->layers.n++] = spec->disks[i].path;
	mlimg_stack_id(&p->images.stack, p->layers.stack_id);
	p->layers.root_hashes = options->root_hashes;
	p->layers.has_tree = options->verity != MLIMG_VM_VERITY_OFF;
	spec->shuffle = options->shuffle;
	spec->shuffle_seed = options->shuffle_seed;
	spec->net = options->net;
	memcpy(spec->forwards, options->forwards, sizeof(spec->forwards));
	spec->n_forwards = options->n_forwards;
	spec->console = options->console;
	spec->dir = p->dir;
	spec->extra_args = options->extra_args;
}

/* With the name taken, whatever is there was left by one that was killed. */
static int lock(struct mlimg_vm_prepared *p, struct mlimg_err *err)
{
	int ret = mlimg_runtime_lock(p->dir, &p->lock, err);

	if (ret == 0)
		mlimg_runtime_clean(p->dir);
	return ret;
}

static int find_index(
	struct mlimg_vm_prepared *p, const struct mlimg_vm_options *options, struct mlimg_err *err)
{
	const char *path;
	int ret = mlimg_vm_index_find(options, &p->initrd_says, p->dir, &p->layers, &p->index, err);

	if (ret < 0)
		return ret;
	path = p->index.joined ? p->index.joined : p->index.path;
	p->spec.index = (struct mlimg_vm_disk){.path = path,
		.is_vmdk = p->index.joined != NULL,
		.is_block_device = is_block_device(path),
		.id = p->layers.stack_id};
	return 0;
}

/* What nobody asked for may fail: overlayfs shows the same. */
static int choose_union(
	struct mlimg_vm_prepared *p, const struct mlimg_vm_options *options, struct mlimg_err *err)
{
	bool is_implied = options->index || (options->disks && !options->prefers_disks);
	bool is_auto = options->union_driver == MLIMG_UNION_AUTO && !is_implied;
	enum mlimg_union driver = is_implied ? MLIMG_UNION_OF_INDEX : options->union_driver;
	const char *why = options->index               ? "--index was given"
		: is_implied && !options->union_driver ? "--disks was given"
						       : "asked for";
	int ret = 0;

	if (is_auto)
		driver = mlimg_union_choose(&p->initrd_says, &why);
	if (driver == MLIMG_UNION_OF_INDEX)
		ret = find_index(p, options, err);
	if (driver == MLIMG_UNION_OF_UNIONFS && options->n_patches)
		return mlimg_err_refuse(err,
			"the initramfs knows only unionfs, which cannot follow a patch to the "
			"contents beneath it: take the new system's own image");
	p->spec.is_unionfs = driver == MLIMG_UNION_OF_UNIONFS;
	p->spec.convert = options->convert;
	if (ret < 0 && !is_auto)
		return ret;
	if (ret < 0)
		fprintf(stderr, "%s: union: overlay: no index: %s\n", MLIMG_VM_PROG, err->text);
	else
		fprintf(stderr, "%s: union: %s: %s\n", MLIMG_VM_PROG, mlimg_union_name(driver),
			why);
	if (p->spec.index.path)
		fprintf(stderr, "%s: disks: %s: %s\n", MLIMG_VM_PROG,
			p->spec.index.is_vmdk ? "joined" : "separate", p->index.why);
	return 0;
}

/* A parameter that an initramfs does not know stops its boot. */
static void choose_identity(struct mlimg_vm_prepared *p, const struct mlimg_vm_options *options)
{
	if (mlimg_initrd_knows(&p->initrd_says, MLIMG_INITRD_IDENTITY))
		p->spec.identity = options->identity;
	else if (options->identity)
		mlimg_cli_warn(MLIMG_VM_PROG,
			"%s is a copy, and its system's initramfs does not know mlimg.identity: "
			"it has the machine id and the host keys of the other",
			options->name);
}

/* After the index, which may have been compiled for it. */
static int choose_verity(
	struct mlimg_vm_prepared *p, const struct mlimg_vm_options *options, struct mlimg_err *err)
{
	const char *index = p->spec.index.path ? p->index.path : NULL;
	int r;

	if (!options->verity)
		return 0;
	r = mlimg_vm_verity_value(options->verity, &p->layers, index, &p->verity, err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "--verity %s", mlimg_vm_verity_name(options->verity));
	p->spec.verity = p->verity;
	return 0;
}

static int confine(struct mlimg_vm_prepared *p, struct mlimg_err *err)
{
	int ret = mlimg_confine_choose(&p->confine, err);

	return ret < 0 ? ret : mlimg_confine_open(&p->confine, &p->spec, err);
}

/*
 * First all that only looks, so that a mistake leaves nothing behind; then the lock; then what is
 * written.
 */
int mlimg_vm_prepare(
	struct mlimg_vm_options *options, struct mlimg_vm_prepared *p, struct mlimg_err *err)
{
	int ret = mlimg_vm_images_load(options, &p->images, err);

	if (ret < 0)
		return ret;
	if (!options->name)
		options->name = p->images.infos[p->images.n - 1].name;
	ret = mlimg_runtime_dir(options->runtime_dir,
		options->runtime_name ? options->runtime_name : options->name, &p->dir, err);
	if (ret == 0) {
		fill_spec(p, options);
		ret = choose_machine(&p->spec, options, err);
	}
	if (ret == 0 && !options->dry_run)
		ret = lock(p, err);
	if (ret == 0 && !options->is_elsewhere)
		ret = mlimg_vm_user_check(options->user, options->mode == MLIMG_BOOT_READONLY, err);
	if (ret == 0)
		ret = prepare_boot_files(p, options, err);
	if (ret == 0) {
		choose_identity(p, options);
		ret = choose_union(p, options, err);
	}
	if (ret == 0)
		ret = choose_verity(p, options, err);
	if (ret == 0 && !options->dry_run && !options->is_elsewhere)
		ret = confine(p, err);
	return ret < 0 ? ret : mlimg_vm_command(&p->spec, &p->args, err);
}
