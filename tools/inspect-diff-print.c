/* SPDX-License-Identifier: MIT */
/* What mlimg-inspect diff prints. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/inspect-diff.h"
#include "tools/inspect-print.h"
#include "tools/manifest-diff.h"

static void put_side(const char *what, const struct diff_side *side)
{
	const struct mlimg_layer_info *info = side->info;

	if (side->stack)
		printf("%-5s index of %zu %s (%.*s)\n", what, side->stack->infos.n_layers,
			mlimg_cli_noun(side->stack->infos.n_layers, "layer", "layers"),
			MLIMG_SHORT_ID, side->stack->stack_id);
	else
		printf("%-5s %s %s %s (%.*s)\n", what, mlimg_kind_name(info->kind), info->name,
			info->version, MLIMG_SHORT_ID, info->build_id);
}

void diff_put_head(const struct diff *d)
{
	put_side("old", &d->old_side);
	put_side("new", &d->new_side);
	if (!d->options->is_summary)
		putchar('\n');
}

/* With both values, where they fit into a line. */
static void put_change(
	unsigned change, const struct mlimg_entry *old_entry, const struct mlimg_entry *new_entry)
{
	switch (change) {
	case MLIMG_CHANGE_TYPE:
		printf(" %s -> %s", mlimg_type_name(old_entry->type),
			mlimg_type_name(new_entry->type));
		break;
	case MLIMG_CHANGE_CONTENT:
		if (old_entry->size_bytes != new_entry->size_bytes)
			printf(" %" PRIu64 " -> %" PRIu64 " %s", old_entry->size_bytes,
				new_entry->size_bytes,
				mlimg_cli_noun(new_entry->size_bytes, "byte", "bytes"));
		break;
	case MLIMG_CHANGE_MODE: printf(" %04o -> %04o", old_entry->mode, new_entry->mode); break;
	case MLIMG_CHANGE_OWNER:
		printf(" %u:%u -> %u:%u", old_entry->uid, old_entry->gid, new_entry->uid,
			new_entry->gid);
		break;
	}
}

void diff_put_entry(
	unsigned changes, const struct mlimg_entry *old_entry, const struct mlimg_entry *new_entry)
{
	const char *path = new_entry ? new_entry->path : old_entry->path, *comma = ": ";
	char escaped[MLIMG_ESCAPED_SIZE];

	printf("%c %s%s",
		!old_entry           ? '+'
			: !new_entry ? '-'
				     : '~',
		path[0] ? "./" : ".", mlimg_manifest_escape(path, escaped));
	for (unsigned bit = 2; bit < MLIMG_N_CHANGES; bit++) {
		if (!(changes & 1u << bit))
			continue;
		printf("%s%s", comma, mlimg_change_name(bit));
		put_change(1u << bit, old_entry, new_entry);
		comma = ", ";
	}
	putchar('\n');
}

static void put_escaped(const char *text, struct mlimg_err *err, int *ret)
{
	mlimg_autofree char *escaped = malloc(4 * strlen(text) + 1);

	if (escaped)
		fputs(mlimg_manifest_escape(text, escaped), stdout);
	else
		*ret = mlimg_err_set(err, ENOMEM, "print packages");
}

static int put_package(const struct mlimg_package *old_package,
	const struct mlimg_package *new_package, void *ctx, struct mlimg_err *err)
{
	const struct mlimg_package *package = new_package ? new_package : old_package;
	bool *has_heading = ctx;
	int ret = 0;

	if (!*has_heading)
		puts("\npackages");
	*has_heading = true;
	printf("%c ", !old_package ? '+' : !new_package ? '-' : '~');
	put_escaped(package->name, err, &ret);
	if (package->architecture[0])
		putchar(':');
	put_escaped(package->architecture, err, &ret);
	putchar(' ');
	put_escaped(old_package ? old_package->version : new_package->version, err, &ret);
	if (old_package && new_package) {
		fputs(" -> ", stdout);
		put_escaped(new_package->version, err, &ret);
	}
	putchar('\n');
	return ret;
}

static void put_sums(const struct diff_sums *sums)
{
	char name[4 * MLIMG_NAME_MAX + 1], text[MLIMG_NAME_MAX + 1];
	char old_size[MLIMG_CLI_SIZE_TEXT], new_size[MLIMG_CLI_SIZE_TEXT];

	snprintf(text, sizeof(text), "%.*s", sums->name_size, sums->name);
	printf("%8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %10s %10s  %s\n", sums->n_added,
		sums->n_removed, sums->n_changed, sums->n_times,
		mlimg_cli_format_size(sums->old_bytes, old_size),
		mlimg_cli_format_size(sums->new_bytes, new_size),
		mlimg_manifest_escape(text, name));
}

static bool has_sums(const struct diff_sums *s)
{
	return s->n_added || s->n_removed || s->n_changed || s->n_times;
}

int diff_put_tail(const struct diff *d, struct mlimg_err *err)
{
	struct diff_sums total = {.name = "total", .name_size = 5};
	bool has_heading = false;
	int ret = d->has_packages ? diff_packages(d, put_package, &has_heading, err) : 0;

	if (ret < 0)
		return ret;
	if (has_heading || d->has_listed || d->options->is_summary)
		putchar('\n');
	if (d->n_sums == 1 && !has_sums(&d->sums[0])) {
		puts("no differences");
		return 0;
	}
	printf("%8s %8s %8s %8s %10s %10s\n", "added", "removed", "changed", "time", "old", "new");
	for (size_t i = 0; i < d->n_sums; i++) {
		const struct diff_sums *s = &d->sums[i];

		if (s->n_added || s->n_removed || s->n_changed ||
			(s->n_times && d->options->has_times))
			put_sums(s);
		total.n_added += s->n_added;
		total.n_removed += s->n_removed;
		total.n_changed += s->n_changed;
		total.n_times += s->n_times;
		total.old_bytes += s->old_bytes;
		total.new_bytes += s->new_bytes;
	}
	put_sums(&total);
	return 0;
}

/* Print and free; NULL is lack of memory. */
static int put_json(json_t *value, struct mlimg_err *err)
{
	mlimg_autofree char *text =
		value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	json_decref(value);
	if (!text)
		return mlimg_err_set(err, ENOMEM, "print differences");
	fputs(text, stdout);
	return 0;
}

static json_t *side_of(const struct diff_side *side)
{
	const struct mlimg_layer_info *info = side->info;

	if (side->stack)
		return json_pack("{s:s, s:s, s:I}", "kind", "index", "stack_id",
			side->stack->stack_id, "layers", (json_int_t)side->stack->infos.n_layers);
	return json_pack("{s:s, s:s, s:s, s:s}", "kind", mlimg_kind_name(info->kind), "name",
		info->name, "version", info->version, "build_id", info->build_id);
}

int diff_json_head(const struct diff *d, struct mlimg_err *err)
{
	int ret;

	fputs("{\"old\":", stdout);
	ret = put_json(side_of(&d->old_side), err);
	fputs(",\n\"new\":", stdout);
	if (ret == 0)
		ret = put_json(side_of(&d->new_side), err);
	if (!d->options->is_summary)
		fputs(",\n\"entries\":[", stdout);
	return ret;
}

int diff_json_entry(const struct diff *d, unsigned changes, const struct mlimg_entry *old_entry,
	const struct mlimg_entry *new_entry, struct mlimg_err *err)
{
	const char *path = new_entry ? new_entry->path : old_entry->path;
	char escaped[MLIMG_ESCAPED_SIZE];
	json_t *object = json_pack("{s:s, s:o}", "path", mlimg_manifest_escape(path, escaped),
		"changes", mlimg_inspect_changes_json(changes));

	/* Setting a value that could not be made fails. */
	if (object &&
		((old_entry &&
			 json_object_set_new(
				 object, "old", mlimg_inspect_entry_json(old_entry, path)) < 0) ||
			(new_entry &&
				json_object_set_new(object, "new",
					mlimg_inspect_entry_json(new_entry, path)) < 0))) {
		json_decref(object);
		object = NULL;
	}
	fputs(d->has_listed ? ",\n" : "\n", stdout);
	return put_json(object, err);
}

/* Strings of a database that may be a stranger's become valid UTF-8 by escaping. */
static int set_escaped(json_t *object, const char *key, const char *text)
{
	mlimg_autofree char *escaped = malloc(4 * strlen(text) + 1);

	if (!escaped)
		return -1;
	return json_object_set_new(object, key, json_string(mlimg_manifest_escape(text, escaped)));
}

static int json_package(const struct mlimg_package *old_package,
	const struct mlimg_package *new_package, void *ctx, struct mlimg_err *err)
{
	const struct mlimg_package *package = new_package ? new_package : old_package;
	bool *has_elements = ctx;
	json_t *object = json_object();

	if (set_escaped(object, "package", package->name) < 0 ||
		set_escaped(object, "architecture", package->architecture) < 0 ||
		(old_package && set_escaped(object, "old", old_package->version) < 0) ||
		(new_package && set_escaped(object, "new", new_package->version) < 0)) {
		json_decref(object);
		object = NULL;
	}
	fputs(*has_elements ? ",\n" : "\n", stdout);
	*has_elements = true;
	return put_json(object, err);
}

static int json_sums(const struct diff_sums *s, struct mlimg_err *err)
{
	char name[4 * MLIMG_NAME_MAX + 1], text[MLIMG_NAME_MAX + 1];

	snprintf(text, sizeof(text), "%.*s", s->name_size, s->name);
	return put_json(
		json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "directory",
			mlimg_manifest_escape(text, name), "added", (json_int_t)s->n_added,
			"removed", (json_int_t)s->n_removed, "changed", (json_int_t)s->n_changed,
			"time", (json_int_t)s->n_times, "old_bytes", (json_int_t)s->old_bytes,
			"new_bytes", (json_int_t)s->new_bytes),
		err);
}

int diff_json_tail(const struct diff *d, struct mlimg_err *err)
{
	bool has_elements = false;
	int ret = 0;

	if (!d->options->is_summary)
		fputs("]", stdout);
	if (d->has_packages) {
		fputs(",\n\"packages\":[", stdout);
		ret = diff_packages(d, json_package, &has_elements, err);
		putchar(']');
	}
	fputs(",\n\"directories\":[", stdout);
	has_elements = false;
	for (size_t i = 0; i < d->n_sums && ret == 0; i++) {
		if (!has_sums(&d->sums[i]))
			continue;
		fputs(has_elements ? ",\n" : "\n", stdout);
		has_elements = true;
		ret = json_sums(&d->sums[i], err);
	}
	fputs("]}\n", stdout);
	return ret;
}
