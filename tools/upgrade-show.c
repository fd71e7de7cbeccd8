/* SPDX-License-Identifier: MIT */
/* What the forms of a plan have in common, and the plan as text. */
#include "tools/upgrade-show.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "tools/cli.h"

struct mlimg_upgrade_sums mlimg_upgrade_sums_of(const struct mlimg_upgrade_tenant *t)
{
	const uint64_t *n = t->counts;

	return (struct mlimg_upgrade_sums){
		.stale = n[MLIMG_STALE] + n[MLIMG_SAME] + n[MLIMG_WHITEOUT_GONE],
		.kept = n[MLIMG_KEEP] + n[MLIMG_WHITEOUT_CHANGED],
		.merged = n[MLIMG_MERGED],
		.conflicts = n[MLIMG_CONFLICT] + n[MLIMG_TYPE_CHANGE],
		.moved = t->moved,
		.hidden = t->hidden,
		.unmerged = t->n_unmerged,
		.broken = t->n_broken,
		.protected = t->covered.n,
		.hooks = t->n_hooks,
		.accounts = t->n_accounts};
}

bool mlimg_upgrade_has_room(const struct mlimg_upgrade_tenant *t)
{
	return t->outcome != MLIMG_UPGRADE_CHANGES || t->needed_bytes <= t->free_bytes;
}

struct mlimg_upgrade_total mlimg_upgrade_total_of(const struct mlimg_upgrade_fleet *fleet)
{
	struct mlimg_upgrade_total total = {.n_full = 0};

	for (size_t i = 0; i < fleet->n; i++) {
		struct mlimg_upgrade_sums sums = mlimg_upgrade_sums_of(&fleet->tenants[i]);

		total.outcomes[fleet->tenants[i].outcome]++;
		total.n_full += !mlimg_upgrade_has_room(&fleet->tenants[i]);
		total.needed_bytes += fleet->tenants[i].needed_bytes;
		total.sums.stale += sums.stale;
		total.sums.kept += sums.kept;
		total.sums.merged += sums.merged;
		total.sums.conflicts += sums.conflicts;
		total.sums.moved += sums.moved;
		total.sums.hidden += sums.hidden;
		total.sums.unmerged += sums.unmerged;
		total.sums.broken += sums.broken;
		total.sums.accounts += sums.accounts;
		total.sums.protected += sums.protected;
		total.sums.hooks += sums.hooks;
	}
	return total;
}

/* ---- reports ---- */

static const char *text_of(json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static bool is_of_interest(const char *verdict, const char *done)
{
	return strcmp(verdict, "conflict") == 0 || strcmp(verdict, "type-change") == 0 ||
		strcmp(verdict, "whiteout-changed") == 0 || strcmp(done, "aside") == 0 ||
		strcmp(done, "beside") == 0;
}

/* What comes before. */
static int each_queued(
	const struct mlimg_upgrade_tenant *t, mlimg_upgrade_entry_fn *entry_fn, void *ctx)
{
	json_t *report, *e;
	size_t i;

	if (!t->queue_report)
		return 0;
	report = json_loadb(t->queue_report, t->queue_report_size, 0, NULL);
	if (!report)
		return -ENOMEM;
	json_array_foreach(json_object_get(report, "entries"), i, e) entry_fn(text_of(e, "path"),
		"queued", text_of(e, "done"), text_of(e, "at"), text_of(e, "why"), ctx);
	json_decref(report);
	return 0;
}

/* And after. */
static void each_covered(
	const struct mlimg_upgrade_tenant *t, mlimg_upgrade_entry_fn *entry_fn, void *ctx)
{
	const char *at = t->covered.paths;
	char path[MLIMG_PROTECTED_SHOWN_SIZE];

	for (; at && *at; at += strcspn(at, "\n") + 1) {
		snprintf(path, sizeof(path), "%.*s", (int)strcspn(at, "\n"), at);
		entry_fn(path, "protected", "aside", "", "covers what the system protects", ctx);
	}
}

int mlimg_upgrade_each(const struct mlimg_upgrade_tenant *t, mlimg_upgrade_entry_fn *entry_fn,
	mlimg_upgrade_note_fn *note_fn, void *ctx, struct mlimg_err *err)
{
	json_t *report, *e;
	size_t i;

	if (!t->report)
		return 0;
	if (each_queued(t, entry_fn, ctx) < 0)
		return mlimg_err_set(err, ENOMEM, "%s", t->name);
	report = json_loadb(t->report, t->report_size, 0, NULL);
	if (!report)
		return mlimg_err_set(err, ENOMEM, "%s", t->name);
	json_array_foreach(json_object_get(report, "entries"), i,
		e) if (is_of_interest(text_of(e, "verdict"), text_of(e, "done")))
		entry_fn(text_of(e, "path"), text_of(e, "verdict"), text_of(e, "done"),
			text_of(e, "at"), text_of(e, "why"), ctx);
	json_array_foreach(json_object_get(report, "databases"), i, e) note_fn(text_of(e, "path"),
		text_of(e, "name"), text_of(e, "kind"), text_of(e, "text"), ctx);
	json_decref(report);
	each_covered(t, entry_fn, ctx);
	return 0;
}

/* ---- text ---- */

struct listing {
	FILE *f;
	uint64_t n;
};

/* @return whether there is room for one more */
static bool list_one(struct listing *l, const char *what)
{
	if (l->n++ >= MLIMG_UPGRADE_SHOWN_MAX)
		return false;
	fprintf(l->f, "    %-11s ", what);
	return true;
}

static void put_entry(const char *path, const char *verdict, const char *done, const char *at,
	const char *why, void *ctx)
{
	struct listing *l = ctx;

	if (!list_one(l, strcmp(verdict, "whiteout-changed") == 0 ? "removed" : verdict))
		return;
	mlimg_cli_put_safe(l->f, path);
	if (strcmp(done, "stays") != 0) {
		fprintf(l->f, ": %s", done);
		if (*at) {
			fputs(", ", l->f);
			mlimg_cli_put_safe(l->f, at);
		}
	}
	if (*why) {
		fputs(": ", l->f);
		mlimg_cli_put_safe(l->f, why);
	}
	fputc('\n', l->f);
}

static void put_note(
	const char *path, const char *name, const char *kind, const char *text, void *ctx)
{
	struct listing *l = ctx;

	if (!list_one(l, strcmp(kind, "told") == 0 ? "database" : kind))
		return;
	mlimg_cli_put_safe(l->f, name);
	fputs(": ", l->f);
	mlimg_cli_put_safe(l->f, text);
	fprintf(l->f, " (%s)\n", path);
}

static void put_sums(FILE *f, const struct mlimg_upgrade_sums *s)
{
	fprintf(f, "%" PRIu64 " stale, %" PRIu64 " kept, %" PRIu64 " merged, %" PRIu64 " %s",
		s->stale, s->kept, s->merged, s->conflicts,
		mlimg_cli_noun(s->conflicts, "conflict", "conflicts"));
	if (s->moved)
		fprintf(f, ", %" PRIu64 " with another owner's number", s->moved);
	if (s->accounts)
		fprintf(f, ", %" PRIu64 " %s told of", s->accounts,
			mlimg_cli_noun(s->accounts, "account", "accounts"));
	if (s->hidden)
		fprintf(f, ", %" PRIu64 " of packages hidden", s->hidden);
	if (s->unmerged)
		fprintf(f, ", %" PRIu64 " %s not merged", s->unmerged,
			mlimg_cli_noun(s->unmerged, "database", "databases"));
	if (s->broken)
		fprintf(f, ", %" PRIu64 " %s that no longer %s", s->broken,
			mlimg_cli_noun(s->broken, "package", "packages"),
			mlimg_cli_noun(s->broken, "fits", "fit"));
	if (s->protected)
		fprintf(f, ", %" PRIu64 " over protected paths", s->protected);
	if (s->hooks)
		fprintf(f, ", %" PRIu64 " left to hooks", s->hooks);
}

static void put_lines(FILE *f, const char *text)
{
	while (*text) {
		int size = (int)strcspn(text, "\n");

		fprintf(f, "    %.*s\n", size, text);
		text += size + (text[size] == '\n');
	}
}

/* Most messages begin with it, and here it stands above. */
static const char *without_name(const struct mlimg_upgrade_tenant *t)
{
	size_t n = strlen(t->name);
	const char *text = t->err.text;

	return strncmp(text, t->name, n) == 0 && strncmp(text + n, ": ", 2) == 0 ? text + n + 2
										 : text;
}

static void put_outcome(FILE *f, const struct mlimg_upgrade_tenant *t)
{
	char needed[MLIMG_CLI_SIZE_TEXT], room[MLIMG_CLI_SIZE_TEXT];
	const struct mlimg_upgrade_sums sums = mlimg_upgrade_sums_of(t);

	switch (t->outcome) {
	case MLIMG_UPGRADE_CHANGES:
		put_sums(f, &sums);
		fprintf(f, "; takes %s of %s%s", mlimg_cli_format_size(t->needed_bytes, needed),
			mlimg_cli_format_size(t->free_bytes, room),
			mlimg_upgrade_has_room(t) ? "" : ": NO ROOM");
		break;
	case MLIMG_UPGRADE_SAME: fputs("runs on it already", f); break;
	case MLIMG_UPGRADE_FIRST: fputs("has never run: nothing to change", f); break;
	case MLIMG_UPGRADE_BACK:
		fputs("the last change is taken back: what was written since is not foretold", f);
		break;
	default:
		fprintf(f, "%s: ", mlimg_upgrade_outcome_name(t->outcome));
		mlimg_cli_put_safe(f, without_name(t));
	}
	fputc('\n', f);
}

static int put_tenant(FILE *f, const struct mlimg_upgrade_tenant *t, struct mlimg_err *err)
{
	char taken[MLIMG_CLI_TIME_TEXT];
	struct listing l = {.f = f};
	int r;

	fprintf(f, "%s: %s -> %s\n  ", t->name, *t->from ? t->from : "no layers",
		*t->to ? t->to : "?");
	put_outcome(f, t);
	if (t->way_out)
		put_lines(f, t->way_out);
	if (t->is_snapshot)
		fprintf(f, "    it runs: as of its checkpoint '%s' of %s\n", t->checkpoint,
			mlimg_cli_format_time(t->checkpoint_s, taken));
	r = mlimg_upgrade_each(t, put_entry, put_note, &l, err);
	if (l.n > MLIMG_UPGRADE_SHOWN_MAX)
		fprintf(f, "    and %" PRIu64 " more: --json, --html\n",
			l.n - MLIMG_UPGRADE_SHOWN_MAX);
	for (size_t i = 0; i < t->n_notes; i++) {
		fputs("    note        ", f);
		mlimg_cli_put_safe(f, t->notes[i]);
		fputc('\n', f);
	}
	return r;
}

static void put_total(FILE *f, const struct mlimg_upgrade_fleet *fleet)
{
	static const char *const texts[MLIMG_UPGRADE_OUTCOMES] = {"could not be planned for",
		"refused", "to change", "on it already", "never run", "to be taken back"};
	const struct mlimg_upgrade_total total = mlimg_upgrade_total_of(fleet);
	char needed[MLIMG_CLI_SIZE_TEXT];

	fprintf(f, "%zu %s:", fleet->n, mlimg_cli_noun(fleet->n, "tenant", "tenants"));
	for (size_t i = MLIMG_UPGRADE_OUTCOMES, n = 0; i-- > 0;)
		if (total.outcomes[i])
			fprintf(f, "%s %" PRIu64 " %s", n++ ? "," : "", total.outcomes[i],
				texts[i]);
	fputs("; ", f);
	put_sums(f, &total.sums);
	if (total.outcomes[MLIMG_UPGRADE_CHANGES])
		fprintf(f, "; takes %s", mlimg_cli_format_size(total.needed_bytes, needed));
	if (total.n_full)
		fprintf(f, "; %" PRIu64 " without the room", total.n_full);
	fputc('\n', f);
}

int mlimg_upgrade_put_text(FILE *f, const struct mlimg_upgrade_fleet *fleet, struct mlimg_err *err)
{
	int r = 0;

	for (size_t i = 0; i < fleet->n && r == 0; i++)
		r = put_tenant(f, &fleet->tenants[i], err);
	if (r == 0 && fleet->n)
		put_total(f, fleet);
	else if (r == 0)
		fputs("no tenants\n", f);
	return r;
}
