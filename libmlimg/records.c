/* SPDX-License-Identifier: MIT */
#include "libmlimg/records.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/records-parse.h"
#include "libmlimg/text.h"

#define mlimg_autolist mlimg_cleanup(mlimg_record_list_done)
#define TRIGGERS "var/lib/dpkg/triggers/"

static void put_record(
	struct mlimg_text *out, enum mlimg_records_form form, const struct mlimg_record *r)
{
	mlimg_text_put(out, r->text, r->size);
	if (form == MLIMG_RECORDS_STANZAS)
		mlimg_text_put(out, "\n", 1);
}

static int end(struct mlimg_text *out, char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	mlimg_text_put(out, "", 0);
	if (out->has_failed) {
		free(out->data);
		return mlimg_err_set(err, ENOMEM, "records");
	}
	*ret_text = out->data;
	*ret_size = out->size;
	return 0;
}

enum mlimg_records_form mlimg_records_form_of(const char *path)
{
	static const struct {
		const char *path;
		enum mlimg_records_form form;
	} files[] = {
		{"var/lib/dpkg/status", MLIMG_RECORDS_STANZAS},
		{"var/lib/apt/extended_states", MLIMG_RECORDS_STANZAS},
		{"var/lib/dpkg/diversions", MLIMG_RECORDS_DIVERSIONS},
		{"var/lib/dpkg/statoverride", MLIMG_RECORDS_OVERRIDES},
		{"var/lib/dpkg/arch", MLIMG_RECORDS_LINES},
		{"etc/passwd", MLIMG_RECORDS_ACCOUNTS},
		{"etc/group", MLIMG_RECORDS_GROUPS},
		{"etc/shadow", MLIMG_RECORDS_ACCOUNTS},
		{"etc/gshadow", MLIMG_RECORDS_GSHADOWS},
		{"etc/subuid", MLIMG_RECORDS_LINES},
		{"etc/subgid", MLIMG_RECORDS_LINES},
	};
	const char *name;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (strcmp(path, files[i].path) == 0)
			return files[i].form;
	if (strncmp(path, TRIGGERS, strlen(TRIGGERS)) != 0 || strlen(path) > MLIMG_RECORDS_PATH_MAX)
		return MLIMG_RECORDS_NONE;
	name = path + strlen(TRIGGERS);
	if (!*name || strchr(name, '/') || strcmp(name, "Lock") == 0 ||
		strcmp(name, "Unincorp") == 0)
		return MLIMG_RECORDS_NONE;
	return MLIMG_RECORDS_LINES;
}

bool mlimg_records_is_secret(const char *path)
{
	return strcmp(path, "etc/shadow") == 0 || strcmp(path, "etc/gshadow") == 0;
}

int mlimg_records_diff(enum mlimg_records_form form, struct mlimg_records_text old,
	struct mlimg_records_text fresh, char **ret_text, size_t *ret_size,
	struct mlimg_records_sums *ret_sums, struct mlimg_err *err)
{
	mlimg_autolist struct mlimg_record_list before = {.n = 0}, after = {.n = 0};
	struct mlimg_records_sums sums = {.changed = 0};
	struct mlimg_text out = {.data = NULL};
	int r = mlimg_record_list_parse(form, old, false, &before, err);

	if (r < 0)
		return mlimg_err_wrap(err, r, "beneath");
	r = mlimg_record_list_parse(form, fresh, false, &after, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < after.n; i++) {
		const struct mlimg_record *now = &after.records[i],
					  *was = mlimg_record_list_find(&before, now->key);

		if (was && was->size == now->size && memcmp(was->text, now->text, now->size) == 0)
			continue;
		if (was && mlimg_records_is_accounts(form)) {
			sums.changed += mlimg_record_put_change(form, was, now, &out);
			continue;
		}
		put_record(&out, form, now);
		sums.changed++;
	}
	for (size_t i = 0; i < before.n; i++) {
		if (mlimg_record_list_find(&after, before.records[i].key))
			continue;
		mlimg_record_put_mark(form, before.records[i].key, mlimg_text_put, &out);
		sums.gone++;
	}
	r = end(&out, ret_text, ret_size, err);
	if (r == 0 && ret_sums)
		*ret_sums = sums;
	return r;
}

/* One difference onto a database. */
static int apply(enum mlimg_records_form form, struct mlimg_records_text base,
	struct mlimg_records_text diff, char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	mlimg_autolist struct mlimg_record_list before = {.n = 0}, change = {.n = 0};
	struct mlimg_text out = {.data = NULL};
	int r = mlimg_record_list_parse(form, base, false, &before, err);

	if (r == 0)
		r = mlimg_record_list_parse(form, diff, true, &change, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < before.n; i++) {
		const struct mlimg_record *was = &before.records[i],
					  *now = mlimg_record_list_find(&change, was->key);

		if (!now)
			put_record(&out, form, was);
		else if (!now->is_gone && mlimg_records_is_accounts(form))
			mlimg_record_put_changed(form, was, now, &out);
		else if (!now->is_gone)
			put_record(&out, form, now);
	}
	for (size_t i = 0; i < change.n; i++) {
		const struct mlimg_record *now = &change.records[i];

		if (now->is_gone || mlimg_record_list_find(&before, now->key))
			continue;
		if (mlimg_records_is_accounts(form))
			mlimg_record_put_changed(form, NULL, now, &out);
		else
			put_record(&out, form, now);
	}
	return end(&out, ret_text, ret_size, err);
}

int mlimg_records_compose(enum mlimg_records_form form, struct mlimg_records_text base,
	const struct mlimg_records_text *records, size_t n_records, char **ret_text,
	size_t *ret_size, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	/* Nothing onto the base, so that it too is checked and without what says nothing. */
	int r = apply(form, base, (struct mlimg_records_text){NULL, 0}, &text, &size, err);

	for (size_t i = 0; r == 0 && i < n_records; i++) {
		char *next;

		r = apply(form, (struct mlimg_records_text){text, size}, records[i], &next, &size,
			err);
		if (r < 0)
			return mlimg_err_wrap(err, r, "records %zu of %zu", i + 1, n_records);
		free(text);
		text = next;
	}
	if (r < 0)
		return r;
	*ret_text = mlimg_steal(&text);
	*ret_size = size;
	return 0;
}
