/* SPDX-License-Identifier: MIT */
/*
 * main() of a fuzz target that is not linked with libFuzzer: runs files, and the files of
 * directories, through it. Ends with 0 when there were any and none crashed; then prints how many.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (64 << 20)

/* @return how many ran, or -1 */
static int run_file(const char *path)
{
	mlimg_autofree char *data = NULL;
	mlimg_autofree uint8_t *exact = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t size;

	if (mlimg_read_file(AT_FDCWD, path, INPUT_MAX, &data, &size, &err) < 0) {
		fprintf(stderr, "run_corpus: %s\n", err.text);
		return -1;
	}
	/* Without the NUL behind it, so that a sanitizer sees a read beyond the end. */
	exact = malloc(size ? size : 1);
	if (!exact)
		return -1;
	memcpy(exact, data, size);
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(exact, size);
	return 1;
}

static int run_directory(const char *path)
{
	mlimg_autoclosedir DIR *dir = opendir(path);
	const struct dirent *d;
	char file[4096];
	int n = 0;

	if (!dir) {
		fprintf(stderr, "run_corpus: %s: %s\n", path, strerror(errno));
		return -1;
	}
	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, d->d_name);
		if (run_file(file) < 0)
			return -1;
		n++;
	}
	return n;
}

int main(int argc, char **argv)
{
	int n = 0;

	for (int i = 1; i < argc; i++) {
		struct stat st;
		int ran;

		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			ran = run_directory(argv[i]);
		else
			ran = run_file(argv[i]);
		if (ran < 0)
			return 1;
		n += ran;
	}
	if (n == 0) {
		fprintf(stderr, "run_corpus: no input\n");
		return 1;
	}
	printf("%d inputs\n", n);
	return 0;
}
