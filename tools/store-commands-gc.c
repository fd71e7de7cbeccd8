/* SPDX-License-Identifier: MIT */
/* mlimg-store verify and gc. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/json.h"
#include "tools/backend.h"
#include "tools/cli.h"
#include "tools/store-commands.h"
#include "tools/store-impl.h"
#include "tools/tenant-disk.h"
#include "tools/tenant-removed.h"
#include "tools/tenant.h"

static const char *const found_names[] = {
	[MLIMG_STORE_UNUSED] = "unused",
	[MLIMG_STORE_ORPHAN] = "orphan",
	[MLIMG_STORE_OLD] = "old",
	[MLIMG_STORE_FORMER] = "former",
	[MLIMG_STORE_ASIDE] = "aside",
	[MLIMG_STORE_FOREIGN] = "foreign",
	[MLIMG_STORE_LOST] = "lost",
	[MLIMG_STORE_DAMAGED] = "damaged",
};

struct verify {
	struct mlimg_store *store;
	json_t *layers, *findings; /* NULL: text */
	uint64_t n, n_bad;
	uint64_t n_findings; /* that are wrong: what is only foreign is not */
};

static int put_verified(struct verify *v, const struct mlimg_store_layer *layer, const char *flaw,
	struct mlimg_err *err)
{
	char text[MLIMG_STORE_LAYER_TEXT];

	if (v->layers)
		return json_array_append_new(v->layers,
			       json_pack("{s:s, s:s, s:s, s:s, s:b, s:s?}", "kind",
				       mlimg_kind_name(layer->info.kind), "name", layer->info.name,
				       "version", layer->info.version, "build_id",
				       layer->info.build_id, "is_sound", !flaw, "message", flaw)) <
				0
			? mlimg_err_set(err, ENOMEM, "verify")
			: 0;
	printf("%-8s %s\n", flaw ? "DAMAGED" : "sound", mlimg_store_layer_text(&layer->info, text));
	if (flaw) {
		printf("%-8s ", "");
		mlimg_cli_put_safe(stdout, flaw);
		putchar('\n');
	}
	return 0;
}

/* One that is wrong does not keep the others from being looked at. */
static int verify_layer(const struct mlimg_store_layer *layer, void *ctx, struct mlimg_err *err)
{
	struct verify *v = ctx;
	struct mlimg_err flaw = MLIMG_ERR_INIT;
	int ret = mlimg_store_layer_verify(v->store, layer, &flaw);

	if (ret < 0 && flaw.kind != MLIMG_ERR_REFUSED) {
		*err = flaw;
		return ret;
	}
	v->n++;
	v->n_bad += ret < 0;
	return put_verified(v, layer, ret < 0 ? flaw.text : NULL, err);
}

static int take_finding(const struct mlimg_store_finding *f, void *ctx, struct mlimg_err *err)
{
	struct verify *v = ctx;

	/* Layers are verified all the same, and told of then. */
	if (f->found == MLIMG_STORE_LOST && strncmp(f->what, "layers/", 7) == 0)
		return 0;
	v->n_findings += f->found == MLIMG_STORE_LOST || f->found == MLIMG_STORE_DAMAGED;
	if (v->findings)
		return json_array_append_new(v->findings,
			       json_pack("{s:s, s:s}", "found", found_names[f->found], "what",
				       f->what)) < 0
			? mlimg_err_set(err, ENOMEM, "verify")
			: 0;
	printf("%-8s ", found_names[f->found]);
	mlimg_cli_put_safe(stdout, f->what);
	putchar('\n');
	return 0;
}

/* What is in a tenant's directory the store itself does not know. */
static int find_disk(const struct mlimg_store_tenant *row, void *ctx, struct mlimg_err *err)
{
	mlimg_autotenant struct mlimg_tenant t = {.run_s = 0};
	struct verify *v = ctx;
	struct mlimg_store_finding finding = {.found = MLIMG_STORE_LOST};
	char what[MLIMG_STORE_ID_SIZE + 32];
	int ret = mlimg_tenant_load(v->store, row->name, &t, err);

	/* Destroyed meanwhile; or all of it is lost, which has been told. */
	if (ret == -ENOENT || (ret == 0 && access(t.dir, F_OK) < 0))
		return 0;
	if (ret < 0 || !mlimg_backend_has_lost_disk(&t))
		return ret;
	snprintf(what, sizeof(what), "tenants/%s/" MLIMG_TENANT_DISK, t.row.id);
	finding.what = what;
	return take_finding(&finding, v, err);
}

static int verify_all(struct verify *v, const struct mlimg_store_options *o, struct mlimg_err *err)
{
	int ret = 0;

	if (o->n_operands == 0) {
		ret = mlimg_store_check(v->store, take_finding, v, err);
		if (ret == 0)
			ret = mlimg_store_tenant_each(v->store, find_disk, v, err);
		return ret < 0 ? ret : mlimg_store_layer_each(v->store, 0, verify_layer, v, err);
	}
	for (size_t i = 0; ret == 0 && i < o->n_operands; i++) {
		mlimg_autostorelayer struct mlimg_store_layer layer = {.size_bytes = 0};

		ret = mlimg_store_layer_find(v->store, o->operands[i], 0, &layer, NULL, err);
		if (ret == 0)
			ret = verify_layer(&layer, v, err);
	}
	return ret;
}

/* What has been printed, in short. */
static int judge(const struct verify *v, struct mlimg_err *err)
{
	if (v->n_bad)
		return mlimg_err_refuse(err, "%" PRIu64 " of %" PRIu64 " %s not sound", v->n_bad,
			v->n, mlimg_cli_noun(v->n, "layer is", "layers are"));
	if (v->n_findings)
		return mlimg_err_refuse(err, "database and directory of '%.300s' do not agree",
			mlimg_store_dir(v->store));
	return 0;
}

int mlimg_store_cmd_verify(
	struct mlimg_store *store, const struct mlimg_store_options *o, struct mlimg_err *err)
{
	mlimg_autojson json_t *layers = o->json ? json_array() : NULL;
	mlimg_autojson json_t *findings = o->json ? json_array() : NULL;
	struct verify v = {.store = store, .layers = layers, .findings = findings};
	int ret;

	if (o->json && (!layers || !findings))
		return mlimg_err_set(err, ENOMEM, "verify");
	ret = verify_all(&v, o, err);
	if (ret == 0 && o->json)
		ret = mlimg_store_put_json(
			json_pack("{s:b, s:O, s:O}", "is_sound", v.n_bad + v.n_findings == 0,
				"layers", layers, "findings", findings),
			err);
	return ret < 0 ? ret : judge(&v, err);
}

struct gc {
	const struct mlimg_store *store;
	const struct mlimg_store_options *o;
	json_t *list;  /* NULL: text */
	json_t *aside; /* ids of tenants of whom what is set aside goes */
	uint64_t n, size_bytes;
};

static bool is_to_go(const char *tenant_id, void *ctx)
{
	const struct gc *gc = ctx;

	return json_object_get(gc->aside, tenant_id);
}

static int add_removed(struct gc *gc, const struct mlimg_store_finding *f, struct mlimg_err *err)
{
	json_t *finding = json_pack("{s:s, s:s, s:s?, s:I, s:I}", "found", found_names[f->found],
		"what", f->what, "build_id", f->layer ? f->layer->info.build_id : NULL,
		"size_bytes", (json_int_t)f->size_bytes, "n", (json_int_t)f->n);

	if (f->tenant_id && finding &&
		json_object_set_new(finding, "tenant_id", json_string(f->tenant_id)) < 0) {
		json_decref(finding);
		finding = NULL;
	}
	return json_array_append_new(gc->list, finding) < 0 ? mlimg_err_set(err, ENOMEM, "collect")
							    : 0;
}

static void print_removed(const struct gc *gc, const struct mlimg_store_finding *f)
{
	const char *did = gc->o->is_dry ? "would remove" : "removed";
	char size[MLIMG_CLI_SIZE_TEXT];

	if (f->found == MLIMG_STORE_FOREIGN)
		printf("left ");
	else if (f->found == MLIMG_STORE_OLD)
		printf("%s %" PRIu64 " ", did, f->n);
	else
		printf("%s ", did);
	/* "events", of one "event". */
	if (f->found == MLIMG_STORE_OLD && f->n == 1)
		printf("%.*s", (int)strlen(f->what) - 1, f->what);
	else
		mlimg_cli_put_safe(stdout, f->what);
	if (f->found == MLIMG_STORE_FOREIGN)
		printf(", which is not the store's");
	else if (f->found != MLIMG_STORE_OLD && f->found != MLIMG_STORE_FORMER)
		printf(", %s", mlimg_cli_format_size(f->size_bytes, size));
	putchar('\n');
}

static int put_removed(const struct mlimg_store_finding *f, void *ctx, struct mlimg_err *err)
{
	struct gc *gc = ctx;

	if (f->found != MLIMG_STORE_FOREIGN) {
		gc->n++;
		gc->size_bytes += f->size_bytes;
	}
	if (f->found == MLIMG_STORE_ASIDE &&
		json_object_set_new(gc->aside, f->tenant_id, json_true()) < 0)
		return mlimg_err_set(err, ENOMEM, "collect");
	if (gc->list)
		return add_removed(gc, f, err);
	if (f->found != MLIMG_STORE_FORMER || gc->o->is_verbose)
		print_removed(gc, f);
	return 0;
}

int mlimg_store_cmd_gc(
	struct mlimg_store *store, const struct mlimg_store_options *o, struct mlimg_err *err)
{
	mlimg_autojson json_t *list = o->json ? json_array() : NULL;
	mlimg_autojson json_t *aside = json_object();
	struct gc gc = {.store = store, .o = o, .list = list, .aside = aside};
	const struct mlimg_store_gc what = {.is_dry = o->is_dry,
		.all = o->all,
		.kept_events = o->kept_events,
		.kept_former = o->kept_former,
		.fn = put_removed,
		.is_to_go = is_to_go,
		.ctx = &gc};
	char size[MLIMG_CLI_SIZE_TEXT];
	int ret;

	if (!aside || (o->json && !list))
		return mlimg_err_set(err, ENOMEM, "collect");
	/* First: what lies beneath these disks may go then, too. */
	ret = o->has_removed_days ? mlimg_removed_gc(store, &what, o->removed_days, err) : 0;
	if (ret == 0)
		ret = mlimg_store_gc(store, &what, err);
	if (ret == 0 && o->json)
		return mlimg_store_put_json(
			json_pack("{s:b, s:I, s:O}", "is_dry", o->is_dry, "size_bytes",
				(json_int_t)gc.size_bytes, "findings", list),
			err);
	if (ret == 0 && gc.n == 0)
		puts("nothing to remove");
	else if (ret == 0 && o->is_verbose)
		printf("%s %s in all\n", o->is_dry ? "would free" : "freed",
			mlimg_cli_format_size(gc.size_bytes, size));
	return ret;
}
