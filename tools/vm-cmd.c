/* SPDX-License-Identifier: MIT */
#include "tools/vm-cmd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"

/* max: everything that TCG can emulate. QEMU's default would be the least of all 64-bit CPUs, and a
 * distribution may be built for more. But not erms: it tells the kernel that "rep stosb" is the quick
 * way to clear a page, which TCG emulates byte by byte. A Debian boot of 18 s took 29 with it.
 *
 * no_timer_check: a kernel waits a few hundredths of a second for ticks of its timer, and panics
 * ("IO-APIC + timer doesn't work!") where there are none, as on a busy host that gives an emulated
 * guest too little. Under KVM the kernel leaves that out by itself. */
static const struct mlimg_vm_arch archs[] = {
	{.name = "x86_64",
		.qemu = "qemu-system-x86_64",
		.machine = "q35",
		.console = "ttyS0",
		.cpu_tcg = "max,erms=off",
		.append_tcg = " no_timer_check",
		.cmdline_size = 2048},
};

const struct mlimg_vm_arch *mlimg_vm_arch_of(const char *name)
{
	for (size_t i = 0; i < sizeof(archs) / sizeof(archs[0]); i++)
		if (strcmp(archs[i].name, name) == 0)
			return &archs[i];
	return NULL;
}

void mlimg_args_done(struct mlimg_args *args)
{
	for (size_t i = 0; i < args->n; i++)
		free(args->v[i]);
	free(args->v);
	memset(args, 0, sizeof(*args));
}

static void __attribute__((format(printf, 2, 3))) add(struct mlimg_args *args, const char *fmt, ...)
{
	va_list ap;

	if (args->n + 2 > args->size) {
		size_t size = args->size ? 2 * args->size : 64;
		char **v = reallocarray(args->v, size, sizeof(*v));

		if (!v) {
			args->failed = true;
			return;
		}
		args->v = v;
		args->size = size;
	}
	va_start(ap, fmt);
	if (vasprintf(&args->v[args->n], fmt, ap) < 0)
		args->failed = true;
	else
		args->n++;
	va_end(ap);
	args->v[args->n] = NULL;
}

/* QEMU reads "key=value,key=value": a comma in a value is written twice. */
static char *double_commas(const char *text)
{
	char *out = malloc(2 * strlen(text) + 1), *o = out;

	if (!out)
		return NULL;
	for (; *text; text++) {
		if (*text == ',')
			*o++ = ',';
		*o++ = *text;
	}
	*o = '\0';
	return out;
}

static void add_machine(struct mlimg_args *args, const struct mlimg_vm_spec *spec)
{
	bool kvm = spec->accel == MLIMG_ACCEL_KVM;

	add(args, "-name");
	add(args, "guest=%s", spec->name);
	add(args, "-nodefaults");
	add(args, "-no-user-config");
	add(args, "-display");
	add(args, "none");
	/* What a guest may break into can neither start programs nor become anybody else. */
	if (spec->sandbox) {
		add(args, "-sandbox");
		add(args,
			"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	}
	add(args, "-machine");
	add(args, "%s", spec->arch->machine);
	add(args, "-accel");
	add(args, "%s", mlimg_accel_name(spec->accel));
	add(args, "-cpu");
	add(args, "%s", kvm ? "host" : spec->arch->cpu_tcg);
	add(args, "-smp");
	add(args, "%u", spec->cpus);
	add(args, "-m");
	add(args, "%lluM", (unsigned long long)spec->memory_bytes >> 20);
}

const char *mlimg_vm_socket_name(int socket)
{
	static const char *const names[MLIMG_VM_SOCKETS] = {[MLIMG_VM_QMP_SOCKET] = "qmp",
		[MLIMG_VM_MONITOR_SOCKET] = "monitor",
		[MLIMG_VM_CONSOLE_SOCKET] = "console",
		[MLIMG_VM_AGENT_SOCKET] = "agent"};

	return names[socket];
}

static void add_socket(
	struct mlimg_args *args, const struct mlimg_vm_spec *spec, const char *dir, int socket)
{
	const char *id = mlimg_vm_socket_name(socket);
	const char *wait = socket == MLIMG_VM_CONSOLE_SOCKET ? "on" : "off";

	add(args, "-chardev");
	if (spec->socket_fds[socket])
		add(args, "socket,id=%s,fd=%d,server=on,wait=%s", id, spec->socket_fds[socket],
			wait);
	else
		add(args, "socket,id=%s,path=%s/%s.sock,server=on,wait=%s", id, dir, id, wait);
}

static void add_sockets(struct mlimg_args *args, const struct mlimg_vm_spec *spec, const char *dir)
{
	/* Two monitors, since one takes one client: `mlimg-vm run` stays on the first. */
	for (int i = MLIMG_VM_QMP_SOCKET; i <= MLIMG_VM_MONITOR_SOCKET; i++) {
		const char *id = mlimg_vm_socket_name(i);

		add_socket(args, spec, dir, i);
		add(args, "-mon");
		add(args, "chardev=%s,mode=control", id);
	}
	if (spec->console == MLIMG_CONSOLE_SOCKET) {
		/* wait=on: not an instruction runs before somebody reads, so the kernel's first
		 * line is not lost. */
		add_socket(args, spec, dir, MLIMG_VM_CONSOLE_SOCKET);
	} else if (spec->console == MLIMG_CONSOLE_STDIO) {
		add(args, "-chardev");
		add(args, "stdio,id=console,mux=on,signal=off");
	}
	if (spec->console != MLIMG_CONSOLE_NONE) {
		add(args, "-serial");
		add(args, "chardev:console");
	}
	add_socket(args, spec, dir, MLIMG_VM_AGENT_SOCKET);
}

static void add_devices(struct mlimg_args *args, const struct mlimg_vm_spec *spec)
{
	add(args, "-device");
	add(args, "virtio-serial-pci,id=virtio-serial0,addr=0x2");
	add(args, "-device");
	add(args, "virtserialport,bus=virtio-serial0.0,nr=1,chardev=agent,name=org.mlimg.agent.0");
	add(args, "-object");
	add(args, "rng-builtin,id=rng0");
	add(args, "-device");
	add(args, "virtio-rng-pci,rng=rng0,addr=0x3");
}

static void add_net(struct mlimg_args *args, const struct mlimg_vm_spec *spec)
{
	char forwards[MLIMG_VM_FORWARDS_MAX * 64] = "";
	size_t len = 0;

	if (!spec->net)
		return;
	for (size_t i = 0; i < spec->n_forwards; i++) {
		const struct mlimg_vm_forward *f = &spec->forwards[i];

		len += (size_t)snprintf(forwards + len, sizeof(forwards) - len,
			",hostfwd=tcp:%s:%u-:%u", f->address, f->host, f->guest);
	}
	add(args, "-netdev");
	add(args, "user,id=net0%s", forwards);
	add(args, "-device");
	add(args, "virtio-net-pci,netdev=net0,romfile=,addr=0x4");
}

/* The disks, and behind them the index. */
static const struct mlimg_vm_disk *disk_at(const struct mlimg_vm_spec *spec, size_t i)
{
	return i == spec->n_disks ? &spec->index : &spec->disks[i];
}

/* "system", "patch0"…, "software0"…, "user", "index": names of block nodes. */
static void disk_name(const struct mlimg_vm_spec *spec, size_t i, char ret_name[32])
{
	if (i == 0)
		snprintf(ret_name, 32, "system");
	else if (i == spec->n_disks - 1)
		snprintf(ret_name, 32, "user");
	else if (i == spec->n_disks)
		snprintf(ret_name, 32, "index");
	else if (i <= spec->n_patches)
		snprintf(ret_name, 32, "patch%zu", i - 1);
	else
		snprintf(ret_name, 32, "software%zu", i - 1 - spec->n_patches);
}

static const char *format_of(const struct mlimg_vm_disk *disk)
{
	return disk->is_qcow2 ? "qcow2" : disk->is_vmdk ? "vmdk" : "raw";
}

/*
 * The formats are always said, never found out from the content: a guest may write anything at the
 * beginning of its own raw disk, the header of a format that names a file of the host included.
 *
 * QEMU's defaults for caching are what is wanted. Layers go through the host's page cache, where
 * all guests on the same layer share one copy. The user's disk is a volatile write cache to the
 * guest, whose flushes reach the host's disk; cache=unsafe would drop them. What the guest
 * discards, or fills with zeroes, becomes a hole.
 */
static int add_disk(
	struct mlimg_args *args, const struct mlimg_vm_spec *spec, size_t i, size_t position)
{
	const struct mlimg_vm_disk *disk = disk_at(spec, i);
	mlimg_autofree char *path = double_commas(disk->path);
	bool is_user = i == spec->n_disks - 1;
	char name[32], set[32];

	if (!path)
		return -ENOMEM;
	disk_name(spec, i, name);
	/* A set of descriptors for each; what it is of is told to whoever asks QEMU. */
	if (disk->fd) {
		add(args, "-add-fd");
		add(args, "fd=%d,set=%zu,opaque=%s", disk->fd, i, path);
		snprintf(set, sizeof(set), "/dev/fdset/%zu", i);
	}
	add(args, "-blockdev");
	add(args, "driver=%s,node-name=%s,%s,file.driver=%s,file.filename=%s", format_of(disk),
		name,
		is_user && spec->mode != MLIMG_BOOT_READONLY ? "discard=unmap,detect-zeroes=unmap"
							     : "read-only=on",
		disk->is_block_device ? "host_device" : "file", disk->fd ? set : path);
	add(args, "-device");
	/* Eight functions to a slot, from slot 8 on: 83 disks fill eleven slots of the 32 that a bus
	 * has. */
	add(args,
		"virtio-blk-pci,id=%s,drive=%s,serial=%.*s,addr=0x%zx.%zu,multifunction=on,"
		"disable-legacy=on",
		name, name, MLIMG_SHORT_ID, disk->id, 8 + position / 8, position % 8);
	return 0;
}

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): the same
 * order everywhere. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static int add_disks(struct mlimg_args *args, const struct mlimg_vm_spec *spec)
{
	size_t order[MLIMG_VM_DISKS_MAX + 1], n = 0;
	uint64_t state = spec->shuffle_seed;

	/* With all read-only layers in the index's disk there are two: the user's and that. */
	for (size_t i = spec->index.is_vmdk ? spec->n_disks - 1 : 0; i < spec->n_disks; i++)
		order[n++] = i;
	if (spec->index.path)
		order[n++] = spec->n_disks;
	for (size_t i = n; spec->shuffle && i > 1; i--) {
		size_t j = next_random(&state) % i, tmp = order[i - 1];

		order[i - 1] = order[j];
		order[j] = tmp;
	}
	for (size_t i = 0; i < n; i++)
		if (add_disk(args, spec, order[i], i) < 0)
			return -ENOMEM;
	return 0;
}

int mlimg_vm_kernel_cmdline(
	const struct mlimg_vm_spec *spec, char **ret_line, struct mlimg_err *err)
{
	mlimg_autofree char *line = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&line, &size);

	if (!f)
		return mlimg_err_set(err, ENOMEM, "kernel command line");
	fprintf(f, "boot=mlimg mlimg.system=%.*s", MLIMG_SHORT_ID, spec->disks[0].id);
	for (size_t i = 1; i + 1 < spec->n_disks; i++)
		fprintf(f, "%s%.*s",
			i == 1 + spec->n_patches ? " mlimg.software="
				: i == 1         ? " mlimg.patch="
						 : ",",
			MLIMG_SHORT_ID, spec->disks[i].id);
	fprintf(f, " mlimg.user=%.*s", MLIMG_SHORT_ID, spec->disks[spec->n_disks - 1].id);
	if (spec->index.path)
		fprintf(f, " mlimg.union=index mlimg.index=%.*s", MLIMG_SHORT_ID, spec->index.id);
	if (spec->verity)
		fprintf(f, " mlimg.verity=%s", spec->verity);
	if (spec->is_unionfs)
		fputs(" mlimg.union=unionfs", f);
	if (spec->convert)
		fputs(" mlimg.convert", f);
	if (spec->mode != MLIMG_BOOT_NORMAL)
		fprintf(f, " mlimg.%s", mlimg_boot_mode_name(spec->mode));
	if (spec->new_user)
		fprintf(f, " mlimg.format=%s:%s", spec->new_user->name, spec->new_user->instance);
	if (spec->identity)
		fprintf(f, " mlimg.identity=%s", spec->identity);
	if (spec->reset[0])
		fprintf(f, " mlimg.reset=%s", spec->reset);
	if (spec->console != MLIMG_CONSOLE_NONE)
		fprintf(f, " console=%s", spec->arch->console);
	/* A kernel that panics resets at once, which mlimg-vm sees; one that hangs it could only
	 * time out. */
	fprintf(f, "%s panic=-1%s%s", spec->accel == MLIMG_ACCEL_TCG ? spec->arch->append_tcg : "",
		spec->append ? " " : "", spec->append ? spec->append : "");
	if (fclose(f) != 0)
		return mlimg_err_set(err, ENOMEM, "kernel command line");
	if (size >= spec->arch->cmdline_size)
		return mlimg_err_usage(err,
			"the kernel command line has %zu bytes, but the kernel reads only %zu; "
			"shorten --append or merge software layers",
			size, spec->arch->cmdline_size - 1);
	*ret_line = mlimg_steal(&line);
	return 0;
}

static void add_boot_file(struct mlimg_args *args, const char *option, const char *path, int fd)
{
	add(args, "%s", option);
	if (fd)
		add(args, "/proc/self/fd/%d", fd);
	else
		add(args, "%s", path);
}

int mlimg_vm_command(
	const struct mlimg_vm_spec *spec, struct mlimg_args *ret_args, struct mlimg_err *err)
{
	mlimg_autofree char *cmdline = NULL, *dir = double_commas(spec->dir);
	int ret = mlimg_vm_kernel_cmdline(spec, &cmdline, err);

	if (ret < 0)
		return ret;
	add(ret_args, "%s", spec->arch->qemu);
	add_machine(ret_args, spec);
	add_boot_file(ret_args, "-kernel", spec->kernel, spec->kernel_fd);
	add_boot_file(ret_args, "-initrd", spec->initrd, spec->initrd_fd);
	add(ret_args, "-append");
	add(ret_args, "%s", cmdline);
	if (dir)
		add_sockets(ret_args, spec, dir);
	add_devices(ret_args, spec);
	add_net(ret_args, spec);
	if (!dir || add_disks(ret_args, spec) < 0 || ret_args->failed)
		return mlimg_err_set(err, ENOMEM, "QEMU command");
	for (char *const *a = spec->extra_args; a && *a; a++)
		add(ret_args, "%s", *a);
	return ret_args->failed ? mlimg_err_set(err, ENOMEM, "QEMU command") : 0;
}
