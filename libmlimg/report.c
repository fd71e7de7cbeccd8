/* SPDX-License-Identifier: MIT */
#include "libmlimg/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/boot.h"
#include "libmlimg/manifest.h"

int mlimg_report_init(struct mlimg_report *report, struct mlimg_err *err)
{
	memset(report, 0, sizeof(*report));
	report->entries = open_memstream(&report->text, &report->size);
	return report->entries ? 0 : mlimg_err_set(err, ENOMEM, "write the report");
}

/* The manifest's escapes leave ASCII; of what is left only '"' and the backslash itself mean something to JSON. */
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

void mlimg_report_add(struct mlimg_report *report, const char *path, enum mlimg_verdict verdict)
{
	report->counts[verdict]++;
	if (verdict == MLIMG_KEEP || report->listed == MLIMG_REPORT_ENTRIES_MAX)
		return;
	fputs(report->listed++ ? ",\n    {\"path\": \"" : "\n    {\"path\": \"", report->entries);
	put_path(report->entries, path);
	fprintf(report->entries, "\", \"verdict\": \"%s\"}", mlimg_verdict_name(verdict));
}

static void put_counts(FILE *f, const struct mlimg_report *report)
{
	fputs("  \"counts\": {", f);
	for (enum mlimg_verdict v = MLIMG_KEEP; v < MLIMG_N_VERDICTS; v++)
		fprintf(f, "%s\"%s\": %" PRIu64, v == MLIMG_KEEP ? "" : ", ", mlimg_verdict_name(v),
			report->counts[v]);
	fputs("},\n", f);
}

static bool is_truncated(const struct mlimg_report *report)
{
	uint64_t to_list = 0;

	for (enum mlimg_verdict v = MLIMG_KEEP + 1; v < MLIMG_N_VERDICTS; v++)
		to_list += report->counts[v];
	return to_list > report->listed;
}

int mlimg_report_to_json(struct mlimg_report *report, uint64_t generation, const char *from,
	const char *to, char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	bool failed = !f || fflush(report->entries) != 0 || ferror(report->entries);

	if (!failed) {
		fprintf(f, "{\n  \"format\": %d,\n  \"generation\": %" PRIu64 ",\n",
			MLIMG_BOOT_FORMAT, generation);
		fprintf(f, "  \"from\": \"%s\",\n  \"to\": \"%s\",\n", from, to);
		put_counts(f, report);
		fputs("  \"entries\": [", f);
		fwrite(report->text, 1, report->size, f);
		fprintf(f, "%s],\n  \"truncated\": %s\n}\n", report->listed ? "\n  " : "",
			is_truncated(report) ? "true" : "false");
		failed = ferror(f);
	}
	if (f && fclose(f) != 0)
		failed = true;
	if (failed) {
		free(text);
		return mlimg_err_set(err, ENOMEM, "write the report");
	}
	*ret_text = text;
	*ret_size = size;
	return 0;
}

void mlimg_report_done(struct mlimg_report *report)
{
	if (report->entries)
		fclose(report->entries);
	free(report->text);
	memset(report, 0, sizeof(*report));
}
