/* SPDX-License-Identifier: MIT */
/*
 * usage: layerdir KIND NAME VERSION TREE OUT [OVER...] Makes in the directory OUT the /mlimg of a
 * layer that holds TREE (layerdir.h). Prints the build id.
 */
#include "tests/lib/layerdir.h"

static int make(char **argv, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_layer_info_done) struct mlimg_layer_info info = {
		.kind = mlimg_kind_of(argv[1])};
	int r = 0;

	snprintf(info.name, sizeof(info.name), "%s", argv[2]);
	snprintf(info.version, sizeof(info.version), "%s", argv[3]);
	for (char **over = argv + 6; *over && r == 0; over++)
		r = mlimg_layer_add_over(&info, *over, err);
	if (r == 0)
		r = layerdir_make(argv[5], &info, argv[4], err);
	if (r == 0)
		puts(info.build_id);
	return r;
}

int main(int argc, char **argv)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	if (argc < 6 || !mlimg_kind_of(argv[1])) {
		fputs("usage: layerdir KIND NAME VERSION TREE OUT [OVER...]\n", stderr);
		return 2;
	}
	if (make(argv, &err) < 0) {
		fprintf(stderr, "layerdir: %s\n", err.text);
		return 1;
	}
	return 0;
}
