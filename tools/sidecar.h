/* SPDX-License-Identifier: MIT */
/**
 * @file sidecar.h
 * The files beside an image, IMAGE.layer.json and IMAGE.p7s (libmlimg/verity.h): writing them
 * together with the image, and reading them.
 *
 * An image never has a sidecar that is another's, whatever stops the program. Old ones are removed
 * before the image is replaced; of a new image they are there before it, and where an image is
 * replaced after it. So a crash can leave an image without its sidecar, or one that waits for an
 * image, which the next attempt reports.
 */
#ifndef MLIMG_TOOLS_SIDECAR_H
#define MLIMG_TOOLS_SIDECAR_H

#include "libmlimg/verity.h"
#include "tools/outfile.h"

/** The files beside an image that is being made. Initialise with MLIMG_SIDECAR_OUT_INIT. */
struct mlimg_sidecar_out {
	bool can_replace;
	char *json_path, *signature_path;
	struct mlimg_outfile json, signature;
};

#define MLIMG_SIDECAR_OUT_INIT                                               \
	{                                                                    \
		.json = MLIMG_OUTFILE_INIT, .signature = MLIMG_OUTFILE_INIT, \
	}

/**
 * Begin: see that neither file is there, or that both may be replaced, and create those that will
 * be needed. To be called for every image, since one that was there before may have left a sidecar.
 *
 * @param out            initialised
 * @param image          where the image will be
 * @param can_replace    whether what is there may be replaced or removed
 * @param has_json       whether there will be a sidecar
 * @param has_signature  whether there will be a signature
 * @param err            names the file
 * @return               0; -EEXIST; other -errno
 */
int mlimg_sidecar_open(struct mlimg_sidecar_out *out, const char *image, bool can_replace,
	bool has_json, bool has_signature, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Write the files that were begun, and commit them and the image: mlimg_outfile_commit() for all.
 *
 * @param out     begun; done in any case
 * @param image   complete; closed on success
 * @param info    the layer's description
 * @param verity  what the sidecar says; NULL when there will be none
 * @param err     names the file
 * @return        0 or -errno
 */
int mlimg_sidecar_commit(struct mlimg_sidecar_out *out, struct mlimg_outfile *image,
	const struct mlimg_layer_info *info, const struct mlimg_verity *verity,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Give up: what was begun is removed. Harmless after commit and on an initialised one. */
void mlimg_sidecar_abort(struct mlimg_sidecar_out *out);

#define mlimg_autosidecar mlimg_cleanup(mlimg_sidecar_abort) /**< mlimg_sidecar_abort() */

/** What lies beside an image. Zeroed, it is nothing. */
struct mlimg_sidecar {
	bool is_there;                /**< IMAGE.layer.json */
	struct mlimg_layer_info info; /**< what it says */
	struct mlimg_verity
		verity; /**< what it says; the signature may be that of IMAGE.p7s alone */
};

/**
 * Read what lies beside an image. Refused: a sidecar that is none, a signature in a file that is
 * not the one in the sidecar.
 *
 * @param image        path of the image
 * @param ret_sidecar  mlimg_sidecar_done() when done; that nothing is there is no error
 * @param err          names the file
 * @return             0, -EUCLEAN, other -errno
 */
int mlimg_sidecar_read(const char *image, struct mlimg_sidecar *ret_sidecar,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns; accepts NULL and a zeroed one. */
void mlimg_sidecar_done(struct mlimg_sidecar *sidecar);

#endif
