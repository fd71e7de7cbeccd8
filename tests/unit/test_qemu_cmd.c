/* SPDX-License-Identifier: MIT */
#include "tests/lib/test.h"

#include "tools/vm-cmd.h"

static char ids[MLIMG_VM_DISKS_MAX][MLIMG_SHA256_HEX_SIZE];

/* A guest with @n disks; the id of disk i is i in 64 digits. */
static struct mlimg_vm_spec guest(size_t n)
{
	struct mlimg_vm_spec spec = {.arch = mlimg_vm_arch_of("x86_64"),
		.accel = MLIMG_ACCEL_KVM,
		.sandbox = true,
		.name = "g",
		.memory_bytes = 1 << 30,
		.cpus = 1,
		.kernel = "k",
		.initrd = "i",
		.dir = "/r/g",
		.n_disks = n};

	ASSERT(n <= MLIMG_VM_DISKS_MAX);
	for (size_t i = 0; i < n; i++) {
		/* The digits that are used are the first ones. */
		snprintf(ids[i], sizeof(ids[i]), "%020zx%044d", i, 0);
		spec.disks[i] = (struct mlimg_vm_disk){.path = "d", .id = ids[i]};
	}
	return spec;
}

static struct mlimg_args command(const struct mlimg_vm_spec *spec)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_args args = {0};

	ASSERT_OK(mlimg_vm_command(spec, &args, &err), err);
	ASSERT(args.v[args.n] == NULL);
	return args;
}

/* Address (slot * 8 + function) of each disk, by its serial; every one exactly once. */
static void addresses(const struct mlimg_args *args, size_t n_disks, unsigned *ret)
{
	unsigned char seen[256] = {0};
	size_t found = 0;

	for (size_t i = 0; i < args->n; i++) {
		const char *serial = strstr(args->v[i], ",serial=");
		char hex[MLIMG_SHORT_ID + 1];
		unsigned slot, function;
		size_t disk;

		if (!serial)
			continue;
		ASSERT_EQ(
			sscanf(serial, ",serial=%20[0-9a-f],addr=0x%x.%u,", hex, &slot, &function),
			3);
		disk = strtoul(hex, NULL, 16);
		ASSERT(disk < n_disks && slot >= 8 && slot < 31 && function < 8);
		ASSERT(!seen[slot * 8 + function]);
		seen[slot * 8 + function] = 1;
		ret[disk] = slot * 8 + function;
		found++;
	}
	ASSERT_EQ(found, n_disks);
}

TEST(as_many_disks_as_a_stack_can_have)
{
	struct mlimg_vm_spec spec = guest(MLIMG_VM_DISKS_MAX);
	unsigned at[MLIMG_VM_DISKS_MAX];
	struct mlimg_args args = command(&spec);

	addresses(&args, spec.n_disks, at);
	for (unsigned i = 0; i < MLIMG_VM_DISKS_MAX; i++)
		ASSERT_EQ(at[i], 64 + i);
	mlimg_args_done(&args);
}

TEST(every_shuffle_is_a_permutation)
{
	for (uint64_t seed = 0; seed < 50; seed++) {
		struct mlimg_vm_spec spec = guest(MLIMG_VM_DISKS_MAX);
		unsigned at[MLIMG_VM_DISKS_MAX], again[MLIMG_VM_DISKS_MAX];
		struct mlimg_args args;
		size_t moved = 0;

		spec.shuffle = true;
		spec.shuffle_seed = seed;
		args = command(&spec);
		addresses(&args, spec.n_disks, at);
		mlimg_args_done(&args);
		args = command(&spec);
		addresses(&args, spec.n_disks, again);
		mlimg_args_done(&args);
		ASSERT_MEM(at, again, sizeof(at));
		for (unsigned i = 0; i < MLIMG_VM_DISKS_MAX; i++)
			moved += at[i] != 64 + i;
		ASSERT(moved > MLIMG_VM_DISKS_MAX / 2);
	}
}

TEST(an_index_is_one_disk_more)
{
	struct mlimg_vm_spec spec = guest(MLIMG_VM_DISKS_MAX);
	unsigned at[MLIMG_VM_DISKS_MAX + 1];
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_args args;
	size_t moved = 0;
	char *line, id[MLIMG_SHA256_HEX_SIZE];

	snprintf(id, sizeof(id), "%020zx%044d", (size_t)MLIMG_VM_DISKS_MAX, 0);
	spec.n_patches = MLIMG_STACK_PATCH_MAX;
	spec.index = (struct mlimg_vm_disk){.path = "i", .id = id};
	args = command(&spec);
	addresses(&args, MLIMG_VM_DISKS_MAX + 1, at);
	for (unsigned i = 0; i <= MLIMG_VM_DISKS_MAX; i++)
		ASSERT_EQ(at[i], 64 + i);
	mlimg_args_done(&args);
	for (spec.shuffle_seed = 0; spec.shuffle_seed < 50; spec.shuffle_seed++) {
		spec.shuffle = true;
		args = command(&spec);
		addresses(&args, MLIMG_VM_DISKS_MAX + 1, at);
		mlimg_args_done(&args);
		moved += at[MLIMG_VM_DISKS_MAX] != 64 + MLIMG_VM_DISKS_MAX;
	}
	ASSERT(moved > 40);
	ASSERT_OK(mlimg_vm_kernel_cmdline(&spec, &line, &err), err);
	ASSERT(strlen(line) < 2048);
	ASSERT(strstr(line,
		",00000000000000000050 mlimg.user=00000000000000000051 mlimg.union=index "
		"mlimg.index=00000000000000000052 console="));
	free(line);
}

TEST(a_joined_index_and_the_user_layer_are_all_disks)
{
	struct mlimg_vm_spec spec = guest(MLIMG_VM_DISKS_MAX);
	struct mlimg_args args;
	unsigned n = 0;

	spec.index = (struct mlimg_vm_disk){.path = "d", .is_vmdk = true, .id = ids[0]};
	for (spec.shuffle_seed = 0; spec.shuffle_seed < 20; spec.shuffle_seed++) {
		spec.shuffle = spec.shuffle_seed > 0;
		args = command(&spec);
		n = 0;
		for (size_t i = 0; i < args.n; i++)
			n += strncmp(args.v[i], "virtio-blk-pci,", 15) == 0;
		ASSERT_EQ(n, 2);
		mlimg_args_done(&args);
	}
	spec.shuffle = false;
	args = command(&spec);
	for (size_t i = 0; i < args.n; i++)
		if (strncmp(args.v[i], "driver=vmdk,", 12) == 0)
			ASSERT_STR(args.v[i],
				"driver=vmdk,node-name=index,read-only=on,"
				"file.driver=file,file.filename=d");
	mlimg_args_done(&args);
}

TEST(only_the_user_layer_is_written_to)
{
	struct mlimg_vm_spec spec = guest(5);
	struct mlimg_args args;
	size_t writable = 0;

	spec.index = (struct mlimg_vm_disk){.path = "i", .id = ids[0]};
	args = command(&spec);

	for (size_t i = 0; i < args.n; i++) {
		if (strncmp(args.v[i], "driver=", 7) != 0)
			continue;
		ASSERT(!strstr(args.v[i], "unsafe") && !strstr(args.v[i], "no-flush"));
		if (!strstr(args.v[i], ",read-only=on,")) {
			ASSERT(strstr(args.v[i], "node-name=user,"));
			writable++;
		}
	}
	ASSERT_EQ(writable, 1);
	mlimg_args_done(&args);
}

/* The ids of a parameter are those of the disks from @first on. @return their number */
static size_t check_list(const char *line, const char *parameter, size_t first)
{
	char *list, *save = NULL;
	size_t n = 0;

	list = strstr(line, parameter);
	ASSERT(list);
	list = strndup(list + strlen(parameter), strcspn(list, " ") - strlen(parameter));
	for (char *id = strtok_r(list, ",", &save); id; id = strtok_r(NULL, ",", &save)) {
		ASSERT_EQ(strlen(id), MLIMG_SHORT_ID);
		ASSERT_EQ(strtoul(id, NULL, 16), first + n++);
	}
	free(list);
	return n;
}

TEST(kernel_command_line_with_all_layers)
{
	struct mlimg_vm_spec spec = guest(MLIMG_VM_DISKS_MAX);
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *line;

	spec.n_patches = MLIMG_STACK_PATCH_MAX;
	ASSERT_OK(mlimg_vm_kernel_cmdline(&spec, &line, &err), err);
	ASSERT(strlen(line) < 2048);
	ASSERT(strncmp(line, "boot=mlimg mlimg.system=00000000000000000000 ", 45) == 0);
	ASSERT_EQ(check_list(line, "mlimg.patch=", 1), MLIMG_STACK_PATCH_MAX);
	ASSERT_EQ(check_list(line, "mlimg.software=", 1 + MLIMG_STACK_PATCH_MAX),
		MLIMG_STACK_SOFTWARE_MAX);
	free(line);
}

TEST(kernel_command_line_with_patches_alone)
{
	struct mlimg_vm_spec spec = guest(4);
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *line;

	spec.n_patches = 2;
	ASSERT_OK(mlimg_vm_kernel_cmdline(&spec, &line, &err), err);
	ASSERT_STR(line,
		"boot=mlimg mlimg.system=00000000000000000000 "
		"mlimg.patch=00000000000000000001,00000000000000000002 "
		"mlimg.user=00000000000000000003 console=ttyS0 panic=-1");
	free(line);
}

TEST(kernel_command_line_without_software)
{
	struct mlimg_vm_spec spec = guest(2);
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *line;

	spec.append = "quiet";
	ASSERT_OK(mlimg_vm_kernel_cmdline(&spec, &line, &err), err);
	ASSERT_STR(line,
		"boot=mlimg mlimg.system=00000000000000000000 mlimg.user=00000000000000000001 "
		"console=ttyS0 panic=-1 quiet");
	free(line);
}

TEST(kernel_command_line_under_emulation)
{
	struct mlimg_vm_spec spec = guest(2);
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *line;

	spec.accel = MLIMG_ACCEL_TCG;
	ASSERT_OK(mlimg_vm_kernel_cmdline(&spec, &line, &err), err);
	ASSERT_STR(line,
		"boot=mlimg mlimg.system=00000000000000000000 mlimg.user=00000000000000000001 "
		"console=ttyS0 no_timer_check panic=-1");
	free(line);
}

TEST(kernel_command_line_of_a_copy)
{
	struct mlimg_vm_spec spec = guest(2);
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *line;

	spec.identity = "0123";
	ASSERT_OK(mlimg_vm_kernel_cmdline(&spec, &line, &err), err);
	ASSERT_STR(line,
		"boot=mlimg mlimg.system=00000000000000000000 mlimg.user=00000000000000000001 "
		"mlimg.identity=0123 console=ttyS0 panic=-1");
	free(line);
}

TEST(kernel_command_line_at_its_limit)
{
	struct mlimg_vm_spec spec = guest(2);
	struct mlimg_err err = MLIMG_ERR_INIT;
	char append[2049] = "", *line = NULL;
	size_t base;

	spec.append = append;
	ASSERT_OK(mlimg_vm_kernel_cmdline(&spec, &line, &err), err);
	base = strlen(line);
	free(line);
	memset(append, 'x', 2047 - base);
	ASSERT_OK(mlimg_vm_kernel_cmdline(&spec, &line, &err), err);
	ASSERT_EQ(strlen(line), 2047);
	free(line);
	line = NULL;
	append[2047 - base] = 'x';
	ASSERT_FAILS(mlimg_vm_kernel_cmdline(&spec, &line, &err), err, -EINVAL,
		"the kernel command line has 2048 bytes, but the kernel reads only 2047; shorten "
		"--append "
		"or merge software layers");
	ASSERT_EQ(err.kind, MLIMG_ERR_USAGE);
	ASSERT(!line);
}

static bool has(const struct mlimg_args *args, const char *option, const char *value)
{
	for (size_t i = 0; i + 1 < args->n; i++)
		if (strcmp(args->v[i], option) == 0 && strcmp(args->v[i + 1], value) == 0)
			return true;
	return false;
}

TEST(block_devices_have_a_driver_of_their_own)
{
	struct mlimg_vm_spec spec = guest(3);
	struct mlimg_args args;

	spec.disks[0].is_block_device = spec.disks[2].is_block_device = true;
	spec.disks[2].is_qcow2 = true;
	args = command(&spec);
	ASSERT(has(&args, "-blockdev",
		"driver=raw,node-name=system,read-only=on,file.driver=host_device,file.filename="
		"d"));
	ASSERT(has(&args, "-blockdev",
		"driver=raw,node-name=software0,read-only=on,file.driver=file,file.filename=d"));
	ASSERT(has(&args, "-blockdev",
		"driver=qcow2,node-name=user,discard=unmap,detect-zeroes=unmap,"
		"file.driver=host_device,file.filename=d"));
	mlimg_args_done(&args);
}

TEST(cpu_of_each_accelerator)
{
	struct mlimg_vm_spec spec = guest(2);
	struct mlimg_args args = command(&spec);

	ASSERT(has(&args, "-accel", "kvm") && has(&args, "-cpu", "host"));
	mlimg_args_done(&args);
	spec.accel = MLIMG_ACCEL_TCG;
	args = command(&spec);
	ASSERT(has(&args, "-accel", "tcg") && has(&args, "-cpu", "max,erms=off"));
	mlimg_args_done(&args);
	ASSERT(!mlimg_vm_arch_of("s390x"));
}

TEST(sandbox_where_there_is_one)
{
	static const char on[] =
		"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
	struct mlimg_vm_spec spec = guest(2);
	struct mlimg_args args = command(&spec);

	ASSERT(has(&args, "-sandbox", on));
	mlimg_args_done(&args);
	spec.sandbox = false;
	args = command(&spec);
	for (size_t i = 0; i < args.n; i++)
		ASSERT(strcmp(args.v[i], "-sandbox") != 0);
	mlimg_args_done(&args);
}

/* Printed, and read back by a shell, a command is what it was. */
TEST(what_is_printed_a_shell_reads_back)
{
	static const char *const odd[] = {
		"-x", "a b", "", "it's", "$HOME `id` \\", "new\nline", "*", "~", "#", "é", NULL};
	struct mlimg_vm_spec spec = guest(2);
	struct mlimg_args args;
	char path[300], shell[700], found[8192];
	size_t n, at = 0;
	FILE *f;

	spec.extra_args = (char *const *)odd;
	args = command(&spec);
	snprintf(path, sizeof(path), "%s/command", test_tmpdir());
	f = fopen(path, "w");
	ASSERT(f);
	fputs("f() { printf '%s\\0' \"$@\"; }; f ", f);
	mlimg_args_print(f, &args);
	fclose(f);
	snprintf(shell, sizeof(shell), "sh '%s'", path);
	f = popen(shell, "r");
	ASSERT(f);
	n = fread(found, 1, sizeof(found), f);
	ASSERT_EQ(pclose(f), 0);
	for (size_t i = 0; i < args.n; i++) {
		ASSERT(at < n);
		ASSERT_STR(found + at, args.v[i]);
		at += strlen(args.v[i]) + 1;
	}
	ASSERT_EQ(at, n);
	mlimg_args_done(&args);
}

/* What QEMU is given open (vm-confine.h) is named by descriptors, and no path is left to be opened. */
TEST(what_is_given_open)
{
	struct mlimg_vm_spec spec = guest(2);
	struct mlimg_args args;

	spec.disks[0].path = "/l,x";
	spec.disks[0].fd = 10;
	spec.disks[1].path = "/secret/u";
	spec.disks[1].fd = 11;
	spec.disks[1].is_qcow2 = true;
	spec.kernel_fd = 12;
	spec.initrd_fd = 13;
	for (int i = 0; i < MLIMG_VM_SOCKETS; i++)
		spec.socket_fds[i] = 20 + i;
	args = command(&spec);
	ASSERT(has(&args, "-add-fd", "fd=10,set=0,opaque=/l,,x"));
	ASSERT(has(&args, "-add-fd", "fd=11,set=1,opaque=/secret/u"));
	ASSERT(has(&args, "-blockdev",
		"driver=raw,node-name=system,read-only=on,file.driver=file,"
		"file.filename=/dev/fdset/0"));
	ASSERT(has(&args, "-blockdev",
		"driver=qcow2,node-name=user,discard=unmap,detect-zeroes=unmap,file.driver=file,"
		"file.filename=/dev/fdset/1"));
	ASSERT(has(&args, "-kernel", "/proc/self/fd/12"));
	ASSERT(has(&args, "-initrd", "/proc/self/fd/13"));
	ASSERT(has(&args, "-chardev", "socket,id=qmp,fd=20,server=on,wait=off"));
	ASSERT(has(&args, "-chardev", "socket,id=monitor,fd=21,server=on,wait=off"));
	ASSERT(has(&args, "-chardev", "socket,id=console,fd=22,server=on,wait=on"));
	ASSERT(has(&args, "-chardev", "socket,id=agent,fd=23,server=on,wait=off"));
	for (size_t i = 0; i < args.n; i++)
		ASSERT(!strstr(args.v[i], "path=") && !strstr(args.v[i], "filename=/secret"));
	mlimg_args_done(&args);
}
