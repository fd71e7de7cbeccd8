/* SPDX-License-Identifier: MIT */
/* The numbers of a report; and what is written with them must give the same ones again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t counts[MLIMG_N_VERDICTS], done[MLIMG_N_DONE];
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_report report;
	char *text;
	size_t text_size;

	if (mlimg_report_read_counts((const char *)data, size, counts, done) < 0)
		return 0;
	if (mlimg_report_init(&report, &err) < 0)
		abort();
	memcpy(report.counts, counts, sizeof(counts));
	memcpy(report.done, done, sizeof(done));
	if (mlimg_report_to_json(&report, 1, "a", "b", &text, &text_size, &err) < 0 ||
		mlimg_report_read_counts(text, text_size, counts, done) < 0 ||
		memcmp(report.counts, counts, sizeof(counts)) != 0 ||
		memcmp(report.done, done, sizeof(done)) != 0)
		abort();
	free(text);
	mlimg_report_done(&report);
	return 0;
}
