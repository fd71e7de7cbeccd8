/* SPDX-License-Identifier: MIT */
#include "tests/lib/test.h"

#include <fcntl.h>

#include "tools/vm-accel.h"
#include "tools/vm-kvm-probe.h"

static int probes;

static int probe_works(const char *kvm_path, struct mlimg_err *err)
{
	(void)kvm_path, (void)err;
	probes++;
	return 0;
}

static int probe_fails(const char *kvm_path, struct mlimg_err *err)
{
	probes++;
	return mlimg_err_set(err, 0, "%s hangs", kvm_path);
}

/* A machine whose cpuinfo holds @text. */
static struct mlimg_accel_host host_with(
	const char *text, int (*probe)(const char *kvm_path, struct mlimg_err *err))
{
	static char path[300];
	struct mlimg_accel_host host = {
		.cpuinfo_path = path, .kvm_path = "/fake/kvm", .probe = probe};
	FILE *f;

	snprintf(path, sizeof(path), "%s/cpuinfo", test_tmpdir());
	f = fopen(path, "w");
	ASSERT(f && fputs(text, f) >= 0 && fclose(f) == 0);
	return host;
}

static void chooses(enum mlimg_accel wanted, const struct mlimg_accel_host *host,
	enum mlimg_accel expected, const char *expected_why)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	char why[MLIMG_ACCEL_WHY_SIZE];
	enum mlimg_accel accel;

	ASSERT_OK(mlimg_accel_choose(wanted, host, &accel, why, &err), err);
	ASSERT_EQ(accel, expected);
	ASSERT_STR(why, expected_why);
}

#define CPU(FLAGS) "processor\t: 0\nmodel name\t: svm vmx\nflags\t\t: " FLAGS "\nbugs\t\t: x\n"

TEST(kvm_where_flags_and_probe_agree)
{
	struct mlimg_accel_host amd = host_with(CPU("fpu svm lm"), probe_works);

	chooses(MLIMG_ACCEL_AUTO, &amd, MLIMG_ACCEL_KVM, "a test guest ran");
	chooses(MLIMG_ACCEL_KVM, &amd, MLIMG_ACCEL_KVM, "a test guest ran");
	amd = host_with(CPU("fpu lm vmx"), probe_works);
	chooses(MLIMG_ACCEL_AUTO, &amd, MLIMG_ACCEL_KVM, "a test guest ran");
	ASSERT_EQ(probes, 3);
}

TEST(without_flags_the_probe_is_not_even_run)
{
	/* Words that only contain one, and a line that is not the flags', do not count. */
	struct mlimg_accel_host host = host_with(CPU("fpu svm_lock xvmx vmxx lm"), probe_works);

	chooses(MLIMG_ACCEL_AUTO, &host, MLIMG_ACCEL_TCG, "the CPU shows neither vmx nor svm");
	ASSERT_EQ(probes, 0);
}

TEST(flags_without_a_working_device)
{
	struct mlimg_accel_host host = host_with(CPU("vmx"), probe_fails);

	chooses(MLIMG_ACCEL_AUTO, &host, MLIMG_ACCEL_TCG, "/fake/kvm hangs");
}

TEST(kvm_wanted_but_not_there)
{
	struct mlimg_accel_host host = host_with(CPU("vmx"), probe_fails);
	struct mlimg_err err = MLIMG_ERR_INIT;
	char why[MLIMG_ACCEL_WHY_SIZE];
	enum mlimg_accel accel;

	ASSERT_FAILS(mlimg_accel_choose(MLIMG_ACCEL_KVM, &host, &accel, why, &err), err, -EIO,
		"KVM cannot be used: /fake/kvm hangs");
	host = host_with("", probe_works);
	ASSERT_FAILS(mlimg_accel_choose(MLIMG_ACCEL_KVM, &host, &accel, why, &err), err, -EIO,
		"KVM cannot be used: the CPU shows neither vmx nor svm");
	host.cpuinfo_path = "/nonexistent";
	ASSERT_FAILS(mlimg_accel_choose(MLIMG_ACCEL_KVM, &host, &accel, why, &err), err, -EIO,
		"KVM cannot be used: /nonexistent cannot be read: No such file or directory");
}

TEST(tcg_looks_at_nothing)
{
	struct mlimg_accel_host host = {.cpuinfo_path = "/nonexistent", .probe = probe_fails};

	chooses(MLIMG_ACCEL_TCG, &host, MLIMG_ACCEL_TCG, "asked for");
	ASSERT_EQ(probes, 0);
}

TEST(names)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	enum mlimg_accel accel;

	for (int i = MLIMG_ACCEL_AUTO; i <= MLIMG_ACCEL_TCG; i++) {
		ASSERT_OK(mlimg_accel_of(mlimg_accel_name((enum mlimg_accel)i), &accel, &err), err);
		ASSERT_EQ(accel, i);
	}
	ASSERT_FAILS(mlimg_accel_of("xen", &accel, &err), err, -EINVAL,
		"'xen' is not an accelerator (auto, kvm, tcg)");
}

TEST(probe_of_what_is_no_kvm)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_FAILS(mlimg_kvm_probe("/nonexistent", &err), err, -ENOENT,
		"/nonexistent cannot be opened: No such file or directory");
	ASSERT_FAILS(mlimg_kvm_probe("/dev/null", &err), err, -ENOTTY,
		"/dev/null is no KVM device: Inappropriate ioctl for device");
}

/* Whatever the device is worth, an answer comes, and no child stays behind. */
TEST(probe_of_this_machine_ends)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	int ret = mlimg_kvm_probe("/dev/kvm", &err);

	ASSERT(ret <= 0);
	ASSERT((ret == 0) == (err.text[0] == '\0'));
	ASSERT(ret < 0 || (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD));
}
