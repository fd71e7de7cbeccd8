/* SPDX-License-Identifier: MIT */
/*
 * usage: fuzz_NAME [--mutations N] [--first K] [--seed S] FILE|DIRECTORY...
 *
 * main() of a fuzz target that is not linked with libFuzzer: runs files, and the files of
 * directories, through it, and mutations K to K + N - 1 of each. A mutation depends on seed, number
 * and what is in the directory alone. Ends with 0 when there were any inputs and none crashed; then
 * prints how many. One that crashes, or lasts over a minute, is told, and how to get it again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "tests/fuzz/mutate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (64 << 20)
#define INPUTS_MAX 4096
#define SECONDS_MAX 60

struct input {
	char *path;
	uint8_t *data;
	size_t size;
};

static struct input inputs[INPUTS_MAX];
static size_t n_inputs;
static uint64_t seed = 1, n_mutations, first_mutation;

/* What runs at the moment, for whoever waits for it. */
static struct {
	uint64_t input, mutation; /* mutation 0: the input as it is */
	uint64_t n;
} * now;

static int add_file(const char *path)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct input *input = &inputs[n_inputs];
	char *data;

	if (n_inputs == INPUTS_MAX) {
		fprintf(stderr, "run_corpus: more than %d inputs\n", INPUTS_MAX);
		return -1;
	}
	if (mlimg_read_file(AT_FDCWD, path, INPUT_MAX, &data, &input->size, &err) < 0) {
		fprintf(stderr, "run_corpus: %s\n", err.text);
		return -1;
	}
	input->path = strdup(path);
	input->data = (uint8_t *)data;
	n_inputs++;
	return input->path ? 0 : -1;
}

static int is_visible(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_directory(const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, is_visible, by_name), r = 0;

	if (n < 0) {
		fprintf(stderr, "run_corpus: %s: %s\n", path, strerror(errno));
		return -1;
	}
	for (int i = 0; i < n; i++) {
		char file[4096];

		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		r = r ? r : add_file(file);
		free(names[i]);
	}
	free(names);
	return r;
}

static void run(const uint8_t *data, size_t size)
{
	/* Without a NUL behind it, so that a sanitizer sees a read beyond the end. */
	mlimg_autofree uint8_t *exact = malloc(size ? size : 1);

	if (!exact)
		abort();
	if (size)
		memcpy(exact, data, size);
	alarm(SECONDS_MAX);
	LLVMFuzzerTestOneInput(exact, size);
	now->n++;
}

static void run_mutation(const struct input *input, uint64_t number)
{
	const char *name = strrchr(input->path, '/');
	struct mutation m = {.state = seed * UINT64_C(0x9e3779b97f4a7c15) + number};
	const struct input *other;

	for (name = name ? name + 1 : input->path; *name; name++)
		m.state = (m.state ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	m.state |= 1; /* never 0, where random numbers end */
	for (int i = 0; i < 4; i++)
		mutate_random(&m, 2);
	other = &inputs[mutate_random(&m, n_inputs)];
	m.other = other->data;
	m.other_size = other->size;
	m.size = input->size;
	m.room = (m.size > m.other_size ? m.size : m.other_size) + MUTATE_GROWTH;
	m.data = malloc(m.room);
	if (!m.data)
		abort();
	memcpy(m.data, input->data, m.size);
	mutate(&m);
	run(m.data, m.size);
	free(m.data);
}

/* In a process of its own. */
static void run_all(void)
{
	for (size_t i = 0; i < n_inputs; i++) {
		now->input = i;
		now->mutation = 0;
		if (first_mutation <= 1)
			run(inputs[i].data, inputs[i].size);
		for (uint64_t k = 0; k < n_mutations; k++) {
			now->mutation = first_mutation + k;
			run_mutation(&inputs[i], now->mutation);
		}
	}
}

/* @return the exit code */
static int tell(const char *program, int status)
{
	const struct input *input = &inputs[now->input];

	if (status == 0) {
		printf("%" PRIu64 " inputs\n", now->n);
		return 0;
	}
	fprintf(stderr, "%s %d: ", WIFSIGNALED(status) ? "signal" : "exit code",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (now->mutation)
		fprintf(stderr,
			"again: %s --seed %" PRIu64 " --first %" PRIu64 " --mutations 1, of '%s'\n",
			program, seed, now->mutation, input->path);
	else
		fprintf(stderr, "'%s'\n", input->path);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int usage(void)
{
	fprintf(stderr,
		"usage: fuzz_NAME [--mutations N] [--first K] [--seed S] FILE|DIRECTORY...\n");
	return 2;
}

static int add_all(char **paths)
{
	for (; *paths; paths++) {
		struct stat st;
		bool is_dir = stat(*paths, &st) == 0 && S_ISDIR(st.st_mode);

		if ((is_dir ? add_directory(*paths) : add_file(*paths)) < 0)
			return -1;
	}
	if (n_inputs == 0)
		fprintf(stderr, "run_corpus: no input\n");
	return n_inputs ? 0 : -1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"mutations", required_argument, NULL, 'm'},
		{"first", required_argument, NULL, 'f'}, {"seed", required_argument, NULL, 's'},
		{NULL, 0, NULL, 0}};
	int opt, status;
	pid_t pid;

	first_mutation = 1;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (opt) {
		case 'm': n_mutations = strtoull(optarg, NULL, 0); break;
		case 'f': first_mutation = strtoull(optarg, NULL, 0); break;
		case 's': seed = strtoull(optarg, NULL, 0); break;
		default: return usage();
		}
	if (add_all(argv + optind) < 0)
		return 1;
	now = mmap(NULL, sizeof(*now), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (now == MAP_FAILED)
		return 1;
	pid = fork();
	if (pid == 0) {
		run_all();
		exit(0); /* where a sanitizer looks for what was not freed */
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	return tell(argv[0], status);
}
