/* SPDX-License-Identifier: MIT */
/* An image of containers as source: its layers, the topmost first. */
#include "tools/source-oci.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/oci-image.h"

int mlimg_source_read_oci(const char *path, const struct mlimg_oci_choice *choice,
	const struct mlimg_source_to *to, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_oci_store_free_cleanup) struct mlimg_oci_store *store = NULL;
	mlimg_cleanup(mlimg_oci_image_done) struct mlimg_oci_image image = {0};
	int r = mlimg_oci_store_open(path, to, &store, err);

	if (r == 0)
		r = mlimg_oci_image_choose(store, choice, &image, err);
	for (size_t i = image.n_layers; r == 0 && i-- > 0;) {
		mlimg_autofree char *name = NULL;

		if (asprintf(&name, "%s, layer %zu of %zu", mlimg_oci_store_name(store), i + 1,
			    image.n_layers) < 0)
			return mlimg_err_set(err, ENOMEM, "'%s'", mlimg_oci_store_name(store));
		mlimg_tree_begin_level(to->tree, i > 0 || to->has_beneath);
		r = mlimg_oci_layer_read(store, &image.layers[i], name, to, err);
	}
	return r;
}
