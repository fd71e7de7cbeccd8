/* SPDX-License-Identifier: MIT */
/**
 * @file disk-cases.h
 * Runs cases of disk-case.h: each in a process and a file system of its own, with a seed of its
 * own. One that fails is run again and again without some of what the user did, as long as it still
 * fails.
 */
#ifndef MLIMG_TEST_DISK_CASES_H
#define MLIMG_TEST_DISK_CASES_H

#include <sched.h>
#include <sys/mman.h>

#include "tests/lib/disk-case.h"

typedef void case_fn(struct disk *d);

static struct disk *case_disk;

/* When it has failed. */
static void tell_case(void)
{
	static struct tree upper;

	print_tree("old stack", &case_disk->old.view);
	print_tree("new stack", &case_disk->next.view);
	print_tree("upper before the change", &case_disk->upper);
	if (user_type("run/user/upper") && case_disk->driver[0] != 'u')
		read_tree("run/user/upper", &upper);
	print_tree("upper", &upper);
	if (!has_databases)
		return;
	print_file("run/boot.json");
	print_databases("old stack", &case_disk->old.databases);
	print_databases("new stack", &case_disk->next.databases);
	print_databases("the user's", &case_disk->mine);
	print_databases("after", &case_disk->after);
}

/* In the case's own process. */
static void run_alone(const char *dir, case_fn *check)
{
	const char *path = dir;

	MUST(unshare(CLONE_NEWNS));
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mount("model", path, "tmpfs", 0, "mode=0755"));
	MUST(chdir(path));
	umask(0);
	model_memory = mlimg_arena_new();
	case_disk = calloc(1, sizeof(*case_disk));
	ASSERT_EQ(atexit(tell_case), 0);
	check(case_disk);
	_exit(0);
}

/* @return whether it failed; what it said is in @p said */
static bool run_case(const char *dir, case_fn *check, int said)
{
	pid_t pid;
	int status;

	fflush(NULL);
	ASSERT(ftruncate(said, 0) == 0 && lseek(said, 0, SEEK_SET) == 0);
	pid = fork();
	if (pid == 0) {
		ASSERT(dup2(said, STDERR_FILENO) >= 0);
		run_alone(dir, check);
	}
	ASSERT(pid > 0 && waitpid(pid, &status, 0) == pid);
	return status != 0;
}

static void print_ops(void)
{
	for (unsigned i = 0; i < 3 * OPS_OF_A_TURN; i++) {
		struct user_op op;

		if (left_out >> i & 1)
			continue;
		fprintf(stderr, "turn %u:", i / OPS_OF_A_TURN);
		reseed(1000 + i);
		op = user_random();
		user_print(&op);
	}
}

static void tell_failure(const char *dir, case_fn *check, int said)
{
	char text[65536];
	ssize_t size;

	for (unsigned i = 0; i < 3 * OPS_OF_A_TURN; i++) {
		left_out |= UINT64_C(1) << i;
		if (!run_case(dir, check, said))
			left_out &= ~(UINT64_C(1) << i);
	}
	run_case(dir, check, said);
	size = pread(said, text, sizeof(text), 0);
	fwrite(text, 1, size > 0 ? (size_t)size : 0, stderr);
	print_ops();
}

static unsigned long n_cases(unsigned long usual)
{
	const char *given = getenv("MLIMG_CASES");

	return given && *given ? strtoul(given, NULL, 0) : usual;
}

/**
 * Run cases.
 *
 * @param usual  how many, unless MLIMG_CASES says it
 * @param check  a case; fails with FAIL()
 */
TEST_UNUSED static void each_case(unsigned long usual, case_fn *check)
{
	const char *dir = test_tmpdir();
	int said = memfd_create("said", MFD_CLOEXEC);
	unsigned long n = n_cases(usual);

	ASSERT(said >= 0);
	make_contents();
	test_seed();
	case_seed = test_state;
	classes = mlimg_path_classes_new();
	ASSERT_OK(mlimg_path_classes_add(
			  classes, "model", MODEL_CLASSES, strlen(MODEL_CLASSES), &err),
		err);
	for (unsigned long i = 0; i < n; i++, case_seed++) {
		left_out = 0;
		if (!run_case(dir, check, said))
			continue;
		tell_failure(dir, check, said);
		FAIL("case %lu of %lu; again: MLIMG_CASES=1 MLIMG_SEED=%" PRIu64, i + 1, n,
			case_seed);
	}
	mlimg_path_classes_free(classes);
	close(said);
}

#endif
