/* SPDX-License-Identifier: MIT */
#include "tools/vm-accel.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "tools/vm-kvm-probe.h"

const struct mlimg_accel_host mlimg_accel_this_host = {
	.cpuinfo_path = "/proc/cpuinfo", .kvm_path = "/dev/kvm", .probe = mlimg_kvm_probe};

static const char *const names[] = {
	[MLIMG_ACCEL_AUTO] = "auto", [MLIMG_ACCEL_KVM] = "kvm", [MLIMG_ACCEL_TCG] = "tcg"};

const char *mlimg_accel_name(enum mlimg_accel accel)
{
	return names[accel];
}

int mlimg_accel_of(const char *name, enum mlimg_accel *ret_accel, struct mlimg_err *err)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0) {
			*ret_accel = (enum mlimg_accel)i;
			return 0;
		}
	return mlimg_err_usage(err, "'%s' is not an accelerator (auto, kvm, tcg)", name);
}

static bool has_word(const char *line, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = line; (p = strstr(p, word)); p += len)
		if (p > line && strchr(" \t:", p[-1]) && strchr(" \t\n", p[len]))
			return true;
	return false;
}

/* All CPUs of a machine show the same flags where KVM runs, so the first "flags" line decides. */
static int find_virtualisation(const char *cpuinfo_path, bool *ret_found, struct mlimg_err *err)
{
	mlimg_autofclose FILE *f = fopen(cpuinfo_path, "re");
	mlimg_autofree char *line = NULL;
	size_t size = 0;

	*ret_found = false;
	if (!f)
		return mlimg_err_set(err, errno, "%s cannot be read", cpuinfo_path);
	while (getline(&line, &size, f) > 0)
		if (strncmp(line, "flags\t", 6) == 0) {
			*ret_found = has_word(line, "vmx") || has_word(line, "svm");
			break;
		}
	return 0;
}

static int check_kvm(const struct mlimg_accel_host *host, struct mlimg_err *err)
{
	bool found;
	int ret = find_virtualisation(host->cpuinfo_path, &found, err);

	if (ret < 0)
		return ret;
	if (!found)
		return mlimg_err_set(err, 0, "the CPU shows neither vmx nor svm");
	return host->probe(host->kvm_path, err);
}

int mlimg_accel_choose(enum mlimg_accel wanted, const struct mlimg_accel_host *host,
	enum mlimg_accel *ret, char ret_why[MLIMG_ACCEL_WHY_SIZE], struct mlimg_err *err)
{
	struct mlimg_err why = MLIMG_ERR_INIT;

	if (wanted == MLIMG_ACCEL_TCG) {
		snprintf(ret_why, MLIMG_ACCEL_WHY_SIZE, "asked for");
		*ret = MLIMG_ACCEL_TCG;
		return 0;
	}
	if (check_kvm(host, &why) == 0) {
		snprintf(ret_why, MLIMG_ACCEL_WHY_SIZE, "a test guest ran");
		*ret = MLIMG_ACCEL_KVM;
		return 0;
	}
	if (wanted == MLIMG_ACCEL_KVM)
		return mlimg_err_set(err, 0, "KVM cannot be used: %s", why.text);
	snprintf(ret_why, MLIMG_ACCEL_WHY_SIZE, "%.*s", MLIMG_ACCEL_WHY_SIZE - 1, why.text);
	*ret = MLIMG_ACCEL_TCG;
	return 0;
}
