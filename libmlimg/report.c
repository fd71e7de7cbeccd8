/* SPDX-License-Identifier: MIT */
#include "libmlimg/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/boot.h"
#include "libmlimg/json.h"
#include "libmlimg/manifest.h"
#include "libmlimg/plan.h"

#define DONE_LINE "\n  \"done\": {" /* the last of the numbers */

int mlimg_report_init(struct mlimg_report *report, struct mlimg_err *err)
{
	memset(report, 0, sizeof(*report));
	report->entries = open_memstream(&report->text, &report->size);
	report->lines = open_memstream(&report->lines_text, &report->lines_size);
	return report->entries && report->lines ? 0
						: mlimg_err_set(err, ENOMEM, "write the report");
}

/*
 * The manifest's escapes leave ASCII; of what is left only '"' and the backslash itself mean
 * something to JSON.
 */
static void put_path(FILE *f, const char *path)
{
	for (const unsigned char *c = (const unsigned char *)path; *c; c++) {
		if (*c == '"')
			fputs("\\\"", f);
		else if (mlimg_manifest_is_plain(*c))
			fputc(*c, f);
		else
			fprintf(f, "\\\\%03o", *c);
	}
}

const char *mlimg_done_name(enum mlimg_done done)
{
	static const char *const names[MLIMG_N_DONE] = {
		[MLIMG_DONE_NOTHING] = "stays",
		[MLIMG_DONE_DROPPED] = "dropped",
		[MLIMG_DONE_ASIDE] = "aside",
		[MLIMG_DONE_BESIDE] = "beside",
		[MLIMG_DONE_MERGED] = "merged",
		[MLIMG_DONE_JOINED] = "joined",
		[MLIMG_DONE_CLOSED] = "closed",
	};

	return names[done];
}

/* Begins an entry. */
static void put_verdict(struct mlimg_report *report, const char *path, enum mlimg_verdict verdict)
{
	fputs(report->listed++ ? ",\n    {\"path\": \"" : "\n    {\"path\": \"", report->entries);
	put_path(report->entries, path);
	fprintf(report->entries, "\", \"verdict\": \"%s\"", mlimg_verdict_name(verdict));
}

/* @return whether it is to be listed, and can be */
static bool count(struct mlimg_report *report, bool is_listed)
{
	report->to_list += is_listed;
	return is_listed && report->listed < MLIMG_REPORT_ENTRIES_MAX;
}

void mlimg_report_add(struct mlimg_report *report, const char *path, enum mlimg_verdict verdict)
{
	report->counts[verdict]++;
	if (!count(report, verdict != MLIMG_KEEP))
		return;
	put_verdict(report, path, verdict);
	putc('}', report->entries);
}

static void put_plain(FILE *f, const char *path)
{
	for (const unsigned char *c = (const unsigned char *)path; *c; c++)
		fprintf(f, mlimg_manifest_is_plain(*c) ? "%c" : "\\%03o", *c);
}

/* "aside/2/", which the entry's path follows */
static void put_place(FILE *f, const struct mlimg_report_entry *entry)
{
	if (entry->aside)
		fprintf(f, "aside/%s/", entry->aside);
	else
		fprintf(f, "aside/%" PRIu64 "/", entry->generation);
}

static void put_line(struct mlimg_report *report, const struct mlimg_report_entry *entry)
{
	FILE *f = report->lines;

	fprintf(f, "%-8s %-16s /", mlimg_done_name(entry->done),
		mlimg_verdict_name(entry->verdict));
	put_plain(f, entry->path);
	if (entry->done == MLIMG_DONE_BESIDE) {
		fputs("  the new one: /", f);
		put_plain(f, entry->at);
	} else if (entry->done == MLIMG_DONE_ASIDE) {
		fputs("  at: ", f);
		put_place(f, entry);
		put_plain(f, entry->path);
	}
	if (entry->from) {
		fputs("  renamed from: /", f);
		put_plain(f, entry->from);
	}
	if (entry->why)
		fprintf(f, "  (%s)", entry->why);
	putc('\n', f);
}

void mlimg_report_add_entry(struct mlimg_report *report, const struct mlimg_report_entry *entry)
{
	FILE *f = report->entries;

	report->counts[entry->verdict]++;
	report->done[entry->done]++;
	if (!count(report,
		    entry->is_asked || entry->verdict != MLIMG_KEEP ||
			    entry->done != MLIMG_DONE_NOTHING))
		return;
	put_line(report, entry);
	put_verdict(report, entry->path, entry->verdict);
	fprintf(f, ", \"class\": \"%s\", \"done\": \"%s\"", mlimg_path_class_name(entry->class),
		mlimg_done_name(entry->done));
	if (entry->done == MLIMG_DONE_ASIDE) {
		fputs(", \"at\": \"", f);
		put_place(f, entry);
		put_path(f, entry->path);
		putc('"', f);
	} else if (entry->done == MLIMG_DONE_BESIDE) {
		fputs(", \"at\": \"", f);
		put_path(f, entry->at);
		putc('"', f);
	}
	if (entry->from) {
		fputs(", \"from\": \"", f);
		put_path(f, entry->from);
		putc('"', f);
	}
	if (entry->why)
		fprintf(f, ", \"why\": \"%s\"", entry->why);
	putc('}', f);
}

int mlimg_report_add_rebuild(struct mlimg_report *report, const char *listed)
{
	for (size_t i = 0; i < report->n_rebuild; i++)
		if (strcmp(report->rebuild[i], listed) == 0)
			return 0;
	if (report->n_rebuild == MLIMG_LAYER_REBUILD_MAX)
		return 0;
	if (!report->rebuild)
		report->rebuild = calloc(MLIMG_LAYER_REBUILD_MAX, sizeof(*report->rebuild));
	if (!report->rebuild)
		return -ENOMEM;
	snprintf(report->rebuild[report->n_rebuild++], sizeof(*report->rebuild), "%s", listed);
	return 0;
}

static void put_counts(FILE *f, const struct mlimg_report *report)
{
	fputs("  \"counts\": {", f);
	for (enum mlimg_verdict v = MLIMG_KEEP; v < MLIMG_N_VERDICTS; v++)
		fprintf(f, "%s\"%s\": %" PRIu64, v == MLIMG_KEEP ? "" : ", ", mlimg_verdict_name(v),
			report->counts[v]);
	fputs("}," DONE_LINE, f);
	for (enum mlimg_done d = MLIMG_DONE_NOTHING; d < MLIMG_N_DONE; d++)
		fprintf(f, "%s\"%s\": %" PRIu64, d == MLIMG_DONE_NOTHING ? "" : ", ",
			mlimg_done_name(d), report->done[d]);
	fputs("},\n", f);
	if (report->hidden)
		fprintf(f, "  \"hidden\": %" PRIu64 ",\n", report->hidden);
}

static bool read_number(const json_t *object, const char *name, uint64_t *ret)
{
	const json_t *number = json_object_get(object, name);

	if (!json_is_integer(number) || json_integer_value(number) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(number);
	return true;
}

/* What mlimg_report_to_json() has up to the numbers, made an object. @return false: it has none */
static bool cut_head(const char *text, size_t size, char ret_head[MLIMG_REPORT_HEAD_MAX + 1])
{
	char *line, *comma;

	size = size < MLIMG_REPORT_HEAD_MAX ? size : MLIMG_REPORT_HEAD_MAX;
	memcpy(ret_head, text, size);
	ret_head[size] = '\0';
	line = strstr(ret_head, DONE_LINE);
	comma = line ? strstr(line, "},\n") : NULL;
	if (!comma)
		return false;
	strcpy(comma, "}}");
	return true;
}

int mlimg_report_read_counts(const char *text, size_t size, uint64_t ret_counts[MLIMG_N_VERDICTS],
	uint64_t ret_done[MLIMG_N_DONE])
{
	uint64_t counts[MLIMG_N_VERDICTS] = {0}, done[MLIMG_N_DONE] = {0};
	char head[MLIMG_REPORT_HEAD_MAX + 1];
	mlimg_autojson json_t *json = NULL;
	int r;

	if (!cut_head(text, size, head))
		return -EUCLEAN;
	r = mlimg_json_load("report", head, strlen(head), &json, NULL);
	if (r < 0)
		return r;
	for (enum mlimg_verdict v = MLIMG_KEEP; v < MLIMG_N_VERDICTS; v++)
		if (!read_number(
			    json_object_get(json, "counts"), mlimg_verdict_name(v), &counts[v]))
			return -EUCLEAN;
	for (enum mlimg_done d = MLIMG_DONE_NOTHING; d < MLIMG_N_DONE; d++)
		if (!read_number(json_object_get(json, "done"), mlimg_done_name(d), &done[d]))
			return -EUCLEAN;
	memcpy(ret_counts, counts, sizeof(counts));
	memcpy(ret_done, done, sizeof(done));
	return 0;
}

/* Paths that layers can list need no escapes. */
static void put_rebuild(FILE *f, const struct mlimg_report *report)
{
	if (report->n_rebuild == 0)
		return;
	fputs("  \"rebuild\": [", f);
	for (size_t i = 0; i < report->n_rebuild; i++)
		fprintf(f, "%s\"%s\"", i ? ", " : "", report->rebuild[i]);
	fputs("],\n", f);
}

/* As in paths, but for blanks. */
static void put_note_text(FILE *f, const char *text, bool is_json)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c >= ' ' && *c <= '~' && *c != '\\' && (*c != '"' || !is_json))
			putc(*c, f);
		else
			fprintf(f, *c == '"' ? "\\\"" : is_json ? "\\\\%03o" : "\\%03o", *c);
	}
}

static void put_notes(FILE *f, const struct mlimg_report *report)
{
	if (report->notes.n == 0)
		return;
	fputs("  \"databases\": [", f);
	for (size_t i = 0; i < report->notes.n; i++) {
		const struct mlimg_note *note = &report->notes.notes[i];

		fprintf(f, "%s\n    {\"path\": \"", i ? "," : "");
		put_path(f, note->path);
		fputs("\", \"name\": \"", f);
		put_note_text(f, note->name, true);
		fprintf(f, "\", \"kind\": \"%s\", \"text\": \"", mlimg_note_kind_name(note->kind));
		put_note_text(f, note->text, true);
		fputs("\"}", f);
	}
	fputs("\n  ],\n", f);
}

static void put_note_lines(FILE *f, const struct mlimg_report *report)
{
	for (size_t i = 0; i < report->notes.n; i++) {
		const struct mlimg_note *note = &report->notes.notes[i];

		fprintf(f, "%s%-8s ", i ? "" : "\nAccounts, packages, and what did not return:\n\n",
			mlimg_note_kind_name(note->kind));
		put_note_text(f, note->path, false);
		fputs(": ", f);
		put_note_text(f, note->name, false);
		fputs(": ", f);
		put_note_text(f, note->text, false);
		putc('\n', f);
	}
	if (report->notes.n_more)
		fprintf(f, "... and %zu more\n", report->notes.n_more);
}

/* A report that is written into memory. */
struct writing {
	FILE *f;
	char *text;
	size_t size;
};

/* @part: what was collected. @return NULL when it is not whole */
static FILE *begin(struct writing *w, FILE *part)
{
	if (fflush(part) == 0 && !ferror(part))
		w->f = open_memstream(&w->text, &w->size);
	return w->f;
}

static int end(struct writing *w, char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	bool failed = !w->f || ferror(w->f);

	if (w->f && fclose(w->f) != 0)
		failed = true;
	if (failed) {
		free(w->text);
		return mlimg_err_set(err, ENOMEM, "write the report");
	}
	*ret_text = w->text;
	*ret_size = w->size;
	return 0;
}

int mlimg_report_to_json(struct mlimg_report *report, uint64_t generation, const char *from,
	const char *to, char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	struct writing w = {.text = NULL};
	FILE *f = begin(&w, report->entries);

	if (f) {
		fprintf(f, "{\n  \"format\": %d,\n  \"generation\": %" PRIu64 ",\n",
			MLIMG_BOOT_FORMAT, generation);
		fprintf(f, "  \"from\": \"%s\",\n  \"to\": \"%s\",\n", from, to);
		put_counts(f, report);
		put_rebuild(f, report);
		put_notes(f, report);
		fputs("  \"entries\": [", f);
		fwrite(report->text, 1, report->size, f);
		fprintf(f, "%s],\n  \"truncated\": %s\n}\n", report->listed ? "\n  " : "",
			report->to_list > report->listed ? "true" : "false");
	}
	return end(&w, ret_text, ret_size, err);
}

static const char meanings[] =
	"\n"
	"dropped  the new system's shows: yours was the same as the old or the new one's, or made "
	"by\n"
	"         a program that makes it anew (caches, links of alternatives, marks of dpkg's)\n"
	"aside    the new system's is used; yours lies in /run/mlimg/user/mlimg, at what the line "
	"says\n"
	"beside   yours is used; the new system's lies beside it\n"
	"merged   your changes and the new system's are both in it\n"
	"joined   a directory of yours shows what the new system has there, too\n"
	"closed   a directory of yours hides what the new system has there\n"
	"hidden   files that the new system has of packages which you have removed or have "
	"another\n"
	"         version of\n"
	"stays    yours is used\n\n";

int mlimg_report_to_text(struct mlimg_report *report, const char *title, char **ret_text,
	size_t *ret_size, struct mlimg_err *err)
{
	struct writing w = {.text = NULL};
	FILE *f = begin(&w, report->lines);

	if (f) {
		fprintf(f, "%s\n\n", title);
		for (enum mlimg_done done = MLIMG_DONE_NOTHING; done < MLIMG_N_DONE; done++)
			fprintf(f, "%8" PRIu64 " %s\n", report->done[done], mlimg_done_name(done));
		if (report->hidden)
			fprintf(f, "%8" PRIu64 " hidden\n", report->hidden);
		fputs(report->meanings ? report->meanings : meanings, f);
		fwrite(report->lines_text, 1, report->lines_size, f);
		if (report->to_list > report->listed)
			fprintf(f, "... and %" PRIu64 " more\n", report->to_list - report->listed);
		put_note_lines(f, report);
	}
	return end(&w, ret_text, ret_size, err);
}

void mlimg_report_done(struct mlimg_report *report)
{
	if (report->lines)
		fclose(report->lines);
	free(report->lines_text);
	if (report->entries)
		fclose(report->entries);
	free(report->text);
	free(report->rebuild);
	mlimg_notes_done(&report->notes);
	memset(report, 0, sizeof(*report));
}
