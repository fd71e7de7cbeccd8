/* SPDX-License-Identifier: MIT */
#include "tools/vm-options.h"

#include <string.h>
#include <sys/utsname.h>

#include "libmlimg/cleanup.h"
#include "tools/cli.h"
#include "tools/vm-machine.h"

static const char help[] =
	"Usage: mlimg-vm run --system IMAGE [--patch IMAGE]... [--software IMAGE]...\n"
	"                    --user IMAGE [OPTION]... [-- QEMU-ARGUMENT...]\n"
	"\n"
	"Run a guest whose root is merged from layer images, until it powers off.\n"
	"\n"
	"  mlimg-vm run --system debian.img --user alice.img\n"
	"  mlimg-vm run --system debian.img --software nginx.img --user alice.img \\\n"
	"      --forward 8080:80\n"
	"\n"
	"Layers:\n"
	"  --system IMAGE          system layer; kernel and initramfs are its own\n"
	"  --patch IMAGE           patch that makes a newer system of what is beneath it,\n"
	"                          kernel and initramfs included; may be repeated, bottom\n"
	"                          first\n"
	"  --software IMAGE        software layer, may be repeated, bottom first\n"
	"  --user IMAGE            user layer, the only image that is written to\n"
	"  --user-format FORMAT    raw or qcow2 (default: qcow2 where the name ends in\n"
	"                          .qcow2, else raw; never found out from the content)\n"
	"  --user-id ID            id of a qcow2 user layer, 20 to 64 hex digits\n"
	"  --format-user NAME[:INSTANCE]\n"
	"                          where the user's disk is blank, let the guest make\n"
	"                          the user layer NAME on it (INSTANCE: 32 hex digits to\n"
	"                          tell apart two of a name, default: random)\n"
	"  --union DRIVER          auto, index, overlay or unionfs: how the layers become\n"
	"                          one tree (default: auto: the first of these that the\n"
	"                          initramfs knows)\n"
	"  --convert               rewrite the user layer where another driver wrote it\n"
	"  --index FILE            the layers' index, made by mlimg-index (default:\n"
	"                          compiled when needed, and kept)\n"
	"  --disks HOW             with an index: joined (index and read-only layers are\n"
	"                          one disk of the guest) or separate (default: joined\n"
	"                          where the initramfs knows it)\n"
	"  --verity HOW            what vouches for the read-only layers, which must have\n"
	"                          hash trees: off, hash (the root hashes beside the\n"
	"                          images) or require (signatures of theirs, for which\n"
	"                          the initramfs has certificates) (default: off)\n"
	"  --cache-dir DIR         where compiled indexes are kept (default: for root\n"
	"                          /var/cache/mlimg, else $XDG_CACHE_HOME/mlimg)\n"
	"Machine:\n"
	"  --name NAME             name of the guest (default: the user layer's)\n"
	"  --memory SIZE           memory (default: 1G)\n"
	"  --cpus N                virtual CPUs (default: 1)\n"
	"  --accel WHICH           auto, kvm or tcg (default: auto: KVM where it can\n"
	"                          really run a guest, else emulation)\n"
	"  --net WHICH             user (NAT) or none (default: user)\n"
	"  --forward [ADDRESS:]HOSTPORT:GUESTPORT\n"
	"                          forward a TCP port, may be repeated (default address:\n"
	"                          127.0.0.1)\n"
	"  --shuffle SEED          attach the disks in another order, for tests\n"
	"Boot:\n"
	"  --kernel FILE           another kernel; --initrd must be given too\n"
	"  --initrd FILE           another initramfs; --kernel must be given too\n"
	"  --append STRING         add to the kernel's command line\n"
	"  --mode MODE             what becomes of the guest's changes: normal, volatile,\n"
	"                          readonly, rescue (without the user layer's own) or\n"
	"                          reset (set those aside, then normal) (default: normal)\n"
	"  --boot-timeout SECONDS  how long a boot may last (default: 300)\n"
	"Output:\n"
	"  --console WHERE         a file, stdio or none (default: console.log in the\n"
	"                          guest's runtime directory)\n"
	"  --runtime-dir DIR       where guests' runtime directories are (default: for\n"
	"                          root /run/mlimg-vm, else $XDG_RUNTIME_DIR/mlimg-vm)\n"
	"  --dry-run               check everything, print QEMU's command, run no guest\n"
	"  --verbose               print each stage of the boot\n"
	"  --help                  show this\n";

enum {
	OPT_SYSTEM = 256,
	OPT_PATCH,
	OPT_SOFTWARE,
	OPT_USER,
	OPT_USER_FORMAT,
	OPT_USER_ID,
	OPT_FORMAT_USER,
	OPT_UNION,
	OPT_CONVERT,
	OPT_INDEX,
	OPT_DISKS,
	OPT_VERITY,
	OPT_CACHE_DIR,
	OPT_NAME,
	OPT_MEMORY,
	OPT_CPUS,
	OPT_ACCEL,
	OPT_NET,
	OPT_FORWARD,
	OPT_SHUFFLE,
	OPT_KERNEL,
	OPT_INITRD,
	OPT_APPEND,
	OPT_MODE,
	OPT_BOOT_TIMEOUT,
	OPT_CONSOLE,
	OPT_RUNTIME_DIR,
	OPT_DRY_RUN,
	OPT_VERBOSE,
};

static const struct option options[] = {{"system", required_argument, NULL, OPT_SYSTEM},
	{"patch", required_argument, NULL, OPT_PATCH},
	{"software", required_argument, NULL, OPT_SOFTWARE},
	{"user", required_argument, NULL, OPT_USER},
	{"user-format", required_argument, NULL, OPT_USER_FORMAT},
	{"user-id", required_argument, NULL, OPT_USER_ID},
	{"format-user", required_argument, NULL, OPT_FORMAT_USER},
	{"union", required_argument, NULL, OPT_UNION}, {"convert", no_argument, NULL, OPT_CONVERT},
	{"index", required_argument, NULL, OPT_INDEX},
	{"disks", required_argument, NULL, OPT_DISKS},
	{"verity", required_argument, NULL, OPT_VERITY},
	{"cache-dir", required_argument, NULL, OPT_CACHE_DIR},
	{"name", required_argument, NULL, OPT_NAME},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{"cpus", required_argument, NULL, OPT_CPUS}, {"accel", required_argument, NULL, OPT_ACCEL},
	{"net", required_argument, NULL, OPT_NET},
	{"forward", required_argument, NULL, OPT_FORWARD},
	{"shuffle", required_argument, NULL, OPT_SHUFFLE},
	{"kernel", required_argument, NULL, OPT_KERNEL},
	{"initrd", required_argument, NULL, OPT_INITRD},
	{"append", required_argument, NULL, OPT_APPEND},
	{"mode", required_argument, NULL, OPT_MODE},
	{"boot-timeout", required_argument, NULL, OPT_BOOT_TIMEOUT},
	{"console", required_argument, NULL, OPT_CONSOLE},
	{"runtime-dir", required_argument, NULL, OPT_RUNTIME_DIR},
	{"dry-run", no_argument, NULL, OPT_DRY_RUN}, {"verbose", no_argument, NULL, OPT_VERBOSE},
	{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

static int set_once(const char *option, const char *text, const char **where, struct mlimg_err *err)
{
	if (*where)
		return mlimg_err_usage(err, "--%s is given twice", option);
	*where = text;
	return 0;
}

static int add_layer(const char *what, const char *text, const char **layers, size_t *n, size_t max,
	struct mlimg_err *err)
{
	if (*n == max)
		return mlimg_err_usage(err, "more than %zu %s", max, what);
	layers[(*n)++] = text;
	return 0;
}

/* One of two words. */
static int set_choice(const char *option, const char *text, const char *yes, const char *no,
	bool *ret, struct mlimg_err *err)
{
	if (strcmp(text, yes) != 0 && strcmp(text, no) != 0)
		return mlimg_err_usage(
			err, "--%s: '%s' is neither '%s' nor '%s'", option, text, yes, no);
	*ret = strcmp(text, yes) == 0;
	return 0;
}

static int set_user_id(struct mlimg_vm_options *o, const char *text, struct mlimg_err *err)
{
	size_t len = strlen(text);

	if (len < MLIMG_SHORT_ID || len >= MLIMG_SHA256_HEX_SIZE ||
		strspn(text, "0123456789abcdef") != len)
		return mlimg_err_usage(
			err, "--user-id: '%s' is not an id (20 to 64 lower-case hex digits)", text);
	return set_once("user-id", text, &o->user_id, err);
}

/* NAME[:INSTANCE]; a name may have colons too. */
static int set_format(struct mlimg_vm_options *o, const char *text, struct mlimg_err *err)
{
	const char *colon = strrchr(text, ':');
	bool has_instance = colon && mlimg_layer_instance_is_valid(colon + 1);
	size_t len = has_instance ? (size_t)(colon - text) : strlen(text);
	char name[MLIMG_LAYER_NAME_MAX + 1];

	if (o->format[0])
		return mlimg_err_usage(err, "--format-user is given twice");
	snprintf(name, sizeof(name), "%.*s", (int)len, text);
	if (len >= sizeof(name) || !mlimg_layer_name_is_valid(name))
		return mlimg_err_usage(
			err, "--format-user: '%s' cannot be the name of a user layer", text);
	strcpy(o->format, name);
	if (has_instance)
		strcpy(o->instance, colon + 1);
	return 0;
}

static int add_forward(struct mlimg_vm_options *o, const char *text, struct mlimg_err *err)
{
	int ret;

	if (o->n_forwards == MLIMG_VM_FORWARDS_MAX)
		return mlimg_err_usage(err, "more than %d forwarded ports", MLIMG_VM_FORWARDS_MAX);
	ret = mlimg_vm_forward_of(text, &o->forwards[o->n_forwards], err);
	if (ret < 0)
		return mlimg_err_wrap(err, ret, "--forward");
	o->n_forwards++;
	return 0;
}

static int set_console(struct mlimg_vm_options *o, const char *text, struct mlimg_err *err)
{
	if (strcmp(text, "stdio") == 0)
		o->console = MLIMG_CONSOLE_STDIO;
	else if (strcmp(text, "none") == 0)
		o->console = MLIMG_CONSOLE_NONE;
	else if (*text)
		o->console_path = text;
	else
		return mlimg_err_usage(err, "--console: a file, 'stdio' or 'none' is wanted");
	return 0;
}

static int set_machine(struct mlimg_vm_options *o, int opt, const char *text, struct mlimg_err *err)
{
	int ret;

	switch (opt) {
	case OPT_NAME: return set_once("name", text, &o->name, err);
	case OPT_MEMORY:
		ret = mlimg_vm_memory_of(text, &o->memory_bytes, err);
		return ret < 0 ? mlimg_err_wrap(err, ret, "--memory") : 0;
	case OPT_CPUS:
		ret = mlimg_vm_cpus_of(text, &o->cpus, err);
		return ret < 0 ? mlimg_err_wrap(err, ret, "--cpus") : 0;
	case OPT_ACCEL:
		ret = mlimg_accel_of(text, &o->accel, err);
		return ret < 0 ? mlimg_err_wrap(err, ret, "--accel") : 0;
	case OPT_NET: return set_choice("net", text, "user", "none", &o->net, err);
	case OPT_FORWARD: return add_forward(o, text, err);
	default: /* OPT_SHUFFLE */
		o->shuffle = true;
		ret = mlimg_cli_number(text, 0, UINT64_MAX, &o->shuffle_seed, err);
		return ret < 0 ? mlimg_err_wrap(err, ret, "--shuffle") : 0;
	}
}

static int set_layers(struct mlimg_vm_options *o, int opt, const char *text, const char **format,
	struct mlimg_err *err)
{
	int ret;

	switch (opt) {
	case OPT_SYSTEM: return set_once("system", text, &o->system, err);
	case OPT_PATCH:
		return add_layer(
			"patches", text, o->patches, &o->n_patches, MLIMG_STACK_PATCH_MAX, err);
	case OPT_SOFTWARE:
		return add_layer("software layers", text, o->software, &o->n_software,
			MLIMG_STACK_SOFTWARE_MAX, err);
	case OPT_USER: return set_once("user", text, &o->user, err);
	case OPT_USER_FORMAT: return set_once("user-format", text, format, err);
	case OPT_USER_ID: return set_user_id(o, text, err);
	case OPT_FORMAT_USER: return set_format(o, text, err);
	case OPT_UNION:
		ret = mlimg_union_of(text, &o->union_driver, err);
		return ret < 0 ? mlimg_err_wrap(err, ret, "--union") : 0;
	case OPT_CONVERT: o->convert = true; return 0;
	case OPT_INDEX: return set_once("index", text, &o->index, err);
	case OPT_DISKS:
		ret = mlimg_disks_of(text, &o->disks, err);
		return ret < 0 ? mlimg_err_wrap(err, ret, "--disks") : 0;
	case OPT_VERITY:
		ret = mlimg_vm_verity_of(text, &o->verity, err);
		return ret < 0 ? mlimg_err_wrap(err, ret, "--verity") : 0;
	default: /* OPT_CACHE_DIR */ return set_once("cache-dir", text, &o->cache_dir, err);
	}
}

static int set_mode(struct mlimg_vm_options *o, const char *text, struct mlimg_err *err)
{
	o->resets = strcmp(text, "reset") == 0;
	if (o->resets)
		o->mode = MLIMG_BOOT_NORMAL;
	else if (!mlimg_boot_mode_of(text, &o->mode))
		return mlimg_err_usage(err,
			"--mode: '%s' is not normal, volatile, readonly, rescue or reset", text);
	return 0;
}

static int set_option(struct mlimg_vm_options *o, int opt, const char *text, const char **format,
	struct mlimg_err *err)
{
	int ret;

	switch (opt) {
	case OPT_KERNEL: return set_once("kernel", text, &o->kernel, err);
	case OPT_INITRD: return set_once("initrd", text, &o->initrd, err);
	case OPT_APPEND: return set_once("append", text, &o->append, err);
	case OPT_MODE: return set_mode(o, text, err);
	case OPT_BOOT_TIMEOUT:
		ret = mlimg_vm_boot_timeout_of(text, &o->boot_timeout_s, err);
		return ret < 0 ? mlimg_err_wrap(err, ret, "--boot-timeout") : 0;
	case OPT_CONSOLE: return set_console(o, text, err);
	case OPT_RUNTIME_DIR: return set_once("runtime-dir", text, &o->runtime_dir, err);
	case OPT_DRY_RUN: o->dry_run = true; return 0;
	case OPT_VERBOSE: o->verbose = true; return 0;
	default:
		return opt <= OPT_CACHE_DIR ? set_layers(o, opt, text, format, err)
					    : set_machine(o, opt, text, err);
	}
}

static int check_user(struct mlimg_vm_options *o, const char *format, struct mlimg_err *err)
{
	size_t len = strlen(o->user);

	o->user_is_qcow2 = len > 6 && strcmp(o->user + len - 6, ".qcow2") == 0;
	if (format && set_choice("user-format", format, "qcow2", "raw", &o->user_is_qcow2, err) < 0)
		return err->code;
	if (o->format[0] && o->user_id)
		return mlimg_err_usage(err,
			"--user-id and --format-user exclude each other: the id follows from the "
			"latter");
	if (o->user_is_qcow2 && o->format[0] && !o->instance[0])
		return mlimg_err_usage(err,
			"a qcow2 user layer is not looked into: --format-user must be given as "
			"NAME:INSTANCE");
	if (o->user_is_qcow2 && !o->format[0] && (!o->user_id || !o->name))
		return mlimg_err_usage(err,
			"a qcow2 user layer is not looked into: --user-id and --name must be "
			"given");
	if (o->format[0] && o->mode != MLIMG_BOOT_NORMAL)
		return mlimg_err_usage(err, "--format-user needs --mode normal");
	if (!o->user_is_qcow2 && o->user_id)
		return mlimg_err_usage(
			err, "--user-id is for qcow2 user layers; a raw one holds its id itself");
	return 0;
}

static int check_all(struct mlimg_vm_options *o, const char *format, struct mlimg_err *err)
{
	if (!o->system)
		return mlimg_err_usage(err, "--system is missing");
	if (!o->user)
		return mlimg_err_usage(err, "--user is missing");
	if (o->index && o->union_driver > MLIMG_UNION_OF_INDEX)
		return mlimg_err_usage(err, "--index and --union %s exclude each other",
			mlimg_union_name(o->union_driver));
	if (o->disks && o->union_driver > MLIMG_UNION_OF_INDEX)
		return mlimg_err_usage(err, "--disks and --union %s exclude each other",
			mlimg_union_name(o->union_driver));
	if (o->n_patches && o->union_driver == MLIMG_UNION_OF_UNIONFS)
		return mlimg_err_usage(err,
			"--patch and --union unionfs exclude each other: unionfs-fuse cannot "
			"follow a patch to the contents beneath it");
	if (!o->kernel != !o->initrd)
		return mlimg_err_usage(err, "--kernel and --initrd go together");
	if (!o->net && o->n_forwards)
		return mlimg_err_usage(err, "--forward needs --net user");
	return check_user(o, format, err);
}

int mlimg_vm_options_parse(int argc, char **argv, struct mlimg_vm_options *ret)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_vm_options o = {.memory_bytes = MLIMG_VM_MEMORY,
		.cpus = 1,
		.net = true,
		.console = MLIMG_CONSOLE_SOCKET,
		.boot_timeout_s = MLIMG_VM_BOOT_TIMEOUT_S};
	const char *format = NULL;
	int opt;

	while ((opt = mlimg_cli_getopt(MLIMG_VM_PROG, argc, argv, "+h", options)) != -1) {
		if (opt == 'h')
			return mlimg_cli_help(MLIMG_VM_PROG, help);
		if (opt == '?')
			return MLIMG_EXIT_USAGE;
		if (set_option(&o, opt, optarg, &format, &err) < 0)
			return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	}
	if (optind < argc && strcmp(argv[optind - 1], "--") != 0)
		return mlimg_cli_usage(MLIMG_VM_PROG,
			"unexpected argument '%s' (arguments for QEMU come after '--')",
			argv[optind]);
	o.extra_args = argv + optind;
	if (check_all(&o, format, &err) < 0)
		return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	*ret = o;
	return -1;
}
