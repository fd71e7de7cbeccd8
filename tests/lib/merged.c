/* SPDX-License-Identifier: MIT */
/*
 * usage: merged [-c] IMAGE... Prints the merged manifest of a stack of layer images, bottom first.
 * -c: reads the contents of every file, and fails where they are not those of the manifest.
 */
#include <stdio.h>
#include <string.h>

#include "tools/beneath.h"
#include "tools/data.h"

static void put(void *ctx, const char *data, size_t size)
{
	fwrite(data, 1, size, stdout);
}

static int check(const struct mlimg_beneath *b, const struct mlimg_entry *e, struct mlimg_err *err)
{
	uint8_t digest[MLIMG_SHA256_SIZE];
	struct mlimg_sha256 sha;
	int r;

	mlimg_sha256_init(&sha);
	r = mlimg_beneath_read(b, e, mlimg_data_to_sha256, &sha, err);
	if (r < 0)
		return r;
	mlimg_sha256_end(&sha, digest);
	if (memcmp(digest, e->digest, sizeof(digest)) != 0)
		return mlimg_err_refuse(err, "'%s': other contents than its digest says", e->path);
	return 0;
}

int main(int argc, char **argv)
{
	bool has_check = argc > 1 && strcmp(argv[1], "-c") == 0;
	mlimg_autobeneath struct mlimg_beneath *b = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;
	const struct mlimg_manifest *m;
	int r;

	if (argc < 2 + has_check) {
		fputs("usage: merged [-c] IMAGE...\n", stderr);
		return 2;
	}
	r = mlimg_beneath_open((const char *const *)argv + 1 + has_check,
		(size_t)(argc - 1 - has_check), &b, &err);
	m = r == 0 ? mlimg_beneath_manifest(b) : NULL;
	for (size_t i = 0; m && has_check && r == 0 && i < m->n_entries; i++)
		if (m->entries[i].type == MLIMG_FILE)
			r = check(b, &m->entries[i], &err);
	if (r < 0) {
		fprintf(stderr, "merged: %s\n", err.text);
		return err.kind == MLIMG_ERR_REFUSED ? 3 : 1;
	}
	mlimg_manifest_put(m, put, NULL);
	return 0;
}
