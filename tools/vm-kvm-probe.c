/* SPDX-License-Identifier: MIT */
#include "tools/vm-kvm-probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

#ifdef __x86_64__
#include <linux/kvm.h>

#define API_VERSION \
	12 /* the only one there has ever been; KVM's document says to refuse any other */
#define PML4 0x1000
#define PDPT 0x2000
#define PD 0x3000
#define CODE 0x4000
#define GDT 0x5000
#define MEMORY 0x6000
#define CPUID_MAX 256 /* entries; KVM itself never gives more */
#define PORT 0x10
#define VALUE 0x42

static int fill_memory(int vm, struct mlimg_err *err)
{
	static const uint8_t code[] = {
		0xb8, 0x20, 0x00, 0x00, 0x00, 0x0f, 0x22, 0xe0, /* mov $PAE,%eax; mov %eax,%cr4 */
		0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x22, 0xd8, /* mov $PML4,%eax; mov %eax,%cr3 */
		0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32,       /* mov $EFER,%ecx; rdmsr */
		0x0d, 0x00, 0x01, 0x00, 0x00, 0x0f, 0x30,       /* or $LME,%eax; wrmsr */
		0xb8, 0x01, 0x00, 0x00, 0x80, 0x0f, 0x22,
		0xc0, /* mov $(PG|PE),%eax; mov %eax,%cr0 */
		0xea, 0x2d, 0x40, 0x00, 0x00, 0x08,
		0x00,                          /* ljmp $8,$(CODE + 45): 64-bit from here */
		0xb0, VALUE, 0xe6, PORT, 0xf4, /* mov $VALUE,%al; out %al,$PORT; hlt */
	};
	uint8_t *memory =
		mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = {.memory_size = MEMORY};

	if (memory == MAP_FAILED)
		return mlimg_err_set(err, errno, "no memory for a test guest");
	*(uint64_t *)(memory + PML4) = PDPT | 3;
	*(uint64_t *)(memory + PDPT) = PD | 3;
	*(uint64_t *)(memory + PD) = 0x83; /* present, writable, one page of 2 MiB at 0 */
	*(uint64_t *)(memory + GDT + 8) = 0x00af9b000000ffff; /* a 64-bit code segment */
	memcpy(memory + CODE, code, sizeof(code));
	region.userspace_addr = (uintptr_t)memory;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return mlimg_err_set(err, errno, "a test guest gets no memory");
	return 0;
}

/* Protected mode, flat segments, no paging: what a boot loader hands to a kernel. */
static int enter_protected_mode(int vcpu, struct mlimg_err *err)
{
	struct kvm_regs regs = {.rip = CODE, .rflags = 2};
	struct kvm_segment seg = {.limit = 0xffffffff,
		.selector = 16,
		.type = 11,
		.present = 1,
		.s = 1,
		.db = 1,
		.g = 1};
	struct kvm_sregs sregs;

	if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
		return mlimg_err_set(err, errno, "a test guest has no registers");
	sregs.cs = seg;
	seg.type = 3;
	seg.selector = 24;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = seg;
	sregs.gdt.base = GDT;
	sregs.gdt.limit = 15;
	sregs.cr0 |= 1; /* PE */
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu, KVM_SET_REGS, &regs) < 0)
		return mlimg_err_set(err, errno, "a test guest cannot be put into protected mode");
	return 0;
}

/* Without it the virtual CPU has no long mode: KVM refuses a guest's EFER.LME that its CPUID does
 * not announce. */
static int give_cpuid(int kvm, int vcpu, struct mlimg_err *err)
{
	mlimg_autofree struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + CPUID_MAX * sizeof(cpuid->entries[0]));

	if (!cpuid)
		return mlimg_err_set(err, ENOMEM, "no memory for a test guest");
	cpuid->nent = CPUID_MAX;
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) < 0 ||
		ioctl(vcpu, KVM_SET_CPUID2, cpuid) < 0)
		return mlimg_err_set(err, errno, "a virtual CPU gets no features");
	return 0;
}

static int run_guest(int kvm, int vcpu, struct mlimg_err *err)
{
	int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct kvm_run *run;

	if (size < (int)sizeof(*run))
		return mlimg_err_set(err, EPROTO, "KVM_GET_VCPU_MMAP_SIZE says %d", size);
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		return mlimg_err_set(err, errno, "a virtual CPU cannot be mapped");
	if (ioctl(vcpu, KVM_RUN, 0) < 0)
		return mlimg_err_set(err, errno, "a test guest does not run");
	if (run->exit_reason != KVM_EXIT_IO || run->io.port != PORT ||
		((uint8_t *)run)[run->io.data_offset] != VALUE)
		return mlimg_err_set(err, 0,
			"a test guest in 64-bit mode stops with exit reason %u", run->exit_reason);
	return 0;
}

static int probe(const char *kvm_path, struct mlimg_err *err)
{
	mlimg_autoclose int kvm = open(kvm_path, O_RDWR | O_CLOEXEC);
	mlimg_autoclose int vm = -1, vcpu = -1;
	int version, ret;

	if (kvm < 0)
		return mlimg_err_set(err, errno, "%s cannot be opened", kvm_path);
	version = ioctl(kvm, KVM_GET_API_VERSION, 0);
	if (version < 0)
		return mlimg_err_set(err, errno, "%s is no KVM device", kvm_path);
	if (version != API_VERSION)
		return mlimg_err_set(
			err, 0, "%s has API version %d, not %d", kvm_path, version, API_VERSION);
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		return mlimg_err_set(err, errno, "%s creates no virtual machine", kvm_path);
	ret = fill_memory(vm, err);
	if (ret < 0)
		return ret;
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	if (vcpu < 0)
		return mlimg_err_set(err, errno, "%s creates no virtual CPU", kvm_path);
	ret = give_cpuid(kvm, vcpu, err);
	if (ret == 0)
		ret = enter_protected_mode(vcpu, err);
	return ret < 0 ? ret : run_guest(kvm, vcpu, err);
}
#else
static int probe(const char *kvm_path, struct mlimg_err *err)
{
	return mlimg_err_set(err, ENOSYS, "KVM is tested on x86_64 only");
}
#endif

static void __attribute__((noreturn)) probe_in_child(const char *kvm_path, int out)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (probe(kvm_path, &err) == 0)
		err.code = 0;
	_exit(mlimg_write_all(out, &err, sizeof(err)) < 0);
}

/* The child's answer, or that it gave none in time. A pipe takes sizeof(err) bytes in one piece
 * (PIPE_BUF). */
static int await_answer(int in, struct mlimg_err *err)
{
	struct pollfd pfd = {.fd = in, .events = POLLIN};
	struct mlimg_err answer;
	int n;

	do {
		n = poll(&pfd, 1, MLIMG_KVM_PROBE_MS);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		return mlimg_err_set(err, 0, "a test guest hangs in 64-bit mode");
	if (n < 0 || read(in, &answer, sizeof(answer)) != (ssize_t)sizeof(answer))
		return mlimg_err_set(err, 0, "a test guest broke off");
	*err = answer;
	return answer.code;
}

int mlimg_kvm_probe(const char *kvm_path, struct mlimg_err *err)
{
	int fds[2], ret;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return mlimg_err_set(err, errno, "no pipe for a test guest");
	pid = fork();
	if (pid == 0)
		probe_in_child(kvm_path, fds[1]);
	close(fds[1]);
	if (pid < 0) {
		ret = mlimg_err_set(err, errno, "no process for a test guest");
	} else {
		ret = await_answer(fds[0], err);
		kill(pid, SIGKILL);
		/* A KVM that hangs in the kernel may hold its process even now: it is not waited
		 * for. */
		waitpid(pid, NULL, ret < 0 ? WNOHANG : 0);
	}
	close(fds[0]);
	return ret;
}
