/* SPDX-License-Identifier: MIT */
#include "tools/oci-image.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/path.h"

#define INDEXES_MAX 64  /* indexes within indexes; two are usual, and each could name all others */
#define FOUND_MAX 256   /* images that may be the one */
#define OTHERS_SIZE 160 /* bytes of the list of what there is instead */
#define SMALL_MAX 4096  /* bytes of oci-layout */
#define BLOB_PATH_SIZE (13 + MLIMG_SHA256_HEX_SIZE) /* "blobs/sha256/" */

/* The search for an image. */
struct search {
	struct mlimg_oci_store *store;
	const struct mlimg_oci_choice *choice;
	struct mlimg_oci_desc *found; /* manifests that may be the one */
	size_t n_found, room, n_indexes;
	char others[OTHERS_SIZE]; /* platforms or tags that were passed over */
};

static int refuse_blob(const struct mlimg_oci_store *store, const struct mlimg_oci_desc *desc,
	const char *what, struct mlimg_err *err)
{
	char digest[MLIMG_OCI_DIGEST_SIZE];

	return mlimg_err_refuse(err, "'%s': blob %s %s", mlimg_oci_store_name(store),
		mlimg_oci_digest_text(desc->digest, digest), what);
}

static void blob_path(const uint8_t digest[MLIMG_SHA256_SIZE], char ret_path[BLOB_PATH_SIZE])
{
	strcpy(ret_path, "blobs/sha256/");
	mlimg_sha256_hex(digest, ret_path + strlen(ret_path));
}

static int read_blob(struct mlimg_oci_store *store, const struct mlimg_oci_desc *desc,
	char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	uint8_t digest[MLIMG_SHA256_SIZE];
	char path[BLOB_PATH_SIZE];
	int r;

	blob_path(desc->digest, path);
	r = mlimg_oci_store_read(store, path, MLIMG_OCI_JSON_MAX, &text, ret_size, err);
	if (r < 0)
		return r;
	mlimg_sha256_of(text, *ret_size, digest);
	if (memcmp(digest, desc->digest, sizeof(digest)) != 0)
		return refuse_blob(store, desc, "has another digest", err);
	if (*ret_size != desc->size_bytes)
		return refuse_blob(store, desc, "has another size", err);
	*ret_text = mlimg_steal(&text);
	return 0;
}

/* "linux/arm64, linux/s390x" */
static void note_other(struct search *s, const char *text)
{
	size_t used = strlen(s->others);

	if (!text[0] || strstr(s->others, text))
		return;
	snprintf(s->others + used, sizeof(s->others) - used, "%s%s", used ? ", " : "", text);
}

/* A variant that one of them does not tell is no difference. */
static bool fits(struct search *s, const struct mlimg_oci_platform *p)
{
	const struct mlimg_oci_platform *wanted = &s->choice->platform;
	char text[4 * MLIMG_OCI_WORD_SIZE];

	if (strcmp(p->os, wanted->os) == 0 && strcmp(p->architecture, wanted->architecture) == 0 &&
		(!p->variant[0] || !wanted->variant[0] || strcmp(p->variant, wanted->variant) == 0))
		return true;
	note_other(s, mlimg_oci_platform_text(p, text));
	return false;
}

static int keep(struct search *s, const struct mlimg_oci_desc *desc, struct mlimg_err *err)
{
	for (size_t i = 0; i < s->n_found; i++)
		if (memcmp(s->found[i].digest, desc->digest, sizeof(desc->digest)) == 0)
			return 0; /* one image with two tags */
	if (s->n_found == FOUND_MAX)
		return mlimg_err_refuse(err, "'%s': more than %d images",
			mlimg_oci_store_name(s->store), FOUND_MAX);
	if (mlimg_buffer_reserve(&s->found, &s->room, (s->n_found + 1) * sizeof(*s->found)) < 0)
		return mlimg_err_set(err, ENOMEM, "'%s'", mlimg_oci_store_name(s->store));
	s->found[s->n_found++] = *desc;
	return 0;
}

static int search_index(struct search *s, const char *what, const char *text, size_t size,
	bool is_top, struct mlimg_err *err);

static int search_blob(struct search *s, const struct mlimg_oci_desc *desc, struct mlimg_err *err)
{
	char what[MLIMG_OCI_DIGEST_SIZE];
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = read_blob(s->store, desc, &text, &size, err);

	if (r < 0)
		return r;
	return search_index(s, mlimg_oci_digest_text(desc->digest, what), text, size, false, err);
}

static int search_index(struct search *s, const char *what, const char *text, size_t size,
	bool is_top, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_oci_index_done) struct mlimg_oci_index index = {0};
	int r = 0;

	if (++s->n_indexes > INDEXES_MAX)
		return mlimg_err_refuse(err, "'%s': more than %d indexes",
			mlimg_oci_store_name(s->store), INDEXES_MAX);
	r = mlimg_oci_index_parse(what, text, size, &index, err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "'%s'", mlimg_oci_store_name(s->store));
	for (size_t i = 0; r == 0 && i < index.n_descs; i++) {
		const struct mlimg_oci_desc *d = &index.descs[i];

		if (is_top && s->choice->ref && strcmp(d->ref, s->choice->ref) != 0 &&
			strcmp(d->name, s->choice->ref) != 0) {
			note_other(s, d->name[0] ? d->name : d->ref);
			continue;
		}
		if (d->has_platform && !fits(s, &d->platform))
			continue;
		r = d->media == MLIMG_OCI_INDEX ? search_blob(s, d, err) : keep(s, d, err);
	}
	return r;
}

static int read_config(struct mlimg_oci_store *store, const struct mlimg_oci_desc *desc,
	struct mlimg_oci_config *ret_config, struct mlimg_err *err)
{
	char what[MLIMG_OCI_DIGEST_SIZE];
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = read_blob(store, desc, &text, &size, err);

	if (r < 0)
		return r;
	r = mlimg_oci_config_parse(
		mlimg_oci_digest_text(desc->digest, what), text, size, ret_config, err);
	return r < 0 ? mlimg_err_wrap(err, r, "'%s'", mlimg_oci_store_name(store)) : 0;
}

static int read_manifest(struct mlimg_oci_store *store, const struct mlimg_oci_desc *desc,
	struct mlimg_oci_manifest *ret_manifest, struct mlimg_err *err)
{
	char what[MLIMG_OCI_DIGEST_SIZE];
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = read_blob(store, desc, &text, &size, err);

	if (r < 0)
		return r;
	r = mlimg_oci_manifest_parse(
		mlimg_oci_digest_text(desc->digest, what), text, size, ret_manifest, err);
	return r < 0 ? mlimg_err_wrap(err, r, "'%s'", mlimg_oci_store_name(store)) : 0;
}

/* An index need not tell platforms; configurations do. */
static int drop_foreign(struct search *s, struct mlimg_err *err)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_found; i++) {
		mlimg_cleanup(mlimg_oci_manifest_done) struct mlimg_oci_manifest m = {0};
		mlimg_cleanup(mlimg_oci_config_done) struct mlimg_oci_config c = {0};
		int r = read_manifest(s->store, &s->found[i], &m, err);

		if (r == 0)
			r = read_config(s->store, &m.config, &c, err);
		if (r < 0)
			return r;
		if (fits(s, &c.platform))
			s->found[n++] = s->found[i];
	}
	s->n_found = n;
	return 0;
}

static int check_found(const struct search *s, size_t n, struct mlimg_err *err)
{
	const char *name = mlimg_oci_store_name(s->store), *ref = s->choice->ref;
	char platform[4 * MLIMG_OCI_WORD_SIZE];

	mlimg_oci_platform_text(&s->choice->platform, platform);
	if (n == 1)
		return 0;
	if (n > 1)
		return mlimg_err_refuse(
			err, "'%s': %zu images for %s; --ref chooses one", name, n, platform);
	return mlimg_err_refuse(err, "'%s': no image %s%s%sfor %s%s%s%s", name, ref ? "'" : "",
		ref ? ref : "", ref ? "' " : "", platform, s->others[0] ? " (there are: " : "",
		s->others, s->others[0] ? ")" : "");
}

static int set_layers(struct mlimg_oci_store *store, const struct mlimg_oci_manifest *m,
	const struct mlimg_oci_config *c, struct mlimg_oci_image *image, struct mlimg_err *err)
{
	if (m->n_layers != c->n_diff_ids)
		return mlimg_err_refuse(err, "'%s': %zu layers, but digests of %zu",
			mlimg_oci_store_name(store), m->n_layers, c->n_diff_ids);
	image->layers = calloc(m->n_layers + 1, sizeof(*image->layers));
	if (!image->layers)
		return mlimg_err_set(err, ENOMEM, "'%s'", mlimg_oci_store_name(store));
	for (size_t i = 0; i < m->n_layers; i++) {
		struct mlimg_oci_layer *l = &image->layers[image->n_layers++];

		l->path = malloc(BLOB_PATH_SIZE);
		if (!l->path)
			return mlimg_err_set(err, ENOMEM, "'%s'", mlimg_oci_store_name(store));
		blob_path(m->layers[i].digest, l->path);
		l->has_digest = true;
		memcpy(l->digest, m->layers[i].digest, sizeof(l->digest));
		memcpy(l->diff_id, c->diff_ids[i], sizeof(l->diff_id));
		l->size_bytes = m->layers[i].size_bytes;
	}
	return 0;
}

static int take_image(struct search *s, struct mlimg_oci_image *image, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_oci_manifest_done) struct mlimg_oci_manifest m = {0};
	mlimg_cleanup(mlimg_oci_config_done) struct mlimg_oci_config c = {0};
	int r = read_manifest(s->store, &s->found[0], &m, err);

	if (r == 0)
		r = read_config(s->store, &m.config, &c, err);
	return r < 0 ? r : set_layers(s->store, &m, &c, image, err);
}

static int search_layout(struct search *s, struct mlimg_oci_image *image, struct mlimg_err *err)
{
	const char *name = mlimg_oci_store_name(s->store);
	mlimg_autofree char *layout = NULL, *index = NULL;
	size_t size;
	int r = mlimg_oci_store_read(s->store, "oci-layout", SMALL_MAX, &layout, &size, err);

	if (r < 0)
		return r;
	r = mlimg_oci_layout_parse(layout, size, err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "'%s'", name);
	r = mlimg_oci_store_read(s->store, "index.json", MLIMG_OCI_JSON_MAX, &index, &size, err);
	if (r == 0)
		r = search_index(s, "index.json", index, size, true, err);
	if (r == 0)
		r = drop_foreign(s, err);
	if (r == 0)
		r = check_found(s, s->n_found, err);
	return r < 0 ? r : take_image(s, image, err);
}

/* A file that is named after its digest, as configurations are. */
static bool has_digest_in_name(const char *path, uint8_t ret_digest[MLIMG_SHA256_SIZE])
{
	const char *base = mlimg_path_name(path);
	size_t n = strcspn(base, ".");
	char hex[MLIMG_SHA256_HEX_SIZE];

	if (n != sizeof(hex) - 1)
		return false;
	memcpy(hex, base, n);
	hex[n] = '\0';
	return mlimg_sha256_is_hex(hex, ret_digest);
}

static int read_saved_config(struct mlimg_oci_store *store, const char *path,
	struct mlimg_oci_config *ret_config, struct mlimg_err *err)
{
	uint8_t wanted[MLIMG_SHA256_SIZE], digest[MLIMG_SHA256_SIZE];
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_oci_store_read(store, path, MLIMG_OCI_JSON_MAX, &text, &size, err);

	if (r < 0)
		return r;
	mlimg_sha256_of(text, size, digest);
	if (has_digest_in_name(path, wanted) && memcmp(digest, wanted, sizeof(digest)) != 0)
		return mlimg_err_refuse(err, "'%s': '%s' has another digest than its name says",
			mlimg_oci_store_name(store), path);
	r = mlimg_oci_config_parse(path, text, size, ret_config, err);
	return r < 0 ? mlimg_err_wrap(err, r, "'%s'", mlimg_oci_store_name(store)) : 0;
}

static int set_saved_layers(struct mlimg_oci_store *store, const struct mlimg_oci_saved *saved,
	const struct mlimg_oci_config *c, struct mlimg_oci_image *image, struct mlimg_err *err)
{
	if (saved->n_layers != c->n_diff_ids)
		return mlimg_err_refuse(err, "'%s': %zu layers, but digests of %zu",
			mlimg_oci_store_name(store), saved->n_layers, c->n_diff_ids);
	image->layers = calloc(saved->n_layers + 1, sizeof(*image->layers));
	if (!image->layers)
		return mlimg_err_set(err, ENOMEM, "'%s'", mlimg_oci_store_name(store));
	for (size_t i = 0; i < saved->n_layers; i++) {
		struct mlimg_oci_layer *l = &image->layers[image->n_layers++];

		l->path = strdup(saved->layers[i]);
		if (!l->path)
			return mlimg_err_set(err, ENOMEM, "'%s'", mlimg_oci_store_name(store));
		memcpy(l->diff_id, c->diff_ids[i], sizeof(l->diff_id));
	}
	return 0;
}

static bool has_tag(struct search *s, const struct mlimg_oci_saved *saved)
{
	if (!s->choice->ref)
		return true;
	for (size_t i = 0; i < saved->n_tags; i++)
		if (strcmp(saved->tags[i], s->choice->ref) == 0)
			return true;
	for (size_t i = 0; i < saved->n_tags; i++)
		note_other(s, saved->tags[i]);
	return false;
}

/* What `docker save` wrote. */
static int search_saved(struct search *s, struct mlimg_oci_image *image, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_oci_saved_done) struct mlimg_oci_saved_list list = {0};
	mlimg_cleanup(mlimg_oci_config_done) struct mlimg_oci_config config = {0};
	const struct mlimg_oci_saved *found = NULL;
	mlimg_autofree char *text = NULL;
	size_t size, n = 0;
	int r = mlimg_oci_store_read(
		s->store, "manifest.json", MLIMG_OCI_JSON_MAX, &text, &size, err);

	if (r < 0)
		return r;
	r = mlimg_oci_saved_parse(text, size, &list, err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "'%s'", mlimg_oci_store_name(s->store));
	for (size_t i = 0; r == 0 && i < list.n_images; i++) {
		mlimg_cleanup(mlimg_oci_config_done) struct mlimg_oci_config c = {0};

		if (!has_tag(s, &list.images[i]))
			continue;
		r = read_saved_config(s->store, list.images[i].config, &c, err);
		if (r < 0 || !fits(s, &c.platform))
			continue;
		found = &list.images[i];
		mlimg_oci_config_done(&config);
		config = c;
		c = (struct mlimg_oci_config){0};
		n++;
	}
	if (r == 0)
		r = check_found(s, n, err);
	return r < 0 ? r : set_saved_layers(s->store, found, &config, image, err);
}

int mlimg_oci_image_choose(struct mlimg_oci_store *store, const struct mlimg_oci_choice *choice,
	struct mlimg_oci_image *ret_image, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_oci_image_done) struct mlimg_oci_image image = {0};
	struct search s = {.store = store, .choice = choice};
	int r;

	if (mlimg_oci_store_has(store, "oci-layout"))
		r = search_layout(&s, &image, err);
	else if (mlimg_oci_store_has(store, "manifest.json"))
		r = search_saved(&s, &image, err);
	else
		r = mlimg_err_refuse(err,
			"'%s': no image: it has neither 'oci-layout' nor 'manifest.json'",
			mlimg_oci_store_name(store));
	free(s.found);
	if (r < 0)
		return r;
	*ret_image = image;
	image = (struct mlimg_oci_image){0};
	return 0;
}

void mlimg_oci_image_done(struct mlimg_oci_image *image)
{
	for (size_t i = 0; i < image->n_layers; i++)
		free(image->layers[i].path);
	free(image->layers);
	*image = (struct mlimg_oci_image){0};
}
