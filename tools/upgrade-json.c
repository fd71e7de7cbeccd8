/* SPDX-License-Identifier: MIT */
/* A plan as JSON. Reports go into it as the text that they are: a boot writes the same. */
#include <errno.h>
#include <string.h>

#include "tools/json-any-text.h"
#include "tools/upgrade-show.h"

static json_t *text_or_null(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

static json_t *lines_of(const char *text)
{
	json_t *lines = json_array();

	while (text && *text) {
		size_t size = strcspn(text, "\n");

		json_array_append_new(lines, json_stringn(text, size));
		text += size + (text[size] == '\n');
	}
	return lines;
}

static json_t *notes_of(const struct mlimg_upgrade_tenant *t)
{
	json_t *notes = json_array();

	for (size_t i = 0; i < t->n_notes; i++)
		json_array_append_new(notes, mlimg_json_any_text(t->notes[i]));
	return notes;
}

static void add_number(json_t *o, const char *key, uint64_t n)
{
	json_object_set_new(o, key, json_integer((json_int_t)n));
}

static void add_sums(json_t *o, const struct mlimg_upgrade_sums *s)
{
	add_number(o, "stale", s->stale);
	add_number(o, "kept", s->kept);
	add_number(o, "merged", s->merged);
	add_number(o, "conflicts", s->conflicts);
	add_number(o, "moved", s->moved);
	add_number(o, "hidden", s->hidden);
	add_number(o, "unmerged", s->unmerged);
	add_number(o, "broken", s->broken);
	add_number(o, "accounts", s->accounts);
	add_number(o, "hooks", s->hooks);
}

/* What only the guest can do or know. */
static json_t *not_foretold(const struct mlimg_upgrade_tenant *t)
{
	json_t *words = json_array();

	if (t->n_hooks)
		json_array_append_new(words, json_string("hooks"));
	if (t->has_begun_queue)
		json_array_append_new(words, json_string("queue"));
	if (t->covered.has_renamed)
		json_array_append_new(words, json_string("renamed"));
	if (t->outcome == MLIMG_UPGRADE_BACK)
		json_array_append_new(words, json_string("back"));
	return words;
}

static json_t *protected_json(const struct mlimg_upgrade_tenant *t)
{
	return t->covered.n ? json_pack("{s:I, s:o}", "n", (json_int_t)t->covered.n, "paths",
				      lines_of(t->covered.paths))
			    : json_null();
}

static json_t *tenant_json(const struct mlimg_upgrade_tenant *t)
{
	const struct mlimg_upgrade_sums sums = mlimg_upgrade_sums_of(t);
	bool is_bad = t->outcome == MLIMG_UPGRADE_FAILED || t->outcome == MLIMG_UPGRADE_REFUSED;
	json_t *o = json_object();

	json_object_set_new(o, "name", json_string(t->name));
	json_object_set_new(o, "id", json_string(t->id));
	json_object_set_new(o, "from", text_or_null(t->from));
	json_object_set_new(o, "to", text_or_null(t->to));
	json_object_set_new(o, "outcome", json_string(mlimg_upgrade_outcome_name(t->outcome)));
	json_object_set_new(o, "why", is_bad ? mlimg_json_any_text(t->err.text) : json_null());
	json_object_set_new(o, "way_out", lines_of(t->way_out));
	json_object_set_new(
		o, "checkpoint", t->is_snapshot ? json_string(t->checkpoint) : json_null());
	json_object_set_new(o, "checkpoint_s",
		t->is_snapshot ? json_integer((json_int_t)t->checkpoint_s) : json_null());
	add_sums(o, &sums);
	add_number(o, "needed_bytes", t->needed_bytes);
	add_number(o, "free_bytes", t->free_bytes);
	json_object_set_new(o, "fits", json_boolean(mlimg_upgrade_has_room(t)));
	json_object_set_new(o, "notes", notes_of(t));
	json_object_set_new(o, "not_foretold", not_foretold(t));
	json_object_set_new(o, "protected", protected_json(t));
	return o;
}

/* An object without its last brace, and what follows. @return 0, -ENOMEM */
static int put_object(FILE *f, json_t *o, const char *follows)
{
	mlimg_autofree char *text = json_dumps(o, 0);

	json_decref(o);
	if (!text)
		return -ENOMEM;
	text[strlen(text) - 1] = '\0';
	fprintf(f, "%s%s", text, follows);
	return 0;
}

static json_t *total_json(const struct mlimg_upgrade_fleet *fleet)
{
	const struct mlimg_upgrade_total total = mlimg_upgrade_total_of(fleet);
	json_t *o = json_object();

	add_number(o, "tenants", fleet->n);
	for (int i = 0; i < MLIMG_UPGRADE_OUTCOMES; i++)
		add_number(o, mlimg_upgrade_outcome_name((enum mlimg_upgrade_outcome)i),
			total.outcomes[i]);
	add_sums(o, &total.sums);
	add_number(o, "protected", total.sums.protected);
	add_number(o, "without_room", total.n_full);
	add_number(o, "needed_bytes", total.needed_bytes);
	return o;
}

static void put_report(FILE *f, const char *report, size_t size)
{
	if (report)
		fwrite(report, 1, size, f);
	else
		fputs("null", f);
}

int mlimg_upgrade_put_json(FILE *f, const struct mlimg_upgrade_fleet *fleet, struct mlimg_err *err)
{
	json_t *system = json_pack("{s:s, s:s, s:s}", "name", fleet->name, "version",
		fleet->version, "system_id", fleet->system_id);
	int r = put_object(f, json_pack("{s:o}", "system", system), ", \"tenants\": [");

	for (size_t i = 0; i < fleet->n && r == 0; i++) {
		const struct mlimg_upgrade_tenant *t = &fleet->tenants[i];

		fputs(i ? ",\n" : "\n", f);
		r = put_object(f, tenant_json(t), ", \"queue\": ");
		put_report(f, t->queue_report, t->queue_report_size);
		fputs(", \"report\": ", f);
		put_report(f, t->report, t->report_size);
		fputc('}', f);
	}
	fputs("], \"sum\": ", f);
	if (r == 0)
		r = put_object(f, total_json(fleet), "}}\n");
	return r < 0 ? mlimg_err_set(err, ENOMEM, "print the plan") : 0;
}
